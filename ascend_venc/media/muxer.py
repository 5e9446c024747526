# SPDX-License-Identifier: Apache-2.0
"""Packets into MP4, MOV, Matroska and MPEG-TS, through PyAV, without encoding anything again."""

from __future__ import annotations

import io
import os
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO

from ..errors import InvalidArgumentError, MediaError
from .container import import_av
from .reader import ColorTags, suffix_of

if TYPE_CHECKING:
    from types import TracebackType

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".ts": "mpegts"}
_ISO_FORMATS = ("mp4", "mov")
_DEMUXERS = {"h264": "h264", "h265": "hevc"}


class Muxer:
    """Write the packets of one encoder into a container file, with the right times.

    The header is written with the first packet, from its parameter sets; so that packet must be a key frame, as the
    first of every encoder is. Packets come in the order of the encoder: without B frames that is the order of time.
    Used by one thread at a time; blocks while the file is written.

    Parameters
    ----------
    file : str, path or binary file
        A file object must be seekable for MP4 and MOV, needs `format`, and is not closed by `close`.
    codec : str
        "h264" or "h265".
    fps : int or fractions.Fraction
        Frames per second: written to the header, and the duration of a frame for which none is given.
    time_base : fractions.Fraction, optional
        Seconds per unit of `pts` and `duration`. Default: the first packet's `time_base`.
    format : str, optional
        "mp4", "mov", "matroska" or "mpegts". Default: by the name's suffix.
    sample_aspect_ratio : fractions.Fraction, optional
        Width of a pixel divided by its height; written to MP4 and MOV.
    color : ColorTags, optional
        How the samples are to be understood; written where the format has a place for it.

    Raises
    ------
    InvalidArgumentError
        An unknown codec, format or suffix.
    MediaError
        PyAV is not installed.
    OSError
        The file cannot be created.

    Examples
    --------
    >>> import io
    >>> import ascend_venc as venc
    >>> from ascend_venc.media import Muxer
    >>> file = io.BytesIO()
    >>> with venc.Encoder(128, 128, codec="h264", fps=25, backend="sim") as enc:
    ...     with Muxer(file, codec="h264", fps=25, format="mp4") as mux:
    ...         for _ in range(3):
    ...             mux.write_all(enc.encode(bytes(128 * 128 * 3 // 2)))
    ...         mux.write_all(enc.flush())
    """

    def __init__(
        self,
        file: str | os.PathLike[str] | BinaryIO,
        *,
        codec: str,
        fps: int | Fraction,
        time_base: Fraction | None = None,
        format: str | None = None,
        sample_aspect_ratio: Fraction | None = None,
        color: ColorTags | None = None,
    ) -> None:
        if codec not in _DEMUXERS:
            raise InvalidArgumentError(f'codec is {codec!r}; allowed are "h264", "h265"')
        if format is None and isinstance(file, (str, os.PathLike)):
            format = FORMATS.get(suffix_of(file))
        if format not in FORMATS.values():
            raise InvalidArgumentError(
                f"format is {format!r}; allowed are {', '.join(sorted(set(FORMATS.values())))}, and the suffixes "
                f"{' '.join(FORMATS)}"
            )
        self._av = import_av()
        self._codec = codec
        self._fps = Fraction(fps)
        self._time_base = time_base
        self._format = format
        self._sample_aspect_ratio = sample_aspect_ratio
        self._color = color or ColorTags()
        self._stream: Any = None
        self._container: Any = None
        self._last_pts: int | None = None
        self._closed = False
        self._owned = isinstance(file, (str, os.PathLike))
        # Through a file object, so that a full disk is an OSError with its errno rather than nothing at all.
        self._file: BinaryIO = open(file, "wb") if isinstance(file, (str, os.PathLike)) else file  # noqa: SIM115

    def write(self, packet: Any, *, pts: int | None = None, duration: int | None = None) -> None:
        """Append one packet.

        Parameters
        ----------
        packet : Packet
            Or any buffer with an access unit in Annex B that has the attributes `is_keyframe`, and `pts` and
            `time_base` where these are not given.
        pts : int, optional
            When it is shown, in units of the muxer's `time_base`, greater than that of the packet before it. Default:
            the packet's own.
        duration : int, optional
            How long it is shown, in the same units; only the last packet's counts for the length of the file.
            Default: 1 / fps.

        Raises
        ------
        MediaError
            Times that do not grow, a first packet without parameter sets, or a format that cannot hold this.
        OSError
            The file cannot be written.
        """
        if self._closed:
            raise MediaError("the muxer is closed")
        if self._time_base is None:
            self._time_base = packet.time_base
        if pts is None:
            pts = round(packet.pts * packet.time_base / self._time_base)
        if self._last_pts is not None and pts <= self._last_pts:
            raise MediaError(f"pts {pts} follows {self._last_pts}: times must grow")
        self._last_pts = pts
        try:
            if self._stream is None:
                self._start(packet)
            unit = self._av.Packet(self._payload(packet))
            unit.stream = self._stream
            unit.time_base = self._time_base
            unit.pts = unit.dts = pts
            unit.duration = duration or max(1, round(1 / self._fps / self._time_base))
            unit.is_keyframe = packet.is_keyframe
            self._container.mux_one(unit)
        except self._av.error.FFmpegError as error:
            raise self._failure(error) from None

    def write_all(self, packets: Any) -> None:
        """Append packets with their own times, e.g. what `Encoder.encode` returned."""
        for packet in packets:
            self.write(packet)

    def _payload(self, packet: Any) -> Any:
        # The tag hvc1 promises samples without parameter sets; not every FFmpeg takes them out.
        if self._codec == "h265" and self._format in _ISO_FORMATS and packet.is_keyframe:
            return _without_parameter_sets(bytes(packet))
        return memoryview(packet)

    def _start(self, packet: Any) -> None:
        # A demuxer reads the parameter sets; the new stream takes what it found, so that no encoder is opened.
        with self._av.open(io.BytesIO(bytes(packet)), format=_DEMUXERS[self._codec]) as parsed:
            template = parsed.streams.video[0]
            context = template.codec_context
            if not context.extradata or not context.width:
                raise MediaError("the first packet has no parameter sets: it must be a key frame of the encoder")
            self._container = self._av.open(self._file, "w", format=self._format)
            if hasattr(self._container, "add_stream_from_template"):
                # Opaque: a plain stream. Without it some versions open an encoder, which prints to stderr.
                stream = self._container.add_stream_from_template(template, opaque=True)
            else:
                stream = self._container.add_stream(template=template)
        stream.time_base = self._time_base
        context = stream.codec_context
        context.framerate = self._fps
        if self._sample_aspect_ratio:
            context.sample_aspect_ratio = self._sample_aspect_ratio
        for name, value in zip(("color_primaries", "color_trc", "colorspace"), self._color):
            setattr(context, name, value)
        if self._codec == "h265" and self._format in _ISO_FORMATS:
            context.codec_tag = "hvc1"  # parameter sets in the header only, which some players insist on
        self._stream = stream

    def _failure(self, error: Any) -> Exception:
        if isinstance(error, OSError) and error.errno:
            return OSError(error.errno, error.strerror)
        return MediaError(f"the {self._format} file cannot be written: {error.strerror}")

    def close(self) -> None:
        """Write the end of the file. Idempotent. Raises OSError or MediaError as `write` does.

        A muxer that was given no packet leaves an empty file.
        """
        if self._closed:
            return
        self._closed = True
        try:
            if self._container is not None:
                self._container.close()
        except self._av.error.FFmpegError as error:
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


def _without_parameter_sets(unit: bytes) -> bytes:
    """Return an H.265 access unit in Annex B without the VPS, SPS and PPS that stand before its first slice."""
    kept = []
    begin = unit.find(b"\0\0\1") + 3
    while begin >= 3:
        kind = unit[begin] >> 1 & 63
        if kind < 32:  # a slice: the rest stays
            kept.append(unit[begin:])
            break
        end = unit.find(b"\0\0\1", begin)
        if not 32 <= kind <= 34:
            kept.append((unit[begin:end] if end >= 0 else unit[begin:]).rstrip(b"\0"))
        begin = end + 3 if end >= 0 else -1
    return b"".join(b"\0\0\0\1" + nal for nal in kept)
