# SPDX-License-Identifier: Apache-2.0
"""A program for pyACL, after the vendor's documented flow: the same Python for pyACL itself, for the stand-in of its
shape, and for our facade."""

import queue
import threading
import time
import zlib

import numpy as np
from measure import Work

HOST_TO_DEVICE, DEVICE_TO_HOST = 1, 2
H265_MAIN, NV12 = 0, 1
REPEAT_INITIALIZE = 100002
THREAD_SUBSCRIBE = 107012
REPORT_MS = 100


def _ok(result):
    code = result[-1] if isinstance(result, tuple) else result
    if code != 0:
        raise RuntimeError(f"status {code}")
    return result[0] if isinstance(result, tuple) else None


class _Channel:
    def __init__(self):
        self.desc = 0
        self.sent = 0
        self.received = 0
        self.bytes = 0
        self.checksum = 1
        self.pictures = []
        self.memory = []
        self.frames = []
        self.free = queue.SimpleQueue()  # numbers of buffers that no frame in flight uses


class PyaclProgram:
    """acl: the module. threaded: reports are processed on a thread of acl.util.start_thread, else by the caller.

    to_ptr: "numpy_to_ptr", as documented, or a cheaper one. per_frame: create and free picture descriptor and device
    memory for each frame, as the documented sample does. on_packet(array): called with each access unit, copied out.
    """

    def __init__(self, workload, acl, threaded=False, to_ptr="numpy_to_ptr", per_frame=False, on_packet=None):
        self.acl = acl
        self.rt, self.media = acl.rt, acl.media
        self.to_ptr = getattr(acl.util, to_ptr)
        self.workload = workload
        self.per_frame = per_frame
        self.on_packet = on_packet
        self.threaded = threaded
        self.size = workload.picture_bytes
        if acl.init() not in (0, REPEAT_INITIALIZE):
            raise RuntimeError("acl.init")
        self.context = _ok(self.rt.create_context(0))
        self.running = True
        if threaded:
            self.thread = _ok(acl.util.start_thread(self._report, [self.context]))
            self.report_thread = self.thread
        else:
            self.report_thread = threading.get_ident()
        self.config = self.media.venc_create_frame_config()
        self.channels = [self._open_channel() for _ in range(workload.channels)]

    def _report(self, args):
        _ok(self.rt.set_context(args[0]))
        process = self.rt.process_report
        while self.running:
            if process(REPORT_MS) == THREAD_SUBSCRIBE:
                time.sleep(0.001)

    def _open_channel(self):
        media, workload = self.media, self.workload
        channel = _Channel()
        channel.desc = media.venc_create_channel_desc()
        _ok(media.venc_set_channel_desc_thread_id(channel.desc, self.report_thread))
        _ok(media.venc_set_channel_desc_callback(channel.desc, self._callback))
        _ok(media.venc_set_channel_desc_entype(channel.desc, H265_MAIN))
        _ok(media.venc_set_channel_desc_pic_format(channel.desc, NV12))
        _ok(media.venc_set_channel_desc_pic_width(channel.desc, workload.width))
        _ok(media.venc_set_channel_desc_pic_height(channel.desc, workload.height))
        _ok(media.venc_set_channel_desc_key_frame_interval(channel.desc, 65536))
        _ok(media.venc_create_channel(channel.desc))
        channel.frames = [np.full(self.size, 0x5A, np.uint8) for _ in range(workload.buffers)]
        if not self.per_frame:
            for _ in range(workload.buffers):
                picture, memory = self._make_picture()
                channel.pictures.append(picture)
                channel.memory.append(memory)
        return channel

    def _make_picture(self):
        media, workload = self.media, self.workload
        memory, code = media.dvpp_malloc(self.size)
        if code != 0:
            raise RuntimeError(f"dvpp_malloc: {code}")
        picture = media.dvpp_create_pic_desc()
        media.dvpp_set_pic_desc_data(picture, memory)
        media.dvpp_set_pic_desc_size(picture, self.size)
        media.dvpp_set_pic_desc_width(picture, workload.width)
        media.dvpp_set_pic_desc_height(picture, workload.height)
        media.dvpp_set_pic_desc_width_stride(picture, workload.width)
        return picture, memory

    def _callback(self, input_picture, output, user_data):
        channel, number, memory = user_data
        media = self.media
        if media.dvpp_get_stream_desc_ret_code(output) != 0:
            raise RuntimeError("frame failed")
        size = media.dvpp_get_stream_desc_size(output)
        data = media.dvpp_get_stream_desc_data(output)
        array = np.empty(size, np.uint8) if not self.per_frame else np.zeros(size, np.uint8)
        self.rt.memcpy(self.to_ptr(array), size, data, size, DEVICE_TO_HOST)
        if self.per_frame:
            media.dvpp_free(memory)
            media.dvpp_destroy_pic_desc(input_picture)
        if number != channel.received:
            raise RuntimeError(f"frame {number} came as number {channel.received}")
        channel.bytes += size
        if self.workload.checksums:
            channel.checksum = zlib.adler32(array, channel.checksum)
        if self.on_packet is not None:
            self.on_packet(array)
        channel.received += 1  # last: whoever waits for it looks at the rest then
        if self.threaded:
            channel.free.put(number)

    def send(self, channel):
        """One frame: the copy to the device, and the send."""
        media, number = self.media, channel.sent
        index = number % self.workload.buffers
        if self.per_frame:
            picture, memory = self._make_picture()
        else:
            picture, memory = channel.pictures[index], channel.memory[index]
        self.rt.memcpy(memory, self.size, self.to_ptr(channel.frames[index]), self.size, HOST_TO_DEVICE)
        code = media.venc_send_frame(channel.desc, picture, 0, self.config, (channel, number, memory))
        if code != 0:
            raise RuntimeError(f"venc_send_frame: {code}")
        channel.sent = number + 1

    def bind(self):
        """Make the context current on the calling thread."""
        _ok(self.rt.set_context(self.context))

    def run(self, frames):
        channel, workload = self.channels[0], self.workload
        self.bind()
        start, bytes_before = channel.received, channel.bytes
        while not channel.free.empty():
            channel.free.get()
        end = channel.sent + frames
        process = self.rt.process_report
        while channel.sent < end:
            for _ in range(min(workload.batch, end - channel.sent)):
                if self.threaded and channel.sent - start >= workload.buffers:
                    channel.free.get()
                self.send(channel)
            if not self.threaded:
                while channel.received < channel.sent:
                    process(REPORT_MS)
        while channel.received < end:
            time.sleep(0.0002)
        return Work(
            channel.received - start, channel.bytes - bytes_before, channel.checksum if workload.checksums else None
        )

    def queue(self, frames):
        self.bind()
        for channel in self.channels:
            for _ in range(frames):
                self.send(channel)

    def sender(self):
        """A call that sends one frame on each channel."""
        self.bind()

        def send_all():
            for channel in self.channels:
                self.send(channel)

        return send_all

    def total(self):
        return Work(sum(c.received for c in self.channels), sum(c.bytes for c in self.channels))

    def close(self):
        media = self.media
        self.bind()
        for channel in self.channels:
            _ok(media.venc_destroy_channel(channel.desc))
            _ok(media.venc_destroy_channel_desc(channel.desc))
            for picture, memory in zip(channel.pictures, channel.memory):
                _ok(media.dvpp_destroy_pic_desc(picture))
                _ok(media.dvpp_free(memory))
        self.running = False
        if self.threaded:
            _ok(self.acl.util.stop_thread(self.thread))
        _ok(media.venc_destroy_frame_config(self.config))
        _ok(self.rt.destroy_context(self.context))
