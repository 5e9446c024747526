#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Set up, then measure the binding on the simulated device and render docs/benchmarks. Arguments go to benchmarks/run.py.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
cd "$ROOT"
# A peer of the conversion group, which is not needed for anything else.
"$PY" -c 'import cv2' 2>/dev/null || "$PY" -m pip install --quiet "opencv-python-headless>=4.8" ||
    echo "bench: no OpenCV can be installed: it is left out" >&2
exec "$PY" benchmarks/run.py "$@"
