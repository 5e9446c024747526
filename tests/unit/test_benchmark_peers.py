# SPDX-License-Identifier: Apache-2.0
"""The benchmarks' peers: they do the same work, and a peer that does other work ends the measurement."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"

pytestmark = pytest.mark.sim_only

# In a process of its own: the peers want a device without strict mode, and their modules have short names.
PROGRAM = """
import functools, json, sys
sys.path[:0] = [sys.argv[1], sys.argv[2]]
import device
from groups.frames import ENCODER, SERIAL, THREADED
from measure import DifferentWork, Work, Workload, alternate, check_peers

peers = {f"serial {name}": peer for name, peer in SERIAL.items() if name != "device alone"}
peers.update({f"threaded {name}": peer for name, peer in {**THREADED, **ENCODER}.items()})
workload = Workload(access_unit=3000, buffers=8)

class Liar:
    "Says that it has received one byte too many, or another picture."
    def __init__(self, workload, bytes_more=0, checksum=1):
        self.more, self.checksum, self.workload = bytes_more, checksum, workload
    def run(self, frames):
        return Work(frames, frames * 3000 + self.more, self.checksum if self.workload.checksums else None)
    def close(self):
        pass

def refused(function, *arguments):
    try:
        function(*arguments)
    except DifferentWork:
        return True
    return False

with device.configured(3000, output_slots=16):
    work = check_peers(peers, workload, 40)
    floor = {"C loop": SERIAL["C loop"]}
    print(json.dumps({
        "peers": len(peers),
        "work": [work.frames, work.bytes],
        "checksum differs": refused(check_peers, {**floor, "liar": Liar}, workload, 40),
        "bytes differ": refused(alternate, {**floor, "liar": functools.partial(Liar, bytes_more=1)}, workload, 40, 1),
        "times": [len(each) for each in alternate({**floor, "same": Liar}, workload, 40, 3)[0].values()],
    }))
"""


@pytest.fixture(scope="module")
def answers():
    pytest.importorskip("numpy")
    root = BENCHMARKS.parent
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(BENCHMARKS), str(root)],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    if done.returncode != 0 and "Python.h" in done.stderr:
        pytest.skip("Python.h, which the stand-in of pyACL is compiled with, is missing")
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_every_peer_encodes_the_same_frames(answers):
    assert answers["peers"] >= 15
    assert answers["work"] == [40, 40 * 3000]


@pytest.mark.parametrize("difference", ["checksum differs", "bytes differ"])
def test_peer_with_other_work_ends_the_measurement(answers, difference):
    assert answers[difference]


def test_peers_with_the_same_work_are_timed_as_often(answers):
    assert answers["times"] == [3, 3]
