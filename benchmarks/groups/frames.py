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
import statistics
import sys
import tempfile
import time

import child
import device
import native
from measure import DifferentWork, Work, Workload, alternate, check_peers, row
from peers import encoder, pyacl
from peers.c_floor import CFloor
from peers.ctypes_binding import Ctypes
from peers.facade import Facade
from peers.pyacl import Pyacl
from peers.pyacl_shape import DOCUMENTED, LEAN, PyaclShape
from peers.pyacl_shape import LABEL as SHAPE

WITH = functools.partial

SERIAL = {
    "C loop": CFloor,
    "device alone": WITH(CFloor, copies=False),
    "ctypes.CDLL": Ctypes,
    "ctypes.PyDLL": WITH(Ctypes, holds_gil=True),
    LEAN: WITH(PyaclShape, lean=True),
    SHAPE: PyaclShape,
    DOCUMENTED: WITH(PyaclShape, per_frame=True),
    "ascend_venc.acl": Facade,
}
THREADED = {
    "C loop": WITH(CFloor, threaded=True),
    "ctypes.CDLL": WITH(Ctypes, threaded=True),
    SHAPE: WITH(PyaclShape, threaded=True),
    "ascend_venc.acl": WITH(Facade, threaded=True),
}
ENCODER = {
    "Encoder.encode": encoder.EncoderPeer,
    "Encoder.submit_many": encoder.Batched,
    "Encoder.submit, receive": encoder.Single,
    "Encoder.acquire": encoder.Acquired,
    "Encoder.submit_async": encoder.Queued,
}

CASES = [  # width, height, access unit, batch
    (128, 128, 2_000, 8),
    (128, 128, 20_000, 8),
    (128, 128, 20_000, 1),
    (128, 128, 200_000, 8),
    (1920, 1080, 2_000, 8),
    (1920, 1080, 20_000, 8),
    (1920, 1080, 20_000, 1),
    (1920, 1080, 200_000, 8),
]

# (width, access unit, batch, peer): over the C loop at most so many times, and so many ns added
GOALS = {
    (128, 20_000, 8, "Encoder.submit_many"): (1.5, 220, "G5"),
    (128, 200_000, 8, "Encoder.submit_many"): (1.15, None, "G5"),
    (128, 20_000, 1, "Encoder.encode"): (1.45, 275, "G6"),
    (1920, 20_000, 8, "Encoder.submit_many"): (1.05, None, "G8"),
}


def _peers(options):
    serial, threaded = dict(SERIAL), {**THREADED, **ENCODER}
    if options.pyacl:
        serial[pyacl.LABEL], threaded[pyacl.LABEL] = Pyacl, WITH(Pyacl, threaded=True)
    return {"one thread": serial, "report thread": threaded}


def frames(options):
    rows = []
    for width, height, access_unit, batch in CASES:
        large = width > 1000
        workload = Workload(width, height, access_unit, batch, buffers=8 if batch == 1 else 16)
        count = (60 if large else 1000) if options.quick else (120 if large else 2500)
        where = f"{width}x{height}, {access_unit // 1000} KB, batches of {batch}"
        found = {}
        with device.configured(access_unit, output_slots=32):
            for mode, peers in _peers(options).items():
                check_peers({name: opener for name, opener in peers.items() if name != "device alone"}, workload, 64)
                found[mode], wall = alternate(peers, workload, count, 3 if options.quick else 5)
                for name, values in found[mode].items():
                    rows.append(row(f"{where}, {mode}: CPU per frame", name, values, "ns", digits=0))
                rows += _over_the_floor(found[mode], where, mode, (width, access_unit, batch))
        for name, values in wall.items():  # of the mode with a report thread
            rates = [1e9 / value for value in values]
            rows.append(row(f"{where}, report thread: rate", name, rates, "frames/s", digits=0))
        if (width, access_unit) == (128, 20_000):
            rows += _against_the_shape(found, where, batch)
    return rows


def _over_the_floor(cpu, where, mode, case):
    floor, rows = cpu["C loop"], []
    shown = [name for name in cpu if name in (SHAPE, DOCUMENTED, pyacl.LABEL, "ascend_venc.acl") or name in ENCODER]
    for name in shown:
        times, added, number = GOALS.get((*case, name), (None, None, None))
        ratios = [value / base for value, base in zip(cpu[name], floor)]
        goal = f"≤ {times} ({number})" if times else None
        rows.append(row(f"{where}, {mode}: CPU over the C loop", name, ratios, "×", goal))
        if added is not None:
            more = [value - base for value, base in zip(cpu[name], floor)]
            rows.append(row(f"{where}, {mode}: added to the C loop", name, more, "ns", f"≤ {added} ({number})", 0))
    return rows


def _against_the_shape(found, where, batch):
    """How many times the overhead of Encoder over C the shape of pyACL has; of its two ways the one kinder to it."""
    over = {
        mode: {name: [value - base for value, base in zip(values, cpu["C loop"])] for name, values in cpu.items()}
        for mode, cpu in found.items()
    }
    kinder = min((over[mode][SHAPE] for mode in over), key=statistics.median)
    peer = "Encoder.submit_many" if batch > 1 else "Encoder.encode"
    ours = over["report thread"][peer]
    # Of the medians: a single difference of ours may be nothing, or less.
    ratio = statistics.median(kinder) / max(statistics.median(ours), 1)
    rows = [row(f"{where}: overhead of the pyACL shape over that of", peer, [ratio], "×", "≥ 25 (G7)")]
    if batch > 1:
        ratios = [
            ours / theirs for ours, theirs in zip(over["one thread"]["ascend_venc.acl"], over["one thread"][SHAPE])
        ]
        figure = f"{where}, one thread: overhead against the pyACL shape's"
        rows.append(row(figure, "ascend_venc.acl", ratios, "×", "≤ 0.25 (facade frame)"))
    return rows


# ---- without thread switches -----------------------------------------------------------------------------------------

PHASE = 16  # frames
C_WITH_BUFFERS = f"C loop, {PHASE} output buffers"  # as a program has that keeps what it received


def bursts(options):
    """CPU per frame of the peers with a report thread, when no frame waits for a thread to wake.

    The device stands still while the peer sends PHASE frames, then answers all of them, then the peer receives. Only
    the sending, the receiving and the report thread's CPU are counted: one wake-up for PHASE frames, on both sides.
    """
    rows = []
    for access_unit in (2_000, 20_000, 200_000):
        where = f"128x128, {access_unit // 1000} KB, bursts of {PHASE} in batches of 8"
        found = {"C loop": [], C_WITH_BUFFERS: [], "Encoder.submit_many": []}
        with device.configured(access_unit, output_slots=PHASE, input_slots=PHASE):
            for number in range(3 if options.quick else 5):
                order = [
                    (_burst_of_c, "C loop"),
                    (WITH(_burst_of_c, outputs=PHASE), C_WITH_BUFFERS),
                    (_burst_of_encoder, "Encoder.submit_many"),
                ]
                for measured, name in order if number % 2 == 0 else reversed(order):
                    found[name].append(measured(access_unit, 60 if options.quick else 200))
        rows += [row(f"{where}: CPU per frame", name, values, "ns", digits=0) for name, values in found.items()]
        ours, floor = found["Encoder.submit_many"], found["C loop"]
        times, added = {2_000: (None, None), 20_000: (1.5, 220), 200_000: (1.15, None)}[access_unit]
        ratios = [value / base for value, base in zip(ours, floor)]
        goal = f"≤ {times} (G5)" if times else None
        rows.append(row(f"{where}: CPU over the C loop", "Encoder.submit_many", ratios, "×", goal))
        kept = [value / base for value, base in zip(ours, found[C_WITH_BUFFERS])]
        rows.append(row(f"{where}: CPU over the {C_WITH_BUFFERS}", "Encoder.submit_many", kept, "×"))
        more = [value - base for value, base in zip(ours, floor)]
        goal = f"≤ {added} (G5)" if added else None
        rows.append(row(f"{where}: added to the C loop", "Encoder.submit_many", more, "ns", goal, 0))
    return rows


def _phases(rounds, access_unit, thread, send, finished, receive):
    """CPU ns per frame, median over `rounds` phases."""
    simulator, clock = device.simulator(), time.thread_time_ns
    samples = []
    for number in range(rounds + 10):
        simulator.set_options(stall=1)
        before = device.thread_cpu_ns(thread)
        start = clock()
        send()
        spent = clock() - start
        simulator.set_options(stall=0)
        while not finished():
            time.sleep(0.0002)
        start = clock()
        work = receive()
        spent += clock() - start
        time.sleep(0.0002)  # the report thread sleeps again: its time is up to date
        spent += device.thread_cpu_ns(thread) - before
        if work != (PHASE, PHASE * access_unit):
            raise DifferentWork(f"{work} in a phase of {PHASE} frames")
        if number >= 10:
            samples.append(spent / PHASE)
    return statistics.median(samples)


def _burst_of_c(access_unit, rounds, outputs=1):
    workload = Workload(access_unit=access_unit, buffers=PHASE)
    with contextlib.closing(CFloor(workload, threaded=True, outputs=outputs)) as peer:
        before = [peer.total()]

        def receive():
            now, last = peer.total(), before[0]
            before[0] = now
            return now.frames - last.frames, now.bytes - last.bytes

        def finished():
            return peer.total().frames >= before[0].frames + PHASE

        return _phases(rounds, access_unit, "floor-report", lambda: peer.queue(PHASE), finished, receive)


def _burst_of_encoder(access_unit, rounds):
    with contextlib.closing(encoder.EncoderPeer(Workload(access_unit=access_unit, buffers=PHASE))) as peer:
        enc = peer.encoder
        batches = [peer.frames[start : start + 8] for start in range(0, PHASE, 8)]

        def send():
            for batch in batches:
                enc.submit_many(batch)

        def receive():
            frames = size = 0
            while frames < PHASE:
                packets = enc.receive_many(8)
                frames += len(packets)
                size += sum(map(len, packets))
            return frames, size

        return _phases(rounds, access_unit, "avenc-report", send, lambda: enc.stats.in_flight == 0, receive)


# ---- the sample's file flow ------------------------------------------------------------------------------------------


class _Writer:
    """Where access units go: a file in memory, and what has been written of it."""

    def __init__(self, folder):
        self.file = tempfile.NamedTemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - closed with its peer

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


def files(options):
    """The sample's flow, encoded to a file in memory (G12)."""

    def program(kind, **settings):
        def opener(workload):
            writer = _Writer(_tmpfs())
            return _Filed(kind(workload, on_packet=writer.array, **settings), writer)

        return opener

    def batched(workload):
        writer = _Writer(_tmpfs())
        return _Filed(encoder.Batched(workload, on_packets=writer.packets), writer)

    peers = {
        DOCUMENTED: program(PyaclShape, per_frame=True),
        SHAPE: program(PyaclShape),
        "ascend_venc.acl": program(Facade),
        "Encoder.submit_many, writev": batched,
        "Encoder.submit_many, sink": _SinkPeer,
    }
    if options.pyacl:
        peers[pyacl.LABEL] = program(Pyacl)
    goals = {2_000: "≥ 15 (G12)", 20_000: "≥ 4 (G12)"}
    rows = []
    for access_unit in (2_000, 20_000, 200_000):
        workload = Workload(access_unit=access_unit)
        with device.configured(access_unit, output_slots=32):
            cpu, _ = alternate(peers, workload, 500 if options.quick else 1500, 3 if options.quick else 5)
        size = f"{access_unit // 1000} KB"
        rows += [row(f"{size} to a file: CPU per frame", name, values, "ns", digits=0) for name, values in cpu.items()]
        for name in list(peers)[1:]:
            ratios = [base / value for base, value in zip(cpu[DOCUMENTED], cpu[name])]
            goal = goals.get(access_unit) if name.endswith("writev") else None
            rows.append(row(f"{size} to a file: times less CPU than the documented flow", name, ratios, "×", goal))
    return rows


# ---- heap allocations, in a process of their own -------------------------------------------------------------------


def allocations(options):
    """Heap allocations per frame (glibc's), less the simulated device's; then with Python's own objects too (G9)."""
    rows = []
    for python_malloc in ("", "malloc"):
        with child.preloaded(native.allocation_counter()) as env:
            if python_malloc:
                env["PYTHONMALLOC"] = python_malloc
            found = child.run("groups.frames", *(["--pyacl"] if options.pyacl else []), env=env)
        figure = "allocations per frame" + (", Python's objects too" if python_malloc else "")
        for name, calls in found.items():
            more = max(0, calls - found["C loop"])
            goal = "≤ 0 (G9)" if name in ENCODER and not python_malloc else None
            rows.append(row(figure, name, [more], "", goal))
    return rows


# ---- bytes copied ----------------------------------------------------------------------------------------------------

CHIPS = {"Ascend310P3": "card", "Ascend310B4": "board"}


def copies(options):
    """Bytes that are copied for a frame, by the engine's own counters, which the tests hold to; in a process for each
    chip. The documented flow makes two copies, of the picture and of the access unit, wherever it runs."""
    rows = []
    for chip, kind in CHIPS.items():
        workload = Workload()
        documented = workload.picture_bytes + workload.access_unit
        figure = f"128x128, 20 KB, {kind} ({chip}): bytes copied per frame"
        rows.append(row(figure, "C loop, pyACL shape: by their calls", [documented], "bytes", digits=0))
        for name, size in child.run("groups.frames", chip).items():
            rows.append(row(figure, name, [size], "bytes", digits=0))
    return rows


def _count_copies(chip):
    found, count, workload = {}, 400, Workload()
    with device.configured(workload.access_unit, output_slots=32):
        for name, opener in ENCODER.items():
            with contextlib.closing(opener(workload, backend=f"sim:{chip}")) as peer:
                if peer.run(count).frames != count:
                    raise DifferentWork(f"{name} on {chip}")
                stats = peer.encoder.stats
                found[name] = (stats.bytes_copied_in + stats.bytes_out) / count
    print(json.dumps(found))


def _count_allocations(more):
    counter = ctypes.CDLL(None)
    counter.bench_allocations.restype = ctypes.c_uint64
    found, count, workload = {}, 4000, Workload()
    with device.configured(workload.access_unit, output_slots=32):
        for name, opener in {**SERIAL, **ENCODER, **more}.items():
            if name == "device alone":
                continue
            with contextlib.closing(opener(workload)) as peer:
                peer.run(count)
                time.sleep(0.05)
                calls = counter.bench_allocations()
                work = peer.run(count)
                found[name] = (counter.bench_allocations() - calls) / count
            if work.frames != count:
                raise DifferentWork(f"{name}: {work}")
    print(json.dumps(found))


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1] in CHIPS:
        _count_copies(sys.argv[1])
    else:
        _count_allocations({pyacl.LABEL: Pyacl} if sys.argv[1:] == ["--pyacl"] else {})
