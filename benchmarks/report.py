# SPDX-License-Identifier: Apache-2.0
"""The report of a run: what was measured, the goals (goals.json) that its figures are held to, tables and bar plots.

A row has figure, peer, median, low, high, quartiles, number of runs, unit, and perhaps a note.
"""

import io
import itertools
import json
import os
import platform
import re
from pathlib import Path

from ascend_venc.cli import figure as drawing

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
DOCS = ROOT / "docs" / "benchmarks"
GOALS = HERE / "goals.json"
DEVICE = "simulated device: binding overhead, not encoder speed"


class RefusedError(Exception):
    """This build cannot be measured."""


# ---- what is measured --------------------------------------------------------------------------------------------


def libraries():
    """The compiled parts of the package, in whatever folder of it they are."""
    import ascend_venc

    return sorted(Path(ascend_venc.__file__).parent.rglob("*.so"))


def refuse(paths, py_debug):
    """Raise RefusedError for builds whose figures would say nothing about what users get."""
    if py_debug:
        raise RefusedError("this Python is a debug build (Py_DEBUG); use an ordinary one")
    if not paths:
        raise RefusedError("the package is not built; run bash scripts/bench.sh")
    for path in paths:
        code = path.read_bytes()
        for mark in (b"__asan_", b"__tsan_", b"__ubsan_"):
            if mark in code:
                raise RefusedError(f"{path.name} was built with a sanitizer; build without AVENC_CFLAGS")
        if path.name == "libavenc.so" and b".debug_info" in code:
            raise RefusedError(f"{path.name} is a debug build; build without AVENC_DEBUG=1")


def facts(paths, pyacl=False):
    """The machine and the build, as the report quotes them."""
    import ascend_venc
    from ascend_venc._lowlevel import core

    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    engine = next(path for path in paths if path.name == "libavenc.so")
    compiler = re.search(rb"(?:GCC: |clang version )[^\0]+", engine.read_bytes())
    return {
        "device": DEVICE,
        "chip": core.describe("sim")["soc_name"],
        "interface": "v1, where nothing else is said",
        "pyACL": "the vendor's module" if pyacl else "the stand-in of its shape",
        "ascend_venc": ascend_venc.__version__,
        "machine": platform.machine(),
        "cpu": cpu.group(1) if cpu else "unknown",
        "cores": len(os.sched_getaffinity(0)),
        "load_before": f"{os.getloadavg()[0]:.2f}",  # of other programs: figures of a busy machine scatter
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "compiler": compiler.group().decode() if compiler else "unknown",
    }


# ---- goals -------------------------------------------------------------------------------------------------------


def _each(text):
    """The texts that one with alternatives stands for: "{a|b} c" for "a c" and "b c"."""
    parts = [part.split("|") for part in re.split("[{}]", text)]
    return ["".join(chosen) for chosen in itertools.product(*parts)]


def goals(groups=None):
    """The goals of these groups, or all: group, figure, peer, goal ("≤ 1.2"), unit, what the number means, and the
    section of profiles.md that says why it is missed where it is. One of goals.json holds for all its alternatives."""
    return [
        {**each, "figure": figure, "peer": peer}
        for each in json.loads(GOALS.read_text())
        if groups is None or each["group"] in groups
        for figure, peer in itertools.product(_each(each["figure"]), _each(each["peer"]))
    ]


def row_of(goal, groups):
    """The row that a goal is about, or None."""
    same = ("figure", "peer", "unit")
    rows = groups.get(goal["group"], ())
    return next((row for row in rows if all(row[name] == goal[name] for name in same)), None)


def not_measured(groups):
    """The goals of the measured groups whose figure is not among the rows."""
    return [goal for goal in goals(groups) if row_of(goal, groups) is None]


def reached(goal, median):
    """Whether a median keeps to a goal."""
    found = re.fullmatch(r"(≤|<=|≥|>=)\s*([\d.,]+)", goal)
    if found is None:
        raise ValueError(f"goal is {goal!r}; it must be ≤ or ≥ and a number")
    limit = float(found.group(2).replace(",", ""))
    return median <= limit if found.group(1) in ("≤", "<=") else median >= limit


def judged(groups):
    """[(goal, row or None, "reached", "**missed**" or "**not measured**")]."""
    found = []
    for goal in goals(groups):
        row = row_of(goal, groups)
        kept = row is not None and reached(goal["goal"], row["median"])
        verdict = "**not measured**" if row is None else "reached" if kept else "**missed**"
        found.append((goal, row, verdict))
    return found


# ---- rendering ---------------------------------------------------------------------------------------------------


def number(value):
    """Three significant digits; whole above a thousand."""
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"


def table(rows, columns):
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for cells in rows:
        lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |")
    return lines


SPREAD = "quartiles (lowest to highest)"


def cells(row):
    """Peer, median, spread, runs, note."""
    spread = f"{number(row['low'])} to {number(row['high'])}"
    if row["runs"] > 3:
        spread = f"{number(row['lower'])} to {number(row['upper'])} ({spread})"
    median = f"{number(row['median'])} {row['unit']}".rstrip()
    return row["peer"], median, spread, row["runs"], row.get("note", "")


def render(results):
    """The report as Markdown."""
    about, found = results["facts"], judged(results["groups"])
    lines = ["# Benchmarks", "", "Written by `bash scripts/bench.sh`; `results.json` holds the same.", ""]
    lines += [f"**{about['device'][0].upper()}{about['device'][1:]}.** Compare ratios within this run only.", ""]
    lines += ["[profiles.md](profiles.md): why goals are missed, and profiles with what was changed after them."]
    if results["quick"]:
        lines += ["", "**A quick run: too short to be quoted.**"]
    lines += ["", *table([(key.replace("_", " "), value) for key, value in about.items()], ("", "")), ""]
    lines += ["## Goals", "", f"{sum(each[2] == 'reached' for each in found)} of {len(found)} reached.", ""]
    body = []
    for goal, row, verdict in found:
        median, spread = cells(row)[1:3] if row else ("", "")
        why = f", [why](profiles.md#{goal['why']})" if verdict == "**missed**" else ""
        place = goal["group"], goal["figure"], goal["peer"]
        body.append((*place, median, spread, goal["goal"], verdict + why, goal["means"]))
    lines += table(body, ("group", "figure", "peer", "median", SPREAD, "goal", "", "what it means"))
    for name, rows in results["groups"].items():
        lines += ["", f"## {name.capitalize()}", ""]
        if panels(rows):
            lines += [f"![{name}]({name}.svg)", ""]
        figures = [row["figure"] for row in rows]
        shown = ["" if figure == last else figure for figure, last in zip(figures, ["", *figures])]
        body = [(figure, *cells(row)) for figure, row in zip(shown, rows)]
        lines += table(body, ("figure", "peer", "median", SPREAD, "runs", ""))
    return "\n".join(lines) + "\n"


def panels(rows):
    """[(figure, rows)] of the figures that have several peers to be compared."""
    by_figure = {}
    for row in rows:
        by_figure.setdefault((row["figure"], row["unit"]), []).append(row)
    return [(key[0], found) for key, found in by_figure.items() if len(found) > 1]


def color_of(peer):
    if peer.startswith(("Encoder", "acquire", "ascend_venc", "ours")):
        return drawing.BLUE
    return drawing.GREY if peer.startswith(("C ", "device")) else drawing.ORANGE


def plot(rows):
    """Bars of the medians with a line from the lowest to the highest, a panel for each figure, as SVG."""
    found = panels(rows)
    lines = [len(peers) + 1.6 for _, peers in found]
    drawn, axes = drawing.new_figure(10, 0.28 * sum(lines) + 0.6, len(found), lines)
    drawn.suptitle(
        f"{DEVICE}. Blue: ascend_venc; orange: others; grey: C, the least that it can cost",
        x=0.01,
        ha="left",
        fontsize=10,
    )
    for axis, (title, peers) in zip(axes, found):
        medians = [row["median"] for row in peers]
        spread = [[row["median"] - row["low"] for row in peers], [row["high"] - row["median"] for row in peers]]
        colors = [color_of(row["peer"]) for row in peers]
        axis.barh(range(len(peers)), medians, 0.7, color=colors, xerr=spread, ecolor=drawing.BLACK)
        axis.set_yticks(range(len(peers)), [row["peer"] for row in peers])
        axis.set_ylim(len(peers) - 0.4, -0.6)
        axis.set_xlim(0, max(row["high"] for row in peers) * 1.18 or 1)
        axis.grid(False, axis="y")
        axis.locator_params(axis="x", nbins=4)
        axis.tick_params(labelsize=9)
        axis.tick_params(axis="y", left=False)
        axis.set_title(f"{title}, {peers[0]['unit']}".rstrip(" ,"), loc="left", fontsize=10, fontweight="bold")
        for place, row in enumerate(peers):
            axis.annotate(
                number(row["median"]), (row["high"], place), (4, 0), textcoords="offset points", va="center", fontsize=9
            )
    svg = io.BytesIO()
    drawing.save(drawn, svg, "svg")
    return svg.getvalue().decode()


def write(results, folder):
    """Write results.json, README.md and a plot for each group that compares something."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    (folder / "README.md").write_text(render(results))
    for stale in folder.glob("*.svg"):
        stale.unlink()
    for name, rows in results["groups"].items():
        if panels(rows):
            (folder / f"{name}.svg").write_text(plot(rows))
