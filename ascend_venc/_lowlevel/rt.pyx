# SPDX-License-Identifier: Apache-2.0
"""acl.rt: devices, contexts, streams, events, memory and callback reports of the runtime.

Functions take positional arguments only and return AscendCL's code `ret` (0 is success), alone or as the last element of
a tuple. Handles and addresses are ints, 0 for NULL. A handle that is not alive gives 100000. The GIL is released in every
call that may block or copies. Addresses given to memcpy and memset are not checked: a wrong one ends the process.
"""
from cpython.exc cimport PyErr_CheckSignals
from cpython.object cimport PyCallable_Check, PyObject
from libc.stdint cimport int32_t, uint32_t, uint64_t

from .cavenc cimport *
from .fastcall cimport *
from .handles cimport *
from .report cimport *

cdef extern from "pythread.h":
    unsigned long PyThread_get_thread_ident()

cdef extern from "unistd.h" nogil:
    int usleep(unsigned int microseconds)

cdef object threading  # a C variable, like every name here that is not pyACL's: dir(acl.rt) shows pyACL's names only
import threading

cdef enum:
    SLICE_MS = 50  # the longest that Ctrl-C waits in process_report

cdef PyMethodDef _slots[48]
cdef int _slots_used = 0
cdef dict _device_users = {}  # device -> set_device calls that no reset_device has undone


cdef int _export(const char *name, fastcall function, const char *doc) except -1:
    global _slots_used
    export(globals(), &_slots[_slots_used], name, function, doc)
    _slots_used += 1
    return 0


# ---- devices ---------------------------------------------------------------------------------------------------------

cdef object set_device(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef int32_t device = 0
    cdef aclError code
    if count != 1 or not as_int32(args[0], &device):
        raise TypeError("acl.rt.set_device args parse failed")
    cdef const acl_api *acl = api()
    with nogil:
        code = acl.aclrtSetDevice(device)
    if code == ACL_SUCCESS:
        _device_users[device] = _device_users.get(device, 0) + 1
    return status(code, b"acl.rt.set_device", args, count)

_export(b"set_device", set_device,
        b"set_device(device_id, /)\n--\n\n"
        b"Use a device on this thread: makes its default context current. Returns ret. Wraps aclrtSetDevice.")


cdef object _reset(const char *call, bint force, PyObject **args, Py_ssize_t count):
    cdef int32_t device = 0
    cdef aclError code
    if count != 1 or not as_int32(args[0], &device):
        raise TypeError((<bytes>call).decode() + " args parse failed")
    cdef const acl_api *acl = api()
    if force and acl.aclrtResetDeviceForce == NULL:
        return unsupported(call, args, count)
    with nogil:
        code = acl.aclrtResetDeviceForce(device) if force else acl.aclrtResetDevice(device)
    if code == ACL_SUCCESS:
        users = 0 if force else _device_users.get(device, 1) - 1
        _device_users[device] = max(users, 0)
        if users <= 0:
            remove_device(device)
    return status(code, call, args, count)


cdef object reset_device(PyObject *self, PyObject **args, Py_ssize_t count):
    return _reset(b"acl.rt.reset_device", False, args, count)

_export(b"reset_device", reset_device,
        b"reset_device(device_id, /)\n--\n\n"
        b"Release a device; the last release ends its contexts, streams and events. Returns ret. Wraps aclrtResetDevice.")


cdef object reset_device_force(PyObject *self, PyObject **args, Py_ssize_t count):
    return _reset(b"acl.rt.reset_device_force", True, args, count)

_export(b"reset_device_force", reset_device_force,
        b"reset_device_force(device_id, /)\n--\n\n"
        b"Release a device however often it was set. Returns ret. Wraps aclrtResetDeviceForce (newer runtimes).")


cdef object get_device(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef int32_t device = 0
    cdef aclError code = api().aclrtGetDevice(&device)
    return device, status(code, b"acl.rt.get_device", args, count)

_export(b"get_device", get_device,
        b"get_device(*args)\n--\n\n"
        b"Tell the device of this thread's context. Returns (device_id, ret). Wraps aclrtGetDevice.")


cdef object get_device_count(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef uint32_t devices = 0
    cdef aclError code
    cdef const acl_api *acl = api()
    with nogil:
        code = acl.aclrtGetDeviceCount(&devices)
    return devices, status(code, b"acl.rt.get_device_count", args, count)

_export(b"get_device_count", get_device_count,
        b"get_device_count(*args)\n--\n\nCount the devices. Returns (count, ret). Wraps aclrtGetDeviceCount.")


cdef object get_run_mode(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef aclrtRunMode mode = 0
    cdef aclError code = api().aclrtGetRunMode(&mode)
    return mode, status(code, b"acl.rt.get_run_mode", args, count)

_export(b"get_run_mode", get_run_mode,
        b"get_run_mode(*args)\n--\n\n"
        b"Tell where this program runs: 0 on the device's own CPU, 1 on a host across PCIe. Returns (run_mode, ret). "
        b"Wraps aclrtGetRunMode.")


cdef object get_mem_info(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef int32_t attribute = 0
    cdef size_t free_bytes = 0, total_bytes = 0
    cdef aclError code
    if count != 1 or not as_int32(args[0], &attribute):
        raise TypeError("acl.rt.get_mem_info args parse failed")
    cdef const acl_api *acl = api()
    with nogil:
        code = acl.aclrtGetMemInfo(attribute, &free_bytes, &total_bytes)
    return free_bytes, total_bytes, status(code, b"acl.rt.get_mem_info", args, count)

_export(b"get_mem_info", get_mem_info,
        b"get_mem_info(attr, /)\n--\n\n"
        b"Tell how much device memory of a kind (0 DDR, 1 HBM, ...) is free. Returns (free, total, ret), in bytes. "
        b"Wraps aclrtGetMemInfo.")


# ---- contexts --------------------------------------------------------------------------------------------------------

cdef int32_t _current_device(const acl_api *acl) noexcept:
    cdef int32_t device = -1
    return device if acl.aclrtGetDevice(&device) == ACL_SUCCESS else -1


cdef object create_context(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef int32_t device = 0
    cdef aclrtContext context = NULL
    cdef aclError code
    if count != 1 or not as_int32(args[0], &device):
        raise TypeError("acl.rt.create_context args parse failed")
    cdef const acl_api *acl = api()
    reserve(&contexts)
    with nogil:
        code = acl.aclrtCreateContext(&context, device)
    if code == ACL_SUCCESS:
        insert(&contexts, context, device)
    return <uint64_t>context, status(code, b"acl.rt.create_context", args, count)

_export(b"create_context", create_context,
        b"create_context(device_id, /)\n--\n\n"
        b"Create a context and make it current on this thread. Returns (context, ret). Wraps aclrtCreateContext.")


cdef object destroy_context(PyObject *self, PyObject **args, Py_ssize_t count):
    return destroy_handle(b"acl.rt.destroy_context", b"acl.rt.destroy_context args parse failed", &contexts,
                          <destructor>api().aclrtDestroyContext, args, count)

_export(b"destroy_context", destroy_context,
        b"destroy_context(context, /)\n--\n\n"
        b"Destroy a context of create_context. Returns ret. Wraps aclrtDestroyContext.")


cdef object set_context(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef uint64_t context = 0
    cdef aclError code
    if count != 1 or not as_uint64(args[0], &context):
        raise TypeError("acl.rt.set_context args parse failed")
    cdef const acl_api *acl = api()
    if not is_live_or_null(&contexts, context):
        return stale(b"acl.rt.set_context", &contexts, context, args, count)
    with nogil:
        code = acl.aclrtSetCurrentContext(<aclrtContext>context)
    return status(code, b"acl.rt.set_context", args, count)

_export(b"set_context", set_context,
        b"set_context(context, /)\n--\n\n"
        b"Make a context current on this thread. Returns ret. Wraps aclrtSetCurrentContext.")


cdef object get_context(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef aclrtContext context = NULL
    cdef const acl_api *acl = api()
    cdef aclError code = acl.aclrtGetCurrentContext(&context)
    if code == ACL_SUCCESS and not is_live(&contexts, <uint64_t>context):
        insert(&contexts, context, _current_device(acl))  # the default context of set_device, or made outside Python
    return <uint64_t>context, status(code, b"acl.rt.get_context", args, count)

_export(b"get_context", get_context,
        b"get_context(*args)\n--\n\n"
        b"Tell this thread's current context. Returns (context, ret). Wraps aclrtGetCurrentContext.")


# ---- streams ---------------------------------------------------------------------------------------------------------

cdef object create_stream(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef aclrtStream stream = NULL
    cdef aclError code
    cdef const acl_api *acl = api()
    reserve(&streams)
    with nogil:
        code = acl.aclrtCreateStream(&stream)
    if code == ACL_SUCCESS:
        insert(&streams, stream, _current_device(acl))
    return <uint64_t>stream, status(code, b"acl.rt.create_stream", args, count)

_export(b"create_stream", create_stream,
        b"create_stream(*args)\n--\n\n"
        b"Create a stream in this thread's context. Returns (stream, ret). Wraps aclrtCreateStream.")


cdef object destroy_stream(PyObject *self, PyObject **args, Py_ssize_t count):
    return destroy_handle(b"acl.rt.destroy_stream", b"acl.rt.destroy_stream args parse failed", &streams,
                          <destructor>api().aclrtDestroyStream, args, count)

_export(b"destroy_stream", destroy_stream,
        b"destroy_stream(stream, /)\n--\n\n"
        b"Destroy a stream; synchronise it first. Returns ret. Wraps aclrtDestroyStream.")


cdef object destroy_stream_force(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef const acl_api *acl = api()
    if acl.aclrtDestroyStreamForce == NULL:
        return unsupported(b"acl.rt.destroy_stream_force", args, count)
    return destroy_handle(b"acl.rt.destroy_stream_force", b"acl.rt.destroy_stream_force args parse failed", &streams,
                          <destructor>acl.aclrtDestroyStreamForce, args, count)

_export(b"destroy_stream_force", destroy_stream_force,
        b"destroy_stream_force(stream, /)\n--\n\n"
        b"Destroy a stream and drop its unfinished tasks. Returns ret. Wraps aclrtDestroyStreamForce (newer runtimes).")


ctypedef aclError (*_one_handle)(void *) noexcept nogil
ctypedef aclError (*_two_handles)(void *, void *) noexcept nogil


cdef object _wait_for(const char *call, handle_table *table, _one_handle function, PyObject **args, Py_ssize_t count):
    """The body of a call that waits for one stream or event; it stays pinned, since another thread may destroy it."""
    cdef uint64_t key = 0
    cdef aclError code
    if count != 1 or not as_uint64(args[0], &key):
        raise TypeError((<bytes>call).decode() + " args parse failed")
    if key != 0 and not pin(table, key):
        return stale(call, table, key, args, count)
    with nogil:
        code = function(<void *>key)
    if key != 0:
        unpin(table, key)
    return status(code, call, args, count)


cdef object synchronize_stream(PyObject *self, PyObject **args, Py_ssize_t count):
    return _wait_for(b"acl.rt.synchronize_stream", &streams, <_one_handle>api().aclrtSynchronizeStream, args, count)

_export(b"synchronize_stream", synchronize_stream,
        b"synchronize_stream(stream, /)\n--\n\n"
        b"Wait until every task of a stream is done; 0 is the default stream. Ctrl-C does not end the wait. Returns ret. "
        b"Wraps aclrtSynchronizeStream.")


cdef object synchronize_stream_with_timeout(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef uint64_t stream = 0
    cdef int32_t timeout = 0
    cdef aclError code
    if count != 2 or not as_uint64(args[0], &stream) or not as_int32(args[1], &timeout):
        raise TypeError("acl.rt.synchronize_stream_with_timeout args parse failed")
    cdef const acl_api *acl = api()
    if acl.aclrtSynchronizeStreamWithTimeout == NULL:
        return unsupported(b"acl.rt.synchronize_stream_with_timeout", args, count)
    if stream != 0 and not pin(&streams, stream):
        return stale(b"acl.rt.synchronize_stream_with_timeout", &streams, stream, args, count)
    with nogil:
        code = acl.aclrtSynchronizeStreamWithTimeout(<aclrtStream>stream, timeout)
    if stream != 0:
        unpin(&streams, stream)
    return status(code, b"acl.rt.synchronize_stream_with_timeout", args, count)

_export(b"synchronize_stream_with_timeout", synchronize_stream_with_timeout,
        b"synchronize_stream_with_timeout(stream, timeout, /)\n--\n\n"
        b"Wait at most `timeout` ms (-1: without bound) until every task of a stream is done. Returns ret. "
        b"Wraps aclrtSynchronizeStreamWithTimeout (newer runtimes).")


cdef object synchronize_device(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef aclError code
    cdef const acl_api *acl = api()
    with nogil:
        code = acl.aclrtSynchronizeDevice()
    return status(code, b"acl.rt.synchronize_device", args, count)

_export(b"synchronize_device", synchronize_device,
        b"synchronize_device(*args)\n--\n\n"
        b"Wait until this thread's device has nothing to do. Returns ret. Wraps aclrtSynchronizeDevice.")


# ---- events ----------------------------------------------------------------------------------------------------------

cdef object create_event(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef aclrtEvent event = NULL
    cdef aclError code
    cdef const acl_api *acl = api()
    if acl.aclrtCreateEvent == NULL:
        return 0, unsupported(b"acl.rt.create_event", args, count)
    reserve(&events)
    with nogil:
        code = acl.aclrtCreateEvent(&event)
    if code == ACL_SUCCESS:
        insert(&events, event, _current_device(acl))
    return <uint64_t>event, status(code, b"acl.rt.create_event", args, count)

_export(b"create_event", create_event,
        b"create_event(*args)\n--\n\nCreate an event. Returns (event, ret). Wraps aclrtCreateEvent.")


cdef object destroy_event(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef const acl_api *acl = api()
    if acl.aclrtDestroyEvent == NULL:
        return unsupported(b"acl.rt.destroy_event", args, count)
    return destroy_handle(b"acl.rt.destroy_event", b"acl.rt.destroy_event args parse failed", &events,
                          <destructor>acl.aclrtDestroyEvent, args, count)

_export(b"destroy_event", destroy_event,
        b"destroy_event(event, /)\n--\n\nDestroy an event. Returns ret. Wraps aclrtDestroyEvent.")


cdef object _event_and_stream(
        const char *call, bint stream_first, _two_handles function, PyObject **args, Py_ssize_t count):
    cdef uint64_t first = 0, second = 0, event, stream
    cdef aclError code
    if count != 2 or not as_uint64(args[0], &first) or not as_uint64(args[1], &second):
        raise TypeError((<bytes>call).decode() + " args parse failed")
    if function == NULL:
        return unsupported(call, args, count)
    event, stream = (second, first) if stream_first else (first, second)
    if event != 0 and not pin(&events, event):
        return stale(call, &events, event, args, count)
    if stream != 0 and not pin(&streams, stream):
        unpin(&events, event)
        return stale(call, &streams, stream, args, count)
    with nogil:
        code = function(<void *>first, <void *>second)
    unpin(&events, event)
    unpin(&streams, stream)
    return status(code, call, args, count)


cdef object record_event(PyObject *self, PyObject **args, Py_ssize_t count):
    return _event_and_stream(b"acl.rt.record_event", False, <_two_handles>api().aclrtRecordEvent, args, count)

_export(b"record_event", record_event,
        b"record_event(event, stream, /)\n--\n\n"
        b"Let a stream mark the event when it gets there. Returns ret. Wraps aclrtRecordEvent.")


cdef object reset_event(PyObject *self, PyObject **args, Py_ssize_t count):
    return _event_and_stream(b"acl.rt.reset_event", False, <_two_handles>api().aclrtResetEvent, args, count)

_export(b"reset_event", reset_event,
        b"reset_event(event, stream, /)\n--\n\n"
        b"Let a stream unmark the event when it gets there. Returns ret. Wraps aclrtResetEvent.")


cdef object stream_wait_event(PyObject *self, PyObject **args, Py_ssize_t count):
    return _event_and_stream(b"acl.rt.stream_wait_event", True, <_two_handles>api().aclrtStreamWaitEvent, args, count)

_export(b"stream_wait_event", stream_wait_event,
        b"stream_wait_event(stream, event, /)\n--\n\n"
        b"Let a stream wait for the event. Returns ret. Wraps aclrtStreamWaitEvent.")


ctypedef aclError (*_event_query)(aclrtEvent, int32_t *) noexcept nogil


cdef object _query(const char *call, _event_query function, PyObject **args, Py_ssize_t count):
    cdef uint64_t event = 0
    cdef int32_t state = 0
    cdef aclError code
    if count != 1 or not as_uint64(args[0], &event):
        raise TypeError((<bytes>call).decode() + " args parse failed")
    if function == NULL:
        return 0, unsupported(call, args, count)
    if not is_live_or_null(&events, event):
        return 0, stale(call, &events, event, args, count)
    code = function(<aclrtEvent>event, &state)
    return state, status(code, call, args, count)


cdef object query_event(PyObject *self, PyObject **args, Py_ssize_t count):
    return _query(b"acl.rt.query_event", <_event_query>api().aclrtQueryEvent, args, count)

_export(b"query_event", query_event,
        b"query_event(event, /)\n--\n\n"
        b"Tell whether an event was reached: 0 complete, 1 not yet. Returns (status, ret). Wraps aclrtQueryEvent.")


cdef object query_event_status(PyObject *self, PyObject **args, Py_ssize_t count):
    return _query(b"acl.rt.query_event_status", <_event_query>api().aclrtQueryEventStatus, args, count)

_export(b"query_event_status", query_event_status,
        b"query_event_status(event, /)\n--\n\n"
        b"Tell whether an event was reached: 0 not yet, 1 complete. Returns (status, ret). Wraps aclrtQueryEventStatus.")


cdef object synchronize_event(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef const acl_api *acl = api()
    if acl.aclrtSynchronizeEvent == NULL:
        return unsupported(b"acl.rt.synchronize_event", args, count)
    return _wait_for(b"acl.rt.synchronize_event", &events, <_one_handle>acl.aclrtSynchronizeEvent, args, count)

_export(b"synchronize_event", synchronize_event,
        b"synchronize_event(event, /)\n--\n\n"
        b"Wait until an event was reached. Ctrl-C does not end the wait. Returns ret. Wraps aclrtSynchronizeEvent.")


cdef object event_elapsed_time(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef uint64_t start = 0, end = 0
    cdef float ms = 0
    cdef aclError code
    if count != 2 or not as_uint64(args[0], &start) or not as_uint64(args[1], &end):
        raise TypeError("acl.rt.event_elapsed_time args parse failed")
    cdef const acl_api *acl = api()
    if acl.aclrtEventElapsedTime == NULL:
        return 0.0, unsupported(b"acl.rt.event_elapsed_time", args, count)
    for event in (start, end):
        if not is_live_or_null(&events, event):
            return 0.0, stale(b"acl.rt.event_elapsed_time", &events, event, args, count)
    code = acl.aclrtEventElapsedTime(&ms, <aclrtEvent>start, <aclrtEvent>end)
    return ms, status(code, b"acl.rt.event_elapsed_time", args, count)

_export(b"event_elapsed_time", event_elapsed_time,
        b"event_elapsed_time(start, end, /)\n--\n\n"
        b"Tell the time between two recorded events. Returns (ms, ret), ms a float. Wraps aclrtEventElapsedTime.")


# ---- reports and callbacks ---------------------------------------------------------------------------------------------

cdef object _subscription(const char *call, bint subscribe, PyObject **args, Py_ssize_t count):
    cdef uint64_t thread = 0, stream = 0
    cdef aclError code
    if count != 2 or not as_uint64(args[0], &thread) or not as_uint64(args[1], &stream):
        raise TypeError((<bytes>call).decode() + " args parse failed")
    cdef const acl_api *acl = api()
    if stream != 0 and not pin(&streams, stream):
        return stale(call, &streams, stream, args, count)
    with nogil:
        if subscribe:
            code = acl.aclrtSubscribeReport(thread, <aclrtStream>stream)
        else:
            code = acl.aclrtUnSubscribeReport(thread, <aclrtStream>stream)
    unpin(&streams, stream)
    return status(code, call, args, count)


cdef object subscribe_report(PyObject *self, PyObject **args, Py_ssize_t count):
    return _subscription(b"acl.rt.subscribe_report", True, args, count)

_export(b"subscribe_report", subscribe_report,
        b"subscribe_report(thread_id, stream, /)\n--\n\n"
        b"Let a thread run the callbacks of a stream, inside its process_report. A video encoder channel does this for its "
        b"own streams. Returns ret. Wraps aclrtSubscribeReport.")


cdef object unsubscribe_report(PyObject *self, PyObject **args, Py_ssize_t count):
    return _subscription(b"acl.rt.unsubscribe_report", False, args, count)

_export(b"unsubscribe_report", unsubscribe_report,
        b"unsubscribe_report(thread_id, stream, /)\n--\n\n"
        b"End what subscribe_report began. Returns ret. Wraps aclrtUnSubscribeReport.")


cdef object launch_callback(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef int32_t block = 0
    cdef uint64_t stream = 0, number
    cdef aclError code
    cdef Delivery delivery
    if count != 4 or not as_int32(args[2], &block) or not as_uint64(args[3], &stream):
        raise TypeError("acl.rt.launch_callback args parse failed")
    if not PyCallable_Check(<object>args[0]):
        raise TypeError("parameter must be callable")
    cdef const acl_api *acl = api()
    if stream != 0 and not pin(&streams, stream):
        return stale(b"acl.rt.launch_callback", &streams, stream, args, count)
    delivery = Delivery.__new__(Delivery)
    delivery.function = <object>args[0]
    delivery.user_data = <object>args[1]
    number = expect(delivery)
    with nogil:
        code = acl.aclrtLaunchCallback(launch_trampoline, <void *>number, block, <aclrtStream>stream)
    unpin(&streams, stream)
    if code != ACL_SUCCESS:
        forget(number)
    return status(code, b"acl.rt.launch_callback", args, count)

_export(b"launch_callback", launch_callback,
        b"launch_callback(fn, args, block_type, stream, /)\n--\n\n"
        b"Queue fn(args) on a stream; the thread that subscribed to it runs it inside process_report. block_type 1: the "
        b"stream goes on when fn has returned, 0: at once. Returns ret. Wraps aclrtLaunchCallback.")


cdef aclError _process_in_slices(const acl_api *acl, int32_t timeout) except? -1:
    """Process reports on the main thread, where Python's signal handlers run: wake for them every SLICE_MS."""
    cdef aclError code
    cdef int32_t slice_ms
    while True:
        slice_ms = SLICE_MS if timeout < 0 or timeout > SLICE_MS else timeout
        with nogil:
            code = acl.aclrtProcessReport(slice_ms)
        if timeout > 0:
            timeout -= slice_ms
        PyErr_CheckSignals()
        if code != ACL_ERROR_RT_REPORT_TIMEOUT or timeout == 0:
            return code


cdef object process_report(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef int32_t timeout = 0
    cdef aclError code = ACL_ERROR_RT_REPORT_TIMEOUT
    cdef report_call call
    if count != 1 or not as_int32(args[0], &timeout):
        raise TypeError("acl.rt.process_report args parse failed")
    cdef const acl_api *acl = api()
    cdef bint sliced = (timeout == -1 or timeout > SLICE_MS) \
        and PyThread_get_thread_ident() == threading.main_thread().ident
    begin_report(&call)
    try:
        if sliced:
            code = _process_in_slices(acl, timeout)
        else:
            with nogil:
                code = acl.aclrtProcessReport(timeout)
    finally:
        end_report(&call, code)
    if code == ACL_ERROR_RT_REPORT_TIMEOUT or code == ACL_ERROR_RT_THREAD_SUBSCRIBE:
        # What a report loop meets all the time is not kept as the thread's last failure; nor is the runtime's text.
        if acl.aclGetRecentErrMsg != NULL:
            acl.aclGetRecentErrMsg()
        if code == ACL_ERROR_RT_THREAD_SUBSCRIBE:
            # Loops start before their channel exists: let the thread that creates it have the GIL.
            with nogil:
                usleep(500)
        return code
    return status(code, b"acl.rt.process_report", args, count)

_export(b"process_report", process_report,
        b"process_report(timeout, /)\n--\n\n"
        b"Wait up to `timeout` ms (-1: without bound) for callbacks of the streams this thread is subscribed to, and run "
        b"them. Returns ret: 0 if at least one ran, 507012 if none came in time, 107012 at once if the thread is "
        b"subscribed to nothing (no channel yet: sleep a little), 100000 for a timeout of 0 or below -1. Raises the "
        b"KeyboardInterrupt or SystemExit of a callback. Wraps aclrtProcessReport.")


# ---- memory ----------------------------------------------------------------------------------------------------------

cdef object malloc(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef uint64_t size = 0
    cdef int32_t policy = 0
    cdef void *pointer = NULL
    cdef aclError code
    if count != 2 or not as_uint64(args[0], &size) or not as_int32(args[1], &policy):
        raise TypeError("acl.rt.malloc args parse failed")
    cdef const acl_api *acl = api()
    reserve(&device_memory)
    with nogil:
        code = acl.aclrtMalloc(&pointer, size, policy)
    if code == ACL_SUCCESS:
        insert(&device_memory, pointer)
    return <uint64_t>pointer, status(code, b"acl.rt.malloc", args, count)

_export(b"malloc", malloc,
        b"malloc(size, policy, /)\n--\n\n"
        b"Allocate device memory; policy 0: huge pages first. Returns (dev_ptr, ret). Wraps aclrtMalloc.")


cdef object free(PyObject *self, PyObject **args, Py_ssize_t count):
    return destroy_handle(b"acl.rt.free", b"acl.rt.free args parse failed", &device_memory,
                          <destructor>api().aclrtFree, args, count)

_export(b"free", free,
        b"free(dev_ptr, /)\n--\n\nFree memory of malloc. Returns ret. Wraps aclrtFree.")


cdef object malloc_host(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef uint64_t size = 0
    cdef void *pointer = NULL
    cdef aclError code
    if count != 1 or not as_uint64(args[0], &size):
        raise TypeError("acl.rt.malloc_host args parse failed")
    cdef const acl_api *acl = api()
    reserve(&host_memory)
    with nogil:
        code = acl.aclrtMallocHost(&pointer, size)
    if code == ACL_SUCCESS:
        insert(&host_memory, pointer)
    return <uint64_t>pointer, status(code, b"acl.rt.malloc_host", args, count)

_export(b"malloc_host", malloc_host,
        b"malloc_host(size, /)\n--\n\nAllocate host memory. Returns (host_ptr, ret). Wraps aclrtMallocHost.")


cdef object free_host(PyObject *self, PyObject **args, Py_ssize_t count):
    return destroy_handle(b"acl.rt.free_host", b"acl.rt.free_host args parse failed", &host_memory,
                          <destructor>api().aclrtFreeHost, args, count)

_export(b"free_host", free_host,
        b"free_host(host_ptr, /)\n--\n\nFree memory of malloc_host. Returns ret. Wraps aclrtFreeHost.")


cdef object memcpy(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef uint64_t target = 0, room = 0, source = 0, size = 0
    cdef int32_t kind = 0
    cdef aclError code
    if count != 5 or not as_uint64(args[0], &target) or not as_uint64(args[1], &room) \
            or not as_uint64(args[2], &source) or not as_uint64(args[3], &size) or not as_int32(args[4], &kind):
        raise TypeError("acl.rt.memcpy args parse failed")
    cdef const acl_api *acl = api()
    with nogil:
        code = acl.aclrtMemcpy(<void *>target, room, <void *>source, size, kind)
    return status(code, b"acl.rt.memcpy", args, count)

_export(b"memcpy", memcpy,
        b"memcpy(dst, dest_max, src, count, direction, /)\n--\n\n"
        b"Copy `count` bytes to an address that has room for `dest_max`. direction: 0 host to host, 1 host to device, "
        b"2 device to host, 3 device to device. Addresses are not checked. Returns ret. Wraps aclrtMemcpy.")


cdef object memcpy_async(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef uint64_t target = 0, room = 0, source = 0, size = 0, stream = 0
    cdef int32_t kind = 0
    cdef aclError code
    if count != 6 or not as_uint64(args[0], &target) or not as_uint64(args[1], &room) \
            or not as_uint64(args[2], &source) or not as_uint64(args[3], &size) or not as_int32(args[4], &kind) \
            or not as_uint64(args[5], &stream):
        raise TypeError("acl.rt.memcpy_async args parse failed")
    cdef const acl_api *acl = api()
    if stream != 0 and not pin(&streams, stream):
        return stale(b"acl.rt.memcpy_async", &streams, stream, args, count)
    with nogil:
        code = acl.aclrtMemcpyAsync(<void *>target, room, <void *>source, size, kind, <aclrtStream>stream)
    unpin(&streams, stream)
    return status(code, b"acl.rt.memcpy_async", args, count)

_export(b"memcpy_async", memcpy_async,
        b"memcpy_async(dst, dest_max, src, count, direction, stream, /)\n--\n\n"
        b"Queue a memcpy on a stream; keep both memories until synchronize_stream has returned. Returns ret. "
        b"Wraps aclrtMemcpyAsync.")


cdef object memset(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef uint64_t target = 0, room = 0, size = 0
    cdef int32_t value = 0
    cdef aclError code
    if count != 4 or not as_uint64(args[0], &target) or not as_uint64(args[1], &room) \
            or not as_int32(args[2], &value) or not as_uint64(args[3], &size):
        raise TypeError("acl.rt.memset args parse failed")
    cdef const acl_api *acl = api()
    with nogil:
        code = acl.aclrtMemset(<void *>target, room, value, size)
    return status(code, b"acl.rt.memset", args, count)

_export(b"memset", memset,
        b"memset(dev_ptr, max_count, value, count, /)\n--\n\n"
        b"Set `count` bytes at an address that has room for `max_count`. Addresses are not checked. Returns ret. "
        b"Wraps aclrtMemset.")


cdef object memset_async(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef uint64_t target = 0, room = 0, size = 0, stream = 0
    cdef int32_t value = 0
    cdef aclError code
    if count != 5 or not as_uint64(args[0], &target) or not as_uint64(args[1], &room) \
            or not as_int32(args[2], &value) or not as_uint64(args[3], &size) or not as_uint64(args[4], &stream):
        raise TypeError("acl.rt.memset_async args parse failed")
    cdef const acl_api *acl = api()
    if stream != 0 and not pin(&streams, stream):
        return stale(b"acl.rt.memset_async", &streams, stream, args, count)
    with nogil:
        code = acl.aclrtMemsetAsync(<void *>target, room, value, size, <aclrtStream>stream)
    unpin(&streams, stream)
    return status(code, b"acl.rt.memset_async", args, count)

_export(b"memset_async", memset_async,
        b"memset_async(dev_ptr, max_count, value, count, stream, /)\n--\n\n"
        b"Queue a memset on a stream. Returns ret. Wraps aclrtMemsetAsync.")
