# SPDX-License-Identifier: Apache-2.0
"""The header of an ELF file: for which machine it was built, and which dynamic loader a program asks for."""

from __future__ import annotations

import struct
from typing import NamedTuple

MACHINES = {3: "i386", 8: "mips", 20: "ppc", 21: "ppc64", 22: "s390", 40: "arm", 62: "x86_64", 183: "aarch64"}
MACHINES.update({243: "riscv", 258: "loongarch"})
_PT_INTERP = 3
_MOST = 4096  # bytes of a loader's name, and headers of a file, that are looked at


class ElfHeader(NamedTuple):
    """Of a library or program.

    Attributes
    ----------
    bits : int
        32 or 64.
    machine : str
        Such as "x86_64" or "aarch64".
    loader : str
        Path of the dynamic loader, such as "/lib64/ld-linux-x86-64.so.2"; "" of a library.
    """

    bits: int
    machine: str
    loader: str


def read_elf(path: str) -> ElfHeader | None:
    """Return the header of a file; None if it is no ELF file. Raises OSError if it cannot be read."""
    with open(path, "rb") as file:
        head = file.read(64)
        if len(head) < 52 or head[:4] != b"\x7fELF" or head[4] not in (1, 2) or head[5] not in (1, 2):
            return None
        wide, order = head[4] == 2, "<" if head[5] == 1 else ">"
        (machine,) = struct.unpack_from(order + "H", head, 18)
        found = ElfHeader(64 if wide else 32, MACHINES.get(machine, f"machine {machine}"), "")
        if len(head) < 64:
            return found
        (table,) = struct.unpack_from(order + ("Q" if wide else "I"), head, 32 if wide else 28)
        size, count = struct.unpack_from(order + "HH", head, 54 if wide else 42)
        if not 32 <= size <= 64:
            return found
        file.seek(min(table, 1 << 40))
        headers = file.read(size * min(count, _MOST))
        for begin in range(0, len(headers) - size + 1, size):
            (kind,) = struct.unpack_from(order + "I", headers, begin)
            if kind == _PT_INTERP:
                fields = ("Q", 8, 32) if wide else ("I", 4, 16)
                (offset,) = struct.unpack_from(order + fields[0], headers, begin + fields[1])
                (length,) = struct.unpack_from(order + fields[0], headers, begin + fields[2])
                file.seek(min(offset, 1 << 40))
                name = file.read(min(length, _MOST)).rstrip(b"\0")
                return found._replace(loader=name.decode("utf-8", "replace"))
        return found
