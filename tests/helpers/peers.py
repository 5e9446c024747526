# SPDX-License-Identifier: Apache-2.0
"""The other side of a network output: receivers of FFmpeg's through PyAV, and servers that misbehave."""

import contextlib
import io
import random
import socket
import threading
from pathlib import Path

LISTENING = {
    "rtmp": {"listen": "1"},
    "rtsp": {"rtsp_flags": "listen", "listen_timeout": "60"},
    "http": {"listen": "1"},
    "udp": {},
}


def free_port():
    """A port of this machine that nobody listens at, and that no other process is given where it asks for any one."""
    given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.SystemRandom().randrange(max(1024, given - 16384), given) if given > 2048 else 0
        with socket.socket() as probe, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
            try:
                probe.bind(("127.0.0.1", port))
                datagrams.bind(probe.getsockname())
            except OSError:
                continue
            return probe.getsockname()[1]


def knows_srt():
    import av

    try:
        av.open("srt://127.0.0.1:1?connect_timeout=1")
    except av.error.ProtocolNotFoundError:
        return False
    except av.error.FFmpegError:
        return True


def listens(url):
    """Whether something listens at an address, without a connection, of which FFmpeg takes only one."""
    port = int(url.split(":")[2].partition("/")[0])
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(line[1].endswith(f":{port:04X}") and line[3] == "0A" for line in lines)


class Receiver:
    """Decodes what comes to an address on this machine, on a thread, up to the end or `stop`.

    `pictures` has (seconds, mean luma, whether it is a key frame) of each, `error` what FFmpeg ended with.
    """

    def __init__(self, scheme, enough=10, port=None):
        self.port = port or free_port()
        self.url = f"{scheme}://127.0.0.1:{self.port}" + {"rtmp": "/live/key", "udp": "", "tcp": "", "srt": ""}.get(
            scheme, "/x"
        )
        self.pictures = []
        self.error = None
        self.codec = None
        self._enough = enough
        self._address = self.url + {"tcp": "?listen=1", "srt": "?mode=listener"}.get(scheme, "")
        self._options = {**LISTENING.get(scheme, {}), "analyzeduration": "100000"}  # 0.1 s, not 5
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def has_enough(self):
        return len(self.pictures) >= self._enough or self.error is not None

    def join(self):
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _run(self):
        import av

        try:
            with av.open(self._address, options=self._options, timeout=60) as container:
                self.codec = container.streams.video[0].codec_context.name
                for frame in container.decode(video=0):
                    luma = float(frame.to_ndarray(format="gray").mean())
                    time = None if frame.time is None else float(frame.time)  # RTP tells it with its second report
                    self.pictures.append((time, luma, bool(frame.key_frame)))
                    if self.has_enough:
                        break
        except av.error.FFmpegError as error:
            self.error = error


class Server:
    """Takes connections one after the other, and does with each what the test says.

    `received` has the bytes of each; `read` is cleared to stop reading, `cut` ends the present connection.
    """

    def __init__(self, port=0):
        self.received = []
        self.read = threading.Event()
        self.read.set()
        self._closing = False
        self._connection = None
        self._listening = socket.socket()
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)  # of connections too: soon full
        self._listening.bind(("127.0.0.1", port))
        self._listening.listen()
        self._listening.settimeout(0.05)
        self.port = self._listening.getsockname()[1]
        self.url = f"tcp://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._closing:
            with contextlib.suppress(socket.timeout, TimeoutError):
                connection, _ = self._listening.accept()
                self.received.append(bytearray())
                self._connection = connection
                with connection:
                    self._serve(connection)

    def _serve(self, connection):
        connection.settimeout(0.05)
        while not self._closing and self._connection is connection:
            if not self.read.wait(0.05):
                continue
            try:
                data = connection.recv(1 << 16)
            except (socket.timeout, TimeoutError):
                continue
            except OSError:
                return
            if not data:
                return
            self.received[-1] += data

    def cut(self):
        """End the present connection, as a server that dies does; the next one is taken."""
        self._connection = None

    def close(self):
        self._closing = True
        self._thread.join(10)
        self._listening.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def pictures_of(stream):
    """(seconds, whether it is a key frame) of each access unit of bytes of MPEG-TS, which may end anywhere."""
    import av

    found = []
    with av.open(io.BytesIO(bytes(stream)), format="mpegts") as container, contextlib.suppress(av.error.FFmpegError):
        for packet in container.demux(video=0):
            if packet.size:
                found.append((float(packet.pts * packet.time_base), packet.is_keyframe))
                packet.decode()
    return found
