# SPDX-License-Identifier: Apache-2.0
"""An independent decoder, as strict as it can be made: PyAV with every check on, one thread.

PyAV is imported when something is decoded: most programs that import this one do not.
"""

import numpy as np

from helpers import annexb

STRICT = {"err_detect": "crccheck+bitstream+buffer+explode"}


def nv12_of(frame):
    """A decoded picture as an NV12 array of shape (height * 3 // 2, width)."""
    planar = frame.reformat(format="yuv420p") if frame.format.name != "yuv420p" else frame
    width, height = planar.width, planar.height
    planes = []
    sizes = (height, width), (height // 2, width // 2), (height // 2, width // 2)
    for plane, (rows, columns) in zip(planar.planes, sizes):
        data = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        planes.append(data[:rows, :columns])
    out = np.empty((height * 3 // 2, width), np.uint8)
    out[:height] = planes[0]
    out[height:, 0::2] = planes[1]
    out[height:, 1::2] = planes[2]
    return out


def frames(stream, codec):
    """Decode an Annex B byte stream to a list of NV12 arrays. Raises for any damage that the decoder notices."""
    import av

    context = av.CodecContext.create({"h264": "h264", "h265": "hevc"}[codec], "r")
    context.thread_count = 1
    context.options = dict(STRICT)
    found = []
    for packet in [*context.parse(bytes(stream)), *context.parse(b"")]:
        found += context.decode(packet)
    found += context.decode(None)
    return [nv12_of(frame) for frame in found]


def unit_frames(units, codec):
    """Decode access units given one by one; ValueError unless each is one picture, which decoders do not insist on."""
    import av

    units = [bytes(unit) for unit in units]
    for number, unit in enumerate(units):
        pictures = sum(annexb.is_first_slice(nal, codec) for nal in annexb.nal_units(unit))
        if pictures != 1:
            raise ValueError(f"access unit {number} has {pictures} pictures")
    context = av.CodecContext.create({"h264": "h264", "h265": "hevc"}[codec], "r")
    context.thread_count = 1
    context.options = dict(STRICT)
    found = [frame for unit in units for frame in context.decode(av.Packet(unit))] + context.decode(None)
    if len(found) != len(units):
        raise ValueError(f"{len(units)} access units decode to {len(found)} pictures")
    return [nv12_of(frame) for frame in found]


def file_frames(path):
    """Decode a file's video stream strictly: a list of (pts in seconds as Fraction, NV12 array)."""
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        stream.codec_context.options = dict(STRICT)
        return [(frame.pts * frame.time_base, nv12_of(frame)) for frame in container.decode(stream)]
