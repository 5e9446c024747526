# SPDX-License-Identifier: Apache-2.0
"""Checks of arguments: integers, names out of a set, and how a value is shown in a message."""

from __future__ import annotations

import difflib
import operator
from typing import Any

from .errors import InvalidArgumentError


def as_int(name: str, value: Any, kind: str = "") -> int:
    """Return an int of anything that is one. Raises TypeError or InvalidArgumentError."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an int{kind}, got {type(value).__name__}")
    number = operator.index(value)
    if number.bit_length() > 63:
        raise InvalidArgumentError(f"{name} is {shown(number)}, beyond every range")
    return number


def shown(value: Any) -> str:
    """A number as text: Python does not write very long ones out, and nobody wants to read them."""
    if isinstance(value, int) and value.bit_length() > 63:
        return f"{'an' if value > 0 else 'a negative'} integer of {value.bit_length()} bits"
    return str(value)


def parse_choice(name: str, value: Any, allowed: dict | tuple, aliases: dict[str, str] | None = None) -> str:
    """Return one of the allowed names, whose case does not count. Raises TypeError or InvalidArgumentError."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, got {type(value).__name__}")
    if value in allowed:
        return value
    if value.lower() in allowed:
        return value.lower()
    aliases = aliases or {}
    close = difflib.get_close_matches(value.lower(), [*allowed, *aliases], 1)
    hint = f'; did you mean "{aliases.get(close[0], close[0])}"?' if close else ""
    options = ", ".join(f'"{option}"' for option in allowed)
    raise InvalidArgumentError(f"{name} is {value!r}; allowed are {options}{hint}")
