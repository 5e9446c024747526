# SPDX-License-Identifier: Apache-2.0
"""Chunks on a Ray cluster, with actors and drivers killed at random moments."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from ascend_venc import chunked
from helpers import clips, processes, waiting

pytest.importorskip("ray", reason="Ray is not installed (pip install ray)")
pytestmark = [pytest.mark.soak, pytest.mark.sim_only]

MOMENTS = 20
# A cluster that a program starts for itself lets no other one in, unless it is told to.
OPEN = {"RAY_AUTH_MODE": "disabled"}

CLUSTER = """
import sys
import ray

context = ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
print("at", context.address_info["gcs_address"], flush=True)
sys.stdin.read()
ray.shutdown()
"""

DRIVER = """
import sys
import ray
from ascend_venc import chunked

ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
plan = chunked.load_plan(sys.argv[2])
print("begun", flush=True)
chunked.encode_on_ray(plan, sys.argv[3], actors=2, shared=sys.argv[4] == "shared", retries=5, backend=sys.argv[5])
print("done", flush=True)
"""


def descendants(pid):
    found, left = {}, [pid]
    while left:
        parent = left.pop()
        try:
            for thread in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{thread}/children") as file:
                    children = [int(child) for child in file.read().split()]
                for child in children:
                    with open(f"/proc/{child}/cmdline", "rb") as file:
                        found[child] = file.read().replace(b"\0", b" ").decode(errors="replace")
                left += children
        except OSError:  # it ended while it was looked at
            continue
    return found


def actors_of(cluster):
    return [pid for pid, command in descendants(cluster.pid).items() if command.startswith("ray::Sessions")]


def is_there(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def next_line(process, begin):
    for line in process.stdout:
        if line.startswith(begin):
            return line.split()
    raise AssertionError(f"it ended with {process.wait()} before it said {begin!r}")


@pytest.fixture(scope="module")
def cluster():
    """A process that has started a cluster; with it all of the cluster ends."""
    with subprocess.Popen(
        [sys.executable, "-c", CLUSTER],
        env=processes.environment(ASCEND_VENC_SIM_OPTIONS="encode_time_us=20000", **OPEN),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            process.address = next_line(process, "at")[1]
            yield process
            ours = descendants(process.pid)
            assert any("raylet" in command for command in ours.values())
            process.stdin.close()
            process.wait(60)
        finally:
            process.kill()
    waiting.eventually(lambda: not any(map(is_there, ours)), 60)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("shared", ["shared", "sent back"])
@pytest.mark.parametrize("victim", ["actor", "driver"])
def test_kill_at_twenty_moments_and_the_bytes_are_the_same(cluster, tmp_path, backend, victim, shared):
    film = tmp_path / "film.y4m"
    film.write_bytes(clips.y4m(frames=64))
    plan = chunked.plan(film, codec="h264", gop=4, chunk=8)
    plan.save(tmp_path)
    expected = [chunked.encode_chunk(chunk, backend=backend).sha256 for chunk in plan.chunks]
    moments = random.Random(17)
    interrupted = 0
    for moment in range(MOMENTS // 2):
        folder = tmp_path / str(moment)
        command = [sys.executable, "-c", DRIVER, cluster.address, tmp_path, folder, shared, backend]
        for attempt in range(2):
            with subprocess.Popen(
                command, env=processes.environment(**OPEN), stdout=subprocess.PIPE, text=True
            ) as driver:
                try:
                    next_line(driver, "begun")
                    if attempt == 0 and victim == "driver":
                        time.sleep(moments.uniform(0, 4))
                        driver.kill()
                    elif attempt == 0:
                        waiting.eventually(lambda driver=driver: actors_of(cluster) or driver.poll() is not None, 60)
                        time.sleep(moments.uniform(0, 1))
                        for pid in actors_of(cluster)[:1]:
                            os.kill(pid, signal.SIGKILL)
                            interrupted += 1
                    driver.communicate(timeout=120)
                finally:
                    driver.kill()
            if attempt == 0 and victim == "driver":
                assert driver.returncode in (0, -signal.SIGKILL)
                interrupted += driver.returncode != 0
                waiting.eventually(lambda: not actors_of(cluster), 60)
            else:
                assert driver.returncode == 0
                break
        results = chunked.results_in(folder, plan)
        assert [result.sha256 for result in results] == expected, moment
        assert not [name for name in os.listdir(folder) if name.endswith(".json") and name[0] != "0"]
    assert interrupted >= MOMENTS // 4, "most were over before they were killed"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_signal_ends_the_command_and_the_cluster_that_it_started(tmp_path, backend, number):
    film = tmp_path / "film.y4m"
    film.write_bytes(clips.y4m(frames=48))
    command = ["encode", film, tmp_path / "a.mp4", "-c", "h264", "-g", "4", "--chunks", "8", "--ray", "local"]
    environment = processes.environment(ASCEND_VENC_SIM_OPTIONS="encode_time_us=3600000000", **OPEN)
    with subprocess.Popen(
        [sys.executable, "-m", "ascend_venc", *command, "--backend", backend],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            waiting.eventually(lambda: actors_of(process), 120)
            ours = descendants(process.pid)
            process.send_signal(number)
            _, errors = process.communicate(timeout=120)
        finally:
            process.kill()
    assert (process.returncode, errors) == (128 + number, "")
    waiting.eventually(lambda: not any(map(is_there, ours)), 120)
    assert os.listdir(tmp_path) == ["film.y4m"]
