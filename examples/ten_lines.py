# SPDX-License-Identifier: Apache-2.0
"""Ten lines: pictures that a program makes, as a film that every player shows. Usage: python ten_lines.py [OUTPUT]"""

import sys

import numpy as np

import ascend_venc as venc

stripes = np.tile(np.linspace(0, 255, 640, dtype=np.uint8)[:, None], (360, 1, 3))  # RGB, 640 x 360
pictures = (np.roll(stripes, 8 * number, axis=1) for number in range(50))
frames = venc.write(sys.argv[1] if len(sys.argv) > 1 else "film.mp4", pictures, fps=25, bitrate="1M")
print(f"{frames} frames")
