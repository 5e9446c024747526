# SPDX-License-Identifier: Apache-2.0
"""Comparisons with pyACL's shape, ctypes and the C floor: each figure a median of alternating runs.

    python benchmarks/run.py [--group NAME]... [--quick] [--json FILE]

Simulated device, null codec: binding overhead, not encoder speed. Every comparison fails if its peers did different
work: frames, bytes and a checksum of the access units are compared. CPU times leave out the simulated hardware's own
threads.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
ACCESS_UNIT = 20_000


def environment(options):
    env = dict(os.environ, ASCEND_VENC_SIM_STRICT="0", ASCEND_VENC_BACKEND="sim", PYTHONWARNINGS="ignore")
    env["ASCEND_VENC_SIM_OPTIONS"] = ",".join(f"{name}={value}" for name, value in {"quiet": 1, **options}.items())
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH")]))
    return env


def flow(peer, arguments, options):
    command = [sys.executable, str(HERE / "flow.py"), peer]
    for name, value in arguments.items():
        command += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    done = subprocess.run(command, env=environment(options), capture_output=True, text=True, check=False, timeout=300)
    if done.returncode != 0:
        raise RuntimeError(f"{peer} ended with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def compare(peers, arguments, options, rounds, own=None):
    """Run the peers in turn, `rounds` times; a dict from peer to its runs. All must have done the same work."""
    runs = {peer: [] for peer in peers}
    for _ in range(rounds):
        for peer in peers:
            runs[peer].append(flow(peer, {**arguments, **(own or {}).get(peer, {})}, options))
    work = {(run["frames"], run["bytes"], run["checksum"]) for found in runs.values() for run in found}
    if len(work) != 1:
        raise RuntimeError(f"the peers did different work: {work}")
    return runs


def row(figure, peer, values, unit, goal=None, scale=1.0, digits=1):
    values = sorted(value * scale for value in values)
    return {
        "figure": figure,
        "peer": LABELS.get(peer, peer),
        "median": round(statistics.median(values), digits),
        "low": round(values[0], digits),
        "high": round(values[-1], digits),
        "unit": unit,
        "goal": goal,
    }


LABELS = {
    "pyacl-shape": "pyACL shape (stand-in)",
    "facade": "ascend_venc.acl",
    "encode": "Encoder.encode",
    "many": "Encoder.submit_many",
    "async": "Encoder.submit_async",
    "submit": "Encoder.submit",
    "acquire": "Encoder.acquire",
    "pyacl": "pyACL",
}

EXTRA = []  # "pyacl" with --pyacl


def calls(quick):
    """Cost of one setter and one getter, and of sending, by the same Python statements on each module."""
    program = """
        import sys, timeit
        sys.path.insert(0, sys.argv[2])
        import flow
        acl = flow.acl_module(sys.argv[1])
        assert acl.init() == 0 and acl.create_context(0)[1] == 0
        desc = acl.venc_create_channel_desc()
        assert acl.venc_set_channel_desc_pic_width(desc, 128) == 0 and acl.venc_get_channel_desc_pic_width(desc) == 128
        number = 100_000
        for statement, verb in (("f(d, 128)", "set"), ("f(d)", "get")):
            name = f"venc_{verb}_channel_desc_pic_width"
            times = timeit.repeat(statement, globals={"f": getattr(acl, name), "d": desc}, number=number, repeat=7)
            print(sorted(times)[3] / number * 1e9)
    """
    import textwrap

    peers = ["facade", "pyacl-shape", "ctypes", *EXTRA]
    found = {peer: ([], []) for peer in peers}
    for _ in range(3 if quick else 9):
        for peer in peers:
            done = subprocess.run(
                [sys.executable, "-c", textwrap.dedent(program), peer, str(HERE)],
                env=environment({}),
                capture_output=True,
                text=True,
                check=True,
            )
            for values, text in zip(found[peer], done.stdout.split()):
                values.append(float(text))
    rows = []
    for index, figure in enumerate(("setter", "getter")):
        ours = statistics.median(found["facade"][index])
        for peer in peers:
            rows.append(row(figure, peer, found[peer][index], "ns per call"))
        for peer, goal in (("pyacl-shape", "≤ 0.33 (G11)"), ("ctypes", "≤ 0.083 (G11)")):
            ratio = [ours / value for value in found[peer][index]]
            rows.append(
                row(f"{figure}, ascend_venc.acl over {LABELS.get(peer, peer)}", "ratio", ratio, "x", goal, digits=3)
            )
    return rows


def c_floor(frames, width, height, depth, options):
    program = ROOT / "build" / "benchmarks" / "encode_loop"
    program.parent.mkdir(parents=True, exist_ok=True)
    library = ROOT / "ascend_venc" / "_lib" / "libascendvenc_sim.so"
    subprocess.run(
        ["gcc", "-O2", "-std=gnu11", "-pthread", f"-I{ROOT}/csrc/include", str(HERE / "c" / "encode_loop.c")]
        + [str(library), f"-Wl,-rpath,{library.parent}", "-o", str(program)],
        check=True,
    )
    done = subprocess.run(
        [str(program), str(frames), str(width), str(height), str(depth)],
        env=environment(options),
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def frames(quick):
    """Time per frame of a saturated, infinitely fast device: one call per frame, or batches, packets delivered."""
    rows = []
    cases = [
        (128, 128, 2_000, 20_000),
        (128, 128, 20_000, 20_000),
        (128, 128, 200_000, 3_000),
        (1920, 1080, 20_000, 600),
    ]
    peers = ["encode", "many", "acquire", "facade", "pyacl-shape", "ctypes", *EXTRA]
    for width, height, access_unit, full_count in cases:
        count = full_count // 4 if quick else full_count
        options = {"null_codec": access_unit}
        arguments = {"frames": count, "width": width, "height": height, "queue": 0}
        rounds = 3 if quick else 7
        floors, runs = [], {peer: [] for peer in peers}
        for _ in range(rounds):
            floors.append(c_floor(count, width, height, 8, options))
            for peer, found in compare(peers, arguments, options, 1).items():
                runs[peer] += found
        name = f"{width}x{height}, {access_unit // 1000} KB"
        floor = statistics.median(floors)
        rows.append(row(f"{name}: wall time", "C loop", floors, "ns per frame", digits=0))
        for peer in peers:
            times = [run["seconds"] * 1e9 / count for run in runs[peer]]
            rows.append(row(f"{name}: wall time", peer, times, "ns per frame", digits=0))
        for peer in peers:
            ratio = [run["seconds"] * 1e9 / count / floor for run in runs[peer]]
            rows.append(row(f"{name}: over the C loop", peer, ratio, "x", digits=2))
        for peer in peers:
            cpu = [run["cpu_ns_per_frame"] for run in runs[peer]]
            rows.append(row(f"{name}: CPU", peer, cpu, "ns per frame", digits=0))
    return rows


def contention(quick):
    """The device must not stand still because Python computes: with other threads at work, against none."""
    rows = []
    loads = ("none", "burn", "hold20")
    rounds = 1 if quick else 3
    # 0.5 ms a frame: share of the device's speed, 8 output slots.
    options = {"null_codec": ACCESS_UNIT, "encode_time_us": 500, "output_slots": 8, "input_slots": 16}
    count = 2000 if quick else 4000
    for load in loads:
        runs = compare(
            ["async", "many", "pyacl-shape", *EXTRA],
            {"frames": count, "load": load},
            options,
            rounds,
            own={"many": {"batch": 64}},
        )
        if load == "none":
            best = {
                peer: statistics.median(run["frames"] / run["seconds"] for run in found) for peer, found in runs.items()
            }
        for peer, found in runs.items():
            share = [run["frames"] / run["seconds"] / best[peer] * 100 for run in found]
            goal = "≥ 98 (G2)" if peer in ("async", "many") and load != "none" else None
            rows.append(row(f"0.5 ms frames, load {load}: of the speed without load", peer, share, "%", goal))
    # 30 fps per channel: share of the time in which the device stood still because a callback had not returned.
    for channels in (1, 8, 32):
        unloaded = {}
        for load in loads:
            runs = compare(
                ["async", "pyacl-shape", *EXTRA],
                {
                    "frames": 45 if quick else 60,
                    "channels": channels,
                    "load": load,
                    "mode": "paced",
                    "fps": 30,
                    "depth": 4,
                },
                {"null_codec": ACCESS_UNIT, "encode_time_us": 33_000, "output_slots": 1},
                rounds,
            )
            for peer, found in runs.items():
                blocked = [run["host_idle_share"] * 100 for run in found]
                if load == "none":
                    unloaded[peer] = statistics.median(blocked)
                rows.append(
                    row(f"{channels} x 30 fps, load {load}: device blocked by callbacks", peer, blocked, "%", digits=2)
                )
                if load != "none":
                    more = [value - unloaded[peer] for value in blocked]
                    goal = "≤ 1 (G1)" if peer == "async" else None
                    rows.append(
                        row(
                            f"{channels} x 30 fps, load {load}: more than unloaded",
                            peer,
                            more,
                            "points",
                            goal,
                            digits=2,
                        )
                    )
    return rows


def submitting(quick):
    """Python paces 30 fps on 32 channels, and each send blocks for 150 us."""
    rows = []
    count = 12 if quick else 24  # under load the slow peers take seconds for a frame of each channel
    for load in ("burn", "hold20"):
        runs = compare(
            ["async", "submit", "pyacl-shape", *EXTRA],
            {"frames": count, "channels": 32, "load": load, "mode": "paced", "fps": 30, "depth": 4},
            {"null_codec": ACCESS_UNIT, "send_time_us": 150, "encode_time_us": 1000},
            1 if quick else 3,
        )
        for peer, found in runs.items():
            goal = "≥ 29.5 (G4)" if peer == "async" else None
            fps = [(count - 1) / run["submit_seconds"] for run in found]  # the first frame is due at once
            rows.append(row(f"32 channels, load {load}: rate per channel", peer, fps, "fps", goal))
            goal = "≤ 3 (G4)" if peer == "async" else None
            rows.append(
                row(
                    f"32 channels, load {load}: submitting one frame of each, p99",
                    peer,
                    [run["tick_p99"] for run in found],
                    "ms",
                    goal,
                    1e3,
                    2,
                )
            )
    return rows


GROUPS = {"calls": calls, "frames": frames, "contention": contention, "submitting": submitting}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--group", action="append", choices=GROUPS)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--pyacl", action="store_true", help="also Huawei's own module acl, on the simulated device")
    parser.add_argument("--json")
    args = parser.parse_args()
    if args.pyacl:
        EXTRA.append("pyacl")
    found = {}
    for name in args.group or GROUPS:
        begin = time.monotonic()
        found[name] = GROUPS[name](args.quick)
        print(f"\n{name} ({time.monotonic() - begin:.0f} s)")
        for each in found[name]:
            goal = f"   {each['goal']}" if each["goal"] else ""
            spread = f"[{each['low']} .. {each['high']}]"
            print(f"  {each['figure']:62} {each['peer']:24} {each['median']:>10} {spread} {each['unit']}{goal}")
    if args.json:
        Path(args.json).write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
