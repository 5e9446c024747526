# SPDX-License-Identifier: Apache-2.0
"""What users do wrong, and what the program says to it: run as a program, it prints the texts as a list in JSON.

A process of its own, since some are said once in a process, and the interface that is used first is the only one.
"""

import json
import os
import threading
import warnings

import numpy as np

import ascend_venc as venc
from ascend_venc import acl
from helpers import pyacl

NV12 = bytes(320 * 240 * 3 // 2)


def encode(frame, size=(320, 240), **settings):
    with venc.Encoder(*size, codec="h264", **{"backend": "sim", "interface": "v1", **settings}) as encoder:
        encoder.encode(frame)
        encoder.flush()


def write(picture):
    venc.write("film.mp4", [picture], backend="sim", interface="v1")


def leave_the_last_frames():
    with venc.Encoder(320, 240, codec="h264", backend="sim", interface="v1") as encoder:
        encoder.submit_many([NV12, NV12])


def receive_nothing():
    with venc.Encoder(320, 240, codec="h264", backend="sim", interface="v1") as encoder:
        encoder.receive(timeout=0.01)


def name_a_library_that_is_not_there():
    os.environ["ASCEND_VENC_LIBRARY"] = "/nothing/libascendcl.so"
    try:
        encode(NV12, backend="auto")
    finally:
        del os.environ["ASCEND_VENC_LIBRARY"]


def create_channel(**attributes):
    pyacl.ok(acl.rt.set_device(0))
    description = acl.media.venc_create_channel_desc()
    acl.media.venc_set_channel_desc_thread_id(description, threading.get_ident())
    acl.media.venc_set_channel_desc_callback(description, print)
    settings = {"entype": 1, "pic_format": 1, "pic_width": 320, "pic_height": 240, **attributes}
    for name, value in settings.items():
        pyacl.ok(getattr(acl.media, f"venc_set_channel_desc_{name}")(description, value))
    assert acl.media.venc_create_channel(description) == pyacl.AICPU_EXCEPTION
    text = acl.get_recent_err_msg()
    pyacl.ok(acl.media.venc_destroy_channel_desc(description))
    pyacl.ok(acl.rt.reset_device(0))
    return text


def allocate_without_a_context():
    texts = []

    def allocate():
        assert acl.rt.malloc(100, 0) == (0, pyacl.CONTEXT_NULL)
        texts.append(acl.get_recent_err_msg())

    thread = threading.Thread(target=allocate)
    thread.start()
    thread.join()
    return texts[0]


def process_reports_before_a_channel():
    assert acl.rt.process_report(60000) == pyacl.THREAD_SUBSCRIBE  # at once: it would not come in the test's time else


PROGRAMS = (
    lambda: encode(np.zeros((240, 320, 3), np.uint8)),
    lambda: encode(np.zeros((360, 320), np.float32)),
    lambda: encode(np.zeros((360, 640), np.uint8)[:, ::2]),
    lambda: encode(bytes(640 * 480 * 3 // 2), (640, 480), bitrate=4000),
    lambda: encode(NV12, bitrate="2000M"),
    lambda: encode(NV12, gop=0),
    lambda: encode(NV12, (321, 240)),
    lambda: encode(NV12, (64, 64)),
    lambda: encode(NV12, rc="avbr"),
    lambda: encode(NV12, interface="v2"),
    lambda: encode(NV12, backend="auto"),
    name_a_library_that_is_not_there,
    lambda: write(np.zeros((240, 320), np.uint8)),
    lambda: write(np.zeros((240, 320, 3))),
    lambda: write(np.zeros((241, 321, 3), np.uint8)),
    leave_the_last_frames,
    receive_nothing,
    process_reports_before_a_channel,
    allocate_without_a_context,
    create_channel,
    lambda: create_channel(key_frame_interval=30, max_bit_rate=4000000),
    lambda: acl.rt.memcpy(b"", 1, 2, 3, 4),
    lambda: acl.media.venc_send_frame(0, 0, 0, 0, None),
)


def main():
    texts = []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for program in PROGRAMS:
            try:
                texts.append(program() or "")
            except (venc.VencError, TypeError, RuntimeError) as error:
                texts.append(str(error))
    print(json.dumps([*texts, *(str(warning.message) for warning in warned)]))


if __name__ == "__main__":
    main()
