# SPDX-License-Identifier: Apache-2.0
"""The last seconds of a film in memory, to be written when something has happened."""

from __future__ import annotations

import copy
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from ..arguments import as_count, as_positive_seconds
from ..config import parse_codec
from ..errors import MediaError
from .target import DEFAULT_CODEC, Target

if TYPE_CHECKING:
    import os


class _Kept(NamedTuple):
    packet: Any
    pts: int
    duration: int


class PacketRing:
    """Keep the last seconds of what a `VideoWriter` encodes; `dump` writes them into a file.

    It is given to the writer in place of a file, or beside one in a list. What is kept begins with a key frame, so it
    is up to one GOP longer than asked for.

    Parameters
    ----------
    seconds : float or fractions.Fraction
        How much of the film is kept at least, once there is so much.
    max_bytes : int, optional
        What is kept at most, of the bitstream: older key frames go first; the present GOP stays whole.

    Attributes
    ----------
    seconds : fractions.Fraction
    size : int
        Bytes that are kept now.
    duration : float
        Seconds that are kept now.

    Examples
    --------
    >>> import io
    >>> import numpy as np
    >>> import ascend_venc as venc
    >>> ring = venc.media.PacketRing(seconds=1)
    >>> with venc.VideoWriter(ring, fps=10, gop=5, backend="sim") as camera:
    ...     for level in range(60):
    ...         camera.write(np.full((128, 128, 3), level, np.uint8))
    >>> event = io.BytesIO()
    >>> ring.dump(event, format="mp4")
    10
    """

    is_bare = False
    format = "ring"
    name = "PacketRing"
    named: str | None = None
    sound = None

    def __init__(self, seconds: float | Fraction, *, max_bytes: int | None = None) -> None:
        self.seconds = as_positive_seconds("seconds", seconds)
        self._max_bytes = None if max_bytes is None else as_count("max_bytes", max_bytes)
        # Each from one key frame to the next, and none empty. One thread writes; who reads takes a copy, in one step: a
        # lock would stop a signal's handler, or a forked child, for ever.
        self._groups: list[list[_Kept]] = []
        self._encoder: Any = None
        self._time_base = Fraction(1)
        self._shown: tuple[int, int] | None = None
        self.codec = DEFAULT_CODEC
        self.size = 0

    def settle(self, codec: str) -> None:
        self.codec = parse_codec(codec)

    def open(self, encoder: Any, time_base: Fraction | None, size: tuple[int, int] | None) -> PacketRing:
        if self._encoder is not None:
            raise MediaError("a PacketRing is of one writer: make another one")
        self._encoder, self._shown = encoder, size
        self._time_base = time_base or encoder.time_base
        return self

    def write(self, packet: Any, *, pts: int, duration: int) -> None:
        """Keep a packet, and let go of what is too old. The writer's thread calls it."""
        kept = _Kept(copy.copy(packet), pts, duration)  # in memory of its own: the encoder wants its buffers back
        if packet.is_keyframe or not self._groups:
            self._groups.append([kept])
        else:
            self._groups[-1].append(kept)
        self.size += packet.size
        end = (pts + duration) * self._time_base
        while len(self._groups) > 1 and (
            end - self._groups[1][0].pts * self._time_base >= self.seconds
            or (self._max_bytes is not None and self.size > self._max_bytes)
        ):
            self.size -= sum(old.packet.size for old in self._groups.pop(0))

    @property
    def duration(self) -> float:
        groups = list(self._groups)
        if not groups:
            return 0.0
        last = groups[-1][-1]
        return float((last.pts + last.duration - groups[0][0].pts) * self._time_base)

    def dump(self, file: str | os.PathLike[str] | BinaryIO, **settings: Any) -> int:
        """Write what is kept now into a file, and return how many pictures. What is kept stays.

        From any thread, also after the writer was closed; encoding goes on meanwhile. `settings` are `format`,
        `fragmented`, `faststart`, `options` and `metadata`, as `Muxer` has them. The file's time begins at 0. Raises
        MediaError where nothing is kept yet, and what writing the file raises; a file that was not finished is removed.
        """
        kept = [each for group in list(self._groups) for each in list(group)]
        if not kept:
            raise MediaError("nothing is kept yet: no file was made")
        target = Target(file, **settings)
        target.settle(self.codec)
        try:
            with target.open(self._encoder, self._time_base, self._shown) as output:
                for packet, pts, duration in kept:
                    output.write(packet, pts=pts - kept[0].pts, duration=duration)
        except BaseException:
            target.remove_if_useless(True, False)
            raise
        return len(kept)

    def close(self) -> None:
        """Nothing: what is kept stays, to be dumped."""

    def check_is_not(self, path: str | os.PathLike[str]) -> None:
        """Nothing: there is no file."""

    def remove_if_useless(self, empty: bool, ended: bool) -> None:
        """Nothing: there is no file."""

    def end_with_the_pictures(self) -> None:
        """Nothing: there is no sound."""
