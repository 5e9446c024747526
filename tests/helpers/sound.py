# SPDX-License-Identifier: Apache-2.0
"""Films with sound, and what is heard in a file."""

from fractions import Fraction

import numpy as np

from helpers import clips

RATE = 48000  # samples per second


def write_film(
    path,
    seconds=2.0,
    fps=25,
    codec="aac",
    tone=440,
    video="mpeg4",
    metadata=None,
    tracks=1,
    late=0.0,
    longer=0.0,
    rate=RATE,
    **kw,
):
    """Write a film of 128 x 128 with a tone that swells from silence.

    The sound begins `late` seconds in, and ends `longer` behind the pictures.
    """
    import av

    with av.open(str(path), "w", **kw) as container:
        container.metadata.update(metadata or {})
        picture = container.add_stream(video, rate=fps)
        picture.width = picture.height = 128
        picture.pix_fmt = "yuv420p"
        sounds = [container.add_stream(codec, rate=rate, layout="mono") for _ in range(tracks)]
        for sound in sounds:
            sound.metadata["language"] = "deu"
        for index in range(round(seconds * fps)):
            planes = np.concatenate([plane.ravel() for plane in clips.i420(128, 128, index)])
            frame = av.VideoFrame.from_ndarray(planes.reshape(192, 128), format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, fps)
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
        total = round((seconds + longer - late) * rate)
        wave = (np.sin(np.arange(total) * 2 * np.pi * tone / rate) * np.arange(total) / total * 20000).astype(np.int16)
        for sound in sounds:
            for begin in range(0, total, 1024):
                frame = av.AudioFrame.from_ndarray(wave[None, begin : begin + 1024], format="s16", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = rate, begin + round(late * rate), Fraction(1, rate)
                container.mux(sound.encode(frame))
            container.mux(sound.encode(None))
    return path


def delay_pictures(path, target, seconds):
    """Copy a film, with its pictures so much later."""
    import av

    with av.open(str(path)) as container, av.open(str(target), "w") as output:
        add = getattr(output, "add_stream_from_template", lambda stream: output.add_stream(template=stream))
        copies = {stream.index: add(stream) for stream in container.streams}
        for packet in container.demux():
            if packet.size:
                if packet.stream.type == "video":
                    later = round(seconds / packet.time_base)
                    packet.pts, packet.dts = packet.pts + later, packet.dts + later
                packet.stream = copies[packet.stream.index]
                output.mux(packet)
    return target


def alone(path, target):
    """Copy the sound of an FLV, and no pictures."""
    data = path.read_bytes()
    kept, place = data[:4] + b"\x04" + data[5:13], 13
    while place + 11 < len(data):
        size = 15 + int.from_bytes(data[place + 1 : place + 4], "big")
        kept += data[place : place + size] if data[place] == 8 else b""
        place += size
    target.write_bytes(kept)
    return target


def make_unknown(path, target):
    """Copy an mp4, and name its sound's codec AC-4, for which FFmpeg has no decoder."""
    data = path.read_bytes()
    assert data.count(b"mp4a") == 1
    before, after = data.split(b"mp4a")
    target.write_bytes(before + b"ac-4" + after.replace(b"esds", b"free", 1))  # which would tell the codec, too
    return target


def packets(path, track=0):
    """Return (seconds, bytes) of each packet of sound; [] where there is none."""
    import av

    with av.open(str(path)) as container:
        if len(container.streams.audio) <= track:
            return []
        return [
            (float(packet.pts * packet.time_base), bytes(packet))
            for packet in container.demux(container.streams.audio[track])
            if packet.size
        ]


def heard(path):
    """Return (samples as floats, seconds of the first)."""
    import av

    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
        samples = [frame.to_ndarray()[0].astype(float) for frame in frames]
        return np.concatenate(samples), float(frames[0].pts * frames[0].time_base)


def write_pcm(path, sizes, codec="pcm_s16le", layout="stereo", channels=2, total=44_000):
    """Write noise alone, in packets of so many samples, again and again."""
    import av

    rng = np.random.default_rng(0)
    kind = {"pcm_s16le": ("s16", np.int16), "pcm_s24le": ("s32", np.int32)}[codec]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, layout=layout)
        begin = number = 0
        while begin < total:
            count = sizes[number % len(sizes)]
            noise = rng.integers(-(2**15), 2**15, (1, channels * count)).astype(kind[1])
            frame = av.AudioFrame.from_ndarray(noise << 16 if kind[0] == "s32" else noise, kind[0], layout)
            frame.sample_rate, frame.pts, frame.time_base = RATE, begin, Fraction(1, RATE)
            container.mux(stream.encode(frame))
            begin, number = begin + count, number + 1
        container.mux(stream.encode(None))
    return path


def samples(path):
    """Return all samples of the first track, as they are."""
    import av

    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray().ravel() for frame in container.decode(audio=0)])


def restamp(path, target, change, kind=range(0xC0, 0xE0)):
    """Copy an FLV or MPEG-TS, with other stamps of its sound: `change(number, seconds)`, as they are stored.

    `kind`: of an MPEG-TS, numbers of the streams; those of pictures begin with 0xE0.
    """
    data = bytearray(path.read_bytes())
    if path.suffix == ".flv":
        place, number = 13, 0
        while place + 11 < len(data):
            if data[place] == 8:
                stamp = int.from_bytes(bytes([data[place + 7], *data[place + 4 : place + 7]]), "big")
                changed = round(change(number, stamp / 1000) * 1000).to_bytes(4, "big")
                data[place + 4 : place + 7], data[place + 7] = changed[1:], changed[0]
                number += 1
            place += 11 + int.from_bytes(data[place + 1 : place + 4], "big") + 4
        target.write_bytes(data)
        return target
    number = 0
    for place in range(0, len(data), 188):
        start = place + 4 + (data[place + 4] + 1 if data[place + 3] & 0x20 else 0)
        if not data[place + 1] & 0x40 or data[start : start + 3] != b"\0\0\1" or data[start + 3] not in kind:
            continue
        decoded = data[start + 7] >> 6 == 3  # whether it tells when it is decoded, besides when it is shown
        for at in (start + 9, start + 14)[: 1 + decoded]:
            high, middle, low = data[at], *(int.from_bytes(data[at + n : at + n + 2], "big") for n in (1, 3))
            ticks = (high >> 1 & 7) << 30 | middle >> 1 << 15 | low >> 1
            ticks = round(change(number, ticks / 90000) * 90000)
            data[at] = high & 0xF1 | ticks >> 30 << 1
            for offset, part in ((1, ticks >> 15), (3, ticks)):
                data[at + offset : at + offset + 2] = ((part & 0x7FFF) << 1 | 1).to_bytes(2, "big")
        number += 1
    target.write_bytes(data)
    return target
