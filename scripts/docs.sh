#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The documentation as pages, in build/docs; a warning is an error. Arguments go to Sphinx (-E: from the beginning).
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
cd "$ROOT"
"$PY" -c 'import furo, myst_parser, sphinx' 2>/dev/null || quietly "$PY" -m pip install --no-build-isolation --editable ".[docs]"
"$PY" -m sphinx -q -W --keep-going -n -c docs -b html -d build/docs-cache . build/docs "$@"
echo "docs: build/docs/docs/index.html"
