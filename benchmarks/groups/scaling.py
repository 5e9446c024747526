# SPDX-License-Identifier: Apache-2.0
"""1 to 64 channels of 30 fps: CPU per frame, threads, memory; how long callbacks hold the device; drift of the memory."""

import child
from groups.contention import SHAPE, _repeat

PEERS = [
    "C",
    SHAPE,
    "ascend_venc.acl",
    "Encoder",
    "Encoder, one thread for all",
    "Encoder, coalesced",
    "Encoder, sink",
]


def measure(options):
    peers = [*PEERS, *(["pyACL"] if options.pyacl else [])]
    rows = []
    for channels in (1, 8, 32, 64):
        for peer in peers:
            job = {"what": "steady", "peer": peer, "channels": channels, "seconds": 1 if options.quick else 2}
            figures = ("cpu_us_per_frame", "report_us_per_frame", "hold_us", "switches_per_frame")
            figures += ("threads", "native_threads", "rss_mib")
            rows.append(_repeat(options, job, figures, f"30 fps, {channels} channels, {peer}"))
    for row in rows:
        floor = next(other for other in rows if (other["peer"], other["channels"]) == ("C", row["channels"]))
        for figure in ("cpu_us_per_frame", "report_us_per_frame"):
            row[f"{figure}_times_c"] = round(row[figure] / floor[figure], 2)
    frames = 100_000 if options.quick else 1_000_000
    drift = child.run("paced", f'{{"what": "drift", "frames": {frames}}}')
    options.say(f"drift over {frames} frames: {drift['drift_kib']} KiB, {drift['steps_kib']}")
    return {"rows": rows, "drift": drift}
