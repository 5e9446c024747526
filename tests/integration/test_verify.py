# SPDX-License-Identifier: Apache-2.0
"""`ascend-venc verify`, on a small suite of its own: what runs, fails, crashes and hangs, and what the report tells."""

import json
import re
import shutil
import socket
from pathlib import Path

import pytest

from ascend_venc import cli
from ascend_venc.doctor import verification
from ascend_venc.doctor.recorder import VARIABLE
from ascend_venc.doctor.verification import without_names

pytestmark = pytest.mark.sim_only

ROOT = Path(__file__).resolve().parents[2]
CONFTEST = """
def pytest_addoption(parser):
    parser.addoption("--acl")
"""
PASSES = """
import pytest

@pytest.mark.statement("3.1.1")
@pytest.mark.statement("3.1.2")  # of which another one is wrong
@pytest.mark.parametrize("value", [1, 2])
def test_right(value, request):
    assert request.config.getoption("--acl") == "sim"

@pytest.mark.statement("3.1.2")
def test_wrong():
    assert open(__file__).name == "a pattern | of a table"

@pytest.mark.statement("3.1.3")
def test_left_out():
    pytest.skip("not here")
"""
CRASHES = """
import os, pytest

@pytest.mark.statement("3.2.1")
def test_before():
    pass

@pytest.mark.statement("3.2.2")
def test_crash():
    os.abort()

@pytest.mark.statement("3.2.3")
def test_behind():
    pass
"""
HANGS = """
import time, pytest

@pytest.mark.statement("3.2.4")
def test_hang():
    while True:
        time.sleep(1)
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    tests = folder / "tests"
    (tests / "conformance").mkdir(parents=True)
    (tests / "helpers").mkdir()
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = statement(number)\n")
    (tests / "conftest.py").write_text(CONFTEST)
    shutil.copy(ROOT / "tests" / "helpers" / "statements.py", tests / "helpers")
    numbers = ["3.1.1", "3.1.2", "3.1.3", "3.2.1", "3.2.2", "3.2.3", "3.2.4"]
    rows = [{"id": number, "mark": "documented", "text": f"statement {number}"} for number in numbers]
    (tests / "conformance" / "statements.json").write_text(json.dumps(rows))
    for name, text in (("a", PASSES), ("b", CRASHES), ("c", HANGS)):
        (tests / "conformance" / f"test_{name}.py").write_text(text)
    return tests


@pytest.fixture(scope="module")
def reported(tree, tmp_path_factory):
    """(exit code, JSON, Markdown) of a run over that suite; the hanging file is given up as soon as it hangs."""
    output = tmp_path_factory.mktemp("report")
    bounded = verification._bounded

    def quicker(command, timeout, **options):
        if not command[-1].endswith("test_c.py"):
            return bounded(command, timeout, **options)
        record = Path(options["env"][VARIABLE])
        for seconds in (2.0, 4.0, 8.0, 16.0, 32.0):  # until it is inside the test, however slow the machine is
            record.write_text("")
            found = bounded(command, seconds, **dict(options))
            if record.read_text():
                return found
        raise AssertionError("the test that hangs never began")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verification, "_bounded", quicker)
        code = cli.main(
            ["verify", "--backend", "sim", "--tests", str(tree), "-o", str(output), "--no-bench", "--timeout", "100"]
        )
    return (
        code,
        json.loads((output / "ascend-venc-report.json").read_text()),
        (output / "ascend-venc-report.md").read_text(),
    )


def test_each_test_is_counted_and_each_statement_has_its_result(reported):
    code, report, _ = reported
    assert code == 1
    told = report["conformance"]
    assert (told["passed"], told["failed"], told["skipped"]) == (3, 1, 1)
    assert {row["id"]: row["result"] for row in report["statements"]} == {
        "3.1.1": "passed",
        "3.1.2": "failed",
        "3.1.3": "not run",
        "3.2.1": "passed",
        "3.2.2": "failed",
        "3.2.3": "not run",
        "3.2.4": "failed",
    }
    (failure,) = told["failures"]
    assert failure["test"] == "test_a.py::test_wrong" and "a pattern" in failure["message"]


def test_a_crash_and_a_hang_are_lines_with_the_test_that_was_running(reported):
    _, report, text = reported
    crash, hang = report["conformance"]["ended_early"]
    assert (crash["file"], crash["end"], crash["how"]) == ("test_b.py", "crashed", "signal 6")
    assert crash["during"].endswith("test_b.py::test_crash")
    assert (hang["file"], hang["end"]) == ("test_c.py", "hung") and hang["during"].endswith("::test_hang")
    assert "test_b.py ended early (signal 6) in" in text


def test_the_report_says_that_it_was_simulated_and_names_no_host_user_or_path(reported, tree):
    _, report, text = reported
    assert report["simulated"] is True and report["chip"] == "Ascend310P3"
    assert "**Simulated: nothing here is about Ascend hardware.**" in text
    assert {(trial["interface"], trial["codec"]) for trial in report["trials"]} >= {("v1", "h264"), ("v1", "h265")}
    for written in (text, json.dumps(report)):
        assert str(tree) not in written and str(ROOT) not in written
        assert not re.search(rf"(?<!\w){re.escape(socket.gethostname())}(?!\w)", written)
        assert not re.search(r"(?<![\w.])/(?:home|root|tmp|usr)/", written)


def test_texts_lose_names_and_paths_and_keep_the_rest(monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "npu-17")
    told = without_names(
        {"a": ["open /usr/local/Ascend/cann/lib64/libascendcl.so on npu-17 failed", 3], "b": "I/P 3/4 25 /s"}
    )
    assert told == {"a": ["open libascendcl.so on ... failed", 3], "b": "I/P 3/4 25 /s"}


def test_without_the_tests_it_says_where_they_are(tmp_path, capsys):
    assert cli.main(["verify", "--tests", str(tmp_path)]) == 1
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "they come with the source" in line and "pip install '.[test]'" in line and "--tests tests" in line


def test_where_nothing_encodes_no_test_is_run(tree, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("ASCEND_VENC_SIM_DEVICES", "0")
    monkeypatch.setattr(verification, "_bounded", None)
    assert cli.main(["verify", "--backend", "sim", "--tests", str(tree), "-o", str(tmp_path)]) == 1
    assert "Run ascend-venc doctor --backend sim" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_suite_of_this_source_is_the_one_that_is_taken():
    assert verification.suite_folder(None) == ROOT / "tests"


def test_the_page_names_each_guess_once():
    rows = json.loads((ROOT / "tests" / "conformance" / "statements.json").read_text())
    guesses = {row["id"] for row in rows if row["mark"] == "guessed"}
    named = []
    for line in (ROOT / "docs" / "hardware.md").read_text().splitlines():
        first = line.split("|")[1] if line.startswith("| ") else ""
        named += re.findall(r"\b\d+\.\d+\.\d+\b", first)
    assert sorted(named) == sorted(set(named))
    assert set(named) == guesses
