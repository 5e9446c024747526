# SPDX-License-Identifier: Apache-2.0
# Callbacks that are to come: what acl.media.venc_send_frame and acl.rt.launch_callback expect, and for which channel.
#
# What the runtime is given as user data is a number, not a pointer: place and generation in a table of deliveries, whose
# entry is taken out when its callback comes. So a callback that comes twice, late, or after its channel was destroyed
# finds nothing and does nothing.
from cpython.exc cimport PyErr_CheckSignals
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdlib cimport realloc

cdef dict channels = {}  # handle of a channel description -> Channel


@cython.internal
@cython.auto_pickle(False)
cdef class Channel:
    """What the facade knows of an encoder channel description."""
    cdef uint64_t desc        # the handle
    cdef object callback      # for the next frame; None: not set
    cdef bint created         # venc_create_channel succeeded, venc_destroy_channel has not
    cdef bint destroying      # a thread is in venc_destroy_channel
    cdef bint left_out        # a report was processed on its thread that ran no callback of ours, and none came since
    cdef int users            # threads in venc_send_frame or venc_create_channel
    cdef uint64_t thread_id   # whose process_report delivers, as set when the channel was created
    cdef object thread        # its threading.Thread, None if it has none
    cdef uint64_t accepted    # frames sent so far
    cdef uint64_t pending     # of these, not delivered yet
    cdef list waiters         # locks, released when pending or users reaches 0


# One callback to come: a frame of a channel, or a launched function. Owns its references until it has run.
cdef struct delivery:
    uint64_t number       # generation << 32 | place in the table + 1; what the runtime is given
    uint64_t returned     # in the order in which their sends came back; 0: its thread is inside the runtime
    uint64_t frame        # number of the frame in its channel
    PyObject *function    # NULL: the place is free
    PyObject *user_data
    PyObject *picture     # the int that the program gave; NULL: none, or of another type
    uint64_t input        # its value
    PyObject *channel     # NULL: launched by acl.rt.launch_callback
    uint32_t next_free    # place + 1; 0: none

cdef delivery *deliveries = NULL
cdef uint32_t deliveries_size = 0
cdef uint32_t first_free = 0     # place + 1; 0: none
cdef uint64_t last_returned = 0


cdef inline int reserve_delivery() except -1:
    """Room for one more, so that `expect` cannot fail before the GIL is given up."""
    return 0 if first_free != 0 else grow_deliveries()


cdef int grow_deliveries() except -1:
    global deliveries, deliveries_size, first_free
    cdef uint32_t i, size = 64 if deliveries_size == 0 else 2 * deliveries_size
    cdef delivery *grown = <delivery *>realloc(deliveries, size * sizeof(delivery))
    if grown == NULL:
        raise MemoryError()
    for i in range(deliveries_size, size):
        grown[i].number = i + 1
        grown[i].function = NULL
        grown[i].next_free = i + 2 if i + 1 < size else first_free
    first_free = deliveries_size + 1
    deliveries = grown
    deliveries_size = size
    return 0


cdef uint64_t expect(object function, object user_data, Channel channel) except 0:
    """Enter a callback that is to come. Returns its number."""
    global first_free
    cdef delivery *entry
    reserve_delivery()
    entry = &deliveries[first_free - 1]
    first_free = entry.next_free
    entry.number += <uint64_t>1 << 32  # never 0, and no number comes again in 2**32 uses of its place
    entry.returned = 0
    Py_INCREF(function)
    Py_INCREF(user_data)
    entry.function = <PyObject *>function
    entry.user_data = <PyObject *>user_data
    entry.picture = entry.channel = NULL
    if channel is not None:
        Py_INCREF(channel)
        entry.channel = <PyObject *>channel
        entry.frame = channel.accepted
        channel.accepted += 1
        channel.pending += 1
    return entry.number


cdef inline void keep_picture(uint64_t number, PyObject *given, uint64_t value) noexcept:
    """The program's own int for the picture of a delivery that was just entered: its callback gets that again."""
    cdef delivery *entry = &deliveries[<uint32_t>number - 1]
    cdef int beyond = 0
    if is_exact_int(given) and <uint64_t>long_and_overflow(given, &beyond) == value and not beyond:
        Py_INCREF(<object>given)
        entry.picture = given
        entry.input = value


cdef void has_returned(uint64_t number) noexcept:
    """The call that was given this number has come back with success."""
    global last_returned
    cdef uint32_t i = <uint32_t>number - 1
    last_returned += 1
    if i < deliveries_size and deliveries[i].number == number:  # else its callback has come
        deliveries[i].returned = last_returned


cdef bint take(uint64_t number, delivery *taken) noexcept:
    """Take a delivery out of the table, with its references; False if it is not there (any more)."""
    global first_free
    cdef uint32_t i = <uint32_t>number - 1
    if i >= deliveries_size or deliveries[i].number != number or deliveries[i].function == NULL:
        return False
    taken[0] = deliveries[i]
    deliveries[i].function = NULL
    deliveries[i].next_free = first_free
    first_free = i + 1
    return True


cdef int wake(Channel channel) except -1:
    waiters, channel.waiters = channel.waiters, []
    for lock in waiters:
        lock.release()
    return 0


cdef int leave(Channel channel) except -1:
    """A thread has left the channel's call of the runtime."""
    channel.users -= 1
    if channel.users == 0 and channel.waiters:
        wake(channel)
    return 0


cdef int wait_once(Channel channel) except -1:
    """Wait until pending or users reaches 0, or for 50 ms: the runtime may leave callbacks out. Raises for Ctrl-C."""
    lock = _thread.allocate_lock()
    lock.acquire()
    channel.waiters.append(lock)
    try:
        lock.acquire(True, 0.05)
        PyErr_CheckSignals()
    finally:
        if lock in channel.waiters:
            channel.waiters.remove(lock)
    return 0


cdef int settle(delivery *taken) except -1:
    """Count a delivery as done: wake who waits for the channel's last one, and drop the references."""
    cdef Channel channel
    if taken.channel != NULL:
        channel = <Channel>taken.channel
        Py_DECREF(channel)
        if channel.pending > 0:
            channel.pending -= 1
        if channel.pending == 0 and channel.waiters:
            wake(channel)
    if taken.picture != NULL:
        Py_DECREF(<object>taken.picture)
    Py_DECREF(<object>taken.function)
    Py_DECREF(<object>taken.user_data)
    return 0


cdef int forget(uint64_t number) except -1:
    """Drop a delivery that will not happen."""
    cdef delivery taken
    if take(number, &taken):
        settle(&taken)
    return 0


cdef int forget_deliveries(Channel channel, uint64_t last=0xFFFFFFFFFFFFFFFF) except -1:
    """Drop the deliveries of a channel (None: all there are); those of sends up to the one that came back as `last`, or
    all of them."""
    cdef uint32_t i = 0
    if channel is not None and channel.pending == 0:
        return 0
    while i < deliveries_size:  # dropping a reference may run Python code, which may send
        if deliveries[i].function != NULL and (last == 0xFFFFFFFFFFFFFFFF or 0 < deliveries[i].returned <= last) and (
                channel is None or deliveries[i].channel == <PyObject *>channel):
            forget(deliveries[i].number)
        i += 1
    return 0
