# SPDX-License-Identifier: Apache-2.0
"""The C floor: benchmarks/c/floor.c, in this process."""

import ctypes

import native
from measure import Work


class Config(ctypes.Structure):
    """floor_config."""

    _fields_ = [
        *((name, ctypes.c_uint32) for name in ("channels", "width", "height", "buffers", "outputs")),
        *((name, ctypes.c_int32) for name in ("threaded", "copy_in", "copy_out", "checksums")),
    ]


class Result(ctypes.Structure):
    """floor_result."""

    _fields_ = [(name, ctypes.c_uint64) for name in ("frames", "bytes", "checksum")]


def _library():
    lib = ctypes.CDLL(str(native.floor_library()))
    lib.floor_open.argtypes = [ctypes.c_char_p, ctypes.POINTER(Config)]
    lib.floor_open.restype = ctypes.c_void_p
    lib.floor_run.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32, ctypes.POINTER(Result)]
    lib.floor_run.restype = None
    lib.floor_queue.argtypes = [ctypes.c_void_p, ctypes.c_uint64]
    lib.floor_queue.restype = None
    lib.floor_total.argtypes = [ctypes.c_void_p, ctypes.POINTER(Result)]
    lib.floor_total.restype = None
    lib.floor_close.argtypes = [ctypes.c_void_p]
    lib.floor_close.restype = None
    return lib


class CFloor:
    """The same calls from plain C. `copies=False`: none of the program's own copies, which leaves the device's work.
    Access units are copied to `outputs` buffers in turn."""

    def __init__(self, workload, threaded=False, copies=True, outputs=1):
        self._lib = _library()
        self._batch = workload.batch
        self._checksums = workload.checksums
        config = Config(
            channels=workload.channels,
            width=workload.width,
            height=workload.height,
            buffers=workload.buffers,
            outputs=outputs,
            threaded=threaded,
            copy_in=copies,
            copy_out=copies,
            checksums=workload.checksums,
        )
        device = workload.device or native.device_library()
        self._floor = self._lib.floor_open(device.encode(), ctypes.byref(config))
        if not self._floor:
            raise RuntimeError("the C floor did not open its device")

    def run(self, frames):
        result = Result()
        self._lib.floor_run(self._floor, frames, self._batch, ctypes.byref(result))
        return Work(result.frames, result.bytes, result.checksum if self._checksums else None)

    def queue(self, frames):
        self._lib.floor_queue(self._floor, frames)

    def sender(self):
        """A call that sends one frame on each channel."""
        return lambda: self.queue(1)

    def total(self):
        result = Result()
        self._lib.floor_total(self._floor, ctypes.byref(result))
        return Work(result.frames, result.bytes)

    def close(self):
        self._lib.floor_close(self._floor)
        self._floor = None
