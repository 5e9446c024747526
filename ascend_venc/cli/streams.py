# SPDX-License-Identifier: Apache-2.0
"""Streams held: how many streams of 30 frames per second a machine and its device keep up with."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import EncoderDrained, VencError
from ..group import EncoderGroup

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..encoder import Encoder

RATE = 30  # frames per second of each stream
LIMIT_MS = 40.0  # 99th percentile, from the time at which a frame is due to its packet
WARM_UP = 12  # frames of each stream
DEPTH = 4
_WARM_UP_PTS = -1


class Paced(NamedTuple):
    """What came of frames that were sent at a rate; without the warm-up. Times in seconds; latencies are from when a
    frame was due, so that a sending thread that falls behind shows in them."""

    frames: int
    bytes: int
    lost: int
    took: float
    cpu: float
    latencies: list[float]


class Held(NamedTuple):
    """The most streams that were kept, what they cost, and what ended the search."""

    streams: int
    cpu_per_stream: float
    p99_ms: float
    ended_by: str


def send_paced(
    prepare: Callable[[int, float | None], Callable[[], Any]],
    streams: int,
    *,
    rate: int = RATE,
    warm_up: int = WARM_UP,
    frames: int = RATE,
    together: int = 1,
    measuring: Callable[[], None] | None = None,
) -> tuple[int, float]:
    """Send a frame of each stream in turn, evenly spread over time; or, where `together` of them are in step, of these
    at once: (how many frames were lost; seconds), after the warm-up.

    `prepare(stream, due)` returns the call that sends, which is made when the frame is due: what need not run after the
    thread has slept, with cold caches, runs before. What the call returns is None for a frame that was lost, or, of
    streams in step, a list with as many of these, or None: all are lost. due: by time.monotonic(); None: warm-up."""
    lost, first, interval = 0, warm_up * streams, 1 / (rate * streams)
    measured = begin = time.monotonic()
    for number in range(0, first + frames * streams, together):
        if number == first:
            measured = time.monotonic()
            if measuring is not None:
                measuring()
        due = begin + number * interval
        send = prepare(number % streams, due if number >= first else None)
        wait = due - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        sent = send()
        if (sent is None or together > 1) and number >= first:
            lost += together if sent is None else sent.count(None)
    return lost, time.monotonic() - measured


def pace(
    group: EncoderGroup,
    encoders: Sequence[Encoder],
    pictures: Sequence[Any],
    *,
    call: str = "submit",
    together: int = 1,
    **how: Any,
) -> Paced:
    """Send from this thread and receive in another, up to the end of all streams; the group is drained then. Frames of
    streams that are in step (`together`) are sent by the group's submit_many.

    Encoders drop a frame for which there is no room (on_full="drop_newest"): it is lost. `how` as for `send_paced`.
    """
    came: list[tuple[float, list[tuple[int, int]]]] = []  # when, and of each packet its time stamp and size
    failures: list[BaseException] = []
    calls = [getattr(encoder, call) for encoder in encoders]
    cpu = 0.0

    def receive() -> None:
        try:
            while True:
                packets = group.receive_many(1024)
                came.append((time.monotonic(), [(packet.pts, packet.size) for _, packet in packets]))
        except EncoderDrained:
            pass
        except BaseException as error:  # the sending thread raises it
            failures.append(error)

    several = [(encoder, pictures[number % len(pictures)]) for number, encoder in enumerate(encoders)]

    def prepare(stream: int, due: float | None) -> Callable[[], Any]:
        """A frame's time stamp tells when it was due, in nanoseconds."""
        if failures:
            return lambda: None  # to the end of the time: what is under way is received
        pts = _WARM_UP_PTS if due is None else int(due * 1e9)
        if together == 1:
            return functools.partial(calls[stream], pictures[stream % len(pictures)], pts=pts)
        return functools.partial(group.submit_many, several[stream : stream + together], pts=[pts] * together)

    def measuring() -> None:
        nonlocal cpu
        cpu = time.process_time()

    receiver = threading.Thread(target=receive, name="streams-receive")
    receiver.start()
    try:
        lost, took = send_paced(prepare, len(encoders), together=together, measuring=measuring, **how)
        group.drain()
        receiver.join()
    except BaseException:  # also Ctrl-C while it waits for the other thread
        group.close()  # which ends that
        receiver.join()
        raise
    if failures:
        raise failures[0]
    cpu = time.process_time() - cpu
    latencies = [now - pts * 1e-9 for now, packets in came for pts, _ in packets if pts != _WARM_UP_PTS]
    size = sum(size for _, packets in came for pts, size in packets if pts != _WARM_UP_PTS)
    return Paced(len(latencies), size, lost, took, cpu, latencies)


def verdict(paced: Paced, streams: int, frames: int, limit_ms: float = LIMIT_MS) -> str | None:
    """Why these streams were not kept, or None: they were."""
    if paced.frames + paced.lost != frames * streams:
        raise VencError(f"{paced.frames} packets and {paced.lost} lost frames of {frames * streams}")
    if paced.lost:
        return f"{paced.lost} of {frames * streams} frames were lost"
    late = p99_ms(paced)
    if late <= limit_ms:
        return None
    behind = f"; {frames / paced.took:.1f} frames per second were sent" if paced.took * RATE > 1.02 * frames else ""
    return f"99 % of the packets came within {late:.0f} ms, not {limit_ms:g}{behind}"


def p99_ms(paced: Paced) -> float:
    ordered = sorted(paced.latencies)
    return ordered[len(ordered) * 99 // 100] * 1e3


def most(attempt: Callable[[int], tuple[Paced | None, str | None]], first: int = 8, limit: int = 1024) -> Held:
    """Search for the largest number of streams for which `attempt` gives no reason against it, to within a 32nd.

    A number that fails is tried once more: one pause of the machine ends no search.
    """
    kept: tuple[int, Paced | None] = (0, None)
    fails, reason = limit + 1, f"{limit} streams were kept; more are not tried"
    number = min(first, limit)
    while number > kept[0]:
        paced, why = attempt(number)
        if why is not None and paced is not None:
            paced, why = attempt(number)
        if why is None:
            kept = number, paced
        else:
            fails, reason = number, f"{number} streams: {why}"
        if fails > limit:
            number = min(2 * number, limit)
        else:
            number = (kept[0] + fails) // 2 if fails - kept[0] > max(1, kept[0] // 32) else kept[0]
    if kept[1] is None:
        return Held(0, 0.0, 0.0, reason)
    return Held(kept[0], kept[1].cpu / kept[1].took / kept[0], p99_ms(kept[1]), reason)


def hold(
    width: int,
    height: int,
    pictures: Sequence[Any],
    *,
    call: str = "submit",
    seconds: float = 2.0,
    limit_ms: float = LIMIT_MS,
    limit: int = 1024,
    backend: str | None = None,
    **options: Any,
) -> Held:
    """The most streams of one size: one thread submits the frames of all of them, one receives all packets. call:
    "submit", which copies a picture once, on that thread; or "submit_async", for sends that take long.

    Raises what the encoder raises, but for a stream that is refused when others are open: that ends the search.
    """
    frames = max(round(seconds * RATE), 1)

    def attempt(streams: int) -> tuple[Paced | None, str | None]:
        with EncoderGroup(backend=backend) as group:
            encoders: list[Encoder] = []
            try:
                for _ in range(streams):
                    encoders.append(group.add(width, height, depth=DEPTH, on_full="drop_newest", **options))
            except VencError as error:
                if not encoders:
                    raise
                return None, f"number {len(encoders) + 1} was refused: {error}"
            with contextlib.ExitStack() as stack:
                for encoder in encoders:
                    stack.callback(encoder.close)
                paced = pace(group, encoders, pictures, call=call, frames=frames)
            return paced, verdict(paced, streams, frames, limit_ms)

    return most(attempt, limit=limit)
