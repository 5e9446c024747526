#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Set up, then encode the committed clip to demo.mp4 on the simulated device. Arguments go to `ascend-venc encode`.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
cd "$ROOT"
CLIP=tests/data/bbb_640x360_25fps_60f.mp4
BEGIN=$SECONDS
"$PY" -m ascend_venc encode "$CLIP" demo.mp4 --backend sim -b 2M -y --json "$@" >build/demo.json
"$PY" - build/demo.json "$CLIP" "$((SECONDS - BEGIN))" <<'END'
import json
import os
import sys

made = json.load(open(sys.argv[1]))
print(f"made:   {os.path.abspath('demo.mp4')}")
print(f"from:   {sys.argv[2]} (Big Buck Bunny, CC-BY 3.0, Blender Foundation)")
print(
    f"is:     {made['codec']}, {made['width']}x{made['height']}, {made['frames']} frames at {made['fps']:g} fps, "
    f"{made['duration']:g} s, {made['bit_rate'] / 1e6:.2f} Mbit/s, {made['key_frames']} key frames"
)
print(f"device: {made['backend']}{', simulated on this CPU' if made['backend'].startswith('sim') else ''}, {sys.argv[3]} s")
print("play:   ffplay demo.mp4   (or VLC, mpv, a browser that plays H.265; for H.264: bash scripts/demo.sh -c h264)")
END
