# SPDX-License-Identifier: Apache-2.0
"""Encode many clips on a Ray cluster by Ray Data, one file in, one out. Usage: ray_clips.py FOLDER INPUT..."""

import argparse
import os

import ray

from ascend_venc import VencError, chunked


class Sessions:
    """What runs in an actor of Ray Data: one clip after the other, on the device that Ray gave to it."""

    def __init__(self, folder, backend):
        self.folder, self.backend = folder, backend

    def __call__(self, row):
        name = os.path.splitext(os.path.basename(row["input"]))[0]
        output = os.path.join(self.folder, f"{name}.mp4")
        try:  # a clip that cannot be read is a row of the result, not the end of the others
            plan = chunked.plan(row["input"], chunk=1 << 30, codec="h264")  # in one piece
            results = [chunked.encode_chunk(chunk, backend=self.backend) for chunk in plan.chunks]
            # Ray may run this twice where a machine died: the output takes its place whole.
            frames, error = chunked.concat(plan, results, output, overwrite=True), ""
        except (VencError, OSError) as failure:
            frames, error = 0, str(failure)
        return {"input": row["input"], "output": output, "frames": frames, "error": error}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", help="where the films go; all machines see it by this path")
    parser.add_argument("inputs", nargs="+")
    parser.add_argument("--sessions", type=int, default=2, help="clips at the same time")
    parser.add_argument("--venc", action="store_true", help="an actor takes one VENC of its node (docs/chunked.md)")
    parser.add_argument("--backend", help="as for Encoder")
    args = parser.parse_args()
    os.makedirs(args.folder, exist_ok=True)
    place = {"num_cpus": 0, "resources": {"VENC": 1}} if args.venc else {"num_cpus": 1}
    clips = ray.data.from_items([{"input": os.path.abspath(path)} for path in args.inputs])
    films = clips.map(
        Sessions,
        fn_constructor_args=(os.path.abspath(args.folder), args.backend),
        concurrency=args.sessions,
        **place,
    )
    failed = 0
    for film in sorted(films.take_all(), key=lambda film: film["input"]):
        print(f"{film['input']}: {film['error'] or str(film['frames']) + ' frames in ' + film['output']}", flush=True)
        failed += bool(film["error"])
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
