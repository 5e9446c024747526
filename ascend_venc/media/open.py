# SPDX-License-Identifier: Apache-2.0
"""The choice of a reader by the file's name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..errors import InvalidArgumentError
from .container import ContainerReader
from .raw import RawReader
from .reader import suffix_of
from .section import SectionReader, parse_moment
from .y4m import Y4MReader

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction

    from ..literals import PixelFormat, PixelFormatName
    from .reader import VideoReader

RAW_FORMATS: dict[str, PixelFormat] = {".nv12": "nv12", ".nv21": "nv21", ".yuv": "i420", ".i420": "i420"}


def is_raw(path: str | os.PathLike[str]) -> bool:
    """Say whether the name is one of raw pixels, which need a size to be read."""
    return suffix_of(path) in RAW_FORMATS


def reads_by_pyav(path: str | os.PathLike[str]) -> bool:
    """Say whether `open_video` opens the name with PyAV."""
    return not is_raw(path) and suffix_of(path) != ".y4m"


def open_video(
    path: str | os.PathLike[str],
    *,
    size: tuple[int, int] | None = None,
    fps: int | float | str | Fraction | None = None,
    tolerant: bool = False,
    timeout: float | None = None,
    start: float | Fraction | None = None,
    stop: float | Fraction | None = None,
    pixel_format: PixelFormatName | None = None,
    format: str | None = None,
    options: Mapping[str, str] | None = None,
) -> VideoReader:
    """Open a video file with the reader that its name asks for.

    Parameters
    ----------
    path : str or path
        `.y4m`; raw `.nv12`, `.nv21`, `.yuv` and `.i420` (both I420); anything else is opened with PyAV. A URL that
        PyAV knows is taken too, a camera (`/dev/video0`), and numbered pictures (`frame_%03d.png`).
    size : (int, int), optional
        Width and height; needed for raw files, refused for others.
    pixel_format : str, optional
        Of raw frames, as `Encoder` has them, whatever the name's suffix. Default: by the suffix.
    format, options : str, mapping of str, optional
        FFmpeg's name of a demuxer or device, and its options, for what PyAV opens: see `ContainerReader`. "rawvideo":
        raw frames, whatever the name.
    fps : int, float, str or fractions.Fraction, optional
        Frames per second. The frames are then evenly spaced, whatever the file says. Default: the file's own times;
        25 for raw files.
    tolerant : bool
        Go on where the file is damaged or cut off, and count it in the reader's `damaged`. Default: raise MediaError.
    timeout : float, optional
        Seconds to wait for a network, a pipe or a device that sends nothing; then MediaError. Default: for ever.
    start, stop : float or fractions.Fraction, optional
        Seconds from the film's beginning: frames that are shown from `start` on, and before `stop`. Their `pts` begin
        at 0. Files are searched for the place by their own clock, which is quick; bare bitstreams, `fps` and inputs
        that are no files are read from their beginning. Default: the whole.

    Raises
    ------
    MediaError
        The file is not a video, or not one that can be read; PyAV is needed and not installed.
    OSError
        The file cannot be opened.
    InvalidArgumentError
        `start` or `stop` is negative, or `stop` not greater. A raw file without a size, or a size for another file.
    """
    begin, end = parse_moment("start", start), parse_moment("stop", stop)
    if format == "rawvideo" or pixel_format is not None or (format is None and is_raw(path)):
        if size is None:
            raise InvalidArgumentError(f"size is missing: {os.fspath(path)} is raw and does not tell it")
        layout: PixelFormatName = pixel_format or RAW_FORMATS.get(suffix_of(path), "i420")
        reader: VideoReader = RawReader(path, *size, layout, fps=fps, tolerant=tolerant, timeout=timeout)
    elif size is not None:
        raise InvalidArgumentError(f"size is for raw files; {os.fspath(path)} has its own, and nothing is scaled")
    elif format is None and not reads_by_pyav(path):
        reader = Y4MReader(path, fps=fps, tolerant=tolerant, timeout=timeout)
    else:
        reader = ContainerReader(path, fps=fps, tolerant=tolerant, timeout=timeout, format=format, options=options)
    if begin is None and end is None:
        return reader
    try:
        return SectionReader(reader, begin, end)
    except BaseException:
        reader.close()
        raise
