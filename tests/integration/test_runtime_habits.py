# SPDX-License-Identifier: Apache-2.0
"""Runtimes that do what AscendCL allows and the simulated device does not by itself."""

import pytest

import ascend_venc as venc
from helpers import interface, processes, shim, simulator, video
from helpers.waiting import eventually

pytestmark = pytest.mark.sim_only

FRAME = bytes(128 * 192)
HUGE = 3  # ACLSIM_FRAME_HUGE


def encoder(**options):
    return venc.Encoder(128, 128, **{"codec": "h264", "backend": "sim", "timeout": 10, **options})


@pytest.mark.parametrize("chip", ["Ascend310P3", "Ascend310B4"])
def test_access_unit_larger_than_its_packet_fails_its_frame_only(chip):
    """On a board it is copied by the CPU, whose copy nobody else checks. V2's buffer for streams is no larger than a
    packet, so there it fails in the device."""
    reason = interface.of("AVENC_E_TOO_LARGE", "AVENC_E_FRAME")
    frames = video.synthetic(128, 128, 6)
    with encoder(backend=f"sim:{chip}") as enc, simulator.shared().failing_frame(HUGE, 3, 1_000_000):
        for frame in frames:
            enc.submit(frame)
        with pytest.raises(venc.FrameError, match=reason) as caught:
            enc.flush()
        assert caught.value.frame_index == 2
        assert [packet.frame_index for packet in enc.flush()] == [0, 1, 3, 4, 5]


CONTEXTS = """
/* Contexts at addresses that are used again at once; a thread's current one may be gone. */
typedef struct { void *real; } place;
static place places[8];
static _Thread_local place *now;
aclError aclrtCreateContext(aclrtContext *context, int32_t device) {
    void *made = NULL;
    int rc = real(aclrtCreateContext)(&made, device);
    for (int i = 0; rc == 0 && i < 8; i++)
        if (!places[i].real) {
            places[i].real = made;
            *context = now = &places[i];
            return 0;
        }
    return rc ? rc : 500000;
}
aclError aclrtDestroyContext(aclrtContext context) {
    void *ended = ((place *)context)->real;
    ((place *)context)->real = NULL;
    return real(aclrtDestroyContext)(ended);
}
aclError aclrtSetCurrentContext(aclrtContext context) {
    int rc = real(aclrtSetCurrentContext)(((place *)context)->real);
    if (rc == 0)
        now = context;
    return rc;
}
aclError aclrtGetCurrentContext(aclrtContext *context) {
    *context = now;
    return now ? 0 : 107002;
}
"""

SAME_ADDRESS = """
import ctypes, sys, time
import ascend_venc as venc
from ascend_venc._lowlevel import core, stream
path, frame = sys.argv[1], bytes(128 * 192)
core.open_library(path)
acl, sim = ctypes.CDLL(path), ctypes.CDLL(core.simulated_device_path())
sim.aclsim_set_codec(core.find_codec().encode())

def current():
    found = ctypes.c_void_p()
    acl.aclrtGetCurrentContext(ctypes.byref(found))
    return found.value

def use(check):
    enc = venc.Encoder(128, 128, codec="h264", backend=path)
    check("opened")
    for call in (enc.encode, enc.submit, enc.submit_async, lambda frame: enc.submit_many([frame])):
        call(frame)
        check(call)
    assert len(enc.flush()) >= 1
    enc.close()
    check("closed")
    until = time.monotonic() + 10
    while core.live()["DEVICE"] and time.monotonic() < until:
        time.sleep(0.001)

def same(what):
    assert current() == mine.value, what

use(lambda what: None)
engines = current()  # what it left behind on a thread that had none
assert engines
mine = ctypes.c_void_p()
assert acl.aclrtCreateContext(ctypes.byref(mine), 0) == 0
assert mine.value == engines, "the address was not used again"
use(same)
for _ in range(3):  # native threads that outlive a device meet another one's context at the address
    assert acl.aclrtDestroyContext(mine) == 0
    use(lambda what: None)
    assert acl.aclrtCreateContext(ctypes.byref(mine), 0) == 0
    use(same)
acl.aclrtDestroyContext(mine)
"""


def test_the_programs_context_is_restored_also_where_it_has_the_address_of_an_ended_one(tmp_path):
    done = processes.run(SAME_ADDRESS, shim.build(tmp_path, CONTEXTS))
    assert (done.returncode, done.stderr) == (0, "")


LEFT_BEHIND = """
import sys, threading, warnings
sys.path.insert(0, {tests!r})
import ascend_venc as venc
from ascend_venc._lowlevel import core
from helpers import interface, simulator
from helpers.waiting import eventually
core.open_library("sim")
sim, frame = simulator.shared(), bytes(128 * 192)
first, second, third = (venc.Encoder(128, 128, codec="h264", backend="sim", device=n) for n in (1, 2, 3))

def end(enc, left):
    enc.flush()
    enc.close()
    eventually(lambda: core.live()["DEVICE"] == left)

def use():
    first.submit(frame)  # the device's context stays current on this thread
    end(second, 2)       # a context was destroyed, another one
    third.submit(frame)  # while it is inside, the one that was current is destroyed

with sim.strict() as reports:
    with sim.hanging_call(interface.SEND, nth=2) as wait_hung:
        thread = threading.Thread(target=use)
        thread.start()
        wait_hung()
        end(first, 1)
    thread.join(20)
    assert not thread.is_alive()
    end(third, 0)
    assert reports() == [], reports()
"""


def test_the_engines_context_is_not_made_current_again_once_it_was_destroyed(request):
    program = LEFT_BEHIND.format(tests=str(request.config.rootpath / "tests"))
    done = processes.run(program, env={"ASCEND_VENC_SIM_DEVICES": 4}, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


# A call that fails and leaves something in its out-parameter.
JUNK = """
#include <stdint.h>
static atomic_int left = 1;
#define FAILS(result, name, parameters, out, junk, ...) \\
    result name parameters { \\
        if (atomic_exchange(&left, 0)) { *(out) = junk; return 507899; } \\
        return real(name)(__VA_ARGS__); \\
    }
"""
FAILS = {
    "aclrtCreateContext": "FAILS(aclError, aclrtCreateContext, (aclrtContext *c, int32_t id), c, (void *)64, c, id)",
    "aclrtCreateStream": "FAILS(aclError, aclrtCreateStream, (aclrtStream *s), s, (void *)64, s)",
    "hi_mpi_sys_create_epoll": "FAILS(hi_s32, hi_mpi_sys_create_epoll, (hi_s32 n, hi_s32 *fd), fd, 1, n, fd)",
}

REFUSED_ONCE = """
import ctypes, os, sys
import ascend_venc as venc
from ascend_venc._lowlevel import core
path, call = sys.argv[1:]
core.open_library(path)
ctypes.CDLL(core.simulated_device_path()).aclsim_set_codec(core.find_codec().encode())
try:
    venc.Encoder(128, 128, codec="h264", backend=path).close()
except venc.AclError as error:
    assert (error.call, error.code) == (call, 507899), error
else:
    raise AssertionError(call + " did not fail")
os.fstat(1)  # is open still
with venc.Encoder(128, 128, codec="h264", backend=path):
    pass
"""


@pytest.mark.parametrize(
    "call", ["aclrtCreateContext", *interface.of(["aclrtCreateStream"], ["hi_mpi_sys_create_epoll"])]
)
def test_what_a_call_that_fails_leaves_in_its_out_parameter_is_nobodys(tmp_path, call):
    library = shim.build(tmp_path, JUNK + FAILS[call])
    done = processes.run(REFUSED_ONCE, library, call)
    assert (done.returncode, done.stderr) == (0, "")


ENDING_V1 = [
    "aclvencDestroyChannelDesc",
    "aclvencDestroyFrameConfig",
    "acldvppDestroyPicDesc",
    "aclrtUnSubscribeReport",
    "aclrtDestroyStream",
]
ENDING_V2 = ["hi_mpi_venc_stop_chn", "hi_mpi_venc_close_fd", "hi_mpi_sys_close_epoll"]
ENDING = [
    interface.DESTROY,
    interface.FREE,
    "aclrtFreeHost",
    "aclrtDestroyContext",
    *interface.of(ENDING_V1, ENDING_V2),
]
RAISED = interface.of({interface.DESTROY}, {interface.DESTROY, "hi_mpi_venc_stop_chn", "hi_mpi_venc_close_fd"})


@pytest.mark.parametrize("function", ENDING)
def test_call_that_ends_something_is_made_once_also_where_it_returns_a_code(function):
    """The object is gone then: a second call would free another one. Strict mode tells of calls with stale handles."""
    sim = simulator.shared()
    enc = encoder(depth=3)
    enc.submit_many([FRAME] * 6)
    enc.flush()
    before = sim.live()
    with sim.failing_call(function, after=True, persistent=True), sim.strict() as reports:
        try:
            enc.close()
        except venc.AclError as error:
            assert (function, error.code) == (error.call, 507899)
            assert function in RAISED
        eventually(lambda: not any(sim.live().values()))
        assert reports() == []
    assert any(before.values())
