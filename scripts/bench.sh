#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Set up, then measure the binding on the simulated device and render docs/benchmarks. Arguments go to benchmarks/report.py.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
cd "$ROOT"
exec "$PY" benchmarks/report.py "$@"
