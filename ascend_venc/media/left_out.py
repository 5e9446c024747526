# SPDX-License-Identifier: Apache-2.0
"""What a container has and frames of NV12 have not, in words."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING, Any

from .formats import demuxer_of
from .orientation import with_rows_downwards

if TYPE_CHECKING:
    from collections.abc import Collection

# What frames bring along that no stream of ours tells, by PyAV's names.
_SIDE_DATA = {
    "HDR light levels": ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"),
    "captions": ("A53_CC",),
    "Dolby Vision": ("DOVI_METADATA", "DOVI_RPU_BUFFER"),
    "360 degrees": ("SPHERICAL",),
    "stereo 3D": ("STEREO3D",),
}


def what_is_left_out(container: Any, stream: Any, first: Any) -> tuple[str, ...]:
    """Return what an open PyAV container has besides the pictures of a stream; `first` is its first frame."""
    counts = collections.Counter(other.type for other in container.streams)
    left_out = []
    if counts["audio"]:
        left_out.append("sound")
    if counts["subtitle"]:
        left_out.append("subtitles")
    if counts["video"] > 1:
        left_out.append("further pictures")
    if any(name.lower() == "title" for name in container.metadata):
        left_out.append("title")
    left_out += what_frames_lose(first)
    if "transparency" not in left_out and stream.metadata.get("alpha_mode") == "1":  # VP9's is not even decoded
        left_out.append("transparency")
    # Newer versions of PyAV tell chapters. In MP4 and MOV they are a stream of text as well.
    chapters = bool(container.chapters()) if hasattr(container, "chapters") else False
    if chapters:
        left_out.append("chapters")
    if counts["data"] > (chapters and demuxer_of(container).startswith("mov,")):
        left_out.append("data streams")
    if counts["attachment"]:
        left_out.append("attachments")
    return tuple(left_out)


def what_frames_lose(frame: Any, known: Collection[str] = ()) -> list[str]:
    """Return what a frame has that its NV12 has not, besides what is `known`."""
    found = [name for name, test in _OF_FRAMES.items() if name not in known and test(frame)]
    return found + [
        name for name, kinds in _SIDE_DATA.items() if name not in known and any(_has(frame, kind) for kind in kinds)
    ]


def _has(frame: Any, kind: str) -> bool:
    try:
        return frame.side_data.get(kind) is not None
    except (ValueError, KeyError):  # a kind that this PyAV has no name for: there, or asked for
        return False


def _is_interlaced(frame: Any) -> bool:
    return bool(getattr(frame, "interlaced_frame", False))


def _is_deep(frame: Any) -> bool:
    return _kind_of(frame.format)[0]


def _kind_of(format: Any) -> tuple[bool, bool]:
    """Say whether it has more than 8 bits, and whether it may be transparent. Kept by name: each frame asks."""
    name = format.name
    if name not in _kinds:
        components = format.components
        alpha = name == "pal8" or any(component.is_alpha for component in components)
        _kinds[name] = any(component.bits > 8 for component in components), alpha
    return _kinds[name]


_kinds: dict[str, tuple[bool, bool]] = {}


def _shows_through(frame: Any) -> bool:
    """Say whether a frame is not opaque everywhere."""
    name = frame.format.name
    if not _kind_of(frame.format)[1]:
        return False
    if name not in ("rgba", "bgra", "argb", "abgr"):
        frame, name = frame.reformat(format="rgba"), "rgba"
    frame = with_rows_downwards(frame)
    return bool(frame.to_ndarray()[:, :, 0 if name.startswith("a") else 3].min() < 255)


_OF_FRAMES = {
    "interlacing (frames are encoded as progressive)": _is_interlaced,
    "more than 8 bits a sample": _is_deep,
    "transparency": _shows_through,
}
