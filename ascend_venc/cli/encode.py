# SPDX-License-Identifier: Apache-2.0
"""`ascend-venc encode`: a video file in, an encoded one out."""

from __future__ import annotations

import argparse
import collections
import contextlib
import errno
import functools
import itertools
import json
import os
import stat
import sys
import time
from typing import TYPE_CHECKING, Any

from .._lowlevel import core
from ..config import CODECS
from ..encoder import Encoder
from ..errors import MediaError, VencError
from ..media import AnnexBWriter, LiveOutput, Muxer
from ..media.formats import (
    FLV_CODEC,
    FORMATS,
    ISO_FORMATS,
    LIVE_FORMATS,
    SUFFIXES,
    asks_for_fragments,
    codec_of,
    container_of,
    live_format,
)
from ..media.output import ReplacingFile
from ..media.reader import is_same_file
from ..media.section import SectionReader
from ..media.sound import WithSound
from ..rate_control import RateControl
from . import UsageError, chunks, report_error, say
from .carried_over import CarriedOver, carry_over
from .encode_arguments import settings_of_movflags, settle
from .encode_input import check_asked, name_of, open_input, paced
from .encode_options import configure
from .ending import LAST_PATIENCE, PATIENCE, Tally, end, finish, keep_the_rest, keep_the_sound, told_of_signals
from .interruption import PipeOutput, Terminated, check, code_of, shielded, take_back
from .progress import Progress, bits, clock, is_terminal, size
from .quality import MEASURES, Quality

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..media import VideoFrame, VideoReader

__all__ = ["HELP", "NAME", "configure", "run"]

NAME = "encode"
HELP = "Encode a video to H.264 or H.265."
DEFAULT_CODEC = "h265"
NOTES_ALONE = 24  # level of ffmpeg's log: warnings


def run(args: argparse.Namespace) -> int:
    jobs = settle(args)
    if len(jobs) == 1:
        return _run(jobs[0])
    code = 0
    for job in jobs:  # one that fails does not keep the others from being encoded
        try:
            ended = _run(job)
            if ended > 128:  # by a signal
                return ended
            code = ended or code
        except (VencError, OSError, MemoryError) as error:
            report_error(error)
            code = 1
    return code


def _run(args: argparse.Namespace) -> int:
    _settle_output(args)
    in_chunks = chunks.wanted(args)
    _check_output(args)
    if in_chunks:
        return chunks.run_in_chunks(args)
    to_stdout = args.output == "-"
    if args.report is not None:
        _check_report(args)
    source = name_of(args)
    target = "standard output" if to_stdout else args.output
    if args.encoder_named and not args.quiet:
        say(f"note: -c:v {args.encoder_named}: the device encodes, as {args.codec}")
    with contextlib.ExitStack() as listening:
        with _naming(source):
            reader = open_input(args, listening)
        with reader, _naming("" if live_format(target) else target), contextlib.ExitStack() as stack:
            check_asked(args, reader)
            kept = reader.live or args.keep_partial
            if kept:  # from the end of the work on no signal takes away what was encoded
                stack.enter_context(shielded())
            working = stack.enter_context(contextlib.ExitStack())
            working.enter_context(shielded(0.0))
            file, whole = _open_output(args, stack, reader)
            carried = carry_over(args, reader)
            if carried.left_out and not args.quiet:
                say(f"note: {source}: not carried over: {', '.join(carried.left_out)}")
            begin = time.monotonic()
            encoder, tally = _encode(args, reader, carried, _frames(args, reader, source), file, kept, working)
            elapsed = time.monotonic() - begin
            if tally.is_full and whole is not None:
                whole.leave_out_the_rest()
        if kept and tally.failure is None:
            tally.failure = take_back()
        report = _report(args, encoder, reader, carried, tally, elapsed)
        if isinstance(file, LiveOutput) and file.stats.dropped and not args.quiet:
            say(f"note: {file.name}: {file.stats.dropped} frames were not sent: {file.stats.error or 'it is too slow'}")
    if args.report is not None:
        _write_report(args, {**report, "pictures": tally.pictures})
    if args.json:
        stream = sys.stderr if to_stdout else sys.stdout
        report["backend_reason"] = core.reason(args.backend)
        if stream is not None:  # closed: print() would take the other one
            print(json.dumps(report), file=stream, flush=True)
    if tally.is_full:
        reason = getattr(tally.failure, "strerror", tally.failure)
        say(f"{target}: {reason}; kept up to there, {tally.packets} frames ({clock(report['duration'])}) at most")
        return 1
    if tally.failure is not None:
        kept = f"{tally.packets} frames ({clock(report['duration'])}) are kept in {target}"
        if tally.sound_is_cut:
            kept = f"all {kept}, and its sound up to there"
        say(f"{tally.failure}; {kept}" if isinstance(tally.failure, Exception) else f"interrupted; {kept}")
        return code_of(tally.failure)
    if not args.quiet:
        damaged = (f"{reader.damaged} frames of it are damaged",) if reader.damaged else ()
        notes = (*damaged, *reader.notes, *carried.notes)
        if notes:
            say(f"note: {source}: {'; '.join(notes)}")
    if not args.json and not args.quiet and args.loglevel > NOTES_ALONE and is_terminal(sys.stderr):
        say(
            f"{tally.frames} frames ({clock(report['duration'])}) as {report['codec']} {report['size']} in "
            f"{elapsed:.1f} s on {_device(encoder.backend)} by DVPP {encoder.interface.upper()}: "
            f"{bits(report['bit_rate'])}, {size(tally.bytes)}"
        )
    if tally.quality and not args.json:
        told = {"psnr": ("PSNR", " dB"), "ssim": ("SSIM", "")}
        parts = [f"{told[n][0]} {'inf' if v is None else v}{told[n][1]}" for n, v in tally.quality.items()]
        say(f"{source}: {', '.join(parts)}")
    return 0


def _settle_output(args: argparse.Namespace) -> None:
    """Set `container`, the format of `Muxer` or None for the bare bitstream, and `codec`."""
    form, path = args.output_format, args.output
    args.container = form if form in (*FORMATS.values(), *LIVE_FORMATS.values()) else None
    named = form if form in CODECS else None
    if form is None and path != "-":
        args.container, named = container_of(path), codec_of(path)
    if args.container == "flv":
        named = FLV_CODEC
    if args.codec and named and named != args.codec:
        suffix = "its scheme" if live_format(path) else f"the suffix {os.path.splitext(path)[1]}"
        suffix = f"-f {form}" if form else suffix
        raise UsageError(f"{path}: {suffix} stands for {named}, but -c says {args.codec}")
    # What ffmpeg takes where nothing is said.
    default = "h264" if args.inputs and args.container in ("mp4", "mov", "matroska") else DEFAULT_CODEC
    args.codec = args.codec or named or default
    if args.tag and args.tag != {"h264": "avc1", "h265": "hvc1"}[args.codec]:
        raise UsageError(f"-tag:v {args.tag}: it is of the other codec, and -c:v says {args.codec}: leave it out")
    if args.container not in ISO_FORMATS and args.movflags:
        raise UsageError(f"-movflags {args.movflags}: it is for mp4 and mov: leave it out")
    if args.container is None and args.metadata:
        raise UsageError("-metadata: a bare bitstream has no place for it: write mp4, mkv or ts")


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
    if args.output_format is None and codec_of(path) is None and args.container is None:
        raise UsageError(f"{path}: its suffix has to tell what to write; known are {' '.join(SUFFIXES)}, or say -f")


def _check_report(args: argparse.Namespace) -> None:
    """Refuse before the work what would take the film away, or could not be written."""
    path = args.report
    for name, what in ((args.input, "INPUT"), (args.output, "OUTPUT")):
        same = os.path.realpath(name) == os.path.realpath(path) or is_same_file(name, path)
        if same and name not in ("-", os.devnull):
            raise UsageError(f"--report {path}: that is {what}, which it would replace: name another file")
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def _open_output(
    args: argparse.Namespace, stack: contextlib.ExitStack, reader: VideoReader
) -> tuple[Any, ReplacingFile | None]:
    if args.output == "-":
        return _unless_regular(sys.stdout.buffer), None
    if live_format(args.output):
        options = args.output_options or None
        return LiveOutput(args.output, format=args.output_format, realtime=not reader.live, options=options), None
    folder = os.path.dirname(args.output)
    if args.into_a_folder and not os.path.isdir(folder):
        os.makedirs(folder)
    try:
        whole = stack.enter_context(ReplacingFile(args.output, overwrite=args.overwrite))
        return _unless_regular(whole.file), whole
    except FileExistsError as error:
        raise FileExistsError(error.errno, "it exists already; -y replaces it", args.output) from None
    except OSError as error:
        raise type(error)(error.errno, f"it cannot be written: {error.strerror}", args.output) from None


def _unless_regular(file: Any) -> Any:
    """Return what to write to: a pipe may be one whose reader takes nothing."""
    return file if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else PipeOutput(file, LAST_PATIENCE)


@contextlib.contextmanager
def _naming(name: str) -> Iterator[None]:
    """Put a file's name before what a reader or a writer complains about it; "": it names itself."""
    try:
        yield
    except MediaError as error:
        raise _Named(f"{name}: {error}" if name else str(error)) from None
    except OSError as error:
        if error.filename is not None or isinstance(error, (BrokenPipeError, VencError)):
            raise
        raise type(error)(error.errno, error.strerror or str(error), name) from None


class _Named(VencError):
    """A MediaError that has its file's name."""


def _frames(args: argparse.Namespace, reader: VideoReader, source: str) -> Iterator[VideoFrame]:
    with _naming(source):
        empty = True
        frames = itertools.islice(reader, args.frames)
        for frame in paced(frames, reader.time_base) if args.realtime else frames:
            empty = False
            yield frame
        if empty:
            raise MediaError("there are no frames in it")


def _open_writer(args: argparse.Namespace, reader: VideoReader, carried: CarriedOver, file: Any) -> Any:
    if args.container is None:
        return AnnexBWriter(file)
    muxer = Muxer(
        file,
        codec=args.codec,
        fps=reader.fps,
        time_base=reader.time_base,
        format=args.container,
        sample_aspect_ratio=reader.sample_aspect_ratio,
        color=reader.color,
        metadata={**reader.metadata, **args.metadata},
        **settings_of_movflags(args.movflags),
    )
    return muxer if carried.sound is None else WithSound(muxer, carried.sound, reader.time_base)


def _encode(
    args: argparse.Namespace,
    reader: VideoReader,
    carried: CarriedOver,
    frames: Iterator[VideoFrame],
    file: Any,
    kept: bool,
    working: contextlib.ExitStack,
) -> tuple[Encoder, Tally]:
    tally = Tally(reader.time_base, reader.fps)
    total = reader.frame_count if args.frames is None else min(args.frames, reader.frame_count or args.frames)
    progress = Progress(total, enabled=not args.no_progress, lines=args.stats and not args.quiet)
    measures = [name for name in MEASURES if getattr(args, name)]
    with contextlib.ExitStack() as stack:
        stack.callback(progress.clear)
        quality = Quality(measures, args.codec, reader)
        stack.callback(quality.close)
        stack.push(told_of_signals)
        writer = _open_writer(args, reader, carried, file)
        stack.push(functools.partial(finish, writer, tally, kept))
        encoder = Encoder(
            reader.width,
            reader.height,
            codec=args.codec,
            profile=args.profile,
            pixel_format=reader.pixel_format,
            color=reader.color,
            sample_aspect_ratio=reader.sample_aspect_ratio,
            fps=reader.fps,
            bitrate=args.bitrate,
            rc=RateControl("fixqp", qp=args.qp) if args.qp is not None else args.rc or "default",
            gop=args.gop,
            aud=args.aud,
            backend=args.backend,
            device=args.device,
            interface=args.interface,
            timeout=args.device_timeout,
        )
        stack.push(functools.partial(end, encoder, tally))
        times: collections.deque[VideoFrame] = collections.deque()  # of the frames in flight, without their pixels

        def put(packets: Iterable[Any]) -> None:
            for packet in packets:
                if packet.frame_index != tally.packets or not times:
                    expected = tally.packets if times else "none"
                    raise VencError(f"the device returned frame {packet.frame_index} in place of {expected}")
                frame = times.popleft()
                duration = frame.duration or max(1, round(1 / reader.fps / reader.time_base))
                writer.write(packet, pts=frame.pts, duration=duration)
                tally.packets += 1
                tally.bytes += packet.size
                tally.key_frames += packet.is_keyframe
                tally.end = frame.pts + duration
                quality.written(packet)
                if args.report is not None:
                    time_of, length = float(frame.pts * reader.time_base), float(duration * reader.time_base)
                    picture = {"time": time_of, "duration": length, "bytes": packet.size, "key": packet.is_keyframe}
                    tally.pictures.append({**picture, "latency": packet.latency})
            if args.output == "-":
                file.flush()
            progress.update(tally.packets, tally.duration, tally.bytes)

        live = file if isinstance(file, LiveOutput) else None
        patience = PATIENCE if kept else 0.0

        def work() -> None:
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
                            quality.sent(frame.data)
                        asked = live is not None and frame is not None and live.wants_key_frame
                        if live is not None and asked:
                            live.wants_key_frame = False  # before: it may ask again at any moment
                        with shielded(patience):
                            packets = encoder.flush() if frame is None else encoder.encode(frame.data, key_frame=asked)
                    except (VencError, OSError, MemoryError) as error:
                        if not kept:
                            raise
                        tally.failure = error.with_traceback(None)  # which has this frame, and its packets
                        break
                    try:
                        put(packets)
                    except OSError as error:  # a full disk: what is written can be played, where that needs no end
                        if not (kept and _plays_without_its_end(args, file)) or not tally.packets:
                            raise
                        tally.failure, tally.is_full = error.with_traceback(None), True
                        break
            check()

        working.close()
        try:
            with shielded(0.0):
                work()
        except (KeyboardInterrupt, Terminated) as error:  # it may come at any line of the loop
            if not kept:
                raise
            tally.failure = tally.failure or error.with_traceback(None)
        if tally.failure is not None or tally.frames == args.frames:
            carried.end_with_the_pictures()
        elif isinstance(reader, SectionReader):
            carried.end_at(reader.length)
        if tally.failure is not None and not tally.is_full:
            keep_the_rest(encoder, tally, put, PATIENCE)
        elif tally.failure is None and tally.packets != tally.frames:
            raise VencError(f"{tally.frames} frames went in, {tally.packets} packets came out")
        if kept and carried.sound is not None and not tally.is_full:
            keep_the_sound(writer, carried, tally)
        try:
            with shielded(0.0):
                tally.quality = quality.finish()
        except (KeyboardInterrupt, Terminated) as error:
            if not kept:
                raise
            tally.failure = tally.failure or error.with_traceback(None)
        return encoder, tally


def _plays_without_its_end(args: argparse.Namespace, file: Any) -> bool:
    fragmented = asks_for_fragments({"movflags": args.movflags} if args.movflags else None)
    return not isinstance(file, (PipeOutput, LiveOutput)) and (args.container not in ISO_FORMATS or fragmented)


def _device(backend: str) -> str:
    return f"{backend} (simulated, on the CPU)" if backend.startswith("sim") else backend


def _write_report(args: argparse.Namespace, report: dict[str, Any]) -> None:
    with ReplacingFile(args.report, overwrite=True) as target:
        target.file.write(json.dumps(report).encode() + b"\n")


def _report(
    args: argparse.Namespace,
    encoder: Encoder,
    reader: VideoReader,
    carried: CarriedOver,
    tally: Tally,
    elapsed: float,
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
        "left_out": list(carried.left_out),
        "sound": list(carried.sound.names) if carried.sound else [],
        "notes": [*reader.notes, *carried.notes],
        "key_frames": tally.key_frames,
        "fps": float(tally.fps),
        "duration": tally.duration,  # seconds
        "bytes": tally.bytes,  # of the bitstream, without the container
        "bit_rate": round(tally.bit_rate),  # bit/s, achieved
        "asked_bit_rate": config.bitrate,
        "backend": backend,
        "chip": chip,
        "interface": encoder.interface,
        "elapsed": round(elapsed, 3),  # seconds
        **tally.quality,
    }
