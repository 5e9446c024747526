# SPDX-License-Identifier: Apache-2.0
"""The video encoder's part of acl.media; the functions are put into that module's namespace.

A channel is known here from venc_create_channel_desc to venc_destroy_channel_desc. Calls that would wait for themselves,
or for a thread that has ended, return 100000 with the reason (acl.get_recent_err_msg) instead of waiting for ever.
"""
import os

from cpython.exc cimport PyErr_CheckSignals
from cpython.object cimport PyCallable_Check, PyObject
from libc.stdint cimport int32_t, uint32_t, uint64_t

from .cavenc cimport *
from .descriptors cimport *
from .fastcall cimport *
from .handles cimport *
from .report cimport *

from . import media

cdef extern from "unistd.h" nogil:
    int usleep(unsigned int microseconds)

cdef dict channels = {}  # handle of a channel description -> Channel
cdef PyMethodDef _slots[48]
cdef int _slots_used = 0


cdef int _export(const char *name, fastcall function, const char *doc) except -1:
    global _slots_used
    export(media.__dict__, &_slots[_slots_used], name, function, doc)
    _slots_used += 1
    return 0


# ---- channel description: life ---------------------------------------------------------------------------------------

cdef object venc_create_channel_desc(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef Channel channel = Channel.__new__(Channel)
    cdef object handle = create_handle(
        b"acl.media.venc_create_channel_desc", &channel_descs, <creator>api().aclvencCreateChannelDesc, args, count)
    if handle:
        channel.desc = handle
        try:
            channels[handle] = channel
        except MemoryError:
            remove(&channel_descs, channel.desc)
            loaded_api.aclvencDestroyChannelDesc(<aclvencChannelDesc *>channel.desc)
            raise
    return handle

_export(b"venc_create_channel_desc", venc_create_channel_desc,
        b"venc_create_channel_desc(*args)\n--\n\n"
        b"Create the description of an encoder channel. Returns its handle, 0 if there is no context or no memory. "
        b"Wraps aclvencCreateChannelDesc.")


cdef object venc_destroy_channel_desc(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef const char *call = b"acl.media.venc_destroy_channel_desc"
    cdef uint64_t handle = 0
    cdef Channel channel
    if count == 1 and as_uint64(args[0], &handle):
        channel = channels.get(handle)
        if channel is not None and (channel.pending or channel.users or channel.destroying):
            return failed(call, ACL_ERROR_INVALID_PARAM, args, count,
                          "the channel still exists and has frames to deliver: call venc_destroy_channel first")
        if channel is not None and channel.created:
            # AscendCL would leave the channel behind, without a handle to end it by.
            code = venc_destroy_channel(self, args, count)
            if code != 0:
                return code
    code = destroy_handle(call, b"acl.media.venc_destroy_channel_desc args parse failed!", &channel_descs,
                          <destructor>api().aclvencDestroyChannelDesc, args, count)
    if code == 0 and handle in channels:
        forget_channel(channels.pop(handle))
    return code

_export(b"venc_destroy_channel_desc", venc_destroy_channel_desc,
        b"venc_destroy_channel_desc(channel_desc, /)\n--\n\n"
        b"Destroy the description, and the channel if venc_destroy_channel was forgotten. Returns ret: 100000 while the "
        b"channel has frames to deliver. Wraps aclvencDestroyChannelDesc.")


# ---- channel description: callback -----------------------------------------------------------------------------------

cdef object _callback_of(const char *call, PyObject *handle):
    cdef uint64_t key = 0
    cdef Channel channel
    if not as_uint64(handle, &key):
        refuse(call)
    channel = channels.get(key)
    if channel is None or channel.callback is None:
        raise RuntimeError("did not set callback, failed")
    return channel.callback


cdef object venc_set_channel_desc_callback(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef const char *call = b"acl.media.venc_set_channel_desc_callback"
    cdef uint64_t handle = 0
    cdef aclError code
    cdef Channel channel
    if count != 2 or not as_uint64(args[0], &handle):
        refuse(call)
    if not PyCallable_Check(<object>args[1]):
        raise TypeError("parameter must be callable")
    if not is_live_or_null(&channel_descs, handle):
        return stale(call, &channel_descs, handle, args, count)
    code = api().aclvencSetChannelDescCallback(<aclvencChannelDesc *>handle, venc_trampoline)
    if code == ACL_SUCCESS:
        channel = channels[handle]
        channel.callback = <object>args[1]
    return status(code, call, args, count)

_export(b"venc_set_channel_desc_callback", venc_set_channel_desc_callback,
        b"venc_set_channel_desc_callback(channel_desc, callback, /)\n--\n\n"
        b"Set what is called as callback(pic_desc, stream_desc, user_data), once for each frame, inside process_report. "
        b"Counts for frames sent from now on; venc_destroy_channel unsets it. Returns ret. "
        b"Wraps aclvencSetChannelDescCallback.")


cdef object venc_get_channel_desc_callback(PyObject *self, PyObject **args, Py_ssize_t count):
    if count != 1:
        refuse(b"acl.media.venc_get_channel_desc_callback")
    return _callback_of(b"acl.media.venc_get_channel_desc_callback", args[0])

_export(b"venc_get_channel_desc_callback", venc_get_channel_desc_callback,
        b"venc_get_channel_desc_callback(channel_desc, /)\n--\n\n"
        b"Return the callback; RuntimeError if none is set. Wraps aclvencGetChannelDescCallback.")


# ---- channel description: attributes ---------------------------------------------------------------------------------

cdef object venc_set_channel_desc_thread_id(PyObject *self, PyObject **args, Py_ssize_t count):
    return set_uint64(
        b"acl.media.venc_set_channel_desc_thread_id", &channel_descs, <uint64_setter>api().aclvencSetChannelDescThreadId, args,
        count)

_export(b"venc_set_channel_desc_thread_id", venc_set_channel_desc_thread_id,
        b"venc_set_channel_desc_thread_id(channel_desc, thread_id, /)\n--\n\n"
        b"Set the thread whose process_report delivers: of start_thread, or a Thread's ident. Returns ret. "
        b"Wraps aclvencSetChannelDescThreadId.")


cdef object venc_get_channel_desc_thread_id(PyObject *self, PyObject **args, Py_ssize_t count):
    return get_uint64(
        b"acl.media.venc_get_channel_desc_thread_id", &channel_descs, <uint64_getter>api().aclvencGetChannelDescThreadId, args,
        count)

_export(b"venc_get_channel_desc_thread_id", venc_get_channel_desc_thread_id,
        b"venc_get_channel_desc_thread_id(channel_desc, /)\n--\n\n"
        b"Return the thread whose process_report delivers. Wraps aclvencGetChannelDescThreadId.")


cdef object venc_set_channel_desc_pic_format(PyObject *self, PyObject **args, Py_ssize_t count):
    return set_enum(
        b"acl.media.venc_set_channel_desc_pic_format", &channel_descs, <int32_setter>api().aclvencSetChannelDescPicFormat, args,
        count)

_export(b"venc_set_channel_desc_pic_format", venc_set_channel_desc_pic_format,
        b"venc_set_channel_desc_pic_format(channel_desc, pic_format, /)\n--\n\n"
        b"Set the pixel format of the pictures: 1 NV12, 2 NV21. Returns ret. "
        b"Wraps aclvencSetChannelDescPicFormat.")


cdef object venc_get_channel_desc_pic_format(PyObject *self, PyObject **args, Py_ssize_t count):
    return get_enum(
        b"acl.media.venc_get_channel_desc_pic_format", &channel_descs, <int32_getter>api().aclvencGetChannelDescPicFormat, args,
        count)

_export(b"venc_get_channel_desc_pic_format", venc_get_channel_desc_pic_format,
        b"venc_get_channel_desc_pic_format(channel_desc, /)\n--\n\n"
        b"Return the pixel format of the pictures. Wraps aclvencGetChannelDescPicFormat.")


cdef object venc_set_channel_desc_entype(PyObject *self, PyObject **args, Py_ssize_t count):
    return set_enum(
        b"acl.media.venc_set_channel_desc_entype", &channel_descs, <int32_setter>api().aclvencSetChannelDescEnType, args,
        count)

_export(b"venc_set_channel_desc_entype", venc_set_channel_desc_entype,
        b"venc_set_channel_desc_entype(channel_desc, venc_entype, /)\n--\n\n"
        b"Set what is made: 0 H.265 main, 1, 2, 3 H.264 baseline, main, high. Returns ret. "
        b"Wraps aclvencSetChannelDescEnType.")


cdef object venc_get_channel_desc_entype(PyObject *self, PyObject **args, Py_ssize_t count):
    return get_enum(
        b"acl.media.venc_get_channel_desc_entype", &channel_descs, <int32_getter>api().aclvencGetChannelDescEnType, args,
        count)

_export(b"venc_get_channel_desc_entype", venc_get_channel_desc_entype,
        b"venc_get_channel_desc_entype(channel_desc, /)\n--\n\n"
        b"Return what is made. Wraps aclvencGetChannelDescEnType.")


cdef object venc_set_channel_desc_pic_width(PyObject *self, PyObject **args, Py_ssize_t count):
    return set_uint32(
        b"acl.media.venc_set_channel_desc_pic_width", &channel_descs, <uint32_setter>api().aclvencSetChannelDescPicWidth, args,
        count)

_export(b"venc_set_channel_desc_pic_width", venc_set_channel_desc_pic_width,
        b"venc_set_channel_desc_pic_width(channel_desc, pic_width, /)\n--\n\n"
        b"Set the width of the pictures in pixels, even. Returns ret. Wraps aclvencSetChannelDescPicWidth.")


cdef object venc_get_channel_desc_pic_width(PyObject *self, PyObject **args, Py_ssize_t count):
    return get_uint32(
        b"acl.media.venc_get_channel_desc_pic_width", &channel_descs, <uint32_getter>api().aclvencGetChannelDescPicWidth, args,
        count)

_export(b"venc_get_channel_desc_pic_width", venc_get_channel_desc_pic_width,
        b"venc_get_channel_desc_pic_width(channel_desc, /)\n--\n\n"
        b"Return the width of the pictures. Wraps aclvencGetChannelDescPicWidth.")


cdef object venc_set_channel_desc_pic_height(PyObject *self, PyObject **args, Py_ssize_t count):
    return set_uint32(
        b"acl.media.venc_set_channel_desc_pic_height", &channel_descs, <uint32_setter>api().aclvencSetChannelDescPicHeight, args,
        count)

_export(b"venc_set_channel_desc_pic_height", venc_set_channel_desc_pic_height,
        b"venc_set_channel_desc_pic_height(channel_desc, pic_height, /)\n--\n\n"
        b"Set the height of the pictures in pixels, even. Returns ret. Wraps aclvencSetChannelDescPicHeight.")


cdef object venc_get_channel_desc_pic_height(PyObject *self, PyObject **args, Py_ssize_t count):
    return get_uint32(
        b"acl.media.venc_get_channel_desc_pic_height", &channel_descs, <uint32_getter>api().aclvencGetChannelDescPicHeight, args,
        count)

_export(b"venc_get_channel_desc_pic_height", venc_get_channel_desc_pic_height,
        b"venc_get_channel_desc_pic_height(channel_desc, /)\n--\n\n"
        b"Return the height of the pictures. Wraps aclvencGetChannelDescPicHeight.")


cdef object venc_set_channel_desc_key_frame_interval(PyObject *self, PyObject **args, Py_ssize_t count):
    return set_uint32(
        b"acl.media.venc_set_channel_desc_key_frame_interval", &channel_descs, <uint32_setter>api().aclvencSetChannelDescKeyFrameInterval, args,
        count)

_export(b"venc_set_channel_desc_key_frame_interval", venc_set_channel_desc_key_frame_interval,
        b"venc_set_channel_desc_key_frame_interval(channel_desc, key_frame_interval, /)\n--\n\n"
        b"Set the frames from one key frame to the next, 1 to 65536; has to be set. Returns ret. "
        b"Wraps aclvencSetChannelDescKeyFrameInterval.")


cdef object venc_get_channel_desc_key_frame_interval(PyObject *self, PyObject **args, Py_ssize_t count):
    return get_uint32(
        b"acl.media.venc_get_channel_desc_key_frame_interval", &channel_descs, <uint32_getter>api().aclvencGetChannelDescKeyFrameInterval, args,
        count)

_export(b"venc_get_channel_desc_key_frame_interval", venc_get_channel_desc_key_frame_interval,
        b"venc_get_channel_desc_key_frame_interval(channel_desc, /)\n--\n\n"
        b"Return the frames from one key frame to the next. Wraps aclvencGetChannelDescKeyFrameInterval.")


cdef object venc_set_channel_desc_buf_addr(PyObject *self, PyObject **args, Py_ssize_t count):
    return set_uint64(
        b"acl.media.venc_set_channel_desc_buf_addr", &channel_descs, <uint64_setter>api().aclvencSetChannelDescBufAddr, args,
        count)

_export(b"venc_set_channel_desc_buf_addr", venc_set_channel_desc_buf_addr,
        b"venc_set_channel_desc_buf_addr(channel_desc, buf_addr, /)\n--\n\n"
        b"Set an output buffer of one's own, in device memory; with buf_size, once. Not on 310. Returns ret. "
        b"Wraps aclvencSetChannelDescBufAddr.")


cdef object venc_get_channel_desc_buf_addr(PyObject *self, PyObject **args, Py_ssize_t count):
    return get_uint64(
        b"acl.media.venc_get_channel_desc_buf_addr", &channel_descs, <uint64_getter>api().aclvencGetChannelDescBufAddr, args,
        count)

_export(b"venc_get_channel_desc_buf_addr", venc_get_channel_desc_buf_addr,
        b"venc_get_channel_desc_buf_addr(channel_desc, /)\n--\n\n"
        b"Return the output buffer that was set, or 0. Wraps aclvencGetChannelDescBufAddr.")


cdef object venc_set_channel_desc_buf_size(PyObject *self, PyObject **args, Py_ssize_t count):
    return set_uint32(
        b"acl.media.venc_set_channel_desc_buf_size", &channel_descs, <uint32_setter>api().aclvencSetChannelDescBufSize, args,
        count)

_export(b"venc_set_channel_desc_buf_size", venc_set_channel_desc_buf_size,
        b"venc_set_channel_desc_buf_size(channel_desc, buf_size, /)\n--\n\n"
        b"Set the bytes of the output buffer, at least 5 MiB. Not on 310. Returns ret. "
        b"Wraps aclvencSetChannelDescBufSize.")


cdef object venc_get_channel_desc_buf_size(PyObject *self, PyObject **args, Py_ssize_t count):
    return get_uint32(
        b"acl.media.venc_get_channel_desc_buf_size", &channel_descs, <uint32_getter>api().aclvencGetChannelDescBufSize, args,
        count)

_export(b"venc_get_channel_desc_buf_size", venc_get_channel_desc_buf_size,
        b"venc_get_channel_desc_buf_size(channel_desc, /)\n--\n\n"
        b"Return the bytes of the output buffer that were set, or 0. Wraps aclvencGetChannelDescBufSize.")


cdef object venc_set_channel_desc_rc_mode(PyObject *self, PyObject **args, Py_ssize_t count):
    return set_uint32(
        b"acl.media.venc_set_channel_desc_rc_mode", &channel_descs, <uint32_setter>api().aclvencSetChannelDescRcMode, args,
        count)

_export(b"venc_set_channel_desc_rc_mode", venc_set_channel_desc_rc_mode,
        b"venc_set_channel_desc_rc_mode(channel_desc, rc_mode, /)\n--\n\n"
        b"Set the rate control: 0 the chip's default, 1 VBR, 2 CBR. Returns ret. "
        b"Wraps aclvencSetChannelDescRcMode.")


cdef object venc_get_channel_desc_rc_mode(PyObject *self, PyObject **args, Py_ssize_t count):
    return get_uint32(
        b"acl.media.venc_get_channel_desc_rc_mode", &channel_descs, <uint32_getter>api().aclvencGetChannelDescRcMode, args,
        count)

_export(b"venc_get_channel_desc_rc_mode", venc_get_channel_desc_rc_mode,
        b"venc_get_channel_desc_rc_mode(channel_desc, /)\n--\n\n"
        b"Return the rate control; 0 if not set or not supported. Wraps aclvencGetChannelDescRcMode.")


cdef object venc_set_channel_desc_src_rate(PyObject *self, PyObject **args, Py_ssize_t count):
    return set_uint32(
        b"acl.media.venc_set_channel_desc_src_rate", &channel_descs, <uint32_setter>api().aclvencSetChannelDescSrcRate, args,
        count)

_export(b"venc_set_channel_desc_src_rate", venc_set_channel_desc_src_rate,
        b"venc_set_channel_desc_src_rate(channel_desc, src_rate, /)\n--\n\n"
        b"Set the frames per second, 1 to 240 (310: 120); 0 means 30. Returns ret. "
        b"Wraps aclvencSetChannelDescSrcRate.")


cdef object venc_get_channel_desc_src_rate(PyObject *self, PyObject **args, Py_ssize_t count):
    return get_uint32(
        b"acl.media.venc_get_channel_desc_src_rate", &channel_descs, <uint32_getter>api().aclvencGetChannelDescSrcRate, args,
        count)

_export(b"venc_get_channel_desc_src_rate", venc_get_channel_desc_src_rate,
        b"venc_get_channel_desc_src_rate(channel_desc, /)\n--\n\n"
        b"Return the frames per second; 0 if not set or not supported. Wraps aclvencGetChannelDescSrcRate.")


cdef object venc_set_channel_desc_max_bit_rate(PyObject *self, PyObject **args, Py_ssize_t count):
    return set_uint32(
        b"acl.media.venc_set_channel_desc_max_bit_rate", &channel_descs, <uint32_setter>api().aclvencSetChannelDescMaxBitRate, args,
        count)

_export(b"venc_set_channel_desc_max_bit_rate", venc_set_channel_desc_max_bit_rate,
        b"venc_set_channel_desc_max_bit_rate(channel_desc, max_bit_rate, /)\n--\n\n"
        b"Set the bit rate in kbit/s, 2 to 614400 (310: 10 to 30000); 0 means the default. Returns ret. "
        b"Wraps aclvencSetChannelDescMaxBitRate.")


cdef object venc_get_channel_desc_max_bit_rate(PyObject *self, PyObject **args, Py_ssize_t count):
    return get_uint32(
        b"acl.media.venc_get_channel_desc_max_bit_rate", &channel_descs, <uint32_getter>api().aclvencGetChannelDescMaxBitRate, args,
        count)

_export(b"venc_get_channel_desc_max_bit_rate", venc_get_channel_desc_max_bit_rate,
        b"venc_get_channel_desc_max_bit_rate(channel_desc, /)\n--\n\n"
        b"Return the bit rate in kbit/s; 0 if not set or not supported. Wraps aclvencGetChannelDescMaxBitRate.")


cdef object venc_get_channel_desc_channel_id(PyObject *self, PyObject **args, Py_ssize_t count):
    return get_uint32(
        b"acl.media.venc_get_channel_desc_channel_id", &channel_descs, <uint32_getter>api().aclvencGetChannelDescChannelId, args,
        count)

_export(b"venc_get_channel_desc_channel_id", venc_get_channel_desc_channel_id,
        b"venc_get_channel_desc_channel_id(channel_desc, /)\n--\n\n"
        b"Return the number of the channel, known once it was created. Wraps aclvencGetChannelDescChannelId.")


cdef size_t _length_of(int32_t param_type) noexcept:
    """Bytes of a parameter, as pyACL passes them: unknown types too are a uint32."""
    return 8 if param_type in (ACL_VENC_THREAD_ID_UINT64, ACL_VENC_BUF_ADDR_PTR) else 4


cdef object venc_set_channel_desc_param(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef const char *call = b"acl.media.venc_set_channel_desc_param"
    cdef uint64_t handle = 0, value = 0
    cdef uint32_t narrow = 0
    cdef int32_t param_type = 0
    cdef aclvencCallback trampoline = venc_trampoline
    cdef const void *source = &value
    cdef size_t length
    cdef aclError code
    cdef Channel channel
    if count != 3 or not as_uint64(args[0], &handle) or not as_int32(args[1], &param_type):
        refuse(call)
    length = _length_of(param_type)
    if param_type == ACL_VENC_CALLBACK_PTR:
        if not PyCallable_Check(<object>args[2]):
            raise TypeError("parameter must be callable")
        source = &trampoline
        length = sizeof(trampoline)
    elif length == 8:
        if not as_uint64(args[2], &value):
            refuse(call)
    else:
        if not as_uint32(args[2], &narrow):
            refuse(call)
        source = &narrow
    cdef const acl_api *acl = api()
    if acl.aclvencSetChannelDescParam == NULL:
        return unsupported(call, args, count)
    if not is_live_or_null(&channel_descs, handle):
        return stale(call, &channel_descs, handle, args, count)
    code = acl.aclvencSetChannelDescParam(<aclvencChannelDesc *>handle, param_type, length, source)
    if code == ACL_SUCCESS and param_type == ACL_VENC_CALLBACK_PTR:
        channel = channels[handle]
        channel.callback = <object>args[2]
    return explained(call, code, args, count)

_export(b"venc_set_channel_desc_param", venc_set_channel_desc_param,
        b"venc_set_channel_desc_param(channel_desc, param_type, param, /)\n--\n\n"
        b"Set an attribute by its number: 0 thread_id, 1 callback, 2 pic_format, 3 entype, 4 pic_width, 5 pic_height, "
        b"6 key_frame_interval, 7 buf_addr, 8 buf_size, 9 rc_mode, 10 src_rate, 11 max_bit_rate, 12 I/P proportion. "
        b"Returns ret. Wraps aclvencSetChannelDescParam.")


cdef object venc_get_channel_desc_param(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef const char *call = b"acl.media.venc_get_channel_desc_param"
    cdef uint64_t handle = 0, value = 0
    cdef int32_t param_type = 0
    cdef size_t length, written = 0
    cdef aclError code
    if count != 2 or not as_uint64(args[0], &handle) or not as_int32(args[1], &param_type):
        refuse(call)
    if param_type == ACL_VENC_CALLBACK_PTR:
        return _callback_of(call, args[0]), 0
    cdef const acl_api *acl = api()
    if acl.aclvencGetChannelDescParam == NULL:
        return 0, unsupported(call, args, count)
    if not is_live_or_null(&channel_descs, handle):
        return 0, stale(call, &channel_descs, handle, args, count)
    length = _length_of(param_type)
    code = acl.aclvencGetChannelDescParam(<aclvencChannelDesc *>handle, param_type, length, &written, &value)
    if code != ACL_SUCCESS:
        return 0, failed(call, code, args, count)
    return (value if length == 8 else <uint32_t>value), 0

_export(b"venc_get_channel_desc_param", venc_get_channel_desc_param,
        b"venc_get_channel_desc_param(channel_desc, param_type, /)\n--\n\n"
        b"Return (value, ret) of an attribute by its number, (0, ret) if it cannot be read; for 1 the callback, or "
        b"RuntimeError. Wraps aclvencGetChannelDescParam.")


# ---- frame configuration ---------------------------------------------------------------------------------------------

cdef object venc_create_frame_config(PyObject *self, PyObject **args, Py_ssize_t count):
    return create_handle(
        b"acl.media.venc_create_frame_config", &frame_configs, <creator>api().aclvencCreateFrameConfig, args, count)

_export(b"venc_create_frame_config", venc_create_frame_config,
        b"venc_create_frame_config(*args)\n--\n\n"
        b"Create the configuration of a frame: no end of stream, no forced key frame. Returns its handle, or 0. "
        b"Wraps aclvencCreateFrameConfig.")


cdef object venc_destroy_frame_config(PyObject *self, PyObject **args, Py_ssize_t count):
    return destroy_handle(
        b"acl.media.venc_destroy_frame_config", b"acl.media.venc_destroy_frame_config args parse failed!",
        &frame_configs, <destructor>api().aclvencDestroyFrameConfig, args, count)

_export(b"venc_destroy_frame_config", venc_destroy_frame_config,
        b"venc_destroy_frame_config(config, /)\n--\n\n"
        b"Destroy the configuration; it may go right after the send. Returns ret. Wraps aclvencDestroyFrameConfig.")


cdef object venc_set_frame_config_eos(PyObject *self, PyObject **args, Py_ssize_t count):
    return set_uint8(b"acl.media.venc_set_frame_config_eos", &frame_configs,
                     <uint8_setter>api().aclvencSetFrameConfigEos, args, count)

_export(b"venc_set_frame_config_eos", venc_set_frame_config_eos,
        b"venc_set_frame_config_eos(config, eos, /)\n--\n\n"
        b"Mark the end of the stream: anything but 0. Returns ret. Wraps aclvencSetFrameConfigEos.")


cdef object venc_get_frame_config_eos(PyObject *self, PyObject **args, Py_ssize_t count):
    return get_uint8(b"acl.media.venc_get_frame_config_eos", &frame_configs,
                     <uint8_getter>api().aclvencGetFrameConfigEos, args, count)

_export(b"venc_get_frame_config_eos", venc_get_frame_config_eos,
        b"venc_get_frame_config_eos(config, /)\n--\n\n"
        b"Return 1 if the end of the stream is marked, else 0. Wraps aclvencGetFrameConfigEos.")


cdef object venc_set_frame_config_force_i_frame(PyObject *self, PyObject **args, Py_ssize_t count):
    return set_uint8(b"acl.media.venc_set_frame_config_force_i_frame", &frame_configs,
                     <uint8_setter>api().aclvencSetFrameConfigForceIFrame, args, count)

_export(b"venc_set_frame_config_force_i_frame", venc_set_frame_config_force_i_frame,
        b"venc_set_frame_config_force_i_frame(config, force_i_frame, /)\n--\n\n"
        b"Ask for a key frame: anything but 0; the interval starts anew. Returns ret. "
        b"Wraps aclvencSetFrameConfigForceIFrame.")


cdef object venc_get_frame_config_force_i_frame(PyObject *self, PyObject **args, Py_ssize_t count):
    return get_uint8(b"acl.media.venc_get_frame_config_force_i_frame", &frame_configs,
                     <uint8_getter>api().aclvencGetFrameConfigForceIFrame, args, count)

_export(b"venc_get_frame_config_force_i_frame", venc_get_frame_config_force_i_frame,
        b"venc_get_frame_config_force_i_frame(config, /)\n--\n\n"
        b"Return 1 if a key frame is asked for, else 0. Wraps aclvencGetFrameConfigForceIFrame.")


# ---- channel ---------------------------------------------------------------------------------------------------------

cdef object _why_refused(const acl_api *acl, uint64_t handle):
    """Compare a channel's attributes with what the chip takes: the device itself tells the reason to its log only."""
    from .. import diagnosis

    cdef aclvencChannelDesc *desc = <aclvencChannelDesc *>handle
    soc = acl.aclrtGetSocName() if acl.aclrtGetSocName != NULL else NULL
    return diagnosis.of_channel(
        "" if soc == NULL else soc.decode("ascii", "replace"),
        entype=acl.aclvencGetChannelDescEnType(desc),
        pic_format=acl.aclvencGetChannelDescPicFormat(desc),
        pic_width=acl.aclvencGetChannelDescPicWidth(desc),
        pic_height=acl.aclvencGetChannelDescPicHeight(desc),
        key_frame_interval=acl.aclvencGetChannelDescKeyFrameInterval(desc),
        rc_mode=acl.aclvencGetChannelDescRcMode(desc) if acl.aclvencGetChannelDescRcMode != NULL else 0,
        src_rate=acl.aclvencGetChannelDescSrcRate(desc) if acl.aclvencGetChannelDescSrcRate != NULL else 0,
        max_bit_rate=acl.aclvencGetChannelDescMaxBitRate(desc) if acl.aclvencGetChannelDescMaxBitRate != NULL else 0,
    )


cdef object venc_create_channel(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef const char *call = b"acl.media.venc_create_channel"
    cdef uint64_t handle = 0
    cdef aclError code
    cdef Channel channel = None
    if count != 1 or not as_uint64(args[0], &handle):
        refuse(call)
    cdef const acl_api *acl = api()
    if handle != 0:
        if not is_live(&channel_descs, handle):
            return stale(call, &channel_descs, handle, args, count)
        channel = channels[handle]
        if channel.created or channel.users:
            return failed(call, ACL_ERROR_INVALID_PARAM, args, count, "the description has a channel already")
        channel.users += 1
    with nogil:
        code = acl.aclvencCreateChannel(<aclvencChannelDesc *>handle)
    if channel is not None:
        channel.users -= 1
    if code != ACL_SUCCESS:
        return failed(call, code, args, count, _why_refused(acl, handle) if channel is not None else None)
    channel.created = True
    channel.accepted = 0
    channel.thread_id = acl.aclvencGetChannelDescThreadId(<aclvencChannelDesc *>handle)
    channel.thread = thread_of(channel.thread_id)
    return 0

_export(b"venc_create_channel", venc_create_channel,
        b"venc_create_channel(channel_desc, /)\n--\n\n"
        b"Create the channel that the description describes and subscribe its thread. The device checks the attributes "
        b"here. Returns ret: 507018 for attributes outside the chip's ranges, 100000 if the channel exists already. "
        b"Wraps aclvencCreateChannel.")


cdef object venc_destroy_channel(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef const char *call = b"acl.media.venc_destroy_channel"
    cdef uint64_t handle = 0
    cdef aclError code
    cdef Channel channel = None
    if count != 1 or not as_uint64(args[0], &handle):
        refuse(call)
    cdef const acl_api *acl = api()
    if handle != 0:
        if not is_live(&channel_descs, handle):
            return stale(call, &channel_descs, handle, args, count)
        channel = channels[handle]
        if not channel.created or channel.destroying:
            return failed(call, ACL_ERROR_INVALID_PARAM, args, count, "the description has no channel")
        channel.destroying = True
        try:
            reason = wait_for_callbacks(channel)
            while channel.users and not reason:  # a send of another thread, which ends when the device took the frame
                with nogil:
                    usleep(1000)
                PyErr_CheckSignals()
        except BaseException:
            channel.destroying = False
            raise
        if reason:
            channel.destroying = False
            return failed(call, ACL_ERROR_INVALID_PARAM, args, count, reason)
    with nogil:
        code = acl.aclvencDestroyChannel(<aclvencChannelDesc *>handle)
    if channel is not None:
        channel.destroying = False
        # After any code but that of a refused argument the runtime has freed parts of the channel: it is gone.
        if code != ACL_ERROR_INVALID_PARAM:
            channel.created = False
            channel.callback = channel.thread = None
            forget_channel(channel)
    return status(code, call, args, count)

_export(b"venc_destroy_channel", venc_destroy_channel,
        b"venc_destroy_channel(channel_desc, /)\n--\n\n"
        b"Wait until every frame is encoded and its callback has returned, then destroy the channel; some thread has to "
        b"process reports meanwhile. Returns ret: 100000, without waiting, if it would wait for itself (inside a callback "
        b"on the report thread, or on that thread with frames to deliver) or for a report thread that has ended. "
        b"Wraps aclvencDestroyChannel.")


cdef object venc_send_frame(PyObject *self, PyObject **args, Py_ssize_t count):
    cdef const char *call = b"acl.media.venc_send_frame"
    cdef uint64_t handle = 0, picture = 0, reserve = 0, config = 0, number = 0, earlier = 0
    cdef aclError code
    cdef Channel channel
    cdef Delivery delivery
    cdef bint eos = False
    if count != 5 or not as_uint64(args[0], &handle) or not as_uint64(args[1], &picture) \
            or not as_uint64(args[2], &reserve) or not as_uint64(args[3], &config):
        refuse(call)
    cdef const acl_api *acl = api()
    if not is_live(&channel_descs, handle):
        return stale(call, &channel_descs, handle, args, count)
    channel = channels[handle]
    if channel.callback is None:
        raise RuntimeError("did not set callback, failed")
    if not channel.created or channel.destroying:
        return failed(call, ACL_ERROR_INVALID_PARAM, args, count, "the channel does not exist: venc_create_channel first")
    if config == 0:
        return failed(call, ACL_ERROR_INVALID_PARAM, args, count, "config is 0")
    if not is_live(&frame_configs, config):
        return stale(call, &frame_configs, config, args, count)
    eos = acl.aclvencGetFrameConfigEos(<aclvencFrameConfig *>config) != 0
    if eos:
        # The end of the stream has no picture, and no callback: nothing is kept for it.
        reason = wait_for_callbacks(channel)
        if reason:
            return failed(call, ACL_ERROR_INVALID_PARAM, args, count, reason)
        if not channel.created or channel.destroying or not is_live(&frame_configs, config):
            return failed(call, ACL_ERROR_INVALID_PARAM, args, count, "destroyed by another thread during the wait")
        picture = 0
        earlier = last_expected()
    elif picture == 0:
        return failed(call, ACL_ERROR_INVALID_PARAM, args, count, "the picture description is 0, without end of stream")
    else:
        delivery = Delivery.__new__(Delivery)
        delivery.function = channel.callback
        delivery.user_data = <object>args[4]
        delivery.channel = channel
        delivery.frame = channel.accepted
        number = expect(delivery)
        if not pin(&pic_descs, picture):
            forget(number)
            return stale(call, &pic_descs, picture, args, count)
        channel.accepted += 1
    pin(&frame_configs, config)
    channel.users += 1
    with nogil:  # `reserve` is never used, as AscendCL has it
        code = acl.aclvencSendFrame(
            <aclvencChannelDesc *>handle, <acldvppPicDesc *>picture, NULL, <aclvencFrameConfig *>config,
            <void *>number)
    channel.users -= 1
    unpin(&frame_configs, config)
    unpin(&pic_descs, picture)
    if code != ACL_SUCCESS and number != 0:
        forget(number)
        channel.accepted -= 1
    if eos and code == ACL_SUCCESS:
        forget_channel(channel, earlier)  # callbacks that the runtime has left out
    return status(code, call, args, count)

_export(b"venc_send_frame", venc_send_frame,
        b"venc_send_frame(channel_desc, input, reserve, config, user_data, /)\n--\n\n"
        b"Send a picture; its callback gets `user_data`, any object, kept until then. The picture's memory belongs to the "
        b"device until the callback. `reserve` is ignored. With end of stream marked in `config` the picture is ignored: "
        b"the call waits until every earlier callback has returned, and has none itself. Blocks while the device cannot "
        b"take more. Returns ret: 100000 for a handle that is not alive, and for an end of stream that would wait for "
        b"itself (see venc_destroy_channel). RuntimeError if no callback is set. Wraps aclvencSendFrame.")


def _after_fork():
    """In a forked child: the parent's channels are not this process's."""
    channels.clear()


os.register_at_fork(after_in_child=_after_fork)
