# SPDX-License-Identifier: Apache-2.0
"""The pixel formats that frames may have, as data: what an array of each looks like. All have 8 bits a sample."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, cast

from .arguments import shown
from .errors import InvalidArgumentError
from .literals import ColorMatrix, ColorRange, PixelFormat

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class FormatInfo:
    """One pixel format.

    Attributes
    ----------
    name : str
    source : int or None
        AVENC_SOURCE_* of avenc.h; None for what the device takes as it is.
    bytes_per_pixel : int
        Of the first plane: 1 for planes of luma, 2 to 4 for packed formats.
    chroma_planes : int
        Planes after the first: 2 for I420 and YV12, 1 for NV12 and NV21, where they follow the luma in one array.
    color : str
        "rgb", "yuv" or "gray".
    range : str
        What its samples mean unless the user says otherwise, "limited" or "full". Grey is full, as OpenCV, Pillow
        and FFmpeg take it.
    av_name : str
        FFmpeg's name of the format.
    """

    name: PixelFormat
    source: int | None
    bytes_per_pixel: int
    chroma_planes: int
    color: str
    range: ColorRange
    av_name: str

    def shape(self, width: int, height: int) -> tuple[int, ...]:
        """Return the shape of a uint8 array of one picture; width and height are even."""
        if self.chroma_planes:
            return (height * 3 // 2, width)
        return (height, width) if self.bytes_per_pixel == 1 else (height, width, self.bytes_per_pixel)

    def nbytes(self, width: int, height: int) -> int:
        """Return the bytes of one picture without padding."""
        return width * height * 3 // 2 if self.chroma_planes else width * height * self.bytes_per_pixel


PIXEL_FORMATS: dict[PixelFormat, FormatInfo] = {
    info.name: info
    for info in (
        FormatInfo("nv12", None, 1, 1, "yuv", "limited", "nv12"),
        FormatInfo("nv21", None, 1, 1, "yuv", "limited", "nv21"),
        FormatInfo("i420", 0, 1, 2, "yuv", "limited", "yuv420p"),
        FormatInfo("yv12", 1, 1, 2, "yuv", "limited", "yuv420p"),  # FFmpeg has it as I420 with exchanged planes
        FormatInfo("gray8", 2, 1, 0, "gray", "full", "gray"),
        FormatInfo("rgb24", 3, 3, 0, "rgb", "full", "rgb24"),
        FormatInfo("bgr24", 4, 3, 0, "rgb", "full", "bgr24"),
        FormatInfo("rgba", 5, 4, 0, "rgb", "full", "rgba"),
        FormatInfo("bgra", 6, 4, 0, "rgb", "full", "bgra"),
        FormatInfo("yuyv422", 7, 2, 0, "yuv", "limited", "yuyv422"),
        FormatInfo("uyvy422", 8, 2, 0, "yuv", "limited", "uyvy422"),
    )
}

# What FFmpeg, OpenCV, Pillow and others call them.
ALIASES: dict[str, PixelFormat] = {
    "yuv420p": "i420",
    "iyuv": "i420",
    "rgb": "rgb24",
    "bgr": "bgr24",
    "gray": "gray8",
    "grey": "gray8",
    "l": "gray8",
    "yuyv": "yuyv422",
    "yuy2": "yuyv422",
    "uyvy": "uyvy422",
}


def name_of_format(name: str) -> str:
    """Return our name of a pixel format by any of its names, in any case; whatever else comes is returned as it is."""
    if not isinstance(name, str):
        return name
    found = ALIASES.get(name.lower(), name.lower())
    return found if found in PIXEL_FORMATS else name


MATRICES: dict[ColorMatrix, int] = {"bt601": 0, "bt709": 1}  # AVENC_BT601, AVENC_BT709
RANGES: dict[ColorRange, int] = {"limited": 0, "full": 1}  # AVENC_RANGE_*


def default_matrix(width: int, height: int) -> ColorMatrix:
    """Return the matrix that players assume for a stream that names none: "bt709" for HD, else "bt601".

    The device writes no colour description into the stream, so the guess of the players decides what is seen.
    """
    return "bt709" if width >= 1280 or height > 576 else "bt601"


def parse_matrix(value: str | None, width: int, height: int) -> ColorMatrix:
    """Return "bt601" or "bt709"; None stands for the one that players assume for this size."""
    if value is None:
        return default_matrix(width, height)
    if not isinstance(value, str):
        raise TypeError(f"color_matrix must be a str or None, got {type(value).__name__}")
    if value.lower() not in MATRICES:
        raise InvalidArgumentError(
            f'color_matrix is {shown(value)}; allowed are "bt601", "bt709", or None for the one that players assume '
            f"({default_matrix(width, height)!r} for {width} x {height})"
        )
    return cast("ColorMatrix", value.lower())


# ---- what mends a frame that does not fit ----------------------------------------------------------------------------

_BY_CHANNELS = {1: ("gray8",), 2: ("yuyv422", "uyvy422"), 3: ("rgb24", "bgr24"), 4: ("rgba", "bgra")}
_OBJECTS = {
    "av": 'an av.VideoFrame is no array: give frame.to_ndarray(format="{0}"), with pixel_format="{0}"',
    "PIL": 'a PIL image is no buffer: give numpy.asarray(image), with pixel_format="rgb24" for mode "RGB"',
}


def fix_of_shape(shape: tuple[int, ...], width: int, height: int, pixel_format: str) -> str:
    """Say what mends a frame of this shape, which does not fit, as ": ..."; "" where nothing is known."""
    fitting = [name for name, info in PIXEL_FORMATS.items() if shape == info.shape(width, height)]
    if len(shape) == 4 and shape[0] == 1:
        return f": it is a batch of one: give frame[0]{fix_of_shape(shape[1:], width, height, pixel_format)}"
    if shape == (1, height, width):
        return f": give frame[0]{_making(_BY_CHANNELS[1], pixel_format)}"
    if len(shape) == 3 and shape[1:] == (height, width) and shape[0] in _BY_CHANNELS:
        which = _making(_BY_CHANNELS[shape[0]], pixel_format)
        return f": its channels come first (CHW): give numpy.ascontiguousarray(frame.transpose(1, 2, 0)){which}"
    if len(shape) == 3 and shape[:2] == (height, width) and shape[2] == 1:
        return f": give frame[:, :, 0]{_making(_BY_CHANNELS[1], pixel_format)}"
    if fitting and pixel_format not in fitting:
        return f": make the encoder with pixel_format={_either(fitting)}"
    return ""


def fix_of_type(frame: object, pixel_format: str = "rgb24") -> str:
    """Say what makes an array of an object that is none, as ": ..."; "" where nothing is known."""
    for kind in type(frame).__mro__:
        hint = _OBJECTS.get(kind.__module__.partition(".")[0])
        if hint:
            return f": {hint.format(pixel_format)}"
    return ""


def _either(names: Sequence[str]) -> str:
    return " or ".join(f'"{name}"' for name in names)


def _making(names: tuple[str, ...], pixel_format: str) -> str:
    return "" if pixel_format in names else f", with pixel_format={_either(names)}"
