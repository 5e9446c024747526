# SPDX-License-Identifier: Apache-2.0
"""`ascend-venc probe` and what it reads by: parameter sets, pictures of bare bitstreams, slices, times, rates."""

import io
import json
import random
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import pytest

from ascend_venc import cli, errors
from ascend_venc.bitstream import describe, iter_nal_units
from ascend_venc.media.access_units import codec_of, iter_units
from ascend_venc.media.inspection import Inspection, Picture, inspect
from ascend_venc.sequence_parameters import parse_sequence_parameters
from helpers import annexb, clips

ROOT = Path(__file__).resolve().parents[2]
CLIP = ROOT / clips.CLIP
ALONE = "pools=none:frame-threads=1"  # x265 on one thread, like "threads" of x264: the same file on any number of cores
B_FRAMES = {"preset": "veryfast", "bf": "3", "b-adapt": "0", "g": "12", "keyint_min": "12", "sc_threshold": "0"}


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """(codec, container) -> a film with B frames, written by FFmpeg."""
    folder = tmp_path_factory.mktemp("films")
    found = {}
    for codec, library, options in (
        ("h264", "libx264", {**B_FRAMES, "level": "3.1", "profile": "high", "threads": "1"}),
        ("h265", "libx265", {"x265-params": f"keyint=12:min-keyint=12:bframes=3:scenecut=0:log-level=none:{ALONE}"}),
    ):
        for suffix in ("mp4", "mkv", "ts", codec):
            path = folder / f"{codec}.{suffix}"
            kind = {"h265": "hevc"}.get(suffix)
            with av.open(str(path), "w", format=kind) as out:
                stream = out.add_stream(library, rate=25)
                stream.width, stream.height, stream.pix_fmt = 176, 130, "yuv420p"
                stream.options = options
                for index in range(30):
                    frame = av.VideoFrame(176, 130, "yuv420p")
                    for plane in frame.planes:
                        plane.update(bytes((index * 7 + byte) % 200 for byte in range(plane.buffer_size)))
                    out.mux(stream.encode(frame))
                out.mux(stream.encode(None))
            found[codec, suffix] = path
    return found


def kinds_by_ffmpeg(path):
    """Kinds of the pictures in decoding order, key frames as K, by FFmpeg's decoder, which is independent of ours."""
    with av.open(str(path)) as source:
        stream = source.streams.video[0]
        packets = [packet for packet in source.demux(stream) if packet.size]
        source.seek(0)
        shown = {frame.pts: frame.pict_type for frame in source.decode(stream)}
    kinds = {pts: "?IPB"[int(getattr(kind, "value", kind))] for pts, kind in shown.items()}
    return ["K" if packet.is_keyframe else kinds[packet.pts] for packet in packets], packets


@pytest.mark.parametrize("codec", ["h264", "h265"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_pictures_are_those_that_ffmpeg_decodes(films, codec, suffix):
    found = inspect(films[codec, suffix])
    kinds, packets = kinds_by_ffmpeg(films[codec, suffix])
    assert ["K" if picture.key else picture.kind for picture in found.pictures] == kinds
    assert [picture.size for picture in found.pictures] == [packet.size for packet in packets]
    assert (found.codec, found.width, found.height, found.damaged, found.problems) == (codec, 176, 130, 0, [])
    assert found.frame_rate == 25 and found.usual_distance() == Fraction(1, 25)
    assert float(found.duration()) == pytest.approx(1.2)
    keys = [number for number, kind in enumerate(kinds) if kind == "K"]
    assert len(keys) == 3 and found.key_distances() == [after - before for before, after in zip(keys, keys[1:])]
    assert found.gaps() == found.duplicates() == [] and found.backwards() == 0
    assert {"B", "P", "key"} <= set(found.sizes())
    assert sum(of["pictures"] for of in found.sizes().values()) == 30
    assert found.parameters.level == {"h264": "3.1", "h265": found.parameters.level}[codec]
    assert found.parameters.profile == {"h264": "High", "h265": "Main"}[codec]
    assert found.sei["user data"] >= (codec == "h264")  # x265 leaves its own in the header of a container


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_a_bare_bitstream_is_cut_where_the_container_cuts_it(films, codec):
    bare, mp4 = inspect(films[codec, codec]), inspect(films[codec, "mp4"])
    assert bare.container == "bare bitstream" and bare.codec == codec
    assert [picture.kind for picture in bare.pictures] == [picture.kind for picture in mp4.pictures]
    assert [picture.key for picture in bare.pictures] == [picture.key for picture in mp4.pictures]
    assert sum(picture.size for picture in bare.pictures) == films[codec, codec].stat().st_size + sum(
        len(code) == 3 for code in three_byte_start_codes(films[codec, codec].read_bytes())
    )
    assert bare.parameters == mp4.parameters
    assert bare.rate() == pytest.approx(8 * sum(picture.size for picture in bare.pictures) / 1.2)


def three_byte_start_codes(data):
    """Start codes of three bytes, which are counted as four, like the others."""
    found, place = [], data.find(b"\0\0\1")
    while place >= 0:
        found.append(data[max(0, place - 1) : place + 3].lstrip(b"\0" if place and data[place - 1] else b""))
        found[-1] = b"\0\0\1" if place == 0 or data[place - 1] else b"\0\0\0\1"
        place = data.find(b"\0\0\1", place + 3)
    return found


def test_sequence_parameters_tell_what_was_written(films):
    (sps,) = {
        bytes(unit.data) for unit in iter_nal_units(films["h264", "h264"].read_bytes(), "h264") if unit.name == "SPS"
    }
    told = parse_sequence_parameters(
        describe(sps, "h264", color="bt709", sample_aspect_ratio="4:3", fps="30000/1001"), "h264"
    )
    assert (told.profile, told.level, told.width, told.height) == ("High", "3.1", 176, 130)
    assert (told.chroma, told.bit_depth, told.interlaced) == ("4:2:0", 8, False)
    vui = told.vui
    assert (vui.primaries, vui.transfer, vui.matrix) == (1, 1, 1)
    assert vui.sample_aspect_ratio == Fraction(4, 3) and vui.frame_rate == Fraction(30000, 1001)
    data = films["h265", "h265"].read_bytes()
    (sps,) = {bytes(unit.data) for unit in iter_nal_units(data, "h265") if unit.name == "SPS"}
    told = parse_sequence_parameters(describe(sps, "h265", color="bt2020-pq", fps=50), "h265")
    assert (told.profile, told.width, told.height) == ("Main", 176, 130)
    assert (told.vui.primaries, told.vui.transfer, told.vui.frame_rate) == (9, 16, 50)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "tests" / "data" / "bitstream").glob("*-*")), ids=lambda path: path.name
)
def test_parameter_sets_of_the_collection_are_read_like_the_tests_own_parser(path):
    codec = path.name.partition("-")[0]
    parse = {"h264": annexb.h264_sps, "h265": annexb.hevc_sps}[codec]
    kind = {"h264": 7, "h265": 33}[codec]
    for unit in iter_nal_units(path.read_bytes(), codec):
        if unit.type != kind:
            continue
        told = parse_sequence_parameters(unit.data, codec)
        assert told.width > 0 and told.height > 0
        if codec == "h264" or not unit.data[2] >> 1 & 7:  # that parser does not read sub-layers
            expected = parse(bytes(unit.data))
            assert (told.width, told.height) == (expected.width, expected.height)


def test_damaged_parameter_sets_are_refused_or_read_and_nothing_else(films):
    draw = random.Random(1)
    for codec in ("h264", "h265"):
        data = films[codec, codec].read_bytes()
        sps = next(bytes(unit.data) for unit in iter_nal_units(data, codec) if unit.name == "SPS")
        for _ in range(1500):
            spoilt = bytearray(sps[: draw.randint(0, len(sps))] if draw.random() < 0.3 else sps)
            for _ in range(draw.randint(1, 6)):
                if len(spoilt) > 4:
                    spoilt[draw.randrange(3, len(spoilt))] = draw.randrange(256)
            try:
                told = parse_sequence_parameters(spoilt, codec)
            except errors.InvalidArgumentError:
                continue
            assert told.width > 0 and told.height > 0


def test_damaged_files_are_one_error_or_a_report(films, tmp_path, capsys):
    draw = random.Random(2)
    path = tmp_path / "spoilt"
    seen = set()
    for source in films.values():
        data = source.read_bytes()
        for number in range(12):
            spoilt = bytearray(data[: draw.randrange(len(data))] if number % 2 else data)
            for _ in range(draw.randint(0, 20) if number else 0):
                if spoilt:
                    spoilt[draw.randrange(len(spoilt))] = draw.randrange(256)
            path.write_bytes(spoilt)
            code = cli.main(["probe", str(path)])
            told = capsys.readouterr()
            assert code in (0, 1)
            assert told.err.count("\n") == code, told.err
            if code:
                assert told.err.startswith("ascend-venc: ")
            else:
                assert told.out.startswith("file ")
            seen.add((code, bool(told.out)))
    assert {(0, True), (1, False), (1, True)} <= seen


def test_what_is_no_video_is_said_in_a_line(tmp_path, capsys):
    for name, data in (("empty", b""), ("text.mp4", b"hello\n" * 100), ("codes.h264", b"\0\0\1" * 50)):
        path = tmp_path / name
        path.write_bytes(data)
        assert cli.main(["probe", str(path)]) == 1
        told = capsys.readouterr()
        assert told.out == "" and told.err.count("\n") == 1, told
    assert cli.main(["probe", str(tmp_path / "missing.mp4")]) == 1
    assert capsys.readouterr().err == f"ascend-venc: {tmp_path}/missing.mp4: No such file or directory\n"


def of_times(times, sizes=None):
    found = Inspection("test", "h264", frame_rate=Fraction(10))
    for number, when in enumerate(times):
        size = sizes[number] if sizes else 100
        shown = None if when is None else Fraction(when).limit_denominator(1000)
        found.pictures.append(Picture(size, "P", number == 0, number == 0, shown, shown, None))
    return found


def test_gaps_duplicates_and_steps_back_are_found():
    found = of_times([0, 0.1, 0.2, 0.5, 0.6, 0.6, 0.7])
    assert found.usual_distance() == Fraction(1, 10)
    assert found.gaps() == [(Fraction(1, 5), Fraction(3, 10))]
    assert found.duplicates() == [Fraction(3, 5)]
    assert found.backwards() == 1
    assert of_times([0.2, 0.1, 0]).backwards() == 2


def test_rates_of_each_second_and_of_the_whole():
    found = of_times([number / 10 for number in range(15)], [1000] * 10 + [100] * 5)
    assert found.duration() == Fraction(3, 2)
    assert found.rate() == pytest.approx(8 * 10500 / 1.5)
    assert found.rates() == [(0, pytest.approx(80_000.0)), (1, pytest.approx(8 * 500 / 0.5))]
    assert of_times([None, None]).times() == [0, Fraction(1, 10)]


def test_the_report_and_its_json_say_the_same(films, capsys):
    path = str(films["h264", "mp4"])
    assert cli.main(["probe", path]) == 0
    text = capsys.readouterr().out
    for words in ("H.264 High, level 3.1, 176 x 130, 4:2:0, 8 bits", "30 in 1.200 s, 25 fps", "GOP  ", "12 pictures"):
        assert words in text
    assert cli.main(["probe", path, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["pictures"], told["key_frames"], told["key_distances"]) == (30, [0, 12, 24], [12, 12])
    assert len(told["each"]) == 30 and told["parameters"]["profile"] == "High"
    assert sum(each["size"] for each in told["each"]) == sum(of["bytes"] for of in told["sizes"].values())


def test_the_demo_clip(capsys):
    assert cli.main(["probe", str(CLIP)]) == 0
    assert "60 in 2.400 s, 25 fps" in capsys.readouterr().out


def test_codecs_are_told_apart_by_their_parameter_sets(films):
    for codec in ("h264", "h265"):
        data = films[codec, codec].read_bytes()
        assert codec_of(data) == codec
        assert codec_of(b"x" + data) is None and codec_of(data[:6]) is None


@pytest.mark.parametrize("front", [b"", b"\0\0\0"])
def test_bare_stream_is_the_same_wherever_a_read_ends(front):
    units = [b"\x67\x42\0\x0a", b"\x68\xce", b"\x65\x88\0\0\x03\x01\x80"]
    stream = front + b"".join(b"\0\0\0\1" + unit for unit in units)
    for size in range(1, len(stream) + 1):
        file = io.BytesIO(stream)
        assert list(iter_units(SimpleNamespace(read=lambda _, f=file, n=size: f.read(n)))) == units


@pytest.mark.parametrize(("name", "codec"), [("a.mpg", "mpeg2video"), ("a.m2v", "mpeg2video"), ("a.m1v", "mpeg1video")])
def test_mpeg2_is_no_bare_stream_of_h264(tmp_path, name, codec):
    path = clips.write_video(tmp_path / name, range(30), Fraction(1, 25), codec=codec)
    found = inspect(path)
    assert (found.codec, found.width, len(found.pictures)) == (codec, 128, 30)


@pytest.mark.parametrize("begin", [b"\0\0\1\xb3", b"\0\0\1\xba", b"\0\0\0\1\xba\0\0\1\xe0"])
def test_bit_that_is_forbidden_in_h264_and_h265_tells_another_format(films, begin):
    data = films["h264", "h264"].read_bytes()
    assert codec_of(b"\0\0\1\x09\x10" + data) == "h264"
    assert codec_of(begin + data) is None


@pytest.mark.parametrize("parts", [[(1, 2)], [(0, 1), (2, 3)], [(2, 3), (0, 1), (2, 3)]])
def test_pictures_that_an_edit_list_cuts_out_do_not_count(tmp_path, parts):
    path = clips.write_video(tmp_path / "a.mp4", range(75), Fraction(1, 25))
    path.write_bytes(clips.with_edits(path.read_bytes(), parts))
    found = inspect(path)
    assert (len(found.pictures), found.duration()) == (25 * len(parts), len(parts))
    assert found.gaps() == []


def test_damage_is_an_exit_code_and_a_joint_is_no_damage(tmp_path, capsys):
    part = clips.write_video(tmp_path / "part.ts", range(50), Fraction(1, 25), codec="mpeg2video").read_bytes()
    path = tmp_path / "film.ts"
    path.write_bytes(part + part)
    assert cli.main(["probe", str(path)]) == 0
    assert capsys.readouterr().err == ""
    hole = len(part) // 376 * 188
    path.write_bytes(part[:hole] + part[hole + 188 * 3 :])
    assert cli.main(["probe", str(path), "--json"]) == 1
    told = capsys.readouterr()
    assert json.loads(told.out)["damaged"] and "cannot be read" in told.err
