# SPDX-License-Identifier: Apache-2.0
"""What an MPEG transport stream tells that PyAV does not: whether its end is whole, and its programs."""

from __future__ import annotations

import collections
import os
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from .reader import length_of, opened

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

TS_PACKET = 188  # bytes
TS_TAIL = 1 << 20  # bytes of a file's end that are looked at
TS_HEAD = 8 << 20  # bytes of a file's beginning in which tables are looked for: a second of the fastest broadcasts
LONGEST_UNITS = 8 << 20  # bytes of a few pictures, at most
TS_REST = 64 << 20  # bytes behind the last picture that are looked at
TS_SOME = 3  # units that are a film
TS_PICTURES = [bytes([number]) for number in range(0xE0, 0xF0)]  # identifiers of units of video
TS_SPACINGS = (188, 192, 204)  # from packet to packet: plain, with a time before each, with a check sum behind each
TS_IN_STEP = 3, 16  # packets at the end that tell the spacing, at least and at most: fewer hold no picture
TS_END = TS_IN_STEP[1] * max(TS_SPACINGS)


def ends_within_a_unit(path: str | os.PathLike[str], pid: int) -> bool:
    """Say whether a transport stream seems to end within a unit of a stream, by the packets of its PID at the end.

    A unit of video seldom tells its length (where it does, FFmpeg looks at it), but each begins with a packet of its
    own, so the last packet of one that is whole is filled up, unless it fits by chance, 1 of 184 times. A file that
    ends between two units cannot be told from one that was meant to end there.

    Raises OSError if the file cannot be read.
    """
    with open(path, "rb") as file:
        length = os.fstat(file.fileno()).st_size
        file.seek(max(0, length - TS_TAIL) // TS_PACKET * TS_PACKET)
        tail = file.read()
    unit = b""  # its beginning
    full = False
    for position in range(0, len(tail) - TS_PACKET + 1, TS_PACKET):
        packet = tail[position : position + TS_PACKET]
        if packet[0] != 0x47:
            return False  # of another packet size, or out of step
        if (packet[1] & 0x1F) << 8 | packet[2] != pid or not packet[3] & 0x10:
            continue
        begin = 5 + packet[4] if packet[3] & 0x20 else 4
        if packet[1] & 0x40:
            unit = packet[begin:]
        full = not _is_stuffed(packet)
    return full and (not unit or (unit[:3] == b"\0\0\1" and unit[4:6] == b"\0\0"))


class Place(NamedTuple):
    """A byte of a file of MPEG-TS; None for its end."""

    path: str
    byte: int | None


def counts_anew(begin: Place, end: Place, behind: Place) -> bool:
    """Say whether nothing is missing between two places, of the PID at the first one, though its counter breaks there.

    It is all there where the counters go on, and the last packet leaves room that is filled up, as the end of a unit
    does. `behind` is where the counter then breaks: the same as `end`, or in the next file. Raises OSError if a file
    cannot be read.
    """
    with open(begin.path, "rb") as file:
        file.seek(begin.byte or 0)
        data = file.read(LONGEST_UNITS if end.byte is None else min(end.byte - (begin.byte or 0), LONGEST_UNITS))
        if end.byte is None and file.read(1):
            return False
    with open(behind.path, "rb") as file:
        file.seek(behind.byte or 0)
        following = file.read(4)
    pid, count, filled = data[1:3], None, False
    for position in range(0, len(data) - TS_PACKET + 1, TS_PACKET):
        packet = data[position : position + TS_PACKET]
        if packet[0] != 0x47:
            return False
        if _is_of(packet, pid) and packet[3] & 0x10:
            if count is not None and packet[3] & 0x0F != (count + 1) & 0x0F:
                return False
            count, filled = packet[3] & 0x0F, _is_stuffed(packet)
    if count is None or not filled or len(following) < 4 or following[0] != 0x47 or not _is_of(following, pid):
        return False
    return following[3] & 0x0F != (count + 1) & 0x0F


def _is_of(packet: bytes, pid: bytes) -> bool:
    return packet[2] == pid[1] and (packet[1] ^ pid[0]) & 0x1F == 0


def goes_on_elsewhere(path: str | os.PathLike[str], pid: int, end: int) -> bool:
    """Say whether pictures begin behind the last ones of a PID, under one that was not there beside it.

    So it is where recordings were put together that have other PIDs. `end`: a byte behind the beginning of that PID's
    last unit. Raises OSError if the file cannot be read.
    """
    with open(path, "rb") as file:
        head = file.read(4 * max(TS_SPACINGS))
        spacing = (
            next((n for n in TS_SPACINGS if all(head[n * k + 4 * (n == 192)] == 0x47 for k in range(3))), None)
            if len(head) == 4 * max(TS_SPACINGS)
            else None
        )
        if spacing is None:
            return False
        place = max(0, end - TS_TAIL) // spacing * spacing
        file.seek(place)
        place += 4 * (spacing == 192)
        beside = {pid}
        units: collections.Counter[int] = collections.Counter()
        while place < end + TS_REST and (packet := file.read(spacing)):
            packet = packet[4:] if spacing == 192 else packet
            if len(packet) >= TS_PACKET and packet[0] == 0x47 and packet[1] & 0x40 and packet[3] & 0x10:
                begin = 5 + packet[4] if packet[3] & 0x20 else 4
                if packet[begin : begin + 3] == b"\0\0\1" and packet[begin + 3 : begin + 4] in TS_PICTURES:
                    found = (packet[1] & 0x1F) << 8 | packet[2]
                    if place < end:
                        beside.add(found)
                    elif found not in beside:
                        units[found] += 1
                        if units[found] >= TS_SOME:
                            return True
            place += spacing
    return False


def size_in_packets(path: str | os.PathLike[str] | BinaryIO) -> int | None:
    """Return the size of a transport stream with its last packet whole; None if its end is not made of packets.

    FFmpeg leaves out a packet that is not whole without a word, and a small picture is all in one.
    """
    with opened(path) as file:
        length = length_of(file)
        file.seek(max(0, length - TS_END))
        tail = file.read()
    return size_by_its_end(tail, length)


def size_by_its_end(tail: bytes, length: int) -> int | None:
    """Return the same of a stream of so many bytes, by its last `TS_END` ones."""
    for spacing in TS_SPACINGS:
        for phase in range(spacing):
            marks = tail[phase::spacing]
            if len(marks) >= TS_IN_STEP[0] and marks.count(0x47) == len(marks):
                last = length - len(tail) + phase + (len(marks) - 1) * spacing
                end = last + (TS_PACKET if spacing == 192 else spacing)  # a time is before its packet
                return end if end >= length else end + spacing
    return None


def pids_of_other_programs(path: str | os.PathLike[str], pid: int) -> set[int]:
    """Return the PIDs of streams that are in programs without that one, by the first tables of a file.

    Nothing where no program is known to have it. Raises OSError if the file cannot be read.
    """
    with open(path, "rb") as file:
        data = file.read(TS_HEAD)
    tables: set[int] = set()  # PIDs of the programs' tables
    programs: dict[int, set[int]] = {}
    for table, section in _sections(data, tables):
        if table == 0 and section[0] == 0:
            for at in range(8, len(section) - 7, 4):
                number, place = (int.from_bytes(section[at + n : at + n + 2], "big") for n in (0, 2))
                if number:
                    tables.add(place & 0x1FFF)
        elif table in tables and section[0] == 2:
            at = 12 + (int.from_bytes(section[10:12], "big") & 0xFFF)
            streams = programs.setdefault(int.from_bytes(section[3:5], "big"), set())
            while at + 5 <= len(section) - 4:
                streams.add(int.from_bytes(section[at + 1 : at + 3], "big") & 0x1FFF)
                at += 5 + (int.from_bytes(section[at + 3 : at + 5], "big") & 0xFFF)
        if tables and len(programs) >= len(tables):
            break
    own = [streams for streams in programs.values() if pid in streams]
    return set().union(*programs.values()) - set().union(*own) if own else set()


def _sections(data: bytes, tables: Container[int]) -> Iterator[tuple[int, bytes]]:
    """Yield (PID, section) of the tables of a stream's beginning: the list of programs, and those of `tables`."""
    begun: dict[int, bytes] = {}
    for packet in _packets(data):
        pid = (packet[1] & 0x1F) << 8 | packet[2]
        if (pid and pid not in tables) or not packet[3] & 0x10:
            continue
        payload = packet[5 + packet[4] if packet[3] & 0x20 else 4 :]
        if packet[1] & 0x40 and payload:
            begun[pid] = payload[1 + payload[0] :]
        elif pid in begun:
            begun[pid] += payload
        section = begun.get(pid, b"")
        size = 3 + (int.from_bytes(section[1:3], "big") & 0xFFF)
        if len(section) >= size > 12:
            yield pid, begun.pop(pid)[:size]


def _packets(data: bytes) -> Iterator[bytes]:
    head = data[: TS_IN_STEP[1] * max(TS_SPACINGS)]
    for spacing in TS_SPACINGS:
        for phase in range(spacing):
            marks = head[phase::spacing]
            if len(marks) >= TS_IN_STEP[0] and marks.count(0x47) == len(marks):
                for begin in range(phase, len(data) - TS_PACKET + 1, spacing):
                    if data[begin] == 0x47:
                        yield data[begin : begin + TS_PACKET]
                return


def _is_stuffed(packet: bytes) -> bool:
    """Say whether a packet with a payload has bytes before it that only fill it up."""
    if not packet[3] & 0x20:
        return False
    length = packet[4]
    if length == 0 or packet[5] & 0x03:  # one byte; private data or extensions, whose length is not looked at
        return True
    return length > 1 + 6 * bool(packet[5] & 0x10) + 6 * bool(packet[5] & 0x08) + bool(packet[5] & 0x04)
