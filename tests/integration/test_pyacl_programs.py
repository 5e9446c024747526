# SPDX-License-Identifier: Apache-2.0
"""Programs written for pyACL, run unchanged: the examples, and every way in which a program finds `acl`."""

import os
import py_compile
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from helpers import annexb, decode, processes

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "pyacl"


@pytest.fixture
def run(backend, tmp_path):
    """Run a program with `ascend-venc run`; `program` is a path or the text of one."""

    def run(program, *args, options=(), env=None, cwd=None):
        if not isinstance(program, Path):
            path = tmp_path / "program.py"
            path.write_text(program)
            program = path
        return subprocess.run(
            [sys.executable, "-m", "ascend_venc", "run", *options, str(program), *map(str, args)],
            env=processes.environment(ASCEND_VENC_BACKEND=backend, **(env or {})),
            cwd=cwd or tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return run


def assert_clean(process, stdout):
    assert process.stderr == ""
    assert process.returncode == 0
    assert process.stdout == stdout


# ---- examples --------------------------------------------------------------------------------------------------------


def test_classic_example_writes_sixteen_frames_of_h265(run, tmp_path):
    out = tmp_path / "out.h265"
    process = run(EXAMPLES / "classic.py", out)
    stream = out.read_bytes()
    assert_clean(process, f"16 frames, {len(stream)} bytes of H.265\n")
    assert [frame.shape for frame in decode.frames(stream, "h265")] == [(540, 640)] * 16
    assert [unit.is_idr for unit in annexb.access_units(stream, "h265")] == [True] + [False] * 15


def test_channels_example_writes_four_streams_in_order(run, tmp_path):
    process = run(EXAMPLES / "channels.py", tmp_path / "out")
    assert process.stderr == ""
    assert process.returncode == 0
    assert process.stdout.count("25 frames, in order: True") == 4
    for path in (tmp_path / "out").iterdir():
        width, height = map(int, path.stem.split("x"))
        frames = decode.frames(path.read_bytes(), "h264")
        assert [frame.shape for frame in frames] == [(height * 3 // 2, width)] * 25
        # Each picture is the one before, 5 levels brighter in each column: the streams are not mixed up.
        levels = [int(frame[height // 2, 8]) for frame in frames[:15]]
        assert all(3 <= later - earlier <= 7 for earlier, later in zip(levels, levels[1:]))


def test_params_example_names_every_parameter(run, tmp_path):
    out = tmp_path / "out.h264"
    process = run(EXAMPLES / "params.py", out)
    assert process.stderr == ""
    assert process.returncode == 0
    lines = process.stdout.splitlines()
    assert len(lines) == 14
    assert sum(line.endswith(": as set") for line in lines) == 10
    units = annexb.access_units(out.read_bytes(), "h264")
    assert [unit.is_idr for unit in units] == [index % 10 == 0 for index in range(30)]


def test_camera_example_makes_key_frames_on_demand(run, tmp_path):
    out = tmp_path / "out.h264"
    process = run(EXAMPLES / "camera.py", out)
    assert process.stderr == ""
    assert process.returncode == 0
    assert process.stdout.startswith("50 frames, one at a time, ")
    units = annexb.access_units(out.read_bytes(), "h264")
    assert [index for index, unit in enumerate(units) if unit.is_idr] == [0, 20, 35]
    assert len(decode.frames(out.read_bytes(), "h264")) == 50


@pytest.mark.parametrize("codec", ["h264", "h265"])
@pytest.mark.parametrize("chip", ["Ascend310P3", "Ascend310B4"])
def test_himpi_example_writes_two_streams_in_order(run, tmp_path, codec, chip):
    process = run(
        EXAMPLES / "himpi.py",
        codec,
        tmp_path / "out",
        40,
        env={"ASCEND_VENC_SIM_SOC": chip, "ASCEND_VENC_SIM_STRICT": "1"},
    )
    assert_clean(process, "40 frames in each of 2 channels\n")
    for chn, level in ((0, 160), (1, 60)):
        stream = (tmp_path / "out" / f"{chn}.{codec}").read_bytes()
        frames = decode.frames(stream, codec)
        assert [frame.shape for frame in frames] == [(216, 256)] * 40
        assert [unit.is_idr for unit in annexb.access_units(stream, codec)] == [i % 25 == 0 for i in range(40)]
        for number, frame in enumerate(frames):  # a bright bar that moves by 8 pixels, on the channel's own level
            column = number * 8 % 256
            assert abs(int(frame[70, (column + 128) % 256]) - level) < 12, (chn, number)
            assert int(frame[70, column + 4]) > level + 40, (chn, number)


# The order of calls of the vendor's page on encoding, one picture after the other on one thread.
DOCUMENTED = """\
import sys
import acl
import acl.himpi
from acl import himpi
assert himpi is acl.himpi is sys.modules["acl.himpi"]
codec, path = sys.argv[1:]
type_, mod, mode = {"h264": (96, 2, 2), "h265": (265, 3, 12)}[codec]
def check(ret):
    assert ret == 0, (hex(ret), acl.get_recent_err_msg())
run_mode, ret = acl.rt.get_run_mode()
check(acl.init())
check(acl.rt.set_device(0))
check(himpi.sys_init())
param, ret = himpi.venc_get_mod_param({"mod_type": mod})
check(ret)
param[f"{codec}_mod_param"]["one_stream_buf"] = 1
check(himpi.venc_set_mod_param(param))
venc_attr = {"type": type_, "profile": 0, "max_pic_width": 128, "pic_width": 128,
             "max_pic_height": 128, "pic_height": 128, "buf_size": 1024 * 1024 * 2, "is_by_frame": 1}
rc_attr = {"rc_mode": mode, f"{codec}_vbr": {"gop": 30, "stats_time": 1, "src_frame_rate": 30, "dst_frame_rate": 30,
                                             "max_bit_rate": 4000}}
check(himpi.venc_create_chn(0, {"venc_attr": venc_attr, "rc_attr": rc_attr,
                                "gop_attr": {"gop_mode": 0, "normal_p": {"ip_qp_delta": 3}}}))
param, ret = himpi.venc_get_rc_param(0, mode)
check(ret)
param[f"{codec}_vbr_param"]["max_qp"] = 40
check(himpi.venc_set_rc_param(0, param))
check(himpi.venc_set_scene_mode(0, 0))
check(himpi.venc_start_chn(0, {"recv_pic_num": -1}))
size = 128 * 128 * 3 // 2
address, ret = himpi.dvpp_malloc(0, size)
check(ret)
fd = himpi.venc_get_fd(0)
epoll, ret = himpi.sys_create_epoll(10)
check(ret)
event = {"data": fd, "events": 1}
check(himpi.sys_ctl_epoll(epoll, 1, fd, event))
with open(path, "wb") as out:
    for number in range(20):
        picture = bytes([40 + 8 * number]) * (128 * 128) + bytes([128]) * (128 * 64)
        check(acl.rt.memcpy(address, size, acl.util.bytes_to_ptr(picture), size, 1))
        frame = {"width": 128, "height": 128, "field": 4, "pixel_format": 1, "video_format": 0, "compress_mode": 0,
                 "dynamic_range": 0, "color_gamut": 1, "header_stride": [0, 0, 0], "width_stride": [128, 128, 0],
                 "height_stride": [0, 0, 0], "header_phys_addr": [0, 0, 0], "phys_addr": [0, 0, 0],
                 "header_virt_addr": [0, 0, 0], "virt_addr": [address, address + 128 * 128, 0],
                 "time_ref": 2 * number, "pts": number * 33333}
        check(himpi.venc_send_frame(0, {"v_frame": frame, "pool_id": 0, "mod_id": 8}, 0))
        events, count, ret = himpi.sys_wait_epoll(epoll, 3, 10000)
        check(ret)
        assert count == 1 and events[0]["data"] == fd
        status, ret = himpi.venc_query_status(0)
        check(ret)
        stream, ret = himpi.venc_get_stream(0, {"pack_cnt": status["cur_packs"]}, 1000)
        check(ret)
        assert len(stream["pack"]) == 1 and stream["pack"][0]["pts"] == number * 33333
        length = stream["pack"][0]["len"]
        buffer, ret = acl.rt.malloc_host(length)
        check(ret)
        check(acl.rt.memcpy(buffer, length, stream["pack"][0]["addr"], length, 2))
        out.write(acl.util.ptr_to_bytes(buffer, length))
        check(acl.rt.free_host(buffer))
        check(himpi.venc_release_stream(0, stream))
check(himpi.dvpp_free(address))
check(himpi.venc_stop_chn(0))
check(himpi.sys_ctl_epoll(epoll, 3, fd, event))
check(himpi.sys_close_epoll(epoll))
check(himpi.venc_destroy_chn(0))
check(himpi.sys_exit())
check(acl.rt.reset_device(0))
check(acl.finalize())
print("end")
"""


# On a board, whose own CPU runs the program, old programs give a channel's descriptor to select.
SELECTED = """\
        import select
        assert select.select([fd], [], [], 10)[0] == [fd]
"""
WAITED = DOCUMENTED[DOCUMENTED.index("        events, count") : DOCUMENTED.index("        status, ret")]
EPOLL = DOCUMENTED[DOCUMENTED.index("epoll, ret =") : DOCUMENTED.index("with open")]
LEFT = DOCUMENTED[
    DOCUMENTED.index("check(himpi.sys_ctl_epoll(epoll, 3") : DOCUMENTED.index("check(himpi.venc_destroy_chn")
]


@pytest.mark.parametrize("codec", ["h264", "h265"])
@pytest.mark.parametrize("way", ["epoll", pytest.param("select", marks=pytest.mark.sim_only)])
def test_himpi_program_in_the_order_of_the_vendors_page(run, tmp_path, codec, way):
    program, env = DOCUMENTED, {"ASCEND_VENC_SIM_STRICT": "1"}
    if way == "select":
        program = program.replace(WAITED, SELECTED).replace(EPOLL, "").replace(LEFT, "check(himpi.venc_close_fd(0))\n")
        assert "epoll" not in program
        env["ASCEND_VENC_SIM_SOC"] = "Ascend310B4"
    process = run(program, codec, tmp_path / "out", env=env)
    assert_clean(process, "end\n")
    frames = decode.frames((tmp_path / "out").read_bytes(), codec)
    assert all(abs(int(frame[:128].mean()) - 40 - 8 * i) < 6 for i, frame in enumerate(frames)) and len(frames) == 20


LISTED = (EXAMPLES.parent / "README.md").read_text().split("\n# Programs for pyACL\n")[1]


@pytest.mark.parametrize("example", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_example_is_listed_and_one_for_pyacl_knows_nothing_of_ascend_venc(example):
    assert f"| `pyacl/{example}" in LISTED
    assert "ascend_venc" not in (EXAMPLES / example).read_text()


# ---- strict mode and the log -----------------------------------------------------------------------------------------


@pytest.mark.sim_only
def test_strict_mode_names_file_line_and_function_of_the_program(run, tmp_path):
    process = run(
        """\
import acl
def forget():
    return acl.media.dvpp_create_pic_desc()
acl.init()
acl.rt.set_device(0)
forget()
channel = acl.media.venc_create_channel_desc()
print(acl.rt.malloc_host(64)[1],
      acl.finalize())
""",
        env={"ASCEND_VENC_SIM_STRICT": "1"},
    )
    path = tmp_path / "program.py"
    assert process.stdout == "0 0\n"
    lines = process.stderr.splitlines()
    assert len(lines) == 3, process.stderr
    for line, function, place in zip(
        lines,
        ("acldvppCreatePicDesc", "aclvencCreateChannelDesc", "aclrtMallocHost"),
        (f"{path}:3 in forget ", f"{path}:7 in <module> ", f"{path}:8 in <module> "),
    ):
        assert f"[leak] aclFinalize, called from {path}:9 in <module>: 1 " in line
        assert f"the first was created by {function} (object " in line
        assert f" called from {place}" in line


LATER = """\
import ctypes, mmap, sys, threading, acl
m, rt = acl.media, acl.rt
acl.init()
rt.set_device(0)
thread = threading.get_ident()
size = 128 * 128 * 3 // 2
desc = m.venc_create_channel_desc()
m.venc_set_channel_desc_thread_id(desc, thread)
m.venc_set_channel_desc_callback(desc, lambda *args: None)
m.venc_set_channel_desc_entype(desc, 1)
m.venc_set_channel_desc_pic_format(desc, 1)
m.venc_set_channel_desc_pic_width(desc, 128)
m.venc_set_channel_desc_pic_height(desc, 128)
m.venc_set_channel_desc_key_frame_interval(desc, 25)
m.venc_create_channel(desc)
own = mmap.mmap(-1, size)
address = ctypes.addressof(view := ctypes.c_char.from_buffer(own))
picture, config = m.dvpp_create_pic_desc(), m.venc_create_frame_config()
m.dvpp_set_pic_desc_data(picture, address)
m.dvpp_set_pic_desc_size(picture, size)
def send():
    m.venc_send_frame(desc, picture, 0, config, None)  # line 22
stream, _ = rt.create_stream()
memory, _ = rt.malloc(64, 0)
rt.memset(memory, 64, 9, 64)
rt.subscribe_report(thread, stream)
rt.launch_callback(lambda x: None, None, 1, stream)
def copy():
    rt.memcpy_async(address, 64, memory, 64, 2, stream)  # line 29
    rt.memcpy2d_async(address, 32, memory, 32, 32, 2, 2, stream)
send()
copy()
own[0] = 1
del view
if sys.argv[1] == "unmap":
    own.close()
while m.venc_destroy_channel(desc):
    rt.process_report(1000)
while rt.process_report(1) == 0:
    pass
"""


@pytest.mark.sim_only
@pytest.mark.parametrize("way", ["change", "unmap"])
def test_strict_mode_names_the_call_that_gave_the_memory_and_not_the_one_that_finds_it_gone(run, tmp_path, way):
    process = run(LATER, way, options=["--backend", "sim:Ascend310P3"], env={"ASCEND_VENC_SIM_STRICT": "1"})
    found = {line.partition(", strict mode: ")[2].partition(": ")[0] for line in process.stderr.splitlines()}
    calls = [("foreign-memory", "aclvencSendFrame", 22, "send")]
    if way == "change":
        calls += [("input-modified", "aclvencSendFrame", 22, "send")]
    else:
        calls += [("input-unmapped", "aclvencSendFrame", 22, "send")]
        calls += [
            ("foreign-memory", "aclrtMemcpyAsync", 29, "copy"),
            ("foreign-memory", "aclrtMemcpy2dAsync", 30, "copy"),
        ]
    path = tmp_path / "program.py"
    assert found == {f"[{kind}] {name}, called from {path}:{line} in {where}" for kind, name, line, where in calls}


@pytest.mark.sim_only
def test_strict_mode_names_file_line_and_function_of_a_himpi_program(run, tmp_path):
    process = run(
        """\
import acl
def create():
    venc = {"type": 96, "max_pic_width": 128, "max_pic_height": 128, "pic_width": 128, "pic_height": 128,
            "buf_size": 1 << 20, "is_by_frame": 1}
    rate = {"gop": 30, "stats_time": 1, "src_frame_rate": 30, "dst_frame_rate": 30, "bit_rate": 1000}
    return acl.himpi.venc_create_chn(0, {"venc_attr": venc, "rc_attr": {"rc_mode": 1, "h264_cbr": rate},
                                         "gop_attr": {"gop_mode": 0}})
def leave():
    return acl.himpi.sys_exit()
acl.init(); acl.rt.set_device(0); acl.himpi.sys_init()
memory, ret = acl.himpi.dvpp_malloc(0, 4096)
print(create(), leave(), acl.finalize())
""",
        env={"ASCEND_VENC_SIM_STRICT": "1"},
    )
    path = tmp_path / "program.py"
    assert process.stdout == "0 0 0\n", process.stderr
    lines = process.stderr.splitlines()
    assert f"[exit-in-use] hi_mpi_sys_exit, called from {path}:9 in leave: 1 channel was left open" in lines[0]
    assert len(lines) == 2 and f"[leak] aclFinalize, called from {path}:12 in <module>: 1 " in lines[1], lines
    assert "the first was created by hi_mpi_dvpp_malloc (object " in lines[1]
    assert f" called from {path}:11 in <module> " in lines[1]


@pytest.mark.sim_only
def test_strict_mode_tells_files_with_the_same_code_apart(run):
    process = run(
        """\
import acl
def of_file(name):
    namespace = {"acl": acl}
    exec(compile("def make():\\n    return acl.media.dvpp_create_pic_desc()\\n", name, "exec"), namespace)
    return namespace["make"]
acl.init()
acl.rt.set_device(0)
acl.media.dvpp_destroy_pic_desc(of_file("first.py")())
of_file("second.py")()
print(acl.finalize())
""",
        env={"ASCEND_VENC_SIM_STRICT": "1"},
    )
    assert process.stdout == "0\n"
    [line] = process.stderr.splitlines()
    assert " called from second.py:2 in make " in line


@pytest.mark.sim_only
def test_strict_mode_names_the_line_that_forgets_a_channel(run, tmp_path):
    process = run(
        """\
import acl, threading
m = acl.media
acl.init(); acl.rt.set_device(0)
desc = m.venc_create_channel_desc()
m.venc_set_channel_desc_thread_id(desc, threading.get_ident())
m.venc_set_channel_desc_callback(desc, print)
m.venc_set_channel_desc_entype(desc, 3); m.venc_set_channel_desc_pic_format(desc, 1)
m.venc_set_channel_desc_pic_width(desc, 128); m.venc_set_channel_desc_pic_height(desc, 128)
m.venc_set_channel_desc_key_frame_interval(desc, 16)
print(m.venc_create_channel(desc))
def end():
    return m.venc_destroy_channel_desc(desc)
print(end(), acl.finalize())
""",
        env={"ASCEND_VENC_SIM_STRICT": "1"},
    )
    assert process.stdout == "0\n0 0\n"
    [line] = process.stderr.splitlines()
    assert f"[channel-open] aclvencDestroyChannelDesc, called from {tmp_path / 'program.py'}:12 in end: " in line


@pytest.mark.sim_only
def test_strict_mode_does_not_blame_the_program_for_what_an_encoder_does(run):
    process = run(
        """
import acl, ascend_venc, os
acl.init(); acl.rt.set_device(0)
encoder = ascend_venc.Encoder(128, 128, codec="h264", backend="sim")
acl.finalize()
os._exit(0)
""",
        env={"ASCEND_VENC_SIM_STRICT": "1"},
    )
    lines = [line.partition("the first was ")[2] for line in process.stderr.splitlines() if "channel" in line]
    assert lines, process.stderr
    assert all("libavenc.so" in line and "program.py" not in line for line in lines), lines


def test_log_of_a_program_names_its_own_line(run, tmp_path):
    process = run(
        """\
import acl
def log():
    return acl.app_log(1, "100 % of it")
print(log())
""",
        env={"ASCEND_VENC_SIM_LOG": "1"},
    )
    assert process.stdout == "None\n"
    if process.stderr:  # hardware writes into a file of its own
        assert process.stderr == f"ascend simulated device: [INFO] {tmp_path / 'program.py'}:3 log: 100 % of it\n"


# ---- how a program finds acl -----------------------------------------------------------------------------------------


def test_program_imports_acl_and_its_parts_in_every_way(run):
    process = run(
        """
import sys
import acl
import acl.media as m
import acl.rt, acl.util, acl.himpi
from acl import media, rt as r
from acl.util import start_thread
print(acl.media is m is media, acl.rt is r, acl.util.start_thread is start_thread)
import importlib
print(importlib.import_module("acl.media") is m, sorted(n for n in sys.modules if n.split(".")[0] == "acl"))
try:
    import acl.mdl
except ImportError as error:
    print("acl.mdl" in str(error))
"""
    )
    assert_clean(process, "True True True\nTrue ['acl', 'acl.himpi', 'acl.media', 'acl.rt', 'acl.util']\nTrue\n")


def test_program_runs_as_main_with_its_arguments_and_its_folder(run, tmp_path):
    (tmp_path / "neighbour.py").write_text("VALUE = 'found'\n")
    process = run(
        """
import sys, os
import neighbour
if __name__ == "__main__":
    print(sys.argv[1:], os.path.basename(sys.argv[0]), neighbour.VALUE)
    print(sys.path[0] == os.path.dirname(os.path.abspath(__file__)), sys.modules["__main__"].__file__ == __file__)
    print(__spec__, __package__ or None, os.path.isabs(__file__))
""",
        "-v",
        "--real",
        "--",
        "a b",
        cwd="/",
    )
    assert_clean(process, "['-v', '--real', '--', 'a b'] program.py found\nTrue True\nNone None True\n")


def test_module_of_a_program_has_what_that_of_python_has(run):
    process = run("print(__builtins__.len([1]), type(__builtins__).__name__, __cached__, __doc__, __name__)")
    assert_clean(process, "1 module None None __main__\n")


@pytest.mark.parametrize("before", [[], ["--"]])
@pytest.mark.parametrize("args", [["--", "-v"], ["--", "--"], ["-v", "--", "--backend", "ascend"], ["--help"], []])
def test_program_gets_each_of_its_arguments(run, before, args):
    process = run("import sys; print(sys.argv[1:])", *args, options=["--backend", "sim", *before])
    assert_clean(process, f"{args}\n")


def test_folder_with_a_main_runs(run, tmp_path):
    folder = tmp_path / "application"
    folder.mkdir()
    (folder / "__main__.py").write_text("import part, sys; print(part.VALUE, sys.argv[1:])\n")
    (folder / "part.py").write_text("VALUE = 1\n")
    assert_clean(run(folder, "x"), "1 ['x']\n")


@pytest.mark.parametrize("safe", ["", "1"])
def test_folder_is_found_by_a_program_that_went_to_another(run, tmp_path, safe):
    folder = tmp_path / "application"
    folder.mkdir()
    (folder / "__main__.py").write_text("import os, sys; os.chdir('/'); import part; print(part.VALUE, sys.path[0])\n")
    (folder / "part.py").write_text("VALUE = 1\n")
    assert_clean(run(Path("application"), cwd=tmp_path, env={"PYTHONSAFEPATH": safe}), f"1 {folder}\n")


ARCHIVED = """
import os, sys
os.chdir("/")
import acl, part
if __name__ == "__main__":
    print(part.in_child(), sys.argv, sys.path[0] == os.path.dirname(__file__), os.path.basename(__file__), acl.init())
"""
PART = """
import multiprocessing
def child():
    import acl
    print(acl.__name__, acl.init(), flush=True)
def in_child():
    process = multiprocessing.get_context("spawn").Process(target=child)
    process.start()
    process.join()
    return process.exitcode
"""


def test_zip_with_a_main_runs_and_so_do_its_child_processes(run, tmp_path):
    with zipfile.ZipFile(tmp_path / "application.pyz", "w") as archive:
        archive.writestr("__main__.py", ARCHIVED)
        archive.writestr("part.py", PART)
    printed = "acl 0\n0 ['application.pyz', 'x'] True __main__.py 0\n"
    assert_clean(run(Path("application.pyz"), "x", cwd=tmp_path), printed)


def test_zip_without_a_main_is_one_line(run, tmp_path):
    with zipfile.ZipFile(tmp_path / "empty.pyz", "w") as archive:
        archive.writestr("part.py", "")
    process = run(tmp_path / "empty.pyz")
    assert process.stderr == f"ascend-venc: {tmp_path}/empty.pyz/__main__.py: No such file or directory\n"
    assert (process.returncode, process.stdout) == (1, "")


def test_compiled_program_runs(run, tmp_path):
    (tmp_path / "source.py").write_text("import acl, sys; print(acl.init(), sys.argv[1:], __name__, __file__)\n")
    compiled = py_compile.compile(str(tmp_path / "source.py"), str(tmp_path / "program.pyc"), doraise=True)
    assert_clean(run(Path(compiled), "x"), f"0 ['x'] __main__ {compiled}\n")


@pytest.mark.parametrize(
    ("ending", "code", "stderr"),
    [
        ("", 0, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit(5)", 5, ""),
        ("sys.exit(True)", 1, ""),
        ("sys.exit('a text')", 1, "a text\n"),
        ("raise SystemExit(7)", 7, ""),
        ("exit(3)", 3, ""),
        ("import os; os._exit(9)", 9, ""),
    ],
)
def test_exit_code_is_the_programs(run, ending, code, stderr):
    process = run(f"import sys\n{ending}\n")
    assert (process.returncode, process.stdout, process.stderr) == (code, "", stderr)


def test_exception_is_shown_as_python_shows_it(run, tmp_path):
    process = run("import acl\ndef f():\n    raise ValueError('the program')\nf()\n")
    assert process.returncode == 1
    lines = process.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "ValueError: the program"
    assert "cli" not in process.stderr
    assert [line for line in lines if line.startswith("  File")] == [
        f'  File "{tmp_path / "program.py"}", line 4, in <module>',
        f'  File "{tmp_path / "program.py"}", line 3, in f',
    ]


HOOKS = {
    "raises": "def hook(*shown): raise RuntimeError('of the hook')\nsys.excepthook = hook",
    "raises from another": "def hook(*shown):\n try: 1 / 0\n finally: [][0]\nsys.excepthook = hook",
    "ends": "sys.excepthook = lambda *shown: sys.exit(9)",
    "is missing": "del sys.excepthook",
    "has no stderr": "sys.stderr = None",
    "is python's": "",
}


@pytest.mark.parametrize("hook", HOOKS)
def test_exception_is_shown_as_the_programs_hook_lets_it(tmp_path, backend, hook):
    program = tmp_path / "program.py"
    program.write_text(
        "import atexit, sys\n"
        "atexit.register(lambda: print(sys.last_type, sys.last_value, sys.last_traceback.tb_lineno))\n"
        f"{HOOKS[hook]}\n"
        "def f(): raise ValueError('of the program')\n"
        "f()\n"
    )
    outcomes = []
    for start in ([], ["-m", "ascend_venc", "run"]):
        done = subprocess.run(
            [sys.executable, *start, str(program)],
            env=processes.environment(ASCEND_VENC_BACKEND=backend),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        outcomes.append((done.returncode, done.stdout, done.stderr))
    assert outcomes[0][0] == (9 if hook == "ends" else 1)
    assert outcomes[1] == outcomes[0]


def test_syntax_error_is_shown_as_python_shows_it(run, tmp_path):
    process = run("x = (\n")
    assert process.returncode == 1
    assert "SyntaxError" in process.stderr
    assert str(tmp_path / "program.py") in process.stderr
    assert "cli" not in process.stderr


def test_missing_program_is_one_line(run, tmp_path):
    process = run(tmp_path / "missing.py")
    assert process.returncode == 1
    assert process.stderr == f"ascend-venc: {tmp_path / 'missing.py'}: No such file or directory\n"


def test_threads_and_exit_functions_still_see_the_programs_globals(run):
    process = run(
        """
import atexit, threading, time
VALUE = "still here"
def late():
    time.sleep(0.2)
    print(VALUE)
threading.Thread(target=late).start()
atexit.register(lambda: print(VALUE, __name__))
"""
    )
    assert_clean(process, "still here\nstill here __main__\n")


def test_signals_are_as_in_a_fresh_interpreter(run):
    process = run(
        """
import signal
print([signal.getsignal(number) == signal.SIG_DFL for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)])
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""
    )
    assert_clean(process, "[True, True, True]\nTrue\n")


INTERRUPTED = """
import atexit, os, signal, sys, threading, time
atexit.register(lambda: print("exit"))
threading.Thread(target=lambda: (time.sleep(0.3), print("thread"))).start()
if sys.argv[1:]:
    sys.excepthook = lambda kind, error, traceback: print(kind.__name__)
os.kill(os.getpid(), signal.SIGINT)
time.sleep(20)
"""


@pytest.mark.parametrize("hook", [[], ["hook"]])
def test_program_that_ctrl_c_ends_ends_by_the_signal_as_under_python(tmp_path, backend, hook):
    """So that a shell does not go on with its loop; behind threads and exit functions."""
    program = tmp_path / "program.py"
    program.write_text(INTERRUPTED)
    command = "import sys; from ascend_venc_command import main; sys.argv[0] = 'ascend-venc'; sys.exit(main())"
    outcomes = set()
    for start in ([], ["-m", "ascend_venc", "run"], ["-c", command, "run"]):
        done = subprocess.run(
            [sys.executable, *start, str(program), *hook],
            env=processes.environment(ASCEND_VENC_BACKEND=backend),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        outcomes.add((done.returncode, done.stdout, done.stderr))
    code, stdout, stderr = outcomes.pop()
    assert (code, stdout) == (-signal.SIGINT, "KeyboardInterrupt\n" * len(hook) + "thread\nexit\n")
    assert hook or stderr.splitlines()[-1] == "KeyboardInterrupt"
    assert not outcomes


@pytest.mark.parametrize("ending", ["", "sys.exit()", "sys.exit(3)"])
@pytest.mark.parametrize("where", ["a full disk", "a pipe that nobody reads"])
def test_output_that_is_lost_at_the_end_is_told_as_under_python(tmp_path, backend, ending, where):
    program = tmp_path / "program.py"
    program.write_text(f"import sys\nsys.stdout.write('access units')\n{ending}\n")
    env = processes.environment(ASCEND_VENC_BACKEND=backend)
    env.pop("PYTHONUNBUFFERED", None)
    outcomes = []
    for start in ([], ["-m", "ascend_venc", "run"]):
        if where == "a full disk":
            output = os.open("/dev/full", os.O_WRONLY)
        else:
            read, output = os.pipe()
            os.close(read)
        done = subprocess.run(
            [sys.executable, *start, str(program)],
            env=env,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
        os.close(output)
        outcomes.append((done.returncode, done.stderr))
    assert outcomes[0][0] == 120
    assert outcomes[1] == outcomes[0]


LATE = """
import atexit, os, signal, sys, threading, time, warnings
stopped = threading.Event()
def stop(number, frame):
    print(signal.Signals(number).name, flush=True)
    stopped.set()
for name in sys.argv[1:]:
    signal.signal(getattr(signal, name), stop)
warnings.simplefilter("ignore")
atexit.register(lambda: print(signal.getsignal(getattr(signal, sys.argv[1])) is stop))
def work():
    time.sleep(0.3)
    warnings.warn("which the program does not want to see")
    os.kill(os.getpid(), getattr(signal, sys.argv[1]))
    print(stopped.wait(20))
threading.Thread(target=work).start()
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGALRM"])
def test_signals_and_warnings_are_the_programs_to_the_end_of_its_threads(tmp_path, backend, name):
    """By the installed command too, which has a handler of its own before and behind other commands than this."""
    program = tmp_path / "program.py"
    program.write_text(LATE)
    command = "import sys; from ascend_venc_command import main; sys.argv[0] = 'ascend-venc'; sys.exit(main())"
    for start in (["-m", "ascend_venc"], ["-c", command]):
        for options in ([], ["--debug"]):
            done = subprocess.run(
                [sys.executable, *start, *options, "run", str(program), name],
                env=processes.environment(ASCEND_VENC_BACKEND=backend),
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            assert_clean(done, f"{name}\nTrue\nTrue\n")


CHILD = """
import multiprocessing, os, subprocess, sys

def child(queue):
    import acl
    import acl.media as m
    codes = acl.init(), acl.rt.set_device(0)
    desc = m.dvpp_create_pic_desc()
    queue.put((codes, desc > 0, m.dvpp_destroy_pic_desc(desc), acl.rt.reset_device(0), acl.finalize()))

if __name__ == "__main__":
    for method in ("spawn", "forkserver", "fork"):
        context = multiprocessing.get_context(method)
        queue = context.Queue()
        process = context.Process(target=child, args=(queue,))
        process.start()
        print(queue.get(timeout=30))
        process.join()
    code = "import acl; from acl import media; print(acl.media is media, acl.init(), acl.finalize())"
    print(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/").stdout, end="")
"""


def test_child_processes_find_the_facade_too(run):
    assert_clean(run(CHILD), "((0, 0), True, 0, 0, 0)\n" * 3 + "True 0 0\n")


# ---- beside a real acl -----------------------------------------------------------------------------------------------


@pytest.fixture
def real_acl(tmp_path):
    folder = tmp_path / "real"
    folder.mkdir()
    (folder / "acl.py").write_text("NAME = 'the real one'\n")
    return folder


@pytest.fixture
def run_beside(run, real_acl, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(real_acl))
    return run


PROGRAM = "import acl; print(getattr(acl, 'NAME', 'the facade'))"


def test_facade_is_used_beside_a_real_acl_and_that_is_said(run_beside, real_acl):
    process = run_beside(PROGRAM)
    assert process.stdout == "the facade\n"
    assert process.stderr == f"ascend-venc: acl is ascend_venc.acl; --real chooses {real_acl / 'acl.py'}\n"


def test_real_acl_is_used_when_asked_for_and_that_is_said(run_beside, real_acl):
    process = run_beside(PROGRAM, options=["--real"])
    assert process.stdout == "the real one\n"
    assert process.stderr == f"ascend-venc: acl is {real_acl / 'acl.py'}\n"


def test_program_that_runs_another_finds_the_real_acl_for_it(run_beside, real_acl, tmp_path):
    """The facade, which its child processes find, is no installed acl."""
    child = f"import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', {PROGRAM!r}]).returncode)"
    (tmp_path / "inner.py").write_text(child)
    process = run_beside(
        """
import subprocess, sys
for options in [], ["--real"]:
    command = [sys.executable, "-m", "ascend_venc", "run", *options, "inner.py"]
    done = subprocess.run(command, capture_output=True, text=True)
    print(done.stdout + done.stderr, end="")
"""
    )
    said = f"ascend-venc: acl is ascend_venc.acl; --real chooses {real_acl / 'acl.py'}\n"
    assert process.stdout == f"the facade\n{said}the real one\nascend-venc: acl is {real_acl / 'acl.py'}\n"
    assert process.stderr == said


def test_real_acl_that_is_not_there_is_one_line(run):
    process = run(PROGRAM, options=["--real"])
    assert process.returncode == 1
    assert process.stdout == ""
    assert process.stderr.startswith("ascend-venc: --real: there is no acl module")
    assert process.stderr.count("\n") == 1


@pytest.mark.sim_only
def test_backend_option_chooses_the_device(run):
    process = run("import acl; acl.init(); print(acl.get_soc_name())", options=["--backend", "sim:Ascend310B4"])
    assert_clean(process, "Ascend310B4\n")


# ---- without the command ---------------------------------------------------------------------------------------------


def test_install_puts_the_facade_in_the_place_of_acl(backend):
    process = processes.run(
        """
import sys
import ascend_venc.acl
ascend_venc.acl.install()
ascend_venc.acl.install()
import acl, acl.media as m
print(acl is ascend_venc.acl, m is acl.media, "install" in dir(acl), [n for n in dir(acl) if "install" in n])
print(acl.init(), acl.finalize())
""",
        env={"ASCEND_VENC_BACKEND": backend},
    )
    assert_clean(process, "True True False []\n0 0\n")
