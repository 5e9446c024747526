# SPDX-License-Identifier: Apache-2.0
"""The asyncio face of `Encoder`: nothing here blocks the loop, and no thread is needed per encoder.

A wait set of the engine makes an eventfd readable when a packet or room for a frame is there; the loop watches it.
It is armed only while a coroutine waits, so that a busy loop pays nothing for it. The waiting coroutine runs in the
very callback that the loop makes for the eventfd: see `_Waiter`.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from . import call_site
from . import encoder as _encoder
from ._lowlevel.waitset import WaitSet
from .arguments import check_range
from .errors import EncoderDrained, VencError, from_status, tell_name
from .sei import Message, listed
from .single_owner import SingleOwner

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Generator, Iterable
    from contextvars import Context
    from types import TracebackType

    from typing_extensions import Unpack

    from ._lowlevel.channel import Channel
    from ._lowlevel.packet import Packet
    from .call_site import CallSite
    from .config import EncoderConfig
    from .literals import Interface
    from .media.writer_settings import ChangedSettings, EncoderKeywords
    from .stats import EncoderStats

_T = TypeVar("_T")
_TIMEOUT = -3  # AVENC_E_TIMEOUT
_CLOSED = -4  # AVENC_E_CLOSED


class _Bounds(NamedTuple):
    """When a call began to wait, and when it gives up, by time.monotonic()."""

    since: float
    timeout: float | None
    missing: str  # what it waits for, as errors say it


class Encoder(SingleOwner):
    """`ascend_venc.Encoder` for asyncio; takes the same arguments. Use it with `async with`, on one event loop.

    Frames are copied when they are submitted, and sent by a native thread: those of up to 4 MiB at once, larger ones
    and those that are converted by a thread of the loop's default executor, for which the coroutine waits. Cancelling a
    coroutine at any point loses nothing: a frame is submitted or it is not, and a packet that was not returned stays to
    be received. The thread that reads a frame goes on when its coroutine is cancelled, and submits the frame where
    there is room: the frame's memory is read until it has been copied or converted, and `stats.submitted` counts it. A
    device that finishes no frame for `timeout` seconds ends every wait with AclTimeoutError.

    Examples
    --------
    >>> import asyncio, ascend_venc.aio
    >>> async def encode(frames):
    ...     async with ascend_venc.aio.Encoder(128, 128, codec="h264", backend="sim") as enc:
    ...         for frame in frames:
    ...             await enc.submit(frame)
    ...         enc.drain()
    ...         return [packet.kind async for packet in enc]
    >>> asyncio.run(encode([bytes(128 * 128 * 3 // 2)] * 2))
    ['IDR', 'P']
    """

    _of_one_owner = "channel"

    def __init__(self, width: int, height: int, **options: Unpack[EncoderKeywords]) -> None:
        self._arguments = (width, height)
        self._options = options
        name = options.get("name")
        self._name = str.__str__(name) if isinstance(name, str) else None  # as `check_name` returns it, if it is one
        self._inner: _encoder.Encoder | None = None
        self._waitset: WaitSet | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiters: set[_Waiter] = set()
        self._seen = 0  # how often there was progress

    # ---- opening and closing -------------------------------------------------------------------------------------

    async def __aenter__(self) -> Encoder:
        if self._inner is not None:
            error = from_status(_CLOSED, "", "an aio.Encoder is opened once: make another one")
            tell_name(error, self._name)
            raise error
        opening = _on_a_thread(lambda: _encoder.Encoder(*self._arguments, **self._options), _close_quietly)
        try:
            self._inner = await opening
        except asyncio.CancelledError:
            if not opening.cancelled() and opening.exception() is None:  # it came just now
                _on_a_thread(lambda: _close_quietly(opening.result()))
            raise
        try:
            self._waitset = WaitSet()
            self._channel().attach(self._waitset)
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._waitset.fileno(), self._on_progress)
        except BaseException:
            self._inner._close(warn=False)
            raise
        return self

    async def __aexit__(self, kind: type | None, value: BaseException | None, traceback: TracebackType | None) -> None:
        await self._close(kind is None, call_site.nearest())

    def close(self) -> Coroutine[Any, Any, None]:
        """Wait for the frames in flight and end the hardware channel, without blocking the loop. Idempotent.

        Packets that were not received are dropped, with a DroppedPacketsWarning. Cancelling does not stop it.
        """
        return self._close(True, call_site.nearest())  # now: nothing of the program calls the coroutine of a task

    async def _close(self, warn: bool, site: CallSite | None = None) -> None:
        inner = self._open()
        if self._waitset is not None and self._loop is not None:
            if inner._process == os.getpid():  # a forked child would stop its parent's loop from watching
                self._loop.remove_reader(self._waitset.fileno())
            channel = inner._channel
            if channel is not None:
                channel.detach(self._waitset)
            self._waitset = None
            self._on_progress()
        await asyncio.shield(_on_a_thread(lambda: inner._close(warn), site=site))

    def _open(self) -> _encoder.Encoder:
        if self._inner is None:
            error = from_status(_CLOSED, "", "the encoder is not open: use `async with aio.Encoder(...) as enc`")
            tell_name(error, self._name)
            raise error
        return self._inner

    def _channel(self) -> Channel:
        return self._open()._open_channel()

    # ---- waiting -------------------------------------------------------------------------------------------------

    def _on_progress(self) -> None:
        self._seen += 1
        waiting = list(self._waiters)
        try:
            if self._waitset is not None:
                self._waitset.take(0)
            while waiting:
                waiting[-1].wake()  # and again below, which does nothing, where a signal's handler raises behind it
                waiting.pop()
        finally:  # KeyboardInterrupt or SystemExit out of a coroutine, or a handler's exception
            for waiter in waiting:
                waiter.wake_soon()

    def _arm(self) -> int:
        """Before a look at the encoder; returns `_seen`."""
        if self._waitset is None:
            self._open()
            raise from_status(_CLOSED, "", "the encoder is closed")
        self._waitset.arm()
        return self._seen

    async def _progress(self, bounds: _Bounds, seen: int | None = None) -> None:
        """Wait for progress since `_arm`; AclTimeoutError at the call's deadline, or on a device that stalls.

        `seen`: `_seen` at that time, where the loop has run since: it may have told nobody.
        """
        assert self._loop is not None
        now = time.monotonic()
        channel = self._channel()
        stall = channel.stream.stall
        ends = [] if bounds.timeout is None else [bounds.since + bounds.timeout]
        if ends and ends[0] <= now:
            counters = channel.stats()
            raise from_status(
                _TIMEOUT,
                "",
                f"{bounds.missing} within {bounds.timeout:.3g} s: {counters['in_flight']} frame(s) are in flight, "
                f"{counters['queued']} of them queued, and {counters['ready']} packet(s) wait to be received",
            )
        if stall is not None:
            ends.append(max(bounds.since, now - channel.stalled) + stall)
            if ends[-1] <= now and channel.stalled:
                raise from_status(
                    _TIMEOUT, "", f"the device has finished no frame for {stall:.3g} s, with some in flight"
                )
        if seen is not None and seen != self._seen:
            return
        waiter = _Waiter(self._loop)
        self._waiters.add(waiter)
        timer = self._loop.call_later(max(min(ends) - now, 0.001), waiter.wake_soon) if ends else None
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)
            if timer is not None:
                timer.cancel()

    def _bounds(self, timeout: float | None, missing: str = "no packet came") -> _Bounds:
        return _Bounds(time.monotonic(), timeout, missing)

    # ---- frames and packets --------------------------------------------------------------------------------------

    async def submit(
        self,
        frame: Any,
        *,
        pts: int | None = None,
        key_frame: bool = False,
        token: Any = None,
        sei: Iterable[Message] | None = None,
        timeout: float | None = None,
    ) -> int | None:
        """Submit one frame in host memory; wait for room. See `ascend_venc.Encoder.submit_async`."""
        try:
            bounds = self._bounds(self._open()._wait_for(timeout), "no room for another frame")
            sei = None if sei is None else listed(sei)  # it may be offered more than once
            while True:
                seen = self._arm()
                index = await self._offer(frame, pts, key_frame, token, sei)
                if index is not False:
                    return index
                await self._progress(bounds, seen)
        except VencError as error:
            tell_name(error, self._name)
            raise

    async def _offer(self, *frame: Any) -> int | None:
        """Submit a frame and what goes with it where there is room; False where there is none."""
        channel = self._channel()
        if channel.short_copy:
            return channel.offer(*frame)
        # The loop goes on meanwhile; a frame that is on its way is submitted, also if this is cancelled.
        return await asyncio.shield(asyncio.to_thread(channel.offer, *frame))

    async def receive_many(self, max: int = 64, timeout: float | None = None) -> list[Packet]:
        """Wait for a packet and return those that are ready. EncoderDrained after `drain()`. See `Encoder.receive`.

        `timeout` None waits as long as packets may come.
        """
        check_range(max, "max", 1, 1 << 30)
        try:
            bounds = self._bounds(None if timeout is None else self._open()._wait_for(timeout))
            while True:
                self._arm()
                packets = self._channel().try_receive(max)
                if packets:
                    return packets
                await self._progress(bounds)
        except VencError as error:
            tell_name(error, self._name)
            raise

    async def receive(self, timeout: float | None = None) -> Packet:
        """Wait for the next packet."""
        return (await self.receive_many(1, timeout))[0]

    def __aiter__(self) -> AsyncIterator[Packet]:
        return self

    async def __anext__(self) -> Packet:
        try:
            return await self.receive()
        except EncoderDrained:
            raise StopAsyncIteration from None

    async def encode(
        self,
        frame: Any,
        *,
        pts: int | None = None,
        key_frame: bool = False,
        token: Any = None,
        sei: Iterable[Message] | None = None,
    ) -> list[Packet]:
        """Submit one frame and return the packets that are ready, which are taken before it waits for room.

        A FrameError is about an earlier frame: this one was submitted, and packets are kept for the next call."""
        channel: Channel | None = None
        packets: list[Packet] = []
        try:
            channel = self._channel()
            bounds = self._bounds(self._open()._wait_for(None), "no room for another frame")
            sei = None if sei is None else listed(sei)
            while True:
                seen = self._arm()
                index = await self._offer(frame, pts, key_frame, token, sei)
                if index is not False:
                    return channel.all_of(packets)
                channel.take_into(packets)
                await self._progress(bounds, seen)
        except BaseException as error:
            if channel is not None:
                channel.put_back(packets)
            tell_name(error, self._name)
            raise

    async def encode_iter(self, frames: Iterable[Any] | AsyncIterable[Any]) -> AsyncIterator[Packet]:
        """Encode all frames of an iterable or an asynchronous one, and yield every packet."""
        inner = self._open()
        packets: list[Packet] = []
        try:
            async for frame in _each(frames):
                packets = await self.encode(frame)
                packets.reverse()
                while packets:
                    yield _encoder.take_last(packets)
            packets = await self.flush()
            packets.reverse()
            while packets:
                yield _encoder.take_last(packets)
        finally:
            inner._put_back(packets)

    async def flush(self) -> list[Packet]:
        """Wait until every frame submitted is encoded, and return the rest of the packets."""
        try:
            channel = self._channel()
            bounds = self._bounds(None)
            while True:
                self._arm()
                if channel.idle:
                    return channel.drain()
                await self._progress(bounds)
        except VencError as error:
            tell_name(error, self._name)
            raise

    def drain(self) -> None:
        """Declare the end of the stream: `async for` ends after the remaining packets. Does not wait."""
        self._open().drain()

    def reconfigure(self, **settings: Unpack[ChangedSettings]) -> Coroutine[Any, Any, int]:
        """Change settings; see `ascend_venc.Encoder.reconfigure`. Not undone by cancelling."""
        return self._reconfigure(call_site.nearest(), settings)

    async def _reconfigure(self, site: CallSite, settings: ChangedSettings) -> int:
        return await asyncio.shield(_on_a_thread(lambda: self._open().reconfigure(**settings), site=site))

    # ---- looking -------------------------------------------------------------------------------------------------

    @property
    def stats(self) -> EncoderStats:
        return self._open().stats

    @property
    def config(self) -> EncoderConfig:
        return self._open().config

    @property
    def backend(self) -> str:
        return self._open().backend

    @property
    def interface(self) -> Interface:
        return self._open().interface

    @property
    def closed(self) -> bool:
        return self._inner is None or self._inner.closed

    def __repr__(self) -> str:
        return f"<aio {self._inner!r}>" if self._inner is not None else "<aio Encoder not open>"


async def _each(frames: Iterable[Any] | AsyncIterable[Any]) -> AsyncIterator[Any]:
    if hasattr(frames, "__aiter__"):
        async for frame in frames:
            yield frame
    else:
        for frame in frames:
            yield frame


class _Waiter:
    """What a waiting coroutine awaits: a future of asyncio's protocol whose `wake` runs the coroutine at once.

    asyncio.Future would run it one round of the loop later, and each round gives up the GIL to look at the loop's file
    descriptors, and has to win it back: 5 ms later, or more, where other threads compute.
    """

    __slots__ = ("_asyncio_future_blocking", "_callbacks", "_cancelled", "_done", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._callbacks: list[tuple[Callable[[_Waiter], Any], Context | None]] = []
        self._done = False
        self._cancelled: tuple[Any, ...] | None = None  # arguments of the CancelledError
        self._asyncio_future_blocking = False

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def done(self) -> bool:
        return self._done

    def cancelled(self) -> bool:
        return self._cancelled is not None

    def result(self) -> None:
        if self._cancelled is not None:
            raise asyncio.CancelledError(*self._cancelled)

    def __await__(self) -> Generator[_Waiter, None, None]:
        if not self._done:
            self._asyncio_future_blocking = True
            yield self
        self.result()

    def add_done_callback(self, callback: Callable[[_Waiter], Any], *, context: Context | None = None) -> None:
        self._callbacks.append((callback, context))
        if self._done:
            self._call_soon()

    def remove_done_callback(self, callback: Callable[[_Waiter], Any]) -> int:
        before = len(self._callbacks)
        self._callbacks = [pair for pair in self._callbacks if pair[0] != callback]
        return before - len(self._callbacks)

    def cancel(self, msg: Any = None) -> bool:
        if self._done:
            return False
        self._cancelled = () if msg is None else (msg,)
        self.wake_soon()
        return True

    def wake_soon(self) -> None:
        """Run the coroutine in the loop's next round."""
        self._done = True
        self._call_soon()

    def _call_soon(self) -> None:
        callbacks, self._callbacks = self._callbacks, []
        for callback, context in callbacks:
            self._loop.call_soon(callback, self, context=context)

    def wake(self) -> None:
        """Run the coroutine now, unless another one is running: then soon."""
        if self._done:
            return
        if asyncio.current_task(self._loop) is not None:
            self.wake_soon()
            return
        self._done = True
        callbacks, self._callbacks = self._callbacks, []
        for callback, context in callbacks:
            if context is None:
                callback(self)
            else:
                context.run(callback, self)


def _on_a_thread(
    call: Callable[[], _T], undo: Callable[[_T], Any] | None = None, site: CallSite | None = None
) -> asyncio.Future[_T]:
    """Run what waits for the device on a thread of its own; `undo` gets a result that nobody waits for any more.

    Warnings are about `site`, or about the nearest line of the program's.
    Not on the loop's executor: the interpreter joins that one's threads, however long the device takes, so that the
    process would not end.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_T] = loop.create_future()
    context = contextvars.copy_context()
    context.run(call_site.work_on_behalf_of, site or call_site.nearest())

    def tell(result: _T | None, error: BaseException | None) -> None:
        if not future.done():
            if error is None:
                future.set_result(result)  # type: ignore[arg-type]
            else:
                future.set_exception(error)
        elif error is None:
            start(lambda: drop(result))  # type: ignore[arg-type]

    def drop(result: _T) -> None:
        if undo is not None:
            undo(result)

    def run() -> None:
        result = error = None
        try:
            result = context.run(call)
        except BaseException as raised:
            error = raised
        try:
            loop.call_soon_threadsafe(tell, result, error)
        except RuntimeError:  # the loop is closed
            if error is None:
                drop(result)  # type: ignore[arg-type]

    def start(target: Callable[[], Any]) -> None:
        threading.Thread(target=target, name="ascend-venc-aio", daemon=True).start()

    start(run)
    return future


def _close_quietly(inner: _encoder.Encoder) -> None:
    with contextlib.suppress(VencError):  # nobody is there to be told
        inner._close(warn=False)
