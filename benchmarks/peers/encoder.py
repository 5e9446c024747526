# SPDX-License-Identifier: Apache-2.0
"""ascend_venc.Encoder, in the ways of using it."""

import asyncio
import concurrent.futures
import functools
import os
import threading
import time

import numpy as np
from harness import PACED_PICTURES, Work

import ascend_venc
import ascend_venc.aio
from ascend_venc.cli import streams


def _settings(workload, **options):
    """vui: the same bytes as the other peers."""
    interface = "v2" if workload.v2 else "v1"
    return {"codec": "h265", "gop": 65536, "vui": False, "interface": interface, **options}


def _group(workload, settings, delivery="immediate"):
    """A group, and an encoder in it for each channel."""
    group = ascend_venc.EncoderGroup(backend=workload.device, delivery=delivery)
    try:
        return group, [group.add(workload.width, workload.height, **settings) for _ in range(workload.channels)]
    except ascend_venc.VencError:
        group.close()
        raise


class EncoderPeer:
    """`way`: encode, submit_many (and receive_many), acquire, submit, submit_async.

    on_packets(list): called with the packets as they are received. Other keyword arguments go to Encoder.
    """

    def __init__(self, workload, way="submit_async", on_packets=None, **options):
        self.workload, self.way, self.on_packets = workload, way, on_packets
        # max_queued: one thread may submit and receive.
        self.settings = _settings(workload, depth=min(workload.buffers, 256), max_queued=4096, **options)
        count = max(min(workload.buffers, 64), 2)
        self.frames = [np.full(workload.picture_bytes, 0x5A, np.uint8) for _ in range(count)]
        self.frames_out = self.bytes = 0
        self.consumer, self.running = None, True
        self.group, self.encoders = self.open()

    def open(self):
        """(group or None, encoders)"""
        if self.workload.channels > 1:
            return _group(self.workload, self.settings)
        self.encoder = self.open_one(ascend_venc.Encoder)
        return None, [self.encoder]

    def open_one(self, kind):
        workload = self.workload
        return kind(workload.width, workload.height, backend=workload.device, **self.settings)

    def take(self, packets):
        """Count packets, which are given back then."""
        self.bytes += sum(map(len, packets))
        self.frames_out += len(packets)  # last: whoever waits for it looks at the rest then
        if self.on_packets is not None:
            self.on_packets(packets)

    def total(self):
        return Work(self.frames_out, self.bytes)

    def run(self, frames):
        before = self.total()
        getattr(self, f"_{self.way}")(frames)
        return self.total() - before

    # ---- one channel, as fast as it goes: one thread submits and receives ----

    def _encode(self, frames):
        encode, take, pictures = self.encoder.encode, self.take, self.frames
        count = len(pictures)
        for number in range(frames):
            packets = encode(pictures[number % count])
            if packets:
                take(packets)
        take(self.encoder.flush())

    def receive(self, target):
        """Until `target` packets have come: woken once."""
        while self.frames_out < target:
            self.take(self.encoder.receive_many(256, at_least=min(target - self.frames_out, 256)))

    def batches(self, size):
        """As many batches of different pictures as there are pictures for, at least one."""
        count = len(self.frames)
        starts = range(0, max(count - size, 0) + 1, size)
        return [[self.frames[(start + number) % count] for number in range(size)] for start in starts]

    def _submit_many(self, frames):
        batch, room, start = self.workload.batch, self.workload.buffers, self.frames_out
        submit_many, batches = self.encoder.submit_many, self.batches(self.workload.batch)
        for sent in range(0, frames, batch):
            part = batches[sent // batch % len(batches)][: frames - sent]
            if sent + len(part) > room:
                self.receive(start + sent + len(part) - room)
            submit_many(part)
        self.receive(start + frames)

    def _acquire(self, frames):
        """Pictures are written straight into the encoder's own buffers."""
        encoder, take, pictures = self.encoder, self.take, self.frames
        count, start, ahead = len(pictures), self.frames_out, max(self.workload.buffers // 2, 1)
        for number in range(frames):
            frame = encoder.acquire()
            np.copyto(np.asarray(frame).reshape(-1), pictures[number % count])
            encoder.submit(frame)
            if number % ahead == ahead - 1:
                take(encoder.receive_many(256))
        self.receive(start + frames)

    def _submit(self, frames):
        """submit, or submit_async: a native thread sends. With batches of 1 in lock step: each packet is waited for."""
        submit, pictures, batch = getattr(self.encoder, self.way), self.frames, self.workload.batch
        count, start = len(pictures), self.frames_out
        for number in range(frames):
            submit(pictures[number % count])
            if number % batch == batch - 1:
                self.receive(start + number + 1 - (0 if batch == 1 else batch))
        self.receive(start + frames)

    _submit_async = _submit

    # ---- any number of channels: one thread receives ----

    def queue(self, frames):
        self.start_consumer()
        for encoder in self.encoders:
            for start in range(0, frames, 64):
                encoder.submit_many([self.frames[0]] * min(64, frames - start))

    def start_consumer(self):
        if self.consumer is None:
            self.consumer = threading.Thread(target=self._consume, name="consumer")
            self.consumer.start()

    def _consume(self):
        while self.running:
            try:
                if self.group is None:
                    self.take(self.encoder.receive_many(256, timeout=0.2))
                else:
                    self.take([packet for _, packet in self.group.receive_many(256, timeout=0.2)])
            except ascend_venc.AclTimeoutError:
                continue

    def sender(self):
        self.start_consumer()
        name = "submit_async" if self.way == "submit_async" else "submit"
        calls, picture = [getattr(encoder, name) for encoder in self.encoders], self.frames[0]

        def send_all():
            for call in calls:
                call(picture)

        return send_all

    def spread(self, frames, threads=False):
        """`frames` on each channel as fast as they are taken, from one thread for all or one for each; until all
        packets are here."""
        sends, target = [self.sender()], self.frames_out + frames * len(self.encoders)
        if threads:
            sends = [functools.partial(encoder.submit, self.frames[0]) for encoder in self.encoders]

        def feed(send):
            for _ in range(frames):
                send()

        with concurrent.futures.ThreadPoolExecutor(len(sends)) as pool:
            list(pool.map(feed, sends))
        while self.frames_out < target:
            time.sleep(0.0005)

    def close(self):
        self.running = False
        if self.consumer is not None:
            self.consumer.join()
        for encoder in self.encoders:
            encoder.flush()
            encoder.close()
        if self.group is not None:
            self.group.close()


class Paced:
    """An EncoderGroup at a rate: `immediate`ly woken for each packet, `coalesced`, or with a `sink` (/dev/null)."""

    def __init__(self, workload, way="immediate", call="submit", **options):
        self.workload, self.way, self.call = workload, way, call
        self.null = open(os.devnull, "wb")  # noqa: SIM115 - closed by close
        if way == "sink":
            options.update(sink=self.null.fileno(), delivery="coalesced")
        delivery = "immediate" if way == "immediate" else "coalesced"
        self.group, self.encoders = _group(workload, _settings(workload, depth=workload.buffers, **options), delivery)
        self.pictures = [bytes([number]) * workload.picture_bytes for number in range(PACED_PICTURES)]

    def pace(self, warm_up=streams.WARM_UP, together=1, **how):
        how.update(warm_up=warm_up, together=together)
        if self.way != "sink":
            return streams.pace(self.group, self.encoders, self.pictures, call=self.call, **how)
        cpu = []
        several = [(encoder, self.pictures[number % PACED_PICTURES]) for number, encoder in enumerate(self.encoders)]
        sends = [functools.partial(encoder.submit, picture) for encoder, picture in several]
        if together > 1:
            ats = range(len(several))
            sends = [functools.partial(self.group.submit_many, several[at : at + together]) for at in ats]

        def prepare(stream, due):
            return sends[stream]

        how["measuring"] = lambda: cpu.append(time.process_time())
        lost, took = streams.send_paced(prepare, len(self.encoders), **how)
        for encoder in self.encoders:
            encoder.flush()
        frames = self.total().frames - warm_up * len(self.encoders)
        return streams.Paced(frames, 0, lost, took, time.process_time() - cpu[0], [])

    def total(self):
        stats = [encoder.stats for encoder in self.encoders]
        return Work(sum(each.encoded for each in stats), sum(each.bytes_out for each in stats))

    def close(self):
        self.group.close()
        self.null.close()


class Asyncio(EncoderPeer):
    """ascend_venc.aio.Encoder on an event loop of its own thread; `queue` hands frames over, and ends the stream."""

    def open(self):
        self.queued = threading.Event()
        return None, []

    def queue(self, frames):
        self.consumer = threading.Thread(target=lambda: asyncio.run(self._main(frames)), name="asyncio")
        self.consumer.start()
        if not self.queued.wait(60):
            raise TimeoutError(f"{frames} frames were not accepted; at most {self.settings['depth']} fit")

    async def _main(self, frames):
        async with self.open_one(ascend_venc.aio.Encoder) as encoder:
            for _ in range(frames):
                await encoder.submit(self.frames[0])
            encoder.drain()
            self.queued.set()
            try:
                while True:
                    self.take(await encoder.receive_many(256))
            except ascend_venc.EncoderDrained:
                return
