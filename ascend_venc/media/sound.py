# SPDX-License-Identifier: Apache-2.0
"""The sound of a file, copied packet by packet beside a film that is encoded anew. Nothing is decoded."""

from __future__ import annotations

import collections
import io
import os
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ..arguments import as_seconds
from ..errors import MediaError
from . import adts, silence
from .container import CLOCK_RESTARTS, import_av, open_to_read, reason_of, speaking_of
from .copied import CopiedStreams, codec_name, is_told_by_packets, is_untold_aac
from .formats import ISO_FORMATS, demuxer_of
from .packets import packets_of
from .programs import pictures_of, sounds_of
from .sound_clock import PictureClock, SoundClock
from .timeline import LONGEST_GAP, RESTART

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    from .muxer import Muxer

# FFmpeg would write others as data that no player knows, and does not say which it takes; TrueHD it reads back as MP3.
_MPEGTS = ("aac", "ac3", "eac3", "dca", "mp2", "mp3", "opus", "libopus")
_FLV = ("aac", "mp3", "mp3float")  # others few players know, and FFmpeg ends the process for some
_ONE_SOUND = ("flv",)
_BY_INDEX = ("mov,", "avi", "mxf")  # FFmpeg's formats whose times are counted, and begin once
_APART = Fraction(1)  # seconds: how far one track may be behind another in the order of the file
_HARDLY = Fraction(1, 10)  # seconds of sound before the first picture, which encoders put there
_LONGEST = Fraction(1)  # seconds of a packet of sound
UNKNOWN = "a codec that PyAV does not know"


class Sound:
    """Audio streams of a file that a format can hold, for one `Muxer`.

    Parameters
    ----------
    path : str or path
        A file, not a stream without end.
    format : str
        Of `Muxer`.
    start : fractions.Fraction, optional
        Seconds by the file's clock that become 0. Default: its first picture's, else its first sound's.
    tolerant : bool
        End the sound where the file cannot be read further.

    Attributes
    ----------
    names : tuple of str
        Codecs that are copied; empty where there is no sound, or none that the format can hold.
    left_out : tuple of str
        Codecs that the format cannot hold; UNKNOWN for each that PyAV has no name for.
    cut : bool
        Whether the sound is to end with the pictures.
    stop : fractions.Fraction or None
        Seconds from the beginning at which the sound is to end; not before the pictures do.
    begins_within : bool
        Whether what is heard before `start` is not missed, since pictures before it are left out as well.
    failure : str
        With `tolerant`, why it ended early, or that packets are left out; else "", and MediaError is raised.

    Raises
    ------
    MediaError, OSError
        The file cannot be read.
    """

    def __init__(
        self, path: str | os.PathLike[str], format: str, start: Fraction | None = None, tolerant: bool = False
    ) -> None:
        with open(path, "rb"):  # an OSError that says why, rather than FFmpeg's
            pass
        self._path = os.fspath(path)
        self._format = format
        self.cut = self.begins_within = False
        self.stop: Fraction | None = None
        self.failure = ""
        self._before = Fraction(0)  # seconds of sound before the first picture
        self._configurations: dict[int, bytes] = {}  # of AAC that its packets describe, by stream
        self._tolerant = tolerant
        av = import_av()
        with speaking_of(f"{self._path}: its sound cannot be read"):
            self._container = open_to_read(av, "file:" + os.path.abspath(path))
        pictures = pictures_of(self._container)
        streams = sounds_of(self._container, pictures, path)
        self._others = ""  # whose sound is left out
        if len(streams) < len(self._container.streams.audio):
            self._others = "other variants" if self._container.format.name == "hls" else "other programs"
        held = [s for s in streams if s.codec_context and _can_hold(av, format, s) and _takes(av, format, s)]
        if format in _ONE_SOUND:
            held = held[:1]
        self._streams = held
        self.names = tuple(map(_codec_name, held))
        others = [stream for stream in streams if stream not in held]
        self.left_out = tuple(map(_codec_name, others))
        self._refused = [f"sound in {_codec_name(stream)}{_reason(stream)}" for stream in others]
        if start is None:
            timed = [pictures, *streams] if pictures else streams
            start = next((s.start_time * s.time_base for s in timed if s.start_time is not None), Fraction(0))
        self._start = start
        flags = self._container.format.flags
        restarts = int(getattr(flags, "value", flags)) & CLOCK_RESTARTS
        self._farthest = RESTART if restarts else LONGEST_GAP
        self._pictures: PictureClock | None = None
        if pictures is not None and not demuxer_of(self._container).startswith(_BY_INDEX):
            self._pictures = PictureClock(pictures, start, self._farthest)
        self._muxer: Muxer | None = None
        self._shift = Fraction(0)
        self._packets: Iterator[Any] = iter(())
        self._reached = -_APART  # the latest time that was read
        self._held: dict[int, collections.deque[tuple[Fraction, int, Any]]] = {}  # by stream: time, place, packet
        self._clocks: dict[int, SoundClock] = {}
        self._pauses: dict[int, silence.Pauses] = {}  # of PCM, where the format counts its samples

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of it at its end."""
        notes = [self.failure] if self.failure else []
        if self._before > _HARDLY and not self.begins_within:
            notes.append(f"{float(self._before):.1f} s of its sound are before its first picture, and left out")
        return tuple(notes)

    @property
    def refused(self) -> list[str]:
        """What is left out, in words."""
        return [*self._refused, f"sound of {self._others}"] if self._others else self._refused

    def attach(self, muxer: Muxer, start: Fraction = Fraction(0)) -> None:
        """Add the streams to a muxer that has no packet yet, which then gets their packets.

        `start`: seconds from the film's beginning that are 0 in this file. The next file of a film goes on where the
        one before ended.
        """
        begun = self._muxer is not None
        self._muxer, self._shift = muxer, start
        known = [(stream.index, silence.pcm_of(stream)) for stream in self._streams if self._format in ISO_FORMATS]
        self._pauses = {index: silence.Pauses(pcm) for index, pcm in known if pcm is not None}
        if self._streams and not begun:
            for stream in self._streams:
                self._clocks[stream.index] = SoundClock(self._start, stream.time_base, self._farthest, self._pictures)
                self._held[stream.index] = collections.deque()
            also = [self._pictures.stream] if self._pictures else []
            self._packets = packets_of(self._container, [*also, *self._streams])
        for stream in self._streams:
            if not is_told_by_packets(stream):
                muxer.add_stream_like(stream)
                continue
            first = self._first_of(stream)
            if first is not None:  # else there is nothing more of it
                muxer.add_stream_like(stream, first=first)

    def until(self, seconds: Fraction | None) -> None:
        """Copy what is heard before that time from the beginning; None: all that is left."""
        with speaking_of(f"{self._path}: its sound cannot be read"):
            while (seconds is None or self._reached < seconds + _APART) and self._fetch():
                pass
        for held in self._held.values():  # what fails here is the output's, which says so
            while held and (seconds is None or held[0][0] < seconds):
                _, place, packet = held.popleft()
                self._copy(packet, place)

    def finish(self) -> None:
        """Copy what the file cannot be without, whenever it is heard: one packet of some kinds of sound."""
        assert self._muxer is not None
        for stream in self._streams:
            with speaking_of(f"{self._path}: its sound cannot be read"):
                found = self._muxer.waits_for(stream) and self._first_of(stream) is not None
            if found:
                _, place, packet = self._held[stream.index].popleft()
                self._copy(packet, place)

    def _first_of(self, stream: Any) -> Any:
        """Return the next packet of a stream that is heard after the beginning of this file; None at the end."""
        held = self._held[stream.index]
        while True:
            while held and held[0][1] < round(self._shift / held[0][2].time_base):
                self._leave_out(held.popleft()[0])
            if held:
                return held[0][2]
            if not self._fetch():
                return None

    def _fetch(self) -> bool:
        """Read one more packet; False at the end."""
        packet = self._read()
        if packet is None:
            return False
        # An edit list cuts out what is to be discarded.
        if packet.dts is None or not packet.size or getattr(packet, "is_discard", False):
            return True
        if packet.stream.index not in self._clocks:
            assert self._pictures is not None
            self._pictures.saw(packet)
            return True
        if self._pictures is not None:
            self._pictures.heard(packet)
        if self._tolerant and is_untold_aac(packet.stream) and not adts.header_size(bytes(packet)):
            self.failure = self.failure or "packets of its sound are damaged, and left out"
            return True
        clock, held, unit = self._clocks[packet.stream.index], self._held[packet.stream.index], packet.time_base
        clock.correct(packet, held)
        if clock.last is not None:  # not this packet's time, which the next one may correct
            self._reached = max(self._reached, clock.last * unit)
        before = clock.last
        place = clock.place(packet)
        if not packet.duration and before is not None and place is not None and (place - before) * unit <= _LONGEST:
            packet.duration = place - before  # MP4 would end where a last packet without one begins
        if place is not None and not (self._tolerant and place >= 0 and self._changes(packet)):
            held.append((place * unit, place, packet))
        return True

    def _changes(self, packet: Any) -> bool:
        """Say whether it is AAC of another kind than before, which the format cannot tell."""
        if self._format == "mpegts" or not is_untold_aac(packet.stream):
            return False
        now = adts.configuration(bytes(packet))
        first = self._configurations.setdefault(packet.stream.index, now)
        if now == first:
            return False
        change = f"from {adts.description(first)} to {adts.description(now)}"
        self.failure = self.failure or f"its sound changes {change}: such packets are left out"
        return True

    def _leave_out(self, time: Fraction) -> None:
        self._before = max(self._before, -time)

    def _copy(self, packet: Any, place: int) -> None:
        if place < 0:
            self._leave_out(place * packet.time_base)
        place -= round(self._shift / packet.time_base)
        if place >= 0:
            packet.pts = place + ((packet.pts - packet.dts) if packet.pts is not None else 0)
            packet.dts = place
            assert self._muxer is not None
            pauses = self._pauses.get(packet.stream.index)
            for filling in pauses.before(packet, place) if pauses is not None else ():
                self._muxer.copy(filling)
            self._muxer.copy(packet)

    def _read(self) -> Any:
        try:
            return next(self._packets, None)
        except Exception as error:
            if not self._tolerant:
                raise
            self.failure = f"its sound cannot be read further: {reason_of(error)}"
            self._packets = iter(())
            return None

    def close(self) -> None:
        """Idempotent."""
        self._packets, self._held, self._streams = iter(()), {}, []
        self._container.close()


def what_is_not_taken(left_out: Iterable[str], format: str | None, sound: Iterable[str]) -> tuple[str, ...]:
    """Return what an output has not of a reader's `left_out`, with `sound` for sound. `format` None: a bitstream."""
    result: list[str] = []
    for name in left_out:
        if name == "sound":
            result += sound
        elif name != "title" or format is None:
            result.append(name)
    return tuple(result)


class WithSound:
    """A muxer whose film has sound: what is heard before a picture is written before it."""

    def __init__(self, muxer: Muxer, sound: Sound, time_base: Fraction, start: Fraction = Fraction(0)) -> None:
        self._muxer = muxer
        self._sound = sound
        self._time_base = time_base
        self._start = self._end = start
        sound.attach(muxer, start)

    def write(self, packet: Any, *, pts: int, duration: int) -> None:
        """As `Muxer.write`; times in units of `time_base`."""
        self._end = self._start + (pts + duration) * self._time_base
        self._sound.until(self._start + pts * self._time_base)
        self._muxer.write(packet, pts=pts, duration=duration)

    def __enter__(self) -> WithSound:
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, traceback: TracebackType | None) -> None:
        self._sound.cut = self._sound.cut or kind is not None
        try:
            self.close()
        except (OSError, MediaError):
            if kind is None:  # else the first exception says why
                raise

    def close(self) -> None:
        """End sound and film. Raises as `Muxer.close` does, or MediaError of the sound."""
        try:
            self.end(None)
        finally:
            self._sound.close()

    def end_sound(self) -> None:
        """Copy the sound that is left, unless it ends with the pictures. Interrupted, it can be cut and closed."""
        self._sound.until(self._last_moment())

    def end(self, time: Fraction | None) -> None:
        """End this file, with the sound up to that time of the film; None: all of it."""
        try:
            self._sound.until(self._last_moment() if time is None else time)
            self._sound.finish()
        finally:
            self._muxer.close()

    def _last_moment(self) -> Fraction | None:
        if self._sound.cut:
            return self._end
        return None if self._sound.stop is None else max(self._end, self._sound.stop)


def _codec_name(stream: Any) -> str:
    return codec_name(stream) or UNKNOWN


def _reason(stream: Any) -> str:
    if not codec_name(stream):
        return ""
    told = stream.codec_context.sample_rate  # found in its packets, where no header has it
    return " (OUTPUT cannot hold it)" if told else " (FFmpeg found none of it in the beginning)"


def _can_hold(av: Any, format: str, stream: Any) -> bool:
    name = stream.codec_context.name
    if format == "mpegts":
        return bool(name.startswith(_MPEGTS))
    if format == "flv" and name not in _FLV:
        return False
    with av.open(io.BytesIO(), "w", format=format) as probe:
        known = probe.supported_codecs
    return not known or name in known


def _takes(av: Any, format: str, stream: Any) -> bool:
    """Whether FFmpeg writes a header with it: some codecs are known to a format, and refused by that."""
    copied = CopiedStreams()
    copied.add(stream)
    # An MP4's header says nothing of the stream before there is a packet, unless it is for fragments.
    options = {"movflags": "empty_moov"} if format in ISO_FORMATS and not is_told_by_packets(stream) else {}
    try:
        with av.open(io.BytesIO(), "w", format=format, options=options) as trial:
            copied.open(trial)
            trial.start_encoding()
    except (av.error.FFmpegError, ValueError):
        return False
    return True


def sound_for(path: str | os.PathLike[str], format: str, start: Fraction | None = None) -> Sound:
    """Return the sound of a file that is asked for: MediaError where there is none, or the format cannot hold it."""
    sound = Sound(path, format, None if start is None else as_seconds("audio_start", start))
    if not sound.names:
        told = f"({', '.join(sound.left_out)})"
        why = f"{format} cannot hold its sound {told}" if sound.left_out else "it has no sound"
        if set(sound.left_out) == {UNKNOWN}:
            why = f"its sound is not copied {told}"
        sound.close()
        raise MediaError(f"{os.fspath(path)}: {why}")
    return sound
