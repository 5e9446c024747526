#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What type checkers say: mypy --strict on the package, the examples and tests/typing; stubtest on every stub, with the lines
# of its allowlist that are not needed any more; pyright on the examples and tests/typing. pyright is taken from the PATH, or
# installed into build/pyright by npm; without either, that is said, and the exit code is 1.
set -u
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
cd "$ROOT" || exit 1
failed=()

check() {
    local name=$1
    shift
    echo "types: $name"
    "$@" || failed+=("$name")
}

find_pyright() {
    command -v pyright && return
    [ -x build/pyright/node_modules/.bin/pyright ] ||
        npm install --silent --no-audit --no-fund --prefix build/pyright pyright >/dev/null 2>&1 || return
    echo build/pyright/node_modules/.bin/pyright
}

check "mypy --strict" "$PY" -m mypy
check stubtest "$PY" -m mypy.stubtest --allowlist tests/stubtest_allowlist.txt ascend_venc
if pyright="$(find_pyright)"; then
    check pyright "$pyright" --pythonpath "$PY"
else
    echo "types: there is no pyright on the PATH, and npm cannot install it" >&2
    failed+=(pyright)
fi

if [ ${#failed[@]} -gt 0 ]; then
    echo "types: not well: ${failed[*]}" >&2
    exit 1
fi
echo "types: all is well"
