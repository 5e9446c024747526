# SPDX-License-Identifier: Apache-2.0
"""A thin view of the simulated device's control functions (csrc/sim/aclsim.h), and of its AscendCL functions for tests
of the device itself."""

import contextlib
import ctypes
import re
from pathlib import Path

from ascend_venc._lowlevel import core

ROOT = Path(__file__).resolve().parents[2]
HEADER = ROOT / "csrc" / "include" / "ascendcl.h"

FUNCTIONS = re.findall(
    r"^    X\((RUNTIME|MEDIA), (REQUIRED|OPTIONAL), ([\w *]+?), (\w+), \((.*?)\)\)", HEADER.read_text(), flags=re.M
)

FRAME_RET_CODE, FRAME_DROP, FRAME_EMPTY, FRAME_HUGE, FRAME_NO_OUTPUT, FRAME_TWICE, FRAME_DELAY = range(7)

CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
VENC_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)

_SCALARS = {
    "int32_t": ctypes.c_int32,
    "uint32_t": ctypes.c_uint32,
    "uint64_t": ctypes.c_uint64,
    "uint8_t": ctypes.c_uint8,
    "size_t": ctypes.c_size_t,
    "aclError": ctypes.c_int32,
    "aclrtRunMode": ctypes.c_int32,
    "aclrtMemcpyKind": ctypes.c_int32,
    "aclrtMemMallocPolicy": ctypes.c_int32,
    "aclrtMemAttr": ctypes.c_int32,
    "aclrtCallbackBlockType": ctypes.c_int32,
    "acldvppStreamFormat": ctypes.c_int32,
    "acldvppPixelFormat": ctypes.c_int32,
    "aclvencChannelDescParamType": ctypes.c_int32,
    "const char *": ctypes.c_char_p,
}


class ChannelStats(ctypes.Structure):
    """aclsim_channel_stats."""

    _fields_ = [
        (name, ctypes.c_uint64)
        for name in ("sent", "encoded", "delivered", "skipped", "host_idle_ns", "send_blocked_ns")
    ]


_loaded = None


def is_loaded():
    """Whether this process has loaded the simulated device: without loading it."""
    if _loaded is not None:
        return True
    path = core.simulated_device_path()
    if not path:
        return False
    real = str(Path(path).resolve())
    return any(real in line for line in Path("/proc/self/maps").read_text().splitlines())


def library():
    """The simulated device as a ctypes library with every signature declared."""
    global _loaded  # noqa: PLW0603
    if _loaded is None:
        _loaded = _declare(ctypes.CDLL(core.simulated_device_path()))
        codec = core.find_codec()
        if codec:
            _loaded.aclsim_set_codec(codec.encode())
    return _loaded


def _type_of(text):
    text = text.strip()
    return _SCALARS.get(text, ctypes.c_void_p)


def _argument_types(parameters):
    if parameters == "void":
        return []
    types = []
    for parameter in parameters.split(","):
        declared = re.match(r"(.*?)\b\w+$", parameter.strip()).group(1)
        types.append(_type_of(declared))
    return types


def _declare(lib):
    for _, _, result, name, parameters in FUNCTIONS:
        function = getattr(lib, name)
        function.restype = _type_of(result)
        function.argtypes = _argument_types(parameters)
    control = {
        "set_soc": (ctypes.c_int, [ctypes.c_char_p]),
        "soc_name": (ctypes.c_char_p, [ctypes.c_size_t]),
        "set_codec": (ctypes.c_int, [ctypes.c_char_p]),
        "set_devices": (ctypes.c_int, [ctypes.c_uint32]),
        "codec_version": (ctypes.c_char_p, []),
        "set_option": (ctypes.c_int, [ctypes.c_char_p, ctypes.c_uint64]),
        "get_option": (ctypes.c_uint64, [ctypes.c_char_p]),
        "option_name": (ctypes.c_char_p, [ctypes.c_size_t]),
        "reset": (ctypes.c_int, []),
        "live_name": (ctypes.c_char_p, [ctypes.c_size_t]),
        "live": (ctypes.c_int64, [ctypes.c_char_p]),
        "set_strict": (ctypes.c_int, [ctypes.c_int]),
        "report_count": (ctypes.c_uint64, []),
        "report_text": (ctypes.c_char_p, [ctypes.c_uint64]),
        "clear_reports": (None, []),
        "fail_call": (ctypes.c_int, [ctypes.c_char_p, ctypes.c_uint64, ctypes.c_int32, ctypes.c_int]),
        "fail_frame": (ctypes.c_int, [ctypes.c_uint64, ctypes.c_int, ctypes.c_uint32, ctypes.c_int]),
        "clear_faults": (ctypes.c_uint64, []),
        "lose_device": (ctypes.c_int, [ctypes.c_int32, ctypes.c_int32]),
        "count_calls": (None, [ctypes.c_int]),
        "calls": (ctypes.c_uint64, [ctypes.c_char_p]),
        "trace": (ctypes.c_int, [ctypes.c_char_p]),
        "get_channel_stats": (ctypes.c_int, [ctypes.c_void_p, ctypes.POINTER(ChannelStats)]),
    }
    for name, (result, arguments) in control.items():
        function = getattr(lib, f"aclsim_{name}")
        function.restype = result
        function.argtypes = arguments
    return lib


def _names(function):
    index = 0
    while True:
        name = function(index)
        if name is None:
            return
        yield name.decode()
        index += 1


def live_counts():
    """{kind: number} of the objects that the program holds on the device."""
    lib = library()
    return {kind: lib.aclsim_live(kind.encode()) for kind in _names(lib.aclsim_live_name)}


def reports():
    """Texts of the strict mode's reports since the last clearing (at most 256 of them)."""
    lib = library()
    count = lib.aclsim_report_count()
    return [lib.aclsim_report_text(index).decode() for index in range(min(count, 256))]


def clear_reports():
    library().aclsim_clear_reports()


def error_text():
    """The pending text of aclGetRecentErrMsg, or ""."""
    return (library().aclGetRecentErrMsg() or b"").decode()


@contextlib.contextmanager
def options(**values):
    """Set options of the device for a block, and put back what was there."""
    lib = library()
    before = {name: lib.aclsim_get_option(name.encode()) for name in values}
    try:
        for name, value in values.items():
            if lib.aclsim_set_option(name.encode(), value) != 0:
                raise ValueError(f"the simulated device has no option {name}={value}")
        yield
    finally:
        for name, value in before.items():
            lib.aclsim_set_option(name.encode(), value)


@contextlib.contextmanager
def strict(on=True):
    """Strict mode for a block; yields a function that returns the reports of the block so far."""
    lib = library()
    first = lib.aclsim_report_count()
    before = lib.aclsim_set_strict(int(on))
    try:
        yield lambda: reports()[first:]
    finally:
        lib.aclsim_set_strict(before)


@contextlib.contextmanager
def failing_call(function, nth=1, code=507899, persistent=False):
    """Let the nth call of a function ("*": of any) inside the block fail."""
    lib = library()
    if lib.aclsim_fail_call(function.encode(), nth, code, int(persistent)) != 0:
        raise ValueError(f"cannot let call {nth} of {function} fail")
    try:
        yield
    finally:
        lib.aclsim_clear_faults()


@contextlib.contextmanager
def failing_frame(action, nth=1, value=0, persistent=False):
    """Do something to the nth frame that is sent inside the block (over all channels)."""
    lib = library()
    if lib.aclsim_fail_frame(nth, action, value, int(persistent)) != 0:
        raise ValueError(f"cannot do {action} to frame {nth}")
    try:
        yield
    finally:
        lib.aclsim_clear_faults()


@contextlib.contextmanager
def lost_device(device=0, code=507010):
    """The device is lost inside the block."""
    lib = library()
    lib.aclsim_lose_device(device, code)
    try:
        yield
    finally:
        lib.aclsim_lose_device(device, 0)


def channel_stats(channel_desc):
    """Figures of an open channel by its descriptor."""
    stats = ChannelStats()
    if library().aclsim_get_channel_stats(channel_desc, ctypes.byref(stats)) != 0:
        raise ValueError("no open channel")
    return {name: getattr(stats, name) for name, _ in ChannelStats._fields_}
