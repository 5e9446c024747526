# SPDX-License-Identifier: Apache-2.0
"""What every figure is made with: samples and the one check of their work, the simulated device, measurements in
processes of their own."""

import contextlib
import ctypes
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import SimpleNamespace

# Encoder is compared with pyACL's acl.media and loops in C on V1; V2 is measured where a case says so.
os.environ["ASCEND_VENC_INTERFACE"] = "v1"
# Read when the device is loaded: strict mode would be measured too.
os.environ["ASCEND_VENC_SIM_STRICT"] = "0"
os.environ.pop("ASCEND_VENC_SIM_OPTIONS", None)

import native

from ascend_venc.cli.recording import quantile

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(native.ROOT / "tests"))
# Different pictures that a peer sends at a rate, over all its channels: what is read is as warm in the cache for each.
PACED_PICTURES = 8
SENDS = ("aclvencSendFrame", "hi_mpi_venc_send_frame")


# ---- samples, and the check of their work ----------------------------------------------------------------------------


class DifferentWork(Exception):
    """A peer did other work than it was given, or than the others, or none: its figures mean nothing."""


@dataclass(frozen=True)
class Work:
    """What came out: access units, their bytes, and the Adler-32 of all of them in order (None: not asked for)."""

    frames: int
    bytes: int
    checksum: "int | None" = None

    def __sub__(self, before):
        return Work(self.frames - before.frames, self.bytes - before.bytes)


@dataclass(frozen=True)
class Workload:
    """What a peer encodes. The access unit's size is an option of the device, set by `opened`."""

    width: int = 128
    height: int = 128
    access_unit: int = 20_000
    batch: int = 8
    buffers: int = 16
    channels: int = 1
    threaded: bool = True  # a report thread, of peers that can also process their reports themselves
    v2: bool = False
    # Path of the library; peers that are linked with it find what is preloaded.
    device: str = field(default_factory=native.device_library)

    @property
    def picture_bytes(self):
        return self.width * self.height * 3 // 2


@dataclass
class Sample:
    """One run of one peer: its figures by name, what it says it has done, and what the device saw of it.

    counted, claimed: calls that the device counted (while it was asked to), and those that the peer says it made then.
    note: a word on the figures, or "".
    """

    values: dict
    work: Work
    counted: int
    claimed: int
    note: str = ""


def same_work(samples, access_unit=None, alike=True):
    """The check of every group. `samples` is {peer: [Sample]}. Raises DifferentWork where a peer did no work, or says
    that it did what the device has not seen, or made access units of other sizes; with `alike` also where runs differ.
    """
    first = None
    for peer, runs in samples.items():
        if not runs:
            raise DifferentWork(f"{peer}: nothing was measured")
        for run in runs:
            work = run.work
            if work.frames <= 0:
                raise DifferentWork(f"{peer} did no work: {work}")
            if run.counted != run.claimed or run.claimed <= 0:
                raise DifferentWork(f"{peer} says that it made {run.claimed} calls, the device saw {run.counted}")
            if access_unit is not None and work.bytes != work.frames * access_unit:
                raise DifferentWork(f"{peer}: {work}, with {access_unit} bytes in a frame")
            first = first or (peer, work)
            if alike and work != first[1]:
                raise DifferentWork(f"{first[0]}: {first[1]}; {peer}: {work}")


def percentiles(values):
    return {"p50": quantile(values, 0.5), "p99": quantile(values, 0.99)}


def turns(peers, rounds):
    """(number, peer): the peers in turn, forwards and backwards. What disturbs the machine disturbs all of them."""
    for number in range(rounds):
        for peer in peers if number % 2 == 0 else reversed(peers):
            yield number, peer


def row(figure, peer, values, unit, digits=3, note=""):
    """A row of the report: median, quartiles (of four values and more) and extremes."""
    quarters = (
        statistics.quantiles(values, n=4, method="inclusive") if len(values) > 3 else [min(values), 0, max(values)]
    )
    found = {"figure": figure, "peer": peer, "median": statistics.median(values), "low": min(values)}
    found.update(high=max(values), lower=quarters[0], upper=quarters[2])
    found = {name: round(value, digits) if isinstance(value, float) else value for name, value in found.items()}
    return {**found, "runs": len(values), "unit": unit, **({"note": note} if note else {})}


# ---- the device of this process ------------------------------------------------------------------------------------


def simulator():
    from helpers import simulator as control

    return control.shared()


# Options of the device, of channels that are opened for a measurement.
OPTIONS = {"input_slots": 64, "output_slots": 16, "encode_time_us": 0, "send_time_us": 0, "watermark": 0, "stall": 0}


def configured(job):
    """The workload of a job, and the device with its options inside a block: the null codec with such access units."""
    workload = Workload(**{each.name: job[each.name] for each in fields(Workload) if each.name in job})
    options = {name: job.get(name, value) for name, value in OPTIONS.items()}
    return workload, simulator().options(null_codec=workload.access_unit, **options)


@contextlib.contextmanager
def counted(*functions):
    """`calls` that the device sees inside the block, at its end: of the functions that send frames, or of others."""
    library, device = simulator().lib, SimpleNamespace(calls=0)
    library.aclsim_count_calls(1)
    yield device
    device.calls = sum(library.aclsim_calls(name.encode()) for name in functions or SENDS)
    library.aclsim_count_calls(0)


class Window(ctypes.Structure):
    """probe_window."""

    _fields_ = [
        ("seconds", ctypes.c_double),
        *((name, ctypes.c_uint64) for name in ("channels", "encoded", "host_idle_ns")),
    ]


class Probe:
    """The device library that takes the time of callbacks. One peer to a process, which has it preloaded: one that is
    linked finds it so."""

    def __init__(self):
        self.path = str(native.probe_library())
        self.lib = ctypes.CDLL(self.path)
        self.count = ctypes.c_size_t.in_dll(self.lib, "probe_samples")

    def _watch(self, seconds, channels):
        """What the device counts during so many seconds; the GIL is free meanwhile."""
        window = Window()
        self.lib.probe_watch(ctypes.c_double(seconds), ctypes.byref(window))
        if window.channels != channels or not window.encoded:
            seen = f"the probe saw {window.encoded} frames on {window.channels} of {channels} channels"
            raise DifferentWork(f"{seen}: the peer goes past it, or did no work")
        return window

    def measure(self, start_up, seconds, channels=1):
        """What is seen during so many seconds after the start-up: percentiles of the callbacks' times in µs, frames per
        second, and the share of time in % in which the device stood still because callbacks had not returned."""
        self._watch(start_up, channels)
        self.count.value = 0
        window = self._watch(seconds, channels)
        held, _ = self.samples()
        values = {f"hold_{name}": ns / 1000 for name, ns in percentiles(held).items()}
        values["fps"] = window.encoded / window.seconds
        values["blocked"] = 100 * window.host_idle_ns / (window.seconds * 1e9 * channels)
        return values

    def samples(self):
        """(hold times in ns, times of entry in ns) of the callbacks so far, in their order."""
        if not self.count.value:
            raise DifferentWork("the probe saw no callback: the peer goes past it, or did no work")
        arrays = {"probe_hold_ns": ctypes.c_uint32, "probe_entered_ns": ctypes.c_uint64}
        return [(kind * self.count.value).in_dll(self.lib, name)[:] for name, kind in arrays.items()]


def _burn(ended):
    number = 0
    while not ended.is_set():
        for _ in range(10_000):
            number = number * 3 + 1 & 0xFFFF


def _hold20(ended):
    sleep = ctypes.PyDLL(None).usleep  # PyDLL: with the GIL held
    while not ended.is_set():
        sleep(20_000)


@contextlib.contextmanager
def beside(name):
    """A thread of this process that wants the GIL while the peer works.

    none     sleeps
    burn     pure Python
    hold20   holds the GIL for 20 ms, again and again, as an extension module does that computes without releasing it.
             It sleeps meanwhile: what is measured is the GIL, and not the want of a core.
    """
    ended = threading.Event()
    thread = threading.Thread(target={"none": ended.wait, "burn": _burn, "hold20": _hold20}[name], args=(ended,))
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def threads_named(begins):
    """The threads of this process whose name begins so: the device's own are not the peer's."""
    found = []
    for task in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError), open(f"/proc/self/task/{task}/comm") as file:
            if file.read().startswith(begins):
                found.append(int(task))
    return found


def thread_cpu_ns(begins):
    # The kernel's clock id of a thread's CPU time.
    return sum(time.clock_gettime_ns((~task << 3) | 6) for task in threads_named(begins))


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the peer did not receive everything")
        time.sleep(0.01)


def resident_kib():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


# ---- processes of their own ----------------------------------------------------------------------------------------


def run_worker(job, preload=None):
    """Measure a job in a new process: {peer: [Sample]}. `preload`: "probe" or "allocations"."""
    libraries = {"probe": native.probe_library, "allocations": native.allocation_counter}
    path = [str(FOLDER), str(FOLDER.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    environment.pop("PYTHONWARNINGS", None)  # pyACL's warning passes the default filters, as in users' programs
    with tempfile.TemporaryDirectory() as folder:
        if preload:
            library = libraries[preload]()
            environment["LD_PRELOAD"] = os.path.join(folder, library.name)
            os.symlink(library, environment["LD_PRELOAD"])  # LD_PRELOAD takes no path with a space in it
        command = [sys.executable, str(FOLDER / "kinds.py"), json.dumps(job)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{job['kind']} {job['peers']}: exit {done.returncode}\n{done.stderr[-4000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    return {peer: [Sample(**{**run, "work": Work(**run["work"])}) for run in runs] for peer, runs in found.items()}


def as_json(samples):
    return json.dumps({peer: [asdict(each) for each in runs] for peer, runs in samples.items()})
