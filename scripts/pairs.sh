#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The whole table of pairs of calls (tests/helpers/pairs.py), under the address and the thread sanitizer, with random
# pauses before each lock of the engine. Each has a build of its own below build/pairs, made once and kept up to date.
# Arguments go to pairs.py. SANITIZERS="address" runs one of them.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

# A copy of the sources, times kept, so that what has not changed is not compiled again.
build() {
    local sanitizer=$1 flags=$2 place="$ROOT/build/pairs/$1"
    mkdir -p "$place/build"
    (cd "$ROOT" && find csrc ascend_venc scripts setup.py pyproject.toml README.md -type f ! -name '*.so' ! -name '*.pyc') |
        (cd "$ROOT" && tar -cf - -T -) | tar -C "$place" --keep-newer-files --warning=no-ignore-newer -xf - 2>/dev/null
    echo "pairs: building with -fsanitize=$sanitizer (log: build/pairs/$sanitizer/build.log)" >&2
    (cd "$place" && AVENC_CFLAGS="-DAVENC_DELAYS -g -fno-omit-frame-pointer $flags" AVENC_LDFLAGS="$flags" \
        "$PY" setup.py -q build_ext --inplace >build.log 2>&1) || { tail -n 40 "$place/build.log" >&2; stop "no build"; }
}

# The runtime of a sanitizer has to be the first library of the process: Python itself is not built with it.
run() {
    local place="$ROOT/build/pairs/$1" runtime="$2"
    shift 2
    (cd "$ROOT" && PYTHONPATH="$place:$ROOT/tests" PAIRS_PACKAGE="$place/" LD_PRELOAD="$runtime" PYTHONMALLOC=malloc \
        "$PY" tests/helpers/pairs.py "$@")
}

failed=0
mkdir -p "$ROOT/build/pairs"
for sanitizer in ${SANITIZERS:-address thread}; do
    case "$sanitizer" in
        address)
            flags="-fsanitize=address,undefined -fno-sanitize-recover=undefined"
            runtime="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)"
            export ASAN_OPTIONS="detect_leaks=0:handle_segv=0" # Python's own leaks are not ours; live counts are ours
            ;;
        thread)
            flags="-fsanitize=thread"
            runtime="$(gcc -print-file-name=libtsan.so)"
            export TSAN_OPTIONS="exitcode=66:history_size=4:suppressions='$ROOT/tests/data/tsan.supp'"
            ;;
    esac
    case "$runtime" in */*) ;; *) stop "gcc has no runtime for -fsanitize=$sanitizer" ;; esac
    build "$sanitizer" "$flags"
    run "$sanitizer" "$runtime" "$@" || failed=1
done
exit $failed
