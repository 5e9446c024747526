# SPDX-License-Identifier: Apache-2.0
"""What is in a video file, read without decoding it: pictures, key frames, sizes, parameter sets, SEI, rate, times."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
import statistics
from fractions import Fraction
from typing import Any, NamedTuple, cast

from ..bitstream import iter_nal_units, parameter_sets, sei_messages, to_annex_b
from ..errors import InvalidArgumentError, MediaError, VencError
from ..sequence_parameters import SequenceParameters, parse_sequence_parameters
from .access_units import LOOK, codec_of, extra_slice_bits, is_slice, iter_pictures, slice_header, unit_type
from .container import as_fraction, import_av, number_of, open_to_read, reason_of, speaking_of
from .formats import demuxer_of
from .packets import packets_of
from .programs import pictures_of
from .structure import TrackHeader, declared_size, how_it_is_cut_off, track_header
from .timeline import RESTART, is_in_a_hole

CODECS = {"h264": "h264", "hevc": "h265"}  # FFmpeg's names
WINDOW = 1.0  # seconds over which the rate is looked at
GAP = 1.5  # times the usual distance of two pictures
MOST_LISTED = 100  # gaps that are told one by one
# Payload types of annex D that are met; the same numbers in H.264 and H.265 but for the last two.
SEI_NAMES = {
    0: "buffering period",
    1: "picture timing",
    4: "user data (ITU-T T.35)",
    5: "user data",
    6: "recovery point",
}
SEI_NAMES.update({45: "frame packing", 47: "display orientation", 129: "active parameter sets", 132: "picture hash"})
SEI_NAMES.update({136: "time code", 137: "mastering display", 144: "content light level", 147: "transfer"})


class Picture(NamedTuple):
    """One coded picture, in the order of the file.

    Attributes
    ----------
    size : int
        Bytes, with what stands in front of it.
    kind : str
        "I", "P", "B", or "" where it is not known.
    key : bool
        Decoding can begin here.
    idr : bool
    pts, dts, duration : fractions.Fraction or None
        Seconds.
    """

    size: int
    kind: str
    key: bool
    idr: bool
    pts: Fraction | None
    dts: Fraction | None
    duration: Fraction | None


@dataclasses.dataclass
class Inspection:
    """What was found. Sizes in bytes, times in seconds, rates in bit/s.

    Attributes
    ----------
    container : str
        FFmpeg's name, such as "mov,mp4,m4a,3gp,3g2,mj2"; "bare bitstream" without one.
    codec : str
        "h264", "h265", or FFmpeg's name of another one, whose pictures are only counted and measured.
    parameters : SequenceParameters or None
        Of the first sequence parameter set.
    parameter_changes : int
        How often another one came.
    width, height : int
        0: not known.
    frame_rate : fractions.Fraction or None
        As the container, else the stream, says it.
    others : list of str
        Codecs of the other streams, "" of an unknown one.
    pictures : list of Picture
    units : dict
        NAL units by their names.
    sei : dict
        SEI messages by what they are.
    damaged : int
        Pictures, or SEI, that could not be read.
    problems : list of str
        What is wrong with the file; reading may have ended there.
    """

    container: str
    codec: str
    parameters: SequenceParameters | None = None
    parameter_changes: int = 0
    width: int = 0
    height: int = 0
    frame_rate: Fraction | None = None
    others: list[str] = dataclasses.field(default_factory=list)
    pictures: list[Picture] = dataclasses.field(default_factory=list)
    units: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    sei: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    damaged: int = 0
    problems: list[str] = dataclasses.field(default_factory=list)

    @property
    def timed(self) -> bool:
        """Whether the pictures have times: their own, or evenly spaced ones by the frame rate."""
        return bool(self.pictures) and (self.pictures[0].pts is not None or self.frame_rate is not None)

    def times(self) -> list[Fraction]:
        """When the pictures are shown, ascending; evenly spaced where only the frame rate is told. [] without that."""
        own = [picture.pts for picture in self.pictures if picture.pts is not None]
        if own:
            return sorted(own)
        if self.frame_rate is None:
            return []
        return [number / self.frame_rate for number in range(len(self.pictures))]

    def usual_distance(self) -> Fraction | None:
        """Seconds from one picture to the next, mostly."""
        times = self.times()
        steps = [after - before for before, after in zip(times, times[1:]) if after > before]
        return statistics.median_low(steps) if steps else (1 / self.frame_rate if self.frame_rate else None)

    def duration(self) -> Fraction | None:
        """Seconds from the first picture to the end of the last."""
        times = self.times()
        usual = self.usual_distance()
        return times[-1] - times[0] + usual if times and usual else None

    def sizes(self) -> dict[str, dict[str, float]]:
        """Number, sum, mean and largest of the pictures of each kind ("key", "I", "P", "B", "?")."""
        kinds: dict[str, list[int]] = {}
        for picture in self.pictures:
            kinds.setdefault("key" if picture.key else picture.kind or "?", []).append(picture.size)
        return {
            kind: {"pictures": len(of), "bytes": sum(of), "mean": sum(of) / len(of), "largest": max(of)}
            for kind, of in sorted(kinds.items(), key=lambda item: "key I P B ?".find(item[0]))
        }

    def key_distances(self) -> list[int]:
        """Pictures from each key frame to the next."""
        places = [number for number, picture in enumerate(self.pictures) if picture.key]
        return [after - before for before, after in zip(places, places[1:])]

    def gaps(self) -> list[tuple[Fraction, Fraction]]:
        """(when, seconds) where the next picture comes later than usual."""
        times, usual = self.times(), self.usual_distance()
        steps = zip(times, times[1:])
        return [(before, after - before) for before, after in steps if usual and after - before > GAP * usual]

    def duplicates(self) -> list[Fraction]:
        """Times that more than one picture has."""
        times = self.times()
        return sorted({before for before, after in zip(times, times[1:]) if before == after})

    def backwards(self) -> int:
        """Pictures whose decoding time is not after that of the one before."""
        times = [picture.dts for picture in self.pictures if picture.dts is not None]
        return sum(after <= before for before, after in zip(times, times[1:]))

    def rates(self, window: float = WINDOW) -> list[tuple[Fraction, float]]:
        """(begin, bit/s) of each window of so many seconds, the last one by what there is of it."""
        usual = self.usual_distance()
        times = self.times()
        if not times or usual is None:
            return []
        sized = sorted((picture.pts, picture.size) for picture in self.pictures if picture.pts is not None)
        if not sized:
            sized = [(when, picture.size) for when, picture in zip(times, self.pictures)]
        first, last = times[0], times[-1] + usual
        span = Fraction(window)
        bits: collections.Counter[int] = collections.Counter()
        for when, size in sized:
            bits[int((when - first) / span)] += 8 * size
        return [
            (first + number * span, float(bits[number] / min(span, last - first - number * span)))
            for number in sorted(bits)
        ]

    def rate(self) -> float | None:
        """bit/s over the whole film."""
        duration = self.duration()
        return 8 * sum(picture.size for picture in self.pictures) / float(duration) if duration else None


def inspect(path: str | os.PathLike[str]) -> Inspection:
    """Read a file to its end, without decoding. Containers need PyAV, bare bitstreams of H.264 and H.265 nothing.

    A file that is damaged further on gives what is before, and says it in `problems`. Raises MediaError where it is no
    video, or nothing of it can be read, and OSError where it cannot be opened.
    """
    name = os.fspath(path)
    with open(name, "rb") as file:
        codec = codec_of(file.read(LOOK))
        if codec is not None:
            file.seek(0)
            return _of_bitstream(file, codec)
    return _of_container(name)


def _of_bitstream(file: Any, codec: str) -> Inspection:
    found = Inspection("bare bitstream", codec)
    reader = _Reader(found)
    for data in iter_pictures(file, codec):
        reader.add(data, None, None, None, None)
    reader.finish()
    return found


def _of_container(name: str) -> Inspection:
    av = import_av()
    with (
        speaking_of("this is not a video that can be read"),
        open_to_read(av, "file:" + os.path.abspath(name)) as container,
    ):
        if not container.streams.video:
            raise MediaError("there is no video stream in it")
        stream = pictures_of(container)
        context = stream.codec_context
        codec = context.name if context is not None else "unknown"
        found = Inspection(demuxer_of(container), CODECS.get(codec, codec))
        found.others = [_name_of(other) for other in container.streams if other.index != stream.index]
        if context is not None:
            found.width, found.height = context.width, context.height
        average = stream.average_rate
        found.frame_rate = as_fraction(average)
        header = TrackHeader()
        with contextlib.suppress(OSError):
            header = track_header(name, demuxer_of(container), number_of(container, stream))
            size, declared = os.path.getsize(name), declared_size(name, demuxer_of(container))
            if declared is not None and declared > size:
                found.problems.append(how_it_is_cut_off(demuxer_of(container), size, declared))
        reader = _Reader(found, context.extradata if context is not None else None)
        unit = as_fraction(stream.time_base)
        marks: list[tuple[bool, Fraction | None]] = []  # whether a packet is damaged, and when it is decoded
        try:
            for packet in packets_of(container, stream):
                if packet.size and not getattr(packet, "is_discard", False):  # an edit list cuts that out
                    pts, dts, duration = (
                        None if ticks is None else ticks * unit for ticks in (packet.pts, packet.dts, packet.duration)
                    )
                    if is_in_a_hole(pts, header.holes):
                        continue
                    reader.add(bytes(packet), pts, dts, duration, packet.is_keyframe)
                    marks.append((packet.is_corrupt, dts))
        except (av.error.FFmpegError, ValueError) as error:
            if not found.pictures:
                raise
            found.problems.append(f"reading ends after {len(found.pictures)} pictures: {reason_of(error)}")
        found.damaged += sum(
            corrupt and not _is_joint([dts for _, dts in marks[number : number + 3]])
            for number, (corrupt, _) in enumerate(marks)
        )
        reader.finish()
    return found


def _is_joint(times: list[Fraction | None]) -> bool:
    """Say whether the clock starts anew behind one of these packets: counters break there, and nothing is damaged."""
    steps = [after - before for before, after in zip(times, times[1:]) if before is not None and after is not None]
    return any(not 0 <= step <= RESTART for step in steps)


def _name_of(stream: Any) -> str:
    context = getattr(stream, "codec_context", None)
    return str(context.name) if context is not None else str(stream.type or "")


class _Reader:
    """Adds pictures to an inspection, and follows the parameter sets."""

    def __init__(self, found: Inspection, extradata: bytes | None = None) -> None:
        self.found = found
        self.parsed = found.codec in CODECS.values()
        self.codec = cast("Any", found.codec)  # one of these wherever it is parsed
        self.length_size = 0  # 0: Annex B
        self.extra_bits = 0
        self.last_sps = b""
        if self.parsed and extradata:
            with contextlib.suppress(VencError):
                if extradata[0] == 1:
                    units, self.length_size = parameter_sets(extradata, self.codec)
                    self._parameters(units)
                else:
                    self._parameters(bytes(extradata))

    def _parameters(self, data: bytes) -> None:
        for unit in iter_nal_units(data, self.codec):
            self._parameter_set(unit.name, unit.data)

    def _parameter_set(self, name: str, unit: memoryview) -> None:
        if name == "SPS" and unit_type(unit, self.found.codec) >= 0:
            data = bytes(unit)
            if data == self.last_sps:
                return
            try:
                parameters = parse_sequence_parameters(data, self.found.codec)
            except InvalidArgumentError:
                self.found.damaged += 1
                return
            if self.last_sps:
                self.found.parameter_changes += 1
            self.last_sps = data
            self.found.parameters = self.found.parameters or parameters
        elif name == "PPS" and self.found.codec == "h265":
            self.extra_bits = extra_slice_bits(unit)

    def add(
        self,
        data: bytes,
        pts: Fraction | None,
        dts: Fraction | None,
        duration: Fraction | None,
        key: bool | None,
    ) -> None:
        """Add a picture; `key`: what the container says of it, None without one."""
        found, kind, idr, random_access, recovers = self.found, "", False, False, False
        if self.parsed:
            slices = False
            try:
                annex_b = to_annex_b(data, length_size=self.length_size) if self.length_size else data
                for unit in iter_nal_units(annex_b, self.codec):
                    found.units[unit.name] += 1
                    if is_slice(unit_type(unit.data, self.codec), self.codec):
                        if not slices:
                            slices = True
                            told = slice_header(unit.data, self.codec, self.extra_bits)
                            kind, idr, random_access = told.kind, told.idr, told.random_access
                    else:
                        self._parameter_set(unit.name, unit.data)
                for message in sei_messages(annex_b, self.codec):
                    found.sei[SEI_NAMES.get(message.type, f"type {message.type}")] += 1
                    recovers = recovers or (message.type == 6 and getattr(message.content, "count", 1) == 0)
            except InvalidArgumentError:
                found.damaged += 1
            if not slices:
                return  # parameter sets, the end of the stream, or something that is damaged
        elif key:
            kind = "I"
        found.pictures.append(
            Picture(
                len(data), kind, bool(key) if key is not None else random_access or recovers, idr, pts, dts, duration
            )
        )

    def finish(self) -> None:
        found, parameters = self.found, self.found.parameters
        if not found.pictures:
            raise MediaError("there is no picture in it")
        if parameters is not None:
            found.width, found.height = parameters.width, parameters.height
            if found.frame_rate is None and parameters.vui is not None:
                found.frame_rate = parameters.vui.frame_rate
