# SPDX-License-Identifier: Apache-2.0
"""NAL units of Annex B data, what parameter sets tell, and SEI messages."""
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int32_t, uint8_t

from .cavenc cimport *
from .core cimport check


cdef class _Input:
    """A buffer of the caller's, looked at as bytes."""
    cdef object whole  # a memoryview
    cdef Py_buffer view
    cdef bint held

    def __cinit__(self, data):
        self.whole = memoryview(data).cast("B")
        PyObject_GetBuffer(self.whole, &self.view, PyBUF_SIMPLE)
        self.held = True

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.view)

    cdef const uint8_t *start(self) noexcept:
        return <const uint8_t *>self.view.buf

    cdef size_t size(self) noexcept:
        return <size_t>self.view.len


cdef uint8_t *start_of(bytes made) noexcept:
    """Bytes that were made here, for a native call to write them."""
    return <uint8_t *>PyBytes_AS_STRING(made)


def nal_units(data) -> list[memoryview]:
    """List the NAL units of a buffer as memoryviews of it, without start codes and trailing zeros."""
    cdef size_t position = 0, start = 0, length = 0
    cdef _Input source = _Input(data)
    units = []
    while avenc_next_nal(source.start(), source.size(), &position, &start, &length):
        units.append(source.whole[start:start + length])
    return units


def put_vui(described: Vui, int32_t stream_format, nal) -> bytes:
    """Return one parameter set, without start code, that tells `described` (a config.Vui).

    InvalidArgumentError for other NAL units, and for syntax that is not known.
    """
    cdef avenc_vui vui = described._asdict()
    cdef _Input source = _Input(nal)
    cdef size_t room = source.size() + 128, written = 0
    cdef bytes made = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>room)
    check(avenc_vui_put(&vui, stream_format, source.start(), source.size(), start_of(made), room, &written))
    return made[:written]


cdef size_t sei_header(const uint8_t *nal, size_t size, bint h265, bint *suffix) noexcept:
    """Size of the header of an SEI NAL unit; 0 of others."""
    cdef unsigned int kind
    suffix[0] = False
    if h265:
        kind = nal[0] >> 1 & 63 if size >= 2 else 0
        suffix[0] = kind == 40
        return 2 if kind == 39 or kind == 40 else 0
    return 1 if size and nal[0] & 31 == 6 else 0


def sei_messages(data, int32_t stream_format) -> list[tuple[int, bytes, bool]]:
    """List the SEI messages of Annex B data as (payload type, payload, whether in a suffix SEI).

    Payloads are bytes without emulation prevention. InvalidArgumentError for an SEI that ends within a message.
    """
    cdef _Input source = _Input(data)
    cdef size_t position = 0, start = 0, length = 0, header, at
    cdef const uint8_t *nal
    cdef bytes rbsp
    cdef avenc_sei message
    cdef bint suffix = False
    cdef int status
    cdef list found = []
    while avenc_next_nal(source.start(), source.size(), &position, &start, &length):
        nal = source.start() + start
        header = sei_header(nal, length, stream_format == H265_MAIN_LEVEL, &suffix)
        if header == 0:
            continue
        rbsp = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>length)
        length = avenc_unescape(nal + header, length - header, start_of(rbsp))
        at = 0
        status = 1
        while status > 0:
            status = avenc_next_sei(start_of(rbsp), length, &at, &message)
            if status > 0:
                found.append((message.type, <bytes>message.payload[:message.size], suffix))
        check(status)
    return found


def sei_unit(list messages, int32_t stream_format) -> bytes:
    """Make a NAL unit in Annex B, start code included, of a list of (payload type, payload as bytes)."""
    cdef size_t count = <size_t>len(messages), i, size = 0
    cdef bytes payload, made
    cdef bytes room = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>(count * sizeof(avenc_sei)))
    cdef avenc_sei *each = <avenc_sei *>start_of(room)
    for i in range(count):
        kind, payload = messages[i]
        each[i].type = kind
        each[i].payload = <const uint8_t *>PyBytes_AS_STRING(payload)
        each[i].size = <size_t>len(payload)
    check(avenc_sei_put(stream_format, each, count, NULL, 0, &size))
    made = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size)
    check(avenc_sei_put(stream_format, each, count, start_of(made), size, &size))
    return made


def recovery_point(bytes payload not None, int32_t stream_format) -> tuple[int, bool, bool]:
    """(count, exact_match, broken_link) of a payload of type 6. InvalidArgumentError if it ends within a field."""
    cdef avenc_recovery_point point
    check(avenc_recovery_point_get(
        stream_format, <const uint8_t *>PyBytes_AS_STRING(payload), <size_t>len(payload), &point))
    return point.count, point.exact_match != 0, point.broken_link != 0


def recovery_point_payload(int32_t count, bint exact_match, bint broken_link, int32_t stream_format) -> bytes:
    """The payload of type 6. InvalidArgumentError for a count outside its range."""
    cdef avenc_recovery_point point
    cdef uint8_t to[AVENC_RECOVERY_POINT_SIZE]
    cdef size_t size = 0
    point.count, point.exact_match, point.broken_link = count, exact_match, broken_link
    check(avenc_recovery_point_put(stream_format, &point, to, &size))
    return <bytes>to[:size]


def to_length_prefixed(data, int32_t stream_format, uint32_t length_size, bint parameter_sets) -> bytes:
    """Annex B to NAL units with their lengths in front. InvalidArgumentError where a unit is too long for that."""
    cdef _Input source = _Input(data)
    cdef size_t size = 0
    cdef bytes made
    check(avenc_to_length_prefixed(
        stream_format, source.start(), source.size(), length_size, parameter_sets, NULL, 0, &size))
    made = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size)
    check(avenc_to_length_prefixed(
        stream_format, source.start(), source.size(), length_size, parameter_sets, start_of(made), size, &size))
    return made


def to_annex_b(data, uint32_t length_size) -> bytes:
    """And back. InvalidArgumentError where a length leads beyond the data."""
    cdef _Input source = _Input(data)
    cdef size_t size = 0
    cdef bytes made
    check(avenc_to_annex_b(source.start(), source.size(), length_size, NULL, 0, &size))
    made = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size)
    check(avenc_to_annex_b(source.start(), source.size(), length_size, start_of(made), size, &size))
    return made


def description(data, int32_t stream_format, bint in_band) -> bytes:
    """The decoder configuration record of the parameter sets in Annex B data."""
    cdef _Input source = _Input(data)
    cdef size_t size = 0
    cdef bytes made
    check(avenc_description_put(stream_format, source.start(), source.size(), in_band, NULL, 0, &size))
    made = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size)
    check(avenc_description_put(stream_format, source.start(), source.size(), in_band, start_of(made), size, &size))
    return made


def description_units(record, int32_t stream_format) -> tuple[bytes, int]:
    """(NAL units of a decoder configuration record in Annex B, bytes of a length)."""
    cdef _Input source = _Input(record)
    cdef size_t size = 0
    cdef uint32_t length_size = 0
    cdef bytes made
    check(avenc_description_get(stream_format, source.start(), source.size(), NULL, 0, &size, &length_size))
    made = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size)
    check(avenc_description_get(stream_format, source.start(), source.size(), start_of(made), size, &size, &length_size))
    return made, length_size
