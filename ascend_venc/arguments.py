# SPDX-License-Identifier: Apache-2.0
"""Checks of arguments: numbers, names out of a set, times, files, and how a value is shown in a message."""

from __future__ import annotations

import math
import operator
import os
from decimal import Decimal
from fractions import Fraction
from numbers import Rational
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_Name = TypeVar("_Name", bound=str)


def index_of(name: str, value: Any, kind: str = "an int") -> int:
    """Return an int of any size of what is one. Raises TypeError."""
    if not isinstance(value, bool) and hasattr(type(value), "__index__"):  # a class has its instances' one
        try:
            return operator.index(value)
        except TypeError:  # an array of several
            pass
    raise TypeError(f"{name} must be {kind}, got {type(value).__name__}")


def float_of(name: str, value: Any, kind: str) -> float:
    """Return a float of a number; infinity of one beyond every float. Raises TypeError."""
    if not isinstance(value, bool) and hasattr(type(value), "__float__"):
        try:
            return float(value)
        except OverflowError:  # an int
            return float("inf") if value > 0 else float("-inf")
        except (TypeError, ValueError):  # an array of several; a signalling NaN of decimals
            pass
    raise TypeError(f"{name} must be {kind}, got {type(value).__name__}")


def as_int(name: str, value: Any, kind: str = "") -> int:
    """Return an int of anything that is one. Raises TypeError or InvalidArgumentError."""
    number = index_of(name, value, f"an int{kind}")
    if number.bit_length() > 63:
        raise InvalidArgumentError(f"{name} is {shown(number)}, beyond every range")
    return number


def as_count(name: str, value: Any, least: int = 1) -> int:
    """Return an int that is not below the least one. Raises TypeError or InvalidArgumentError."""
    number = as_int(name, value)
    if number < least:
        raise InvalidArgumentError(f"{name} is {number}; it must be {least} or more")
    return number


def as_size(size: Any) -> tuple[int, int] | None:
    """Return width and height, or None. Raises TypeError or InvalidArgumentError."""
    if size is None:
        return None
    try:
        width, height = (index_of("size", side) for side in size)
    except (TypeError, ValueError):
        raise TypeError(f"size must be a pair of ints, width and height, got {size!r}") from None
    if width < 1 or height < 1:
        raise InvalidArgumentError(f"size is {width} x {height}; both must be 1 or more")
    return width, height


def check_bool(name: str, value: Any) -> None:
    """Raise TypeError for anything but True and False: what is true of a word or a number is seldom meant."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be a bool, got {type(value).__name__}")


def shown(value: Any) -> str:
    """A number as text: Python does not write very long ones out, and nobody wants to read them."""
    if isinstance(value, int) and value.bit_length() > 63:
        return f"{'an' if value > 0 else 'a negative'} integer of {value.bit_length()} bits"
    if isinstance(value, str):
        return repr(value) if len(value) <= 40 else f"{value[:40]!r}..., of {len(value)} letters"
    if isinstance(value, Fraction) and max(value.numerator.bit_length(), value.denominator.bit_length()) > 63:
        return "a fraction of very long numbers"
    return str(value)


def parse_choice(
    name: str, value: Any, allowed: Mapping[_Name, Any] | tuple[_Name, ...], aliases: Mapping[str, str] | None = None
) -> _Name:
    """Return one of the allowed names, whose case does not count. Raises TypeError or InvalidArgumentError."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, got {type(value).__name__}")
    for spelt in (value, value.lower()):
        for option in allowed:
            if option == spelt:  # not `spelt`: an Enum's member is shown as another text, and is no str to Cython
                return option
    aliases = aliases or {}
    import difflib

    close = difflib.get_close_matches(value.lower(), [*allowed, *aliases], 1)
    hint = f'; did you mean "{aliases.get(close[0], close[0])}"?' if close else ""
    options = ", ".join(f'"{option}"' for option in allowed)
    raise InvalidArgumentError(f"{name} is {shown(value)}; allowed are {options}{hint}")


def as_seconds(name: str, value: Any) -> Fraction:
    """Return a number of seconds exactly; a float means the decimal number that it is written as, 0.4 two fifths.

    Raises TypeError or InvalidArgumentError.
    """
    number = float_of(name, value, "a number of seconds")
    if not math.isfinite(number):
        raise InvalidArgumentError(f"{name} is {shown(value)}; give a finite number of seconds")
    return Fraction(value) if isinstance(value, (Rational, Decimal)) else Fraction(repr(number))


def as_positive_seconds(name: str, value: Any, most: float = math.inf) -> Fraction:
    """Return a number of seconds as `as_seconds` does. Raises also where it is not above 0, or above the most."""
    seconds = as_seconds(name, value)
    if not 0 < seconds <= most:
        bound = "" if most == math.inf else f", and at most {most:.0f} s"
        raise InvalidArgumentError(f"{name} is {shown(value)}; it must be greater than 0 s{bound}")
    return seconds


def as_time_base(value: Any) -> Fraction:
    """Return the seconds per unit of a clock: of a number as `as_seconds` does, or of text such as "1/1000"."""
    unit = value
    if isinstance(value, str):
        try:
            unit = Fraction(value)
        except (ValueError, ZeroDivisionError):
            raise InvalidArgumentError(
                f"time_base is {shown(value)}; give seconds per unit, such as Fraction(1, 1000)"
            ) from None
    return as_positive_seconds("time_base", unit)


def check_timeout(timeout: Any) -> float | None:
    """Return a bound of a wait in seconds, or None for none. Raises TypeError or InvalidArgumentError."""
    if timeout is None:
        return None
    seconds = float_of("timeout", timeout, "a number of seconds or None")
    if not 0 <= seconds < float("inf"):
        raise InvalidArgumentError(f"timeout is {shown(timeout)}; give seconds >= 0, or None for no bound")
    return seconds


def check_name(name: Any) -> str | None:
    """Return the name that a program gives to something of its own, or None."""
    if name is None:
        return None
    if not isinstance(name, str):
        raise TypeError(f"name must be a str or None, got {type(name).__name__}")
    if not 0 < len(name) <= 128 or not name.isprintable():
        raise InvalidArgumentError(f"name is {shown(name)}; give 1 to 128 printable characters")
    return str.__str__(name)  # the text of an Enum's member, which str() shows as another one


def check_range(value: Any, name: str, lowest: int, highest: int) -> int:
    """Return an int of a range. Raises TypeError or InvalidArgumentError."""
    number = index_of(name, value)
    if not lowest <= number <= highest:
        raise InvalidArgumentError(f"{name} is {shown(number)}, allowed is {lowest} to {highest}")
    return number


def check_latency(seconds: Any) -> None:
    """Raise for what is no `max_latency`."""
    if not 0 < float_of("max_latency", seconds, "a number of seconds") <= 1:
        raise InvalidArgumentError(f"max_latency is {shown(seconds)}; allowed are seconds above 0, up to 1")


def items_of(name: str, values: Iterable[Any]) -> list[Any]:
    """Return what is to have an item for each frame as a list. Raises TypeError."""
    try:
        items = iter(values)
    except TypeError:
        raise TypeError(f"{name} must be a list with an item for each frame, got {type(values).__name__}") from None
    return list(items)


def as_many(name: str, values: Iterable[Any] | None, count: int, default: Any) -> list[Any]:
    """Return one item for each of `count` frames, `default` of None. Raises TypeError or InvalidArgumentError."""
    if values is None:
        return [default] * count
    items = items_of(name, values)
    if len(items) != count:
        raise InvalidArgumentError(f"{name} has {len(items)} items for {count} frames: give one for each")
    return items


def check_device(device: Any, count: int) -> None:
    """Raise for what is no device of this machine, which has `count`."""
    number = index_of("device", device)
    if count and not 0 <= number < count:
        raise InvalidArgumentError(f"device is {shown(device)}; this machine has 0 to {count - 1}")


def file_descriptor(sink: Any, on_full: str) -> int:
    """Return the file descriptor of a sink, -1 of None."""
    if sink is None:
        return -1
    if on_full == "drop_oldest":
        raise InvalidArgumentError(
            'on_full is "drop_oldest", which may drop packets that the sink has begun to write: use "drop_newest", '
            '"block" or "error" with a sink'
        )
    try:
        given = sink.fileno() if callable(getattr(sink, "fileno", None)) and not isinstance(sink, type) else sink
    except (OSError, ValueError) as error:  # a file in memory, or one that was closed
        raise InvalidArgumentError(
            f"sink is a {type(sink).__name__} without a file descriptor ({error}): give an open file, pipe or socket"
        ) from None
    descriptor = index_of("sink", given, "a file descriptor or have fileno()")
    try:
        os.fstat(descriptor)
    except (OSError, OverflowError) as error:
        raise InvalidArgumentError(f"sink is {shown(descriptor)}, which is no open file descriptor: {error}") from None
    return descriptor
