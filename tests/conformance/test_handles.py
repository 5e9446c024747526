# SPDX-License-Identifier: Apache-2.0
"""Handles whose address the runtime gives out again, as the simulated device never does; those that outlive a reset."""

import pytest

from helpers import processes, shim

pytestmark = pytest.mark.sim_only

ONE_ADDRESS = """
static char address;
int waiting, released, destroyed;
aclError aclrtCreateStream(aclrtStream *stream) { *stream = &address; return 0; }
aclError aclrtDestroyStream(aclrtStream stream) { (void)stream; destroyed++; return 0; }
aclError aclrtResetDeviceForce(int32_t device) { (void)device; return 0; }
aclError aclrtSynchronizeStream(aclrtStream stream) {
    (void)stream;
    int ticket = __atomic_add_fetch(&waiting, 1, __ATOMIC_SEQ_CST);
    for (int ms = 0; ms < 20000 && __atomic_load_n(&released, __ATOMIC_SEQ_CST) < ticket; ms++)
        usleep(1000);
    return 0;
}
"""

PROGRAM = """
import ctypes, os, threading, time
from ascend_venc import acl
library = ctypes.CDLL(os.environ["ASCEND_VENC_BACKEND"])
waiting, released, destroyed = (ctypes.c_int.in_dll(library, name) for name in ("waiting", "released", "destroyed"))
acl.init(); acl.rt.set_device(0)
codes = []
def wait(stream):
    thread = threading.Thread(target=lambda: codes.append(acl.rt.synchronize_stream(stream)))
    before = waiting.value
    thread.start()
    while waiting.value == before:
        time.sleep(0.001)
    return thread
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = shim.build(tmp_path_factory.mktemp("one_address"), ONE_ADDRESS)

    def run(lines):
        env = {"ASCEND_VENC_BACKEND": str(path), "ASCEND_VENC_SIM_STRICT": "0"}
        done = processes.run(PROGRAM + lines, env=env, timeout=60)
        assert (done.stderr, done.returncode) == ("", 0)
        return done.stdout

    return run


def test_stream_whose_address_comes_back_is_kept_for_the_calls_that_use_it(run):
    """One thread still waits for the old stream, another for the new one: the end of the first wait frees neither."""
    output = run(
        """
stream, ret = acl.rt.create_stream()
first = wait(stream)
print(acl.rt.reset_device_force(0), acl.rt.synchronize_stream(stream))
again, ret = acl.rt.create_stream()
second = wait(again)
released.value = 1
first.join()
print(again == stream, acl.rt.destroy_stream(again), destroyed.value, acl.rt.destroy_stream(again))
released.value = 2
second.join()
print(codes, destroyed.value)
"""
    )
    assert output == "0 100000\nTrue 0 0 100000\n[0, 0] 1\n"


def test_stream_of_a_reset_device_is_not_destroyed_once_more_when_its_last_wait_ends(run):
    output = run(
        """
stream, ret = acl.rt.create_stream()
first = wait(stream)
acl.rt.reset_device_force(0)
released.value = 1
first.join()
print(codes, destroyed.value, acl.rt.destroy_stream(stream), destroyed.value)
"""
    )
    assert output == "[0] 0 100000 0\n"


def test_context_of_the_programs_own_outlives_a_reset_of_its_device():
    """As a C program's does: what was made in it can be used and destroyed, in whatever order the program does that."""
    done = processes.run(
        """
from ascend_venc import acl
rt = acl.rt
print(acl.init(), rt.set_device(0))
default, _ = rt.get_context()
gone, _ = rt.create_stream()
own, _ = rt.create_context(0)
stream, _ = rt.create_stream()
event, _ = rt.create_event()
print(rt.reset_device(0), rt.set_context(default), rt.destroy_stream(gone))
print(rt.record_event(event, stream), rt.synchronize_stream(stream), rt.set_context(own))
print(rt.destroy_event(event), rt.destroy_stream(stream), rt.destroy_context(own), rt.destroy_context(own))
own, _ = rt.create_context(0)
print(rt.set_device(0), rt.reset_device_force(0), rt.destroy_context(own), acl.finalize())
""",
        env={"ASCEND_VENC_BACKEND": "sim", "ASCEND_VENC_SIM_STRICT": "1"},
        timeout=60,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout == "0 0\n0 100000 100000\n0 0 0\n0 0 0 100000\n0 0 100000 0\n"
