# SPDX-License-Identifier: Apache-2.0
"""How long a native call may wait.

Only the main thread can run signal handlers, so only its waits come back ten times a second to look for signals; every
other thread sleeps until it is woken.
"""
import os
import threading

from cpython.exc cimport PyErr_CheckSignals
from libc.math cimport INFINITY
from libc.stdint cimport uint64_t

from .cavenc cimport *
from .wait cimport *

cdef extern from "pythread.h" nogil:
    unsigned long PyThread_get_thread_ident()

cdef enum:
    LOOK_NS = 100 * 1000 * 1000  # the longest that a signal waits for its handler

cdef unsigned long _main_thread = threading.main_thread().ident
cdef double _FOR_EVER_S = 1e10


cdef uint64_t nanoseconds(object seconds) except? 0:
    cdef double value
    if seconds is None:
        return AVENC_FOR_EVER
    value = seconds
    return AVENC_FOR_EVER if value > _FOR_EVER_S else <uint64_t>(max(value, 0.0) * 1e9)


cdef int begin_wait(avenc_wait *wait, object timeout, object stall) except -1:
    cdef uint64_t bound = nanoseconds(timeout)
    begin_wait_until(wait, INFINITY)
    if bound != AVENC_FOR_EVER:
        wait.deadline_ns = wait.since_ns + bound
    wait.stall_ns = nanoseconds(stall)
    return 0


cdef void begin_wait_until(avenc_wait *wait, double deadline) noexcept:
    wait[0] = avenc_wait_for(0)
    wait.deadline_ns = AVENC_FOR_EVER if deadline > _FOR_EVER_S else <uint64_t>(deadline * 1e9)
    wait.look_ns = LOOK_NS if PyThread_get_thread_ident() == _main_thread else AVENC_FOR_EVER


cdef bint look(int status) except -1:
    if status != AVENC_E_LOOK:
        return False
    PyErr_CheckSignals()
    return True


def _after_fork_in_child():
    global _main_thread
    _main_thread = threading.main_thread().ident


os.register_at_fork(after_in_child=_after_fork_in_child)
