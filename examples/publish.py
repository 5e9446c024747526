# SPDX-License-Identifier: Apache-2.0
"""A camera to a media server, and into a file beside it. Usage: python publish.py rtsp://SERVER/PATH [SECONDS]

rtmp://, srt:// and udp:// go the same way. The file is whole whatever the network does.
"""

import sys
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

import ascend_venc as venc

WIDTH, HEIGHT, FPS = 640, 360, 25


def camera(seconds: float) -> Iterator[NDArray[np.uint8]]:
    """What the camera sees: a bright bar that wanders. A real one has a pace of its own."""
    for number in range(int(seconds * FPS)):
        picture = np.full((HEIGHT, WIDTH, 3), (20, 40, 120), np.uint8)
        left = 8 * number % (WIDTH - 80)
        picture[:, left : left + 80] = 230
        yield picture


def main(url: str, seconds: float = 60.0) -> None:
    live = venc.media.LiveOutput(url, realtime=True)  # for pictures that no camera paces
    with venc.VideoWriter(["published.mkv", live], fps=FPS, gop=2 * FPS, codec="h264", bitrate="1M") as writer:
        for picture in camera(seconds):
            writer.write(picture)
            if writer.frames % (10 * FPS) == 0:
                print(live.stats, flush=True)
    print(live.stats)


if __name__ == "__main__":
    main(sys.argv[1], *map(float, sys.argv[2:3]))
