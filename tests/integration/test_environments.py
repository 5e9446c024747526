# SPDX-License-Identifier: Apache-2.0
"""What a broken environment gets from the command: a line with the true cause and what mends it, and the exit code."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from ascend_venc import device_search
from ascend_venc._lowlevel import core
from helpers import clips, fake_cann, interface, processes, shim

pytestmark = pytest.mark.sim_only

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = (
    "ASCEND_VENC_LIBRARY",
    "ASCEND_VENC_BACKEND",
    *device_search.ROOT_VARIABLES,
    *device_search.VISIBLE_VARIABLES,
    "LD_LIBRARY_PATH",
    "ASCEND_VENC_SIM_OPTIONS",
)
without_cann = pytest.mark.skipif(
    any(os.path.exists(folder) for folder in ("/usr/local/Ascend", *device_search.INSTALL_RECORDS)),
    reason="this machine has a CANN, so no environment here is without one",
)

# What stands before the simulated device to make it a CANN whose device does not do.
REFUSING = """
aclError aclvencCreateChannel(aclvencChannelDesc *desc) { (void)desc; return 507018; }
hi_s32 hi_mpi_venc_create_chn(hi_venc_chn chn, const hi_venc_chn_attr *attr) {
    (void)chn;
    (void)attr;
    return HI_ERR_VENC_SYS_ERROR;
}
"""
REFUSED_DEVICE = REFUSING + 'const char *aclGetRecentErrMsg(void) { return "open /dev/davinci0 failed, errno 13"; }'
SILENT_DEVICE = REFUSING + "const char *aclGetRecentErrMsg(void) { return 0; }"
REFUSAL = interface.of("507018", "HI_ERR_VENC_SYS_ERROR")
CHIP = 'const char *aclrtGetSocName(void) {{ return "{}"; }}\n'


class Places(NamedTuple):
    """Folders and files of the test, by name, for `format`."""

    tmp: Path
    y4m: Path
    mp4: Path
    out: Path

    def cann(self, name, **options):
        folder = self.tmp / name
        if not folder.exists():
            fake_cann.install_mpi(fake_cann.install(folder, **options))
        return folder

    def in_front(self, name, source):
        folder = self.tmp / name
        folder.mkdir(exist_ok=True)
        return shim.build(folder, source)

    def module(self, name, text):
        """A folder for PYTHONPATH in which the module av is this."""
        folder = self.tmp / name
        folder.mkdir(exist_ok=True)
        (folder / "av.py").write_text(text)
        return folder


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    tmp = tmp_path_factory.mktemp("environments")
    (tmp / "in.y4m").write_bytes(clips.y4m(frames=3))
    (tmp / "out").mkdir()
    (tmp / "home").mkdir()
    return Places(tmp, tmp / "in.y4m", Path(ROOT / clips.CLIP), tmp / "out")


def command(places, *args, **env):
    for path in places.out.iterdir():
        path.unlink()
    path = env.pop("PYTHONPATH", None)
    settings = processes.environment(**{"HOME": places.tmp / "home", **env})
    for name in SETTINGS:
        if name not in env:
            settings.pop(name, None)
    if path is not None:
        settings["PYTHONPATH"] = os.pathsep.join([str(path), settings["PYTHONPATH"]])
    return subprocess.run(
        [sys.executable, "-m", "ascend_venc", *map(str, args)],
        env=settings,
        cwd=places.tmp,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def encode(places, *args, source=None, name="a.h264", **env):
    return command(places, "encode", source or places.y4m, places.out / name, *args, **env)


NO_AV = "raise ModuleNotFoundError(\"No module named 'av'\")"
BROKEN_AV = 'raise ImportError("libxcb.so.1: cannot open shared object file: No such file or directory")'

# Name: (how it is run, exit code, words of the one line on standard error, words that may not be there).
GUESS, GLUED, NPU_SMI = "Often a value", "current context", "npu-smi"
ENVIRONMENTS = {
    # nobody chose the simulated device
    "no CANN": (encode, 0, ["note:", "simulated device", "libascendcl.so", "are not set"], []),
    "no CANN, json": (lambda p: encode(p, "--json"), 0, ["note:", "simulated device"], []),
    "no CANN, quiet": (lambda p: encode(p, "-q"), 0, [], []),
    "no CANN, sim chosen": (lambda p: encode(p, "--backend", "sim"), 0, [], []),
    # PyAV
    "no PyAV, mp4 in": (
        lambda p: encode(p, "--backend", "sim", source=p.mp4, PYTHONPATH=p.module("none", NO_AV)),
        1,
        ["needs PyAV: pip install 'ascend-venc[media]'"],
        [GUESS, GLUED],
    ),
    "no PyAV, mp4 out": (
        lambda p: encode(p, "--backend", "sim", name="a.mp4", PYTHONPATH=p.module("none", NO_AV)),
        1,
        ["needs PyAV: pip install 'ascend-venc[media]'"],
        [GUESS, GLUED],
    ),
    "no PyAV, y4m in": (
        lambda p: encode(
            p,
            "--backend",
            "sim",
            PYTHONPATH=p.module("none", NO_AV),
            ASCEND_VENC_SIM_AVCODEC="/nope/libavcodec.so",  # nor a system's
        ),
        1,
        ["needs libavcodec with libx264", "pip install 'ascend-venc[sim]'"],
        [GUESS, GLUED],
    ),
    "PyAV's import fails": (
        lambda p: encode(p, "--backend", "sim", source=p.mp4, PYTHONPATH=p.module("broken", BROKEN_AV)),
        1,
        ["needs PyAV", "libxcb.so.1"],
        [GUESS],
    ),
    "foreign av": (
        lambda p: encode(p, "--backend", "sim", source=p.mp4, PYTHONPATH=p.module("foreign", "x = 1")),
        1,
        ["the module av is another one", "foreign/av.py"],
        [],
    ),
    # the codec of the simulated device
    "libavcodec missing": (
        lambda p: encode(p, "--backend", "sim", ASCEND_VENC_SIM_AVCODEC="/nope/libavcodec.so"),
        1,
        ["/nope/libavcodec.so", "No such file"],
        [GUESS, GLUED],
    ),
    "libavcodec is no library": (
        lambda p: encode(p, "--backend", "sim", ASCEND_VENC_SIM_AVCODEC=p.y4m),
        1,
        ["in.y4m", "pip install"],
        [GUESS, GLUED],
    ),
    "libavcodec without x264": (
        lambda p: encode(p, "--backend", "sim", ASCEND_VENC_SIM_AVCODEC=core.simulated_device_path()),
        1,
        ["libascendvenc_sim.so", "libx264"],
        [GUESS, GLUED],
    ),
    # a CANN that is broken, chosen
    "unknown backend": (lambda p: encode(p, "--backend", "gpu"), 1, ["backend is 'gpu'", '"ascend"'], []),
    "ascend with nothing": (lambda p: encode(p, "--backend", "ascend"), 1, ["libascendcl.so", "set_env.sh"], []),
    "relative path": (
        lambda p: encode(p, "--backend", "ascend", ASCEND_VENC_LIBRARY="lib64"),
        1,
        ["ASCEND_VENC_LIBRARY", "absolute"],
        [],
    ),
    "CANN is a text file": (
        lambda p: encode(p, "--backend", p.y4m),
        1,
        ["in.y4m", "invalid ELF header"],
        [],
    ),
    "no media library": (
        lambda p: encode(p, "--backend", p.cann("nomedia", media=False) / "lib64"),
        1,
        ["libacl_dvpp.so"],
        [],
    ),
    # variables that lead nowhere, under auto
    **{
        f"{variable}={value}": (
            lambda p, variable=variable, value=value: encode(p, **{variable: value}),
            1,
            [f"${variable}", value, "mend it or take it away", "--backend sim"],
            [],
        )
        for variable in ("ASCEND_VENC_LIBRARY", *device_search.ROOT_VARIABLES)
        for value in ("/nope/libascendcl.so", "/tmp", "relative/path")
    },
    "environment not set": (
        lambda p: command_with_home(p, p.tmp / "user"),
        1,
        ["CANN is installed in", "set_env.sh", "--backend sim"],
        [],
    ),
    # a library that works, and its device does not
    "count fails with 507008": (
        lambda p: encode(p, ASCEND_HOME_PATH=p.cann("count507008", count_code=507008)),
        1,
        ["aclrtGetDeviceCount returned 507008", "npu-smi info", "/dev/davinci*"],
        [],
    ),
    "count fails with 507899": (
        lambda p: encode(p, ASCEND_HOME_PATH=p.cann("count507899", count_code=507899)),
        1,
        ["aclrtGetDeviceCount returned 507899", "npu-smi info", "/dev/davinci*"],
        [],
    ),
    "no device": (
        lambda p: encode(p, ASCEND_HOME_PATH=p.cann("nodevice", devices=0)),
        0,
        ["note:", "works but reports no device: "],
        [],
    ),
    "no device, chosen": (
        lambda p: encode(p, "--backend", "ascend", ASCEND_HOME_PATH=p.cann("nodevice", devices=0)),
        1,
        ["reports no device: npu-smi info lists them"],
        [],
    ),
    "device hidden": (
        lambda p: encode(p, ASCEND_HOME_PATH=p.cann("nodevice", devices=0), ASCEND_RT_VISIBLE_DEVICES="9"),
        0,
        ["reports no device", "ASCEND_RT_VISIBLE_DEVICES is '9'"],
        [],
    ),
    "device hidden, other spelling": (
        lambda p: encode(p, ASCEND_HOME_PATH=p.cann("nodevice", devices=0), ASCEND_VISIBLE_DEVICES=""),
        0,
        ["reports no device", "ASCEND_VISIBLE_DEVICES is ''"],
        [],
    ),
    "aclInit fails": (
        lambda p: encode(p, "--backend", p.cann("init", bodies={"aclInit": "return 507033;"}) / "lib64"),
        1,
        ["aclInit returned 507033 ACL_ERROR_RT_DEV_SETUP_ERROR", "driver"],
        [GUESS],
    ),
    "channel refused with a reason": (
        lambda p: encode(p, "--backend", p.in_front("reason", REFUSED_DEVICE)),
        1,
        [REFUSAL, "open /dev/davinci0 failed, errno 13"],
        [GUESS, GLUED],
    ),
    "channel refused without a reason": (
        lambda p: encode(p, "--backend", p.in_front("silent", SILENT_DEVICE)),
        1,
        [REFUSAL, *interface.of([GUESS], [])],
        [GLUED, *interface.of([], [GUESS])],
    ),
    "910": (lambda p: encode(p, "--backend", "sim:Ascend910"), 1, ["Ascend910 has no video encoder"], []),
    "910B": (
        lambda p: encode(p, "--backend", p.in_front("soc910", CHIP.format("Ascend910B3"))),
        1,
        ["Ascend910B3 has no video encoder", "Ascend310P"],
        [],
    ),
    "unknown chip": (
        lambda p: encode(
            p,
            "--backend",
            p.in_front("soc777", CHIP.format("Ascend777")),
            ASCEND_VENC_SIM_AVCODEC=core.find_codec(),  # for the simulated device, which is not known for one here
        ),
        0,
        [],
        [],
    ),
    # the simulated device
    "no simulated device": (
        lambda p: encode(p, "--backend", "sim", ASCEND_VENC_SIM_DEVICES="0"),
        1,
        ["reports no device: ASCEND_VENC_SIM_DEVICES says how many there are"],
        [NPU_SMI],
    ),
    "simulated devices that are no number": (
        lambda p: encode(p, "--backend", "sim", ASCEND_VENC_SIM_DEVICES="abc"),
        1,
        ["reports no device: ASCEND_VENC_SIM_DEVICES says how many there are"],
        [NPU_SMI],
    ),
    "simulated chip that is none": (
        lambda p: encode(p, "--backend", "sim:Ascend999"),
        1,
        ['the simulated device cannot be a "Ascend999"'],
        [NPU_SMI],
    ),
    "chip of the environment is none": (
        lambda p: encode(p, "--backend", "sim", ASCEND_VENC_SIM_SOC="typo"),
        1,
        ["507008: aclrtGetDeviceCount: ASCEND_VENC_SIM_SOC names no chip", "Ascend310 and Ascend910\n"],  # said once
        [NPU_SMI, "/dev/davinci"],
    ),
    "device that is not there": (
        lambda p: encode(p, "--backend", "sim", "--device", "3"),
        1,
        ["device is 3; this machine has 0 to 0"],
        [NPU_SMI],
    ),
}


def command_with_home(places, home):
    if not home.exists():
        fake_cann.install(home / "Ascend" / "ascend-toolkit" / "latest")
    return encode(places, HOME=home)


@without_cann
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_environment_gets_its_line_and_exit_code(places, name):
    run, code, words, absent = ENVIRONMENTS[name]
    done = run(places)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    if words:
        assert done.stderr.startswith("ascend-venc: ") and done.stderr.count("\n") == 1, done.stderr
    else:
        assert done.stderr == ""
    for word in words:
        assert word in done.stderr
    for word in absent:
        assert word not in done.stderr
    made = [path.stat().st_size for path in places.out.iterdir()]
    assert len(made) == (code == 0) and all(made), "a file if, and only if, it is one"


def test_there_are_the_environments_that_were_tried():
    assert len(ENVIRONMENTS) >= 35


@without_cann
@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({}, ["pyav", "backend", "simulated"]),
        ({"PYTHONPATH": NO_AV}, ["pyav"]),
        ({"PYTHONPATH": BROKEN_AV}, ["cannot be imported: ", "libxcb.so.1"]),
        ({"PYTHONPATH": "x = 1"}, ["cannot be imported: ", "the module av is another one"]),
    ],
    ids=["all there", "no PyAV", "import fails", "foreign av"],
)
def test_info_tells_what_of_pyav_is_usable(places, env, words):
    env = {name: places.module(f"info{len(text)}", text) for name, text in env.items()}
    done = command(places, "info", "--backend", "sim", **env)
    assert (done.returncode, done.stderr) == (0, "")
    for word in words:
        assert word in done.stdout


def test_info_names_a_chip_without_an_encoder(places):
    done = command(places, "info", "--backend", places.in_front("soc910", CHIP.format("Ascend910B3")))
    assert done.returncode == 0 and "none: this chip cannot encode" in done.stdout


# ---- the set-up ----


@pytest.fixture
def tree(tmp_path):
    """A copy of the set-up alone, with what it needs of the system and nothing that installs or compiles."""
    (tmp_path / "scripts").mkdir()
    for name in ("setup.sh", "generate_pyacl.py", "generate_himpi.py", "generate_chips.py"):
        shutil.copy(ROOT / "scripts" / name, tmp_path / "scripts")
    (tmp_path / "ascend_venc").mkdir()
    for name in ("setup.py", "pyproject.toml", "ascend_venc/chips.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "bin").mkdir()
    for tool in ("bash", "dirname", "mkdir", "cat", "rm", "tail", "id", "flock"):
        if shutil.which(tool):
            (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))
    return tmp_path


def set_up(tree, **env):
    return subprocess.run(
        [str(tree / "bin" / "bash"), "-c", f". {tree}/scripts/setup.sh"],
        env={"PATH": str(tree / "bin"), **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_set_up_with_a_python_that_is_too_old_says_which_is_needed(tree):
    (tree / "bin" / "python3.8").write_text("#!/bin/sh\nexit 1\n")
    (tree / "bin" / "python3.8").chmod(0o755)
    done = set_up(tree, PYTHON=str(tree / "bin" / "python3.8"))
    assert (done.returncode, done.stderr) == (1, "setup: Python 3.9 or newer is needed (PYTHON=... chooses one)\n")


def test_set_up_without_a_compiler_names_it(tree):
    done = set_up(tree, PYTHON=sys.executable)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("setup: missing: compiler")
    assert "please install" in done.stderr
