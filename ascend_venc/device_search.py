# SPDX-License-Identifier: Apache-2.0
"""Why `backend="auto"` took the simulated device, and whether somebody evidently meant another one."""

from __future__ import annotations

import contextlib
import glob
import os

LIBRARY_VARIABLE = "ASCEND_VENC_LIBRARY"
ROOT_VARIABLES = ("ASCEND_TOOLKIT_HOME", "ASCEND_HOME_PATH")
VISIBLE_VARIABLES = ("ASCEND_RT_VISIBLE_DEVICES", "ASCEND_VISIBLE_DEVICES", "NPU_VISIBLE_DEVICES")
INSTALL_RECORDS = ("/etc/Ascend/ascend_cann_install.info", "/etc/ascend_install.info")  # of CANN's and the driver's
# Below an installation folder: packages of one version and of several, with and without the processor's name.
_PLACES = ("lib64", "*/lib64", "*/*/lib64", "*/*/*-linux/lib64", "*/*-linux/lib64", "*-linux/lib64")


def installation_folders(root: str = "/") -> list[str]:
    """Return the folders into which CANN's installers put it: root's, the user's own, and the recorded one.

    `root` stands for /, but for the user's own folder.
    """
    folders = ["/usr/local/Ascend"]
    for record in INSTALL_RECORDS:
        path = os.path.join(root, record.lstrip("/"))
        with contextlib.suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                name, _, value = line.strip().partition("=")
                if name.endswith(("Install_Path", "Install_Path_Param")) and value.startswith("/"):
                    folders.append(value)
    folders = [os.path.join(root, folder.lstrip("/")) for folder in folders]
    folders.insert(1, os.path.join(os.path.expanduser("~"), "Ascend"))
    return list(dict.fromkeys(folders))


def installed_canns(root: str = "/") -> list[str]:
    """Return the folders of CANN on this machine's disk that have an AscendCL library, the one to take first."""
    found: list[str] = []
    for folder in installation_folders(root):
        for place in _PLACES:
            paths = glob.glob(os.path.join(glob.escape(folder), place, "libascendcl.so"))
            paths = [path for path in paths if not {"devlib", "stub", "driver"} & set(path.split(os.sep))]
            latest = [path for path in paths if "latest" in path.split(os.sep)]
            for path in [*sorted(latest)[::-1], *sorted(paths)[::-1]]:
                found.append(os.path.dirname(os.path.dirname(path)))
    return list(dict.fromkeys(found))


def installed_cann() -> str | None:
    """Return the first of `installed_canns`, or None."""
    found = installed_canns()
    return found[0] if found else None


def contradiction(no_device: bool, simulator_folders: tuple[str, ...]) -> str | None:
    """Say what shows that a device was meant although none was found; None if nothing does.

    Parameters
    ----------
    no_device : bool
        Whether a library was found, and works, and reports no device: then no variable is wrong.
    simulator_folders : tuple of str
        Where the simulated device's own libraries lie: a variable that leads there means it.
    """
    found = None if no_device else contradiction_of(simulator_folders)
    return None if found is None else ": ".join(found)


def contradiction_of(simulator_folders: tuple[str, ...] = ()) -> tuple[str, str] | None:
    """Return what shows that a device was meant, and what mends it, each in a line; None if nothing does."""
    fix = 'mend it or take it away, or choose backend="sim" (--backend sim)'
    value = os.environ.get(LIBRARY_VARIABLE)
    if value and not _leads_into(value, simulator_folders):
        return f"${LIBRARY_VARIABLE} is {value!r}, which is no usable AscendCL library", fix
    for name in ROOT_VARIABLES:
        value = os.environ.get(name)
        if value and not _leads_into(value, simulator_folders):
            return f"${name} is {value!r}, and there is no usable AscendCL library in its lib64", fix
    folder = installed_cann()
    if folder is not None:
        script = next(
            (path for path in (_script(folder), _script(os.path.dirname(folder))) if path is not None),
            os.path.join(folder, "set_env.sh"),
        )
        return (
            f"CANN is installed in {folder}, but its environment is not set",
            f'run "source {script}" first, or choose backend="sim" (--backend sim)',
        )
    return None


def reason(fallback: str) -> str:
    """Say in a line why no Ascend device was taken; `fallback` is what the loader says of it."""
    if fallback.endswith("reports no device"):
        return f"{fallback}: {_why_no_device()}"
    read = [f"{name}={os.environ[name]!r}" for name in (LIBRARY_VARIABLE, *ROOT_VARIABLES) if os.environ.get(name)]
    variables = f"read {', '.join(read)}" if read else f"{LIBRARY_VARIABLE}, {' and '.join(ROOT_VARIABLES)} are not set"
    lines = " ".join(fallback.split())
    return f"{lines}; {variables}; no CANN in {', '.join(installation_folders())}"


def _why_no_device() -> str:
    for name in VISIBLE_VARIABLES:
        if name in os.environ:
            return f"{name} is {os.environ[name]!r}, which may hide it"
    nodes = sorted(glob.glob("/dev/davinci[0-9]*"))
    if not nodes:
        return (
            "there is no /dev/davinci* here (a container has to be given --device /dev/davinci0, /dev/davinci_manager "
            "and /dev/hisi_hdc)"
        )
    closed = [node for node in nodes if not os.access(node, os.R_OK | os.W_OK)]
    if closed:
        return f"this user may not read and write {', '.join(closed)} (members of its group may)"
    return f"{', '.join(nodes)} can be opened; npu-smi info tells whether the driver sees the chip"


def _leads_into(value: str, folders: tuple[str, ...]) -> bool:
    place = os.path.realpath(value)
    return any(place == folder or place.startswith(folder + os.sep) for folder in map(os.path.realpath, folders))


def _script(folder: str) -> str | None:
    path = os.path.join(folder, "set_env.sh")
    return path if os.path.exists(path) else None
