# SPDX-License-Identifier: Apache-2.0
"""Programs of the benchmarks, each run in a process of its own on the simulated device without strict mode."""

import json
import os
import subprocess
import tempfile
from pathlib import Path

from ascend_venc._lowlevel import core

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
_built = {}
_folder = tempfile.TemporaryDirectory(prefix="ascend-venc-bench-")


def environment(**options):
    """The environment with options of the simulated device."""
    env = dict(os.environ, ASCEND_VENC_SIM_STRICT="0", ASCEND_VENC_BACKEND="sim")
    env["ASCEND_VENC_SIM_OPTIONS"] = ",".join(f"{name}={value}" for name, value in options.items())
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    env.pop("PYTHONMALLOC", None)
    return env


def compiled(name):
    """Path of benchmarks/c/<name>.c as a program that is linked with the simulated device."""
    if name not in _built:
        device = core.simulated_device_path()
        program = os.path.join(_folder.name, name)
        source = HERE / "c" / f"{name}.c"
        command = ["gcc", "-O2", "-std=gnu11", "-pthread", f"-I{ROOT}/csrc/include", str(source), device]
        subprocess.run([*command, f"-Wl,-rpath,{os.path.dirname(device)}", "-o", program], check=True)
        _built[name] = program
    return _built[name]


def run(command, timeout=300, **options):
    """Run a program and return the JSON object that it prints. Fails with what it says on standard error."""
    command = [str(part) for part in command]
    done = subprocess.run(
        command, env=environment(**options), capture_output=True, text=True, check=False, timeout=timeout
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout)
