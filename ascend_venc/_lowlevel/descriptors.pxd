# SPDX-License-Identifier: Apache-2.0
# The shapes that the functions of acl.media have: set a field of a description, get one, create one. Each takes the
# facade function's own name, for its messages, and the function of the table that does it.
from cpython.object cimport PyObject
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

from .cavenc cimport aclError
from .handles cimport handle_table

ctypedef aclError (*uint32_setter)(void *, uint32_t) noexcept nogil
ctypedef aclError (*uint64_setter)(void *, uint64_t) noexcept nogil
ctypedef aclError (*uint8_setter)(void *, uint8_t) noexcept nogil
ctypedef aclError (*int32_setter)(void *, int32_t) noexcept nogil
ctypedef uint32_t (*uint32_getter)(const void *) noexcept nogil
ctypedef uint64_t (*uint64_getter)(const void *) noexcept nogil
ctypedef uint8_t (*uint8_getter)(const void *) noexcept nogil
ctypedef int32_t (*int32_getter)(const void *) noexcept nogil
ctypedef void *(*creator)() noexcept nogil

# Raise the TypeError of media functions, which ends in "!".
cdef int refuse(const char *call) except -1
cdef object explained(const char *call, aclError code, PyObject **args, Py_ssize_t count)

cdef object set_uint32(
    const char *call, handle_table *table, uint32_setter function, PyObject **args, Py_ssize_t count)
cdef object set_uint64(
    const char *call, handle_table *table, uint64_setter function, PyObject **args, Py_ssize_t count)
cdef object set_uint8(
    const char *call, handle_table *table, uint8_setter function, PyObject **args, Py_ssize_t count)
cdef object set_enum(
    const char *call, handle_table *table, int32_setter function, PyObject **args, Py_ssize_t count)
cdef object get_uint32(
    const char *call, handle_table *table, uint32_getter function, PyObject **args, Py_ssize_t count)
cdef object get_uint64(
    const char *call, handle_table *table, uint64_getter function, PyObject **args, Py_ssize_t count)
cdef object get_uint8(
    const char *call, handle_table *table, uint8_getter function, PyObject **args, Py_ssize_t count)
cdef object get_enum(
    const char *call, handle_table *table, int32_getter function, PyObject **args, Py_ssize_t count)
cdef object create_handle(
    const char *call, handle_table *table, creator function, PyObject **args, Py_ssize_t count)
