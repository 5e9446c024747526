# SPDX-License-Identifier: Apache-2.0
"""The engine from C, with threads on every side: plain, and under the thread and the address sanitizer."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from ascend_venc._lowlevel import core
from helpers import fake_cann

ROOT = Path(__file__).resolve().parents[2]
NATIVE = Path(__file__).resolve().parent / "native"
CFLAGS = ["-std=gnu11", "-O1", "-g", "-fno-omit-frame-pointer", "-pthread", "-Wno-format-truncation"]

pytestmark = pytest.mark.sim_only


def compile_with(flags, *args):
    subprocess.run(["gcc", *CFLAGS, *flags, *map(str, args)], check=True, capture_output=True, text=True)


def sanitizer_flags(sanitizer, tmp_path):
    """The flags for it; skips where its runtime is missing."""
    flags = [f"-fsanitize={sanitizer}", "-fno-sanitize-recover=undefined"] if sanitizer else []
    probe = tmp_path / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    try:
        compile_with(flags, probe, "-o", tmp_path / "probe")
        subprocess.run([str(tmp_path / "probe")], check=True, capture_output=True, timeout=30)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"this machine has no runtime for -fsanitize={sanitizer}: {str(error.stderr)[-200:]}")
    return flags


ROOMS = ("base/*.c", "load/*.c", "convert/*.c", "engine/*.c", "ports/*.c")
LOAD_ALONE = ("base/*.c", "load/*.c")
CONVERT_ALONE = ("base/*.c", "load/paths.c", "load/trust.c", "convert/*.c")


def compile_with_engine(flags, program, target, rooms=ROOMS):
    """Build a C program with the files of csrc that match."""
    csrc = ROOT / "csrc"
    sources = sorted(path for pattern in rooms for path in csrc.glob(pattern))
    compile_with(flags, f"-I{csrc}", f"-I{csrc}/include", *sources, NATIVE / program, "-o", target)


def compile_device(flags, target):
    sources = sorted((ROOT / "csrc" / "sim").glob("*.c"))
    compile_with([*flags, "-fPIC", "-shared", "-fvisibility=hidden"], f"-I{ROOT}/csrc/include", *sources, "-o", target)
    return target


@pytest.mark.parametrize("sanitizer", ["", "thread", "address,undefined"])
@pytest.mark.parametrize(
    ("program", "channels", "frames"),
    [("engine_threads.c", 9, 60), ("engine_features.c", 8, 60), ("engine_selector.c", 12, 40)],
)
def test_engine_with_threads_on_every_side_keeps_every_frame(tmp_path, sanitizer, program, channels, frames):
    flags = sanitizer_flags(sanitizer, tmp_path)
    device = compile_device(flags, tmp_path / "sim.so")
    target = tmp_path / "program"
    compile_with_engine(flags, program, target)
    env = dict(os.environ, ASCEND_VENC_SIM_AVCODEC=core.find_codec() or "", TSAN_OPTIONS="exitcode=66")
    done = subprocess.run(
        [str(target), str(device), "", str(channels), str(frames)],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout == "ok\n"
    assert "Sanitizer" not in done.stderr


SCENARIOS = [
    "queued_behind_refused",
    "room_while_growing",
    "wait_while_closing",
    "destroy_while_frame_is_submitted",
    "sink_for_packets_that_are_ready",
    "sink_after_one_that_broke",
    "sink_taken_away_while_it_is_written",
]


@pytest.fixture(scope="module", params=["thread", "address,undefined"])
def waits(request, tmp_path_factory):
    """The program of scenarios and a simulated device, both with a sanitizer."""
    folder = tmp_path_factory.mktemp("waits")
    flags = sanitizer_flags(request.param, folder)
    compile_with_engine(flags, "engine_waits.c", folder / "program")
    return folder / "program", compile_device(flags, folder / "sim.so")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_what_happens_while_another_thread_is_inside_a_call(waits, scenario):
    program, device = waits
    done = subprocess.run(
        [str(program), str(device), "", scenario],
        env=dict(os.environ, TSAN_OPTIONS="exitcode=66"),
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr[-4000:]
    assert "Sanitizer" not in done.stderr


@pytest.mark.parametrize("sanitizer", ["", "thread", "address,undefined"])
def test_converters_on_several_threads_give_the_same_pictures(tmp_path, sanitizer):
    """Conversion stands alone: nothing of the engine is linked."""
    program = tmp_path / "convert_threads"
    flags = sanitizer_flags(sanitizer, tmp_path)
    if sanitizer == "thread":
        flags = [*flags, "-DAVENC_DELAYS"]  # random pauses before locks
    compile_with_engine(flags, "convert_threads.c", program, CONVERT_ALONE)
    done = subprocess.run(
        [str(program), core.find_swscale() or "", core.find_libyuv() or "", "40"],
        env=dict(os.environ, TSAN_OPTIONS="exitcode=66"),
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    if done.stdout == "absent\n":
        pytest.skip("no library that converts RGB")
    assert done.stdout == "ok\n"


@pytest.mark.parametrize("sanitizer", ["thread", "address,undefined"])
def test_library_opened_and_read_by_several_threads(tmp_path, sanitizer):
    flags = [*sanitizer_flags(sanitizer, tmp_path), "-DAVENC_DELAYS"]
    compile_with_engine(flags, "load_threads.c", tmp_path / "load_threads", LOAD_ALONE)
    # Opened first with a call that asks whether it is a stub and one that counts; then it fails every third time.
    count = (
        "static int calls; int call = calls++; *(uint32_t *)first = 1 + call % 2; return call % 3 == 2 ? 507899 : 0;"
    )
    lib = fake_cann.install(tmp_path, bodies={"aclrtGetDeviceCount": count})
    done = subprocess.run(
        [str(tmp_path / "load_threads"), str(lib / "libascendcl.so"), "300"],
        env=dict(os.environ, TSAN_OPTIONS="exitcode=66"),
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr[-4000:]


def test_search_by_name_finds_what_the_dynamic_loader_finds(tmp_path):
    """In LD_LIBRARY_PATH, /etc/ld.so.cache, the system's folders, or nowhere."""
    program = tmp_path / "load_search"
    compile_with_engine([], "load_search.c", program, LOAD_ALONE)
    fake_cann.compile_library(tmp_path / "here" / "libavenc_only_here.so.1", ["one"])
    fake_cann.compile_library(tmp_path / "there" / "libavenc_only_here.so.1", ["one"])
    cached = Path("/etc/ld.so.cache")
    names = (
        sorted({name.decode() for name in re.findall(rb"lib[\w.+-]+\.so\.\d+", cached.read_bytes())})
        if cached.exists()
        else []
    )
    # A sample; and not those that the program itself has loaded, nor what cannot be loaded into it.
    names = [name for name in names if not re.match(r"lib(c|m|pthread|dl|[atl]san|ubsan|asan)\.", name)][::12][:40]
    names += ["libavenc_only_here.so.1", "libavenc_nowhere.so.1"]
    found = {}
    for whose in ("ours", "loader"):
        done = subprocess.run(
            [str(program), whose, *names],
            env=dict(os.environ, LD_LIBRARY_PATH=f"{tmp_path}/nothing:{tmp_path}/here:{tmp_path}/there:"),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        found[whose] = dict(zip(names, done.stdout.splitlines()))
    assert found["ours"] == found["loader"]
    assert found["ours"]["libavenc_only_here.so.1"] == f"{tmp_path}/here/libavenc_only_here.so.1"
    assert found["ours"]["libavenc_nowhere.so.1"] == "-"
