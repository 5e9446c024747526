# SPDX-License-Identifier: Apache-2.0
"""`ascend-venc caps`: which device and libraries would be used, and what they can do."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import platform
from typing import TYPE_CHECKING, Any

from .. import chips
from .._version import __version__
from ..chip_limits import limits_of
from ..errors import UnsupportedDeviceError
from ..media.container import import_av
from .screen import Screen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..literals import InterfaceName
NAME = "caps"
ALIASES = ("info",)  # its name before
HELP = "Say which device and libraries would be used, and what they can do."
EXAMPLES = """examples:
  ascend-venc caps
  ascend-venc caps --backend sim:Ascend310B4
  ascend-venc caps --interface v1 --json

Nothing is encoded: `ascend-venc doctor` tries it."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    parser.add_argument(
        "--backend", metavar="B", help="auto, ascend, sim, sim:CHIP or a path (default: $ASCEND_VENC_BACKEND or auto)"
    )
    parser.add_argument(
        "--interface",
        type=str.lower,
        choices=("auto", "v1", "v2"),
        help="of the vendor's: V1, or V2 on chips that have it (default: $ASCEND_VENC_INTERFACE or auto)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(quiet=True)  # what the notes would say is in the answer


def run(args: argparse.Namespace) -> int:
    facts = describe(args.backend, args.interface)
    if args.json:
        print(json.dumps(facts))
        return 0
    screen = Screen()
    able = facts.pop("capabilities")
    del facts["limits"]  # in the table
    rows = [(name.replace("_", " "), _text(value)) for name, value in facts.items()]
    rows += [("", ""), (f"DVPP {facts['interface'].upper()}", able["reason"] or "has a video encoder")]
    rows += list(_table(able))
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        screen.line(text, f"{name:{width}}  ")
    return 0


def describe(backend: str | None, interface: InterfaceName | None = None) -> dict[str, Any]:
    """Open the library and collect what is known about it and about this installation."""
    from ..device_capabilities import capabilities_by, chosen

    opened, choice, library = chosen(backend, interface)
    return {
        "backend": "sim" if library["simulated"] else "ascend",
        "backend_reason": library["reason"],
        "chip": library["soc_name"],
        "video_encoder": _encoder_of(library["soc_name"]),
        "limits": _limits(library["soc_name"]),
        "devices": library["device_count"],
        "runtime_library": library["runtime_path"],
        "media_library": library["media_path"],
        "v2_library": library["mpi_path"] or f"not open: {' '.join(library['mpi_problem'].split())}",
        "interface": choice.name,
        "interface_reason": choice.reason,
        "found_by": library["found_by"],
        "interface_version": library["version"],
        "missing_functions": library["missing"],
        "ascend_venc": __version__,
        "python": platform.python_version(),
        "pyav": _pyav(),
        "capabilities": dataclasses.asdict(capabilities_by(opened, library["soc_name"], choice.name)),
    }


def _text(value: Any) -> str:
    return (", ".join(value) if isinstance(value, list) else str(value)) or "-"


# What a line of the table is in `Capabilities`, its row in chips.py ("": none), and its unit.
_LINES = (
    ("codecs", "", ""),
    ("width", "width", " pixels, even"),
    ("height", "height", " pixels, even"),
    ("h264_pixels", "h264_area", ""),
    ("fps", "fps", " fps"),
    ("bitrate", "bit_rate", " bit/s"),
    ("gop", "gop", " pictures"),
    ("channels", "channels_", ""),
    ("rate_controls", "", ""),
    ("rate_limits", "", ""),
    ("scenes", "", ""),
    ("live_settings", "", ""),
    ("regions", "", ""),
)


def _table(able: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What the interface takes, a line each, with unit and mark."""
    if not able["encoder"]:
        return
    chip = chips.chip_of(able["chip"])
    for name, row, unit in _LINES:
        value = able[name]
        if value is None:
            continue
        figure = getattr(chip, row + able["interface"] if row.endswith("_") else row) if chip and row else None
        mark = f" ({figure.mark})" if figure else ""
        ranged = name in ("width", "height", "fps", "bitrate", "gop")
        text = f"{value[0]:,} to {value[1]:,}" if ranged else _shown(value)
        yield f"  {name.replace('_', ' ')}", (text + unit + mark) if value else "none"
    yield "  intra refresh", "yes" if able["intra_refresh"] else "no"


def _encoder_of(soc_name: str) -> str:
    try:
        return f"as {limits_of(soc_name).family}"
    except UnsupportedDeviceError:
        return "none: this chip cannot encode"


def _limits(soc_name: str) -> list[str]:
    """What the chip takes, each figure with its mark; see chips.py for the units."""
    chip = chips.chip_of(soc_name)
    if chip is None or not chip.encoder:
        return []
    return [
        f"{name} {_range(figure.value)} ({figure.mark})" for name, figure in _figures(chip) if figure.value is not None
    ]


def _figures(chip: chips.Chip) -> Iterator[tuple[str, chips.Figure]]:
    for name in ("width", "height", "h264_area", "gop", "fps", "bit_rate", "channels_v1", "channels_v2"):
        yield name, getattr(chip, name)


def _range(value: Any) -> str:
    return f"{value[0]} to {value[1]}" if isinstance(value, tuple) else str(value)


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (tuple, list)) else f"{value:,}"


def _pyav() -> str:
    if importlib.util.find_spec("av") is None:
        return "not installed"
    try:
        return str(import_av().__version__)
    except Exception as error:  # a broken installation may raise anything
        return f"cannot be imported: {error}"
