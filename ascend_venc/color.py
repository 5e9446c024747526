# SPDX-License-Identifier: Apache-2.0
"""How the samples of a stream are to be understood, as ITU-T H.273 numbers it, and how parameter sets tell it."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Any, NamedTuple, cast

from .arguments import index_of, parse_choice, shown
from .constants import StreamFormat
from .errors import InvalidArgumentError
from .literals import ColorMatrix, ColorRange, PixelFormat
from .pixel_formats import PIXEL_FORMATS

UNSPECIFIED = 2

PRIMARIES = {"bt709": 1, "bt470m": 4, "bt470bg": 5, "smpte170m": 6, "smpte240m": 7, "film": 8, "bt2020": 9}
PRIMARIES.update({"smpte428": 10, "smpte431": 11, "smpte432": 12, "unspecified": UNSPECIFIED})
TRANSFERS = {"bt709": 1, "gamma22": 4, "gamma28": 5, "smpte170m": 6, "smpte240m": 7, "linear": 8, "srgb": 13}
TRANSFERS.update({"bt2020-10": 14, "bt2020-12": 15, "pq": 16, "smpte428": 17, "hlg": 18, "unspecified": UNSPECIFIED})
# 0, RGB itself, is for 4:4:4 only.
MATRICES = {"bt709": 1, "fcc": 4, "bt470bg": 5, "smpte170m": 6, "smpte240m": 7, "bt2020": 9, "bt2020-cl": 10}
MATRICES.update({"ictcp": 14, "unspecified": UNSPECIFIED})
RANGES: tuple[ColorRange, ...] = ("limited", "full")
# AVENC_VUI_* of csrc/include/avenc.h; and a stream format of each codec, all profiles are alike here.
TELLS_COLOR, TELLS_RANGE, TELLS_SHAPE, TELLS_TIMING, TELLS_FIXED_RATE = 7, 8, 16, 32, 64
PROFILE_FORMATS = {"h264": StreamFormat.H264_MAIN, "h265": StreamFormat.H265_MAIN}


class ColorInfo(NamedTuple):
    """How the samples of a stream are to be understood.

    `Encoder(color=...)` writes it into the stream. The three numbers are code points of ITU-T H.273, or their names
    there: 2, "unspecified", says nothing. The pictures are not changed by it.

    Attributes
    ----------
    primaries : int or str
        "bt709" (1, also sRGB's), "bt470bg" (5, PAL), "smpte170m" (6, NTSC), "bt2020" (9), "smpte432" (12, P3), ...
    transfer : int or str
        "bt709" (1), "smpte170m" (6), "srgb" (13), "pq" (16), "hlg" (18), ...
    matrix : int or str
        "bt709" (1), "bt470bg" (5) and "smpte170m" (6), which are the same, BT.601, "bt2020" (9), ...
    range : str, optional
        "limited" or "full". None: the encoder's `color_range`.
    """

    primaries: Any = UNSPECIFIED
    transfer: Any = UNSPECIFIED
    matrix: Any = UNSPECIFIED
    range: ColorRange | None = None


NAMED = {
    "bt709": ColorInfo(1, 1, 1),
    "bt601": ColorInfo(6, 6, 6),
    "bt601-625": ColorInfo(5, 6, 5),
    "srgb": ColorInfo(1, 13, 1),
    "bt2020": ColorInfo(9, 14, 9),
    "bt2020-pq": ColorInfo(9, 16, 9),
    "bt2020-hlg": ColorInfo(9, 18, 9),
}
_ALIASES = {"smpte170m": "bt601", "ntsc": "bt601", "pal": "bt601-625", "bt470bg": "bt601-625", "rec709": "bt709"}
_ALIASES.update({"hdr10": "bt2020-pq", "pq": "bt2020-pq", "hlg": "bt2020-hlg", "rec2020": "bt2020", "bt.709": "bt709"})


def parse_color(value: Any) -> ColorInfo | None:
    """Return a ColorInfo with numbers: of its like, of three or four values in a tuple, or of a name; None stays.

    Raises TypeError or InvalidArgumentError.
    """
    if value is None:
        return None
    if isinstance(value, str):
        name = _ALIASES.get(value.lower(), value.lower())
        if name not in NAMED:
            import difflib

            close = difflib.get_close_matches(name, [*NAMED, *_ALIASES], 1)
            hint = f'; did you mean "{close[0]}"?' if close else ""
            names = ", ".join(f'"{known}"' for known in NAMED)
            raise InvalidArgumentError(f"color is {shown(value)}; allowed are {names}, or a ColorInfo{hint}")
        return NAMED[name]
    if not isinstance(value, tuple) or len(value) not in (3, 4):
        raise TypeError(f'color must be a ColorInfo or a name such as "bt709", got {type(value).__name__}')
    primaries, transfer, matrix = (
        _code(label, given, table)
        for label, given, table in zip(("primaries", "transfer", "matrix"), value, (PRIMARIES, TRANSFERS, MATRICES))
    )
    if matrix == 0:
        raise InvalidArgumentError("color.matrix is 0, RGB: the encoder's pictures are 4:2:0, which have another")
    extent = value[3] if len(value) == 4 else None
    if extent is not None and (not isinstance(extent, str) or extent.lower() not in RANGES):
        raise InvalidArgumentError(f'color.range is {extent!r}; allowed are "limited", "full"')
    return ColorInfo(primaries, transfer, matrix, None if extent is None else cast("ColorRange", extent.lower()))


def _code(label: str, value: Any, table: dict[str, int]) -> int:
    if isinstance(value, str):
        if value.lower() not in table:
            names = ", ".join(f'"{name}"' for name in table)
            raise InvalidArgumentError(
                f"color.{label} is {shown(value)}; allowed are {names}, or the number of ITU-T H.273"
            )
        return table[value.lower()]
    number = index_of(f"color.{label}", value, "an int of ITU-T H.273 or its name")
    if not 0 <= number <= 255:
        raise InvalidArgumentError(f"color.{label} is {shown(number)}; ITU-T H.273 numbers them from 0 to 255")
    return number


def parse_shape(value: Any) -> Fraction | None:
    """Return a sample aspect ratio as the nearest one that 16 bits a side can tell; None stays.

    Of a number, or a text such as "4/3" or "4:3". Raises TypeError or InvalidArgumentError.
    """
    if value is None:
        return None
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d{1,9})\s*[:/]\s*(\d{1,9})\s*|\s*(\d{1,9}(?:\.\d{1,9})?)\s*", value)
        if not match or (match.group(2) and not int(match.group(2))):
            raise InvalidArgumentError(f'sample_aspect_ratio is {shown(value)}; give width by height, such as "4:3"')
        shape = Fraction(match.group(3)) if match.group(3) else Fraction(int(match.group(1)), int(match.group(2)))
    elif isinstance(value, float) and not math.isfinite(value):
        raise InvalidArgumentError(f"sample_aspect_ratio is {value}; give width by height of a pixel")
    else:
        is_exact = isinstance(value, (float, Fraction))
        shape = Fraction(value if is_exact else index_of("sample_aspect_ratio", value, "a Fraction or None"))
    if not Fraction(1, 65535) <= shape <= 65535:
        raise InvalidArgumentError(f"sample_aspect_ratio is {shown(value)}; it must be 1/65535 to 65535")
    return shape.limit_denominator(65535) if shape < 1 else 1 / (1 / shape).limit_denominator(65535)


def matrix_of(
    color: ColorInfo | None, color_matrix: ColorMatrix | None, pixel_format: PixelFormat
) -> ColorMatrix | None:
    """Return by which matrix RGB is to be converted, where `color` says something of it."""
    if color is None or color.matrix == 2 or PIXEL_FORMATS[pixel_format].color != "rgb":
        return color_matrix
    known: dict[int, ColorMatrix] = {1: "bt709", 5: "bt601", 6: "bt601"}
    named = known.get(color.matrix)
    if named is None:
        raise InvalidArgumentError(
            f'color.matrix is {color.matrix}; {pixel_format} is converted with "bt709" or "bt601": give one of these, '
            "or frames in YUV"
        )
    if color_matrix is not None and isinstance(color_matrix, str) and color_matrix.lower() != named:
        raise InvalidArgumentError(f"color_matrix is {color_matrix!r}, and color says {named!r}: give one of them")
    return named


def range_of(color: ColorInfo | None, color_range: ColorRange | None) -> ColorRange:
    told = None if color is None else color.range
    if color_range is None:
        return told or "limited"
    color_range = parse_choice("color_range", color_range, RANGES)
    if told is not None and color_range != told:
        raise InvalidArgumentError(f"color_range is {color_range!r}, and color says {told!r}: give one of them")
    return color_range


def color_of(pixel_format: PixelFormat, color_matrix: ColorMatrix) -> ColorInfo:
    """Return what is known of the samples where the caller does not say it. RGB is taken for sRGB.

    Of YUV their range alone, which is told all the same: H.264 of the 310B says full range by itself on DVPP V2
    (source: the vendor's documentation of hi_mpi_venc_set_h264_vui).
    """
    if PIXEL_FORMATS[pixel_format].color != "yuv":
        return NAMED["bt709"] if color_matrix == "bt709" else ColorInfo(1, 1, 6)
    return ColorInfo()


class Vui(NamedTuple):
    """What the engine writes into the parameter sets, by the names of avenc_vui; `tells` 0: nothing."""

    tells: int = 0
    primaries: int = 0
    transfer: int = 0
    matrix: int = 0
    full_range: int = 0
    fixed_rate: int = 0
    sar_width: int = 0
    sar_height: int = 0
    units_in_tick: int = 0
    time_scale: int = 0

    def with_fixed_rate(self, fixed: bool) -> Vui:
        return self._replace(tells=self.tells | TELLS_FIXED_RATE, fixed_rate=int(fixed))


def vui_of(codec: str, color: ColorInfo | None, shape: Fraction | None, fps: Fraction | None) -> Vui:
    """Return what the engine is to write; of what is None nothing. H.264 counts two ticks a frame."""
    told = Vui()
    if color is not None:
        if color.range is not None:
            told = told._replace(tells=TELLS_RANGE, full_range=int(color.range == "full"))
        if color[:3] != ColorInfo()[:3]:
            told = told._replace(
                tells=told.tells | TELLS_COLOR,
                primaries=color.primaries,
                transfer=color.transfer,
                matrix=color.matrix,
            )
    if shape is not None:
        told = told._replace(tells=told.tells | TELLS_SHAPE, sar_width=shape.numerator, sar_height=shape.denominator)
    if fps is not None:
        ticks = fps * (2 if codec == "h264" else 1)
        if ticks.numerator < 2**32 and ticks.denominator < 2**32:  # else there is no place for it
            told = told._replace(
                tells=told.tells | TELLS_TIMING, time_scale=ticks.numerator, units_in_tick=ticks.denominator
            )
    return told
