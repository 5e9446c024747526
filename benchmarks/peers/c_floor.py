# SPDX-License-Identifier: Apache-2.0
"""The C floor: benchmarks/c/floor.c, in this process."""

import ctypes

import native
from harness import Work

from ascend_venc.cli.streams import Paced

U32, I32, U64 = ctypes.c_uint32, ctypes.c_int32, ctypes.c_uint64


def _structure(**fields):
    return type("Structure", (ctypes.Structure,), {"_fields_": list(fields.items())})


Config = _structure(  # floor_config
    **dict.fromkeys(("channels", "width", "height", "buffers", "outputs", "pictures"), U32),
    **dict.fromkeys(("threaded", "copies", "checksums", "v2", "file"), I32),
)
Result = _structure(**dict.fromkeys(("frames", "bytes", "checksum"), U64))  # floor_result
PacedResult = _structure(  # floor_paced
    **dict.fromkeys(("frames", "lost", "cpu_ns", "took_ns"), U64), latency_ns=ctypes.POINTER(U64), latencies=U64
)


def _library():
    lib = ctypes.CDLL(str(native.floor_library()))
    pointer = ctypes.c_void_p
    for name, result, *arguments in (
        ("open", pointer, ctypes.c_char_p, ctypes.POINTER(Config)),
        ("run", None, pointer, U64, U32, ctypes.POINTER(Result)),
        ("queue", None, pointer, U64),
        ("total", None, pointer, ctypes.POINTER(Result)),
        ("pace", None, pointer, U32, U32, U32, U32, ctypes.POINTER(PacedResult)),
        ("close", None, pointer),
    ):
        function = getattr(lib, f"floor_{name}")
        function.restype, function.argtypes = result, arguments
    return lib


class CFloor:
    """The same calls from plain C. `copies=False`: none of the program's own copies, which leaves the device's work.

    outputs: access units that it keeps, as a program has that receives packets. pictures: different ones, of all
    channels together; None: one for each buffer. file: a descriptor to write access units to.
    """

    SERIAL = True

    def __init__(self, workload, threaded=True, copies=True, outputs=16, pictures=None, file=-1):
        self._lib = _library()
        self.workload = workload
        config = Config(
            channels=workload.channels,
            width=workload.width,
            height=workload.height,
            buffers=workload.buffers,
            outputs=max(outputs, workload.buffers if file >= 0 else 1),
            pictures=pictures or workload.buffers,
            threaded=threaded or workload.v2,
            copies=copies,
            checksums=workload.checksums,
            v2=workload.v2,
            file=file,
        )
        device = workload.device or native.device_library()
        self._floor = self._lib.floor_open(device.encode(), ctypes.byref(config))
        if not self._floor:
            raise RuntimeError("the C floor did not open its device")

    def run(self, frames):
        result = Result()
        self._lib.floor_run(self._floor, frames, self.workload.batch, ctypes.byref(result))
        return Work(result.frames, result.bytes, result.checksum if self.workload.checksums else None)

    def queue(self, frames):
        self._lib.floor_queue(self._floor, frames)

    def sender(self):
        return lambda: self.queue(1)

    def pace(self, rate=30, warm_up=12, frames=30, together=1):
        before, found = self.total(), PacedResult()
        self._lib.floor_pace(self._floor, rate, warm_up, frames, together, ctypes.byref(found))
        done = self.total()
        each = (done.bytes - before.bytes) // max(done.frames - before.frames, 1)
        latencies = [ns * 1e-9 for ns in found.latency_ns[: found.latencies]]
        return Paced(
            found.frames, found.frames * each, found.lost, found.took_ns * 1e-9, found.cpu_ns * 1e-9, latencies
        )

    def total(self):
        result = Result()
        self._lib.floor_total(self._floor, ctypes.byref(result))
        return Work(result.frames, result.bytes)

    def close(self):
        self._lib.floor_close(self._floor)
        self._floor = None
