# SPDX-License-Identifier: Apache-2.0
"""How the pages are built: `bash scripts/docs.sh`.

The source folder is the project's own, so that links between README.md, CONTRIBUTING.md, docs and examples lead to
the same places here and on a code host. The table of contents is what a reader sees there: the sections and links of
each page that is called index.md.
"""

import re
import sys
from pathlib import Path

from sphinx.util.nodes import make_refnode

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import ascend_venc  # noqa: E402

ascend_venc.acl.install()  # `acl.rt` and the like are documented by the names that programs import

project = "ascend_venc"
author = "the authors of ascend_venc"
release = version = ascend_venc.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**", "examples/*.md"]
exclude_patterns = ["docs/conf.py", "[.b]*", "csrc", "tests", "scripts", "ascend_venc"]
nitpicky = True
highlight_language = "none"  # blocks without a word behind the fence are for a shell
myst_heading_anchors = 4  # as code hosts make them
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings say more
html_theme = "furo"
html_title = f"ascend_venc {release}"
html_copy_source = False
html_static_path = ["static"]
html_css_files = ["pages.css"]
smartquotes = False  # they are code

# Where the names between backticks in docstrings are looked for.
MODULES = ("", "media.", "chunked.", "bitstream.", "errors.", "stats.")
PLACES = ("", "acl.", *(f"ascend_venc.{module}" for module in MODULES))
OF_TERMS = ("Parameters", "Attributes", "Raises", "Warns")
SECTIONS = (*OF_TERMS, "Returns", "Yields", "Notes", "Examples")


def contents_of(index):
    """Return {title of a section: names of the pages that it links, those of the folder's own below it}."""
    home = ROOT if index == ROOT / f"{root_doc}.md" else index.parent
    seen, sections = {index}, {}
    for title, body in re.findall(r"^#+ (.*)\n((?:(?!#).*\n?)*)", index.read_text(), re.MULTILINE):
        pages = [(index.parent / link).resolve() for link in re.findall(r"\]\(([^):#]+\.md)(?:#[^)]*)?\)", body)]
        new = [page for page in dict.fromkeys(pages) if page not in seen and home in page.parents]
        seen.update(new)
        sections[title] = [page.relative_to(ROOT).with_suffix("").as_posix() for page in new]
    return sections


def tell_contents(app, docname, source):
    """Make a table of contents of the links in a page that is called index.md; the first one has what no other has."""
    if not docname.endswith("/index"):
        return
    sections = contents_of(ROOT / f"{docname}.md")
    if docname == root_doc:
        below = [contents_of(index) for index in (ROOT / "docs").rglob("index.md")]
        listed = {name for found in below for names in found.values() for name in names}
        sections["Further pages"] = sorted(app.env.found_docs - listed - {root_doc})
    for title, names in sections.items():
        if names:
            entries = "\n".join(f"/{name}" for name in names)
            source[0] += f"\n\n```{{toctree}}\n:hidden:\n:caption: {title}\n\n{entries}\n```\n"


def read_sections(app, what, name, obj, options, lines):
    """Write the sections of NumPy's docstrings as fields of reStructuredText."""
    text = re.sub(r"(`[^`]+`)(\w?)", lambda found: "\\ ".join(filter(None, found.groups())), "\n".join(lines))
    lines[:] = text.split("\n")  # `Frame`s: a letter behind the name
    read, section = [], None
    for number, line in enumerate(lines):
        following = lines[number + 1].strip() if number + 1 < len(lines) else ""
        if line in SECTIONS and following == "-" * len(line):
            section = line
            read += ["", f":{section}:"]
        elif section is None or not line.strip():
            read.append(line)
        elif set(line) == {"-"} and lines[number - 1] == section:
            read.append("")
        elif line[0] == " " or section not in OF_TERMS:
            read.append("    " + line)
        elif " : " not in line and not lines[number - 1].strip():
            section = None  # prose behind the terms
            read.append(line)
        else:
            term, colon, kind = line.partition(" : ")
            read.append("    " + ", ".join(f"`{word}`" for word in term.split(", ")) + colon + kind)
            if not following or lines[number + 1][0] != " ":
                read += ["        ..", ""]
    lines[:] = read


def find_name(app, env, node, contents):
    """Make links of names between backticks, leave other code alone, and warn of names of ours that are not there."""
    if node.get("refdomain") != "py" or node.get("reftype") != "obj":
        return None
    objects, target = env.get_domain("py").objects, node["reftarget"]
    name = re.match(r"[\w.]*", target).group()
    for place in PLACES:
        found = objects.get(place + name)
        if found:
            return make_refnode(app.builder, node["refdoc"], found.docname, found.node_id, contents, target)
    first = name.partition(".")[0]
    known = "." in name and any(place + first in objects for place in PLACES)
    return None if known and name == target.partition("(")[0] else contents


def setup(app):
    app.connect("source-read", tell_contents)
    app.connect("autodoc-process-docstring", read_sections)
    app.connect("missing-reference", find_name)
