# SPDX-License-Identifier: Apache-2.0
"""Silence in PCM: MP4 and MOV count its samples, so that what comes after a pause would be heard too early."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

from .copied import codec_name

if TYPE_CHECKING:
    from collections.abc import Iterator

_PCM = re.compile(r"pcm_(?:([suf])(8|16|24|32|64)(le|be)?|(alaw|mulaw))")
_LAWS = {"alaw": b"\xd5", "mulaw": b"\xff"}
SHORTEST = Fraction(1, 10)  # seconds of a pause; less is the jitter of clocks
PIECE = 1  # second of silence in a packet


class Pcm(NamedTuple):
    """A stream of PCM: `sample` is the silence of one moment in all channels."""

    sample: bytes
    rate: int


def pcm_of(stream: Any) -> Pcm | None:
    """Return what is known of a stream of PCM; None of any other, or where its silence is not known."""
    found = _PCM.fullmatch(codec_name(stream))
    context = stream.codec_context
    if found is None or not context.sample_rate or not context.channels:
        return None
    kind, bits, order, law = found.groups()
    sample = _LAWS[law] if law else bytes(int(bits) // 8)
    if kind == "u":  # its middle
        sample = b"\x80" + sample[1:] if order != "le" else sample[1:] + b"\x80"
    return Pcm(sample * context.channels, context.sample_rate)


class Pauses:
    """Fills pauses of one stream in one file."""

    def __init__(self, pcm: Pcm) -> None:
        self._pcm = pcm
        self._first: int | None = None
        self._samples = 0  # that were written

    def before(self, packet: Any, place: int) -> Iterator[Any]:
        """Yield packets of silence between what was written and the next packet, which is to be heard at `place`."""
        sample, rate = self._pcm
        unit = Fraction(packet.time_base)
        self._first = place if self._first is None else self._first
        missing = round((place - self._first) * unit * rate) - self._samples
        if missing > SHORTEST * rate:
            for begin in range(0, missing, PIECE * rate):
                count = min(PIECE * rate, missing - begin)
                silence = type(packet)(sample * count)
                silence.stream, silence.time_base = packet.stream, packet.time_base
                silence.dts = silence.pts = self._first + round(Fraction(self._samples, rate) / unit)
                silence.duration = max(1, round(Fraction(count, rate) / unit))
                self._samples += count
                yield silence
        self._samples += packet.size // len(sample)
