# SPDX-License-Identifier: Apache-2.0
"""What the parameter sets of a stream tell of its pictures, written without encoding anything again, through PyAV."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from .container import import_av
from .reader import ColorTags

if TYPE_CHECKING:
    from collections.abc import Mapping

DEMUXERS = {"h264": "h264", "h265": "hevc"}
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
        Of `description`, not empty.
    """

    def __init__(self, codec: str, first: Any, told: Mapping[str, str]) -> None:
        self._av = import_av()
        from av.bitstream import BitStreamFilterContext

        options = ":".join(f"{name}={value}" for name, value in told.items())
        with self._av.open(io.BytesIO(bytes(first)), format=DEMUXERS[codec]) as parsed:
            self._filter = BitStreamFilterContext(f"{_FILTERS[codec]}={options}", parsed.streams.video[0])

    def put_into(self, packet: Any) -> bytes:
        """Return a key frame with the description in its parameter sets."""
        return b"".join(bytes(part) for part in self._filter.filter(self._av.Packet(bytes(packet))))
