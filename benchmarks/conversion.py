# SPDX-License-Identifier: Apache-2.0
"""Kinds of measurement: conversion to NV12 in a preallocated, padded buffer at 1920 x 1080, and pictures with padded
rows, beside OpenCV, PyAV and NumPy. Each peer's picture is compared with ours on a smooth source."""

import functools
import importlib.util
import time

import numpy as np
from harness import DifferentWork, Sample, Work, configured, counted

from ascend_venc._lowlevel.convert import Converter
from ascend_venc.pixel_formats import PIXEL_FORMATS

WIDTH, HEIGHT, STRIDE = 1920, 1080, 2048
ROTATING = 4  # buffers, so that no source stays in the nearest cache
BYTES = WIDTH * HEIGHT * 3 // 2


def installed(peer):
    modules = {"OpenCV": "cv2", "PyAV": "av"}
    return all(importlib.util.find_spec(module) for name, module in modules.items() if name in peer)


@functools.lru_cache(maxsize=1)
def sources(pixel_format):
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    rgb = np.stack([columns // 8, rows // 5, (rows + columns) // 12], -1).astype(np.uint8)
    ordered = rgb if pixel_format.startswith("rgb") else rgb[..., ::-1]
    if pixel_format in ("rgba", "bgra"):
        ordered = np.dstack([ordered, rgb[..., :1] | 255])
    if PIXEL_FORMATS[pixel_format].color != "rgb":
        ordered = np.resize(rgb[..., 0], PIXEL_FORMATS[pixel_format].shape(WIDTH, HEIGHT))
    return [np.ascontiguousarray(ordered).copy() for _ in range(ROTATING)]


@functools.lru_cache(maxsize=1)
def buffers():
    return [np.zeros((HEIGHT * 3 // 2, STRIDE), np.uint8) for _ in range(ROTATING)]


def _ours(pixel_format, matrix, library=None):
    one = Converter(pixel_format, WIDTH, HEIGHT, matrix=matrix, library=library)
    return lambda picture, into: one.convert(picture, into[:, :WIDTH])


def _opencv(pixel_format, matrix, threads):
    import cv2

    code = getattr(cv2, f"COLOR_{pixel_format.replace('24', '').upper()}2YUV_I420")
    planar = np.empty((HEIGHT * 3 // 2, WIDTH), np.uint8)
    pairs = np.empty((HEIGHT // 2, WIDTH // 2, 2), np.uint8)
    half, quarter = (HEIGHT // 2, WIDTH // 2), HEIGHT + HEIGHT // 4

    def convert(picture, into):
        cv2.setNumThreads(threads)
        cv2.cvtColor(picture, code, dst=planar)
        into[:HEIGHT, :WIDTH] = planar[:HEIGHT]
        cv2.merge([planar[HEIGHT:quarter].reshape(half), planar[quarter:].reshape(half)], dst=pairs)
        into[HEIGHT:, :WIDTH] = pairs.reshape(HEIGHT // 2, WIDTH)

    return convert


def _pyav(pixel_format, matrix):
    import av
    from av.video.reformatter import VideoReformatter

    reformatter, name = VideoReformatter(), PIXEL_FORMATS[pixel_format].av_name
    space = {"bt601": "ITU601", "bt709": "ITU709"}[matrix]

    def convert(picture, into):
        frame = av.VideoFrame.from_ndarray(picture, format=name)
        made = reformatter.reformat(frame, format="nv12", src_colorspace=space, dst_colorspace=space)
        into[:, :WIDTH] = made.to_ndarray()

    return convert


CONVERTERS = {
    "ours": _ours,
    "ours, libswscale": functools.partial(_ours, library="libswscale"),
    "OpenCV, 1 thread": functools.partial(_opencv, threads=1),
    "OpenCV, 2 threads": functools.partial(_opencv, threads=2),
    "PyAV": _pyav,
}


@functools.lru_cache(maxsize=8)
def _checked(peer, pixel_format, matrix):
    convert, picture, into = CONVERTERS[peer](pixel_format, matrix), sources(pixel_format)[0], buffers()[0]
    into[...] = 0
    convert(picture, into)
    made = into[:, :WIDTH].astype(int)
    _ours(pixel_format, matrix)(picture, into)
    # PyAV knows no YV12: it is given the same bytes as I420, whose chroma planes are exchanged.
    if pixel_format != "yv12" and np.abs(made - into[:, :WIDTH]).max() > 3:
        raise DifferentWork(f"{pixel_format}, {matrix}: {peer} made another picture than ours")
    return convert


def convert(peer, job):
    """Milliseconds, elapsed and of CPU, for one picture."""
    made, turn = _checked(peer, job["pixel_format"], job["matrix"]), job["turn"]
    picture, into = sources(job["pixel_format"])[turn % ROTATING], buffers()[turn % ROTATING]
    began, cpu = time.perf_counter(), time.process_time()
    made(picture, into)
    values = {"ms": 1e3 * (time.perf_counter() - began), "cpu_ms": 1e3 * (time.process_time() - cpu)}
    return Sample(values, Work(1, BYTES), 1, 1)


# ---- a picture with padded rows ------------------------------------------------------------------------------------


def _copy(peer):
    if peer == "acquire(), NumPy":
        return lambda into, picture: into.__setitem__(Ellipsis, picture)
    if peer == "acquire(), OpenCV":
        import cv2

        return lambda into, picture: cv2.copyTo(picture, None, into)
    import av

    def by_frame(into, picture):
        into[...] = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="nv12").to_ndarray()

    return by_frame


@functools.lru_cache(maxsize=1)
def _padded():
    return [np.full((HEIGHT * 3 // 2, STRIDE), number, np.uint8)[:, :WIDTH] for number in range(ROTATING)]


def padded(peer, job):
    """Milliseconds of bringing an NV12 picture with padded rows to an encoder: one copy, and the packet."""
    import ascend_venc as venc

    copy, times, received = None if peer.startswith("Encoder") else _copy(peer), [], 0
    _, options = configured({"access_unit": 2000, "watermark": 1})
    with options, venc.Encoder(WIDTH, HEIGHT, depth=2, gop=65536) as enc, counted() as device:
        for number in range(job["frames"] + 2):
            picture = _padded()[number % ROTATING]
            began = time.perf_counter()
            if copy is None:
                packets = enc.encode(picture)
            else:
                frame = enc.acquire()
                copy(frame.array, picture)
                packets = enc.encode(frame)
            times.append(1e3 * (time.perf_counter() - began))
            for packet in (*packets, *enc.flush()):
                mark = bytes(packet)[-8:].decode()  # the first bytes of the picture that came
                if int(mark[:2], 16) != number % ROTATING:
                    raise DifferentWork(f"{peer}: another picture was encoded than number {number}: {mark}")
                received += 1
    times = sorted(times[2:])
    return Sample({"ms": times[len(times) // 2]}, Work(received, 2000 * received), device.calls, received)
