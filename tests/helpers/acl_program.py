# SPDX-License-Identifier: Apache-2.0
"""A program written against AscendCL's C functions, for tests of the simulated device."""

import contextlib
import ctypes
import threading
import time
from dataclasses import dataclass

from helpers.simulator import VENC_CALLBACK

H265_MAIN, H264_BASELINE, H264_MAIN, H264_HIGH = range(4)
NV12, NV21 = 1, 2
HOST_TO_HOST, HOST_TO_DEVICE, DEVICE_TO_HOST, DEVICE_TO_DEVICE = range(4)


def in_thread(function):
    """What a function returns on a thread of its own."""
    result = []
    thread = threading.Thread(target=lambda: result.append(function()))
    thread.start()
    thread.join()
    return result[0]


def new(function, *args):
    """Call a function whose first argument is where a handle or address goes; return (code, it)."""
    out = ctypes.c_void_p()
    code = function(ctypes.byref(out), *args)
    return code, out.value


@dataclass
class Delivered:
    """What one callback saw."""

    input: int
    output: int
    user_data: int
    thread: int
    ret_code: int = 0
    size: int = 0
    address: int = 0
    format: int = 0
    timestamp: int = 0
    eos: int = 0
    data: bytes = b""


class Program:
    """Initialises, makes a context current and runs a report thread until the block ends. Everything is torn down."""

    def __init__(self, sim, pump=True, device=0, bind=True, finalize=True):
        self.sim = sim
        self.device = device
        self.bind = bind
        self.finalize = finalize and getattr(sim, "finalizes", True)
        self.context = None
        self.delivered = []
        self.codes = []
        self.on_delivery = None
        self._wants_pump = pump
        self._stop = threading.Event()
        self._thread = None
        self._callback = VENC_CALLBACK(self._collect)
        self._cleanup = contextlib.ExitStack()
        self.channels = []

    def __enter__(self):
        sim = self.sim
        assert sim.aclInit(None) in (0, 100002)
        context = ctypes.c_void_p()
        assert sim.aclrtCreateContext(ctypes.byref(context), self.device) == 0
        self.context = context.value
        if self._wants_pump:
            self.start_pump()
        return self

    def __exit__(self, kind, *rest):
        sim = self.sim
        sim.aclrtSetCurrentContext(self.context)
        if kind is None:
            for desc in list(self.channels):
                assert sim.aclvencDestroyChannel(desc) == 0, sim.error_text()
                self.destroy_desc(desc)
        self.stop_pump()
        self._cleanup.close()
        if kind is None:
            assert sim.aclrtDestroyContext(self.context) == 0
            assert not self.finalize or sim.aclFinalize() == 0

    # ---- report thread -----------------------------------------------------------------------------------------

    def start_pump(self):
        ready = threading.Event()
        self._stop.clear()
        self._thread = threading.Thread(target=self._pump, args=(ready,), name="report")
        self._thread.start()
        ready.wait()

    def stop_pump(self):
        if self._thread is not None:
            self._stop.set()
            self._thread.join()
            self._thread = None

    @property
    def report_thread(self):
        return self._thread.ident if self._thread is not None else threading.get_ident()

    def _pump(self, ready):
        if self.bind:
            assert self.sim.aclrtSetCurrentContext(self.context) == 0
        ready.set()
        while not self._stop.is_set():
            code = self.sim.aclrtProcessReport(20)
            if code not in (0, 507012):
                self.codes.append(code)
                time.sleep(0.001)

    def _collect(self, picture, output, user_data):
        sim = self.sim
        seen = Delivered(picture or 0, output or 0, user_data or 0, threading.get_ident())
        if output:
            seen.ret_code = sim.acldvppGetStreamDescRetCode(output)
            seen.size = sim.acldvppGetStreamDescSize(output)
            seen.address = sim.acldvppGetStreamDescData(output) or 0
            seen.format = sim.acldvppGetStreamDescFormat(output)
            seen.timestamp = sim.acldvppGetStreamDescTimestamp(output)
            seen.eos = sim.acldvppGetStreamDescEos(output)
            if seen.size and seen.ret_code == 0:
                buffer = ctypes.create_string_buffer(seen.size)
                if sim.aclrtMemcpy(buffer, seen.size, seen.address, seen.size, DEVICE_TO_HOST) == 0:
                    seen.data = buffer.raw
        if self.on_delivery is not None:
            self.on_delivery(seen)
        self.delivered.append(seen)

    # ---- channels ------------------------------------------------------------------------------------------------

    def channel_desc(self, width=128, height=128, en_type=H264_MAIN, pic_format=NV12, gop=30, **attributes):
        """A channel descriptor; attributes by the suffix of their setter, e.g. MaxBitRate=500."""
        sim = self.sim
        desc = sim.aclvencCreateChannelDesc()
        assert desc, sim.error_text()
        values = {
            "ThreadId": self.report_thread,
            "Callback": ctypes.cast(self._callback, ctypes.c_void_p),
            "EnType": en_type,
            "PicFormat": pic_format,
            "PicWidth": width,
            "PicHeight": height,
            "KeyFrameInterval": gop,
            **attributes,
        }
        for name, value in values.items():
            if value is not None:
                assert getattr(sim, f"aclvencSetChannelDesc{name}")(desc, value) == 0, (name, sim.error_text())
        return desc

    def channel(self, *args, **kwargs):
        """A channel, destroyed when the program ends."""
        desc = self.channel_desc(*args, **kwargs)
        assert self.sim.aclvencCreateChannel(desc) == 0, self.sim.error_text()
        self.channels.append(desc)
        return desc

    def destroy_desc(self, desc):
        assert self.sim.aclvencDestroyChannelDesc(desc) == 0
        if desc in self.channels:
            self.channels.remove(desc)

    def destroy(self, desc):
        assert self.sim.aclvencDestroyChannel(desc) == 0, self.sim.error_text()
        self.destroy_desc(desc)

    # ---- pictures ------------------------------------------------------------------------------------------------

    def memory(self, size, host=False):
        """Memory of acldvppMalloc (or pinned host memory), freed when the program ends."""
        sim = self.sim
        pointer = ctypes.c_void_p()
        allocate, free = (sim.aclrtMallocHost, sim.aclrtFreeHost) if host else (sim.acldvppMalloc, sim.acldvppFree)
        assert allocate(ctypes.byref(pointer), size) == 0, sim.error_text()
        self._cleanup.callback(free, pointer.value)
        return pointer.value

    def fill(self, address, data):
        assert self.sim.aclrtMemcpy(address, len(data), data, len(data), HOST_TO_DEVICE) == 0, self.sim.error_text()

    def picture(self, width=128, height=128, data=None, size=None, address=None, **fields):
        """A picture descriptor with memory of its own, destroyed when the program ends."""
        sim = self.sim
        size = (width + 15) // 16 * 16 * height * 3 // 2 if size is None else size
        desc = sim.acldvppCreatePicDesc()
        assert desc, sim.error_text()
        self._cleanup.callback(sim.acldvppDestroyPicDesc, desc)
        if address is None:
            address = self.memory(size)
            self.fill(address, data if data is not None else bytes(i * 7 % 251 for i in range(256)) * (size // 256))
        assert sim.acldvppSetPicDescData(desc, address) == 0
        assert sim.acldvppSetPicDescSize(desc, size) == 0
        for name, value in fields.items():
            assert getattr(sim, f"acldvppSetPicDesc{name}")(desc, value) == 0
        return desc

    def config(self, force_i_frame=0, eos=0):
        """A frame config, destroyed when the program ends."""
        sim = self.sim
        config = sim.aclvencCreateFrameConfig()
        assert config, sim.error_text()
        self._cleanup.callback(sim.aclvencDestroyFrameConfig, config)
        assert sim.aclvencSetFrameConfigForceIFrame(config, force_i_frame) == 0
        assert sim.aclvencSetFrameConfigEos(config, eos) == 0
        return config

    def send(self, channel, picture, user_data=0, config=None, expect=0):
        code = self.sim.aclvencSendFrame(channel, picture, None, config or self.config(), user_data)
        assert code == expect, (code, self.sim.error_text())

    def end_of_stream(self, channel, expect=0):
        self.send(channel, None, config=self.config(eos=1), expect=expect)
