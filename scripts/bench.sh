#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Set up, then measure everything on the simulated device (under 10 minutes on 2 cores) and write docs/benchmarks.
# Arguments go to benchmarks/run.py: --pyacl measures the vendor's module too, --quick only tries the harness.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
cd "$ROOT"
exec "$PY" benchmarks/run.py --all "$@"
