# SPDX-License-Identifier: Apache-2.0
"""What tests of the facade build on: live handles of every kind, a report thread, and a channel with its pictures."""

import contextlib
import functools
import threading
import time

INVALID_PARAM = 100000
REPEAT_INITIALIZE = 100002
API_NOT_SUPPORT = 200001
CONTEXT_NULL = 107002
THREAD_SUBSCRIBE = 107012
REPORT_TIMEOUT = 507012
AICPU_EXCEPTION = 507018

HOST_TO_DEVICE, DEVICE_TO_HOST = 1, 2
H265, H264_BASELINE, H264_MAIN, H264_HIGH = range(4)
NV12, NV21 = 1, 2


def function(acl, name):
    """The function of a full name such as "acl.rt.malloc"."""
    return functools.reduce(getattr, name.split(".")[1:], acl)


def ok(result):
    """The result of a call without its code, which has to be 0."""
    if isinstance(result, tuple):
        assert result[-1] == 0, result
        return result[0] if len(result) == 2 else result[:-1]
    assert result == 0, result
    return None


def skip_on_the_310(acl, *names):
    """Skip what the Ascend 310 does otherwise: it knows no output buffer of one's own, and checks no rate control."""
    if acl.get_soc_name() == "Ascend310" and any(name.endswith(("buf_addr", "buf_size", "rc_mode")) for name in names):
        import pytest  # here: programs that tests start have no use for it, and it takes long

        pytest.skip("the Ascend 310 does this otherwise")


class Handles:
    """Makes live handles by kind and destroys those that are left."""

    def __init__(self, acl):
        self.acl = acl
        media, rt = acl.media, acl.rt
        self.kinds = {
            "pic_desc": (media.dvpp_create_pic_desc, media.dvpp_destroy_pic_desc),
            "stream_desc": (media.dvpp_create_stream_desc, media.dvpp_destroy_stream_desc),
            "frame_config": (media.venc_create_frame_config, media.venc_destroy_frame_config),
            "channel_desc": (media.venc_create_channel_desc, media.venc_destroy_channel_desc),
            "context": (self.make_context, rt.destroy_context),
            "stream": (lambda: ok(rt.create_stream()), rt.destroy_stream),
            "event": (lambda: ok(rt.create_event()), rt.destroy_event),
            "device_memory": (lambda: ok(rt.malloc(4096, 0)), rt.free),
            "dvpp_memory": (lambda: ok(media.dvpp_malloc(4096)), media.dvpp_free),
            "host_memory": (lambda: ok(rt.malloc_host(4096)), rt.free_host),
        }
        self.made = []

    def make_context(self):
        """A context that is not left as the thread's current one."""
        before = ok(self.acl.rt.get_context())
        made = ok(self.acl.rt.create_context(0))
        ok(self.acl.rt.set_context(before))
        return made

    def make(self, kind):
        handle = self.kinds[kind][0]()
        assert handle != 0
        self.made.append((kind, handle))
        return handle

    def stale(self, kind):
        """A handle that was alive."""
        handle = self.make(kind)
        self.destroy(kind, handle)
        return handle

    def destroy(self, kind, handle):
        self.made.remove((kind, handle))
        ok(self.kinds[kind][1](handle))

    def forget(self, kind, handle):
        """The program has destroyed it."""
        self.made.remove((kind, handle))

    def clear(self):
        for kind, handle in reversed(self.made[:]):
            self.destroy(kind, handle)


class Pump:
    """A report thread as programs write it: binds the context, then processes reports until it is stopped."""

    def __init__(self, acl, context, timeout=50):
        self.acl = acl
        self.context = context
        self.timeout = timeout
        self.running = True
        self.codes = set()
        self.error = None
        self.id, ret = acl.util.start_thread(self._loop, [context])
        assert ret == 0

    def _loop(self, args):
        ok(self.acl.rt.set_context(args[0]))
        try:
            while self.running:
                code = self.acl.rt.process_report(self.timeout)
                self.codes.add(code)
                if code == THREAD_SUBSCRIBE:
                    time.sleep(0.001)
        except (KeyboardInterrupt, SystemExit) as error:
            self.error = error

    def stop(self):
        if self.id is not None:
            self.running = False
            ident, self.id = self.id, None
            ok(self.acl.util.stop_thread(ident))


class Encoding:
    """A channel with a report thread and pictures, as the vendor's sample sets it up; `packets` is what came out.

    `packets` has a tuple for each callback: (user data, ret code, bytes). `on_frame` replaces the callback.
    """

    def __init__(
        self,
        acl,
        context,
        *,
        width=128,
        height=128,
        entype=H264_HIGH,
        pic_format=NV12,
        gop=16,
        on_frame=None,
        thread_id=None,
        param=False,
        **attributes,
    ):
        self.acl = acl
        self.width, self.height, self.entype = width, height, entype
        self.packets = []
        self.pump = Pump(acl, context) if thread_id is None else None
        media = acl.media
        self.desc = media.venc_create_channel_desc()
        assert self.desc
        values = {
            "thread_id": self.pump.id if self.pump else thread_id,
            "callback": on_frame or self.on_frame,
            "pic_format": pic_format,
            "entype": entype,
            "pic_width": width,
            "pic_height": height,
            "key_frame_interval": gop,
            **attributes,
        }
        numbers = (
            "thread_id",
            "callback",
            "pic_format",
            "entype",
            "pic_width",
            "pic_height",
            "key_frame_interval",
            "buf_addr",
            "buf_size",
            "rc_mode",
            "src_rate",
            "max_bit_rate",
        )
        for name, value in values.items():
            if value is None:
                continue
            if param:
                ok(media.venc_set_channel_desc_param(self.desc, numbers.index(name), value))
            else:
                ok(getattr(media, f"venc_set_channel_desc_{name}")(self.desc, value))
        self.config = media.venc_create_frame_config()
        self.size = width * height * 3 // 2
        self.buffer = ok(media.dvpp_malloc(self.size))
        self.picture = media.dvpp_create_pic_desc()
        ok(media.dvpp_set_pic_desc_data(self.picture, self.buffer))
        ok(media.dvpp_set_pic_desc_size(self.picture, self.size))
        self.created = False

    def create(self):
        ok(self.acl.media.venc_create_channel(self.desc))
        self.created = True
        return self

    def output(self, stream):
        """Ret code and bytes of an output description; valid inside the callback."""
        media, rt, util = self.acl.media, self.acl.rt, self.acl.util
        code = media.dvpp_get_stream_desc_ret_code(stream)
        size = media.dvpp_get_stream_desc_size(stream)
        if code or not size:
            return code, b""
        data = bytes(size)
        ok(rt.memcpy(util.bytes_to_ptr(data), size, media.dvpp_get_stream_desc_data(stream), size, DEVICE_TO_HOST))
        return code, data

    def on_frame(self, picture, stream, user_data):
        assert picture == self.picture
        self.packets.append((user_data, *self.output(stream)))

    def fill(self, frame):
        """Put an NV12 array into the picture's memory; nothing may be in flight."""
        data = frame.tobytes()
        ok(self.acl.rt.memcpy(self.buffer, self.size, self.acl.util.bytes_to_ptr(data), len(data), HOST_TO_DEVICE))

    def send(self, user_data=None, *, key_frame=False):
        media = self.acl.media
        ok(media.venc_set_frame_config_force_i_frame(self.config, int(key_frame)))
        return media.venc_send_frame(self.desc, self.picture, 0, self.config, user_data)

    def end_of_stream(self):
        media = self.acl.media
        ok(media.venc_set_frame_config_eos(self.config, 1))
        code = media.venc_send_frame(self.desc, 0, 0, self.config, None)
        ok(media.venc_set_frame_config_eos(self.config, 0))
        return code

    def wait_for(self, count, seconds=10):
        deadline = time.monotonic() + seconds
        while len(self.packets) < count and time.monotonic() < deadline:
            time.sleep(0.002)
        assert len(self.packets) >= count

    @property
    def stream(self):
        return b"".join(data for _, _, data in self.packets)

    def destroy(self):
        if self.created:
            self.created = False
            ok(self.acl.media.venc_destroy_channel(self.desc))

    def close(self):
        media = self.acl.media
        self.destroy()
        if self.pump:
            self.pump.stop()
        for destroy, name in (
            (media.venc_destroy_channel_desc, "desc"),
            (media.venc_destroy_frame_config, "config"),
            (media.dvpp_destroy_pic_desc, "picture"),
            (media.dvpp_free, "buffer"),
        ):
            handle = getattr(self, name)
            setattr(self, name, 0)
            if handle:
                ok(destroy(handle))


@contextlib.contextmanager
def encoding(acl, context, **kwargs):
    """An `Encoding` whose channel exists; everything is destroyed at the end."""
    made = Encoding(acl, context, **kwargs)
    try:
        yield made.create()
    finally:
        made.close()


def in_thread(function, *args):
    """Run a function in a new thread, which has no context; return its result or raise its exception."""
    result = []

    def body():
        try:
            result.append((function(*args), None))
        except BaseException as error:  # handed to the caller
            result.append((None, error))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    value, error = result[0]
    if error is not None:
        raise error
    return value
