# SPDX-License-Identifier: Apache-2.0
"""`ascend-venc explain`: what a status code means, and what to do."""

from __future__ import annotations

import argparse
import json
import re
from typing import TYPE_CHECKING, Any

from ..errors import RANGES, TABLE, V2_MODULES, lookup
from . import UsageError
from .screen import BOLD, Screen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..errors import Status

NAME = "explain"
HELP = "Say what a status code of AscendCL or DVPP means, and what to do."
EXAMPLES = """examples:
  ascend-venc explain 507018
  ascend-venc explain 0xA008800D        DVPP V2, also -1610055667 and 2684911629
  ascend-venc explain STREAM_SUBSCRIBE  all codes with that in their name
  ascend-venc explain "aclvencCreateChannel returned 507018"
"""
MOST = 40  # codes of a name
# Parts of AscendCL that video encoding never calls.
_ELSEWHERE = re.compile(
    "MODEL|_OP_|KERNEL|AIPP|_PROF|DUMP|FFTS|CDQ|AICORE|VECTOR|DIE|QUEUE_ID|CCU|L3_PORT|COMM_OP|LABEL|BIN_SELECTOR"
)
_WHERE_REASONS_ARE = "the runtime often writes the reason only to dmesg and to its log (~/ascend/log)"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    parser.add_argument("code", nargs="+", metavar="CODE", help="a number, a name or part of one, or a message")
    parser.add_argument("--json", action="store_true", help="print a JSON list")


def run(args: argparse.Namespace) -> int:
    rows: list[Status] = []
    for text in args.code:
        found = list(codes_of(text))
        if not found:
            raise UsageError(f"{text!r} is no number, and no code has it in its name")
        rows += [row for row in found if row not in rows]
    if args.json:
        print(json.dumps([meaning(row) for row in rows]))
        return 0
    screen = Screen()
    for row in rows:
        told = meaning(row)
        screen.line("", f"{told['code']}{' = ' + told['hex'] if told['hex'] else ''}  {told['name']}", BOLD)
        for name in ("kind", "cause", "fix", "note"):
            if told[name]:
                screen.line(told[name], f"  {name:7}")
    return 0


def codes_of(text: str) -> Iterator[Status]:
    """The codes that a text means: numbers first, then names."""
    numbers = [number for number in re.findall(r"(?<![\w.])-?(?:0[xX][0-9a-fA-F]+|\d+)(?![\w.])", text)]
    values = [int(number, 0 if "x" in number.lower() else 10) for number in numbers]
    listed = [lookup(value) for value in values if lookup(value) in TABLE]
    if listed or (values and text.strip() in numbers):
        yield from listed or [lookup(value) for value in values]
        return
    words = re.findall(r"[A-Za-z]\w{3,}", text.upper())
    exact = [row for row in TABLE if row.name in words]
    within = [row for row in TABLE if len(words) == 1 and words[0] in row.name]
    yield from (exact or within)[:MOST]


def meaning(row: Status) -> dict[str, Any]:
    """What is known of a code."""
    number = row.code
    if number < 0:
        kind = "of ascend_venc itself"
    elif number >= V2_MODULES:
        kind = "of DVPP V2 (hi_mpi_*)"
    else:
        span = next((span for span in RANGES if span[0] <= number <= span[1]), None)
        kind = "success" if number == 0 else "of no known range" if span is None else span[2]
    elsewhere = not row.cause and bool(_ELSEWHERE.search(row.name))
    return {
        "code": number,
        "hex": f"0x{number:X}" if number >= V2_MODULES else "",
        "name": row.name,
        "kind": f"{kind}; raised as {row.exception.__name__}" if number else kind,
        "cause": row.cause,
        "fix": row.fix,
        "guess": row.guess,
        "note": "from a part of AscendCL that video encoding does not call"
        if elsewhere
        else _WHERE_REASONS_ARE
        if number > 0 and (row.guess or not row.cause)
        else "",
    }
