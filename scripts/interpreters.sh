#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The test suite on each CPython: python3.9 to python3.14, those that are there, or the ones that are named. Each has a copy of the
# sources and an environment of its own, below build/interpreters, which stay for the next time.
#   bash scripts/interpreters.sh [PYTHON...]
set -u
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$ROOT" || exit 1
[ $# -gt 0 ] || set -- python3.9 python3.10 python3.11 python3.12 python3.13 python3.14
tried=0 failed=()
for python; do
    version=$("$python" -c 'import ensurepip, sys, sysconfig
print("%d.%d" % sys.version_info[:2] + ("t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""))' 2>/dev/null) || {
        echo "$python: does not start, or has no ensurepip"
        continue
    }
    tried=$((tried + 1))
    copy=build/interpreters/$version
    mkdir -p "$copy"
    # What is new replaces what is older; what git does not have any more goes.
    (cd "$copy" && find . -path ./.venv -prune -o -path ./build -prune -o -name '*.so' -prune -o -type f -print0 | xargs -0 -r rm -f)
    git ls-files -z --cached --others --exclude-standard | tar --null -T - -cf - | tar -xf - -C "$copy"
    begin=$SECONDS
    if PYTHON=$python bash "$copy/scripts/test.sh" >"$copy.log" 2>&1 </dev/null; then
        said=
    else
        said="FAILED: "
        failed+=("$version")
    fi
    printf '%-6s %5d s  %s%s\n' "$version" $((SECONDS - begin)) "$said" "$(grep -v '^ *$' "$copy.log" | tail -n 1)"
done
[ "$tried" -gt 0 ] || failed+=(none)
if [ ${#failed[@]} -gt 0 ]; then
    echo "interpreters: not well: ${failed[*]}" >&2
    exit 1
fi
