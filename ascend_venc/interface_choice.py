# SPDX-License-Identifier: Apache-2.0
"""Which of the vendor's two interfaces `interface="auto"` means, and why."""

from __future__ import annotations

import os
import sys
from typing import NamedTuple, cast

from . import chips
from .arguments import shown
from .errors import InvalidArgumentError
from .literals import Interface, InterfaceName

_NAMES: dict[int, Interface] = {1: "v1", 2: "v2"}
PYACL_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_pyacl")  # on the path in `ascend-venc run`


class InterfaceChoice(NamedTuple):
    """An interface, and why it is the one.

    Attributes
    ----------
    name : str
        "v1" or "v2".
    reason : str
        A line.
    automatic : bool
        Found by what chip and library have, and not named, nor taken because of what the process does.
    problem : str
        Why it is not "v2", where the chip has that and its library is there but cannot be used; else "".
    """

    name: Interface
    reason: str
    automatic: bool = False
    problem: str = ""


def parse_interface(interface: str | None = None) -> InterfaceName:
    """Return "auto", "v1" or "v2" of a name in any case; None is $ASCEND_VENC_INTERFACE, and that "auto" if not set."""
    source = "interface"
    if interface is None:
        source = "$ASCEND_VENC_INTERFACE"
        interface = os.environ.get("ASCEND_VENC_INTERFACE") or "auto"
    if not isinstance(interface, str):
        raise TypeError(f"interface must be a str, got {type(interface).__name__}")
    if interface.lower() not in ("auto", "v1", "v2"):
        raise InvalidArgumentError(f'{source} is {shown(interface)}; allowed are "auto", "v1", "v2"')
    return cast("InterfaceName", interface.lower())


def has_v2(soc_name: str) -> bool:
    """Whether a chip, by its name, has a video encoder by DVPP V2; of one that is not in the table it is not known."""
    chip = chips.chip_of(soc_name)
    return chip is not None and chip.encoder and bool(chip.channels_v2.value)


def is_pyacl_program() -> bool:
    """Whether this process runs a program written for pyACL: `acl` was imported, or `ascend-venc run` started it."""
    return "acl" in sys.modules or PYACL_FOLDER in sys.path


def by_process(in_use: int, expected: int, soc_name: str) -> InterfaceChoice | None:
    """Return what "auto" means by what the process does and by its chip. None: the library of V2 decides.

    Parameters
    ----------
    in_use, expected : int
        1 or 2, the interface that this process uses, or whose memory and descriptions it has made (acl.media); 0: none.
    soc_name : str
        Of the chip; "" if the runtime cannot tell.
    """
    if in_use:
        return InterfaceChoice(_NAMES[in_use], "in use in this process, which must not mix V1 and V2")
    if expected:
        return InterfaceChoice(_NAMES[expected], "this process uses acl.media")
    if is_pyacl_program():
        return InterfaceChoice("v1", "this process runs a program written for pyACL, which may use acl.media")
    if has_v2(soc_name):
        return None
    if chips.chip_of(soc_name) is not None:
        return InterfaceChoice("v1", f"{soc_name} has no DVPP V2")
    return InterfaceChoice("v1", f"whether {soc_name or 'this chip'} has DVPP V2 is not known")


def by_library(soc_name: str, path: str, problem: str, broken: bool) -> InterfaceChoice:
    """Return what "auto" means on a chip with V2, by its library: at `path`, else missing or `broken`."""
    if not problem:
        return InterfaceChoice("v2", f"{soc_name} has DVPP V2, by {path}", True)
    line = " ".join(problem.split())
    return InterfaceChoice("v1", f"{soc_name} has DVPP V2, but {line}", True, line if broken else "")
