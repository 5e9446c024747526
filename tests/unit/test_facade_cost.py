# SPDX-License-Identifier: Apache-2.0
"""What a frame costs in the facade and in the stand-in for pyACL, counted in instructions: no clock is looked at."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ascend_venc._lowlevel import core
from helpers import processes

pytestmark = [pytest.mark.project, pytest.mark.sim_only]

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
FRAMES = 100

# aclrtGetMemInfo marks where one part ends and the next begins. The two modules do the same in turn, on one device.
PROGRAM = """
import gc, sys, threading
gc.disable()  # what it costs falls to the part in which it runs
sys.path.insert(0, sys.argv[1])
import native
from ascend_venc import acl as facade
stand_in = native.pyacl_shape()
assert facade.init() == 0
context, ret = facade.rt.create_context(0)
W = H = 128
SIZE = W * H * 3 // 2
done = [0]
def on_frame(picture, stream, user_data):
    done[0] += 1
def make(acl):
    media = acl.media
    channel = media.venc_create_channel_desc()
    for name, value in (("thread_id", threading.get_ident()), ("callback", on_frame), ("entype", 0), ("pic_format", 1),
                        ("pic_width", W), ("pic_height", H), ("key_frame_interval", 65536)):
        assert getattr(media, "venc_set_channel_desc_" + name)(channel, value) == 0
    assert media.venc_create_channel(channel) == 0
    memory, ret = media.dvpp_malloc(SIZE)
    picture = media.dvpp_create_pic_desc()
    assert media.dvpp_set_pic_desc_data(picture, memory) == media.dvpp_set_pic_desc_size(picture, SIZE) == 0
    return media.venc_send_frame, acl.rt.process_report, channel, picture, media.venc_create_frame_config()
def encode(send, process, channel, picture, config, frames):
    end = done[0] + frames
    while done[0] < end:
        now = done[0]
        assert send(channel, picture, 0, config, now) == 0
        while done[0] == now:
            process(20_000)  # once for each frame, however slow the machine is
programs = [make(acl) for acl in (facade, stand_in)]
for program in programs:
    encode(*program, 20)
for program in programs:
    facade.rt.get_mem_info(0)
    encode(*program, int(sys.argv[2]))
facade.rt.get_mem_info(0)
import os
os._exit(0)
"""


@pytest.mark.timeout(660)  # half a minute of one core, which valgrind does not share out evenly
def test_send_and_callback_cost_no_more_instructions_than_in_pyacls_shape(tmp_path):
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed (apt-get install valgrind)")
    if b"\0__asan_" in (Path(core.simulated_device_path()).read_bytes()):
        pytest.skip("built with a sanitizer, which valgrind cannot run")
    out = tmp_path / "callgrind"
    command = ["valgrind", "--tool=callgrind", "--quiet", f"--callgrind-out-file={out}"]
    subprocess.run(
        [*command, "--dump-before=aclrtGetMemInfo", sys.executable, "-c", PROGRAM, str(BENCHMARKS), str(FRAMES)],
        env=processes.environment(
            ASCEND_VENC_BACKEND="sim", ASCEND_VENC_SIM_STRICT="0", ASCEND_VENC_SIM_OPTIONS="null_codec=2000"
        ),
        check=True,
        timeout=600,
    )
    counts = [
        int(re.search(r"^totals: (\d+)", (tmp_path / f"callgrind.{n}").read_text(), re.M).group(1)) for n in (2, 3)
    ]
    facade, stand_in = (count / FRAMES for count in counts)
    assert 2000 < stand_in < 60000, "a frame's whole way, and nothing else, is counted"
    assert facade <= stand_in, (facade, stand_in)
