# SPDX-License-Identifier: Apache-2.0
from libc.stdint cimport uint32_t

from .cavenc cimport avenc_wait, avenc_waitset

cdef enum:
    MOST_KEYS = 256  # taken at a time

cdef class WaitSet:
    cdef object __weakref__
    cdef avenc_waitset *_h

    # See `take`: the number of keys that stand in `keys` then, which has room for MOST_KEYS.
    cdef uint32_t take_keys(self, const avenc_wait *wait, double max_latency, uint32_t *keys) except? 0
