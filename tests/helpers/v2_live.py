# SPDX-License-Identifier: Apache-2.0
"""Settings that change on DVPP V2 while an encoder runs, a program for each subject of test_v2_live.py.

python v2_live.py NAME [ARGUMENT...]
"""

import contextlib
import ctypes
import gc
import io
import itertools
import json
import os
import signal
import sys
import tempfile
import threading
import time
import weakref
from fractions import Fraction
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

import ascend_venc as venc
from ascend_venc._lowlevel import core
from helpers import decode, himpi, live, simulator, v2_program, video, waiting
from helpers.v2_program import FRAME, SLACK

BUSY = -1610055662  # 0xA0088012
CHANGES = ("hi_mpi_venc_get_rc_param", "hi_mpi_venc_set_chn_attr", "hi_mpi_venc_set_rc_param")


def outcome(thread, seconds=20):
    """What a `waiting.started` thread returned, or raises what it raised."""
    found = waiting.outcome(thread, seconds)
    if isinstance(found, BaseException):
        raise found
    return found


def encoder(**options):
    """Without a description, which the engine writes into key frames: access units are the device's, by their bytes."""
    return v2_program.encoder(**{"vui": False, **options})


def by_rate(**options):
    """The null codec's access units have the bytes that bit rate and frame rate give: what the device goes by."""
    return simulator.shared().options(null_codec=100, v2_null_rate=1, **options)


def per_frame(enc):
    return enc.config.bitrate // 8 // int(enc.config.fps)


def calls():
    sim = simulator.shared()
    return {name: sim.aclsim_calls(name.encode()) for name in (*CHANGES, "hi_mpi_venc_create_chn")}


def assert_whole(packets, count, idrs=(0,)):
    assert [packet.frame_index for packet in packets] == list(range(count))
    assert [packet.frame_index for packet in packets if packet.is_keyframe] == list(idrs)


def assert_continuous(packets):
    """Each frame begins where the one before it ended, rounded up to the units of its own time base."""
    for before, packet in zip(packets, packets[1:]):
        end = (before.pts + before.duration) * before.time_base
        begin = packet.pts * packet.time_base
        assert end <= begin < end + packet.time_base, (before.frame_index, end, begin)


def hundred_changes(codec):
    """100 changes of bit rate and frame rate in 1,000 frames: one IDR, no frame lost, times continuous."""
    sim = simulator.shared()
    clip = video.synthetic(128, 128, 50)
    sim.aclsim_count_calls(1)
    with encoder(codec=codec, gop=65536, bitrate=300_000) as enc:
        packets, bases = [], [Fraction(1, 25)] * 10
        for number in range(1000):
            if (number and number % 10 == 0) or number == 5:
                change = (
                    {"fps": 10 + number // 20 % 5 * 10} if number % 20 == 0 else {"bitrate": 200_000 + 300 * number}
                )
                assert enc.reconfigure(**change) == number
                name, value = next(iter(change.items()))
                assert getattr(enc.config, name) == value
            packets += enc.encode(clip[number % 50])
        packets += enc.flush()
        assert enc.stats.key_frames == 1 and enc.stats.failed == 0
    made = calls()
    assert made["hi_mpi_venc_set_chn_attr"] == made["hi_mpi_venc_set_rc_param"] == 100, made
    assert made["hi_mpi_venc_create_chn"] == 1
    assert_whole(packets, 1000)
    assert_continuous(packets)
    assert len({packet.time_base for packet in packets}) == 6 and bases[0] in {packet.time_base for packet in packets}
    assert len(decode.frames(b"".join(map(bytes, packets)), codec)) == 1000


def rate_follows(codec):
    """On the real codec the rate of a second's frames is the new one, from the first that it applies to."""
    clip = video.synthetic(320, 240, 50)
    noise = np.random.default_rng(1)
    clip = [np.clip(frame + noise.integers(-20, 20, frame.shape), 0, 255).astype(np.uint8) for frame in clip]
    with venc.Encoder(
        320, 240, codec=codec, backend="sim", interface="v2", rc="cbr", gop=65536, bitrate=500_000, timeout=20
    ) as enc:
        for number in range(50):
            enc.submit(clip[number])
        packets = enc.flush()
        for rate in (2_000_000, 1_000_000, 3_000_000, 800_000):
            first = enc.reconfigure(bitrate=rate)
            for number in range(25):
                assert enc.submit(clip[number]) == first + number
            packets += enc.flush()
            second = sum(packet.size * 8 for packet in packets if packet.frame_index >= first)
            assert 0.75 < second / rate < 1.25, (rate, second)
        first = enc.reconfigure(fps=50)
        for number in range(50):
            enc.submit(clip[number])
        packets += enc.flush()
        second = sum(packet.size * 8 for packet in packets[first:])
        assert 0.75 < second / 800_000 < 1.25, second
    assert_whole(packets, 200)
    assert_continuous(packets)


def first_frame(codec):
    """The number that comes back is the first frame that the change applies to, whatever waits in front of it."""
    sim = simulator.shared()
    with by_rate(encode_time_us=1000), tempfile.TemporaryDirectory() as folder:
        sim.aclsim_trace(f"{folder}/trace".encode())
        with encoder(codec=codec, gop=1000, bitrate=1_000_000, rc="cbr", depth=4, queue=12) as enc:
            sizes, packets = [], []
            for bitrate, fps in [(1_000_000, 25), (2_000_000, 25), (2_000_000, 50), (400_000, 10), (400_000, 25)]:
                before = enc.stats.submitted
                assert enc.reconfigure(bitrate=bitrate, fps=fps) == before
                for _ in range(11):
                    enc.submit_async(FRAME)
                sizes += [bitrate // 8 // fps] * 11
            packets = enc.flush()
        sim.aclsim_trace(None)
        names = [json.loads(line).get("call") for line in Path(f"{folder}/trace").read_text().splitlines()]
    assert_whole(packets, 55)
    assert_continuous(packets)
    assert [packet.size for packet in packets] == sizes
    order = [name for name in names if name in CHANGES]
    assert order == [CHANGES[0], *CHANGES[1:] * 5], order  # the parameters that are kept are asked for once


def settings_over():
    """Settings that are over, and equal time bases, are not kept; packets that nobody has taken have theirs."""
    rates, configs = [25, 50, 30, 50] * 10, []
    with encoder(codec="h264") as enc:
        simulator.shared().aclsim_count_calls(1)
        for number, fps in enumerate(rates):
            enc.reconfigure(fps=fps, bitrate=1_000_000 + 1000 * number)
            configs.append(weakref.ref(enc.config))
            enc.submit(FRAME)
        gc.collect()
        assert [number for number, config in enumerate(configs) if config() is not None] in ([39], [38, 39])
        packets = enc.flush()
        assert calls()["hi_mpi_venc_create_chn"] == 0
    assert [1 / packet.time_base for packet in packets] == rates
    assert len({id(packet.time_base) for packet in packets[:-1]}) == 3, "but for the last change's"


def modes():
    """rc and GOP change live, too; a size does not: then another channel takes the place, with an IDR."""
    sim = simulator.shared()
    sim.aclsim_count_calls(1)
    with encoder(gop=1000, rc="cbr", bitrate="300k") as enc:
        packets = []
        for change in ({"rc": "vbr"}, {"rc": "cbr", "fps": 50}, {"gop": 500}, {}):
            for frame in video.synthetic(128, 128, 5):
                packets += enc.encode(frame)
            assert enc.reconfigure(**change) == enc.stats.submitted
        held = enc.acquire()
        assert enc.reconfigure(bitrate="200k") == 20
        held.y[:] = 128
        assert enc.submit(held) == 20, "a picture buffer is the channel's, which is still there"
        packets += enc.flush()
        assert_whole(packets, 21)
        assert calls()["hi_mpi_venc_create_chn"] == 1
        assert enc.reconfigure(width=256, gop=900) == 21
        packets = enc.encode(bytes(256 * 192)) + enc.flush()
        assert [(packet.frame_index, packet.is_keyframe) for packet in packets] == [(21, True)]
        assert enc.reconfigure(gop=3) == 22, "the new channel changes live as well"
        packets = [packet for _ in range(7) for packet in enc.encode(bytes(256 * 192))] + enc.flush()
        assert calls()["hi_mpi_venc_create_chn"] == 2
        assert packets[0].kind == "P" and sum(packet.is_keyframe for packet in packets) >= 2
        assert (enc.config.width, enc.config.gop, enc.config.bitrate, enc.config.rc) == (256, 3, 200_000, "cbr")


def described(codec):
    """The next key frame behind a change tells the new frame rate; until then the old one is told."""

    import av

    def timing(unit):
        with av.open(io.BytesIO(unit), format={"h264": "h264", "h265": "hevc"}[codec]) as container:
            return container.streams.video[0].codec_context.framerate

    with encoder(codec=codec, vui=True, gop=1000, fps=25) as enc:
        packets = [packet for _ in range(3) for packet in enc.encode(FRAME)] + enc.flush()
        assert enc.reconfigure(fps=50) == 3
        packets += enc.encode(FRAME) + enc.encode(FRAME, key_frame=True) + enc.flush()
    assert_whole(packets, 5, (0, 4))
    assert [timing(bytes(packets[n])) for n in (0, 4)] == [25, 50]


MODE_NUMBERS = {"cbr": 1, "vbr": 2, "avbr": 3, "qvbr": 4, "cvbr": 5, "fixqp": 6, "default": 2}


def device_has(codec):
    """(mode of rate control, its attributes, its parameters) of channel 0, as the device has them."""
    sim = simulator.shared()
    assert sim.aclrtSetDevice(0) == 0
    attr, param = himpi.structure("hi_venc_chn_attr")(), himpi.structure("hi_venc_rc_param")()
    assert sim.hi_mpi_venc_get_chn_attr(0, ctypes.byref(attr)) == 0
    assert sim.hi_mpi_venc_get_rc_param(0, ctypes.byref(param)) == 0
    assert sim.aclrtResetDevice(0) == 0
    number = attr.rc_attr.rc_mode - (0 if codec == "h264" else 10)
    name = next(name for name, mode in MODE_NUMBERS.items() if mode == number)
    return name, getattr(attr.rc_attr, f"{codec}_{name}"), getattr(param, f"{codec}_{name}_param", None)


def rate_controls(codec):
    """Every mode, with limits where it takes them, when the encoder is opened and when it is changed."""
    clip = video.synthetic(128, 128, 6)
    limits = {
        "min_qp": 20,
        "max_qp": 40,
        "min_i_qp": 18,
        "max_i_qp": 38,
        "min_i_proportion": 2,
        "max_i_proportion": 30,
        "max_reencode": 1,
    }
    names = {"max_reencode": "max_reencode_times"}

    def check(enc, control):
        mode, attr, param = device_has(codec)
        assert MODE_NUMBERS[mode] == MODE_NUMBERS[control.mode]
        assert enc.config.rate_control == control and enc.config.rc == control.mode
        assert attr.gop == 1000 and attr.src_frame_rate == attr.dst_frame_rate == 25
        if control.mode == "fixqp":
            assert (attr.i_qp, attr.p_qp) == control.qp
        else:
            assert attr.stats_time == 1
            found = {name: getattr(param, names.get(name, name)) for name in control.limits}
            assert found == control.limits

    controls = [venc.RateControl(mode, **limits) for mode in MODE_NUMBERS if mode != "fixqp"]
    controls.append(venc.RateControl("fixqp", qp=(21, 33)))
    for first, second in zip(controls, controls[1:] + controls[:1]):
        with encoder(codec=codec, gop=1000, bitrate="300k", rc=first) as enc:
            check(enc, first)
            packets = [packet for frame in clip for packet in enc.encode(frame)]
            assert enc.reconfigure(rc=second) == 6
            check(enc, second)
            packets += [packet for frame in clip for packet in enc.encode(frame)] + enc.flush()
            enc.reconfigure(bitrate="200k")
            check(enc, second)  # setting attributes has reset them
            assert_whole(packets, 12)
            assert len(decode.frames(b"".join(map(bytes, packets)), codec)) == 12
            for control, part in ((first, packets[:6]), (second, packets[6:])):
                if control.mode == "fixqp":
                    assert [packet.mean_qp for packet in part if not packet.is_keyframe] == [33] * (
                        5 + (part != packets[:6])
                    )


def limits(codec):
    """Limits of the quantiser hold, stay across a change of bit rate, and go with a change of mode that has none."""
    rng = np.random.default_rng(2)
    noise = [rng.integers(0, 255, (192, 128), dtype=np.uint8) for _ in range(4)]

    def quantisers(enc):
        packets = [packet for frame in noise for packet in enc.encode(frame)] + enc.flush()
        return [packet.mean_qp for packet in packets if not packet.is_keyframe]

    with encoder(codec=codec, gop=1000, bitrate="50k", rc=venc.RateControl("cbr", max_qp=9)) as enc:
        assert device_has(codec)[2].min_qp <= 9, "the device's own least gives way"
        assert set(quantisers(enc)) == {9}
        enc.reconfigure(bitrate="40k")
        assert set(quantisers(enc)) == {9}
        enc.reconfigure(rc=venc.RateControl("cbr", min_qp=48))
        assert min(quantisers(enc)) >= 48
        enc.reconfigure(rc="cbr", bitrate="20M")
        assert device_has(codec)[2].min_qp < 48, "as the device begins"


def limits_refused():
    """Opening fails whole where the device refuses the limits, and a change to them changes nothing."""
    control = venc.RateControl("cbr", max_qp=40)
    for function in (CHANGES[0], CHANGES[2]):
        with refusing(function, False):
            try:
                encoder(rc=control)
                raise AssertionError(f"{function} failed, and the encoder is open")
            except venc.AclError as error:
                assert function in str(error), error
    with encoder(rc=control, gop=1000) as enc:
        packets = enc.encode(FRAME)
        with refusing(CHANGES[2], False):
            try:
                enc.reconfigure(rc=venc.RateControl("avbr", max_qp=30))
                raise AssertionError("refused, and changed")
            except venc.AclError as error:
                assert CHANGES[2] in str(error), error
        assert enc.config.rate_control == control
        mode, _, param = device_has("h264")
        assert (mode, param.max_qp) == ("cbr", 40)
        packets += enc.encode(FRAME) + enc.flush()
    assert_whole(packets, 2)


def frames_behind(kind):
    """Frames that come while the device still has those in front of a change: taken, not held up, and in time."""
    sim = simulator.shared()
    with by_rate(), encoder(gop=1000, bitrate=1_000_000, depth=4, queue=6, on_full="error") as enc:
        with sim.options(stall=1):
            for _ in range(3):
                enc.submit_async(FRAME)
            thread = waiting.started(lambda: enc.reconfigure(fps=50, bitrate=2_000_000))
            waiting.eventually(lambda: core.live()["CHANGE"] == 1)
            assert enc.config.fps == 25, "not made yet"
            numbers = []
            for number in range(4):
                pts = 1000 if kind == "given" and number == 2 else None
                numbers.append((enc.submit_async if number % 2 else enc.submit)(FRAME, pts=pts))
            assert numbers == [3, 4, 5, 6]
            assert enc.stats.encoded == 0
        assert outcome(thread) == 3
        assert enc.submit_async(FRAME) == 7
        packets = enc.flush()
        assert enc.config.fps == 50
    assert_whole(packets, 8)
    assert [packet.size for packet in packets] == [1_000_000 // 8 // 25] * 3 + [2_000_000 // 8 // 50] * 5
    if kind == "counted":
        assert_continuous(packets)
        assert [packet.time_base for packet in packets] == [Fraction(1, 25)] * 3 + [Fraction(1, 50)] * 5
        assert [packet.pts for packet in packets] == [0, 1, 2, 6, 7, 8, 9, 10]
    else:  # the unit of a given pts is the one of the moment in which it was given
        assert (packets[5].pts, packets[5].time_base) == (1000, Fraction(1, 25))
        assert [packet.pts for packet in packets] == [0, 1, 2, 6, 7, 1000, 9, 10]


@contextlib.contextmanager
def refusing(function, after):
    with simulator.shared().failing_call(function, code=BUSY, after=after):
        yield


def refused(function, after, change):
    """A call of the change that fails: its code is raised, what was written is written back, nothing is lost."""
    after = after == "after"
    change = {"mode": {"rc": "vbr"}, "rate": {}}[change]
    simulator.shared().aclsim_count_calls(1)
    with by_rate(), encoder(gop=1000, rc="cbr", bitrate=1_000_000) as enc:
        packets = enc.encode(FRAME)
        before = enc.config
        with refusing(function, after):
            try:
                enc.reconfigure(bitrate=4_000_000, fps=50, **change)
                raise AssertionError(f"{function} failed, and the change was made")
            except venc.AclError as error:
                assert function in str(error) and error.code == BUSY + (1 << 32), error
        assert enc.config == before
        assert calls()["hi_mpi_venc_set_chn_attr"] == (0 if function == CHANGES[0] else 2)
        packets += enc.encode(FRAME) + enc.flush()
        assert [packet.size for packet in packets] == [per_frame(enc)] * 2
        assert enc.reconfigure(bitrate=2_000_000) == 2
        packets += enc.encode(FRAME) + enc.flush()
        assert packets[2].size == per_frame(enc) == 10_000
    assert calls()["hi_mpi_venc_create_chn"] == 1
    assert_whole(packets, 3)
    assert_continuous(packets)


def refused_twice(function):
    """The old settings are refused as well: a channel with the new ones takes the place, and no frame is lost."""
    sim = simulator.shared()
    sim.aclsim_count_calls(1)
    with by_rate(), encoder(gop=1000, rc="cbr", bitrate=1_000_000, depth=3) as enc:
        for number in range(3):
            enc.submit(FRAME, token=number)
        with sim.failing_call(function, code=BUSY, persistent=True):
            assert enc.reconfigure(bitrate=4_000_000, fps=50) == 3
            assert enc.submit(FRAME) == 3
        packets = enc.flush()
        assert calls()["hi_mpi_venc_create_chn"] == 2
        assert enc.config.bitrate == 4_000_000
        assert enc.reconfigure(bitrate=2_000_000) == 4
        packets += enc.encode(FRAME) + enc.flush()
    assert_whole(packets, 5, (0, 3))
    assert_continuous(packets)
    assert [packet.token for packet in packets[:3]] == [0, 1, 2]
    assert [packet.size for packet in packets] == [5000, 5000, 5000, 10_000, 5000]


def raises(kind, call, words):
    try:
        found = call()
    except kind as error:
        assert words in str(error), error
        return error
    raise AssertionError(f"{kind.__name__} is missing: {found!r}")


def takes_no_frames(enc, failed):
    """Queued frames were not encoded, others are refused, with what it is and what to do; then another channel is."""
    for number in failed:
        error = raises(venc.FrameError, enc.receive, "AVENC_E_UNSURE")
        assert error.frame_index == number, error
    for call in (lambda: enc.submit(FRAME), lambda: enc.submit_async(FRAME), lambda: enc.encode(FRAME)):
        error = raises(venc.errors.AclStateError, call, "the settings that the device has are not known")
        assert "reconfigure()" in error.hint
    before = enc.stats.submitted
    first = enc.reconfigure(bitrate=2_000_000)
    assert enc.submit(FRAME) == first and enc.stats.submitted == before + 1
    (packet,) = enc.flush()
    assert packet.is_keyframe and packet.frame_index == first and packet.size == 10_000


def given_up(function):
    """A change given up inside the vendor's call that cannot be written back: no frame with unknown settings."""
    sim = simulator.shared()
    with by_rate(), encoder(gop=1000, rc="cbr", bitrate=1_000_000, depth=2, queue=3, timeout=20) as enc:
        assert len(enc.encode(FRAME) + enc.flush()) == 1
        enc._timeout = 1  # in which the call has to be met
        assert sim.aclsim_hang_call(function.encode(), 1, 0) == 0
        thread = waiting.started(lambda: enc.reconfigure(bitrate=4_000_000))
        sim.wait_hung(function)
        raises(venc.AclTimeoutError, lambda: outcome(thread), "has not returned")
        enc._timeout = 20
        assert [enc.submit(FRAME) for _ in range(2)] == [1, 2], "behind the change"
        with sim.failing_call("hi_mpi_venc_set_chn_attr", code=BUSY, persistent=True):
            sim.aclsim_release_hung()
            takes_no_frames(enc, [1, 2])


def cannot_be_replaced():
    """Settings are refused, old ones and another channel too: no frame with unknown settings, until one can be had."""
    sim = simulator.shared()
    with by_rate(), encoder(gop=1000, rc="cbr", bitrate=1_000_000, depth=2, timeout=20) as enc:
        assert len(enc.encode(FRAME) + enc.flush()) == 1
        refused = sim.failing_call("hi_mpi_venc_set_chn_attr", code=BUSY, persistent=True)
        with refused, sim.hanging_call("hi_mpi_venc_create_chn"):
            enc._timeout = 1  # in which the call has to be met
            raises(venc.AclTimeoutError, lambda: enc.reconfigure(bitrate=4_000_000), "has not returned")
            enc._timeout = 20
        takes_no_frames(enc, [])


def interrupted_in_between():
    """Python runs a signal's handler when the native call that was to make the change has come back, and it raises."""
    sim = simulator.shared()

    class Interrupted:
        def __init__(self, channel):
            self.channel = channel

        def __getattr__(self, name):
            return getattr(self.channel, name)

        def change(self, *arguments):
            assert self.channel.change(*arguments) is False
            raise KeyboardInterrupt("by a handler")

    with by_rate(), encoder(gop=1000, rc="cbr", bitrate=1_000_000, depth=2, timeout=20) as enc:
        assert len(enc.encode(FRAME) + enc.flush()) == 1
        channel = enc._channel
        with sim.failing_call("hi_mpi_venc_set_chn_attr", code=BUSY, persistent=True):
            enc._channel = Interrupted(channel)
            try:
                raises(KeyboardInterrupt, lambda: enc.reconfigure(bitrate=4_000_000), "by a handler")
            finally:
                enc._channel = channel
        takes_no_frames(enc, [])


def hangs(function, end):
    """A call of the change that never returns costs its caller the timeout; then the old settings are written back."""
    sim, timeout = simulator.shared(), 1.0
    with by_rate(), encoder(gop=1000, rc="cbr", bitrate=1_000_000, depth=2, queue=2, timeout=timeout) as enc:
        packets = enc.encode(FRAME) + enc.flush()
        before = enc.config
        with sim.hanging_call(function):
            for _ in range(2):  # the second one waits for the first
                begin = time.monotonic()
                try:
                    enc.reconfigure(bitrate=4_000_000)
                    raise AssertionError("a call hangs, and the change was made")
                except venc.AclTimeoutError as error:
                    assert "hi_mpi_venc_set_chn_attr" in str(error) and "1 s" in str(error), error
                assert timeout <= time.monotonic() - begin < timeout + SLACK
            assert sim.hung_calls(function) == 1
            assert [enc.submit(FRAME) for _ in range(2)] == [1, 2], "behind the change"
            assert enc.config == before
            for call in (enc.flush, lambda: [enc.submit(FRAME) for _ in range(5)]):
                begin = time.monotonic()
                try:
                    call()
                    raise AssertionError("the device has been given nothing")
                except venc.AclTimeoutError as error:
                    assert "frame" in str(error), error
                assert timeout <= time.monotonic() - begin < timeout + SLACK
            submitted = enc.stats.submitted
            if end == "close":
                begin = time.monotonic()
                try:
                    enc._close(warn=False)
                    raise AssertionError("the channel is held by the call")
                except venc.AclTimeoutError as error:
                    assert "hi_mpi_venc_set_chn_attr" in str(error), error
                assert time.monotonic() - begin < timeout + SLACK
        if end == "close":
            waiting.eventually(lambda: core.live()["CHANNEL"] == 0)
            return
        waiting.eventually(lambda: enc.stats.in_flight == 0)
        packets += enc.flush()
        assert enc.reconfigure(bitrate=2_000_000) == submitted
        packets += enc.encode(FRAME) + enc.flush()
    assert_whole(packets, submitted + 1)
    assert [packet.size for packet in packets] == [5000] * submitted + [10_000]


def strike_when_a_change_waits(number):
    """Let a signal come to this process as soon as a change waits for the frames in front of it."""

    def strike():
        waiting.eventually(lambda: core.live()["CHANGE"] == 1)
        os.kill(os.getpid(), number)

    waiting.started(strike)


def interrupted():
    """Ctrl-C ends the wait for the frames in front: nothing has changed, and nothing is lost."""
    sim = simulator.shared()
    with by_rate(), encoder(gop=1000, bitrate=1_000_000) as enc:
        with sim.options(stall=1):
            for _ in range(3):
                enc.submit(FRAME)
            begin = time.monotonic()
            try:
                strike_when_a_change_waits(signal.SIGINT)
                enc.reconfigure(bitrate=4_000_000)
                raise AssertionError("the device stands still, and the change was made")
            except KeyboardInterrupt:
                assert time.monotonic() - begin < 15
            assert core.live()["CHANGE"] == 0
            assert enc.config.bitrate == 1_000_000
            enc.submit(FRAME)
        packets = enc.flush()
    assert_whole(packets, 4)
    assert [packet.size for packet in packets] == [5000] * 4


def stalled():
    """A device that finishes nothing: AclTimeoutError, and nothing has changed."""
    with by_rate(), encoder(gop=1000, bitrate=1_000_000, timeout=0.8) as enc:
        with simulator.shared().options(stall=1):
            enc.submit(FRAME)
            try:
                enc.reconfigure(bitrate=4_000_000, fps=50)
                raise AssertionError("the device stands still, and the change was made")
            except venc.AclTimeoutError as error:
                assert "0.8 s" in str(error) and "in front of the change" in str(error), error
            enc.submit(FRAME)
        enc._timeout = 20
        packets = enc.flush()
    assert_whole(packets, 2)
    assert_continuous(packets)
    assert [packet.size for packet in packets] == [5000] * 2


def stalled_together():
    """Each of several calls that wait one behind the other has its own bound, and not those of the others added up."""
    with encoder(timeout=5) as enc:
        with simulator.shared().options(stall=1):
            enc.submit(FRAME)

            def change():
                begin = time.monotonic()
                try:
                    enc.reconfigure(bitrate=4_000_000)
                except venc.AclTimeoutError as error:
                    assert "finished no frame for 5 s" in str(error), error
                    return time.monotonic() - begin
                raise AssertionError("the device stands still, and the change was made")

            threads = []
            for _ in range(4):  # each begins while the first one's change is pending
                threads.append(waiting.started(change))
                time.sleep(0.2)
            seconds = [outcome(thread) for thread in threads]
        assert max(seconds) < 8, seconds  # added up it would be 19
        assert len(enc.flush()) == 1
        enc.reconfigure(bitrate=4_000_000)


def handler(what):
    """A signal handler that uses the encoder whose reconfigure it interrupts."""
    sim, found = simulator.shared(), []
    with by_rate():
        enc = encoder(gop=1000, bitrate=1_000_000)

        def handle(number, frame):
            if what == "reconfigure":
                sim.set_options(stall=0)  # else this one would wait for the one that it interrupts
                found.append(enc.reconfigure(fps=50))
            elif what == "submit":
                found.append(enc.submit(FRAME))
                sim.set_options(stall=0)
            else:  # the device goes on when it is marked as closed, and not before: the change would be made
                channel = enc._channel
                waiting.started(lambda: (waiting.eventually(lambda: channel.closed), sim.set_options(stall=0)))
                enc._close(warn=False)

        signal.signal(signal.SIGALRM, handle)
        sim.set_options(stall=1)
        enc.submit(FRAME)
        strike_when_a_change_waits(signal.SIGALRM)
        if what == "close":
            try:
                enc.reconfigure(bitrate=2_000_000)
                raise AssertionError("the encoder is closed")
            except venc.EncoderClosedError:
                return
        assert enc.reconfigure(bitrate=2_000_000) == 1
        assert found == [1]
        assert (enc.config.bitrate, enc.config.fps) == (2_000_000, 50 if what == "reconfigure" else 25)
        enc.submit(FRAME)
        packets = enc.flush()
        enc.close()
    assert_whole(packets, 3 if what == "submit" else 2)
    assert_continuous(packets)
    assert packets[-1].size == per_frame(enc)


def beside(what):
    """Other threads' calls stay right: they submit, reconfigure, or close at the same time."""
    sim = simulator.shared()
    sim.set_options(null_codec=300, watermark=1)
    sim.aclsim_count_calls(1)
    enc = encoder(gop=65536, depth=4, queue=8, max_queued=65536)
    done, rounds = threading.Event(), 60

    def submit():
        count = 0
        while not done.is_set():
            picture = np.full((192, 128), count % 256, np.uint8)
            numbers.append((enc.submit_async if count % 3 == 0 else enc.submit)(picture))
            count += 1
        return count

    def change(name, values):
        for number in itertools.count() if what == "close" else range(rounds):  # until it is closed
            enc.reconfigure(**{name: values[number % len(values)]})

    numbers = []
    submitter = waiting.started(submit)
    changes = [("bitrate", (500_000, 900_000, 700_000))]
    if what == "reconfigure":
        changes += [("gop", (65000, 64000, 63000)), ("fps", (25, 50, 30))]
    if what == "size":
        changes += [("width", (128,)), ("height", (128,))]
    threads = [waiting.started(lambda name=name, values=values: change(name, values)) for name, values in changes]
    try:
        if what == "close":
            waiting.eventually(lambda: enc.stats.submitted > 20)
            enc._close(warn=False)
            for thread in (submitter, *threads):
                try:
                    outcome(thread, 30)
                    raise AssertionError("the encoder is closed")
                except venc.EncoderClosedError:
                    pass
            return
        for thread in threads:
            outcome(thread, 60)
        waiting.eventually(lambda: enc.stats.submitted > 100)
    finally:
        done.set()
    count = outcome(submitter, 30)
    packets = enc.flush()
    for name, values in changes:
        assert getattr(enc.config, name) == values[(rounds - 1) % len(values)], name
    enc.close()
    assert numbers == list(range(count))
    assert_whole(packets, count)
    assert_continuous(packets)
    assert [simulator.mark_of(packet)[3][0] for packet in packets] == [number % 256 for number in range(count)]
    assert calls()["hi_mpi_venc_set_chn_attr"] == rounds * len(changes)


def lost():
    """A device that is lost while a change is pending ends the wait."""
    sim = simulator.shared()
    enc = encoder(timeout=20)
    with sim.options(stall=1):
        enc.submit(FRAME)
        thread = waiting.started(lambda: enc.reconfigure(bitrate=300_000))
        waiting.eventually(lambda: core.live()["CHANGE"] == 1)
        with sim.lost_device(code=507010):
            try:
                outcome(thread, 15)
                raise AssertionError("a lost device has changed its settings")
            except venc.DeviceLostError:
                pass
            enc._close(warn=False)
    waiting.eventually(lambda: core.live()["CHANNEL"] == 0)


def memory(places):
    """Python's memory runs out at each place of the call: it is made or not, and the encoder knows which."""
    import _testcapi

    made = struck = 0
    with by_rate():
        for place in range(int(places)):
            with encoder(gop=1000, rc="cbr", bitrate=1_000_000) as enc:
                enc.submit(FRAME)
                _testcapi.set_nomemory(place, place + 1)
                try:
                    enc.reconfigure(bitrate=2_000_000, fps=50)
                    failed = False
                except MemoryError:
                    failed = True
                finally:
                    _testcapi.remove_mem_hooks()
                struck += failed
                made += not failed
                assert enc.config.bitrate == 2_000_000 or failed
                enc.submit(FRAME)
                assert enc.reconfigure(gop=900) == 2
                enc.submit(FRAME)
                packets = enc.flush()
                assert_whole(packets, 3)
                assert_continuous(packets)
                assert packets[0].size == 5000
                assert [packet.size for packet in packets[1:]] == [per_frame(enc)] * 2
                assert packets[2].time_base == enc.time_base
    assert made and struck, (made, struck)


def main():
    before = live.counts()
    globals()[sys.argv[1]](*sys.argv[2:])
    live.assert_unchanged(before, patience=10)
    assert simulator.shared().take_reports() == []
    print("ok")


if __name__ == "__main__":
    main()
