# SPDX-License-Identifier: Apache-2.0
"""The GIL during the calls that `Encoder` makes: shown by order, not by time."""

import pytest

from helpers import interface, processes, shim

pytestmark = pytest.mark.sim_only

LEAST_CALLS = interface.of(50, 35)  # of the vendor's, opening to closing; V2 has no descriptions to fill

GATE = """
volatile long turns;       /* of another Python thread */
static _Thread_local char held[1];
char starved[64];          /* the first function during which it did not run */
int calls;                 /* since it was asked for */
static void before(const char *name) {
    long seen = turns;
    if (seen == 0)
        return;
    __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
    for (int ms = 0; ms < 3000 && turns <= seen + 1; ms++)
        usleep(1000);
    if (turns <= seen + 1 && !starved[0])
        strcpy(starved, name);
}
static void after(const char *name) { (void)name; }
"""

NO_GIL = """
import ctypes, sys, threading
import ascend_venc as venc
from ascend_venc._lowlevel import core
path, way, least = sys.argv[1:]
core.open_library(path)
ctypes.CDLL(core.simulated_device_path()).aclsim_set_codec(core.find_codec().encode())
gate = ctypes.CDLL(path)
turns, going = ctypes.c_long.in_dll(gate, "turns"), [True]

def turn():
    while going:
        turns.value += 1

sys.setswitchinterval(1e-4)
other = threading.Thread(target=turn)
other.start()
while not turns.value:
    pass
frame = bytes(128 * 192)
try:
    enc = venc.Encoder(128, 128, codec="h264", backend=path, depth=1, queue=2)
    if way == "submit_many":
        enc.submit_many([frame] * 3)
    elif way == "acquire":
        enc.submit(enc.acquire())
    elif way == "reconfigure":
        enc.submit_async(frame)
        enc.reconfigure(bitrate=500_000)
        enc.submit_async(frame)
    elif way == "encode_future":
        enc.encode_future(frame).result(30)
    else:
        for _ in range(2):
            getattr(enc, way)(frame)
    enc.flush()
    enc.close()
finally:
    going.clear()
    other.join()
assert ctypes.c_int.in_dll(gate, "calls").value > int(least)
print(ctypes.string_at(ctypes.addressof(ctypes.c_char.in_dll(gate, "starved"))).decode() or "none")
"""


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    text = GATE.replace("static _Thread_local char held[1];\n", "") + shim.around_every_function("before", "after")
    return shim.build(tmp_path_factory.mktemp("gate"), text)


@pytest.mark.parametrize(
    "way", ["submit", "submit_async", "submit_many", "encode", "encode_future", "acquire", "reconfigure"]
)
def test_no_call_of_the_vendors_keeps_the_gil(way, gate):
    """Each call of the library returns only when another Python thread has run meanwhile, or is named after 3 s."""
    done = processes.run(NO_GIL, gate, way, LEAST_CALLS, timeout=100)
    assert (done.returncode, done.stdout) == (0, "none\n"), done.stderr
