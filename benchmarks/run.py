# SPDX-License-Identifier: Apache-2.0
"""Against the C floor, ctypes, the shape of pyACL and pyACL itself: each figure a median of alternating runs.

    python benchmarks/run.py --group NAME [--quick] [--pyacl] [--repeats N] [--json FILE]

Simulated device, null codec: binding overhead, not encoder speed. A peer that did other work than the others (frames,
bytes, a checksum of the access units) ends the run. report.py runs all groups.
"""

import argparse
import importlib
import json
import sys
import time
from pathlib import Path

import child

# name: module in groups/, function
NAMES = {
    "blocked": ("contention", "blocked"),
    "fast": ("contention", "fast"),
    "programs": ("contention", "programs"),
    "submit": ("contention", "submit"),
    "latency": ("contention", "latency"),
    "hold": ("contention", "hold"),
    "frames": ("frames", "frames"),
    "bursts": ("frames", "bursts"),
    "files": ("frames", "files"),
    "copies": ("frames", "copies"),
    "allocations": ("frames", "allocations"),
    "calls": ("calls", "calls"),
}
EXTRA = []  # "pyacl": also the vendor's own module


def _in_a_process_of_its_own(name):
    def measure(quick=False):
        flags = [*(["--quick"] if quick else []), *(["--pyacl"] if "pyacl" in EXTRA else [])]
        return child.run("run", "--group", name, "--rows", *flags, timeout=1800)

    return measure


GROUPS = {name: _in_a_process_of_its_own(name) for name in NAMES}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--group", action="append", choices=NAMES)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter samples: to try the harness")
    parser.add_argument("--pyacl", action="store_true", help="also the vendor's module `acl`, where it is importable")
    parser.add_argument("--repeats", type=int, help="runs of each measurement in a new process (default 3; quick 1)")
    parser.add_argument("--rows", action="store_true", help="print the rows as JSON only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows there")
    options = parser.parse_args()
    options.repeats = options.repeats or (1 if options.quick else 3)
    import native
    from peers import pyacl

    if options.pyacl and pyacl.module() is None:
        sys.exit("--pyacl: no module `acl` of the vendor can be imported here")
    native.build_all()
    found = {}
    for name in options.group or NAMES:
        module, function = NAMES[name]
        begin = time.monotonic()
        rows = found[name] = getattr(importlib.import_module(f"groups.{module}"), function)(options)
        if options.rows:
            print(json.dumps(rows))
            continue
        print(f"\n{name} ({time.monotonic() - begin:.0f} s)")
        for row in rows:
            spread = f"[{row['low']} .. {row['high']}]"
            print(
                f"  {row['figure']:64} {row['peer']:32} {row['median']:>10} {spread} {row['unit']}  {row['goal'] or ''}"
            )
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
