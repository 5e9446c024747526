# SPDX-License-Identifier: Apache-2.0
"""`Encoder` on a device that misbehaves: nothing hangs, nothing is lost without a word, nothing leaks."""

import contextlib
import gc
import sys
import threading
import time

import pytest

import ascend_venc as venc
from ascend_venc._lowlevel import core
from helpers import decode, interface, processes, simulator, video
from helpers.waiting import eventually

pytestmark = pytest.mark.sim_only

RET_CODE, DROP, EMPTY, HUGE, NO_OUTPUT, TWICE, DELAY = range(7)


@pytest.fixture
def frames():
    return video.synthetic(128, 128, 12)


def encode_through(enc, frames):
    """Encode every frame; return (indices of packets, indices of frames that failed)."""
    packets, failed = [], []

    def attempt(call, *args):
        while True:
            try:
                packets.extend(call(*args))
                return
            except venc.FrameError as error:
                failed.append(error.frame_index)
                call, args = enc.flush, ()

    for frame in frames:
        attempt(enc.encode, frame)
    attempt(enc.flush)
    return [packet.frame_index for packet in packets], failed


def test_fault_control_strikes_at_all(frames, backend):
    with (
        venc.Encoder(128, 128, codec="h264", backend=backend) as enc,
        simulator.shared().failing_frame(RET_CODE, value=77),
    ):
        with pytest.raises(venc.FrameError) as caught:
            enc.encode(frames[0])
            enc.flush()
        told = interface.of(77, 0)  # V2 has no code for a frame
        assert (caught.value.frame_index, caught.value.pts, caught.value.ret_code) == (0, 0, told)
        assert enc.flush() == []


def test_frame_that_failed_is_not_told_without_its_token_where_the_encoder_is_closed_meanwhile(
    frames, backend, monkeypatch
):
    """Its exception is made by Python code, beside which another thread may close the encoder and take all tokens."""
    make = venc.errors.frame_error

    def close_first(*args):
        enc.close()
        return make(*args)

    monkeypatch.setattr(venc.errors, "frame_error", close_first)
    with simulator.shared().failing_frame(RET_CODE, value=77):
        enc = venc.Encoder(128, 128, codec="h264", backend=backend)
        enc.submit(frames[0], token="own")
        with pytest.raises(venc.EncoderClosedError):
            enc.receive(timeout=20)


@contextlib.contextmanager
def closed_by_the_collector(enc, allocations):
    """The collector closes the encoder where the so-many-th object is made, as another thread may; whether it has."""
    armed, closed = [], []

    def close(phase, info):
        if armed:
            armed.clear()
            closed.append(True)
            enc.close()

    before = gc.get_threshold()
    gc.callbacks.append(close)
    try:
        gc.collect()
        armed.append(True)
        gc.set_threshold(allocations, 0, 0)
        yield closed
    finally:
        armed.clear()
        gc.callbacks.remove(close)
        gc.set_threshold(*before)
        enc.close()


where_the_collector_runs_inside_calls = pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="from Python 3.12 on the collector runs between Python's instructions only"
)


@where_the_collector_runs_inside_calls
@pytest.mark.filterwarnings("ignore::ascend_venc.DroppedPacketsWarning")
@pytest.mark.parametrize("call", ["receive", "encode"])
def test_packet_is_not_given_without_its_token_where_the_collector_closes_the_encoder(frames, backend, call):
    closed_inside = 0
    for allocations in range(1, 16):
        enc = venc.Encoder(128, 128, codec="h264", backend=backend)
        enc.submit(frames[0], token="own")
        eventually(lambda enc=enc: enc.stats.ready == 1)
        packets = []
        with closed_by_the_collector(enc, allocations) as closed, contextlib.suppress(venc.EncoderClosedError):
            packets = [enc.receive()] if call == "receive" else enc.encode(frames[1], token="next")
            closed_inside += bool(closed)
        assert [packet.token for packet in packets] in ([], ["own"], ["own", "next"])
        closed_inside += not packets
    assert closed_inside


@where_the_collector_runs_inside_calls
@pytest.mark.filterwarnings("ignore::ascend_venc.DroppedPacketsWarning")
def test_encode_that_has_sent_its_frame_does_not_raise_where_the_encoder_is_closed_then(frames, backend):
    closed_then = 0
    for send_ms in (20, 100, 500):  # so long has the report thread, that the packet is there when the send returns
        for allocations in range(1, 25):
            with simulator.shared().options(send_time_us=1000 * send_ms, null_codec=300, encode_time_us=0):
                enc = venc.Encoder(128, 128, codec="h264", backend=backend)
                acquired = enc.acquire()
                acquired.array[:] = 90
                sent = 0
                with closed_by_the_collector(enc, allocations) as closed, contextlib.suppress(venc.EncoderClosedError):
                    enc.encode(acquired, token="own")
                    sent = 1
                    closed_then += bool(closed)
                assert enc.stats.submitted == sent, allocations
        if closed_then:
            break
    assert closed_then


@pytest.mark.parametrize(
    ("action", "value"), [(RET_CODE, 9), (EMPTY, 0), (NO_OUTPUT, 0), (HUGE, 300_000_000), (HUGE, 1_000_000)]
)
def test_one_bad_frame_is_named_and_the_others_are_delivered(frames, backend, action, value):
    with (
        venc.Encoder(128, 128, codec="h264", backend=backend) as enc,
        simulator.shared().failing_frame(action, 5, value),
    ):
        delivered, failed = encode_through(enc, frames)
        stats = enc.stats
    assert failed == [4]
    assert delivered == [index for index in range(12) if index != 4]
    assert (stats.submitted, stats.encoded, stats.failed) == (12, 11, 1)


@pytest.mark.parametrize(
    ("action", "value", "nth"), [(RET_CODE, 9, 1), (RET_CODE, 9, 4), (HUGE, 300_000_000, 4), (NO_OUTPUT, 0, 1)]
)
def test_stream_can_be_decoded_after_a_frame_that_failed(frames, backend, action, value, nth):
    with venc.Encoder(128, 128, codec="h264", gop=100, backend=backend) as enc:
        with simulator.shared().failing_frame(action, nth, value):
            for frame in frames[:nth]:
                enc.submit(frame)
            while not enc.stats.failed:
                time.sleep(0.001)
        for frame in frames[nth:]:
            enc.submit(frame)
        with pytest.raises(venc.FrameError):
            while True:
                enc.flush()
        packets = enc.flush()
    after = packets[-(len(frames) - nth) :]
    assert [packet.frame_index for packet in after] == list(range(nth, len(frames)))
    assert [packet.is_keyframe for packet in after] == [True] + [False] * (len(after) - 1)
    assert len(decode.frames(b"".join(map(bytes, after)), "h264")) == len(after)


def test_frame_whose_callback_never_comes_is_named_when_the_next_one_is_done(frames, backend):
    with venc.Encoder(128, 128, codec="h264", backend=backend) as enc, simulator.shared().failing_frame(DROP, 5):
        delivered, failed = encode_through(enc, frames)
    assert failed == [4]
    assert delivered == [index for index in range(12) if index != 4]


def test_failures_that_one_encode_has_found_are_raised_one_by_one(frames, backend):
    """Also by an `encode` that finds room, and so looks at nothing before it sends."""
    with venc.Encoder(128, 128, codec="h264", backend=backend) as enc:
        with simulator.shared().failing_frame(RET_CODE, 1, 9, persistent=True):
            for number in range(3):
                enc.submit(frames[number], token=number)
            eventually(lambda: enc.stats.failed == 3)
        failed = []
        pair = frames[3][:128], frames[3][128:]  # is sent by another way than the others: that one looks
        for frame in (pair, frames[4], frames[5]):
            with pytest.raises(venc.FrameError) as caught:
                enc.encode(frame)
            failed.append(caught.value.token)
        packets = enc.encode(frames[6])
        packets += enc.flush()
    assert failed == [0, 1, 2]
    assert [packet.frame_index for packet in packets] == [3, 4, 5, 6]


def test_last_frame_whose_callback_never_comes_times_out_instead_of_hanging(frames, backend):
    enc = venc.Encoder(128, 128, codec="h264", timeout=1, backend=backend)
    with simulator.shared().failing_frame(DROP, 3):
        for frame in frames[:3]:
            enc.encode(frame)
        begin = time.monotonic()
        with pytest.raises(venc.AclTimeoutError):
            enc.flush()
        assert time.monotonic() - begin < 10
    with pytest.raises(venc.FrameError) as caught:  # by whichever call comes behind the report of frame 3
        enc.encode(frames[3])  # its report shows that frame 2 will not come any more
        enc.flush()
    assert caught.value.frame_index == 2
    enc._close(warn=False)


def test_callback_that_comes_twice_delivers_once(frames, backend):
    with venc.Encoder(128, 128, codec="h264", backend=backend) as enc, simulator.shared().failing_frame(TWICE, 5):
        delivered, failed = encode_through(enc, frames)
    assert (delivered, failed) == (list(range(12)), [])


def test_late_callback_keeps_the_order(frames, backend):
    with (
        venc.Encoder(128, 128, codec="h264", backend=backend) as enc,
        simulator.shared().failing_frame(DELAY, 5, 200_000),
    ):
        delivered, failed = encode_through(enc, frames)
    assert (delivered, failed) == (list(range(12)), [])


def test_refused_frame_raises_and_the_next_is_encoded(frames, backend):
    with venc.Encoder(128, 128, codec="h264", backend=backend) as enc:
        packets = enc.encode(frames[0])
        with simulator.shared().failing_call(interface.SEND, code=507018), pytest.raises(venc.AclError) as caught:
            enc.encode(frames[1])
        assert (caught.value.code, caught.value.call) == (507018, interface.SEND)
        packets += enc.encode(frames[2])
        packets += enc.flush()
    assert [packet.frame_index for packet in packets] == [0, 1]


def test_queued_key_frame_that_is_refused_makes_the_next_one_a_key_frame(frames, backend):
    with venc.Encoder(128, 128, codec="h264", gop=100, backend=backend) as enc:
        enc.submit_async(frames[0])
        enc.receive(20)
        with simulator.shared().failing_call(interface.SEND, code=interface.fault(interface.INVALID)):  # not taken
            enc.submit_async(frames[1], key_frame=True)
            with pytest.raises(venc.FrameError):
                enc.receive(20)
        enc.submit_async(frames[2])
        enc.submit_async(frames[3])
        assert [enc.receive(20).is_keyframe for _ in range(2)] == [True, False]


def test_device_is_idle_after_its_only_frame_was_refused(frames, backend):
    with venc.Encoder(128, 128, codec="h264", backend=backend) as enc:
        enc.encode(frames[0])
        enc.flush()
        with simulator.shared().failing_call(interface.SEND, code=507018), pytest.raises(venc.AclError):
            enc.submit(frames[1])
        before = enc.stats.device_idle
        time.sleep(0.02)
        assert enc.stats.device_idle - before >= 0.02


def test_stalled_device_times_out_and_comes_back(frames, backend):
    with venc.Encoder(128, 128, codec="h264", depth=2, timeout=1, backend=backend) as enc:
        with simulator.shared().options(stall=1):
            begin = time.monotonic()
            with pytest.raises(venc.AclTimeoutError, match="in flight"):
                for frame in frames:
                    enc.encode(frame)
            assert 0.2 < time.monotonic() - begin < 10
        packets = enc.flush()
        assert [packet.frame_index for packet in packets] == list(range(len(packets)))
        assert len(packets) >= 2


def test_lost_device_raises_from_a_blocked_call_and_ready_packets_stay_readable(frames, backend):
    enc = venc.Encoder(128, 128, codec="h264", depth=2, timeout=None, backend=backend)
    packets = enc.encode(frames[0]) + enc.flush()
    with simulator.shared().options(stall=1):
        enc.encode(frames[1])
        raised = []

        def flush():
            try:
                enc.flush()
            except venc.VencError as error:
                raised.append(error)

        thread = threading.Thread(target=flush)
        thread.start()
        time.sleep(0.1)
        with simulator.shared().lost_device():
            thread.join(10)
            assert not thread.is_alive()
            assert [type(error) for error in raised] == [venc.DeviceLostError]
            assert bytes(packets[0])
            enc._close(warn=False)
    assert enc.closed
    with venc.Encoder(128, 128, codec="h264", backend=backend) as again:
        assert len(again.encode(frames[0]) + again.flush()) == 1


CREATING_V1 = [
    "aclrtCreateStream",
    "aclrtSubscribeReport",
    "aclvencCreateChannelDesc",
    "aclvencSetChannelDescThreadId",
    "aclvencSetChannelDescCallback",
    "aclvencSetChannelDescEnType",
    "aclvencSetChannelDescPicFormat",
    "aclvencSetChannelDescPicWidth",
    "aclvencSetChannelDescPicHeight",
    "aclvencSetChannelDescKeyFrameInterval",
    "aclvencSetChannelDescRcMode",
    "aclvencSetChannelDescSrcRate",
    "aclvencSetChannelDescMaxBitRate",
    "aclvencCreateFrameConfig",
    "aclvencSetFrameConfigForceIFrame",
    interface.MALLOC,
    "acldvppCreatePicDesc",
    "acldvppSetPicDescData",
    "acldvppSetPicDescSize",
    "acldvppSetPicDescFormat",
    "acldvppSetPicDescWidth",
    "acldvppSetPicDescHeight",
    "acldvppSetPicDescWidthStride",
    "acldvppSetPicDescHeightStride",
    interface.CREATE,
]
CREATING_V2 = [
    "hi_mpi_sys_init",
    "hi_mpi_sys_create_epoll",
    "hi_mpi_venc_create_chn",
    "hi_mpi_venc_start_chn",
    "hi_mpi_dvpp_malloc",
]
CREATING = ["aclInit", "aclrtGetRunMode", "aclrtCreateContext", *interface.of(CREATING_V1, CREATING_V2)]


@pytest.mark.parametrize("function", CREATING)
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_opening_fails_whole_at_any_call(frames, backend, function, nth):
    struck = None
    with simulator.shared().failing_call(function, nth=nth, code=507899):
        try:
            venc.Encoder(128, 128, depth=3, backend=backend).close()
        except venc.AclError as error:
            struck = error
            assert error.code in (507899, 500001)
            assert error.call == function
    assert struck or nth > 1, f"call {nth} of {function} never came"
    # Also where a program keeps the error, with its traceback, and so what was half made.
    eventually(lambda: core.live()["DEVICE"] == 0)
    with venc.Encoder(128, 128, backend=backend) as enc:
        assert len(enc.encode(frames[0]) + enc.flush()) == 1


ENDING = [
    interface.DESTROY,
    *interface.of(
        [
            "aclvencDestroyChannelDesc",
            "aclvencDestroyFrameConfig",
            "acldvppDestroyPicDesc",
            "aclrtUnSubscribeReport",
            "aclrtDestroyStream",
            "aclrtLaunchCallback",
        ],
        ["hi_mpi_venc_stop_chn", "hi_mpi_venc_close_fd", "hi_mpi_sys_close_epoll"],
    ),
    interface.FREE,
    "aclrtDestroyContext",
    "aclrtSetCurrentContext",
    "aclrtGetCurrentContext",
]


@pytest.mark.parametrize("function", ENDING)
def test_closing_survives_one_failure_of_any_call_without_a_leak(frames, backend, function):
    enc = venc.Encoder(128, 128, backend=backend)
    packets = enc.encode(frames[0]) + enc.flush()
    assert len(packets) == 1
    # Each ending call is made once, since a runtime may free the object and return a code: so does this one.
    ends = "Destroy" in function or "Free" in function or function.startswith("hi_mpi_")
    with simulator.shared().failing_call(function, code=507899, after=ends):
        try:
            enc.close()
        except venc.AclError as error:
            assert error.code == 507899
        enc.close()
    assert enc.closed


@pytest.mark.parametrize(
    "function", ["aclrtMemcpy", interface.REPORT, interface.of("acldvppGetStreamDescSize", interface.GET)]
)
@pytest.mark.parametrize("nth", [1, 2, 3, 5, 8])
def test_encoding_survives_one_failure_of_any_call(frames, backend, function, nth):
    delivered, refused, failed = [], [], []
    with (
        venc.Encoder(128, 128, codec="h264", backend=backend) as enc,
        simulator.shared().failing_call(function, nth=nth),
    ):
        for index, frame in enumerate(frames):
            try:
                delivered += enc.encode(frame)
            except venc.FrameError as error:
                failed.append(error.frame_index)
            except venc.AclError:
                refused.append(index)
        while True:
            try:
                delivered += enc.flush()
                break
            except venc.FrameError as error:
                failed.append(error.frame_index)
    assert len(delivered) + len(failed) + len(refused) == len(frames)
    assert len(failed) + len(refused) <= 1


STALLED = """
import sys
import ascend_venc as venc
from ascend_venc._lowlevel import core
import ctypes
enc = venc.Encoder(128, 128, backend="sim", depth=2, timeout=None)
device = ctypes.CDLL(core.simulated_device_path())
device.aclsim_set_option.argtypes = [ctypes.c_char_p, ctypes.c_uint64]
assert device.aclsim_set_option(b"stall", 1) == 0
frame = bytes(128 * 192)
enc.encode(frame)
try:
    print("ready", flush=True)
    if sys.argv[1] == "encode":
        while True:
            enc.encode(frame)
    elif sys.argv[1] == "flush":
        enc.flush()
    else:
        enc.close()
except KeyboardInterrupt:
    print("interrupted", flush=True)
device.aclsim_set_option(b"stall", 0)
enc._close(warn=False)
print("closed", enc.closed)
"""


@pytest.mark.parametrize("call", ["encode", "flush", "close"])
def test_ctrl_c_wakes_a_wait_for_a_stalled_device_at_once(backend, call):
    process, output, errors, seconds = processes.interrupt_when(STALLED, "ready", call)
    assert (process.returncode, errors) == (0, "")
    assert output == "interrupted\nclosed True\n"
    assert seconds < 10


def test_process_with_a_stalled_device_ends(backend):
    program = STALLED.split("try:", maxsplit=1)[0]
    done = processes.run(program, "none", timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
