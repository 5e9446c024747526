# SPDX-License-Identifier: Apache-2.0
from libc.stdint cimport int64_t, uint32_t

from .cavenc cimport avenc_packet, avenc_picture

cdef class Packet:
    cdef avenc_packet *_h  # the pooled buffer; NULL once released
    cdef object _time_base  # Fraction: seconds per pts unit
    cdef Py_ssize_t _exports  # live views of the buffer
    cdef avenc_packet *_handle(self) except NULL

# Take ownership of a packet. A packet that cannot be wrapped is released.
cdef Packet wrap_packet(avenc_packet *packet, object time_base)

# Describe a frame that Python holds. The view keeps the exporter's memory alive and in place until it is released.
cdef int view_picture(object frame, uint32_t width, uint32_t height, Py_buffer *view, avenc_picture *picture) except -1
