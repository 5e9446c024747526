# SPDX-License-Identifier: Apache-2.0
"""The chips: what each one takes, and how sure that is. The only place for these figures.

`EncoderConfig`, `ascend-venc caps` and the facade's explanations read them here; `scripts/generate_chips.py` makes the
simulated device's profiles and docs/chips.md of them. Plain data: nothing else of the package is imported.

Marks: "documented" by the vendor, "observed" on hardware by somebody who wrote it down, "guessed".
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

MIB = 1024 * 1024
GIB = 1024 * MIB


class Figure(NamedTuple):
    """A figure of a chip, with its mark and, where that needs words, what is known of it."""

    value: Any
    mark: str
    note: str = ""


def documented(value: Any, note: str = "") -> Figure:
    return Figure(value, "documented", note)


def observed(value: Any, note: str = "") -> Figure:
    return Figure(value, "observed", note)


def guessed(value: Any, note: str = "") -> Figure:
    return Figure(value, "guessed", note)


NOT_THERE = Figure(None, "documented")


@dataclasses.dataclass(frozen=True)
class Chip:
    """A family of chips. Ranges are pairs that include both ends.

    Sizes are in pixels, `bit_rate` and `default_bit_rate` in kbit/s, rates in frames per second, `buffer_size`,
    `buffer_min` and `memory` in bytes. None: the chip has no such limit. "V1" is AscendCL's aclvenc*, "V2" is
    hi_mpi_venc_*.
    """

    family: str  # how the names of its members begin
    simulated: tuple[str, ...]  # the members that the simulated device can be, the one that it lists first
    encoder: bool
    run_mode: Figure = NOT_THERE  # "host": a card in a host, "device": the program runs on the chip's own CPU
    width: Figure = NOT_THERE
    height: Figure = NOT_THERE
    h264_area: Figure = NOT_THERE  # width * height at most in H.264
    gop: Figure = NOT_THERE
    fps: Figure = NOT_THERE  # that the rate control counts; 0 stands for default_fps
    bit_rate: Figure = NOT_THERE  # 0 stands for default_bit_rate
    ip_prop: Figure = NOT_THERE  # of maxIPProp, where it can be set; 0 stands for the default
    channels_v1: Figure = NOT_THERE  # open at the same time, on one device
    channels_v2: Figure = NOT_THERE  # likewise, together with those of picture encoding; 0: there is no V2 encoder
    streams: Figure = NOT_THERE  # of which a V1 channel takes two
    default_rc: Figure = NOT_THERE  # 1 VBR, 2 CBR
    default_fps: Figure = NOT_THERE
    default_bit_rate: Figure = NOT_THERE
    buffer_size: Figure = NOT_THERE  # of a V1 channel's output buffer
    buffer_min: Figure = NOT_THERE  # where the program can bring one; None: it cannot
    ip_prop_settable: Figure = NOT_THERE
    v100: Figure = NOT_THERE  # the first generation of the library: the simulated device says what differs
    rc_mode_checked: Figure = NOT_THERE  # the setter refuses unknown values
    picture_size_checked: Figure = NOT_THERE  # aclvencSendFrame refuses another size than the channel's
    memory: Figure = NOT_THERE


CHIPS = (
    Chip(
        family="Ascend310P",
        simulated=("Ascend310P3",),
        encoder=True,
        run_mode=documented("host"),
        width=documented((128, 4096)),
        height=documented((128, 4096)),
        h264_area=documented(4096 * 2304),
        gop=documented((1, 65536)),
        fps=documented((1, 240)),
        bit_rate=documented((2, 614400)),
        channels_v1=documented(
            128, "a script of the vendor's; the V1 pages' rule for virtual devices speaks of 256 with picture encoding"
        ),
        channels_v2=documented(256),
        streams=documented(1024),
        default_rc=documented(1),
        default_fps=documented(30),
        default_bit_rate=documented(2000),
        buffer_size=documented(8 * MIB),
        buffer_min=documented(5 * MIB),
        ip_prop_settable=documented(False),
        v100=documented(False),
        rc_mode_checked=documented(True),
        picture_size_checked=documented(False),
        memory=guessed(24 * GIB),
    ),
    # The library of the 310B is closed: what is not known of it is as on the 310P.
    Chip(
        family="Ascend310B",
        simulated=("Ascend310B4",),
        encoder=True,
        run_mode=observed("device", "a board"),
        width=documented((114, 8192)),
        height=documented((114, 8192)),
        gop=documented((1, 65536), "0 was observed to give 507018"),
        fps=documented((1, 240)),
        bit_rate=documented((2, 614400), "other values were observed to give 507018"),
        ip_prop=documented((1, 100)),
        channels_v1=guessed(128, "nothing found for V1: V2's figure"),
        channels_v2=documented(128),
        streams=documented(512),
        default_rc=documented(1),
        default_fps=documented(30),
        default_bit_rate=documented(2000),
        buffer_size=documented(8 * MIB),
        buffer_min=documented(5 * MIB),
        ip_prop_settable=guessed(True, "a vendor's SDK sets it there"),
        v100=documented(False),
        rc_mode_checked=guessed(True),
        picture_size_checked=guessed(False),
        memory=guessed(8 * GIB),
    ),
    Chip(
        family="Ascend310",
        simulated=("Ascend310",),
        encoder=True,
        run_mode=documented("host", "a card; the developer kit is a board"),
        width=documented((128, 1920)),
        height=documented((128, 1920)),
        gop=documented((1, 65536)),
        fps=documented((1, 120)),
        bit_rate=documented((10, 30000)),
        ip_prop=documented((1, 100)),
        channels_v1=documented(16, "the header says that channel ids are 0 to 15"),
        channels_v2=documented(0),
        streams=guessed(1024),
        default_rc=documented(2),
        default_fps=documented(30),
        default_bit_rate=documented(300),
        buffer_size=documented(3686400),
        ip_prop_settable=documented(True),
        v100=documented(True),
        rc_mode_checked=documented(False),
        picture_size_checked=documented(True),
        memory=guessed(8 * GIB),
    ),
    Chip(
        family="Ascend910",
        simulated=(
            "Ascend910",
            *(f"Ascend910{member}" for member in ("A", "B", "ProA", "ProB", "B1", "B2", "B2C", "B3", "B4")),
            *(f"Ascend910_{member}" for member in (9362, 9372, 9381, 9382, 9391, 9392)),
        ),
        encoder=False,
        run_mode=documented("host"),
        streams=documented(2048),
        buffer_min=guessed(5 * MIB),
        ip_prop_settable=guessed(False),
        v100=guessed(False),
        rc_mode_checked=guessed(True),
        picture_size_checked=guessed(False),
        memory=guessed(32 * GIB),
    ),
    Chip(family="Ascend950", simulated=(), encoder=False),
)


def chip_of(soc_name: str) -> Chip | None:
    """Return the chip's row by its name, e.g. "Ascend310P3"; None for one that is not in the table.

    The families' names begin alike, and the longest comes first.
    """
    for chip in CHIPS:  # no generator: one that memory runs out in cannot be closed in silence
        if soc_name.startswith(chip.family):
            return chip
    return None
