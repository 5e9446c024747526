# SPDX-License-Identifier: Apache-2.0
"""The package as others install it: source distribution, wheel, and the wheel used from another folder."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from helpers import processes

ROOT = Path(__file__).resolve().parents[2]


def run(*command, cwd, timeout=300):
    done = subprocess.run(
        [sys.executable, *map(str, command)], cwd=cwd, capture_output=True, text=True, check=False, timeout=timeout
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """Build an sdist from a copy of the sources, then a wheel from the unpacked sdist, without the network."""
    folder = tmp_path_factory.mktemp("distributions")
    copy = folder / "copy"
    ignored = shutil.ignore_patterns(".git", ".venv", "build", "*.so", "*.egg-info", "__pycache__", ".*_cache", "*.mp4")
    shutil.copytree(ROOT, copy, ignore=ignored, symlinks=True)
    run("setup.py", "-q", "sdist", "-d", folder, cwd=copy)
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = archive.getnames()
        options = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(folder / "unpacked", **options)
    (unpacked,) = (folder / "unpacked").iterdir()
    run(
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-build-isolation",
        "--no-deps",
        "--no-index",
        "-w",
        folder,
        unpacked,
        cwd=folder,
    )
    (wheel,) = folder.glob("*.whl")
    return names, wheel


@pytest.fixture(scope="module")
def site(distributions, tmp_path_factory):
    """A folder outside of the checkout, with a blank in its name, into which the wheel is installed."""
    _, wheel = distributions
    folder = tmp_path_factory.mktemp("an installation")
    target = folder / "site packages"
    run("-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", target, wheel, cwd=folder)
    return target


@pytest.mark.timeout(300)
def test_sdist_holds_the_sources_and_nothing_generated(distributions):
    names, _ = distributions
    inner = {name.partition("/")[2] for name in names}
    for wanted in ("csrc/include/avenc.h", "csrc/sim/codec.c", "ascend_venc/_lowlevel/core.pyx", "tests/conftest.py"):
        assert wanted in inner
    assert [name for name in inner if name.endswith((".so", ".o")) or name.startswith("build/")] == []
    assert [name for name in inner if name.startswith("ascend_venc/") and name.endswith(".c")] == []


@pytest.mark.timeout(300)
def test_wheel_from_the_sdist_encodes_from_another_folder(distributions, site, tmp_path, backend):
    _, wheel = distributions
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "ascend_venc/_lib/libavenc.so",
        "ascend_venc/_lib/libascendvenc_sim.so",
        "ascend_venc/_lib/acl/libascendcl.so",
        "ascend_venc/_lib/acl/libacl_dvpp.so",
        "ascend_venc/_lib/acl/libacl_dvpp_mpi.so",
        "ascend_venc/py.typed",
        "ascend_venc/_lowlevel/channel.pyi",
    ):
        assert wanted in names
    assert [name for name in names if name.endswith(".c")] == []
    program = (
        "import sys, ascend_venc as venc\n"
        "assert venc.__file__.startswith(sys.argv[1]), venc.__file__\n"
        "with venc.Encoder(128, 128, backend=sys.argv[2]) as enc:\n"
        "    packets = enc.encode(bytes(128 * 192)) + enc.flush()\n"
        "assert [packet.is_keyframe for packet in packets] == [True]\n"
    )
    command = [sys.executable, "-c", program, str(site), backend]
    env = dict(processes.environment(), PYTHONPATH=str(site))
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.sim_only
@pytest.mark.timeout(300)
def test_program_in_c_is_linked_with_the_installed_simulated_device(site, tmp_path):
    script = """
    set -eu
    gcc -std=gnu11 -I"$ROOT/csrc/include" "$ROOT/tests/unit/native/official_flow.c" -o flow \\
        -L"$("$PYTHON" -m ascend_venc sim --libdir)" -lascendcl -lacl_dvpp -pthread
    eval "$("$PYTHON" -m ascend_venc sim --env)"
    ASCEND_VENC_SIM_STRICT=1 ./flow 2 16
    ldd ./flow | grep -c '/site packages/ascend_venc/_lib/acl/lib'
    """
    env = dict(processes.environment(), PYTHONPATH=str(site), PYTHON=sys.executable, ROOT=str(ROOT))
    done = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("16 frames, ")
    assert done.stdout.endswith("\n2\n"), "both files are the installed ones"
