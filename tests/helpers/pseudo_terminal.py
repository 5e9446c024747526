# SPDX-License-Identifier: Apache-2.0
"""A terminal of a test's own: commands run on it, keys are pressed, and what is seen is kept.

Raises OSError where the machine gives no pseudo-terminal.
"""

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading

from . import waiting
from .terminal import Screen

VARIABLES = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TERM", "PYTHONIOENCODING", "ASCEND_VENC_SIM_OPTIONS")


class Terminal:
    """A pseudo-terminal of so many columns. What is written to it is read at once, so that nobody waits for that.

    Attributes
    ----------
    slave : int
        The descriptor that a program writes to.
    text : str
        All that was written.
    """

    def __init__(self, columns):
        self.columns = columns
        self._master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        self._data = b""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        while True:
            try:
                data = os.read(self._master, 65536)
            except OSError:  # the last one that wrote is gone
                return
            if not data:
                return
            self._data += data

    def press(self, key):
        os.write(self._master, key)

    @property
    def text(self):
        return self._data.decode()

    @property
    def screen(self):
        return Screen(self.columns).write(self.text)

    def shows(self, words, seconds=60):
        """Wait until the screen has these words."""
        waiting.eventually(lambda: any(words in line for line in self.screen.lines), seconds)

    def belongs_to(self, pid):
        """Say whether a key like Ctrl-C reaches that process."""
        try:
            return os.tcgetpgrp(self._master) == pid
        except OSError:
            return False

    def let_go(self):
        """Leave it to the program that writes to it: it ends with that."""
        if self.slave is not None:
            os.close(self.slave)
            self.slave = None

    def whole(self):
        """Wait until all is read that was written to it. The programs have ended."""
        self.let_go()
        self._reader.join(60)
        return self

    def close(self):
        self.whole()
        os.close(self._master)


def environment(**variables):
    """This process's, as on a terminal on which nobody has chosen anything, and what is given."""
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return {**kept, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", **variables}


@contextlib.contextmanager
def attached(columns, **variables):
    """Let this process's standard output and error be a terminal. Yields it; it is whole when the block has ended."""
    terminal = Terminal(columns)
    before = dict(os.environ), sys.stdout, sys.stderr, sys.__stdout__
    try:
        with open(terminal.slave, "w", encoding="utf-8", closefd=False) as file:
            os.environ.clear()
            os.environ.update(environment(**variables))
            sys.stdout = sys.stderr = sys.__stdout__ = file
            try:
                yield terminal
            finally:
                sys.stdout, sys.stderr, sys.__stdout__ = before[1:]
                os.environ.clear()
                os.environ.update(before[0])
    finally:
        terminal.close()


@contextlib.contextmanager
def started(command, columns=120, *, stdin=None, **variables):
    """Run a program on a terminal that is its own, so that Ctrl-C reaches it. Yields (process, terminal).

    `stdin`: a descriptor; default: the terminal.
    """
    terminal = Terminal(columns)
    # The first terminal that a session opens, to read and to write, is its own; the shell has a new session.
    path = os.ttyname(terminal.slave)
    opened = f'exec "$0" "$@" 3<>{path} {"<&3" if stdin is None else ""} >&3 2>&3 3>&-'
    try:
        process = subprocess.Popen(
            ["/bin/sh", "-c", opened, *map(str, command)],
            stdin=stdin,
            env=environment(**variables),
            start_new_session=True,
        )
        try:
            waiting.eventually(lambda: terminal.belongs_to(process.pid), 60)
            terminal.let_go()
            yield process, terminal
        finally:
            process.kill()
            process.wait()
    finally:
        terminal.close()
