# SPDX-License-Identifier: Apache-2.0
"""The conformance suite and a short benchmark against the device of this host, as a report that can be handed on."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import platform
import pwd
import re
import runpy
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._version import __version__
from ..errors import VencError
from .recorder import VARIABLE
from .supervision import end_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .examination import Examination

TIMEOUT = 900.0  # seconds for a file of tests, and for the benchmark
PASSED, FAILED, NOT_RUN = "passed", "failed", "not run"


def suite_folder(given: str | None) -> Path:
    """Return the folder `tests` of this version's source. Raises VencError that says how to get it."""
    folder = Path(given) if given else Path(__file__).resolve().parents[2] / "tests"
    if not (folder / "conformance" / "statements.json").is_file():
        raise VencError(
            f"the tests are not in {folder}: they come with the source of ascend_venc {__version__}, not with the "
            "installed package. Unpack it, run pip install '.[test]' there, then ascend-venc verify --tests tests"
        )
    missing = [name for name in ("pytest", "pytest_timeout", "hypothesis") if importlib.util.find_spec(name) is None]
    if missing:
        raise VencError(
            f"the tests need {', '.join(missing)}: pip install 'ascend-venc[test]', or pip install '.[test]'"
        )
    return folder.resolve()


def run_conformance(
    tests: Path, simulated: bool, matching: str, timeout: float, progress: Callable[[str], None]
) -> Any:
    """Run the files of the conformance suite, each in a process of its own; return what became of each test.

    A list of {"file", "tests": [...], "end": "", "hung", "crashed" or "left", "how", "during"}. A process that takes
    longer than `timeout` seconds is killed; `matching` is pytest's -k.
    """
    results = []
    for path in sorted((tests / "conformance").glob("test_*.py")):
        progress(path.name)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "ascend_venc.doctor.recorder"]
        command += [f"--acl={'sim' if simulated else 'real'}", *(["-k", matching] if matching else []), str(path)]
        with tempfile.TemporaryDirectory() as folder:
            record = Path(folder) / "record"
            record.touch()
            source = str(Path(__file__).resolve().parents[2])  # the package under test is this one
            paths = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))
            end, how = _bounded(
                command, timeout, cwd=tests.parent, env={**os.environ, VARIABLE: str(record), "PYTHONPATH": paths}
            )
            lines = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
        told = [line for line in lines if "test" in line]
        begun = [line["begin"] for line in lines if "begin" in line]
        if how in ("exit code 0", "exit code 1", "exit code 5"):  # pytest's own: passed, failed, none chosen
            end = how = ""
        during = begun[-1] if end and begun and begun[-1] not in {line["test"] for line in told} else ""
        results.append({"file": path.name, "tests": told, "end": end, "how": how, "during": during})
    return results


def _bounded(command: list[str], timeout: float, **options: Any) -> tuple[str, str]:
    """Run a command for up to so many seconds; return how it ended: ("hung" or "left", words)."""
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=options.pop("stdout", subprocess.DEVNULL),
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        **options,
    )
    begin = time.monotonic()
    code = None
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = child.wait(timeout)
    finally:
        end_process(child, 0)
    if code is None:
        return "hung", f"no end after {time.monotonic() - begin:.0f} s"
    return ("left", f"exit code {code}") if code >= 0 else ("crashed", f"signal {-code}")


def run_benchmark(backend: str | None, timeout: float, seconds: float = 1.0) -> dict[str, Any]:
    """Run `ascend-venc bench` shortly; return its report, or {"problem": ...}."""
    with tempfile.TemporaryFile() as output:
        # Not by -m, which looks into the working folder first.
        program = f"import sys; sys.path[:] = {[*map(str, sys.path)]!r}; "
        program += "from ascend_venc.cli import main; sys.exit(main())"
        command = [sys.executable, "-c", program, "bench", "--json", "-t", str(seconds), "-s", "1280x720"]
        end, how = _bounded(
            [*command, "-n", "1", "-n", "4", *(["--backend", backend] if backend else [])], timeout, stdout=output
        )
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    try:
        return dict(json.loads(text))
    except ValueError:
        return {"problem": f"{end}: {how}"}


def statements_of(tests: Path, results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the tests say of each statement: {"id", "mark", "text", "result"}, "passed", "failed" or "not run"."""
    outcomes: dict[tuple[str, str], set[str]] = {}
    for result in results:
        for line in result["tests"]:
            name = line["test"].rpartition("::")[2].partition("[")[0]
            outcomes.setdefault((f"conformance/{result['file']}", name), set()).add(line["outcome"])
        if result["during"]:
            name = result["during"].rpartition("::")[2].partition("[")[0]
            outcomes.setdefault((f"conformance/{result['file']}", name), set()).add(FAILED)
    with _on_path(tests):
        rows, _ = runpy.run_path(str(tests / "helpers" / "statements.py"))["collect"]()
    found = []
    for row in rows.values():
        seen = set().union(*(outcomes.get((file, test), set()) for file, test, _ in row.tests))
        verdict = FAILED if FAILED in seen else PASSED if PASSED in seen else NOT_RUN
        found.append({"id": row.number, "mark": row.mark, "text": row.text, "result": verdict})
    return found


@contextlib.contextmanager
def _on_path(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def report_of(
    examination: Examination, results: list[dict[str, Any]], statements: list[dict[str, Any]], benchmark: dict[str, Any]
) -> dict[str, Any]:
    """Put the report together, without names of host and user, and without paths."""
    host, found, packages = examination.host, examination.found, examination.packages.result or {}
    counts = dict.fromkeys((PASSED, FAILED, "skipped"), 0)
    for result in results:
        for line in result["tests"]:
            counts[line["outcome"]] += 1
    report = {
        "ascend_venc": __version__,
        "simulated": examination.on_simulated,
        "chip": found.get("soc_name", ""),
        "devices": found.get("device_count", 0),
        "interface": found.get("interface", ""),
        "cann": [cann.version for cann in host.canns if cann.version],
        "driver": host.driver_version,
        "ascendcl": found.get("version", ""),
        "missing_functions": found.get("missing", []),
        "machine": host.machine,
        "kernel": platform.release(),
        "libc": host.libc,
        "python": host.python,
        "numpy": packages.get("numpy", ""),
        "pyav": packages.get("pyav", ""),
        "trials": [
            {
                "device": trial.device,
                "interface": trial.interface,
                "codec": trial.codec,
                "problem": trial.problem,
                **(trial.result or {}),
            }
            for trial in examination.trials
        ],
        "conformance": {
            **counts,
            "ended_early": [
                {name: result[name] for name in ("file", "end", "how", "during")} for result in results if result["end"]
            ],
            "failures": [
                {"test": f"{result['file']}::{line['test'].rpartition('::')[2]}", "message": line["message"]}
                for result in results
                for line in result["tests"]
                if line["outcome"] == FAILED
            ],
        },
        "statements": statements,
        "benchmark": benchmark,
    }
    return dict(without_names(report))


def without_names(value: Any) -> Any:
    """Return a value of JSON without names of host and user in its texts, and with files' names in place of paths."""
    if isinstance(value, dict):
        return {name: without_names(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_names(item) for item in value]
    if not isinstance(value, str):
        return value
    text = re.sub(r"(?<![\w.])(?:/[\w.+~@%-]+)+/([\w.+~@%-]+)", r"\1", value)
    names = [socket.gethostname()]
    with contextlib.suppress(KeyError):
        names.append(pwd.getpwuid(os.getuid()).pw_name)
    for name in names:
        if name and name not in ("root", "localhost"):
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "...", text)
    return text


def markdown_of(report: dict[str, Any]) -> str:
    """The report for people."""
    conformance, benchmark = report["conformance"], report["benchmark"]
    device = "the simulated device" if report["simulated"] else "hardware"
    lines = [
        f"# ascend_venc {report['ascend_venc']} on {device}: {report['chip'] or 'unknown chip'}",
        "",
        *(["**Simulated: nothing here is about Ascend hardware.**", ""] if report["simulated"] else []),
        "| | |",
        "|---|---|",
    ]
    for name in ("devices", "interface", "cann", "driver", "ascendcl", "machine", "kernel", "libc", "python", "pyav"):
        value = report[name]
        lines.append(f"| {name} | {', '.join(value) if isinstance(value, list) else value or '-'} |")
    lines += ["", "## Trial encodes", "", "| device | by | codec | result |", "|---|---|---|---|"]
    for trial in report["trials"]:
        told = trial["problem"] or (
            f"{trial['packets']} packets, {trial['bytes']} bytes, {trial['profile']} {trial['level']}, "
            f"{trial['milliseconds_per_frame']} ms a frame, "
            + ("not decoded" if trial["psnr"] is None else f"{trial['psnr']} dB")
        )
        lines.append(f"| {trial['device']} | {trial['interface']} | {trial['codec']} | {_cell(told)} |")
    lines += ["", "## Conformance", ""]
    lines.append(
        f"{conformance['passed']} tests passed, {conformance['failed']} failed, {conformance['skipped']} skipped."
    )
    lines += [
        f"{early['file']} ended early ({early['how']}){' in ' + early['during'] if early['during'] else ''}."
        for early in conformance["ended_early"]
    ]
    lines += ["", "| statements | passed | failed | not run |", "|---|---|---|---|"]
    for mark in ("documented", "observed", "guessed"):
        of = [row["result"] for row in report["statements"] if row["mark"] == mark]
        lines.append(f"| {mark} | {of.count(PASSED)} | {of.count(FAILED)} | {of.count(NOT_RUN)} |")
    failed = [row for row in report["statements"] if row["result"] == FAILED]
    lines += ["", *(f"- {row['id']} ({row['mark']}) failed: {row['text']}" for row in failed)]
    for failure in conformance["failures"]:
        lines += ["", f"### {failure['test']}", "", "```", failure["message"].strip(), "```"]
    lines += ["", "## Benchmark", ""]
    if "figures" not in benchmark:
        return "\n".join([*lines, str(benchmark.get("problem", "not run")), ""])
    lines += ["| size | codec | by | channels | fps | latency, ms: median | longest |", "|---|---|---|---|---|---|---|"]
    for figure in benchmark["figures"]:
        latency = figure["latency_ms"]
        lines.append(
            f"| {figure['size']} | {figure['codec']} | {figure['interface']} | {figure['channels']} "
            f"| {figure['fps']:.1f} | {latency['median']:.2f} | {latency['max']:.2f} |"
        )
    return "\n".join([*lines, ""])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
