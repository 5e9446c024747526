# SPDX-License-Identifier: Apache-2.0
"""Keywords that are handed on to an `Encoder`, and those of `VideoWriter`, for type checkers.

A test compares them with the signatures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping
    from fractions import Fraction

    from ..color import ColorInfo
    from ..literals import (
        Backend,
        CodecName,
        ColorMatrix,
        ColorName,
        ColorRange,
        Delivery,
        FormatName,
        InterfaceName,
        OnFull,
        PixelFormatName,
        Profile,
        RateControlMode,
        Scene,
        Times,
    )
    from ..picture_quality import IntraRefresh, RegionOfInterest
    from ..rate_control import RateControl


class ChannelSettings(TypedDict, total=False):
    """Of `Encoder`, without those that say where it is opened, and those of `FrameSettings`."""

    profile: Profile | None
    color_matrix: ColorMatrix | None
    color_range: ColorRange | None
    source_range: ColorRange | None
    color: ColorInfo | tuple[int, int, int] | ColorName | None
    sample_aspect_ratio: Fraction | str | None
    vui: bool
    aud: bool
    bitrate: int | float | str | None
    rc: RateControlMode | RateControl
    gop: int | None
    scene: Scene | None
    intra_refresh: IntraRefresh | None
    roi: Iterable[RegionOfInterest]
    interface: InterfaceName | None
    depth: int
    queue: int | None
    on_full: OnFull
    max_queued: int
    delivery: Delivery
    max_latency: float
    timeout: float | None
    name: str | None


class EncoderSettings(ChannelSettings, total=False):
    """Of `Encoder`, without what a writer sets itself."""

    backend: Backend | None
    device: int


class FrameSettings(TypedDict, total=False):
    """What a writer sets itself."""

    codec: CodecName
    pixel_format: PixelFormatName
    fps: int | float | str | Fraction
    sink: Any


class GroupSettings(ChannelSettings, FrameSettings, total=False):
    """What `EncoderGroup.add` hands on."""


class EncoderKeywords(EncoderSettings, FrameSettings, total=False):
    """All of `Encoder`."""


class ChangedSettings(TypedDict, total=False):
    """Of `Encoder.reconfigure`."""

    bitrate: int | float | str | None
    fps: int | float | str | Fraction | None
    gop: int | None
    rc: RateControlMode | RateControl | None
    roi: Iterable[RegionOfInterest] | None
    width: int | None
    height: int | None


class FileSettings(EncoderSettings, total=False):
    """Of `VideoWriter`, without `file`, `fps` and what says how pictures are taken."""

    times: Times
    time_base: Fraction | None
    format: FormatName | None
    fragmented: bool
    faststart: bool | None
    metadata: Mapping[str, str] | None
    copy_audio_from: str | os.PathLike[str] | None
    audio_start: float | Fraction | None
    split_seconds: float | Fraction | None
    split_bytes: int | None
    muxer_options: Mapping[str, str] | None


class WriterSettings(FileSettings, total=False):
    """Of `VideoWriter`, without `file` and `fps`."""

    size: tuple[int, int] | None
    pixel_format: PixelFormatName | None
    codec: CodecName | None
