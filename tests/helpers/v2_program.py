# SPDX-License-Identifier: Apache-2.0
"""What `Encoder` does on DVPP V2, a program for each subject: see tests/integration/test_v2.py.

    python v2_program.py NAME [ARGUMENT...]

V1 and V2 must not be mixed in one process, so none of this can run beside the other tests. Raises, or prints "ok".
"""

import contextlib
import copy
import os
import pickle
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

import ascend_venc as venc
from ascend_venc._lowlevel import core
from helpers import decode, live, simulator, video, waiting

FRAME = bytes(128 * 192)
HELD = ("hi_mpi_venc_send_frame",)  # the thread that calls `encode` makes it: no bound of ours
SLACK = 10.0  # seconds that a busy machine may add to a bound; what is held up is so for ever


def encoder(**options):
    return venc.Encoder(128, 128, **{"codec": "h264", "backend": "sim", "interface": "v2", "timeout": 20, **options})


def threads():
    return len(os.listdir("/proc/self/task"))


def encode(codec):
    """Each packet is its own frame's, in order; a key frame is the frame that was to be one."""
    frames = video.synthetic(128, 128, 40, watermark=True)
    with encoder(codec=codec, depth=8, gop=1000) as enc:
        packets = []
        for number, frame in enumerate(frames):
            packets += enc.encode(frame, pts=3 * number, key_frame=number in (7, 8, 30), token=number)
        packets += enc.flush()
        assert enc.interface == "v2"
    assert [packet.frame_index for packet in packets] == list(range(40))
    assert [(packet.pts, packet.token) for packet in packets] == [(3 * number, number) for number in range(40)]
    assert [packet.frame_index for packet in packets if packet.is_keyframe] == [0, 7, 8, 30]
    shown = decode.frames(b"".join(map(bytes, packets)), codec)
    assert [video.read_watermark(frame) for frame in shown] == list(range(40))


def odd_size():
    """A picture whose bytes are no multiple of what the device counts the room for its streams in."""
    picture = bytes(646 * 486 * 3 // 2)
    assert len(picture) % 64 and len(picture) > 256 * 1024
    with venc.Encoder(646, 486, codec="h264", backend="sim", interface="v2", timeout=20) as enc:
        packets = enc.encode(picture) + enc.encode(picture) + enc.flush()
    assert [packet.kind for packet in packets] == ["IDR", "P"]


def in_several_packs(sim):
    """For a block in which an encoder is made: its frames come in a pack for each unit."""
    return sim.failing_call("hi_mpi_venc_set_mod_param", code=-1610121207, persistent=True)  # 0xA0088009


def told(codec, packs):
    """Kind, mean quantiser and bits of each picture, as the device tells them, in one pack and in several."""
    several = in_several_packs(simulator.shared()) if packs == "several" else contextlib.nullcontext()
    with several, encoder(codec=codec, gop=1000, rc="cbr", bitrate="30k", vui=False) as enc:
        packets = []
        for number, frame in enumerate(video.synthetic(128, 128, 12)):
            packets += enc.encode(frame, key_frame=number == 7)
        packets += enc.flush()
    assert [packet.device_kind for packet in packets] == [packet.kind for packet in packets]
    assert [n for n, packet in enumerate(packets) if packet.device_kind == "IDR"] == [0, 7]
    assert [packet.picture_bits for packet in packets] == [8 * packet.size for packet in packets]
    assert all(0 <= packet.mean_qp <= 51 for packet in packets)
    assert len({packet.mean_qp for packet in packets}) > 1, "the simulated device's rate control moves it"
    other = pickle.loads(pickle.dumps(packets[7]))
    facts = [(each.device_kind, each.mean_qp, each.picture_bits) for each in (packets[7], other, copy.copy(other))]
    assert facts[0][0] == "IDR" and facts[1:] == [facts[0]] * 2


def not_told():
    """A device that fills nothing in has told nothing: the bitstream says the kind."""
    with simulator.shared().options(v2_no_statistics=1), encoder() as enc:
        packets = enc.encode(FRAME) + enc.encode(FRAME) + enc.flush()
    assert [packet.kind for packet in packets] == ["IDR", "P"]
    assert {(packet.device_kind, packet.mean_qp, packet.picture_bits) for packet in packets} == {(None, None, None)}


def queue_of(slots):
    """NO_BUF is no error: nothing is lost, and no call is made again before a frame has been reported."""
    sim = simulator.shared()
    sim.set_options(v2_input_slots=int(slots), null_codec=300, watermark=1, encode_time_us=2000)
    sim.aclsim_count_calls(1)
    with encoder(depth=8, queue=8) as enc:
        sim.set_options(stall=1)  # for the first eight, which a slow program would send one behind the other
        for value in range(60):
            if value == 8:
                sim.set_options(stall=0)
            picture = np.full((192, 128), value, np.uint8)
            if value % 3:
                enc.submit(picture)
            else:
                enc.submit_async(picture)
        packets = enc.flush()
        assert enc.stats.failed == 0
    assert [simulator.mark_of(packet)[3][0] for packet in packets] == list(range(60))
    sends = sim.aclsim_calls(b"hi_mpi_venc_send_frame")
    assert 60 < sends <= 120, sends  # at most one refusal for each frame that was reported


def full_for_ever():
    """Where the device takes nothing more, `submit` has its bound, and the encoder works on afterwards."""
    sim = simulator.shared()
    sim.set_options(v2_input_slots=2)
    with encoder(depth=4, queue=0) as enc:
        with sim.options(stall=1):
            for _ in range(4):  # two in the device, two in front of it
                enc.submit(FRAME)
            begin = time.monotonic()
            try:
                enc.submit(FRAME, timeout=0.3)
                raise AssertionError("a frame went into a queue that is full")
            except venc.AclTimeoutError as error:
                assert "0.3 s" in str(error), error
            assert 0.3 <= time.monotonic() - begin < 0.3 + SLACK
        assert len(enc.flush()) == 4
        assert len(enc.encode(FRAME) + enc.flush()) == 1


def deeper_than_the_device():
    """Where `depth` is more than the device takes, the text of no room says so: "6 in flight (depth 8)" is a riddle."""
    for on_full in ("block", "error"):
        with encoder(depth=8, queue=0, on_full=on_full) as enc:
            with simulator.shared().options(stall=1):
                for _ in range(6):
                    enc.submit(FRAME)
                try:
                    enc.submit(FRAME, timeout=0.1)
                    raise AssertionError("the device took more than six")
                except (venc.AclTimeoutError, venc.EncoderFullError) as error:
                    assert "6 in flight (the device takes 6), 0 queued" in str(error), error
            assert len(enc.flush()) == 6


def failed_frame(packs):
    """A packet without data is a frame that failed, whatever its other packs have; those around it come."""
    sim = simulator.shared()
    with contextlib.ExitStack() as stack:
        if packs == "several":
            stack.enter_context(sim.options(v2_failed_part=1))
            with in_several_packs(sim):
                enc = stack.enter_context(encoder())
        else:
            enc = stack.enter_context(encoder())
        stack.enter_context(sim.failing_frame(simulator.FRAME_EMPTY, nth=2))
        for _ in range(4):
            enc.submit(FRAME, key_frame=True)  # in more than one pack
        failed, indices = [], []
        while True:
            try:
                indices += [packet.frame_index for packet in enc.flush()]
                break
            except venc.FrameError as error:
                failed.append(error.frame_index)
        assert (failed, indices) == ([1], [0, 2, 3]), (failed, indices)


def balance():
    """What is taken of the device for a channel is given back as often, in the documented order (strict mode), also
    where frames are in the device, and where the channel does not come to be."""
    sim, pairs = simulator.shared(), [("create_chn", "destroy_chn"), ("get_fd", "close_fd"), ("start_chn", "stop_chn")]
    sim.aclsim_count_calls(1)
    with encoder() as enc:
        enc.encode(FRAME)
        enc.submit(FRAME)
        enc.reconfigure(height=160)  # another channel
        enc.encode(bytes(128 * 240))
        enc.flush()
    with sim.failing_call("hi_mpi_sys_ctl_epoll"):
        try:
            encoder()
            raise AssertionError("a channel whose descriptor is in no epoll")
        except venc.AclError:
            pass
    waiting.eventually(lambda: core.live()["CHANNEL"] == 0)
    sim.aclsim_count_calls(0)
    counts = [[sim.aclsim_calls(f"hi_mpi_venc_{name}".encode()) for name in pair] for pair in pairs]
    assert [given for _, given in counts] == [taken for taken, _ in counts] == [3, 3, 3], counts


def left_out():
    """Where a frame never came, the thread that gets the others sleeps all the same once these have come: it does not
    look every tenth of a second for what will not come any more."""
    sim = simulator.shared()
    with encoder() as enc:
        with sim.failing_frame(simulator.FRAME_DROP, nth=2):
            for _ in range(3):
                enc.submit(FRAME)
        waiting.eventually(lambda: enc.stats.in_flight == 0)
        sim.aclsim_count_calls(1)

        def looks():
            before = sim.aclsim_calls(b"hi_mpi_sys_wait_epoll")
            time.sleep(0.5)
            return sim.aclsim_calls(b"hi_mpi_sys_wait_epoll") - before

        waiting.eventually(lambda: looks() == 0)
        sim.aclsim_count_calls(0)
        enc.submit(FRAME)
        try:
            enc.flush()
            raise AssertionError("a frame that never came is nobody's")
        except venc.FrameError as error:
            assert error.frame_index == 1, error
        assert [packet.frame_index for packet in enc.flush()] == [0, 2, 3]


def many_channels(count):
    """Threads do not grow with channels, and each packet comes to its own."""
    count = int(count)
    simulator.shared().set_options(null_codec=300, watermark=1)
    with encoder() as first:
        first.encode(FRAME)
        first.flush()
        before = threads()
        encoders = [encoder(depth=2) for _ in range(count - 1)]
        try:
            for round_ in range(5):
                for number, enc in enumerate(encoders):
                    enc.submit(np.full((192, 128), (number + round_) % 256, np.uint8))
            for number, enc in enumerate(encoders):
                found = [simulator.mark_of(packet)[3][0] for packet in enc.flush()]
                assert found == [(number + round_) % 256 for round_ in range(5)], (number, found)
            assert threads() <= before + 2, (
                before,
                threads(),
            )  # the task queue may have added one, and one that looks on
        finally:
            for enc in encoders:
                enc.close()


def refused(function, code):
    """A call of opening that fails: its code and its name are told, nothing is left, and the next one works."""
    code = int(code)
    with simulator.shared().failing_call(function, code=code):
        try:
            encoder()
            raise AssertionError(f"{function} failed, and the encoder is open")
        except venc.AclError as error:
            assert function in str(error) and error.code in (code + (1 << 32), 500001), error
    with encoder() as enc:
        assert len(enc.encode(FRAME) + enc.flush()) == 1


def hangs(function, nth):
    """A call of the vendor's that never returns holds up nobody for longer than the bound, but a send its caller."""
    sim = simulator.shared()

    def flow(timeout):
        enc = None
        try:
            enc = encoder(timeout=timeout)
            enc.encode(FRAME)
            enc.flush()
            enc.submit_async(FRAME)
            enc.flush()
        except venc.VencError:
            pass
        finally:
            if enc is not None:
                enc._close(warn=False)

    for timeout in (0.4, 2, 10):  # a machine that pauses does not come to the call in time
        with sim.hanging_call(function, nth=int(nth)):
            thread = threading.Thread(target=flow, args=(timeout,))
            begin = time.monotonic()
            thread.start()

            def has_ended(thread=thread):
                return not thread.is_alive() and core.live()["DEVICE"] == 0

            waiting.eventually(lambda ended=has_ended: sim.hung_calls(function) or ended(), 60)
            if not sim.hung_calls(function):
                continue
            thread.join(3 * timeout + 2 * (1 if function in HELD else SLACK))
            seconds = time.monotonic() - begin
            assert thread.is_alive() == (function in HELD), (function, seconds)
            assert sim.hung_calls(function) >= 1, "it hung to the end"
            break
    else:
        raise AssertionError(f"{function} was never called")
    thread.join(30)
    assert not thread.is_alive()
    waiting.eventually(lambda: core.live()["CHANNEL"] == 0)
    with encoder() as enc:
        assert len(enc.encode(FRAME) + enc.flush()) == 1


def lost():
    """A lost device ends waits, close returns, and the channel ends when the device is back."""
    sim = simulator.shared()
    enc = encoder(timeout=10)
    with sim.options(stall=1):
        enc.submit(FRAME)
        with sim.lost_device(code=507010):
            begin = time.monotonic()
            try:
                enc.flush()
                raise AssertionError("a lost device has finished a frame")
            except venc.DeviceLostError:
                assert time.monotonic() - begin < 10
            enc._close(warn=False)
            assert core.live()["CHANNEL"] == 1
    waiting.eventually(lambda: core.live()["CHANNEL"] == 0)


def mixed():
    """The first interface that is used decides for the process; a refusal names it."""
    with encoder() as enc:
        assert enc.interface == "v2"
    with venc.Encoder(128, 128, backend="sim", codec="h264") as enc:
        assert enc.interface == "v2", "auto takes what the process uses"
    try:
        venc.Encoder(128, 128, backend="sim", codec="h264", interface="v1")
        raise AssertionError("both interfaces in one process")
    except venc.errors.AclStateError as error:
        assert 'interface="v2"' in str(error), error


def main():
    os.environ.pop("ASCEND_VENC_INTERFACE", None)  # each names its own
    before = live.counts()
    globals()[sys.argv[1]](*sys.argv[2:])
    live.assert_unchanged(before, patience=10)
    assert simulator.shared().take_reports() == []
    print("ok")


if __name__ == "__main__":
    main()
