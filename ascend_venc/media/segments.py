# SPDX-License-Identifier: Apache-2.0
"""One film in several files, each of which begins with a key frame at time 0."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Callable

from ..arguments import as_count, as_positive_seconds
from ..errors import InvalidArgumentError
from ..single_owner import SingleOwner

if TYPE_CHECKING:
    from .sound import Sound

_NUMBER = re.compile(r"%(?:0\d)?d")


def name_of_segment(pattern: str, number: int) -> str:
    """Return the name of a file of a film in several, e.g. of "door-%03d.mp4"."""
    return _NUMBER.sub(lambda directive: directive.group() % number, pattern)


def is_segment(pattern: str, name: str) -> bool:
    """Say whether a name is that of one of the files of a film in several."""
    before, _, after = _NUMBER.sub("\0", pattern).partition("\0")
    number = name[len(before) : len(name) - len(after)]
    whole = name.startswith(before) and name.endswith(after) and number.isdecimal()
    return whole and name_of_segment(pattern, int(number)) == name


def check_pattern(pattern: str) -> None:
    if len(_NUMBER.findall(pattern)) != 1:
        raise InvalidArgumentError(
            f'{pattern}: a film in several files needs one number in its name, e.g. "door-%03d.mp4"'
        )


class Split:
    """When the next file begins, at the first key frame after that.

    Parameters
    ----------
    seconds : float or fractions.Fraction, optional
        Of a film's time, counted from its beginning.
    size : int, optional
        Bytes of the bitstream.
    """

    def __init__(self, seconds: Any, size: Any) -> None:
        if seconds is not None:
            seconds = as_positive_seconds("split_seconds", seconds)
        if size is not None:
            size = as_count("split_bytes", size)
        self.seconds: Fraction | None = seconds
        self.size: int | None = size

    def period(self, time: Fraction) -> int:
        """Return which of the periods of `seconds` a time is in."""
        return 0 if self.seconds is None else int(time / self.seconds)


class SegmentWriter(SingleOwner):
    """Writes packets of one film into files, one after the other.

    Parameters
    ----------
    split : Split
    time_base : fractions.Fraction
    open : callable
        Makes file number n, given (n, seconds from the film's beginning).
    ended : callable
        Told of a file that was not finished: (number, whether it is empty).
    sound : Sound, optional
    """

    def __init__(
        self,
        split: Split,
        time_base: Fraction,
        open: Callable[[int, Fraction], Any],
        ended: Callable[[int, bool], None],
        sound: Sound | None,
    ) -> None:
        self._split = split
        self._time_base = time_base
        self._open = open
        self._ended = ended
        self._sound = sound
        self._output: Any = None
        self._count = 0
        self._first = 0  # pts of the file's first packet
        self._packets = 0
        self._bytes = 0

    def write(self, packet: Any, *, pts: int, duration: int) -> None:
        time = pts * self._time_base
        if self._output is None or (packet.is_keyframe and self._is_full(time)):
            self._end(time)
            self._first, self._packets, self._bytes = pts, 0, 0
            self._count += 1
            self._output = self._open(self._count - 1, time)
        self._output.write(packet, pts=pts - self._first, duration=duration)
        self._packets += 1
        self._bytes += packet.size

    def _is_full(self, time: Fraction) -> bool:
        if self._split.size is not None and self._bytes >= self._split.size:
            return True
        return self._split.period(time) > self._split.period(self._first * self._time_base)

    def _end(self, time: Fraction | None) -> None:
        output, self._output = self._output, None
        if output is None:
            return
        try:
            if self._sound is None:
                output.close()
            else:
                output.end(time)
        except BaseException:
            self._ended(self._count - 1, self._packets == 0)
            raise

    def close(self) -> None:
        try:
            self._end(None)
        finally:
            if self._sound is not None:
                self._sound.close()
