# SPDX-License-Identifier: Apache-2.0
"""The line on a terminal that shows how far an encode is."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO

INTERVAL = 0.1  # seconds between two drawings
BAR = 20


def is_terminal(stream: TextIO | None) -> bool:
    """Say whether a standard stream is a terminal. It is None in a process that was started with it closed."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed since
        return False


def clock(seconds: float) -> str:
    """Return seconds as "m:ss" or "h:mm:ss"."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def bits(rate: float) -> str:
    """Return a bit rate with its unit."""
    return f"{rate / 1e6:.2f} Mbit/s" if rate >= 1e6 else f"{rate / 1e3:.0f} kbit/s"


class Progress:
    """Draw frames, frames per second, bit rate and time left, over and over on one line of stderr.

    Parameters
    ----------
    total : int or None
        Frames expected; without it there is no bar and no time left.
    enabled : bool
        Draws nothing if false, or if stderr is no terminal.
    """

    def __init__(self, total: int | None, *, enabled: bool = True, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._total = total
        self._enabled = enabled and is_terminal(self._stream)
        self._begin = self._drawn = time.monotonic()

    def update(self, frames: int, bit_rate: float) -> None:
        """Show how many frames are encoded, and the bit rate so far in bit/s; at most every INTERVAL."""
        now = time.monotonic()
        if not self._enabled or now - self._drawn < INTERVAL:
            return
        self._drawn = now
        line = self.line(frames, bit_rate, now - self._begin)
        width = shutil.get_terminal_size().columns
        self._stream.write(f"\r{line[: width - 1]}\x1b[K")
        self._stream.flush()

    def line(self, frames: int, bit_rate: float, elapsed: float) -> str:
        """Return the text that is drawn."""
        speed = frames / elapsed if elapsed > 0 else 0.0
        rates = f"{speed:.1f} fps  {bits(bit_rate)}"
        if not self._total:
            return f"{frames} frames  {rates}"
        share = min(1.0, frames / self._total)
        bar = ("#" * round(share * BAR)).ljust(BAR, "-")
        left = clock((self._total - frames) / speed) if speed and self._total >= frames else "-:--"
        return f"[{bar}] {share:4.0%}  {frames}/{self._total} frames  {rates}  ETA {left}"

    def clear(self) -> None:
        """Take the line away, for what is printed next."""
        if self._enabled:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
