# SPDX-License-Identifier: Apache-2.0
"""The engine's tests once more on DVPP V2 and on a board: the same files, by --interface=v2 and --chip.

A process uses one of the vendor's interfaces and one chip, so each file is run in one of its own. These files are most
about the engine; `pytest --interface=v2 --chip=Ascend310B4` runs the others too.
"""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from helpers import processes

pytestmark = [pytest.mark.sim_only, pytest.mark.v1_only("this is what runs the files on V2 beside the suite on V1")]

# On V2 and the suite's chip. File: how many of its tests pass at least, so that none is left out unseen.
FILES = {"back_pressure": 20, "encoder_faults": 70, "reconfigure": 16, "refused_sends": 16}
MORE_FILES = {  # for scripts/check.sh full, as what follows
    "fault_sweep": 1,
    "hang_sweep": 3,
    "ownership": 137,
    "pairs": 4,
    "sei": 72,
    "signals": 57,
    "waiting": 33,
}
BOARD = "Ascend310B4"  # on which memory is one: no staging, no copy back, buffers of the size that was asked for
ON_A_BOARD = {"encoder_faults": 130}
# What docs/reliability.md promises, on the board by either interface.
PROMISED = [
    "aio",
    "encoder_faults",
    "futures",
    "group",
    "hang_sweep",
    "life_cycle",
    "lost_device",
    "memory_error",
    "ownership",
]
PROMISED += ["back_pressure", "reconfigure", "refused_sends", "signals", "waiting"]
RUNS = {
    **{(name, "v2", None): least for name, least in FILES.items()},
    **{(name, "v1", BOARD): least for name, least in ON_A_BOARD.items()},
}
SOAK = {
    (name, interface, BOARD): 3
    for name in PROMISED
    for interface in ("v1", "v2")
    if name not in ON_A_BOARD or interface == "v2"
}
SOAK.update(
    {
        (name, "v2", None): MORE_FILES.get(name, 3)
        for name in {**MORE_FILES, **dict.fromkeys(PROMISED)}
        if name not in FILES
    }
)


def run(root, name, interface, chip):
    return subprocess.run(
        [
            sys.executable,
            *("-m", "pytest", "-q", f"--interface={interface}", "--every=8"),
            # No file here has a use for these, and some take a second to be imported.
            *(f"-pno:{plugin}" for plugin in ("cacheprovider", "hypothesispytest", "xdist", "benchmark")),
            *([f"--chip={chip}"] if chip else []),
            str(root / "tests" / "integration" / f"test_{name}.py"),
        ],
        cwd=root,
        env=processes.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )


@pytest.fixture(scope="module")
def runs(request):
    """All of the chosen files, two at a time: they wait more than they compute. One, beside another worker."""
    chosen = {item.callspec.params["what"] for item in request.session.items if item.path == Path(__file__)}
    with ThreadPoolExecutor(1 if "PYTEST_XDIST_WORKER" in os.environ else 2) as pool:
        root = request.config.rootpath
        yield {what: pool.submit(run, root, *what) for what in {**RUNS, **SOAK} if what in chosen}


def case(what, *marks):
    return pytest.param(what, id="-".join(filter(None, what)), marks=marks)


@pytest.mark.leaves_open("pipes of the file that is run meanwhile")
@pytest.mark.timeout(400)
@pytest.mark.parametrize("what", [*map(case, RUNS), *(case(what, pytest.mark.soak) for what in SOAK)])
def test_file_passes_elsewhere_too(what, runs):
    done = runs[what].result()
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout.splitlines()[-1])
    assert passed and int(passed.group(1)) >= {**RUNS, **SOAK}[what], done.stdout[-2000:]
