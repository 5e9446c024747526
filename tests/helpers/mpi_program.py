# SPDX-License-Identifier: Apache-2.0
"""A program written against DVPP V2's C functions (hi_mpi_*), for tests of the simulated device."""

import contextlib
import ctypes
from dataclasses import dataclass, field

from helpers import himpi

H264, H265 = 96, 265
CBR, VBR, AVBR, QVBR, CVBR, FIXQP = range(1, 7)
ADD, MOD, DEL = 1, 2, 3
IN, EDGE = 1, 0x80000000
PACKS = 8

ChnAttr = himpi.structure("hi_venc_chn_attr")
ChnParam = himpi.structure("hi_venc_chn_param")
Event = himpi.structure("hi_dvpp_epoll_event")
FrameInfo = himpi.structure("hi_video_frame_info")
ModParam = himpi.structure("hi_venc_mod_param")
Pack = himpi.structure("hi_venc_pack")
RcParam = himpi.structure("hi_venc_rc_param")
StartParam = himpi.structure("hi_venc_start_param")
Status = himpi.structure("hi_venc_chn_status")
Stream = himpi.structure("hi_venc_stream")

_MODES = ("", "cbr", "vbr", "avbr", "qvbr", "cvbr", "fixqp")
_RATES = {"cbr": "bit_rate", "qvbr": "target_bit_rate"}


def attributes(codec=H264, width=128, height=128, *, mode=CBR, gop=30, fps=25, kbit=1000, profile=None, **venc):
    """hi_venc_chn_attr of a channel; further members of venc_attr by name."""
    attr = ChnAttr()
    attr.venc_attr.type = codec
    attr.venc_attr.max_pic_width = attr.venc_attr.pic_width = width
    attr.venc_attr.max_pic_height = attr.venc_attr.pic_height = height
    attr.venc_attr.buf_size = max((width * height * 3 // 2 + 63) // 64 * 64, 1 << 20)
    attr.venc_attr.profile = profile if profile is not None else (2 if codec == H264 else 0)
    attr.venc_attr.is_by_frame = 1
    for name, value in venc.items():
        setattr(attr.venc_attr, name, value)
    set_rate(attr, mode=mode, gop=gop, fps=fps, kbit=kbit)
    return attr


def set_rate(attr, *, mode, gop, fps, kbit, qp=(26, 28)):
    """Fill rc_attr for one of the six modes."""
    codec = "h264" if attr.venc_attr.type == H264 else "h265"
    ctypes.memset(ctypes.byref(attr.rc_attr), 0, ctypes.sizeof(attr.rc_attr))
    attr.rc_attr.rc_mode = mode if codec == "h264" else mode + 10
    rate = getattr(attr.rc_attr, f"{codec}_{_MODES[mode]}")
    rate.gop = gop
    rate.src_frame_rate = rate.dst_frame_rate = fps
    if mode == FIXQP:
        rate.i_qp, rate.p_qp = qp
        return
    rate.stats_time = 1
    setattr(rate, _RATES.get(_MODES[mode], "max_bit_rate"), kbit)
    if mode == CVBR:
        rate.short_term_stats_time, rate.long_term_stats_time = 1, 1
        rate.long_term_max_bit_rate, rate.long_term_min_bit_rate = kbit, kbit // 2


@dataclass
class Got:
    """What one hi_mpi_venc_get_stream gave."""

    seq: int
    pts: int
    input_addr: int
    types: list
    data: bytes
    failed: bool
    end: bool
    mean_qp: int
    changes: int
    parts: list = field(default_factory=list)  # of each pack: its pack_info


class Program:
    """Initialises AscendCL and V2 with a context that stays current on this thread. Everything is torn down."""

    def __init__(self, sim, device=0):
        self.sim = sim
        self.device = device
        self.channels = []
        self._streams = []
        self._cleanup = contextlib.ExitStack()

    def __enter__(self):
        sim = self.sim
        assert sim.aclInit(None) in (0, 100002)
        context = ctypes.c_void_p()
        assert sim.aclrtCreateContext(ctypes.byref(context), self.device) == 0
        self.context = context.value
        self.ok(sim.hi_mpi_sys_init())
        return self

    def __exit__(self, kind, *rest):
        sim = self.sim
        sim.aclrtSetCurrentContext(self.context)
        if kind is None:
            for chn in list(self.channels):
                self.destroy(chn)
        self._cleanup.close()
        if kind is None:
            self.ok(sim.hi_mpi_sys_exit())
            assert sim.aclrtDestroyContext(self.context) == 0
            assert sim.aclFinalize() == 0

    def ok(self, code):
        assert code == 0, (hex(code & 0xFFFFFFFF), self.sim.error_text())

    def bind(self):
        """Make the context current on another thread."""
        assert self.sim.aclrtSetCurrentContext(self.context) == 0

    # ---- channels ------------------------------------------------------------------------------------------------

    def channel(self, codec=H264, width=128, height=128, *, chn=0, start=True, attr=None, **settings):
        """A channel, started, destroyed when the program ends."""
        attr = attributes(codec, width, height, **settings) if attr is None else attr
        self.ok(self.sim.hi_mpi_venc_create_chn(chn, ctypes.byref(attr)))
        self.channels.append(chn)
        if start:
            self.start(chn)
        return chn

    def start(self, chn, count=-1, expect=0):
        code = self.sim.hi_mpi_venc_start_chn(chn, ctypes.byref(StartParam(count)))
        assert code == expect, (hex(code & 0xFFFFFFFF), self.sim.error_text())

    def destroy(self, chn):
        self.ok(self.sim.hi_mpi_venc_stop_chn(chn))
        self.ok(self.sim.hi_mpi_venc_destroy_chn(chn))
        self.channels.remove(chn)

    def one_stream_buf(self, codec=H264, value=1):
        """Let the channels that come give each frame as one pack."""
        param = ModParam(mod_type=2 if codec == H264 else 3)
        param.h264_mod_param.one_stream_buf = value
        return self.sim.hi_mpi_venc_set_mod_param(ctypes.byref(param))

    def attr_of(self, chn):
        attr = ChnAttr()
        self.ok(self.sim.hi_mpi_venc_get_chn_attr(chn, ctypes.byref(attr)))
        return attr

    def change(self, chn, mode=CBR, gop=30, fps=25, kbit=1000, **more):
        """hi_mpi_venc_set_chn_attr with another rate."""
        attr = self.attr_of(chn)
        set_rate(attr, mode=mode, gop=gop, fps=fps, kbit=kbit, **more)
        self.ok(self.sim.hi_mpi_venc_set_chn_attr(chn, ctypes.byref(attr)))

    def rc_param(self, chn):
        param = RcParam()
        self.ok(self.sim.hi_mpi_venc_get_rc_param(chn, ctypes.byref(param)))
        return param

    # ---- pictures ------------------------------------------------------------------------------------------------

    def memory(self, size):
        """Memory of hi_mpi_dvpp_malloc, freed when the program ends."""
        pointer = ctypes.c_void_p()
        self.ok(self.sim.hi_mpi_dvpp_malloc(self.device, ctypes.byref(pointer), size))
        self._cleanup.callback(self.sim.hi_mpi_dvpp_free, pointer.value)
        return pointer.value

    def fill(self, address, data):
        assert self.sim.aclrtMemcpy(address, len(data), bytes(data), len(data), 1) == 0, self.sim.error_text()

    def picture(self, width=128, height=128, data=None, address=None):
        """hi_video_frame_info of an NV12 picture in memory of its own, with a stride of the width up to 16."""
        stride = (width + 15) // 16 * 16
        if address is None:
            size = stride * height * 3 // 2
            address = self.memory(size)
            self.fill(address, (bytes(range(256)) * (size // 256 + 1))[:size] if data is None else data)
        info = FrameInfo()
        frame = info.v_frame
        frame.width, frame.height, frame.field, frame.pixel_format = width, height, 4, 1
        frame.width_stride[0] = frame.width_stride[1] = stride
        frame.virt_addr[0] = address
        frame.virt_addr[1] = address + stride * height
        info.mod_id = 8
        return info

    def send(self, chn, info, number=0, ms=-1, expect=0):
        """Send a picture as the number-th frame."""
        info.v_frame.pts = 1000 * number
        info.v_frame.time_ref = 2 * number
        code = self.sim.hi_mpi_venc_send_frame(chn, ctypes.byref(info), ms)
        assert code == expect, (hex(code & 0xFFFFFFFF), self.sim.error_text())

    # ---- packets -------------------------------------------------------------------------------------------------

    def status(self, chn):
        status = Status()
        self.ok(self.sim.hi_mpi_venc_query_status(chn, ctypes.byref(status)))
        return status

    def get_arguments(self, room=PACKS):
        """What hi_mpi_venc_get_stream takes for its stream, without the time."""
        stream = Stream()
        packs = (Pack * room)()
        stream.packs = packs  # keeps them alive
        stream.pack = ctypes.addressof(packs)
        stream.pack_cnt = room
        self._streams.append(stream)
        return [ctypes.byref(stream)]

    def take(self, chn, ms=5000, room=PACKS, expect=0):
        """hi_mpi_venc_get_stream: the structure, to be released; its packs live as long as it."""
        stream = Stream()
        packs = (Pack * room)()
        stream.packs = packs  # keeps them alive
        stream.pack = ctypes.addressof(packs)
        stream.pack_cnt = room
        code = self.sim.hi_mpi_venc_get_stream(chn, ctypes.byref(stream), ms)
        assert code == expect, (hex(code & 0xFFFFFFFF), self.sim.error_text())
        return stream

    def read(self, stream, codec=H264):
        """Copy what a taken stream holds."""
        packs = stream.packs[: stream.pack_cnt]
        data = b""
        for pack in packs:
            size = pack.len - pack.offset
            if pack.len == 0 or not pack.addr:
                continue
            buffer = ctypes.create_string_buffer(size)
            assert self.sim.aclrtMemcpy(buffer, size, pack.addr + pack.offset, size, 2) == 0, self.sim.error_text()
            data += buffer.raw
        info = stream.h264_info if codec == H264 else stream.h265_info
        return Got(
            seq=stream.seq,
            pts=packs[0].pts,
            input_addr=packs[0].input_addr,
            types=[pack.data_type.h264_type for pack in packs],
            data=data,
            failed=packs[0].len == 0,
            end=bool(packs[-1].is_frame_end),
            mean_qp=info.mean_qp,
            changes=info.update_attr_cnt,
            parts=[
                [
                    (part.pack_type.h264_type, part.pack_offset, part.pack_len)
                    for part in pack.pack_info[: pack.data_num]
                ]
                for pack in packs
            ],
        )

    def release(self, chn, stream, expect=0):
        code = self.sim.hi_mpi_venc_release_stream(chn, ctypes.byref(stream))
        assert code == expect, (hex(code & 0xFFFFFFFF), self.sim.error_text())

    def get(self, chn, codec=H264, ms=5000):
        """Get, copy and release one stream."""
        stream = self.take(chn, ms)
        got = self.read(stream, codec)
        self.release(chn, stream)
        return got

    def encode(self, chn, info, number=0, codec=H264):
        """Send one picture and get its packet."""
        self.send(chn, info, number)
        return self.get(chn, codec)
