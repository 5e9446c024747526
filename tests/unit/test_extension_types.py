# SPDX-License-Identifier: Apache-2.0
"""How extension types let go of objects of the program's. `x.a = b` is compiled by Cython to an end of what stood
there, and then the assignment: what runs in that end (a finalizer, a weak reference's callback, another thread) finds
an object in `x.a` that has ended. So whoever assigns holds what stood there, or there was nothing."""

import re
from pathlib import Path

import pytest

LOWLEVEL = Path(__file__).resolve().parents[2] / "ascend_venc" / "_lowlevel"
PROGRAMS = ("token", "_token", "owner", "future", "callback", "function", "argument", "thread")
TARGET = re.compile(rf"(?<![\w.])((?:\w+|\(<\w+>\w+\))\.(?:{'|'.join(PROGRAMS)}))\s*(?:=(?!=)|,)")
NOTHING_THERE = {
    "packet._token = pop_entry(entries, packet._token)": "the tag, an int",
    "failure.token = (<Ticket>entry).token if type(entry) is Ticket else entry": "an exception, which is Python's",
    "self.owner = owner": "DeviceFrame.__init__, which runs once",
}


def assignments(text):
    """(line, target, whether what stood there is held, or there was nothing) of each."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        code = line.split("#")[0].rstrip()
        left, equals, right = code.rpartition(" = ")
        if (
            not equals
            or right.startswith("<PyObject *>")
            or re.match(r"\s*(cdef|def|return|if|while|assert|for)\b", code)
        ):
            continue
        for target in TARGET.findall(left + " ="):
            begin = max(at for at in range(number + 1) if at == 0 or re.match(r"\s*(cdef|def) .*:$", lines[at]))
            name = target.split(".")[0]
            before = "\n".join(lines[begin : number + 1])
            made_here = re.search(rf"\b{re.escape(name)} = \w+\.__new__\(", before) is not None
            held = any(
                re.search(rf"= .*{re.escape(target)}\b", each) for each in lines[max(number - 2, begin) : number]
            )
            swapped = re.search(rf"\w+, {re.escape(target)} = {re.escape(target)}, ", code) is not None
            yield number + 1, target, made_here or held or swapped or code.strip() in NOTHING_THERE


@pytest.mark.project
def test_what_an_assignment_ends_is_held_until_nothing_leads_to_it():
    found = [
        (f"{path.name}:{line}: {target}", well)
        for path in sorted(LOWLEVEL.rglob("*.pyx"))
        for line, target, well in assignments(path.read_text())
    ]
    assert len(found) >= 15, found
    assert [place for place, well in found if not well] == []


@pytest.mark.project
@pytest.mark.parametrize(
    ("code", "well"),
    [
        ("ticket.token = None", False),
        ("ticket.token = ticket.future = None", False),
        ("(<Ticket>entry).owner = None", False),
        ("old = ticket.token\n    ticket.token = None", True),
        ("before, channel.callback = channel.callback, new", True),
        ("ticket = Ticket.__new__(Ticket)\n    ticket.token = token", True),
        ("self.function = self.argument = None", False),
    ],
)
def test_the_check_tells_them_apart(code, well):
    assert {good for _, _, good in assignments(f"cdef int f() except -1:\n    {code}\n")} == {well}
