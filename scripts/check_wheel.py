#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a wheel holds, and what its libraries ask for: `python scripts/check_wheel.py FILE.whl...`.

Nothing but files of the package; no source but declarations; each ELF file for the machine that the name tells, with
run paths inside of the package, no library needed but glibc's and the engine beside it, and no path of the machine that
built it; NumPy as the only dependency; the licence and the list of licences. Exit code 1 where something is otherwise.
Needs readelf.
"""

import email
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

# What a library may need: glibc's files, by the names that they had before 2.34 too, and the engine.
GLIBC = re.compile(r"(libc|libpthread|libdl|libm|librt)\.so\.\d|ld-linux-(x86-64|aarch64)\.so\.\d")
ENGINE = "libavenc.so"
MACHINES = {"x86_64": "Advanced Micro Devices X86-64", "aarch64": "AArch64"}
LIBRARIES = {
    "_lib/libavenc.so",
    "_lib/libascendvenc_sim.so",
    "_lib/acl/libascendcl.so",
    "_lib/acl/libacl_rt.so",
    "_lib/acl/libacl_dvpp.so",
    "_lib/acl/libacl_dvpp_mpi.so",
    "_lib/acl/libacl_op_compiler.so",
}
# A build in a folder of one of these would be told by the file.
BUILDER = re.compile(rb"/(?:home|root|tmp|build|usr/src|opt|var)/[\w./+-]*")
SUFFIXES = {".py", ".pyi", ".pxd", ".so"}


def entries(name, tag, text):
    """What the dynamic section says under a tag."""
    return re.findall(rf"^ *0x[0-9a-f]+ +\({tag}\) .*\[(.*)\]", text, flags=re.M)


def elf_problems(name, path, machine):
    """What is wrong with one library. `name` is its path below the package."""
    done = subprocess.run(["readelf", "-hdW", path], capture_output=True, text=True, check=True, env={"LC_ALL": "C"})
    text = done.stdout
    if not re.search(rf"^ *Machine: +{re.escape(MACHINES.get(machine, machine))}$", text, flags=re.M):
        yield f"{name}: not for {machine}"
    engine_folder = "$ORIGIN/" + "../" * name.count("/") + "_lib"
    is_module = name.startswith("_lowlevel/")
    if entries(name, "RPATH", text) or set(entries(name, "RUNPATH", text)) - ({engine_folder} if is_module else set()):
        yield f"{name}: run path {entries(name, 'RPATH', text) + entries(name, 'RUNPATH', text)}"
    for needed in entries(name, "NEEDED", text):
        if not GLIBC.fullmatch(needed) and not (is_module and needed == ENGINE):
            yield f"{name}: needs {needed}"
    for filtered in entries(name, "FILTER", text):
        if not name.startswith("_lib/acl/") or filtered != "$ORIGIN/../libascendvenc_sim.so":
            yield f"{name}: is a filter of {filtered}"
    if name.startswith("_lib/acl/") and not entries(name, "FILTER", text):
        yield f"{name}: is no filter of the simulated device"


def metadata_problems(text):
    metadata = email.message_from_string(text)
    plain = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    if [re.split(r"[<>=!~; ]", line)[0] for line in plain] != ["numpy"]:
        yield f"METADATA: the base install needs {plain}, and should need NumPy only"
    if metadata["License-Expression"] != "Apache-2.0":
        yield f"METADATA: License-Expression is {metadata['License-Expression']}"


def problems(wheel):
    """Every fault of a wheel, as lines; an empty list where there is none."""
    found = []
    distribution, version, _, _, platform = Path(wheel).stem.split("-")
    machine = next((name for name in MACHINES if platform.endswith(name)), platform)
    info = f"{distribution}-{version}.dist-info/"
    with zipfile.ZipFile(wheel) as archive, tempfile.TemporaryDirectory() as folder:
        names = archive.namelist()
        libraries = set()
        for name in names:
            if name.startswith(info) or name.endswith("/"):
                continue
            inner = name.partition("/")[2]
            if name == "ascend_venc_command.py":  # where the command begins
                continue
            if not name.startswith("ascend_venc/"):
                found.append(f"{name}: outside of the package")
            elif Path(name).suffix not in SUFFIXES and Path(name).name != "py.typed":
                found.append(f"{name}: should not be in a wheel")
            elif name.endswith(".so"):
                libraries.add(inner)
                path = archive.extract(name, folder)
                found += elf_problems(inner, path, machine)
                told = BUILDER.findall(Path(path).read_bytes())
                found += [f"{name}: tells {text.decode()} of the machine that built it" for text in sorted(set(told))]
        found += [f"{name}: is missing" for name in sorted(LIBRARIES - libraries)]
        for wanted in ("licenses/LICENSE", "licenses/LICENSES.md", "METADATA", "RECORD", "WHEEL"):
            if info + wanted not in names:
                found.append(f"{info}{wanted}: is missing")
        if "ascend_venc/py.typed" not in names:
            found.append("ascend_venc/py.typed: is missing")
        found += metadata_problems(archive.read(info + "METADATA").decode())
    return found


def main(wheels):
    if not wheels:
        print(__doc__, file=sys.stderr)
        return 2
    failed = False
    for wheel in wheels:
        found = problems(wheel)
        failed = failed or bool(found)
        for line in found:
            print(f"{Path(wheel).name}: {line}", file=sys.stderr)
        if not found:
            print(f"{Path(wheel).name}: {Path(wheel).stat().st_size} bytes, nothing foreign")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
