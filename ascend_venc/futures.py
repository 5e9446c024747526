# SPDX-License-Identifier: Apache-2.0
"""Futures of packets: one thread for all encoders of the process, alive while a Future is pending.

Everything that other threads have for it goes through a queue that the garbage collector may interrupt anywhere; what
it keeps is its own. A Future has its end from this thread, or from `close`, whoever takes it off the channel first.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from concurrent.futures import Future, InvalidStateError
from typing import TYPE_CHECKING, Any

from ._lowlevel.stream import cancel, orphans, settle, show
from ._lowlevel.waitset import WaitSet
from .errors import VencError, from_status, tell_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._lowlevel.channel import Channel
    from ._lowlevel.packet import Packet
    from ._lowlevel.stream import Stream
    from .sei import Message

_TIMEOUT = -3  # AVENC_E_TIMEOUT


class _PacketFuture(Future):  # type: ignore[type-arg]
    """A Future whose exception tells the encoder's name, and to which two threads may give an end at once: `close`, a
    call that is interrupted, and the thread that serves it."""

    encoder_name: str | None = None

    def set_running_or_notify_cancel(self) -> bool:
        with self._condition:
            if self._state in ("PENDING", "CANCELLED"):
                return super().set_running_or_notify_cancel()
            return self.running()  # another thread was first

    def set_exception(self, exception: BaseException | None) -> None:
        if exception is not None:
            tell_name(exception, self.encoder_name)
        super().set_exception(exception)


class _Server:
    """The thread and what it serves: made anew when there is none."""

    def __init__(self) -> None:
        self.waitset = WaitSet()
        self.submitted: queue.SimpleQueue[tuple[Channel, Future[Packet]]] = queue.SimpleQueue()
        self.adopting: tuple[Channel, Future[Packet]] | None = None  # this thread's own, as what follows
        self.pending: dict[Channel, set[Future[Packet]]] = {}  # empty: only packets of Futures with an end are to come
        self.served: dict[Stream, Channel] = {}
        self.keys: dict[Channel, int] = {}
        self.since: dict[Channel, float] = {}
        self.ended = False

    def begin(self, channel: Channel, future: Future[Packet]) -> None:
        """Start the thread, with this to do. What others have given to it meanwhile fails where there can be none."""
        try:
            self.submitted.put((channel, future))
            threading.Thread(target=self.run, name="ascend-venc-futures", daemon=True).start()
        except BaseException as error:
            self.ended = True
            retire(self)
            stop = None
            with contextlib.suppress(queue.Empty):
                while True:
                    given = self.submitted.get_nowait()[1]
                    if given is not future:
                        stop = settle(stop, resolve, given, None, error)
            if stop is not None:
                raise stop from error
            raise

    def run(self) -> None:
        while self.adopting is not None or self.pending or not self.submitted.empty() or not orphans.empty():
            try:
                self.turn()
            except BaseException as error:  # memory may be short: who waits for a Future is to be told all the same
                show(error)
                time.sleep(0.01)
        self.ended = True
        self.pass_on()
        retire(self)

    def turn(self) -> None:
        self.adopt()
        idle = self.submitted.empty() and orphans.empty() and bool(self.pending)
        keys = self.waitset.take(self.patience() if idle else 0)
        try:
            for _ in range(orphans.qsize()):
                settle(None, cancel, orphans.get())
            for channel in [channel for channel, key in self.keys.items() if key in keys]:
                self.serve(channel)
        except BaseException:
            for key in keys:  # to be looked at again
                self.waitset.signal(key)
            raise
        self.give_up_on_stalled()

    def pass_on(self) -> None:
        """What came while the thread ended goes to another one. Each item is moved once, by whoever gets it; one that
        cannot be has the reason."""
        while True:
            try:
                item = self.submitted.get_nowait()
            except queue.Empty:
                return
            try:
                hand_over(*item)
            except Exception as error:
                stop = settle(None, resolve, item[1], None, error)
                if stop is not None:
                    raise stop from error

    def adopt(self) -> None:
        """Those that are there now: whoever submits on and on keeps nobody's packets waiting."""
        for _ in range(max(self.submitted.qsize(), self.adopting is not None)):
            if self.adopting is None:
                self.adopting = self.submitted.get()
            self.adopt_one(*self.adopting)
            self.adopting = None  # and where that raised it is tried again

    def adopt_one(self, channel: Channel, future: Future[Packet]) -> None:
        """Also of a Future that has its end by now: the packet of its frame is to be taken all the same."""
        channel = self.served.get(channel.stream, channel)  # successors share what there is to take
        if channel not in self.pending:
            if future.done() and not channel.stream.promised:
                return
            self.served[channel.stream] = channel
            key = next(key for key in range(1, len(self.keys) + 2) if key not in self.keys.values())
            self.keys[channel] = key
            self.pending[channel] = set()
            try:
                channel.attach(self.waitset, key)
            except BaseException as error:
                self.forget(channel)
                if not isinstance(error, VencError):
                    raise
                settle(None, fail, future, error)
                return
        if not self.pending[channel]:
            self.since[channel] = time.monotonic()
        self.pending[channel].add(future)
        self.waitset.signal(self.keys[channel])

    def serve(self, channel: Channel) -> None:
        """Deliver what is ready now. What a callback submits signals the key again, behind those of other channels."""
        over = channel.closed  # who closes it cancels what is left
        try:
            deliver(channel, channel.stats()["ready"])
            channel.idle  # noqa: B018 - raises what has become of the device
        except VencError as error:
            over = True
            for future in self.pending.get(channel, ()):
                settle(None, fail, future, error)
        if over or channel.closed:
            self.forget(channel)
            return
        waiting = {future for future in self.pending.get(channel, ()) if not future.done()}
        if waiting or channel.stream.promised > 0:  # packets that nobody takes would fill the encoder
            self.pending[channel] = waiting
        else:
            self.forget(channel)

    def forget(self, channel: Channel) -> None:
        for table in (self.pending, self.keys, self.since):
            table.pop(channel, None)
        self.served.pop(channel.stream, None)
        channel.detach(self.waitset)

    def patience(self) -> float | None:
        """Seconds until the first of the encoders may have been stalled for its `timeout`."""
        left = [
            channel.stream.stall - self.stalled(channel)
            for channel, futures in self.pending.items()
            if futures and channel.stream.stall is not None
        ]
        return max(min(left), 0.001) if left else None

    def stalled(self, channel: Channel) -> float:
        """Seconds without a finished frame, with some in flight, since its first pending Future was submitted."""
        return min(channel.stalled, time.monotonic() - self.since[channel])

    def give_up_on_stalled(self) -> None:
        for channel in list(self.pending):
            stall = channel.stream.stall
            if not self.pending[channel] or stall is None or self.stalled(channel) < stall:
                continue
            error = from_status(
                _TIMEOUT, "", f"the device has finished no frame of this encoder for {stall:.3g} s, with some in flight"
            )
            for future in self.pending[channel]:
                settle(None, fail, future, error)
            self.pending[channel] = set()  # their packets are taken when the device goes on


def deliver(channel: Channel, most: int, until: float | None = None) -> None:
    """Settle the Futures whose packets are ready: those of up to `most` packets, until that moment.

    On the main thread a callback's KeyboardInterrupt or SystemExit is raised when all of them have their end.
    """
    stop = None
    taken: list[tuple[Packet | None, Exception | None, Future[Packet] | None]] = []
    try:
        while most > 0 and (until is None or time.monotonic() < until):
            if not channel.take_promised(taken):
                return
            packet, failure, future = taken[0]
            if future is not None:
                stop = settle(stop, resolve, future, packet, failure)
            taken.clear()
            most -= 1
    finally:
        for packet, failure, future in taken:  # Ctrl-C came between
            if future is not None:
                stop = settle(stop, resolve, future, packet, failure)
        if stop is not None:
            raise stop


def resolve(future: Future[Packet], packet: Packet | None, failure: Exception | None) -> None:
    """Give a Future its packet or its failure; one that was cancelled wants neither."""
    if future.running() or future.set_running_or_notify_cancel():  # running: this was interrupted before
        with contextlib.suppress(InvalidStateError):  # the program has just given it one
            if failure is not None:
                future.set_exception(failure)
            else:
                future.set_result(packet)  # type: ignore[arg-type]


def fail(future: Future[Packet], failure: Exception) -> None:
    resolve(future, None, failure)


_FOUND = "found"
_servers: dict[str, _Server] = {}  # the one that Futures are given to; setdefault is one step for all threads


def retire(server: _Server) -> None:
    """Its wait set goes with it. Where another thread has put a new one there just now, that one serves on, unfound."""
    if _servers.get(_FOUND) is server:
        _servers.pop(_FOUND, None)


def hand_over(channel: Channel, future: Future[Packet]) -> None:
    """Have a Future served. Without a lock: the collector may run anywhere, and a finalizer may come here again."""
    server = _servers.get(_FOUND)
    if server is not None and server.ended:
        retire(server)
        server = None
    if server is None:
        made = _Server()
        server = _servers.setdefault(_FOUND, made)  # of threads that come at once, one's
        if server is made:
            server.begin(channel, future)
            return
    server.submitted.put((channel, future))
    server.waitset.signal()
    if server.ended:  # it did not see this any more
        server.pass_on()


def submit(
    channel: Channel,
    frame: Any,
    pts: int | None,
    key_frame: bool,
    token: Any,
    timeout: float | None,
    sei: Iterable[Message] | None = None,
    name: str | None = None,
) -> Future[Packet]:
    """Send a frame whose packet goes to a Future; see `Encoder.encode_future`."""
    future = _PacketFuture()
    future.encoder_name = name
    number = None
    try:
        number = channel.submit(frame, pts, key_frame, token, timeout, future, sei, hand_over)
    finally:
        if number is None:
            settle(None, cancel, future)
            with contextlib.suppress(Exception):
                hand_over(channel, future)  # again, to be looked at: nothing will come
    return future


def _after_fork_in_child() -> None:
    """The thread does not exist here, and the parent's Futures are not ours."""
    _servers.clear()
    while not orphans.empty():
        orphans.get()


os.register_at_fork(after_in_child=_after_fork_in_child)
