# SPDX-License-Identifier: Apache-2.0
"""What every facade function needs: arguments, the loaded library, and the memory of what failed.

The last failure of each thread is kept as text: call, arguments, code, name, reason, hint. `last_failure` takes it. With
ASCEND_VENC_LOG=debug each failing call is also logged, through the logger "ascend_venc".
"""
import os
import threading

from cpython.object cimport PyObject
from libc.stdint cimport int32_t, uint32_t

from .. import errors
from .cavenc cimport ACL_ERROR_API_NOT_SUPPORT, acl_api
from .core cimport default_api
from .fastcall cimport *

cdef extern from "Python.h":
    object PyCFunction_NewEx(PyMethodDef *, PyObject *, object)

cdef object _thread = threading.local()
cdef object _log = None  # the logger; None: not asked for; set at the first failure
cdef bint _log_decided = False


cdef const acl_api *open_api() except NULL:
    global loaded_api
    loaded_api = default_api()
    return loaded_api


cdef int export(dict namespace, PyMethodDef *slot, const char *name, fastcall function, const char *doc) except -1:
    slot.ml_name = name
    slot.ml_meth = <PyCFunction>function
    slot.ml_flags = METH_FASTCALL
    slot.ml_doc = doc
    namespace[name.decode()] = PyCFunction_NewEx(slot, NULL, namespace["__name__"])
    return 0


cdef bint slow_uint32(PyObject *arg, uint32_t *value) except -1:
    if is_float(arg):
        return False
    try:
        value[0] = <uint32_t>masked_or_raise(arg)
    except (TypeError, OverflowError):
        return False
    return True


cdef bint as_int32(PyObject *arg, int32_t *value) except -1:
    cdef long wide
    if is_float(arg):
        return False
    try:
        wide = long_or_raise(arg)
    except (TypeError, OverflowError):
        return False
    if not -0x80000000 <= wide <= 0x7FFFFFFF:
        return False
    value[0] = <int32_t>wide
    return True


cdef str describe_arguments(PyObject **args, Py_ssize_t count):
    """Describe what a call was given: small ints as they are, addresses in hexadecimal, anything else by its type."""
    words = []
    for i in range(count):
        argument = <object>args[i]
        if isinstance(argument, int):
            words.append(hex(argument) if argument > 0xFFFFFFF else repr(argument))
        elif isinstance(argument, str) or argument is None:
            words.append(repr(argument))
        else:
            words.append(f"<{type(argument).__name__}>")
    return ", ".join(words)


cdef int decide_log() except -1:
    global _log, _log_decided
    _log_decided = True
    if os.environ.get("ASCEND_VENC_LOG", "").lower() != "debug":
        return 0
    import logging

    _log = logging.getLogger("ascend_venc")
    _log.setLevel(logging.DEBUG)
    if not _log.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(name)s %(levelname)s [%(threadName)s] %(message)s"))
        _log.addHandler(handler)
    return 0


cdef object failed(const char *call, int32_t code, PyObject **args, Py_ssize_t count, object reason=None):
    cdef const char *runtime_text = NULL
    # The runtime's text dies with this thread's next call, and reading clears it.
    if loaded_api != NULL and loaded_api.aclGetRecentErrMsg != NULL:
        runtime_text = loaded_api.aclGetRecentErrMsg()
    if runtime_text != NULL:
        text = (<bytes>runtime_text).decode("utf-8", "replace").strip()
        reason = text if not reason else f"{reason}; {text}" if text else reason
    row = errors.lookup(code)
    message = f"{(<bytes>call).decode()}({describe_arguments(args, count)}) returned {code} {row.name}"
    if reason:
        message = f"{message}: {reason}"
    if row.hint:
        message = f"{message.rstrip('.')}. {row.hint}"
    _thread.failure = message
    if not _log_decided:
        decide_log()
    if _log is not None:
        _log.debug("%s", message)
    return code


cdef object unsupported(const char *call, PyObject **args, Py_ssize_t count):
    return failed(call, ACL_ERROR_API_NOT_SUPPORT, args, count, "the loaded AscendCL has no such function")


def last_failure():
    """Take the calling thread's last failure as a text; None if nothing failed since it was last taken."""
    message = getattr(_thread, "failure", None)
    _thread.failure = None
    return message
