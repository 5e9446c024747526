# SPDX-License-Identifier: Apache-2.0
"""Supplemental enhancement information: messages that go with a picture, as a program gives and gets them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Union

from ._lowlevel import bitstream as _bitstream
from .arguments import as_int
from .errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

USER_DATA_UNREGISTERED, RECOVERY_POINT = 5, 6  # payload types, ITU-T H.264 and H.265 annex D
FRAME_TIME_UUID = bytes.fromhex("1ffbca76f7e0410580771a86b9fc7304")
_MOST = 65535  # a payload type is a number of any size; those of the standards are below 300


@dataclass(frozen=True, init=False)
class UserDataUnregistered:
    """Bytes of the program's own under a UUID that says what they are (payload type 5).

    Attributes
    ----------
    uuid : uuid.UUID
        May be given as a UUID, its 16 bytes or its text.
    data : bytes
        Any number of them, up to what fits into the SEI. Any buffer is taken, and copied.
    """

    uuid: UUID
    data: bytes

    def __init__(self, uuid: UUID | bytes | str, data: Any = b"") -> None:
        object.__setattr__(self, "uuid", _uuid_of(uuid))
        object.__setattr__(self, "data", _bytes_of("data", data))


@dataclass(frozen=True)
class RecoveryPoint:
    """From which picture on a decoder that begins here shows what was encoded (payload type 6).

    Attributes
    ----------
    count : int
        0: from this picture on. H.264: so many frames later, 0 to 65535 (recovery_frame_cnt). H.265: so many pictures
        in output order, -32768 to 32767 (recovery_poc_cnt).
    exact_match : bool
        Exactly what was encoded; False: nearly.
    broken_link : bool
        Pictures up to there may show what the stream no longer has: it was cut here.
    """

    count: int = 0
    exact_match: bool = True
    broken_link: bool = False


@dataclass(frozen=True)
class FrameTime:
    """When a picture was taken: user data under the UUID `FRAME_TIME_UUID` (docs/bitstream.md).

    Attributes
    ----------
    ns : int
        Nanoseconds since 1970-01-01 00:00 UTC, as `time.time_ns()` gives them; less than 2**63 before or after it.
    """

    ns: int


Content = Union[UserDataUnregistered, RecoveryPoint, FrameTime]


class SeiMessage(NamedTuple):
    """One SEI message as it stands in a stream.

    Attributes
    ----------
    type : int
        payloadType: 0 to 65535 where it is to be written.
    payload : bytes
        Without emulation prevention.
    suffix : bool
        Whether it stands behind the picture, in a suffix SEI of H.265.
    content : UserDataUnregistered, RecoveryPoint, FrameTime or None
        What the payload says; None of other types, and where it is too short. Not looked at when a message is written.
    """

    type: int
    payload: bytes
    suffix: bool = False
    content: Content | None = None


Message = Union[Content, SeiMessage]  # what is written


def messages_of(data: Any, stream_format: int) -> list[SeiMessage]:
    """Return the SEI messages of Annex B data. Raises InvalidArgumentError where an SEI is damaged."""
    return [
        SeiMessage(kind, payload, suffix, _content_of(kind, payload, stream_format))
        for kind, payload, suffix in _bitstream.sei_messages(data, stream_format)
    ]


def listed(messages: Any) -> list[Any]:
    """Return messages as a list, which can be gone through more than once. Raises TypeError for what is none."""
    if isinstance(messages, (*_CLASSES, str, bytes, bytearray, dict)) or not hasattr(messages, "__iter__"):
        raise TypeError(f"sei must be a list of messages, such as [FrameTime(ns)], got {type(messages).__name__}")
    return list(messages)


def unit_of(messages: Iterable[Message], stream_format: int, most: int | None = None) -> bytes:
    """Return one SEI NAL unit, with its start code, of messages of any of the classes above.

    Raises TypeError, or InvalidArgumentError, also where it has more than `most` bytes.
    """
    parts = [_part_of(message, stream_format) for message in listed(messages)]
    if not parts:
        raise InvalidArgumentError("sei is an empty list: give a message, or None for no SEI")
    unit = _bitstream.sei_unit(parts, stream_format)
    if most is not None and len(unit) > most:
        raise InvalidArgumentError(
            f"sei takes {len(unit)} bytes in the stream, allowed is up to {most} for a frame: give less user data"
        )
    return unit


def units_of(frames: Iterable[Iterable[Message] | None], stream_format: int, most: int) -> list[bytes | None]:
    """Return `unit_of` each item, None of None."""
    # Not in Cython, whose 3.3 lets go of an item twice where memory for the list is exhausted.
    return [None if messages is None else unit_of(messages, stream_format, most) for messages in frames]


def _content_of(kind: int, payload: bytes, stream_format: int) -> Content | None:
    if kind == USER_DATA_UNREGISTERED and len(payload) >= 16:
        if payload[:16] == FRAME_TIME_UUID and len(payload) == 24:
            return FrameTime(int.from_bytes(payload[16:], "big", signed=True))
        return UserDataUnregistered(payload[:16], payload[16:])
    if kind == RECOVERY_POINT:
        try:
            return RecoveryPoint(*_bitstream.recovery_point(payload, stream_format))
        except InvalidArgumentError:
            return None
    return None


def _part_of(message: Any, stream_format: int) -> tuple[int, bytes]:
    """(payload type, payload) of a message."""
    if isinstance(message, UserDataUnregistered):
        return USER_DATA_UNREGISTERED, message.uuid.bytes + message.data
    if isinstance(message, RecoveryPoint):
        count = as_int("RecoveryPoint.count", message.count)
        least, most = (0, 65535) if stream_format else (-32768, 32767)
        if not least <= count <= most:
            raise InvalidArgumentError(f"RecoveryPoint.count is {count}, allowed is {least} to {most}")
        payload = _bitstream.recovery_point_payload(
            count, bool(message.exact_match), bool(message.broken_link), stream_format
        )
        return RECOVERY_POINT, payload
    if isinstance(message, FrameTime):
        ns = as_int("FrameTime.ns", message.ns, " (nanoseconds)")
        return USER_DATA_UNREGISTERED, FRAME_TIME_UUID + ns.to_bytes(8, "big", signed=True)
    if isinstance(message, SeiMessage):
        kind = as_int("SeiMessage.type", message.type)
        if not 0 <= kind <= _MOST:
            raise InvalidArgumentError(f"SeiMessage.type is {kind}, allowed is 0 to {_MOST}")
        if message.suffix:
            raise InvalidArgumentError("SeiMessage.suffix is True: only messages in front of the picture are written")
        return kind, _bytes_of("SeiMessage.payload", message.payload)
    raise TypeError(
        "sei must be a list of UserDataUnregistered, RecoveryPoint, FrameTime or SeiMessage, got one with "
        f"{type(message).__name__}"
    )


def _bytes_of(name: str, data: Any) -> bytes:
    if type(data) is bytes:  # not a class of it: the native code takes bytes alone
        return data
    try:
        return memoryview(data).tobytes()
    except TypeError:
        raise TypeError(f"{name} must be bytes or another buffer, got {type(data).__name__}") from None


def _uuid_of(value: Any) -> UUID:
    import uuid  # when it is first needed: reading and writing without user data do without

    if isinstance(value, uuid.UUID):
        return value
    if isinstance(value, str):
        try:
            return uuid.UUID(value)
        except ValueError:
            raise InvalidArgumentError(f"uuid is {value!r}, which is no UUID's text: 32 hexadecimal digits") from None
    data = _bytes_of("uuid", value)
    if len(data) != 16:
        raise InvalidArgumentError(f"uuid has {len(data)} bytes, a UUID has 16")
    return uuid.UUID(bytes=data)


_CLASSES = (UserDataUnregistered, RecoveryPoint, FrameTime, SeiMessage)
