# SPDX-License-Identifier: Apache-2.0
"""docs/conformance.md: every statement has a test that names it, and the table is what the generator writes."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ascend_venc._lowlevel import core
from helpers import processes, statements

pytestmark = [pytest.mark.project, pytest.mark.timeout(660)]


def test_every_statement_has_its_test_and_the_table_is_up_to_date():
    assert statements.problems() == []
    assert len(statements.load()) > 110


def test_generator_checks_without_writing():
    before = statements.DOCUMENT.stat().st_mtime_ns
    done = subprocess.run([sys.executable, statements.__file__, "--check"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "every statement has its test\n")
    assert statements.DOCUMENT.stat().st_mtime_ns == before


def test_markers_that_pytest_collects_are_those_that_the_table_reads(request):
    """The table is read from the sources; a marker on a class or by another name would be left out of it."""
    seen = {
        (item.path.relative_to(statements.ROOT / "tests").as_posix(), item.originalname)
        for item in request.session.items
        if item.get_closest_marker("statement") is not None
    }
    assert seen <= {(file, test) for _, file, test, _ in statements.named_by_tests()}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            lambda rows: rows.append({"id": "3.12.99", "mark": "guessed", "text": "x"}),
            "no test names statement 3.12.99",
        ),
        (lambda rows: rows.pop(0), "no such statement: 3.1.1 in "),
        (lambda rows: rows[0].update(mark="sure"), "statement 3.1.1 has the mark 'sure'"),
        (lambda rows: rows[0].update(text="other words"), "is stale: run python"),
        (lambda rows: rows.insert(0, rows[5]), "a number twice or out of order"),
    ],
)
def test_problem_is_found(monkeypatch, tmp_path, change, problem):
    rows = json.loads(statements.STATEMENTS.read_text())
    change(rows)
    changed = tmp_path / "statements.json"
    changed.write_text(json.dumps(rows))
    monkeypatch.setattr(statements, "STATEMENTS", changed)
    assert any(problem in text for text in statements.problems()), statements.problems()


@pytest.mark.v1_only("it runs the statements about aclvenc*")
def test_tests_marked_as_fit_for_hardware_need_no_control_function(tmp_path):
    """The simulated device under the vendor's names, taken for a real one: the tests get AscendCL's functions only."""
    (tmp_path / "libascendcl.so").write_bytes(Path(core.simulated_device_path()).read_bytes())
    (tmp_path / "libacl_dvpp.so").symlink_to("libascendcl.so")
    files = sorted((statements.ROOT / "tests" / "conformance").glob("test_abi_*.py"))
    assert len(files) == 4
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--acl=real", "-p", "no:cacheprovider", *map(str, files)],
        cwd=statements.ROOT,
        env=processes.environment(
            ASCEND_VENC_BACKEND=tmp_path / "libascendcl.so",
            ASCEND_VENC_SIM_AVCODEC=core.find_codec() or "",
            ASCEND_VENC_SIM_OPTIONS="quiet=1",
        ),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    passed = int(re.search(r"(\d+) passed", done.stdout).group(1))
    assert passed >= 100
