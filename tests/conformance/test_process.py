# SPDX-License-Identifier: Apache-2.0
"""Initialisation, the end of the process, Ctrl-C and fork: each in a process of its own."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import processes

TESTS = Path(__file__).resolve().parents[1]

# A program as users write it: one channel with its report thread. `step` is what a test adds.
PROGRAM = """
import sys, time, threading
from ascend_venc import acl
m = acl.media
W, H = 128, 128
def check(ret):
    if ret:
        raise SystemExit(f"code {ret}: {acl.get_recent_err_msg()}")
check(acl.init())
check(acl.rt.set_device(0))
context, ret = acl.rt.create_context(0); check(ret)
run = True
def loop(args):
    acl.rt.set_context(args[0])
    while run:
        if acl.rt.process_report(args[1]) == 107012:
            time.sleep(0.001)
got = []
def on_frame(picture, stream, user_data):
    got.append(user_data)
def channel(thread, callback=on_frame):
    desc = m.venc_create_channel_desc()
    check(m.venc_set_channel_desc_thread_id(desc, thread))
    check(m.venc_set_channel_desc_callback(desc, callback))
    check(m.venc_set_channel_desc_entype(desc, 3))
    check(m.venc_set_channel_desc_pic_format(desc, 1))
    check(m.venc_set_channel_desc_pic_width(desc, W))
    check(m.venc_set_channel_desc_pic_height(desc, H))
    check(m.venc_set_channel_desc_key_frame_interval(desc, 16))
    check(m.venc_create_channel(desc))
    return desc
memory, ret = m.dvpp_malloc(W * H * 3 // 2); check(ret)
picture = m.dvpp_create_pic_desc()
check(m.dvpp_set_pic_desc_data(picture, memory))
check(m.dvpp_set_pic_desc_size(picture, W * H * 3 // 2))
config = m.venc_create_frame_config()
last = m.venc_create_frame_config()
check(m.venc_set_frame_config_eos(last, 1))
def send(desc, user_data=None):
    return m.venc_send_frame(desc, picture, 0, config, user_data)
def flush(desc):
    return m.venc_send_frame(desc, 0, 0, last, None)
"""


@pytest.fixture
def program(backend):
    """Run PROGRAM with more lines; returns the finished process. What these programs leave behind is their subject."""

    def run(lines, **env):
        env = {"ASCEND_VENC_BACKEND": backend, "ASCEND_VENC_SIM_STRICT": "0", **env}
        return processes.run(PROGRAM + lines, env=env, timeout=60)

    return run


def assert_clean(process, stdout=""):
    assert process.stderr == ""
    assert process.returncode == 0
    assert process.stdout == stdout


# ---- init and finalize -----------------------------------------------------------------------------------------------


@pytest.mark.statement("3.5.10")
def test_init_and_finalize_give_pyacls_codes(backend, tmp_path):
    good, bad = tmp_path / "acl.json", tmp_path / "bad.json"
    good.write_text("{}")
    bad.write_text("{")
    process = processes.run(
        """
import sys
from ascend_venc import acl
print(acl.init(sys.argv[1]), acl.init(), acl.init(""), acl.finalize(), acl.finalize())
""",
        good,
        env={"ASCEND_VENC_BACKEND": backend},
    )
    assert_clean(process, "0 100002 100002 0 100037\n")


@pytest.mark.parametrize("argument", ["", '""'])
def test_init_with_defaults_succeeds_whichever_way_it_is_said(backend, argument):
    process = processes.run(
        f"from ascend_venc import acl; print(acl.init({argument}), acl.finalize())",
        env={"ASCEND_VENC_BACKEND": backend},
    )
    assert_clean(process, "0 0\n")


def test_init_with_a_missing_file_fails(backend, tmp_path):
    process = processes.run(
        "import sys; from ascend_venc import acl; print(acl.init(sys.argv[1]) in (100003, 100006, 500000), acl.init())",
        tmp_path / "missing.json",
        env={"ASCEND_VENC_BACKEND": backend},
    )
    assert_clean(process, "True 0\n")


@pytest.mark.statement("3.5.10")
def test_finalize_without_init_gives_100037(backend):
    process = processes.run("from ascend_venc import acl; print(acl.finalize())", env={"ASCEND_VENC_BACKEND": backend})
    assert_clean(process, "100037\n")


@pytest.mark.statement("3.5.19")
@pytest.mark.sim_only  # a runtime without it says 200001
def test_finalize_reference_ends_what_init_began(backend):
    process = processes.run(
        "from ascend_venc import acl; print(acl.init(), acl.finalize_reference(), acl.finalize())",
        env={"ASCEND_VENC_BACKEND": backend},
    )
    assert_clean(process, "0 (0, 0) 100037\n")


def test_import_loads_neither_a_library_nor_numpy_nor_logging(backend):
    process = processes.run(
        """
import sys
before = set(sys.modules)  # what another package's .pth file imports is not ours
import ascend_venc.acl as acl
maps = open("/proc/self/maps").read()
print([name for name in ("numpy", "logging", "av", "ctypes") if name in set(sys.modules) - before],
      [name for name in ("libascendcl", "libacl_dvpp", "libascendvenc_sim") if name in maps])
acl.get_recent_err_msg()
print("libascendvenc_sim" in open("/proc/self/maps").read())
""",
        env={"ASCEND_VENC_BACKEND": backend},
    )
    assert_clean(process, "[] []\nFalse\n")


# ---- the end of the process ------------------------------------------------------------------------------------------

ENDINGS = {
    "return": "",
    "sys.exit": "sys.exit(0)",
    "finalize": "check(acl.finalize())",
    "reset_and_finalize": "acl.rt.reset_device(0); check(acl.finalize())",
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("timeout", [10, 1000, -1])
def test_process_ends_cleanly_with_a_report_thread_that_never_stops(program, ending, timeout):
    process = program(
        f"""
thread, ret = acl.util.start_thread(loop, [context, {timeout}])
desc = channel(thread)
for index in range(5):
    check(send(desc, index))
check(flush(desc))
print(got)
{ENDINGS[ending]}
"""
    )
    assert_clean(process, "[0, 1, 2, 3, 4]\n")


def test_process_ends_cleanly_with_callbacks_on_their_way(program):
    process = program(
        """
thread, ret = acl.util.start_thread(loop, [context, 100])
desc = channel(thread)
for index in range(40):
    check(send(desc, object()))
"""
    )
    assert_clean(process)


def test_process_ends_while_a_callback_sleeps(program):
    process = program(
        """
thread, ret = acl.util.start_thread(loop, [context, 100])
inside = threading.Event()
def sleep(*args):
    inside.set()
    time.sleep(0.5)
desc = channel(thread, sleep)
check(send(desc))
inside.wait()
"""
    )
    assert_clean(process)


def test_exit_code_and_traceback_are_the_programs_own(program):
    lines = "thread, ret = acl.util.start_thread(loop, [context, 100])\ndesc = channel(thread)\ncheck(send(desc))\n"
    assert program(lines + "sys.exit(7)").returncode == 7
    failed = program(lines + "raise ValueError('the program')")
    assert failed.returncode == 1
    assert failed.stderr.strip().endswith("ValueError: the program")


def test_object_that_destroys_its_channel_when_the_interpreter_ends_does_not_hang(program):
    process = program(
        """
class Owner:
    def __del__(self):
        m.venc_send_frame(self.desc, 0, 0, last, None)
        m.venc_destroy_channel(self.desc)
        m.venc_destroy_channel_desc(self.desc)
        acl.util.stop_thread(self.thread)
owner = Owner()
owner.thread, ret = acl.util.start_thread(loop, [context, 100])
owner.desc = channel(owner.thread)
for index in range(10):
    check(send(owner.desc, index))
keep = owner.__dict__, Owner, acl, m, last
"""
    )
    assert process.returncode == 0
    assert process.stderr == ""


def test_flush_in_an_atexit_function_registered_before_the_import_does_not_hang(backend):
    process = processes.run(
        """
import atexit
def flush_at_exit():
    print(flush(desc) in (0, 100000))
atexit.register(flush_at_exit)
"""
        + PROGRAM
        + """
thread, ret = acl.util.start_thread(loop, [context, 100])
desc = channel(thread)
for index in range(5):
    check(send(desc, index))
""",
        env={"ASCEND_VENC_BACKEND": backend},
    )
    assert_clean(process, "True\n")


@pytest.mark.sim_only  # asks the device whether the frame's report is over
def test_callback_that_comes_after_the_gate_at_exit_was_closed_does_not_enter_python(backend):
    """Exit functions run in reverse: one that was registered before the import runs after the facade's own."""
    process = processes.run(
        """
import atexit, ctypes, sys, time
def send_late():
    from helpers import simulator
    device = simulator.shared()
    check(send(desc, "late"))
    deadline = time.monotonic() + 20
    while device.channel_stats(desc)["delivered"] < 2 and time.monotonic() < deadline:
        time.sleep(0.001)
    print(got, device.channel_stats(desc)["delivered"])
atexit.register(send_late)
"""
        + PROGRAM
        + """
import os
sys.path.insert(0, os.environ["TESTS"])
thread, ret = acl.util.start_thread(loop, [context, 100])
desc = channel(thread)
check(send(desc, "early"))
check(flush(desc))
""",
        env={"ASCEND_VENC_BACKEND": backend, "ASCEND_VENC_SIM_STRICT": "0", "TESTS": str(TESTS)},
    )
    assert_clean(process, "['early'] 2\n")


def test_end_of_stream_whose_report_thread_has_ended_returns_100000(program):
    process = program(
        """
thread, ret = acl.util.start_thread(lambda: acl.rt.set_context(context), None)
import _thread
while _thread._count():  # it is ending
    time.sleep(0.001)
desc = channel(thread)
check(send(desc, 0))
print(flush(desc), "report thread has ended" in acl.get_recent_err_msg())
print(m.venc_destroy_channel(desc), m.venc_destroy_channel_desc(desc))
print(acl.finalize())
"""
    )
    assert_clean(process, "100000 True\n100000 100000\n0\n")


def test_end_of_stream_whose_python_report_thread_has_ended_returns_100000(program):
    process = program(
        """
stop = threading.Event()
thread = threading.Thread(target=stop.wait)
thread.start()
desc = channel(thread.ident)
stop.set()
thread.join()
check(send(desc, 0))
print(flush(desc), "report thread has ended" in acl.get_recent_err_msg())
"""
    )
    assert_clean(process, "100000 True\n")


def test_user_data_of_frames_that_never_came_back_is_released_by_finalize(program):
    process = program(
        """
class Payload: pass
payload = Payload()
before = sys.getrefcount(payload)
desc = channel(threading.get_ident())
for index in range(3):
    check(send(desc, payload))
print(sys.getrefcount(payload) - before)
check(acl.finalize())
print(sys.getrefcount(payload) - before)
"""
    )
    assert_clean(process, "3\n0\n")


# ---- Ctrl-C ----------------------------------------------------------------------------------------------------------

WAITS = {
    "process_report": """
stream, ret = acl.rt.create_stream(); check(ret)
check(acl.rt.subscribe_report(threading.get_ident(), stream))
def wait(): acl.rt.process_report(-1)
""",
    "long_process_report": """
stream, ret = acl.rt.create_stream(); check(ret)
check(acl.rt.subscribe_report(threading.get_ident(), stream))
def wait(): acl.rt.process_report(60000)
""",
    "stop_thread": """
thread, ret = acl.util.start_thread(loop, [context, 100])
def wait(): acl.util.stop_thread(thread)
""",
    "end_of_stream": """
thread, ret = acl.util.start_thread(loop, [context, 100])
release = threading.Event()
desc = channel(thread, lambda *args: release.wait(20))
check(send(desc))
def wait(): flush(desc)
""",
    "destroy_channel": """
thread, ret = acl.util.start_thread(loop, [context, 100])
release = threading.Event()
desc = channel(thread, lambda *args: release.wait(20))
check(send(desc))
def wait(): m.venc_destroy_channel(desc)
""",
}


# A report that runs no callback of Python's while a frame is on its way: it could be one that the runtime has left out.
FOREIGN_CALLBACK = """
import ctypes, os
sys.path.insert(0, os.environ["TESTS"])
from helpers import simulator
device = simulator.shared()
ran = []
foreign = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(ran.append)
device.aclrtLaunchCallback.argtypes = [type(foreign), ctypes.c_void_p, ctypes.c_int32, ctypes.c_void_p]
thread, ret = acl.util.start_thread(loop, [context, 10])
release = threading.Event()
desc = channel(thread)
stream, ret = acl.rt.create_stream(); check(ret)
check(acl.rt.subscribe_report(thread, stream))
with device.options(stall=1):
    check(send(desc, 0))
    check(device.aclrtLaunchCallback(foreign, None, 0, stream))
    while not ran:
        time.sleep(0.001)
    time.sleep(0.1)  # process_report returns: what the test is about has happened
m.venc_set_channel_desc_callback(desc, lambda *args: release.wait(20))
check(send(desc, 1))
while got != [0]:
    time.sleep(0.001)
def wait(): flush(desc)
"""
WAITS_OF_THE_SIMULATOR = {"end_of_stream_after_a_foreign_callback": FOREIGN_CALLBACK}
ALL_WAITS = [*WAITS, pytest.param(*WAITS_OF_THE_SIMULATOR, marks=pytest.mark.sim_only)]


@pytest.mark.parametrize("what", ALL_WAITS)
def test_ctrl_c_ends_a_wait_on_the_main_thread(backend, monkeypatch, what):
    monkeypatch.setenv("ASCEND_VENC_BACKEND", backend)
    monkeypatch.setenv("TESTS", str(TESTS))
    program = (
        PROGRAM
        + {**WAITS, **WAITS_OF_THE_SIMULATOR}[what]
        + """
try:
    print("ready", flush=True)
    wait()
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    )
    if what not in ("process_report", "long_process_report", "stop_thread"):
        program += "release.set()\nprint(flush(desc), m.venc_destroy_channel(desc))\n"
    process, output, errors, took = processes.interrupt_when(program, "ready")
    assert errors == ""
    assert output.startswith("interrupted\n")
    assert process.returncode == 0
    if what not in ("process_report", "long_process_report", "stop_thread"):
        assert output == "interrupted\n0 0\n"  # the wait left nothing half done
    assert took < 10, "the callback goes on for 20 s, and the others wait for ever"


@pytest.mark.sim_only
@pytest.mark.parametrize("call", ["venc_send_frame", "synchronize_stream"])
def test_ctrl_c_in_a_call_that_waits_inside_the_runtime_is_raised_when_it_returns(call, monkeypatch):
    """Not before: the wait is the runtime's. Nothing is half done."""
    monkeypatch.setenv("ASCEND_VENC_BACKEND", "sim")
    monkeypatch.setenv("TESTS", str(TESTS))
    program = (
        PROGRAM
        + """
import os, signal
sys.path.insert(0, os.environ["TESTS"])
from helpers import simulator
device = simulator.shared()
device.set_options(stall=1, input_slots=1, wait_limit_ms=0)
wakes, wake = os.pipe()
os.set_blocking(wake, False)
signal.set_wakeup_fd(wake)
def move():
    os.read(wakes, 1)  # the signal has come
    print("moving", flush=True)
    device.set_options(stall=0)
thread, ret = acl.util.start_thread(loop, [context, 100])
desc = channel(thread)
"""
        + f"call = {call!r}\n"
        + """
try:
    if call == "venc_send_frame":
        threading.Thread(target=move).start()
        print("ready", flush=True)
        while True:
            check(send(desc))
    else:
        stream, ret = acl.rt.create_stream(); check(ret)
        check(acl.rt.subscribe_report(thread, stream))
        check(acl.rt.launch_callback(lambda _: move(), None, 1, stream))
        print("ready", flush=True)
        check(acl.rt.synchronize_stream(stream))
except KeyboardInterrupt:
    print("interrupted", flush=True)
device.set_options(stall=0)
print(flush(desc), m.venc_destroy_channel(desc))
"""
    )
    process, output, errors, _ = processes.interrupt_when(program, "ready")
    assert (process.returncode, errors) == (0, "")
    assert output == "moving\ninterrupted\n0 0\n"


def test_ctrl_c_in_a_callback_on_the_main_thread_is_raised_from_process_report(backend, monkeypatch):
    monkeypatch.setenv("ASCEND_VENC_BACKEND", backend)
    program = (
        PROGRAM
        + """
def sleep(*args):
    print("ready", flush=True)
    time.sleep(30)
desc = channel(threading.get_ident(), sleep)
check(send(desc))
try:
    while True:
        acl.rt.process_report(1000)
except KeyboardInterrupt:
    print("interrupted", flush=True)
print(flush(desc), m.venc_destroy_channel(desc))
"""
    )
    process, output, errors, took = processes.interrupt_when(program, "ready")
    assert (process.returncode, output, errors) == (0, "interrupted\n0 0\n", "")
    assert took < 10, "the callback sleeps for 30 s"


# ---- fork ------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs fork")
def test_handles_are_dead_in_a_forked_child_and_the_parent_goes_on(program):
    process = program(
        """
import os, warnings
warnings.simplefilter("ignore")  # 3.12: fork with threads
thread, ret = acl.util.start_thread(loop, [context, 50])
desc = channel(thread)
check(send(desc, 0))
pid = os.fork()
if pid == 0:
    codes = [send(desc), flush(desc), m.venc_destroy_channel(desc), m.venc_destroy_channel_desc(desc),
             m.dvpp_destroy_pic_desc(picture), m.dvpp_free(memory), acl.rt.set_context(context),
             acl.rt.destroy_context(context), m.dvpp_set_pic_desc_width(picture, 5)]
    stopped = acl.util.stop_thread(thread)
    os._exit(0 if set(codes) == {100000} and stopped == 3 else 1)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
check(send(desc, 1))
check(flush(desc))
print(got)
"""
    )
    assert_clean(process, "0\n[0, 1]\n")


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs fork")
def test_uses_of_a_device_are_counted_anew_in_a_forked_child(program):
    """With its last use what lives on it is dead: the parent's uses are none of the child's."""
    process = program(
        """
import os, warnings
warnings.simplefilter("ignore")  # 3.12: fork with threads
pid = os.fork()
if pid == 0:
    check(acl.init())
    check(acl.rt.set_device(0))
    stream, ret = acl.rt.create_stream()
    check(ret)
    check(acl.rt.reset_device(0))
    acl.rt.destroy_stream(stream)
    os._exit(0 if "is not a live stream" in acl.get_recent_err_msg() else 1)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    )
    assert_clean(process, "0\n")


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs fork")
@pytest.mark.parametrize(
    "expect",
    [
        "check(send(channel(threading.get_ident(), fork)))",
        "check(launch(lambda data: None, type('Data', (), {'__del__': fork})()))",
    ],
    ids=["callback", "end of its user data"],
)
def test_child_that_a_callback_forked_waits_at_its_end_for_no_other_callback(backend, expect):
    """It is inside that callback until it returns, and then inside none: its end looks at the clock no more often than
    that of a child that was forked elsewhere."""
    process = processes.run(
        """
import atexit, os, time, warnings
warnings.simplefilter("ignore")  # 3.12: fork with threads
looks, children, me = [], [], os.getpid()
@atexit.register  # before the import: it runs after the gate was closed
def tell():
    if os.getpid() != me:
        print("looks", len(looks), flush=True)
"""
        + PROGRAM
        + """
clock = time.monotonic
def count():
    looks.append(1)
    return clock()
def fork(*args):
    children.append(os.fork())
def end():
    if children[-1] == 0:
        time.monotonic = count
        raise SystemExit(7)
    print(os.waitstatus_to_exitcode(os.waitpid(children[-1], 0)[1]), flush=True)
def launch(function, data):
    stream = acl.rt.create_stream()[0]
    check(acl.rt.subscribe_report(threading.get_ident(), stream))
    return acl.rt.launch_callback(function, data, 0, stream)
fork()
end()
"""
        + expect
        + """
check(acl.rt.process_report(20_000))
end()
os._exit(0)
""",
        env={"ASCEND_VENC_BACKEND": backend, "ASCEND_VENC_SIM_STRICT": "0"},
        timeout=60,
    )
    elsewhere, code, inside, code_inside = process.stdout.splitlines()
    assert (code, code_inside) == ("7", "7")
    assert inside == elsewhere
    assert_clean(process, process.stdout)


# ---- signals and output ----------------------------------------------------------------------------------------------


def test_nothing_is_printed_that_a_sample_script_would_take_for_a_failure(program):
    process = program(
        """
m.venc_create_channel(12345); m.dvpp_free(1); acl.rt.set_context(77); acl.rt.memcpy(0, 0, 0, 1, 0)
desc = m.venc_create_channel_desc()
m.venc_create_channel(desc)
m.venc_destroy_channel_desc(desc)
"""
    )
    assert_clean(process)


def test_failing_calls_are_logged_with_their_arguments_when_asked_for(program):
    process = program("m.venc_set_channel_desc_rc_mode(12345, 7); acl.rt.process_report(0)", ASCEND_VENC_LOG="debug")
    assert process.returncode == 0
    assert process.stdout == ""
    lines = process.stderr.splitlines()
    assert len(lines) == 2
    assert "ascend_venc DEBUG" in lines[0]
    assert "acl.media.venc_set_channel_desc_rc_mode(12345, 7) returned 100000 ACL_ERROR_INVALID_PARAM" in lines[0]
    assert "acl.rt.process_report(0) returned 100000" in lines[1]


def test_log_of_a_program_that_has_configured_logging_goes_where_it_says(program):
    process = program(
        """
import logging
logging.basicConfig(level=logging.DEBUG, format="%(name)s|%(message)s", stream=sys.stdout)
acl.rt.set_context(77)
""",
        ASCEND_VENC_LOG="debug",
    )
    assert process.stderr == ""
    assert process.stdout.startswith("ascend_venc|acl.rt.set_context(77) returned 100000")


def test_sigterm_ends_a_process_that_waits(backend, monkeypatch):
    monkeypatch.setenv("ASCEND_VENC_BACKEND", backend)
    program = PROGRAM + WAITS["process_report"] + 'print("ready", flush=True)\nwait()\n'
    process, _, _, took = processes.interrupt_when(program, "ready", signum=signal.SIGTERM)
    assert process.returncode == -signal.SIGTERM
    assert took < 10


def test_program_without_any_library_gets_one_clear_exception(tmp_path):
    process = subprocess.run(
        [sys.executable, "-c", "from ascend_venc import acl; print(hasattr(acl.rt, 'malloc')); acl.init()"],
        env=processes.environment(ASCEND_VENC_BACKEND=str(tmp_path)),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert process.returncode == 1
    assert process.stdout == "True\n"
    assert "AclLibraryNotFoundError" in process.stderr
