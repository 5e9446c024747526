# SPDX-License-Identifier: Apache-2.0
"""What a device can do, told without opening a channel. The figures are those of chips.py."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from . import chips
from ._lowlevel import core
from .chip_limits import UNKNOWN_CHIP, limits_of
from .errors import InvalidArgumentError, UnsupportedDeviceError
from .rate_control import LIMITS, MODES, V1_MODES

if TYPE_CHECKING:
    import os

LIVE_SETTINGS = ("bitrate", "fps", "gop", "rc")


@dataclasses.dataclass(frozen=True)
class Capabilities:
    """What a chip's video encoder takes by one of the vendor's interfaces. Ranges include both ends.

    Attributes
    ----------
    chip : str
        E.g. "Ascend310P3"; "" where the runtime cannot tell: then the ranges are the widest of all chips.
    interface : str
        "v1" or "v2".
    encoder : bool
        Whether the chip has a video encoder by that interface. False: the rest is None, or empty.
    reason : str
        Why not; "" where it has one.
    codecs : tuple of str
        "h264", "h265".
    width, height : pair of int
        Pixels, even.
    h264_pixels : int or None
        Width times height at most in H.264; None: no further limit.
    fps : pair of int
        Frames per second that the rate control counts; `Encoder` takes others, and scales.
    bitrate : pair of int
        bit/s.
    gop : pair of int
        Frames from one IDR to the next.
    channels : int or None
        Open at the same time, of all programs; None: not known.
    rate_controls : tuple of str
        Modes of `RateControl`.
    rate_limits : tuple of str
        Limits that `RateControl` may have.
    live_settings : tuple of str
        What `reconfigure` changes without another channel and without an IDR.
    """

    chip: str
    interface: str
    encoder: bool
    reason: str = ""
    codecs: tuple[str, ...] = ()
    width: tuple[int, int] | None = None
    height: tuple[int, int] | None = None
    h264_pixels: int | None = None
    fps: tuple[int, int] | None = None
    bitrate: tuple[int, int] | None = None
    gop: tuple[int, int] | None = None
    channels: int | None = None
    rate_controls: tuple[str, ...] = ()
    rate_limits: tuple[str, ...] = ()
    live_settings: tuple[str, ...] = ()


def capabilities_of(soc_name: str, interface: str) -> Capabilities:
    """Return those of a chip by its name, by "v1" or "v2". Touches no device."""
    if interface not in ("v1", "v2"):
        raise InvalidArgumentError(f'interface is {interface!r}; allowed are "v1", "v2"')
    try:
        limits = limits_of(soc_name)
    except UnsupportedDeviceError as error:
        return Capabilities(soc_name, interface, False, str(error.args[0]))
    v2 = interface == "v2"
    if v2 and not limits.v2:
        return Capabilities(soc_name, interface, False, f'{soc_name} has no DVPP V2: choose interface="v1"')
    chip = None if limits is UNKNOWN_CHIP else chips.chip_of(soc_name)
    channels = None if chip is None else (chip.channels_v2 if v2 else chip.channels_v1).value
    return Capabilities(
        chip=soc_name,
        interface=interface,
        encoder=True,
        codecs=("h264", "h265"),
        width=limits.width,
        height=limits.height,
        h264_pixels=limits.h264_area,
        fps=limits.fps,
        bitrate=(limits.bit_rate[0] * 1000, limits.bit_rate[1] * 1000),
        gop=limits.gop,
        channels=channels,
        rate_controls=tuple(MODES) if v2 else V1_MODES,
        rate_limits=tuple(LIMITS) if v2 else (),
        live_settings=LIVE_SETTINGS if v2 else (),
    )


def capabilities(
    device: int = 0, *, backend: str | os.PathLike[str] | None = None, interface: str | None = None
) -> Capabilities:
    """Return what a device can do, without opening it or a channel.

    Parameters
    ----------
    device : int
        Number of the device. All devices of a machine are taken to be of one chip, since the runtime names one.
    backend, interface
        As for `Encoder`. "auto" tells of V1, as `Encoder` would take it in a process that has used neither.

    Loads the library, as `Encoder` does, and raises as that does; decides nothing about V1 or V2 for the process. Where
    the library of DVPP V2 cannot be used, `encoder` is False for "v2", and `reason` says why.
    """
    name = core.parse_interface(interface)
    found = core.describe(backend)
    count = found["device_count"]
    if isinstance(device, bool) or not hasattr(device, "__index__"):
        raise TypeError(f"device must be an int, got {type(device).__name__}")
    if count and not 0 <= device < count:
        raise InvalidArgumentError(f"device is {device}; this machine has 0 to {count - 1}")
    result = capabilities_of(found["soc_name"], "v2" if name == "v2" else "v1")
    if name == "v2" and result.encoder and not found["mpi_path"]:
        problem = " ".join(found["mpi_problem"].split())
        return Capabilities(result.chip, "v2", False, f"DVPP V2 cannot be used: {problem}")
    return result
