# SPDX-License-Identifier: Apache-2.0
"""Run groups of benchmarks and write the report: `bash scripts/bench.sh [--quick] [--group NAME] [--pyacl]`.

Simulated device, null codec: binding overhead, not encoder speed. A peer that did other work than it was given, or than
the others, or none, fails its group; a goal whose figure was not measured fails the run.
"""

import argparse
import json
import statistics
import sys
import sysconfig
import time
from pathlib import Path

import cases
import harness
import native
import report
from peers import acl_program, encodes

QUICK = {"seconds": 1 / 3, "frames": 1 / 8, "phases": 1 / 4, "limit": 1 / 12}  # so much of it in a quick run


def job_of(case, quick):
    rounds = max(case.rounds // 8, 1) if quick else case.rounds
    job = {"kind": case.kind, "peers": case.peers, "rounds": rounds, **case.job}
    for name in [name for name in QUICK if quick and name in job]:
        job[name] = type(job[name])(job[name] * QUICK[name])
    return job


def check_peers(group):
    """All peers of a group encode the same frames once, with the checksum of all access units."""
    names = [peer for peer in dict.fromkeys(peer for case in group for peer in case.peers) if encodes(peer)]
    if len(names) > 1:
        job = {"kind": "check", "peers": names, "rounds": 1, "access_unit": 3000}
        harness.same_work(harness.run_worker(job), 3000)


def samples_of(case, quick):
    """{peer: [Sample]} of a case, checked."""
    job = job_of(case, quick)
    if not case.apart:
        found = harness.run_worker(job, case.preload)
    else:
        found = {peer: [] for peer in case.peers}
        for _, peer in harness.turns(case.peers, job["rounds"]):
            found[peer] += harness.run_worker({**job, "peers": [peer], "rounds": 1}, case.preload)[peer]
    harness.same_work(found, case.access_unit, case.alike)
    return found


# One run's figure beside another's: see cases.Against.
COMPARED = {
    "over": lambda ours, base, floor: ours / base,
    "share": lambda ours, base, floor: 100 * base / ours,
    "share of": lambda ours, base, floor: 100 * ours / base,
    "more": lambda ours, base, floor: ours - base,
    "overhead": lambda ours, base, floor: (ours - floor) / (base - floor),
}


def rows_of(case, found, others):
    """The rows of a case. `others`: {where: samples} of the group's cases so far."""

    def values(peer, value, of=found):
        return [run.values[value] for run in of.get(peer, ()) if value in run.values]

    rows = []
    for name in case.figures:
        text, unit, digits = cases.FIGURES[name]
        for peer in case.peers:
            if numbers := values(peer, name):
                note = found[peer][-1].note if name == case.figures[0] else ""
                rows.append(harness.row(f"{case.where}: {text}", peer, numbers, unit, digits, note))
    for each in case.against:
        theirs = others[each.base_case] if each.base_case else found
        base = each.base
        if isinstance(base, tuple):
            base = min(base, key=lambda peer: statistics.median(values(peer, each.value)))
        numbers, bases = values(each.peer, each.value), values(base, each.value, theirs)
        if each.base_case and bases:  # runs of two cases are no pairs
            bases = [statistics.median(bases)] * len(numbers)
        triples = zip(numbers, bases, values(cases.FLOOR if each.how == "overhead" else each.peer, each.value))
        numbers = [COMPARED[each.how](*triple) for triple in triples]
        note = "the stand-in's, not pyACL's" if base.startswith("stand-in") and "pyACL" in each.text else ""
        note = f"fastest: {base}" if base != each.base else note
        rows.append(harness.row(f"{case.where}: {each.text}", each.peer, numbers, each.unit, 3, note))
    return rows


def measure(name, quick=False, pyacl=False):
    """The rows of a group."""
    group, found, rows = list(cases.GROUPS[name](pyacl)), {}, []
    check_peers(group)
    for case in group:
        found[case.where] = samples_of(case, quick)
        rows += rows_of(case, found[case.where], found)
    return rows


def main(argv=None):
    parser = argparse.ArgumentParser(prog="bench.sh", description="Measure the binding on the simulated device.")
    parser.add_argument("--quick", action="store_true", help="everything once and short: to try the harness")
    parser.add_argument("--group", action="append", choices=cases.GROUPS, help="only this one (may be repeated)")
    parser.add_argument("--pyacl", action="store_true", help="also Huawei's own module acl, on the simulated device")
    parser.add_argument("--out", type=Path, help="where to write (docs/benchmarks; of a part build/benchmarks)")
    parser.add_argument("--render", action="store_true", help="measure nothing: render the folder's results.json anew")
    parser.add_argument(
        "--jobs", action="store_true", help="measure nothing: print the jobs as commands, for a profiler"
    )
    args = parser.parse_args(argv)
    part = report.ROOT / "build" / "benchmarks"
    folder = args.out or (report.DOCS if not args.quick and not args.group else part)
    names = args.group or list(cases.GROUPS)
    if args.jobs:
        for case in (case for name in names for case in cases.GROUPS[name](args.pyacl)):
            print(f"python benchmarks/kinds.py '{json.dumps(job_of(case, args.quick))}'")
        return 0
    if args.render:
        report.write(json.loads((folder / "results.json").read_text()), folder)
        return 0
    paths = report.libraries()
    try:
        report.refuse(paths, bool(sysconfig.get_config_var("Py_DEBUG")) or hasattr(sys, "gettotalrefcount"))
        if args.pyacl and acl_program.vendors_module() is None:
            raise report.RefusedError("--pyacl: no module `acl` of the vendor can be imported here")
    except report.RefusedError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    native.build_all()
    results = {"facts": report.facts(paths, args.pyacl), "quick": args.quick, "groups": {}}
    begin, failures = time.monotonic(), {}
    for name in names:
        print(f"bench: {name} ({time.monotonic() - begin:.0f} s so far)", file=sys.stderr, flush=True)
        try:
            results["groups"][name] = measure(name, args.quick, args.pyacl)
        except Exception as error:  # the other groups are not lost
            print(f"bench: {name} failed: {error}", file=sys.stderr, flush=True)
            failures[name] = str(error)
    missing = report.not_measured(results["groups"])
    if (failures or missing) and folder == report.DOCS:
        folder = part  # an incomplete report replaces no complete one
    report.write(results, folder)
    print(report.render(results))
    print(f"bench: {time.monotonic() - begin:.0f} s; {folder / 'README.md'}", file=sys.stderr)
    for name, error in failures.items():
        print(f"bench: {name} FAILED: {error}", file=sys.stderr)
    for goal in missing:
        print(f"bench: goal NOT MEASURED: {goal['group']}: {goal['figure']}, {goal['peer']}", file=sys.stderr)
    return 1 if failures or missing else 0


if __name__ == "__main__":
    sys.exit(main())
