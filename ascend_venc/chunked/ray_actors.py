# SPDX-License-Identifier: Apache-2.0
"""Chunks encoded on a Ray cluster: an actor holds the sessions of one device. Ray is imported when it is used."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from .._lowlevel.core import open_library
from ..arguments import as_count, as_seconds, check_bool
from ..device_capabilities import capabilities
from ..errors import AclError, InvalidArgumentError, MediaError
from ..media.formats import check_mapping
from .encoding import ChunkResult, done_and_waiting, encode_chunk, keep_result

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..literals import InterfaceName
    from .plan import Chunk, ChunkPlan

_LOOK = 10.0  # seconds after which the cluster is looked at where nothing was ready


def import_ray() -> Any:
    """Return the module `ray`, or raise MediaError that says what to install."""
    try:
        import ray  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise MediaError(f"Ray is needed for this and cannot be imported ({error}): pip install ray") from None
    return ray


class Sessions:
    """What runs in an actor: one session after the other on the device that Ray gave to it."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = dict(options)

    def ready(self) -> None:
        """Return as soon as Ray has found a place for the actor."""

    def encode(self, chunk: Any, folder: str | None) -> ChunkResult:
        """Encode a chunk into a folder that all see, or to be sent back."""
        return encode_chunk(chunk, folder, **self._options)


def encode_on_ray(
    plan: ChunkPlan,
    folder: str | os.PathLike[str],
    *,
    actors: int,
    resources: Mapping[str, float] | None = None,
    shared: bool = True,
    retries: int = 2,
    start_timeout: float = 120.0,
    progress: Callable[[int, int], object] | None = None,
    each: Callable[[ChunkResult], object] | None = None,
    backend: str | None = None,
    interface: InterfaceName | None = None,
    timeout: float | None = 30.0,
) -> list[ChunkResult]:
    """Encode the chunks of a plan that a folder does not have yet on the Ray cluster that the program is connected to.

    Parameters
    ----------
    plan : ChunkPlan
        Its source is opened by its path on whatever machine an actor runs.
    folder : str or path
        Where results are kept.
    actors : int
        Sessions at the same time. Those for which the cluster has no place are done without.
    resources : mapping, optional
        What an actor takes of its node, e.g. `{"NPU": 1}`, whose number Ray hands to it as the only device, or
        `{"VENC": 1}` where nodes were started with the sessions that they have. Default: a CPU.
    shared : bool
        Whether all machines see `folder` by this path; else the access units travel back through Ray's object store.
    retries : int
        How often Ray starts an actor that died again and gives it the chunk again, and how often a chunk is tried again
        whose device failed.
    start_timeout : float
        Seconds for which the cluster may have no place for any actor.
    progress, each, backend, interface, timeout
        As for `encode_all`.

    Raises what `encode_chunk` raises, or MediaError: an actor died too often, or there was no place for one. What was
    encoded stays in the folder.

    Notes
    -----
    An actor has one chunk at a time, and gives its place back as soon as there is no more for it: to one that Ray
    starts again, for example.
    """
    actors, retries = as_count("actors", actors), as_count("retries", retries, 0)
    start_timeout = float(as_seconds("start_timeout", start_timeout))
    if start_timeout < 0:
        raise InvalidArgumentError(f"start_timeout is {start_timeout:g}; it must be 0 s or more")
    check_bool("shared", shared)
    check_mapping("resources", resources, '{"NPU": 1}')
    ray = import_ray()
    path = os.path.abspath(os.fspath(folder))
    os.makedirs(path, exist_ok=True)
    done, waiting = done_and_waiting(plan, path)

    def report() -> None:
        if progress is not None:
            progress(sum(result.frames for result in done.values()), plan.frames or 0)

    report()
    if each is not None:
        for index in sorted(done):
            each(done[index])
    if not waiting:
        return [done[chunk.index] for chunk in plan.chunks]
    options = {"backend": backend, "interface": interface, "timeout": timeout}
    kind: dict[str, Any] = {"max_restarts": -1, "max_task_retries": retries}
    if resources:
        kind.update(resources=dict(resources), num_cpus=0)
    make = ray.remote(**kind)(Sessions)
    pool = [make.remote(options) for _ in range(min(actors, len(waiting)))]
    needed = dict(resources) if resources else {"CPU": 1.0}
    good = time.monotonic()  # when an actor could last have been at work
    started = False
    failed: dict[int, int] = {}
    running: dict[Any, tuple[Chunk | None, Any]] = {actor.ready.remote(): (None, actor) for actor in pool}

    def give(actor: Any) -> None:
        if waiting:
            chunk = waiting.pop()
            running[actor.encode.remote(chunk, path if shared else None)] = (chunk, actor)
        else:
            pool.remove(actor)
            ray.kill(actor)

    try:
        while len(done) < len(plan.chunks):
            ready, _ = ray.wait(list(running), num_returns=1, timeout=min(_LOOK, start_timeout))
            held = {} if ready else ray.cluster_resources()
            if ready or (started and all(held.get(name, 0) >= number for name, number in needed.items())):
                good = time.monotonic()
            if not ready:
                if time.monotonic() - good >= start_timeout:
                    raise MediaError(
                        f"no actor has had a place in {start_timeout:g} s: each asks for {_told_of(needed)}, "
                        f"and the cluster has {_told_of(held)}"
                    )
                continue
            chunk, actor = running.pop(ready[0])
            try:
                result = ray.get(ready[0])
            except ray.exceptions.RayError as error:
                cause = getattr(error, "cause", None)
                if chunk is None or not isinstance(cause, AclError) or failed.get(chunk.index, 0) >= retries:
                    raise _told(ray, error, chunk, retries) from None
                failed[chunk.index] = failed.get(chunk.index, 0) + 1
                waiting.append(chunk)
                give(actor)
                continue
            started = True
            if chunk is not None:
                done[chunk.index] = result if shared else keep_result(result, chunk, path)
            give(actor)
            if chunk is not None:
                if each is not None:
                    each(done[chunk.index])
                report()
    finally:
        for actor in pool:
            ray.kill(actor)
    return [done[chunk.index] for chunk in plan.chunks]


def _told_of(resources: Mapping[str, float]) -> str:
    told = [
        f"{value:g} {name}" for name, value in sorted(resources.items()) if ":" not in name and "memory" not in name
    ]
    return ", ".join(told) or "nothing"


def _told(ray: Any, error: Any, chunk: Chunk | None, retries: int) -> Exception:
    """Return what to raise for an error of Ray's: what was raised in the actor, where it is that."""
    cause = getattr(error, "cause", None)
    if isinstance(error, ray.exceptions.RayTaskError) and isinstance(cause, Exception):
        return cause
    what = "an actor" if chunk is None else f"chunk {chunk.index}"
    if isinstance(error, ray.exceptions.RayActorError) and chunk is not None:
        return MediaError(f"{what}: its actor died more than {retries} times: {error}")
    return MediaError(f"{what}: Ray says: {error}")


def resources_of_this_node(*, backend: str | None = None, channels: int | None = None) -> dict[str, float]:
    """Return `{"VENC": sessions}` for `ray start --resources`: what the devices of this machine hold together.

    `channels`: of one device, where its chip does not tell (`capabilities().channels`): InvalidArgumentError then.
    """
    each = capabilities(backend=backend).channels if channels is None else as_count("channels", channels)
    if each is None:
        raise InvalidArgumentError("channels is missing: how many sessions this chip holds is not known")
    return {"VENC": float(open_library(backend, 30.0).device_count * each)}
