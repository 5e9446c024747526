# SPDX-License-Identifier: Apache-2.0
"""Numbers that a program can read."""

import dataclasses
import re
import subprocess
import sys
import textwrap
import threading
import time

import pytest

import ascend_venc as venc
from ascend_venc import stats
from ascend_venc._lowlevel.channel import bucket_seconds
from ascend_venc.config import EncoderConfig
from helpers import processes, simulator, video
from helpers.waiting import eventually, is_inside, outcome, started

SAMPLE = re.compile(r'(?P<name>[a-z_]+)\{(?P<labels>(?:[a-z]+="(?:[^"\\]|\\.)*",?)+)\} (?P<value>[0-9.e+-]+|\+Inf|inf)')


@pytest.fixture(scope="module")
def frames():
    return video.synthetic(128, 128, 10)


def test_counters_tell_what_happened(backend, frames):
    with venc.Encoder(128, 128, codec="h264", gop=4, backend=backend) as enc:
        for frame in frames:
            enc.submit(frame)
        packets = enc.flush()
        found = enc.stats
    assert (found.submitted, found.encoded, found.failed, found.in_flight, found.ready) == (10, 10, 0, 0, 0)
    assert found.key_frames == 3
    assert found.bytes_out == sum(packet.size for packet in packets)
    assert found.latency.count == found.hold.count == 10
    latencies = sorted(packet.latency for packet in packets)
    assert found.latency.max == pytest.approx(latencies[-1], abs=1e-5)
    assert latencies[4] <= found.latency.p50 * 1.01 + 1e-5
    assert found.latency.p50 <= latencies[5] * 1.35 + 2e-6
    assert found.latency.p50 <= found.latency.p99 <= found.latency.max
    assert enc.stats.encoded == 10, "also when it is closed"
    with pytest.raises(AttributeError):
        found.encoded = 0


@pytest.mark.sim_only
def test_times_of_an_idle_device_and_of_a_blocked_program(backend, frames):
    main, sim = threading.current_thread(), simulator.shared()

    def let_go():
        eventually(lambda: is_inside(main, "submit"))
        time.sleep(0.15)
        sim.set_options(stall=0)

    with venc.Encoder(128, 128, codec="h264", depth=1, queue=0, backend=backend) as enc:
        with sim.options(stall=1):
            enc.submit(frames[0])
            other = started(let_go)
            enc.submit(frames[1])
            outcome(other)
        enc.flush()
        busy = enc.stats
        assert busy.blocked + busy.sending > 0.1
        time.sleep(0.1)
        assert enc.stats.device_idle - busy.device_idle >= 0.099


def test_buckets_grow_and_quantiles_of_known_times():
    bounds = bucket_seconds()
    assert bounds == sorted(set(bounds))
    assert bounds[-1] > 100
    assert all(b / a <= 1.26 for a, b in zip(bounds[8:], bounds[9:]))
    counts = [0] * len(bounds)
    counts[10], counts[20] = 98, 2
    histogram = stats.Histogram(tuple(counts), max=bounds[20])
    assert (histogram.count, histogram.p50, histogram.p99) == (100, bounds[10], bounds[20])
    assert stats.Histogram((0,) * len(bounds), 0.0).p99 == 0.0


def test_prometheus_text_has_every_open_encoder(backend, frames):
    before = stats.prometheus()
    with venc.Encoder(128, 128, codec="h264", backend=backend) as enc:
        for frame in frames:
            enc.submit(frame)
        enc.flush()
        text = stats.prometheus()
    assert 'size="128x128"' not in before + stats.prometheus(), "open ones only"
    families, samples = {}, []
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            families[name] = kind
        elif not line.startswith("# HELP "):
            match = SAMPLE.fullmatch(line)
            assert match, line
            samples.append((match["name"], match["labels"], match["value"]))
            base = re.sub("_(bucket|sum|count)$", "", match["name"])
            assert match["name"] in families or families[base] == "histogram"
    values = {name: float(value) for name, labels, value in samples if "le=" not in labels and "reason=" not in labels}
    assert values["ascend_venc_frames_encoded_total"] == 10
    assert values["ascend_venc_latency_seconds_count"] == 10
    buckets = [float(value) for name, _, value in samples if name == "ascend_venc_latency_seconds_bucket"]
    assert buckets == sorted(buckets)
    assert buckets[-1] == 10
    assert values["ascend_venc_latency_seconds_sum"] > 0
    assert families["ascend_venc_frames_in_flight"] == "gauge"


def test_prometheus_text_has_every_digit():
    """Rates are differences of counters, which go on growing."""

    class Busy:
        name, closed, backend = None, False, "sim:Ascend310P3"
        config = EncoderConfig.resolve(128, 128)

        @property
        def stats(self):
            return found

    with venc.Encoder(128, 128, backend="sim") as enc:
        counts = (987_654_321, *enc.stats.latency.counts[1:])
        found = dataclasses.replace(
            enc.stats, bytes_out=12_345_678_901, blocked=86_400.015625, latency=stats.Histogram(counts, 1.0)
        )
    busy = Busy()
    stats.register(busy)
    values = dict(line.rsplit(" ", 1) for line in stats.prometheus().splitlines() if "{" in line)
    values = {name.partition("{")[0]: value for name, value in values.items() if "le=" not in name}
    assert values["ascend_venc_bytes_total"] == "12345678901"
    assert values["ascend_venc_blocked_seconds_total"] == "86400.015625"
    total = counts[0] * found.latency.bounds[0] / 2
    assert float(values["ascend_venc_latency_seconds_sum"]) == total != float(f"{total:g}")


def test_logging_is_silent_unless_asked_for():
    program = """
        import sys
        import logging
        import ascend_venc as venc
        if len(sys.argv) > 1:
            logging.basicConfig(level=logging.INFO, format="%(name)s %(levelname)s %(message)s")
        with venc.Encoder(128, 128, codec="h264", backend="sim") as enc:
            enc.encode(bytes(128 * 128 * 3 // 2))
            enc.flush()
            enc.reconfigure(bitrate="1M")
    """
    for arguments, expected in (([], []), (["log"], ["opened", "reconfigured from frame 1", "closed after 1 frames"])):
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program), *arguments],
            env=processes.environment(),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        lines = done.stderr.splitlines()
        assert len(lines) == len(expected), done.stderr
        for line, words in zip(lines, expected):
            assert line.startswith(f"ascend_venc INFO {words}")
