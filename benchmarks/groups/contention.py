# SPDX-License-Identifier: Apache-2.0
"""Who waits for the GIL: the device (callbacks), the program (sends), the packet (latency). Each run in a new process."""

import statistics

import child
from peers import encoder

SHAPE = "pyACL shape, as shipped"
LOADS = ("none", "burn", "hold20")
ACCESS_UNIT = 20_000


def _repeat(options, job, figures, text):
    """Run a job several times; each figure becomes its median and the list of all runs."""
    runs = [child.run("paced", _json({**job, "access_unit": ACCESS_UNIT})) for _ in range(options.repeats)]
    row = {key: value for key, value in job.items() if key not in ("what", "seconds")}
    for figure in figures:
        values = [run[figure] for run in runs]
        if isinstance(values[0], dict):
            row[figure] = {name: round(statistics.median(value[name] for value in values), 3) for name in values[0]}
        else:
            row[figure] = round(statistics.median(values), 3)
        row[f"{figure}_runs"] = values
    options.say(f"{text:60} " + "  ".join(f"{figure}={row[figure]}" for figure in figures))
    return row


def _json(job):
    import json

    return json.dumps(job)


def measure(options):
    pyacl = ["pyACL"] if options.pyacl else []
    parts = {
        "blocked": lambda: blocked(options, ["C", SHAPE, *pyacl, "ascend_venc.acl", "Encoder"]),
        "fast": lambda: fast(options, ["C", SHAPE, *pyacl, "Encoder.submit_many"]),
        "submit": lambda: submit(options, [SHAPE, *pyacl, "Encoder.submit", "Encoder.submit_async"]),
        "latency": lambda: latency(options, [SHAPE, *pyacl, "Encoder", "Encoder, asyncio", f"{SHAPE}, call_soon_threadsafe"]),
    }
    return {name: part() for name, part in parts.items() if options.part in (None, name)}


def _usable(peers):
    needs = {"Encoder.submit_many": ("submit_many",), "Encoder.submit_async": ("submit_async",)}
    return [peer for peer in peers if encoder.has(*needs.get(peer, ()))]


def blocked(options, peers):
    """A saturated device of 30 fps a channel with one output slot (G1)."""
    rows = []
    for channels in (1, 8, 32):
        for load in LOADS:
            for peer in peers:
                if peer == "ascend_venc.acl" and channels != 8:
                    continue
                job = {"what": "blocked", "peer": peer, "channels": channels, "load": load}
                job.update(encode_time_us=33_333, output_slots=1, seconds=1 if options.quick else 2.5)
                text = f"device blocked, {channels} channels, {load}, {peer}"
                rows.append(_repeat(options, job, ("blocked_percent", "frames_per_second", "hold_us"), text))
    return rows


def fast(options, peers):
    """A device of 0.5 ms a frame, one channel (G2). Its own speed is what the C loop reaches without a load."""
    rows = []
    for slots in (1, 8):
        for load in LOADS:
            for peer in _usable(peers):
                job = {"what": "fast", "peer": peer, "load": load, "encode_time_us": 500, "output_slots": slots}
                job["seconds"] = 1 if options.quick else 2
                text = f"0.5 ms device, {slots} output slots, {load}, {peer}"
                rows.append(_repeat(options, job, ("frames_per_second", "blocked_percent"), text))
    for row in rows:
        own = next(
            other["frames_per_second"]
            for other in rows
            if (other["peer"], other["load"], other["output_slots"]) == ("C", "none", row["output_slots"])
        )
        row["share_percent"] = round(100 * row["frames_per_second"] / own, 1)
    return rows


def submit(options, peers):
    """Python paces 30 fps on n channels, aclvencSendFrame takes 150 us (G4)."""
    rows = []
    for channels in (8, 32):
        for load in LOADS:
            for peer in _usable(peers):
                job = {"what": "submit", "peer": peer, "channels": channels, "load": load}
                job["seconds"] = 1.5 if options.quick else 4
                text = f"submit, {channels} channels, {load}, {peer}"
                rows.append(_repeat(options, job, ("frames_per_second", "tick_ms"), text))
    return rows


def latency(options, peers):
    """From the entry of the callback to the packet in Python, one channel of 30 fps and of 200 fps."""
    rows = []
    for encode_us, frames in ((33_333, 60), (5_000, 240)):
        for load in LOADS:
            for peer in peers:
                job = {"what": "latency", "peer": peer, "load": load, "encode_time_us": encode_us}
                job["frames"] = frames // 2 if options.quick else frames
                text = f"latency, {1e6 / encode_us:.0f} fps, {load}, {peer}"
                rows.append(_repeat(options, job, ("us",), text))
    return rows
