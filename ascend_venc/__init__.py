# SPDX-License-Identifier: Apache-2.0
"""Hardware H.264/H.265 video encoding on Huawei Ascend NPUs.

`Encoder` is the Pythonic way, `ascend_venc.aio` the same for asyncio, `ascend_venc.media` reads and writes files, and
`ascend_venc.acl` is the drop-in for pyACL. Importing loads no device library.
"""

import importlib
from typing import TYPE_CHECKING, Any

from ._lowlevel.device_memory import DeviceFrame
from ._lowlevel.frames import Frame
from ._lowlevel.packet import Packet
from ._version import __version__
from .color import ColorInfo
from .config import EncoderConfig
from .encoder import Encoder
from .errors import (
    AclError,
    AclLibraryBrokenError,
    AclLibraryNotFoundError,
    AclMediaLibraryMissingError,
    AclMemoryError,
    AclNoDeviceError,
    AclStubLibraryError,
    AclTimeoutError,
    BitRateWarning,
    DeviceFullError,
    DeviceLostError,
    DroppedPacketsWarning,
    EncoderClosedError,
    EncoderDrained,
    EncoderFullError,
    ForkedProcessError,
    FrameError,
    InvalidArgumentError,
    LibraryPathWarning,
    MediaError,
    SimulatedDeviceWarning,
    SinkError,
    UnsupportedDeviceError,
    VencError,
)
from .group import EncoderGroup
from .stats import EncoderStats

if TYPE_CHECKING:
    from . import acl, aio, media

__all__ = [
    "AclError",
    "AclLibraryBrokenError",
    "AclLibraryNotFoundError",
    "AclMediaLibraryMissingError",
    "AclMemoryError",
    "AclNoDeviceError",
    "AclStubLibraryError",
    "AclTimeoutError",
    "BitRateWarning",
    "ColorInfo",
    "DeviceFrame",
    "DeviceFullError",
    "DeviceLostError",
    "DroppedPacketsWarning",
    "Encoder",
    "EncoderClosedError",
    "EncoderConfig",
    "EncoderDrained",
    "EncoderFullError",
    "EncoderGroup",
    "EncoderStats",
    "ForkedProcessError",
    "Frame",
    "FrameError",
    "InvalidArgumentError",
    "LibraryPathWarning",
    "MediaError",
    "Packet",
    "SimulatedDeviceWarning",
    "SinkError",
    "UnsupportedDeviceError",
    "VencError",
    "__version__",
    "acl",
    "aio",
    "bitstream",
    "media",
]

_SUBMODULES = ("acl", "aio", "bitstream", "media")  # imported when they are first asked for


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBMODULES})
