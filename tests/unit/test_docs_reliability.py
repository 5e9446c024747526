# SPDX-License-Identifier: Apache-2.0
"""docs/reliability.md: each test that it names is there. Read from the sources: no build is needed."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reliability.md"


@pytest.fixture(autouse=True)
def no_live_objects_left():
    """In place of the suite's fixture: these tests make no native objects and run without a build."""


def named_tests(row):
    """(file below tests, function) of each `file.py::test` in a row; `::test` alone is of the file before."""
    file, found = None, []
    for path, function in re.findall(r"`([\w/]+\.py)?::(\w+)`", row):
        file = path or file
        found.append((file, function))
    return found


def rows(text):
    """{item: its row} of the table of promises."""
    return dict(re.findall(r"^\| (R\d+) (\|.*)$", text, flags=re.M))


def missing(text):
    """The tests that a page names and that are not there."""
    functions, absent = {}, []
    for row in rows(text).values():
        for file, function in named_tests(row):
            path = ROOT / "tests" / str(file)
            if file not in functions:
                tree = ast.parse(path.read_text()) if path.is_file() else ast.Module([], [])
                functions[file] = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
            if function not in functions[file]:
                absent.append(f"{file}::{function}")
    return absent


def test_every_item_has_tests_and_they_exist():
    found = rows(PAGE.read_text())
    assert list(found) == [f"R{number}" for number in range(1, 23)]
    assert [item for item, row in found.items() if not named_tests(row)] == []
    assert missing(PAGE.read_text()) == []


def test_the_check_above_can_fail():
    page = PAGE.read_text()
    assert missing(page.replace("::test_encoder_cannot_be_copied", "::test_encoder_cannot_be_duplicated")) != []
    assert missing(page.replace("unit/test_loader.py", "unit/test_loaders.py")) != []
