# SPDX-License-Identifier: Apache-2.0
"""Times of frames made continuous, and the frame rate that a file means."""

from __future__ import annotations

import statistics
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DEFAULT_FPS = Fraction(25)
MAX_FPS = 1000  # a header that says more means its clock, not its pictures
RESTART = Fraction(10)  # seconds; FFmpeg's bound for a jump ahead in formats whose clock may start anew
LONGEST_GAP = Fraction(30 * 3600)  # seconds; FFmpeg's bound in all others


class Timeline:
    """Give each frame its place: growing, from 0, with the file's own distances.

    A clock that starts anew, or jumps ahead further than `farthest`, is one event: what follows it keeps its own
    distances, one frame after what came before. A single frame that is behind the one before it, while the next one is
    not, is put halfway.

    Parameters
    ----------
    farthest : int
        Ticks between two frames beyond which the clock has jumped.
    """

    def __init__(self, farthest: int) -> None:
        self._farthest = farthest
        self._last = 0
        self._offset: int | None = None
        self.restarts = 0

    def begin(self, time: int | None) -> None:
        """Place the first frame, at 0. `time` is what the file says, in ticks; None if nothing."""
        self._offset = None if time is None else -time

    def follow(self, time: int | None, step: int, peek: Callable[[], int | None]) -> int:
        """Place the next frame, and return its place in ticks.

        `step` is how long the frame before it is shown; `peek` tells the time of the frame after this one, and is only
        called when it matters.
        """
        place = self._last + step
        if time is not None:
            if self._offset is None:
                self._offset = place - time
            ahead = time + self._offset - self._last
            if 0 < ahead <= self._farthest:
                place = time + self._offset
            elif ahead > 0:
                self._restart(place - time)
            else:
                after = peek()
                room = 0 if after is None else after + self._offset - self._last
                if 2 <= room <= self._farthest:
                    place = self._last + room // 2
                else:
                    self._restart(place - time)
        self._last = place
        return place

    def _restart(self, offset: int) -> None:
        self._offset = offset
        self.restarts += 1


def choose_rate(
    average: Fraction | None, guessed: Fraction | None, told: Fraction | None, steps: Sequence[Fraction], timeless: bool
) -> Fraction:
    """Choose among the frame rates that FFmpeg offers by what the file and its first frames make plausible.

    Parameters
    ----------
    average, guessed, told : Fraction or None
        The container's average, FFmpeg's guess, and the codec's own.
    steps : sequence of Fraction
        Seconds between the first frames, as far as they are known.
    timeless : bool
        A bare bitstream: its average is FFmpeg's default and means nothing.
    """
    if timeless:
        return next((rate for rate in (told, guessed, average) if _plausible(rate)), None) or DEFAULT_FPS
    offered = [rate for rate in (average, guessed, told) if rate is not None and _plausible(rate)]
    measured = 1 / statistics.median(steps) if steps else None
    if measured and max(steps) <= min(steps) * Fraction(5, 4):  # evenly spaced: that is the rate
        near = [rate for rate in offered if abs(rate - measured) <= measured / 50]
        if near:
            return near[0]
    if offered and not (measured and _far(offered[0], measured)):
        return offered[0]
    if measured is not None and _plausible(measured):
        return min((rate for rate in offered if not _far(rate, measured)), default=measured.limit_denominator(1001))
    return offered[0] if offered else DEFAULT_FPS


def agree(*rates: Fraction | None) -> bool:
    """Say whether the rates that are offered are plausible, and the same within a fiftieth."""
    known = [rate for rate in rates if rate is not None]
    return bool(known) and all(map(_plausible, known)) and max(known) - min(known) <= min(known) / 50


def _plausible(rate: Fraction | None) -> bool:
    return rate is not None and 0 < rate <= MAX_FPS


def _far(rate: Fraction, measured: Fraction) -> bool:
    return not measured * Fraction(2, 3) <= rate <= measured * Fraction(3, 2)
