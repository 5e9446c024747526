# SPDX-License-Identifier: Apache-2.0
"""An open device."""
cimport cython

from .. import errors
from .cavenc cimport *
from .core cimport Library, check
from .device cimport *
from .wait cimport begin_wait, look


@cython.final
cdef class Device:
    """An open device: a context and the native report thread that its channels share.

    Opening a device that is open already shares it; it ends with its last user. Opening is done by a native thread and
    waited for up to `timeout` seconds (None: without bound), without the GIL; Ctrl-C interrupts the wait. `close` does
    not block and is idempotent.

    Attributes
    ----------
    library : Library
    device_id : int
    run_mode : int
        0: this program runs on the device's own CPU, 1: on a host across PCIe.
    soc_name : str
        Chip, e.g. "Ascend310P3"; "" if the runtime cannot tell.
    """

    def __cinit__(self, Library library not None, int device_id, timeout=None):
        cdef int status = AVENC_E_LOOK
        cdef avenc_wait wait
        self.library = library
        begin_wait(&wait, timeout, None)
        check(avenc_device_open(library._h, device_id, &self._h))
        while look(status):
            with nogil:
                status = avenc_device_wait_open(self._h, &wait)
        check(status)

    def __dealloc__(self):
        avenc_device_release(self._h)

    def close(self):
        cdef avenc_device *handle = self._h
        self._h = NULL
        avenc_device_release(handle)

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
