# SPDX-License-Identifier: Apache-2.0
"""The Chinese pages are those of the English ones of today: scripts/translation_marks.py says where they are not."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MARKS = runpy.run_path(str(ROOT / "scripts" / "translation_marks.py"))

ENGLISH = """\
[简体中文](../zh/guides/page.md)

# Page

Text with `code` and a [link](../other.md#place).

- item

## Table

| a | b |
|---|---|
| `x \\| y` | 2 |

```python
print(1)  # one
```
"""
CHINESE = """\
[English](../../guides/page.md)

# 页面

带有 `code` 和[链接](../../other.md#place)的文字。

- 项目

## 表格

| 甲 | 乙 |
|---|---|
| `x \\| y` | 2 |

```python
print(1)  # one
```
"""


@pytest.fixture
def pages(tmp_path):
    """A project of one guide and its translation, with the mark set."""
    for name, text in (
        ("README.md", "# Project\n"),
        ("README.zh.md", "# 项目\n"),
        ("docs/other.md", "# Place\n"),
        ("docs/guides/page.md", ENGLISH),
        ("docs/zh/guides/page.md", CHINESE),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    for page in MARKS["translations"](tmp_path):
        MARKS["set_mark"](page, tmp_path)
    return tmp_path


def test_chinese_pages_are_up_to_date():
    assert MARKS["all_problems"]() == []
    assert len(MARKS["translations"]()) >= len(MARKS["wanted"]()) >= 13


def test_chinese_pages_are_chinese():
    for page in MARKS["translations"]():
        prose = re.sub(r"`[^`\n]+`", "", MARKS["LINK"].sub("", MARKS["FENCE"].sub("", page.read_text())))
        paragraphs = [each for each in re.split(r"\n\n+", prose) if len(each) > 200 and "|" not in each]
        assert [each for each in paragraphs if len(re.findall(r"[\u4e00-\u9fff]", each)) < 0.2 * len(each)] == [], page


def test_pages_that_agree_have_no_problem(pages):
    assert MARKS["all_problems"](pages) == []


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("docs/guides/page.md", "Text with", "Words with", "is behind docs/guides/page.md"),
        ("docs/zh/guides/page.md", "## 表格", "### 表格", r"headings of the levels \[1, 3\]; English: \[1, 2\]"),
        ("docs/zh/guides/page.md", "## 表格\n", "", r"headings of the levels \[1\]"),
        ("docs/zh/guides/page.md", "# one", "# 一", "block 1 is not the English one"),
        ("docs/zh/guides/page.md", "```python", "```python3", "block 1 is not the English one"),
        ("docs/zh/guides/page.md", "```python\nprint(1)  # one\n```\n", "", "has 0 blocks of code; English: 1"),
        ("docs/zh/guides/page.md", "| `x \\| y` | 2 |\n", "", r"tables of \(rows, columns\) \[\(2, 2\)\]"),
        ("docs/zh/guides/page.md", "| 甲 | 乙 |", "| 甲 | 乙 | 丙 |", r"\[\(3, 3\)\]; English: \[\(3, 2\)\]"),
        ("docs/zh/guides/page.md", "- 项目", "项目", "has 0 items in lists; English: 1"),
        ("docs/zh/guides/page.md", "`code`", "代码", "words in code: missing: code"),
        ("docs/zh/guides/page.md", "`code`", "`kode`", "not in English: kode"),
        ("docs/zh/guides/page.md", "#place", "", "missing: docs/other.md#place; not in English: docs/other.md"),
        ("docs/zh/guides/page.md", "[链接](../../other.md#place)", "链接", "links: missing: docs/other.md#place"),
        ("docs/zh/guides/page.md", "[English]", "[英文]", "links ../../guides/page.md, which there is in Chinese"),
        ("docs/zh/guides/page.md", "<!--", "<!-- see", "must begin with <!-- docs/guides/page.md @ "),
        ("README.md", "# Project", "# Projects", "README.zh.md is behind README.md"),
    ],
)
def test_page_that_is_behind_or_differs_is_named_with_what_to_do(pages, name, old, new, words):
    path = pages / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    found = MARKS["all_problems"](pages)
    assert found and re.search(words, "\n".join(found)), found
    assert all(re.match(r"(docs/zh/guides/page|README\.zh)\.md\b", problem) for problem in found)


def test_setting_the_mark_heals_a_page_that_is_behind_and_nothing_else(pages):
    english, chinese = pages / "docs/guides/page.md", pages / "docs/zh/guides/page.md"
    english.write_text(english.read_text().replace("Text with", "Words with"))
    MARKS["set_mark"](chinese, pages)
    assert MARKS["all_problems"](pages) == []
    english.write_text(english.read_text().replace("# Page", "## Page"))
    MARKS["set_mark"](chinese, pages)
    assert len(MARKS["all_problems"](pages)) == 1


def test_guide_without_a_translation_and_one_of_nothing_are_named(pages):
    (pages / "docs/guides/new.md").write_text("# New\n")
    assert MARKS["all_problems"](pages) == ["docs/guides/new.md has no translation: write docs/zh/guides/new.md"]
    (pages / "docs/guides/new.md").unlink()
    (pages / "docs/zh/guides/old.md").write_text("# 旧\n")
    assert MARKS["all_problems"](pages) == [
        "docs/zh/guides/old.md translates docs/guides/old.md, which is not there: remove it"
    ]
