# SPDX-License-Identifier: Apache-2.0
"""Signal handlers, and other code of the program's that runs inside a call, may use the encoder of that call."""

import os
import signal
import sys
import threading

import numpy as np
import pytest

import ascend_venc as venc
from helpers import interface, processes, shim, simulator
from helpers.waiting import eventually, is_inside, outcome, started

pytestmark = pytest.mark.sim_only

FRAME = bytes(128 * 192)


def encoder(**options):
    return venc.Encoder(
        128, 128, **{"codec": "h264", "backend": "sim", "timeout": 30, "depth": 2, "queue": 1, **options}
    )


def fill(enc):
    """Until there is no room: the next frame waits."""
    enc.submit_many([FRAME] * 3)


# Each waits on a stalled device for as long as nobody does anything. (prepare, call, Python function that is inside)
BLOCKING = {
    "submit": (fill, lambda enc: enc.submit(FRAME), "submit"),
    "submit_async": (fill, lambda enc: enc.submit_async(FRAME), "submit_async"),
    "submit_many": (fill, lambda enc: enc.submit_many([FRAME]), "submit_many"),
    "encode": (fill, lambda enc: enc.encode(FRAME), "encode"),
    "encode_future": (fill, lambda enc: enc.encode_future(FRAME), "submit"),
    "acquire": (fill, lambda enc: enc.acquire(), "acquire"),
    "flush": (fill, lambda enc: enc.flush(), "flush"),
    "receive": (fill, lambda enc: enc.receive(), "receive"),
    "receive_many": (fill, lambda enc: enc.receive_many(), "receive_many"),
    "receive_many of several": (fill, lambda enc: enc.receive_many(at_least=3), "receive_many"),
    "packets": (fill, lambda enc: list(enc.packets()), "receive_many"),
    "close": (fill, lambda enc: enc.close(), "_end_close"),
}


def interrupt(prepare, call, function, handler, enc):
    """Run a call that a signal's handler interrupts when it waits; return (what came of it, signals)."""
    struck = []
    main = threading.main_thread()

    def handle(signum, frame):
        struck.append(signum)
        handler(enc)

    def send():
        eventually(lambda: is_inside(main, function))
        os.kill(os.getpid(), signal.SIGUSR1)

    prepare(enc)
    before = signal.signal(signal.SIGUSR1, handle)
    sender = threading.Thread(target=send)
    try:
        sender.start()
        try:
            return call(enc), struck
        except venc.VencError as error:
            return error, struck
    finally:
        sender.join()
        signal.signal(signal.SIGUSR1, before)


def test_handler_changes_the_settings_while_a_change_ends_the_only_channel():
    """Its change is made first, and the one that it interrupts on top of it."""
    sim = simulator.shared()
    firsts = []

    def change(enc):
        sim.set_options(stall=0)
        firsts.append(enc.reconfigure(width=160, height=160))

    enc = encoder()
    with sim.options(stall=1, channel_limit=1):
        result, struck = interrupt(
            lambda enc: enc.submit(FRAME),
            lambda enc: enc.reconfigure(width=256),
            "_replace_alone",
            change,
            enc,
        )
        assert (result, firsts, struck) == (1, [1], [signal.SIGUSR1])
        assert (enc.config.width, enc.config.height) == (256, 160)
    assert [packet.frame_index for packet in enc.flush()] == [0]
    enc.close()


def test_handler_that_finds_no_channel_for_its_change_is_told_so():
    """The call that it interrupts is opening the device's only one: that one goes on."""
    sim = simulator.shared()
    told = []

    def change(enc):
        with pytest.raises(venc.errors.AclStateError, match="no channel for this change") as caught:
            enc.reconfigure(width=160, height=160)
        told.append(str(caught.value))
        sim.lib.aclsim_clear_faults()  # the call returns

    enc = encoder()
    with sim.options(channel_limit=1), sim.hanging_call(interface.CREATE, nth=2):
        assert interrupt(lambda enc: None, lambda enc: enc.reconfigure(width=256), "_open_alone", change, enc) == (
            0,
            [signal.SIGUSR1],
        )
    assert len(told) == 1
    assert (enc.config.width, enc.config.height) == (256, 128)
    enc.close()


def test_acquired_frame_whose_submit_a_handler_ended_can_be_submitted_again():
    """It waits while a reconfigure does, which comes to nothing here: the device has finished no frame in its time."""
    sim = simulator.shared()
    enc = encoder(timeout=2, depth=3, queue=0)
    frame = enc.acquire()
    frame.array[:] = 77

    def refuse(enc):
        raise ZeroDivisionError

    def submit(enc):
        try:
            enc.submit(frame)
        except ZeroDivisionError:
            return "ended"

    def begin(enc):
        enc.submit(FRAME)
        changes.append(started(lambda: enc.reconfigure(width=256, height=256)))
        eventually(lambda: is_inside(changes[0], "_replace_alone"))

    changes = []
    with sim.options(stall=1), sim.failing_call(interface.CREATE):
        assert interrupt(begin, submit, "submit", refuse, enc) == ("ended", [signal.SIGUSR1])
        assert isinstance(outcome(changes[0]), venc.AclTimeoutError)
        del changes[0].outcome
    assert enc.submit(frame) == 1
    assert [packet.frame_index for packet in enc.flush()] == [0, 1]
    enc.close()


@pytest.mark.filterwarnings("ignore:.*packet.* dropped:ascend_venc.DroppedPacketsWarning")
@pytest.mark.parametrize("name", BLOCKING)
def test_handler_closes_the_encoder_of_the_call_that_it_interrupts(name):
    """The usual "SIGTERM closes the encoder"."""
    sim = simulator.shared()
    enc = encoder()

    def close(enc):
        sim.set_options(stall=0)  # so that the close need not be given up
        enc.close()

    try:
        with sim.options(stall=1):
            result, struck = interrupt(*BLOCKING[name], close, enc)
            sim.set_options(stall=0)
    finally:
        sim.set_options(stall=0)
    assert struck == [signal.SIGUSR1]
    assert enc.closed
    if name == "packets":
        assert isinstance(result, (list, venc.EncoderClosedError))
    elif name == "close":
        assert result is None
    else:  # what was ready when the handler had returned is dropped by its close
        assert isinstance(result, venc.EncoderClosedError), result


@pytest.mark.filterwarnings("ignore:.*packet.* dropped:ascend_venc.DroppedPacketsWarning")
@pytest.mark.parametrize("name", [name for name in BLOCKING if name != "close"])
def test_handler_reconfigures_the_encoder_of_the_call_that_it_interrupts(name):
    sim = simulator.shared()
    enc = encoder()
    firsts = []

    def reconfigure(enc):
        if interface.V2:  # which changes the channel that is there, when it has no frame
            sim.set_options(stall=0)
        firsts.append(enc.reconfigure(bitrate=500_000))
        sim.set_options(stall=0)

    try:
        with sim.options(stall=1):
            if name == "packets":
                _, call, function = BLOCKING[name]
                result, struck = interrupt(lambda enc: (fill(enc), enc.drain()), call, function, reconfigure, enc)
            else:
                result, struck = interrupt(*BLOCKING[name], reconfigure, enc)
            sim.set_options(stall=0)
    finally:
        sim.set_options(stall=0)
    assert struck == [signal.SIGUSR1]
    assert firsts == [3]
    assert enc.config.bitrate == 500_000
    if name == "acquire":
        assert isinstance(result, venc.Frame)
        result.release()
    else:
        assert not isinstance(result, BaseException), result
    enc._close(warn=False)


def test_signal_that_another_thread_gets_is_handled_in_the_wait_of_the_main_thread():
    """It interrupts no call of the main thread's, which looks for signals by itself. Where it would look late, the wait
    goes on to its own bound."""
    main, enc = threading.main_thread(), encoder()
    handled = []

    def send():
        eventually(lambda: is_inside(main, "receive"))
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    def handle(signum, frame):
        handled.append(signum)
        enc.submit(FRAME)  # what the main thread waits for

    before = signal.signal(signal.SIGUSR1, handle)
    sender = threading.Thread(target=send)
    try:
        sender.start()
        assert enc.receive(15).frame_index == 0
    finally:
        sender.join()
        signal.signal(signal.SIGUSR1, before)
    assert handled == [signal.SIGUSR1]
    enc.close()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python code in __buffer__ is of Python 3.12 (PEP 688)")
@pytest.mark.parametrize("way", ["submit", "submit_async", "submit_many", "encode"])
def test_buffer_method_closes_the_encoder_that_asks_for_it(way):
    class Picture:
        def __buffer__(self, flags):
            enc.close()
            return memoryview(FRAME)

    enc = encoder()
    with pytest.raises(venc.EncoderClosedError):
        getattr(enc, way)([Picture()] if way == "submit_many" else Picture())
    assert enc.closed


@pytest.mark.parametrize("act", ["close", "reconfigure"])
@pytest.mark.parametrize("way", ["submit", "submit_async", "submit_many", "encode", "encode_future"])
def test_tensor_uses_the_encoder_that_asks_for_its_memory(way, act):
    class Tensor:
        array = np.zeros((192, 128), np.uint8)

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

        def __dlpack__(self, **options):
            if act == "close":
                enc.close()
            elif enc.config.bitrate != 500_000:  # once: it is asked again for the channel that took the place
                enc.reconfigure(bitrate=500_000)
            return self.array.__dlpack__(**options)

    enc = encoder()
    call = getattr(enc, way)
    frame = [Tensor()] if way == "submit_many" else Tensor()
    if act == "close":
        with pytest.raises(venc.EncoderClosedError):
            call(frame)
        assert enc.closed
    else:
        call(frame)
        enc.flush()
        assert enc.stats.submitted == 1
        enc._close(warn=False)


@pytest.mark.parametrize("kind", ["tensor", "pts"])
@pytest.mark.parametrize("way", ["submit", "submit_async", "submit_many", "encode", "encode_future"])
def test_code_that_changes_the_settings_whenever_it_is_asked_comes_to_an_end(way, kind):
    class Tensor:
        array = np.zeros((192, 128), np.uint8)

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

        def __dlpack__(self, **options):
            enc.reconfigure(bitrate=500_000)
            return self.array.__dlpack__(**options)

    class Stamp:
        def __index__(self):
            enc.reconfigure(bitrate=500_000)
            return 7

    enc = encoder()
    frame, pts = (Tensor(), 7) if kind == "tensor" else (FRAME, Stamp())
    if way == "submit_many":
        enc.submit_many([frame], pts=[pts])
    else:
        getattr(enc, way)(frame, pts=pts)
    enc.flush()
    assert enc.stats.submitted == 1
    enc._close(warn=False)


CTRL_C = """
import sys, time, warnings
sys.path.insert(0, {tests!r})
import ascend_venc as venc
from ascend_venc._lowlevel import core
from helpers import interface, simulator
core.open_library("sim")
warnings.simplefilter("ignore")
sim, function, frame = simulator.shared(), sys.argv[1], bytes(128 * 192)
enc = None
opening = ("aclrtGetDeviceCount", "aclrtGetSocName", "aclrtCreateContext", interface.CREATE, interface.MALLOC)
if function not in opening:
    enc = venc.Encoder(128, 128, codec="h264", backend="sim", depth=2, timeout=None)
if function == "stall":
    sim.set_options(stall=1, wait_limit_ms=0)
    enc.submit(frame)
else:
    if enc is not None:
        enc.encode(frame)
        enc.flush()
    sim.aclsim_hang_call(function.encode(), 1, 1)
try:
    print("ready", flush=True)
    if enc is None:
        enc = venc.Encoder(128, 128, backend="sim", timeout=None)
    elif function == interface.SEND:
        enc.submit_async(frame)
        enc.flush()
    else:
        enc.close()
except KeyboardInterrupt:
    print("interrupted", flush=True)
print("end", flush=True)
"""


@pytest.mark.parametrize(
    "function",
    [
        "stall",
        interface.DESTROY,
        interface.FREE,
        interface.SEND,
        "aclrtGetDeviceCount",
        "aclrtGetSocName",
        "aclrtCreateContext",
        interface.CREATE,
        interface.MALLOC,
    ],
)
def test_ctrl_c_ends_a_wait_without_bound_and_the_process_exits(function, request):
    program = CTRL_C.format(tests=str(request.config.rootpath / "tests"))
    process, output, errors, seconds = processes.interrupt_when(program, "ready", function)
    assert (process.returncode, output, errors) == (0, "interrupted\nend\n", "")
    assert seconds < 2 + 10  # 2 s to the process's end, and the machine may be busy


ASYNCIO = """
import asyncio, sys, warnings
sys.path.insert(0, {tests!r})
from ascend_venc import aio
from ascend_venc._lowlevel import core
from helpers import interface, simulator
core.open_library("sim")
warnings.simplefilter("ignore")
sim, what = simulator.shared(), sys.argv[1]

async def main():
    if what == "open":
        sim.aclsim_hang_call(interface.CREATE.encode(), 1, 1)
        print("ready", flush=True)
    async with aio.Encoder(128, 128, codec="h264", backend="sim", timeout=None) as enc:
        sim.set_options(stall=1, wait_limit_ms=0)
        enc._inner.submit(bytes(128 * 192))  # sent when it returns: one that waits natively would be dropped by close
        if what == "close":
            task = asyncio.ensure_future(enc.close())
        else:
            sim.aclsim_hang_call(interface.CHANGE.encode(), 1, 1)
            task = asyncio.ensure_future(enc.reconfigure(bitrate="1M"))
        await asyncio.sleep(0.1)
        print("ready", flush=True)
        try:
            await task
        finally:
            enc._inner = None  # the block's end is not to wait

try:
    asyncio.run(main())
except BaseException as error:
    print(type(error).__name__, flush=True)
print("end", flush=True)
"""


@pytest.mark.parametrize("what", ["open", "close", "reconfigure"])
def test_ctrl_c_ends_a_loop_whose_encoder_waits_without_bound_and_the_process_exits(what, request):
    """Python joins an executor's threads at its end."""
    program = ASYNCIO.format(tests=str(request.config.rootpath / "tests"))
    process, output, _, seconds = processes.interrupt_when(program, "ready", what, timeout=30)
    assert process.returncode == 0
    assert output.splitlines()[-1] == "end"
    assert seconds < 2 + 10  # as above


CRASH = """
import ctypes, faulthandler, sys, time
import ascend_venc as venc
from ascend_venc._lowlevel import core
path = sys.argv[1]
core.open_library(path)
ctypes.CDLL(core.simulated_device_path()).aclsim_set_codec(core.find_codec().encode())
faulthandler.enable()
enc = venc.Encoder(128, 128, codec="h264", backend=path)
ctypes.c_int.in_dll(ctypes.CDLL(path), "crash").value = 1
if sys.argv[2] == "report":
    enc.submit(bytes(128 * 192))
else:
    enc.submit_async(bytes(128 * 192))
time.sleep(20)
print("alive")
"""


@pytest.mark.parametrize("thread", ["report", "task"])
@pytest.mark.parametrize("how", ["*(volatile int *)(intptr_t)crash = 0", "abort()"])
def test_crash_on_a_native_thread_is_reported_by_faulthandler(thread, how, tmp_path):
    """Of the two that make the vendor's calls for a frame."""
    function = interface.GET if thread == "report" else interface.SEND
    text = f"""
int crash;
static void before(const char *name) {{
    if (crash && strcmp(name, "{function}") == 0)
        {how};
}}
static void after(const char *name) {{ (void)name; }}
{shim.around_every_function("before", "after")}"""
    done = processes.run(CRASH, shim.build(tmp_path, text), thread)
    signum = signal.SIGABRT if "abort" in how else signal.SIGSEGV
    assert done.returncode == -signum
    assert "Fatal Python error" in done.stderr
    assert "alive" not in done.stdout


FORKED = """
import gc, os, signal, sys, warnings
import ascend_venc as venc
warnings.simplefilter("ignore", DeprecationWarning)
enc = venc.Encoder(128, 128, codec="h264", backend="sim", depth=2)
frame = bytes(128 * 192)
packets = enc.encode(frame) + enc.flush()
held = enc.acquire()
enc.submit(frame, token=object())
future = enc.encode_future(frame)
child = os.fork()
if child == 0:
    signal.alarm(20)
    warnings.simplefilter("always", ResourceWarning)  # it is the parent's to close
    del enc, held, future, packets
    gc.collect()
    os._exit(7)
status = os.waitpid(child, 0)[1]
del held
future.result(10)
enc.flush()
enc.close()
print(os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status))
"""


def test_forked_child_drops_an_open_encoder():
    done = processes.run(FORKED)
    assert (done.returncode, done.stdout, done.stderr) == (0, "7\n", "")
