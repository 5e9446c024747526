# SPDX-License-Identifier: Apache-2.0
"""H.264 and H.265 bitstreams in Annex B: their NAL units, and parameter sets that tell what the pictures are.

Everything here is computed by the engine's own code, needs no device, and may be called from any thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._lowlevel import bitstream as _bitstream
from .color import PROFILE_FORMATS, parse_color, parse_shape, vui_of
from .config import parse_codec, parse_fps

if TYPE_CHECKING:
    from fractions import Fraction

    from .color import ColorInfo

__all__ = ["describe", "nal_units"]


def nal_units(data: Any) -> list[memoryview]:
    """List the NAL units of a buffer in Annex B, without start codes, trailing zeros and copies.

    The memoryviews keep the buffer. The first byte of an H.264 unit has its type in the lower five bits, that of an
    H.265 unit in the six bits above the lowest.
    """
    return _bitstream.nal_units(data)


def describe(
    nal: Any,
    codec: str,
    *,
    color: ColorInfo | str | None = None,
    sample_aspect_ratio: Fraction | str | None = None,
    fps: int | float | str | Fraction | None = None,
    fixed_rate: bool | None = None,
) -> bytes:
    """Return one parameter set that tells this of the pictures; whatever else it says stays, to the bit.

    Parameters
    ----------
    nal : buffer
        One NAL unit without start code: H.264's SPS (type 7), H.265's SPS (33), or its VPS (32), which tells `fps`
        only.
    codec : str
        "h264" or "h265".
    color, sample_aspect_ratio
        As `Encoder` has them. None: as they are.
    fps : int, float, str or fractions.Fraction, optional
        Frames per second; H.264 counts two ticks a frame. None: as it is.
    fixed_rate : bool, optional
        H.264's fixed_frame_rate_flag. None: as it is.

    Raises
    ------
    InvalidArgumentError
        Another NAL unit, or syntax that is not known: a damaged one.
    """
    codec = parse_codec(codec)
    told = vui_of(codec, parse_color(color), parse_shape(sample_aspect_ratio), None if fps is None else parse_fps(fps))
    if fixed_rate is not None:
        told = told.with_fixed_rate(fixed_rate)
    return _bitstream.put_vui(told, PROFILE_FORMATS[codec], nal)
