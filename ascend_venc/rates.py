# SPDX-License-Identifier: Apache-2.0
"""Frame rates and bit rates: what is given for them, and what is taken where nothing is."""

from __future__ import annotations

import math
import numbers
import re
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from .arguments import as_int, float_of, index_of, shown
from .errors import InvalidArgumentError

if TYPE_CHECKING:
    from . import literals

MAX_FPS = 1_000_000  # and one frame in so many seconds at least: what a time base holds without loss
MAX_TIME = 2**31 - 1  # of a time base's numbers, which the engine takes


def parse_bitrate(value: int | float | str) -> int:
    """Return bit/s of a number (bit/s) or a text such as "800k", "2M", "2.5M" (powers of 1000), rounded.

    Raises TypeError or InvalidArgumentError.
    """
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d{1,12}(?:\.\d{1,12})?(?:[eE]\+?\d{1,2})?)\s*([kKmM]?)(?:bit/s|bps)?\s*", value)
        if not match:
            raise InvalidArgumentError(
                f'bitrate is {shown(value)}; give bit/s as a number, or a text such as "800k" or "2M"'
            )
        scale = {"": 1, "k": 1000, "m": 1000000}[match.group(2).lower()]
        return round(Fraction(match.group(1)) * scale)
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or hasattr(type(value), "__index__"):
        number = index_of("bitrate", value, 'a number (bit/s) or a str such as "2M"')
        return as_int("bitrate", number)
    if not math.isfinite(float_of("bitrate", value, "a number (bit/s)")):
        raise InvalidArgumentError(f"bitrate is {shown(value)}; give a finite number of bit/s")
    return round(value)


def parse_fps(value: int | float | str | Fraction) -> Fraction:
    """Return frames per second as a Fraction. 23.976, 29.97, 59.94 and the like, also as text, mean n * 1000/1001.

    A fraction of numbers beyond 2**31 - 1 is rounded: to `simple_rate`.

    Raises TypeError or InvalidArgumentError.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Fraction)):
        read: Any = index_of if hasattr(type(value), "__index__") else float_of
        value = read("fps", value, "an int, float or Fraction")
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidArgumentError(f"fps is {value}; give a finite number of frames per second")
    if isinstance(value, str):
        rate = _fps_of_text(value)
    elif isinstance(value, float):
        rate = _fps_of_decimal(Fraction(value))
    else:
        rate = Fraction(value)
    if rate > 0 and not Fraction(1, MAX_FPS) <= rate <= MAX_FPS:
        shown = str(value) if len(f"{rate.numerator:x}{rate.denominator:x}") < 40 else "out of every range"
        raise InvalidArgumentError(f"fps is {shown}; give up to {MAX_FPS}, and at least 1/{MAX_FPS}")
    # An exact fraction of long numbers, as of a measurement, is no time base of the engine's.
    return simple_rate(rate) if max(rate.numerator, rate.denominator) > MAX_TIME else rate


def _fps_of_text(text: str) -> Fraction:
    match = re.fullmatch(r"\s*([+-]?)(?:(\d{1,12})\s*/\s*(\d{1,12})|(\d{1,12}\.?\d{0,12}|\.\d{1,12}))\s*", text)
    if not match or (match.group(3) and not int(match.group(3))):
        shown = repr(text if len(text) <= 40 else text[:40] + "...")
        raise InvalidArgumentError(f"fps is {shown}; give a number of frames per second, e.g. 25 or 30000/1001")
    sign, above, below, decimal = match.groups()
    rate = Fraction(int(above), int(below)) if above else _fps_of_decimal(Fraction(decimal))
    return -rate if sign == "-" else rate


def _fps_of_decimal(value: Fraction) -> Fraction:
    ntsc = Fraction(round(value) * 1000, 1001)
    is_meant = value != round(value) and abs(value - ntsc) < min(Fraction(1, 200), ntsc / 5000)  # 23.98 means it
    return ntsc if is_meant else simple_rate(value)


def simple_rate(value: Fraction) -> Fraction:
    """The nearest rate of small numbers, in frames per second; below 1, of so many seconds a frame."""
    return 1 / (1 / value).limit_denominator(1001) if 0 < value < 1 else value.limit_denominator(1001)


def default_bitrate(width: int, height: int, fps: Fraction, codec: literals.Codec) -> int:
    """Return the bit rate, in bit/s, that is used where none is given: 0.1 bit a pixel for H.264, 0.07 for H.265."""
    per_pixel = Fraction(1, 10) if codec == "h264" else Fraction(7, 100)
    return max(64000, round(width * height * fps * per_pixel / 1000) * 1000)
