# SPDX-License-Identifier: Apache-2.0
"""Networks as outputs: packets go to a server or a group of receivers, and whoever encodes never waits for them."""

from __future__ import annotations

import collections
import logging
import re
import sys
import threading
import time
from fractions import Fraction
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

from ..arguments import as_count, as_positive_seconds, check_bool
from ..config import parse_codec
from ..errors import InvalidArgumentError, MediaError
from .container import import_av
from .formats import FLV_CODEC, LIVE_FORMATS, check_mapping, live_format, parse_format, scheme_of
from .live_process import PATIENCE, ConnectionLost, LiveProcess

if TYPE_CHECKING:
    from collections.abc import Mapping

FIRST_DELAY = 0.5  # seconds before the second try to connect; doubled for each further one
LONGEST_DELAY = 10.0
_LONGEST_TIMEOUT = 1e6  # seconds: poll() takes no more than 2^31 ms
_UDP_PAYLOAD = 1316  # bytes: seven packets of MPEG-TS, which receivers expect in one datagram
_USER = re.compile(r"(?<=://)[^/@]*@")  # user and password
_log = logging.getLogger("ascend_venc")


class LiveStats(NamedTuple):
    """Counters of a `LiveOutput` at one moment.

    Attributes
    ----------
    sent, dropped, queued : int
        Access units: given to the network; left out, or lost with a connection; waiting. Each one that was written is
        one of them, but the one that is on its way.
    bytes : int
        Of the bitstream, of those that were sent.
    reconnects : int
        Connections after the first.
    connected_since : float or None
        Seconds since the epoch (`time.time()`) at which the present connection was made; None: there is none.
    error : str
        What ended the last connection, or the last try to make one; stays when the next one succeeds.
    """

    sent: int = 0
    dropped: int = 0
    queued: int = 0
    bytes: int = 0
    reconnects: int = 0
    connected_since: float | None = None
    error: str = ""


class _Unit(NamedTuple):
    pts: int
    duration: int
    is_keyframe: bool
    data: bytes


class LiveOutput:
    """A network address that a `VideoWriter` or a `Muxer` writes to, and how.

    Packets are queued, and a thread sends them through a process of its own, in which PyAV (FFmpeg) runs: a network
    that stalls holds up neither the encoder nor the program. Where the queue is full, what is in it is dropped, up to
    the next IDR; so is what comes while there is no connection, and the receivers of the next one begin with an IDR.
    `VideoWriter` asks its encoder for that at once; elsewhere it is the next one of the GOP. Of one writer; used by any
    thread.

    Parameters
    ----------
    url : str
        rtsp:// rtsps:// (RTSP, published by ANNOUNCE and RECORD), rtmp:// rtmps:// (FLV, H.264 only), udp:// srt://
        tcp:// http:// https:// (MPEG-TS), as FFmpeg knows them; srt:// only where PyAV was built with it.
    reconnect : bool or float
        After a failure: True, connect again until it succeeds; a number, give up after so many seconds without a
        connection; False, the failure ends the output.
    timeout : float
        Seconds that connecting, sending one access unit, and `close` may take, up to 1,000,000; then it is a failure.
    max_queued : int
        Access units that wait at most.
    max_queued_bytes : int
        Bytes of the bitstream that wait at most, but one access unit always may.
    realtime : bool
        Writing waits until it is the packet's time, counted from the first one; for pictures that come faster than
        they are shown, such as those of a file.
    format : str, optional
        "rtsp", "flv" or "mpegts". Default: by the scheme.
    options : mapping of str, optional
        Further options of FFmpeg's muxer, such as `{"rtsp_transport": "tcp"}`.

    Attributes
    ----------
    stats : LiveStats
    wants_key_frame : bool
        Packets are dropped until an IDR comes. Whoever owns the encoder asks it for one, and sets this to False.

    Raises
    ------
    InvalidArgumentError
        The scheme is not known, or a value is out of range.
    MediaError
        PyAV is not installed, or there is no Python interpreter to start.

    Notes
    -----
    The process starts with the first packet, and ends at the latest `timeout` after this one.
    The times of each connection begin at 0; those of udp://, which has none, go on. Each failure is logged to the
    logger "ascend_venc" as a warning, with a delay of half a second to ten before the next try. User, password, query
    and the last part of an RTMP address, which is often a secret, appear in no text.
    """

    is_bare = False
    sound = None

    def __init__(
        self,
        url: str,
        *,
        reconnect: bool | float = True,
        timeout: float = 10.0,
        max_queued: int = 250,
        max_queued_bytes: int = 16 << 20,
        realtime: bool = False,
        format: str | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        if not isinstance(url, str):
            raise TypeError(f"url must be a str, got {type(url).__name__}")
        if live_format(url) is None:
            raise InvalidArgumentError(
                f"url is {url!r}; it must begin with one of {', '.join(f'{scheme}://' for scheme in LIVE_FORMATS)}"
            )
        self.url = url
        self.format: str = parse_format(format or live_format(url), url)
        if self.format not in LIVE_FORMATS.values():
            raise InvalidArgumentError(
                f"format is {format!r}; a network takes {', '.join(sorted({*LIVE_FORMATS.values()}))}"
            )
        self.named = FLV_CODEC if self.format == "flv" else None
        self.codec = self.named or ""
        self._reconnect: bool | float = reconnect
        if not isinstance(reconnect, bool):
            self._reconnect = float(as_positive_seconds("reconnect", reconnect))
        self._timeout = float(as_positive_seconds("timeout", timeout, _LONGEST_TIMEOUT))
        self._max_queued = as_count("max_queued", max_queued)
        self._max_bytes = as_count("max_queued_bytes", max_queued_bytes)
        check_bool("realtime", realtime)
        self.realtime = realtime
        check_mapping("options", options, '{"rtsp_transport": "tcp"}')
        self._options = dict(options or {})
        import_av()
        if not sys.executable:
            raise MediaError("a network is written to by another Python process, and sys.executable does not name one")
        self.wants_key_frame = False
        self._changed = threading.Condition()
        self._queue: collections.deque[_Unit] = collections.deque()
        self._queued_bytes = 0
        self._stats = LiveStats()
        self._connections = 0
        self._down = False  # packets are dropped, whatever they are
        self._waiting = True  # packets are dropped up to the next IDR
        self._key: _Unit | None = None  # the latest IDR, whose parameter sets the next header has
        self._failure: BaseException | None = None
        self._deadline: float | None = None  # of `close`
        self._cut = self._told = False
        self._thread: threading.Thread | None = None
        self._over = threading.Event()  # the thread is; see `Delivery`
        self._process: LiveProcess | None = None
        self._muxing: dict[str, Any] = {}
        self._time_base = Fraction(1)
        self._begin: tuple[float, Fraction] | None = None  # moment and time of the first packet

    @property
    def name(self) -> str:
        """The address without what may be secret."""
        shown = _USER.sub("", self.url.partition("?")[0])
        if self.format == "flv":
            head, slash, last = shown.rpartition("/")
            shown = f"{head}{slash}..." if last and not head.endswith("/") else shown
        return shown

    @property
    def stats(self) -> LiveStats:
        with self._changed:
            return self._stats._replace(queued=len(self._queue))

    # ---- what a writer asks of its outputs ---------------------------------------------------------------------------

    def settle(self, codec: str) -> None:
        self.codec = parse_codec(codec)
        if self.named not in (None, self.codec):
            raise InvalidArgumentError(f"codec is {codec!r}, and {self.name} is sent as FLV, which holds H.264 only")

    def open(self, encoder: Any, time_base: Fraction | None, size: tuple[int, int] | None) -> LiveOutput:
        self.start(time_base or encoder.time_base, encoder=encoder, size=size)
        return self

    def start(self, time_base: Fraction, *, encoder: Any = None, **muxing: Any) -> None:
        """Start the thread. `muxing`: further settings of `Muxer`."""
        if self._thread is not None:
            raise MediaError("a LiveOutput is of one writer: make another one")
        if encoder is not None:
            muxing["encoder"] = SimpleNamespace(config=encoder.config)
        options = {"flvflags": "no_duration_filesize"} if self.format == "flv" else {}
        options.update({**(muxing.pop("options", None) or {}), **self._options})
        self._muxing = {**muxing, "format": self.format, "options": options, "time_base": time_base}
        self._time_base = time_base
        thread = threading.Thread(target=self._run_to_the_end, name="ascend-venc-live", daemon=True)
        thread.start()
        self._thread = thread  # behind: one that could not start cannot be waited for

    def check_is_not(self, path: Any) -> None:
        """Nothing: there is no file."""

    def remove_if_useless(self, empty: bool, ended: bool) -> None:
        """Nothing: there is no file."""

    def end_with_the_pictures(self) -> None:
        """Nothing: there is no sound."""

    # ---- packets in --------------------------------------------------------------------------------------------------

    def write(self, packet: Any, *, pts: int, duration: int | None = None) -> None:
        """Queue a packet, or drop it. Waits for nothing but the time, with `realtime`.

        Raises what ended the output: MediaError.
        """
        self.wait_for(pts * self._time_base)
        with self._changed:
            if self._failure is not None:
                raise self._failure
            is_keyframe = bool(packet.is_keyframe)
            if self._key is None and not is_keyframe:
                raise MediaError("the first packet is no key frame")
            if self._down or (self._waiting and not is_keyframe):
                self._count(dropped=1)
                if not is_keyframe:
                    return
            unit = _Unit(pts, duration or 0, is_keyframe, bytes(packet))  # the encoder wants its buffer back
            if is_keyframe:
                self._key = unit
            if self._down:
                return
            full = len(self._queue) >= self._max_queued or self._queued_bytes + len(unit.data) > self._max_bytes
            if full and self._queue:
                self._drop_queue()
                if not is_keyframe:
                    self._count(dropped=1)
                    return
            self._waiting = self.wants_key_frame = False
            self._queue.append(unit)
            self._queued_bytes += len(unit.data)
            self._changed.notify_all()

    def wait_for(self, seconds: Fraction) -> None:
        """With `realtime`, wait until a packet is due that is shown so many seconds from the film's beginning."""
        if not self.realtime:
            return
        with self._changed:
            if self._begin is None:
                self._begin = time.monotonic(), seconds
            due = self._begin[0] + float(seconds - self._begin[1])
            self._changed.wait_for(lambda: self._closing or self._failure, max(0.0, due - time.monotonic()))

    def close(self) -> None:
        """Send what is queued, and end the stream; up to `timeout`, then the connection is cut. Idempotent.

        Interrupted by Ctrl-C it can be called again, and waits for the rest of that time. Raises MediaError where
        nothing could be sent at all, or what ended the output.
        """
        with self._changed:
            if self._deadline is None:
                self._deadline = time.monotonic() + self._timeout
                self._changed.notify_all()
        if self._thread is None or self._told:
            return
        self._over.wait(max(0.0, self._deadline - time.monotonic()))
        with self._changed:
            self._cut = True
            if self._process is not None:
                self._process.kill()
        self._over.wait(PATIENCE)
        self._told = True
        with self._changed:
            if self._failure is not None:
                raise self._failure
            if self._connections == 0 and self._stats.dropped:
                raise MediaError(f"{self.name}: nothing was sent: {self._stats.error or 'there was no connection'}")

    @property
    def _closing(self) -> bool:
        return self._deadline is not None

    # ---- the thread --------------------------------------------------------------------------------------------------

    def _run_to_the_end(self) -> None:
        try:
            self._run()
        finally:
            self._over.set()

    def _run(self) -> None:
        delay = FIRST_DELAY
        lost_at = time.monotonic()
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._closing or self._key is not None)
                    key = self._key
                if key is None:
                    return
                sent = self._stats.sent
                try:
                    self._connect(key)
                    return
                except ConnectionLost as lost:
                    text, may_help = lost.args
                if self._stats.sent > sent:
                    delay, lost_at = FIRST_DELAY, time.monotonic()
                limit = self._reconnect
                given_up = not may_help or limit is False
                if limit is not True and limit is not False:
                    given_up = given_up or time.monotonic() + delay - lost_at > limit
                with self._changed:
                    self._down = True
                    self._drop_queue()
                    self._stats = self._stats._replace(error=text, connected_since=None)
                    if given_up:
                        self._failure = MediaError(f"{self.name}: {text}")
                    if given_up or self._closing:
                        return
                _log.warning("%s: %s; next try in %g s", self.name, text, delay)  # it may block: not under the lock
                with self._changed:
                    if self._changed.wait_for(lambda: self._closing, delay):
                        return
                delay = min(2 * delay, LONGEST_DELAY)
        except BaseException as error:
            with self._changed:
                self._failure = error
        finally:
            with self._changed:
                self._down = True
                self._drop_queue()
                self.wants_key_frame = False
                self._stats = self._stats._replace(connected_since=None)
                self._changed.notify_all()

    def _connect(self, key: _Unit) -> None:
        """Make a connection and send what is queued, until the output is closed. Raises ConnectionLost."""
        process = LiveProcess(self._timeout)
        with self._changed:
            self._process = process
            if self._cut:
                process.kill()
        ended = False
        try:
            self._send_all(process, key)
            ended = True
        finally:
            process.close(killed=not ended)
            with self._changed:
                self._process = None

    def _send_all(self, process: LiveProcess, key: _Unit) -> None:
        udp = scheme_of(self.url) == "udp"
        address = self.url
        if udp and "pkt_size=" not in address:
            address += f"{'&' if '?' in address else '?'}pkt_size={_UDP_PAYLOAD}"
        process.ask((address, self._timeout, self._muxing), key._replace(pts=0))
        with self._changed:
            if self._connections:
                self._count(reconnects=1)
            self._connections += 1
            self._stats = self._stats._replace(connected_since=time.time())
            if self._down:
                self._down = False
                self._waiting = self.wants_key_frame = True
        origin = 0 if udp else None
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._queue)
                if not self._queue:
                    break
                unit = self._queue.popleft()
                self._queued_bytes -= len(unit.data)
            if origin is None:
                origin = unit.pts
            try:
                if self._deadline is not None and time.monotonic() > self._deadline:
                    process.kill()  # nobody waits for it any more
                process.ask(unit._replace(pts=unit.pts - origin))
            except BaseException:
                with self._changed:
                    self._count(dropped=1)
                raise
            with self._changed:
                self._count(sent=1, bytes=len(unit.data))
        process.ask(None)

    def _drop_queue(self) -> None:
        self._count(dropped=len(self._queue))
        self._queue.clear()
        self._queued_bytes = 0
        self._waiting = True
        self.wants_key_frame = not self._down

    def _count(self, **more: int) -> None:
        self._stats = self._stats._replace(**{name: getattr(self._stats, name) + more[name] for name in more})
