# SPDX-License-Identifier: Apache-2.0
"""Every call of AscendCL that the Encoder makes never returns, once. A program: see test_hang_sweep.py.

    python hang_sweep.py bounds sync|aio [EVERY]   what others see while it hangs, and what is left when it returned
    python hang_sweep.py calls                     {function: number of calls} of the flow, from opening to exit
    python hang_sweep.py end FUNCTION NTH AFTER main|thread
                                                   Ctrl-C in the flow's thread, or the end of a process beside it

Prints JSON. Which calls may hold their caller: HELD, as the docstrings of `submit` and others say.
"""

import asyncio
import json
import os
import signal
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import ascend_venc as venc
import ascend_venc.aio
from ascend_venc._lowlevel import core, stream
from helpers import interface, simulator

FRAME = bytes(128 * 192)
PADDED = tuple(np.zeros((rows, 144), np.uint8)[:, :128] for rows in (128, 64))  # y and uv, with bytes between the rows
TIMEOUT = 0.8  # opening and encoding have to come to the call that hangs within it
SLACK = 10.0  # seconds that a busy machine may add to a bound; what is held up is so for ever
PATIENCE = 15
TRIES = 3  # of a point: how often a flow makes a call depends on who is how quick
FRAMES = 3

# A send is made by the thread that calls `submit` and `encode`: the copy, the send, and what says which context it has.
HELD = {
    interface.SEND,
    "aclrtMemcpy",
    "aclrtGetCurrentContext",
    "aclrtSetCurrentContext",
    "aclGetRecentErrMsg",  # takes back what the runtime says of a thread without one
    *interface.of(["acldvppSetPicDescData"], ["hi_mpi_venc_query_status", "hi_mpi_venc_request_idr"]),
}
# These are made by the report thread of a device, for all its channels.
REPORTING = {
    "aclrtMemcpy",  # an access unit to the host
    interface.REPORT,
    *interface.of(
        ["acldvppGetStreamDescRetCode", "acldvppGetStreamDescData", "acldvppGetStreamDescSize"],
        ["hi_mpi_venc_query_status", "hi_mpi_venc_get_stream", "hi_mpi_venc_release_stream"],
    ),
}


def options(**others):
    return {"codec": "h264", "backend": "sim", "depth": 1, "timeout": TIMEOUT, **others}


class Flow:
    """Opening, frames, a change of settings, closing; how long each call took."""

    def __init__(self, timeout=TIMEOUT):
        self.timeout = timeout
        self.enc = None
        self.inside = None  # (name, since)
        self.took = []
        self.done = threading.Event()

    def call(self, name, function, *args, **kwargs):
        self.inside = (name, time.monotonic())
        try:
            return function(*args, **kwargs)
        except venc.VencError:
            return None
        finally:
            self.took.append((name, time.monotonic() - self.inside[1]))
            self.inside = None

    def run(self):
        try:
            self.enc = self.call("Encoder", venc.Encoder, 128, 128, **options(timeout=self.timeout))
            if self.enc is None:
                return
            for _ in range(FRAMES):
                self.call("encode", self.enc.encode, FRAME)
                self.call("flush", self.enc.flush)
            self.call("submit_async", self.enc.submit_async, FRAME)
            self.call("receive", self.enc.receive, self.timeout)
            self.call("reconfigure", self.enc.reconfigure, bitrate="500k")
            self.call("encode", self.enc.encode, PADDED)
            self.call("flush", self.enc.flush)
            self.call("close", self.enc._close, False)
        finally:
            self.done.set()


class AioFlow(Flow):
    """The same on an event loop of its own; `ticks` counts the loop's rounds."""

    def __init__(self, timeout=TIMEOUT):
        super().__init__(timeout)
        self.ticks = 0

    async def step(self, name, coroutine):
        self.inside = (name, time.monotonic())
        try:
            return await coroutine
        except venc.VencError:
            return None
        finally:
            self.took.append((name, time.monotonic() - self.inside[1]))
            self.inside = None

    async def tick(self):
        while True:
            self.ticks += 1
            await asyncio.sleep(0.002)

    async def steps(self):
        ticker = asyncio.ensure_future(self.tick())
        enc = venc.aio.Encoder(128, 128, **options(timeout=self.timeout))
        try:
            if await self.step("Encoder", enc.__aenter__()) is None:
                return
            self.enc = enc._inner
            for _ in range(FRAMES):
                await self.step("encode", enc.encode(FRAME))
                await self.step("flush", enc.flush())
            await self.step("reconfigure", enc.reconfigure(bitrate="500k"))
            await self.step("encode", enc.encode(PADDED))
            await self.step("flush", enc.flush())
            await self.step("close", enc._close(False))
        finally:
            ticker.cancel()

    def run(self):
        try:
            asyncio.run(self.steps())
        finally:
            self.done.set()


def use(device, backend_options):
    """Encode on another encoder; the problem, or None."""
    begin = time.monotonic()
    try:
        with venc.Encoder(128, 128, **options(device=device, timeout=PATIENCE, **backend_options)) as other:
            packets = other.encode(FRAME) + other.flush()
            if len(packets) != 1:
                return f"gave {len(packets)} packets"
    except Exception as error:
        return f"raised {type(error).__name__}: {error}"
    took = time.monotonic() - begin
    return None if took < SLACK else f"took {took:.1f} s"


def counts():
    stream.let_go_of_ended()
    return {**{f"engine {kind}": number for kind, number in core.live().items()}, **simulator.live_counts()}


def settle(before):
    deadline = time.monotonic() + PATIENCE
    while True:
        now = counts()
        more = {kind: (before[kind], now[kind]) for kind in now if now[kind] != before[kind]}
        if not more or time.monotonic() > deadline:
            return more
        time.sleep(0.005)


class Sweep:
    def __init__(self, flow):
        self.flow = flow
        self.device = simulator.shared()
        self.points = self.struck = 0
        self.problems = []
        self.held = set()
        self.lost_neighbours = set()

    def run(self, every):
        points = []
        for shared in (False, True):
            calls = self.count(shared)
            for function, number in calls.items():
                some = sorted({*range(1, min(number, 4) + 1), number})
                points += [(function, nth, after, shared) for nth in some for after in (False, True)]
        for index, point in enumerate(points):
            if index % every == 0:
                self.points += 1
                self.struck += any(self.point(*point) for _ in range(TRIES))

    def count(self, shared):
        """Calls of the flow on a device that is not open, or that a neighbour shares; the fewest of three runs."""
        runs = []
        for _ in range(3):
            neighbour = self.neighbour() if shared else None
            self.device.aclsim_count_calls(1)
            self.flow(PATIENCE).run()
            self.device.aclsim_count_calls(0)
            if neighbour is not None:
                neighbour.close()
            assert not settle(self.before)
            runs.append({name: self.device.aclsim_calls(name.encode()) for name in simulator.NAMES})
        least = {name: min(run[name] for run in runs) for name in runs[0]}
        return {name: number for name, number in least.items() if number}

    def neighbour(self):
        enc = venc.Encoder(128, 128, **options(timeout=PATIENCE))
        enc.encode(FRAME)
        enc.flush()
        return enc

    def point(self, function, nth, after, shared):
        """Whether that call was met, beside which everything else goes on."""
        where = (
            f"{function} call {nth} {'after' if after else 'before'} its work{' beside a neighbour' if shared else ''}"
        )
        problem = lambda text: self.problems.append(f"{self.flow.__name__}, {where}: {text}")  # noqa: E731
        neighbour = self.neighbour() if shared else None
        flow = self.flow()
        with self.device.hanging_call(function, nth, after=after):
            thread = threading.Thread(target=flow.run, daemon=True)
            thread.start()
            deadline = time.monotonic() + PATIENCE
            # The device ends natively, behind the flow, unless a neighbour keeps it.
            while (
                not self.device.hung_calls()
                and (not flow.done.is_set() or (core.live()["DEVICE"] and not shared))
                and time.monotonic() < deadline
            ):
                time.sleep(0.001)
            hung = self.device.hung_calls() > 0
            if hung:
                self.look(flow, function, neighbour, problem)
        if not flow.done.wait(PATIENCE):
            problem(f"released, and {flow.inside} has not come to its end")
        for enc in (flow.enc, neighbour):
            if enc is not None:
                enc._timeout = PATIENCE
                try:
                    enc._close(False)
                except venc.VencError as error:
                    problem(f"released, and close raised {type(error).__name__}: {error}")
        flow.enc = neighbour = enc = None
        left = settle(self.before)
        if left:
            problem(f"left {left}")
        for name, took in flow.took:
            if name != "encode" and took > 2 * TIMEOUT + SLACK + PATIENCE:
                problem(f"{name} took {took:.1f} s")
        return hung

    def look(self, flow, function, neighbour, problem):
        """While it hangs."""
        ticks = getattr(flow, "ticks", None)
        text = use(1, {})
        if text:
            problem(f"an encoder of another device {text}")
        text = None if neighbour is None else self.use_neighbour(neighbour, 1.0 if function in REPORTING else SLACK)
        if text and function in REPORTING:
            self.lost_neighbours.add(function)
        elif text:
            problem(f"another encoder of the device {text}")
        if flow.enc is not None:
            enc = flow.enc
            begin = time.monotonic()
            try:
                enc._close(False)
            except venc.AclTimeoutError:
                pass
            except Exception as error:
                problem(f"close raised {type(error).__name__}: {error}")
            took = time.monotonic() - begin
            if took > TIMEOUT + SLACK:
                problem(f"close took {took:.1f} s")
        # Each call of the flow ends by itself, but one whose own thread is inside the vendor's.
        deadline = time.monotonic() + SLACK + 2
        while not flow.done.is_set() and time.monotonic() < deadline:
            inside = flow.inside
            # One that is to be held is not waited for long.
            slack = 1 if function in HELD and inside is not None and inside[0] == "encode" else SLACK
            if inside is not None and time.monotonic() - inside[1] > 2 * TIMEOUT + slack:
                break
            time.sleep(0.002)
        inside = flow.inside
        if not flow.done.is_set() and inside is not None:
            if ticks is None and inside[0] == "encode" and function in HELD:
                self.held.add(function)
            else:
                problem(f"{inside[0]} has not returned for {time.monotonic() - inside[1]:.1f} s")
        if ticks is not None and not flow.done.is_set() and flow.ticks <= ticks:
            problem("the event loop stood still")

    def use_neighbour(self, neighbour, timeout):
        begin = time.monotonic()
        neighbour._timeout = timeout
        try:
            neighbour.submit_async(FRAME)
            neighbour.receive(timeout)
        except venc.VencError as error:
            return f"raised {type(error).__name__}: {error}"
        took = time.monotonic() - begin
        return None if took < SLACK else f"took {took:.1f} s"


def bounds(flow, every):
    core.open_library("sim")
    sweep = Sweep(flow)
    sweep.device.set_options(null_codec=300, quiet=1)
    sweep.device.aclsim_set_strict(0)
    assert sweep.device.aclsim_set_devices(2) == 0
    flow(PATIENCE).run()
    time.sleep(0.1)
    sweep.before = counts()
    sweep.run(every)
    return {
        "points": sweep.points,
        "struck": sweep.struck,
        "held": sorted(sweep.held),
        "lost_neighbours": sorted(sweep.lost_neighbours),
        "problems": sweep.problems,
    }


def calls():
    """Of the whole process but its exit: what opening the library calls is among them."""
    device = simulator.shared()
    device.set_options(null_codec=300, quiet=1)
    device.aclsim_count_calls(1)
    Flow(PATIENCE).run()
    device.aclsim_count_calls(0)
    found = {name: device.aclsim_calls(name.encode()) for name in simulator.NAMES}
    found["aclFinalize"] += 1
    return {name: number for name, number in found.items() if number}


def end(function, nth, after, how):
    """The parent measures from the line "end" to the end of this process."""
    device = simulator.shared()
    device.set_options(null_codec=300, quiet=1)
    warnings.simplefilter("ignore")
    arm = device.aclsim_hang_call_after if after else device.aclsim_hang_call
    assert arm(function.encode(), nth, 0) == 0
    flow = Flow(None if how == "main" else PATIENCE)
    result = {"hung": False, "interrupted": None}

    def interrupt():
        while not device.hung_calls() and not flow.done.is_set():
            time.sleep(0.001)
        time.sleep(0.1)
        result["hung"] = device.hung_calls() > 0
        result["signal"] = time.monotonic()
        if not flow.done.is_set():
            os.kill(os.getpid(), signal.SIGINT)

    if how == "main":
        threading.Thread(target=interrupt, daemon=True).start()
        try:
            flow.run()
        except KeyboardInterrupt:
            result["interrupted"] = time.monotonic() - result["signal"]
    else:
        threading.Thread(target=flow.run, daemon=True).start()
        while not device.hung_calls() and not flow.done.is_set():
            time.sleep(0.001)
        until = time.monotonic() + PATIENCE
        while not device.hung_calls() and core.live()["DEVICE"] and time.monotonic() < until:
            time.sleep(0.001)  # the device itself ends behind its last encoder
        result["hung"] = device.hung_calls() > 0
    result["end"] = time.monotonic()
    result["done"] = flow.done.is_set() and result["interrupted"] is None
    print(json.dumps(result), flush=True)


def main():
    command, *rest = sys.argv[1:]
    if command == "bounds":
        print(json.dumps(bounds({"sync": Flow, "aio": AioFlow}[rest[0]], int(rest[1]) if rest[1:] else 1)))
    elif command == "calls":
        print(json.dumps(calls()))
    else:
        end(rest[0], int(rest[1]), rest[2] == "after", rest[3])


if __name__ == "__main__":
    main()
