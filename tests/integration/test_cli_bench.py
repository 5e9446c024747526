# SPDX-License-Identifier: Apache-2.0
"""`ascend-venc bench`: every case that was asked for, with real figures, and which device they are of; streams held."""

import itertools
import json
import os
import platform
import re
import signal
import subprocess
import sys
import threading
import time
import types

import pytest

import ascend_venc as venc
from ascend_venc.cli import bench, main
from ascend_venc.cli import streams as streams_held
from ascend_venc.doctor import verification
from helpers import processes, simulator

SHORT = ["-t", "0.1", "-s", "128x128"]


def run(*args, **extra):
    command = [sys.executable, "-m", "ascend_venc", "bench", *map(str, args)]
    return subprocess.run(
        command, env=processes.environment(**extra), capture_output=True, text=True, check=False, timeout=60
    )


def test_bench_json_has_a_figure_for_every_case(backend, capsys):
    args = ["-s", "160x128", "-c", "h264", "-c", "h265", "-n", "1", "-n", "3", "--json", "--backend", backend]
    assert main(["bench", *SHORT, *args]) == 0
    report = json.loads(capsys.readouterr().out)
    cases = [(figure["size"], figure["codec"], figure["channels"]) for figure in report["figures"]]
    assert cases == [
        (size, codec, channels) for size in ("128x128", "160x128") for codec in ("h264", "h265") for channels in (1, 3)
    ]
    for figure in report["figures"]:
        assert figure["frames"] >= figure["channels"]
        assert figure["fps_per_channel"] == pytest.approx(figure["fps"] / figure["channels"])
        assert 0 < figure["latency_ms"]["median"] <= figure["latency_ms"]["max"]


@pytest.mark.sim_only
def test_bench_measures_the_binding_with_the_null_codec_on_the_simulated_device(backend, capsys):
    assert main(["bench", *SHORT, "-c", "h264", "-n", "1", "--json", "--backend", backend]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["simulated"] is True
    (overhead,) = report["overhead"]
    assert overhead["size"] == "128x128" and overhead["access_unit_bytes"] == bench.ACCESS_UNIT
    assert overhead["batch_us"] > 0 and overhead["encode_us"] > 0


@pytest.mark.sim_only
def test_modules_of_the_working_folder_are_none_of_those_that_measure(tmp_path, monkeypatch, capsys):
    for name in ("json", "dataclasses", "ascend_venc"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not this one')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASCEND_VENC_SIM_OPTIONS", "null_codec=2000")  # read by the processes that it starts
    assert main(["bench", *SHORT, "-c", "h264", "-n", "1", "--json", "--backend", "sim"]) == 0
    assert json.loads(capsys.readouterr().out)["overhead"][0]["encode_us"] > 0
    report = verification.run_benchmark("sim", 60, 0.05)
    assert len(report["figures"]) == 4 and report["overhead"], report


@pytest.mark.sim_only
def test_bench_says_that_the_device_is_simulated():
    done = run(*SHORT, "-c", "h264", "-n", 1, "--backend", "sim")
    assert (done.returncode, done.stderr) == (0, "")
    assert "simulated device" in done.stdout and "no figure here is about Ascend hardware" in done.stdout
    assert "128x128  h264" in done.stdout and "null codec" in done.stdout
    done = run(*SHORT, "-c", "h264", "-n", 1, "--backend", "sim", ASCEND_VENC_SIM_OPTIONS="null_codec=2000")
    assert "nothing is encoded" in done.stdout


def test_bench_does_not_call_hardware_simulated():
    assert "simulated" not in bench.NOTES[False]


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (["-t", "0"], 2, "--seconds is 0"),
        (["-n", "0"], 2, "--channels is 0"),
        (["-s", "127x128"], 1, "127"),
        (["-s", "big"], 2, "WIDTHxHEIGHT"),
        (["--device", "70"], 1, "device is 70"),
    ],
)
def test_bench_names_what_it_cannot_measure(args, code, text):
    done = run("--backend", "sim", "-t", "0.1", *args)
    assert done.returncode == code
    assert text in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.sim_only
def test_throughput_counts_frames_that_were_received(backend):
    frames = bench.pictures(128, 128)
    with venc.Encoder(128, 128, backend=backend) as first, venc.Encoder(128, 128, backend=backend) as second:
        count, seconds = bench.throughput([first, second], frames, 0.1)
        assert count == first.stats.encoded + second.stats.encoded - 2  # one each before the clock
        assert seconds >= 0.1


@pytest.mark.sim_only
def test_throughput_is_of_one_frame_where_a_thread_comes_when_the_time_is_over(backend, monkeypatch):
    class Late(threading.Thread):
        def run(self):
            time.sleep(0.1)
            super().run()

    monkeypatch.setattr(threading, "Thread", Late)
    with venc.Encoder(128, 128, backend=backend) as enc:
        assert bench.throughput([enc], bench.pictures(128, 128), 0)[0] == 1


@pytest.mark.sim_only
def test_throughput_raises_what_an_encoder_raises(backend):
    frames = bench.pictures(128, 128)
    with venc.Encoder(128, 128, backend=backend) as enc:
        with simulator.shared().failing_frame(simulator.FRAME_RET_CODE, 20, 5), pytest.raises(venc.FrameError):
            bench.throughput([enc], frames, 20)
        enc.flush()


def test_bench_ends_at_ctrl_c():
    command = [sys.executable, "-m", "ascend_venc", "bench", "-t", "100", "-s", "128x128", "--backend", "sim"]
    process = subprocess.Popen(
        command,
        env=processes.environment(PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while "latency" not in process.stdout.readline():
            pass
        time.sleep(0.5)
        os.kill(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert "Traceback" not in errors


# ---- streams held ----


def paced(**changed):
    """What came of 60 frames of two streams in a second, each after 5 ms."""
    values = {"frames": 60, "bytes": 0, "lost": 0, "took": 1.0, "cpu": 0.1, **changed}
    return streams_held.Paced(**{"latencies": [0.005] * values["frames"], **values})


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, None),
        ({"took": 1.5}, None),
        ({"frames": 59, "lost": 1}, "1 of 60 frames were lost"),
        ({"latencies": [0.005] * 59 + [0.041]}, "99 % of the packets came within 41 ms, not 40"),
        ({"latencies": [0.005] * 59 + [0.039]}, None),
        (
            {"latencies": [0.1] * 60, "took": 1.1},
            "99 % of the packets came within 100 ms, not 40; 27.3 frames per second were sent",
        ),
    ],
)
def test_streams_are_kept_where_nothing_is_lost_or_late(changed, reason):
    assert streams_held.verdict(paced(**changed), 2, 30) == reason


def test_packets_that_are_neither_here_nor_lost_are_an_error():
    with pytest.raises(venc.VencError, match="59 packets and 0 lost frames of 60"):
        streams_held.verdict(paced(frames=59), 2, 30)


@pytest.mark.parametrize("limit", [0, 1, 7, 8, 37, 200, 1024])
def test_search_finds_the_most_streams(limit):
    tried = []

    def attempt(number):
        tried.append(number)
        return paced(), None if number <= limit else "late"

    found = streams_held.most(attempt, limit=1024)
    assert limit - limit // 32 <= found.streams <= limit
    assert all(tried.count(number) == (1 if number <= limit else 2) for number in tried), "one pause ends no search"
    if limit == 1024:
        assert found.ended_by == "1024 streams were kept; more are not tried"
    else:
        assert found.ended_by.endswith("streams: late")
        assert found.cpu_per_stream == (pytest.approx(0.1 / found.streams) if limit else 0)


def test_search_goes_on_after_one_pause_of_the_machine():
    failures = [16]

    def attempt(number):
        if number in failures:
            failures.remove(number)
            return paced(), "late"
        return paced(), None if number <= 20 else "late"

    assert streams_held.most(attempt).streams == 20


@pytest.mark.sim_only
def test_pace_counts_what_came_and_what_was_lost(backend):
    pictures = bench.pictures(128, 128)
    control = simulator.shared()
    with control.options(null_codec=2000), venc.EncoderGroup(backend=backend) as group:
        encoders = [group.add(128, 128, depth=4, vui=False) for _ in range(2)]
        found = streams_held.pace(group, encoders, pictures, rate=200, warm_up=2, frames=10)
        assert (found.frames, found.bytes, found.lost) == (20, 20 * 2000, 0)
        assert len(found.latencies) == 20 and min(found.latencies) > 0, "no packet comes before its frame is due"


@pytest.mark.parametrize(("together", "places"), [(1, range(24)), (2, [number // 2 * 2 for number in range(24)])])
def test_frames_are_sent_when_they_are_due(monkeypatch, together, places):
    """By a clock that only sleeping moves. What need not wait for it is done before the thread sleeps."""
    now, sent, prepared = [50.0], [], []

    def sleep(seconds):
        now[0] += seconds

    def prepare(stream, due):
        prepared.append(now[0])
        return lambda: send(stream, due)

    def send(stream, due):
        sent.extend((each, due, now[0]) for each in range(stream, stream + together))
        numbers = [None if len(sent) == 24 and each == stream else each for each in range(stream, stream + together)]
        return numbers[0] if together == 1 else numbers  # the last one, or one of the last two, is lost

    monkeypatch.setattr(streams_held, "time", types.SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    lost, took = streams_held.send_paced(prepare, 2, rate=200, warm_up=2, frames=10, together=together)
    assert [stream for stream, _, _ in sent] == [0, 1] * 12
    assert [at for _, _, at in sent] == pytest.approx([50 + place / 400 for place in places])
    assert prepared[1:] == pytest.approx([at for _, _, at in sent[:-together:together]]), "each behind the one before"
    assert [due for _, due, _ in sent[:4]] == [None] * 4
    assert [due for _, due, _ in sent[4:]] == pytest.approx([at for _, _, at in sent[4:]])
    assert lost == 1 and took == pytest.approx((places[23] - places[3]) / 400)


@pytest.mark.sim_only
def test_pace_counts_frames_for_which_there_was_no_room(backend):
    control = simulator.shared()

    class Stalled:
        """An encoder whose device stands still until the tenth frame has been offered."""

        def __init__(self, encoder):
            self.encoder, self.offered = encoder, 0

        def submit_async(self, picture, pts):
            self.offered += 1
            number = self.encoder.submit_async(picture, pts=pts)
            if self.offered == 10:
                control.set_options(stall=0)
            return number

    with control.options(null_codec=2000, stall=1), venc.EncoderGroup(backend=backend) as group:
        encoder = group.add(128, 128, depth=2, queue=2, on_full="drop_newest")
        pictures = bench.pictures(128, 128)
        found = streams_held.pace(
            group, [Stalled(encoder)], pictures, call="submit_async", rate=1000, warm_up=0, frames=10
        )
        assert found.frames + found.lost == 10 and len(found.latencies) == found.frames
        assert 6 <= found.lost <= 8  # two are in the device and two in the queue, or it was still on its way there


@pytest.mark.sim_only
def test_pace_raises_what_an_encoder_raises(backend):
    with venc.EncoderGroup(backend=backend) as group:
        encoders = [group.add(128, 128, depth=4)]
        failing = simulator.shared().failing_frame(simulator.FRAME_RET_CODE, 3, 5)
        with failing, pytest.raises(venc.FrameError):
            streams_held.pace(group, encoders, bench.pictures(128, 128), rate=100, warm_up=0, frames=10)
        encoders[0].flush()


FIND = ["bench", "--find-streams", "-t", "0.1", "-s", "128x128", "--max-latency", "30000"]


@pytest.mark.sim_only
def test_find_streams_reports_figures_that_can_be_sent_in(capsys, monkeypatch):
    monkeypatch.setenv("ASCEND_VENC_SIM_OPTIONS", "channel_limit=3")
    assert main([*FIND, "--backend", "sim", "--json"]) == 0
    text = capsys.readouterr().out
    report = json.loads(text)
    assert [figure["call"] for figure in report["streams"]] == ["submit", "submit_async"]
    for figure in report["streams"]:
        assert figure["streams"] == 3 and "number 4 was refused" in figure["ended_by"] and "full" in figure["ended_by"]
        assert figure["size"] == "128x128" and figure["codec"] == "h265" and 0 < figure["p99_ms"] < 30000
        assert figure["cpu_percent"] > 0
    assert report["device"] == bench.NULL_CODEC
    assert report["chip"] and report["ascendcl"] and report["python"] and report["ascend_venc"] and report["cores"]
    assert platform.node() not in text and str(processes.PACKAGE_PARENT) not in text


@pytest.mark.sim_only
def test_find_streams_measures_a_card_in_this_process(capsys, monkeypatch):
    about = bench.describe("sim", None)
    monkeypatch.setattr(bench, "describe", lambda backend, interface: {**about, "device": "a card", "simulated": False})
    calls = []

    def counting(name, original):
        def counted(enc, *args, **kwargs):
            calls.append(name)
            return original(enc, *args, **kwargs)

        return counted

    for name in ("submit", "submit_async"):
        monkeypatch.setattr(venc.Encoder, name, counting(name, getattr(venc.Encoder, name)))
    with simulator.shared().options(channel_limit=2, null_codec=2000):
        assert main([*FIND, "--backend", "sim", "-c", "h264"]) == 0
    assert [name for name, _ in itertools.groupby(calls)] == ["submit", "submit_async"]
    text = capsys.readouterr().out
    assert "null codec" not in text
    for call in ("submit", "submit_async"):
        assert re.search(rf"128x128  h264 +{call} +2 +[\d.]+% +[\d.]+  3 streams: number 3 was refused", text)


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (["-n", "4"], 2, "--channels has no meaning"),
        (["--max-latency", "0"], 2, "--max-latency is 0"),
        (["-s", "127x128"], 1, "127"),
    ],
)
def test_find_streams_names_what_it_cannot_measure(args, code, text, capsys):
    assert main(["bench", "--find-streams", "-t", "0.1", "--backend", "sim", *args]) == code
    assert text in capsys.readouterr().err


def test_report_names_neither_host_nor_path(monkeypatch):
    monkeypatch.setattr(platform, "node", lambda: "card7.example.org")
    text = bench.nameless("card7: /usr/local/Ascend/lib64/libascendcl.so, ~/x: 30 fps/stream on card7.example.org")
    assert text == "<host>: <path>, <path>: 30 fps/stream on <host>"
