# SPDX-License-Identifier: Apache-2.0
"""`ascend-venc sim`: what programs in C and C++ need to run on the simulated device, and what it can be."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

NAME = "sim"
HELP = "Say how programs in C and C++ find the simulated device, and what it can be."

# What programs are linked with; libacl_rt.so is libascendcl.so since CANN 9.
LIBRARIES = ("libascendcl.so", "libacl_rt.so", "libacl_dvpp.so", "libacl_dvpp_mpi.so", "libacl_op_compiler.so")

VARIABLES = {
    "ASCEND_VENC_SIM_SOC": "the chip, one of the table",
    "ASCEND_VENC_SIM_DEVICES": "number of devices, 0 to 64 (default 1)",
    "ASCEND_VENC_SIM_STRICT": "1: report what hardware would punish later",
    "ASCEND_VENC_SIM_LOG": "1: lines on standard error where hardware would only write its log",
    "ASCEND_VENC_SIM_TRACE": "a path: every call and callback as JSON lines",
    "ASCEND_VENC_SIM_OPTIONS": "name=value,...: times, queue lengths, limits",
    "ASCEND_VENC_SIM_AVCODEC": "the libavcodec that encodes (default: PyAV's, then the system's)",
}


def configure(parser: argparse.ArgumentParser) -> None:
    wanted = parser.add_mutually_exclusive_group()
    wanted.add_argument(
        "--libdir", action="store_true", help="print the folder of its libraries (libascendcl.so and others), for -L"
    )
    wanted.add_argument(
        "--env", action="store_true", help='print the environment to run with, for eval "$(ascend-venc sim --env)"'
    )


def run(args: argparse.Namespace) -> int:
    if args.libdir:
        print(libdir())
    elif args.env:
        print("\n".join(environment()))
    else:
        print("\n".join([*chips(), "", *variables()]))
    return 0


def libdir() -> str:
    """The folder that holds LIBRARIES. FileNotFoundError if this build has none."""
    from .._lowlevel import core

    folder = core.link_folder()
    for name in LIBRARIES:
        os.stat(os.path.join(folder, name))
    return folder


def environment() -> list[str]:
    """Lines for a POSIX shell."""
    from .._lowlevel import core

    lines = [f'export LD_LIBRARY_PATH={shlex.quote(libdir())}"${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"']
    # The variable counts more than what is found: a program in C gets what Python would.
    codec = os.environ.get("ASCEND_VENC_SIM_AVCODEC") or core.find_codec()
    if codec:
        lines.append(f"export ASCEND_VENC_SIM_AVCODEC={shlex.quote(codec)}")
    return lines


def chips() -> list[str]:
    """The table of chips, from the simulated device's own data."""
    from .._lowlevel import core

    rows = [("chip", "run mode", "width", "height", "H.264 pixels", "GOP", "fps", "kbit/s", "channels")]
    for number, chip in enumerate(core.simulated_chips()):
        name = chip["name"] + (" (default)" if number == 0 else "")
        rows.append((name, chip["run_mode"], *(limits(chip) if chip["encoder"] else ("no video encoder",))))
    columns = max(map(len, rows))
    widths = [max((len(row[i]) for row in rows if len(row) > i + 1), default=0) for i in range(columns)]
    return ["  ".join(cell.ljust(widths[i]) for i, cell in enumerate(row)).rstrip() for row in rows]


def limits(chip: dict[str, Any]) -> tuple[str, ...]:
    ranges = [f"{low}-{high}" for low, high in (chip[key] for key in ("width", "height", "gop", "fps", "bit_rate"))]
    area = str(chip["h264_area"] or "-")
    channels = f"{chip['channels_v1']} ({chip['marks']['channels_v1']})"
    return (*ranges[:2], area, *ranges[2:], channels)


def variables() -> list[str]:
    width = max(map(len, VARIABLES))
    return [f"{name:{width}}  {meaning}" for name, meaning in VARIABLES.items()]
