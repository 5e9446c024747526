# SPDX-License-Identifier: Apache-2.0
"""`ascend-venc probe`: what is in a video file."""

from __future__ import annotations

import argparse
import json
import statistics
from typing import TYPE_CHECKING, Any

from ..errors import MediaError, VencError
from ..media.inspection import MOST_LISTED, inspect
from .screen import Screen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..media.inspection import Inspection

NAME = "probe"
HELP = "Say what is in a video file: pictures, key frames, sizes, rate, times, SEI."
EXAMPLES = """examples:
  ascend-venc probe film.mp4
  ascend-venc probe out.h265 --json >out.json

Nothing is decoded. mp4, mkv, ts and the like are read by PyAV, bare bitstreams
of H.264 and H.265 without it. The exit code is 1 where the file is damaged or
cut off: what is before that is told, and the rest in one line."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    parser.add_argument("file", metavar="FILE", help="a video file")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    try:
        found = inspect(args.file)
    except MediaError as error:
        raise VencError(f"{args.file}: {error}") from None
    if args.json:
        print(json.dumps(as_json(found)))
    else:
        screen = Screen()
        rows = list(lines(found))
        width = max(len(name) for name, _ in rows)
        for name, text in rows:
            screen.line(text, f"{name:{width}}  ")
    problems = [*found.problems, *([_damage(found)] if found.damaged else [])]
    if problems:
        raise VencError(f"{args.file}: {'; '.join(problems)}")
    return 0


def lines(found: Inspection) -> Iterator[tuple[str, str]]:
    """The report, (name, text) a line."""
    parameters = found.parameters
    yield "file", f"{found.container}{', also ' + ', '.join(found.others) if any(found.others) else ''}"
    size = f", {found.width} x {found.height}" if found.width else ""
    if parameters is None:
        yield "video", f"{found.codec}{size}"
    else:
        name = {"h264": "H.264", "h265": "H.265"}[parameters.codec]
        scan = ", interlaced or both" if parameters.interlaced else ""
        yield (
            "video",
            f"{name} {parameters.profile}, level {parameters.level}{size}, {parameters.chroma}, "
            f"{parameters.bit_depth} bits{scan}",
        )
        yield "VUI", _vui(found)
    if found.parameter_changes:
        yield "changes", f"{found.parameter_changes} times another sequence parameter set"
    duration, rate = found.duration(), found.rate()
    told = f", {_number(found.frame_rate)} fps" if found.frame_rate else ""
    yield "pictures", f"{len(found.pictures)}{f' in {float(duration):.3f} s' if duration else ''}{told}"
    for kind, of in found.sizes().items():
        yield (
            {"?": "other", "key": "key frames"}.get(kind, f"  {kind}"),
            f"{of['pictures']:.0f}, {of['bytes']:,.0f} bytes, mean {of['mean']:,.0f}, largest {of['largest']:,.0f}",
        )
    distances = found.key_distances()
    if distances:
        least, middle, most = min(distances), statistics.median_low(distances), max(distances)
        yield "GOP", f"{least} pictures" if least == most else f"{least} to {most} pictures, mostly {middle}"
    if rate is not None:
        windows = [value for _, value in found.rates()]
        span = f", in each second {_rate(min(windows))} to {_rate(max(windows))}" if len(windows) > 1 else ""
        yield "rate", f"{_rate(rate)}{span}"
    yield from _times(found)
    if found.units:
        yield "NAL units", ", ".join(f"{count} {name}" for name, count in found.units.most_common())
    if found.parameters is not None:
        yield "SEI", ", ".join(f"{count} {name}" for name, count in found.sei.most_common()) or "none"
    if found.damaged:
        yield "damaged", _damage(found)


def _damage(found: Inspection) -> str:
    return f"{found.damaged} pictures or SEI cannot be read"


def _times(found: Inspection) -> Iterator[tuple[str, str]]:
    if not found.timed:
        yield "times", "none: the file does not tell them"
        return
    if found.pictures[0].pts is None:
        return
    gaps, twice, back = found.gaps(), found.duplicates(), found.backwards()
    if not gaps and not twice and not back:
        yield "times", f"every {float(found.usual_distance() or 0) * 1000:.3f} ms, no gap, none twice"
    if gaps:
        shown = ", ".join(f"{float(length):.3f} s at {float(when):.3f}" for when, length in gaps[:3])
        yield "gaps", f"{len(gaps)}: {shown}{', ...' if len(gaps) > 3 else ''}"
    if twice:
        shown = ", ".join(f"{float(when):.3f}" for when in twice[:5])
        yield "twice", f"{len(twice)} times that two pictures have: {shown}{', ...' if len(twice) > 5 else ''}"
    if back:
        yield "backwards", f"{back} pictures are not decoded after the one before them"


def _vui(found: Inspection) -> str:
    vui = found.parameters.vui if found.parameters is not None else None
    if vui is None:
        return "none"
    told = []
    if vui.primaries is not None:
        told.append(f"colour {vui.primaries}/{vui.transfer}/{vui.matrix}")
    if vui.full_range is not None:
        told.append("full range" if vui.full_range else "limited range")
    if vui.sample_aspect_ratio is not None:
        told.append(f"pixels {vui.sample_aspect_ratio.numerator}:{vui.sample_aspect_ratio.denominator}")
    if vui.frame_rate is not None:
        told.append(f"{_number(vui.frame_rate)} fps{' fixed' if vui.fixed_rate else ''}")
    return ", ".join(told) or "says nothing of colour, pixels or frame rate"


def _number(value: Any) -> str:
    return f"{float(value):.6g}"


def _rate(value: float) -> str:
    for unit, size in (("Mbit/s", 1e6), ("kbit/s", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g} bit/s"


def as_json(found: Inspection) -> dict[str, Any]:
    """The whole inspection as JSON has it: seconds and bit/s as numbers."""
    parameters = found.parameters._asdict() if found.parameters is not None else None
    if parameters is not None and parameters["vui"] is not None:
        vui = parameters["vui"]._asdict()
        vui["frame_rate"] = _float(vui["frame_rate"])
        shape = vui["sample_aspect_ratio"]
        vui["sample_aspect_ratio"] = None if shape is None else f"{shape.numerator}:{shape.denominator}"
        parameters["vui"] = vui
    return {
        "container": found.container,
        "codec": found.codec,
        "width": found.width,
        "height": found.height,
        "parameters": parameters,
        "parameter_changes": found.parameter_changes,
        "frame_rate": _float(found.frame_rate),
        "other_streams": found.others,
        "pictures": len(found.pictures),
        "duration": _float(found.duration()),
        "rate": found.rate(),
        "sizes": found.sizes(),
        "key_frames": [number for number, picture in enumerate(found.pictures) if picture.key],
        "key_distances": found.key_distances(),
        "rates": [{"time": float(when), "rate": value} for when, value in found.rates()],
        "usual_distance": _float(found.usual_distance()),
        "gaps": [{"time": float(when), "seconds": float(length)} for when, length in found.gaps()[:MOST_LISTED]],
        "gap_count": len(found.gaps()),
        "duplicates": [float(when) for when in found.duplicates()[:MOST_LISTED]],
        "backwards": found.backwards(),
        "units": dict(found.units),
        "sei": dict(found.sei),
        "damaged": found.damaged,
        "problems": found.problems,
        "each": [
            {
                "size": picture.size,
                "kind": picture.kind,
                "key": picture.key,
                "pts": _float(picture.pts),
                "dts": _float(picture.dts),
            }
            for picture in found.pictures
        ],
    }


def _float(value: Any) -> float | None:
    return None if value is None else float(value)
