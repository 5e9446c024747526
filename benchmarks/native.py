# SPDX-License-Identifier: Apache-2.0
"""Compiles what the benchmarks have in C, into build/benchmarks. Nothing of it is ever installed."""

import hashlib
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # what is measured is the package of this tree, whatever else is installed
SOURCES = Path(__file__).resolve().parent / "c"
FOLDER = ROOT / "build" / "benchmarks" / f"{sys.implementation.cache_tag}-{sysconfig.get_config_var('SOABI') or 'c'}"
CC = os.environ.get("CC", "gcc")
FLAGS = ["-O2", "-std=gnu11", "-D_GNU_SOURCE", "-pthread", "-Wall", "-Wextra", "-Werror"]


def device_library():
    """The simulated device that all peers load."""
    from ascend_venc._lowlevel import core

    return core.simulated_device_path()


def _build(name, source, *arguments):
    """Compile one source unless the same has been built before; return the path."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    headers = (ROOT / "csrc" / "include").glob("*.h")
    inputs = [SOURCES / source, SOURCES / "device.h", *sorted(headers)]
    command = [CC, *FLAGS, f"-I{ROOT}/csrc/include", f"-I{ROOT}/csrc/sim", *arguments, str(inputs[0]), "-ldl"]
    key = hashlib.sha256("\0".join(command).encode() + b"".join(path.read_bytes() for path in inputs)).hexdigest()
    target = FOLDER / name
    stamp = FOLDER / f"{name}.key"
    if not target.exists() or not stamp.exists() or stamp.read_text() != key:
        building = FOLDER / f"{name}.{os.getpid()}"
        subprocess.run([*command, "-o", str(building)], check=True)
        os.replace(building, target)
        stamp.write_text(key)
    return target


def floor_library():
    return _build("floor.so", "floor.c", "-fPIC", "-shared", "-fvisibility=hidden")


def probe_library():
    """The device library that takes the time of callbacks, on top of the simulated device."""
    device = device_library()
    return _build(
        "probe.so", "probe.c", "-fPIC", "-shared", f"-Wl,--no-as-needed,{device},-rpath,{os.path.dirname(device)}"
    )


def allocation_counter():
    """To be preloaded."""
    return _build("allocations.so", "allocations.c", "-fPIC", "-shared", "-fno-builtin")


def pyacl_shape(device):
    """Import the stand-in for pyACL, bound to a device library."""
    import importlib.util

    import numpy

    name = "pyacl_shape" + sysconfig.get_config_var("EXT_SUFFIX")
    includes = [f"-I{sysconfig.get_paths()['include']}", f"-I{numpy.get_include()}"]
    path = _build(name, "pyacl_shape.c", "-fPIC", "-shared", "-Wno-unused-parameter", *includes)
    os.environ["ASCEND_VENC_BENCH_DEVICE"] = str(device)
    spec = importlib.util.spec_from_file_location("pyacl_shape", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build_all():
    import numpy  # noqa: F401 - a missing NumPy shall show before anything is measured

    for build in (floor_library, probe_library, allocation_counter):
        build()
    pyacl_shape(device_library())
