# SPDX-License-Identifier: Apache-2.0
"""Every Python snippet of the README and of the documentation, executed as it stands."""

import doctest
import importlib
import importlib.util
import re
import shlex
import shutil
from pathlib import Path

import pytest

import ascend_venc
from ascend_venc.cli import main
from helpers import clips, processes
from helpers.snippets import BLOCK, SHELL_BLOCK, Runner

pytestmark = pytest.mark.project

ROOT = Path(__file__).resolve().parents[2]
# docs/zh has the same blocks: tests/unit/test_docs_zh.py.
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(set((ROOT / "docs").rglob("*.md")) - set((ROOT / "docs" / "zh").rglob("*.md"))),
]
OPTIONAL = ("PIL", "cv2", "torch")  # of what users bring along


def snippets():
    for page in PAGES:
        for match in BLOCK.finditer(page.read_text()):
            line = page.read_text()[: match.start()].count("\n") + 1
            yield pytest.param(match.group(1), id=f"{page.relative_to(ROOT)}:{line}")


def test_every_python_block_is_found_and_pages_have_some():
    for page in PAGES:
        text = page.read_text()
        assert len(BLOCK.findall(text)) == len(re.findall(r"^[ \t]*```[ \t]*(?:python|py|pycon)\b", text, re.M)), page
    assert BLOCK.search((ROOT / "README.md").read_text()) and BLOCK.search((ROOT / "docs" / "encoder.md").read_text())


@pytest.fixture(scope="module")
def runner(backend):
    with Runner(ASCEND_VENC_BACKEND=backend) as runner:
        yield runner


@pytest.mark.parametrize("source", list(snippets()))
def test_snippet_runs_and_what_it_writes_can_be_read(tmp_path, tmp_path_factory, runner, source):
    for module in OPTIONAL:
        if re.search(rf"^(?:import|from) {module}\b", source, re.MULTILINE) and not importlib.util.find_spec(module):
            pytest.skip(f"{module} is not installed")
    shutil.copy(ROOT / clips.CLIP, tmp_path / "clip.mp4")
    code, output, errors = runner.run(source, tmp_path, tmp_path_factory.mktemp("logs"))
    assert (code, errors) == (0, "")
    written = sorted(path.name for path in tmp_path.iterdir() if path.name != "clip.mp4")
    for name in written:
        assert len(clips.read_video(tmp_path / name)[2]) > 0, name
    assert written or output


def test_snippets_that_fail_are_seen_and_know_nothing_of_each_other(tmp_path, tmp_path_factory, runner):
    def run(source):
        return runner.run(source, tmp_path, tmp_path_factory.mktemp("logs"))

    assert run("import numpy as np\nnumber = 1\nprint(number, __name__)") == (0, "1 __main__\n", "")
    for source, error in (
        ("print(number)", "NameError"),
        ("print(numpy)", "NameError"),
        ("import warnings\nwarnings.warn('old', DeprecationWarning)", "DeprecationWarning"),
        ("raise KeyError('mine')", "KeyError: 'mine'"),
    ):
        code, output, errors = run(source)
        assert (code, output) == (1, "") and error in errors
    assert run("import sys\nsys.exit(7)") == (7, "", "")
    assert run("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)") == (-9, "", "")


def shell_blocks():
    for page in PAGES:
        for match in SHELL_BLOCK.finditer(page.read_text()):
            line = page.read_text()[: match.start()].count("\n") + 1
            yield pytest.param(match.group(1), id=f"{page.relative_to(ROOT)}:{line}")


@pytest.mark.parametrize("block", list(shell_blocks()))
def test_commands_of_a_page_run(tmp_path, monkeypatch, capsys, backend, block):
    """Blocks that are marked `sh` have a command of ascend-venc in each line, and no shell's words but these."""
    shutil.copy(ROOT / clips.CLIP, tmp_path / "clip.mp4")
    (tmp_path / "frames.nv12").write_bytes(b"".join(clips.nv12(320, 240, number) for number in range(3)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASCEND_VENC_BACKEND", backend)
    for line in block.splitlines():
        words = shlex.split(line, comments=True)
        assert words[0] == "ascend-venc" and not {"|", ">", "<", "&", ";"} & set(line)
        assert (main(words[1:]), line) == (0, line)
    written = {path.name for path in tmp_path.iterdir()} - {"clip.mp4", "frames.nv12"}
    for name in written:
        assert len(clips.read_video(tmp_path / name)[2]) > 0, name
    assert written or capsys.readouterr().out


def test_pages_have_commands_that_run():
    assert len(list(shell_blocks())) >= 5


def modules_with_examples():
    package = ROOT / "ascend_venc"
    for path in sorted(package.rglob("*.py")):
        if re.search(r"^\s*>>> ", path.read_text(), re.MULTILINE):
            yield ".".join(("ascend_venc", *path.relative_to(package).with_suffix("").parts))


def test_modules_with_examples_are_found():
    assert {"ascend_venc.encoder", "ascend_venc.media.writer", "ascend_venc.media.ring"} <= set(modules_with_examples())


@pytest.mark.parametrize("name", list(modules_with_examples()))
def test_examples_of_docstrings_run(name):
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted > 0 and found.failed == 0


def test_readme_shows_rgb_a_camera_and_the_installation_before_any_figure():
    text = (ROOT / "README.md").read_text()
    before = text[: text.index("## What it costs")]
    for words in ("pip install", "rgb24", "film.mp4", "camera"):
        assert words in before


def test_film_of_the_readme_has_the_colours_that_were_given(tmp_path, backend):
    import av

    source = BLOCK.search((ROOT / "README.md").read_text()).group(1)
    done = processes.run(source, cwd=tmp_path, env={"ASCEND_VENC_BACKEND": backend})
    assert (done.returncode, done.stderr) == (0, "")
    with av.open(str(tmp_path / "film.mp4")) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == 50
    seen = frames[10].to_ndarray(format="rgb24")[300, 600].astype(int)
    assert max(abs(seen - (200, 30, 40))) <= 4


def test_submodules_are_attributes_that_are_imported_when_asked_for():
    program = (
        "import sys, ascend_venc as venc\n"
        "before = [name for name in ('acl', 'aio', 'media') if 'ascend_venc.' + name in sys.modules]\n"
        "assert {'acl', 'aio', 'media'} <= set(dir(venc))\n"
        "print(before, venc.aio.Encoder.__name__, venc.acl.init.__name__, venc.media.open_video.__name__)\n"
        "from ascend_venc import *\n"
        "print(media is venc.media)\n"
    )
    done = processes.run(program)
    assert (done.stdout, done.stderr) == ("[] Encoder init open_video\nTrue\n", "")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ascend_venc.nothing  # noqa: B018
