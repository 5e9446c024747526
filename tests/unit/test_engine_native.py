# SPDX-License-Identifier: Apache-2.0
"""The engine from C: with threads on every side, and with calls that stop, fail or never return; plain, under the
thread and the address sanitizer, and with random pauses before its locks."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from ascend_venc._lowlevel import core
from helpers import fake_cann, native

NATIVE = Path(__file__).resolve().parent / "native"

# The first test of a variant compiles the engine, and waits for another process that does.
pytestmark = [pytest.mark.sim_only, pytest.mark.timeout(900)]

VARIANTS = ("plain", pytest.param("thread", marks=pytest.mark.soak), "thread-delays", "address")
every_variant = pytest.mark.parametrize("variant", VARIANTS)
both_interfaces = pytest.mark.parametrize(
    ("variant", "interface"),
    [
        ("plain", "v1"),
        pytest.param("thread", "v1", marks=pytest.mark.soak),
        *(("thread-delays", "v1"), ("address", "v1"), ("thread-delays", "v2"), ("address", "v2")),
    ],
)


@both_interfaces
@pytest.mark.parametrize(
    ("program", "channels", "frames"),
    [
        ("engine_threads.c", 9, 15),
        ("engine_features.c", 10, 20),
        ("engine_waitset.c", 12, 20),
        pytest.param("engine_threads.c", 9, 120, marks=pytest.mark.soak),
        pytest.param("engine_features.c", 10, 120, marks=pytest.mark.soak),
        pytest.param("engine_waitset.c", 12, 120, marks=pytest.mark.soak),
    ],
)
def test_engine_with_threads_on_every_side_keeps_every_frame(builds, variant, interface, program, channels, frames):
    target = builds.program(variant, [NATIVE / program])
    assert native.run(target, builds.device(variant), "", channels, frames, interface=interface) == "ok\n"


@both_interfaces
def test_what_happens_while_a_call_of_the_vendor_s_does_not_return(builds, variant, interface):
    target = builds.program(variant, [NATIVE / "engine_waits.c"])
    assert native.run(target, builds.device(variant), "", interface=interface) == "ok\n"


def wrap(*functions):
    return ["-Wl," + ",".join(f"--wrap={name}" for name in functions)]


DESCRIPTORS = ("eventfd", "timerfd_create", "epoll_create1", "epoll_ctl")
ALLOCATIONS = wrap("malloc", "calloc", "realloc", "mmap", "pthread_create", *DESCRIPTORS)
SINKS = wrap("avi_sink_post", "close")
CLOCK = wrap("avi_now_ns", "avi_sleep_while", "avi_thread_start")


@every_variant
@pytest.mark.parametrize(
    ("program", "link"),
    [
        ("loop_frames.c", []),
        ("loop_channels.c", []),
        ("loop_changes.c", []),
        ("loop_sei.c", []),
        ("loop_sinks.c", SINKS),
        ("loop_waits.c", []),
        ("loop_races.c", []),
        ("loop_memory.c", ALLOCATIONS),
        ("task_queue.c", CLOCK),
    ],
)
def test_scenarios_on_a_port_without_a_device(builds, variant, program, link):
    """Each program runs its scenarios one after the other; the last name on stderr is the one that failed."""
    sources = [NATIVE / program, *(NATIVE / name for name in ("scenario.c", "loopback_port.c", "channels.c"))]
    assert native.run(builds.program(variant, sources, link=link)) == "ok\n"


@every_variant
def test_calls_in_any_order(builds, variant):
    """A short run with right and wrong arguments; scripts/fuzz.sh makes a long one."""
    sources = [NATIVE / name for name in ("fuzz_calls.c", "scenario.c", "loopback_port.c", "channels.c")]
    target = builds.program(variant, sources)
    assert native.run(target, ROUNDS="100" if variant == "plain" else "30") == "ok\n"


@pytest.mark.parametrize("seed", [1, 2])
def test_damaged_access_units_are_not_read_or_written_beyond(builds, seed):
    """A short run; scripts/fuzz.sh makes a long one. What it begins with is tests/data/bitstream."""
    program = builds.program("address", [NATIVE / "fuzz_bitstream.c"], native.BITSTREAM_ALONE)
    corpus = sorted((native.ROOT / "tests" / "data" / "bitstream").iterdir())
    assert len(corpus) > 10
    assert native.run(program, 30000, seed, *corpus) == "ok\n"


@pytest.mark.parametrize("variant", ["plain", "thread-delays", "address"])
def test_converters_on_several_threads_give_the_same_pictures(builds, variant):
    """Conversion stands alone: nothing of the engine is linked."""
    program = builds.program(variant, [NATIVE / "convert_threads.c"], native.CONVERT_ALONE)
    said = native.run(program, core.find_swscale() or "", core.find_libyuv() or "", 40)
    if said == "absent\n":
        pytest.skip("no library that converts RGB")
    assert said == "ok\n"


@pytest.mark.parametrize("interface", ["v1", "v2"])
@pytest.mark.parametrize("variant", ["thread-delays", "address-delays"])
def test_library_opened_and_read_by_several_threads(builds, tmp_path, variant, interface):
    program = builds.program(variant, [NATIVE / "load_threads.c"], native.LOAD_ALONE)
    # Opened first with a call that asks whether it is a stub and one that counts; then it fails every third time.
    count = (
        "static int calls; int call = calls++; *(uint32_t *)first = 1 + call % 2; return call % 3 == 2 ? 507899 : 0;"
    )
    lib = fake_cann.install(tmp_path, bodies={"aclrtGetDeviceCount": count})
    fake_cann.install_mpi(lib)
    assert native.run(program, lib / "libascendcl.so", 300, interface=interface) == "ok\n"


def test_fork_while_another_thread_has_the_list_of_libraries(builds, tmp_path):
    program = builds.program("plain", [NATIVE / "load_fork.c"], native.LOAD_ALONE, wrap("calloc"))
    count = "static int calls; *(uint32_t *)first = ++calls; return 0;"
    lib = fake_cann.install(tmp_path, bodies={"aclrtGetDeviceCount": count})
    assert native.run(program, lib / "libascendcl.so") == "ok\n"


@pytest.mark.parametrize("variant", ["plain", "address"])
def test_library_of_a_thread_that_was_faster_stays_where_another_has_no_memory(builds, tmp_path, variant):
    link = wrap("calloc", "avi_fill_table")
    program = builds.program(variant, [NATIVE / "load_memory.c"], native.LOAD_ALONE, link)
    count = "static int calls; *(uint32_t *)first = ++calls; return 0;"
    lib = fake_cann.install(tmp_path, bodies={"aclrtGetDeviceCount": count})
    assert native.run(program, lib / "libascendcl.so") == "ok\n"


def test_search_by_name_finds_what_the_dynamic_loader_finds(builds, tmp_path):
    """In LD_LIBRARY_PATH, /etc/ld.so.cache, the system's folders, or nowhere."""
    program = builds.program("plain", [NATIVE / "load_search.c"], native.LOAD_ALONE)
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
