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
from ascend_venc.media.container import _is_list
from ascend_venc.media.waiting import Stalled, Worker
from helpers import clips, processes
from helpers.waiting import eventually, outcome, started


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


# In a process of its own, whose end is bounded, for a reader that might wait for ever.
UNTIL_SILENT = """
import sys
from ascend_venc.errors import MediaError
from ascend_venc.media import open_video
size = (128, 128) if sys.argv[1].endswith("nv12") else None
try:
    with open_video(sys.argv[1], size=size, timeout=float(sys.argv[2])) as source: list(source)
except MediaError as error: print(error)
"""


@pytest.mark.parametrize("name", ["a.y4m", "a.nv12", "a.mkv"])
def test_fifo_that_nobody_writes_to_ends_with_its_time_out(tmp_path, name):
    os.mkfifo(tmp_path / name)
    done = processes.run(UNTIL_SILENT, tmp_path / name, 0.2, timeout=30)
    assert (done.stdout, done.stderr, done.returncode) == ("nothing came for 0.2 s (timeout)\n", "", 0)


@pytest.mark.parametrize("timeout", [None, 60])
@pytest.mark.parametrize("size", [None, (128, 128)])
def test_fifo_whose_writer_comes_late_is_read_to_its_end(tmp_path, timeout, size):
    path = tmp_path / ("a.nv12" if size else "a.y4m")
    os.mkfifo(path)
    reading, data = threading.Event(), clips.nv12(128, 128, 0) * 3 if size else clips.y4m(frames=3)

    def read():
        reading.set()
        with open_video(path, size=size, timeout=timeout) as source:
            return len(list(source))

    reader = started(read)
    assert reading.wait(10)
    with open(path, "wb") as writer:
        for begin in range(0, len(data), 10_000):
            writer.write(data[begin : begin + 10_000])
            writer.flush()
    assert outcome(reader, 60) == 3


def playlist(folder, stream, end=""):
    (folder / "a.ts").write_bytes(stream)
    path = folder / "a.m3u8"
    path.write_text(f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:4\n#EXTINF:4.0,\na.ts\n{end}")
    return path


def test_playlist_that_names_no_end_is_live_and_one_that_does_is_a_file(tmp_path, stream):
    with open_video(playlist(tmp_path, stream), timeout=60) as source:
        assert (source.live, source.path) == (True, None)
        assert source.moments() is None
    path = playlist(tmp_path, stream, "#EXT-X-ENDLIST\n")
    with open_video(path, timeout=60) as source:
        assert (source.live, source.path) == (False, str(path))
        assert len(source.moments()) == len(list(source)) == 100
    with open_video(path, timeout=60, start=2) as source:
        assert len(list(source)) == 50


def test_time_out_and_signal_end_the_wait_for_what_a_playlist_does_not_name_yet(tmp_path, stream):
    path = playlist(tmp_path, stream)
    done = processes.run(UNTIL_SILENT, path, 2, timeout=30)
    assert (done.stdout, done.stderr, done.returncode) == ("nothing came for 2 s (timeout)\n", "", 0)
    program = (
        "import sys\nfrom ascend_venc.media import open_video\n"
        "try:\n"
        "    with open_video(sys.argv[1]) as source:\n"
        "        for number, frame in enumerate(source):\n"
        "            if number == 80: print('ready', flush=True)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    process, output, errors, _ = processes.interrupt_when(program, "ready", path, timeout=30)
    assert (process.returncode, output, errors) == (0, "interrupted\n", "")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("#EXTM3U\n", True),
        ("ffconcat version 1.0\nfile a.ts\n", True),
        ("v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\n", True),
        ('<?xml version="1.0"?>\n<MPD type="dynamic">', True),
        ("YUV4MPEG2 W2 H2", False),
        ("", False),
    ],
)
def test_file_that_names_other_sources_is_known_by_its_beginning(tmp_path, text, named):
    (tmp_path / "a").write_text(text)
    assert _is_list(str(tmp_path / "a")) is named


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
