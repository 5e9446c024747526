# SPDX-License-Identifier: Apache-2.0
"""What every reader of video files has in common."""

from __future__ import annotations

import abc
import os
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import MediaError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

# The largest picture that a reader takes, in pixels a side. Any chip's limit is below it.
MAX_SIDE = 16384


class VideoFrame(NamedTuple):
    """A picture for `Encoder.encode`, with its place in time.

    Attributes
    ----------
    data : buffer
        uint8, the reader's `pixel_format`: `height` rows of luma, then `height / 2` rows of interleaved chroma. It
        belongs to the caller and is not written to again.
    pts : int
        Presentation time stamp in units of the reader's `time_base`; 0 for the first frame, growing.
    duration : int
        How long the frame is shown, in the same units; 0 where the file does not tell.
    """

    data: Any
    pts: int
    duration: int


class ColorTags(NamedTuple):
    """How samples are to be understood: code points of ITU-T H.273; 2 means unspecified."""

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2


class VideoReader(abc.ABC):
    """A video file, read once from its beginning to its end. Iterate it for its `VideoFrame`s.

    Close it, or use it in a `with` statement. It is used by one thread at a time. Iterating blocks while the file is
    read or decoded, and raises MediaError, with the number of the frame, for a file that ends within a frame or holds
    something that cannot be decoded.

    Attributes
    ----------
    width, height : int
        Pixels, as the picture is shown. They may be odd, which no encoder takes; iterating then raises MediaError.
    pixel_format : str
        "nv12" or "nv21": what the frames' data is.
    fps : fractions.Fraction
        Frames per second; the average where the frames are not evenly spaced.
    time_base : fractions.Fraction
        Seconds per unit of the frames' `pts` and `duration`.
    frame_count : int or None
        Frames to be expected, for a progress display; None if the file does not tell.
    sample_aspect_ratio : fractions.Fraction or None
        Width of a pixel divided by its height; None if the file does not tell.
    color : ColorTags
        How the samples are to be understood.
    live : bool
        Whether it has no length: a pipe, a camera, a network stream.
    left_out : tuple of str
        What the file has and the frames have not, e.g. "sound".
    damaged : int
        Frames so far that are damaged or missing; more than 0 with `tolerant` only.
    notes : tuple of str
        What was odd about the file so far, a sentence each.
    """

    width: int
    height: int
    pixel_format: str = "nv12"
    fps: Fraction
    time_base: Fraction
    frame_count: int | None = None
    sample_aspect_ratio: Fraction | None = None
    color: ColorTags = ColorTags()
    live: bool = False
    left_out: tuple[str, ...] = ()
    damaged: int = 0

    @property
    def notes(self) -> tuple[str, ...]:
        return ()

    @abc.abstractmethod
    def __iter__(self) -> Iterator[VideoFrame]:
        """Frames in the order in which they are shown. Once only."""

    @abc.abstractmethod
    def close(self) -> None:
        """Close the file, unless it was handed in open. Idempotent."""

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def _check_even(self) -> None:
        if self.width % 2 or self.height % 2:
            raise MediaError(f"the picture is {self.width}x{self.height}: width and height must be even")


def suffix_of(path: str | os.PathLike[str]) -> str:
    """Return the suffix of a file's name in lower case, with its dot; "" if it has none."""
    return os.path.splitext(os.fspath(path))[1].lower()
