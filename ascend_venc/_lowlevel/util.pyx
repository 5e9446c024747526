# SPDX-License-Identifier: Apache-2.0
"""acl.util: threads for the report loop, and addresses of bytes and arrays.

start_thread makes its thread through Python rather than with pthread_create, so that running out of memory is an
exception in the caller and the interpreter can end while the thread runs. It behaves as a joinable pthread: the thread,
and with it its id, stays until stop_thread, so an id always means the thread it was given out for.
"""
from cpython.buffer cimport PyBuffer_IsContiguous, PyBuffer_Release
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_Check, PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_CheckSignals, PyErr_Clear, PyErr_WarnEx
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.object cimport PyCallable_Check, PyObject
from cpython.ref cimport Py_INCREF
from libc.stdint cimport int32_t, uint64_t
from libc.string cimport memcpy

from .fastcall cimport *
from .report cimport thread_ended, thread_joined

cdef extern from "pythread.h":
    unsigned long PyThread_get_thread_ident()

cdef extern from "errno.h":
    int EAGAIN, EDEADLK, ESRCH

cdef extern from *:
    """
    #include <frameobject.h>
    #if PY_VERSION_HEX >= 0x030B0000
    #define instruction_of(frame) PyFrame_GetLasti(frame)
    #else
    #define instruction_of(frame) ((frame)->f_lasti)
    #endif
    """
    ctypedef struct PyFrameObject:
        pass
    PyFrameObject *PyEval_GetFrame()
    PyObject *PyFrame_GetCode(PyFrameObject *)  # a new reference
    int instruction_of(PyFrameObject *)

cdef extern from "Python.h":
    int PyBUF_WRITE
    int PyBUF_STRIDES
    int PyObject_GetBuffer(object, Py_buffer *, int)
    void Py_XINCREF(PyObject *)
    void Py_XDECREF(PyObject *)
    Py_ssize_t PY_SSIZE_T_MAX

# C variables, like every name here that is not pyACL's: dir(acl.util) shows pyACL's names only.
cdef object _thread, os, sys
import _thread
import os
import sys

cdef PyMethodDef _slots[8]
cdef int _slots_used = 0
cdef dict _started = {}  # id -> _Thread, until stop_thread

# NumPy's type numbers, in their order, as dtype characters.
cdef str _TYPE_CHARACTERS = "?bBhHiIlLqQfdgFDG"
cdef int _NPY_HALF = 23


cdef int _export(const char *name, fastcall function, const char *doc) except -1:
    global _slots_used
    export(globals(), &_slots[_slots_used], name, function, doc)
    _slots_used += 1
    return 0


# ---- threads ---------------------------------------------------------------------------------------------------------

cdef class _Thread:
    cdef object function
    cdef object argument
    cdef object finished     # lock, held until the function has returned
    cdef object joined       # lock, held until stop_thread
    cdef str exception       # name of the exception that ended the function

    def __call__(self):
        """The body of the thread."""
        cdef uint64_t ident = PyThread_get_thread_ident()
        _started[ident] = self  # also here: the function may ask for its own thread before start_thread has returned
        try:
            if self.argument is None:
                self.function()
            else:
                self.function(self.argument)
        except BaseException as exception:
            self.exception = type(exception).__name__
            if not isinstance(exception, SystemExit):
                sys.excepthook(type(exception), exception, exception.__traceback__)
        finally:
            self.function = self.argument = None
            thread_ended(ident)
            self.finished.release()
        self.joined.acquire()


cdef object start_thread(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef _Thread thread
    if count != 2:
        raise TypeError("acl.util.start_thread args parse failed")
    if not PyCallable_Check(<object>args[0]):
        raise TypeError("parameter must be callable")
    thread = _Thread.__new__(_Thread)
    thread.function = <object>args[0]
    thread.argument = <object>args[1]
    thread.finished = _thread.allocate_lock()
    thread.joined = _thread.allocate_lock()
    thread.finished.acquire()
    thread.joined.acquire()
    try:
        ident = _thread.start_new_thread(thread, ())
    except RuntimeError:  # the system has no more threads
        return 0, failed(b"acl.util.start_thread", EAGAIN, args, count, "no thread could be started")
    _started[ident] = thread
    return ident, 0

_export(b"start_thread", start_thread,
        b"start_thread(thr_func, args_list, /)\n--\n\n"
        b"Run thr_func(args_list) in a new native thread; args_list None: thr_func(). Returns (thr_id, ret): the id that "
        b"venc_set_channel_desc_thread_id wants, and 0 or an errno. The thread has no context: call set_context in it. An "
        b"exception that ends it is printed. SIGINT stays as it is. The thread does not keep the interpreter from ending.")


cdef object stop_thread(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef uint64_t ident = 0
    cdef _Thread thread
    if count != 1 or not as_uint64(args[0], &ident):
        raise TypeError("acl.util.stop_thread args parse failed")
    thread = _started.get(ident)
    if thread is None:
        return failed(b"acl.util.stop_thread", ESRCH, args, count, "not a thread of start_thread, or stopped already")
    if ident == PyThread_get_thread_ident():
        return failed(b"acl.util.stop_thread", EDEADLK, args, count, "a thread cannot wait for itself")
    # While the interpreter ends other threads no longer run: then there is nothing to wait for.
    while not thread.finished.acquire(True, 0.05):
        PyErr_CheckSignals()
        if sys.is_finalizing():
            return 0
    thread.finished.release()  # for another thread that waits
    if _started.get(ident) is not thread:
        return failed(b"acl.util.stop_thread", ESRCH, args, count, "stopped by another thread meanwhile")
    del _started[ident]
    thread_joined(ident)
    thread.joined.release()
    if thread.exception is not None:
        raise RuntimeError(f"exception={thread.exception},msg=thread call failed;")
    return 0

_export(b"stop_thread", stop_thread,
        b"stop_thread(thr_id, /)\n--\n\n"
        b"Wait until the function of a start_thread has returned; it is not asked to. Returns ret: 0, 3 for an unknown id "
        b"or one that was stopped, 35 for the own thread. RuntimeError if an exception ended the function. Ctrl-C ends "
        b"the wait; it can be repeated.")


# ---- bytes -----------------------------------------------------------------------------------------------------------

cdef object bytes_to_ptr(PyObject *self, PyObject **args, Py_ssize_t count):
    if count != 1:
        raise TypeError("acl.util.bytes_to_ptr args parse failed")
    if not PyBytes_Check(<object>args[0]):
        raise ValueError("needs an byte as argument")
    return <uint64_t>PyBytes_AS_STRING(<object>args[0])

_export(b"bytes_to_ptr", bytes_to_ptr,
        b"bytes_to_ptr(bytes_data, /)\n--\n\n"
        b"Return the address of a bytes object's own buffer. Nothing is copied or kept: hold the object as long as the "
        b"address is used.")


cdef object ptr_to_bytes(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef uint64_t address = 0, size = 0
    cdef char *target
    if count != 2 or not as_uint64(args[0], &address) or not as_uint64(args[1], &size):
        raise TypeError("acl.util.ptr_to_bytes args parse failed")
    if size > <uint64_t>PY_SSIZE_T_MAX:
        raise ValueError(f"size {size} is larger than any memory")
    if size == 0:
        return b""
    if address == 0:
        raise ValueError("ptr is 0")
    data = PyBytes_FromStringAndSize(NULL, size)
    target = PyBytes_AS_STRING(data)
    with nogil:
        memcpy(target, <void *>address, size)
    return data

_export(b"ptr_to_bytes", ptr_to_bytes,
        b"ptr_to_bytes(ptr, size, /)\n--\n\n"
        b"Copy `size` bytes of host memory into a bytes object. The address is not checked: a wrong one ends the process.")


# ---- NumPy, imported by the call that needs it -------------------------------------------------------------------------

cdef object _ndarray = None


cdef object _array_of(PyObject *argument):
    global _ndarray
    if _ndarray is None:
        import numpy

        _ndarray = numpy.ndarray
    if not isinstance(<object>argument, _ndarray):
        raise ValueError("needs an numpy array as argument")
    return <object>argument


# ---- deprecation warnings ----------------------------------------------------------------------------------------------
#
# pyACL warns at each call, and by default Python shows the first warning of a place only; finding out that there is
# nothing to show costs more than the rest of the call. So a place in a program where the warning would not be shown any
# more is remembered, until warnings.filters is another list, or has another length or first entry.

cdef struct _Place:
    PyObject *code  # counted
    int instruction
    const char *text
    PyObject *filters  # these two are compared only
    PyObject *first
    Py_ssize_t length

cdef _Place _quiet[16]
cdef PyObject *_warnings = NULL  # warnings.__dict__


cdef PyObject *_filters(PyObject **first, Py_ssize_t *length) except? NULL:
    global _warnings
    if _warnings == NULL:
        import warnings

        namespace = warnings.__dict__
        Py_INCREF(namespace)
        _warnings = <PyObject *>namespace
    filters = (<dict>_warnings).get("filters")
    if type(filters) is not list:
        return NULL
    length[0] = len(<list>filters)
    first[0] = <PyObject *>(<list>filters)[0] if length[0] else NULL
    return <PyObject *>filters


cdef bint _stays_quiet(str text) except -1:
    """Whether the calling line would not show this warning again."""
    import warnings

    frame = sys._getframe(0)
    line = frame.f_lineno
    registry = frame.f_globals.get("__warningregistry__")
    if registry and (text, Warning, line) in registry:
        return True
    module = frame.f_globals.get("__name__") or "<string>"
    for action, message, category, where, number in warnings.filters:
        if (message is None or (text == message if isinstance(message, str) else message.match(text))) \
                and issubclass(Warning, category) and number in (0, line) \
                and (where is None or (module == where if isinstance(where, str) else where.match(module))):
            return action == "ignore"
    return False


cdef int _warn(const char *text) except -1:
    cdef PyObject *first = NULL
    cdef Py_ssize_t length = 0
    cdef PyObject *filters = _filters(&first, &length)
    cdef PyFrameObject *frame = PyEval_GetFrame()
    cdef PyObject *code
    cdef int instruction
    cdef _Place *place
    if frame == NULL or filters == NULL:
        PyErr_WarnEx(Warning, text, 1)
        return 0
    code = <PyObject *>PyFrame_GetCode(frame)
    instruction = instruction_of(frame)
    place = &_quiet[(<uint64_t>code >> 5 ^ <uint64_t>instruction) & 15]
    if place.code == code and place.instruction == instruction and place.text == text and place.filters == filters \
            and place.first == first and place.length == length:
        Py_XDECREF(code)
        return 0
    try:
        PyErr_WarnEx(Warning, text, 1)
        if _stays_quiet((<bytes>text).decode()):
            Py_XINCREF(code)
            Py_XDECREF(place.code)
            place.code = code
            place.instruction = instruction
            place.text = text
            place.filters = _filters(&place.first, &place.length)
    finally:
        Py_XDECREF(code)
    return 0


cdef const char *_TO_PTR = b"acl.util.numpy_to_ptr will be deprecated, use acl.util.bytes_to_ptr"
cdef const char *_CONTIGUOUS_TO_PTR = b"acl.util.numpy_contiguous_to_ptr will be deprecated, use acl.util.bytes_to_ptr"
cdef const char *_TO_NUMPY = b"acl.util.ptr_to_numpy will be deprecated, use acl.util.ptr_to_bytes"
cdef const char *_NOT_CONTIGUOUS = b"the array is not contiguous: its address is that of its first element only"

cdef object numpy_to_ptr(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef Py_buffer view
    cdef uint64_t address
    cdef bint contiguous
    if count != 1:
        raise TypeError("acl.util.numpy_to_ptr args parse failed")
    array = _array_of(args[0])
    _warn(_TO_PTR)
    if PyObject_GetBuffer(array, &view, PyBUF_STRIDES) == 0:
        address = <uint64_t>view.buf
        contiguous = PyBuffer_IsContiguous(&view, b"C")
        PyBuffer_Release(&view)
    else:  # a dtype that no buffer can have, such as datetime64
        PyErr_Clear()
        address = array.__array_interface__["data"][0]
        contiguous = array.flags.c_contiguous
    if not contiguous:
        _warn(_NOT_CONTIGUOUS)
    return address

_export(b"numpy_to_ptr", numpy_to_ptr,
        b"numpy_to_ptr(data, /)\n--\n\n"
        b"Return the address of an array's first element. Deprecated by pyACL: warns. Nothing is copied or kept: hold the "
        b"array as long as the address is used.")


cdef object numpy_contiguous_to_ptr(PyObject *self, PyObject **args, Py_ssize_t count):
    if count != 1:
        raise TypeError("acl.util.numpy_contiguous_to_ptr args parse failed")
    array = _array_of(args[0])
    _warn(_CONTIGUOUS_TO_PTR)
    import numpy

    array = numpy.ascontiguousarray(array)
    return array.__array_interface__["data"][0], array

_export(b"numpy_contiguous_to_ptr", numpy_contiguous_to_ptr,
        b"numpy_contiguous_to_ptr(data, /)\n--\n\n"
        b"Return (ptr, array): the array, or a contiguous copy of it, and its address. Deprecated by pyACL: warns. Hold "
        b"`array` as long as the address is used.")


cdef object ptr_to_numpy(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef uint64_t address = 0
    cdef int32_t number = 0
    if count != 3 or not as_uint64(args[0], &address) or not isinstance(<object>args[1], tuple) \
            or not as_int32(args[2], &number):
        raise TypeError("acl.util.ptr_to_numpy args parse failed")
    _warn(_TO_NUMPY)
    import numpy

    shape = <object>args[1]
    if not all(isinstance(length, int) and length >= 0 for length in shape):
        raise TypeError("acl.util.ptr_to_numpy args parse failed")
    if number == _NPY_HALF:
        dtype = numpy.dtype("e")
    elif 0 <= number < len(_TYPE_CHARACTERS):
        dtype = numpy.dtype(_TYPE_CHARACTERS[number])
    else:
        raise ValueError(f"np_type {number} is no number of a numeric NumPy type")
    size = dtype.itemsize
    for length in shape:
        size *= length
    if size > PY_SSIZE_T_MAX:
        raise ValueError(f"shape {shape} is larger than any memory")
    if size == 0:
        return numpy.empty(shape, dtype)
    if address == 0:
        raise ValueError("ptr is 0")
    return numpy.frombuffer(PyMemoryView_FromMemory(<char *>address, size, PyBUF_WRITE), dtype).reshape(shape)

_export(b"ptr_to_numpy", ptr_to_numpy,
        b"ptr_to_numpy(ptr, shape, np_type, /)\n--\n\n"
        b"Return a writable array on host memory, which it neither copies nor owns. np_type is NumPy's number of the type: "
        b"2 uint8, 11 float32, ... Deprecated by pyACL: warns. The address is not checked: a wrong one ends the process.")


def _after_fork():
    """In a forked child: the parent's other threads do not exist."""
    _started.clear()


os.register_at_fork(after_in_child=_after_fork)
