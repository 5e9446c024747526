# SPDX-License-Identifier: Apache-2.0
"""The plan: where a film is cut, what each piece is to become, and how that is written down."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ..arguments import as_int, as_size
from ..config import EncoderConfig
from ..errors import InvalidArgumentError, MediaError
from ..media.open import open_video
from ..media.output import ReplacingFile
from ..rate_control import RateControl
from ..rates import parse_fps

if TYPE_CHECKING:
    from collections.abc import Iterable

VERSION = 2
PLAN_FILE = "plan.json"
# Of chunks that nobody asked otherwise for: the longest and the shortest, in seconds, and which part of what is left of
# the film each is. Long ones lose little to their lead; the short ones at the end keep all workers busy to the end.
LONGEST, SHORTEST, PART = 60, 8, 16
FEWEST_GOPS = 4
SETTINGS = ("codec", "profile", "rc", "bitrate", "gop")
_ENDS = 1 << 16  # bytes of both ends of a file that tell it from another


class ChunkError(MediaError):
    """A chunk is missing, damaged, of another plan, or not what the plan says."""


@dataclasses.dataclass(frozen=True)
class Chunk:
    """A piece of a film: all that whoever encodes it has to be told. Small, and can be pickled.

    Attributes
    ----------
    index : int
        Place among the plan's chunks.
    name : str
        Of its files, without a suffix. Another film, cut or setting gives another name.
    first_frame : int
        Its number in the film.
    frames : int or None
        How many there are; None where only decoding tells.
    start, stop : fractions.Fraction or None
        Seconds from the film's beginning, each between two frames. None: the beginning, the end.
    source : Source
    settings : tuple
        (name, value) of `Encoder`'s arguments.
    lead : int
        Frames before the first one that are encoded as well, and thrown away: whole GOPs.
    lead_start : fractions.Fraction or None
        Seconds from the film's beginning, before the first of those. None: the beginning.
    """

    index: int
    name: str
    first_frame: int
    frames: int | None
    start: Fraction | None
    stop: Fraction | None
    source: Source
    settings: tuple[tuple[str, Any], ...]
    lead: int = 0
    lead_start: Fraction | None = None


@dataclasses.dataclass(frozen=True)
class Source:
    """A file with a film in it.

    Attributes
    ----------
    path : str
        Absolute.
    size : int
        Bytes.
    fingerprint : str
        SHA-256 of its size, its first and its last 64 KiB, in hexadecimal: what each worker looks at.
    digest : str
        SHA-256 of all of it, in hexadecimal: what plans, and films that are joined from them, look at.
    picture : (int, int) or None
        Width and height of raw pixels.
    fps : str or None
        Frames per second that take the place of the file's own times.
    """

    path: str
    size: int
    fingerprint: str
    digest: str
    picture: tuple[int, int] | None = None
    fps: str | None = None

    def open(self) -> Any:
        """Open it, and make sure that it is the file that was planned. Raises ChunkError, MediaError, OSError."""
        if fingerprint(self.path) != (self.size, self.fingerprint):
            raise self._another()
        return open_video(self.path, size=self.picture, fps=self.fps)

    def check_all(self) -> None:
        """Read all of it, and make sure that it is the file that was planned. Raises ChunkError, OSError."""
        if digest_of(self.path) != self.digest:
            raise self._another()

    def _another(self) -> ChunkError:
        return ChunkError(f"{self.path}: this is not the file that the plan was made of")


def fingerprint(path: str) -> tuple[int, str]:
    """Return the size of a file and what tells it from others."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest = hashlib.sha256(str(size).encode() + b"\n" + file.read(_ENDS))
        file.seek(max(0, size - _ENDS))
        digest.update(file.read(_ENDS))
    return size, digest.hexdigest()


def digest_of(path: str) -> str:
    """Return the SHA-256 of a file. A film that was changed in its middle has its old ends."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


@dataclasses.dataclass(frozen=True)
class ChunkPlan:
    """Where a film is cut, and what it is to become. Made by `plan` or `load_plan`.

    The same film, cut and settings give the same plan. It does not depend on who encodes it.

    Attributes
    ----------
    source : Source
    settings : tuple
        (name, value) of `Encoder`'s arguments, every default resolved.
    frames : int or None
        Of the film; None where only decoding tells.
    time_base : fractions.Fraction
        Seconds per unit of the times in the results.
    fps : fractions.Fraction
        Frames per second, on the average.
    chunks : tuple of Chunk
    note : str
        Why the film was not cut although that was asked for; else "".
    """

    source: Source
    settings: tuple[tuple[str, Any], ...]
    frames: int | None
    time_base: Fraction
    fps: Fraction
    chunks: tuple[Chunk, ...]
    note: str = ""

    def to_json(self) -> str:
        """Return the manifest: JSON, with `load_plan` as its reader."""
        source = dataclasses.asdict(self.source)
        chunks = [
            {
                "name": chunk.name,
                "first_frame": chunk.first_frame,
                "frames": chunk.frames,
                "start": None if chunk.start is None else str(chunk.start),
                "stop": None if chunk.stop is None else str(chunk.stop),
                "lead": chunk.lead,
                "lead_start": None if chunk.lead_start is None else str(chunk.lead_start),
            }
            for chunk in self.chunks
        ]
        manifest = {
            "version": VERSION,
            "source": source,
            "settings": dict(self.settings),
            "frames": self.frames,
            "time_base": str(self.time_base),
            "fps": str(self.fps),
            "note": self.note,
            "chunks": chunks,
        }
        return json.dumps(manifest, indent=1, default=dataclasses.asdict) + "\n"

    def save(self, folder: str | os.PathLike[str]) -> str:
        """Write the manifest into a folder, which is made, in place of one that is there. Returns its path."""
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(os.fspath(folder), PLAN_FILE)
        with ReplacingFile(path, overwrite=True) as file:
            file.file.write(self.to_json().encode())
        return path


def load_plan(path: str | os.PathLike[str]) -> ChunkPlan:
    """Read a manifest, by its path or its folder's. Raises ChunkError where it is none, OSError."""
    name = os.fspath(path)
    if os.path.isdir(name):
        name = os.path.join(name, PLAN_FILE)
    with open(name, "rb") as file:
        text = file.read()
    try:
        told = json.loads(text)
        if told["version"] != VERSION:
            raise ChunkError(f"{name}: manifest of version {told['version']}; this is for {VERSION}")
        picture = told["source"]["picture"]
        source = Source(**{**told["source"], "picture": None if picture is None else tuple(picture)})
        settings = tuple((name, _setting(told["settings"][name])) for name in sorted(SETTINGS))
        chunks = tuple(
            Chunk(
                index,
                chunk["name"],
                chunk["first_frame"],
                chunk["frames"],
                None if chunk["start"] is None else Fraction(chunk["start"]),
                None if chunk["stop"] is None else Fraction(chunk["stop"]),
                source,
                settings,
                chunk["lead"],
                None if chunk["lead_start"] is None else Fraction(chunk["lead_start"]),
            )
            for index, chunk in enumerate(told["chunks"])
        )
        time_base, fps = Fraction(told["time_base"]), Fraction(told["fps"])
        if time_base <= 0 or fps <= 0:
            raise ValueError(f"time_base is {time_base}, fps is {fps}")
        plan = ChunkPlan(source, settings, told["frames"], time_base, fps, chunks, told["note"])
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        if isinstance(error, ChunkError):
            raise
        raise ChunkError(f"{name}: this is not a manifest of chunks ({type(error).__name__}: {error})") from None
    return plan


def _setting(told: Any) -> Any:
    """Return what the manifest tells of a setting: `rc` with limits is a mapping there."""
    return RateControl(**told) if isinstance(told, dict) else told


def plan(
    source: str | os.PathLike[str],
    *,
    chunk: int | str = "auto",
    lead: int = 1,
    scenes: Iterable[int] | None = None,
    size: tuple[int, int] | None = None,
    fps: int | float | str | Fraction | None = None,
    **settings: Any,
) -> ChunkPlan:
    """Cut a film into chunks. Reads the whole file, and decodes none of its packets but the first.

    Parameters
    ----------
    source : str or path
        A file. Whoever encodes a chunk opens it by this path and seeks, so it has to be there for all of them.
    chunk : int or "auto"
        Frames of a chunk; rounded up to whole GOPs, so that the key frames are where one encoder would have them.
        "auto": a sixteenth of what is left of the film, between 8 and 60 seconds and at least four GOPs: long ones
        first, and short ones at the end, so that any number of workers ends at about the same time.
    lead : int
        GOPs before a chunk that are encoded as well, and thrown away, so that its rate control has begun: see
        docs/chunked.md for what that changes at the seams. 0: none.
    scenes : iterable of int, optional
        Numbers of the frames with which a chunk begins, in place of `chunk`; 0 need not be among them.
    size, fps
        As for `open_video`.
    **settings
        Of `Encoder`: `codec`, `profile`, `rc`, `bitrate`, `gop`. Colours, shape and rate are the film's.

    Raises
    ------
    InvalidArgumentError
        A parameter outside its range, or a source that is no file.
    MediaError, OSError
        The source cannot be read, or has no frames.

    Notes
    -----
    A film whose clock starts anew, or jumps, cannot be searched for a place: it is one chunk, and `note` says so.
    """
    unknown = sorted(set(settings) - set(SETTINGS))
    if unknown:
        raise InvalidArgumentError(f"{unknown[0]} is not a setting of a chunk; these are: {', '.join(SETTINGS)}")
    path, size = os.path.abspath(os.fspath(source)), as_size(size)
    with open_video(path, size=size, fps=fps) as reader:
        if reader.path is None:
            raise InvalidArgumentError(
                f"source is {os.fspath(source)!r}: chunks are of files, whose places can be found"
            )
        config = EncoderConfig.resolve(reader.width, reader.height, fps=reader.fps, **settings)
        moments = reader.moments()
        time_base, rate = reader.time_base, reader.fps
    rc = config.rate_control
    resolved = tuple(
        sorted(
            {
                "codec": config.codec,
                "profile": config.profile,
                "rc": rc if rc.limits or rc.qp is not None else rc.mode,  # however it was written
                "bitrate": config.bitrate,
                "gop": config.gop,
            }.items()
        )
    )
    film = Source(path, *fingerprint(path), digest_of(path), size, None if fps is None else str(parse_fps(fps)))
    if moments is None:
        note = "it cannot be cut: its clock starts anew or jumps, or it does not tell its times"
        return ChunkPlan(film, resolved, None, time_base, rate, (_chunk(film, resolved, 0, 0, None),), note)
    if not moments:
        raise MediaError("there are no frames in it")
    if (lead := as_int("lead", lead)) < 0:
        raise InvalidArgumentError(f"lead is {lead}; it must be 0 GOPs or more")
    firsts = _cuts(len(moments), chunk, scenes, config.gop, rate)
    chunks = tuple(
        _chunk(
            film,
            resolved,
            index,
            first,
            end - first,
            _before(moments, first),
            _before(moments, end),
            min(lead, first // config.gop) * config.gop,
            _before(moments, max(0, first - min(lead, first // config.gop) * config.gop)),
        )
        for index, (first, end) in enumerate(zip(firsts, [*firsts[1:], len(moments)]))
    )
    return ChunkPlan(film, resolved, len(moments), time_base, rate, chunks)


def _chunk(
    source: Source,
    settings: tuple[Any, ...],
    index: int,
    first: int,
    frames: int | None,
    start: Fraction | None = None,
    stop: Fraction | None = None,
    lead: int = 0,
    lead_start: Fraction | None = None,
) -> Chunk:
    told = (VERSION, source.size, source.digest, source.picture, source.fps, settings, first, frames, lead)
    digest = hashlib.sha256(repr((*told, str(start), str(stop), str(lead_start))).encode()).hexdigest()
    return Chunk(index, f"{index:06d}-{digest[:16]}", first, frames, start, stop, source, settings, lead, lead_start)


def _before(moments: list[Fraction], frame: int) -> Fraction | None:
    """Return a moment between a frame and the one before it; None for the film's first one, and behind its last."""
    return (moments[frame - 1] + moments[frame]) / 2 if 0 < frame < len(moments) else None


def _cuts(total: int, chunk: Any, scenes: Iterable[int] | None, gop: int, fps: Fraction) -> list[int]:
    """Return the number of each chunk's first frame."""
    if scenes is not None:
        if not hasattr(scenes, "__iter__"):
            raise TypeError(f"scenes must be an iterable of ints, got {type(scenes).__name__}")
        firsts = sorted({0, *(as_int("each of scenes", first) for first in scenes)})
        if firsts[0] < 0 or firsts[-1] >= total:
            wrong = firsts[0] if firsts[0] < 0 else firsts[-1]
            raise InvalidArgumentError(f"scenes has {wrong}; the film's frames are 0 to {total - 1}")
        return firsts
    if chunk == "auto":
        return _tapered(total, gop, fps)
    if isinstance(chunk, str):
        raise InvalidArgumentError(f'chunk is {chunk!r}; give a number of frames, or "auto"')
    wanted = as_int("chunk", chunk)
    if wanted < 1:
        raise InvalidArgumentError(f"chunk is {chunk}; it must be 1 frame or more")
    return list(range(0, total, -(-wanted // gop) * gop))


def _tapered(total: int, gop: int, fps: Fraction) -> list[int]:
    """Return the number of each chunk's first frame, where the chunks become shorter towards the end."""
    shortest = max(math.ceil(SHORTEST * fps / gop), FEWEST_GOPS) * gop
    longest = max(math.ceil(LONGEST * fps / gop) * gop, shortest)
    firsts, first = [], 0
    while first < total:
        firsts.append(first)
        first += min(longest, max(shortest, -(-(total - first) // (PART * gop)) * gop))
        if total - first < shortest // 2:  # not worth a lead
            break
    return firsts
