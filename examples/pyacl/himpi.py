# SPDX-License-Identifier: Apache-2.0
"""DVPP V2 (acl.himpi): two channels, one thread that waits in one epoll for both.

ascend-venc run himpi.py h264|h265 FOLDER [FRAMES]
"""

import os
import sys
import threading

import acl
import numpy as np

WIDTH, HEIGHT = 256, 144
CHANNELS = (0, 1)
SLOTS = 4  # pictures of a channel that are under way
ACL_MEMCPY_HOST_TO_DEVICE, ACL_MEMCPY_DEVICE_TO_HOST = 1, 2
HI_PT = {"h264": 96, "h265": 265}
HI_VENC_RC_MODE_CBR = {"h264": 1, "h265": 11}
HI_PIXEL_FORMAT_YUV_SEMIPLANAR_420 = 1
HI_VIDEO_FIELD_FRAME = 4
HI_ID_VENC = 8
HI_DVPP_EPOLL_CTL_ADD, HI_DVPP_EPOLL_CTL_DEL, HI_DVPP_EPOLL_IN = 1, 3, 1
HI_ERR_VENC_NO_BUF = 0xA008800D


def check(name, ret):
    if ret != 0:
        raise RuntimeError(f"{name} returned {ret:#x}: {acl.get_recent_err_msg()}")


def create(chn, codec):
    venc_attr = {
        "type": HI_PT[codec],
        "profile": 0,
        "max_pic_width": WIDTH,
        "max_pic_height": HEIGHT,
        "pic_width": WIDTH,
        "pic_height": HEIGHT,
        "buf_size": 2 * 1024 * 1024,
        "is_by_frame": 1,
    }
    rate = {"gop": 25, "stats_time": 1, "src_frame_rate": 25, "dst_frame_rate": 25, "bit_rate": 1000}
    rc_attr = {"rc_mode": HI_VENC_RC_MODE_CBR[codec], f"{codec}_cbr": rate}
    gop_attr = {"gop_mode": 0, "normal_p": {"ip_qp_delta": 3}}
    attr = {"venc_attr": venc_attr, "rc_attr": rc_attr, "gop_attr": gop_attr}
    check("venc_create_chn", acl.himpi.venc_create_chn(chn, attr))
    check("venc_start_chn", acl.himpi.venc_start_chn(chn, {"recv_pic_num": -1}))


class Receiver(threading.Thread):
    """Gets the streams of all channels; the memory of a picture is free again when its stream is here."""

    def __init__(self, context, epoll, fds, counts, files, free):
        super().__init__()
        self.context, self.epoll, self.fds, self.counts, self.files, self.free = (
            context,
            epoll,
            fds,
            counts,
            files,
            free,
        )

    def run(self):
        check("set_context", acl.rt.set_context(self.context))
        while any(self.counts.values()):
            events, count, ret = acl.himpi.sys_wait_epoll(self.epoll, len(self.fds), 1000)
            check("sys_wait_epoll", ret)
            for event in events[:count]:
                self.get(self.fds[event["data"]])

    def get(self, chn):
        status, ret = acl.himpi.venc_query_status(chn)
        check("venc_query_status", ret)
        if status["cur_packs"] == 0:
            return
        stream, ret = acl.himpi.venc_get_stream(chn, {"pack_cnt": status["cur_packs"]}, 1000)
        check("venc_get_stream", ret)
        for pack in stream["pack"]:
            size = pack["len"] - pack["offset"]
            data = bytes(size)
            source = pack["addr"] + pack["offset"]
            check("memcpy", acl.rt.memcpy(acl.util.bytes_to_ptr(data), size, source, size, ACL_MEMCPY_DEVICE_TO_HOST))
            self.files[chn].write(data)
        check("venc_release_stream", acl.himpi.venc_release_stream(chn, stream))
        self.counts[chn] -= 1
        self.free[chn].release()


def picture(chn, number):
    """NV12; the second channel's are dark."""
    y = np.full((HEIGHT, WIDTH), 60 + 100 * (1 - chn), np.uint8)
    y[:, number * 8 % WIDTH :][:, :8] = 235
    return np.concatenate([y, np.full((HEIGHT // 2, WIDTH), 128, np.uint8)]).tobytes()


def send(chn, address, number):
    v_frame = {
        "width": WIDTH,
        "height": HEIGHT,
        "field": HI_VIDEO_FIELD_FRAME,
        "pixel_format": HI_PIXEL_FORMAT_YUV_SEMIPLANAR_420,
        "video_format": 0,
        "compress_mode": 0,
        "dynamic_range": 0,
        "color_gamut": 1,
        "header_stride": [0, 0, 0],
        "width_stride": [WIDTH, WIDTH, 0],
        "height_stride": [HEIGHT, HEIGHT // 2, 0],
        "header_phys_addr": [0, 0, 0],
        "phys_addr": [0, 0, 0],
        "header_virt_addr": [0, 0, 0],
        "virt_addr": [address, address + WIDTH * HEIGHT, 0],
        "time_ref": 2 * number,
        "pts": 40000 * number,
    }
    frame = {"v_frame": v_frame, "pool_id": 0, "mod_id": HI_ID_VENC}
    ret = acl.himpi.venc_send_frame(chn, frame, 1000)
    while ret == HI_ERR_VENC_NO_BUF:
        ret = acl.himpi.venc_send_frame(chn, frame, 1000)
    check("venc_send_frame", ret)


def main():
    codec, folder = sys.argv[1:3]
    frames = int(sys.argv[3]) if len(sys.argv) > 3 else 50
    check("init", acl.init())
    check("set_device", acl.rt.set_device(0))
    context, ret = acl.rt.get_context()
    check("get_context", ret)
    check("sys_init", acl.himpi.sys_init())
    epoll, ret = acl.himpi.sys_create_epoll(10)
    check("sys_create_epoll", ret)
    fds = {}
    for chn in CHANNELS:
        create(chn, codec)
        fd = acl.himpi.venc_get_fd(chn)
        fds[fd] = chn
        event = {"events": HI_DVPP_EPOLL_IN, "data": fd}
        check("sys_ctl_epoll", acl.himpi.sys_ctl_epoll(epoll, HI_DVPP_EPOLL_CTL_ADD, fd, event))
    size = WIDTH * HEIGHT * 3 // 2
    memory = {}
    for chn in CHANNELS:
        for slot in range(SLOTS):
            memory[chn, slot], ret = acl.himpi.dvpp_malloc(0, size)
            check("dvpp_malloc", ret)
    os.makedirs(folder, exist_ok=True)
    files = {chn: open(os.path.join(folder, f"{chn}.{codec}"), "wb") for chn in CHANNELS}  # noqa: SIM115 - closed below
    free = {chn: threading.Semaphore(SLOTS) for chn in CHANNELS}
    receiver = Receiver(context, epoll, fds, dict.fromkeys(CHANNELS, frames), files, free)
    receiver.start()
    for number in range(frames):
        for chn in CHANNELS:
            free[chn].acquire()
            data = picture(chn, number)
            address = memory[chn, number % SLOTS]
            ret = acl.rt.memcpy(address, size, acl.util.bytes_to_ptr(data), size, ACL_MEMCPY_HOST_TO_DEVICE)
            check("memcpy", ret)
            send(chn, address, number)
    receiver.join()
    for fd, chn in fds.items():
        check("venc_stop_chn", acl.himpi.venc_stop_chn(chn))
        event = {"events": HI_DVPP_EPOLL_IN, "data": fd}
        check("sys_ctl_epoll", acl.himpi.sys_ctl_epoll(epoll, HI_DVPP_EPOLL_CTL_DEL, fd, event))
        check("venc_close_fd", acl.himpi.venc_close_fd(chn))
        check("venc_destroy_chn", acl.himpi.venc_destroy_chn(chn))
        files[chn].close()
    check("sys_close_epoll", acl.himpi.sys_close_epoll(epoll))
    for address in memory.values():
        check("dvpp_free", acl.himpi.dvpp_free(address))
    check("sys_exit", acl.himpi.sys_exit())
    check("reset_device", acl.rt.reset_device(0))
    check("finalize", acl.finalize())
    print(f"{frames} frames in each of {len(CHANNELS)} channels")


main()
