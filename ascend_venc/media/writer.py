# SPDX-License-Identifier: Apache-2.0
"""Pictures into a file, in one call or one by one: an encoder, its packets, and the file in one object."""

from __future__ import annotations

import atexit
import contextlib
import inspect
import os
import threading
import time
import warnings
import weakref
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ..arguments import as_seconds, as_size, as_time_base, parse_choice
from ..call_site import warn
from ..config import EncoderConfig
from ..device_capabilities import capabilities
from ..encoder import Encoder
from ..errors import EncoderClosedError, InvalidArgumentError, MediaError, PictureSizeWarning, VencError, from_status
from ..picture_quality import listed_regions
from ..pixel_formats import ALIASES, PIXEL_FORMATS, name_of_format
from ..rates import parse_fps
from ..single_owner import SingleOwner
from .delivery import Delivery
from .formats import CLOCKS, check_mapping, fine_clock
from .live import LiveOutput
from .picture_times import PictureTimes
from .pictures import Picture, enlarged, picture_of, settings_for
from .reader import VideoFrame, VideoReader
from .ring import PacketRing
from .segments import Split
from .target import Target, check_can_crop, check_different, common_codec, output_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

    from typing_extensions import Unpack

    from ..literals import CodecName, FormatName, PixelFormatName, Times
    from .writer_settings import EncoderSettings

TIMES: tuple[Times, ...] = ("fps", "given", "wall-clock")
_FINE = Fraction(1, 90000)  # seconds: holds the usual frame rates, and every format takes it
_FORKED = -5  # AVENC_E_FORKED
_BLOCK = 16  # pixels: sizes of this kind are coded as they are by every encoder
_AT_EXIT = 5.0  # seconds that the end of the process waits for a writer that was not closed
_SETTINGS = tuple(
    name
    for name, parameter in inspect.signature(Encoder.__init__).parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY and name not in ("codec", "pixel_format", "fps", "sink")
)
_CHECKED_EARLY = tuple(inspect.signature(EncoderConfig.resolve).parameters)

# Their references are listed in one step, as those of a WeakSet are not, which other threads change meanwhile.
_open_writers: weakref.WeakKeyDictionary[VideoWriter, None] = weakref.WeakKeyDictionary()
# Their threads keep them until the files are finished.
_deliveries: weakref.WeakKeyDictionary[Delivery, None] = weakref.WeakKeyDictionary()


class VideoWriter(SingleOwner):
    """Encode pictures into a file: an `Encoder`, its packets and the container in one object.

    Size and kind of the pictures are those of the first one; the encoder is opened then, and the file made when its
    first packet is there. A thread takes packets and writes them, so that a file grows while the program makes its next
    picture, and Ctrl-C never cuts one off. Threads may share it: pictures come in the order of the calls.

    Parameters
    ----------
    file : str, path, binary file, Target, PacketRing, LiveOutput, or a list of them
        By its suffix: .mp4 .m4v .mov .mkv .ts .flv, or a bare bitstream .h264 .264 .avc .h265 .265 .hevc. A file that
        is there is replaced. A file object needs `format`, and is not closed. A network's address (rtsp://, rtmp://,
        udp://, ...) is a `LiveOutput` with its defaults. All of a list get the same packets; one that fails is ended,
        and the others go on.
    fps : int, float, str or fractions.Fraction, optional
        Frames per second. Default: 25.
    size : (int, int), optional
        Width and height of every picture. Default: those of the first. Needed for `DeviceFrame` and bytes.
    pixel_format : str, optional
        What arrays, tensors and bytes hold: "rgb24", "bgr24" (OpenCV), "rgba", "bgra", "gray8", "nv12", "nv21",
        "i420", "yv12", "yuyv422", "uyvy422", or their aliases. Default: RGB, RGBA or grey, by the channels;
        (height, width) alone is not guessed. Images and frames of other libraries tell their own.
    times : str
        "fps": evenly spaced. "given": each `write` has a `time`. "wall-clock": when `write` is called; pictures within
        one unit of the file's clock are one unit apart.
    time_base : fractions.Fraction, optional
        Seconds per unit, to which times are rounded that are given or the clock's. Default: 1/1000 for Matroska and
        FLV, which count in that, 1/90000 for others.
    format : str, optional
        "mp4", "mov", "mkv", "ts", "flv", "h264" or "h265". Default: by the suffix.
    codec : str, optional
        "h264" or "h265". Default: what the suffix says, else "h264", which every player and browser shows.
    fragmented : bool
        MP4 and MOV in fragments of at most a second: can be played while it grows or after the program was killed, and
        be written to a pipe. See `Muxer`.
    faststart : bool, optional
        MP4 and MOV with their index in front; closing moves all that was written. Default: where the file can be read
        and is not fragmented.
    metadata : mapping of str, optional
        Of the file: "title", "artist", "comment" and the like.
    copy_audio_from : str or path, optional
        A file whose sound is copied as it is, from its first picture on. Where the pictures end by an exception, the
        sound ends with them.
    audio_start : float or fractions.Fraction, optional
        Seconds by that file's clock at which the first picture is shown. Default: when its own first picture is.
    split_seconds : float or fractions.Fraction, optional
        Go on in another file after so many seconds, and again; a key frame is made there. The name has a number, such
        as "door-%03d.mp4", which counts from 0. The time of each file begins at 0.
    split_bytes : int, optional
        Go on in another file at the first key frame after so many bytes of the bitstream.
    muxer_options : mapping of str, optional
        Further options of FFmpeg's muxer.
    **settings
        Those of `Encoder`: `bitrate`, `gop`, `profile`, `color`, `backend`, `device`, ...

    Attributes
    ----------
    encoder : Encoder or None
        Once the first picture is there: for `stats`, `reconfigure`. Do not take its packets.
    frames : int
        Pictures written so far.
    dropped : int
        How many of them `on_full` left out so far. They leave a gap in time; a file or a part of one begins with the
        first one that was not.
    size : (int, int) or None
        What the file shows.
    files : list of str
        Paths of the files that were made so far.
    live_outputs : list of LiveOutput
        Those among the outputs, for their `stats`.
    closed : bool

    Raises
    ------
    TypeError, InvalidArgumentError
        A setting or its value is not known; the suffix or format is not; the file is one that is read.
    MediaError
        A container is asked for and PyAV is not installed, or the format needs a file that can seek.
    OSError
        The file cannot be made.

    Notes
    -----
    Sides below the chip's smallest are filled up by repeating the edge and cut off again by the stream's parameter
    sets, for which bare bitstreams need PyAV too. An odd side is rounded up likewise, and shown, with a
    PictureSizeWarning.

    An exception inside `with` finishes the file: pictures that were written before it are kept, whatever the format. A
    file that cannot be finished is kept where players read it without its end (.mkv, .ts, .flv, bare, fragmented), and
    removed where they do not (.mp4, .mov). Where the first picture fails there is no file, and what was there before
    stays. After SIGKILL the same formats can be played, fragmented mp4 up to the last second.

    Examples
    --------
    >>> import io
    >>> import numpy as np
    >>> import ascend_venc as venc
    >>> file = io.BytesIO()
    >>> with venc.VideoWriter(file, format="mp4", fps=30, bitrate="1M", backend="sim") as film:
    ...     for level in range(3):
    ...         film.write(np.full((128, 128, 3), 80 * level, np.uint8))
    >>> film.frames
    3
    """

    _delivery: Delivery | None = None
    _closed = _ending = True  # until it is made

    def __init__(
        self,
        file: Any,
        *,
        fps: int | float | str | Fraction | None = None,
        size: tuple[int, int] | None = None,
        pixel_format: PixelFormatName | None = None,
        times: Times = "fps",
        time_base: Fraction | None = None,
        format: FormatName | None = None,
        codec: CodecName | None = None,
        fragmented: bool = False,
        faststart: bool | None = None,
        metadata: Mapping[str, str] | None = None,
        copy_audio_from: str | os.PathLike[str] | None = None,
        audio_start: float | Fraction | None = None,
        split_seconds: float | Fraction | None = None,
        split_bytes: int | None = None,
        muxer_options: Mapping[str, str] | None = None,
        **settings: Unpack[EncoderSettings],
    ) -> None:
        self._fps = parse_fps(25 if fps is None else fps)
        self._asked_size = as_size(size)
        if pixel_format is not None:
            pixel_format = parse_choice("pixel_format", name_of_format(pixel_format), PIXEL_FORMATS, ALIASES)
        self._pixel_format = pixel_format
        times = parse_choice("times", times, TIMES)
        check_mapping("muxer_options", muxer_options, '{"movflags": "frag_every_frame+empty_moov"}')
        split = None if split_seconds is None and split_bytes is None else Split(split_seconds, split_bytes)
        files = file if isinstance(file, (list, tuple)) else [file]
        self._targets: list[Any] = [
            each
            if isinstance(each, (Target, PacketRing, LiveOutput))
            else output_for(
                each,
                format=format,
                fragmented=fragmented,
                faststart=faststart,
                options=muxer_options,
                metadata=metadata,
                copy_audio_from=copy_audio_from,
                audio_start=None if audio_start is None else as_seconds("audio_start", audio_start),
                split=split,
            )
            for each in files
        ]
        if not self._targets:
            raise InvalidArgumentError("file is an empty list: there is nothing to write to")
        check_different(self._targets)
        self._codec = common_codec(self._targets, codec)
        for target in self._targets:
            target.settle(self._codec)
        self._split = split
        self._period = 0  # of `split`
        if time_base is None:
            time_base = max(CLOCKS.get(target.format, _FINE) for target in self._targets)
        dropping = str(settings.get("on_full", "")).lower().startswith("drop")
        self._times = PictureTimes(times, as_time_base(time_base), dropping, self._fps)
        self._settings: dict[str, Any] = {**settings}
        if "roi" in settings:  # looked at here, and by the encoder with the first picture
            self._settings["roi"] = listed_regions(settings["roi"])
        self._check_settings()
        self.encoder: Encoder | None = None
        self.frames = 0
        self.size: tuple[int, int] | None = None
        self._first: Picture | None = None
        self._source: VideoReader | None = None  # whose frames tell the times
        self._coded: tuple[int, int] = (0, 0)
        self._process = os.getpid()
        self._lock = threading.RLock()  # a signal handler may close what a `write` of its thread is in
        self._closed = self._ending = False  # the latter from the beginning of `close` on
        self.live_outputs = [target for target in self._targets if isinstance(target, LiveOutput)]
        _open_writers[self] = None

    def _check_settings(self) -> None:
        unknown = [name for name in self._settings if name not in _SETTINGS]
        if unknown:
            raise TypeError(f"VideoWriter has no setting {unknown[0]!r}; those of Encoder are {', '.join(_SETTINGS)}")
        early = {name: value for name, value in self._settings.items() if name in _CHECKED_EARLY}
        width, height = self._asked_size or (1280, 720)
        pixel_format = self._pixel_format or "rgb24"
        EncoderConfig.resolve(width, height, codec=self._codec, fps=self._fps, pixel_format=pixel_format, **early)

    # ---- pictures in -------------------------------------------------------------------------------------------------

    def write(
        self,
        frame: Any,
        *,
        time: float | Fraction | None = None,
        duration: float | Fraction | None = None,
        key_frame: bool = False,
        sei: Iterable[Any] | None = None,
    ) -> None:
        """Encode one picture. Its memory may be used again when the call returns, unless it is on the device.

        Parameters
        ----------
        frame : array, tensor, PIL.Image, av.VideoFrame, tuple of planes, bytes, DeviceFrame
            Arrays and tensors (NumPy, torch, whatever has `__array__` or DLPack) of uint8, shape (height, width, 3),
            (3, height, width), the same with 4 channels, or as `pixel_format` has it. On the device: as
            `Encoder.submit` takes them. Transparency is left out.
        time : float or fractions.Fraction, optional
            Seconds, with `times="given"`; counted from the first picture's, and growing. Default: a `VideoFrame`'s
            own.
        duration : float or fractions.Fraction, optional
            Seconds that it is shown, 0 or more. Counts for the last picture only. Default: 1 / fps.
        key_frame : bool
            Make it an IDR, where players can begin.
        sei : iterable, optional
            Messages for its access unit, as `Encoder.submit` takes them.

        Raises
        ------
        TypeError, InvalidArgumentError
            It is no picture, not of the size and format of the first, or its time or duration cannot be. It was not
            taken, and the next one can be written.
        FrameError, AclError, MediaError, OSError
            The device or the file failed, also at an earlier picture. What was written is kept.

        Waits for room in the device, up to the encoder's `timeout`.
        """
        if self._process != os.getpid():  # before the lock: a thread of the parent's may have had it
            raise from_status(_FORKED, "", "the writer was made before fork(), and is the parent's")
        with self._lock:
            self._write(frame, time, duration, key_frame, sei)

    def _write(self, frame: Any, time: Any, duration: Any, key_frame: bool, sei: Iterable[Any] | None) -> None:
        self._check_not_closed()
        self._raise_error()
        pixel_format = self._pixel_format
        if isinstance(frame, VideoFrame):
            time, duration = self._own_times(frame, time, duration)
            pixel_format = pixel_format or (frame.source.pixel_format if frame.source else "nv12")
            frame = frame.data
        picture = picture_of(frame, pixel_format, self._asked_size)
        if self._first is not None and picture.kind != self._first.kind:
            raise InvalidArgumentError(
                f"frame {self.frames} is {picture.kind}, those before it are {self._first.kind}: a film has one "
                "size and format"
            )
        if duration is not None:
            duration = as_seconds("duration", duration)
            if duration < 0:
                raise InvalidArgumentError(f"duration is {float(duration):g}; it must be 0 or more")
        rate = self._fps if self.encoder is None else self.encoder.config.fps  # it may have been reconfigured
        tick, origin = self._times.of(self.frames, time, rate)
        if self._delivery is None:
            self._open(picture)
        assert self.encoder is not None
        period = self._period
        at = self._times.shown_at(tick, origin)
        if self._split is not None:
            period = self._split.period(at)
        for live in self.live_outputs:
            live.wait_for(at)
        asking = [live for live in self.live_outputs if live.wants_key_frame]
        key_frame = key_frame or period != self._period or bool(asking)
        for live in asking:
            live.wants_key_frame = False  # before: it may ask again at any moment
        taken = None
        try:
            data = enlarged(picture, *self._coded)
            taken = self.encoder.submit(data, pts=tick, key_frame=key_frame, token=duration, sei=sei)
        except EncoderClosedError:  # by the thread that writes, or a signal handler that has closed the writer
            self._raise_error()
            self._check_not_closed()
            raise
        finally:
            for live in asking if taken is None else ():  # refused or left out: another frame will have to be it
                live.wants_key_frame = True
        self._times.took(tick, origin)
        self._period = period
        self.frames += 1

    def write_all(self, frames: Iterable[Any], progress: Callable[[int], object] | None = None) -> None:
        """Encode all pictures of an iterable: a generator, a list, an array of shape (frames, height, width, 3).

        `progress` is called after each picture with the number of pictures so far. A `VideoReader`'s pictures keep
        their own times with `times="given"`.
        """
        shape = getattr(frames, "shape", None)
        if shape is not None and (len(shape) == 2 or (len(shape) == 3 and shape[-1] in (1, 3, 4))):
            raise InvalidArgumentError(f"frames has shape {tuple(shape)}, which is one picture: give [frame]")
        if isinstance(frames, VideoReader):
            self._check_not_read(frames)
            if self._first is None:  # bytes of a raw file tell neither
                self._asked_size = self._asked_size or (frames.width, frames.height)
                self._pixel_format = self._pixel_format or frames.pixel_format
        for frame in frames:
            self.write(frame)
            if progress is not None:
                progress(self.frames)

    def _own_times(self, frame: VideoFrame, time: Any, duration: Any) -> tuple[Any, Any]:
        """Return time and duration of a reader's frame, its own ones where none are given."""
        if self._times.kind != "given" or time is not None or frame.source is None:
            return time, duration
        if self._source is None:
            self._source = frame.source
        if frame.source is not self._source:
            raise InvalidArgumentError(
                f"frame {self.frames} is of another reader than those before it, whose clock is another: give each "
                "its time, or fps for evenly spaced frames"
            )
        unit = frame.source.time_base
        return frame.pts * unit, (frame.duration * unit or None) if duration is None else duration

    def _check_not_read(self, reader: VideoReader) -> None:
        if reader.path is not None and self._delivery is None:
            for target in self._targets:
                target.check_is_not(reader.path)

    # ---- opening -----------------------------------------------------------------------------------------------------

    def _open(self, picture: Picture) -> None:
        self._check_not_closed()  # by a signal handler, while the picture was looked at
        shown = picture.width + picture.width % 2, picture.height + picture.height % 2
        settings = {**settings_for(picture, self._settings), "codec": self._codec, "fps": self._fps}
        chip = capabilities(
            settings.get("device", 0), backend=settings.get("backend"), interface=settings.get("interface")
        )
        coded = _large_enough(shown[0], chip.width), _large_enough(shown[1], chip.height)
        if coded != shown:
            check_can_crop()
        enlarged(picture, *coded)  # raises where it cannot be
        encoder = Encoder(*coded, pixel_format=picture.pixel_format, **settings)
        window = None if coded == shown else shown
        base = self._times.time_base
        unit = base or fine_clock(encoder.time_base)
        delivery: Delivery | None = None
        try:
            delivery = Delivery(
                encoder, self._targets, lambda target: target.open(encoder, unit, window), _writing(unit, base is None)
            )
            _deliveries[delivery] = None
            self.encoder, self.size, self._first, self._coded = encoder, shown, picture._replace(data=None), coded
            self._delivery = delivery  # last: from here on `close` ends it
            self._check_not_closed()
        except BaseException:  # no thread, Ctrl-C, or closed by a signal handler: the next picture is the first one
            self._delivery = self.encoder = self.size = self._first = None
            with contextlib.suppress(VencError):
                encoder._close(warn=False)
            if delivery is not None:
                delivery.join()
            raise
        if shown != (picture.width, picture.height):
            warn(
                f"pictures are {picture.width} x {picture.height}; the file shows {shown[0]} x {shown[1]}, since sides "
                "are even: the edge is repeated",
                PictureSizeWarning,
            )

    def _check_not_closed(self) -> None:
        if self._ending:
            raise MediaError("the writer is closed")

    def _raise_error(self) -> None:
        if self._delivery is not None:
            self._delivery.raise_error()

    # ---- the end -----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Wait until every picture is encoded and written, and finish the file. Idempotent.

        Interrupted by Ctrl-C it can be called again. Raises what the device or the file failed with, if no `write` did.
        A writer that got no picture makes no file.
        """
        if self._closed:
            return
        if self._process != os.getpid():  # the parent's file and thread
            self._closed = self._ending = True
            return
        self._ending = True  # first: a `write` that a signal handler interrupts, or makes, finds the end
        if self._delivery is None:
            with self._lock:  # another thread may be opening it for its first picture
                pass
        if self._delivery is not None:  # not for a `write` of another thread: its send may never return
            self._drain()
            self._delivery.join()
        for target in self._targets:
            target.close()
        self._closed = True
        _open_writers.pop(self, None)
        self._raise_error()

    def end_sound_with_pictures(self) -> None:
        """Let the sound of `copy_audio_from` end with the last picture, and not later. Before `close`."""
        for target in self._targets:
            target.end_with_the_pictures()

    def _drain(self) -> None:
        assert self.encoder is not None
        with contextlib.suppress(VencError):  # it is closed: the thread has ended, or will
            self.encoder.drain()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, traceback: TracebackType | None) -> None:
        if kind is not None:
            self.end_sound_with_pictures()
        try:
            self.close()
        except (VencError, OSError):
            if kind is None:  # else the first exception says why
                raise

    def __del__(self) -> None:
        if self._closed or self._delivery is None or self._process != os.getpid():
            return
        self._drain()  # the thread finishes the file
        warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)

    @property
    def files(self) -> list[str]:
        return [path for target in self._targets for path in getattr(target, "files", ())]

    @property
    def dropped(self) -> int:
        return 0 if self.encoder is None else sum(self.encoder.stats.dropped.values())

    @property
    def closed(self) -> bool:
        return self._closed

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        names = ", ".join(target.name for target in self._targets)
        return f"<VideoWriter {names} {self.frames} frames {state}>"


def _writing(time_base: Fraction, counted: bool) -> Callable[[Any, Any], None]:
    """Return what writes a packet at its time in units of time_base. The encoder counts in its own."""

    def put(output: Any, packet: Any) -> None:
        own = packet.time_base if counted else time_base  # another one after a change of rate
        seconds = packet.duration * packet.time_base if packet.token is None else packet.token
        output.write(packet, pts=round(packet.pts * own / time_base), duration=round(seconds / time_base))

    return put


def _large_enough(side: int, taken: tuple[int, int] | None) -> int:
    return side if taken is None or side >= taken[0] else -(-taken[0] // _BLOCK) * _BLOCK


@atexit.register
def _finish_open_writers() -> None:
    """All are told first, and then waited for together; also those of writers that were dropped."""
    for writer in [reference() for reference in _open_writers.keyrefs()]:
        if writer is not None and writer._delivery is not None and writer._process == os.getpid():
            writer._drain()
    until = time.monotonic() + _AT_EXIT
    for delivery in [reference() for reference in _deliveries.keyrefs()]:
        if delivery is not None:
            delivery.join(max(0.0, until - time.monotonic()))
