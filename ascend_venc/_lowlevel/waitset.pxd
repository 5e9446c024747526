# SPDX-License-Identifier: Apache-2.0
from .cavenc cimport avenc_waitset

cdef class WaitSet:
    cdef object __weakref__
    cdef avenc_waitset *_h
