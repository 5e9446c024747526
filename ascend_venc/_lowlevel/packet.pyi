from fractions import Fraction
from typing import Any

from typing_extensions import final

from ..literals import Codec, PictureKind
from ..sei import SeiMessage

@final
class Packet:
    """One access unit, read-only, in Annex B. Made by `Encoder`.

    It supports the buffer protocol without a copy: `file.write(packet)`, `memoryview(packet)`, `bytes(packet)` (this
    one copies). It owns its pooled buffer until it is dropped or `release()`d, and outlives its closed encoder. Keep
    `bytes(packet)` instead of packets where thousands are to be kept. `copy.copy` and pickle make a packet with the
    same fields and memory of its own; so `copy.copy(packet)` is another way to keep one.

    Attributes
    ----------
    size : int
        Bytes.
    pts, dts : int
        Presentation and decoding time stamp in units of `time_base`; the frame's number unless one was given. They
        are equal: the hardware encodes without B frames.
    time : float
        Presentation time in seconds: pts * time_base.
    time_base : fractions.Fraction
        Seconds per unit of `pts`.
    duration : int
        How long the picture is shown by the encoder's frame rate, in units of `time_base`: one.
    frame_index : int
        Number of the frame, 0 for the first that the encoder accepted.
    is_keyframe : bool
        Whether it is an IDR, with parameter sets before it.
    kind : str
        "IDR", "I" or "P", read from the bitstream.
    codec : str
        "h264" or "h265".
    device_kind : str or None
        The same as the device tells it: the type of the picture's slice (source: `data_type` and `pack_info` of DVPP
        V2's packs). None on DVPP V1, and where the device does not tell.
    mean_qp : int or None
        Mean quantiser of the picture, 0 (finest) to 51, as the device tells it (source: `mean_qp` of DVPP V2's stream
        information). None on DVPP V1, and where the device does not tell.
    picture_bits : int or None
        Bits that the picture took, as the device tells it (source: eight times `pic_bytes` there). None likewise.
        Whether it counts the parameter sets is not documented; `size` does.
    token : object
        As given with the frame; None by default.
    submitted_at, emitted_at : float
        Seconds on the clock of `time.monotonic()`: when the engine accepted the frame, and when the device delivered
        its access unit.
    latency : float
        Seconds between the two.
    """
    def __bytes__(self) -> bytes: ...
    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __release_buffer__(self, view: memoryview, /) -> None: ...
    @property
    def size(self) -> int: ...
    @property
    def pts(self) -> int: ...
    @property
    def time_base(self) -> Fraction: ...
    @property
    def duration(self) -> int: ...
    @property
    def frame_index(self) -> int: ...
    @property
    def is_keyframe(self) -> bool: ...
    @property
    def kind(self) -> PictureKind: ...
    @property
    def codec(self) -> Codec: ...
    @property
    def device_kind(self) -> PictureKind | None: ...
    @property
    def mean_qp(self) -> int | None: ...
    @property
    def picture_bits(self) -> int | None: ...
    @property
    def dts(self) -> int: ...
    @property
    def time(self) -> float: ...
    @property
    def token(self) -> Any: ...
    @property
    def submitted_at(self) -> float: ...
    @property
    def emitted_at(self) -> float: ...
    @property
    def latency(self) -> float: ...
    def nal_units(self) -> list[memoryview]:
        """Return the NAL units as a list of memoryviews, without start codes and without a copy.

        The views keep the packet's buffer; `release()` refuses while one of them is alive.
        """
    def sei(self) -> list[SeiMessage]:
        """Return the SEI messages as a list of `bitstream.SeiMessage`, with memory of their own.

        Raises InvalidArgumentError where an SEI is damaged.
        """
    def to_av(self) -> Any:
        """Return an `av.Packet` with a copy of the access unit and its times. Raises MediaError without PyAV."""
    def release(self) -> None:
        """Give the buffer back to the pool now. Idempotent; afterwards the packet's data cannot be read.

        Raises BufferError while views of it are alive.
        """
