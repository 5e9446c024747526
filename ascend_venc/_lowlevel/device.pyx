# SPDX-License-Identifier: Apache-2.0
"""An open device."""

cimport cython

from .. import call_site, errors, interface_choice
from .cavenc cimport *
from .core cimport Library, check, find_mpi
from .device cimport *
from .wait cimport begin_wait, look

# A refusal of this one leaves V2 unused; after it has succeeded V1 would be the second interface.
_BEGINS_V2 = "hi_mpi_sys_init"


def choose_interface(Library library not None, interface: str | None = None, timeout: float | None = None) -> InterfaceChoice:
    """Return the `InterfaceChoice` of an interface's name for a device of this library: what `Device` takes now.

    "auto" is the interface that this process uses; else V1 once acl.media was used, or in a program written for pyACL;
    else V2 where chip and library have it. Decides nothing for the process. Opens the library of V2, waited for up to
    `timeout` seconds, where that decides. Raises as `parse_interface` and `open_library` do.
    """
    cdef avenc_wait wait
    begin_wait(&wait, timeout, None)
    return choose(library, interface, &wait)


cdef object choose(Library library, object interface, avenc_wait *wait):
    name = interface_choice.parse_interface(interface)
    if name != "auto":
        return interface_choice.InterfaceChoice(
            name, "chosen" if interface is not None else "chosen by $ASCEND_VENC_INTERFACE")
    cdef bint settled = avenc_interface_wait_settled(AVENC_DVPP_V2, NULL) == AVENC_OK
    choice = interface_choice.by_process(avenc_interface_in_use(), avenc_interface_expected(), library.soc_name)
    if choice is not None:
        # Where another thread has only begun V2, both may find that it does not work.
        return choice if settled or choice.name != "v2" else choice._replace(automatic=True)
    find_mpi(library._h, wait)
    return interface_choice.by_library(
        library.soc_name, library.mpi_path, library.mpi_problem,
        avenc_library_info_get(library._h).mpi_state == AVENC_MPI_BROKEN)


@cython.final
cdef class Device:
    """Device(library, device_id, timeout=None, interface=None)\n--\n
    An open device: a context and the native report thread that its channels share.

    Opening a device that is open already shares it; it ends with its last user. Opening is done by a native thread and
    waited for up to `timeout` seconds (None: without bound), without the GIL; Ctrl-C interrupts the wait. `close` does
    not block and is idempotent.

    `interface` is "v1", "v2" or "auto", by which of the vendor's interfaces its channels are driven; None stands for
    $ASCEND_VENC_INTERFACE. One process uses one of them: "auto" is that, or `choose_interface`'s where none was used yet.
    Where it chooses V2, and that is there but cannot be begun, it takes V1 with an InterfaceFallbackWarning. Raises
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

    def __cinit__(self, Library library not None, int device_id, timeout: float | None = None,
                  interface: str | None = None):
        cdef avenc_wait wait
        cdef bint named = interface_choice.parse_interface(interface) != "auto"
        self.library = library
        begin_wait(&wait, timeout, None)
        while True:
            choice = choose(library, interface, &wait)
            problem = choice.problem
            try:
                self._open(choice.name, device_id, &wait)
                break
            except errors.VencError as error:
                if not named and getattr(error, "code", 0) == AVENC_E_MIXED and \
                        avenc_interface_in_use() == (AVENC_DVPP_V1 if choice.name == "v2" else AVENC_DVPP_V2):
                    continue  # another thread has begun the other one since
                if choice.name != "v2" or not choice.automatic or getattr(error, "call", "") != _BEGINS_V2:
                    raise
                problem = str(error)
                self.close()
                self._fall_back(device_id, &wait)
                break
        if problem:
            call_site.warn(
                f"encoding by DVPP V1: V2, which this chip has, does not work: {problem} "
                '(interface="v1", or --interface v1, says so without this warning)',
                errors.InterfaceFallbackWarning)

    cdef int _open(self, str name, int device_id, avenc_wait *wait) except -1:
        cdef int status = AVENC_E_LOOK
        cdef int interface = AVENC_DVPP_V2 if name == "v2" else AVENC_DVPP_V1
        self.interface = name
        if interface == AVENC_DVPP_V2:
            find_mpi(self.library._h, wait)
        check(avenc_device_open(self.library._h, device_id, interface, &self._h))
        while look(status):
            with nogil:
                status = avenc_device_wait_open(self._h, wait)
        return check(status)

    cdef int _fall_back(self, int device_id, avenc_wait *wait) except -1:
        """Open it by V1, which other threads that have begun V2 are in the way of until that has come to nothing."""
        cdef int status
        while True:
            status = AVENC_E_LOOK
            while look(status):
                with nogil:
                    status = avenc_interface_wait_settled(AVENC_DVPP_V2, wait)
            check(status)
            try:
                return self._open("v1", device_id, wait)
            except errors.AclStateError as error:
                if error.code != AVENC_E_MIXED or (
                        avenc_interface_in_use() == AVENC_DVPP_V2 and
                        avenc_interface_wait_settled(AVENC_DVPP_V2, NULL) == AVENC_OK):
                    raise  # else another one has begun it since

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
    def device_id(self) -> int:
        return self._info().device_id

    @property
    def run_mode(self) -> int:
        return self._info().run_mode

    @property
    def soc_name(self) -> str:
        return self._info().soc_name.decode("ascii", "replace")
