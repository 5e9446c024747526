# SPDX-License-Identifier: Apache-2.0
"""A camera on a <canvas>: packets over a WebSocket, decoded by WebCodecs. Usage: webcodecs.py [PORT]

The latency is that of the encoder and the network: nothing waits for a fragment. Plain ASGI, served by uvicorn, which
wants the package websockets for it.
"""

import asyncio
import base64
import json
import struct
import sys

import numpy as np

import ascend_venc.aio
from ascend_venc import bitstream

WIDTH, HEIGHT, FPS = 640, 360, 25
PAGE = b"""<!doctype html><title>Live</title><canvas width="640" height="360"></canvas><script>
const canvas = document.querySelector('canvas').getContext('2d');
window.shown = 0;
const decoder = new VideoDecoder({
  output: frame => { canvas.drawImage(frame, 0, 0); window.shown++; window.time = frame.timestamp; frame.close(); },
  error: error => { window.failed = String(error); },
});
const socket = new WebSocket(`ws://${location.host}/packets`);
socket.binaryType = 'arraybuffer';
socket.onmessage = ({data}) => {
  if (typeof data === 'string') {  // {codec, description}
    const config = JSON.parse(data);
    config.description = Uint8Array.from(atob(config.description), c => c.charCodeAt(0));
    decoder.configure({...config, optimizeForLatency: true});
    return;
  }
  const head = new DataView(data);  // a byte: key frame or not; 8 bytes: microseconds; then the access unit
  decoder.decode(new EncodedVideoChunk({
    type: head.getUint8(0) ? 'key' : 'delta', timestamp: Number(head.getBigInt64(1)), data: new Uint8Array(data, 9),
  }));
};
</script>"""


async def camera():
    begin, loop = asyncio.get_running_loop().time(), asyncio.get_running_loop()
    for number in range(10**9):
        picture = np.full((HEIGHT, WIDTH, 3), (20, 40, 120), np.uint8)
        picture[:, 8 * number % (WIDTH - 80) :][:, :80] = 230
        yield picture
        await asyncio.sleep(begin + (number + 1) / FPS - loop.time())


async def send_packets(send):
    settings = {"codec": "h264", "fps": FPS, "gop": 2 * FPS, "bitrate": "1M", "pixel_format": "rgb24"}
    async with ascend_venc.aio.Encoder(WIDTH, HEIGHT, **settings) as encoder:
        async for packet in encoder.encode_iter(camera()):
            if packet.frame_index == 0:
                record = base64.b64encode(bitstream.description(packet)).decode()
                config = {"codec": bitstream.codec_string(packet), "description": record}
                await send({"type": "websocket.send", "text": json.dumps(config)})
            head = struct.pack(">?q", packet.is_keyframe, round(packet.pts * packet.time_base * 1_000_000))
            await send({"type": "websocket.send", "bytes": head + bitstream.to_length_prefixed(packet)})


async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
        return await send({"type": "http.response.body", "body": PAGE})
    await receive()
    await send({"type": "websocket.accept"})
    sending = asyncio.ensure_future(send_packets(send))
    while (await receive())["type"] != "websocket.disconnect":
        pass
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)


if __name__ == "__main__":
    import uvicorn

    port = int((sys.argv[1:] or ["8000"])[0])
    uvicorn.run(app, host="127.0.0.1", port=port, lifespan="off", timeout_graceful_shutdown=1)
