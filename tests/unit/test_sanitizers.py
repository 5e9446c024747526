# SPDX-License-Identifier: Apache-2.0
"""The sanitizers themselves: each reports a seeded bug, and nothing where there is none."""

import os
import subprocess
from pathlib import Path

import pytest

from helpers import native

pytestmark = pytest.mark.project

SOURCE = Path(__file__).resolve().parent / "native" / "seeded_bugs.c"

# Bug: (variant of helpers/native.py, what its sanitizer says of it).
BUGS = {
    "overflow": ("address", "heap-buffer-overflow"),
    "use": ("address", "heap-use-after-free"),
    "leak": ("address", "detected memory leaks"),
    "signed": ("address", "signed integer overflow"),
    "shift": ("address", "shift exponent"),
    "race": ("thread", "data race"),
}


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sanitizers")
    builds = native.Builds(folder)
    made = {}

    def program(variant):
        if variant not in made:
            made[variant] = folder / f"seeded-{variant}"
            native.compile_c(*builds.flags(variant), SOURCE, "-o", made[variant])
        return made[variant]

    return program


def run(program, bug):
    return subprocess.run(
        [str(program), bug],
        env=dict(os.environ, ASAN_OPTIONS="detect_leaks=1"),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("bug", BUGS)
def test_sanitizer_reports_the_bug(programs, bug):
    variant, words = BUGS[bug]
    done = run(programs(variant), bug)
    assert done.returncode != 0
    assert words in done.stderr


@pytest.mark.parametrize("variant", ["address", "thread"])
def test_sanitizer_is_silent_where_there_is_no_bug(programs, variant):
    done = run(programs(variant), "none")
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")
