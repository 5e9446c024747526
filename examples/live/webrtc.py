# SPDX-License-Identifier: Apache-2.0
"""WebRTC by aiortc with an encoder of ours: `use_for_h264()`, then aiortc as ever. Usage: webrtc.py (two peers)

The receiver's estimate of the bit rate (REMB) becomes `reconfigure`, its request for a key frame (PLI, FIR) an IDR.
"""

import asyncio
import fractions
from typing import Any

import aiortc.rtcrtpsender
import av
from aiortc.codecs.h264 import H264Encoder

import ascend_venc as venc

FPS = 25
LEAST, MOST = 200_000, 8_000_000  # bit/s


class AscendEncoder(H264Encoder):
    """aiortc's interface of an encoder; its packetizer is kept."""

    target_bitrate = 1_000_000  # aiortc sets it, on the event loop
    encoder: Any = None
    size = None

    def encode(self, frame, force_keyframe=False):  # on a thread
        bitrate = max(LEAST, min(int(self.target_bitrate), MOST))
        if self.size != (frame.width, frame.height):
            self.close()
            self.size = frame.width, frame.height
            options = {"codec": "h264", "profile": "baseline", "fps": FPS, "gop": 10 * FPS}
            self.encoder = venc.Encoder(*self.size, bitrate=bitrate, **options)
        elif abs(bitrate - self.encoder.config.bitrate) > self.encoder.config.bitrate // 10:
            self.encoder.reconfigure(bitrate=bitrate)
        nv12 = frame.reformat(format="nv12").to_ndarray()
        self.encoder.submit(nv12, pts=frame.pts, key_frame=force_keyframe)
        packet = self.encoder.receive().to_av()
        packet.time_base = frame.time_base
        return self.pack(packet)

    def close(self):
        if self.encoder is not None:
            self.encoder.close()

    __del__ = close  # aiortc drops it at the end


def use_for_h264():
    """Let every RTCRtpSender of this process that sends H.264 encode by us."""
    others = aiortc.rtcrtpsender.get_encoder
    aiortc.rtcrtpsender.get_encoder = lambda codec: AscendEncoder() if codec.name == "H264" else others(codec)


def prefer_h264(transceiver):
    codecs = aiortc.RTCRtpSender.getCapabilities("video").codecs
    transceiver.setCodecPreferences([codec for codec in codecs if codec.mimeType in ("video/H264", "video/rtx")])


class Camera(aiortc.VideoStreamTrack):
    """What the camera sees: it grows brighter. Its base class has the clock."""

    async def recv(self):
        pts, time_base = await self.next_timestamp()
        frame = av.VideoFrame(640, 360, "yuv420p")
        for plane, level in zip(frame.planes, (pts // 3000 % 200 + 20, 128, 128)):
            plane.update(bytes([level]) * plane.buffer_size)
        frame.pts, frame.time_base = pts, fractions.Fraction(time_base)
        return frame


async def connect(sender, receiver):
    """The signalling that a web page and a server would do over HTTP."""
    await sender.setLocalDescription(await sender.createOffer())
    await receiver.setRemoteDescription(sender.localDescription)
    await receiver.setLocalDescription(await receiver.createAnswer())
    await sender.setRemoteDescription(receiver.localDescription)


async def main(frames=50):
    use_for_h264()
    sender, receiver, tracks = aiortc.RTCPeerConnection(), aiortc.RTCPeerConnection(), asyncio.Queue()
    receiver.on("track", tracks.put_nowait)
    prefer_h264(sender.addTransceiver(Camera(), direction="sendonly"))
    await connect(sender, receiver)
    track = await tracks.get()
    received = [await track.recv() for _ in range(frames)]
    print(f"{frames} frames of {received[0].width} x {received[0].height} were received")
    await asyncio.gather(sender.close(), receiver.close())


if __name__ == "__main__":
    asyncio.run(main())
