# SPDX-License-Identifier: Apache-2.0
"""Conversion to NV12 in a preallocated, padded buffer at 1920 x 1080: ours beside OpenCV and PyAV, alternating.

    python benchmarks/compare_convert.py [rounds]

Prints a Markdown table of medians, quartiles and CPU time; report.py makes its group `conversion` of it, with
the ways of bringing a picture with padded rows to the encoder. Peers that are not installed are left out. Each peer's
picture is compared with ours on a smooth source, so that none is timed for other work.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time

import child
import numpy as np
from measure import DifferentWork, row

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


def candidates(pixel_format, into):
    """[(matrix, name, convert)] of what is installed. Raises where one makes another picture than ours."""
    picture, wanted, found = source(pixel_format)[0], {}, []
    for matrix, name, convert in peers(pixel_format):
        if convert is None:
            print(f"left out, not installed: {name}", file=sys.stderr)
            continue
        try:
            convert(picture, into)
        except ValueError as error:
            print(f"left out: {pixel_format}, {name}: {error}", file=sys.stderr)
            continue
        made = into[:, :WIDTH].astype(int)
        # PyAV knows no YV12: it is given the same bytes as I420, whose chroma planes are exchanged.
        if pixel_format != "yv12" and np.abs(made - wanted.setdefault(matrix, made)).max() > 3:
            raise DifferentWork(f"{pixel_format}, {matrix}: {name} made another picture than ours")
        found.append((matrix, name, convert))
    return found


def timed(pixel_format, rounds):
    """{(matrix, name): ([ms elapsed], [ms of CPU])}, the peers in turn."""
    into = [np.zeros((HEIGHT * 3 // 2, STRIDE), np.uint8) for _ in range(ROTATING)]
    found = {(matrix, name): (convert, [], []) for matrix, name, convert in candidates(pixel_format, into[0])}
    pictures = source(pixel_format)
    for turn in range(rounds):
        for number, (convert, elapsed, busy) in enumerate(found.values()):
            which = (turn + number) % ROTATING  # used as long ago for one peer as for another
            began, cpu = time.perf_counter(), time.process_time()
            convert(pictures[which], into[which])
            elapsed.append(1e3 * (time.perf_counter() - began))
            busy.append(1e3 * (time.process_time() - cpu))
    return {key: (elapsed, busy) for key, (_, elapsed, busy) in found.items()}


# ---- a picture with padded rows ------------------------------------------------------------------------------------


def copying(rounds):
    """{name: [ms]} of bringing an NV12 picture with padded rows to an encoder: one copy, and the packet."""
    import device

    import ascend_venc as venc

    pictures = [np.full((HEIGHT * 3 // 2, STRIDE), number, np.uint8)[:, :WIDTH] for number in range(ROTATING)]

    def in_frame(copy):
        def encode(enc, picture):
            frame = enc.acquire()
            copy(frame.array, picture)
            return enc.encode(frame)

        return encode

    ways = {
        "Encoder.encode(array)": lambda enc, picture: enc.encode(picture),
        "acquire(), NumPy assignment": in_frame(lambda into, picture: into.__setitem__(Ellipsis, picture)),
    }
    try:
        import cv2

        ways["acquire(), OpenCV copyTo"] = in_frame(lambda into, picture: cv2.copyTo(picture, None, into))
    except ImportError:
        print("left out, not installed: OpenCV", file=sys.stderr)
    import av

    def by_pyav(enc, picture):
        frame = enc.acquire()
        frame.array[...] = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="nv12").to_ndarray()
        return enc.encode(frame)

    ways["acquire(), PyAV frame"] = by_pyav
    found, checks = {name: [] for name in ways}, {}
    with device.configured(2000), venc.Encoder(WIDTH, HEIGHT, depth=2, gop=65536) as enc:
        for name, encode in ways.items():
            data = b"".join(bytes(packet) for picture in pictures for packet in (*encode(enc, picture), *enc.flush()))
            checks[name] = len(data)
        if len(set(checks.values())) != 1:
            raise DifferentWork(f"bytes encoded: {checks}")
        for turn in range(rounds):
            for number, (name, encode) in enumerate(ways.items()):
                picture = pictures[(turn + number) % ROTATING]  # used as long ago for one way as for another
                began = time.perf_counter()
                encode(enc, picture)
                found[name].append(1e3 * (time.perf_counter() - began))
                enc.flush()
    return found


# ---- the runner ----------------------------------------------------------------------------------------------------


def measure(quick=False):
    """Rows for report.py."""
    rounds, rows = 15 if quick else 61, []
    for pixel_format, info in PIXEL_FORMATS.items():
        if info.source is None:
            continue
        found = timed(pixel_format, rounds)
        for (matrix, name), (elapsed, _) in found.items():
            rows.append(row(_figure(pixel_format, matrix), name, elapsed, "ms", digits=3))
        if info.color == "rgb":
            rows += _against_the_fastest(pixel_format, found)
    ways = copying(rounds)
    figure = "1080p NV12 with padded rows, encoded"
    rows += [row(figure, name, values, "ms", digits=3) for name, values in ways.items()]
    ours, *others = ways.values()
    fastest = min(others, key=statistics.median)
    ratios = [one / other for one, other in zip(ours, fastest)]
    rows.append(row(f"{figure}: over the fastest other way", "Encoder.encode(array)", ratios, "×", "≤ 1.05"))
    return rows


def _figure(pixel_format, matrix):
    return f"{pixel_format} to nv12, 1080p" + (f", {matrix}" if PIXEL_FORMATS[pixel_format].color == "rgb" else "")


def _against_the_fastest(pixel_format, found):
    for matrix in sorted({matrix for matrix, _ in found}):
        of_matrix = {name: elapsed for (each, name), (elapsed, _) in found.items() if each == matrix}
        ours = {name: elapsed for name, elapsed in of_matrix.items() if name.startswith("ours")}
        others = [elapsed for name, elapsed in of_matrix.items() if name not in ours]
        if not others or not ours:
            continue
        name = next(iter(ours))  # what the encoder takes
        fastest = min(others, key=statistics.median)
        ratios = [one / other for one, other in zip(ours[name], fastest)]
        yield row(f"{_figure(pixel_format, matrix)}: over the faster peer", name, ratios, "×", "≤ 0.75 (was 1)")


def _measure_here(quick=False):
    return child.run("compare_convert", "--rows", *(["--quick"] if quick else []), timeout=600)


GROUPS = {"conversion": _measure_here}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rounds", type=int, nargs="?", default=31)
    parser.add_argument("--rows", action="store_true", help="print the rows of the report as JSON")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.rows:
        print(json.dumps(measure(options.quick)))
        return
    print("| from | matrix | by | median ms | quartiles | CPU ms |\n|---|---|---|---|---|---|")
    for pixel_format, info in PIXEL_FORMATS.items():
        if info.source is None:
            continue
        for (matrix, name), (elapsed, busy) in timed(pixel_format, options.rounds).items():
            low, middle, high = statistics.quantiles(elapsed, n=4)
            label = matrix if info.color == "rgb" else ""
            cpu = statistics.median(busy)
            print(f"| {pixel_format} | {label} | {name} | {middle:.2f} | {low:.2f} to {high:.2f} | {cpu:.2f} |")


if __name__ == "__main__":
    main()
