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

from ._lowlevel.stream import cancel, orphans
from ._lowlevel.waitset import WaitSet
from .errors import VencError, from_status, tell_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._lowlevel.channel import Channel
    from ._lowlevel.packet import Packet
    from ._lowlevel.stream import Stream
    from .sei import Message

_TIMEOUT = -3  # AVENC_E_TIMEOUT


class _NamedFuture(Future):  # type: ignore[type-arg]
    """A Future whose exception tells the encoder's name."""

    encoder_name: str | None = None

    def set_exception(self, exception: BaseException | None) -> None:
        if exception is not None:
            tell_name(exception, self.encoder_name)
        super().set_exception(exception)


class _Server:
    """The thread and what it serves: made anew when there is none."""

    def __init__(self) -> None:
        self.waitset = WaitSet()
        self.submitted: queue.SimpleQueue[tuple[Channel, Future[Packet]]] = queue.SimpleQueue()
        self.pending: dict[Channel, set[Future[Packet]]] = {}  # this thread's own, as what follows
        self.served: dict[Stream, Channel] = {}
        self.keys: dict[Channel, int] = {}
        self.since: dict[Channel, float] = {}
        self.ended = False

    def begin(self, channel: Channel, future: Future[Packet]) -> None:
        """Start the thread, with this to do. What others have given to it meanwhile fails where there can be none."""
        self.submitted.put((channel, future))
        try:
            threading.Thread(target=self.run, name="ascend-venc-futures", daemon=True).start()
        except BaseException as error:
            self.ended = True
            retire(self)
            with contextlib.suppress(queue.Empty):
                while True:
                    given = self.submitted.get_nowait()[1]
                    if given is not future:
                        settle(resolve, given, None, error)
            raise

    def run(self) -> None:
        while self.pending or not self.submitted.empty() or not orphans.empty():
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
        keys = self.waitset.take(self.patience()) if idle else []
        try:
            while not orphans.empty():
                settle(cancel, orphans.get())
            for channel in [channel for channel, key in self.keys.items() if key in keys]:
                self.serve(channel)
        except BaseException:
            for key in keys:  # to be looked at again
                self.waitset.signal(key)
            raise
        self.give_up_on_stalled()

    def pass_on(self) -> None:
        """What came while the thread ended goes to another one. Each item is moved once, by whoever gets it."""
        while True:
            try:
                item = self.submitted.get_nowait()
            except queue.Empty:
                return
            hand_over(*item)

    def adopt(self) -> None:
        while not self.submitted.empty():
            channel, future = self.submitted.get()
            if future.done():
                continue
            try:
                self.adopt_one(channel, future)
            except BaseException:
                self.submitted.put((channel, future))
                raise

    def adopt_one(self, channel: Channel, future: Future[Packet]) -> None:
        channel = self.served.setdefault(channel.stream, channel)  # successors share what there is to take
        if channel not in self.pending:
            key = next(key for key in range(1, len(self.keys) + 2) if key not in self.keys.values())
            self.keys[channel] = key
            self.since[channel] = time.monotonic()
            self.pending[channel] = set()
            try:
                channel.attach(self.waitset, key)  # listed at once: its packet may be there
            except BaseException as error:
                self.forget(channel)
                if not isinstance(error, VencError):
                    raise
                settle(fail, future, error)
                return
        self.pending[channel].add(future)
        self.serve(channel)

    def serve(self, channel: Channel) -> None:
        try:
            deliver(channel)
            channel.idle  # noqa: B018 - raises what has become of the device
        except VencError as error:
            for future in self.pending.get(channel, ()):
                settle(fail, future, error)
        if channel.closed:
            self.pending[channel] = set()  # who closed it cancels what is left
        waiting = {future for future in self.pending.get(channel, ()) if not future.done()}
        if waiting:
            self.pending[channel] = waiting
        elif channel in self.pending:
            self.forget(channel)

    def forget(self, channel: Channel) -> None:
        for table in (self.pending, self.keys, self.since):
            table.pop(channel, None)
        self.served.pop(channel.stream, None)
        channel.detach(self.waitset)

    def patience(self) -> float | None:
        """Seconds until the first of the encoders may have been stalled for its `timeout`."""
        left = [
            channel.stream.stall - self.stalled(channel) for channel in self.pending if channel.stream.stall is not None
        ]
        return max(min(left), 0.001) if left else None

    def stalled(self, channel: Channel) -> float:
        """Seconds without a finished frame, with some in flight, since its first pending Future was submitted."""
        return min(channel.stalled, time.monotonic() - self.since[channel])

    def give_up_on_stalled(self) -> None:
        for channel in list(self.pending):
            stall = channel.stream.stall
            if stall is None or self.stalled(channel) < stall:
                continue
            error = from_status(
                _TIMEOUT, "", f"the device has finished no frame of this encoder for {stall:.3g} s, with some in flight"
            )
            for future in self.pending[channel]:
                settle(fail, future, error)
            self.forget(channel)


def deliver(channel: Channel) -> None:
    """Settle the Futures whose packets are ready, on the thread that is about to close the channel."""
    while (taken := channel.take_promised()) is not None:
        packet, failure, future = taken
        if future is not None:
            settle(resolve, future, packet, failure)


def resolve(future: Future[Packet], packet: Packet | None, failure: Exception | None) -> None:
    """Give a Future its packet or its failure; one that was cancelled wants neither."""
    if future.set_running_or_notify_cancel():
        if failure is not None:
            future.set_exception(failure)
        else:
            future.set_result(packet)  # type: ignore[arg-type]


def fail(future: Future[Packet], failure: Exception) -> None:
    resolve(future, None, failure)


def settle(end: Any, future: Future[Packet], *args: Any) -> None:
    """Give a Future its end. Whatever its callbacks raise stops nothing, and is shown as a thread's exception is."""
    if future.done() and not future.cancelled():
        return  # the program has given it one
    try:
        end(future, *args)
    except InvalidStateError:
        pass  # just now
    except BaseException as error:  # SystemExit and the like, which concurrent.futures lets through
        show(error)


def show(error: BaseException) -> None:
    """As a thread's exception is shown."""
    threading.excepthook(
        threading.ExceptHookArgs((type(error), error, error.__traceback__, threading.current_thread()))
    )


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
    future = _NamedFuture()
    future.encoder_name = name
    if channel.submit(frame, pts, key_frame, token, timeout, future, sei) is None:
        settle(cancel, future)
    else:
        hand_over(channel, future)
    return future


def _after_fork_in_child() -> None:
    """The thread does not exist here, and the parent's Futures are not ours."""
    _servers.clear()
    while not orphans.empty():
        orphans.get()


os.register_at_fork(after_in_child=_after_fork_in_child)
