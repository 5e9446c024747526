# SPDX-License-Identifier: Apache-2.0
"""Run all groups of benchmarks, write JSON, and render it as tables and bar plots: `bash scripts/bench.sh`.

A group is a function (quick) -> rows; a row has figure, peer, median, low, high, unit and goal ("≤ 1.2", "≥ 29.5" or
None). Modules that have groups list them in GROUPS.
"""

import argparse
import importlib
import importlib.util
import json
import os
import platform
import re
import sys
import sysconfig
import time
from pathlib import Path
from xml.sax.saxutils import escape

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
DOCS = ROOT / "docs" / "benchmarks"
MODULES = ("run", "scaling", "compare_convert", "startup")
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


def facts(paths):
    """The machine and the build, as the report quotes them."""
    import ascend_venc
    from ascend_venc._lowlevel import core

    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    engine = next(path for path in paths if path.name == "libavenc.so")
    compiler = re.search(rb"(?:GCC: |clang version )[^\0]+", engine.read_bytes())
    return {
        "device": DEVICE,
        "chip": core.describe("sim")["soc_name"],
        "ascend_venc": ascend_venc.__version__,
        "machine": platform.machine(),
        "cpu": cpu.group(1) if cpu else "unknown",
        "cores": len(os.sched_getaffinity(0)),
        "load_before": f"{os.getloadavg()[0]:.2f}",  # of other programs: figures of a busy machine scatter
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "compiler": compiler.group().decode() if compiler else "unknown",
        "flags": " ".join(build_flags()),
    }


def build_flags():
    """The flags that setup.py compiles the engine with: its own come after those of this Python, and win."""
    source = (ROOT / "setup.py").read_text()
    constants = source[source.index("OPTIMISE =") : source.index("class SharedLibrary")]
    names = {"os": os}
    exec(constants, names)
    return [*(sysconfig.get_config_var("CFLAGS") or "").split(), *names["C_FLAGS"]]


def groups():
    """{name: function} of the modules that are there."""
    found = {}
    for name in MODULES:
        if importlib.util.find_spec(name) is not None:
            found.update(importlib.import_module(name).GROUPS)
    return found


# ---- goals -------------------------------------------------------------------------------------------------------


def reached(row):
    """Whether the median keeps to the row's goal; None where there is none."""
    if not row["goal"]:
        return None
    goal = re.match(r"(≤|<=|≥|>=)\s*\+?([\d.,]+)", row["goal"])
    if goal is None:
        raise ValueError(f"goal is {row['goal']!r}; it must begin with ≤ or ≥ and a number")
    limit = float(goal.group(2).replace(",", ""))
    return row["median"] <= limit if goal.group(1) in ("≤", "<=") else row["median"] >= limit


def verdict(row):
    return {None: "", True: "reached", False: "**missed**"}[reached(row)]


# ---- rendering ---------------------------------------------------------------------------------------------------


def number(value):
    """Three significant digits; whole above a thousand."""
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"


def with_unit(text, unit):
    return f"{text} {unit}".rstrip()


def table(rows, columns):
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for cells in rows:
        lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |")
    return lines


def cells(row, figure):
    spread = f"{number(row['low'])} to {number(row['high'])}"
    return (figure, row["peer"], with_unit(number(row["median"]), row["unit"]), spread, row["goal"] or "", verdict(row))


def render(results):
    """The report as Markdown."""
    about = results["facts"]
    lines = ["# Benchmarks", "", "Written by `bash scripts/bench.sh`; `results.json` holds the same.", ""]
    lines += [f"**{about['device'][0].upper()}{about['device'][1:]}.** Compare ratios within this run only."]
    lines += [
        "",
        "[profiles.md](profiles.md): why goals are missed, and profiles with what was changed after them.",
    ]
    if results["quick"]:
        lines += ["", "**A quick run: too short to be quoted.**"]
    lines += ["", *table([(key.replace("_", " "), value) for key, value in about.items()], ("", "")), ""]
    wanted = [row for rows in results["groups"].values() for row in rows if row["goal"]]
    missed = sum(reached(row) is False for row in wanted)
    columns = ("figure", "peer", "median", "lowest to highest", "goal", "")
    lines += ["## Goals", "", f"{len(wanted) - missed} of {len(wanted)} reached.", ""]
    lines += table([cells(row, row["figure"]) for row in wanted], columns)
    for name, rows in results["groups"].items():
        lines += ["", f"## {name.capitalize()}", ""]
        if panels(rows):
            lines += [f"![{name}]({name}.svg)", ""]
        last = None
        body = []
        for row in rows:
            body.append(cells(row, "" if row["figure"] == last else row["figure"]))
            last = row["figure"]
        lines += table(body, columns)
    return "\n".join(lines) + "\n"


def panels(rows):
    """[(figure, rows)] of the figures that have several peers to be compared."""
    by_figure = {}
    for row in rows:
        by_figure.setdefault((row["figure"], row["unit"]), []).append(row)
    return [(key[0], found) for key, found in by_figure.items() if len(found) > 1]


WIDTH, LABEL, BAR, ROW, TITLE = 760, 250, 380, 20, 30  # pixels


def plot(rows):
    """Horizontal bars of the medians with a line from the lowest to the highest, one panel for each figure, as SVG."""
    shapes = []
    top = 8
    for figure, found in panels(rows):
        shapes.append(text(10, top + 18, figure, 'font-weight="bold"'))
        top += TITLE
        scale = BAR / (max(row["high"] for row in found) or 1)
        for row in found:
            middle = top + ROW / 2
            color = "#888888" if row["peer"].startswith("C ") else "#2f6fab"
            shapes.append(text(LABEL - 8, middle + 4, row["peer"], 'text-anchor="end"'))
            length = max(row["median"] * scale, 1)
            shapes.append(f'<rect x="{LABEL}" y="{top + 3}" width="{length:.1f}" height="{ROW - 6}" fill="{color}"/>')
            low, high = LABEL + row["low"] * scale, LABEL + row["high"] * scale
            shapes.append(f'<path d="M{low:.1f} {middle}H{high:.1f}" stroke="#222222"/>')
            value = with_unit(number(row["median"]), row["unit"])
            shapes.append(text(max(high, LABEL + length) + 6, middle + 4, value))
            top += ROW
        top += 10
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" font-family="sans-serif" '
            'font-size="12">',
            f'<rect width="{WIDTH}" height="{top}" fill="#ffffff"/>',
            *shapes,
            "</svg>\n",
        ]
    )


def text(x, y, content, more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="#222222" {more}>{escape(content)}</text>'


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


# ---- the command -------------------------------------------------------------------------------------------------


def main(argv=None):
    known = groups()
    parser = argparse.ArgumentParser(prog="bench.sh", description="Measure the binding on the simulated device.")
    parser.add_argument("--quick", action="store_true", help="everything once and short")
    parser.add_argument("--group", action="append", choices=sorted(known), help="only this one (may be repeated)")
    parser.add_argument("--pyacl", action="store_true", help="also Huawei's own module acl, on the simulated device")
    parser.add_argument(
        "--out", type=Path, help="where to write (default: docs/benchmarks; build/benchmarks for a part)"
    )
    parser.add_argument("--render", action="store_true", help="measure nothing: render the folder's results.json anew")
    args = parser.parse_args(argv)
    folder = args.out or (DOCS if not args.quick and not args.group else ROOT / "build" / "benchmarks")
    if args.render:
        write(json.loads((folder / "results.json").read_text()), folder)
        return 0
    paths = libraries()
    try:
        refuse(paths, bool(sysconfig.get_config_var("Py_DEBUG")) or hasattr(sys, "gettotalrefcount"))
    except RefusedError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    if args.pyacl:
        importlib.import_module("run").EXTRA.append("pyacl")
    results = {"facts": facts(paths), "quick": args.quick, "groups": {}}
    begin = time.monotonic()
    failures = {}
    for name in args.group or known:
        print(f"bench: {name} ({time.monotonic() - begin:.0f} s so far)", file=sys.stderr, flush=True)
        try:
            results["groups"][name] = known[name](args.quick)
        except Exception as error:  # the other groups are not lost
            print(f"bench: {name} failed: {error}", file=sys.stderr, flush=True)
            failures[name] = error
    if failures and folder == DOCS:
        folder = ROOT / "build" / "benchmarks"  # an incomplete report replaces no complete one
    write(results, folder)
    for rows in results["groups"].values():
        for row in rows:
            print("  ".join(filter(None, (row["figure"], row["peer"], *cells(row, "")[2:]))))
    print(f"bench: {time.monotonic() - begin:.0f} s; {folder / 'README.md'}", file=sys.stderr)
    for name, error in failures.items():
        print(f"bench: {name} FAILED: {error}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
