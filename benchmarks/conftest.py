# SPDX-License-Identifier: Apache-2.0
"""The device of the benchmarks: simulated, with the null codec, without strict mode."""

import os
import subprocess
from pathlib import Path

import pytest

os.environ["ASCEND_VENC_SIM_STRICT"] = "0"
ACCESS_UNIT = 20_000  # bytes
os.environ["ASCEND_VENC_SIM_OPTIONS"] = f"null_codec={ACCESS_UNIT}"

C = Path(__file__).resolve().parent / "c"
INCLUDE = C.parents[1] / "csrc" / "include"


@pytest.fixture(scope="session")
def c_floor(tmp_path_factory):
    """Return a function (frames, width, height, depth) -> median ns per frame of the same loop in C, of 5 runs."""
    from ascend_venc._lowlevel import core

    program = tmp_path_factory.mktemp("c") / "encode_loop"
    device = core.simulated_device_path()
    command = ["gcc", "-O2", "-std=gnu11", "-pthread", f"-I{INCLUDE}", str(C / "encode_loop.c"), device]
    subprocess.run([*command, f"-Wl,-rpath,{os.path.dirname(device)}", "-o", str(program)], check=True)

    def run(frames, width, height, depth):
        figures = []
        for _ in range(5):
            command = [str(program), *map(str, (frames, width, height, depth))]
            done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
            figures.append(float(done.stdout))
        return sorted(figures)[2]

    return run
