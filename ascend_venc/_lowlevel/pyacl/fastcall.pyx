# SPDX-License-Identifier: Apache-2.0
# pyACL's calling convention, the loaded library, and the memory of what failed.
#
# pyACL's functions are builtins that parse with PyArg_ParseTuple: positional arguments only, one text for every wrong
# number or type, integers that are masked rather than range-checked. A Cython `def` gives neither that text nor that
# speed, so each function is a METH_FASTCALL builtin (functions.pxi): it receives a C array of borrowed arguments and
# converts them with the functions below, which follow the format characters of PyArg_ParseTuple that pyACL uses.
#
# The last failure of each thread is kept as text: call, arguments, code, name, reason, hint. acl.get_recent_err_msg takes it.
# With ASCEND_VENC_LOG=debug each failing call is also logged, through the logger "ascend_venc".
from cpython.object cimport PyObject
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

cdef extern from "Python.h":
    int METH_FASTCALL
    ctypedef PyObject *(*PyCFunction)(PyObject *, PyObject *)
    ctypedef struct PyMethodDef:
        const char *ml_name
        PyCFunction ml_meth
        int ml_flags
        const char *ml_doc
    object PyCFunction_NewEx(PyMethodDef *, PyObject *, object)
    bint is_int "PyLong_Check"(PyObject *)
    bint is_exact_int "PyLong_CheckExact"(PyObject *)
    bint is_float "PyFloat_Check"(PyObject *)
    uint64_t masked_uint64 "PyLong_AsUnsignedLongLongMask"(PyObject *)  # an int: cannot raise
    unsigned long masked_or_raise "PyLong_AsUnsignedLongMask"(PyObject *) except? 0xFFFFFFFFFFFFFFFF
    long long_and_overflow "PyLong_AsLongAndOverflow"(PyObject *, int *)  # an int: cannot raise
    long long_or_raise "PyLong_AsLong"(PyObject *) except? -1

# The type of every facade function: (ignored, borrowed arguments, their number).
ctypedef object (*fastcall)(PyObject *, PyObject **, Py_ssize_t)

# A call of one, as it is told when it fails.
cdef struct facade_call:
    const char *name
    PyObject **args
    Py_ssize_t given

# ---- builtins ----------------------------------------------------------------------------------------------------------

cdef dict namespaces = {"acl": {}, "acl.rt": {}, "acl.media": {}, "acl.util": {}, "acl.himpi": {}}
cdef PyMethodDef method_slots[200]  # they must never move
cdef int methods = 0


cdef int export(str namespace, const char *name, fastcall function, const char *doc) except -1:
    """Make a builtin of `function` and put it into a namespace of pyACL."""
    global methods
    if methods == <int>(sizeof(method_slots) // sizeof(method_slots[0])):
        raise SystemError("method_slots is too short")
    cdef PyMethodDef *slot = &method_slots[methods]
    slot.ml_name = name
    slot.ml_meth = <PyCFunction>function
    slot.ml_flags = METH_FASTCALL
    slot.ml_doc = doc
    methods += 1
    namespaces[namespace][name.decode()] = PyCFunction_NewEx(slot, NULL, namespace)
    return 0


# ---- the library -------------------------------------------------------------------------------------------------------

cdef const acl_api *loaded_api = NULL  # the table of the process's AscendCL, once a call has needed it
cdef const acl_api *fast_api = NULL    # the same; NULL where each call is to note its caller first
cdef strict_hooks strict               # of the simulated device's strict mode; empty otherwise
cdef dict places = {}                  # (file, line, name) -> text; the simulated device keeps pointers to them


cdef inline const acl_api *api() except NULL:
    """The table; finds and loads AscendCL at the first call, and raises if there is none."""
    return fast_api if fast_api != NULL else open_api()


cdef const acl_api *open_api() except NULL:
    """The table, found at the first call; strict mode is told which line of the program calls, for its reports."""
    global loaded_api, fast_api
    cdef bytes place
    if loaded_api == NULL:
        loaded_api = default_api()
        find_strict_hooks(&strict)
        if strict.set_caller == NULL:
            fast_api = loaded_api
    if strict.set_caller == NULL:
        return loaded_api
    try:
        frame = sys._getframe(0)
    except ValueError:  # no Python code is running on this thread
        strict.set_caller(NULL)
        return loaded_api
    code, line = frame.f_code, frame.f_lineno
    key = code.co_filename, line, code.co_name  # code of equal files is equal
    place = places.get(key)
    if place is None:
        place = f"{code.co_filename}:{line} in {code.co_name}".encode("utf-8", "replace")
        place = places.setdefault(key, place)
    strict.set_caller(place)
    return loaded_api


# ---- arguments -----------------------------------------------------------------------------------------------------------

cdef int refuse(const char *text) except -1:
    raise TypeError((<bytes>text).decode())


cdef inline bint as_uint64(PyObject *arg, uint64_t *value) noexcept:
    """k and K: an int (so also a bool), masked to 64 bits."""
    if not is_int(arg):
        return False
    value[0] = masked_uint64(arg)
    return True


cdef inline bint as_uint32(PyObject *arg, uint32_t *value) except -1:
    """I, and B, whose call takes the lower bits: an int or an object with __index__, masked to 32 bits."""
    if is_int(arg):
        value[0] = <uint32_t>masked_uint64(arg)
        return True
    return slow_uint32(arg, value)


cdef bint slow_uint32(PyObject *arg, uint32_t *value) except -1:
    if is_float(arg):
        return False
    try:
        value[0] = <uint32_t>masked_or_raise(arg)
    except (TypeError, OverflowError):
        return False
    return True


cdef inline bint as_int32(PyObject *arg, int32_t *value) except -1:
    """i: an int or an object with __index__ that fits 32 bits."""
    cdef int beyond = 0
    cdef long wide = long_and_overflow(arg, &beyond) if is_int(arg) else slow_long(arg, &beyond)
    if beyond or not -0x80000000 <= wide <= 0x7FFFFFFF:
        return False
    value[0] = <int32_t>wide
    return True


cdef long slow_long(PyObject *arg, int *beyond) except? -1:
    if not is_float(arg):
        try:
            return long_or_raise(arg)
        except (TypeError, OverflowError):
            pass
    beyond[0] = True
    return 0


# ---- failures ------------------------------------------------------------------------------------------------------------

cdef object failures = threading.local()
cdef object log = None  # the logger; False: there is to be none; None: not decided yet


cdef inline object status(facade_call call, aclError code):
    return 0 if code == ACL_SUCCESS else failed(call, code)


cdef object failed(facade_call call, int64_t code, object reason=None, bint hint=True):
    """Return the code of a call that failed, after keeping it with its reason as the thread's last failure."""
    global log
    cdef const char *runtime_text = NULL
    # The runtime's text dies with this thread's next call, and reading clears it.
    if loaded_api != NULL and loaded_api.aclGetRecentErrMsg != NULL:
        runtime_text = loaded_api.aclGetRecentErrMsg()
    if runtime_text != NULL:
        text = (<bytes>runtime_text).decode("utf-8", "replace").strip()
        reason = text if not reason else f"{reason}; {text}" if text else reason
    row = errors.lookup(code)
    message = f"{(<bytes>call.name).decode()}({describe_arguments(call)}) returned {code} {row.name}"
    if reason:
        message = f"{message}: {reason}"
    if hint and row.hint:
        message = f"{message.rstrip('.')}. {row.hint}"
    failures.text = message
    if log is None:
        log = decide_log()
    if log is not False:
        log.debug("%s", message)
    return code


cdef object unsupported(facade_call call):
    """The same for an optional function that the loaded AscendCL lacks: 200001."""
    return failed(call, ACL_ERROR_API_NOT_SUPPORT, "the loaded AscendCL has no such function")


cdef object explained(facade_call call, aclError code):
    """The code of a setter that failed; with the range that the value is outside of, where the facade knows it."""
    from ... import diagnosis  # when something is to be explained, not at import

    name = (<bytes>call.name).decode().rpartition(".")[2]
    return failed(call, code, diagnosis.of_setter(name, [<object>call.args[i] for i in range(call.given)]))


cdef str describe_arguments(facade_call call):
    """Describe what a call was given: small ints as they are, addresses in hexadecimal, anything else by its type."""
    words = []
    for i in range(call.given):
        argument = <object>call.args[i]
        if isinstance(argument, int) and not isinstance(argument, bool):
            number = int.__pos__(argument)  # by no code of a class of the program's
            if number.bit_length() > 64:
                words.append(f"<int of {number.bit_length()} bits>")
            else:
                words.append(hex(number) if number > 0xFFFFFFF else repr(number))
        elif type(argument) is str or argument is None or isinstance(argument, bool):
            words.append(repr(argument))
        else:
            words.append(f"<{type(argument).__name__}>")
    return ", ".join(words)


cdef object decide_log():
    if os.environ.get("ASCEND_VENC_LOG", "").lower() != "debug":
        return False
    import logging

    logger = logging.getLogger("ascend_venc")
    logger.setLevel(logging.DEBUG)
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(name)s %(levelname)s [%(threadName)s] %(message)s"))
        logger.addHandler(handler)
    return logger
