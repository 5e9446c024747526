# SPDX-License-Identifier: Apache-2.0
"""Frames that lie in device memory already, given by address or as tensors (DLPack).

Invariant: what owns the memory is kept alive until the device has reported the frame, and is let go of on a thread
that holds the GIL, since a tensor's deleter may need it.
"""
from operator import index

cimport cython
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_IsValid, PyCapsule_SetName
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t

from .. import errors
from ..arguments import check_range
from ..pixel_formats import fix_of_type
from .frames cimport describe_whole, host_frame
from .device_memory cimport *

# The interface of DLPack 0.x and 1.x: https://dmlc.github.io/dlpack/latest/c_api.html
cdef struct DLDevice:
    int32_t device_type
    int32_t device_id

cdef struct DLDataType:
    uint8_t code
    uint8_t bits
    uint16_t lanes

cdef struct DLTensor:
    void *data
    DLDevice device
    int32_t ndim
    DLDataType dtype
    int64_t *shape
    int64_t *strides
    uint64_t byte_offset

cdef struct DLManagedTensor:
    DLTensor dl_tensor
    void *manager_ctx
    void (*deleter)(DLManagedTensor *self)

cdef struct DLPackVersion:
    uint32_t major
    uint32_t minor

cdef struct DLManagedTensorVersioned:
    DLPackVersion version
    void *manager_ctx
    void (*deleter)(DLManagedTensorVersioned *self)
    uint64_t flags
    DLTensor dl_tensor

cdef enum:
    kDLCPU = 1
    kDLExtDev = 12  # what torch_npu used before Ascend had a number of its own
    kDLAscend = 21
    kDLUInt = 1

cdef uint64_t MOST_OFFSET = 1 << 40  # bytes; a larger one is rubbish

_DEVICE_TYPES = (kDLAscend, kDLExtDev)


cdef int set_stream(avenc_device_picture *picture, object stream) except -1:
    picture.wait = stream is not None
    picture.stream = NULL if stream is None else <void *><uintptr_t>check_range(stream, "stream", 0, (1 << 64) - 1)
    return 0


@cython.final
cdef class DeviceFrame:
    """DeviceFrame(ptr, stride, height, *, owner=None, stream=None)\n--\n
    An NV12 or NV21 picture in device memory, for `Encoder.submit`: encoded without a copy.

    Parameters
    ----------
    ptr : int
        Address in device memory (from acldvppMalloc; on 310P also aclrtMalloc). The chroma begins at
        `ptr + stride * height`.
    stride : int
        Bytes from row to row, at least the width.
    height : int
        Rows from luma to chroma, at least the picture's height.
    owner : object, optional
        Kept alive until the device has read the frame.
    stream : int, optional
        An aclrtStream of the current context that writes the picture: the encoder waits for it before the device
        reads. 0 is the default stream; None waits for nothing.

    Notes
    -----
    A stride that is no multiple of 16 or twice the width and more, a height that is not the picture's, or an address
    that is not 16-byte aligned cannot be read by the hardware as it is, or on some chips only (source: the vendor's
    documentation of DVPP V1 and V2): such a frame is copied once on the device, and `Encoder.stats` counts that.
    """

    def __init__(self, ptr: int, stride: int, height: int, *, owner: object = None, stream: int | None = None):
        cdef avenc_device_picture picture
        picture.data = <void *><uintptr_t>check_range(ptr, "ptr", 1, (1 << 64) - 1)
        picture.stride = check_range(stride, "stride", 1, 1 << 20)
        picture.height_stride = check_range(height, "height", 1, 1 << 20)
        set_stream(&picture, stream)
        if self._picture.data != NULL:  # the device may be reading it. Looked at behind the program's `__index__`
            raise TypeError("a DeviceFrame is made once: make another one")
        self._picture = picture
        self.owner = owner

    @staticmethod
    def from_dlpack(tensor, *, stream: int | None = None) -> DeviceFrame:
        """Make a DeviceFrame of a tensor on an Ascend device.

        Parameters
        ----------
        tensor : object with __dlpack__ and __dlpack_device__
            uint8, shape (height * 3 // 2, width), on a device of type kDLAscend (21) or kDLExtDev (12). It is kept
            alive until the device has read the frame.
        stream : int, optional
            As in the constructor.
        """
        cdef DeviceFrame frame = import_tensor(tensor, 0, 0, NULL)
        set_stream(&frame._picture, stream)
        return frame

    @property
    def ptr(self) -> int:
        return <uintptr_t>self._picture.data

    @property
    def stride(self) -> int:
        return self._picture.stride

    @property
    def height(self) -> int:
        return self._picture.height_stride

    cdef int _check_size(self, uint32_t width, uint32_t height, int device) except -1:
        if self._picture.stride < width or self._picture.height_stride < height:
            raise errors.InvalidArgumentError(
                f"frame has a stride of {self._picture.stride} bytes and {self._picture.height_stride} rows of luma; "
                f"{width} x {height} needs at least {width} and {height}")
        if self.dtype_shape is not None and self.dtype_shape != (height * 3 // 2, width):
            raise errors.InvalidArgumentError(
                f"frame has shape {self.dtype_shape}; {width} x {height} NV12 or NV21 needs "
                f"({height * 3 // 2}, {width})")
        if self.device is not None and self.device != device:
            raise errors.InvalidArgumentError(
                f"frame is on device {self.device}, the encoder on device {device}: make the encoder with "
                f"device={self.device}, or copy the tensor")
        return 0

    def __reduce__(self):
        raise TypeError("a DeviceFrame cannot be pickled: it is memory of this process's device")

    def __repr__(self):
        return f"<DeviceFrame {self.ptr:#x} stride={self.stride} height={self.height}>"


@cython.final
cdef class Tensor:
    """Tensor()\n--\n
    A DLPack tensor that was taken over: its deleter runs once, when this object goes."""
    cdef void *_managed
    cdef bint _versioned

    def __dealloc__(self):
        cdef DLManagedTensor *plain
        cdef DLManagedTensorVersioned *versioned
        if self._managed == NULL:
            return
        if self._versioned:
            versioned = <DLManagedTensorVersioned *>self._managed
            if versioned.deleter != NULL:
                versioned.deleter(versioned)
        else:
            plain = <DLManagedTensor *>self._managed
            if plain.deleter != NULL:
                plain.deleter(plain)


cdef object NO_CAPSULE = "frame.__dlpack__() must return a capsule named dltensor or dltensor_versioned"


cdef Tensor take_capsule(object capsule):
    cdef Tensor tensor = Tensor.__new__(Tensor)
    if PyCapsule_IsValid(capsule, "dltensor"):
        tensor._managed = PyCapsule_GetPointer(capsule, "dltensor")
        PyCapsule_SetName(capsule, "used_dltensor")
    elif PyCapsule_IsValid(capsule, "dltensor_versioned"):
        tensor._managed = PyCapsule_GetPointer(capsule, "dltensor_versioned")
        tensor._versioned = True
        PyCapsule_SetName(capsule, "used_dltensor_versioned")
        if (<DLManagedTensorVersioned *>tensor._managed).version.major != 1:
            raise errors.InvalidArgumentError(
                f"frame exports DLPack {(<DLManagedTensorVersioned *>tensor._managed).version.major}.x; "
                "0.x and 1.x are known")
    else:
        raise TypeError(NO_CAPSULE)
    return tensor


cdef tuple device_of(object exporter):
    """Return what a tensor announces: (DLPack device type, number)."""
    if not hasattr(exporter, "__dlpack_device__"):
        raise TypeError(f"frame has __dlpack__, and no __dlpack_device__, got {type(exporter).__name__}")
    try:
        device_type, device_id = exporter.__dlpack_device__()
        return index(device_type), index(device_id)
    except (TypeError, ValueError):
        raise TypeError(
            f"frame.__dlpack_device__() of {type(exporter).__name__} must return a pair of int: (device type, number)"
        ) from None


class HostTensor:
    """What NumPy is given of a tensor: it tells in many ways of one that is none."""

    def __init__(self, exporter, device: tuple[int, int]):
        self.exporter, self.device = exporter, device

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device

    def __dlpack__(self, **options) -> Any:
        capsule = self.exporter.__dlpack__(**options)
        if not PyCapsule_IsValid(capsule, "dltensor") and not PyCapsule_IsValid(capsule, "dltensor_versioned"):
            raise TypeError(NO_CAPSULE)
        return capsule


cdef object host_array(object exporter):
    device = device_of(exporter)
    if device[0] != kDLCPU:
        return None
    import numpy
    return numpy.from_dlpack(HostTensor(exporter, device))


cdef object import_tensor(object exporter, uint32_t width, uint32_t height, host_frame *held):
    if not hasattr(exporter, "__dlpack__") or not hasattr(exporter, "__dlpack_device__"):
        raise TypeError(
            "frame must support the buffer protocol with uint8 items (a NumPy array, bytes, memoryview, ...), or be a "
            f"pair (y, uv) of such, a Frame, a DeviceFrame, or a tensor with __dlpack__, got {type(exporter).__name__}"
            f"{fix_of_type(exporter, 'nv12')}")
    device_type, device_id = device_of(exporter)
    if device_type not in _DEVICE_TYPES and (device_type != kDLCPU or held == NULL):
        allowed = "the CPU (1) or " if held != NULL else ""
        raise errors.InvalidArgumentError(
            f"frame is a tensor on a device of DLPack type {device_type}; {allowed}an Ascend device (21, or 12 as "
            "torch_npu has it) can be encoded: copy it to one first")
    cdef Tensor tensor = take_capsule(exporter.__dlpack__())
    cdef DLTensor *described = &(<DLManagedTensor *>tensor._managed).dl_tensor
    if tensor._versioned:
        described = &(<DLManagedTensorVersioned *>tensor._managed).dl_tensor
    # Nothing that the tensor points to is read before what it says of itself has been checked.
    if described.device.device_type != device_type or described.device.device_id != device_id:
        raise errors.InvalidArgumentError(
            f"frame announced DLPack device ({device_type}, {device_id}), and its tensor says "
            f"({described.device.device_type}, {described.device.device_id})")
    if described.dtype.code != kDLUInt or described.dtype.bits != 8 or described.dtype.lanes != 1:
        raise TypeError(
            f"frame items must be uint8, got DLPack type code {described.dtype.code} of {described.dtype.bits} bits")
    if described.ndim != 2 or described.shape == NULL:
        raise errors.InvalidArgumentError(
            f"frame has {described.ndim} dimensions; NV12 or NV21 needs two, (height * 3 // 2, width)")
    shape = (described.shape[0], described.shape[1])
    if held != NULL and shape != (height * 3 // 2, width):
        raise errors.InvalidArgumentError(
            f"frame has shape {shape}; NV12 or NV21 needs (height * 3 // 2, width) = ({height * 3 // 2}, {width})")
    if described.data == NULL or described.byte_offset > MOST_OFFSET:
        raise errors.InvalidArgumentError(
            f"frame has its data at {<uintptr_t>described.data:#x} with an offset of {described.byte_offset} bytes")
    cdef int64_t row = described.shape[1]
    if described.strides != NULL:
        if (described.strides[1] != 1 or described.strides[0] < described.shape[1]
                or described.strides[0] > <int64_t>(MOST_OFFSET // max(described.shape[0], 1))):
            raise errors.InvalidArgumentError(
                f"frame has strides ({described.strides[0]}, {described.strides[1]}); rows must be contiguous and in "
                "order: use frame.contiguous()")
        row = described.strides[0]
    cdef uint8_t *data = <uint8_t *>described.data + described.byte_offset
    if device_type == kDLCPU:
        held.view_count = 0
        describe_whole(held, data, <size_t>row, width, height)
        return tensor
    cdef DeviceFrame frame = DeviceFrame.__new__(DeviceFrame)
    frame._picture.data = data
    frame._picture.stride = check_range(row, "stride", 1, 1 << 20)
    frame._picture.height_stride = check_range(described.shape[0] * 2 // 3, "height", 1, 1 << 20)
    frame.owner = tensor
    frame.device = device_id
    frame.dtype_shape = shape
    return frame
