# SPDX-License-Identifier: Apache-2.0
"""What the successive channels of one encoder share in Python: what frames brought along, and the end.

A frame's token, the owner of its memory and its Future stand in a dict under the frame's tag, a number that the engine
carries: so the garbage collector sees them. Invariant: what owns memory that the device may still read is alive, also
where only its encoder leads to it: the collector would run its finalizer, whatever a finalizer of ours does. So a stream
that has such frames stands in a list of this module until the device has given them back, of which the collector is
told before it looks; and after the stream's end, what it had, until the channel has ended.
"""
import atexit
import gc
import os
import queue
import threading
import time
import warnings
import weakref

cimport cython

from .. import errors
from .cavenc cimport *
from .core cimport count_tickets, failed_detail
from .stream cimport *

from . import core

cdef extern from "unistd.h" nogil:
    unsigned int sleep(unsigned int seconds)

cdef extern from *:
    """
    #include <stdint.h>
    static uint64_t number_of_this_thread(void) { /* which no other had: Python's idents are used again */
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

orphans: SimpleQueue[Future[Packet]] = queue.SimpleQueue()  # Futures whose encoder is gone, to be cancelled by the thread that serves Futures
_open_streams = weakref.WeakKeyDictionary()  # whose references are listed in one step, as those of a WeakSet are not
cdef bint _exiting = False
cdef list _kept = []  # Kept, each until its channel has ended
cdef Ticket _refused = None  # Ticket of a frame that the device refused and may still read; the others by `next`
cdef list _lending = []  # Stream, each from its first frame with an owner until no frame is in flight


@cython.final
cdef class Kept:
    """Kept()\n--\n
    Owners of memory that the device may still read, and a reference on the channel that says when it cannot."""
    cdef avenc_channel *_h
    cdef dict owners  # entries of a closed stream
    cdef Closing closing  # that stream's
    cdef bint stripped
    cdef bint warned

    def __dealloc__(self):
        avenc_channel_release(self._h)

    cdef list strip(self):
        """Take out tokens and Futures, which are to be cancelled. Where memory runs out, nothing has changed."""
        cdef dict entries = self.owners
        cdef list futures = []
        cdef Ticket ticket
        cdef object token, future
        if self.stripped:
            return futures
        tags, all_of_them = list(entries), list(entries.values())
        for entry in all_of_them:
            if is_promised(entry):
                futures.append((<Ticket>entry).future)
        self.stripped = True
        for tag in tags:
            entry = entries.get(tag)
            if type(entry) is Ticket and (<Ticket>entry).owner is not None:
                ticket = entry
                token, future = ticket.token, ticket.future
                ticket.token = ticket.future = None
                token = future = None
            elif entries.pop(tag, entries) is not entries:  # else another thread has just popped it
                count_tickets(-1)
        return futures

    cdef int discard(self) except -1:
        """The channel has ended. What an exception leaves is for the next call."""
        while self.owners:
            self.owners.popitem()
            count_tickets(-1)
        if self in _kept:
            _kept.remove(self)
            count_tickets(-1)
        return 0


@cython.final
cdef class Ticket:
    """Ticket()\n--\n
    What a frame brought along: token, owner of its memory, the Future that gets its packet."""

    def __dealloc__(self):
        avenc_channel_release(self.channel)


@cython.final
cdef class Closing:
    """Closing()\n--\n
    How many calls of `close` wait for a stream's end: of a failed one they are told."""


cdef Kept keep(avenc_channel *channel, dict owners, Closing closing):
    cdef Kept kept = Kept.__new__(Kept)
    avenc_channel_retain(channel)
    kept._h = channel
    kept.owners = owners
    kept.closing = closing
    _kept.append(kept)
    count_tickets(1)
    return kept


cdef void keep_refused(Ticket ticket) noexcept:
    global _refused
    if avenc_channel_refused_pending(ticket.channel):
        ticket.next, _refused = _refused, ticket
        count_tickets(1)
        _token, _future = ticket.token, ticket.future
        ticket.token = ticket.future = None


cdef int let_go_of_refused() except -1:
    """Perhaps before the channel's end. No code of the program's runs before those that go are out of the others' chain."""
    global _refused
    cdef Ticket ticket = _refused, left = None, gone = None, after
    while ticket is not None:
        after = ticket.next
        if avenc_channel_has_ended(ticket.channel) or not avenc_channel_refused_pending(ticket.channel):
            ticket.next, gone = gone, ticket
            count_tickets(-1)
        else:
            ticket.next, left = left, ticket
        ticket = after
    _refused = left
    after = left = None
    while gone is not None:
        after, gone.next = gone.next, None
        gone = after
    return 0


cpdef int let_go_of_ended() except -1:
    """Let go of what was kept for channels that have ended by now; every call of any encoder does so too."""
    cdef Kept kept
    cdef Py_ssize_t i = len(_kept)
    cdef int status
    cdef bint ended
    if _refused is not None:
        let_go_of_refused()
    while i > 0:
        i -= 1
        if i >= len(_kept):  # what an owner's end has run, or another thread, has been here
            continue
        kept = _kept[i]
        ended = avenc_channel_has_ended(kept._h)  # first: it has one that could not be ended tried again
        if kept.closing.waiting:  # that call is told of a failed end, and comes here behind
            continue
        status = avenc_channel_wait_closed(kept._h, NULL)
        if not kept.warned and status not in (AVENC_OK, AVENC_E_TIMEOUT, AVENC_E_FORKED):
            kept.warned = True
            reason = failed_detail()  # now: a signal handler may run in Python code, and fail in a call of its own
            warnings.warn(
                f"an encoder whose end nobody waited for ended with {errors.explain(status)} {reason}".rstrip(),
                RuntimeWarning, stacklevel=2)
        if ended:
            leave_to_be_cancelled(kept.strip())  # where memory ran out as the stream was closed
            kept.discard()
    return 0


cdef int leave_to_be_cancelled(list futures) except -1:
    for future in futures:
        try:
            orphans.put(future)
        except MemoryError:
            orphans.put(future)
    return 0


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
    See the module."""

    def __cinit__(self, Device device not None):
        self.device = device
        self.entries = {}
        self.time_bases = []
        self.configs = []
        self.distinct = {}
        self.failures = []
        self.closing = Closing.__new__(Closing)
        self.sink = -1

    def __del__(self):
        self.mark_closed()  # also by the collector, before it takes anything apart
        if self.entries:  # of packets that could still be taken
            self.leave_futures()

    def mark_closed(self):
        """Close without waiting: it ends natively, and nobody takes packets any more. No Python lock is taken, and nothing
        of the program's runs: Futures that get no packet are left to be cancelled by the thread that serves Futures."""
        if self._h != NULL and not self.closed and not self.kept:
            try:
                self.leave_futures()
            finally:
                self.closed = True  # behind them: the thread that serves Futures ends where it finds that, and no orphan
                avenc_channel_close(self._h)  # wakes it

    cdef int leave_futures(self) except -1:
        try:
            futures = self.keep_owners()
        except MemoryError:
            futures = self.keep_owners()
        return leave_to_be_cancelled(futures)

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

    cdef int begin_to_lend(self) except -1:
        """A frame is about to be sent whose owner must live as long as the device has it. Behind the call: lending -= 1."""
        if not self.listed:
            if unlist_idle_streams not in gc.callbacks:
                gc.callbacks.append(unlist_idle_streams)
            _lending.append(self)
            self.listed = True
        self.lending += 1
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

    cdef object config_of(self, uint32_t epoch):
        """The settings of an epoch; of one that was forgotten the oldest that are kept."""
        return self.configs[epoch - self.first_epoch if epoch > self.first_epoch else 0]

    def forget_settings(self):
        """Let go of settings that are over; equal time bases become one object. Python code runs here.

        Packets have their time base by their epoch, and any may wait to be taken. Settings are asked for of the present
        epoch and of those that come: who asks for one of before gets others, and is told by the engine that it is over.
        """
        cdef uint32_t present = avenc_channel_epoch(self._h)
        cdef list _gone = None
        cdef Py_ssize_t i = self.shared
        if self.first_epoch < present:
            _gone = self.configs[:present - self.first_epoch]
            del self.configs[:present - self.first_epoch]
            self.first_epoch = present
        while i < len(self.time_bases):
            time_base = self.time_bases[i]
            self.time_bases[i] = self.distinct.setdefault(time_base, time_base)
            i += 1
        self.shared = max(self.shared, i)  # a signal's handler may have been here, and ahead

    cdef int forget_dropped(self) except -1:
        """Let go of what came with frames and packets that nobody will get, and of what outlived its channel."""
        if _kept or _refused is not None:
            let_go_of_ended()
        if self.entries and (self.on_full == DROP_OLDEST or self.sink >= 0):  # nothing is dropped or written otherwise
            self.drop_told_entries()
        return 0

    cdef int drop_told_entries(self) except -1:
        cdef object tag, stop = None
        try:
            while True:
                while self.told < self.to_tell:  # what an exception leaves is for the next call
                    tag = self.tags[self.told]
                    self.told += 1
                    entry = self.entries.get(tag)
                    self.drop_entry(tag)
                    if is_promised(entry):
                        stop = settle(stop, cancel, (<Ticket>entry).future)
                self.told = 0
                self.to_tell = avenc_channel_take_dropped(self._h, self.tags, DROPPED_AT_ONCE)
                if self.to_tell == 0:
                    return 0
        finally:
            if stop is not None:
                raise stop

    cdef int note_submitter(self) noexcept:
        cdef uint64_t thread = number_of_this_thread()
        if self.submitter != thread:
            self.several_submitters = self.submitter != 0
            self.submitter = thread
        return 0

    cdef bint submitted_by_this_thread_alone(self) noexcept:
        return self.submitter == number_of_this_thread() and not self.several_submitters

    cdef list keep_owners(self):
        """The stream is closed: nobody gets what is left of its entries. Futures to be cancelled.

        Where memory runs out everything stays alive, and the next call goes on.
        """
        cdef bint ended = avenc_channel_has_ended(self._h)
        if self.leaving is None:
            entries = {}
            self.leaving = keep(self._h, self.entries, self.closing)
            self.entries = entries
        cdef Kept kept = self.leaving
        cdef list futures = kept.strip()
        self.leaving = None
        self.kept = True
        self.unlist()
        if ended:
            kept.discard()
        return futures

    cdef int unlist(self) except -1:
        if self in _lending:
            _lending.remove(self)
        self.listed = False
        return 0


def unlist_idle_streams(str phase, dict info):
    """Before the collector looks: frames that the device has given back need their owners no more, though nobody has taken
    their packets yet. Owners are let go of here, since what leads on to the encoder need not show the collector its
    references: arrays of NumPy do not, nor do tensors."""
    cdef avenc_channel_stats stats
    cdef Stream stream
    cdef Py_ssize_t i = len(_lending)
    while phase == "start" and i > 0:
        i -= 1
        if i >= len(_lending):  # the end of an owner has been here
            continue
        stream = _lending[i]
        avenc_channel_stats_get(stream._h, &stats, NULL)
        if stats.in_flight or stream.lending:
            continue
        try:
            entries = list(stream.entries.values())
            if any([may_be_read(entry) for entry in entries]):
                continue
        except MemoryError:
            continue  # next time
        stream.unlist()  # first: what an owner's end runs may send another frame
        for entry in entries:
            if type(entry) is Ticket:
                owner = (<Ticket>entry).owner
                (<Ticket>entry).owner = None
                owner = None


cdef bint may_be_read(object entry) noexcept:
    """Of a frame that failed and whose packet nobody has taken: the device has refused it, and has it all the same."""
    return type(entry) is Ticket and (<Ticket>entry).channel != NULL \
        and avenc_channel_refused_pending((<Ticket>entry).channel) > 0


cdef bint is_promised(object entry) noexcept:
    return type(entry) is Ticket and (<Ticket>entry).future is not None


def cancel(future: Future[Packet]):
    """Cancel a Future, and tell who waits for it with concurrent.futures.wait or as_completed.

    One that the program itself has given an end stays as it is. Raises what a callback raises that is no Exception, and
    who waits has been told all the same.
    """
    try:
        future.cancel()
    finally:
        if future.cancelled() and not has_its_end(future):
            future.set_running_or_notify_cancel()


cdef bint has_its_end(object future) except -1:
    """Whether who waits for it has been told, too."""
    return future._state in ("CANCELLED_AND_NOTIFIED", "FINISHED")


def settle(stop: BaseException | None, end, future: Future[Packet], *args) -> BaseException | None:
    """Give a Future its end, unless the program has. Whatever its callbacks raise stops nothing: see `what_to_raise`.

    Tried once more where what ended it was interrupted: by a signal's handler, or for want of memory.
    """
    for _ in range(2):
        if has_its_end(future):
            break
        try:
            end(future, *args)
        except BaseException as error:  # SystemExit and the like, which concurrent.futures lets through
            stop = what_to_raise(stop, error)
    return stop


cdef object cancel_all(list futures):
    cdef object stop = None
    for future in futures:
        stop = settle(stop, cancel, future)
    return stop


def what_to_raise(stop: BaseException | None, error: BaseException) -> BaseException | None:
    """What is to be raised when every Future has its end: `stop`, from before, or what a callback has raised now to end
    the program, on the main thread. All else is shown: it is nothing of the call that found the Future.
    """
    if stop is None and isinstance(error, (KeyboardInterrupt, SystemExit)) \
            and threading.get_ident() == threading.main_thread().ident:
        return error
    show(error)
    return stop


def show(error: BaseException):
    """As a thread's exception is shown; a hook that fails itself stops nothing."""
    try:
        threading.excepthook(
            threading.ExceptHookArgs((type(error), error, error.__traceback__, threading.current_thread())))
    except Exception:
        pass


cdef list listed_streams():
    cdef list found = [reference() for reference in _open_streams.keyrefs()]
    return [stream for stream in found if stream is not None]


def open_channels(Device device not None) -> int:
    """How many streams this process has open on a device."""
    cdef Stream stream
    cdef int count = 0
    for stream in listed_streams():
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
    streams = listed_streams()
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
    global _kept, _lending, _exiting, _refused
    cdef Ticket ticket
    for each in _kept:
        count_tickets(-1 - <int>len((<Kept>each).owners))
    _kept = []
    while _refused is not None:
        ticket = _refused
        _refused, ticket.next = ticket.next, None
        count_tickets(-1)
    for each in _lending:
        (<Stream>each).listed = False
    _lending = []
    _exiting = False


os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_close_all)
