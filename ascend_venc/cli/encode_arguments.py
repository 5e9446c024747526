# SPDX-License-Identifier: Apache-2.0
"""What the options of `ascend-venc encode` ask for together."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

from ..errors import InvalidArgumentError
from ..media.formats import (
    FORMAT_ALIASES,
    FORMATS,
    LIVE_FORMATS,
    asks_for_fragments,
    bare_codec,
    live_format,
    movflags_of,
)
from ..media.open import is_raw
from ..media.reader import suffix_of
from ..pixel_formats import PIXEL_FORMATS, name_of_format
from . import UsageError
from .ffmpeg_options import codec_named

if TYPE_CHECKING:
    from fractions import Fraction

# Demuxers and devices of FFmpeg's that -f before -i may name, or -f without -i.
_INPUT_FORMATS = {
    "rawvideo": "rawvideo",
    "yuv4mpegpipe": "y4m",
    "v4l2": "v4l2",
    "video4linux2": "v4l2",
    "lavfi": "lavfi",
    "image2": "image2",
    "image2pipe": "image2pipe",
    "concat": "concat",
    "x11grab": "x11grab",
}
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".tga")
PIPES = ("-", "pipe:", "pipe:0", "pipe:1", "/dev/stdin", "/dev/stdout", "fd:")
SAME_PICTURE = ("i420", "nv12")  # what the stream holds: 8 bits, 4:2:0


def settle(args: argparse.Namespace) -> list[argparse.Namespace]:
    """Return one set of arguments for each input, with what both sides of -i say brought together.

    Each has `input`, `output` (both "-" for the standard streams), `input_format`, `size`, `pixel_format`, `fps` of the
    input, `output_format`, `codec`, `start` and `stop` in seconds, and what OUTPUT was said to have: `asked_size`,
    `asked_fps`. Raises UsageError.
    """
    by_ffmpeg = bool(args.inputs)
    before, after = args.before or {}, args.after or {}
    files = list(args.files)
    inputs = list(args.inputs or ())
    output = args.output
    if output is None:
        if not files:
            raise UsageError("OUTPUT is missing: name INPUT and OUTPUT")
        output = files.pop()
    if by_ffmpeg and files:
        raise UsageError(f"one OUTPUT at a time: {files[0]} and {output} are named")
    inputs += files
    if not inputs:
        raise UsageError(f"INPUT or OUTPUT is missing: only {output} is named")
    args.encoder_named = None
    _settle_sides(args, by_ffmpeg, before, after)
    _settle_rate(args)
    output, *inputs = map(_without_protocol, (output, *inputs))
    _settle_options(args, output, inputs)
    if args.overwrite and args.keep:
        raise UsageError("-y and -n are given: leave one out")
    args.quiet = args.quiet or args.loglevel <= 16
    args.no_progress = args.quiet or args.nostats or args.loglevel <= 24
    output = "-" if output in PIPES else output
    if args.output_format == "null":
        output = os.devnull
    inputs = ["-" if name in PIPES else name for name in inputs]
    args.into_a_folder = output != "-" and (output.endswith("/") or os.path.isdir(output))
    if args.report is not None and len(inputs) > 1:
        raise UsageError(
            f"--report {args.report}: it is of one INPUT, and {len(inputs)} are named: encode them one by one"
        )
    jobs = []
    for name, target in zip(inputs, _targets(args, inputs, output)):
        job = argparse.Namespace(**vars(args))
        job.input, job.output = name, target
        jobs.append(job)
    return jobs


def _settle_sides(args: argparse.Namespace, by_ffmpeg: bool, before: dict[str, Any], after: dict[str, Any]) -> None:
    of_input = before  # without -i everything is "before"
    of_output = after if by_ffmpeg else {}
    form, out_form = before.get("format"), after.get("format")
    if not by_ffmpeg and form is not None and form.lower() not in _INPUT_FORMATS:
        form, out_form = None, form
    args.input_format = None if form is None else _INPUT_FORMATS.get(form.lower(), form)
    args.output_format = None if out_form is None else _output_format(out_form)
    args.pixel_format = None
    for side, is_input in ((of_input, True), (of_output, False)):
        if "pix_fmt" not in side:
            continue
        name = name_of_format(side["pix_fmt"])
        raw = is_input and (by_ffmpeg or args.input_format == "rawvideo" or _names_raw(args))
        if raw and name in PIXEL_FORMATS:
            args.pixel_format = name
        elif name not in (PIXEL_FORMATS if is_input and by_ffmpeg else SAME_PICTURE):
            known = ", ".join(info.av_name for info in PIXEL_FORMATS.values()) if raw else "yuv420p, nv12"
            why = "of raw INPUT" if raw else "the device writes 8 bits, 4:2:0"
            raise UsageError(f"-pix_fmt {side['pix_fmt']}: {why}: {known}")
    args.size, args.asked_size = of_input.get("size"), of_output.get("size")
    args.fps, args.asked_fps = of_input.get("fps"), of_output.get("fps")
    codec = of_output.get("codec") if by_ffmpeg else of_input.get("codec")
    if by_ffmpeg and "codec" in of_input and of_input["codec"].lower() != "rawvideo":
        raise UsageError(f"-c:v {of_input['codec']} before -i: PyAV chooses the decoder: leave it out")
    args.codec = None
    if codec is not None:
        try:
            args.codec, args.encoder_named = codec_named(codec)
        except InvalidArgumentError as error:
            raise UsageError(f"-c:v {error}") from None
    start, stop = before.get("start"), before.get("to")
    stop = _earliest(stop, _sum(start or 0, before.get("duration")))
    if by_ffmpeg:
        # Times after -i count from where reading begins.
        begin: Fraction | int = start or 0
        start = _sum(begin, after.get("start")) or start
        stop = _earliest(stop, _sum(begin, after.get("to")), _sum(start or 0, after.get("duration")))
    if stop is not None and stop <= (start or 0):
        raise UsageError(f"it would end at {float(stop):g} s and begin at {float(start or 0):g} s: see -ss, -t and -to")
    args.start, args.stop = start, stop


def _without_protocol(name: str) -> str:
    """Return the path in "file:film.mp4", unless a file has that name."""
    return name[len("file:") :] if name.startswith("file:") and not os.path.exists(name) else name


def _settle_options(args: argparse.Namespace, output: str, inputs: list[str]) -> None:
    """Options that are FFmpeg's own: of inputs, and the one of a network as OUTPUT."""
    args.input_options, options = dict(args.input_options or {}), dict(args.output_options or {})
    rtsp = [live_format(name) == "rtsp" for name in (output, *inputs)]
    if rtsp[0] and not args.inputs and not any(rtsp[1:]) and "rtsp_transport" in args.input_options:
        options["rtsp_transport"] = args.input_options.pop("rtsp_transport")
    for name in options:
        if name != "rtsp_transport" or not rtsp[0]:
            raise UsageError(f"-{name}: it is said of an input: put it before -i")
    args.output_options = options
    if "loop" in args.input_options and not all(suffix_of(name) in _PICTURES for name in inputs):
        raise UsageError("-loop: it shows one picture again and again; --loop N reads INPUT again N times")


def _names_raw(args: argparse.Namespace) -> bool:
    return any(is_raw(name) for name in (*(args.inputs or ()), *args.files))


def _sum(first: Fraction | int, second: Fraction | None) -> Fraction | None:
    return None if second is None else first + second


def _earliest(*moments: Fraction | None) -> Fraction | None:
    return min((moment for moment in moments if moment is not None), default=None)


def _settle_rate(args: argparse.Namespace) -> None:
    """-maxrate and -bufsize: the device has one rate, which cbr keeps to and vbr stays below."""
    if args.qp is not None and (args.bitrate or args.maxrate or args.rc):
        raise UsageError("-qp and a rate are given: a fixed quantiser takes what it takes; leave one out")
    if args.maxrate is None:
        if args.bufsize is not None:
            raise UsageError("-bufsize: the device keeps its own account of the rate: leave it out, or give --rc cbr")
        return
    if args.bitrate is None:
        args.bitrate, mode = args.maxrate, "vbr"
    elif args.bitrate == args.maxrate:
        mode = "cbr"
    else:
        raise UsageError(
            "-maxrate is not -b:v: the device has one rate; give the same to both for a steady one (cbr), or -maxrate "
            "alone for a rate that is not exceeded (vbr)"
        )
    if args.rc not in (None, mode):
        raise UsageError(f"-maxrate asks for {mode}, and --rc says {args.rc}: leave one out")
    args.rc = mode


def settings_of_movflags(movflags: str | None) -> dict[str, Any]:
    """Return what `Muxer` is told."""
    options = {} if movflags is None else {"movflags": movflags}
    flags = movflags_of(options)
    return {
        # A file in fragments has no index to move: ffmpeg overlooks it too.
        "faststart": "faststart" in flags and not asks_for_fragments(options),
        "options": options if flags - {"faststart"} else None,
    }


def _output_format(text: str) -> str:
    name = text.lower()
    if name in ("null", *FORMATS.values(), *LIVE_FORMATS.values()):
        return name
    found = bare_codec(name) or FORMAT_ALIASES.get(name)
    if found is None:
        known = ", ".join(sorted({*FORMAT_ALIASES, "h264", "hevc", "null"}))
        raise UsageError(f"-f {text}: that is not written; known are {known}")
    return found


def _targets(args: argparse.Namespace, inputs: list[str], output: str) -> list[str]:
    """Return the output of each input: itself, or a file of the input's name in a folder."""
    if not args.into_a_folder:
        if len(inputs) > 1:
            raise UsageError(
                f"{len(inputs)} INPUTs go to a folder, and {output} is none: end its name with /, or create it (inputs "
                "are neither joined nor mixed)"
            )
        return [output]
    suffix = next((s for s, name in FORMATS.items() if name == args.output_format), None)
    if args.output_format is not None and suffix is None:
        suffix = "." + args.output_format
    names = []
    for name in inputs:
        stem, own = os.path.splitext(os.path.basename(name.rstrip("/").partition("?")[0]))
        if not stem or name == "-" or "%" in stem:
            raise UsageError(f"{name}: it has no name for a file in {output}: name a file as OUTPUT")
        names.append(os.path.join(output, stem + (suffix or (own.lower() if own.lower() in FORMATS else ".mp4"))))
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"two INPUTs would be written to {twice[0]}: encode them one by one")
    return names
