# SPDX-License-Identifier: Apache-2.0
"""The benchmarks' report: goals, comparisons, builds that are refused, tables and plots."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ascend_venc._lowlevel import core
from ascend_venc._lowlevel.pyacl import functions
from ascend_venc.cli import figure
from helpers import c_calls

pytestmark = pytest.mark.project

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "benchmarks" / "report.py"


@pytest.fixture(scope="module")
def report():
    spec = importlib.util.spec_from_file_location("benchmark_report", SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def row(median, figure="CPU <per> frame", peer="Encoder", runs=3, **more):
    found = {"figure": figure, "peer": peer, "median": median, "low": median / 2, "high": median * 2}
    return {**found, "lower": median * 0.9, "upper": median * 1.1, "runs": runs, "unit": "µs", **more}


GOAL = {
    "why": "single-figures",
    "group": "frames",
    "unit": "µs",
    "means": "What a frame costs.",
    "goal": "≤ 11",
    "figure": "CPU <per> frame",
    "peer": "Encoder",
}


@pytest.fixture
def goals(report, monkeypatch, tmp_path):
    """A function that makes these the goals."""

    def write(*found):
        (tmp_path / "goals.json").write_text(json.dumps(found))
        monkeypatch.setattr(report, "GOALS", tmp_path / "goals.json")

    return write


@pytest.mark.parametrize(
    ("median", "goal", "expected"),
    [
        (1.2, "≤ 1.2", True),
        (1.21, "≤ 1.2", False),
        (29.5, "≥ 29.5", True),
        (29.4, ">= 29.5", False),
        (999, "<= 1,000", True),
    ],
)
def test_goal_is_reached_or_missed(report, median, goal, expected):
    assert report.reached(goal, median) is expected


def test_goal_without_a_limit_is_an_error(report):
    with pytest.raises(ValueError, match="must be ≤ or ≥ and a number"):
        report.reached("less than before", 1)


def test_every_goal_has_a_group_a_limit_and_says_what_it_means(report, names):
    found = report.goals()
    assert len(found) >= 60
    headings = re.findall("^## (.*)$", (ROOT / "docs" / "benchmarks" / "profiles.md").read_text(), re.M)
    sections = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for goal in found:
        assert goal["group"] in names and len(goal["means"]) > 5
        assert goal["why"] in sections, "a missed goal is reported with the profile that explains it"
        report.reached(goal["goal"], 1.0)
    assert len({(goal["group"], goal["figure"], goal["peer"]) for goal in found}) == len(found)


def test_every_goals_figure_is_made_by_a_case(report, names):
    """With or without pyACL: of figures and comparisons, by the very functions that make the rows."""
    assert all(found["without"] for found in names.values())
    for pyacl in ("with", "without"):
        rows = {group: found[pyacl] for group, found in names.items()}
        assert [goal["figure"] for goal in report.not_measured(rows)] == []


def test_goal_holds_for_each_of_its_alternatives(report, goals):
    goals({**GOAL, "figure": "{a|b} of {1|2}", "peer": "Encoder{|, sink}"})
    found = [(goal["figure"], goal["peer"]) for goal in report.goals()]
    assert found == [
        (figure, peer) for figure in ("a of 1", "a of 2", "b of 1", "b of 2") for peer in ("Encoder", "Encoder, sink")
    ]


def test_goal_whose_figure_or_unit_is_another_is_not_measured(report, goals):
    goals(GOAL)
    assert report.not_measured({"frames": [row(10)]}) == []
    for other in (row(10, figure="another"), row(10, peer="C loop"), row(10, unit="ns")):
        assert [goal["goal"] for goal in report.not_measured({"frames": [other]})] == ["≤ 11"]
    assert report.not_measured({"files": []}) == [], "the group was not asked for"


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


@pytest.mark.leaves_open("matplotlib keeps the files of its fonts open")
def test_report_has_a_table_and_a_plot_for_what_is_compared(report, goals, tmp_path):
    goals(GOAL, {**GOAL, "figure": "gone"})
    rows = [row(10, peer="C loop"), row(12), row(15, peer="ctypes.CDLL"), row(3, figure="close", note="slow", runs=9)]
    results = {"facts": {"device": report.DEVICE, "cpu": "x"}, "quick": False, "groups": {"frames": rows}}
    report.write(results, tmp_path)
    page = (tmp_path / "README.md").read_text()
    assert "0 of 2 reached" in page
    spread = "12 µs | 6 to 24 | ≤ 11 | **missed**, [why](profiles.md#single-figures) | What a frame costs. |"
    assert f"| frames | CPU <per> frame | Encoder | {spread}" in page
    assert "| frames | gone | Encoder |  |  | ≤ 11 | **not measured** | What a frame costs. |" in page
    assert "| close | Encoder | 3 µs | 2.7 to 3.3 (1.5 to 6) | 9 | slow |" in page
    assert "binding overhead, not encoder speed" in page
    assert "(frames.svg)" in page
    plot = ElementTree.parse(tmp_path / "frames.svg").getroot()
    svg = "{http://www.w3.org/2000/svg}"
    colors = {figure.GREY.lower(): "C loop", figure.BLUE.lower(): "Encoder", figure.ORANGE.lower(): "ctypes.CDLL"}
    widths = {}
    for path in plot.iter(f"{svg}path"):
        color = path.get("style", "").partition("fill: ")[2].partition(";")[0].lower()
        if color in colors:
            across = [float(x) for x in re.findall(r"[ML] ([\d.]+)", path.get("d"))]
            widths[colors[color]] = max(max(across) - min(across), widths.get(colors[color], 0))
    assert set(widths) == set(colors.values()), "one figure has three peers, the other nothing to be compared with"
    assert widths["Encoder"] / widths["C loop"] == pytest.approx(1.2, rel=0.01)
    assert widths["ctypes.CDLL"] / widths["C loop"] == pytest.approx(1.5, rel=0.01)
    texts = ["".join(text.itertext()) for text in plot.iter(f"{svg}text")]
    assert any(report.DEVICE in text for text in texts) and {"C loop", "Encoder", "10", "12"} <= set(texts)


def test_facts_name_the_device_and_the_compiler(report):
    about = report.facts(report.libraries())
    assert "simulated device" in about["device"]
    assert about["chip"].startswith("Ascend")
    assert re.search(r"GCC|clang", about["compiler"]) and about["cores"] >= 1
    assert "stand-in" in about["pyACL"] and "vendor" in report.facts(report.libraries(), True)["pyACL"]


# In a process of its own: the modules of the benchmarks have short names, and choose the interface of their process.
RUN = """
import json, sys
sys.path[:0] = [sys.argv[1]]
import cases, harness, report, run
ENOUGH = {name: 2.0 + i for i, name in enumerate(cases.FIGURES)}
def rows(name, pyacl):
    found, made = {}, []
    for case in cases.GROUPS[name](pyacl):
        sizes = {peer: number for number, peer in enumerate(case.peers)}
        found[case.where] = {peer: [harness.Sample({key: value * (3 + size) for key, value in ENOUGH.items()},
                                                   harness.Work(1, 1), 1, 1)] for peer, size in sizes.items()}
        made += run.rows_of(case, found[case.where], found)
    return made
print(json.dumps({name: {"with": rows(name, True), "without": rows(name, False)} for name in cases.GROUPS}))
"""


@pytest.fixture(scope="module")
def names():
    """The rows that every group would have, of invented samples: {group: {"with" or "without" pyACL: rows}}."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(SOURCE.parent)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def test_runs_of_another_case_are_compared_by_their_median():
    """Three runs beside a load, of which none has a partner among the five without one."""
    program = (
        "import sys; sys.path[:0] = [sys.argv[1]]\n"
        "import cases, harness, json, run\n"
        "sample = lambda value: harness.Sample({'rate': value}, harness.Work(1, 1), 1, 1)\n"
        "against = (cases.Against('share of', 'rate', 'ours', 'C loop', 'of C', '%', 'quiet'),)\n"
        "case = cases.Case('loud', 'rate', ('ours',), (), against)\n"
        "quiet = {'C loop': [sample(value) for value in (1.0, 100.0, 200.0, 300.0, 1000.0)]}\n"
        "found = {'ours': [sample(value) for value in (20.0, 100.0, 140.0)]}\n"
        "print(json.dumps(run.rows_of(case, found, {'quiet': quiet})))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(SOURCE.parent)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr[-4000:]
    (row,) = json.loads(done.stdout)
    assert (row["low"], row["median"], row["high"], row["runs"]) == (10, 50, 70, 3)


def test_comparisons_are_of_the_peers_that_they_name(names):
    """The invented value of a peer is 2 + i times 3 + its place among the case's peers."""
    rows = {(row["figure"], row["peer"]): row for group in names.values() for row in group["with"]}
    where = "128x128, 20 KB, bursts of 16 in batches of 8"
    cpu = {peer: rows[f"{where}: CPU per frame", peer]["median"] for peer in ("C loop", "Encoder.submit_many")}
    theirs = rows[f"{where}: CPU per frame", "pyACL, bytes_to_ptr"]["median"]
    over = cpu["Encoder.submit_many"] / cpu["C loop"]
    assert rows[f"{where}: CPU over the C loop", "Encoder.submit_many"]["median"] == pytest.approx(over, abs=0.001)
    added = cpu["Encoder.submit_many"] - cpu["C loop"]
    assert rows[f"{where}: added to the C loop", "Encoder.submit_many"]["median"] == pytest.approx(added, abs=0.001)
    overhead = rows[f"{where}: overhead over pyACL's, bytes_to_ptr", "Encoder.submit_many"]
    assert overhead["median"] == pytest.approx(added / (theirs - cpu["C loop"]), abs=0.001) and "note" not in overhead
    without = {(row["figure"], row["peer"]): row for row in names["bursts"]["without"]}
    assert "stand-in" in without[f"{where}: overhead over pyACL's, bytes_to_ptr", "Encoder.submit_many"]["note"]
    name, loaded = "128x128, 8 x 30 fps", "128x128, 8 x 30 fps, load burn"
    more = rows[f"{loaded}: blocked more than unloaded", "Encoder.submit_many"]["median"]
    shares = "device blocked by callbacks"
    pair = [rows[f"{each}: {shares}", "Encoder.submit_many"]["median"] for each in (loaded, f"{name}, load none")]
    assert more == pytest.approx(pair[0] - pair[1], abs=0.001)


FAILING = """
import json, sys
from pathlib import Path
sys.path[:0] = [sys.argv[1]]
import cases, harness, report, run
folder = Path(sys.argv[2])
cases.FIGURES["ns"] = ("per frame", "ns", 3)
case = cases.Case("CPU", "frames", ("C loop",), ("ns",), access_unit=1)
report.ROOT, report.DOCS, report.GOALS = folder, folder / "docs", folder / "goals.json"
report.facts = lambda paths, pyacl: {"device": report.DEVICE, "cpu": "x"}
report.refuse = lambda paths, py_debug: None
run.native.build_all = run.check_peers = lambda *arguments: None
cases.GROUPS = {"good": lambda pyacl: [case], "bad": lambda pyacl: [case]}
frames = [40]
sample = lambda: harness.Sample({"ns": 1.0}, harness.Work(40, frames.pop(0)), 1, 1)
run.harness.run_worker = lambda job, preload: {"C loop": [sample()]}
goal = {"group": "good", "unit": "ns", "means": "x", "goal": "≤ 1", "why": "x"}
goal.update(figure="CPU: per frame", peer="C loop")
def bench(goals, *sizes):
    report.GOALS.write_text(json.dumps(goals))
    frames[:] = sizes
    return run.main([]), (folder / "docs").exists(), (folder / "build").exists()
found = [bench([goal], 40, 39), bench([goal, {**goal, "figure": "gone"}], 40, 40), bench([goal], 40, 40)]
print(json.dumps(found))
"""


def test_failed_group_and_missing_goal_fail_the_run_and_replace_no_complete_report(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FAILING, str(SOURCE.parent), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    failed, missing, complete = json.loads(done.stdout.splitlines()[-1])
    assert failed == [1, False, True] and missing == [1, False, True] and complete == [0, True, True]
    assert "bad FAILED: C loop: Work(frames=40, bytes=39" in done.stderr
    assert "goal NOT MEASURED: good: gone, C loop" in done.stderr


def test_functions_whose_instructions_the_profiles_tell_exist():
    page = (ROOT / "docs" / "benchmarks" / "profiles.md").read_text()
    table = page.split("The engine's own instructions")[1].split("\n\n*")[0]
    named = set(re.findall(r"`(\w+)`", table))
    files = [path for path in (ROOT / "csrc").rglob("*.[ch]") if "sim" not in path.parts]
    defined = set().union(*(unit.defined for unit in c_calls.read_units(ROOT / "csrc", files).values()))
    assert {"avi_report", "trampoline"} <= named
    assert named - defined == set()
