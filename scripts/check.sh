#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What docs/reliability.md says, run. Each check prints its figure; what it said is in build/check.
#   bash scripts/check.sh fast   minutes: types, documentation and its examples, packages, benchmarks, instruction counts,
#                                whether the sanitizers report seeded bugs, damaged bitstreams
#   bash scripts/check.sh full   two hours and more: these, the suite, both sweeps in full, every pair of calls from two
#                                threads under sanitizers, the engine's tests on the other devices, soak, millions of
#                                damaged bitstreams, a fifth of the planted faults (all: scripts/mutate.py)
set -u
case "${1:-}" in
    fast | full) ;;
    *)
        sed -n '3,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
        exit 2
        ;;
esac
MODE=$1
set -e
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
set +e
cd "$ROOT" || exit 1
mkdir -p build/check
failed=()

# NAME, FIGURE (an extended regular expression of the line that has it), the command.
check() {
    local name=$1 figure=$2 log="build/check/$1.log" begin=$SECONDS line
    shift 2
    if "$@" >"$log" 2>&1 </dev/null; then
        line=$(grep -E "$figure" "$log" | tail -n 1)
        [ -n "$line" ] || failed+=("$name")
    else
        line="FAILED, see $log: $(grep -v '^ *$' "$log" | tail -n 1)"
        failed+=("$name")
    fi
    printf '%-22s %4d s  %s\n' "$name" $((SECONDS - begin)) "${line:-no figure, see $log}"
}

pytest() { "$PY" -m pytest -q -p no:cacheprovider "$@"; }

scripts_parse() {
    local script
    for script in scripts/*.sh .ci/run; do bash -n "$script" || return 1; done
    "$PY" -m compileall -q ascend_venc scripts tests examples && echo "scripts and modules parse"
}

# The sum of what pairs.py says for each sanitizer.
pairs() {
    bash scripts/pairs.sh >build/check/pairs.json || { cat build/check/pairs.json; return 1; }
    "$PY" - build/check/pairs.json <<'PYTHON'
import json
import sys

text, results = open(sys.argv[1]).read(), []
while text.strip():
    result, end = json.JSONDecoder().raw_decode(text.lstrip())
    results.append(result)
    text = text.lstrip()[end:]
for name in ("cells", "of", "frames"):
    globals()[name] = sum(result[name] for result in results)
print(f"{cells} of {of} pairs of calls, {results[0]['rounds']} rounds each, {frames} frames, no problems")
PYTHON
}

check parse parse scripts_parse
check planted-faults-apply apply "$PY" scripts/mutate.py --check
check project passed bash scripts/test.sh -m project
check fuzz-short rounds bash scripts/fuzz.sh 300000 1

if [ "$MODE" = full ]; then
    check suite passed bash scripts/test.sh
    for interface in v1 v2; do
        check "calls-that-fail-$interface" "points of" pytest -s --every=1 --interface=$interface tests/integration/test_fault_sweep.py
        check "calls-that-hang-$interface" passed pytest -s -m soak --interface=$interface tests/integration/test_hang_sweep.py
    done
    check other-devices passed pytest -m soak tests/integration/test_other_devices.py
    check soak passed pytest -m soak tests/soak
    check examples passed pytest --examples=3000 tests/unit/test_bad_inputs.py tests/unit/test_config.py \
        tests/unit/test_media_y4m.py tests/unit/test_media_timeline.py tests/integration/test_encoder_model.py
    check allocations passed pytest --every=1 tests/integration/test_memory_error.py
    check more-variants passed pytest -m soak tests/unit
    check pairs "no problems" pairs
    check fuzz rounds bash scripts/fuzz.sh 10000000
    check planted-faults "faults are found" "$PY" scripts/mutate.py --part 1/5
fi

if [ ${#failed[@]} -gt 0 ]; then
    echo "check: not well: ${failed[*]}" >&2
    exit 1
fi
echo "check: all is well"
