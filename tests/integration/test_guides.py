# SPDX-License-Identifier: Apache-2.0
"""The blocks of the guides that show what a program was before; test_snippets.py has all others.

Marked ```` ```python3 pyacl ````: a program for pyACL, which `ascend-venc run` runs. ```` ```python3 foreign ````: one
for a library that needs other hardware, which is only compiled.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import clips, processes

pytestmark = pytest.mark.project

GUIDES = Path(__file__).resolve().parents[2] / "docs" / "guides"
BLOCK = re.compile(r"^```python3 (pyacl|foreign)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ELSEWHERE = {"mindx", "PyNvVideoCodec", "torch_npu"}  # what needs other hardware
WITH_OWN_BLOCKS = [page for page in sorted(GUIDES.glob("*.md")) if page.name != "index.md"]


def blocks(wanted):
    for page in WITH_OWN_BLOCKS:
        for match in BLOCK.finditer(page.read_text()):
            if match.group(1) == wanted:
                line = page.read_text()[: match.start()].count("\n") + 1
                yield pytest.param(match.group(2), id=f"{page.name}:{line}")


def modules_of(source):
    return set(re.findall(r"^[ \t]*(?:import|from)[ \t]+(\w+)", source, re.MULTILINE))


def test_every_guide_has_a_block_that_runs_and_no_block_is_left_out():
    assert len(WITH_OWN_BLOCKS) >= 11
    for page in WITH_OWN_BLOCKS:
        text = page.read_text()
        assert "\n```python\n" in text, page.name
        assert len(re.findall(r"^```python3", text, re.M)) == len(BLOCK.findall(text)), page.name
    assert len(list(blocks("pyacl"))) >= 2 and len(list(blocks("foreign"))) >= 3


def test_every_guide_has_a_table_and_says_at_its_end_how_sure_it_is():
    for page in WITH_OWN_BLOCKS:
        text = page.read_text()
        assert "\n|---" in text, page.name
        end = text[text.rindex("\n## ") :]
        assert end.startswith("\n## How sure this is\n") and re.search(r"documented|hardware\.md", end), page.name


@pytest.mark.parametrize("source", list(blocks("pyacl")))
def test_program_for_pyacl_writes_its_frames(tmp_path, backend, source):
    assert "ascend_venc" not in source
    program = tmp_path / "program.py"
    program.write_text(source)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "ascend_venc", "run", str(program)],
        cwd=tmp_path,
        env=processes.environment(ASCEND_VENC_BACKEND=backend),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    facts, _, pictures = clips.read_video(tmp_path / "before.h264")
    frames = re.search(r"in range\((\d+)\)", source).group(1)
    assert (facts["size"], str(len(pictures))) == ((640, 360), frames)


@pytest.mark.parametrize("source", list(blocks("foreign")))
def test_program_for_other_hardware_compiles_and_could_not_run_here(source):
    compile(source, "<snippet>", "exec")
    assert modules_of(source) & ELSEWHERE


def test_before_and_after_make_the_same_number_of_frames_in_the_same_format():
    for page in WITH_OWN_BLOCKS:
        found = {}
        for source in re.findall(r"^```python3? ?(?:pyacl|foreign)?\n(.*?)^```$", page.read_text(), re.M | re.S):
            name = re.search(r'"(before|after)\.(\w+)"', source)
            if name:
                found[name.group(1)] = (name.group(2), re.findall(r"in range\((\d+)\)", source))
        if "before" in found:
            assert found["before"][0] == found["after"][0], page.name
            if found["before"][1] and found["after"][1]:
                assert found["before"][1] == found["after"][1], page.name
