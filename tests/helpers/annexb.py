# SPDX-License-Identifier: Apache-2.0
"""A small Annex B parser of our own, independent of the product's: NAL units, access units, what their headers say.

Syntax: ITU-T H.264 7.3 and H.265 7.3. Only what the tests ask for is read.
"""

import re
from dataclasses import dataclass, field

START_CODE = re.compile(b"\x00\x00\x01")


def nal_units(data):
    """Split a byte stream into NAL units, without start codes and trailing zeros."""
    data = bytes(data)
    starts = [match.end() for match in START_CODE.finditer(data)]
    ends = [start - 3 for start in starts[1:]] + [len(data)]
    return [data[start:end].rstrip(b"\x00") for start, end in zip(starts, ends)]


class Bits:
    """A reader of an RBSP: emulation prevention bytes are taken out first."""

    def __init__(self, nal, skip):
        self.data = re.sub(b"\x00\x00\x03(?=[\x00-\x03]|$)", b"\x00\x00", nal)[skip:]
        self.position = 0

    def u(self, count):
        value = 0
        for _ in range(count):
            byte = self.data[self.position >> 3]
            value = value << 1 | (byte >> (7 - (self.position & 7))) & 1
            self.position += 1
        return value

    def ue(self):
        zeros = 0
        while not self.u(1):
            zeros += 1
        return (1 << zeros) - 1 + self.u(zeros)

    def se(self):
        value = self.ue()
        return (value + 1) // 2 if value & 1 else -(value // 2)


@dataclass
class Sps:
    profile_idc: int
    level_idc: int
    width: int
    height: int
    reorder: int = 0  # H.265: sps_max_num_reorder_pics
    constrained: bool = False  # H.264: constraint_set1_flag, which makes profile 66 Constrained Baseline


@dataclass
class AccessUnit:
    data: bytes = b""
    types: list = field(default_factory=list)  # NAL unit types, in order
    slice_types: list = field(default_factory=list)  # "I", "P", "B"
    sps: Sps = None
    is_idr: bool = False
    has_parameter_sets: bool = False


def h264_sps(nal):
    bits = Bits(nal, 1)
    profile = bits.u(8)
    constraints = bits.u(8)
    level = bits.u(8)
    bits.ue()
    chroma = 1
    if profile in (100, 110, 122, 244, 44, 83, 86, 118, 128):
        chroma = bits.ue()
        if chroma == 3:
            bits.u(1)
        bits.ue(), bits.ue(), bits.u(1)
        if bits.u(1):
            raise ValueError("scaling matrices are not expected")
    bits.ue()
    kind = bits.ue()
    if kind == 0:
        bits.ue()
    elif kind == 1:
        raise ValueError("pic_order_cnt_type 1 is not expected")
    bits.ue(), bits.u(1)
    width = (bits.ue() + 1) * 16
    height = bits.ue() + 1
    frame_only = bits.u(1)
    height = height * 16 * (2 - frame_only)
    if not frame_only:
        bits.u(1)
    bits.u(1)
    if bits.u(1):
        left, right, top, bottom = bits.ue(), bits.ue(), bits.ue(), bits.ue()
        width -= 2 * (left + right)
        height -= 2 * (2 - frame_only) * (top + bottom)
    return Sps(profile, level, width, height, constrained=bool(constraints & 0x40))


def hevc_sps(nal):
    bits = Bits(nal, 2)
    bits.u(4)
    sub_layers = bits.u(3)
    bits.u(1)
    bits.u(3)
    profile = bits.u(5)
    bits.u(32), bits.u(48)
    level = bits.u(8)
    if sub_layers:
        raise ValueError("sub-layers are not expected")
    bits.ue()
    if bits.ue() == 3:
        bits.u(1)
    width, height = bits.ue(), bits.ue()
    if bits.u(1):
        left, right, top, bottom = bits.ue(), bits.ue(), bits.ue(), bits.ue()
        width -= 2 * (left + right)
        height -= 2 * (top + bottom)
    bits.ue(), bits.ue(), bits.ue()
    bits.u(1)
    bits.ue()
    return Sps(profile, level, width, height, reorder=bits.ue())


def parse_h264(nal, unit):
    kind = nal[0] & 0x1F
    unit.types.append(kind)
    if kind == 7:
        unit.sps = h264_sps(nal)
    if kind in (1, 5):
        bits = Bits(nal[:16], 1)
        bits.ue()
        unit.slice_types.append("PBI"[bits.ue() % 5])
        unit.is_idr = kind == 5
        unit.has_parameter_sets = 7 in unit.types and 8 in unit.types


def parse_hevc(nal, unit):
    kind = (nal[0] >> 1) & 0x3F
    unit.types.append(kind)
    if kind == 33:
        unit.sps = hevc_sps(nal)
    if kind < 32:
        bits = Bits(nal[:16], 2)
        bits.u(1)
        if 16 <= kind <= 23:
            bits.u(1)
        bits.ue()
        unit.slice_types.append("BPI"[bits.ue()])
        unit.is_idr = kind in (19, 20)
        unit.has_parameter_sets = {32, 33, 34} <= set(unit.types)


def is_first_slice(nal, codec):
    if codec == "h264":
        return nal[0] & 0x1F in (1, 5) and Bits(nal[:16], 1).ue() == 0
    return (nal[0] >> 1) & 0x3F < 32 and bool(nal[2] & 0x80)


def is_slice(nal, codec):
    return nal[0] & 0x1F in (1, 5) if codec == "h264" else (nal[0] >> 1) & 0x3F < 32


def access_units(data, codec):
    """Group a byte stream into `AccessUnit`s: one starts with the first NAL unit behind a picture's last slice."""
    data = bytes(data)
    parse = parse_h264 if codec == "h264" else parse_hevc
    units, current, complete = [], AccessUnit(), False
    begin = 0
    for match in START_CODE.finditer(data):
        start = match.start()
        if start and data[start - 1] == 0:
            start -= 1  # a four-byte start code
        following = START_CODE.search(data, match.end())
        nal = data[match.end() : following.start() if following else len(data)].rstrip(b"\x00")
        if complete and (not is_slice(nal, codec) or is_first_slice(nal, codec)):
            current.data = data[begin:start]
            units.append(current)
            current, begin, complete = AccessUnit(), start, False
        parse(nal, current)
        complete = complete or is_slice(nal, codec)
    if current.types:
        current.data = data[begin:]
        units.append(current)
    return units
