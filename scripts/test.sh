#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Set up, then run the whole test suite on the simulated device, by two processes: tests wait more than they compute. Arguments
# go to pytest; `-n 0` runs it in one.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
cd "$ROOT"
# Tests start a thousand programs and more: without it each compiles the package anew.
unset PYTHONDONTWRITEBYTECODE
exec "$PY" -m pytest -q -n 2 --dist loadfile --benchmark-disable "$@"
