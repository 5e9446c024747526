# SPDX-License-Identifier: Apache-2.0
"""How `ascend-venc encode` ends: what is finished, and what is kept of a film that ends early."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING, Any

from ..errors import VencError
from .interruption import Terminated, as_if_held, check, shielded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from fractions import Fraction
    from types import TracebackType

    from ..encoder import Encoder
    from .carried_over import CarriedOver

LAST_PATIENCE = 2.0  # seconds in which the device may finish what it has when a signal ends the command
PATIENCE = 0.5  # seconds that a signal waits for the device, where what was encoded is kept


@dataclasses.dataclass
class Tally:
    """What was encoded so far."""

    time_base: Fraction
    fps: Fraction
    frames: int = 0
    packets: int = 0
    key_frames: int = 0
    bytes: int = 0
    end: int = 0  # when the last packet's picture ends, in units of time_base
    sound_is_cut: bool = False  # it, and only it, was not written to its end
    failure: BaseException | None = None  # what ended it early, where the rest is kept
    is_full: bool = False  # the output: nothing more can be written
    quality: dict[str, float | None] = dataclasses.field(default_factory=dict)
    pictures: list[dict[str, Any]] = dataclasses.field(default_factory=list)  # for --report

    @property
    def duration(self) -> float:
        return float(self.end * self.time_base)

    @property
    def bit_rate(self) -> float:
        return self.bytes * 8 / self.duration if self.end else 0.0


def finish(
    writer: Any,
    tally: Tally,
    kept: bool,
    kind: type | None,
    value: BaseException | None,
    traceback: TracebackType | None,
) -> None:
    """Close a writer, and whole: FFmpeg, which is at work in it, would lose a signal."""
    with shielded():
        writer.__exit__(OSError if tally.is_full else kind, value, traceback)
    if not kept:
        check()


def told_of_signals(kind: type | None, value: BaseException | None, traceback: TracebackType | None) -> None:
    """Raise the signal that an output has given up for."""
    if isinstance(value, (OSError, VencError)):
        check()


def end(
    encoder: Encoder, tally: Tally, kind: type | None, value: BaseException | None, traceback: TracebackType | None
) -> None:
    """Close an encoder: after a signal in a moment, whatever its device does, and in place of no signal.

    A device that failed, or does not answer, takes nothing away that is kept.
    """
    if tally.failure is None and not isinstance(value, (KeyboardInterrupt, Terminated)):
        encoder.__exit__(kind, value, traceback)
        return
    with contextlib.suppress(VencError):
        encoder._close(warn=False, timeout=LAST_PATIENCE if tally.failure is None else LAST_PATIENCE - 2 * PATIENCE)


def keep_the_rest(
    encoder: Encoder, tally: Tally, put: Callable[[Iterable[Any]], None], patience: float = PATIENCE
) -> None:
    """Take what is in flight, if the device gives it. Raises what ended the work where nothing was encoded."""
    packets: list[Any] = []
    ends = (VencError, KeyboardInterrupt, Terminated)
    with as_if_held(tally.failure), contextlib.suppress(*ends), shielded(patience):
        packets = encoder.flush()
    with shielded():
        # Where a packet was lost to an exception, those after it cannot be shown.
        put([p for n, p in enumerate(packets, tally.packets) if p.frame_index == n])
    if not tally.packets and tally.failure is not None:
        raise tally.failure


def keep_the_sound(writer: Any, carried: CarriedOver, tally: Tally) -> None:
    """Copy what the sound has beyond the pictures, and finish the file whatever comes in between."""
    try:
        with shielded(0.0):
            writer.end_sound()
    except (VencError, OSError, KeyboardInterrupt, Terminated) as error:
        carried.end_with_the_pictures()
        tally.sound_is_cut = tally.failure is None
        tally.failure = tally.failure or error.with_traceback(None)
    with shielded():
        writer.close()
