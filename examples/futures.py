# SPDX-License-Identifier: Apache-2.0
"""Futures: threads of a pool make pictures, each waits for its own packet. Usage: python futures.py FOLDER

What a service does that answers each request with one encoded picture: every frame is a key frame, so that each file
can be shown alone. The threads share one encoder, and nobody but the Future's owner sees its packet.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import ascend_venc as venc

WIDTH, HEIGHT = 640, 360


def chart(value: int) -> bytes:
    """NV12: a bar as high as the value."""
    luma = np.full((HEIGHT, WIDTH), 32, np.uint8)
    luma[HEIGHT - value * 3 :, 240:400] = 220
    return luma.tobytes() + bytes([128]) * (WIDTH * HEIGHT // 2)


def main(folder: Path) -> int:
    """Answer twenty requests by eight threads; return how many bytes the answers have."""
    folder.mkdir(parents=True, exist_ok=True)
    with venc.Encoder(WIDTH, HEIGHT, codec="h264", rc="vbr", depth=8) as encoder, ThreadPoolExecutor(8) as pool:

        def answer(request: int) -> int:
            future = encoder.encode_future(chart(5 * request), key_frame=True, token=request)
            packet = future.result(timeout=30)
            assert packet.token == request and packet.is_keyframe
            return (folder / f"{request:02}.h264").write_bytes(packet)

        return sum(pool.map(answer, range(20)))


if __name__ == "__main__":
    print(f"{main(Path(sys.argv[1]))} bytes")
