# SPDX-License-Identifier: Apache-2.0
"""`ascend-venc verify`: the conformance suite and a short benchmark on this host's device, as a report."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from ..doctor.examination import examine
from ..doctor.findings import conclusion
from ..doctor.verification import (
    TIMEOUT,
    markdown_of,
    report_of,
    run_benchmark,
    run_conformance,
    statements_of,
    suite_folder,
)
from ..errors import VencError
from . import UsageError, say
from .screen import Screen, transient

NAME = "verify"
HELP = "Run the conformance suite and a short benchmark on the device; write a report."
REPORT = "ascend-venc-report"
EXAMPLES = """examples:
  ascend-venc verify                        the Ascend, else the simulated one
  ascend-venc verify --backend sim -o /tmp  how it looks
  ascend-venc verify -k send_frame          a part of the suite

It needs the source of this version and its test extra (docs/hardware.md). The
report, Markdown and JSON, names neither host nor user, and no path."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    parser.add_argument("--backend", choices=("auto", "ascend", "sim"), help="the device (default: auto)")
    parser.add_argument(
        "--tests", metavar="FOLDER", help="the folder tests of the source (default: beside the package)"
    )
    parser.add_argument("-o", "--output", metavar="FOLDER", default=".", help="where the report goes (default: here)")
    parser.add_argument("-k", metavar="EXPR", default="", help="only tests whose names match, as pytest has it")
    parser.add_argument("--no-bench", action="store_true", help="leave the benchmark out")
    parser.add_argument(
        "--timeout",
        metavar="S",
        type=float,
        default=TIMEOUT,
        help=f"seconds for a file of tests, and for the benchmark (default: {TIMEOUT:g})",
    )
    parser.set_defaults(quiet=True)  # which device it is stands in the report


def run(args: argparse.Namespace) -> int:
    if not 0 < args.timeout <= 86400:
        raise UsageError(f"--timeout is {args.timeout:g}; give more than 0, up to 86400")
    tests = suite_folder(args.tests)
    output = Path(args.output)
    if not output.is_dir() or not os.access(output, os.W_OK):
        raise UsageError(f"--output is {args.output!r}; give a folder that can be written")
    backend = args.backend or "auto"
    _progress("doctor")
    examination = examine(backend)
    if not examination.encodes:
        raise VencError(
            f"{conclusion(examination)} Run ascend-venc doctor{_chosen(args.backend)}: it says what to mend"
        )
    simulated = examination.on_simulated
    results = run_conformance(tests, simulated, args.k, args.timeout, _progress)
    benchmark = {"problem": "left out"}
    if not args.no_bench:
        _progress("benchmark")
        benchmark = run_benchmark("sim" if simulated else "ascend", args.timeout)
    _progress("")
    report = report_of(examination, results, statements_of(tests, results), benchmark)
    (output / f"{REPORT}.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (output / f"{REPORT}.md").write_text(markdown_of(report), encoding="utf-8")
    told = report["conformance"]
    device = "the simulated device: nothing of this is about hardware" if simulated else f"the {report['chip']}"
    screen = Screen()
    screen.line(f"on {device}")
    screen.line(f"{told['passed']} tests passed, {told['failed']} failed, {told['skipped']} skipped")
    for early in told["ended_early"]:
        screen.line(f"{early['file']} ended early: {early['how']}{' in ' + early['during'] if early['during'] else ''}")
    screen.line(f"{output / REPORT}.md and .json")
    return 0 if told["passed"] and not told["failed"] and not told["ended_early"] else 1


def _chosen(backend: str | None) -> str:
    return f" --backend {backend}" if backend else ""


def _progress(text: str) -> None:
    """Say what runs now: on a terminal in a line that goes away, else in a line each."""
    if not transient(text) and text:
        say(text)
