# SPDX-License-Identifier: Apache-2.0
# Delivery of callbacks into Python, for acl.media.venc_send_frame and acl.rt.launch_callback.
#
# The runtime calls a trampoline inside acl.rt.process_report, which has released the GIL; the trampoline takes it back for
# the callback. The thread is a Python thread, so its thread state exists already: nothing is allocated for it.
#
# Beside a busy thread each taking of the GIL lasts 5 ms or more, and the runtime is back from a callback in microseconds: it
# tells the device that the access unit is free, or has the next callback ready. So a report thread keeps the GIL from its
# first callback to the end of process_report. That the runtime is that quick is not documented, so it is measured: the
# GIL is kept by a thread whose last PROMPT_REPORTS reports were, behind each callback, and one that was not makes it begin
# anew. Where several threads are in process_report it is given up: one could wait for what the runtime holds around the
# other's callback.
#
# The gate. A callback must not enter Python while the interpreter ends: up to 3.13 its thread would be ended inside
# PyGILState_Ensure, across the runtime's own stack frames; later it would hang there. So an atexit hook closes the gate and
# waits, at most 2 s, for the callbacks that are inside; later ones return at once. Invariant: either the callback sees
# `closing`, or the hook sees it in `inside`: each writes its own word before it reads the other's, in one order for all
# threads. The thread that ends the interpreter may still deliver to itself: it holds what the others can no longer get.
from cpython.pystate cimport PyThreadState

cdef extern from "pythread.h":
    unsigned long PyThread_get_thread_ident() nogil

cdef extern from *:
    """
    #include <time.h>
    static int64_t clock_ns(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    }
    #define ordered_add(word, value) __atomic_fetch_add(word, value, __ATOMIC_SEQ_CST)
    #define ordered_load(word) __atomic_load_n(word, __ATOMIC_SEQ_CST)
    #define ordered_store(word, value) __atomic_store_n(word, value, __ATOMIC_SEQ_CST)
    static __thread void *thread_report; /* report_call: the innermost process_report of this thread */
    static __thread int prompt_reports;  /* of this thread, one after the other, up to PROMPT_REPORTS */
    """
    int64_t clock_ns() nogil
    int ordered_add(int *word, int value) nogil
    int ordered_load(int *word) nogil
    void ordered_store(int *word, int value) nogil
    void *thread_report
    int prompt_reports

cdef extern from "Python.h":
    PyThreadState *PyEval_SaveThread() nogil
    void PyEval_RestoreThread(PyThreadState *state) nogil

cdef enum:
    PROMPT_REPORTS = 8
    PROMPT_NS = 200_000          # from the last callback's end to the runtime's return
    EXIT_PATIENCE_NS = 2_000_000_000
    WAITS_WITHOUT_PROGRESS = 60  # of 50 ms, before a wait is left to the runtime
    WAITS_WHEN_LEFT_OUT = 4      # the same once the runtime was seen to leave a callback of the channel out

cdef int closing = 0             # the gate, by ordered_... only
cdef int inside = 0              # callbacks in Python or on their way
cdef int reporting = 0           # threads in `process`; with the GIL held only
cdef unsigned long closing_thread = 0
cdef object gate_left = _thread.allocate_lock()  # released by each callback that leaves while the gate is closing


# ---- process_report ----------------------------------------------------------------------------------------------------

# One call of process_report, on that call's C stack; `thread_report` is the innermost of each thread.
cdef struct report_call:
    int callbacks             # run so far
    int depth                 # callbacks being run now
    PyObject *stopped         # the KeyboardInterrupt or SystemExit of a callback, owned; NULL
    report_call *outer
    PyThreadState *state      # of the thread while it is in the runtime; NULL
    bint held                 # it has the GIL all the same: a callback has taken it, and kept it
    int64_t left              # when the last callback went back to the runtime, by clock_ns; 0: none came yet
    bint slow                 # the runtime took its time between two callbacks


cdef aclError process(report_call *call, const acl_api *acl, int32_t timeout) noexcept:
    """aclrtProcessReport, with the GIL given up until a callback keeps it."""
    global prompt_reports, reporting
    cdef aclError code
    call.left = 0
    call.slow = False
    reporting += 1
    call.state = PyEval_SaveThread()
    code = acl.aclrtProcessReport(timeout)
    if call.left != 0:
        if call.slow or clock_ns() - call.left > PROMPT_NS:
            prompt_reports = 0
        elif prompt_reports < PROMPT_REPORTS:
            prompt_reports += 1
    if not call.held:
        PyEval_RestoreThread(call.state)  # as the end of a `with nogil` does
    reporting -= 1
    call.held = False
    call.state = NULL
    return code


cdef int end_report(report_call *call, int code) except -1:
    """Raises what a callback of the call was stopped by."""
    global thread_report
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


# ---- the way of a callback ---------------------------------------------------------------------------------------------

cdef void venc_trampoline(acldvppPicDesc *input, acldvppStreamDesc *output, void *user_data) noexcept nogil:
    hand_over(input, output, <uint64_t>user_data)


cdef void launch_trampoline(void *user_data) noexcept nogil:
    hand_over(NULL, NULL, <uint64_t>user_data)


ctypedef void (*delivery_with_gil)(acldvppPicDesc *, acldvppStreamDesc *, uint64_t) noexcept nogil  # hand_over has taken it


cdef void hand_over(acldvppPicDesc *input, acldvppStreamDesc *output, uint64_t number) noexcept nogil:
    cdef report_call *call = <report_call *>thread_report
    if number == 0:
        return
    ordered_add(&inside, 1)  # the gate
    if ordered_load(&closing) and closing_thread != PyThread_get_thread_ident():
        ordered_add(&inside, -1)
        return
    # depth: what this thread's callback called has given the GIL up by itself.
    if call == NULL or call.state == NULL or call.depth != 0:
        deliver(input, output, number)
        return
    if call.left != 0 and clock_ns() - call.left > PROMPT_NS:
        call.slow = True
    if not call.held:
        PyEval_RestoreThread(call.state)  # here, and not in `deliver`, which would give it up at its end
        call.held = True
    (<delivery_with_gil><void *>deliver_held)(input, output, number)
    if prompt_reports < PROMPT_REPORTS or call.slow or reporting != 1:
        PyEval_SaveThread()
        call.held = False
    call.left = clock_ns()


# On a thread that is not in a process_report of ours, or whose callback calls the runtime: it takes the GIL, and gives it up.
cdef void deliver(acldvppPicDesc *input, acldvppStreamDesc *output, uint64_t number) noexcept with gil:
    deliver_held(input, output, number)


# With the GIL: this is where the runtime, which knows nothing of Python, reaches the program's callback.
cdef void deliver_held(acldvppPicDesc *input, acldvppStreamDesc *output, uint64_t number) noexcept:
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
    try:
        settle(taken)
        api()  # strict mode's caller again: what the callback called is over
    finally:
        if call != NULL:
            call.depth -= 1


cdef int run(delivery *taken, acldvppPicDesc *input, acldvppStreamDesc *output) except -1:
    cdef handle_entry *entry
    if taken.channel == NULL:
        (<object>taken.function)(<object>taken.user_data)
        return 0
    (<Channel>taken.channel).left_out = False
    # The output description belongs to the library and lives until the callback returns; so does its handle.
    insert(&stream_descs, output, 0)
    try:
        picture = <object>taken.picture if taken.picture != NULL and taken.input == <uint64_t>input else <uint64_t>input
        (<object>taken.function)(picture, <uint64_t>output, <object>taken.user_data)
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


cdef str wait_for_callbacks(Channel channel):
    """Before a call that waits in the runtime for the channel's callbacks: wait for them here, but wake for Ctrl-C.

    Returns "" when the call can go on, or why it would wait for ever. A callback that the runtime leaves out (no context
    on the report thread) is never counted as run: so this wait gives up, and leaves it to the runtime's own, when nothing
    has been delivered for 3 s, or for 0.2 s after one was seen to be left out.
    """
    cdef uint64_t before = 0
    cdef int stalled = 0
    cdef report_call *call = <report_call *>thread_report
    if not channel.pending:
        return ""  # also in the callback of another channel; this one's own counts until it has returned
    if channel.thread_id == PyThread_get_thread_ident():
        if call != NULL and call.depth > 0:
            return "called from inside a callback on the thread that delivers this channel's frames: it would wait for " \
                   "itself. Let the callback return, and call it from another thread"
        return f"{channel.pending} frames of the channel wait for their callback, and this thread is the one that " \
               "delivers them: call acl.rt.process_report first"
    while channel.pending and stalled < (WAITS_WHEN_LEFT_OUT if channel.left_out else WAITS_WITHOUT_PROGRESS):
        if ordered_load(&closing):
            return f"{channel.pending} frames of the channel wait for their callback, and the interpreter is ending"
        if report_thread_is_gone(channel):
            return f"{channel.pending} frames of the channel wait for their callback, but its report thread has ended"
        stalled = stalled + 1 if channel.pending == before else 0
        before = channel.pending
        wait_once(channel)
    return ""


# ---- the end of the process, and fork ------------------------------------------------------------------------------------

def _close_gate():
    """At exit: let no callback into Python any more, and wait a moment for those that are inside."""
    global closing_thread
    closing_thread = PyThread_get_thread_ident()
    gate_left.acquire(False)
    deadline = clock_ns() + EXIT_PATIENCE_NS
    ordered_store(&closing, 1)
    while ordered_load(&inside) != 0 and gate_left.acquire(True, max(0, deadline - clock_ns()) * 1e-9):
        pass


cdef int forget_reports() except -1:
    """In a forked child: callbacks of the parent do not come here, and its other threads are gone."""
    global main_thread, reporting
    cdef report_call *call = <report_call *>thread_report
    cdef int depth = 0
    reporting = 0
    while call != NULL:  # those that this thread itself is in: fork in a callback
        depth += call.depth
        reporting += call.state != NULL
        call = call.outer
    ordered_store(&inside, depth)
    forget_deliveries(None)
    main_thread = PyThread_get_thread_ident()
    return 0
