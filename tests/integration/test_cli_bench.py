# SPDX-License-Identifier: Apache-2.0
"""`ascend-venc bench`: every case that was asked for, with real figures, and which device they are of."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

import ascend_venc as venc
from ascend_venc.cli import bench, main
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
