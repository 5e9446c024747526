# SPDX-License-Identifier: Apache-2.0
"""Times of sound that is copied, made continuous beside those of the pictures."""

from __future__ import annotations

import collections
from fractions import Fraction
from typing import Any

from .timeline import RESTART, Pauses

_NEAR = Fraction(1)  # seconds between packets of which the second goes on by a clock from before a jump
_SETTLED = Fraction(10)  # seconds after which a jump is one, and not a few stamps that are wrong


class _Jumps:
    """Jumps of one clock, which holds what was before for a while: a stamp that is wrong is no jump."""

    def __init__(self, unit: Any) -> None:
        self._near, self._settled = _NEAR / unit, _SETTLED / unit
        self._former: collections.deque[Any] = collections.deque(maxlen=4)  # offsets
        self._since: Any = None  # where what holds now began

    def jumped(self, offset: Any, last: Any, place: Any) -> None:
        """Note a jump to `place` behind the packet at `last`, up to which `offset` held."""
        if self._since is None or last > self._since:  # else it held for one packet
            self._former.append(offset)
        self._since = place

    def former(self, time: Any, last: Any) -> Any:
        """Return the offset by which a packet goes on as before a jump; None where it does not."""
        if self._former and last - self._since > self._settled:
            self._former.clear()
        for offset in reversed(self._former):
            if 0 < time + offset - last <= self._near:
                while self._former.pop() != offset:
                    pass
                self._since = last
                return offset
        return None


class PictureClock:
    """The clock of a film's pictures by their packets: where it starts anew or jumps, that of the sound does.

    `farthest`: seconds from one picture to the next beyond which it has jumped.
    """

    def __init__(self, stream: Any, start: Fraction, farthest: Fraction = RESTART) -> None:
        self.stream = stream
        self.offset = -start  # seconds
        self._farthest = farthest
        self._pauses = Pauses()
        self._jumps = _Jumps(1)
        self._before: Fraction | None = None  # of the packet before the last
        self.last: Fraction | None = None
        self._end = Fraction(0)

    def heard(self, packet: Any) -> None:
        self._pauses.heard(packet.stream.index, packet.dts * packet.time_base)

    def saw(self, packet: Any) -> None:
        time = packet.dts * packet.time_base
        paused = self._pauses.saw(time)
        if self.last is not None:
            place = time + self.offset
            if self._before is not None and self._before < place < self.last:
                self.last = self._before  # the last stamp was wrong, and not the clock
            former = self._jumps.former(time, self.last)
            if former is not None:
                self.offset = former
            elif not paused and not 0 <= place - self.last <= self._farthest:
                self._jumps.jumped(self.offset, self.last, self._end)
                self.offset = self._end - time
        self._before, self.last = self.last, time + self.offset
        self._end = self.last + max(1, packet.duration or 0) * packet.time_base

    def are_near(self, time: Fraction) -> bool:
        return self.last is not None and abs(time - self.last) <= RESTART


class SoundClock:
    """Times of one stream's packets, counted from `start`.

    A clock that starts anew or jumps goes on as that of the pictures does, or without a step where that does not, or
    is not known.
    """

    def __init__(self, start: Fraction, unit: Any, farthest: Fraction | int, pictures: PictureClock | None) -> None:
        self._offset = -round(start / unit)
        self._unit = unit
        self._farthest = farthest / unit
        self._pictures = pictures
        self._known = None if pictures is None else pictures.offset  # the one that holds for this stream
        # It has jumped, and the pictures have not yet: since this packet's time, while they were there.
        self._lost: tuple[int, Fraction | None] | None = None
        self._jumps = _Jumps(unit)
        # Of the packet before the last, and of the one before the last gap: its place, its end, and how many follow.
        self._gaps: list[tuple[int, int, int]] = []
        self._end = 0
        self.last: int | None = None

    def correct(self, packet: Any, held: collections.deque[tuple[Fraction, int, Any]]) -> None:
        """Put the last packets, of those that are not written yet, where this one shows that they belong.

        Stamps that are wrong may be too late. They are, where the next one is between them and what was before.
        """
        place = int(packet.dts) + self._offset
        if self._lost is not None or self.last is None:
            return
        for before, end, count in self._gaps:
            if count > len(held) or not before + 2 <= place < held[-count][1]:
                continue
            late = held[-count][1] - min(end, before + (place - before) // (count + 1))
            moved = [held.pop() for _ in range(count)]
            held.extend((time - late * self._unit, other - late, each) for time, other, each in reversed(moved))
            self.last, self._end, self._gaps = self.last - late, self._end - late, []
            return

    def place(self, packet: Any) -> int | None:
        """Return where the stream's next packet is; None where the film has no time for it."""
        ticks = int(packet.dts)
        place: int | None = ticks + self._offset
        assert place is not None
        if self.last is not None:
            jumped = self._lost is not None or not 0 < place - self.last <= self._farthest
            if self._pictures is not None:
                place = self._after_a_jump(ticks, self._pictures) if jumped else place
            elif (former := self._jumps.former(ticks, self.last)) is not None:
                place = ticks + former
            elif jumped:
                place = self._end
                self._jumps.jumped(self._offset, self.last, place)
            if place is None:
                return None
            long = place - self._end > self._end - self.last
            since = [(before, end, count + 1) for before, end, count in self._gaps[1:]]
            self._gaps = [(self.last, self._end, 1), *([(self.last, self._end, 1)] if long else since)]
        self._offset = place - ticks
        self.last = place
        self._end = place + max(1, int(packet.duration or 0))
        return place

    def _after_a_jump(self, ticks: int, pictures: PictureClock) -> int | None:
        assert self.last is not None
        place: int = ticks + round(pictures.offset / self._unit)
        jumped = pictures.offset != self._known
        if place > self.last and (jumped or pictures.are_near(place * self._unit)):  # they jumped too; or a long pause
            self._known, self._lost = pictures.offset, None
            return place
        if jumped and self.last - place <= RESTART / self._unit:
            return None  # the recording before this one has sound beyond its last picture
        if self._lost is None:
            self._lost = ticks, pictures.last
        elif not jumped and self._goes_on(ticks, place, pictures):
            return None  # by one clock, but the recording before this one has sound beyond where this one's begins
        return self._end

    def _goes_on(self, ticks: int, place: int, pictures: PictureClock) -> bool:
        """Say whether stamps that are behind the last packet's are right: they go on beside the pictures for long."""
        assert self._lost is not None
        since, seen = self._lost
        long = seen is not None and pictures.last is not None and pictures.last - seen > _NEAR
        return long and ticks - since > _NEAR / self._unit and pictures.are_near(place * self._unit)
