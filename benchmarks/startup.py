# SPDX-License-Identifier: Apache-2.0
"""Start-up in fresh processes: importing the package beyond NumPy, opening to the first packet, closing."""

import statistics
import sys

import programs

PROGRAM = """
import json, sys, time
begin = time.perf_counter()
import numpy
numpy_done = time.perf_counter()
import ascend_venc as venc
imported = time.perf_counter()
frame = bytes(128 * 128 * 3 // 2)
opening = time.perf_counter()
enc = venc.Encoder(128, 128, gop=60)
opened = time.perf_counter()
enc.submit(frame)
packet = enc.receive()
first = time.perf_counter()
size, number = packet.size, packet.frame_index
closing = time.perf_counter()
enc.close()
closed = time.perf_counter()
print(json.dumps({"numpy": numpy_done - begin, "import": imported - numpy_done, "open": opened - opening,
                  "packet": first - opening, "close": closed - closing, "work": [size, number]}))
"""

FIGURES = (
    ("numpy", "import numpy, for comparison", None),
    ("import", "import ascend_venc, after numpy", "≤ 30 (was 60)"),
    ("open", "open an encoder, the library not yet loaded", None),
    ("packet", "open, first frame, first packet", "≤ 3 (was 5)"),
    ("close", "close", None),
)


def measure(quick=False):
    runs = 15 if quick else 25
    command = [sys.executable, "-c", PROGRAM]
    programs.run(command, null_codec=2000)  # byte code and the page cache are warm from here on
    results = [programs.run(command, null_codec=2000) for _ in range(runs)]
    if any(result["work"] != [2000, 0] for result in results):
        raise RuntimeError(f"other packets than expected: {[result['work'] for result in results]}")
    rows = []
    for key, figure, goal in FIGURES:
        values = [result[key] * 1e3 for result in results]
        rows.append(
            {
                "figure": figure,
                "peer": "NumPy" if key == "numpy" else "Encoder",
                "median": statistics.median(values),
                "low": min(values),
                "high": max(values),
                "unit": "ms",
                "goal": goal,
            }
        )
    return rows


GROUPS = {"startup": measure}
