# SPDX-License-Identifier: Apache-2.0
"""When each picture of a film is shown: counted, given, or when it came."""

from __future__ import annotations

import time
from fractions import Fraction
from typing import Any

from ..arguments import as_seconds, float_of, shown
from ..errors import InvalidArgumentError


class PictureTimes:
    """Times in units of one clock, from 0 on and growing.

    Parameters
    ----------
    kind : str
        "fps": the encoder counts. "given", "wall-clock".
    time_base : fractions.Fraction
        Seconds per unit. Not used for "fps".
    gaps : bool
        Whether pictures may be left out, which leaves a gap rather than a shorter film.
    """

    def __init__(self, kind: str, time_base: Fraction, gaps: bool) -> None:
        self.kind = kind
        self.time_base = None if kind == "fps" else time_base
        self._gaps = gaps
        self._origin: Fraction | None = None  # seconds
        self._last = -1

    def of(self, index: int, seconds: Any) -> tuple[int | None, Fraction | None]:
        """Return the time of a picture, None where the encoder counts; and the first one's in seconds.

        Raises TypeError or InvalidArgumentError where there is none, or it does not grow.
        """
        if self.kind != "given" and seconds is not None:
            raise InvalidArgumentError(
                f'time is {shown(seconds)}, and times is {self.kind!r}: make the writer with times="given"'
            )
        if self.time_base is None:
            return (index if self._gaps else None), None
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

    def took(self, tick: int | None, origin: Fraction | None) -> None:
        """Go on from there: the picture was taken."""
        if tick is not None:
            self._last, self._origin = tick, origin


def _told(seconds: Fraction) -> str:
    return f"{float_of('time', seconds, 'a number of seconds'):g}"  # the difference of two floats may be none
