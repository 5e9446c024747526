# SPDX-License-Identifier: Apache-2.0
from .cavenc cimport avenc_channel, avenc_device, avenc_device_info, avenc_packet
from .core cimport Library

cdef class Device:
    cdef object __weakref__
    cdef avenc_device *_h  # a counted reference; NULL once closed
    cdef readonly Library library  # what it was opened on

    cdef _drop(self)
    cdef const avenc_device_info *_info(self) except NULL

cdef class Channel:
    cdef object __weakref__
    cdef avenc_channel *_h  # NULL once closed
    cdef readonly Device device  # kept open while the channel lives
    cdef readonly object time_base  # Fraction, given to every packet
    cdef object _undelivered  # packets taken from the engine that an exception held back, oldest first
    cdef int _users  # Python threads inside a native call on _h; close() waits for them
    cdef readonly int width
    cdef readonly int height
    cdef avenc_channel *_enter(self) except NULL
    cdef list _deliver(self, avenc_packet **ready, size_t count)
