# SPDX-License-Identifier: Apache-2.0
"""Whatever PyAV opens: containers and codecs, decoded and converted to NV12."""

from __future__ import annotations

import os
import stat
import struct
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ..errors import MediaError
from .completeness import declared_size
from .planar import CHROMA_TO_LIMITED, LUMA_TO_LIMITED
from .reader import ColorTags, VideoFrame, VideoReader

if TYPE_CHECKING:
    from collections.abc import Iterator

UNSPECIFIED_RANGE = 0  # AVCOL_RANGE_UNSPECIFIED
FULL_RANGE = 2  # AVCOL_RANGE_JPEG
LIMITED_RANGE = 1  # AVCOL_RANGE_MPEG
DEFAULT_FPS = Fraction(25)
HD_HEIGHT = 577  # pictures as high as this are taken for BT.709 by players, others for BT.601


def import_av() -> Any:
    """Import PyAV. Raises MediaError that says how to install it."""
    try:
        import av
    except ImportError as error:
        raise MediaError(f"this kind of file needs PyAV: pip install 'ascend-venc[sim]' ({error})") from None
    return av


class ContainerReader(VideoReader):
    """Read the video stream of a file that PyAV (FFmpeg) opens: mp4, mkv, mov, avi, ts, webm, gif, URLs, ...

    Frames are converted to NV12, limited range, in the order in which they are shown, turned as the file says (90, 180,
    270 degrees, mirrored), with the file's own time stamps counted from the first frame. Nothing is scaled: a picture
    that changes its size within the file is refused. Sound and further streams are not read.

    Parameters
    ----------
    path : str or path
    fps : fractions.Fraction, optional
        Frames per second. Frames are then evenly spaced, whatever the file says.

    Raises
    ------
    MediaError
        PyAV is not installed, the file is not a video, or its first frame cannot be decoded.
    OSError
        The file cannot be opened.
    """

    def __init__(self, path: str | os.PathLike[str], *, fps: Fraction | None = None) -> None:
        name = os.fspath(path)
        regular = False
        if "://" not in name:
            regular = stat.S_ISREG(os.stat(name).st_mode)
            if regular or os.path.isdir(name):
                with open(name, "rb"):  # an OSError that says why, rather than FFmpeg's
                    pass
            name = "file:" + os.path.abspath(name)  # FFmpeg takes "a:b.mp4" for a protocol
        self._av = import_av()
        self._container: Any = None
        try:
            self._container = self._av.open(name)
            if regular:
                _check_whole(path, self._container.format.name)
            self._open_stream(fps)
        except self._av.error.FFmpegError as error:
            self.close()
            raise MediaError(f"this is not a video that can be read: {error.strerror}") from None
        except BaseException:
            self.close()
            raise

    def _open_stream(self, fps: Fraction | None) -> None:
        streams = self._container.streams
        best = streams.best("video") if hasattr(streams, "best") else next(iter(streams.video), None)
        if best is None:
            raise MediaError("there is no video stream in it")
        self._stream = best
        if best.codec_context is None:
            raise MediaError("there is no decoder for its video stream")
        best.thread_type = "AUTO"
        self.fps = fps or _fraction(best.average_rate) or _fraction(best.guessed_rate) or DEFAULT_FPS
        self.sample_aspect_ratio = _fraction(best.sample_aspect_ratio)
        self.frame_count = self._expected_frames()
        self._decoder = self._decode()
        self._first = next(self._decoder, None)
        if self._first is None:
            self.width, self.height = best.codec_context.width, best.codec_context.height
            self.time_base = 1 / self.fps
            return
        # A bare bitstream has no times.
        self._evenly_spaced = fps is not None or (self._first.pts is None and self._first.dts is None)
        self.time_base = 1 / self.fps if self._evenly_spaced else _fraction(best.time_base) or 1 / self.fps
        self._stored_size = self._first.width, self._first.height
        self._turn = _turn_of(self._first)
        self.width, self.height = self._stored_size
        if self._turn[0]:
            self.width, self.height = self.height, self.width
            if self.sample_aspect_ratio:
                self.sample_aspect_ratio = 1 / self.sample_aspect_ratio
        self.color = self._color_of(self._first)

    def _expected_frames(self) -> int | None:
        if self._stream.frames:
            return int(self._stream.frames)
        unit = _fraction(self._stream.time_base)
        if self._stream.duration and unit:
            seconds = self._stream.duration * unit
        elif self._container.duration:
            seconds = Fraction(self._container.duration, self._av.time_base)
        else:
            return None
        return max(1, round(seconds * (_fraction(self._stream.average_rate) or self.fps)))

    def _decode(self) -> Iterator[Any]:
        index = 0
        try:
            for packet in self._container.demux(self._stream):
                for frame in packet.decode():
                    yield frame
                    index += 1
        except self._av.error.EOFError:  # some versions raise it at the end of the last packet
            return
        except self._av.error.FFmpegError as error:
            raise MediaError(f"frame {index} cannot be decoded: {error.strerror}") from None

    def __iter__(self) -> Iterator[VideoFrame]:
        if self._first is None:
            return
        self._check_even()
        frame, self._first = self._first, None
        interval = max(1, round(1 / self.fps / self.time_base))
        start = self._time_of(frame)
        index = pts = 0
        while frame is not None:
            if (frame.width, frame.height) != self._stored_size:
                raise MediaError(
                    f"frame {index} is {frame.width}x{frame.height}, those before it are "
                    f"{self._stored_size[0]}x{self._stored_size[1]}: a picture that changes its size is not supported"
                )
            following = next(self._decoder, None)
            if following is None:
                duration = self._last_duration(frame, pts, start) or interval
            else:
                time = self._time_of(following)
                # A frame without a time, or one that goes back, follows the one before it.
                duration = interval if time is None or start is None else max(time - start - pts, 1)
            yield VideoFrame(self._to_nv12(frame), pts, duration)
            frame, pts, index = following, pts + duration, index + 1

    def _last_duration(self, frame: Any, pts: int, start: int | None) -> int:
        if start is None:
            return 0
        # In MP4 a packet's duration is for the order of decoding; the end of the track is what is left over.
        if self._container.format.name.startswith("mov,") and self._stream.duration:
            left = int(self._stream.duration) - pts
            if left > 0:
                return left
        return int(getattr(frame, "duration", 0) or 0)

    def _time_of(self, frame: Any) -> int | None:
        """Return a frame's time in units of `time_base`; None if it has none, or is not to have one."""
        time = frame.pts if frame.pts is not None else frame.dts
        if time is None or self._evenly_spaced:
            return None
        base = _fraction(frame.time_base) or self.time_base
        return int(time) if base == self.time_base else round(time * base / self.time_base)

    def _is_rgb(self, frame: Any) -> bool:
        return bool(frame.format.is_rgb) or frame.format.name in ("pal8", "rgb8", "bgr8", "monow", "monob")

    def _color_of(self, frame: Any) -> ColorTags:
        if self._is_rgb(frame):
            return ColorTags(*[1 if frame.height >= HD_HEIGHT else 6] * 3)
        codec = self._stream.codec_context
        return ColorTags(
            *(int(getattr(codec, name, 2) or 2) for name in ("color_primaries", "color_trc", "colorspace"))
        )

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
        picture = frame.reformat(format="nv12", **options).to_ndarray()
        if scale:
            picture = _to_limited_range(picture, frame.height)
        transposed, across, down = self._turn
        if transposed or across or down:
            picture = _turn(picture, frame.width, frame.height, transposed, across, down)
        return picture

    def close(self) -> None:
        if self._container is not None:
            self._decoder = iter(())
            self._first = None
            self._container.close()
            self._container = None


def _fraction(value: Any) -> Fraction | None:
    """Convert a ratio, which newer versions of PyAV give in a class of their own; None for 0, which is unknown."""
    return Fraction(value.numerator, value.denominator) if value and value.numerator and value.denominator else None


def _check_whole(path: str | os.PathLike[str], format_name: str) -> None:
    size = os.path.getsize(path)
    declared = declared_size(path, format_name)
    if declared is not None and declared > size:
        raise MediaError(f"the file is cut off: {size} of {declared} bytes are there")


def _to_limited_range(picture: Any, height: int) -> Any:
    import numpy as np

    picture = picture.copy()
    picture[:height] = np.frombuffer(LUMA_TO_LIMITED, np.uint8)[picture[:height]]
    picture[height:] = np.frombuffer(CHROMA_TO_LIMITED, np.uint8)[picture[height:]]
    return picture


def _turn_of(frame: Any) -> tuple[bool, bool, bool]:
    """How a frame is to be turned: (swap rows and columns, then mirror left-right, then mirror top-bottom)."""
    side_data = frame.side_data.get("DISPLAYMATRIX")
    if side_data is None:
        return False, False, False
    # 16.16 fixed point, native order: x' = a x + c y, y' = b x + d y. Angles between the quarters are not turned.
    a, b, _, c, d = struct.unpack_from("=5i", bytes(side_data))
    if a == d == 0 and b and c:
        return True, c < 0, b < 0
    if b == c == 0:
        return False, a < 0, d < 0
    return False, False, False


def _turn(picture: Any, width: int, height: int, transposed: bool, across: bool, down: bool) -> Any:
    import numpy as np

    def turned(plane: Any) -> Any:
        if transposed:
            plane = plane.swapaxes(0, 1)
        if across:
            plane = plane[:, ::-1]
        return plane[::-1] if down else plane

    luma = turned(picture[:height])
    chroma = turned(picture[height:].reshape(height // 2, width // 2, 2))
    result = np.empty((luma.shape[0] * 3 // 2, luma.shape[1]), np.uint8)
    result[: luma.shape[0]] = luma
    result[luma.shape[0] :] = chroma.reshape(chroma.shape[0], -1)
    return result
