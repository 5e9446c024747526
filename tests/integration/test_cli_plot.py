# SPDX-License-Identifier: Apache-2.0
"""`ascend-venc plot`: what is drawn of a film, and the pages it makes."""

import io
import json
import os
import shutil
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from ascend_venc.cli import figure, main, recording
from helpers import clips, processes

av = pytest.importorskip("av", reason="PyAV is not installed")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def films(tmp_path_factory, backend):
    """One film as mp4 and bare, with the report of its encoding."""
    path = tmp_path_factory.mktemp("films")
    (path / "in.y4m").write_bytes(clips.y4m(frames=40))
    line = ["-b", "300k", "-g", "10", "-c", "h264", "--backend", backend, "--report", str(path / "film.json")]
    assert main(["encode", str(path / "in.y4m"), str(path / "film.mp4"), *line]) == 0
    assert main(["encode", str(path / "in.y4m"), str(path / "film.h264"), *line[:-2]]) == 0
    return path


def needs_matplotlib():
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")


def test_report_has_a_row_for_each_picture(films):
    told = json.loads((films / "film.json").read_text())
    assert told["frames"] == len(told["pictures"]) == 40
    assert sum(picture["bytes"] for picture in told["pictures"]) == told["bytes"]
    assert [n for n, picture in enumerate(told["pictures"]) if picture["key"]] == [0, 10, 20, 30]
    assert [picture["time"] for picture in told["pictures"]] == pytest.approx([n / 25 for n in range(40)])
    assert all(0 < picture["latency"] < 60 for picture in told["pictures"])
    assert told["asked_bit_rate"] == 300000


@pytest.mark.parametrize("name", ["film.json", "film.mp4", "film.h264"])
def test_film_and_report_tell_the_same(films, name):
    film, told = recording.read(str(films / name)), json.loads((films / "film.json").read_text())
    assert film.keys == [picture["key"] for picture in told["pictures"]]
    assert film.times == pytest.approx([picture["time"] for picture in told["pictures"]], abs=1e-6)
    assert film.duration == pytest.approx(1.6)
    # Containers keep the parameter sets elsewhere.
    sizes = [picture["bytes"] for picture in told["pictures"]]
    assert all(abs(own - other) < 80 for own, other in zip(film.sizes, sizes))
    assert (film.asked, len(film.latencies)) == ((300000.0, 40) if name == "film.json" else (None, 0))


def made(times, sizes, step=0.1, **more):
    facts = {"codec": "h264", "profile": "high", "size": "128x128", "fps": "10"}
    keys = [index % 10 == 0 for index in range(len(times))]
    return recording.Recording(facts, times, [step] * len(times), sizes, keys, **more)


def test_windowed_rate_is_that_of_the_window_before():
    film = made([index / 10 for index in range(30)], [100] * 10 + [200] * 20)
    times, rates = film.windowed_rate(1.0)
    assert times[0] == pytest.approx(1.0) and len(times) == 21
    assert rates[0] == 8000.0 and rates[5] == pytest.approx(12000) and rates[10:] == pytest.approx([16000] * 11)
    assert film.bit_rate == pytest.approx(5000 * 8 / 3)
    assert (film.window(), made([0.0], [5]).window()) == (1.0, pytest.approx(0.1 / 3))
    uneven = made([0.0, 0.1, 2.0], [100, 100, 100])
    assert uneven.windowed_rate(0.2)[1] == pytest.approx([8000, 4000])


def texts(svg):
    return ["".join(element.itertext()).strip() for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


@pytest.fixture(scope="module")
def drawn(films):
    """The three files of the report."""
    needs_matplotlib()
    for kind in ("svg", "png", "html"):
        assert main(["plot", str(films / "film.json"), "-o", str(films / f"out.{kind}")]) == 0
    return films


def test_svg_names_what_is_drawn_and_is_the_same_each_time(drawn, backend):
    first = (drawn / "out.svg").read_bytes()
    found = texts(first)
    for label in (
        "size, kB",
        "rate, Mbit/s",
        "latency, ms",
        "time, s",
        "key frames",
        "asked for",
        "average",
        "99 % below",
    ):
        assert label in found
    assert any(text.startswith("h264 high") and "128 × 128 at 25 fps" in text for text in found)
    assert backend != "sim" or any("simulated on the CPU" in text for text in found)
    assert {figure.BLUE.lower(), figure.ORANGE.lower(), figure.GREEN.lower()} <= set(
        part.strip(" ;\"'") for part in first.decode().lower().replace(":", " ").replace(";", " ").split()
    )
    assert main(["plot", str(drawn / "film.json"), "-o", str(drawn / "out.svg"), "-y"]) == 0
    assert (drawn / "out.svg").read_bytes() == first


def test_png_fills_its_size_and_no_text_touches_the_edge(drawn):
    with av.open(str(drawn / "out.png")) as container:
        (frame,) = container.decode(video=0)
    picture = frame.to_ndarray(format="rgb24")
    assert picture.shape[1] == 1200 and picture.shape[0] == 900
    ink = np.argwhere((picture < 128).any(axis=2))
    assert ink.min() >= 3
    assert (ink.max(axis=0) <= np.array(picture.shape[:2]) - 4).all()
    for color in (figure.BLUE, figure.ORANGE, figure.GREEN):
        wanted = np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)])
        assert (np.abs(picture.astype(int) - wanted).max(axis=2) < 8).sum() > 20, color


def test_page_stands_alone(drawn):
    page = (drawn / "out.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>") and "<title>film.json</title>" in page
    assert "<td>40 pictures" in page.replace("0:02, ", "") and "of 300 kbit/s asked for" in page
    body = page.replace('xmlns="http://www.w3.org/2000/svg"', "").replace(
        'xmlns:xlink="http://www.w3.org/1999/xlink"', ""
    )
    for outside in ("src=", 'href="http', "url(http", "<script", "@import"):
        assert outside not in body
    assert len(texts(page[page.index("<svg") : page.index("</svg>") + 6].encode())) > 10


def test_page_is_shown_by_a_browser(drawn, tmp_path):
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("there is no Chromium on this machine")
    shot = tmp_path / "shot.png"
    command = [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--screenshot={shot}",
        "--window-size=1200,1000",
    ]
    done = subprocess.run(
        [*command, f"--user-data-dir={tmp_path / 'profile'}", (drawn / "out.html").as_uri()],
        capture_output=True,
        check=False,
        timeout=60,
    )
    if not shot.exists():
        pytest.skip(f"this Chromium makes no pictures here: {done.stderr[-200:]!r}")
    with av.open(str(shot)) as container:
        (frame,) = container.decode(video=0)
    picture = frame.to_ndarray(format="rgb24").astype(int)
    green = np.array([int(figure.GREEN[place : place + 2], 16) for place in (1, 3, 5)])
    assert (np.abs(picture - green).max(axis=2) < 8).sum() > 20, "the rate is seen"


def test_ascii_draws_without_matplotlib(films, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["plot", str(films / "film.json"), "--ascii"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "key frames: 4, " in "\n".join(lines) and "bit rate: " in "\n".join(lines)
    begin = lines.index("size, kB (the largest of each column)")
    assert (
        lines[begin + 1].split()[0]
        == f"{max(p['bytes'] for p in json.loads((films / 'film.json').read_text())['pictures']) / 1000:.4g}"
    )
    assert lines[begin + 6].startswith("0".rjust(len(lines[begin + 1].split()[0])))
    assert main(["plot", str(films / "film.json"), "-o", str(films / "no.svg")]) == 1
    assert "pip install 'ascend-venc[plot]'" in capsys.readouterr().err and not (films / "no.svg").exists()


def test_name_that_is_no_text_is_a_title_all_the_same(films, tmp_path):
    needs_matplotlib()
    name = os.fsdecode(bytes(tmp_path) + b"/caf\xe9.json")
    shutil.copy(films / "film.json", name)
    for kind in ("svg", "png", "html"):
        assert main(["plot", name, "-o", str(tmp_path / f"out.{kind}")]) == 0
    assert "caf\N{REPLACEMENT CHARACTER}.json" in (tmp_path / "out.html").read_text("utf-8")


def test_terminal_without_unicode_is_drawn_in(films):
    command = [sys.executable, "-m", "ascend_venc", "plot", str(films / "film.json"), "--ascii"]
    done = subprocess.run(
        command, env=processes.environment(PYTHONIOENCODING="ascii"), capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"128 x 128 at 25 fps" in done.stdout.replace(b"\n", b" ") and b"##" in done.stdout


def test_columns_are_as_high_as_their_values():
    lines = figure._columns([0.0, 0.5], [4.0, 2.0], 1.0, 12, "title", unicode=False)
    assert lines == ["title", *["4 #####"] * 1, *["  #####"] * 2, *["  ##########"] * 2, "0 ##########"]
    assert figure._columns([0.0], [1.0], 1.0, 3, "t", unicode=True)[1:] == ["1 █", *["  █"] * 4, "0 █"]


@pytest.mark.leaves_open("matplotlib keeps the files of its fonts open")
def test_many_pictures_are_drawn_as_pixels_to_keep_the_file_small():
    needs_matplotlib()
    film = made([index / 10 for index in range(20000)], [100 + index % 50 for index in range(20000)])
    drawn = io.BytesIO()
    figure.save(figure.draw(film, "t", 1.0), drawn, "svg")
    assert len(drawn.getvalue()) < 1_500_000 and b"<image" in drawn.getvalue()


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["film.mp4"], 2, "where to? Give -o OUT, with a suffix .svg .png .html, or --ascii"),
        (["film.mp4", "-o", "a.gif"], 2, "a.gif: its suffix has to tell what to draw"),
        (["film.mp4", "-o", "film.json.svg", "--window", "9"], 2, "--window 9: the film has 1.6 s"),
        (["nothing.mp4", "--ascii"], 1, "nothing.mp4: No such file"),
        (["in.y4m.txt", "--ascii"], 1, "in.y4m.txt: this is not a film that can be read"),
        (["bad.json", "--ascii"], 1, "bad.json: this is not a report of ascend-venc encode --report (no such entry"),
        (["cut.json", "--ascii"], 1, "cut.json: this is not a report of ascend-venc encode --report (it is damaged"),
        (["empty.json", "--ascii"], 1, "empty.json: there are no pictures in it"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_a_line(films, capsys, monkeypatch, args, code, words):
    monkeypatch.chdir(films)
    told = json.loads((films / "film.json").read_text())
    (films / "in.y4m.txt").write_text("text")
    (films / "bad.json").write_text('{"frames": 1}')
    (films / "cut.json").write_text((films / "film.json").read_text()[:-30])
    (films / "empty.json").write_text(json.dumps({**told, "pictures": []}))
    assert main(["plot", *args]) == code
    err = capsys.readouterr().err
    assert err.startswith("ascend-venc: ") and err.count("\n") == 1 and words in err


def test_file_that_exists_is_replaced_with_y_only(drawn, capsys):
    before = (drawn / "out.svg").read_bytes()
    assert main(["plot", str(drawn / "film.mp4"), "-o", str(drawn / "out.svg")]) == 1
    assert "it exists already; -y replaces it" in capsys.readouterr().err
    assert (drawn / "out.svg").read_bytes() == before
