# SPDX-License-Identifier: Apache-2.0
"""acl.util.start_thread and stop_thread, and threads of Python's own in their place."""

import io
import signal
import threading
import time

import pytest

from helpers import pyacl
from helpers.waiting import eventually

ESRCH, EDEADLK = 3, 35


def run(acl, function, argument=None):
    thread, ret = acl.util.start_thread(function, argument)
    assert ret == 0
    return thread


def test_function_gets_its_one_argument_as_it_is_given(initialised):
    got = []
    for argument in ([1, 2], (3,), "text", 5, {}, False):
        assert initialised.util.stop_thread(run(initialised, lambda *args: got.append(args), argument)) == 0
    assert got == [([1, 2],), ((3,),), ("text",), (5,), ({},), (False,)]


def test_function_with_none_gets_no_argument(initialised):
    got = []
    assert initialised.util.stop_thread(run(initialised, lambda *args: got.append(args), None)) == 0
    assert got == [()]


def test_thread_id_is_the_threads_own_ident(initialised):
    got = []
    thread = run(initialised, lambda: got.append(threading.get_ident()))
    assert initialised.util.stop_thread(thread) == 0
    assert got == [thread]


def test_stop_thread_waits_for_the_function_and_lets_it_run(initialised):
    done = []

    def work():
        for _ in range(20):
            time.sleep(0.01)
        done.append(True)

    assert initialised.util.stop_thread(run(initialised, work)) == 0
    assert done == [True]


def test_stop_thread_of_an_unknown_or_stopped_thread_gives_an_errno(initialised):
    thread = run(initialised, lambda: None)
    assert initialised.util.stop_thread(thread) == 0
    for number in (thread, 0, 1, 12345, 2**64 - 1, threading.get_ident()):
        assert initialised.util.stop_thread(number) == ESRCH


def test_stop_thread_of_the_own_thread_gives_an_errno(initialised):
    codes = []
    ready = threading.Event()

    def work():
        ready.wait()
        codes.append(initialised.util.stop_thread(threads[0]))

    threads = [run(initialised, work)]
    ready.set()
    assert initialised.util.stop_thread(threads[0]) == 0
    assert codes == [EDEADLK]


def test_id_of_a_finished_thread_is_not_given_out_again_before_it_is_stopped(initialised):
    threads = [run(initialised, lambda: None) for _ in range(20)]
    time.sleep(0.05)
    assert len(set(threads)) == 20
    assert [initialised.util.stop_thread(thread) for thread in threads] == [0] * 20


def test_thread_stopped_by_two_threads_at_once_is_stopped_by_one(initialised):
    release = threading.Event()
    thread = run(initialised, release.wait)
    codes = []
    stoppers = [threading.Thread(target=lambda: codes.append(initialised.util.stop_thread(thread))) for _ in range(4)]
    for stopper in stoppers:
        stopper.start()
    time.sleep(0.05)
    release.set()
    for stopper in stoppers:
        stopper.join(10)
    assert sorted(codes) == [0] + [ESRCH] * 3


def test_exception_is_printed_when_it_happens_and_raised_by_stop_thread(initialised, monkeypatch):
    def work():
        raise KeyError("missing")

    printed = io.StringIO()  # not capsys: what is written while it reads and empties its buffer is lost
    monkeypatch.setattr("sys.stderr", printed)
    thread = run(initialised, work)
    eventually(lambda: "KeyError: 'missing'\n" in printed.getvalue())
    assert "Traceback" in printed.getvalue()
    with pytest.raises(RuntimeError) as raised:
        initialised.util.stop_thread(thread)
    assert str(raised.value) == "exception=KeyError,msg=thread call failed;"
    assert initialised.util.stop_thread(thread) == ESRCH


def test_system_exit_ends_the_thread_without_a_traceback(initialised, capsys):
    def work():
        raise SystemExit(3)

    with pytest.raises(RuntimeError, match=r"^exception=SystemExit,msg=thread call failed;$"):
        initialised.util.stop_thread(run(initialised, work))
    assert capsys.readouterr().err == ""


def test_signal_handling_stays_as_it_is(initialised):
    before = signal.getsignal(signal.SIGINT)
    assert initialised.util.stop_thread(run(initialised, lambda: None)) == 0
    assert signal.getsignal(signal.SIGINT) is before


def test_arguments_are_released_when_the_function_has_returned(initialised):
    import sys

    class Payload:
        pass

    def work(argument):
        pass

    payload = Payload()
    before = sys.getrefcount(payload), sys.getrefcount(work)
    thread = run(initialised, work, payload)
    eventually(lambda: (sys.getrefcount(payload), sys.getrefcount(work)) == before)
    assert initialised.util.stop_thread(thread) == 0


def test_python_thread_serves_as_report_thread(acl, context):
    running = [True]

    def loop():
        pyacl.ok(acl.rt.set_context(context))
        while running[0]:
            if acl.rt.process_report(50) == pyacl.THREAD_SUBSCRIBE:
                time.sleep(0.001)

    thread = threading.Thread(target=loop)
    thread.start()
    made = pyacl.Encoding(acl, context, thread_id=thread.ident)
    try:
        made.create()
        for index in range(5):
            pyacl.ok(made.send(index))
        pyacl.ok(made.end_of_stream())
        assert [user_data for user_data, _, _ in made.packets] == list(range(5))
    finally:
        made.close()
        running[0] = False
        thread.join()


def test_report_thread_that_creates_a_context_of_its_own_works(acl, context):
    """The vendor's page does so instead of binding the program's context."""
    running = [True]

    def loop(args):
        own = pyacl.ok(acl.rt.create_context(0))
        while running[0]:
            if acl.rt.process_report(50) == pyacl.THREAD_SUBSCRIBE:
                time.sleep(0.001)
        pyacl.ok(acl.rt.destroy_context(own))

    thread = run(acl, loop, [])
    made = pyacl.Encoding(acl, context, thread_id=thread)
    try:
        made.create()
        pyacl.ok(made.send(0))
        pyacl.ok(made.end_of_stream())
        assert len(made.packets) == 1
    finally:
        made.close()
        running[0] = False
        assert acl.util.stop_thread(thread) == 0
