# SPDX-License-Identifier: Apache-2.0
"""`ascend-venc encode --chunks` and `ascend-venc concat`."""

import contextlib
import fcntl
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import types

import pytest

from ascend_venc import chunked
from ascend_venc.cli import chunks, main
from helpers import clips, decode, processes, sound, waiting

av = pytest.importorskip("av", reason="PyAV is not installed")
pytestmark = pytest.mark.sim_only


@pytest.fixture
def film(tmp_path):
    path = tmp_path / "film.y4m"
    path.write_bytes(clips.y4m(frames=48))
    return path


def arguments(film, target, backend, *more):
    command = ["encode", str(film), str(target), "-c", "h264", "-g", "4", "--chunks", "8", "--backend", backend]
    return [*command, *more]


@pytest.mark.leaves_open("multiprocessing's resource tracker, which stays for the process")
def test_film_in_chunks_is_one_film(tmp_path, film, backend, capsys):
    assert main(arguments(film, tmp_path / "a.mp4", backend, "--json")) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["frames"], told["chunks"], told["workers"], told["duration"]) == (48, 6, 2, 1.92)
    assert len(decode.file_frames(tmp_path / "a.mp4")) == 48
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "film.y4m"]
    whole = b"".join(
        b"".join(chunked.encode_chunk(chunk, backend=backend).access_units())
        for chunk in chunked.plan(film, codec="h264", gop=4, chunk=8).chunks
    )
    assert len(whole) == told["bytes"]


def test_interrupted_command_says_what_is_kept_and_goes_on(tmp_path, backend):
    film = tmp_path / "film.y4m"
    film.write_bytes(clips.y4m(frames=400))
    target, folder = tmp_path / "a.mp4", tmp_path / "a.mp4.chunks"
    command = [sys.executable, "-m", "ascend_venc", *arguments(film, target, backend, "--workers", "1")]
    slow = processes.environment(ASCEND_VENC_SIM_OPTIONS="encode_time_us=20000")  # 8 s in all
    process = subprocess.Popen(command, env=slow, stderr=subprocess.PIPE, start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while not (folder.is_dir() and len(list(folder.glob("0*.json"))) >= 2):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    lines = errors.decode().splitlines()
    assert process.returncode == 130 and len(lines) == 1, errors
    kept = list(folder.glob("0*.json"))
    assert f"{len(kept)} of 50 chunks are kept in {folder}; --resume goes on with them" in lines[0]
    assert not target.exists()
    before = {path: path.stat().st_mtime_ns for path in kept}
    again = subprocess.run(command, env=processes.environment(), capture_output=True, text=True, check=False)
    assert again.returncode == 1 and "it is there from an earlier run; --resume goes on with it" in again.stderr
    plan = chunked.load_plan(folder)
    with_threads = [chunked.encode_chunk(chunk, folder, backend=backend) for chunk in plan.chunks]
    assert {path: path.stat().st_mtime_ns for path in kept} == before, "it was encoded again"
    done = subprocess.run([*command, "--resume"], env=processes.environment(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(decode.file_frames(target)) == 400 == sum(result.frames for result in with_threads)
    assert not folder.exists()


def children_of(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


def is_there(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_whatever_ends_the_command_ends_its_workers(tmp_path, film, backend):
    """A device that takes an hour for a frame, and a folder with a chunk from before."""
    environment = processes.environment(ASCEND_VENC_SIM_OPTIONS="encode_time_us=3600000000")
    plan = chunked.plan(film, codec="h264", gop=4, chunk=8)
    with contextlib.ExitStack() as stack:
        runs = []
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            place = tmp_path / number.name
            place.mkdir()
            folder = place / "work"
            plan.save(folder)
            chunked.encode_chunk(plan.chunks[2], folder, backend=backend)
            (folder / ".ascend-venc-0123456789ab.part").write_bytes(b"of a run that was killed")
            command = arguments(film, place / "a.mp4", backend, "--resume", "--work-folder", str(folder))
            process = subprocess.Popen(
                [sys.executable, "-m", "ascend_venc", *command], env=environment, stderr=subprocess.PIPE, text=True
            )
            stack.callback(process.communicate)
            stack.callback(process.kill)
            runs.append((number, place, folder, process))
        for number, place, folder, process in runs:
            # Each of the two workers writes a chunk.
            waiting.eventually(lambda folder=folder: len(list(folder.glob(".ascend-venc-*.part"))) == 2, 60)
            assert not (folder / ".ascend-venc-0123456789ab.part").exists()
            children = children_of(process.pid)
            assert len(children) >= 2
            process.send_signal(number)
            _, errors = process.communicate(timeout=60)
            waiting.eventually(lambda children=children: not any(map(is_there, children)), 60)
            if number == signal.SIGKILL:
                assert process.returncode == -signal.SIGKILL
                continue
            kept = f"ascend-venc: 1 of 6 chunks are kept in {folder}; --resume goes on with them\n"
            assert (process.returncode, errors) == (128 + number, kept)
            assert os.listdir(place) == ["work"], "an unfinished film"


@pytest.mark.leaves_open("multiprocessing's resource tracker, which stays for the process")
@pytest.mark.parametrize("error", (KeyboardInterrupt, ValueError))
def test_threads_of_ended_workers_are_over_before_the_exit(error):
    """Python's exit wakes a pool's thread by a pipe, which the thread closes where it ends: "Bad file descriptor"."""
    before = set(threading.enumerate())
    with pytest.raises(error), chunks._ended_workers():
        pool = chunked.process_pool(1)
        future = pool.submit(time.sleep, 3600)
        pool.shutdown(wait=False)
        raise error
    assert set(threading.enumerate()) <= before
    assert future.done()


def test_one_run_at_a_time_in_a_folder_and_one_plan(tmp_path, film, backend, capsys):
    folder = tmp_path / "work"
    plan = chunked.plan(film, codec="h264", gop=4, chunk=8)
    plan.save(folder)
    chunked.encode_chunk(plan.chunks[0], folder, backend=backend)
    command = arguments(film, tmp_path / "a.mp4", backend, "--work-folder", str(folder))

    def said(*more):
        assert main([*command, *more]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        return line

    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        busy = f"ascend-venc: {folder}: another run is at work in it: wait for it, or name a --work-folder"
        assert said("--resume") == said() == busy
    assert said() == f"ascend-venc: {folder}: it is there from an earlier run; --resume goes on with it"
    begun = f"ascend-venc: {folder}: it was begun with "
    end = ": say the same, or name another --work-folder"
    assert said("--resume", "-b", "3M") == f"{begun}bitrate {dict(plan.settings)['bitrate']}, not 3000000{end}"
    assert said("--resume", "--chunks", "12") == f"{begun}other cuts, sizes or rates{end}"
    kept = (folder / "plan.json").read_text()
    film.write_bytes(clips.y4m(frames=24))
    assert said("--resume") == f"{begun}another INPUT ({film}){end}"
    (folder / "plan.json").write_text("{}")
    assert "plan.json: this is not a manifest of chunks" in said("--resume")
    (folder / "plan.json").write_text(kept)
    assert len(list(folder.glob("0*"))) == 2 and not (tmp_path / "a.mp4").exists()


@pytest.mark.leaves_open("multiprocessing's resource tracker, which stays for the process")
def test_folder_loses_nothing_but_the_pieces(tmp_path, film, backend, capsys):
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "letters").write_text("of somebody else")
    command = arguments(film, tmp_path / "a.mp4", backend, "--work-folder", str(folder))
    for more in ([], ["--resume"]):
        assert main([*command, *more]) == 1
        assert f"{folder}: there are other files in it: --work-folder names a folder" in capsys.readouterr().err
    assert os.listdir(folder) == ["letters"]
    chunked.plan(film, codec="h264", gop=4, chunk=8).save(folder)
    assert main([*command, "--resume"]) == 0
    assert os.listdir(folder) == ["letters"] and len(decode.file_frames(tmp_path / "a.mp4")) == 48


@pytest.mark.leaves_open("multiprocessing's resource tracker, which stays for the process")
def test_what_fails_is_a_line_and_what_was_encoded_is_kept(tmp_path, film, backend, capsys):
    target, folder = tmp_path / "a.mp4", tmp_path / "a.mp4.chunks"
    plan = chunked.plan(film, codec="h264", gop=4, chunk=8)

    def said(*more, output=target):
        code = main(arguments(film, output, backend, *more))
        return code, capsys.readouterr().err.splitlines()

    code, lines = said("--backend", "/nowhere")
    assert code == 1 and len(lines) == 1 and "/nowhere" in lines[0] and not folder.exists(), lines
    code, lines = said("--work-folder", str(folder), output=tmp_path / "none" / "a.mp4")
    assert code == 1 and len(lines) == 1 and "No such file or directory" in lines[0] and not folder.exists(), lines
    plan.save(folder)
    names = [chunked.encode_chunk(chunk, folder, backend=backend).path for chunk in plan.chunks]
    with open(names[3], "r+b") as file:  # whose bytes are others: encoded again
        file.write(b"\xff" * 100)
    with files_of_at_most(os.path.getsize(names[1])):
        code, lines = said("--resume")
    kept = f"ascend-venc: 6 of 6 chunks are kept in {folder}; --resume goes on with them"
    assert code == 1 and lines[0] == kept and len(lines) == 2 and "File too large" in lines[1], lines
    assert not target.exists() and not list(tmp_path.glob(".ascend-venc-*"))
    assert said("--resume")[0] == 0
    assert len(decode.file_frames(target)) == 48 and not folder.exists()


@contextlib.contextmanager
def files_of_at_most(size):
    """A disk that is full, as far as a process without a disk of its own can have that."""
    handler, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def test_cluster_that_is_not_there_is_a_line(tmp_path, film, backend, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(arguments(film, tmp_path / "a.mp4", backend, "--ray", "auto")) == 1
    assert "Ray is needed for this and cannot be imported" in capsys.readouterr().err
    ray = types.SimpleNamespace()  # which must not be asked: it tries for minutes
    monkeypatch.setitem(sys.modules, "ray", ray)
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert main(arguments(film, tmp_path / "a.mp4", backend, "--ray", address)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"ascend-venc: --ray {address}: nobody answers there (")
    assert os.listdir(tmp_path) == ["film.y4m"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("-ss", "1"), "-ss and --chunks are given: leave one out"),
        (("--psnr",), "--psnr and --chunks are given"),
        (("--keep-partial",), "--keep-partial (its chunks are kept: --resume) and --chunks"),
        (("--aud",), "--aud and --chunks are given"),
        (("--report", "a.json"), "--report and --chunks are given"),
        (("-f", "mpegts"), "-f mpegts and --chunks are given: OUTPUT is told by its suffix"),
        (("-f", "yuv4mpegpipe"), "-f of INPUT and --chunks are given"),
        (("-fflags", "+genpts"), "options of FFmpeg's for INPUT and --chunks"),
        (("--chunks", "none"), "--chunks: invalid number of frames value: 'none'"),
        (("--chunks", "0"), "--chunks: invalid number of frames value: '0'"),
        (("--workers", "0"), "--workers: invalid positive number value: '0'"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(tmp_path, film, backend, capsys, more, words):
    try:
        code = main(arguments(film, tmp_path / "a.mp4", backend, *more))
    except SystemExit as end:
        code = end.code
    assert (code, words in capsys.readouterr().err) == (2, True)
    assert os.listdir(tmp_path) == ["film.y4m"]


def test_what_is_said_of_the_files_holds_for_chunks_too(tmp_path, film, backend, capsys):
    output = tmp_path / "a.mp4"
    for options, code, words in (
        (["-i", film, "-s", "64x64", output], 2, "-s behind -i and --chunks are given"),
        (["-i", film, "-r", "50", output], 2, "-r 50: INPUT has 25 frames per second, and none is dropped"),
        ([tmp_path / "a.nv12", output, "-s", "128x128", "-pix_fmt", "nv21"], 2, "raw INPUT is told by its suffix"),
        ([tmp_path / "b.mp4", tmp_path / "b.mp4", "-y"], 1, "input and output are the same file"),
    ):
        (tmp_path / "a.nv12").write_bytes(bytes(128 * 192))
        (tmp_path / "b.mp4").write_bytes(b"a film")
        assert main(["encode", *map(str, options), "--chunks", "auto", "--backend", backend]) == code
        assert words in capsys.readouterr().err
    assert (tmp_path / "b.mp4").read_bytes() == b"a film"
    assert sorted(os.listdir(tmp_path)) == ["a.nv12", "b.mp4", "film.y4m"]


def test_options_of_chunks_need_chunks(tmp_path, film, capsys):
    assert main(["encode", str(film), str(tmp_path / "a.mp4"), "--resume"]) == 2
    assert "--resume is for chunks: give --chunks auto as well" in capsys.readouterr().err


def test_concat_joins_what_a_program_encoded(tmp_path, film, backend, capsys):
    plan = chunked.plan(film, codec="h264", gop=4, chunk=16)
    plan.save(tmp_path / "work")
    for chunk in plan.chunks[:2]:
        chunked.encode_chunk(chunk, tmp_path / "work", backend=backend)
    assert main(["concat", str(tmp_path / "work"), str(tmp_path / "a.mkv")]) == 1
    assert "1 of 3 chunks are missing or damaged: 2; encode them first" in capsys.readouterr().err
    chunked.encode_chunk(plan.chunks[2], tmp_path / "work", backend=backend)
    assert main(["concat", str(tmp_path / "work"), str(tmp_path / "a.mkv")]) == 0
    assert "48 frames of 3 chunks" in capsys.readouterr().err
    assert len(decode.file_frames(tmp_path / "a.mkv")) == 48
    assert main(["concat", str(tmp_path / "work"), str(tmp_path / "a.mkv")]) == 1
    assert main(["concat", str(tmp_path), str(tmp_path / "b.mkv")]) == 1
    assert "plan.json" in capsys.readouterr().err


@pytest.mark.leaves_open("multiprocessing's resource tracker, which stays for the process")
def test_what_the_film_has_not_is_said_as_without_chunks(tmp_path, backend, capsys):
    fine = tmp_path / "fine.mkv"
    clips.write_pictures(fine, [av.VideoFrame(128, 128, "yuv420p10le") for _ in range(8)])
    plain = sound.write_film(tmp_path / "plain.mkv", seconds=0.4, codec="pcm_s16le", metadata={"title": "A film"})
    aac = sound.write_film(tmp_path / "aac.ts", seconds=0.4, video="mpeg2video")
    refused, unasked = (
        "sound in pcm_s16le (OUTPUT cannot hold it)",
        "sound (another rate changes the times of the pictures)",
    )
    for source, name, more, wanted in (
        (fine, "a.mp4", [], ["more than 8 bits a sample"]),
        (plain, "a.ts", [], [refused]),
        (plain, "a.ts", ["-an"], []),
        (plain, "a.h264", [], ["sound", "title"]),
        (plain, "a.mkv", ["-r", "50"], [unasked]),
        (aac, "a.mp4", [], []),
    ):
        assert main(arguments(source, tmp_path / name, backend, "--json", "-y", *more)) == 0
        output, errors = capsys.readouterr()
        assert json.loads(output)["left_out"] == wanted
        said = f"note: {source}: not carried over: {', '.join(wanted)}\n"
        assert (said in errors) if wanted else "not carried over" not in errors
    assert main(arguments(plain, tmp_path / "a.ts", backend, "-q", "-y")) == 0
    assert capsys.readouterr().err == ""
    folder = tmp_path / "chunks"
    plan = chunked.plan(plain, codec="h264")
    plan.save(folder)
    chunked.encode_chunk(plan.chunks[0], folder, backend=backend)
    assert main(["concat", str(folder), str(tmp_path / "b.ts")]) == 0
    assert f"note: {plain}: not carried over: {refused}\n" in capsys.readouterr().err
    assert main(["concat", str(folder), str(tmp_path / "c.ts"), "-q"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.leaves_open("multiprocessing's resource tracker, which stays for the process")
def test_sound_that_the_film_has_not_is_said_as_without_chunks(tmp_path, backend, capsys):
    whole = sound.write_film(tmp_path / "whole.mp4", seconds=2)
    source = tmp_path / "late.mkv"
    sound.delay_pictures(whole, source, 0.5)
    assert main(arguments(source, tmp_path / "a.mp4", backend, "--json")) == 0
    output, errors = capsys.readouterr()
    note = "0.5 s of its sound are before its first picture, and left out"
    assert json.loads(output)["notes"] == [note] and f"note: {source}: {note}\n" in errors
    folder = tmp_path / "chunks"
    plan = chunked.plan(source, codec="h264")
    plan.save(folder)
    chunked.encode_chunk(plan.chunks[0], folder, backend=backend)
    assert main(["concat", str(folder), str(tmp_path / "b.mp4")]) == 0
    assert f"note: {source}: {note}\n" in capsys.readouterr().err
