# SPDX-License-Identifier: Apache-2.0
"""Delivery of callbacks into Python, for acl.media.venc_send_frame and acl.rt.launch_callback.

The runtime calls a trampoline inside acl.rt.process_report, which has released the GIL; the trampoline takes it back once
for each callback. The thread is a Python thread, so its thread state exists already: nothing is allocated for it.

What the runtime is given as user data is a number, not a pointer: the Delivery waits in a dict under that number and is
taken out when its callback comes. So a callback that comes twice, late, or after its channel was destroyed finds nothing
and does nothing.

The gate. A callback must not enter Python while the interpreter ends: up to 3.13 its thread would be ended inside
PyGILState_Ensure, across the runtime's own stack frames; later it would hang there. So an atexit hook closes the gate and
waits, at most 2 s, for the callbacks that are inside; later ones return at once. Invariant: either the callback sees
`closing`, or the hook sees it in `inside`, because both are behind one mutex. That mutex is never held while waiting for
the GIL. The thread that ends the interpreter may still deliver to itself: it holds what the others can no longer get.
"""
import _thread
import atexit
import os
import sys
import threading

cimport cython
from cpython.exc cimport PyErr_CheckSignals
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport uint64_t

from .cascendcl cimport acldvppPicDesc, acldvppStreamDesc
from .handles cimport insert, remove, stream_descs
from .report cimport *

cdef extern from "pythread.h":
    unsigned long PyThread_get_thread_ident() nogil

cdef extern from "pthread.h" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    int pthread_mutex_init(pthread_mutex_t *, void *)
    int pthread_mutex_lock(pthread_mutex_t *)
    int pthread_mutex_unlock(pthread_mutex_t *)

cdef extern from "unistd.h" nogil:
    int usleep(unsigned int microseconds)

cdef enum:
    EXIT_PATIENCE_MS = 2000
    WAITS_WITHOUT_PROGRESS = 60  # of 50 ms, before a wait is left to the runtime

cdef pthread_mutex_t gate
cdef bint closing = False        # guarded by gate
cdef unsigned long closing_thread = 0
cdef int inside = 0              # guarded by gate: callbacks in Python or on their way
pthread_mutex_init(&gate, NULL)

cdef dict deliveries = {}        # number -> Delivery
cdef uint64_t last_number = 0
cdef report_call *reports = NULL
cdef set ended = set()           # threads of acl.util.start_thread whose function has returned
cdef bint undelivered = False    # a report was processed without a callback of ours: the runtime left one out


cdef class Channel:
    def __cinit__(self):
        self.waiters = []


@cython.freelist(64)
cdef class Delivery:
    pass


cdef uint64_t expect(Delivery delivery) except 0:
    global last_number
    last_number += 1
    deliveries[last_number] = delivery
    if delivery.channel is not None:
        delivery.channel.pending += 1
    return last_number


cdef int settle(Delivery delivery) except -1:
    """Count a frame as no longer pending, and wake who waits for the last one."""
    cdef Channel channel = delivery.channel
    if channel is None or channel.pending == 0:
        return 0
    channel.pending -= 1
    if channel.pending == 0 and channel.waiters:
        for lock in channel.waiters:
            lock.release()
        channel.waiters = []
    return 0


cdef int forget(uint64_t number) except -1:
    """Drop a delivery that will not happen."""
    cdef Delivery delivery = deliveries.pop(number, None)
    if delivery is not None:
        settle(delivery)
    return 0


cdef uint64_t last_expected() noexcept:
    return last_number


cdef int forget_channel(Channel channel, uint64_t last=0xFFFFFFFFFFFFFFFF) except -1:
    """Drop the deliveries of a channel that were expected up to number `last`."""
    cdef Delivery delivery
    if channel.pending:
        for number in [number for number, delivery in deliveries.items() if delivery.channel is channel]:
            if number <= last:
                forget(number)
    return 0


cdef int forget_all() except -1:
    for number in list(deliveries):
        forget(number)
    return 0


cdef int thread_joined(uint64_t thread) except -1:
    ended.discard(thread)
    return 0


cdef int thread_ended(uint64_t thread) except -1:
    ended.add(thread)
    return 0


cdef void begin_report(report_call *call) noexcept:
    global reports
    call.thread = PyThread_get_thread_ident()
    call.callbacks = 0
    call.depth = 0
    call.stopped = NULL
    call.previous = NULL
    call.next = reports
    if reports != NULL:
        reports.previous = call
    reports = call


cdef int end_report(report_call *call, int code) except -1:
    """Take a call off the list. Raises what a callback of it was stopped by."""
    global reports, undelivered
    cdef object stopped
    if call.previous != NULL:
        call.previous.next = call.next
    else:
        reports = call.next
    if call.next != NULL:
        call.next.previous = call.previous
    if code == 0 and call.callbacks == 0:
        undelivered = True
    if call.stopped != NULL:
        stopped = <object>call.stopped
        Py_DECREF(stopped)
        call.stopped = NULL
        raise stopped
    return 0


cdef report_call *own_report() noexcept:
    """The innermost process_report that this thread is in, or NULL."""
    cdef unsigned long thread = PyThread_get_thread_ident()
    cdef report_call *call = reports
    while call != NULL and call.thread != thread:
        call = call.next
    return call


cdef bint in_callback() noexcept:
    cdef report_call *call = own_report()
    return call != NULL and call.depth > 0


cdef bint gate_enter() noexcept nogil:
    global inside
    cdef bint open_
    pthread_mutex_lock(&gate)
    open_ = not closing or closing_thread == PyThread_get_thread_ident()
    if open_:
        inside += 1
    pthread_mutex_unlock(&gate)
    return open_


cdef void gate_leave() noexcept nogil:
    global inside
    pthread_mutex_lock(&gate)
    inside -= 1
    pthread_mutex_unlock(&gate)


cdef void venc_trampoline(acldvppPicDesc *input, acldvppStreamDesc *output, void *user_data) noexcept nogil:
    if user_data != NULL and gate_enter():
        deliver(input, output, <uint64_t>user_data)
        gate_leave()


cdef void launch_trampoline(void *user_data) noexcept nogil:
    if user_data != NULL and gate_enter():
        deliver(NULL, NULL, <uint64_t>user_data)
        gate_leave()


# With the GIL: this is where the runtime, which knows nothing of Python, reaches the program's callback.
cdef void deliver(acldvppPicDesc *input, acldvppStreamDesc *output, uint64_t number) noexcept with gil:
    cdef report_call *call
    cdef Delivery delivery = deliveries.pop(number, None)
    if delivery is None:
        return
    call = own_report()
    if call != NULL:
        call.callbacks += 1
        call.depth += 1
    try:
        run(delivery, input, output)
    except BaseException as exception:
        # Kept for end_report, which raises it: the runtime's frames are between here and there.
        if call != NULL and call.stopped == NULL and isinstance(exception, (KeyboardInterrupt, SystemExit)):
            Py_INCREF(exception)
            call.stopped = <void *>exception
        else:
            report_unraisable(delivery, exception)
    finally:
        if call != NULL:
            call.depth -= 1
        settle(delivery)


cdef int run(Delivery delivery, acldvppPicDesc *input, acldvppStreamDesc *output) except -1:
    if delivery.channel is None:
        delivery.function(delivery.user_data)
        return 0
    # The output description belongs to the library and lives until the callback returns; so does its handle.
    insert(&stream_descs, output)
    try:
        delivery.function(<uint64_t>input, <uint64_t>output, delivery.user_data)
    finally:
        remove(&stream_descs, <uint64_t>output)
    return 0


# The type of what sys.unraisablehook takes: sys does not name it, and its own hook takes no other.
cdef object unraisable_type = next(kind for kind in tuple.__subclasses__() if kind.__name__ == "UnraisableHookArgs")


cdef void report_unraisable(Delivery delivery, object exception) noexcept:
    """Hand an exception of a callback to sys.unraisablehook, with the channel and the frame in its message.

    One that the hook itself raises ends here (noexcept): the interpreter prints it.
    """
    if delivery.channel is None:
        message = "Exception ignored in a callback of acl.rt.launch_callback"
    else:
        message = (f"Exception ignored in the callback of frame {delivery.frame} of the channel with description "
                   f"{delivery.channel.desc:#x}")
    sys.unraisablehook(
        unraisable_type((type(exception), exception, exception.__traceback__, message, delivery.function)))


cdef object thread_of(uint64_t ident):
    """The threading.Thread of an id; None for a thread that Python's threading does not know."""
    for thread in threading.enumerate():
        if thread.ident == ident:
            return thread
    return None


cdef bint report_thread_is_gone(Channel channel) except -1:
    """Whether the channel's report thread has ended. A thread that was never a Python thread counts as alive."""
    if channel.thread_id in ended:
        return True
    return channel.thread is not None and not channel.thread.is_alive() and thread_of(channel.thread_id) is None


cdef str wait_for_callbacks(Channel channel):
    """Wait, as the runtime would, until no callback of the channel is to come; but wake for Ctrl-C.

    Returns "" when the call can go on, or why it would wait for ever. A callback that the runtime leaves out (no context
    on the report thread) is never counted as run: so this wait gives up, and leaves it to the runtime's own, once one
    was seen to be left out or nothing has been delivered for 3 s.
    """
    cdef uint64_t before = 0
    cdef int stalled = 0
    cdef unsigned long thread = PyThread_get_thread_ident()
    if channel.thread_id == thread:
        if in_callback():
            return "called from inside a callback on the thread that delivers this channel's frames: it would wait for " \
                   "itself. Let the callback return, and call it from another thread"
        if channel.pending:
            return f"{channel.pending} frames of the channel wait for their callback, and this thread is the one that " \
                   "delivers them: call acl.rt.process_report first"
    if not channel.pending:
        return ""
    idle = _thread.allocate_lock()
    idle.acquire()
    channel.waiters.append(idle)
    try:
        while channel.pending and not undelivered and stalled < WAITS_WITHOUT_PROGRESS:
            if closing:
                return f"{channel.pending} frames of the channel wait for their callback, and the interpreter is ending"
            if report_thread_is_gone(channel):
                return f"{channel.pending} frames of the channel wait for their callback, but its report thread has ended"
            stalled = stalled + 1 if channel.pending == before else 0
            before = channel.pending
            idle.acquire(True, 0.05)
            PyErr_CheckSignals()
    finally:
        if idle in channel.waiters:
            channel.waiters.remove(idle)
    return ""


def _close_gate():
    """At exit: let no callback into Python any more, and wait a moment for those that are inside."""
    global closing, closing_thread
    cdef int waited = 0
    cdef int left = 1
    with nogil:
        pthread_mutex_lock(&gate)
        closing = True
        closing_thread = PyThread_get_thread_ident()
        pthread_mutex_unlock(&gate)
        while waited < EXIT_PATIENCE_MS:
            pthread_mutex_lock(&gate)
            left = inside
            pthread_mutex_unlock(&gate)
            if left == 0:
                break
            usleep(1000)
            waited += 1


def _after_fork():
    """In a forked child: callbacks of the parent do not come here, and other threads, with what they locked, are gone."""
    global inside, reports
    cdef unsigned long thread = PyThread_get_thread_ident()
    cdef report_call *call = reports
    cdef report_call *following
    pthread_mutex_init(&gate, NULL)
    inside = 0
    reports = NULL
    while call != NULL:  # keep the calls on this thread's own stack: fork in a callback
        following = call.next
        if call.thread == thread:
            inside += call.depth
            call.next = reports
            call.previous = NULL
            if reports != NULL:
                reports.previous = call
            reports = call
        call = following
    deliveries.clear()
    ended.clear()


atexit.register(_close_gate)
os.register_at_fork(after_in_child=_after_fork)
