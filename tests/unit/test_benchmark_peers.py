# SPDX-License-Identifier: Apache-2.0
"""The benchmarks' peers and the check of their work: a peer that did other work, or none, ends the measurement."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"

pytestmark = [
    pytest.mark.timeout(660),
    pytest.mark.project,
    pytest.mark.sim_only,
    pytest.mark.v1_only("its peers call aclvenc*, and a process uses one interface"),
]

# In a process of its own: the peers want a device without strict mode, and their modules have short names.
PREFACE = """
import dataclasses, json, sys
sys.path[:0] = [sys.argv[1]]
import cases, harness, kinds, peers, run
from harness import DifferentWork, Sample, Work

def refusal(function, *arguments):
    try:
        function(*arguments)
    except DifferentWork as error:
        return str(error)
    return None
"""

PEERS = (
    PREFACE
    + """
found = {}
job = {"kind": "check", "peers": [], "rounds": 1, "access_unit": 3000}
names = [case for group in cases.GROUPS.values() for each in group(False) for case in each.peers]
checked = [name for name in dict.fromkeys(names) if peers.encodes(name)]
samples = kinds.measure({**job, "peers": checked})
harness.same_work(samples, 3000)
found["peers"] = checked
found["work"] = dataclasses.asdict(samples["C loop"][0].work)

# The lazy peers: each is given to a kind of measurement in place of the facade's program.
class Lazy(peers.AclProgram):
    "Says what it was asked for, and encodes nothing."
    def run(self, frames):
        return Work(frames, frames * self.workload.access_unit)
    def queue(self, frames):
        self.claimed = getattr(self, "claimed", 0) + frames * len(self.channels)
    def sender(self):
        return lambda: self.queue(1)
    def total(self):
        claimed = getattr(self, "claimed", 0)
        return Work(claimed, claimed * self.workload.access_unit)

class Half(peers.AclProgram):
    "Sends every second frame only, and says that it has sent them all."
    def run(self, frames):
        super().run(frames // 2)
        return Work(frames, frames * self.workload.access_unit)

class Short(peers.AclProgram):
    "Loses a byte of each access unit."
    def run(self, frames):
        work = super().run(frames)
        return Work(work.frames, work.bytes - work.frames)

class Other(peers.AclProgram):
    "Counts right, with other contents."
    def __init__(self, *arguments, on_packet, **options):
        super().__init__(*arguments, **options, on_packet=lambda unit: on_packet(unit[:-1] + b"!"))

SMALL = {"access_unit": 3000, "channels": 1, "buffers": 8, "frames": 40, "threaded": True, "phases": 3,
         "encode_time_us": 1000, "load": "none", "seconds": 0.1}
honest = peers.PEERS["facade, bytes_to_ptr"]
def planted(kind, liar, access_unit=3000, **more):
    peers.PEERS["facade, bytes_to_ptr"] = (liar, honest[1])
    job = {**SMALL, "kind": kind, "peers": ["C loop", "facade, bytes_to_ptr"], "rounds": 1, **more}
    try:
        return refusal(lambda: harness.same_work(kinds.measure(job), access_unit))
    finally:
        peers.PEERS["facade, bytes_to_ptr"] = honest
for kind in ("check", "frames", "files", "submit"):
    found[f"lazy in {kind}"] = planted(kind, Lazy)
found["half in frames"], found["half in check"] = planted("frames", Half), planted("check", Half)
found["short in frames"], found["other in check"] = planted("frames", Short), planted("check", Other)
found["honest in frames"] = planted("frames", peers.AclProgram)
harness.wait_until = lambda condition, seconds=0: condition()  # a lazy peer's packets never come
kinds._report_cpu = lambda name, peer: 0
found["lazy in bursts"] = planted("bursts", Lazy)

good = Sample({}, Work(40, 120000), 40, 40)
def changed(**values):
    work = Work(values.pop("frames", 40), values.pop("bytes", 120000), values.pop("checksum", None))
    return dataclasses.replace(good, work=work, **values)
checks = {
    "same": {"a": [good, good], "b": [good]},
    "none": {"a": [changed(frames=0, bytes=0)]},
    "unseen": {"a": [changed(counted=39)]},
    "nothing claimed": {"a": [changed(counted=0, claimed=0)]},
    "bytes": {"a": [changed(bytes=119999)]},
    "differ": {"a": [good], "b": [changed(frames=41, bytes=123000)]},
    "runs differ": {"a": [good, changed(frames=41, bytes=123000)]},
    "not measured": {"a": [good], "b": []},
}
found["check"] = {name: refusal(harness.same_work, samples, 3000) for name, samples in checks.items()}
print(json.dumps(found))
"""
)


def run(program, *arguments, **environment):
    env = {**os.environ, **environment}
    command = [sys.executable, "-c", program, str(BENCHMARKS), *map(str, arguments)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode != 0 and "Python.h" in done.stderr:
        pytest.skip("Python.h, which the stand-in of pyACL is compiled with, is missing")
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def answers():
    pytest.importorskip("numpy", reason="NumPy is not installed: the peers of the benchmarks need it")
    return run(PEERS)


def test_every_peer_encodes_the_same_frames(answers):
    assert answers["work"]["frames"] == 40 and answers["work"]["bytes"] == 40 * 3000 and answers["work"]["checksum"]
    wanted = {
        "C loop",
        "ctypes",
        "stand-in, bytes_to_ptr",
        "facade, numpy_to_ptr",
        "Encoder.submit_many",
        "Encoder.acquire",
    }
    assert wanted <= set(answers["peers"])


@pytest.mark.parametrize(
    ("planted", "text"),
    [
        ("lazy in check", "the device saw 0"),
        ("lazy in frames", "the device saw 0"),
        ("lazy in files", "0 frames"),
        ("lazy in submit", "the device saw 0"),
        ("lazy in bursts", "the device saw 0"),
        ("half in frames", "the device saw"),
        ("half in check", "the device saw 20"),
        ("short in frames", "3000 bytes in a frame"),
        ("other in check", "facade, bytes_to_ptr: Work(frames=40, bytes=120000"),
    ],
)
def test_planted_peer_ends_the_measurement(answers, planted, text):
    assert answers["honest in frames"] is None
    assert answers[planted] is not None and text.replace("0 frames", "did no work") in answers[planted]


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("none", "did no work"),
        ("unseen", "the device saw 39"),
        ("nothing claimed", "0 calls"),
        ("bytes", "3000 bytes in a frame"),
        ("differ", "b: Work(frames=41"),
        ("runs differ", "a: Work(frames=41"),
        ("not measured", "nothing was measured"),
    ],
)
def test_check_of_the_work_refuses(answers, what, text):
    assert answers["check"]["same"] is None
    assert text in answers["check"][what]


# ---- pyACL itself, which is linked with its device library ----

# What stands for the vendor's module: the stand-in of its shape, linked with its device library as that one. What is
# preloaded goes before its library, unless it is loaded such that it looks there first.
VENDOR = """
import os, sys
import native
if os.environ["STAND_IN"] == "past what is preloaded":
    sys.setdlopenflags(os.RTLD_NOW | os.RTLD_DEEPBIND)
sys.modules["acl"] = native.pyacl_shape()
"""
LINKED = (
    PREFACE
    + """
def measured(case, quick):
    peer = next(peer for peer in case.peers if peer.startswith("pyACL"))
    job = {**run.job_of(case, True), "peers": [peer], "rounds": 1, **quick}
    try:
        found = harness.run_worker(job, case.preload)
        harness.same_work(found, case.access_unit, case.alike)
    except Exception as error:
        return {"refused": str(error)}
    return found[peer][0].values
shorter = {"frames": 40, "seconds": 0.2, "phases": 2}
found = {}
for name in json.loads(sys.argv[2]):
    group = list(cases.GROUPS[name](True))
    case = next(case for case in group if any(peer.startswith("pyACL") for peer in case.peers))
    found[name] = measured(case, {key: value for key, value in shorter.items() if key in case.job})
print(json.dumps(found))
"""
)
WITH_A_PROBE = ("blocked", "rate", "latency")
WITHOUT = ("calls", "frames", "bursts", "files", "counts", "submit")


@pytest.fixture(scope="module")
def linked(answers, tmp_path_factory):
    """`answers` has built what is needed, or skipped."""
    folder = tmp_path_factory.mktemp("vendor")
    (folder / "acl.py").write_text(VENDOR)

    def measure(groups, bound=""):
        return run(LINKED, json.dumps(groups), STAND_IN=bound, PYTHONPATH=str(folder))

    return measure


def test_linked_module_is_measured_in_every_group(linked):
    found = linked(WITH_A_PROBE + WITHOUT)
    assert [values["refused"] for values in found.values() if "refused" in values] == []
    assert found["rate"]["fps"] > 0 and found["blocked"]["hold_p99"] > 0 and found["latency"]["p99"] > 0
    assert found["frames"]["cpu_ns"] > 0 and found["counts"]["allocations"] > 0 and found["calls"]["send"] > 0


def test_module_that_goes_past_the_probe_is_an_error(linked):
    for found in linked(WITH_A_PROBE, "past what is preloaded").values():
        assert "DifferentWork" in found["refused"] and "the probe saw" in found["refused"]


# ---- what is measured ----

CASES = (
    PREFACE
    + """
found = {}
for name, group in cases.GROUPS.items():
    for case in group(True):
        entry = {"kind": case.kind, "peers": case.peers, "load": case.job.get("load"), "job": case.job}
        entry.update(rounds=case.rounds, seconds=case.rounds * case.job.get("seconds", 0), where=case.where)
        entry["unknown"] = [peer for peer in case.peers if peer not in peers.PEERS and "call_soon" not in peer]
        found.setdefault(name, []).append(entry)
print(json.dumps(found))
"""
)


@pytest.fixture(scope="module")
def groups():
    return run(CASES)


def test_facade_and_pyacl_are_beside_every_load_at_both_sizes(groups):
    for name in ("blocked", "rate", "submit", "latency"):
        for peer in ("facade, bytes_to_ptr", "pyACL, bytes_to_ptr", "stand-in, bytes_to_ptr"):
            assert {case["load"] for case in groups[name] if peer in case["peers"]} >= {"none", "burn", "hold20"}
    for name in ("blocked", "rate"):
        for load in ("burn", "hold20"):
            assert {case["job"]["width"] for case in groups[name] if case["load"] == load} == {128, 1920}


def test_peers_of_the_cases_exist(groups):
    odd = {"Encoder", "hand-written FASTCALL"}
    for cases in groups.values():
        for case in cases:
            if case["kind"] not in ("convert", "padded"):
                assert set(case["unknown"]) <= odd, case["where"]


def test_cpu_ratios_with_threads_have_nine_runs_or_five_seconds(groups):
    for name in ("frames", "bursts", "files", "channels"):
        for case in groups[name]:
            large = case["job"].get("width", 128) > 128
            assert case["rounds"] >= (5 if large or "one thread" in case["where"] else 9) or case["seconds"] >= 5
