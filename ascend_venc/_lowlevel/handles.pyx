# SPDX-License-Identifier: Apache-2.0
"""Tables of live handles of the pyACL facade; see handles.pxd."""
import os

from cpython.object cimport PyObject
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.stdlib cimport calloc, free

from .cavenc cimport ACL_ERROR_INVALID_PARAM, ACL_SUCCESS, aclError
from .fastcall cimport as_uint64, failed, status
from .handles cimport *

pic_descs.kind = b"picture description"
stream_descs.kind = b"stream description"
frame_configs.kind = b"frame configuration"
channel_descs.kind = b"channel description"
contexts.kind = b"context"
streams.kind = b"stream"
events.kind = b"event"
device_memory.kind = b"device memory"
host_memory.kind = b"host memory"

cdef handle_table *every_table[9]
every_table[:] = [
    &pic_descs, &stream_descs, &frame_configs, &channel_descs, &contexts, &streams, &events, &device_memory, &host_memory]


cdef void place(handle_table *table, const handle_entry *entry) noexcept:
    cdef uint64_t i = slot_of(table, entry.key)
    while table.entries[i].key != 0 and table.entries[i].key != entry.key:
        i = (i + 1) & table.mask
    if table.entries[i].key == 0:
        table.count += 1
    table.entries[i] = entry[0]


cdef int grow(handle_table *table) except -1:
    cdef handle_entry *old = table.entries
    cdef uint64_t size = 0 if old == NULL else table.mask + 1
    cdef uint64_t i
    cdef handle_entry *entries = <handle_entry *>calloc(64 if size == 0 else 2 * size, sizeof(handle_entry))
    if entries == NULL:
        raise MemoryError()
    table.entries = entries
    table.mask = (64 if size == 0 else 2 * size) - 1
    table.count = 0
    for i in range(size):
        if old[i].key != 0:
            place(table, &old[i])
    free(old)
    return 0


cdef int reserve(handle_table *table) except -1:
    # More than one place: other threads may register theirs meanwhile.
    if table.entries == NULL or 2 * (table.count + 16) > table.mask:
        grow(table)
    return 0


cdef int insert(handle_table *table, void *handle, int64_t value=0) except -1:
    """Register a handle. One that is known already becomes alive again: its address has been given out anew."""
    cdef handle_entry entry
    if handle == NULL:
        return 0
    if table.entries == NULL or 2 * (table.count + 1) > table.mask:
        grow(table)
    entry.key = <uint64_t>handle
    entry.value = value
    entry.pins = 0
    entry.doomed = NULL
    place(table, &entry)
    return 0


cdef void erase(handle_table *table, handle_entry *entry) noexcept:
    """Empty a slot and move the entries behind it up, so that probing needs no tombstones."""
    cdef uint64_t hole = entry - table.entries
    cdef uint64_t i = hole
    cdef uint64_t home
    table.count -= 1
    while True:
        i = (i + 1) & table.mask
        if table.entries[i].key == 0:
            break
        home = slot_of(table, table.entries[i].key)
        if ((i - home) & table.mask) >= ((i - hole) & table.mask):
            table.entries[hole] = table.entries[i]
            hole = i
    table.entries[hole].key = 0
    table.entries[hole].doomed = NULL


cdef bint remove(handle_table *table, uint64_t key) noexcept:
    cdef handle_entry *entry = find(table, key)
    if entry == NULL:
        return False
    erase(table, entry)
    return True


cdef int remove_device(int32_t device) except -1:
    """Forget the contexts, streams and events of a device that was reset: they went with it."""
    cdef handle_table *table
    cdef uint64_t i
    cdef int which
    for which in range(3):
        table = &contexts if which == 0 else &streams if which == 1 else &events
        if table.entries == NULL:
            continue
        keys = [table.entries[i].key for i in range(table.mask + 1)
                if table.entries[i].key != 0 and table.entries[i].value == device]
        for key in keys:
            remove(table, key)
    return 0


cdef bint pin(handle_table *table, uint64_t key) noexcept:
    cdef handle_entry *entry = find(table, key)
    if entry == NULL or entry.doomed != NULL:
        return False
    entry.pins += 1
    return True


cdef void unpin(handle_table *table, uint64_t key) noexcept:
    cdef handle_entry *entry = find(table, key)
    cdef destructor function
    if entry == NULL:
        return  # forgotten meanwhile: the device was reset, or this is a forked child
    if entry.pins > 0:
        entry.pins -= 1
    if entry.pins == 0 and entry.doomed != NULL:
        function = entry.doomed
        erase(table, entry)
        with nogil:
            function(<void *>key)


cdef object stale(const char *call, handle_table *table, uint64_t key, PyObject **args, Py_ssize_t count):
    return failed(
        call, ACL_ERROR_INVALID_PARAM, args, count,
        f"{key:#x} is not a live {(<bytes>table.kind).decode()}: it was destroyed, or never created in this process")


cdef object destroy_handle(
        const char *call, const char *refusal, handle_table *table, destructor function, PyObject **args,
        Py_ssize_t count):
    cdef uint64_t key = 0
    cdef int64_t value = 0
    cdef handle_entry *entry
    cdef aclError code
    if count != 1 or not as_uint64(args[0], &key):
        raise TypeError((<bytes>refusal).decode())
    if key != 0:
        entry = find(table, key)
        if entry == NULL or entry.doomed != NULL:
            return stale(call, table, key, args, count)
        if entry.pins > 0:
            entry.doomed = function
            return 0
        value = entry.value
        # Taken out first: without the GIL another thread could destroy it a second time.
        erase(table, entry)
    with nogil:
        code = function(<void *>key)
    if code != ACL_SUCCESS and key != 0:
        insert(table, <void *>key, value)
    return status(code, call, args, count)


def _forget_everything():
    """In a forked child: the parent's handles are not this process's."""
    cdef handle_table *table
    cdef int which
    for which in range(9):
        table = every_table[which]
        free(table.entries)
        table.entries = NULL
        table.mask = 0
        table.count = 0


os.register_at_fork(after_in_child=_forget_everything)
