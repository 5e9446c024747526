# SPDX-License-Identifier: Apache-2.0
"""A small parser of Annex B streams: NAL units, access units, sizes and profiles, slice types.

It reads what the tests assert on and nothing more; `codec` is "h264" or "h265" everywhere. Malformed input raises
`BitstreamError`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

START_CODE = re.compile(rb"\x00\x00\x01")

H264_NAMES = {1: "SLICE", 5: "IDR", 6: "SEI", 7: "SPS", 8: "PPS", 9: "AUD", 12: "FILLER"}
H265_NAMES = {
    1: "SLICE",
    19: "IDR",
    20: "IDR",
    32: "VPS",
    33: "SPS",
    34: "PPS",
    35: "AUD",
    38: "FILLER",
    39: "SEI",
    40: "SEI",
}
PARAMETER_SETS = {"h264": ["SPS", "PPS"], "h265": ["VPS", "SPS", "PPS"]}


class BitstreamError(ValueError):
    """The bytes are not what Annex B, H.264 or H.265 allow (or more than this parser knows)."""


@dataclass(frozen=True)
class Nal:
    """One NAL unit; `data` starts with its header, `start_code` is the length of its start code (3 or 4)."""

    codec: str
    data: bytes
    start_code: int

    @property
    def type(self) -> int:
        return self.data[0] & 31 if self.codec == "h264" else self.data[0] >> 1 & 63

    @property
    def name(self) -> str:
        """SPS, PPS, VPS, SEI, AUD, FILLER, IDR, SLICE, or the number of a type without a name here."""
        names = H264_NAMES if self.codec == "h264" else H265_NAMES
        return names.get(self.type, str(self.type))

    @property
    def is_slice(self) -> bool:
        return 1 <= self.type <= 5 if self.codec == "h264" else self.type <= 31

    @property
    def is_idr(self) -> bool:
        return self.name == "IDR"

    @property
    def starts_picture(self) -> bool:
        """True for the first slice of a picture."""
        first_bit_after_header = 1 if self.codec == "h264" else 2
        return self.is_slice and bool(self.data[first_bit_after_header] & 0x80)


class BitReader:
    """Bits of a NAL unit's payload, most significant first, without the emulation prevention bytes."""

    def __init__(self, nal: Nal):
        header = 1 if nal.codec == "h264" else 2
        self._data = nal.data[header:].replace(b"\x00\x00\x03", b"\x00\x00")
        self._at = 0

    def u(self, bits: int) -> int:
        if self._at + bits > 8 * len(self._data):
            raise BitstreamError("a NAL unit ends in the middle of a field")
        value = 0
        for _ in range(bits):
            value = value << 1 | self._data[self._at >> 3] >> (7 - (self._at & 7)) & 1
            self._at += 1
        return value

    def ue(self) -> int:
        zeros = 0
        while self.u(1) == 0:
            zeros += 1
            if zeros > 32:
                raise BitstreamError("an Exp-Golomb code has more than 32 leading zeros")
        return (1 << zeros) - 1 + self.u(zeros)

    def se(self) -> int:
        code = self.ue()
        return (code + 1) // 2 if code & 1 else -(code // 2)


@dataclass(frozen=True)
class Sps:
    """What the tests ask of a sequence parameter set. `level` is the number people say: 3.1, 4.0."""

    profile_idc: int
    level: float
    width: int
    height: int
    constrained: bool = False  # H.264: constraint_set1_flag, which makes profile 66 Constrained Baseline
    ctb_size: int = 0  # H.265 only


def iter_nals(data: bytes, codec: str) -> Iterator[Nal]:
    """Split a stream at its start codes. Bytes before the first one are refused."""
    starts = [m.start() for m in START_CODE.finditer(data)]
    if not starts or data[: starts[0]].strip(b"\x00"):
        raise BitstreamError("the stream does not begin with a start code")
    for at, end in zip(starts, [*starts[1:], len(data)]):
        payload = data[at + 3 : end].rstrip(b"\x00")  # trailing zeros belong to the next start code
        if len(payload) < (1 if codec == "h264" else 2):
            raise BitstreamError("an empty NAL unit")
        if payload[0] & 0x80:
            raise BitstreamError("forbidden_zero_bit is set")
        yield Nal(codec, payload, 4 if at > 0 and data[at - 1] == 0 else 3)


def _h264_sps(nal: Nal) -> Sps:
    bits = BitReader(nal)
    profile, constraints, level = bits.u(8), bits.u(8), bits.u(8)
    bits.ue()
    chroma = 1
    if profile in (100, 110, 122, 244, 44, 83, 86, 118, 128):
        chroma = bits.ue()
        if chroma == 3:
            bits.u(1)
        bits.ue()
        bits.ue()
        bits.u(1)
        if bits.u(1):
            raise BitstreamError("scaling matrices are beyond this parser")
    bits.ue()
    poc_type = bits.ue()
    if poc_type == 0:
        bits.ue()
    elif poc_type == 1:
        bits.u(1)
        bits.se()
        bits.se()
        for _ in range(bits.ue()):
            bits.se()
    bits.ue()
    bits.u(1)
    width, map_units = 16 * (bits.ue() + 1), bits.ue() + 1
    frames_only = bits.u(1)
    height = 16 * map_units * (2 - frames_only)
    if not frames_only:
        bits.u(1)
    bits.u(1)
    if bits.u(1):
        step_x = 2 if chroma in (1, 2) else 1
        step_y = (2 if chroma == 1 else 1) * (2 - frames_only)
        width -= step_x * (bits.ue() + bits.ue())
        height -= step_y * (bits.ue() + bits.ue())
    return Sps(profile, level / 10, width, height, bool(constraints & 0x40))


def _h265_sps(nal: Nal) -> Sps:
    bits = BitReader(nal)
    bits.u(4)
    sub_layers = bits.u(3)
    bits.u(1)
    bits.u(3)  # profile space and tier
    profile = bits.u(5)
    bits.u(32 + 48)
    level = bits.u(8)
    present = [(bits.u(1), bits.u(1)) for _ in range(sub_layers)]
    if sub_layers:
        bits.u(2 * (8 - sub_layers))
    for has_profile, has_level in present:
        bits.u(88 * has_profile + 8 * has_level)
    bits.ue()
    chroma = bits.ue()
    if chroma == 3:
        bits.u(1)
    width, height = bits.ue(), bits.ue()
    if bits.u(1):
        width -= (2 if chroma in (1, 2) else 1) * (bits.ue() + bits.ue())
        height -= (2 if chroma == 1 else 1) * (bits.ue() + bits.ue())
    bits.ue()
    bits.ue()
    bits.ue()
    for _ in range(1 if not bits.u(1) else sub_layers + 1):
        bits.ue()
        bits.ue()
        bits.ue()
    log2_ctb = bits.ue() + 3 + bits.ue()
    return Sps(profile, level / 30, width, height, ctb_size=1 << log2_ctb)


def parse_sps(nal: Nal) -> Sps:
    """Read a sequence parameter set; width and height are the cropped picture's."""
    if nal.name != "SPS":
        raise BitstreamError(f"a NAL unit of type {nal.type} is not an SPS")
    return _h264_sps(nal) if nal.codec == "h264" else _h265_sps(nal)


def first_sps(data: bytes, codec: str) -> Sps:
    """The first sequence parameter set of a stream."""
    for nal in iter_nals(data, codec):
        if nal.name == "SPS":
            return parse_sps(nal)
    raise BitstreamError("the stream has no SPS")


@dataclass(frozen=True)
class _H265Pps:
    extra_bits: int


def _parse_h265_pps(nal: Nal) -> _H265Pps:
    bits = BitReader(nal)
    bits.ue()
    bits.ue()
    bits.u(2)
    return _H265Pps(bits.u(3))


def _slice_type(nal: Nal, pps: _H265Pps | None) -> str:
    bits = BitReader(nal)
    if nal.codec == "h264":
        bits.ue()
        return "PBIPI"[bits.ue() % 5]
    if not bits.u(1):
        raise BitstreamError("only the first slice segment of a picture is read")
    if 16 <= nal.type <= 23:
        bits.u(1)
    bits.ue()
    if pps is None:
        raise BitstreamError("a slice before its parameter sets")
    bits.u(pps.extra_bits)
    kind = bits.ue()
    if kind > 2:
        raise BitstreamError(f"slice type {kind}")
    return "BPI"[kind]


@dataclass(frozen=True)
class AccessUnit:
    """The NAL units of one picture with what precedes them; `slice_type` is that of the first slice: I, P or B."""

    nals: tuple[Nal, ...]
    slice_type: str

    @property
    def names(self) -> list[str]:
        return [nal.name for nal in self.nals]

    @property
    def size(self) -> int:
        return sum(nal.start_code + len(nal.data) for nal in self.nals)

    @property
    def slices(self) -> list[Nal]:
        return [nal for nal in self.nals if nal.is_slice]

    @property
    def is_idr(self) -> bool:
        return self.slices[0].is_idr

    @property
    def has_parameter_sets(self) -> bool:
        """True when all parameter sets, in order, come before the first slice."""
        before = []
        for nal in self.nals:
            if nal.is_slice:
                break
            before.append(nal.name)
        wanted = PARAMETER_SETS[self.nals[0].codec]
        return [name for name in before if name in wanted] == wanted


def access_units(data: bytes, codec: str) -> list[AccessUnit]:
    """Group a stream into access units: a new one begins where, after a slice, anything but a further slice comes."""
    units: list[AccessUnit] = []
    pending: list[Nal] = []
    slice_type = ""
    pps: _H265Pps | None = None

    def finish() -> None:
        nonlocal slice_type
        units.append(AccessUnit(tuple(pending), slice_type))
        pending.clear()
        slice_type = ""

    for nal in iter_nals(data, codec):
        # Suffix SEI (40) and filler data belong to the picture before them.
        trailing = nal.name == "FILLER" or (codec == "h265" and nal.type == 40)
        if slice_type and not trailing and (nal.starts_picture or not nal.is_slice):
            finish()
        if nal.name == "PPS" and codec == "h265":
            pps = _parse_h265_pps(nal)
        if nal.is_slice and not slice_type:
            if not nal.starts_picture:
                raise BitstreamError("the first slice of a picture is missing")
            slice_type = _slice_type(nal, pps)
        pending.append(nal)
    if not slice_type:
        raise BitstreamError("the last access unit has no slice")
    finish()
    return units
