# SPDX-License-Identifier: Apache-2.0
"""Compiles what the benchmarks have in C, into build/benchmarks. Nothing of it is ever installed."""

import functools
import hashlib
import importlib.util
import os
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # what is measured is the package of this tree, whatever else is installed
SOURCES = ROOT / "benchmarks" / "c"
FOLDER = ROOT / "build" / "benchmarks" / "compiled"
FLAGS = ["-O2", "-std=gnu11", "-D_GNU_SOURCE", "-pthread", "-fPIC", "-shared", "-fno-plt"]
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"]  # of methods and callbacks


def device_library():
    """The simulated device that all peers load."""
    from ascend_venc._lowlevel import core

    return core.simulated_device_path()


def _build(source, *arguments):
    """Compile one source, linked with the device if it calls it, unless the same has been built. Return the path."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    device, name = device_library(), source.stem
    inputs = [source, SOURCES / "device.h", *sorted((ROOT / "csrc" / "include").glob("*.h"))]
    command = [os.environ.get("CC", "gcc"), *FLAGS, *WARNINGS, *arguments, str(source)]
    command += [f"-I{ROOT}/csrc/include", f"-I{ROOT}/csrc/sim"]
    command += [f"-Wl,--as-needed,{device},-rpath,{os.path.dirname(device)}", "-ldl"]
    key = hashlib.sha256("\0".join(command).encode() + b"".join(path.read_bytes() for path in inputs)).hexdigest()
    target = FOLDER / f"{name}-{key[:16]}.so"
    if not target.exists():
        building = FOLDER / f"{name}.{os.getpid()}"
        subprocess.run([*command, "-o", str(building)], check=True)
        os.replace(building, target)
    return target


def floor_library():
    return _build(SOURCES / "floor.c", "-fvisibility=hidden")


def probe_library():
    """The device library that takes the time of callbacks, on top of the simulated device."""
    return _build(SOURCES / "probe.c")


def allocation_counter():
    """To be preloaded. It is the tests', with every caller in its range."""
    source = ROOT / "tests" / "integration" / "native" / "count_allocations.c"
    return _build(source, "-fno-builtin", "-U_GNU_SOURCE")  # which it defines


_threads = {}  # by their number


def start_thread(function, argument):
    """acl.util.start_thread, of peers that have none of their own."""
    thread = threading.Thread(target=function, args=(argument,))
    thread.start()
    _threads[thread.ident] = thread
    return thread.ident, 0


def stop_thread(ident):
    _threads.pop(ident).join()
    return 0


@functools.lru_cache(maxsize=1)
def pyacl_shape():
    """Import the stand-in for pyACL, which is linked with the device library, as the vendor's module is."""
    import numpy

    includes = [f"-I{sysconfig.get_paths()['include']}", f"-I{numpy.get_include()}"]
    spec = importlib.util.spec_from_file_location("pyacl_shape", _build(SOURCES / "pyacl_shape.c", *includes))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.util.start_thread, module.util.stop_thread = start_thread, stop_thread
    return module


def build_all():
    import numpy  # noqa: F401 - a missing NumPy shall show before anything is measured

    for build in (floor_library, probe_library, allocation_counter, pyacl_shape):
        build()
