# SPDX-License-Identifier: Apache-2.0
"""What families of chips take, of chips.py, as `EncoderConfig` looks at it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from . import chips
from .errors import UnsupportedDeviceError

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclasses.dataclass(frozen=True)
class ChipLimits:
    """What a family of chips takes, by chips.py.

    Sizes in pixels, bit rates in kbit/s, rates in frames per second; each range includes both ends.
    """

    family: str
    width: tuple[int, int]
    height: tuple[int, int]
    fps: tuple[int, int]
    bit_rate: tuple[int, int]
    gop: tuple[int, int]
    h264_area: int | None = None  # pixels, width x height
    v2: bool = True  # DVPP V2 has its encoder


CHIPS = tuple(
    ChipLimits(
        chip.family,
        chip.width.value,
        chip.height.value,
        chip.fps.value,
        chip.bit_rate.value,
        chip.gop.value,
        chip.h264_area.value,
        bool(chip.channels_v2.value),
    )
    for chip in chips.CHIPS
    if chip.encoder
)


def _widest(ranges: Iterable[tuple[int, int]]) -> tuple[int, int]:
    lows, highs = zip(*ranges)
    return min(lows), max(highs)


# A chip that is not in the list: whatever some chip takes; the device has the last word.
UNKNOWN_CHIP = ChipLimits(
    "an unlisted chip",
    _widest(chip.width for chip in CHIPS),
    _widest(chip.height for chip in CHIPS),
    _widest(chip.fps for chip in CHIPS),
    _widest(chip.bit_rate for chip in CHIPS),
    _widest(chip.gop for chip in CHIPS),
)


def limits_of(soc_name: str) -> ChipLimits:
    """Return the limits of a chip by its name, e.g. "Ascend310P3".

    Raises UnsupportedDeviceError for a chip without a video encoder.
    """
    chip = chips.chip_of(soc_name)
    if chip is None:
        return UNKNOWN_CHIP
    if not chip.encoder:
        raise UnsupportedDeviceError(
            f"{soc_name} has no video encoder: chips of the families "
            f"{', '.join(limits.family for limits in CHIPS)} have one",
            soc_name,
        )
    for limits in CHIPS:
        if limits.family == chip.family:
            return limits
    return UNKNOWN_CHIP
