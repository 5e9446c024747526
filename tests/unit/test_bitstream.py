# SPDX-License-Identifier: Apache-2.0
"""What parameter sets are made to tell, against FFmpeg's own filters, on streams of encoders that write all kinds."""

import io
import random
import re
from fractions import Fraction

import numpy as np
import pytest

import ascend_venc as venc
from ascend_venc import bitstream
from ascend_venc.color import NAMED, ColorInfo

av = pytest.importorskip("av", reason="PyAV is not installed: FFmpeg is what the stream is compared with")
filters = pytest.importorskip("av.bitstream")

ENCODERS = {"h264": ("libx264", "x264-params"), "h265": ("libx265", "x265-params")}
FILTERS = {"h264": ("h264", "h264_metadata"), "h265": ("hevc", "hevc_metadata")}
STREAMS = [
    ("h264", ""),
    ("h264", "cqm=jvt"),
    ("h264", "interlaced=1"),
    ("h264", "nal-hrd=vbr:vbv-maxrate=1000:vbv-bufsize=1000"),
    ("h264", "bframes=3:b-pyramid=normal"),
    ("h264", "sar=4/3"),
    ("h264", "sar=7/5:overscan=show:chromaloc=2"),
    ("h264", "colorprim=bt709:transfer=bt709:colormatrix=bt709:range=pc"),
    ("h265", ""),
    ("h265", "temporal-layers=3:b-adapt=0"),
    ("h265", "scaling-list=default"),
    ("h265", "hrd=1:vbv-maxrate=1000:vbv-bufsize=1000"),
    ("h265", "bframes=8:ref=5"),
    ("h265", "sar=4:3:overscan=show:chromaloc=2"),
    ("h265", "colorprim=bt709:transfer=bt709:colormatrix=bt709:range=full"),
    ("h265", "ctu=16:min-cu-size=8:display-window=2,2,2,2"),
    ("h265", "vui-hrd-info=1:level-idc=5.1:high-tier=1"),
]
ASKED = [
    {"color": "bt709"},
    {"color": ColorInfo(9, 16, 9, "full")},
    {"color": ColorInfo(2, 2, 2, "full")},
    {"color": ColorInfo(5, 6, 5, "limited"), "sample_aspect_ratio": "4:3"},
    {"sample_aspect_ratio": Fraction(1)},
    {"sample_aspect_ratio": Fraction(65535, 2), "fps": 25},
    {"sample_aspect_ratio": Fraction(160, 99)},
    {"fps": "29.97"},
    {"fps": Fraction(1, 6)},
    {"color": "bt2020-hlg", "sample_aspect_ratio": Fraction(7, 5), "fps": 60},
]


def type_of(nal, codec):
    return nal[0] & 31 if codec == "h264" else nal[0] >> 1 & 63


def tells(nal, codec, asked):
    """Whether a NAL unit is one that tells something of it."""
    return type_of(nal, codec) in ((7,) if codec == "h264" else (33, 32) if "fps" in asked else (33,))


def options_of(asked, codec):
    """The same as FFmpeg's filters want it."""
    options = {}
    if "color" in asked:
        color = NAMED.get(asked["color"], asked["color"])
        if color[:3] != (2, 2, 2):
            names = ("colour_primaries", "transfer_characteristics", "matrix_coefficients")
            options.update(zip(names, color))
        if color.range is not None:
            options["video_full_range_flag"] = int(color.range == "full")
    if "sample_aspect_ratio" in asked:
        shape = Fraction(str(asked["sample_aspect_ratio"]).replace(":", "/"))
        options["sample_aspect_ratio"] = f"{shape.numerator}/{shape.denominator}"
    if "fps" in asked:
        rate = Fraction(30000, 1001) if asked["fps"] == "29.97" else Fraction(asked["fps"])
        ticks = rate * 2 if codec == "h264" else rate
        options["tick_rate"] = f"{ticks.numerator}/{ticks.denominator}"
    return ":".join(f"{name}={value}" for name, value in options.items())


def encoded(codec, options, size):
    """The first packet of an encoder of PyAV's, and its stream, which a filter is made for."""
    encoder, parameters = ENCODERS[codec]
    width, height = size
    file = io.BytesIO()
    with av.open(file, "w", format=FILTERS[codec][0]) as container:
        stream = container.add_stream(encoder, rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        quiet = ["log-level=none"] if codec == "h265" else []
        stream.options = {parameters: ":".join([*filter(None, [options]), *quiet])} if options or quiet else {}
        for index in range(12):
            picture = np.full((height * 3 // 2, width), 16 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p")))
        container.mux(stream.encode(None))
    return file.getvalue()


def filtered(data, codec, options):
    """The first access unit as it was, and as FFmpeg's filter makes it: lists of NAL units."""
    container, name = FILTERS[codec]
    with av.open(io.BytesIO(data), format=container) as source:
        one = filters.BitStreamFilterContext(f"{name}={options}", source.streams.video[0])
        packet = next(packet for packet in source.demux() if packet.size)
        before = bytes(packet)
        after = b"".join(bytes(part) for part in one.filter(packet))
    return [[bytes(nal) for nal in bitstream.nal_units(unit)] for unit in (before, after)]


@pytest.mark.parametrize("size", [(128, 128), (1920, 136)])
@pytest.mark.parametrize(("codec", "options"), STREAMS)
def test_parameter_sets_are_those_of_ffmpegs_filter_to_the_byte(codec, options, size):
    try:
        data = encoded(codec, options, size)
    except av.error.FFmpegError as error:
        pytest.skip(f"{ENCODERS[codec][0]} does not encode with {options}: {error}")
    compared = 0
    for asked in ASKED:
        before, after = filtered(data, codec, options_of(asked, codec))
        assert len(before) == len(after)
        for nal, wanted in zip(before, after):
            if tells(nal, codec, asked):
                assert bitstream.describe(nal, codec, **asked).hex() == wanted.hex(), (asked, nal.hex())
                compared += 1
    assert compared >= len(ASKED)


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_what_is_told_twice_is_told_once(codec):
    """A parameter set that tells it already stays as it is."""
    for nal in bitstream.nal_units(encoded(codec, "", (128, 128))):
        if type_of(nal, codec) in ((7,) if codec == "h264" else (32, 33)):
            once = bitstream.describe(nal, codec, color="bt709", sample_aspect_ratio="3:2", fps=50)
            assert bitstream.describe(once, codec, color="bt709", sample_aspect_ratio="3:2", fps=50) == once
            assert once != bytes(nal)


def escape(rbsp):
    return re.sub(b"\0\0(?=[\0-\3])", b"\0\0\3", rbsp)


def unescape(nal):
    return nal.replace(b"\0\0\3", b"\0\0")


class Bits:
    """Writes an RBSP."""

    def __init__(self):
        self.text = ""

    def u(self, value, count):
        self.text += f"{value:0{count}b}" if count else ""
        return self

    def ue(self, *values):
        for value in values:
            code = f"{value + 1:b}"
            self.text += "0" * (len(code) - 1) + code
        return self

    def nal(self):
        text = self.text + "1"
        text += "0" * (-len(text) % 8)
        return escape(int(text, 2).to_bytes(len(text) // 8, "big"))


def hevc_sps(sets, after):
    """An SPS without VUI, with these short-term reference picture sets, and `after` as its flags behind them."""
    bits = Bits().u(0x4201, 16).u(0, 4).u(0, 3).u(1, 1).u(0x0160000003, 40).u(0, 48).u(93, 8)
    bits.ue(0, 1, 128, 128).u(0, 1).ue(0, 0, 4).u(1, 1).ue(4, 2, 0).ue(0, 3, 0, 3, 0, 0).u(0, 1).u(0, 3)
    bits.ue(len(sets))
    for index, one in enumerate(sets):
        if index:
            bits.u(one[0] == "predicted", 1)
        if one[0] == "predicted":
            _, sign, delta, flags = one
            bits.u(sign, 1).ue(delta - 1)
            for used, kept in flags:
                bits.u(used, 1)
                if not used:
                    bits.u(kept, 1)
        else:
            _, before, behind = one
            bits.ue(len(before), len(behind))
            for step in [*before, *behind]:
                bits.ue(step - 1).u(1, 1)
    return bits.u(0, 1).u(0, 2).u(0, 1).u(0, after).nal()


def predicted(reference, sign, delta, flags):
    """The distances of a predicted set, from the standard's words: those of the other, and the other itself, moved."""
    move = -delta if sign else delta
    moved = [distance + move for distance in reference] + [move]
    kept = [distance for distance, (used, keep) in zip(moved, flags) if (used or keep) and distance]
    return sorted((d for d in kept if d < 0), reverse=True) + sorted(d for d in kept if d > 0)


def test_predicted_reference_picture_sets_are_read_as_the_standard_derives_them():
    """How many flags a set has depends on how many pictures its predecessor kept. x265 writes none, devices may."""
    random_one = random.Random(3)
    for _ in range(300):
        sets, reference = [], []
        for index in range(random_one.randint(1, 6)):
            if index and len(reference) < 12 and random_one.random() < 0.7:
                sign, delta = random_one.randint(0, 1), random_one.randint(1, 4)
                flags = [(random_one.randint(0, 1), random_one.randint(0, 1)) for _ in range(len(reference) + 1)]
                sets.append(("predicted", sign, delta, flags))
                reference = predicted(reference, sign, delta, flags)
            else:
                steps = [[random_one.randint(1, 3) for _ in range(random_one.randint(0, 4))] for _ in range(2)]
                sets.append(("explicit", *steps))
                reference = [-sum(steps[0][: n + 1]) for n in range(len(steps[0]))]
                reference += [sum(steps[1][: n + 1]) for n in range(len(steps[1]))]
        nal = hevc_sps(sets, 1)
        told = bitstream.describe(nal, "h265", color="bt709", sample_aspect_ratio=2, fps=25)
        # The VUI stands where the flag was: before it nothing has changed, behind it is what tells.
        before, after = unescape(nal), unescape(told)
        bits, more = (f"{int.from_bytes(data, 'big'):0{8 * len(data)}b}" for data in (before, after))
        there = bits.rindex("1") - 2  # vui_parameters_present_flag, sps_extension_present_flag, stop bit
        assert more[:there] == bits[:there] and more[there] == "1"
        vui = (
            Bits().u(1, 1).u(16, 8).u(0, 1).u(0b1_101_0_1, 6).u(0x010101, 24).u(0, 5).u(1, 1).u(1, 32).u(25, 32).u(0, 3)
        )
        assert more[there + 1 :].startswith(vui.text + "01")


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_damaged_parameter_sets_are_refused_or_changed_and_never_read_beyond(codec):
    """Each cut of a parameter set, and thousands of damaged ones. Under the address sanitizer: scripts/sanitize.sh."""
    random_one = random.Random(5)
    units = [bytes(nal) for nal in bitstream.nal_units(encoded(codec, "", (128, 128)))]
    units = [nal for nal in units if type_of(nal, codec) in ((7,) if codec == "h264" else (32, 33))][:2]
    refused = 0
    for nal in units:
        for end in range(1, len(nal)):
            try:
                bitstream.describe(nal[:end], codec, color="bt709", fps=25)
            except venc.InvalidArgumentError:
                refused += 1
        for _ in range(3000):
            damaged = bytearray(nal)
            for _ in range(random_one.randint(1, 4)):
                damaged[random_one.randrange(2, len(nal))] = random_one.randrange(256)
            try:
                told = bitstream.describe(damaged, codec, color="bt709", fps=25)
            except venc.InvalidArgumentError:
                refused += 1
            else:
                assert len(told) <= len(nal) + 128
    assert refused > 20


def test_what_is_no_parameter_set_is_refused():
    for nal in (b"\x68\x01", b"", b"\x09\xf0"):
        with pytest.raises(venc.InvalidArgumentError, match="no parameter set"):
            bitstream.describe(nal, "h264", fps=25)
    with pytest.raises(venc.InvalidArgumentError, match="damaged"):
        bitstream.describe(b"\x67\x42", "h264", fps=25)
    with pytest.raises(venc.InvalidArgumentError, match="no parameter set"):
        bitstream.describe(b"\x40\x01\x0c", "h265", color="bt709")  # a VPS tells the frame rate only
    with pytest.raises(venc.InvalidArgumentError, match="damaged"):
        bitstream.describe(b"\x67" + bytes(5000), "h264", fps=25)


def test_nal_units_are_views_without_start_codes():
    data = bytearray(b"\0\0\0\1\x67\x01\0\0\1\x68\x02\0\0\0\0\1\x65\x03\x80")
    units = bitstream.nal_units(data)
    assert [bytes(nal) for nal in units] == [b"\x67\x01", b"\x68\x02", b"\x65\x03\x80"]
    data[4] = 0x27
    assert units[0][0] == 0x27
    assert bitstream.nal_units(b"") == bitstream.nal_units(b"\0\0\0") == []
    assert bitstream.nal_units(b"\0\0\1\x67\x80\0\0\1") == [b"\x67\x80"]  # cut behind a start code
