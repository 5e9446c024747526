# SPDX-License-Identifier: Apache-2.0
"""One encode flow of one peer, in a process of its own: prints a JSON object with what it did and what that cost.

    python benchmarks/flow.py PEER --mode saturate|paced|submit ...

Peers: "pyacl-shape" (a stand-in for Huawei's module, see peers/pyacl_shape.c), "ctypes", "facade" (ascend_venc.acl),
"pyacl" (Huawei's own module, where it can be imported), "encode", "many", "async", "submit", "acquire" (Encoder).
All use the simulated device, whose options the caller sets by environment.
"""

import argparse
import ctypes
import json
import os
import sys
import threading
import time
import zlib
from types import SimpleNamespace

import numpy as np

from ascend_venc._lowlevel import core

BUFFERS = 8
H265, NV12, HOST_TO_DEVICE, DEVICE_TO_HOST = 0, 1, 1, 2


def simulator_cpu_ns():
    """CPU time of the simulated hardware's own threads."""
    total = 0
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/comm") as file:
                if not file.read().startswith("aclsim-"):
                    continue
            with open(f"/proc/self/task/{task}/schedstat") as file:
                total += int(file.read().split()[0])
        except FileNotFoundError:
            pass
    return total


def cpu_ns():
    return time.process_time_ns() - simulator_cpu_ns()


class Load:
    """What other threads of the program do meanwhile."""

    def __init__(self, kind):
        self._stop = False
        self._thread = None
        if kind != "none":
            self._thread = threading.Thread(target=getattr(self, kind), daemon=True)

    def burn(self):
        count = 0
        while not self._stop:
            count += 1

    def hold20(self):
        usleep = ctypes.PyDLL(None).usleep  # keeps the GIL
        while not self._stop:
            usleep(20_000)

    def __enter__(self):
        if self._thread:
            self._thread.start()

    def __exit__(self, *exc):
        self._stop = True
        if self._thread:
            self._thread.join()


def acl_module(peer):
    path = core.simulated_device_path()
    if peer == "pyacl-shape":
        from peers import build

        module = build.pyacl_shape()
        module.load(path)
        return module
    if peer == "ctypes":
        from peers import ctypes_shape

        ctypes_shape.load(path)
        return ctypes_shape
    if peer == "pyacl":
        import acl
    else:
        from ascend_venc import acl
    names = SimpleNamespace(init=acl.init, finalize=acl.finalize, numpy_to_ptr=acl.util.numpy_to_ptr)
    for part in (acl.rt, acl.media):
        for name in dir(part):
            if not name.startswith("_"):
                setattr(names, name, getattr(part, name))
    return names


class AclStreams:
    """Channels as programs for pyACL have them: a Python thread that pumps, a Python callback per frame."""

    def __init__(self, peer, args):
        self.acl = acl = acl_module(peer)
        assert acl.init() == 0
        self.context, code = acl.create_context(0)
        assert code == 0
        self.args, self.running = args, True
        self.slots = threading.Semaphore(0)
        self.lock = threading.Lock()
        self.counts, self.bytes, self.checksum = [0] * args.channels, 0, 0
        self.thread_id = 0
        started = threading.Event()

        def pump():
            acl.set_context(self.context)
            self.thread_id = threading.get_ident()
            started.set()
            while self.running:
                if acl.process_report(100) == 107012:
                    time.sleep(0.001)

        self.pump = threading.Thread(target=pump)
        self.pump.start()
        started.wait()
        size = args.width * args.height * 3 // 2
        self.channels = []
        for number in range(args.channels):
            desc = acl.venc_create_channel_desc()
            acl.venc_set_channel_desc_thread_id(desc, self.thread_id)
            acl.venc_set_channel_desc_callback(desc, self.callback)
            acl.venc_set_channel_desc_entype(desc, H265)
            acl.venc_set_channel_desc_pic_format(desc, NV12)
            acl.venc_set_channel_desc_pic_width(desc, args.width)
            acl.venc_set_channel_desc_pic_height(desc, args.height)
            acl.venc_set_channel_desc_key_frame_interval(desc, 65536)
            assert acl.venc_create_channel(desc) == 0
            pictures = []
            for _ in range(args.depth):
                memory, code = acl.dvpp_malloc(size)
                assert code == 0
                picture = acl.dvpp_create_pic_desc()
                acl.dvpp_set_pic_desc_data(picture, memory)
                acl.dvpp_set_pic_desc_size(picture, size)
                acl.dvpp_set_pic_desc_format(picture, NV12)
                acl.dvpp_set_pic_desc_width(picture, args.width)
                acl.dvpp_set_pic_desc_height(picture, args.height)
                acl.dvpp_set_pic_desc_width_stride(picture, (args.width + 15) // 16 * 16)
                acl.dvpp_set_pic_desc_height_stride(picture, args.height)
                pictures.append((picture, memory))
            self.channels.append(
                (desc, acl.venc_create_frame_config(), pictures, threading.Semaphore(args.depth), number)
            )

    def callback(self, source, output, channel):
        acl = self.acl
        size = acl.dvpp_get_stream_desc_size(output)
        data = np.empty(size, np.uint8)
        assert acl.dvpp_get_stream_desc_ret_code(output) == 0
        assert (
            acl.memcpy(acl.numpy_to_ptr(data), size, acl.dvpp_get_stream_desc_data(output), size, DEVICE_TO_HOST) == 0
        )
        self.bytes += size
        if self.counts[channel[4]] == 0:
            self.checksum ^= zlib.crc32(data)
        self.counts[channel[4]] += 1
        channel[3].release()

    def submit(self, number, index, frame):
        acl = self.acl
        channel = self.channels[number]
        channel[3].acquire()
        picture, memory = channel[2][index % self.args.depth]
        if self.args.copy:
            assert acl.memcpy(memory, frame.size, acl.numpy_to_ptr(frame), frame.size, HOST_TO_DEVICE) == 0
        assert acl.venc_send_frame(channel[0], picture, 0, channel[1], channel) == 0

    def finish(self, frames):
        while min(self.counts) < frames:
            time.sleep(0.0005)

    def close(self):
        acl = self.acl
        for desc, config, pictures, _, _ in self.channels:
            acl.venc_destroy_channel(desc)
            acl.venc_destroy_channel_desc(desc)
            acl.venc_destroy_frame_config(config)
            for picture, memory in pictures:
                acl.dvpp_destroy_pic_desc(picture)
                acl.dvpp_free(memory)
        self.running = False
        self.pump.join()
        acl.destroy_context(self.context)

    def hold(self):
        return None


class EncoderStreams:
    """The same through Encoder; one thread takes the packets of all channels."""

    def __init__(self, peer, args):
        import ascend_venc as venc

        self.venc, self.peer, self.args = venc, peer, args
        self.group = venc.EncoderGroup(backend="sim")
        options = {"delivery": args.delivery} if args.delivery else {}
        self.encoders = [
            self.group.add(
                args.width, args.height, gop=65536, depth=args.depth, queue=args.queue, max_queued=65536, **options
            )
            for _ in range(args.channels)
        ]
        self.numbers = {encoder: number for number, encoder in enumerate(self.encoders)}
        self.counts, self.bytes, self.checksum = [0] * args.channels, 0, 0
        self.consumer = threading.Thread(target=self.consume)
        self.own_thread = peer != "encode"
        if self.own_thread:
            self.consumer.start()
        self.waiting = [[] for _ in self.encoders]

    def take(self, number, packets):
        for packet in packets:
            self.bytes += packet.size
            if self.counts[number] == 0:
                self.checksum ^= zlib.crc32(packet)
            self.counts[number] += 1

    def consume(self):
        if len(self.encoders) == 1:
            while True:
                try:
                    self.take(0, self.encoders[0].receive_many())
                except self.venc.EncoderDrained:
                    return
        for encoder, packet in self.group.packets():
            self.take(self.numbers[encoder], [packet])

    def submit(self, number, index, frame):
        encoder = self.encoders[number]
        if self.peer == "many":
            batch = self.waiting[number]
            batch.append(frame)
            if len(batch) == self.args.batch:
                encoder.submit_many(batch)
                batch.clear()
        elif self.peer == "async":
            encoder.submit_async(frame)
        elif self.peer == "acquire":
            encoder.submit(encoder.acquire())
        elif self.peer == "submit":
            encoder.submit(frame)
        else:
            self.take(number, encoder.encode(frame))

    def finish(self, frames):
        for number, encoder in enumerate(self.encoders):
            if self.waiting[number]:
                encoder.submit_many(self.waiting[number])
        if self.own_thread:
            self.group.drain()
            self.consumer.join()
        else:
            for number, encoder in enumerate(self.encoders):
                self.take(number, encoder.flush())

    def hold(self):
        stats = self.encoders[0].stats
        return {"p50": stats.hold.p50, "p99": stats.hold.p99}

    def close(self):
        self.group.close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("peer")
    parser.add_argument("--mode", choices=["saturate", "paced"], default="saturate")
    parser.add_argument("--frames", type=int, default=2000, help="per channel")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--height", type=int, default=128)
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--depth", type=int, default=BUFFERS)
    parser.add_argument("--queue", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--fps", type=float, default=30)
    parser.add_argument("--load", choices=["none", "burn", "hold20"], default="none")
    parser.add_argument("--delivery", choices=["immediate", "coalesced"])
    parser.add_argument("--no-copy", dest="copy", action="store_false")
    args = parser.parse_args()

    acl_peers = ("pyacl-shape", "ctypes", "facade", "pyacl")
    streams = (AclStreams if args.peer in acl_peers else EncoderStreams)(args.peer, args)
    simulator = ctypes.CDLL(core.simulated_device_path())
    simulator.aclsim_host_idle_ns.restype = ctypes.c_uint64
    generator = np.random.default_rng(1)
    pictures = [generator.integers(0, 256, (args.height * 3 // 2, args.width), np.uint8) for _ in range(16)]
    ticks = []
    with Load(args.load):
        begin, cpu, idle = time.monotonic(), cpu_ns(), simulator.aclsim_host_idle_ns()
        for index in range(args.frames):
            if args.mode == "paced":
                due = begin + index / args.fps
                while (left := due - time.monotonic()) > 0:
                    time.sleep(left)
                start = time.monotonic()
            for number in range(args.channels):
                streams.submit(number, index, pictures[(index + number) % 16])
            if args.mode == "paced":
                ticks.append(time.monotonic() - start)
        submitted = time.monotonic()
        streams.finish(args.frames)
        end = time.monotonic()
        cpu, idle = cpu_ns() - cpu, simulator.aclsim_host_idle_ns() - idle
    ticks.sort()
    result = {
        "peer": args.peer,
        "frames": sum(streams.counts),
        "bytes": streams.bytes,
        "checksum": streams.checksum,
        "seconds": end - begin,
        "submit_seconds": submitted - begin,
        "cpu_ns_per_frame": cpu / (args.frames * args.channels),
        "host_idle_share": idle / 1e9 / args.channels / (end - begin),
        "tick_p50": ticks[len(ticks) // 2] if ticks else None,
        "tick_p99": ticks[int(len(ticks) * 0.99)] if ticks else None,
        "hold": streams.hold(),
    }
    streams.close()
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
