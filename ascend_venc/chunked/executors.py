# SPDX-License-Identifier: Apache-2.0
"""Chunks encoded by any `concurrent.futures.Executor`: threads, processes, or a cluster that has one."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from typing import TYPE_CHECKING

from ..errors import AclError, InvalidArgumentError
from .encoding import ChunkResult, done_and_waiting, encode_chunk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..literals import InterfaceName
    from .plan import Chunk, ChunkPlan


def encode_all(
    plan: ChunkPlan,
    folder: str | os.PathLike[str],
    executor: concurrent.futures.Executor | Callable[[], concurrent.futures.Executor],
    *,
    workers: int,
    devices: Sequence[int] = (0,),
    retries: int = 2,
    progress: Callable[[int, int], object] | None = None,
    each: Callable[[ChunkResult], object] | None = None,
    backend: str | None = None,
    interface: InterfaceName | None = None,
    timeout: float | None = 30.0,
) -> list[ChunkResult]:
    """Encode the chunks of a plan that a folder does not have yet, and return the results of all, in order.

    Whatever ends it, even SIGKILL: what was encoded stays in the folder, and the same call goes on from there.

    Parameters
    ----------
    plan : ChunkPlan
    folder : str or path
        Where results are kept. Workers write to it: on a cluster, all have to see it by this path.
    executor : concurrent.futures.Executor, or a function that makes one
        Of a function's, a new one is made where a process of the last one died, and the last is shut down at the end.
    workers : int
        Chunks that are encoded at the same time.
    devices : sequence of int
        Each chunk goes to the one that has the fewest at that moment.
    retries : int
        How often a chunk is tried again whose worker died, or whose device failed.
    progress : callable, optional
        Called with the frames that are done and the film's, after each chunk. The latter is 0 where it is not known.
    each : callable, optional
        Called with each result as soon as it is there, in any order, those of the folder first: `Joiner.add`. In the
        calling thread, while the workers encode.
    backend, interface, timeout
        As for `Encoder`.

    Raises what `encode_chunk` raises, or the executor's BrokenExecutor; the chunks that run then are waited for, but
    not after Ctrl-C.
    """
    if workers < 1:
        raise InvalidArgumentError(f"workers is {workers}; it must be 1 or more")
    if not devices:
        raise InvalidArgumentError("devices is empty; give a number for each device")
    done, waiting = done_and_waiting(plan, folder)
    tried: dict[int, int] = {}
    load = dict.fromkeys(devices, 0)
    running: dict[concurrent.futures.Future[ChunkResult], tuple[Chunk, int]] = {}
    made: concurrent.futures.Executor | None = None
    fresh = [(done[index], False) for index in sorted(done)]  # what `each` has not seen, and whether it is progress
    frames = sum(result.frames for result in done.values())

    def report() -> None:
        if progress is not None:
            progress(frames, plan.frames or 0)

    def take(future: concurrent.futures.Future[ChunkResult]) -> None:
        chunk, device = running.pop(future)
        load[device] -= 1
        try:
            done[chunk.index] = future.result()
        except (concurrent.futures.BrokenExecutor, AclError):
            tried[chunk.index] = tried.get(chunk.index, 0) + 1
            if tried[chunk.index] > retries:
                raise
            waiting.append(chunk)
        else:
            fresh.append((done[chunk.index], True))

    report()
    try:
        while waiting or running or fresh:
            if made is None and waiting:
                made = executor() if callable(executor) else executor
            try:
                while made is not None and waiting and len(running) < workers:
                    device = min(devices, key=lambda number: load[number])
                    future = made.submit(
                        encode_chunk,
                        waiting[-1],
                        folder,
                        backend=backend,
                        device=device,
                        interface=interface,
                        timeout=timeout,
                    )
                    running[future] = (waiting.pop(), device)
                    load[device] += 1
            except concurrent.futures.BrokenExecutor:
                if not callable(executor):
                    raise
            while fresh:  # after the workers were given the next ones
                result, is_progress = fresh.pop(0)
                if each is not None:
                    each(result)
                if is_progress:
                    frames += result.frames
                    report()
            finished, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
            broken = (waiting and not finished) or any(
                isinstance(future.exception(), concurrent.futures.BrokenExecutor) for future in finished
            )
            if broken and made is not None and callable(executor):  # all that it had fail by the same
                concurrent.futures.wait(running)
                made.shutdown(wait=False)
                made = None
                finished = set(running)
            for future in finished:
                take(future)
    except BaseException as error:
        for future in running:
            future.cancel()
        if isinstance(error, Exception):
            concurrent.futures.wait(running)
            running.clear()
        raise
    finally:
        if made is not None and callable(executor):
            made.shutdown(wait=not running)
    return [done[chunk.index] for chunk in plan.chunks]


def process_pool(workers: int) -> concurrent.futures.ProcessPoolExecutor:
    """Return a pool of processes for `encode_all`: `lambda: process_pool(4)`.

    They are started anew, not forked (a process that has used a device cannot be forked), leave Ctrl-C to this one, and
    end when this one does, even by SIGKILL. A program that uses it needs `if __name__ == "__main__":`.
    """
    context = multiprocessing.get_context("spawn")
    return concurrent.futures.ProcessPoolExecutor(workers, mp_context=context, initializer=_serve_the_parent)


def _serve_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, name="ascend-venc-parent", daemon=True).start()


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)
