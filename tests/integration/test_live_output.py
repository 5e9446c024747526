# SPDX-License-Identifier: Apache-2.0
"""Outputs over a network: what arrives, and what a network that stalls or dies does to whoever encodes."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import ascend_venc as venc
from ascend_venc.media import LiveOutput, Muxer, Target, live, live_connection, live_process
from helpers import clips, peers, processes
from helpers.waiting import eventually, is_inside, outcome, started

av = pytest.importorskip("av", reason="PyAV is not installed")

W, H = 160, 144
NOISE = np.random.default_rng(0).integers(0, 256, (4, 480, 640, 3), np.uint8)  # a large packet for each
OLD_PYAV = int(av.__version__.partition(".")[0]) < 16


@pytest.fixture(autouse=True)
def soon_again(monkeypatch):
    monkeypatch.setattr(live, "FIRST_DELAY", 0.05)
    monkeypatch.setattr(live, "LONGEST_DELAY", 0.2)


def grey(level):
    return np.full((H, W, 3), level, np.uint8)


def children():
    """Processes that this one has started, and which are not ended yet."""
    found = []
    for each in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # native threads of encoders that were closed end meanwhile
            found += each.read_text().split()
    return found


def stalled_rtmp(server):
    server.read.clear()  # takes the connection, and says nothing to it
    return f"rtmp://127.0.0.1:{server.port}/live/key"


# ---- what arrives ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "scheme, codec", [("udp", "h265"), ("tcp", "h264"), ("http", "h265"), ("rtsp", "h264"), ("srt", "h265")]
)
def test_stream_arrives_and_is_decoded_while_it_is_encoded(backend, scheme, codec):
    if scheme == "srt" and not peers.knows_srt():
        pytest.skip("this PyAV's FFmpeg was built without SRT")
    receiver = peers.Receiver(scheme)
    output = LiveOutput(receiver.url, realtime=True)
    with venc.VideoWriter(output, codec=codec, fps=50, gop=10, bitrate="1M", backend=backend) as writer:
        while not receiver.has_enough:
            writer.write(grey(2 * writer.frames % 256))
    receiver.join()
    assert receiver.error is None and receiver.codec == {"h265": "hevc"}.get(codec, codec)
    steps = [round(later - luma) for (_, luma, _), (_, later, _) in zip(receiver.pictures, receiver.pictures[1:])]
    assert sum(0 <= step <= 8 for step in steps) >= len(steps) - 1 and max(steps) > 0  # brighter, but where it wraps
    times = [seconds for seconds, _, _ in receiver.pictures if seconds is not None][-5:]
    assert times[-1] - times[0] == pytest.approx(0.02 * 4, abs=0.001)
    stats = output.stats
    assert stats.sent + stats.dropped == writer.frames and stats.sent >= 10 and stats.bytes > 0
    assert (stats.queued, stats.connected_since) == (0, None)


@pytest.mark.skipif(OLD_PYAV, reason="FFmpeg's RTMP server crashes in the wheels of PyAV before 16")
def test_rtmp_publishes_flv_by_one_call_at_the_pace_of_the_pictures(backend):
    receiver = peers.Receiver("rtmp", enough=8)
    eventually(lambda: peers.listens(receiver.url), 30)
    begin = time.monotonic()
    assert venc.write(receiver.url, [grey(10 * n) for n in range(20)], fps=20, backend=backend) == 20
    assert time.monotonic() - begin > 0.9  # of 1 s; nothing is faster than it is shown
    receiver.join()
    assert receiver.codec == "h264" and len(receiver.pictures) >= 8
    assert receiver.pictures[0][0] == 0 and receiver.pictures[0][2]


def test_udp_sends_datagrams_of_whole_transport_packets(backend):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(60)
        url = f"udp://127.0.0.1:{receiver.getsockname()[1]}"
        with venc.VideoWriter(url, fps=25, backend=backend, bitrate="20M") as writer:
            writer.write(NOISE[0])
        sizes = set()
        while 1316 not in sizes:
            data = receiver.recv(65536)
            sizes.add(len(data))
            assert len(data) <= 1316 and all(data[place] == 0x47 for place in range(0, len(data), 188))
    assert writer.live_outputs[0].stats.sent == 1


def test_muxer_sends_to_a_network_too(backend):
    with peers.Server() as server:
        encoder = venc.Encoder(W, H, codec="h265", fps=25, backend=backend, pixel_format="rgb24")
        with encoder, Muxer(server.url, encoder=encoder) as out:
            for n in range(5):
                out.write_all(encoder.encode(grey(n)))
            out.write_all(encoder.flush())
        eventually(lambda: len(peers.pictures_of(server.received[0])) == 5)
    with pytest.raises(venc.MediaError, match="closed"):
        out.write(b"")


def test_command_sends_a_film_to_a_network(backend):
    from ascend_venc import cli

    with peers.Server() as server:
        assert cli.main(["encode", clips.CLIP, server.url, "--backend", backend, "-q", "-r", "100", "-c", "h264"]) == 0
        eventually(lambda: len(peers.pictures_of(server.received[0])) == 60)


def test_command_says_once_what_the_network_says(backend, capsys):
    from ascend_venc import cli

    url = f"rtmp://127.0.0.1:{peers.free_port()}/live/key"
    assert cli.main(["encode", clips.CLIP, url, "--backend", backend, "-r", "1000"]) == 1
    said = capsys.readouterr().err
    assert said.endswith(f"ascend-venc: {url[:-3]}...: nothing was sent: Connection refused\n")
    assert cli.main(["encode", clips.CLIP, url, "--backend", backend, "-c", "h265"]) == 2
    assert "its scheme stands for h264, but -c says h265" in capsys.readouterr().err


# ---- networks that fail ----------------------------------------------------------------------------------------------


def test_command_asks_for_an_idr_where_a_connection_is_made_again(monkeypatch, backend):
    from ascend_venc import cli
    from ascend_venc.cli import encode

    inner = encode._frames
    with peers.Server() as server:

        def frames_until_the_second_connection_has_some(*args):
            cut = False
            for frame in inner(*args):
                yield frame
                if not cut and server.received and len(server.received[0]) > 5000:
                    cut = True
                    server.cut()
                if len(server.received) > 1 and len(server.received[-1]) > 5000:
                    return

        monkeypatch.setattr(encode, "_frames", frames_until_the_second_connection_has_some)
        command = ["encode", clips.CLIP, server.url, "--loop", "-1", "-re", "-r", "100", "-g", "60000", "-c", "h264"]
        assert cli.main([*command, "--backend", backend, "-q"]) == 0
        assert peers.pictures_of(server.received[-1])[0] == (pytest.approx(0, abs=2), True)


@pytest.mark.parametrize("fault", ["stops reading", "dies", "process killed", "process stopped"])
def test_connection_that_fails_is_made_again_and_begins_with_an_idr_that_was_asked_for(
    tmp_path, monkeypatch, backend, fault
):
    stopped = set()
    wait_for = live_process.LiveProcess._wait_for

    def wait_for_less_of_a_stopped_one(self, pipe, event, deadline):
        while self.pid not in stopped and time.monotonic() < deadline:
            with contextlib.suppress(live_process.ConnectionLost):
                return wait_for(self, pipe, event, time.monotonic() + 0.05)
        return wait_for(self, pipe, event, time.monotonic())

    if fault == "process stopped":  # it is given up at once, not after a time in which no other one would be ready
        monkeypatch.setattr(live_process.LiveProcess, "_wait_for", wait_for_less_of_a_stopped_one)
    path = tmp_path / "all.ts"
    before = set(children())
    with peers.Server() as server:
        output = LiveOutput(server.url, timeout=1 if fault == "stops reading" else 30, max_queued=5, realtime=True)
        writer = venc.VideoWriter([path, output], fps=30, gop=60000, bitrate="48M", backend=backend)

        def write_until(condition):
            while not condition():
                writer.write(NOISE[writer.frames % 4] if fault == "stops reading" else grey(writer.frames % 256))

        write_until(lambda: server.received and len(server.received[0]) > 5000)
        if fault == "stops reading":
            server.read.clear()
        elif fault == "dies":
            server.cut()
        else:
            pid = output._process.pid
            os.kill(pid, signal.SIGKILL if fault == "process killed" else signal.SIGSTOP)
            stopped.add(pid)
        write_until(lambda: output.stats.error)
        error = output.stats.error
        if fault == "stops reading":
            server.cut()
            server.read.set()
        write_until(
            lambda: (
                len(server.received) > 1 and len(server.received[-1]) > (300_000 if fault == "stops reading" else 5000)
            )
        )
        writer.close()
        second = peers.pictures_of(server.received[-1])
    stats = output.stats
    assert (
        error
        == {
            "stops reading": "it takes no data: nothing went on for 1 s (timeout)",
            "dies": error if error in ("Broken pipe", "Connection reset by peer") else "of the system",
            "process killed": "the process that sends has ended with exit code -9",
            "process stopped": "the process that sends does not answer",
        }[fault]
    )
    assert stats.reconnects >= 1 and stats.sent + stats.dropped == writer.frames and stats.dropped > 0
    assert second[0] == (pytest.approx(0, abs=2), True)
    with av.open(str(path)) as container:  # whoever encodes was not held up, and nothing is missing elsewhere
        packets = [packet for packet in container.demux(video=0) if packet.size]
    assert len(packets) == writer.frames
    assert sum(packet.is_keyframe for packet in packets) >= 2  # the GOP has one: the other was asked for
    assert set(children()) <= before


def test_server_that_never_answers_holds_up_nobody_and_close_is_bounded(tmp_path, backend):
    before = set(children())
    with peers.Server() as server:
        output = LiveOutput(stalled_rtmp(server), timeout=0.5, max_queued=10)
        writer = venc.VideoWriter([tmp_path / "all.mkv", output], fps=25, backend=backend)
        for n in range(100):
            writer.write(grey(n))
        with pytest.raises(venc.MediaError, match=r"rtmp://127.0.0.1:\d+/live/\.\.\.: nothing was sent: "):
            writer.close()
    assert output.stats.dropped == 100 and output.stats.sent == 0
    assert len(clips.read_video(tmp_path / "all.mkv")[2]) == 100
    assert set(children()) <= before


def test_first_connection_is_tried_again_until_there_is_a_server(backend, caplog):
    port = peers.free_port()
    output = LiveOutput(f"tcp://127.0.0.1:{port}", realtime=True)
    with venc.VideoWriter(output, fps=100, gop=60000, backend=backend) as writer:
        while not output.stats.error:
            writer.write(grey(0))
        assert "refused" in output.stats.error and output.stats.connected_since is None
        with peers.Server(port) as server:
            while not (server.received and len(server.received[0]) > 5000):
                writer.write(grey(writer.frames % 256))
            assert 0 < time.time() - output.stats.connected_since < 120
            assert peers.pictures_of(server.received[0])[0][1]
            assert output.stats.reconnects == 0
    assert caplog.messages[0] == f"tcp://127.0.0.1:{port}: Connection refused; next try in 0.05 s"
    assert {record.name for record in caplog.records} == {"ascend_venc"}


def test_rtsp_server_that_comes_back_gets_a_stream_that_begins_with_an_idr(backend):
    first = peers.Receiver("rtsp", enough=5)
    eventually(lambda: peers.listens(first.url), 30)
    output = LiveOutput(first.url, realtime=True)
    with venc.VideoWriter(output, fps=50, gop=60000, backend=backend) as writer:
        while not first.has_enough:
            writer.write(grey(2 * writer.frames % 256))
        first.join()
        second = peers.Receiver("rtsp", enough=5, port=first.port)
        while not second.has_enough:
            writer.write(grey(2 * writer.frames % 256))
        second.join()
    assert first.error is None and second.error is None
    assert second.pictures[0][2] and not any(key for _, _, key in second.pictures[1:])
    assert output.stats.reconnects >= 1


def test_options_of_rtsp_are_taken(backend):
    receiver = peers.Receiver("rtsp", enough=5)
    eventually(lambda: peers.listens(receiver.url), 30)
    output = LiveOutput(receiver.url, realtime=True, options={"rtsp_transport": "tcp"})
    with venc.VideoWriter(output, fps=50, backend=backend) as writer:
        while not (receiver.has_enough or output.stats.error):
            writer.write(grey(2 * writer.frames % 256))
        assert receiver.has_enough, output.stats.error
        receiver.join()
    assert receiver.error is None and receiver.pictures[0][2]


class Clock:
    """In place of the module `time`, for what a thread does by itself."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now

    time = monotonic


def run_connections(monkeypatch, connect, **settings):
    """A `LiveOutput` whose connections are calls of `connect(output, number)`, once its thread has ended."""
    numbers = iter(range(1000))
    monkeypatch.setattr(LiveOutput, "_connect", lambda output, key: connect(output, next(numbers)))
    output = LiveOutput("udp://127.0.0.1:1", **settings)
    output.start(Fraction(1, 25))
    packet = Packet(10)
    packet.is_keyframe = True
    output.write(packet, pts=0)
    output._thread.join(20)
    assert not output._thread.is_alive()
    return output


def send_one(output):
    with output._changed:
        output._count(sent=1)


def test_delay_of_the_next_try_is_doubled_up_to_the_longest_and_begins_anew_behind_one_that_worked(monkeypatch, caplog):
    monkeypatch.setattr(live, "FIRST_DELAY", 0.001)
    monkeypatch.setattr(live, "LONGEST_DELAY", 0.004)

    def connect(output, number):
        if number == 5:
            send_one(output)
        if number < 7:
            raise live_process.ConnectionLost("gone", True)

    run_connections(monkeypatch, connect)
    delays = [float(message.split()[-2]) for message in caplog.messages]
    assert delays == [0.001, 0.002, 0.004, 0.004, 0.004, 0.001, 0.002]


def test_patience_of_reconnect_begins_anew_behind_a_connection_that_worked(monkeypatch):
    clock, tried = Clock(), []
    monkeypatch.setattr(live, "time", clock)

    def connect(output, number):
        tried.append(clock.now)
        if number == 0:
            clock.now += 100
            send_one(output)
        if number == 2:
            clock.now += 11
        raise live_process.ConnectionLost("gone", True)

    output = run_connections(monkeypatch, connect, reconnect=10)
    assert tried == [1000, 1100, 1100]
    with pytest.raises(venc.MediaError, match="gone"):
        output.close()


PRINTING = """
import os
from ascend_venc.media import live_connection
live_connection.import_av = lambda: os.write(1, b"what a library says " * 9)
live_connection.main()
"""


def test_process_that_sends_is_of_its_own_session_and_what_is_printed_there_is_no_answer(monkeypatch, backend):
    monkeypatch.setattr(live_process.LiveProcess, "program", lambda self: PRINTING)
    with peers.Server() as server:
        output = LiveOutput(server.url, realtime=True, timeout=30)
        with venc.VideoWriter(output, fps=50, backend=backend) as writer:
            while not (server.received and len(server.received[0]) > 5000):
                writer.write(grey(writer.frames % 256))
            pid = output._process.pid
            assert os.getsid(pid) == pid != os.getsid(0), "Ctrl-C in a terminal is the program's"
    assert (output.stats.error, output.stats.reconnects) == ("", 0)


def test_bound_of_a_call_is_over_with_the_call():
    before = signal.getitimer(signal.ITIMER_REAL)
    try:
        with live_connection._within(1000):
            assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 1000
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, *before)  # of whatever bounds the tests


@pytest.mark.parametrize("reconnect", [False, 0.001])
def test_without_reconnect_the_failure_is_raised_once_and_the_other_outputs_go_on(tmp_path, backend, reconnect):
    output = LiveOutput(f"tcp://127.0.0.1:{peers.free_port()}", reconnect=reconnect)
    writer = venc.VideoWriter([tmp_path / "all.mkv", output], fps=25, backend=backend)
    with pytest.raises(venc.MediaError, match=r"tcp://127.0.0.1:\d+: Connection refused"):
        while True:
            writer.write(grey(0))
    writer.write(grey(1))
    writer.close()
    assert len(clips.read_video(tmp_path / "all.mkv")[2]) == writer.frames


def test_what_ffmpeg_does_not_know_is_not_tried_again(monkeypatch, backend):
    monkeypatch.setitem(live.LIVE_FORMATS, "nosuch", "mpegts")
    output = LiveOutput("nosuch://127.0.0.1:1", reconnect=True)
    writer = venc.VideoWriter(output, fps=25, backend=backend)
    writer.write(grey(0))
    with pytest.raises(venc.MediaError, match=r"nosuch://127.0.0.1:1: Protocol not found"):
        while True:
            writer.write(grey(0))
    with pytest.raises(venc.MediaError, match="Protocol not found"):
        writer.close()


def test_process_that_cannot_start_says_why(monkeypatch, backend):
    monkeypatch.setattr(live_process.LiveProcess, "program", lambda self: "import nosuchmodule")
    writer = venc.VideoWriter("udp://127.0.0.1:1", fps=25, backend=backend)
    writer.write(grey(0))
    with pytest.raises(venc.MediaError, match=r"has ended with exit code 1: ModuleNotFoundError: .*nosuchmodule"):
        writer.close()


# ---- the queue -------------------------------------------------------------------------------------------------------


class Packet(bytes):
    is_keyframe = False


def packets(kinds, size=10):
    for number, kind in enumerate(kinds):
        packet = Packet(size)
        packet.is_keyframe = kind == "K"
        yield number, packet


@pytest.fixture
def unsent(monkeypatch):
    """Outputs whose thread sends nothing, so that the queue is what `write` makes of it."""
    monkeypatch.setattr(LiveOutput, "_run", lambda self: None)

    def make(**settings):
        output = LiveOutput("udp://127.0.0.1:1", **settings)
        output.start(Fraction(1, 25))
        return output

    return make


@pytest.mark.parametrize(
    "settings, kinds, queued, dropped, asks",
    [
        ({"max_queued": 4}, "KPPP", 4, 0, False),
        ({"max_queued": 4}, "KPPPP", 0, 5, True),
        ({"max_queued": 4}, "KPPPPP", 0, 6, True),
        ({"max_queued": 4}, "KPPPPPKP", 2, 6, False),
        ({"max_queued": 4}, "KPPPK", 1, 4, False),
        ({"max_queued_bytes": 30}, "KPP", 3, 0, False),
        ({"max_queued_bytes": 30}, "KPPP", 0, 4, True),
        ({"max_queued_bytes": 30}, "KPPPKPP", 3, 4, False),
        ({"max_queued_bytes": 5}, "K", 1, 0, False),
        ({"max_queued_bytes": 5}, "KK", 1, 1, False),
    ],
)
def test_full_queue_is_dropped_up_to_the_next_idr(unsent, settings, kinds, queued, dropped, asks):
    output = unsent(**settings)
    for pts, packet in packets(kinds):
        output.write(packet, pts=pts)
    assert (output.stats.queued, output.stats.dropped, output.wants_key_frame) == (queued, dropped, asks)
    assert not output._queue or output._queue[0].is_keyframe


def test_idr_that_was_asked_for_comes_behind_a_picture_that_was_refused(tmp_path, monkeypatch, backend):
    monkeypatch.setattr(LiveOutput, "_run", lambda self: None)
    output, path = LiveOutput("udp://127.0.0.1:1"), tmp_path / "film.mkv"
    with venc.VideoWriter([path, output], gop=1000, backend=backend) as writer:
        writer.write(grey(1))
        eventually(lambda: output.stats.queued == 1)  # an IDR, behind which there is nothing to ask for
        output.wants_key_frame = True
        with pytest.raises(TypeError, match="sei must be"):
            writer.write(grey(2), sei="wrong")
        assert output.wants_key_frame
        writer.write(grey(2))
    with av.open(str(path)) as container:
        assert [packet.is_keyframe for packet in container.demux(video=0) if packet.size] == [True, True]


def test_longest_timeout_is_one_that_the_system_takes():
    process = live_process.LiveProcess(live._LONGEST_TIMEOUT)
    try:
        with pytest.raises(live_process.ConnectionLost) as lost:  # by what is no picture, not by the waits
            settings = {"codec": "h264", "fps": 25, "format": "mpegts", "time_base": Fraction(1, 25)}
            process.ask(("udp://127.0.0.1:1", live._LONGEST_TIMEOUT, settings), (0, 1, True, b"no picture"))
        assert "too large" not in str(lost.value)
    finally:
        process.close(killed=True)


def test_first_packet_has_to_be_a_key_frame(unsent):
    with pytest.raises(venc.MediaError, match="first packet is no key frame"):
        unsent().write(Packet(3), pts=0)


def test_muxer_to_a_network_goes_on_behind_a_first_packet_that_was_refused(monkeypatch):
    monkeypatch.setattr(LiveOutput, "_run", lambda self: None)
    output = LiveOutput("udp://127.0.0.1:1")
    with Muxer(output, codec="h264", fps=25, time_base=Fraction(1, 25)) as muxer:
        (_, delta), (_, key) = packets("PK")
        with pytest.raises(venc.MediaError, match="the first packet is no key frame"):
            muxer.write(delta, pts=0)
        muxer.write(key, pts=0)
        assert output.stats.queued == 1


def test_realtime_waits_for_the_time_of_each_packet(unsent):
    output = unsent(realtime=True)
    begin = time.monotonic()
    for pts, packet in packets("KPPP"):
        output.write(packet, pts=5 * pts)
    assert time.monotonic() - begin >= 0.6
    output.close()
    output.write(Packet(3), pts=10**9)  # nothing is waited for after the end


def test_packet_that_waits_for_its_time_hears_that_the_output_has_failed(unsent):
    output = unsent(realtime=True)
    (first, key), (_, packet) = packets("KP")
    output.write(key, pts=first)
    writer = started(lambda: output.write(packet, pts=10**6))
    eventually(lambda: is_inside(writer, "wait"))
    with output._changed:
        output._failure = venc.MediaError("it is gone")
        output._changed.notify_all()
    assert "it is gone" in str(outcome(writer))


# ---- arguments -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url, settings, error, says",
    [
        ("film.mp4", {}, venc.InvalidArgumentError, "url is 'film.mp4'; it must begin with one of rtsp://, "),
        (3, {}, TypeError, "url must be a str"),
        ("udp://a:1", {"timeout": 0}, venc.InvalidArgumentError, "timeout is 0; it must be greater than 0"),
        ("udp://a:1", {"timeout": 1e12}, venc.InvalidArgumentError, r"timeout is 1.*, and at most 1000000 s"),
        ("udp://a:1", {"timeout": 10**400}, venc.InvalidArgumentError, "timeout is an integer of 1329 bits"),
        ("udp://a:1", {"options": "x"}, TypeError, "options must be a mapping of str, such as"),
        ("udp://a:1", {"reconnect": -1}, venc.InvalidArgumentError, "reconnect is -1"),
        ("udp://a:1", {"reconnect": "no"}, TypeError, "reconnect must be a number of seconds"),
        ("udp://a:1", {"max_queued": 0}, venc.InvalidArgumentError, "max_queued is 0; it must be 1 or more"),
        ("udp://a:1", {"max_queued_bytes": 1.5}, TypeError, "max_queued_bytes must be an int"),
        ("udp://a:1", {"realtime": 1}, TypeError, "realtime must be a bool"),
        (
            "udp://a:1",
            {"format": "mp4"},
            venc.InvalidArgumentError,
            "format is 'mp4'; a network takes flv, mpegts, rtsp",
        ),
        ("udp://a:1", {"format": "rtsp"}, venc.InvalidArgumentError, "format is 'rtsp'"),
    ],
)
def test_arguments_are_checked(url, settings, error, says):
    with pytest.raises(error, match=says):
        LiveOutput(url, **settings)


def test_writer_refuses_what_a_network_cannot_have(tmp_path, backend):
    for settings in (
        {"copy_audio_from": clips.CLIP},
        {"split_bytes": 10},
        {"fragmented": True},
        {"metadata": {"a": "b"}},
    ):
        with pytest.raises(venc.InvalidArgumentError, match=f"{next(iter(settings))}.* is for files only"):
            venc.VideoWriter("udp://127.0.0.1:1", **settings)
    with pytest.raises(venc.InvalidArgumentError, match=r"FLV, which holds H.264 only"):
        venc.VideoWriter("rtmp://127.0.0.1/live/key", codec="h265")
    with pytest.raises(venc.InvalidArgumentError, match=r"rist://a: its scheme is not known; rtsp, "):
        Target("rist://a")
    with pytest.raises(venc.InvalidArgumentError, match="format is 'rtsp'"):
        Muxer(tmp_path / "film", codec="h264", fps=25, format="rtsp")


def test_output_is_of_one_writer_and_closes_twice(unsent):
    output = unsent()
    with pytest.raises(venc.MediaError, match="of one writer"):
        output.start(Fraction(1, 25))
    output.close()
    output.close()


def test_texts_do_not_tell_what_may_be_secret():
    names = {
        "rtmp://host/live/key": "rtmp://host/live/...",
        "rtmps://me:secret@host:1935/app/key?auth=secret": "rtmps://host:1935/app/...",
        "rtsp://me:secret@host/way?token=secret": "rtsp://host/way",
        "udp://host:1?ttl=3": "udp://host:1",
    }
    assert {url: LiveOutput(url).name for url in names} == names


# ---- ends ------------------------------------------------------------------------------------------------------------

PROGRAM = """
import sys
import numpy as np
import ascend_venc as venc
from ascend_venc.media import LiveOutput

output = LiveOutput(sys.argv[1], timeout=float(sys.argv[2]))
with venc.VideoWriter(output, fps=25, backend=sys.argv[3]) as writer:
    while True:
        writer.write(np.full((144, 160, 3), writer.frames % 256, np.uint8))
        process = output._process
        if process is not None and writer.frames > 100:
            print(process.pid, flush=True)
            print("ready", flush=True)
            while True:
                writer.write(np.full((144, 160, 3), writer.frames % 256, np.uint8))
"""


def _is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_ctrl_c_ends_a_program_whose_server_does_not_answer(backend):
    with peers.Server() as server:
        process, _, errors, _ = processes.interrupt_when(PROGRAM, "ready", stalled_rtmp(server), 1, backend, busy=True)
    assert process.returncode != 0 and errors.strip().endswith("KeyboardInterrupt")


def test_killed_program_leaves_no_process(backend):
    with peers.Server() as server:
        program = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, stalled_rtmp(server), "1", backend],
            env=processes.environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        with program:
            sender = int(program.stdout.readline())
            program.kill()
        eventually(lambda: not _is_running(sender), 60)
