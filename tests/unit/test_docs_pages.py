# SPDX-License-Identifier: Apache-2.0
"""The pages: links and anchors, the table of contents, what the API reference names, and the build where Sphinx is."""

import importlib.util
import inspect
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

import ascend_venc

pytestmark = pytest.mark.project

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
LINK = re.compile(r"(?<!\\)\[(?:[^\[\]`]|`[^`]*`|\[[^\]]*\])*\]\(([^)\s]+)\)")


def without_code(text):
    return re.sub(r"^ *```.*?^ *```$|(?<!`)`[^`\n]+`(?!`)", "", text, flags=re.M | re.S)


def anchors_of(text):
    """The anchors that code hosts make of the headings."""
    found = []
    for heading in re.findall(r"^#{1,6} +(.*?) *$", re.sub(r"^ *```.*?^ *```$", "", text, flags=re.M | re.S), re.M):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", shown).replace(" ", "-")
        found.append(anchor if anchor not in found else f"{anchor}-{found.count(anchor)}")
    return found


def broken_links(page, text):
    """(link, why) of each relative link of a page that leads nowhere."""
    for link in LINK.findall(without_code(text)):
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            yield link, "there is no such file"
        elif ROOT not in target.parents:
            yield link, "outside of the project"
        elif anchor and target.suffix == ".md" and anchor not in anchors_of(target.read_text()):
            yield link, "there is no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_of_a_page_lead_somewhere(page):
    assert list(broken_links(page, page.read_text())) == []


def test_broken_links_are_found():
    text = "# A `b` c, d\n[good](encoder.md#back-pressure) [x](nothing.md) [`y`](encoder.md#nothing) [z](../../..)\n"
    text += "```\n[no](link.md)\n```\n"
    found = [link for link, _ in broken_links(DOCS / "index.md", text)]
    assert found == ["nothing.md", "encoder.md#nothing", "../../.."]
    assert anchors_of(text) == ["a-b-c-d"]
    links = sum(len(LINK.findall(without_code(page.read_text()))) for page in PAGES)
    assert links > 150


def linked(page):
    return {(page.parent / link.partition("#")[0]).resolve() for link in LINK.findall(without_code(page.read_text()))}


def test_index_leads_to_every_page():
    """Directly, or by an index of a folder's own that it links."""
    index = DOCS / "index.md"
    found = linked(index)
    for page in [page for page in found if page.name in ("index.md", "README.md")]:
        found |= linked(page)
    guides = {page for page in PAGES if {"guides", "zh"} & set(page.relative_to(ROOT).parts)}
    left_out = [page for page in PAGES if page not in found | guides | {index} and not page.name.endswith(".zh.md")]
    assert left_out == []
    assert DOCS / "index.md" in linked(ROOT / "README.md")


def test_api_reference_has_every_public_name():
    text = "".join(page.read_text() for page in sorted((DOCS / "api").glob("*.md")))
    named = set(re.findall(r"^\.\. auto(?:class|function):: ascend_venc\.(?:media\.)?(\w+)$", text, re.M))
    modules = set(re.findall(r"^\.\. automodule:: (\S+)$", text, re.M))
    errors = set(vars(ascend_venc.errors)) if "ascend_venc.errors" in modules else set()
    public = {name for name in (*ascend_venc.__all__, *ascend_venc.media.__all__) if name != "__version__"}
    missing = {name for name in public - named - errors if not inspect.ismodule(getattr(ascend_venc, name, None))}
    assert missing == set()
    parts = {f"acl.{name}" for name in ascend_venc.acl.__all__ if inspect.ismodule(getattr(ascend_venc.acl, name))}
    assert modules == {"acl", *parts, "ascend_venc.bitstream", "ascend_venc.chunked", "ascend_venc.errors"}


def test_pictures_tell_those_who_do_not_see_them():
    for path in sorted((DOCS / "pictures").glob("*.svg")):
        root = ElementTree.parse(path).getroot()
        space = "{http://www.w3.org/2000/svg}"
        assert root.get("role") == "img"
        assert root.get("aria-labelledby").split() == [root.find(space + name).get("id") for name in ("title", "desc")]
        assert len(root.find(space + "desc").text) > 100
        shown = [page for page in PAGES if path.name in page.read_text()]
        assert shown
        for page in shown:
            assert len(re.search(rf"!\[([^\]]*)\]\([^)]*{path.name}\)", page.read_text()).group(1)) > 50


def test_files_that_the_comparison_names_exist():
    named = set(re.findall(r"`([\w./]+/[\w./]+|\w+\.(?:md|toml))`", (DOCS / "comparison.md").read_text()))
    assert len(named) > 15 and [name for name in sorted(named) if not (ROOT / name).exists()] == []


@pytest.mark.timeout(900)  # more than half a minute of one core
def test_pages_are_built_without_a_warning(tmp_path):
    for module in ("sphinx", "myst_parser", "furo"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed (pip install '.[docs]')")
    options = ["-q", "-W", "--keep-going", "-n", "-E", "-c", "docs", "-b", "dummy", "-d", str(tmp_path / "cache")]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, ".", str(tmp_path / "pages")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
