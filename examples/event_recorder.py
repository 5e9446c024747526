# SPDX-License-Identifier: Apache-2.0
"""The seconds before something happened, as a film. Usage: python event_recorder.py SOURCE FOLDER

The camera is encoded all the time, and the last five seconds are kept in memory; when the picture changes suddenly,
they and the two seconds after are written into event-0.mp4, event-1.mp4, ... Nothing is encoded twice.
"""

from __future__ import annotations

import sys

import numpy as np

import ascend_venc as venc

BEFORE, AFTER = 5.0, 2.0  # seconds
SUDDEN = 12.0  # mean change of a pixel, of 255


def main(source: str, folder: str) -> list[str]:
    """Return the files."""
    events: list[str] = []
    ring = venc.media.PacketRing(BEFORE + AFTER)
    with venc.media.open_video(source, timeout=10) as camera:
        last: np.ndarray | None = None
        due: float | None = None  # when what happened is over
        with venc.VideoWriter(ring, times="given", bitrate="2M", gop=25) as writer:
            for frame in camera:
                writer.write(frame)
                luma = np.frombuffer(frame.data, np.uint8)[: camera.width * camera.height].astype(np.int16)
                now = float(frame.pts * camera.time_base)
                if due is None and last is not None and np.abs(luma - last).mean() > SUDDEN:
                    due = now + AFTER
                if due is not None and now >= due:
                    events.append(f"{folder}/event-{len(events)}.mp4")
                    ring.dump(events[-1])
                    due = None
                last = luma
    if due is not None:  # the source has ended meanwhile
        events.append(f"{folder}/event-{len(events)}.mp4")
        ring.dump(events[-1])
    return events


if __name__ == "__main__":
    print("\n".join(main(*sys.argv[1:3])))
