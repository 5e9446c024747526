# SPDX-License-Identifier: Apache-2.0
# Tables of live handles. pyACL's handles are plain ints: what a program passes is looked up here before it is used as a
# pointer, so that a stale, foreign or forged int is an error code instead of a crash.
#
# Every function needs the GIL. A call that gives the GIL up while it uses a handle pins it: a handle that another thread
# destroys meanwhile is dead for everybody at once, and its native object goes when the last pin is dropped.
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free

ctypedef aclError (*destructor)(void *) noexcept nogil
ctypedef void *(*creator)() noexcept nogil

cdef struct handle_entry:
    uint64_t key        # the native pointer; 0: empty
    int64_t value       # contexts, streams, events: their device; channel descriptions: their Channel, borrowed
    bint own_context    # a context of create_context, or made in one: no reset of the device ends it, but by force
    uint32_t pins       # calls that use it without the GIL
    destructor doomed   # destroyed while pinned: what is still to be called; NULL: alive

cdef struct handle_table:
    handle_entry *entries  # open addressing, linear probing; never more than half full
    uint64_t mask          # size - 1
    uint64_t count         # entries in use
    const char *kind       # for messages

cdef handle_table pic_descs = handle_table(NULL, 0, 0, b"picture description")
cdef handle_table stream_descs = handle_table(NULL, 0, 0, b"stream description")
cdef handle_table frame_configs = handle_table(NULL, 0, 0, b"frame configuration")
cdef handle_table channel_descs = handle_table(NULL, 0, 0, b"channel description")
cdef handle_table contexts = handle_table(NULL, 0, 0, b"context")
cdef handle_table streams = handle_table(NULL, 0, 0, b"stream")
cdef handle_table events = handle_table(NULL, 0, 0, b"event")
cdef handle_table device_memory = handle_table(NULL, 0, 0, b"device memory")
cdef handle_table host_memory = handle_table(NULL, 0, 0, b"host memory")

cdef handle_table *every_table[9]
every_table[:] = [
    &pic_descs, &stream_descs, &frame_configs, &channel_descs, &contexts, &streams, &events, &device_memory, &host_memory]


# ---- the table -----------------------------------------------------------------------------------------------------------

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


cdef inline handle_entry *find_live(const handle_table *table, uint64_t key) noexcept:
    cdef handle_entry *entry = find(table, key)
    return entry if entry != NULL and entry.doomed == NULL else NULL


cdef inline bint is_live(const handle_table *table, uint64_t key) noexcept:
    return find_live(table, key) != NULL


cdef void put(handle_table *table, const handle_entry *entry) noexcept:
    cdef uint64_t i = slot_of(table, entry.key)
    while table.entries[i].key != 0:
        i = (i + 1) & table.mask
    table.count += 1
    table.entries[i] = entry[0]


cdef inline int reserve(handle_table *table, uint64_t places=16) except -1:
    """Before AscendCL makes something: room to register it, so that insert cannot run out of memory afterwards.

    More than one place: other threads may register theirs meanwhile.
    """
    return 0 if 2 * (table.count + places) <= table.mask else grow(table)


cdef int grow(handle_table *table) except -1:
    cdef handle_entry *entries
    cdef handle_entry *old = table.entries
    cdef uint64_t i, size = 0 if old == NULL else table.mask + 1
    cdef uint64_t grown = 2 * size if size else 64
    entries = <handle_entry *>calloc(grown, sizeof(handle_entry))
    if entries == NULL:
        raise MemoryError()
    table.entries = entries
    table.mask = grown - 1
    table.count = 0
    for i in range(size):
        if old[i].key != 0:
            put(table, &old[i])
    free(old)
    return 0


cdef int insert(handle_table *table, void *handle, int64_t value, bint own_context=False) except -1:
    """Register a handle that AscendCL has just given out.

    One that is known already was ended behind the facade's back, and its address has come back: it is alive again. Pins of
    calls that still use the old one stay, since each of them will be taken back.
    """
    cdef handle_entry entry = handle_entry(<uint64_t>handle, value, own_context, 0, NULL)
    cdef uint64_t i
    if handle == NULL:
        return 0
    reserve(table, 1)
    i = slot_of(table, entry.key)
    while table.entries[i].key != 0 and table.entries[i].key != entry.key:
        i = (i + 1) & table.mask
    if table.entries[i].key == 0:
        table.count += 1
    else:
        entry.pins = table.entries[i].pins
    table.entries[i] = entry
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


cdef aclError gone_already(void *handle) noexcept nogil:
    """What is left to do for a handle whose native object went with its device."""
    return ACL_SUCCESS


cdef int remove_device(int32_t device, bint force) except -1:
    """Forget what went with a device that was reset: its default context, with the streams and events that were made in
    it; by force, all contexts."""
    cdef handle_table *table
    cdef handle_entry *entry
    cdef uint64_t i
    for table in every_table[4:7]:  # contexts, streams, events
        if table.entries == NULL:
            continue
        keys = [table.entries[i].key for i in range(table.mask + 1)
                if table.entries[i].key != 0 and table.entries[i].value == device
                and (force or not table.entries[i].own_context)]
        for key in keys:
            entry = find(table, key)
            if entry.pins > 0:
                entry.doomed = gone_already
            else:
                erase(table, entry)
    return 0


cdef bint pin(handle_table *table, uint64_t key) noexcept:
    cdef handle_entry *entry = find_live(table, key)
    if entry == NULL:
        return False
    entry.pins += 1
    return True


cdef void unpin(handle_table *table, uint64_t key) noexcept:
    cdef handle_entry *entry = find(table, key)
    cdef destructor function
    if entry == NULL:
        return  # never pinned, or this is a forked child
    if entry.pins > 0:
        entry.pins -= 1
    if entry.pins == 0 and entry.doomed != NULL:
        function = entry.doomed
        erase(table, entry)
        with nogil:
            function(<void *>key)


cdef int forget_handles() except -1:
    for table in every_table:
        free(table.entries)
        table.entries = NULL
        table.mask = 0
        table.count = 0
    return 0


# ---- bodies of functions ---------------------------------------------------------------------------------------------

cdef object stale(facade_call call, handle_table *table, uint64_t key):
    """The code and the reason for a handle that is not in its table."""
    return failed(
        call, ACL_ERROR_INVALID_PARAM,
        f"{key:#x} is not a live {(<bytes>table.kind).decode()}: it was destroyed, or never created in this process")


cdef object create_handle(facade_call call, handle_table *table, creator function):
    """The body of what creates a description, all of which are acl.media's: its handle, or 0 with the reason kept."""
    avenc_interface_expect(AVENC_DVPP_V1)
    reserve(table)
    cdef void *handle = function()
    if handle == NULL:
        return no_handle(call)
    insert(table, handle, 0)
    return <uint64_t>handle


cdef object no_handle(facade_call call):
    cdef aclrtContext context = NULL
    if loaded_api.aclrtGetCurrentContext(&context) == ACL_SUCCESS and context != NULL:
        failed(call, ACL_ERROR_BAD_ALLOC)
    else:
        failed(call, ACL_ERROR_RT_CONTEXT_NULL)
    return 0


cdef object destroy_handle(facade_call call, handle_table *table, destructor function, bint waits, uint64_t key):
    """The body of every destroy and free function."""
    cdef handle_entry *entry
    cdef handle_entry taken
    cdef aclError code
    if key != 0:
        entry = find_live(table, key)
        if entry == NULL:
            return stale(call, table, key)
        if entry.pins > 0:
            entry.doomed = function
            return 0
        # Taken out first: without the GIL another thread could destroy it a second time.
        taken = entry[0]
        erase(table, entry)
    if waits:
        with nogil:
            code = function(<void *>key)
    else:
        code = function(<void *>key)
    if code != ACL_SUCCESS and key != 0:
        insert(table, <void *>key, taken.value, taken.own_context)
    return status(call, code)
