# SPDX-License-Identifier: Apache-2.0
"""A browser shows our films in the colours of the pictures, however they were told."""

import contextlib
import http.server
import json
import os
import shutil
import signal
import subprocess
import threading

import numpy as np
import pytest

import ascend_venc as venc

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs Chromium (chromium or google-chrome on the path)")
pytest.importorskip("av", reason="PyAV is not installed")

W, H, PATCH = 320, 192, 64
COLORS = [(200, 30, 30), (30, 180, 40), (40, 60, 220), (230, 210, 40), (128, 128, 128), (16, 16, 16), (240, 240, 240)]
FILMS = {
    "default": {},
    "bt709": {"color": "bt709"},
    "bt601": {"color": "bt601"},
    "full range": {"color_range": "full"},
    "fragmented bt709": {"color": "bt709", "fragmented": True},
}
PAGE = """<!doctype html><script>
async function shown(url) {
  const video = document.createElement("video");
  video.muted = true;
  video.src = url;
  await new Promise((done, fail) => {
    video.onloadeddata = done;
    video.onerror = () => fail(new Error(video.error ? video.error.message : "error"));
  });
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  const context = canvas.getContext("2d");
  context.drawImage(video, 0, 0);
  const pixels = [];
  for (let n = 0; n < COUNT; n++) {
    const x = 64 * (n % 5) + 32, y = 64 * Math.floor(n / 5) + 32;
    pixels.push(Array.from(context.getImageData(x, y, 1, 1).data).slice(0, 3));
  }
  return pixels;
}
(async () => {
  const found = {};
  for (const url of URLS) {
    try { found[url] = await shown(url); } catch (error) { found[url] = String(error); }
  }
  await fetch("/found", {method: "POST", body: JSON.stringify(found)});
})();
</script>"""


def picture():
    image = np.full((H, W, 3), 90, np.uint8)
    for number, color in enumerate(COLORS):
        y, x = divmod(number, W // PATCH)
        image[PATCH * y : PATCH * (y + 1), PATCH * x : PATCH * (x + 1)] = color
    return image


@contextlib.contextmanager
def served(files):
    """Serve files at an address; yields (address, what was posted, event of that)."""
    posted, came = [], threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            data = files.get(self.path)
            self.send_response(404 if data is None else 200)
            self.send_header("Content-Type", "video/mp4" if self.path.endswith("mp4") else "text/html")
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            self.wfile.write(data or b"")

        def do_POST(self):
            posted.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()
            came.set()

        def log_message(self, *args):
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", posted, came
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.sim_only
def test_browser_shows_the_colours_of_the_pictures(tmp_path, backend):
    files, urls = {}, {}
    for number, (name, options) in enumerate(FILMS.items()):
        path = tmp_path / f"{number}.mp4"
        venc.write(path, [picture()] * 5, fps=25, bitrate="8M", backend=backend, **options)
        urls[name] = f"/{number}.mp4"
        files[urls[name]] = path.read_bytes()
    page = PAGE.replace("COUNT", str(len(COLORS))).replace("URLS", json.dumps(list(urls.values())))
    files["/"] = page.encode()
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--mute-audio", f"--user-data-dir={tmp_path / 'profile'}"]
    environment = dict(os.environ, HOME=str(tmp_path))
    with served(files) as (address, posted, came):
        browser = subprocess.Popen(
            [BROWSER, *options, "--remote-debugging-port=0", address],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        try:
            assert came.wait(90), "the browser did not answer"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(browser.pid, signal.SIGKILL)
            browser.wait()
    found = json.loads(posted[0])
    for name, url in urls.items():
        assert isinstance(found[url], list), (name, found[url])
        error = np.abs(np.array(found[url]) - np.array(COLORS)).max(axis=0)
        # The browser's own arithmetic has 2.0 for BT.709's 2.112 of blue. Another matrix or range is 16 off or more.
        most = (5, 5, 9 if "bt709" in name else 5)
        assert (error <= most).all(), (name, found[url])
