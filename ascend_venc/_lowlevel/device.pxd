# SPDX-License-Identifier: Apache-2.0
from .cavenc cimport avenc_device, avenc_device_info
from .core cimport Library

cdef class Device:
    cdef object __weakref__
    cdef avenc_device *_h  # a counted reference; NULL once closed
    cdef readonly Library library  # what it was opened on
    cdef readonly str interface

    cdef const avenc_device_info *_info(self) except NULL
