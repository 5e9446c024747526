#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Sourced by the other scripts: everything that a fresh machine needs, then .venv with the package built in place.
# Choose the interpreter with PYTHON=...; a second run only compares a stamp.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
VENV="$ROOT/.venv"
PY="$VENV/bin/python"
mkdir -p "$ROOT/build"
SETUP_LOG="$ROOT/build/setup.log"

stop() {
    echo "setup: $*" >&2
    exit 1
}

# Run quietly; show the log only when it goes wrong.
quietly() {
    if ! "$@" >>"$SETUP_LOG" 2>&1; then
        tail -n 40 "$SETUP_LOG" >&2
        stop "this command did not succeed: $*"
    fi
}

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null; }

find_python() {
    local name
    for name in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11 python3.10 python3.9 python3.14; do
        if command -v "$name" >/dev/null 2>&1 && new_enough "$name"; then
            command -v "$name"
            return
        fi
        [ -z "${PYTHON:-}" ] || return 1
    done
    return 1
}

compiler_works() {
    local include
    command -v gcc >/dev/null 2>&1 || return 1
    include="$("$BASE_PYTHON" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')"
    printf '#include <Python.h>\nint main(void) { return 0; }\n' |
        gcc -I"$include" -x c -fsyntax-only - >/dev/null 2>&1
}

venv_works() { "$BASE_PYTHON" -c 'import ensurepip, venv' 2>/dev/null; }

install_system_packages() {
    local minor
    minor="$("$BASE_PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
    if command -v apt-get >/dev/null 2>&1; then
        INSTALL=(env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends
            gcc libc6-dev "python$minor-dev" "python$minor-venv")
    elif command -v dnf >/dev/null 2>&1; then
        INSTALL=(dnf install -y gcc glibc-devel python3-devel)
    elif command -v yum >/dev/null 2>&1; then
        INSTALL=(yum install -y gcc glibc-devel python3-devel)
    elif command -v zypper >/dev/null 2>&1; then
        INSTALL=(zypper --non-interactive install gcc glibc-devel python3-devel)
    elif command -v apk >/dev/null 2>&1; then
        INSTALL=(apk add gcc musl-dev python3-dev)
    else
        stop "gcc, the headers of $BASE_PYTHON (Python.h) and its venv module are needed; install them first"
    fi
    if [ "$(id -u)" != 0 ]; then
        stop "gcc, Python.h or the venv module is missing; run: sudo ${INSTALL[*]}"
    fi
    echo "setup: installing the compiler and Python's headers" >&2
    if ! "${INSTALL[@]}" >>"$SETUP_LOG" 2>&1; then
        if command -v apt-get >/dev/null 2>&1; then
            quietly apt-get update
        fi
        quietly "${INSTALL[@]}"
    fi
}

venv_is_current() {
    [ -x "$PY" ] && [ "$("$PY" -c 'import sys; print(sys._base_executable, sys.version_info[:3])' 2>/dev/null)" = \
        "$("$BASE_PYTHON" -c 'import sys; print(sys._base_executable, sys.version_info[:3])')" ] &&
        "$PY" -m pip --version >/dev/null 2>&1
}

fingerprint() {
    (
        cd "$ROOT" || exit 1
        { "$PY" -VV; pwd; cat setup.py pyproject.toml; find csrc ascend_venc -type f \
            \( -name '*.c' -o -name '*.h' -o -name '*.pyx' -o -name '*.pxd' \) -print0 | LC_ALL=C sort -z |
            xargs -0 cat; } | sha256sum
    )
}

: >"$SETUP_LOG"
if command -v flock >/dev/null 2>&1; then # two scripts at once: one builds, the other waits
    exec 9>"$ROOT/build/.setup.lock"
    flock 9
fi
BASE_PYTHON="$(find_python)" || stop "Python 3.9 or newer is needed (PYTHON=... chooses one)"
if ! compiler_works || ! venv_works; then
    install_system_packages
fi
venv_is_current || quietly "$BASE_PYTHON" -m venv --clear "$VENV"
STAMP="$VENV/.ascend-venc-built"
if [ "$(cat "$STAMP" 2>/dev/null)" != "$(fingerprint)" ]; then
    echo "setup: building (about a minute; log: build/setup.log)" >&2
    cd "$ROOT" || exit 1
    quietly "$PY" -m pip install --upgrade "pip>=23" "setuptools>=77" "cython>=3.1,<4"
    quietly "$PY" -m pip install --no-build-isolation --editable ".[sim,test]"
    fingerprint >"$STAMP"
fi
if command -v flock >/dev/null 2>&1; then
    exec 9>&-
fi
