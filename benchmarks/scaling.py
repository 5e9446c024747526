# SPDX-License-Identifier: Apache-2.0
"""Many channels at 30 frames a second, against a report loop in C that does the same; and drift over a million frames.

Frames of all channels are sent one by one, evenly spread over time, so that no packet finds another one to share a
wake-up with by chance; with 64 channels also in step, one of each channel at a time. One thread
receives from `Encoder` for all channels, in three ways:

immediate   EncoderGroup.receive_many() wakes for each packet;
coalesced   EncoderGroup(delivery="coalesced"): once in 10 ms where packets come fast;
sink        the engine writes the access units to a file descriptor (/dev/null), which the C loop does not do,
            delivery="coalesced" as well.

CPU is that of the whole process, the simulated device's included, which is the same in all of them.
Run by itself with arguments, this file is the measured program.
"""

import json
import os
import statistics
import sys
import threading
import time

import programs

CHANNELS = (1, 8, 32, 64)
RATE = 30
WARM_UP = 0.4  # seconds
ACCESS_UNIT = 20_000
WAYS = ("immediate", "coalesced", "sink")
GOALS = {"immediate": "≤ 1.8 (G10)", "coalesced": "≤ 1.2 (G10)", "sink": "≤ 1.2 (G10)"}  # at 64 channels
RAISED = {**GOALS, "immediate": "≤ 1.5 (G10; was 1.8)"}  # where the frames are spread over time


# ---- the measured programs ---------------------------------------------------------------------------------------


def resident_kib():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def native_threads():
    """Names of the engine's threads."""
    found = []
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/comm") as file:
            name = file.read().strip()
        if name.startswith("avenc"):
            found.append(name)
    return sorted(found)


def fnv(data):
    value = 14695981039346656037
    for byte in bytes(data):
        value = ((value ^ byte) * 1099511628211) & (1 << 64) - 1
    return value


def collect(group, counts, last):
    """Take the packets of all encoders up to their ends."""
    import ascend_venc as venc

    while True:
        try:
            for encoder, packet in group.receive_many(1024):
                counts[0] += 1
                counts[1] += packet.size
                last[encoder] = packet
        except venc.EncoderDrained:
            return


def encode(way, channels, seconds, arrival):
    """Encode `channels` streams; return what was done and what it cost."""
    import ascend_venc as venc

    inputs = [bytes([number]) * (128 * 128 * 3 // 2) for number in range(8)]
    venc.Encoder(128, 128).close()  # the library is loaded before memory is looked at
    resident = resident_kib()
    warm_up = int(WARM_UP * RATE) * channels
    frames = int(seconds * RATE) * channels
    counts, last = [0, 0], {}
    null = os.open(os.devnull, os.O_WRONLY)
    with venc.EncoderGroup(delivery="immediate" if way == "immediate" else "coalesced") as group:
        options = {"sink": null, "delivery": "coalesced"} if way == "sink" else {}
        encoders = [group.add(128, 128, gop=65536, depth=4, **options) for _ in range(channels)]
        receiver = threading.Thread(target=collect, args=(group, counts, last))
        if way != "sink":
            receiver.start()
        begin = time.monotonic()
        interval = 1 / (RATE * channels)
        together = channels if arrival == "in-step" else 1
        for index in range(warm_up + frames):
            if index == warm_up:
                cpu = time.process_time()
            wait = begin + index // together * together * interval - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            encoders[index % channels].submit(inputs[index % 8])
        threads = native_threads()
        memory = resident_kib() - resident
        group.drain()
        if way == "sink":
            for encoder in encoders:
                encoder.flush()
        else:
            receiver.join()
        cpu = time.process_time() - cpu
        stats = [encoder.stats for encoder in encoders]
        failed = sum(each.failed + sum(each.dropped.values()) for each in stats)
        result = {
            "frames": sum(each.encoded for each in stats),
            "bytes": sum(each.bytes_out for each in stats),
            "hash": sum(map(fnv, last.values())) & (1 << 64) - 1 if last else None,
            "cpu_us": cpu / frames * 1e6,
            "rss_kib": memory,
            "threads": len(threads),
        }
    os.close(null)
    if failed or (way != "sink" and counts != [result["frames"], result["bytes"]]):
        raise SystemExit(f"{failed} frames failed; received {counts} of {result}")
    return result


def drift(frames):
    """Memory after `frames` frames, beyond that after the first twentieth of them."""
    import ascend_venc as venc

    batch = [bytes([number]) * (128 * 128 * 3 // 2) for number in range(8)]
    received = 0
    with venc.Encoder(128, 128, gop=65536, depth=8) as enc:
        rounds = frames // 8
        for number in range(rounds):
            enc.submit_many(batch)
            received += len(enc.receive_many())
            if number == rounds // 20:
                resident = resident_kib()
                buffers = enc.stats.packet_buffers + enc.stats.picture_buffers
        received += len(enc.flush())
        grown = enc.stats.packet_buffers + enc.stats.picture_buffers - buffers
        after = resident_kib()
    if received != rounds * 8:
        raise SystemExit(f"{received} packets of {rounds * 8} frames")
    return {"rss_kib": after - resident, "buffers": grown, "frames": received}


# ---- the runner --------------------------------------------------------------------------------------------------


def row(figure, peer, values, unit, goal=None):
    return {
        "figure": figure,
        "peer": peer,
        "median": statistics.median(values),
        "low": min(values),
        "high": max(values),
        "unit": unit,
        "goal": goal,
    }


def run_once(way, channels, seconds, arrival):
    if way == "C report loop":
        command = [programs.compiled("report_loop"), channels, RATE, WARM_UP, seconds, arrival]
    else:
        command = [sys.executable, __file__, way, channels, seconds, arrival]
    return programs.run(command, null_codec=ACCESS_UNIT)


def compare_work(channels, by_way):
    """Fail where a peer did other work than the C loop."""
    floor = by_way["C report loop"][0]
    for way, results in by_way.items():
        for result in results:
            for key in ("frames", "bytes", "hash"):
                if result[key] is not None and result[key] != floor[key]:
                    raise RuntimeError(f"{channels} channels, {way}: {key} {result[key]}, in C {floor[key]}")


def measure(quick=False):
    rounds, seconds = (1, 1.0) if quick else (3, 1.1)
    rows = []
    for channels, arrival in [*((number, "spread") for number in CHANNELS), (CHANNELS[-1], "in-step")]:
        by_way = {}
        for _ in range(rounds):  # alternating: what disturbs the machine disturbs all
            for way in ("C report loop", *WAYS):
                by_way.setdefault(way, []).append(run_once(way, channels, seconds, arrival))
        compare_work(channels, by_way)
        floor = [result["cpu_us"] for result in by_way["C report loop"]]
        where = f"{channels} x {RATE} fps" + (", in step" if arrival == "in-step" else "")
        for way, results in by_way.items():
            peer = way if way == "C report loop" else f"Encoder, {way}"
            cpu = [result["cpu_us"] for result in results]
            rows.append(row(f"{where}: CPU per frame", peer, cpu, "µs"))
            if way != "C report loop":
                ratios = [each / base for each, base in zip(cpu, floor)]
                goals = GOALS if arrival == "in-step" else RAISED
                goal = goals[way] if channels == CHANNELS[-1] else None
                rows.append(row(f"{where}: CPU against the C report loop", peer, ratios, "×", goal))
                threads = [result["threads"] for result in results]
                goal = "≤ 2" if channels == CHANNELS[-1] else None
                rows.append(row(f"{where}: native threads of the engine", peer, threads, "", goal))
            memory = [result["rss_kib"] / 1024 for result in results]
            rows.append(row(f"{where}: resident memory added", peer, memory, "MiB"))
    frames = 50_000 if quick else 1_000_000
    found = programs.run([sys.executable, __file__, "drift", frames, 0, ""], null_codec=2000)
    figure = f"growth over {found['frames']:,} frames"
    rows.append(row(f"{figure}: resident memory", "Encoder, batches of 8", [found["rss_kib"]], "KiB", "≤ 64"))
    rows.append(row(f"{figure}: buffers of the engine", "Encoder, batches of 8", [found["buffers"]], ""))
    return rows


GROUPS = {"scaling": measure}

if __name__ == "__main__":
    if len(sys.argv) != 5:
        raise SystemExit("this program is run by benchmarks/report.py")
    name, number, duration, spacing = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    print(json.dumps(drift(number) if name == "drift" else encode(name, number, duration, spacing)))
