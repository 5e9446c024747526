# SPDX-License-Identifier: Apache-2.0
"""What the successive channels of one encoder share in Python: what frames brought along, and the end.

A frame's token, the owner of its memory and its Future stand in a dict under the frame's tag, a number that the engine
carries: so the garbage collector sees them. Invariant: what owns memory that the device may still read is alive, also
when the collector takes the encoder apart: such owners move to a table of this module until the channel has ended.
"""
import atexit
import os
import queue
import threading
import time
import warnings
import weakref

cimport cython
from cpython.buffer cimport PyBuffer_Release

from .. import errors
from .cavenc cimport *
from .core cimport count_tickets
from .stream cimport *

from . import core

cdef extern from "unistd.h" nogil:
    unsigned int sleep(unsigned int seconds)

cdef extern from *:
    """
    #include <stdint.h>
    static uint64_t number_of_this_thread(void) {
        static __thread uint64_t mine;
        static uint64_t last;
        if (mine == 0)
            mine = __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
        return mine;
    }
    """
    uint64_t number_of_this_thread() noexcept nogil

cdef enum:
    EXIT_MS = 1000  # for all that a program left open
    PARKED_S = 3  # that a thread waits for the end of the process, which other functions of atexit may wait for too

orphans = queue.SimpleQueue()  # Futures whose encoder is gone, to be cancelled by the thread that serves Futures
_open_streams = weakref.WeakSet()
cdef bint _exiting = False
cdef list _kept = []  # Kept, each until its channel has ended


@cython.final
cdef class Kept:
    """Kept()\n--\n
    Owners of memory that the device may still read, and a reference on the channel that says when it cannot."""
    cdef avenc_channel *_h
    cdef object owners
    cdef bint refused  # of frames that were refused: perhaps given back before the channel's end
    cdef bint warned

    def __dealloc__(self):
        avenc_channel_release(self._h)


@cython.final
cdef class Ticket:
    """Ticket()\n--\n
    What a frame brought along: token, owner of its memory, the Future that gets its packet."""

    def __dealloc__(self):
        cdef int i
        for i in range(self.view_count):
            PyBuffer_Release(&self.views[i])
        avenc_channel_release(self.channel)


cdef Kept keep(avenc_channel *channel, object owners, bint refused):
    cdef Kept kept = Kept.__new__(Kept)
    avenc_channel_retain(channel)
    kept._h = channel
    kept.owners = owners
    kept.refused = refused
    _kept.append(kept)
    count_tickets(1)
    return kept


cdef int keep_refused(avenc_channel *channel, object owner) except -1:
    if avenc_channel_refused_pending(channel):
        keep(channel, owner, True)
    return 0


cdef int let_go() except -1:
    global _kept
    cdef Kept kept
    cdef int status
    cdef bint ended
    if not _kept:
        return 0
    taken, _kept = _kept, []
    left = []
    try:
        while taken:
            kept = taken[-1]
            ended = avenc_channel_has_ended(kept._h)  # first: it has one that could not be ended tried again
            if kept.refused:
                ended = ended or not avenc_channel_refused_pending(kept._h)
                status = AVENC_OK
            else:
                status = avenc_channel_wait_closed(kept._h, NULL)
            taken.pop()
            if ended:
                count_tickets(-1)
            else:
                left.append(kept)
            if not kept.warned and status not in (AVENC_OK, AVENC_E_TIMEOUT, AVENC_E_FORKED):
                kept.warned = True
                reason = (<bytes>avenc_last_failure().detail).decode("utf-8", "replace")
                warnings.warn(
                    f"an encoder that nobody closed ended with {errors.explain(status)} {reason}".rstrip(),
                    RuntimeWarning, stacklevel=2)
    finally:
        _kept += taken + left
    return 0


def let_go_of_ended():
    """Let go of what was kept for channels that have ended by now; every call of any encoder does so too."""
    let_go()


cdef uint64_t this_thread() noexcept:
    return number_of_this_thread()


cdef int refuse_closed() except -1:
    """The interpreter is about to stop daemon threads wherever they are; an exception would only print a traceback of
    the program's loop. Without the GIL and with nothing held the thread waits for the end of the process, but not for
    ever: what was registered with atexit before this package may wait for this thread.
    """
    cdef unsigned int left = PARKED_S
    if _exiting and threading.current_thread() is not threading.main_thread():
        with nogil:
            while left:
                left = sleep(left)  # what a signal has left of it
    raise errors.from_status(AVENC_E_CLOSED, "", "the encoder is closed")


@cython.final
cdef class Stream:
    """Stream(device)\n--\n
    See the module.
    """

    def __cinit__(self, Device device not None):
        self.device = device
        self.entries = {}
        self.time_bases = []
        self.configs = []
        self.failures = []
        self.sink = -1

    def __del__(self):
        self.mark_closed()  # also by the collector, before it takes anything apart
        if self.entries:  # of packets that could still be taken
            for future in self.keep_owners():
                orphans.put(future)

    cdef mark_closed(self):
        """Close without waiting: no Python lock is taken, and nothing of the program's runs."""
        if self._h != NULL and not self.closed and not self.kept:
            try:
                for future in self.keep_owners():
                    orphans.put(future)
            finally:
                self.closed = True  # behind them: the thread that serves Futures ends where it finds that, and no orphan
                avenc_channel_close(self._h)  # wakes it

    def __dealloc__(self):
        avenc_channel_release(self._h)

    cdef object add_entry(self, object entry):
        """Return the entry's tag, as the object by which it can be dropped without memory."""
        cdef object tag = self.next_tag + 1
        self.entries[tag] = entry
        self.next_tag += 1
        count_tickets(1)
        if is_promised(entry):
            self.promised += 1
        return tag

    cdef int drop_entry(self, object tag) except -1:
        entry = self.entries.pop(tag, self)
        if entry is not self:
            count_tickets(-1)
            if is_promised(entry):
                self.promised -= 1
        return 0

    cdef int begin_epoch(self, object config, object time_base) except -1:
        """Note the settings of the native stream's next epoch. No Python code may run until the native call that begins it."""
        self.time_bases.append(time_base)
        try:
            self.configs.append(config)
        except MemoryError:
            self.time_bases.pop()
            raise
        return 0

    cdef int undo_epoch(self) except -1:
        """That call refused."""
        self.time_bases.pop()
        self.configs.pop()
        return 0

    cdef int forget_dropped(self) except -1:
        """Let go of what came with frames and packets that nobody will get, and of what outlived its channel."""
        cdef object tag, stop = None
        let_go()
        if not self.entries or (self.on_full != DROP_OLDEST and self.sink < 0):  # nothing is dropped or written otherwise
            return 0
        try:
            while True:
                while self.told < self.to_tell:  # what an exception leaves is for the next call
                    tag = self.tags[self.told]
                    self.told += 1
                    entry = self.entries.get(tag)
                    self.drop_entry(tag)
                    if is_promised(entry):
                        try:
                            cancel((<Ticket>entry).future)
                        except BaseException as error:
                            stop = what_to_raise(stop, error)
                self.told = 0
                self.to_tell = avenc_channel_take_dropped(self._h, self.tags, DROPPED_AT_ONCE)
                if self.to_tell == 0:
                    return 0
        finally:
            if stop is not None:
                raise stop

    cdef int note_submitter(self) noexcept:
        cdef uint64_t thread = this_thread()
        if self.submitter != thread:
            self.several_submitters = self.submitter != 0
            self.submitter = thread
        return 0

    cdef list keep_owners(self):
        """The stream is closed: nobody gets what is left of its entries. Futures to be cancelled."""
        cdef Ticket ticket
        cdef list futures = []
        self.kept = True
        entries, self.entries = self.entries, {}
        owners = []
        while entries:  # one by one: another thread may be about to pop one
            _, entry = entries.popitem()
            count_tickets(-1)
            if type(entry) is Ticket:
                ticket = entry
                if ticket.future is not None:
                    futures.append(ticket.future)
                if ticket.owner is not None or ticket.view_count:
                    owners.append(ticket)
        ended = avenc_channel_has_ended(self._h)
        if not ended or owners:
            keep(self._h, [] if ended else owners, False)
        return futures


cdef bint is_promised(object entry) noexcept:
    return type(entry) is Ticket and (<Ticket>entry).future is not None


def cancel(future):
    """Cancel a Future, and tell who waits for it with concurrent.futures.wait or as_completed.

    One that the program itself has given an end stays as it is. Raises what a callback raises that is no Exception, and
    who waits has been told all the same.
    """
    try:
        future.cancel()
    finally:
        if future.cancelled():
            future.set_running_or_notify_cancel()


cdef object cancel_all(list futures):
    cdef object stop = None
    for future in futures:
        try:
            cancel(future)
        except BaseException as error:
            stop = what_to_raise(stop, error)
    return stop


def what_to_raise(stop, error):
    """What is to be raised when every Future has its end: `stop`, from before, or what a callback has raised now to end
    the program, on the main thread. All else is shown: it is nothing of the call that found the Future.
    """
    if stop is None and isinstance(error, (KeyboardInterrupt, SystemExit)) \
            and threading.get_ident() == threading.main_thread().ident:
        return error
    show(error)
    return stop


def show(error):
    """As a thread's exception is shown; a hook that fails itself stops nothing."""
    try:
        threading.excepthook(
            threading.ExceptHookArgs((type(error), error, error.__traceback__, threading.current_thread())))
    except Exception:
        pass


def open_channels(Device device not None):
    """How many streams this process has open on a device."""
    cdef Stream stream
    cdef int count = 0
    for other in list(_open_streams):
        stream = other
        count += not stream.closed and stream.device._h == device._h
    return count


def _close_all():
    """At exit: end what the program left open, so that no native thread is inside the runtime while it is torn down.

    All are marked first and then waited for together, one second in all, whatever the device does.
    """
    global _exiting
    cdef Stream stream
    cdef avenc_wait wait = avenc_wait_for(EXIT_MS)
    _exiting = True
    streams = list(_open_streams)
    for stream in streams:
        avenc_channel_close(stream._h)
    for stream in streams:
        with nogil:
            avenc_channel_wait_closed(stream._h, &wait)
            avenc_channel_abandon_sink(stream._h)
        stream.device.close()
    core.finalize_libraries(max(EXIT_MS * 1e-3 - (time.monotonic() - wait.since_ns * 1e-9), 0.05))


def _after_fork_in_child():
    """What the parent's device still reads is the parent's."""
    global _kept, _exiting
    count_tickets(-<int>len(_kept))
    _kept = []
    _exiting = False


os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_close_all)
