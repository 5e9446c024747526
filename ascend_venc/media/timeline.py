# SPDX-License-Identifier: Apache-2.0
"""Times of frames made continuous, and the frame rate that a file means."""

from __future__ import annotations

import statistics
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ..rates import simple_rate
from .reader import SLACK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

DEFAULT_FPS = Fraction(25)
MAX_FPS = 1000  # a header that says more means its clock, not its pictures
RESTART = Fraction(10)  # seconds; FFmpeg's bound for a jump ahead in formats whose clock may start anew
LONGEST_GAP = Fraction(30 * 3600)  # seconds; FFmpeg's bound in all others


class Pauses:
    """Where pictures pause for long while the sound goes on, by the packets of a file in their order.

    In formats whose clock may start anew a step of more than `RESTART` is a jump of the clock, unless the sound tells
    that it is not.
    """

    def __init__(self) -> None:
        self._sounds: dict[int, tuple[Fraction, Fraction]] = {}  # by stream: since when it goes on, and its last packet
        self._picture: Fraction | None = None
        self._ends: list[Fraction] = []

    def heard(self, stream: int, time: Fraction) -> None:
        """Note a packet of sound, in seconds by the file's clock."""
        since, last = self._sounds.get(stream, (time, time))
        self._sounds[stream] = (since if abs(time - last) <= RESTART else time), time

    def saw(self, time: Fraction) -> bool:
        """Note a packet of the pictures, and say whether it ends a pause. Some come late, behind the sound."""
        before, self._picture = self._picture, time
        if before is None or time - before <= RESTART:
            return False
        if not any(since - RESTART <= before and time <= last + RESTART for since, last in self._sounds.values()):
            return False
        self._ends.append(time)
        return True

    def end_near(self, time: Fraction) -> bool:
        """Say whether a picture that is shown at that time may be the first one after a pause."""
        return any(abs(time - end) <= RESTART for end in self._ends)


class Timeline:
    """Give each frame its place: growing, from 0, with the file's own distances.

    A clock that starts anew, or jumps ahead further than `farthest`, is one event: what follows it keeps its own
    distances, one frame after what came before. A single frame that is behind the one before it, while the next one is
    not, is put halfway, and so is one that is ahead of the next.

    Parameters
    ----------
    farthest : int
        Ticks between two frames beyond which the clock has jumped.
    after_pause : callable, optional
        Says whether a frame at a time, in ticks, comes after a pause of any length.
    live : bool
        Frames come as they are made: one behind a pause does not wait for the next one.

    Attributes
    ----------
    restarts : int
        How often the clock has started anew or jumped.
    jumped : int
        By how many ticks in all it has jumped ahead, which may have been pauses. Not for a single frame.
    """

    def __init__(self, farthest: int, after_pause: Callable[[int], bool] | None = None, live: bool = False) -> None:
        self.farthest = farthest
        self._live = live
        self._after_pause = after_pause
        self._last = 0
        self._offset: int | None = None
        self.restarts = self.jumped = 0
        self._jump = 0  # right before the last frame

    def begin(self, time: int | None) -> None:
        """Place the first frame, at 0. `time` is what the file says, in ticks; None if nothing."""
        self._offset = None if time is None else -time

    def follow(self, time: int | None, step: int, peek: Callable[[], int | None]) -> int:
        """Place the next frame, and return its place in ticks.

        `step` is how long the frame before it is shown; `peek` tells the time of the frame after this one, and is only
        called when it matters.
        """
        place = self._last + step
        jump, self._jump = self._jump, 0
        if time is not None:
            if self._offset is None:
                self._offset = place - time
            ahead = time + self._offset - self._last
            if 0 < ahead <= self.farthest or (ahead > 0 and self._after_pause is not None and self._after_pause(time)):
                place = time + self._offset
                after = None if self._live or ahead <= 2 * step else peek()
                room = 0 if after is None else after + self._offset - self._last
                if 2 <= room < ahead:
                    place = self._last + min(step, room // 2)
            elif ahead > 0:
                self._jump = time + self._offset - place
                self.jumped += self._jump
                self._restart(place - time)
            else:
                after = peek()
                room = 0 if after is None else after + self._offset - self._last
                if 2 <= room <= self.farthest:
                    place = self._last + room // 2
                else:
                    self.jumped -= jump
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
        return min((rate for rate in offered if not _far(rate, measured)), default=simple_rate(measured))
    return offered[0] if offered else DEFAULT_FPS


def agree(*rates: Fraction | None) -> bool:
    """Say whether the rates that are offered are plausible, and the same within a fiftieth."""
    known = [rate for rate in rates if rate is not None]
    return bool(known) and all(map(_plausible, known)) and max(known) - min(known) <= min(known) / 50


def _plausible(rate: Fraction | None) -> bool:
    return rate is not None and 0 < rate <= MAX_FPS


def _far(rate: Fraction, measured: Fraction) -> bool:
    return not measured * Fraction(2, 3) <= rate <= measured * Fraction(3, 2)


def is_in_a_hole(moment: Fraction | None, holes: Iterable[tuple[Fraction, Fraction]]) -> bool:
    """Say whether an edit list shows nothing at that time, where FFmpeg gives pictures of the beginning."""
    return moment is not None and any(begin - SLACK <= moment < end - SLACK for begin, end in holes)


def packet_times(packets: Iterable[Any], by_dts: bool, farthest: Fraction | None) -> list[Fraction] | None:
    """Return when the pictures of a stream's packets are shown, in seconds by its clock, in this order.

    `by_dts`: pictures are shown by the times of decoding, as the packets come. None where the clock starts anew or
    jumps by more than `farthest` seconds, or two pictures are shown at once. `farthest` None: only the number counts.
    """
    times: list[Fraction] = []
    last = None
    for packet in packets:
        if not packet.size or getattr(packet, "is_discard", False):
            continue
        if farthest is None:
            times.append(Fraction(0))
            continue
        ticks = packet.dts if by_dts or packet.pts is None else packet.pts
        if ticks is None:
            return None
        unit = Fraction(packet.time_base.numerator, packet.time_base.denominator)
        if packet.dts is not None:  # the first ones of a stream with B frames may have none
            if last is not None and not 0 <= (packet.dts - last) * unit <= farthest:
                return None
            last = packet.dts
        times.append(ticks * unit)
    if farthest is not None:
        times.sort()
        if any(not 0 < after - before <= farthest for before, after in zip(times, times[1:])):
            return None
    return times
