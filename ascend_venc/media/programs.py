# SPDX-License-Identifier: Apache-2.0
"""Which streams of a container are one film: one that was sent beside others, or in several qualities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .transport_stream import pids_of_other_programs

if TYPE_CHECKING:
    import os

_VARIANT = "variant_bitrate"  # FFmpeg's tag of a stream that is in one variant of a playlist alone


def pictures_of(container: Any) -> Any:
    """Return the video stream of an open PyAV container that is read; None where there is none."""
    streams = container.streams
    return streams.best("video") if hasattr(streams, "best") else next(iter(streams.video), None)


def sounds_of(container: Any, pictures: Any, path: str | os.PathLike[str]) -> list[Any]:
    """Return the audio streams that belong to those pictures, None: all.

    In MPEG-TS those of other programs go by other clocks; in HLS other variants have the same sound once more. PyAV
    tells no programs. Raises OSError where the file cannot be read.
    """
    sounds = list(container.streams.audio)
    name = container.format.name
    if pictures is not None and name == "mpegts":
        others = pids_of_other_programs(path, pictures.id)
        sounds = [stream for stream in sounds if stream.id not in others]
    elif pictures is not None and name == "hls" and _VARIANT in pictures.metadata:
        variant = pictures.metadata[_VARIANT]
        sounds = [stream for stream in sounds if stream.metadata.get(_VARIANT, variant) == variant]
    return sounds
