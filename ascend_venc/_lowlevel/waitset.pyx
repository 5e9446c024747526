# SPDX-License-Identifier: Apache-2.0
"""One wait for many channels."""
cimport cython
from libc.stdint cimport uint32_t

from .cavenc cimport *
from .core cimport check
from .wait cimport begin_wait, look
from .waitset cimport *


@cython.final
cdef class WaitSet:
    """WaitSet()\n--\n
    One wait for any number of channels, which says which of them made progress; each has a key, a number.

    Progress is a packet, room for a frame, the end, the loss of the device. `Channel.attach` adds a channel. Safe to use
    from several threads; each key that is taken goes to one of them.
    """

    def __cinit__(self):
        check(avenc_waitset_create(&self._h))

    def __dealloc__(self):
        avenc_waitset_release(self._h)

    def signal(self, uint32_t key=0):
        """List a key as its channel does, and wake a waiting thread. From any thread; does not block."""
        avenc_waitset_signal(self._h, key)

    def take(self, timeout: float | None = None, double max_latency=0.0) -> list[int]:
        """Wait up to `timeout` seconds (None: without bound) and return the keys of channels with progress, at most 256.

        [] after the time. Waits without the GIL; Ctrl-C interrupts. With `max_latency`, in seconds, keys are collected
        for that long where they come fast.
        """
        cdef uint32_t keys[MOST_KEYS]
        cdef uint32_t count, i
        cdef avenc_wait wait
        begin_wait(&wait, timeout, None)
        count = self.take_keys(&wait, max_latency, keys)
        try:
            return [keys[i] for i in range(count)]
        except MemoryError:  # nobody has been told of them
            for i in range(count):
                avenc_waitset_signal(self._h, keys[i])
            raise

    cdef uint32_t take_keys(self, const avenc_wait *wait, double max_latency, uint32_t *keys) except? 0:
        cdef uint32_t count = 0
        cdef uint32_t coalesce_us = <uint32_t>(max_latency * 1e6)
        cdef int status = AVENC_E_LOOK
        while look(status):
            with nogil:
                status = avenc_waitset_take(self._h, wait, coalesce_us, keys, MOST_KEYS, &count)
        if status != AVENC_E_TIMEOUT:
            check(status)
        return count

    def fileno(self) -> int:
        """A file descriptor for an event loop: readable once there was progress after `arm`."""
        cdef int fd = avenc_waitset_fd(self._h)
        if fd < 0:
            check(avenc_last_failure().code)
        return fd

    def arm(self):
        """Let the descriptor become readable at the next progress, until `take`. Forgets the keys that are listed: look at
        every channel after this, then sleep.
        """
        avenc_waitset_arm(self._h)
