#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The lower bounds of pyproject.toml, tried: the package with its extras, each dependency in the lowest version that is allowed, on
# the lowest CPython, and the tests of what each extra is for.
#   bash scripts/lowest.sh [WHEEL] [NAME==VERSION...]
# Without WHEEL gcc builds one of the checkout. NAME==VERSION: that version instead, to look for a lower bound. PYTHON chooses the
# interpreter (python3.9). All folders are temporary.
set -eu
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
TESTS=(
    tests/conformance/test_table.py tests/integration/test_determinism.py # base, sim
    tests/unit/test_media_container.py tests/unit/test_media_reader.py tests/integration/test_writer_outputs.py # media
    tests/integration/test_cli_completion.py tests/unit/test_cli.py # cli
    tests/integration/test_cli_plot.py # plot
    tests/integration/test_names.py # prometheus
    tests/unit/test_config.py # test: hypothesis
)
WHEEL= OTHERS=()
for argument; do
    case "$argument" in
        *.whl) WHEEL=$(cd "$(dirname "$argument")" && pwd)/$(basename "$argument") ;;
        *==*) OTHERS+=("$argument") ;;
        *)
            sed -n '3,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
            exit 2
            ;;
    esac
done
PYTHON=${PYTHON:-python3.9}
"$PYTHON" -c 'import ensurepip' 2>/dev/null || {
    echo "lowest: $PYTHON does not start; PYTHON=... names a CPython 3.9" >&2
    exit 1
}
WORK=$(mktemp -d "${TMPDIR:-/tmp}/lowest.XXXXXX")
trap 'rm -rf "$WORK"' EXIT
trap 'exit 1' INT TERM
export PIP_DISABLE_PIP_VERSION_CHECK=1

"$PYTHON" -m venv "$WORK/env"
PY=$WORK/env/bin/python
"$PY" -m pip install -q tomli
# Each requirement of these extras in its lowest version: what is named in OTHERS, else the bound.
"$PY" - "$ROOT/pyproject.toml" ${OTHERS[@]+"${OTHERS[@]}"} >"$WORK/lowest.txt" <<'PYTHON'
import re, sys
import tomli

with open(sys.argv[1], "rb") as file:
    project = tomli.load(file)["project"]
chosen = dict(text.split("==") for text in sys.argv[2:])
extras = project["optional-dependencies"]
lines = [*project["dependencies"], *(line for extra in ("sim", "media", "cli", "plot", "prometheus") for line in extras[extra])]
# Of the tests' own packages those that these tests import.
lines += [line for line in extras["test"] if re.match("hypothesis|pytest", line)]
for line in sorted(set(lines)):
    name, bound = re.match(r"([\w-]+)>=([\d.]+)", line).groups()
    print(f"{name}=={chosen.get(name, bound)}")
print("pyparsing<3.1")  # a newer one warns of matplotlib 3.5's calls, and warnings are failures in the tests
PYTHON
cat "$WORK/lowest.txt"
if [ -z "$WHEEL" ]; then
    "$PY" -m venv "$WORK/build"
    "$WORK/build/bin/python" -m pip install -q "setuptools>=77" "cython>=3.1,<3.3" wheel
    mkdir "$WORK/source"
    git -C "$ROOT" archive HEAD | tar -x -C "$WORK/source"
    "$WORK/build/bin/python" -m pip wheel -q --no-build-isolation --no-deps -w "$WORK" "$WORK/source"
    WHEEL=$(echo "$WORK"/*.whl)
fi
"$PY" -m pip install -q --only-binary :all: -c "$WORK/lowest.txt" -r "$WORK/lowest.txt" "$WHEEL[sim,media,cli,plot,prometheus]"
mkdir -p "$WORK/tests/csrc"
cd "$ROOT"
cp -r tests examples docs pyproject.toml "$WORK/tests"
cp -r csrc/include csrc/sim "$WORK/tests/csrc"
cd "$WORK/tests"
"$PY" -m pytest -q -p no:cacheprovider "${TESTS[@]}"
