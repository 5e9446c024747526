#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Do the tests bite? Plant faults one at a time in a copy of the sources, build, and run the tests that guard them.

    .venv/bin/python scripts/mutate.py                   # all of scripts/planted_faults.txt; an hour and more
    .venv/bin/python scripts/mutate.py --only send.c     # those whose name or file has this text
    .venv/bin/python scripts/mutate.py --check           # whether each still applies; builds nothing
    .venv/bin/python scripts/mutate.py --write           # and put the table into docs/reliability.md
    .venv/bin/python scripts/mutate.py --left --write    # those that the table there has not, or that survived

Ends with 1 where less than 95 % are found, where a fault no longer applies or does not compile, and where the tests
fail without any fault. The copy is build/mutate; what a fault does not touch is not compiled again. --write puts each
result into the table as it comes and leaves the other rows alone, so that the table can be made in pieces.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import fcntl
import os
import platform
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "scripts" / "planted_faults.txt"
PAGE = ROOT / "docs" / "reliability.md"
COPY = ROOT / "build" / "mutate"
LOG = COPY / "tests.log"  # of the last run of tests
FOLDERS = ("csrc", "ascend_venc", "scripts", "tests", "docs", "examples", "benchmarks")
FILES = (
    "setup.py",
    "pyproject.toml",
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "LICENSE",
    "MANIFEST.in",
)
BOUND = 240  # seconds for the tests that guard one fault
REQUIRED = 95  # per cent that have to be found
BEGIN, END = "<!-- planted faults: scripts/mutate.py --write -->", "<!-- end of planted faults -->"

# setup.py with two changes: an object that is newer than its source and all headers is kept, and where only C has
# changed ("c"), the Cython modules, which link to it, are left alone.
BUILD = """
import os, runpy, sys
from setuptools._distutils import unixccompiler
compiler = getattr(unixccompiler, "UnixCCompiler", None) or unixccompiler.Compiler
compile_one = compiler._compile
headers = [os.path.join(folder, name) for top in ("csrc", "build/generated") for folder, _, names in os.walk(top)
           for name in names if name.endswith(".h")]

def compile_if_older(self, obj, src, *rest):
    newest = max(map(os.path.getmtime, [src, *headers]))
    if not os.path.exists(obj) or os.path.getmtime(obj) <= newest:
        compile_one(self, obj, src, *rest)

compiler._compile = compile_if_older
if sys.argv[1:] == ["c"]:
    import Cython.Build
    Cython.Build.cythonize = lambda modules, **options: []
sys.argv = ["setup.py", "-q", "build_ext", "--inplace"]
runpy.run_path("setup.py", run_name="__main__")
"""


class Fault(NamedTuple):
    name: str
    file: str  # below the root
    old: str
    new: str
    guards: tuple[str, ...]  # pytest's arguments, a run each, with files below tests/


class Stale(Exception):
    """A fault that no longer applies."""


def read(text: str) -> list[Fault]:
    """Read the faults. `[name]`, `file path`, `guard pytest's arguments`, then lines "- old" and "+ new"."""
    faults = []
    for block in re.split(r"^(?=\[)", text, flags=re.M)[1:]:
        name, file, guards, old, new = "", "", [], [], []
        for line in block.splitlines():
            if line.startswith("["):
                name = line[1 : line.rindex("]")]
            elif line.startswith("file "):
                file = line[5:].strip()
            elif line.startswith("guard "):
                guards.append(line[6:].strip())
            elif line[:1] in ("-", "+"):
                (old if line[0] == "-" else new).append(line[2:])
            elif line and not line.startswith("#"):
                raise ValueError(f"{name}: what is this line? {line}")
        if not (name and file and guards and old):
            raise ValueError(f"{name or block[:40]}: name, file, guard and old text are needed")
        faults.append(Fault(name, file, "\n".join(old), "\n".join(new), tuple(guards)))
    return faults


def planted(fault: Fault, text: str) -> str:
    """Return the file's text with the fault. Raises Stale where the old text is not there exactly once."""
    count = text.count(fault.old)
    if count != 1 or fault.new == fault.old:
        raise Stale(f"{fault.name}: {fault.file} has its text {count} times: {fault.old!r}")
    return text.replace(fault.old, fault.new)


def problems(faults: list[Fault], root: Path = ROOT) -> list[str]:
    """What is wrong with the faults themselves, as they apply to a tree."""
    found = []
    names = [fault.name for fault in faults]
    found += [f"{name}: this name is there twice" for name in {name for name in names if names.count(name) > 1}]
    for fault in faults:
        try:
            planted(fault, (root / fault.file).read_text())
        except (Stale, OSError) as error:
            found.append(str(error))
        for guard in fault.guards:
            file = root / "tests" / shlex.split(guard)[0].partition("::")[0]
            if not file.is_file():
                found.append(f"{fault.name}: there is no {file}")
    return found


# ---- the copy --------------------------------------------------------------------------------------------------------


def wanted(path: Path) -> bool:
    return path.suffix not in (".so", ".pyc", ".o") and "__pycache__" not in path.parts


def copy_tree() -> None:
    """Make the copy like the tree; what is the same keeps its time, so that it is not compiled again."""
    here = {Path(name) for name in FILES if (ROOT / name).is_file()}
    for folder in FOLDERS:
        here |= {path.relative_to(ROOT) for path in (ROOT / folder).rglob("*") if path.is_file() and wanted(path)}
    for path in here:
        target, data = COPY / path, (ROOT / path).read_bytes()
        if not target.is_file() or target.read_bytes() != data:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
    for folder in FOLDERS:
        generated = COPY / "ascend_venc" / "_lowlevel" / "pyacl"
        for path in (COPY / folder).rglob("*"):
            if path.is_file() and wanted(path) and path.relative_to(COPY) not in here and path.parent != generated:
                path.unlink()


def build(changed: str = ".pyx") -> str:
    """Bring the copy up to date, of which this has changed; the compiler's words where it does not."""
    if changed.endswith(".py"):
        return ""
    env = dict(os.environ, AVENC_DEBUG="1")
    command = [sys.executable, "-c", BUILD, *(["c"] if changed.endswith(".c") else [])]
    done = subprocess.run(command, cwd=COPY, env=env, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else (done.stdout + done.stderr)[-2000:]


# ---- the tests -------------------------------------------------------------------------------------------------------


def run(guard: str, first: bool) -> str:
    """Run a guard in the copy. "" if all passed, else what did not, in a few words."""
    file, *more = shlex.split(guard)
    command = [sys.executable, "-X", "faulthandler", "-m", "pytest", "-v", "-p", "no:cacheprovider", "-m", "not soak"]
    command += ["--no-header", *(["-x"] if first else []), f"tests/{file}", *more]
    # In a group of its own, which ends with it: a fault may leave processes that hang.
    process = subprocess.Popen(
        command, cwd=COPY, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", start_new_session=True,
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=BOUND)
        ended = True
    except subprocess.TimeoutExpired:
        ended = False
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if not ended:
        output, _ = process.communicate()
    LOG.write_text(output)
    began = re.findall(r"^(tests/\S+::\S+)", output, flags=re.M)
    failed = re.findall(r"^(?:FAILED|ERROR) (tests/\S+)", output, flags=re.M)
    if not ended:
        return f"{short(began[-1]) if began else file} did not end"
    if process.returncode == 0:
        return ""
    if failed:
        return short(failed[0])
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        return f"{short(began[-1]) if began else file}: {name}"
    if process.returncode in (4, 5):
        raise SystemExit(f"mutate: {guard}: pytest ran nothing\n{output[-2000:]}")
    return f"{short(began[-1]) if began else file}: pytest ended with {process.returncode}"


def short(test: str) -> str:
    return test.removeprefix("tests/") if hasattr(test, "removeprefix") else test[len("tests/") :]


def found_by(fault: Fault) -> str:
    for guard in fault.guards:
        found = run(guard, True)
        if found:
            return found
    return ""


# ---- the table -------------------------------------------------------------------------------------------------------


def machine() -> str:
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), flags=re.M)
    name = model.group(1) if model else platform.machine()
    return f"{name}, {os.cpu_count()} processors, Python {platform.python_version()}"


def rows(text: str) -> dict[str, tuple[str, str]]:
    """Read the table: which test found a fault ("" where it survived), and on which date, by the fault's name."""
    found = re.findall(r"^\| [^|]* \| ([^|]*) \| (?:`(.*)`|\*\*SURVIVED\*\*) \| ([^|]*) \|$", text, flags=re.M)
    return {name: (test, day) for name, test, day in found}


def table(faults: list[Fault], results: dict[str, tuple[str, str]]) -> str:
    """Write the table of what the list has; rows of faults that are not in it any more go."""
    run = [fault for fault in faults if fault.name in results]
    found = sum(bool(results[fault.name][0]) for fault in run)
    lines = [
        f"{found} of {len(run)} planted faults are found ({100 * found / max(1, len(run)):.1f} %), {machine()}: "
        "`python scripts/mutate.py`.",
        *([f"Not run: {len(faults) - len(run)} more of the list."] if len(run) < len(faults) else []),
        "",
        "| file | planted | found by | run on |",
        "|---|---|---|---|",
    ]
    for fault in run:
        test, day = results[fault.name]
        lines.append(f"| {fault.file} | {fault.name} | {f'`{test}`' if test else '**SURVIVED**'} | {day} |")
    return "\n".join(lines)


def on_the_page() -> str:
    page = PAGE.read_text()
    return page[page.index(BEGIN) + len(BEGIN) : page.index(END)]


def write(results: dict[str, tuple[str, str]]) -> None:
    """Put results into the page's table; parts that run beside each other take turns."""
    with DATA.open() as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        old = on_the_page()
        text = table(read(DATA.read_text()), {**rows(old), **results})
        whole = PAGE.with_suffix(".new")  # whoever reads the page meanwhile finds all of it
        whole.write_text(PAGE.read_text().replace(old, f"\n\n{text}\n\n"))
        whole.replace(PAGE)


# ---- all of it -------------------------------------------------------------------------------------------------------


def run_one(fault: Fault) -> tuple[str, float]:
    """Plant, build, test, take out."""
    path = COPY / fault.file
    before = path.read_text()
    begin = time.monotonic()
    path.write_text(planted(fault, before))
    try:
        said = build(fault.file)
        if said:
            raise Stale(f"{fault.name}: it does not compile\n{said}")
        return found_by(fault), time.monotonic() - begin
    finally:
        path.write_text(before)  # the next build takes it out


def main() -> int:
    global COPY, LOG
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", action="append", metavar="TEXT", help="faults whose name or file has this text")
    parser.add_argument("--left", action="store_true", help="faults that the page's table has not, or that survived")
    parser.add_argument("--check", action="store_true", help="look whether each still applies, and end")
    parser.add_argument(
        "--part", default="1/1", metavar="K/N", help="each N-th fault from the K-th on, in a copy of its own"
    )
    parser.add_argument("--no-baseline", action="store_true", help="do not run the tests without a fault first")
    parser.add_argument("--write", action="store_true", help="put the table into docs/reliability.md")
    args = parser.parse_args()
    faults = read(DATA.read_text())
    wrong = problems(faults)
    if wrong:
        print("\n".join(wrong), file=sys.stderr)
        return 1
    if args.check:
        print(f"{len(faults)} planted faults apply")
        return 0
    part, parts = map(int, args.part.split("/"))
    every = faults
    if args.only:
        faults = [fault for fault in faults if any(text in f"{fault.name} {fault.file}" for text in args.only)]
    if args.left:
        known = rows(on_the_page())
        faults = [fault for fault in faults if not known.get(fault.name, ("",))[0]]
    # Those that are built in no time first; a kind is built whole before the next one's.
    faults.sort(key=lambda fault: ([".py", ".c", ".pyx"].index(Path(fault.file).suffix), fault.file))
    faults = faults[part - 1 :: parts]
    if parts > 1:
        COPY, LOG = COPY.with_name(f"mutate-{part}"), COPY.with_name(f"mutate-{part}") / "tests.log"
    copy_tree()
    said = build()
    if said:
        print(said, file=sys.stderr)
        return 1
    if not args.no_baseline:
        for guard in sorted({guard for fault in faults for guard in fault.guards}):
            failed = run(guard, True)
            if failed:
                print(f"{LOG.read_text()[-6000:]}\nmutate: without any fault: {failed} ({guard})", file=sys.stderr)
                return 1
    results: dict[str, tuple[str, str]] = {}
    stale, built = 0, ""
    for fault in faults:
        if Path(fault.file).suffix != Path(built).suffix and built:
            build(built)  # without the last one of its kind
        built = fault.file
        try:
            found, seconds = run_one(fault)
        except Stale as error:
            print(error, file=sys.stderr)
            stale += 1
            continue
        results[fault.name] = (found, datetime.date.today().isoformat())
        if args.write:
            write({fault.name: results[fault.name]})
        print(f"{seconds:6.1f} s  {fault.file}: {fault.name}: {found or 'SURVIVED'}", flush=True)
    said = build()  # without the last one
    print(table([fault for fault in every if fault.name in results], results))
    enough = 100 * sum(bool(test) for test, _ in results.values()) >= REQUIRED * len(results)
    return 0 if enough and not stale and not said else 1


if __name__ == "__main__":
    sys.exit(main())
