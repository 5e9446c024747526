# SPDX-License-Identifier: Apache-2.0
"""The names that parameters take, as types: what an editor offers and a type checker refuses.

Where a name has aliases, they are in `...Name`, and what an `Encoder` tells is the name without. At run time the case
of letters does not count; types have the lower case. A program that hands a name on annotates it with one of these.

Examples
--------
>>> from ascend_venc.literals import Codec
>>> def suffix(codec: Codec) -> str:
...     return f".{codec}"
"""

import os
from typing import Literal, Union

Codec = Literal["h264", "h265"]
CodecName = Literal["h264", "h265", "avc", "hevc", "h.264", "h.265"]
Profile = Literal["baseline", "main", "high"]

PixelFormat = Literal[
    "nv12", "nv21", "i420", "yv12", "gray8", "rgb24", "bgr24", "rgba", "bgra", "yuyv422", "uyvy422"
]  # fmt: skip
PixelFormatName = Literal[
    PixelFormat, "yuv420p", "iyuv", "rgb", "bgr", "gray", "grey", "l", "yuyv", "yuy2", "uyvy"
]  # fmt: skip

ColorMatrix = Literal["bt601", "bt709"]
ColorRange = Literal["limited", "full"]
ColorName = Literal[
    "bt709", "bt601", "bt601-625", "srgb", "bt2020", "bt2020-pq", "bt2020-hlg",
    "bt.709", "rec709", "rec2020", "smpte170m", "ntsc", "pal", "bt470bg", "hdr10", "pq", "hlg",
]  # fmt: skip

RateControlMode = Literal["default", "vbr", "cbr", "avbr", "qvbr", "cvbr", "fixqp"]
Scene = Literal["still", "motion", "regular"]
OnFull = Literal["block", "drop_newest", "drop_oldest", "error"]
Delivery = Literal["immediate", "coalesced"]
Interface = Literal["v1", "v2"]
InterfaceName = Literal["auto", "v1", "v2"]
# "sim:<chip>" and paths are taken too: these are what an editor offers.
Backend = Union[Literal["auto", "ascend", "sim"], str, "os.PathLike[str]"]

PictureKind = Literal["IDR", "I", "P", "B", "unknown"]

Times = Literal["fps", "given", "wall-clock"]
ContainerName = Literal["mp4", "m4v", "mov", "mkv", "matroska", "ts", "mpegts", "flv", "rtsp"]  # rtsp: to its address
FormatName = Literal[ContainerName, CodecName]
