# SPDX-License-Identifier: Apache-2.0
"""AAC in ADTS, as MPEG-TS carries it: each packet has a header that tells what the stream is."""

from __future__ import annotations

_SYNC = 0xFFF0
_SYNC_MASK = 0xFFF6  # the word of sync, and a layer of 0
_PLAIN, _WITH_CHECKSUM = 7, 9  # bytes of the header
_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)


def header_size(data: bytes) -> int:
    """Return the bytes of a packet's ADTS header; 0 where it has none, or is of a kind that cannot be taken off."""
    if len(data) < _PLAIN or int.from_bytes(data[:2], "big") & _SYNC_MASK != _SYNC:
        return 0
    if data[6] & 3 or not _channels(data):  # several blocks in one packet; channels that are told within
        return 0
    size = _PLAIN if data[1] & 1 else _WITH_CHECKSUM
    return size if len(data) > size else 0


def configuration(data: bytes) -> bytes:
    """Return the AudioSpecificConfig of ISO/IEC 14496-3 that a packet's ADTS header stands for."""
    kind = (data[2] >> 6) + 1
    rate = data[2] >> 2 & 15
    return (kind << 11 | rate << 7 | _channels(data) << 3).to_bytes(2, "big")


def description(config: bytes) -> str:
    """Return what a `configuration` says, in words."""
    number = int.from_bytes(config, "big")
    kind, rate, channels = number >> 11, number >> 7 & 15, number >> 3 & 15
    hertz = f"{_RATES[rate]} Hz" if rate < len(_RATES) else "an unknown rate"
    return f"{hertz}, {channels} channel{'s' * (channels > 1)}, object type {kind}"


def _channels(data: bytes) -> int:
    return (data[2] & 1) << 2 | data[3] >> 6
