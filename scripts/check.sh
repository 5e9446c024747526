#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What docs/reliability.md says, run. Each check prints its figure; what it said is in build/check.
#   bash scripts/check.sh fast   minutes: types, documentation and its examples, packages, benchmarks, instruction counts,
#                                whether the sanitizers report seeded bugs, damaged bitstreams
#   bash scripts/check.sh full   an hour on two processors: these, the suite, both sweeps in full, every pair of calls from two
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
FAILED=build/check/failed
: >"$FAILED"

# NAME, FIGURE (an extended regular expression of the line that has it), the command.
check() {
    local name=$1 figure=$2 log="build/check/$1.log" begin=$SECONDS line
    shift 2
    if "$@" >"$log" 2>&1 </dev/null; then
        line=$(grep -E "$figure" "$log" | tail -n 1)
        [ -n "$line" ] || echo "$name" >>"$FAILED"
    else
        line="FAILED, see $log: $(grep -v '^ *$' "$log" | tail -n 1)"
        echo "$name" >>"$FAILED"
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

# Three at a time: most of them wait more than they compute.
first_lane() {
    check suite passed bash scripts/test.sh
    check planted-faults "faults are found" "$PY" scripts/mutate.py --part 1/5
}
second_lane() {
    check calls-that-fail-v1 "points of" pytest -s --every=1 --interface=v1 tests/integration/test_fault_sweep.py
    check calls-that-fail-v2 "points of" pytest -s --every=1 --interface=v2 tests/integration/test_fault_sweep.py
    check pairs "no problems" pairs
    check more-variants passed pytest -m soak tests/unit
    check allocations passed pytest --every=1 tests/integration/test_memory_error.py
    check examples passed pytest --examples=3000 tests/unit/test_bad_inputs.py tests/unit/test_config.py \
        tests/unit/test_media_y4m.py tests/unit/test_media_timeline.py tests/integration/test_encoder_model.py
    check fuzz rounds bash scripts/fuzz.sh 10000000
}
third_lane() {
    for interface in v1 v2; do
        check "calls-that-hang-$interface" passed pytest -n 3 -m soak --interface=$interface tests/integration/test_hang_sweep.py
    done
    check other-devices passed pytest -m soak tests/integration/test_other_devices.py
    check soak passed pytest -m soak tests/soak
}
if [ "$MODE" = full ]; then
    trap 'trap - INT TERM; kill 0' INT TERM # jobs in the background do not hear of Ctrl-C
    first_lane &
    second_lane &
    third_lane &
    wait
fi

if [ -s "$FAILED" ]; then
    echo "check: not well: $(tr '\n' ' ' <"$FAILED")" >&2
    exit 1
fi
echo "check: all is well"
