# SPDX-License-Identifier: Apache-2.0
from libc.stdint cimport int64_t, uint32_t, uint64_t

from .buffers cimport Ticket, host_frame
from .cavenc cimport (
    avenc_channel, avenc_channel_config, avenc_device, avenc_device_info, avenc_notifier, avenc_packet,
    avenc_selector, avenc_submission)
from .convert cimport Converter
from .core cimport Library

cdef class Device:
    cdef object __weakref__
    cdef avenc_device *_h  # a counted reference; NULL once closed
    cdef readonly Library library  # what it was opened on

    cdef _drop(self)
    cdef const avenc_device_info *_info(self) except NULL

cdef class Notifier:
    cdef object __weakref__
    cdef avenc_notifier *_h

cdef class Selector:
    cdef object __weakref__
    cdef avenc_selector *_h

cdef class Channel:
    cdef object __weakref__
    cdef avenc_channel *_h  # NULL once closed
    cdef readonly Device device  # kept open while the channel lives
    cdef readonly object time_base  # Fraction, given to every packet
    cdef readonly int width
    cdef readonly int height
    cdef avenc_channel_config _config
    cdef Converter _converter  # of frames to NV12, or None
    cdef readonly object generation  # counts reconfigure()
    cdef object _undelivered  # packets taken from the engine that an exception or a Future held back, oldest first
    cdef object _promised  # (Future, Packet, failure) that are to be set once no native call is under way
    cdef object _notifiers  # attached Notifiers
    cdef Selector _selector  # attached, under the key _key; or None
    cdef uint32_t _key
    cdef object _past  # counters of the channels that reconfigure() ended, or None
    cdef int _users  # Python threads inside a native call on _h; close() waits for them
    cdef bint _ended  # end() was called
    cdef bint _reopening  # reconfigure() is at work: wait for it
    cdef int _on_full
    cdef uint32_t _linger_us
    cdef bint _key_frame_owed  # a dropped frame was to be a key frame
    cdef unsigned long _submitter  # thread that submits, 0 if none has
    cdef bint _several_submitters
    cdef uint64_t _dropped  # frames that were not accepted for lack of room
    cdef int _sink_fd  # -1: none
    cdef void *_scratch  # of submit_many, for _scratch_size frames; NULL: in use, or none yet
    cdef Py_ssize_t _scratch_size
    cdef object _stall  # seconds without progress after which a wait gives up, or None

    cdef avenc_channel *_enter(self) except NULL
    cdef int _reenter(self, avenc_channel **handle) except -1
    cdef int _leave(self) except -1
    cdef int _step_out(self, avenc_channel **handle) except -1
    cdef _create(self, uint64_t first_index)
    cdef int _fill(self, avenc_submission *submission, object pts, bint key_frame, object token) except -1
    cdef int _note_submitter(self) except -1
    cdef int _owe_again(self, avenc_submission *submission, bint key_frame) except -1
    cdef int64_t _refuse(self, int status, bint key_frame) except -2
    cdef int64_t _send(self, object frame, object pts, bint key_frame, object token, double deadline) except -2
    cdef int64_t _send_host(self, host_frame *held, avenc_submission *submission, double deadline) except -2
    cdef int64_t _send_device(self, object frame, avenc_submission *submission, double deadline) except -2
    cdef int64_t _send_acquired(self, object frame, avenc_submission *submission) except -2
    cdef int64_t _send_converted(self, object frame, avenc_submission *submission, double deadline, bint queue) except -2
    cdef _collect_spent(self)
    cdef list _return_tickets(self, avenc_channel *handle)
    cdef _drop_undelivered(self)
    cdef int _take(self, avenc_channel *handle, size_t limit) except -1
    cdef _mark(self)
    cdef list _deliver(self, Py_ssize_t limit)
    cdef dict _counters(self, avenc_channel *handle)
    cdef _leave_natively(self, avenc_channel *handle)
