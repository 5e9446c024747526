# SPDX-License-Identifier: Apache-2.0
"""Frames from anywhere: each kind is encoded, and copied as often as docs/encoder.md says."""

import ctypes
import gc
import io
import subprocess
import sys
import textwrap
import threading
import weakref

import numpy as np
import pytest

import ascend_venc as venc
from ascend_venc import acl, bitstream
from ascend_venc._lowlevel.stream import let_go_of_ended
from ascend_venc.acl import finalize, init
from helpers import decode, dlpack, interface, live, processes, simulator, video
from helpers.waiting import eventually

WIDTH, HEIGHT = 144, 128
SIZE = WIDTH * HEIGHT * 3 // 2


@pytest.fixture(scope="module")
def frame():
    return video.synthetic(WIDTH, HEIGHT, 1)[0]


@pytest.fixture(scope="module", autouse=True)
def facade():
    """The facade, by which device memory is had here, on the same device as the encoders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASCEND_VENC_BACKEND", "sim")
        assert init() in (0, 100002)
    yield
    assert finalize() in (0, 100037)


def padded(frame, pad):
    wide = np.full((frame.shape[0], frame.shape[1] + pad), 77, np.uint8)
    wide[:, : frame.shape[1]] = frame
    return wide[:, : frame.shape[1]]


def read_only(frame):
    copy = frame.copy()
    copy.flags.writeable = False
    return copy


HOST_KINDS = {
    "ndarray": (lambda f: f, 0),
    "bytes": (lambda f: f.tobytes(), 0),
    "bytearray": (lambda f: bytearray(f.tobytes()), 0),
    "memoryview": (memoryview, 0),
    "ctypes": (lambda f: (ctypes.c_uint8 * SIZE).from_buffer_copy(f.tobytes()), 0),
    "ctypes of rows": (lambda f: (ctypes.c_char * WIDTH * (HEIGHT * 3 // 2)).from_buffer_copy(f.tobytes()), 0),
    "pair of ctypes": (
        lambda f: (
            (ctypes.c_byte * (HEIGHT * WIDTH)).from_buffer_copy(f[:HEIGHT].tobytes()),
            (ctypes.c_uint8 * 2 * (WIDTH // 2) * (HEIGHT // 2)).from_buffer_copy(f[HEIGHT:].tobytes()),
        ),
        0,
    ),
    "flat": (lambda f: f.reshape(-1), 0),
    "read-only": (read_only, 0),
    "padded": (lambda f: padded(f, 9), 1),
    "sliced": (lambda f: np.repeat(f, 2, 0)[::2], 1),
    "pair": (lambda f: (f[:HEIGHT].copy(), f[HEIGHT:].copy()), 0),
    "pair of different strides": (lambda f: (padded(f[:HEIGHT], 1), padded(f[HEIGHT:], 30)), 1),
    "pair with chroma in three dimensions": (lambda f: (f[:HEIGHT], f[HEIGHT:].reshape(HEIGHT // 2, WIDTH // 2, 2)), 0),
    "DLPack of numpy": (lambda f: OnlyDLPack(f), 0),  # noqa: PLW0108
}


class OnlyDLPack:
    """A tensor in host memory that has no buffer protocol, as torch's have none."""

    def __init__(self, array):
        self._array = array

    def __dlpack__(self, **options):
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()


def copies(enc):
    stats = enc.stats
    return stats.host_copies_in, stats.device_copies_in, stats.copies_out


def picture_of(packets):
    (picture,) = decode.frames(b"".join(map(bytes, packets)), "h264")
    return picture


@pytest.fixture
def enc(backend):
    with venc.Encoder(WIDTH, HEIGHT, codec="h264", bitrate="2M", backend=backend) as encoder:
        yield encoder


@pytest.fixture(scope="module")
def expected(frame):
    before = live.settled()
    with venc.Encoder(WIDTH, HEIGHT, codec="h264", bitrate="2M", backend="sim") as enc:
        picture = picture_of(enc.encode(frame) + enc.flush())
    live.assert_unchanged(before)  # the device ends natively: not to be counted by the test that comes first
    return picture


@pytest.mark.parametrize("kind", HOST_KINDS)
@pytest.mark.parametrize("call", ["encode", "submit", "submit_many", "submit_async", "borrowed"])
def test_host_memory_on_a_host(enc, frame, expected, kind, call):
    make, host_copies = HOST_KINDS[kind]
    given = make(frame)
    packets = []
    if call == "encode":
        packets = enc.encode(given)
    elif call == "submit_many":
        assert enc.submit_many([given]) == [0]
    elif call == "submit":
        assert enc.submit(given) == 0
    else:
        assert enc.submit_async(given, copy=call == "submit_async") == 0
    packets += enc.flush()
    assert np.array_equal(picture_of(packets), expected)
    assert copies(enc) == (1 if call == "submit_async" else host_copies, 1, 1)
    assert enc.stats.bytes_copied_in == SIZE * (copies(enc)[0] + 1)


def test_acquired_frame_on_a_host_is_one_dma(enc, frame, expected):
    picture = enc.acquire()
    assert (picture.width, picture.height, picture.stride, picture.is_device_memory) == (WIDTH, HEIGHT, 144, False)
    picture.y[:] = frame[:HEIGHT]
    picture.uv[:] = frame[HEIGHT:]
    assert np.array_equal(picture.array, frame)
    assert enc.submit(picture) == 0
    assert np.array_equal(picture_of(enc.flush()), expected)
    assert copies(enc) == (0, 1, 1)


def test_board_profile_copies_less(expected, tmp_path):
    """On a board the device's memory is the program's: checked in a process whose simulated device is one."""
    np.save(tmp_path / "expected.npy", expected)
    program = f"""
        import sys
        sys.path.insert(0, "tests")
        import numpy as np
        import ascend_venc as venc
        from helpers import video
        from integration.test_input_kinds import HOST_KINDS, HEIGHT, WIDTH, copies, picture_of
        frame = video.synthetic(WIDTH, HEIGHT, 1)[0]
        expected = np.load({str(tmp_path / "expected.npy")!r})

        def check(submit, wanted):
            with venc.Encoder(WIDTH, HEIGHT, codec="h264", bitrate="2M", backend="sim:Ascend310B4") as enc:
                submit(enc)
                assert np.array_equal(picture_of(enc.flush()), expected)
                assert copies(enc) == wanted, copies(enc)

        for make, _ in HOST_KINDS.values():
            check(lambda enc: enc.submit(make(frame)), (1, 0, 1))
            check(lambda enc: enc.submit_async(make(frame), copy=False), (1, 0, 1))

        def in_place(enc):
            picture = enc.acquire()
            assert picture.is_device_memory
            picture.array[:] = frame
            enc.submit(picture)

        check(in_place, (0, 0, 1))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env=processes.environment(PYTHONPATH=f"{simulator.ROOT}:{simulator.ROOT / 'tests'}"),
        cwd=simulator.ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


# ---- memory that is on the device already ------------------------------------------------------------------------


class Owner:
    pass


def test_device_memory_is_encoded_without_a_copy_and_its_owner_let_go_of(enc, frame, expected):
    with dlpack.DeviceMemory(SIZE, frame) as memory:
        owner = Owner()
        gone = weakref.ref(owner)
        assert enc.submit(venc.DeviceFrame(memory.address, WIDTH, HEIGHT, owner=owner, stream=0)) == 0
        del owner
        packets = enc.flush()
        assert gone() is None
        assert np.array_equal(picture_of(packets), expected)
        assert copies(enc) == (0, 0, 1)


@pytest.mark.parametrize("end", ["close", "collector"])
def test_device_memory_is_kept_for_a_device_that_has_not_given_it_back_when_the_encoder_ends(end, frame):
    def let_go():
        let_go_of_ended()  # as each call of any encoder does
        gc.collect()
        return gone() is None

    owner = Owner()
    gone = weakref.ref(owner)
    with dlpack.DeviceMemory(SIZE, frame) as memory:
        enc = venc.Encoder(WIDTH, HEIGHT, codec="h264", backend="sim", timeout=10)
        with simulator.shared().options(stall=1):
            enc.submit(venc.DeviceFrame(memory.address, WIDTH, HEIGHT, owner=owner))
            del owner
            if end == "close":
                enc._timeout = 0.05
                with pytest.raises(venc.AclTimeoutError):
                    enc.close()
                del enc
            else:
                with pytest.warns(ResourceWarning, match="unclosed"):
                    del enc
                    gc.collect()
            assert not let_go()
        eventually(let_go)


def test_device_memory_brings_its_sei(enc, frame):
    with dlpack.DeviceMemory(SIZE, frame) as memory:
        enc.submit(venc.DeviceFrame(memory.address, WIDTH, HEIGHT), sei=[bitstream.FrameTime(7)])
        enc.submit(venc.DeviceFrame(memory.address, WIDTH, HEIGHT))
        first, second = enc.flush()
    assert first.sei()[-1].content == bitstream.FrameTime(7)
    assert bitstream.FrameTime(7) not in [message.content for message in second.sei()]


@pytest.mark.parametrize("kind", ["created", "default"])
def test_stream_of_the_callers_context_is_waited_for(enc, frame, kind):
    stop, started, ran = threading.Event(), threading.Event(), []

    def report():
        assert acl.rt.set_context(context) == 0
        started.set()
        while not stop.wait(0.05):  # the picture is "written" late
            acl.rt.process_report(1000)

    with dlpack.DeviceMemory(SIZE, frame) as memory:
        context, code = acl.rt.create_context(0)
        assert code == 0
        stream, code = acl.rt.create_stream() if kind == "created" else (0, 0)
        assert code == 0
        thread = threading.Thread(target=report)
        thread.start()
        started.wait()
        try:
            assert acl.rt.subscribe_report(thread.ident, stream) == 0
            assert acl.rt.launch_callback(ran.append, "written", 1, stream) == 0
            enc.submit(venc.DeviceFrame(memory.address, WIDTH, HEIGHT, stream=stream))
            assert ran == ["written"]
            assert len(enc.flush()) == 1
            assert acl.rt.get_context() == (context, 0)
        finally:
            stop.set()
            thread.join()
            assert acl.rt.unsubscribe_report(thread.ident, stream) == 0
            if kind == "created":
                assert acl.rt.destroy_stream(stream) == 0
            assert acl.rt.destroy_context(context) == 0


@pytest.mark.parametrize(
    ("stride", "rows", "readable"),
    [
        (160, HEIGHT, True),
        (2 * WIDTH - 16, HEIGHT, True),
        (145, HEIGHT, False),
        (150, HEIGHT + 3, False),
        (WIDTH, HEIGHT + 1, False),
        (160, HEIGHT + 2, False),  # the hardware looks for chroma behind HEIGHT rows
        (2 * WIDTH, HEIGHT, False),  # which the 310 refuses for its size
    ],
)
def test_device_memory_that_the_hardware_cannot_read_is_copied_on_the_device(
    enc, frame, expected, stride, rows, readable
):
    laid_out = np.zeros((rows * 3 // 2 + 2, stride), np.uint8)
    laid_out[:HEIGHT, :WIDTH] = frame[:HEIGHT]
    laid_out[rows : rows + HEIGHT // 2, :WIDTH] = frame[HEIGHT:]
    with dlpack.DeviceMemory(laid_out.size, laid_out.tobytes()) as memory:
        enc.submit(venc.DeviceFrame(memory.address, stride, rows))
        assert np.array_equal(picture_of(enc.flush()), expected)
        assert copies(enc) == (0, 0 if readable else 1, 1)
        enc.submit(frame, key_frame=True)  # the same slot, with memory of its own again
        assert video.psnr(frame, picture_of(enc.flush())) > 30


@pytest.mark.parametrize("versioned", [False, True])
@pytest.mark.parametrize("device_type", [dlpack.ASCEND, dlpack.EXTENSION])
def test_device_tensor(enc, frame, expected, versioned, device_type):
    with dlpack.DeviceMemory(SIZE + 32, bytes(32) + frame.tobytes()) as memory:
        tensor = dlpack.Tensor(
            memory.address + 32, frame.shape, (WIDTH, 1), device=(device_type, 0), versioned=versioned, offset=32
        )
        enc.submit(tensor)
        packets = enc.flush()
        assert tensor.deleted == [threading.current_thread().name]
        assert np.array_equal(picture_of(packets), expected)
        assert copies(enc) == (0, 0, 1)

        explicit = dlpack.Tensor(memory.address + 32, frame.shape, device=(device_type, 0), versioned=versioned)
        enc.submit(venc.DeviceFrame.from_dlpack(explicit, stream=0), token=5)
        (packet,) = enc.flush()
        assert (packet.token, len(explicit.deleted)) == (5, 1)


@pytest.mark.sim_only
def test_tensor_is_let_go_of_once_wherever_its_frame_ends(backend, frame):
    with dlpack.DeviceMemory(SIZE, frame) as memory:
        tensors = [dlpack.Tensor(memory.address, frame.shape) for _ in range(6)]
        with venc.Encoder(WIDTH, HEIGHT, codec="h264", depth=3, on_full="drop_newest", backend=backend) as enc:
            with simulator.shared().failing_call(interface.SEND), pytest.raises(venc.AclError):
                enc.submit(tensors[0])
            assert len(tensors[0].deleted) == 0, "refused by the device, which may read it all the same"
            with simulator.shared().options(stall=1):
                assert [enc.submit(tensor) for tensor in tensors[1:5]] == [0, 1, 2, None]
                assert [len(tensor.deleted) for tensor in tensors[1:5]] == [0, 0, 0, 1], "the last was dropped"
            enc.flush()
            enc.submit(tensors[5])
            assert len(tensors[0].deleted) == 1, "a later frame was reported"
            with pytest.warns(venc.DroppedPacketsWarning, match="dropped"):
                enc.close()
        assert [tensor.deleted for tensor in tensors] == [[threading.current_thread().name]] * 6


def test_torch_tensor(enc, frame, expected):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    enc.submit(torch.from_numpy(frame))
    assert np.array_equal(picture_of(enc.flush()), expected)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda f: f[:100], venc.InvalidArgumentError, r"frame has shape \(100, 144\)"),
        (lambda f: f.astype(np.uint16), TypeError, "uint8, got format 'H'"),
        (lambda f: f[::-1], venc.InvalidArgumentError, r"strides \(-144, 1\).*ascontiguousarray"),
        (lambda f: np.repeat(f, 2, 1)[:, ::2], venc.InvalidArgumentError, "rows must be contiguous"),
        (lambda f: (f, f, f), venc.InvalidArgumentError, r"tuple of 3; give an array, or the pair \(y, uv\)"),
        (
            lambda f: (f[:HEIGHT], f[:HEIGHT]),
            venc.InvalidArgumentError,
            "uv has shape .* it needs 64 rows of 144 bytes",
        ),
        (lambda f: (f[:HEIGHT], "chroma"), TypeError, "uv must support the buffer protocol"),
        (lambda f: object(), TypeError, "frame must support the buffer protocol .* got object"),
        (
            lambda f: venc.DeviceFrame(4096, 100, HEIGHT),
            venc.InvalidArgumentError,
            "stride of 100 bytes .* needs at least 144",
        ),
        (lambda f: dlpack.Tensor(4096, f.shape, device=(dlpack.CUDA, 0)), venc.InvalidArgumentError, "DLPack type 2"),
        (
            lambda f: dlpack.Tensor(4096, f.shape, device=(dlpack.ASCEND, 1)),
            venc.InvalidArgumentError,
            "on device 1, the encoder on device 0",
        ),
        (lambda f: dlpack.Tensor(4096, (5, 5)), venc.InvalidArgumentError, r"shape \(5, 5\)"),
        (lambda f: dlpack.Tensor(4096, f.shape, bits=16), TypeError, "of 16 bits"),
        (lambda f: dlpack.Tensor(4096, f.shape, (1, 192)), venc.InvalidArgumentError, r"strides \(1, 192\)"),
        (lambda f: dlpack.Tensor(4096, f.shape, (1 << 62, 1)), venc.InvalidArgumentError, rf"strides \({1 << 62}, 1\)"),
        (lambda f: dlpack.Tensor(4096, f.shape, versioned=True, major=2), venc.InvalidArgumentError, r"DLPack 2\.x"),
    ],
)
def test_what_is_no_frame_is_refused_with_words(enc, frame, make, error, text):
    with pytest.raises(error, match=text):
        enc.submit(make(frame))
    assert enc.stats.submitted == 0
    assert len(enc.encode(frame) + enc.flush()) == 1


def set_field(name, value):
    return lambda tensor: setattr(tensor, name, value)


# Each would be a read of memory that is not there, if it were read.
LYING_TENSORS = {
    "dimensions": (set_field("ndim", 2**31 - 1), "2147483647 dimensions"),
    "negative dimensions": (set_field("ndim", -1), "-1 dimensions"),
    "no shape": (set_field("shape", None), "dimensions"),
    "offset": (set_field("byte_offset", 2**63), "offset of 9223372036854775808 bytes"),
    "offset that wraps": (set_field("byte_offset", 2**64 - 1), "offset of 18446744073709551615 bytes"),
    "no data": (set_field("data", None), "its data at 0x0"),
    "another kind of device": (lambda tensor: setattr(tensor.device, "type", dlpack.CUDA), "its tensor says"),
    "another device": (lambda tensor: setattr(tensor.device, "id", 7), "its tensor says"),
    "items of four": (lambda tensor: setattr(tensor.dtype, "lanes", 4), "uint8"),
    "signed items": (lambda tensor: setattr(tensor.dtype, "code", 0), "uint8"),
}


@pytest.mark.parametrize("versioned", [False, True])
@pytest.mark.parametrize("device", [dlpack.CPU, dlpack.ASCEND])
@pytest.mark.parametrize("lie", LYING_TENSORS)
def test_tensor_is_checked_before_it_is_read_and_given_back(enc, frame, lie, device, versioned):
    spoil, text = LYING_TENSORS[lie]
    tensor = dlpack.Tensor(16, frame.shape, (WIDTH, 1), device=(device, 0), versioned=versioned)
    spoil(tensor._managed.tensor)
    with pytest.raises((TypeError, venc.InvalidArgumentError), match=text):
        enc.submit(tensor)
    assert len(tensor.deleted) == 1
    assert enc.stats.submitted == 0


@pytest.mark.parametrize("announced", [None, 5, "ab", (1,), (1, 2, 3), ("a", "b"), (None, 0), (1.5, "0"), object()])
def test_announcement_that_is_no_pair_of_numbers_is_refused(enc, frame, announced):
    tensor = dlpack.Tensor(16, frame.shape)
    tensor._device = announced
    with pytest.raises(TypeError, match="must return a pair of int"):
        enc.submit(tensor)
    assert tensor.deleted == []


class NoTensor:
    """Has __dlpack__, and is no tensor in one way or another."""

    def __init__(self, device, capsule):
        self._capsule = capsule
        if device is not None:
            self.__dlpack_device__ = lambda: device

    def __dlpack__(self, **options):
        return self._capsule


@pytest.mark.parametrize("pixel_format", ["nv12", "rgb24"])
@pytest.mark.parametrize(
    ("device", "text"),
    [
        (None, "tensor with __dlpack__, got NoTensor|no __dlpack_device__, got NoTensor"),
        ((), "must return a pair of int"),
        (("x", 0), "must return a pair of int"),
        (5, "must return a pair of int"),
        ((1, 0), "must return a capsule"),
    ],
)
def test_what_is_no_tensor_is_refused_alike_in_each_pixel_format(backend, pixel_format, device, text):
    with venc.Encoder(128, 128, codec="h264", pixel_format=pixel_format, backend=backend) as enc:
        for call in (enc.submit, enc.encode, lambda frame: enc.submit_async(frame, copy=False)):
            with pytest.raises(TypeError, match=text):
                call(NoTensor(device, 7))
        assert enc.stats.submitted == 0


class _View(ctypes.Structure):  # Py_buffer: what is asked of it, with room
    _fields_ = (("buf", ctypes.c_void_p), ("obj", ctypes.c_void_p), ("rest", ctypes.c_byte * 256))


@pytest.mark.parametrize("width", [128, 136])  # the rows of the second are padded
@pytest.mark.parametrize(
    ("flags", "needs"), [(0, "packed"), (0x18, ""), (0x38, "packed"), (0x58, "never"), (0x98, "packed"), (0x11C, "")]
)
def test_acquired_frame_is_contiguous_where_that_was_asked_for(backend, width, flags, needs):
    view, api = _View(), ctypes.pythonapi
    with venc.Encoder(width, 128, codec="h264", backend=backend) as enc:
        frame = enc.acquire()
        given = needs == "" or (needs == "packed" and width == frame.stride)
        if given:
            assert api.PyObject_GetBuffer(ctypes.py_object(frame), ctypes.byref(view), flags) == 0
            api.PyBuffer_Release(ctypes.byref(view))
        else:
            with pytest.raises(BufferError, match="rows"):
                api.PyObject_GetBuffer(ctypes.py_object(frame), ctypes.byref(view), flags)
        frame.release()


@pytest.mark.sim_only
@pytest.mark.misuse
@pytest.mark.parametrize("call", ["submit", "encode", "encode_future"])
def test_address_that_is_no_device_memory_is_refused_and_the_process_goes_on(enc, frame, call):
    with pytest.raises(venc.AclError, match="0x41414141 is not device memory"):
        getattr(enc, call)(venc.DeviceFrame(0x41414141, WIDTH, HEIGHT))
    assert len(enc.encode(frame) + enc.flush()) == 1


@pytest.mark.parametrize(
    ("arguments", "options", "text"),
    [
        ((0, 144, 128), {}, "ptr is 0, allowed is 1 to"),
        ((4096, 0, 128), {}, "stride is 0"),
        ((4096, 144, -1), {}, "height is -1"),
        ((4096, 144, 128), {"stream": -5}, "stream is -5"),
    ],
)
def test_bad_device_frame_is_refused(arguments, options, text):
    with pytest.raises(venc.InvalidArgumentError, match=text):
        venc.DeviceFrame(*arguments, **options)
    with pytest.raises(TypeError, match="ptr must be an int, got str"):
        venc.DeviceFrame("4096", 144, 128)


# ---- frames that the program fills -------------------------------------------------------------------------------


def test_views_keep_the_buffer_and_end_with_their_frame(enc, frame):
    picture = enc.acquire()
    array = picture.array
    array[:] = frame
    with pytest.raises(BufferError, match="live view"):
        picture.release()
    enc.submit(picture)
    assert picture.submitted
    with pytest.raises(ValueError, match="submitted"):
        picture.array  # noqa: B018
    with pytest.raises(ValueError, match="submitted"):
        enc.submit(picture)
    enc.flush()
    assert enc.stats.held == 1, "the view still sees it"
    others = [enc.acquire() for _ in range(enc.config.depth * 2 - 1)]
    for other in others:
        other.array[:] = 0
    del other
    assert np.array_equal(array, frame), "not used for another picture"
    del array
    assert enc.stats.held == len(others)
    others.clear()
    assert enc.stats.held == 0


def test_frame_outlives_its_encoder(backend, frame):
    with venc.Encoder(WIDTH, HEIGHT, codec="h264", backend=backend) as enc:
        picture = enc.acquire()
        array = picture.array
    array[:] = frame
    assert np.array_equal(array, frame)
    with pytest.raises(venc.EncoderClosedError):
        enc.submit(picture)
    other = venc.Encoder(WIDTH, HEIGHT, codec="h264", backend=backend)
    with other, pytest.raises(venc.InvalidArgumentError, match="another encoder"):
        other.submit(picture)


def test_width_that_the_device_pads(backend):
    frames = video.synthetic(130, 128, 3, watermark=True)
    with venc.Encoder(130, 128, codec="h264", bitrate="2M", backend=backend) as enc:
        for frame in frames:
            picture = enc.acquire()
            assert (picture.stride, picture.array.strides) == (144, (144, 1))
            with pytest.raises(BufferError, match="padded"):
                io.BytesIO().write(picture)  # wants bytes without gaps
            picture.y[:], picture.uv[:] = frame[:128], frame[128:]
            enc.submit(picture)
        pictures = decode.frames(b"".join(map(bytes, enc.flush())), "h264")
    assert [video.read_watermark(picture) for picture in pictures] == [0, 1, 2]


# ---- formats that are converted ------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["submit", "submit_async", "submit_many", "encode"])
@pytest.mark.parametrize("pixel_format", ["rgb24", "bgra", "i420", "gray8", "yuyv422"])
def test_converted_formats_are_one_pass(backend, pixel_format, call):
    shape = {
        "rgb24": (HEIGHT, WIDTH, 3),
        "bgra": (HEIGHT, WIDTH, 4),
        "gray8": (HEIGHT, WIDTH),
        "yuyv422": (HEIGHT, WIDTH, 2),
    }
    picture = np.full(shape.get(pixel_format, (HEIGHT * 3 // 2, WIDTH)), 128, np.uint8)
    picture[: HEIGHT // 2] = 200
    if pixel_format == "yuyv422":
        picture[:, :, 1] = 128
    if pixel_format == "i420":
        picture[HEIGHT:] = 128
    with venc.Encoder(
        WIDTH, HEIGHT, codec="h264", bitrate="2M", pixel_format=pixel_format, color_matrix="bt601", backend=backend
    ) as enc:
        packets = []
        if call == "submit_many":
            assert enc.submit_many([picture], tokens=[1]) == [0]
        elif call == "encode":
            packets = enc.encode(picture, token=1)
        else:
            assert getattr(enc, call)(picture, token=1) == 0
        packets += enc.flush()
        assert packets[0].token == 1
        assert copies(enc) == (1, 1, 1)
        shown = picture_of(packets)
        with pytest.raises(venc.InvalidArgumentError, match="frame has shape"):
            enc.submit(np.zeros((4, 4), np.uint8))
        with pytest.raises(venc.InvalidArgumentError, match="device memory"):
            enc.submit(venc.DeviceFrame(4096, WIDTH, HEIGHT))
    limited = lambda value: value if pixel_format in ("i420", "yuyv422") else round(16 + value * 219 / 255)  # noqa: E731
    assert abs(int(shown[10, 10]) - limited(200)) <= 3
    assert abs(int(shown[HEIGHT - 10, 10]) - limited(128)) <= 3
    assert abs(int(shown[HEIGHT + 20, 20]) - 128) <= 3


@pytest.mark.parametrize("call", ["submit", "submit_async", "submit_many", "encode"])
@pytest.mark.parametrize("planes", [1, 3])
def test_converted_frame_is_let_go_of_when_the_call_returns(backend, planes, call):
    sizes = [WIDTH * HEIGHT * 3 // 2] if planes == 1 else [WIDTH * HEIGHT, WIDTH * HEIGHT // 4, WIDTH * HEIGHT // 4]
    memories = [bytearray(size) for size in sizes]
    shapes = [(HEIGHT, WIDTH), (HEIGHT // 2, WIDTH // 2), (HEIGHT // 2, WIDTH // 2)]
    picture = (
        memories[0] if planes == 1 else tuple(np.frombuffer(m, np.uint8).reshape(s) for m, s in zip(memories, shapes))
    )
    with venc.Encoder(WIDTH, HEIGHT, codec="h264", pixel_format="i420", backend=backend) as enc:
        getattr(enc, call)([picture] if call == "submit_many" else picture)
        del picture
        for memory in memories:
            memory.append(0)  # BufferError while somebody has a view
        enc.flush()


@pytest.mark.parametrize("second", [None, bytes(3), np.zeros((2, 3), np.uint8)])
def test_first_plane_is_let_go_of_where_the_second_is_none(backend, second):
    luma = bytearray(WIDTH * HEIGHT)
    with venc.Encoder(WIDTH, HEIGHT, backend=backend) as enc:
        with pytest.raises((TypeError, venc.InvalidArgumentError)):
            enc.submit((luma, second))
        luma.append(0)  # which no view of it allows
