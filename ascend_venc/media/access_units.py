# SPDX-License-Identifier: Apache-2.0
"""Bare bitstreams cut into pictures, and what a picture's first slice says: ITU-T H.264 7.3.3, H.265 7.3.6."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from ..errors import InvalidArgumentError, MediaError
from ..sequence_parameters import parse_sequence_parameters

if TYPE_CHECKING:
    from collections.abc import Iterator

READ = 1 << 20  # bytes at a time
MOST = 256 << 20  # bytes without a start code: then it is no bitstream
LOOK = 1 << 20  # bytes of a file's begin that tell the codec
_START = re.compile(b"\0\0\1")
_SLICE_KINDS = {"h264": "PBIPI", "h265": "BPI"}  # by slice_type; SP and SI count as P and I


class SliceHeader(NamedTuple):
    """What the first slice of a picture tells.

    Attributes
    ----------
    first : bool
        It is the first one of its picture.
    kind : str
        "I", "P" or "B"; "" where it cannot be read.
    idr : bool
    random_access : bool
        Decoding can begin here: IDR, and H.265's CRA and BLA.
    """

    first: bool
    kind: str
    idr: bool
    random_access: bool


def unit_type(unit: bytes | memoryview, codec: str) -> int:
    """nal_unit_type; -1 of a unit of an enhancement layer, or of one without a header."""
    if codec == "h264":
        return unit[0] & 31 if len(unit) else -1
    if len(unit) < 2 or unit[0] & 1 or unit[1] >> 3:
        return -1
    return unit[0] >> 1


def is_slice(kind: int, codec: str) -> bool:
    return kind in (1, 2, 5) if codec == "h264" else 0 <= kind < 32


def opens_a_picture(kind: int, codec: str) -> bool:
    """Whether a unit that is no slice belongs to the picture that comes: parameter sets, SEI in front, delimiters."""
    if codec == "h264":
        return 6 <= kind <= 9 or 14 <= kind <= 18
    return 32 <= kind <= 35 or kind == 39 or 41 <= kind <= 44 or 48 <= kind <= 55


def slice_header(unit: bytes | memoryview, codec: str, extra_bits: int = 0) -> SliceHeader:
    """Read the begin of a slice. `extra_bits`: num_extra_slice_header_bits of H.265's picture parameter set."""
    kind = unit_type(unit, codec)
    head = bytes(unit[1:32] if codec == "h264" else unit[2:32])
    bits = _Reader(head)
    letters = _SLICE_KINDS[codec]
    try:
        if codec == "h264":
            first = bits.ue() == 0
            number = bits.ue() % 5
            return SliceHeader(first, letters[number], kind == 5, kind == 5)
        first, number = bits.u(1) == 1, -1
        random_access = 16 <= kind <= 23
        if first:
            bits.u(1 if random_access else 0)
            bits.ue()
            bits.u(extra_bits)
            number = bits.ue()
        return SliceHeader(first, letters[number] if 0 <= number < 3 else "", kind in (19, 20), random_access)
    except IndexError:
        return SliceHeader(False, "", False, False)


def extra_slice_bits(picture_parameters: bytes | memoryview) -> int:
    """Return num_extra_slice_header_bits of a picture parameter set of H.265; 0 of a damaged one."""
    bits = _Reader(bytes(picture_parameters[2:32]))
    try:
        bits.ue()
        bits.ue()
        bits.u(2)
        return bits.u(3)
    except IndexError:
        return 0


class _Reader:
    """Bits of the begin of a NAL unit. IndexError at its end."""

    def __init__(self, data: bytes) -> None:
        data = re.sub(b"\x00\x00\x03(?=[\x00-\x03]|$)", b"\x00\x00", data)
        self.value, self.left = int.from_bytes(data, "big"), 8 * len(data)

    def u(self, count: int) -> int:
        if count > self.left:
            raise IndexError
        self.left -= count
        return self.value >> self.left & (1 << count) - 1

    def ue(self) -> int:
        zeros = 0
        while not self.u(1):
            zeros += 1
        return (1 << zeros) - 1 + self.u(zeros)


def iter_units(file: BinaryIO) -> Iterator[bytes]:
    """NAL units of a bare bitstream, without start codes and trailing zeros.

    Raises MediaError where nothing of the file looks like one.
    """
    rest, begun = b"", False
    while True:
        data = file.read(READ)
        buffer = rest + data
        starts = [match.end() for match in _START.finditer(buffer)]
        if not begun and starts:
            if buffer[: starts[0] - 3].strip(b"\0"):
                raise MediaError("it does not begin with a start code: this is no bare bitstream")
            begun = True
        for start, following in zip(starts, starts[1:]):
            yield buffer[start : following - 3].rstrip(b"\0")
        if not data:
            if starts:
                yield buffer[starts[-1] :].rstrip(b"\0")
            return
        rest = buffer[starts[-1] - 3 :] if starts else buffer
        if len(rest) > MOST or (not begun and len(rest) > LOOK):
            raise MediaError("there is no start code in it: this is no bare bitstream")


def iter_pictures(file: BinaryIO, codec: str) -> Iterator[bytes]:
    """The pictures of a bare bitstream, each with what stands in front of it, in Annex B. Raises as `iter_units`."""
    picture: list[bytes] = []
    has_slice = False
    for unit in iter_units(file):
        if not unit:
            continue
        kind = unit_type(unit, codec)
        slices = is_slice(kind, codec)
        begins = slice_header(unit, codec).first if slices else opens_a_picture(kind, codec)
        if has_slice and begins:
            yield b"".join(picture)
            picture, has_slice = [], False
        picture += [b"\0\0\0\1", unit]
        has_slice = has_slice or slices
    if picture:
        yield b"".join(picture)


def codec_of(begin: bytes) -> str | None:
    """Return "h264" or "h265" by the first sequence parameter set in the begin of a bare bitstream, else None."""
    starts = [match.end() for match in _START.finditer(begin[:LOOK])]
    if not starts or begin[: starts[0] - 3].strip(b"\0"):
        return None
    for start, following in zip(starts, [*starts[1:], len(begin) + 3]):
        unit = begin[start : following - 3]
        if unit and unit[0] & 0x80:  # forbidden_zero_bit: start codes of MPEG-1, MPEG-2 or MPEG-PS
            return None
        for codec, kind in (("h264", 7), ("h265", 33)):
            if len(unit) > 3 and unit_type(unit, codec) == kind:
                try:
                    parse_sequence_parameters(unit, codec)
                except InvalidArgumentError:
                    continue
                return codec
    return None
