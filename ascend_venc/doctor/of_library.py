# SPDX-License-Identifier: Apache-2.0
"""What became of opening the library, and what it says of devices."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from .. import chips, device_search
from ..errors import lookup
from .finding import DRIVER_VOLUME, FAIL, FIT, NODES, NOTE, OK, SIMULATE, WARN, Finding, said
from .of_host import cann_of, closed_nodes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .examination import Examination


def of_library(examination: Examination) -> Iterator[Finding]:
    """Judge the library that stands for AscendCL, its devices, chip, and DVPP V2."""
    outcome, host = examination.library, examination.host
    if outcome.error is not None:
        yield _of_opening(outcome.error)
        return
    if outcome.end:
        yield Finding(
            FAIL,
            f"library.{outcome.end}",
            f"AscendCL does not come up: {outcome.problem}{said(outcome.output)}",
            f"{FIT}; a reboot, or npu-smi's reset, helps a device that hangs; {SIMULATE}"
            if outcome.end == "hung"
            else f"{FIT}; {SIMULATE}",
        )
        return
    found = examination.found
    if not any(found["encodes"].values()):
        yield Finding(
            FAIL,
            "chip.no_encoder",
            f"the {found['soc_name']} has no video encoder",
            f"take one of {', '.join(chip.family for chip in chips.CHIPS if chip.encoder)}, {SIMULATE}",
        )
    elif examination.interface and not found["encodes"][examination.interface]:
        able = next(name for name, encodes in found["encodes"].items() if encodes)
        yield Finding(
            FAIL,
            "interface.unusable",
            f"DVPP {examination.interface.upper()} is asked for, and {_without_advice(found, examination.interface)}",
            f"choose {able}, or auto (--interface, $ASCEND_VENC_INTERFACE)",
        )
    if examination.on_simulated:
        yield from _of_simulation(examination)
        return
    interfaces = [name.upper() for name, able in found["encodes"].items() if able]
    version = f", AscendCL {found['version']}" if found["version"] else ""
    cann = cann_of(host, found["runtime_path"])
    of_cann = f"CANN {cann.version}: " if cann and cann.version else ""
    yield Finding(
        OK if interfaces else NOTE,
        "library",
        f"{found['soc_name'] or 'unknown chip'}: {of_cann}{found['runtime_path']}{version}, by {found['found_by']}",
    )
    if found["device_count"] == 0:
        yield _no_device(FAIL, examination)
    yield from _of_v2(examination)
    missing = [name for name in found["missing"] if name.startswith("aclvenc")]
    if missing:
        yield Finding(
            NOTE,
            "library.functions",
            f"the library lacks {', '.join(missing)}: rate control is not settable",
            "a newer CANN has them",
        )
    for problem in sorted(
        {warning["text"] for warning in found["warnings"] if warning["type"] == "LibraryPathWarning"}
    ):
        yield _of_weak_path(problem, WARN)


def _without_advice(found: dict[str, Any], interface: str) -> str:
    reason: str = found["why_not"][interface]
    return reason.partition(": choose interface=")[0]


def _of_weak_path(text: str, level: str) -> Finding:
    found = re.search(r"(/\S+) is writable by everybody", text)
    fix = f"chmod o-w {found.group(1)}" if found else "give the folders and files to root, or to this user (chown)"
    return Finding(level, "library.writable", text, fix)


def _of_simulation(examination: Examination) -> Iterator[Finding]:
    found, host = examination.found, examination.host
    asked = examination.backend or host.variables.get("ASCEND_VENC_BACKEND") or "auto"
    if found["device_count"] == 0:
        yield Finding(
            FAIL,
            "sim.devices",
            f"no simulated device: $ASCEND_VENC_SIM_DEVICES is {host.variables.get('ASCEND_VENC_SIM_DEVICES')!r}",
            "unset ASCEND_VENC_SIM_DEVICES, or make it a number from 1 to 64",
        )
    if asked != "auto":
        return
    if "reports no device" in found["reason"]:
        yield _no_device(WARN, examination)
    elif not host.canns and not host.nodes and not host.driver_folder:
        yield Finding(
            NOTE,
            "ascend.none",
            "no Ascend: no CANN, no driver, no /dev/davinci*; this CPU encodes instead",
            "on an Ascend host: install driver and CANN, and source its set_env.sh",
        )
    elif host.nodes or host.driver_folder:
        yield Finding(
            WARN,
            "cann.none",
            "there is a driver or a device, and no CANN: this CPU encodes instead",
            "install CANN (nnrt or toolkit, and the package of the chip), source its set_env.sh, run this again",
        )


def _no_device(level: str, examination: Examination) -> Finding:
    host = examination.host
    for name in device_search.VISIBLE_VARIABLES:
        if name == "ASCEND_RT_VISIBLE_DEVICES" and name in host.variables:
            return Finding(
                level,
                "devices.hidden",
                f"AscendCL reports no device, and ${name} is {host.variables[name]!r}",
                f"unset {name}, or list devices that are there: {name}=0",
            )
    if not host.chips:
        if host.container:
            return Finding(
                level,
                "devices.container",
                f"AscendCL reports no device: this container ({host.container}) has no /dev/davinci*",
                f"start it with {NODES} {DRIVER_VOLUME}",
            )
        return Finding(
            level,
            "devices.none",
            "AscendCL reports no device: there is no /dev/davinci*",
            "install the driver, or load it (npu-smi info lists the devices; dmesg tells why there is none)",
        )
    closed = closed_nodes(host)
    if closed:
        return closed._replace(level=level)
    return Finding(
        level,
        "devices.unseen",
        f"AscendCL reports no device, though {', '.join(node.path for node in host.chips)} can be opened",
        "npu-smi info tells whether the driver sees the chip, and whether it is healthy",
    )


def _of_v2(examination: Examination) -> Iterator[Finding]:
    found = examination.found
    chip = chips.chip_of(found["soc_name"])
    if chip is None or not chip.channels_v2.value:
        return
    if not found["mpi_path"]:
        broken = "is not there" not in found["mpi_problem"]
        yield Finding(
            WARN,
            "v2.broken" if broken else "v2.missing",
            f"DVPP V2 cannot be used, V1 is: {' '.join(found['mpi_problem'].split())}",
            "install the package of CANN for this chip in the version of the rest; it brings libacl_dvpp_mpi.so",
        )
        return
    folders = [os.path.dirname(os.path.realpath(found[name])) for name in ("runtime_path", "mpi_path")]
    if folders[0] != folders[1]:
        versions = [
            (cann.version if cann else "") or "no version"
            for cann in (cann_of(examination.host, folder) for folder in folders)
        ]
        yield Finding(
            WARN,
            "v2.other",
            f"DVPP V2's library is another installation's: {found['mpi_path']} ({versions[1]}), and AscendCL is "
            f"{found['runtime_path']} ({versions[0]})",
            "take the other one out of LD_LIBRARY_PATH, and source one set_env.sh only",
        )


def _of_opening(error: dict[str, Any]) -> Finding:
    """What an exception of opening the library means."""
    kind, text = error["type"], " ".join(error["text"].split())
    contradiction = device_search.contradiction_of()
    if kind == "AclLibraryNotFoundError" and contradiction is not None and contradiction[0] in text:
        name = "cann.environment" if contradiction[0].startswith("CANN is installed") else "variable.wrong"
        return Finding(FAIL, name, *contradiction)
    for pattern, name, fix in _OPENING:
        if re.search(pattern, text):
            return Finding(FAIL, name, text, fix)
    call = re.search(r"(?:acl|hi_mpi_)\w+ returned (\d+)", text)
    if kind == "AclLibraryBrokenError" and call:
        return Finding(FAIL, "library.call", text, lookup(int(call.group(1))).hint or f"{FIT}; {SIMULATE}")
    if kind in _OPENING_KINDS:
        name, fix = _OPENING_KINDS[kind]
        return Finding(FAIL, name, text, fix)
    return Finding(FAIL, "library.open", text, f"{FIT}; {SIMULATE}")


# The dynamic loader's words, and the loader's of this package, most telling first.
_OPENING = (
    (r"wrong ELF class: ELFCLASS32", "library.32bit", "install the 64-bit CANN of this machine's processor"),
    (
        r"libascend_hal\.so[^:]*: cannot open shared object file",
        "driver.missing",
        f"install the driver, or give it to the container: {DRIVER_VOLUME}; then source set_env.sh",
    ),
    (
        r"undefined symbol: (hal|drv|dev_|dsmi)\w*",
        "driver.old",
        "the driver is older than this CANN: install the driver and firmware that its release notes name",
    ),
    (
        r"version `GLIBC(XX)?_[\d.]+' not found",
        "host.glibc",
        "this system is too old for that CANN: take one made for it",
    ),
    (
        r"\.so[\w.]*: cannot open shared object file",
        "library.dependency",
        "source CANN's set_env.sh, so that the libraries beside it are found (LD_LIBRARY_PATH)",
    ),
    (r"invalid ELF header|file too short", "library.damaged", "it is no library, or a damaged one: install CANN anew"),
    (
        r"cannot open shared object file: Permission denied",
        "library.permission",
        "make it readable for this user, or be of the group that CANN was installed for",
    ),
    (
        r"writable by everybody|belongs to user",
        "library.writable",
        "chmod o-w and chown root what the text names, or unset ASCEND_VENC_STRICT_PATHS",
    ),
    (
        r"ASCEND_VENC_SIM_SOC",
        "sim.chip",
        "unset ASCEND_VENC_SIM_SOC, or choose a chip that `ascend-venc sim` lists",
    ),
    (r"the simulated device cannot be a", "sim.chip", "choose a chip that `ascend-venc sim` lists"),
    (r"is the simulated device's", "library.simulated", f"take its folder out of LD_LIBRARY_PATH, {SIMULATE}"),
    (r"must be an absolute path", "variable.relative", "write the path from / on"),
    (
        r"backend is",
        "backend.unknown",
        "choose auto, ascend, sim, sim:CHIP or an absolute path (--backend, $ASCEND_VENC_BACKEND)",
    ),
    (
        r"\$?ASCEND_VENC_INTERFACE|interface is",
        "interface.unknown",
        "choose auto, v1 or v2 (--interface, $ASCEND_VENC_INTERFACE)",
    ),
)
_OPENING_KINDS = {
    "AclStubLibraryError": (
        "library.stub",
        "take devlib and stub folders out of LD_LIBRARY_PATH, and source CANN's set_env.sh",
    ),
    "AclMediaLibraryMissingError": (
        "library.media",
        "install the package of CANN for this chip beside the toolkit: it brings libacl_dvpp.so",
    ),
    "AclLibraryNotFoundError": ("cann.missing", f"install CANN and source its set_env.sh, {SIMULATE}"),
    "AclLibraryBrokenError": ("library.broken", "install CANN anew, in one version"),
}
