# SPDX-License-Identifier: Apache-2.0
from libc.stdint cimport uint32_t, uint64_t

from .frames cimport host_frame
from .cavenc cimport avenc_device_picture

cdef class DeviceFrame:
    cdef avenc_device_picture _picture
    cdef readonly object owner
    cdef readonly object device  # number of the device that the memory belongs to, or None
    cdef readonly object dtype_shape  # what a tensor said of itself, for messages
    cdef int _check_size(self, uint32_t width, uint32_t height, int device) except -1

# An array of NumPy on a tensor in host memory; None of one in a device's.
cdef object host_array(object exporter)

# A tensor that exports DLPack: a DeviceFrame for memory of an Ascend device, or a Tensor with `held` describing its host
# memory, valid as long as the Tensor lives.
cdef object import_tensor(object exporter, uint32_t width, uint32_t height, host_frame *held)
