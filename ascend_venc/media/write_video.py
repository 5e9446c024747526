# SPDX-License-Identifier: Apache-2.0
"""Pictures into a file by one call."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, BinaryIO

from ..color import ColorInfo
from ..errors import InvalidArgumentError
from .reader import VideoFrame, VideoReader, is_same_file
from .section import SectionReader
from .writer import VideoWriter

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable
    from fractions import Fraction

    from typing_extensions import Unpack

    from .writer_settings import WriterSettings


def write(
    file: str | os.PathLike[str] | BinaryIO,
    frames: Iterable[Any],
    *,
    fps: int | float | str | Fraction | None = None,
    progress: Callable[[int], object] | None = None,
    **settings: Unpack[WriterSettings],
) -> int:
    """Encode pictures into a file, and return how many.

    Parameters
    ----------
    file : str, path or binary file
        Or whatever `VideoWriter` takes. To a network's address pictures go at the pace at which they are shown, unless
        they are of a live reader.
    frames : iterable
        Of what `VideoWriter.write` takes: a generator, a list, an array of shape (frames, height, width, 3). A reader
        of `open_video`, or frames of one, whose times, rate, colours and shape of pixels are kept.
    fps : int, float, str or fractions.Fraction, optional
        Frames per second. Default: 25; of a reader its own times.
    progress : callable, optional
        Called after each picture with the number of pictures so far.
    **settings
        Those of `VideoWriter` and `Encoder`.

    Raises
    ------
    InvalidArgumentError
        There is no picture in `frames`, or `file` is the one that they are read from. No file is made.
    Exception
        As `VideoWriter` and `VideoWriter.write` do, and whatever iterating raises; pictures before that are kept in the
        file.

    Examples
    --------
    >>> import io
    >>> import numpy as np
    >>> import ascend_venc as venc
    >>> venc.write(io.BytesIO(), np.zeros((5, 128, 128, 3), np.uint8), format="mp4", fps=30, backend="sim")
    5
    """
    reader, frames = _reader_of(frames)
    if reader is not None:
        settings.setdefault("pixel_format", reader.pixel_format)
        if settings.get("vui", True):
            settings.setdefault("color", ColorInfo(*reader.color))
            settings.setdefault("sample_aspect_ratio", reader.sample_aspect_ratio)
        sound = settings.get("copy_audio_from")  # another file has another clock
        if sound is not None and reader.path is not None and is_same_file(sound, reader.path):
            settings.setdefault("audio_start", reader.start)
            if settings["audio_start"] is None and isinstance(reader, SectionReader):
                raise InvalidArgumentError(
                    "audio_start is missing: by the sound's clock it is not known when this part of the film begins"
                )
        if fps is None:
            fps = reader.fps
            if "times" not in settings:
                settings["times"] = "given"
                settings.setdefault("time_base", reader.time_base)
    with VideoWriter(file, fps=fps, **settings) as film:
        if reader is not None:
            film._check_not_read(reader)
        if isinstance(file, str):
            for live in film.live_outputs:
                live.realtime = not (reader is not None and reader.live)
        film.write_all(frames, progress)
        if reader is not None and reader.stop is not None:
            film.end_sound_with_pictures()
    if not film.frames:
        raise InvalidArgumentError("frames is empty: no file was made")
    return film.frames


def _reader_of(frames: Any) -> tuple[VideoReader | None, Any]:
    """Return the reader that the frames are of, by the first one, and the frames."""
    if isinstance(frames, VideoReader):
        return frames, frames
    if hasattr(frames, "shape") or not hasattr(frames, "__iter__"):
        return None, frames
    rest = iter(frames)
    first = list(itertools.islice(rest, 1))
    source = first[0].source if first and isinstance(first[0], VideoFrame) else None
    return source, itertools.chain(first, rest)
