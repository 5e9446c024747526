# SPDX-License-Identifier: Apache-2.0
"""The functions of pyACL that the facade has, as builtins, and the modules `acl.rt`, `acl.media`, `acl.util` and `acl.himpi`.

One compiled module, so that a call passes no border on its way to AscendCL. functions.txt says what there is; most of it is
generated from there (functions.pxi), the rest is written in special.pyx, venc.pyx, util.pyx and himpi.pyx.
"""
import _thread
import atexit
import os
import sys
import threading
import types
import warnings

cimport cython

from ... import errors
from ..cavenc cimport *
from ..core cimport default_api, default_library, default_symbol, find_mpi, find_strict_hooks, strict_hooks
from ..wait cimport begin_wait

include "fastcall.pyx"
include "handles.pyx"
include "deliveries.pyx"
include "report.pyx"
include "special.pyx"
include "venc.pyx"
include "util.pyx"
include "himpi_members.pxi"
include "dicts.pyx"
include "himpi.pyx"
include "functions.pxi"

_DOCS = {
    "acl.rt": """devices, contexts, streams, events, memory and callback reports of the runtime.

Functions take positional arguments only and return AscendCL's code `ret` (0 is success), alone or as the last element of
a tuple. Handles and addresses are ints, 0 for NULL. A handle that is not alive gives 100000. Calls that may wait give the
GIL up, and so do copies of more than 4 MiB. Addresses given to memcpy, memcpy2d and memset are not checked: a wrong one
ends the process.""",
    "acl.media": """memory of the media unit, descriptions of pictures and streams, and the video encoder.

Functions take positional arguments only. Setters, destroyers and the encoder's calls return AscendCL's code `ret` (0 is
success); creators return a handle, 0 if that was not possible; getters return the bare value. Handles and addresses are
ints, 0 for NULL. A handle that is not alive gives 100000; to a getter it is NULL.""",
    "acl.util": "threads for the report loop, and addresses of bytes and arrays.",
    "acl.himpi": """video encoding by DVPP V2 (hi_mpi_*).

Functions take positional arguments only. Structures are dicts with the C names, arrays are lists, addresses ints. What a
dict lacks is 0, and so is a number that is no int. Each call but the few that return a bare value gives DVPP's code `ret`
(0 is success) as an unsigned int, alone or as the last element of a tuple. Calls that may wait give the GIL up. Addresses
in dicts are not checked.""",
}

globals().update(namespaces["acl"])
for _name, _text in _DOCS.items():
    _part = _name.rpartition(".")[2]
    globals()[_part] = sys.modules[f"{__package__}.{_part}"] = types.ModuleType(_name, f"{_name}: {_text}")
    globals()[_part].__dict__.update(namespaces[_name])


def _after_fork():
    """In a forked child: handles, channels, callbacks, threads and devices of the parent are not this process's."""
    global initialised
    initialised = False
    device_users.clear()
    forget_handles()
    channels.clear()
    forget_reports()
    started.clear()


atexit.register(_close_gate)
os.register_at_fork(after_in_child=_after_fork)
