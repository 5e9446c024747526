# SPDX-License-Identifier: Apache-2.0
"""Strict decoding with PyAV: an independent judge of what the encoder made.

A frame is NV12: uint8, shape (height * 3 // 2, width). The decoder stops at the first damaged bit it notices, which
for H.265 is not every one: compare PSNR and watermarks too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from helpers.annexb import iter_nals
from helpers.video import i420_to_nv12

STRICT = {"err_detect": "crccheck+bitstream+buffer+explode"}
DECODERS = {"h264": "h264", "h265": "hevc"}


def to_nv12(frame: av.VideoFrame) -> np.ndarray:
    """Copy a decoded 4:2:0 frame, without a conversion of colours."""
    if frame.format.name not in ("yuv420p", "yuvj420p"):
        raise ValueError(f"the decoder gave {frame.format.name}, not 4:2:0 with 8 bits")
    return i420_to_nv12(frame.to_ndarray())


def _decoder(codec: str) -> av.VideoCodecContext:
    context = av.CodecContext.create(DECODERS[codec], "r")
    context.thread_count = 1
    context.options = STRICT
    return context


def decode(stream: bytes, codec: str) -> list[np.ndarray]:
    """Decode an Annex B stream ("h264" or "h265"). Damage raises `av.error.FFmpegError`."""
    context = _decoder(codec)
    packets = [*context.parse(stream), *context.parse(b"")]
    frames = [frame for packet in packets for frame in context.decode(packet)]
    return [to_nv12(frame) for frame in [*frames, *context.decode(None)]]


def decode_units(units: Iterable[bytes], codec: str) -> list[np.ndarray]:
    """Decode access units given one by one; each must be exactly one picture."""
    context = _decoder(codec)
    units = list(units)
    for number, unit in enumerate(units):  # decoders tolerate both, each in its own way
        pictures = sum(nal.starts_picture for nal in iter_nals(unit, codec))
        if pictures != 1:
            raise ValueError(f"access unit {number} has {pictures} pictures")
    frames = [frame for unit in units for frame in context.decode(av.Packet(unit))]
    frames += context.decode(None)
    if len(frames) != len(units):
        raise ValueError(f"{len(units)} access units decode to {len(frames)} pictures")
    return [to_nv12(frame) for frame in frames]


@dataclass(frozen=True)
class DecodedFile:
    """What a player sees: `rate` in frames per second, `duration` in seconds (None when the container has none)."""

    frames: list[np.ndarray]
    codec: str
    width: int
    height: int
    rate: Fraction | None
    duration: float | None
    timestamps: list[float | None]


def decode_file(path: str | Path) -> DecodedFile:
    """Decode the first video stream of a file, strictly."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.options = STRICT
        stream.codec_context.thread_count = 1
        decoded = list(container.decode(stream))
        name = {"hevc": "h265"}.get(stream.codec_context.name, stream.codec_context.name)
        duration = None if stream.duration is None else float(stream.duration * stream.time_base)
        return DecodedFile(
            [to_nv12(frame) for frame in decoded],
            name,
            stream.codec_context.width,
            stream.codec_context.height,
            stream.average_rate,
            duration,
            [frame.time for frame in decoded],
        )
