# SPDX-License-Identifier: Apache-2.0
"""What a terminal shows of how far an encode is: a bar by Rich, or a plain line where that is not installed."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERVAL = 0.1  # seconds between two drawings
LINES = 5.0  # seconds between two lines where there is no terminal
LEAST_BAR = 10  # characters
MARGIN = 3  # characters at the right: where a line is full, the terminal's "^C" would begin another
SHOWN_FROM = 0.2  # seconds: what is shorter needs no progress


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


def size(count: float) -> str:
    """Return a number of bytes with its unit."""
    units = iter(("B", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while count >= 1000 and unit != "TB":
        count, unit = count / 1000, next(units)
    return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"


class Progress:
    """Show frames, frames per second, speed, bit rate, size and time left on stderr.

    Parameters
    ----------
    total : int or None
        Frames expected; without it there is no bar and no time left.
    enabled : bool
        Whether a terminal shows it. Where stderr is none, nothing is shown.
    lines : bool
        Write a line every few seconds, on a terminal or not.
    """

    def __init__(
        self, total: int | None, *, enabled: bool = True, lines: bool = False, stream: TextIO | None = None
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._total = total
        self._lines = lines and self._stream is not None
        self._enabled = enabled and not self._lines and is_terminal(self._stream)
        self._begin = time.monotonic()
        self._next = self._begin + (LINES if self._lines else SHOWN_FROM)
        self._rich: Any = None
        self._drawn = False
        self._width = 0  # of the line that is shown

    def update(self, frames: int, seconds: float, count: int) -> None:
        """Show how many frames are encoded, how many seconds of the film, and bytes; at most every INTERVAL."""
        now = time.monotonic()
        if not (self._enabled or self._lines) or not frames or now < self._next:
            return
        self._next = now + (LINES if self._lines else INTERVAL)
        fields = self.fields(frames, seconds, count, now - self._begin)
        if self._lines:
            self._stream.write(f"ascend-venc: {'  '.join(text for _, text in fields)}\n")
            self._stream.flush()
        else:
            self._draw(frames, fields)

    def fields(self, frames: int, seconds: float, count: int, elapsed: float) -> list[tuple[int, str]]:
        """Return what is shown, each with its rank: what has a higher one goes first where the line is narrow."""
        rate = frames / elapsed if elapsed > 0 else 0.0
        found = [
            (4, f"{rate:.1f} fps"),
            (3, f"{seconds / elapsed if elapsed > 0 else 0:.2f}x"),
            (2, bits(count * 8 / seconds if seconds else 0)),
            (1, size(count)),
        ]
        if not self._total:
            return [(6, f"{frames} frames"), *found]
        left = clock((self._total - frames) / rate) if rate and self._total >= frames else "-:--"
        share = min(1.0, frames / self._total)
        return [(6, f"{share:4.0%}"), (0, f"{frames}/{self._total} frames"), *found, (5, f"ETA {left}")]

    def _draw(self, frames: int, fields: Sequence[tuple[int, str]]) -> None:
        if not self._drawn:
            self._rich = _rich_bar(self._stream, self._total)
        self._drawn = True
        if self._rich is None:
            self._replace(fit(fields, shutil.get_terminal_size().columns - MARGIN))
            return
        width = self._rich.console.width - MARGIN
        bar = self._rich.columns[0] if len(self._rich.columns) > 1 else None
        text = fit(fields, width if bar is None else width - LEAST_BAR - 1)
        if bar is not None:
            bar.bar_width = width - len(text) - 1
        with contextlib.suppress(OSError):  # the terminal is gone: the exit code tells the rest
            self._rich.update(self._rich.task_ids[0], completed=frames, text=text, refresh=True)

    def _replace(self, text: str) -> None:
        """Write a line in place of the last one. A dumb terminal erases nothing: spaces do."""
        dumb = os.environ.get("TERM") == "dumb"
        self._stream.write(f"\r{text.ljust(self._width)}\r{text}" if dumb else f"\r{text}\x1b[K")
        self._stream.flush()
        self._width = len(text)

    def clear(self) -> None:
        """Take it away, for what is printed next."""
        if self._rich is not None:
            with contextlib.suppress(OSError):
                self._rich.stop()
        elif self._drawn:
            self._replace("")
        self._rich, self._drawn = None, False


def fit(fields: Sequence[tuple[int, str]], width: int) -> str:
    """Return as many of the fields, in their order, as a line of that width holds; the lowest rank goes first."""
    shown = list(fields)
    while len(shown) > 1 and len("  ".join(text for _, text in shown)) > width:
        shown.remove(min(shown))
    return "  ".join(text for _, text in shown)[: max(0, width)]


def _rich_bar(stream: TextIO, total: int | None) -> Any:
    """Return a started bar of Rich's; None where Rich is not installed. It draws only when it is told to: no thread."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn
    except ImportError:
        return None
    console = Console(file=stream, highlight=False)
    if console.is_dumb_terminal:
        return None
    columns: list[Any] = [TextColumn("{task.fields[text]}", markup=False)]
    if total and console.width >= 60:
        columns.insert(0, BarColumn())
    bar = Progress(
        *columns,
        console=console,
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    bar.add_task("", total=total or None, text="")
    bar.start()
    return bar
