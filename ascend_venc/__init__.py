# SPDX-License-Identifier: Apache-2.0
"""Hardware H.264/H.265 video encoding on Huawei Ascend NPUs.

`Encoder` is the Pythonic way; `ascend_venc.acl` is the drop-in for pyACL. Importing loads no device library.
"""

from ._lowlevel.frames import Frame
from ._lowlevel.packet import Packet
from ._lowlevel.device_memory import DeviceFrame
from ._version import __version__
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
    DeviceFullError,
    DeviceLostError,
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

__all__ = [
    "AclError",
    "AclLibraryBrokenError",
    "AclLibraryNotFoundError",
    "AclMediaLibraryMissingError",
    "AclMemoryError",
    "AclNoDeviceError",
    "AclStubLibraryError",
    "AclTimeoutError",
    "DeviceFrame",
    "DeviceFullError",
    "DeviceLostError",
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
]
