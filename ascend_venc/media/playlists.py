# SPDX-License-Identifier: Apache-2.0
"""What HLS playlists, FFmpeg's concat lists and numbered pictures name, and whether it is there.

FFmpeg passes over what is not.
"""

from __future__ import annotations

import os
import re
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from .structure import declared_size

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_LIST = 16 << 20  # bytes that are read of one
NUMBER = re.compile(r"%0?\d*d")  # in the name of numbered pictures
_URI = re.compile(r'[:,]\s*URI="([^"]*)"')
_LENGTH = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?)(s|ms|us)?")
_UNITS = {"s": 1, "ms": 1000, "us": 1_000_000}
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
# How a file begins, by FFmpeg's name of its format, of those that tell their size. Others are MPEG-TS or unknown.
_BEGINNINGS = ((b"\x1a\x45\xdf\xa3", "matroska"), (b"RIFF", "avi"), (b"FLV", "flv"), (b"\x30\x26\xb2\x75", "asf"))
_BOXES = (b"ftyp", b"styp", b"moof", b"moov", b"sidx", b"emsg", b"prft")


class Part(NamedTuple):
    """A file that a list names."""

    name: str  # as the list has it
    path: str
    end: int | None = None  # the byte behind what is read of it, where the list tells
    whole: bool = True  # whether it is read to its end


class Playlist(NamedTuple):
    """What a list names: parts of the film, or variants of it."""

    parts: list[Part]
    variants: list[Part]
    seconds: Fraction | None  # that the pictures last, where it tells
    last: Fraction  # of them those of the last part


def what_is_missing(path: str, format_name: str) -> list[str]:
    """Say which files of a list are not there or are cut off, of those that are local; [] where none are.

    `format_name`: "hls" or "concat". Of several variants each is looked at. Raises OSError if the list cannot be read.
    """
    playlist = read_playlist(path, format_name)
    missing = [text for part in playlist.parts for text in _faults_of(part)]
    for variant in playlist.variants:
        missing += _faults_of(variant)
        if os.path.isfile(variant.path):
            missing += [text for part in read_playlist(variant.path, format_name).parts for text in _faults_of(part)]
    return missing


def read_playlist(path: str, format_name: str) -> Playlist:
    """Read a list. Raises OSError if it cannot be read."""
    with open(path, "rb") as file:
        lines = file.read(MAX_LIST).decode("utf-8", "replace").splitlines()
    folder = os.path.dirname(path)
    return _concat(lines, folder) if format_name == "concat" else _hls(lines, folder)


def behind_a_gap(pattern: str, first: int, count: int) -> tuple[str, int] | None:
    """Return the name of the picture that ended a row of so many numbered ones, and how many there are behind it.

    None where there are none. The row begins with the first number there is from `first` on.
    """
    folder, name = os.path.split(pattern)
    found = NUMBER.search(name)
    if found is None or not count or not os.path.isdir(folder or "."):
        return None
    before, after = name[: found.start()], name[found.end() :]
    numbers = []
    for entry in os.listdir(folder or "."):
        number = entry[len(before) : len(entry) - len(after)]
        if number.isdecimal() and number.isascii() and before + found.group() % int(number) + after == entry:
            numbers.append(int(number))
    numbers = [number for number in numbers if number >= first]
    numbers.sort()
    if len(numbers) <= count:
        return None
    return before + found.group() % (numbers[count - 1] + 1) + after, len(numbers) - count


def _faults_of(part: Part) -> list[str]:
    if not os.path.exists(part.path):
        return [f"{part.name}, which it names, is not there"]
    if not os.path.isfile(part.path):
        return []
    size = os.path.getsize(part.path)
    declared = part.end if part.end is not None or not part.whole else _declared(part.path)
    if declared is None or declared <= size:
        return []
    return [f"{part.name}, which it names, is cut off: {size} of {declared} bytes are there"]


def _declared(path: str) -> int | None:
    with open(path, "rb") as file:
        head = file.read(8)
    name = next((name for begin, name in _BEGINNINGS if head.startswith(begin)), "mpegts")
    return declared_size(path, "mov" if head[4:] in _BOXES else name)


def _hls(lines: list[str], folder: str) -> Playlist:
    parts: list[Part] = []
    variants: list[Part] = []
    seconds: list[Fraction] = []
    told = True
    gap = variant = False
    byte_range: tuple[int, int | None] | None = None
    ends: dict[str, int] = {}  # of byte ranges
    for line in map(str.strip, lines):
        tag, _, value = line.partition(":")
        uri = _URI.search(line)
        if tag == "#EXTINF":
            length = value.partition(",")[0].strip()
            told = told and "." in length  # whole seconds are rounded ones
            seconds.append(Fraction(length) if re.fullmatch(r"\d+(\.\d+)?", length) else Fraction(0))
        elif tag == "#EXT-X-BYTERANGE":
            length, _, begin = value.partition("@")
            if length.isdecimal() and (not begin or begin.isdecimal()):
                byte_range = int(length), int(begin) if begin else None
        elif line == "#EXT-X-GAP":
            gap, told = True, False
        elif tag == "#EXT-X-STREAM-INF":
            variant = True
        elif tag == "#EXT-X-MAP" and uri:
            parts += _parts(uri[1], folder, None)
        elif tag == "#EXT-X-MEDIA" and uri and "TYPE=AUDIO" in line:
            variants += _parts(uri[1], folder, None)
        elif line and not line.startswith("#"):
            end = None
            if byte_range is not None:
                end = (ends.get(line, 0) if byte_range[1] is None else byte_range[1]) + byte_range[0]
                ends[line] = end
            found = _parts(line, folder, end)
            if variant:
                variants += found
            elif not gap:
                parts += found
            gap = variant = False
            byte_range = None
    known = told and seconds and not variants
    last = seconds[-1] if seconds else Fraction(0)
    return Playlist(parts, variants, sum(seconds, Fraction(0)) if known else None, last)


def _concat(lines: list[str], folder: str) -> Playlist:
    parts: list[Part] = []
    seconds: list[Fraction | None] = []
    for line in map(str.strip, lines):
        word, _, rest = line.partition(" ")
        if word == "file":
            parts += _parts(_token(rest.strip()), folder, None)
            seconds.append(None)
        elif word == "duration" and seconds:
            seconds[-1] = _seconds(_token(rest.strip()))
        elif word in ("inpoint", "outpoint") and parts:  # what is behind it is not missed
            parts[-1] = parts[-1]._replace(whole=False)
    told = [length for length in seconds if length is not None]
    if not told or len(told) < len(seconds):
        return Playlist(parts, [], None, Fraction(0))
    return Playlist(parts, [], sum(told, Fraction(0)), told[-1])


def _seconds(text: str) -> Fraction | None:
    """Return a length as FFmpeg writes it: seconds, with s, ms or us behind them or not, or hours:minutes:seconds."""
    found = _LENGTH.fullmatch(text)
    if found is None:
        return None
    hours, minutes, number, unit = found.groups()
    return (int(hours or 0) * 3600 + int(minutes or 0) * 60 + Fraction(number)) / _UNITS[unit or "s"]


def _token(text: str) -> str:
    """Take FFmpeg's quotes from a word."""
    found, quoted, index = [], False, 0
    while index < len(text) and (quoted or not text[index].isspace()):
        letter = text[index]
        if letter == "'":
            quoted = not quoted
        elif letter == "\\" and not quoted and index + 1 < len(text):
            index += 1
            found.append(text[index])
        else:
            found.append(letter)
        index += 1
    return "".join(found)


def _parts(name: str, folder: str, end: int | None) -> Iterator[Part]:
    """The file that a name means, none where it is for a network or another of FFmpeg's protocols."""
    local = name[5:] if name.startswith("file:") else name
    if local is name and _SCHEME.match(name) and not os.path.exists(os.path.join(folder, name)):
        return
    if local.startswith("//"):
        local = "/" + local.lstrip("/")
    meant = (local, unquote(local), unquote(local.partition("?")[0]))
    paths = [os.path.join(folder, path) for path in meant]
    yield Part(name, next(filter(os.path.exists, paths), paths[0]), end)
