# SPDX-License-Identifier: Apache-2.0
"""Memory that Python sees: packets going out, frames coming in. The only file that implements the buffer protocol.

A packet's bytes lie in a pooled native buffer. Invariant: the buffer goes back to its pool only when no view of it is
alive, since the next access unit overwrites it. A view holds the packet (PyBuffer_FillInfo), so dropping the packet
while a memoryview exists is safe; `release()` counts the views and refuses.
"""
cimport cython
from cpython.buffer cimport PyBUF_FORMAT, PyBUF_STRIDES, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t

from .. import errors
from .buffers cimport *
from .cavenc cimport *

cdef dict _KIND_NAMES = {
    AVENC_KIND_IDR: "IDR", AVENC_KIND_I: "I", AVENC_KIND_P: "P", AVENC_KIND_B: "B", AVENC_KIND_UNKNOWN: "unknown"}


@cython.final
cdef class Packet:
    """One access unit, read-only, in Annex B. Made by `Encoder`.

    It supports the buffer protocol without a copy: `file.write(packet)`, `memoryview(packet)`, `bytes(packet)` (this
    one copies). It owns its pooled buffer until it is dropped or `release()`d, and outlives its closed encoder. Keep
    `bytes(packet)` instead of packets where thousands are to be kept.

    Attributes
    ----------
    size : int
        Bytes.
    pts : int
        Presentation time stamp in units of `time_base`; the frame's number unless one was given.
    time_base : fractions.Fraction
        Seconds per unit of `pts`.
    frame_index : int
        Number of the frame, 0 for the first that the encoder accepted.
    is_keyframe : bool
        Whether it is an IDR, with parameter sets before it.
    kind : str
        "IDR", "I" or "P", read from the bitstream.
    """

    def __init__(self):
        raise TypeError("Packet cannot be made directly: Encoder.encode and Encoder.flush return packets")

    def __dealloc__(self):
        # The pool's lock is short and never held by a thread that wants the GIL.
        avenc_packet_release(self._h)

    cdef avenc_packet *_handle(self) except NULL:
        if self._h == NULL:
            raise ValueError("the packet was released")
        return self._h

    def __getbuffer__(self, Py_buffer *view, int flags):
        cdef avenc_packet *packet = self._handle()
        PyBuffer_FillInfo(view, self, <void *>packet.data, <Py_ssize_t>packet.size, 1, flags)
        self._exports += 1

    def __releasebuffer__(self, Py_buffer *view):
        self._exports -= 1

    def __len__(self):
        return <Py_ssize_t>self._handle().size

    def __bytes__(self):
        cdef avenc_packet *packet = self._handle()
        return PyBytes_FromStringAndSize(<const char *>packet.data, <Py_ssize_t>packet.size)

    @property
    def size(self):
        return self._handle().size

    @property
    def pts(self):
        return self._handle().pts

    @property
    def time_base(self):
        return self._time_base

    @property
    def frame_index(self):
        return self._handle().frame_index

    @property
    def is_keyframe(self):
        return self._handle().kind == AVENC_KIND_IDR

    @property
    def kind(self):
        return _KIND_NAMES[self._handle().kind]

    def release(self):
        """Give the buffer back to the pool now. Idempotent; afterwards the packet's data cannot be read.

        Raises BufferError while views of it are alive.
        """
        if self._exports:
            raise BufferError(f"the packet has {self._exports} live view(s): release the memoryview first")
        avenc_packet_release(self._h)
        self._h = NULL

    def __repr__(self):
        if self._h == NULL:
            return "<Packet released>"
        return f"<Packet {self.frame_index} {self.kind} pts={self.pts} size={self.size}>"


cdef Packet wrap_packet(avenc_packet *packet, object time_base):
    cdef Packet wrapped
    try:
        wrapped = Packet.__new__(Packet)
    except BaseException:
        avenc_packet_release(packet)
        raise
    wrapped._h = packet
    wrapped._time_base = time_base
    return wrapped


cdef str shape_of(Py_buffer *view):
    return "(" + ", ".join(str(view.shape[i]) for i in range(view.ndim)) + ("," if view.ndim == 1 else "") + ")"


cdef object wrong_frame(Py_buffer *view, uint32_t width, uint32_t height):
    rows = height * 3 // 2
    return errors.InvalidArgumentError(
        f"frame has shape {shape_of(view)} and {view.len} bytes; {width} x {height} NV12 or NV21 needs shape "
        f"({rows}, {width}) uint8, or a contiguous buffer of {rows * width} bytes: {height} rows of luma, then "
        f"{height // 2} rows of interleaved chroma")


cdef int view_picture(object frame, uint32_t width, uint32_t height, Py_buffer *view, avenc_picture *picture) except -1:
    cdef Py_ssize_t rows = <Py_ssize_t>height * 3 // 2
    cdef Py_ssize_t stride
    try:
        PyObject_GetBuffer(frame, view, PyBUF_STRIDES | PyBUF_FORMAT)
    except (TypeError, BufferError) as error:
        raise TypeError(
            f"frame must support the buffer protocol with uint8 items (a NumPy array, bytes, memoryview, ...), got "
            f"{type(frame).__name__}: {error}") from None
    try:
        if view.itemsize != 1 or (view.format != NULL and view.format[0] not in (b"B", b"b", b"c")):
            raise TypeError(f"frame items must be uint8, got format {(<bytes>view.format).decode()!r}")
        if view.ndim == 1:
            if view.len != rows * width:
                raise wrong_frame(view, width, height)
            stride = width
            if view.strides[0] != 1:
                raise errors.InvalidArgumentError("frame is not contiguous: use numpy.ascontiguousarray(frame)")
        elif view.ndim == 2:
            if view.shape[0] != rows or view.shape[1] != width:
                raise wrong_frame(view, width, height)
            stride = view.strides[0]
            if view.strides[1] != 1 or stride < <Py_ssize_t>width:
                raise errors.InvalidArgumentError(
                    f"frame has strides ({view.strides[0]}, {view.strides[1]}); rows must be contiguous and in order: "
                    "use numpy.ascontiguousarray(frame)")
        else:
            raise wrong_frame(view, width, height)
    except BaseException:
        PyBuffer_Release(view)
        raise
    picture.y = <const uint8_t *>view.buf
    picture.y_stride = stride
    picture.uv = picture.y + stride * height
    picture.uv_stride = stride
    return 0
