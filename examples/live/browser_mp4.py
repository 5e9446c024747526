# SPDX-License-Identifier: Apache-2.0
"""A camera in a <video> element: fragmented MP4 over HTTP, one encoder for each viewer. Usage: browser_mp4.py [PORT]

Browsers wait for the first 32 KiB or so: at 4 Mbit/s no time at all. Plain ASGI, served by uvicorn. In FastAPI:
`return StreamingResponse(film(), media_type="video/mp4")`.
"""

import asyncio
import sys
import threading
import time

import numpy as np

import ascend_venc as venc

WIDTH, HEIGHT, FPS = 640, 360, 25
MP4 = "frag_every_frame+empty_moov+default_base_moof"  # each picture can be shown when it comes
PAGE = b'<!doctype html><title>Live</title><video src="/live.mp4" autoplay muted playsinline></video>'


def camera():
    begin, random = time.monotonic(), np.random.default_rng()
    for number in range(10**9):
        picture = np.full((HEIGHT, WIDTH, 3), (20, 40, 120), np.uint8)
        picture[:, 8 * number % (WIDTH - 80) :][:, :80] = 230
        yield picture + random.integers(0, 16, (HEIGHT, WIDTH, 1), np.uint8)  # grain, as every camera has
        time.sleep(max(0.0, begin + (number + 1) / FPS - time.monotonic()))


class Body:
    """The file that VideoWriter writes, on a thread: its pieces go to the event loop."""

    def __init__(self):
        self.loop, self.pieces, self.gone = asyncio.get_running_loop(), asyncio.Queue(), threading.Event()

    def write(self, data):
        if self.pieces.qsize() > 10 * FPS:
            raise BrokenPipeError("the viewer is too slow")
        self.loop.call_soon_threadsafe(self.pieces.put_nowait, bytes(data))
        return len(data)

    def encode(self):
        try:
            options = {"fps": FPS, "gop": 2 * FPS, "bitrate": "4M", "muxer_options": {"movflags": MP4}}
            with venc.VideoWriter(self, format="mp4", **options) as writer:
                for picture in camera():
                    if self.gone.is_set():
                        break
                    writer.write(picture)
        finally:
            self.loop.call_soon_threadsafe(self.pieces.put_nowait, None)


async def film():
    """An mp4 without end, piece by piece, up to `aclose`."""
    body = Body()
    threading.Thread(target=body.encode, daemon=True).start()
    try:
        while True:
            piece = await body.pieces.get()
            if piece is None:
                return
            yield piece
    finally:
        body.gone.set()


async def app(scope, receive, send):
    is_film = scope["path"] == "/live.mp4"
    kind = b"video/mp4" if is_film else b"text/html"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    if not is_film:
        return await send({"type": "http.response.body", "body": PAGE})
    await receive()  # the request
    left = asyncio.ensure_future(receive())  # ends when the viewer goes
    pieces = film()
    async for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        if left.done():
            break
    await pieces.aclose()
    left.cancel()


if __name__ == "__main__":
    import uvicorn

    port = int((sys.argv[1:] or ["8000"])[0])
    uvicorn.run(app, host="127.0.0.1", port=port, lifespan="off", timeout_graceful_shutdown=1)
