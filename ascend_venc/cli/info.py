# SPDX-License-Identifier: Apache-2.0
"""`ascend-venc info`: what would encode here."""

from __future__ import annotations

import importlib.util
import json
import platform
from typing import TYPE_CHECKING, Any

from .. import chips
from .._version import __version__
from ..chip_limits import limits_of
from ..errors import UnsupportedDeviceError
from ..media.container import import_av

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

NAME = "info"
HELP = "Say which device and libraries would be used."


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--backend", metavar="B", help="auto, ascend, sim, sim:CHIP or a path (default: $ASCEND_VENC_BACKEND or auto)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(quiet=True)  # what the notes would say is in the answer


def run(args: argparse.Namespace) -> int:
    facts = describe(args.backend)
    if args.json:
        print(json.dumps(facts))
        return 0
    width = max(map(len, facts))
    for name, value in facts.items():
        text = ", ".join(value) if isinstance(value, list) else str(value)
        print(f"{name.replace('_', ' '):{width}}  {text or '-'}")
    return 0


def describe(backend: str | None) -> dict[str, Any]:
    """Open the library and collect what is known about it and about this installation."""
    from .._lowlevel import core

    library = core.describe(backend)
    return {
        "backend": "sim" if library["simulated"] else "ascend",
        "backend_reason": library["reason"],
        "chip": library["soc_name"],
        "video_encoder": _encoder_of(library["soc_name"]),
        "limits": _limits(library["soc_name"]),
        "devices": library["device_count"],
        "runtime_library": library["runtime_path"],
        "media_library": library["media_path"],
        "v2_library": library["mpi_path"] or f"none: {' '.join(library['mpi_problem'].split())}",
        "found_by": library["found_by"],
        "interface_version": library["version"],
        "missing_functions": library["missing"],
        "ascend_venc": __version__,
        "python": platform.python_version(),
        "pyav": _pyav(),
    }


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
        f"{name} {_shown(figure.value)} ({figure.mark})" for name, figure in _figures(chip) if figure.value is not None
    ]


def _figures(chip: chips.Chip) -> Iterator[tuple[str, chips.Figure]]:
    for name in ("width", "height", "h264_area", "gop", "fps", "bit_rate", "channels_v1", "channels_v2"):
        yield name, getattr(chip, name)


def _shown(value: Any) -> str:
    return f"{value[0]} to {value[1]}" if isinstance(value, tuple) else str(value)


def _pyav() -> str:
    if importlib.util.find_spec("av") is None:
        return "not installed"
    try:
        return str(import_av().__version__)
    except Exception as error:  # a broken installation may raise anything
        return f"cannot be imported: {error}"
