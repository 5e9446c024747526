#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Set up, then encode the committed clip to demo.mp4 on the simulated device. Arguments go to `ascend-venc encode`.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
cd "$ROOT"
CLIP=tests/data/bbb_640x360_25fps_60f.mp4
[ $# -gt 0 ] || set -- --codec h264 --bitrate 2M # what every browser plays
"$PY" -m ascend_venc encode "$CLIP" demo.mp4 --backend sim --overwrite --json "$@" >build/demo.json
"$PY" - "$CLIP" <<'EOF'
import json
import sys

import av


def shown(path):
    with av.open(path) as container:
        stream = container.streams.video[0]
        size = f"{stream.width}x{stream.height}"
        return sum(1 for _ in container.decode(stream)), size, container.duration / av.time_base


with open("build/demo.json") as file:
    result = json.load(file)
original, encoded = shown(sys.argv[1]), shown("demo.mp4")
print(
    f"demo.mp4: {encoded[0]} frames, {encoded[1]}, {encoded[2]:.2f} s, {result['codec']}, "
    f"{result['bit_rate'] / 1e6:.2f} Mbit/s, encoded from {sys.argv[1]}"
)
print(f"          by the simulated {result['chip']}, in {result['elapsed']} s")
if original != encoded:
    sys.exit(f"demo: decoded {encoded}, but the clip has {original}")
print("play it:  ffplay demo.mp4, or vlc demo.mp4, or open it in a browser")
EOF
