# SPDX-License-Identifier: Apache-2.0
"""Lines for whoever reads them: folded and coloured in a terminal, whole and plain in a pipe."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from typing import IO

GREEN, YELLOW, RED, BOLD = "32", "33", "31", "1"
NARROWEST = 20  # columns that lines are folded to


def transient(text: str) -> bool:
    """Show what is being done in the last line of the terminal on standard error, in place of what stood there.

    "" takes it away. False where standard error is no terminal, or a dumb one: then nothing is printed.
    """
    if sys.stderr is None or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        return False
    width = max(NARROWEST, shutil.get_terminal_size().columns) - 1
    print(f"\r\033[K{text[:width]}", end="", file=sys.stderr, flush=True)
    return True


class Screen:
    """Where lines go. A terminal gets them folded, in colours unless $NO_COLOR or TERM=dumb forbid it."""

    def __init__(self, file: IO[str] | None = None) -> None:
        self.file = file if file is not None else sys.stdout
        self.terminal = self.file is not None and self.file.isatty()
        self.colors = self.terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self.width = max(NARROWEST, shutil.get_terminal_size().columns) if self.terminal else 0

    def line(self, text: str, begin: str = "", color: str = "") -> None:
        """Print a line after `begin`, which alone is coloured, and below which the folded rest is indented."""
        head = f"\033[{color}m{begin}\033[0m" if color and self.colors else begin
        if self.width and len(begin) + len(text) > self.width:
            indent = " " * min(len(begin), self.width // 3)
            folded = textwrap.wrap(
                text,
                self.width,
                initial_indent=" " * len(begin),
                subsequent_indent=indent,
                break_on_hyphens=False,
                break_long_words=False,
            )
            text = "\n".join([folded[0][len(begin) :], *folded[1:]]) if folded else ""
        print(f"{head}{text}".rstrip(), file=self.file)

    def table(self, rows: list[tuple[str, ...]], right: tuple[int, ...] = ()) -> None:
        """Print rows in columns; those whose numbers are in `right` are flush right. The last one is not padded."""
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows:
            cells = [
                cell.rjust(width) if column in right else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths))
            ]
            self.line(cells[-1].rstrip(), "".join(f"{cell}  " for cell in cells[:-1]))
