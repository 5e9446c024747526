# SPDX-License-Identifier: Apache-2.0
"""A film by many processes, the same bytes for any number of them. Usage: python chunked_film.py FILM OUTPUT [WORKERS]

Killed at any moment, the same command goes on where it was: pieces are in OUTPUT.chunks until they are joined. Several
devices: `devices=range(n)`. Clusters: any executor of concurrent.futures, Dask's, or `chunked.encode_on_ray`.
"""

from __future__ import annotations

import multiprocessing
import shutil
import sys
from concurrent.futures import Executor, ProcessPoolExecutor

from ascend_venc import chunked


def main(film: str, output: str, workers: int = 2, chunk: int | str = "auto") -> int:
    """Return how many frames the output has."""

    def pool() -> Executor:
        """Made again where a process dies, which costs its chunk alone. Not by fork: threads are about."""
        return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))

    plan = chunked.plan(film, codec="h264", bitrate="1M", gop=20, chunk=chunk)
    folder = f"{output}.chunks"
    plan.save(folder)
    results = chunked.encode_all(plan, folder, pool, workers=workers, progress=tell)
    chunked.concat(plan, folder, output, overwrite=True)
    shutil.rmtree(folder)
    return sum(result.frames for result in results)


def tell(done: int, total: int) -> None:
    print(f"{done} of {total or '?'} frames", file=sys.stderr)


if __name__ == "__main__":
    print(f"{main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:4]))} frames")
