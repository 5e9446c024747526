# SPDX-License-Identifier: Apache-2.0
"""What AscendCL's functions do, statement by statement, and the tests that prove it.

tests/conformance/statements.json lists the statements by number, tests name them with the marker `statement`.
`python tests/helpers/statements.py` writes docs/conformance.md from both, with --check it only compares.
"""

import ast
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STATEMENTS = ROOT / "tests" / "conformance" / "statements.json"
DOCUMENT = ROOT / "docs" / "conformance.md"
MARKS = ("documented", "observed", "guessed")

TITLES = {
    "3.1": "Preconditions",
    "3.2": "Channel descriptor defaults",
    "3.3": "Setters and getters of the channel descriptor",
    "3.4": "Getters and lifetime functions with NULL and fresh objects",
    "3.5": "Memory, runtime, errors",
    "3.6": "aclvencCreateChannel",
    "3.7": "aclvencSendFrame",
    "3.8": "The callback",
    "3.9": "End of stream, destroying",
    "3.10": "Reports",
    "3.11": "Ranges and defaults",
    "3.12": "Choices",
    "6.1": "DVPP V2: process and threads",
    "6.2": "DVPP V2: channels",
    "6.3": "DVPP V2: frames in",
    "6.4": "DVPP V2: packets out",
    "6.5": "DVPP V2: waiting",
    "6.6": "DVPP V2: changing while it runs",
}

INTRODUCTION = """\
# Conformance

<!-- Generated: python tests/helpers/statements.py -->

What the vendor's functions for video encoding do (sections 3 AscendCL's, sections 6 DVPP V2's), as the simulated device
does it, and the test that proves each statement. *documented*: in the vendor's documentation or its open sources.
*observed*: seen on hardware by somebody who wrote it down. *guessed*: ours; its test says what the simulated device
does, not what hardware does.

`pytest tests/conformance` proves all of them on the simulated device. `pytest tests/conformance --acl=real` runs the
tests of the column "real" on the AscendCL of the host; the others need a control function of the simulated device, use
handles that crash a real library, or test a guess.
"""


@dataclass
class Statement:
    number: str
    mark: str
    text: str
    tests: list = field(default_factory=list)  # (file, test, runs on hardware too)

    @property
    def key(self):
        return [int(part) for part in self.number.split(".")]

    @property
    def section(self):
        return self.number.rpartition(".")[0]


def load():
    """{number: Statement}, without tests."""
    rows = [Statement(row["id"], row["mark"], row["text"]) for row in json.loads(STATEMENTS.read_text())]
    return {row.number: row for row in rows}


def _name(decorator):
    """(name, arguments) of a decorator `pytest.mark.<name>(...)`; ("", []) of another."""
    called = isinstance(decorator, ast.Call)
    mark = decorator.func if called else decorator
    if not (isinstance(mark, ast.Attribute) and ast.unparse(mark.value) == "pytest.mark"):
        return "", []
    return mark.attr, [ast.literal_eval(argument) for argument in decorator.args] if mark.attr == "statement" else []


def named_by_tests(root=ROOT):
    """[(number, file, test, sim_only)] of all markers `statement` in the tests, in the order of the files."""
    found = []
    for path in sorted((root / "tests").glob("*/test_*.py")):
        tree = ast.parse(path.read_text())
        whole_file = any(
            isinstance(node, ast.Assign) and ast.unparse(node) == "pytestmark = pytest.mark.sim_only"
            for node in tree.body
        )
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                marks = [_name(decorator) for decorator in node.decorator_list]
                sim_only = whole_file or any(name == "sim_only" for name, _ in marks)
                for name, numbers in marks:
                    if name == "statement":
                        file = path.relative_to(root / "tests").as_posix()
                        found += [(number, file, node.name, sim_only) for number in numbers]
    return found


def collect():
    """(statements with their tests by number, numbers that tests name and nobody states)."""
    rows, unknown = load(), []
    marks = {}
    named = named_by_tests()
    for number, file, test, _ in named:
        marks.setdefault((file, test), set()).add(rows[number].mark if number in rows else "")
    for number, file, test, sim_only in named:
        if number not in rows:
            unknown.append(f"{number} in {file}: {test}")
        else:
            rows[number].tests.append((file, test, not sim_only and "guessed" not in marks[file, test]))
    return rows, unknown


def are_guessed(item):
    """Whether a collected test proves a statement that is a guess."""
    numbers = [number for marker in item.iter_markers("statement") for number in marker.args]
    return bool(numbers) and any(load()[number].mark == "guessed" for number in numbers)


def render():
    """The text of docs/conformance.md."""
    rows, _ = collect()
    ordered = sorted(rows.values(), key=lambda row: row.key)
    counts = ", ".join(f"{sum(row.mark == mark for row in ordered)} {mark}" for mark in MARKS)
    real = sum(any(on_hardware for _, _, on_hardware in row.tests) for row in ordered)
    lines = [
        INTRODUCTION,
        f"{len(ordered)} statements: {counts}. {real} of them have a test that runs on hardware too.",
    ]
    section = None
    for row in ordered:
        if row.section != section:
            section = row.section
            lines += [
                "",
                f"## {section} {TITLES[section]}",
                "",
                "| # | statement | mark | test | real |",
                "|---|---|---|---|---|",
            ]
        tests = "<br>".join(f"`{file}`: `{test}`" for file, test, _ in row.tests)
        on_hardware = "yes" if any(real for _, _, real in row.tests) else ""
        text = row.text.replace("|", "\\|")
        lines.append(f"| {row.number} | {text} | {row.mark} | {tests} | {on_hardware} |")
    return "\n".join(lines) + "\n"


def problems():
    """What is wrong with statements, markers and document, as texts."""
    rows, unknown = collect()
    found = [f"no such statement: {text}" for text in unknown]
    found += [f"no test names statement {row.number}: {row.text}" for row in rows.values() if not row.tests]
    found += [f"statement {row.number} has the mark {row.mark!r}" for row in rows.values() if row.mark not in MARKS]
    found += [f"statement {row.number} is in no section" for row in rows.values() if row.section not in TITLES]
    listed = [row["id"] for row in json.loads(STATEMENTS.read_text())]
    if listed != sorted(set(listed), key=lambda number: [int(part) for part in number.split(".")]):
        found.append(f"{STATEMENTS.name} has a number twice or out of order")
    if not found and (not DOCUMENT.exists() or DOCUMENT.read_text() != render()):
        found.append(f"{DOCUMENT.relative_to(ROOT)} is stale: run python tests/helpers/statements.py")
    return found


if __name__ == "__main__":
    if sys.argv[1:] != ["--check"]:
        DOCUMENT.write_text(render())
    found = problems()
    print("\n".join(found) or "every statement has its test")
    sys.exit(bool(found))
