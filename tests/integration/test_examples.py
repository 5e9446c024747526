# SPDX-License-Identifier: Apache-2.0
"""The ten short examples, run as they stand. Of those in folders: test_live_examples.py and test_pyacl_programs.py."""

import asyncio
import importlib.util
import json
import re
import runpy
import subprocess
import sys
import types
import urllib.request
from pathlib import Path

import numpy as np
import pytest

import ascend_venc as venc
from helpers import annexb, clips, decode, peers, processes

pytestmark = pytest.mark.project

av = pytest.importorskip("av", reason="PyAV is not installed")

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


@pytest.fixture(autouse=True)
def on_this_backend(monkeypatch, backend):
    monkeypatch.setenv("ASCEND_VENC_BACKEND", backend)


def load(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(name, *args, **env):
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name), *map(str, args)],
        env=processes.environment(**env),
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_there_are_ten_below_sixty_lines_each_with_its_usage_and_in_the_table():
    found = sorted(EXAMPLES.glob("*.py"))
    table = (EXAMPLES / "README.md").read_text().split("\n# Live pictures")[0]
    assert len(found) == 10 and table.count("\n| `") == 10
    for path in found:
        text = path.read_text()
        assert len(text.splitlines()) < 60, path.name
        assert re.search(rf'^""".*\. Usage: python {path.name} ?[^"]*"""', text, re.M | re.S), path.name
        assert f"| `{path.name}" in table


def test_ten_lines(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ten_lines.py", str(tmp_path / "film.mp4")])
    runpy.run_path(str(EXAMPLES / "ten_lines.py"), run_name="__main__")
    assert capsys.readouterr().out == "50 frames\n"
    pictures = clips.read_video(tmp_path / "film.mp4")[2]
    assert len(pictures) == 50
    code = [line for line in (EXAMPLES / "ten_lines.py").read_text().splitlines() if line and line[0] not in '#"']
    assert len(code) <= 10


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_camera(tmp_path, codec):
    out = tmp_path / f"out.{codec}"
    stats = load("camera").record(str(ROOT / clips.CLIP), str(out))
    units = annexb.access_units(out.read_bytes(), codec)
    assert len(units) == stats.encoded == 60
    assert [number for number, unit in enumerate(units) if unit.is_idr] == [0, 50]


def test_camera_stops_when_its_time_is_over(tmp_path):
    stats = load("camera").record(str(ROOT / clips.CLIP), str(tmp_path / "out.h264"), 0.0)
    assert stats.encoded == 1


def test_in_place_copies_nothing(tmp_path):
    out = tmp_path / "out.h265"
    stats = load("in_place").main(str(out), 4)
    assert stats.submitted == stats.written == 4 and stats.host_copies_in == 0
    pictures = decode.frames(out.read_bytes(), "h265")
    assert len(pictures) == 4
    for number, picture in enumerate(pictures):  # a light square begins 40 columns right of each dark one, and drifts
        x = (60 - 4 * number) % 80
        assert picture[20, x] > 180 and picture[20, x + 40] < 60


def test_futures_give_each_request_its_own_picture(tmp_path):
    assert load("futures").main(tmp_path / "out") == sum(path.stat().st_size for path in (tmp_path / "out").iterdir())
    for request in range(20):
        (picture,) = decode.frames((tmp_path / "out" / f"{request:02}.h264").read_bytes(), "h264")
        height = int((picture[:360, 320] > 120).sum())
        assert abs(height - 15 * request) <= 2 or (request == 0 and height == 360)


async def units_of(reader, count):
    data = b""
    while len(annexb.access_units(data, "h264")) <= count:  # the last one may not be whole
        piece = await asyncio.wait_for(reader.read(65536), 60)
        assert piece, "the server has closed the connection"
        data += piece
    return annexb.access_units(data, "h264")[:count]


async def two_viewers(example):
    broadcast = example.Broadcast()
    async with await asyncio.start_server(broadcast.join, "127.0.0.1", 0) as server:
        address = server.sockets[0].getsockname()
        encoding = asyncio.ensure_future(broadcast.encode(example.camera()))
        first, closing = await asyncio.open_connection(*address)
        seen = await units_of(first, 4)
        second, closing_too = await asyncio.open_connection(*address)
        late = await units_of(second, 2)
        example.MOST_BEHIND = -1  # whoever is connected now is too slow
        while await asyncio.wait_for(first.read(65536), 60):
            pass
        still_encodes = not encoding.done()
        encoding.cancel()
        await asyncio.wait([encoding])
        for each in (closing, closing_too, *broadcast.viewers):
            each.close()
    return seen, late, still_encodes


def test_viewers_who_join_late_begin_with_a_key_frame_and_slow_ones_are_let_go():
    try:
        seen, late, still_encodes = asyncio.run(two_viewers(load("asyncio_server")))
    except ConnectionResetError:
        pytest.fail("the first viewer was let go before it was slow")
    assert seen[0].is_idr and not all(unit.is_idr for unit in seen)
    assert late[0].is_idr  # long before ten seconds, a GOP, are over
    assert still_encodes


def test_event_recorder_keeps_what_was_before_the_event(tmp_path):
    levels = [40] * 25 + [180] * 60 + [40] * 40
    pictures = (np.full((128, 160, 3), level, np.uint8) for level in levels)
    venc.write(tmp_path / "source.mp4", pictures, fps=25)
    events = load("event_recorder").main(str(tmp_path / "source.mp4"), str(tmp_path))
    assert events == [f"{tmp_path}/event-{number}.mp4" for number in range(2)]
    shown = [[picture[64, 80].mean() > 110 for picture in clips.read_video(event)[2]] for event in events]
    assert 0 < len(shown[0]) <= 76 and shown[0] == [level > 110 for level in levels[: len(shown[0])]]
    assert shown[1] == [level > 110 for level in levels]  # the source has ended: all is there


@pytest.mark.sim_only
def test_live_bitrate_changes_without_a_key_frame(tmp_path):
    lines = run("live_bitrate.py", tmp_path / "out.h264", ASCEND_VENC_INTERFACE="v2").stdout.splitlines()
    found = [tuple(map(int, re.findall(r"\d+", line))) for line in lines]
    assert [(asked, keys) for asked, _, keys in found] == [(2000, 1), (400, 0), (1000, 0)]
    for asked, sent, _ in found:
        assert 0.75 * asked < sent < 1.25 * asked


def test_chunked_film_has_every_frame(tmp_path):
    load("chunked_film")  # its names are there without its being run
    out = tmp_path / "out.mp4"
    done = run("chunked_film.py", ROOT / clips.CLIP, out, 2)
    assert done.stdout == "60 frames\n" and "60 of 60 frames" in done.stderr
    assert len(clips.read_video(out)[2]) == 60
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4"]


def test_many_cameras_show_their_counters_while_they_run(tmp_path, monkeypatch, capsys):
    example, pages, port = load("many_cameras"), {}, peers.free_port()

    def look(seconds):
        assert seconds == 1 / example.FPS
        for name in ("", "stats.json", "metrics"):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{name}", timeout=60) as answer:
                pages[name] = answer.read().decode()

    monkeypatch.setattr(example, "time", types.SimpleNamespace(sleep=look))
    monkeypatch.setattr(example.Page, "log_message", lambda *_: None)
    example.main(str(tmp_path), port, 0.6)
    assert capsys.readouterr().out == "96 frames of 32 cameras\n"
    names = [f"camera-{number:02}" for number in range(32)]
    rows = json.loads(pages["stats.json"])
    assert [row["name"] for row in rows] == names and {row["submitted"] for row in rows} == {3}
    assert [name for name in names if f"<td>{name}<td>" in pages[""]] == names
    assert sum(line.startswith("ascend_venc_frames_encoded_total{") for line in pages["metrics"].splitlines()) == 32
    for number, name in enumerate(names):
        frames = decode.frames((tmp_path / f"{name}.h264").read_bytes(), "h264")
        assert [abs(int(frame[100, 100]) - 16 - 7 * number - n) <= 2 for n, frame in enumerate(frames)] == [True] * 3
