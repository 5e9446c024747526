# SPDX-License-Identifier: Apache-2.0
"""Packets: access units in memory that Python sees.

A packet's bytes lie in a pooled native buffer. Invariant: the buffer goes back to its pool only when no view of it is
alive, since the next access unit overwrites it. A view holds the packet (PyBuffer_FillInfo), so dropping the packet
while a memoryview exists is safe; `release()` counts the views and refuses.
"""
cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy, memset

from .. import errors
from .cavenc cimport *
from .core cimport count_tickets
from .packet cimport *
from .stream cimport Ticket, keep_refused


from ..sei import messages_of
from .bitstream import nal_units

cdef dict _KIND_NAMES = {
    AVENC_KIND_IDR: "IDR", AVENC_KIND_I: "I", AVENC_KIND_P: "P", AVENC_KIND_B: "B", AVENC_KIND_UNKNOWN: "unknown"}


@cython.final
cdef class Packet:
    """Packet()\n--\n
    One access unit, read-only, in Annex B. Made by `Encoder`.

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

    def __init__(self):
        raise TypeError("Packet cannot be made directly: Encoder.encode and Encoder.receive return packets")

    def __dealloc__(self):
        self._give_back()

    cdef void _give_back(self) noexcept:
        cdef avenc_packet *packet = self._h
        self._h = NULL
        if self._own is None:
            # The pool's lock is short and never held by a thread that wants the GIL.
            avenc_packet_release(packet)

    cdef avenc_packet *_handle(self) except NULL:
        if self._h == NULL:
            raise ValueError("the packet was released")
        return self._h

    def __getbuffer__(self, Py_buffer *view, int flags):
        cdef avenc_packet *packet = self._handle()
        PyBuffer_FillInfo(view, self, <void *>packet.data, <Py_ssize_t>packet.size, 1, flags)
        self._exports += 1

    def __releasebuffer__(self, Py_buffer *view):
        self._exports -= 1

    def __len__(self) -> int:
        return <Py_ssize_t>self._handle().size

    def __bytes__(self) -> bytes:
        cdef avenc_packet *packet = self._handle()
        return PyBytes_FromStringAndSize(<const char *>packet.data, <Py_ssize_t>packet.size)

    def __reduce__(self):
        cdef avenc_packet *packet = self._handle()
        return _restore, (
            bytes(self), packet.frame_index, packet.pts, packet.kind, packet.submitted_ns, packet.emitted_ns,
            self._time_base, self._token, packet.device_kind, packet.mean_qp, packet.picture_bits, packet.en_type)

    @property
    def size(self) -> int:
        return self._handle().size

    @property
    def pts(self) -> int:
        return self._handle().pts

    @property
    def dts(self) -> int:
        return self._handle().pts

    @property
    def time(self) -> float:
        return float(self._handle().pts * self._time_base)

    @property
    def time_base(self) -> Fraction:
        return self._time_base

    @property
    def duration(self) -> int:
        self._handle()
        return 1

    @property
    def frame_index(self) -> int:
        return self._handle().frame_index

    @property
    def is_keyframe(self) -> bool:
        return self._handle().kind == AVENC_KIND_IDR

    @property
    def kind(self) -> PictureKind:
        return _KIND_NAMES[self._handle().kind]

    @property
    def codec(self) -> Codec:
        return "h265" if self._handle().en_type == H265_MAIN_LEVEL else "h264"

    @property
    def device_kind(self) -> PictureKind | None:
        cdef int32_t kind = self._handle().device_kind
        return None if kind == AVENC_KIND_UNKNOWN else _KIND_NAMES[kind]

    @property
    def mean_qp(self) -> int | None:
        cdef int32_t qp = self._handle().mean_qp
        return None if qp < 0 else qp

    @property
    def picture_bits(self) -> int | None:
        cdef uint64_t bits = self._handle().picture_bits
        return bits if bits else None

    @property
    def token(self) -> Any:
        return self._token

    @property
    def submitted_at(self) -> float:
        return <double>self._handle().submitted_ns * 1e-9

    @property
    def emitted_at(self) -> float:
        return <double>self._handle().emitted_ns * 1e-9

    @property
    def latency(self) -> float:
        cdef avenc_packet *packet = self._handle()
        return <double>(packet.emitted_ns - packet.submitted_ns) * 1e-9

    def nal_units(self) -> list[memoryview]:
        """Return the NAL units as a list of memoryviews, without start codes and without a copy.

        The views keep the packet's buffer; `release()` refuses while one of them is alive.
        """
        self._handle()
        return nal_units(self)

    def sei(self) -> list[SeiMessage]:
        """Return the SEI messages as a list of `bitstream.SeiMessage`, with memory of their own.

        Raises InvalidArgumentError where an SEI is damaged.
        """
        return messages_of(self, self._handle().en_type)

    def to_av(self) -> Any:
        """Return an `av.Packet` with a copy of the access unit and its times. Raises MediaError without PyAV."""
        self._handle()
        try:
            from av import Packet as AvPacket
        except ImportError as error:
            raise errors.MediaError(f"to_av needs PyAV: pip install 'ascend-venc[media]' ({error})") from None
        made = AvPacket(bytes(self))
        made.time_base = self._time_base
        made.pts = made.dts = self.pts  # looked at behind PyAV's code: another thread may have released it
        made.duration = self.duration
        made.is_keyframe = self.is_keyframe
        return made

    def release(self):
        """Give the buffer back to the pool now. Idempotent; afterwards the packet's data cannot be read.

        Raises BufferError while views of it are alive.
        """
        if self._exports:
            raise BufferError(f"the packet has {self._exports} live view(s): release the memoryview first")
        self._give_back()

    def __repr__(self):
        if self._h == NULL:
            return "<Packet released>"
        return f"<Packet {self.frame_index} {self.kind} pts={self.pts} size={self.size}>"


def _restore(bytes data not None, uint64_t frame_index, int64_t pts, int32_t kind, uint64_t submitted_ns,
             uint64_t emitted_ns, time_base, token, int32_t device_kind, int32_t mean_qp, uint64_t picture_bits,
             int32_t en_type):
    """Make the packet of what `Packet.__reduce__` gave."""
    cdef Packet packet = Packet.__new__(Packet)
    cdef Py_ssize_t size = len(data)
    for each in (kind, device_kind):
        if each not in _KIND_NAMES:
            raise ValueError(f"kind is {each}, which no packet has")
    # The description and behind it the access unit; the memory of a bytes object is aligned for both.
    packet._own = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>sizeof(avenc_packet) + size)
    cdef char *room = PyBytes_AS_STRING(packet._own)
    cdef avenc_packet *made = <avenc_packet *>room
    memset(made, 0, sizeof(avenc_packet))
    memcpy(room + sizeof(avenc_packet), PyBytes_AS_STRING(data), <size_t>size)
    made.data = <const uint8_t *>(room + sizeof(avenc_packet))
    made.size = <size_t>size
    made.frame_index = frame_index
    made.pts = pts
    made.kind = kind
    made.submitted_ns = submitted_ns
    made.emitted_ns = emitted_ns
    made.device_kind = device_kind
    made.mean_qp = mean_qp
    made.picture_bits = picture_bits
    made.en_type = en_type
    packet._h = made
    packet._time_base = time_base
    packet._token = token
    return packet


cdef object failure_of(avenc_packet *packet, object entry):
    """The exception of a frame that failed, with the token of its entry, which stays until the packet is released."""
    failure = errors.frame_error(packet.status, packet.frame_index, packet.pts, packet.ret_code)
    failure.token = (<Ticket>entry).token if type(entry) is Ticket else entry
    return failure


cdef void keep_of_refused(object entry) noexcept:
    """The frame failed; perhaps it was refused when it was sent, and the device has it all the same."""
    if type(entry) is Ticket and (<Ticket>entry).channel != NULL:
        keep_refused(entry)


cdef object pop_entry(dict entries, object tag):
    """What stood under a tag. Allocates nothing."""
    entry = entries.pop(tag, entries)
    if entry is entries:  # closing took it, in another thread or in the collector
        return None
    count_tickets(-1)
    return entry


cdef list wrap_packets(avenc_channel *channel, avenc_packet **taken, size_t count, dict entries, list time_bases,
                       const bint *dropped):
    cdef Packet packet
    cdef list packets
    cdef size_t i
    cdef object entry, failure = None, tag = None
    try:  # everything that may raise, before anything changes hands
        if count == 1 and taken[0].status != 0:
            tag = taken[0].tag
            failure = failure_of(taken[0], entries.get(tag))
        packets = [None] * <Py_ssize_t>count
        if failure is None:
            for i in range(count):
                packet = Packet.__new__(Packet)
                if taken[i].tag:
                    packet._token = taken[i].tag
                packets[<Py_ssize_t>i] = packet
    except BaseException:
        avenc_channel_give_back(channel, taken, count)
        raise
    if dropped[0]:  # meanwhile: another thread, or what the collector ran, has closed the encoder and has the entries
        for i in range(count):
            avenc_packet_release(taken[i])
        return None
    if failure is not None:
        if tag:
            keep_of_refused(pop_entry(entries, tag))
        avenc_packet_release(taken[0])
        raise failure
    for i in range(count):
        packet = <Packet>packets[<Py_ssize_t>i]
        packet._h = taken[i]
        packet._time_base = time_bases[taken[i].epoch]
        if taken[i].tag:
            packet._token = pop_entry(entries, packet._token)
    for packet in packets:  # now: an owner's end may close the encoder, which has none of these entries any more
        entry = packet._token
        if type(entry) is Ticket:
            packet._token = (<Ticket>entry).token
    return packets


cdef tuple wrap_promised(avenc_channel *channel, avenc_packet *taken, dict entries, list time_bases):
    cdef Packet packet = None
    cdef Ticket ticket
    cdef object failure = None
    cdef object entry
    try:
        tag = taken.tag
        entry = entries.get(tag)
        ticket = entry if type(entry) is Ticket else Ticket.__new__(Ticket)
        if taken.status != 0:
            failure = failure_of(taken, entry)
        else:
            packet = Packet.__new__(Packet)
        result = (packet, failure, ticket.future)
    except BaseException:
        avenc_channel_give_back(channel, &taken, 1)
        raise
    pop_entry(entries, tag)
    if packet is None:
        keep_of_refused(ticket)
        avenc_packet_release(taken)
    else:
        packet._h = taken
        packet._time_base = time_bases[taken.epoch]
        packet._token = ticket.token
    return result
