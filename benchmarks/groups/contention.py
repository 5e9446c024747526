# SPDX-License-Identifier: Apache-2.0
"""Who waits for the GIL: the device (callbacks), the program (sends), the packet (latency). Each run in a new process,
the peers in turn."""

import json
from types import SimpleNamespace

import child
import native
from measure import percentiles, row
from peers import facade, pyacl
from peers.pyacl_shape import LABEL as SHAPE

ASYNCIO = f"{SHAPE}, call_soon_threadsafe"
LOADS = ("none", "burn", "hold20")
ACCESS_UNIT = 20_000


def in_turn(options, what, jobs):
    """Run all jobs `repeats` times, forwards and backwards: [(job, [what each run found])].

    Before that all peers encode the same frames, and must agree.
    """
    peers = sorted({job["peer"] for job in jobs if not job["peer"].endswith("call_soon_threadsafe")} | {"C loop"})
    child.run("paced", json.dumps({"what": "check", "access_unit": ACCESS_UNIT, "peers": peers}))
    runs = [[] for _ in jobs]
    for number in range(options.repeats):
        order = range(len(jobs)) if number % 2 == 0 else range(len(jobs) - 1, -1, -1)
        for index in order:
            job = {"what": what, "access_unit": ACCESS_UNIT, **jobs[index]}
            runs[index].append(run(job))
    return list(zip(jobs, runs))


def run(job):
    """One measurement in a process of its own. pyACL is linked, so that only a preloaded probe sees what it does."""
    if not job["peer"].startswith(pyacl.LABEL + ",") and job["peer"] != pyacl.LABEL:
        return child.run("paced", json.dumps(job))
    with child.preloaded(native.probe_library()) as env:
        return child.run("paced", json.dumps(job), env=env)


def _programs(options):
    """Those that run the program written for pyACL."""
    return [SHAPE, *([pyacl.LABEL] if options.pyacl else []), facade.LABEL]


def _ours(peer):
    return peer.startswith("Encoder")


def _unloaded(found, job):
    """Runs of the same job without a load."""
    return next(runs for other, runs in found if other == {**job, "load": "none"})


def blocked(options):
    """Share of time in which a device of 30 fps a channel, always busy, with one output slot, stands still because a
    callback has not returned (G1)."""
    peers = [*_programs(options), "Encoder"]
    jobs = [
        {
            "peer": peer,
            "channels": channels,
            "load": load,
            "encode_time_us": 33_333,
            "output_slots": 1,
            "seconds": 0.8,
        }
        for channels in (1, 8, 32)
        for load in LOADS
        for peer in (["C loop", *peers] if load == "none" else peers)
    ]
    found = in_turn(options, "blocked", jobs)
    rows = []
    for job, runs in found:
        figure = f"{job['channels']} x 30 fps, load {job['load']}: device blocked by callbacks"
        rows.append(row(figure, job["peer"], [run["blocked_percent"] for run in runs], "%"))
    for job, runs in found:
        if job["load"] != "none":
            base = _unloaded(found, job)
            more = [run["blocked_percent"] - before["blocked_percent"] for run, before in zip(runs, base)]
            figure = f"{job['channels']} x 30 fps, load {job['load']}: blocked more than unloaded"
            rows.append(row(figure, job["peer"], more, "points", "≤ 0.5 (G1; was 1)" if _ours(job["peer"]) else None))
    return rows


def programs(options):
    """The program written for pyACL, on the facade and on pyACL or its stand-in, beside each load (A1).

    Frames per second of a device that is as fast as the program, and the share of time in which eight channels of 30
    fps stand still.
    """
    rows = []
    sizes = (((128, 128), 500, 64), ((1920, 1080), 1_000, 16))  # size, µs that the device needs, buffers
    for (width, height), encode_time_us, buffers in sizes:
        size = {"width": width, "height": height}
        jobs = [
            {"peer": peer, "load": load, "encode_time_us": encode_time_us, "output_slots": 8, "seconds": 1, **size}
            | {"buffers": buffers}
            for load in LOADS
            for peer in _programs(options)
        ]
        rows += _facade_beside(in_turn(options, "fast", jobs), f"{width}x{height}", "frames_per_second", "fps")
        blocking = {"channels": 8, "encode_time_us": 33_333, "output_slots": 1, "seconds": 0.8}
        jobs = [{"peer": peer, "load": load, **blocking, **size} for load in LOADS for peer in _programs(options)]
        rows += _facade_beside(in_turn(options, "blocked", jobs), f"{width}x{height}", "blocked_percent", "%")
    return rows


def _facade_beside(found, size, key, unit):
    """Rows of one figure, and the facade's beside that of each other module under the same load."""
    more_is_better = unit == "fps"
    what = "rate" if more_is_better else "8 x 30 fps: device blocked by callbacks"
    rows = []
    for job, runs in found:
        rows.append(row(f"{size}, load {job['load']}: {what}", job["peer"], [run[key] for run in runs], unit))
    for job, runs in found:
        if job["peer"] == facade.LABEL:
            continue
        ours = next(each for other, each in found if other == {**job, "peer": facade.LABEL})
        if more_is_better:
            values = [run[key] / theirs[key] for run, theirs in zip(ours, runs)]
            shown = ("×", "≥ 1 (A1)", f"rate over {job['peer']}")
        else:
            values = [run[key] - theirs[key] for run, theirs in zip(ours, runs)]
            shown = ("points", "≤ 0 (A1)", f"blocked more than {job['peer']}")
        rows.append(row(f"{size}, load {job['load']}: {shown[2]}", facade.LABEL, values, *shown[:2]))
    return rows


def fast(options):
    """A device of 0.5 ms a frame with 8 output slots, fed from Python; its speed is the C loop's (G2)."""
    peers = [*_programs(options), "Encoder.submit_many"]
    jobs = [
        {"peer": peer, "load": load, "encode_time_us": 500, "output_slots": 8, "seconds": 1}
        for load in LOADS
        for peer in (["C loop", *peers] if load == "none" else peers)
    ]
    found = in_turn(options, "fast", jobs)
    own = [run["frames_per_second"] for run in next(runs for job, runs in found if job["peer"] == "C loop")]
    rows = []
    for job, runs in found:
        rates = [run["frames_per_second"] for run in runs]
        rows.append(row(f"0.5 ms frames, load {job['load']}: rate", job["peer"], rates, "fps", digits=0))
    for job, runs in found:
        if job["load"] != "none":
            shares = [100 * run["frames_per_second"] / rate for run, rate in zip(runs, own)]
            goal = "≥ 98 (G2)" if _ours(job["peer"]) else None
            rows.append(
                row(f"0.5 ms frames, load {job['load']}: of the device's speed", job["peer"], shares, "%", goal)
            )
    return rows


def submit(options):
    """Python paces 30 fps on 32 channels, aclvencSendFrame takes 150 µs (G4)."""
    peers = [*_programs(options), "Encoder.submit", "Encoder.submit_async"]
    jobs = [
        {"peer": peer, "channels": channels, "load": load, "seconds": 1 if options.quick else 1.5}
        for channels, load in ((32, "none"), (32, "burn"), (32, "hold20"))
        for peer in peers
    ]
    rows = []
    for job, runs in in_turn(options, "submit", jobs):
        judged = job["peer"] == "Encoder.submit_async" and job["channels"] == 32 and job["load"] != "none"
        where = f"{job['channels']} channels, load {job['load']}"
        rates = [run["frames_per_second"] for run in runs]
        rows.append(row(f"{where}: rate per channel", job["peer"], rates, "fps", "≥ 29.5 (G4)" if judged else None))
        ticks = [run["tick_ms"]["p99"] for run in runs]
        figure = f"{where}: submitting one frame of each, p99"
        rows.append(row(figure, job["peer"], ticks, "ms", "≤ 1 (G4; was 3)" if judged else None))
    return sorted(rows, key=lambda each: each["figure"])


def latency(options):
    """From the entry of the callback to the packet in Python, one channel of 500 fps. Percentiles of all runs' 750
    frames together; the spread is that of the runs."""
    peers = [*_programs(options), "Encoder", ASYNCIO, "Encoder, asyncio"]
    jobs = [{"peer": peer, "load": load, "encode_time_us": 2_000, "frames": 250} for load in LOADS for peer in peers]
    found = in_turn(SimpleNamespace(repeats=1 if options.quick else 3), "latency", jobs)
    rows, p99 = [], {}
    for job, runs in found:
        together = percentiles([wait for run in runs for wait in run["us"]], 50, 99, 99.9)
        apart = [percentiles(run["us"], 50, 99, 99.9) for run in runs]
        p99[job["load"], job["peer"]] = [run["p99"] for run in apart]
        for name, value in together.items():
            made = row(
                f"load {job['load']}: callback to packet, {name}", job["peer"], [run[name] for run in apart], "µs"
            )
            rows.append({**made, "median": round(value, 1)})
    for load in LOADS[1:]:
        ratios = [ours / theirs for ours, theirs in zip(p99[load, "Encoder, asyncio"], p99[load, ASYNCIO])]
        figure = f"load {load}: packet to coroutine, p99, over call_soon_threadsafe"
        rows.append(row(figure, "Encoder, asyncio", ratios, "×", "≤ 0.2"))
    return sorted(rows, key=lambda each: (each["goal"] is not None, each["figure"]))


def hold(options):
    """How long callbacks keep the device, entry to return, 30 fps on each channel, no load (G3)."""
    peers = ["C loop", *_programs(options), "Encoder"]
    jobs = [{"peer": peer, "channels": channels, "seconds": 1} for channels in (1, 8, 32) for peer in peers]
    found = in_turn(options, "steady", jobs)
    rows = []
    for job, runs in found:
        for name in ("p50", "p99"):
            values = [run["hold_us"][name] for run in runs]
            rows.append(row(f"{job['channels']} x 30 fps: callback hold time, {name}", job["peer"], values, "µs"))
    rows.sort(key=lambda each: each["figure"])
    for job, runs in found:
        if job["peer"] == "Encoder":
            base = next(other for before, other in found if before == {**job, "peer": "C loop"})
            for name, limit in (("p50", 1.2), ("p99", 1.5)):
                ratios = [run["hold_us"][name] / before["hold_us"][name] for run, before in zip(runs, base)]
                figure = f"{job['channels']} x 30 fps: hold time against a bare C callback, {name}"
                rows.append(row(figure, job["peer"], ratios, "×", f"≤ {limit} (G3)"))
    return rows
