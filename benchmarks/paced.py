# SPDX-License-Identifier: Apache-2.0
"""One measurement of one peer with a device that takes its time, in this process: `python -m paced '{"what": ...}'`.

Loads, which want the GIL while the peer works:
    burn     one thread of pure Python
    hold20   a thread that holds the GIL for 20 ms, again and again, as an extension module does that computes without
             releasing it. It sleeps meanwhile: what is measured is the GIL, and not the want of a core.
"""

import ctypes
import functools
import gc
import json
import sys
import threading
import time

import device
from measure import DifferentWork, Work, Workload, percentiles, same_work

WITH = functools.partial
LOOP = ", call_soon_threadsafe"


def _peer(name):
    from peers import encoder
    from peers.c_floor import CFloor
    from peers.facade import Facade
    from peers.pyacl import Pyacl
    from peers.pyacl_shape import LABEL, PyaclShape

    return {
        "C loop": WITH(CFloor, threaded=True),
        LABEL: WITH(PyaclShape, threaded=True),
        "pyACL": WITH(Pyacl, threaded=True),
        "ascend_venc.acl": WITH(Facade, threaded=True),
        "Encoder": encoder.EncoderPeer,
        "Encoder, asyncio": encoder.Asyncio,
        "Encoder.submit_many": encoder.Batched,
        "Encoder.submit": encoder.EncoderPeer,
        "Encoder.submit_async": encoder.AsyncSubmit,
    }[name]


class Load:
    """A thread of this process that wants the GIL."""

    def __init__(self, name):
        work = {"none": None, "burn": self._burn, "hold20": self._hold20}[name]
        self.running = work is not None
        self.thread = threading.Thread(target=work) if work else None

    def __enter__(self):
        if self.thread:
            self.thread.start()

    def __exit__(self, *exc):
        self.running = False
        if self.thread:
            self.thread.join()

    def _burn(self):
        number = 0
        while self.running:
            for _ in range(100_000):
                number = number * 3 + 1 & 0xFFFF

    def _hold20(self):
        sleep = ctypes.PyDLL(None).usleep  # PyDLL: with the GIL held
        while self.running:
            sleep(20_000)


def _size(job):
    return {"width": job.get("width", 128), "height": job.get("height", 128)}


def _hold_us(probe):
    hold, _ = probe.samples()
    if not hold:
        raise DifferentWork("the probe saw no callback: the peer goes past it, or did no work")
    return {name: round(ns / 1000, 1) for name, ns in percentiles(hold, 50, 99, 99.9).items()}


def _watched(window, channels):
    """Raise unless the probe saw the peer at work."""
    if window.channels != channels or not window.encoded:
        raise DifferentWork(
            f"the probe saw {window.encoded} frames on {window.channels} of {channels} channels: the peer goes past "
            "it, or did no work"
        )
    return window


def blocked(job):
    """Share of time in which the device stands still because callbacks have not returned, at 1 / encode_time_us.

    Frames are queued before the device starts, so nothing but the answer to reports can hold it up.
    """
    sim, probe = device.simulator(), device.Probe()
    channels, seconds, encode_us = job["channels"], job["seconds"], job["encode_time_us"]
    frames = int((seconds + 0.7) * 1e6 / encode_us) + 2
    workload = Workload(
        **_size(job),
        access_unit=job["access_unit"],
        channels=channels,
        buffers=min(frames, 256) if job["peer"].startswith("Encoder") else 4,
        device=probe.path,
    )
    options = {"output_slots": job["output_slots"], "input_slots": 1024}
    with device.configured(job["access_unit"], **options):
        peer = _peer(job["peer"])(workload)
        # Once through as fast as it goes: memory that is touched for the first time is not what is asked for.
        peer.queue(frames)
        wait_until(lambda: peer.total().frames == frames * channels)
        sim.set_options(stall=1, encode_time_us=encode_us)
        peer.queue(frames)
        gc.collect()
        gc.freeze()
        with Load(job["load"]):
            sim.set_options(stall=0)
            probe.watch(0.4)  # start-up is not looked at
            probe.clear()
            window = _watched(probe.watch(seconds), channels)
            hold = _hold_us(probe)
        sim.set_options(encode_time_us=0)
        _all_came(peer, 2 * frames * channels, job["access_unit"])
        peer.close()
    busy = window.encoded * encode_us * 1000
    return {
        "blocked_percent": round(100 * window.host_idle_ns / (window.seconds * 1e9 * channels), 3),
        "speed_percent": round(100 * busy / (busy + window.host_idle_ns), 2) if busy else 0.0,
        "frames_per_second": round(window.encoded / window.seconds / channels, 2),
        "hold_us": hold,
    }


def _all_came(peer, frames, access_unit):
    """Wait for the last packet, and check that the peer did the work it was given."""
    wait_until(lambda: peer.total().frames >= frames)
    total = peer.total()
    if (total.frames, total.bytes) != (frames, frames * access_unit):
        raise DifferentWork(f"{total} for {frames} frames of {access_unit} bytes")


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the peer did not receive everything")
        time.sleep(0.01)


def fast(job):
    """A device that needs 0.5 ms for a frame, fed by the peer itself from Python."""
    probe, ours = device.Probe(), "Encoder" in job["peer"]
    workload = Workload(
        **_size(job),
        access_unit=job["access_unit"],
        buffers=256 if ours else job.get("buffers", 64),
        batch=128 if ours else 8,
        device=probe.path,
    )
    frames = int((job["seconds"] + 0.8) * 1e6 / job["encode_time_us"])
    options = {"encode_time_us": job["encode_time_us"], "output_slots": job["output_slots"], "input_slots": 256}
    with device.configured(job["access_unit"], **options):
        peer = _peer(job["peer"])(workload)
        came = []
        feeder = threading.Thread(target=lambda: came.append(peer.run(frames)))
        with Load(job["load"]):
            feeder.start()
            probe.watch(0.5)
            window = probe.watch(job["seconds"])
        device.simulator().set_options(encode_time_us=0)
        feeder.join()
        if not came or (came[0].frames, came[0].bytes) != (frames, frames * job["access_unit"]):
            raise DifferentWork(f"{came} for {frames} frames")
        peer.close()
    _watched(window, 1)
    busy = window.encoded * job["encode_time_us"] * 1000
    return {
        "frames_per_second": round(window.encoded / window.seconds, 1),
        "speed_percent": round(100 * busy / (window.seconds * 1e9), 2),
        "blocked_percent": round(100 * window.host_idle_ns / (window.seconds * 1e9), 2),
    }


def _pace(send_all, seconds):
    """Call `send_all` 30 times a second; (its times in ms, how many began late, seconds in all)."""
    ticks, late, began = [], 0, time.monotonic()
    due = began
    while True:
        start = time.monotonic()
        if start - began >= seconds:
            return ticks, late, start - began
        send_all()
        end = time.monotonic()
        ticks.append((end - start) * 1e3)
        due += 1 / 30
        if due > end:
            time.sleep(due - end)
        else:
            late += 1
            due = end


def submit(job):
    """Python paces 30 frames per second on each of n channels; aclvencSendFrame takes 150 us at least."""
    channels = job["channels"]
    workload = Workload(access_unit=job["access_unit"], channels=channels, buffers=16)
    with device.configured(job["access_unit"], send_time_us=150):
        peer = _peer(job["peer"])(workload)
        send_all = peer.sender()
        send_all()
        with Load(job["load"]):
            ticks, late, elapsed = _pace(send_all, job["seconds"])
        _all_came(peer, (len(ticks) + 1) * channels, job["access_unit"])
        peer.close()
    return {
        "frames_per_second": round(len(ticks) / elapsed, 2),
        "tick_ms": {name: round(value, 3) for name, value in percentiles(ticks, 50, 99).items()},
        "ticks": len(ticks),
        "late_ticks": late,
    }


def steady(job):
    """30 frames per second on n channels, sent by this thread; each takes the device 10 ms."""
    probe, channels = device.Probe(), job["channels"]
    workload = Workload(access_unit=job["access_unit"], channels=channels, buffers=4, device=probe.path)
    with device.configured(job["access_unit"], encode_time_us=10_000, output_slots=4):
        peer = _peer(job["peer"])(workload)
        send_all = peer.sender()
        warm, _, _ = _pace(send_all, 0.4)
        gc.collect()
        gc.freeze()
        probe.clear()
        ticks, late, _ = _pace(send_all, job["seconds"])
        _all_came(peer, (len(warm) + len(ticks)) * channels, job["access_unit"])
        hold = _hold_us(probe)
        peer.close()
    return {"hold_us": hold, "late_ticks": late, "frames": len(ticks) * channels}


class _Loop:
    """An event loop on a thread of its own."""

    def __init__(self):
        import asyncio

        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="asyncio")
        self.thread.start()

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


def latency(job):
    """From the entry of the callback to the packet in Python: in the callback, in the thread that receives, or in a
    coroutine."""
    probe, frames, name = device.Probe(), job["frames"], job["peer"]
    workload = Workload(access_unit=job["access_unit"], buffers=256 if "Encoder" in name else 4, device=probe.path)
    received = []
    now = time.monotonic_ns
    loop = _Loop() if name.endswith(LOOP) else None
    options = {"encode_time_us": job["encode_time_us"], "output_slots": 1, "input_slots": 1024, "stall": 1}
    with device.configured(job["access_unit"], **options):
        if "Encoder" in name:
            peer = _peer(name)(workload, on_packets=lambda packets: received.extend([now()] * len(packets)))
        elif loop is not None:
            put = loop.loop.call_soon_threadsafe
            peer = _peer(name[: -len(LOOP)])(workload, on_packet=lambda array: put(lambda: received.append(now())))
        else:
            peer = _peer(name)(workload, on_packet=lambda array: received.append(now()))
        peer.queue(frames)
        with Load(job["load"]):
            device.simulator().set_options(stall=0)
            probe.watch(frames * job["encode_time_us"] * 1e-6 + 0.2)
            wait_until(lambda: len(received) >= frames)
        _, entered = probe.samples()
        if len(received) != frames or len(entered) != frames:
            raise DifferentWork(f"{len(received)} packets, {len(entered)} callbacks, {frames} frames")
        peer.close()
        if loop is not None:
            loop.close()
    waits = [(got - came) / 1000 for got, came in zip(received, entered)]
    return {"us": [round(wait, 1) for wait in waits], "frames": frames}


def check(job):
    """All peers encode the same frames once, with the checksum of all access units."""
    found, frames = {}, 40
    for name in job["peers"]:
        with device.configured(job["access_unit"]):
            peer = _peer(name)(Workload(access_unit=job["access_unit"], buffers=64, checksums=True))
            if hasattr(peer, "checksum"):  # Encoder, in the way that this group uses it
                if name in ("Encoder.submit", "Encoder.submit_async"):
                    send = peer.sender()
                    for _ in range(frames):
                        send()
                else:
                    peer.queue(frames)
                wait_until(lambda one=peer: one.total().frames >= frames)
                found[name] = Work(*(peer.total().frames, peer.total().bytes), peer.checksum)
            else:
                found[name] = peer.run(frames)
            peer.close()
    expected = same_work(found)
    if expected.frames != frames or not expected.checksum:
        raise DifferentWork(f"{frames} frames were to be encoded: {expected}")
    return {"checksum": expected.checksum}


def main():
    job = json.loads(sys.argv[1])
    print(json.dumps(globals()[job["what"]](job)))


if __name__ == "__main__":
    main()
