# SPDX-License-Identifier: Apache-2.0
"""What arguments of the command may be, as types of argparse."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Any

from ..errors import InvalidArgumentError
from ..rates import parse_fps

if TYPE_CHECKING:
    from collections.abc import Callable
    from fractions import Fraction


def checked(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Make a type of argparse's of what raises InvalidArgumentError."""

    def convert(text: str) -> Any:
        try:
            return parse(text)
        except InvalidArgumentError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def rate(text: str) -> Fraction:
    """Frames per second."""
    value = parse_fps(text)
    if value <= 0:
        raise InvalidArgumentError(f"fps is {text}; it must be greater than 0")
    return value


def seconds(text: str) -> float:
    """Seconds, more than 0."""
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text) or not float(text):
        raise InvalidArgumentError(f"it is {text[:20]!r}; give seconds, more than 0, e.g. 10 or 2.5")
    return float(text)


def size(text: str) -> tuple[int, int]:
    """WIDTHxHEIGHT."""
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and len(width) < 6 and len(height) < 6):
        raise argparse.ArgumentTypeError(f"size is {text!r}; give it as WIDTHxHEIGHT, e.g. 1920x1080")
    return int(width), int(height)
