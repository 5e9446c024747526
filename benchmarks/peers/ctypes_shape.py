# SPDX-License-Identifier: Apache-2.0
"""AscendCL through ctypes, fairly: argtypes set, PyDLL for calls that do not wait, CDLL for those that do."""

import ctypes

P, U32, U64, I32, SIZE = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64, ctypes.c_int32, ctypes.c_size_t
CALLBACK = ctypes.CFUNCTYPE(None, P, P, P)

_callbacks = {}
_in_flight = {}
_number = 0


def load(path):
    held, free = ctypes.PyDLL(path), ctypes.CDLL(path)

    def function(library, name, result, *arguments):
        found = getattr(library, name)
        found.restype, found.argtypes = result, arguments
        return found

    g = globals()
    for name, c, kind in (
        ("venc_set_channel_desc_thread_id", "aclvencSetChannelDescThreadId", U64),
        ("venc_set_channel_desc_entype", "aclvencSetChannelDescEnType", I32),
        ("venc_set_channel_desc_pic_format", "aclvencSetChannelDescPicFormat", I32),
        ("venc_set_channel_desc_pic_width", "aclvencSetChannelDescPicWidth", U32),
        ("venc_set_channel_desc_pic_height", "aclvencSetChannelDescPicHeight", U32),
        ("venc_set_channel_desc_key_frame_interval", "aclvencSetChannelDescKeyFrameInterval", U32),
        ("dvpp_set_pic_desc_data", "acldvppSetPicDescData", P),
        ("dvpp_set_pic_desc_size", "acldvppSetPicDescSize", U32),
        ("dvpp_set_pic_desc_format", "acldvppSetPicDescFormat", I32),
        ("dvpp_set_pic_desc_width", "acldvppSetPicDescWidth", U32),
        ("dvpp_set_pic_desc_height", "acldvppSetPicDescHeight", U32),
        ("dvpp_set_pic_desc_width_stride", "acldvppSetPicDescWidthStride", U32),
        ("dvpp_set_pic_desc_height_stride", "acldvppSetPicDescHeightStride", U32),
    ):
        g[name] = function(held, c, I32, P, kind)
    for name, c, result in (
        ("venc_get_channel_desc_pic_width", "aclvencGetChannelDescPicWidth", U32),
        ("dvpp_get_stream_desc_data", "acldvppGetStreamDescData", P),
        ("dvpp_get_stream_desc_size", "acldvppGetStreamDescSize", U32),
        ("dvpp_get_stream_desc_ret_code", "acldvppGetStreamDescRetCode", U32),
        ("dvpp_destroy_pic_desc", "acldvppDestroyPicDesc", I32),
        ("dvpp_free", "acldvppFree", I32),
        ("venc_create_channel", "aclvencCreateChannel", I32),
        ("venc_destroy_channel_desc", "aclvencDestroyChannelDesc", I32),
        ("venc_destroy_frame_config", "aclvencDestroyFrameConfig", I32),
        ("set_context", "aclrtSetCurrentContext", I32),
        ("destroy_context", "aclrtDestroyContext", I32),
    ):
        g[name] = function(held, c, result, P)
    g["venc_create_channel_desc"] = function(held, "aclvencCreateChannelDesc", P)
    g["dvpp_create_pic_desc"] = function(held, "acldvppCreatePicDesc", P)
    g["venc_create_frame_config"] = function(held, "aclvencCreateFrameConfig", P)
    g["finalize"] = function(held, "aclFinalize", I32)
    g["_init"] = function(held, "aclInit", I32, P)
    g["_set_callback"] = function(held, "aclvencSetChannelDescCallback", I32, P, CALLBACK)
    g["_create_context"] = function(held, "aclrtCreateContext", I32, ctypes.POINTER(P), I32)
    g["_dvpp_malloc"] = function(held, "acldvppMalloc", I32, ctypes.POINTER(P), SIZE)
    g["memcpy"] = function(free, "aclrtMemcpy", I32, P, SIZE, P, SIZE, I32)
    g["process_report"] = function(free, "aclrtProcessReport", I32, I32)
    g["_send_frame"] = function(free, "aclvencSendFrame", I32, P, P, P, P, P)
    g["venc_destroy_channel"] = function(free, "aclvencDestroyChannel", I32, P)


def init():
    return _init(None)  # noqa: F821


def create_context(device):
    return _with_value(_create_context, device)  # noqa: F821


def _with_value(call, *arguments):
    value = P()
    code = call(ctypes.byref(value), *arguments)
    return value.value, code


def dvpp_malloc(size):
    return _with_value(_dvpp_malloc, size)  # noqa: F821


def venc_set_channel_desc_callback(desc, callback):
    def call(source, output, number):
        callback(source, output, _in_flight.pop(number or 0))

    _callbacks[desc] = CALLBACK(call)
    return _set_callback(desc, _callbacks[desc])  # noqa: F821


def venc_send_frame(desc, source, reserve, config, data):
    global _number  # noqa: PLW0603
    _number += 1
    _in_flight[_number] = data
    return _send_frame(desc, source, reserve, config, _number)  # noqa: F821


def numpy_to_ptr(array):
    return array.ctypes.data
