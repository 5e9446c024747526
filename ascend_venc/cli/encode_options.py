# SPDX-License-Identifier: Apache-2.0
"""The options of `ascend-venc encode`: its own words and ffmpeg's."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..media.formats import FORMAT_ALIASES, SUFFIXES
from ..rates import parse_bitrate
from . import UsageError, chunks
from .argument_types import checked, rate, seconds, size
from .ffmpeg_options import log_level, moment, refuse, sound_is_copied, stays_out, times_are_kept

if TYPE_CHECKING:
    from .parser import Parser

_RATE_CONTROL = ("cbr", "vbr", "avbr", "qvbr", "cvbr")
# Options of an input that are handed to FFmpeg as they are.
_OF_AN_INPUT = (
    "rtsp_transport",
    "probesize",
    "analyzeduration",
    "fflags",
    "flags",
    "user_agent",
    "headers",
    "timeout",
    "stimeout",
    "rtbufsize",
    "buffer_size",
    "input_format",
    "pattern_type",
    "start_number",
    "safe",
    "protocol_whitelist",
    "reconnect",
    "reconnect_streamed",
    "reconnect_delay_max",
    "listen",
    "loop",
)
EPILOG = """\
examples:
  ascend-venc encode film.mov film.mp4 -b 4M
  ascend-venc encode -i film.mov -ss 10 -t 5 -c:v hevc -b:v 4M part.mp4
  ascend-venc encode *.mov films/ -c h264
  ascend-venc encode camera.nv12 camera.h264 -s 1920x1080 -r 30
  ascend-venc encode -f rawvideo -pix_fmt rgb24 -s 1280x720 -r 30 -i - film.mp4
  ascend-venc encode -rtsp_transport tcp -i rtsp://camera/stream -t 60 camera.mkv
  some-program | ascend-venc encode - - -c h264 | some-player

ffmpeg's spellings and its order are understood: what stands before -i is said of INPUT, what stands after it of
OUTPUT. What is not there is named in a line, with what to do. Without -i, -r -s -pix_fmt are said of INPUT.

Sound and title are copied where OUTPUT can hold them, and a note says what is not. Nothing is scaled, no frame is
dropped or repeated.
A live INPUT (a network stream, a camera, a pipe) that is interrupted or fails is finished, and kept.
"""


class _OfASide(argparse.Action):
    """An option that means one thing before -i and another after it."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        side = "after" if namespace.inputs else "before"
        given = dict(getattr(namespace, side) or {})
        given[self.dest] = values
        setattr(namespace, side, given)


class _OfTheInput(argparse.Action):
    """An option of FFmpeg's demuxers."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        side = "output_options" if namespace.inputs else "input_options"
        setattr(namespace, side, {**(getattr(namespace, side) or {}), self.dest: values})


class _Metadata(argparse.Action):
    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        name, found, text = values.partition("=")
        if not found:
            raise UsageError(f"{option_string} {values}: give NAME=TEXT, e.g. title=Harbour")
        namespace.metadata = {**namespace.metadata, name: text}


def _integer(low: int) -> Any:
    def convert(text: str) -> int:
        if not (text.lstrip("-").isdecimal() and len(text) < 10 and int(text) >= low):
            raise argparse.ArgumentTypeError(f"it is {text[:20]!r}; give a number, {low} or more")
        return int(text)

    return convert


def configure(parser: Parser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.usage = "ascend-venc encode [options] INPUT... OUTPUT"
    parser.files_anywhere = True
    parser.refuse = refuse
    parser.set_defaults(before=None, after=None, input_options=None, output_options=None, metadata={})

    def of_a_side(group: Any, dest: str, *names: str, **more: Any) -> None:
        group.add_argument(*names, dest=dest, action=_OfASide, **more)

    parser.add_argument(
        "files",
        metavar="INPUT... OUTPUT",
        nargs="*",
        help="INPUT: whatever PyAV opens (files, URLs, /dev/video0, frame_%%03d.png), .y4m, raw .nv12 .nv21 .yuv "
        f"(I420) with -s, - for standard input. OUTPUT: by its suffix {' '.join(SUFFIXES)}, a network (rtsp:// rtmp:// "
        "udp:// srt:// tcp:// http://), - for standard output (the bare bitstream, or what -f says), or a folder",
    )
    video = parser.add_argument_group("video")
    of_a_side(
        video,
        "codec",
        *("-c", "-c:v", "-c:v:0", "-codec:v", "-codec", "-vcodec", "--codec"),
        metavar="C",
        help="h264 or hevc (h265); of an encoder's name (libx264, h264_nvenc, ...) the codec is taken, and a note says "
        "that the device encodes (default: by OUTPUT's suffix; with -i h264 for mp4, mov and mkv; else h265)",
    )
    video.add_argument(
        *("-b", "-b:v", "-b:v:0", "-vb", "--bitrate"),
        dest="bitrate",
        metavar="RATE",
        type=checked(parse_bitrate),
        help="bit/s, e.g. 800k or 2M",
    )
    video.add_argument(
        *("-maxrate", "-maxrate:v", "--maxrate"),
        dest="maxrate",
        metavar="RATE",
        type=checked(parse_bitrate),
        help="alone: vbr below this rate; the same as -b: cbr",
    )
    video.add_argument(
        *("-bufsize", "-bufsize:v"), dest="bufsize", metavar="BITS", type=checked(parse_bitrate), help=argparse.SUPPRESS
    )
    video.add_argument(
        *("-g", "-g:v", "--gop"),
        dest="gop",
        metavar="N",
        type=int,
        help="frames from one IDR to the next (default: 2 seconds)",
    )
    of_a_side(
        video,
        "fps",
        *("-r", "-r:v", "--fps"),
        metavar="FPS",
        type=checked(rate),
        help="frames per second of INPUT, e.g. 25 or 30000/1001, evenly spaced (default: INPUT's own times)",
    )
    video.add_argument(
        *("--rc", "-rc", "-rc:v"),
        dest="rc",
        type=str.lower,
        choices=_RATE_CONTROL,
        help="rate control; cbr and vbr alone on V1",
    )
    video.add_argument("-qp", dest="qp", metavar="N", type=_integer(0), help="a fixed quantiser, 0 to 51 (DVPP V2)")
    video.add_argument("-bf", "-bf:v", dest="_", type=checked(stays_out), help=argparse.SUPPRESS)
    video.add_argument(
        *("--profile", "-profile:v", "-profile"),
        dest="profile",
        metavar="P",
        type=str.lower,
        help="baseline, main or high (H.264); main (H.265)",
    )
    video.add_argument(
        "--aud", action="store_true", help="begin each access unit with a delimiter, which some players of streams want"
    )
    of_a_side(video, "size", "-s", "-s:v", "-video_size", "--size", metavar="WxH", type=size, help="size of raw INPUT")
    of_a_side(
        video,
        "pix_fmt",
        *("-pix_fmt", "-pixel_format", "--pixel-format"),
        metavar="F",
        help="of raw INPUT: nv12, nv21, yuv420p, gray, rgb24, bgr24, rgba, bgra, yuyv422, uyvy422",
    )
    reading = parser.add_argument_group("input")
    reading.add_argument("-i", dest="inputs", metavar="INPUT", action="append", help="INPUT, as ffmpeg has it")
    of_a_side(
        reading,
        "format",
        "-f",
        "--format",
        metavar="F",
        help="of INPUT (rawvideo, yuv4mpegpipe, v4l2, lavfi, image2, concat) before -i; of OUTPUT "
        f"({', '.join(sorted(FORMAT_ALIASES))}, h264, hevc, null) after it",
    )
    of_a_side(
        reading,
        "start",
        "-ss",
        "--start",
        metavar="TIME",
        type=checked(moment),
        help="begin there: 90, 90.5 or 00:01:30",
    )
    of_a_side(
        reading, "duration", "-t", "--duration", metavar="TIME", type=checked(moment), help="encode so much of it"
    )
    of_a_side(reading, "to", "-to", "--to", metavar="TIME", type=checked(moment), help="end there")
    reading.add_argument(
        *("-frames:v", "-vframes", "-frames", "--frames"),
        dest="frames",
        metavar="N",
        type=_integer(1),
        help="encode so many frames at most",
    )
    reading.add_argument(
        *("--loop", "-stream_loop"),
        dest="loop",
        metavar="N",
        type=_integer(-1),
        default=0,
        help="read INPUT again N times, -1: for ever (pictures alone)",
    )
    reading.add_argument(
        *("--realtime", "-re"), dest="realtime", action="store_true", help="read no faster than the pictures' times"
    )
    reading.add_argument(
        "-framerate", dest="framerate", metavar="FPS", type=checked(rate), help="of a camera, pictures or raw INPUT"
    )
    for name in _OF_AN_INPUT:
        reading.add_argument(
            f"-{name}", dest=name, action=_OfTheInput, default=argparse.SUPPRESS, help=argparse.SUPPRESS
        )
    reading.add_argument(
        "--tolerant",
        action="store_true",
        help="go on where INPUT is damaged or cut off, and say how many frames are (default: that is an error)",
    )
    reading.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=checked(seconds),
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
        type=checked(seconds),
        default=30.0,
        help="how long the device may finish no frame, and how long closing it may take (default: 30)",
    )
    chunks.add_options(parser)
    output = parser.add_argument_group("output")
    output.add_argument("-o", "--output", dest="output", metavar="OUTPUT", help="OUTPUT; all files are then INPUTs")
    output.add_argument("-an", "--no-sound", dest="no_sound", action="store_true", help="leave the sound of INPUT out")
    output.add_argument(
        *("-c:a", "-codec:a", "-acodec", "-c:s", "-b:a", "-q:a"),
        dest="_",
        type=checked(sound_is_copied),
        help=argparse.SUPPRESS,
    )
    output.add_argument("-y", "--overwrite", dest="overwrite", action="store_true", help="replace OUTPUT if it exists")
    output.add_argument("-n", dest="keep", action="store_true", help="do not replace OUTPUT (this is the default)")
    output.add_argument(
        "-movflags", dest="movflags", metavar="FLAGS", help="of mp4 and mov: faststart, frag_keyframe+empty_moov, ..."
    )
    output.add_argument(
        "-metadata", dest="metadata", metavar="NAME=TEXT", action=_Metadata, help="title, artist and the like of OUTPUT"
    )
    output.add_argument("-tag:v", "-vtag", dest="tag", choices=("hvc1", "avc1"), help=argparse.SUPPRESS)
    output.add_argument(*("-vsync", "-fps_mode"), dest="_", type=checked(times_are_kept), help=argparse.SUPPRESS)
    output.add_argument(
        "--keep-partial",
        action="store_true",
        help="keep what was encoded when INPUT fails or the command is interrupted, as for a live INPUT",
    )
    output.add_argument(
        "--psnr", action="store_true", help="decode the stream, and tell how near it is to INPUT (slow)"
    )
    output.add_argument("--ssim", action="store_true", help="the same by structural similarity")
    output.add_argument("-q", "--quiet", dest="quiet", action="store_true", help="no progress, no notes")
    output.add_argument(
        *("-loglevel", "-v", "-v:v", "--loglevel"),
        dest="loglevel",
        metavar="LEVEL",
        type=checked(log_level),
        default=32,
        help="error and below: as -q; warning: notes, no progress",
    )
    output.add_argument("-nostats", dest="nostats", action="store_true", help="no progress")
    output.add_argument(
        *("--progress", "-stats"),
        dest="stats",
        action="store_true",
        help="progress as a line every few seconds, though standard error is no terminal",
    )
    for name in ("hide_banner", "nostdin", "stdin", "sn", "dn"):
        output.add_argument(f"-{name}", dest="_", action="store_true", help=argparse.SUPPRESS)
    for name in ("threads", "strict", "thread_queue_size", "max_muxing_queue_size", "max_delay", "muxdelay"):
        output.add_argument(f"-{name}", dest="_", help=argparse.SUPPRESS)
    output.add_argument(
        "--report",
        metavar="FILE",
        help="write the result and a row for each picture as JSON, which ascend-venc plot draws (replaces FILE)",
    )
    output.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object about the result on standard output (on standard error if OUTPUT is -)",
    )
