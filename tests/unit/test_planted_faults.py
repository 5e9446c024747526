# SPDX-License-Identifier: Apache-2.0
"""scripts/planted_faults.txt: each fault still applies to the sources, so that the table of mutate.py cannot rot."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def no_live_objects_left():
    """In place of the suite's fixture: these tests make no native objects and run without a build."""


@pytest.fixture(scope="module")
def mutate():
    spec = importlib.util.spec_from_file_location("mutate", ROOT / "scripts" / "mutate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_planted_fault_applies(mutate):
    """Where this fails after a change of the code: move the fault along in scripts/planted_faults.txt."""
    faults = mutate.read(mutate.DATA.read_text())
    assert mutate.problems(faults) == []
    assert len(faults) >= 100
    kinds = {suffix: sum(fault.file.endswith(suffix) for fault in faults) for suffix in (".c", ".pyx", ".py")}
    assert min(kinds.values()) >= 20, kinds


def test_stale_faults_and_wrong_files_are_named(mutate, tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").touch()
    (tmp_path / "a.c").write_text("one(1);\ntwo(2);\none(1);\n")
    head = "[{}]\nfile a.c\nguard test_a.py -k x\n"

    def problems(text):
        return mutate.problems(mutate.read(text), tmp_path)

    good = head.format("good") + "- two(2);\n- one\n+ three\n"
    assert problems(good) == []
    assert mutate.planted(mutate.read(good)[0], (tmp_path / "a.c").read_text()) == "one(1);\nthree(1);\n"
    assert "2 times" in problems(head.format("twice") + "- one(1);\n+ x\n")[0]
    assert "0 times" in problems(head.format("gone") + "- four\n+ x\n")[0]
    assert problems(head.format("same") + "- two(2);\n+ two(2);\n") != []
    assert "there twice" in problems(good + good)[0]
    assert "no such" in problems(good.replace("a.c", "no such"))[0].lower()
    assert "test_b.py" in problems(good.replace("test_a.py", "test_b.py"))[0]
    for wrong in ("[x]\nguard test_a.py\n- a\n+ b\n", head.format("x") + "+ b\n", head.format("x") + "- a\nwhat\n"):
        with pytest.raises(ValueError):
            mutate.read(wrong)
