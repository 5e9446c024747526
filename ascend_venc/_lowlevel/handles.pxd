# SPDX-License-Identifier: Apache-2.0
# Tables of live handles. pyACL's handles are plain ints: what a program passes is looked up here before it is used as a
# pointer, so that a stale, foreign or forged int is an error code instead of a crash.
#
# Every function needs the GIL. A call that releases the GIL while it uses a handle pins it: a handle that another thread
# destroys meanwhile is dead for everybody at once, and its native object goes when the last pin is dropped.
from cpython.object cimport PyObject
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from .cavenc cimport aclError

ctypedef aclError (*destructor)(void *) noexcept nogil

cdef struct handle_entry:
    uint64_t key        # the native pointer; 0: empty
    int64_t value       # what the kind of handle wants to remember
    uint32_t pins       # calls that use it without the GIL
    destructor doomed   # destroyed while pinned: what is still to be called; NULL: alive

cdef struct handle_table:
    handle_entry *entries  # open addressing, linear probing; never more than half full
    uint64_t mask          # size - 1
    uint64_t count         # entries in use
    const char *kind       # for messages

cdef handle_table pic_descs, stream_descs, frame_configs, channel_descs
cdef handle_table contexts, streams, events   # value: device
cdef handle_table device_memory, host_memory

# Before AscendCL makes something: room to register it, so that insert cannot run out of memory afterwards.
cdef int reserve(handle_table *table) except -1
cdef int insert(handle_table *table, void *handle, int64_t value=*) except -1
cdef bint remove(handle_table *table, uint64_t key) noexcept
cdef int remove_device(int32_t device) except -1
cdef bint pin(handle_table *table, uint64_t key) noexcept
cdef void unpin(handle_table *table, uint64_t key) noexcept

# Destroy what a handle stands for: the body of every destroy and free function of one argument.
cdef object destroy_handle(
    const char *call, const char *refusal, handle_table *table, destructor function, PyObject **args, Py_ssize_t count)

# The code and the reason for a handle that is not in its table.
cdef object stale(const char *call, handle_table *table, uint64_t key, PyObject **args, Py_ssize_t count)


cdef inline uint64_t slot_of(const handle_table *table, uint64_t key) noexcept nogil:
    return ((key >> 4) * 0x9E3779B97F4A7C15ULL >> 20) & table.mask


cdef inline handle_entry *find(const handle_table *table, uint64_t key) noexcept:
    cdef uint64_t i
    if table.count == 0 or key == 0:
        return NULL
    i = slot_of(table, key)
    while table.entries[i].key != 0:
        if table.entries[i].key == key:
            return &table.entries[i]
        i = (i + 1) & table.mask
    return NULL


cdef inline bint is_live(const handle_table *table, uint64_t key) noexcept:
    cdef handle_entry *entry = find(table, key)
    return entry != NULL and entry.doomed == NULL


# For functions to which NULL is an argument like any other: AscendCL answers for it.
cdef inline bint is_live_or_null(const handle_table *table, uint64_t key) noexcept:
    return key == 0 or is_live(table, key)
