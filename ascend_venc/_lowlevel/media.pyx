# SPDX-License-Identifier: Apache-2.0
"""acl.media: memory of the media unit, descriptions of pictures and streams, and the video encoder.

Functions take positional arguments only. Setters, destroyers and the encoder's calls return AscendCL's code `ret` (0 is
success); creators return a handle, 0 if that was not possible; getters return the bare value. Handles and addresses are
ints, 0 for NULL. A handle that is not alive gives 100000; to a getter it is NULL.
"""
from cpython.object cimport PyObject
from libc.stdint cimport uint64_t

from .cavenc cimport *
from .descriptors cimport *
from .fastcall cimport *
from .handles cimport *

cdef PyMethodDef _slots[96]
cdef int _slots_used = 0

cdef int _export(const char *name, fastcall function, const char *doc) except -1:
    global _slots_used
    export(globals(), &_slots[_slots_used], name, function, doc)
    _slots_used += 1
    return 0


# ---- memory ----------------------------------------------------------------------------------------------------------

cdef object dvpp_malloc(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef uint64_t size = 0
    cdef void *pointer = NULL
    cdef aclError code
    if count != 1 or not as_uint64(args[0], &size):
        refuse(b"acl.media.dvpp_malloc")
    cdef const acl_api *acl = api()
    reserve(&device_memory)
    with nogil:
        code = acl.acldvppMalloc(&pointer, size)
    if code == ACL_SUCCESS:
        insert(&device_memory, pointer)
    return <uint64_t>pointer, status(code, b"acl.media.dvpp_malloc", args, count)

_export(b"dvpp_malloc", dvpp_malloc,
        b"dvpp_malloc(size, /)\n--\n\n"
        b"Allocate device memory for the media unit, 128-aligned. Costly: allocate once, use often. "
        b"Returns (dev_ptr, ret). Wraps acldvppMalloc.")


cdef object dvpp_free(PyObject *self, PyObject **args, Py_ssize_t count):
    return destroy_handle(b"acl.media.dvpp_free", b"acl.media.dvpp_free args parse failed!", &device_memory,
                          <destructor>api().acldvppFree, args, count)

_export(b"dvpp_free", dvpp_free,
        b"dvpp_free(dev_ptr, /)\n--\n\n"
        b"Free memory of dvpp_malloc; a picture's only after the callback of its last frame. Returns ret. "
        b"Wraps acldvppFree.")


# ---- picture description ---------------------------------------------------------------------------------------------

cdef object dvpp_create_pic_desc(PyObject *self, PyObject **args, Py_ssize_t count):
    return create_handle(b"acl.media.dvpp_create_pic_desc", &pic_descs, <creator>api().acldvppCreatePicDesc, args, count)

_export(b"dvpp_create_pic_desc", dvpp_create_pic_desc,
        b"dvpp_create_pic_desc(*args)\n--\n\n"
        b"Create the description of a picture. Returns its handle, 0 if there is no context or no memory. "
        b"Wraps acldvppCreatePicDesc.")


cdef object dvpp_destroy_pic_desc(PyObject *self, PyObject **args, Py_ssize_t count):
    return destroy_handle(b"acl.media.dvpp_destroy_pic_desc", b"acl.media.dvpp_destroy_pic_desc args parse failed!",
                          &pic_descs, <destructor>api().acldvppDestroyPicDesc, args, count)

_export(b"dvpp_destroy_pic_desc", dvpp_destroy_pic_desc,
        b"dvpp_destroy_pic_desc(pic_desc, /)\n--\n\n"
        b"Destroy the description; the picture's memory stays. Returns ret. Wraps acldvppDestroyPicDesc.")


cdef object dvpp_set_pic_desc_data(PyObject *self, PyObject **args, Py_ssize_t count):
    return set_uint64(
        b"acl.media.dvpp_set_pic_desc_data", &pic_descs, <uint64_setter>api().acldvppSetPicDescData, args, count)

_export(b"dvpp_set_pic_desc_data", dvpp_set_pic_desc_data,
        b"dvpp_set_pic_desc_data(pic_desc, data_dev, /)\n--\n\n"
        b"Set the address of the pixels, in device memory. Returns ret. Wraps acldvppSetPicDescData.")


cdef object dvpp_get_pic_desc_data(PyObject *self, PyObject **args, Py_ssize_t count):
    return get_uint64(
        b"acl.media.dvpp_get_pic_desc_data", &pic_descs, <uint64_getter>api().acldvppGetPicDescData, args, count)

_export(b"dvpp_get_pic_desc_data", dvpp_get_pic_desc_data,
        b"dvpp_get_pic_desc_data(pic_desc, /)\n--\n\n"
        b"Return the address of the pixels, 0 if not set. Wraps acldvppGetPicDescData.")


cdef object dvpp_set_pic_desc_size(PyObject *self, PyObject **args, Py_ssize_t count):
    return set_uint32(
        b"acl.media.dvpp_set_pic_desc_size", &pic_descs, <uint32_setter>api().acldvppSetPicDescSize, args, count)

_export(b"dvpp_set_pic_desc_size", dvpp_set_pic_desc_size,
        b"dvpp_set_pic_desc_size(pic_desc, size, /)\n--\n\n"
        b"Set the bytes of the picture: stride * height * 3 / 2. Returns ret. Wraps acldvppSetPicDescSize.")


cdef object dvpp_get_pic_desc_size(PyObject *self, PyObject **args, Py_ssize_t count):
    return get_uint32(
        b"acl.media.dvpp_get_pic_desc_size", &pic_descs, <uint32_getter>api().acldvppGetPicDescSize, args, count)

_export(b"dvpp_get_pic_desc_size", dvpp_get_pic_desc_size,
        b"dvpp_get_pic_desc_size(pic_desc, /)\n--\n\n"
        b"Return the bytes of the picture. Wraps acldvppGetPicDescSize.")


cdef object dvpp_set_pic_desc_format(PyObject *self, PyObject **args, Py_ssize_t count):
    return set_enum(
        b"acl.media.dvpp_set_pic_desc_format", &pic_descs, <int32_setter>api().acldvppSetPicDescFormat, args, count)

_export(b"dvpp_set_pic_desc_format", dvpp_set_pic_desc_format,
        b"dvpp_set_pic_desc_format(pic_desc, format, /)\n--\n\n"
        b"Set the pixel format (1 NV12, 2 NV21); the encoder goes by its channel's. Returns ret. Wraps acldvppSetPicDescFormat.")


cdef object dvpp_get_pic_desc_format(PyObject *self, PyObject **args, Py_ssize_t count):
    return get_enum(
        b"acl.media.dvpp_get_pic_desc_format", &pic_descs, <int32_getter>api().acldvppGetPicDescFormat, args, count)

_export(b"dvpp_get_pic_desc_format", dvpp_get_pic_desc_format,
        b"dvpp_get_pic_desc_format(pic_desc, /)\n--\n\n"
        b"Return the pixel format. Wraps acldvppGetPicDescFormat.")


cdef object dvpp_set_pic_desc_width(PyObject *self, PyObject **args, Py_ssize_t count):
    return set_uint32(
        b"acl.media.dvpp_set_pic_desc_width", &pic_descs, <uint32_setter>api().acldvppSetPicDescWidth, args, count)

_export(b"dvpp_set_pic_desc_width", dvpp_set_pic_desc_width,
        b"dvpp_set_pic_desc_width(pic_desc, width, /)\n--\n\n"
        b"Set the width in pixels. Returns ret. Wraps acldvppSetPicDescWidth.")


cdef object dvpp_get_pic_desc_width(PyObject *self, PyObject **args, Py_ssize_t count):
    return get_uint32(
        b"acl.media.dvpp_get_pic_desc_width", &pic_descs, <uint32_getter>api().acldvppGetPicDescWidth, args, count)

_export(b"dvpp_get_pic_desc_width", dvpp_get_pic_desc_width,
        b"dvpp_get_pic_desc_width(pic_desc, /)\n--\n\n"
        b"Return the width in pixels. Wraps acldvppGetPicDescWidth.")


cdef object dvpp_set_pic_desc_height(PyObject *self, PyObject **args, Py_ssize_t count):
    return set_uint32(
        b"acl.media.dvpp_set_pic_desc_height", &pic_descs, <uint32_setter>api().acldvppSetPicDescHeight, args, count)

_export(b"dvpp_set_pic_desc_height", dvpp_set_pic_desc_height,
        b"dvpp_set_pic_desc_height(pic_desc, height, /)\n--\n\n"
        b"Set the height in pixels. Returns ret. Wraps acldvppSetPicDescHeight.")


cdef object dvpp_get_pic_desc_height(PyObject *self, PyObject **args, Py_ssize_t count):
    return get_uint32(
        b"acl.media.dvpp_get_pic_desc_height", &pic_descs, <uint32_getter>api().acldvppGetPicDescHeight, args, count)

_export(b"dvpp_get_pic_desc_height", dvpp_get_pic_desc_height,
        b"dvpp_get_pic_desc_height(pic_desc, /)\n--\n\n"
        b"Return the height in pixels. Wraps acldvppGetPicDescHeight.")


cdef object dvpp_set_pic_desc_width_stride(PyObject *self, PyObject **args, Py_ssize_t count):
    return set_uint32(
        b"acl.media.dvpp_set_pic_desc_width_stride", &pic_descs, <uint32_setter>api().acldvppSetPicDescWidthStride, args, count)

_export(b"dvpp_set_pic_desc_width_stride", dvpp_set_pic_desc_width_stride,
        b"dvpp_set_pic_desc_width_stride(pic_desc, width_stride, /)\n--\n\n"
        b"Set the bytes from row to row: the width rounded up to 16. Returns ret. Wraps acldvppSetPicDescWidthStride.")


cdef object dvpp_get_pic_desc_width_stride(PyObject *self, PyObject **args, Py_ssize_t count):
    return get_uint32(
        b"acl.media.dvpp_get_pic_desc_width_stride", &pic_descs, <uint32_getter>api().acldvppGetPicDescWidthStride, args, count)

_export(b"dvpp_get_pic_desc_width_stride", dvpp_get_pic_desc_width_stride,
        b"dvpp_get_pic_desc_width_stride(pic_desc, /)\n--\n\n"
        b"Return the bytes from row to row. Wraps acldvppGetPicDescWidthStride.")


cdef object dvpp_set_pic_desc_height_stride(PyObject *self, PyObject **args, Py_ssize_t count):
    return set_uint32(
        b"acl.media.dvpp_set_pic_desc_height_stride", &pic_descs, <uint32_setter>api().acldvppSetPicDescHeightStride, args, count)

_export(b"dvpp_set_pic_desc_height_stride", dvpp_set_pic_desc_height_stride,
        b"dvpp_set_pic_desc_height_stride(pic_desc, height_stride, /)\n--\n\n"
        b"Set the rows of the luma plane; the encoder does not need it. Returns ret. Wraps acldvppSetPicDescHeightStride.")


cdef object dvpp_get_pic_desc_height_stride(PyObject *self, PyObject **args, Py_ssize_t count):
    return get_uint32(
        b"acl.media.dvpp_get_pic_desc_height_stride", &pic_descs, <uint32_getter>api().acldvppGetPicDescHeightStride, args, count)

_export(b"dvpp_get_pic_desc_height_stride", dvpp_get_pic_desc_height_stride,
        b"dvpp_get_pic_desc_height_stride(pic_desc, /)\n--\n\n"
        b"Return the rows of the luma plane. Wraps acldvppGetPicDescHeightStride.")


cdef object dvpp_set_pic_desc_ret_code(PyObject *self, PyObject **args, Py_ssize_t count):
    return set_uint32(
        b"acl.media.dvpp_set_pic_desc_ret_code", &pic_descs, <uint32_setter>api().acldvppSetPicDescRetCode, args, count)

_export(b"dvpp_set_pic_desc_ret_code", dvpp_set_pic_desc_ret_code,
        b"dvpp_set_pic_desc_ret_code(pic_desc, ret_code, /)\n--\n\n"
        b"Set the result of decoding; not used by the encoder. Returns ret. Wraps acldvppSetPicDescRetCode.")


cdef object dvpp_get_pic_desc_ret_code(PyObject *self, PyObject **args, Py_ssize_t count):
    return get_uint32(
        b"acl.media.dvpp_get_pic_desc_ret_code", &pic_descs, <uint32_getter>api().acldvppGetPicDescRetCode, args, count)

_export(b"dvpp_get_pic_desc_ret_code", dvpp_get_pic_desc_ret_code,
        b"dvpp_get_pic_desc_ret_code(pic_desc, /)\n--\n\n"
        b"Return the result of decoding. Wraps acldvppGetPicDescRetCode.")


# ---- stream description ----------------------------------------------------------------------------------------------

cdef object dvpp_create_stream_desc(PyObject *self, PyObject **args, Py_ssize_t count):
    return create_handle(
        b"acl.media.dvpp_create_stream_desc", &stream_descs, <creator>api().acldvppCreateStreamDesc, args, count)

_export(b"dvpp_create_stream_desc", dvpp_create_stream_desc,
        b"dvpp_create_stream_desc(*args)\n--\n\n"
        b"Create the description of a stream; the encoder's output needs none. Returns its handle, or 0. "
        b"Wraps acldvppCreateStreamDesc.")


cdef object dvpp_destroy_stream_desc(PyObject *self, PyObject **args, Py_ssize_t count):
    return destroy_handle(
        b"acl.media.dvpp_destroy_stream_desc", b"acl.media.dvpp_destroy_stream_desc args parse failed!", &stream_descs,
        <destructor>api().acldvppDestroyStreamDesc, args, count)

_export(b"dvpp_destroy_stream_desc", dvpp_destroy_stream_desc,
        b"dvpp_destroy_stream_desc(stream_desc, /)\n--\n\n"
        b"Destroy the description. Returns ret. Wraps acldvppDestroyStreamDesc.")


cdef object dvpp_set_stream_desc_data(PyObject *self, PyObject **args, Py_ssize_t count):
    return set_uint64(
        b"acl.media.dvpp_set_stream_desc_data", &stream_descs, <uint64_setter>api().acldvppSetStreamDescData, args, count)

_export(b"dvpp_set_stream_desc_data", dvpp_set_stream_desc_data,
        b"dvpp_set_stream_desc_data(stream_desc, data_dev, /)\n--\n\n"
        b"Set the address of the encoded bytes, in device memory. Returns ret. Wraps acldvppSetStreamDescData.")


cdef object dvpp_get_stream_desc_data(PyObject *self, PyObject **args, Py_ssize_t count):
    return get_uint64(
        b"acl.media.dvpp_get_stream_desc_data", &stream_descs, <uint64_getter>api().acldvppGetStreamDescData, args, count)

_export(b"dvpp_get_stream_desc_data", dvpp_get_stream_desc_data,
        b"dvpp_get_stream_desc_data(stream_desc, /)\n--\n\n"
        b"Return the address of the encoded bytes, in device memory: copy them before the callback returns. 0 if none. Wraps acldvppGetStreamDescData.")


cdef object dvpp_set_stream_desc_size(PyObject *self, PyObject **args, Py_ssize_t count):
    return set_uint32(
        b"acl.media.dvpp_set_stream_desc_size", &stream_descs, <uint32_setter>api().acldvppSetStreamDescSize, args, count)

_export(b"dvpp_set_stream_desc_size", dvpp_set_stream_desc_size,
        b"dvpp_set_stream_desc_size(stream_desc, size, /)\n--\n\n"
        b"Set the number of encoded bytes. Returns ret. Wraps acldvppSetStreamDescSize.")


cdef object dvpp_get_stream_desc_size(PyObject *self, PyObject **args, Py_ssize_t count):
    return get_uint32(
        b"acl.media.dvpp_get_stream_desc_size", &stream_descs, <uint32_getter>api().acldvppGetStreamDescSize, args, count)

_export(b"dvpp_get_stream_desc_size", dvpp_get_stream_desc_size,
        b"dvpp_get_stream_desc_size(stream_desc, /)\n--\n\n"
        b"Return the number of encoded bytes. Wraps acldvppGetStreamDescSize.")


cdef object dvpp_set_stream_desc_format(PyObject *self, PyObject **args, Py_ssize_t count):
    return set_enum(
        b"acl.media.dvpp_set_stream_desc_format", &stream_descs, <int32_setter>api().acldvppSetStreamDescFormat, args, count)

_export(b"dvpp_set_stream_desc_format", dvpp_set_stream_desc_format,
        b"dvpp_set_stream_desc_format(stream_desc, format, /)\n--\n\n"
        b"Set the format: 0 H.265 main, 1, 2, 3 H.264 baseline, main, high. Returns ret. Wraps acldvppSetStreamDescFormat.")


cdef object dvpp_get_stream_desc_format(PyObject *self, PyObject **args, Py_ssize_t count):
    return get_enum(
        b"acl.media.dvpp_get_stream_desc_format", &stream_descs, <int32_getter>api().acldvppGetStreamDescFormat, args, count)

_export(b"dvpp_get_stream_desc_format", dvpp_get_stream_desc_format,
        b"dvpp_get_stream_desc_format(stream_desc, /)\n--\n\n"
        b"Return the format. Wraps acldvppGetStreamDescFormat.")


cdef object dvpp_set_stream_desc_timestamp(PyObject *self, PyObject **args, Py_ssize_t count):
    return set_uint64(
        b"acl.media.dvpp_set_stream_desc_timestamp", &stream_descs, <uint64_setter>api().acldvppSetStreamDescTimestamp, args, count)

_export(b"dvpp_set_stream_desc_timestamp", dvpp_set_stream_desc_timestamp,
        b"dvpp_set_stream_desc_timestamp(stream_desc, timestamp, /)\n--\n\n"
        b"Set the time stamp. Returns ret. Wraps acldvppSetStreamDescTimestamp.")


cdef object dvpp_get_stream_desc_timestamp(PyObject *self, PyObject **args, Py_ssize_t count):
    return get_uint64(
        b"acl.media.dvpp_get_stream_desc_timestamp", &stream_descs, <uint64_getter>api().acldvppGetStreamDescTimestamp, args, count)

_export(b"dvpp_get_stream_desc_timestamp", dvpp_get_stream_desc_timestamp,
        b"dvpp_get_stream_desc_timestamp(stream_desc, /)\n--\n\n"
        b"Return the time stamp; what the encoder writes there is not documented. Wraps acldvppGetStreamDescTimestamp.")


cdef object dvpp_set_stream_desc_ret_code(PyObject *self, PyObject **args, Py_ssize_t count):
    return set_uint32(
        b"acl.media.dvpp_set_stream_desc_ret_code", &stream_descs, <uint32_setter>api().acldvppSetStreamDescRetCode, args, count)

_export(b"dvpp_set_stream_desc_ret_code", dvpp_set_stream_desc_ret_code,
        b"dvpp_set_stream_desc_ret_code(stream_desc, ret_code, /)\n--\n\n"
        b"Set the result of the frame. Returns ret. Wraps acldvppSetStreamDescRetCode.")


cdef object dvpp_get_stream_desc_ret_code(PyObject *self, PyObject **args, Py_ssize_t count):
    return get_uint32(
        b"acl.media.dvpp_get_stream_desc_ret_code", &stream_descs, <uint32_getter>api().acldvppGetStreamDescRetCode, args, count)

_export(b"dvpp_get_stream_desc_ret_code", dvpp_get_stream_desc_ret_code,
        b"dvpp_get_stream_desc_ret_code(stream_desc, /)\n--\n\n"
        b"Return the result of the frame: 0 encoded, otherwise there are no bytes. Wraps acldvppGetStreamDescRetCode.")


cdef object dvpp_set_stream_desc_eos(PyObject *self, PyObject **args, Py_ssize_t count):
    return set_uint8(
        b"acl.media.dvpp_set_stream_desc_eos", &stream_descs, <uint8_setter>api().acldvppSetStreamDescEos, args, count)

_export(b"dvpp_set_stream_desc_eos", dvpp_set_stream_desc_eos,
        b"dvpp_set_stream_desc_eos(stream_desc, eos, /)\n--\n\n"
        b"Set the end-of-stream mark; anything but 0 counts as 1. Returns ret. Wraps acldvppSetStreamDescEos.")


cdef object dvpp_get_stream_desc_eos(PyObject *self, PyObject **args, Py_ssize_t count):
    return get_uint8(
        b"acl.media.dvpp_get_stream_desc_eos", &stream_descs, <uint8_getter>api().acldvppGetStreamDescEos, args, count)

_export(b"dvpp_get_stream_desc_eos", dvpp_get_stream_desc_eos,
        b"dvpp_get_stream_desc_eos(stream_desc, /)\n--\n\n"
        b"Return the end-of-stream mark, 0 or 1. Wraps acldvppGetStreamDescEos.")


# The encoder's functions: they put themselves into this module's namespace.
cdef object _venc
from . import venc as _venc  # no-cython-lint: used by being imported
