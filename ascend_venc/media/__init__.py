# SPDX-License-Identifier: Apache-2.0
"""Video files: readers that give frames for `Encoder`, writers that take pictures or its packets.

Readers and `Muxer` of containers use PyAV, which is imported when the first of them is made; y4m, raw pixels and bare
bitstreams need nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

from ..errors import MediaError
from .annexb import AnnexBWriter
from .container import ContainerReader
from .live import LiveOutput, LiveStats
from .muxer import Muxer
from .open import open_video
from .raw import RawReader
from .reader import ColorTags, VideoFrame, VideoReader
from .ring import PacketRing
from .target import Target
from .y4m import Y4MReader

if TYPE_CHECKING:
    from .write_video import write
    from .writer import VideoWriter

__all__ = [
    "AnnexBWriter",
    "ColorTags",
    "ContainerReader",
    "LiveOutput",
    "LiveStats",
    "MediaError",
    "Muxer",
    "PacketRing",
    "RawReader",
    "Target",
    "VideoFrame",
    "VideoReader",
    "VideoWriter",
    "Y4MReader",
    "open_video",
    "write",
]

_OF_MODULES = {"VideoWriter": "writer", "write": "write_video"}  # imported when asked for: it imports NumPy


def __getattr__(name: str) -> Any:
    if name in _OF_MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_OF_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_OF_MODULES})
