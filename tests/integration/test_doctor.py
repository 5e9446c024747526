# SPDX-License-Identifier: Apache-2.0
"""Broken environments, each built here, and what `ascend-venc doctor` calls them and says to mend them."""

import ctypes
import dataclasses
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest

from ascend_venc import cli, device_search
from ascend_venc._lowlevel import core
from ascend_venc.doctor import examination, host, supervision, trial
from ascend_venc.doctor.finding import FAIL, NOTE, WARN
from ascend_venc.doctor.findings import conclusion, findings_of
from ascend_venc.doctor.supervision import run_trial
from ascend_venc.encoder import Encoder
from helpers import fake_cann, interface, shim, waiting

pytestmark = [
    pytest.mark.sim_only,
    pytest.mark.skipif(
        any(os.path.exists(folder) for folder in ("/usr/local/Ascend", *device_search.INSTALL_RECORDS)),
        reason="this machine has a CANN, so no environment here is without one",
    ),
]

CRASH = "raise(SIGSEGV);"
FOR_EVER = "for (;;) pause();"
SIGNALS = "#include <signal.h>\n#include <stdlib.h>\n"
CHIP_910 = 'const char *aclrtGetSocName(void) { return "Ascend910B3"; }\n'
REFUSING = """
aclError aclvencCreateChannel(aclvencChannelDesc *desc) { (void)desc; return 507018; }
hi_s32 hi_mpi_venc_create_chn(hi_venc_chn chn, const hi_venc_chn_attr *attr) {
    (void)chn;
    (void)attr;
    return HI_ERR_VENC_SYS_ERROR;
}
"""
ERRNO_13 = REFUSING + 'const char *aclGetRecentErrMsg(void) { return "open /dev/davinci0 failed, errno 13"; }'
SEND = "aclError aclvencSendFrame(aclvencChannelDesc *a, acldvppPicDesc *b, void *c, aclvencFrameConfig *d, void *e)"
SEND_NEVER = SEND + "{ (void)a; (void)b; (void)c; (void)d; (void)e; for (;;) pause(); }"
LEAVES = "aclError aclvencCreateChannel(aclvencChannelDesc *desc) { (void)desc; exit(3); }"
CRASHES_WHEN_USED = """
static int used;
aclError aclvencCreateChannel(aclvencChannelDesc *desc) { used = 1; return real(aclvencCreateChannel)(desc); }
__attribute__((destructor)) static void end(void) { if (used) abort(); }
"""
CRASHES_AT_EXIT = "__attribute__((destructor)) static void end(void) { abort(); }"


def gnu_get_libc_version():
    function = ctypes.CDLL(None).gnu_get_libc_version
    function.restype = ctypes.c_char_p
    return function().decode()


class Environment:
    """What is built for one environment: variables, files below a root, arguments of `examine`."""

    def __init__(self, tmp, monkeypatch, known):
        self.tmp, self.patch, self.known = tmp, monkeypatch, known
        self.root = tmp / "root"
        self.given = {"root": str(self.root)}
        self.is_simulated = self.own_files = False
        self.changes = {}  # of the host's facts
        for name in list(os.environ):
            if name in host.VARIABLES or name.startswith(host.OWN):
                monkeypatch.delenv(name)
        (tmp / "home").mkdir()
        self.root.mkdir()
        monkeypatch.setenv("HOME", str(tmp / "home"))

    def set(self, **variables):
        for name, value in variables.items():
            self.patch.setenv(name, str(value))

    def cann(self, name="cann", *, own=False, **options):
        """A CANN whose functions do nothing, in the environment; `own`: its files may be changed."""
        lib = self.built(name if own else None, fake_cann.install, **options)
        self.set(ASCEND_HOME_PATH=lib.parent)
        return lib

    def working(self, name="cann", **options):
        """A CANN that encodes, by the simulated device behind it, in the environment."""
        self.set(ASCEND_HOME_PATH=self.tmp / name, ASCEND_VENC_SIM_AVCODEC=core.find_codec())
        return self.built(name, shim.install, **options)

    def built(self, name, install, **options):
        """What `install` makes with these options, compiled once: a copy where it gets a name."""
        key = f"{install.__module__} {options}"
        if key not in self.known:
            self.known[key] = install(self.known["folder"] / str(len(self.known)), **options)
        if name is None:
            return self.known[key]
        self.own_files = True
        return Path(shutil.copytree(self.known[key], self.tmp / name / "lib64"))

    def in_front(self, source):
        """A library before the simulated device, as the backend."""
        self.set(ASCEND_VENC_BACKEND=shim.build(self.tmp, source), ASCEND_VENC_SIM_AVCODEC=core.find_codec())

    def linked_badly(self, code, *link):
        """A CANN whose runtime library cannot be loaded."""
        lib = self.cann(own=True)
        command = [
            "gcc",
            "-shared",
            "-fPIC",
            "-w",
            "-x",
            "c",
            "-",
            "-o",
            str(lib / "libascendcl.so"),
            "-x",
            "none",
            *link,
        ]
        subprocess.run(command, input=code, text=True, check=True)

    def needing(self, name):
        """A CANN whose runtime library needs another one that is not there."""
        needed = self.tmp / name
        subprocess.run(["gcc", "-shared", "-o", str(needed), f"-Wl,-soname,{name}", "-x", "c", "/dev/null"], check=True)
        self.linked_badly("", "-Wl,--no-as-needed", str(needed))
        needed.unlink()

    def patched(self, offset, value):
        """A CANN whose runtime library has another header."""
        path = self.cann(own=True) / "libascendcl.so"
        data = bytearray(path.read_bytes())
        data[offset : offset + len(value)] = value
        path.write_bytes(data)

    def file(self, name, text=""):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def nodes(self, usable=True):
        for name in ("davinci0", "davinci_manager", "hisi_hdc"):
            path = self.file(f"dev/{name}")
            path.chmod(0o660 if usable else 0)
        if not usable and os.geteuid() == 0:  # root may whatever it likes
            self.patch.setattr(host.os, "access", lambda path, mode: False)

    def module(self, name, **files):
        """A Python module or package that comes first."""
        folder = self.tmp / "modules" / name
        folder.mkdir(parents=True)
        for file, text in files.items():
            (folder / f"{file}.py").write_text(text)
        self.patch.syspath_prepend(str(folder.parent))


def no_driver(place):
    place.needing("libascend_hal.so")


def version_pair(place):
    place.working()
    (place.tmp / "cann" / "ascend_toolkit_install.info").write_text(
        "package_name=Ascend-cann-toolkit\nversion=8.2.RC1\n"
    )
    place.file("usr/local/Ascend/driver/version.info", "Version=23.0.3\nascendhal_version=7.12.1\n")


def other_v2(place):
    place.working(mpi=False)
    place.set(LD_LIBRARY_PATH=place.built("older", shim.install))


def in_container(place):
    place.cann(devices=0)
    place.file(".dockerenv")


def closed_nodes(place):
    place.cann(devices=0)
    place.nodes(usable=False)


def musl(place):
    place.cann(devices=0)
    program = place.tmp / "python"
    command = ["gcc", "-x", "c", "-", "-o", str(program), "-Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1"]
    subprocess.run(command, input="int main(void) { return 0; }", text=True, check=True)
    place.given["python"] = str(program)


def thirty_two_bits(place):
    place.cann(devices=0)
    place.changes["python_bits"] = 32


def few_files(place):
    place.changes["limits"] = {"open files": 64}


def not_set(place):
    place.built("home/Ascend/ascend-toolkit/latest", fake_cann.install)


def stub_folder(place):
    place.set(LD_LIBRARY_PATH=place.built("devlib", fake_cann.install, count_code=100039))


def everybody(place):
    (place.working() / "libascendcl.so").chmod(0o777)


def everybody_strict(place):
    everybody(place)
    place.set(ASCEND_VENC_STRICT_PATHS=1)


def av_without_encoders(place):
    fake = "__version__ = '9.9'\nopen = error = None\nformats_available = codecs_available = ['mp4']\n"
    place.module("av", __init__=fake, logging="")
    place.set(ASCEND_VENC_SIM_AVCODEC="/nope/libavcodec.so")


def text_file(place):
    (place.cann(own=True) / "libascendcl.so").write_text("not a library\n" * 400)


def no_managers(place):
    place.cann(devices=0)
    place.file("dev/davinci0")


def driver_without_cann(place):
    place.file("usr/local/Ascend/driver/version.info", "Version=24.1.rc2\n")


def crash(place):
    place.cann(bodies={"aclInit": CRASH, "aclrtGetDeviceCount": "return 100001;"}, code=SIGNALS)


class Expected(NamedTuple):
    build: object
    level: str
    name: str
    text: str  # words of the finding
    fix: str  # words of what mends it
    encodes: bool
    timeout: float = 20.0


E = Expected
PIP, SET_ENV = "pip install", "set_env.sh"
ENVIRONMENTS = {
    "no CANN": E(lambda p: None, NOTE, "ascend.none", "no Ascend", "install driver and CANN", True),
    "CANN without set_env": E(not_set, FAIL, "cann.environment", "its environment is not set", "source ", False),
    "driver, no CANN": E(driver_without_cann, WARN, "cann.none", "no CANN", "install CANN", True),
    "devlib stubs": E(stub_folder, FAIL, "library.stub", "link-time stub", "devlib and stub folders", False),
    "devlib in the search path": E(stub_folder, WARN, "variable.stubs", "devlib", "out of LD_LIBRARY_PATH", False),
    "no media library": E(
        lambda p: p.cann(media=False), FAIL, "library.media", "libacl_dvpp.so is missing", "beside the toolkit", False
    ),
    "no V2": E(lambda p: p.working(mpi=False), WARN, "v2.missing", "V1 is", "libacl_dvpp_mpi.so", True),
    "V2 of another version": E(
        lambda p: p.working(without=("hi_mpi_venc_send_frame",)),
        WARN,
        "v2.broken",
        "lacks functions",
        "in the version of the rest",
        True,
    ),
    "V2 of another installation": E(other_v2, WARN, "v2.other", "another installation's", "one set_env.sh only", True),
    "no driver": E(no_driver, FAIL, "driver.missing", "libascend_hal.so", "install the driver", False),
    "driver too old for a symbol": E(
        lambda p: p.linked_badly("int halNewest(void); int f(void) { return halNewest(); }"),
        FAIL,
        "driver.old",
        "halNewest",
        "driver and firmware that its release notes name",
        False,
    ),
    "driver of an older release": E(version_pair, WARN, "driver.old", "23.0.3", "firmware 25.0 or later", True),
    "a dependency is missing": E(
        lambda p: p.needing("libruntime_of_cann.so"), FAIL, "library.dependency", "libruntime_of_cann", SET_ENV, False
    ),
    "no permission on the nodes": E(closed_nodes, WARN, "nodes.permission", "dev/davinci0", "sudo ", True),
    "container without devices": E(in_container, WARN, "devices.container", "docker", "--device /dev/davinci0", True),
    "no node": E(lambda p: p.cann(devices=0), WARN, "devices.none", "no /dev/davinci*", "install the driver", True),
    "the nodes of the manager are missing": E(no_managers, WARN, "devices.unseen", "can be opened", "npu-smi", True),
    "no visible device": E(
        lambda p: (p.cann(devices=0), p.set(ASCEND_RT_VISIBLE_DEVICES="")),
        WARN,
        "devices.hidden",
        "ASCEND_RT_VISIBLE_DEVICES is ''",
        "unset ASCEND_RT_VISIBLE_DEVICES",
        True,
    ),
    "visible devices, another spelling": E(
        lambda p: p.set(NPU_VISIBLE_DEVICES="0"),
        NOTE,
        "variable.spelling",
        "does not read it",
        "ASCEND_RT_VISIBLE_DEVICES",
        True,
    ),
    "variable that nobody reads": E(
        lambda p: p.set(ASCEND_VENC_BACKEN="sim"), WARN, "variable.unknown", "BACKEN ", "ASCEND_VENC_BACKEND?", True
    ),
    "910": E(lambda p: p.in_front(CHIP_910), FAIL, "chip.no_encoder", "Ascend910B3", "Ascend310P", False),
    "PyAV without encoders": E(av_without_encoders, WARN, "pyav.encoders", "neither libx264", "--only-binary", False),
    "no PyAV": E(
        lambda p: p.module("av", __init__="raise ModuleNotFoundError(\"No module named 'av'\")"),
        WARN,
        "pyav.missing",
        "no mp4",
        PIP,
        None,  # the system may have a libavcodec
    ),
    "PyAV's import fails": E(
        lambda p: p.module("av", __init__='raise ImportError("libxcb.so.1: cannot open")'),
        WARN,
        "pyav.broken",
        "libxcb.so.1",
        "--force-reinstall",
        None,
    ),
    "PyAV's import crashes": E(
        lambda p: p.module("av", __init__="import os\nos.abort()"),
        WARN,
        "packages.import",
        "importing PyAV: the process ended with SIGABRT",
        "--force-reinstall",
        None,
    ),
    "foreign av": E(lambda p: p.module("av", __init__="x = 1"), WARN, "pyav.broken", "another one", PIP, None),
    "library that everybody may write": E(everybody, WARN, "library.writable", "by everybody", "chmod o-w /", True),
    "the same, refused": E(everybody_strict, FAIL, "library.writable", "by everybody", "STRICT_PATHS", False),
    "32-bit library": E(lambda p: p.patched(4, b"\1"), FAIL, "library.32bit", "ELFCLASS32", "64-bit CANN", False),
    "library of another processor": E(
        lambda p: p.patched(18, b"\xf3\0"), FAIL, "library.machine", "riscv", "install the CANN for", False
    ),
    "32-bit Python": E(thirty_two_bits, WARN, "python.32bit", "32-bit", "64-bit Python", True),
    "musl": E(musl, WARN, "python.musl", "musl", "not Alpine", True),
    "few files": E(few_files, WARN, "limit.files", "64 files", "ulimit -n", True),
    "text file": E(text_file, FAIL, "library.damaged", "invalid ELF header", "install CANN anew", False),
    **{
        f"{name}={value}": E(
            lambda p, name=name, value=value: p.set(**{name: value}), FAIL, "variable.wrong", value, "mend it", False
        )
        for name, value in (
            ("ASCEND_VENC_LIBRARY", "/nope/libascendcl.so"),
            ("ASCEND_HOME_PATH", "relative/path"),
            ("ASCEND_TOOLKIT_HOME", "/tmp"),
        )
    },
    "unknown backend": E(
        lambda p: p.set(ASCEND_VENC_BACKEND="gpu"), FAIL, "backend.unknown", "'gpu'", "sim:CHIP", False
    ),
    "the count of devices fails": E(
        lambda p: p.cann(count_code=507899), FAIL, "library.call", "507899", "driver, firmware and CANN", False
    ),
    "aclInit fails": E(
        lambda p: p.cann(count_code=100001, bodies={"aclInit": "return 507033;"}),
        FAIL,
        "library.call",
        "aclInit returned 507033",
        "driver",
        False,
    ),
    "aclInit crashes": E(
        crash, FAIL, "library.crashed", "aclrtGetDeviceCount): the process ended with SIG", "fit", False
    ),
    "the library never loads": E(
        lambda p: p.cann(code=f"__attribute__((constructor)) static void load(void) {{ {FOR_EVER} }}"),
        FAIL,
        "library.hung",
        "no answer in 0.5 s",
        "reboot",
        False,
        0.5,
    ),
    "the library ends the process": E(
        lambda p: p.cann(
            code=f'{SIGNALS}__attribute__((constructor)) static void load(void) {{ puts("bad board"); exit(3); }}'
        ),
        FAIL,
        "library.left",
        "exit code 3 (it said: bad board)",
        "fit each other",
        False,
    ),
    "a send never returns": E(
        lambda p: p.in_front(SEND_NEVER),
        FAIL,
        "encode.hung",
        "h264, encoding 3 frames: no answer in 2 s",
        "npu-smi's reset",
        False,
        2.0,
    ),
    "creating a channel ends the process": E(
        lambda p: p.in_front(LEAVES),
        FAIL,
        "encode.left",
        "opening the device and a channel: the process ended with exit code 3",
        "fit each other",
        False,
    ),
    "the process crashes at its end": E(
        lambda p: p.in_front(CRASHES_AT_EXIT),
        FAIL,
        "library.crashed",
        "SIGABRT",
        "fit each other",
        False,
    ),
    "the process crashes at its end, after encoding": E(
        lambda p: p.in_front(CRASHES_WHEN_USED),
        WARN,
        "encode.end",
        "encoded, and the process ended with SIGABRT",
        "fit each other",
        True,
    ),
    "channel refused, errno 13": E(
        lambda p: p.in_front(ERRNO_13), FAIL, "nodes.permission", "errno 13", "group of /dev/davinci*", False
    ),
    "channel refused without a reason": E(
        lambda p: p.in_front(REFUSING),
        FAIL,
        "encode.failed",
        "507018",
        "key-frame interval",
        False,
    ),
    "what comes is no video": E(
        lambda p: p.set(ASCEND_VENC_SIM_OPTIONS="null_codec=2000"),
        FAIL,
        "encode.wrong",
        "decoded pictures are not those",
        "what comes out",
        False,
    ),
    "no simulated device": E(
        lambda p: p.set(ASCEND_VENC_SIM_DEVICES="abc"), FAIL, "sim.devices", "'abc'", "from 1 to 64", False
    ),
    "simulated chip that is none": E(
        lambda p: p.set(ASCEND_VENC_SIM_SOC="typo"), FAIL, "sim.chip", "names no chip", "`ascend-venc sim` lists", False
    ),
    "no codec": E(
        lambda p: p.set(ASCEND_VENC_SIM_AVCODEC="/nope/libavcodec.so"),
        FAIL,
        "sim.codec",
        "/nope/libavcodec.so",
        "unset ASCEND_VENC_SIM_AVCODEC",
        False,
    ),
}


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """What was compiled or tried before and is the same in other environments: PyAV, what the simulated device does."""
    return {"folder": tmp_path_factory.mktemp("canns")}


@pytest.fixture
def place(tmp_path, monkeypatch, known):
    made = Environment(tmp_path, monkeypatch, known)

    def trial(request, timeout):
        variables = {
            name: os.environ[name] for name in os.environ if name in host.VARIABLES or name.startswith(host.OWN)
        }
        own = any(name.startswith("ASCEND_VENC_SIM") for name in variables) or (tmp_path / "modules").exists()
        simulated = request.get("backend") == "sim" or (made.is_simulated and "backend" in request)
        key = json.dumps([request, variables if request["of"] == "library" else {}])
        repeats = not own and (
            request["of"] == "packages"
            or (request["of"] == "encode" and simulated)
            or (request["of"] == "library" and not made.own_files and not os.listdir(tmp_path / "home"))
        )
        outcome = known[key] if repeats and key in known else run_trial(request, timeout)
        if request["of"] == "library":
            made.is_simulated = bool(outcome.result and outcome.result["simulated"])
        if repeats:
            known[key] = outcome
        return outcome

    monkeypatch.setattr(examination, "run_trial", trial)
    return made


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_environment_is_named_with_what_mends_it(place, monkeypatch, name):
    expected = ENVIRONMENTS[name]
    expected.build(place)
    # One interface and codec, but where it is about V2: the rest of the command has tests of its own.
    monkeypatch.setattr(examination, "CODECS", ("h264",))
    interface = None if "V2" in name else "v1"
    seen = examination.examine(None, interface, timeout=expected.timeout, only=bool(interface), **place.given)
    seen = dataclasses.replace(seen, host=dataclasses.replace(seen.host, **place.changes))
    found = findings_of(seen)
    named = [finding for finding in found if finding.name == expected.name]
    assert named, found
    assert expected.level in {finding.level for finding in named}
    assert any(expected.text in finding.text and expected.fix in finding.fix for finding in named), named
    assert all("\n" not in finding.text + finding.fix for finding in found)
    if expected.encodes is not None:
        assert seen.encodes == expected.encodes, found
        assert any(finding.level == FAIL for finding in found) == (not expected.encodes), found
    # whatever fails or warns has a fix
    assert [finding for finding in found if finding.level in (WARN, FAIL) and not finding.fix] == []


def test_there_are_enough_broken_environments():
    assert len(ENVIRONMENTS) >= 45
    assert {"no CANN", "musl", "910", "no PyAV", "container without devices"} <= set(ENVIRONMENTS)


# ---- the command ----


def lines_of(capsys):
    return capsys.readouterr().out.splitlines()


def test_without_cann_five_lines_say_what_works_and_what_to_install(place, monkeypatch, capsys):
    monkeypatch.delenv("ASCEND_VENC_INTERFACE", raising=False)
    assert cli.main(["doctor"]) == 0
    first, *rest = lines_of(capsys)
    assert re.fullmatch(r"ascend-venc \S+, Python \S+, Linux \S+, \S+.*", first)
    patterns = [
        r"ok    PyAV \S+: reads and writes mp4, .*",
        r"ok    simulated Ascend310P3, V1 and V2: H\.264 and H\.265, \S+ ms a frame",
        r"note  no Ascend: no CANN, .*",
        r"  ->  on an Ascend host: install driver and CANN, .*set_env\.sh",
    ]
    assert [bool(re.fullmatch(pattern, line)) for pattern, line in zip(patterns, rest)] == [True] * 4, rest
    assert len(rest) == 4
    assert [line for line in (first, *rest) if len(line) > 80] == []


def test_json_has_the_findings_and_the_facts(place, capsys):
    assert cli.main(["doctor", "--json", "--backend", "sim", "--interface", "v1", "--device", "0"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["encodes"] is True and "simulated" in told["conclusion"]
    assert {"ok"} == {finding["level"] for finding in told["findings"]}
    trials = {(trial["interface"], trial["codec"]): trial["result"] for trial in told["trials"]}
    assert set(trials) == {("v1", "h264"), ("v1", "h265")}
    for result in trials.values():
        assert (result["packets"], result["width"], result["height"]) == (3, 320, 240)
        assert result["psnr"] > 30 and result["bytes"] > 0
    assert told["host"]["python_bits"] == 64 and told["library"]["result"]["soc_name"] == "Ascend310P3"


def test_a_failure_is_named_with_its_fix_below_it_and_the_exit_code_is_1(place, capsys):
    place.set(ASCEND_VENC_LIBRARY="/nope/libascendcl.so")
    assert cli.main(["doctor"]) == 1
    lines = lines_of(capsys)
    (number,) = (number for number, line in enumerate(lines) if line.startswith("FAIL  "))
    assert "$ASCEND_VENC_LIBRARY is '/nope/libascendcl.so'" in lines[number]
    assert lines[number + 1].startswith("  ->  mend it or take it away")
    assert any(line.startswith("ok    simulated device, V1") for line in lines), "what works all the same"
    assert lines[-1] == "Nothing is encoded here but by the simulated device, which has to be chosen: --backend sim."


def test_verbose_shows_everything_that_was_found(place, capsys):
    place.working(mpi=False)
    place.nodes()
    place.file("usr/local/Ascend/driver/version.info", "Version=25.2.0\n")
    seen = examination.examine(None, "v1", only=True, **place.given)
    from ascend_venc.cli import doctor, screen

    doctor.show(seen, True, screen.Screen())
    text = capsys.readouterr().out
    cann = place.tmp / "cann"
    for word in (
        f"{cann}, in the environment",
        f"{cann}/lib64/libascendcl.so: 64 bits",
        "25.2.0: ",
        "-rw-rw---- ",
        "dev/davinci0",
        f"ASCEND_HOME_PATH={cann}",
        "found by $ASCEND_HOME_PATH",
        "device 0, v1, h265: 3 packets",
        "open files",
    ):
        assert word in text, word
    assert text.splitlines()[-1] == "Encoding is done by the Ascend310P3, device 0, by DVPP V1."
    assert conclusion(seen) == text.splitlines()[-1]


def test_a_device_that_is_not_there_is_refused(place, capsys):
    assert cli.main(["doctor", "--backend", "sim", "--device", "3"]) == 1
    assert capsys.readouterr().err == "ascend-venc: device is 3; this machine has 0 to 0\n"


def test_wrong_values_are_wrong_usage(place, capsys):
    assert cli.main(["doctor", "--timeout", "0"]) == 2
    assert "--timeout is 0" in capsys.readouterr().err


def living_of_group(number):
    """Processes of a group that have not ended; one that nobody has reaped yet has."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, group = path.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(group) == number and state not in "ZX":
            found.append(path.parent.name)
    return found


def test_a_child_that_fails_leaves_no_process_and_no_file(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mark = tmp_path / "pid"
    code = f"""{SIGNALS}__attribute__((constructor)) static void load(void) {{
        if (fork() == 0) for (;;) pause();  /* a daemon of the vendor's */
        FILE *file = fopen("{mark}", "w"); fprintf(file, "%d", (int)getpgrp()); fclose(file);
        raise(SIGSEGV);
    }}"""
    place.cann(code=code)
    before = sorted(os.listdir(tmp_path))
    seen = examination.examine(None, "v1", only=True, **place.given)
    assert seen.library.end == "crashed" and seen.library.how == "SIGSEGV"
    waiting.eventually(lambda: living_of_group(int(mark.read_text())) == [], 60)  # SIGKILL takes its time
    assert sorted(set(os.listdir(tmp_path)) - set(before)) == ["pid"], "not even a core"


def test_each_step_of_a_trial_has_the_bound_for_itself(monkeypatch):
    """Two steps of six seconds each are no hang where a step may take ten."""
    now = [100.0]
    come = [b'{"step": "one"}\n', None, b'{"step": "two"}\n', None, b'{"result": {"well": 1}}\n']
    lines = SimpleNamespace(read=lambda size: come.pop(0))

    def select(readers, *others):
        if come[0] is None:
            come.pop(0)
            now[0] += 6
            return [], [], []
        return readers, [], []

    monkeypatch.setattr(supervision, "SECONDS_TO_START", 10.0)
    monkeypatch.setattr(supervision, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(supervision, "select", SimpleNamespace(select=select))
    monkeypatch.setattr(supervision, "_has_ended", lambda child: False)
    found = supervision._follow(None, lines, 10.0)
    assert (found.result, found.end) == ({"well": 1}, "")


def test_ctrl_c_ends_the_child_at_once(monkeypatch):
    children = []
    real = supervision._follow

    def interrupted(child, lines, timeout):
        children.append(child.pid)
        real(child, lines, 0.0)  # it has begun
        raise KeyboardInterrupt

    monkeypatch.setattr(supervision, "SECONDS_TO_START", 0.2)
    monkeypatch.setattr(supervision, "_follow", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_trial({"of": "packages"}, 20.0)
    assert not Path(f"/proc/{children[0]}").exists(), "it is reaped"


@pytest.mark.parametrize(("psnr", "wrong"), [(12.0, True), (40.0, False), (None, False)])
def test_pictures_that_are_not_those_that_were_sent_are_a_failure(place, monkeypatch, psnr, wrong):
    told = []
    monkeypatch.setattr(trial, "_decoded_psnr", lambda *args: psnr)
    steps = SimpleNamespace(step=lambda text: None, tell=lambda **words: told.append(words["part"]))
    trial.encode(steps, "sim", interface.NAME, 0, ["h264"])
    (part,) = told
    assert ("error" in part) is wrong
    assert not wrong or "not those that were sent: 12.0 dB, expected over 25" in part["error"]["text"]


def test_trial_tells_whether_it_was_simulated(place, monkeypatch):
    steps = SimpleNamespace(step=lambda text: None)
    assert trial._encode(steps, "sim", interface.NAME, 0, "h264")["simulated"] is True
    monkeypatch.setattr(Encoder, "simulated", False)
    monkeypatch.setattr(Encoder, "backend", "ascend:Ascend310P3")
    assert trial._encode(steps, "sim", interface.NAME, 0, "h264")["simulated"] is False


@pytest.mark.parametrize("by", ["option", "variable"])
def test_interface_that_cannot_encode_here_is_named(place, capsys, by):
    place.set(ASCEND_VENC_INTERFACE="v2" if by == "variable" else "auto")
    assert cli.main(["doctor", "--backend", "sim:Ascend310", *(["--interface=v2"] if by == "option" else [])]) == 1
    lines = lines_of(capsys)
    (number,) = (number for number, line in enumerate(lines) if line.startswith("FAIL  "))
    assert lines[number] == "FAIL  DVPP V2 is asked for, and Ascend310 has no DVPP V2"
    assert lines[number + 1] == "  ->  choose v1, or auto (--interface, $ASCEND_VENC_INTERFACE)"
    assert lines[-1] == "Nothing is encoded here."


def test_interface_whose_library_is_missing_is_named(place):
    place.working(mpi=False)
    assert examination.examine(None, None, **place.given).encodes
    (found,) = (
        finding
        for finding in findings_of(examination.examine(None, "v2", only=True, **place.given))
        if finding.level == FAIL
    )
    assert found.name == "interface.unusable" and "DVPP V2 cannot be used: libacl_dvpp_mpi.so" in found.text


def test_variables_that_the_sources_read_are_known():
    root = Path(host.__file__).parents[2]
    files = [path for folder in ("ascend_venc", "csrc") for path in (root / folder).rglob("*.*")]
    found = {
        name
        for path in files
        if path.suffix in (".py", ".pyx", ".c", ".h")
        for name in re.findall(r"[\"$](ASCEND_VENC_[A-Z_]+)", path.read_text())
    }
    assert {"ASCEND_VENC_BACKEND", "ASCEND_VENC_SIM_SOC"} <= found  # one of Python's and one of C's
    assert found == set(host.OWN_VARIABLES)


def test_glibc_is_the_one_that_runs():
    assert host.examine_host().libc == f"glibc {gnu_get_libc_version()}"


def test_each_device_has_its_line_and_one_that_works_is_enough(place, capsys):
    place.set(ASCEND_VENC_SIM_DEVICES="2")
    seen = examination.examine("sim", "v1", only=True, **place.given)
    assert [(trial.device, trial.codec, bool(trial.result)) for trial in seen.trials] == [
        (device, codec, True) for device in (0, 1) for codec in ("h264", "h265")
    ]
    broken = seen.trials[0]._replace(
        result=None, problem="device 0 is on fire", error={"type": "AclError", "text": "x"}
    )
    partly = dataclasses.replace(seen, trials=(broken, broken._replace(codec="h265"), *seen.trials[2:]))
    found = findings_of(partly)
    assert partly.encodes and "devices" not in conclusion(partly)
    assert [finding.level for finding in found if "device 0, V1, H.264 and H.265: " in finding.text] == [FAIL]
    assert any(finding.level == "ok" and "simulated Ascend310P3, V1" in finding.text for finding in found) is False
    assert any(finding.level == "ok" and "device 1, V1: H.264 and H.265" in finding.text for finding in found)
