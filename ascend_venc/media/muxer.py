# SPDX-License-Identifier: Apache-2.0
"""Packets into MP4, MOV, Matroska, MPEG-TS and FLV, through PyAV, without encoding anything again."""

from __future__ import annotations

import io
import os
import warnings
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO

from ..arguments import as_time_base
from ..config import parse_codec
from ..errors import InvalidArgumentError, MediaError
from ..pixel_formats import PIXEL_FORMATS, default_matrix
from ..rates import parse_fps
from ..single_owner import SingleOwner
from .container import as_fraction, import_av, speaking_of
from .copied import TOLD_BY_PACKETS, CopiedStreams
from .formats import (
    FLV_CODEC,
    ISO_FORMATS,
    LAST_TICK,
    LONGEST_STEP,
    NULL_PACKET,
    SHORTEST_TS,
    SecondLook,
    asks_for_fragments,
    can_be_read,
    can_seek,
    check_mapping,
    check_options,
    fine_clock,
    live_format,
    mux_options,
    parse_format,
    reads_again,
    tags_for,
)
from .live import LiveOutput
from .output import FailsOnce
from .parameter_sets import DEMUXERS, ParameterSets, description, sets_to_decode_by, without_parameter_sets
from .reader import ColorTags

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from ..literals import CodecName, ContainerName
# Code points of ITU-T H.273. Pictures in RGB are taken for sRGB, whose primaries and transfer BT.709 has too.
_COLORS = {"bt709": ColorTags(1, 1, 1), "bt601": ColorTags(1, 1, 6)}
_COLOR_FIELDS = ("color_primaries", "color_trc", "colorspace")
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG
_LAST_MOMENT = Fraction(2**62, 10**9)  # seconds, 146 years: FFmpeg counts in nanoseconds on the way
_MAX_INT = 2**31 - 1  # of FFmpeg's ratios
_FINEST_CLOCK = Fraction(1, 1_000_000)  # seconds: finer ones leave no room for a pause


class Muxer(SingleOwner):
    """Write the packets of one encoder into a container file, with the right times.

    The header is written with the first packet, from its parameter sets; so that packet must be a key frame, as the
    first of every encoder is. Packets come in the order of the encoder: without B frames that is the order of time.
    Used by one thread at a time; blocks while the file is written.

    Parameters
    ----------
    file : str, path, binary file or LiveOutput
        A file object needs `format`, and is not closed by `close`. MP4 and MOV need one that can seek, which a pipe
        cannot, unless they are `fragmented`. A network's address (rtsp://, rtmp://, udp://, ...) is a `LiveOutput`:
        `write` then queues the packet or drops it, and neither waits nor raises what the network does.
    encoder : Encoder, optional
        Where the packets come from: tells `codec`, `fps`, `sample_aspect_ratio` and `color`.
    codec : str, optional
        "h264" or "h265", by any of their names. Needed without `encoder`.
    fps : int, float, str or fractions.Fraction, optional
        Frames per second: written to the header, and the duration of a frame for which none is given. Needed without
        `encoder`.
    time_base : fractions.Fraction, optional
        Seconds per unit of `pts` and `duration`. Default: the first packet's `time_base`. Matroska counts milliseconds,
        MPEG-TS 1/90000 s, MP4 and MOV in this unit, but at most microseconds: times are rounded to that. By default MP4
        and MOV count in parts of it, 10,000 a second or more, as packets have them behind a change of the rate.
    format : str, optional
        "mp4", "mov", "matroska" ("mkv"), "mpegts" ("ts") or "flv". Default: by the name's suffix, or the scheme.
    sample_aspect_ratio : fractions.Fraction, optional
        Width of a pixel divided by its height; written to the header of MP4 and MOV, and for Matroska and MPEG-TS into
        the parameter sets of the stream.
    color : ColorTags, optional
        How the samples are to be understood; written into the header, where the format has a place for it, and into
        the parameter sets of the stream. Default: what `encoder`, or the stream itself, tells; else BT.709 for HD, from
        1280 pixels of width or 577 of height on, which most players take it for unasked, and nothing for smaller ones.
        `ColorTags()`: nothing more than the stream does.
    size : (int, int), optional
        Width and height that are shown of the pictures, even: what is right of it and below is cut off by the
        parameter sets.
    fragmented : bool
        MP4 and MOV in fragments of up to a second, each complete in itself: can be written to a pipe, played while it
        grows, and what was written stays playable whatever ends the program.
    faststart : bool
        MP4 and MOV with their index in front, so that players of web pages begin at once: `close` moves all that was
        written. The file has to be readable as well.
    metadata : mapping of str, optional
        Of the file: "title", "artist", "comment" and the like, as the format has a place for them: MPEG-TS has it for
        the beginning of a long title.
    options : mapping of str, optional
        Further options of FFmpeg's muxer, such as `{"movflags": "frag_every_frame+empty_moov"}`; they take the place of
        those that the muxer sets itself.

    Raises
    ------
    InvalidArgumentError
        An unknown codec, format or suffix, or one that is not the encoder's; an option that FFmpeg does not have.
    MediaError
        PyAV is not installed, or the format needs a file that can seek.
    OSError
        The file cannot be created.

    Examples
    --------
    >>> import io
    >>> import ascend_venc as venc
    >>> from ascend_venc.media import Muxer
    >>> file = io.BytesIO()
    >>> with venc.Encoder(128, 128, codec="h264", fps=25, backend="sim") as enc:
    ...     with Muxer(file, encoder=enc, format="mp4") as mux:
    ...         for _ in range(3):
    ...             mux.write_all(enc.encode(bytes(128 * 128 * 3 // 2)))
    ...         mux.write_all(enc.flush())
    """

    _last_ticks: Mapping[str, int] = LAST_TICK

    def __init__(
        self,
        file: str | os.PathLike[str] | BinaryIO | LiveOutput,
        *,
        encoder: Any = None,
        codec: CodecName | None = None,
        fps: int | float | str | Fraction | None = None,
        time_base: Fraction | None = None,
        format: ContainerName | None = None,
        sample_aspect_ratio: Fraction | None = None,
        color: ColorTags | None = None,
        size: tuple[int, int] | None = None,
        fragmented: bool = False,
        faststart: bool = False,
        metadata: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        config: Any = None if encoder is None else encoder.config
        if config is None and (codec is None or fps is None):
            raise InvalidArgumentError("codec and fps are missing: give them, or encoder=, which knows them")
        codec = config.codec if codec is None else parse_codec(codec)
        if config is not None and codec != config.codec:
            raise InvalidArgumentError(f"codec is {codec!r}, and the encoder's is {config.codec!r}: leave it out")
        address = file.url if isinstance(file, LiveOutput) else file
        held = file.format if isinstance(file, LiveOutput) else parse_format(format, file)
        if held == "flv" and codec != FLV_CODEC:
            raise InvalidArgumentError(f"format is 'flv', which holds H.264 only, and codec is {codec!r}")
        for name, value in (("fragmented", fragmented), ("faststart", faststart)):
            if value and held not in ISO_FORMATS:
                raise InvalidArgumentError(f"{name} is for mp4 and mov; format is {held!r}")
        if fragmented and faststart:
            raise InvalidArgumentError("fragmented and faststart are given: a file in fragments has no index to move")
        check_mapping("metadata", metadata, '{"title": "A film"}')
        check_mapping("options", options, '{"movflags": "frag_every_frame+empty_moov"}')
        self._av = import_av()
        if not isinstance(file, LiveOutput):  # which has those of a protocol, too
            check_options(self._av, held, options)
        self._codec: str = codec
        self._fps: Fraction = config.fps if fps is None else parse_fps(fps)
        self._time_base = None if time_base is None else as_time_base(time_base)
        self._own_clock = time_base is None  # of the file: finer than the packets' time base
        self._format: str = held
        self._size = size
        self._fragmented = fragmented or asks_for_fragments(options)
        self._reads_again = faststart or reads_again(options)
        self._faststart = faststart
        self._options = options
        self._metadata = tags_for(held, metadata)
        self._copied = CopiedStreams()
        self._sample_aspect_ratio = sample_aspect_ratio
        self._color = color
        self._full_range = False
        if config is not None and sample_aspect_ratio is None:
            self._sample_aspect_ratio = config.sample_aspect_ratio
        if config is not None and color is None:
            if config.color is not None and config.color[:3] != ColorTags():
                self._color = ColorTags(*config.color[:3])
            elif PIXEL_FORMATS[config.pixel_format].color != "yuv":
                self._color = _COLORS[config.color_matrix]
            self._full_range = self._color is not None and config.color_range == "full"
        self._stream: Any = None
        self._container: Any = None
        self._parameter_sets: ParameterSets | None = None
        self._header_sets: tuple[bytes, ...] = ()  # H.265 in MP4: by which all pictures are decoded
        self._unit = _FINEST_CLOCK  # seconds per unit of what PyAV is given
        self._clock = _FINEST_CLOCK  # seconds per unit of what the file holds
        self._last_pts: int | None = None
        self._last_tick: int | None = None
        self._closed = False
        self._owned = isinstance(address, (str, os.PathLike)) and live_format(address) is None
        # Through a file object, so that a full disk is an OSError with its errno rather than nothing at all.
        mode = "w+b" if self._reads_again else "wb"
        try:
            self._file: Any = self._opened(file, mode)
        except io.UnsupportedOperation:  # a pipe cannot be read as well
            raise self._cannot_seek() from None
        self._guard = FailsOnce(self._file)
        self._live: LiveOutput | None = self._file if isinstance(self._file, LiveOutput) else None
        seeks = format == "mpegts" and self._live is None and can_seek(self._file) and hasattr(self._file, "tell")
        self._begin: int | None = self._file.tell() if seeks else None
        self._of_live = {"encoder": encoder, "codec": codec, "fps": self._fps, "color": color, "size": size}
        self._of_live.update(sample_aspect_ratio=sample_aspect_ratio, metadata=self._metadata, options=options)
        if format in ISO_FORMATS and not self._fragmented and not can_seek(self._file):
            if self._owned:
                self._file.close()
            raise self._cannot_seek()
        if self._reads_again and not can_be_read(self._file):
            raise MediaError("faststart reads again what was written: open the file with mode w+b, or leave it out")

    def _opened(self, file: Any, mode: str) -> Any:
        if live_format(file) is not None:
            return LiveOutput(file, format=self._format)
        return open(file, mode) if isinstance(file, (str, os.PathLike)) else file

    def _cannot_seek(self) -> MediaError:
        return MediaError(
            f"{self._format} needs a file that can seek: write mkv, ts, the bare stream, or fragmented mp4 there"
        )

    def write(self, packet: Any, *, pts: int | None = None, duration: int | None = None) -> None:
        """Append one packet.

        Parameters
        ----------
        packet : Packet
            Or any buffer with an access unit in Annex B that has the attributes `is_keyframe`, and `pts` and
            `time_base` where these are not given.
        pts : int, optional
            When it is shown, in units of the muxer's `time_base`, from 0 on and greater than that of the packet before
            it. Default: the packet's own.
        duration : int, optional
            How long it is shown, in the same units; only the last packet's counts for the length of the file.
            Default: 1 / fps; where `pts` is the packet's own, its `duration`, if it has one.

        Raises
        ------
        MediaError
            Times that do not grow or are negative, a first packet without parameter sets, or a format that cannot hold
            this: two packets within one unit of its clock, a pause that is too long for it, H.265 in MP4 and MOV behind
            a change of size. Nothing was written of the packet then.
        OSError
            The file cannot be written.
        """
        if self._closed:
            raise MediaError("the muxer is closed")
        self._guard.again()
        if self._time_base is None:
            self._time_base = packet.time_base
        if pts is None:
            pts = self._units(packet.pts, packet)
            if duration is None and hasattr(packet, "duration"):
                duration = self._units(packet.duration, packet)
        if self._last_pts is not None and pts <= self._last_pts:
            raise MediaError(f"pts {pts} follows {self._last_pts}: times must grow")
        if self._live is not None:
            if self._of_live:  # not started: a first packet that was refused has done that
                self._unit = fine_clock(self._time_base) if self._own_clock else self._time_base
                self._live.start(self._unit, **self._of_live)
                self._of_live = {}
            scale = self._time_base / self._unit
            length = None if duration is None else round(duration * scale)
            self._live.write(packet, pts=round(pts * scale), duration=length)
            self._last_pts = pts
            return
        try:
            with speaking_of(f"the {self._format} file cannot be written"):
                data = packet
                if self._stream is None:
                    data = self._start(packet, pts)
                elif self._parameter_sets is not None and packet.is_keyframe:
                    data = self._parameter_sets.put_into(packet)
                tick = self._place(pts)
                unit = self._av.Packet(self._payload(data, packet.is_keyframe))
                unit.stream = self._stream
                unit.time_base = self._unit
                unit.pts = unit.dts = round(pts * self._time_base / self._unit)
                seconds = duration * self._time_base if duration else 1 / self._fps
                unit.duration = max(1, round(seconds / self._unit))
                longest = LONGEST_STEP.get(self._format or "")
                if seconds > (_LAST_MOMENT if longest is None else longest * self._clock):
                    raise MediaError(f"duration {duration} of the packet at pts {pts} is too long for {self._format}")
                unit.is_keyframe = packet.is_keyframe
                self._container.mux_one(unit)
                if self._streaming:
                    self._flush()
        except MediaError as error:
            raise self._failure(error) from None
        self._last_pts, self._last_tick = pts, tick

    def add_stream_like(self, stream: Any, *, first: Any = None) -> None:
        """Add a stream like one of another container, e.g. its sound, whose packets `copy` takes.

        Before the first packet of the encoder is written. `stream` is of an open PyAV container; its codec and what
        describes it are taken over. AAC of MPEG-TS is described by its packets alone: give one as `first` (it is not
        copied), or copy one before the encoder's first packet. AC-3 and E-AC-3 are, too: an MP4 in fragments begins
        when their first packet is there.
        """
        if self._live is not None:
            raise MediaError("sound and further streams are not sent to a network")
        self._copied.add(stream, first)

    def waits_for(self, stream: Any) -> bool:
        """Say whether the file cannot be finished without a packet of a stream that was added, and none came."""
        return self._begins_late and self._copied.is_silent(stream)

    @property
    def _begins_late(self) -> bool:
        """Whether the header is written behind the first fragment's packets: FFmpeg reads from them what is in it."""
        return self._fragmented and self._format == "mp4" and not set(self._copied.codecs).isdisjoint(TOLD_BY_PACKETS)

    def copy(self, packet: Any) -> None:
        """Append a packet (`av.Packet`) of a stream that was added, with its own `dts` and `pts`, and use it up.

        The times of all streams have one beginning, 0. Packets of one stream come in the order of time; those that come
        before the encoder's first packet are kept until that. Raises MediaError or OSError as `write` does.
        """
        if self._closed:
            raise MediaError("the muxer is closed")
        self._guard.again()
        try:
            with speaking_of(f"the {self._format} file cannot be written"):
                self._copied.write(packet)
        except MediaError as error:
            raise self._failure(error) from None

    def write_all(self, packets: Any) -> None:
        """Append packets with their own times, e.g. what `Encoder.encode` returned."""
        for packet in packets:
            self.write(packet)

    def _units(self, own: int, packet: Any) -> Any:
        """A time of a packet's own in units of the muxer's, between two of them where it is behind a change of rate."""
        assert self._time_base is not None
        if packet.time_base == self._time_base:
            return own
        units = Fraction(own * packet.time_base) / self._time_base
        return units if self._own_clock and units.denominator != 1 else round(units)

    def _place(self, pts: int) -> int:
        """Return the time in units of the file's clock. MediaError where the file would hold another one."""
        assert self._time_base is not None
        tick = round(pts * self._time_base / self._clock)
        clock = f"{self._format}, whose clock counts {self._clock} s"
        if pts < 0:
            raise MediaError(f"pts {pts} is negative: a file begins at 0")
        if pts * self._time_base > _LAST_MOMENT:
            raise MediaError(f"pts {pts} is more than 146 years in units of {self._time_base} s")
        if tick > self._last_ticks.get(self._format, tick):
            raise MediaError(f"pts {pts} is too late for {clock}, up to {self._last_ticks[self._format]}")
        if self._last_tick is None:
            if self._format in LONGEST_STEP and tick > LONGEST_STEP[self._format]:
                raise MediaError(f"pts {pts} is too far from 0 for {clock}")
            return tick
        step = tick - self._last_tick
        if step <= 0:
            raise MediaError(f"pts {pts} and {self._last_pts} are the same moment for {clock}")
        if step > LONGEST_STEP.get(self._format or "", step):
            raise MediaError(f"from pts {self._last_pts} to {pts} is too long for {clock}: give a coarser time_base")
        return tick

    def _payload(self, data: Any, key_frame: bool) -> Any:
        # The tag hvc1 promises samples without parameter sets; not every FFmpeg takes them out.
        if self._codec == "h265" and self._format in ISO_FORMATS and key_frame:
            unit = bytes(data)
            sets = sets_to_decode_by(unit)
            if self._header_sets and sets and sets != self._header_sets:
                raise MediaError(
                    "the pictures have other parameter sets than those before them, as after a change of size: H.265 "
                    f"in {self._format} keeps one set for all; write mkv or ts, or begin another file"
                )
            self._header_sets = self._header_sets or sets
            return without_parameter_sets(unit)
        return memoryview(data)

    def _muxer_options(self, pts: int) -> dict[str, str]:
        finest = self._unit if pts * self._unit % Fraction(1, 1000) else None
        # FFmpeg takes the first time for 0 where it has written the header of a file in fragments before.
        late = self._begins_late or (self._fragmented and pts != 0)
        return mux_options(self._format, self._fragmented, self._faststart, self._options, finest, late)

    @property
    def _streaming(self) -> bool:
        return self._format not in ISO_FORMATS or self._fragmented

    def _flush(self) -> None:
        if hasattr(self._file, "flush"):
            self._file.flush()

    def _look_again(self, url: str, flags: int, options: dict[str, str]) -> SecondLook:
        self._flush()
        return SecondLook(self._file)

    def _start(self, packet: Any, pts: int) -> Any:
        """Write the header, and return the first packet's data."""
        assert self._time_base is not None
        self._unit = fine_clock(self._time_base) if self._own_clock else self._time_base
        if self._unit < _FINEST_CLOCK or self._unit.denominator > _MAX_INT or self._unit.numerator > _MAX_INT:
            self._unit = _FINEST_CLOCK
        data = packet
        with self._av.open(io.BytesIO(bytes(packet)), format=DEMUXERS[self._codec]) as parsed:
            template = parsed.streams.video[0]
            context = template.codec_context
            if not context.extradata or not context.width:
                raise MediaError("the first packet has no parameter sets: it must be a key frame of the encoder")
            whole = context.width, context.height
            own = ColorTags(*(int(getattr(context, name, 2) or 2) for name in _COLOR_FIELDS))
            own_full_range = int(context.color_range) == _FULL_RANGE
            own_shape = as_fraction(template.sample_aspect_ratio)
            if self._color is None and own != ColorTags():
                self._color, self._full_range = own, own_full_range
            if self._color is None:
                hd = default_matrix(context.width, context.height) == "bt709"
                self._color = _COLORS["bt709"] if hd else ColorTags()
        shape = None if self._format in ISO_FORMATS else self._sample_aspect_ratio
        told = description(self._color, self._full_range, shape)
        already = description(own, own_full_range, own_shape)
        if told.items() <= already.items():
            told = {}
        size = None if self._size in (None, whole) else self._size
        if told or size is not None:
            self._parameter_sets = ParameterSets(self._codec, packet, told, size)
            data = self._parameter_sets.put_into(packet)
        # A demuxer reads the parameter sets; the new stream takes what it found, so that no encoder is opened.
        with self._av.open(io.BytesIO(bytes(data)), format=DEMUXERS[self._codec]) as parsed:
            template = parsed.streams.video[0]
            again = {"io_open": self._look_again} if self._reads_again else {}
            self._container = self._av.open(
                self._file if isinstance(self._file, str) else self._guard,
                "w",
                format=self._format,
                container_options=self._muxer_options(pts),
                **again,
            )
            if hasattr(self._container, "add_stream_from_template"):
                # Opaque: a plain stream. Without it some versions open an encoder, which prints to stderr.
                stream = self._container.add_stream_from_template(template, opaque=True)
            else:
                stream = self._container.add_stream(template=template)
        with warnings.catch_warnings():
            # PyAV 12 sets it on the template's decoder too, and warns about that.
            warnings.filterwarnings("ignore", "Using CodecContext.time_base for decoders")
            stream.time_base = self._unit
        context = stream.codec_context
        context.framerate = self._fps.limit_denominator(_MAX_INT)
        if self._sample_aspect_ratio:
            context.sample_aspect_ratio = self._sample_aspect_ratio
        for name, value in zip(_COLOR_FIELDS, self._color):
            setattr(context, name, value)
        if self._full_range:
            context.color_range = _FULL_RANGE
        if self._codec == "h265" and self._format in ISO_FORMATS:
            context.codec_tag = "hvc1"  # parameter sets in the header only, which some players insist on
        self._copied.open(self._container)
        self._container.metadata.update(self._metadata)
        self._container.start_encoding()  # the header, with which the format chooses its clock
        self._clock = Fraction(stream.time_base)
        self._stream = stream
        self._copied.started()
        return data

    def _failure(self, error: MediaError) -> Exception:
        """Make an OSError of what the file refused; the rest stays as it is."""
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno:
            return OSError(cause.errno, cause.strerror)
        return error

    def close(self) -> None:
        """Write the end of the file. Idempotent. Raises OSError or MediaError as `write` does.

        A muxer that was given no packet leaves an empty file.
        """
        if self._closed:
            return
        self._closed = True
        self._guard.again()
        try:
            if self._live is not None:
                self._live.close()
            if self._container is not None:
                missing = self._copied.silent if self._begins_late else ()
                with speaking_of(f"the {self._format} file cannot be written"):
                    self._container.close()
                    self._fill_up()
                    self._flush()
                if missing:  # FFmpeg says nothing, and leaves a file that nobody can read
                    raise MediaError(
                        f"an mp4 in fragments needs a packet of its {missing[0]} sound, and none came: write mkv, or "
                        "an mp4 that is not fragmented"
                    )
        except MediaError as error:
            raise self._failure(error) from None
        finally:
            self._stream = self._container = None
            if self._owned:
                self._file.close()

    def _fill_up(self) -> None:
        """Make a transport stream long enough to be known for one, by packets that every reader leaves out."""
        if self._begin is not None:
            missing = SHORTEST_TS - (self._file.tell() - self._begin)
            self._file.write(NULL_PACKET * max(0, -(-missing // len(NULL_PACKET))))

    def __enter__(self) -> Muxer:
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, traceback: TracebackType | None) -> None:
        try:
            self.close()
        except (OSError, MediaError):
            if kind is None:  # else the first exception says why
                raise
