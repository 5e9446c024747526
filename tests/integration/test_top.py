# SPDX-License-Identifier: Apache-2.0
"""The counters of a process as other programs of its user see them, and `ascend-venc top`."""

import errno
import io
import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

import ascend_venc as venc
from ascend_venc import stats_socket
from ascend_venc.cli import main, top
from helpers import processes, terminal

FRAME = bytes(128 * 128 * 3 // 2)


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    """A runtime folder of the test's own. A socket's path has 107 characters at most, wherever the tests' files are."""
    with tempfile.TemporaryDirectory(dir=tmp_path if len(str(tmp_path)) <= 70 else "/tmp") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        monkeypatch.setattr(stats_socket, "folders", lambda: [f"{folder}/ascend-venc"])
        monkeypatch.delenv(stats_socket.VARIABLE, raising=False)
        yield Path(folder) / "ascend-venc"
        stats_socket.withdraw()


def listener():
    return [thread for thread in threading.enumerate() if thread.name == "ascend-venc-stats"]


def ended(thread):
    thread.join(20)
    return not thread.is_alive()


def test_nothing_is_there_unless_it_is_asked_for(backend, runtime, monkeypatch):
    with venc.Encoder(128, 128, backend=backend):
        assert not runtime.exists() and not listener()
    monkeypatch.setenv(stats_socket.VARIABLE, "0")
    with venc.Encoder(128, 128, backend=backend):
        assert not runtime.exists() and not listener()
    monkeypatch.setenv(stats_socket.VARIABLE, "1")
    with venc.Encoder(128, 128, backend=backend):
        assert [path.name for path in runtime.iterdir()] == [f"{os.getpid()}.sock"]
        (thread,) = listener()
    stats_socket.withdraw()
    stats_socket.withdraw()
    assert list(runtime.iterdir()) == [] and ended(thread)


def test_socket_is_this_users_alone_and_tells_the_counters(backend, runtime):
    path = stats_socket.publish()
    assert stats_socket.publish() == path
    assert stat.S_IMODE(os.stat(runtime).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stats_socket.sockets() == [path]
    with venc.Encoder(128, 128, codec="h264", backend=backend, name="door", bitrate="1M") as enc:
        for _ in range(3):
            enc.encode(FRAME)
        enc.flush()
        told = stats_socket.read(path, 10)
        (one,) = told["encoders"]
        found = enc.stats
    assert told["pid"] == os.getpid()
    assert (one["name"], one["codec"], one["bitrate"], one["width"], one["fps"]) == ("door", "h264", 1000000, 128, 25.0)
    assert (one["encoded"], one["bytes_out"], one["dropped"]) == (3, found.bytes_out, found.dropped)
    assert one["latency"] == {"p50": found.latency.p50, "p99": found.latency.p99, "max": found.latency.max}
    assert stats_socket.read(path, 10)["encoders"] == []


def test_reader_that_takes_nothing_keeps_no_other_one_for_ever(backend, runtime, monkeypatch):
    def snapshot():
        monkeypatch.setattr(stats_socket, "_PATIENCE", 60)  # for the one behind it, which takes all that is told
        return {"pid": 1, "encoders": ["x" * (4 << 20)]}

    monkeypatch.setattr(stats_socket, "_PATIENCE", 0.05)
    monkeypatch.setattr(stats_socket, "snapshot", snapshot)
    path = stats_socket.publish()
    with socket.socket(socket.AF_UNIX) as idle:
        idle.connect(path)
        assert stats_socket.read(path, 60)["pid"] == 1


def of_a_program_at_its_limit(monkeypatch, errors, pause):
    """Sockets whose `accept` fails as often as there are errors."""

    class Socket(socket.socket):
        def accept(self):
            if errors:
                failing.set()
                raise errors.pop()
            return super().accept()

    failing = threading.Event()
    monkeypatch.setattr(stats_socket.socket, "socket", Socket)
    monkeypatch.setattr(stats_socket, "_PAUSE", pause)
    return failing


def test_program_at_its_limit_of_open_files_is_seen_again_when_it_has_some(runtime, monkeypatch):
    numbers = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ECONNABORTED)
    errors = [MemoryError(), *(OSError(number, os.strerror(number)) for number in numbers)]
    of_a_program_at_its_limit(monkeypatch, errors, 0.01)
    assert stats_socket.read(stats_socket.publish(), 20)["pid"] == os.getpid()
    assert errors == []


def test_program_at_its_limit_can_withdraw_at_once(runtime, monkeypatch):
    failing = of_a_program_at_its_limit(monkeypatch, [OSError(errno.EMFILE, "")] * 9, 3600)
    stats_socket.publish()
    (thread,) = listener()
    assert failing.wait(20)
    stats_socket.withdraw()
    assert ended(thread)


@pytest.mark.parametrize("kind", ["open", "link", "file"])
def test_folder_that_others_may_enter_is_refused(runtime, kind):
    if kind == "open":
        runtime.mkdir(mode=0o755)
        runtime.chmod(0o755)
    elif kind == "link":
        (runtime.parent / "elsewhere").mkdir(mode=0o700)
        runtime.symlink_to(runtime.parent / "elsewhere")
    else:
        runtime.write_text("")
    with pytest.raises(PermissionError, match="chmod 700"):
        stats_socket.publish()
    assert not listener()


def test_encoder_opens_though_its_counters_cannot_be_shown(backend, runtime, monkeypatch, caplog):
    runtime.write_text("")
    monkeypatch.setenv(stats_socket.VARIABLE, "1")
    with venc.Encoder(128, 128, backend=backend):
        pass
    assert "$ASCEND_VENC_STATS: the counters are not shown" in caplog.text


def test_socket_of_a_process_that_is_gone_is_taken_away(runtime):
    runtime.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(runtime / "1.sock"))
    assert stats_socket.read(stats_socket.sockets()[0], 1) is None
    assert list(runtime.iterdir()) == []


def test_socket_that_somebody_deleted_is_made_again(backend, runtime):
    path = stats_socket.publish()
    (before,) = listener()
    os.unlink(path)
    assert stats_socket.publish() == path and ended(before)
    with venc.Encoder(128, 128, backend=backend, name="door"):
        assert [one["name"] for one in stats_socket.read(path, 10)["encoders"]] == ["door"]


@pytest.mark.parametrize(
    ("encoding", "shown"), [("ascii", b"caf\\xe9"), ("latin-1", b"caf\xe9"), ("utf-8", b"caf\xc3\xa9")]
)
def test_name_that_the_terminal_cannot_show_is_an_escape(backend, runtime, encoding, shown):
    stats_socket.publish()
    with venc.Encoder(128, 128, backend=backend, name="café"):
        done = subprocess.run(
            [sys.executable, "-m", "ascend_venc", "top", "--once", "--interval", "0.1"],
            env=processes.environment(PYTHONIOENCODING=encoding),
            capture_output=True,
            check=False,
            timeout=60,
        )
    assert (done.returncode, done.stderr) == (0, b"") and shown in done.stdout


def test_child_of_fork_shows_nothing_until_it_asks(runtime):
    """In a process of its own, whose end takes the socket away, too."""
    program = (
        "import os, sys, warnings\n"
        "warnings.simplefilter('ignore')  # from Python 3.12 on fork has one where there are threads\n"
        "from ascend_venc import stats_socket\n"
        "path = stats_socket.publish()\n"
        "pid = os.fork()\n"
        "if not pid:\n"
        "    mine = stats_socket.publish()\n"
        "    ok = mine != path and stats_socket.read(mine, 10)['pid'] == os.getpid()\n"
        "    stats_socket.withdraw()\n"
        "    os._exit(0 if ok and os.path.exists(path) else 1)\n"
        "assert os.waitpid(pid, 0)[1] == 0\n"
        "assert stats_socket.read(path, 10)['pid'] == os.getpid()\n"
    )
    done = processes.run(program, env={"XDG_RUNTIME_DIR": str(runtime.parent)})
    assert (done.returncode, done.stderr) == (0, "")
    assert list(runtime.iterdir()) == []


def test_top_shows_each_encoder_once(backend, runtime, capsys):
    assert main(["top", "--once"]) == 1
    assert capsys.readouterr().err == (
        "ascend-venc: no process of this user shows its encoders: start it with ASCEND_VENC_STATS=1, or call "
        "ascend_venc.stats_socket.publish() in it\n"
    )
    stats_socket.publish()
    with venc.Encoder(128, 128, codec="h264", backend=backend, name="front door", bitrate="1M") as enc:
        enc.encode(FRAME)
        enc.flush()
        assert main(["top", "--once", "--interval", "0.01", str(os.getpid())]) == 0
        title, row = capsys.readouterr().out.splitlines()
        assert title.split()[:4] == ["PID", "NAME", "SIZE", "CODEC"]
        assert row.split()[:5] == [str(os.getpid()), "front", "door", "128x128", "h264"]
        assert enc.backend in row
        assert main(["top", "--json", "--interval", "0.01"]) == 0
        (one,) = json.loads(capsys.readouterr().out)["encoders"]
        assert (one["pid"], one["name"], one["encoded"], one["measured_fps"]) == (os.getpid(), "front door", 1, 0.0)
        assert main(["top", "--once", "1"]) == 1
        assert "process 1 does not show its encoders" in capsys.readouterr().err


def told(encoded, count, **more):
    one = {
        "encoder": 0,
        "name": "front door",
        "backend": "sim:Ascend310P3",
        "codec": "h264",
        "width": 1920,
        "height": 1080,
        "fps": 30.0,
        "bitrate": 4000000,
        "encoded": encoded,
        "bytes_out": count,
        "in_flight": 2,
        "ready": 0,
        "dropped": {"no_room": 1, "frame_replaced": 2},
        "failed": 0,
        "latency": {"p50": 0.0123, "p99": 0.25},
    }
    return {7: {"pid": 7, "program": "cameras.py", "encoders": [{**one, **more}]}}


def test_rates_are_those_between_two_looks():
    (one,) = top._encoders(told(100, 10_000), told(160, 1_010_000), 2.0)
    assert (one["measured_fps"], one["measured_bitrate"]) == (30.0, 4_000_000)
    (new,) = top._encoders({}, told(160, 1_010_000), 2.0)
    assert (new["measured_fps"], new["measured_bitrate"]) == (0.0, 0)


def test_table_keeps_what_matters_most_where_it_is_narrow():
    encoders = top._encoders(told(100, 10_000), told(160, 1_010_000), 2.0)
    wide = top._table(encoders, 200)
    assert wide[1].split("  ")[-1] == "sim:Ascend310P3" and wide[1].startswith("  7  front door  1920x1080")
    assert "12.3 ms  250 ms" in wide[1] and "4.00 Mbit/s" in wide[1]
    assert top._table(encoders, 80) == [
        "PID  NAME         FPS  OF         RATE      P50     P99  READY  DROP  FAIL",
        "  7  front door  30.0  30  4.00 Mbit/s  12.3 ms  250 ms      0     3     0",
    ]
    assert top._table(encoders, 40) == ["NAME         FPS         RATE  DROP", "front door  30.0  4.00 Mbit/s     3"]
    assert top._table(encoders, 9) == ["NAME", "front doo"]
    assert top._table([], 80) == ["no encoder is open"]


def test_page_is_drawn_on_the_other_screen_until_the_last_process_ends(monkeypatch, capsys):
    looks = [told(160, 1_010_000), told(220, 2_010_000), {}]
    shown = io.StringIO()
    at = [0.0]
    screens = []

    def sleep(seconds):
        at[0] += seconds
        screens.append(terminal.Screen(60).write(seen()).lines)

    def seen():
        return shown.getvalue().replace("\n", "\r\n")  # as a terminal has it

    clock = SimpleNamespace(monotonic=lambda: at[0], sleep=sleep, strftime=lambda form: "12:00:00")
    monkeypatch.setattr(top, "time", clock)
    monkeypatch.setattr(top, "_look", lambda pids: looks.pop(0))
    monkeypatch.setattr(top, "shutil", SimpleNamespace(get_terminal_size=lambda: (60, 24)))
    monkeypatch.setattr(top.sys, "stdout", shown)
    top._page(SimpleNamespace(interval=2.0, pids=[]), told(100, 10_000))
    assert [screen[0] for screen in screens] == ["ascend-venc top  12:00:00  1 process(es), 1 encoder(s)"] * 3
    assert [" 0.0 " in screen[2] for screen in screens] == [True, False, False]
    assert all("30.0" in screen[2] and "4.00 Mbit/s" in screen[2] for screen in screens[1:])
    after = terminal.Screen(60).write(seen())
    assert after.lines == [] and after.cursor_shown
    assert capsys.readouterr().err == "ascend-venc: the last process has ended\n"
