# SPDX-License-Identifier: Apache-2.0
from libc.stdint cimport uint8_t, uint32_t

from .cavenc cimport avenc_frame, avenc_frame_memory, avenc_picture

cdef class Frame:
    cdef object __weakref__
    cdef avenc_frame *_h  # one reference on the engine's picture buffer; NULL once it was given back
    cdef avenc_frame_memory _memory
    cdef object _channel  # that it was acquired from
    cdef uint32_t _width, _height
    cdef bint _submitted
    cdef bint _submitting  # a thread is inside the call
    cdef Py_ssize_t _exports
    cdef Py_ssize_t _shape[2]
    cdef Py_ssize_t _strides[2]
    cdef int _check(self) except -1
    cdef _give_back(self)
    cdef _give_back_if_done(self)

# A Frame without memory, which avenc_channel_acquire writes into it: so that nothing can fail while a buffer is held.
cdef Frame new_frame(object channel, uint32_t width, uint32_t height)

# A frame in host memory, kept in place by the views until release_host_frame.
cdef struct host_frame:
    Py_buffer views[2]
    int view_count
    avenc_picture picture

# A view of items of one byte, with strides; `flags` is 0 or PyBUF_WRITABLE. TypeError for anything else.
cdef int get_bytes_view(object source, str name, int flags, Py_buffer *view) except -1
cdef str shape_of(Py_buffer *view)

# Describe NV12 or NV21 in a buffer, or in a pair of buffers (y, uv). Runs Python: nothing native is held meanwhile.
cdef int hold_host_frame(object frame, uint32_t width, uint32_t height, host_frame *held) except -1
cdef void release_host_frame(host_frame *held) noexcept

# One in a single piece of memory, with its chroma behind its luma.
cdef void describe_whole(host_frame *held, const uint8_t *y, size_t stride, uint32_t width, uint32_t height) noexcept
