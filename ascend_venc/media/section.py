# SPDX-License-Identifier: Apache-2.0
"""A part of a film: from one moment to another."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ..arguments import as_seconds
from ..errors import InvalidArgumentError
from .reader import SLACK, VideoReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .reader import VideoFrame


def parse_moment(name: str, value: Any) -> Fraction | None:
    """Return seconds from a film's beginning as a Fraction, or None."""
    if value is None:
        return None
    moment = as_seconds(name, value)
    if moment < 0:
        raise InvalidArgumentError(f"{name} is {value}; it must be 0 or more, from the film's beginning")
    return moment


class SectionReader(VideoReader):
    """Read a part of what another reader reads; it has that one's attributes, and closes it.

    Parameters
    ----------
    reader : VideoReader
        Not iterated yet.
    start, stop : fractions.Fraction, optional
        Seconds from the film's beginning. Frames that are shown from `start` on, and before `stop`.

    Attributes
    ----------
    length : fractions.Fraction or None
        Seconds from the first frame that was given to `stop`.
    """

    def __init__(self, reader: VideoReader, start: Fraction | None, stop: Fraction | None) -> None:
        if start is not None and stop is not None and stop <= start:
            raise InvalidArgumentError(f"stop is {float(stop):g} s, and start {float(start):g} s: it must be greater")
        self._reader = reader
        self._from = start or Fraction(0)
        self.stop = stop
        self.length: Fraction | None = None
        found = reader.skip_to(self._from) if self._from else Fraction(0)
        self._begin = found or Fraction(0)  # when the reader's next frame is shown
        names = ("width", "height", "pixel_format", "fps", "time_base", "sample_aspect_ratio", "color", "live")
        for name in (*names, "left_out", "metadata", "start", "path"):
            setattr(self, name, getattr(reader, name))
        if found is None:
            self.start = None  # it is only known when the frames before it were read
        self.frame_count = reader.frame_count
        if self.frame_count is not None:
            last = self.frame_count if stop is None else min(self.frame_count, round(stop * self.fps))
            self.frame_count = max(0, last - round(self._from * self.fps))

    @property
    def notes(self) -> tuple[str, ...]:
        return self._reader.notes

    @property
    def damaged(self) -> int:  # type: ignore[override]
        return self._reader.damaged

    def __iter__(self) -> Iterator[VideoFrame]:
        first = None
        for frame in self._reader:
            time = self._begin + frame.pts * self.time_base + SLACK
            if time < self._from:
                continue
            if self.stop is not None and time >= self.stop:
                return
            if first is None:
                first = frame.pts
                if self.stop is not None:
                    self.length = self.stop - self._begin - first * self.time_base
            yield frame._replace(pts=frame.pts - first)._of(self)

    def close(self) -> None:
        self._reader.close()
