# SPDX-License-Identifier: Apache-2.0
"""When each picture of a film is shown: counted, given, or when it came."""

from __future__ import annotations

import math
import time
from fractions import Fraction
from typing import Any

from ..arguments import as_seconds, float_of, shown
from ..errors import InvalidArgumentError
from .formats import fine_clock


class PictureTimes:
    """Times in units of one clock, from 0 on and growing.

    Parameters
    ----------
    kind : str
        "fps": one behind the other, at the encoder's rate. "given", "wall-clock".
    time_base : fractions.Fraction
        Seconds per unit. Not used for "fps".
    gaps : bool
        Whether pictures may be left out, which leaves a gap rather than a shorter film.
    fps : fractions.Fraction
        The encoder's rate in the beginning.
    """

    def __init__(self, kind: str, time_base: Fraction, gaps: bool, fps: Fraction = Fraction(25)) -> None:
        self.kind = kind
        self.time_base: Fraction | None = time_base
        if kind == "fps":
            self.time_base = fine_clock(1 / fps) if gaps else None  # the encoder counts
        self._fps = fps
        self._next = Fraction(0)  # seconds, where the last picture ends, at that rate
        self._origin: Fraction | None = None  # seconds
        self._last = -1

    def of(self, index: int, seconds: Any, fps: Fraction | None = None) -> tuple[int | None, Fraction | None]:
        """Return the time of a picture, None where the encoder counts; and the first one's in seconds.

        By "fps" the latter is the picture's own, at the rate that the encoder has by now, as that counts it. Raises
        TypeError or InvalidArgumentError where there is none, or it does not grow.
        """
        if self.kind != "given" and seconds is not None:
            raise InvalidArgumentError(
                f'time is {shown(seconds)}, and times is {self.kind!r}: make the writer with times="given"'
            )
        if self.kind == "fps":
            if fps is not None and fps != self._fps:
                self._fps, self._next = fps, math.ceil(self._next * fps) / fps
            tick = None if self.time_base is None else max(round(self._next / self.time_base), self._last + 1)
            return tick, self._next
        assert self.time_base is not None
        if self.kind == "wall-clock":
            seconds = time.monotonic()
        elif seconds is None:
            raise InvalidArgumentError(f'time of frame {index} is missing: times is "given"')
        moment = as_seconds("time", seconds)
        origin = moment if self._origin is None else self._origin
        tick = round((moment - origin) / self.time_base)
        if tick <= self._last:
            if self.kind == "given":
                raise InvalidArgumentError(
                    f"time of frame {index} is {_told(moment - origin)} s after the first, that of the one before "
                    f"{_told(self._last * self.time_base)} s: times must grow by {shown(self.time_base)} s at least"
                )
            tick = self._last + 1
        return tick, origin

    def shown_at(self, tick: int | None, origin: Fraction | None) -> Fraction:
        """Seconds of a picture from the film's beginning."""
        if tick is not None and self.time_base is not None and self.kind != "fps":
            return tick * self.time_base
        return self._next if origin is None else origin

    def took(self, tick: int | None, origin: Fraction | None) -> None:
        """Go on from there: the picture was taken."""
        if self.kind == "fps":
            self._next += 1 / self._fps
            self._last = self._last if tick is None else tick
        elif tick is not None:
            self._last, self._origin = tick, origin


def _told(seconds: Fraction) -> str:
    return f"{float_of('time', seconds, 'a number of seconds'):g}"  # the difference of two floats may be none
