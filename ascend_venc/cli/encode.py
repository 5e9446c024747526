# SPDX-License-Identifier: Apache-2.0
"""`ascend-venc encode`: a video file in, an encoded one out."""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import errno
import json
import os
import re
import sys
import time
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from .._lowlevel import core
from ..config import parse_bitrate, parse_codec, parse_fps
from ..encoder import Encoder
from ..errors import InvalidArgumentError, MediaError, VencError
from ..media import AnnexBWriter, Muxer, Y4MReader, open_video
from ..media.container import listening_to_ffmpeg
from ..media.open import is_raw, reads_by_pyav
from ..media.output import SUFFIXES, ReplacingFile, codec_of, container_of
from . import UsageError, say
from .interruption import Terminated, check, code_of, shielded
from .progress import Progress, bits, clock, is_terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ..media import VideoFrame, VideoReader

NAME = "encode"
HELP = "Encode a video to H.264 or H.265."
DEFAULT_CODEC = "h265"
_RATE_CONTROL = ("cbr", "vbr", "avbr", "qvbr", "cvbr")
PATIENCE = 0.5  # seconds that a signal waits for the device, where what was encoded is kept
EPILOG = """\
examples:
  ascend-venc encode film.mov film.mp4 -b 4M
  ascend-venc encode camera.nv12 camera.h264 -s 1920x1080 -r 30
  some-program | ascend-venc encode - - -c h264 | some-player

Only the video is encoded; sound is not copied. Nothing is scaled, no frame is dropped or repeated.
A live INPUT (a network stream, a camera, a pipe) that is interrupted or fails is finished, and kept.
"""


def _checked(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        try:
            return parse(text)
        except InvalidArgumentError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def _rate(text: str) -> Fraction:
    rate = parse_fps(text)
    if rate <= 0:
        raise InvalidArgumentError(f"fps is {text}; it must be greater than 0")
    return rate


def _seconds(text: str) -> float:
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text) or not float(text):
        raise InvalidArgumentError(f"it is {text[:20]!r}; give seconds, more than 0, e.g. 10 or 2.5")
    return float(text)


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and len(width) < 6 and len(height) < 6):
        raise argparse.ArgumentTypeError(f"size is {text!r}; give it as WIDTHxHEIGHT, e.g. 1920x1080")
    return int(width), int(height)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument(
        "input",
        metavar="INPUT",
        help="a video: whatever PyAV opens, .y4m, or raw .nv12 .nv21 .yuv (I420) with -s; - is y4m on standard input",
    )
    parser.add_argument(
        "output",
        metavar="OUTPUT",
        help=f"by its suffix: {' '.join(SUFFIXES)}; - is the bare bitstream on standard output",
    )
    video = parser.add_argument_group("video")
    video.add_argument(
        "-c",
        "--codec",
        metavar="C",
        type=_checked(parse_codec),
        help="h264 or h265 (default: by OUTPUT's suffix, else h265)",
    )
    video.add_argument("-b", "--bitrate", metavar="RATE", type=_checked(parse_bitrate), help="bit/s, e.g. 800k or 2M")
    video.add_argument(
        "-g", "--gop", metavar="N", type=int, help="frames from one IDR to the next (default: 2 seconds)"
    )
    video.add_argument(
        "-r",
        "--fps",
        metavar="FPS",
        type=_checked(_rate),
        help="frames per second of INPUT, e.g. 25 or 30000/1001, evenly spaced (default: INPUT's own times)",
    )
    video.add_argument("--rc", type=str.lower, choices=_RATE_CONTROL, help="rate control; cbr and vbr alone on V1")
    video.add_argument("--profile", metavar="P", help="baseline, main or high (H.264); main (H.265)")
    video.add_argument("-s", "--size", metavar="WxH", type=_size, help="size of raw INPUT")
    reading = parser.add_argument_group("input")
    reading.add_argument(
        "--tolerant",
        action="store_true",
        help="go on where INPUT is damaged or cut off, and say how many frames are (default: that is an error)",
    )
    reading.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=_checked(_seconds),
        help="how long a network, a pipe or a device may send nothing (default: for ever)",
    )
    device = parser.add_argument_group("device")
    device.add_argument(
        "--backend", metavar="B", help="auto, ascend, sim, sim:CHIP or a path (default: $ASCEND_VENC_BACKEND or auto)"
    )
    device.add_argument("--device", metavar="N", type=int, default=0, help="number of the device (default: 0)")
    device.add_argument(
        "--interface",
        type=str.lower,
        choices=("auto", "v1", "v2"),
        help="of the vendor's: V1, or V2 on chips that have it (default: $ASCEND_VENC_INTERFACE or auto)",
    )
    device.add_argument(
        "--device-timeout",
        metavar="SECONDS",
        type=_checked(_seconds),
        default=30.0,
        help="how long the device may finish no frame, and how long closing it may take (default: 30)",
    )
    output = parser.add_argument_group("output")
    output.add_argument("-y", "--overwrite", action="store_true", help="replace OUTPUT if it exists")
    output.add_argument(
        "--keep-partial",
        action="store_true",
        help="keep what was encoded when INPUT fails or the command is interrupted, as for a live INPUT",
    )
    output.add_argument("-q", "--quiet", action="store_true", help="no progress, no notes")
    output.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object about the result on standard output (on standard error if OUTPUT is -)",
    )


def run(args: argparse.Namespace) -> int:
    codec = _codec(args)
    to_stdout = args.output == "-"
    _check_output(args)
    source = "standard input" if args.input == "-" else args.input
    target = "standard output" if to_stdout else args.output
    with contextlib.ExitStack() as listening:
        with _naming(source):
            reader = _open_input(args, listening)
        with reader, _naming(target), contextlib.ExitStack() as stack:
            file = _open_output(args, stack)
            if reader.left_out and not args.quiet:
                say(f"note: {source}: not carried over: {', '.join(reader.left_out)}")
            begin = time.monotonic()
            encoder, tally = _encode(args, codec, reader, _frames(reader, source), file)
            elapsed = time.monotonic() - begin
        report = _report(args, encoder, reader, tally, elapsed)
    if args.json:
        stream = sys.stderr if to_stdout else sys.stdout
        report["backend_reason"] = core.reason(args.backend)
        if stream is not None:  # closed: print() would take the other one
            print(json.dumps(report), file=stream, flush=True)
    if tally.failure is not None:
        kept = f"{tally.packets} frames ({clock(report['duration'])}) are kept in {target}"
        say(f"{tally.failure}; {kept}" if isinstance(tally.failure, Exception) else f"interrupted; {kept}")
        return code_of(tally.failure)
    if not args.quiet:
        damaged = (f"{reader.damaged} frames of it are damaged",) if reader.damaged else ()
        if damaged or reader.notes:
            say(f"note: {source}: {'; '.join((*damaged, *reader.notes))}")
    if not args.json and not args.quiet and is_terminal(sys.stderr):
        say(
            f"{tally.frames} frames ({clock(report['duration'])}) as {report['codec']} {report['size']} in "
            f"{elapsed:.1f} s on {_device(encoder.backend)}: {bits(report['bit_rate'])}"
        )
    return 0


def _codec(args: argparse.Namespace) -> str:
    named = None if args.output == "-" else codec_of(args.output)
    if args.codec and named and named != args.codec:
        suffix = os.path.splitext(args.output)[1]
        raise UsageError(f"{args.output}: the suffix {suffix} stands for {named}, but -c says {args.codec}")
    return args.codec or named or DEFAULT_CODEC


def _check_output(args: argparse.Namespace) -> None:
    path = args.output
    if path == "-":
        if sys.stdout is None:
            raise OSError(errno.EBADF, "it is closed", "standard output")
        if is_terminal(sys.stdout):
            raise UsageError("standard output is a terminal: redirect it, or name a file as OUTPUT")
        return
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, "it is a directory: name a file in it", path)
    with contextlib.suppress(OSError):
        if args.input != "-" and os.path.samefile(args.input, path):
            raise _Named(f"{path}: input and output are the same file")
    if codec_of(path) is None and container_of(path) is None:
        raise UsageError(f"{path}: its suffix has to tell what to write; known are {' '.join(SUFFIXES)}")


def _open_input(args: argparse.Namespace, stack: contextlib.ExitStack) -> VideoReader:
    if args.input == "-":
        if args.size is not None:
            raise UsageError("standard input is read as y4m, which has its own size: leave -s out")
        if sys.stdin is None:
            raise OSError(errno.EBADF, "it is closed", "standard input")
        return Y4MReader(sys.stdin.buffer, fps=args.fps, tolerant=args.tolerant, timeout=args.timeout)
    if is_raw(args.input) and args.size is None:
        raise UsageError(f"{args.input}: raw pixels do not tell their size: give it with -s WIDTHxHEIGHT")
    if args.size is not None and not is_raw(args.input):
        raise UsageError(f"{args.input}: it has its own size, and nothing is scaled: leave -s out")
    if reads_by_pyav(args.input):
        stack.enter_context(listening_to_ffmpeg())
    return open_video(args.input, size=args.size, fps=args.fps, tolerant=args.tolerant, timeout=args.timeout)


def _open_output(args: argparse.Namespace, stack: contextlib.ExitStack) -> Any:
    if args.output == "-":
        return sys.stdout.buffer
    try:
        return stack.enter_context(ReplacingFile(args.output, overwrite=args.overwrite)).file
    except FileExistsError as error:
        raise FileExistsError(error.errno, "it exists already; -y replaces it", args.output) from None
    except OSError as error:
        raise type(error)(error.errno, f"it cannot be written: {error.strerror}", args.output) from None


@contextlib.contextmanager
def _naming(name: str) -> Iterator[None]:
    """Put a file's name before what a reader or a writer complains about it."""
    try:
        yield
    except MediaError as error:
        raise _Named(f"{name}: {error}") from None
    except OSError as error:
        if error.filename is not None or isinstance(error, (BrokenPipeError, VencError)):
            raise
        raise type(error)(error.errno, error.strerror or str(error), name) from None


class _Named(VencError):
    """A MediaError that has its file's name."""


def _frames(reader: VideoReader, source: str) -> Iterator[VideoFrame]:
    with _naming(source):
        empty = True
        for frame in reader:
            empty = False
            yield frame
        if empty:
            raise MediaError("there are no frames in it")


@dataclasses.dataclass
class _Tally:
    time_base: Fraction
    fps: Fraction
    frames: int = 0
    packets: int = 0
    key_frames: int = 0
    bytes: int = 0
    end: int = 0  # when the last packet's picture ends, in units of time_base
    failure: BaseException | None = None  # what ended it early, where the rest is kept

    @property
    def duration(self) -> float:
        return float(self.end * self.time_base)

    @property
    def bit_rate(self) -> float:
        return self.bytes * 8 / self.duration if self.end else 0.0


def _encode(
    args: argparse.Namespace, codec: str, reader: VideoReader, frames: Iterator[VideoFrame], file: Any
) -> tuple[Encoder, _Tally]:
    tally = _Tally(reader.time_base, reader.fps)
    progress = Progress(reader.frame_count, enabled=not args.quiet)
    with contextlib.ExitStack() as stack:
        stack.callback(progress.clear)
        writer: Any
        if args.output == "-" or codec_of(args.output):
            writer = stack.enter_context(AnnexBWriter(file))
        else:
            writer = stack.enter_context(
                Muxer(
                    file,
                    codec=codec,
                    fps=reader.fps,
                    time_base=reader.time_base,
                    format=container_of(args.output),
                    sample_aspect_ratio=reader.sample_aspect_ratio,
                    color=reader.color,
                )
            )
        encoder = stack.enter_context(
            Encoder(
                reader.width,
                reader.height,
                codec=codec,
                profile=args.profile,
                pixel_format=reader.pixel_format,
                color=reader.color,
                sample_aspect_ratio=reader.sample_aspect_ratio,
                fps=reader.fps,
                bitrate=args.bitrate,
                rc=args.rc or "default",
                gop=args.gop,
                backend=args.backend,
                device=args.device,
                interface=args.interface,
                timeout=args.device_timeout,
            )
        )
        times: collections.deque[VideoFrame] = collections.deque()  # of the frames in flight, without their pixels

        def put(packets: Iterable[Any]) -> None:
            for packet in packets:
                if packet.frame_index != tally.packets or not times:
                    expected = tally.packets if times else "none"
                    raise VencError(f"the device returned frame {packet.frame_index} in place of {expected}")
                frame = times.popleft()
                tally.packets += 1
                tally.bytes += packet.size
                tally.key_frames += packet.is_keyframe
                duration = frame.duration or max(1, round(1 / reader.fps / reader.time_base))
                tally.end = frame.pts + duration
                writer.write(packet, pts=frame.pts, duration=duration)
            if args.output == "-":
                file.flush()
            progress.update(tally.packets, tally.bit_rate)

        kept = reader.live or args.keep_partial
        patience = PATIENCE if kept else 0.0
        try:
            ended = False
            while not ended:
                check()
                with shielded():  # a packet that was taken is written, and whole
                    try:
                        with shielded(0.0):
                            frame = next(frames, None)
                        ended = frame is None
                        if frame is not None:
                            tally.frames += 1
                            times.append(frame._replace(data=None))
                        with shielded(patience):
                            packets = encoder.flush() if frame is None else encoder.encode(frame.data)
                    except (VencError, OSError, MemoryError) as error:
                        if not kept:
                            raise
                        tally.failure = error.with_traceback(None)  # which has this frame, and its packets
                        break
                    put(packets)
            check()
        except (KeyboardInterrupt, Terminated) as error:  # it may come at any line of the loop
            if not kept:
                raise
            tally.failure = tally.failure or error.with_traceback(None)
        if tally.failure is not None:
            _keep_the_rest(encoder, tally, put)
            return encoder, tally
        if tally.packets != tally.frames:
            raise VencError(f"{tally.frames} frames went in, {tally.packets} packets came out")
        return encoder, tally


def _device(backend: str) -> str:
    return f"{backend} (simulated, on the CPU)" if backend.startswith("sim") else backend


def _keep_the_rest(encoder: Encoder, tally: _Tally, put: Callable[[Iterable[Any]], None]) -> None:
    """Take what is in flight, if the device gives it. Raises what ended the work where nothing was encoded."""
    assert tally.failure is not None
    packets: list[Any] = []
    with contextlib.suppress(VencError, KeyboardInterrupt, Terminated), shielded(PATIENCE):
        packets = encoder.flush()
    with shielded():
        # Where a packet was lost to an exception, those after it cannot be shown.
        put([p for n, p in enumerate(packets, tally.packets) if p.frame_index == n])
    if not tally.packets:
        raise tally.failure


def _report(
    args: argparse.Namespace, encoder: Encoder, reader: VideoReader, tally: _Tally, elapsed: float
) -> dict[str, Any]:
    config = encoder.config
    backend, _, chip = encoder.backend.partition(":")
    return {
        "input": args.input,
        "output": args.output,
        "codec": config.codec,
        "profile": config.profile,
        "width": config.width,
        "height": config.height,
        "size": f"{config.width}x{config.height}",
        "frames": tally.packets,
        "complete": tally.failure is None,
        "damaged": reader.damaged,
        "left_out": list(reader.left_out),
        "notes": list(reader.notes),
        "key_frames": tally.key_frames,
        "fps": float(tally.fps),
        "duration": tally.duration,  # seconds
        "bytes": tally.bytes,  # of the bitstream, without the container
        "bit_rate": round(tally.bit_rate),  # bit/s, achieved
        "backend": backend,
        "chip": chip,
        "interface": encoder.interface,
        "elapsed": round(elapsed, 3),  # seconds
    }
