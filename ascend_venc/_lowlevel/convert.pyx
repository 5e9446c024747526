# SPDX-License-Identifier: Apache-2.0
"""Pictures of other pixel formats to NV12 or NV21, straight into memory that the caller names, without the GIL."""
import os

cimport cython
from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release
from libc.stdint cimport uint8_t

from .. import errors
from ..pixel_formats import MATRICES, PIXEL_FORMATS, RANGES, fix_of_shape, name_of_format, parse_matrix
from .cavenc cimport *
from .convert cimport *
from .core cimport check
from .frames cimport get_bytes_view, shape_of

from . import core

cdef dict _DESTINATIONS = {"nv12": 1, "nv21": 2}  # acldvppPixelFormat
cdef dict _LIBRARIES = {None: AVENC_BY_ENGINE, "libyuv": AVENC_BY_LIBYUV, "libswscale": AVENC_BY_SWSCALE}


cdef bint rows_are_whole(Py_buffer *view, Py_ssize_t rows, Py_ssize_t width, Py_ssize_t channels):
    """Whether it has that shape (channels 1: two dimensions), and pixels in a row follow each other in order."""
    if view.ndim != (2 if channels == 1 else 3) or view.shape[0] != rows or view.shape[1] != width:
        return False
    if channels > 1 and (view.shape[2] != channels or view.strides[2] != 1):
        return False
    return view.strides[1] == channels and (view.strides[0] >= width * channels or rows == 1)


cdef object wrong_picture(Py_buffer *view, str pixel_format, int width, int height):
    info = PIXEL_FORMATS[pixel_format]
    shape, nbytes = info.shape(width, height), info.nbytes(width, height)
    found = tuple([view.shape[i] for i in range(view.ndim)])
    if found == shape or (view.ndim == 1 and view.len == nbytes):
        strides = ", ".join([str(view.strides[i]) for i in range(view.ndim)])
        return errors.InvalidArgumentError(
            f"frame has strides ({strides}); rows must be contiguous and in order: use "
            "numpy.ascontiguousarray(frame)")
    fix = fix_of_shape(found, width, height, pixel_format)
    return errors.InvalidArgumentError(
        f"frame has shape {shape_of(view)} and {view.len} bytes; {width} x {height} {pixel_format} "
        f"needs shape {shape} uint8 with contiguous rows in order, or a contiguous buffer of {nbytes} bytes{fix}")


@cython.final
cdef class Converter:
    """Converter(pixel_format, width, height, destination='nv12', matrix=None, source_range=None, \
range='limited', library=None, threads=None)\n--\n
    Converts pictures of one format and size to NV12 or NV21.

    Parameters
    ----------
    pixel_format : str
        Of the source: a name of `PIXEL_FORMATS` other than "nv12" and "nv21".
    width, height : int
        Pixels, even.
    destination : {"nv12", "nv21"}
    matrix : {"bt601", "bt709"}, optional
        For RGB sources; a YUV source keeps its own. None: what players assume for this size.
    source_range : {"limited", "full"}, optional
        Of a YUV or grey source; None: the format's usual one. RGB is always full.
    range : {"limited", "full"}
        Of the destination.
    library : {"libyuv", "libswscale"}, optional
        Insist on one for RGB, for results that are the same on every machine. None: the faster of those found.
    threads : {1, 2}, optional
        2: the process's conversion thread takes half of a large RGB picture while it is idle. None: 2 where this
        process may run on more than one processor. The picture is the same.

    Several threads may use one converter: their calls wait for each other. Different converters run in parallel.

    Raises AclNotSupportedError where RGB is asked for and neither libyuv nor libswscale is found.
    """

    def __cinit__(self, str pixel_format not None, int width, int height, str destination="nv12",
                  matrix: str | None = None, source_range: str | None = None, str range="limited",
                  library: str | None = None, threads: int | None = None):
        cdef avenc_converter_config config
        cdef avenc_converter *handle = NULL
        cdef int status
        pixel_format = name_of_format(pixel_format)
        info = PIXEL_FORMATS.get(pixel_format)
        if info is None or info.source is None:
            names = ", ".join(f'"{name}"' for name, other in PIXEL_FORMATS.items() if other.source is not None)
            raise errors.InvalidArgumentError(f"pixel_format is {pixel_format!r}; what can be converted is {names}")
        source_range = info.range if source_range is None else source_range
        for name, value, allowed in (
                ("destination", destination, _DESTINATIONS), ("source_range", source_range, RANGES),
                ("range", range, RANGES), ("library", library, _LIBRARIES)):
            if value not in allowed:
                options = " and ".join(f'"{option}"' if option else "None" for option in allowed)
                raise errors.InvalidArgumentError(f"{name} is {value!r}; allowed are {options}")
        rgb = info.color == "rgb"
        libyuv = core.find_libyuv() if rgb else None
        swscale = core.find_swscale() if rgb else None
        cdef bytes c_libyuv = os.fsencode(libyuv) if libyuv is not None else None
        cdef bytes c_swscale = os.fsencode(swscale) if swscale is not None else None
        config.source = info.source
        config.pic_format = _DESTINATIONS[destination]
        config.width = width if width > 0 else 0
        config.height = height if height > 0 else 0
        config.matrix = MATRICES[parse_matrix(matrix, width, height)]
        config.source_range = RANGES[source_range]
        config.range = RANGES[range]
        config.by = _LIBRARIES[library]
        config.threads = min(2, len(os.sched_getaffinity(0))) if threads is None else threads
        config.libyuv_path = NULL if c_libyuv is None else <const char *>c_libyuv
        config.swscale_path = NULL if c_swscale is None else <const char *>c_swscale
        with nogil:
            status = avenc_converter_create(&config, &handle)
        check(status)
        self._h = handle
        self.width = width
        self.height = height
        self.pixel_format = pixel_format
        self._planes = 1 + info.chroma_planes

    def __dealloc__(self):
        cdef avenc_converter *handle = self._h
        self._h = NULL
        with nogil:  # the last one waits for the conversion thread to end
            avenc_converter_destroy(handle)

    @property
    def by(self) -> str:
        """What converts: "engine", "libyuv" or "libswscale"."""
        return {AVENC_BY_LIBYUV: "libyuv", AVENC_BY_SWSCALE: "libswscale"}.get(avenc_converter_by(self._h), "engine")

    @property
    def library(self) -> str:
        """Path of the library that converts; "" where it is the engine."""
        return os.fsdecode(avenc_converter_library(self._h))

    cdef int view(self, object picture, Py_buffer *views, const uint8_t **planes, size_t *strides) except -1:
        cdef Py_ssize_t width = self.width, height = self.height
        cdef int opened = 0
        cdef int i
        cdef Py_ssize_t channels
        info = PIXEL_FORMATS[self.pixel_format]
        channels = info.bytes_per_pixel
        try:
            if self._planes == 3 and isinstance(picture, (tuple, list)):
                if len(picture) != 3:
                    raise errors.InvalidArgumentError(
                        f"frame has {len(picture)} planes; {self.pixel_format} has 3")
                for i in range(3):
                    get_bytes_view(picture[i], f"plane {i} of frame", 0, &views[i])
                    opened += 1
                    rows, columns = (height, width) if i == 0 else (height // 2, width // 2)
                    if not rows_are_whole(&views[i], rows, columns, 1):
                        raise errors.InvalidArgumentError(
                            f"plane {i} of frame has shape {shape_of(&views[i])}; {width} x {height} "
                            f"{self.pixel_format} needs ({rows}, {columns}) with contiguous rows in order")
                    planes[i] = <const uint8_t *>views[i].buf
                    strides[i] = <size_t>views[i].strides[0]
                return opened
            get_bytes_view(picture, "frame", 0, &views[0])
            opened = 1
            shape = info.shape(width, height)
            nbytes = info.nbytes(width, height)
            flat = views[0].ndim == 1 and views[0].len == nbytes and views[0].strides[0] == 1
            if not flat and not rows_are_whole(&views[0], shape[0], width, channels):
                raise wrong_picture(&views[0], self.pixel_format, self.width, self.height)
            planes[0] = <const uint8_t *>views[0].buf
            strides[0] = <size_t>(width * channels if flat else views[0].strides[0])
            if self._planes == 3:
                # Two rows of chroma share one row of such an array, which has no meaning once rows are padded.
                if strides[0] != <size_t>width:
                    raise errors.InvalidArgumentError(
                        f"frame is {self.pixel_format} with padded rows (stride {strides[0]}): give its three planes "
                        "as a tuple of arrays")
                planes[1] = planes[0] + width * height
                planes[2] = planes[1] + width * height // 4
                strides[1] = strides[2] = <size_t>(width // 2)
            return opened
        except BaseException:
            for i in range(opened):
                PyBuffer_Release(&views[i])
            raise

    def convert(self, picture, into):
        """Convert one picture into a writable array of shape (height * 3 // 2, width), whose rows may be padded.

        `picture` is an array of the format's shape, or a contiguous buffer of its size; for I420 and YV12 also a
        tuple of three planes, each with a stride of its own.
        """
        cdef Py_buffer views[3]
        cdef Py_buffer to
        cdef const uint8_t *planes[3]
        cdef size_t strides[3]
        cdef int opened, i, status
        cdef size_t stride
        cdef uint8_t *y
        cdef size_t rows = self.height
        get_bytes_view(into, "into", PyBUF_WRITABLE, &to)
        try:
            if not rows_are_whole(&to, self.height * 3 // 2, self.width, 1):
                raise errors.InvalidArgumentError(
                    f"into has shape {shape_of(&to)}; needed is ({self.height * 3 // 2}, {self.width}) with "
                    "contiguous rows in order")
            stride = <size_t>to.strides[0]
            y = <uint8_t *>to.buf
            opened = self.view(picture, views, planes, strides)
            try:
                with nogil:  # it copies megabytes
                    status = avenc_converter_convert(self._h, planes, strides, y, stride, y + rows * stride, stride)
                check(status)
            finally:
                for i in range(opened):
                    PyBuffer_Release(&views[i])
        finally:
            PyBuffer_Release(&to)

    def __reduce__(self):
        raise TypeError("a Converter cannot be pickled: it belongs to this process")
