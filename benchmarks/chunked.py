# SPDX-License-Identifier: Apache-2.0
"""An hour of film by N simulated devices with the null codec: how many times what one does. Prints a line for a run.

    python benchmarks/chunked.py [--workers 8] [--runs 3] [--frames 10800] [--fps 3] [--device-ms 333]

The speed-up counts everything: the plan, the leads of the chunks, the workers' start, the join. What one device does is
what `--device-ms` says. A device whose thread is woken over 20 ms late on a busy machine counts as one that was slow: a
film of few frames that take long each has the same chunks in seconds, and needs so little CPU that this is rare.
"""

import argparse
import concurrent.futures
import os
import statistics
import tempfile
import time

SIZE = (128, 128)


def resident():
    """Memory of this process in MiB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def run(args, folder):
    from ascend_venc import chunked

    film = os.path.join(folder, "hour.nv12")
    with open(film, "wb") as file:
        file.truncate(args.frames * SIZE[0] * SIZE[1] * 3 // 2)
    begun, memory = time.monotonic(), []
    plan = chunked.plan(film, size=SIZE, fps=args.fps, codec="h264", gop=max(1, 2 * args.fps))
    with (
        chunked.Joiner(plan, os.path.join(folder, "film.mp4"), overwrite=True) as joined,
        concurrent.futures.ThreadPoolExecutor(args.workers) as executor,
        tempfile.TemporaryDirectory(dir=folder) as work,
    ):
        chunked.encode_all(
            plan, work, executor, workers=args.workers, devices=range(args.workers), backend="sim", each=joined.add,
            progress=lambda done, total: memory.append(resident()),
        )  # fmt: skip
    took = time.monotonic() - begun
    gain = args.frames * args.device_ms / 1000 / took
    told = ", ".join(f"{memory[len(memory) * part // 4 - (part == 4)]:.0f}" for part in (1, 2, 3, 4))
    print(
        f"{plan.frames} frames, {len(plan.chunks)} chunks, {args.workers} workers: {took:.1f} s, {gain:.2f} times one "
        f"device ({gain / args.workers:.3f} of all); resident MiB after each quarter: {told}; load "
        f"{os.getloadavg()[0]:.1f}",
        flush=True,
    )
    return gain / args.workers


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--frames", type=int, default=10800)
    parser.add_argument("--fps", type=int, default=3)
    parser.add_argument("--device-ms", type=float, default=1000 / 3)
    args = parser.parse_args()
    options = f"null_codec=2000,encode_time_us={round(args.device_ms * 1000)}"
    os.environ.update(ASCEND_VENC_SIM_OPTIONS=options, ASCEND_VENC_SIM_DEVICES=str(args.workers))
    os.environ["ASCEND_VENC_SIM_STRICT"] = "0"
    with tempfile.TemporaryDirectory() as folder:
        shares = [run(args, folder) for _ in range(args.runs)]
    print(f"median {statistics.median(shares):.3f} of {args.workers} devices")


if __name__ == "__main__":
    main()
