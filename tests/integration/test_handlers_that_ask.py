# SPDX-License-Identifier: Apache-2.0
"""Counters and rings, asked by a signal's handler or a forked child where another call of theirs is half done."""

import os

import pytest

from helpers import processes

SETUP = """
import os, signal, sys, threading, warnings
import ascend_venc as venc
from ascend_venc import stats, stats_socket
what = sys.argv[1]
frame = bytes(128 * 192)
enc = venc.Encoder(128, 128, codec="h264", backend="sim")
ring = venc.media.PacketRing(10, max_bytes=1).open(enc, None, (128, 128))
packets = enc.encode(frame) + enc.flush() + enc.encode(frame, key_frame=True) + enc.flush()
ring.write(packets[0], pts=0, duration=1)

def keep():
    for number, packet in enumerate(packets):
        ring.write(packet, pts=number, duration=1)

def look():
    assert ring.duration > 0

calls = {
    "prometheus": stats.prometheus,
    "another encoder": lambda: venc.Encoder(128, 128, codec="h264", backend="sim").close(),
    "ring's duration": look,
    "writing to a ring": keep,
    "publish": stats_socket.publish,
    "withdraw": stats_socket.withdraw,
}
functions = ("register", "numbered", "duration", "write", "publish", "_publish", "_own_folder", "withdraw")
"""

HANDLER = (
    SETUP
    + """
others = [look if "ring" in what else stats.prometheus, *(calls[name] for name in ("publish", "withdraw"))]
struck = 0
for other in others:
    def trace(frame, event, argument):
        global struck
        if frame.f_code.co_name not in functions or "ascend_venc" not in frame.f_code.co_filename:
            return None
        if event == "line":
            struck += 1
            sys.settrace(None)
            frame.f_trace = None
            signal.raise_signal(signal.SIGUSR1)
            frame.f_trace = trace
            sys.settrace(trace)
        return trace

    signal.signal(signal.SIGUSR1, lambda *_: other())
    if what == "withdraw":
        stats_socket.publish()
    sys.settrace(trace)
    calls[what]()
    sys.settrace(None)
    if what in ("publish", "withdraw"):
        there = os.path.exists(stats_socket._path)
        assert there == (stats_socket._listening is not None), (what, other)
        if there:
            assert stats_socket.read(stats_socket._path, 20)["encoders"]
        if other is not stats_socket.publish and other is not stats_socket.withdraw:
            assert there == (what == "publish")
        stats_socket.withdraw()
assert struck >= 3, struck
enc._close(warn=False)
"""
)

CHILD = (
    SETUP
    + """
inside, go_on = threading.Event(), threading.Event()
lines = 0

def trace(frame, event, argument):
    global lines
    if frame.f_code.co_name not in functions or "ascend_venc" not in frame.f_code.co_filename:
        return None
    if event == "line":
        lines += 1
        if lines == int(sys.argv[2]):
            inside.set()
            go_on.wait(60)
    return trace

def run():
    sys.settrace(trace)
    calls[what]()
    sys.settrace(None)
    inside.set()

thread = threading.Thread(target=run)
thread.start()
inside.wait(60)
warnings.filterwarnings("ignore", "This process .* is multi-threaded")  # CPython 3.12 and newer: that is what is tested
child = os.fork()
if child == 0:
    signal.alarm(30)
    stats.prometheus()
    look()
    stats_socket.publish()
    os._exit(7)
status = os.waitpid(child, 0)[1]
go_on.set()
thread.join()
assert os.WIFEXITED(status) and os.WEXITSTATUS(status) == 7, status
enc._close(warn=False)
"""
)

CALLS = ["prometheus", "another encoder", "ring's duration", "writing to a ring", "publish", "withdraw"]


@pytest.fixture
def folder(tmp_path):
    return {"XDG_RUNTIME_DIR": str(tmp_path)}


@pytest.mark.sim_only
@pytest.mark.parametrize("what", CALLS)
def test_signal_handler_asks_at_each_line_of_what_it_interrupts(what, folder):
    done = processes.run(HANDLER, what, env=folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.sim_only
@pytest.mark.parametrize("line", [2, 3])
@pytest.mark.parametrize("what", CALLS)
def test_forked_child_asks_where_a_thread_of_its_parent_is_half_through(what, line, folder):
    done = processes.run(CHILD, what, line, env=folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


UNSTARTED = """
import logging, sys, threading
import ascend_venc as venc
logging.basicConfig(stream=sys.stdout, format="%(message)s")
start = threading.Thread.start

def refuse(thread):
    if thread.name == "ascend-venc-stats":
        raise RuntimeError("can't start new thread")
    start(thread)

threading.Thread.start = refuse
with venc.Encoder(128, 128, codec="h264", backend="sim") as enc:
    print(len(enc.encode(bytes(128 * 192)) + enc.flush()))
"""


@pytest.mark.sim_only
def test_encoder_opens_where_the_thread_of_the_counters_cannot_start(folder):
    done = processes.run(UNSTARTED, env=folder | {"ASCEND_VENC_STATS": "1"})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "$ASCEND_VENC_STATS: the counters are not shown: can't start new thread\n1\n"
    assert [name for _, _, names in os.walk(folder["XDG_RUNTIME_DIR"]) for name in names] == []
