# SPDX-License-Identifier: Apache-2.0
"""The choice of a reader by the file's name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..errors import InvalidArgumentError
from .container import ContainerReader
from .raw import RawReader
from .reader import suffix_of
from .y4m import Y4MReader

if TYPE_CHECKING:
    from fractions import Fraction

    from .reader import VideoReader

RAW_FORMATS = {".nv12": "nv12", ".nv21": "nv21", ".yuv": "i420", ".i420": "i420"}


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
) -> VideoReader:
    """Open a video file with the reader that its name asks for.

    Parameters
    ----------
    path : str or path
        `.y4m`; raw `.nv12`, `.nv21`, `.yuv` and `.i420` (both I420); anything else is opened with PyAV. A URL that
        PyAV knows is taken too.
    size : (int, int), optional
        Width and height; needed for raw files, refused for others.
    fps : int, float, str or fractions.Fraction, optional
        Frames per second. The frames are then evenly spaced, whatever the file says. Default: the file's own times;
        25 for raw files.
    tolerant : bool
        Go on where the file is damaged or cut off, and count it in the reader's `damaged`. Default: raise MediaError.
    timeout : float, optional
        Seconds to wait for a network, a pipe or a device that sends nothing; then MediaError. Default: for ever.

    Raises
    ------
    MediaError
        The file is not a video, or not one that can be read; PyAV is needed and not installed.
    OSError
        The file cannot be opened.
    InvalidArgumentError
        A raw file without a size, or a size for another file.
    """
    if is_raw(path):
        if size is None:
            raise InvalidArgumentError(f"size is missing: {os.fspath(path)} is raw and does not tell it")
        return RawReader(path, *size, RAW_FORMATS[suffix_of(path)], fps=fps, tolerant=tolerant, timeout=timeout)
    if size is not None:
        raise InvalidArgumentError(f"size is for raw files; {os.fspath(path)} has its own, and nothing is scaled")
    if not reads_by_pyav(path):
        return Y4MReader(path, fps=fps, tolerant=tolerant, timeout=timeout)
    return ContainerReader(path, fps=fps, tolerant=tolerant, timeout=timeout)
