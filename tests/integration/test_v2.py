# SPDX-License-Identifier: Apache-2.0
"""`Encoder` on DVPP V2: a process for each, since V1 and V2 must not be mixed in one.

With ASCEND_VENC_INTERFACE=v2 the other files of this folder run on V2 too, each in a process of its own.
"""

import os
import subprocess
import sys

import pytest

import ascend_venc as venc
from helpers import processes, v2_program

pytestmark = pytest.mark.sim_only

# Every call of V2's on the way from opening to the end, and how many are made before the one that is meant.
CALLS = [
    ("hi_mpi_sys_init", 1),
    ("hi_mpi_venc_get_mod_param", 1),
    ("hi_mpi_venc_set_mod_param", 1),
    ("hi_mpi_sys_create_epoll", 1),
    ("hi_mpi_venc_create_chn", 1),
    ("hi_mpi_venc_start_chn", 1),
    ("hi_mpi_venc_get_fd", 1),
    ("hi_mpi_sys_ctl_epoll", 1),
    ("hi_mpi_dvpp_malloc", 1),
    ("hi_mpi_venc_send_frame", 1),
    ("hi_mpi_sys_wait_epoll", 1),
    ("hi_mpi_venc_query_status", 1),
    ("hi_mpi_venc_get_stream", 1),
    ("hi_mpi_venc_release_stream", 1),
    ("hi_mpi_venc_stop_chn", 1),
    ("hi_mpi_sys_ctl_epoll", 2),
    ("hi_mpi_venc_close_fd", 1),
    ("hi_mpi_venc_destroy_chn", 1),
    ("hi_mpi_dvpp_free", 1),
    ("hi_mpi_sys_close_epoll", 1),
]
OPENING = [name for name, nth in CALLS[:9] if nth == 1 and "mod_param" not in name]


def run(*arguments, **env):
    done = subprocess.run(
        [sys.executable, v2_program.__file__, *map(str, arguments)],
        env=processes.environment(ASCEND_VENC_SIM_STRICT="1", **env),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


@pytest.mark.parametrize("codec", ["h264", "h265"])
@pytest.mark.parametrize("chip", ["Ascend310P3", "Ascend310B4"])
def test_packets_are_their_frames(codec, chip):
    run("encode", codec, ASCEND_VENC_SIM_SOC=chip)


@pytest.mark.parametrize("packs", ["one", "several"])
@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_packets_tell_what_the_device_tells(codec, packs):
    run("told", codec, packs)


def test_v1_tells_nothing_besides_the_stream():
    program = """
import ascend_venc as venc
with venc.Encoder(128, 128, backend="sim", codec="h264", interface="v1") as enc:
    packet, = enc.encode(bytes(128 * 192)) + enc.flush()
print(packet.kind, packet.device_kind, packet.mean_qp, packet.picture_bits)
"""
    assert processes.run(program, env={"ASCEND_VENC_INTERFACE": ""}).stdout == "IDR None None None\n"


@pytest.mark.parametrize(
    "options", ["v2_second_frame=1", "v2_second_frame=2", "v2_second_frame=3", "v2_pack_offset=64"]
)
def test_what_is_not_known_of_v2_does_not_matter(options):
    run("encode", "h264", ASCEND_VENC_SIM_OPTIONS=options)


@pytest.mark.parametrize("slots", [1, 2])
def test_device_that_takes_no_more_is_back_pressure(slots):
    run("queue_of", slots)


@pytest.mark.parametrize(
    "program",
    [
        ["full_for_ever"],
        ["deeper_than_the_device"],
        ["failed_frame", "one"],
        ["failed_frame", "several"],
        ["balance"],
        ["left_out"],
        ["not_told"],
        ["odd_size"],
        ["many_channels", 64],
        ["lost"],
        ["mixed"],
    ],
    ids=lambda p: p[0],
)
def test_program(program):
    run(*program)


@pytest.mark.parametrize("function", OPENING)
def test_opening_fails_whole_at_any_call(function):
    run("refused", function, -1610055659)  # 0xA0088015


@pytest.mark.parametrize(("function", "nth"), CALLS)
def test_call_that_never_returns_holds_up_nobody_else(function, nth):
    run("hangs", function, nth)


def test_chip_without_v2_is_refused_with_the_interface_that_works():
    program = """
import ascend_venc as venc
try:
    venc.Encoder(128, 128, backend="sim", interface="v2")
except venc.InvalidArgumentError as error:
    print(error)
with venc.Encoder(128, 128, backend="sim", codec="h264") as enc:
    print(enc.interface)
"""
    done = processes.run(program, env={"ASCEND_VENC_SIM_SOC": "Ascend310", "ASCEND_VENC_INTERFACE": ""})
    refusal, used = done.stdout.splitlines()
    assert "Ascend310 has no DVPP V2" in refusal and 'interface="v1"' in refusal
    assert used == "v1"
    assert done.stderr == ""


def test_interface_is_checked_by_name():
    with pytest.raises(venc.InvalidArgumentError, match='interface is \'v3\'; allowed are "auto", "v1", "v2"'):
        venc.Encoder(128, 128, backend="sim", interface="v3")
    with pytest.raises(TypeError, match="interface must be a str"):
        venc.Encoder(128, 128, backend="sim", interface=2)


def test_interface_of_the_environment_and_of_the_command(tmp_path):
    program = "import ascend_venc as venc; print(venc.Encoder(128, 128, backend='sim').interface)"
    assert processes.run(program, env={"ASCEND_VENC_INTERFACE": "v2"}).stdout == "v2\n"
    assert processes.run(program, env={"ASCEND_VENC_INTERFACE": "V1"}).stdout == "v1\n"
    wrong = processes.run(program, env={"ASCEND_VENC_INTERFACE": "v9"}).stderr
    assert "$ASCEND_VENC_INTERFACE is 'v9'" in wrong
    picture = tmp_path / "one.nv12"
    picture.write_bytes(os.urandom(128 * 192))
    command = [sys.executable, "-m", "ascend_venc", "encode", picture, tmp_path / "one.h264", "--size", "128x128"]
    done = subprocess.run(
        [*map(str, command), "--backend", "sim", "--interface", "v2", "--json"],
        env=processes.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert '"interface": "v2"' in done.stdout, done.stderr
