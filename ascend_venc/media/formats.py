# SPDX-License-Identifier: Apache-2.0
"""Formats of output files: names and suffixes, what each can hold, and how FFmpeg is asked for it."""

from __future__ import annotations

import collections.abc
import io
import logging
import os
import re
import threading
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from ..config import CODEC_ALIASES, CODECS
from ..errors import InvalidArgumentError
from .reader import suffix_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..literals import Codec, ContainerName

FORMATS: dict[str, ContainerName] = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".ts": "mpegts",
    ".flv": "flv",
}
FORMAT_ALIASES: dict[str, ContainerName] = {suffix[1:]: name for suffix, name in FORMATS.items()}
# What goes over a network, by the scheme of its address.
LIVE_FORMATS: dict[str, ContainerName] = {
    **dict.fromkeys(("rtsp", "rtsps"), "rtsp"),
    **dict.fromkeys(("rtmp", "rtmps"), "flv"),
    **dict.fromkeys(("udp", "srt", "tcp", "http", "https"), "mpegts"),
}
ISO_FORMATS = ("mp4", "mov")
ANNEXB_CODECS: dict[str, Codec] = {
    ".h264": "h264",
    ".264": "h264",
    ".avc": "h264",
    ".h265": "h265",
    ".265": "h265",
    ".hevc": "h265",
}
SUFFIXES = (*ANNEXB_CODECS, *FORMATS)
FLV_CODEC: Codec = "h264"  # H.265 in it is an extension, which few players know

# The longest step from one packet to the next, in units of the file's clock: mp4 stores it as a number of 32 bits, of
# which FFmpeg uses 31, as flv does; a reader of ts, whose clock has 33 bits, takes half its range for a step back.
LONGEST_STEP = {"mp4": 2**31 - 2, "mov": 2**31 - 2, "mpegts": 2**32 - 1, "flv": 2**31 - 2}
# The last time in a file, in the same units: what comes behind it would begin at 0 again.
LAST_TICK = {"flv": 2**31 - 1}
# Seconds per unit of clocks that the format fixes; MP4 and MOV take any.
CLOCKS = {
    "matroska": Fraction(1, 1000),
    "flv": Fraction(1, 1000),
    "mpegts": Fraction(1, 90000),
    "rtsp": Fraction(1, 90000),
}
_TICKS = 10_000  # in a second, at least, of the clock that FFmpeg gives to pictures in MP4
_MOST_TICKS = 1_000_000  # finer ones leave no room for a pause
SHORTEST_TS = 2048  # bytes: FFmpeg takes a shorter transport stream for something else
NULL_PACKET = b"\x47\x1f\xff\x10" + b"\xff" * 184  # of MPEG-TS, which says nothing
# Flags of FFmpeg's mov muxer by which a file is in fragments, and options that have the same effect.
_FRAGMENTING = {"frag_keyframe", "frag_every_frame", "frag_custom", "hybrid_fragmented", "empty_moov", "delay_moov"}
_FRAGMENTING |= {"dash", "cmaf"}
_FRAGMENT_SIZES = ("frag_duration", "frag_size")
DEMUXERS_OF_SEVERAL_NAMES = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
SERVICE = 180  # bytes of a service's name in MPEG-TS, which leave room for its provider's
CLUSTER = 1000  # milliseconds of Matroska that are written at once
FRAGMENT = 1_000_000  # microseconds that a fragment has at most, where no key frame ends it before


def fine_clock(time_base: Fraction) -> Fraction:
    """Return seconds per unit of a clock for a film whose rate may change: what FFmpeg makes of a time base in MP4.

    In units of the time base itself two pictures of a higher rate would be at the same time.
    """
    ticks = time_base.denominator
    while ticks < _TICKS:
        ticks *= 2
    return Fraction(1, min(ticks, _MOST_TICKS))


def codec_of(path: str | os.PathLike[str]) -> Codec | None:
    """Return the codec that the suffix of a bare bitstream names; None for a container, which holds either."""
    return ANNEXB_CODECS.get(suffix_of(path))


def container_of(path: str | os.PathLike[str]) -> ContainerName | None:
    """Return the `Muxer` format that the suffix, or the scheme of a network, names, or None."""
    return live_format(path) or FORMATS.get(suffix_of(path))


def scheme_of(path: Any) -> str:
    """Return the scheme of a URL, in lower case, or "" where it is none."""
    scheme, separator, _ = path.partition("://") if isinstance(path, str) else ("", "", "")
    return scheme.lower() if separator else ""


def live_format(path: Any) -> ContainerName | None:
    """Return the `Muxer` format that a network takes, by the scheme of its address; None for anything else."""
    return LIVE_FORMATS.get(scheme_of(path))


def bare_codec(format: str) -> Codec | None:
    """Return the codec where a format's name is that of a bare bitstream."""
    name = CODEC_ALIASES.get(format.lower(), format.lower())
    return name if name in CODECS else None


def parse_format(format: Any, file: Any) -> ContainerName:
    """Return the name of a container format, given or by the file's suffix. Raises InvalidArgumentError."""
    if format is None and isinstance(file, (str, os.PathLike)):
        format = container_of(file)
    elif isinstance(format, str):
        format = FORMAT_ALIASES.get(format.lower(), format.lower())
    if format not in FORMATS.values() and (format != "rtsp" or live_format(file) != "rtsp"):
        raise InvalidArgumentError(
            f"format is {format!r}; allowed are {', '.join(sorted(set(FORMATS.values())))}, and the suffixes "
            f"{' '.join(FORMATS)}"
        )
    return cast("ContainerName", format)


def demuxer_of(container: Any) -> str:
    """Return FFmpeg's whole name of what reads an open container; PyAV gives the part of it that was asked for."""
    name: str = container.format.name
    return next((whole for whole in DEMUXERS_OF_SEVERAL_NAMES if name in whole.split(",")), name)


def mux_options(
    format: str,
    fragmented: bool,
    faststart: bool,
    options: Mapping[str, str] | None,
    finest: Fraction | None = None,
    late: bool = False,
) -> dict[str, str]:
    """Return FFmpeg's options.

    `finest`: the unit of a film that does not begin at 0, if it is finer than 1 ms. `late`: the header of an MP4 in
    fragments is to be written behind the first packet of each stream.
    """
    told: dict[str, str] = {}
    if format == "matroska":
        told["cluster_time_limit"] = str(CLUSTER)
    flags = []
    if fragmented:
        flags = ["frag_keyframe", "empty_moov", "default_base_moof"]
        told["frag_duration"] = str(FRAGMENT)
    if faststart:
        flags.append("faststart")
    if flags:
        told["movflags"] = "+".join(flags)
    if format not in ISO_FORMATS or fragmented:
        told["flush_packets"] = "1"  # what was written can be played, also if nothing more comes
    if format in ISO_FORMATS and finest is not None:
        # Where a film does not begin at 0, the beginning is in units of the whole file, milliseconds by default.
        told["movie_timescale"] = str(finest.denominator)
    told.update({str(name): str(value) for name, value in (options or {}).items()})
    if late and "delay_moov" not in told.get("movflags", ""):
        told["movflags"] = "+".join(filter(None, [told.get("movflags"), "delay_moov"]))
    return told


def tags_for(format: str, metadata: Mapping[str, str] | None) -> dict[str, str]:
    """Return tags as a format has room for them: MPEG-TS holds two names of a service, together 255 bytes."""
    tags = {str(name): str(text) for name, text in (metadata or {}).items()}
    if format == "mpegts":
        for name, text in tags.items():
            limit = {"service_provider": SERVICE // 3, "service_name": SERVICE, "title": SERVICE}.get(name.lower())
            if limit is not None:
                tags[name] = text.encode(errors="replace")[:limit].decode(errors="ignore")
    return tags


def movflags_of(options: Mapping[str, str] | None) -> set[str]:
    """Return the flags that FFmpeg's option `movflags` sets, such as "+faststart+write_colr"."""
    found: set[str] = set()
    for sign, name in re.findall(r"([+-]?)(\w+)", str((options or {}).get("movflags", ""))):
        if sign == "-":
            found.discard(name)
        else:
            found.add(name)
    return found


def asks_for_fragments(options: Mapping[str, str] | None) -> bool:
    """Say whether options of FFmpeg's muxer make fragments of an MP4. Most flags have nothing to do with that."""
    return bool(movflags_of(options) & _FRAGMENTING) or any(name in (options or {}) for name in _FRAGMENT_SIZES)


def reads_again(options: Mapping[str, str] | None) -> bool:
    """Say whether FFmpeg reads what it has written, by these options, to move it: the file has to be readable."""
    return "faststart" in movflags_of(options) and not asks_for_fragments(options)


def check_mapping(name: str, value: Any, example: str) -> None:
    """Raise TypeError where a setting is no mapping."""
    if value is not None and not isinstance(value, collections.abc.Mapping):
        raise TypeError(f"{name} must be a mapping of str, such as {example}, got {type(value).__name__}")


def check_options(av: Any, format: str, options: Mapping[str, str] | None) -> None:
    """Raise InvalidArgumentError for an option that FFmpeg's muxer does not take, or would ignore."""
    if format not in FORMATS.values():  # rtsp, which cannot be tried without a server
        return
    flags = movflags_of(options)
    # Of the first FFmpeg makes files that it cannot read, of the second it dies.
    if "global_sidx" in flags or ("rtphint" in flags and (asks_for_fragments(options) or "isml" in flags)):
        name = "global_sidx" if "global_sidx" in flags else "rtphint"
        raise InvalidArgumentError(f"muxer option 'movflags' has {name}, which makes no file that plays: leave it out")
    if not options or _refused(av, format, options) is None:
        return
    for name, value in options.items():
        reason = _refused(av, format, {name: value})
        if reason is not None:
            raise InvalidArgumentError(f"muxer option {name!r} is {value!r}: FFmpeg's {format} muxer {reason}")


def _refused(av: Any, format: str, options: Mapping[str, str]) -> str | None:
    """Say why a muxer does not take options; None where it does, or that cannot be tried."""
    unused: list[str] = []

    def listen(record: logging.LogRecord) -> bool:
        ours = record.thread == threading.get_ident()
        if ours:
            unused.append(record.getMessage())
        return not ours

    told = {str(name): str(value) for name, value in options.items()}
    file = io.BytesIO()
    again = {"io_open": lambda *_: SecondLook(file)} if reads_again(options) else {}
    with av.open(file, "w", format=format, options=told, **again) as trial:
        try:
            stream = trial.add_stream("flv" if format == "flv" else "mpeg4", rate=25)
        except (av.error.FFmpegError, ValueError):  # this FFmpeg has no such encoder
            return None
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        log = logging.getLogger("av.container.output")  # the only place where PyAV tells it
        level = log.level
        log.addFilter(listen)
        log.setLevel(logging.WARNING)
        try:
            trial.start_encoding()
            if not unused:  # FFmpeg dies of the end of an MP4 in fragments that has no packet
                for picture in (av.VideoFrame(64, 64, "yuv420p"), None):
                    trial.mux(stream.encode(picture))
        except (av.error.FFmpegError, ValueError):
            return "does not take that"
        finally:
            log.setLevel(level)
            log.removeFilter(listen)
    return "has no such option" if unused else None


def can_seek(file: Any) -> bool:
    seekable = getattr(file, "seekable", None)
    return bool(seekable()) if seekable is not None else hasattr(file, "seek")


def can_be_read(file: Any) -> bool:
    readable = getattr(file, "readable", None)
    return bool(readable()) if readable is not None else hasattr(file, "read")


class SecondLook:
    """Reads a file that is being written, at a place of its own.

    FFmpeg opens an mp4 a second time to move its index to the front.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._place = 0
        self.name = "second look"

    def read(self, size: int = -1) -> bytes:
        before = self._file.tell()
        try:
            self._file.seek(self._place)
            data = self._file.read(size)
        finally:
            self._file.seek(before)
        self._place += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence == os.SEEK_END:
            before = self._file.tell()
            offset += self._file.seek(0, os.SEEK_END)
            self._file.seek(before)
        elif whence == os.SEEK_CUR:
            offset += self._place
        self._place = offset
        return offset

    def tell(self) -> int:
        return self._place

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        """Nothing: the file belongs to the one who writes."""
