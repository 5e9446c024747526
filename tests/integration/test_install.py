# SPDX-License-Identifier: Apache-2.0
"""The package as others install it: source distribution, wheel, and the wheel used from another folder."""

import email
import os
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple, Optional

import numpy
import pytest

import ascend_venc
from helpers import processes

pytestmark = pytest.mark.project

ROOT = Path(__file__).resolve().parents[2]
EPOCH = "1700000000"


def run(*command, cwd, timeout=800, env=None):
    command = [sys.executable, *map(str, command)]
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=timeout)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


# What is compiled here is packed, installed, and encodes a few frames: the suite itself is for code that is optimised.
QUICK = {"AVENC_CFLAGS": "-O0 -U_FORTIFY_SOURCE"}


def run_setup(*command, cwd):
    run("setup.py", "-q", *command, cwd=cwd, env=dict(os.environ, SOURCE_DATE_EPOCH=EPOCH))


def tracked():
    """The files of the checkout that git has or would take, and that are there; None where this is no checkout."""
    if not (ROOT / ".git").exists():
        return None
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return {name for name in listed if name and (ROOT / name).is_file()}


def copy_sources(folder):
    """Copy the sources; return which files they are, or None where git does not tell."""
    names = tracked()
    if names is None:
        ignored = shutil.ignore_patterns(".venv", "build", "*.so", "*.egg-info", "__pycache__", ".*_cache", "*.mp4")
        shutil.copytree(ROOT, folder, ignore=ignored, symlinks=True)
        return None
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    return names


class Distributions(NamedTuple):
    names: Optional[set]  # of the files that were packed
    sources: Path
    sdist: Path
    wheel: Path


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """Build an sdist from a copy of the sources, then a wheel from the unpacked sdist, without the network."""
    folder = tmp_path_factory.mktemp("distributions")
    copy = folder / "copy"
    names = copy_sources(copy)
    run_setup("sdist", "-d", folder, cwd=copy)
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        options = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(folder / "unpacked", **options)
    (unpacked,) = (folder / "unpacked").iterdir()
    options = ("-q", "--no-build-isolation", "--no-deps", "--no-index")
    run("-m", "pip", "wheel", *options, "-w", folder, unpacked, cwd=folder, env={**os.environ, **QUICK})
    (wheel,) = folder.glob("*.whl")
    return Distributions(names, copy, sdist, wheel)


@pytest.fixture(scope="module")
def site(distributions, tmp_path_factory):
    """A folder outside of the checkout, with a blank in its name, into which the wheel is installed."""
    folder = tmp_path_factory.mktemp("an installation")
    target = folder / "site packages"
    run("-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", target, distributions.wheel, cwd=folder)
    return target


@pytest.mark.timeout(900)
def test_sdist_holds_what_git_has_and_nothing_generated(distributions):
    if distributions.names is None:
        pytest.skip("these sources are no git checkout (no .git beside tests)")
    with tarfile.open(distributions.sdist) as archive:
        packed = {member.name.partition("/")[2] for member in archive.getmembers() if not member.isdir()}
    made = {name for name in packed if name.startswith("ascend_venc.egg-info/")} | {"PKG-INFO", "setup.cfg"}
    # .gitignore, .github: of the repository, not of the sources. What is new beside them belongs into MANIFEST.in.
    assert packed - made == {name for name in distributions.names if not name.startswith(".git")}


@pytest.mark.timeout(900)
def test_sdist_is_the_same_to_the_byte_from_another_copy(distributions, tmp_path):
    shutil.copytree(distributions.sources, tmp_path / "copy", ignore=shutil.ignore_patterns("*.egg-info", "build"))
    for path in (tmp_path / "copy" / "csrc").rglob("*.h"):
        os.utime(path, (1, 1))
        path.chmod(0o600)
    run_setup("sdist", "-d", tmp_path, cwd=tmp_path / "copy")
    assert (tmp_path / distributions.sdist.name).read_bytes() == distributions.sdist.read_bytes()


@pytest.mark.timeout(900)
def test_wheel_has_nothing_foreign_and_what_has_is_refused(distributions, tmp_path):
    """The check that scripts/wheels.sh makes of each wheel: contents, run paths, needed libraries, licences."""
    problems = runpy.run_path(ROOT / "scripts" / "check_wheel.py")["problems"]
    wheel = distributions.wheel
    assert problems(wheel) == []

    altered = tmp_path / wheel.name
    shutil.copy(wheel, altered)
    with zipfile.ZipFile(altered, "a") as archive:
        archive.writestr("ascend_venc/_lowlevel/core.c", "")
        archive.writestr("ascend_venc.libs/libavcodec.so", "")
        archive.write(foreign_library(tmp_path), "ascend_venc/_lib/libextra.so")
    found = problems(altered)
    told = (
        "core.c: should not be",
        "libavcodec.so: outside",
        "run path ['/opt/x']",
        "needs libascendcl.so",
        "libextra.so: tells /opt/x",
    )
    assert [sum(text in line for line in found) for text in told] == [1] * len(told) and len(found) == len(told), found


def foreign_library(folder):
    """A library that is linked with the vendor's and has the run path of the machine that built it."""
    (folder / "a.c").write_text("int a;")
    lib = Path(ascend_venc.__file__).parent / "_lib" / "acl"
    linked = ["-Wl,--no-as-needed", f"-L{lib}", "-lascendcl", "-Wl,--enable-new-dtags,-rpath,/opt/x"]
    subprocess.run(["gcc", "-shared", "-o", "a.so", "a.c", *linked], cwd=folder, check=True, timeout=60)
    return folder / "a.so"


@pytest.mark.timeout(900)
def test_version_has_one_source_and_the_changelog_knows_it(distributions):
    version = re.search(r'^__version__ = "(.*)"$', (ROOT / "ascend_venc" / "_version.py").read_text(), flags=re.M)[1]
    _, _, sdist, wheel = distributions
    assert ascend_venc.__version__ == version
    assert sdist.name == f"ascend_venc-{version}.tar.gz" and wheel.name.startswith(f"ascend_venc-{version}-")
    dated = re.findall(r"^## (\d\S*) - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), flags=re.M)
    assert version in dated or ".dev" in version, "a version that is given out has a section with its date"


@pytest.mark.timeout(900)
def test_wheel_from_the_sdist_encodes_from_another_folder(distributions, site, tmp_path, backend):
    names = zipfile.ZipFile(distributions.wheel).namelist()
    for wanted in (
        "ascend_venc/_lib/libavenc.so",
        "ascend_venc/_lib/libascendvenc_sim.so",
        "ascend_venc/_lib/acl/libascendcl.so",
        "ascend_venc/_lib/acl/libacl_rt.so",
        "ascend_venc/_lib/acl/libacl_dvpp.so",
        "ascend_venc/_lib/acl/libacl_dvpp_mpi.so",
        "ascend_venc/_lib/acl/libacl_op_compiler.so",
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
@pytest.mark.timeout(900)
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


ONLY_NUMPY = """
import importlib, io, pkgutil, sys
from contextlib import redirect_stdout
import ascend_venc as venc
for module in pkgutil.walk_packages(venc.__path__, "ascend_venc."):
    if not module.name.endswith("__main__") and "._lib." not in module.name:  # plain libraries are no modules
        importlib.import_module(module.name)
with venc.Encoder(128, 128, backend="sim") as enc:
    packets = enc.encode(bytes(128 * 192)) + enc.flush()
assert [packet.is_keyframe for packet in packets] == [True]
from ascend_venc import cli
out = io.StringIO()
with redirect_stdout(out):
    try:
        cli.main(["--version"])
    except SystemExit as end:
        assert not end.code
assert out.getvalue().startswith(f"ascend-venc {venc.__version__}"), out.getvalue()
files = {name.partition(".")[0]: getattr(module, "__file__", None) or "" for name, module in sys.modules.items()}
print(*sorted(name for name, file in files.items() if "site" in file and name not in ("ascend_venc", "numpy", "site")))
"""


@pytest.mark.sim_only
@pytest.mark.timeout(900)
def test_base_install_needs_numpy_only(distributions, site, tmp_path):
    with zipfile.ZipFile(distributions.wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = email.message_from_string(archive.read(name).decode())
    needed = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    assert [re.split("[<>=]", line)[0] for line in needed] == ["numpy"]
    extras = set(metadata.get_all("Provides-Extra"))
    page = (ROOT / "docs" / "packaging.md").read_text()
    assert {"sim", "media", "cli", "plot", "dev"} <= extras
    assert [extra for extra in extras if not re.search(rf"^\| .*`{extra}`.* \|", page, flags=re.M)] == []

    # No site-packages but one with NumPy.
    (tmp_path / "only site").mkdir()
    (tmp_path / "only site" / "numpy").symlink_to(Path(numpy.__file__).parent)
    env = {name: value for name, value in os.environ.items() if not name.startswith("ASCEND_VENC")}
    env.update(
        PYTHONPATH=os.pathsep.join([str(site), str(tmp_path / "only site")]),
        ASCEND_VENC_SIM_OPTIONS="null_codec=400",
        ASCEND_VENC_SIM_AVCODEC="/nowhere/libavcodec.so",
    )
    command = [sys.executable, "-S", "-W", "error", "-c", ONLY_NUMPY]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", ""), done.stderr
