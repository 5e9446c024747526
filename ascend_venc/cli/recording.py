# SPDX-License-Identifier: Apache-2.0
"""An encoded film as numbers: when each picture is shown, how large it is, and how long it took."""

from __future__ import annotations

import bisect
import dataclasses
import json
import os
from typing import TYPE_CHECKING, Any

from ..errors import MediaError
from ..media.container import import_av, speaking_of
from ..media.packets import packets_of

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclasses.dataclass
class Recording:
    """One film. All sequences have an item for each picture, in the order of time.

    Attributes
    ----------
    facts : dict of str
        What is told in words: codec, size, and so on.
    times, durations : list of float
        Seconds from the first picture.
    sizes : list of int
        Bytes of the access unit.
    keys : list of bool
        Whether it is a key frame.
    latencies : list of float
        Seconds from the frame's acceptance to its packet; empty where it is not known.
    asked : float or None
        bit/s that the encoder was told.
    """

    facts: dict[str, str]
    times: list[float]
    durations: list[float]
    sizes: list[int]
    keys: list[bool]
    latencies: list[float] = dataclasses.field(default_factory=list)
    asked: float | None = None

    @property
    def duration(self) -> float:
        return max(time + length for time, length in zip(self.times, self.durations))

    @property
    def bit_rate(self) -> float:
        return sum(self.sizes) * 8 / self.duration if self.duration else 0.0

    def windowed_rate(self, window: float) -> tuple[list[float], list[float]]:
        """Return times and the bit/s of the `window` seconds up to each of them, from the first whole window on."""
        ends = [time + length for time, length in zip(self.times, self.durations)]
        before = [0]
        for size in self.sizes:
            before.append(before[-1] + size)
        times, rates = [], []
        for index, end in enumerate(ends):
            if end < window - 1e-9:
                continue
            first = bisect.bisect_left(self.times, end - window - 1e-9)
            times.append(end)
            rates.append((before[index + 1] - before[first]) * 8 / window)
        return times, rates

    def window(self) -> float:
        """Return the seconds that suit the film's length: one, where that is no more than a third of it."""
        return min(1.0, self.duration / 3) or 1.0


def read(path: str) -> Recording:
    """Read a film, or the JSON of `ascend-venc encode --report`.

    Raises MediaError or OSError.
    """
    with open(path, "rb") as file:
        head = file.read(64).lstrip()
    return _read_report(path) if head.startswith(b"{") else _read_film(path)


def _read_report(path: str) -> Recording:
    try:
        with open(path, encoding="utf-8") as file:
            told = json.load(file)
        pictures = told["pictures"]
        columns = [[picture[name] for picture in pictures] for name in ("time", "duration", "bytes", "key", "latency")]
        times, durations, latencies = ([float(value) for value in columns[index]] for index in (0, 1, 4))
        sizes, keys = [int(value) for value in columns[2]], [bool(value) for value in columns[3]]
        asked = float(told["asked_bit_rate"])
        facts = {name: str(told[name]) for name in ("codec", "profile", "size", "fps", "backend", "chip", "interface")}
    except (ValueError, KeyError, TypeError) as error:
        why = "no such entry" if isinstance(error, KeyError) else "it is damaged"
        raise MediaError(f"this is not a report of ascend-venc encode --report ({why}: {error})") from None
    if not pictures:
        raise MediaError("there are no pictures in it")
    return Recording(facts, times, durations, sizes, keys, latencies, asked)


def _read_film(path: str) -> Recording:
    av = import_av()
    packets: list[tuple[float | None, float | None, int, bool]] = []
    with speaking_of("this is not a film that can be read"), av.open("file:" + os.path.abspath(path)) as container:
        stream = next(iter(container.streams.video), None)
        if stream is None or stream.codec_context is None:
            raise MediaError("there is no video in it")
        rate = float(stream.average_rate or getattr(stream, "guessed_rate", None) or 25)
        for packet in packets_of(container, stream):
            if packet.size:
                time = None if packet.pts is None else float(packet.pts * packet.time_base)
                length = float(packet.duration * packet.time_base) if packet.duration else None
                packets.append((time, length, packet.size, bool(packet.is_keyframe)))
        codec: Any = stream.codec_context
        facts = {"codec": codec.name, "profile": str(codec.profile or ""), "size": f"{codec.width}x{codec.height}"}
        facts["fps"] = f"{rate:g}"
    if not packets:
        raise MediaError("there are no pictures in it")
    if any(time is None for time, *_ in packets):  # a bare bitstream
        packets = [(index / rate, 1 / rate, *packet[2:]) for index, packet in enumerate(packets)]
    packets.sort(key=lambda packet: packet[0] or 0.0)
    first = packets[0][0] or 0.0
    times = [(time or 0.0) - first for time, *_ in packets]
    durations = [length or 1 / rate for _, length, *_ in packets]
    return Recording(facts, times, durations, [packet[2] for packet in packets], [packet[3] for packet in packets])


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which that share of all lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
