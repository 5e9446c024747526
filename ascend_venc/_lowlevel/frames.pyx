# SPDX-License-Identifier: Apache-2.0
"""Frames going in: what the program's memory looks like to the engine, and memory of the engine for the program to fill.

Invariant of a `Frame`: it is one reference on a picture buffer of the engine, which is not used for another picture
while a view of it, or a submission of it, is alive. Views are counted; whoever drops the last one of a frame that was
submitted gives the reference back, on whatever thread.
"""
cimport cython
from cpython.buffer cimport (
    PyBUF_ANY_CONTIGUOUS, PyBUF_C_CONTIGUOUS, PyBUF_F_CONTIGUOUS, PyBUF_FORMAT, PyBUF_STRIDES, PyBuffer_Release,
    PyObject_GetBuffer)
from libc.stdint cimport uint8_t, uint32_t

from .. import errors
from ..pixel_formats import fix_of_shape, fix_of_type
from .cavenc cimport *
from .frames cimport *


@cython.final
cdef class Frame:
    """Frame()\n--\n
    A picture buffer of the engine for the program to fill, NV12 or NV21. Made by `Encoder.acquire`.

    Where the program runs on the device's own CPU (a board), it is the very memory that the device reads, and
    submitting it copies nothing. On a host it is pinned memory, and submitting it makes one DMA copy.

    It supports the buffer protocol: uint8, shape (height * 3 // 2, width), rows `stride` bytes apart. After
    `Encoder.submit(frame)` it must not be written any more; a view that is still alive then only keeps the buffer from
    being used again. Dropping a frame that was not submitted gives its buffer back.

    Attributes
    ----------
    width, height : int
        Pixels.
    stride : int
        Bytes from row to row: the width rounded up to 16.
    array, y, uv : numpy.ndarray
        Writable uint8 views: the whole picture (height * 3 // 2, width), its luma (height, width), and its interleaved
        chroma (height // 2, width).
    is_device_memory : bool
        Whether the device reads this very memory.
    submitted : bool
        Whether it was submitted; its views cannot be taken any more.
    """

    def __init__(self):
        raise TypeError("Frame cannot be made directly: use Encoder.acquire()")

    def __dealloc__(self):
        self._give_back()

    cdef _give_back(self):
        cdef avenc_frame *handle = self._h
        self._h = NULL
        avenc_frame_release(handle)

    cdef _give_back_if_done(self):
        if self._submitted and not self._submitting and self._exports == 0:
            self._give_back()

    cdef int _check(self) except -1:
        if self._submitted:
            raise errors.InvalidArgumentError(
                "the frame was submitted: its memory belongs to the encoder; acquire() another one")
        if self._h == NULL:
            raise errors.InvalidArgumentError("the frame was released")
        return 0

    def __getbuffer__(self, Py_buffer *view, int flags):
        self._check()
        self._strides[0] = <Py_ssize_t>self._memory.stride
        cdef bint packed = self._strides[0] == self._shape[1]
        if flags & PyBUF_F_CONTIGUOUS == PyBUF_F_CONTIGUOUS:
            raise BufferError("the frame's rows follow each other: ask for another order than Fortran's")
        if not packed and (flags & PyBUF_STRIDES != PyBUF_STRIDES or flags & PyBUF_C_CONTIGUOUS == PyBUF_C_CONTIGUOUS
                           or flags & PyBUF_ANY_CONTIGUOUS == PyBUF_ANY_CONTIGUOUS):
            raise BufferError("the frame's rows are padded: ask for strides, e.g. with numpy.asarray(frame)")
        view.buf = self._memory.y
        view.obj = self
        view.len = self._shape[0] * self._shape[1]
        view.readonly = 0
        view.itemsize = 1
        view.format = NULL
        if flags & PyBUF_FORMAT:
            view.format = b"B"
        view.ndim = 2
        view.shape = self._shape
        view.strides = self._strides
        view.suboffsets = NULL
        view.internal = NULL
        self._exports += 1

    def __releasebuffer__(self, Py_buffer *view):
        self._exports -= 1
        self._give_back_if_done()

    @property
    def width(self) -> int:
        return self._width

    @property
    def height(self) -> int:
        return self._height

    @property
    def stride(self) -> int:
        return self._memory.stride

    @property
    def is_device_memory(self) -> bool:
        return bool(self._memory.device_memory)

    @property
    def submitted(self) -> bool:
        return bool(self._submitted)

    @property
    def array(self) -> NDArray[uint8]:
        import numpy
        self._check()  # numpy would make something else of an object that refuses
        return numpy.asarray(self)

    @property
    def y(self) -> NDArray[uint8]:
        return self.array[:self._height]

    @property
    def uv(self) -> NDArray[uint8]:
        return self.array[self._height:]

    def release(self):
        """Give the buffer back without submitting it. Idempotent.

        Raises BufferError while views of it are alive, ValueError while another thread submits it.
        """
        if self._submitting:
            raise ValueError("the frame is being submitted by another thread")
        if self._exports:
            raise BufferError(f"the frame has {self._exports} live view(s): drop the arrays first")
        self._give_back()

    def __reduce__(self):
        raise TypeError("a Frame cannot be pickled: it is memory of this process's encoder")

    def __repr__(self):
        state = "submitted" if self._submitted else "released" if self._h == NULL else f"stride={self.stride}"
        return f"<Frame {self._width}x{self._height} {state}>"


cdef Frame new_frame(object channel, uint32_t width, uint32_t height):
    cdef Frame frame = Frame.__new__(Frame)
    frame._channel = channel
    frame._width = width
    frame._height = height
    frame._shape[0] = <Py_ssize_t>height * 3 // 2
    frame._shape[1] = width
    frame._strides[1] = 1
    return frame


# ---- host memory of the program ----------------------------------------------------------------------------------------

cdef str shape_of(Py_buffer *view):
    return "(" + ", ".join(str(view.shape[i]) for i in range(view.ndim)) + ("," if view.ndim == 1 else "") + ")"


cdef object wrong_frame(Py_buffer *view, uint32_t width, uint32_t height):
    rows = height * 3 // 2
    fix = fix_of_shape(tuple([view.shape[i] for i in range(view.ndim)]), width, height, "nv12")
    return errors.InvalidArgumentError(
        f"frame has shape {shape_of(view)} and {view.len} bytes; {width} x {height} NV12 or NV21 needs shape "
        f"({rows}, {width}) uint8, a contiguous buffer of {rows * width} bytes, or a pair (y, uv) of shapes "
        f"({height}, {width}) and ({height // 2}, {width}): {height} rows of luma, then {height // 2} rows of "
        f"interleaved chroma{fix}")


cdef bint is_byte(const char *text) noexcept:
    """Whether a format of the buffer protocol is one of bytes, with or without a byte order: ctypes gives "<B"."""
    if text == NULL:
        return True
    if text[0] in (c"<", c">", c"=", c"@", c"|", c"!"):
        text += 1
    return text[0] in (c"B", c"b", c"c") and text[1] == 0


cdef int get_bytes_view(object source, str name, int flags, Py_buffer *view) except -1:
    try:
        PyObject_GetBuffer(source, view, PyBUF_STRIDES | PyBUF_FORMAT | flags)
        if view.strides == NULL and view.ndim > 0:  # ctypes gives none though they were asked for; a memoryview has them
            PyBuffer_Release(view)
            PyObject_GetBuffer(memoryview(source), view, PyBUF_STRIDES | PyBUF_FORMAT | flags)
    except (TypeError, ValueError, BufferError) as error:  # ValueError: NumPy's, of a dtype without a format
        raise TypeError(
            f"{name} must support the buffer protocol with {'writable ' if flags else ''}uint8 items (a NumPy array, "
            f"bytes, memoryview, ...), got {type(source).__name__}: {error}{fix_of_type(source)}") from None
    if view.itemsize != 1 or not is_byte(view.format):
        text = (<bytes>view.format).decode()
        PyBuffer_Release(view)
        raise TypeError(f"{name} items must be uint8, got format {text!r}")
    return 0


cdef int rows_of(Py_buffer *view, str name, size_t width, size_t *stride) except -1:
    """Check the strides of a view of two or three dimensions whose rows have `width` bytes."""
    cdef int i
    cdef Py_ssize_t expected = 1
    for i in range(view.ndim - 1, 0, -1):
        if view.strides[i] != expected:
            break
        expected *= view.shape[i]
    else:
        if view.strides[0] >= <Py_ssize_t>width:
            stride[0] = view.strides[0]
            return 0
    strides = ", ".join(str(view.strides[i]) for i in range(view.ndim))
    raise errors.InvalidArgumentError(
        f"{name} has strides ({strides}); rows must be contiguous and in order: use numpy.ascontiguousarray({name})")


cdef int hold_plane(object plane, str name, uint32_t width, uint32_t rows, Py_buffer *view,
                    const uint8_t **data, size_t *stride) except -1:
    get_bytes_view(plane, name, 0, view)
    try:
        if view.ndim == 1 and view.len == <Py_ssize_t>rows * width and view.strides[0] == 1:
            stride[0] = width
        elif view.ndim in (2, 3) and view.shape[0] == rows and view.len == <Py_ssize_t>rows * width:
            rows_of(view, name, width, stride)
        else:
            raise errors.InvalidArgumentError(
                f"{name} has shape {shape_of(view)}, it needs {rows} rows of {width} bytes, uint8")
    except BaseException:
        PyBuffer_Release(view)
        raise
    data[0] = <const uint8_t *>view.buf
    return 0


cdef void describe(host_frame *held, uint32_t width, uint32_t height) noexcept:
    """What was checked of the memory goes along: the engine compares it with the channel that gets the frame."""
    held.picture.width = width
    held.picture.y_height = height
    held.picture.uv_height = height // 2


cdef void describe_whole(host_frame *held, const uint8_t *y, size_t stride, uint32_t width, uint32_t height) noexcept:
    held.picture.y = y
    held.picture.uv = y + stride * height
    held.picture.y_stride = held.picture.uv_stride = stride
    describe(held, width, height)


cdef int hold_pair(tuple planes, uint32_t width, uint32_t height, host_frame *held) except -1:
    if len(planes) != 2:
        raise errors.InvalidArgumentError(
            f"frame is a tuple of {len(planes)}; give an array, or the pair (y, uv) of luma and interleaved chroma")
    hold_plane(planes[0], "y", width, height, &held.views[0], &held.picture.y, &held.picture.y_stride)
    held.view_count = 1
    try:
        hold_plane(planes[1], "uv", width, height // 2, &held.views[1], &held.picture.uv, &held.picture.uv_stride)
    except BaseException:
        release_host_frame(held)
        raise
    held.view_count = 2
    describe(held, width, height)
    return 0


cdef int hold_host_frame(object frame, uint32_t width, uint32_t height, host_frame *held) except -1:
    cdef Py_ssize_t rows = <Py_ssize_t>height * 3 // 2
    cdef Py_buffer *view = &held.views[0]
    cdef size_t stride = width
    held.view_count = 0
    if type(frame) is tuple:
        return hold_pair(frame, width, height, held)
    get_bytes_view(frame, "frame", 0, view)
    held.view_count = 1
    try:
        if view.ndim == 1 and view.len == rows * width:
            if view.strides[0] != 1:
                raise errors.InvalidArgumentError("frame is not contiguous: use numpy.ascontiguousarray(frame)")
        elif view.ndim == 2 and view.shape[0] == rows and view.shape[1] == width:
            rows_of(view, "frame", width, &stride)
        else:
            raise wrong_frame(view, width, height)
    except BaseException:
        release_host_frame(held)
        raise
    describe_whole(held, <const uint8_t *>view.buf, stride, width, height)
    return 0


cdef void release_host_frame(host_frame *held) noexcept:
    cdef int i
    for i in range(held.view_count):
        PyBuffer_Release(&held.views[i])
    held.view_count = 0
