# SPDX-License-Identifier: Apache-2.0
"""32 cameras in one process, and a page that shows them. Usage: python many_cameras.py FOLDER [PORT [SECONDS]]

One thread sends, one receives. http://127.0.0.1:8080/ is a table, /stats.json the same for programs, /metrics text.
"""

import contextlib
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

import ascend_venc as venc
from ascend_venc import stats, stats_socket

CAMERAS, WIDTH, HEIGHT, FPS = 32, 320, 240, 5
COLUMNS = ("name", "backend", "submitted", "encoded", "bytes_out", "in_flight")


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        rows = stats_socket.snapshot()["encoders"]
        lines = [COLUMNS, *([str(row[name]) for name in COLUMNS] for row in rows)]
        others = {"/stats.json": json.dumps(rows), "/metrics": stats.prometheus()}
        text = others.get(self.path, "<table>" + "".join("<tr><td>" + "<td>".join(line) for line in lines))
        self.send_response(200)
        self.send_header("Content-Type", "text/plain" if self.path in others else "text/html")
        self.end_headers()
        self.wfile.write(text.encode())


def main(folder: str, port: int = 8080, seconds: float = 60.0) -> None:
    with venc.EncoderGroup(delivery="coalesced") as group, ThreadingHTTPServer(("127.0.0.1", port), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        cameras = [group.add(WIDTH, HEIGHT, codec="h264", fps=FPS, name=f"camera-{n:02}") for n in range(CAMERAS)]

        def receive() -> None:
            with contextlib.ExitStack() as stack:
                files = {each: stack.enter_context(open(f"{folder}/{each.name}.h264", "wb")) for each in cameras}
                for encoder, packet in group.packets():
                    files[encoder].write(packet)

        receiving = threading.Thread(target=receive, daemon=True)
        receiving.start()
        for number in range(round(seconds * FPS)):
            for place, camera in enumerate(cameras):  # each sees a grey of its own
                camera.submit(np.full((HEIGHT * 3 // 2, WIDTH), 16 + 7 * place + number % 8, np.uint8))
            time.sleep(1 / FPS)
        group.drain()
        receiving.join()
        server.shutdown()
        print(f"{group.stats.total.encoded} frames of {CAMERAS} cameras")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:3]), *map(float, sys.argv[3:4]))
