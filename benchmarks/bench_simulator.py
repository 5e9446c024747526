# SPDX-License-Identifier: Apache-2.0
"""What the simulated device itself costs with its null codec: from aclvencSendFrame to the begin of the callback.

Goal: below 5 us median at 128 x 128, and as much with 64 channels as with one, so that it does not hide what a binding
costs. As a benchmark the figures are in the extra_info; `python benchmarks/bench_simulator.py` prints them.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ascend_venc._lowlevel import core

ROOT = Path(__file__).resolve().parents[1]
CHANNELS = (1, 4, 16, 64)
FRAMES = 20_000
ACCESS_UNIT = 2000  # bytes


def build(folder):
    """Compile c/sim_cost.c against the simulated device of this installation; return the program."""
    program = Path(folder) / "sim_cost"
    device = core.simulated_device_path()
    command = ["gcc", "-O2", "-std=gnu11", "-Wall", "-pthread"]
    command += [f"-I{ROOT / 'csrc' / 'include'}", f"-I{ROOT / 'csrc' / 'sim'}"]
    command += [str(ROOT / "benchmarks" / "c" / "sim_cost.c"), device, f"-Wl,-rpath,{os.path.dirname(device)}"]
    subprocess.run([*command, "-o", str(program)], check=True)
    return program


def measure(program, mode, channels):
    """(median, 99th percentile) in ns of one frame in flight; `mode` as in c/sim_cost.c."""
    command = [str(program), mode, str(channels), str(FRAMES), str(ACCESS_UNIT)]
    environment = {**os.environ, "ASCEND_VENC_SIM_STRICT": "0", "ASCEND_VENC_SIM_OPTIONS": ""}
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120, env=environment)
    median, late = done.stdout.split()
    return int(median), int(late)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return build(tmp_path_factory.mktemp("c"))


@pytest.mark.parametrize("channels", CHANNELS)
def bench_simulated_device_from_send_to_callback(benchmark, program, channels):
    figures = []
    benchmark.pedantic(lambda: figures.append(measure(program, "one", channels)[0]), rounds=5)
    median = sorted(figures)[2]
    alone = measure(program, "one", 1)[0]
    benchmark.extra_info.update(channels=channels, ns_per_frame=median, ratio_to_one_channel=round(median / alone, 2))
    print(f"\n{channels} channels: {median} ns from send to callback, {median / alone:.2f} of one channel's")


def main():
    with tempfile.TemporaryDirectory() as folder:
        program = build(folder)
        wake = measure(program, "wake", 1)[0]
        print(f"median ns from send to callback, {FRAMES} frames, {ACCESS_UNIT} bytes each")
        print("channels  one thread  report thread")
        for channels in CHANNELS:
            one, two = measure(program, "one", channels)[0], measure(program, "two", channels)[0]
            print(f"{channels:8}  {one:10}  {two:13}")
        print(f"a thread's wake-up by the operating system, which the last column holds: {wake}")


if __name__ == "__main__":
    sys.exit(main())
