# SPDX-License-Identifier: Apache-2.0
"""Same input and settings, same bytes: in each process, on each device, however many other channels are at work."""

import pytest

from helpers import processes, simulator

pytestmark = pytest.mark.sim_only

# Arguments: tests folder, codec, device of the encoder whose bytes count, number of others that encode meanwhile.
PROGRAM = """
import hashlib, sys, threading
sys.path.insert(0, sys.argv[1])
import ascend_venc as venc
from helpers import video
codec, device, others = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
frames = video.synthetic(192, 128, 24)
stop, ready = threading.Event(), threading.Barrier(others + 1)


def noise(number):
    size = 128 + 16 * (number % 4)
    clip = video.synthetic(size, 128, 4, seed=number)
    settings = {"codec": ("h264", "h265")[number % 2], "gop": 3 + number}
    with venc.Encoder(size, 128, backend="sim", device=number % DEVICES, **settings) as enc:
        enc.encode(clip[0])
        ready.wait(60)
        while not stop.is_set():
            enc.encode(clip[rounds[number] % 4])
            rounds[number] += 1
        enc.flush()
    ended.append(number)


DEVICES = 2 if device else 1
rounds, ended = [0] * others, []
threads = [threading.Thread(target=noise, args=(number,), daemon=True) for number in range(others)]
for thread in threads:
    thread.start()
ready.wait(60)
# On a busy machine not each of the others gets its turn in this time; each has a channel with frames all the same.
for _ in range(50):  # until one has had it
    with venc.Encoder(192, 128, codec=codec, backend="sim", device=device, gop=10, bitrate="300k", rc="cbr") as enc:
        packets = [packet for frame in frames for packet in enc.encode(frame, key_frame=frame is frames[13])]
        packets += enc.flush()
    if any(rounds) or not others:
        break
stop.set()
for thread in threads:
    thread.join()
assert len(packets) == 24 and len(ended) == others and (any(rounds) or not others), (len(packets), rounds, ended)
print(hashlib.sha256(b"".join(bytes(packet) for packet in packets)).hexdigest())
"""


def digest(codec, device=0, others=0):
    tests = str(simulator.ROOT / "tests")
    env = {"ASCEND_VENC_SIM_DEVICES": 2 if device else 1, "ASCEND_VENC_SIM_STRICT": 1}
    done = processes.run(PROGRAM, tests, codec, device, others, env=env, timeout=100)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_bytes_are_the_same_in_each_process_on_each_device_and_with_12_others_at_work(codec):
    first = digest(codec)
    assert len(first.strip()) == 64
    assert digest(codec) == first
    assert digest(codec, others=12) == first
    assert digest(codec, device=1, others=3) == first


def test_encoder_counts_the_devices():
    program = """
import ascend_venc as venc
from ascend_venc._lowlevel import core
try:
    venc.Encoder(128, 128, backend="sim", device=2)
except venc.InvalidArgumentError as error:
    print(error)
encoders = [venc.Encoder(128, 128, backend="sim", device=device) for device in (0, 1)]
for enc in encoders:
    enc.encode(bytes(128 * 128 * 3 // 2))
print([len(enc.flush()) for enc in encoders])
for enc in encoders:
    enc.close()
"""
    done = processes.run(program, env={"ASCEND_VENC_SIM_DEVICES": 2, "ASCEND_VENC_SIM_STRICT": 1})
    assert done.stdout == "device is 2; this machine has 0 to 1\n[1, 1]\n", done.stderr
    assert done.stderr == ""
