# SPDX-License-Identifier: Apache-2.0
"""The GIL during each call of AscendCL, as functions.txt and docs/pyacl.md say: shown by order, not by time.

A library in front of the simulated device stops inside the function that is asked for. Where the GIL is given up, the
function returns only after another Python thread has run (or, as a failure, after 10 s). Where it is kept, no other
Python thread may run while it is inside, for 30 ms.
"""

import runpy
from pathlib import Path

import pytest

from helpers import himpi_names, processes, shim
from helpers.pyacl_names import ROWS

pytestmark = pytest.mark.sim_only

ROOT = Path(__file__).resolve().parents[2]
MB = 1 << 20

GATES = """
int gate_turns;              /* written by another Python thread */
int gate_inside, gate_calls, gate_starved;
static char gate_name[64];
static int gate_gives_up, gate_ms, gate_behind; /* gate_behind: stops when the function is about to return */
void gate_stop_behind(int behind) {
    gate_behind = behind;
}
void gate_arm(const char *name, int gives_up, int ms) {
    strcpy(gate_name, name);
    gate_gives_up = gives_up;
    gate_ms = ms;
    gate_calls = gate_starved = 0;
}
void gate_disarm(void) {
    gate_name[0] = 0;
}
static void stop(const char *name) {
    if (strcmp(name, gate_name) != 0)
        return;
    int turns = __atomic_load_n(&gate_turns, __ATOMIC_SEQ_CST);
    gate_calls++;
    __atomic_store_n(&gate_inside, 1, __ATOMIC_SEQ_CST);
    for (int ms = 0; ms < gate_ms && __atomic_load_n(&gate_turns, __ATOMIC_SEQ_CST) <= turns + 1; ms++)
        usleep(1000);
    gate_starved += gate_gives_up && __atomic_load_n(&gate_turns, __ATOMIC_SEQ_CST) <= turns + 1;
    __atomic_store_n(&gate_inside, 0, __ATOMIC_SEQ_CST);
}
static void before(const char *name) {
    if (!gate_behind)
        stop(name);
}
static void after(const char *name) {
    if (gate_behind)
        stop(name);
}
"""

PROGRAM = """
import ctypes, functools, sys, threading, time
sys.path.insert(0, {tests!r})
from ascend_venc import acl
from helpers import pyacl
from helpers.pyacl_names import BY_NAME, ENDS_ITS_HANDLE, working_arguments

gate = ctypes.CDLL({shim!r})
words = "gate_turns", "gate_inside", "gate_calls", "gate_starved"
turns, inside, calls, starved = (ctypes.c_int.in_dll(gate, word) for word in words)
seen = False
running = True
def other():
    global seen
    while running:
        if inside.value:
            seen = True
        turns.value += 1
thread = threading.Thread(target=other)
def forget():
    global seen
    begin = turns.value
    while turns.value < begin + 2:  # what it has read of the call before has come to its end
        time.sleep(0.0001)
    seen = False
def check(name, c_name, gives_up, call, ms=30):
    forget()
    gate.gate_arm(c_name.encode(), gives_up, 10000 if gives_up else ms)
    call()
    gate.gate_disarm()
    if calls.value == 0:
        print(name, "never called", c_name)
    elif gives_up and starved.value:
        print(name, "keeps the GIL")
    elif not gives_up and seen:
        print(name, "gives the GIL up")
acl.init()
pyacl.ok(acl.rt.set_device(0))
context = pyacl.ok(acl.rt.create_context(0))
handles = pyacl.Handles(acl)
sys.setswitchinterval(1e-3)
thread.start()
try:
    {body}
finally:
    running = False
    thread.join()
print("done")
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gates")
    path = shim.build(folder, GATES + shim.around_every_function("before", "after"))

    def run(body):
        text = PROGRAM.format(tests=str(ROOT / "tests"), shim=str(path), body=body.strip().replace("\n", "\n    "))
        env = {
            "ASCEND_VENC_BACKEND": str(path),
            "ASCEND_VENC_SIM_STRICT": "0",
            "ASCEND_VENC_SIM_OPTIONS": "null_codec=500",
        }
        done = processes.run(text, env=env, timeout=100)
        assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", 0)

    return run


TABLE = runpy.run_path(str(ROOT / "scripts" / "generate_pyacl.py"))["functions"]()
# Written by hand, and one call with the arguments of the table of names is enough.
WRITTEN = {
    "acl.get_soc_name": True,
    "acl.rt.set_device": True,
    "acl.rt.get_context": False,
    "acl.rt.launch_callback": True,
    "acl.media.venc_create_channel_desc": True,
    "acl.media.venc_destroy_channel_desc": False,
    "acl.media.venc_set_channel_desc_callback": False,
    "acl.media.venc_set_channel_desc_param": False,
    "acl.media.venc_get_channel_desc_param": False,
    "acl.media.venc_create_channel": True,
}
# They end the process's use of the device, or have tests of their own below.
LEFT_OUT = {"acl.init", "acl.finalize", "acl.finalize_reference", "acl.get_recent_err_msg", "acl.app_log"}
LEFT_OUT |= {"acl.rt.reset_device", "acl.rt.reset_device_force", "acl.rt.process_report"}
LEFT_OUT |= {"acl.media.venc_get_channel_desc_callback", "acl.media.venc_destroy_channel", "acl.media.venc_send_frame"}


def test_every_function_of_the_table_gives_the_gil_up_or_keeps_it_as_it_says(run):
    cases = []
    for row in TABLE:
        if row.c is None or row.is_himpi or row.full in LEFT_OUT:
            continue
        assert row.how in ("keeps", "waits", "copies") or row.full in WRITTEN, row.full
        gives_up = row.how == "waits" if row.how != "written" else WRITTEN[row.full]
        cases.append((row.full, row.c.name, gives_up))
    assert len(cases) > 90
    run(
        f"""
for name, c_name, gives_up in {cases!r}:
    row = BY_NAME[name]
    arguments = working_arguments(row, handles)
    function = pyacl.function(acl, name)
    results = []
    check(name, c_name, gives_up, lambda: results.append(function(*arguments)))
    if name in ENDS_ITS_HANDLE and results == [0]:
        handles.forget(row.handles[0], arguments[0])
    pyacl.ok(acl.rt.set_context(context))
    handles.clear()
"""
    )


@pytest.mark.parametrize(
    "name",
    ["acl.init", "acl.finalize", "acl.finalize_reference", "acl.rt.reset_device", "acl.rt.reset_device_force"],
)
def test_call_that_begins_or_ends_the_use_of_a_device_gives_the_gil_up(run, name):
    arguments = (0,) if "reset" in name else ()
    c_name = {row.full: row.c.name for row in TABLE if row.c}[name]
    before = "acl.finalize()" if name == "acl.init" else ""
    run(f"{before}\ncheck({name!r}, {c_name!r}, True, lambda: pyacl.function(acl, {name!r})(*{arguments!r}))")


@pytest.mark.parametrize(
    ("size", "gives_up"), [(1, False), (3 * 1920 * 1080 // 2, False), (4 * MB, False), (4 * MB + 1, True)]
)
def test_copies_and_fills_give_the_gil_up_above_4_mib(run, size, gives_up):
    run(
        f"""
source, target = bytes({size}), bytes({size})
addresses = acl.util.bytes_to_ptr(target), acl.util.bytes_to_ptr(source)
check("memcpy", "aclrtMemcpy", {gives_up}, lambda: acl.rt.memcpy(addresses[0], {size}, addresses[1], {size}, 0))
rows = (addresses[0], {size}, addresses[1], {size}, {size}, 1, 1)
check("memcpy2d", "aclrtMemcpy2d", {gives_up}, lambda: acl.rt.memcpy2d(*rows))
check("memset", "aclrtMemset", {gives_up}, lambda: acl.rt.memset(addresses[0], {size}, 0, {size}))
"""
    )


def test_encoding_gives_the_gil_up_where_it_may_wait(run):
    run(
        """
made = pyacl.Encoding(acl, context, thread_id=threading.get_ident())
check("venc_create_channel", "aclvencCreateChannel", True, made.create)
check("venc_send_frame", "aclvencSendFrame", True, lambda: made.send(0))
check("process_report", "aclrtProcessReport", True, lambda: pyacl.ok(acl.rt.process_report(20_000)))
check("end of stream", "aclvencSendFrame", True, made.end_of_stream)
check("venc_destroy_channel", "aclvencDestroyChannel", True, made.destroy)
made.close()
"""
    )


def test_a_report_thread_keeps_the_gil_from_a_callback_on_where_the_runtime_is_back_at_once(run):
    """Whether it is depends on the machine, so this is tried until it was eight times in a row. A runtime that was slow
    once, or that is not known yet, finds the GIL given up behind the callback."""
    run(
        """
stream = pyacl.ok(acl.rt.create_stream())
pyacl.ok(acl.rt.subscribe_report(threading.get_ident(), stream))
ran = []
def report():
    pyacl.ok(acl.rt.launch_callback(ran.append, 1, 0, stream))
    pyacl.ok(acl.rt.process_report(20_000))
def stopped(gives_up):
    check("process_report", "aclrtProcessReport", gives_up, report)
gate.gate_stop_behind(1)
for _ in range(2):
    stopped(True)  # not known, and slow just now
for attempt in range(1000):
    for _ in range(8):
        report()
    forget()
    gate.gate_arm(b"aclrtProcessReport", 0, 30)
    report()
    gate.gate_disarm()
    if not seen:
        break
else:
    print("the GIL was never kept")
stopped(True)
assert len(ran) == 3 + 9 * (attempt + 1), len(ran)
pyacl.ok(acl.rt.unsubscribe_report(threading.get_ident(), stream))
pyacl.ok(acl.rt.destroy_stream(stream))
"""
    )


# Of acl.himpi, written by hand; None: unless its last argument is 0.
HIMPI_WRITTEN = {
    "acl.himpi.sys_init": True,
    "acl.himpi.sys_exit": True,
    "acl.himpi.dvpp_malloc": True,
    "acl.himpi.sys_create_epoll": True,
    "acl.himpi.dvpp_free": False,
    "acl.himpi.sys_wait_epoll": None,
    "acl.himpi.venc_get_stream": None,
    "acl.himpi.venc_release_stream": False,
}


def test_every_function_of_himpi_gives_the_gil_up_unless_it_cannot_wait(run):
    """Those that wait as long as they are told: without a time, and for ever. The device refuses most; no matter."""
    words = {"keeps": False, "waits": True, "timed": None}
    cases = []
    for row in TABLE:
        if row.is_himpi:
            gives_up = HIMPI_WRITTEN[row.full] if row.how == "written" else words[row.how]
            for last in (0, 1, 1000, -1) if gives_up is None else (None,):
                cases.append((row.full, row.c.name, last != 0 if gives_up is None else gives_up, last))
    assert len(cases) > 60
    run(
        f"""
from helpers import himpi_names
pyacl.ok(acl.himpi.sys_init())
for name, c_name, gives_up, last in {cases!r}:
    arguments = himpi_names.plain_arguments(himpi_names.BY_NAME[name])
    if last is not None:
        arguments[-1] = last
    function = pyacl.function(acl, name)
    results = []
    check(f"{{name}} {{last}}", c_name, gives_up, lambda: results.append(function(*arguments)))
    if name == "acl.himpi.sys_exit":
        pyacl.ok(acl.himpi.sys_init())
    if name == "acl.himpi.sys_create_epoll" and results[0][1] == 0:
        acl.himpi.sys_close_epoll(results[0][0])
"""
    )


def test_every_row_has_its_gil_tested():
    assert {row.name for row in (*ROWS, *himpi_names.ROWS)} == {row.full for row in TABLE}
    written = {row.full for row in TABLE if row.how == "written" and row.c}
    assert written <= {*WRITTEN, *LEFT_OUT, *HIMPI_WRITTEN}


def test_gate_notices_a_call_that_does_the_opposite(run):
    """The checks above can fail: each is turned round."""
    with pytest.raises(AssertionError, match="gives the GIL up"):
        run('check("x", "aclrtSetDevice", False, lambda: acl.rt.set_device(0), ms=10000)')
    with pytest.raises(AssertionError, match="never called"):
        run('check("x", "aclrtMemset", False, lambda: None)')
