# SPDX-License-Identifier: Apache-2.0
# acl.util: threads for the report loop, and addresses of bytes and arrays.
#
# start_thread makes its thread through Python rather than with pthread_create, so that running out of memory is an
# exception in the caller and the interpreter can end while the thread runs. It behaves as a joinable pthread: the thread,
# and with it its id, stays until stop_thread, so an id always means the thread it was given out for.
from cpython.buffer cimport PyBUF_STRIDES, PyBUF_WRITE, PyBuffer_IsContiguous, PyBuffer_Release
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_Check, PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_Clear, PyErr_WarnEx
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.pyport cimport PY_SSIZE_T_MAX
from cpython.pystate cimport PyFrameObject
from cpython.ref cimport Py_XDECREF, Py_XINCREF
from libc.string cimport memcpy

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
    PyFrameObject *PyEval_GetFrame()
    PyObject *PyFrame_GetCode(PyFrameObject *)  # a new reference
    int instruction_of(PyFrameObject *)

cdef extern from "Python.h":
    int PyObject_GetBuffer(object, Py_buffer *, int)

cdef dict started = {}  # id -> Thread, until stop_thread


# ---- threads ---------------------------------------------------------------------------------------------------------

@cython.internal
@cython.auto_pickle(False)
cdef class Thread:
    cdef object function
    cdef object argument
    cdef object finished     # lock, held until the function has returned
    cdef object joined       # lock, held until stop_thread
    cdef str exception       # name of the exception that ended the function

    def __call__(self):
        """The body of the thread."""
        try:
            # Also here: the function may ask for its own thread before start_thread has returned.
            started[PyThread_get_thread_ident()] = self
            if self.argument is None:
                self.function()
            else:
                self.function(self.argument)
        except BaseException as exception:
            self.exception = type(exception).__name__
            if not isinstance(exception, SystemExit):
                sys.excepthook(type(exception), exception, exception.__traceback__)
        finally:
            function, argument = self.function, self.argument
            self.function = self.argument = None
            function = argument = None
            self.finished.release()
        self.joined.acquire()


cdef bint report_thread_is_gone(Channel channel) except -1:
    """Whether the channel's report thread has ended. A thread that was never a Python thread counts as alive.

    A thread that acl.util.start_thread made delivers nothing more once its function has returned; its id is not given out
    anew before it is joined.
    """
    cdef Thread made = started.get(channel.thread_id)
    return (made is not None and not made.finished.locked()) or (
        channel.thread is not None and not channel.thread.is_alive() and thread_of(channel.thread_id) is None)


cdef object util_start_thread(facade_call call):
    cdef Thread thread = Thread.__new__(Thread)
    thread.function = <object>call.args[0]
    thread.argument = <object>call.args[1]
    thread.finished = _thread.allocate_lock()
    thread.joined = _thread.allocate_lock()
    thread.finished.acquire()
    thread.joined.acquire()
    try:
        ident = _thread.start_new_thread(thread, ())
    except RuntimeError:  # the system has no more threads
        return 0, failed(call, EAGAIN, "no thread could be started")
    started[ident] = thread
    return ident, 0


cdef object util_stop_thread(facade_call call, uint64_t ident):
    cdef Thread thread = started.get(ident)
    if thread is None:
        return failed(call, ESRCH, "not a thread of start_thread, or stopped already")
    if ident == PyThread_get_thread_ident():
        return failed(call, EDEADLK, "a thread cannot wait for itself")
    # While the interpreter ends other threads no longer run: then there is nothing to wait for.
    while not thread.finished.acquire(True, 0.05):
        PyErr_CheckSignals()
        if sys.is_finalizing():
            return 0
    thread.finished.release()  # for another thread that waits
    if started.get(ident) is not thread:
        return failed(call, ESRCH, "stopped by another thread meanwhile")
    del started[ident]
    thread.joined.release()
    if thread.exception is not None:
        raise RuntimeError(f"exception={thread.exception},msg=thread call failed;")
    return 0


# ---- bytes -----------------------------------------------------------------------------------------------------------

cdef object util_bytes_to_ptr(facade_call call):
    if not PyBytes_Check(<object>call.args[0]):
        raise ValueError("needs an byte as argument")
    return <uint64_t>PyBytes_AS_STRING(<object>call.args[0])


cdef object util_ptr_to_bytes(facade_call call, uint64_t address, uint64_t size):
    cdef char *target
    if size > <uint64_t>PY_SSIZE_T_MAX:
        raise ValueError(f"size {size} is larger than any memory")
    if size == 0:
        return b""
    if address == 0:
        raise ValueError("ptr is 0")
    data = PyBytes_FromStringAndSize(NULL, size)
    target = PyBytes_AS_STRING(data)
    if size <= AVENC_SHORT_COPY_BYTES:
        memcpy(target, <void *>address, size)
    else:
        with nogil:
            memcpy(target, <void *>address, size)
    return data


# ---- deprecation warnings ----------------------------------------------------------------------------------------------
#
# pyACL warns at each call, and by default Python shows the first warning of a place only; finding out that there is
# nothing to show costs more than the rest of the call. So a place in a program where the warning would not be shown any
# more is remembered, until warnings.filters is another list, or has another length or first entry. Objects that are
# compared are held: another one could have the address of one that is gone.

cdef struct QuietPlace:
    PyObject *code  # counted, as are the next two
    PyObject *filters
    PyObject *first  # NULL of an empty list
    int instruction
    const char *text
    Py_ssize_t length

cdef QuietPlace quiet[16]
cdef dict warnings_names = warnings.__dict__


cdef bint look(QuietPlace *now, const char *text) except -1:
    """Tell the calling place, and the filters as they are; False if there is none. All is borrowed but the code."""
    cdef PyFrameObject *frame = PyEval_GetFrame()
    filters = warnings_names.get("filters")
    if frame == NULL or type(filters) is not list:
        return False
    now.code = <PyObject *>PyFrame_GetCode(frame)
    now.filters = <PyObject *>filters
    now.first = <PyObject *>(<list>filters)[0] if <list>filters else NULL
    now.instruction = instruction_of(frame)
    now.text = text
    now.length = len(<list>filters)
    return True


cdef bint stays_quiet(str text, list filters) except -1:
    """Whether the calling line would not show this warning again."""
    frame = sys._getframe(0)
    line = frame.f_lineno
    registry = frame.f_globals.get("__warningregistry__")
    if registry and (text, Warning, line) in registry:
        return True
    module = frame.f_globals.get("__name__") or "<string>"
    for action, message, category, where, number in filters:
        if (message is None or (text == message if isinstance(message, str) else message.match(text))) \
                and issubclass(Warning, category) and number in (0, line) \
                and (where is None or (module == where if isinstance(where, str) else where.match(module))):
            return action == "ignore"
    return False


cdef int warn(const char *text) except -1:
    cdef QuietPlace *place
    cdef QuietPlace seen
    if not look(&seen, text):
        PyErr_WarnEx(Warning, text, 1)
        return 0
    place = &quiet[(<uint64_t>seen.code >> 5 ^ <uint64_t>seen.instruction) & 15]
    if place.code == seen.code and place.instruction == seen.instruction and place.text == text \
            and place.filters == seen.filters and place.first == seen.first and place.length == seen.length:
        Py_XDECREF(seen.code)
        return 0
    Py_XINCREF(seen.filters)
    Py_XINCREF(seen.first)
    try:
        PyErr_WarnEx(Warning, text, 1)
        if stays_quiet((<bytes>text).decode(), <list>seen.filters):
            place[0], seen = seen, place[0]
    finally:  # of what was there before: when the place is whole, since an object's end may run Python code
        Py_XDECREF(seen.code)
        Py_XDECREF(seen.filters)
        Py_XDECREF(seen.first)
    return 0


# ---- NumPy, imported by the call that needs it -----------------------------------------------------------------------

cdef object ndarray = None

# NumPy's type numbers, in their order, as dtype characters; text types have no length of their own, and get 1.
cdef list TYPE_CHARACTERS = [*"?bBhHiIlLqQfdgFDGO", "S1", "U1", *"VMme"]


cdef object array_of(PyObject *argument):
    global ndarray
    if ndarray is None:
        import numpy

        ndarray = numpy.ndarray
    if not isinstance(<object>argument, ndarray):
        raise ValueError("needs an ndarray as argument")
    return <object>argument


cdef object util_numpy_to_ptr(facade_call call):
    cdef Py_buffer view
    cdef uint64_t address
    cdef bint contiguous
    array = array_of(call.args[0])
    if PyObject_GetBuffer(array, &view, PyBUF_STRIDES) == 0:
        address = <uint64_t>view.buf
        contiguous = PyBuffer_IsContiguous(&view, b"C")
        PyBuffer_Release(&view)
    else:  # a dtype that no buffer can have, such as datetime64
        PyErr_Clear()
        address = array.__array_interface__["data"][0]
        contiguous = array.flags.c_contiguous
    if not contiguous:
        warn(b"The input ndarray is discontiguous. Please use acl.util.bytes_to_ptr instead.")
    return address


cdef object util_numpy_contiguous_to_ptr(facade_call call):
    array = array_of(call.args[0])
    if not array.flags.c_contiguous:
        array = array.copy(order="C")
    return array.__array_interface__["data"][0], array


cdef object util_ptr_to_numpy(facade_call call, uint64_t address, int32_t number):
    shape = <object>call.args[1]
    if not isinstance(shape, tuple):
        raise ValueError("shape is empty")
    if not all(isinstance(length, int) for length in shape):
        raise TypeError("the second argument is not list of int")
    if any(length < 0 for length in shape):
        raise ValueError("negative dimensions are not allowed")
    if not 0 <= number < len(TYPE_CHARACTERS):
        raise ValueError(f"Invalid data-type for array: np_type is {number}")
    if TYPE_CHARACTERS[number] == "O":
        raise ValueError("Invalid data-type for array: np_type is 17, and memory of a device holds no Python objects")
    import numpy

    dtype = numpy.dtype(TYPE_CHARACTERS[number])
    size = dtype.itemsize
    for length in shape:
        size *= length
    if size > PY_SSIZE_T_MAX:
        raise ValueError(f"shape {shape} is larger than any memory")
    if size == 0:
        return numpy.empty(shape, dtype)
    if address == 0:
        raise ValueError("ptr is 0")
    return numpy.ndarray(shape, dtype, PyMemoryView_FromMemory(<char *>address, size, PyBUF_WRITE))
