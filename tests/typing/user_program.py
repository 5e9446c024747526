# SPDX-License-Identifier: Apache-2.0
"""A program such as a user writes. mypy --strict and pyright read it, and a test runs it: see test_types.py.

What `assert_type` says is what an editor shows. Each line of `refused` has to be an error for both type checkers: where
one is not, the comment beside it is.
"""

from __future__ import annotations

import asyncio
import io
from concurrent.futures import Future
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from typing_extensions import assert_type

import ascend_venc as venc
import ascend_venc.aio
from ascend_venc import acl, bitstream, media, opencv

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ascend_venc.literals import Backend, Codec, PixelFormatName

WIDTH, HEIGHT = 128, 128


class Recorder:
    """Frames of a camera as an elementary stream, with its counters."""

    def __init__(self, codec: Codec, backend: Backend, pixel_format: PixelFormatName = "rgb24") -> None:
        self.data = bytearray()
        self.key_frames: list[int] = []
        self.encoder = venc.Encoder(
            WIDTH,
            HEIGHT,
            codec=codec,
            pixel_format=pixel_format,
            rc=venc.RateControl("cbr"),
            fps=Fraction(30000, 1001),
            bitrate="1M",
            backend=backend,
            on_full="block",
        )

    def record(self, frames: Iterator[NDArray[np.uint8]]) -> float:
        with self.encoder as encoder:
            for packet in encoder.encode_iter(frames):
                self.take(packet)
            assert_type(encoder.config.codec, Literal["h264", "h265"])
            assert_type(encoder.interface, Literal["v1", "v2"])
            assert_type(encoder.stats, venc.EncoderStats)
            return encoder.stats.latency.p99

    def take(self, packet: venc.Packet) -> None:
        assert_type(packet.kind, Literal["IDR", "I", "P", "B", "unknown"])
        assert_type(packet.time_base, Fraction)
        self.data += packet
        if packet.is_keyframe:
            self.key_frames.append(packet.frame_index)


def frames(count: int) -> Iterator[NDArray[np.uint8]]:
    for number in range(count):
        yield np.full((HEIGHT, WIDTH, 3), 8 * number, np.uint8)


def in_place(backend: Backend) -> int:
    """Fill the engine's own buffers, and take packets when they come."""
    nv12 = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
    with venc.Encoder(WIDTH, HEIGHT, codec="h264", backend=backend, delivery="coalesced") as encoder:
        buffer = encoder.acquire()
        assert_type(buffer, "venc.Frame | None")
        if buffer is not None:
            buffer.y[:] = 16
            buffer.uv[:] = 128
            assert_type(encoder.submit(buffer, key_frame=True), "int | None")
        assert_type(encoder.submit_many([nv12, nv12]), "list[int | None]")
        future = encoder.encode_future(nv12)
        assert_type(future, "Future[venc.Packet]")
        assert_type(encoder.receive(timeout=5), venc.Packet)
        encoder.drain()
        rest = list(encoder.packets())
        assert_type(rest, "list[venc.Packet]")
        return len(rest) + future.result(timeout=5).size


def many(backend: Backend) -> dict[str, int]:
    counts: dict[str, int] = {}
    with venc.EncoderGroup(backend=backend) as group:
        for name in ("door", "yard"):
            group.add(WIDTH, HEIGHT, codec="h264", name=name, bitrate=500_000).submit(bytes(WIDTH * HEIGHT * 3 // 2))
        group.drain()
        for encoder, packet in group.packets():
            assert_type(encoder.name, "str | None")
            counts[encoder.name or ""] = packet.size
    return counts


async def asynchronous(backend: Backend) -> list[str]:
    kinds: list[str] = []
    async with ascend_venc.aio.Encoder(WIDTH, HEIGHT, codec="h264", backend=backend, gop=1) as encoder:
        assert_type(await encoder.submit(bytes(WIDTH * HEIGHT * 3 // 2)), "int | None")
        encoder.drain()
        async for packet in encoder:
            assert_type(packet, venc.Packet)
            kinds.append(packet.kind)
        assert_type(encoder.config, venc.EncoderConfig)
    return kinds


def files(backend: Backend) -> int:
    file = io.BytesIO()
    assert_type(venc.write(file, frames(3), format="mp4", fps=25, backend=backend, bitrate="1M"), int)
    with venc.VideoWriter(io.BytesIO(), format="h264", codec="h264", times="given", backend=backend) as writer:
        writer.write(next(frames(1)), time=0)
        assert_type(writer.encoder, "venc.Encoder | None")
        assert_type(writer.frames, int)
        return writer.frames


def as_opencv_does(path: str, backend: Backend) -> None:
    writer = opencv.VideoWriter(path, opencv.VideoWriter_fourcc(*"avc1"), 25, (WIDTH, HEIGHT), backend=backend)
    assert_type(writer.isOpened(), bool)
    writer.write(next(frames(1)))
    writer.release()


def what_a_stream_holds(stream: bytes) -> list[str]:
    units = [unit.name for unit in bitstream.iter_nal_units(stream, "h264")]
    assert_type(units, "list[str]")
    assert_type(bitstream.codec_string(stream, "h264"), str)
    return units


def what_is_there(backend: Backend) -> venc.Capabilities:
    found = venc.capabilities(backend=backend)
    assert_type(found.bitrate, "tuple[int, int] | None")
    answer = venc.EncoderConfig.resolve(WIDTH, HEIGHT, codec="h265").is_supported(found.chip)
    assert_type(answer.reasons, "tuple[str, ...]")
    assert_type(answer.nearest, "venc.EncoderConfig | None")
    return found


def by_pyacl() -> int:
    assert_type(acl.get_soc_name(), "str | None")
    count, code = acl.rt.get_device_count()
    assert_type(code, int)
    return count


def main(path: str, backend: Backend) -> None:
    recorder = Recorder("h264", backend)
    print(f"{recorder.record(frames(5)):.3f} s, key frames {recorder.key_frames}, {len(recorder.data)} bytes")
    print(in_place(backend), many(backend), asyncio.run(asynchronous(backend)), files(backend))
    as_opencv_does(path, backend)
    print(what_a_stream_holds(bytes(recorder.data))[:3], what_is_there(backend).chip, by_pyacl())


def read(path: str) -> media.VideoReader:
    with media.open_video(path, timeout=5) as reader:
        for frame in reader:
            assert_type(frame, media.VideoFrame)
        return reader


def refused(encoder: venc.Encoder, packet: venc.Packet, group: venc.EncoderGroup, name: str) -> Any:
    venc.Encoder(128, 128, codec="h266")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    venc.Encoder(128, 128, codec=name)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    venc.Encoder(128, 128, pixel_format="rgb")  # an alias
    venc.Encoder(128, 128, pixel_format="rgb565")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    venc.Encoder(128, 128, rc="crf")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    venc.Encoder(128, 128, on_full="drop")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    venc.Encoder(128, 128, bit_rate=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    venc.RateControl("abr")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ascend_venc.aio.Encoder(128, 128, codec="x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ascend_venc.aio.Encoder(128, 128, bit_rate=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    group.add(128, 128, backend="sim")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    venc.write("a.mp4", [], cdoec="h264")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    venc.VideoWriter("a.mp4", times="given", rc="crf")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    packet.pts = 1  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    encoder.reconfigure(rc="x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    encoder.receive().decode()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    encoder.submit(b"").bit_length()  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
    venc.DeviceFrame(1, 128)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    opencv.VideoWriter("a.mp4", 0, 25)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    acl.rt.set_device("0")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    return Future
