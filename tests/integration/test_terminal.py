# SPDX-License-Identifier: Apache-2.0
"""What the commands show on a terminal, kept in tests/data/terminal, and what Ctrl-C does to them at every stage.

A capture is the screen when the command has ended, as a person sees it: wide (120 columns) and narrow (40). Where a
change of it is meant, ASCEND_VENC_WRITE_CAPTURES=1 writes them anew, to be read before they are committed.
"""

import array
import contextlib
import fcntl
import io
import json
import os
import platform
import re
import select
import signal
import socket
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from ascend_venc import __version__
from ascend_venc.cli import caps, main
from helpers import clips, processes, pseudo_terminal, waiting

pytest.importorskip("av", reason="PyAV is not installed")
pytestmark = pytest.mark.sim_only

CAPTURES = Path(__file__).resolve().parents[1] / "data" / "terminal"
HELD = {"ASCEND_VENC_SIM_OPTIONS": "encode_time_us=3600000000"}  # a device that takes an hour for a frame
F_SETPIPE_SZ = 1031


@pytest.fixture(scope="module", autouse=True)
def machine_has_terminals():
    try:
        for descriptor in os.openpty():
            os.close(descriptor)
    except OSError as error:
        pytest.skip(f"this machine gives no pseudo-terminal: {error}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sources whose every byte is known: a film of the null codec, and a report."""
    path = tmp_path_factory.mktemp("terminal")
    (path / "film.y4m").write_bytes(clips.y4m(frames=50))
    options = dict(os.environ, ASCEND_VENC_SIM_OPTIONS="null_codec=3000")
    command = ["encode", "film.y4m", "film.mp4", "-c", "h264", "-g", "25", "-q", "--backend", "sim"]
    done = subprocess.run(
        [sys.executable, "-m", "ascend_venc", *command, "--report", "report.json"],
        cwd=path, env=processes.environment(**options), check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads((path / "report.json").read_text())
    for index, picture in enumerate(report["pictures"]):
        picture["latency"] = 0.002 + 0.001 * (index % 5) + (0.03 if index == 20 else 0)
    (path / "report.json").write_text(json.dumps(report))
    return path


@pytest.fixture
def here(folder, monkeypatch):
    inner = caps.describe

    def describe(*args):  # a narrow table's lines fold where a path is long
        paths = dict.fromkeys(("runtime_library", "media_library", "v2_library"), "/opt/_lib/libascendvenc_sim.so")
        return {**inner(*args), **paths}

    monkeypatch.setattr(caps, "describe", describe)
    monkeypatch.chdir(folder)
    return folder


def normalised(lines):
    """Without what another machine, version or day has otherwise."""
    text = "\n".join(lines) + "\n"
    text = text.replace(__version__, "VERSION").replace(platform.python_version(), "PYTHON")
    text = re.sub(r"(?m)^(pyav +).*$", r"\1PYAV", text)
    text = re.sub(r"DVPP V[12]", "DVPP VN", text)
    text = re.sub(r"\bin \d+\.\d s\b", "in N s", text)
    return re.sub(r"\S*/_lib/libascendvenc_sim\.so", "LIBRARY", text)


def expect(name, lines):
    path, found = CAPTURES / f"{name}.txt", normalised(lines)
    if os.environ.get("ASCEND_VENC_WRITE_CAPTURES"):
        CAPTURES.mkdir(exist_ok=True)
        path.write_text(found, encoding="utf-8")
    assert found == path.read_text(encoding="utf-8")


def on_terminal(columns, line, **variables):
    with pseudo_terminal.attached(columns, **variables) as terminal:
        try:
            code = main(line.split())
        except SystemExit as end:
            code = end.code
    return code, terminal.screen


# A capture's name, a command, its exit code.
COMMANDS = [
    ("probe", "probe film.mp4", 0),
    ("plot", "plot film.mp4 --ascii", 0),
    ("plot_report", "plot report.json --ascii", 0),
    ("caps", "caps --backend sim:Ascend310P3 --interface v2", 0),
    ("explain", "explain 507018", 0),
    ("explain_unknown", "explain 12345678", 0),
    ("error_no_input", "encode none.mp4 out.mp4", 1),
    ("error_no_output", "encode film.y4m", 2),
    ("error_suffix", "encode film.y4m out.xyz", 2),
    ("error_option", "encode film.y4m out.mp4 --bitrat 1M", 2),
    ("error_backend", "encode film.y4m out.mp4 --backend nothing", 1),
    ("error_no_film", "probe report.json", 1),
    ("error_camera", "encode /dev/video99 out.mp4", 1),
    ("top_nobody", "top --once 1", 1),
    ("error_verify", "verify --backend sim --timeout 0", 2),
    ("error_bench", "bench --find-streams --seconds 0", 2),
]


@pytest.mark.parametrize("columns", [120, 40])
@pytest.mark.parametrize(("name", "line", "code"), COMMANDS, ids=[name for name, _, _ in COMMANDS])
def test_screen_is_the_one_that_was_looked_at(here, columns, name, line, code):
    found, screen = on_terminal(columns, line)
    assert found == code, screen.lines
    expect(f"{name}_{columns}", screen.lines)
    assert sorted(os.listdir(here)) == ["film.mp4", "film.y4m", "report.json"]


@pytest.mark.parametrize(("name", "line", "code"), COMMANDS, ids=[name for name, _, _ in COMMANDS])
def test_without_colours_the_words_are_the_same_and_a_pipe_gets_plain_lines(here, name, line, code):
    for variables in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        found, screen = on_terminal(120, line, **variables)
        assert found == code and not screen.colored
        expect(f"{name}_120", screen.lines)
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), contextlib.suppress(SystemExit):
        main(line.split())
    assert "\x1b" not in out.getvalue() and "\r" not in out.getvalue() and out.getvalue().endswith("\n")


# ---- the whole command in a process of its own -----------------------------------------------------------------------


def command(*args):
    """As the script that pip installs."""
    program = "import sys; from ascend_venc_command import main; sys.argv[0] = 'ascend-venc'; sys.exit(main())"
    return [sys.executable, "-c", program, *map(str, args)]


def started(*args, columns=120, **options):
    return pseudo_terminal.started(command(*args), columns, PYTHONPATH=processes.environment()["PYTHONPATH"], **options)


@pytest.mark.parametrize(
    ("name", "columns", "variables"),
    [
        ("encode_120", 120, {}),
        ("encode_40", 40, {}),
        ("encode_120", 120, {"NO_COLOR": "1"}),
        ("encode_120", 120, {"TERM": "dumb"}),
    ],
    ids=["wide", "narrow", "no colour", "dumb"],
)
def test_encode_leaves_a_line_on_the_screen(here, tmp_path, name, columns, variables):
    variables = {**variables, "ASCEND_VENC_SIM_OPTIONS": "null_codec=3000"}
    args = ("encode", "film.y4m", tmp_path / "a.mp4", "-c", "h264", "--backend", "sim")
    with started(*args, columns=columns, **variables) as (process, terminal):
        assert process.wait(60) == 0
    expect(name, terminal.screen.lines)
    assert terminal.screen.cursor_shown
    if variables.get("TERM") == "dumb":
        assert "\x1b" not in terminal.text
    if "NO_COLOR" in variables:
        assert not terminal.screen.colored


def waits_in(descriptor):
    """How many bytes a pipe holds."""
    return array.array("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0\0\0\0"))[0]


def threads_of(pid):
    names = []
    for path in Path(f"/proc/{pid}/task").glob("*/comm"):
        with contextlib.suppress(OSError):
            names.append(path.read_text())
    return names


def interrupted(process, terminal, lines, code=128 + signal.SIGINT):
    """Press Ctrl-C, and make sure that the command ends by it, and says so much."""
    terminal.press(b"\x03")
    assert process.wait(60) == code, terminal.screen.lines
    terminal.whole()
    assert "".join(terminal.screen.lines).replace("^C", "") == "".join(lines)
    assert terminal.screen.cursor_shown


def test_ctrl_c_while_modules_are_imported_is_a_line(tmp_path, monkeypatch):
    package = tmp_path / "ascend_venc"
    package.mkdir()
    (package / "__init__.py").write_text("import time\nprint('importing', flush=True)\nwhile True: time.sleep(0.01)\n")
    monkeypatch.chdir(tmp_path)  # which is the first place that is looked at
    with started("caps") as (process, terminal):
        terminal.shows("importing")
        interrupted(process, terminal, ["importing", "ascend-venc: interrupted"])


def test_ctrl_c_while_the_input_is_being_opened(tmp_path):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        url = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with started("encode", url, tmp_path / "a.mp4", "--backend", "sim") as (process, terminal):
            assert select.select([server], [], [], 60)[0]
            with server.accept()[0]:
                interrupted(process, terminal, [])
    assert os.listdir(tmp_path) == []


def test_ctrl_c_while_the_device_does_nothing(here, tmp_path):
    """It is left to itself after a moment, and the exit code is that of Ctrl-C."""
    with started("encode", "film.y4m", tmp_path / "a.mp4", "--backend", "sim", **HELD) as (process, terminal):
        waiting.eventually(lambda: any(name.startswith("aclsim-") for name in threads_of(process.pid)), 60)
        interrupted(process, terminal, [])
    assert os.listdir(tmp_path) == []


def test_ctrl_c_while_a_pipe_gives_nothing_keeps_what_came(tmp_path):
    read, write = os.pipe()
    try:
        args = ("encode", "-", tmp_path / "a.mp4", "--backend", "sim", "-c", "h264")
        with started(*args, stdin=read) as (process, terminal):
            with open(write, "wb", closefd=False) as sender:
                sender.write(clips.y4m(frames=20))
            waiting.eventually(lambda: waits_in(read) == 0, 60)
            terminal.press(b"\x03")
            assert process.wait(60) == 128 + signal.SIGINT
    finally:
        os.close(read)
        os.close(write)
    kept = len(clips.read_video(tmp_path / "a.mp4")[2])
    assert 18 <= kept <= 20  # the last ones may have been on their way
    said = f"ascend-venc: interrupted; {kept} frames (0:01) are kept in {tmp_path / 'a.mp4'}"
    assert "".join(terminal.screen.lines).replace("^C", "") == said


@pytest.mark.parametrize("frames", [50, 2], ids=["in the middle", "while the muxer closes"])
def test_ctrl_c_while_the_output_takes_nothing(here, tmp_path, frames):
    """A pipe of a page that nobody reads. Few frames are written when the file is finished."""
    os.mkfifo(tmp_path / "a.mkv")
    reader = os.open(tmp_path / "a.mkv", os.O_RDONLY | os.O_NONBLOCK)
    try:
        fcntl.fcntl(reader, F_SETPIPE_SZ, 4096)
        args = ("encode", "film.y4m", tmp_path / "a.mkv", "-y", "-frames:v", frames, "-c", "h264", "--backend", "sim")
        with started(*args, ASCEND_VENC_SIM_OPTIONS="null_codec=3000") as (process, terminal):
            waiting.eventually(lambda: waits_in(reader) > 0, 60)  # so it is full
            interrupted(process, terminal, [])
    finally:
        os.close(reader)
