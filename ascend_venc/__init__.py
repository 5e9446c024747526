# SPDX-License-Identifier: Apache-2.0
"""Hardware H.264/H.265 video encoding on Huawei Ascend NPUs.

`Encoder` is the Pythonic way, `write` and `VideoWriter` make files of pictures, `ascend_venc.aio` is for asyncio,
`ascend_venc.media` reads and writes files, and `ascend_venc.acl` is the drop-in for pyACL. Importing loads no device
library.
"""

import importlib
from typing import TYPE_CHECKING, Any

from ._lowlevel.device_memory import DeviceFrame
from ._lowlevel.frames import Frame
from ._lowlevel.packet import Packet
from ._version import __version__
from .color import ColorInfo
from .config import EncoderConfig, Support
from .device_capabilities import Capabilities, capabilities
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
    InterfaceFallbackWarning,
    InvalidArgumentError,
    LibraryPathWarning,
    MediaError,
    PictureSizeWarning,
    SimulatedDeviceWarning,
    SinkError,
    UnsupportedDeviceError,
    VencError,
)
from .group import EncoderGroup
from .picture_quality import IntraRefresh, RegionOfInterest
from .rate_control import RateControl
from .stats import EncoderStats

if TYPE_CHECKING:
    from . import acl, aio, bitstream, chunked, literals, media, opencv, prometheus, stats_socket
    from .media.write_video import write
    from .media.writer import VideoWriter

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
    "Capabilities",
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
    "InterfaceFallbackWarning",
    "IntraRefresh",
    "InvalidArgumentError",
    "LibraryPathWarning",
    "MediaError",
    "Packet",
    "PictureSizeWarning",
    "RateControl",
    "RegionOfInterest",
    "SimulatedDeviceWarning",
    "SinkError",
    "Support",
    "UnsupportedDeviceError",
    "VencError",
    "VideoWriter",
    "__version__",
    "acl",
    "aio",
    "bitstream",
    "capabilities",
    "chunked",
    "literals",
    "media",
    "opencv",
    "prometheus",
    "stats_socket",
    "write",
]

# Imported when they are first asked for.
_SUBMODULES = ("acl", "aio", "bitstream", "chunked", "literals", "media", "opencv", "prometheus", "stats_socket")
_OF_MODULES = {"VideoWriter": "media.writer", "write": "media.write_video"}


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _OF_MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_OF_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBMODULES, *_OF_MODULES})
