# SPDX-License-Identifier: Apache-2.0
"""`ascend-venc bench`: how fast it is on this machine, or how many streams it keeps; on the simulated device also what
the binding costs."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from .._version import __version__
from ..config import CODECS, parse_codec
from ..encoder import Encoder
from ..errors import VencError
from . import UsageError, streams
from .argument_types import checked
from .argument_types import size as parse_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..literals import Codec, InterfaceName
NAME = "bench"
HELP = "Measure frames per second and latency by size, codec and number of channels."
SIZES = ((1280, 720), (1920, 1080))
CHANNELS = (1, 4)
PICTURES = 8  # different ones in turn: a single one would stay in the CPU's cache, and be no work for the encoder
LATENCY_FRAMES = 60
DEPTH = 4
BATCH = 8
ACCESS_UNIT = 20_000  # bytes, of the null codec
NOTES = {
    True: "the simulated device, which encodes on this machine's CPU: no figure here is about Ascend hardware",
    False: "an Ascend device",
}
NULL_CODEC = "the simulated device with the null codec: nothing is encoded"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-s",
        "--size",
        metavar="WxH",
        type=parse_size,
        action="append",
        help="may be repeated (default: 1280x720, 1920x1080)",
    )
    parser.add_argument(
        "-c",
        "--codec",
        metavar="C",
        type=checked(parse_codec),
        action="append",
        help="h264 or h265; may be repeated (default: both of them)",
    )
    parser.add_argument(
        "-n",
        "--channels",
        metavar="N",
        type=int,
        action="append",
        help="encoders at once; may be repeated (default: 1, 4)",
    )
    parser.add_argument("-t", "--seconds", metavar="T", type=float, default=2.0, help="for each figure (default: 2)")
    parser.add_argument(
        "--find-streams",
        action="store_true",
        help=f"search for the most streams of {streams.RATE} fps that are kept: no frame lost, 99 %% of the packets in "
        "time, sent by submit and by submit_async (on the simulated device with the null codec). The report names "
        "neither host nor path",
    )
    parser.add_argument(
        "--max-latency",
        metavar="MS",
        type=float,
        default=streams.LIMIT_MS,
        help=f"of --find-streams, from when a frame is due to its packet (default: {streams.LIMIT_MS:g})",
    )
    parser.add_argument(
        "--backend", metavar="B", help="auto, ascend, sim, sim:CHIP or a path (default: $ASCEND_VENC_BACKEND or auto)"
    )
    parser.add_argument("--device", metavar="N", type=int, default=0, help="number of the device (default: 0)")
    parser.add_argument(
        "--interface",
        type=str.lower,
        choices=("auto", "v1", "v2"),
        help="of the vendor's: V1, or V2 on chips that have it (default: $ASCEND_VENC_INTERFACE or auto)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(quiet=True)  # which device it is stands above the figures


def run(args: argparse.Namespace) -> int:
    if not 0 < args.seconds <= 3600:
        raise UsageError(f"--seconds is {args.seconds:g}; give more than 0, up to 3600")
    for channels in args.channels or ():
        if not 1 <= channels <= 1024:
            raise UsageError(f"--channels is {channels}; give 1 to 1024")
    if not 0 < args.max_latency <= 60_000:
        raise UsageError(f"--max-latency is {args.max_latency:g}; give more than 0, up to 60000 milliseconds")
    if args.find_streams and args.channels:
        raise UsageError("--channels has no meaning with --find-streams, which looks for their number")
    report = describe(args.backend, args.interface)
    if args.find_streams and report["simulated"]:
        report["device"] = NULL_CODEC
    if not args.json:
        width = max(map(len, report))
        for name, value in report.items():
            print(f"{name.replace('_', ' '):{width}}  {value}")
    if args.find_streams:
        return _find_streams(args, report)
    if not args.json:
        columns = f"{'size':>10}  {'codec':6}{'by':>3}{'channels':>9}{'fps':>9}{'each':>8}"
        print(f"\n{columns}  latency of one frame, ms: median, longest", flush=True)
    report["figures"] = []
    for figure in _figures(args):
        report["figures"].append(figure)
        if not args.json:
            latency = f"{figure['latency_ms']['median']:.2f}, {figure['latency_ms']['max']:.2f}"
            print(
                f"{figure['size']:>10}  {figure['codec']:6}{figure['interface']:>3}"
                f"{figure['channels']:9}{figure['fps']:9.1f}{figure['fps_per_channel']:8.1f}  {latency}",
                flush=True,
            )
    report["overhead"] = _overhead_elsewhere(args) if report["simulated"] else None
    if args.json:
        print(json.dumps(report))
    elif report["overhead"]:
        print(f"\nwith the null codec, {ACCESS_UNIT:,} bytes each: microseconds a frame, binding and simulated device")
        for figure in report["overhead"]:
            print(
                f"{figure['size']:>10}  encode {figure['encode_us']:.1f}, batches of {BATCH} {figure['batch_us']:.1f}"
            )
    return 0


def describe(backend: str | None, interface: InterfaceName | None) -> dict[str, Any]:
    """What is measured, and where."""
    from ..device_capabilities import chosen

    _, choice, library = chosen(backend, interface)
    note = NOTES[library["simulated"]]
    if library["simulated"] and re.search(r"\bnull_codec=[1-9]", os.environ.get("ASCEND_VENC_SIM_OPTIONS", "")):
        note = NULL_CODEC
    return {
        "device": note,
        "chip": library["soc_name"],
        "ascendcl": library["version"],
        "interface": choice.name,
        "simulated": library["simulated"],
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "ascend_venc": __version__,
    }


def _cpu() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        found = re.search(r"^(?:model name|Hardware)\s*: (.+)", file.read(), flags=re.M)
        if found:
            return found.group(1)
    return platform.machine()


def pictures(width: int, height: int) -> list[Any]:
    """A few NV12 frames with moving shapes and some noise."""
    import numpy as np

    noise = np.random.default_rng(1).integers(0, 8, (height * 3 // 2, width), dtype=np.uint8)
    rows, columns = np.ogrid[: height * 3 // 2, :width]
    return [((rows + columns + 16 * number) % 224 + noise + 8).astype(np.uint8) for number in range(PICTURES)]


# ---- the device --------------------------------------------------------------------------------------------------


def _figures(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for width, height in args.size or SIZES:
        frames = pictures(width, height)
        for codec in args.codec or CODECS:

            def encoder(width: int = width, height: int = height, codec: Codec = codec) -> Encoder:
                return Encoder(
                    width,
                    height,
                    codec=codec,
                    depth=DEPTH,
                    backend=args.backend,
                    device=args.device,
                    interface=args.interface,
                )

            with encoder() as enc:
                median, longest = latency(enc, frames, args.seconds)
            for channels in args.channels or CHANNELS:
                with contextlib.ExitStack() as stack:
                    encoders = [stack.enter_context(encoder()) for _ in range(channels)]
                    count, seconds = throughput(encoders, frames, args.seconds)
                yield {
                    "size": f"{width}x{height}",
                    "codec": codec,
                    "interface": encoders[0].interface,
                    "channels": channels,
                    "frames": count,
                    "fps": count / seconds,
                    "fps_per_channel": count / seconds / channels,
                    "latency_ms": {"median": median * 1e3, "max": longest * 1e3},
                }


def latency(enc: Encoder, frames: list[Any], seconds: float) -> tuple[float, float]:
    """Seconds from sending one frame to its packet, nothing else being under way: median, longest."""
    times: list[float] = []
    end = time.monotonic() + seconds
    while len(times) < LATENCY_FRAMES + 1 and (len(times) < 2 or time.monotonic() < end):
        begin = time.perf_counter()
        enc.submit(frames[len(times) % PICTURES])
        enc.receive()
        times.append(time.perf_counter() - begin)
    del times[0]  # the first frame sets the encoder up
    return statistics.median(times), max(times)


def throughput(encoders: list[Encoder], frames: list[Any], seconds: float) -> tuple[int, float]:
    """Encode as fast as the device takes frames, one thread for each encoder: (frames, seconds)."""
    stop = threading.Event()
    counts: list[int] = []
    failures: list[BaseException] = []

    def feed(enc: Encoder) -> None:
        received = sent = 0
        try:
            while True:  # at least one, however late this thread comes
                received += len(enc.encode(frames[sent % PICTURES]))
                sent += 1
                if stop.is_set():
                    break
            received += len(enc.flush())
            if received != sent:
                raise VencError(f"{received} packets came of {sent} frames")
        except BaseException as error:
            failures.append(error)
            stop.set()
        counts.append(received)

    for enc in encoders:  # the first frame sets the encoder up
        enc.submit(frames[0])
        enc.receive()
    threads = [threading.Thread(target=feed, args=(enc,)) for enc in encoders]
    begin = time.perf_counter()
    try:
        for thread in threads:
            thread.start()
        stop.wait(seconds)
    finally:
        stop.set()
        for thread in threads:
            if thread.ident is not None:
                thread.join()
    elapsed = time.perf_counter() - begin
    if failures:
        raise failures[0]
    return sum(counts), elapsed


# ---- streams held ------------------------------------------------------------------------------------------------


def _find_streams(args: argparse.Namespace, report: dict[str, Any]) -> int:
    report.update(rate=streams.RATE, max_latency_ms=args.max_latency, streams=[])
    if not args.json:
        print(
            f"\n{'size':>10}  {'codec':6}{'sent by':13}{'streams':>8}{'CPU each':>10}{'p99 ms':>8}  "
            "what ended the search",
            flush=True,
        )
    for (width, height), codec, call in itertools.product(
        args.size or SIZES, args.codec or CODECS[-1:], ("submit", "submit_async")
    ):
        arguments = [f"{width}x{height}", codec, call, str(args.device), str(args.seconds), str(args.max_latency)]
        arguments += [args.backend or "", args.interface or ""]
        elsewhere = report["simulated"]
        figure = _with_the_null_codec(args, "print_streams", arguments) if elsewhere else held(*arguments)
        report["streams"].append(figure)
        if not args.json:
            print(
                f"{figure['size']:>10}  {figure['codec']:6}{figure['call']:13}{figure['streams']:8}"
                f"{figure['cpu_percent']:9.2f}%{figure['p99_ms']:8.1f}  {figure['ended_by']}",
                flush=True,
            )
    if args.json:
        print(json.dumps(report))
    return 0


def held(
    size: str, codec: str, call: str, device: str, seconds: str, limit_ms: str, backend: str, interface: str
) -> dict[str, Any]:
    """The most streams of one size, as the report has them; `call` sends their frames."""
    width, height = parse_size(size)
    found = streams.hold(
        width,
        height,
        pictures(width, height),
        call=call,
        seconds=float(seconds),
        limit_ms=float(limit_ms),
        backend=backend or None,
        codec=codec,
        device=int(device),
        interface=interface or None,
    )
    return {
        "size": size,
        "codec": codec,
        "call": call,
        "streams": found.streams,
        "cpu_percent": 100 * found.cpu_per_stream,
        "p99_ms": found.p99_ms,
        "ended_by": nameless(found.ended_by),
    }


def print_streams(*arguments: str) -> None:
    """Print `held` as JSON, in the process that has the null codec."""
    import warnings

    warnings.simplefilter("ignore")
    print(json.dumps(held(*arguments)))


def nameless(text: str) -> str:
    """A text without this host's name and without paths: a report may be sent in."""
    host = platform.node()
    for name in dict.fromkeys(name for name in (host, host.split(".")[0]) if name not in ("", "localhost")):
        text = re.sub(rf"\b{re.escape(name)}\b", "<host>", text)
    return re.sub(r"(?<![\w<.])~?(?:/[^\s/:;,'\"()]+)+/?", "<path>", text)


# ---- the binding -------------------------------------------------------------------------------------------------


def _overhead_elsewhere(args: argparse.Namespace) -> list[dict[str, Any]]:
    sizes = ["x".join(map(str, size)) for size in args.size or SIZES]
    arguments = [str(args.device), str(args.seconds), args.backend or "", *sizes]
    found: list[dict[str, Any]] = _with_the_null_codec(args, "print_overhead", arguments)
    return found


def _with_the_null_codec(args: argparse.Namespace, function: str, arguments: list[str]) -> Any:
    """What a function of this module prints as JSON in another process: the simulated device reads its options when it
    is loaded."""
    options = [part for part in os.environ.get("ASCEND_VENC_SIM_OPTIONS", "").split(",") if part]
    folder = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    env = dict(
        os.environ,
        ASCEND_VENC_SIM_OPTIONS=",".join([*options, f"null_codec={ACCESS_UNIT}"]),
        PYTHONPATH=os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")])),
    )
    if args.interface:
        env["ASCEND_VENC_INTERFACE"] = args.interface
    # Not what lies in the working folder, which Python would look into first.
    program = f"import sys; sys.path[:] = {[*map(str, sys.path)]!r}; "
    program += f"from ascend_venc.cli import bench; bench.{function}(*sys.argv[1:])"
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise VencError(f"it could not be measured with the null codec: {lines[-1]}")
    return json.loads(done.stdout)


def print_overhead(device: str, seconds: str, backend: str, *sizes: str) -> None:
    """Print as JSON what a frame costs by each way, in the process that has the null codec."""
    import warnings

    warnings.simplefilter("ignore")
    figures = []
    for size in sizes:
        width, height = parse_size(size)
        frames = pictures(width, height)
        with Encoder(width, height, depth=BATCH, backend=backend or None, device=int(device)) as enc:

            def one_by_one(enc: Encoder = enc, frames: list[Any] = frames) -> int:
                return sum(len(enc.encode(frame)) for frame in frames) + len(enc.flush())

            def batch(enc: Encoder = enc, frames: list[Any] = frames) -> int:
                enc.submit_many(frames)
                received = 0
                while received < len(frames):
                    received += len(enc.receive_many())
                return received

            figures.append(
                {
                    "size": size,
                    "access_unit_bytes": ACCESS_UNIT,
                    "encode_us": _microseconds(one_by_one, float(seconds) / 2),
                    "batch_us": _microseconds(batch, float(seconds) / 2),
                }
            )
    print(json.dumps(figures))


def _microseconds(run_once: Callable[[], int], seconds: float) -> float:
    """Median time per frame."""
    run_once()
    times: list[float] = []
    end = time.monotonic() + seconds
    while len(times) < 3 or time.monotonic() < end:
        begin = time.perf_counter()
        count = run_once()
        times.append((time.perf_counter() - begin) / count)
    return statistics.median(times) * 1e6
