#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Set up, then run the whole test suite on the simulated device. Arguments go to pytest.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
cd "$ROOT"
exec "$PY" -m pytest -q "$@"
