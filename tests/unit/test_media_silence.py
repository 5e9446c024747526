# SPDX-License-Identifier: Apache-2.0
"""Pauses of PCM in MP4 and MOV, which count its samples and have no place for times."""

import numpy as np
import pytest

from ascend_venc import cli
from ascend_venc.media import silence
from helpers import sound

av = pytest.importorskip("av", reason="PyAV is not installed")


def with_pause(path, target, begin, end):
    """Copy a film without the packets of its sound in a part of it."""
    with av.open(str(path)) as container, av.open(str(target), "w") as output:
        copy = getattr(output, "add_stream_from_template", lambda stream: output.add_stream(template=stream))
        streams = [copy(stream) for stream in container.streams]
        for packet in container.demux():
            time = packet.dts is not None and packet.dts * packet.time_base
            if packet.dts is not None and not (packet.stream.type == "audio" and begin <= time < end):
                packet.stream = streams[packet.stream.index]
                output.mux(packet)
    return target


@pytest.mark.parametrize(("target", "options"), [
    ("a.mp4", []), ("a.mov", []), ("a.mp4", ["-movflags", "frag_keyframe+empty_moov"]), ("a.mkv", [])
])  # fmt: skip
@pytest.mark.parametrize(("begin", "end", "paused"), [(0.5, 1.75, True), (0.5, 3.1, True), (1, 1.06, False)])
def test_sound_behind_a_pause_is_heard_in_time(tmp_path, target, options, begin, end, paused):
    source = with_pause(
        sound.write_film(tmp_path / "whole.mkv", seconds=4, codec="pcm_s16le"), tmp_path / "film.mkv", begin, end
    )
    whole, _ = sound.heard(tmp_path / "whole.mkv")
    output = tmp_path / target
    assert cli.main(["encode", "--backend", "sim", "-y", "-i", str(source), *options, str(output)]) == 0
    with av.open(str(output)) as container:
        frames = [(frame.pts * frame.time_base, frame.to_ndarray()[0]) for frame in container.decode(audio=0)]
    unheard = 0
    for time, samples in frames:
        at = round(time * sound.RATE)
        if not samples.any() and at > 1024:
            unheard += len(samples)
        elif paused:  # stamps of Matroska are milliseconds
            near = [whole[at + shift : at + shift + len(samples)] for shift in range(-50, 51) if at + shift >= 0]
            assert any(np.array_equal(each[: len(samples)], samples[: len(each)]) for each in near), float(time)
    assert float(frames[-1][0]) == pytest.approx(4, abs=0.03 if paused else 0.1)
    if target != "a.mkv":
        assert unheard == pytest.approx((end - begin) * sound.RATE * paused, abs=2200)


@pytest.mark.parametrize(
    ("codec", "sample"),
    [
        ("pcm_u8", b"\x80"),
        ("pcm_s24le", b"\0\0\0"),
        ("pcm_f64be", bytes(8)),
        ("pcm_u16le", b"\0\x80"),
        ("pcm_u16be", b"\x80\0"),
        ("pcm_alaw", b"\xd5"),
        ("pcm_mulaw", b"\xff"),
        ("pcm_bluray", None),
        ("aac", None),
    ],
)
def test_silence_of_each_kind_of_pcm(codec, sample):
    class Context:
        name, channels, sample_rate = codec, 3, 8000

    class Stream:
        codec_context = Context

    assert silence.pcm_of(Stream) == (None if sample is None else (sample * 3, 8000))
