# SPDX-License-Identifier: Apache-2.0
"""1 to 64 channels of 30 fps: CPU per frame, threads, memory; how long callbacks hold the device; drift of the memory."""

import json

import child
from groups.contention import SHAPE, in_turn

PEERS = ["C", SHAPE, "Encoder", "Encoder, one thread for all", "Encoder, coalesced", "Encoder, sink"]
FIGURES = (
    "cpu_us_per_frame",
    "report_us_per_frame",
    "hold_us",
    "switches_per_frame",
    "threads",
    "native_threads",
    "rss_mib",
)


def measure(options):
    peers = [*PEERS, *(["pyACL"] if options.pyacl else [])]
    jobs = [
        {"peer": peer, "channels": channels, "seconds": 1 if options.quick else 1.5}
        for channels in (1, 8, 64)
        for peer in peers
    ]
    rows = in_turn(options, "steady", jobs, FIGURES)
    for row in rows:
        floor = next(other for other in rows if (other["peer"], other["channels"]) == ("C", row["channels"]))
        for figure in ("cpu_us_per_frame", "report_us_per_frame"):
            row[f"{figure}_times_c"] = round(row[figure] / floor[figure], 2)
    frames = 100_000 if options.quick else 1_000_000
    drift = child.run("paced", json.dumps({"what": "drift", "frames": frames}))
    options.say(f"drift over {frames} frames: {drift['drift_kib']} KiB, {drift['steps_kib']}")
    return {"rows": rows, "drift": drift}
