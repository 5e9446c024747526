# SPDX-License-Identifier: Apache-2.0
"""acl.himpi: one set of checks for every function; what it does with a device is in test_himpi_device.py.

Nothing here reaches the device: this process uses V1, which must not be mixed with V2.
"""

import inspect

import numpy
import pytest

from helpers import himpi_names, processes
from helpers.himpi_names import NOT_DICT, ROWS, plain_arguments
from helpers.pyacl import function

ids = {"ids": lambda row: getattr(row, "name", None)}
WITH_ARGUMENTS = [row for row in ROWS if row.args]


def refused(acl, row, arguments):
    with pytest.raises(TypeError) as raised:
        function(acl, row.name)(*arguments)
    assert str(raised.value) == row.refusal


@pytest.mark.parametrize("row", ROWS, **ids)
def test_function_is_a_documented_builtin(initialised, row):
    builtin = function(initialised, row.name)
    assert inspect.isbuiltin(builtin)
    assert builtin.__doc__.endswith(".")
    assert builtin.__module__ == "acl.himpi"
    parameters = inspect.signature(builtin).parameters.values()
    kind = inspect.Parameter.POSITIONAL_ONLY if row.args else inspect.Parameter.VAR_POSITIONAL
    assert [parameter.kind for parameter in parameters] == [kind] * max(len(row.args), 1)
    with pytest.raises(TypeError):
        builtin(*plain_arguments(row)[:-1], value=0)


def test_module_is_found_as_programs_import_it(initialised):
    assert {name for name in dir(initialised.himpi) if not name.startswith("__")} == {
        row.name.rpartition(".")[2] for row in ROWS
    }
    assert initialised.himpi.__name__ == "acl.himpi"


@pytest.mark.parametrize("row", WITH_ARGUMENTS, **ids)
def test_wrong_number_of_arguments_raises_pyacls_text(initialised, row):
    arguments = plain_arguments(row)
    refused(initialised, row, [*arguments, 0])
    for count in range(len(arguments)):
        refused(initialised, row, arguments[:count])


@pytest.mark.parametrize("row", [row for row in WITH_ARGUMENTS if set(row.args) != {"D"}], **ids)
def test_wrong_type_raises_pyacls_text(initialised, row):
    wrong = {"i": [None, "1", 1.0, [], 2**31, -(2**31) - 1, 2**70], "I": [None, "1", 1.0, []]}
    wrong["k"] = [None, "1", 1.0, numpy.uint64(1)]
    for position, letter in enumerate(row.args):
        for value in wrong.get(letter, ()):
            arguments = plain_arguments(row)
            arguments[position] = value
            refused(initialised, row, arguments)


def nested(path, value):
    """{"a": {"b": value}} of ("a", "b"), with what makes the member of a union count."""
    made = value
    for key in reversed(path):
        made = {key: made, "type": 96, "rc_mode": 1}
    return made


@pytest.mark.parametrize("place", NOT_DICT, ids=".".join)
@pytest.mark.parametrize("value", [None, 5, [], "{}"], ids=repr)
def test_something_that_is_no_dict_raises_pyacls_text(initialised, place, value):
    row = himpi_names.BY_NAME[f"acl.himpi.{place[0]}"]
    arguments = plain_arguments(row)
    arguments[row.args.index("D")] = nested(place[1:], value)
    with pytest.raises(TypeError) as raised:
        function(initialised, row.name)(*arguments)
    assert str(raised.value) == NOT_DICT[place]


def test_only_the_mode_of_rate_control_may_not_be_left_out(initialised):
    for mode, word in (
        (1, "cbr"),
        (2, "vbr"),
        (3, "avbr"),
        (4, "qvbr"),
        (5, "cvbr"),
        (6, "fixqp"),
        (11, "cbr"),
        (16, "fixqp"),
    ):
        with pytest.raises(TypeError, match=f"^the venc {word} argument is not dict$"):
            initialised.himpi.venc_create_chn(0, {"rc_attr": {"rc_mode": mode}})


FRAME = {"v_frame": {}, "pool_id": 0, "mod_id": 8}


@pytest.mark.parametrize(
    ("call", "arguments", "text"),
    [
        ("venc_start_chn", (0, {"recv_pic_num": 2**63}), "PyLong_AsLong failed: recv_pic_num is "),
        (
            "venc_create_chn",
            (0, {"rc_attr": {"rc_mode": 1, "h264_cbr": {"gop": -1}}}),
            "PyLong_AsUnsignedLong failed: gop is -1; ",
        ),
        ("venc_send_frame", (0, {**FRAME, "pool_id": -1}, 0), "PyLong_AsUnsignedLong failed: pool_id is -1; "),
        ("venc_send_frame", (0, {"v_frame": {"pts": -5}}, 0), "PyLong_AsUnsignedLong failed: pts is -5; "),
        ("venc_send_frame", (0, {"v_frame": {"pts": 2**64}}, 0), "PyLong_AsUnsignedLong failed: pts is "),
        (
            "venc_send_frame",
            (0, {"v_frame": {"virt_addr": [4096, None, "x"]}}, 0),
            "PyLong_AsVoidPtr failed: virt_addr is 'x'",
        ),
        (
            "venc_send_frame",
            (0, {"v_frame": {"virt_addr": [0] * 4}}, 0),
            "The length of virt_addr should be no greater than 3",
        ),
        (
            "venc_send_frame",
            (0, {"v_frame": {"width_stride": [-1]}}, 0),
            "PyLong_AsUnsignedLong failed: width_stride is -1",
        ),
        ("venc_set_rc_param", (0, {"threshold_i": [0] * 17}), "The length of threshold_i should be no greater than 16"),
        ("venc_set_jpeg_param", (0, {"y_qt": [1] * 65}), "The length of y_qt should be no greater than 64"),
        ("sys_ctl_epoll", (0, 1, 0, {"events": 1, "data": "1"}), "PyLong_AsVoidPtr failed: data is '1'"),
        (
            "venc_set_h264_vui",
            (0, {"vui_aspect_ratio": {"sar_width": -1}}),
            "PyLong_AsUnsignedLong failed: sar_width is -1",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith(("venc", "sys")) else "",
)
def test_number_that_does_not_fit_is_pyacls_value_error_and_names_the_member(initialised, call, arguments, text):
    with pytest.raises(ValueError) as raised:
        getattr(initialised.himpi, call)(*arguments)
    assert str(raised.value).startswith(text)


@pytest.mark.parametrize("most", [-1, 4097, 2**31 - 1])
def test_more_events_than_4096_are_refused(initialised, most):
    with pytest.raises(TypeError, match=f"^invalid num of maxEvents: {most}; allowed are 0 to 4096$"):
        initialised.himpi.sys_wait_epoll(0, most, 0)


@pytest.mark.parametrize(
    ("stream", "error", "text"),
    [
        ({"pack_cnt": 1, "pack": 5}, TypeError, "pack is a int"),
        ({"pack_cnt": 2, "pack": [{}]}, IndexError, "pack has 1 of 2"),
        ({"pack_cnt": 1, "pack": [None]}, TypeError, "the hi_venc_pack argument is not dict"),
        ({"pack_cnt": 1, "pack": [{"addr": "x"}]}, ValueError, "PyLong_AsVoidPtr failed"),
        ({"pack_cnt": -1}, ValueError, "PyLong_AsUnsignedLong failed: pack_cnt is -1"),
    ],
    ids=str,
)
def test_stream_that_was_never_got_is_refused(initialised, stream, error, text):
    with pytest.raises(error, match=text):
        initialised.himpi.venc_release_stream(0, stream)


KEY_THAT_EMPTIES = """
import sys, weakref
from ascend_venc import acl
assert acl.init() == acl.rt.set_device(0) == acl.himpi.sys_init() == 0

class Dict(dict):
    pass

class Key(str):
    __hash__ = str.__hash__

    def __eq__(self, other):
        whole.clear()
        found.append(inner() is not None)
        return False

found = []
whole = {"rc_attr": Dict({Key("rc_mode"): 1})}
inner = weakref.ref(whole["rc_attr"])
acl.himpi.venc_create_chn(0, whole)
assert found and all(found), found
"""


@pytest.mark.sim_only
def test_dict_that_its_own_key_drops_while_it_is_read_lives_until_then():
    done = processes.run(KEY_THAT_EMPTIES, env={"ASCEND_VENC_BACKEND": "sim"})
    assert (done.returncode, done.stderr) == (0, "")
