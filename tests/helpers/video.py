# SPDX-License-Identifier: Apache-2.0
"""Frames for tests: synthetic ones, the committed clip, watermarks, PSNR.

A frame is NV12 unless a name says otherwise: uint8, C-contiguous, shape (height * 3 // 2, width), limited range.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

CLIP = Path(__file__).resolve().parent.parent / "data" / "bbb_640x360_25fps_60f.mp4"
CLIP_WIDTH, CLIP_HEIGHT, CLIP_RATE, CLIP_FRAMES = 640, 360, 25, 60

MARK_BLOCK = 16
MARK_COLUMNS, MARK_ROWS = 8, 3
MARK_LOW, MARK_HIGH = 32, 220
MARK_MARGIN = 40
MARK_WIDTH, MARK_HEIGHT = MARK_COLUMNS * MARK_BLOCK, MARK_ROWS * MARK_BLOCK
LOSSLESS_DB = 100.0


class WatermarkError(ValueError):
    """No frame number can be read from a picture."""


# ---- layouts ------------------------------------------------------------------------------------


def frame_size(frame: np.ndarray) -> tuple[int, int]:
    """Width and height of an NV12 (or I420) frame."""
    if frame.ndim != 2 or frame.dtype != np.uint8 or frame.shape[0] % 3 or frame.shape[1] % 2:
        raise ValueError(f"not a 4:2:0 frame: {frame.dtype} {frame.shape}")
    return frame.shape[1], frame.shape[0] * 2 // 3


def planes(frame: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Y, U and V of an NV12 frame as views."""
    width, height = frame_size(frame)
    pairs = frame[height:].reshape(height // 2, width // 2, 2)
    return frame[:height], pairs[..., 0], pairs[..., 1]


def from_planes(y: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """A new NV12 frame."""
    height, width = y.shape
    frame = np.empty((height * 3 // 2, width), np.uint8)
    for target, source in zip(planes(frame), (y, u, v)):
        target[...] = source
    return frame


def nv12_to_i420(frame: np.ndarray) -> np.ndarray:
    """A new I420 frame of the same shape: Y, then all of U, then all of V."""
    width, height = frame_size(frame)
    _, u, v = planes(frame)
    chroma = np.concatenate([u.ravel(), v.ravel()]).reshape(height // 2, width)
    return np.concatenate([frame[:height], chroma])


def i420_to_nv12(frame: np.ndarray) -> np.ndarray:
    """The opposite of `nv12_to_i420`."""
    width, height = frame_size(frame)
    u, v = frame[height:].reshape(2, height // 2, width // 2)
    return from_planes(frame[:height], u, v)


def nv12_to_nv21(frame: np.ndarray) -> np.ndarray:
    """A new frame with U and V exchanged; also the way back."""
    y, u, v = planes(frame)
    return from_planes(y, v, u)


# ---- sources ------------------------------------------------------------------------------------


def synthetic(width: int, height: int, count: int, seed: int = 0, noise: int = 3) -> Iterator[np.ndarray]:
    """Moving gradients and a moving box with `noise` levels of noise; the same arguments give the same frames."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    chroma_rows, chroma_columns = np.mgrid[0 : height // 2, 0 : width // 2]
    texture = rng.integers(-24, 25, (height, width))
    side = max(8, min(width, height) // 4)
    for number in range(count):
        y = 64 + (columns * 96 // width) + (rows * 64 // height) + np.roll(texture, (number, 2 * number), (0, 1)) // 2
        top, left = number * 3 % (height - side + 1), number * 5 % (width - side + 1)
        y[top : top + side, left : left + side] = 200 - y[top : top + side, left : left + side] // 2
        if noise:
            y = y + rng.integers(-noise, noise + 1, y.shape)
        u = 96 + (chroma_columns * 64 // (width // 2)) + number % 16
        v = 160 - (chroma_rows * 64 // (height // 2)) - number % 16
        yield from_planes(np.clip(y, 16, 235), u, v)


def read_clip(path: str | Path = CLIP, limit: int | None = None) -> list[np.ndarray]:
    """Frames of a 4:2:0 file as NV12, by default the committed clip (60 of 640x360)."""
    import av  # noqa: PLC0415 - the tests that only need synthetic frames run without it

    with av.open(str(path)) as container:
        frames = itertools.islice(container.decode(video=0), limit)
        return [i420_to_nv12(frame.to_ndarray(format="yuv420p")) for frame in frames]


def looped(frames: list[np.ndarray], count: int) -> Iterator[np.ndarray]:
    """`count` frames, again from the first after the last."""
    return itertools.islice(itertools.cycle(frames), count)


# ---- watermarks ---------------------------------------------------------------------------------


def _check_bits(number: int) -> int:
    return (number * 167 + (number >> 8) * 59 + 0x5A) & 0xFF


def watermark(frame: np.ndarray, number: int) -> np.ndarray:
    """A copy with `number` (0 to 65535) and a check in black and white blocks at the top left.

    Takes MARK_WIDTH x MARK_HEIGHT pixels of the picture and survives compression to 30 dB and well below.
    """
    if not 0 <= number < 1 << 16:
        raise ValueError(f"a watermark holds 16 bits, not {number}")
    width, height = frame_size(frame)
    if width < MARK_WIDTH or height < MARK_HEIGHT:
        raise ValueError(f"{width}x{height} is too small for a watermark")
    word = number << 8 | _check_bits(number)
    bits = np.array([word >> shift & 1 for shift in range(23, -1, -1)]).reshape(MARK_ROWS, MARK_COLUMNS)
    marked = frame.copy()
    y, u, v = planes(marked)
    y[:MARK_HEIGHT, :MARK_WIDTH] = np.kron(np.where(bits, MARK_HIGH, MARK_LOW), np.ones((MARK_BLOCK, MARK_BLOCK)))
    for chroma in (u, v):
        chroma[: MARK_HEIGHT // 2, : MARK_WIDTH // 2] = 128
    return marked


def read_watermark(frame: np.ndarray) -> int:
    """The number in a frame. Raises `WatermarkError` when a block is grey or the check does not hold."""
    y, _, _ = planes(frame)
    blocks = y[:MARK_HEIGHT, :MARK_WIDTH].astype(float).reshape(MARK_ROWS, MARK_BLOCK, MARK_COLUMNS, MARK_BLOCK)
    inner = slice(MARK_BLOCK // 4, -MARK_BLOCK // 4)
    means = blocks[:, inner, :, inner].mean(axis=(1, 3)).ravel()
    middle = (MARK_LOW + MARK_HIGH) / 2
    if np.abs(means - middle).min() < MARK_MARGIN:
        raise WatermarkError(f"a block of the watermark is grey: {means.round()}")
    word = 0
    for mean in means:
        word = word << 1 | int(mean > middle)
    number = word >> 8
    if word & 0xFF != _check_bits(number):
        raise WatermarkError(f"the watermark reads {number}, but its check does not hold")
    return number


def watermarked(frames: Iterable[np.ndarray], start: int = 0) -> Iterator[np.ndarray]:
    """Number the frames from `start` on."""
    for number, frame in enumerate(frames, start):
        yield watermark(frame, number)


def read_watermarks(frames: Iterable[np.ndarray]) -> list[int]:
    """The frame numbers in order of arrival: a lost, doubled or exchanged frame shows at once."""
    return [read_watermark(frame) for frame in frames]


# ---- quality ------------------------------------------------------------------------------------


def _db(mean_square: float) -> float:
    return LOSSLESS_DB if mean_square == 0 else min(LOSSLESS_DB, 10 * float(np.log10(255.0**2 / mean_square)))


def _mean_square(a: np.ndarray, b: np.ndarray) -> float:
    if a.shape != b.shape:
        raise ValueError(f"shapes differ: {a.shape}, {b.shape}")
    return float(np.mean(np.square(a.astype(np.float32) - b)))


def psnr(frame: np.ndarray, reference: np.ndarray) -> float:
    """PSNR in dB over all samples of both frames; LOSSLESS_DB when they are equal."""
    return _db(_mean_square(frame, reference))


def psnr_planes(frame: np.ndarray, reference: np.ndarray) -> tuple[float, float, float]:
    """PSNR in dB of Y, U and V."""
    y, u, v = (_db(_mean_square(a, b)) for a, b in zip(planes(frame), planes(reference)))
    return y, u, v


def psnr_per_frame(frames: Iterable[np.ndarray], references: Iterable[np.ndarray]) -> list[float]:
    """PSNR of the luma of each frame. Refuses sequences of different lengths."""
    frames, references = list(frames), list(references)
    if len(frames) != len(references):
        raise ValueError(f"{len(frames)} frames against {len(references)}")
    return [psnr_planes(a, b)[0] for a, b in zip(frames, references)]
