# SPDX-License-Identifier: Apache-2.0
"""A signal's handler that raises, as Ctrl-C's does, loses no packet and no wake-up of the call that it interrupts."""

import asyncio
import os
import sys
import types

import pytest

import ascend_venc as venc
from ascend_venc import aio
from helpers import interface, processes, shim, simulator
from helpers.waiting import eventually

pytestmark = pytest.mark.sim_only

FRAME = bytes(128 * 192)
PACKAGE = os.path.dirname(venc.__file__)

# The signal is there when a call of the vendor's is made: before the packet, or before the frame's sending returns.
STRIKES = """
int strike;
void PyErr_SetInterrupt(void);
static void before(const char *name) {
    const char *functions[] = {"", "%s", "%s"};
    if (strike && strcmp(name, functions[strike]) == 0) {
        if (strike == 1)
            usleep(5000); /* the call waits by now, as a rule */
        strike = 0;
        ((void (*)(void))dlsym(RTLD_DEFAULT, "PyErr_SetInterrupt"))();
    }
}
static void after(const char *name) { (void)name; }
"""
GET, SEND = 1, 2

PROGRAM = """
import ctypes, signal, sys, time
import ascend_venc as venc
from ascend_venc._lowlevel import core
path, way, function = sys.argv[1], sys.argv[2], int(sys.argv[3])
core.open_library(path)
sim = ctypes.CDLL(core.simulated_device_path())
sim.aclsim_set_codec(core.find_codec().encode())
strike = ctypes.c_int.in_dll(ctypes.CDLL(path), "strike")
frame = bytes(128 * 192)

class Tick(Exception):
    pass

def handle(signum, interrupted):
    if act is not None:
        act()
    raise Tick

act = None
signal.signal(signal.SIGINT, handle)
struck = 0
got = []
options = {"pixel_format": "rgb24"} if way == "converted" else {"on_full": "error"} if way == "error" else {}
given = bytes(128 * 128 * 3) if way == "converted" else frame

def more(enc):
    while enc.stats.in_flight:
        time.sleep(0.001)

def stall(on):
    sim.aclsim_set_option(b"stall", ctypes.c_uint64(on))

def begin(enc):
    if function == 1:  # the device goes on when the signal is sure to come with the packet
        stall(1)
        enc.submit(given)
        strike.value = 1
        stall(0)
    else:  # the packet is there, and another frame is sent
        enc.submit(given)
        more(enc)
        strike.value = 2

def call(enc):
    begin(enc)
    if way == "receive":
        got.append(enc.receive().frame_index)
    elif way == "receive_many":
        got.extend([packet.frame_index for packet in enc.receive_many()])
    elif way == "packets":
        for packet in enc.packets():
            got.append(packet.frame_index)
    elif way == "flush":
        got.extend([packet.frame_index for packet in enc.flush()])
    else:
        got.extend([packet.frame_index for packet in enc.encode(given)])
"""

ENCODER = (
    PROGRAM
    + """
with venc.Encoder(128, 128, codec="h264", backend=path, timeout=30, **options) as enc:
    for _ in range(10):
        try:
            call(enc)
        except Tick:
            struck += 1
        more(enc)
        strike.value = 0
        got.extend([packet.frame_index for packet in enc.flush()])
    assert got == list(range(enc.stats.submitted)), (got, enc.stats)
assert struck == 10, struck
"""
)

GROUP = (
    PROGRAM
    + """
with venc.EncoderGroup(backend=path) as group:
    enc = group.add(128, 128, codec="h264", timeout=30)
    other = group.add(128, 128, codec="h264", timeout=30)
    for _ in range(10):
        try:
            begin(enc)
            got.append(group.receive()[1].frame_index)
        except Tick:
            struck += 1
            got.append(group.receive(timeout=20)[1].frame_index)
        strike.value = 0
    assert got == list(range(10)), got
assert struck == 10, struck
"""
)

IN_ORDER = (
    PROGRAM
    + """
def act():  # a handler that ends the program takes what is left
    got.extend([packet.frame_index for packet in enc.flush()])

with venc.Encoder(128, 128, codec="h264", backend=path, timeout=30, **options) as enc:
    for _ in range(10):
        try:
            call(enc)
        except Tick:
            struck += 1
        strike.value = 0
    assert got == list(range(enc.stats.submitted)), (got, enc.stats)
assert struck == 10, struck
"""
)

CLOSES = (
    PROGRAM
    + """
def act():
    enc._close(warn=False)

for _ in range(5):
    enc = venc.Encoder(128, 128, codec="h264", backend=path, timeout=30, **options)
    try:
        call(enc)
    except Tick:
        struck += 1
    strike.value = 0
    assert enc.closed
assert (struck, got) == (5, []), (struck, got)
"""
)


@pytest.fixture(scope="module")
def backend_that_strikes(tmp_path_factory):
    source = STRIKES % (interface.GET, interface.SEND) + shim.around_every_function("before", "after")
    return shim.build(tmp_path_factory.mktemp("strikes"), source)


WAYS = [
    ("receive", GET),
    ("receive_many", GET),
    ("packets", GET),
    ("flush", GET),
    ("encode", SEND),
    ("converted", SEND),
    ("error", SEND),
]


PROGRAMS = [
    (program, way, function)
    for program in ("ENCODER", "IN_ORDER", "CLOSES")
    for way, function in WAYS
    if program != "IN_ORDER" or way not in ("converted", "error")  # these have taken the first when they send
]


@pytest.mark.parametrize(("program", "way", "function"), PROGRAMS)
def test_packet_that_comes_with_the_signal_stays_to_be_received(program, way, function, backend_that_strikes):
    done = processes.run(globals()[program], backend_that_strikes, way, function)
    assert (done.returncode, done.stderr) == (0, "")


def test_groups_next_call_finds_what_came_with_the_signal(backend_that_strikes):
    done = processes.run(GROUP, backend_that_strikes, "group", GET)
    assert (done.returncode, done.stderr) == (0, "")


class Struck(Exception):
    pass


class Handler:
    """Strikes behind call `place` of a C function in the package, as a signal's may: that one's result is lost."""

    def __init__(self, place):
        self.left = place

    def __call__(self, frame, event, argument):
        if event != "c_return" or not frame.f_code.co_filename.startswith(PACKAGE):
            return
        self.left -= 1
        if self.left == 0:
            raise Struck


TAKING = {
    "packets": lambda enc, group: enc.packets(),
    "encode_iter": lambda enc, group: enc.encode_iter([FRAME]),
    "packets of a group": lambda enc, group: (packet for _, packet in group.packets()),
    "receive_many of a group": lambda enc, group: (packet for _, packet in group.receive_many(2)),
}


@pytest.mark.parametrize("name", TAKING)
def test_packets_stay_to_be_received_where_a_handler_raises_behind_any_call(name):
    struck, place = 0, 0
    with simulator.shared().options(null_codec=500), venc.EncoderGroup(backend="sim") as group:
        enc = group.add(128, 128, codec="h264", queue=8, timeout=20)
        while struck == place:
            place += 1
            got, before = [], enc.stats.submitted
            enc.submit_many([FRAME] * 3)
            eventually(lambda: enc.stats.in_flight == 0)
            packets = None
            sys.setprofile(Handler(place))
            try:
                packets = TAKING[name](enc, group)
                for packet in packets:
                    got.append(packet.frame_index)
                    if len(got) == 2:
                        break
            except Struck:
                struck += 1
            finally:
                sys.setprofile(None)
            if isinstance(packets, types.GeneratorType):
                packets.close()
            got += [packet.frame_index for packet in enc.flush()]
            assert got == list(range(before, enc.stats.submitted)), place
    assert struck > 0


def test_waiting_coroutine_is_woken_where_a_handler_raises_as_the_loop_sees_progress():
    """The loop shows the exception, or ends; one that goes on has to go on with the coroutine."""

    async def struck_at(place):
        loop, handler = asyncio.get_running_loop(), Handler(place)
        loop.set_exception_handler(lambda loop, context: None)
        async with aio.Encoder(128, 128, codec="h264", backend="sim", timeout=None) as enc:

            def progress():
                sys.setprofile(handler)
                try:
                    enc._on_progress()
                finally:
                    sys.setprofile(None)

            await enc.submit(FRAME)  # then there is a picture buffer, and the next one does not wait for it
            await enc.receive()
            loop.add_reader(enc._waitset.fileno(), progress)  # in place of the encoder's own
            with simulator.shared().options(stall=1):
                receiving = asyncio.ensure_future(enc.receive())
                await asyncio.sleep(0)
                await enc.submit(FRAME)
            try:
                packet = await asyncio.wait_for(receiving, 20)  # no timer of the encoder's wakes it
            except Struck:  # in the coroutine itself, which the loop's callback runs
                packet = await enc.receive()
            assert packet.frame_index == 1
        return handler.left <= 0

    struck = 0
    while asyncio.run(struck_at(struck + 1)):
        struck += 1
    assert struck > 0
