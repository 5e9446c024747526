# SPDX-License-Identifier: Apache-2.0
"""What every figure is made with: the same work for all peers, in turn, medians with their spread."""

import contextlib
import statistics
import time
from dataclasses import dataclass


class DifferentWork(Exception):
    """Two peers did not do the same work: their figures cannot be compared."""


@dataclass(frozen=True)
class Work:
    """What came out: access units, their bytes, and the Adler-32 of all of them in order (None: not asked for)."""

    frames: int
    bytes: int
    checksum: "int | None" = None


@dataclass(frozen=True)
class Workload:
    """What a peer encodes. The access unit's size is an option of the device, set by `device.configured`."""

    width: int = 128
    height: int = 128
    access_unit: int = 20_000
    batch: int = 8
    buffers: int = 16
    channels: int = 1
    checksums: bool = False
    device: str = ""

    @property
    def picture_bytes(self):
        return self.width * self.height * 3 // 2


def percentiles(values, *shares):
    """Percentiles of many samples by name, e.g. {"p50": ..., "p99.9": ...}."""
    ordered = sorted(values)
    return {f"p{share:g}": ordered[min(len(ordered) - 1, int(len(ordered) * share / 100))] for share in shares}


def same_work(results):
    """Raise unless all peers (a dict by name) did the same work; return it."""
    (first, expected), *others = results.items()
    for name, work in others:
        if work != expected:
            raise DifferentWork(f"{first}: {expected}; {name}: {work}")
    return expected


def check_peers(openers, workload, frames):
    """Let every peer encode the same frames once with checksums, and compare what came out."""
    from dataclasses import replace

    checked = replace(workload, checksums=True)
    found = {}
    for name, opener in openers.items():
        with contextlib.closing(opener(checked)) as peer:
            found[name] = peer.run(frames)
    expected = same_work(found)
    if expected.frames != frames or not expected.checksum:
        raise DifferentWork(f"{frames} frames were to be encoded: {expected}")
    return expected


def alternate(openers, workload, frames, rounds, clock=time.process_time_ns):
    """Time peers in turn, `rounds` times, forwards and backwards: {name: [ns per frame]} of CPU, and of wall time.

    Each sample opens the peer anew and runs a tenth of the frames first. Fails when work differs.
    """
    cpu = {name: [] for name in openers}
    wall = {name: [] for name in openers}
    order = list(openers)
    expected = None
    for number in range(rounds):
        for name in order if number % 2 == 0 else reversed(order):
            with contextlib.closing(openers[name](workload)) as peer:
                peer.run(max(workload.batch, frames // 10))
                began, wall_began = clock(), time.perf_counter_ns()
                work = peer.run(frames)
                spent, wall_spent = clock() - began, time.perf_counter_ns() - wall_began
            if expected is None:
                expected = Work(frames, work.bytes)
            if (work.frames, work.bytes) != (expected.frames, expected.bytes):
                raise DifferentWork(f"{name} in round {number}: {work}, others: {expected}")
            cpu[name].append(spent / frames)
            wall[name].append(wall_spent / frames)
    return cpu, wall


def row(figure, peer, values, unit, goal=None, digits=2):
    """A row of the report: median and extremes of samples."""
    return {
        "figure": figure,
        "peer": peer,
        "median": round(statistics.median(values), digits),
        "low": round(min(values), digits),
        "high": round(max(values), digits),
        "unit": unit,
        "goal": goal,
    }
