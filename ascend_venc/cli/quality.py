# SPDX-License-Identifier: Apache-2.0
"""How near the encoded pictures are to those that went in: FFmpeg's psnr and ssim, through PyAV."""

from __future__ import annotations

import collections
import contextlib
import gc
import math
import os
import re
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ..errors import MediaError
from ..media.container import import_av, speaking_of
from . import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..media import VideoReader

MEASURES = ("psnr", "ssim")
_DECODERS = {"h264": "h264", "h265": "hevc"}
_WHAT = "the encoded pictures cannot be compared"


class Quality:
    """Decode what was encoded, and compare it picture by picture, on the calling thread.

    Parameters
    ----------
    names : sequence of str
        "psnr", "ssim", or both.
    codec : str
    reader : VideoReader
        Its frames are what the pictures are compared with: NV12 or NV21, as the encoder gets them.

    Raises
    ------
    MediaError
        PyAV is not installed, or has not the decoder or the filter.
    UsageError
        The frames are converted on their way: then it is not known what went in.
    """

    def __init__(self, names: Sequence[str], codec: str, reader: VideoReader) -> None:
        self._names = names
        self._sent: collections.deque[Any] = collections.deque()
        self._files: list[int] = []
        if not names:
            return
        if reader.pixel_format not in ("nv12", "nv21"):
            raise UsageError(
                f"--{names[0]}: the frames are {reader.pixel_format}, and are converted first: leave it out"
            )
        self._format, self._size = reader.pixel_format, (reader.width, reader.height)
        self._av = import_av()
        with speaking_of(_WHAT):
            self._decoder = self._av.CodecContext.create(_DECODERS[codec], "r")
            self._decoder.thread_count = 1  # so that the last pictures come without delay, too
            self._graphs = [self._graph(name) for name in names]
        self._compared = 0

    def _graph(self, name: str) -> tuple[Any, Any, Any, Any]:
        self._files.append(os.memfd_create(f"ascend-venc-{name}"))
        width, height = self._size
        graph = self._av.filter.Graph()
        more = {"width": width, "height": height, "format": "yuv420p", "time_base": Fraction(1, 25)}
        encoded, original = graph.add_buffer(**more), graph.add_buffer(**more)
        # What it finds is written to a file: PyAV hands out no metadata of frames.
        measure = graph.add(name, f"stats_file=/proc/self/fd/{self._files[-1]}")
        sink = graph.add("buffersink")
        encoded.link_to(measure, 0, 0)
        original.link_to(measure, 0, 1)
        measure.link_to(sink)
        graph.configure()
        return encoded, original, sink, graph  # which does not live by its parts

    def sent(self, data: Any) -> None:
        """Keep a frame that is encoded, until its picture comes back."""
        if self._names:
            self._sent.append(data)

    def written(self, packet: Any) -> None:
        """Decode a packet, and compare the pictures that come of it."""
        if self._names:
            with speaking_of(_WHAT):
                self._compare(self._decoder.decode(self._av.Packet(bytes(packet))))

    def _compare(self, pictures: list[Any]) -> None:
        import numpy as np

        width, height = self._size
        for picture in pictures:
            frame = np.frombuffer(self._sent.popleft(), np.uint8).reshape(height * 3 // 2, width)
            original = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format=self._format)
            original = original.reformat(format="yuv420p", src_color_range="MPEG", dst_color_range="MPEG")
            for encoded, other, sink, _ in self._graphs:
                for place, image in ((encoded, picture), (other, original)):
                    image.pts, image.time_base = self._compared, Fraction(1, 25)
                    place.push(image)
                _empty(self._av, sink)
            self._compared += 1

    def finish(self) -> dict[str, float | None]:
        """Return the averages: PSNR in dB, of the mean squared error (None where all are equal); SSIM, 0 to 1."""
        if not self._names:
            return {}
        with speaking_of(_WHAT):
            with contextlib.suppress(self._av.error.EOFError):
                self._compare(self._decoder.decode(None))
            for encoded, original, sink, _ in self._graphs:
                encoded.push(None)
                original.push(None)
                _empty(self._av, sink)
        del encoded, original, sink, _
        self._graphs.clear()  # which closes the files' other ends, and with that writes what is left
        gc.collect()  # a graph of PyAV 19 and its filters hold each other
        found: dict[str, float | None] = {}
        for name, file in zip(self._names, self._files):
            text = os.pread(file, os.fstat(file).st_size, 0).decode()
            values = [float(value) for value in re.findall(r"(?:mse_avg|All):(\S+)", text)]
            if not values or len(values) != self._compared:
                raise MediaError(f"{_WHAT}: the filter {name} told of {len(values)} pictures, and got {self._compared}")
            mean = sum(values) / len(values)
            if name == "ssim":
                found[name] = round(mean, 6)
            else:
                found[name] = round(10 * math.log10(255**2 / mean), 2) if mean else None
        return found

    def close(self) -> None:
        """Idempotent."""
        while self._files:
            os.close(self._files.pop())


def _empty(av: Any, sink: Any) -> None:
    with contextlib.suppress(av.error.BlockingIOError, av.error.EOFError):
        while True:
            sink.pull()
