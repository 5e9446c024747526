# SPDX-License-Identifier: Apache-2.0
"""Video files: readers that give frames for `Encoder`, writers that take its packets.

Readers and `Muxer` of containers use PyAV, which is imported when the first of them is made; y4m, raw pixels and bare
bitstreams need nothing.
"""

from ..errors import MediaError
from .annexb import AnnexBWriter
from .container import ContainerReader
from .muxer import Muxer
from .open import open_video
from .raw import RawReader
from .reader import ColorTags, VideoFrame, VideoReader
from .y4m import Y4MReader

__all__ = [
    "AnnexBWriter",
    "ColorTags",
    "ContainerReader",
    "MediaError",
    "Muxer",
    "RawReader",
    "VideoFrame",
    "VideoReader",
    "Y4MReader",
    "open_video",
]
