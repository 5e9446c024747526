# SPDX-License-Identifier: Apache-2.0
"""Libraries that stand before the simulated device and change what some of its functions do, as a real runtime may."""

import re
from pathlib import Path

from ascend_venc._lowlevel import core
from helpers import c_library, himpi

ROOT = Path(__file__).resolve().parents[2]
HEADER = ROOT / "csrc" / "include" / "ascendcl.h"
# (result, name, parameters) of AscendCL's functions, and of those of DVPP V2
FUNCTIONS = re.findall(
    r"^    X\((?:RUNTIME|MEDIA), \w+, ([\w *]+?), (\w+), \((.*?)\)\)", HEADER.read_text(), flags=re.M
) + [entry[1:] for entry in himpi.FUNCTIONS]


def build(folder, source):
    """Compile C source into `folder`/libascendcl.so, in front of the simulated device; return its path.

    `real(name)` in it is the simulated device's function of that name.
    """
    device = core.simulated_device_path()
    text = f"""#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "ascendcl.h"
#include "himpi.h"
static void *find_real(const char *name) {{
    return dlsym(dlopen("{device}", RTLD_NOW | RTLD_NOLOAD), name);
}}
#define real(name) ((__typeof__(&name))find_real(#name))
{source}"""
    options = ["-O1", "-Wall", "-Werror", "-Wno-unused-function", f"-I{HEADER.parent}"]
    link = ["-Wl,--no-as-needed", device, f"-Wl,-rpath,{Path(device).parent}", "-ldl"]
    return c_library.build(folder / "libascendcl.so", text, *options, *link)


def around_every_function(before, after):
    """C source that calls `before` and `after` with a function's name around each function of the list."""
    text = ""
    for result, name, parameters in FUNCTIONS:
        words = [] if parameters == "void" else [word.split("*")[-1].split()[-1] for word in parameters.split(",")]
        text += f"""{result} {name}({parameters}) {{
    {before}("{name}");
    {result} result = real({name})({", ".join(words)});
    {after}("{name}");
    return result;
}}
"""
    return text


def install(folder, *, mpi=True, without=(), bodies=None, code=""):
    """Make `folder`/lib64 a whole CANN in front of the simulated device: files that each have their own functions only.

    `mpi`: with libacl_dvpp_mpi.so; `without` names functions that it lacks, `bodies` has others for some, `code` is C
    source before them. The chip is the simulated device's ($ASCEND_VENC_SIM_SOC).
    """
    lib = folder / "lib64"
    lib.mkdir(parents=True)
    of_v2 = {entry[2] for entry in himpi.FUNCTIONS}
    v1 = [entry for entry in FUNCTIONS if entry[1] not in of_v2]
    media = [entry for entry in v1 if re.match("acldvpp|aclvenc", entry[1])]
    _forward(lib / "libascendcl.so", [entry for entry in v1 if entry not in media])
    _forward(lib / "libacl_dvpp.so", media)
    if mpi:
        entries = [entry for entry in FUNCTIONS if entry[1] in of_v2 and entry[1] not in without]
        _forward(lib / "libacl_dvpp_mpi.so", entries, bodies or {}, code)
    return lib


def _forward(target, entries, bodies=(), code=""):
    """A library that needs nothing, and whose functions are the simulated device's, loaded at the first call."""
    lines = []
    for result, name, parameters in entries:
        words = [] if parameters == "void" else [word.split("*")[-1].split()[-1] for word in parameters.split(",")]
        given = "return " if result != "void" else ""
        body = bodies[name] if name in bodies else f"{given}real({name})({', '.join(words)});"
        lines.append(f"{result} {name}({parameters}) {{ {body} }}\n")
    text = (
        '#include <dlfcn.h>\n#include <fcntl.h>\n#include <unistd.h>\n#include "ascendcl.h"\n#include "himpi.h"\n'
        f"{code}\n"
        "static void *find_real(const char *name) {\n"
        f'    return dlsym(dlopen("{core.simulated_device_path()}", RTLD_NOW), name);\n}}\n'
        "#define real(name) ((__typeof__(&name))find_real(#name))\n" + "".join(lines)
    )
    c_library.build(target, text, "-O1", "-w", f"-I{HEADER.parent}", f"-Wl,-soname,{target.name}", "-ldl")
