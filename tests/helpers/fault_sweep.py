# SPDX-License-Identifier: Apache-2.0
"""Fail every call of AscendCL in six ways of using it, once and from then on. A program: see test_fault_sweep.py.

    python fault_sweep.py STRIDE   take every STRIDE-th point

Prints one JSON object: number of points and of faults that struck, what came of them, and what went wrong.
"""

import contextlib
import gc
import json
import os
import sys
import threading
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import ascend_venc as venc
from ascend_venc import acl
from ascend_venc._lowlevel import core
from helpers import simulator

os.environ["ASCEND_VENC_BACKEND"] = "sim"
CODE = 507899
SIZE = 128
FRAME = bytes(SIZE * SIZE * 3 // 2)
PATIENCE = 12.0  # seconds that one point may take before it counts as a hang


class Refused(Exception):
    """A call of the facade has returned a code."""


def expect(result):
    code = result[-1] if isinstance(result, tuple) else result
    if code != 0:
        raise Refused(code)
    return result[0] if isinstance(result, tuple) else None


def made(handle):
    if not handle:
        raise Refused("NULL")
    return handle


def encoder(**kwargs):
    return venc.Encoder(SIZE, SIZE, codec="h264", backend="sim", timeout=0.5, **kwargs)


def finish(enc):
    """Close, however long it takes to be allowed to."""
    for _ in range(3):
        try:
            enc.close()
            return
        except venc.VencError:
            continue
    enc._close(warn=False)


def drain(enc):
    for _ in range(40):
        try:
            return enc.flush()
        except venc.FrameError:
            continue
    return []


# ---- the six ways ----


def encode():
    enc = encoder(depth=3)
    try:
        for index in range(40):
            enc.encode(FRAME, key_frame=index % 7 == 3)
        drain(enc)
    finally:
        finish(enc)


def many_channels():
    encoders = []
    try:
        for _ in range(5):
            encoders.append(encoder(depth=2))
        for _ in range(4):
            for enc in encoders:
                enc.encode(FRAME)
        for enc in encoders:
            drain(enc)
    finally:
        for enc in encoders:
            finish(enc)


def close_in_mid_stream():
    enc = encoder(depth=8)
    try:
        for _ in range(20):
            enc.encode(FRAME)
    finally:
        finish(enc)


def open_and_close_in_a_loop():
    for _ in range(8):
        enc = encoder(depth=1)
        try:
            enc.encode(FRAME)
        finally:
            finish(enc)


def device_lost():
    device = simulator.shared()
    enc = encoder(depth=4)
    try:
        for index in range(32):
            if index == 24:
                device.aclsim_lose_device(0, 507010)
            enc.encode(FRAME)
        drain(enc)
    finally:
        try:
            finish(enc)
        finally:
            device.aclsim_lose_device(0, 0)


def pyacl_flow():
    """As the vendor's sample does it, with every code checked and everything released."""
    rt, media, util = acl.rt, acl.media, acl.util
    with contextlib.ExitStack() as stack:

        def release(function, *args):
            def attempt():
                if function(*args) != 0:
                    function(*args)

            stack.callback(attempt)

        code = acl.init()
        if code not in (0, 100002):
            raise Refused(code)
        context = expect(rt.create_context(0))
        release(rt.destroy_context, context)
        running = threading.Event()
        running.set()

        def loop(_):
            rt.set_context(context)  # or its callbacks are left out
            while running.is_set():
                if rt.process_report(50) not in (0, 507012):
                    time.sleep(0.001)

        thread = expect(util.start_thread(loop, []))

        def stop():
            running.clear()
            util.stop_thread(thread)

        stack.callback(stop)
        seen = []

        def on_frame(picture, output, user_data):
            size = media.dvpp_get_stream_desc_size(output) if output else 0
            host, code = rt.malloc_host(max(size, 1))
            if code == 0:
                rt.memcpy(host, size, media.dvpp_get_stream_desc_data(output), size, 2)
                if rt.free_host(host) != 0:
                    rt.free_host(host)
            seen.append(user_data)

        # Released in reverse order: the channel goes before the memory that its frames read.
        memory = expect(media.dvpp_malloc(len(FRAME)))
        release(media.dvpp_free, memory)
        picture = made(media.dvpp_create_pic_desc())
        release(media.dvpp_destroy_pic_desc, picture)
        desc = made(media.venc_create_channel_desc())
        release(media.venc_destroy_channel_desc, desc)
        for setter, value in (
            (media.venc_set_channel_desc_thread_id, thread),
            (media.venc_set_channel_desc_callback, on_frame),
            (media.venc_set_channel_desc_entype, 2),
            (media.venc_set_channel_desc_pic_format, 1),
            (media.venc_set_channel_desc_pic_width, SIZE),
            (media.venc_set_channel_desc_pic_height, SIZE),
            (media.venc_set_channel_desc_key_frame_interval, 10),
        ):
            expect(setter(desc, value))
        expect(media.venc_create_channel(desc))
        release(media.venc_destroy_channel, desc)
        expect(rt.memcpy(memory, len(FRAME), util.bytes_to_ptr(FRAME), len(FRAME), 1))
        expect(media.dvpp_set_pic_desc_data(picture, memory))
        expect(media.dvpp_set_pic_desc_size(picture, len(FRAME)))
        config = made(media.venc_create_frame_config())
        release(media.venc_destroy_frame_config, config)
        try:
            for index in range(36):
                expect(media.venc_send_frame(desc, picture, 0, config, index))
            expect(media.venc_set_frame_config_eos(config, 1))
            expect(media.venc_send_frame(desc, 0, 0, config, None))
        finally:
            end = time.monotonic() + 0.3
            while time.monotonic() < end:
                if media.venc_set_frame_config_eos(config, 1) == media.venc_send_frame(desc, 0, 0, config, None) == 0:
                    break


SCENARIOS = [encode, many_channels, pyacl_flow, close_in_mid_stream, open_and_close_in_a_loop, device_lost]

# A function that ends something and fails for good leaves it behind: nothing else can end it.
ENDING = ("Destroy", "Free", "UnSubscribe", "ResetDevice", "Finalize")


def counts():
    found = {f"engine {kind}": number for kind, number in core.live().items()}
    found.update(simulator.live_counts())
    return found


def settle(before, patience=2.0):
    """The live objects that are more than before, once the threads that end by themselves have ended."""
    deadline = time.monotonic() + patience
    while True:
        gc.collect()
        more = {kind: number - before[kind] for kind, number in counts().items() if number > before[kind]}
        if not more or time.monotonic() > deadline:
            return more
        time.sleep(0.005)


class Sweep:
    def __init__(self):
        self.device = simulator.shared()
        self.points = 0
        self.struck = 0
        self.outcomes = Counter()
        self.problems = []
        self.slowest = (0.0, "")

    def attempt(self, scenario):
        """Run it; return what came of it."""
        try:
            scenario()
            return "completed"
        except (venc.VencError, Refused) as error:
            return type(error).__name__
        finally:
            self.device.aclsim_lose_device(0, 0)

    def point(self, scenario, function, nth, persistent):
        where = f"{scenario.__name__}: {function} call {nth}{' and later' if persistent else ''}"
        before = counts()
        begin = time.monotonic()
        self.device.aclsim_fail_call(function.encode(), nth, CODE, int(persistent))
        try:
            self.outcomes[self.attempt(scenario)] += 1
        except BaseException as error:  # whatever else it raises is the finding
            self.problems.append(f"{where}: raised {type(error).__name__}: {error}")
        self.struck += self.device.aclsim_clear_faults() > 0
        took = time.monotonic() - begin
        self.points += 1
        self.slowest = max(self.slowest, (took, where))
        if took > PATIENCE:
            self.problems.append(f"{where}: took {took:.1f} s")
        more = settle(before, 0.05 if persistent and any(word in function for word in ENDING) else 2.0)
        if more and not (persistent and any(word in function for word in ENDING)):
            self.problems.append(f"{where}: left {more}")

    def run(self, stride):
        number = 0
        for scenario in SCENARIOS:
            assert self.attempt(scenario) in ("completed", "DeviceLostError", "AclError"), scenario
            self.device.aclsim_count_calls(1)
            self.attempt(scenario)
            self.device.aclsim_count_calls(0)
            calls = [(name, self.device.aclsim_calls(name.encode())) for *_, name, _ in simulator.FUNCTIONS]
            for function, number_of_calls in calls:
                for nth in range(1, number_of_calls + 1):
                    for persistent in (False, True):
                        number += 1
                        if number % stride == 0:
                            self.point(scenario, function, nth, persistent)


def main():
    sweep = Sweep()
    device = sweep.device
    device.set_options(null_codec=400, wait_limit_ms=200, quiet=1)
    device.aclsim_set_strict(0)
    sweep.run(int(sys.argv[1]))
    result = {
        "points": sweep.points,
        "struck": sweep.struck,
        "slowest": sweep.slowest,
        "outcomes": dict(sweep.outcomes),
        "problems": sweep.problems[:50],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
