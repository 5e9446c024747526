# SPDX-License-Identifier: Apache-2.0
"""What every reader of video files has in common."""

from __future__ import annotations

import abc
import contextlib
import os
import types
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from ..errors import MediaError
from ..single_owner import SingleOwner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

    from ..literals import PixelFormat
# The largest picture that a reader takes, in pixels a side. Any chip's limit is below it.
MAX_SIDE = 16384
# Clocks are coarse, milliseconds in Matroska: a frame is at a moment that is so many seconds later.
SLACK = Fraction(1, 2000)


class _Fields(NamedTuple):
    data: Any
    pts: int
    duration: int


class VideoFrame(_Fields):
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
    source : VideoReader or None
        The reader that gave it, whose `time_base` and colours are its own. Not one of the tuple's three items; copies
        by `pickle` and `copy` have None.
    """

    source: VideoReader | None = None

    def _of(self, source: VideoReader) -> VideoFrame:
        self.source = source
        return self

    def _replace(self, **fields: Any) -> VideoFrame:
        frame = super()._replace(**fields)
        frame.source = self.source
        return frame

    def __getstate__(self) -> None:
        return None


class ColorTags(NamedTuple):
    """How samples are to be understood: code points of ITU-T H.273; 2 means unspecified."""

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2


class VideoReader(SingleOwner, abc.ABC):
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
    path : str or None
        The file that is read; None for what is no regular file, for a playlist without an end, and for file objects.
    live : bool
        Whether it has no length: a pipe, a camera, a network stream, a playlist without an end.
    left_out : tuple of str
        What the file has and the frames have not, e.g. "sound", by its first frame; what comes later is in `notes`.
    metadata : mapping of str
        What the file tells of itself: "title", "artist", "comment" and the like.
    start : fractions.Fraction or None
        Seconds by the file's own clock when the first frame is shown, where it has one.
    stop : fractions.Fraction or None
        Seconds from the film's beginning where reading ends before the film does, because it was asked to.
    damaged : int
        Frames so far that are damaged or missing; more than 0 with `tolerant` only.
    notes : tuple of str
        What was odd about the file so far, a sentence each.
    """

    width: int
    height: int
    pixel_format: PixelFormat = "nv12"
    fps: Fraction
    time_base: Fraction
    frame_count: int | None = None
    sample_aspect_ratio: Fraction | None = None
    color: ColorTags = ColorTags()
    path: str | None = None
    live: bool = False
    left_out: tuple[str, ...] = ()
    metadata: Mapping[str, str] = types.MappingProxyType({})
    start: Fraction | None = None
    stop: Fraction | None = None
    damaged: int = 0

    @property
    def notes(self) -> tuple[str, ...]:
        return ()

    @abc.abstractmethod
    def __iter__(self) -> Iterator[VideoFrame]:
        """Frames in the order in which they are shown. Once only."""

    def frames(self, progress: Callable[[int, int | None], object] | None = None) -> Iterator[VideoFrame]:
        """Iterate, and tell how far it is: `progress(done, frame_count)` after each frame that was used."""
        for done, frame in enumerate(self, 1):
            yield frame
            if progress is not None:
                progress(done, self.frame_count)

    def skip_to(self, seconds: Fraction, steady: bool = False) -> Fraction | None:
        """Go on with the first frame that is shown at that time from the film's beginning, or after it.

        Before iterating. Returns its time; None where the reader cannot, and begins at the beginning. `steady`: it is
        known that the file's clock does not start anew, so nothing has to be read to find that out.
        """
        return None

    def moments(self) -> list[Fraction] | None:
        """Return when each frame is shown, in seconds from the film's beginning, without decoding any.

        Before iterating and skipping. None where only reading tells: for what is no regular file, where the file's
        clock starts anew or jumps, and where an edit list has holes.
        """
        if self.live or self.frame_count is None or self.time_base != 1 / self.fps:
            return None
        return [index / self.fps for index in range(self.frame_count)]

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


@contextlib.contextmanager
def opened(source: str | os.PathLike[str] | BinaryIO) -> Iterator[BinaryIO]:
    """Open a file to look at it from its beginning; a file object that can seek is then where it was."""
    if isinstance(source, (str, os.PathLike)):
        with open(source, "rb") as file:
            yield file
        return
    place = source.tell()
    source.seek(0)
    try:
        yield source
    finally:
        source.seek(place)


def length_of(file: BinaryIO) -> int:
    """Return the bytes of an open file, which stays where it is."""
    place = file.tell()
    length = file.seek(0, os.SEEK_END)
    file.seek(place)
    return length


def suffix_of(path: str | os.PathLike[str]) -> str:
    """Return the suffix of a file's name in lower case, with its dot; "" if it has none."""
    return os.path.splitext(os.fspath(path))[1].lower()


def is_same_file(path: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Say whether two paths are one file that is there."""
    try:
        return os.path.samefile(path, other)
    except OSError:
        return False
