# SPDX-License-Identifier: Apache-2.0
"""Fail every call of AscendCL in six ways of using it, once and from then on. A program: see test_fault_sweep.py.

    python fault_sweep.py SCENARIO [EVERY]    one of EVERY points

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
from ascend_venc._lowlevel import core, stream
from helpers import himpi, interface, simulator

CODE = 507899
CODE_V2 = himpi.error("BUSY")
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


class Flow(contextlib.ExitStack):
    """A pyACL program that checks every code and releases everything, in reverse order, trying each release twice."""

    def release(self, function, *args):
        self.callback(self._attempt, function, args)

    @staticmethod
    def _attempt(function, args):
        if (code := function(*args)) != 0:
            # Taken now: if the point leaves something behind, this says why.
            refusals.append(f"{function.__name__}: {code}, {acl.get_recent_err_msg()}")
            function(*args)


refusals = []


def start_report_thread(flow, context):
    running = threading.Event()
    running.set()

    def loop(_):
        # Without a context the callbacks would be left out. A program that can have none still has to end its frames.
        for _ in range(2):
            if acl.rt.set_context(context) == 0:
                break
        while running.is_set():
            if acl.rt.process_report(50) not in (0, 507012):
                time.sleep(0.001)

    thread = expect(acl.util.start_thread(loop, []))

    def stop():
        running.clear()
        acl.util.stop_thread(thread)

    flow.callback(stop)
    return thread


def move_the_picture_on_a_stream(flow, memory, thread):
    """Pinned host memory to device memory, asynchronously; events and a callback say when it is there."""
    rt, util = acl.rt, acl.util
    stream = expect(rt.create_stream())
    flow.release(rt.destroy_stream, stream)
    expect(rt.subscribe_report(thread, stream))
    flow.release(rt.unsubscribe_report, thread, stream)
    pinned = expect(rt.malloc_host(len(FRAME)))
    flow.release(rt.free_host, pinned)
    staged = expect(rt.malloc(len(FRAME), 0))
    flow.release(rt.free, staged)
    events = []
    for _ in range(2):
        events.append(expect(rt.create_event()))
        flow.release(rt.destroy_event, events[-1])
    arrived = threading.Event()
    expect(rt.memcpy(pinned, len(FRAME), util.bytes_to_ptr(FRAME), len(FRAME), 0))
    for target, source, direction in ((staged, pinned, 1), (memory, staged, 3)):
        expect(rt.record_event(events[0], stream))
        expect(rt.memset_async(target, len(FRAME), 0, len(FRAME), stream))
        expect(rt.memcpy_async(target, len(FRAME), source, len(FRAME), direction, stream))
        expect(rt.record_event(events[1], stream))
        expect(rt.stream_wait_event(stream, events[1]))
        expect(rt.synchronize_event(events[1]))
        if expect(rt.query_event_status(events[1])) != 1:
            raise Refused("an event that was waited for is not recorded")
        expect(rt.event_elapsed_time(*events))
        for event in events:
            expect(rt.reset_event(event, stream))
    expect(rt.launch_callback(lambda _: arrived.set(), None, 0, stream))
    expect(rt.synchronize_stream_with_timeout(stream, 1000))
    expect(rt.synchronize_stream(stream))
    expect(rt.synchronize_device())
    if not arrived.wait(1):
        raise Refused("a callback was left out")


def describe(desc, thread, on_frame):
    """Set a channel's attributes and read them back."""
    media = acl.media
    for name, value in (
        ("thread_id", thread),
        ("callback", on_frame),
        ("entype", 2),
        ("pic_format", 1),
        ("pic_width", SIZE),
        ("pic_height", SIZE),
        ("key_frame_interval", 10),
        ("rc_mode", 2),
        ("src_rate", 25),
        ("max_bit_rate", 1000),
    ):
        expect(getattr(media, f"venc_set_channel_desc_{name}")(desc, value))
        if getattr(media, f"venc_get_channel_desc_{name}")(desc) != value:
            raise Refused(f"{name} reads back differently")
    expect(media.venc_set_channel_desc_param(desc, 6, 12))  # the interval between IDRs, by its number
    if expect(media.venc_get_channel_desc_param(desc, 6)) != 12:
        raise Refused("a parameter reads back differently")


def describe_picture(picture, memory):
    media = acl.media
    for name, value in (
        ("data", memory),
        ("size", len(FRAME)),
        ("format", 1),
        ("width", SIZE),
        ("height", SIZE),
        ("width_stride", SIZE),
        ("height_stride", SIZE),
    ):
        expect(getattr(media, f"dvpp_set_pic_desc_{name}")(picture, value))
        if getattr(media, f"dvpp_get_pic_desc_{name}")(picture) != value:
            raise Refused(f"{name} reads back differently")


def pyacl_flow():
    """As the vendor's sample does it, from init to finalize, and what else such programs call on the way."""
    rt, media = acl.rt, acl.media
    with Flow() as flow:
        code = acl.init()
        if code not in (0, 100002):
            raise Refused(code)
        flow.release(acl.finalize)
        if acl.get_soc_name() is None or expect(rt.get_device_count()) < 1:
            raise Refused("no device")
        expect(rt.set_device(0))
        flow.release(rt.reset_device, 0)
        context = expect(rt.create_context(0))
        flow.release(rt.destroy_context, context)
        if expect(rt.get_context()) != context or expect(rt.get_device()) != 0 or expect(rt.get_run_mode()) != 1:
            raise Refused("another context, device or run mode")
        if acl.get_version()[-1] != 0:
            raise Refused("no version")
        free, total, code = rt.get_mem_info(0)
        if code != 0 or not 0 < free <= total:
            raise Refused(code)
        thread = start_report_thread(flow, context)
        seen = []

        def on_frame(picture, output, user_data):
            size = media.dvpp_get_stream_desc_size(output) if output else 0
            host, code = rt.malloc_host(max(size, 1))
            if code == 0:
                rt.memcpy(host, size, media.dvpp_get_stream_desc_data(output), size, 2)
                if rt.free_host(host) != 0:
                    rt.free_host(host)
            seen.append((user_data, media.dvpp_get_stream_desc_ret_code(output) if output else -1))

        # Released in reverse order: the channel goes before the memory that its frames read.
        memory = expect(media.dvpp_malloc(len(FRAME)))
        flow.release(media.dvpp_free, memory)
        expect(rt.memset(memory, len(FRAME), 128, len(FRAME)))
        move_the_picture_on_a_stream(flow, memory, thread)
        picture = made(media.dvpp_create_pic_desc())
        flow.release(media.dvpp_destroy_pic_desc, picture)
        describe_picture(picture, memory)
        desc = made(media.venc_create_channel_desc())
        flow.release(media.venc_destroy_channel_desc, desc)
        describe(desc, thread, on_frame)
        expect(media.venc_create_channel(desc))
        flow.release(media.venc_destroy_channel, desc)
        media.venc_get_channel_desc_channel_id(desc)
        config = made(media.venc_create_frame_config())
        flow.release(media.venc_destroy_frame_config, config)
        try:
            for index in range(36):
                expect(media.venc_set_frame_config_force_i_frame(config, int(index == 20)))
                expect(media.venc_send_frame(desc, picture, 0, config, index))
            expect(media.venc_set_frame_config_eos(config, 1))
            expect(media.venc_send_frame(desc, 0, 0, config, None))
        finally:
            end = time.monotonic() + 0.3
            while time.monotonic() < end:
                if media.venc_set_frame_config_eos(config, 1) == media.venc_send_frame(desc, 0, 0, config, None) == 0:
                    break
                time.sleep(0.01)


SCENARIOS = {
    scenario.__name__: scenario
    for scenario in (open_and_close_in_a_loop, pyacl_flow, many_channels, encode, close_in_mid_stream, device_lost)
    if scenario is not pyacl_flow or not interface.V2  # it calls V1 itself
}

# A function that ends something and fails for good leaves it behind: nothing else can end it.
ENDING = ("Destroy", "Free", "UnSubscribe", "ResetDevice", "Finalize", "destroy", "free", "close_epoll", "close_fd")


def counts():
    stream.let_go_of_ended()  # as any call of any encoder does
    found = {f"engine {kind}": number for kind, number in core.live().items()}
    found.update(simulator.live_counts())
    return found


def settle(before, patience=15.0, kinds=""):
    """The live objects (of kinds that begin so) that are more than before, once the threads that end by themselves have
    ended."""
    deadline = time.monotonic() + patience
    while True:
        gc.collect()
        more = {
            kind: number - before[kind]
            for kind, number in counts().items()
            if number > before[kind] and kind.startswith(kinds)
        }
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
        self.functions = []
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
        refusals.clear()
        begin = time.monotonic()
        code = CODE_V2 if function.startswith("hi_mpi_") else CODE
        self.device.aclsim_fail_call(function.encode(), nth, code, int(persistent))
        try:
            self.outcomes[self.attempt(scenario)] += 1
        except BaseException as error:  # whatever else it raises is the finding
            self.problems.append(f"{where}: raised {type(error).__name__}: {error}")
        settle(before, 0.5, "engine ")  # the native end meets the fault too, where it comes at all
        self.struck += self.device.aclsim_clear_faults() > 0
        took = time.monotonic() - begin
        self.points += 1
        self.slowest = max(self.slowest, (took, where))
        if took > PATIENCE:
            self.problems.append(f"{where}: took {took:.1f} s")
        # Each ending call is made once; what cannot be stopped cannot be destroyed.
        stays = any(word in function for word in ENDING) or (persistent and function == "hi_mpi_venc_stop_chn")
        more = settle(before, 0.05 if stays else 15.0)
        if more and not stays:
            self.problems.append(f"{where}: left {more}; {refusals}")

    def count_calls(self, scenario):
        """From the first call to the native end of what it opened: no run meets the device of the one before."""
        before = counts()
        self.device.aclsim_count_calls(1)
        self.attempt(scenario)
        assert not settle(before)
        self.device.aclsim_count_calls(0)
        return {name: self.device.aclsim_calls(name.encode()) for name in simulator.NAMES}

    def run(self, scenario, every):
        before = counts()
        assert self.attempt(scenario) in ("completed", "DeviceLostError", "AclError"), scenario
        assert not settle(before)
        # How often a report thread calls depends on how the threads take turns: take the calls that every run makes.
        runs = [self.count_calls(scenario) for _ in range(5)]
        calls = [(function, min(run[function] for run in runs)) for function in runs[0]]
        self.functions = [function for function, number in calls if number]
        points = [
            (function, nth, persistent)
            for persistent in (False, True)
            for function, number in calls
            for nth in range(1, number + 1)
        ]
        for point in points[::every]:
            self.point(scenario, *point)


def main():
    os.environ["ASCEND_VENC_BACKEND"] = "sim"  # of the facade
    sweep = Sweep()
    sweep.device.set_options(null_codec=400, wait_limit_ms=200, quiet=1)
    sweep.device.aclsim_set_strict(0)
    sweep.run(SCENARIOS[sys.argv[1]], int(sys.argv[2]) if sys.argv[2:] else 1)
    result = {
        "points": sweep.points,
        "struck": sweep.struck,
        "functions": sweep.functions,
        "slowest": sweep.slowest,
        "outcomes": dict(sweep.outcomes),
        "problems": sweep.problems[:50],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
