# SPDX-License-Identifier: Apache-2.0
"""An open device."""
cimport cython

from .. import errors
from .cavenc cimport *
from .core cimport Library, check
from .core import parse_interface
from .device cimport *
from .wait cimport begin_wait, look


@cython.final
cdef class Device:
    """An open device: a context and the native report thread that its channels share.

    Opening a device that is open already shares it; it ends with its last user. Opening is done by a native thread and
    waited for up to `timeout` seconds (None: without bound), without the GIL; Ctrl-C interrupts the wait. `close` does
    not block and is idempotent.

    `interface` is "v1", "v2" or "auto", by which of the vendor's interfaces its channels are driven; None stands for
    $ASCEND_VENC_INTERFACE. One process uses one of them: "auto" is that, or V1 where none was used yet. Raises
    AclStateError for the other one, InvalidArgumentError where library or chip have no V2.

    Attributes
    ----------
    library : Library
    interface : str
        "v1" or "v2".
    device_id : int
    run_mode : int
        0: this program runs on the device's own CPU, 1: on a host across PCIe.
    soc_name : str
        Chip, e.g. "Ascend310P3"; "" if the runtime cannot tell.
    """

    def __cinit__(self, Library library not None, int device_id, timeout=None, interface=None):
        cdef int status = AVENC_E_LOOK
        cdef int used = avenc_interface_in_use()
        name = parse_interface(interface)
        cdef avenc_wait wait
        self.library = library
        begin_wait(&wait, timeout, None)
        if name == "auto":
            name = "v2" if used == AVENC_DVPP_V2 else "v1"
        self.interface = name
        check(avenc_device_open(library._h, device_id, AVENC_DVPP_V2 if name == "v2" else AVENC_DVPP_V1, &self._h))
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
