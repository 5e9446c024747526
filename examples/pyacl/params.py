# SPDX-License-Identifier: Apache-2.0
"""Set a channel up by parameter numbers only, and read every parameter back. Usage: params.py OUTPUT"""

import sys

import acl

THREAD_ID, CALLBACK, PIXEL_FORMAT, ENCODE_TYPE, PIC_WIDTH, PIC_HEIGHT, KEY_FRAME_INTERVAL = range(7)
BUF_ADDR, BUF_SIZE, RC_MODE, SRC_RATE, MAX_BITRATE, MAX_IP_PROP = range(7, 13)
NAMES = (
    "thread id",
    "callback",
    "pixel format",
    "encode type",
    "width",
    "height",
    "key frame interval",
    "buffer address",
    "buffer size",
    "rate control",
    "source rate",
    "bit rate",
    "I/P proportion",
)

WIDTH, HEIGHT = 1280, 720
H264_MAIN = 2
NV21 = 2
CBR = 2
NOT_SUPPORTED = 200006  # by this chip


def check(what, code):
    if code != 0:
        sys.exit(f"{what} returned {code}: {acl.get_recent_err_msg()}")


def pump(running):
    context, code = acl.rt.create_context(0)
    check("create_context", code)
    while running:
        acl.rt.process_report(100)
    check("destroy_context", acl.rt.destroy_context(context))


def main():
    media = acl.media
    stream = []

    def on_frame(input_desc, stream_desc, number):
        size = media.dvpp_get_stream_desc_size(stream_desc)
        data = bytes(size)
        source = media.dvpp_get_stream_desc_data(stream_desc)
        check("memcpy", acl.rt.memcpy(acl.util.bytes_to_ptr(data), size, source, size, 2))
        stream.append(data)

    check("init", acl.init(""))
    check("set_device", acl.rt.set_device(0))
    running = [True]
    thread, code = acl.util.start_thread(pump, running)
    check("start_thread", code)

    channel = media.venc_create_channel_desc()
    wanted = {
        THREAD_ID: thread,
        CALLBACK: on_frame,
        PIXEL_FORMAT: NV21,
        ENCODE_TYPE: H264_MAIN,
        PIC_WIDTH: WIDTH,
        PIC_HEIGHT: HEIGHT,
        KEY_FRAME_INTERVAL: 10,
        RC_MODE: CBR,
        SRC_RATE: 30,
        MAX_BITRATE: 2000,
    }
    for number, value in wanted.items():
        check(NAMES[number], media.venc_set_channel_desc_param(channel, number, value))
    proportion = media.venc_set_channel_desc_param(channel, MAX_IP_PROP, 70)
    if proportion not in (0, NOT_SUPPORTED):
        check(NAMES[MAX_IP_PROP], proportion)
    for number, name in enumerate(NAMES):
        value, code = media.venc_get_channel_desc_param(channel, number)
        if code != 0:
            value = "not on this chip"
        elif number in wanted:
            value = "as set" if value == wanted[number] else f"{value}, but {wanted[number]} was set"
        print(f"{number:2} {name}: {value}")
    check("create_channel", media.venc_create_channel(channel))

    size = WIDTH * HEIGHT * 3 // 2
    memory, code = media.dvpp_malloc(size)
    check("dvpp_malloc", code)
    check("memset", acl.rt.memset(memory, size, 0x80, size))
    desc = media.dvpp_create_pic_desc()
    check("data", media.dvpp_set_pic_desc_data(desc, memory))
    check("size", media.dvpp_set_pic_desc_size(desc, size))
    config = media.venc_create_frame_config()
    for number in range(30):
        check("send_frame", media.venc_send_frame(channel, desc, 0, config, number))
    check("set eos", media.venc_set_frame_config_eos(config, True))
    check("send eos", media.venc_send_frame(channel, 0, 0, config, None))

    check("destroy_channel", media.venc_destroy_channel(channel))
    check("destroy_channel_desc", media.venc_destroy_channel_desc(channel))
    running.clear()
    check("stop_thread", acl.util.stop_thread(thread))
    check("destroy_frame_config", media.venc_destroy_frame_config(config))
    check("destroy_pic_desc", media.dvpp_destroy_pic_desc(desc))
    check("dvpp_free", media.dvpp_free(memory))
    check("reset_device", acl.rt.reset_device(0))
    check("finalize", acl.finalize())
    with open(sys.argv[1], "wb") as output:
        output.writelines(stream)
    print(f"{len(stream)} frames, {sum(map(len, stream))} bytes of H.264")


if __name__ == "__main__":
    main()
