# SPDX-License-Identifier: Apache-2.0
"""`ascend-venc encode` of files and streams as they are found: the right film with exit code 0, else one line."""

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from fractions import Fraction

import numpy as np
import pytest

from ascend_venc import Encoder
from ascend_venc.cli import encode, ending, interruption, main
from helpers import clips, processes


def command(*args):
    return [sys.executable, "-m", "ascend_venc", "encode", *map(str, args)]


def one_line(text):
    text = text if isinstance(text, str) else text.decode()
    assert text.startswith("ascend-venc: ") and text.count("\n") == 1 and "Traceback" not in text, text
    return text


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.mark.parametrize("rate", [Fraction(300), Fraction(480), Fraction(1000), Fraction(1, 2), Fraction(30000, 1001)])
@pytest.mark.parametrize("source", ["a.mp4", "a.y4m"])
def test_rate_beyond_the_rate_control_keeps_its_times(backend, tmp_path, out, capsys, source, rate):
    path = tmp_path / source
    if source == "a.y4m":
        path.write_bytes(clips.y4m(frames=6, tags=f"F{rate.numerator}:{rate.denominator}"))
    else:
        pictures = [clips.av_frame(clips_nv12(index)) for index in range(6)]
        clips.write_pictures(path, pictures, codec="mpeg4", time_base=1 / rate, rate=rate)
    assert main(["encode", str(path), str(out / "a.mp4"), "--backend", backend, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["fps"] == pytest.approx(float(rate))
    facts, times, _ = clips.read_video(out / "a.mp4")
    assert times == [index / rate for index in range(6)]
    assert abs(facts["duration"] - 6 / rate) <= Fraction(1, 1000)


def clips_nv12(index):
    import numpy as np

    return np.frombuffer(clips.nv12(128, 128, index), np.uint8).reshape(192, 128)


@pytest.mark.parametrize("name", ["a.ts", "a.mpg"])
def test_recordings_put_together_follow_each_other(backend, tmp_path, out, name):
    part = clips.write_video(tmp_path / name, range(25), Fraction(1, 25), codec="mpeg2video").read_bytes()
    (tmp_path / f"twice{name}").write_bytes(part * 2)
    assert main(["encode", str(tmp_path / f"twice{name}"), str(out / "a.mp4"), "--backend", backend]) == 0
    facts, times, _ = clips.read_video(out / "a.mp4")
    assert times == [Fraction(index, 25) for index in range(50)]
    assert facts["duration"] == 2


def test_gap_in_the_middle_of_matroska_is_noticed_through_ffmpegs_log(backend, tmp_path, out, capsys):
    path = clips.write_video(tmp_path / "a.mkv", range(60), Fraction(1, 25), options={"g": "1"})
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    path.write_bytes(data)
    assert main(["encode", str(path), str(out / "a.mp4"), "--backend", backend]) == 1
    assert "a.mkv: frame " in one_line(capsys.readouterr().err)
    assert os.listdir(out) == []


def test_damaged_film_ends_with_1_or_says_how_many_frames_are(backend, tmp_path, out, capsys):
    path = clips.write_video(tmp_path / "a.mp4", range(30), Fraction(1, 25), options={"g": "5"})
    data = bytearray(path.read_bytes())
    at = data.index(b"mdat") + 4
    data[at + 2000 : at + 2100] = b"\x5a" * 100
    path.write_bytes(data)
    args = ["encode", str(path), str(out / "a.mp4"), "--backend", backend]
    assert main(args) == 1
    line = one_line(capsys.readouterr().err)
    assert "a.mp4: frame" in line and ("--tolerant" in line or "cannot be decoded" in line)
    assert main([*args, "--tolerant", "--json"]) == 0
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert report["damaged"] >= 1
    assert f"{report['damaged']} frames of it are damaged" in one_line(captured.err)


@pytest.mark.parametrize("name", ["photo.jpg", "a.avi"])
def test_jpeg_whose_data_end_before_the_picture_does_is_damaged(backend, tmp_path, out, capsys, name):
    noise = np.random.default_rng(0)
    frames = [clips.av_frame(noise.integers(0, 256, (192, 128), np.uint8), "yuvj420p") for _ in range(3)]
    whole = clips.write_pictures(tmp_path / "a.avi", frames, codec="mjpeg").read_bytes()
    begin = whole.index(b"\xff\xd8\xff")
    end = whole.index(b"\xff\xd9", begin)
    path = tmp_path / name
    if name == "photo.jpg":
        path.write_bytes(whole[begin : (begin + end) // 2])
    else:
        path.write_bytes(whole[: (begin + end) // 2] + b"\xff\xd9" + whole[(begin + end) // 2 + 2 :])
    args = ["encode", str(path), str(out / "a.mp4"), "--backend", backend]
    assert main(args) == 1
    assert "frame 0 is damaged: its data end before the picture does" in one_line(capsys.readouterr().err)
    assert main([*args, "--tolerant"]) == 0
    assert "1 frames of it are damaged" in one_line(capsys.readouterr().err)


def test_pyavs_log_is_left_as_it_was(backend, tmp_path, out):
    import av.logging

    path = clips.write_video(tmp_path / "a.mp4", range(3), Fraction(1, 25))
    before = av.logging.get_level()
    assert main(["encode", str(path), str(out / "a.mp4"), "--backend", backend]) == 0
    assert av.logging.get_level() == before


def test_what_is_not_carried_over_is_said_in_one_note_and_in_json(backend, tmp_path, out, capsys):
    path = tmp_path / "a.y4m"
    path.write_bytes(clips.y4m(frames=3, tags="F25:1 It"))
    assert main(["encode", str(path), str(out / "a.mp4"), "--backend", backend, "--json"]) == 0
    captured = capsys.readouterr()
    assert "not carried over: interlacing" in one_line(captured.err)
    assert "interlacing" in json.loads(captured.out)["left_out"][0]
    assert main(["encode", str(path), str(out / "b.mp4"), "--backend", backend, "-q"]) == 0
    assert capsys.readouterr().err == ""


# ---- outputs ---------------------------------------------------------------------------------------------------------


def test_pipe_takes_what_needs_no_seeking(backend, tmp_path, out):
    (tmp_path / "a.y4m").write_bytes(clips.y4m(frames=5))
    for name in ("a.ts", "a.mkv", "a.h264"):
        os.mkfifo(out / name)
        received = []
        reader = threading.Thread(target=lambda path=out / name, into=received: into.append(path.read_bytes()))
        reader.start()
        done = subprocess.run(
            command(tmp_path / "a.y4m", out / name, "--backend", backend),
            env=processes.environment(),
            capture_output=True,
            check=False,
            timeout=60,
        )
        reader.join(30)
        assert (done.returncode, done.stderr) == (0, b"")
        (tmp_path / name).write_bytes(received[0])
        assert len(clips.read_video(tmp_path / name)[2]) == 5


def test_pipe_for_mp4_is_refused_before_the_work(backend, tmp_path, out):
    (tmp_path / "a.y4m").write_bytes(clips.y4m(frames=5))
    os.mkfifo(out / "a.mp4")
    descriptor = os.open(out / "a.mp4", os.O_RDONLY | os.O_NONBLOCK)
    try:
        done = subprocess.run(
            command(tmp_path / "a.y4m", out / "a.mp4", "--backend", backend),
            env=processes.environment(),
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 1
        line = one_line(done.stderr)
        assert f"{out / 'a.mp4'}: mp4 needs a file that can seek" in line
        with contextlib.suppress(BlockingIOError):
            assert os.read(descriptor, 100) == b""
    finally:
        os.close(descriptor)


# ---- sources that stall ----------------------------------------------------------------------------------------------


class Server:
    """Sends some bytes to the first who connects, and then nothing, until the test is over."""

    def __init__(self, data):
        self._data = data
        self._end = threading.Event()
        self.connected = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"tcp://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)

    def _serve(self):
        connection, _ = self._socket.accept()
        with connection:
            connection.sendall(self._data)
            self.connected.set()
            self._end.wait(90)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._end.set()
        self._thread.join(10)
        self._socket.close()


@pytest.fixture(scope="module")
def stream(tmp_path_factory):
    """A transport stream of frames of noise: more than what FFmpeg collects of the output before it writes."""
    path = tmp_path_factory.mktemp("stream") / "a.ts"
    return clips.write_video(path, range(1200), Fraction(1, 25), codec="mpeg2video").read_bytes()


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("sent", [False, True])
def test_signal_ends_the_wait_for_a_stalled_network(backend, out, stream, signum, code, sent):
    """The server never sends another byte nor closes: only the signal can have ended the command."""
    with Server(stream if sent else b"") as server:
        process = subprocess.Popen(
            command(server.url, out / "a.mp4", "--backend", backend),
            env=processes.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            assert server.connected.wait(60)
            # With data, until frames are encoded; without, it waits within FFmpeg from now on.
            deadline = time.monotonic() + 60
            while sent and not any(entry.stat().st_size for entry in out.iterdir()):
                assert time.monotonic() < deadline and process.poll() is None
                time.sleep(0.02)
            process.send_signal(signum)
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()
            process.communicate()
    assert process.returncode == code
    assert b"Traceback" not in errors
    if sent:
        line = one_line(errors)
        kept = len(clips.read_video(out / "a.mp4")[2])
        assert kept > 0 and f"{kept} frames" in line and str(out / "a.mp4") in line
    else:
        assert errors == b"" and os.listdir(out) == []


@pytest.mark.parametrize("step", range(40))
def test_signal_at_any_line_of_the_loop_keeps_what_was_encoded(backend, tmp_path, out, capsys, monkeypatch, step):
    """The signal comes `step` lines of Python after the third frame went in; no frame that went in is lost."""
    source = tmp_path / "a.y4m"
    source.write_bytes(clips.y4m(frames=12))
    taken, left = 0, step

    class Counting(Encoder):
        def encode(self, *args, **options):
            nonlocal taken
            packets = super().encode(*args, **options)
            taken += 1
            return packets

    monkeypatch.setattr(encode, "Encoder", Counting)
    monkeypatch.setattr(encode, "PATIENCE", 60.0)

    def trace(frame, event, argument):
        nonlocal left
        if frame.f_code.co_filename not in (encode.__file__, interruption.__file__):
            return None
        if event == "line" and taken >= 3:
            left -= 1
            if left == -1:
                signal.raise_signal(signal.SIGTERM)
        return trace

    sys.settrace(trace)
    try:
        code = main(["encode", str(source), str(out / "a.mp4"), "--backend", backend, "--keep-partial"])
    finally:
        sys.settrace(None)
    assert left < 0 and code == 143 and interruption._shields == [] == interruption._held
    line = one_line(capsys.readouterr().err)
    kept = len(clips.read_video(out / "a.mp4")[2])
    assert kept == taken < 12 and f"interrupted; {kept} frames" in line


def test_time_out_of_a_stalled_network_is_an_error_and_what_came_is_kept(backend, out, stream, capsys):
    with Server(stream) as server:
        assert main(["encode", server.url, str(out / "a.mp4"), "--backend", backend, "--timeout", "1"]) == 1
    line = one_line(capsys.readouterr().err)
    kept = len(clips.read_video(out / "a.mp4")[2])
    assert kept > 300
    assert "nothing came for 1 s" in line and f"{kept} frames" in line and server.url in line


def test_time_out_of_a_network_that_sends_nothing_leaves_nothing(backend, out, capsys):
    with Server(b"") as server:
        assert main(["encode", server.url, str(out / "a.mp4"), "--backend", backend, "--timeout", "0.5"]) == 1
    assert "nothing came for 0.5 s" in one_line(capsys.readouterr().err)
    assert os.listdir(out) == []


@pytest.mark.parametrize("option", ["--timeout", "--device-timeout"])
@pytest.mark.parametrize("value", ["0", "-1", "soon", "1e999", "nan", "9" * 400])
def test_time_out_that_is_none_is_wrong_usage(capsys, option, value):
    with pytest.raises(SystemExit) as caught:
        main(["encode", "in.y4m", "out.h264", f"{option}={value}"])
    assert caught.value.code == 2
    assert option in capsys.readouterr().err


@pytest.mark.sim_only
def test_device_that_stalls_ends_after_the_given_time(tmp_path, out):
    """The device takes 30 s for a frame; the command says so long before."""
    (tmp_path / "a.y4m").write_bytes(clips.y4m(frames=2))
    done = subprocess.run(
        command(tmp_path / "a.y4m", out / "a.h264", "--backend", "sim", "--device-timeout", "0.5"),
        env=processes.environment(ASCEND_VENC_SIM_OPTIONS="encode_time_us=30000000"),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    one_line(done.stderr)
    assert os.listdir(out) == []


@pytest.mark.parametrize("rate", ["1e999999999", "1e-999999999", "1e400", "1e-400", "9" * 400])
def test_rate_that_is_none_is_wrong_usage(capsys, rate):
    with pytest.raises(SystemExit) as caught:
        main(["encode", "in.y4m", "out.h264", "-r", rate])
    assert caught.value.code == 2
    assert "fps is" in capsys.readouterr().err


@pytest.mark.parametrize("step", range(0, 120, 6))
def test_second_signal_takes_nothing_away_of_what_is_kept(backend, tmp_path, out, capsys, monkeypatch, step):
    """It comes `step` lines behind the first one, as from `timeout`, which tells the process and then its group."""
    source = tmp_path / "a.y4m"
    source.write_bytes(clips.y4m(frames=12))
    taken, left = 0, step

    class Counting(Encoder):
        def encode(self, *args, **options):
            nonlocal taken
            packets = super().encode(*args, **options)
            taken += 1
            return packets

    monkeypatch.setattr(encode, "Encoder", Counting)
    files = {module.__file__ for module in (encode, ending, interruption)}

    def trace(frame, event, argument):
        nonlocal left
        if frame.f_code.co_filename not in files:
            return None
        if event == "line" and taken >= 3 and left > -2:
            if left == step:
                signal.raise_signal(signal.SIGINT)
            left -= 1
            if left == -1:
                left -= 1
                signal.raise_signal(signal.SIGTERM)
        return trace

    sys.settrace(trace)
    try:
        code = main(["encode", str(source), str(out / "a.mkv"), "--backend", backend, "--keep-partial"])
    finally:
        sys.settrace(None)
    assert code in (130, 143) and interruption._shields == [] == interruption._held
    line = one_line(capsys.readouterr().err)
    assert 1 <= len(clips.read_video(out / "a.mkv")[2]) <= taken and "interrupted; " in line


@pytest.mark.sim_only
@pytest.mark.parametrize("frames", [0, 3])
def test_signal_beside_a_stalled_device_ends_the_command_in_a_moment(out, frames):
    """Of a pipe, what was encoded is kept; that takes no more patience with the device than what is not."""
    read, write = os.pipe()
    fcntl.fcntl(write, 1031, 1 << 20)  # F_SETPIPE_SZ, which Python 3.9 does not name: for all of it
    # The frame behind the first ones is lost in the device, which then never comes to its end.
    program = (
        "import sys\n"
        f"sys.path.insert(0, {os.path.dirname(os.path.dirname(__file__))!r})\n"
        "from helpers import simulator\n"
        "from ascend_venc.cli import main\n"
        "import ascend_venc\n"
        "ascend_venc.Encoder(128, 128, codec='h265', fps=25, backend='sim').close()\n"
        f"with simulator.shared().failing_frame(simulator.FRAME_DROP, nth={frames + 1}, persistent=True):\n"
        "    sys.exit(main(sys.argv[1:]))\n"
    )
    args = ["encode", "-", str(out / "a.mkv"), "--backend", "sim"]
    with open(read, "rb") as source, open(write, "wb", buffering=0) as sender:
        process = subprocess.Popen(
            [sys.executable, "-c", program, *args],
            env=processes.environment(),
            stdin=source,
            stderr=subprocess.PIPE,
        )
        try:
            sender.write(clips.y4m(frames=20))
            deadline = time.monotonic() + 60
            while frames and not any(entry.stat().st_size for entry in out.iterdir()):
                assert time.monotonic() < deadline and process.poll() is None
                time.sleep(0.02)
            time.sleep(0 if frames else 3)
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
            elapsed = time.monotonic() - began
        finally:
            process.kill()
            process.communicate()
    assert process.returncode == 130
    assert elapsed < 8  # on a busy machine; by itself 30 s, which is what the device may take
    if frames:
        assert f"interrupted; {frames} frames" in one_line(errors)
        assert len(clips.read_video(out / "a.mkv")[2]) == frames
    else:
        assert errors == b"" and os.listdir(out) == []
