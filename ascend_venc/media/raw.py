# SPDX-License-Identifier: Apache-2.0
"""Raw pixels: frame after frame, without a header."""

from __future__ import annotations

import math
import os
from fractions import Fraction
from typing import TYPE_CHECKING, BinaryIO

from ..errors import InvalidArgumentError, MediaError
from ..pixel_formats import PIXEL_FORMATS, default_matrix, name_of_format
from ..rates import parse_fps
from .planar import to_nv12
from .reader import MAX_SIDE, SLACK, ColorTags, VideoFrame, VideoReader
from .waiting import is_endless, open_without_waiting, with_timeout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..literals import PixelFormatName
DEFAULT_FPS = Fraction(25)


class RawReader(VideoReader):
    """Read a file of frames without a header, 8 bits a sample.

    NV12, NV21 and I420 are limited range, and come as NV12 or NV21; frames of other formats come as they are, for the
    encoder to convert.

    Parameters
    ----------
    path : str, path or binary file
        A file object need not be seekable, and is not closed by `close`.
    width, height : int
        Pixels.
    layout : str
        A pixel format of `Encoder`, by any of its names: "nv12", "nv21", "i420", "rgb24", "bgr24", ...
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
        path: str | os.PathLike[str] | BinaryIO,
        width: int,
        height: int,
        layout: PixelFormatName = "nv12",
        *,
        fps: int | float | str | Fraction | None = None,
        tolerant: bool = False,
        timeout: float | None = None,
    ) -> None:
        if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
            raise InvalidArgumentError(f"size is {width}x{height}; each side must be 1 to {MAX_SIDE} pixels")
        name = name_of_format(layout)
        if name not in PIXEL_FORMATS:
            names = ", ".join(f'"{name}"' for name in PIXEL_FORMATS)
            raise InvalidArgumentError(f"layout is {name!r}; allowed are {names}")
        info = PIXEL_FORMATS[name]
        self.width = width
        self.height = height
        self.pixel_format = "nv12" if name == "i420" else info.name
        if info.color != "yuv":  # what the encoder converts to
            self.color = ColorTags(1, 1, 1 if default_matrix(width, height) == "bt709" else 6)
        self.fps = DEFAULT_FPS if fps is None else parse_fps(fps)
        self.time_base = 1 / self.fps
        self._planar = name == "i420"
        self._frame_size = width * height * info.bytes_per_pixel
        if info.chroma_planes:
            self._frame_size = width * height + 2 * ((width + 1) // 2) * ((height + 1) // 2)
        self._owned = isinstance(path, (str, os.PathLike))
        self._opened: BinaryIO = open_without_waiting(path) if isinstance(path, (str, os.PathLike)) else path
        self.live = is_endless(self._opened)
        self._file = with_timeout(self._opened, timeout) if self.live else self._opened
        self._tolerant = tolerant
        self.path = os.fspath(path) if isinstance(path, (str, os.PathLike)) and not self.live else None
        size = os.fstat(self._opened.fileno()).st_size if self._owned else 0
        self.frame_count = -(-size // self._frame_size) if size else None

    def skip_to(self, seconds: Fraction, steady: bool = False) -> Fraction | None:
        if self.path is None:
            return None
        count = math.ceil((seconds - SLACK) * self.fps)
        self._file.seek(count * self._frame_size)
        return count / self.fps

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
            yield VideoFrame(picture, index, 1)._of(self)
            index += 1

    def close(self) -> None:
        if self._owned:
            self._opened.close()
