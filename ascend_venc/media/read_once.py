# SPDX-License-Identifier: Apache-2.0
"""Inputs that can be read but once: what shows whether they came to their end."""

from __future__ import annotations

from typing import Any


class Boxes:
    """The outermost boxes of an MP4 or MOV whose bytes come one piece after the other.

    Attributes
    ----------
    fragmented : bool
        There is a fragment among them.
    end : int or None
        Bytes up to the end of the last one that has begun; None: it tells no length, or what comes is none of it.
    """

    def __init__(self) -> None:
        self.fragmented = False
        self.end: int | None = 0
        self._come = 0
        self._head = b""  # of the box that begins at `end`, as far as it has come

    def come(self, data: bytes) -> None:
        begin, self._come = self._come, self._come + len(data)
        while self.end is not None and self.end + len(self._head) < self._come:
            place = self.end + len(self._head) - begin
            long = self._head[:4] == b"\0\0\0\1"
            self._head += bytes(data[place : place + (16 if long else 8) - len(self._head)])
            if len(self._head) < 8 or (len(self._head) < 16 and self._head[:4] == b"\0\0\0\1"):
                continue
            size = int.from_bytes(self._head[8:] or self._head[:4], "big")
            self.fragmented = self.fragmented or self._head[4:8] == b"moof"
            self.end = self.end + size if size >= len(self._head) else None
            self._head = b""

    @property
    def size(self) -> int | None:
        """Bytes that there ought to be."""
        return self.end + 8 if self.end is not None and self._head else self.end


class Tail:
    """A file object that is read once, from its beginning to its end, which keeps its last bytes.

    Attributes
    ----------
    length : int
        Bytes that were read.
    end : bytes
        The last ones of them, up to `count`.
    boxes : Boxes
        Those of an MP4, if it is one.
    ended : bool
        Its end was met.
    """

    def __init__(self, file: Any, count: int) -> None:
        self._file = file
        self._count = count
        self.length = 0
        self.end = b""
        self.boxes = Boxes()
        self.ended = False

    def read(self, size: int = -1) -> Any:
        data = self._file.read(size)
        self.ended = self.ended or (not data and size != 0)
        self.length += len(data)
        self.end = (self.end + data)[-self._count :]
        self.boxes.come(data)
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
