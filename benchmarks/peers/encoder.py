# SPDX-License-Identifier: Apache-2.0
"""ascend_venc.Encoder, in the ways of using it that its version has."""

import functools
import threading
import zlib
from dataclasses import replace

import native
import numpy as np
from measure import Work

LABEL = "ascend_venc.Encoder"


def has(*names):
    """Whether this version's Encoder has all these methods."""
    from ascend_venc import Encoder

    return all(hasattr(Encoder, name) for name in names)


def has_sink():
    """Whether Encoder takes `sink`."""
    import inspect

    from ascend_venc import Encoder

    return "sink" in inspect.signature(Encoder.__init__).parameters


class EncoderPeer:
    """One class for each way of using it: `run` is what differs.

    on_packets(list): called with the packets as they are received. Other keyword arguments go to Encoder.
    """

    NEEDS = ("encode",)

    def __init__(self, workload, on_packets=None, **options):
        import ascend_venc

        self.workload = workload
        self.on_packets = on_packets
        self.consumer = None
        self.running = True
        settings = {"gop": 65536, "depth": workload.buffers, "backend": workload.device or native.device_library()}
        settings["vui"] = False  # the same bytes as the other peers
        if has("receive_many"):
            settings["max_queued"] = 4096  # one thread submits and receives: it must not wait for itself
        settings.update(options)
        size, backend = (workload.width, workload.height), settings.pop("backend")
        self.group = ascend_venc.EncoderGroup(backend=backend) if workload.channels > 1 else None
        open_one = self.group.add if self.group else functools.partial(ascend_venc.Encoder, backend=backend)
        self.encoders = [open_one(*size, codec="h265", **settings) for _ in range(workload.channels)]
        self.encoder = self.encoders[0]
        self.frames = [np.full(workload.picture_bytes, 0x5A, np.uint8) for _ in range(max(workload.buffers, 2))]
        self.frames_out = self.bytes = self.next_index = 0
        self.checksum = 1

    def take(self, packets):
        """Count packets, which are given back then."""
        self.bytes += sum(map(len, packets))
        self.frames_out += len(packets)  # last: whoever waits for it looks at the bytes then
        if self.workload.checksums:
            for packet in packets:
                if packet.frame_index != self.next_index:
                    raise RuntimeError(f"frame {packet.frame_index} came as number {self.next_index}")
                self.next_index += 1
                self.checksum = zlib.adler32(packet, self.checksum)
        if self.on_packets is not None:
            self.on_packets(packets)

    def run(self, frames):
        frames_before, bytes_before = self.frames_out, self.bytes
        self.encode_all(frames)
        return Work(
            self.frames_out - frames_before,
            self.bytes - bytes_before,
            self.checksum if self.workload.checksums else None,
        )

    def encode_all(self, frames):
        """One fused call per frame."""
        encode, take, pictures = self.encoder.encode, self.take, self.frames
        count = len(pictures)
        for number in range(frames):
            packets = encode(pictures[number % count])
            if packets:
                take(packets)
        take(self.encoder.flush())

    # ---- a device that stands still, many channels -----------------------------------------------------------------

    def queue(self, frames):
        """Hand frames to each channel; packets are received by one thread for all channels."""
        picture = self.frames[0]
        if self.consumer is None:
            self.start_consumer()
        for encoder in self.encoders:
            for start in range(0, frames, 64):
                encoder.submit_many([picture] * min(64, frames - start))

    def start_consumer(self):
        self.consumer = threading.Thread(target=self._consume, name="consumer")
        self.consumer.start()

    def _consume(self):
        from ascend_venc import AclTimeoutError

        while self.running:
            try:
                if self.group is None:
                    self.take(self.encoder.receive_many(256, timeout=0.2))
                else:
                    self.take([packet for _, packet in self.group.receive_many(256, timeout=0.2)])
            except AclTimeoutError:
                continue

    CALL = "submit"

    def sender(self):
        """A call that sends one frame on each channel; one thread receives."""
        self.start_consumer()
        calls = [getattr(encoder, self.CALL) for encoder in self.encoders]
        picture = self.frames[0]

        def send_all():
            for call in calls:
                call(picture)

        return send_all

    def total(self):
        return Work(self.frames_out, self.bytes)

    def close(self):
        self.running = False
        if self.consumer is not None:
            self.consumer.join()
        for encoder in self.encoders:
            encoder.flush()
            encoder.close()
        if self.group is not None:
            self.group.close()


class Batched(EncoderPeer):
    """submit_many of a batch, then receive_many of what is ready."""

    NEEDS = ("submit_many", "receive_many")

    def encode_all(self, frames):
        batch, take = self.workload.batch, self.take
        submit_many, receive_many = self.encoder.submit_many, self.encoder.receive_many
        pictures = self.frames
        batches = [pictures[i : i + batch] for i in range(0, len(pictures) - batch + 1, batch)] or [pictures[:batch]]
        target = self.frames_out + frames
        sent = 0
        while sent < frames:
            part = batches[sent // batch % len(batches)][: frames - sent]
            submit_many(part)
            sent += len(part)
            take(receive_many(256))
        while self.frames_out < target:
            take(receive_many(256))


class Single(EncoderPeer):
    """submit and receive, one frame each."""

    NEEDS = ("submit", "receive")

    def encode_all(self, frames):
        submit, receive, pictures = self.encoder.submit, self.encoder.receive, self.frames
        count, ahead = len(pictures), self.workload.buffers - 1
        for number in range(frames):
            submit(pictures[number % count])
            if number >= ahead:
                self.take([receive()])
        for _ in range(min(ahead, frames)):
            self.take([receive()])


class Acquired(EncoderPeer):
    """Pictures are written straight into the encoder's own buffers."""

    NEEDS = ("acquire", "receive_many")

    def encode_all(self, frames):
        encoder, take, pictures = self.encoder, self.take, self.frames
        count, target = len(pictures), self.frames_out + frames
        copyto = np.copyto
        ahead = self.workload.buffers // 2
        for number in range(frames):
            frame = encoder.acquire()
            copyto(np.asarray(frame).reshape(-1), pictures[number % count])
            encoder.submit(frame)
            if number % ahead == ahead - 1:
                take(encoder.receive_many(256))
        while self.frames_out < target:
            take(encoder.receive_many(256))


class Queued(EncoderPeer):
    """submit_async: the native sender thread sends; packets are received in batches."""

    NEEDS = ("submit_async", "receive_many")

    def encode_all(self, frames):
        submit, take, pictures = self.encoder.submit_async, self.take, self.frames
        receive_many, batch = self.encoder.receive_many, self.workload.batch
        count, target = len(pictures), self.frames_out + frames
        for number in range(frames):
            submit(pictures[number % count])
            if number % batch == batch - 1:
                take(receive_many(256))
        while self.frames_out < target:
            take(receive_many(256))


# ---- many channels -----------------------------------------------------------------------------------------------


class Asyncio(EncoderPeer):
    """ascend_venc.aio.Encoder: one coroutine to a channel, all on the event loop of one thread."""

    NEEDS = ("submit_async",)

    def __init__(self, workload, on_packets=None, **options):
        super().__init__(replace(workload, channels=1), on_packets, **options)
        self.encoder.close()
        self.encoders = []
        self.settings = {
            "vui": False,
            "gop": 65536,
            "depth": workload.buffers,
            "backend": workload.device or native.device_library(),
            **options,
        }
        self.channels = workload.channels
        self.queued = threading.Event()
        self.thread = None

    def queue(self, frames):
        self.thread = threading.Thread(target=self._loop, args=(frames,), name="asyncio")
        self.thread.start()
        if not self.queued.wait(60):
            raise TimeoutError(f"{frames} frames were not accepted; at most {self.settings['depth']} fit")

    def _loop(self, frames):
        import asyncio

        asyncio.run(self._main(frames))

    async def _main(self, frames):
        import asyncio

        import ascend_venc.aio

        size = self.workload.width, self.workload.height
        encoders = [ascend_venc.aio.Encoder(*size, codec="h265", **self.settings) for _ in range(self.channels)]
        for encoder in encoders:
            await encoder.__aenter__()
            for _ in range(frames):
                await encoder.submit(self.frames[0])
            encoder.drain()
        self.queued.set()
        await asyncio.gather(*map(self._receive, encoders))
        for encoder in encoders:
            await encoder.close()

    async def _receive(self, encoder):
        from ascend_venc import EncoderDrained

        try:
            while True:
                self.take(await encoder.receive_many(256))
        except EncoderDrained:
            return

    def close(self):
        if self.thread is not None:
            self.thread.join()


class Sunk(EncoderPeer):
    """submit_many of a batch; a native thread writes the access units to `file`."""

    def __init__(self, workload, file):
        super().__init__(workload, sink=file)

    def run(self, frames):
        batch, pictures = self.workload.batch, self.frames
        for start in range(0, frames, batch):
            self.encoder.submit_many(pictures[: min(batch, frames - start)])
        self.encoder.flush()


class AsyncSubmit(EncoderPeer):
    """Paced: submit_async for each channel in turn."""

    NEEDS = ("submit_async",)
    CALL = "submit_async"
