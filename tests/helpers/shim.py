# SPDX-License-Identifier: Apache-2.0
"""Libraries that stand before the simulated device and change what some of its functions do, as a real runtime may."""

import re
import subprocess
from pathlib import Path

from ascend_venc._lowlevel import core
from helpers import himpi

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
    (folder / "shim.c").write_text(text)
    target = folder / "libascendcl.so"
    command = ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-Wno-unused-function", f"-I{HEADER.parent}"]
    link = ["-Wl,--no-as-needed", device, f"-Wl,-rpath,{Path(device).parent}", "-ldl"]
    subprocess.run([*command, "-o", str(target), str(folder / "shim.c"), *link], check=True)
    return target


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
