# SPDX-License-Identifier: Apache-2.0
"""Length-prefixed NAL units, decoder configuration records, codec strings, against what FFmpeg's mp4 muxer writes."""

import io
import random
import re

import numpy as np
import pytest

import ascend_venc as venc
from ascend_venc import bitstream
from helpers import annexb, sei

av = pytest.importorskip("av", reason="PyAV is not installed: FFmpeg is what the stream is compared with")
filters = pytest.importorskip("av.bitstream")

ENCODERS = {"h264": ("libx264", "x264-params"), "h265": ("libx265", "x265-params")}
DEMUXERS = {"h264": "h264", "h265": "hevc"}
STREAMS = [
    ("h264", "", "baseline"),
    ("h264", "", "main"),
    ("h264", "", "high"),
    ("h264", "", "high10"),
    ("h264", "", "high422"),
    ("h264", "", "high444"),
    ("h264", "cqm=jvt:nal-hrd=vbr:vbv-maxrate=1000:vbv-bufsize=1000", "high"),
    ("h265", "", "main"),
    ("h265", "", "main10"),
    ("h265", "level-idc=5.1:high-tier=1", "main"),
    ("h265", "temporal-layers=3:b-adapt=0", "main"),
    ("h265", "hrd=1:vbv-maxrate=1000:vbv-bufsize=1000:vui-hrd-info=1", "main"),
    ("h265", "sar=4:3:overscan=show:chromaloc=2:display-window=2,2,2,2", "main"),
    ("h265", "wpp=0:scaling-list=default", "main"),
    ("h265", "", "main422-10"),
]
PIXELS = {"high10": "yuv420p10le", "high422": "yuv422p", "high444": "yuv444p", "main10": "yuv420p10le"}
PIXELS["main422-10"] = "yuv422p10le"


def annex_b(codec, options, profile):
    """The stream as its encoder writes it, or a skip with the reason."""
    encoder, parameters = ENCODERS[codec]
    file = io.BytesIO()
    try:
        with av.open(file, "w", format=DEMUXERS[codec]) as container:
            stream = container.add_stream(encoder, rate=25)
            stream.width, stream.height, stream.pix_fmt = 128, 128, PIXELS.get(profile, "yuv420p")
            quiet = ["log-level=none"] if codec == "h265" else ["bframes=2"]
            stream.options = {parameters: ":".join([*filter(None, [options]), *quiet]), "profile": profile}
            picture = av.VideoFrame.from_ndarray(np.full((192, 128), 90, np.uint8), format="yuv420p")
            for index in range(8):
                frame = picture.reformat(format=stream.pix_fmt)
                frame.pts = index
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except av.error.FFmpegError as error:
        pytest.skip(f"{encoder} does not encode {profile} with {options}: {error}")
    return file.getvalue()


def mp4(data, codec, tag):
    """What FFmpeg's muxer makes of the stream: its record, and the packets."""
    file = io.BytesIO()
    with av.open(io.BytesIO(data), format=DEMUXERS[codec]) as source, av.open(file, "w", format="mp4") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        stream.codec_context.codec_tag = tag
        for index, packet in enumerate(packet for packet in source.demux() if packet.size):
            packet.pts = packet.dts = index
            packet.stream = stream
            container.mux(packet)
    file.seek(0)
    return file


def set_types(codec):
    return (7, 8, 13) if codec == "h264" else (32, 33, 34)


def is_set(nal, codec):
    return (nal[0] & 31 if codec == "h264" else nal[0] >> 1 & 63) in set_types(codec)


@pytest.mark.parametrize("in_band", [False, True])
@pytest.mark.parametrize(("codec", "options", "profile"), STREAMS)
def test_record_is_that_of_ffmpegs_mp4_muxer_to_the_byte(codec, options, profile, in_band):
    data = annex_b(codec, options, profile)
    tag = {"h264": {False: "avc1", True: "avc3"}, "h265": {False: "hvc1", True: "hev1"}}[codec][in_band]
    with av.open(mp4(data, codec, tag)) as source:
        extradata = bytes(source.streams.video[0].codec_context.extradata)
    record = bitstream.description(data, codec, in_band=in_band)
    assert record.hex() == extradata.hex()
    # And back: the parameter sets of the stream.
    units, length_size = bitstream.parameter_sets(record, codec)
    wanted = [nal for nal in annexb.nal_units(data) if is_set(nal, codec)]
    assert annexb.nal_units(units) == list(dict.fromkeys(wanted))
    assert length_size == 4


@pytest.mark.parametrize(("codec", "options", "profile"), STREAMS)
def test_length_prefixed_units_are_those_of_the_muxer_to_the_byte(codec, options, profile):
    data = annex_b(codec, options, profile)
    with av.open(mp4(data, codec, {"h264": "avc1", "h265": "hvc1"}[codec])) as source:
        stream = source.streams.video[0]
        one = filters.BitStreamFilterContext({"h264": "h264_mp4toannexb", "h265": "hevc_mp4toannexb"}[codec], stream)
        packets = [packet for packet in source.demux(stream) if packet.size]
        raw = [bytes(packet) for packet in packets]
        theirs = [bytes(part) for packet in packets for part in one.filter(packet)]
    # FFmpeg leaves H.264's parameter sets in, and takes H.265's out for "hvc1", from its version 8 on.
    left_in = any(is_set(nal, codec) for packet in raw for nal in annexb.nal_units(bitstream.to_annex_b(packet)))
    assert left_in or codec == "h265"
    assert bitstream.to_length_prefixed(data, codec, parameter_sets=left_in) == b"".join(raw)
    others = [nal for nal in annexb.nal_units(data) if not is_set(nal, codec)]
    assert annexb.nal_units(bitstream.to_annex_b(bitstream.to_length_prefixed(data, codec))) == others
    assert [nal for nal in annexb.nal_units(b"".join(theirs)) if not is_set(nal, codec)] == others
    for packet, filtered in zip(raw, theirs):
        ours = annexb.nal_units(bitstream.to_annex_b(packet))
        assert [nal for nal in ours if not is_set(nal, codec)] == [
            nal for nal in annexb.nal_units(filtered) if not is_set(nal, codec)
        ]


def ue(value):
    code = f"{value + 1:b}"
    return "0" * (len(code) - 1) + code


def restricted(nal, segmentation):
    """An SPS of x265 with a VUI: with bitstream restrictions at its end, ITU-T H.265 E.2.1."""
    rbsp = re.sub(b"\0\0\3", b"\0\0", nal)
    bits = f"{int.from_bytes(rbsp, 'big'):0{8 * len(rbsp)}b}"
    bits = bits[: bits.rindex("1")]
    assert bits.endswith("00")  # bitstream_restriction_flag, sps_extension_present_flag
    bits = bits[:-2] + "1" + "011" + ue(segmentation) + ue(0) * 2 + ue(15) * 2 + "0" + "1"
    bits += "0" * (-len(bits) % 8)
    return re.sub(b"\0\0(?=[\0-\3])", b"\0\0\3", int(bits, 2).to_bytes(len(bits) // 8, "big"))


@pytest.mark.parametrize("segmentation", [0, 1, 60, 4095])
@pytest.mark.parametrize("parallel", ["wpp=0", "wpp=1:ctu=16"])
@pytest.mark.parametrize(
    "options", ["", "hrd=1:vbv-maxrate=1000:vbv-bufsize=1000:vui-hrd-info=1", "sar=4:3:overscan=show:chromaloc=2"]
)
def test_spatial_segmentation_is_told_as_ffmpeg_tells_it(options, parallel, segmentation):
    """It stands at the end of the VUI, behind the HRD's parameters, of which encoders write all kinds."""
    data = annex_b("h265", ":".join(filter(None, [options, parallel, "colorprim=bt709"])), "main")
    units = [restricted(nal, segmentation) if nal[0] >> 1 == 33 else nal for nal in annexb.nal_units(data)]
    data = b"".join(b"\0\0\1" + nal for nal in units)  # FFmpeg takes the zero of a longer start code for the PPS's
    with av.open(mp4(data, "h265", "hvc1")) as source:
        extradata = bytearray(source.streams.video[0].codec_context.extradata)
    record = bitstream.description(data, "h265")
    said = {value for name, value in sei.traced(data, "h265") if name == "min_spatial_segmentation_idc"}
    assert said == {segmentation}
    if "hrd=1" in options:
        # FFmpeg's muxer does not infer fixed_pic_rate_within_cvs_flag (E.3.2), and tells nothing; its tracer does.
        assert extradata[13:16] == b"\xf0\0\xfc"
        extradata[13:16] = record[13:16]
    assert record.hex() == extradata.hex()
    assert int.from_bytes(record[13:15], "big") & 0xFFF == segmentation
    assert record[15] & 3 == (0 if segmentation == 0 else 3 if parallel.startswith("wpp=1") else 1)


@pytest.mark.parametrize(
    ("nals", "codec", "wanted"),
    [
        # The examples of RFC 6381 and ISO/IEC 14496-15 annex E.
        (["6742e01fda", "68ce"], "h264", "avc1.42E01F"),
        (["674d401eda", "68ce"], "h264", "avc1.4D401E"),
    ],
)
def test_codec_string_is_that_of_the_standards(nals, codec, wanted):
    data = b"".join(b"\0\0\1" + bytes.fromhex(nal) for nal in nals)
    assert bitstream.codec_string(data, codec) == wanted
    assert bitstream.codec_string(data, codec, in_band=True) == wanted.replace("avc1", "avc3")


def hevc_string(nal):
    """ISO/IEC 14496-15 annex E.3, from the SPS itself."""
    rbsp = nal.replace(b"\0\0\3", b"\0\0")
    space, tier, profile = rbsp[3] >> 6, rbsp[3] >> 5 & 1, rbsp[3] & 31
    flags = "".join(f"{byte:08b}" for byte in rbsp[4:8])
    text = f"{['', 'A', 'B', 'C'][space]}{profile}.{int(flags[::-1], 2):X}.{'LH'[tier]}{rbsp[14]}"
    constraints = [f"{byte:X}" for byte in rbsp[8:14]]
    while constraints and constraints[-1] == "0":
        constraints.pop()
    return ".".join(["hvc1", text, *constraints])


@pytest.mark.parametrize(("codec", "options", "profile"), [each for each in STREAMS if each[0] == "h265"])
def test_codec_string_of_h265_is_read_from_the_sps(codec, options, profile):
    data = annex_b(codec, options, profile)
    (nal,) = {nal for nal in annexb.nal_units(data) if nal[0] >> 1 == 33}
    found = bitstream.codec_string(data, codec)
    assert found == hevc_string(nal)
    assert re.fullmatch(r"hvc1\.[ABC]?\d+\.[\dA-F]+\.[LH]\d+(\.[\dA-F]+){0,6}", found)
    if profile == "main" and not options:
        assert found.startswith("hvc1.1.6.L")


@pytest.mark.parametrize("length_size", [1, 2, 4])
def test_lengths_of_other_sizes(length_size):
    random_one = random.Random(length_size)
    units = [
        bytes([random_one.choice((1, 6, 65))]) + random_one.randbytes(random_one.randint(0, 200)) + b"\x80"
        for _ in range(50)
    ]
    units = [unit for unit in units if b"\0\0" not in unit]
    data = b"".join(random_one.choice((b"\0\0\1", b"\0\0\0\1")) + unit for unit in units)
    prefixed = bitstream.to_length_prefixed(data, "h264", length_size=length_size)
    assert prefixed == b"".join(len(unit).to_bytes(length_size, "big") + unit for unit in units)
    assert bitstream.to_annex_b(prefixed, length_size=length_size) == b"".join(b"\0\0\0\1" + unit for unit in units)


def test_what_cannot_be_packaged_is_refused_with_value_and_limit():
    unit = b"\0\0\1\x65" + b"\xaa" * 300
    with pytest.raises(venc.InvalidArgumentError, match="301 bytes, which 1 bytes of length"):
        bitstream.to_length_prefixed(unit, "h264", length_size=1)
    for size, error in ((3, venc.InvalidArgumentError), (0, venc.InvalidArgumentError), ("4", TypeError)):
        with pytest.raises(error, match="length_size"):
            bitstream.to_length_prefixed(unit, "h264", length_size=size)
        with pytest.raises(error, match="length_size"):
            bitstream.to_annex_b(b"", length_size=size)
    with pytest.raises(venc.InvalidArgumentError, match="at byte 7 a NAL unit of 9 bytes is announced, and 2 are left"):
        bitstream.to_annex_b(b"\0\0\0\3abc\0\0\0\x09ab")
    with pytest.raises(venc.InvalidArgumentError, match="damaged"):
        bitstream.to_annex_b(b"\0\0")
    assert bitstream.to_annex_b(b"") == bitstream.to_length_prefixed(b"", "h265") == b""


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_missing_and_damaged_parameter_sets_are_named(codec):
    data = annex_b(codec, "", "main")
    sets = {"h264": {7: "SPS", 8: "PPS"}, "h265": {32: "VPS", 33: "SPS", 34: "PPS"}}[codec]
    units = [(nal[0] & 31 if codec == "h264" else nal[0] >> 1 & 63, nal) for nal in annexb.nal_units(data)]
    first = [(kind, nal) for kind, nal in units if kind in sets][: len(sets)]
    for kind, name in sets.items():
        rest = b"".join(b"\0\0\1" + nal for other, nal in first if other != kind)
        with pytest.raises(
            venc.InvalidArgumentError, match=f"there is no {name} in front of the first slice: give a key"
        ):
            bitstream.description(rest, codec)
    cut = b"".join(b"\0\0\1" + (nal[:4] if name == "SPS" else nal) for (kind, nal) in first for name in [sets[kind]])
    with pytest.raises(venc.InvalidArgumentError, match="syntax of the SPS is not known"):
        bitstream.description(cut, codec)
    record = bitstream.description(data, codec)
    for end in range(len(record) - 4):
        with pytest.raises(venc.InvalidArgumentError, match="ends within a field"):
            bitstream.parameter_sets(record[:end], codec)
    with pytest.raises(venc.InvalidArgumentError, match="begins with 0, version 1"):
        bitstream.parameter_sets(data, codec)


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_packet_of_the_encoder_is_described_for_a_decoder(codec, backend):
    """FFmpeg decodes the length-prefixed packets by the record alone, as a browser does."""
    with venc.Encoder(128, 128, codec=codec, color="bt709", gop=4, backend=backend) as enc:
        packets = [
            packet for index in range(8) for packet in enc.encode(bytes([index * 9]) * (128 * 192))
        ] + enc.flush()
    record = bitstream.description(packets[0])
    assert record == bitstream.description(bytes(packets[4]), codec)
    assert bitstream.codec_string(packets[0]).startswith({"h264": "avc1.", "h265": "hvc1.1."}[codec])
    decoder = av.CodecContext.create(DEMUXERS[codec], "r")
    decoder.extradata = record
    decoder.open()
    frames = [frame for packet in packets for frame in decoder.decode(av.Packet(bitstream.to_length_prefixed(packet)))]
    frames += decoder.decode(None)
    assert len(frames) == 8
    assert [round(frame.to_ndarray()[:128].mean()) for frame in frames] == [index * 9 for index in range(8)]
