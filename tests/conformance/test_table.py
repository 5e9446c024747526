# SPDX-License-Identifier: Apache-2.0
"""One set of checks for every function of pyACL: name, arguments, types, shape, codes for NULL and for dead handles."""

import inspect
import random
import types

import numpy
import pytest

from helpers import pyacl
from helpers.pyacl_names import (
    BY_NAME,
    ENDS_ITS_HANDLE,
    MODULES,
    ROWS,
    live_arguments,
    names_of,
    plain_arguments,
    working_arguments,
)

WITH_ARGUMENTS = [row for row in ROWS if row.formats]
WITHOUT_ARGUMENTS = [row for row in ROWS if not row.args]
WITH_HANDLES = [row for row in ROWS if any(row.handles)]

# acl.util's helpers for NumPy warn before they look at their arguments.
pytestmark = pytest.mark.filterwarnings("ignore:acl.util")

INT_FORMATS = "kKiIB"
NO_CALLBACK = r"^did not set callback, failed$"

# What the first handle of a function being NULL gives. Not listed: a setter or a call gives 100000, a getter 0.
NULL_RESULTS = {
    "acl.media.dvpp_destroy_pic_desc": 0,
    "acl.media.dvpp_destroy_stream_desc": 0,
    "acl.media.venc_destroy_channel_desc": 0,
    "acl.media.venc_destroy_frame_config": 0,
    "acl.media.venc_get_channel_desc_pic_format": 1,
}
RAISES_WITHOUT_CALLBACK = {"acl.media.venc_get_channel_desc_callback"}
# The same for a description that is 0; any other that is not alive is 100000.
RAISES_FOR_NULL = {*RAISES_WITHOUT_CALLBACK, "acl.media.venc_send_frame"}
RAISING = [BY_NAME[name] for name in RAISES_WITHOUT_CALLBACK]
# Only newer runtimes have them; on others they say so.
OPTIONAL = {
    "acl.finalize_reference",
    "acl.rt.reset_device_force",
    "acl.rt.destroy_stream_force",
    "acl.rt.synchronize_stream_with_timeout",
    "acl.rt.memcpy2d",
    "acl.rt.memcpy2d_async",
}

HANDLE_FIRST = [row for row in WITH_HANDLES if row.handles[0]]
# 0 is a stream like any other: the default one.
NULL_IS_NOTHING = [row for row in HANDLE_FIRST if row.handles[0] != "stream"]

ids = {"ids": lambda row: row.name if hasattr(row, "name") else None}


def shape_of(result):
    """The letters of `Row.returns` that a result could have."""
    if isinstance(result, tuple):
        return [shape_of(element)[0] for element in result]
    if isinstance(result, float):
        return ["f"]
    if isinstance(result, bytes):
        return ["b"]
    if isinstance(result, numpy.ndarray):
        return ["a"]
    if result is None or isinstance(result, str):
        return ["s"]
    assert type(result) is int, f"{result!r} is no plain int"
    return ["n"]


def has_shape(result, row):
    expected = row.returns.replace("r", "n")
    got = "".join(shape_of(result))
    return len(got) == len(expected) and all(want in ("o", have) for want, have in zip(expected, got))


def code_of(result):
    return result[-1] if isinstance(result, tuple) else result


# ---- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("namespace", ["acl", *(f"acl.{name}" for name in sorted(MODULES - {"himpi"}))])
def test_namespace_holds_exactly_the_names_of_pyacl(initialised, namespace):
    module = initialised if namespace == "acl" else getattr(initialised, namespace.rpartition(".")[2])
    visible = {name for name in dir(module) if not name.startswith("__")}
    assert visible == names_of(namespace)
    assert visible == {name for name in vars(module) if not name.startswith("_")} - {"install"}
    assert module.__name__ == namespace
    assert {getattr(module, name).__module__ for name in visible - MODULES} == {namespace}
    with pytest.raises(AttributeError, match=f"^module '{namespace}' has no attribute 'missing'$"):
        getattr(module, "missing")  # noqa: B009 - what a program would write as an attribute


@pytest.mark.parametrize("name", ["acl", *(f"acl.{name}" for name in sorted(MODULES))])
def test_lookup_of_a_name_can_be_cached_by_the_interpreter(initialised, name):
    module = initialised if name == "acl" else getattr(initialised, name[4:])
    assert type(module) is types.ModuleType
    assert "__getattr__" not in vars(module)  # with it CPython 3.11 and later look in the dict at each call
    with pytest.raises(AttributeError, match=f"^module '{name}' has no attribute 'vpc_resize'$"):
        getattr(module, "vpc_resize")  # noqa: B009


@pytest.mark.parametrize("name", ["mdl", "op", "ACL_MEMCPY_HOST_TO_DEVICE", "get_soc_version", "Encoder"])
def test_namespace_lacks_what_pyacl_lacks_or_what_is_not_for_video_encoding(initialised, name):
    assert not hasattr(initialised, name)
    assert not hasattr(initialised.rt, "get_soc_name")
    assert not hasattr(initialised.media, "venc_set_channel_desc_channel_id")


@pytest.mark.parametrize("row", ROWS, **ids)
def test_function_is_a_documented_builtin(initialised, row):
    function = pyacl.function(initialised, row.name)
    assert inspect.isbuiltin(function)
    assert function.__doc__.endswith(".")
    parameters = inspect.signature(function).parameters.values()
    if row.formats:
        assert [p.kind for p in parameters] == [inspect.Parameter.POSITIONAL_ONLY] * len(row.formats)
        assert [p.default for p in parameters].count(inspect.Parameter.empty) == len(row.formats) - row.optional
    else:
        assert [p.kind for p in parameters] == [inspect.Parameter.VAR_POSITIONAL]


# ---- arguments -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", WITH_ARGUMENTS, **ids)
def test_function_with_wrong_number_of_arguments_raises_pyacls_text(acl, row):
    function = pyacl.function(acl, row.name)
    arguments = plain_arguments(row)
    counts = [len(arguments) + 1]
    if not row.optional:
        counts += range(len(arguments))
    for count in counts:
        with pytest.raises(TypeError) as raised:
            function(*[*arguments, 0][:count])
        assert str(raised.value) == row.refusal


@pytest.mark.parametrize("row", ROWS, **ids)
def test_function_with_keyword_raises(acl, row):
    with pytest.raises(TypeError):
        pyacl.function(acl, row.name)(*plain_arguments(row)[:-1], value=0)


def wrong_values(letter):
    """Values that a format character refuses."""
    if letter in "kK":
        return [None, "1", b"1", 1.0, [], object(), numpy.uint64(1)]
    if letter in "IB":
        return [None, "1", b"1", 1.0, [], object()]
    if letter == "i":
        return [None, "1", b"1", 1.0, [], object(), 2**31, -(2**31) - 1, 2**70, -(2**70)]
    if letter == "s":
        return [None, 1, b"", "a\0b"]
    return []


@pytest.mark.parametrize("row", [row for row in WITH_ARGUMENTS if not set(row.formats) <= set("OF")], **ids)
def test_function_with_wrong_type_raises_pyacls_text(acl, row):
    function = pyacl.function(acl, row.name)
    tried = 0
    for position, letter in enumerate(row.formats):
        for value in wrong_values(letter):
            arguments = plain_arguments(row)
            arguments[position] = value
            with pytest.raises(TypeError) as raised:
                function(*arguments)
            assert str(raised.value) == row.refusal
            tried += 1
    assert tried


@pytest.mark.parametrize("row", [row for row in ROWS if "F" in row.formats], **ids)
def test_function_with_something_not_callable_raises(acl, row):
    arguments = plain_arguments(row)
    arguments[row.formats.index("F")] = 5
    with pytest.raises(TypeError, match=r"^parameter must be callable$"):
        pyacl.function(acl, row.name)(*arguments)


PLAIN_INTS = [row for row in HANDLE_FIRST if set(row.formats) <= set(INT_FORMATS) and row not in RAISING]


@pytest.mark.parametrize("row", PLAIN_INTS, **ids)
def test_function_with_bool_and_int_subclass_counts_them_as_ints(acl, handles, row):
    class Number(int):
        pass

    function = pyacl.function(acl, row.name)
    for arguments in ([False] * len(row.formats), [Number(0)] * len(row.formats)):
        assert code_of(function(*arguments)) == code_of(function(*([0] * len(row.formats))))


@pytest.mark.parametrize("row", PLAIN_INTS, **ids)
def test_function_masks_a_handle_to_64_bits(acl, handles, row):
    function = pyacl.function(acl, row.name)
    arguments = plain_arguments(row)
    expected = code_of(function(*arguments))
    assert code_of(function(2**64, *arguments[1:])) == expected
    assert code_of(function(-(2**64), *arguments[1:])) == expected


# What each function without arguments makes, and what ends it.
ENDED_BY = {
    "acl.rt.create_stream": "acl.rt.destroy_stream",
    "acl.rt.create_event": "acl.rt.destroy_event",
    "acl.media.dvpp_create_pic_desc": "acl.media.dvpp_destroy_pic_desc",
    "acl.media.dvpp_create_stream_desc": "acl.media.dvpp_destroy_stream_desc",
    "acl.media.venc_create_channel_desc": "acl.media.venc_destroy_channel_desc",
    "acl.media.venc_create_frame_config": "acl.media.venc_destroy_frame_config",
}


@pytest.mark.parametrize("row", [row for row in WITHOUT_ARGUMENTS if "finalize" not in row.name], **ids)
def test_function_without_arguments_ignores_those_it_gets(acl, context, row):
    result = pyacl.function(acl, row.name)(0, "ignored", None)
    assert has_shape(result, row)
    if row.name in ENDED_BY:
        handle = result[0] if isinstance(result, tuple) else result
        assert handle > 0
        assert pyacl.function(acl, ENDED_BY[row.name])(handle) == 0


# ---- shapes and codes ------------------------------------------------------------------------------------------------


# They need more than live handles, and have tests of their own.
NEEDS_MORE = {
    "acl.rt.subscribe_report",
    "acl.rt.unsubscribe_report",
    "acl.rt.launch_callback",
    "acl.rt.memcpy_async",
    "acl.rt.memcpy2d_async",
    "acl.rt.memset_async",
    "acl.rt.event_elapsed_time",
    "acl.rt.set_context",
    "acl.media.venc_get_channel_desc_callback",
    "acl.media.venc_create_channel",
    "acl.media.venc_destroy_channel",
    "acl.media.venc_send_frame",
}


@pytest.mark.parametrize("row", [row for row in WITH_HANDLES if row.name not in NEEDS_MORE], **ids)
def test_function_on_live_handles_succeeds_in_pyacls_shape(acl, handles, row):
    if "_set_" in row.name and "_buf_" in row.name:
        pyacl.skip_on_the_310(acl, row.name)
    arguments = working_arguments(row, handles)
    result = pyacl.function(acl, row.name)(*arguments)
    if row.name in ENDS_ITS_HANDLE:
        handles.forget(row.handles[0], arguments[0])
    assert has_shape(result, row)
    if "r" in row.returns:
        allowed = (0, pyacl.API_NOT_SUPPORT) if row.name in OPTIONAL else (0,)
        assert code_of(result) in allowed


@pytest.mark.parametrize("row", NULL_IS_NOTHING, **ids)
def test_function_with_null_handle_gives_ascendcls_answer(acl, handles, row):
    if "_set_" in row.name and "_buf_" in row.name:
        pyacl.skip_on_the_310(acl, row.name)
    arguments = live_arguments(row, handles)
    handles.destroy(row.handles[0], arguments[0])
    arguments[0] = 0
    function = pyacl.function(acl, row.name)
    if row.name in RAISES_FOR_NULL:
        with pytest.raises(RuntimeError, match=NO_CALLBACK):
            function(*arguments)
        return
    result = function(*arguments)
    assert has_shape(result, row)
    if "r" in row.returns:
        assert code_of(result) == NULL_RESULTS.get(row.name, pyacl.INVALID_PARAM)
    else:
        assert result == NULL_RESULTS.get(row.name, 0)


@pytest.mark.parametrize("row", WITH_HANDLES, **ids)
def test_function_with_stale_handle_gives_100000(acl, handles, row):
    for position, kind in enumerate(row.handles):
        if not kind:
            continue
        arguments = live_arguments(row, handles)
        handles.destroy(kind, arguments[position])
        check_dead_handle(acl, row, arguments, position)


def check_dead_handle(acl, row, arguments, position):
    """Call with a dead handle at a position, and live ones elsewhere."""
    function = pyacl.function(acl, row.name)
    if row.name in RAISES_WITHOUT_CALLBACK:
        with pytest.raises(RuntimeError, match=NO_CALLBACK):
            function(*arguments)
        return
    if row.name == "acl.media.venc_send_frame" and position > 0:
        with pytest.raises(RuntimeError, match=NO_CALLBACK):  # looked at before the other handles
            function(*arguments)
        return
    result = function(*arguments)
    assert has_shape(result, row)
    if "r" in row.returns:
        if row.name not in OPTIONAL or code_of(result) != pyacl.API_NOT_SUPPORT:
            assert code_of(result) == pyacl.INVALID_PARAM
            assert "is not a live" in acl.get_recent_err_msg()
    else:
        assert result == NULL_RESULTS.get(row.name, 0)


def forged(seed, live, count=1000):
    """Ints that are no handle: small ones, addresses of Python objects, neighbours of live handles, random bits."""
    generator = random.Random(seed)
    numbers = [1, 2, 3, 8, 16, 255, 4096, 2**31, 2**32, 2**47, 2**48 - 8, 2**63, 2**64 - 1, id(seed), id(generator)]
    for handle in live:
        numbers += [handle + step for step in (-64, -16, -8, -1, 1, 8, 16, 64)] + [handle ^ 2**40, handle | 2**62]
    numbers += [generator.getrandbits(generator.randrange(8, 65)) for _ in range(count)]
    alive = {0, *live}
    return [number % 2**64 for number in numbers if number % 2**64 not in alive][:count]


@pytest.mark.parametrize("row", WITH_HANDLES, **ids)
def test_function_with_forged_handles_gives_100000_and_never_crashes(acl, handles, row):
    for position, kind in enumerate(row.handles):
        if not kind:
            continue
        arguments = live_arguments(row, handles)
        live = [handle for _, handle in handles.made]
        numbers = forged(row.name, live)
        assert len(numbers) == 1000
        for number in numbers:
            arguments[position] = number
            check_dead_handle(acl, row, arguments, position)
        handles.clear()


@pytest.mark.parametrize("row", WITH_HANDLES, **ids)
def test_function_with_handle_of_another_kind_gives_100000(acl, handles, row):
    for position, kind in enumerate(row.handles):
        for other in handles.kinds if kind else ():
            if other == kind or {other, kind} == {"device_memory", "dvpp_memory"}:
                continue  # which memory may be freed by which function is the library's to say
            arguments = live_arguments(row, handles)
            arguments[position] = handles.make(other)
            check_dead_handle(acl, row, arguments, position)
            handles.clear()


@pytest.mark.parametrize(
    "name", sorted({row.name for row in WITH_HANDLES} & {*ENDS_ITS_HANDLE} - {"acl.rt.destroy_stream_force"})
)
def test_handle_ended_twice_fails_softly(acl, handles, name):
    row = BY_NAME[name]
    handle = handles.make(row.handles[0])
    function = pyacl.function(acl, name)
    assert function(handle) == 0
    handles.forget(row.handles[0], handle)
    assert function(handle) == pyacl.INVALID_PARAM
    assert function(handle) == pyacl.INVALID_PARAM


# ---- no context ------------------------------------------------------------------------------------------------------

# What a thread without a context gets. None: any code but 0.
WITHOUT_CONTEXT = {
    "acl.rt.get_context": (0, pyacl.CONTEXT_NULL),
    "acl.rt.create_stream": (0, pyacl.CONTEXT_NULL),
    "acl.rt.synchronize_device": pyacl.CONTEXT_NULL,
    "acl.media.dvpp_create_pic_desc": 0,
    "acl.media.dvpp_create_stream_desc": 0,
    "acl.media.venc_create_channel_desc": 0,
}


@pytest.mark.parametrize("name", WITHOUT_CONTEXT)
def test_function_without_context_says_so(acl, context, name):
    assert pyacl.in_thread(pyacl.function(acl, name)) == WITHOUT_CONTEXT[name]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("acl.rt.malloc", (64, 0)), ("acl.media.dvpp_malloc", (64,))],
)
def test_allocation_without_context_gives_107002(acl, context, name, arguments):
    assert pyacl.in_thread(pyacl.function(acl, name), *arguments) == (0, pyacl.CONTEXT_NULL)


@pytest.mark.parametrize("name", ["acl.rt.get_run_mode", "acl.rt.get_device_count", "acl.get_version"])
def test_question_about_the_machine_needs_no_context(acl, context, name):
    result = pyacl.in_thread(pyacl.function(acl, name))
    assert code_of(result) == 0


# ---- values that wrap ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", [row for row in ROWS if "desc_" in row.name and row.args == "kI"], **ids)
def test_uint32_setter_masks_to_32_bits(acl, handles, row):
    getter = pyacl.function(acl, row.name.replace("_set_", "_get_"))
    setter = pyacl.function(acl, row.name)
    handle = handles.make(row.handles[0])
    if row.name.endswith("buf_size"):
        pyacl.skip_on_the_310(acl, row.name)
    if row.name.endswith(("rc_mode", "buf_size")):
        value = {"rc_mode": 1, "buf_size": 8 << 20}[row.name.rpartition("desc_")[2]]
        assert setter(handle, value + 2**32) == 0
        assert getter(handle) == value
        return
    for value, stored in ((7, 7), (2**32 + 7, 7), (-1, 2**32 - 1), (True, 1), (2**80 + 3, 3), (numpy.int64(9), 9)):
        assert setter(handle, value) == 0
        assert getter(handle) == stored


@pytest.mark.parametrize("field", ["eos", "force_i_frame"])
def test_uint8_setter_masks_to_8_bits_and_collapses(acl, handles, field):
    config = handles.make("frame_config")
    setter = getattr(acl.media, f"venc_set_frame_config_{field}")
    getter = getattr(acl.media, f"venc_get_frame_config_{field}")
    for value, stored in ((1, 1), (0, 0), (256, 0), (257, 1), (-1, 1), (255, 1), (True, 1), (False, 0)):
        assert setter(config, value) == 0
        assert getter(config) == stored


def test_stream_eos_collapses(acl, handles):
    stream = handles.make("stream_desc")
    for value, stored in ((1, 1), (256, 0), (7, 1)):
        assert acl.media.dvpp_set_stream_desc_eos(stream, value) == 0
        assert acl.media.dvpp_get_stream_desc_eos(stream) == stored


def test_uint64_setters_mask_to_64_bits(acl, handles):
    channel, stream = handles.make("channel_desc"), handles.make("stream_desc")
    for value, stored in ((2**64 - 1, 2**64 - 1), (-1, 2**64 - 1), (2**64 + 5, 5)):
        assert acl.media.venc_set_channel_desc_thread_id(channel, value) == 0
        assert acl.media.venc_get_channel_desc_thread_id(channel) == stored
        assert acl.media.dvpp_set_stream_desc_timestamp(stream, value) == 0
        assert acl.media.dvpp_get_stream_desc_timestamp(stream) == stored


# ---- many handles ----------------------------------------------------------------------------------------------------


def test_thousands_of_handles_are_told_apart(acl, handles):
    """The table grows, and closes its gaps, with handles made and destroyed in any order."""
    generator = random.Random(7)
    media = acl.media
    alive, dead = {}, set()
    for step in range(6000):
        if alive and generator.random() < 0.45:
            handle = generator.choice(list(alive)) if step % 10 == 0 else next(iter(alive))
            assert media.dvpp_get_pic_desc_width(handle) == alive.pop(handle)
            assert media.dvpp_destroy_pic_desc(handle) == 0
            dead.add(handle)
        else:
            handle = media.dvpp_create_pic_desc()
            assert media.dvpp_set_pic_desc_width(handle, step) == 0
            alive[handle] = step
            dead.discard(handle)
    assert all(media.dvpp_get_pic_desc_width(handle) == width for handle, width in alive.items())
    assert all(media.dvpp_destroy_pic_desc(handle) == pyacl.INVALID_PARAM for handle in dead)
    assert all(media.dvpp_destroy_pic_desc(handle) == 0 for handle in alive)
