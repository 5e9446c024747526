# SPDX-License-Identifier: Apache-2.0
# Delivery of callbacks: what waits for its callback, and the one function that takes the GIL for it.
from libc.stdint cimport uint64_t

from .cascendcl cimport acldvppPicDesc, acldvppStreamDesc


cdef class Channel:
    """What the facade knows of an encoder channel description."""
    cdef uint64_t desc        # the handle
    cdef object callback      # for the next frame; None: not set
    cdef bint created         # venc_create_channel succeeded, venc_destroy_channel has not
    cdef bint destroying      # a thread is in venc_destroy_channel
    cdef int users            # threads in venc_send_frame or venc_create_channel
    cdef uint64_t thread_id   # whose process_report delivers, as set when the channel was created
    cdef object thread        # its threading.Thread, None if it has none
    cdef uint64_t accepted    # frames sent so far
    cdef uint64_t pending     # of these, not delivered yet
    cdef list waiters         # locks, released when pending reaches 0


cdef class Delivery:
    """One callback to come: a frame of a channel, or a launched function. Holds its references until it has run."""
    cdef object function
    cdef object user_data
    cdef Channel channel      # None: launched by acl.rt.launch_callback
    cdef uint64_t frame       # number of the frame in its channel


# One call of process_report, on that call's C stack; a list of them, guarded by the GIL.
cdef struct report_call:
    unsigned long thread
    int callbacks             # run so far
    int depth                 # callbacks being run now
    void *stopped             # the KeyboardInterrupt or SystemExit of a callback, owned; NULL
    report_call *previous
    report_call *next

cdef void begin_report(report_call *call) noexcept
cdef int end_report(report_call *call, int code) except -1
cdef bint in_callback() noexcept

# The threading.Thread of an id, or None.
cdef object thread_of(uint64_t ident)

# A thread that acl.util.start_thread made delivers nothing more once its function has returned; its id is not given out
# anew before it is joined.
cdef int thread_ended(uint64_t thread) except -1
cdef int thread_joined(uint64_t thread) except -1

# What the runtime calls. user_data is a number under which a Delivery waits, never a pointer.
cdef void venc_trampoline(acldvppPicDesc *input, acldvppStreamDesc *output, void *user_data) noexcept nogil
cdef void launch_trampoline(void *user_data) noexcept nogil

cdef uint64_t expect(Delivery delivery) except 0
cdef int forget(uint64_t number) except -1
cdef int forget_channel(Channel channel, uint64_t last=*) except -1
cdef uint64_t last_expected() noexcept
cdef int forget_all() except -1

# Before a call that waits in the runtime for the channel's callbacks. "" or why it would wait for ever.
cdef str wait_for_callbacks(Channel channel)
