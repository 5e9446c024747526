# SPDX-License-Identifier: Apache-2.0
"""The simulated device's DVPP V2: a program in C that is linked as for hardware, strict mode, threads, sanitizers."""

import ctypes
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest

from ascend_venc.cli import sim as cli
from helpers import annexb, c_library, himpi, mpi_program, processes, simulator, vendor_headers, video
from helpers.decode import unit_frames
from helpers.himpi import error
from helpers.mpi_program import Program
from helpers.waiting import eventually, is_inside

pytestmark = [pytest.mark.sim_only, pytest.mark.timeout(660)]  # it compiles, and waits for others that do

SOURCE = Path(__file__).resolve().parent / "native" / "v2_flow.c"
needs_cxx = pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler: g++ is not on PATH")
LIBRARIES = ("acl_dvpp_mpi", "ascendcl")  # the link line of the vendor's sample


def compile_with(compiler, *args):
    done = subprocess.run([compiler, *map(str, args)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]


def link_flags(libraries=LIBRARIES):
    return [f"-L{cli.libdir()}", *(f"-l{name}" for name in libraries), "-pthread"]


def environment(**extra):
    """What a shell has after `eval "$(ascend-venc sim --env)"`, in strict mode."""
    script = "\n".join([*cli.environment(), "env -0"])
    done = subprocess.run(["sh", "-c", script], capture_output=True, check=True, timeout=20)
    env = dict(entry.split("=", 1) for entry in os.fsdecode(done.stdout).split("\0") if entry)
    return {**env, "ASCEND_VENC_SIM_STRICT": "1", **extra}


@pytest.fixture(scope="module", params=["ascendcl", "acl_rt"], ids=["", "CANN 9"])
def flow(request, tmp_path_factory):
    program = tmp_path_factory.mktemp("c") / "flow"
    include = f"-I{himpi.HEADER.parent}"
    flags = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", include]
    compile_with("gcc", *flags, SOURCE, "-o", program, *link_flags(("acl_dvpp_mpi", request.param)))
    return program


def encode(program, folder, codec, frames, *options, **extra):
    """Encode with the program; returns the access units. Nothing may be said on standard error."""
    height, width = frames[0].shape[0] * 2 // 3, frames[0].shape[1]
    (folder / "in.nv12").write_bytes(b"".join(frame.tobytes() for frame in frames))
    done = subprocess.run(
        [program, str(codec), str(width), str(height), str(len(frames)), "in.nv12", "out", *options],
        cwd=folder,
        env=environment(**extra),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{len(frames)} frames\n", "")
    return [unit.data for unit in annexb.access_units((folder / "out").read_bytes(), f"h{codec}")]


@pytest.mark.parametrize("codec", [264, 265])
@pytest.mark.parametrize("options", [(), ("one", "limit")], ids=["packs", "one"])
@pytest.mark.parametrize("soc", ["Ascend310P3", "Ascend310B4"])
def test_program_in_c_encodes_the_pictures_that_it_sent(flow, tmp_path, codec, options, soc):
    frames = video.synthetic(200, 144, 40, watermark=True)
    units = encode(flow, tmp_path, codec, frames, *options, ASCEND_VENC_SIM_SOC=soc)
    decoded = unit_frames(units, f"h{codec}")
    assert [video.read_watermark(frame) for frame in decoded] == list(range(40))
    assert min(video.psnr(*pair) for pair in zip(frames, decoded)) > 28


def test_program_asks_for_the_vendor_s_files(flow):
    text = subprocess.run(["readelf", "-d", str(flow)], capture_output=True, text=True, check=True).stdout
    needed = [line.split("[")[1].split("]")[0] for line in text.splitlines() if "NEEDED" in line]
    assert needed[0] == "libacl_dvpp_mpi.so" and needed[1] in ("libascendcl.so", "libacl_rt.so")


@needs_cxx
def test_program_as_cpp_with_our_header(tmp_path):
    include = f"-I{himpi.HEADER.parent}"
    compile_with("g++", "-x", "c++", "-std=c++14", "-Wall", include, SOURCE, "-o", tmp_path / "flow", *link_flags())
    frames = video.synthetic(128, 128, 6, watermark=True)
    decoded = unit_frames(encode(tmp_path / "flow", tmp_path, 264, frames), "h264")
    assert [video.read_watermark(frame) for frame in decoded] == list(range(6))


@needs_cxx
def test_program_with_the_vendor_s_headers(tmp_path, tmp_path_factory):
    headers, why = vendor_headers.find(tmp_path_factory.mktemp("vendor"), vendor_headers.V2)
    if headers is None:
        pytest.skip(why)
    compile_with(
        "g++", "-x", "c++", "-w", "-DVENDOR_HEADERS", f"-I{headers}", SOURCE, "-o", tmp_path / "flow", *link_flags()
    )
    frames = video.synthetic(128, 128, 6, watermark=True)
    decoded = unit_frames(encode(tmp_path / "flow", tmp_path, 265, frames), "h265")
    assert [video.read_watermark(frame) for frame in decoded] == list(range(6))


@pytest.mark.parametrize("variant", ["thread", "address"])
def test_program_is_clean_under_sanitizers(builds, variant, tmp_path):
    program = builds.linked(variant, SOURCE.with_name("v2_flow.c"))
    frames = video.synthetic(128, 128, 12)
    for codec, options in ((264, ""), (265, "null_codec=500"), (264, "null_codec=500,encode_time_us=300")):
        encode(program, tmp_path, codec, frames, "one", ASCEND_VENC_SIM_OPTIONS=options)


OPTIONS = ["", "null_codec=500", "null_codec=9000,v2_stop_drops=1", "null_codec=500,encode_time_us=200"]


@pytest.mark.parametrize("variant", ["thread", "address"])
@pytest.mark.parametrize("options", OPTIONS)
def test_threads_beside_the_end_of_channels_are_clean_under_sanitizers(builds, variant, options):
    """Sending, getting, polling and changing while channels are created and destroyed: none hangs, none is torn."""
    done = subprocess.run(
        [builds.linked(variant, SOURCE.with_name("v2_threads.c")), "20"],
        env=environment(ASCEND_VENC_SIM_OPTIONS=options, ASCEND_VENC_SIM_STRICT="0"),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "40 lives\n", ""), done.stderr[-4000:]


# ---- strict mode ----


def test_channels_and_system_left_open_are_a_leak():
    with simulator.isolated(null_codec=500) as sim:
        assert sim.aclInit(None) == 0
        assert sim.aclrtSetDevice(0) == 0
        assert sim.hi_mpi_sys_init() == 0
        attr = mpi_program.attributes()
        assert sim.hi_mpi_venc_create_chn(9, ctypes.byref(attr)) == 0
        epoll = ctypes.c_int32()
        assert sim.hi_mpi_sys_create_epoll(1, ctypes.byref(epoll)) == 0
        assert sim.aclFinalize() == 0
        leak, other = sim.take_reports()
        assert leak.startswith("[leak] aclFinalize: 1 V2 channel is left open; the first was created by hi_mpi_venc")
        assert other.startswith("[leak] aclFinalize: 1 V2 epoll is left open")
        assert sim.hi_mpi_sys_close_epoll(epoll.value) == 0
        assert sim.hi_mpi_sys_exit() == 0
        assert [text.split("]")[0][1:] for text in sim.take_reports()] == ["exit-in-use"]
        assert sim.aclrtResetDevice(0) == 0


def test_reset_ends_channels_and_epolls_with_threads_inside():
    codes = []
    with simulator.isolated(null_codec=500) as sim:
        with Program(sim) as program:
            program.channel()
            fd = ctypes.c_int32()
            program.ok(sim.hi_mpi_sys_create_epoll(1, ctypes.byref(fd)))

            def get():
                program.bind()
                codes.append(sim.hi_mpi_venc_get_stream(0, *program.get_arguments(), -1))

            def wait():
                event, count = mpi_program.Event(), ctypes.c_int32()
                codes.append(sim.hi_mpi_sys_wait_epoll(fd.value, ctypes.byref(event), 1, -1, ctypes.byref(count)))

            threads = [threading.Thread(target=target) for target in (get, get, wait, wait)]
            for thread in threads:
                thread.start()
            eventually(
                lambda: all(is_inside(thread, name) for thread, name in zip(threads, ("get", "get", "wait", "wait")))
            )
            assert sim.aclsim_reset() == 0
            for thread in threads:
                thread.join(20)
                assert not thread.is_alive()
            assert all(code < 0 for code in codes) and len(codes) == 4
            # what the program would tear down is gone
            program.channels.clear()
            assert sim.aclInit(None) == 0
            context = ctypes.c_void_p()
            assert sim.aclrtCreateContext(ctypes.byref(context), 0) == 0
            program.context = context.value
            program.ok(sim.hi_mpi_sys_init())
        sim.take_reports()


def test_child_of_fork_begins_anew():
    """Forking beside open channels: the child has none, and can make its own."""
    with simulator.isolated(null_codec=500) as sim, Program(sim) as program:
        chn = program.channel()
        info = program.picture()
        program.encode(chn, info)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                assert (sim.aclInit(None), sim.aclrtSetDevice(0)) == (0, 0)
                assert sim.hi_mpi_venc_stop_chn(chn) == ctypes.c_int32(0xA0088010).value
                assert sim.hi_mpi_sys_init() == 0
                assert sim.hi_mpi_venc_stop_chn(chn) == error("UNEXIST")
                attr = mpi_program.attributes()
                assert sim.hi_mpi_venc_create_chn(chn, ctypes.byref(attr)) == 0
                assert sim.hi_mpi_venc_destroy_chn(chn) == 0
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        assert status == 0
        program.encode(chn, info, 1)


# ---- threads ----


def test_destroying_while_others_use_the_channel():
    """Every call on a channel beside its end: each gives 0 or a code, none hangs, nothing is left."""
    with simulator.isolated(null_codec=500) as sim, Program(sim) as program:
        infos = [program.picture() for _ in range(3)]
        allowed = {
            0,
            *(error(name) for name in ("UNEXIST", "NOT_PERM", "NO_BUF", "BUF_EMPTY", "ILLEGAL_PARAM", "EXIST", "BUSY")),
            ctypes.c_int32(0xA0088014).value,
        }
        stop = threading.Event()
        wrong = []

        def user(step):
            program.bind()
            while not stop.is_set():
                code = step()
                if code not in allowed and code < 0:
                    wrong.append((step, hex(code & 0xFFFFFFFF)))
                    return

        def send():
            return sim.hi_mpi_venc_send_frame(0, ctypes.byref(infos[0]), 5)

        def get():
            stream = mpi_program.Stream()
            packs = (mpi_program.Pack * 8)()
            stream.pack, stream.pack_cnt = ctypes.addressof(packs), 8
            code = sim.hi_mpi_venc_get_stream(0, ctypes.byref(stream), 5)
            return sim.hi_mpi_venc_release_stream(0, ctypes.byref(stream)) if code == 0 else code

        def change():
            attr = mpi_program.attributes(kbit=1234)
            return sim.hi_mpi_venc_set_chn_attr(0, ctypes.byref(attr))

        epoll = ctypes.c_int32()
        program.ok(sim.hi_mpi_sys_create_epoll(1, ctypes.byref(epoll)))

        def wait():
            event, count = mpi_program.Event(), ctypes.c_int32()
            return sim.hi_mpi_sys_wait_epoll(epoll.value, ctypes.byref(event), 1, 5, ctypes.byref(count))

        def register():
            fd = sim.hi_mpi_venc_get_fd(0)
            if fd > 0:
                sim.hi_mpi_sys_ctl_epoll(epoll.value, 1, fd, ctypes.byref(mpi_program.Event(1, 0)))
            return fd

        threads = [
            threading.Thread(target=user, args=(step,)) for step in (send, send, get, get, change, wait, register)
        ]
        for thread in threads:
            thread.start()
        for _ in range(60):
            attr = mpi_program.attributes()
            assert sim.hi_mpi_venc_create_chn(0, ctypes.byref(attr)) == 0
            program.start(0)
            for _ in range(20):
                sim.hi_mpi_venc_request_idr(0, 1)
            assert sim.hi_mpi_venc_stop_chn(0) == 0
            assert sim.hi_mpi_venc_destroy_chn(0) == 0
        stop.set()
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()
        assert wrong == []
        program.ok(sim.hi_mpi_sys_close_epoll(epoll.value))
        assert {text.split("]")[0][1:] for text in sim.take_reports()} <= {
            "still-in-epoll",
            "not-held",
            "release-order",
        }


def test_channel_that_ends_in_an_epoll_is_told_by_the_call_that_ends_it():
    with simulator.isolated(null_codec=500) as sim, Program(sim) as program:
        epoll = ctypes.c_int32()
        for end in ("hi_mpi_venc_destroy_chn", "hi_mpi_sys_exit"):
            chn = program.channel()
            event = mpi_program.Event(events=mpi_program.IN)
            program.ok(sim.hi_mpi_sys_create_epoll(1, ctypes.byref(epoll)))
            fd = sim.hi_mpi_venc_get_fd(chn)
            program.ok(sim.hi_mpi_sys_ctl_epoll(epoll.value, 1, fd, ctypes.byref(event)))
            program.ok(sim.hi_mpi_venc_stop_chn(chn))
            program.ok(getattr(sim, end)(*([chn] if end.endswith("chn") else [])))
            assert f"[still-in-epoll] {end}: " in "\n".join(sim.take_reports())
            program.channels.clear()
            program.ok(sim.hi_mpi_sys_close_epoll(epoll.value))
        program.ok(sim.hi_mpi_sys_init())


def test_send_takes_the_time_of_an_option_without_a_lock():
    with simulator.isolated(null_codec=500) as sim, Program(sim) as program:
        chn = program.channel()
        info = program.picture()
        with sim.options(send_time_us=200000):
            start = time.monotonic()
            sender = threading.Thread(target=lambda: (program.bind(), program.send(chn, info)))
            sender.start()
            assert program.get(chn).seq == 0
            sender.join(20)
            assert time.monotonic() - start >= 0.2


def test_one_of_two_threads_destroys_a_channel():
    with simulator.isolated(null_codec=500) as sim, Program(sim) as program:
        for _ in range(30):
            attr = mpi_program.attributes()
            assert sim.hi_mpi_venc_create_chn(0, ctypes.byref(attr)) == 0
            codes, together = [], threading.Barrier(2)

            def destroy(codes=codes, together=together):
                program.bind()
                together.wait()
                codes.append(sim.hi_mpi_venc_destroy_chn(0))

            threads = [threading.Thread(target=destroy) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(20)
            assert sorted(codes) == [error("UNEXIST"), 0]


NO_THREAD = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg) {
    if (getenv("NO_THREAD") != NULL) return EAGAIN;
    __typeof__(&pthread_create) real = (__typeof__(&pthread_create))dlsym(RTLD_NEXT, "pthread_create");
    return real(thread, attr, run, arg);
}
"""


@pytest.mark.parametrize(("version", "code"), [(1, 207005), (2, error("NO_MEM"))])
def test_channel_without_a_thread_is_refused_when_it_is_created(tmp_path, version, code):
    program = """
import ctypes, os, sys
sys.path.insert(0, sys.argv[1])
from helpers import acl_program, mpi_program, simulator
if sys.argv[2] == "1":
    with simulator.isolated() as sim, acl_program.Program(sim) as program:
        desc = program.channel_desc()
        os.environ["NO_THREAD"] = "1"
        code = sim.aclvencCreateChannel(desc)
        text = sim.error_text()
        program.destroy_desc(desc)
else:
    with simulator.isolated() as sim, mpi_program.Program(sim):
        os.environ["NO_THREAD"] = "1"
        code = sim.hi_mpi_venc_create_chn(0, ctypes.byref(mpi_program.attributes()))
        text = sim.error_text()
print(code, text)
"""
    preload = c_library.build(tmp_path / "no_thread.so", NO_THREAD, "-ldl")
    done = processes.run(program, simulator.ROOT / "tests", version, env={"LD_PRELOAD": preload})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{code} ")
    assert "no thread for the channel: Resource temporarily unavailable" in done.stdout


def test_wait_that_nothing_can_end_comes_back_with_a_diagnosis():
    with simulator.isolated(null_codec=500, wait_limit_ms=100) as sim, Program(sim) as program:
        chn = program.channel()
        info = program.picture()
        with sim.options(stall=1):
            for number in range(6):
                program.send(chn, info, number)
            program.send(chn, info, 6, ms=-1, expect=ctypes.c_int32(0xA0088014).value)
            assert "6 frame(s) wait in channel 0" in sim.error_text()
            program.take(chn, ms=-1, expect=ctypes.c_int32(0xA0088014).value)
        for _ in range(6):
            program.get(chn)
