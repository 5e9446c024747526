# SPDX-License-Identifier: Apache-2.0
"""H.264 and H.265 bitstreams: NAL units, SEI, parameter sets that tell what the pictures are, and other packagings.

Everything here is computed by the engine's own code, needs no device, and may be called from any thread. `codec` is
"h264" or "h265"; a `Packet` knows its own. docs/bitstream.md is the way through it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ._lowlevel import bitstream as _bitstream
from .arguments import as_int
from .color import PROFILE_FORMATS, parse_color, parse_shape, vui_of
from .config import parse_codec
from .errors import InvalidArgumentError
from .rates import parse_fps
from .sei import FRAME_TIME_UUID, FrameTime, RecoveryPoint, SeiMessage, UserDataUnregistered, messages_of, unit_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from fractions import Fraction

    from .color import ColorInfo
    from .literals import CodecName
    from .sei import Message

__all__ = [
    "FRAME_TIME_UUID",
    "FrameTime",
    "NalUnit",
    "RecoveryPoint",
    "SeiMessage",
    "UserDataUnregistered",
    "codec_string",
    "describe",
    "description",
    "iter_nal_units",
    "nal_units",
    "parameter_sets",
    "sei_messages",
    "sei_nal_unit",
    "to_annex_b",
    "to_length_prefixed",
]

# nal_unit_type: ITU-T H.264 table 7-1, ITU-T H.265 table 7-1.
_H264_NAMES = (
    *("UNSPECIFIED", "SLICE", "PARTITION_A", "PARTITION_B", "PARTITION_C", "IDR_SLICE", "SEI"),
    *("SPS", "PPS", "AUD", "END_OF_SEQUENCE"),
    *("END_OF_STREAM", "FILLER_DATA", "SPS_EXTENSION", "PREFIX", "SUBSET_SPS", "DPS", "RESERVED"),
    *("RESERVED", "AUXILIARY_SLICE"),
    *("SLICE_EXTENSION", "DEPTH_SLICE_EXTENSION", "RESERVED", "RESERVED"),
    *["UNSPECIFIED"] * 8,
)
_H265_NAMES = (
    *("TRAIL_N", "TRAIL_R", "TSA_N", "TSA_R", "STSA_N", "STSA_R", "RADL_N"),
    *("RADL_R", "RASL_N", "RASL_R"),
    *["RESERVED"] * 6,
    *("BLA_W_LP", "BLA_W_RADL", "BLA_N_LP", "IDR_W_RADL", "IDR_N_LP", "CRA"),
    *["RESERVED"] * 10,
    *("VPS", "SPS", "PPS", "AUD", "EOS", "EOB", "FD", "PREFIX_SEI", "SUFFIX_SEI"),
    *["RESERVED"] * 7,
    *["UNSPECIFIED"] * 16,
)


class NalUnit(NamedTuple):
    """One NAL unit.

    Attributes
    ----------
    type : int
        nal_unit_type.
    name : str
        What the standard's table 7-1 calls it, such as "SPS", "SEI" and "IDR_SLICE" in H.264, "PREFIX_SEI" and
        "IDR_W_RADL" in H.265; "RESERVED" and "UNSPECIFIED" of types that mean nothing.
    data : memoryview
        From its header on, without start code and trailing zeros; a view of the buffer, which it keeps.
    """

    type: int
    name: str
    data: memoryview


def stream_format_of(data: Any, codec: CodecName | None) -> int:
    """Return the stream format of a codec, or of a packet that says it itself."""
    if codec is None:
        codec = getattr(data, "codec", None)
        if codec is None:
            raise TypeError('codec is missing: "h264" or "h265"; only a Packet says its own')
    return PROFILE_FORMATS[parse_codec(codec)]


def nal_units(data: Any) -> list[memoryview]:
    """List the NAL units of a buffer in Annex B, without start codes, trailing zeros and copies.

    The memoryviews keep the buffer. The first byte of an H.264 unit has its type in the lower five bits, that of an
    H.265 unit in the six bits above the lowest.
    """
    return _bitstream.nal_units(data)


def iter_nal_units(data: Any, codec: CodecName | None = None) -> Iterator[NalUnit]:
    """Iterate over the NAL units of a buffer in Annex B, or of a packet, with type and name."""
    if stream_format_of(data, codec):
        names, shift, mask = _H264_NAMES, 0, 31
    else:
        names, shift, mask = _H265_NAMES, 1, 63
    units = [unit for unit in _bitstream.nal_units(data) if len(unit)]
    kinds = [unit[0] >> shift & mask for unit in units]
    return iter([NalUnit(kind, names[kind], unit) for kind, unit in zip(kinds, units)])


def sei_messages(data: Any, codec: CodecName | None = None) -> list[SeiMessage]:
    """List the SEI messages of a buffer in Annex B, or of a packet; H.265's prefix and suffix SEI alike.

    `packet.sei()` is the same. `content` of a message is a `UserDataUnregistered`, `RecoveryPoint` or `FrameTime` where
    it is one. Raises InvalidArgumentError where an SEI is damaged.
    """
    return messages_of(data, stream_format_of(data, codec))


def sei_nal_unit(messages: Iterable[Message], codec: CodecName) -> bytes:
    """Return an SEI NAL unit, without start code, of messages: `Encoder.submit(sei=...)` takes the same.

    Raises TypeError or InvalidArgumentError where they are not what they have to be.
    """
    return unit_of(messages, stream_format_of(None, codec))[4:]


def describe(
    nal: Any,
    codec: CodecName,
    *,
    color: ColorInfo | str | None = None,
    sample_aspect_ratio: Fraction | str | None = None,
    fps: int | float | str | Fraction | None = None,
    fixed_rate: bool | None = None,
) -> bytes:
    """Return one parameter set that tells this of the pictures; whatever else it says stays, to the bit.

    Parameters
    ----------
    nal : buffer
        One NAL unit without start code: H.264's SPS (type 7), H.265's SPS (33), or its VPS (32), which tells `fps`
        only.
    codec : str
        "h264" or "h265".
    color, sample_aspect_ratio
        As `Encoder` has them. None: as they are.
    fps : int, float, str or fractions.Fraction, optional
        Frames per second; H.264 counts two ticks a frame. None: as it is.
    fixed_rate : bool, optional
        H.264's fixed_frame_rate_flag. None: as it is.

    Raises
    ------
    InvalidArgumentError
        Another NAL unit, or syntax that is not known: a damaged one.
    """
    codec = parse_codec(codec)
    told = vui_of(codec, parse_color(color), parse_shape(sample_aspect_ratio), None if fps is None else parse_fps(fps))
    if fixed_rate is not None:
        told = told.with_fixed_rate(fixed_rate)
    return _bitstream.put_vui(told, PROFILE_FORMATS[codec], nal)


def description(data: Any, codec: CodecName | None = None, *, in_band: bool = False) -> bytes:
    """Return the decoder configuration record (ISO/IEC 14496-15) of a key frame: avcC or hvcC.

    It is what WebCodecs calls `description`, and mp4's sample entry holds, of a stream whose NAL units have their
    lengths in front: `to_length_prefixed(packet)`, with lengths of four bytes.

    Parameters
    ----------
    data : Packet or buffer
        A key frame in Annex B, or parameter sets alone. Those in front of the first slice go in.
    codec : str, optional
        Of what is no Packet.
    in_band : bool
        The stream may bring other parameter sets later ("hev1"). Changes only what H.265's record says of that.

    Raises
    ------
    InvalidArgumentError
        SPS, PPS or H.265's VPS is missing, or damaged.
    """
    return _bitstream.description(data, stream_format_of(data, codec), in_band)


def parameter_sets(record: Any, codec: CodecName) -> tuple[bytes, int]:
    """Return what a decoder configuration record holds: its NAL units in Annex B, and how many bytes a length has.

    The first goes in front of a stream's first picture, the second is `length_size` of `to_annex_b`. Raises
    InvalidArgumentError for a damaged record.
    """
    return _bitstream.description_units(record, stream_format_of(None, codec))


def codec_string(data: Any, codec: CodecName | None = None, *, in_band: bool = False) -> str:
    """Return the codec's name as web browsers and mp4 have it (RFC 6381): "avc1.64001F", "hvc1.1.6.L93.90".

    `data` is a key frame. `in_band`: "avc3" and "hev1", of streams whose key frames have the parameter sets. Parameters
    and errors are those of `description`.
    """
    h264 = stream_format_of(data, codec)
    record = description(data, codec)
    if h264:
        return ("avc3" if in_band else "avc1") + f".{record[1:4].hex().upper()}"
    space, tier, profile = record[1] >> 6, record[1] >> 5 & 1, record[1] & 31
    compatibility = int(f"{int.from_bytes(record[2:6], 'big'):032b}"[::-1], 2)
    constraints = record[6:12].rstrip(b"\0")
    return ".".join(
        [
            "hev1" if in_band else "hvc1",
            ("", "A", "B", "C")[space] + str(profile),
            f"{compatibility:X}",
            ("L", "H")[tier] + str(record[12]),
            *(f"{byte:X}" for byte in constraints),
        ]
    )


def to_length_prefixed(
    data: Any, codec: CodecName | None = None, *, length_size: int = 4, parameter_sets: bool = False
) -> bytes:
    """Return the NAL units of Annex B data with their lengths in front, as mp4 and WebCodecs have them.

    Parameters
    ----------
    data : Packet or buffer
    codec : str, optional
        Of what is no Packet.
    length_size : int
        Bytes of a length: 1, 2 or 4.
    parameter_sets : bool
        False: without those that `description` holds, which "avc1" and "hvc1" must not have in the stream. True: with
        them, for "avc3" and "hev1".

    Raises
    ------
    InvalidArgumentError
        A NAL unit is too long for `length_size`.
    """
    return _bitstream.to_length_prefixed(data, stream_format_of(data, codec), _length_size(length_size), parameter_sets)


def to_annex_b(data: Any, *, length_size: int = 4) -> bytes:
    """Return NAL units that have their lengths in front in Annex B, with start codes of four bytes.

    Raises InvalidArgumentError where a length leads beyond the data: it is damaged, or `length_size` is another.
    """
    return _bitstream.to_annex_b(data, _length_size(length_size))


def _length_size(value: Any) -> int:
    size = as_int("length_size", value)
    if size not in (1, 2, 4):
        raise InvalidArgumentError(f"length_size is {size}, allowed is 1, 2 or 4")
    return size
