# SPDX-License-Identifier: Apache-2.0
"""A device that gives nothing back, and calls of the vendor's that never return: they hold up nobody else.

Bounds are shown by order where that is possible: the other call returns while the one that hangs still does.
"""

import contextlib
import signal
import threading
import time
import warnings

import pytest

import ascend_venc as venc
from ascend_venc import errors
from ascend_venc._lowlevel import core, stream, waitset
from helpers import fake_cann, interface, processes, simulator
from helpers.waiting import eventually, is_inside, outcome, started

pytestmark = pytest.mark.sim_only

FRAME = bytes(128 * 192)
BOUND = 1.0  # of what is to end by it; what comes before and behind has to come to its end within it
SLACK = 10.0  # seconds that a busy machine may add to a bound; what is held up is so for ever


def encoder(**options):
    return venc.Encoder(128, 128, **{"codec": "h264", "backend": "sim", "timeout": BOUND, "depth": 2, **options})


def timed(call):
    """(seconds, result or exception) of a call."""
    begin = time.monotonic()
    try:
        result = call()
    except BaseException as error:
        result = error
    return time.monotonic() - begin, result


def close(enc):
    enc._close(warn=False)


def end_well(*encoders):
    """What the device did not give back in time has ended once it goes on."""
    for enc in encoders:
        enc._timeout = 10
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", venc.DroppedPacketsWarning)  # packets that nobody took
            enc.close()


def test_newcomer_does_not_share_a_lost_device():
    """The device answers again, while an encoder that lost frames is open: another one opens it anew."""
    sim = simulator.shared()
    enc = encoder(timeout=10)
    with sim.options(stall=1):
        enc.submit(FRAME)
        with sim.lost_device(), pytest.raises(venc.DeviceLostError):
            enc.flush()
        with pytest.raises(venc.DeviceLostError):
            enc.submit(FRAME)
    with encoder(timeout=10) as newcomer:
        assert len(newcomer.encode(FRAME) + newcomer.flush()) == 1
    end_well(enc)


def test_newcomer_opens_a_lost_device_anew_while_what_it_was_lost_to_has_not_returned():
    """The old one does not know that the device answers again: its thread is inside a call."""
    sim = simulator.shared()
    enc = encoder(timeout=10)
    with contextlib.ExitStack() as stack:
        with sim.options(stall=1):
            enc.submit(FRAME)
            with sim.lost_device():
                with pytest.raises(venc.DeviceLostError):
                    enc.flush()
                wait_hung = stack.enter_context(sim.hanging_call(interface.REPORT))
                wait_hung()
        with pytest.raises(venc.DeviceLostError):
            enc.submit(FRAME)
        with encoder(timeout=10) as newcomer:
            assert len(newcomer.encode(FRAME) + newcomer.flush()) == 1
        with pytest.raises(venc.DeviceLostError):
            enc.submit(FRAME)
    end_well(enc)


def test_receiver_beside_a_close_ends_when_the_device_has_given_back_what_it_has_or_in_its_own_bound():
    sim = simulator.shared()
    enc = encoder()
    with sim.options(stall=1):
        enc.submit(FRAME)
        receiver = started(enc.receive)
        # Or its own bound is over already, on a machine that has paused for so long.
        eventually(lambda: is_inside(receiver, "receive") or not receiver.is_alive())
        with pytest.raises(venc.AclTimeoutError, match="still in the device"):
            enc.close()
        assert isinstance(outcome(receiver), venc.AclTimeoutError)
    end_well(enc)
    enc = encoder(timeout=20)
    with sim.options(stall=1):
        enc.submit(FRAME)
        receiver, closer = started(enc.receive), started(close, enc)
        eventually(lambda: enc.closed)
        sim.set_options(stall=0)
        assert isinstance(outcome(receiver), (venc.EncoderClosedError, venc.Packet))
        assert outcome(closer) is None
    end_well(enc)


USES = {
    "encode": lambda enc: enc.encode(FRAME),
    "submit": lambda enc: enc.submit(FRAME),
    "submit_many": lambda enc: enc.submit_many([FRAME]),
    "frame": lambda enc: enc.submit(enc.acquire()),
    **interface.of(
        {},  # V1 refuses descriptions with a code that does not say so, unless reports have failed already
        {
            "reconfigure": lambda enc: enc.reconfigure(bitrate=500_000),
            "open": lambda enc: venc.Encoder(128, 128, backend=f"sim:{enc._soc_name}"),
        },
    ),
}


@pytest.mark.parametrize("chip", ["Ascend310P3", "Ascend310B4"])
@pytest.mark.parametrize("use", USES)
def test_idle_encoder_whose_device_is_lost_says_so_when_it_is_used(use, chip):
    """V1's report thread finds it out at once; V2's waits for nothing while no frame is in the device."""
    sim = simulator.shared()
    enc = venc.Encoder(128, 128, codec="h264", backend=f"sim:{chip}", timeout=10)
    enc.encode(FRAME)
    enc.flush()
    with sim.lost_device(), pytest.raises(venc.DeviceLostError):
        USES[use](enc)
    with contextlib.suppress(venc.VencError):
        enc._close(warn=False)


def test_reconfigure_on_a_device_that_is_known_to_be_lost_says_so():
    sim = simulator.shared()
    enc = encoder(timeout=60)
    enc.encode(FRAME)
    enc.flush()
    sim.aclsim_count_calls(1)
    with sim.lost_device():
        # V1's report thread fails three times, and goes on to ask; V2's is idle, and the first use asks.
        interface.of(
            lambda: eventually(lambda: sim.aclsim_calls(b"aclrtProcessReport") > 4),
            lambda: isinstance(timed(lambda: enc.submit(FRAME))[1], venc.DeviceLostError) or pytest.fail("not lost"),
        )()
        sim.aclsim_count_calls(0)
        for _ in range(2):
            assert isinstance(outcome(started(lambda: enc.reconfigure(bitrate=500_000))), venc.DeviceLostError)
    end_well(enc)


# ---- one call that never returns ----

HANGS_ON_CLOSE = [
    interface.DESTROY,
    interface.FREE,
    *interface.of(
        ["aclvencDestroyChannelDesc", "acldvppDestroyPicDesc"], ["hi_mpi_venc_stop_chn", "hi_mpi_venc_close_fd"]
    ),
]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("function", HANGS_ON_CLOSE)
def test_close_is_bounded_although_a_call_never_returns(function, after):
    sim = simulator.shared()
    enc, other = encoder(), encoder(timeout=10)
    enc.encode(FRAME)
    enc.flush()
    with sim.hanging_call(function, after=after) as wait_hung:
        seconds, error = timed(enc.close)
        wait_hung()
        assert BOUND <= seconds < BOUND + SLACK
        assert isinstance(error, venc.AclTimeoutError)
        assert f"{BOUND:g} s" in str(error)
        assert core.live()["CHANNEL"] == 2  # it is counted as long as it is not ended
        assert len(other.encode(FRAME) + other.flush()) == 1
        with encoder(timeout=10) as third:
            assert len(third.encode(FRAME) + third.flush()) == 1
        assert sim.hung_calls(function) == 1
        assert isinstance(timed(enc.close)[1], venc.AclTimeoutError)  # called again, it waits again
    end_well(enc)
    other.close()


@pytest.mark.parametrize("call", ["submit", "submit_async", "encode_future"])
def test_close_is_bounded_while_a_thread_is_inside_a_send(call):
    sim = simulator.shared()
    enc = encoder()
    with sim.hanging_call(interface.SEND) as wait_hung:
        thread = started(getattr(enc, call), FRAME)
        wait_hung()
        seconds, error = timed(lambda: close(enc))
        assert BOUND <= seconds < BOUND + SLACK
        assert isinstance(error, venc.AclTimeoutError)
        assert f"{interface.SEND} has not returned" in str(error)
        assert f"{BOUND:g} s" in str(error)
        assert sim.hung_calls(interface.SEND) == 1
    outcome(thread)
    end_well(enc)


def test_calls_beside_a_send_that_never_returns_keep_their_bounds():
    sim = simulator.shared()
    enc = encoder(depth=2, queue=2)
    with sim.hanging_call(interface.SEND) as wait_hung:
        thread = started(enc.submit, FRAME)
        wait_hung()
        for call in (
            lambda: enc.submit(FRAME, timeout=0.05),
            lambda: enc.receive(timeout=0.05),
            lambda: enc.submit_many([FRAME] * 8, timeout=0.05),
            lambda: enc.encode(FRAME),
            enc.flush,
        ):
            seconds, error = timed(call)
            assert isinstance(error, venc.AclTimeoutError), error
            assert seconds < BOUND + SLACK
        assert enc.stats.in_flight >= 1
        if interface.V2:  # the channel that is there changes, and not while the send is inside
            seconds, error = timed(lambda: enc.reconfigure(bitrate=500_000))
            assert isinstance(error, venc.AclTimeoutError), error
            assert seconds < BOUND + SLACK
        else:
            assert enc.reconfigure(bitrate=500_000) >= 0
        assert sim.hung_calls(interface.SEND) == 1
    outcome(thread)
    end_well(enc)


OPENING = [
    "aclrtGetDeviceCount",
    "aclrtGetSocName",
    "aclrtGetVersion",
    "aclrtCreateContext",
    *interface.opening(),
    interface.CREATE,
    interface.MALLOC,
]


@pytest.mark.parametrize("function", OPENING)
def test_opening_is_bounded_although_a_call_never_returns(function):
    sim = simulator.shared()
    with sim.hanging_call(function) as wait_hung:
        seconds, error = timed(encoder)
        wait_hung()
        assert isinstance(error, venc.AclTimeoutError), error
        assert seconds < BOUND + SLACK
        assert f"{BOUND:g} s" in str(error)
    eventually(lambda: core.live()["DEVICE"] == 0)
    with encoder(timeout=10) as enc:
        assert len(enc.encode(FRAME) + enc.flush()) == 1


def test_library_that_does_not_load_is_given_up_in_time(tmp_path):
    """A constructor of the vendor's that never returns costs the thread that runs it, and the bound is kept."""
    hung = "__attribute__((constructor)) static void build(void) { for (;;) sleep(1); }"
    lib = fake_cann.install(tmp_path, code=hung)
    program = f"""
import os
import time
import ascend_venc as venc
begin = time.monotonic()
for _ in range(2):
    try:
        venc.Encoder(128, 128, backend={str(lib / "libascendcl.so")!r}, timeout=0.3)
    except venc.AclTimeoutError as error:
        print("not open within 0.3 s" in str(error))
print(time.monotonic() - begin < 0.6 + {SLACK}, flush=True)
os._exit(0)  # exit() would wait for the dynamic loader's lock
"""
    done = processes.run(program, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\nTrue\nTrue\n", "")


SICK = """
import sys, threading
sys.path.insert(0, {tests!r})
import ascend_venc as venc
from ascend_venc._lowlevel import core
from helpers import simulator
core.open_library("sim")
sim, frame = simulator.shared(), bytes(128 * 192)

def use(device):
    with venc.Encoder(128, 128, codec="h264", backend="sim", device=device, timeout=30) as enc:
        assert len(enc.encode(frame) + enc.flush()) == 1

used = venc.Encoder(128, 128, codec="h264", backend="sim", device=0, timeout=30)
with sim.hanging_call(sys.argv[1]) as wait_hung:
    opening = threading.Thread(target=use, args=(1,))
    opening.start()
    wait_hung()
    use(2)  # another device
    use(0)  # one that is open
    used.encode(frame)
    used.flush()
    used.close()
    use(3)
    assert sim.hung_calls() == 1
opening.join(20)
assert not opening.is_alive()
print("nobody waited")
"""


@pytest.mark.parametrize("function", ["aclrtGetDeviceCount", "aclInit", "aclrtCreateContext", *interface.opening()])
def test_device_that_does_not_open_delays_no_other(function, request):
    program = SICK.format(tests=str(request.config.rootpath / "tests"))
    if function == "aclInit":  # of the second device: the first has made it already, and the runtime says so
        program = program.replace("use(3)", "pass")
    done = processes.run(program, function, env={"ASCEND_VENC_SIM_DEVICES": 4}, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "nobody waited\n", "")


def test_report_thread_that_never_returns_costs_its_own_device_only(request):
    program = SICK.format(tests=str(request.config.rootpath / "tests")).replace(
        "with sim.hanging_call(sys.argv[1]) as wait_hung:\n    opening = threading.Thread(target=use, args=(1,))",
        "sick = venc.Encoder(128, 128, codec='h264', backend='sim', device=1, timeout=2)\n"
        f"with sim.hanging_call({interface.GET!r}) as wait_hung:\n"
        "    sick.submit(frame)\n"
        "    def close():\n"
        "        try:\n            sick._close(warn=False)\n        except venc.AclTimeoutError:\n            pass\n"
        "    opening = threading.Thread(target=close)",
    )
    done = processes.run(program, env={"ASCEND_VENC_SIM_DEVICES": 4}, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "nobody waited\n", "")


# ---- a device that is gone ----


def lose_with_frames_in_flight(sim, enc):
    for _ in range(2):
        enc.submit(FRAME)
    eventually(lambda: enc._channel.stats()["in_flight"] == 2)


@pytest.mark.parametrize("code", [507010, 507899])
def test_close_on_a_lost_device_returns_at_once(code):
    """EOS and DestroyChannel would never return: nobody processes reports."""
    sim = simulator.shared()
    enc = encoder(timeout=60)
    with sim.options(stall=1), sim.dead_reports(code):
        lose_with_frames_in_flight(sim, enc)
        with pytest.raises(venc.AclError) as caught:
            enc.flush()
        assert caught.value.code == code
        assert outcome(started(close, enc)) is None  # within 10 s, of 60 that it might wait
        assert enc.closed
        assert core.live()["CHANNEL"] == 1
        with pytest.raises(venc.EncoderClosedError):
            enc.submit(FRAME)
    end_well(enc)
    del enc
    eventually(lambda: core.live()["CHANNEL"] == 0)


def test_frames_that_come_back_after_the_time_out_end_the_channel():
    sim = simulator.shared()
    enc = encoder()
    with sim.options(stall=1):
        for _ in range(2):
            enc.submit(FRAME)
        seconds, error = timed(lambda: close(enc))
        assert isinstance(error, venc.AclTimeoutError)
        assert f"2 frame(s) are still in the device after {BOUND:g} s" in str(error)
        assert seconds < BOUND + SLACK
        assert core.live()["CHANNEL"] == 1
    eventually(lambda: core.live()["CHANNEL"] == 0)


def test_destroy_that_fails_is_raised_by_the_close_that_waits():
    sim = simulator.shared()
    enc = encoder(timeout=10)
    enc.encode(FRAME)
    enc.flush()
    with sim.failing_call(interface.DESTROY, after=True), pytest.raises(venc.AclError) as caught:
        enc.close()
    assert (caught.value.code, caught.value.call) == (507899, interface.DESTROY)
    enc.close()


def test_destroy_that_fails_is_raised_by_the_close_that_waits_beside_other_calls():
    """A close that was given up has left the end to whoever looks; but not while another close waits."""
    sim = simulator.shared()
    main, looked = threading.main_thread(), []
    enc = encoder(timeout=20)
    enc.encode(FRAME)
    enc.flush()

    def look(signum, frame):  # inside that close, as a call of another thread would
        sim.lib.aclsim_release_hung()
        eventually(lambda: core.live()["CHANNEL"] == 0)
        stream.let_go_of_ended()
        looked.append(signum)

    def strike():
        eventually(lambda: is_inside(main, "_end_close"))
        signal.pthread_kill(main.ident, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, look)
    try:
        with sim.failing_call(interface.DESTROY, after=True), sim.hanging_call(interface.DESTROY):
            with pytest.raises(venc.AclTimeoutError):
                enc._channel.close(0)
            thread = started(strike)
            with pytest.raises(venc.AclError) as caught:
                close(enc)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert (outcome(thread), looked) == (None, [signal.SIGUSR1])
    assert (caught.value.code, caught.value.call) == (507899, interface.DESTROY)
    assert core.live()["TICKET"] == 0


def test_destroy_that_fails_behind_an_encoder_that_nobody_closed_is_warned_of():
    sim = simulator.shared()
    enc = encoder(timeout=10)
    with sim.failing_call(interface.DESTROY, after=True):
        with pytest.warns(ResourceWarning, match="unclosed"):
            del enc
        eventually(lambda: core.live()["CHANNEL"] == 0)
        with pytest.warns(RuntimeWarning, match="nobody waited for ended with 507899"), encoder(timeout=10) as other:
            other.encode(FRAME)
            other.flush()


def test_warning_of_a_failed_end_has_its_own_reason_whatever_fails_meanwhile(monkeypatch):
    sim, explain = simulator.shared(), errors.explain

    def interrupted(code):  # by a signal handler, or the collector, with calls of its own
        assert waitset.WaitSet().take(0) == []
        return explain(code)

    monkeypatch.setattr(errors, "explain", interrupted)
    enc = encoder(timeout=10)
    with sim.failing_call(interface.DESTROY, after=True):
        with pytest.warns(ResourceWarning, match="unclosed"):
            del enc
        eventually(lambda: core.live()["CHANNEL"] == 0)
        with pytest.warns(RuntimeWarning, match="nobody waited for ended with 507899") as caught:
            stream.let_go_of_ended()
    assert "no channel made progress" not in str(caught[0].message)


def test_warning_that_is_an_exception_leaves_the_others_to_be_warned_of():
    sim = simulator.shared()
    with encoder(timeout=10) as other:
        with sim.failing_call(interface.DESTROY, after=True, persistent=True):
            for _ in range(2):
                enc = encoder(timeout=10)
                with pytest.warns(ResourceWarning, match="unclosed"):
                    del enc
            eventually(lambda: core.live()["CHANNEL"] == 1)
        for _ in range(2):
            with warnings.catch_warnings():
                warnings.simplefilter("error", RuntimeWarning)
                with pytest.raises(RuntimeWarning, match="nobody waited for ended with 507899"):
                    other.submit(FRAME)
        assert other.submit(FRAME) == 0
        other.flush()


# ---- the process's end ----

EXIT = """
import os, sys, time, threading, warnings
sys.path.insert(0, {tests!r})
import ascend_venc as venc
from ascend_venc._lowlevel import core
from helpers import interface, simulator
warnings.simplefilter("ignore")
core.open_library("sim")
sim, frame, function, count = simulator.shared(), bytes(128 * 192), sys.argv[1], int(sys.argv[2])
encoders = [venc.Encoder(128, 128, codec="h264", backend="sim", depth=2, timeout=20) for _ in range(count)]
sim.set_options(wait_limit_ms=0)
if function == "stall":
    sim.set_options(stall=1)
elif function == "lost":
    sim.set_options(stall=1)
    sim.aclsim_fail_call(interface.REPORT.encode(), 1, 507010, 1)
elif function != "nothing":
    sim.aclsim_hang_call(function.encode(), 1, 1)

def use(enc):
    try:
        enc.submit(frame)
        enc.receive(30)
    except venc.VencError:
        pass

if function == "aclrtCreateContext":
    threading.Thread(target=lambda: venc.Encoder(128, 128, backend="sim", device=1), daemon=True).start()
elif function == interface.MALLOC:
    threading.Thread(target=lambda: venc.Encoder(128, 128, backend="sim"), daemon=True).start()
for enc in encoders:
    threading.Thread(target=use, args=(enc,), daemon=True).start()
if function in (interface.SEND, "aclrtCreateContext", interface.MALLOC):
    sim.wait_hung(function)
elif function in ("stall", "lost"):
    until = time.monotonic() + 10
    while any(enc._channel.stats()["submitted"] == 0 for enc in encoders) and time.monotonic() < until:
        time.sleep(0.001)
print(time.monotonic(), flush=True)
"""

NEVER = [
    "nothing",
    "stall",
    "lost",
    interface.DESTROY,
    interface.SEND,
    interface.REPORT,
    "aclrtDestroyContext",
    interface.of("aclrtUnSubscribeReport", "hi_mpi_sys_close_epoll"),
    interface.MALLOC,
    interface.FREE,
    "aclrtCreateContext",
    "aclFinalize",
]


@pytest.mark.parametrize("function", NEVER)
def test_process_exits_whatever_never_returns(function, request):
    """One second in all, for any number of channels; two with Python's own end, and the machine may be busy."""
    program = EXIT.format(tests=str(request.config.rootpath / "tests"))
    done = processes.run(program, function, 8, env={"ASCEND_VENC_SIM_DEVICES": 2}, timeout=60)
    seconds = time.monotonic() - float(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert seconds < 2 + SLACK


def test_exit_waits_for_all_channels_together(request):
    program = EXIT.format(tests=str(request.config.rootpath / "tests"))
    took = {}
    for count in (1, 24):
        done = processes.run(program, "stall", count, timeout=60)
        took[count] = time.monotonic() - float(done.stdout)
        assert (done.returncode, done.stderr) == (0, "")
    assert took[24] < took[1] + 2 + SLACK  # one after the other it would be 24 s


# ---- others are not waited for ----


def test_close_does_not_wait_for_the_futures_of_another_encoder():
    sim = simulator.shared()
    busy, idle = encoder(timeout=30), encoder(timeout=30)
    with sim.options(stall=1):
        waiting = busy.encode_future(FRAME)
        assert idle.stats.in_flight == 0
        assert outcome(started(close, idle)) is None
        assert not waiting.done()
    assert waiting.result(10).frame_index == 0
    close(busy)


def test_threads_that_call_close_at_once_all_return():
    for _ in range(20):
        enc = encoder(timeout=10)
        together = threading.Barrier(3)

        def end(enc=enc, together=together):
            together.wait(10)
            enc.close()

        assert [outcome(thread) for thread in [started(end) for _ in range(3)]] == [None] * 3


def test_waits_of_other_threads_end_with_close():
    enc = encoder(timeout=30)
    threads = [started(enc.receive), started(enc.receive_many)]
    eventually(lambda: is_inside(threads[0], "receive") and is_inside(threads[1], "receive_many"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        enc.close()
    assert [type(outcome(thread)) for thread in threads] == [venc.EncoderClosedError] * 2
