# SPDX-License-Identifier: Apache-2.0
"""Chunks joined to a film again, after it was made sure that they are one."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

from ..errors import InvalidArgumentError
from ..media.formats import FLV_CODEC, SUFFIXES, codec_of, container_of
from ..media.muxer import Muxer
from ..media.output import ReplacingFile
from ..media.sound import Sound, WithSound, what_is_not_taken
from .encoding import ChunkResult, find_result
from .plan import ChunkError, ChunkPlan

if TYPE_CHECKING:
    from collections.abc import Iterable
    from fractions import Fraction
    from types import TracebackType


class _AccessUnit(bytes):
    """What a `Muxer` takes: bytes, and whether a decoder can begin with them."""

    is_keyframe: bool


def results_in(folder: str | os.PathLike[str], plan: ChunkPlan) -> list[ChunkResult]:
    """Return the results of all chunks of a plan that are in a folder, in order.

    Raises ChunkError that names those that are missing or damaged.
    """
    found = [find_result(folder, chunk) for chunk in plan.chunks]
    missing = [chunk.index for chunk, result in zip(plan.chunks, found) if result is None]
    if missing:
        few = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
        raise ChunkError(
            f"{os.fspath(folder)}: {len(missing)} of {len(found)} chunks are missing or damaged: {few}; "
            "encode them first"
        )
    return [result for result in found if result is not None]


def check(plan: ChunkPlan, results: Iterable[ChunkResult]) -> list[ChunkResult]:
    """Make sure that results are one film, and return them in order.

    Every chunk is there, and once; each begins with an IDR and has the same parameter sets; each begins where the one
    before it ends, to the tick; the number of frames is the film's. Raises ChunkError that says what is not so.
    """
    by_name = {result.name: result for result in results}
    ordered = [by_name.get(chunk.name) for chunk in plan.chunks]
    missing = [index for index, result in enumerate(ordered) if result is None]
    if missing:
        raise ChunkError(f"chunks {missing[:10]} are missing of {len(ordered)}")
    whole = [result for result in ordered if result is not None]
    for index, result in enumerate(whole):
        _check_one(index, result, whole[0], whole[index - 1] if index else None)
    _check_frames(plan, sum(result.frames for result in whole))
    return whole


def _check_one(index: int, result: ChunkResult, first: ChunkResult, before: ChunkResult | None) -> None:
    if not result.starts_with_idr:
        raise ChunkError(f"chunk {index} does not begin with an IDR")
    if result.parameter_sets != first.parameter_sets:
        raise ChunkError(
            f"chunk {index} has other parameter sets than the first one: they were encoded by different devices "
            f"({first.stats.get('backend')}, {result.stats.get('backend')}); encode all by the same kind"
        )
    if result.time_base != first.time_base:
        raise ChunkError(f"chunk {index} counts {result.time_base} s, the first one {first.time_base} s")
    if before is not None and result.times[0] != before.end:
        raise ChunkError(
            f"chunk {index} begins at {result.times[0]}, and the one before it ends at {before.end} "
            f"(units of {result.time_base} s): frames are missing or twice"
        )


def _check_frames(plan: ChunkPlan, frames: int) -> None:
    if plan.frames not in (None, frames):
        raise ChunkError(f"the chunks have {frames} frames, the film {plan.frames}")


class Joiner:
    """A film that is joined while its chunks are encoded, with the times of the source::

        with chunked.Joiner(plan, "out.mp4") as film:
            chunked.encode_all(plan, "work", executor, workers=4, each=film.add)

    Chunks may come in any order; each is written as soon as all before it are. What `check` makes sure of is made sure
    of here. The output takes its place when the `with` statement is left normally and every chunk is in it.

    Parameters
    ----------
    plan : ChunkPlan
    output : str or path
        A name with the suffix of a container or of a bare bitstream.
    sound : bool
        Copy the source's sound, where the output can hold it.
    overwrite : bool
        Replace an output that exists.

    Raises
    ------
    InvalidArgumentError
        The suffix is unknown, or of another codec.
    FileExistsError, OSError, MediaError
        The output exists, or cannot be written; the source cannot be read.

    Attributes
    ----------
    frames : int
        In the output up to now.
    left_out : tuple of str
        What the source has and the output has not, in words.
    """

    def __init__(
        self, plan: ChunkPlan, output: str | os.PathLike[str], *, sound: bool = True, overwrite: bool = False
    ) -> None:
        codec = dict(plan.settings)["codec"]
        bare, self._format = codec_of(output), container_of(output)
        if bare is None and self._format is None:
            raise InvalidArgumentError(f"output is {os.fspath(output)!r}; known suffixes are {' '.join(SUFFIXES)}")
        if bare not in (None, codec) or (self._format == "flv" and codec != FLV_CODEC):
            raise InvalidArgumentError(f"output is {os.fspath(output)!r}, and the chunks are {codec}")
        self.frames = 0
        self._plan = plan
        self._codec = codec
        self._sound: Sound | None = None
        self._places = {chunk.name: chunk.index for chunk in plan.chunks}
        self._waiting: dict[int, ChunkResult] = {}
        self._next = 0
        self._notes: list[str] = []  # of the readers that the chunks had
        self._first: ChunkResult | None = None
        self._before: ChunkResult | None = None
        self._writer: Any = None
        with contextlib.ExitStack() as stack:
            self._state = _state_of(plan.source.path)
            self._reader = stack.enter_context(plan.source.open())
            asked = sound and "sound" in self._reader.left_out
            told = self._open_sound(stack) if asked else []
            self.left_out = what_is_not_taken(self._reader.left_out, self._format, told)
            self._target = stack.enter_context(ReplacingFile(output, overwrite=overwrite))
            self._stack = stack.pop_all()

    def _open_sound(self, stack: contextlib.ExitStack) -> list[str]:
        """Open what is copied of it, and return what is not, in words."""
        if self._format is None:
            return ["sound"]
        if self._plan.source.fps is not None:
            return ["sound (another rate changes the times of the pictures)"]
        self._sound = Sound(self._plan.source.path, self._format, self._reader.start)
        stack.callback(self._sound.close)
        return self._sound.refused

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of the source once the film is joined."""
        sound = () if self._sound is None else self._sound.notes
        return tuple(dict.fromkeys((*self._reader.notes, *self._notes, *sound)))

    def __enter__(self) -> Joiner:
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, traceback: TracebackType | None) -> None:
        if kind is not None:
            self._stack.__exit__(kind, value, traceback)
            return
        with self._stack:
            if self._next < len(self._places):
                raise ChunkError(f"chunk {self._next} is missing of {len(self._places)}")
            _check_frames(self._plan, self.frames)
            if _state_of(self._plan.source.path) != self._state:  # changed or touched meanwhile
                self._plan.source.check_all()

    def add(self, result: ChunkResult) -> None:
        """Take a chunk. Raises ChunkError that says what is wrong with it, MediaError or OSError of the output."""
        place = self._places.get(result.name)
        if place is None:
            raise ChunkError(f"chunk {result.name} is of another plan")
        if place < self._next:
            return
        self._waiting[place] = result
        while self._next in self._waiting:
            following = self._waiting.pop(self._next)
            self._first = self._first or following
            _check_one(self._next, following, self._first, self._before)
            self._write(following)
            self._notes += following.stats.get("notes", ())
            self._before = following
            self._next += 1

    def _write(self, result: ChunkResult) -> None:
        if self._writer is None and self._format is not None:
            self._writer = self._stack.enter_context(self._open_writer(result.time_base))
        gop = dict(self._plan.settings)["gop"]
        for index, data in enumerate(result.access_units()):
            if self._writer is None:
                self._target.file.write(data)
                continue
            unit = _AccessUnit(data)
            unit.is_keyframe = index % gop == 0
            following = result.end if index + 1 == result.frames else result.times[index + 1]
            self._writer.write(unit, pts=result.times[index], duration=following - result.times[index])
        self.frames += result.frames

    def _open_writer(self, time_base: Fraction) -> Any:
        reader, format = self._reader, self._format
        assert format is not None
        muxer = Muxer(
            self._target.file,
            codec=self._codec,
            fps=reader.fps,
            time_base=time_base,
            format=format,
            sample_aspect_ratio=reader.sample_aspect_ratio,
            color=reader.color,
            metadata=reader.metadata,
        )
        if self._sound is not None and self._sound.names:
            return WithSound(muxer, self._sound, time_base)
        return muxer


def _state_of(path: str) -> tuple[int, ...]:
    found = os.stat(path)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def concat(
    plan: ChunkPlan,
    results: Iterable[ChunkResult] | str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    sound: bool = True,
    overwrite: bool = False,
) -> int:
    """Join chunks to a film, with the times of the source. Returns the number of frames.

    `results`: in any order, or the folder that has them; the others as for `Joiner`. Raises what `Joiner` does, and
    ChunkError where the chunks are not one film: see `check`. There is no output then.
    """
    return join(plan, results, output, sound=sound, overwrite=overwrite).frames


def join(
    plan: ChunkPlan,
    results: Iterable[ChunkResult] | str | os.PathLike[str],
    output: str | os.PathLike[str],
    **how: bool,
) -> Joiner:
    """As `concat`, and return what joined them."""
    plan.source.check_all()
    with Joiner(plan, output, **how) as film:
        for result in check(plan, results_in(results, plan) if isinstance(results, (str, os.PathLike)) else results):
            film.add(result)
    return film
