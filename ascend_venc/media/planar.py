# SPDX-License-Identifier: Apache-2.0
"""From planar YUV to NV12: chroma interleaved, 4:2:2 and 4:4:4 averaged down, full range scaled to limited."""

from __future__ import annotations

from typing import Any

# 8-bit full range to limited range (ITU-T H.273, VideoFullRangeFlag): luma 0..255 to 16..235, chroma to 16..240.
LUMA_TO_LIMITED = bytes(round(16 + value * 219 / 255) for value in range(256))
CHROMA_TO_LIMITED = bytes(round(128 + (value - 128) * 224 / 255) for value in range(256))
NEUTRAL_CHROMA = 128


def chroma_size(width: int, height: int, sampling: str) -> tuple[int, int]:
    """Return width and height of a chroma plane; (0, 0) for "mono"."""
    return {
        "420": ((width + 1) // 2, (height + 1) // 2),
        "422": ((width + 1) // 2, height),
        "444": (width, height),
        "mono": (0, 0),
    }[sampling]


def frame_size(width: int, height: int, sampling: str) -> int:
    """Return the bytes of a planar picture with 8 bits a sample."""
    across, down = chroma_size(width, height, sampling)
    return width * height + 2 * across * down


def to_nv12(planes: bytes, width: int, height: int, sampling: str = "420", full_range: bool = False) -> bytearray:
    """Convert a planar picture with 8 bits a sample (Y, then Cb, then Cr) of even size to NV12, limited range."""
    luma = planes[: width * height]
    chroma = planes[width * height :]
    if full_range:
        luma = luma.translate(LUMA_TO_LIMITED)
        chroma = chroma.translate(CHROMA_TO_LIMITED)
    half = len(chroma) // 2
    blue, red = chroma[:half], chroma[half:]
    if sampling in ("422", "444"):
        blue = _average_to_420(blue, width, height, sampling)
        red = _average_to_420(red, width, height, sampling)
    picture = bytearray(width * height * 3 // 2)
    picture[: width * height] = luma
    if sampling == "mono":
        picture[width * height :] = bytes([NEUTRAL_CHROMA]) * (width * height // 2)
    else:
        picture[width * height :: 2] = blue
        picture[width * height + 1 :: 2] = red
    return picture


def _average_to_420(plane: bytes, width: int, height: int, sampling: str) -> bytes:
    import numpy as np

    across, down = chroma_size(width, height, sampling)
    samples: Any = np.frombuffer(plane, np.uint8).reshape(down, across).astype(np.uint16)
    samples = samples[0::2] + samples[1::2]
    count = 2
    if sampling == "444":
        samples = samples[:, 0::2] + samples[:, 1::2]
        count = 4
    averaged: bytes = ((samples + count // 2) // count).astype(np.uint8).tobytes()
    return averaged
