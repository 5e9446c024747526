# SPDX-License-Identifier: Apache-2.0
"""The input of `ascend-venc encode`: which reader, which part of it, how often, and how fast."""

from __future__ import annotations

import errno
import io
import os
import sys
import time
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from ..errors import MediaError
from ..media import Y4MReader, open_video
from ..media.container import ContainerReader, listening_to_ffmpeg
from ..media.open import is_raw, reads_by_pyav
from ..media.raw import RawReader
from ..media.reader import VideoReader
from ..media.section import SectionReader
from ..media.waiting import PatientPipe, is_endless
from . import UsageError

if TYPE_CHECKING:
    import argparse
    import contextlib
    from collections.abc import Callable, Iterator

    from ..media import VideoFrame

_Y4M = b"YUV4MPEG2"
_CAMERAS = ("v4l2", "x11grab")


def open_input(args: argparse.Namespace, stack: contextlib.ExitStack) -> VideoReader:
    """Open what the arguments name; `stack` is for what lasts as long as the reader. Raises what `open_video` does."""
    if args.input == "-" and args.loop:
        raise UsageError("--loop: standard input can be read once only")
    reader = _repeated(args, stack) if args.loop else _open(args, stack)
    if args.start is None and args.stop is None:
        return reader
    try:
        return SectionReader(reader, args.start, args.stop)
    except BaseException:
        reader.close()
        raise


def check_asked(args: argparse.Namespace, reader: VideoReader) -> None:
    """Refuse what OUTPUT was said to have, behind -i, where it is not what INPUT has."""
    if args.asked_size is not None and args.asked_size != (reader.width, reader.height):
        width, height = args.asked_size
        raise UsageError(
            f"-s {width}x{height}: INPUT has {reader.width}x{reader.height}, and nothing is scaled: leave it out, or "
            f"let ffmpeg do it: ffmpeg -i INPUT -s {width}x{height} -f yuv4mpegpipe - | ascend-venc encode - OUTPUT"
        )
    if args.asked_fps is not None and args.asked_fps != reader.fps:
        raise UsageError(
            f"-r {float(args.asked_fps):g}: INPUT has {float(reader.fps):g} frames per second, and none is dropped or "
            "repeated: leave it out, or put it before -i to say what rate INPUT has"
        )


def paced(frames: Iterator[VideoFrame], time_base: Fraction) -> Iterator[VideoFrame]:
    """Give each frame when its time has come, counted from the first."""
    begin: float | None = None
    for frame in frames:
        due = float(frame.pts * time_base)
        begin = time.monotonic() - due if begin is None else begin
        wait = begin + due - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        yield frame


def _open(args: argparse.Namespace, stack: contextlib.ExitStack) -> VideoReader:
    more: dict[str, Any] = {"tolerant": args.tolerant, "timeout": args.timeout}
    raw = args.input_format == "rawvideo" or (args.input_format is None and is_raw(args.input))
    rate = args.fps or args.framerate
    if args.input == "-":
        return _open_standard_input(args, stack, raw, more)
    if raw and args.size is None:
        raise UsageError(f"{args.input}: raw pixels do not tell their size: give it with -s WIDTHxHEIGHT")
    camera = args.input_format in _CAMERAS or args.input.startswith("/dev/video")
    if args.size is not None and not raw and not camera:
        raise UsageError(f"{args.input}: it has its own size, and nothing is scaled: leave -s out")
    if raw:
        kind = None if is_raw(args.input) else "rawvideo"
        return open_video(args.input, size=args.size, fps=rate, pixel_format=args.pixel_format, format=kind, **more)
    if args.input_format == "y4m":
        return Y4MReader(args.input, fps=rate, **more)
    if args.input_format is None and not reads_by_pyav(args.input):
        return open_video(args.input, fps=rate, **more)
    stack.enter_context(listening_to_ffmpeg())
    options = dict(args.input_options)
    if camera and args.size is not None:
        options["video_size"] = f"{args.size[0]}x{args.size[1]}"
    if camera and args.fps is not None:  # a camera is told its rate, not relabelled
        options["framerate"] = str(args.fps)
    if args.framerate is not None:
        options["framerate"] = str(args.framerate)
    fps = None if camera else args.fps
    again = options.get("loop", "0") != "0"
    reader = open_video(args.input, fps=fps, format="image2" if again else args.input_format, options=options, **more)
    if again:  # one picture, for ever
        reader.live, reader.frame_count = True, None
    return reader


def _open_standard_input(
    args: argparse.Namespace, stack: contextlib.ExitStack, raw: bool, more: dict[str, Any]
) -> VideoReader:
    """What comes tells whether it is y4m; PyAV takes whatever else."""
    rate = args.fps or args.framerate
    if args.size is not None and not raw:
        raise UsageError("standard input tells its own size: leave -s out, or say -f rawvideo")
    if sys.stdin is None:
        raise OSError(errno.EBADF, "it is closed", "standard input")
    if raw:
        if args.size is None:
            raise UsageError("standard input: raw pixels do not tell their size: give it with -s WIDTHxHEIGHT")
        width, height = args.size
        return RawReader(sys.stdin.buffer, width, height, args.pixel_format or "i420", fps=rate, **more)
    head = b""
    try:
        pipe = PatientPipe(sys.stdin.buffer.fileno(), args.timeout)
    except (OSError, ValueError):  # a program that calls main() has put something else there
        return Y4MReader(sys.stdin.buffer, fps=rate, **more)
    if args.input_format in (None, "y4m") and (head := pipe.look(12))[: len(_Y4M)] in (_Y4M, b""):
        return Y4MReader(io.BufferedReader(pipe, 1 << 20), fps=rate, tolerant=args.tolerant)
    if args.input_format == "y4m":
        raise MediaError("this is not YUV4MPEG2 (.y4m): it does not begin with that word")
    stack.enter_context(listening_to_ffmpeg())
    # A file that was redirected is opened again: PyAV may then seek in it.
    source = cast("BinaryIO", pipe) if is_endless(sys.stdin.buffer) else "/dev/stdin"
    try:
        return ContainerReader(source, fps=args.fps, format=args.input_format, options=args.input_options, **more)
    except MediaError as error:
        if head[4:8] != b"ftyp":
            raise
        raise MediaError(f"{error}: an mp4 whose index stands behind its pictures cannot come by a pipe") from None


def _repeated(args: argparse.Namespace, stack: contextlib.ExitStack) -> VideoReader:
    return RepeatedReader(lambda: _open(args, stack), args.loop)


class RepeatedReader(VideoReader):
    """Read the same again and again, as one film: each time goes on where the one before ended.

    Parameters
    ----------
    open_again : callable
        Returns a new reader of it.
    times : int
        How often it is read again; -1: for ever.
    """

    def __init__(self, open_again: Callable[[], VideoReader], times: int) -> None:
        self._open_again = open_again
        self._times = times
        self._reader = reader = open_again()
        if reader.live:
            reader.close()
            raise UsageError(f"--loop: {reader.path or 'this INPUT'} has no end after which it could be read again")
        names = ("width", "height", "pixel_format", "fps", "time_base", "sample_aspect_ratio", "color", "metadata")
        for name in names:
            setattr(self, name, getattr(reader, name))
        self.left_out = reader.left_out
        self.live = times < 0
        if reader.frame_count is not None and times >= 0:
            self.frame_count = reader.frame_count * (times + 1)

    @property
    def notes(self) -> tuple[str, ...]:
        return self._reader.notes

    def __iter__(self) -> Iterator[VideoFrame]:
        end, left, before = 0, self._times, 0
        interval = max(1, round(1 / self.fps / self.time_base))
        while True:
            begin = end
            for frame in self._reader:
                self.damaged = before + self._reader.damaged
                end = begin + frame.pts + (frame.duration or interval)
                yield frame._replace(pts=begin + frame.pts)
            before = self.damaged = before + self._reader.damaged
            if left == 0 or end == begin:
                return
            left -= 1
            self._reader.close()
            self._reader = self._open_again()
            found = self._reader
            if (found.width, found.height, found.time_base) != (self.width, self.height, self.time_base):
                raise MediaError(f"it has become another film: {found.width}x{found.height} pixels now")

    def close(self) -> None:
        self._reader.close()


def name_of(args: argparse.Namespace) -> str:
    """Say what the input is called in messages."""
    return "standard input" if args.input == "-" else str(args.input)


def is_file(args: argparse.Namespace) -> bool:
    """Say whether sound can be copied from it: it is a file, read once."""
    return not args.loop and args.input_format is None and os.path.isfile(args.input)
