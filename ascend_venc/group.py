# SPDX-License-Identifier: Apache-2.0
"""Many encoders over the devices present, and one wait for a packet of any of them."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterable, Mapping
from math import inf
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ._lowlevel.channel import receive_from_each
from ._lowlevel.core import open_library
from ._lowlevel.waitset import WaitSet
from .arguments import check_latency, check_range, check_timeout, parse_choice
from .encoder import DELIVERY, Encoder, take_last
from .errors import (
    DeviceFullError,
    EncoderClosedError,
    EncoderDrained,
    InvalidArgumentError,
    VencError,
    from_status,
    tell_name,
)
from .group_frames import submit_frames
from .picture_quality import listed_regions
from .single_owner import SingleOwner
from .stats import GroupStats

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from typing_extensions import Unpack

    from ._lowlevel.packet import Packet
    from .literals import Backend, Delivery
    from .media.writer_settings import GroupSettings

_TIMEOUT = -3  # AVENC_E_TIMEOUT
_DRAINED = -13  # AVENC_E_DRAINED
_MOST = 1 << 30  # packets of a call


class EncoderGroup(SingleOwner):
    """A set of encoders with one wait for "any packet of any stream". One thread may serve them all.

    Parameters
    ----------
    backend : str or path, optional
        As for `Encoder`; all encoders of the group use it.
    devices : iterable of int, optional
        Devices to place encoders on. Default: all.
    delivery : str
        "immediate": a receiving thread wakes for each packet. "coalesced": it wakes once in `max_latency` where the
        packets of all encoders come fast, which costs less CPU. The encoders' own `delivery` does not matter here.
    max_latency : float
        Seconds, above 0 and up to 1.

    Notes
    -----
    A new encoder goes to the device with the least to do in the group, in pixels per second, among those with a free
    channel; `DeviceFullError` if there is none. The encoders are ordinary ones: frames are submitted to them, from any
    thread, and each can be closed by itself. Their packets are taken by the group or by the encoder, whoever asks.

    Examples
    --------
    >>> import ascend_venc as venc
    >>> frame = bytes(128 * 128 * 3 // 2)
    >>> with venc.EncoderGroup(backend="sim") as group:
    ...     cameras = [group.add(128, 128, codec="h264") for _ in range(3)]
    ...     numbers = [camera.submit(frame) for camera in cameras]
    ...     group.drain()
    ...     sorted(cameras.index(encoder) for encoder, packet in group.packets())
    [0, 1, 2]
    """

    _of_one_owner = "wait set"

    def __init__(
        self,
        *,
        backend: Backend | None = None,
        devices: Iterable[int] | None = None,
        delivery: Delivery = "immediate",
        max_latency: float = 0.01,
    ) -> None:
        self._backend = backend
        count = open_library(backend, 30.0).device_count
        if devices is not None and not isinstance(devices, Iterable):
            raise TypeError(f"devices must be a list of device numbers, got {type(devices).__name__}")
        # Of no device the first: what opens an encoder on it says that there is none, and why.
        self._devices = list(range(max(count, 1))) if devices is None else list(devices)
        for device in self._devices:
            check_range(device, "devices", 0, max(count - 1, 0))
        if not self._devices:
            raise InvalidArgumentError(f"devices is empty; this machine has {f'0 to {count - 1}' if count else 'none'}")
        delivery = parse_choice("delivery", delivery, DELIVERY)
        check_latency(max_latency)
        self._max_latency = max_latency if delivery == "coalesced" else 0.0
        self._encoders: dict[Encoder, None] = {}  # in the order of opening
        self._told: WeakKeyDictionary[Encoder, int] = WeakKeyDictionary()  # that it is stalled, in this order
        self._device_of: dict[Encoder, int] = {}
        self._streams: dict[Encoder, int] = {}  # those that may still have packets, and their key in the waitset
        self._by_key: dict[int, Encoder] = {}
        self._keys = itertools.count()
        self._free_keys: list[int] = []
        self._waitset: WaitSet | None = WaitSet()
        self._closed = False
        self._failures: deque[VencError] = deque()  # to be raised; each goes to one thread
        self._look_at = 0.0  # before that no encoder can have been stalled for its `timeout`: nobody needs to be asked

    @property
    def encoders(self) -> list[Encoder]:
        """The open encoders of the group."""
        return [encoder for encoder in list(self._encoders) if not encoder.closed]

    @property
    def stats(self) -> GroupStats:
        """Counters of the open encoders at this moment: each one's, and their sum. See `GroupStats`."""
        return GroupStats.of(encoder.stats for encoder in self.encoders)

    def add(self, width: int, height: int, *, device: int | None = None, **options: Unpack[GroupSettings]) -> Encoder:
        """Open an encoder and return it. `device` None places it; the other arguments are those of `Encoder`.

        Raises DeviceFullError if no device of the group has a free channel; the others go on unharmed.
        """
        waitset = self._waitset
        if waitset is None or self._closed:
            raise InvalidArgumentError("the group is closed")
        if "roi" in options:  # each device that is tried gets them
            options["roi"] = listed_regions(options["roi"])
        self._forget_closed()
        full: DeviceFullError | None = None
        for candidate in self._by_load() if device is None else [device]:
            try:
                encoder = Encoder(width, height, device=candidate, backend=self._backend, **options)
            except DeviceFullError as error:
                full = error
                continue
            key: int | None = None
            try:
                try:
                    key = self._free_keys.pop()
                except IndexError:
                    key = next(self._keys)
                self._device_of[encoder] = candidate
                self._encoders[encoder] = None
                self._streams[encoder] = key
                self._by_key[key] = encoder
                self._look_at = 0.0  # before it is attached, which wakes who receives
                encoder._open_channel().attach(waitset, key)
                if self._closed:  # while it was opened: `close` may have looked before it was there
                    raise InvalidArgumentError("the group is closed")
            except BaseException as error:
                self._encoders.pop(encoder, None)
                self._device_of.pop(encoder, None)
                encoder._close(warn=False)
                self._forget(encoder)
                if self._closed and isinstance(error, EncoderClosedError):
                    raise InvalidArgumentError("the group is closed") from None
                raise
            return encoder
        assert full is not None
        raise full

    def _forget_closed(self) -> None:
        """A group may live longer than its streams."""
        for encoder in [encoder for encoder in list(self._encoders) if encoder.closed]:
            self._encoders.pop(encoder, None)
            self._device_of.pop(encoder, None)
        for encoder in list(self._streams):
            if encoder not in self._encoders:
                self._forget(encoder)

    def _by_load(self) -> list[int]:
        load = dict.fromkeys(self._devices, 0.0)
        for encoder in list(self._encoders):
            device = self._device_of.get(encoder)  # None: another thread has just closed it
            if device is not None and not encoder.closed:
                config = encoder.config  # of now: it may have been reconfigured
                load[device] = load.get(device, 0.0) + float(config.width * config.height * config.fps)
        return sorted(self._devices, key=lambda device: load[device])

    def submit_many(
        self,
        frames: Mapping[Encoder, Any] | Iterable[tuple[Encoder, Any]],
        *,
        pts: Iterable[int | None] | None = None,
        key_frames: Iterable[bool] | None = None,
        tokens: Iterable[Any] | None = None,
        timeout: float | None = None,
    ) -> list[int | None]:
        """Send a frame to each of several encoders, as cameras that are in step bring them; the GIL is given up once.

        Parameters
        ----------
        frames : mapping of Encoder to frame, or iterable of pairs (Encoder, frame)
            Each encoder once, and what its `submit` takes. Those in host memory, in the device's own pixel format, are
            sent in one native call; the others by the encoder's `submit`, after them.
        pts, key_frames, tokens : iterable, optional
            An item for each frame, as `submit` takes it.
        timeout : float, optional
            Seconds for the whole call to wait for room, where an encoder's `on_full` is "block"; None: each one's own
            `timeout`.

        Returns
        -------
        list of int or None
            For each frame its number in its encoder; None if it was dropped.

        Raises
        ------
        TypeError, InvalidArgumentError
            `frames` or another argument is not what it has to be. Nothing was sent.
        VencError, TypeError, ValueError, BufferError, RuntimeError
            What `submit` raises for a frame; the last three are a tensor's that cannot be exported. The frames of all
            other encoders have been tried all the same. Where several failed it is the first one's; `error.encoder`
            says whose, `error.failures` is the list of pairs (encoder, exception) of the others, and `error.numbers`
            what would have been returned, None for those that failed.

        Notes
        -----
        Frames are sent on the calling thread, one after the other, and none waits for room before all have been tried.
        The runtime's own call has no bound: one that takes long keeps the frames behind it waiting, so with several
        devices make a call for each. `Encoder.submit_async` hands frames to native threads instead.
        """
        return submit_frames(frames, pts, key_frames, tokens, timeout)

    def receive_many(self, max: int = 64, timeout: float | None = None) -> list[tuple[Encoder, Packet]]:
        """Wait for a packet of any encoder, and return the pairs (encoder, packet) that are ready, at most `max`.

        The packets of one encoder are in order. Raises EncoderDrained when every encoder has come to its end
        (`drain()`, or closed), AclTimeoutError after `timeout` seconds (None: no bound), and what `Encoder.receive`
        raises, for the encoder in the exception's attribute `encoder`; the others go on.
        """
        if type(max) is not int or not 0 < max <= _MOST:  # looked at here: a function takes microseconds at a rate
            check_range(max, "max", 1, _MOST)
        if timeout is not None and (type(timeout) is not float or not 0 <= timeout < inf):
            timeout = check_timeout(timeout)
        since = now = time.monotonic()
        deadline = inf if timeout is None else now + timeout
        waitset = self._waitset
        while True:
            if self._waitset is None or waitset is None:
                if waitset is not None:
                    waitset.signal()  # for other threads that wait
                raise InvalidArgumentError("the group is closed")
            if self._failures:
                try:  # no look is enough: another thread may take the last one
                    failure: VencError | None = self._failures.popleft()
                except IndexError:
                    failure = None
                if failure is not None:
                    raise failure
            if not self._streams:
                waitset.signal()  # for other threads that wait
                raise from_status(_DRAINED, "", "the end of all streams: all packets have been received")
            if now >= self._look_at:
                patience = self._patience(since)
                self._look_at = inf if patience is None else now + patience
            bound = self._look_at if self._look_at < deadline else deadline
            found: list[tuple[Encoder, Packet]] = []
            try:
                came = receive_from_each(self, waitset, self._by_key, max, bound, self._max_latency, found)
            except BaseException:  # memory runs out, or a signal's handler raises: what was taken stays to be received
                _put_back(found)
                raise
            if found:
                return found
            now = time.monotonic()
            if not came and now >= deadline and now < self._look_at:  # else an encoder may be stalled, which says more
                raise from_status(_TIMEOUT, "", f"no packet of any encoder within {timeout:.3g} s")

    def _patience(self, since: float) -> float | None:
        """Seconds until the first encoder may have been stalled for its `timeout`; raises for one that has been.

        Where several are, each call tells of another one.
        """
        patience: float | None = None
        waited = time.monotonic() - since
        stalled: list[Encoder] = []
        for encoder in list(self._streams):
            channel = encoder._open_channel()
            stall = channel.stream.stall
            if stall is None:
                continue
            left = stall - min(channel.stalled, waited)
            if left <= 0:
                stalled.append(encoder)
            patience = left if patience is None or left < patience else patience
        if stalled:
            encoder = min(stalled, key=lambda encoder: self._told.get(encoder, 0))
            self._told[encoder] = max(self._told.values(), default=0) + 1
            stall = encoder._open_channel().stream.stall
            error = from_status(
                _TIMEOUT,
                "",
                f"the device has finished no frame of one encoder for {stall:.3g} s, with some in flight",
            )
            tell_name(error, encoder.name)
            error.encoder = encoder  # type: ignore[attr-defined]
            raise error
        return patience

    def _tell_encoder(self, encoder: Encoder, error: VencError) -> None:
        """In a failure that stands in `_failures`: raised at once where nothing was found, else by the next call."""
        tell_name(error, encoder.name)
        error.encoder = encoder  # type: ignore[attr-defined]

    def _forget(self, encoder: Encoder) -> None:
        """A stream that came to its end. Its key is given out again: one mark too many does no harm."""
        key = self._streams.pop(encoder, None)
        if key is None:  # another thread has found the end before, and the key may be another encoder's by now
            return
        self._by_key.pop(key, None)
        try:  # noqa: SIM105 - `suppress` would need memory
            self._free_keys.append(key)
        except MemoryError:
            pass  # one number less to give out

    def receive(self, timeout: float | None = None) -> tuple[Encoder, Packet]:
        """Wait for the next packet of any encoder: (encoder, packet). See `receive_many`."""
        return self.receive_many(1, timeout)[0]

    def packets(self) -> Iterator[tuple[Encoder, Packet]]:
        """Yield (encoder, packet) up to the end of all streams."""
        while True:
            try:
                found = self.receive_many()
            except EncoderDrained:
                return
            try:
                found.reverse()
                while found:
                    yield take_last(found)
            finally:  # those that the loop did not come to stay to be received
                _put_back(found)

    def drain(self) -> None:
        """Declare the end of every stream of the group. Does not wait."""
        for encoder in self.encoders:
            encoder.drain()

    def close(self) -> None:
        """Close every encoder of the group, and wait for each up to its `timeout`, all at the same time. Idempotent.

        The first error is raised after all have been tried.
        """
        self._close(warn=True)

    def _close(self, warn: bool) -> None:
        failure: BaseException | None = None
        self._closed = True  # before the encoders are listed: one that `add` opens meanwhile sees to itself
        begun: list[tuple[Encoder, Any]] = []
        for encoder in list(self._encoders):  # all are told first, and end together
            try:
                begun.append((encoder, encoder._begin_close()))
            except Exception as error:
                failure = failure or error
        since = time.monotonic()
        for encoder, state in begun:
            left = encoder._wait_for(None)
            try:
                encoder._end_close(state, warn, None if left is None else max(left - (time.monotonic() - since), 0.0))
            except Exception as error:
                failure = failure or error
        self._encoders.clear()
        self._device_of.clear()
        self._streams.clear()
        self._by_key.clear()
        waitset, self._waitset = self._waitset, None
        if waitset is not None:
            waitset.signal(0)  # for threads that wait
        if failure is not None:
            raise failure

    def __enter__(self) -> EncoderGroup:
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, traceback: TracebackType | None) -> None:
        self._close(warn=kind is None)

    def __repr__(self) -> str:
        return f"<EncoderGroup of {len(self.encoders)} on devices {self._devices}>"


def _put_back(found: list[tuple[Encoder, Packet]]) -> None:
    """Packets that nobody got stay to be received."""
    found.reverse()
    try:
        _put_back_each(found)
    except MemoryError:  # once more for those that are left, as `Channel.put_back` does: a second failure loses them
        _put_back_each(found)


def _put_back_each(found: list[tuple[Encoder, Packet]]) -> None:
    for encoder, packet in found:
        encoder._open_channel().put_back([packet])
