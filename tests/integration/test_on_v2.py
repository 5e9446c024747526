# SPDX-License-Identifier: Apache-2.0
"""The engine's tests once more on DVPP V2: the same files, by the parameter --interface=v2, each in a process.

A process uses one of the vendor's interfaces, so this one cannot do it itself. These files are most about the engine;
`pytest --interface=v2` runs the others too.
"""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from helpers import processes

pytestmark = [pytest.mark.sim_only, pytest.mark.v1_only("this is what runs the files on V2 beside the suite on V1")]

# File: how many of its tests pass at least, so that none is left out unseen.
FILES = {
    "back_pressure": 20,
    "encoder_faults": 70,
    "fault_sweep": 1,
    "hang_sweep": 3,
    "ownership": 137,
    "pairs": 4,
    "reconfigure": 16,
    "refused_sends": 16,
    "signals": 57,
    "waiting": 33,
}


def run(root, name):
    return subprocess.run(
        [
            sys.executable,
            *("-m", "pytest", "-q", "-p", "no:cacheprovider", "--interface=v2", "--every=8"),
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
    """All of the chosen files, two at a time: they wait more than they compute."""
    chosen = {item.callspec.params["name"] for item in request.session.items if item.path == Path(__file__)}
    with ThreadPoolExecutor(2) as pool:
        yield {name: pool.submit(run, request.config.rootpath, name) for name in FILES if name in chosen}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", FILES)
def test_file_passes_on_v2(name, runs):
    done = runs[name].result()
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout.splitlines()[-1])
    assert passed and int(passed.group(1)) >= FILES[name], done.stdout[-2000:]
