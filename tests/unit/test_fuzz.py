# SPDX-License-Identifier: Apache-2.0
"""A moment of each fuzzer in Python: tests/helpers/fuzz.py. scripts/fuzz.sh runs them for long, and those in C too."""

import re
import subprocess
import sys

import pytest

from helpers import fuzz, processes

pytestmark = [pytest.mark.sim_only, pytest.mark.timeout(660)]


@pytest.mark.parametrize("target", fuzz.TARGETS)
def test_whatever_comes_is_taken_or_refused_as_documented(target):
    pytest.importorskip("av", reason="PyAV, which reads the films, is not installed")
    done = subprocess.run(
        [sys.executable, fuzz.__file__, target, "400", "1"],
        env=processes.environment(ASCEND_VENC_SIM_STRICT="1"),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    taken, refused = map(int, re.search(r"(\d+) taken, (\d+) refused", done.stdout).groups())
    assert taken > 20, "it is not all refused"
    assert refused > 20, "something is wrong with it"
