# SPDX-License-Identifier: Apache-2.0
"""Every call of AscendCL that the Encoder makes never returns, once: see tests/helpers/hang_sweep.py."""

import concurrent.futures
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers import hang_sweep, interface, processes

pytestmark = pytest.mark.sim_only

PROGRAM = Path(hang_sweep.__file__)
SLACK = 10.0  # seconds that a busy machine may add to a bound; a process that hangs does so for ever

# Which calls of the vendor's may keep a Ctrl-C waiting: sends are made by the caller's thread. They block nobody else:
# a process with such a thread ends all the same.
CALLERS = {
    interface.SEND,
    "aclrtMemcpy",
    "aclrtGetCurrentContext",
    "aclrtSetCurrentContext",
    "aclGetRecentErrMsg",
}


NOT_MET = "not met"


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), *map(str, arguments)],
        env=processes.environment(ASCEND_VENC_SIM_STRICT=0),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*arguments, timeout=100):
    with start(*arguments) as process:
        try:
            output, errors = process.communicate(timeout=timeout)
        finally:
            process.kill()
    assert process.returncode == 0, errors[-4000:]
    return json.loads(output)


def check_bounds(result, least):
    print(f"{result['points']} points where a call never returns, {result['struck']} met")  # for scripts/check.sh
    assert result["problems"] == []
    assert result["struck"] >= result["points"] * 0.9, "the hangs are met"
    assert result["points"] >= least
    assert set(result["held"]) <= hang_sweep.HELD
    assert set(result["lost_neighbours"]) <= hang_sweep.REPORTING


def end(function, nth, after, how):
    """What is wrong with the end of a process in which that call hangs, or None."""
    where = f"{function} call {nth} {after} its work, {how}"
    with start("end", function, nth, after, how) as process:
        try:
            output, errors = process.communicate(timeout=40)
        except subprocess.TimeoutExpired:
            process.kill()
            return f"{where}: the process did not end: {process.communicate()}"
        took = time.monotonic()
    if not output:
        return f"{where}: exit code {process.returncode}: {errors[-1000:]}"
    seen = json.loads(output)
    took -= seen["end"]
    if process.returncode != 0 or errors:
        return f"{where}: exit code {process.returncode}: {errors[-1000:]}"
    if took > 2 + SLACK:
        return f"{where}: the process took {took:.1f} s to end"
    if how == "main" and not seen["done"]:
        if seen["interrupted"] is None or seen["interrupted"] > SLACK:
            return f"{where}: Ctrl-C took {seen['interrupted']} s"
    elif how == "thread" and not seen["hung"] and function != "aclFinalize":  # which comes after this line
        return f"{where}: {NOT_MET}"
    return None


def check_ends(points):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        problems = [problem for problem in pool.map(lambda point: end(*point), points) if problem]
    # How often a context is bound, or a report thread calls, depends on how the threads take turns.
    missed = [problem for problem in problems if problem.endswith(NOT_MET)]
    assert len(missed) <= max(1, len(points) * 0.04), missed
    problems = [problem for problem in problems if problem not in missed]
    print(f"{len(points)} ends of processes beside such a call, {len(problems)} problems")
    assert not problems, "\n".join(problems)


def end_points(calls):
    points = []
    for function, number in calls.items():
        for nth in sorted({1, 2, number} if number > 1 else {1}):
            for after in ("before", "after"):
                points.append((function, nth, after, "thread"))
                if function not in CALLERS:
                    points.append((function, nth, after, "main"))
    return points


@pytest.mark.parametrize("face", ["sync", "aio"])
def test_a_slice_of_the_calls_that_never_return(face):
    check_bounds(run("bounds", face, interface.of(44, 26)), 6)  # V2 makes fewer calls


def test_ends_of_processes_beside_a_slice_of_the_calls():
    check_ends(end_points(run("calls"))[::20])


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("face", ["sync", "aio"])
def test_each_call_may_never_return(face):
    check_bounds(run("bounds", face, timeout=3500), interface.of(300, 220))


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_process_ends_and_ctrl_c_works_beside_each_call():
    calls = run("calls")
    assert len(calls) >= interface.of(40, 28)
    check_ends(end_points(calls))
