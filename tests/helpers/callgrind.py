# SPDX-License-Identifier: Apache-2.0
"""Instructions that a program spends in one library itself, counted by callgrind."""

import collections
import os
import re
import subprocess


def instructions(command, library, out, env=None, timeout=110):
    """Run a program under callgrind; return {function: instructions} of one shared library, callees not included.

    What the library's functions call elsewhere (libc, a device) does not count: only its own code does.
    """
    run = subprocess.run(
        ["valgrind", "--tool=callgrind", "--quiet", f"--callgrind-out-file={out}", *map(str, command)],
        env=dict(os.environ, **(env or {})),
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    assert run.returncode == 0, run.stderr[-4000:]
    with open(out) as file:
        return parse(file, library)


def parse(lines, library):
    """Sum the self cost of each function of an object in callgrind's output."""
    library = os.path.realpath(library)
    names = {}  # of objects and functions by number: a name is written out only where it comes first
    counts = collections.Counter()
    inside = skip = False
    function = None
    for line in lines:
        header = re.match(r"(c?(?:ob|fn))=\((\d+)\)(?: (.*))?", line)
        if header:
            kind, number, name = header.groups()
            key = (kind[-2:], number)
            if name:
                names[key] = name
            if kind == "ob":
                inside = os.path.realpath(names[key]) == library
            elif kind == "fn":
                function = names[key]
        elif line.startswith("calls="):
            skip = True  # the next line is what the call cost, all of it
        elif re.match(r"[\d+*-]", line):
            if inside and not skip:
                counts[function] += int(line.split()[1])
            skip = False
    return counts
