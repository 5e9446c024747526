# SPDX-License-Identifier: Apache-2.0
"""Which interface `interface="auto"` takes, and who says so: a process for each, since a process takes one of them."""

import json
import os
import subprocess
import sys

import pytest

from ascend_venc import chips
from ascend_venc._lowlevel import core
from helpers import fake_cann, processes, shim

pytestmark = pytest.mark.sim_only

SOCS = [soc for chip in chips.CHIPS for soc in chip.simulated]
ENCODE = [soc for chip in chips.CHIPS for soc in chip.simulated if chip.encoder]
HAVE_V2 = [soc for soc in SOCS if soc.startswith(("Ascend310P", "Ascend310B"))]
NO_CHOICE = {"ASCEND_VENC_INTERFACE": "", "ASCEND_VENC_SIM_STRICT": "1"}

SAY = """
import json, sys, warnings
warnings.simplefilter("always")
import ascend_venc as venc

def say(enc, **more):
    print(json.dumps({"interface": enc.interface, "told": enc.capabilities().interface, **more}))
"""
ONE = (
    SAY
    + """
with warnings.catch_warnings(record=True) as caught:
    before = venc.capabilities(backend=sys.argv[1])
    with venc.Encoder(128, 128, codec="h264", backend=sys.argv[1]) as enc:
        packets = enc.encode(bytes(128 * 192)) + enc.flush()
        say(enc, before=before.interface, after=venc.capabilities(backend=sys.argv[1]).interface, packets=len(packets),
            warned=[(w.category.__name__, str(w.message), w.filename) for w in caught])
"""
)


def run(program, *args, **env):
    """Run a program without a choice of its own; return the JSON objects that it printed."""
    done = processes.run(program, *args, env={**NO_CHOICE, "ASCEND_VENC_SIM_AVCODEC": core.find_codec() or "", **env})
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def command(*args, **env):
    return subprocess.run(
        [sys.executable, "-m", "ascend_venc", *map(str, args)],
        env=processes.environment(**{**NO_CHOICE, **env}),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


# ---- by chip and library -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("soc", ENCODE)
def test_simulated_chip_is_driven_by_v2_where_it_has_it(soc):
    (found,) = run(ONE, f"sim:{soc}")
    name = "v2" if soc in HAVE_V2 else "v1"
    assert {found[key] for key in ("interface", "told", "before", "after")} == {name}
    assert (found["packets"], found["warned"]) == (1, [])


def test_chip_without_an_encoder_is_refused_as_ever():
    program = (
        SAY
        + """
try:
    venc.Encoder(128, 128, backend="sim:Ascend910")
except venc.UnsupportedDeviceError as error:
    print(json.dumps(str(error)))
"""
    )
    assert "Ascend910 has no video encoder" in run(program)[0]
    for name in ("v1", "v2"):
        assert "Ascend910 has no video encoder" in run(program, ASCEND_VENC_INTERFACE=name)[0]


@pytest.mark.parametrize("soc", SOCS)
def test_environment_chooses_for_every_chip(soc):
    program = (
        SAY
        + """
import os

for name in sys.argv[1:]:  # a process for each, which begins where the package is imported and nothing is opened
    child = os.fork()
    if child == 0:
        os.environ["ASCEND_VENC_INTERFACE"] = name
        try:
            with venc.Encoder(128, 128, codec="h264", backend="sim") as enc:
                say(enc)
        except (venc.InvalidArgumentError, venc.UnsupportedDeviceError) as error:
            print(json.dumps(str(error)))
        sys.exit()
    assert os.waitpid(child, 0)[1] == 0
"""
    )
    names = ("v1", "v2", "V1", "auto")
    answers = run(program, *names, ASCEND_VENC_SIM_SOC=soc)
    assert len(answers) == len(names)
    for name, found in zip(names, answers):
        if soc not in ENCODE:
            assert "no video encoder" in found
        elif name == "v2" and soc not in HAVE_V2:
            assert 'choose interface="v1"' in found
        else:
            assert found["interface"] == ("v2" if soc in HAVE_V2 else "v1") if name == "auto" else name.lower()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return shim.install(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def without_v2(tmp_path_factory):
    return shim.install(tmp_path_factory.mktemp("without"), mpi=False)


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """Installations whose DVPP V2 is there, and does not work: (folder, words of the warning)."""
    refused = {"hi_mpi_sys_init": "return (hi_s32)0xA0028012;"}
    no_file = shim.install(tmp_path_factory.mktemp("file"), mpi=False)
    (no_file / "libacl_dvpp_mpi.so").write_text("no library")
    return {
        "file": (no_file, "libacl_dvpp_mpi.so is not usable"),
        "symbol": (
            shim.install(tmp_path_factory.mktemp("symbol"), without=["hi_mpi_venc_get_fd"]),
            "hi_mpi_venc_get_fd",
        ),
        "refused": (
            shim.install(tmp_path_factory.mktemp("refused"), bodies=refused),
            "hi_mpi_sys_init returned 2684518418",
        ),
    }


@pytest.mark.parametrize("soc", ENCODE)
def test_installed_library_of_v2_decides(soc, whole, without_v2):
    (found,) = run(ONE, whole, ASCEND_VENC_SIM_SOC=soc)
    name = "v2" if soc in HAVE_V2 else "v1"
    assert {found[key] for key in ("interface", "told", "before", "after")} == {name}
    assert (found["packets"], found["warned"]) == (1, [])
    (found,) = run(ONE, without_v2, ASCEND_VENC_SIM_SOC=soc)
    assert {found[key] for key in ("interface", "told", "before", "after")} == {"v1"}
    assert (found["packets"], found["warned"]) == (1, [])


@pytest.mark.parametrize("how", ["file", "symbol", "refused"])
def test_v2_that_does_not_work_is_v1_and_a_warning(how, broken):
    folder, words = broken[how]
    (found,) = run(ONE, folder)
    assert (found["interface"], found["told"], found["after"], found["packets"]) == ("v1", "v1", "v1", 1)
    assert found["before"] == ("v2" if how == "refused" else "v1")  # what the device says is not asked
    ((kind, text, file),) = found["warned"]
    assert kind == "InterfaceFallbackWarning" and words in text and 'interface="v1"' in text
    assert file == "<string>"  # the program's own line
    named = (
        SAY
        + """
try:
    venc.Encoder(128, 128, backend=sys.argv[1], interface="v2")
except venc.VencError as error:
    print(json.dumps(str(error)))
with venc.Encoder(128, 128, codec="h264", backend=sys.argv[1], interface="v1") as enc:
    say(enc)
"""
    )
    error, used = run(named, folder)  # no fall-back from what was named, and nothing was decided by it
    assert words in error and used["interface"] == "v1"


# Two threads open devices by V2, which waits for a file, and then does not work.
AT_ONCE = (
    SAY
    + """
import os, threading, time
warnings.simplefilter("ignore", venc.InterfaceFallbackWarning)
folder, order, found = sys.argv[2], sys.argv[3], {}

def wait_for(name):
    while not os.path.exists(os.path.join(folder, name)):
        time.sleep(0.001)

def open_one(device, timeout):
    try:
        with venc.Encoder(128, 128, codec="h264", backend=sys.argv[1], device=device, timeout=timeout) as enc:
            found[device] = enc.interface
    except venc.VencError as error:
        found[device] = type(error).__name__

threads = [
    threading.Thread(target=open_one, args=(device, 2 if device == 0 and len(order) == 1 else 60)) for device in (0, 1)
]
for device, thread in enumerate(threads):
    thread.start()
    wait_for(f"entered-{device}")
for device in map(int, order):
    open(os.path.join(folder, f"gate-{device}"), "w").close()
    threads[device].join(0.5 if len(order) > 1 else 60)  # it is the first to know
    if len(order) == 1:
        print(json.dumps(found))
        open(os.path.join(folder, "gate-1"), "w").close()
for thread in threads:
    thread.join()
print(json.dumps(found))
"""
)


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """An installation whose hi_mpi_sys_init fails when a file is there: the nth call waits for gate-n."""
    code = """
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
static atomic_int calls;
static hi_s32 refuse_later(void) {
    char path[4200];
    int call = atomic_fetch_add(&calls, 1);
    snprintf(path, sizeof path, "%s/entered-%d", getenv("GATES"), call);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    snprintf(path, sizeof path, "%s/gate-%d", getenv("GATES"), call);
    while (access(path, F_OK) != 0)
        usleep(1000);
    return (hi_s32)0xA0028012;
}
"""
    bodies = {"hi_mpi_sys_init": "return refuse_later();"}
    return shim.install(tmp_path_factory.mktemp("slow"), bodies=bodies, code=code)


@pytest.mark.parametrize("order", ["01", "10"])
def test_two_threads_that_begin_v2_at_once_both_fall_back(order, slow, tmp_path):
    (found,) = run(AT_ONCE, slow, tmp_path, order, GATES=str(tmp_path), ASCEND_VENC_SIM_DEVICES="2")
    assert found == {"0": "v1", "1": "v1"}


def test_falling_back_waits_for_another_threads_v2_and_no_longer_than_its_timeout(slow, tmp_path):
    first, both = run(AT_ONCE, slow, tmp_path, "0", GATES=str(tmp_path), ASCEND_VENC_SIM_DEVICES="2")
    assert (first, both) == ({"0": "AclTimeoutError"}, {"0": "AclTimeoutError", "1": "v1"})


def test_warning_that_is_an_exception_leaves_nothing_open(broken):
    program = (
        SAY
        + """
from ascend_venc._lowlevel import core
import time
warnings.simplefilter("error", venc.InterfaceFallbackWarning)
try:
    venc.Encoder(128, 128, backend=sys.argv[1])
except venc.InterfaceFallbackWarning as error:
    print(json.dumps(str(error)))
end = time.monotonic() + 20
while core.live()["DEVICE"] and time.monotonic() < end:
    time.sleep(0.01)
print(json.dumps(core.live()["DEVICE"]))
"""
    )
    for folder, words in broken.values():
        text, devices = run(program, folder)
        assert words in text and devices == 0


def test_info_and_encode_and_bench_tell_what_is_used(whole, without_v2, broken, tmp_path):
    picture = tmp_path / "one.nv12"
    picture.write_bytes(os.urandom(128 * 192))
    codec = {"ASCEND_VENC_SIM_AVCODEC": core.find_codec() or ""}
    for folder, name, words in (
        (whole, "v2", "Ascend310P3 has DVPP V2, by "),
        (without_v2, "v1", "is not there"),
        (broken["symbol"][0], "v1", "hi_mpi_venc_get_fd"),
    ):
        facts = json.loads(command("info", "--json", "--backend", folder).stdout)
        assert facts["interface"] == name and words in facts["interface_reason"]
        done = command(
            "encode",
            picture,
            tmp_path / "one.h264",
            "-s",
            "128x128",
            "--overwrite",
            "--json",
            "--backend",
            folder,
            **codec,
        )
        assert json.loads(done.stdout)["interface"] == name
        lines = done.stderr.splitlines()
        assert len(lines) == (name == "v1" and "lacks" in facts["interface_reason"])
        assert all(line.startswith("ascend-venc: note: encoding by DVPP V1: ") for line in lines)
        done = command(
            "bench", "-s", "128x128", "-c", "h264", "-n", "1", "-t", "0.05", "--json", "--backend", folder, **codec
        )
        report = json.loads(done.stdout)
        assert (report["interface"], report["figures"][0]["interface"]) == (name, name)
    facts = json.loads(command("info", "--json", "--backend", whole, ASCEND_VENC_INTERFACE="v1").stdout)
    assert (facts["interface"], facts["interface_reason"]) == ("v1", "chosen by $ASCEND_VENC_INTERFACE")


# ---- by what the process does ------------------------------------------------------------------------------------

FACADE = (
    SAY
    + """
from ascend_venc import acl
acl.init()
acl.rt.set_device(0)
"""
)
MADE = {
    "memory": ("pointer, ret = acl.media.dvpp_malloc(4096)", "acl.media.dvpp_free(pointer)"),
    "picture": ("desc = acl.media.dvpp_create_pic_desc()", "acl.media.dvpp_destroy_pic_desc(desc)"),
    "description": ("desc = acl.media.venc_create_channel_desc()", "acl.media.venc_destroy_channel_desc(desc)"),
}
END = """
import time
from ascend_venc._lowlevel import core
while core.live()["DEVICE"]:  # ends natively
    time.sleep(0.01)
acl.rt.reset_device(0)
acl.finalize()
"""
ENCODER = """
with venc.Encoder(128, 128, codec="h264", timeout=20) as enc:
    enc.encode(bytes(128 * 192)), enc.flush()
    say(enc)
"""
FACADE_ENV = {"ASCEND_VENC_BACKEND": "sim"}


@pytest.mark.parametrize("what", MADE)
def test_auto_is_v1_once_acl_media_was_used(what):
    make, free = MADE[what]
    (found,) = run(f"{FACADE}{make}\n{free}\n{ENCODER}{END}", **FACADE_ENV)
    assert found["interface"] == "v1"


def test_facade_that_has_not_used_acl_media_changes_nothing():
    (found,) = run(f"{FACADE}{ENCODER}{END}", **FACADE_ENV)
    assert found["interface"] == "v2"


def test_auto_is_v2_once_acl_himpi_was_begun():
    (found,) = run(
        f"{FACADE}assert acl.himpi.sys_init() == 0\n{ENCODER}assert acl.himpi.sys_exit() == 0\n{END}", **FACADE_ENV
    )
    assert found["interface"] == "v2"


def test_child_of_a_fork_chooses_anew():
    program = (
        FACADE
        + MADE["picture"][0]
        + "\n"
        + MADE["picture"][1]
        + """
import os
before = venc.capabilities().interface
sys.stdout.flush()
warnings.filterwarnings("ignore", "This process .* is multi-threaded")  # CPython 3.12 and newer
pid = os.fork()
if pid == 0:
    print(json.dumps(venc.capabilities().interface), flush=True)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
print(json.dumps(before))
"""
        + END
    )
    assert run(program, **FACADE_ENV) == ["v2", "v1"]


def test_first_family_decides_and_a_refusal_names_it():
    program = (
        SAY
        + """
for names in (["auto", "v1", "auto"], ["v2", "v1"]):
    for name in names:
        try:
            with venc.Encoder(128, 128, codec="h264", backend="sim", interface=name) as enc:
                say(enc)
        except venc.AclError as error:
            print(json.dumps(str(error)))
"""
    )
    first, refusal, again, named, refused = run(program)
    assert (first["interface"], again["interface"], named["interface"]) == ("v2", "v2", "v2")
    assert 'choose interface="v2"' in refusal and 'choose interface="v2"' in refused
    program = (
        SAY
        + """
for name in ("v1", "auto", "v2"):
    try:
        with venc.Encoder(128, 128, codec="h264", backend="sim", interface=name) as enc:
            say(enc)
    except venc.AclError as error:
        print(json.dumps(str(error)))
"""
    )
    first, again, refusal = run(program)
    assert (first["interface"], again["interface"]) == ("v1", "v1") and 'choose interface="v1"' in refusal


PYACL = """
import json, sys
import ascend_venc as venc
if "import" in sys.argv:
    import acl
if "himpi" in sys.argv:
    import acl
    acl.init(), acl.rt.set_device(0)
    assert acl.himpi.sys_init() == 0
if "child" in sys.argv:
    import subprocess
    sys.exit(subprocess.run([sys.executable, __file__]).returncode)
with venc.Encoder(128, 128, codec="h264", timeout=20) as enc:
    print(json.dumps(enc.interface))
"""


@pytest.mark.parametrize(
    ("words", "wanted"), [([], "v1"), (["import"], "v1"), (["child"], "v1"), (["himpi"], "v2")], ids=str
)
def test_pyacl_program_that_is_run_gets_v1_unless_it_uses_v2(words, wanted, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PYACL)
    done = command("run", "--backend", "sim", program, *words)
    assert (done.returncode, done.stdout) == (0, f'"{wanted}"\n'), done.stderr
    plain = processes.run(PYACL, env={**NO_CHOICE, **FACADE_ENV})
    assert plain.stdout == '"v2"\n', plain.stderr


def test_acl_that_is_installed_in_a_program_is_v1():
    program = SAY + "from ascend_venc import acl\nacl.install()\n" + ENCODER
    assert run(program, **FACADE_ENV)[0]["interface"] == "v1"


# ---- when V2's library is opened ---------------------------------------------------------------------------------


@pytest.fixture
def marked(tmp_path):
    """An installation whose library of V2 leaves a file when it is loaded: (folder, file)."""
    mark = tmp_path / "mark"
    return shim.install(tmp_path / "cann", code=fake_cann.leaving_a_mark(mark)), mark


@pytest.mark.parametrize(
    ("soc", "interface", "opened"),
    [
        ("Ascend310P3", "v1", False),
        ("Ascend310P3", "v2", True),
        ("Ascend310P3", "auto", True),
        ("Ascend310B4", "auto", True),
        ("Ascend310", "auto", False),
    ],
)
def test_library_of_v2_is_opened_when_v2_is_used(soc, interface, opened, marked):
    folder, mark = marked
    (found,) = run(ONE, folder, ASCEND_VENC_SIM_SOC=soc, ASCEND_VENC_INTERFACE=interface)
    assert (found["interface"], mark.exists()) == ("v2" if opened else "v1", opened)
    if not opened:
        facts = json.loads(
            command(
                "info", "--json", "--backend", folder, ASCEND_VENC_SIM_SOC=soc, ASCEND_VENC_INTERFACE=interface
            ).stdout
        )
        assert "has not been looked for" in facts["v2_library"] and not mark.exists()


def test_facade_opens_the_library_of_v2_for_acl_himpi_only(marked):
    folder, mark = marked
    run(f"{FACADE}{MADE['memory'][0]}\n{MADE['memory'][1]}\n{ENCODER}{END}", ASCEND_VENC_BACKEND=folder)
    assert not mark.exists()
    run(
        f"{FACADE}assert acl.himpi.sys_init() == 0\nassert acl.himpi.sys_exit() == 0\n{END}", ASCEND_VENC_BACKEND=folder
    )
    assert mark.exists()


def test_auto_is_v1_where_that_is_begun_while_the_library_of_v2_is_looked_for(tmp_path):
    folder = shim.install(tmp_path / "cann")
    (folder / "libacl_dvpp_mpi.so").chmod(0o777)  # a warning comes before it is opened, and the program's code with it
    program = (
        SAY
        + """
opened = []

def show(message, *more):
    assert "libacl_dvpp_mpi.so" in str(message)
    opened.append(venc.Encoder(128, 128, codec="h264", backend=sys.argv[1], interface="v1"))

warnings.showwarning = show
with venc.Encoder(128, 128, codec="h264", backend=sys.argv[1]) as enc:
    say(enc)
opened.pop().close()
"""
    )
    assert run(program, folder)[0]["interface"] == "v1"


def test_device_that_waits_for_the_library_of_v2_is_bounded(tmp_path):
    gate = tmp_path / "gate"
    code = f"""
__attribute__((constructor)) static void wait(void) {{
    while (access("{gate}", F_OK) != 0)
        usleep(1000);
}}
"""
    folder = shim.install(tmp_path / "cann", code=code)
    program = (
        SAY
        + """
try:
    venc.Encoder(128, 128, backend=sys.argv[1], timeout=1.5)  # what comes before that library is within it
except venc.AclTimeoutError as error:
    print(json.dumps(str(error)))
open(sys.argv[2], "w").close()
with venc.Encoder(128, 128, codec="h264", backend=sys.argv[1], timeout=30) as enc:
    say(enc)
"""
    )
    text, found = run(program, folder, gate)
    assert "loading libacl_dvpp_mpi.so has not returned" in text and found["interface"] == "v2"
