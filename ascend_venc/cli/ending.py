# SPDX-License-Identifier: Apache-2.0
"""How `ascend-venc encode` ends: what is finished, and what is kept of a film that ends early."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from ..errors import VencError
from .interruption import Terminated, as_if_held, check, shielded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from ..encoder import Encoder
    from .carried_over import CarriedOver

LAST_PATIENCE = 2.0  # seconds in which the device may finish what it has when a signal ends the command
PATIENCE = 0.5  # seconds that a signal waits for the device, where what was encoded is kept


def finish(
    writer: Any, kept: bool, kind: type | None, value: BaseException | None, traceback: TracebackType | None
) -> None:
    """Close a writer, and whole: FFmpeg, which is at work in it, would lose a signal."""
    with shielded():
        writer.__exit__(kind, value, traceback)
    if not kept:
        check()


def told_of_signals(kind: type | None, value: BaseException | None, traceback: TracebackType | None) -> None:
    """Raise the signal that an output has given up for."""
    if isinstance(value, (OSError, VencError)):
        check()


def end(
    encoder: Encoder, tally: Any, kind: type | None, value: BaseException | None, traceback: TracebackType | None
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
    encoder: Encoder, tally: Any, put: Callable[[Iterable[Any]], None], patience: float = PATIENCE
) -> None:
    """Take what is in flight, if the device gives it. Raises what ended the work where nothing was encoded."""
    packets: list[Any] = []
    ends = (VencError, KeyboardInterrupt, Terminated)
    with as_if_held(tally.failure), contextlib.suppress(*ends), shielded(patience):
        packets = encoder.flush()
    with shielded():
        # Where a packet was lost to an exception, those after it cannot be shown.
        put([p for n, p in enumerate(packets, tally.packets) if p.frame_index == n])
    if not tally.packets:
        raise tally.failure


def keep_the_sound(writer: Any, carried: CarriedOver, tally: Any) -> None:
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
