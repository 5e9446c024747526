# SPDX-License-Identifier: Apache-2.0
"""Where files end that tell no length and have no index: FLV by its tags, WMV, DV, GIF, IVF, Motion JPEG, MPEG-PS, MXF.

Nothing in a file is trusted: sizes are checked against what is there. What ends between two parts cannot be noticed.
"""

from __future__ import annotations

import contextlib
import io
import mmap
import re
import struct
from typing import TYPE_CHECKING, Any, BinaryIO

from .reader import length_of, opened

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_DV_FRAMES = (120_000, 144_000)  # bytes of 525 and 625 lines; those of faster kinds are multiples
_PS_TAIL = 1 << 20  # bytes of an MPEG-PS's end in which a pack is looked for
_MXF_HEAD = 64 << 10  # bytes of an MXF in which its header begins
_MXF_PARTITION = re.compile(rb"\x06\x0e\x2b\x34\x02\x05\x01.\x0d\x01\x02\x01\x01\x02[\x01-\x04]\x00", re.DOTALL)
_PACK = re.compile(re.escape(b"\0\0\1\xba"))


def size_by_parts(path: str | os.PathLike[str] | BinaryIO, format_name: str) -> int | None:
    """Return the bytes that a file has with its last part whole; None where nothing tells that it is not.

    Raises OSError if the file cannot be read.
    """
    look = _ENDS.get(format_name)
    if look is None:
        return None
    with opened(path) as file, contextlib.ExitStack() as stack:
        if not length_of(file):
            return None
        data: Any = None
        if isinstance(file, io.BytesIO):
            data = file.getvalue()
        else:
            with contextlib.suppress(OSError, AttributeError):  # a file of somebody else's kind
                data = stack.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        if data is None:
            return None
        try:
            return look(data)
        except IndexError:  # it ends where a number would be, and how long the rest was is not told
            return len(data) + 1


def _end_of_dv(data: Any) -> int | None:
    mark = data[:4]
    if len(mark) < 4 or mark[:3] != b"\x1f\x07\0":
        return None
    frame = _DV_FRAMES[mark[3] >> 7]
    last = len(data) // frame * frame
    return last + frame if data[last : last + 4] == mark else None


def _end_of_gif(data: Any) -> int | None:
    place = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    while place < len(data):
        kind = data[place]
        if kind == 0x21:
            place += 2
        elif kind == 0x2C:
            flags = data[place + 9]
            place += 11 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
        else:
            return None  # the end, or something that is none of it
        while size := data[place]:
            place += 1 + size
        place += 1
    return max(place, len(data))


def _end_of_ivf(data: Any) -> int | None:
    place = int(data[6]) | int(data[7]) << 8
    if data[:4] != b"DKIF" or not place:
        return None
    while place < len(data):
        if place + 12 > len(data):
            return place + 12
        size = int.from_bytes(data[place : place + 4], "little")
        if not size:
            return None  # something that is none of it
        place += 12 + size
    return place


def _end_of_mxf(data: Any) -> int | None:
    """Its header tells where the footer begins, which is behind the pictures, unless the writer never came to it."""
    header = _MXF_PARTITION.search(data, 0, min(len(data), _MXF_HEAD))
    if header is None:
        return None
    place: int = header.end()
    place += 1 + (data[place] & 0x7F if data[place] & 0x80 else 0)  # the length
    footer = int.from_bytes(data[place + 24 : place + 32], "big")
    return max(int(header.start()) + footer, len(data)) if footer else None


def _end_of_jpegs(data: Any) -> int | None:
    """Cameras that leave out the end of a picture do so with each."""
    last, end = data.rfind(b"\xff\xd8\xff"), data.rfind(b"\xff\xd9")
    return len(data) + 2 if 0 <= end < last else None


def _end_of_packs(data: Any) -> int | None:
    for pack in _PACK.finditer(data, max(0, len(data) - _PS_TAIL)):
        end = _end_of_pack(data, pack.start())
        if end is not None:
            return end
    return None


def _end_of_pack(data: Any, place: int) -> int | None:
    """Return where the last of the packets ends that follow each other from there; None where they do not."""
    while place + 6 <= len(data):
        code = data[place + 3]
        if data[place : place + 3] != b"\0\0\1" or code < 0xB9:
            return None
        if code == 0xB9:  # the end
            place += 4
        elif code == 0xBA:
            place += 14 + (data[place + 13] & 7) if data[place + 4] & 0xC0 == 0x40 else 12
        elif size := data[place + 4] << 8 | data[place + 5]:
            place += 6 + size
        else:
            return None  # of unknown length
    return max(place, len(data))


_ENDS = {
    "dv": _end_of_dv,
    "gif": _end_of_gif,
    "ivf": _end_of_ivf,
    "mjpeg": _end_of_jpegs,
    "mpeg": _end_of_packs,
    "mxf": _end_of_mxf,
}


# ---- FLV ----


def flv_tags(file: BinaryIO) -> Iterator[tuple[bytes, int, int | None]]:
    """The header, then tags with their length behind them, which the last one may lack."""
    length = length_of(file)
    header = file.read(9)
    if len(header) < 9 or not header.startswith(b"FLV"):
        return
    end = int.from_bytes(header[5:], "big") + 4
    yield b"FLV", 9, end
    file.seek(max(0, length - 4))
    file.seek(max(0, length - 4 - int.from_bytes(file.read(4), "big")))
    last = file.tell()
    tag = file.read(11)
    if last > end and len(tag) == 11 and last + 15 + int.from_bytes(tag[1:4], "big") == length:
        yield b"tags", 0, length - end  # the last one is whole
        return
    while end < length:
        file.seek(end)
        tag = file.read(11)
        if tag and tag[0] & 0x1F not in (8, 9, 18):
            return
        size = 15 + int.from_bytes(tag[1:4], "big") if len(tag) == 11 else 11
        size = length - end if size - 4 <= length - end < size and len(tag) == 11 else size
        yield b"tag", 11, size
        end += size


# ---- ASF (WMV) ----

_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")


def asf_objects(file: BinaryIO) -> Iterator[tuple[bytes, int, int | None]]:
    """The header and the pictures; what follows them is an index at most."""
    for kind in (ASF_HEADER, _ASF_DATA):
        header = file.read(24)
        if len(header) < 24 or header[:16] != kind:
            return
        (size,) = struct.unpack_from("<Q", header, 16)
        if size < 24:  # 0: a broadcast, which tells no size
            return
        yield kind, 24, size
