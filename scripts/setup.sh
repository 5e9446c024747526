#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Sourced by the other scripts: whatever a fresh machine lacks, then .venv with the package built in place.
# PYTHON=... chooses the interpreter. A later run only finds that nothing has changed.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
VENV="$ROOT/.venv"
PY="$VENV/bin/python"
STAMP="$VENV/.ascend-venc-built"
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

find_python() {
    local name
    for name in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11 python3.10 python3.9 python3.14; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null; then
            command -v "$name"
            return
        fi
        [ -z "${PYTHON:-}" ] || return 1
    done
    return 1
}

compiler_works() { echo 'int main(void) { return 0; }' | gcc -x c -o /dev/null - 2>/dev/null; }

cxx_works() { echo 'int main() { return 0; }' | g++ -x c++ -o /dev/null - 2>/dev/null; }

headers_work() {
    local include
    include="$("$BASE_PYTHON" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')"
    [ -f "$include/Python.h" ]
}

venv_works() { "$BASE_PYTHON" -c 'import ensurepip, venv' 2>/dev/null; }

# PACKAGE_MANAGER: the command that installs packages here.
find_package_manager() {
    if command -v apt-get >/dev/null; then
        PACKAGE_MANAGER=(apt-get install -y --no-install-recommends)
    elif command -v dnf >/dev/null; then
        PACKAGE_MANAGER=(dnf install -y)
    elif command -v yum >/dev/null; then
        PACKAGE_MANAGER=(yum install -y)
    elif command -v zypper >/dev/null; then
        PACKAGE_MANAGER=(zypper --non-interactive install)
    elif command -v apk >/dev/null; then
        PACKAGE_MANAGER=(apk add)
    else
        return 1
    fi
}

install_packages() {
    echo "setup: installing $*" >&2
    export DEBIAN_FRONTEND=noninteractive
    "${PACKAGE_MANAGER[@]}" "$@" >>"$SETUP_LOG" 2>&1 && return
    # A fresh machine has no package lists, an old one stale lists.
    [ "${PACKAGE_MANAGER[0]}" = apt-get ] && apt-get update >>"$SETUP_LOG" 2>&1 || return
    "${PACKAGE_MANAGER[@]}" "$@" >>"$SETUP_LOG" 2>&1
}

# Nothing is built with it, but the tests compile programs in C++ against the simulated device: welcome, not required.
install_cxx() {
    cxx_works && return
    if [ "$(id -u)" = 0 ] && find_package_manager; then
        case "${PACKAGE_MANAGER[0]}" in
            apt-get | apk) install_packages g++ || true ;;
            *) install_packages gcc-c++ || true ;;
        esac
    fi
    cxx_works || echo "setup: there is no g++: the tests that compile C++ will be skipped" >&2
}

# The packages that hold what is missing, by the name that this system has for them.
install_what_is_missing() {
    local minor headers missing=() packages=()
    minor="$("$BASE_PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
    headers=python3
    case "$BASE_PYTHON" in */python3.*) headers="python$minor" ;; esac
    compiler_works || missing+=(compiler)
    headers_work || missing+=(headers)
    venv_works || missing+=(venv)
    [ ${#missing[@]} -gt 0 ] || return 0

    local item
    for item in "${missing[@]}"; do
        if command -v apt-get >/dev/null; then
            case "$item" in
                compiler) packages+=(gcc g++ libc6-dev) ;;
                headers) packages+=("python$minor-dev") ;;
                venv) packages+=("python$minor-venv") ;;
            esac
        else # elsewhere the venv module comes with Python
            case "$item" in
                compiler) if command -v apk >/dev/null; then packages+=(gcc g++ musl-dev); else packages+=(gcc gcc-c++ glibc-devel); fi ;;
                headers) if command -v apk >/dev/null; then packages+=(python3-dev); else packages+=("$headers-devel"); fi ;;
                venv) packages+=("$headers") ;;
            esac
        fi
    done
    find_package_manager ||
        stop "missing: ${missing[*]} (a C compiler, Python.h of $BASE_PYTHON, its venv module); please install"
    if [ "$(id -u)" != 0 ]; then
        stop "missing: ${missing[*]}; run this, then try again: sudo ${PACKAGE_MANAGER[*]} ${packages[*]}"
    fi
    install_packages "${packages[@]}" || quietly "${PACKAGE_MANAGER[@]}" "${packages[@]}"
    compiler_works || stop "gcc still compiles nothing; see build/setup.log"
    headers_work || stop "there is still no Python.h for $BASE_PYTHON; PYTHON=... chooses another interpreter"
    venv_works || stop "$BASE_PYTHON still has no working venv module; PYTHON=... chooses another interpreter"
}

# A hash of the interpreter, the place and everything that is compiled.
fingerprint() {
    "$BASE_PYTHON" - "$ROOT" <<'EOF'
import hashlib, os, sys

root = sys.argv[1]
digest = hashlib.sha256(repr((os.path.realpath(sys.executable), sys.version, root)).encode())
paths = [os.path.join(root, name) for name in ("setup.py", "pyproject.toml", "scripts/generate_pyacl.py", "scripts/generate_himpi.py", "scripts/generate_chips.py", "ascend_venc/chips.py")]
for folder in ("csrc", "ascend_venc"):
    for parent, _, names in os.walk(os.path.join(root, folder)):
        paths += [os.path.join(parent, name) for name in names if name.endswith((".c", ".h", ".pyx", ".pxd", ".txt"))]
for path in sorted(paths):
    with open(path, "rb") as file:
        digest.update(repr((os.path.relpath(path, root), hashlib.sha256(file.read()).hexdigest())).encode())
print(digest.hexdigest())
EOF
}

is_current() {
    [ "$(cat "$STAMP" 2>/dev/null)" = "$(fingerprint)" ] &&
        "$PY" -c 'import ascend_venc, av, pytest' >/dev/null 2>&1
}

venv_fits() {
    local base
    base="$("$BASE_PYTHON" -c 'import os, sys; print(os.path.realpath(sys.executable), sys.version)')"
    [ "$("$PY" -c 'import os, sys; print(os.path.realpath(sys._base_executable), sys.version)' 2>/dev/null)" = "$base" ] &&
        "$PY" -m pip --version >/dev/null 2>&1
}

set_up() {
    is_current && return
    : >"$SETUP_LOG"
    rm -f "$STAMP"
    install_what_is_missing
    install_cxx
    venv_fits || quietly "$BASE_PYTHON" -m venv --clear "$VENV"
    echo "setup: building (a minute or two; log: build/setup.log)" >&2
    (
        cd "$ROOT" || exit 1
        quietly "$PY" -m pip install --upgrade "pip>=23" "setuptools>=77" "cython>=3.1,<3.3"
        quietly "$PY" -m pip install --no-build-isolation --editable ".[sim,test]"
    ) || exit 1
    fingerprint >"$STAMP"
}

BASE_PYTHON="$(find_python)" || stop "Python 3.9 or newer is needed (PYTHON=... chooses one)"
mkdir -p "$ROOT/build"
if command -v flock >/dev/null; then # two scripts at once: one builds, the other waits
    exec 9>"$ROOT/build/.setup.lock"
    flock 9
    set_up
    exec 9>&-
else
    set_up
fi
