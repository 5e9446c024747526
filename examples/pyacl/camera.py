# SPDX-License-Identifier: Apache-2.0
"""A camera's loop: capture, encode, write, with one frame in flight and one buffer. Usage: camera.py OUTPUT"""

import queue
import sys
import threading
import time

import acl

WIDTH, HEIGHT = 640, 480
FRAMES = 50
KEY_FRAMES_ON_DEMAND = {20, 35}  # a viewer joins
H264_BASELINE = 1
NV12 = 1


def check(what, code):
    if code != 0:
        raise RuntimeError(f"{what} returned {code}: {acl.get_recent_err_msg()}")


def capture(number):
    """What the camera sees: a bright bar that wanders."""
    left = number * 10 % (WIDTH - 80)
    row = b"\x30" * left + b"\xd0" * 80 + b"\x30" * (WIDTH - left - 80)
    return row * HEIGHT + b"\x80" * (WIDTH * HEIGHT // 2)


class Camera:
    def __init__(self):
        check("set_device", acl.rt.set_device(0))
        self.context, code = acl.rt.get_context()
        check("get_context", code)
        self.packets = queue.Queue()
        self.running = True
        self.thread = threading.Thread(target=self.report_loop, name="reports")
        self.thread.start()
        media = acl.media
        self.size = WIDTH * HEIGHT * 3 // 2
        self.memory, code = media.dvpp_malloc(self.size)
        check("dvpp_malloc", code)
        self.picture = media.dvpp_create_pic_desc()
        check("data", media.dvpp_set_pic_desc_data(self.picture, self.memory))
        check("size", media.dvpp_set_pic_desc_size(self.picture, self.size))
        self.config = media.venc_create_frame_config()
        self.channel = media.venc_create_channel_desc()
        check("thread_id", media.venc_set_channel_desc_thread_id(self.channel, self.thread.ident or 0))
        check("callback", media.venc_set_channel_desc_callback(self.channel, self.on_frame))
        check("entype", media.venc_set_channel_desc_entype(self.channel, H264_BASELINE))
        check("pic_format", media.venc_set_channel_desc_pic_format(self.channel, NV12))
        check("pic_width", media.venc_set_channel_desc_pic_width(self.channel, WIDTH))
        check("pic_height", media.venc_set_channel_desc_pic_height(self.channel, HEIGHT))
        check("key_frame_interval", media.venc_set_channel_desc_key_frame_interval(self.channel, 65536))
        check("src_rate", media.venc_set_channel_desc_src_rate(self.channel, 25))
        check("max_bit_rate", media.venc_set_channel_desc_max_bit_rate(self.channel, 1000))
        check("create_channel", media.venc_create_channel(self.channel))

    def report_loop(self):
        check("set_context", acl.rt.set_context(self.context))
        while self.running:
            if acl.rt.process_report(200) == 107012:
                time.sleep(0.005)

    def on_frame(self, input_desc, stream_desc, number):
        media = acl.media
        code = media.dvpp_get_stream_desc_ret_code(stream_desc)
        data = b""
        if code == 0:
            data = bytes(media.dvpp_get_stream_desc_size(stream_desc))
            source = media.dvpp_get_stream_desc_data(stream_desc)
            code = acl.rt.memcpy(acl.util.bytes_to_ptr(data), len(data), source, len(data), 2)
        self.packets.put((number, code, data))

    def encode(self, pixels, number, key_frame):
        """Encode one frame; the buffer is free again when this returns."""
        source = acl.util.bytes_to_ptr(pixels)
        check("memcpy", acl.rt.memcpy(self.memory, self.size, source, len(pixels), 1))
        check("force_i_frame", acl.media.venc_set_frame_config_force_i_frame(self.config, key_frame))
        check("send_frame", acl.media.venc_send_frame(self.channel, self.picture, 0, self.config, number))
        got, code, data = self.packets.get(timeout=10)
        check(f"frame {got}", code)
        return data

    def close(self):
        media = acl.media
        check("destroy_channel", media.venc_destroy_channel(self.channel))
        check("destroy_channel_desc", media.venc_destroy_channel_desc(self.channel))
        self.running = False
        self.thread.join()
        check("destroy_frame_config", media.venc_destroy_frame_config(self.config))
        check("destroy_pic_desc", media.dvpp_destroy_pic_desc(self.picture))
        check("dvpp_free", media.dvpp_free(self.memory))
        check("reset_device", acl.rt.reset_device(0))


def main():
    check("init", acl.init())
    camera = Camera()
    begin = time.monotonic()
    with open(sys.argv[1], "wb") as output:
        for number in range(FRAMES):
            output.write(camera.encode(capture(number), number, number in KEY_FRAMES_ON_DEMAND))
    seconds = time.monotonic() - begin
    camera.close()
    check("finalize", acl.finalize())
    print(f"{FRAMES} frames, one at a time, {1000 * seconds / FRAMES:.1f} ms each")


if __name__ == "__main__":
    main()
