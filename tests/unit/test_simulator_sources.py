# SPDX-License-Identifier: Apache-2.0
"""How the simulated device's files depend on each other: no circle, no file too long to read in one sitting."""

import re

import pytest

from helpers import simulator

pytestmark = pytest.mark.sim_only

FILES = sorted((simulator.ROOT / "csrc" / "sim").glob("*.c"))
MOST_LINES = 450


def code_of(path):
    """The file's text without comments and strings."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", path.read_text(), flags=re.S)
    return re.sub(r'"(\\.|[^"\\])*"', '""', text)


def defined_in(text):
    """Names of the functions that a file defines for others."""
    names = set()
    for match in re.finditer(r"^(?!static\b)\w[\w \t*]*?\b((?:sim|aclsim)_\w+)\(", text, flags=re.M):
        end, depth = match.end(), 1
        while depth:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        if text[end:].lstrip().startswith("{"):
            names.add(match.group(1))
    return names


def uses(texts):
    """{file: files whose functions it calls, or hands on to be called}."""
    home = {name: file for file, text in texts.items() for name in defined_in(text)}
    return {
        file: {home[name] for name in re.findall(r"\b(?:sim|aclsim)_\w+", text) if home.get(name, file) != file}
        for file, text in texts.items()
    }


def circle(graph):
    """Files that cannot be put in an order in which each uses only those before it."""
    left = dict(graph)
    while free := [file for file, used in left.items() if not used & left.keys()]:
        for file in free:
            del left[file]
    return sorted(left)


def test_files_of_the_simulated_device_use_each_other_in_no_circle():
    graph = uses({path.name: code_of(path) for path in FILES})
    assert len(graph) > 20
    assert sum(map(len, graph.values())) > 60, "the calls are found"
    assert {"strict.c", "handle.c"} <= graph["stream.c"]
    assert circle(graph) == []


def test_planted_circle_is_found():
    texts = {path.name: code_of(path) for path in FILES}
    texts["strict.c"] += "\nvoid planted(void) {\n    sim_stream_reset();\n}\n"
    assert {"strict.c", "stream.c"} <= set(circle(uses(texts)))


def test_no_file_is_too_long():
    headers = (simulator.ROOT / "csrc" / "sim").glob("*.h")
    sizes = {path.name: len(path.read_text().splitlines()) for path in [*FILES, *headers]}
    assert {name: lines for name, lines in sizes.items() if lines > MOST_LINES} == {}
