# SPDX-License-Identifier: Apache-2.0
"""Inputs that stall: time-outs, interrupted waits, and what is live."""

import contextlib
import os
import re
import signal
import socket
import sys
import threading
import time
from fractions import Fraction

import pytest

from ascend_venc.media import ContainerReader, MediaError, RawReader, Y4MReader, open_video
from ascend_venc.media.waiting import Stalled, Worker
from helpers import clips, processes
from helpers.waiting import eventually


class Server:
    """Accepts one connection, sends some bytes, and keeps silent until it is closed."""

    def __init__(self, data=b""):
        self._data = data
        self._end = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"tcp://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        try:
            connection, _ = self._socket.accept()
        except OSError:
            return
        with connection:
            connection.sendall(self._data)
            self._end.wait(60)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._end.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # a program that was interrupted early has not come
        self._thread.join(10)
        self._socket.close()


@pytest.fixture
def stream(tmp_path):
    """A transport stream of 100 frames."""
    return clips.write_video(tmp_path / "a.ts", range(100), Fraction(1, 25), codec="mpeg2video").read_bytes()


def test_worker_gives_results_and_errors():
    worker = Worker()
    assert worker.call(lambda: 5, None, lambda: 0.0) == 5
    with pytest.raises(KeyError):
        worker.call(lambda: {}["x"], None, lambda: 0.0)
    done = []
    worker.end(lambda: done.append(True))
    assert done == [True]


def test_worker_that_is_given_up_ends_after_its_call():
    worker = Worker()
    go, ended = threading.Event(), threading.Event()
    begin = time.monotonic()
    with pytest.raises(Stalled):
        worker.call(lambda: go.wait(60), 0.05, lambda: begin)
    worker.end(ended.set)  # does not wait
    assert not ended.is_set()
    go.set()
    assert ended.wait(10)


def test_worker_makes_no_call_that_was_given_up_before_it_had_begun():
    worker, begun, go, made = Worker(), threading.Event(), threading.Event(), []
    with pytest.raises(Stalled):
        worker.call(lambda: begun.set() or go.wait(60), 1, lambda: 0.0 if begun.is_set() else time.monotonic())
    with pytest.raises(Stalled):
        worker.call(lambda: made.append("too late"), 0.05, lambda: 0.0)
    go.set()
    ended = threading.Event()
    worker.end(ended.set)
    assert ended.wait(10)
    assert made == []


def test_worker_whose_call_is_left_at_any_line_is_ended_without_a_wait():
    """An exception, such as a signal's, at each Python line of `call`: `end` never waits for the call behind it."""

    def raised_at(step, worker, go):
        lines = []

        def trace(frame, event, argument):
            if frame.f_code is not Worker.call.__code__:
                return None
            if event == "line":
                lines.append(frame.f_lineno)
                if len(lines) == step:
                    go.wait(0.05)  # the thread gets its chance to take the call, where there is one by now
                    raise KeyboardInterrupt
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            worker.call(lambda: go.wait(60), None, lambda: 0.0)
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(before)
        return False

    for step in range(1, 8):  # the seventh is within the loop that waits
        worker, go, ended = Worker(), threading.Event(), threading.Event()
        assert raised_at(step, worker, go)
        release = threading.Timer(30, go.set)
        release.start()
        worker.end(ended.set)
        assert not go.is_set(), f"end waited for the call that was left at line {step}"
        release.cancel()
        go.set()
        assert ended.wait(10)


def test_stalled_network_ends_with_its_time_out(stream):
    with Server() as server, pytest.raises(MediaError, match=re.escape("nothing came for 0.3 s")):
        ContainerReader(server.url, timeout=0.3)
    # Long enough for the server's thread and the reader's to come to it on a busy machine.
    with Server(stream) as server, ContainerReader(server.url, timeout=3) as source:
        assert source.live and source.frame_count is None
        frames = []
        with pytest.raises(MediaError, match=re.escape("nothing came for 3 s")):
            for frame in source:
                frames.append(frame)
        assert len(frames) > 80


@pytest.mark.parametrize(
    "reader", [Y4MReader, lambda path, **options: RawReader(path, 128, 128, **options), ContainerReader]
)
def test_stalled_pipe_ends_with_its_time_out(tmp_path, reader):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)  # and nothing is written for the rest
    try:
        os.write(writer, clips.y4m(frames=1)[:25_000] if reader is not ContainerReader else b"\x47" * 100)
        with pytest.raises(MediaError, match=re.escape("nothing came for 0.2 s")), reader(path, timeout=0.2) as source:
            assert source.live
            list(source)
    finally:
        os.close(writer)

    def ended():
        with contextlib.suppress(OSError):  # a thread that comes to opening the pipe only now waits for a writer
            os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
        return all(thread.name != "ascend-venc-input" for thread in threading.enumerate())

    eventually(ended)


def test_file_is_not_live(tmp_path):
    (tmp_path / "a.y4m").write_bytes(clips.y4m(frames=2))
    (tmp_path / "a.nv12").write_bytes(bytes(128 * 192))
    clips.write_video(tmp_path / "a.ts", range(3), Fraction(1, 25), codec="mpeg2video")
    for name, size in (("a.y4m", None), ("a.nv12", (128, 128)), ("a.ts", None)):
        with open_video(tmp_path / name, size=size) as source:
            assert not source.live


@pytest.mark.parametrize("sent", [False, True])
def test_signal_ends_the_wait_for_a_stalled_network(tmp_path, stream, sent):
    program = (
        "import sys\nfrom ascend_venc.media import open_video\n"
        "try:\n"
        "    if sys.argv[2] == '0': print('ready', flush=True)\n"
        "    with open_video(sys.argv[1]) as source:\n"
        "        for number, frame in enumerate(source):\n"
        "            if number == 80: print('ready', flush=True)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    with Server(stream if sent else b"") as server:
        process, output, errors, _ = processes.interrupt_when(program, "ready", server.url, int(sent), timeout=30)
    assert (process.returncode, output, errors) == (0, "interrupted\n", "")


def test_main_thread_of_a_program_that_ends_while_an_input_stalls_ends_too():
    program = (
        "import sys\nfrom ascend_venc.media import open_video\n"
        "from ascend_venc.errors import MediaError\n"
        "try: open_video(sys.argv[1], timeout=0.2)\n"
        "except MediaError as error: print(error)\n"
    )
    with Server() as server:
        done = processes.run(program, server.url, timeout=30)
    assert (done.stdout, done.stderr, done.returncode) == ("nothing came for 0.2 s (timeout)\n", "", 0)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
