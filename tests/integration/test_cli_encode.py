# SPDX-License-Identifier: Apache-2.0
"""`ascend-venc encode` as its user runs it: a process of its own, real files, a real terminal."""

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest

from helpers import annexb, decode, files, processes, video

COMMAND = [sys.executable, "-m", "ascend_venc"]


@pytest.fixture
def environment(backend):
    return processes.environment(ASCEND_VENC_BACKEND=backend)


@pytest.fixture
def run(environment, tmp_path):
    def run(*arguments, timeout=60, **options):
        return subprocess.run(
            [*COMMAND, *map(str, arguments)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            check=False,
            timeout=timeout,
            **options,
        )

    return run


# The command with the signals as a shell in the foreground gives them, whatever runs the tests.
RESET_SIGNALS = [
    sys.executable,
    "-c",
    "import runpy, signal\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "for number in (signal.SIGTERM, signal.SIGHUP): signal.signal(number, signal.SIG_DFL)\n"
    "runpy.run_module('ascend_venc', run_name='__main__', alter_sys=True)",
]


@contextlib.contextmanager
def started(command, *arguments, **options):
    """A running process with three pipes; gone, and its pipes closed, when the block is left."""
    process = subprocess.Popen(
        [*command, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            with contextlib.suppress(BrokenPipeError):  # what was still to be written
                pipe.close()


def silent(done):
    return (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def one_line(done):
    """The line on standard error of a run that has to end with exit code 1 and nothing else printed."""
    text = done.stderr.decode()
    assert (done.returncode, done.stdout) == (1, b""), text
    assert text.startswith("ascend-venc: ") and text.endswith("\n") and text.count("\n") == 1, text
    return text


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def y4m(tmp_path):
    path = tmp_path / "in.y4m"
    path.write_bytes(files.y4m(video.synthetic(160, 128, 10, watermark=True)))
    return path


def worst_psnr(frames):
    assert len(frames) == 60
    return min(video.psnr(a, b) for a, b in zip(video.clip(), frames))


def test_clip_to_bare_h265(run, tmp_path):
    assert silent(run("encode", video.CLIP, "out.h265", "-b", "2M"))
    stream = (tmp_path / "out.h265").read_bytes()
    units = annexb.access_units(stream, "h265")
    assert [i for i, unit in enumerate(units) if unit.is_idr] == [0, 50]
    assert worst_psnr(decode.frames(stream, "h265")) >= 30


def test_clip_to_mp4_with_every_option(run, tmp_path):
    done = run("encode", video.CLIP, "out.mp4", "-c", "h264", "--profile", "high", "-b", "1M", "--rc", "cbr", "--json")
    assert (done.returncode, done.stderr) == (0, b"")
    report = json.loads(done.stdout)
    assert {key: report[key] for key in ("codec", "profile", "size", "frames", "duration")} == {
        "codec": "h264",
        "profile": "high",
        "size": "640x360",
        "frames": 60,
        "duration": 2.4,
    }
    assert 0.85e6 <= report["bit_rate"] <= 1.15e6
    path = tmp_path / "out.mp4"
    assert files.video_facts(path) == files.video_facts(video.CLIP)
    found = decode.file_frames(path)
    assert [when for when, _ in found] == [when for when, _ in decode.file_frames(video.CLIP)]
    assert worst_psnr([frame for _, frame in found]) >= 28
    assert names(tmp_path) == ["out.mp4"]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "mov"])
def test_clip_in_each_container_has_the_clips_length(run, tmp_path, suffix):
    assert silent(run("encode", video.CLIP, f"out.{suffix}", "-c", "h264"))
    assert files.video_facts(tmp_path / f"out.{suffix}") == files.video_facts(video.CLIP)


def test_y4m_through_pipes(run, y4m):
    done = run("encode", "-", "-", "-c", "h264", input=y4m.read_bytes())
    assert (done.returncode, done.stderr) == (0, b"")
    assert [video.read_watermark(frame) for frame in decode.frames(done.stdout, "h264")] == list(range(10))


def test_several_y4m_files_in_one_pipe_are_refused_at_the_second(run, y4m):
    done = run("encode", "-", "-", input=y4m.read_bytes() * 2)
    assert done.returncode == 1
    assert b"frame 10 does not begin with FRAME" in done.stderr


@pytest.mark.parametrize("suffix", ["nv12", "nv21", "yuv"])
def test_raw_pixels_with_a_size(run, tmp_path, suffix):
    frames = video.synthetic(160, 128, 6, watermark=True, pixel_format="nv21" if suffix == "nv21" else "nv12")
    raw = b"".join(b"".join(files.planes_of(f)) if suffix == "yuv" else f.tobytes() for f in frames)
    (tmp_path / f"in.{suffix}").write_bytes(raw)
    assert silent(run("encode", f"in.{suffix}", "out.h264", "-s", "160x128", "-r", "30", "-b", "2M"))
    found = decode.frames((tmp_path / "out.h264").read_bytes(), "h264")
    expected = video.synthetic(160, 128, 6, watermark=True)
    assert min(video.psnr(a, b) for a, b in zip(expected, found)) >= 30
    assert len(found) == 6


def test_same_input_twice_gives_the_same_file(run, tmp_path, y4m):
    assert silent(run("encode", y4m, "a.mp4"))
    assert silent(run("encode", y4m, "b.mp4"))
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


# ---- bad input and output: one line, exit code 1, nothing left behind ------------------------------------------------


def test_truncated_y4m(run, tmp_path, y4m):
    y4m.write_bytes(y4m.read_bytes()[:-1000])
    assert "in.y4m: frame 9 is cut off" in one_line(run("encode", y4m, "out.mp4"))
    assert "standard input: frame 9 is cut off" in one_line(run("encode", "-", "o.mp4", input=y4m.read_bytes()))
    assert names(tmp_path) == ["in.y4m"]


@pytest.mark.parametrize(("size", "side"), [((161, 128), "width is 161"), ((160, 129), "height is 129")])
def test_odd_size(run, tmp_path, size, side):
    (tmp_path / "odd.y4m").write_bytes(b"YUV4MPEG2 W%d H%d F25:1\nFRAME\n" % size + bytes(40000))
    line = one_line(run("encode", "odd.y4m", "out.h264"))
    assert side in line and "even" in line
    assert names(tmp_path) == ["odd.y4m"]


@pytest.mark.parametrize("size", [(64, 64), (8000, 128)])
def test_size_outside_the_chips_range(run, tmp_path, size):
    (tmp_path / "in.y4m").write_bytes(b"YUV4MPEG2 W%d H%d F25:1\nFRAME\n" % size)
    line = one_line(run("encode", "in.y4m", "out.h264", "--backend", "sim:Ascend310P3"))
    assert "Ascend310P takes 128 to 4096" in line
    assert names(tmp_path) == ["in.y4m"]


def test_missing_input(run, tmp_path):
    for name in ("none.mp4", "none.y4m"):
        assert f"{name}: No such file or directory" in one_line(run("encode", name, "out.mp4"))
    assert names(tmp_path) == []


def test_input_without_frames(run, tmp_path):
    (tmp_path / "in.y4m").write_bytes(b"YUV4MPEG2 W160 H128 F25:1\n")
    for output in ("out.mp4", "out.h264", "-"):
        assert "in.y4m: there are no frames in it" in one_line(run("encode", "in.y4m", output))
    assert names(tmp_path) == ["in.y4m"]


def test_input_that_is_no_video(run, tmp_path):
    (tmp_path / "in.mp4").write_bytes(b"text" * 1000)
    assert "in.mp4: this is not a video" in one_line(run("encode", "in.mp4", "out.mp4"))


def test_directory_as_output(run, tmp_path, y4m):
    (tmp_path / "folder").mkdir()
    for output in ("folder", "folder/"):
        assert "it is a directory" in one_line(run("encode", y4m, output))


def test_unwritable_output(run, tmp_path, y4m):
    assert "none/out.mp4: it cannot be written: No such file" in one_line(run("encode", y4m, "none/out.mp4"))
    assert "it cannot be written" in one_line(run("encode", y4m, "/proc/out.mp4"))
    assert "it cannot be written: Not a directory" in one_line(run("encode", y4m, "in.y4m/out.mp4"))


@pytest.mark.parametrize("suffix", ["h264", "ts"])
def test_full_disk(run, tmp_path, y4m, suffix):
    (tmp_path / f"full.{suffix}").symlink_to("/dev/full")
    assert f"full.{suffix}: No space left on device" in one_line(run("encode", y4m, f"full.{suffix}", "-b", "2M"))


def test_existing_output_is_replaced_only_with_y(run, tmp_path, y4m):
    (tmp_path / "out.mp4").write_bytes(b"precious")
    assert "it exists already" in one_line(run("encode", y4m, "out.mp4"))
    assert (tmp_path / "out.mp4").read_bytes() == b"precious"
    assert silent(run("encode", y4m, "out.mp4", "-y"))
    assert files.video_facts(tmp_path / "out.mp4")[0] == 10
    assert names(tmp_path) == ["in.y4m", "out.mp4"]


def test_output_over_its_own_input(run, tmp_path):
    path = files.container(tmp_path / "a.mkv", [files.av_frame(f) for f in video.synthetic(160, 128, 3)])
    before = path.read_bytes()
    (tmp_path / "same.mkv").symlink_to(path)
    for output in ("a.mkv", "same.mkv"):
        assert "same file" in one_line(run("encode", "a.mkv", output, "-y"))
    assert path.read_bytes() == before


@pytest.mark.sim_only
def test_chip_without_an_encoder(run, tmp_path, y4m):
    line = one_line(run("encode", y4m, "out.mp4", "--backend", "sim:Ascend910"))
    assert "Ascend910" in line and "no video encoder" in line
    assert names(tmp_path) == ["in.y4m"]


# ---- interruption ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=["INT", "TERM", "HUP"]
)
@pytest.mark.parametrize("output", ["out.mp4", "out.h264"])
def test_signal_ends_it_quietly_and_removes_the_unfinished_file(environment, tmp_path, y4m, signum, code, output):
    with started(RESET_SIGNALS, "encode", "-", output, env=environment, cwd=tmp_path) as process:
        process.stdin.write(y4m.read_bytes())  # and no end: it waits for more
        process.stdin.flush()
        deadline = time.monotonic() + 20
        while not any(name.endswith(".part") for name in names(tmp_path)):
            assert process.poll() is None and time.monotonic() < deadline, "it does not begin"
            time.sleep(0.02)
        time.sleep(0.3)
        process.send_signal(signum)
        process.wait(20)
        out, err = process.stdout.read(), process.stderr.read()
    assert (process.returncode, out, err) == (code, b"", b"")
    assert names(tmp_path) == ["in.y4m"]


def test_reader_that_leaves_ends_it_quietly(environment, tmp_path, y4m):
    header, _, rest = y4m.read_bytes().partition(b"\n")
    with started(COMMAND, "encode", "-", "-", "-b", "4M", env=environment, cwd=tmp_path) as process:
        process.stdin.write(header + b"\n" + rest)
        process.stdin.flush()
        assert process.stdout.read(10)
        process.stdout.close()
        with pytest.raises(BrokenPipeError):
            for _ in range(200):
                process.stdin.write(rest)
                process.stdin.flush()
        process.wait(20)
        err = process.stderr.read()
    assert (process.returncode, err) == (141, b"")


# ---- terminal --------------------------------------------------------------------------------------------------------


def on_terminal(arguments, environment, folder):
    """Run with standard error on a terminal: (exit code, standard output, what the terminal got)."""
    leader, follower = pty.openpty()
    try:
        process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            cwd=folder,
            env=dict(environment, COLUMNS="120"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=follower,
        )
        os.close(follower)
        shown = b""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if select.select([leader], [], [], 0.1)[0]:
                try:
                    data = os.read(leader, 65536)
                except OSError:  # the last one who had it open is gone
                    break
                shown += data
        out = process.stdout.read()
        process.stdout.close()
        return process.wait(20), out, shown.decode()
    finally:
        os.close(leader)


def test_terminal_gets_progress_and_a_last_line(environment, tmp_path):
    frames = [video.clip()[i % 60] for i in range(180)]
    (tmp_path / "long.y4m").write_bytes(files.y4m(frames))
    code, out, shown = on_terminal(["encode", "long.y4m", "out.h265"], environment, tmp_path)
    assert (code, out) == (0, b"")
    drawn = [line for line in shown.split("\r") if "/180 frames" in line]
    assert drawn and all(part in drawn[-1] for part in ("%", "fps", "bit/s", "ETA"))
    last = shown.rstrip().splitlines()[-1]
    assert "ascend-venc: 180 frames (0:07) as h265 640x360" in last


def test_quiet_on_a_terminal_prints_nothing(environment, tmp_path, y4m):
    assert on_terminal(["encode", y4m, "out.h265", "-q"], environment, tmp_path) == (0, b"", "")


@pytest.mark.sim_only
def test_note_about_the_simulated_device_is_for_terminals_only(environment, tmp_path, y4m):
    env = dict(environment, ASCEND_VENC_BACKEND="auto", PYTHONWARNINGS="error")
    for variable in ("ASCEND_VENC_LIBRARY", "ASCEND_TOOLKIT_HOME", "ASCEND_HOME_PATH"):
        env.pop(variable, None)
    code, _, shown = on_terminal(["encode", y4m, "out.h265"], env, tmp_path)
    assert code == 0
    notes = [line for line in shown.replace("\r", "\n").splitlines() if "note:" in line]
    assert len(notes) == 1 and "simulated device" in notes[0]
    assert on_terminal(["encode", y4m, "out.h265", "-y", "-q"], env, tmp_path) == (0, b"", "")
    done = subprocess.run(
        [*COMMAND, "encode", str(y4m), "-"], env=env, capture_output=True, check=False, timeout=60, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(decode.frames(done.stdout, "h265")) == 10


def test_error_on_a_terminal_stands_on_a_line_of_its_own(environment, tmp_path, y4m):
    y4m.write_bytes(y4m.read_bytes()[:-1000])
    code, _, shown = on_terminal(["encode", y4m, "out.h265"], environment, tmp_path)
    assert code == 1
    assert shown.replace("\x1b[K", "").replace("\r\n", "\n").split("\r")[-1].startswith("ascend-venc: ")


# ---- info ------------------------------------------------------------------------------------------------------------


def test_info_says_what_would_encode(run, backend):
    done = run("info", "--json")
    assert (done.returncode, done.stderr) == (0, b"")
    facts = json.loads(done.stdout)
    assert facts["backend"] == backend.partition(":")[0]
    assert facts["devices"] >= 1
    assert os.path.isabs(facts["runtime_library"])
    text = run("info").stdout.decode()
    assert all(str(value) in text for value in (facts["backend"], facts["chip"], facts["runtime_library"]))


def test_info_without_a_usable_library_says_so_in_one_line(run, tmp_path):
    (tmp_path / "libascendcl.so").write_bytes(b"no library")
    assert "libascendcl.so" in one_line(run("info", "--backend", tmp_path / "libascendcl.so"))
