# SPDX-License-Identifier: Apache-2.0
"""Many encoders: one wait for all, and what they cost together."""

import _thread
import functools
import gc
import os
import subprocess
import sys
import textwrap
import threading
import time
import weakref

import numpy as np
import pytest

import ascend_venc as venc
from ascend_venc import group as group_module
from helpers import decode, processes, simulator, video
from helpers.waiting import eventually, is_inside, outcome, started

COUNT = 8


@pytest.fixture(scope="module")
def frames():
    return video.synthetic(128, 128, COUNT, watermark=True)


def shown(packets):
    return [video.read_watermark(frame) for frame in decode.frames(b"".join(map(bytes, packets)), "h264")]


def engine_threads():
    names = []
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/comm") as file:
                names.append(file.read().strip())
        except FileNotFoundError:
            pass
    return sorted(name for name in names if name.startswith("avenc-"))


def test_packets_of_64_streams_are_attributed_and_in_order_with_constant_threads(backend, frames):
    received = {}
    with venc.EncoderGroup(backend=backend) as group:
        cameras = [group.add(128, 128, codec="h264", depth=2) for _ in range(64)]
        assert group.encoders == cameras
        for number in range(COUNT):
            for name, camera in enumerate(cameras):
                assert camera.submit_async(frames[(number + name) % COUNT], token=name) == number
        # The task queue has a thread for each call that blocks at the same time, at most one for each channel.
        assert set(engine_threads()) == {"avenc-report", "avenc-task"}
        assert len(engine_threads()) <= 1 + 64
        group.drain()
        for encoder, packet in group.packets():
            assert cameras[packet.token] is encoder
            received.setdefault(packet.token, []).append(packet)
        with pytest.raises(venc.EncoderDrained):
            group.receive()
    assert sorted(received) == list(range(64))
    for name, packets in received.items():
        assert [packet.frame_index for packet in packets] == list(range(COUNT))
        if name % 16 == 0:
            assert shown(packets) == [(number + name) % COUNT for number in range(COUNT)]


def test_wait_ends_with_a_packet_of_any_stream(backend, frames):
    with venc.EncoderGroup(backend=backend) as group:
        cameras = [group.add(128, 128, codec="h264") for _ in range(4)]
        with pytest.raises(TimeoutError, match="no packet of any encoder"):
            group.receive(timeout=0.05)
        timer = threading.Timer(0.1, lambda: cameras[2].submit(frames[0]))
        timer.start()
        encoder, packet = group.receive(timeout=10)
        timer.join()
        assert encoder is cameras[2]
        assert packet.frame_index == 0
        cameras[1].close()
        assert len(group.encoders) == 3
        cameras[3].submit(frames[0])
        assert group.receive(timeout=10)[0] is cameras[3]


@pytest.mark.sim_only
def test_failed_frame_of_one_stream_names_it_and_harms_no_other(backend, frames):
    with venc.EncoderGroup(backend=backend) as group:
        good, bad = group.add(128, 128, codec="h264"), group.add(128, 128, codec="h264")
        good.submit(frames[0])
        good.flush()
        with simulator.shared().failing_frame(0, 1, 3):
            bad.submit(frames[0])
            with pytest.raises(venc.FrameError) as caught:
                group.receive(timeout=10)
        assert caught.value.encoder is bad
        good.submit(frames[1])
        bad.submit(frames[1])
        found = [group.receive(timeout=10) for _ in range(2)]
        assert {encoder: packet.frame_index for encoder, packet in found} == {good: 1, bad: 1}


@pytest.mark.sim_only
def test_failure_behind_packets_of_others_is_raised_by_the_next_call(backend, frames):
    with venc.EncoderGroup(backend=backend) as group:
        good, bad = group.add(128, 128, codec="h264"), group.add(128, 128, codec="h264")
        good.submit(frames[0])
        eventually(lambda: good.stats.ready == 1)
        with simulator.shared().failing_frame(0, 1, 3):
            bad.submit(frames[0])
            eventually(lambda: bad.stats.failed == 1)
        assert [(encoder, packet.frame_index) for encoder, packet in group.receive_many(timeout=10)] == [(good, 0)]
        with pytest.raises(venc.FrameError) as caught:
            group.receive_many(timeout=10)
        assert caught.value.encoder is bad
        good.submit(frames[1])  # it is told once
        assert [encoder for encoder, _ in group.receive_many(timeout=10)] == [good]


@pytest.mark.sim_only
def test_failures_that_two_calls_find_at_the_same_time_are_both_raised(backend, frames, monkeypatch):
    """The second call comes while the first one has its keys, as another thread or a signal's handler does."""
    with venc.EncoderGroup(backend=backend) as group:
        ended, *cameras = [group.add(128, 128, codec="h264") for _ in range(5)]
        forget, received = group._forget, []

        def one_of_two_fails(good, bad):
            good.submit(frames[0])
            eventually(lambda: good.stats.ready == 1)
            with simulator.shared().failing_frame(0, 1, 3):
                bad.submit(frames[0])
                eventually(lambda: bad.stats.failed == 1)

        def meanwhile(encoder):
            """The end of the first encoder is found before the others are looked at."""
            forget(encoder)
            one_of_two_fails(*cameras[2:])
            received.extend(group.receive_many(timeout=10))

        monkeypatch.setattr(group, "_forget", meanwhile)
        ended.drain()
        one_of_two_fails(*cameras[:2])
        received += group.receive_many(timeout=10)
        assert [encoder for encoder, _ in received] == [cameras[2], cameras[0]]
        failed = []
        for _ in range(2):
            with pytest.raises(venc.FrameError) as caught:
                group.receive_many(timeout=10)
            failed.append(caught.value.encoder)
        assert failed == [cameras[3], cameras[1]]
        with pytest.raises(venc.AclTimeoutError):  # each is told once
            group.receive_many(timeout=0)


@pytest.mark.sim_only
def test_failure_is_raised_although_a_signal_comes_as_it_is_found(backend):
    """The end of a picture's owner runs between the taking of the failure and whatever Python does with it."""

    class Picture(bytearray):
        interrupt = functools.partial(_thread.interrupt_main)  # no function of Python, which would look for the signal
        __del__ = staticmethod(interrupt) if sys.version_info >= (3, 14) else interrupt

    with venc.EncoderGroup(backend=backend) as group:
        camera = group.add(128, 128, codec="h264", name="door")
        with simulator.shared().failing_frame(0, 1, 3):
            camera.submit_async(Picture(128 * 128 * 3 // 2), copy=False)
            eventually(lambda: camera.stats.failed == 1)
        raised = []
        for _ in range(2):
            try:
                group.receive_many(timeout=0.5)
            except (KeyboardInterrupt, venc.VencError) as error:
                raised.append(type(error))
        assert raised == [KeyboardInterrupt, venc.FrameError]


@pytest.mark.sim_only
def test_encoders_of_a_group_end_together(backend):
    """On a device that stands still each is told to end before any of them is waited for."""
    with simulator.shared().options(stall=1):
        group = venc.EncoderGroup(backend=backend)
        cameras = [group.add(128, 128, codec="h264", timeout=60) for _ in range(3)]
        for camera in cameras:
            camera.submit(bytes(128 * 128 * 3 // 2))
        thread = started(group._close, False)
        eventually(lambda: all(camera.closed for camera in cameras))
        assert thread.is_alive()
        with pytest.raises(venc.EncoderClosedError):
            cameras[2].submit(bytes(128 * 128 * 3 // 2))
    assert outcome(thread, 60) is None


@pytest.mark.sim_only
def test_close_of_a_group_takes_as_long_as_one_encoder_may(backend):
    with simulator.shared().options(stall=1):
        group = venc.EncoderGroup(backend=backend)
        cameras = [group.add(128, 128, codec="h264", timeout=0.5) for _ in range(7)]
        for camera in cameras:
            camera.submit(bytes(128 * 128 * 3 // 2))
        waits = []
        for camera in cameras:
            end = camera._end_close
            camera._end_close = lambda state, warn, timeout, end=end: waits.append(timeout) or end(state, warn, timeout)
        with pytest.raises(venc.AclTimeoutError, match=r"0\.5 s"):
            group._close(False)
        assert 0 < waits[0] <= 0.5 and waits[1:] == [0.0] * 6
    for camera in cameras:
        del camera._end_close
        camera.close()


@pytest.mark.sim_only
@pytest.mark.parametrize("timeout", [0.2, 1])
def test_stalled_encoder_is_told_also_where_the_call_s_own_time_is_over_with_its(backend, timeout):
    with simulator.shared().options(stall=1), venc.EncoderGroup(backend=backend) as group:
        camera = group.add(128, 128, codec="h264", timeout=timeout)
        camera.submit(bytes(128 * 128 * 3 // 2))
        with pytest.raises(venc.AclTimeoutError, match="no frame of one encoder") as caught:
            group.receive_many(timeout=timeout)
        assert caught.value.encoder is camera
        simulator.shared().set_options(stall=0)
        group.receive_many(timeout=10)


@pytest.mark.parametrize(
    ("timeout", "shown"), [(0, "within 0 s"), (0.25, "within 0.25 s"), (np.float32(0.1), "within 0.1 s")]
)
def test_time_out_of_a_group_tells_the_time(backend, timeout, shown):
    with venc.EncoderGroup(backend=backend) as group:
        group.add(128, 128, codec="h264")
        with pytest.raises(venc.AclTimeoutError, match=shown):
            group.receive_many(timeout=timeout)


@pytest.mark.parametrize("moment", ["while it opens", "before it is attached"])
def test_encoder_that_comes_while_the_group_is_closed_is_closed_too(backend, moment, monkeypatch):
    opened = []

    class Late(venc.Encoder):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            opened.append(self)
            if moment == "while it opens":
                group.close()

        def _open_channel(self):
            if moment == "before it is attached":
                group.close()
            return super()._open_channel()

    group = venc.EncoderGroup(backend=backend)
    monkeypatch.setattr("ascend_venc.group.Encoder", Late)
    with pytest.raises(venc.InvalidArgumentError, match="the group is closed"):
        group.add(128, 128, codec="h264")
    assert [encoder.closed for encoder in opened] == [True]
    assert group.encoders == []


def test_no_encoder_comes_to_a_group_that_is_being_closed(backend, monkeypatch):
    group = venc.EncoderGroup(backend=backend)
    first = group.add(128, 128, codec="h264")
    refused = []

    def close():
        with pytest.raises(venc.InvalidArgumentError, match="the group is closed"):
            group.add(128, 128, codec="h264")
        refused.append(True)

    monkeypatch.setattr(first, "_begin_close", close)
    group.close()
    monkeypatch.undo()
    first.close()
    assert refused == [True]


def test_first_error_of_several_encoders_is_raised_by_close(backend, monkeypatch):
    errors = [venc.VencError("first"), venc.VencError("second")]
    group = venc.EncoderGroup(backend=backend)
    cameras = [group.add(128, 128, codec="h264") for _ in range(3)]

    def refuse():
        raise errors[len(tried) - 1]

    tried = []
    for camera in cameras[:2]:
        monkeypatch.setattr(camera, "_begin_close", lambda: tried.append(1) or refuse())
    with pytest.raises(venc.VencError) as caught:
        group.close()
    monkeypatch.undo()
    assert caught.value is errors[0]
    assert [camera.closed for camera in cameras] == [False, False, True], "all were tried"
    for camera in cameras:
        camera.close()


def test_coalescing_is_for_a_group_that_asks_for_it(backend, frames, monkeypatch):
    """What the native wait is told: how long it may collect."""
    receive, told = group_module.receive_from_each, []

    def asked(group, waitset, by_key, limit, deadline, max_latency, found):
        told.append(max_latency)
        return receive(group, waitset, by_key, limit, deadline, max_latency, found)

    monkeypatch.setattr(group_module, "receive_from_each", asked)
    for delivery, expected in (("immediate", 0.0), ("coalesced", 0.25)):
        told.clear()
        with venc.EncoderGroup(backend=backend, delivery=delivery, max_latency=0.25) as group:
            group.add(128, 128, codec="h264").submit(frames[0])
            group.receive(timeout=10)
        assert set(told) == {expected}


@pytest.mark.parametrize("delivery", ["immediate", "coalesced"])
def test_several_threads_receive_from_one_group(backend, frames, delivery):
    received, ended = [], []

    def receive():
        with pytest.raises(venc.EncoderDrained):
            while True:
                received.extend(group.receive_many(3))
        ended.append(True)

    with venc.EncoderGroup(backend=backend, delivery=delivery) as group:
        cameras = [group.add(128, 128, codec="h264", depth=4) for _ in range(6)]
        threads = [threading.Thread(target=receive) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(30):
            for name, camera in enumerate(cameras):
                camera.submit(frames[number % COUNT], token=(name, number))
        cameras[0].reconfigure(bitrate="1M")
        cameras[0].submit(frames[0], token=(0, 30))
        group.drain()
        for thread in threads:
            thread.join(60)
        assert ended == [True] * 3
    expected = {(name, number) for name in range(6) for number in range(30)} | {(0, 30)}
    assert len(received) == len(expected)
    assert {packet.token for _, packet in received} == expected
    assert all(cameras[packet.token[0]] is encoder for encoder, packet in received)


@pytest.mark.parametrize("end", ["drain", "close", "close alone"])
def test_end_of_a_group_is_told_to_all_threads_that_wait(backend, end, monkeypatch):
    """None of them has a bound after which it would look by itself."""

    def receive():
        with pytest.raises((venc.EncoderDrained, venc.InvalidArgumentError)):
            group.receive_many()
        return "ended"

    with venc.EncoderGroup(backend=backend) as group:
        encoder = group.add(128, 128, codec="h264", timeout=None)
        threads = [started(receive) for _ in range(12)]
        eventually(lambda: all(is_inside(thread, "receive_many") for thread in threads), 30)
        if end == "close alone":  # an encoder that is closed tells it too, to whom it may reach
            monkeypatch.setattr(venc.Encoder, "_begin_close", lambda self: None)
        getattr(group, end.partition(" ")[0])()
        assert [outcome(thread) for thread in threads] == ["ended"] * 12
        monkeypatch.undo()
        encoder.close()


@pytest.mark.sim_only
def test_stall_of_an_encoder_that_came_while_a_thread_waited_is_seen(backend, frames):
    with venc.EncoderGroup(backend=backend) as group:
        group.add(128, 128, codec="h264", timeout=None)
        receiver = started(group.receive_many)
        eventually(lambda: is_inside(receiver, "receive_many"))
        with simulator.shared().options(stall=1):
            late = group.add(128, 128, codec="h264", timeout=0.8)
            late.submit(frames[0])
            error = outcome(receiver)
        assert isinstance(error, venc.AclTimeoutError) and error.encoder is late
        assert group.receive(timeout=10)[0] is late


def test_who_receives_is_woken_when_the_patience_of_the_new_encoder_counts_already(backend, monkeypatch):
    """It would sleep without bound again: nobody else tells it of that encoder's stall."""
    seen = []

    class Recording(venc.Encoder):
        def _open_channel(self):
            seen.append(group._look_at)
            return super()._open_channel()

    monkeypatch.setattr("ascend_venc.group.Encoder", Recording)
    with venc.EncoderGroup(backend=backend) as group:
        group._look_at = float("inf")  # as a receiver of encoders that have no bound leaves it
        group.add(128, 128, codec="h264")
        assert seen[-1] == 0.0


def test_coalesced_group_wakes_for_several_packets_at_once(backend, frames):
    with venc.EncoderGroup(backend=backend, delivery="coalesced", max_latency=0.2) as group:
        cameras = [group.add(128, 128, codec="h264", depth=8) for _ in range(4)]
        done = threading.Event()

        def submit():
            for number in range(100):
                cameras[number % 4].submit(frames[number % COUNT])
                time.sleep(0.001)
            group.drain()
            done.set()

        thread = threading.Thread(target=submit)
        thread.start()
        looks = 0
        total = 0
        with pytest.raises(venc.EncoderDrained):
            while True:
                total += len(group.receive_many(1000))
                looks += 1
        thread.join()
    assert total == 100
    assert looks < 50  # one for each packet or so without the delay


def test_packets_left_by_a_loop_and_by_an_encoder_are_still_received(backend, frames):
    with venc.EncoderGroup(backend=backend) as group:
        one, two = group.add(128, 128, codec="h264"), group.add(128, 128, codec="h264")
        for number in range(4):
            one.submit(frames[number])
            two.submit(frames[number])
        for _encoder, _packet in group.packets():
            break
        for packet in one.packets():
            first = packet.frame_index
            break
        group.drain()
        left = [(encoder, packet.frame_index) for encoder, packet in group.packets()]
        assert len(left) == 6
        assert (one, first) not in left
        with pytest.raises(venc.EncoderDrained):
            group.receive(timeout=0)


def test_packets_that_a_call_did_not_want_are_for_the_next_one(backend, frames):
    """Without progress of the encoder in between."""
    with venc.EncoderGroup(backend=backend) as group:
        one, two = group.add(128, 128, codec="h264"), group.add(128, 128, codec="h264")
        for number in range(3):
            one.submit(frames[number])
        eventually(lambda: one.stats.ready == 3)
        two.submit(frames[0])
        eventually(lambda: two.stats.ready == 1)
        found = [group.receive_many(2, timeout=10) for _ in range(2)]
        assert [[(encoder, packet.frame_index) for encoder, packet in each] for each in found] == [
            [(one, 0), (one, 1)],
            [(two, 0), (one, 2)],  # the others first
        ]


@pytest.mark.sim_only
def test_lost_device_is_said_again_and_again_and_what_was_encoded_is_delivered(backend, frames):
    with venc.EncoderGroup(backend=backend) as group:
        cameras = [group.add(128, 128, codec="h264") for _ in range(3)]
        for camera in cameras:
            camera.submit(frames[0])
        for camera in cameras:
            camera._channel.wait_idle(10)
        with simulator.shared().options(stall=1):
            for camera in cameras:
                camera.submit(frames[1])
            with simulator.shared().lost_device():
                named, packets = set(), 0
                while len(named) < 3:
                    try:
                        packets += len(group.receive_many(timeout=10))
                    except venc.DeviceLostError as lost:
                        named.add(lost.encoder)
                assert named == set(cameras)
                assert packets == 3
                group._close(warn=False)


def test_group_forgets_encoders_that_were_closed(backend, frames):
    with venc.EncoderGroup(backend=backend) as group:
        stays = group.add(128, 128, codec="h264")
        gone = []
        for _ in range(4):
            camera = group.add(128, 128, codec="h264")
            camera.submit(frames[0])
            assert group.receive(timeout=10)[0] is camera
            camera.close()
            gone.append(weakref.ref(camera))
            del camera
        group.add(128, 128, codec="h264")
        assert sorted(group._by_key) == sorted(group._streams.values()) == [0, 1], "keys are given out again"
        gc.collect()
        assert [ref() for ref in gone] == [None] * 4
        stays.submit(frames[0])
        assert group.receive(timeout=10)[0] is stays


def run(program, **environment):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env=processes.environment(**environment),
        cwd=simulator.ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.split()


def test_encoders_are_placed_by_load_and_the_chips_limit_is_an_error_that_harms_nobody():
    """Two boards that have 16 channels each, in a process of their own."""
    found = run(
        """
        import ascend_venc as venc
        frame = bytes(128 * 128 * 3 // 2)
        with venc.EncoderGroup(backend="sim:Ascend310B4") as group:
            first = [group.add(size, size, codec="h264") for size in (256, 128, 128)]
            print(*[group._device_of[encoder] for encoder in first])
            rest = [group.add(128, 128, codec="h264") for _ in range(29)]
            try:
                group.add(128, 128, codec="h264")
            except venc.DeviceFullError as error:
                print("full" if "16 open by this process" in str(error) else error)
            try:
                venc.Encoder(128, 128, backend="sim:Ascend310B4", device=1)
            except venc.DeviceFullError as error:
                print("full" if "device 1" in str(error) else error)
            for encoder in first + rest:
                encoder.submit(bytes(encoder.config.width * encoder.config.height * 3 // 2))
            group.drain()
            print(len(list(group.packets())))
            rest[0].close()
            print(group.add(128, 128, codec="h264").backend)
        """,
        ASCEND_VENC_SIM_DEVICES="2",
        ASCEND_VENC_SIM_OPTIONS="channel_limit=16",
    )
    assert found == ["0", "1", "1", "full", "full", "32", "sim:Ascend310B4"]


def test_encoders_are_placed_by_what_the_others_encode_now():
    found = run(
        """
        import ascend_venc as venc
        with venc.EncoderGroup(backend="sim") as group:
            busy, other = [group.add(128, 128, codec="h264") for _ in range(2)]
            busy.reconfigure(width=1920, height=1080, bitrate="4M")
            more = [group.add(128, 128, codec="h264") for _ in range(2)]
            busy.reconfigure(width=128, height=128, fps=1)
            more.append(group.add(128, 128, codec="h264"))
            print(*[group._device_of[encoder] for encoder in (busy, other, *more)])
        """,
        ASCEND_VENC_SIM_DEVICES="2",
    )
    assert found == ["0", "1", "1", "1", "0"]


def test_machine_without_a_device_is_said_as_an_encoder_says_it():
    found = run(
        """
        import ascend_venc as venc
        with venc.EncoderGroup(backend="sim") as group:
            for add in (group.add, lambda *size: venc.Encoder(*size, backend="sim")):
                try:
                    add(128, 128)
                except venc.AclNoDeviceError as error:
                    print("reports no device" in str(error))
        """,
        ASCEND_VENC_SIM_DEVICES="0",
    )
    assert found == ["True", "True"]


def test_end_that_two_threads_find_leaves_the_encoder_alone_that_has_the_key_meanwhile(backend, frames):
    class TwoThreads(venc.EncoderGroup):
        """Between the one and the other, `add` gives the key out again."""

        added = None

        def _forget(self, which):
            super()._forget(which)
            if self.added is None:
                self.added = self.add(128, 128, codec="h264")
                super()._forget(which)

    with TwoThreads(backend=backend) as group:
        first = group.add(128, 128, codec="h264")
        group.add(128, 128, codec="h264").submit(frames[0])
        first.close()
        assert group.receive(timeout=10)[1].frame_index == 0
        assert group.added.submit(frames[1]) == 0
        assert group.receive(timeout=10)[0] is group.added


def test_bad_arguments(backend):
    with pytest.raises(venc.InvalidArgumentError, match="devices is empty"):
        venc.EncoderGroup(backend=backend, devices=[])
    with pytest.raises(venc.InvalidArgumentError, match="devices is 99"):
        venc.EncoderGroup(backend=backend, devices=[99])
    with pytest.raises(TypeError, match="devices must be a list of device numbers, got int"):
        venc.EncoderGroup(backend=backend, devices=0)
    with venc.EncoderGroup(backend=backend) as group:
        group.add(128, 128, codec="h264")
        with pytest.raises(venc.InvalidArgumentError, match="max is 0, allowed is 1 to"):
            group.receive_many(0)
        with pytest.raises(TypeError, match="max must be an int"):
            group.receive_many("1")
    group = venc.EncoderGroup(backend=backend)
    group.close()
    group.close()
    with pytest.raises(venc.InvalidArgumentError, match="closed"):
        group.add(128, 128)
    with pytest.raises(venc.InvalidArgumentError, match="closed"):
        group.receive()


def test_encoders_are_not_asked_for_a_stall_before_there_can_be_one(monkeypatch):
    """The wait for a packet of 16 encoders costs what that of one does."""
    asked = []
    patience = venc.EncoderGroup._patience
    monkeypatch.setattr(venc.EncoderGroup, "_patience", lambda *args: asked.append(1) or patience(*args))
    with venc.EncoderGroup(backend="sim") as group:
        encoders = [group.add(128, 128, codec="h264") for _ in range(16)]
        for _ in range(10):
            for enc in encoders:
                enc.submit(bytes(128 * 192))
            for _ in encoders:
                group.receive(10)
    assert len(asked) <= 2, "160 packets within the 30 s of the first look"
