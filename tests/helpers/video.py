# SPDX-License-Identifier: Apache-2.0
"""Frames to encode, and what a decoded frame is compared with."""

import functools
from pathlib import Path

import numpy as np

from helpers import decode

CLIP = Path(__file__).resolve().parents[1] / "data" / "bbb_640x360_25fps_60f.mp4"
WATERMARK_BITS = 12
WATERMARK_CELL = 8


def swap_chroma(frame):
    """NV12 to NV21 and back."""
    swapped = frame.copy()
    rows = frame.shape[0] * 2 // 3
    swapped[rows:, 0::2] = frame[rows:, 1::2]
    swapped[rows:, 1::2] = frame[rows:, 0::2]
    return swapped


def to_nv12(frame, pixel_format):
    return swap_chroma(frame) if pixel_format == "nv21" else frame


def write_watermark(frame, number):
    """Write a number into the top left corner: for each bit a cell of 8 x 8 pixels, black or white, and its inverse."""
    if not 0 <= number < 1 << WATERMARK_BITS:
        raise ValueError(f"a watermark holds {WATERMARK_BITS} bits, not {number}")
    for bit in range(WATERMARK_BITS):
        for row, value in enumerate((number >> bit & 1, 1 - (number >> bit & 1))):
            left = bit * WATERMARK_CELL
            top = row * WATERMARK_CELL
            frame[top : top + WATERMARK_CELL, left : left + WATERMARK_CELL] = 235 if value else 16


def read_watermark(frame):
    """Read the number back. ValueError if a bit and its inverse do not disagree."""
    number = 0
    for bit in range(WATERMARK_BITS):
        left = bit * WATERMARK_CELL
        cells = [
            frame[row * WATERMARK_CELL : (row + 1) * WATERMARK_CELL, left : left + WATERMARK_CELL].mean() > 125
            for row in range(2)
        ]
        if cells[0] == cells[1]:
            raise ValueError(f"bit {bit} of the watermark cannot be read")
        number |= int(cells[0]) << bit
    return number


def synthetic(width, height, count, *, pixel_format="nv12", watermark=False, seed=0):
    """Make `count` frames with gradients, texture and motion; with a watermark each carries its number."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    texture = rng.normal(0, 4, (height, width)).astype(np.float32)
    frames = []
    for index in range(count):
        luma = 110 + 60 * np.sin((x + 4 * index) / 37 + seed) + 40 * np.cos((y - 3 * index) / 29)
        frame = np.empty((height * 3 // 2, width), np.uint8)
        frame[:height] = np.clip(luma + np.roll(texture, 2 * index, axis=1), 16, 235)
        chroma = frame[height:]
        chroma[:, 0::2] = np.clip(128 + 50 * np.sin((x[: height // 2, : width // 2] + index) / 23), 16, 240)
        chroma[:, 1::2] = np.clip(128 + 50 * np.cos((y[: height // 2, : width // 2] - index) / 31), 16, 240)
        if watermark:
            write_watermark(frame, index)
        frames.append(swap_chroma(frame) if pixel_format == "nv21" else frame)
    return frames


@functools.cache
def clip():
    """The committed clip as a list of 60 NV12 frames, 360 rows of 640 pixels of luma."""
    return tuple(frame for _, frame in decode.file_frames(CLIP))


def psnr(reference, frame):
    """Peak signal-to-noise ratio in dB of two NV12 frames, all planes together."""
    if reference.shape != frame.shape:
        raise ValueError(f"shapes differ: {reference.shape}, {frame.shape}")
    error = np.mean((reference.astype(np.float64) - frame.astype(np.float64)) ** 2)
    return float("inf") if error == 0 else 10 * np.log10(255**2 / error)
