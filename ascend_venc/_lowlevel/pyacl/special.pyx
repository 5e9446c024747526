# SPDX-License-Identifier: Apache-2.0
# What stands in `acl` itself, and the functions of acl.rt that do more than call AscendCL.
from libc.string cimport memset
from posix.time cimport nanosleep, timespec

cdef enum:
    SLICE_MS = 50  # the longest that Ctrl-C waits in a call that waits
    FINALIZE_MS = 30 * 1000  # for the engine's own aclFinalize before acl.init

cdef timespec unsubscribed_pause = timespec(0, 500 * 1000)
cdef bint initialised = False    # by acl.init, and not finalised since
cdef dict device_users = {}      # device -> set_device calls that no reset_device has undone
cdef unsigned long main_thread = threading.main_thread().ident  # where Python's signal handlers run


# ---- waiting -----------------------------------------------------------------------------------------------------------
#
# A call that waits up to a time. Nothing wakes a thread out of it, so on the main thread, where Python's signal handlers
# run, it waits in slices; the others wait in one.

cdef struct timed_wait:
    int32_t slice_ms  # of the next call
    int32_t left_ms   # behind that; -1: no end
    bint sliced
    int64_t began     # the call, by clock_ns; for goes_on


cdef inline void begin_timed(timed_wait *waiting, int32_t timeout) noexcept:
    waiting.sliced = (timeout == -1 or timeout > SLICE_MS) and PyThread_get_thread_ident() == main_thread
    waiting.slice_ms = SLICE_MS if waiting.sliced else timeout
    waiting.left_ms = timeout - SLICE_MS if waiting.sliced and timeout > 0 else timeout


cdef bint next_slice(timed_wait *waiting) except -1:
    """Whether to call again, behind a slice in which nothing came; handlers of signals have run then."""
    if not waiting.sliced or waiting.left_ms == 0:
        return False
    PyErr_CheckSignals()
    if waiting.left_ms > 0:
        waiting.slice_ms = min(SLICE_MS, waiting.left_ms)
        waiting.left_ms -= waiting.slice_ms
    return True


# ---- acl ---------------------------------------------------------------------------------------------------------------

cdef object acl_init(PyObject *self, PyObject **args, Py_ssize_t given):
    global initialised
    cdef facade_call call = facade_call(b"acl.init", args, given)
    cdef bytes path = None
    cdef const char *c_path = NULL
    cdef aclError code
    if given > 1 or (given == 1 and (not isinstance(<object>args[0], str) or "\0" in <object>args[0])):
        refuse(b"acl.init args parse failed")
    if given == 1:
        path = (<object>args[0]).encode()
        c_path = path
    cdef const acl_api *acl = api()
    cdef avenc_library *library = default_library()
    cdef avenc_wait wait = avenc_wait_for(FINALIZE_MS)
    with nogil:
        # Looking for devices may have needed the engine's own aclInit: this one takes its place, with this path.
        if not initialised:
            avenc_library_finalize(library, &wait)
        code = acl.aclInit(c_path)
    if code == ACL_SUCCESS:
        initialised = True
    return status(call, code)


cdef int finalised() except -1:
    """Nothing reports any more."""
    global initialised
    initialised = False
    return forget_deliveries(None)


cdef object acl_finalize(facade_call call, const acl_api *acl):
    cdef aclError code
    with nogil:
        code = acl.aclFinalize()
    if code == ACL_SUCCESS:
        finalised()
    return status(call, code)


cdef object acl_finalize_reference(facade_call call, const acl_api *acl):
    cdef uint64_t references = 0
    cdef aclError code
    if acl.aclFinalizeReference == NULL:
        return 0, unsupported(call)
    with nogil:
        code = acl.aclFinalizeReference(&references)
    if code == ACL_SUCCESS and references == 0:
        finalised()
    return references, status(call, code)


cdef str chip_name():
    """The chip, for what looks it up; "" if the runtime cannot tell."""
    cdef const char *name = NULL
    if loaded_api.aclrtGetSocName != NULL:
        name = loaded_api.aclrtGetSocName()
    return "" if name == NULL else (<bytes>name).decode("ascii", "replace")


cdef object acl_get_soc_name(facade_call call, const acl_api *acl):
    cdef const char *name = NULL
    if acl.aclrtGetSocName != NULL:
        with nogil:
            name = acl.aclrtGetSocName()
    return None if name == NULL else (<bytes>name).decode("utf-8", "replace")


cdef object acl_get_recent_err_msg(PyObject *self, PyObject **args, Py_ssize_t given):
    cdef const char *text = NULL
    message = getattr(failures, "text", None)
    failures.text = None
    if message is None and loaded_api != NULL and loaded_api.aclGetRecentErrMsg != NULL:
        text = loaded_api.aclGetRecentErrMsg()
        if text != NULL:
            message = (<bytes>text).decode("utf-8", "replace")
    return message


ctypedef void (*app_log_function)(
    int32_t level, const char *function, const char *file, uint32_t line, const char *format, ...) noexcept nogil


cdef object acl_app_log(PyObject *self, PyObject **args, Py_ssize_t given):
    cdef int32_t level = 0
    cdef app_log_function app_log
    if given != 2 or not as_int32(args[0], &level) or not isinstance(<object>args[1], str) or "\0" in <object>args[1]:
        refuse(b"acl.app_log args parse failed")
    api()
    app_log = <app_log_function>default_symbol(b"aclAppLog")
    if app_log != NULL:
        frame = sys._getframe(0)
        file = frame.f_code.co_filename.encode("utf-8", "replace")
        function = frame.f_code.co_name.encode("utf-8", "replace")
        text = (<object>args[1]).encode("utf-8", "replace")
        app_log(level, <const char *><bytes>function, <const char *><bytes>file, frame.f_lineno, b"%s",
                <const char *><bytes>text)
    return None


# ---- devices and contexts ------------------------------------------------------------------------------------------------

cdef object rt_set_device(facade_call call, const acl_api *acl, int32_t device):
    cdef aclError code
    with nogil:
        code = acl.aclrtSetDevice(device)
    if code == ACL_SUCCESS:
        device_users[device] = device_users.get(device, 0) + 1
    return status(call, code)


cdef object rt_reset_device(facade_call call, const acl_api *acl, int32_t device, bint force=False):
    cdef aclError code
    if force and acl.aclrtResetDeviceForce == NULL:
        return unsupported(call)
    with nogil:
        code = acl.aclrtResetDeviceForce(device) if force else acl.aclrtResetDevice(device)
    if code == ACL_SUCCESS:
        users = 0 if force else device_users.get(device, 1) - 1
        device_users[device] = max(users, 0)
        if users <= 0:
            remove_device(device, force)
    return status(call, code)


cdef object rt_reset_device_force(facade_call call, const acl_api *acl, int32_t device):
    return rt_reset_device(call, acl, device, True)


cdef int32_t current_device(const acl_api *acl) noexcept:
    cdef int32_t device = -1
    return device if acl.aclrtGetDevice(&device) == ACL_SUCCESS else -1


cdef bint in_own_context(const acl_api *acl) noexcept:
    """Whether this thread's context is one of create_context."""
    cdef aclrtContext context = NULL
    cdef handle_entry *entry
    if acl.aclrtGetCurrentContext(&context) != ACL_SUCCESS:
        return False
    entry = find(&contexts, <uint64_t>context)
    return entry != NULL and entry.own_context


cdef object rt_get_context(facade_call call, const acl_api *acl):
    cdef aclrtContext context = NULL
    cdef aclError code = acl.aclrtGetCurrentContext(&context)
    # The default context of set_device, or one made outside Python. One that is known is not made alive again: it may
    # have been destroyed while another thread's call uses it.
    if code == ACL_SUCCESS and find(&contexts, <uint64_t>context) == NULL:
        insert(&contexts, context, current_device(acl))
    return <uint64_t>context, status(call, code)


# ---- reports -------------------------------------------------------------------------------------------------------------

cdef object rt_launch_callback(facade_call call, const acl_api *acl, int32_t block, uint64_t stream):
    cdef uint64_t number
    cdef aclError code
    reserve_delivery()
    if stream != 0 and not pin(&streams, stream):
        return stale(call, &streams, stream)
    number = expect(<object>call.args[0], <object>call.args[1], None)
    with nogil:
        code = acl.aclrtLaunchCallback(launch_trampoline, <void *>number, block, <aclrtStream>stream)
    unpin(&streams, stream)
    if code != ACL_SUCCESS:
        forget(number)
    return status(call, code)


cdef object rt_process_report(facade_call call, const acl_api *acl, int32_t timeout):
    global thread_report
    cdef aclError last, code = ACL_ERROR_RT_REPORT_TIMEOUT
    cdef report_call report
    cdef timed_wait waiting
    memset(&report, 0, sizeof(report))
    report.outer = <report_call *>thread_report
    thread_report = &report
    begin_timed(&waiting, timeout)
    try:
        while True:
            last = process(&report, acl, waiting.slice_ms)
            if waiting.sliced:
                PyErr_CheckSignals()
            if last != ACL_ERROR_RT_REPORT_TIMEOUT or not next_slice(&waiting):
                break
        code = last
    finally:
        end_report(&report, code)
    if code == ACL_ERROR_RT_REPORT_TIMEOUT or code == ACL_ERROR_RT_THREAD_SUBSCRIBE:
        # What a report loop meets all the time is not kept as the thread's last failure; nor is the runtime's text.
        if acl.aclGetRecentErrMsg != NULL:
            acl.aclGetRecentErrMsg()
        if code == ACL_ERROR_RT_THREAD_SUBSCRIBE:
            # Loops start before their channel exists. The runtime returns at once, so that such a loop would hold the GIL
            # nearly always, and the thread that creates the channel would win it 5 ms late at each of its calls.
            with nogil:
                nanosleep(&unsubscribed_pause, NULL)
        return code
    return status(call, code)
