# SPDX-License-Identifier: Apache-2.0
from libc.stdint cimport uint8_t

from .cavenc cimport avenc_converter

cdef class Converter:
    cdef avenc_converter *_h  # freed with the object only, so that a call that runs without the GIL keeps it
    cdef readonly int width
    cdef readonly int height
    cdef readonly object pixel_format
    cdef int _planes  # that the source has

    # Describe a picture that Python holds. Returns how many views the caller has to release after the conversion.
    cdef int view(self, object picture, Py_buffer *views, const uint8_t **planes, size_t *strides) except -1
