# SPDX-License-Identifier: Apache-2.0
# pyACL's calling convention for the facade's functions (rt, media, util, process).
#
# pyACL's functions are builtins that parse with PyArg_ParseTuple: positional arguments only, one text for every wrong
# number or type, integers that are masked rather than range-checked. A Cython `def` gives neither that text nor that
# speed, so each function is a METH_FASTCALL builtin: it receives a C array of borrowed arguments and converts them with
# the functions below, which follow the format characters of PyArg_ParseTuple that pyACL uses.
from cpython.object cimport PyObject
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

from .cavenc cimport ACL_SUCCESS, aclError, acl_api

cdef extern from "Python.h":
    int METH_FASTCALL
    ctypedef PyObject *(*PyCFunction)(PyObject *, PyObject *)
    ctypedef struct PyMethodDef:
        const char *ml_name
        PyCFunction ml_meth
        int ml_flags
        const char *ml_doc
    bint is_int "PyLong_Check"(PyObject *)
    bint is_float "PyFloat_Check"(PyObject *)
    uint64_t masked_uint64 "PyLong_AsUnsignedLongLongMask"(PyObject *)  # an int: cannot raise
    unsigned long masked_or_raise "PyLong_AsUnsignedLongMask"(PyObject *) except? 0xFFFFFFFFFFFFFFFF
    long long_or_raise "PyLong_AsLong"(PyObject *) except? -1

# The type of every facade function: (ignored, borrowed arguments, their number).
ctypedef object (*fastcall)(PyObject *, PyObject **, Py_ssize_t)

# The table of the process's AscendCL; NULL until the first call that needs it.
cdef const acl_api *loaded_api

cdef const acl_api *open_api() except NULL

# Make a builtin of `function` and put it into the namespace of a facade module. `slot` must never move.
cdef int export(dict namespace, PyMethodDef *slot, const char *name, fastcall function, const char *doc) except -1

# Return the code of a call that failed, after keeping it with its reason as the thread's last failure.
cdef object failed(const char *call, int32_t code, PyObject **args, Py_ssize_t count, object reason=*)

# The same for an optional function that the loaded AscendCL lacks: 200001.
cdef object unsupported(const char *call, PyObject **args, Py_ssize_t count)


# The table; finds and loads AscendCL at the first call, and raises if there is none.
cdef inline const acl_api *api() except NULL:
    return loaded_api if loaded_api != NULL else open_api()


cdef inline object status(aclError code, const char *call, PyObject **args, Py_ssize_t count):
    return 0 if code == ACL_SUCCESS else failed(call, code, args, count)


# k and K: an int (so also a bool), masked to 64 bits.
cdef inline bint as_uint64(PyObject *arg, uint64_t *value) noexcept:
    if not is_int(arg):
        return False
    value[0] = masked_uint64(arg)
    return True


# I: an int or an object with __index__, masked to 32 bits.
cdef inline bint as_uint32(PyObject *arg, uint32_t *value) except -1:
    if is_int(arg):
        value[0] = <uint32_t>masked_uint64(arg)
        return True
    return slow_uint32(arg, value)


# B: the same, masked to 8 bits.
cdef inline bint as_uint8(PyObject *arg, uint8_t *value) except -1:
    cdef uint32_t wide = 0
    if not as_uint32(arg, &wide):
        return False
    value[0] = <uint8_t>wide
    return True


cdef bint slow_uint32(PyObject *arg, uint32_t *value) except -1

# i: an int or an object with __index__ that fits 32 bits.
cdef bint as_int32(PyObject *arg, int32_t *value) except -1
