# SPDX-License-Identifier: Apache-2.0
"""OpenCV's `VideoWriter`, by its methods, over `ascend_venc.VideoWriter`. OpenCV itself is not imported.

A program that writes with cv2 changes one line: `from ascend_venc.opencv import VideoWriter, VideoWriter_fourcc`. What
is different is said in docs/writing.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from .errors import InvalidArgumentError, MediaError
from .media import writer as _writer
from .single_owner import SingleOwner

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from fractions import Fraction
    from types import TracebackType

    from typing_extensions import Unpack

    from .literals import Codec
    from .media.writer_settings import FileSettings
__all__ = ["VideoWriter", "VideoWriter_fourcc"]

VIDEOWRITER_PROP_FRAMEBYTES = 2  # OpenCV's numbers
VIDEOWRITER_PROP_IS_COLOR = 4
_CODECS: dict[Codec, tuple[str, ...]] = {
    "h264": ("avc1", "avc3", "h264", "x264", "davc"),
    "h265": ("hvc1", "hev1", "hevc", "h265", "x265"),
}


def VideoWriter_fourcc(c1: str, c2: str, c3: str, c4: str) -> int:
    """Return four characters as one number, as cv2 does."""
    code = 0
    for place, character in enumerate((c1, c2, c3, c4)):
        if not isinstance(character, str) or len(character) != 1:
            raise TypeError(f"fourcc is made of 4 single characters, got {character!r}")
        code |= (ord(character) & 255) << 8 * place
    return code


def _codec_of(fourcc: Any) -> Codec | None:
    """Return the codec of a four-character code, None where the file's name decides."""
    if isinstance(fourcc, str):
        text = fourcc
    elif isinstance(fourcc, bool) or not hasattr(fourcc, "__index__"):
        raise TypeError(f"fourcc must be an int or a str, got {type(fourcc).__name__}")
    elif fourcc in (0, -1):
        return None
    else:
        text = (int(fourcc) & 0xFFFFFFFF).to_bytes(4, "little").decode("latin-1")
    for codec, names in _CODECS.items():
        if text.lower() in names:
            return codec
    raise InvalidArgumentError(
        f"fourcc is {text!r}; the encoder makes H.264 ('avc1') and H.265 ('hvc1'); 0 takes what the file's name says"
    )


class VideoWriter(SingleOwner):
    """Write pictures as `cv2.VideoWriter` does.

    Parameters
    ----------
    filename : str or path
        By its suffix .mp4, .mov, .mkv, .ts, .flv, .h264, .h265, ...
    fourcc : int or str
        `VideoWriter_fourcc(*"avc1")`, "hvc1", or 0. An int before it, OpenCV's apiPreference, is taken and not used.
    fps : float
    frameSize : (int, int)
        Width and height.
    isColor : bool
        True: pictures are BGR, (height, width, 3). False: grey, (height, width). OpenCV's params, a list of numbers
        and values, may stand in its place; all but VIDEOWRITER_PROP_IS_COLOR are not used.
    **settings
        Those of `ascend_venc.VideoWriter`: `bitrate`, `backend`, `fragmented`, ...

    Raises
    ------
    TypeError, InvalidArgumentError, MediaError, OSError
        As `ascend_venc.VideoWriter` does, where cv2 would be silent and `isOpened` false.
    """

    @overload
    def __init__(self) -> None: ...
    @overload
    def __init__(
        self,
        filename: str | os.PathLike[str],
        fourcc: int | str,
        fps: int | float | str | Fraction,
        frameSize: Sequence[int],
        isColor: bool | Sequence[int] = True,
        *,
        params: Sequence[int] = (),
        **settings: Unpack[FileSettings],
    ) -> None: ...
    @overload
    def __init__(
        self,
        filename: str | os.PathLike[str],
        apiPreference: int,
        fourcc: int | str,
        fps: int | float | str | Fraction,
        frameSize: Sequence[int],
        isColor: bool | Sequence[int] = True,
        *,
        params: Sequence[int] = (),
        **settings: Unpack[FileSettings],
    ) -> None: ...
    def __init__(self, *arguments: Any, **settings: Any) -> None:
        self._inner: _writer.VideoWriter | None = None
        if arguments or settings:
            self.open(*arguments, **settings)

    @overload
    def open(
        self,
        filename: str | os.PathLike[str],
        fourcc: int | str,
        fps: int | float | str | Fraction,
        frameSize: Sequence[int],
        isColor: bool | Sequence[int] = True,
        *,
        params: Sequence[int] = (),
        **settings: Unpack[FileSettings],
    ) -> bool: ...
    @overload
    def open(
        self,
        filename: str | os.PathLike[str],
        apiPreference: int,
        fourcc: int | str,
        fps: int | float | str | Fraction,
        frameSize: Sequence[int],
        isColor: bool | Sequence[int] = True,
        *,
        params: Sequence[int] = (),
        **settings: Unpack[FileSettings],
    ) -> bool: ...
    def open(
        self,
        filename: str | os.PathLike[str],
        *arguments: Any,
        fourcc: Any = None,
        fps: Any = None,
        frameSize: Any = None,
        isColor: Any = None,
        apiPreference: int = 0,
        params: Sequence[int] = (),
        **settings: Any,
    ) -> bool:
        """Close what is open, and begin another file. Returns True, or raises."""
        named = [fourcc, fps, frameSize, isColor]
        given = list(arguments)
        twice = any(value is not None for value in named[: len(given)])
        # filename, apiPreference, fourcc, fps, frameSize: all in a row, or some of the latter by their names
        if twice or (len(given) >= 4 and (isinstance(given[2], str) or not hasattr(given[2], "__len__"))):
            given.pop(0)
        if len(given) > len(named) or any(value is not None for value in named[: len(given)]):
            raise TypeError("VideoWriter takes filename, [apiPreference], fourcc, fps, frameSize, isColor, each once")
        named[: len(given)] = given
        fourcc, fps, frameSize, isColor = named
        if isColor is None:
            isColor = True
        if hasattr(isColor, "__len__"):
            params, isColor = isColor, True
        isColor = dict(zip(params[::2], params[1::2])).get(VIDEOWRITER_PROP_IS_COLOR, isColor)
        missing = [name for name, value in zip(("fourcc", "fps", "frameSize"), named) if value is None]
        if missing:
            raise TypeError(f"VideoWriter needs {', '.join(missing)}: filename, fourcc, fps, frameSize")
        self.release()
        self._inner = _writer.VideoWriter(
            filename,
            fps=fps,
            size=frameSize,
            codec=_codec_of(fourcc),
            pixel_format="bgr24" if isColor else "gray8",
            **settings,
        )
        return True

    def isOpened(self) -> bool:
        """Say whether pictures can be written."""
        return self._inner is not None and not self._inner.closed

    def write(self, image: Any) -> None:
        """Encode one picture, of `frameSize`. Raises as `ascend_venc.VideoWriter.write` does."""
        if self._inner is None:
            raise MediaError("the writer is not open: call open, or give filename, fourcc, fps and frameSize")
        self._inner.write(image)

    def release(self) -> None:
        """Finish the file. Idempotent."""
        inner = self._inner
        if inner is None:
            return
        try:
            inner.close()
        finally:
            self._forget_closed(inner)

    def _forget_closed(self, inner: _writer.VideoWriter) -> None:
        if inner.closed and self._inner is inner:  # else its end was interrupted, and can be asked for again
            self._inner = None

    def get(self, propId: int) -> float:
        """Return VIDEOWRITER_PROP_FRAMEBYTES, the bytes of the last packet that was written; 0.0 for others."""
        if propId == VIDEOWRITER_PROP_FRAMEBYTES and self._inner is not None and self._inner._delivery is not None:
            return float(self._inner._delivery.last)
        return 0.0

    def set(self, propId: int, value: float) -> bool:
        """Return False: settings are given when the file is opened."""
        return False

    def getBackendName(self) -> str:
        return "ASCEND_VENC"

    @staticmethod
    def fourcc(c1: str, c2: str, c3: str, c4: str) -> int:
        """Return four characters as one number, as cv2 does."""
        return VideoWriter_fourcc(c1, c2, c3, c4)

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, traceback: TracebackType | None) -> None:
        inner = self._inner
        if inner is not None:
            try:
                inner.__exit__(kind, value, traceback)
            finally:
                self._forget_closed(inner)
