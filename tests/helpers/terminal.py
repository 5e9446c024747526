# SPDX-License-Identifier: Apache-2.0
"""What is seen on a terminal after a program wrote to it: as much of its language as the command and Rich use."""

import re

_TOKEN = re.compile(r"\x1b\[(\??)([0-9;]*)([A-Za-z])|\x1b(.)|(.)", re.S)


class Screen:
    """Rows of text. Unknown codes are an error, so that nothing is overlooked.

    Attributes
    ----------
    cursor_shown, colored : bool
        Whether the cursor is visible at the end, and whether any colour was used.
    """

    def __init__(self, columns=100):
        self.columns = columns
        self.rows = [""]
        self.row = self.column = 0
        self.cursor_shown = True
        self.colored = False

    def write(self, text):
        for match in _TOKEN.finditer(text):
            private, numbers, code, other, char = match.groups()
            if other is not None:
                raise AssertionError(f"unknown code ESC {other!r}")
            if code is not None:
                self._control(private, numbers, code)
            elif char == "\r":
                self.column = 0
            elif char == "\n":
                self._down()
            elif char >= " ":
                if self.column >= self.columns:
                    self.column = 0
                    self._down()
                line = self.rows[self.row].ljust(self.column)
                self.rows[self.row] = line[: self.column] + char + line[self.column + 1 :]
                self.column += 1
        return self

    def _down(self):
        self.row += 1
        while len(self.rows) <= self.row:
            self.rows.append("")

    def _control(self, private, numbers, code):
        if private:
            assert (numbers, code) in (("25", "l"), ("25", "h"), ("1049", "h"), ("1049", "l")), (numbers, code)
            if numbers == "25":
                self.cursor_shown = code == "h"
            elif code == "h":
                self._main = (self.rows, self.row, self.column)
                self.rows, self.row, self.column = [""], 0, 0
            else:
                self.other = self.lines  # what stood on the other screen last
                self.rows, self.row, self.column = self._main
        elif code == "K":
            keep = "" if numbers == "2" else self.rows[self.row][: self.column]
            self.rows[self.row] = keep
        elif code == "A":
            self.row = max(0, self.row - int(numbers or 1))
        elif code == "m":
            self.colored = self.colored or any(
                30 <= int(n or 0) <= 48 or 90 <= int(n or 0) <= 107 for n in numbers.split(";")
            )
        elif code == "H":
            self.row = self.column = 0
        elif code == "J":
            del self.rows[self.row + 1 :]
            self.rows[self.row] = self.rows[self.row][: self.column]
        else:
            raise AssertionError(f"unknown code ESC [ {numbers} {code}")

    @property
    def lines(self):
        """Rows that have text, as they are seen."""
        return [row.rstrip() for row in self.rows if row.strip()]
