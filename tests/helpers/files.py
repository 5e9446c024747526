# SPDX-License-Identifier: Apache-2.0
"""Video files made for a test: y4m, and containers with a lossless codec so that pixels can be compared."""

from fractions import Fraction

import av
import numpy as np


def planes_of(frame):
    """Y, Cb and Cr of an NV12 array, each contiguous bytes."""
    rows = frame.shape[0] * 2 // 3
    return frame[:rows].tobytes(), frame[rows:, 0::2].tobytes(), frame[rows:, 1::2].tobytes()


def y4m(frames, tags="F25:1 Ip A1:1 C420jpeg", frame_tag=""):
    """A y4m file's bytes of NV12 arrays."""
    height, width = frames[0].shape[0] * 2 // 3, frames[0].shape[1]
    parts = [f"YUV4MPEG2 W{width} H{height} {tags}".strip().encode() + b"\n"]
    for frame in frames:
        parts += [b"FRAME" + frame_tag.encode() + b"\n", *planes_of(frame)]
    return b"".join(parts)


def av_frame(frame, pix_fmt="yuv420p", color_range=None):
    """A PyAV picture with the samples of an NV12 array, taken as they are, in a planar 4:2:0 format of 8 bits."""
    picture = av.VideoFrame(frame.shape[1], frame.shape[0] * 2 // 3, pix_fmt)
    for plane, data in zip(picture.planes, planes_of(frame)):
        rows = np.frombuffer(data, np.uint8).reshape(plane.height, plane.width)
        padded = np.zeros((plane.height, plane.line_size), np.uint8)
        padded[:, : plane.width] = rows
        plane.update(padded.tobytes())
    if color_range is not None:
        picture.color_range = color_range
    return picture


def container(path, pictures, *, codec="ffv1", rate=Fraction(25), times=None, time_base=None, options=None, **context):
    """Write PyAV pictures to a container. `times` in units of `time_base` replace the even spacing."""
    with av.open(str(path), "w", options=options or {}) as output:
        stream = output.add_stream(codec, rate=rate)
        stream.width, stream.height = pictures[0].width, pictures[0].height
        stream.pix_fmt = pictures[0].format.name
        for name, value in context.items():
            setattr(stream.codec_context, name, value)
        if time_base:
            stream.codec_context.time_base = time_base
        for index, picture in enumerate(pictures):
            picture.pts = index if times is None else times[index]
            picture.time_base = time_base or 1 / rate
            output.mux(stream.encode(picture))
        output.mux(stream.encode())
    return path


def video_facts(path):
    """What PyAV reads of a file: (frames decoded, (width, height), seconds)."""
    with av.open(str(path)) as source:
        stream = source.streams.video[0]
        count = sum(1 for _ in source.decode(stream))
        return count, (stream.width, stream.height), Fraction(source.duration, av.time_base)
