# SPDX-License-Identifier: Apache-2.0
"""The benchmarks' peers: they do the same work, and a peer that does other work ends the measurement."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"

pytestmark = [pytest.mark.sim_only, pytest.mark.v1_only("its peers call aclvenc*, and a process uses one interface")]

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


# ---- pyACL itself, which is linked with its device library ----

# What stands for the vendor's module: the stand-in of its shape, with the device library of the variable. An empty one:
# what the process has loaded, as a linked module finds its functions; the probe is among that if it is preloaded.
VENDOR = """
import os, sys
import native
sys.modules["acl"] = native.pyacl_shape(os.environ["STAND_IN_DEVICE"])
"""
JOB = {"peer": "pyACL", "load": "none", "access_unit": 2000}
JOBS = {
    "blocked": {"channels": 2, "encode_time_us": 10_000, "output_slots": 1, "seconds": 0.3},
    "fast": {"encode_time_us": 500, "output_slots": 8, "seconds": 0.3},
    "steady": {"channels": 2, "seconds": 0.3},
    "latency": {"encode_time_us": 2_000, "frames": 50},
}
MEASURE = """
import json, sys
sys.path[:0] = [sys.argv[1], sys.argv[2], sys.argv[3]]
from groups import contention
try:
    print(json.dumps(contention.run(json.loads(sys.argv[4]))))
except RuntimeError as error:
    print(json.dumps({"refused": str(error)}))
"""


@pytest.fixture
def measured(answers, tmp_path):
    """`answers` has built what is needed, or skipped."""
    (tmp_path / "acl.py").write_text(VENDOR)

    def measure(what, bound_to, **job):
        job = {"what": what, **JOB, **JOBS[what], **job}
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", MEASURE, tmp_path, BENCHMARKS, BENCHMARKS.parent, json.dumps(job)],
            env={**os.environ, "STAND_IN_DEVICE": str(bound_to), "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads(done.stdout.splitlines()[-1])

    return measure


@pytest.mark.parametrize("what", JOBS)
def test_linked_module_is_seen_by_the_probe(measured, what):
    found = measured(what, "")
    assert "refused" not in found, found["refused"]
    if what in ("blocked", "fast"):
        assert found["frames_per_second"] > 0 and found["blocked_percent"] >= 0
    elif what == "steady":
        assert found["hold_us"]["p50"] > 0
    else:
        assert len(found["us"]) == 50 and min(found["us"]) > 0


@pytest.mark.parametrize("what", JOBS)
def test_peer_that_goes_past_the_probe_is_an_error(measured, what):
    from ascend_venc._lowlevel import core

    found = measured(what, core.simulated_device_path())
    assert "DifferentWork" in found["refused"]
    assert "the probe saw" in found["refused"] or "0 callbacks" in found["refused"]


def test_facade_is_in_every_group_with_a_load():
    sys_path = [str(BENCHMARKS), str(BENCHMARKS.parent)]
    program = f"""
import json, sys
sys.path[:0] = {sys_path!r}
from types import SimpleNamespace
from groups import contention
seen = {{}}
def in_turn(options, what, jobs):
    seen.setdefault(group, set()).update((job["peer"], job["load"]) for job in jobs if "load" in job)
    raise StopIteration
contention.in_turn = in_turn
for group in ("blocked", "fast", "submit", "latency", "programs"):
    try:
        getattr(contention, group)(SimpleNamespace(pyacl=True, quick=True, repeats=1))
    except StopIteration:
        pass
print(json.dumps({{name: sorted(map(list, jobs)) for name, jobs in seen.items()}}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr[-4000:]
    seen = json.loads(done.stdout)
    assert len(seen) == 5
    for group, jobs in seen.items():
        for peer in ("ascend_venc.acl", "pyACL", "pyACL shape (stand-in), as shipped"):
            assert {load for name, load in jobs if name == peer} == {"none", "burn", "hold20"}, (group, peer)
