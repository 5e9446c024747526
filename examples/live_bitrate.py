# SPDX-License-Identifier: Apache-2.0
"""A bit rate that follows the network, without a key frame. Usage: python live_bitrate.py OUTPUT

DVPP V2 (310P, 310B) changes it in the channel that is there; on V1 another channel takes its place, which begins with
a key frame. Here the network is a table; WebRTC's feedback, or how full a socket is, would be asked instead.
"""

import sys

import numpy as np
from numpy.typing import NDArray

import ascend_venc as venc

WIDTH, HEIGHT, FPS = 640, 360, 25
BANDWIDTH = (2_000_000, 400_000, 1_000_000)  # bit/s, each for two seconds


def camera(seed: int) -> NDArray[np.uint8]:
    """NV12: soft clouds, others in each picture."""
    blocks = np.random.default_rng(seed).integers(90, 160, (HEIGHT * 3 // 2 // 20, WIDTH // 20), np.uint8)
    return np.kron(blocks, np.ones((20, 20), np.uint8))


def main(output: str) -> list[tuple[int, int, int]]:
    """Return (bit rate asked for, bit rate achieved, key frames) of each period."""
    periods: list[tuple[int, int, int]] = []
    encoder = venc.Encoder(WIDTH, HEIGHT, codec="h264", rc="cbr", bitrate=BANDWIDTH[0], fps=FPS, gop=60 * FPS)
    with open(output, "wb") as file, encoder:
        for bandwidth in BANDWIDTH:
            if bandwidth != encoder.config.bitrate:
                encoder.reconfigure(bitrate=bandwidth)
            packets = []
            for number in range(2 * FPS):
                packets += encoder.encode(camera(number))
            packets += encoder.flush()
            file.writelines(packets)
            size = sum(packet.size for packet in packets)
            periods.append((bandwidth, size * 8 // 2, sum(packet.is_keyframe for packet in packets)))
    return periods


if __name__ == "__main__":
    for asked, achieved, keys in main(sys.argv[1]):
        print(f"{asked / 1000:.0f} kbit/s asked for, {achieved / 1000:.0f} sent, {keys} key frames")
