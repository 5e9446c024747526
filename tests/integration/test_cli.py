# SPDX-License-Identifier: Apache-2.0
"""The `ascend-venc` command as its user sees it: files, pipes, terminals, signals, one line for what goes wrong."""

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from ascend_venc._lowlevel import core
from ascend_venc.cli import main
from ascend_venc.media import open_video
from helpers import clips, processes, terminal

ROOT = Path(__file__).resolve().parents[2]
UNEVEN = [0, 40, 80, 200, 210, 213, 1000, 1040]  # ms


def environment(**extra):
    env = processes.environment(**extra)
    env.pop("PYTHONUNBUFFERED", None)  # it would hide what goes wrong when standard output is flushed at exit
    return env


def command(*args):
    return [sys.executable, "-m", "ascend_venc", *map(str, args)]


def run(*args, **kwargs):
    return subprocess.run(command(*args), env=environment(), capture_output=True, check=False, timeout=60, **kwargs)


def one_line(text):
    """Return the one line that explains what went wrong."""
    text = text if isinstance(text, str) else text.decode()
    assert text.startswith("ascend-venc: ") and text.count("\n") == 1 and text.endswith("\n"), text
    return text


@pytest.fixture
def clip(tmp_path):
    """20 frames at 25 fps in mp4, with B frames."""
    return clips.write_video(tmp_path / "in.mp4", range(20), Fraction(1, 25), options={"bf": "2"})


@pytest.fixture
def y4m(tmp_path):
    path = tmp_path / "in.y4m"
    path.write_bytes(clips.y4m(frames=10))
    return path


@pytest.fixture
def out(tmp_path):
    """A folder of its own, to see that nothing else is left there."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.mark.parametrize("codec", ["h264", "h265"])
@pytest.mark.parametrize("container", ["mp4", "mov", "mkv", "ts"])
def test_encode_file_to_container_has_the_frames_times_and_duration_of_the_input(backend, clip, out, codec, container):
    target = out / f"a.{container}"
    assert main(["encode", str(clip), str(target), "-c", codec, "-b", "2M", "--backend", backend]) == 0
    facts, times, pictures = clips.read_video(target)
    assert times == [Fraction(index, 25) for index in range(20)]
    assert facts["codec"] == {"h264": "h264", "h265": "hevc"}[codec]
    assert facts["size"] == (128, 128)
    assert facts["duration"] == Fraction(20, 25)
    for index, picture in enumerate(pictures):
        assert clips.psnr(picture, clips.i420(128, 128, index)[0]) > 25, index
    assert os.listdir(out) == [target.name]


@pytest.mark.parametrize("suffix", ["h264", "264", "h265", "265", "hevc"])
def test_encode_annexb_suffix_chooses_the_codec(backend, y4m, out, suffix):
    target = out / f"a.{suffix}"
    assert main(["encode", str(y4m), str(target), "--backend", backend]) == 0
    facts, _, pictures = clips.read_video(target)
    assert facts["codec"] == ("h264" if "264" in suffix else "hevc")
    assert len(pictures) == 10


def test_encode_options_reach_the_stream(backend, y4m, out):
    import av

    args = ["-c", "h264", "--profile", "main", "-g", "3", "-r", "30000/1001", "--rc", "cbr", "-b", "900k"]
    assert main(["encode", str(y4m), str(out / "a.mp4"), "--backend", backend, *args]) == 0
    with av.open(str(out / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert bytes(stream.codec_context.extradata)[1] == 77  # avcC: profile_idc
        assert stream.average_rate == Fraction(30000, 1001)
        packets = [packet for packet in container.demux(stream) if packet.size]
        assert [packet.is_keyframe for packet in packets] == [index % 3 == 0 for index in range(10)]


@pytest.mark.parametrize(("codec", "delimiter"), [("h264", b"\0\0\0\1\x09"), ("h265", b"\0\0\0\1\x46")])
def test_encode_writes_delimiters_where_they_are_asked_for(backend, y4m, out, codec, delimiter):
    for args, count in ((["--aud"], 10), ([], 0)):
        assert main(["encode", str(y4m), str(out / f"a.{codec}"), "--backend", backend, "-y", *args]) == 0
        assert (out / f"a.{codec}").read_bytes().count(delimiter) == count


def test_encode_variable_frame_rate_keeps_its_timestamps(backend, tmp_path, out):
    source = clips.write_video(tmp_path / "in.mkv", UNEVEN)
    assert main(["encode", str(source), str(out / "a.mp4"), "--backend", backend]) == 0
    assert clips.read_video(out / "a.mp4")[1] == [Fraction(pts, 1000) for pts in UNEVEN]


@pytest.mark.parametrize("suffix", ["nv12", "nv21", "yuv"])
def test_encode_raw_frames_show_the_same_picture(backend, tmp_path, out, suffix):
    import av

    if suffix == "yuv":
        data = b"".join(plane.tobytes() for index in range(6) for plane in clips.i420(128, 128, index))
    else:
        data = b"".join(clips.nv12(128, 128, index, swap=suffix == "nv21") for index in range(6))
    (tmp_path / f"in.{suffix}").write_bytes(data)
    args = [str(tmp_path / f"in.{suffix}"), str(out / "a.mp4"), "-s", "128x128", "-b", "4M", "-r", "30"]
    assert main(["encode", *args, "--backend", backend]) == 0
    with av.open(str(out / "a.mp4")) as container:
        pictures = [frame.to_ndarray(format="yuv420p") for frame in container.decode(video=0)]
    assert len(pictures) == 6
    for index, picture in enumerate(pictures):
        for plane, wanted in zip((picture[:128], picture[128:160], picture[160:]), clips.i420(128, 128, index)):
            assert clips.psnr(plane.reshape(wanted.shape), wanted) > 25


def test_encode_pipe_to_pipe_is_the_stream_and_nothing_else(backend, y4m, out):
    done = run("encode", "-", "-", "-c", "h264", "--backend", backend, "--json", input=y4m.read_bytes())
    assert done.returncode == 0, done.stderr
    (out / "a.h264").write_bytes(done.stdout)
    assert len(clips.read_video(out / "a.h264")[2]) == 10
    assert json.loads(done.stderr)["bytes"] == len(done.stdout)


def test_encode_json_tells_what_was_made(backend, clip, out):
    target = out / "a.h265"
    done = run("encode", clip, target, "--backend", backend, "--json", "-g", "8")
    assert (done.returncode, done.stderr) == (0, b"")
    facts = json.loads(done.stdout)
    assert facts["backend"].split(":")[0] == backend
    size = target.stat().st_size
    wanted = {
        "frames": 20,
        "bytes": size,
        "duration": 0.8,
        "bit_rate": round(size * 8 / 0.8),
        "key_frames": 3,
        "codec": "h265",
        "width": 128,
        "height": 128,
        "fps": 25.0,
        "output": str(target),
    }
    assert {key: facts[key] for key in wanted} == wanted


def test_encode_piped_is_silent_where_the_device_was_chosen(backend, y4m, out):
    done = run("encode", y4m, out / "a.h264", "--backend", backend)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.sim_only
@pytest.mark.parametrize("args", [["encode", "{y4m}", "{out}/a.h264"], ["run", "{program}"]])
def test_simulated_run_that_nobody_chose_says_so_in_a_line_wherever_standard_error_leads(tmp_path, y4m, out, args):
    (tmp_path / "program.py").write_text("import acl; acl.init(); acl.finalize()")
    args = [arg.format(y4m=y4m, out=out, program=tmp_path / "program.py") for arg in args]
    without = {"HOME": str(tmp_path), "ASCEND_VENC_BACKEND": ""}

    def stderr_of(*more, **env):
        done = subprocess.run(
            command(*args[:1], *more, *args[1:]),
            env=environment(**without, **env),
            capture_output=True,
            check=False,
            timeout=60,
        )
        return done.returncode, done.stderr

    code, text = stderr_of()
    assert code == 0
    line = one_line(text)
    assert "simulated device" in line and "libascendcl.so" in line and "ASCEND_HOME_PATH" in line
    (out / "a.h264").unlink(missing_ok=True)
    assert stderr_of("--backend", "sim") == (0, b"")
    (out / "a.h264").unlink(missing_ok=True)
    if args[0] == "encode":
        assert stderr_of("-q") == (0, b"")
        (out / "a.h264").unlink()
    code, text = stderr_of(ASCEND_VENC_LIBRARY="/nope/libascendcl.so")
    if args[0] == "encode":
        assert code == 1 and "$ASCEND_VENC_LIBRARY" in one_line(text)
        assert os.listdir(out) == []
    else:  # a program's own exception
        assert code == 1 and b"$ASCEND_VENC_LIBRARY" in text


@pytest.mark.sim_only
def test_info_and_json_tell_the_backend_and_why(tmp_path, y4m, out):
    without = {"HOME": str(tmp_path), "ASCEND_VENC_BACKEND": ""}
    for args in (["info", "--json"], ["encode", y4m, out / "a.h264", "--json"]):
        done = subprocess.run(command(*args), env=environment(**without), capture_output=True, check=False, timeout=60)
        facts = json.loads(done.stdout)
        assert facts["backend"] == "sim" and "libascendcl.so" in facts["backend_reason"]
    done = run("info", "--json", "--backend", "sim:Ascend910")
    facts = json.loads(done.stdout)
    assert facts["backend_reason"] == "chosen" and facts["video_encoder"].startswith("none")


def test_encode_the_committed_clip_equals_the_input(backend, out):
    source = ROOT / clips.CLIP
    wanted, wanted_times, wanted_pictures = clips.read_video(source)
    assert main(["encode", str(source), str(out / "a.mp4"), "-b", "2M", "--backend", backend]) == 0
    facts, times, pictures = clips.read_video(out / "a.mp4")
    assert times == wanted_times and len(pictures) == facts["frames"] == wanted["frames"] == 60
    assert (facts["size"], facts["duration"]) == (wanted["size"], wanted["duration"])
    assert min(clips.psnr(*pair) for pair in zip(pictures, wanted_pictures)) >= 30


def test_encode_twice_gives_the_same_file(backend, clip, out):
    for name in ("a.mp4", "b.mp4"):
        assert main(["encode", str(clip), str(out / name), "--backend", backend]) == 0
    assert (out / "a.mp4").read_bytes() == (out / "b.mp4").read_bytes()


def test_encode_of_two_y4m_files_in_one_pipe_is_refused_at_the_second(backend, y4m):
    done = run("encode", "-", "-", "--backend", backend, input=y4m.read_bytes() * 2)
    assert done.returncode == 1
    assert "standard input: frame 10 does not begin with FRAME" in one_line(done.stderr)


@pytest.mark.sim_only
def test_encode_on_a_chip_without_an_encoder_names_it(y4m, out, capsys):
    assert main(["encode", str(y4m), str(out / "a.mp4"), "--backend", "sim:Ascend910"]) == 1
    text = one_line(capsys.readouterr().err)
    assert "Ascend910" in text and "no video encoder" in text
    assert os.listdir(out) == []


def bad_inputs():
    """Yield (file name, its content or None for no file, more arguments, words of the message)."""
    whole = clips.y4m(frames=5)
    yield "missing.mp4", None, [], "No such file"
    yield "missing.y4m", None, [], "No such file"
    yield "empty.mp4", b"", [], "empty.mp4"
    yield "junk.mkv", b"junk" * 999, [], "junk.mkv"
    yield "cut.y4m", whole[:-9], [], "frame 4 is cut off"
    yield "none.y4m", clips.y4m(frames=0), [], "no frames"
    yield "none.nv12", b"", ["-s", "128x128"], "no frames"
    yield "cut.nv12", bytes(128 * 128 * 3 // 2 + 5), ["-s", "128x128"], "frame 1 is cut off"
    yield "odd.y4m", b"YUV4MPEG2 W129 H128 F25:1\nFRAME\n" + bytes(129 * 128 + 65 * 64 * 2), [], "even"
    yield "odd.nv12", bytes(99999), ["-s", "128x129"], "even"
    yield "small.y4m", clips.y4m(64, 64), [], "width is 64"
    yield "deep.y4m", b"YUV4MPEG2 W128 H128 F25:1 C420p10\n", [], "8 bit"
    yield "rateless.y4m", b"YUV4MPEG2 W128 H128 F0:0\nFRAME\n" + bytes(24576), [], "-r"
    yield "rate.y4m", b"YUV4MPEG2 W128 H128 F25:0\n", [], "25:0"
    yield "ok.y4m", whole, ["-b", "5"], "bitrate"
    yield "ok.y4m", whole, ["-g", "0"], "gop"
    yield "ok.y4m", whole, ["--profile", "high", "-c", "h265"], "profile"
    yield "ok.y4m", whole, ["--device", "99"], "device"
    yield "ok.y4m", whole, ["--backend", "/nowhere/libascendcl.so"], "/nowhere"


@pytest.mark.sim_only
@pytest.mark.parametrize(
    "case", list(bad_inputs()), ids=lambda case: "-".join([case[0], *case[2][:2]]).replace("/", "_")
)
def test_encode_bad_input_gives_one_line_and_leaves_nothing(tmp_path, out, capsys, case):
    name, content, more, words = case
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert main(["encode", str(tmp_path / name), str(out / "a.mp4"), "--backend", "sim", *more]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in one_line(captured.err)
    assert os.listdir(out) == []


@pytest.mark.parametrize(
    ("target", "words"),
    [("nowhere/a.mp4", "No such"), ("is.mp4", "exists"), ("taken", "taken/in.mp4: it is a directory")],
)
def test_encode_unusable_output_gives_one_line(backend, y4m, out, capsys, target, words):
    (out / "is.mp4").write_bytes(b"precious")
    (out / "taken" / "in.mp4").mkdir(parents=True)
    assert main(["encode", str(y4m), str(out / target), "--backend", backend]) == 1
    assert words in one_line(capsys.readouterr().err)
    assert (out / "is.mp4").read_bytes() == b"precious"
    assert sorted(os.listdir(out)) == ["is.mp4", "taken"] and os.listdir(out / "taken") == ["in.mp4"]


def test_encode_unwritable_folder_gives_one_line(backend, y4m, out, capsys):
    if os.geteuid() == 0:  # permissions do not stop root; /proc does
        folder = Path("/proc")
    else:
        folder = out
        out.chmod(0o500)
    assert main(["encode", str(y4m), str(folder / "a.mp4"), "--backend", backend]) == 1
    assert str(folder) in one_line(capsys.readouterr().err)


def test_encode_onto_the_input_is_refused(backend, clip, out, capsys):
    before = clip.read_bytes()
    (out / "link.mp4").symlink_to(clip)
    for target in (clip, out / "link.mp4"):
        assert main(["encode", str(clip), str(target), "-y", "--backend", backend]) == 1
        assert "input" in one_line(capsys.readouterr().err)
    assert clip.read_bytes() == before


def test_report_that_would_replace_a_film_or_cannot_be_written_is_refused_before_the_work(
    backend, clip, out, capsys, monkeypatch
):
    before = clip.read_bytes()
    monkeypatch.chdir(out)
    os.link(clip, out / "link.mp4")
    target = str(out / "a.mp4")
    for report, code, words in (
        (str(clip), 2, "that is INPUT, which it would replace"),
        ("link.mp4", 2, "that is INPUT, which it would replace"),
        ("a.mp4", 2, "that is OUTPUT, which it would replace"),
        ("no folder/a.json", 1, "no folder/a.json: No such file or directory"),
    ):
        assert main(["encode", str(clip), target, "--backend", backend, "-y", "--report", report]) == code
        assert words in one_line(capsys.readouterr().err)
    assert main(["encode", str(clip), "link.mp4", f"{out}/", "--backend", backend, "--report", "a.json"]) == 2
    assert "--report a.json: it is of one INPUT, and 2 are named" in one_line(capsys.readouterr().err)
    assert clip.read_bytes() == before and os.listdir(out) == ["link.mp4"]
    assert main(["encode", str(clip), "-f", "null", "-", "--backend", backend, "--report", os.devnull]) == 0


def test_encode_overwrites_with_y_only_when_it_succeeds(backend, tmp_path, y4m, out):
    (out / "a.h264").write_bytes(b"old")
    (tmp_path / "cut.y4m").write_bytes(y4m.read_bytes()[:-1])
    assert main(["encode", str(tmp_path / "cut.y4m"), str(out / "a.h264"), "-y", "--backend", backend]) == 1
    assert (out / "a.h264").read_bytes() == b"old"
    assert main(["encode", str(y4m), str(out / "a.h264"), "-y", "--backend", backend]) == 0
    assert len(clips.read_video(out / "a.h264")[2]) == 10
    assert os.listdir(out) == ["a.h264"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "COMMAND"),
        (["transcode"], "transcode"),
        (["encode", "in.y4m"], "OUTPUT"),
        (["encode", "in.y4m", "a.avi"], ".avi"),
        (["encode", "in.y4m", "a"], "suffix"),
        (["encode", "in.y4m", "a.h265", "-c", "h264"], "-c"),
        (["encode", "in.nv12", "a.h265"], "-s"),
        (["encode", "-", "a.h265", "-s", "128x128"], "-s"),
        (["encode", "in.y4m", "a.h265", "-s", "128x128"], "-s"),
        (["encode", "in.nv12", "a.h265", "-s", "128"], "size"),
        (["encode", "in.y4m", "a.h265", "-b", "fast"], "bitrate"),
        (["encode", "in.y4m", "a.h265", "-r", "25/0"], "fps"),
        (["encode", "in.y4m", "a.h265", "-r", "-1"], "fps"),
        (["encode", "in.y4m", "a.h265", "--rc", "cqp"], "cqp"),
    ],
)
def test_wrong_usage_is_explained_with_exit_code_2(capsys, args, words):
    try:
        code = main(args)
    except SystemExit as end:  # argparse's way
        code = end.code
    assert code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    last = captured.err.splitlines()[-1]
    assert last.startswith("ascend-venc") and words in last


def test_encode_broken_pipe_ends_quietly(backend):
    process = subprocess.Popen(
        command("encode", "-", "-", "--backend", backend),
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        process.stdin.write(clips.y4m(frames=20))
        process.stdin.flush()
        assert process.stdout.read(4)
        process.stdout.close()
        try:
            for _ in range(50):
                process.stdin.write(clips.y4m(frames=5).partition(b"\n")[2])
                process.stdin.flush()
            process.stdin.close()
        except BrokenPipeError:
            pass
        assert process.wait(30) not in (0, None)
        assert process.stderr.read() == b""
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stderr):
            with contextlib.suppress(BrokenPipeError):
                stream.close()


def test_encode_to_a_full_disk_gives_one_line_that_names_it(backend, y4m, out):
    import resource

    def small_files_only():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    for name in ("a.h264", "a.mp4", "a.mkv", "a.ts"):
        done = run("encode", y4m, out / name, "--backend", backend, "-b", "4M", preexec_fn=small_files_only)
        assert (done.returncode, done.stdout) == (1, b"")
        assert f"{out / name}: " in one_line(done.stderr)
        assert os.listdir(out) == []
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            command("encode", y4m, "-", "--backend", backend),
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )
    assert done.returncode == 1
    assert "standard output" in one_line(done.stderr)


@pytest.mark.parametrize("name", ["a.h264", "a.mkv", "a.ts", "a.flv", "fragments.mp4", "a.mp4"])
def test_what_a_full_disk_took_of_a_pipe_is_kept_where_it_can_be_played(backend, out, name):
    import resource

    def small_files_only():
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))

    options = ["-movflags", "frag_keyframe+empty_moov"] if name == "fragments.mp4" else []
    args = ["encode", "-", out / name, "-c", "h264", "-g", "5", "-b", "2M", *options, "--backend", backend]
    data = np.random.default_rng(0).integers(0, 256, (60, 128 * 192), np.uint8)
    film = clips.y4m(frames=0) + b"".join(b"FRAME\n" + picture.tobytes() for picture in data)
    done = run(*args, preexec_fn=small_files_only, input=film)
    assert done.returncode == 1
    line = one_line(done.stderr)
    assert f"{out / name}: File too large" in line
    if name == "a.mp4":  # which nobody can play without its index
        assert os.listdir(out) == [] and "kept" not in line
        return
    assert os.listdir(out) == [name]
    most = int(line.partition("kept up to there, ")[2].split()[0])
    assert 0 < most < 60
    with open_video(out / name, tolerant=True) as film:
        assert most / 2 <= len(list(film)) <= most + 1


@pytest.mark.parametrize("args", [["info"], ["info", "--json"], ["encode", "{y4m}", "{out}", "--json"]])
def test_answer_that_standard_output_does_not_take_ends_with_1(backend, y4m, out, args):
    args = [arg.format(y4m=y4m, out=out / "a.h264") for arg in args]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            command(*args),
            env=environment(ASCEND_VENC_BACKEND=backend),
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )
    assert done.returncode == 1
    assert "No space left" in one_line(done.stderr)


@pytest.mark.parametrize("redirections", ["2>&-", ">&- 2>&-", "<&- 2>&-"])
def test_encode_with_closed_standard_streams_still_encodes(backend, y4m, out, redirections):
    shell = f'"$@" {redirections}'
    for number, backend_args in enumerate(([], ["--backend", backend])):
        target = out / f"{number}.h264"
        done = subprocess.run(
            ["sh", "-c", shell, "sh", *command("encode", y4m, target, "--json", *backend_args)],
            env=environment(),
            stdout=subprocess.PIPE,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0
        assert len(clips.read_video(target)[2]) == 10


def interrupt(signum, wait_for, *args, **kwargs):
    """Start the command, send a signal when `wait_for(process)` returns; return (exit code, standard error)."""
    env = environment(**(kwargs.pop("env", None) or {}))
    process = subprocess.Popen(command(*args), env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kwargs)
    try:
        wait_for(process)
        process.send_signal(signum)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert b"Traceback" not in errors
    return process.returncode, errors.decode()


def until_something_is_written(out):
    def wait(process):
        deadline = time.monotonic() + 30
        while not any(entry.stat().st_size for entry in out.iterdir()):
            assert time.monotonic() < deadline and process.poll() is None, "nothing is being written"
            time.sleep(0.01)

    return wait


SIGNALS = pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)


@SIGNALS
@pytest.mark.parametrize("name", ["a.ts", "a.h264"])
def test_encode_interrupted_removes_the_file_of_an_input_with_an_end(backend, tmp_path, out, signum, code, name):
    with open(tmp_path / "long.y4m", "wb") as file:
        file.write(clips.y4m(640, 480, frames=1))
        file.truncate(3000 * (640 * 480 * 3 // 2 + 6))  # holes: it is refused there, long after the signal
        for index in range(1, 300):
            file.seek(len(clips.y4m(640, 480, frames=0)) + index * (640 * 480 * 3 // 2 + 6))
            file.write(b"FRAME\n")
    args = ("encode", tmp_path / "long.y4m", out / name, "--backend", backend)
    slow = {"ASCEND_VENC_SIM_OPTIONS": "encode_time_us=50000"}  # 15 s in all
    assert interrupt(signum, until_something_is_written(out), *args, env=slow) == (code, "")
    assert os.listdir(out) == []


@SIGNALS
@pytest.mark.parametrize("name", ["a.mp4", "a.ts", "a.mkv", "a.h264"])
def test_encode_interrupted_finishes_and_keeps_what_came_of_a_pipe(backend, out, signum, code, name):
    """20 frames come, and no end; they are all in the file although none of them was the last."""
    read, write = os.pipe()
    with open(read, "rb") as source, open(write, "wb") as sender:

        def feed(process):
            sender.write(clips.y4m(frames=20))
            sender.flush()
            deadline = time.monotonic() + 30
            while select.select([source], [], [], 0)[0]:  # until it has taken all
                assert time.monotonic() < deadline and process.poll() is None
                time.sleep(0.01)

        got, errors = interrupt(signum, feed, "encode", "-", out / name, "--backend", backend, stdin=source)
    assert got == code
    seen = len(clips.read_video(out / name)[2])
    assert 18 <= seen <= 20  # the last one may have been on its way
    assert f"{seen} frames" in one_line(errors) and str(out / name) in errors
    assert os.listdir(out) == [name]


@pytest.mark.parametrize("name", ["a.mp4", "a.h264"])
def test_encode_of_a_pipe_that_fails_keeps_what_came(backend, out, name):
    done = run("encode", "-", out / name, "--backend", backend, input=clips.y4m(frames=12)[:-9])
    assert done.returncode == 1
    line = one_line(done.stderr)
    assert "frame 11 is cut off" in line and "11 frames" in line and str(out / name) in line
    assert len(clips.read_video(out / name)[2]) == 11


def test_encode_of_a_pipe_that_fails_at_once_leaves_nothing(backend, out):
    done = run("encode", "-", out / "a.mp4", "--backend", backend, input=clips.y4m(frames=1)[:-9])
    assert done.returncode == 1
    assert "frame 0 is cut off" in one_line(done.stderr) and "kept" not in done.stderr.decode()
    assert os.listdir(out) == []


def test_encode_keep_partial_keeps_what_came_of_a_file_that_fails(backend, tmp_path, out, capsys):
    (tmp_path / "cut.y4m").write_bytes(clips.y4m(frames=8)[:-1])
    args = ["encode", str(tmp_path / "cut.y4m"), str(out / "a.mp4"), "--backend", backend, "--json", "--keep-partial"]
    assert main(args) == 1
    captured = capsys.readouterr()
    assert "7 frames" in one_line(captured.err)
    report = json.loads(captured.out)
    assert (report["frames"], report["complete"]) == (7, False)
    assert len(clips.read_video(out / "a.mp4")[2]) == 7


def test_encode_tolerant_says_how_many_frames_are_damaged(backend, tmp_path, out, capsys):
    (tmp_path / "cut.y4m").write_bytes(clips.y4m(frames=8)[:-1])
    args = ["encode", str(tmp_path / "cut.y4m"), str(out / "a.mp4"), "--backend", backend, "--tolerant"]
    assert main(args) == 0
    assert "1 frames of it are damaged" in one_line(capsys.readouterr().err)
    assert len(clips.read_video(out / "a.mp4")[2]) == 7


def on_terminal(*args, patience=60, **env):
    """Run the command with standard error on a terminal; return (exit code, what was written there)."""
    try:
        master, slave = pty.openpty()
    except OSError as error:
        pytest.skip(f"this machine gives no pseudo-terminal: {error}")
    try:
        process = subprocess.Popen(
            command(*args),
            env=environment(COLUMNS="100", **env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=slave,
        )
        os.close(slave)
        text = b""
        deadline = time.monotonic() + patience
        with process:
            while time.monotonic() < deadline:
                if not select.select([master], [], [], 0.2)[0]:
                    continue
                try:
                    data = os.read(master, 4096)
                except OSError:  # the other side is closed
                    break
                if not data:
                    break
                text += data
            output = process.stdout.read()
            code = process.wait(patience)
        return code, text.decode(), output
    finally:
        os.close(master)


@pytest.mark.sim_only
def test_encode_on_a_terminal_shows_progress_and_the_simulated_device(tmp_path, out):
    (tmp_path / "in.y4m").write_bytes(clips.y4m(640, 480, frames=60))
    slow = {"ASCEND_VENC_SIM_OPTIONS": "encode_time_us=20000"}  # what takes less than 0.2 s shows no progress
    code, text, output = on_terminal("encode", tmp_path / "in.y4m", out / "a.h265", "--backend", "auto", **slow)
    assert (code, output) == (0, b"")
    assert "/60 frames" in text and " fps" in text and "bit/s" in text and "ETA" in text
    screen = terminal.Screen(1000).write(text)
    lines = [line.partition("ascend-venc: ")[2] for line in screen.lines]
    assert screen.cursor_shown and len(lines) == 2, screen.lines
    assert lines[0].startswith("note: ") and "simulated" in lines[0] and "libascendcl.so" in lines[0]
    assert "simulated" in lines[1]
    assert "60 frames" in lines[1]


def test_encode_quiet_on_a_terminal_shows_nothing(backend, y4m, out):
    assert on_terminal("encode", y4m, out / "a.h265", "-q", "--backend", backend) == (0, "", b"")


def test_encode_that_goes_wrong_on_a_terminal_says_so_on_a_line_of_its_own(backend, tmp_path, out):
    (tmp_path / "in.y4m").write_bytes(clips.y4m(640, 480, frames=40)[:-1])
    code, text, _ = on_terminal("encode", tmp_path / "in.y4m", out / "a.h265", "--backend", backend)
    assert code == 1
    screen = terminal.Screen(1000).write(text)
    assert "frame 39 is cut off" in one_line("".join(screen.lines) + "\n") and screen.cursor_shown


def test_info_describes_the_device(backend, capsys):
    assert main(["info", "--backend", backend, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["backend"] == backend and facts["runtime_library"] and facts["devices"] > 0
    assert main(["info", "--backend", backend]) == 0
    text = capsys.readouterr().out
    assert facts["runtime_library"] in text and facts["chip"] in text


def test_info_of_an_unusable_backend_is_explained(capsys):
    assert main(["info", "--backend", "/nowhere/libascendcl.so"]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and "/nowhere" in captured.err


def test_help_and_version_are_on_stdout():
    for args in (["--help"], ["encode", "--help"], ["info", "--help"], ["--version"]):
        done = run(*args)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.startswith((b"usage: ascend-venc", b"ascend-venc "))


def test_start_does_not_import_pyav_or_numpy():
    program = (
        "import sys; from ascend_venc.cli import make_parser; import ascend_venc.media; make_parser();"
        "print(sorted({'av', 'numpy'} & set(sys.modules)))"
    )
    assert processes.run(program).stdout == "[]\n"


def test_encode_y4m_to_annexb_needs_no_pyav(backend, y4m, out):
    # The simulated device finds its codec beside PyAV; here PyAV is there for it alone.
    env = {"ASCEND_VENC_SIM_AVCODEC": core.find_codec()} if backend == "sim" else {}
    program = (
        "import sys; sys.modules['av'] = None; from ascend_venc.cli import main;"
        "print(main(['encode', *sys.argv[1:3], '--backend', sys.argv[4]]),"
        "      main(['encode', sys.argv[1], sys.argv[3], '--backend', sys.argv[4]]))"
    )
    done = processes.run(program, y4m, out / "a.h264", out / "a.mp4", backend, env=env)
    assert done.stdout == "0 1\n", done.stderr
    assert "PyAV" in one_line(done.stderr)
    assert os.listdir(out) == ["a.h264"]
