# SPDX-License-Identifier: Apache-2.0
"""What is measured: groups of cases. A case is a kind of measurement (kinds.py, conversion.py) with its peers, and says
which figures become rows of the report and how they are compared. A group is a function of `pyacl`: whether the
vendor's module is measured too."""

from dataclasses import dataclass

from conversion import PIXEL_FORMATS, installed
from peers import BYTES, NUMPY

LOADS = ("none", "burn", "hold20")
ROUNDS = {"none": 2, "burn": 3, "hold20": 5}  # what waits for holds of 20 ms differs most from run to run
FLOOR = "C loop"
OURS, QUEUED = "Encoder.submit_many", "Encoder.submit_async"
ENCODER = ("Encoder.encode", OURS, "Encoder.acquire", QUEUED)
FACADE = f"facade, {BYTES}"
ACCESS_UNITS = (2_000, 20_000, 200_000)


# What kinds of measurement find: name, text, unit, decimal places.
FIGURES = {
    "cpu_ns": ("CPU per frame", "ns", 0),
    "cpu_us": ("CPU per frame", "µs", 3),
    "cpu_ms": ("CPU", "ms", 3),
    "cpu_percent": ("CPU of a stream", "% of a core", 3),
    "switches": ("context switches per frame", "", 3),
    "rate": ("rate", "frames/s", 0),
    "fps": ("rate", "fps", 0),
    "fps_each": ("rate per channel", "fps", 3),
    "setter": ("setter", "ns", 1),
    "getter": ("getter", "ns", 1),
    "send": ("venc_send_frame", "ns", 1),
    "dispatch": ("callback dispatch", "ns", 1),
    BYTES: (BYTES, "ns", 1),
    NUMPY: (f"{NUMPY}, default warning filters", "ns", 1),
    "allocations": ("heap allocations per frame", "", 3),
    "rss_kib": ("growth of resident memory", "KiB", 0),
    "rss_mib": ("resident memory added", "MiB", 1),
    "buffers": ("growth of buffers", "", 0),
    "blocked": ("device blocked by callbacks", "%", 3),
    "hold_p50": ("callback's time, p50", "µs", 1),
    "hold_p99": ("callback's time, p99", "µs", 1),
    "tick_ms": ("submitting one frame of each, p99", "ms", 3),
    "p50": ("callback to packet, p50", "µs", 1),
    "p99": ("callback to packet, p99", "µs", 1),
    "lost": ("frames lost", "%", 3),
    "threads": ("threads of the engine", "", 0),
    "streams": ("streams of 30 fps held", "", 0),
    "p99_ms": ("due to received, p99", "ms", 1),
    "numpy": ("import numpy, for comparison", "ms", 3),
    "import": ("import ascend_venc, after numpy", "ms", 3),
    "open": ("open an encoder, the library not yet loaded", "ms", 3),
    "packet": ("open, first frame, first packet", "ms", 3),
    "close": ("close", "ms", 3),
    "ms": ("elapsed", "ms", 3),
}


@dataclass(frozen=True)
class Against:
    """A row that compares a value of `peer` with that of `base`, run by run.

    how: "over" (ratio), "share of" (that in %), "share" (base's over ours in %), "more" (difference), "overhead":
    (peer - C loop) / (base - C loop). base: several of which the fastest counts, or of another case of the group,
    `base_case`.
    """

    how: str
    value: str
    peer: str
    base: "str | tuple"
    text: str
    unit: str = "×"
    base_case: str = ""


class Case:
    """A kind of measurement. `where` stands before each figure's text. `figures` are rows, for each peer that has them.
    `job` has fields of Workload, options of the device, and what the kind itself reads."""

    def __init__(self, where, kind, peers, figures, against=(), rounds=9, **job):
        self.where, self.kind, self.peers, self.figures, self.against = where, kind, peers, figures, against
        self.rounds, self.job = rounds, job
        # What is preloaded, of native.py.
        self.preload = "probe" if kind in ("blocked", "rate", "latency") else kind if kind == "allocations" else ""
        # Every run does the same number of frames.
        self.alike = kind not in ("submit", "paced", "held")
        # Each run is in a process of its own.
        self.apart = self.preload == "probe" or not self.alike
        # Bytes of every frame, None where nothing is encoded.
        small = {"startup": 2000, "padded": 2000, "calls": None, "convert": None}
        self.access_unit = small.get(kind, job.get("access_unit", 20_000))


def vendor(pyacl, program=BYTES):
    """The peer that ours are compared with: pyACL where it is measured, else the stand-in of its shape."""
    return f"{'pyACL' if pyacl else 'stand-in'}, {program}"


def programs(pyacl, *ways):
    """The programs for pyACL that are measured, on each module."""
    modules = ("stand-in", *(("pyACL",) if pyacl else ()), "facade")
    return tuple(f"{module}, {way}" for way in ways for module in modules)


def documented(pyacl):
    """The vendor's documented flow, without our facade."""
    return programs(pyacl, "as documented")[:-1]


def _size(access_unit):
    return f"{access_unit // 1000} KB"


# ---- no device's time ----------------------------------------------------------------------------------------------


def calls(pyacl):
    """One setter, getter, send, dispatch of a callback, address function."""
    ours, base = f"facade, {NUMPY}", vendor(pyacl, NUMPY)
    figures = ("setter", "getter", "send", "dispatch", BYTES, NUMPY)
    text = "facade over pyACL"
    against = [Against("over", value, ours, base, f"{FIGURES[value][0]}: {text}") for value in figures[:4]]
    peers = (*programs(pyacl, NUMPY), "ctypes", "hand-written FASTCALL")
    work = {"access_unit": 200, "buffers": 8, "threaded": False, "frames": 100}
    yield Case("one call", "calls", peers, figures, against, rounds=21, **work)


def frames(pyacl):
    """CPU and context switches per frame, and rate, by picture, access unit and batch."""
    for (width, height), access_unit, batch in (
        ((128, 128), 2_000, 8),
        ((128, 128), 20_000, 8),
        ((128, 128), 20_000, 1),
        ((128, 128), 200_000, 8),
        ((1920, 1080), 20_000, 8),
    ):
        large = width > 1000
        serial = (FLOOR, "device alone", "ctypes", *programs(pyacl, BYTES, NUMPY), *documented(pyacl))
        threaded = (FLOOR, *programs(pyacl, BYTES), *ENCODER)
        text = "facade's overhead over pyACL's"
        overheads = [
            Against("overhead", "cpu_ns", f"facade, {way}", vendor(pyacl, way), f"{text}, {way}")
            for way in (BYTES, NUMPY)
        ]
        over = [Against("over", "cpu_ns", peer, FLOOR, "CPU over the C loop") for peer in threaded[1:]]
        over += [Against("more", "switches", peer, FLOOR, "context switches beyond C's", "") for peer in ENCODER]
        for mode, peers, figures, against, rounds in (
            ("one thread", serial, ("cpu_ns",), overheads, 7),
            ("report thread", threaded, ("cpu_ns", "rate", "switches"), over, 11),
        ):
            where = f"{width}x{height}, {_size(access_unit)}, batches of {batch}, {mode}"
            work = {"width": width, "height": height, "access_unit": access_unit, "batch": batch}
            work.update(buffers=8 if batch == 1 else 16, output_slots=32)
            work.update(frames=120 if large else 2500, threaded=mode == "report thread")
            yield Case(where, "frames", peers, figures, against, rounds=5 if large else rounds, **work)


def bursts(pyacl):
    """CPU per frame without thread switches."""
    peers = (FLOOR, OURS, *programs(pyacl, BYTES, NUMPY))
    against = [Against("over", "cpu_ns", OURS, FLOOR, "CPU over the C loop")]
    against += [Against("more", "cpu_ns", peer, FLOOR, "added to the C loop", "ns") for peer in peers[1:]]
    for way in (BYTES, NUMPY):
        text = f"overhead over pyACL's, {way}"
        against += [Against("overhead", "cpu_ns", each, vendor(pyacl, way), text) for each in (OURS, f"facade, {way}")]
    for access_unit in ACCESS_UNITS:
        where = f"128x128, {_size(access_unit)}, bursts of 16 in batches of 8"
        yield Case(where, "bursts", peers, ("cpu_ns",), against, buffers=16, access_unit=access_unit, phases=120)


def files(pyacl):
    """The vendor's sample flow, to a file in memory."""
    peers = (FLOOR, *documented(pyacl), *programs(pyacl, BYTES), OURS)
    against = (Against("share", "cpu_ns", OURS, FLOOR, "of what C gains over the documented flow", "%"),)
    for access_unit in ACCESS_UNITS:
        work = {"access_unit": access_unit, "output_slots": 32, "frames": 400 if access_unit > 100_000 else 1500}
        yield Case(f"{_size(access_unit)} to a file", "files", peers, ("cpu_ns",), against, **work)


def counts(pyacl):
    """What is counted, and needs no repetition: heap allocations per frame, growth over a million frames."""
    peers = (FLOOR, "ctypes", *programs(pyacl, BYTES, NUMPY), *ENCODER)
    work = {"output_slots": 32, "frames": 4000, "threaded": False}
    yield Case("128x128, 20 KB", "allocations", peers, ("allocations",), rounds=3, **work)
    where, work = "1,000,000 frames in batches of 8", {"access_unit": 2000, "frames": 1_000_000}
    yield Case(where, "drift", (OURS,), ("rss_kib", "buffers"), rounds=1, **work)


# ---- a device that takes its time, beside a load ---------------------------------------------------------------------


def _facade(pyacl, value, how, text, unit="×"):
    return Against(how, value, FACADE, vendor(pyacl), text, unit)


def blocked(pyacl):
    """How long a device that is always busy is stopped by callbacks: 30 fps on each channel, one output slot."""
    figures = ("blocked", "hold_p50", "hold_p99")
    for (width, height), channels, load in (
        *(((128, 128), 8, load) for load in LOADS),
        *(((128, 128), 32, load) for load in ("none", "hold20")),
        *(((1920, 1080), 4, load) for load in LOADS),
    ):
        name = f"{width}x{height}, {channels} x 30 fps"
        against = [_facade(pyacl, "blocked", "more", "blocked more than pyACL", "points")]
        against.append(_facade(pyacl, "hold_p99", "over", "callback's time, p99, over pyACL's"))
        text, unloaded = "blocked more than unloaded", f"{name}, load none"
        for peer in (vendor(pyacl), FACADE, OURS) if load != "none" else ():
            against.append(Against("more", "blocked", peer, peer, text, "points", unloaded))
        peers = (*((FLOOR,) if load == "none" else ()), *programs(pyacl, BYTES), OURS)
        rounds = min(ROUNDS[load], 3) if channels == 32 else ROUNDS[load]
        work = {"width": width, "height": height, "channels": channels, "load": load, "seconds": 0.45}
        work.update(encode_time_us=33_333, output_slots=1)
        yield Case(f"{name}, load {load}", "blocked", peers, figures, against, rounds=rounds, **work)


def rate(pyacl):
    """How much of the speed of a device is used: 0.5 ms a frame at 128 x 128, 1 ms at 1080p, fed from Python."""
    for (width, height), encode_time_us, buffers, ahead in (
        ((128, 128), 500, 64, {"buffers": 256, "batch": 128}),
        ((1920, 1080), 1000, 16, {"buffers": 64, "batch": 32}),
    ):
        name = f"{width}x{height}, {encode_time_us / 1000:g} ms a frame"
        against = [_facade(pyacl, "fps", "over", "rate over pyACL's")]
        against.append(_facade(pyacl, "hold_p99", "over", "callback's time, p99, over pyACL's"))
        text, alone = "of the device's speed", f"{name}, load none"
        for peer in (vendor(pyacl), FACADE, OURS):
            against.append(Against("share of", "fps", peer, FLOOR, text, "%", alone))
        for load in LOADS:
            peers = (*((FLOOR,) if load == "none" else ()), *programs(pyacl, BYTES), OURS)
            work = {"width": width, "height": height, "buffers": buffers, "encoder": ahead}
            work.update(encode_time_us=encode_time_us, output_slots=8, load=load, seconds=0.5)
            yield Case(f"{name}, load {load}", "rate", peers, ("fps", "hold_p99"), against, rounds=ROUNDS[load], **work)


def submit(pyacl):
    """Python paces 32 channels whose sends take 150 µs; and 16 channels whose sends take 3 ms, as fast as they go."""
    for load in LOADS:
        where = f"32 channels, sends of 150 µs, load {load}"
        peers = (*programs(pyacl, BYTES), "Encoder.submit", QUEUED)
        work = {"channels": 32, "send_time_us": 150, "load": load, "seconds": 0.7}
        yield Case(where, "submit", peers, ("fps_each", "tick_ms"), rounds=3, **work)
    threads = "Encoder.submit, a thread each"
    against = (Against("over", "fps", QUEUED, threads, "rate over a thread for each"),)
    work = {"channels": 16, "buffers": 8, "send_time_us": 3000, "frames": 40}
    yield Case("16 channels, sends of 3 ms", "spread", (threads, QUEUED), ("fps",), against, rounds=3, **work)


def latency(pyacl):
    """From the entry of the callback to the packet in Python, one channel of 500 fps."""
    theirs, ours = f"{vendor(pyacl)}, call_soon_threadsafe", "Encoder, asyncio"
    for load in LOADS:
        peers = (*programs(pyacl, BYTES), OURS, theirs, ours)
        against = (Against("over", "p99", ours, theirs, "callback to coroutine, p99, over call_soon_threadsafe"),)
        work = {"encode_time_us": 2000, "output_slots": 1, "load": load, "frames": 180}
        yield Case(f"500 fps, load {load}", "latency", peers, ("p50", "p99"), against, rounds=3, **work)


# ---- many channels -------------------------------------------------------------------------------------------------


def channels(pyacl):
    """64 channels at 30 fps: frames spread over time, so that no packet finds another one to share a wake-up with, or
    in step, one of each channel at a time (`EncoderGroup.submit_many`). V2 as V1, each against C on its interface."""
    ways = ("Encoder, immediate", "Encoder, coalesced", "Encoder, coalesced to a sink")
    figures = ("cpu_us", "switches", "lost", "rss_mib", "threads")
    paced = programs(pyacl, "paced")
    for interface, arrival in (("V1", "spread"), ("V1", "in step"), ("V2", "spread")):
        programs_for = paced if (interface, arrival) == ("V1", "spread") else ()
        where = f"64 x 30 fps, {arrival}, {interface}"
        against = [Against("over", "cpu_us", way, FLOOR, "CPU over the C loop") for way in (*programs_for, *ways)]
        work = {"channels": 64, "buffers": 4, "v2": interface == "V2", "seconds": 2.5, "in_step": arrival == "in step"}
        yield Case(where, "paced", (FLOOR, *programs_for, *ways), figures, against, rounds=2, **work)


def streams(pyacl):
    """The most streams that are kept: 99 % of the packets within 40 ms, no frame lost; as `ascend-venc bench
    --find-streams` searches for them, on V2."""
    ways = tuple(f"Encoder.{call}, many streams" for call in ("submit", "submit_async"))
    for name, width, height in (("720p", 1280, 720), ("1080p", 1920, 1080)):
        ours = ways if name == "720p" else ways[:1]
        against = [Against("over", "streams", each, FLOOR, "streams held, of C's") for each in ours]
        work = {"width": width, "height": height, "buffers": 4, "v2": True, "seconds": 0.8}
        work["limit"] = 256  # channels that the chip has
        yield Case(
            f"{name} NV12", "held", (FLOOR, *ours), ("streams", "cpu_percent", "p99_ms"), against, rounds=1, **work
        )


# ---- around the encoder ----------------------------------------------------------------------------------------------


def startup(pyacl):
    """Import, open, first packet, close in fresh processes."""
    yield Case("start-up", "startup", ("Encoder",), ("numpy", "import", "open", "packet", "close"), rounds=25)


def conversion(pyacl):
    """Conversion to NV12, and pictures with padded rows, beside OpenCV, PyAV and NumPy."""
    text = "over the fastest of the others"
    for pixel_format, matrix in (
        (name, matrix)
        for name, info in PIXEL_FORMATS.items()
        for matrix in (("bt601", "bt709") if info.color == "rgb" else ("bt601",) if info.source is not None else ())
    ):
        rgb = PIXEL_FORMATS[pixel_format].color == "rgb"
        others = ("OpenCV, 1 thread", "OpenCV, 2 threads") if rgb and matrix == "bt601" else ()
        others += ("PyAV",) if pixel_format != "uyvy422" else ()  # PyAV cannot take it
        others = tuple(filter(installed, others))
        where = f"{pixel_format} to nv12, 1080p" + (f", {matrix}" if rgb else "")
        peers = ("ours", *(("ours, libswscale",) if rgb and matrix == "bt601" else ()), *others)
        against = (Against("over", "ms", "ours", others, text),) if others else ()
        work = {"pixel_format": pixel_format, "matrix": matrix}
        yield Case(where, "convert", peers, ("ms", "cpu_ms"), against, rounds=41, **work)
    ours, others = "Encoder.encode(array)", ("acquire(), OpenCV", "acquire(), PyAV", "acquire(), NumPy")
    others = tuple(filter(installed, others))
    where = "1080p NV12 with padded rows, encoded"
    against = (Against("over", "ms", ours, others, text),)
    yield Case(where, "padded", (ours, *others), ("ms",), against, rounds=11, frames=16)


_ALL = (calls, frames, bursts, files, counts, blocked, rate, submit, latency, channels, streams, startup, conversion)
GROUPS = {group.__name__: group for group in _ALL}
