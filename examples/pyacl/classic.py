# SPDX-License-Identifier: Apache-2.0
"""Encode one picture sixteen times to H.265, with the steps of the vendor's sample. Usage: classic.py OUTPUT"""

import sys

import acl

WIDTH, HEIGHT = 640, 360
FRAMES = 16
H265_MAIN = 0
NV12 = 1
DEVICE_TO_HOST, HOST_TO_DEVICE = 2, 1


def check(what, code):
    if code != 0:
        sys.exit(f"{what} returned {code}: {acl.get_recent_err_msg()}")


def picture():
    """An NV12 picture: a grey ramp with a blue tint."""
    luma = b"".join(bytes(16 + (x + y) % 220 for x in range(WIDTH)) for y in range(HEIGHT))
    return luma + bytes((160, 110)) * (WIDTH * HEIGHT // 4)


def report_loop(args):
    context, running = args
    check("set_context", acl.rt.set_context(context))
    while running:
        acl.rt.process_report(100)


def main():
    output = open(sys.argv[1], "wb")  # noqa: SIM115 - closed at the end
    written = []

    def on_frame(input_desc, stream_desc, user_data):
        code = acl.media.dvpp_get_stream_desc_ret_code(stream_desc)
        if code != 0:
            print(f"frame {user_data}: code {code}", file=sys.stderr)
            return
        size = acl.media.dvpp_get_stream_desc_size(stream_desc)
        data = bytes(size)
        source = acl.media.dvpp_get_stream_desc_data(stream_desc)
        check("memcpy", acl.rt.memcpy(acl.util.bytes_to_ptr(data), size, source, size, DEVICE_TO_HOST))
        output.write(data)
        written.append(size)

    check("init", acl.init())
    check("set_device", acl.rt.set_device(0))
    context, code = acl.rt.create_context(0)
    check("create_context", code)
    running = [True]
    thread, code = acl.util.start_thread(report_loop, [context, running])
    check("start_thread", code)

    media = acl.media
    channel = media.venc_create_channel_desc()
    check("thread_id", media.venc_set_channel_desc_thread_id(channel, thread))
    check("callback", media.venc_set_channel_desc_callback(channel, on_frame))
    check("entype", media.venc_set_channel_desc_entype(channel, H265_MAIN))
    check("pic_format", media.venc_set_channel_desc_pic_format(channel, NV12))
    check("pic_width", media.venc_set_channel_desc_pic_width(channel, WIDTH))
    check("pic_height", media.venc_set_channel_desc_pic_height(channel, HEIGHT))
    check("key_frame_interval", media.venc_set_channel_desc_key_frame_interval(channel, 16))
    check("create_channel", media.venc_create_channel(channel))

    pixels = picture()
    memory, code = media.dvpp_malloc(len(pixels))
    check("dvpp_malloc", code)
    host = acl.util.bytes_to_ptr(pixels)
    check("memcpy", acl.rt.memcpy(memory, len(pixels), host, len(pixels), HOST_TO_DEVICE))
    desc = media.dvpp_create_pic_desc()
    check("data", media.dvpp_set_pic_desc_data(desc, memory))
    check("size", media.dvpp_set_pic_desc_size(desc, len(pixels)))
    config = media.venc_create_frame_config()

    for number in range(FRAMES):
        check("send_frame", media.venc_send_frame(channel, desc, 0, config, number))
    check("set eos", media.venc_set_frame_config_eos(config, 1))
    check("send eos", media.venc_send_frame(channel, 0, 0, config, None))  # returns when every callback has

    check("destroy_channel", media.venc_destroy_channel(channel))
    check("destroy_channel_desc", media.venc_destroy_channel_desc(channel))
    running.clear()
    check("stop_thread", acl.util.stop_thread(thread))
    check("destroy_frame_config", media.venc_destroy_frame_config(config))
    check("destroy_pic_desc", media.dvpp_destroy_pic_desc(desc))
    check("dvpp_free", media.dvpp_free(memory))
    check("destroy_context", acl.rt.destroy_context(context))
    check("reset_device", acl.rt.reset_device(0))
    check("finalize", acl.finalize())
    output.close()
    print(f"{len(written)} frames, {sum(written)} bytes of H.265")


if __name__ == "__main__":
    main()
