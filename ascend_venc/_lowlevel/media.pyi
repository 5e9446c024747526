# SPDX-License-Identifier: Apache-2.0
"""acl.media: memory of the media unit, descriptions of pictures and streams, and the video encoder."""

# Functions take positional arguments only. An `int` is masked to 64 bits as pyACL does; a SupportsIndex is masked to
# the 32 or 8 bits of the C argument, except device_id, timeout, enums and param_type: outside 32 bits they are a
# TypeError. The wrong number or type of arguments is TypeError("<name> args parse failed!").
from collections.abc import Callable
from typing import Any, SupportsIndex

def dvpp_create_pic_desc(*args: object) -> int:
    """Create the description of a picture. Returns its handle, 0 if there is no context or no memory. Wraps
    acldvppCreatePicDesc.
    """

def dvpp_create_stream_desc(*args: object) -> int:
    """Create the description of a stream; the encoder's output needs none. Returns its handle, or 0. Wraps
    acldvppCreateStreamDesc.
    """

def dvpp_destroy_pic_desc(pic_desc: int, /) -> int:
    """Destroy the description; the picture's memory stays. Returns ret. Wraps acldvppDestroyPicDesc."""

def dvpp_destroy_stream_desc(stream_desc: int, /) -> int:
    """Destroy the description. Returns ret. Wraps acldvppDestroyStreamDesc."""

def dvpp_free(dev_ptr: int, /) -> int:
    """Free memory of dvpp_malloc; a picture's only after the callback of its last frame. Returns ret. Wraps
    acldvppFree.
    """

def dvpp_get_pic_desc_data(pic_desc: int, /) -> int:
    """Return the address of the pixels, 0 if not set. Wraps acldvppGetPicDescData."""

def dvpp_get_pic_desc_format(pic_desc: int, /) -> int:
    """Return the pixel format. Wraps acldvppGetPicDescFormat."""

def dvpp_get_pic_desc_height(pic_desc: int, /) -> int:
    """Return the height in pixels. Wraps acldvppGetPicDescHeight."""

def dvpp_get_pic_desc_height_stride(pic_desc: int, /) -> int:
    """Return the rows of the luma plane. Wraps acldvppGetPicDescHeightStride."""

def dvpp_get_pic_desc_ret_code(pic_desc: int, /) -> int:
    """Return the result of decoding. Wraps acldvppGetPicDescRetCode."""

def dvpp_get_pic_desc_size(pic_desc: int, /) -> int:
    """Return the bytes of the picture. Wraps acldvppGetPicDescSize."""

def dvpp_get_pic_desc_width(pic_desc: int, /) -> int:
    """Return the width in pixels. Wraps acldvppGetPicDescWidth."""

def dvpp_get_pic_desc_width_stride(pic_desc: int, /) -> int:
    """Return the bytes from row to row. Wraps acldvppGetPicDescWidthStride."""

def dvpp_get_stream_desc_data(stream_desc: int, /) -> int:
    """Return the address of the encoded bytes, in device memory: copy them before the callback returns. 0 if
    none. Wraps acldvppGetStreamDescData.
    """

def dvpp_get_stream_desc_eos(stream_desc: int, /) -> int:
    """Return the end-of-stream mark, 0 or 1. Wraps acldvppGetStreamDescEos."""

def dvpp_get_stream_desc_format(stream_desc: int, /) -> int:
    """Return the format. Wraps acldvppGetStreamDescFormat."""

def dvpp_get_stream_desc_ret_code(stream_desc: int, /) -> int:
    """Return the result of the frame: 0 encoded, otherwise there are no bytes. Wraps
    acldvppGetStreamDescRetCode.
    """

def dvpp_get_stream_desc_size(stream_desc: int, /) -> int:
    """Return the number of encoded bytes. Wraps acldvppGetStreamDescSize."""

def dvpp_get_stream_desc_timestamp(stream_desc: int, /) -> int:
    """Return the time stamp; what the encoder writes there is not documented. Wraps
    acldvppGetStreamDescTimestamp.
    """

def dvpp_malloc(size: int, /) -> tuple[int, int]:
    """Allocate device memory for the media unit, 128-aligned. Costly: allocate once, use often. Returns
    (dev_ptr, ret). Wraps acldvppMalloc.
    """

def dvpp_set_pic_desc_data(pic_desc: int, data_dev: int, /) -> int:
    """Set the address of the pixels, in device memory. Returns ret. Wraps acldvppSetPicDescData."""

def dvpp_set_pic_desc_format(pic_desc: int, format: SupportsIndex, /) -> int:
    """Set the pixel format (1 NV12, 2 NV21); the encoder goes by its channel's. Returns ret. Wraps
    acldvppSetPicDescFormat.
    """

def dvpp_set_pic_desc_height(pic_desc: int, height: SupportsIndex, /) -> int:
    """Set the height in pixels. Returns ret. Wraps acldvppSetPicDescHeight."""

def dvpp_set_pic_desc_height_stride(pic_desc: int, height_stride: SupportsIndex, /) -> int:
    """Set the rows of the luma plane; the encoder does not need it. Returns ret. Wraps
    acldvppSetPicDescHeightStride.
    """

def dvpp_set_pic_desc_ret_code(pic_desc: int, ret_code: SupportsIndex, /) -> int:
    """Set the result of decoding; not used by the encoder. Returns ret. Wraps acldvppSetPicDescRetCode."""

def dvpp_set_pic_desc_size(pic_desc: int, size: int, /) -> int:
    """Set the bytes of the picture: stride * height * 3 / 2. Returns ret. Wraps acldvppSetPicDescSize."""

def dvpp_set_pic_desc_width(pic_desc: int, width: SupportsIndex, /) -> int:
    """Set the width in pixels. Returns ret. Wraps acldvppSetPicDescWidth."""

def dvpp_set_pic_desc_width_stride(pic_desc: int, width_stride: SupportsIndex, /) -> int:
    """Set the bytes from row to row: the width rounded up to 16. Returns ret. Wraps
    acldvppSetPicDescWidthStride.
    """

def dvpp_set_stream_desc_data(stream_desc: int, data_dev: int, /) -> int:
    """Set the address of the encoded bytes, in device memory. Returns ret. Wraps acldvppSetStreamDescData."""

def dvpp_set_stream_desc_eos(stream_desc: int, eos: SupportsIndex, /) -> int:
    """Set the end-of-stream mark; anything but 0 counts as 1. Returns ret. Wraps acldvppSetStreamDescEos."""

def dvpp_set_stream_desc_format(stream_desc: int, format: SupportsIndex, /) -> int:
    """Set the format: 0 H.265 main, 1, 2, 3 H.264 baseline, main, high. Returns ret. Wraps
    acldvppSetStreamDescFormat.
    """

def dvpp_set_stream_desc_ret_code(stream_desc: int, ret_code: SupportsIndex, /) -> int:
    """Set the result of the frame. Returns ret. Wraps acldvppSetStreamDescRetCode."""

def dvpp_set_stream_desc_size(stream_desc: int, size: int, /) -> int:
    """Set the number of encoded bytes. Returns ret. Wraps acldvppSetStreamDescSize."""

def dvpp_set_stream_desc_timestamp(stream_desc: int, timestamp: int, /) -> int:
    """Set the time stamp. Returns ret. Wraps acldvppSetStreamDescTimestamp."""

def venc_create_channel(channel_desc: int, /) -> int:
    """Create the channel that the description describes and subscribe its thread. The device checks the
    attributes here. Returns ret: 507018 for attributes outside the chip's ranges, 100000 if the channel exists
    already. Wraps aclvencCreateChannel.
    """

def venc_create_channel_desc(*args: object) -> int:
    """Create the description of an encoder channel. Returns its handle, 0 if there is no context or no memory.
    Wraps aclvencCreateChannelDesc.
    """

def venc_create_frame_config(*args: object) -> int:
    """Create the configuration of a frame: no end of stream, no forced key frame. Returns its handle, or 0.
    Wraps aclvencCreateFrameConfig.
    """

def venc_destroy_channel(channel_desc: int, /) -> int:
    """Wait until every frame is encoded and its callback has returned, then destroy the channel; some thread
    has to process reports meanwhile. Returns ret: 100000, without waiting, if it would wait for itself (inside
    a callback on the report thread, or on that thread with frames to deliver) or for a report thread that has
    ended. Wraps aclvencDestroyChannel.
    """

def venc_destroy_channel_desc(channel_desc: int, /) -> int:
    """Destroy the description, and the channel if venc_destroy_channel was forgotten. Returns ret: 100000 while the
    channel has frames to deliver. Wraps aclvencDestroyChannelDesc.
    """

def venc_destroy_frame_config(config: int, /) -> int:
    """Destroy the configuration; it may go right after the send. Returns ret. Wraps aclvencDestroyFrameConfig."""

def venc_get_channel_desc_buf_addr(channel_desc: int, /) -> int:
    """Return the output buffer that was set, or 0. Wraps aclvencGetChannelDescBufAddr."""

def venc_get_channel_desc_buf_size(channel_desc: int, /) -> int:
    """Return the bytes of the output buffer that were set, or 0. Wraps aclvencGetChannelDescBufSize."""

def venc_get_channel_desc_callback(channel_desc: int, /) -> Callable[[int, int, Any], object]:
    """Return the callback; RuntimeError if none is set. Wraps aclvencGetChannelDescCallback."""

def venc_get_channel_desc_channel_id(channel_desc: int, /) -> int:
    """Return the number of the channel, known once it was created. Wraps aclvencGetChannelDescChannelId."""

def venc_get_channel_desc_entype(channel_desc: int, /) -> int:
    """Return what is made. Wraps aclvencGetChannelDescEnType."""

def venc_get_channel_desc_key_frame_interval(channel_desc: int, /) -> int:
    """Return the frames from one key frame to the next. Wraps aclvencGetChannelDescKeyFrameInterval."""

def venc_get_channel_desc_max_bit_rate(channel_desc: int, /) -> int:
    """Return the bit rate in kbit/s; 0 if not set or not supported. Wraps aclvencGetChannelDescMaxBitRate."""

def venc_get_channel_desc_param(channel_desc: int, param_type: SupportsIndex, /) -> tuple[Any, int]:
    """Return (value, ret) of an attribute by its number, (0, ret) if it cannot be read; for 1 the callback, or
    RuntimeError. Wraps aclvencGetChannelDescParam.
    """

def venc_get_channel_desc_pic_format(channel_desc: int, /) -> int:
    """Return the pixel format of the pictures. Wraps aclvencGetChannelDescPicFormat."""

def venc_get_channel_desc_pic_height(channel_desc: int, /) -> int:
    """Return the height of the pictures. Wraps aclvencGetChannelDescPicHeight."""

def venc_get_channel_desc_pic_width(channel_desc: int, /) -> int:
    """Return the width of the pictures. Wraps aclvencGetChannelDescPicWidth."""

def venc_get_channel_desc_rc_mode(channel_desc: int, /) -> int:
    """Return the rate control; 0 if not set or not supported. Wraps aclvencGetChannelDescRcMode."""

def venc_get_channel_desc_src_rate(channel_desc: int, /) -> int:
    """Return the frames per second; 0 if not set or not supported. Wraps aclvencGetChannelDescSrcRate."""

def venc_get_channel_desc_thread_id(channel_desc: int, /) -> int:
    """Return the thread whose process_report delivers. Wraps aclvencGetChannelDescThreadId."""

def venc_get_frame_config_eos(config: int, /) -> int:
    """Return 1 if the end of the stream is marked, else 0. Wraps aclvencGetFrameConfigEos."""

def venc_get_frame_config_force_i_frame(config: int, /) -> int:
    """Return 1 if a key frame is asked for, else 0. Wraps aclvencGetFrameConfigForceIFrame."""

def venc_send_frame(channel_desc: int, input: int, reserve: int, config: int, user_data: Any, /) -> int:
    """Send a picture; its callback gets `user_data`, any object, kept until then. The picture's memory belongs
    to the device until the callback. `reserve` is ignored. With end of stream marked in `config` the picture is
    ignored: the call waits until every earlier callback has returned, and has none itself. Blocks while the
    device cannot take more. Returns ret: 100000 for a handle that is not alive, and for an end of stream that
    would wait for itself (see venc_destroy_channel). RuntimeError if no callback is set. Wraps
    aclvencSendFrame.
    """

def venc_set_channel_desc_buf_addr(channel_desc: int, buf_addr: int, /) -> int:
    """Set an output buffer of one's own, in device memory; with buf_size, once. Not on 310. Returns ret. Wraps
    aclvencSetChannelDescBufAddr.
    """

def venc_set_channel_desc_buf_size(channel_desc: int, buf_size: SupportsIndex, /) -> int:
    """Set the bytes of the output buffer, at least 5 MiB. Not on 310. Returns ret. Wraps
    aclvencSetChannelDescBufSize.
    """

def venc_set_channel_desc_callback(channel_desc: int, callback: Callable[[int, int, Any], object], /) -> int:
    """Set what is called as callback(pic_desc, stream_desc, user_data), once for each frame, inside
    process_report. Counts for frames sent from now on; venc_destroy_channel unsets it. Returns ret. Wraps
    aclvencSetChannelDescCallback.
    """

def venc_set_channel_desc_entype(channel_desc: int, venc_entype: SupportsIndex, /) -> int:
    """Set what is made: 0 H.265 main, 1, 2, 3 H.264 baseline, main, high. Returns ret. Wraps
    aclvencSetChannelDescEnType.
    """

def venc_set_channel_desc_key_frame_interval(channel_desc: int, key_frame_interval: SupportsIndex, /) -> int:
    """Set the frames from one key frame to the next, 1 to 65536; has to be set. Returns ret. Wraps
    aclvencSetChannelDescKeyFrameInterval.
    """

def venc_set_channel_desc_max_bit_rate(channel_desc: int, max_bit_rate: SupportsIndex, /) -> int:
    """Set the bit rate in kbit/s, 2 to 614400 (310: 10 to 30000); 0 means the default. Returns ret. Wraps
    aclvencSetChannelDescMaxBitRate.
    """

def venc_set_channel_desc_param(channel_desc: int, param_type: SupportsIndex, param: Any, /) -> int:
    """Set an attribute by its number: 0 thread_id, 1 callback, 2 pic_format, 3 entype, 4 pic_width, 5
    pic_height, 6 key_frame_interval, 7 buf_addr, 8 buf_size, 9 rc_mode, 10 src_rate, 11 max_bit_rate, 12 I/P
    proportion. Returns ret. Wraps aclvencSetChannelDescParam.
    """

def venc_set_channel_desc_pic_format(channel_desc: int, pic_format: SupportsIndex, /) -> int:
    """Set the pixel format of the pictures: 1 NV12, 2 NV21. Returns ret. Wraps aclvencSetChannelDescPicFormat."""

def venc_set_channel_desc_pic_height(channel_desc: int, pic_height: SupportsIndex, /) -> int:
    """Set the height of the pictures in pixels, even. Returns ret. Wraps aclvencSetChannelDescPicHeight."""

def venc_set_channel_desc_pic_width(channel_desc: int, pic_width: SupportsIndex, /) -> int:
    """Set the width of the pictures in pixels, even. Returns ret. Wraps aclvencSetChannelDescPicWidth."""

def venc_set_channel_desc_rc_mode(channel_desc: int, rc_mode: SupportsIndex, /) -> int:
    """Set the rate control: 0 the chip's default, 1 VBR, 2 CBR. Returns ret. Wraps aclvencSetChannelDescRcMode."""

def venc_set_channel_desc_src_rate(channel_desc: int, src_rate: SupportsIndex, /) -> int:
    """Set the frames per second, 1 to 240 (310: 120); 0 means 30. Returns ret. Wraps
    aclvencSetChannelDescSrcRate.
    """

def venc_set_channel_desc_thread_id(channel_desc: int, thread_id: int, /) -> int:
    """Set the thread whose process_report delivers: of start_thread, or a Thread's ident. Returns ret. Wraps
    aclvencSetChannelDescThreadId.
    """

def venc_set_frame_config_eos(config: int, eos: SupportsIndex, /) -> int:
    """Mark the end of the stream: anything but 0. Returns ret. Wraps aclvencSetFrameConfigEos."""

def venc_set_frame_config_force_i_frame(config: int, force_i_frame: SupportsIndex, /) -> int:
    """Ask for a key frame: anything but 0; the interval starts anew. Returns ret. Wraps
    aclvencSetFrameConfigForceIFrame.
    """
