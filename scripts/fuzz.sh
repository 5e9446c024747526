#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Fuzzers, for long: the suite runs each for a moment.
#   bash scripts/fuzz.sh [-t TARGET]... [ROUNDS, default 10000000] [SEED, default the time]
# bitstream: damaged parameter sets, SEI and access units, ROUNDS of them, through the engine's bitstream code; calls: a
# hundred-thousandth of ROUNDS worlds of calls of the C interface in any order, right and wrong. Both are built with gcc's address and
# undefined-behaviour sanitizers. films, y4m, capsules, settings: tests/helpers/fuzz.py, a thousandth of ROUNDS each.
# What they begin with is tests/data/bitstream and tests/data/fuzz.
set -euo pipefail
targets=()
while [ "${1:-}" = -t ]; do
    targets+=("$2")
    shift 2
done
[ ${#targets[@]} -gt 0 ] || targets=(bitstream calls films y4m capsules settings)
rounds=${1:-10000000} seed=${2:-$(date +%s)}
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
cd "$ROOT"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
build() {
    gcc -std=gnu11 -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -Wno-format-truncation -pthread \
        -Icsrc -Icsrc/include "$@" -ldl
}
for target in "${targets[@]}"; do
    case "$target" in
        bitstream)
            build csrc/base/*.c csrc/bitstream/*.c tests/unit/native/fuzz_bitstream.c -o "$folder/bitstream"
            "$folder/bitstream" "$rounds" "$seed" tests/data/bitstream/* >/dev/null
            echo "bitstream: $rounds rounds from seed $seed"
            ;;
        calls)
            build csrc/{base,bitstream,load,convert,engine,ports}/*.c \
                tests/unit/native/{fuzz_calls,scenario,loopback_port,channels}.c -o "$folder/calls"
            worlds=$((rounds / 100000 + 20))
            ROUNDS=$worlds SEED=$seed "$folder/calls" >/dev/null 2>"$folder/calls.log" || {
                tr '\r' '\n' <"$folder/calls.log" | tail -n 40 >&2
                exit 1
            }
            echo "calls: $worlds rounds of 300 calls from seed $seed"
            ;;
        *) "$PY" tests/helpers/fuzz.py "$target" $((rounds / 1000 + 200)) "$seed" 2>"$folder/python.log" || {
            tr '\r' '\n' <"$folder/python.log" | tail -n 40 >&2
            exit 1
        } ;;
    esac
done
