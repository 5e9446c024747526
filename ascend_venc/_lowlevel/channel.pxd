# SPDX-License-Identifier: Apache-2.0
from libc.stdint cimport int64_t, uint32_t, uint64_t

from .cavenc cimport avenc_channel, avenc_channel_config, avenc_device_picture, avenc_submission, avenc_wait
from .convert cimport Converter
from .stream cimport Stream, Ticket

ctypedef int (*waiting_call)(avenc_channel *channel, const avenc_wait *wait) noexcept nogil  # avenc_channel_wait_...

cdef class Channel:
    cdef object __weakref__
    cdef avenc_channel *_h  # valid as long as this object lives
    cdef readonly Stream stream
    cdef object _first_config  # EncoderConfig that it was opened with; the present one is the stream's, by epoch
    cdef bint _placed  # it has its place: frames come to it
    cdef bint _outdated  # its predecessor's settings were changed after its own had been made from them
    cdef readonly int width
    cdef readonly int height
    cdef avenc_channel_config _config
    cdef Converter _converter  # of frames to NV12, or None
    cdef readonly Channel successor  # what took this one's place, or None
    cdef void *_scratch  # of submit_many, for _scratch_size frames; NULL: in use, or none yet
    cdef Py_ssize_t _scratch_size

    cdef int _wait(self, waiting_call call, const avenc_wait *wait) except? -1
    cdef int64_t _submit(self, object frame, object pts, bint key_frame, object token, object future, bytes sei,
                         avenc_wait *wait, int how, object hand_over=*) except -9
    cdef object _submit_now(self, object frame, object pts, bint key_frame, object token, object sei, object timeout,
                            int how, object future=*, object hand_over=*)
    cdef int64_t _attempt(self, object frame, avenc_submission *submission, object token, object future,
                          avenc_wait *wait, int how, object hand_over) except -9
    cdef list _encode_in_turns(self, object frame, object pts, bint key_frame, object token, bytes unit, avenc_wait *wait)
    cdef bint _submit_each(self, list frames, list pts, list key_frames, list tokens, list units, list indices,
                           avenc_wait *wait) except -1
    cdef bint _submit_batch(self, list frames, list pts, list key_frames, list tokens, list units, list indices,
                            avenc_wait *wait) except -1
    cdef int64_t _send(self, const avenc_device_picture *picture, Ticket ticket, avenc_submission *submission,
                       avenc_wait *wait, int how) except -9
    cdef int64_t _enqueue(self, avenc_submission *submission, avenc_wait *wait, int how) except -9
    cdef int64_t _send_acquired(self, object frame, avenc_submission *submission, avenc_wait *wait) except -9
    cdef int64_t _send_converted(self, object frame, avenc_submission *submission, avenc_wait *wait, int how) except -9
    cdef int _in_the_way(self, int status, avenc_wait *wait) except? -1
    cdef int64_t _not_taken(self, int status, bint key_frame, avenc_wait *wait, int how) except -9
    cdef int64_t _refuse(self, int status, bint key_frame) except -9
    cdef int _fail(self, int status) except -1
    cdef list _take(self, Py_ssize_t limit)
    cdef list _take_native(self, Py_ssize_t limit)
    cdef int _raise_failure(self) except -1
    cdef int _end_of_packets(self, int status) except -1
    cdef bint _is_full(self, int status)
    cdef int _drop_packets(self) except -1
