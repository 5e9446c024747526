# SPDX-License-Identifier: Apache-2.0
"""Settings that change while an encoder runs."""

import contextlib
import gc
import sys
import threading
import weakref
from fractions import Fraction

import numpy as np
import pytest

import ascend_venc as venc
from ascend_venc.config import EncoderConfig
from helpers import decode, interface, simulator, video
from helpers.waiting import eventually, outcome, started

COUNT = 12


@pytest.fixture(scope="module")
def frames():
    return video.synthetic(128, 128, COUNT, watermark=True)


@pytest.fixture(autouse=True)
def another_channel(backend):
    """What these tests are about. On V2 the present one would change (test_v2_live.py): it refuses."""
    live = interface.V2 and backend == "sim"
    with simulator.shared().failing_call(interface.CHANGE, persistent=True) if live else contextlib.nullcontext():
        yield


@pytest.fixture
def enc(backend):
    with venc.Encoder(128, 128, codec="h264", bitrate="2M", gop=1000, backend=backend) as encoder:
        yield encoder


def shown(packets):
    return [video.read_watermark(frame) for frame in decode.frames(b"".join(map(bytes, packets)), "h264")]


def test_numbers_go_on_and_the_first_frame_is_an_idr(enc, frames):
    for frame in frames[:4]:
        enc.submit(frame)
    assert enc.reconfigure(bitrate="500k", gop=3, rc="cbr", fps=50) == 4
    assert (enc.config.bitrate, enc.config.gop, enc.config.rc, enc.config.fps) == (500_000, 3, "cbr", 50)
    for frame in frames[4:]:
        enc.submit(frame)
    packets = enc.flush()
    assert [packet.frame_index for packet in packets] == list(range(COUNT))
    assert [packet.frame_index for packet in packets if packet.is_keyframe] == [0, 4, 7, 10]
    assert shown(packets) == list(range(COUNT))
    assert {packet.time_base.denominator for packet in packets[:4]} == {25}
    assert {packet.time_base.denominator for packet in packets[4:]} == {50}
    assert (enc.stats.submitted, enc.stats.encoded, enc.stats.key_frames) == (COUNT, COUNT, 4)


def test_numbered_times_never_go_back_where_the_new_rate_does_not_divide_the_old_one(enc, frames):
    """25 to 30 frames per second behind the first frame, which ends at 0.04 s: the second comes at 2/30 s."""
    enc.submit(frames[0])
    enc.reconfigure(fps=30)
    enc.submit(frames[1])
    assert [packet.time for packet in enc.flush()] == [0, pytest.approx(2 / 30)]


def test_size_changes_when_asked_explicitly(enc, frames, backend):
    enc.submit(frames[0])
    held = enc.acquire()
    assert enc.reconfigure(width=256, height=192) == 1
    with pytest.raises(venc.InvalidArgumentError, match=r"before reconfigure\(\)"):
        enc.submit(held)
    large = video.synthetic(256, 192, 1)[0]
    with pytest.raises(venc.InvalidArgumentError, match="256 x 192"):
        enc.submit(frames[1])
    assert enc.submit(large) == 1
    small, big = enc.flush()
    assert decode.frames(bytes(small), "h264")[0].shape == (192, 128)
    assert decode.frames(bytes(big), "h264")[0].shape == (288, 256)


def test_converted_frames_change_size_too(backend):
    import numpy as np

    with venc.Encoder(128, 128, codec="h264", pixel_format="rgb24", backend=backend) as enc:
        enc.submit(np.zeros((128, 128, 3), np.uint8))
        enc.reconfigure(width=256, height=256)
        enc.submit(np.zeros((256, 256, 3), np.uint8))
        assert [packet.is_keyframe for packet in enc.flush()] == [True, True]


@pytest.mark.parametrize(
    "change", [{"bitrate": 1}, {"fps": 0}, {"gop": 0}, {"rc": "best"}, {"width": 130000}, {"height": 129}]
)
def test_what_the_chip_does_not_take_changes_nothing(enc, frames, change):
    enc.submit(frames[0])
    before = enc.config
    with pytest.raises(venc.InvalidArgumentError, match=next(iter(change))):
        enc.reconfigure(**change)
    assert enc.config == before
    assert enc.submit(frames[1]) == 1
    assert [packet.is_keyframe for packet in enc.flush()] == [True, False]


@pytest.mark.sim_only
@pytest.mark.skipif(interface.V2, reason="V2 asks the channel that is there first, which waits for its frames")
def test_reconfigure_does_not_wait_for_the_frames_of_a_stalled_device(backend, frames):
    with venc.Encoder(128, 128, codec="h264", gop=1000, timeout=20, backend=backend) as enc:
        with simulator.shared().options(stall=1):
            enc.submit(frames[0])
            assert enc.reconfigure(bitrate="1M") == 1
            assert enc.submit(frames[1]) == 1
        assert [(packet.frame_index, packet.is_keyframe) for packet in enc.flush()] == [(0, True), (1, True)]


@pytest.mark.sim_only
def test_device_with_one_channel_that_finishes_nothing_changes_nothing(backend, frames):
    with venc.Encoder(128, 128, codec="h264", gop=1000, timeout=1, backend=backend) as enc:
        with simulator.shared().options(stall=1), simulator.shared().failing_call(interface.CREATE):
            enc.submit(frames[0])
            with pytest.raises(venc.AclTimeoutError):
                enc.reconfigure(bitrate="1M")
        assert enc.submit(frames[1]) == 1
        assert [packet.is_keyframe for packet in enc.flush()] == [True, False]


@pytest.mark.sim_only
def test_device_with_one_channel_gets_the_new_one_when_the_old_one_has_ended(backend, frames):
    with venc.Encoder(128, 128, codec="h264", gop=1000, backend=backend) as enc:
        numbers = [enc.submit(frame) for frame in frames[:3]]
        with simulator.shared().failing_call(interface.CREATE):
            assert enc.reconfigure(bitrate="1M") == 3
        assert enc.config.bitrate == 1_000_000
        numbers.append(enc.submit(frames[3]))
        packets = enc.flush()
        assert [packet.frame_index for packet in packets] == numbers == [0, 1, 2, 3]
        assert [packet.is_keyframe for packet in packets] == [True, False, False, True]


@pytest.mark.sim_only
def test_settings_that_are_refused_twice_leave_the_old_ones(backend, frames):
    with venc.Encoder(128, 128, codec="h264", gop=1000, bitrate="2M", backend=backend) as enc:
        enc.submit(frames[0])
        device = simulator.shared()
        twice = [device.failing_call(interface.CREATE, nth=nth) for nth in (1, 2)]
        with twice[0], twice[1], pytest.raises(venc.AclError, match=interface.CREATE):
            enc.reconfigure(bitrate="1M")
        assert enc.config.bitrate == 2_000_000
        assert enc.submit(frames[1]) == 1
        assert [packet.frame_index for packet in enc.flush()] == [0, 1]


@pytest.mark.sim_only
def test_refused_channel_leaves_a_closed_encoder_whose_packets_can_be_read(enc, frames):
    for number, frame in enumerate(frames[:3]):
        enc.submit(frame, token=number)
    failing = simulator.shared().failing_call(interface.CREATE, persistent=True)
    with failing, pytest.raises(venc.AclError, match=interface.CREATE):
        enc.reconfigure(bitrate="1M")
    assert enc.closed
    with pytest.raises(venc.EncoderClosedError):
        enc.submit(frames[3])
    packets = [enc.receive() for _ in range(3)]
    assert [(packet.frame_index, packet.token) for packet in packets] == [(i, i) for i in range(3)]
    with pytest.raises(venc.EncoderClosedError):
        enc.receive()
    enc.close()


@pytest.mark.sim_only
@pytest.mark.parametrize("end", ["close", "drop"])
def test_encoder_that_a_refused_channel_closed_lets_tokens_go(backend, frames, end):
    class Token:
        pass

    enc = venc.Encoder(128, 128, codec="h264", backend=backend)
    tokens = [Token() for _ in range(3)]
    alive = weakref.WeakSet(tokens)
    for frame, token in zip(frames, tokens):
        enc.submit(frame, token=token)
    del token, tokens
    failing = simulator.shared().failing_call(interface.CREATE, persistent=True)
    with failing, pytest.raises(venc.AclError, match=interface.CREATE):
        enc.reconfigure(bitrate="1M")
    assert len(alive) == 3
    if end == "close":
        enc.close()
    else:
        del enc
    gc.collect()
    assert len(alive) == 0


def test_other_threads_go_on_across_changes(enc, frames):
    received = []
    consumer = threading.Thread(target=lambda: received.extend(enc.packets()))
    consumer.start()
    firsts = []

    def produce():
        for _ in range(20):
            for frame in frames:
                enc.submit(frame)

    producers = [threading.Thread(target=produce) for _ in range(2)]
    for thread in producers:
        thread.start()
    for number in range(8):
        firsts.append(enc.reconfigure(bitrate=1_000_000 + number * 1000))
    for thread in producers:
        thread.join()
    enc.drain()
    consumer.join(20)
    assert [packet.frame_index for packet in received] == list(range(40 * COUNT))
    key_frames = {packet.frame_index for packet in received if packet.is_keyframe}
    assert key_frames == {0, *(first for first in firsts if first < 40 * COUNT)}
    assert enc.stats.encoded == 40 * COUNT


# ---- several changes at once -----------------------------------------------------------------------------------------


@pytest.mark.sim_only
def test_change_inside_a_change_is_made_below_it(backend, frames, monkeypatch):
    """Where the outer one runs Python code, a signal's handler or another thread may change the settings too."""
    divide, begun, inside = Fraction.__rtruediv__, [], []

    def change_first(self, other):
        if sys._getframe(1).f_code.co_name == "_take_place" and not begun:
            begun.append(True)
            inside.append(enc.reconfigure(width=256, height=256))
        return divide(self, other)

    with venc.Encoder(128, 128, codec="h264", gop=1000, backend=backend) as enc:
        assert enc.submit(frames[0]) == 0
        before = enc._channel  # as another thread has it that is about to submit
        monkeypatch.setattr(Fraction, "__rtruediv__", change_first)
        assert enc.reconfigure(width=192) == 1
        monkeypatch.undo()
        assert inside == [1]
        assert (enc.config.width, enc.config.height) == (192, 256), "each is made on top of the one before"
        with pytest.raises(venc.InvalidArgumentError, match="256 x 256"):  # it finds the successor, and is checked anew
            before.submit(frames[0], None, False, None, 20)
        assert enc.submit(np.zeros((384, 192), np.uint8)) == 1
        assert [(packet.frame_index, packet.is_keyframe) for packet in enc.flush()] == [(0, True), (1, True)]


def test_encoder_that_is_closed_inside_a_change_is_closed(backend, frames, monkeypatch):
    """By another thread, while the settings of the new channel, which are objects of Python, are looked at."""
    looked_at = EncoderConfig.stream_format
    enc = venc.Encoder(128, 128, codec="h264", backend=backend)

    def close_first(config):
        enc.close()
        return looked_at.fget(config)

    monkeypatch.setattr(EncoderConfig, "stream_format", property(close_first))
    with pytest.raises(venc.EncoderClosedError, match="the encoder is closed"):
        enc.reconfigure(width=192)


@pytest.mark.sim_only
def test_threads_change_a_device_that_has_one_channel(backend, frames):
    """Each waits for the one before: a channel that another thread has opened is not what the device is full for."""
    sizes = [(128 + 16 * number, 128) for number in range(1, 7)]
    with simulator.shared().options(channel_limit=1), venc.Encoder(128, 128, codec="h264", backend=backend) as enc:
        for _ in range(3):
            threads = [started(lambda size=size: enc.reconfigure(width=size[0], height=size[1])) for size in sizes]
            assert {outcome(thread, 60) for thread in threads} == {0}
            for thread in threads:
                del thread.outcome
            assert not enc.closed
        assert (enc.config.width, enc.config.height) in sizes
        assert enc.submit(np.zeros((192, enc.config.width), np.uint8)) == 0
        assert len(enc.flush()) == 1


@pytest.mark.sim_only
def test_change_that_waits_for_the_device_ends_with_close(backend, frames):
    """At once, although the vendor's call has not returned."""
    sim = simulator.shared()
    enc = venc.Encoder(128, 128, codec="h264", backend=backend, timeout=2)
    with sim.hanging_call(interface.CREATE) as wait_hung:
        changing = started(lambda: enc.reconfigure(width=256, height=256))
        wait_hung()
        with pytest.raises(venc.AclTimeoutError):
            enc.close()
        assert isinstance(outcome(changing), venc.EncoderClosedError)
        del changing.outcome
        assert sim.hung_calls(interface.CREATE) == 1
    enc.close()


def test_settings_that_are_over_are_let_go_of(enc, frames):
    """Of forty changes, with packets of each that nobody has taken."""
    rates = [25, 50, 30, 50] * 10
    configs = []
    for number, fps in enumerate(rates):
        enc.reconfigure(fps=fps, bitrate=1_000_000 + 1000 * number)
        configs.append(weakref.ref(enc.config))
        enc.submit(frames[number % COUNT])
    gc.collect()
    assert [number for number, config in enumerate(configs) if config() is not None] in ([39], [38, 39])
    packets = enc.flush()
    assert [1 / packet.time_base for packet in packets] == rates
    assert len({id(packet.time_base) for packet in packets[:-1]}) == 3, "but for the last change's"


def test_settings_of_a_channel_that_was_replaced_are_those_of_now(enc):
    """For who has it in hand while two others take its place."""
    channel = enc._channel
    for bitrate in (1_000_000, 900_000, 800_000):
        enc.reconfigure(bitrate=bitrate)
    assert channel.successor is not None
    epoch, config = channel.settings()
    assert epoch == 0 and config.bitrate in (900_000, 800_000)


def test_low_bit_rate_is_warned_of_once_however_often_the_settings_are_looked_at(enc):
    class Meanwhile:
        """A size that changes the settings as it is looked at."""

        def __index__(self):
            if enc.config.gop != 50:
                enc.reconfigure(gop=50)
            return 128

    with pytest.warns(venc.BitRateWarning, match="is kbit/s meant") as caught:
        enc.reconfigure(bitrate=4000, fps=240, width=Meanwhile())
    assert len(caught) == 1
    assert (enc.config.bitrate, enc.config.gop) == (4000, 50)


def test_bit_rate_that_was_kept_and_has_become_low_is_warned_of_once(backend, recwarn):
    with venc.Encoder(128, 128, codec="h264", backend=backend) as enc:
        bitrate = enc.config.bitrate
        enc.reconfigure(width=256)
        assert len(recwarn) == 0
        with pytest.warns(venc.BitRateWarning, match=rf"{bitrate} bit/s for 1920 x 1080 at 25 .*the one from before"):
            enc.reconfigure(width=1920, height=1080)
        enc.reconfigure(fps=50)
        enc.reconfigure(width=128, height=128, fps=25)
        assert len(recwarn) == 0 and enc.config.bitrate == bitrate


@pytest.mark.sim_only
def test_call_given_up_while_the_only_channel_is_ended_can_be_made_again_with_any_settings(backend, frames):
    """For a device that has no second channel: what holds until then is as the documentation has it."""
    device = simulator.shared()
    with venc.Encoder(128, 128, codec="h264", timeout=20, backend=backend) as enc:
        enc.submit(frames[0])
        with device.failing_call(interface.CREATE, persistent=True), device.hanging_call(interface.DESTROY):
            enc._timeout = 1  # in which the call has to be met
            with pytest.raises(venc.AclTimeoutError):
                enc.reconfigure(width=256)
            eventually(lambda: device.hung_calls(interface.DESTROY) == 1)
            assert (enc.closed, enc.config.width) == (False, 128)
            with pytest.raises(venc.AclTimeoutError, match="call it again"):
                enc.submit(frames[1])
        enc._timeout = 20
        assert enc.receive().frame_index == 0
        assert enc.reconfigure(width=128) == 1
        assert enc.submit(frames[1]) == 1
        assert enc.flush()[0].is_keyframe
