# SPDX-License-Identifier: Apache-2.0
"""Who waits for the GIL: the device (callbacks), the program (sends), the packet (latency). Each run in a new process,
the peers in turn."""

import json
import statistics

import child
from peers import encoder

SHAPE = "pyACL shape, as shipped"
LOADS = ("none", "burn", "hold20")
ACCESS_UNIT = 20_000


def in_turn(options, what, jobs, figures):
    """Run all jobs `repeats` times, forwards and backwards; each figure of a row is the median, with all runs beside."""
    runs = [[] for _ in jobs]
    for number in range(options.repeats):
        order = range(len(jobs)) if number % 2 == 0 else range(len(jobs) - 1, -1, -1)
        for index in order:
            job = {"what": what, "access_unit": ACCESS_UNIT, **jobs[index]}
            runs[index].append(child.run("paced", json.dumps(job)))
    return [_row(options, what, job, found, figures) for job, found in zip(jobs, runs)]


def _row(options, what, job, runs, figures):
    row = {key: value for key, value in job.items() if key != "seconds"}
    for figure in figures:
        values = [run[figure] for run in runs]
        if isinstance(values[0], dict):
            row[figure] = {name: round(statistics.median(value[name] for value in values), 3) for name in values[0]}
        else:
            row[figure] = round(statistics.median(values), 3)
        row[f"{figure}_runs"] = values
    about = ", ".join(str(value) for key, value in job.items() if key != "seconds")
    options.say(f"{what:8} {about:58} " + "  ".join(f"{figure}={row[figure]}" for figure in figures))
    return row


def measure(options):
    pyacl = ["pyACL"] if options.pyacl else []
    parts = {
        "blocked": lambda: blocked(options, [SHAPE, *pyacl, "ascend_venc.acl", "Encoder"]),
        "fast": lambda: fast(options, [SHAPE, *pyacl, "Encoder.submit_many"]),
        "submit": lambda: submit(options, [SHAPE, *pyacl, "Encoder.submit", "Encoder.submit_async"]),
        "latency": lambda: latency(
            options, [SHAPE, *pyacl, "Encoder", "Encoder, asyncio", f"{SHAPE}, call_soon_threadsafe"]
        ),
    }
    return {name: part() for name, part in parts.items() if options.part in (None, name)}


def _usable(peers):
    needs = {"Encoder.submit_many": ("submit_many",), "Encoder.submit_async": ("submit_async",)}
    return [peer for peer in peers if encoder.has(*needs.get(peer, ()))]


def _peers(load, peers):
    """The C loop has no GIL to wait for: it is measured without a load."""
    return ["C", *peers] if load == "none" else peers


def blocked(options, peers):
    """A saturated device of 30 fps a channel with one output slot (G1)."""
    common = {"encode_time_us": 33_333, "output_slots": 1, "seconds": 1 if options.quick else 1.5}
    jobs = [
        {"peer": peer, "channels": channels, "load": load, **common}
        for channels in (1, 8, 32)
        for load in LOADS
        for peer in _peers(load, peers)
        if peer != "ascend_venc.acl" or channels == 8
    ]
    return in_turn(options, "blocked", jobs, ("blocked_percent", "frames_per_second", "hold_us"))


def fast(options, peers):
    """A device of 0.5 ms a frame, one channel (G2). Its own speed is what the C loop reaches without a load."""
    jobs = [
        {"peer": peer, "load": load, "encode_time_us": 500, "output_slots": slots, "seconds": 1}
        for slots in (1, 8)
        for load in LOADS
        for peer in _peers(load, _usable(peers))
    ]
    rows = in_turn(options, "fast", jobs, ("frames_per_second", "blocked_percent"))
    for row in rows:
        own = next(
            other["frames_per_second"]
            for other in rows
            if (other["peer"], other["output_slots"]) == ("C", row["output_slots"])
        )
        row["share_percent"] = round(100 * row["frames_per_second"] / own, 1)
    return rows


def submit(options, peers):
    """Python paces 30 fps on n channels, aclvencSendFrame takes 150 us (G4)."""
    jobs = [
        {"peer": peer, "channels": channels, "load": load, "seconds": 1 if options.quick else 2.5}
        for channels in (8, 32)
        for load in (LOADS if channels == 32 else LOADS[1:])
        for peer in _usable(peers)
    ]
    return in_turn(options, "submit", jobs, ("frames_per_second", "tick_ms"))


def latency(options, peers):
    """From the entry of the callback to the packet in Python, one channel of 200 fps."""
    jobs = [
        {"peer": peer, "load": load, "encode_time_us": 5_000, "frames": 120 if options.quick else 240}
        for load in LOADS
        for peer in peers
    ]
    return in_turn(options, "latency", jobs, ("us",))
