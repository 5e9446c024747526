# SPDX-License-Identifier: Apache-2.0
"""The thread that takes an encoder's packets and writes them.

A thread of its own, because signal handlers run on the main thread only: Ctrl-C never comes between the taking of a
packet and its writing, so that what was written is whole. It also writes while the program makes its next frame.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from ..errors import EncoderDrained, FrameError, VencError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .target import Target


class Delivery:
    """Takes the packets of one encoder until it is drained, fails, or all files do; then ends files and encoder.

    Parameters
    ----------
    encoder : Encoder
    targets : sequence of Target
        Each gets every packet. One that fails is ended, and the others go on.
    open : callable
        Opens a target when the first packet is there; returns what has `close`.
    write : callable
        `write(output, packet)`.

    Attributes
    ----------
    packets, bytes, last : int
        What was taken so far, and bytes of the last one.
    """

    def __init__(
        self, encoder: Any, targets: list[Target], open: Callable[[Target], Any], write: Callable[[Any, Any], None]
    ) -> None:
        self.packets = 0
        self.bytes = 0
        self.last = 0
        self._encoder = encoder
        self._open = open
        self._write = write
        self._outputs: dict[Target, Any] = dict.fromkeys(targets)  # None: not opened yet
        self._errors: list[BaseException] = []  # that nobody was told of yet
        self._failure: BaseException | None = None  # what ended everything
        self._over = threading.Event()  # CPython up to 3.12 takes a thread for ended once Ctrl-C interrupted its `join`
        self._thread = threading.Thread(target=self._run, name="ascend-venc-writer", daemon=True)
        self._thread.start()

    def raise_error(self) -> None:
        """Raise what went wrong, once; what ended everything again and again."""
        if self._errors:
            raise self._errors.pop(0)
        if self._failure is not None:
            raise self._failure.with_traceback(None)

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the end, and say whether it came. Ctrl-C interrupts; it can be called again."""
        return self._over.wait(timeout)

    def _run(self) -> None:
        try:
            self._deliver()
        finally:
            self._over.set()

    def _deliver(self) -> None:
        packet = None
        try:
            while self._outputs:
                try:
                    packets = self._encoder.receive_many()
                except EncoderDrained:
                    break
                except FrameError as error:  # of one frame; the others come
                    self._errors.append(error.with_traceback(None))
                    continue
                for packet in packets:
                    self._put(packet)
                packet = packets = None
        except BaseException as error:
            self._failure = error.with_traceback(None)
        for target in list(self._outputs):
            self._end(target)
        with contextlib.suppress(VencError, OSError):
            self._encoder._close(warn=False)
        del self._encoder, self._open, self._write

    def _put(self, packet: Any) -> None:
        first = self.packets == 0
        self.packets += 1
        self.bytes += packet.size
        self.last = packet.size
        for target in list(self._outputs):
            try:
                if self._outputs[target] is None:
                    self._outputs[target] = self._open(target)
                self._write(self._outputs[target], packet)
            except BaseException as error:
                self._end(target, error, empty=first)

    def _end(self, target: Target, error: BaseException | None = None, *, empty: bool = False) -> None:
        output = self._outputs.pop(target)
        if output is not None:
            ended = False
            try:
                output.close()
                ended = True
            except BaseException as late:
                error = error or late
            target.remove_if_useless(empty, ended)
        if error is None:
            return
        error = error.with_traceback(None)
        if self._outputs or self._failure is not None:
            self._errors.append(error)
        else:
            self._failure = error
