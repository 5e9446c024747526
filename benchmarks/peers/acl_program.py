# SPDX-License-Identifier: Apache-2.0
"""A program for pyACL, after the vendor's documented flow: the same Python for pyACL itself, for the stand-in of its
shape and for our facade; and the same calls through ctypes."""

import ctypes
import functools
import os
import queue
import sys
import threading
import time
from collections import deque
from types import SimpleNamespace

import native
import numpy as np
from harness import Work

import ascend_venc
from ascend_venc.cli.streams import Paced, send_paced
from helpers.acl_program import DEVICE_TO_HOST, H265_MAIN, HOST_TO_DEVICE, NV12, new
from helpers.simulator import VENC_CALLBACK, AscendCL

REPEAT_INITIALIZE = 100002
THREAD_SUBSCRIBE = 107012
REPORT_MS = 100
CHANNEL = {"entype": H265_MAIN, "pic_format": NV12, "key_frame_interval": 65536}


def vendors_module():
    """The vendor's module, or None."""
    try:
        import acl
    except ImportError:
        return None
    # Ours under the vendor's name is not the vendor's.
    ours = os.path.join(os.path.dirname(os.path.realpath(ascend_venc.__file__)), "")
    return None if os.path.realpath(getattr(acl, "__file__", None) or "").startswith(ours) else acl


def load(module, device):
    """A module by name. The stand-in and pyACL know no path: they are linked with their device library."""
    if module == "stand-in":
        return native.pyacl_shape()
    if module == "ctypes":
        return _ctypes(device)
    if module == "facade":
        os.environ["ASCEND_VENC_BACKEND"] = device
        from ascend_venc import acl

        return acl
    found = vendors_module()
    if found is None:
        raise ImportError("no module `acl` of the vendor can be imported here")
    return found


def _ok(result):
    code = result[-1] if isinstance(result, tuple) else result
    if code != 0:
        raise RuntimeError(f"status {code}")
    return result[0] if isinstance(result, tuple) else None


class _Channel:
    def __init__(self, frames):
        self.desc = self.sent = self.received = self.bytes = 0
        self.frames, self.pictures = frames, []  # for each buffer: the host's picture; (descriptor, memory)
        self.free = queue.SimpleQueue()  # a token for each frame that came back
        self.due = deque()  # of the frames in flight that are paced


class AclProgram:
    """module: as `load` knows it. Reports are processed on a thread of acl.util.start_thread, or by the caller where
    the workload is not `threaded`.

    to_ptr: how addresses of the host's memory are had: of bytes, or of NumPy arrays. per_frame: create and free picture
    descriptor and device memory for each frame, as the documented sample does. pictures: different ones of the host, of
    all channels together; None: one for each buffer. on_packet(data): called with each access unit, copied out.
    """

    def __init__(self, workload, module, to_ptr, per_frame=False, pictures=None, on_packet=None):
        self.acl = acl = load(module, workload.device)
        self.rt, self.media, self.to_ptr = acl.rt, acl.media, getattr(acl.util, to_ptr)
        # The buffers of access units: NumPy's, zeroed as the sample does or not; bytes are always zeroed.
        array = functools.partial(np.zeros if per_frame else np.empty, dtype="u1")
        self.new = bytes if to_ptr == "bytes_to_ptr" else array
        self.workload, self.per_frame, self.on_packet = workload, per_frame, on_packet
        self.size, self.threaded = workload.picture_bytes, workload.threaded
        fill = (lambda: b"\x5a" * self.size) if self.new is bytes else (lambda: np.full(self.size, 0x5A, np.uint8))
        self.frames = [fill() for _ in range(pictures or workload.buffers)]
        if acl.init() not in (0, REPEAT_INITIALIZE):
            raise RuntimeError("acl.init")
        self.context = _ok(self.rt.create_context(0))
        self.running = True
        if self.threaded:
            self.report_thread = _ok(acl.util.start_thread(self._report, [self.context]))
        else:
            self.report_thread = threading.get_ident()
        self.config = self.media.venc_create_frame_config()
        self.channels = [self._open_channel(number) for number in range(workload.channels)]

    def _report(self, args):
        _ok(self.rt.set_context(args[0]))
        process = self.rt.process_report
        while self.running:
            if process(REPORT_MS) == THREAD_SUBSCRIBE:
                time.sleep(0.001)

    def _open_channel(self, number):
        media, workload, frames = self.media, self.workload, self.frames
        channel = _Channel([frames[(number + index) % len(frames)] for index in range(workload.buffers)])
        channel.desc = media.venc_create_channel_desc()
        settings = {"thread_id": self.report_thread, "callback": self._callback, **CHANNEL}
        for name, value in {**settings, "pic_width": workload.width, "pic_height": workload.height}.items():
            _ok(getattr(media, f"venc_set_channel_desc_{name}")(channel.desc, value))
        _ok(media.venc_create_channel(channel.desc))
        if not self.per_frame:
            channel.pictures = [self._make_picture() for _ in range(workload.buffers)]
        return channel

    def _make_picture(self):
        media, workload = self.media, self.workload
        memory = _ok(media.dvpp_malloc(self.size))
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
        unit = self.new(size)
        self.rt.memcpy(self.to_ptr(unit), size, data, size, DEVICE_TO_HOST)
        if self.per_frame:
            media.dvpp_free(memory)
            media.dvpp_destroy_pic_desc(input_picture)
        if number != channel.received:
            raise RuntimeError(f"frame {number} came as number {channel.received}")
        channel.bytes += len(unit)
        if self.on_packet is not None:
            self.on_packet(unit)
        channel.received += 1  # last: whoever waits for it looks at the rest then
        if self.threaded:
            channel.free.put(number)

    def send(self, channel):
        """One frame: the copy to the device, and the send."""
        number = channel.sent
        index = number % self.workload.buffers
        picture, memory = self._make_picture() if self.per_frame else channel.pictures[index]
        self.rt.memcpy(memory, self.size, self.to_ptr(channel.frames[index]), self.size, HOST_TO_DEVICE)
        code = self.media.venc_send_frame(channel.desc, picture, 0, self.config, (channel, number, memory))
        if code != 0:
            raise RuntimeError(f"venc_send_frame: {code}")
        channel.sent = number + 1

    def bind(self):
        """Make the context current on the calling thread."""
        _ok(self.rt.set_context(self.context))

    def run(self, frames):
        channel, workload = self.channels[0], self.workload
        self.bind()
        before, start = self.total(), channel.received
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
        return self.total() - before

    def queue(self, frames):
        self.bind()
        for channel in self.channels:
            for _ in range(frames):
                self.send(channel)

    def sender(self):
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
            for picture, memory in channel.pictures:
                _ok(media.dvpp_destroy_pic_desc(picture))
                _ok(media.dvpp_free(memory))
        self.running = False
        if self.threaded:
            _ok(self.acl.util.stop_thread(self.report_thread))
        _ok(media.venc_destroy_frame_config(self.config))
        _ok(self.rt.destroy_context(self.context))


class PacedProgram(AclProgram):
    """The same at a rate: a frame for which its channel has no buffer is lost."""

    def _callback(self, input_picture, output, user_data):
        super()._callback(input_picture, output, user_data)
        if (due := user_data[0].due.popleft()) is not None:
            self.latencies.append(time.monotonic() - due)

    def _send(self, number, due):
        channel = self.channels[number]
        if channel.sent - channel.received >= self.workload.buffers:
            return None  # lost
        channel.due.append(due)
        self.send(channel)
        return number

    def pace(self, **how):
        self.bind()
        cpu, self.latencies = [], []
        how["measuring"] = lambda: cpu.append(time.process_time())
        lost, took = send_paced(functools.partial(functools.partial, self._send), len(self.channels), **how)
        while sum(channel.sent for channel in self.channels) > self.total().frames:
            time.sleep(0.0002)
        return Paced(len(self.latencies), 0, lost, took, time.process_time() - cpu[0], self.latencies)


# ---- ctypes --------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=1)
def _ctypes(device):
    """AscendCL through ctypes with what AclProgram uses of `acl`: argument types set once, numbers as user data."""
    lib, kept, data = AscendCL(device), {}, {}
    numbers = iter(range(1, sys.maxsize))

    def out(function):
        return lambda *arguments: new(function, *arguments)[::-1]

    def set_callback(desc, function):
        kept[desc] = VENC_CALLBACK(lambda picture, output, number: function(picture, output, data.pop(number)))
        return lib.aclvencSetChannelDescCallback(desc, ctypes.cast(kept[desc], ctypes.c_void_p))

    def send(desc, picture, reserve, config, user_data):
        number = next(numbers)
        data[number] = user_data
        return lib.aclvencSendFrame(desc, picture, None, config, number)

    media = {"venc_set_channel_desc_callback": set_callback, "venc_send_frame": send}
    media["dvpp_malloc"] = out(lib.acldvppMalloc)
    for prefix, word in (("aclvenc", "venc"), ("acldvpp", "dvpp")):
        for name in [name for name in vars(lib) if name.startswith(prefix)]:
            parts = "".join(f"_{c.lower()}" if c.isupper() else c for c in name[len(prefix) :])
            media.setdefault((word + parts).replace("en_type", "entype"), getattr(lib, name))
    rt = {"create_context": out(lib.aclrtCreateContext), "destroy_context": lib.aclrtDestroyContext}
    rt.update(set_context=lib.aclrtSetCurrentContext, memcpy=lib.aclrtMemcpy, process_report=lib.aclrtProcessReport)
    as_pointer = ctypes.pythonapi.PyBytes_AsString
    as_pointer.argtypes, as_pointer.restype = [ctypes.py_object], ctypes.c_void_p
    util = {"bytes_to_ptr": as_pointer, "start_thread": native.start_thread, "stop_thread": native.stop_thread}
    spaces = {name: SimpleNamespace(**functions) for name, functions in (("rt", rt), ("media", media), ("util", util))}
    return SimpleNamespace(init=lambda: lib.aclInit(None), **spaces)
