# SPDX-License-Identifier: Apache-2.0
"""`ascend-venc doctor`: what is installed, what works, and what mends the rest."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import TYPE_CHECKING, Any

from .._version import __version__
from ..doctor.examination import TIMEOUT, examine
from ..doctor.finding import FAIL, NOTE, OK, WARN
from ..doctor.findings import conclusion, findings_of
from ..doctor.of_host import wants_ascend
from ..interface_choice import parse_interface
from . import UsageError
from .screen import GREEN, RED, YELLOW, Screen, transient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..doctor.examination import Examination

NAME = "doctor"
HELP = "Say what is installed, encode on each device, and say what mends the rest."
EXAMPLES = """examples:
  ascend-venc doctor                       what Encoder() would do here
  ascend-venc doctor --backend ascend -v   all that is known of the Ascend devices
  ascend-venc doctor --json >report.json   for programs

Each device and interface encodes three frames in a process of its own: what
hangs or crashes there is a line of the report. The exit code is 0 only if the
backend that was asked for encoded."""

_HEADS = {OK: ("ok    ", GREEN), NOTE: ("note  ", ""), WARN: ("warn  ", YELLOW), FAIL: ("FAIL  ", RED)}
_FIX = "  ->  "


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
        help="try only this one (default: both; $ASCEND_VENC_INTERFACE or auto says which of them has to work)",
    )
    parser.add_argument("--device", metavar="N", type=int, help="try only this one (default: all)")
    parser.add_argument(
        "--timeout",
        metavar="S",
        type=float,
        default=TIMEOUT,
        help=f"seconds that one step of a trial may take (default: {TIMEOUT:g})",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("-v", "--verbose", action="store_true", help="print all that was found, not only what matters")
    parser.set_defaults(quiet=True)  # what the notes would say is in the report


def run(args: argparse.Namespace) -> int:
    if not 0 < args.timeout <= 3600:
        raise UsageError(f"--timeout is {args.timeout:g}; give more than 0, up to 3600")
    chosen = parse_interface(args.interface)
    try:
        examination = examine(
            args.backend,
            None if chosen == "auto" else chosen,
            args.device,
            timeout=args.timeout,
            only=bool(args.interface),
            progress=transient,
        )
    finally:
        transient("")
    if args.json:
        print(json.dumps(report(examination)))
    else:
        show(examination, args.verbose, Screen())
    return 0 if examination.encodes else 1


def report(examination: Examination) -> dict[str, Any]:
    """The whole report as JSON has it."""
    return {
        "ascend_venc": __version__,
        "encodes": examination.encodes,
        "conclusion": conclusion(examination),
        "findings": [finding._asdict() for finding in findings_of(examination)],
        "host": dataclasses.asdict(examination.host),
        "packages": dataclasses.asdict(examination.packages),
        "library": dataclasses.asdict(examination.library),
        "trials": [
            {**trial._asdict(), "outcome": dataclasses.asdict(trial.outcome)}
            for trial in (*examination.trials, *examination.simulated)
        ],
    }


def show(examination: Examination, verbose: bool, screen: Screen) -> None:
    """Print the report."""
    host = examination.host
    screen.line(f"ascend-venc {__version__}, Python {host.python}, {host.system} {host.machine}, {host.libc}")
    if verbose:
        for title, lines in facts(examination):
            screen.line(f"\n{title}")
            for line in lines:
                screen.line(line, "      ")
        screen.line("")
    findings = findings_of(examination)
    for finding in findings:
        head, color = _HEADS[finding.level]
        screen.line(finding.text, head, color)
        if finding.fix:
            screen.line(finding.fix, _FIX)
    if verbose or not examination.encodes or wants_ascend(examination):
        screen.line(conclusion(examination))


def facts(examination: Examination) -> Iterator[tuple[str, list[str]]]:
    """Everything that was found, in groups: (title, lines)."""
    host, found, packages = examination.host, examination.found, examination.packages.result or {}
    yield (
        "Python",
        [
            f"{host.python}, {host.python_bits} bits: {host.python_path}",
            f"NumPy {packages.get('numpy', 'not usable')}",
            f"PyAV {packages.get('pyav') or packages.get('pyav_problem') or 'not usable'}"
            + (f": {', '.join(packages['encoders']) or 'no encoders'}" if packages.get("pyav") else ""),
            f"codec of the simulated device: {packages.get('sim_codec') or 'the system is searched'}",
            f"converters: {', '.join(filter(None, (packages.get('libyuv'), packages.get('swscale')))) or 'own loops'}",
        ],
    )
    yield "CANN", [line for cann in host.canns for line in _cann_lines(cann)] or ["none on this disk"]
    yield "driver", [f"{host.driver_version or 'no version'}: {host.driver_folder}" if host.driver_folder else "none"]
    yield (
        "devices",
        [
            f"{node.mode} {node.user} {node.group} {node.path}{'' if node.usable else ': not for this user'}"
            for node in host.nodes
        ]
        or ["no /dev/davinci*, davinci_manager, devmm_svm, hisi_hdc"],
    )
    yield "user", [f"{host.user}, groups {', '.join(host.groups)}{f', in {host.container}' if host.container else ''}"]
    yield "variables", [f"{name}={value}" for name, value in host.variables.items()] or ["none that matter"]
    if found:
        yield (
            "library",
            [
                f"{found['runtime_path']}, found by {found['found_by']}: {found['reason']}",
                f"media: {found['media_path']}",
                f"DVPP V2: {found['mpi_path'] or ' '.join(found['mpi_problem'].split())}",
                f"AscendCL {found['version'] or 'of unknown version'}, {found['soc_name'] or 'unknown chip'}, "
                f"{found['device_count']} devices",
                f"interface {found['interface']}: {found['interface_reason']}",
                f"missing functions: {', '.join(found['missing']) or 'none'}",
            ],
        )
    else:
        yield "library", [examination.library.problem]
    yield (
        "trials",
        [line for trial in (*examination.trials, *examination.simulated) for line in _trial_lines(trial)] or ["none"],
    )
    limits = ", ".join(f"{name} {'any' if value < 0 else value}" for name, value in host.limits.items())
    yield "limits", [f"{host.cpus} cores, {limits}, {host.shared_memory >> 20} MiB of /dev/shm"]


def _cann_lines(cann: Any) -> Iterator[str]:
    used = ", in the environment" if cann.in_environment else ""
    yield f"{cann.version or 'no version'}: {cann.folder}{used}{f', {cann.set_env}' if cann.set_env else ''}"
    for library in cann.libraries:
        marks = [
            f"{library.bits} bits {library.machine}" if library.bits else "no ELF file",
            *(["only to link programs"] if library.stub else []),
            *(["writable by everybody"] if library.everybody else []),
        ]
        yield f"  {library.path}: {', '.join(marks)}"


def _trial_lines(trial: Any) -> Iterator[str]:
    place = f"device {trial.device}, {trial.interface}, {trial.codec}{', simulated' if trial.backend == 'sim' else ''}"
    if trial.result:
        told = trial.result
        psnr = "not decoded" if told["psnr"] is None else f"decoded, {told['psnr']} dB"
        yield (
            f"{place}: {told['packets']} packets, {told['bytes']} bytes, {told['width']} x {told['height']}, "
            f"{told['profile']}, level {told['level']}, {psnr}, opened in {told['milliseconds_to_open']:.3g} ms, "
            f"{told['milliseconds_per_frame']:.3g} ms a frame"
        )
        return
    yield f"{place}: {trial.problem}"
    for line in trial.outcome.output.splitlines()[-5:]:
        yield f"  {line}"
