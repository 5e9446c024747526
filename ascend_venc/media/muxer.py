# SPDX-License-Identifier: Apache-2.0
"""Packets into MP4, MOV, Matroska and MPEG-TS, through PyAV, without encoding anything again."""

from __future__ import annotations

import io
import os
import warnings
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO

from ..config import parse_codec, parse_fps
from ..errors import InvalidArgumentError, MediaError
from ..pixel_formats import PIXEL_FORMATS, default_matrix
from .container import import_av, speaking_of
from .parameter_sets import DEMUXERS, ParameterSets, description
from .reader import ColorTags, suffix_of

if TYPE_CHECKING:
    from types import TracebackType

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".ts": "mpegts"}
FORMAT_ALIASES = {suffix[1:]: name for suffix, name in FORMATS.items()}
_ISO_FORMATS = ("mp4", "mov")
# Code points of ITU-T H.273. Pictures in RGB are taken for sRGB, whose primaries and transfer BT.709 has too.
_COLORS = {"bt709": ColorTags(1, 1, 1), "bt601": ColorTags(1, 1, 6)}
_COLOR_FIELDS = ("color_primaries", "color_trc", "colorspace")
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG
# The longest step from one packet to the next, in units of the file's clock: mp4 stores it as a number of 32 bits, of
# which FFmpeg uses 31; a reader of ts, whose clock has 33 bits, takes half its range for a step back.
_LONGEST_STEP = {"mp4": 2**31 - 2, "mov": 2**31 - 2, "mpegts": 2**32 - 1}
_LAST_MOMENT = Fraction(2**62, 10**9)  # seconds, 146 years: FFmpeg counts in nanoseconds on the way
_MAX_INT = 2**31 - 1  # of FFmpeg's ratios
_FINEST_CLOCK = Fraction(1, 1_000_000)  # seconds: finer ones leave no room for a pause


class Muxer:
    """Write the packets of one encoder into a container file, with the right times.

    The header is written with the first packet, from its parameter sets; so that packet must be a key frame, as the
    first of every encoder is. Packets come in the order of the encoder: without B frames that is the order of time.
    Used by one thread at a time; blocks while the file is written.

    Parameters
    ----------
    file : str, path or binary file
        A file object needs `format`, and is not closed by `close`. MP4 and MOV need one that can seek, which a pipe
        cannot.
    encoder : Encoder, optional
        Where the packets come from: tells `codec`, `fps`, `sample_aspect_ratio` and `color`.
    codec : str, optional
        "h264" or "h265", by any of their names. Needed without `encoder`.
    fps : int, float, str or fractions.Fraction, optional
        Frames per second: written to the header, and the duration of a frame for which none is given. Needed without
        `encoder`.
    time_base : fractions.Fraction, optional
        Seconds per unit of `pts` and `duration`. Default: the first packet's `time_base`. Matroska counts milliseconds,
        MPEG-TS 1/90000 s, MP4 and MOV in this unit, but at most microseconds: times are rounded to that.
    format : str, optional
        "mp4", "mov", "matroska" ("mkv") or "mpegts" ("ts"). Default: by the name's suffix.
    sample_aspect_ratio : fractions.Fraction, optional
        Width of a pixel divided by its height; written to the header of MP4 and MOV, and for Matroska and MPEG-TS into
        the parameter sets of the stream.
    color : ColorTags, optional
        How the samples are to be understood; written into the header, where the format has a place for it, and into
        the parameter sets of the stream. Default: what `encoder`, or the stream itself, tells; else BT.709 for HD, from
        1280 pixels of width or 577 of height on, which most players take it for unasked, and nothing for smaller ones.
        `ColorTags()`: nothing more than the stream does.

    Raises
    ------
    InvalidArgumentError
        An unknown codec, format or suffix, or one that is not the encoder's.
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

    def __init__(
        self,
        file: str | os.PathLike[str] | BinaryIO,
        *,
        encoder: Any = None,
        codec: str | None = None,
        fps: int | float | str | Fraction | None = None,
        time_base: Fraction | None = None,
        format: str | None = None,
        sample_aspect_ratio: Fraction | None = None,
        color: ColorTags | None = None,
    ) -> None:
        config: Any = None if encoder is None else encoder.config
        if config is None and (codec is None or fps is None):
            raise InvalidArgumentError("codec and fps are missing: give them, or encoder=, which knows them")
        codec = config.codec if codec is None else parse_codec(codec)
        if config is not None and codec != config.codec:
            raise InvalidArgumentError(f"codec is {codec!r}, and the encoder's is {config.codec!r}: leave it out")
        if format is None and isinstance(file, (str, os.PathLike)):
            format = FORMATS.get(suffix_of(file))
        elif isinstance(format, str):
            format = FORMAT_ALIASES.get(format.lower(), format.lower())
        if format not in FORMATS.values():
            raise InvalidArgumentError(
                f"format is {format!r}; allowed are {', '.join(sorted(set(FORMATS.values())))}, and the suffixes "
                f"{' '.join(FORMATS)}"
            )
        self._av = import_av()
        self._codec: str = codec
        self._fps: Fraction = config.fps if fps is None else parse_fps(fps)
        self._time_base = time_base
        self._format = format
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
        self._unit = _FINEST_CLOCK  # seconds per unit of what PyAV is given
        self._clock = _FINEST_CLOCK  # seconds per unit of what the file holds
        self._last_pts: int | None = None
        self._last_tick: int | None = None
        self._closed = False
        self._owned = isinstance(file, (str, os.PathLike))
        # Through a file object, so that a full disk is an OSError with its errno rather than nothing at all.
        self._file: BinaryIO = open(file, "wb") if isinstance(file, (str, os.PathLike)) else file  # noqa: SIM115
        if format in _ISO_FORMATS and not _can_seek(self._file):
            if self._owned:
                self._file.close()
            raise MediaError(f"{format} needs a file that can seek: write mkv, ts or the bare stream there")

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
            this: two packets within one unit of its clock, or a pause that is too long for it. Nothing was written of
            the packet then.
        OSError
            The file cannot be written.
        """
        if self._closed:
            raise MediaError("the muxer is closed")
        if self._time_base is None:
            self._time_base = packet.time_base
        if pts is None:
            pts = round(packet.pts * packet.time_base / self._time_base)
            if duration is None and hasattr(packet, "duration"):
                duration = round(packet.duration * packet.time_base / self._time_base)
        if self._last_pts is not None and pts <= self._last_pts:
            raise MediaError(f"pts {pts} follows {self._last_pts}: times must grow")
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
                if unit.duration > _LONGEST_STEP.get(self._format or "", _MAX_INT):
                    raise MediaError(f"duration {duration} of the packet at pts {pts} is too long for {self._format}")
                unit.is_keyframe = packet.is_keyframe
                self._container.mux_one(unit)
        except MediaError as error:
            raise self._failure(error) from None
        self._last_pts, self._last_tick = pts, tick

    def write_all(self, packets: Any) -> None:
        """Append packets with their own times, e.g. what `Encoder.encode` returned."""
        for packet in packets:
            self.write(packet)

    def _place(self, pts: int) -> int:
        """Return the time in units of the file's clock. MediaError where the file would hold another one."""
        assert self._time_base is not None
        tick = round(pts * self._time_base / self._clock)
        clock = f"{self._format}, whose clock counts {self._clock} s"
        if pts < 0:
            raise MediaError(f"pts {pts} is negative: a file begins at 0")
        if pts * self._time_base > _LAST_MOMENT:
            raise MediaError(f"pts {pts} is more than 146 years in units of {self._time_base} s")
        if self._last_tick is None:
            if self._format in _LONGEST_STEP and tick > _LONGEST_STEP[self._format]:
                raise MediaError(f"pts {pts} is too far from 0 for {clock}")
            return tick
        step = tick - self._last_tick
        if step <= 0:
            raise MediaError(f"pts {pts} and {self._last_pts} are the same moment for {clock}")
        if step > _LONGEST_STEP.get(self._format or "", step):
            raise MediaError(f"from pts {self._last_pts} to {pts} is too long for {clock}: give a coarser time_base")
        return tick

    def _payload(self, data: Any, key_frame: bool) -> Any:
        # The tag hvc1 promises samples without parameter sets; not every FFmpeg takes them out.
        if self._codec == "h265" and self._format in _ISO_FORMATS and key_frame:
            return _without_parameter_sets(bytes(data))
        return memoryview(data)

    def _options(self, pts: int) -> dict[str, str]:
        # Where a film does not begin at 0, the beginning is in units of the whole file, milliseconds by default.
        if self._format in _ISO_FORMATS and pts * self._unit % Fraction(1, 1000):
            return {"movie_timescale": str(self._unit.denominator)}
        return {}

    def _start(self, packet: Any, pts: int) -> Any:
        """Write the header, and return the first packet's data."""
        assert self._time_base is not None
        self._unit = self._time_base
        if self._unit < _FINEST_CLOCK or self._unit.denominator > _MAX_INT or self._unit.numerator > _MAX_INT:
            self._unit = _FINEST_CLOCK
        data = packet
        with self._av.open(io.BytesIO(bytes(packet)), format=DEMUXERS[self._codec]) as parsed:
            template = parsed.streams.video[0]
            context = template.codec_context
            if not context.extradata or not context.width:
                raise MediaError("the first packet has no parameter sets: it must be a key frame of the encoder")
            own = ColorTags(*(int(getattr(context, name, 2) or 2) for name in _COLOR_FIELDS))
            own_full_range = int(context.color_range) == _FULL_RANGE
            if self._color is None and own != ColorTags():
                self._color, self._full_range = own, own_full_range
            if self._color is None:
                hd = default_matrix(context.width, context.height) == "bt709"
                self._color = _COLORS["bt709"] if hd else ColorTags()
        shape = None if self._format in _ISO_FORMATS else self._sample_aspect_ratio
        told = description(self._color, self._full_range, shape)
        already = description(own, own_full_range, template.sample_aspect_ratio)
        if told.items() <= already.items():
            told = {}
        if told:
            self._parameter_sets = ParameterSets(self._codec, packet, told)
            data = self._parameter_sets.put_into(packet)
        # A demuxer reads the parameter sets; the new stream takes what it found, so that no encoder is opened.
        with self._av.open(io.BytesIO(bytes(data)), format=DEMUXERS[self._codec]) as parsed:
            template = parsed.streams.video[0]
            self._container = self._av.open(self._file, "w", format=self._format, container_options=self._options(pts))
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
        if self._codec == "h265" and self._format in _ISO_FORMATS:
            context.codec_tag = "hvc1"  # parameter sets in the header only, which some players insist on
        self._container.start_encoding()  # the header, with which the format chooses its clock
        self._clock = Fraction(stream.time_base)
        self._stream = stream
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
        try:
            if self._container is not None:
                with speaking_of(f"the {self._format} file cannot be written"):
                    self._container.close()
        except MediaError as error:
            raise self._failure(error) from None
        finally:
            self._stream = self._container = None
            if self._owned:
                self._file.close()

    def __enter__(self) -> Muxer:
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, traceback: TracebackType | None) -> None:
        try:
            self.close()
        except (OSError, MediaError):
            if kind is None:  # else the first exception says why
                raise


def _can_seek(file: BinaryIO) -> bool:
    seekable = getattr(file, "seekable", None)
    return bool(seekable()) if seekable is not None else hasattr(file, "seek")


def _without_parameter_sets(unit: bytes) -> bytes:
    """Return an H.265 access unit in Annex B without the VPS, SPS and PPS that stand before its first slice."""
    kept = []
    begin = unit.find(b"\0\0\1") + 3
    while 3 <= begin < len(unit):
        kind = unit[begin] >> 1 & 63
        if kind < 32:  # a slice: the rest stays
            kept.append(unit[begin:])
            break
        end = unit.find(b"\0\0\1", begin)
        if not 32 <= kind <= 34:
            kept.append((unit[begin:end] if end >= 0 else unit[begin:]).rstrip(b"\0"))
        begin = end + 3 if end >= 0 else -1
    return b"".join(b"\0\0\0\1" + nal for nal in kept)
