# SPDX-License-Identifier: Apache-2.0
"""Memory of every kind, and acl.util's addresses of bytes and arrays."""

import contextlib
import ctypes
import warnings

import numpy
import pytest

from helpers import pyacl


def test_dvpp_memory_is_aligned_and_holds_what_is_copied_to_it(acl, context):
    pointer = pyacl.ok(acl.media.dvpp_malloc(1000))
    assert pointer % 128 == 0
    source, target = bytes(range(250)) * 4, bytes(1000)
    pyacl.ok(acl.rt.memcpy(pointer, 1000, acl.util.bytes_to_ptr(source), 1000, 1))
    pyacl.ok(acl.rt.memcpy(acl.util.bytes_to_ptr(target), 1000, pointer, 1000, 2))
    assert target == source
    pyacl.ok(acl.media.dvpp_free(pointer))


@pytest.mark.parametrize(
    ("room", "size", "kind", "code"),
    [
        (16, 17, 0, 107000),
        (16, 16, 9, pyacl.INVALID_PARAM),
        (16, 16, -1, pyacl.INVALID_PARAM),
        (16, 16, 0, 0),
        (16, 0, 0, 0),
    ],
    ids=["too_much", "no_such_kind", "negative_kind", "all", "nothing"],
)
def test_memcpy_checks_its_numbers(acl, context, room, size, kind, code):
    source, target = b"a" * 32, bytes(16)
    pointer = acl.util.bytes_to_ptr
    assert acl.rt.memcpy(pointer(target), room, pointer(source), size, kind) == code
    assert target == (b"a" * size if code == 0 else b"").ljust(16, b"\0")


def test_memcpy_with_null_gives_100000(acl, context):
    data = bytes(16)
    assert acl.rt.memcpy(0, 16, acl.util.bytes_to_ptr(data), 16, 0) == pyacl.INVALID_PARAM
    assert acl.rt.memcpy(acl.util.bytes_to_ptr(data), 16, 0, 16, 0) == pyacl.INVALID_PARAM


@pytest.mark.parametrize("later", [False, True], ids=["memcpy2d", "memcpy2d_async"])
def test_memcpy2d_copies_rows_between_pitches(acl, handles, later):
    if acl.rt.memcpy2d(0, 1, 0, 1, 1, 1, 1) == pyacl.API_NOT_SUPPORT:
        pytest.skip("this runtime lacks it")
    memory, pointer = handles.make("device_memory"), acl.util.bytes_to_ptr
    stream = handles.make("stream")
    copy, behind = (acl.rt.memcpy2d_async, (stream,)) if later else (acl.rt.memcpy2d, ())
    source, target = bytes(range(250)), bytes(60)
    ret = copy(memory, 32, pointer(source), 50, 20, 3, 1, *behind)
    if pyacl.ok(acl.rt.get_run_mode()) == 0:
        assert ret == 207000, "a board has no such copies"
        return
    pyacl.ok(ret)
    pyacl.ok(copy(pointer(target), 20, memory, 32, 20, 3, pyacl.DEVICE_TO_HOST, *behind))
    pyacl.ok(acl.rt.synchronize_stream(stream))
    assert target == source[:20] + source[50:70] + source[100:120]
    assert copy(memory, 19, pointer(source), 50, 20, 3, 1, *behind) == pyacl.INVALID_PARAM


def test_memcpy_with_bytes_for_an_address_raises_pyacls_text(acl, context):
    with pytest.raises(TypeError, match=r"^acl.rt.memcpy args parse failed$"):
        acl.rt.memcpy(bytes(16), 16, 0, 16, 0)


def test_memset_fills_with_a_byte(acl, handles):
    memory = handles.make("device_memory")
    pyacl.ok(acl.rt.memset(memory, 4096, 0x1FF, 10))
    pyacl.ok(acl.rt.memset(memory + 10, 4086, 0, 1))
    data = bytes(11)
    pyacl.ok(acl.rt.memcpy(acl.util.bytes_to_ptr(data), 11, memory, 11, pyacl.DEVICE_TO_HOST))
    assert data == b"\xff" * 10 + b"\0"


@pytest.mark.parametrize("name", ["malloc", "malloc_host"])
def test_allocation_of_nothing_gives_100000(acl, context, name):
    arguments = (0, 0) if name == "malloc" else (0,)
    assert getattr(acl.rt, name)(*arguments) == (0, pyacl.INVALID_PARAM)


def test_allocation_of_nothing_for_the_media_unit_succeeds(acl, context):
    pyacl.ok(acl.media.dvpp_free(pyacl.ok(acl.media.dvpp_malloc(0))))


@pytest.mark.parametrize("name", ["acl.rt.malloc", "acl.rt.malloc_host", "acl.media.dvpp_malloc"])
@pytest.mark.parametrize("size", [2**62, 2**64 - 1])
def test_allocation_of_more_than_there_is_fails(acl, context, name, size):
    arguments = (size, 0) if name == "acl.rt.malloc" else (size,)
    pointer, ret = pyacl.function(acl, name)(*arguments)
    assert pointer == 0
    assert ret != 0


@pytest.mark.parametrize(
    ("malloc", "free"),
    [
        (lambda acl: acl.rt.malloc(64, 0), lambda acl: acl.rt.free),
        (lambda acl: acl.rt.malloc_host(64), lambda acl: acl.rt.free_host),
        (lambda acl: acl.media.dvpp_malloc(64), lambda acl: acl.media.dvpp_free),
    ],
    ids=["device", "host", "dvpp"],
)
def test_memory_freed_twice_fails_softly(acl, context, malloc, free):
    pointer = pyacl.ok(malloc(acl))
    assert free(acl)(pointer) == 0
    assert free(acl)(pointer) == pyacl.INVALID_PARAM
    assert free(acl)(pointer + 32) == pyacl.INVALID_PARAM


# ---- acl.util --------------------------------------------------------------------------------------------------------


def test_bytes_to_ptr_is_the_address_of_the_objects_own_buffer(initialised):
    data = bytes(range(16))
    pointer = initialised.util.bytes_to_ptr(data)
    assert ctypes.string_at(pointer, 16) == data
    assert initialised.util.bytes_to_ptr(data) == pointer
    assert initialised.util.ptr_to_bytes(pointer, 16) == data
    assert initialised.util.ptr_to_bytes(pointer + 3, 4) == data[3:7]


@pytest.mark.parametrize("value", [bytearray(4), "text", 5, None, memoryview(b"x"), numpy.zeros(3)])
def test_bytes_to_ptr_of_anything_else_raises(initialised, value):
    with pytest.raises(ValueError, match=r"^needs an byte as argument$"):
        initialised.util.bytes_to_ptr(value)


def test_bytes_that_memcpy_writes_into_change(acl, handles):
    memory = handles.make("device_memory")
    pyacl.ok(acl.rt.memset(memory, 4096, 5, 64))
    data = bytes(64)
    pyacl.ok(acl.rt.memcpy(acl.util.bytes_to_ptr(data), len(data), memory, 64, 2))
    assert data == b"\x05" * 64


def test_ptr_to_bytes_copies_and_refuses_what_cannot_be(initialised):
    data = b"abc" * 10
    copied = initialised.util.ptr_to_bytes(initialised.util.bytes_to_ptr(data), 30)
    assert copied == data
    assert initialised.util.ptr_to_bytes(0, 0) == b""
    with pytest.raises(ValueError, match="ptr is 0"):
        initialised.util.ptr_to_bytes(0, 10)
    with pytest.raises(ValueError, match="larger than any memory"):
        initialised.util.ptr_to_bytes(4096, -1)


def deprecated():
    return pytest.warns(Warning, match="will be deprecated")


def test_numpy_to_ptr_is_the_address_of_the_array_and_warns(initialised):
    array = numpy.arange(12, dtype=numpy.uint8)
    with deprecated():
        pointer = initialised.util.numpy_to_ptr(array)
    assert pointer == array.ctypes.data
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert initialised.util.numpy_to_ptr(array[::2]) == pointer
    assert [str(warning.message) for warning in seen] == [
        "acl.util.numpy_to_ptr will be deprecated. Please use acl.util.bytes_to_ptr instead.",
        "The input ndarray is discontiguous. Please use acl.util.bytes_to_ptr instead.",
    ]
    assert [warning.category for warning in seen] == [Warning, Warning]


@pytest.mark.parametrize(
    ("action", "shown"),
    [("always", 6), ("default", 2), ("module", 1), ("once", 1), ("ignore", 0)],
)
def test_deprecation_is_shown_as_often_as_the_filters_say(initialised, action, shown):
    array = numpy.zeros(4, numpy.uint8)
    namespace = {"to_ptr": initialised.util.numpy_to_ptr, "array": array, "__name__": "program"}
    code = compile("for _ in range(3):\n    to_ptr(array)\n" * 2, "program", "exec")
    for _ in range(2):  # what was remembered under other filters does not count
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("ignore")
            exec(code, namespace)
        assert seen == []
        namespace.pop("__warningregistry__", None)
        with warnings.catch_warnings(record=True) as seen:
            warnings.resetwarnings()
            warnings.simplefilter(action)
            warnings.onceregistry.clear()
            exec(code, namespace)
        assert len(seen) == shown
        namespace.pop("__warningregistry__", None)


def test_deprecation_can_be_made_an_error_at_any_time(initialised):
    array = numpy.zeros(4, numpy.uint8)
    for action in ("ignore", "error", "ignore", "error"):
        with warnings.catch_warnings():
            warnings.simplefilter(action)
            for _ in range(3):
                if action == "ignore":
                    assert initialised.util.numpy_to_ptr(array) == array.ctypes.data
                else:
                    with pytest.raises(Warning, match="will be deprecated"):
                        initialised.util.numpy_to_ptr(array)


@pytest.mark.parametrize("anew", [warnings.catch_warnings, warnings.resetwarnings])
def test_deprecation_is_an_error_in_a_place_that_was_quiet(initialised, anew):
    """Filters that are gone leave their addresses to those that come: a place is quiet by the former ones."""
    array = numpy.zeros(4, numpy.uint8)

    def call(action):
        with anew() or contextlib.nullcontext():
            warnings.simplefilter(action)
            return initialised.util.numpy_to_ptr(array)

    with warnings.catch_warnings():
        for _ in range(100):
            assert call("ignore") == array.ctypes.data
            with pytest.raises(Warning, match="will be deprecated"):
                call("error")


@pytest.mark.parametrize("dtype", ["M8[s]", "O", "f2", "V3"])
def test_numpy_to_ptr_takes_every_dtype_and_read_only_arrays(initialised, dtype):
    array = numpy.zeros(4, dtype)
    array.flags.writeable = False
    with deprecated():
        assert initialised.util.numpy_to_ptr(array) == array.ctypes.data


def test_numpy_contiguous_to_ptr_copies_only_if_it_has_to(initialised):
    array = numpy.arange(12, dtype=numpy.uint16).reshape(3, 4)
    with deprecated():
        pointer, same = initialised.util.numpy_contiguous_to_ptr(array)
    assert pointer == array.ctypes.data
    assert same is array
    with deprecated():
        pointer, copied = initialised.util.numpy_contiguous_to_ptr(array.T)
    assert pointer == copied.ctypes.data != array.ctypes.data
    assert (copied == array.T).all()
    assert copied.flags.c_contiguous


@pytest.mark.parametrize("name", ["numpy_to_ptr", "numpy_contiguous_to_ptr"])
@pytest.mark.parametrize("value", [b"bytes", [1, 2], 5, None])
def test_numpy_functions_of_anything_else_raise(initialised, name, value):
    with deprecated(), pytest.raises(ValueError, match=r"^needs an ndarray as argument$"):
        getattr(initialised.util, name)(value)


@pytest.mark.parametrize("name", ["numpy_to_ptr", "numpy_contiguous_to_ptr", "ptr_to_numpy"])
def test_numpy_functions_warn_before_they_look_at_their_arguments(initialised, name):
    with deprecated(), pytest.raises(TypeError, match=rf"^acl\.util\.{name} args parse failed$"):
        getattr(initialised.util, name)()


def test_arrays_without_dimensions_keep_their_shape(initialised):
    array = numpy.array(7, numpy.uint16)
    with deprecated():
        pointer, same = initialised.util.numpy_contiguous_to_ptr(array)
    assert same is array
    with deprecated():
        view = initialised.util.ptr_to_numpy(pointer, (), 4)
    assert (view.shape, view[()]) == ((), 7)


NUMBERS = {0: "?", 1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "i8", 8: "u8", 11: "f4", 12: "f8", 23: "f2"}
NUMBERS.update({18: "S1", 19: "U1", 21: "M8", 22: "m8"})


@pytest.mark.parametrize("number", NUMBERS)
def test_ptr_to_numpy_is_a_writable_view_of_the_type_with_that_number(acl, handles, number):
    pointer, zeros = handles.make("host_memory"), bytes(4096)
    pyacl.ok(acl.rt.memcpy(pointer, 4096, acl.util.bytes_to_ptr(zeros), 4096, 0))
    with deprecated():
        array = acl.util.ptr_to_numpy(pointer, (3, 5), number)
    assert array.shape == (3, 5)
    assert array.dtype == numpy.dtype(NUMBERS[number])
    assert array.ctypes.data == pointer
    assert not array.flags.owndata
    size = array.dtype.itemsize
    array.view(numpy.uint8)[2, 4 * size] = 1
    assert acl.util.ptr_to_bytes(pointer, 15 * size) == bytes(14 * size) + b"\1" + bytes(size - 1) == array.tobytes()
    assert numpy.dtype(NUMBERS[number]).num == number or number in (7, 8)  # NumPy's own numbering


@pytest.mark.parametrize(
    ("shape", "number", "kind", "text"),
    [
        ([4], 2, ValueError, "^shape is empty$"),
        (4, 2, ValueError, "^shape is empty$"),
        ((4.0,), 2, TypeError, "^the second argument is not list of int$"),
        ((-1,), 2, ValueError, "^negative dimensions are not allowed$"),
        ((4,), 17, ValueError, "np_type is 17"),
        ((4,), 100, ValueError, "^Invalid data-type for array: np_type is 100$"),
        ((4,), -1, ValueError, "^Invalid data-type for array: np_type is -1$"),
        ((2**40, 2**40), 2, ValueError, "larger than any memory"),
    ],
)
@pytest.mark.filterwarnings("ignore:acl.util.ptr_to_numpy")
def test_ptr_to_numpy_refuses_what_cannot_be(acl, handles, shape, number, kind, text):
    with pytest.raises(kind, match=text):
        acl.util.ptr_to_numpy(handles.make("host_memory"), shape, number)


@pytest.mark.filterwarnings("ignore:acl.util.ptr_to_numpy")
def test_ptr_to_numpy_of_nothing_is_empty(initialised):
    assert initialised.util.ptr_to_numpy(0, (0, 3), 2).shape == (0, 3)
    with pytest.raises(ValueError, match="ptr is 0"):
        initialised.util.ptr_to_numpy(0, (3,), 2)
