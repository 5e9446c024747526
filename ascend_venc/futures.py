# SPDX-License-Identifier: Apache-2.0
"""Futures of packets: one thread for all encoders of the process, alive while a Future is pending."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from ._lowlevel.channel import Notifier, cancel, fail, make_ticket
from .errors import EncoderClosedError, VencError

if TYPE_CHECKING:
    from ._lowlevel.buffers import Packet
    from ._lowlevel.channel import Channel
    from .encoder import Encoder

_lock = threading.Lock()  # everything below
_pending: dict[Channel, list[Future[Packet]]] = {}
_notifier: Notifier | None = None
_thread: threading.Thread | None = None


def submit(encoder: Encoder, frame: Any, pts: int | None, key_frame: bool, token: Any) -> Future[Packet]:
    """Send a frame whose packet goes to a Future; see `Encoder.encode_future`."""
    global _notifier, _thread  # noqa: PLW0603
    channel = encoder._open_channel()
    future: Future[Packet] = Future()
    if channel.submit(frame, pts, key_frame, make_ticket(token, future), encoder._wait_for(None)) is None:
        cancel(future)
        return future
    with _lock:
        if _notifier is None:
            _notifier = Notifier()
        if channel not in _pending:
            try:
                channel.attach(_notifier)
            except EncoderClosedError:  # just now
                if _thread is None:
                    _notifier = None
                cancel(future)
                return future
            _pending[channel] = []
        _pending[channel].append(future)
        if _thread is None:
            _thread = threading.Thread(target=_collect, name="ascend-venc-futures", daemon=True)
            _thread.start()
        _notifier.signal()
    return future


def forget(channel: Channel) -> list[Future[Packet]]:
    """The channel is about to be closed: what is pending on it, to be cancelled then unless a packet comes."""
    with _lock:
        notifier = _notifier
        futures = _pending.pop(channel, None)
        if futures is None or notifier is None:
            return []
        channel.detach(notifier)
        thread = _thread if not _pending else None
        notifier.signal()
    if thread is not None and thread is not threading.current_thread():
        thread.join()
    return futures


def _collect() -> None:
    global _notifier, _thread  # noqa: PLW0603
    while True:
        with _lock:
            channels = list(_pending)
            notifier = _notifier
            if not channels or notifier is None:
                _notifier = _thread = None
                return
        notifier.arm()
        for channel in channels:
            _serve(channel, notifier)
        with _lock:
            if not _pending:
                continue
        notifier.wait(None)


def _serve(channel: Channel, notifier: Notifier) -> None:
    failure: VencError | None = None
    try:
        channel.pump()
    except VencError as error:  # the device is lost, or the encoder was closed just now
        failure = error
    with _lock:
        futures = _pending.get(channel, [])
        if failure is None:
            futures[:] = [future for future in futures if not future.done()]
        if failure is None and futures:
            return
        if _pending.pop(channel, None) is not None:
            channel.detach(notifier)
    if failure is not None:
        for future in futures:
            fail(future, failure)


def _after_fork_in_child() -> None:
    """The thread does not exist here, and the parent's futures are not ours."""
    global _lock, _notifier, _thread  # noqa: PLW0603
    _lock = threading.Lock()
    _pending.clear()
    _notifier = _thread = None


os.register_at_fork(after_in_child=_after_fork_in_child)
