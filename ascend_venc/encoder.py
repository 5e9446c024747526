# SPDX-License-Identifier: Apache-2.0
"""The Pythonic encoder: plain Python over the C-level channel."""

from __future__ import annotations

import warnings
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ._lowlevel.channel import Channel, Device
from ._lowlevel.core import open_library
from .config import EncoderConfig, limits_of
from .errors import InvalidArgumentError

if TYPE_CHECKING:
    import os
    from types import TracebackType

    from ._lowlevel.buffers import Packet


class Encoder:
    """Encode NV12 or NV21 frames to H.264 or H.265 on an Ascend device.

    Parameters
    ----------
    width, height : int
        Size in pixels, even; the range depends on the chip (310P: 128 to 4096).
    codec : str
        "h264" or "h265".
    profile : str, optional
        "baseline", "main" or "high" for H.264 (default "high"); "main" for H.265.
    pixel_format : str
        "nv12" or "nv21": order of the interleaved chroma bytes.
    fps : int, float, str or fractions.Fraction
        Frames per second of the input; sets the packets' time base and the rate control's pace. 29.97 and the like
        mean n * 1000/1001. The device itself counts in whole frames per second (310P, 310B: 1 to 240; 310: 1 to 120).
    bitrate : int or str, optional
        bit/s as an int, or "800k", "2M". The device counts in kbit/s (310P, 310B: 2 to 614400; 310: 10 to 30000).
        Default: 0.1 bit per pixel for H.264, 0.07 for H.265.
    rc : str
        "default" (the chip's own: VBR on 310P and 310B, CBR on 310), "vbr" or "cbr".
    gop : int, optional
        Frames from one IDR to the next, 1 to 65536. Default: two seconds.
    backend : str or path, optional
        "auto", "ascend", "sim", "sim:<chip>", or the absolute path of libascendcl.so or its folder. Default:
        $ASCEND_VENC_BACKEND, or "auto": the Ascend device if there is one, else the simulated device with a
        SimulatedDeviceWarning.
    device : int
        Number of the device.
    depth : int
        Frames in flight at most, 1 to 256. Each costs one picture of device memory.
    timeout : float, optional
        Seconds that a call waits for a device that makes no progress, before AclTimeoutError; None: without bound.

    Raises
    ------
    TypeError, InvalidArgumentError
        An argument is not of its type, or outside its range; found before the device sees it.
    UnsupportedDeviceError
        The chip has no video encoder.
    AclError
        No usable library or device, or the device refused to open a channel.

    Notes
    -----
    Safe to use from several threads; frames of concurrent callers are sent in an unspecified order. Every call that can
    block or copies a frame releases the GIL, and Ctrl-C interrupts every wait. After fork() the child cannot use the
    parent's encoder.

    Examples
    --------
    >>> import ascend_venc as venc
    >>> with venc.Encoder(128, 128, codec="h264", backend="sim") as enc:
    ...     packets = enc.encode(bytes(128 * 128 * 3 // 2))
    ...     packets += enc.flush()
    >>> [(packet.frame_index, packet.is_keyframe) for packet in packets]
    [(0, True)]
    """

    _channel: Channel | None = None
    _device: Device | None = None

    def __init__(
        self,
        width: int,
        height: int,
        *,
        codec: str = "h265",
        profile: str | None = None,
        pixel_format: str = "nv12",
        fps: int | float | str | Fraction = 25,
        bitrate: int | str | None = None,
        rc: str = "default",
        gop: int | None = None,
        backend: str | os.PathLike[str] | None = None,
        device: int = 0,
        depth: int = 4,
        timeout: float | None = 30.0,
    ) -> None:
        config = EncoderConfig.resolve(
            width,
            height,
            codec=codec,
            profile=profile,
            pixel_format=pixel_format,
            fps=fps,
            bitrate=bitrate,
            rc=rc,
            gop=gop,
            depth=depth,
        )
        self._config = config
        self._timeout = _check_timeout(timeout)
        library = open_library(backend)
        _check_device(device, library.device_count)
        self._device = Device(library, device)
        try:
            self._soc_name = self._device.soc_name
            self._simulated = library.simulated
            config.check(limits_of(self._soc_name))
            self._channel = Channel(
                self._device,
                1 / config.fps,
                config.stream_format,
                config.device_pixel_format,
                config.width,
                config.height,
                config.gop,
                config.rc_mode,
                config.src_rate,
                config.max_bit_rate,
                config.depth,
            )
        except BaseException:
            self._device.close()
            raise

    def encode(self, frame: Any, *, pts: int | None = None, key_frame: bool = False) -> list[Packet]:
        """Send one frame and return the packets that are ready, oldest first; never wait for the one just sent.

        Parameters
        ----------
        frame : buffer
            uint8: an array of shape (height * 3 // 2, width), whose rows may be padded, or any contiguous buffer of
            width * height * 3 // 2 bytes. It is copied before the call returns and may be reused then.
        pts : int, optional
            Presentation time stamp in units of `1 / fps` seconds. Default: the frame's number.
        key_frame : bool
            Make this frame an IDR; the GOP counts on from it.

        Returns
        -------
        list of Packet
            Often empty for the first frames. May hold packets of several frames.

        Raises
        ------
        TypeError, InvalidArgumentError
            The frame or pts is not what it has to be. Nothing was sent.
        AclTimeoutError
            `depth` frames were in flight for `timeout` seconds. Nothing was sent.
        FrameError
            The device did not encode an earlier frame, the one that it names. This frame was sent; packets are kept
            for the next call.
        EncoderClosedError
            The encoder is closed.
        AclError
            The device refused this frame. Nothing was sent.
        """
        return self._open_channel().encode(frame, pts, key_frame, self._timeout)

    def flush(self) -> list[Packet]:
        """Wait until every frame sent is encoded, and return the rest of the packets, in order.

        The encoder can be used further. Raises FrameError if a frame was not encoded: the packets of the others are
        kept, call again for them. Raises AclTimeoutError when the device finishes no frame for `timeout` seconds.
        """
        channel = self._open_channel()
        channel.wait_idle(self._timeout)
        return channel.drain()

    def close(self) -> None:
        """Wait for the frames in flight, up to `timeout` seconds, and end the hardware channel.

        Idempotent. Packets that were not taken by `encode` or `flush` are dropped, with a ResourceWarning. Packets that
        were stay valid. Interrupted by Ctrl-C, it can be called again.
        """
        self._close(warn=True)

    def _close(self, warn: bool) -> None:
        channel = self._channel
        if channel is None or channel.closed:
            return
        stats = channel.stats()
        dropped = stats["in_flight"] + stats["ready"]
        channel.close(self._timeout)
        if self._device is not None:
            self._device.close()
        if warn and dropped:
            warnings.warn(
                f"{dropped} packet(s) were dropped: take them with flush() before close()",
                ResourceWarning,
                stacklevel=3,
            )

    def __enter__(self) -> Encoder:
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, traceback: TracebackType | None) -> None:
        self._close(warn=kind is None)

    def __del__(self) -> None:
        channel = self._channel
        if channel is None or channel.closed:
            return
        warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
        self._close(warn=False)

    def _open_channel(self) -> Channel:
        channel = self._channel
        assert channel is not None  # __init__ has finished
        return channel

    @property
    def config(self) -> EncoderConfig:
        """What the encoder was asked for, with every default resolved."""
        return self._config

    @property
    def backend(self) -> str:
        """What encodes: "ascend:<chip>" or "sim:<chip>"."""
        return f"{'sim' if self._simulated else 'ascend'}:{self._soc_name or 'unknown'}"

    @property
    def simulated(self) -> bool:
        """Whether the simulated device encodes, on this machine's CPU."""
        return self._simulated

    @property
    def time_base(self) -> Fraction:
        """Seconds per unit of pts."""
        return 1 / self._config.fps

    @property
    def closed(self) -> bool:
        """Whether the encoder has been closed."""
        return self._channel is None or self._channel.closed

    def __repr__(self) -> str:
        config = self._config
        state = " closed" if self.closed else ""
        return (
            f"<Encoder {config.width}x{config.height} {config.codec} {config.profile} "
            f"{float(config.fps):g} fps {config.bitrate} bit/s on {self.backend}{state}>"
        )


def _check_timeout(timeout: Any) -> float | None:
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not hasattr(timeout, "__float__"):
        raise TypeError(f"timeout must be a number of seconds or None, got {type(timeout).__name__}")
    seconds = float(timeout)
    if not 0 <= seconds < float("inf"):
        raise InvalidArgumentError(f"timeout is {timeout}; give seconds >= 0, or None for no bound")
    return seconds


def _check_device(device: Any, count: int) -> None:
    if isinstance(device, bool) or not hasattr(device, "__index__"):
        raise TypeError(f"device must be an int, got {type(device).__name__}")
    if count and not 0 <= device < count:
        raise InvalidArgumentError(f"device is {device}; this machine has 0 to {count - 1}")
