# SPDX-License-Identifier: Apache-2.0
"""One job in a process of its own: `python worker.py '{"kind": ..., "peers": [...], "rounds": ...}'` prints samples.

The peers work in turn, forwards and backwards, so that what disturbs the machine disturbs all of them.
"""

import copy
import json
import os
import sys
import traceback

import conversion
import harness
import kinds


def measure(job):
    kind = getattr(conversion if job["kind"] in ("convert", "padded") else kinds, job["kind"])
    found = {peer: [] for peer in job["peers"]}
    for number in range(job["rounds"]):
        for peer in job["peers"] if number % 2 == 0 else reversed(job["peers"]):
            found[peer].append(kind(peer, {**copy.deepcopy(job), "turn": number}))
    return found


if __name__ == "__main__":
    try:
        print(harness.as_json(measure(json.loads(sys.argv[1]))), flush=True)
    except BaseException:
        traceback.print_exc()
        os._exit(1)  # threads of a peer that failed may wait for ever
