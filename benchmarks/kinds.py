# SPDX-License-Identifier: Apache-2.0
"""Kinds of measurement: each opens one peer, lets it work, and returns a Sample.

One job in a process of its own: `python kinds.py '{"kind": ..., "peers": [...], "rounds": ...}'` prints samples.
"""

import asyncio
import contextlib
import ctypes
import functools
import gc
import json
import os
import resource
import statistics
import sys
import threading
import time
import timeit
import traceback
import zlib

import conversion
import harness
import numpy as np
from harness import DifferentWork, Probe, Sample, Work, beside, counted, simulator
from peers import AclProgram, open_peer

from ascend_venc import VencError
from ascend_venc.cli import streams
from helpers import processes

LOOP = ", call_soon_threadsafe"


# A program that receives at a rate keeps no access units: C's two are as warm in the cache as the engine's.
KEPT_AT_A_RATE = {"C loop": {"outputs": 2, "pictures": harness.PACED_PICTURES}}


@contextlib.contextmanager
def opened(peer, job, **more):
    """The peer on a device with the job's options."""
    workload, options = harness.configured({**job, **job.get("encoder", {})} if peer.startswith("Encoder") else job)
    with options, contextlib.closing(open_peer(peer, workload, **more)) as one:
        yield one


@contextlib.contextmanager
def _spent(frames):
    """CPU, wall time and context switches of this process inside the block, per frame: in the dict, at its end."""
    values, switches = {}, resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    wall, cpu = time.perf_counter_ns(), time.process_time_ns()
    yield values
    cpu, wall = time.process_time_ns() - cpu, time.perf_counter_ns() - wall
    switches = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - switches
    values.update(cpu_ns=cpu / frames, rate=frames * 1e9 / wall, switches=switches / frames)


def _lost_or_doubled(total, frames):
    if total.frames != frames:
        raise DifferentWork(f"{total} for {frames} frames")
    return total


def _seen(one, frames):
    """(calls that the device counts while the peer encodes frames, those that the peer claims). Counting costs: these
    frames come before the ones that are measured."""
    with counted() as device:
        claimed = one.run(frames).frames
    return device.calls, claimed


def _warmed_up(one, frames):
    return _seen(one, max(one.workload.batch, frames // 10))


# ---- as fast as it goes --------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _written(peer):
    """A file in memory, and the option by which the peer writes its access units to it: one write per frame, of bytes
    made from the array, as the vendor's sample; a batch per call from Encoder."""
    with open(os.memfd_create("units"), "w+b", buffering=0) as file:
        options = {"on_packet": lambda unit: file.write(unit if isinstance(unit, bytes) else unit.tobytes())}
        if peer.startswith("Encoder"):
            options = {"on_packets": lambda packets: os.writev(file.fileno(), packets)}
        elif peer == "C loop":
            options = {"file": file.fileno()}
        yield file, options


def check(peer, job):
    """The same frames once, with the checksum of all access units; those of Encoder in their order."""
    frames, numbers = 40, []
    with _written(peer) as (file, options):
        write = options.get("on_packets")

        def numbered(packets):
            numbers.extend(packet.frame_index for packet in packets)
            write(packets)

        if write is not None:
            options["on_packets"] = numbered
        with opened(peer, {**job, "buffers": 64}, **options) as one, counted() as device:
            work = one.run(frames)
        file.seek(0)
        work = Work(work.frames, work.bytes, zlib.adler32(file.read()))
    if numbers not in ([], [*range(frames)]):
        raise DifferentWork(f"{peer}: frames came as {numbers}")
    return Sample({}, work, device.calls, frames)


def frames(peer, job):
    """CPU and context switches per frame, and frames per second. Opened anew for each sample."""
    count = job["frames"]
    with opened(peer, job) as one:
        seen = _warmed_up(one, count)
        with _spent(count) as spent:
            work = one.run(count)
    return Sample(spent, _lost_or_doubled(work, count), *seen)


def files(peer, job):
    """The access units are written to a file in memory, which is emptied outside the clock; it is part of the work."""
    count = job["frames"]
    with _written(peer) as (file, options), opened(peer, job, **options) as one:
        seen = _warmed_up(one, count)
        file.seek(0)
        file.truncate()
        with _spent(count) as spent:
            one.run(count)
        size = os.fstat(file.fileno()).st_size
    return Sample(spent, Work(size // one.workload.access_unit, size), *seen)


def _grown(peer, job, first, read):
    """By how much more `read(peer)` counts after the job's frames than before them; after some first frames."""
    count = job["frames"]
    with opened(peer, job) as one:
        seen = _seen(one, first)
        time.sleep(0.05)
        before = read(one)
        work = one.run(count)
        grown = {name: value - before[name] for name, value in read(one).items()}
    return Sample(grown, _lost_or_doubled(work, count), *seen)


@functools.lru_cache(maxsize=1)
def _every_allocation():
    """The preloaded counter, told once for the process that it counts those of all callers."""
    counter = ctypes.CDLL(None)
    counter.counted.restype = ctypes.c_ulong
    counter.count_from(ctypes.c_size_t(0), ctypes.c_size_t(-1))
    return counter


def allocations(peer, job):
    """Heap allocations per frame, counted by a preloaded allocator."""
    count, counter = job["frames"], _every_allocation()
    return _grown(peer, job, count, lambda one: {"allocations": counter.counted() / count})


def drift(peer, job):
    """Memory after so many frames, beyond that after the first twentieth of them."""

    def memory(one):
        stats = one.encoder.stats
        return {"rss_kib": harness.resident_kib(), "buffers": stats.packet_buffers + stats.picture_buffers}

    return _grown(peer, job, job["frames"] // 20, memory)


def bursts(peer, job):
    """CPU per frame of the peers with a report thread, when no frame waits for a thread to wake.

    The device stands still while the peer sends a burst, then answers all of it, then the peer receives. Only the
    sending, the receiving and the report thread's CPU are counted: one wake-up for a burst, on both sides.
    """
    burst, rounds, clock, samples = job["buffers"], job["phases"], time.thread_time_ns, []
    with opened(peer, {**job, "output_slots": burst, "input_slots": burst}) as one:
        ours = peer.startswith("Encoder")
        batches = one.batches(one.workload.batch) if ours else ()

        def send():
            if not ours:
                return one.queue(burst)
            for batch in batches:
                one.encoder.submit_many(batch)

        def phase(total):
            simulator().set_options(stall=1)
            before, start = _report_cpu(peer, one), clock()
            send()
            spent = clock() - start
            simulator().set_options(stall=0)
            while one.encoder.stats.in_flight if ours else one.total().frames < total + burst:
                time.sleep(0.0002)
            start = clock()
            if ours:
                one.receive(total + burst)
            came = one.total()
            spent += clock() - start
            time.sleep(0.0002)  # the report thread sleeps again: its time is up to date
            samples.append((spent + _report_cpu(peer, one) - before) / burst)
            return _lost_or_doubled(came, total + burst)

        with counted() as device:
            for number in range(10):
                warm = phase(number * burst)
        for number in range(10, 10 + rounds):
            total = phase(number * burst)
    return Sample({"cpu_ns": statistics.median(samples[10:])}, total, device.calls, warm.frames)


def _report_cpu(peer, one):
    if isinstance(one, AclProgram):
        return time.clock_gettime_ns(time.pthread_getcpuclockid(one.report_thread))
    return harness.thread_cpu_ns("floor-report" if peer == "C loop" else "avenc-report")


def spread(peer, job):
    """Frames per second of many channels whose sends take their time, as fast as they are taken."""
    channels, count, threads = job["channels"], job["frames"], peer.endswith("a thread each")
    with opened(peer, job) as one, counted() as device:
        one.spread(2, threads)
        before = one.total()
        with _spent(count * channels) as spent:
            one.spread(count, threads)
        total = one.total()
    values = {"fps": spent["rate"]}
    return Sample(values, _lost_or_doubled(total - before, count * channels), device.calls, total.frames)


# ---- a device that takes its time ----------------------------------------------------------------------------------


def blocked(peer, job):
    """Share of time in which the device stands still because callbacks have not returned, and how long these take.

    Frames are queued before the device starts, so nothing but the answer to reports can hold it up.
    """
    probe, channels, encode_us = Probe(), job["channels"], job["encode_time_us"]
    count = int((job["seconds"] + 0.7) * 1e6 / encode_us) + 2
    quick = {**job, "device": probe.path, "buffers": count, "input_slots": 1024, "encode_time_us": 0}
    with opened(peer, quick) as one, counted() as device:
        # Once through as fast as it goes: memory that is touched for the first time is not what is asked for.
        one.queue(count)
        harness.wait_until(lambda: one.total().frames == count * channels)
        simulator().set_options(stall=1, encode_time_us=encode_us)
        one.queue(count)
        gc.collect()
        gc.freeze()
        with beside(job["load"]):
            simulator().set_options(stall=0)
            values = probe.measure(0.3, job["seconds"], channels)
        simulator().set_options(encode_time_us=0)
        harness.wait_until(lambda: one.total().frames >= 2 * count * channels)
        work = _lost_or_doubled(one.total(), 2 * count * channels)
    return Sample(values, work, device.calls, work.frames)


def rate(peer, job):
    """Frames per second of a device that needs `encode_time_us` for one, fed by the peer itself from Python."""
    probe, encode_us = Probe(), job["encode_time_us"]
    count = int((job["seconds"] + 0.6) * 1e6 / encode_us)
    quick = {**job, "device": probe.path, "input_slots": 256, "encode_time_us": 0}
    with opened(peer, quick) as one, counted() as device:
        warm = one.run(one.workload.buffers)  # memory that is touched for the first time is not what is asked for
        simulator().set_options(encode_time_us=encode_us)
        feeder = threading.Thread(target=one.run, args=(count,))
        with beside(job["load"]):
            feeder.start()
            values = probe.measure(0.2, job["seconds"])
        simulator().set_options(encode_time_us=0)
        feeder.join()
        total = one.total()
    return Sample(values, _lost_or_doubled(total - warm, count), device.calls, total.frames)


def submit(peer, job):
    """Python paces 30 frames per second on each of n channels; a send takes 150 us at least."""
    channels, ticks = job["channels"], []
    with opened(peer, job) as one, counted() as device:
        send_all = one.sender()
        send_all()
        with beside(job["load"]):
            began = due = time.monotonic()
            while (start := time.monotonic()) - began < job["seconds"]:
                send_all()
                end = time.monotonic()
                ticks.append((end - start) * 1e3)
                due = max(due + 1 / 30, end)
                time.sleep(due - end)
            elapsed = start - began
        harness.wait_until(lambda: one.total().frames >= (len(ticks) + 1) * channels)
        work = _lost_or_doubled(one.total(), (len(ticks) + 1) * channels)
    values = {"fps_each": len(ticks) / elapsed, "tick_ms": harness.quantile(ticks, 0.99)}
    return Sample(values, work, device.calls, work.frames)


@contextlib.contextmanager
def _event_loop():
    """An event loop on a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="asyncio")
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def latency(peer, job):
    """From the entry of the callback to the packet in Python: in the callback, in the thread that receives, or in a
    coroutine."""
    probe, count, received, now = Probe(), job["frames"], [], time.monotonic_ns
    name, loops = peer.replace(LOOP, ""), peer.endswith(LOOP)
    with _event_loop() if loops else contextlib.nullcontext() as loop:
        if name.startswith("Encoder"):
            options = {"on_packets": lambda packets: received.extend([now()] * len(packets))}
        elif loops:
            options = {"on_packet": lambda unit: loop.call_soon_threadsafe(lambda: received.append(now()))}
        else:
            options = {"on_packet": lambda unit: received.append(now())}
        stalled = {**job, "device": probe.path, "buffers": min(count, 256), "input_slots": 1024, "stall": 1}
        with opened(name, stalled, **options) as one, counted() as device:
            one.queue(count)
            with beside(job["load"]):
                simulator().set_options(stall=0)
                time.sleep(count * job["encode_time_us"] * 1e-6 + 0.1)
                # A frame counts after its packet.
                harness.wait_until(lambda: len(received) >= count and one.total().frames >= count)
            _, entered = probe.samples()
            work = _lost_or_doubled(one.total(), count)
    if len(received) != count or len(entered) != count:
        raise DifferentWork(f"{len(received)} packets, {len(entered)} callbacks, {count} frames")
    waits = [(got - came) / 1000 for got, came in zip(received, entered)]
    return Sample(harness.percentiles(waits), work, device.calls, count)


def paced(peer, job):
    """30 frames per second on each channel, from one thread: CPU, context switches, time from send to packet, loss."""
    count, channels = round(job["seconds"] * streams.RATE), job["channels"]
    resident, together = harness.resident_kib(), channels if job["in_step"] else 1
    with opened(peer, job, **KEPT_AT_A_RATE.get(peer, {})) as one, counted() as device:
        with _spent(channels * (count + streams.WARM_UP)) as spent:
            found = one.pace(frames=count, warm_up=streams.WARM_UP, together=together)
        values = {
            "cpu_us": found.cpu * 1e6 / found.frames,
            "switches": spent["switches"],
            "lost": 100 * found.lost / (count * channels),
            "rss_mib": (harness.resident_kib() - resident) / 1024,
            "threads": len(harness.threads_named("avenc")),
        }
        work = one.total()
    if found.frames + found.lost != count * channels or found.lost > 0.02 * count * channels:
        raise DifferentWork(f"{peer}: {found.frames} frames and {found.lost} lost of {count * channels}")
    return Sample(values, work, device.calls, work.frames)


def held(peer, job):
    """The most streams of 30 frames per second that are kept, by the search of `ascend-venc bench --find-streams`."""
    count, done = round(job["seconds"] * streams.RATE), []

    def attempt(number):
        try:
            options = KEPT_AT_A_RATE.get(peer, {})
            with opened(peer, {**job, "channels": number}, **options) as one, counted() as device:
                found, total = one.pace(frames=count), one.total()
        except VencError as error:
            return None, str(error).split(":")[0]
        done.append((device.calls, total.frames, total.bytes))
        return found, streams.verdict(found, number, count)

    found = streams.most(attempt, first=16, limit=job["limit"])
    values = {"streams": found.streams, "cpu_percent": 100 * found.cpu_per_stream, "p99_ms": found.p99_ms}
    calls, *work = map(sum, zip(*done))
    return Sample(values, Work(*work), calls, work[0], note=found.ended_by)


# ---- single calls --------------------------------------------------------------------------------------------------

CALLS = 2000
WIDTH = 240  # an int that Python keeps: one that it makes anew costs 4 to 20 ns, by where its allocator's pools end


def _per_call(function, arguments, calls=CALLS):
    """CPU ns of one call, of one or two arguments, in a loop that is the same for all."""
    setup = "f, a, b = function, arguments[0], arguments[-1]"  # local variables of what is timed
    statement = "f(a, b)" if len(arguments) == 2 else "f(a)"
    return timeit.Timer(statement, setup, time.thread_time_ns, locals()).timeit(calls) / calls


def calls(peer, job):
    """ns of setter and getter, of address functions, and of a frame: its send, and from there to the end of its
    callback, in which nothing is done. The empty loop is taken off."""
    empty = timeit.Timer("pass", timer=time.thread_time_ns).timeit(CALLS) / CALLS
    hand = peer == "hand-written FASTCALL"
    with opened(peer, job) as one:
        media, util, desc = one.media, one.acl.util, one.media.dvpp_create_pic_desc()
        set_width = util.fastcall_set_width if hand else media.dvpp_set_pic_desc_width
        get_width = util.fastcall_get_width if hand else media.dvpp_get_pic_desc_width
        with counted("acldvppSetPicDescWidth", "acldvppGetPicDescWidth") as device:
            _per_call(set_width, (desc, WIDTH), 50)
            _per_call(get_width, (desc,), 50)
        if get_width(desc) != WIDTH:
            raise DifferentWork(f"{peer}: a setter did not set what its getter gets")
        values = {
            "setter": _per_call(set_width, (desc, WIDTH)) - empty,
            "getter": _per_call(get_width, (desc,)) - empty,
        }
        media.dvpp_destroy_pic_desc(desc)
        if not hand:
            values["bytes_to_ptr"] = _per_call(util.bytes_to_ptr, (bytes(20_000),)) - empty
            if hasattr(util, "numpy_to_ptr"):
                array = np.zeros(20_000, "u1")
                values["numpy_to_ptr"] = _per_call(util.numpy_to_ptr, (array,), CALLS // 10) - empty
            values["send"], values["dispatch"] = _time_frames(one, job["frames"])
    return Sample(values, Work(1, WIDTH), device.calls, 100)


def _time_frames(peer, rounds):
    """(ns per send, ns per callback): a batch of 8 is sent, then reported."""
    count, clock, channel = [0], time.thread_time_ns, peer.channels[0]

    def nothing(picture, output, user_data):
        count[0] += 1

    peer.media.venc_set_channel_desc_callback(channel.desc, nothing)
    send, process = peer.media.venc_send_frame, peer.rt.process_report
    arguments = (channel.desc, channel.pictures[0][0], 0, peer.config, None)
    peer.bind()
    sending = reporting = 0
    with counted() as device:
        for number in range(rounds + 10):
            start = clock()
            for _ in range(8):
                send(*arguments)
            sent = clock()
            while count[0] < (number + 1) * 8:
                process(100)
            if number >= 10:
                sending += sent - start
                reporting += clock() - sent
    if device.calls != count[0]:
        raise DifferentWork(f"{count[0]} callbacks of {device.calls} frames")
    return sending / rounds / 8, reporting / rounds / 8


# ---- start-up ------------------------------------------------------------------------------------------------------

START_UP = """
import json, time
times = [time.perf_counter()]
passed = lambda: times.append(time.perf_counter())
import numpy
passed()
import ascend_venc as venc
passed()
frame = bytes(128 * 128 * 3 // 2)
passed()
enc = venc.Encoder(128, 128, gop=60, vui=False)
passed()
enc.submit(frame)
packet = enc.receive()
passed()
work = packet.frame_index + 1, packet.size
passed()
enc.close()
passed()
print(json.dumps([times, work]))
"""


def startup(peer, job):
    """Milliseconds in a fresh process: importing the package beyond NumPy, opening to the first packet, closing."""
    env = {"ASCEND_VENC_BACKEND": "sim", "ASCEND_VENC_SIM_OPTIONS": "null_codec=2000"}
    env["PYTHONDONTWRITEBYTECODE"] = ""  # pip compiles a package as it installs it
    done = processes.run(START_UP, env=env)
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-2000:])
    times, work = json.loads(done.stdout)
    begin, numpy, imported, opening, opened, first, closing, closed = (1e3 * each for each in times)
    values = {"numpy": numpy - begin, "import": imported - numpy, "open": opened - opening}
    values.update(packet=first - opening, close=closed - closing)
    return Sample(values, Work(*work), work[0], 1)


# ---- a job ---------------------------------------------------------------------------------------------------------


def measure(job):
    """{peer: [Sample]}."""
    kind = {"convert": conversion.convert, "padded": conversion.padded, **globals()}[job["kind"]]
    found = {peer: [] for peer in job["peers"]}
    for number, peer in harness.turns(job["peers"], job["rounds"]):
        found[peer].append(kind(peer, {**job, "turn": number}))
    return found


if __name__ == "__main__":
    try:
        print(harness.as_json(measure(json.loads(sys.argv[1]))), flush=True)
    except BaseException:
        traceback.print_exc()
        os._exit(1)  # threads of a peer that failed may wait for ever
