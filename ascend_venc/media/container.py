# SPDX-License-Identifier: Apache-2.0
"""Whatever PyAV opens: containers and codecs, decoded and converted to NV12."""

from __future__ import annotations

import collections
import contextlib
import functools
import os
import stat
import sys
import time
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO

from ..errors import MediaError, VencError
from ..rates import parse_fps
from .formats import can_seek, demuxer_of
from .left_out import what_frames_lose, what_is_left_out
from .orientation import UPRIGHT, tells_another_turn, turn_of
from .packets import packets_of
from .planar import CHROMA_TO_LIMITED, LUMA_TO_LIMITED, NEUTRAL_CHROMA
from .playlists import NUMBER, Playlist, behind_a_gap, read_playlist, what_is_missing
from .programs import pictures_of
from .read_once import Tail
from .reader import SLACK, ColorTags, VideoFrame, VideoReader, length_of, opened
from .structure import Cropping, TrackHeader, another_film, declared_size, how_it_is_cut_off, track_header
from .timeline import LONGEST_GAP, RESTART, Pauses, Timeline, agree, choose_rate, is_in_a_hole, packet_times
from .transport_stream import TS_END, Place, counts_anew, ends_within_a_unit, goes_on_elsewhere, size_by_its_end
from .waiting import Stalled, Worker, silence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

UNSPECIFIED_RANGE = 0  # AVCOL_RANGE_UNSPECIFIED
FULL_RANGE = 2  # AVCOL_RANGE_JPEG
LIMITED_RANGE = 1  # AVCOL_RANGE_MPEG
LAST_OF_STANDARD_RANGE = 8  # of H.273's code points those for BT.2020 and HDR come behind it, and few others
HD_HEIGHT = 577  # pictures as high as this are taken for BT.709 by players, others for BT.601
ATTACHED_PICTURE = 0x0400  # AV_DISPOSITION_ATTACHED_PIC
NO_TIMESTAMPS = 0x0080  # AVFMT_NOTIMESTAMPS: a bare bitstream
CLOCK_RESTARTS = 0x0200  # AVFMT_TS_DISCONT
# Formats with an index of the whole film, or whose demuxer reads no second one: a place in them is the right one.
INDEXED = ("mov,", "avi", "mxf", "asf")
DTS_ONLY = ("avi", "asf")  # formats that hold one time a packet, which FFmpeg takes for that of its decoding
LOOK_AHEAD = 8  # frames that tell what the headers do not
# Metadata of one file, not of the film.
OF_THE_CONTAINER = ("major_brand", "minor_version", "compatible_brands", "encoder", "creation_time", "duration")
CAMERAS = "v4l2"
NO_FILES = ("lavfi", CAMERAS, "video4linux2", "x11grab", "kmsgrab", "fbdev")  # "file:" before the name is not for them
# What FFmpeg puts before names, without the "//" of networks.
PROTOCOLS = ("concat:", "concatf:", "subfile,", "cache:", "async:", "crypto:", "data:")
# What names other sources, by FFmpeg's formats and by what stands in the first bytes. They may stall, or still grow.
LISTS = ("concat", "dash", "hls", "imf", "sdp")
BROADCASTS = ("dash", "hls", "sdp")  # those of them that go on where no length is told
MARKS_OF_LISTS = (b"ffconcat", b"<MPD", b"#EXTM3U", b"<CompositionPlaylist", b"c=IN IP")
HEAD_OF_LIST = 2048  # bytes
OVERREAD = "overread"  # what FFmpeg's decoder of JPEG complains of where it fills the rest of a picture with grey
MISSED = Fraction(1)  # seconds that a playlist may tell beyond the last picture, where it counts the sound
MAX_TWICE = 64 << 20  # bytes of packets that are kept, to decode the end once more


def import_av() -> Any:
    """Import PyAV. Raises MediaError that says how to install it."""
    try:
        import av

        if hasattr(av, "open"):  # else it is another one of that name
            import av.logging
    except ImportError as error:
        raise MediaError(f"this kind of file needs PyAV: pip install 'ascend-venc[media]' ({error})") from None
    if not hasattr(av, "open") or not hasattr(av, "error"):
        raise MediaError(
            f"this kind of file needs PyAV, but the module av is another one ({getattr(av, '__file__', 'unknown')}): "
            "take it away, then pip install 'ascend-venc[media]'"
        )
    return av


def open_to_read(av: Any, name: str, **options: Any) -> Any:
    """Open a file with PyAV. Tags that are not UTF-8 are no obstacle."""
    if int(av.__version__.partition(".")[0]) < 19:  # later ones take such tags as they are
        options["metadata_errors"] = "replace"
    return av.open(name, **options)


def reason_of(error: BaseException) -> str:
    """Say in words why PyAV failed."""
    text = getattr(error, "strerror", None) or str(error)
    if hasattr(error, "log") or isinstance(error, OSError):  # FFmpeg's own
        return str(text)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@contextlib.contextmanager
def speaking_of(what: str) -> Iterator[None]:
    """Turn whatever PyAV raises into MediaError: it lets out much besides its own errors.

    Not Python's MemoryError; FFmpeg's, which has a log, is about what a damaged file claims to hold.
    """
    try:
        yield
    except VencError:
        raise
    except Exception as error:
        if isinstance(error, MemoryError) and not hasattr(error, "log"):
            raise
        raise MediaError(f"{what}: {reason_of(error)}") from error


@contextlib.contextmanager
def listening_to_ffmpeg() -> Iterator[None]:
    """Turn FFmpeg's log on, for readers to notice what it says about damage. Nothing is printed.

    For the whole process, so this is for a program that owns it. Without PyAV nothing happens.
    """
    try:
        av = import_av()
    except MediaError:
        yield
        return
    before = av.logging.get_level()
    av.logging.set_level(av.logging.PANIC)
    try:
        yield
    finally:
        av.logging.set_level(before)


class ContainerReader(VideoReader):
    """Read the video stream of a file that PyAV (FFmpeg) opens: mp4, mkv, mov, avi, ts, webm, gif, URLs, ...

    Frames are converted to NV12, limited range, in the order in which they are shown, turned and cropped as the file
    says (90, 180, 270 degrees, mirrored), with the file's own time stamps counted from the first frame. Where its clock
    starts anew, or jumps ahead (by 10 seconds in formats that allow it, as FFmpeg has it), the time goes on without a
    step. Nothing is scaled: a picture that changes its size within the file is refused. Sound and further streams are
    not read.

    Parameters
    ----------
    path : str, path or binary file
        A camera (`/dev/video0`) and numbered pictures (`frame_%03d.png`) are known by their names. A file object need
        not be seekable, is read on a thread of its own, and is not closed by `close`.
    fps : int, float, str or fractions.Fraction, optional
        Frames per second. Frames are then evenly spaced, whatever the file says.
    tolerant : bool
        Go on where the file is damaged or cut off, and count the frames in `damaged`. Default: raise MediaError.
    timeout : float, optional
        Seconds to wait for a network, a pipe or a device that sends nothing; then MediaError. Default: for ever. The
        exception of a signal handler ends the wait either way; the connection then ends with the process, or when
        something comes.
    format : str, optional
        FFmpeg's name of the demuxer or device: "v4l2", "image2", "concat", "lavfi", ... Default: FFmpeg finds it.
    options : mapping of str, optional
        FFmpeg's options of it, such as `{"rtsp_transport": "tcp"}`.

    Raises
    ------
    MediaError
        PyAV is not installed, the file is not a video, it is damaged, or its first frame cannot be decoded.
    OSError
        The file cannot be opened.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | BinaryIO,
        *,
        fps: int | float | str | Fraction | None = None,
        tolerant: bool = False,
        timeout: float | None = None,
        format: str | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        name: Any = os.fspath(path) if isinstance(path, (str, os.PathLike)) else path
        self._tail: Tail | None = None
        if not isinstance(name, str) and not can_seek(name):
            name = self._tail = Tail(name, TS_END)
        rate = None if fps is None else parse_fps(fps)
        self._file: str | None = None
        self._numbered = ""  # the name of numbered pictures
        self._source: Any = None if isinstance(name, str) or not _is_at_its_beginning(name) else name
        self._tolerant = tolerant
        self._timeout = timeout
        self._worker: Worker | None = None
        may_stall = True
        self._container: Any = None
        self._decoder: Iterator[Any] = iter(())
        self._pending: collections.deque[Any] = collections.deque()
        self._notes: list[str] = []
        self._complaint = ""
        self._told: tuple[ColorTags, Fraction] | None = None  # by the stream, of the last frame
        self._timeline = Timeline(0)
        # Of a bare stream of MPEG-2: how many frames say that they are shown for so many seconds (repeat_first_field).
        self._asked: collections.Counter[Fraction] = collections.Counter()
        self._changed: dict[str, None] = {}  # what became different in it
        self._is_fast = False  # or slow, by an edit list
        self._depends = False  # one picture on another
        self._later: dict[str, int] = {}  # what is left out of frames after the first, and of which one first
        self._turned_from: int | None = None  # the first frame that is to be turned otherwise
        self._unjoined = 0
        self._searched = False
        self._playlist: Playlist | None = None
        self._read_to = 0  # the byte behind the last picture
        self._landed: int | None = None  # the byte of the first packet that tells it
        self._skipped = 0  # units of time_base before the first frame that is given
        self._since_key: list[bytes] = []  # packets from the last key frame on, of a stream whose end is looked at
        self._heard = 0.0  # when the last packet came
        self._options = dict(options or {})
        self._format = format or (CAMERAS if isinstance(name, str) and _is_camera(name) else None)
        if isinstance(name, str) and self._format not in NO_FILES and not _is_address(name):
            numbered = NUMBER.search(name) or "pattern_type" in self._options
            if format in (None, "image2") and numbered and not os.path.exists(name):
                self._format = "image2"
            elif stat.S_ISREG(os.stat(name).st_mode) or os.path.isdir(name):
                may_stall = self._format in LISTS or "follow" in self._options or _is_list(name)
                self._file = self.path = self._source = name
            if self._format == "image2" and self._options.get("pattern_type", "sequence") == "sequence":
                self._numbered = name
            if self._format != "image2":
                name = "file:" + os.path.abspath(name)  # FFmpeg takes "a:b.mp4" for a protocol
        self._av = import_av()
        if may_stall:
            self._worker = Worker()
        try:
            with speaking_of("this is not a video that can be read"):
                # Connecting and FFmpeg's look at the first seconds of a stream have the time each.
                self._container = self._run(lambda: self._open(name), 2)
                self._demuxer = demuxer_of(self._container)
                if self._source is not None:
                    self._check_whole(self._source)
                self._run(lambda: self._open_stream(rate))
        except BaseException as error:
            self.close()
            if isinstance(error, MediaError) and self._format == CAMERAS and str(name).startswith("/dev/"):
                os.stat(name)  # an OSError that says why, rather than FFmpeg's
            raise

    def _run(self, function: Callable[[], Any], times: int = 1) -> Any:
        """Call what may wait for the input: on a thread of its own, where the input may stall."""
        if self._worker is None:
            return function()
        self._heard = time.monotonic()
        timeout = self._timeout
        try:
            return self._worker.call(function, None if timeout is None else timeout * times, lambda: self._heard)
        except Exception as error:
            if timeout is not None and (isinstance(error, Stalled) or _is_timeout(error)):
                raise silence(timeout) from None
            raise

    def _open(self, name: Any) -> Any:
        patience = {} if self._timeout is None or self._worker is None else {"timeout": self._timeout}
        return open_to_read(self._av, name, format=self._format, options=self._options, **patience)

    def _check_whole(self, path: Any) -> None:
        with opened(path) as file:
            size = length_of(file)
        name = self._demuxer
        if isinstance(path, str) and (name == "concat" or (name == "hls" and self._container.duration)):
            self._playlist = read_playlist(path, name)
            missing = what_is_missing(path, name)
            if missing:
                text = missing[0] + (f", and so on, {len(missing)} in all" if len(missing) > 1 else "")
                if not self._tolerant and len(self._playlist.variants) < 2:  # else it may be one that is not read
                    raise MediaError(text)
                self._notes.append(text)
        declared = declared_size(path, name)
        if declared is not None and declared > size:
            text = how_it_is_cut_off(name, size, declared)
            if not self._tolerant:
                raise MediaError(text)
            self._notes.append(text)

    def _open_stream(self, fps: Fraction | None) -> None:
        streams = self._container.streams
        best = pictures_of(self._container)
        if best is None:
            raise MediaError("there is no video stream in it")
        self._stream = best
        codec = best.codec_context
        if codec is None:
            raise MediaError("there is no decoder for its video stream")
        # One thread: others swallow the errors of slices and of the last frames, and a program that has PyAV's log
        # turned on waits for ever where a codec is closed while its threads log.
        codec.thread_count = 1
        color = _color_tags(codec)  # the decoder will put what the stream says over it
        flags = self._container.format.flags
        flags = int(getattr(flags, "value", flags))
        timeless = bool(flags & NO_TIMESTAMPS)
        self._sounds = list(streams.audio) if flags & CLOCK_RESTARTS else []
        self._pauses = Pauses()
        if self._demuxer in BROADCASTS and not self._container.duration:
            self._file = self.path = None
        self.live = self._file is None and not self._container.duration
        header = TrackHeader()
        if self._source is not None:
            header = track_header(self._source, self._demuxer, number_of(self._container, best))
        self._crop = header.crop
        self._holes = () if {"ignore_editlist", "advanced_editlist"} & self._options.keys() else header.holes
        self._is_fast = header.is_fast
        self._container_color = _with_defaults(color, header.color)
        self._durations: collections.OrderedDict[int, int] = collections.OrderedDict()
        self._longest = 0
        self._by_dts, self._late = False, 0
        self._in_order, self._shown_last = True, -sys.maxsize
        self._decoder = self._decode()
        self._read_ahead(1)
        self._settle_times(codec)
        average, guessed = as_fraction(best.average_rate), as_fraction(getattr(best, "guessed_rate", None))
        told = as_fraction(getattr(codec, "framerate", None))
        unit = as_fraction(best.time_base)
        steps: list[Fraction] = []
        if fps is None and not timeless and unit and not agree(average, guessed, told):
            self._read_ahead(LOOK_AHEAD)
            times = [ticks for ticks in map(self._time_of, self._pending) if ticks is not None]
            steps = [(after - before) * unit for before, after in zip(times, times[1:]) if after > before]
        self.fps = fps or choose_rate(average, guessed, told, steps, timeless)
        self.sample_aspect_ratio = header.shape or as_fraction(best.sample_aspect_ratio)
        self.frame_count = self._expected_frames()
        self._evenly_spaced = (
            fps is not None or timeless or not any(self._time_of(f) is not None for f in self._pending)
        )
        self._repeats = fps is None and timeless and codec.name == "mpeg2video"
        self.time_base = 1 / self.fps if self._evenly_spaced or unit is None else unit
        farthest = RESTART if flags & CLOCK_RESTARTS else LONGEST_GAP
        self._timeline = Timeline(
            int(farthest / self.time_base), lambda ticks: self._pauses.end_near(ticks * self.time_base), self.live
        )
        self._turn = UPRIGHT
        if not self._pending:
            self.width, self.height = codec.width, codec.height
            if (self._unjoined and not self._tolerant) or not (self.width and self.height):
                raise MediaError("none of its frames can be decoded")
            self.damaged += self._unjoined
            return
        first = self._pending[0]
        self.start = None if timeless else self._seconds_of(first)
        self.metadata = {
            name: text for name, text in self._container.metadata.items() if name.lower() not in OF_THE_CONTAINER
        }
        self._stored_size = first.width, first.height
        turn = turn_of(first, self._first_data)
        self._turn = turn or UPRIGHT
        self.width = first.width - self._crop.left - self._crop.right
        self.height = first.height - self._crop.top - self._crop.bottom
        if self._turn.transposed:
            self.width, self.height = self.height, self.width
            if self.sample_aspect_ratio:
                self.sample_aspect_ratio = 1 / self.sample_aspect_ratio
        self.color = self._color_of(first)
        self.left_out = what_is_left_out(self._container, best, first)
        if turn is None:
            self.left_out += ("a rotation that is no quarter turn",)

    @property
    def notes(self) -> tuple[str, ...]:
        found = list(self._notes)
        if self._unjoined:
            found.append(
                f"it begins within a running stream: {self._unjoined} frames before its first key frame are left out"
            )
        if self._complaint:
            found.append(f"FFmpeg complained while decoding: {self._complaint}")
        if self._timeline.jumped:
            seconds = self._timeline.jumped * self.time_base
            found.append(f"its clock jumps ahead, by {float(seconds):.2f} s in all, which are left out")
        cut = self._playlist is not None and any(not part.whole for part in self._playlist.parts)
        if cut and self._depends:
            found.append(
                "its list cuts files (inpoint, outpoint) whose pictures depend on each other: FFmpeg begins each at a "
                "key frame before, and some pictures more are shown"
            )
        if self._is_fast:
            found.append("its edit list asks for another speed, which is not followed")
        if len(self._asked) > 1:
            seconds = Fraction(sum(duration * count for duration, count in self._asked.items()))
            found.append(
                f"its pictures are meant for unequal times, {float(seconds):.2f} s in all: they are evenly spaced"
            )
        found += [f"{what} change within the film, and are told as in its beginning" for what in self._changed]
        if self._turned_from is not None:
            begin = self._turned_from
            found.append(f"from frame {begin} on it is to be turned otherwise: it is turned as in its beginning")
        found += [f"not carried over from frame {index} on: {name}" for name, index in self._later.items()]
        return tuple(found)

    def _expected_frames(self) -> int | None:
        if self._stream.frames:
            return int(self._stream.frames)
        unit = as_fraction(self._stream.time_base)
        if self._stream.duration and unit:
            seconds: Fraction = self._stream.duration * unit
        elif self._container.duration:
            seconds = Fraction(self._container.duration, self._av.time_base)
        else:
            return None
        return max(1, round(seconds * self.fps))

    def _packets(self) -> Iterator[tuple[Any, bool | None]]:
        """Yield packets of the stream, each with whether the container says that it is damaged; None: perhaps."""
        window: collections.deque[Any] = collections.deque()
        step = last = None  # of the times of decoding

        def first() -> tuple[Any, bool | None]:
            nonlocal step, last
            # Where two recordings were put together, the container's counters break, and its clock starts anew. FFmpeg
            # marks the packet before or the one before that.
            joint = any(map(self._clock_breaks, window, list(window)[1:]))
            packet = window.popleft()
            if packet.dts is not None:
                step, last = None if last is None else packet.dts - last, packet.dts
            if not packet.size or not packet.is_corrupt or joint:
                return packet, False
            # A packager may count anew in each segment, which begins with a key frame: nothing is missing before it.
            ahead = [packet]
            for later in window:
                ahead.append(later)
                times = [known.dts for known in ahead]
                if step is None or not all(
                    a is not None and b is not None and 0 < b - a <= 1.5 * step for a, b in zip(times, times[1:])
                ):
                    break
                if later.is_keyframe and self._counts_anew(packet.pos, later.pos):
                    return packet, None
            return packet, True

        for packet in packets_of(self._container, [self._stream, *self._sounds], self._notes):
            time = None if packet.dts is None else packet.dts * packet.time_base
            if packet.stream.index != self._stream.index:
                if time is not None:
                    self._pauses.heard(packet.stream.index, time)
                continue
            if time is not None:
                self._pauses.saw(time)
            window.append(packet)
            while window and (len(window) > 2 or not window[0].is_corrupt):
                yield first()
        while window:
            yield first()

    def _counts_anew(self, begin: int | None, end: int | None) -> bool:
        """Say whether nothing is missing from a packet of MPEG-TS up to another, where the counters break."""
        if begin is None or end is None or self._file is None:
            return False
        if self._demuxer == "mpegts":
            here = Place(self._file, end)
            return counts_anew(Place(self._file, begin), here, here)
        # Places in a playlist's film are as if its segments were one file, from where reading began.
        offset, before = 0, None
        for part in self._playlist.parts if self._playlist is not None and not self._searched else []:
            size = os.path.getsize(part.path) if os.path.isfile(part.path) else 0
            if part.end is not None:
                return False
            if offset <= begin < offset + size:
                before = Place(part.path, begin - offset)
            if offset <= end < offset + size:
                behind = Place(part.path, end - offset)
                if before is None:
                    return False
                last = behind if before.path == part.path else Place(before.path, None)
                return counts_anew(before, last, behind)
            offset += size
        return False

    def _hear(self, packet: Any) -> Any:
        self._heard = time.monotonic()
        return packet

    def _clock_breaks(self, before: Any, after: Any) -> bool:
        unit = as_fraction(self._stream.time_base)
        if before.dts is None or after.dts is None or unit is None:
            return False
        return not 0 <= (after.dts - before.dts) * unit <= RESTART

    def _decode(self) -> Iterator[Any]:
        index = 0
        counted = False  # whether the last packet was found damaged
        farthest = 0  # where the last packet ends
        pieces = 0  # packets that hold something
        lasting = 0  # how long the last of them is to be shown
        self._landed = None
        joined = False  # whether there was a key frame: what comes before it in a running stream cannot be decoded
        self._first_data = b""
        packets = self._packets()
        while True:
            errors = self._logged_errors()  # what was said since the last packet is of others, such as the output
            try:
                packet, damaged = next(packets, (None, False))
            except self._av.error.FFmpegError as error:
                if _is_timeout(error):
                    raise
                if not self._tolerant:
                    raise MediaError(f"frame {index} cannot be read: {reason_of(error)}") from None
                self._notes.append(f"the input ends with an error: {reason_of(error)}")
                return
            if packet is None:
                return
            self._hear(packet)
            lasting = (packet.duration or 0) + (0 if packet.size else lasting)
            if not packet.size and (packet.dts is not None or packet.pts is not None):
                self._longest = max(self._longest, lasting)
                continue  # the picture before it stays; a decoder would take it for the end
            joined = joined or packet.is_keyframe
            reason = "the container says so" if damaged else None
            name = self._demuxer
            errors, logged = self._logged_errors(), errors
            if errors[0] != logged[0] and errors[1] and errors[1][1] == name:
                reason = errors[1][2].strip()
            if packet.size and self._end_is_looked_at():
                self._since_key = [] if packet.is_keyframe else self._since_key
                self._since_key.append(bytes(packet))
            if packet.size:
                pieces += 1
                self._depends = self._depends or not packet.is_keyframe
                if self._landed is None and packet.pos is not None and packet.pos >= 0:
                    self._landed = packet.pos
                farthest = max(farthest, (packet.dts or 0) + 1)
                self._read_to = max(self._read_to, (packet.pos or 0) + packet.size)
                self._longest = max(self._longest, lasting)
                if packet.pts is not None:
                    self._in_order = self._in_order and packet.pts > self._shown_last
                    self._shown_last = packet.pts
                    self._durations[packet.pts] = packet.duration or 0
                    if len(self._durations) > 64:
                        self._durations.popitem(last=False)
            frames = []
            try:
                frames = packet.decode()
            except self._av.error.EOFError:  # some versions raise it at the end of the last packet
                pass
            except self._av.error.FFmpegError as error:
                if joined and not self._tolerant:
                    raise MediaError(f"frame {index} cannot be decoded: {reason_of(error)}") from None
                reason = reason_of(error)
            errors, logged = self._logged_errors(), errors
            complaint = errors[1][2].strip() if errors[0] != logged[0] and errors[1] else ""
            if damaged is None and complaint:
                reason = reason or "the container says so"
            if complaint.startswith(OVERREAD) and not (self.live and _has_its_end_mark(packet)):
                reason = reason or "its data end before the picture does"
            if any(frame.is_corrupt for frame in frames):
                reason = reason or "parts of it were lost"
            if reason and joined:
                if not self._tolerant:
                    raise MediaError(
                        f"frame {index} is damaged: {reason} (tolerant goes on; --tolerant on the command line)"
                    )
                self.damaged += 1
            if not joined:
                frames = [] if reason else frames
                self._unjoined += packet.size > 0 and not frames
            if joined and not reason:
                self._complaint = self._complaint or complaint
            if frames:
                self._notice_changes()
            for frame in frames:
                if not index:
                    self._first_data = bytes(packet) if packet.size else b""
                joined = True
                if self._holes and is_in_a_hole(self._seconds_of(frame), self._holes):
                    continue
                yield frame
                index += 1
            if packet.size == 0:
                for _ in packets:  # the sound's end, behind which a further stream is noticed
                    pass
                if not counted:
                    self._check_end(index)
                self._check_rest(name, pieces, farthest)
                return
            counted = bool(reason and joined)

    def _notice_changes(self) -> None:
        """Note where the stream tells something else than in its beginning, of which the output tells only that."""
        codec = self._stream.codec_context
        told = _color_tags(codec), as_fraction(codec.sample_aspect_ratio) or Fraction(1)
        if told == self._told:
            return
        if self._told is not None:
            colors, shape = self._told
            if any(map(_differ, colors, told[0])):
                self._changed["its colours"] = None
            if shape != told[1]:
                self._changed["the shapes of its pixels"] = None
        self._told = told

    def _end_is_looked_at(self) -> bool:
        """FFmpeg's H.265 decoder takes a slice that was cut off without a word, and these formats tell no length."""
        return (
            self._file is not None and self._demuxer in ("mpegts", "hevc") and self._stream.codec_context.name == "hevc"
        )

    def _check_end(self, index: int) -> None:
        name = self._demuxer
        if not self._since_key or self._file is None:
            return
        full = name == "mpegts" and ends_within_a_unit(self._file, self._stream.id)
        if not full and name == "mpegts":
            return
        if not self._reads_beyond_its_end():
            if not full:
                return
            self._notes.append("the last frame fills its packet to the end: perhaps the file was cut off there")
            return
        if not self._tolerant:
            raise MediaError(
                f"frame {index - 1} is damaged: the file ends within one (tolerant goes on; --tolerant on the command "
                "line)"
            )
        self.damaged += 1

    def _check_rest(self, name: str, pieces: int, farthest: int) -> None:
        """Say what of the file was not read: FFmpeg looks for the next piece where one is damaged, without a word, and
        does not look behind the film.
        """
        told = found = 0
        if name == "avi":  # a piece counts one tick, also one of no bytes, by which a picture is shown longer
            told, found = self._stream.frames, farthest
        elif name == "mxf":  # its ticks are pictures, but where its index is missing no piece has a time
            told, found = self._stream.duration or 0, pieces
        if found < told and not self._searched:
            self._notes.append(
                f"{told - found} of the {told} pictures that its header counts were not found: perhaps the file is cut "
                "off or damaged"
            )
        first = str(self._options.get("start_number", 0))
        behind = behind_a_gap(self._numbered, int(first), pieces) if first.isdecimal() else None
        if behind is not None:
            self._notes.append("{} is not there, and {} pictures with greater numbers are not read".format(*behind))
        whole = self._size_that_passed_by(name)
        if self._tail is not None and whole is not None and whole > self._tail.length:
            text = how_it_is_cut_off(name, self._tail.length, whole)
            if not self._tolerant:
                raise MediaError(text)
            self._notes.append(text)
        another = another_film(self._file, name, self._read_to) if self._file is not None and self._read_to else None
        if another is not None:
            how = "is not read" if another >= self._read_to else "perhaps some of it is not read"
            self._notes.append(f"another film follows in it, and {how}")
        if self._file and name == "mpegts" and goes_on_elsewhere(self._file, self._stream.id, self._read_to):
            self._notes.append("it goes on in another stream of pictures where this one ends, and that is not read")

    def _size_that_passed_by(self, name: str) -> int | None:
        """Return the bytes that what can be read but once ought to have; None if it does not tell."""
        tail = self._tail
        if tail is not None and name == "mpegts":
            return size_by_its_end(tail.end, tail.length)
        if tail is not None and name.startswith("mov,") and tail.ended and tail.boxes.fragmented:
            return tail.boxes.size
        return None

    def _reads_beyond_its_end(self) -> bool:
        """Say whether the last picture depends on what follows its packet: then its slice is not complete."""
        if sum(map(len, self._since_key)) > MAX_TWICE:
            return False
        *before, last = self._since_key
        pictures = []
        for tail in (b"\xff", b"\x55"):
            context = self._av.CodecContext.create("hevc", "r")
            context.thread_count = 1
            context.extradata = self._stream.codec_context.extradata
            frames: list[Any] = []
            for data in (*before, last + tail * 64, b""):
                try:
                    frames = context.decode(self._av.Packet(data) if data else None) or frames
                except (self._av.error.FFmpegError, EOFError):
                    continue
            pictures.append([bytes(plane) for frame in frames for plane in frame.planes])
        return pictures[0] != pictures[1]

    def _logged_errors(self) -> tuple[int, Any]:
        """Number and last of the errors in FFmpeg's log, where the program has it turned on."""
        count, last = self._av.logging.get_last_error()
        return count, last

    def _read_ahead(self, count: int) -> None:
        while len(self._pending) < count:
            frame = next(self._decoder, None)
            if frame is None:
                return
            self._pending.append(frame)

    def _next(self) -> Any:
        """Take the next decoded frame; None at the end."""
        if not self._pending:
            with speaking_of("the video cannot be read further"):
                self._run(lambda: self._read_ahead(1))
        return self._pending.popleft() if self._pending else None

    def _peek_time(self) -> int | None:
        if not self._pending:
            with speaking_of("the video cannot be read further"):
                self._run(lambda: self._read_ahead(1))
        return self._ticks_of(self._pending[0]) if self._pending else None

    def __iter__(self) -> Iterator[VideoFrame]:
        if self._container is None:
            return
        frame = self._next()
        if frame is None:
            return
        self._check_even()
        interval = max(1, round(1 / self.fps / self.time_base))
        self._timeline.begin(self._ticks_of(frame))
        index = pts = 0
        while frame is not None:
            if (frame.width, frame.height) != self._stored_size:
                raise MediaError(
                    f"frame {index} is {frame.width}x{frame.height}, those before it are "
                    f"{self._stored_size[0]}x{self._stored_size[1]}: a picture that changes its size is not supported"
                )
            following = self._next()
            shown = self._shown(frame, interval)
            if following is None:
                duration = self._last_duration(pts, shown)
            else:
                duration = self._timeline.follow(self._ticks_of(following), shown, self._peek_time) - pts
            with speaking_of(f"frame {index} cannot be converted"):
                for name in what_frames_lose(frame, (*self.left_out, *self._later)):
                    self._later[name] = index
                if self._turned_from is None and tells_another_turn(frame, self._turn):
                    self._turned_from = index
                picture = self._to_nv12(frame)
            yield VideoFrame(picture, pts, duration)._of(self)
            frame, pts, index = following, pts + duration, index + 1
        self._check_length(pts * self.time_base)

    def _check_length(self, seconds: Fraction) -> None:
        """Note what a playlist tells of that was not there: a segment that is cut off between two pictures is whole."""
        playlist = self._playlist
        if playlist is None or playlist.seconds is None or self._searched or self._evenly_spaced:
            return
        missing = playlist.seconds - seconds
        if missing > max(MISSED, playlist.last / 2) and not self._timeline.jumped:
            self._notes.append(
                f"its pictures last {float(seconds):.2f} s, and its playlist tells {float(playlist.seconds):.2f} s: "
                "perhaps some are missing"
            )

    def skip_to(self, seconds: Fraction, steady: bool = False) -> Fraction | None:
        beginning, unit = self.start, self.time_base
        if self._evenly_spaced or beginning is None or self._file is None:
            return None
        target = beginning + seconds - SLACK
        farthest: int | None = None
        if not steady and not self._demuxer.startswith(INDEXED):
            farthest = self._run(lambda: self._place_in_first_recording(target))
            if farthest is None:
                return None
        # A second is decoded before: an open GOP's first pictures need it, and older decoders lose one at the very end.
        back, lowest = Fraction(1), min(beginning, Fraction(0))
        while True:
            place = max(target - back, lowest)
            try:
                self._run(functools.partial(self._seek, place))
            except self._av.error.FFmpegError:
                with speaking_of("the video cannot be read again"):
                    self._run(self._begin_again)
                return None
            # Where the file tells no key frames, FFmpeg may begin behind the one that is needed.
            moment = self._seconds_of(self._pending[0]) if self._pending else None
            # It finds no place at all where a clock wraps, and one of a later recording where that has the same times.
            lost = moment is None or (farthest is not None and self._landed is not None and self._landed > farthest)
            if place == lowest and lost:
                with speaking_of("the video cannot be read again"):
                    self._run(self._begin_again)
                return None
            if not lost and (place == lowest or (moment is not None and moment <= target)):
                break
            back *= 2
        with speaking_of("the video cannot be read further"):
            while self._pending and (moment is None or moment < target):
                self._pending.popleft()
                self._run(lambda: self._read_ahead(1))
                following = self._seconds_of(self._pending[0]) if self._pending else None
                moment = following if following is not None or moment is None else moment + 1 / self.fps
        if not self._pending or moment is None:
            return seconds
        self.start = moment
        self._complaint = ""  # of what is not in the film: an open GOP's first pictures lack those before them
        self._skipped = round((moment - beginning) / unit)
        return moment - beginning

    def moments(self) -> list[Fraction] | None:
        if self._file is None or self._holes:
            return None
        farthest = self._timeline.farthest * self.time_base

        def read() -> list[Fraction] | None:
            with self._open_again() as again:
                packets = map(self._hear, packets_of(again, again.streams[self._stream.index]))
                return packet_times(packets, self._by_dts, None if self._evenly_spaced else farthest)

        with speaking_of("its packets cannot be read"):
            times = self._run(read)
        if self._evenly_spaced:
            return [index / self.fps for index in range(len(times or ()))]
        if self._by_dts and times:  # a decoder gives the first picture later than its packet, and so on
            return [time - times[0] for time in times]
        beginning = self.start
        if times is None or beginning is None:
            return None
        return [time - beginning for time in times if time >= beginning]

    def _place_in_first_recording(self, target: Fraction) -> int | None:
        """Return a byte behind the packets that are decoded before that time by the file's clock.

        None where that clock starts anew before, or jumps: where two recordings were put together, a place that is
        searched for by it may be anywhere. It is told by reading, without decoding, since there is no index.
        """
        farthest = self._timeline.farthest * self.time_base
        last: Fraction | None = None
        with contextlib.suppress(self._av.error.FFmpegError), self._open_again() as again:
            for packet in map(self._hear, packets_of(again, again.streams[self._stream.index])):
                if packet.dts is None:
                    continue
                time = packet.dts * packet.time_base
                if last is not None and last < target and not 0 <= time - last <= farthest:
                    return None
                last = time if last is None else max(last, time)
                if last >= target and packet.pos is not None and packet.pos >= 0:
                    return int(packet.pos)
        return sys.maxsize

    def _open_again(self) -> Any:
        return self._open("file:" + os.path.abspath(self._file or ""))

    def _begin_again(self) -> None:
        again = self._open_again()
        self._close_container()
        self._container = again
        self._searched = False
        self._unjoined = 0
        self._open_stream(None)

    def _seek(self, seconds: Fraction) -> None:
        """Begin anew with the last key frame before that time by the file's clock."""
        self._searched = True
        self._container.seek(round(seconds / self._stream.time_base), stream=self._stream)
        self._pending.clear()
        self._decoder = self._decode()
        with speaking_of("the video cannot be read further"):
            self._read_ahead(1)
        self._unjoined = 0

    def _seconds_of(self, frame: Any) -> Fraction | None:
        ticks = self._time_of(frame)
        return None if ticks is None else ticks * (as_fraction(frame.time_base) or self.time_base)

    def _shown(self, frame: Any, interval: int) -> int:
        """Return how long a frame is shown by what it says itself, in ticks; else the usual interval."""
        own = int(getattr(frame, "duration", 0) or 0)
        if self._evenly_spaced:
            if self._repeats and own > 0:
                self._asked[own * (as_fraction(frame.time_base) or self.time_base)] += 1
            return interval
        if own <= 0 and frame.pts is not None:
            own = self._durations.get(frame.pts, 0)
        return own if 0 < own <= self._timeline.farthest else interval

    def _last_duration(self, pts: int, shown: int) -> int:
        # In MP4 a packet's duration is for the order of decoding; the end of the track is what is left over. A header's
        # total is a hint: it may be another file's, so it is taken only where some packet lasts as long.
        if self._demuxer.startswith("mov,") and self._stream.duration and not self._evenly_spaced:
            left = int(self._stream.duration) - pts - self._skipped
            if 0 < left <= max(self._longest, 1) and not self._timeline.restarts:
                return left
        # A list of pictures tells how long each is shown, the last one, too.
        told = self._playlist.seconds if self._playlist is not None and self._demuxer == "concat" else None
        if told is not None and not self._evenly_spaced and not self._timeline.restarts:
            return max(shown, round(told / self.time_base) - pts - self._skipped)
        return shown

    def _settle_times(self, codec: Any) -> None:
        """Find out whether the file holds one time a packet, of its decoding: those of reordered pictures are guessed.

        So it is in some formats, and where packets whose pictures are reordered have times that are not. `_late`: ticks
        by which a decoder gives a picture later than such a time, which is that of the picture in its place.
        """
        name = self._demuxer
        always = name in DTS_ONLY
        vfw = name.startswith("matroska") and bool(str(codec.codec_tag).strip("\0"))
        if not (always or vfw or (self._in_order and codec.has_b_frames and not self.live)):
            return
        self._read_ahead(LOOK_AHEAD)
        frames = list(self._pending)
        if not _grow(frame.dts for frame in frames):
            return
        reordered = not _grow(frame.pts for frame in frames)
        if always or vfw:
            self._by_dts = always or reordered
        elif self._in_order and None not in (frames[0].dts, frames[0].pts):
            late = frames[0].dts - frames[0].pts
            self._by_dts = reordered or (name == "mxf" and late > 0)  # it has an index of both, or the one time
            self._late = late if self._by_dts else 0

    def _time_of(self, frame: Any) -> int | None:
        if frame.pts is not None and not self._by_dts:
            return int(frame.pts)
        return None if frame.dts is None else int(frame.dts) - self._late

    def _ticks_of(self, frame: Any) -> int | None:
        """Return a frame's time in units of `time_base`; None if it has none, or is not to have one."""
        ticks = self._time_of(frame)
        if ticks is None or self._evenly_spaced:
            return None
        base = as_fraction(frame.time_base) or self.time_base
        return ticks if base == self.time_base else round(ticks * base / self.time_base)

    def _is_rgb(self, frame: Any) -> bool:
        return bool(frame.format.is_rgb) or frame.format.name in ("pal8", "rgb8", "bgr8", "monow", "monob")

    def _color_of(self, frame: Any) -> ColorTags:
        told = _with_defaults(_color_tags(self._stream.codec_context), self._container_color)
        if not self._is_rgb(frame):
            return told
        own = 1 if frame.height >= HD_HEIGHT else 6  # the matrix of the conversion
        return _with_defaults(told, ColorTags(own, own))._replace(matrix=own)

    def _to_nv12(self, frame: Any) -> Any:
        name = frame.format.name
        scale = False
        options: dict[str, Any] = {}
        # Versions of PyAV differ in what they make of a range that a frame is tagged with, so it is told them here.
        if self._is_rgb(frame):
            frame.color_range = UNSPECIFIED_RANGE
            options["dst_colorspace"] = "ITU709" if frame.height >= HD_HEIGHT else "ITU601"
        elif name.startswith(("yuvj", "gray", "ya")):  # formats that FFmpeg itself takes for full range
            options.update(src_color_range="JPEG", dst_color_range="MPEG")
        elif name != "nv12" or frame.color_range == FULL_RANGE:
            scale = frame.color_range == FULL_RANGE
            if scale:
                frame.color_range = LIMITED_RANGE
            options.update(src_color_range="MPEG", dst_color_range="MPEG")
        if name.startswith(("gray", "ya")) and frame.color_range == LIMITED_RANGE:
            picture = _grey_as_it_is(frame)
        else:
            picture = frame.reformat(format="nv12", **options).to_ndarray()
        if scale:
            picture = _to_limited_range(picture, frame.height)
        width, height = frame.width, frame.height
        if any(self._crop):
            picture = _cropped(picture, width, height, self._crop)
            width, height = width - self._crop.left - self._crop.right, height - self._crop.top - self._crop.bottom
        return picture if self._turn == UPRIGHT else self._turn.apply(picture, width, height)

    def close(self) -> None:
        worker, self._worker = self._worker, None
        if worker is None:
            self._close_container()
        else:
            worker.end(self._close_container)

    def _close_container(self) -> None:
        container, self._container = self._container, None
        if container is not None:
            self._pending.clear()
            self._decoder = iter(())
            container.close()


def _is_address(name: str) -> bool:
    """Say whether it is for FFmpeg's protocols to find it."""
    return "://" in name or (name.startswith(PROTOCOLS) and not os.path.exists(name))


def _has_its_end_mark(packet: Any) -> bool:
    """Say whether a JPEG has: pictures of many cameras lack some bits in front of it, for which no recording ends."""
    return bytes(packet).rstrip(b"\0").endswith(b"\xff\xd9")


def _is_at_its_beginning(file: Any) -> bool:
    """Say whether a file object can be looked at from its beginning, where FFmpeg begins to read."""
    try:
        return bool(can_seek(file) and file.tell() == 0)
    except (OSError, ValueError, AttributeError):
        return False


def _is_list(name: str) -> bool:
    """Say whether a file names other sources. Raises an OSError that says why, rather than FFmpeg's."""
    with open(name, "rb") as file:
        head = file.read(HEAD_OF_LIST)
    return any(mark in head for mark in MARKS_OF_LISTS)


def _is_camera(name: str) -> bool:
    try:
        return os.path.basename(os.path.realpath(name)).startswith("video") and stat.S_ISCHR(os.stat(name).st_mode)
    except OSError:
        return False


def _color_tags(codec: Any) -> ColorTags:
    return ColorTags(*(int(getattr(codec, name, 2) or 2) for name in ("color_primaries", "color_trc", "colorspace")))


def _differ(before: int, after: int) -> bool:
    """Say whether two code points are two things: players take what is unspecified for one of standard range."""
    return after not in (before, 2) and (before != 2 or after > LAST_OF_STANDARD_RANGE)


def _with_defaults(color: ColorTags, other: ColorTags) -> ColorTags:
    """Take from `other` what `color` leaves unspecified."""
    return ColorTags(*(own if own != 2 else instead for own, instead in zip(color, other)))


def as_fraction(value: Any) -> Fraction | None:
    """Convert a ratio, which newer versions of PyAV give in a class of their own; None for 0, which is unknown."""
    return Fraction(value.numerator, value.denominator) if value and value.numerator and value.denominator else None


def number_of(container: Any, stream: Any) -> int:
    """Count the video streams before this one, cover pictures aside."""
    return sum(1 for other in container.streams.video if other.index < stream.index and not _is_cover(other))


def _is_cover(stream: Any) -> bool:
    disposition = getattr(stream, "disposition", 0)  # older versions of PyAV do not tell
    return bool(int(getattr(disposition, "value", disposition)) & ATTACHED_PICTURE)


def _is_timeout(error: BaseException) -> bool:
    return type(error).__name__ == "ExitError"  # PyAV's name for FFmpeg's "immediate exit requested"


def _grow(times: Iterable[int | None]) -> bool:
    known = [time for time in times if time is not None]
    return bool(known) and all(before < after for before, after in zip(known, known[1:]))


def _cropped(picture: Any, width: int, height: int, crop: Cropping) -> Any:
    import numpy as np

    left, top = crop.left // 2 * 2, crop.top // 2 * 2  # chroma has one sample for two
    across, down = width - crop.left - crop.right, height - crop.top - crop.bottom
    result = np.empty((down * 3 // 2, across), np.uint8)
    result[:down] = picture[top : top + down, left : left + across]
    result[down:] = picture[height + top // 2 : height + (top + down) // 2, left : left + across]
    return result


def _grey_as_it_is(frame: Any) -> Any:
    import numpy as np

    picture = np.full((frame.height * 3 // 2, frame.width), NEUTRAL_CHROMA, np.uint8)
    picture[: frame.height] = frame.reformat(format="gray").to_ndarray()
    return picture


def _to_limited_range(picture: Any, height: int) -> Any:
    import numpy as np

    picture = picture.copy()
    picture[:height] = np.frombuffer(LUMA_TO_LIMITED, np.uint8)[picture[:height]]
    picture[height:] = np.frombuffer(CHROMA_TO_LIMITED, np.uint8)[picture[height:]]
    return picture
