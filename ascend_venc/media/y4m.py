# SPDX-License-Identifier: Apache-2.0
"""YUV4MPEG2 (.y4m): a text header, then planar frames with a text line before each.

Nothing in a header is trusted: lines and numbers have a largest length, and a picture a largest side, before anything
is computed or allocated from them.
"""

from __future__ import annotations

import os
import re
from fractions import Fraction
from typing import TYPE_CHECKING, BinaryIO

from ..errors import MediaError
from ..rates import parse_fps
from .planar import frame_size, to_nv12
from .reader import MAX_SIDE, VideoFrame, VideoReader
from .waiting import is_endless, open_without_waiting, with_timeout

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_LINE = 4096  # bytes of a header line
# Of the C parameter, and of the comment XYSCSS by which older programs tell the same.
SAMPLINGS = {
    "420": "420",
    "420jpeg": "420",
    "420mpeg2": "420",
    "420paldv": "420",
    "422": "422",
    "444": "444",
    "mono": "mono",
}


class Y4MReader(VideoReader):
    """Read YUV4MPEG2 with 8 bits a sample: 4:2:0 in every siting, 4:2:2, 4:4:4 and mono.

    4:2:2 and 4:4:4 are averaged down to the 4:2:0 that encoders take; a header that says full range
    (XCOLORRANGE=FULL) gives samples scaled to limited range.

    Parameters
    ----------
    file : str, path or binary file
        A file object need not be seekable, and is not closed by `close`.
    fps : int, float, str or fractions.Fraction, optional
        Frames per second, in place of the header's.
    tolerant : bool
        Leave out a last frame that is cut off, and count it in `damaged`. Default: raise MediaError.
    timeout : float, optional
        Seconds to wait for a pipe or a device that sends nothing; then MediaError. Default: for ever.

    Raises
    ------
    MediaError
        It is not YUV4MPEG2, the header has a value that cannot be, an unsupported sampling, or no frame rate while
        `fps` is not given.
    OSError
        The file cannot be opened.
    """

    def __init__(
        self,
        file: str | os.PathLike[str] | BinaryIO,
        *,
        fps: int | float | str | Fraction | None = None,
        tolerant: bool = False,
        timeout: float | None = None,
    ) -> None:
        self._owned = isinstance(file, (str, os.PathLike))
        self._opened: BinaryIO = open_without_waiting(file) if isinstance(file, (str, os.PathLike)) else file
        self.live = is_endless(self._opened)
        self._file = with_timeout(self._opened, timeout) if self.live else self._opened
        self._tolerant = tolerant
        if isinstance(file, (str, os.PathLike)) and not self.live:
            self.path = os.fspath(file)
        try:
            length = self._read_header(None if fps is None else parse_fps(fps))
        except BaseException:
            self.close()
            raise
        self.time_base = 1 / self.fps
        self._frame_size = frame_size(self.width, self.height, self._sampling)
        if self._owned and not self.live:
            rest = os.fstat(self._file.fileno()).st_size - length
            self.frame_count = -(-rest // (self._frame_size + len(b"FRAME\n"))) if rest > 0 else None

    def _read_header(self, fps: Fraction | None) -> int:
        line = self._file.readline(MAX_LINE)
        if not line:
            raise MediaError("the input is empty")
        words = line.rstrip(b"\n").split(b" ")
        if words[0] != b"YUV4MPEG2":
            raise MediaError("this is not YUV4MPEG2 (.y4m): it does not begin with that word")
        if not line.endswith(b"\n"):
            raise MediaError(f"the y4m header has no end within {MAX_LINE} bytes")
        tags: dict[str, str] = {}
        extensions = []
        for word in words[1:]:
            text = word.decode("ascii", "replace")
            if text.startswith("X"):
                extensions.append(text[1:])
            elif text:
                tags[text[0]] = text[1:]
        self.width = _side(tags, "W", "width")
        self.height = _side(tags, "H", "height")
        self.fps = fps if fps is not None else _frame_rate(tags.get("F"))
        older = next((text[len("YSCSS=") :].lower() for text in extensions if text.startswith("YSCSS=")), "420")
        sampling = tags.get("C", older)
        if sampling not in SAMPLINGS:
            raise MediaError(
                f"y4m sampling C{sampling[:20]} is not supported: 420, 422, 444 and mono with 8 bits are; convert to "
                "yuv420p first"
            )
        if tags.get("I", "p")[:1] in ("t", "b", "m"):
            self.left_out = ("interlacing (frames are encoded as progressive)",)
        self._sampling = SAMPLINGS[sampling]
        self._full_range = "COLORRANGE=FULL" in extensions
        self.sample_aspect_ratio = _ratio(tags.get("A"))
        return len(line)

    def __iter__(self) -> Iterator[VideoFrame]:
        self._check_even()
        index = 0
        while True:
            line = self._file.readline(MAX_LINE)
            if not line:
                return
            if line != b"FRAME\n" and not (line.startswith(b"FRAME ") and line.endswith(b"\n")):
                if not line.endswith(b"\n") and (b"FRAME".startswith(line) or line.startswith(b"FRAME")):
                    if self._tolerant:
                        self.damaged += 1
                        return
                    raise MediaError(f"frame {index} is cut off: the input ends within its header")
                raise MediaError(f"frame {index} does not begin with FRAME: the input is damaged, or the header wrong")
            data = self._file.read(self._frame_size)
            if len(data) < self._frame_size:
                if self._tolerant:
                    self.damaged += 1
                    return
                raise MediaError(f"frame {index} is cut off: {len(data)} of {self._frame_size} bytes are there")
            picture = to_nv12(data, self.width, self.height, self._sampling, self._full_range)
            yield VideoFrame(picture, index, 1)._of(self)
            index += 1

    def close(self) -> None:
        if self._owned:
            self._opened.close()


def _integers(text: str, count: int) -> list[int] | None:
    parts = text.split(":")
    if len(parts) != count or not all(re.fullmatch(r"[0-9]{1,9}", part) for part in parts):
        return None
    return [int(part) for part in parts]


def _side(tags: dict[str, str], tag: str, name: str) -> int:
    if tag not in tags:
        raise MediaError(f"the y4m header has no {name} ({tag})")
    numbers = _integers(tags[tag], 1)
    if numbers is None or not 0 < numbers[0] <= MAX_SIDE:
        raise MediaError(f"the y4m header has {name} {tags[tag][:20]!r}; it must be 1 to {MAX_SIDE}")
    return numbers[0]


def _frame_rate(text: str | None) -> Fraction:
    numbers = [0, 0] if text is None else _integers(text, 2)
    if numbers is not None and numbers[0] == 0:
        raise MediaError("the y4m header does not tell the frame rate: give it (fps; -r on the command line)")
    if numbers is None or numbers[1] == 0:
        raise MediaError(f"the y4m header has frame rate {str(text)[:20]!r}; it must be like 25:1 or 30000:1001")
    return Fraction(*numbers)


def _ratio(text: str | None) -> Fraction | None:
    numbers = None if text is None else _integers(text, 2)
    return Fraction(*numbers) if numbers and all(numbers) else None
