#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Which Chinese page is behind its English one, and where the two differ in what is not language.

    python scripts/translation_marks.py              # what is wrong; exit code 1 if something is
    python scripts/translation_marks.py --set FILE   # after FILE was translated anew: its mark becomes that of today

The first line of a Chinese page names its English one and a hash of that text. Headings (their levels), blocks of code,
words in code, tables (rows, columns), items of lists and links have to be the same: those are compared. The mark says
that somebody looked at the rest.
"""

import argparse
import hashlib
import os
import re
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MARK = re.compile(r"^<!-- (\S+) @ ([0-9a-f]{12}) -->\n")
FENCE = re.compile(r"^```(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
LINK = re.compile(r"!?\[((?:[^\[\]`]|`[^`]*`)*)\]\(([^)\s]+)\)")
ENGLISH = "English"  # the text of the link from a translation to its page


def english_of(page, root=ROOT):
    """Return the page that a Chinese page translates."""
    name = page.relative_to(root)
    if name.name.endswith(".zh.md"):
        return page.with_name(name.name.replace(".zh.md", ".md"))
    return root / "docs" / name.relative_to("docs/zh")


def chinese_of(page, root=ROOT):
    """Return the page that translates an English one, whether it is there or not."""
    name = page.relative_to(root)
    return root / "docs" / "zh" / name.relative_to("docs") if name.parts[0] == "docs" else page.with_suffix(".zh.md")


def translations(root=ROOT):
    """Return all Chinese pages that are there."""
    return sorted([*root.glob("*.zh.md"), *(root / "docs" / "zh").rglob("*.md")])


def wanted(root=ROOT):
    """Return the English pages that have to have one: the README and the guides."""
    return [root / "README.md", *sorted((root / "docs" / "guides").glob("*.md"))]


def mark_of(text):
    """Return the mark of an English text."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def headings(text):
    """Return the levels of the headings, in their order."""
    return [len(found) for found in re.findall(r"^(#+) ", FENCE.sub("", text), re.MULTILINE)]


def blocks(text):
    """Return (word behind the fence, code) of each block."""
    return FENCE.findall(text)


def tables(text):
    """Return (rows, columns) of each table."""
    found, rows = [], []
    for line in [*FENCE.sub("", text).splitlines(), ""]:
        if line.startswith("|"):
            rows.append(re.sub(r"`[^`]*`", "", line).replace(r"\|", "").strip("| ").count("|") + 1)
        elif rows:
            found.append((len(rows), max(rows)))
            rows = []
    return found


def items(text):
    """Return how many items the lists have."""
    return len(re.findall(r"^ *- ", FENCE.sub("", text), re.MULTILINE))


def codes(text):
    """Return how often each word in code stands outside of blocks and links."""
    return Counter(re.findall(r"`([^`\n]+)`", re.sub(r"\s+", " ", LINK.sub("", FENCE.sub("", text)))))


def links(page, text, root=ROOT):
    """Return how often each target is linked: a path from the root, of a translation that of its page.

    A place in a page that is translated is left out, since it is named by a heading in the page's language.
    """
    found = Counter()
    for _, link in LINK.findall(FENCE.sub("", text)):
        path, _, place = link.partition("#")
        if re.match(r"[a-z]+:", link):
            found[link] += 1
            continue
        target = Path(os.path.normpath(page.parent / path)) if path else page
        if target in translations(root):
            target = english_of(target, root)
        translated = chinese_of(target, root).exists()
        found[f"{target.relative_to(root)}{'#' + place if place and not translated else ''}"] += 1
    return found


def links_into_english(page, text, root=ROOT):
    """Return the links of a Chinese page to English pages that there are in Chinese, but the one to its own page."""
    found = []
    for words, link in LINK.findall(FENCE.sub("", text)):
        target = Path(os.path.normpath(page.parent / link.partition("#")[0]))
        if words == ENGLISH or target.suffix != ".md" or target in translations(root):
            continue
        if root in target.parents and chinese_of(target, root).exists():
            found.append(link)
    return found


def differing(one, other):
    """Say in words what two counters do not share."""
    missing, more = one - other, other - one
    return "; ".join(
        f"{what}: {', '.join(sorted(map(str, which)))}"
        for what, which in (("missing", missing), ("not in English", more))
        if which
    )


def problems(page, root=ROOT):
    """Return sentences that say what is wrong with a Chinese page."""
    name, origin = page.relative_to(root), english_of(page, root)
    if not origin.exists():
        return [f"{name} translates {origin.relative_to(root)}, which is not there: remove it"]
    text, english = page.read_text(), origin.read_text()
    mark = MARK.match(text)
    if mark is None or mark.group(1) != str(origin.relative_to(root)):
        return [f"{name} must begin with <!-- {origin.relative_to(root)} @ {mark_of(english)} -->"]
    found = []
    body = text[mark.end() :]
    if mark.group(2) != mark_of(english):
        found.append(
            f"{name} is behind {mark.group(1)}, which was changed since: translate the change (git log -p "
            f"{mark.group(1)}), then python scripts/translation_marks.py --set {name}"
        )
    if headings(body) != headings(english):
        found.append(f"{name} has headings of the levels {headings(body)}; English: {headings(english)}")
    if len(blocks(body)) != len(blocks(english)):
        found.append(f"{name} has {len(blocks(body))} blocks of code; English: {len(blocks(english))}")
    for number, (mine, other) in enumerate(zip(blocks(body), blocks(english)), 1):
        if mine != other:
            found.append(f"{name}: block {number} is not the English one: copy it, comments too")
    if tables(body) != tables(english):
        found.append(f"{name} has tables of (rows, columns) {tables(body)}; English: {tables(english)}")
    if items(body) != items(english):
        found.append(f"{name} has {items(body)} items in lists; English: {items(english)}")
    if codes(body) != codes(english):
        found.append(f"{name}: words in code: {differing(codes(english), codes(body))}")
    if links(page, body, root) != links(origin, english, root):
        found.append(f"{name}: links: {differing(links(origin, english, root), links(page, body, root))}")
    found += [f"{name} links {link}, which there is in Chinese" for link in links_into_english(page, body, root)]
    return found


def all_problems(root=ROOT):
    """Return what is wrong with all Chinese pages, and which are not there."""
    found = [
        f"{page.relative_to(root)} has no translation: write {chinese_of(page, root).relative_to(root)}"
        for page in wanted(root)
        if not chinese_of(page, root).exists()
    ]
    return found + [problem for page in translations(root) for problem in problems(page, root)]


def set_mark(page, root=ROOT):
    """Write today's mark into a Chinese page."""
    origin = english_of(page, root)
    line = f"<!-- {origin.relative_to(root)} @ {mark_of(origin.read_text())} -->\n"
    page.write_text(line + MARK.sub("", page.read_text()))


def main():
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", nargs="+", type=Path, metavar="FILE", default=[], help="pages that are up to date now")
    for page in parser.parse_args().set:
        set_mark(page.resolve())
    found = all_problems()
    print("\n".join(found) or "every translation is up to date")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
