# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for broken or partial CANN installations, compiled with the C compiler when a test needs them."""

import re
from pathlib import Path

from helpers import c_library

HEADER = Path(__file__).resolve().parents[2] / "csrc" / "include" / "ascendcl.h"
LIST = re.findall(
    r"^    X\((RUNTIME|MEDIA), (?:REQUIRED|OPTIONAL), ([\w *]+?), (\w+), ", HEADER.read_text(), flags=re.M
)


MPI = re.findall(r"^    X\((REQUIRED|OPTIONAL), [\w *]+?, (\w+), ", (HEADER.parent / "himpi.h").read_text(), flags=re.M)


def compile_library(path, functions, bodies=None, code=""):
    """Build a shared library whose functions return 0, or what `bodies` says for a name; `code` comes before them."""
    bodies = bodies or {}
    lines = ["#include <fcntl.h>", "#include <stdint.h>", "#include <stdio.h>", "#include <unistd.h>", code]
    for name in functions:
        lines.append(f"long {name}(void *first) {{ (void)first; {bodies.get(name, 'return 0;')} }}")
    path.parent.mkdir(parents=True, exist_ok=True)
    return c_library.build(path, "\n".join(lines) + "\n", "-w", f"-Wl,-soname,{path.name}")


def leaving_a_mark(path):
    """C code of a library that makes the file `path` when it is loaded."""
    return f'__attribute__((constructor)) static void mark(void) {{ close(open("{path}", O_CREAT | O_WRONLY, 0600)); }}'


def install(root, *, devices=1, media=True, without=(), count_code=0, bodies=None, code=""):
    """Make `root`/lib64 look like CANN: `devices` NPUs, perhaps without the media library or some functions.

    `bodies` and `code` are those of `compile_library`, for the runtime library.
    """
    lib = root / "lib64"
    lib.mkdir(parents=True)
    count = f"if (first) *(uint32_t *)first = {devices}; return {count_code};"
    runtime = [name for library, _, name in LIST if library == "RUNTIME" and name not in without]
    compile_library(lib / "libascendcl.so", runtime, {"aclrtGetDeviceCount": count, **(bodies or {})}, code)
    if media:
        names = [name for library, _, name in LIST if library == "MEDIA" and name not in without]
        compile_library(lib / "libacl_dvpp.so", names)
    return lib


def install_mpi(lib, *, without=(), code=""):
    """Add libacl_dvpp_mpi.so, DVPP V2, with its required functions."""
    names = [name for presence, name in MPI if presence == "REQUIRED" and name not in without]
    return compile_library(lib / "libacl_dvpp_mpi.so", names, code=code)
