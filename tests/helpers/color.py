# SPDX-License-Identifier: Apache-2.0
"""What a converter should give, in floating point straight from ITU-R BT.601 and BT.709; pictures; guarded memory."""

from __future__ import annotations

import ctypes
import mmap

import numpy as np

LUMA_WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}  # of red and of blue
ORDER = {"rgb24": (0, 1, 2), "bgr24": (2, 1, 0), "rgba": (0, 1, 2), "bgra": (2, 1, 0)}


def pictures(width, height):
    """Yield (name, rgb) of shape (height, width, 3): gradients, corners of the cube, noise."""
    rows, columns = np.mgrid[0:height, 0:width]
    yield "gradient", np.stack([columns * 255 // (width - 1), rows * 255 // (height - 1), (rows + columns) % 256], -1)
    corners = np.array([[r, g, b] for r in (0, 255) for g in (0, 255) for b in (0, 255)])
    yield "corners", corners[(rows // 4 + columns // 4) % 8]
    yield "noise", np.random.default_rng(width).integers(0, 256, (height, width, 3))


def planes_of_rgb(rgb, matrix, full_range):
    """Return Y of full size, Cb and Cr as the means of 2 x 2 pixels, all as floats."""
    red, blue = LUMA_WEIGHTS[matrix]
    r, g, b = (rgb[..., channel].astype(float) for channel in range(3))
    luma = red * r + (1 - red - blue) * g + blue * b
    cb, cr = (b - luma) / (2 * (1 - blue)), (r - luma) / (2 * (1 - red))
    luma_scale, chroma_scale, floor = (1, 1, 0) if full_range else (219 / 255, 224 / 255, 16)
    half = [mean_2x2(plane) * chroma_scale + 128 for plane in (cb, cr)]
    return luma * luma_scale + floor, *half


def mean_2x2(plane):
    height, width = plane.shape
    return plane.reshape(height // 2, 2, width // 2, 2).mean((1, 3))


def change_range(planes, source, target):
    """Scale (Y, Cb, Cr) from one range to the other."""
    if source == target:
        return [plane.astype(float) for plane in planes]
    y, cb, cr = (plane.astype(float) for plane in planes)
    if target == "limited":
        return [16 + y * 219 / 255, *(128 + (plane - 128) * 224 / 255 for plane in (cb, cr))]
    return [(y - 16) * 255 / 219, *(128 + (plane - 128) * 255 / 224 for plane in (cb, cr))]


def semi_planar(planes, destination="nv12"):
    """Return (Y, Cb, Cr) as an array of shape (height * 3 // 2, width), clipped to 0..255."""
    y, cb, cr = planes
    pair = (cb, cr) if destination == "nv12" else (cr, cb)
    return np.vstack([y, np.stack(pair, -1).reshape(y.shape[0] // 2, y.shape[1])]).clip(0, 255)


class GuardedMemory:
    """Bytes that end at a page that may not be touched: a read or write beyond them ends the process."""

    def __init__(self, size):
        page = mmap.PAGESIZE
        used = -(-size // page) * page
        self._map = mmap.mmap(-1, used + page)
        whole = np.frombuffer(self._map, np.uint8)
        libc = ctypes.CDLL(None, use_errno=True)
        self._guard = ctypes.c_void_p(whole.ctypes.data + used)
        self._protect = lambda access: libc.mprotect(self._guard, ctypes.c_size_t(page), access)
        if self._protect(0) != 0:
            raise OSError(ctypes.get_errno(), "mprotect")
        self.bytes = whole[used - size : used]

    def strided(self, rows, width, stride):
        """Return an array of that shape whose last row ends at the guard."""
        return np.lib.stride_tricks.as_strided(self.bytes, (rows, width), (stride, 1))
