# SPDX-License-Identifier: Apache-2.0
"""The end of an MPEG transport stream: whether it is whole, of which FFmpeg says nothing."""

from __future__ import annotations

import os

TS_PACKET = 188  # bytes
TS_TAIL = 1 << 20  # bytes of a file's end that are looked at
TS_SPACINGS = (188, 192, 204)  # from packet to packet: plain, with a time before each, with a check sum behind each
TS_IN_STEP = 3, 16  # packets at the end that tell the spacing, at least and at most: fewer hold no picture


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


def size_in_packets(path: str | os.PathLike[str]) -> int | None:
    """Return the size of a transport stream with its last packet whole; None if its end is not made of packets.

    FFmpeg leaves out a packet that is not whole without a word, and a small picture is all in one.
    """
    with open(path, "rb") as file:
        length = os.fstat(file.fileno()).st_size
        file.seek(max(0, length - TS_IN_STEP[1] * max(TS_SPACINGS)))
        tail = file.read()
    for spacing in TS_SPACINGS:
        for phase in range(spacing):
            marks = tail[phase::spacing]
            if len(marks) >= TS_IN_STEP[0] and marks.count(0x47) == len(marks):
                last = length - len(tail) + phase + (len(marks) - 1) * spacing
                end = last + (TS_PACKET if spacing == 192 else spacing)  # a time is before its packet
                return end if end >= length else end + spacing
    return None


def _is_stuffed(packet: bytes) -> bool:
    """Say whether a packet with a payload has bytes before it that only fill it up."""
    if not packet[3] & 0x20:
        return False
    length = packet[4]
    if length == 0 or packet[5] & 0x03:  # one byte; private data or extensions, whose length is not looked at
        return True
    return length > 1 + 6 * bool(packet[5] & 0x10) + 6 * bool(packet[5] & 0x08) + bool(packet[5] & 0x04)
