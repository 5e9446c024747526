#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Set up, then run the test suite on the simulated device, by three processes: tests wait as well as compute. Arguments go to
# pytest; `-n 0` runs it in one, `-m project` what is about the project itself, which scripts/check.sh runs.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
cd "$ROOT"
# Tests start a thousand programs and more: without it each compiles the package anew.
unset PYTHONDONTWRITEBYTECODE
exec "$PY" -m pytest -q -n 3 --dist loadfile --benchmark-disable "$@"
