# SPDX-License-Identifier: Apache-2.0
"""Encode four sizes at once to H.264, one channel each, all on one report thread. Usage: channels.py FOLDER"""

import os
import sys
import time

import acl

SIZES = ((320, 240), (640, 360), (640, 480), (1280, 720))
FRAMES = 25
H264_HIGH = 3
NV12 = 1
VBR = 1


def check(what, code):
    if code != 0:
        sys.exit(f"{what} returned {code}: {acl.get_recent_err_msg()}")


class Recording:
    """One channel, its pictures and its file. Every frame has memory of its own, freed by its callback."""

    def __init__(self, folder, size, thread):
        self.width, self.height = size
        self.name = os.path.join(folder, f"{self.width}x{self.height}.h264")
        self.file = open(self.name, "wb")  # noqa: SIM115 - closed by finish
        self.order = []
        media = acl.media
        self.config = media.venc_create_frame_config()
        self.channel = media.venc_create_channel_desc()
        for name, value in {
            "thread_id": thread,
            "callback": self.on_frame,
            "entype": H264_HIGH,
            "pic_format": NV12,
            "pic_width": self.width,
            "pic_height": self.height,
            "key_frame_interval": 25,
            "rc_mode": VBR,
            "src_rate": 25,
            "max_bit_rate": self.width * self.height // 500,  # kbit/s
        }.items():
            check(name, getattr(media, f"venc_set_channel_desc_{name}")(self.channel, value))
        check("create_channel", media.venc_create_channel(self.channel))

    def send(self, number):
        """Send a picture whose brightness tells its number."""
        media = acl.media
        row = bytes(16 + (x + 5 * number) % 200 for x in range(self.width))
        pixels = row * self.height + b"\x80" * (self.width * self.height // 2)
        memory, code = media.dvpp_malloc(len(pixels))
        check("dvpp_malloc", code)
        check("memcpy", acl.rt.memcpy(memory, len(pixels), acl.util.bytes_to_ptr(pixels), len(pixels), 1))
        desc = media.dvpp_create_pic_desc()
        check("data", media.dvpp_set_pic_desc_data(desc, memory))
        check("size", media.dvpp_set_pic_desc_size(desc, len(pixels)))
        check("width", media.dvpp_set_pic_desc_width(desc, self.width))
        check("height", media.dvpp_set_pic_desc_height(desc, self.height))
        check("width_stride", media.dvpp_set_pic_desc_width_stride(desc, self.width))
        check("height_stride", media.dvpp_set_pic_desc_height_stride(desc, self.height))
        check(
            "send_frame",
            media.venc_send_frame(self.channel, desc, 0, self.config, {"number": number, "memory": memory}),
        )

    def on_frame(self, input_desc, stream_desc, frame):
        media = acl.media
        if media.dvpp_get_stream_desc_ret_code(stream_desc) == 0:
            size = media.dvpp_get_stream_desc_size(stream_desc)
            host, code = acl.rt.malloc_host(size)
            check("malloc_host", code)
            check("memcpy", acl.rt.memcpy(host, size, media.dvpp_get_stream_desc_data(stream_desc), size, 2))
            self.file.write(acl.util.ptr_to_bytes(host, size))
            check("free_host", acl.rt.free_host(host))
            self.order.append(frame["number"])
        # The device has read the picture.
        check("dvpp_free", media.dvpp_free(frame["memory"]))
        check("destroy_pic_desc", media.dvpp_destroy_pic_desc(input_desc))

    def finish(self):
        media = acl.media
        check("set eos", media.venc_set_frame_config_eos(self.config, 1))
        check("send eos", media.venc_send_frame(self.channel, 0, 0, self.config, None))
        check("destroy_channel", media.venc_destroy_channel(self.channel))
        check("destroy_channel_desc", media.venc_destroy_channel_desc(self.channel))
        check("destroy_frame_config", media.venc_destroy_frame_config(self.config))
        self.file.close()
        print(f"{self.name}: {len(self.order)} frames, in order: {self.order == sorted(self.order)}")


class ReportThread:
    def __init__(self, context):
        self.running = True
        self.id, code = acl.util.start_thread(self.run, context)
        check("start_thread", code)

    def run(self, context):
        check("set_context", acl.rt.set_context(context))
        while self.running:
            if acl.rt.process_report(300) == 107012:  # no channel yet
                time.sleep(0.005)

    def stop(self):
        self.running = False
        check("stop_thread", acl.util.stop_thread(self.id))


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    check("init", acl.init())
    check("set_device", acl.rt.set_device(0))
    context, code = acl.rt.get_context()
    check("get_context", code)
    reports = ReportThread(context)
    recordings = [Recording(folder, size, reports.id) for size in SIZES]
    for number in range(FRAMES):
        for recording in recordings:
            recording.send(number)
    for recording in recordings:
        recording.finish()
    reports.stop()
    check("reset_device", acl.rt.reset_device(0))
    check("finalize", acl.finalize())


if __name__ == "__main__":
    main()
