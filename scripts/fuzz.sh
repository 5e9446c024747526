#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Millions of damaged parameter sets, SEI and access units through the engine's bitstream code, with gcc's address and
# undefined-behaviour sanitizers.
#   bash scripts/fuzz.sh [ROUNDS, default 10000000] [SEED, default the time]
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-10000000} seed=${2:-$(date +%s)}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
gcc -std=gnu11 -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -Wno-format-truncation -pthread \
    -Icsrc -Icsrc/include csrc/base/*.c csrc/bitstream/*.c tests/unit/native/fuzz_bitstream.c -o "$folder/fuzz"
echo "$rounds rounds from seed $seed"
"$folder/fuzz" "$rounds" "$seed" tests/data/bitstream/*
