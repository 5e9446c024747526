# SPDX-License-Identifier: Apache-2.0
"""Raw pixels: frame after frame, without a header."""

from __future__ import annotations

import os
from fractions import Fraction
from typing import TYPE_CHECKING

from ..config import parse_fps
from ..errors import InvalidArgumentError, MediaError
from ..pixel_formats import name_of_format
from .planar import to_nv12
from .reader import MAX_SIDE, VideoFrame, VideoReader
from .waiting import is_endless, with_timeout

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_FPS = Fraction(25)


class RawReader(VideoReader):
    """Read a file of NV12, NV21 or I420 frames, 8 bits a sample, limited range.

    Parameters
    ----------
    path : str or path
    width, height : int
        Pixels.
    layout : str
        "nv12", "nv21" or "i420".
    fps : int, float, str or fractions.Fraction, optional
        Frames per second; default 25.
    tolerant : bool
        Leave out a last frame that is cut off, and count it in `damaged`. Default: raise MediaError.
    timeout : float, optional
        Seconds to wait for a pipe or a device that sends nothing; then MediaError. Default: for ever.

    Raises InvalidArgumentError for a size or layout that cannot be, OSError if the file cannot be opened.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        width: int,
        height: int,
        layout: str = "nv12",
        *,
        fps: int | float | str | Fraction | None = None,
        tolerant: bool = False,
        timeout: float | None = None,
    ) -> None:
        if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
            raise InvalidArgumentError(f"size is {width}x{height}; each side must be 1 to {MAX_SIDE} pixels")
        layout = name_of_format(layout)
        if layout not in ("nv12", "nv21", "i420"):
            raise InvalidArgumentError(f'layout is {layout!r}; allowed are "nv12", "nv21", "i420"')
        self.width = width
        self.height = height
        self.pixel_format = "nv21" if layout == "nv21" else "nv12"
        self.fps = DEFAULT_FPS if fps is None else parse_fps(fps)
        self.time_base = 1 / self.fps
        self._planar = layout == "i420"
        self._frame_size = width * height + 2 * ((width + 1) // 2) * ((height + 1) // 2)
        self._opened = open(path, "rb")  # noqa: SIM115 - closed by close()
        self.live = is_endless(self._opened)
        self._file = with_timeout(self._opened, timeout) if self.live else self._opened
        self._tolerant = tolerant
        size = os.fstat(self._opened.fileno()).st_size
        self.frame_count = -(-size // self._frame_size) if size else None

    def __iter__(self) -> Iterator[VideoFrame]:
        self._check_even()
        index = 0
        while True:
            data = self._file.read(self._frame_size)
            if not data:
                return
            if len(data) < self._frame_size:
                if self._tolerant:
                    self.damaged += 1
                    return
                raise MediaError(
                    f"frame {index} is cut off: {len(data)} of {self._frame_size} bytes are there; is the size "
                    f"{self.width}x{self.height} right?"
                )
            picture = to_nv12(data, self.width, self.height) if self._planar else data
            yield VideoFrame(picture, index, 1)
            index += 1

    def close(self) -> None:
        self._opened.close()
