# SPDX-License-Identifier: Apache-2.0
"""What a device can do, told without opening a channel. The figures are those of chips.py."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from . import chips
from ._lowlevel import core
from ._lowlevel import device as devices
from .arguments import check_device
from .chip_limits import UNKNOWN_CHIP, limits_of
from .errors import InvalidArgumentError, UnsupportedDeviceError
from .literals import Backend, Interface, InterfaceName
from .picture_quality import MOST_REGIONS, SCENES
from .rate_control import LIMITS, MODES, V1_MODES

if TYPE_CHECKING:
    from collections.abc import Callable

    from .interface_choice import InterfaceChoice

LIVE_SETTINGS = ("bitrate", "fps", "gop", "rc", "roi")


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
    scenes : tuple of str
        Kinds of scene that `Encoder` may be told.
    intra_refresh : bool
        Whether `IntraRefresh` may be given.
    regions : int
        How many `RegionOfInterest` a picture may have.
    live_settings : tuple of str
        What `reconfigure` changes without another channel and without an IDR.
    """

    chip: str
    interface: Interface
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
    scenes: tuple[str, ...] = ()
    intra_refresh: bool = False
    regions: int = 0
    live_settings: tuple[str, ...] = ()


def capabilities_of(soc_name: str, interface: Interface) -> Capabilities:
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
        scenes=tuple(SCENES) if v2 else (),
        intra_refresh=v2,
        regions=MOST_REGIONS if v2 else 0,
        live_settings=LIVE_SETTINGS if v2 else (),
    )


def capabilities_by(library: core.Library, soc_name: str, interface: Interface) -> Capabilities:
    """Return those of a chip by a library: without what that lacks. Opens DVPP V2 where that is asked for."""
    result = capabilities_of(soc_name, interface)
    if interface == "v1" or not result.encoder:
        return result
    if not library.open_mpi():
        problem = " ".join(library.mpi_problem.split())
        return Capabilities(result.chip, "v2", False, f"DVPP V2 cannot be used: {problem}")
    has_regions = library.has("hi_mpi_venc_set_roi_attr")
    live = tuple(name for name in result.live_settings if name != "roi" or has_regions)
    return dataclasses.replace(
        result,
        regions=result.regions if has_regions else 0,
        intra_refresh=library.has("hi_mpi_venc_set_intra_refresh"),
        live_settings=live if library.has("hi_mpi_venc_set_chn_attr") else (),
    )


def chosen(
    backend: Backend | None,
    interface: InterfaceName | None = None,
    step: Callable[[str], object] = lambda what: None,
) -> tuple[core.Library, InterfaceChoice, dict[str, Any]]:
    """Return the library that a backend is, the interface that `Encoder` would take, and what is known of the library.

    `step` is called with what is done next: each may take long where a driver is broken. Raises as `Encoder` does.
    """
    step("loading AscendCL (aclInit, aclrtGetDeviceCount)")
    library = core.open_library(backend)
    step("asking for the chip (aclrtGetSocName)")
    core.describe(backend)
    step("opening DVPP V2's library")
    choice = devices.choose_interface(library, interface)
    if choice.name == "v2":
        library.open_mpi()
    return library, choice, core.describe(backend)


def capabilities(
    device: int = 0, *, backend: Backend | None = None, interface: InterfaceName | None = None
) -> Capabilities:
    """Return what a device can do, without opening it or a channel.

    Parameters
    ----------
    device : int
        Number of the device. All devices of a machine are taken to be of one chip, since the runtime names one.
    backend, interface
        As for `Encoder`. "auto" tells of the interface that `Encoder` would take now; whether the device lets DVPP V2
        be begun, without which `Encoder` takes V1, is not tried.

    Loads the library, as `Encoder` does, and raises as that does; decides nothing about V1 or V2 for the process. Where
    the library of DVPP V2 cannot be used, `encoder` is False for "v2", and `reason` says why.
    """
    library, choice, found = chosen(backend, interface)
    count = found["device_count"]
    check_device(device, count)
    return capabilities_by(library, found["soc_name"], choice.name)
