# SPDX-License-Identifier: Apache-2.0
"""Numbers that a program can read: counters of one encoder, and all encoders of the process for Prometheus."""

from __future__ import annotations

import dataclasses
import itertools
import weakref
from typing import TYPE_CHECKING, Any, Protocol

from ._lowlevel.channel import bucket_seconds
from .arguments import float_of, shown
from .errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .config import EncoderConfig

DROPPED = ("no_room", "frame_replaced", "packet_replaced")
_BOUNDS: Sequence[float] = bucket_seconds()


@dataclasses.dataclass(frozen=True)
class Histogram:
    """Times in buckets, four for each doubling: quantiles are exact to 25 %.

    Attributes
    ----------
    counts : tuple of int
        One for each bucket of `bounds`.
    max : float
        Seconds, exact.
    """

    counts: tuple[int, ...]
    max: float

    @property
    def bounds(self) -> Sequence[float]:
        """Upper bounds of the buckets in seconds."""
        return _BOUNDS

    @property
    def count(self) -> int:
        return sum(self.counts)

    def quantile(self, q: float) -> float:
        """Return the time in seconds below which a share `q` (0 to 1) lies: a bucket's upper bound, 0.0 if empty."""
        share = float_of("q", q, "a number of 0 to 1")
        if not 0 <= share <= 1:
            raise InvalidArgumentError(f"q is {shown(q)}, allowed is 0 to 1")
        rank = share * self.count
        seen = 0
        for count, bound in zip(self.counts, _BOUNDS):
            seen += count
            if count and seen >= rank:
                return min(bound, self.max)
        return 0.0

    @property
    def p50(self) -> float:
        return self.quantile(0.50)

    @property
    def p99(self) -> float:
        return self.quantile(0.99)


@dataclasses.dataclass(frozen=True)
class EncoderStats:
    """Counters of one encoder since it was made. Times in seconds.

    Attributes
    ----------
    name : str
        The encoder's, "" if it has none.
    submitted : int
        Frames accepted. One that the device refuses as it is sent counts for that moment, and is taken off again.
    encoded : int
        Frames whose access unit the device delivered.
    failed : int
        Frames that the device did not encode.
    dropped : dict from str to int
        Frames and packets dropped by `on_full`, by reason: "no_room" (frames that were not accepted), "frame_replaced"
        (accepted frames that made room for newer ones), "packet_replaced" (packets that nobody received in time).
    key_frames, bytes_out : int
        IDRs among the packets, bytes of all access units.
    in_flight, queued, ready, held : int
        At this moment: frames accepted and not finished, those of them that wait for the device, packets that wait to
        be received, frames that the program holds.
    host_copies_in, device_copies_in, bytes_copied_in, copies_out : int
        Copies of pixels by the CPU, copies of pixels to or in device memory, bytes of both, copies of access units.
    written : int
        Access units written to the sink.
    undescribed : int
        Parameter sets whose syntax is not known: they went out as the device wrote them (`Encoder(vui=)`).
    refused_sends, failed_ends : int
        Frames that the device refused when they were sent; channels of this encoder whose end it answered with a code.
    picture_buffers, packet_buffers : int
        Native buffers allocated so far. In steady state they do not grow.
    latency : Histogram
        From the acceptance of a frame to the callback with its access unit.
    hold : Histogram
        How long callbacks kept the device waiting.
    device_idle : float
        Time, since the first frame, in which the device had no frame of this encoder.
    blocked : float
        Time that threads waited in `submit` for room.
    sending : float
        Time in the runtime's call that hands a frame to the device.
    """

    submitted: int
    encoded: int
    failed: int
    dropped: dict[str, int]
    key_frames: int
    bytes_out: int
    in_flight: int
    queued: int
    ready: int
    held: int
    host_copies_in: int
    device_copies_in: int
    bytes_copied_in: int
    copies_out: int
    written: int
    undescribed: int
    refused_sends: int
    failed_ends: int
    picture_buffers: int
    packet_buffers: int
    latency: Histogram
    hold: Histogram
    device_idle: float
    blocked: float
    sending: float
    name: str = ""

    @classmethod
    def of(cls, counters: dict[str, Any], name: str = "") -> EncoderStats:
        """Build it from `Channel.stats()`."""
        return cls(
            name=name,
            submitted=counters["submitted"],
            encoded=counters["completed"] - counters["failed"],
            failed=counters["failed"],
            dropped={
                "no_room": counters["refused"],
                "frame_replaced": counters["dropped_frames"],
                "packet_replaced": counters["dropped_packets"],
            },
            key_frames=counters["key_frames"],
            bytes_out=counters["bytes_out"],
            in_flight=counters["in_flight"],
            queued=counters["queued"],
            ready=counters["ready"],
            held=counters["held"],
            host_copies_in=counters["host_copies_in"],
            device_copies_in=counters["device_copies_in"],
            bytes_copied_in=counters["bytes_copied_in"],
            copies_out=counters["copies_out"],
            written=counters["written"],
            undescribed=counters["undescribed"],
            refused_sends=counters["refused_sends"],
            failed_ends=counters["failed_destroys"],
            picture_buffers=counters["slots"],
            packet_buffers=counters["pool_buffers"],
            latency=Histogram(tuple(counters["latency"]), counters["max_latency_ns"] * 1e-9),
            hold=Histogram(tuple(counters["hold"]), counters["max_hold_ns"] * 1e-9),
            device_idle=counters["idle_ns"] * 1e-9,
            blocked=counters["full_ns"] * 1e-9,
            sending=counters["send_ns"] * 1e-9,
        )


@dataclasses.dataclass(frozen=True)
class GroupStats:
    """Counters of several encoders.

    Attributes
    ----------
    encoders : tuple of EncoderStats
        Of each, in the order in which they were opened.
    total : EncoderStats
        Their sum; `max` of its histograms is the greatest, its `name` is "".
    """

    encoders: tuple[EncoderStats, ...]
    total: EncoderStats

    @classmethod
    def of(cls, encoders: Iterable[EncoderStats]) -> GroupStats:
        found = tuple(encoders)
        sums: dict[str, Any] = {}
        for field in dataclasses.fields(EncoderStats):
            values = [getattr(stats, field.name) for stats in found]
            if field.name == "name":
                sums["name"] = ""
            elif field.name == "dropped":
                reasons = [reason for dropped in values for reason in dropped]
                sums["dropped"] = {r: sum(dropped[r] for dropped in values) for r in (reasons or DROPPED)}
            elif field.name in ("latency", "hold"):
                counts = zip(*(histogram.counts for histogram in values))
                total = tuple(map(sum, counts)) if values else (0,) * len(_BOUNDS)
                sums[field.name] = Histogram(total, max((histogram.max for histogram in values), default=0.0))
            else:
                sums[field.name] = sum(values)
        return cls(found, EncoderStats(**sums))


class Counted(Protocol):
    """What `prometheus` asks an encoder."""

    @property
    def name(self) -> str | None: ...
    @property
    def closed(self) -> bool: ...
    @property
    def config(self) -> EncoderConfig: ...
    @property
    def backend(self) -> str: ...
    @property
    def stats(self) -> EncoderStats: ...


# Without a lock: a signal's handler may open an encoder wherever this is asked, and so may a forked child, where those
# of its parent count as closed.
_encoders: weakref.WeakKeyDictionary[Counted, int] = weakref.WeakKeyDictionary()
_numbers = itertools.count()


def register(encoder: Counted) -> None:
    """Number an encoder, so that `prometheus` finds it as long as it lives."""
    _encoders[encoder] = next(_numbers)


COUNTERS = (
    ("frames_submitted_total", "submitted", "Frames accepted."),
    ("frames_encoded_total", "encoded", "Frames whose access unit the device delivered."),
    ("frames_failed_total", "failed", "Frames that the device did not encode."),
    ("key_frames_total", "key_frames", "IDR access units."),
    ("bytes_total", "bytes_out", "Bytes of all access units."),
    ("host_copies_total", "host_copies_in", "Copies of pictures made by the CPU."),
    ("device_copies_total", "device_copies_in", "Copies of pictures to or in device memory."),
    ("copied_bytes_total", "bytes_copied_in", "Bytes of picture copies."),
    ("device_idle_seconds_total", "device_idle", "Time in which the device had no frame of this encoder."),
    ("blocked_seconds_total", "blocked", "Time that threads waited in submit for room."),
)
GAUGES = (
    ("frames_in_flight", "in_flight", "Frames accepted and not finished."),
    ("frames_queued", "queued", "Frames that wait for the device."),
    ("packets_ready", "ready", "Packets that wait to be received."),
)
DROPPED_FAMILY = ("dropped_total", "counter", "Frames and packets dropped by on_full.")
HISTOGRAMS = (
    ("latency_seconds", "latency", "From the acceptance of a frame to its access unit."),
    ("callback_hold_seconds", "hold", "How long callbacks kept the device waiting."),
)


def labels_and_stats() -> Iterator[tuple[dict[str, str], EncoderStats]]:
    """Yield what tells each open encoder of the process from the others, and its counters, in the order of opening."""
    for encoder, number in numbered():
        config = encoder.config
        labels = {
            "encoder": str(number),
            "name": encoder.name or "",
            "backend": encoder.backend,
            "codec": config.codec,
            "size": f"{config.width}x{config.height}",
        }
        yield labels, encoder.stats


def numbered() -> list[tuple[Counted, int]]:
    """Return the open encoders of the process with their numbers, in the order of opening."""
    living = [encoder for encoder in (reference() for reference in _encoders.keyrefs()) if encoder is not None]
    return sorted(((encoder, _encoders[encoder]) for encoder in living if not encoder.closed), key=lambda item: item[1])


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def prometheus() -> str:
    """Return the counters of all open encoders of the process in Prometheus' text format (version 0.0.4).

    Each sample has the labels `encoder` (a number in the order of opening), `name` (empty if it has none), `backend`,
    `codec` and `size`. Cheap enough to be called for every scrape; callable from any thread. Programs that use
    prometheus_client register `ascend_venc.prometheus.Collector` instead.
    """
    rows = [
        (",".join(f'{name}="{_escape(text)}"' for name, text in labels.items()), stats)
        for labels, stats in labels_and_stats()
    ]
    lines: list[str] = []

    def family(name: str, kind: str, text: str) -> str:
        full = f"ascend_venc_{name}"
        lines.append(f"# HELP {full} {text}")
        lines.append(f"# TYPE {full} {kind}")
        return full

    for kind, table in (("counter", COUNTERS), ("gauge", GAUGES)):
        for name, attribute, text in table:
            full = family(name, kind, text)
            lines.extend(f"{full}{{{labels}}} {getattr(stats, attribute)}" for labels, stats in rows)
    full = family(*DROPPED_FAMILY)
    for labels, stats in rows:
        lines.extend(f'{full}{{{labels},reason="{reason}"}} {count}' for reason, count in stats.dropped.items())
    for name, attribute, text in HISTOGRAMS:
        full = family(name, "histogram", text)
        for labels, stats in rows:
            lines.extend(_histogram_lines(full, labels, getattr(stats, attribute)))
    return "\n".join(lines) + "\n"


def _histogram_lines(name: str, labels: str, histogram: Histogram) -> list[str]:
    buckets, total_time = cumulative(histogram)
    lines = [f'{name}_bucket{{{labels},le="{bound}"}} {total}' for bound, total in buckets]
    lines.append(f"{name}_sum{{{labels}}} {total_time}")
    lines.append(f"{name}_count{{{labels}}} {histogram.count}")
    return lines


def cumulative(histogram: Histogram) -> tuple[list[tuple[str, int]], float]:
    """Return Prometheus' buckets (upper bound, number of times below it) and the sum of all times in seconds.

    One bucket for each doubling: the finer ones would only make the text longer. The sum is not counted: the middle of
    each bucket stands for its times.
    """
    buckets = []
    total = 0
    for index, (count, bound) in enumerate(zip(histogram.counts, histogram.bounds)):
        total += count
        if index % 4 == 3 and bound < 100:
            buckets.append((f"{bound:g}", total))
    bounds = [0.0, *histogram.bounds]
    total_time = sum(n * (low + high) / 2 for n, low, high in zip(histogram.counts, bounds, bounds[1:]))
    return [*buckets, ("+Inf", histogram.count)], total_time
