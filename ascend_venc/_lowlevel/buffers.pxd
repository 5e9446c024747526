# SPDX-License-Identifier: Apache-2.0
from libc.stdint cimport uint8_t, uint32_t

from .cavenc cimport avenc_channel, avenc_frame, avenc_frame_memory, avenc_packet, avenc_picture

cdef class Ticket:
    cdef object token  # the user's, for Packet.token
    cdef object owner  # of memory that the device or the sender thread may still read
    cdef object future  # concurrent.futures.Future that gets the packet, or None
    cdef Py_buffer views[2]
    cdef int view_count

cdef class Packet:
    cdef avenc_packet *_h  # the pooled buffer; NULL once released
    cdef object _time_base  # Fraction: seconds per pts unit
    cdef object _token
    cdef Py_ssize_t _exports  # live views of the buffer
    cdef avenc_packet *_handle(self) except NULL

cdef class Frame:
    cdef object __weakref__
    cdef avenc_frame *_h  # NULL once it was given back
    cdef avenc_frame_memory _memory
    cdef object _channel  # kept alive; a submitted frame belongs to it
    cdef object _generation  # of the channel when the frame was acquired
    cdef uint32_t _width, _height
    cdef bint _submitted
    cdef Py_ssize_t _exports
    cdef Py_ssize_t _shape[2]
    cdef Py_ssize_t _strides[2]
    cdef int _check(self) except -1
    cdef _give_back(self)

# Take ownership of a packet. A packet that cannot be wrapped is released.
cdef Packet wrap_packet(avenc_packet *packet, object time_base)

# The ticket that travelled with a frame, or None. The packet has it no longer.
cdef Ticket take_ticket(avenc_packet *packet)

cdef Frame wrap_frame(avenc_frame *handle, avenc_frame_memory *memory, object channel, object generation,
                      uint32_t width, uint32_t height)

# A frame in host memory, kept in place by the views until release_host_frame.
cdef struct host_frame:
    Py_buffer views[2]
    int view_count
    avenc_picture picture

# Describe NV12 or NV21 in a buffer, or in a pair of buffers (y, uv).
cdef int hold_host_frame(object frame, uint32_t width, uint32_t height, host_frame *held) except -1
cdef void release_host_frame(host_frame *held) noexcept

# Describe one plane: `rows` x `width` bytes, rows contiguous, any stride.
cdef int hold_plane(object plane, str name, uint32_t width, uint32_t rows, Py_buffer *view,
                    const uint8_t **data, size_t *stride) except -1
