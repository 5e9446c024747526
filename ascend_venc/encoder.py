# SPDX-License-Identifier: Apache-2.0
"""The Pythonic encoder: plain Python over the C-level channel."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import threading
import time
import warnings
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeVar

from . import call_site
from . import stats as _stats
from ._lowlevel.channel import ON_FULL, Channel
from ._lowlevel.convert import Converter
from ._lowlevel.core import open_library
from ._lowlevel.device import Device, choose_interface
from ._lowlevel.stream import open_channels
from .arguments import (
    as_many,
    check_bool,
    check_device,
    check_latency,
    check_name,
    check_range,
    check_timeout,
    file_descriptor,
    items_of,
    parse_choice,
)
from .chip_limits import limits_of
from .config import EncoderConfig
from .device_capabilities import Capabilities, capabilities_by
from .errors import (
    AclError,
    AclTimeoutError,
    BitRateWarning,
    DeviceFullError,
    DeviceLostError,
    DroppedPacketsWarning,
    EncoderDrained,
    InvalidArgumentError,
    VencError,
    from_status,
    tell_name,
)
from .interface_choice import parse_interface
from .picture_quality import listed_regions
from .single_owner import SingleOwner

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future
    from types import FrameType, TracebackType

    from ._lowlevel.frames import Frame
    from ._lowlevel.packet import Packet
    from .chip_limits import ChipLimits
    from .color import ColorInfo
    from .literals import (
        Backend,
        CodecName,
        ColorMatrix,
        ColorName,
        ColorRange,
        Delivery,
        Interface,
        InterfaceName,
        OnFull,
        PixelFormatName,
        Profile,
        RateControlMode,
        Scene,
    )
    from .picture_quality import IntraRefresh, RegionOfInterest
    from .rate_control import RateControl
    from .sei import Message

_T = TypeVar("_T")
_LEAST_BITS_PER_PIXEL = Fraction(2, 1000)  # below that nothing can be made out
DELIVERY: tuple[Delivery, ...] = ("immediate", "coalesced")

_TIMEOUT = -3  # AVENC_E_TIMEOUT
_CLOSED = -4  # AVENC_E_CLOSED
_FORKED = -5  # AVENC_E_FORKED
_UNSUPPORTED = -12  # AVENC_E_UNSUPPORTED
_REPLACED = -23  # AVENC_E_REPLACED


class Encoder(SingleOwner):
    """Encode NV12 or NV21 frames to H.264 or H.265 on an Ascend device.

    Parameters
    ----------
    width, height : int
        Size in pixels, even; the range depends on the chip (docs/chips.md, `ascend-venc caps`).
    codec : str
        "h264" or "h265".
    profile : str, optional
        "baseline", "main" or "high" for H.264 (default "high"); "main" for H.265.
    pixel_format : str
        Of the frames. "nv12" or "nv21" are taken as they are (they differ in the order of the interleaved chroma
        bytes). "i420", "yv12", "gray8", "rgb24", "bgr24", "rgba", "bgra", "yuyv422" and "uyvy422" are converted on
        the CPU, in one pass and without the GIL, into the buffer that goes to the device.
    color_matrix : str, optional
        "bt601" or "bt709": how RGB becomes YUV. Default: that of `color`, else what players assume of a stream that
        tells nothing: BT.709 from 1280 pixels of width or 577 of height on, else BT.601.
    color_range : str, optional
        "limited" or "full": of the samples in the stream. Default: that of `color`, else "limited", which players
        assume.
    source_range : str, optional
        "limited" or "full": of the samples in YUV or grey frames that are converted. Default: limited for YUV, full
        for grey. RGB is always full.
    color : ColorInfo or str, optional
        How the samples in the stream are to be understood: "bt709", "bt601", "bt2020-pq", ..., or a ColorInfo. It is
        written into the stream, and changes no picture but the conversion of RGB. Default: of RGB and grey frames what
        they were converted to, taking them for sRGB; of other frames their range alone.
    sample_aspect_ratio : fractions.Fraction or str, optional
        Width of a pixel divided by its height, such as "4:3"; written into the stream. Default: nothing, which players
        take for 1.
    vui : bool
        Whether the engine writes `color`, `color_range`, `sample_aspect_ratio` and `fps` into the parameter sets of
        every key frame (VUI, ITU-T H.264 and H.265 annex E; H.265's VPS too). The device writes none of them. False:
        parameter sets stay as the device made them. Where their syntax is not known they do so too, and are counted
        in `stats.undescribed`.
    aud : bool
        An access-unit delimiter (ITU-T H.264 and H.265, 7.3.2) in front of every access unit, for receivers that want
        one, such as those of MPEG-TS. It says which kinds of slices may follow. The device writes none.
    fps : int, float, str or fractions.Fraction
        Frames per second of the input; sets the packets' time base and the rate control's pace. 29.97 and the like
        mean n * 1000/1001. A fraction of numbers beyond 2**31 - 1 is rounded (`config.fps`). The device itself counts
        in whole frames per second; it gets the nearest that it has.
    bitrate : int, float or str, optional
        bit/s as a number, or "800k", "2M". The device counts in kbit/s, within the chip's range. Less than 0.002 bit
        per pixel is taken, with a BitRateWarning: is kbit/s meant?
        Default: 0.1 bit per pixel for H.264, 0.07 for H.265, within the chip's range.
    rc : str or RateControl
        "default" (the chip's own: VBR on 310P and 310B, CBR on 310), "vbr" or "cbr"; on V2 also "avbr", "qvbr", "cvbr",
        and a `RateControl` with limits of the quantiser, or "fixqp".
    gop : int, optional
        Frames from one IDR to the next, 1 to 65536. Default: two seconds.
    scene : str, optional
        On V2, before the first frame: "still" (a camera that stands still, or pans back and forth), "motion" (fast:
        driving, sports, games) or "regular" (medium); by the vendor's words. Default: the device's own.
    intra_refresh : IntraRefresh, optional
        On V2: each picture refreshes some rows or columns of itself.
    roi : iterable of RegionOfInterest
        On V2: up to 8 rectangles with a quantiser of their own, in every picture until `reconfigure(roi=...)`.
    backend : str or path, optional
        "auto", "ascend", "sim", "sim:<chip>", or the absolute path of libascendcl.so or its folder. Default:
        $ASCEND_VENC_BACKEND, or "auto": the Ascend device if there is one, else the simulated device with a
        SimulatedDeviceWarning.
    device : int
        Number of the device.
    interface : str, optional
        Which of the vendor's two interfaces drives the device: "v1" (aclvenc*), "v2" (hi_mpi_venc_*, on the 310P and
        310B), or "auto". The vendor forbids both in one process: the first one used decides, and "auto" takes that.
        Where none was used yet it is V1 in a process that has used `acl.media` or runs a pyACL program, else V2 where
        chip and library have it; where that is there but does not work, V1 with an InterfaceFallbackWarning. Default:
        $ASCEND_VENC_INTERFACE, or "auto".
    depth : int
        Frames in the device at most, 1 to 256; on V2 no more than 6 of them, which is what the device takes. Each costs
        one picture of device memory.
    queue : int, optional
        Further frames that may wait natively for the device (`submit_async`, `on_full="drop_oldest"`), or be held by
        the program (`acquire`): 0 to 256, default `depth`. Their memory is taken when it is first needed.
    on_full : str
        What `submit` does where there is no room for a frame, because `depth` frames are in the device or `max_queued`
        packets wait: "block" (wait up to `timeout`), "drop_newest" (this frame), "drop_oldest" (of the frames that
        wait for the device, or of the packets: then the next frame becomes an IDR), "error" (EncoderFullError).
        Dropped frames are counted in `stats`. A dropped frame that was to be a key frame makes the next one so.
    max_queued : int
        Packets that may wait to be received, 1 to 65536: while so many do, no frame is taken. Packets of frames that
        were taken before come besides, up to `depth` + `queue`; not with "drop_oldest". Each holds the memory that its
        access unit needs.
    delivery : str
        "immediate": a receiver wakes for each packet. "coalesced": where packets come fast, it wakes once in
        `max_latency` for all of them, which costs less CPU.
    max_latency : float
        Seconds that "coalesced" may hold a packet back, up to 1. A sink that is a file may wait 0.1 s more where the
        write to another such file blocks.
    sink : int or file, optional
        A file descriptor, or an object with `fileno()`, to which native threads write every access unit, in order
        and without the GIL, instead of handing it out. It is duplicated: the encoder neither closes it nor changes its
        flags, and the program may close it at once; flush a Python file before. `flush` and `close` wait until all is
        written. A write that fails raises SinkError from the next call; what was not written can be received.
    timeout : float, optional
        Seconds that a call waits for a device that makes no progress, before AclTimeoutError; None: without bound. Also
        for the device to open, and for the encoder's end in `close`.
    name : str, optional
        What the program calls it, e.g. "door": told in `stats`, log lines, warnings, the messages of errors that this
        object's calls and those of its group raise (and their attribute `encoder_name`), and as a label of Prometheus.
        Up to 128 printable characters; it need not be unique.

    Raises
    ------
    TypeError, InvalidArgumentError
        An argument is not of its type, or outside its range; found before the device sees it.
    UnsupportedDeviceError
        The chip has no video encoder.
    DeviceFullError
        The device refused the channel because it has no more of them, or of the streams that they take.
    AclStateError
        This process uses the other one of the vendor's interfaces; the message names the one to choose.
    AclError
        No usable library or device, or the device refused to open a channel.

    Notes
    -----
    Safe to use from several threads; frames of concurrent callers are sent in an unspecified order. Every call that can
    block releases the GIL; only `submit_async` copies a frame with it, up to 4 MiB. Ctrl-C interrupts every wait of the
    main thread, where signal handlers run; they may use the encoder, also close it. After fork() the child cannot use
    the parent's encoder. An encoder that is dropped without `close` ends natively, with a ResourceWarning.

    Examples
    --------
    >>> import ascend_venc as venc
    >>> with venc.Encoder(128, 128, codec="h264", backend="sim") as enc:
    ...     packets = enc.encode(bytes(128 * 128 * 3 // 2))
    ...     packets += enc.flush()
    >>> [(packet.frame_index, packet.is_keyframe) for packet in packets]
    [(0, True)]
    """

    _of_one_owner = "channel"

    _channel: Channel | None = None
    _device: Device | None = None
    _name: str | None = None
    _process = 0  # that has opened it

    def __init__(
        self,
        width: int,
        height: int,
        *,
        codec: CodecName = "h265",
        profile: Profile | None = None,
        pixel_format: PixelFormatName = "nv12",
        color_matrix: ColorMatrix | None = None,
        color_range: ColorRange | None = None,
        source_range: ColorRange | None = None,
        color: ColorInfo | tuple[int, int, int] | ColorName | None = None,
        sample_aspect_ratio: Fraction | str | None = None,
        vui: bool = True,
        aud: bool = False,
        fps: int | float | str | Fraction = 25,
        bitrate: int | float | str | None = None,
        rc: RateControlMode | RateControl = "default",
        gop: int | None = None,
        scene: Scene | None = None,
        intra_refresh: IntraRefresh | None = None,
        roi: Iterable[RegionOfInterest] = (),
        backend: Backend | None = None,
        device: int = 0,
        interface: InterfaceName | None = None,
        depth: int = 4,
        queue: int | None = None,
        on_full: OnFull = "block",
        max_queued: int = 1024,
        delivery: Delivery = "immediate",
        max_latency: float = 0.01,
        sink: Any = None,
        timeout: float | None = 30.0,
        name: str | None = None,
    ) -> None:
        self._name, self._process = check_name(name), os.getpid()
        try:
            on_full = parse_choice("on_full", on_full, ON_FULL)
            delivery = parse_choice("delivery", delivery, DELIVERY)
            check_range(max_queued, "max_queued", 1, 65536)
            check_latency(max_latency)
            check_bool("aud", aud)
            config = EncoderConfig.resolve(
                width,
                height,
                codec=codec,
                profile=profile,
                pixel_format=pixel_format,
                color_matrix=color_matrix,
                color_range=color_range,
                source_range=source_range,
                color=color,
                sample_aspect_ratio=sample_aspect_ratio,
                vui=vui,
                fps=fps,
                bitrate=bitrate,
                rc=rc,
                gop=gop,
                depth=depth,
                scene=scene,
                intra_refresh=intra_refresh,
                roi=roi,
            )
            if queue is not None:
                check_range(queue, "queue", 1 if on_full == "drop_oldest" else 0, 256)
            self._timeout = check_timeout(timeout)
            self._replacing, self._opening_alone = threading.RLock(), False
            parse_interface(interface)  # before anything is loaded
            library = open_library(backend, self._timeout)
            check_device(device, library.device_count)
            descriptor = file_descriptor(sink, on_full)
            limits = limits_of(library.soc_name)  # raises for a chip without an encoder, by whichever interface
            # Before the device is opened, which decides for the process: the other interface may take it.
            _fitted(config, bitrate, limits, choose_interface(library, interface, self._timeout).name)
            self._device = Device(library, device, self._timeout, interface)
            self._interface = self._device.interface
            self._soc_name = self._device.soc_name
            self._simulated = library.simulated
            config = _fitted(config, bitrate, limits_of(self._soc_name), self._interface)
            _warn_of_bit_rate(config, bitrate, self._name)
            self._channel = Channel(
                self._device,
                config,
                _converter(config),
                self._timeout,
                queue=config.depth if queue is None else queue,
                max_queued=max_queued,
                on_full=on_full,
                max_latency=max_latency if delivery == "coalesced" else 0.0,
                stall=self._timeout,
                sink=descriptor,
                aud=aud,
            )
        except BaseException as error:
            if isinstance(error, DeviceFullError) and self._device is not None:
                count = open_channels(self._device)
                error.args = (f"device {device} ({self._soc_name}) is full, {count} open by this process: {error}",)
            tell_name(error, self._name)
            if self._device is not None:
                self._device.close()
            raise
        _stats.register(self)
        if os.environ.get("ASCEND_VENC_STATS"):
            from .stats_socket import publish_if_asked

            publish_if_asked()
        _log("opened %r", self)

    # ---- one call per frame --------------------------------------------------------------------------------------

    def encode(
        self,
        frame: Any,
        *,
        pts: int | None = None,
        key_frame: bool = False,
        token: Any = None,
        sei: Iterable[Message] | None = None,
    ) -> list[Packet]:
        """Send one frame and return the packets that are ready, oldest first; never wait for the one just sent.

        Parameters
        ----------
        frame : buffer, pair of buffers, Frame, DeviceFrame or tensor
            See `submit`. It is copied before the call returns and may be reused then.
        pts, key_frame, token, sei
            See `submit`.

        Returns
        -------
        list of Packet
            Often empty for the first frames. May hold packets of several frames.

        Raises
        ------
        FrameError
            The device did not encode an earlier frame, the one that it names. This frame was sent; packets are kept
            for the next call.
        AclError and others
            As `submit` does: nothing was sent.

        What a signal's handler raises, as Ctrl-C's does, may come after the frame was sent; `stats.submitted` tells.
        Packets stay to be received then: see `receive`.
        """
        try:
            channel = self._channel or self._open_channel()
            return channel.encode(frame, pts, key_frame, token, self._timeout, sei)
        except VencError as error:
            tell_name(error, self._name)
            raise

    def encode_iter(self, frames: Iterable[Any]) -> Iterator[Packet]:
        """Encode all frames of an iterable and yield every packet, in order; at its end those of the last frames."""
        packets: list[Packet] = []
        try:
            for frame in frames:
                packets = self.encode(frame)
                packets.reverse()
                while packets:
                    yield take_last(packets)
            packets = self.flush()
            packets.reverse()
            while packets:
                yield take_last(packets)
        finally:
            self._put_back(packets)

    def flush(self) -> list[Packet]:
        """Wait until every frame sent is encoded, and return the rest of the packets, in order.

        The encoder can be used further. Raises FrameError if a frame was not encoded: the packets of the others are
        kept, call again for them. Raises AclTimeoutError when the device finishes no frame for `timeout` seconds.
        """
        try:
            channel = self._open_channel()
            channel.wait_idle(self._timeout)
            return channel.drain()
        except VencError as error:
            tell_name(error, self._name)
            raise

    # ---- frames in, packets out, each at its own pace ------------------------------------------------------------

    def submit(
        self,
        frame: Any,
        *,
        pts: int | None = None,
        key_frame: bool = False,
        token: Any = None,
        sei: Iterable[Message] | None = None,
        timeout: float | None = None,
    ) -> int | None:
        """Send one frame; its packet comes out of `receive`.

        The frame is sent on the calling thread, without the GIL. The runtime's own call has no bound: one that never
        returns keeps this call, and no other.

        Parameters
        ----------
        frame : buffer, pair of buffers, Frame, DeviceFrame or tensor
            uint8 in host memory: an array of shape (height * 3 // 2, width), any contiguous buffer of
            width * height * 3 // 2 bytes, or a pair (y, uv) of shapes (height, width) and (height // 2, width). Rows
            may be padded, read-only memory is fine. One copy is made, before the call returns.
            With another `pixel_format`, arrays of its shape: (height, width, 3) for "rgb24", (height, width, 2) for
            "yuyv422", (height, width) for "gray8", (height * 3 // 2, width) or a tuple of three planes for "i420"; the
            conversion is the one copy.
            A `Frame` of `acquire()`: no copy on a board, one DMA on a host; it is used up.
            A `DeviceFrame`, or a tensor on the Ascend device (__dlpack__): no copy; its memory must not be changed
            before its packet has been received. A tensor in host memory: one copy.
        pts : int, optional
            Presentation time stamp in units of `time_base`. Default: the frame's number.
        key_frame : bool
            Make this frame an IDR; the GOP counts on from it.
        token : object, optional
            Comes back as `packet.token`.
        sei : iterable of messages, optional
            SEI messages for this picture: `UserDataUnregistered`, `RecoveryPoint`, `FrameTime` or `SeiMessage` of
            `ascend_venc.bitstream`. They are read before the frame is sent, and stand in one SEI in front of the
            picture's first slice, behind the parameter sets: 65536 bytes at most, as they stand in the stream. A frame
            that is dropped or refused takes them along.
        timeout : float, optional
            Seconds to wait for room where `on_full` is "block"; None: the encoder's `timeout`.

        Returns
        -------
        int or None
            The frame's number, counted from 0; None if it was dropped (`on_full`).

        Raises
        ------
        TypeError, InvalidArgumentError
            The frame, pts or sei is not what it has to be. Nothing was sent.
        AclTimeoutError, EncoderFullError
            No room, by `on_full`. Nothing was sent.
        EncoderClosedError
            The encoder is closed, or `drain()` was called.
        DeviceLostError, AclError
            The device is lost, or refused this frame. Nothing was sent, but the device may read the picture all the
            same: memory on the device is kept alive until it cannot any more.
        """
        try:
            channel = self._channel or self._open_channel()
            wait = self._timeout if timeout is None else check_timeout(timeout)
            return channel.submit(frame, pts, key_frame, token, wait, None, sei)
        except VencError as error:
            tell_name(error, self._name)
            raise

    def submit_many(
        self,
        frames: Iterable[Any],
        *,
        pts: Iterable[int] | None = None,
        key_frames: Iterable[bool] | None = None,
        tokens: Iterable[Any] | None = None,
        sei: Iterable[Iterable[Message] | None] | None = None,
        timeout: float | None = None,
    ) -> list[int | None]:
        """Send several frames in host memory with one native call, which gives the GIL up once.

        Frames for which the device has no room are queued natively (`queue`), so that the device has work while the
        program prepares its next batch; one of these that the device refuses later is reported by `receive`.
        `pts`, `key_frames`, `tokens` and `sei` have an item for each frame. Returns the frames' numbers, None for those
        that were dropped. Where frame k cannot be sent, the frames before it are, and the exception's `accepted` is k.
        Where one is not what it has to be, nothing is sent, and `accepted` is 0; only frames that are converted, and
        those of an encoder that drops the oldest, are looked at one by one. Other kinds of frames than host memory are
        refused with TypeError.
        """
        try:
            batch = items_of("frames", frames)
            count = len(batch)
            return (self._channel or self._open_channel()).submit_many(
                batch,
                None if pts is None else as_many("pts", pts, count, None),
                None if key_frames is None else as_many("key_frames", key_frames, count, False),
                None if tokens is None else as_many("tokens", tokens, count, None),
                self._timeout if timeout is None else check_timeout(timeout),
                None if sei is None else as_many("sei", sei, count, None),
            )
        except (TypeError, VencError) as error:
            if not hasattr(error, "accepted"):
                error.accepted = 0  # type: ignore[union-attr] # found before any was sent
            tell_name(error, self._name)
            raise

    def submit_async(
        self,
        frame: Any,
        *,
        pts: int | None = None,
        key_frame: bool = False,
        token: Any = None,
        sei: Iterable[Message] | None = None,
        copy: bool = True,
        timeout: float | None = None,
    ) -> int | None:
        """Queue one frame for a native thread to send; the call never waits for the device to take a frame.

        Parameters
        ----------
        frame : buffer, pair of buffers or tensor in host memory
            As `submit` takes it.
        copy : bool
            True: the frame is copied before the call returns, and may be reused then. False: it is borrowed. The
            native thread copies it; it must not be changed before its packet has been received, and objects that
            resize (bytearray) refuse to do so until it has been read.
        pts, key_frame, token, sei, timeout
            As in `submit`.

        Returns
        -------
        int or None
            The frame's number; None if it was dropped. A frame that the device refuses later is reported by
            `receive` with FrameError.

        Notes
        -----
        Room for `depth` + `queue` frames. Sending blocks while the device takes the frame; a thread that gave the GIL
        up for that would have to win it back each time. This call gives it up only to wait for room, to convert, and
        for copies above 4 MiB.
        """
        try:
            channel = self._channel or self._open_channel()
            wait = self._timeout if timeout is None else check_timeout(timeout)
            return channel.enqueue(frame, pts, key_frame, token, copy, wait, sei)
        except VencError as error:
            tell_name(error, self._name)
            raise

    def acquire(self, timeout: float | None = None) -> Frame | None:
        """Take a picture buffer to fill in place, and `submit` then; see `Frame`.

        Waits up to `timeout` seconds (None: the encoder's) for one where `on_full` is "block", else None comes back at
        once, or EncoderFullError. Frames that are held count against `depth` + `queue`. Like `submit` it finds no room
        while `max_queued` packets wait: with fewer than `depth` + `queue`, take packets before it.
        """
        try:
            channel = self._channel or self._open_channel()
            return channel.acquire(self._timeout if timeout is None else check_timeout(timeout))
        except VencError as error:
            tell_name(error, self._name)
            raise

    def receive(self, timeout: float | None = None) -> Packet:
        """Return the next packet, in the order of the frames; wait for it.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait for it. None: as long as packets may come; where frames are in the device and it finishes
            none for the encoder's `timeout`, AclTimeoutError all the same.

        Raises
        ------
        EncoderDrained
            The end of the stream: no packet is left, and none can come, because `drain()` was called, or because this
            thread is the only one that has submitted frames.
        AclTimeoutError
            No packet in time. It is a TimeoutError.
        FrameError
            The device did not encode the frame that it names. The others are delivered.
        DeviceLostError
            The device is lost. Packets that were ready came before this.
        EncoderClosedError
            The encoder was closed.

        A signal's handler that raises, as Ctrl-C's does, leaves packets to the next call: handlers run before any is
        taken. Only for the microseconds between that and the program's own assignment can Python drop what is returned.
        """
        try:
            return (self._channel or self._open_channel()).receive_many(1, timeout)[0]
        except VencError as error:
            tell_name(error, self._name)
            raise

    def receive_many(self, max: int = 64, timeout: float | None = None, *, at_least: int = 1) -> list[Packet]:
        """Wait for packets and return those that are ready: at least one, at most `max`. Raises like `receive`.

        With `at_least` (1 to `max`) the thread is woken once, when so many are ready. Fewer come back,
        though never none, where waiting for more is of no use: no frame is in flight, as many packets are ready as the
        encoder keeps (`max_queued`), a frame failed, the device is lost, or `timeout` is over.
        """
        try:
            return (self._channel or self._open_channel()).receive_many(max, timeout, at_least)
        except VencError as error:
            tell_name(error, self._name)
            raise

    def packets(self) -> Iterator[Packet]:
        """Yield packets as `receive` returns them, up to the end of the stream."""
        packets: list[Packet] = []
        try:
            while True:
                packets = self.receive_many()
                packets.reverse()
                while packets:
                    yield take_last(packets)
        except EncoderDrained:
            return
        finally:
            self._put_back(packets)

    def drain(self) -> None:
        """Declare the end of the stream: no further frames.

        Does not wait. Whoever receives gets the remaining packets, then EncoderDrained; `packets()` ends.
        """
        try:
            self._open_channel().end()
        except VencError as error:
            tell_name(error, self._name)
            raise

    def encode_future(
        self,
        frame: Any,
        *,
        pts: int | None = None,
        key_frame: bool = False,
        token: Any = None,
        sei: Iterable[Message] | None = None,
    ) -> Future[Packet]:
        """Send one frame and return a `concurrent.futures.Future` for its packet.

        The packet goes to the Future and not to `receive`. It is set by whichever thread takes packets from the
        encoder; one thread for all encoders of the process does so while Futures are pending. It holds FrameError if
        the device did not encode the frame, AclTimeoutError if the device finishes none for `timeout` seconds, and is
        cancelled if the encoder is closed before.
        A frame that was dropped (`on_full`) gives a cancelled Future. Raises like `submit`. InvalidArgumentError for an
        encoder with a `sink`, which is to get all packets.
        """
        try:
            channel = self._open_channel()
            if channel.stream.sink >= 0:
                raise InvalidArgumentError(
                    "encode_future would leave this frame out of what is written to the sink: use submit(), or make "
                    "the encoder without sink"
                )
            futures = _futures()
            future: Future[Packet] = futures.submit(
                channel, frame, pts, key_frame, token, self._wait_for(None), sei, self._name
            )
            return future
        except VencError as error:
            tell_name(error, self._name)
            raise

    # ---- changing and ending -------------------------------------------------------------------------------------

    def reconfigure(
        self,
        *,
        bitrate: int | float | str | None = None,
        fps: int | float | str | Fraction | None = None,
        gop: int | None = None,
        rc: RateControlMode | RateControl | None = None,
        roi: Iterable[RegionOfInterest] | None = None,
        width: int | None = None,
        height: int | None = None,
    ) -> int:
        """Change settings; return the number of the next frame that is submitted, the first to which they apply.

        What is not given stays as it is, also where `Encoder` had chosen it: `bitrate` beside another size, `gop`
        beside another frame rate. A BitRateWarning tells where the bit rate becomes very low by that.

        On DVPP V2 `bitrate`, `fps`, `gop`, `rc` and `roi` change in the channel that is there, without an IDR
        (source: the vendor's documentation of hi_mpi_venc_set_chn_attr; of regions it tells no moment). The
        call waits until the frames submitted before it are out of the device, since whether it would take the
        change with frames inside is not known; AclTimeoutError when it finishes none, or a call of the vendor's
        does not return, for `timeout` seconds. Frames submitted meanwhile are taken and wait behind the change:
        their counted time stamps are in the new time base, those that were given in the old one. Where the
        device refuses the change, the old settings are written back and AclError is raised: like any exception
        that comes before the change is made, this changes nothing. `Frame`s of `acquire` stay good. Only where
        the old settings are refused too, or the library is too old, or the device may still read frames that it
        refused, does it go as on V1.

        On V1, and for a size, the first frame is an IDR: the hardware fixes settings when a channel is created (source:
        the vendor's documentation of DVPP V1), so another channel takes the place of the present one behind this same
        encoder. It is opened first, and waited for up to `timeout` seconds; then frames go to it, in one step, and the
        old one encodes what it has and ends, which is not waited for. A frame is checked against the channel that gets
        it: one of the old size is refused from then on. Frames of `acquire` that were not submitted cannot be any more.

        Frame numbers, counters and the order of packets go on. `fps` changes the time base of the packets that follow;
        counted time stamps go on where the last frame ended, rounded up.

        Everything is validated first: InvalidArgumentError changes nothing. Only where the device has no second
        channel, submitting waits until the old one has encoded its frames and ended: AclTimeoutError, when the device
        finishes no frame for `timeout` seconds, changes nothing either; where it refuses the new settings then, a
        channel with the old ones is opened, and only if that is refused too, the encoder is closed. Interrupted, or
        timed out, while the old one is ended, it leaves the encoder without a channel: `config` is the old one, and
        submitting waits, until it is called again, with these settings or others, or the encoder is closed. Packets
        stay readable in any case. Other calls keep their bounds meanwhile. May be called from a signal handler and from
        several threads: each change is made on top of the one before.
        """
        roi = None if roi is None else listed_regions(roi)  # the loop may go round again, and a generator may not
        warned = False
        waited: Any = None
        try:
            self._open_channel().stream.forget_settings()
            while True:
                channel = self._open_channel()
                while channel.successor is not None:  # another thread's change that is not stored here yet
                    channel = channel.successor
                epoch, old = channel.settings()
                if waited != (channel, epoch):
                    waited, since = (channel, epoch), time.monotonic_ns()
                config = EncoderConfig.resolve(
                    old.width if width is None else width,
                    old.height if height is None else height,
                    codec=old.codec,
                    profile=old.profile,
                    pixel_format=old.pixel_format,
                    color_matrix=old.color_matrix,
                    color_range=old.color_range,
                    source_range=old.source_range,
                    color=old.color,
                    sample_aspect_ratio=old.sample_aspect_ratio,
                    vui=old.vui,
                    fps=old.fps if fps is None else fps,
                    bitrate=old.bitrate if bitrate is None else bitrate,
                    rc=old.rate_control if rc is None else rc,
                    gop=old.gop if gop is None else gop,
                    depth=old.depth,
                    scene=old.scene,
                    intra_refresh=old.intra_refresh,
                    roi=old.roi if roi is None else roi,
                )
                config.check(limits_of(self._soc_name), self._interface)
                if not warned:
                    _warn_of_bit_rate(config, bitrate, self._name, old)
                warned = True  # once for a call
                try:
                    first = channel.change(epoch, config, self._timeout, since)
                    if first is False:
                        first = self._replace(channel, epoch, config)
                except BaseException:  # a signal's handler may raise between the two
                    channel.distrust()
                    raise
                if first is not None:
                    _log("reconfigured from frame %d: %r", first, self)
                    return int(first)
        except VencError as error:
            tell_name(error, self._name)
            raise

    def _replace(self, channel: Channel, epoch: int, config: EncoderConfig) -> int | None:
        """Put a channel with these settings in the place of `channel`, one thread at a time.

        None if that has lost its place meanwhile, or the settings of `epoch` that `config` was made from.
        """
        if not self._replacing.acquire(
            timeout=-1 if self._timeout is None else min(self._timeout, threading.TIMEOUT_MAX)
        ):
            raise from_status(_TIMEOUT, "", f"another change of the settings is not over after {self._timeout:.3g} s")
        try:
            if self._opening_alone:  # by the call that this one, a signal's handler, interrupts
                raise from_status(
                    _REPLACED, "", "the settings are being changed, on a device that has no channel for this change"
                )
            if channel.successor is not None:
                return None
            converter = _converter(config)
            try:
                other = Channel(channel.stream.device, config, converter, self._timeout, channel, epoch)
            except (AclTimeoutError, DeviceLostError):
                raise
            except AclError as refusal:
                if channel.closed or refusal.code == _UNSUPPORTED:  # without a channel it would be the same
                    raise
                return self._replace_alone(channel, epoch, config, converter, refusal)
            return self._take_place(other, channel)
        finally:
            self._replacing.release()

    def _replace_alone(
        self, channel: Channel, epoch: int, config: EncoderConfig, converter: Converter | None, refusal: AclError
    ) -> int | None:
        """The device refused a second channel: end the present one first."""
        if not channel.retire(epoch, self._timeout):
            return None
        self._opening_alone = True
        try:
            if channel.successor is not None:  # by a signal's handler
                return None
            return self._open_alone(channel, epoch, config, converter, refusal)
        finally:
            self._opening_alone = False

    def _open_alone(
        self, channel: Channel, epoch: int, config: EncoderConfig, converter: Converter | None, refusal: AclError
    ) -> int | None:
        """The new channel, or one with the old settings, where that one has ended."""
        device = channel.stream.device
        old = channel.config
        try:
            try:
                other = Channel(device, config, converter, self._timeout, channel, epoch)
            except AclError as error:
                refusal = error
                other = Channel(device, old, _converter(old), self._timeout, channel, epoch)
        except BaseException:
            channel.close_to_frames()
            raise
        first = self._take_place(other, channel)
        if other.config is old:
            raise refusal
        return first

    def _take_place(self, other: Channel, channel: Channel) -> int | None:
        first: int | None = other.succeed(channel)
        while self._channel is not None and self._channel.successor is not None:
            self._channel = self._channel.successor
        return first

    def close(self) -> None:
        """Take no more frames, wait for those in the device, up to `timeout` seconds, and end the hardware channel.

        Idempotent; other threads' calls end with EncoderClosedError, those that receive when the device has given back
        what it has, or with AclTimeoutError within their own bound where it does not. Queued frames, and packets that
        were not taken by `encode` or `flush`, are dropped, with one DroppedPacketsWarning, shown by default, that tells
        their number; packets that were taken stay valid. What the device does not give back in time is ended natively
        when it does: AclTimeoutError says who is in the way, and the channel stays counted. A sink whose reader alone
        is in the way is given up after `timeout` seconds, with that warning and no error. On a lost device the call
        returns at once. Interrupted by Ctrl-C, it can be called again. Raises AclError if the device answered the
        channel's end with a code.
        """
        self._close(warn=True)

    def _close(self, warn: bool, timeout: float | None = None) -> None:
        begun = self._begin_close()
        if begun is not None:
            self._end_close(begun, warn, self._timeout if timeout is None else timeout)

    def _begin_close(self) -> tuple[bool, int] | None:
        """Close without waiting, so that several end together. Whether it was closed, and dropped frames up to then."""
        channel = self._channel
        if channel is None:
            return None
        again = channel.closed  # perhaps by a call that was interrupted, or timed out: wait for the end
        before = channel.stats()["dropped_frames"]  # closing drops those that are queued
        if not again:
            channel.close_to_frames()  # first: callbacks of Futures may send others as long as they can
        return again, before

    def _end_close(self, begun: tuple[bool, int] | None, warn: bool, timeout: float | None) -> None:
        """Wait for the end up to `timeout` seconds (None: without bound)."""
        channel = self._channel
        if channel is None or begun is None:
            return
        again, dropped = begun[0], -begun[1]
        try:
            if not again:
                timeout = _deliver_ready(channel, timeout)
            before = channel.stats()
            channel.close(timeout)
        except VencError as error:
            tell_name(error, self._name)
            raise
        finally:
            if self._device is not None:
                self._device.close()
        if again:
            return
        dropped += before["dropped_frames"] + before["in_flight"] + before["ready"]
        if channel.stream.sink >= 0:
            after = channel.stats()
            dropped -= after["written"] - before["written"] + after["failed"] - before["failed"]
        _log("closed after %d frames: %r", before["submitted"], self)
        if warn and dropped > 0:
            call_site.warn(
                f"{_named(self._name)}{dropped} packet(s) were dropped: take them with flush() before close()",
                DroppedPacketsWarning,
            )

    def __enter__(self) -> Encoder:
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, traceback: TracebackType | None) -> None:
        self._close(warn=kind is None)

    def __del__(self) -> None:
        channel = self._channel
        if channel is None or channel.closed:
            return
        text = f"unclosed {self!r}"  # as it was
        channel.stream.mark_closed()  # neither waits nor locks: the collector may call this anywhere
        if self._process == os.getpid():  # else it is its parent's to close
            warnings.warn(text, ResourceWarning, source=self, stacklevel=2)

    def _put_back(self, packets: list[Packet]) -> None:
        """Packets that a loop did not come to, the last one first, stay to be received."""
        if packets:
            packets.reverse()
            self._open_channel().put_back(packets)

    def _wait_for(self, timeout: float | None) -> float | None:
        return self._timeout if timeout is None else check_timeout(timeout)

    def _open_channel(self) -> Channel:
        channel = self._channel
        if channel is None:  # Encoder.__new__ without __init__
            raise from_status(_CLOSED, "", "the encoder was never opened")
        return channel

    @property
    def config(self) -> EncoderConfig:
        """What the encoder was asked for, with every default resolved."""
        config: EncoderConfig = self._open_channel().config
        return config

    @property
    def name(self) -> str | None:
        """What the program calls it, or None."""
        return self._name

    @property
    def backend(self) -> str:
        """What encodes: "ascend:<chip>" or "sim:<chip>"."""
        return f"{'sim' if self._simulated else 'ascend'}:{self._soc_name or 'unknown'}"

    @property
    def interface(self) -> Interface:
        """Which of the vendor's interfaces drives the device: "v1" or "v2"."""
        return self._interface

    def capabilities(self) -> Capabilities:
        """What the device of this encoder can do by its interface: see `Capabilities`."""
        device: Any = self._device
        return capabilities_by(device.library, self._soc_name, self._interface)

    @property
    def simulated(self) -> bool:
        """Whether the simulated device encodes, on this machine's CPU."""
        return self._simulated

    @property
    def time_base(self) -> Fraction:
        """Seconds per unit of pts."""
        return 1 / self.config.fps

    @property
    def stats(self) -> _stats.EncoderStats:
        """Counters of this encoder at this moment; also after it was closed. See `EncoderStats`.

        Raises ForkedProcessError in a child of fork(): they are the parent's.
        """
        channel = self._open_channel()
        if self._process != os.getpid():
            error = from_status(_FORKED, "", "the encoder was opened before fork(), and its counters are the parent's")
            tell_name(error, self._name)
            raise error
        return _stats.EncoderStats.of(channel.stats(), self._name or "")

    @property
    def closed(self) -> bool:
        """Whether the encoder has been closed, or was opened before the fork() of this process."""
        return self._channel is None or self._channel.closed or self._process != os.getpid()

    def __repr__(self) -> str:
        if self._channel is None:
            return "<Encoder not open>"
        config = self.config
        state = " closed" if self.closed else ""
        named = "" if self._name is None else f"{self._name!r} "
        return (
            f"<Encoder {named}{config.width}x{config.height} {config.codec} {config.profile} "
            f"{float(config.fps):g} fps {config.bitrate} bit/s on {self.backend}{state}>"
        )


def take_last(found: list[_T]) -> _T:
    """`found.pop()`, behind which no signal handler runs while the item is in nobody's hands (from Python 3.11 on)."""
    last = found[-1]
    del found[-1]
    return last


def _named(name: str | None) -> str:
    return "" if name is None else f"{name}: "


def _fitted(config: EncoderConfig, bitrate: Any, limits: ChipLimits, interface: Interface) -> EncoderConfig:
    """Return a configuration with a bit rate of the chip's, where none was given. Raises as `EncoderConfig.check`."""
    if bitrate is None:
        config = config.with_bitrate_within(limits)
    config.check(limits, interface)
    return config


def _is_low(config: EncoderConfig) -> bool:
    return config.bitrate < config.width * config.height * config.fps * _LEAST_BITS_PER_PIXEL


def _warn_of_bit_rate(config: EncoderConfig, given: Any, name: str | None, before: EncoderConfig | None = None) -> None:
    """Of one that is given, or that is kept from the settings before, where it was not low."""
    if not _is_low(config) or (given is None and (before is None or _is_low(before))):
        return
    advice = (
        f'is kbit/s meant? Then give "{config.bitrate}k"'
        if given is not None
        else "it is the one from before, give another one too"
    )
    call_site.warn(
        f"{_named(name)}bitrate is {config.bitrate} bit/s for {config.width} x {config.height} at "
        f"{float(config.fps):g} frames per second: {advice}",
        BitRateWarning,
    )


def _futures() -> Any:
    """The module of Futures, imported when it is first needed: it needs `logging`.

    For the main thread another one does that: who interrupts an import, in a signal handler, and wants the same module
    gets what there is of it by then, and nobody can wait for the rest. Not where this thread is inside another import,
    which that thread might wait for.
    """
    if (
        not hasattr(sys.modules.get("ascend_venc.futures"), "submit")
        and threading.get_ident() == threading.main_thread().ident
        and not _inside_an_import()
    ):
        with contextlib.suppress(RuntimeError):  # no thread can be started
            thread = threading.Thread(target=_import_futures, name="ascend-venc-import", daemon=True)
            thread.start()
            thread.join()
    from . import futures

    return futures


def _import_futures() -> None:
    with contextlib.suppress(Exception):  # the thread that wants it is told
        importlib.import_module("ascend_venc.futures")


def _inside_an_import() -> bool:
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_globals.get("__name__") != "importlib._bootstrap":
        frame = frame.f_back
    return frame is not None


def _log(text: str, *args: Any) -> None:
    """Log to "ascend_venc" if anybody can listen: a program that does not use logging need not pay for its import."""
    logger = getattr(sys.modules.get("logging"), "getLogger", None)  # another thread may just import it
    if logger is not None:
        logger("ascend_venc").info(text, *args)


def _deliver_ready(channel: Channel, timeout: float | None) -> float | None:
    """Packets that are ready as the encoder is closed are not lost to a thread of Futures that comes late.

    What is left of the time for closing. Where a callback raises KeyboardInterrupt or SystemExit, nothing is waited
    for: the other Futures are cancelled, and the channel ends natively.
    """
    deliver = getattr(sys.modules.get("ascend_venc.futures"), "deliver", None)  # another thread may just import it
    ready = channel.stats()["ready"]
    if deliver is None or not (ready and channel.stream.promised):
        return timeout
    until = None if timeout is None else time.monotonic() + timeout
    try:
        deliver(channel, ready, until)
    except BaseException:
        with contextlib.suppress(VencError):
            channel.close(0)
        raise
    return None if until is None else max(until - time.monotonic(), 0.0)


def _converter(config: EncoderConfig) -> Converter | None:
    if not config.converted:
        return None
    return Converter(
        config.pixel_format,
        config.width,
        config.height,
        "nv12",
        config.color_matrix,
        config.source_range,
        config.color_range,
    )
