# SPDX-License-Identifier: Apache-2.0
"""What the files, variables and limits of the host mean."""

from __future__ import annotations

import difflib
import os
import re
from typing import TYPE_CHECKING

from .. import device_search
from .finding import FAIL, NODES, NOTE, OK, WARN, Finding
from .host import OWN, OWN_VARIABLES, Cann, Host, is_stub, library_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .examination import Examination

FEWEST_FILES = 256  # descriptors: a few encoders with asyncio, files and sockets
# The driver that each CANN was released with, by the tables of release pairs; a later one works with an earlier CANN.
DRIVER_OF_CANN = (((6, 3), (23, 0)), ((8, 0), (24, 1)), ((8, 2), (25, 0)))
_LEADING = (device_search.LIBRARY_VARIABLE, *device_search.ROOT_VARIABLES)


def of_host(examination: Examination) -> Iterator[Finding]:
    """Judge what was read: Python and its packages, variables, files, driver, nodes, limits."""
    yield from _of_python(examination)
    yield from _of_packages(examination)
    yield from _of_variables(examination.host)
    yield from _of_files(examination)
    yield from _of_driver(examination)
    yield from _of_nodes(examination)
    yield from _of_limits(examination.host)


def wants_ascend(examination: Examination) -> bool:
    """Whether an Ascend was asked for, or something of one is on this host."""
    host = examination.host
    asked = examination.backend or host.variables.get("ASCEND_VENC_BACKEND") or "auto"
    return bool(
        not (asked == "auto" or asked.startswith("sim"))
        or host.canns
        or host.nodes
        or host.driver_folder
        or (asked == "auto" and any(host.variables.get(name) for name in _LEADING))
    )


def _of_python(examination: Examination) -> Iterator[Finding]:
    host = examination.host
    serious = FAIL if wants_ascend(examination) and not examination.encodes else WARN
    if host.python_bits != 64:
        yield Finding(
            serious,
            "python.32bit",
            "this Python is a 32-bit program",
            "use a 64-bit Python: CANN has 64-bit libraries only",
        )
    if host.libc == "musl":
        yield Finding(
            serious,
            "python.musl",
            "this Python uses the C library musl, and CANN's libraries need glibc",
            "use a distribution with glibc (Debian, Ubuntu, openEuler; not Alpine) on an Ascend host",
        )


def _of_packages(examination: Examination) -> Iterator[Finding]:
    outcome = examination.packages
    found = outcome.result
    if found is None:
        yield Finding(
            WARN,
            "packages.import",
            outcome.problem,
            "install NumPy and PyAV anew: pip install --force-reinstall numpy av",
        )
        return
    if found["pyav_problem"]:
        missing = "No module named 'av'" in found["pyav_problem"]
        yield Finding(
            WARN,
            "pyav.missing" if missing else "pyav.broken",
            "PyAV is not installed: no mp4, mkv, ts; y4m and raw frames work"
            if missing
            else f"PyAV cannot be imported: {_without_advice(found['pyav_problem'])}",
            "pip install 'ascend-venc[sim]'" if missing else "pip install --force-reinstall av",
        )
        return
    if not found["encoders"]:
        yield Finding(
            WARN,
            "pyav.encoders",
            f"PyAV {found['pyav']} has neither libx264 nor libx265: the simulated device has no codec in it",
            "pip install --force-reinstall --only-binary av av (its wheels have both)",
        )
    names = ", ".join({"matroska": "mkv", "mpegts": "ts"}.get(name, name) for name in found["formats"])
    yield Finding(OK, "pyav", f"PyAV {found['pyav']}: reads and writes {names}")


def _without_advice(text: str) -> str:
    found = re.match(r"this kind of file needs PyAV: .*?\((.*)\)$", text)
    if found:
        return found.group(1)
    return re.sub(r"^this kind of file needs PyAV, but ", "", text).partition(": take it away")[0]


def _of_variables(host: Host) -> Iterator[Finding]:
    for name in host.variables:
        if name.startswith(OWN) and name not in OWN_VARIABLES:
            close = difflib.get_close_matches(name, OWN_VARIABLES, 1)
            fix = f"did you mean {close[0]}?" if close else f"unset {name}"
            yield Finding(WARN, "variable.unknown", f"${name} is set, and nothing reads it", fix)
    for name in host.variables:
        if (
            name in ("ASCEND_VISIBLE_DEVICES", "NPU_VISIBLE_DEVICES")
            and "ASCEND_RT_VISIBLE_DEVICES" not in host.variables
        ):
            yield Finding(
                NOTE,
                "variable.spelling",
                f"${name} is {host.variables[name]!r}: AscendCL does not read it (a container's runtime may)",
                "ASCEND_RT_VISIBLE_DEVICES chooses devices for a process",
            )
    stubs = [
        folder
        for folder in host.variables.get("LD_LIBRARY_PATH", "").split(":")
        if folder and is_stub(os.path.join(folder, "libascendcl.so"))
    ]
    if stubs:
        yield Finding(
            WARN,
            "variable.stubs",
            f"LD_LIBRARY_PATH leads to libraries that only serve to link programs: {', '.join(stubs)}",
            "take devlib and stub folders out of LD_LIBRARY_PATH",
        )


def cann_of(host: Host, path: str) -> Cann | None:
    place = os.path.realpath(path)
    inside = [cann for cann in host.canns if place.startswith(cann.folder + os.sep)]
    return max(inside, key=lambda cann: len(cann.folder)) if inside else None


def _of_files(examination: Examination) -> Iterator[Finding]:
    found, host = examination.found, examination.host
    if found and not examination.on_simulated:
        others = [cann for cann in host.canns if cann is not cann_of(host, found["runtime_path"])]
        if others:
            told = ", ".join(f"{cann.folder}{f' ({cann.version})' if cann.version else ''}" for cann in others)
            yield Finding(NOTE, "cann.others", f"other installations of CANN are not used: {told}")
        return
    machine = host.machine.replace("arm64", "aarch64")
    for cann in host.canns:
        wrong = [library for library in cann.libraries if library.machine not in ("", machine) and not library.stub]
        if wrong:
            yield Finding(
                FAIL if not examination.encodes else WARN,
                "library.machine",
                f"{wrong[0].path} is made for {wrong[0].machine}, and this machine is {host.machine}",
                f"install the CANN for {host.machine}",
            )
    explicit = host.variables.get(device_search.LIBRARY_VARIABLE, "")
    library = library_file(explicit) if os.path.isfile(explicit) else None
    if library is not None and library.machine not in ("", machine):
        yield Finding(
            FAIL,
            "library.machine",
            f"{library.path} is made for {library.machine}, and this machine is {host.machine}",
            f"install the CANN for {host.machine}",
        )


def _numbers(version: str) -> tuple[int, int] | None:
    found = re.match(r"\D*(\d+)\.(\d+)", version)
    return (int(found.group(1)), int(found.group(2))) if found else None


def _of_driver(examination: Examination) -> Iterator[Finding]:
    host, found = examination.host, examination.found
    if not host.canns and not host.driver_folder:
        return
    cann = cann_of(host, found.get("runtime_path", "")) or next(iter(host.canns), None)
    serious = WARN if examination.encodes and not examination.on_simulated else FAIL
    installed = _numbers(host.driver_version)
    wanted = [driver for of_cann, driver in DRIVER_OF_CANN if cann and (_numbers(cann.version) or (0, 0)) >= of_cann]
    if cann and installed and wanted and installed < wanted[-1]:
        release = ".".join(map(str, wanted[-1]))
        yield Finding(
            serious,
            "driver.old",
            f"the driver is {host.driver_version}, and CANN {cann.version} was released with {release}",
            f"install driver and firmware {release} or later",
        )


def _of_nodes(examination: Examination) -> Iterator[Finding]:
    host = examination.host
    if examination.on_simulated and not host.canns:
        return
    closed = closed_nodes(host)
    if closed is not None:
        yield closed._replace(level=WARN if examination.encodes else FAIL)
    managers = [node for node in host.nodes if node not in host.chips]
    if host.chips and not managers and not examination.encodes:
        yield Finding(
            FAIL,
            "nodes.manager",
            f"{host.chips[0].path} is there, and /dev/davinci_manager, /dev/devmm_svm and /dev/hisi_hdc are not",
            f"start the container with {NODES}",
        )


def closed_nodes(host: Host) -> Finding | None:
    closed = [node for node in host.nodes if not node.usable]
    if not closed:
        return None
    node = closed[0]
    groups = sorted({other.group for other in closed})
    join = f"sudo usermod -aG {','.join(groups)} {host.user}, then log in again"
    if all(other.member for other in closed):
        join = f"sudo chmod g+rw {' '.join(other.path for other in closed)}"
    return Finding(
        FAIL,
        "nodes.permission",
        f"user {host.user} may not read and write {', '.join(other.path for other in closed)} "
        f"({node.mode} {node.user} {node.group})",
        join,
    )


def _of_limits(host: Host) -> Iterator[Finding]:
    files = host.limits["open files"]
    if 0 <= files < FEWEST_FILES:
        yield Finding(WARN, "limit.files", f"this process may open {files} files", "ulimit -n 4096")
