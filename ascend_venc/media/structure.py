# SPDX-License-Identifier: Apache-2.0
"""What MP4, Matroska, AVI, FLV and WMV files say about themselves that PyAV does not tell.

FFmpeg takes a file that was cut off for one that ends there, and leaves cropping to its own command. Nothing in a file
is trusted: sizes are checked against what is there, and parts are counted before they are followed.
"""

from __future__ import annotations

import os
import re
import struct
from fractions import Fraction
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from .endings import ASF_HEADER, asf_objects, flv_tags, size_by_parts
from .reader import ColorTags, length_of, opened
from .transport_stream import size_in_packets

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_PARTS = 1_000_000  # outermost parts that are looked at
LAST_CODE_POINT = 22  # of ITU-T H.273's primaries; its other tables end before that
MAX_HEADER = 256 << 20  # bytes of an index that are read into memory


class Cropping(NamedTuple):
    """Pixels to be left out on each side."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0


def declared_size(path: str | os.PathLike[str] | BinaryIO, format_name: str) -> int | None:
    """Return the bytes that a file ought to have by what it says itself; None if it does not tell.

    A file object has to be one that can seek.

    `format_name` is FFmpeg's name of the container. Raises OSError if the file cannot be read.
    """
    if format_name == "mpegts":
        return size_in_packets(path)
    parts = _PARTS.get(format_name.partition(",")[0])
    if parts is None:
        return size_by_parts(path, format_name)
    with opened(path) as file:
        length = length_of(file)
        end = samples_end = 0
        fragmented = False
        for _, (name, header, size) in zip(range(MAX_PARTS), parts(file)):
            fragmented = fragmented or name == b"moof"
            if name == b"moov" and size is not None:
                file.seek(end + header)
                samples_end = _end_of_samples(file.read(min(size - header, MAX_HEADER)))
            if size is None:
                return samples_end or None
            end += size
            if end > length and samples_end and not fragmented and name != b"moov":
                return samples_end  # what the index does not list is not missed, whatever the size of its box
            if end >= length:
                return max(end, samples_end)
            file.seek(end)
        return samples_end or None  # something follows that is not such a part: no statement


# How a file of a format begins, whose demuxer takes no second one.
_BEGINNINGS = {
    "flv": re.compile(rb"FLV\x01[\x00-\x07]\0\0\0\x09\0\0\0\0"),
    "asf": re.compile(re.escape(ASF_HEADER)),
    "wtv": re.compile(re.escape(bytes.fromhex("b7d800203749da11a64e0007e95ead8d"))),
}
_LONGEST_BEGINNING = 16  # bytes
_PIECE = 1 << 20  # bytes that are searched at once


def how_it_is_cut_off(format_name: str, size: int, declared: int) -> str:
    """Say of a file of which `declared_size` is more than its size what is missing, as far as that is told."""
    if format_name in ("mpegts", "flv"):
        return f"the file is cut off: its last packet lacks {declared - size} bytes"
    if format_name.partition(",")[0] in (*_PARTS, "mxf"):
        return f"the file is cut off: {size} of {declared} bytes are there"
    return "the file is cut off within its last picture or packet"


def another_film(path: str | os.PathLike[str], format_name: str, read_to: int) -> int | None:
    """Return where another film is in a file that was written behind the first; None if there is none.

    `read_to`: the byte behind the last picture that FFmpeg found. Of MP4 it reads the index of the first film alone,
    and fragments of others in part. Raises OSError if the file cannot be read.
    """
    beginning = _BEGINNINGS.get(format_name)
    with open(path, "rb") as file:
        if format_name.startswith("mov,"):
            return _second_index(file)
        if beginning is None:
            return None
        file.seek(read_to)
        before = b""
        while piece := file.read(_PIECE):
            found = beginning.search(before + piece)
            if found:
                return file.tell() - len(before + piece) + found.start()
            before = piece[1 - _LONGEST_BEGINNING :]
    return None


class TrackHeader(NamedTuple):
    """What a container says of the pictures of a video track; `shape` of their pixels only where they are cropped.

    `holes`: (begin, end) in seconds by its clock, where an edit list shows nothing. `is_fast`: or slow, by that list.
    """

    crop: Cropping = Cropping()
    color: ColorTags = ColorTags()
    shape: Fraction | None = None
    holes: tuple[tuple[Fraction, Fraction], ...] = ()
    is_fast: bool = False


def track_header(path: str | os.PathLike[str] | BinaryIO, format_name: str, number: int) -> TrackHeader:
    """Return what the container says of its video track `number`, counted from 0.

    Matroska's PixelCrop, Display and Colour elements; MP4's clean aperture and colour information. Raises OSError if
    the file cannot be read.
    """
    with opened(path) as file:
        if format_name.startswith("mov,"):
            found = _sample_entries(file)
        elif format_name.startswith("matroska"):
            found = _track_entries(file)
        else:
            return TrackHeader()
    return found[number] if number < len(found) else TrackHeader()


# ---- ISO base media (MP4, MOV) ----


def _boxes(file: BinaryIO) -> Iterator[tuple[bytes, int, int | None]]:
    """Kind, header's bytes and size of the outermost boxes; size None for one that reaches to the end of the file."""
    while True:
        head = file.read(16)
        if len(head) < 8:
            return
        header = 8
        size, kind = struct.unpack_from(">I4s", head)
        if size == 1 and len(head) == 16:
            (size,) = struct.unpack_from(">Q", head, 8)
            header = 16
        elif size == 0:
            yield kind, header, None
        if size < header or not kind.isalnum():
            return
        yield kind, header, size


def _second_index(file: BinaryIO) -> int | None:
    end = found = 0
    for _, (name, _, size) in zip(range(MAX_PARTS), _boxes(file)):
        found += name == b"moov"
        if found > 1 or size is None:
            return end if found > 1 else None
        end += size
        file.seek(end)
    return None


def _children(data: bytes, begin: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Kind, begin and end of the content of the boxes in a part of memory."""
    end = len(data) if end is None else end
    while begin + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, begin)
        header = 8
        if size == 1 and begin + 16 <= end:
            (size,) = struct.unpack_from(">Q", data, begin + 8)
            header = 16
        elif size == 0:
            size = end - begin
        if size < header or begin + size > end:
            return
        yield kind, begin + header, begin + size
        begin += size


def _find(data: bytes, span: tuple[int, int], *kinds: bytes) -> tuple[int, int] | None:
    """Follow a path of boxes; None if one of them is missing."""
    for kind in kinds:
        found = next(((begin, end) for name, begin, end in _children(data, *span) if name == kind), None)
        if found is None:
            return None
        span = found
    return span


def _video_tracks(moov: bytes) -> Iterator[tuple[int, int]]:
    for kind, begin, end in _children(moov):
        if kind != b"trak":
            continue
        handler = _find(moov, (begin, end), b"mdia", b"hdlr")
        if handler and moov[handler[0] + 8 : handler[0] + 12] == b"vide":
            yield begin, end


def _end_of_samples(moov: bytes) -> int:
    """Return where the last byte of the video tracks' samples stands by the index; 0 if it lists none."""
    end = 0
    for track in _video_tracks(moov):
        try:
            end = max(end, _end_of_track(moov, track))
        except (struct.error, IndexError, ZeroDivisionError):
            continue  # FFmpeg has its own mind about an index like that
    return end


def _end_of_track(moov: bytes, track: tuple[int, int]) -> int:
    table = _find(moov, track, b"mdia", b"minf", b"stbl")
    data = _find(moov, track, b"mdia", b"minf", b"dinf", b"dref")
    if table is None or (data and moov[data[0] + 12 : data[0] + 16] and not moov[data[0] + 19] & 1):
        return 0  # no index, or samples in another file
    sizes = _find(moov, table, b"stsz")
    runs = _find(moov, table, b"stsc")
    chunks = _find(moov, table, b"stco") or _find(moov, table, b"co64")
    if sizes is None or runs is None or chunks is None:
        return 0
    (fixed, count) = struct.unpack_from(">II", moov, sizes[0] + 4)
    wide = _find(moov, table, b"stco") is None
    (chunk_count,) = struct.unpack_from(">I", moov, chunks[0] + 4)
    (run_count,) = struct.unpack_from(">I", moov, runs[0] + 4)
    chunk_count = min(chunk_count, (chunks[1] - chunks[0] - 8) // (8 if wide else 4))
    run_count = min(run_count, (runs[1] - runs[0] - 8) // 12)
    count = min(count, (sizes[1] - sizes[0] - 12) // 4) if not fixed else count
    offsets = struct.unpack_from(f">{chunk_count}{'Q' if wide else 'I'}", moov, chunks[0] + 8)
    lengths = () if fixed else struct.unpack_from(f">{count}I", moov, sizes[0] + 12)
    spans = [struct.unpack_from(">II", moov, runs[0] + 8 + 12 * index) for index in range(run_count)]
    end = sample = 0
    for index, (first, each) in enumerate(spans):
        last = spans[index + 1][0] if index + 1 < len(spans) else chunk_count + 1
        for chunk in range(max(first, 1), min(last, chunk_count + 1)):
            taken = min(each, count - sample)
            if taken <= 0:
                return end
            size = fixed * taken if fixed else sum(lengths[sample : sample + taken])
            end = max(end, offsets[chunk - 1] + size)
            sample += taken
    return end


def _sample_entries(file: BinaryIO) -> list[TrackHeader]:
    end = 0
    for _, (name, header, size) in zip(range(MAX_PARTS), _boxes(file)):
        if size is None or name == b"moov":
            if name != b"moov" or size is None:
                return []
            file.seek(end + header)
            moov = file.read(min(size - header, MAX_HEADER))
            return [_sample_entry(moov, track) for track in _video_tracks(moov)]
        end += size
        file.seek(end)
    return []


def _sample_entry(moov: bytes, track: tuple[int, int]) -> TrackHeader:
    table = _find(moov, track, b"mdia", b"minf", b"stbl", b"stsd")
    if table is None:
        return TrackHeader()
    for _, begin, end in _children(moov, table[0] + 8, table[1]):
        if end - begin < 78:
            break
        edits = _edits(moov, track)
        return TrackHeader(_clean_aperture(moov, begin, end), _color_information(moov, begin, end), None, *edits)
    return TrackHeader()


def _edits(moov: bytes, track: tuple[int, int]) -> tuple[tuple[tuple[Fraction, Fraction], ...], bool]:
    """Return what FFmpeg does not follow of an edit list: holes, which it fills with the beginning, and speeds."""
    table, movie = _find(moov, track, b"edts", b"elst"), _find(moov, (0, len(moov)), b"mvhd")
    if table is None or movie is None or movie[1] - movie[0] < 24 or table[1] - table[0] < 8:
        return (), False
    (scale,) = struct.unpack_from(">I", moov, movie[0] + (20 if moov[movie[0]] else 12))
    entry = ">Qqi" if moov[table[0]] else ">Iii"
    (count,) = struct.unpack_from(">I", moov, table[0] + 4)
    count = min(count, (table[1] - table[0] - 8) // struct.calcsize(entry))
    holes, time, shown, is_fast = [], Fraction(0), False, False
    for index in range(count if scale else 0):
        length, media, rate = struct.unpack_from(entry, moov, table[0] + 8 + index * struct.calcsize(entry))
        if media < 0 and shown:  # what is empty before the first picture is a delay
            holes.append((time, time + Fraction(length, scale)))
        time, shown = time + Fraction(length, scale), shown or media >= 0
        is_fast = is_fast or (media >= 0 and rate != 1 << 16)
    return tuple(holes), is_fast


def _clean_aperture(moov: bytes, begin: int, end: int) -> Cropping:
    clap = _find(moov, (begin + 78, end), b"clap")
    if clap is None or clap[1] - clap[0] < 32:
        return Cropping()
    width, height = struct.unpack_from(">HH", moov, begin + 24)
    numbers = struct.unpack_from(">IIIIiIiI", moov, clap[0])
    if not all(numbers[1::2]):
        return Cropping()
    across, down, x, y = (Fraction(*numbers[i : i + 2]) for i in range(0, 8, 2))
    left = round((width - across) / 2 + x)
    top = round((height - down) / 2 + y)
    return _sane(Cropping(left, top, round(width - across) - left, round(height - down) - top), width, height)


def _color_information(moov: bytes, begin: int, end: int) -> ColorTags:
    for kind, at, stop in _children(moov, begin + 78, end):
        if kind == b"colr" and stop - at >= 10 and moov[at : at + 4] in (b"nclx", b"nclc"):
            return _known(struct.unpack_from(">HHH", moov, at + 4))
    return ColorTags()


def _known(values: Iterable[int]) -> ColorTags:
    """Make code points of what a file holds; one that H.273 does not have, or has for RGB, is unspecified."""
    return ColorTags(*(value if 0 < value <= LAST_CODE_POINT else 2 for value in values))


def _sane(crop: Cropping, width: int, height: int) -> Cropping:
    fits = min(crop) >= 0 and crop.left + crop.right < width and crop.top + crop.bottom < height
    return crop if fits else Cropping()


# ---- RIFF (AVI) ----


def _riff_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int | None]]:
    while True:
        header = file.read(8)
        if len(header) < 8 or not header.startswith(b"RIFF"):
            return
        (size,) = struct.unpack_from("<I", header, 4)
        begin = file.tell() - 8
        if begin + size == length_of(file) and _riff_content_ends(file, begin + size):
            size -= 8  # some writers count the header too
        yield b"RIFF", 8, None if size == 0 else 8 + size + size % 2  # 0: the writer never came to its end


def _riff_content_ends(file: BinaryIO, end: int) -> bool:
    """Say whether the chunks of a form, whose kind comes next, end there."""
    file.seek(4, os.SEEK_CUR)
    for _ in range(MAX_PARTS):
        header = file.read(8)
        if len(header) < 8:
            break
        (size,) = struct.unpack_from("<I", header, 4)
        if file.seek(size + size % 2, os.SEEK_CUR) >= end:
            return bool(file.tell() - size % 2 <= end)  # the last one may lack what fills it up
    return False


# ---- EBML (Matroska, WebM) ----

_SEGMENT, _TRACKS, _TRACK, _TYPE, _VIDEO, _CLUSTER = 0x8538067, 0x654AE6B, 0x2E, 0x03, 0x60, 0xF43B675
_CROPS = {0x14BB: "top", 0x14AA: "bottom", 0x14CC: "left", 0x14DD: "right"}  # identifiers without their length bit
_WIDTH, _HEIGHT = 0x30, 0x3A
_DISPLAY = {0x14B0: "shown_width", 0x14BA: "shown_height", 0x14B2: "unit"}
_NO_UNIT = 4  # of DisplayWidth and DisplayHeight: not known
_COLOR = 0x15B0
_COLORS = {0x15BB: "primaries", 0x15BA: "transfer", 0x15B1: "matrix"}


def _ebml_elements(file: BinaryIO) -> Iterator[tuple[bytes, int, int | None]]:
    """The outermost elements; size None for one of unknown size, as in live recordings."""
    while True:
        identifier, identifier_width = _ebml_number(file)
        size, size_width = _ebml_number(file)
        if not identifier_width or not size_width:
            return
        header = identifier_width + size_width
        unknown = size == (1 << 7 * size_width) - 1
        yield identifier.to_bytes(8, "big"), header, None if unknown else header + size


def _ebml_number(file: BinaryIO) -> tuple[int, int]:
    """Read a number of variable length: (value, bytes it takes); (0, 0) at the end or for what is none."""
    first = file.read(1)
    if not first or not first[0]:
        return 0, 0
    width = 9 - first[0].bit_length()
    rest = file.read(width - 1)
    if len(rest) < width - 1:
        return 0, 0
    return int.from_bytes(first + rest, "big") & ((1 << 7 * width) - 1), width


def _elements(file: BinaryIO, end: int) -> Iterator[tuple[int, int, int]]:
    """Identifier, begin and end of the content of elements up to a place in the file."""
    for _ in range(MAX_PARTS):
        if file.tell() >= end:
            return
        identifier, identifier_width = _ebml_number(file)
        size, size_width = _ebml_number(file)
        if not identifier_width or not size_width:
            return
        begin = file.tell()
        stop = end if size == (1 << 7 * size_width) - 1 else min(begin + size, end)
        yield identifier, begin, stop
        file.seek(stop)


def _track_entries(file: BinaryIO) -> list[TrackHeader]:
    found: list[TrackHeader] = []
    length = length_of(file)
    for segment, _, segment_end in _elements(file, length):
        if segment != _SEGMENT:
            continue
        for part, _, part_end in _elements(file, segment_end):
            if part == _CLUSTER:
                return found
            if part != _TRACKS:
                continue
            for track, _, track_end in _elements(file, part_end):
                if track == _TRACK:
                    values = _numbers_of(file, track_end)
                    if values.get("type") == 1:
                        sides = Cropping(*(values.get(side, 0) for side in Cropping._fields))
                        crop = _sane(sides, values.get("width", 0), values.get("height", 0))
                        color = _known(values.get(name, 2) for name in ColorTags._fields)
                        found.append(TrackHeader(crop, color, _shape(values, crop)))
            return found
    return found


def _shape(values: dict[str, int], crop: Cropping) -> Fraction | None:
    """Return that of cropped pixels: the size that is told is of what is left, which FFmpeg before 7.1 overlooks."""
    width, height = (values.get(name, 0) for name in ("width", "height"))
    if not any(crop) or values.get("unit", 0) >= _NO_UNIT:
        return None
    width, height = width - crop.left - crop.right, height - crop.top - crop.bottom
    across, down = values.get("shown_width", 0) or width, values.get("shown_height", 0) or height
    return Fraction(across * height, down * width)


def _numbers_of(file: BinaryIO, end: int) -> dict[str, int]:
    """Read a track's type, sizes, cropping and colours."""
    names = {_TYPE: "type", _WIDTH: "width", _HEIGHT: "height", **_CROPS, **_DISPLAY, **_COLORS}
    values: dict[str, int] = {}
    for identifier, begin, stop in _elements(file, end):
        if identifier in (_VIDEO, _COLOR):
            values.update({name: value for name, value in _numbers_of(file, stop).items() if name != "type"})
        elif identifier in names and stop - begin <= 8:
            values[names[identifier]] = int.from_bytes(file.read(stop - begin), "big")
    return values


_PARTS = {"mov": _boxes, "matroska": _ebml_elements, "avi": _riff_chunks, "flv": flv_tags, "asf": asf_objects}
