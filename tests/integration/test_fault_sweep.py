# SPDX-License-Identifier: Apache-2.0
"""Every call of AscendCL fails, once and for good, in six ways of using it: no crash, hang, leak or odd exception."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import processes

pytestmark = pytest.mark.sim_only

PROGRAM = Path(__file__).resolve().parents[1] / "helpers" / "fault_sweep.py"


@pytest.mark.parametrize(
    ("stride", "least"),
    [
        pytest.param(41, 90, id="sample"),
        pytest.param(1, 4000, id="all", marks=[pytest.mark.soak, pytest.mark.timeout(1800)]),
    ],
)
def test_every_call_can_fail(stride, least):
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(stride)],
        env=processes.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=1700 if stride == 1 else 110,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    result = json.loads(done.stdout)
    assert result["problems"] == []
    assert result["points"] >= least
    assert result["struck"] >= result["points"] * 0.95, "the faults are met"
    assert result["outcomes"]["AclError"] > result["points"] / 10
