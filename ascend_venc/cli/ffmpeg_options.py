# SPDX-License-Identifier: Apache-2.0
"""ffmpeg's options, as `ascend-venc encode` meets them: names of encoders, and what is not there, with what to do."""

from __future__ import annotations

import re
from fractions import Fraction

from ..config import parse_codec
from ..errors import InvalidArgumentError

_BY_FFMPEG = "ffmpeg -i INPUT {} -f yuv4mpegpipe - | ascend-venc encode - OUTPUT"
_NO_FILTERS = "pictures are encoded as they are; let ffmpeg change them: " + _BY_FFMPEG.format("-vf ...")
_RATE_ONLY = "the device keeps to a bit rate, not to a quality: give -b:v, e.g. -b:v 4M, or -qp 28 (DVPP V2)"
_NO_SPEEDS = "the hardware encoder has one speed and no tuning: leave it out"
_OF_SOFTWARE = "that is of a software encoder: leave it out; what the device takes is in --help"
_OF_OTHERS = "that is of another device's encoder: leave it out; what this one takes is in --help"
_SOUND = "sound is copied as it is, never encoded: leave it out, or -an"
_STREAMS = "the first video is encoded and all sound is copied: leave it out, or -an for no sound"
_DECODING = "INPUT is decoded by PyAV on the CPU: leave it out"
_COLORS = "colours are those that INPUT tells, and the stream tells them on: leave it out"
_LEVEL = "the device writes the level that the size and the rate need: leave it out"
_PASSES = "the device encodes in one pass: leave it out"
_MIXING = "inputs are neither joined nor mixed: use ffmpeg for that, before or afterwards"

_NO_DIFFERENCE = "it would change nothing here: leave it out"
_DAMAGE = "damage of INPUT is an error: leave it out, or give --tolerant to go on"
_TELLING = "ascend-venc --version has the versions, ascend-venc caps what the device takes, --help the options"

# By name, without a stream's specifier (-crf:v is -crf).
NOT_THERE = {
    **dict.fromkeys(("vf", "filter", "filter_complex", "lavfi", "filter_script", "filter_complex_script"), _NO_FILTERS),
    **dict.fromkeys(("sws_flags", "autorotate", "aspect", "deinterlace"), _NO_FILTERS),
    **dict.fromkeys(("crf", "q", "qscale", "cq", "global_quality", "crf_max"), _RATE_ONLY),
    **dict.fromkeys(("preset", "tune", "speed", "usage", "quality"), _NO_SPEEDS),
    **dict.fromkeys(("x264-params", "x264opts", "x264_opts", "x265-params", "refs", "sc_threshold"), _OF_SOFTWARE),
    **dict.fromkeys(("me_method", "subq", "trellis", "aq-mode", "rc-lookahead", "b_strategy", "coder"), _OF_SOFTWARE),
    **dict.fromkeys(("flags2", "x265opts", "svtav1-params", "spatial-aq", "zerolatency"), _OF_SOFTWARE),
    **dict.fromkeys(("look_ahead", "look_ahead_depth", "lookahead", "surfaces", "async_depth"), _OF_OTHERS),
    **dict.fromkeys(("low_power", "temporal-aq", "forced-idr", "no-scenecut", "allow_sw", "realtime"), _OF_OTHERS),
    **dict.fromkeys(("ab", "ar", "ac", "aq", "af", "channel_layout", "sample_fmt", "vol", "async"), _SOUND),
    **dict.fromkeys(("map", "map_chapters", "vn", "program", "dump_attachment", "attach"), _STREAMS),
    **dict.fromkeys(("hwaccel", "hwaccel_device", "hwaccel_output_format", "init_hw_device"), _DECODING),
    **dict.fromkeys(("filter_hw_device", "vaapi_device", "qsv_device", "gpu"), _DECODING),
    **dict.fromkeys(("color_primaries", "color_trc", "colorspace", "color_range", "chroma_sample_location"), _COLORS),
    **dict.fromkeys(("pass", "passlogfile", "2pass", "multipass"), _PASSES),
    **dict.fromkeys(("qmin", "qmax", "qcomp", "qdiff", "qblur", "i_qfactor", "b_qfactor", "me_range"), _OF_SOFTWARE),
    **dict.fromkeys(("subme", "slices", "nal-hrd", "cbr", "weightp", "psy", "fast-pskip", "partitions"), _OF_SOFTWARE),
    **dict.fromkeys(("err_detect", "xerror", "ec", "max_error_rate"), _DAMAGE),
    **dict.fromkeys(
        ("video_track_timescale", "ignore_unknown", "copy_unknown", "max_interleave_delta"), _NO_DIFFERENCE
    ),
    **dict.fromkeys(("filter_threads", "filter_complex_threads", "muxpreload", "flush_packets"), _NO_DIFFERENCE),
    **dict.fromkeys(("accurate_seek", "write_tmcd", "write_xing", "id3v2_version", "flvflags"), _NO_DIFFERENCE),
    **dict.fromkeys(("version", "formats", "muxers", "demuxers", "codecs", "encoders", "decoders"), _TELLING),
    **dict.fromkeys(("filters", "pix_fmts", "protocols", "devices", "hwaccels", "buildconf"), _TELLING),
    **dict.fromkeys(("itsoffset", "itsscale", "copyts", "start_at_zero"), _MIXING),
    "level": _LEVEL,
    "tier": _LEVEL,
    "level_idc": _LEVEL,
    "keyint_min": "key frames come every -g frames: leave it out",
    "force_key_frames": "key frames come every -g frames: give -g",
    "minrate": "for a steady rate give --rc cbr with -b:v",
    "shortest": "OUTPUT is as long as INPUT: leave it out, or end it with -t",
    "sseof": "give the time from the beginning: -ss",
    "fs": "give the time or the number of frames: -t or -frames:v",
    "readrate": "give -re, which is the speed of the pictures' own times",
    "progress": "give --progress for lines on standard error, or --json for the result",
    "report": "give --json for the result",
    "benchmark": "ascend-venc bench measures the device",
    "map_metadata": "title and the like are copied: leave it out; -metadata title=... sets one",
    "bsf": "the stream is written as its format wants it: leave it out",
    "absf": "the stream is written as its format wants it: leave it out",
    "vbsf": "the stream is written as its format wants it: leave it out",
    "metadata": "it is of the whole file: -metadata NAME=TEXT; the languages of sound are copied",
    "disposition": "tracks of sound are copied in their order: leave it out",
    "timecode": "times begin at 0: leave it out",
    "brand": "mp4 gets the brands of what is in it: leave it out",
    "frames": "sound ends with the pictures: give -frames:v",
    "aframes": "sound ends with the pictures: give -frames:v",
    "scodec": "subtitles are not carried over: leave it out",
    "use_wallclock_as_timestamps": "times are those of INPUT: leave it out, or give -r for evenly spaced frames",
    "stats_period": "give --progress for a line every five seconds",
    "codec_tag": "-tag:v hvc1 is what mp4 gets: leave it out",
    "hls_time": "-f hls is not there: write .ts, or with Python's VideoWriter split_seconds=",
    "avoid_negative_ts": "times begin at 0: leave it out",
    "segment_time": "-f segment is not there: with Python, VideoWriter(split_seconds=) cuts without a gap",
}
_ENCODERS = (
    r"lib(x264(rgb)?|x265|openh264|kvazaar)",
    r"(h264|h265|hevc)_(nvenc|vaapi|qsv|amf|videotoolbox|v4l2m2m|omx|mf|rkmpp|mediacodec|vulkan|nvmpi)",
    r"nvenc(_h264|_hevc)?",
)
_OURS = {"h264_ascend": "h264", "h265_ascend": "h265", "hevc_ascend": "h265"}  # of FFmpeg's plugin of the vendor's
_OTHER_CODECS = "the device encodes H.264 and H.265: give -c:v h264 or -c:v hevc"
LEVELS = {
    "quiet": -8,
    "panic": 0,
    "fatal": 8,
    "error": 16,
    "warning": 24,
    "info": 32,
    "verbose": 40,
    "debug": 48,
    "trace": 56,
}
SIZES = {
    "qcif": (176, 144),
    "cif": (352, 288),
    "qvga": (320, 240),
    "vga": (640, 480),
    "svga": (800, 600),
    "xga": (1024, 768),
    "pal": (720, 576),
    "ntsc": (720, 480),
    "hd480": (852, 480),
    "hd720": (1280, 720),
    "hd1080": (1920, 1080),
    "uhd2160": (3840, 2160),
}


def refuse(option: str) -> None:
    """Raise for an option of ffmpeg's that is known not to be there, with what to do."""
    from . import UsageError

    name = option.lstrip("-").partition(":")[0]
    if option.startswith("--") or name not in NOT_THERE:
        return
    raise UsageError(f"{option}: {NOT_THERE[name]}")


def codec_named(text: str) -> tuple[str, str | None]:
    """Return "h264" or "h265" by a codec's or an encoder's name, and the encoder's name where another one is meant.

    Raises InvalidArgumentError.
    """
    name = text.lower()
    if name in _OURS:
        return _OURS[name], None
    if any(re.fullmatch(pattern, name) for pattern in _ENCODERS):
        return ("h265" if re.search("265|hevc|kvazaar", name) else "h264"), text
    if name == "copy":
        raise InvalidArgumentError("copy: this command encodes the pictures; ffmpeg -c copy copies them")
    try:
        return parse_codec(text), None
    except InvalidArgumentError as error:
        if "did you mean" in str(error):
            raise
        raise InvalidArgumentError(f"{text[:40]!r}: {_OTHER_CODECS}") from None


def log_level(text: str) -> int:
    """Return ffmpeg's number of a level of its log, such as "error", "repeat+level+info" or 16."""
    name = text.lower().split("+")[-1]
    if name.lstrip("-").isdigit():
        return int(name)
    if name not in LEVELS:
        raise InvalidArgumentError(f"it is {text[:20]!r}; ffmpeg's levels are {', '.join(LEVELS)}")
    return LEVELS[name]


def moment(text: str) -> Fraction:
    """Return the seconds of a time as ffmpeg takes it: 90, 90.5, 01:30, 00:01:30.5, 500ms."""
    short = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)(ms|us|s)?", text)
    if short:
        return Fraction(short[1]) / {"ms": 1000, "us": 1_000_000}.get(short[2], 1)
    long = re.fullmatch(r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2}(?:\.\d{1,9})?)", text)
    if long and int(long[2]) < 60 and float(long[3]) < 60:
        return int(long[1] or 0) * 3600 + int(long[2]) * 60 + Fraction(long[3])
    raise InvalidArgumentError(f"it is {text[:20]!r}; give seconds or [HH:]MM:SS, e.g. 90, 90.5 or 00:01:30")


def sound_is_copied(text: str) -> str:
    """Check the value of -c:a."""
    if text.lower() != "copy":
        raise InvalidArgumentError(f"{text[:40]!r}: {_SOUND}")
    return text


def times_are_kept(text: str) -> str:
    """Check the value of -vsync and -fps_mode."""
    if text.lower() not in ("0", "2", "-1", "auto", "passthrough", "vfr"):
        raise InvalidArgumentError(f"{text[:20]!r}: frames are neither dropped nor repeated: leave it out")
    return text


def stays_out(text: str) -> str:
    """Check the value of -bf: none is what the device does."""
    if text != "0":
        raise InvalidArgumentError(f"{text[:20]!r}: the device writes no B frames: leave it out")
    return text
