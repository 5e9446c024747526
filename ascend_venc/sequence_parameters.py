# SPDX-License-Identifier: Apache-2.0
"""What a sequence parameter set says: ITU-T H.264 7.3.2.1 and annex E, H.265 7.3.2.2 and annex E.

Read as far as the VUI's timing; nothing of a stream is trusted.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any, NamedTuple

from .errors import InvalidArgumentError

H264_PROFILES = {
    44: "CAVLC 4:4:4 Intra",
    66: "Baseline",
    77: "Main",
    88: "Extended",
    100: "High",
    110: "High 10",
    118: "Multiview High",
    122: "High 4:2:2",
    128: "Stereo High",
    244: "High 4:4:4 Predictive",
}
H265_PROFILES = {1: "Main", 2: "Main 10", 3: "Main Still Picture", 4: "Range Extensions", 9: "Screen Content Coding"}
_WITH_CHROMA_FORMAT = frozenset((100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135))
# Table E-1, the same in both: sample_aspect_ratio of 1 and on.
_SHAPES = (
    *((1, 1), (12, 11), (10, 11), (16, 11), (40, 33), (24, 11), (20, 11), (32, 11), (80, 33)),
    *((18, 11), (15, 11), (64, 33), (160, 99), (4, 3), (3, 2), (2, 1)),
)
_EXTENDED_SHAPE = 255


class Vui(NamedTuple):
    """What the VUI says of the pictures; None: nothing.

    Attributes
    ----------
    sample_aspect_ratio : fractions.Fraction or None
    full_range : bool or None
    primaries, transfer, matrix : int or None
        Code points of ITU-T H.273.
    frame_rate : fractions.Fraction or None
        Frames per second, by time_scale and num_units_in_tick.
    fixed_rate : bool or None
        H.264's fixed_frame_rate_flag.
    """

    sample_aspect_ratio: Fraction | None = None
    full_range: bool | None = None
    primaries: int | None = None
    transfer: int | None = None
    matrix: int | None = None
    frame_rate: Fraction | None = None
    fixed_rate: bool | None = None


class SequenceParameters(NamedTuple):
    """What a sequence parameter set says.

    Attributes
    ----------
    codec : str
        "h264" or "h265".
    profile : str
        As the standard calls it, such as "High", or "profile 144" of one that is not listed.
    level : str
        Such as "4.1"; "1b" in H.264; with " High tier" of H.265 where it is that.
    width, height : int
        Pixels that are shown: after cropping.
    chroma : str
        "4:0:0", "4:2:0", "4:2:2" or "4:4:4".
    bit_depth : int
        Of luma.
    interlaced : bool
        H.264: pictures may be fields.
    vui : Vui or None
        None: there is none.
    """

    codec: str
    profile: str
    level: str
    width: int
    height: int
    chroma: str
    bit_depth: int
    interlaced: bool
    vui: Vui | None


class _Damaged(Exception):
    pass


class _Bits:
    """Reads an RBSP, without emulation prevention bytes."""

    def __init__(self, nal: bytes) -> None:
        data = re.sub(b"\x00\x00\x03(?=[\x00-\x03]|$)", b"\x00\x00", nal)
        self.value = int.from_bytes(data, "big")
        self.left = 8 * len(data)

    def u(self, count: int) -> int:
        if count > self.left:
            raise _Damaged("it ends too early")
        self.left -= count
        return self.value >> self.left & (1 << count) - 1

    def flag(self) -> bool:
        return bool(self.u(1))

    def ue(self) -> int:
        zeros = 0
        while not self.u(1):
            zeros += 1
            if zeros > 32:
                raise _Damaged("a number has more than 32 bits")
        return (1 << zeros) - 1 + self.u(zeros)

    def ues(self, count: int) -> list[int]:
        return [self.ue() for _ in range(count)]

    def se(self) -> int:
        value = self.ue()
        return (value + 1) // 2 if value & 1 else -(value // 2)

    def at_most(self, limit: int, what: str) -> int:
        value = self.ue()
        if value > limit:
            raise _Damaged(f"{what} is {value}, more than {limit}")
        return value


def parse_sequence_parameters(nal: Any, codec: str) -> SequenceParameters:
    """Return what a sequence parameter set says.

    `nal` is the NAL unit without start code, any buffer: type 7 of "h264", 33 of "h265". Raises InvalidArgumentError
    for another one, and where it is damaged.
    """
    data = bytes(nal)
    kind = 7 if codec == "h264" else 33
    if len(data) < 2 or (data[0] & 31 if codec == "h264" else data[0] >> 1 & 63) != kind:
        raise InvalidArgumentError(f"nal is no sequence parameter set of {codec}: its type is not {kind}")
    try:
        return _h264(_Bits(data[1:])) if codec == "h264" else _h265(_Bits(data[2:]))
    except _Damaged as error:
        raise InvalidArgumentError(f"the sequence parameter set is damaged: {error}") from None


def _h264(bits: _Bits) -> SequenceParameters:
    profile, constraints, level = bits.u(8), bits.u(8), bits.u(8)
    bits.ue()  # seq_parameter_set_id
    chroma, depth = 1, 8
    if profile in _WITH_CHROMA_FORMAT:
        chroma = bits.at_most(3, "chroma_format_idc")
        if chroma == 3:
            bits.flag()
        depth = 8 + bits.at_most(6, "bit_depth_luma_minus8")
        bits.ue()
        bits.flag()
        if bits.flag():
            for index in range(12 if chroma == 3 else 8):
                if bits.flag():
                    _skip_h264_scaling_list(bits, 16 if index < 6 else 64)
    bits.ue()  # log2_max_frame_num_minus4
    order = bits.at_most(2, "pic_order_cnt_type")
    if order == 0:
        bits.ue()
    elif order == 1:
        bits.flag()
        bits.ues(2)
        bits.ues(bits.at_most(255, "num_ref_frames_in_pic_order_cnt_cycle"))
    bits.ue()  # max_num_ref_frames
    bits.flag()
    width, height = (16 * (bits.at_most(1 << 16, "a side in macroblocks") + 1) for _ in range(2))
    frames_only = bits.flag()
    if not frames_only:
        bits.flag()
        height *= 2
    bits.flag()
    if bits.flag():
        unit_x, unit_y = (1 if chroma in (0, 3) else 2), (2 if chroma == 1 else 1) * (1 if frames_only else 2)
        left, right, top, bottom = bits.ues(4)
        width, height = width - unit_x * (left + right), height - unit_y * (top + bottom)
    vui = _h264_vui(bits) if bits.flag() else None
    name = H264_PROFILES.get(profile, f"profile {profile}")
    if profile == 66 and constraints & 0x40:
        name = "Constrained Baseline"
    shown = "1b" if level == 9 or (level == 11 and constraints & 0x10 and profile < 100) else _level(level, 10)
    return _checked(
        SequenceParameters("h264", name, shown, width, height, _CHROMA[chroma], depth, not frames_only, vui)
    )


_CHROMA = ("4:0:0", "4:2:0", "4:2:2", "4:4:4")


def _level(number: int, one: int) -> str:
    return f"{number / one:g}" if number % one else f"{number // one}.0"


def _checked(found: SequenceParameters) -> SequenceParameters:
    if found.width <= 0 or found.height <= 0:
        raise _Damaged("nothing is left of the picture after cropping")
    return found


def _skip_h264_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last


def _common_vui(bits: _Bits) -> Vui:
    shape = full = primaries = transfer = matrix = None
    if bits.flag():
        index = bits.u(8)
        width, height = 0, 0
        if index == _EXTENDED_SHAPE:
            width, height = bits.u(16), bits.u(16)
        elif 1 <= index <= len(_SHAPES):
            width, height = _SHAPES[index - 1]
        shape = Fraction(width, height) if width and height else None
    if bits.flag():
        bits.flag()
    if bits.flag():
        bits.u(3)
        full = bits.flag()
        if bits.flag():
            primaries, transfer, matrix = bits.u(8), bits.u(8), bits.u(8)
    if bits.flag():
        bits.ues(2)
    return Vui(shape, full, primaries, transfer, matrix)


def _h264_vui(bits: _Bits) -> Vui:
    vui = _common_vui(bits)
    if bits.flag():
        units, scale, fixed = bits.u(32), bits.u(32), bits.flag()
        return vui._replace(frame_rate=Fraction(scale, 2 * units) if units and scale else None, fixed_rate=fixed)
    return vui


def _h265(bits: _Bits) -> SequenceParameters:
    bits.u(4)
    sub_layers = bits.u(3)
    if sub_layers > 6:
        raise _Damaged("sps_max_sub_layers_minus1 is 7")
    bits.flag()
    bits.u(2)  # general_profile_space
    high_tier, profile = bits.flag(), bits.u(5)
    compatible = bits.u(32)
    bits.u(48)
    level = bits.u(8)
    present = [(bits.flag(), bits.flag()) for _ in range(sub_layers)]
    if sub_layers:
        bits.u(2 * (8 - sub_layers))
    for has_profile, has_level in present:
        bits.u(88 * has_profile + 8 * has_level)
    bits.ue()  # sps_seq_parameter_set_id
    chroma = bits.at_most(3, "chroma_format_idc")
    if chroma == 3:
        bits.flag()
    width, height = (bits.at_most(1 << 16, "a side") for _ in range(2))
    if bits.flag():
        unit_x, unit_y = (2 if chroma in (1, 2) else 1), (2 if chroma == 1 else 1)
        left, right, top, bottom = bits.ues(4)
        width, height = width - unit_x * (left + right), height - unit_y * (top + bottom)
    depth = 8 + bits.at_most(8, "bit_depth_luma_minus8")
    bits.ue()
    order_bits = bits.at_most(12, "log2_max_pic_order_cnt_lsb_minus4") + 4
    bits.ues(3 * (sub_layers + 1 if bits.flag() else 1))
    bits.ues(6)
    if bits.flag() and bits.flag():
        _skip_h265_scaling_lists(bits)
    bits.u(2)
    if bits.flag():
        bits.u(8)
        bits.ues(2)
        bits.flag()
    _skip_reference_sets(bits)
    if bits.flag():
        bits.u((order_bits + 1) * bits.at_most(32, "num_long_term_ref_pics_sps"))
    bits.u(2)
    vui = _h265_vui(bits) if bits.flag() else None
    if profile not in H265_PROFILES:
        profile = next((number for number in H265_PROFILES if compatible >> (31 - number) & 1), profile)
    name = H265_PROFILES.get(profile, f"profile {profile}")
    shown = _level(level, 30) + (" High tier" if high_tier else "")
    return _checked(SequenceParameters("h265", name, shown, width, height, _CHROMA[chroma], depth, False, vui))


def _skip_h265_scaling_lists(bits: _Bits) -> None:
    for size in range(4):
        for _ in range(0, 6, 3 if size == 3 else 1):
            if bits.flag():
                bits.ues((16 if size == 0 else 64) + (size > 1))
            else:
                bits.ue()


def _skip_reference_sets(bits: _Bits) -> None:
    """Short-term reference picture sets; the distances have to be known where one is predicted of the one before."""
    distances: list[int] = []
    for index in range(bits.at_most(64, "num_short_term_ref_pic_sets")):
        if index and bits.flag():
            negative = bits.flag()
            delta = bits.ue() + 1
            delta = -delta if negative else delta
            kept = [bits.flag() or bits.flag() for _ in range(len(distances) + 1)]
            moved = [distance + delta for distance, keep in zip([*distances, 0], kept) if keep and distance + delta]
        else:
            counts = [bits.at_most(16, "a number of reference pictures") for _ in range(2)]
            moved = []
            for sign, count in zip((-1, 1), counts):
                distance = 0
                for _ in range(count):
                    distance += sign * (bits.ue() + 1)
                    bits.flag()
                    moved.append(distance)
        before = sorted((distance for distance in moved if distance < 0), reverse=True)
        after = sorted(distance for distance in moved if distance > 0)
        if len(before) > 16 or len(after) > 16:
            raise _Damaged("a set of reference pictures has more than 16")
        distances = [*before, *after]


def _h265_vui(bits: _Bits) -> Vui:
    vui = _common_vui(bits)
    bits.u(3)
    if bits.flag():
        bits.ues(4)
    if bits.flag():
        units, scale = bits.u(32), bits.u(32)
        return vui._replace(frame_rate=Fraction(scale, units) if units and scale else None)
    return vui
