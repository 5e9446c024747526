# SPDX-License-Identifier: Apache-2.0
"""A thin view of the simulated device's control functions (csrc/sim/aclsim.h), and of its AscendCL functions for tests
of the device itself."""

import atexit
import contextlib
import ctypes
import re
import shutil
import tempfile
from pathlib import Path

from ascend_venc._lowlevel import core
from helpers import himpi, interface

ROOT = Path(__file__).resolve().parents[2]
HEADER = ROOT / "csrc" / "include" / "ascendcl.h"

FUNCTIONS = re.findall(
    r"^    X\((RUNTIME|MEDIA), (REQUIRED|OPTIONAL), ([\w *]+?), (\w+), \((.*?)\)\)", HEADER.read_text(), flags=re.M
)

# Names of all functions whose calls the simulated device counts and lets fail.
NAMES = [name for *_, name, _ in [*FUNCTIONS, *himpi.FUNCTIONS]]

_MARK = re.compile(rb"AVWM([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{8})([0-9a-f]{16})\Z")


def mark_of(access_unit):
    """(width, height, Adler-32, first 8 bytes) of the picture that an access unit was made of, under the options
    null_codec and watermark."""
    found = _MARK.search(bytes(access_unit)[-36:])
    assert found, f"no mark at the end of {len(access_unit)} bytes"
    width, height, checksum, first = found.groups()
    return int(width, 16), int(height, 16), int(checksum, 16), bytes.fromhex(first.decode())


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


_CONTROL = {
    "set_soc": (ctypes.c_int, [ctypes.c_char_p]),
    "soc_name": (ctypes.c_char_p, [ctypes.c_size_t]),
    "describe_soc": (ctypes.c_size_t, [ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]),
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
    "fail_call_after": (ctypes.c_int, [ctypes.c_char_p, ctypes.c_uint64, ctypes.c_int32, ctypes.c_int]),
    "hang_call": (ctypes.c_int, [ctypes.c_char_p, ctypes.c_uint64, ctypes.c_int]),
    "hang_call_after": (ctypes.c_int, [ctypes.c_char_p, ctypes.c_uint64, ctypes.c_int]),
    "hung_calls": (ctypes.c_uint64, [ctypes.c_char_p]),
    "wait_hung": (ctypes.c_int, [ctypes.c_char_p, ctypes.c_uint64, ctypes.c_uint32]),
    "release_hung": (ctypes.c_uint64, []),
    "fail_frame": (ctypes.c_int, [ctypes.c_uint64, ctypes.c_int, ctypes.c_uint32, ctypes.c_int]),
    "clear_faults": (ctypes.c_uint64, []),
    "lose_device": (ctypes.c_int, [ctypes.c_int32, ctypes.c_int32]),
    "count_calls": (None, [ctypes.c_int]),
    "calls": (ctypes.c_uint64, [ctypes.c_char_p]),
    "trace": (ctypes.c_int, [ctypes.c_char_p]),
    "get_channel_stats": (ctypes.c_int, [ctypes.c_void_p, ctypes.POINTER(ChannelStats)]),
}


def _type_of(text):
    return _SCALARS.get(text.strip(), ctypes.c_void_p)


def _argument_types(parameters):
    if parameters == "void":
        return []
    return [_type_of(re.match(r"(.*?)\b\w+$", parameter.strip()).group(1)) for parameter in parameters.split(",")]


class AscendCL:
    """AscendCL's C functions as attributes, with their types. `paths`: one library, or the runtime and the media's."""

    def __init__(self, *paths):
        libraries = [ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL if len(paths) > 1 else 0) for path in paths]
        self.lib = libraries[0]
        for library, _, result, name, parameters in FUNCTIONS:
            function = getattr(libraries[-1] if library == "MEDIA" else self.lib, name, None)
            if function is None:
                continue  # this release lacks it
            function.restype = _type_of(result)
            function.argtypes = _argument_types(parameters)
            setattr(self, name, function)

    def error_text(self):
        """The pending text of aclGetRecentErrMsg, or ""."""
        return (self.aclGetRecentErrMsg() or b"").decode()


class Simulator(AscendCL):
    """A loaded simulated device: every function of the list and of aclsim.h as an attribute, with its types."""

    def __init__(self, path):
        super().__init__(path)
        self.path = str(path)
        for name, (result, arguments) in _CONTROL.items():
            function = getattr(self.lib, f"aclsim_{name}")
            function.restype = result
            function.argtypes = arguments
        himpi.bind(self.lib)
        codec = core.find_codec()
        if codec:
            self.lib.aclsim_set_codec(codec.encode())

    def __getattr__(self, name):
        return getattr(self.lib, name)

    def names(self, what):
        """The names that aclsim_soc_name, aclsim_option_name or aclsim_live_name list."""
        function = getattr(self.lib, f"aclsim_{what}_name")
        index = 0
        while (name := function(index)) is not None:
            yield name.decode()
            index += 1

    def live(self):
        """{kind: number} of the objects that the program holds on the device."""
        return {kind: self.lib.aclsim_live(kind.encode()) for kind in self.names("live")}

    def reports(self):
        """Texts of the strict mode's reports since the last clearing (at most 256 of them)."""
        count = min(self.lib.aclsim_report_count(), 256)
        return [self.lib.aclsim_report_text(index).decode() for index in range(count)]

    def take_reports(self):
        """The reports, which are then cleared."""
        found = self.reports()
        self.lib.aclsim_clear_reports()
        return found

    def set_options(self, **values):
        for name, value in values.items():
            if self.lib.aclsim_set_option(name.encode(), value) != 0:
                raise ValueError(f"the simulated device has no option {name}={value}")

    @contextlib.contextmanager
    def options(self, **values):
        """Set options for a block, and put back what was there."""
        before = {name: self.lib.aclsim_get_option(name.encode()) for name in values}
        try:
            self.set_options(**values)
            yield
        finally:
            self.set_options(**before)

    @contextlib.contextmanager
    def strict(self, on=True):
        """Strict mode for a block; yields a function that returns the reports of the block so far."""
        first = self.lib.aclsim_report_count()
        before = self.lib.aclsim_set_strict(int(on))
        try:
            yield lambda: self.reports()[first:]
        finally:
            self.lib.aclsim_set_strict(before)

    @contextlib.contextmanager
    def failing_call(self, function, nth=1, code=507899, persistent=False, after=False):
        """Let the nth call of a function ("*": of any) inside the block fail; `after`: when it has done its work."""
        arm = self.lib.aclsim_fail_call_after if after else self.lib.aclsim_fail_call
        if arm(function.encode(), nth, code, int(persistent)) != 0:
            raise ValueError(f"cannot let call {nth} of {function} fail")
        try:
            yield
        finally:
            self.lib.aclsim_clear_faults()

    @contextlib.contextmanager
    def hanging_call(self, function, nth=1, persistent=False, after=False):
        """Let the nth call of a function ("*": of any) never return while the block runs; `after`: when it has done its
        work. Yields a function that waits until at least `count` threads are inside such a call."""
        arm = self.lib.aclsim_hang_call_after if after else self.lib.aclsim_hang_call
        if arm(function.encode(), nth, int(persistent)) != 0:
            raise ValueError(f"cannot let call {nth} of {function} hang")
        try:
            yield lambda count=1: self.wait_hung(function, count)
        finally:
            self.lib.aclsim_clear_faults()

    def wait_hung(self, function="*", count=1, timeout=20):
        """Wait until at least `count` threads hang inside a function ("*": any)."""
        if self.lib.aclsim_wait_hung(function.encode(), count, int(timeout * 1000)) != 0:
            raise AssertionError(
                f"{self.lib.aclsim_hung_calls(function.encode())} calls of {function} hang, not {count}"
            )

    def hung_calls(self, function="*"):
        """Threads that hang inside a function now ("*": any)."""
        return self.lib.aclsim_hung_calls(function.encode())

    @contextlib.contextmanager
    def failing_frame(self, action, nth=1, value=0, persistent=False):
        """Do something to the nth frame that is sent inside the block (over all channels)."""
        if self.lib.aclsim_fail_frame(nth, action, value, int(persistent)) != 0:
            raise ValueError(f"cannot do {action} to frame {nth}")
        try:
            yield
        finally:
            self.lib.aclsim_clear_faults()

    @contextlib.contextmanager
    def dead_reports(self, code=507010):
        """What brings reports fails for good inside the block, and no wait has a limit: with frames in flight EOS and
        DestroyChannel do not return, as on hardware (statement 3.9.11). Behind the block they do. A call that is inside
        already still delivers: stall the device (option `stall`) where that matters."""
        with self.options(wait_limit_ms=0), self.failing_call(interface.REPORT, code=code, persistent=True):
            yield

    @contextlib.contextmanager
    def lost_device(self, device=0, code=507010):
        """The device is lost inside the block: it keeps nobody waiting, DestroyChannel neither (statement 3.9.12)."""
        self.lib.aclsim_lose_device(device, code)
        try:
            yield
        finally:
            self.lib.aclsim_lose_device(device, 0)

    def channel_stats(self, channel_desc):
        """Figures of an open channel by its descriptor."""
        stats = ChannelStats()
        if self.lib.aclsim_get_channel_stats(channel_desc, ctypes.byref(stats)) != 0:
            raise ValueError("no open channel")
        return {name: getattr(stats, name) for name, _ in ChannelStats._fields_}


_shared = None
_private = None
_loaded = False


def path():
    return core.simulated_device_path()


def is_loaded():
    """Whether the simulated device that the engine uses is mapped in this process. Does not load it."""
    global _loaded  # noqa: PLW0603
    _loaded = _loaded or str(Path(path()).resolve()) in Path("/proc/self/maps").read_text()
    return _loaded  # nobody unloads it


def shared():
    """The simulated device that the engine and the facade of this process use."""
    global _shared  # noqa: PLW0603
    if _shared is None:
        _shared = Simulator(path())
    return _shared


def is_a_board():
    """Whether the device under test is one on which the host writes the memory that the device reads: no staging."""
    mode = ctypes.c_int(-1)
    assert shared().aclrtGetRunMode(ctypes.byref(mode)) == 0
    return mode.value == 0


def live_counts():
    return shared().live()


@contextlib.contextmanager
def isolated(soc=None, devices=1, strict=True, **options):
    """A simulated device of the test's own, as if just loaded: nothing here touches the one of the engine.

    Fails if the block leaves strict reports (take_reports() takes the expected ones) or live objects behind.
    """
    global _private  # noqa: PLW0603
    if _private is None:
        folder = Path(tempfile.mkdtemp(prefix="ascend-venc-sim-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        _private = Simulator(shutil.copy(path(), folder / "private.so"))
    sim = _private
    assert sim.aclsim_reset() == 0
    assert sim.aclsim_set_soc(soc.encode() if soc else None) == 0
    assert sim.aclsim_set_devices(devices) == 0
    sim.set_options(quiet=1, **options)
    sim.aclsim_set_strict(int(strict))
    try:
        yield sim
        left = {kind: number for kind, number in sim.live().items() if number}
        found = sim.reports()
    finally:
        cleaned = sim.aclsim_reset()
    assert cleaned == 0
    assert found == []
    assert left == {}
