# SPDX-License-Identifier: Apache-2.0
"""Pictures as the libraries of programs have them, and what a film of them shows."""

import numpy as np

COLORS = ((200, 30, 30), (30, 160, 60), (20, 40, 180))


def rgb(width=160, height=144, index=0):
    """A smooth RGB picture whose colours differ in each corner and from one index to the next; (height, width, 3)."""
    y, x = np.mgrid[0:height, 0:width]
    red = 30 + 130 * x // max(width, 128)
    green = 40 + 130 * y // max(height, 128) + 2 * index
    blue = 190 - 130 * x // max(width, 128)
    return np.stack([red, green, blue], -1).astype(np.uint8)


def decoded(file, format=None):
    """Decode a film by PyAV; return (RGB arrays, seconds of each)."""
    import av

    with av.open(file if hasattr(file, "read") else str(file), format=format) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        times = [None if frame.pts is None else float(frame.pts * frame.time_base) for frame in frames]
        return [frame.to_ndarray(format="rgb24") for frame in frames], times


def psnr(first, second):
    error = np.mean((first.astype(float) - second.astype(float)) ** 2)
    return 99.0 if error == 0 else 10 * np.log10(255**2 / error)


class ArrayOnly:
    """What has nothing but `__array__`, as tensors of many libraries do."""

    def __init__(self, array):
        self._array = array
        self.shape = array.shape

    def __array__(self, dtype=None, copy=None):
        return self._array


class DLPackOnly:
    """What has nothing but DLPack, in host memory."""

    def __init__(self, array):
        self._array = array
        self.shape = array.shape

    def __dlpack__(self, **options):
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()
