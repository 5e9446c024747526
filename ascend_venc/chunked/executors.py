# SPDX-License-Identifier: Apache-2.0
"""Chunks encoded by any `concurrent.futures.Executor`: threads, processes, or a cluster that has one."""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

from ..arguments import as_count
from ..errors import AclError, InvalidArgumentError
from ..media.container import listening_to_ffmpeg
from .encoding import ChunkResult, done_and_waiting, encode_chunk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..literals import InterfaceName
    from .plan import Chunk, ChunkPlan


def encode_all(
    plan: ChunkPlan,
    folder: str | os.PathLike[str],
    executor: concurrent.futures.Executor | Callable[[], concurrent.futures.Executor],
    *,
    workers: int,
    devices: Iterable[int] = (0,),
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
        Of a function's, a new one is made where a process of the last one died, and the last is shut down at the end;
        Ctrl-C ends the processes of one that is a `process_pool`.
    workers : int
        Chunks that are encoded at the same time.
    devices : iterable of int
        Each chunk goes to the one that has the fewest at that moment.
    retries : int
        How often a chunk is tried again whose worker died, whose device failed, or for which a function made an
        executor that was broken from the beginning.
    progress : callable, optional
        Called with the frames that are done and the film's, after each chunk. The latter is 0 where it is not known.
    each : callable, optional
        Called with each result as soon as it is there, in any order, those of the folder first: `Joiner.add`. In the
        calling thread, while the workers encode.
    backend, interface, timeout
        As for `Encoder`.

    Raises what `encode_chunk` raises, or the executor's BrokenExecutor; the chunks that run then are waited for. Not so
    after Ctrl-C, where the call returns at once; but of threads, and of executors that it has not made, Python's exit
    waits for them.
    """
    workers, retries = as_count("workers", workers), as_count("retries", retries, 0)
    load = dict.fromkeys(_numbers_of(devices), 0)
    if not callable(executor):
        _check_executor(executor, "executor must be a concurrent.futures.Executor or a function that makes one, got")
    done, waiting = done_and_waiting(plan, folder)
    tried: dict[int, int] = {}
    running: dict[concurrent.futures.Future[ChunkResult], tuple[Chunk, int]] = {}
    made: concurrent.futures.Executor | None = None
    took = False  # `made` has taken a chunk
    idle = False  # no worker has one any more
    fresh = [(done[index], False) for index in sorted(done)]  # what `each` has not seen, and whether it is progress
    frames = sum(result.frames for result in done.values())

    def report() -> None:
        if progress is not None:
            progress(frames, plan.frames or 0)

    def is_given_up(chunk: Chunk) -> bool:
        tried[chunk.index] = tried.get(chunk.index, 0) + 1
        return tried[chunk.index] > retries

    def take(future: concurrent.futures.Future[ChunkResult]) -> None:
        chunk, device = running.pop(future)
        load[device] -= 1
        try:
            done[chunk.index] = future.result()
        except (concurrent.futures.BrokenExecutor, AclError):
            if is_given_up(chunk):
                raise
            waiting.append(chunk)
        else:
            fresh.append((done[chunk.index], True))

    report()
    try:
        while waiting or running or fresh:
            if made is None and waiting:
                made, took = executor() if callable(executor) else executor, False
                _check_executor(made, "executor is a function that must return a concurrent.futures.Executor, got")
            try:
                while made is not None and waiting and len(running) < workers:
                    device = min(load, key=lambda number: load[number])
                    future = made.submit(
                        encode_chunk,
                        waiting[-1],
                        folder,
                        backend=backend,
                        device=device,
                        interface=interface,
                        timeout=timeout,
                    )
                    running[future], took = (waiting.pop(), device), True
                    load[device] += 1
            except concurrent.futures.BrokenExecutor:
                if not callable(executor) or (not took and is_given_up(waiting[-1])):
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
        idle = True
    except BaseException as error:
        for future in running:
            future.cancel()
        if isinstance(error, Exception):
            concurrent.futures.wait(running)
            idle = True
        raise
    finally:
        if made is not None and callable(executor):
            if not idle and isinstance(made, _Processes):  # Ctrl-C
                made.end()
                idle = True
            made.shutdown(wait=idle)
    return [done[chunk.index] for chunk in plan.chunks]


def process_pool(workers: int) -> concurrent.futures.ProcessPoolExecutor:
    """Return a pool of processes for `encode_all`: `lambda: process_pool(4)`.

    They are started anew, not forked (a process that has used a device cannot be forked), leave Ctrl-C to this one, and
    end when this one does, even by SIGKILL. A program that uses it needs `if __name__ == "__main__":`.
    """
    return _Processes(as_count("workers", workers))


class _Processes(concurrent.futures.ProcessPoolExecutor):
    """A pool whose processes can be ended, whatever they are at."""

    def __init__(self, workers: int) -> None:
        context = multiprocessing.get_context("spawn")
        heard, self._told = context.Pipe(duplex=False)
        super().__init__(workers, mp_context=context, initializer=_serve_the_parent, initargs=(heard,))

    def end(self) -> None:
        self._told.send_bytes(b"end")  # which nobody reads: all of them see it


_listening = contextlib.ExitStack()  # as long as the process


def _serve_the_parent(heard: Any) -> None:
    _listening.enter_context(listening_to_ffmpeg())  # of much damage nothing but the log tells
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, args=(heard,), name="ascend-venc-parent", daemon=True).start()


def _end_with_the_parent(heard: Any) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel, heard])
    os._exit(1)


def _numbers_of(devices: Any) -> list[int]:
    try:
        given = list(devices)
    except TypeError:
        raise TypeError(f"devices must be an iterable of ints, such as [0, 1], got {type(devices).__name__}") from None
    if not given:
        raise InvalidArgumentError("devices is empty; give a number for each device")
    return [as_count("each of devices", number, 0) for number in given]


def _check_executor(given: Any, words: str) -> None:
    if not hasattr(given, "submit"):
        raise TypeError(f"{words} {type(given).__name__}")
