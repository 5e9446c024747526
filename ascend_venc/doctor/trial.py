# SPDX-License-Identifier: Apache-2.0
"""The child process of a trial: asks the libraries, and tells what it does before each step.

Lines of JSON go to the file descriptor of the first argument: {"step": ...}, perhaps {"part": ...}, and at the end
{"result": ...} or {"error": ...}. The second argument is the request: {"of": "packages" | "library" | "encode", ...}.
"""

from __future__ import annotations

import json
import math
import os
import resource
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any

from .. import errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..literals import Codec, Interface
WIDTH, HEIGHT, FRAMES = 320, 240, 3  # every chip takes that
LEAST_PSNR = 25.0  # dB, of luma: three easy pictures at this bit rate give over 35


class Steps:
    """Where the lines go."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def tell(self, **line: Any) -> None:
        os.write(self.fd, json.dumps(line).encode() + b"\n")

    def step(self, text: str) -> None:
        self.tell(step=text)


def main() -> None:
    """Run the trial of the arguments."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash is expected, its core is not
    steps = Steps(int(sys.argv[1]))
    os.set_inheritable(steps.fd, False)
    request = json.loads(sys.argv[2])
    trials: dict[str, Callable[..., dict[str, Any]]] = {"packages": packages, "library": library, "encode": encode}
    trial = trials[request.pop("of")]
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = trial(steps, **request)
        ours = (errors.SimulatedDeviceWarning, errors.LibraryPathWarning, errors.InterfaceFallbackWarning)
        result["warnings"] = [
            {"type": type(warning.message).__name__, "text": str(warning.message)}
            for warning in caught
            if isinstance(warning.message, ours)
        ]
        steps.tell(result=result)
    except Exception as error:
        steps.tell(error=described(error))


def described(error: BaseException) -> dict[str, Any]:
    """An exception as JSON has it."""
    found: dict[str, Any] = {"type": type(error).__name__, "text": str(error)}
    for name in ("code", "name", "call", "hint", "detail"):
        value = getattr(error, name, None)
        if isinstance(error, errors.AclError) and value:
            found[name] = value
    return found


def packages(steps: Steps) -> dict[str, Any]:
    """Which Python packages can be imported, and what PyAV's FFmpeg encodes and writes."""
    steps.step("importing NumPy")
    import numpy

    steps.step("importing PyAV")
    from .._lowlevel import core

    found: dict[str, Any] = {"numpy": numpy.__version__, "pyav": "", "pyav_problem": "", "encoders": [], "formats": []}
    try:
        from ..media.container import import_av

        av = import_av()
        found["pyav"] = str(av.__version__)
        found["pyav_path"] = os.path.dirname(av.__file__)
        found["encoders"] = [name for name in ("libx264", "libx265") if _has_encoder(av, name)]
        writable = av.formats_available
        found["formats"] = [name for name in ("mp4", "mov", "matroska", "mpegts", "flv") if name in writable]
        found["decoders"] = [name for name in ("h264", "hevc") if name in av.codecs_available]
    except Exception as error:  # a broken installation may raise anything
        found["pyav_problem"] = " ".join(str(error).split()) or type(error).__name__
    steps.step("looking for the simulated device's codec and for converters")
    found["sim_codec"] = os.environ.get("ASCEND_VENC_SIM_AVCODEC") or core.find_codec() or ""
    found["swscale"] = core.find_swscale() or ""
    found["libyuv"] = core.find_libyuv() or ""
    return found


def _has_encoder(av: Any, name: str) -> bool:
    try:
        return bool(av.codec.Codec(name, "w"))
    except Exception:
        return False


def library(steps: Steps, backend: str | None) -> dict[str, Any]:
    """Which library that backend is, its chip, and by which interfaces it encodes."""
    from ..device_capabilities import capabilities_by, chosen

    opened, choice, found = chosen(backend, step=steps.step)
    can = {name: capabilities_by(opened, found["soc_name"], name) for name in ("v1", "v2")}
    found.update(
        mpi_path=opened.mpi_path,
        mpi_problem=opened.mpi_problem,
        interface=choice.name,
        interface_reason=choice.reason,
        interface_problem=choice.problem,
        interface_automatic=choice.automatic,
        encodes={name: capability.encoder for name, capability in can.items()},
        why_not={name: capability.reason for name, capability in can.items()},
    )
    return found


def encode(steps: Steps, backend: str | None, interface: Interface, device: int, codecs: list[Codec]) -> dict[str, Any]:
    """Tell for each codec what came of encoding three frames, as a part: {"codec": ..., "result" or "error": ...}."""
    for codec in codecs:
        try:
            steps.tell(part={"codec": codec, "result": _encode(steps, backend, interface, device, codec)})
        except Exception as error:
            steps.tell(part={"codec": codec, "error": described(error)})
    return {}


def _encode(steps: Steps, backend: str | None, interface: Interface, device: int, codec: Codec) -> dict[str, Any]:
    """Encode three frames, look at what the stream says of itself, and decode it where PyAV can."""
    import numpy as np

    from ..bitstream import iter_nal_units
    from ..encoder import Encoder
    from ..sequence_parameters import parse_sequence_parameters

    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    frames = []
    for number in range(FRAMES):
        frame = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
        frame[:HEIGHT] = (rows + columns // 2 + 16 * number) % 128 + 64
        frames.append(frame)
    steps.step(f"{codec}, opening the device and a channel")
    begin = time.monotonic()
    encoder = Encoder(
        WIDTH, HEIGHT, codec=codec, fps=30, bitrate=4_000_000, backend=backend, device=device, interface=interface
    )
    opened = time.monotonic()
    steps.step(f"{codec}, encoding {FRAMES} frames")
    packets = [packet for frame in frames for packet in encoder.encode(frame)]
    packets += encoder.flush()
    done = time.monotonic()
    steps.step(f"{codec}, closing the channel")
    found: dict[str, Any] = {"simulated": encoder.simulated, "packets": len(packets)}
    data = b"".join(bytes(packet) for packet in packets)
    encoder.close()
    found.update(
        bytes=len(data),
        milliseconds_to_open=round(1000 * (opened - begin), 3),
        milliseconds_per_frame=round(1000 * (done - opened) / FRAMES, 3),
    )
    if len(packets) != FRAMES:
        raise errors.VencError(f"{FRAMES} frames were sent, and {len(packets)} packets came")
    steps.step(f"{codec}, reading the stream")
    parameters = [unit for unit in iter_nal_units(data, codec) if unit.name == "SPS"]
    if not parameters:
        raise errors.VencError("the stream has no sequence parameter set: what came is no video of that codec")
    told = parse_sequence_parameters(parameters[0].data, codec)
    found.update(profile=told.profile, level=told.level, width=told.width, height=told.height)
    if (told.width, told.height) != (WIDTH, HEIGHT):
        raise errors.VencError(f"the stream says {told.width} x {told.height}, and the frames were {WIDTH} x {HEIGHT}")
    steps.step(f"{codec}, decoding the stream")
    found["psnr"] = _decoded_psnr(data, codec, frames)
    if found["psnr"] is not None and found["psnr"] < LEAST_PSNR:
        raise errors.VencError(
            f"the decoded pictures are not those that were sent: {found['psnr']:.1f} dB, expected over {LEAST_PSNR:g}"
        )
    return found


def _decoded_psnr(data: bytes, codec: str, frames: list[Any]) -> float | None:
    """Luma's PSNR in dB of the worst picture, at most 99; None without PyAV. VencError where it cannot be decoded."""
    import numpy as np

    try:
        from ..media.container import import_av

        av = import_av()
        decoder = av.CodecContext.create("h264" if codec == "h264" else "hevc", "r")
    except Exception:  # said of the packages
        return None
    try:
        pictures = [picture for packet in decoder.parse(data) for picture in decoder.decode(packet)]
        pictures += [picture for packet in decoder.parse(b"") for picture in decoder.decode(packet)]
        pictures += decoder.decode(None)
    except Exception as error:
        raise errors.VencError(f"the stream cannot be decoded: {error}") from None
    if len(pictures) != len(frames):
        raise errors.VencError(f"{len(frames)} frames were encoded, and {len(pictures)} can be decoded")
    worst = 99.0
    for picture, frame in zip(pictures, frames):
        plane = picture.planes[0]
        luma = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:HEIGHT, :WIDTH]
        squares = float(np.mean((luma.astype(float) - frame[:HEIGHT]) ** 2))
        worst = min(worst, 10 * math.log10(255**2 / squares) if squares else 99.0)
    return round(worst, 1)
