# SPDX-License-Identifier: Apache-2.0
"""Small video files for the tests of files and of the command."""

import struct
from fractions import Fraction

import numpy as np

CLIP = "tests/data/bbb_640x360_25fps_60f.mp4"  # 60 frames at 25 fps
THREADS = 3  # of an encoder: slices and rate depend on them, and so would what the same damage does, on the cores


def i420(width, height, index, seed=0):
    """Return the three planes of a smooth picture that differs from frame to frame."""
    y = (np.arange(width)[None, :] // 2 + np.arange(height)[:, None] + 8 * index + seed) % 200 + 16
    half = np.arange(width // 2)[None, :] + np.arange(height // 2)[:, None] * 0
    u = (half + 3 * index) % 100 + 80
    v = (half * 0 + 5 * index + np.arange(height // 2)[:, None]) % 100 + 80
    return tuple(plane.astype(np.uint8) for plane in (y, u, v))


def nv12(width, height, index, swap=False):
    """Return the bytes of the same picture as NV12, or with `swap` as NV21."""
    y, u, v = i420(width, height, index)
    if swap:
        u, v = v, u
    return y.tobytes() + np.stack([u, v], axis=-1).tobytes()


def y4m(width=128, height=128, frames=5, tags="F25:1"):
    """Return the bytes of a .y4m file in 4:2:0."""
    header = f"YUV4MPEG2 W{width} H{height} {tags}\n".encode()
    pictures = (b"".join(p.tobytes() for p in i420(width, height, n)) for n in range(frames))
    return header + b"".join(b"FRAME\n" + picture for picture in pictures)


def planes_of(frame):
    """Return Y, Cb and Cr of an NV12 array as bytes."""
    rows = frame.shape[0] * 2 // 3
    return frame[:rows].tobytes(), frame[rows:, 0::2].tobytes(), frame[rows:, 1::2].tobytes()


def av_frame(frame, pix_fmt="yuv420p", color_range=None):
    """Return a PyAV picture with the samples of an NV12 array, as they are, in a planar 4:2:0 format of 8 bits."""
    import av

    picture = av.VideoFrame(frame.shape[1], frame.shape[0] * 2 // 3, pix_fmt)
    for plane, data in zip(picture.planes, planes_of(frame)):
        padded = np.zeros((plane.height, plane.line_size), np.uint8)
        padded[:, : plane.width] = np.frombuffer(data, np.uint8).reshape(plane.height, plane.width)
        plane.update(padded.tobytes())
    if color_range is not None:
        picture.color_range = color_range
    return picture


def from_the_bottom(picture):
    """Return a PyAV picture upside down, by the same rows in memory, which are now counted from the bottom up."""
    import av

    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=picture.width, height=picture.height, format=picture.format.name, time_base=Fraction(1, 25)
    )
    flip, sink = graph.add("vflip"), graph.add("buffersink")
    source.link_to(flip)
    flip.link_to(sink)
    graph.configure()
    picture.pts, picture.time_base = 0, Fraction(1, 25)
    graph.push(picture)
    result = graph.pull()
    assert all(plane.line_size < 0 for plane in result.planes)
    return result


def write_pictures(
    path,
    pictures,
    *,
    codec="ffv1",
    times=None,
    time_base=Fraction(1, 25),
    rate=25,
    options=None,
    codec_options=None,
    metadata=None,
    **context,
):
    """Write PyAV pictures, losslessly unless told otherwise; `times` are in units of `time_base`."""
    import av

    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=codec_options or {})
        for name, value in (metadata or {}).items():
            (stream if name == "handler_name" else container).metadata[name] = value
        stream.width, stream.height = pictures[0].width, pictures[0].height
        stream.pix_fmt = pictures[0].format.name
        stream.codec_context.thread_count = THREADS
        for name, value in context.items():
            setattr(stream.codec_context, name, value)
        stream.codec_context.time_base = time_base
        for index, picture in enumerate(pictures):
            picture.pts, picture.time_base = index if times is None else times[index], time_base
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def write_video(path, times, time_base=Fraction(1, 1000), width=128, height=128, codec="mpeg4", **options):
    """Encode one picture for each pts in `times` with PyAV; the container is chosen by the suffix."""
    import av

    with av.open(str(path), "w", **options) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = stream.codec_context.time_base = time_base
        stream.codec_context.thread_count = THREADS
        for index, pts in enumerate(times):
            picture = np.concatenate([plane.reshape(-1) for plane in i420(width, height, index)])
            frame = av.VideoFrame.from_ndarray(picture.reshape(height * 3 // 2, width), format="yuv420p")
            frame.pts, frame.time_base = pts, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def read_video(path):
    """Decode strictly; return (facts, seconds of each frame from the first, luma of each frame)."""
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.options = {"err_detect": "explode"}
        facts = {
            "codec": stream.codec_context.name,
            "tag": stream.codec_context.codec_tag,
            "extradata": bytes(stream.codec_context.extradata or b""),
            "size": (stream.codec_context.width, stream.codec_context.height),
            "frames": stream.frames,
            "duration": Fraction(container.duration, av.time_base) if container.duration else None,
        }
        times, pictures = [], []
        for frame in container.decode(stream):
            times.append(None if frame.pts is None else frame.pts * Fraction(frame.time_base))
            pictures.append(frame.to_ndarray(format="gray"))
    if times and times[0] is not None:
        times = [time - times[0] for time in times]
    return facts, times, pictures


def psnr(first, second):
    """Return the PSNR of two 8 bit pictures, in dB."""
    error = np.mean((first.astype(float) - second.astype(float)) ** 2)
    return 99.0 if error == 0 else 10 * np.log10(255**2 / error)


def with_pixel_crop(data, left, top, right, bottom, shown=None, unit=0):
    """Return a Matroska file with cropping, below 128 pixels a side, and the size shown, told of its first track."""
    more = b"".join(
        identifier + b"\x81" + bytes([value])
        for identifier, value in ((b"\x54\xbb", top), (b"\x54\xaa", bottom), (b"\x54\xcc", left), (b"\x54\xdd", right))
    )
    if shown is not None:
        for identifier, value in ((b"\x54\xb0", shown[0]), (b"\x54\xba", shown[1]), (b"\x54\xb2", unit)):
            more += identifier + b"\x82" + value.to_bytes(2, "big")
    begin, end = 0, len(data)
    for wanted in (b"\x18\x53\x80\x67", b"\x16\x54\xae\x6b", b"\xae", b"\xe0"):  # Segment, Tracks, TrackEntry, Video
        identifier = None
        while identifier != wanted:
            width = 9 - data[begin].bit_length()
            identifier, at = data[begin : begin + width], begin + width
            width = 9 - data[at].bit_length()
            size = int.from_bytes(data[at : at + width], "big") & ((1 << 7 * width) - 1)
            begin = at + width + size
        grown = (size + len(more)) | 1 << 7 * width
        data = data[:at] + grown.to_bytes(width, "big") + data[at + width :]
        begin, end = at + width, at + width + size
    return data[:end] + more + data[end:]


def with_sample_entry_box(data, entry_kind, box):
    """Return an MP4 whose index stands at its end, with a box more in the sample entry of its only track."""
    entry = data.index(entry_kind, data.index(b"stsd")) - 4
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"):
        at = data.index(kind) - 4
        size = struct.unpack_from(">I", data, at)[0]
        data = data[:at] + struct.pack(">I", size + len(box)) + data[at + 4 :]
    size = struct.unpack_from(">I", data, entry)[0]
    end = entry + size
    return data[:entry] + struct.pack(">I", size + len(box)) + data[entry + 4 : end] + box + data[end:]


def table(pid, number, kind, body, spacing=188):
    """Return the packets of a table of MPEG-TS: `kind` 0 lists programs, 2 the streams of one; `number` is its own."""
    section = struct.pack(">BHHBBB", kind, 0xB000 | len(body) + 9, number, 0xC1, 0, 0) + body
    check = 0xFFFFFFFF
    for byte in section:
        check ^= byte << 24
        for _ in range(8):
            check = (check << 1 ^ (0x04C11DB7 if check & 0x80000000 else 0)) & 0xFFFFFFFF
    payload = b"\0" + section + check.to_bytes(4, "big")
    packets = b""
    for begin in range(0, len(payload), 184):
        head = struct.pack(">BHB", 0x47, 0x4000 * (not begin) | pid, 0x10 | begin // 184)
        packets += bytes(spacing - 188) + head + payload[begin : begin + 184].ljust(184, b"\xff")
    return packets


def two_programs(first, second):
    """Return the packets of two MPEG-TS as one; the second was written with `OF_THE_SECOND_PROGRAM`."""
    listed = table(0, 1, 0, struct.pack(">4H", 1, 0xE000 | 0x1000, 2, 0xE000 | 0x1100))
    packets = [
        ((at + 1) / len(data), listed if number == 0 else data[at : at + 188])
        for data in (first, second)
        for at in range(0, len(data), 188)
        for number in [(data[at + 1] & 0x1F) << 8 | data[at + 2]]
        if number not in (0, 0x11) or (number == 0 and data is first)
    ]
    return b"".join(packet for _, packet in sorted(packets, key=lambda each: each[0]))


OF_THE_SECOND_PROGRAM = {"mpegts_start_pid": "512", "mpegts_pmt_start_pid": "4352", "mpegts_service_id": "2"}


def with_edits(data, parts):
    """Return an MP4 whose index stands at its end, of which these parts are shown: (begin, end) in seconds.

    A begin that is negative: nothing is shown, for so long. A third item is the speed.
    """
    moov = data.index(b"moov") - 4
    (scale,) = struct.unpack_from(">I", data, data.index(b"mvhd", moov) + 16)
    at = data.index(b"trak", moov) - 4
    index = data[moov + 8 : at]
    while data[at + 4 : at + 8] == b"trak":
        (size,) = struct.unpack_from(">I", data, at)
        track = data[at + 8 : at + size]
        if (old := track.find(b"edts") - 4) >= 0:
            track = track[:old] + track[old + struct.unpack_from(">I", track, old)[0] :]
        (own,) = struct.unpack_from(">I", track, track.index(b"mdhd") + 16)
        list_ = b"".join(
            struct.pack(
                ">IiI", round((end - begin) * scale), max(-1, round(begin * own)), round(65536 * (speed or [1])[0])
            )
            for begin, end, *speed in parts
        )
        box = struct.pack(">I4sII", 16 + len(list_), b"elst", 0, len(parts)) + list_
        (header,) = struct.unpack_from(">I", track, 0)
        track = track[:header] + struct.pack(">I4s", 8 + len(box), b"edts") + box + track[header:]
        index += struct.pack(">I4s", 8 + len(track), b"trak") + track
        at += size
    rest = data[at:]
    return data[:moov] + struct.pack(">I4s", 8 + len(index) + len(rest), b"moov") + index + rest
