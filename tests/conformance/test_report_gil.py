# SPDX-License-Identifier: Apache-2.0
"""acl.rt.process_report keeps the GIL behind a callback (docs/pyacl.md), with runtimes for which it must not."""

from pathlib import Path

import pytest

from helpers import processes, shim

pytestmark = pytest.mark.sim_only

TESTS = Path(__file__).resolve().parents[1]

# A wait inside the runtime, until another Python thread has run twice since, or for the time.
WAITS = """
int waits_turns, waits_starved, waits_done;
static void let_python_run(int most_ms) {
    int turns = __atomic_load_n(&waits_turns, __ATOMIC_SEQ_CST), ms = 0;
    for (usleep(1000); ms < most_ms && __atomic_load_n(&waits_turns, __ATOMIC_SEQ_CST) <= turns + 1; ms++)
        usleep(1000);
    waits_starved += ms >= most_ms;
    waits_done++;
}
"""

PROGRAM = """
import ctypes, sys, threading, time
sys.path.insert(0, {tests!r})
from ascend_venc import acl
from helpers import pyacl
runtime = ctypes.CDLL({library!r})
ok = pyacl.ok
acl.init()
ok(acl.rt.set_device(0))
context = ok(acl.rt.create_context(0))
ran = []
def subscribed(ident):
    stream = ok(acl.rt.create_stream())
    ok(acl.rt.subscribe_report(ident, stream))
    return stream
def launch(data, stream):
    ok(acl.rt.launch_callback(ran.append, data, 0, stream))
def beside_another_thread(body):
    turns = ctypes.c_int.in_dll(runtime, "waits_turns")
    running = True
    def other():
        while running:
            turns.value += 1
    thread = threading.Thread(target=other)
    sys.setswitchinterval(1e-3)
    thread.start()
    try:
        body()
    finally:
        running = False
        thread.join()
{body}
print("done")
"""


@pytest.fixture
def run(tmp_path):
    def run(source, body):
        library = shim.build(tmp_path, source)
        text = PROGRAM.format(tests=str(TESTS), library=str(library), body=body.strip())
        env = {"ASCEND_VENC_BACKEND": str(library), "ASCEND_VENC_SIM_STRICT": "0"}
        done = processes.run(text, env=env, timeout=100)
        assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", 0)

    return run


def test_a_runtime_that_waits_between_two_callbacks_finds_the_gil_given_up(run):
    run(
        WAITS
        + """
static aclrtCallback second;
static void *second_data;
static int launched;
aclError aclrtLaunchCallback(aclrtCallback function, void *data, aclrtCallbackBlockType block, aclrtStream stream) {
    if (launched++ % 2 != 0)
        return real(aclrtLaunchCallback)(function, data, block, stream);
    second = function;
    second_data = data;
    return ACL_SUCCESS;
}
aclError aclrtProcessReport(int32_t timeout) {
    aclError code = real(aclrtProcessReport)(timeout);
    let_python_run(10000);
    second(second_data);
    return code;
}
""",
        """
stream = subscribed(threading.get_ident())
def body():
    for number in range(25):
        launch(number, stream)
        launch(number, stream)
        ok(acl.rt.process_report(20_000))
beside_another_thread(body)
assert len(ran) == 50
starved, waits = (ctypes.c_int.in_dll(runtime, name).value for name in ("waits_starved", "waits_done"))
assert (starved, waits) == (0, 25), (starved, waits)
""",
    )


def test_a_callback_that_comes_again_is_measured_too(run):
    """It finds nothing to call. Whether the runtime was quick before depends on the machine: tried until it was."""
    run(
        WAITS
        + """
static aclrtCallback last;
static void *last_data;
static int again_ms;
void come_again(int ms) {
    again_ms = ms;
}
aclError aclrtLaunchCallback(aclrtCallback function, void *data, aclrtCallbackBlockType block, aclrtStream stream) {
    last = function;
    last_data = data;
    return real(aclrtLaunchCallback)(function, data, block, stream);
}
aclError aclrtProcessReport(int32_t timeout) {
    if (again_ms == 0)
        return real(aclrtProcessReport)(timeout);
    last(last_data);
    let_python_run(again_ms);
    return ACL_SUCCESS;
}
""",
        """
stream = subscribed(threading.get_ident())
starved = ctypes.c_int.in_dll(runtime, "waits_starved")
def body():
    for attempt in range(1000):
        for number in range(8):
            launch(number, stream)
            ok(acl.rt.process_report(20_000))
        runtime.come_again(30)
        ok(acl.rt.process_report(20_000))
        kept = starved.value
        if kept:
            break
        runtime.come_again(0)
    assert kept == 1, "the GIL was never kept"
    runtime.come_again(10_000)
    for _ in range(3):
        ok(acl.rt.process_report(20_000))
    assert starved.value == 1, starved.value
beside_another_thread(body)

""",
    )


def test_two_report_threads_of_a_runtime_that_holds_a_lock_around_callbacks(run):
    """One holds the lock and wants the GIL, while the other wants the lock for its next callback."""
    run(
        """
#include <pthread.h>
int role, inside, starved; /* role: of callbacks that are launched; 1 holds the lock when 2 wants it */
static int wanted, held;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
struct call {
    void (*function)(void *);
    void *data;
    int role;
};
static void await(int *flag) {
    while (!__atomic_load_n(flag, __ATOMIC_SEQ_CST))
        usleep(100);
}
static void locked(void *pointer) {
    struct call call = *(struct call *)pointer;
    struct timespec until;
    free(pointer);
    if (call.role == 1) {
        __atomic_store_n(&inside, 1, __ATOMIC_SEQ_CST);
        await(&wanted);
    }
    if (call.role == 2) {
        __atomic_store_n(&wanted, 1, __ATOMIC_SEQ_CST);
        await(&held);
    }
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 10;
    int late = pthread_mutex_timedlock(&lock, &until);
    starved += late != 0;
    if (call.role == 1)
        __atomic_store_n(&held, 1, __ATOMIC_SEQ_CST);
    call.function(call.data);
    if (!late)
        pthread_mutex_unlock(&lock);
    if (call.role == 2)
        wanted = held = inside = 0;
}
aclError aclrtLaunchCallback(aclrtCallback function, void *data, aclrtCallbackBlockType block, aclrtStream stream) {
    struct call *call = malloc(sizeof *call);
    *call = (struct call){(void (*)(void *))function, data, role};
    return real(aclrtLaunchCallback)((aclrtCallback)locked, call, block, stream);
}
""",
        """
running = True
def report():
    ok(acl.rt.set_context(context))
    while running:
        acl.rt.process_report(100)
other = threading.Thread(target=report)
other.start()
role, inside, starved = (ctypes.c_int.in_dll(runtime, name) for name in ("role", "inside", "starved"))
mine, others = subscribed(threading.get_ident()), subscribed(other.ident)
for attempt in range(20):
    for number in range(8):
        launch("quick", mine)
        ok(acl.rt.process_report(20_000))
    role.value = 1
    launch(1, others)
    while not inside.value:
        time.sleep(0.001)
    for role.value in (0, 2):
        launch(role.value, mine)
    role.value = 0
    target = 11 * (attempt + 1)
    while len(ran) < target:
        acl.rt.process_report(1000)
running = False
other.join()
assert starved.value == 0, starved.value
""",
    )


@pytest.mark.parametrize("kind", ["CDLL", "PyDLL"])
def test_reports_that_the_end_of_a_callbacks_user_data_processes_by_itself(run, kind):
    """With a library of its own, that is, and not by acl.rt: the callback is over, process_report is not."""
    run(
        "",
        f"""
own = ctypes.{kind}(runtime._name)
stream = subscribed(threading.get_ident())
class Data:
    def __del__(self):
        own.aclrtProcessReport(1000)
launch("first", stream)
ok(acl.rt.process_report(20_000))
ok(acl.rt.launch_callback(lambda data: ran.append("second"), Data(), 0, stream))
ok(acl.rt.launch_callback(ran.append, "third", 1, stream))
while len(ran) < 3:
    acl.rt.process_report(20_000)
assert sorted(ran) == ["first", "second", "third"], ran
""",
    )
