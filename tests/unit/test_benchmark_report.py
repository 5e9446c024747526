# SPDX-License-Identifier: Apache-2.0
"""The benchmarks' report: goals, builds that are refused, tables and plots."""

import importlib.util
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ascend_venc._lowlevel import core
from ascend_venc._lowlevel.pyacl import functions
from helpers import c_calls

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "benchmarks" / "report.py"


@pytest.fixture(scope="module")
def report():
    spec = importlib.util.spec_from_file_location("benchmark_report", SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def row(median, goal=None, figure="CPU <per> frame", peer="Encoder"):
    return {
        "figure": figure,
        "peer": peer,
        "median": median,
        "low": median / 2,
        "high": median * 2,
        "unit": "µs",
        "goal": goal,
    }


@pytest.mark.parametrize(
    ("median", "goal", "expected"),
    [
        (1.2, "≤ 1.2 ×", True),
        (1.21, "≤ 1.2 ×", False),
        (29.5, "≥ 29.5 fps", True),
        (29.4, ">= 29.5", False),
        (1.1, "≤ +1 point", False),
        (999, "<= 1,000", True),
        (5, None, None),
    ],
)
def test_goal_is_reached_or_missed(report, median, goal, expected):
    assert report.reached(row(median, goal)) is expected


def test_goal_without_a_limit_is_an_error(report):
    with pytest.raises(ValueError, match="must begin"):
        report.reached(row(1, "less than before"))


def test_every_compiled_part_is_looked_at(report):
    parts = {path.resolve() for path in report.libraries()}
    assert {Path(module.__file__).resolve() for module in (core, functions)} <= parts
    assert {"libavenc.so", "libascendvenc_sim.so", "libascendcl.so"} <= {path.name for path in parts}


@pytest.mark.parametrize(("content", "reason"), [(b"\0__tsan_init\0", "sanitizer"), (b"\0.debug_info\0", "debug")])
def test_sanitizer_and_debug_builds_are_refused(report, tmp_path, content, reason):
    library = tmp_path / "libavenc.so"
    library.write_bytes(b"\x7fELF")
    report.refuse([library], False)
    with pytest.raises(report.RefusedError, match="Py_DEBUG"):
        report.refuse([library], True)
    library.write_bytes(b"\x7fELF" + content)
    with pytest.raises(report.RefusedError, match=reason):
        report.refuse([library], False)
    with pytest.raises(report.RefusedError, match="not built"):
        report.refuse([], False)


def test_report_has_a_table_and_a_plot_for_what_is_compared(report, tmp_path):
    rows = [row(10, peer="C loop"), row(12, "≤ 11"), row(3, "≤ 5", figure="close")]
    results = {"facts": {"device": report.DEVICE, "cpu": "x"}, "quick": False, "groups": {"frames": rows}}
    report.write(results, tmp_path)
    page = (tmp_path / "README.md").read_text()
    assert "1 of 2 reached" in page
    assert "| CPU <per> frame | Encoder | 12 µs | 6 to 24 | ≤ 11 | **missed** |" in page
    assert "binding overhead, not encoder speed" in page
    assert "(frames.svg)" in page
    plot = ElementTree.parse(tmp_path / "frames.svg").getroot()
    bars = plot.findall("{http://www.w3.org/2000/svg}rect")[1:]
    assert len(bars) == 2, "one figure has two peers, the other nothing to be compared with"
    widths = [float(bar.get("width")) for bar in bars]
    assert widths[1] / widths[0] == pytest.approx(1.2, rel=0.01)


def test_facts_name_the_device_the_compiler_and_the_flags(report, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(SOURCE.parent)])
    about = report.facts(report.libraries())
    assert "simulated device" in about["device"]
    assert about["chip"].startswith("Ascend")
    assert "-O" in about["flags"] and about["cores"] >= 1


def test_group_that_fails_fails_the_run_and_replaces_no_complete_report(report, monkeypatch, tmp_path, capsys):
    def differs(quick):
        raise RuntimeError("DifferentWork: C loop: 40 frames; Encoder: 39")

    facts = {"device": report.DEVICE, "cpu": "x"}
    monkeypatch.setattr(report, "ROOT", tmp_path)
    monkeypatch.setattr(report, "DOCS", tmp_path / "docs")
    monkeypatch.setattr(report, "facts", lambda paths: facts)
    monkeypatch.setattr(report, "refuse", lambda paths, py_debug: None)
    monkeypatch.setattr(report, "groups", lambda: {"good": lambda quick: [row(10)], "bad": differs})
    assert report.main([]) == 1
    assert "bad FAILED: DifferentWork: C loop: 40 frames; Encoder: 39" in capsys.readouterr().err
    assert not (tmp_path / "docs").exists()
    assert "CPU <per> frame" in (tmp_path / "build" / "benchmarks" / "README.md").read_text()
    monkeypatch.setattr(report, "groups", lambda: {"good": lambda quick: [row(10)]})
    assert report.main([]) == 0
    assert (tmp_path / "docs" / "README.md").exists()


def test_functions_whose_instructions_the_profiles_tell_exist():
    page = (ROOT / "docs" / "benchmarks" / "profiles.md").read_text()
    table = page.split("The engine's own instructions")[1].split("\n\n*")[0]
    named = set(re.findall(r"`(\w+)`", table))
    files = [path for path in (ROOT / "csrc").rglob("*.[ch]") if "sim" not in path.parts]
    defined = set().union(*(unit.defined for unit in c_calls.read_units(ROOT / "csrc", files).values()))
    assert {"avi_report", "trampoline"} <= named
    assert named - defined == set()
