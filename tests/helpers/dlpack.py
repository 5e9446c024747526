# SPDX-License-Identifier: Apache-2.0
"""A tensor library in miniature: exports memory through DLPack and counts how often its deleter runs, and where."""

import ctypes
import threading
import warnings

from ascend_venc import SimulatedDeviceWarning, acl
from ascend_venc._lowlevel import core
from helpers import himpi, interface

ASCEND, EXTENSION, CPU, CUDA = 21, 12, 1, 2


class _Device(ctypes.Structure):
    _fields_ = (("type", ctypes.c_int32), ("id", ctypes.c_int32))


class _DataType(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16))


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device", _Device),
        ("ndim", ctypes.c_int32),
        ("dtype", _DataType),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


_Deleter = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)  # it touches Python, as torch's does: the GIL must be held


class _Managed(ctypes.Structure):
    _fields_ = (("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", _Deleter))


class _ManagedVersioned(ctypes.Structure):
    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("context", ctypes.c_void_p),
        ("deleter", _Deleter),
        ("flags", ctypes.c_uint64),
        ("tensor", _Tensor),
    )


_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)


class Tensor:
    """A uint8 tensor at an address. `deleted` lists the threads on which its deleter ran, `given` counts capsules."""

    def __init__(self, address, shape, strides=None, *, device=(ASCEND, 0), versioned=False, bits=8, offset=0, major=1):
        self.deleted = []
        self.given = 0
        self._device = device
        self._name = b"dltensor_versioned" if versioned else b"dltensor"
        self._shape = (ctypes.c_int64 * len(shape))(*shape)
        self._strides = (ctypes.c_int64 * len(shape))(*strides) if strides else None
        tensor = _Tensor(
            address - offset,
            _Device(*device),
            len(shape),
            _DataType(1, bits, 1),
            self._shape,
            ctypes.cast(self._strides, ctypes.POINTER(ctypes.c_int64)) if strides else None,
            offset,
        )
        deleter = _Deleter(lambda _: self.deleted.append(threading.current_thread().name))
        if versioned:
            self._managed = _ManagedVersioned(major, 0, None, deleter, 0, tensor)
        else:
            self._managed = _Managed(tensor, None, deleter)

    def __dlpack_device__(self):
        return self._device

    def __dlpack__(self, *, stream=None):
        self.given += 1
        return _new_capsule(ctypes.addressof(self._managed), self._name, None)


def _malloc_v1(size):
    address, code = acl.media.dvpp_malloc(size)
    assert code == 0
    return address


def _free_v1(address):
    assert acl.media.dvpp_free(address) == 0


def _malloc_v2(size):
    mpi, address = _mpi(), ctypes.c_void_p()
    assert mpi.hi_mpi_sys_init() == 0  # repeating it changes nothing
    assert mpi.hi_mpi_dvpp_malloc(0, ctypes.byref(address), size) == 0
    return address.value


def _free_v2(address):
    assert _mpi().hi_mpi_dvpp_free(address) == 0


def _mpi():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SimulatedDeviceWarning)  # the facade's program has been told
        found = core.open_library()
        assert found.open_mpi(), found.mpi_problem
        library = ctypes.CDLL(found.mpi_path)
    himpi.bind(library)
    return library


class DeviceMemory:
    """Memory of device 0 with a context of its own, filled through AscendCL. Use it as a context manager. It is of the
    interface under test, since a process uses one of them."""

    def __init__(self, size, data=None):
        self.size, self._data = size, data
        self._malloc, self._free = interface.of((_malloc_v1, _free_v1), (_malloc_v2, _free_v2))

    def __enter__(self):
        self._context, code = acl.rt.create_context(0)
        assert code == 0
        self.address = self._malloc(self.size)
        if self._data is not None:
            data = bytes(self._data)
            assert acl.rt.memcpy(self.address, self.size, acl.util.bytes_to_ptr(data), len(data), 1) == 0
        return self

    def __exit__(self, *exc):
        assert acl.rt.set_context(self._context) == 0
        self._free(self.address)
        assert acl.rt.destroy_context(self._context) == 0
