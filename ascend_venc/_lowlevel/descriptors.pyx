# SPDX-License-Identifier: Apache-2.0
"""The shapes that the functions of acl.media have; see descriptors.pxd."""
from cpython.object cimport PyObject
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

from .cavenc cimport *
from .descriptors cimport *
from .fastcall cimport *
from .handles cimport *


cdef int refuse(const char *call) except -1:
    raise TypeError((<bytes>call).decode() + " args parse failed!")


cdef object explained(const char *call, aclError code, PyObject **args, Py_ssize_t count):
    """The code of a setter; with the range that the value is outside of, where the facade knows it."""
    if code == ACL_SUCCESS:
        return 0
    from .. import diagnosis  # when something is to be explained, not at import

    name = (<bytes>call).decode().rpartition(".")[2]
    return failed(call, code, args, count, diagnosis.of_setter(name, [<object>args[i] for i in range(count)]))


cdef object set_uint32(
        const char *call, handle_table *table, uint32_setter function, PyObject **args, Py_ssize_t count):
    cdef uint64_t handle = 0
    cdef uint32_t value = 0
    if count != 2 or not as_uint64(args[0], &handle) or not as_uint32(args[1], &value):
        refuse(call)
    if function == NULL:
        return unsupported(call, args, count)
    if not is_live_or_null(table, handle):
        return stale(call, table, handle, args, count)
    return explained(call, function(<void *>handle, value), args, count)


# Also for pointers: an address is passed as the same 64 bits.
cdef object set_uint64(
        const char *call, handle_table *table, uint64_setter function, PyObject **args, Py_ssize_t count):
    cdef uint64_t handle = 0, value = 0
    if count != 2 or not as_uint64(args[0], &handle) or not as_uint64(args[1], &value):
        refuse(call)
    if not is_live_or_null(table, handle):
        return stale(call, table, handle, args, count)
    return explained(call, function(<void *>handle, value), args, count)


cdef object set_uint8(
        const char *call, handle_table *table, uint8_setter function, PyObject **args, Py_ssize_t count):
    cdef uint64_t handle = 0
    cdef uint8_t value = 0
    if count != 2 or not as_uint64(args[0], &handle) or not as_uint8(args[1], &value):
        refuse(call)
    if not is_live_or_null(table, handle):
        return stale(call, table, handle, args, count)
    return explained(call, function(<void *>handle, value), args, count)


cdef object set_enum(
        const char *call, handle_table *table, int32_setter function, PyObject **args, Py_ssize_t count):
    cdef uint64_t handle = 0
    cdef int32_t value = 0
    if count != 2 or not as_uint64(args[0], &handle) or not as_int32(args[1], &value):
        refuse(call)
    if not is_live_or_null(table, handle):
        return stale(call, table, handle, args, count)
    return explained(call, function(<void *>handle, value), args, count)


cdef const void *handle_to_read(
        const char *call, handle_table *table, PyObject **args, Py_ssize_t count) except? NULL:
    """The handle to read from: NULL, for which AscendCL has its own answer, in place of one that is not alive."""
    cdef uint64_t handle = 0
    if count != 1 or not as_uint64(args[0], &handle):
        refuse(call)
    return <const void *>handle if is_live(table, handle) else NULL


cdef object get_uint32(
        const char *call, handle_table *table, uint32_getter function, PyObject **args, Py_ssize_t count):
    cdef const void *handle = handle_to_read(call, table, args, count)
    return function(handle) if function != NULL else 0


cdef object get_uint64(
        const char *call, handle_table *table, uint64_getter function, PyObject **args, Py_ssize_t count):
    cdef const void *handle = handle_to_read(call, table, args, count)
    return function(handle)


cdef object get_uint8(
        const char *call, handle_table *table, uint8_getter function, PyObject **args, Py_ssize_t count):
    cdef const void *handle = handle_to_read(call, table, args, count)
    return function(handle)


cdef object get_enum(
        const char *call, handle_table *table, int32_getter function, PyObject **args, Py_ssize_t count):
    cdef const void *handle = handle_to_read(call, table, args, count)
    return function(handle)


cdef object create_handle(const char *call, handle_table *table, creator function, PyObject **args, Py_ssize_t count):
    cdef void *handle
    reserve(table)
    with nogil:  # allocates on the device
        handle = function()
    if handle == NULL:
        failed(call, ACL_ERROR_RT_CONTEXT_NULL if not has_context() else ACL_ERROR_BAD_ALLOC, args, count)
        return 0
    insert(table, handle)
    return <uint64_t>handle


cdef bint has_context() noexcept:
    cdef aclrtContext context = NULL
    return loaded_api.aclrtGetCurrentContext(&context) == ACL_SUCCESS and context != NULL
