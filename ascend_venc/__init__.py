# SPDX-License-Identifier: Apache-2.0
"""Hardware H.264/H.265 video encoding on Huawei Ascend NPUs.

`Encoder` is the Pythonic way; `ascend_venc.acl` is the drop-in for pyACL. Importing loads no device library.
"""

from ._lowlevel.buffers import Packet
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
    UnsupportedDeviceError,
    VencError,
)

__all__ = [
    "AclError",
    "AclLibraryBrokenError",
    "AclLibraryNotFoundError",
    "AclMediaLibraryMissingError",
    "AclMemoryError",
    "AclNoDeviceError",
    "AclStubLibraryError",
    "AclTimeoutError",
    "DeviceLostError",
    "Encoder",
    "EncoderClosedError",
    "EncoderConfig",
    "EncoderDrained",
    "EncoderFullError",
    "ForkedProcessError",
    "FrameError",
    "InvalidArgumentError",
    "LibraryPathWarning",
    "MediaError",
    "Packet",
    "SimulatedDeviceWarning",
    "UnsupportedDeviceError",
    "VencError",
    "__version__",
]
