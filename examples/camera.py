# SPDX-License-Identifier: Apache-2.0
"""A camera, or any film, as an elementary stream, with what it costs. Usage: python camera.py SOURCE OUTPUT [SECONDS]

SOURCE is a file, /dev/video0 or rtsp://CAMERA/STREAM; OUTPUT ends in .h264 or .h265. Frames go to the device as they
are; packets are written while the next frame is on its way. A camera that goes away, and Ctrl-C, lose nothing.
"""

import sys
import time

import ascend_venc as venc
from ascend_venc.literals import Codec


def record(source: str, output: str, seconds: float = 60.0) -> venc.EncoderStats:
    """Encode what the camera sends for so long, and return the counters."""
    codec: Codec = "h264" if output.endswith("264") else "h265"
    end = time.monotonic() + seconds
    with venc.media.open_video(source, timeout=10) as camera, open(output, "wb") as out:
        encoder = venc.Encoder(
            camera.width,
            camera.height,
            codec=codec,
            fps=camera.fps,
            gop=round(2 * camera.fps),  # a viewer who joins waits two seconds at most
            color=camera.color,
            sample_aspect_ratio=camera.sample_aspect_ratio,
        )
        with encoder:
            try:
                for frame in camera:
                    for packet in encoder.encode(frame.data):
                        out.write(packet)
                    if time.monotonic() > end:
                        break
            except KeyboardInterrupt:
                print("interrupted", file=sys.stderr)
            finally:
                for packet in encoder.flush():
                    out.write(packet)
            return encoder.stats


if __name__ == "__main__":
    stats = record(sys.argv[1], sys.argv[2], *map(float, sys.argv[3:4]))
    p50, p99 = 1000 * stats.latency.p50, 1000 * stats.latency.p99
    print(f"{stats.encoded} frames, {stats.bytes_out} bytes, latency {p50:.1f} ms, 99 % below {p99:.1f} ms")
