# SPDX-License-Identifier: Apache-2.0
"""Conversion to NV12 in a preallocated, padded buffer at 1920 x 1080: ours beside OpenCV and PyAV, alternating.

    python benchmarks/compare_convert.py [rounds]

Prints a Markdown table of medians, quartiles and CPU time. Peers that are not installed are left out. Each peer's
picture is compared with ours on a smooth source, so that none is timed for other work.
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np

from ascend_venc import errors
from ascend_venc._lowlevel.convert import Converter
from ascend_venc.pixel_formats import PIXEL_FORMATS

WIDTH, HEIGHT, STRIDE = 1920, 1080, 2048
ROTATING = 4  # buffers, so that no source stays in the nearest cache


def smooth_rgb():
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([columns // 8, rows // 5, (rows + columns) // 12], -1).astype(np.uint8)


def source(pixel_format):
    rgb = smooth_rgb()
    shape = PIXEL_FORMATS[pixel_format].shape(WIDTH, HEIGHT)
    if pixel_format in ("rgb24", "bgr24"):
        picture = rgb if pixel_format == "rgb24" else rgb[..., ::-1]
    elif pixel_format in ("rgba", "bgra"):
        picture = np.dstack([rgb if pixel_format == "rgba" else rgb[..., ::-1], rgb[..., :1] | 255])
    elif pixel_format == "gray8":
        picture = rgb[..., 0]
    else:
        picture = np.resize(rgb[..., 0], shape)
    return [np.ascontiguousarray(picture).copy() for _ in range(ROTATING)]


def ours(pixel_format, **options):
    one = Converter(pixel_format, WIDTH, HEIGHT, **options)
    return one, lambda picture, into: one.convert(picture, into[:, :WIDTH])


def opencv(pixel_format, threads):
    try:
        import cv2
    except ImportError:
        return None

    code = getattr(cv2, f"COLOR_{pixel_format.replace('24', '').upper()}2YUV_I420")
    planar = np.empty((HEIGHT * 3 // 2, WIDTH), np.uint8)
    pairs = np.empty((HEIGHT // 2, WIDTH // 2, 2), np.uint8)
    half = (HEIGHT // 2, WIDTH // 2)

    def convert(picture, into):
        cv2.setNumThreads(threads)
        cv2.cvtColor(picture, code, dst=planar)
        into[:HEIGHT, :WIDTH] = planar[:HEIGHT]
        quarter = HEIGHT + HEIGHT // 4
        cv2.merge([planar[HEIGHT:quarter].reshape(half), planar[quarter:].reshape(half)], dst=pairs)
        into[HEIGHT:, :WIDTH] = pairs.reshape(HEIGHT // 2, WIDTH)

    return convert


def pyav(pixel_format, matrix):
    import av
    from av.video.reformatter import VideoReformatter

    reformatter = VideoReformatter()
    name = PIXEL_FORMATS[pixel_format].av_name
    space = {"bt601": "ITU601", "bt709": "ITU709"}[matrix]

    def convert(picture, into):
        frame = av.VideoFrame.from_ndarray(picture, format=name)
        made = reformatter.reformat(frame, format="nv12", src_colorspace=space, dst_colorspace=space)
        into[:, :WIDTH] = made.to_ndarray()

    return convert


def peers(pixel_format):
    rgb = PIXEL_FORMATS[pixel_format].color == "rgb"
    for matrix in ("bt601", "bt709") if rgb else ("bt601",):
        for library in ("libyuv", "libswscale") if rgb else (None,):
            try:
                one, convert = ours(pixel_format, matrix=matrix, library=library)
            except errors.AclNotSupportedError:
                continue
            yield matrix, f"ours, {one.by}", convert
        if rgb and matrix == "bt601":
            for threads in (1, 2):
                yield matrix, f"OpenCV, threads: {threads}", opencv(pixel_format, threads)
        yield matrix, "PyAV", pyav(pixel_format, matrix)


def main(rounds):
    print("| from | matrix | by | median ms | quartiles | CPU ms |\n|---|---|---|---|---|---|")
    into = [np.zeros((HEIGHT * 3 // 2, STRIDE), np.uint8) for _ in range(ROTATING)]
    for pixel_format, info in PIXEL_FORMATS.items():
        if info.source is None:
            continue
        pictures = source(pixel_format)
        candidates, wanted = [], {}
        for matrix, name, convert in peers(pixel_format):
            if convert is None:
                print(f"left out, not installed: {name}", file=sys.stderr)
                continue
            try:
                convert(pictures[0], into[0])
            except ValueError as error:
                print(f"left out: {pixel_format}, {name}: {error}", file=sys.stderr)
                continue
            made = into[0][:, :WIDTH].astype(int)
            # PyAV knows no YV12: it is given the same bytes as I420, whose chroma planes are exchanged.
            if pixel_format != "yv12" and np.abs(made - wanted.setdefault(matrix, made)).max() > 3:
                raise SystemExit(f"{pixel_format}, {matrix}, {name} did other work than ours")
            candidates.append((matrix, name, convert, [], []))
        for turn in range(rounds):
            for _, _, convert, elapsed, busy in candidates:
                began, cpu = time.perf_counter(), time.process_time()
                convert(pictures[turn % ROTATING], into[turn % ROTATING])
                elapsed.append(1e3 * (time.perf_counter() - began))
                busy.append(1e3 * (time.process_time() - cpu))
        for matrix, name, _, elapsed, busy in candidates:
            low, middle, high = statistics.quantiles(elapsed, n=4)
            label = matrix if info.color == "rgb" else ""
            cpu = statistics.median(busy)
            print(f"| {pixel_format} | {label} | {name} | {middle:.2f} | {low:.2f} to {high:.2f} | {cpu:.2f} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 31)
