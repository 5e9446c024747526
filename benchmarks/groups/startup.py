# SPDX-License-Identifier: Apache-2.0
"""What a short program waits for: import beyond NumPy's, open, first packet, close. Each time a new process."""

import json
import sys
import time

import child
from measure import summary


def measure(options):
    rounds = 5 if options.quick else 15
    samples = [child.run("groups.startup") for _ in range(rounds)]
    result = {figure: summary([sample[figure] for sample in samples], 2) for figure in samples[0]}
    for figure, values in result.items():
        options.say(f"{figure:24} {values['median']:8.2f} ms")
    return result


def _one():
    """Times in ms of this process."""
    import numpy as np

    def since(start):
        return (time.perf_counter_ns() - start) / 1e6

    start = time.perf_counter_ns()
    import ascend_venc

    imported = since(start)
    frame = np.zeros((192, 128), np.uint8)
    figures = {"import_ms": imported}
    for again in ("", "second_"):
        start = time.perf_counter_ns()
        encoder = ascend_venc.Encoder(128, 128, codec="h265", backend="sim")
        figures[f"{again}open_ms"] = since(start)
        packets = encoder.encode(frame)
        packets += encoder.flush()
        figures[f"{again}open_and_first_packet_ms"] = since(start)
        assert len(packets) == 1 and len(packets[0]) == 20_000
        start = time.perf_counter_ns()
        encoder.close()
        figures[f"{again}close_ms"] = since(start)
    figures["modules"] = len(sys.modules)
    print(json.dumps(figures))


if __name__ == "__main__":
    import os

    os.environ["ASCEND_VENC_SIM_STRICT"] = "0"
    os.environ["ASCEND_VENC_SIM_OPTIONS"] = "null_codec=20000"
    _one()
