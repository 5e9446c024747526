# SPDX-License-Identifier: Apache-2.0
"""Exit, fork and Ctrl-C, each in a process of its own."""

import sys

import pytest

from helpers import processes

OPEN = """
import sys, threading, time
import ascend_venc as venc
backend = sys.argv[1]
frame = bytes(640 * 720)
"""

LEFT_OPEN = {
    "idle": "enc = venc.Encoder(640, 480, backend=backend)",
    "frames in flight": """
enc = venc.Encoder(640, 480, backend=backend, depth=8)
for _ in range(8):
    enc.encode(frame)
""",
    "packets kept": """
enc = venc.Encoder(640, 480, backend=backend, codec="h264")
kept = enc.encode(frame) + enc.flush()
view = memoryview(kept[0])
""",
    "reference cycle": """
enc = venc.Encoder(640, 480, backend=backend)
cycle = [enc]
cycle.append(cycle)
""",
    "several": """
encoders = [venc.Encoder(640, 480, backend=backend, codec=codec) for codec in ("h264", "h265") * 4]
for enc in encoders:
    enc.encode(frame)
""",
    "daemon thread encoding": """
enc = venc.Encoder(640, 480, backend=backend)
def run():
    while True:
        enc.encode(frame)
threading.Thread(target=run, daemon=True).start()
time.sleep(0.2)
""",
    "sys.exit": """
enc = venc.Encoder(640, 480, backend=backend)
enc.encode(frame)
sys.exit(0)
""",
}


@pytest.mark.parametrize("name", LEFT_OPEN)
def test_process_that_leaves_an_encoder_open_ends_quietly(backend, name):
    done = processes.run(OPEN + LEFT_OPEN[name], backend)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_process_that_raises_with_an_encoder_open_shows_its_own_traceback_only(backend):
    done = processes.run(OPEN + "enc = venc.Encoder(640, 480, backend=backend)\nraise KeyError('own')", backend)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == "KeyError: 'own'"
    assert done.stderr.count("Traceback") == 1


FORK = """
import os, sys, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 and later warn of fork() beside threads; that is the point
import ascend_venc as venc
from ascend_venc._lowlevel import core
backend = sys.argv[1]
frame = bytes(640 * 720)
enc = venc.Encoder(640, 480, backend=backend, codec="h264", depth=4)
packets = enc.encode(frame) + enc.flush()
kept = bytes(packets[0])
told = lambda: [labels["size"] for labels, _ in venc.stats.labels_and_stats()]
received = sum(len(enc.encode(frame)) for _ in range(3))  # how many is the device's pace
child = os.fork()
if child == 0:
    seen = []
    for call in (lambda: enc.encode(frame), enc.flush, lambda: enc.stats):
        try:
            call()
        except venc.ForkedProcessError as error:
            seen.append("fork" in str(error))
    assert bytes(packets[0]) == kept
    assert enc.closed and told() == []
    with venc.Encoder(128, 128, backend=backend, codec="h264") as own:
        assert told() == ["128x128"]
    enc._close(warn=False)
    del packets
    os._exit(0 if seen == [True, True, True] else 1)
assert told() == ["640x480"]
assert os.waitpid(child, 0)[1] == 0
assert received + len(enc.encode(frame) + enc.flush()) == 4
enc.close()
packets.clear()
deadline = time.monotonic() + 10
while any(core.live().values()) and time.monotonic() < deadline:  # the device ends on native threads
    time.sleep(0.01)
assert not any(core.live().values()), core.live()
"""


def test_fork_child_use_raises_and_the_parent_goes_on(backend):
    done = processes.run(FORK, backend)
    assert (done.returncode, done.stderr) == (0, "")


FORK_BESIDE_A_FUTURE = """
import os, signal, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
sys.path.insert(0, sys.argv[2])
import ascend_venc as venc
from helpers import simulator
sim = simulator.shared()
enc = venc.Encoder(128, 128, backend=sys.argv[1], codec="h264", timeout=30)
sim.set_options(stall=1)
future = enc.encode_future(bytes(128 * 192))  # a thread of the parent's serves it
child = os.fork()
if child == 0:
    signal.alarm(60)
    sim.set_options(stall=0)
    with venc.Encoder(128, 128, backend=sys.argv[1], codec="h264") as own:
        found = own.encode_future(bytes(128 * 192)).result(30).frame_index
    os._exit(found)
assert os.waitpid(child, 0)[1] == 0
sim.set_options(stall=0)
assert future.result(30).frame_index == 0
enc.close()
"""


@pytest.mark.sim_only
def test_fork_child_has_a_thread_of_its_own_for_its_futures(backend, request):
    done = processes.run(FORK_BESIDE_A_FUTURE, backend, request.config.rootpath / "tests")
    assert (done.returncode, done.stderr) == (0, "")


FORK_BESIDE_A_WAIT = """
import os, signal, sys, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)
import ascend_venc as venc
enc = venc.Encoder(128, 128, backend=sys.argv[1], codec="h264")
enc.submit(bytes(128 * 192))
assert enc.receive(10).frame_index == 0
waiting = threading.Thread(target=enc.receive, args=(10,))
waiting.start()
time.sleep(0.2)  # it is inside the engine
child = os.fork()
if child == 0:
    signal.alarm(10)
    enc.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
enc.submit(bytes(128 * 192))
waiting.join()
enc.close()
"""


def test_fork_child_closes_although_a_thread_of_the_parent_waits(backend):
    done = processes.run(FORK_BESIDE_A_WAIT, backend)
    assert (done.returncode, done.stderr) == (0, "")


FORK_BESIDE_ASYNCIO = """
import asyncio, os, signal, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
import ascend_venc as venc
frame = bytes(128 * 192)

async def main():
    async with venc.aio.Encoder(128, 128, backend=sys.argv[1], codec="h264") as enc:
        await enc.submit(frame)
        await enc.receive(10)
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            try:
                asyncio.new_event_loop().run_until_complete(enc.close())
                os._exit(0 if enc.closed else 1)
            finally:
                os._exit(2)
        print(os.WEXITSTATUS(os.waitpid(child, 0)[1]))
        waiting = asyncio.create_task(enc.receive(10))  # what it waits by is the same descriptor of epoll in both
        await asyncio.sleep(0.05)
        await enc.submit(frame)
        print((await waiting).frame_index)

asyncio.run(main())
"""


def test_fork_child_closes_an_encoder_of_asyncio_and_the_parent_goes_on(backend):
    done = processes.run(FORK_BESIDE_ASYNCIO, backend)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n1\n", "")


FORK_OF_A_THREAD = """
import os, signal, sys, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)
sys.path.insert(0, sys.argv[2])
import ascend_venc as venc
from helpers import simulator, waiting
children = []

class Struck(Exception):
    pass

def strike(signum, frame):
    raise Struck

def wait_until_struck():
    signal.alarm(30)
    signal.signal(signal.SIGUSR1, strike)  # this thread is the main one here
    simulator.shared().set_options(stall=1)
    enc = venc.Encoder(128, 128, backend=sys.argv[1], codec="h264", timeout=None)
    enc.submit(bytes(128 * 192))
    waiting.started(strike_when_asleep, threading.get_native_id())
    try:
        enc.receive()
    except Struck:
        os._exit(0)

def strike_when_asleep(task):
    waiting.eventually(lambda: is_asleep(task))
    signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)  # this thread gets it: the main one has to look

def is_asleep(task):
    sleep = waiting.sleep_of(task)
    time.sleep(0.05)  # longer than a wait for the GIL
    return sleep is not None and waiting.sleep_of(task) == sleep

def fork():
    child = os.fork()
    if child:
        children.append(child)
        return
    try:
        wait_until_struck()
    finally:
        os._exit(1)

with venc.Encoder(128, 128, backend=sys.argv[1], codec="h264"):
    pass
thread = threading.Thread(target=fork)
thread.start()
thread.join()
assert os.waitpid(children[0], 0)[1] == 0
"""


@pytest.mark.sim_only
def test_thread_that_forks_is_the_main_thread_of_the_child_and_signals_end_its_waits(backend, request):
    done = processes.run(FORK_OF_A_THREAD, backend, request.config.rootpath / "tests")
    assert (done.returncode, done.stderr) == (0, "")


WORKER_OF_AN_EARLIER_HOOK = """
import atexit, sys, threading
stop = threading.Event()
@atexit.register  # before the import: it runs when the encoders have been closed
def wait_for_the_worker():
    stop.set()
    worker.join()
    print("joined", flush=True)
import ascend_venc as venc
def work():
    begun.set()
    while not stop.is_set():
        enc.encode(bytes(128 * 192))
begun = threading.Event()
enc = venc.Encoder(128, 128, backend=sys.argv[1], codec="h264")
worker = threading.Thread(target=work, daemon=True)
worker.start()
begun.wait()
"""


def test_worker_that_a_hook_of_atexit_waits_for_ends(backend):
    """It is inside the encoder, which is closed: it is parked for the end of the process, and not for ever."""
    done = processes.run(WORKER_OF_AN_EARLIER_HOOK, backend, timeout=60)
    assert done.returncode == 0
    assert done.stdout == "joined\n"
    assert "EncoderClosedError" in done.stderr or not done.stderr


SUBINTERPRETER = """
import sys
if sys.argv[2] == "after":
    import ascend_venc
try:
    import _interpreters as interpreters
    run = interpreters.exec
except ImportError:
    import _xxsubinterpreters as interpreters
    run = interpreters.run_string
inner = interpreters.create()
for name in ("ascend_venc", "ascend_venc._lowlevel.core"):
    run(inner, "try:\\n import " + name + "\\nexcept ImportError as error:\\n print(error, flush=True)\\n")
interpreters.destroy(inner)
import ascend_venc
with ascend_venc.Encoder(128, 128, backend=sys.argv[1], codec="h264") as enc:
    print(len(enc.encode(bytes(128 * 192)) + enc.flush()))
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_subinterpreter_is_refused_and_the_main_interpreter_works(backend, when):
    """Whichever is the first to import it."""
    pytest.importorskip(
        "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters",
        reason="this Python makes no subinterpreters",
    )
    done = processes.run(SUBINTERPRETER, backend, when)
    assert (done.returncode, done.stderr) == (0, "")
    *refusals, packets = done.stdout.splitlines()
    assert [line.startswith("ascend_venc works in the main interpreter only") for line in refusals] == [True, True]
    assert packets == "1"


INTERRUPTED = """
import sys
sys.path.insert(0, {tests!r})
import ascend_venc as venc
from helpers import simulator
device = simulator.shared()
enc = venc.Encoder(1920, 1080, backend=sys.argv[1], codec="h265", depth=64, timeout=None)
frame = bytes(1920 * 1620)
try:
    print("ready", flush=True)
    if sys.argv[2] == "encode":
        while True:
            enc.encode(frame)
    else:
        device.set_options(stall=1)  # it would come to an end otherwise
        for _ in range(4):  # DVPP V2 takes few while it encodes none
            enc.encode(frame)
        print("flushing", flush=True)
        enc.flush()
except KeyboardInterrupt:
    print("interrupted", flush=True)
device.set_options(stall=0)
enc._close(warn=False)
print("closed", enc.closed)
"""


@pytest.mark.sim_only
@pytest.mark.parametrize(("call", "ready"), [("encode", "ready"), ("flush", "flushing")])
def test_ctrl_c_interrupts_the_wait_and_the_encoder_can_be_closed(backend, call, ready, request):
    program = INTERRUPTED.format(tests=str(request.config.rootpath / "tests"))
    process, output, errors, _ = processes.interrupt_when(
        program, ready, backend, call, timeout=90, busy=call == "encode"
    )
    assert process.returncode == 0, errors
    assert output.split("\n")[-3:-1] == ["interrupted", "closed True"]
    assert errors == ""
