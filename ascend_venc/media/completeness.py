# SPDX-License-Identifier: Apache-2.0
"""Whether a container file is whole.

FFmpeg takes a file that was cut off for one that ends there, and reports nothing. MP4, Matroska and AVI say in their
outermost structure how long they are; only that is read here.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_PARTS = 1_000_000  # outermost parts that are looked at


def declared_size(path: str | os.PathLike[str], format_name: str) -> int | None:
    """Return the bytes that a file ought to have by what it says itself; None if it does not tell.

    `format_name` is FFmpeg's name of the container. Raises OSError if the file cannot be read.
    """
    if format_name.startswith("mov,"):
        parts = _boxes
    elif format_name.startswith("matroska"):
        parts = _ebml_elements
    elif format_name == "avi":
        parts = _riff_chunks
    else:
        return None
    with open(path, "rb") as file:
        length = os.fstat(file.fileno()).st_size
        end = 0
        for _, size in zip(range(MAX_PARTS), parts(file)):
            if size is None:
                return None
            end += size
            if end >= length:
                return end
            file.seek(end)
        return None  # something follows that is not such a part: no statement


def _boxes(file: BinaryIO) -> Iterator[int | None]:
    """Sizes of the boxes of an ISO base media file; None for one that reaches to the end of the file."""
    while True:
        header = file.read(16)
        if len(header) < 8:
            return
        size, kind = struct.unpack_from(">I4s", header)
        if size == 1 and len(header) == 16:
            (size,) = struct.unpack_from(">Q", header, 8)
        elif size == 0:
            yield None
        if size < 8 or not kind.isalnum():
            return
        yield size


def _riff_chunks(file: BinaryIO) -> Iterator[int | None]:
    while True:
        header = file.read(8)
        if len(header) < 8 or not header.startswith(b"RIFF"):
            return
        (size,) = struct.unpack_from("<I", header, 4)
        yield None if size == 0 else 8 + size + size % 2  # 0: the writer never came to its end


def _ebml_elements(file: BinaryIO) -> Iterator[int | None]:
    """Sizes of the outermost elements; None for one of unknown size, as in live recordings."""
    while True:
        _, identifier_width = _ebml_number(file)
        size, size_width = _ebml_number(file)
        if not identifier_width or not size_width:
            return
        yield None if size == (1 << 7 * size_width) - 1 else identifier_width + size_width + size


def _ebml_number(file: BinaryIO) -> tuple[int, int]:
    """Read a number of variable length: (value, bytes it takes); (0, 0) at the end or for what is none."""
    first = file.read(1)
    if not first or not first[0]:
        return 0, 0
    width = 9 - first[0].bit_length()
    rest = file.read(width - 1)
    if len(rest) < width - 1:
        return 0, 0
    return int.from_bytes(first + rest, "big") & ((1 << 7 * width) - 1), width
