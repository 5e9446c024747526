# SPDX-License-Identifier: Apache-2.0
"""Every call of AscendCL fails, once and for good, in six ways of using it: no crash, hang, leak or odd exception."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import fault_sweep, interface, processes

pytestmark = pytest.mark.sim_only

PROGRAM = Path(fault_sweep.__file__)


@contextlib.contextmanager
def started(scenario, every):
    process = subprocess.Popen(
        [sys.executable, str(PROGRAM), scenario, str(every)],
        env=processes.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.timeout(600)
def test_every_call_can_fail(request):
    """A process for each scenario, all at once: most of the time is spent waiting for time-outs."""
    every = request.config.getoption("--every")
    results = {}
    with contextlib.ExitStack() as stack:
        running = {name: stack.enter_context(started(name, every)) for name in fault_sweep.SCENARIOS}
        for scenario, process in running.items():
            output, errors = process.communicate(timeout=500)
            assert process.returncode == 0, (scenario, process.returncode, errors[-4000:])
            results[scenario] = json.loads(output)
    print(  # for scripts/check.sh
        f"{sum(result['points'] for result in results.values())} points of failure, "
        f"{sum(result['struck'] for result in results.values())} met, "
        f"{sum(len(result['problems']) for result in results.values())} problems"
    )
    for scenario, result in results.items():
        assert result["problems"] == [], scenario
        assert result["struck"] >= result["points"] * 0.95, "the faults are met"
    assert sum(result["struck"] for result in results.values()) * every >= interface.of(4000, 2400)
    assert len(set().union(*(result["functions"] for result in results.values()))) >= interface.of(90, 28)
    refused = {scenario: result["outcomes"].get("AclError", 0) for scenario, result in results.items()}
    if "pyacl_flow" in results:
        refused["pyacl_flow"] = results["pyacl_flow"]["outcomes"]["Refused"]
    assert all(refused[scenario] > results[scenario]["points"] / 4 for scenario in results), refused
