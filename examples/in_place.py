# SPDX-License-Identifier: Apache-2.0
"""No copy of ours: pictures are drawn into the buffers that the device reads. Usage: python in_place.py OUTPUT [FRAMES]

On a board (310B) that memory is the device's own; on a host it is pinned, and goes to the device in one DMA. Packets
are written by a native thread, straight from the engine's memory: Python touches no byte of them.
"""

import sys

import numpy as np

import ascend_venc as venc

WIDTH, HEIGHT, FPS = 1280, 720, 30


def draw(frame: venc.Frame, number: int) -> None:
    """A checkerboard that drifts; `y` and `uv` are views of the engine's memory."""
    rows, columns = np.ogrid[:HEIGHT, :WIDTH]
    frame.y[:] = (rows // 40 + (columns + 4 * number) // 40) % 2 * 180 + 30
    frame.uv[:] = 128


def main(output: str, frames: int = 60) -> venc.EncoderStats:
    with (
        open(output, "wb", buffering=0) as file,
        venc.Encoder(WIDTH, HEIGHT, codec="h265", fps=FPS, bitrate="3M", sink=file) as encoder,
    ):
        for number in range(frames):
            frame = encoder.acquire()  # waits while the device has all of them
            assert frame is not None  # on_full is "block"
            draw(frame, number)
            encoder.submit(frame)
        encoder.flush()
        return encoder.stats


if __name__ == "__main__":
    stats = main(sys.argv[1], *map(int, sys.argv[2:3]))
    print(f"{stats.written} of {stats.submitted} frames written, {stats.host_copies_in} copies by the CPU")
