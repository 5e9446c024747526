# SPDX-License-Identifier: Apache-2.0
"""Many encoders over the devices present, and one wait for a packet of any of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ._lowlevel.channel import Notifier
from ._lowlevel.core import open_library
from .encoder import Encoder, _check_range, _check_timeout
from .errors import DeviceFullError, EncoderDrained, InvalidArgumentError, from_status

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    from ._lowlevel.buffers import Packet

_TIMEOUT = -3  # AVENC_E_TIMEOUT
_DRAINED = -13  # AVENC_E_DRAINED


class EncoderGroup:
    """A set of encoders with one wait for "any packet of any stream". One thread may serve them all.

    Parameters
    ----------
    backend : str or path, optional
        As for `Encoder`; all encoders of the group use it.
    devices : iterable of int, optional
        Devices to place encoders on. Default: all.

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

    def __init__(self, *, backend: str | os.PathLike[str] | None = None, devices: Iterable[int] | None = None) -> None:
        self._backend = backend
        count = open_library(backend).device_count
        self._devices = list(range(count)) if devices is None else list(devices)
        for device in self._devices:
            _check_range(device, "devices", 0, max(count - 1, 0))
        if not self._devices:
            raise InvalidArgumentError(f"devices is empty; this machine has 0 to {count - 1}")
        self._encoders: dict[Encoder, float] = {}  # pixels per second; the order is that of the next look
        self._device_of: dict[Encoder, int] = {}
        self._notifier: Notifier | None = Notifier()
        self._failure: Exception | None = None

    @property
    def encoders(self) -> list[Encoder]:
        """The open encoders of the group."""
        return [encoder for encoder in list(self._encoders) if not encoder.closed]

    def add(self, width: int, height: int, *, device: int | None = None, **options: Any) -> Encoder:
        """Open an encoder and return it. `device` None places it; the other arguments are those of `Encoder`.

        Raises DeviceFullError if no device of the group has a free channel; the others go on unharmed.
        """
        if self._notifier is None:
            raise InvalidArgumentError("the group is closed")
        full: DeviceFullError | None = None
        for candidate in self._by_load() if device is None else [device]:
            try:
                encoder = Encoder(width, height, device=candidate, backend=self._backend, **options)
            except DeviceFullError as error:
                full = error
                continue
            try:
                encoder._open_channel().attach(self._notifier)
            except BaseException:
                encoder._close(warn=False)
                raise
            self._encoders[encoder] = float(width * height * encoder.config.fps)
            self._device_of[encoder] = candidate
            return encoder
        assert full is not None
        raise full

    def _by_load(self) -> list[int]:
        load = dict.fromkeys(self._devices, 0.0)
        for encoder in self.encoders:
            load[self._device_of[encoder]] = load.get(self._device_of[encoder], 0.0) + self._encoders[encoder]
        return sorted(self._devices, key=lambda device: load[device])

    def receive_many(self, max: int = 64, timeout: float | None = None) -> list[tuple[Encoder, Packet]]:
        """Wait for a packet of any encoder, and return the pairs (encoder, packet) that are ready, at most `max`.

        The packets of one encoder are in order. Raises EncoderDrained when every encoder has come to its end
        (`drain()`, or closed), AclTimeoutError after `timeout` seconds (None: no bound), and what `Encoder.receive`
        raises, for the encoder in the exception's attribute `encoder`; the others go on.
        """
        _check_range(max, "max", 1, 1 << 30)
        seconds = _check_timeout(timeout)
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            notifier = self._notifier
            if notifier is None:
                raise InvalidArgumentError("the group is closed")
            notifier.arm()
            found, ended = self._look(max)
            if found:
                return found
            if ended:
                raise from_status(_DRAINED, "", "the end of all streams: all packets have been received")
            left = None if deadline is None else deadline - time.monotonic()
            if (left is not None and left <= 0) or not notifier.wait(left):
                raise from_status(_TIMEOUT, "", f"no packet of any encoder within {timeout} s")

    def _look(self, limit: int) -> tuple[list[tuple[Encoder, Packet]], bool]:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        found: list[tuple[Encoder, Packet]] = []
        ended = True
        for encoder in list(self._encoders):
            if len(found) >= limit:
                return found, False
            channel = encoder._channel
            if channel is None or encoder.closed:
                continue
            try:
                packets = channel.try_receive(limit - len(found))
            except EncoderDrained:
                continue
            except Exception as error:
                error.encoder = encoder  # type: ignore[attr-defined]
                if not found:
                    raise
                self._failure = error  # raised by the next call
                return found, False
            ended = False
            if packets:
                found.extend((encoder, packet) for packet in packets)
                # Looked at last next time: none starves behind a busy one.
                self._encoders[encoder] = self._encoders.pop(encoder)
        return found, ended

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
                while found:
                    yield found.pop(0)
            finally:  # those that the loop did not come to stay to be received
                for encoder, packet in reversed(found):
                    encoder._open_channel().put_back([packet])

    def drain(self) -> None:
        """Declare the end of every stream of the group. Does not wait."""
        for encoder in self.encoders:
            encoder.drain()

    def close(self) -> None:
        """Close every encoder of the group. Idempotent. The first error is raised after all have been tried."""
        self._close(warn=True)

    def _close(self, warn: bool) -> None:
        failure: BaseException | None = None
        for encoder in list(self._encoders):
            try:
                encoder._close(warn)
            except Exception as error:
                failure = failure or error
        self._encoders.clear()
        self._device_of.clear()
        self._notifier = None
        if failure is not None:
            raise failure

    def __enter__(self) -> EncoderGroup:
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, traceback: TracebackType | None) -> None:
        self._close(warn=kind is None)

    def __repr__(self) -> str:
        return f"<EncoderGroup of {len(self.encoders)} on devices {self._devices}>"
