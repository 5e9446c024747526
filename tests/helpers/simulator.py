# SPDX-License-Identifier: Apache-2.0
"""A thin view of the simulated device's control functions (csrc/sim/aclsim.h), on the library in use."""

import ctypes
from pathlib import Path


def path():
    from ascend_venc._lowlevel import core

    return core.simulated_device_path()


def is_loaded():
    """Whether the simulated device is mapped in this process. Does not load it."""
    return path() in Path("/proc/self/maps").read_text()


def library():
    """The simulated device, as ctypes sees it: the same object that the engine uses."""
    lib = ctypes.CDLL(path())
    lib.aclsim_live.restype = ctypes.c_int64
    lib.aclsim_live_name.restype = ctypes.c_char_p
    lib.aclGetRecentErrMsg.restype = ctypes.c_char_p
    return lib


def live_counts():
    """Return {kind: number} of what programs made on the simulated device and have not ended."""
    lib = library()
    counts = {}
    while lib.aclsim_live_name(len(counts)) is not None:
        counts[lib.aclsim_live_name(len(counts)).decode()] = lib.aclsim_live(len(counts))
    return counts
