# SPDX-License-Identifier: Apache-2.0
"""Measure: `python benchmarks/run.py --all`, or `--group NAME --json OUT`. See README.md in this folder."""

import argparse
import importlib
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

GROUPS = ("calls", "frames", "contention", "scaling", "startup")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--group", choices=GROUPS, action="append")
    choice.add_argument("--all", action="store_true")
    choice.add_argument("--render", metavar="JSON", help="only make tables and plots of earlier results")
    parser.add_argument("--json", metavar="OUT", help="where the results go; what other groups left there stays")
    parser.add_argument("--docs", metavar="FOLDER", help="write README.md and plots here (--all: docs/benchmarks)")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter samples: to try the harness")
    parser.add_argument("--part", help="of the group contention: blocked, fast, submit or latency")
    parser.add_argument("--repeats", type=int, default=None, help="runs of each paced measurement (default 2; quick 1)")
    parser.add_argument("--pyacl", action="store_true", help="also the vendor's module `acl`, where it is importable")
    options = parser.parse_args()
    import native

    docs = Path(options.docs) if options.docs else native.ROOT / "docs" / "benchmarks" if options.all else None
    if options.render:
        results = json.loads(Path(options.render).read_text())
    else:
        results = measure(options, docs)
    if docs is not None:
        import report

        report.write(results, docs)
        print(f"{docs}/README.md")


def measure(options, docs):
    import environment
    import native
    from peers import pyacl

    reasons = environment.unfit()
    if reasons:
        sys.exit("not measured, because it would say nothing: " + "; ".join(reasons))
    if options.pyacl and pyacl.module() is None:
        sys.exit("--pyacl: no module `acl` of the vendor can be imported here")
    options.repeats = options.repeats or (1 if options.quick else 2)
    options.say = lambda text: print(text, flush=True)
    native.build_all()
    out = Path(options.json) if options.json else docs / "results.json" if docs else None
    results = json.loads(out.read_text()) if out and out.exists() and not options.all else {}
    began = time.monotonic()
    results["environment"] = environment.facts()
    for name in options.group or GROUPS:
        start = time.monotonic()
        results[name] = importlib.import_module(f"groups.{name}").measure(options)
        results[name]["seconds"] = round(time.monotonic() - start, 1)
        options.say(f"---- {name}: {results[name]['seconds']} s")
        results["environment"]["load_average_after"] = environment.load_average()
        results["environment"]["seconds"] = round(time.monotonic() - began, 1)
        if out:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(json.dumps(results, indent=1) + "\n")
    return results


if __name__ == "__main__":
    main()
