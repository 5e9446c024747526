# SPDX-License-Identifier: Apache-2.0
"""One encoder, many viewers: H.264 over TCP, all on one event loop. Usage: python asyncio_server.py [PORT]

`ffplay -f h264 tcp://127.0.0.1:8100` shows it. A viewer begins with a key frame; one who is too slow is let go.
"""

import asyncio
import sys
from collections.abc import AsyncIterator

import numpy as np
from numpy.typing import NDArray

from ascend_venc.aio import Encoder

WIDTH, HEIGHT, FPS = 640, 360, 25
MOST_BEHIND = 512 * 1024  # bytes


class Broadcast:
    def __init__(self) -> None:
        self.viewers: dict[asyncio.StreamWriter, bool] = {}  # whether they have had a key frame
        self.wants_key_frame = False

    async def join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.viewers[writer] = False
        self.wants_key_frame = True

    async def encode(self, frames: AsyncIterator[NDArray[np.uint8]]) -> None:
        async with Encoder(WIDTH, HEIGHT, codec="h264", fps=FPS, bitrate="1M", gop=10 * FPS) as encoder:
            async for frame in frames:
                wanted, self.wants_key_frame = self.wants_key_frame, False
                for packet in await encoder.encode(frame, key_frame=wanted):
                    for viewer, begun in list(self.viewers.items()):
                        if viewer.is_closing() or viewer.transport.get_write_buffer_size() > MOST_BEHIND:
                            del self.viewers[viewer]
                            viewer.transport.abort()
                        elif begun or packet.is_keyframe:
                            self.viewers[viewer] = True
                            viewer.write(bytes(packet))


async def camera() -> AsyncIterator[NDArray[np.uint8]]:
    """NV12 at its pace: a bright bar that wanders."""
    for number in range(10**9):
        frame = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
        frame[:HEIGHT] = np.roll(np.arange(WIDTH) < 80, 8 * number) * 180 + 40
        yield frame
        await asyncio.sleep(1 / FPS)


async def main(port: int) -> None:
    broadcast = Broadcast()
    async with await asyncio.start_server(broadcast.join, "127.0.0.1", port):
        await broadcast.encode(camera())


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8100))
