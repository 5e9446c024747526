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
import os
import sys
import threading
import time

import device
from measure import DifferentWork, Workload, percentiles

WITH = functools.partial


def _peer(name):
    from peers import encoder
    from peers.c_floor import CFloor
    from peers.facade import Facade
    from peers.pyacl import Pyacl
    from peers.pyacl_shape import PyaclShape

    return {
        "C": WITH(CFloor, threaded=True),
        "pyACL shape, as shipped": WITH(PyaclShape, threaded=True),
        "pyACL shape, lean": WITH(PyaclShape, lean=True, threaded=True),
        "pyACL": WITH(Pyacl, threaded=True),
        "ascend_venc.acl": WITH(Facade, threaded=True),
        "Encoder": encoder.EncoderPeer,
        "Encoder, coalesced": WITH(encoder.EncoderPeer, delivery="coalesced"),
        "Encoder, sink": encoder.SinkPeer,
        "Encoder, one thread for all": encoder.Grouped,
        "Encoder, asyncio": encoder.Asyncio,
        "Encoder.submit": encoder.PerFrameSubmit,
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


def _hold_us(probe):
    hold, _ = probe.samples()
    return {name: round(ns / 1000, 1) for name, ns in percentiles(hold or [0], 50, 99, 99.9).items()}


def _rss():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def blocked(job):
    """Share of time in which the device stands still because callbacks have not returned, at 1 / encode_time_us.

    Frames are queued before the device starts, so nothing but the answer to reports can hold it up.
    """
    sim, probe = device.simulator(), device.Probe()
    channels, seconds, encode_us = job["channels"], job["seconds"], job["encode_time_us"]
    frames = int((seconds + 0.7) * 1e6 / encode_us) + 2
    workload = Workload(
        access_unit=job["access_unit"],
        channels=channels,
        buffers=min(frames, 256) if job["peer"].startswith("Encoder") else 4,
        device=probe.path,
    )
    options = {"encode_time_us": encode_us, "output_slots": job["output_slots"], "input_slots": 1024, "stall": 1}
    with device.configured(job["access_unit"], **options):
        peer = _peer(job["peer"])(workload)
        peer.queue(frames)
        gc.collect()
        gc.freeze()
        threads = len(os.listdir("/proc/self/task"))
        with Load(job["load"]):
            sim.set_options(stall=0)
            probe.watch(0.4)  # start-up is not looked at
            probe.clear()
            cpu, device_cpu, began = time.process_time_ns(), device.thread_cpu_ns("aclsim-"), time.monotonic()
            window = probe.watch(seconds)
            cpu = time.process_time_ns() - cpu - (device.thread_cpu_ns("aclsim-") - device_cpu)
            elapsed = time.monotonic() - began
            hold, rss = _hold_us(probe), _rss()
        sim.set_options(encode_time_us=0, stall=0)
        wait_until(lambda: peer.total().frames == frames * channels)
        total = peer.total()
        if (total.frames, total.bytes) != (frames * channels, frames * channels * job["access_unit"]):
            raise DifferentWork(f"{total} of {frames * channels} frames")
        peer.close()
    busy = window.encoded * encode_us * 1000
    return {
        "blocked_percent": round(100 * window.host_idle_ns / (window.seconds * 1e9 * channels), 3),
        "speed_percent": round(100 * busy / (busy + window.host_idle_ns), 2) if busy else 0.0,
        "frames_per_second": round(window.encoded / window.seconds / channels, 2),
        "hold_us": hold,
        "cpu_us_per_frame": round(cpu / 1000 / max(window.encoded, 1), 2) if job["load"] == "none" else None,
        "clock_error_percent": round(100 * (elapsed / window.seconds - 1), 1),
        "threads": threads,
        "rss_mib": round(rss / (1 << 20), 1),
        "frames": total.frames,
        "bytes": total.bytes,
    }


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the peer did not receive everything")
        time.sleep(0.01)


def fast(job):
    """A device that needs 0.5 ms for a frame, fed by the peer itself from Python."""
    probe = device.Probe()
    workload = Workload(access_unit=job["access_unit"], buffers=256 if "Encoder" in job["peer"] else 64, batch=64,
                        device=probe.path)
    options = {"encode_time_us": job["encode_time_us"], "output_slots": job["output_slots"], "input_slots": 256}
    with device.configured(job["access_unit"], **options):
        peer = _peer(job["peer"])(workload)
        finished = threading.Event()

        def feed():
            while not finished.is_set():
                peer.run(256)

        feeder = threading.Thread(target=feed)
        with Load(job["load"]):
            feeder.start()
            probe.watch(0.5)
            probe.clear()
            window = probe.watch(job["seconds"])
            hold = _hold_us(probe)
            finished.set()
        device.simulator().set_options(encode_time_us=0)
        feeder.join()
        peer.close()
    busy = window.encoded * job["encode_time_us"] * 1000
    return {
        "frames_per_second": round(window.encoded / window.seconds, 1),
        "speed_percent": round(100 * busy / (window.seconds * 1e9), 2),
        "blocked_percent": round(100 * window.host_idle_ns / (window.seconds * 1e9), 2),
        "hold_us": hold,
    }


def submit(job):
    """Python paces 30 frames per second on each of n channels; aclvencSendFrame takes 150 us at least."""
    channels, seconds = job["channels"], job["seconds"]
    workload = Workload(access_unit=job["access_unit"], channels=channels, buffers=16)
    with device.configured(job["access_unit"], send_time_us=150, output_slots=16):
        peer = _peer(job["peer"])(workload)
        send_all = peer.sender()
        ticks, late = [], 0
        with Load(job["load"]):
            period = 1 / 30
            began = time.monotonic()
            due = began
            while True:
                start = time.monotonic()
                if start - began >= seconds:
                    break
                send_all()
                end = time.monotonic()
                ticks.append((end - start) * 1e3)
                due += period
                if due > end:
                    time.sleep(due - end)
                else:
                    late += 1
                    due = end
            elapsed = time.monotonic() - began
        sent = len(ticks) * channels
        wait_until(lambda: peer.total().frames == sent)
        if peer.total().bytes != sent * job["access_unit"]:
            raise DifferentWork(f"{peer.total()} of {sent} frames")
        peer.close()
    return {
        "frames_per_second": round(len(ticks) / elapsed, 2),
        "tick_ms": {name: round(value, 3) for name, value in percentiles(ticks, 50, 99).items()},
        "ticks": len(ticks),
        "late_ticks": late,
        "frames": sent,
    }


def latency(job):
    """From the entry of the callback to the packet in Python, at 30 frames per second."""
    probe, frames = device.Probe(), job["frames"]
    workload = Workload(access_unit=job["access_unit"], buffers=256 if "Encoder" in job["peer"] else 4,
                        device=probe.path)
    received = []
    now = time.monotonic_ns
    options = {"encode_time_us": job["encode_time_us"], "output_slots": 1, "input_slots": 1024, "stall": 1}
    with device.configured(job["access_unit"], **options):
        if "Encoder" in job["peer"]:
            peer = _peer(job["peer"])(workload, on_packets=lambda packets: received.extend([now()] * len(packets)))
        else:
            peer = _peer(job["peer"])(workload, on_packet=lambda array: received.append(now()))
        peer.queue(frames)
        with Load(job["load"]):
            device.simulator().set_options(stall=0)
            probe.watch(frames * job["encode_time_us"] * 1e-6 + 0.2)
            wait_until(lambda: len(received) >= frames)
        _, entered = probe.samples()
        if len(received) != frames or len(entered) != frames:
            raise DifferentWork(f"{len(received)} packets, {len(entered)} callbacks, {frames} frames")
        peer.close()
    waits = [(got - came) / 1000 for got, came in zip(received, entered)]
    return {"us": {name: round(value, 1) for name, value in percentiles(waits, 50, 99, 99.9).items()}, "frames": frames}


def drift(job):
    """Growth of the resident memory over many frames, after a warm-up."""
    workload = Workload(access_unit=2_000, batch=8, buffers=16)
    from peers import encoder

    kind = encoder.Batched if encoder.has(*encoder.Batched.NEEDS) else encoder.EncoderPeer
    with device.configured(2_000, output_slots=32):
        peer = kind(workload)
        peer.run(50_000)
        gc.collect()
        before, pools = _rss(), peer.pool_buffers()
        steps = []
        for _ in range(10):
            work = peer.run(job["frames"] // 10)
            if work.frames != job["frames"] // 10:
                raise DifferentWork(str(work))
            steps.append((_rss() - before) // 1024)
        grown = peer.pool_buffers() - pools
        peer.close()
    return {"frames": job["frames"], "drift_kib": steps[-1], "steps_kib": steps, "pool_growths": grown}


def main():
    job = json.loads(sys.argv[1])
    print(json.dumps(globals()[job["what"]](job)))


if __name__ == "__main__":
    main()
