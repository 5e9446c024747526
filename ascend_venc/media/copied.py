# SPDX-License-Identifier: Apache-2.0
"""Streams of other containers whose packets are copied as they are: sound beside a film that is encoded anew."""

from __future__ import annotations

import warnings
from typing import Any

from ..errors import InvalidArgumentError, MediaError
from . import adts

TOLD_BY_PACKETS = ("ac3", "eac3")  # MP4's header tells what is in their packets

_UNSETTLED = " channels"  # FFmpeg's name of so many channels that nothing more is known of
_USUAL_LAYOUTS = ("mono", "stereo", "2.1", "4.0", "5.0", "5.1", "6.1", "7.1")


class CopiedStreams:
    """The streams of one output that are copied. Packets that come before its header are kept until then."""

    def __init__(self) -> None:
        self._container: Any = None
        self._sources: dict[tuple[int, int], Any] = {}  # by container and number: the source's stream, later the copy
        self._codecs: dict[tuple[int, int], str] = {}
        self._first: dict[tuple[int, int], Any] = {}  # the first packet, where it is known
        self._unwrapped: dict[tuple[int, int], bytes] = {}  # AAC without its ADTS headers, and what they all say
        self._silent: set[tuple[int, int]] = set()  # those of which no packet was written
        self._waiting: list[Any] | None = []

    def add(self, stream: Any, first: Any = None) -> None:
        """Make one more stream, like that of an open PyAV container; `first` is a packet of it, if it is known."""
        if self._container is not None:
            raise MediaError("streams are added before the first packet: the header is written already")
        key = _key(stream)
        if key in self._sources:
            raise InvalidArgumentError(f"stream {stream.index} of that container was added already")
        self._sources[key] = stream
        self._codecs[key] = codec_name(stream)
        self._silent.add(key)
        if first is not None:
            self._first[key] = first

    @property
    def codecs(self) -> tuple[str, ...]:
        return tuple(sorted(set(self._codecs.values())))

    @property
    def silent(self) -> tuple[str, ...]:
        """Codecs whose packets tell what they are, of streams of which no packet was written."""
        return tuple(sorted({self._codecs[key] for key in self._silent}.intersection(TOLD_BY_PACKETS)))

    def is_silent(self, stream: Any) -> bool:
        """Say whether a stream is one of those."""
        key = _key(stream)
        return key in self._silent and self._codecs[key] in TOLD_BY_PACKETS

    def open(self, container: Any) -> None:
        """Add the streams to the output, whose header is not written yet."""
        self._container = container
        for packet in self._waiting or ():
            self._first.setdefault(_key(packet.stream), packet)
        for key, source in self._sources.items():
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore"
                )  # of properties that some versions copy or set though they deprecate them
                if hasattr(container, "add_stream_from_template"):
                    stream = container.add_stream_from_template(source, opaque=True)
                else:
                    stream = container.add_stream(template=source)
                stream.codec_context.codec_tag = "\0\0\0\0"  # the other format's; this one has its own
                stream.time_base = source.time_base
                _settle_layout(stream.codec_context)
                if is_untold_aac(source) and container.format.name != "mpegts":
                    self._unwrap(key, stream)
            stream.metadata.update({name: text for name, text in source.metadata.items() if name == "language"})
            self._sources[key] = stream

    def _unwrap(self, key: tuple[int, int], stream: Any) -> None:
        """Tell the header what ADTS tells with each packet.

        FFmpeg does so itself, but behind the header, which is too late for what is not gone back to: fragments, pipes.
        """
        data = bytes(self._first[key]) if key in self._first else b""
        if adts.header_size(data):
            self._unwrapped[key] = stream.codec_context.extradata = adts.configuration(data)

    def started(self) -> None:
        """Write what was kept: the header is there."""
        waiting, self._waiting = self._waiting, None
        for packet in waiting or ():
            self._mux(packet)

    def write(self, packet: Any) -> None:
        """Copy one packet of a stream that was added. It is used up."""
        if packet.stream is None or _key(packet.stream) not in self._sources:
            raise InvalidArgumentError("the packet is of a stream that was not added: call add_stream_like before")
        if self._waiting is not None:
            self._waiting.append(packet)
        else:
            self._mux(packet)

    def _mux(self, packet: Any) -> None:
        key = _key(packet.stream)
        if key in self._unwrapped:
            packet = _without_header(packet, self._unwrapped[key], self._container.format.name)
        packet.stream = self._sources[key]
        self._container.mux_one(packet)
        self._silent.discard(key)


def _settle_layout(context: Any) -> None:
    """Say which channels it has, where the source tells their number only, as PCM in Matroska: MP4 has to tell it."""
    name = getattr(getattr(context, "layout", None), "name", "")
    number = name[: -len(_UNSETTLED)] if name.endswith(_UNSETTLED) else ""
    if number.isdecimal() and 0 < int(number) <= len(_USUAL_LAYOUTS):
        context.layout = _USUAL_LAYOUTS[int(number) - 1]


def _without_header(packet: Any, config: bytes, format: str) -> Any:
    data = bytes(packet)
    size = adts.header_size(data)
    if not size:
        raise MediaError("the AAC sound begins with ADTS headers and goes on without them: it is damaged")
    if adts.configuration(data) != config:
        raise MediaError(
            f"the AAC sound changes from {adts.description(config)} to {adts.description(adts.configuration(data))}, "
            f"and {format} says it once for all: write .ts, or leave the sound out (-an on the command line)"
        )
    bare = type(packet)(data[size:])
    bare.time_base, bare.pts, bare.dts, bare.duration = packet.time_base, packet.pts, packet.dts, packet.duration
    bare.is_keyframe = packet.is_keyframe
    return bare


def codec_name(stream: Any) -> str:
    """Return the name of a stream's codec; "" where PyAV has none."""
    return str(stream.codec_context.name) if stream.codec_context else ""


def is_untold_aac(stream: Any) -> bool:
    """Say whether it is AAC without a description, as in MPEG-TS."""
    return codec_name(stream) == "aac" and not stream.codec_context.extradata


def is_told_by_packets(stream: Any) -> bool:
    """Say whether headers of some formats need a packet of it."""
    return codec_name(stream) in TOLD_BY_PACKETS or is_untold_aac(stream)


def _key(stream: Any) -> tuple[int, int]:
    return id(stream.container), stream.index
