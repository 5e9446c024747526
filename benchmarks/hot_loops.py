# SPDX-License-Identifier: Apache-2.0
"""The two hot loops, for a profiler: docs/benchmarks/profiles.md says what was seen and what was changed.

    perf record -g python benchmarks/hot_loops.py batches 10
    py-spy record --native --output loop.txt --format raw -- python benchmarks/hot_loops.py group 10

batches   one thread: submit_many of 8 frames of 128 x 128, receive_many, access units of 20 KB
group     64 encoders at 30 frames per second each: one thread submits, one receives from the EncoderGroup
"""

import sys
import threading
import time

import device

SIZE = 128, 128


def batches(seconds):
    import ascend_venc as venc

    frames = [bytes([number]) * (SIZE[0] * SIZE[1] * 3 // 2) for number in range(8)]
    received, end = 0, time.monotonic() + seconds
    with venc.Encoder(*SIZE, gop=65536, depth=16, backend="sim") as enc:
        while time.monotonic() < end:
            for _ in range(100):
                enc.submit_many(frames)
                received += len(enc.receive_many(64))
        received += len(enc.flush())
    return received


def group(seconds, channels=64, rate=30):
    import ascend_venc as venc

    frames = [bytes([number]) * (SIZE[0] * SIZE[1] * 3 // 2) for number in range(8)]
    received = [0]

    def receive():
        try:
            while True:
                received[0] += len(cameras.receive_many(256))
        except venc.EncoderDrained:
            pass

    with venc.EncoderGroup(backend="sim") as cameras:
        encoders = [cameras.add(*SIZE, gop=65536, depth=4) for _ in range(channels)]
        receiver = threading.Thread(target=receive, name="receive")
        receiver.start()
        begin = time.monotonic()
        for number in range(int(seconds * rate * channels)):
            wait = begin + number / (rate * channels) - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            encoders[number % channels].submit(frames[number % 8])
        cameras.drain()
        receiver.join()
    return received[0]


def main():
    loops = {"batches": batches, "group": group}
    if len(sys.argv) != 3 or sys.argv[1] not in loops:
        sys.exit("hot_loops.py batches|group SECONDS")
    with device.configured(20_000):
        begin, cpu = time.monotonic(), time.process_time()
        frames = loops[sys.argv[1]](float(sys.argv[2]))
        wall, cpu = time.monotonic() - begin, time.process_time() - cpu
    print(f"{frames} frames, {frames / wall:.0f} per second, {1e6 * cpu / frames:.2f} us of CPU each")


if __name__ == "__main__":
    main()
