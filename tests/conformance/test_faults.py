# SPDX-License-Identifier: Apache-2.0
"""What the facade makes of a device that fails: every function passes the code on, and nothing leaks or hangs."""

import re
import sys
import threading
import time

import pytest

from helpers import pyacl, simulator
from helpers.pyacl_names import ENDS_ITS_HANDLE, ROWS, working_arguments
from helpers.waiting import eventually, is_inside, outcome, started

pytestmark = pytest.mark.sim_only
CODE = 507899  # the driver failed


@pytest.fixture
def device(acl):
    """The control functions of the simulated device that the facade uses."""
    return simulator.Simulator(simulator.core.simulated_device_path())


def wrapped(acl, row):
    return re.search(r"Wraps (acl\w+)", pyacl.function(acl, row.name).__doc__).group(1)


CALLS = [
    row
    for row in ROWS
    if row.namespace in ("acl.rt", "acl.media")
    and row.name
    not in (
        "acl.media.venc_get_channel_desc_callback",  # answered by the facade
        "acl.media.venc_destroy_channel",
        "acl.media.venc_send_frame",
    )
]


@pytest.mark.parametrize("row", CALLS, ids=lambda row: row.name)
def test_code_of_a_failing_call_is_passed_on_and_handles_stay_alive(acl, handles, device, row):
    arguments = working_arguments(row, handles)
    function = pyacl.function(acl, row.name)
    with device.failing_call(wrapped(acl, row), code=CODE):
        result = function(*arguments)
    if "r" in row.returns:
        code = result[-1] if isinstance(result, tuple) else result
        assert code == CODE
        assert f"{row.name}(" in (text := acl.get_recent_err_msg())
        assert "507899 ACL_ERROR_RT_DRV_INTERNAL_ERROR" in text
        if isinstance(result, tuple):
            assert set(result[:-1]) <= {0}
    else:
        assert result == 0
    if row.name in ENDS_ITS_HANDLE:
        assert function(*arguments) == 0  # it was not lost
        handles.forget(row.handles[0], arguments[0])


class Payload:
    pass


def test_send_that_fails_releases_its_user_data_and_the_next_works(encoding, device):
    payload = Payload()
    before = sys.getrefcount(payload)
    for _ in range(50):
        with device.failing_call("aclvencSendFrame", code=CODE):
            assert encoding.send(payload) == CODE
    assert sys.getrefcount(payload) == before
    pyacl.ok(encoding.send(1))
    pyacl.ok(encoding.end_of_stream())
    assert [user_data for user_data, _, _ in encoding.packets] == [1]


def test_destroy_that_fails_ends_the_channel_for_the_program(acl, context, device):
    """By then the runtime has freed parts of the channel: trying again would free them twice."""
    made = pyacl.Encoding(acl, context).create()
    try:
        with device.failing_call("aclvencDestroyChannel", code=CODE):
            assert acl.media.venc_destroy_channel(made.desc) == CODE
        assert acl.media.venc_destroy_channel(made.desc) == pyacl.INVALID_PARAM
        with pytest.raises(RuntimeError):
            made.send()
    finally:
        made.created = False
        made.close()


FRAME_FAULTS = {"RET_CODE": 0, "DROP": 1, "EMPTY": 2, "NO_OUTPUT": 4, "TWICE": 5, "DELAY": 6}


@pytest.mark.parametrize("fault", FRAME_FAULTS)
def test_frame_that_goes_wrong_costs_that_frame_only(acl, context, device, fault):
    payload = Payload()
    before = sys.getrefcount(payload)
    outputs = []

    def on_frame(picture, stream, user_data):
        code = acl.media.dvpp_get_stream_desc_ret_code(stream)
        outputs.append((user_data[0], stream != 0, code, acl.media.dvpp_get_stream_desc_size(stream) > 0))

    with pyacl.encoding(acl, context, on_frame=on_frame) as made:
        begin = time.monotonic()
        with device.failing_frame(FRAME_FAULTS[fault], nth=2, value=77):
            for index in range(4):
                pyacl.ok(made.send((index, payload)))
            pyacl.ok(made.end_of_stream())
        assert time.monotonic() - begin < 15
        good = (True, 0, True)
        second = {
            "RET_CODE": [(1, True, 77, False)],
            "DROP": [],
            "EMPTY": [(1, True, 0, False)],
            "NO_OUTPUT": [(1, False, 0, False)],
        }.get(fault, [(1, *good)])
        assert outputs == [(0, *good), *second, (2, *good), (3, *good)]
        assert sys.getrefcount(payload) == before


def test_lost_device_answers_with_its_code_and_nothing_hangs(acl, context, device):
    made = pyacl.Encoding(acl, context).create()
    try:
        pyacl.ok(made.send(0))
        made.wait_for(1)
        with device.lost_device(0, 507010):
            begin = time.monotonic()
            assert made.send(1) == 507010
            assert "507010 ACL_ERROR_RT_LOST_HEARTBEAT" in acl.get_recent_err_msg()
            assert made.end_of_stream() == 507010
            assert time.monotonic() - begin < 15
        pyacl.ok(made.send(2))
        pyacl.ok(made.end_of_stream())
        assert [user_data for user_data, _, _ in made.packets] == [0, 2]
    finally:
        made.close()


def let_the_device_go_on_when_inside(function, device):
    """A thread of Python's that does so once this one is inside a call of `function`'s, which would last otherwise."""
    caller = threading.current_thread()
    return started(lambda: (eventually(lambda: is_inside(caller, function)), device.set_options(stall=0)))


def test_send_frame_lets_other_threads_run_while_the_device_takes_the_frame(acl, context, device):
    with device.options(input_slots=1, stall=1), pyacl.encoding(acl, context) as made:
        pyacl.ok(made.send(0))
        other = let_the_device_go_on_when_inside("send", device)
        pyacl.ok(made.send(1))
        outcome(other)
        pyacl.ok(made.end_of_stream())


def test_end_of_stream_lets_other_threads_run_while_frames_are_encoded(encoding, device):
    with device.options(stall=1):
        pyacl.ok(encoding.send(0))
        pyacl.ok(encoding.send(1))
        other = let_the_device_go_on_when_inside("end_of_stream", device)
        pyacl.ok(encoding.end_of_stream())
        outcome(other)


def test_back_pressure_stalls_the_sender_and_not_the_callbacks(acl, context, device):
    with device.options(input_slots=1, encode_time_us=20_000), pyacl.encoding(acl, context) as made:
        for index in range(10):
            pyacl.ok(made.send(index))
        pyacl.ok(made.end_of_stream())
        assert [user_data for user_data, _, _ in made.packets] == list(range(10))
