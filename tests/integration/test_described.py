# SPDX-License-Identifier: Apache-2.0
"""The stream tells what its pictures are: colours, range, shape, rate."""

import io
import os
from fractions import Fraction

import numpy as np
import pytest

import ascend_venc as venc
from ascend_venc import bitstream

W, H = 128, 128
PARAMETER_SETS = {"h264": (7,), "h265": (32, 33)}


@pytest.fixture(params=["h264", "h265"])
def codec(request):
    return request.param


def parameter_sets(data, codec):
    units = [bytes(nal) for nal in bitstream.nal_units(data)]
    kinds = [nal[0] & 31 if codec == "h264" else nal[0] >> 1 & 63 for nal in units]
    return [nal for nal, kind in zip(units, kinds) if kind in PARAMETER_SETS[codec]]


def encoded(codec, backend, frame=None, frames=3, pts=False, **options):
    frame = np.full((H * 3 // 2, W), 90, np.uint8) if frame is None else frame
    with venc.Encoder(W, H, codec=codec, backend=backend, **options) as enc:
        packets = []
        for index in range(frames):
            packets += enc.encode(frame, pts=index if pts else None)
        packets += enc.flush()
        assert enc.stats.undescribed == 0
        assert enc.stats.bytes_out == sum(packet.size for packet in packets)
    return packets


def told(packets, codec):
    """What FFmpeg reads out of the stream, which it decodes without an error."""
    av = pytest.importorskip("av", reason="PyAV is not installed: FFmpeg is what the stream is compared with")
    with av.open(io.BytesIO(b"".join(map(bytes, packets))), format={"h264": "h264", "h265": "hevc"}[codec]) as file:
        assert len(list(file.decode(video=0))) == len(packets)
        stream = file.streams.video[0]
        context = stream.codec_context
        return {
            "color": (context.color_primaries, context.color_trc, context.colorspace),
            "range": context.color_range,
            "shape": stream.sample_aspect_ratio,
            "rate": context.framerate,
        }


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"color": "bt709"}, {"color": (1, 1, 1), "range": 1}),
        ({"color": "BT2020-PQ", "color_range": "full"}, {"color": (9, 16, 9), "range": 2}),
        ({"color": venc.ColorInfo("smpte432", 13, "bt709", "full")}, {"color": (12, 13, 1), "range": 2}),
        ({"color_range": "full"}, {"color": (2, 2, 2), "range": 2}),
        ({}, {"color": (2, 2, 2), "range": 1}),
        ({"sample_aspect_ratio": "4:3"}, {"shape": Fraction(4, 3)}),
        ({"sample_aspect_ratio": Fraction(64, 45)}, {"shape": Fraction(64, 45)}),
        ({"fps": "29.97"}, {"rate": Fraction(30000, 1001), "color": (2, 2, 2)}),
        ({"fps": 7, "color": "bt601-625", "sample_aspect_ratio": 2}, {"rate": 7, "color": (5, 6, 5), "shape": 2}),
    ],
)
def test_stream_tells_what_was_asked_for(codec, backend, options, wanted):
    found = told(encoded(codec, backend, **options), codec)
    assert {name: found[name] for name in wanted} == wanted


@pytest.mark.parametrize(("size", "matrix"), [((W, H), 6), ((1280, 128), 1)])
def test_rgb_is_told_as_it_was_converted(codec, backend, size, matrix):
    frame = np.zeros((size[1], size[0], 3), np.uint8)
    with venc.Encoder(*size, codec=codec, pixel_format="rgb24", backend=backend) as enc:
        packets = enc.encode(frame) + enc.flush()
    assert told(packets, codec)["color"] == (1, 1, matrix)
    assert told(packets, codec)["range"] == 1
    color = {6: "bt709", 1: "bt601"}[matrix]  # by the caller, not by the size
    with venc.Encoder(*size, codec=codec, pixel_format="rgb24", color=color, backend=backend) as enc:
        assert enc.config.color_matrix == color
        packets = enc.encode(frame) + enc.flush()
    assert told(packets, codec)["color"][2] == {"bt709": 1, "bt601": 6}[color]


def test_every_key_frame_tells_it_and_nothing_else_changes(codec, backend):
    plain = encoded(codec, backend, frames=7, gop=3, vui=False)
    described = encoded(codec, backend, frames=7, gop=3, color="bt709", sample_aspect_ratio="3:2", pts=True)
    for before, after in zip(plain, described):
        others = [
            [bytes(nal) for nal in packet.nal_units() if bytes(nal) not in parameter_sets(packet, codec)]
            for packet in (before, after)
        ]
        assert others[0] == others[1]
        asked = {"color": venc.ColorInfo(1, 1, 1, "limited"), "sample_aspect_ratio": "3:2"}
        fixed = {"fixed_rate": False} if codec == "h264" else {}
        assert parameter_sets(after, codec) == [
            bitstream.describe(nal, codec, fps=25, **fixed, **({} if nal[0] == 0x40 else asked))
            for nal in parameter_sets(before, codec)
        ]
    assert [packet.is_keyframe for packet in described] == [True, False, False, True, False, False, True]
    assert all(len(parameter_sets(packet, codec)) > 0 for packet in described if packet.is_keyframe)


def test_fixed_rate_is_told_until_a_time_is_given(backend):
    with venc.Encoder(W, H, codec="h264", gop=1, backend=backend) as enc:
        packets = enc.encode(bytes(W * H * 3 // 2)) + enc.flush()
        packets += enc.encode(bytes(W * H * 3 // 2), pts=70) + enc.flush()
    sets = [parameter_sets(packet, "h264")[0] for packet in packets]
    assert sets[0] == bitstream.describe(sets[1], "h264", fixed_rate=True) != sets[1]
    assert sets[1] == bitstream.describe(sets[0], "h264", fixed_rate=False)


def test_rate_follows_a_change(codec, backend):
    with venc.Encoder(W, H, codec=codec, color="bt709", sample_aspect_ratio="4:3", backend=backend) as enc:
        frame = bytes(W * H * 3 // 2)
        before = enc.encode(frame) + enc.flush()
        enc.reconfigure(fps=50)
        after = enc.encode(frame, key_frame=True) + enc.flush()  # V2 changes live: it is told with the next IDR
    assert (told(before, codec)["rate"], told(after, codec)["rate"]) == (25, 50)
    for packets in (before, after):
        assert (told(packets, codec)["color"], told(packets, codec)["shape"]) == ((1, 1, 1), Fraction(4, 3))


def test_what_a_sink_writes_tells_it_too(codec, backend, tmp_path):
    path = tmp_path / "out"
    with open(path, "wb") as file, venc.Encoder(W, H, codec=codec, color="bt709", sink=file, backend=backend) as enc:
        enc.submit(bytes(W * H * 3 // 2))
        enc.flush()
        assert os.path.getsize(path) == enc.stats.bytes_out
    data = path.read_bytes()
    assert [bitstream.describe(nal, codec, color="bt709") for nal in parameter_sets(data, codec) if nal[0] != 0x40] == [
        nal for nal in parameter_sets(data, codec) if nal[0] != 0x40
    ]
    assert told([data], codec)["color"] == (1, 1, 1)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"color": "bt907"}, venc.InvalidArgumentError, ["color is 'bt907'", '"bt709"']),
        ({"color": 1}, TypeError, ["color must be", "int"]),
        ({"color": (1, 1)}, TypeError, ["color must be", "tuple"]),
        ({"color": (1, 1, 0)}, venc.InvalidArgumentError, ["color.matrix is 0", "4:2:0"]),
        ({"color": (1, 1, 256)}, venc.InvalidArgumentError, ["color.matrix is 256", "0 to 255"]),
        ({"color": (1, "log", 1)}, venc.InvalidArgumentError, ["color.transfer is 'log'", '"hlg"']),
        ({"color": (1, 1.5, 1)}, TypeError, ["color.transfer", "float"]),
        ({"color": (1, 1, 1, "wide")}, venc.InvalidArgumentError, ["color.range is 'wide'", '"full"']),
        ({"color": (1, 1, 1, "full"), "color_range": "limited"}, venc.InvalidArgumentError, ["color_range", "one of"]),
        ({"color": "bt2020", "pixel_format": "rgb24"}, venc.InvalidArgumentError, ["color.matrix is 9", '"bt601"']),
        (
            {"color": "bt709", "color_matrix": "bt601", "pixel_format": "rgb24"},
            venc.InvalidArgumentError,
            ["color_matrix is 'bt601'", "one of"],
        ),
        ({"color": "bt709", "vui": False}, venc.InvalidArgumentError, ["vui is False"]),
        ({"vui": 1}, TypeError, ["vui must be a bool"]),
        ({"sample_aspect_ratio": 0}, venc.InvalidArgumentError, ["sample_aspect_ratio is 0", "65535"]),
        ({"sample_aspect_ratio": "4:0"}, venc.InvalidArgumentError, ["sample_aspect_ratio is '4:0'", '"4:3"']),
        ({"sample_aspect_ratio": float("nan")}, venc.InvalidArgumentError, ["sample_aspect_ratio is nan"]),
        ({"sample_aspect_ratio": [4, 3]}, TypeError, ["sample_aspect_ratio must be", "list"]),
        ({"sample_aspect_ratio": 10**30}, venc.InvalidArgumentError, ["sample_aspect_ratio", "65535"]),
    ],
)
def test_what_cannot_be_told_is_refused_by_name(backend, options, error, words):
    with pytest.raises(error) as caught:
        venc.Encoder(W, H, backend=backend, **options)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("given", "kept"),
    [("64:45", (64, 45)), (1.5, (3, 2)), (Fraction(10**9, 10**9 + 1), (1, 1)), (65535, (65535, 1)), ("1/3", (1, 3))],
)
def test_shape_is_the_nearest_that_sixteen_bits_tell(given, kept):
    config = venc.EncoderConfig.resolve(W, H, sample_aspect_ratio=given)
    assert (config.described.sar_width, config.described.sar_height) == kept
