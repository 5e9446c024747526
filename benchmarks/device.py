# SPDX-License-Identifier: Apache-2.0
"""The simulated device of a benchmark's process, and the probe on top of it."""

import contextlib
import ctypes
import os
import sys

import native

sys.path.insert(0, str(native.ROOT / "tests"))

# Read when the device is loaded: strict mode would be measured too.
os.environ["ASCEND_VENC_SIM_STRICT"] = "0"
os.environ.pop("ASCEND_VENC_SIM_OPTIONS", None)


def simulator():
    from helpers import simulator as control

    return control.shared()


@contextlib.contextmanager
def configured(access_unit, **options):
    """The null codec with access units of so many bytes, for channels that are opened inside the block."""
    values = {"null_codec": access_unit, "input_slots": 64, "output_slots": 16, "encode_time_us": 0, "send_time_us": 0}
    with simulator().options(**{**values, **options}):
        yield


class Window(ctypes.Structure):
    """probe_window."""

    _fields_ = [
        ("seconds", ctypes.c_double),
        *(
            (name, ctypes.c_uint64)
            for name in ("channels", "encoded", "delivered", "skipped", "host_idle_ns", "send_blocked_ns")
        ),
    ]


class Probe:
    """The device library that takes the time of callbacks. One peer to a process."""

    def __init__(self):
        self.path = str(native.probe_library())
        self.lib = ctypes.CDLL(self.path)
        self.lib.probe_watch.argtypes = [ctypes.c_double, ctypes.POINTER(Window)]
        self.lib.probe_watch.restype = None
        self.lib.probe_clear.restype = None
        pointer32, pointer64 = ctypes.POINTER(ctypes.c_uint32), ctypes.POINTER(ctypes.c_uint64)
        self.lib.probe_samples.argtypes = [ctypes.POINTER(pointer32), ctypes.POINTER(pointer64)]
        self.lib.probe_samples.restype = ctypes.c_size_t
        self._pointers = pointer32(), pointer64()

    def watch(self, seconds):
        """What the device counts during so many seconds; the GIL is free meanwhile."""
        window = Window()
        self.lib.probe_watch(seconds, ctypes.byref(window))
        return window

    def clear(self):
        self.lib.probe_clear()

    def samples(self):
        """(hold times in ns, times of entry in ns) of the callbacks so far, in their order."""
        hold, entered = self._pointers
        count = self.lib.probe_samples(ctypes.byref(hold), ctypes.byref(entered))
        return hold[:count], entered[:count]


def thread_cpu_ns(name_begins):
    """CPU time of the threads of this process whose name begins so: the device's own work is not the peer's."""
    import time

    total = 0
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/comm") as file:
                name = file.read()
            if name.startswith(name_begins):
                total += time.clock_gettime_ns((~int(task) << 3) | 6)  # the kernel's clock id of a thread's CPU time
        except OSError:
            continue
    return total
