# SPDX-License-Identifier: Apache-2.0
"""Scene, intra refresh and regions of interest on DVPP V2, a program for each subject of test_v2_quality.py.

python v2_quality.py NAME [ARGUMENT...]
"""

import io
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

import ascend_venc as venc
from helpers import decode, live, simulator, v2_live, v2_program, video
from helpers.v2_program import FRAME

LEFT = venc.RegionOfInterest(0, 0, 64, 128, qp=10)
RIGHT = venc.RegionOfInterest(64, 0, 64, 128, qp=10, relative=True)
SET_ROI = "hi_mpi_venc_set_roi_attr"
BUSY = v2_live.BUSY


def encoder(**options):
    return v2_program.encoder(**{"vui": False, "gop": 1000, **options})


def calls(*names):
    sim = simulator.shared()
    return [sim.aclsim_calls(f"hi_mpi_venc_{name}".encode()) for name in names]


def recorded(interface):
    """On a library that prints what it is given: at the opening, and at changes."""
    settings = {"roi": [LEFT, RIGHT], "scene": "motion", "intra_refresh": venc.IntraRefresh(columns=3, i_qp=21)}
    with venc.Encoder(128, 128, codec="h264", backend=sys.argv[-1], interface=interface, **settings) as enc:
        enc.encode(FRAME), enc.flush()
        assert (enc.config.roi, enc.config.scene) == ((LEFT, RIGHT), "motion")
        for change in ({"roi": [RIGHT]}, {"roi": [RIGHT], "bitrate": 900_000}, {"roi": ()}, {"bitrate": 800_000}):
            print("change", flush=True)
            enc.reconfigure(**change)
        print("end", flush=True)


def frames_recorded():
    """On such a library: three frames, another frame rate, two more."""
    with venc.Encoder(128, 128, codec="h264", backend=sys.argv[-1], interface="v2", fps=25) as enc:
        packets = [packet for _ in range(3) for packet in enc.encode(FRAME)]
        assert enc.reconfigure(fps=50) == 3
        packets += enc.encode(FRAME) + enc.encode(FRAME) + enc.flush()
    assert [packet.frame_index for packet in packets] == list(range(5))


def told_otherwise(codec):
    """A library whose pictures are I slices, and whose quantiser is none: told as far as it can be meant."""
    with venc.Encoder(128, 128, codec=codec, backend=sys.argv[-1], interface="v2", timeout=20) as enc:
        (packet,) = enc.encode(FRAME) + enc.flush()
    assert (packet.kind, packet.device_kind, packet.mean_qp) == ("IDR", "I", None)
    assert packet.picture_bits > 0


def more_packs_than_memory():
    """No frame is lost where there is no memory for its packs for a while, and its thread does not spin."""
    resource.setrlimit(resource.RLIMIT_AS, (1 << 34, resource.RLIM_INFINITY))
    begin = time.monotonic()
    with venc.Encoder(128, 128, codec="h264", backend=sys.argv[-1], interface="v2", timeout=60) as enc:
        (packet,) = enc.encode(FRAME) + enc.flush()
    assert packet.frame_index == 0
    assert time.monotonic() - begin > 0.1, "it looks again every 2 ms, and 60 looks found too many packs"


def limits_with_regions():
    """Limits that change together with regions are written, as are limits that change alone."""
    sim = simulator.shared()
    with encoder(rc=venc.RateControl("cbr", max_qp=40), roi=[LEFT]) as enc:
        packets = enc.encode(FRAME)
        sim.aclsim_count_calls(1)
        assert enc.reconfigure(roi=[RIGHT]) == 1
        assert calls("set_chn_attr", "set_rc_param", "set_roi_attr") == [0, 0, 1]
        assert enc.reconfigure(rc=venc.RateControl("cbr", max_qp=30), roi=[LEFT]) == 1
        assert calls("set_chn_attr", "set_rc_param", "set_roi_attr") == [1, 1, 2]
        packets += enc.encode(FRAME) + enc.flush()
        assert calls("create_chn") == [0]
    assert [packet.is_keyframe for packet in packets] == [True, False]


def without_changes():
    """A library that is too old to change a channel: nothing is live, and another one takes its place, with an IDR."""
    told = venc.capabilities(backend=sys.argv[-1], interface="v2")
    assert told.live_settings == ()
    simulator.shared().aclsim_count_calls(1)
    with venc.Encoder(128, 128, codec="h264", backend=sys.argv[-1], interface="v2", timeout=20, gop=1000) as enc:
        packets = enc.encode(FRAME)
        assert enc.reconfigure(bitrate=500_000) == 1
        packets += enc.encode(FRAME) + enc.flush()
        assert enc.interface == "v2"
    assert [packet.is_keyframe for packet in packets] == [True, True]
    assert calls("create_chn", "destroy_chn") == [2, 2]


def pictures(codec):
    """The half with the finer quantiser is closer to what was sent; after a change it is the other one."""
    frames = video.synthetic(128, 128, 12, seed=3)
    fine, coarse = venc.RegionOfInterest(0, 0, 64, 128, qp=4), venc.RegionOfInterest(64, 0, 64, 128, qp=48)
    other = [venc.RegionOfInterest(0, 0, 64, 128, qp=48), venc.RegionOfInterest(64, 0, 64, 128, qp=4)]
    with encoder(codec=codec, rc=venc.RateControl("fixqp", qp=30), roi=[fine, coarse], queue=8) as enc:
        packets = []
        for frame in frames[:6]:
            packets += enc.encode(frame)
        assert enc.reconfigure(roi=other) == 6
        for frame in frames[6:]:
            packets += enc.encode(frame)
        packets += enc.flush()
    assert [packet.is_keyframe for packet in packets] == [True] + [False] * 11, "no IDR comes of it"
    decoded = decode.unit_frames([bytes(packet) for packet in packets], codec)

    def lead(number):
        left, right = (
            video.psnr(frames[number][:128, half], decoded[number][:128, half])
            for half in (slice(0, 64), slice(64, 128))
        )
        return left - right

    assert lead(5) > 5 and lead(11) < -5, (lead(5), lead(11))


def refused_at_the_opening(function):
    """A call that fails when the channel is made: raised, and nothing is left."""
    settings = {"roi": [LEFT], "scene": "still", "intra_refresh": venc.IntraRefresh(rows=1)}
    with simulator.shared().failing_call(function, code=BUSY):
        try:
            encoder(**settings)
            raise AssertionError(f"{function} failed, and the encoder is open")
        except venc.AclError as error:
            assert error.call == function and error.code == BUSY + (1 << 32), error
    with encoder(**settings) as enc:
        assert len(enc.encode(FRAME) + enc.flush()) == 1


def refused_change(nth):
    """A region that is refused: the regions that were there are written back, and rates are not touched."""
    sim = simulator.shared()
    with encoder(roi=[LEFT]) as enc:
        packets = enc.encode(FRAME)
        sim.aclsim_count_calls(1)
        with sim.failing_call(SET_ROI, nth=int(nth), code=BUSY):
            try:
                enc.reconfigure(roi=[RIGHT, LEFT])
                raise AssertionError("a region was refused, and the change was made")
            except venc.AclError as error:
                assert error.call == SET_ROI, error
        assert enc.config.roi == (LEFT,)
        assert calls("set_chn_attr", "set_rc_param", "create_chn") == [0, 0, 0]
        assert enc.reconfigure(roi=[RIGHT]) == 1
        packets += enc.encode(FRAME) + enc.flush()
        assert calls("set_chn_attr", "set_rc_param", "create_chn") == [0, 0, 0]
    assert len(packets) == 2 and [packet.is_keyframe for packet in packets] == [True, False]


def refused_twice():
    """Neither the new regions nor the old ones are taken: another channel takes the place, with an IDR."""
    sim = simulator.shared()
    with encoder(roi=[LEFT]) as enc:
        packets = enc.encode(FRAME)
        with sim.failing_call(SET_ROI, nth=1, code=BUSY), sim.failing_call(SET_ROI, nth=2, code=BUSY):
            assert enc.reconfigure(roi=[RIGHT]) == 1
        packets += enc.encode(FRAME) + enc.flush()
        assert enc.config.roi == (RIGHT,)
    assert [packet.is_keyframe for packet in packets] == [True, True]


def other_size():
    """Regions stay with another size that they lie in, and have to be given anew for one that they do not."""
    region = venc.RegionOfInterest(64, 0, 192, 64, qp=10)
    with venc.Encoder(256, 128, codec="h264", backend="sim", interface="v2", timeout=20, roi=[region]) as enc:
        try:
            enc.reconfigure(width=240)
            raise AssertionError("a region lies outside")
        except venc.InvalidArgumentError as error:
            assert "roi[0] ends at 256; the picture's width is 240" in str(error), error
        assert enc.reconfigure(height=160) == 0
        assert enc.config.roi == (region,)
        assert enc.reconfigure(width=240, roi=()) == 0
        assert len(enc.encode(bytes(240 * 160 * 3 // 2)) + enc.flush()) == 1


class Meanwhile:
    """A size whose `__index__` changes the settings once, so that `reconfigure` has to look at them anew."""

    def __init__(self, size, change):
        self.size, self.change = size, change

    def __index__(self):
        change, self.change = self.change, lambda: None
        change()
        return self.size


def each(regions):
    """Regions that can be gone through once."""
    return (region for region in regions)


def given_once(how):
    """Regions of a generator are those of the encoder, also where a call looks at its settings twice."""
    if how == "reconfigure":
        with encoder() as enc:
            width = Meanwhile(128, lambda: enc.reconfigure(bitrate=500_000))
            assert enc.reconfigure(width=width, roi=each([LEFT, RIGHT])) == 0
            assert (enc.config.roi, enc.config.bitrate) == ((LEFT, RIGHT), 500_000)
    elif how == "group":  # whose first device is full
        with encoder(), venc.EncoderGroup(backend="sim") as group:
            enc = group.add(128, 128, codec="h264", interface="v2", roi=each([LEFT]))
            assert (enc.config.roi, group._device_of[enc]) == ((LEFT,), 1)
    else:
        with venc.VideoWriter(io.BytesIO(), format="h264", backend="sim", interface="v2", roi=each([LEFT])) as film:
            film.write(np.zeros((128, 128, 3), np.uint8))
            assert film.encoder.config.roi == (LEFT,)


def hangs_at_the_opening(function):
    """A call that never returns costs the time-out; the channel ends when it does."""
    sim, settings = simulator.shared(), {"roi": [LEFT], "scene": "still", "intra_refresh": venc.IntraRefresh(rows=1)}
    with sim.hanging_call(function):
        for timeout in (0.3, 3, 15):  # a machine that pauses does not come to the call in time
            try:
                encoder(timeout=timeout, **settings)
                raise AssertionError(f"{function} has not returned, and the encoder is open")
            except venc.AclTimeoutError as error:
                assert f"not open within {timeout:g} s" in str(error), error
            if sim.hung_calls(function):
                break
        assert sim.hung_calls(function) == 1
    with encoder(**settings) as enc:
        assert len(enc.encode(FRAME) + enc.flush()) == 1


def hangs_at_a_change():
    """Regions whose call never returns: the caller has its time-out, and the old ones are written back afterwards."""
    sim = simulator.shared()
    with encoder(roi=[LEFT], timeout=20) as enc:
        packets = enc.encode(FRAME) + enc.flush()
        enc._timeout = 1  # in which the call has to be met
        with sim.hanging_call(SET_ROI):
            try:
                enc.reconfigure(roi=[RIGHT, LEFT])
                raise AssertionError("a call has not returned, and the change was made")
            except venc.AclTimeoutError as error:
                assert "has not returned" in str(error), error
            enc._timeout = 20
            assert enc.submit(FRAME) == 1, "behind the change"
            sim.aclsim_count_calls(1)
        packets += enc.flush()
        assert enc.config.roi == (LEFT,) and len(packets) == 2
        # The second region of the change, then those of before: the first, and the second switched off.
        assert calls("set_roi_attr", "set_chn_attr") == [3, 0]


def lacking(what):
    """A library without the function: said before a channel is made; without the setting it works."""
    settings = {"roi": [LEFT]} if what == "roi" else {"intra_refresh": venc.IntraRefresh(rows=1)}
    told = venc.capabilities(backend=sys.argv[-1], interface="v2")
    assert (told.regions, told.intra_refresh) == ((0, True) if what == "roi" else (8, False))
    assert ("roi" in told.live_settings) == (what != "roi") and "bitrate" in told.live_settings
    simulator.shared().aclsim_count_calls(1)
    options = {"codec": "h264", "backend": sys.argv[-1], "interface": "v2"}
    try:
        venc.Encoder(128, 128, **options, **settings)
        raise AssertionError("the library has no such function, and the encoder is open")
    except venc.AclError as error:
        assert "libacl_dvpp_mpi.so has no hi_mpi_venc_set_" in str(error) and "newer CANN" in str(error), error
    assert calls("create_chn") == [0]
    with venc.Encoder(128, 128, **options) as enc:
        assert enc.capabilities() == told
        packets = enc.encode(FRAME)
        if what == "roi":
            try:
                enc.reconfigure(roi=[LEFT])
                raise AssertionError("the library has no such function, and the change was made")
            except venc.AclError as error:
                assert "has no hi_mpi_venc_set_roi_attr" in str(error), error
        assert enc.config.roi == ()
        packets += enc.encode(FRAME) + enc.flush()
        assert [packet.is_keyframe for packet in packets] == [True, False]
    assert calls("create_chn") == [1], "the channel that was there is left alone"


def main():
    before = live.counts()
    arguments = [argument for argument in sys.argv[2:] if not argument.startswith("/")]
    globals()[sys.argv[1]](*arguments)
    live.assert_unchanged(before, patience=10)
    if simulator.is_loaded():
        assert simulator.shared().take_reports() == []
    print("ok")


if __name__ == "__main__":
    main()
