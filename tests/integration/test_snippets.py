# SPDX-License-Identifier: Apache-2.0
"""Every Python snippet of the README and of the documentation, executed as it stands."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ascend_venc
from helpers import clips, processes

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def snippets():
    for page in PAGES:
        for match in BLOCK.finditer(page.read_text()):
            line = page.read_text()[: match.start()].count("\n") + 1
            yield pytest.param(match.group(1), id=f"{page.relative_to(ROOT)}:{line}")


def test_every_python_block_is_found_and_pages_have_some():
    for page in PAGES:
        text = page.read_text()
        assert len(BLOCK.findall(text)) == len(re.findall(r"^\s*```\s*(?:python|py|pycon)\b", text, re.MULTILINE)), page
    assert BLOCK.search((ROOT / "README.md").read_text()) and BLOCK.search((ROOT / "docs" / "encoder.md").read_text())


@pytest.mark.parametrize("source", list(snippets()))
def test_snippet_runs_and_what_it_writes_can_be_read(tmp_path, backend, source):
    shutil.copy(ROOT / clips.CLIP, tmp_path / "clip.mp4")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", source],
        cwd=tmp_path,
        env=processes.environment(ASCEND_VENC_BACKEND=backend),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (0, "")
    written = sorted(path.name for path in tmp_path.iterdir() if path.name != "clip.mp4")
    for name in written:
        assert len(clips.read_video(tmp_path / name)[2]) > 0, name
    assert written or done.stdout


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
