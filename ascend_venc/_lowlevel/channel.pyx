# SPDX-License-Identifier: Apache-2.0
"""The C-level channel that `Encoder` drives: one native call per frame or batch, waits that Ctrl-C interrupts.

Waiting is done in native slices of at most 50 ms without the GIL; between slices Python's signal handlers run. An
exception out of a wait leaves the channel as it was: the wait can be repeated.

Invariant: the native channel is freed only when no Python thread is inside a native call on it. `_users` counts them
(under the GIL); `close` first takes the handle away, so that no new call starts, and makes the engine refuse and wake
the others, then waits for the count to reach zero. Otherwise a thread blocked in `encode` would wake in freed memory.
"""
import atexit
import os
import threading
import time
import weakref

cimport cython
from cpython.buffer cimport PyBuffer_Release
from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.buffer cimport PyObject_CheckBuffer
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.math cimport INFINITY
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from .. import errors
from .buffers cimport (
    Frame, Packet, Ticket, hold_host_frame, host_frame, release_host_frame, take_ticket, wrap_frame, wrap_packet)
from .cavenc cimport *
from .channel cimport *
from .convert cimport Converter
from .core cimport Library, check
from .device_memory cimport DeviceFrame, import_tensor

from . import core

cdef extern from "unistd.h" nogil:
    int usleep(unsigned int microseconds)
    int pause()

cdef extern from "pythread.h" nogil:
    unsigned long PyThread_get_thread_ident()

cdef enum:
    SLICE_MS = 50  # the longest that a signal waits for its handler
    BATCH = 64
    MAX_SCRATCH = 256  # frames: the memory of a larger batch is not kept

cdef enum:  # what submit does where there is no room, in the order of ON_FULL
    BLOCK
    DROP_NEWEST
    DROP_OLDEST
    FAIL

ON_FULL = ("block", "drop_newest", "drop_oldest", "error")

_open_channels = weakref.WeakSet()
cdef bint _exiting = False


cdef uint32_t slice_of(double deadline) except? 0:
    """Milliseconds to wait natively before signals are looked at again; 0 once the deadline has passed."""
    cdef double left = (deadline - time.monotonic()) * 1000
    return SLICE_MS if left >= SLICE_MS else <uint32_t>max(left + 1, 0) if left > 0 else 0


cdef double deadline_after(object timeout) except? -1:
    return INFINITY if timeout is None else time.monotonic() + <double>timeout


cdef int64_t pts_of(object pts) except? -1:
    if type(pts) is not int:
        if not hasattr(pts, "__index__"):
            raise TypeError(f"pts must be an int in units of time_base, or None, got {type(pts).__name__}")
        pts = pts.__index__()
    try:
        return pts
    except OverflowError:
        raise errors.InvalidArgumentError(f"pts is {pts}; allowed is -2**63 to 2**63 - 1") from None


cdef object detail_of_failure():
    return (<bytes>avenc_last_failure().detail).decode("utf-8", "replace")


cdef int refuse_closed() except -1:
    """Raise for a closed encoder. While the interpreter exits, a daemon thread is parked instead.

    The interpreter is about to stop such threads wherever they are; an exception would only print a traceback of the
    program's loop. Without the GIL and with nothing held the thread waits for the end of the process.
    """
    if _exiting and threading.current_thread() is not threading.main_thread():
        with nogil:
            while True:
                pause()
    raise errors.from_status(AVENC_E_CLOSED, "", "the encoder is closed")


@cython.final
cdef class Device:
    """An open device: a context and the native report thread that its channels share.

    Opening a device that is open already shares it; it ends with its last user. `close` may block and releases the
    GIL; it is idempotent.

    Attributes
    ----------
    library : Library
    device_id : int
    run_mode : int
        0: this program runs on the device's own CPU, 1: on a host across PCIe.
    soc_name : str
        Chip, e.g. "Ascend310P3"; "" if the runtime cannot tell.
    """

    def __cinit__(self, Library library not None, int device_id):
        cdef int status
        cdef avenc_device *handle = NULL
        self.library = library
        with nogil:
            status = avenc_device_open(library._h, device_id, &handle)
        check(status)
        self._h = handle

    def __dealloc__(self):
        self._drop()

    cdef _drop(self):
        cdef avenc_device *handle = self._h
        self._h = NULL
        if handle != NULL:
            with nogil:
                avenc_device_close(handle)

    def close(self):
        self._drop()

    cdef const avenc_device_info *_info(self) except NULL:
        if self._h == NULL:
            raise errors.from_status(AVENC_E_CLOSED, "", "the device is closed")
        return avenc_device_info_get(self._h)

    @property
    def device_id(self):
        return self._info().device_id

    @property
    def run_mode(self):
        return self._info().run_mode

    @property
    def soc_name(self):
        return self._info().soc_name.decode("ascii", "replace")

    def __reduce__(self):
        raise TypeError("a Device cannot be pickled: it belongs to this process")


@cython.final
cdef class Notifier:
    """One wait for any number of channels: an eventfd that is readable once one of them has made progress.

    Progress is a packet, room for a frame, the end, or the loss of the device. It is signalled once for each `arm()`:
    arm, look at the channels, then wait.
    """

    def __cinit__(self):
        check(avenc_notifier_create(&self._h))

    def __dealloc__(self):
        avenc_notifier_release(self._h)

    def fileno(self):
        return avenc_notifier_fd(self._h)

    def arm(self):
        avenc_notifier_arm(self._h)

    def clear(self):
        avenc_notifier_clear(self._h)

    def signal(self):
        """Wake whoever waits on it, from any thread."""
        avenc_notifier_arm(self._h)
        avenc_notifier_signal(self._h)

    def wait(self, timeout):
        """Wait up to `timeout` seconds (None: without bound), without the GIL; Ctrl-C interrupts. False on timeout."""
        cdef double deadline = deadline_after(timeout)
        cdef uint32_t slice_ms
        cdef int status
        while True:
            slice_ms = slice_of(deadline)
            with nogil:
                status = avenc_notifier_wait(self._h, slice_ms)
            if status != AVENC_E_TIMEOUT:
                check(status)
                return True
            PyErr_CheckSignals()
            if slice_ms == 0:
                return False

    def __reduce__(self):
        raise TypeError("a Notifier cannot be pickled: it belongs to this process")


@cython.final
cdef class Selector:
    """One wait for any number of channels, which says which of them have news; each has a key, a number.

    News are a packet, room for a frame, the end, the loss of the device. `Channel.select` attaches a channel.
    """

    def __cinit__(self):
        check(avenc_selector_create(&self._h))

    def __dealloc__(self):
        avenc_selector_release(self._h)

    def mark(self, uint32_t key):
        """Count the channel of that key as one that has news, and wake a waiting thread. From any thread."""
        avenc_selector_mark(self._h, key)

    def wait(self, timeout, double max_latency=0.0):
        """Return the keys of channels with news, at most 256; each goes to one thread only. [] after `timeout` seconds.

        Waits without the GIL (None: without bound); Ctrl-C interrupts. With `max_latency`, in seconds, news are
        collected for that long where they come fast.
        """
        cdef uint32_t keys[256]
        cdef uint32_t count = 0, slice_ms, i
        cdef uint32_t linger_us = <uint32_t>(max_latency * 1e6)
        cdef int status
        cdef double deadline = deadline_after(timeout)
        while True:
            slice_ms = slice_of(deadline)
            with nogil:
                status = avenc_selector_wait(self._h, slice_ms, linger_us, keys, 256, &count)
            if count:
                return [keys[i] for i in range(count)]
            if status != AVENC_E_TIMEOUT:
                check(status)
            PyErr_CheckSignals()
            if slice_ms == 0:
                return []

    def __reduce__(self):
        raise TypeError("a Selector cannot be pickled: it belongs to this process")


@cython.final
cdef class Channel:
    """One hardware encoder channel. Arguments are the device's own numbers, validated by the caller.

    Parameters
    ----------
    device : Device
    time_base : fractions.Fraction
        Seconds per unit of pts; only handed on to the packets.
    en_type, pic_format : int
        acldvppStreamFormat, acldvppPixelFormat.
    width, height : int
        Pixels, even.
    key_frame_interval : int
        Frames, >= 1.
    rc_mode : int
        0 the chip's default, 1 VBR, 2 CBR.
    src_rate : int
        Frames per second, >= 1.
    max_bit_rate : int
        kbit/s, >= 1.
    depth : int
        Frames in the device, 1 to 256.
    queue : int
        Frames that may wait natively, 0 to 256.
    max_queued : int
        Packets that may wait to be received, 0: any number.
    on_full : str
        One of ON_FULL.
    max_latency : float
        Seconds for which packets may be collected before a receiver wakes.
    stall : float or None
        Seconds without progress after which a wait gives up; None: never.
    converter : Converter or None
        What turns frames in host memory into what the device takes.
    sink : int
        File descriptor that access units are written to instead of being handed out, or -1.

    Safe to use from several threads; frames of concurrent callers are sent in an unspecified order.
    """

    def __cinit__(self, Device device not None, object time_base, int en_type, int pic_format, int width, int height,
                  unsigned int key_frame_interval, unsigned int rc_mode, unsigned int src_rate,
                  unsigned int max_bit_rate, unsigned int depth, unsigned int queue=0, unsigned int max_queued=0,
                  str on_full="block", double max_latency=0.0, object stall=None, Converter converter=None,
                  int sink=-1):
        device._info()
        self._sink_fd = sink
        self._converter = converter
        self.device = device
        self.time_base = time_base
        self.width = width
        self.height = height
        self.generation = 0
        self._undelivered = []
        self._promised = []
        self._notifiers = []
        self._on_full = ON_FULL.index(on_full)
        self._linger_us = <uint32_t>(max_latency * 1e6)
        self._stall = stall
        self._config.en_type = en_type
        self._config.pic_format = pic_format
        self._config.width = width
        self._config.height = height
        self._config.key_frame_interval = key_frame_interval
        self._config.rc_mode = rc_mode
        self._config.src_rate = src_rate
        self._config.max_bit_rate = max_bit_rate
        self._config.depth = depth
        self._config.queue = queue
        self._config.max_ready = max_queued
        self._config.drop_oldest = self._on_full == DROP_OLDEST
        self._create(0)
        _open_channels.add(self)

    cdef _create(self, uint64_t first_index):
        cdef avenc_channel *handle = NULL
        cdef int status
        self._config.first_index = first_index
        with nogil:
            status = avenc_channel_create(self.device._h, &self._config, &handle)
        check(status)
        if self._sink_fd >= 0:
            status = avenc_channel_set_sink(handle, self._sink_fd, self._linger_us)
            if status != AVENC_OK:
                error = errors.from_status(status, "", detail_of_failure())
                with nogil:
                    avenc_channel_destroy(handle, 0)
                raise error
        for notifier in self._notifiers:
            avenc_channel_attach_notifier(handle, (<Notifier>notifier)._h)
        if self._selector is not None:
            avenc_channel_attach_selector(handle, self._selector._h, self._key)
        self._h = handle

    def __dealloc__(self):
        cdef avenc_channel *handle = self._h
        self._h = NULL
        PyMem_Free(self._scratch)
        if handle != NULL:
            with nogil:
                avenc_channel_close(handle, 5000)
            futures = self._return_tickets(handle)
            with nogil:
                avenc_channel_destroy(handle, 0)
            for future in futures:
                cancel(future)

    # ---- entering: see the module's invariant -----------------------------------------------------------------------

    cdef avenc_channel *_enter(self) except NULL:
        while self._reopening:
            with nogil:
                usleep(1000)
            PyErr_CheckSignals()
        if self._h == NULL:
            refuse_closed()
        self._users += 1
        return self._h

    cdef int _reenter(self, avenc_channel **handle) except -1:
        """After a native call failed: whether that was for reconfigure(), and *handle is a new one. Stays entered."""
        if not self._reopening and self._h == handle[0]:
            return 0
        self._users -= 1
        try:
            handle[0] = self._enter()
        except BaseException:
            self._users += 1  # the caller's finally takes it back
            raise
        return 1

    cdef int _leave(self) except -1:
        """Leave a call that may have taken packets of Futures. Their callbacks may close the encoder: only outside."""
        cdef list promised
        self._users -= 1
        if self._promised:
            promised = self._promised
            self._promised = []
            for future, packet, failure in promised:
                resolve(future, packet, failure)
        return 0

    cdef int _step_out(self, avenc_channel **handle) except -1:
        """In a call that goes on: let Futures have what was taken for them. *handle may be another after that."""
        if not self._promised:
            return 0
        try:
            self._leave()
            handle[0] = self._enter()
        except BaseException:
            self._users += 1  # the caller's finally takes it back
            raise
        return 0

    # ---- frames in ---------------------------------------------------------------------------------------------------

    cdef int _note_submitter(self) except -1:
        cdef unsigned long thread = PyThread_get_thread_ident()
        if self._submitter != thread:
            self._several_submitters = self._submitter != 0
            self._submitter = thread
        return 0

    cdef int _fill(self, avenc_submission *submission, object pts, bint key_frame, object token) except -1:
        cdef Ticket ticket
        submission.number_pts = pts is None
        submission.pts = 0 if pts is None else pts_of(pts)
        submission.force_idr = key_frame or self._key_frame_owed
        self._key_frame_owed = False  # this frame makes up for it, unless _owe_again says that it was not taken
        submission.converted = False
        submission.token = NULL
        if token is not None:
            if type(token) is Ticket:
                ticket = <Ticket>token
            else:
                ticket = Ticket.__new__(Ticket)
                ticket.token = token
            Py_INCREF(ticket)  # the engine's reference: it comes back with the packet
            submission.token = <void *>ticket
        return 0

    cdef int _owe_again(self, avenc_submission *submission, bint key_frame) except -1:
        if submission.force_idr and not key_frame:
            self._key_frame_owed = True
        return 0

    cdef int64_t _refuse(self, int status, bint key_frame) except -2:
        """The native call refused the frame for good: -1 if it is to be dropped silently, else an exception."""
        if status == AVENC_E_FULL:
            if self._on_full in (DROP_NEWEST, DROP_OLDEST):
                self._dropped += 1
                self._key_frame_owed = self._key_frame_owed or key_frame
                return -1
            if self._on_full == BLOCK:
                raise errors.from_status(AVENC_E_TIMEOUT, "", detail_of_failure())
        if status == AVENC_E_CLOSED:
            refuse_closed()
        if status == AVENC_E_DRAINED:
            raise errors.from_status(
                AVENC_E_CLOSED, "", "drain() has declared the end of the stream: no further frames are taken")
        check(status)
        return -1

    cdef int64_t _send_host(self, host_frame *held, avenc_submission *submission, double deadline) except -2:
        cdef uint64_t index = 0
        cdef int status
        cdef uint32_t slice_ms
        cdef avenc_channel *handle = self._enter()
        try:
            submission.picture = held.picture
            while True:
                slice_ms = slice_of(deadline) if self._on_full == BLOCK else 0
                with nogil:
                    if self._on_full == DROP_OLDEST:
                        status = avenc_channel_enqueue(handle, submission, 1, 1, &index)
                    else:
                        status = avenc_channel_submit(handle, submission, slice_ms, &index)
                if status == AVENC_OK:
                    return <int64_t>index
                PyErr_CheckSignals()
                if self._reenter(&handle):
                    continue
                if status != AVENC_E_FULL or slice_ms == 0:
                    return self._refuse(status, submission.force_idr)
        finally:
            self._users -= 1

    cdef int64_t _send_device(self, object frame, avenc_submission *submission, double deadline) except -2:
        cdef DeviceFrame picture = frame
        cdef uint64_t index = 0
        cdef int status
        cdef uint32_t slice_ms
        picture._check_size(self.width, self.height, self.device.device_id)
        cdef avenc_channel *handle = self._enter()
        try:
            while True:
                slice_ms = slice_of(deadline) if self._on_full == BLOCK else 0
                with nogil:
                    status = avenc_channel_submit_device(handle, &picture._picture, submission, slice_ms, &index)
                if status == AVENC_OK:
                    return <int64_t>index
                PyErr_CheckSignals()
                if self._reenter(&handle):
                    continue
                if status != AVENC_E_FULL or slice_ms == 0:
                    return self._refuse(status, submission.force_idr)
        finally:
            self._users -= 1

    cdef int64_t _send_acquired(self, object frame, avenc_submission *submission) except -2:
        cdef Frame picture = frame
        cdef uint64_t index = 0
        cdef int status
        cdef bint keep
        picture._check()
        if picture._channel is not self:
            raise errors.InvalidArgumentError("frame was acquired from another encoder: submit it there")
        self._enter()
        try:
            if picture._generation != self.generation:
                raise errors.InvalidArgumentError("frame was acquired before reconfigure(): acquire() another one")
            keep = picture._exports > 0
            picture._submitted = True  # nobody takes a view of it meanwhile
            with nogil:
                status = avenc_frame_submit(picture._h, submission, AVENC_FRAME_KEEP if keep else 0, &index)
            if status != AVENC_OK:
                picture._submitted = False
                return self._refuse(status, submission.force_idr)
            if not keep:
                picture._h = NULL
            elif picture._exports == 0:  # dropped meanwhile
                picture._give_back()
            return <int64_t>index
        finally:
            self._users -= 1

    cdef int64_t _send_converted(self, object frame, avenc_submission *submission, double deadline, bint queue) except -2:
        """Convert a frame straight into a slot, and send or queue it."""
        cdef Py_buffer views[3]
        cdef const uint8_t *planes[3]
        cdef size_t strides[3]
        cdef avenc_frame *slot = NULL
        cdef avenc_frame_memory memory
        cdef uint64_t index = 0
        cdef int status, i, view_count
        cdef int flags = AVENC_FRAME_QUEUE if queue or self._on_full == DROP_OLDEST else 0
        cdef uint32_t slice_ms
        cdef Converter converter = self._converter
        cdef avenc_channel *handle
        view_count = converter.view(frame, views, planes, strides)
        submission.converted = True
        try:
            handle = self._enter()
            try:
                while True:
                    slice_ms = slice_of(deadline) if self._on_full == BLOCK else 0
                    with nogil:
                        status = avenc_channel_acquire(handle, slice_ms, &slot, &memory)
                        if (status == AVENC_E_FULL and self._on_full == DROP_OLDEST
                                and avenc_channel_drop_oldest(handle)):
                            status = avenc_channel_acquire(handle, 0, &slot, &memory)
                        if status == AVENC_OK:
                            status = converter.run(
                                planes, strides, memory.y, memory.stride, memory.uv, memory.stride)
                            if status == AVENC_OK:
                                status = avenc_frame_submit(slot, submission, flags, &index)
                            if status != AVENC_OK:
                                avenc_frame_release(slot)
                    if status == AVENC_OK:
                        return <int64_t>index
                    PyErr_CheckSignals()
                    if self._reenter(&handle):
                        if self._converter is not converter:
                            raise errors.InvalidArgumentError(
                                "frame has the size from before reconfigure(): give one of the new size")
                        continue
                    if status != AVENC_E_FULL or slice_ms == 0:
                        return self._refuse(status, submission.force_idr)
            finally:
                self._users -= 1
        finally:
            for i in range(view_count):
                PyBuffer_Release(&views[i])

    cdef int64_t _send(self, object frame, object pts, bint key_frame, object token, double deadline) except -2:
        """Submit one frame of any kind. Its number, or -1 if it was dropped."""
        cdef avenc_submission submission
        cdef host_frame held
        cdef Ticket ticket
        cdef int64_t index = -1
        cdef object owner = None
        cdef bint converted = self._converter is not None and type(frame) is not Frame
        held.view_count = 0
        self._collect_spent()
        self._note_submitter()
        if converted:
            frame = as_host_array(frame, self._converter)
        elif (not PyObject_CheckBuffer(frame) and type(frame) is not tuple and type(frame) is not DeviceFrame):
            owner = import_tensor(frame, self.width, self.height, &held)
            if type(owner) is DeviceFrame:
                frame = owner
                owner = None
        if type(frame) is DeviceFrame:  # its owner is let go of only when the device has read it
            ticket = Ticket.__new__(Ticket)
            if type(token) is Ticket:
                ticket.token = (<Ticket>token).token
                ticket.future = (<Ticket>token).future
            else:
                ticket.token = token
            ticket.owner = frame
            token = ticket
        elif type(frame) is not Frame and owner is None and not converted:
            hold_host_frame(frame, self.width, self.height, &held)
        try:
            self._fill(&submission, pts, key_frame, token)
            try:
                if converted:
                    index = self._send_converted(frame, &submission, deadline, False)
                elif type(frame) is Frame:
                    index = self._send_acquired(frame, &submission)
                elif type(frame) is DeviceFrame:
                    index = self._send_device(frame, &submission, deadline)
                else:
                    index = self._send_host(&held, &submission, deadline)
            finally:
                if index < 0:
                    self._owe_again(&submission, key_frame)
                    if submission.token != NULL:
                        Py_DECREF(<Ticket>submission.token)
        finally:
            release_host_frame(&held)
        return index

    def submit(self, frame, pts, bint key_frame, token, timeout):
        """Submit one frame of any kind; return its number, or None if it was dropped for lack of room.

        Waits up to `timeout` seconds (None: without bound) for room where `on_full` is "block".
        """
        cdef int64_t index = self._send(frame, pts, key_frame, token, deadline_after(timeout))
        return None if index < 0 else index

    def encode(self, frame, pts, bint key_frame, token, timeout):
        """Submit one frame and return the packets that are ready, oldest first; never waits for the one just sent.

        For NV12 and NV21 in host memory this is one native call.
        """
        cdef avenc_packet *ready[BATCH]
        cdef size_t count = 0, i
        cdef avenc_submission submission
        cdef host_frame held
        cdef uint64_t index = 0
        cdef int status
        cdef double deadline
        cdef uint32_t slice_ms = SLICE_MS
        cdef avenc_channel *handle
        if (self._on_full != BLOCK or self._undelivered or self._converter is not None or type(frame) is Frame
                or not PyObject_CheckBuffer(frame)):
            self._send(frame, pts, key_frame, token, deadline_after(timeout))
            return self.drain()
        self._collect_spent()
        self._note_submitter()
        handle = self._enter()
        try:
            hold_host_frame(frame, self.width, self.height, &held)
            try:
                self._fill(&submission, pts, key_frame, token)
                submission.picture = held.picture
                with nogil:
                    # The common case does not look at the clock: there is room, or there is within a slice.
                    status = avenc_channel_submit(handle, &submission, 0, &index)
                    if status == AVENC_OK:
                        avenc_channel_drain(handle, ready, BATCH, &count)
                if status != AVENC_OK and status != AVENC_E_FULL:
                    if submission.token != NULL:
                        Py_DECREF(<Ticket>submission.token)
                    submission.token = NULL
                    if not self._reenter(&handle):
                        self._refuse(status, key_frame)
            finally:
                release_host_frame(&held)
            if status == AVENC_OK:
                for i in range(count):
                    self._undelivered.append(wrap_packet(ready[i], self.time_base))
                return self._deliver(-1)
        finally:
            self._leave()
        deadline = deadline_after(timeout)
        if submission.token != NULL:
            Py_DECREF(<Ticket>submission.token)
        self._send(frame, pts, key_frame, token, deadline)
        return self.drain()

    def submit_many(self, list frames, list pts, list key_frames, list tokens, timeout):
        """Submit host frames in one native call; return their numbers, None for those that were dropped.

        On an exception the frames before the one that caused it were sent; its attribute `accepted` says how many.
        """
        cdef Py_ssize_t count = len(frames), i, given = 0, held_count = 0, scratch_size
        cdef size_t accepted = 0
        cdef double deadline = deadline_after(timeout)
        cdef uint32_t slice_ms
        cdef int status = AVENC_OK
        cdef bint dropping = self._on_full == DROP_OLDEST
        cdef list owners = []
        cdef avenc_channel *handle = NULL
        cdef avenc_submission *submissions
        cdef host_frame *held
        cdef uint64_t *indices
        if count == 0:
            return []
        if self._converter is not None:
            return self._submit_each(frames, pts, key_frames, tokens, deadline)
        self._collect_spent()
        self._note_submitter()
        # The block of the last call, unless another thread has it: a frame costs no allocation.
        held = <host_frame *>self._scratch
        scratch_size = self._scratch_size
        self._scratch = NULL
        if held == NULL or scratch_size < count:
            PyMem_Free(held)
            scratch_size = count
            held = <host_frame *>PyMem_Malloc(
                count * (sizeof(host_frame) + sizeof(avenc_submission) + sizeof(uint64_t)))
            if held == NULL:
                raise MemoryError()
        submissions = <avenc_submission *>(held + count)
        indices = <uint64_t *>(submissions + count)
        try:
            for held_count in range(count):
                frame = frames[held_count]
                if PyObject_CheckBuffer(frame) or type(frame) is tuple:
                    hold_host_frame(frame, self.width, self.height, &held[held_count])
                    continue
                owner = import_tensor(frame, self.width, self.height, &held[held_count])
                if type(owner) is DeviceFrame:
                    raise TypeError("submit_many takes frames in host memory: use submit() for a tensor on the device")
                owners.append(owner)
            held_count = count
            for i in range(count):
                self._fill(&submissions[i], pts[i], key_frames[i], tokens[i])
                submissions[i].picture = held[i].picture
                given = i + 1
            handle = self._enter()
            try:
                while True:
                    slice_ms = slice_of(deadline) if self._on_full == BLOCK else 0
                    with nogil:
                        status = submit_batch(
                            handle, submissions, <size_t>count, dropping, slice_ms, indices, &accepted)
                    if status == AVENC_OK:
                        break
                    PyErr_CheckSignals()
                    if self._reenter(&handle):
                        continue
                    if status != AVENC_E_FULL or slice_ms == 0:
                        break
            finally:
                self._users -= 1
            if status != AVENC_OK:
                for i in range(<Py_ssize_t>accepted, count if status == AVENC_E_FULL else <Py_ssize_t>accepted + 1):
                    self._refuse(status, submissions[i].force_idr)
            return [indices[i] for i in range(<Py_ssize_t>accepted)] + [None] * (count - <Py_ssize_t>accepted)
        except BaseException as error:
            try:
                error.accepted = <Py_ssize_t>accepted
            except AttributeError:
                pass
            raise
        finally:
            for i in range(<Py_ssize_t>accepted, given):
                self._owe_again(&submissions[i], bool(key_frames[i]))
                if submissions[i].token != NULL:
                    Py_DECREF(<Ticket>submissions[i].token)
            for i in range(held_count):
                release_host_frame(&held[i])
            if self._scratch == NULL and scratch_size <= MAX_SCRATCH:
                self._scratch = held
                self._scratch_size = scratch_size
            else:
                PyMem_Free(held)

    def _submit_each(self, list frames, list pts, list key_frames, list tokens, double deadline):
        cdef list indices = []
        cdef int64_t index
        try:
            for frame, stamp, key_frame, token in zip(frames, pts, key_frames, tokens):
                index = self._send(frame, stamp, key_frame, token, deadline)
                indices.append(None if index < 0 else index)
        except BaseException as error:
            try:
                error.accepted = len(indices)
            except AttributeError:
                pass
            raise
        return indices

    def enqueue(self, frame, pts, bint key_frame, token, bint copy, timeout):
        """Queue a host frame for the device's sender thread; return its number, or None if it was dropped.

        Keeps the GIL: giving it up for a short copy costs more than the copy wherever other threads compute. Only a
        wait for room (`on_full` "block") gives it up. Without `copy` the frame's buffer stays exported, and must not
        be changed, until its packet has been received. A frame that is to be converted is so at once, without the GIL.
        """
        cdef avenc_submission submission
        cdef host_frame held
        cdef Ticket ticket
        cdef uint64_t index = 0
        cdef int status, i
        cdef bint accepted = False
        cdef uint32_t slice_ms
        cdef double deadline
        cdef object owner = None
        cdef avenc_channel *handle
        cdef int64_t number = -1
        self._collect_spent()
        self._note_submitter()
        held.view_count = 0
        if self._converter is not None:
            frame = as_host_array(frame, self._converter)
            self._fill(&submission, pts, key_frame, token)
            try:
                number = self._send_converted(frame, &submission, deadline_after(timeout), True)
            finally:
                if number < 0:
                    self._owe_again(&submission, key_frame)
                    if submission.token != NULL:
                        Py_DECREF(<Ticket>submission.token)
            return None if number < 0 else number
        if not PyObject_CheckBuffer(frame) and type(frame) is not tuple:
            owner = import_tensor(frame, self.width, self.height, &held)
            if type(owner) is DeviceFrame:
                raise errors.InvalidArgumentError("frame is in device memory: there is nothing to copy; use submit()")
        else:
            hold_host_frame(frame, self.width, self.height, &held)
        try:
            if not copy:
                ticket = Ticket.__new__(Ticket)
                ticket.owner = owner
                if type(token) is Ticket:
                    ticket.token = (<Ticket>token).token
                    ticket.future = (<Ticket>token).future
                else:
                    ticket.token = token
                token = ticket
            self._fill(&submission, pts, key_frame, token)
            submission.picture = held.picture
            handle = self._enter()
            try:
                status = avenc_channel_enqueue(handle, &submission, copy, self._on_full == DROP_OLDEST, &index)
                if status == AVENC_E_FULL and self._on_full == BLOCK:
                    deadline = deadline_after(timeout)
                    while True:
                        slice_ms = slice_of(deadline)
                        if slice_ms == 0:
                            break
                        with nogil:
                            avenc_channel_wait_room(handle, slice_ms)
                        PyErr_CheckSignals()
                        self._reenter(&handle)
                        status = avenc_channel_enqueue(handle, &submission, copy, 0, &index)
                        if status != AVENC_E_FULL:
                            break
                if status != AVENC_OK:
                    self._refuse(status, submission.force_idr)
                    return None
                accepted = True
                if not copy:  # the views go along
                    for i in range(held.view_count):
                        ticket.views[i] = held.views[i]
                    ticket.view_count = held.view_count
                    held.view_count = 0
                return index
            finally:
                self._users -= 1
                if not accepted:
                    self._owe_again(&submission, key_frame)
                    if submission.token != NULL:
                        Py_DECREF(<Ticket>submission.token)
        finally:
            release_host_frame(&held)

    def acquire(self, timeout):
        """Take a picture buffer to fill: a `Frame`, or None if there is none and `on_full` says not to wait."""
        cdef avenc_frame *frame = NULL
        cdef avenc_frame_memory memory
        cdef double deadline = deadline_after(timeout)
        cdef uint32_t slice_ms
        cdef int status
        cdef avenc_channel *handle = self._enter()
        try:
            while True:
                slice_ms = slice_of(deadline) if self._on_full == BLOCK else 0
                with nogil:
                    status = avenc_channel_acquire(handle, slice_ms, &frame, &memory)
                if status == AVENC_OK:
                    return wrap_frame(
                        frame, &memory, self, self.generation, <uint32_t>self.width, <uint32_t>self.height)
                PyErr_CheckSignals()
                if self._reenter(&handle):
                    continue
                if status != AVENC_E_FULL or slice_ms == 0:
                    self._refuse(status, False)
                    return None
        finally:
            self._users -= 1

    # ---- packets out -------------------------------------------------------------------------------------------------

    cdef _collect_spent(self):
        """Let go of what came with frames and packets that were dropped."""
        cdef avenc_packet *spent[BATCH]
        cdef size_t count = BATCH, i
        cdef Ticket ticket
        if (self._on_full != DROP_OLDEST and self._sink_fd < 0) or self._h == NULL:
            return
        while count == BATCH:
            if avenc_channel_drain_spent(self._h, spent, BATCH, &count) != AVENC_OK:
                return
            for i in range(count):
                ticket = take_ticket(spent[i])
                avenc_packet_release(spent[i])
                if ticket is not None and ticket.future is not None:
                    cancel(ticket.future)

    cdef list _return_tickets(self, avenc_channel *handle):
        """The channel ends: let go of all that came with frames that nobody will receive. Futures to be cancelled."""
        cdef avenc_packet *ready[BATCH]
        cdef size_t count = BATCH, i
        cdef Ticket ticket
        cdef list futures = []
        cdef bint spent
        for spent in (False, True):
            count = BATCH
            while count == BATCH:
                if spent:
                    avenc_channel_drain_spent(handle, ready, BATCH, &count)
                else:
                    avenc_channel_drain(handle, ready, BATCH, &count)
                for i in range(count):
                    ticket = take_ticket(ready[i])
                    avenc_packet_release(ready[i])
                    if ticket is not None and ticket.future is not None:
                        futures.append(ticket.future)
        return futures

    cdef _drop_undelivered(self):
        cdef Packet packet
        cdef list dropped = self._undelivered
        self._undelivered = []
        for packet in dropped:
            if packet._h != NULL and packet._h.token != NULL and (<Ticket>packet._h.token).future is not None:
                cancel((<Ticket>packet._h.token).future)

    cdef int _take(self, avenc_channel *handle, size_t limit) except -1:
        """Move up to `limit` ready packets to the list of undelivered ones. The GIL is kept: this does not wait."""
        cdef avenc_packet *ready[BATCH]
        cdef size_t count = 0, i, wanted
        while limit:
            wanted = limit if limit < BATCH else BATCH
            check(avenc_channel_drain(handle, ready, wanted, &count))
            for i in range(count):
                self._undelivered.append(wrap_packet(ready[i], self.time_base))
            limit -= count
            if count < wanted:
                break
        return 0

    cdef _mark(self):
        """There is something to be received that the engine does not know of."""
        if self._selector is not None:
            avenc_selector_mark(self._selector._h, self._key)

    cdef list _deliver(self, Py_ssize_t limit):
        """Hand out up to `limit` (-1: all) packets. For a frame that failed raise at once, and keep the others."""
        cdef list waiting = self._undelivered
        cdef list packets
        cdef Py_ssize_t position = 0, count = len(waiting)
        cdef Packet packet
        cdef Ticket ticket
        cdef bint clean = True
        for position in range(count):
            packet = <Packet>waiting[position]
            if packet._h == NULL or packet._h.status != 0 or packet._h.token != NULL:
                clean = False
                break
        if clean:
            if limit < 0 or count <= limit:
                self._undelivered = []
                return waiting
            packets = waiting[:limit]
            del waiting[:limit]
            self._mark()
            return packets
        packets = []
        while waiting and (limit < 0 or len(packets) < limit):
            packet = <Packet>waiting.pop(0)
            if packet._h == NULL:
                continue
            ticket = take_ticket(packet._h)
            failure = None
            if packet._h.status != 0:
                failure = errors.frame_error(
                    packet._h.status, packet._h.frame_index, packet._h.pts, packet._h.ret_code)
            if ticket is not None:
                packet._token = ticket.token
                if failure is not None:
                    failure.token = ticket.token
                if ticket.future is not None:
                    self._promised.append((ticket.future, packet, failure))
                    continue
            if failure is not None:
                waiting[:0] = packets  # in front, with their tokens: the next call returns them
                if waiting:
                    self._mark()
                raise failure
            packets.append(packet)
        return packets

    def drain(self):
        """Return all packets that are ready, oldest first, without waiting."""
        cdef avenc_channel *handle
        if self._h == NULL and self._undelivered:
            self._users += 1
            try:
                return self._deliver(-1)  # what reconfigure() kept when it could not open the channel again
            finally:
                self._leave()
        handle = self._enter()
        try:
            self._take(handle, <size_t>-1)
            return self._deliver(-1)
        finally:
            self._leave()

    def put_back(self, list packets):
        """Packets that were returned and not used after all, oldest first: they are the next to be received."""
        if not self.closed:
            self._undelivered[:0] = packets
            self._mark()

    def pump(self):
        """Give the packets that are ready to their Futures; keep the others to be received. Does not wait.

        Raises DeviceLostError, with the packets that were ready given out before.
        """
        cdef Packet packet
        cdef Ticket ticket
        cdef int status
        cdef list kept = []
        cdef avenc_channel *handle
        self._collect_spent()
        handle = self._enter()
        try:
            self._take(handle, <size_t>-1)
            for packet in self._undelivered:
                if packet._h == NULL or packet._h.token == NULL or (<Ticket>packet._h.token).future is None:
                    kept.append(packet)
                    continue
                ticket = take_ticket(packet._h)
                packet._token = ticket.token
                failure = None
                if packet._h.status != 0:
                    failure = errors.frame_error(
                        packet._h.status, packet._h.frame_index, packet._h.pts, packet._h.ret_code)
                    failure.token = ticket.token
                self._promised.append((ticket.future, packet, failure))
            self._undelivered = kept
            status = avenc_channel_wait(handle, 0, 0, AVENC_WAIT_FOR_FRAMES)
            if status not in (AVENC_OK, AVENC_E_TIMEOUT, AVENC_E_DRAINED, AVENC_E_CLOSED):
                check(status)
        finally:
            self._leave()

    def try_receive(self, Py_ssize_t limit):
        """Return the packets that are ready, at most `limit`, perhaps none, without waiting. Else like receive_many."""
        cdef int status
        cdef list packets
        cdef avenc_channel *handle
        if self._h == NULL and not self._reopening and self._undelivered:
            self._users += 1
            try:
                return self._deliver(limit)
            finally:
                self._leave()
        handle = self._enter()
        try:
            while True:
                self._take(handle, <size_t>max(limit - <Py_ssize_t>len(self._undelivered), 0))
                packets = self._deliver(limit)
                if packets:
                    if self._ended:
                        self._mark()  # perhaps these were the last
                    return packets
                status = avenc_channel_wait(handle, 0, 0, AVENC_WAIT_FOR_FRAMES)
                if status == AVENC_E_TIMEOUT:
                    return packets
                if status == AVENC_E_DRAINED:
                    raise errors.from_status(status, "", "the end of the stream: all packets have been received")
                check(status)
        finally:
            self._leave()

    def check(self):
        """Raise DeviceLostError if frames are in flight on a lost device. Does not wait."""
        cdef int status
        cdef avenc_channel *handle = self._enter()
        try:
            status = avenc_channel_wait_idle(handle, 0)
            if status != AVENC_E_TIMEOUT:
                check(status)
        finally:
            self._users -= 1

    @property
    def idle(self):
        """Whether no frame is in flight."""
        cdef avenc_channel_stats stats
        if self._h == NULL:
            return True
        avenc_channel_stats_get(self._h, &stats)
        return stats.in_flight == 0

    def receive_many(self, Py_ssize_t limit, timeout):
        """Wait up to `timeout` seconds for a packet, and return those that are ready, at most `limit`.

        EncoderDrained at the end of the stream, AclTimeoutError after `timeout`, or when frames are in the device and
        none is finished for `stall` seconds.
        """
        cdef double deadline = deadline_after(timeout)
        cdef double stall_deadline = deadline_after(self._stall)
        cdef avenc_channel_stats stats
        cdef uint64_t completed = 0
        cdef bint watching = False
        cdef uint32_t slice_ms
        cdef int status, flags
        cdef list packets
        cdef avenc_channel *handle
        if self._h == NULL and not self._reopening and self._undelivered:
            self._users += 1
            try:
                return self._deliver(limit)
            finally:
                self._leave()
        handle = self._enter()
        try:
            while True:
                self._take(handle, <size_t>max(limit - <Py_ssize_t>len(self._undelivered), 0))
                packets = self._deliver(limit)
                if packets:
                    return packets
                self._step_out(&handle)
                slice_ms = slice_of(deadline)
                # Where only this thread submits, no frame can come while it waits.
                flags = AVENC_WAIT_FOR_FRAMES
                if self._submitter == PyThread_get_thread_ident() and not self._several_submitters:
                    flags = 0
                with nogil:
                    status = avenc_channel_wait(handle, slice_ms, self._linger_us, flags)
                if status == AVENC_OK:
                    continue
                PyErr_CheckSignals()
                if self._reenter(&handle) or self._undelivered:
                    continue
                if status != AVENC_E_TIMEOUT:
                    if status == AVENC_E_CLOSED:
                        refuse_closed()
                    if status == AVENC_E_DRAINED:
                        raise errors.from_status(status, "", "the end of the stream: all packets have been received")
                    check(status)
                avenc_channel_stats_get(handle, &stats)
                if stats.in_flight == 0 or stats.completed != completed or not watching:
                    watching = True
                    completed = stats.completed
                    stall_deadline = deadline_after(self._stall)
                if slice_ms == 0 or (stats.in_flight and slice_of(stall_deadline) == 0):
                    raise errors.from_status(
                        AVENC_E_TIMEOUT, "",
                        f"no packet within the time allowed, {stats.in_flight} frame(s) are in flight")
        finally:
            self._leave()

    def end(self):
        """Declare the end of the stream: no further frames; receivers get the rest, then EncoderDrained."""
        cdef avenc_channel *handle = self._enter()
        try:
            check(avenc_channel_end(handle))
            self._ended = True
        finally:
            self._users -= 1

    def wait_idle(self, timeout):
        """Wait until no frame is in flight; AclTimeoutError after `timeout` seconds without a finished frame."""
        cdef avenc_channel_stats stats
        cdef uint64_t completed
        cdef uint32_t slice_ms
        cdef double deadline
        cdef int status
        cdef avenc_channel *handle = self._enter()
        try:
            avenc_channel_stats_get(handle, &stats)
            completed = stats.completed
            deadline = deadline_after(timeout)
            slice_ms = slice_of(deadline)
            while True:
                with nogil:
                    status = avenc_channel_wait_idle(handle, slice_ms)
                if status == AVENC_OK:
                    return
                PyErr_CheckSignals()
                if self._reenter(&handle):
                    return
                if status != AVENC_E_TIMEOUT:
                    check(status)
                    return
                avenc_channel_stats_get(handle, &stats)
                if stats.completed != completed:
                    completed = stats.completed
                    deadline = deadline_after(timeout)
                slice_ms = slice_of(deadline)
                if slice_ms == 0:
                    check(status)
        finally:
            self._users -= 1

    # ---- numbers -----------------------------------------------------------------------------------------------------

    cdef dict _counters(self, avenc_channel *handle):
        cdef avenc_channel_stats stats
        cdef avenc_channel_histograms histograms
        avenc_channel_stats_get(handle, &stats)
        avenc_channel_histograms_get(handle, &histograms)
        cdef dict counters = stats
        counters["refused"] = self._dropped
        counters["undelivered"] = len(self._undelivered)
        counters["latency"] = [histograms.latency[i] for i in range(AVENC_BUCKETS)]
        counters["hold"] = [histograms.hold[i] for i in range(AVENC_BUCKETS)]
        return counters

    def stats(self):
        """Return the engine's counters as a dict; see avenc_channel_stats in avenc.h for the keys.

        Besides: "refused" (frames dropped for lack of room), "undelivered", and the histograms "latency" and "hold".
        Counters go on over reconfigure().
        """
        cdef avenc_channel *handle
        if self._h == NULL:
            return dict(self._past) if self._past is not None else {}
        handle = self._enter()
        try:
            counters = self._counters(handle)
        finally:
            self._users -= 1
        return counters if self._past is None else add_counters(self._past, counters)

    def attach(self, Notifier notifier not None):
        """Let a notifier know of this channel's progress, until `detach` or `close`."""
        cdef avenc_channel *handle = self._enter()
        try:
            check(avenc_channel_attach_notifier(handle, notifier._h))
            self._notifiers.append(notifier)
        finally:
            self._users -= 1

    def detach(self, Notifier notifier not None):
        if notifier in self._notifiers:
            self._notifiers.remove(notifier)
            if self._h != NULL:
                avenc_channel_detach_notifier(self._h, notifier._h)

    def select(self, Selector selector not None, uint32_t key):
        """Let a selector know of this channel's news, under `key`, until `close`. One selector at most."""
        cdef avenc_channel *handle = self._enter()
        try:
            check(avenc_channel_attach_selector(handle, selector._h, key))
            self._selector = selector
            self._key = key
        finally:
            self._users -= 1

    # ---- changing and ending -----------------------------------------------------------------------------------------

    cdef _leave_natively(self, avenc_channel *handle):
        """Wait until no other thread is inside a native call on the handle."""
        while self._users > 0 and not _exiting:
            with nogil:
                usleep(200)
            PyErr_CheckSignals()

    def reconfigure(self, int width, int height, unsigned int key_frame_interval, unsigned int rc_mode,
                    unsigned int src_rate, unsigned int max_bit_rate, object time_base, timeout,
                    Converter converter=None):
        """End the hardware channel and create it anew with other settings, behind this same object.

        Frames in flight are encoded first; their packets stay to be received. Returns the number of the first frame
        to which the settings apply, an IDR. Where the frames are not finished in `timeout` seconds nothing has
        changed. Where the new channel cannot be created, this one is closed. Other threads wait meanwhile.
        """
        cdef avenc_channel *handle = self._enter()
        cdef avenc_channel_stats stats
        cdef uint64_t first
        cdef int status
        cdef double deadline = deadline_after(timeout)
        cdef uint32_t slice_ms
        cdef list futures = []
        self._users -= 1
        self._reopening = True
        try:
            while True:
                slice_ms = slice_of(deadline)
                with nogil:
                    status = avenc_channel_wait_idle(handle, slice_ms)
                PyErr_CheckSignals()
                if status == AVENC_OK or status != AVENC_E_TIMEOUT or slice_ms == 0:
                    break
            check(status)
            self._take(handle, <size_t>-1)
            with nogil:
                status = avenc_channel_close(handle, SLICE_MS)
            while status == AVENC_E_TIMEOUT and slice_of(deadline) != 0:
                PyErr_CheckSignals()
                with nogil:
                    status = avenc_channel_close(handle, SLICE_MS)
            self._leave_natively(handle)
            self._take(handle, <size_t>-1)  # what a thread submitted before it saw the flag
            counters = self._counters(handle)
            self._past = counters if self._past is None else add_counters(self._past, counters)
            avenc_channel_stats_get(handle, &stats)
            first = self._config.first_index + stats.submitted
            self._h = NULL
            futures = self._return_tickets(handle)
            with nogil:
                avenc_channel_destroy(handle, 0)
            self._dropped = 0
            check(status)
            self.generation += 1
            if converter is not None:
                self._converter = converter
            self.width = width
            self.height = height
            self.time_base = time_base
            self._config.width = width
            self._config.height = height
            self._config.key_frame_interval = key_frame_interval
            self._config.rc_mode = rc_mode
            self._config.src_rate = src_rate
            self._config.max_bit_rate = max_bit_rate
            self._create(first)
            return first
        finally:
            self._reopening = False
            if self._h == NULL:
                _open_channels.discard(self)
            for future in futures:  # now that their callbacks can use the encoder
                cancel(future)

    @property
    def sink(self):
        return self._sink_fd

    @property
    def closed(self):
        return self._h == NULL and not self._reopening

    def close(self, timeout):
        """Destroy the channel, waiting up to `timeout` seconds (None: without bound) for the frames in flight.

        Idempotent. Packets that nobody took are dropped. Interrupted by Ctrl-C it can be called again. After a
        timeout the native channel is leaked on purpose, since the device may still use its memory, and
        AclTimeoutError is raised.
        """
        cdef int status = AVENC_OK
        cdef avenc_channel *handle
        while self._reopening:
            with nogil:
                usleep(1000)
            PyErr_CheckSignals()
        handle = self._h
        if handle == NULL:
            self._drop_undelivered()
            return
        self._h = NULL
        cdef double deadline = deadline_after(timeout)
        cdef uint32_t slice_ms
        try:
            while True:
                slice_ms = slice_of(deadline)
                with nogil:
                    status = avenc_channel_close(handle, slice_ms)
                PyErr_CheckSignals()
                if status != AVENC_E_TIMEOUT or slice_ms == 0:
                    break
            self._leave_natively(handle)
        except BaseException:
            self._h = handle
            raise
        _open_channels.discard(self)
        self._drop_undelivered()
        if status == AVENC_E_FORKED:
            return
        if self._users:
            return  # at exit: a parked daemon thread still names the channel, and the process ends anyway
        counters = self._counters(handle)
        self._past = counters if self._past is None else add_counters(self._past, counters)
        futures = self._return_tickets(handle)
        with nogil:
            status = avenc_channel_destroy(handle, 0)
        self._mark()
        try:
            check(status)
        finally:
            for future in futures:
                cancel(future)

    def __reduce__(self):
        raise TypeError("a Channel cannot be pickled: it belongs to this process")


cdef object as_host_array(object frame, Converter converter):
    """What the converter can look at: buffers as they are, tensors in host memory as arrays of theirs."""
    if PyObject_CheckBuffer(frame) or type(frame) is tuple:
        return frame
    if type(frame) is DeviceFrame:
        raise errors.InvalidArgumentError(
            f'frame is in device memory, and the encoder converts {converter.pixel_format} on the CPU: make the '
            'encoder with pixel_format="nv12" or "nv21"')
    if not hasattr(frame, "__dlpack__"):
        raise TypeError(
            f"frame must support the buffer protocol with uint8 items (a NumPy array, bytes, memoryview, ...), got "
            f"{type(frame).__name__}")
    if int(frame.__dlpack_device__()[0]) != 1:
        raise errors.InvalidArgumentError(
            f"frame is a tensor in device memory, and the encoder converts {converter.pixel_format} on the CPU: copy "
            'it to the host first, or make the encoder with pixel_format="nv12" or "nv21"')
    import numpy
    return numpy.from_dlpack(frame)


cdef int submit_batch(avenc_channel *handle, avenc_submission *submissions, size_t count, bint dropping,
                      uint32_t timeout_ms, uint64_t *indices, size_t *accepted) noexcept nogil:
    """Go on with a batch where the last call stopped."""
    cdef size_t more = 0
    cdef int status = AVENC_OK
    if not dropping:
        status = avenc_channel_submit_many(
            handle, submissions + accepted[0], count - accepted[0], timeout_ms, indices + accepted[0], &more)
        accepted[0] += more
        return status
    while accepted[0] < count and status == AVENC_OK:
        status = avenc_channel_enqueue(handle, submissions + accepted[0], 1, 1, indices + accepted[0])
        if status == AVENC_OK:
            accepted[0] += 1
    return status


cdef bint may_settle(object future):
    """Whether the caller is the first of those who give a Future its end: its packet, the closing, the device's loss."""
    return future.__dict__.pop("_unsettled", False)


def cancel(future):
    """Cancel a Future, and tell who waits for it with concurrent.futures.wait or as_completed."""
    if may_settle(future):
        future.cancel()
        future.set_running_or_notify_cancel()


def fail(future, failure):
    """Give a Future its failure; one that was cancelled wants none."""
    if may_settle(future) and future.set_running_or_notify_cancel():
        future.set_exception(failure)


cdef resolve(object future, Packet packet, object failure):
    """Give a Future its packet or its failure; one that was cancelled wants neither."""
    if failure is not None:
        fail(future, failure)
    elif may_settle(future) and future.set_running_or_notify_cancel():
        future.set_result(packet)


_LEVELS = frozenset(("in_flight", "queued", "ready", "held", "spent", "undelivered", "slots", "pool_buffers"))


cdef dict add_counters(dict past, dict now):
    """Counters of a channel that followed another. Levels are those of the present one."""
    total = {}
    for key, value in now.items():
        if key in _LEVELS:
            total[key] = value
        elif key.startswith("max_"):
            total[key] = max(value, past[key])
        elif type(value) is list:
            total[key] = [a + b for a, b in zip(value, past[key])]
        else:
            total[key] = value + past[key]
    return total


def bucket_seconds():
    """Upper bounds of the histograms' buckets, in seconds."""
    return [avenc_bucket_ns(i) * 1e-9 for i in range(AVENC_BUCKETS)]


def open_channels(Device device not None):
    """How many channels this process has open on a device."""
    cdef Channel channel
    cdef int count = 0
    for other in list(_open_channels):
        channel = other
        if channel._h != NULL and channel.device._h == device._h:
            count += 1
    return count


def make_ticket(token, future):
    """What to give as a token so that the frame's packet goes to a Future."""
    cdef Ticket ticket = Ticket.__new__(Ticket)
    ticket.token = token
    ticket.future = future
    future._unsettled = True
    return ticket


def _close_all():
    """At exit: end what the program left open, so that no native thread is inside the runtime while it is torn down."""
    global _exiting
    _exiting = True
    for channel in list(_open_channels):
        try:
            channel.close(2.0)
        except Exception:
            pass  # the process ends; there is nobody to tell
    core.finalize_libraries()


def _after_fork_in_child():
    """The parent's other threads do not exist here: nobody is inside a call, and no reconfigure() goes on."""
    cdef Channel channel
    for channel in list(_open_channels):
        channel._users = 0
        channel._reopening = False


os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_close_all)
