# SPDX-License-Identifier: Apache-2.0
"""One chunk encoded, and what is known of it afterwards."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import time
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ..bitstream import nal_units
from ..media.output import ReplacingFile
from .plan import Chunk, ChunkError, ChunkPlan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..literals import InterfaceName
_PARAMETER_SETS = {"h264": (7, 8), "h265": (32, 33, 34)}
_PIECE = 1 << 20  # bytes read at once


@dataclasses.dataclass(frozen=True)
class ChunkResult:
    """An encoded chunk.

    Attributes
    ----------
    name : str
        The chunk's.
    frames : int
    sizes : tuple of int
        Bytes of each access unit, in order.
    times : tuple of int
        When each is shown, counted from the film's beginning in units of `time_base`.
    end : int
        When the last one's time ends, in the same units.
    time_base : fractions.Fraction
    sha256 : str
        Of the access units, in hexadecimal.
    parameter_sets : tuple of str
        Of the first access unit, in hexadecimal.
    starts_with_idr : bool
    stats : dict
        "seconds" that it took, "bits_per_second" achieved, "backend", "interface", and the reader's "notes".
    path : str or None
        The file that holds the access units, in Annex B.
    data : bytes or None
        They themselves, where there is no file.
    """

    name: str
    frames: int
    sizes: tuple[int, ...]
    times: tuple[int, ...]
    end: int
    time_base: Fraction
    sha256: str
    parameter_sets: tuple[str, ...]
    starts_with_idr: bool
    stats: dict[str, Any]
    path: str | None = None
    data: bytes | None = None

    def access_units(self) -> Iterator[bytes]:
        """Yield the access units. Raises ChunkError after the last one if their checksum is another."""
        digest = hashlib.sha256()
        if self.data is not None:
            begin = 0
            for size in self.sizes:
                unit = self.data[begin : begin + size]
                begin += size
                digest.update(unit)
                yield unit
            rest = len(self.data) - begin
        else:
            assert self.path is not None
            with open(self.path, "rb") as file:
                for size in self.sizes:
                    unit = file.read(size)
                    digest.update(unit)
                    yield unit
                rest = len(file.read(1))
        if rest or digest.hexdigest() != self.sha256:
            raise ChunkError(f"chunk {self.name}: its bytes are not those that were encoded")

    def is_whole(self) -> bool:
        """Read it all; say whether the bytes are those that were encoded."""
        try:
            for _ in self.access_units():
                pass
        except (ChunkError, OSError):
            return False
        return True


def stream_name(chunk: Chunk) -> str:
    return f"{chunk.name}.{dict(chunk.settings)['codec']}"


def files_of(chunk: Chunk) -> tuple[str, str]:
    """Return the names of the files that a folder has of a chunk that is complete."""
    return stream_name(chunk), f"{chunk.name}.json"


def find_result(folder: str | os.PathLike[str], chunk: Chunk) -> ChunkResult | None:
    """Return what a folder has of a chunk; None if that is nothing, or was not finished, or is damaged."""
    path = os.path.join(os.fspath(folder), f"{chunk.name}.json")
    try:
        with open(path, encoding="utf-8") as file:
            told = json.load(file)
        found = ChunkResult(
            **{
                **told,
                "sizes": tuple(told["sizes"]),
                "times": tuple(told["times"]),
                "parameter_sets": tuple(told["parameter_sets"]),
                "time_base": Fraction(told["time_base"]),
                "path": os.path.join(os.fspath(folder), stream_name(chunk)),
            }
        )
        return found if found.name == chunk.name and found.is_whole() else None
    except (OSError, ValueError, TypeError, KeyError, ArithmeticError):
        return None


def done_and_waiting(plan: ChunkPlan, folder: str | os.PathLike[str]) -> tuple[dict[int, ChunkResult], list[Chunk]]:
    """Return what a folder has of a plan, by the chunks' indices, and the other chunks, the longest one last.

    Whoever takes them from the end has the short ones left when workers run out of chunks.
    """
    found = {chunk.index: find_result(folder, chunk) for chunk in plan.chunks}
    waiting = [chunk for chunk in reversed(plan.chunks) if found[chunk.index] is None]
    waiting.sort(key=lambda chunk: chunk.lead + (chunk.frames or 0))  # of equal ones, the first in the film is last
    return {index: result for index, result in found.items() if result is not None}, waiting


def encode_chunk(
    chunk: Chunk,
    folder: str | os.PathLike[str] | None = None,
    *,
    backend: str | None = None,
    device: int = 0,
    interface: InterfaceName | None = None,
    timeout: float | None = 30.0,
) -> ChunkResult:
    """Encode one chunk with an encoder of its own. Opens the source itself, and seeks.

    Parameters
    ----------
    chunk : Chunk
    folder : str or path, optional
        Where the result is kept: the access units in a file with the chunk's name, and one with the suffix ".json" that
        says it is complete. A chunk that is there already is not encoded again. Two may encode the same chunk at the
        same time: each file takes its place whole. Default: the result has the bytes.
    backend, device, interface, timeout
        As for `Encoder`.

    Raises
    ------
    ChunkError
        The source is not the one that was planned, or has other frames there.
    MediaError, OSError, AclError
        As `open_video` and `Encoder`.
    """
    if folder is not None:
        found = find_result(folder, chunk)
        if found is not None:
            return found
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(os.fspath(folder), stream_name(chunk))
        with ReplacingFile(path, overwrite=True) as output:
            result = _encode(chunk, output.file, backend, device, interface, timeout)
            _settle(output.file)
        _keep_record(result, folder)
        return dataclasses.replace(result, path=path)
    memory = io.BytesIO()
    result = _encode(chunk, memory, backend, device, interface, timeout)
    return dataclasses.replace(result, data=memory.getvalue())


def _keep_record(result: ChunkResult, folder: str | os.PathLike[str]) -> None:
    """Write down that a chunk is complete; its access units are there."""
    told = dataclasses.asdict(result)
    told["time_base"] = str(result.time_base)
    del told["path"], told["data"]
    with ReplacingFile(os.path.join(os.fspath(folder), f"{result.name}.json"), overwrite=True) as output:
        output.file.write(json.dumps(told).encode())
        _settle(output.file)


def _settle(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def keep_result(result: ChunkResult, chunk: Chunk, folder: str | os.PathLike[str]) -> ChunkResult:
    """Put a result that came with its bytes into a folder, as `encode_chunk` does. Returns it with its path."""
    path = os.path.join(os.fspath(folder), stream_name(chunk))
    with ReplacingFile(path, overwrite=True) as output:
        for unit in result.access_units():
            output.file.write(unit)
        _settle(output.file)
    _keep_record(result, folder)
    return dataclasses.replace(result, path=path, data=None)


class _Tally:
    """What becomes of the packets."""

    def __init__(self, file: Any, lead: int) -> None:
        self._file = file
        self._lead = lead  # packets that are thrown away
        self._digest = hashlib.sha256()
        self.sizes: list[int] = []
        self.first = b""
        self.idr = False

    def take(self, packets: list[Any]) -> None:
        for packet in packets:
            if self._lead:
                self._lead -= 1
                continue
            data = bytes(packet)
            if not self.sizes:
                self.first, self.idr = data, packet.is_keyframe
            self._file.write(data)
            self._digest.update(data)
            self.sizes.append(len(data))

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


def _encode(
    chunk: Chunk, file: Any, backend: str | None, device: int, interface: InterfaceName | None, timeout: float | None
) -> ChunkResult:
    from ..encoder import Encoder

    begun = time.monotonic()
    settings = dict(chunk.settings)
    tally, end = _Tally(file, chunk.lead), 0
    times: list[int] = []
    with chunk.source.open() as reader:
        begin = chunk.lead_start
        skipped = Fraction(0) if begin is None else reader.skip_to(begin, steady=True) or Fraction(0)
        origin = round(skipped / reader.time_base)
        with Encoder(
            reader.width,
            reader.height,
            pixel_format=reader.pixel_format,
            color=reader.color,
            sample_aspect_ratio=reader.sample_aspect_ratio,
            fps=reader.fps,
            backend=backend,
            device=device,
            interface=interface,
            timeout=timeout,
            **settings,
        ) as encoder:
            for frame in reader:
                shown = origin + frame.pts
                if begin is not None and shown * reader.time_base < begin:
                    continue
                if chunk.stop is not None and shown * reader.time_base >= chunk.stop:
                    break
                if chunk.start is None or shown * reader.time_base >= chunk.start:
                    times.append(shown)
                end = shown + (frame.duration or max(1, round(1 / reader.fps / reader.time_base)))
                tally.take(encoder.encode(frame.data))
            tally.take(encoder.flush())
        unit = reader.time_base
        told = {"backend": encoder.backend, "interface": encoder.interface, "notes": list(reader.notes)}
    if chunk.frames not in (None, len(times)):
        raise ChunkError(
            f"chunk {chunk.index}: {len(times)} frames were decoded from {_clock(chunk.start)} to {_clock(chunk.stop)}"
            f", and the file has {chunk.frames} packets there; encode the film as one"
        )
    if len(times) != len(tally.sizes):
        raise ChunkError(f"chunk {chunk.index}: {len(times)} frames went in, {len(tally.sizes)} packets came out")
    if not times:
        raise ChunkError(f"chunk {chunk.index}: there are no frames in it")
    seconds = (end - times[0]) * unit
    codec = settings["codec"]
    stats = {
        "seconds": round(time.monotonic() - begun, 3),
        "bits_per_second": round(sum(tally.sizes) * 8 / seconds) if seconds else 0,
        **told,
    }
    return ChunkResult(
        chunk.name,
        len(times),
        tuple(tally.sizes),
        tuple(times),
        end,
        unit,
        tally.sha256,
        _parameter_sets(tally.first, codec),
        tally.idr,
        stats,
    )


def _clock(moment: Fraction | None) -> str:
    return "one end of the film" if moment is None else f"{float(moment):.3f} s"


def _parameter_sets(unit: bytes, codec: str) -> tuple[str, ...]:
    found = []
    for nal in nal_units(unit):
        kind = nal[0] & 31 if codec == "h264" else nal[0] >> 1 & 63
        if kind in _PARAMETER_SETS[codec]:
            found.append(bytes(nal).hex())
    return tuple(found)
