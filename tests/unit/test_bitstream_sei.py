# SPDX-License-Identifier: Apache-2.0
"""SEI messages and NAL units read and written, against a reader of the tests' own, FFmpeg, and other encoders."""

import io
import random
import uuid

import numpy as np
import pytest

import ascend_venc as venc
from ascend_venc import bitstream
from ascend_venc.bitstream import FrameTime, RecoveryPoint, SeiMessage, UserDataUnregistered
from helpers import annexb, sei

av = pytest.importorskip("av", reason="PyAV is not installed: FFmpeg is what the stream is compared with")
filters = pytest.importorskip("av.bitstream")

ID = uuid.UUID("086f3693-b7b3-4f2c-9653-21492feee5b8")
ENCODERS = {"h264": ("libx264", "x264-params"), "h265": ("libx265", "x265-params")}


@pytest.fixture(params=["h264", "h265"])
def codec(request):
    return request.param


def encoded(codec, options="", frames=12):
    """A stream of another encoder, and the size of each of its access units."""
    encoder, parameters = ENCODERS[codec]
    file = io.BytesIO()
    sizes = []
    with av.open(file, "w", format=sei.DEMUXERS[codec]) as container:
        stream = container.add_stream(encoder, rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 128, "yuv420p"
        quiet = ["log-level=none"] if codec == "h265" else []
        stream.options = {parameters: ":".join([*filter(None, [options]), *quiet]) or "psy=0"}
        packets = []
        for index in range(frames):
            picture = np.full((192, 128), 16 * index % 256, np.uint8)
            packets += stream.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p"))
        for packet in [*packets, *stream.encode(None)]:
            sizes.append(packet.size)
            container.mux(packet)
    data = file.getvalue()
    assert sum(sizes) == len(data)
    return data, sizes


STREAMS = [
    ("h264", ""),
    ("h264", "intra-refresh=1:keyint=6"),
    ("h264", "nal-hrd=vbr:vbv-maxrate=1000:vbv-bufsize=1000:aud=1"),
    ("h264", "mastering-display=G(1,2)B(3,4)R(5,6)WP(7,8)L(100000000,0):cll=1000,400:slices=3"),
    ("h265", ""),
    ("h265", "hash=1:aud=1"),
    ("h265", "hash=2:hrd=1:vbv-maxrate=1000:vbv-bufsize=1000"),
    ("h265", "master-display=G(1,2)B(3,4)R(5,6)WP(7,8)L(100000000,0):max-cll=1000,400:repeat-headers=1:keyint=4"),
]


@pytest.mark.parametrize(("codec", "options"), STREAMS)
def test_streams_of_other_encoders_are_read_as_the_reference_reads_them(codec, options):
    data, _ = encoded(codec, options)
    found = [(one.type, one.payload, one.suffix) for one in bitstream.sei_messages(data, codec)]
    assert found == sei.read(data, codec)
    assert len(found) >= 1
    units = list(bitstream.iter_nal_units(data, codec))
    assert [bytes(unit.data) for unit in units] == annexb.nal_units(data)
    kinds = [kind for unit in annexb.access_units(data, codec) for kind in unit.types]
    assert [unit.type for unit in units] == kinds


@pytest.mark.parametrize(("codec", "options"), STREAMS)
def test_nal_units_have_the_names_that_ffmpeg_calls_them_by(codec, options):
    """FFmpeg names the unit in front of its syntax elements: the first element of each is its type."""
    data, _ = encoded(codec, options)
    types = [value for name, value in sei.traced(data, codec) if name == "nal_unit_type"]
    units = list(bitstream.iter_nal_units(data, codec))
    assert [unit.type for unit in units] == types
    wanted = {"h264": {7: "SPS", 8: "PPS", 6: "SEI", 5: "IDR_SLICE", 1: "SLICE", 9: "AUD"}}
    wanted["h265"] = {32: "VPS", 33: "SPS", 34: "PPS", 39: "PREFIX_SEI", 40: "SUFFIX_SEI", 35: "AUD"}
    wanted["h265"].update({0: "TRAIL_N", 1: "TRAIL_R", 19: "IDR_W_RADL", 20: "IDR_N_LP", 21: "CRA", 8: "RASL_N"})
    wanted["h265"].update({9: "RASL_R", 6: "RADL_N", 7: "RADL_R"})
    assert all(wanted[codec][unit.type] == unit.name for unit in units)


def test_every_type_has_a_name():
    names = {}
    for codec in ("h264", "h265"):
        heads = [
            bytes([kind]) if codec == "h264" else bytes([kind << 1, 1]) for kind in range(32 if codec == "h264" else 64)
        ]
        data = b"".join(b"\0\0\1" + head + b"\x80" for head in heads)
        names[codec] = [unit.name for unit in bitstream.iter_nal_units(data, codec)]
        assert len(names[codec]) == len(heads)
    assert names["h264"].count("RESERVED") == 4 and names["h264"].count("UNSPECIFIED") == 9
    assert names["h265"].count("RESERVED") == 23 and names["h265"].count("UNSPECIFIED") == 16
    assert names["h264"][19:22] == ["AUXILIARY_SLICE", "SLICE_EXTENSION", "DEPTH_SLICE_EXTENSION"]
    assert names["h265"][16:22] == ["BLA_W_LP", "BLA_W_RADL", "BLA_N_LP", "IDR_W_RADL", "IDR_N_LP", "CRA"]
    assert list(bitstream.iter_nal_units(b"\0\0\1\0\0\1\x06", "h264")) == [(6, "SEI", b"\x06")]


def test_what_other_encoders_say_is_understood():
    data, _ = encoded("h264")
    (one,) = bitstream.sei_messages(data, "h264")
    assert isinstance(one.content, UserDataUnregistered) and b"x264" in one.content.data
    assert one.content.uuid == uuid.UUID("dc45e9bd-e6d9-48b7-962c-d820d923eeef")
    data, _ = encoded("h264", "intra-refresh=1:keyint=6", 20)
    points = [one.content for one in bitstream.sei_messages(data, "h264") if one.type == 6]
    counts = [value for name, value in sei.traced(data, "h264") if name == "recovery_frame_cnt"]
    assert [point.count for point in points] == counts and max(counts) > 0
    data, _ = encoded("h265", "hash=1")
    hashes = [one for one in bitstream.sei_messages(data, "h265") if one.suffix]
    assert len(hashes) == 12 and all((one.type, len(one.payload), one.content) == (132, 49, None) for one in hashes)


def messages_of(seed, codec):
    """Messages of all kinds, with the bytes that emulation prevention is about."""
    one = random.Random(seed)
    least, most = (0, 65535) if codec == "h264" else (-32768, 32767)

    def some_bytes():
        length = one.choice([0, 1, 2, 3, 15, 16, 17, 100, 254, 255, 256, 510, 511, 3000])
        return bytes(one.choice([0, 0, 0, 1, 2, 3, 4, 128, 255]) for _ in range(length))

    kinds = [
        lambda: UserDataUnregistered(one.choice([ID, bytes(16), b"\0\0\3" * 5 + b"\0"]), some_bytes()),
        lambda: RecoveryPoint(
            one.choice([0, 1, 2, 7, least, most, one.randint(least, most)]),
            *map(bool, (one.randint(0, 1), one.randint(0, 1))),
        ),
        lambda: FrameTime(one.choice([0, 1, -1, 2**63 - 1, 1 - 2**63, 1_700_000_000_000_000_000, one.getrandbits(60)])),
        lambda: SeiMessage(one.choice([0, 4, 47, 137, 254, 255, 256, 510, 65535]), some_bytes()),
    ]
    return [one.choice(kinds)() for _ in range(one.randint(1, 5))]


@pytest.mark.parametrize("seed", range(150))
def test_what_is_written_is_what_the_reference_writes_and_reads_back_the_same(codec, seed):
    messages = messages_of(seed, codec)
    unit = bitstream.sei_nal_unit(messages, codec)
    read = bitstream.sei_messages(b"\0\0\0\1" + unit + b"\0\0\1" + (b"\x65" if codec == "h264" else b"\x26\1"), codec)
    assert unit == sei.write([(one.type, one.payload) for one in read], codec)
    assert len(read) == len(messages)
    for wanted, got in zip(messages, read):
        assert not got.suffix
        if isinstance(wanted, SeiMessage):
            assert (got.type, got.payload) == (wanted.type, wanted.payload)
        else:
            assert got.content == wanted
            assert got.type == (6 if isinstance(wanted, RecoveryPoint) else 5)
    assert not any(code in unit for code in (b"\0\0\0", b"\0\0\1", b"\0\0\2"))


def test_frame_time_is_user_data_of_eight_bytes():
    """The payload that docs/bitstream.md describes."""
    (one,) = bitstream.sei_messages(b"\0\0\1" + bitstream.sei_nal_unit([FrameTime(0x0102030405060708)], "h264"), "h264")
    assert one.payload == bytes.fromhex("1ffbca76f7e0410580771a86b9fc7304 0102030405060708")
    assert one.payload[:16] == bitstream.FRAME_TIME_UUID


@pytest.mark.parametrize("text", ["hello", "a" * 254, "b" * 255, "c" * 1000])
def test_user_data_is_that_of_ffmpegs_filter_to_the_byte(text):
    """h264_metadata puts a message into the first access unit; H.265's filter has no such option."""
    data, _ = encoded("h264")
    with av.open(io.BytesIO(data), format="h264") as source:
        one = filters.BitStreamFilterContext(f"h264_metadata=sei_user_data={ID}+{text}", source.streams.video[0])
        packet = next(packet for packet in source.demux() if packet.size)
        after = b"".join(bytes(part) for part in one.filter(packet))
    ours = UserDataUnregistered(ID, text.encode() + b"\0")  # with the end of a C string
    found = bitstream.sei_messages(after, "h264")
    assert ours in [one.content for one in found]
    units = [bytes(unit.data) for unit in bitstream.iter_nal_units(after, "h264") if unit.name == "SEI"]
    assert bitstream.sei_nal_unit(found, "h264") in units or bitstream.sei_nal_unit([ours], "h264") in units


def with_sei(data, unit, codec):
    """The stream with an SEI in front of each picture's first slice."""
    out = b""
    for nal in annexb.nal_units(data):
        if annexb.is_slice(nal, codec) and annexb.is_first_slice(nal, codec):
            out += b"\0\0\0\1" + unit
        out += b"\0\0\0\1" + nal
    return out


@pytest.mark.parametrize("seed", range(4))
def test_ffmpeg_decodes_and_reads_what_is_written(codec, seed):
    plain, _ = encoded(codec, "keyint=4:bframes=0" + (":info=0" if codec == "h265" else ""))
    user = UserDataUnregistered(ID, bytes(random.Random(seed).choice([0, 1, 2, 3, 200]) for _ in range(700)))
    point = RecoveryPoint(
        (5, 0, 65535, 7)[seed] if codec == "h264" else (5, -9, 32767, -32768)[seed], seed < 2, seed > 2
    )
    data = with_sei(plain, bitstream.sei_nal_unit([user, point, FrameTime(seed)], codec), codec)
    elements = sei.traced(data, codec)
    name = "recovery_frame_cnt" if codec == "h264" else "recovery_poc_cnt"
    assert [value for each, value in elements if each == name] == [point.count] * 12
    assert [value for each, value in elements if each == "exact_match_flag"] == [int(point.exact_match)] * 12
    assert [value for each, value in elements if each == "broken_link_flag"] == [int(point.broken_link)] * 12
    seen = hidden = 0
    with av.open(io.BytesIO(data), format=sei.DEMUXERS[codec]) as file:
        for frame in file.decode(video=0):
            # Several of a kind: PyAV hands out the last, and from 19 on the first, which may be the codec's own.
            every = [frame.side_data[place] for place in range(len(frame.side_data))]  # PyAV 19 iterates over kinds
            side = [bytes(each) for each in every if each.type.name == "SEI_UNREGISTERED"]
            if any(b"x264 - core" in each for each in side):
                hidden += 1
                continue
            assert ID.bytes + user.data in side or bitstream.FRAME_TIME_UUID + seed.to_bytes(8, "big") in side
            seen += 1
    assert seen + hidden == 12 and hidden <= 1


@pytest.mark.parametrize(
    ("rbsp", "words"),
    [
        ("05", "no stop bit"),
        ("", "no stop bit"),
        ("0504aabbcc80", "claims 4 bytes, and the SEI has 3 left"),
        ("ffff80", "ends within a message"),
        ("0580", "ends within a message"),
        ("ff0580", "ends within a message"),
        ("05ffffffff80", "ends within a message"),
    ],
)
def test_damaged_sei_is_an_error_that_says_so(codec, rbsp, words):
    header = b"\x06" if codec == "h264" else b"\x50\x01"
    with pytest.raises(venc.InvalidArgumentError, match=words):
        bitstream.sei_messages(b"\0\0\1" + header + bytes.fromhex(rbsp), codec)


def test_payloads_that_are_too_short_have_no_content(codec):
    messages = [
        SeiMessage(5, b"x" * 15),
        SeiMessage(6, b""),
        SeiMessage(6, b"\1"),
        SeiMessage(5, bitstream.FRAME_TIME_UUID),
    ]
    data = b"\0\0\1" + bitstream.sei_nal_unit(messages, codec)
    contents = [one.content for one in bitstream.sei_messages(data, codec)]
    assert contents == [None, None, None, UserDataUnregistered(bitstream.FRAME_TIME_UUID)]


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: UserDataUnregistered("zz"), venc.InvalidArgumentError, ["uuid is 'zz'", "hexadecimal"]),
        (lambda: UserDataUnregistered(b"short"), venc.InvalidArgumentError, ["uuid has 5 bytes", "16"]),
        (lambda: UserDataUnregistered(7), TypeError, ["uuid", "int"]),
        (lambda: UserDataUnregistered(ID, "text"), TypeError, ["data must be bytes", "str"]),
        (lambda: [RecoveryPoint(-1)], venc.InvalidArgumentError, ["RecoveryPoint.count is -1", "0 to 65535"]),
        (lambda: [RecoveryPoint(65536)], venc.InvalidArgumentError, ["65536", "0 to 65535"]),
        (lambda: [RecoveryPoint(1.5)], TypeError, ["RecoveryPoint.count", "float"]),
        (lambda: [FrameTime(2**63)], venc.InvalidArgumentError, ["FrameTime.ns"]),
        (lambda: [FrameTime(1.5)], TypeError, ["FrameTime.ns", "nanoseconds", "float"]),
        (lambda: [SeiMessage(-1, b"")], venc.InvalidArgumentError, ["SeiMessage.type is -1", "65535"]),
        (lambda: [SeiMessage(65536, b"")], venc.InvalidArgumentError, ["SeiMessage.type is 65536"]),
        (lambda: [SeiMessage(5, b"", True)], venc.InvalidArgumentError, ["suffix"]),
        (lambda: [SeiMessage(5, [1])], TypeError, ["SeiMessage.payload", "list"]),
        (lambda: [], venc.InvalidArgumentError, ["empty list"]),
        (lambda: [b"raw"], TypeError, ["UserDataUnregistered", "bytes"]),
        (lambda: FrameTime(0), TypeError, ["list of messages", "FrameTime"]),
        (lambda: 5, TypeError, ["list of messages", "int"]),
    ],
)
def test_what_is_no_message_is_refused_by_name(make, error, words):
    with pytest.raises(error) as caught:
        bitstream.sei_nal_unit(make(), "h264")
    for word in words:
        assert word in str(caught.value)


def test_codec_is_asked_for_where_nothing_tells_it():
    with pytest.raises(TypeError, match='codec is missing: "h264" or "h265"'):
        bitstream.sei_messages(b"\0\0\1\x06\x80")
    with pytest.raises(venc.InvalidArgumentError, match="codec is 'vp9'"):
        bitstream.sei_messages(b"", "vp9")
    with pytest.raises(venc.InvalidArgumentError, match="codec is 'vp9'"):
        bitstream.iter_nal_units(b"", "vp9")  # at once, not at the first unit
    assert bitstream.sei_messages(b"", "hevc") == []
    assert bitstream.sei_messages(b"\0\0\1\x06\x80", "avc") == []  # no message, and a stop bit


class Text(bytes):
    pass


@pytest.mark.parametrize("kind", [Text, np.bytes_, bytearray, memoryview])
def test_classes_of_bytes_are_bytes(kind, codec):
    messages = [SeiMessage(4, kind(b"any")), UserDataUnregistered(kind(b"of sixteen bytes"), kind(b"any"))]
    plain = [SeiMessage(4, b"any"), UserDataUnregistered(b"of sixteen bytes", b"any")]
    assert bitstream.sei_nal_unit(messages, codec) == bitstream.sei_nal_unit(plain, codec)
