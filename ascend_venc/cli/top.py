# SPDX-License-Identifier: Apache-2.0
"""`ascend-venc top`: what the encoders of this user's processes are doing."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from ..stats_socket import read, sockets
from . import say
from .argument_types import checked, seconds
from .progress import bits, is_terminal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NAME = "top"
HELP = "Show what the encoders of running processes are doing."
EPILOG = """\
examples:
  ASCEND_VENC_STATS=1 python cameras.py &    # or ascend_venc.stats_socket.publish() in the program
  ascend-venc top
  ascend-venc top --once
  ascend-venc top 4711 --json | jq '.encoders[].name'

A process is seen only if it asks for it, and only by its own user.
"""
_PATIENCE = 2.0  # seconds for a process to answer


class _Column(NamedTuple):
    """A column; of two that do not fit, the one of the lower rank is left out."""

    title: str
    rank: int
    left: bool = False


_COLUMNS = (
    _Column("PID", 4),
    _Column("NAME", 10, True),
    _Column("SIZE", 3, True),
    _Column("CODEC", 2, True),
    _Column("FPS", 9),
    _Column("OF", 5),
    _Column("RATE", 8),
    _Column("OF", 3),
    _Column("P50", 6),
    _Column("P99", 7),
    _Column("DEVICE", 1),
    _Column("READY", 4),
    _Column("DROP", 8),
    _Column("FAIL", 8),
    _Column("ON", 0, True),
)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("pids", metavar="PID", nargs="*", type=int, help="processes (default: all of this user's)")
    parser.add_argument("--once", action="store_true", help="print one table and end")
    parser.add_argument("--json", action="store_true", help="print one JSON object and end")
    parser.add_argument(
        "--interval", metavar="SECONDS", type=checked(seconds), default=1.0, help="between two looks (default: 1)"
    )


def run(args: argparse.Namespace) -> int:
    before = _look(args.pids)
    if not before:
        named = f"process {' '.join(map(str, args.pids))} does not show its encoders"
        what = named if args.pids else "no process of this user shows its encoders"
        say(f"{what}: start it with ASCEND_VENC_STATS=1, or call ascend_venc.stats_socket.publish() in it")
        return 1
    if args.json or args.once or not is_terminal(sys.stdout):
        since = time.monotonic()
        time.sleep(args.interval)
        encoders = _encoders(before, _look(args.pids), time.monotonic() - since)
        if args.json:
            print(json.dumps({"encoders": encoders}))
        else:
            print("\n".join(_table(encoders, _width())))
        return 0
    _page(args, before)
    return 0


def _look(pids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Ask every process; those that do not answer are left out."""
    found = {}
    for path in sockets():
        pid = os.path.basename(path).partition(".")[0]
        if pids and pid not in map(str, pids):
            continue
        try:
            told = read(path, _PATIENCE)
        except (OSError, ValueError):
            continue
        if told is not None:
            found[int(told["pid"])] = told
    return found


def _encoders(
    before: dict[int, dict[str, Any]], now: dict[int, dict[str, Any]], elapsed: float
) -> list[dict[str, Any]]:
    """Return each encoder with what it did in between: `measured_fps` and `measured_bitrate`."""
    result = []
    for pid, process in sorted(now.items()):
        earlier = {one["encoder"]: one for one in before.get(pid, {}).get("encoders", ())}
        for one in process["encoders"]:
            old = earlier.get(one["encoder"])
            frames = bitrate = 0.0
            if old is not None and elapsed > 0:
                frames = (one["encoded"] - old["encoded"]) / elapsed
                bitrate = (one["bytes_out"] - old["bytes_out"]) * 8 / elapsed
            more = {"measured_fps": round(frames, 2), "measured_bitrate": round(bitrate)}
            result.append({"pid": pid, "program": process.get("program", ""), **one, **more})
    return result


def _row(one: dict[str, Any]) -> list[str]:
    return [
        str(one["pid"]),
        one["name"] or f"#{one['encoder']}",
        f"{one['width']}x{one['height']}",
        one["codec"],
        f"{one['measured_fps']:.1f}",
        f"{one['fps']:g}" if one["fps"] == int(one["fps"]) else f"{one['fps']:.2f}",
        bits(one["measured_bitrate"]),
        bits(one["bitrate"]),
        _milliseconds(one["latency"]["p50"]),
        _milliseconds(one["latency"]["p99"]),
        str(one["in_flight"]),
        str(one["ready"]),
        str(sum(one["dropped"].values())),
        str(one["failed"]),
        one["backend"],
    ]


def _milliseconds(time: float) -> str:
    return f"{time * 1000:.1f} ms" if time < 0.1 else f"{time * 1000:.0f} ms"


def _table(encoders: Iterable[dict[str, Any]], width: int) -> list[str]:
    """Return the lines: a title, then one for each encoder, with the columns that the width has room for."""
    rows = [[column.title for column in _COLUMNS], *map(_row, encoders)]
    if len(rows) == 1:
        return ["no encoder is open"]
    widths = [max(len(row[index]) for row in rows) for index in range(len(_COLUMNS))]
    shown = sorted(range(len(_COLUMNS)), key=lambda index: -_COLUMNS[index].rank)
    while len(shown) > 1 and sum(widths[index] + 2 for index in shown) - 2 > width:
        shown.pop()
    shown.sort()

    def line(row: Sequence[str]) -> str:
        cells = (row[i].ljust(widths[i]) if _COLUMNS[i].left else row[i].rjust(widths[i]) for i in shown)
        return "  ".join(cells).rstrip()[:width]

    return [line(row) for row in rows]


def _width() -> int:
    return shutil.get_terminal_size().columns if is_terminal(sys.stdout) else 200


def _page(args: argparse.Namespace, before: dict[int, dict[str, Any]]) -> None:
    """Draw a page over and over on the terminal's other screen, until Ctrl-C or the last process is gone."""
    out = sys.stdout
    out.write("\x1b[?1049h\x1b[?25l")  # the other screen, without a cursor
    try:
        since, encoders = time.monotonic(), _encoders(before, before, 0.0)
        while before:
            width, height = shutil.get_terminal_size()
            lines = _table(encoders, width)
            left_out = len(lines) - (height - 2)
            if left_out > 0:
                lines = [*lines[: height - 3], f"{left_out + 1} more"]
            title = (
                f"ascend-venc top  {time.strftime('%H:%M:%S')}  {len(before)} process(es), {len(encoders)} encoder(s)"
            )
            out.write("\x1b[H" + "".join(f"{line[:width]}\x1b[K\n" for line in [title, *lines]) + "\x1b[J")
            out.flush()
            time.sleep(args.interval)
            now, at = _look(args.pids), time.monotonic()
            encoders = _encoders(before, now, at - since)
            before, since = now, at
    finally:
        out.write("\x1b[?25h\x1b[?1049l")
        out.flush()
    say("the last process has ended")
