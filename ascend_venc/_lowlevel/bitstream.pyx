# SPDX-License-Identifier: Apache-2.0
"""NAL units of Annex B data, and what parameter sets tell."""
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int32_t, uint8_t
from libc.stdlib cimport free, malloc

from .cavenc cimport *
from .core cimport check


def nal_units(data):
    """List the NAL units of a buffer as memoryviews of it, without start codes and trailing zeros."""
    cdef Py_buffer view
    cdef size_t position = 0, start = 0, length = 0
    whole = memoryview(data).cast("B")
    units = []
    PyObject_GetBuffer(whole, &view, PyBUF_SIMPLE)
    try:
        while avenc_next_nal(<const uint8_t *>view.buf, view.len, &position, &start, &length):
            units.append(whole[start:start + length])
    finally:
        PyBuffer_Release(&view)
    return units


def put_vui(described, int32_t stream_format, nal):
    """Return one parameter set, without start code, that tells `described` (a config.Vui).

    InvalidArgumentError for other NAL units, and for syntax that is not known.
    """
    cdef avenc_vui vui = described._asdict()
    cdef Py_buffer view
    cdef uint8_t *to = NULL
    cdef size_t room, written = 0
    PyObject_GetBuffer(nal, &view, PyBUF_SIMPLE)
    try:
        room = view.len + 128
        to = <uint8_t *>malloc(room)
        if to == NULL:
            raise MemoryError()
        check(avenc_vui_put(&vui, stream_format, <const uint8_t *>view.buf, view.len, to, room, &written))
        return to[:written]
    finally:
        free(to)
        PyBuffer_Release(&view)
