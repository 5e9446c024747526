# SPDX-License-Identifier: Apache-2.0
"""docs/troubleshooting.md quotes what the program says. Here it is made to say it."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ascend_venc as venc
from ascend_venc import errors
from helpers import processes

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
CODES = "A code of the vendor's"
pytestmark = pytest.mark.sim_only


def rows():
    """(section, [cells]) of each row of the page's tables but their heads."""
    for section, body in re.findall(r"^## (.*)\n((?:(?!## ).*\n?)*)", PAGE, re.M):
        for line in re.findall(r"^\|((?!-).*)\|$", body, re.M)[1:]:
            yield section, [cell.strip() for cell in line.split("|")]


def quotes(cell):
    """Groups of the texts between backticks, those of one group joined by an ellipsis."""
    return [re.findall(r"`([^`]+)`", group) for group in re.split(r"(?<=`)[,:] (?=`)|, or ", cell) if "`" in group]


@pytest.fixture(scope="module")
def messages(tmp_path_factory):
    """All that is said to the mistakes of tests/helpers/mistakes.py."""
    env = processes.environment()
    env = {name: value for name, value in env.items() if not name.startswith("ASCEND_")}
    env["PYTHONPATH"] += f":{ROOT / 'tests'}"
    done = subprocess.run(
        [sys.executable, "-m", "helpers.mistakes"],
        cwd=tmp_path_factory.mktemp("films"),
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def constants_of(*paths):
    """Texts in the source, those with values in them with an ellipsis in their place."""
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
            elif isinstance(node, ast.JoinedStr):
                yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)


@pytest.fixture(scope="module")
def of_hosts():
    """What the package can say of hosts that are not this one."""
    package = ROOT / "ascend_venc"
    return list(constants_of(package / "device_search.py", *sorted((package / "doctor").glob("*.py"))))


def is_said(pieces, texts):
    pattern = re.compile(".*?".join(map(re.escape, pieces)), re.S)
    return any(pattern.search(text) for text in texts)


def test_first_columns_quote_what_is_said(messages, of_hosts):
    seen = 0
    for section, cells in rows():
        if section == CODES or cells[0].startswith("doctor: "):
            continue
        for pieces in quotes(cells[0]):
            texts = of_hosts if section == "It does not come up" else []
            assert is_said(pieces, [*messages, *texts]), (pieces, cells[0])
            seen += 1
    assert seen > 20
    assert not is_said(["frame has shape", "no such words"], messages)


def test_findings_of_the_doctor_exist_with_their_fixes(of_hosts):
    seen = 0
    for _, cells in rows():
        if not cells[0].startswith("doctor: "):
            continue
        for (name,) in quotes(cells[0]):
            assert name in of_hosts
            seen += 1
        for pieces in quotes(cells[2]):
            if " " in pieces[0] and not pieces[0].startswith("ls "):
                assert is_said(pieces, of_hosts), pieces
    assert seen > 10


def test_codes_are_explained_as_the_program_explains_them():
    seen = []
    for section, cells in rows():
        if section == CODES:
            number, name = re.fullmatch(r"(\w+) `(\w+)`", cells[0]).groups()
            row = errors.lookup(int(number, 0))
            assert (row.name, row.hint) == (name, cells[1])
            seen.append(row.code)
    assert {507018, 107012, 107002, 100000, 507012, 207005} <= set(seen) and len(seen) == len(set(seen))
    for number in re.findall(r"\b(?:[125]\d{5}|0xA0\w{6})\b", PAGE):
        assert not errors.lookup(int(number, 0)).name.startswith("unlisted"), number


def test_hint_about_contexts_comes_with_the_code(messages):
    assert is_said(["107002", errors.lookup(107002).hint], messages)


def test_exceptions_counters_and_reports_that_the_page_names_exist():
    for name in re.findall(r"\b[A-Z]\w+(?:Error|Warning)\b", PAGE):
        assert hasattr(errors, name), name
    counters = set(re.findall(r"`enc\.stats\.(\w+)`", PAGE))
    assert counters and counters <= set(venc.EncoderStats.__dataclass_fields__)
    strict = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", PAGE))
    sources = "".join(path.read_text() for path in (ROOT / "csrc" / "sim").glob("*.c"))
    assert len(strict) >= 8 and [name for name in sorted(strict) if f'"{name}"' not in sources] == []
