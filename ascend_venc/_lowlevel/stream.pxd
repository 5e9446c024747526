# SPDX-License-Identifier: Apache-2.0
from libc.stdint cimport int64_t, uint32_t, uint64_t

from .cavenc cimport avenc_channel
from .device cimport Device

cdef enum:  # what submit does where there is no room, in the order of channel.ON_FULL
    BLOCK
    DROP_NEWEST
    DROP_OLDEST
    FAIL

cdef enum:
    DROPPED_AT_ONCE = 64  # tags of frames that were dropped

# What stands under a frame's tag until its packet comes: an object that the program gave as its token, or one of these.
cdef class Ticket:
    cdef object token  # the program's, for Packet.token
    cdef object owner  # of memory that the device or a native thread may still read
    cdef avenc_channel *channel  # a reference on the one that the owner's memory went to as it is, or NULL
    cdef object future  # concurrent.futures.Future that gets the packet, or None
    cdef bint refused  # by the device as it was sent: it may read the memory all the same
    cdef Ticket next  # of those that were refused

# Calls of close() that wait for a stream's end: where it fails, they are told.
cdef class Closing:
    cdef Py_ssize_t waiting

cdef class Stream:
    cdef object __weakref__
    cdef avenc_channel *_h  # a reference on the channel that takes frames now: what a stream is closed by
    cdef readonly Device device
    cdef dict entries  # what frames brought along, by their tag: tokens, owners, Futures
    cdef uint64_t next_tag
    cdef uint64_t tags[DROPPED_AT_ONCE]  # of frames that were dropped: those from `told` to `to_tell` have their entries still
    cdef size_t told
    cdef size_t to_tell
    cdef list time_bases  # by epoch, as the next. Those of changes that came to nothing are among them
    cdef list configs  # EncoderConfigs by epoch, from that of the first one here on
    cdef uint32_t first_epoch
    cdef dict distinct  # each time base that stands there, once
    cdef Py_ssize_t shared  # how many of them are those
    cdef list failures  # of frames, that encode() met before it had sent its own: the next to be raised
    cdef int on_full
    cdef uint32_t coalesce_us
    cdef readonly object stall  # seconds without progress after which a wait gives up, or None
    cdef readonly int sink
    cdef readonly bint closed
    cdef bint dropped  # by close(): packets cannot be had any more
    cdef bint key_frame_owed  # a dropped frame was to be a key frame
    cdef uint64_t submitter  # thread that submits, by its own number; 0 if none has
    cdef bint several_submitters
    cdef int64_t next_index  # the next frame's, unless several threads submit
    cdef uint64_t refused  # frames that were not accepted for lack of room
    cdef readonly Py_ssize_t promised  # entries with a Future, while the stream is open
    cdef bint kept  # keep_owners has run
    cdef Closing closing
    cdef object leaving  # Kept that it has not come to the end of
    cdef bint listed  # among the streams with frames whose owners must live
    cdef Py_ssize_t lending  # calls that are sending one

    cdef object add_entry(self, object entry)
    cdef int drop_entry(self, object tag) except -1
    cdef int forget_dropped(self) except -1
    cdef int drop_told_entries(self) except -1
    cdef int begin_epoch(self, object config, object time_base) except -1
    cdef int undo_epoch(self) except -1
    cdef int note_submitter(self) noexcept
    cdef bint submitted_by_this_thread_alone(self) noexcept
    cdef object config_of(self, uint32_t epoch)
    cdef int begin_to_lend(self) except -1
    cdef list keep_owners(self)
    cdef int leave_futures(self) except -1
    cdef int unlist(self) except -1

# Keep the owner alive until the device cannot read what is its any more, where it has frames that it refused of the ticket's
# channel. For a ticket that stands nowhere any more, once. Allocates nothing.
cdef void keep_refused(Ticket ticket) noexcept

# Cancel Futures, all of them; what is to be raised then, or None: see `what_to_raise`.
cdef object cancel_all(list futures)

# Let go of owners whose channels have ended; tell of channels that nobody waited for and that could not be destroyed.
cpdef int let_go_of_ended() except -1

# Raise for a closed encoder. While the interpreter exits, a daemon thread is parked first.
cdef int refuse_closed() except -1
