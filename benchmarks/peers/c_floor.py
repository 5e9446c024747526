# SPDX-License-Identifier: Apache-2.0
"""The C floor: benchmarks/c/floor.c, in this process."""

import ctypes

import native
from harness import Work

from ascend_venc.cli.streams import Paced

U32, I32, U64 = ctypes.c_uint32, ctypes.c_int32, ctypes.c_uint64


def _structure(**fields):
    return type("Structure", (ctypes.Structure,), {"_fields_": list(fields.items())})


OF_WORKLOAD = ("channels", "width", "height", "buffers")
Config = _structure(  # floor_config
    **dict.fromkeys((*OF_WORKLOAD, "outputs", "pictures"), U32),
    **dict.fromkeys(("threaded", "copies", "v2", "file"), I32),
)
Result = _structure(frames=U64, bytes=U64)  # floor_result
PacedResult = _structure(  # floor_paced
    **dict.fromkeys(("lost", "cpu_ns", "took_ns"), U64), latency_ns=ctypes.POINTER(U64), latencies=U64
)


class CFloor:
    """The same calls from plain C. `copies=False`: none of the program's own copies, which leaves the device's work.

    outputs: access units that it keeps, as a program has that receives packets. pictures: different ones, of all
    channels together; None: one for each buffer. file: a descriptor to write access units to.
    """

    def __init__(self, workload, copies=True, outputs=16, pictures=None, file=-1):
        self._lib, self.workload = ctypes.CDLL(str(native.floor_library())), workload
        self._lib.floor_open.restype = ctypes.c_void_p
        config = Config(
            **{name: getattr(workload, name) for name in OF_WORKLOAD},
            outputs=max(outputs, workload.buffers if file >= 0 else 1),
            pictures=pictures or workload.buffers,
            threaded=workload.threaded or workload.v2,
            copies=copies,
            v2=workload.v2,
            file=file,
        )
        self._floor = ctypes.c_void_p(self._lib.floor_open(ctypes.byref(config)))
        if not self._floor:
            raise RuntimeError("the C floor did not open its device")

    def run(self, frames):
        before = self.total()
        self._lib.floor_run(self._floor, U64(frames), self.workload.batch)
        return self.total() - before

    def queue(self, frames):
        self._lib.floor_queue(self._floor, U64(frames))

    def sender(self):
        return lambda: self.queue(1)

    def pace(self, rate=30, warm_up=12, frames=30, together=1):
        found = PacedResult()
        self._lib.floor_pace(self._floor, rate, warm_up, frames, together, ctypes.byref(found))
        latencies = [ns * 1e-9 for ns in found.latency_ns[: found.latencies]]
        sent = frames * self.workload.channels - found.lost
        return Paced(sent, 0, found.lost, found.took_ns * 1e-9, found.cpu_ns * 1e-9, latencies)

    def total(self):
        result = Result()
        self._lib.floor_total(self._floor, ctypes.byref(result))
        return Work(result.frames, result.bytes)

    def close(self):
        self._lib.floor_close(self._floor)
