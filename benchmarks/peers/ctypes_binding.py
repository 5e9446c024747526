# SPDX-License-Identifier: Apache-2.0
"""A fair ctypes binding: argument types set once, buffers reused, one Python callback for each frame."""

import ctypes
import queue
import threading
import time
import zlib

import native
from measure import Work

HOST_TO_DEVICE, DEVICE_TO_HOST = 1, 2
H265_MAIN, NV12 = 0, 1
REPORT_MS = 100
THREAD_SUBSCRIBE = 107012

P, U32, U64, I32, SIZE = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64, ctypes.c_int32, ctypes.c_size_t
OUT = ctypes.POINTER(ctypes.c_void_p)
FUNCTIONS = {
    "aclInit": (I32, [ctypes.c_char_p]),
    "aclrtCreateContext": (I32, [OUT, I32]),
    "aclrtDestroyContext": (I32, [P]),
    "aclrtSetCurrentContext": (I32, [P]),
    "aclrtMemcpy": (I32, [P, SIZE, P, SIZE, I32]),
    "aclrtProcessReport": (I32, [I32]),
    "acldvppMalloc": (I32, [OUT, SIZE]),
    "acldvppFree": (I32, [P]),
    "acldvppCreatePicDesc": (P, []),
    "acldvppDestroyPicDesc": (I32, [P]),
    "acldvppSetPicDescData": (I32, [P, P]),
    "acldvppSetPicDescSize": (I32, [P, U32]),
    "acldvppSetPicDescWidth": (I32, [P, U32]),
    "acldvppSetPicDescWidthStride": (I32, [P, U32]),
    "acldvppGetPicDescWidth": (U32, [P]),
    "acldvppGetStreamDescData": (P, [P]),
    "acldvppGetStreamDescSize": (U32, [P]),
    "acldvppGetStreamDescRetCode": (U32, [P]),
    "aclvencCreateChannelDesc": (P, []),
    "aclvencDestroyChannelDesc": (I32, [P]),
    "aclvencSetChannelDescThreadId": (I32, [P, U64]),
    "aclvencSetChannelDescCallback": (I32, [P, P]),
    "aclvencSetChannelDescEnType": (I32, [P, I32]),
    "aclvencSetChannelDescPicFormat": (I32, [P, I32]),
    "aclvencSetChannelDescPicWidth": (I32, [P, U32]),
    "aclvencSetChannelDescPicHeight": (I32, [P, U32]),
    "aclvencSetChannelDescKeyFrameInterval": (I32, [P, U32]),
    "aclvencCreateChannel": (I32, [P]),
    "aclvencDestroyChannel": (I32, [P]),
    "aclvencCreateFrameConfig": (P, []),
    "aclvencDestroyFrameConfig": (I32, [P]),
    "aclvencSendFrame": (I32, [P, P, P, P, P]),
}


def bind(library, loader):
    """The functions by name, through ctypes.CDLL (releases the GIL at each call) or ctypes.PyDLL (never does)."""
    lib = loader(library)
    for name, (result, arguments) in FUNCTIONS.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


class Ctypes:
    """With `holds_gil`, everything but waiting goes through ctypes.PyDLL. One channel."""

    def __init__(self, workload, threaded=False, holds_gil=False):
        self.workload = workload
        self.size = workload.picture_bytes
        path = workload.device or native.device_library()
        self.lib = lib = bind(path, ctypes.PyDLL if holds_gil else ctypes.CDLL)
        # A wait that holds the GIL could never end, were reports processed by another thread.
        self.process = bind(path, ctypes.CDLL).aclrtProcessReport if threaded else lib.aclrtProcessReport
        lib.aclInit(None)
        context = ctypes.c_void_p()
        self._ok(lib.aclrtCreateContext(ctypes.byref(context), 0))
        self.context = context.value
        self.threaded = threaded
        self.running = True
        self.thread = threading.Thread(target=self._report) if threaded else None
        if self.thread is not None:
            self.thread.start()
        shape = ctypes.CFUNCTYPE(None, P, P, P)
        self.callback = shape(self._callback)  # kept: the device calls it
        self.sent = self.received = self.bytes = 0
        self.checksum = 1
        self.free = queue.SimpleQueue()  # a token for each frame that came back
        self.desc = lib.aclvencCreateChannelDesc()
        ident = self.thread.ident if self.thread is not None else threading.get_ident()
        self._ok(lib.aclvencSetChannelDescThreadId(self.desc, ident))
        self._ok(lib.aclvencSetChannelDescCallback(self.desc, ctypes.cast(self.callback, P)))
        self._ok(lib.aclvencSetChannelDescEnType(self.desc, H265_MAIN))
        self._ok(lib.aclvencSetChannelDescPicFormat(self.desc, NV12))
        self._ok(lib.aclvencSetChannelDescPicWidth(self.desc, workload.width))
        self._ok(lib.aclvencSetChannelDescPicHeight(self.desc, workload.height))
        self._ok(lib.aclvencSetChannelDescKeyFrameInterval(self.desc, 65536))
        self._ok(lib.aclvencCreateChannel(self.desc))
        self.config = lib.aclvencCreateFrameConfig()
        self.frames = [ctypes.create_string_buffer(b"\x5a" * self.size, self.size) for _ in range(workload.buffers)]
        self.sources = [ctypes.addressof(frame) for frame in self.frames]
        self.output = ctypes.create_string_buffer(8 << 20)
        self.target = ctypes.addressof(self.output)
        self.pictures, self.memory = [], []
        for _ in range(workload.buffers):
            memory = ctypes.c_void_p()
            self._ok(lib.acldvppMalloc(ctypes.byref(memory), self.size))
            picture = lib.acldvppCreatePicDesc()
            self._ok(lib.acldvppSetPicDescData(picture, memory))
            self._ok(lib.acldvppSetPicDescSize(picture, self.size))
            self._ok(lib.acldvppSetPicDescWidthStride(picture, workload.width))
            self.pictures.append(picture)
            self.memory.append(memory.value)

    @staticmethod
    def _ok(code):
        if code != 0:
            raise RuntimeError(f"status {code}")

    def _report(self):
        self._ok(self.lib.aclrtSetCurrentContext(self.context))
        while self.running:
            if self.process(REPORT_MS) == THREAD_SUBSCRIBE:
                time.sleep(0.001)

    def _callback(self, picture, output, number):
        lib = self.lib
        if lib.acldvppGetStreamDescRetCode(output) != 0 or (number or 0) != self.received:
            raise RuntimeError("frame failed or out of order")
        size = lib.acldvppGetStreamDescSize(output)
        lib.aclrtMemcpy(self.target, 8 << 20, lib.acldvppGetStreamDescData(output), size, DEVICE_TO_HOST)
        self.bytes += size
        if self.workload.checksums:
            self.checksum = zlib.adler32(ctypes.string_at(self.target, size), self.checksum)
        self.received += 1  # last: whoever waits for it looks at the rest then
        if self.threaded:
            self.free.put(number)

    def run(self, frames):
        lib, workload, size = self.lib, self.workload, self.size
        start, bytes_before, end = self.received, self.bytes, self.sent + frames
        while not self.free.empty():
            self.free.get()
        while self.sent < end:
            for _ in range(min(workload.batch, end - self.sent)):
                if self.threaded and self.sent - start >= workload.buffers:
                    self.free.get()
                index = self.sent % workload.buffers
                self._ok(lib.aclrtMemcpy(self.memory[index], size, self.sources[index], size, HOST_TO_DEVICE))
                self._ok(lib.aclvencSendFrame(self.desc, self.pictures[index], None, self.config, self.sent))
                self.sent += 1
            if not self.threaded:
                while self.received < self.sent:
                    self.process(REPORT_MS)
        while self.received < end:
            time.sleep(0.0002)
        return Work(self.received - start, self.bytes - bytes_before, self.checksum if workload.checksums else None)

    def close(self):
        lib = self.lib
        releasing = bind(self.workload.device or native.device_library(), ctypes.CDLL)
        self._ok(releasing.aclvencDestroyChannel(self.desc))
        self._ok(lib.aclvencDestroyChannelDesc(self.desc))
        for picture, memory in zip(self.pictures, self.memory):
            self._ok(lib.acldvppDestroyPicDesc(picture))
            self._ok(lib.acldvppFree(memory))
        self.running = False
        if self.thread is not None:
            self.thread.join()
        self._ok(lib.aclvencDestroyFrameConfig(self.config))
        self._ok(lib.aclrtDestroyContext(self.context))
