# SPDX-License-Identifier: Apache-2.0
from .cavenc cimport avenc_device, avenc_device_info, avenc_wait
from .core cimport Library

cdef class Device:
    cdef object __weakref__
    cdef avenc_device *_h  # a counted reference; NULL once closed
    cdef readonly Library library  # what it was opened on
    cdef readonly str interface

    cdef int _open(self, str name, int device_id, avenc_wait *wait) except -1
    cdef int _fall_back(self, int device_id, avenc_wait *wait) except -1
    cdef const avenc_device_info *_info(self) except NULL
