# SPDX-License-Identifier: Apache-2.0
"""What the parameter sets of a stream tell of its pictures, written without encoding anything again, through PyAV."""

from __future__ import annotations

import contextlib
import io
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ..bitstream import describe, nal_units
from ..errors import InvalidArgumentError, MediaError
from .container import import_av
from .reader import ColorTags

if TYPE_CHECKING:
    from collections.abc import Mapping

DEMUXERS = {"h264": "h264", "h265": "hevc"}
_SPS, _PPS, _FIRST_SET = 33, 34, 32  # of H.265's NAL units; slices are below
_TIER_AT, _TIER, _LEVEL_AT = 3, 0x20, 14  # bytes of an SPS
_FILTERS = {"h264": "h264_metadata", "h265": "hevc_metadata"}


def description(
    color: ColorTags, full_range: bool = False, sample_aspect_ratio: Fraction | None = None
) -> dict[str, str]:
    """Return what is to be told, by the names of FFmpeg's filters; empty where it is what streams tell anyway.

    FFmpeg's H.265 decoder believes the parameter sets alone, MPEG-TS and bare streams have no other place, and PyAV
    gives no access to the shape in Matroska's header.
    """
    told: dict[str, str] = {}
    if color != ColorTags():
        names = ("colour_primaries", "transfer_characteristics", "matrix_coefficients")
        told.update((name, str(value)) for name, value in zip(names, color))
    if full_range:
        told["video_full_range_flag"] = "1"
    if sample_aspect_ratio:
        shape = sample_aspect_ratio.limit_denominator(65535)
        told["sample_aspect_ratio"] = f"{shape.numerator}/{shape.denominator}"
    return told


class ParameterSets:
    """Puts a description into the key frames of one stream.

    Parameters
    ----------
    codec : str
        "h264" or "h265".
    first : buffer
        The stream's first packet, with its parameter sets.
    told : mapping
        Of `description`.
    size : (int, int), optional
        Width and height that are shown of the picture, from its upper left corner on; even.

    Raises
    ------
    MediaError
        The parameter sets do not come out with this size.
    """

    def __init__(self, codec: str, first: Any, told: Mapping[str, str], size: tuple[int, int] | None = None) -> None:
        self._av = import_av()
        from av.bitstream import BitStreamFilterContext

        told = dict(told)
        with self._av.open(io.BytesIO(bytes(first)), format=DEMUXERS[codec]) as parsed:
            stream = parsed.streams.video[0]
            width, height = stream.codec_context.width, stream.codec_context.height
            if size is not None:
                # A side that is the whole one keeps what the encoder left out of its own blocks.
                told.update(
                    {
                        f"crop_{edge}": str(whole - shown)
                        for edge, whole, shown in (("right", width, size[0]), ("bottom", height, size[1]))
                        if shown != whole
                    }
                )
            options = ":".join(f"{name}={value}" for name, value in told.items())
            self._filter = BitStreamFilterContext(f"{_FILTERS[codec]}={options}", stream)
        if size is not None:
            found = coded_size(codec, self.put_into(first))
            if found != tuple(size):
                raise MediaError(f"the parameter sets tell {found[0]} x {found[1]}, not {size[0]} x {size[1]}")

    def put_into(self, packet: Any) -> bytes:
        """Return a key frame with the description in its parameter sets."""
        return b"".join(bytes(part) for part in self._filter.filter(self._av.Packet(bytes(packet))))


def coded_size(codec: str, packet: Any) -> tuple[int, int]:
    """Return width and height that the parameter sets of a key frame tell."""
    with import_av().open(io.BytesIO(bytes(packet)), format=DEMUXERS[codec]) as parsed:
        context = parsed.streams.video[0].codec_context
        return context.width, context.height


def sets_to_decode_by(unit: bytes) -> tuple[bytes, ...]:
    """Return what an H.265 access unit's SPS and PPS say of its pictures, but for frame rate, tier and level."""
    found = []
    for nal in map(bytes, nal_units(unit)):
        kind = nal[0] >> 1 & 63 if nal else _FIRST_SET
        if kind < _FIRST_SET:
            break
        if kind == _SPS:
            told = nal
            with contextlib.suppress(InvalidArgumentError):  # of unknown syntax: it stays
                told = describe(nal, "h265", fps=25)
            bits = bytearray(told.replace(b"\0\0\3", b"\0\0"))
            if len(bits) > _LEVEL_AT:
                bits[_TIER_AT] &= ~_TIER
                bits[_LEVEL_AT] = 0
            found.append(bytes(bits))
        elif kind == _PPS:
            found.append(nal)
    return tuple(found)


def without_parameter_sets(unit: bytes) -> bytes:
    """Return an H.265 access unit in Annex B without the VPS, SPS and PPS that stand before its first slice."""
    kept = []
    begin = unit.find(b"\0\0\1") + 3
    while 3 <= begin < len(unit):
        kind = unit[begin] >> 1 & 63
        if kind < 32:  # a slice: the rest stays
            kept.append(unit[begin:])
            break
        end = unit.find(b"\0\0\1", begin)
        if not 32 <= kind <= 34:
            kept.append((unit[begin:end] if end >= 0 else unit[begin:]).rstrip(b"\0"))
        begin = end + 3 if end >= 0 else -1
    return b"".join(b"\0\0\0\1" + nal for nal in kept)
