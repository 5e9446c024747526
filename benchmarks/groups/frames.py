# SPDX-License-Identifier: Apache-2.0
"""CPU per frame as fast as it goes, heap allocations per frame, and the sample's file flow.

Two floors, because a report thread costs by itself: `serial` peers send a batch and process its reports on one thread,
`threaded` peers have a report thread. Encoder always has one (its own), so its floor is the threaded C loop; pyACL's
shape is shown both ways, and goals take the way that is kinder to it.
"""

import contextlib
import ctypes
import functools
import json
import os
import tempfile
import time

import child
import device
import native
from measure import DifferentWork, Work, Workload, alternate, check_peers, summary
from peers import encoder, pyacl
from peers.c_floor import CFloor
from peers.ctypes_binding import Ctypes
from peers.facade import Facade
from peers.pyacl import Pyacl
from peers.pyacl_shape import PyaclShape

WITH = functools.partial

SERIAL = {
    "C": CFloor,
    "device alone": WITH(CFloor, copies=False),
    "ctypes CDLL": Ctypes,
    "ctypes PyDLL": WITH(Ctypes, holds_gil=True),
    "pyACL shape, lean": WITH(PyaclShape, lean=True),
    "pyACL shape, as shipped": PyaclShape,
    "pyACL shape, as documented": WITH(PyaclShape, per_frame=True),
    "ascend_venc.acl": Facade,
}
THREADED = {
    "C": WITH(CFloor, threaded=True),
    "ctypes CDLL": WITH(Ctypes, threaded=True),
    "pyACL shape, lean": WITH(PyaclShape, lean=True, threaded=True),
    "pyACL shape, as shipped": WITH(PyaclShape, threaded=True),
    "pyACL shape, as documented": WITH(PyaclShape, per_frame=True, threaded=True),
    "ascend_venc.acl": WITH(Facade, threaded=True),
}
ENCODER = {
    "Encoder.encode": encoder.EncoderPeer,
    "Encoder.submit_many": encoder.Batched,
    "Encoder.submit, receive": encoder.Single,
    "Encoder.acquire": encoder.Acquired,
    "Encoder.submit_async": encoder.Queued,
}

CASES = [ # width, height, access unit, batch
    (128, 128, 2_000, 8),
    (128, 128, 20_000, 8),
    (128, 128, 20_000, 1),
    (128, 128, 200_000, 8),
    (1920, 1080, 2_000, 8),
    (1920, 1080, 20_000, 8),
    (1920, 1080, 20_000, 1),
    (1920, 1080, 200_000, 8),
]


def _peers(options):
    serial, threaded = dict(SERIAL), dict(THREADED)
    if options.pyacl:
        serial[pyacl.LABEL], threaded[pyacl.LABEL] = Pyacl, WITH(Pyacl, threaded=True)
    for name, peer in ENCODER.items():
        if encoder.has(*peer.NEEDS):
            threaded[name] = peer
    return serial, threaded


def measure(options):
    rows = []
    for width, height, access_unit, batch in CASES:
        large = width > 1000
        workload = Workload(width, height, access_unit, batch, buffers=8 if batch == 1 else 16)
        frames = (60 if large else 1000) if options.quick else (120 if large else 2500)
        rounds = 3 if options.quick else 5
        with device.configured(access_unit, output_slots=32):
            for mode, peers in zip(("serial", "threaded"), _peers(options)):
                checked = {name: opener for name, opener in peers.items() if name != "device alone"}
                work = check_peers(checked, workload, 64)
                cpu, wall = alternate(peers, workload, frames, rounds)
                floor = summary(cpu["C"])["median"]
                for name in peers:
                    row = {
                        "width": width,
                        "height": height,
                        "access_unit": access_unit,
                        "batch": batch,
                        "mode": mode,
                        "peer": name,
                        "cpu_ns": summary(cpu[name], 0),
                        "frames_per_second": round(1e9 / summary(wall[name])["median"]),
                        "times_floor": round(summary(cpu[name])["median"] / floor, 2),
                        "ns_over_floor": round(summary(cpu[name])["median"] - floor),
                        "checksum": work.checksum,
                    }
                    rows.append(row)
                    options.say(
                        f"{width}x{height} {access_unit // 1000} KB B={batch} {mode:8} {name:28}"
                        f"{row['cpu_ns']['median']:9.0f} ns  {row['times_floor']:6.2f} x C"
                    )
    return {
        "rows": rows,
        "file_flow": file_flow(options),
        "allocations": allocations(options),
    }


# ---- the sample's file flow ------------------------------------------------------------------------------------------


class _Writer:
    """Where access units go: a file in memory, and what has been written of it."""

    def __init__(self, folder):
        self.file = tempfile.NamedTemporaryFile(dir=folder, buffering=0)

    def array(self, array):
        """As the vendor's sample writes: one write per frame, of bytes made from the array."""
        self.file.write(array.tobytes())

    def packets(self, packets):
        os.writev(self.file.fileno(), packets)

    def size(self):
        return os.fstat(self.file.fileno()).st_size


def _tmpfs():
    """A folder in memory, so that no disk is measured."""
    for folder in ("/dev/shm", tempfile.gettempdir()):
        if os.access(folder, os.W_OK):
            return folder
    raise RuntimeError("no folder to write to")


class _Filed:
    """A peer whose access units are written to a file; what the file holds is part of the work that is compared."""

    def __init__(self, peer, writer):
        self.peer, self.writer = peer, writer

    def run(self, frames):
        before = self.writer.size()
        work = self.peer.run(frames)
        written = self.writer.size() - before
        if written != work.bytes:
            raise DifferentWork(f"{written} bytes in the file of {work.bytes}")
        os.ftruncate(self.writer.file.fileno(), 0)
        os.lseek(self.writer.file.fileno(), 0, os.SEEK_SET)
        return Work(work.frames, work.bytes, work.checksum)

    def close(self):
        self.peer.close()
        self.writer.file.close()


class _SinkPeer:
    """Encoder with a native sink: packets go to the file without Python."""

    def __init__(self, workload):
        self.writer = _Writer(_tmpfs())
        self.peer = encoder.Sunk(workload, self.writer.file.fileno())

    def run(self, frames):
        self.peer.run(frames)
        size = self.writer.size()
        os.ftruncate(self.writer.file.fileno(), 0)
        os.lseek(self.writer.file.fileno(), 0, os.SEEK_SET)
        return Work(frames, size)

    def close(self):
        self.peer.close()
        self.writer.file.close()


def file_flow(options):
    """The sample's flow, encoded to a file in memory (G12)."""

    def program(kind, **settings):
        def opener(workload):
            writer = _Writer(_tmpfs())
            return _Filed(kind(workload, on_packet=writer.array, **settings), writer)

        return opener

    def batched(workload):
        writer = _Writer(_tmpfs())
        return _Filed(encoder.Batched(workload, on_packets=writer.packets), writer)

    rows = []
    for access_unit in (2_000, 20_000, 200_000):
        workload = Workload(access_unit=access_unit)
        peers = {
            "pyACL shape, as documented": program(PyaclShape, per_frame=True),
            "pyACL shape, as shipped": program(PyaclShape),
            "ascend_venc.acl": program(Facade),
        }
        if encoder.has(*encoder.Batched.NEEDS):
            peers["Encoder.submit_many, writev"] = batched
        if encoder.has_sink():
            peers["Encoder, sink"] = _SinkPeer
        with device.configured(access_unit, output_slots=32):
            cpu, _ = alternate(peers, workload, 500 if options.quick else 1500, 3 if options.quick else 5)
        base = summary(cpu["pyACL shape, as documented"])["median"]
        for name in peers:
            figures = summary(cpu[name], 0)
            rows.append(
                {
                    "access_unit": access_unit,
                    "peer": name,
                    "cpu_ns": figures,
                    "times_less": round(base / figures["median"], 2),
                }
            )
            options.say(f"file flow {access_unit // 1000} KB {name:28}{figures['median']:9.0f} ns")
    return rows


# ---- heap allocations, in a process of their own ----------------------------------------------------------------------


def allocations(options):
    """Heap allocations per frame (glibc's), by peer; with PYTHONMALLOC=malloc Python's own objects count too."""
    rows = []
    for python_malloc in ("", "malloc"):
        env = {"LD_PRELOAD": str(native.allocation_counter())}
        if python_malloc:
            env["PYTHONMALLOC"] = python_malloc
        for row in child.run("groups.frames", env=env):
            rows.append({**row, "python_objects": bool(python_malloc)})
            options.say(
                f"allocations{' with Python objects' if python_malloc else '':20} {row['peer']:28}"
                f"{row['per_frame']:8.3f} per frame"
            )
    return rows


def _count_allocations():
    counter = ctypes.CDLL(None)
    counter.bench_allocations.restype = counter.bench_allocated_bytes.restype = ctypes.c_uint64
    rows = []
    workload = Workload()
    peers = {f"{name}, serial" if name == "C" else name: peer for name, peer in SERIAL.items() if name != "device alone"}
    peers.update({name: peer for name, peer in ENCODER.items() if encoder.has(*peer.NEEDS)})
    frames = 4000
    with device.configured(workload.access_unit, output_slots=32):
        for name, opener in peers.items():
            with contextlib.closing(opener(workload)) as peer:
                peer.run(1000)
                time.sleep(0.05)
                calls, size = counter.bench_allocations(), counter.bench_allocated_bytes()
                work = peer.run(frames)
                calls, size = counter.bench_allocations() - calls, counter.bench_allocated_bytes() - size
            if work.frames != frames:
                raise DifferentWork(f"{name}: {work}")
            rows.append({"peer": name, "per_frame": round(calls / frames, 3), "bytes": round(size / frames)})
    print(json.dumps(rows))


if __name__ == "__main__":
    _count_allocations()
