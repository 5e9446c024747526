# SPDX-License-Identifier: Apache-2.0
"""The command's own logic, with another encoder in place: exit codes, what is printed, what is left behind."""

import errno
import io
import json
import os
import re
import signal
import sys
import threading
import time
import types
from fractions import Fraction

import pytest

from ascend_venc import cli, errors
from ascend_venc.cli import encode, ffmpeg_options, interruption, progress
from ascend_venc.rate_control import RateControl
from helpers import clips, processes


class FakePacket(bytes):
    """As much of a packet as the command looks at."""

    is_keyframe = True

    def __new__(cls, index):
        packet = super().__new__(cls, b"\0\0\0\1x")
        packet.frame_index = index
        return packet

    @property
    def size(self):
        return len(self)


class FakeEncoder:
    """Returns one packet for each frame; `spoil` may do something else."""

    backend = "sim:Fake"
    interface = "v1"
    made = ()

    def __init__(self, width, height, **options):
        self.config = types.SimpleNamespace(
            width=width, height=height, codec=options["codec"], profile="main", bitrate=64000
        )
        self.options = options
        self.frames = 0
        FakeEncoder.made = (*FakeEncoder.made, self)

    def encode(self, frame, *, key_frame=False):
        self.frames += 1
        return [FakePacket(self.frames - 1)]

    def flush(self):
        return []

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def _close(self, warn, timeout=None):
        pass


@pytest.fixture(autouse=True)
def fake_encoder(monkeypatch):
    monkeypatch.setattr(encode, "Encoder", FakeEncoder)
    monkeypatch.setattr(encode.core, "reason", "because {}".format)
    monkeypatch.setattr(FakeEncoder, "made", ())


@pytest.fixture
def y4m(tmp_path):
    path = tmp_path / "in.y4m"
    path.write_bytes(clips.y4m(16, 8, frames=5))
    return str(path)


def run(*arguments):
    return cli.main([str(argument) for argument in arguments])


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_encode_writes_every_packet_and_prints_nothing(tmp_path, y4m, capfd):
    assert run("encode", y4m, tmp_path / "out.h264") == 0
    assert (tmp_path / "out.h264").read_bytes() == b"\0\0\0\1x" * 5
    assert capfd.readouterr() == ("", "")
    assert names(tmp_path) == ["in.y4m", "out.h264"]


def test_encode_hands_its_options_to_the_encoder(tmp_path, y4m):
    more = ["--backend", "sim", "--device", 3, "--interface", "V2", "--device-timeout", "2.5"]
    video_options = ["-b", "2.5M", "-g", 7, "-r", "29.97", "--rc", "cbr", "--profile", "main"]
    assert run("encode", y4m, tmp_path / "out.264", *video_options, *more) == 0
    (made,) = FakeEncoder.made
    assert made.options == {
        "codec": "h264",
        "profile": "main",
        "pixel_format": "nv12",
        "color": (2, 2, 2),
        "sample_aspect_ratio": None,
        "fps": Fraction(30000, 1001),
        "bitrate": 2500000,
        "rc": "cbr",
        "gop": 7,
        "aud": False,
        "backend": "sim",
        "device": 3,
        "interface": "v2",
        "timeout": 2.5,
    }


@pytest.mark.parametrize(
    ("arguments", "rc", "bitrate"),
    [
        ([], "default", None),
        (["-b:v", "1M", "-maxrate", "1M", "-bufsize", "2M"], "cbr", 1000000),
        (["-maxrate", "1M"], "vbr", 1000000),
        (["-b:v", "1M", "-rc", "CBR"], "cbr", 1000000),
        (["-qp", "30"], RateControl("fixqp", qp=30), None),
    ],
)
def test_rates_of_ffmpeg_are_modes_of_rate_control(tmp_path, y4m, arguments, rc, bitrate):
    assert run("encode", "-i", y4m, *arguments, tmp_path / "o.h264") == 0
    (made,) = FakeEncoder.made
    assert (made.options["rc"], made.options["bitrate"]) == (rc, bitrate)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90.5", Fraction(181, 2)), ("1:30", 90), ("01:00:00.25", 3600.25), ("500ms", 0.5), ("7us", 7e-6)],
)
def test_times_are_those_of_ffmpeg(text, seconds):
    assert float(ffmpeg_options.moment(text)) == pytest.approx(float(seconds), abs=1e-12)


@pytest.mark.parametrize("text", ["", "x", "-1", "1:60", "1:2:3:4", "5m", "1e3", "99999999999"])
def test_times_that_are_none_are_refused(text):
    with pytest.raises(errors.InvalidArgumentError, match="HH"):
        ffmpeg_options.moment(text)


def test_options_may_be_joined_to_their_values_and_flags_to_each_other(tmp_path, y4m):
    assert run("encode", y4m, "-b2M", tmp_path / "o.h264", "-yq", "-g5") == 0
    (made,) = FakeEncoder.made
    assert (made.options["bitrate"], made.options["gop"]) == (2000000, 5)


@pytest.mark.parametrize(
    ("output", "arguments", "codec"),
    [
        ("o.h264", [], "h264"),
        ("o.265", [], "h265"),
        ("o.hevc", ["-c", "h265"], "h265"),
        ("-", [], "h265"),
        ("-", ["-c", "h264"], "h264"),
    ],
)
def test_codec_is_told_by_the_suffix_else_by_the_option(tmp_path, y4m, capfdbinary, output, arguments, codec):
    assert run("encode", y4m, output if output == "-" else tmp_path / output, *arguments) == 0
    assert FakeEncoder.made[0].options["codec"] == codec
    assert capfdbinary.readouterr().out == (b"\0\0\0\1x" * 5 if output == "-" else b"")


def test_json_is_one_object_with_the_result(tmp_path, y4m, capfd):
    assert run("encode", y4m, tmp_path / "out.h265", "--json") == 0
    out, err = capfd.readouterr()
    report = json.loads(out)
    assert err == ""
    assert out.count("\n") == 1
    elapsed = report.pop("elapsed")
    assert 0 <= elapsed < 60
    assert report.pop("backend_reason") == "because None"
    assert report == {
        "input": y4m,
        "output": str(tmp_path / "out.h265"),
        "codec": "h265",
        "profile": "main",
        "width": 16,
        "height": 8,
        "size": "16x8",
        "frames": 5,
        "complete": True,
        "damaged": 0,
        "left_out": [],
        "sound": [],
        "notes": [],
        "key_frames": 5,
        "fps": 25.0,
        "duration": 0.2,
        "bytes": 25,
        "bit_rate": 1000,
        "asked_bit_rate": 64000,
        "backend": "sim",
        "chip": "Fake",
        "interface": "v1",
    }


def test_json_goes_to_standard_error_where_the_stream_is_on_standard_output(y4m, capfdbinary):
    assert run("encode", y4m, "-", "--json") == 0
    out, err = capfdbinary.readouterr()
    assert out == b"\0\0\0\1x" * 5
    assert json.loads(err)["frames"] == 5


# ---- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda self, frame, key_frame=False: [], "5 frames went in, 0 packets came out"),
        (lambda self, frame, key_frame=False: [FakePacket(7)], "returned frame 7 in place of 0"),
        (lambda self, frame, key_frame=False: [FakePacket(0), FakePacket(1)], "returned frame 1 in place of none"),
    ],
)
def test_encode_that_loses_or_invents_frames_ends_with_1_and_no_file(tmp_path, y4m, capfd, monkeypatch, spoil, text):
    monkeypatch.setattr(FakeEncoder, "encode", spoil)
    assert run("encode", y4m, tmp_path / "out.h264") == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert text in err
    assert names(tmp_path) == ["in.y4m"]


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        (errors.VencError("first\nsecond"), 1, "ascend-venc: first second\n"),
        (errors.frame_error(-14, 3, 3, 7), 1, None),
        (MemoryError(), 1, "ascend-venc: out of memory\n"),
        (OSError(errno.EIO, "broken"), 1, "ascend-venc: {output}: broken\n"),
        (KeyboardInterrupt(), 130, ""),
        (cli.Terminated(signal.SIGTERM), 143, ""),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_exception_in_mid_stream_gives_its_exit_code_one_line_and_no_file(
    tmp_path, y4m, capfd, monkeypatch, raised, code, line
):
    def fail(self):
        raise raised

    monkeypatch.setattr(FakeEncoder, "flush", fail)
    output = tmp_path / "out.h264"
    assert run("encode", y4m, output) == code
    out, err = capfd.readouterr()
    assert out == ""
    if line is None:
        assert err.startswith("ascend-venc: frame 3 ") and err.count("\n") == 1
    else:
        assert err == line.format(output=output)
    assert names(tmp_path) == ["in.y4m"]


# ---- signals ---------------------------------------------------------------------------------------------------------


def arrive(number):
    os.kill(os.getpid(), number)
    time.sleep(0)  # the handler runs between two instructions


def test_signal_within_a_shield_is_raised_by_the_next_check():
    with interruption.by_exception():
        with interruption.shielded():
            arrive(signal.SIGTERM)
            reached = True
        assert reached
        with pytest.raises(interruption.Terminated) as caught:
            interruption.check()
        interruption.check()  # once
    assert interruption.code_of(caught.value) == 143


def test_signal_outside_a_shield_is_raised_at_once_and_takes_the_held_one_with_it():
    with interruption.by_exception():
        with interruption.shielded():
            arrive(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            arrive(signal.SIGINT)
        interruption.check()


def test_patience_of_a_shield_ends():
    program = (
        "import os, signal, threading\n"
        "from ascend_venc.cli import interruption\n"
        "with interruption.by_exception():\n"
        "    try:\n"
        "        with interruption.shielded(0.05):\n"
        "            os.kill(os.getpid(), signal.SIGTERM)\n"
        "            threading.Event().wait(30)\n"
        "    except interruption.Terminated as error:\n"
        "        print(error.signum, signal.getitimer(signal.ITIMER_REAL))\n"
    )
    done = processes.run(program, timeout=25)
    assert (done.stdout, done.stderr) == (f"{int(signal.SIGTERM)} (0.0, 0.0)\n", "")


def test_signals_are_as_they_were_afterwards():
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
    before = [signal.getsignal(number) for number in numbers]
    with interruption.by_exception():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert [signal.getsignal(number) for number in numbers] == before


def test_what_was_encoded_of_a_pipe_is_kept_though_the_device_loses_the_rest(tmp_path, capfd, monkeypatch):
    """The last packets come with a gap, as after an exception that took some with it."""

    def encode_some(self, frame, *, key_frame=False):
        self.frames += 1
        if self.frames == 5:
            raise KeyboardInterrupt
        return [FakePacket(self.frames - 1)] if self.frames < 3 else []

    monkeypatch.setattr(FakeEncoder, "encode", encode_some)
    monkeypatch.setattr(FakeEncoder, "flush", lambda self: [FakePacket(2), FakePacket(4)])
    (tmp_path / "in.y4m").write_bytes(clips.y4m(16, 8, frames=9))
    assert run("encode", tmp_path / "in.y4m", tmp_path / "out.h264", "--keep-partial") == 130
    assert (tmp_path / "out.h264").read_bytes() == b"\0\0\0\1x" * 3
    assert capfd.readouterr().err == f"ascend-venc: interrupted; 3 frames (0:00) are kept in {tmp_path / 'out.h264'}\n"


def test_signal_ends_all_inputs_and_a_failure_only_its_own(tmp_path, capfd, monkeypatch):
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.y4m").write_bytes(clips.y4m(16, 8, frames=5))
    raised = [OSError(errno.EIO, "broken"), KeyboardInterrupt()]

    def encode_two(self, frame, *, key_frame=False):
        self.frames += 1
        if self.frames == 3:
            raise raised.pop(0)
        return [FakePacket(self.frames - 1)]

    monkeypatch.setattr(FakeEncoder, "encode", encode_two)
    inputs = [tmp_path / f"{name}.y4m" for name in ("a", "b", "c")]
    assert run("encode", *inputs, f"{tmp_path}/out/", "-f", "h264", "--keep-partial", "-c", "h264") == 130
    assert len(FakeEncoder.made) == 2
    assert names(tmp_path / "out") == ["a.h264", "b.h264"]
    first, second = capfd.readouterr().err.splitlines()
    assert "broken; 2 frames (0:00) are kept in" in first and "interrupted; 2 frames (0:00) are kept in" in second


# ---- progress --------------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clockwork(monkeypatch):
    """A clock that the test sets, and a width."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    return now


def drawn(shown, now, frames=50):
    for count in range(1, frames + 1):
        now[0] += 0.04
        shown.update(count, count / 25, count * 6000)


def seen(terminal):
    """What stands in the last line that was drawn, without the terminal's own codes."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue()).replace("\r", "\n").rstrip().rpartition("\n")[2]


def without_rich(monkeypatch):
    for name in ("rich", "rich.console", "rich.progress"):
        monkeypatch.setitem(sys.modules, name, None)


def test_progress_has_frames_speed_bit_rate_size_and_time_left():
    fields = progress.Progress(200, stream=Terminal()).fields(50, 2.0, 312500, 2.0)
    assert progress.fit(fields, 100) == " 25%  50/200 frames  25.0 fps  1.00x  1.25 Mbit/s  312 kB  ETA 0:06"
    assert progress.fit(fields, 50) == " 25%  25.0 fps  1.00x  1.25 Mbit/s  ETA 0:06"
    assert progress.fit(fields, 39) == " 25%  25.0 fps  1.00x  ETA 0:06"
    assert progress.fit(fields, 12) == " 25%"
    assert progress.fit(fields, 3) == " 25"


def test_progress_without_a_total_has_no_time_left():
    fields = progress.Progress(None, stream=Terminal()).fields(50, 2.0, 225000, 1.0)
    assert progress.fit(fields, 100) == "50 frames  50.0 fps  2.00x  900 kbit/s  225 kB"


def test_progress_beyond_its_total_stays_sane():
    text = progress.fit(progress.Progress(10, stream=Terminal()).fields(11, 0.0, 0, 1.0), 100)
    assert "100%" in text
    assert "ETA -:--" in text


@pytest.mark.parametrize("total", [50, None])
@pytest.mark.parametrize("columns", [120, 40])
@pytest.mark.parametrize("rich", [True, False])
def test_progress_is_one_line_that_fits_and_is_taken_away(monkeypatch, clockwork, columns, total, rich):
    if rich:
        pytest.importorskip("rich", reason="Rich is not installed")
    else:
        without_rich(monkeypatch)
    monkeypatch.setenv("COLUMNS", str(columns))
    terminal = Terminal()
    shown = progress.Progress(total, stream=terminal)
    drawn(shown, clockwork, 50)
    line = seen(terminal)
    assert len(line.rstrip()) <= columns - 3
    assert "fps" in line and "x" in line
    assert ("ETA 0:00" in line) == (total is not None)
    assert ("kbit/s" in line or "Mbit/s" in line) == (columns > 40)
    assert ("\u2501" in line) == (rich and total is not None and columns > 40)  # the bar
    assert 10 < terminal.getvalue().count("\r") < 50  # at intervals
    shown.clear()
    shown.clear()
    assert re.search(r"(\x1b\[2K|\r\x1b\[K)$", terminal.getvalue())
    assert (
        not rich or terminal.getvalue().count("\x1b[?25l") == terminal.getvalue().count("\x1b[?25h") == 1
    )  # the cursor


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_progress_without_colour_where_that_is_asked_for(monkeypatch, clockwork, name, value):
    pytest.importorskip("rich", reason="Rich is not installed")
    coloured = []
    for setting in (None, value):
        if setting is not None:
            monkeypatch.setenv(name, setting)
        terminal = Terminal()
        drawn(progress.Progress(50, stream=terminal), clockwork)
        coloured.append(bool(re.search(r"\x1b\[[0-9;]*3[0-9][0-9;]*m", terminal.getvalue())))
    assert coloured == [True, False]


def test_progress_draws_nothing_where_there_is_no_terminal_or_it_is_not_wanted(clockwork):
    for stream, enabled in ((io.StringIO(), True), (Terminal(), False)):
        shown = progress.Progress(10, enabled=enabled, stream=stream)
        drawn(shown, clockwork)
        shown.clear()
        assert stream.getvalue() == ""


def test_progress_as_lines_where_it_is_asked_for(clockwork):
    stream = io.StringIO()
    drawn(progress.Progress(300, stream=stream, lines=True), clockwork, 300)
    first, second = stream.getvalue().splitlines()
    assert first == "ascend-venc:  42%  125/300 frames  25.0 fps  1.00x  1.20 Mbit/s  750 kB  ETA 0:07"
    assert second.startswith("ascend-venc:  8")


def test_progress_starts_no_thread(clockwork):
    pytest.importorskip("rich", reason="Rich is not installed")
    before = set(threading.enumerate())
    shown = progress.Progress(50, stream=Terminal())
    drawn(shown, clockwork)
    assert set(threading.enumerate()) == before
    shown.clear()


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (123456, "123 kB"), (2.5e9, "2.5 GB"), (1e16, "10000 TB")],
)
def test_size(count, text):
    assert progress.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3725, "1:02:05"), (-3, "0:00")]
)
def test_clock(seconds, text):
    assert progress.clock(seconds) == text
