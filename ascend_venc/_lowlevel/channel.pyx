# SPDX-License-Identifier: Apache-2.0
"""The C-level channel that `Encoder` drives: one native call per frame, waits that Ctrl-C interrupts.

Waiting is done in native slices of at most 50 ms without the GIL; between slices Python's signal handlers run. An
exception out of a wait leaves the channel as it was: the wait can be repeated.

Invariant: the native channel is freed only when no Python thread is inside a native call on it. `_users` counts them
(under the GIL); `close` first takes the handle away, so that no new call starts, and makes the engine refuse and wake
the others, then waits for the count to reach zero. Otherwise a thread blocked in `encode` would wake in freed memory.
"""
import atexit
import threading
import time
import weakref

cimport cython
from cpython.buffer cimport PyBuffer_Release
from cpython.exc cimport PyErr_CheckSignals
from libc.math cimport INFINITY
from libc.stdint cimport int64_t, uint32_t, uint64_t

from .. import errors
from .buffers cimport Packet, view_picture, wrap_packet
from .cavenc cimport *
from .channel cimport *
from .core cimport Library, check

from . import core

cdef extern from "unistd.h" nogil:
    int usleep(unsigned int microseconds)
    int pause()

cdef enum:
    SLICE_MS = 50  # the longest that a signal waits for its handler
    BATCH = 64

_open_channels = weakref.WeakSet()
cdef bint _exiting = False


cdef uint32_t slice_of(double deadline) except? 0:
    """Milliseconds to wait natively before signals are looked at again; 0 once the deadline has passed."""
    cdef double left = (deadline - time.monotonic()) * 1000
    return SLICE_MS if left >= SLICE_MS else <uint32_t>max(left + 1, 0) if left > 0 else 0


cdef double deadline_after(object timeout) except? -1:
    return INFINITY if timeout is None else time.monotonic() + <double>timeout


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
        Frames in flight, 1 to 256.

    Safe to use from several threads; frames of concurrent callers are sent in an unspecified order.
    """

    def __cinit__(self, Device device not None, object time_base, int en_type, int pic_format, int width, int height,
                  unsigned int key_frame_interval, unsigned int rc_mode, unsigned int src_rate,
                  unsigned int max_bit_rate, unsigned int depth):
        cdef avenc_channel_config config
        cdef avenc_channel *handle = NULL
        cdef int status
        device._info()
        self.device = device
        self.time_base = time_base
        self.width = width
        self.height = height
        self._undelivered = []
        config.en_type = en_type
        config.pic_format = pic_format
        config.width = width
        config.height = height
        config.key_frame_interval = key_frame_interval
        config.rc_mode = rc_mode
        config.src_rate = src_rate
        config.max_bit_rate = max_bit_rate
        config.depth = depth
        with nogil:
            status = avenc_channel_create(device._h, &config, &handle)
        check(status)
        self._h = handle
        _open_channels.add(self)

    def __dealloc__(self):
        cdef avenc_channel *handle = self._h
        self._h = NULL
        if handle != NULL:
            with nogil:
                avenc_channel_destroy(handle, 5000)

    cdef avenc_channel *_enter(self) except NULL:
        if self._h == NULL:
            refuse_closed()
        self._users += 1
        return self._h

    cdef list _deliver(self, avenc_packet **ready, size_t count):
        """Wrap what was drained. For a frame that failed raise at once, and keep the others for the next call."""
        cdef list packets = self._undelivered
        cdef size_t i
        cdef Py_ssize_t position
        cdef Packet packet
        cdef bint failed = bool(packets)
        for i in range(count):
            failed = failed or ready[i].status != 0
            packets.append(wrap_packet(ready[i], self.time_base))
        if failed:
            for position, packet in enumerate(packets):
                if packet._h.status != 0:
                    del packets[position]
                    raise errors.frame_error(
                        packet._h.status, packet._h.frame_index, packet._h.pts, packet._h.ret_code)
        self._undelivered = []
        return packets

    def encode(self, frame, pts, bint key_frame, timeout):
        """Send one frame and return the packets that are ready, oldest first; never waits for the one just sent.

        Waits up to `timeout` seconds (None: without bound) while `depth` frames are in flight, then raises
        AclTimeoutError with nothing sent. `pts` None numbers the frames. Copies the frame before it returns.
        """
        cdef avenc_packet *ready[BATCH]
        cdef size_t count = 0
        cdef Py_buffer view
        cdef avenc_picture picture
        cdef int64_t c_pts = 0 if pts is None else pts
        cdef bint numbered = pts is None
        cdef uint64_t index = 0
        cdef int status
        cdef double deadline = deadline_after(timeout)
        cdef uint32_t slice_ms = SLICE_MS if deadline == INFINITY else slice_of(deadline)
        cdef avenc_channel *handle = self._enter()
        try:
            view_picture(frame, self.width, self.height, &view, &picture)
            try:
                while True:
                    with nogil:
                        status = avenc_channel_submit(
                            handle, &picture, c_pts, numbered, key_frame, slice_ms, &index)
                        if status == AVENC_OK:
                            avenc_channel_drain(handle, ready, BATCH, &count)
                    if status == AVENC_OK:
                        break
                    if status == AVENC_E_CLOSED:
                        refuse_closed()
                    PyErr_CheckSignals()
                    slice_ms = slice_of(deadline)
                    if status != AVENC_E_TIMEOUT or slice_ms == 0:
                        check(status)
            finally:
                PyBuffer_Release(&view)
            return self._deliver(ready, count)
        finally:
            self._users -= 1

    def drain(self):
        """Return all packets that are ready, oldest first, without waiting."""
        cdef avenc_packet *ready[BATCH]
        cdef size_t count = BATCH
        cdef avenc_channel *handle = self._enter()
        try:
            while count == BATCH:
                check(avenc_channel_drain(handle, ready, BATCH, &count))
                if count == BATCH:
                    self._undelivered = self._deliver(ready, count)
            return self._deliver(ready, count)
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
                if status != AVENC_E_TIMEOUT:
                    check(status)
                    return
                PyErr_CheckSignals()
                avenc_channel_stats_get(handle, &stats)
                if stats.completed != completed:
                    completed = stats.completed
                    deadline = deadline_after(timeout)
                slice_ms = slice_of(deadline)
                if slice_ms == 0:
                    check(status)
        finally:
            self._users -= 1

    def stats(self):
        """Return the engine's counters as a dict; see avenc_channel_stats in avenc.h for the keys."""
        cdef avenc_channel_stats stats
        cdef avenc_channel *handle = self._enter()
        avenc_channel_stats_get(handle, &stats)
        self._users -= 1
        return stats

    @property
    def closed(self):
        return self._h == NULL

    def close(self, timeout):
        """Destroy the channel, waiting up to `timeout` seconds (None: without bound) for the frames in flight.

        Idempotent. Packets that nobody took are dropped. Interrupted by Ctrl-C it can be called again. After a
        timeout the native channel is leaked on purpose, since the device may still use its memory, and
        AclTimeoutError is raised.
        """
        cdef avenc_channel *handle = self._h
        cdef int status = AVENC_OK
        if handle == NULL:
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
            while self._users and not _exiting:
                with nogil:
                    usleep(1000)
                PyErr_CheckSignals()
        except BaseException:
            self._h = handle
            raise
        _open_channels.discard(self)
        self._undelivered.clear()
        if status == AVENC_E_FORKED:
            return
        if self._users:
            return  # at exit: a parked daemon thread still names the channel, and the process ends anyway
        with nogil:
            status = avenc_channel_destroy(handle, 0)
        check(status)

    def __reduce__(self):
        raise TypeError("a Channel cannot be pickled: it belongs to this process")


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


atexit.register(_close_all)
