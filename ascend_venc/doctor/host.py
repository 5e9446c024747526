# SPDX-License-Identifier: Apache-2.0
"""What can be read about this host without loading anything: files, permissions, variables, limits."""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import grp
import os
import platform
import pwd
import re
import resource
import stat
import sys

from .. import device_search
from .elf import read_elf

OWN = "ASCEND_VENC_"
OWN_VARIABLES = tuple(
    OWN + name
    for name in (
        *("BACKEND", "INTERFACE", "LIBRARY", "LOG", "STATS", "STRICT_PATHS", "VERIFY_RECORD"),
        *("SIM_AVCODEC", "SIM_DEVICES", "SIM_LOG", "SIM_OPTIONS", "SIM_SOC", "SIM_STRICT", "SIM_TRACE"),
    )
)
VARIABLES = (
    *device_search.ROOT_VARIABLES,
    "ASCEND_NNRT_HOME",
    "ASCEND_NNAE_HOME",
    "ASCEND_OPP_PATH",
    "ASCEND_AICPU_PATH",
    *device_search.VISIBLE_VARIABLES,
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
)
LIBRARIES = ("libascendcl.so", "libacl_rt.so", "libacl_dvpp.so", "libacl_dvpp_mpi.so", "libascend_hal.so")
MANAGER_NODES = ("davinci_manager", "devmm_svm", "hisi_hdc")
# The vendor's records of versions, of CANN below its folder, by the names of its packages.
_CANN_RECORDS = (
    "version.cfg",
    "version.info",
    *(
        f"{folder}ascend_{package}_install.info"
        for folder in ("", "*-linux/")
        for package in ("toolkit", "nnrt", "nnae", "cann")
    ),
)


@dataclasses.dataclass(frozen=True)
class LibraryFile:
    """A shared library on disk.

    `bits` is 0 where it is no ELF file. `stub`: it lies in a devlib or stub folder, and only serves to link programs.
    `everybody`: everybody may write it.
    """

    name: str
    path: str
    bits: int
    machine: str
    stub: bool
    everybody: bool


@dataclasses.dataclass(frozen=True)
class Cann:
    """An installation of CANN. `version` and `set_env` are "" where there is none."""

    folder: str
    version: str
    set_env: str
    in_environment: bool
    libraries: tuple[LibraryFile, ...]


@dataclasses.dataclass(frozen=True)
class DeviceNode:
    """A node in /dev. `usable`: this user may read and write it; `member`: of its group."""

    path: str
    mode: str
    user: str
    group: str
    usable: bool
    member: bool


@dataclasses.dataclass(frozen=True)
class Host:
    """The facts. Sizes in bytes; a limit of -1 is none."""

    machine: str
    system: str
    libc: str
    container: str
    user: str
    groups: tuple[str, ...]
    python: str
    python_path: str
    python_bits: int
    cpus: int
    limits: dict[str, int]
    shared_memory: int
    variables: dict[str, str]
    canns: tuple[Cann, ...]
    driver_folder: str
    driver_version: str
    nodes: tuple[DeviceNode, ...]

    @property
    def chips(self) -> tuple[DeviceNode, ...]:
        """The nodes of devices themselves."""
        return tuple(node for node in self.nodes if re.search(r"/davinci\d+$", node.path))


def examine_host(root: str = "/", python: str | None = None) -> Host:
    """Read the facts. `root` stands for /, and `python` for this interpreter's file, which both a test may build."""
    python = python or os.path.realpath(sys.executable)
    driver, version = _driver(root)
    return Host(
        machine=platform.machine(),
        system=platform.system(),
        libc=_libc(python),
        container=_container(root),
        user=_user(os.geteuid()),
        groups=tuple(sorted({_group(number) for number in (os.getegid(), *os.getgroups())})),
        python=platform.python_version(),
        python_path=sys.executable,
        python_bits=64 if sys.maxsize > 2**32 else 32,
        cpus=len(os.sched_getaffinity(0)),
        limits={
            "open files": _limit(resource.RLIMIT_NOFILE),
            "locked memory": _limit(resource.RLIMIT_MEMLOCK),
            "processes and threads": _limit(resource.RLIMIT_NPROC),
        },
        shared_memory=_free(os.path.join(root, "dev/shm")),
        variables={
            name: value for name, value in sorted(os.environ.items()) if name in VARIABLES or name.startswith(OWN)
        },
        canns=tuple(_cann(folder) for folder in _cann_folders(root)),
        driver_folder=driver,
        driver_version=version,
        nodes=_nodes(root),
    )


def _limit(which: int) -> int:
    soft = resource.getrlimit(which)[0]
    return -1 if soft == resource.RLIM_INFINITY else soft


def _free(folder: str) -> int:
    try:
        found = os.statvfs(folder)
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _libc(python: str) -> str:
    """The C library of the interpreter, by its dynamic loader: that one decides which libraries can be loaded."""
    with contextlib.suppress(OSError):
        header = read_elf(python)
        if header is not None and "ld-musl" in header.loader:
            return "musl"
    with contextlib.suppress(OSError, ValueError):  # platform.libc_ver tells what the program needs, which is older
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    return ""


def _container(root: str) -> str:
    for name, mark in (("docker", ".dockerenv"), ("podman", "run/.containerenv")):
        if os.path.exists(os.path.join(root, mark)):
            return name
    with contextlib.suppress(OSError), open(os.path.join(root, "proc/1/cgroup"), encoding="utf-8") as file:
        found = re.search(r"docker|kubepods|containerd|lxc|libpod", file.read())
        if found:
            return found.group()
    return ""


def read_record(path: str) -> dict[str, str]:
    """Return what a record of the vendor's says: lines of name=value, names in lower case; {} if it cannot be read."""
    found: dict[str, str] = {}
    with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        for line in file.read(1 << 16).splitlines():
            name, separator, value = line.partition("=")
            if separator:
                found.setdefault(name.strip().lower(), value.strip().strip("[]"))
    return found


def _driver(root: str) -> tuple[str, str]:
    """Folder and version of the driver; "" where there is none."""
    record = read_record(os.path.join(root, "etc/ascend_install.info"))
    base = record.get("driver_install_path_param") or "/usr/local/Ascend"
    folder = os.path.join(root, base.lstrip("/"), "driver")
    if not os.path.isdir(folder):
        return "", ""
    return folder, read_record(os.path.join(folder, "version.info")).get("version", "")


def _cann_folders(root: str) -> list[str]:
    """The installations on disk, those of the environment first."""
    found = []
    for name in device_search.ROOT_VARIABLES:
        value = os.environ.get(name, "")
        if os.path.isabs(value) and os.path.isdir(value):
            found.append(os.path.realpath(value))
    found += [os.path.realpath(folder) for folder in device_search.installed_canns(root)]
    return list(dict.fromkeys(found))


def _cann(folder: str) -> Cann:
    version = ""
    for pattern in _CANN_RECORDS:
        for path in sorted(glob.glob(os.path.join(glob.escape(folder), pattern))):
            record = read_record(path)
            text = record.get("version") or record.get("runtime_running_version") or ""
            version = version or text.rpartition(":")[2]  # version.cfg: [running version:package version]
    scripts = (os.path.join(place, "set_env.sh") for place in (folder, os.path.dirname(folder)))
    return Cann(
        folder,
        version,
        next((script for script in scripts if os.path.exists(script)), ""),
        any(os.path.realpath(os.environ.get(name, "/nowhere")) == folder for name in device_search.ROOT_VARIABLES),
        tuple(_libraries(folder)),
    )


def _libraries(folder: str) -> list[LibraryFile]:
    found: dict[str, LibraryFile | None] = {}
    for place in (
        "lib64",
        "*-linux/lib64",
        "runtime/lib64",
        "acllib/lib64",
        "devlib",
        "*-linux/devlib",
        "*/lib64/stub",
    ):
        for name in LIBRARIES:
            for path in sorted(glob.glob(os.path.join(glob.escape(folder), place, name))):
                found.setdefault(os.path.realpath(path), library_file(path))
    return [library for library in found.values() if library is not None]


def library_file(path: str) -> LibraryFile | None:
    """Return what a library's file tells; None if it cannot be read."""
    try:
        header = read_elf(path)
        mode = os.stat(path).st_mode
    except OSError:
        return None
    return LibraryFile(
        os.path.basename(path),
        path,
        header.bits if header else 0,
        header.machine if header else "",
        is_stub(path),
        bool(mode & stat.S_IWOTH),
    )


def is_stub(path: str) -> bool:
    """Whether a path leads through a folder of libraries that only serve to link programs."""
    return bool({"devlib", "stub"} & set(os.path.realpath(path).split(os.sep)))


def _nodes(root: str) -> tuple[DeviceNode, ...]:
    folder = os.path.join(root, "dev")
    paths = sorted(glob.glob(os.path.join(glob.escape(folder), "davinci[0-9]*")))
    paths += [path for path in (os.path.join(folder, name) for name in MANAGER_NODES) if os.path.lexists(path)]
    own = {os.getegid(), *os.getgroups()}
    nodes = []
    for path in paths:
        with contextlib.suppress(OSError):
            status = os.stat(path)
            nodes.append(
                DeviceNode(
                    path,
                    stat.filemode(status.st_mode),
                    _user(status.st_uid),
                    _group(status.st_gid),
                    os.access(path, os.R_OK | os.W_OK),
                    status.st_gid in own,
                )
            )
    return tuple(nodes)
