# SPDX-License-Identifier: Apache-2.0
# Delivery of callbacks into Python, for acl.media.venc_send_frame and acl.rt.launch_callback.
#
# The runtime calls a trampoline inside acl.rt.process_report, which has released the GIL; the trampoline takes it back once
# for each callback. The thread is a Python thread, so its thread state exists already: nothing is allocated for it.
#
# What the runtime is given as user data is a number, not a pointer: place and generation in a table of deliveries, whose
# entry is taken out when its callback comes. So a callback that comes twice, late, or after its channel was destroyed
# finds nothing and does nothing.
#
# The gate. A callback must not enter Python while the interpreter ends: up to 3.13 its thread would be ended inside
# PyGILState_Ensure, across the runtime's own stack frames; later it would hang there. So an atexit hook closes the gate and
# waits, at most 2 s, for the callbacks that are inside; later ones return at once. Invariant: either the callback sees
# `closing`, or the hook sees it in `inside`: each writes its own word before it reads the other's, in one order for all
# threads. The thread that ends the interpreter may still deliver to itself: it holds what the others can no longer get.
from cpython.exc cimport PyErr_CheckSignals
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdlib cimport realloc

cdef extern from "pythread.h":
    unsigned long PyThread_get_thread_ident() nogil

cdef extern from *:
    """
    #define ordered_add(word, value) __atomic_fetch_add(word, value, __ATOMIC_SEQ_CST)
    #define ordered_load(word) __atomic_load_n(word, __ATOMIC_SEQ_CST)
    #define ordered_store(word, value) __atomic_store_n(word, value, __ATOMIC_SEQ_CST)
    static __thread void *thread_report; /* report_call: the innermost process_report of this thread */
    """
    int ordered_add(int *word, int value) nogil
    int ordered_load(int *word) nogil
    void ordered_store(int *word, int value) nogil
    void *thread_report

cdef enum:
    EXIT_PATIENCE_S = 2
    WAITS_WITHOUT_PROGRESS = 60  # of 50 ms, before a wait is left to the runtime
    WAITS_WHEN_LEFT_OUT = 4      # the same once the runtime was seen to leave a callback of the channel out

cdef int closing = 0             # the gate, by ordered_... only
cdef int inside = 0              # callbacks in Python or on their way
cdef unsigned long closing_thread = 0
cdef object gate_left = _thread.allocate_lock()  # released by each callback that leaves while the gate is closing
cdef set ended = set()           # threads of acl.util.start_thread whose function has returned, until they are joined
cdef dict channels = {}          # handle of a channel description -> Channel


@cython.internal
@cython.auto_pickle(False)
cdef class Channel:
    """What the facade knows of an encoder channel description."""
    cdef uint64_t desc        # the handle
    cdef object callback      # for the next frame; None: not set
    cdef bint created         # venc_create_channel succeeded, venc_destroy_channel has not
    cdef bint destroying      # a thread is in venc_destroy_channel
    cdef bint left_out        # a report was processed on its thread that ran no callback of ours, and none came since
    cdef int users            # threads in venc_send_frame or venc_create_channel
    cdef uint64_t thread_id   # whose process_report delivers, as set when the channel was created
    cdef object thread        # its threading.Thread, None if it has none
    cdef uint64_t accepted    # frames sent so far
    cdef uint64_t pending     # of these, not delivered yet
    cdef list waiters         # locks, released when pending or users reaches 0

    def __cinit__(self):
        self.waiters = []


# ---- deliveries --------------------------------------------------------------------------------------------------------

# One callback to come: a frame of a channel, or a launched function. Owns its references until it has run.
cdef struct delivery:
    uint64_t number       # generation << 32 | place in the table + 1; what the runtime is given
    uint64_t sequence     # in the order in which they were expected; 0: the place is free
    uint64_t returned     # in the order in which their sends came back; 0: its thread is inside the runtime
    uint64_t frame        # number of the frame in its channel
    PyObject *function
    PyObject *user_data
    PyObject *channel     # NULL: launched by acl.rt.launch_callback
    uint32_t next_free    # place + 1; 0: none

cdef delivery *deliveries = NULL
cdef uint32_t deliveries_size = 0
cdef uint32_t first_free = 0     # place + 1; 0: none
cdef uint64_t last_sequence = 0
cdef uint64_t last_returned = 0


cdef int grow_deliveries() except -1:
    global deliveries, deliveries_size, first_free
    cdef uint32_t size = 64 if deliveries_size == 0 else 2 * deliveries_size
    cdef delivery *grown = <delivery *>realloc(deliveries, size * sizeof(delivery))
    cdef uint32_t i
    if grown == NULL:
        raise MemoryError()
    for i in range(deliveries_size, size):
        grown[i].number = i + 1
        grown[i].sequence = 0
        grown[i].next_free = i + 2 if i + 1 < size else first_free
    first_free = deliveries_size + 1
    deliveries = grown
    deliveries_size = size
    return 0


cdef inline int reserve_delivery() except -1:
    """Room for one more, so that `expect` cannot fail before the GIL is given up."""
    return grow_deliveries() if first_free == 0 else 0


cdef uint64_t expect(object function, object user_data, Channel channel) except 0:
    """Enter a callback that is to come. Returns its number."""
    global first_free, last_sequence
    cdef delivery *entry
    reserve_delivery()
    entry = &deliveries[first_free - 1]
    first_free = entry.next_free
    last_sequence += 1
    entry.number += <uint64_t>1 << 32  # never 0, and no number comes again in 2**32 uses of its place
    entry.sequence = last_sequence
    entry.returned = 0
    Py_INCREF(function)
    Py_INCREF(user_data)
    entry.function = <PyObject *>function
    entry.user_data = <PyObject *>user_data
    entry.channel = NULL
    if channel is not None:
        Py_INCREF(channel)
        entry.channel = <PyObject *>channel
        entry.frame = channel.accepted
        channel.accepted += 1
        channel.pending += 1
    return entry.number


cdef void has_returned(uint64_t number) noexcept:
    """The call that was given this number has come back with success."""
    global last_returned
    cdef uint32_t i = <uint32_t>number - 1
    last_returned += 1
    if i < deliveries_size and deliveries[i].number == number:  # else its callback has come
        deliveries[i].returned = last_returned


cdef bint take(uint64_t number, delivery *taken) noexcept:
    """Take a delivery out of the table, with its references; False if it is not there (any more)."""
    global first_free
    cdef uint32_t i = <uint32_t>number - 1
    if i >= deliveries_size or deliveries[i].number != number or deliveries[i].sequence == 0:
        return False
    taken[0] = deliveries[i]
    deliveries[i].sequence = 0
    deliveries[i].next_free = first_free
    first_free = i + 1
    return True


cdef int wake(Channel channel) except -1:
    waiters, channel.waiters = channel.waiters, []
    for lock in waiters:
        lock.release()
    return 0


cdef int leave(Channel channel) except -1:
    """A thread has left the channel's call of the runtime."""
    channel.users -= 1
    if channel.users == 0 and channel.waiters:
        wake(channel)
    return 0


cdef int wait_once(Channel channel, object lock) except -1:
    """Wait until pending or users reaches 0, or for 50 ms: the runtime may leave callbacks out. Raises for Ctrl-C."""
    if lock not in channel.waiters:
        channel.waiters.append(lock)
    try:
        lock.acquire(True, 0.05)
        PyErr_CheckSignals()
    finally:
        if lock in channel.waiters:
            channel.waiters.remove(lock)
    return 0


cdef int settle(delivery *taken) except -1:
    """Count a delivery as done: wake who waits for the channel's last one, and drop the references."""
    cdef Channel channel
    if taken.channel != NULL:
        channel = <Channel>taken.channel
        Py_DECREF(channel)
        if channel.pending > 0:
            channel.pending -= 1
        if channel.pending == 0 and channel.waiters:
            wake(channel)
    Py_DECREF(<object>taken.function)
    Py_DECREF(<object>taken.user_data)
    return 0


cdef int forget(uint64_t number) except -1:
    """Drop a delivery that will not happen."""
    cdef delivery taken
    if take(number, &taken):
        settle(&taken)
    return 0


cdef int forget_deliveries(Channel channel, uint64_t last=0xFFFFFFFFFFFFFFFF) except -1:
    """Drop the deliveries of a channel (None: all there are); those of sends up to the one that came back as `last`, or
    all of them."""
    cdef uint32_t i = 0
    if channel is not None and channel.pending == 0:
        return 0
    while i < deliveries_size:  # dropping a reference may run Python code, which may send
        if deliveries[i].sequence and (last == 0xFFFFFFFFFFFFFFFF or 0 < deliveries[i].returned <= last) and (
                channel is None or deliveries[i].channel == <PyObject *>channel):
            forget(deliveries[i].number)
        i += 1
    return 0


# ---- process_report ----------------------------------------------------------------------------------------------------

# One call of process_report, on that call's C stack; `thread_report` is the innermost of each thread.
cdef struct report_call:
    int callbacks             # run so far
    int depth                 # callbacks being run now
    PyObject *stopped         # the KeyboardInterrupt or SystemExit of a callback, owned; NULL
    report_call *outer


cdef void begin_report(report_call *call) noexcept:
    global thread_report
    call.callbacks = 0
    call.depth = 0
    call.stopped = NULL
    call.outer = <report_call *>thread_report
    thread_report = call


cdef int end_report(report_call *call, int code) except -1:
    """Raises what a callback of the call was stopped by."""
    global thread_report
    cdef object stopped
    cdef unsigned long thread
    cdef Channel channel
    thread_report = call.outer
    if code == ACL_SUCCESS and call.callbacks == 0:
        thread = PyThread_get_thread_ident()
        for channel in channels.values():
            if channel.pending and channel.thread_id == thread:
                channel.left_out = True
    if call.stopped != NULL:
        stopped = <object>call.stopped
        Py_DECREF(stopped)
        raise stopped
    return 0


cdef bint in_callback() noexcept:
    cdef report_call *call = <report_call *>thread_report
    return call != NULL and call.depth > 0


# ---- the way of a callback ---------------------------------------------------------------------------------------------

cdef bint gate_enter() noexcept nogil:
    ordered_add(&inside, 1)
    if ordered_load(&closing) and closing_thread != PyThread_get_thread_ident():
        ordered_add(&inside, -1)
        return False
    return True


cdef void venc_trampoline(acldvppPicDesc *input, acldvppStreamDesc *output, void *user_data) noexcept nogil:
    if user_data != NULL and gate_enter():
        deliver(input, output, <uint64_t>user_data)


cdef void launch_trampoline(void *user_data) noexcept nogil:
    if user_data != NULL and gate_enter():
        deliver(NULL, NULL, <uint64_t>user_data)


# With the GIL: this is where the runtime, which knows nothing of Python, reaches the program's callback.
cdef void deliver(acldvppPicDesc *input, acldvppStreamDesc *output, uint64_t number) noexcept with gil:
    cdef delivery taken
    if take(number, &taken):
        call_back(&taken, input, output)
    ordered_add(&inside, -1)  # the GIL, which is still held, keeps the interpreter's end away until it is given up
    if ordered_load(&closing) and gate_left.locked():
        gate_left.release()


cdef void call_back(delivery *taken, acldvppPicDesc *input, acldvppStreamDesc *output) noexcept:
    cdef report_call *call = <report_call *>thread_report
    if call != NULL:
        call.callbacks += 1
        call.depth += 1
    try:
        run(taken, input, output)
    except BaseException as exception:
        # Kept for end_report, which raises it: the runtime's frames are between here and there.
        if call != NULL and call.stopped == NULL and isinstance(exception, (KeyboardInterrupt, SystemExit)):
            Py_INCREF(exception)
            call.stopped = <PyObject *>exception
        else:
            report_unraisable(taken, exception)
    if call != NULL:
        call.depth -= 1
    settle(taken)
    note_caller()  # what the callback called is over


cdef int run(delivery *taken, acldvppPicDesc *input, acldvppStreamDesc *output) except -1:
    cdef handle_entry *entry
    if taken.channel == NULL:
        (<object>taken.function)(<object>taken.user_data)
        return 0
    (<Channel>taken.channel).left_out = False
    # The output description belongs to the library and lives until the callback returns; so does its handle.
    insert(&stream_descs, output, 0)
    try:
        (<object>taken.function)(<uint64_t>input, <uint64_t>output, <object>taken.user_data)
    finally:
        entry = find(&stream_descs, <uint64_t>output)
        if entry != NULL:
            erase(&stream_descs, entry)
    return 0


# The type of what sys.unraisablehook takes: sys does not name it, and its own hook takes no other.
cdef object unraisable_type = next(kind for kind in tuple.__subclasses__() if kind.__name__ == "UnraisableHookArgs")


cdef void report_unraisable(delivery *taken, object exception) noexcept:
    """Hand an exception of a callback to sys.unraisablehook, with the channel and the frame in its message.

    One that the hook itself raises ends here (noexcept): the interpreter prints it.
    """
    if taken.channel == NULL:
        message = "Exception ignored in a callback of acl.rt.launch_callback"
    else:
        message = (f"Exception ignored in the callback of frame {taken.frame} of the channel with description "
                   f"{(<Channel>taken.channel).desc:#x}")
    sys.unraisablehook(
        unraisable_type((type(exception), exception, exception.__traceback__, message, <object>taken.function)))


# ---- waiting for callbacks ---------------------------------------------------------------------------------------------

cdef object thread_of(uint64_t ident):
    """The threading.Thread of an id; None for a thread that Python's threading does not know."""
    for thread in threading.enumerate():
        if thread.ident == ident:
            return thread
    return None


cdef bint report_thread_is_gone(Channel channel) except -1:
    """Whether the channel's report thread has ended. A thread that was never a Python thread counts as alive.

    A thread that acl.util.start_thread made delivers nothing more once its function has returned; its id is not given out
    anew before it is joined.
    """
    if channel.thread_id in ended:
        return True
    return channel.thread is not None and not channel.thread.is_alive() and thread_of(channel.thread_id) is None


cdef str wait_for_callbacks(Channel channel):
    """Before a call that waits in the runtime for the channel's callbacks: wait for them here, but wake for Ctrl-C.

    Returns "" when the call can go on, or why it would wait for ever. A callback that the runtime leaves out (no context
    on the report thread) is never counted as run: so this wait gives up, and leaves it to the runtime's own, when nothing
    has been delivered for 3 s, or for 0.2 s after one was seen to be left out.
    """
    cdef uint64_t before = 0
    cdef int stalled = 0
    cdef unsigned long thread = PyThread_get_thread_ident()
    if not channel.pending:
        return ""  # also in the callback of another channel; this one's own counts until it has returned
    if channel.thread_id == thread:
        if in_callback():
            return "called from inside a callback on the thread that delivers this channel's frames: it would wait for " \
                   "itself. Let the callback return, and call it from another thread"
        return f"{channel.pending} frames of the channel wait for their callback, and this thread is the one that " \
               "delivers them: call acl.rt.process_report first"
    idle = _thread.allocate_lock()
    idle.acquire()
    while channel.pending and stalled < (WAITS_WHEN_LEFT_OUT if channel.left_out else WAITS_WITHOUT_PROGRESS):
        if ordered_load(&closing):
            return f"{channel.pending} frames of the channel wait for their callback, and the interpreter is ending"
        if report_thread_is_gone(channel):
            return f"{channel.pending} frames of the channel wait for their callback, but its report thread has ended"
        stalled = stalled + 1 if channel.pending == before else 0
        before = channel.pending
        wait_once(channel, idle)
    return ""


cdef int wait_for_users(Channel channel) except -1:
    """Wait until no thread is inside a call of the runtime for the channel; each ends when the device took its frame."""
    if channel.users:
        idle = _thread.allocate_lock()
        idle.acquire()
        while channel.users:
            wait_once(channel, idle)
    return 0


# ---- the end of the process, and fork ------------------------------------------------------------------------------------

def _close_gate():
    """At exit: let no callback into Python any more, and wait a moment for those that are inside."""
    global closing_thread
    closing_thread = PyThread_get_thread_ident()
    gate_left.acquire(False)
    deadline = time.monotonic() + EXIT_PATIENCE_S
    ordered_store(&closing, 1)
    while ordered_load(&inside) != 0 and gate_left.acquire(True, max(0.0, deadline - time.monotonic())):
        pass


cdef int forget_reports() except -1:
    """In a forked child: callbacks of the parent do not come here, and its other threads are gone."""
    global main_thread
    cdef report_call *call = <report_call *>thread_report
    cdef int depth = 0
    while call != NULL:  # those that this thread itself is in: fork in a callback
        depth += call.depth
        call = call.outer
    ordered_store(&inside, depth)
    forget_deliveries(None)
    ended.clear()
    main_thread = PyThread_get_thread_ident()
    return 0
