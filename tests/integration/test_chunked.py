# SPDX-License-Identifier: Apache-2.0
"""A film in chunks: the same bytes whoever encodes them, the source's times, and nothing lost by a kill."""

import concurrent.futures
import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import pytest

import ascend_venc as venc
from ascend_venc import chunked
from ascend_venc.media import open_video
from helpers import clips, decode, interface, processes, simulator, sound
from helpers.waiting import eventually, is_inside, outcome, started

av = pytest.importorskip("av", reason="PyAV is not installed: the sources and the joined films are read by it")

pytestmark = pytest.mark.sim_only

GOP = 4


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Forty pictures with B frames, uneven times and sound."""
    folder = tmp_path_factory.mktemp("film")
    times, moment = [], 0
    for index in range(40):
        times.append(moment)
        moment += (40, 20, 60, 40, 120)[index % 5]
    pictures = [clips.av_frame(to_array(clips.nv12(128, 128, index))) for index in range(40)]
    path = folder / "film.mkv"
    clips.write_pictures(
        path, pictures, codec="libx264", times=times, time_base=Fraction(1, 1000),
        codec_options={"crf": "12", "bf": "3", "g": "13", "x264-params": "open-gop=1"},
    )  # fmt: skip
    return path


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Raw pixels, which tell nothing."""
    path = tmp_path_factory.mktemp("plain") / "plain.nv12"
    path.write_bytes(b"".join(clips.nv12(128, 128, index) for index in range(24)))
    return path


def to_array(data):
    import numpy as np

    return np.frombuffer(data, np.uint8).reshape(192, 128)


def plan_of(path, chunk=8, **options):
    return chunked.plan(path, codec="h264", gop=GOP, bitrate="2M", chunk=chunk, **options)


def sync_samples(path):
    """Where the index of an mp4 says that a decoder can begin: numbers of samples, counted from 1."""
    data = path.read_bytes()
    at = data.rindex(b"stss") + 8  # behind the name, version and flags
    return [
        int.from_bytes(data[at + 4 * n : at + 4 * n + 4], "big")
        for n in range(1, 1 + int.from_bytes(data[at : at + 4], "big"))
    ]


def bytes_of(results):
    return b"".join(unit for result in results for unit in result.access_units())


def test_plan_cuts_at_whole_gops_and_depends_on_the_film_alone(film):
    plan = plan_of(film, 7)
    assert [(chunk.first_frame, chunk.frames) for chunk in plan.chunks] == [(first, 8) for first in range(0, 40, 8)]
    assert plan.frames == 40 and plan.note == ""
    assert plan_of(film, 7) == plan
    assert len({chunk.name for chunk in plan.chunks}) == 5
    other = chunked.plan(film, codec="h264", gop=GOP, bitrate="3M", chunk=8)
    assert not {chunk.name for chunk in other.chunks} & {chunk.name for chunk in plan.chunks}
    scenes = plan_of(film, scenes=[10, 33])
    assert [(chunk.first_frame, chunk.frames) for chunk in scenes.chunks] == [(0, 10), (10, 23), (33, 7)]


def test_auto_chunks_end_short_so_that_any_number_of_workers_ends_together(tmp_path):
    path = tmp_path / "hour.nv12"
    with path.open("wb") as file:
        file.truncate(3600 * 128 * 128 * 3 // 2)  # a frame a second
    plan = chunked.plan(path, size=(128, 128), fps=1, gop=2)
    lengths = [chunk.frames for chunk in plan.chunks]
    assert sum(lengths) == 3600 and lengths[0] == 60 and min(lengths) >= 4 and lengths[-2] == 8
    assert lengths[:-1] == sorted(lengths[:-1], reverse=True)
    for workers in range(2, 17):
        free = [0] * workers  # when each has done what it was given
        for chunk in plan.chunks:
            free.sort()
            free[0] += chunk.frames + chunk.lead
        assert 3600 / workers / max(free) > 0.9, workers
    short = chunked.plan(path, size=(128, 128), fps=1000, gop=250)  # 3.6 seconds
    assert [chunk.frames for chunk in short.chunks] == [3600]


def test_longest_chunks_are_encoded_first(plain, tmp_path, backend):
    plan = plan_of(plain, size=(128, 128), scenes=[2, 4, 17], lead=0)
    seen = []
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        chunked.encode_all(
            plan, tmp_path, executor, workers=1, backend=backend, each=lambda result: seen.append(result.frames)
        )
    assert seen == [13, 7, 2, 2]


def test_film_is_joined_while_its_chunks_come(plain, tmp_path, backend):
    plan = plan_of(plain, size=(128, 128))
    first, second, third = (chunked.encode_chunk(chunk, backend=backend) for chunk in plan.chunks)
    with chunked.Joiner(plan, tmp_path / "a.mp4") as film:
        reached = []
        for result in (second, first, first, third):
            film.add(result)
            reached.append(film.frames)
    assert reached == [0, 16, 16, 24]
    chunked.concat(plan, [first, second, third], tmp_path / "b.mp4")
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    other = chunked.encode_chunk(plan_of(plain, 12, size=(128, 128)).chunks[1], backend=backend)
    late = dataclasses.replace(second, times=(9, *second.times[1:]))
    for given, words in (
        ((first, third), "chunk 1 is missing of 3"),
        ((first, other), "is of another plan"),
        ((first, late), "chunk 1 begins at 9, and the one before it ends at 8"),
    ):
        with pytest.raises(chunked.ChunkError, match=words), chunked.Joiner(plan, tmp_path / "c.mp4") as film:
            for result in given:
                film.add(result)
    with pytest.raises(ZeroDivisionError), chunked.Joiner(plan, tmp_path / "c.mp4") as film:
        film.add(first)
        raise ZeroDivisionError
    assert sorted(os.listdir(tmp_path)) == ["a.mp4", "b.mp4"]
    with pytest.raises(FileExistsError):
        chunked.Joiner(plan, tmp_path / "a.mp4")


def test_joined_film_tells_what_the_readers_of_its_chunks_noted(plain, tmp_path, backend):
    plan = plan_of(plain, size=(128, 128))
    results = [chunked.encode_chunk(chunk, tmp_path / "work", backend=backend) for chunk in plan.chunks]
    assert [result.stats["notes"] for result in results] == [[], [], []]
    notes = (["one thing"], ["another", "one thing"], [])
    told = [dataclasses.replace(r, stats={**r.stats, "notes": n}) for r, n in zip(results, notes)]
    with chunked.Joiner(plan, tmp_path / "a.mp4") as film:
        for result in reversed(told):
            film.add(result)
    assert (film.notes, film.left_out) == (("one thing", "another"), ())


@pytest.mark.leaves_open("multiprocessing's resource tracker, which stays for the process")
def test_processes_of_a_pool_listen_to_ffmpeg():
    """Of some damage nothing but its log tells."""
    with chunked.process_pool(1) as pool:
        assert pool.submit(av.logging.get_level).result() == av.logging.PANIC


def test_each_result_is_handed_on_once_and_those_of_the_folder_first(plain, tmp_path, backend):
    plan = plan_of(plain, size=(128, 128))
    chunked.encode_chunk(plan.chunks[2], tmp_path, backend=backend)
    seen = []
    with concurrent.futures.ThreadPoolExecutor(1) as executor, chunked.Joiner(plan, tmp_path / "a.mkv") as film:

        def take(result):
            seen.append(result.name)
            film.add(result)

        chunked.encode_all(plan, tmp_path, executor, workers=1, backend=backend, each=take)
    assert seen == [plan.chunks[2].name, plan.chunks[1].name, plan.chunks[0].name], "a lead makes a chunk longer"
    assert len(decode.file_frames(tmp_path / "a.mkv")) == 24
    with concurrent.futures.ThreadPoolExecutor(1) as executor, pytest.raises(OSError, match="full"):

        def fail(result):
            raise OSError(28, "full")

        chunked.encode_all(plan, tmp_path, executor, workers=1, backend=backend, each=fail)


def test_lead_is_encoded_and_thrown_away(plain, tmp_path, backend):
    """A chunk with a lead is what one session gives there, where its rate control has no say."""
    plans = [plan_of(plain, size=(128, 128), lead=lead) for lead in (0, 1, 9)]
    assert [[chunk.lead for chunk in plan.chunks] for plan in plans] == [[0, 0, 0], [0, 4, 4], [0, 8, 16]]
    whole = chunked.encode_chunk(plan_of(plain, 24, size=(128, 128)).chunks[0], backend=backend)
    results = [chunked.encode_chunk(chunk, backend=backend) for chunk in plans[2].chunks]
    assert bytes_of(results) == bytes_of([whole]), "a lead up to the beginning is one session"
    other = [chunked.encode_chunk(chunk, backend=backend) for chunk in plans[0].chunks]
    assert bytes_of(other) != bytes_of([whole])
    assert [result.times for result in other] == [result.times for result in results]
    with pytest.raises(venc.InvalidArgumentError, match="lead is -1; it must be 0 GOPs or more"):
        plan_of(plain, size=(128, 128), lead=-1)


def test_manifest_is_read_back_as_it_was(film, tmp_path):
    plan = plan_of(film)
    path = plan.save(tmp_path)
    assert chunked.load_plan(path) == chunked.load_plan(tmp_path) == plan
    manifest = json.loads((tmp_path / "plan.json").read_text())
    assert manifest["settings"] == {"bitrate": 2000000, "codec": "h264", "gop": 4, "profile": "high", "rc": "default"}
    for damage in ("", "[]", "{}", json.dumps({**manifest, "version": 99}), json.dumps({**manifest, "chunks": [1]})):
        (tmp_path / "other.json").write_text(damage)
        with pytest.raises(chunked.ChunkError, match=r"other\.json: (this is not a manifest|manifest of version 99)"):
            chunked.load_plan(tmp_path / "other.json")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"chunk": 0}, "chunk is 0; it must be 1 frame or more"),
        ({"chunk": "short"}, "chunk is 'short'; give a number of frames"),
        ({"scenes": [40]}, "scenes has 40; the film's frames are 0 to 39"),
        ({"depth": 3}, "depth is not a setting of a chunk"),
    ],
)
def test_plan_refuses_what_cannot_be(film, options, words):
    with pytest.raises(venc.InvalidArgumentError, match=words):
        plan_of(film, **options)


def test_any_number_of_workers_gives_the_same_bytes_and_the_times_of_the_source(film, tmp_path, backend):
    plan = plan_of(film)
    streams = []
    for workers in (1, 2, 4):
        with concurrent.futures.ThreadPoolExecutor(workers) as executor:
            seen = []
            results = chunked.encode_all(
                plan, tmp_path / str(workers), executor, workers=workers, backend=backend,
                progress=lambda done, total, seen=seen: seen.append((done, total)),
            )  # fmt: skip
        assert [done for done, _ in seen] == [0, 8, 16, 24, 32, 40] and {total for _, total in seen} == {40}
        streams.append(bytes_of(results))
    assert streams[0] == streams[1] == streams[2]
    with open_video(film) as reader:
        source = [(frame.pts * reader.time_base, frame.data) for frame in reader]
    assert [time * result.time_base for result in results for time in result.times] == [time for time, _ in source]
    for name in ("a.mp4", "a.mkv", "a.ts", "a.h264"):
        assert chunked.concat(plan, tmp_path / "2", tmp_path / name) == 40
    assert (tmp_path / "a.h264").read_bytes() == streams[0]
    joined = decode.file_frames(tmp_path / "a.mp4")
    assert [time for time, _ in joined] == [time for time, _ in source]
    assert sync_samples(tmp_path / "a.mp4") == list(range(1, 41, GOP))
    with av.open(str(tmp_path / "a.mp4")) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    end = (packets[-1].pts + packets[-1].duration) * packets[-1].time_base
    assert end == results[-1].end * results[-1].time_base
    # Each picture is that of its place: the next one's is clearly another.
    for index, (_, frame) in enumerate(joined):
        near = [clips.psnr(frame, source[other][1]) for other in (index, (index + 1) % 40)]
        assert near[0] > 30 and near[0] > near[1] + 3


@pytest.mark.leaves_open("multiprocessing's resource tracker, which stays for the process")
def test_processes_give_the_same_bytes_as_threads_and_one_that_is_killed_costs_its_chunk(film, tmp_path, backend):
    plan = plan_of(film)
    made = []

    def make():
        made.append(chunked.process_pool(2))
        return made[-1]

    def kill(done, total):
        if done == 8 and len(made) == 1:
            os.kill(next(iter(made[0]._processes)), signal.SIGKILL)

    results = chunked.encode_all(plan, tmp_path / "a", make, workers=2, backend=backend, progress=kill)
    assert len(made) == 2
    expected = [chunked.encode_chunk(chunk, backend=backend) for chunk in plan.chunks]
    assert bytes_of(results) == bytes_of(expected)


DRIVER = """
import concurrent.futures, sys
from ascend_venc import chunked
plan = chunked.load_plan(sys.argv[1])
with concurrent.futures.ThreadPoolExecutor(1) as executor:
    chunked.encode_all(plan, sys.argv[1], executor, workers=1, backend=sys.argv[2],
                       progress=lambda done, total: print(done, flush=True))
"""


def test_a_driver_that_is_killed_goes_on_where_it_was(plain, tmp_path, backend):
    plan = plan_of(plain, size=(128, 128))
    plan.save(tmp_path)
    command = [sys.executable, "-c", DRIVER, tmp_path, backend]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=processes.environment(), text=True) as driver:
        for line in driver.stdout:
            if line == "8\n":
                driver.kill()
    done = [chunk for chunk in plan.chunks if chunked.find_result(tmp_path, chunk)]
    assert done
    kept = {
        name: os.stat(tmp_path / name).st_mtime_ns for name in os.listdir(tmp_path) if name.startswith(done[0].name)
    }
    assert len(kept) == 2
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        results = chunked.encode_all(plan, tmp_path, executor, workers=2, backend=backend)
    assert {name: os.stat(tmp_path / name).st_mtime_ns for name in kept} == kept, "it was encoded again"
    assert bytes_of(results) == bytes_of(chunked.encode_chunk(chunk, backend=backend) for chunk in plan.chunks)


def test_chunk_whose_file_was_damaged_is_encoded_again(plain, tmp_path, backend):
    plan = plan_of(plain, size=(128, 128))
    first = chunked.encode_chunk(plan.chunks[0], tmp_path, backend=backend)
    stream = tmp_path / f"{first.name}.h264"
    whole = stream.read_bytes()
    for damage in (whole[:-1], whole + b"\0", whole[:100] + bytes([whole[100] ^ 1]) + whole[101:]):
        stream.write_bytes(damage)
        assert chunked.find_result(tmp_path, plan.chunks[0]) is None
        with pytest.raises(chunked.ChunkError, match="3 of 3 chunks are missing or damaged: 0, 1, 2"):
            chunked.concat(plan, tmp_path, tmp_path / "a.mp4")
        assert chunked.encode_chunk(plan.chunks[0], tmp_path, backend=backend).sha256 == first.sha256
    assert not (tmp_path / "a.mp4").exists()


def test_join_refuses_what_is_not_one_film(plain, tmp_path, backend):
    plan = plan_of(plain, size=(128, 128))
    results = [chunked.encode_chunk(chunk, backend=backend) for chunk in plan.chunks]
    assert [result.frames for result in chunked.check(plan, reversed(results))] == [8, 8, 8]
    first, second, third = results
    for wrong, words in (
        ([first, third], r"chunks \[1\] are missing of 3"),
        ([first, dataclasses.replace(second, starts_with_idr=False), third], "chunk 1 does not begin with an IDR"),
        ([first, dataclasses.replace(second, parameter_sets=("67",)), third], "chunk 1 has other parameter sets"),
        ([first, dataclasses.replace(second, times=(9, *second.times[1:])), third], r"chunk 1 begins at 9, .* at 8"),
        ([first, second, dataclasses.replace(third, frames=7)], "the chunks have 23 frames, the film 24"),
    ):  # fmt: skip
        with pytest.raises(chunked.ChunkError, match=words):
            chunked.concat(plan, wrong, tmp_path / "a.mp4")
    damaged = dataclasses.replace(second, data=second.data[:-1] + b"\xff")
    with pytest.raises(chunked.ChunkError, match="its bytes are not those that were encoded"):
        chunked.concat(plan, [first, damaged, third], tmp_path / "a.mp4")
    with pytest.raises(venc.InvalidArgumentError, match="the chunks are h264"):
        chunked.concat(plan, results, tmp_path / "a.h265")
    assert os.listdir(tmp_path) == []


def test_source_that_changed_after_the_plan_is_refused(plain, tmp_path, backend):
    copy = tmp_path / "copy.nv12"
    copy.write_bytes(plain.read_bytes())
    plan = plan_of(copy, size=(128, 128))
    copy.write_bytes(plain.read_bytes()[:-1] + b"\0")
    with pytest.raises(chunked.ChunkError, match="this is not the file that the plan was made of"):
        chunked.encode_chunk(plan.chunks[0], backend=backend)


def test_source_that_changed_in_its_middle_is_another_film(tmp_path, backend):
    """Its size, and 64 KiB at both ends, are what they were."""
    path, work = tmp_path / "film.nv12", tmp_path / "work"
    before = b"".join(clips.nv12(128, 128, index) for index in range(24))
    after = before[: len(before) // 2] + before[: 128 * 192] + before[len(before) // 2 + 128 * 192 :]
    path.write_bytes(before)
    plan = plan_of(path, size=(128, 128))
    results = [chunked.encode_chunk(chunk, work, backend=backend) for chunk in plan.chunks]
    path.write_bytes(after)
    with pytest.raises(chunked.ChunkError, match="this is not the file that the plan was made of"):
        chunked.concat(plan, work, tmp_path / "film.mp4")
    again = plan_of(path, size=(128, 128))
    assert not {chunk.name for chunk in again.chunks} & {chunk.name for chunk in plan.chunks}
    path.write_bytes(before)
    refused = pytest.raises(chunked.ChunkError, match="this is not the file that the plan was made of")
    with refused, chunked.Joiner(plan, tmp_path / "film.mp4") as film:
        for result in results:
            film.add(result)
        path.write_bytes(after)
        os.utime(path, (1, 1))  # many kernels count a file's time in steps of 4 or 10 ms: longer than all this takes
    path.write_bytes(before)
    with chunked.Joiner(plan, tmp_path / "film.mp4") as film:
        for result in results:
            film.add(result)
        os.utime(path)  # no change
    assert film.frames == 24


def test_two_workers_of_one_chunk_do_no_harm(plain, tmp_path, backend):
    plan = plan_of(plain, size=(128, 128))
    chunk = plan.chunks[1]
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(chunked.encode_chunk(chunk, tmp_path, backend=backend)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({result.sha256 for result in found}) == 1 and all(result.is_whole() for result in found)
    assert sorted(os.listdir(tmp_path)) == [f"{chunk.name}.h264", f"{chunk.name}.json"]


def test_sound_is_copied_as_it_is_and_stays_in_step(tmp_path, backend):
    source = sound.write_film(tmp_path / "film.mp4")
    plan = plan_of(source)
    results = [chunked.encode_chunk(chunk, backend=backend) for chunk in plan.chunks]
    assert chunked.concat(plan, results, tmp_path / "a.mp4") == 50
    wanted = [(moment, data) for moment, data in sound.packets(source) if moment >= 0]
    assert sound.packets(tmp_path / "a.mp4") == wanted
    chunked.concat(plan, results, tmp_path / "b.mp4", sound=False)
    assert sound.packets(tmp_path / "b.mp4") == []


def test_film_whose_clock_starts_anew_is_one_chunk(tmp_path, backend):
    part = clips.write_video(tmp_path / "a.ts", range(20), Fraction(1, 25), codec="mpeg2video").read_bytes()
    path = tmp_path / "b.ts"
    path.write_bytes(part + part)
    plan = plan_of(path)
    assert len(plan.chunks) == 1 and plan.frames is None and "its clock starts anew" in plan.note
    result = chunked.encode_chunk(plan.chunks[0], backend=backend)
    assert chunked.concat(plan, [result], tmp_path / "c.mp4") == result.frames == 40


def test_device_that_fails_is_tried_again(plain, tmp_path, backend):
    plan = plan_of(plain, size=(128, 128))
    with (
        simulator.shared().failing_call(interface.SEND, code=507018),
        concurrent.futures.ThreadPoolExecutor(1) as executor,
    ):
        results = chunked.encode_all(plan, tmp_path, executor, workers=1, backend=backend)
    assert sum(result.frames for result in results) == 24


class InTurns(concurrent.futures.Executor):
    """Notes for which device each chunk is, and encodes them in the order that it is told."""

    def __init__(self, finishes):
        self.finishes = finishes  # those that are done behind the nth submit
        self.devices, self.calls = [], []

    def submit(self, function, *arguments, device, **options):
        future = concurrent.futures.Future()
        self.devices.append(device)
        self.calls.append((future, lambda: function(*arguments, device=0, **options)))
        for number in self.finishes.get(len(self.calls) - 1, ()):
            done, call = self.calls[number]
            done.set_result(call())
        return future


def test_chunk_goes_to_the_device_that_has_the_fewest_at_that_moment(plain, tmp_path, backend):
    plan = plan_of(plain, GOP, size=(128, 128))
    executor = InTurns({2: (1,), 3: (0, 2), 5: (3, 4, 5)})
    results = chunked.encode_all(plan, tmp_path, executor, workers=3, devices=(0, 1), backend=backend)
    assert [result.name for result in results] == [chunk.name for chunk in plan.chunks]
    assert executor.devices == [0, 1, 0, 1, 0, 0]


@pytest.mark.parametrize(("retries", "works"), [(0, False), (1, True)])
def test_chunk_is_tried_again_as_often_as_was_asked_for(plain, tmp_path, backend, retries, works):
    plan = plan_of(plain, 24, size=(128, 128))
    with (
        simulator.shared().failing_call(interface.SEND, code=507018),
        concurrent.futures.ThreadPoolExecutor(1) as executor,
    ):
        if works:
            (result,) = chunked.encode_all(plan, tmp_path, executor, workers=1, backend=backend, retries=retries)
            assert result.frames == 24
        else:
            with pytest.raises(venc.AclError):
                chunked.encode_all(plan, tmp_path, executor, workers=1, backend=backend, retries=retries)


def test_chunks_that_are_being_encoded_are_waited_for_where_another_one_fails(plain, tmp_path, backend):
    given = []

    class Failing(concurrent.futures.Executor):
        def submit(self, *arguments, **options):
            future = concurrent.futures.Future()
            future.set_running_or_notify_cancel()
            given.append(future)
            if len(given) == 2:
                given[0].set_exception(chunked.ChunkError("on purpose"))
            return future

        def shutdown(self, wait=True, **options):
            given.append(wait)

    plan = plan_of(plain, GOP, size=(128, 128))
    driver = started(lambda: chunked.encode_all(plan, tmp_path, Failing, workers=2, backend=backend))
    eventually(lambda: len(given) == 2 and is_inside(driver, "wait"))
    assert driver.is_alive()
    given[1].set_exception(chunked.ChunkError("too late to be told"))
    error = outcome(driver)
    assert isinstance(error, chunked.ChunkError) and "on purpose" in str(error)
    assert given[2:] == [True], "its threads were not waited for, though it had nothing left to do"


@pytest.mark.soak
def test_driver_and_worker_killed_at_twenty_moments(film, tmp_path, backend):
    """Each goes on where the last one was, and the bytes are those of a run that nobody disturbed."""
    plan = plan_of(film)
    expected = [chunked.encode_chunk(chunk, backend=backend).sha256 for chunk in plan.chunks]
    program = DRIVER.replace("ThreadPoolExecutor(1)", "ProcessPoolExecutor(2)").replace("workers=1", "workers=2")
    plan.save(tmp_path)
    command = [sys.executable, "-c", program, tmp_path, backend]
    for moment in range(20):
        for name in os.listdir(tmp_path):
            if moment % 4 == 0 and name != "plan.json":
                os.unlink(tmp_path / name)
        group = subprocess.Popen(
            command, env=processes.environment(), start_new_session=True, stdout=subprocess.DEVNULL
        )
        time.sleep(0.1 + moment * 0.1)
        if moment % 2:
            os.killpg(group.pid, signal.SIGKILL)
        else:  # the driver alone; its workers, which were forked, would wait for ever
            group.kill()
        group.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group.pid, signal.SIGKILL)
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        results = chunked.encode_all(plan, tmp_path, executor, workers=2, backend=backend)
    assert [result.sha256 for result in results] == expected


ON_RAY = """
import os, signal, sys
import ray
from ascend_venc import chunked

plan = chunked.load_plan(sys.argv[1])
backend = sys.argv[2]
expected = [chunked.encode_chunk(chunk, backend=backend).sha256 for chunk in plan.chunks]
ray.init(num_cpus=2, resources={"VENC": 1}, include_dashboard=False, log_to_driver=False, logging_level="ERROR")


def actors():
    for entry in os.listdir("/proc"):
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                if file.read().startswith(b"ray::Sessions"):
                    yield int(entry)
        except OSError:
            continue


def kill_one(done, total):
    if done == 16:
        killed.append(next(actors()))
        os.kill(killed[0], signal.SIGKILL)


# Three actors where there is a place for one: two are done without.
for shared, count, resources in ((True, 3, {"VENC": 1}), (False, 2, None)):
    killed, each = [], []
    results = chunked.encode_on_ray(
        plan, f"{sys.argv[1]}/{shared}", actors=count, resources=resources, shared=shared, progress=kill_one,
        each=each.append, backend=backend,
    )
    same = [result.sha256 for result in results] == expected
    print("seen:", len(killed), same, all(result.is_whole() for result in results), len(each))
for options in ({"resources": {"NPU": 1}, "start_timeout": 0.5}, {"backend": "/nowhere"}):
    try:
        chunked.encode_on_ray(plan, f"{sys.argv[1]}/none", actors=1, **{"backend": backend, **options})
    except Exception as error:
        print("seen:", type(error).__name__, str(error).split("\\n")[0])
"""


def test_ray_actors_give_the_same_bytes_and_one_that_is_killed_costs_its_chunk(film, tmp_path, backend):
    pytest.importorskip("ray", reason="Ray is not installed (pip install ray)")
    plan_of(film).save(tmp_path)
    command = [sys.executable, "-c", ON_RAY, tmp_path, backend]
    done = subprocess.run(
        command, env=processes.environment(), capture_output=True, text=True, timeout=120, check=False
    )
    seen = [line.strip() for line in done.stdout.splitlines() if line.startswith("seen:")]  # Ray prints there too
    assert seen == [
        "seen: 1 True True 5",
        "seen: 1 True True 5",
        "seen: MediaError no actor has had a place in 0.5 s: each asks for 1 NPU, and the cluster has 2 CPU, 1 VENC",
        "seen: AclLibraryNotFoundError backend names no usable AscendCL library:",
    ], done.stdout[-2000:] + done.stderr[-2000:]
    assert done.returncode == 0


def test_ray_data_example_encodes_many_clips(film, plain, tmp_path, backend):
    for module in ("ray", "pyarrow", "pandas"):
        pytest.importorskip(module, reason='Ray Data is not installed (pip install "ray[data]")')
    (tmp_path / "broken.mkv").write_bytes(b"no film")
    copy = tmp_path / "copy.mkv"
    copy.write_bytes(film.read_bytes())
    example = Path(__file__).resolve().parents[2] / "examples" / "cluster" / "ray_clips.py"
    done = subprocess.run(
        [sys.executable, example, tmp_path / "out", film, copy, tmp_path / "broken.mkv", "--backend", backend],
        env=processes.environment(), capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    said = [line for line in done.stdout.splitlines() if line.startswith(str(tmp_path)) or line.startswith(str(film))]
    names = {str(film): "film", str(copy): "copy"}
    expected = [f"{path}: 40 frames in {tmp_path / 'out' / name}.mp4" for path, name in names.items()]
    assert done.returncode == 1 and sorted(expected) == sorted(line for line in said if "frames in" in line), (
        done.stderr
    )
    assert [line for line in said if line.startswith(f"{tmp_path}/broken.mkv: ")]
    assert sorted(os.listdir(tmp_path / "out")) == ["copy.mp4", "film.mp4"]
    assert len(decode.file_frames(tmp_path / "out" / "film.mp4")) == 40


ON_DASK = """
import sys
from dask.distributed import Client, LocalCluster
from ascend_venc import chunked

if __name__ == "__main__":
    plan = chunked.load_plan(sys.argv[1])
    expected = [chunked.encode_chunk(chunk, backend=sys.argv[2]).sha256 for chunk in plan.chunks]
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        with client.get_executor() as executor:
            results = chunked.encode_all(plan, sys.argv[1], executor, workers=4, backend=sys.argv[2])
    print("seen:", [result.sha256 for result in results] == expected)
"""


def test_dask_gives_the_same_bytes(film, tmp_path, backend):
    pytest.importorskip("distributed", reason="Dask's distributed is not installed (pip install distributed)")
    plan_of(film).save(tmp_path)
    program = tmp_path / "program.py"
    program.write_text(ON_DASK)
    done = subprocess.run(
        [sys.executable, program, tmp_path, backend],
        env=processes.environment(), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and "seen: True" in done.stdout, done.stdout[-2000:] + done.stderr[-2000:]


def test_without_ray_the_text_says_what_to_install(film, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(venc.MediaError, match="pip install ray"):
        chunked.encode_on_ray(plan_of(film), tmp_path, actors=1)
