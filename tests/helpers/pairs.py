# SPDX-License-Identifier: Apache-2.0
"""Every pair of public calls from two threads on one Encoder, on the simulated device. A program: see test_pairs.py.

    python pairs.py [--rounds N] [--seed S] [--every K] [--only CALL[,CALL]] [--no-faults]

Prints one JSON object: cells, rounds, frames, and what went wrong. Cells run in a process of their own, which is begun
anew behind a cell that crashed or hung. A cell's rounds depend on its seed only, as far as the scheduler lets them.

Each picture is a mark of its token: the simulated device puts what it reads of a picture into the access unit.
"""

import argparse
import asyncio
import concurrent.futures
import contextlib
import faulthandler
import gc
import itertools
import json
import os
import random
import subprocess
import sys
import threading
import time
import traceback
import warnings
import weakref
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

import ascend_venc as venc
import ascend_venc.aio
from ascend_venc._lowlevel import core, stream
from helpers import interface, simulator

BOUND = float(
    os.environ.get("PAIRS_BOUND", "60")
)  # seconds that a round may take before it counts as a hang: a plain one takes milliseconds
SETTLE = 10  # for native threads to end
SHORT = 0.02  # timeout of calls that may find no room, or no packet
CALLS = 6  # of each thread in a round
FRAMES = 3  # that both threads have, acquired before
SIZES = ((128, 128), (136, 128), (128, 256), (192, 160))
CHIPS = ("Ascend310P3", "Ascend310P3", "Ascend310B4")  # a host, and a board that encodes out of acquired frames
REFUSED = 507046

SENDING = {
    "submit", "submit_planes", "submit_many", "submit_async", "submit_borrowed", "submit_frame", "encode",
    "encode_future", "group_submit", "aio_submit", "aio_encode",
}  # fmt: skip
TAKING = {
    "receive", "receive_many", "flush", "encode", "encode_future", "group_receive", "aio_receive", "aio_flush",
    "aio_encode", "packets",
}  # fmt: skip
CLOSING = {"close", "del", "group_close", "aio_close"}
DRAINING = {"drain", "group_drain", "aio_drain"}
RESIZING = {"reconfigure_size", "aio_reconfigure"}
CHANGING = {"reconfigure_size", "reconfigure_fps", "reconfigure_bitrate", "aio_reconfigure"}
ON_FRAMES = {"submit_frame", "frame_array", "frame_release"}


class Token:
    """What goes with a frame: its number, and the size of its picture."""

    __slots__ = ("__weakref__", "number", "size")

    def __init__(self, number, size):
        self.number = number
        self.size = size


def mark_into(array, number):
    """Make an NV12 array the picture of a number; what mark_of gives for it."""
    array[...] = 1 + number * 37 % 250
    first = (number + (1 << 56)).to_bytes(8, "big")
    array[0, :8] = np.frombuffer(first, np.uint8)
    height, width = array.shape[0] * 2 // 3, array.shape[1]
    return width, height, zlib.adler32(array.tobytes()), first


class Round:
    """One encoder, and what the threads did to it."""

    def __init__(self, pair, rng, faults):
        self.pair = set(pair)
        self.rng = rng
        self.problems = []
        self.numbers = itertools.count()
        self.tokens = weakref.WeakSet()
        self.marks = {}
        self.indices = {}  # number of a frame that was accepted: its index, None: not told
        self.refused = set()
        self.received = {}  # number: index
        self.failed = set()
        self.last = {}  # frame that a thread received last
        self.cancelled = 0
        self.futures = []
        self.kept = []
        self.times = []
        self.frames = []
        self.lock = threading.Lock()
        self.loop = None
        self.fault = rng.choice(["frame", "send", None, None, None]) if faults else None
        self.on_full = rng.choice(["block", "block", "drop_newest", "drop_oldest", "error"])
        self.takes_all = self.on_full in ("block", "error")  # else a call may succeed and have dropped its frame
        # Others that use the encoder meanwhile, in half of the rounds: frames that come, packets that go.
        both = ["submit_async", "receive_many"]
        self.company = rng.choice([[], [], both, both]) if "frame_array" not in self.pair else both
        waits_for_room = self.pair & {"encode_future", "aio_submit", "aio_encode"}
        self.options = {
            "codec": rng.choice(["h264", "h265"]),
            "backend": f"sim:{rng.choice(CHIPS)}",
            "pixel_format": "nv12" if self.pair & ON_FRAMES else rng.choice(["nv12", "nv12", "i420"]),
            "depth": rng.choice([1, 2, 4]),
            "queue": FRAMES + rng.choice([1, 4]),
            "on_full": self.on_full,
            "max_queued": rng.choice([4, 64]) if not waits_for_room else 64,
            "delivery": rng.choice(["immediate", "coalesced"]),
            "max_latency": 0.002,
            "timeout": BOUND / 4,
        }
        self.enc = self.group = self.aenc = None
        width, height = rng.choice(SIZES)
        if any(name.startswith("aio_") for name in pair):
            self.loop = asyncio.new_event_loop()
            self.loop_thread = threading.Thread(target=self.loop.run_forever)
            self.loop_thread.start()
            self.aenc = venc.aio.Encoder(width, height, **self.options)
            self.wait_for(self.aenc.__aenter__())
            self.enc = self.aenc._inner
        elif any(name.startswith("group_") for name in pair):
            self.group = venc.EncoderGroup(backend=self.options.pop("backend"))
            self.enc = self.group.add(width, height, **self.options)
        else:
            self.enc = venc.Encoder(width, height, **self.options)

    def wait_for(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(BOUND)

    def problem(self, text):
        with self.lock:
            self.problems.append(text)

    # ---- frames ----

    def picture(self, size):
        """A new token, and its picture as an array."""
        token = Token(next(self.numbers), size)
        array = np.empty((size[1] * 3 // 2, size[0]), np.uint8)
        self.marks[token.number] = mark_into(array, token.number)
        self.tokens.add(token)
        return token, array

    def size(self, enc, rng):
        """Of the next frame: mostly what the encoder has now, which may be another one when it gets there."""
        if rng.random() < 0.2 and self.pair & RESIZING:
            return rng.choice(SIZES)
        return enc.config.width, enc.config.height

    def accept(self, token, index):
        self.indices[token.number] = index

    def take(self, packets, who=None):
        who = who or threading.get_ident()
        for packet in packets:
            token = packet.token
            with self.lock:
                if packet.frame_index < self.last.get(who, 0) and not self.pair & GIVING_BACK:
                    self.problems.append(f"frame {packet.frame_index} comes behind {self.last[who]}")
                self.last[who] = packet.frame_index
            if not isinstance(token, Token):
                self.problem(f"packet {packet.frame_index} has token {token!r}")
                continue
            number = token.number
            mark = simulator.mark_of(packet)
            if mark != self.marks[number]:
                self.problem(f"packet {packet.frame_index} of token {number} shows {mark}, not {self.marks[number]}")
            with self.lock:
                if number in self.received or number in self.failed:
                    self.problems.append(f"token {number} came twice")
                self.received[number] = packet.frame_index
                self.times.append((packet.frame_index, packet.time, mark[:2], packet.is_keyframe))
                if len(self.kept) < 3:
                    self.kept.append((packet, number))

    def take_failure(self, error):
        if isinstance(error.token, Token):
            with self.lock:
                if error.token.number in self.failed or error.token.number in self.received:
                    self.problems.append(f"token {error.token.number} came twice, the second time failed")
                self.failed.add(error.token.number)
        else:
            self.problem(f"a failed frame has token {error.token!r}")

    # ---- exceptions ----

    def documented(self, name, error):
        """Whether a call may raise this here."""
        kind = type(error)
        takes, sends = name in TAKING, name in SENDING
        full = sends or name == "acquire"
        if kind is venc.EncoderClosedError:
            return bool(self.pair & CLOSING) or (
                bool(self.pair & DRAINING) and (full or name in CHANGING or name in DRAINING)
            )
        if kind is venc.EncoderDrained:
            return takes and not sends
        if kind is venc.FrameError:
            return takes and self.fault is not None
        if kind in (venc.AclError, venc.AclTimeoutError) and error.code > 0:
            return sends and self.fault == "send" and error.code == REFUSED
        if kind is venc.AclTimeoutError:
            waits = name in ("receive", "receive_many", "group_receive", "aio_receive", "packets")
            # Also a picture buffer that is being made is waited for.
            room = self.on_full == "block" or "being allocated" in str(error) or name == "aio_submit"
            return error.code < 0 and (waits or (full and room and name not in UNBOUNDED))
        if kind is venc.EncoderFullError:
            return full and self.on_full == "error"
        if kind is venc.InvalidArgumentError:
            if name in ON_FRAMES and str(error).startswith(("the frame was submitted", "the frame was released")):
                return True
            if name.startswith("group_") and name not in SENDING:
                return "group_close" in self.pair
            if name == "submit_frame" and self.fault == "send":
                return True  # a frame that the device refused is used up
            return sends and bool(self.pair & (CHANGING if name == "submit_frame" else RESIZING))
        if kind is ValueError:
            return name in ON_FRAMES
        return kind is BufferError and name == "frame_release"

    def attempt(self, name, call, *args, **kwargs):
        """Make a call; (its result, None) or (None, the documented exception)."""
        begin = time.monotonic()
        try:
            return call(*args, **kwargs), None
        except Exception as error:
            if not self.documented(name, error):
                self.problem(f"{name} raised {type(error).__name__}: {error} ({self.options})")
            if isinstance(error, venc.FrameError):
                self.take_failure(error)
            return None, error.with_traceback(None)
        finally:
            if time.monotonic() - begin > BOUND / 6:  # less than the encoder's timeout: it slept through its wake-up
                self.problem(f"{name} took {time.monotonic() - begin:.1f} s")


UNBOUNDED = {"encode", "encode_future", "aio_encode"}  # nothing there should find no room for long


# ---- the calls: each takes the round, the encoder and its own source of chance ----


def send(how, **options):
    def call(name, world, enc, rng):
        token, array = world.picture(world.size(enc, rng))
        frame = array
        if how == "submit" and rng.random() < 0.3:
            frame = memoryview(array)
        arguments = dict(options, token=token, key_frame=rng.random() < 0.2)
        if how in ("submit", "submit_async"):
            arguments["timeout"] = SHORT
        index, error = world.attempt(name, getattr(enc, how), frame, **arguments)
        if error is None and index is not None:
            world.accept(token, index)
        elif error is not None:
            world.refused.add(token.number)

    return call


def submit_planes(name, world, enc, rng):
    token, array = world.picture(world.size(enc, rng))
    rows = token.size[1]
    planes = (array[:rows], array[rows:])
    if enc.config.pixel_format == "i420":
        flat = array[rows:].reshape(2, rows // 2, token.size[0] // 2)
        planes = (array[:rows], flat[0], flat[1])
    index, error = world.attempt(name, enc.submit, planes, token=token, timeout=SHORT)
    if error is None and index is not None:
        world.accept(token, index)
    elif error is not None:
        world.refused.add(token.number)


def submit_many(name, world, enc, rng):
    made = [world.picture(world.size(enc, rng)) for _ in range(rng.choice([1, 3, 5]))]
    tokens = [token for token, _ in made]
    indices, error = world.attempt(name, enc.submit_many, [array for _, array in made], tokens=tokens, timeout=SHORT)
    if error is not None:
        world.refused.update(token.number for token in tokens[error.accepted :])
        indices = ["?" if world.takes_all else None] * error.accepted
    for token, index in zip(tokens, indices):
        if index is not None:
            world.accept(token, None if index == "?" else index)


def encode(name, world, enc, rng):
    token, array = world.picture(world.size(enc, rng))
    packets, error = world.attempt(name, enc.encode, array, token=token)
    if error is None:
        world.take(packets)
    if error is None or isinstance(error, venc.FrameError):  # as documented: this one was sent
        if world.takes_all:
            world.accept(token, None)
    else:
        world.refused.add(token.number)


def encode_future(name, world, enc, rng):
    token, array = world.picture(world.size(enc, rng))
    future, error = world.attempt(name, enc.encode_future, array, token=token)
    if error is None:
        world.futures.append(future)
        if rng.random() < 0.3:
            future.add_done_callback(lambda done: None)
    else:
        world.refused.add(token.number)


def acquire(name, world, enc, rng):
    frame, error = world.attempt(name, enc.acquire, SHORT)
    if error is not None or frame is None:
        return
    token = Token(next(world.numbers), (frame.width, frame.height))
    world.tokens.add(token)
    view = frame.array
    world.marks[token.number] = mark_into(view, token.number)
    if rng.random() < 0.5:
        del view
    if rng.random() < 0.3:
        return  # dropped, with its view perhaps
    send_frame(world, enc, frame, token, "submit_frame")


def send_frame(world, enc, frame, token, name):
    # Checked by hand: a frame of `acquire` before a reconfigure is refused, whoever the other thread is.
    index, error = world.attempt(name, enc.submit, frame, token=token, timeout=SHORT)
    if error is None and index is not None:
        world.accept(token, index)


def submit_frame(name, world, enc, rng):
    if world.frames:
        frame, token = rng.choice(world.frames)
        send_frame(world, enc, frame, token, name)


def frame_array(name, world, enc, rng):
    """A view shows the picture as long as it lives, whoever submits or releases the frame meanwhile."""
    if not world.frames:
        return
    frame, token = rng.choice(world.frames)
    view, error = world.attempt(name, lambda: frame.array)
    if error is not None:
        return
    for _ in range(3):
        seen = bytes(view[0, :8])
        if seen != world.marks[token.number][3]:
            world.problem(f"the view of frame {token.number} shows {seen.hex()}")
        time.sleep(rng.choice([0, 0.001, 0.003]))
    if zlib.adler32(view.tobytes()) != world.marks[token.number][2]:
        world.problem(f"the view of frame {token.number} shows another picture")


def frame_release(name, world, enc, rng):
    if world.frames:
        world.attempt(name, rng.choice(world.frames)[0].release)


def receive(name, world, enc, rng):
    packet, error = world.attempt(name, enc.receive, SHORT)
    if error is None:
        world.take([packet])


def receive_many(name, world, enc, rng):
    most = rng.choice([1, 3, 64])
    packets, error = world.attempt(name, enc.receive_many, most, SHORT, at_least=rng.choice([1, min(most, 4)]))
    if error is None:
        world.take(packets)


def flush(name, world, enc, rng):
    packets, error = world.attempt(name, enc.flush)
    if error is None:
        world.take(packets)


def group_submit(name, world, enc, rng):
    if world.group is None:
        return
    token, array = world.picture(world.size(enc, rng))
    arguments = {"tokens": [token], "key_frames": [rng.random() < 0.2], "timeout": SHORT}
    numbers, error = world.attempt(name, world.group.submit_many, {enc: array}, **arguments)
    if error is not None:
        world.refused.add(token.number)
    elif numbers[0] is not None:
        world.accept(token, numbers[0])


def group_receive(name, world, enc, rng):
    group = world.group
    if group is None:
        return
    pairs, error = world.attempt(name, group.receive_many, rng.choice([1, 3, 64]), SHORT)
    if error is None:
        world.take([packet for _, packet in pairs])


def reconfigure(**choices):
    def call(name, world, enc, rng):
        settings = {key: rng.choice(values) for key, values in choices.items()}
        if "size" in settings:
            settings["width"], settings["height"] = settings.pop("size")
        first, error = world.attempt(name, enc.reconfigure, **settings)
        if error is None and type(first) is not int:
            world.problem(f"{name} returned {first!r}")

    return call


def close(name, world, enc, rng):
    world.attempt(name, enc.close)


def drain(name, world, enc, rng):
    world.attempt(name, enc.drain)


def stats(name, world, enc, rng):
    before, _ = world.attempt(name, lambda: enc.stats)
    after, _ = world.attempt(name, lambda: enc.stats)
    done = [each.encoded + each.failed + each.in_flight for each in (before, after)]
    # A frame counts as it is sent, and does not where that is refused.
    if not before.submitted <= after.submitted + after.refused_sends - before.refused_sends:
        world.problem(f"{name}: fewer frames submitted than before: {before}, {after}")
    if any(each.in_flight < 0 or each.ready < 0 or each.held < 0 for each in (before, after)):
        world.problem(f"{name}: {done}, {before}")


def delete(name, world, enc, rng):
    world.enc = None
    world.frames = []


def on_group(method):
    def call(name, world, enc, rng):
        if world.group is not None:
            world.attempt(name, getattr(world.group, method))

    return call


def aio_submit(name, world, enc, rng):
    token, array = world.picture(world.size(enc, rng))
    index, error = world.attempt(name, world.wait_for, world.aenc.submit(array, token=token, timeout=SHORT))
    if error is None and index is not None:
        world.accept(token, index)
    elif error is not None:
        world.refused.add(token.number)


def aio_encode(name, world, enc, rng):
    token, array = world.picture(world.size(enc, rng))
    packets, error = world.attempt(name, world.wait_for, world.aenc.encode(array, token=token))
    if error is None:
        world.take(packets)


def aio_receive(name, world, enc, rng):
    packets, error = world.attempt(name, world.wait_for, world.aenc.receive_many(rng.choice([1, 64]), SHORT))
    if error is None:
        world.take(packets)


def aio_cancelled(name, world, enc, rng):
    """A receive that is cancelled loses nothing."""

    async def give_up():
        with contextlib.suppress(asyncio.TimeoutError):
            return await asyncio.wait_for(world.aenc.receive_many(2), rng.choice([0, 0.001]))
        return []

    packets, error = world.attempt("aio_receive", world.wait_for, give_up())
    if error is None:
        world.take(packets)


def aio_flush(name, world, enc, rng):
    packets, error = world.attempt(name, world.wait_for, world.aenc.flush())
    if error is None:
        world.take(packets)


def aio_reconfigure(name, world, enc, rng):
    width, height = rng.choice(SIZES)
    world.attempt(name, world.wait_for, world.aenc.reconfigure(width=width, height=height))


def aio_close(name, world, enc, rng):
    world.attempt(name, world.wait_for, world.aenc.close())


def aio_drain(name, world, enc, rng):
    async def call():
        world.aenc.drain()

    world.attempt(name, world.wait_for, call())


TABLE = {
    "submit": send("submit"),
    "submit_planes": submit_planes,
    "submit_many": submit_many,
    "submit_async": send("submit_async"),
    "submit_borrowed": send("submit_async", copy=False),
    "submit_frame": submit_frame,
    "acquire": acquire,
    "frame_array": frame_array,
    "frame_release": frame_release,
    "encode": encode,
    "encode_future": encode_future,
    "receive": receive,
    "receive_many": receive_many,
    "flush": flush,
    "drain": drain,
    "reconfigure_bitrate": reconfigure(bitrate=["500k", "1M", "2M"]),
    "reconfigure_fps": reconfigure(fps=[25, 30, 50]),
    "reconfigure_size": reconfigure(size=SIZES),
    "close": close,
    "stats": stats,
    "del": delete,
    "group_submit": group_submit,
    "group_receive": group_receive,
    "group_drain": on_group("drain"),
    "group_close": on_group("close"),
    "aio_submit": aio_submit,
    "aio_encode": aio_encode,
    "aio_receive": aio_receive,
    "aio_cancelled": aio_cancelled,
    "aio_flush": aio_flush,
    "aio_drain": aio_drain,
    "aio_reconfigure": aio_reconfigure,
    "aio_close": aio_close,
}
GIVING_BACK = {
    "encode",
    "aio_encode",
    "aio_cancelled",
    "group_receive",
}  # packets, so that another thread gets them late
ONCE = CLOSING | {"group_drain"}


def cells():
    """Every pair, each call with itself too. An Encoder of asyncio cannot be in a group."""
    return [
        (first, second)
        for first, second in itertools.combinations_with_replacement(TABLE, 2)
        if {first[:4], second[:4]} != {"aio_", "grou"}
    ]


# ---- a round ----


def run_thread(world, name, seed, barrier):
    rng = random.Random(seed)
    calls = 1 if name in ONCE else CALLS
    barrier.wait()
    if name in ONCE:
        time.sleep(rng.choice([0, 0, 0.0005, 0.002]))
    for _ in range(calls):
        enc = world.enc
        if enc is None:
            return
        TABLE[name](name, world, enc, rng)
        enc = None


def keep_company(world, name, seed, over):
    rng = random.Random(seed)
    for _ in range(3 * CALLS):
        enc = world.enc
        if enc is None or over.is_set():
            return
        TABLE[name](name, world, enc, rng)
        enc = None
        time.sleep(rng.choice([0, 0.0005]))


def prepare(world):
    """Frames in the device and packets to be had before the threads begin, and frames for both of them."""
    rng = world.rng
    if world.pair & ON_FRAMES:
        for _ in range(FRAMES):
            frame = world.enc.acquire(5)
            token = Token(next(world.numbers), (frame.width, frame.height))
            world.tokens.add(token)
            world.marks[token.number] = mark_into(frame.array, token.number)
            world.frames.append((frame, token))
    for _ in range(rng.choice([0, 1, 3])):
        token, array = world.picture((world.enc.config.width, world.enc.config.height))
        try:
            index = world.enc.submit_async(array, token=token)
        except venc.EncoderFullError:  # the acquired ones take the room
            break
        if index is not None:
            world.accept(token, index)


def take_rest(world):
    """All that is still to be had; then the encoder is closed. Its counters."""
    enc = world.enc
    for future in world.futures:
        try:
            packet = future.result(BOUND / 2)
            world.take([packet], future)
        except concurrent.futures.CancelledError:
            world.cancelled += 1
        except venc.FrameError as error:
            world.take_failure(error)
        except concurrent.futures.TimeoutError:
            world.problem(f"a Future has no end: {world.options}")
        except venc.EncoderClosedError:
            if not world.pair & CLOSING:
                raise
    world.futures = []
    world.frames = []
    if enc is None:
        return None
    for _ in range(200 if not enc.closed else 0):
        try:
            world.take(enc.flush())
            break
        except venc.FrameError as error:
            world.take_failure(error)
    if not enc.closed and counts()["engine TICKET"]:
        world.problem(f"{counts()['engine TICKET']} tokens are kept, and every packet was taken")
    if world.aenc is not None:
        world.wait_for(world.aenc._close(False))
    elif world.group is not None:
        world.group._close(False)
    enc._close(warn=False)
    return enc.stats


def check(world, counters):
    for packet, number in world.kept:  # they outlive their encoder
        if simulator.mark_of(packet) != world.marks[number]:
            world.problem(f"the packet of token {number} changed when its encoder was closed")
        if packet.token.number != number:
            world.problem("a packet has another token now")
    world.kept = []
    received, failed = world.received, world.failed
    for number, index in received.items():
        if world.indices.get(number) not in (None, index):
            world.problem(f"token {number} was frame {world.indices[number]}, its packet is of frame {index}")
    for number in world.refused & (set(received) | failed):
        world.problem(f"token {number}: the call raised, and the frame was encoded")
    order = sorted(received.values())
    if len(set(order)) != len(order):
        world.problem(f"two packets of one frame: {order}")
    world.times.sort()
    for (index_before, time_before, size_before, _), (index, at, size, key) in zip(world.times, world.times[1:]):
        if at < time_before - 1e-9:
            world.problem(f"the time goes back at frame {index}: {time_before} to {at}")
        # The frames behind one that failed are in the device already; behind one that gave way is a gap.
        if size != size_before and not key and index == index_before + 1 and world.fault is None:
            world.problem(f"frame {index} has another size and is no IDR")
    if counters is None:
        return
    replaced = counters.dropped["frame_replaced"] + counters.dropped["packet_replaced"]
    found = len(received) + len(failed)
    if counters.in_flight or counters.ready or counters.held:
        world.problem(f"left in the encoder: {counters}")
    if world.pair & CLOSING:
        if found + replaced > counters.submitted:
            world.problem(f"{found} frames came back and {replaced} gave way, of {counters.submitted}")
        return
    missing = set(world.indices) - set(received) - failed
    if found + replaced != counters.submitted or len(missing) > replaced:
        world.problem(
            f"{counters.submitted} frames accepted, {len(received)} received, {len(failed)} failed, {replaced} gave "
            f"way; without an end are tokens {sorted(missing)} ({world.options})"
        )


def counts():
    stream.let_go_of_ended()
    found = {f"engine {kind}": number for kind, number in core.live().items()}
    found.update(simulator.live_counts())
    return found


def settle(before):
    """What is alive and was not before, once the threads that end by themselves have ended."""
    deadline = time.monotonic() + SETTLE
    while True:
        now = counts()
        differing = {kind: number for kind, number in now.items() if number != before[kind]}
        if not differing or time.monotonic() > deadline:
            return differing
        gc.collect()
        time.sleep(0.001)


class Table:
    def __init__(self, arguments):
        self.arguments = arguments
        self.device = simulator.shared()
        self.device.set_options(null_codec=300, watermark=1, quiet=1)
        self.device.aclsim_set_strict(1)
        self.asides = []  # what nobody could raise
        self.frames = 0
        sys.unraisablehook = lambda it: self.asides.append(f"unraisable: {it.exc_type.__name__}: {it.exc_value}")
        threading.excepthook = lambda it: self.asides.append(f"thread: {it.exc_type.__name__}: {it.exc_value}")
        warnings.simplefilter("always")
        warnings.showwarning = self.warned
        self.may_warn = False

    def warned(self, message, category, *rest, **more):
        if not (category in (ResourceWarning, venc.DroppedPacketsWarning) and self.may_warn):
            self.asides.append(f"{category.__name__}: {message}")

    def fault(self, world):
        nth = world.rng.randrange(1, 6)
        if world.fault == "frame":
            self.device.aclsim_fail_frame(nth, simulator.FRAME_RET_CODE, 7, 0)
        elif world.fault == "send":
            self.device.aclsim_fail_call_after(interface.SEND.encode(), nth, REFUSED, 0)

    def round(self, pair, seed):
        """Returns what went wrong."""
        rng = random.Random(seed)
        before = counts()
        self.may_warn = bool(set(pair) & CLOSING)
        self.device.set_options(
            encode_time_us=rng.choice([0, 0, 300, 1500]),
            callback_delay_us=rng.choice([0, 0, 200]),
            send_time_us=rng.choice([0, 0, 100]),
        )
        # The engine's pauses are before its own locks; Python's threads change at any bytecode with this.
        sys.setswitchinterval(rng.choice([0.005, 1e-4, 1e-6]))
        world = Round(pair, rng, self.arguments.faults)
        problems, tokens = world.problems, world.tokens
        prepare(world)
        self.fault(world)
        barrier = threading.Barrier(2)
        threads = [
            threading.Thread(target=run_thread, args=(world, name, rng.random(), barrier), name=name) for name in pair
        ]
        over = threading.Event()
        company = [
            threading.Thread(target=keep_company, args=(world, name, rng.random(), over), name=f"also {name}")
            for name in world.company
        ]
        for thread in threads + company:
            thread.start()
        for thread in threads:
            thread.join()
        over.set()
        for thread in company:
            thread.join()
        self.device.aclsim_clear_faults()
        check(world, take_rest(world))
        self.frames += len(world.received)
        if world.loop is not None:
            world.loop.call_soon_threadsafe(world.loop.stop)
            world.loop_thread.join()
            world.loop.close()
        del world, threads, company
        left = settle(before)
        if left:
            problems.append(f"left alive: {left}")
        if tokens:
            gc.collect()
        if tokens:
            problems.append(f"{len(tokens)} tokens are still alive")
        problems += self.device.take_reports()
        problems += self.asides
        self.asides = []
        return problems

    def cell(self, number, pair):
        problems = []
        begin = time.monotonic()
        for index in range(self.arguments.rounds):
            faulthandler.dump_traceback_later(BOUND, exit=True)
            seed = f"{self.arguments.seed} {pair} {index}"
            problems += [f"round {index}: {text}" for text in self.round(pair, seed)]
            faulthandler.cancel_dump_traceback_later()
        took = time.monotonic() - begin
        result = {"cell": number, "pair": pair, "problems": problems[:5], "frames": self.frames, "took": took}
        self.frames = 0
        print(json.dumps(result), flush=True)


def chosen(arguments):
    """(number, pair) of the cells that are to run."""
    only = arguments.only.split(",") if arguments.only else []
    found = []
    for number, pair in enumerate(cells()):
        if (
            (len(only) < 2 and set(only) <= set(pair)) or sorted(only) == sorted(pair)
        ) and number % arguments.every == arguments.offset:
            found.append((number, pair))
    return found


def run_cells(arguments):
    if os.environ.get("PAIRS_PACKAGE"):  # the build with a sanitizer, and no other
        assert venc.__file__.startswith(os.environ["PAIRS_PACKAGE"]), venc.__file__
    faulthandler.enable()
    table = Table(arguments)
    gc.collect()
    gc.freeze()  # what is there now is looked at no more: collecting is frequent here
    for number, pair in chosen(arguments):
        if number >= arguments.first:
            try:
                table.cell(number, pair)
            except BaseException:
                traceback.print_exc()
                os._exit(3)  # threads of the round may never end


def drive(arguments):
    """Run all cells in processes, each begun behind the cell that ended the one before."""
    todo = chosen(arguments)
    results, problems, first = [], [], 0
    while any(number >= first for number, _ in todo):
        command = [sys.executable, __file__, *sys.argv[1:], "--first", str(first)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            errors = []
            reader = threading.Thread(target=lambda to, source: to.append(source.read()), args=(errors, process.stderr))
            reader.start()
            last = first - 1
            for line in process.stdout:
                result = json.loads(line)
                last = result["cell"]
                results.append(result)
                problems += [f"{' / '.join(result['pair'])}: {text}" for text in result["problems"]]
            reader.join()
            code = process.wait()
        rest = [(number, pair) for number, pair in todo if number > last]
        text = errors[0][-arguments.text :]
        if code == 0 and not rest:
            if "Sanitizer" in text or "runtime error" in text:
                problems.append(f"after the last cell: {text}")
            break
        if not rest:
            problems.append(f"exit code {code} after the last cell: {text}")
            break
        problems.append(f"{' / '.join(rest[0][1])}: the process ended with {code}: {text}")
        first = rest[0][0] + 1
    slowest = max(results, key=lambda result: result["took"], default={"took": 0, "pair": ()})
    return {
        "cells": len(results),
        "of": len(todo),
        "rounds": arguments.rounds,
        "frames": sum(result["frames"] for result in results),
        "slowest": (round(slowest["took"], 2), *slowest["pair"]),
        "problems": problems,
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--every", type=int, default=1, help="one cell of so many")
    parser.add_argument("--offset", type=int, default=0)
    parser.add_argument("--only", default="", help="cells with this call, or with these two")
    parser.add_argument("--no-faults", dest="faults", action="store_false")
    parser.add_argument("--text", type=int, default=4000, help="characters of a broken process's standard error")
    parser.add_argument("--first", type=int, default=-1, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.first >= 0:
        run_cells(arguments)
        return
    result = drive(arguments)
    print(json.dumps(result, indent=1))
    sys.exit(bool(result["problems"]) or result["cells"] != result["of"])


if __name__ == "__main__":
    main()
