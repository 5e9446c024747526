# SPDX-License-Identifier: Apache-2.0
"""The examples for live pictures, run as they stand: by an HTTP client, a browser, a WebRTC peer and an RTSP server."""

import asyncio
import contextlib
import importlib.util
import io
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from ascend_venc import bitstream
from helpers import browser, clips, peers, processes
from helpers.waiting import eventually

pytestmark = pytest.mark.project

av = pytest.importorskip("av", reason="PyAV is not installed")

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
LIVE = ("live/browser_mp4.py", "live/webcodecs.py", "live/webrtc.py")


def needs(*modules):
    for module in modules:
        pytest.importorskip(module, reason=f"{module} is not installed")


def load(name):
    spec = importlib.util.spec_from_file_location(f"example_{name.replace('/', '_')}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def served(name, backend):
    """Run an example that is a server; give its address."""
    port = peers.free_port()
    with subprocess.Popen(
        [sys.executable, str(EXAMPLES / name), str(port)],
        env=processes.environment(ASCEND_VENC_BACKEND=backend),
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            while "running on" not in (line := server.stderr.readline()).lower():
                assert line, "the example has ended"
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            said = server.communicate(timeout=60)[1]
            assert "Traceback" not in said and "Error" not in said, said


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    if browser.MISSING:
        pytest.skip(f"{' and '.join(browser.MISSING)}: not installed (Debian's chromium, chromium-driver)")
    with browser.Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def bar_of(png):
    """Whether the blue picture and its bright bar are seen in a screenshot."""
    with av.open(io.BytesIO(png)) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    blue = abs(picture - (20, 40, 120)).max(axis=2) < 32
    bright = abs(picture - 230).max(axis=2) < 32
    return blue.sum() > 50_000 and bright.sum() > 10_000


# ---- HTTP ------------------------------------------------------------------------------------------------------------


def test_mp4_is_decoded_while_it_is_produced(backend):
    needs("uvicorn")
    with served("live/browser_mp4.py", backend) as url:
        with urllib.request.urlopen(url, timeout=60) as answer:
            assert b"<video" in answer.read()
        for _ in range(2):  # another viewer, when the first has gone
            with urllib.request.urlopen(f"{url}/live.mp4", timeout=60) as answer:
                assert answer.headers["content-type"] == "video/mp4"
                with av.open(answer, options={"analyzeduration": "100000"}) as film:  # 0.1 s, not 5
                    times = []
                    for frame in film.decode(video=0):
                        times.append(frame.time)
                        if len(times) == 15:
                            break
            assert times == pytest.approx([n / 25 for n in range(15)])


def test_browser_plays_mp4_and_its_clock_advances(backend, window):
    needs("uvicorn")
    with served("live/browser_mp4.py", backend) as url:
        window.open(url)
        seen = []
        for _ in range(2):
            last = seen[-1] if seen else 0
            eventually(
                lambda last=last: window.run("return document.querySelector('video').currentTime") > last + 0.3, 60
            )
            seen.append(window.run("return document.querySelector('video').currentTime"))
        state = (
            "const v = document.querySelector('video'); return [v.videoWidth, v.videoHeight, v.error && v.error.code]"
        )
        assert window.run(state) == [640, 360, None]
        assert bar_of(window.screenshot())
        window.open("about:blank")


# ---- WebCodecs -------------------------------------------------------------------------------------------------------


def test_packets_of_the_websocket_are_what_webcodecs_wants(backend):
    needs("uvicorn", "websockets")
    asyncio.run(_packets(backend))


async def _packets(backend):
    import base64
    import json

    import websockets

    with served("live/webcodecs.py", backend) as url:
        async with websockets.connect(url.replace("http", "ws") + "/packets") as connection:
            config = json.loads(await connection.recv())
            packets = [await connection.recv() for _ in range(10)]
    assert config["codec"].startswith("avc1.")
    record = base64.b64decode(config["description"])
    decoder = av.CodecContext.create("h264", "r")
    decoder.extradata = record
    frames = []
    for packet in packets:
        frames += decoder.decode(av.Packet(packet[9:]))
    frames += decoder.decode(None)
    assert len(frames) == 10 and (frames[0].width, frames[0].height) == (640, 360)
    assert [packet[0] for packet in packets] == [1] + 9 * [0]
    assert [int.from_bytes(packet[1:9], "big") for packet in packets] == [40_000 * n for n in range(10)]
    assert bitstream.parameter_sets(record, "h264")[1] == 4


def test_browser_decodes_by_webcodecs(backend, window):
    needs("uvicorn", "websockets")
    with served("live/webcodecs.py", backend) as url:
        window.open(url)
        eventually(lambda: window.run("return window.failed || window.shown") not in (0, 1, 2, 3, 4), 60)
        assert window.run("return window.failed") is None
        shown, time = window.run("return [window.shown, window.time]")
        assert time >= 40_000 * (shown - 1)
        assert bar_of(window.screenshot())
        window.open("about:blank")


# ---- WebRTC ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def webrtc(monkeypatch, backend):
    needs("aiortc")
    import aioice.ice
    import aiortc.rtcrtpsender

    monkeypatch.setenv("ASCEND_VENC_BACKEND", backend)
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda **_: ["127.0.0.1"])  # the test needs no network
    monkeypatch.setattr(aiortc.rtcrtpsender, "get_encoder", aiortc.rtcrtpsender.get_encoder)
    return load("live/webrtc")


def test_webrtc_peer_decodes_and_its_feedback_reaches_the_encoder(webrtc):
    asyncio.run(asyncio.wait_for(_two_peers(webrtc), 90))


async def _two_peers(webrtc):
    import aiortc
    from aiortc.rtp import RTCP_PSFB_APP, RtcpPsfbPacket, pack_remb_fci

    made = []
    taken = []

    class Recorded(webrtc.AscendEncoder):
        def __init__(self):
            super().__init__()
            made.append(self)

        def pack(self, packet):
            taken.append((packet.is_keyframe, self.encoder.config.bitrate))
            return super().pack(packet)

    webrtc.AscendEncoder = Recorded
    webrtc.use_for_h264()
    sender, receiver, tracks = aiortc.RTCPeerConnection(), aiortc.RTCPeerConnection(), asyncio.Queue()
    receiver.on("track", tracks.put_nowait)
    webrtc.prefer_h264(sender.addTransceiver(webrtc.Camera(), direction="sendonly"))
    await webrtc.connect(sender, receiver)
    track = await tracks.get()
    lumas = [float((await track.recv()).to_ndarray(format="gray").mean()) for _ in range(10)]
    assert len(made) == 1 and all(later > luma for luma, later in zip(lumas, lumas[1:]))
    ssrc = sender.getSenders()[0]._ssrc
    own = receiver.getReceivers()[0]
    before = len(taken)
    await own._send_rtcp_pli(ssrc)  # as the receiver does where pictures are lost
    fci = pack_remb_fci(3_000_000, [ssrc])
    await own._send_rtcp(RtcpPsfbPacket(fmt=RTCP_PSFB_APP, ssrc=ssrc, media_ssrc=0, fci=fci))
    while not (any(key for key, _ in taken[before:]) and any(rate > 2_900_000 for _, rate in taken[before:])):
        await track.recv()
    assert not any(key for key, _ in taken[1:before])  # the GOP has one: the other was asked for
    await asyncio.gather(sender.close(), receiver.close())
    del webrtc.AscendEncoder
    made.clear()


# ---- RTSP ------------------------------------------------------------------------------------------------------------


def test_publish_reaches_an_rtsp_server_and_keeps_the_file(tmp_path, monkeypatch, backend):
    monkeypatch.setenv("ASCEND_VENC_BACKEND", backend)
    monkeypatch.chdir(tmp_path)
    receiver = peers.Receiver("rtsp", enough=20)
    eventually(lambda: peers.listens(receiver.url), 30)
    load("publish").main(receiver.url, 2.0)
    receiver.join()
    assert receiver.codec == "h264" and len(receiver.pictures) == 20
    assert len(clips.read_video(tmp_path / "published.mkv")[2]) == 50


# ---- what all have ---------------------------------------------------------------------------------------------------


def test_examples_are_listed_and_short():
    listed = (EXAMPLES / "README.md").read_text()
    for name in LIVE:
        assert f"| `{name}" in listed
        lines = [line for line in (EXAMPLES / name).read_text().splitlines() if line.strip()]
        assert len(lines) <= 80, name


def test_viewer_that_takes_nothing_is_given_up():
    needs("uvicorn")
    example = load("live/browser_mp4")

    async def stalled():
        body = example.Body()
        for _ in range(10 * example.FPS + 1):
            body.pieces.put_nowait(b"")
        with pytest.raises(BrokenPipeError, match="too slow"):
            body.write(b"x")

    asyncio.run(stalled())
