# SPDX-License-Identifier: Apache-2.0
"""Scene, intra refresh and regions of interest on DVPP V2: what the vendor's library gets, and what comes of it."""

import ctypes
import re
import subprocess
import sys

import pytest

from ascend_venc._lowlevel import core
from helpers import himpi, processes, shim, v2_quality

pytestmark = pytest.mark.sim_only

RECORDER = r"""
#include <stdio.h>
static void record(const char *name, const void *value, unsigned size) {
    char text[4096];
    int used = sprintf(text, "%s ", name);
    for (unsigned i = 0; i < size; i++)
        used += sprintf(text + used, "%02x", ((const unsigned char *)value)[i]);
    dprintf(1, "%s\n", text);
}
"""
# Function: what is recorded of it.
RECORDED = {
    "hi_mpi_venc_set_scene_mode": "&scene_mode, sizeof scene_mode",
    "hi_mpi_venc_set_intra_refresh": "intra_refresh, sizeof *intra_refresh",
    "hi_mpi_venc_set_roi_attr": "roi_attr, sizeof *roi_attr",
    "hi_mpi_venc_create_chn": "attr, sizeof *attr",
    "hi_mpi_venc_start_chn": '"", 0',
    "hi_mpi_venc_set_chn_attr": '"", 0',
    "hi_mpi_venc_send_frame": "frame, sizeof *frame",
}


def run(*arguments, **env):
    done = subprocess.run(
        [sys.executable, v2_quality.__file__, *map(str, arguments)],
        env=processes.environment(
            ASCEND_VENC_SIM_STRICT="1", ASCEND_VENC_SIM_AVCODEC=core.find_codec() or "", ASCEND_VENC_INTERFACE="", **env
        ),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0 and done.stdout.endswith("ok\n"), done.stderr
    return done.stdout.splitlines()[:-1]


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    bodies = {}
    for _, name, parameters in [entry[1:] for entry in himpi.FUNCTIONS if entry[2] in RECORDED]:
        words = ", ".join(word.split("*")[-1].split()[-1] for word in parameters.split(","))
        short = name.replace("hi_mpi_venc_", "")
        bodies[name] = f'record("{short}", {RECORDED[name]}); return real({name})({words});'
    assert set(bodies) == set(RECORDED)
    return shim.install(tmp_path_factory.mktemp("recording"), bodies=bodies, code=RECORDER)


def structure(name, text):
    kind = himpi.structure(name)
    data = bytes.fromhex(text)
    assert len(data) == ctypes.sizeof(kind)
    return kind.from_buffer_copy(data)


def roi(text):
    found = structure("hi_venc_roi_attr", text)
    rect = (found.rect.x, found.rect.y, found.rect.width, found.rect.height)
    return found.idx, found.enable, found.is_abs_qp, found.qp, rect


LEFT = (0, 1, 1, 10, (0, 0, 64, 128))
RIGHT = (1, 1, 0, 10, (64, 0, 64, 128))
OFF = (0, (0, 0, 0, 0))


@pytest.mark.parametrize("interface", ["v2", "auto"])
def test_library_gets_the_documented_bytes_before_the_start_and_at_changes(recording, interface):
    lines = [line.split(" ") for line in run("recorded", interface, recording)]
    opening, *changes = [[]]
    for name, *value in lines:
        if name in ("change", "end"):
            changes.append([])
        else:
            (changes[-1] if changes else opening).append((name, *value))
    names = [name for name, *_ in opening]
    assert names == [
        "create_chn",
        "set_scene_mode",
        "set_intra_refresh",
        "set_roi_attr",
        "set_roi_attr",
        "start_chn",
        "send_frame",
    ]
    assert int.from_bytes(bytes.fromhex(opening[1][1]), "little") == himpi.CONSTANTS["HI_VENC_SCENE_1"] == 1
    refresh = structure("hi_venc_intra_refresh", opening[2][1])
    assert (refresh.refresh_enable, refresh.intra_refresh_mode, refresh.refresh_num, refresh.req_i_qp) == (1, 1, 3, 21)
    assert [roi(value) for _, value in opening[3:5]] == [LEFT, RIGHT]
    first, second, third, fourth, after = [
        [(name, *[roi(word) for word in value if word]) for name, *value in change] for change in changes
    ]
    moved = (0, *RIGHT[1:])
    assert first == [("set_roi_attr", moved), ("set_roi_attr", (1, 0, 0, *OFF))]  # rates are not touched
    assert second == [("set_chn_attr",), ("set_roi_attr", moved)]
    assert third == [("set_roi_attr", (0, 0, 0, *OFF))]
    assert fourth == [("set_chn_attr",)] and after == []


def test_library_gets_the_documented_bytes_of_a_channel_and_of_frames(recording):
    lines = [line.split(" ") for line in run("frames_recorded", recording)]
    (attr,) = [structure("hi_venc_chn_attr", value) for name, value in lines if name == "create_chn"]
    assert attr.gop_attr.normal_p.ip_qp_delta == 2
    infos = [structure("hi_video_frame_info", value) for name, value in lines if name == "send_frame"]
    assert [(info.mod_id, info.pool_id) for info in infos] == [(himpi.CONSTANTS["HI_ID_VENC"], 0xFFFFFFFF)] * 5
    assert [info.v_frame.time_ref for info in infos] == [2, 4, 6, 8, 10]
    times = [info.v_frame.pts for info in infos]
    assert [later - time for time, later in zip(times, times[1:])] == [40_000, 40_000, 20_000, 20_000]


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_what_the_library_tells_of_a_picture_is_told_as_far_as_it_can_be_meant(codec, tmp_path):
    body = f"""hi_s32 rc = real(hi_mpi_venc_get_stream)(chn, stream, milli_sec);
    for (hi_u32 i = 0; rc == 0 && i < stream->pack_cnt; i++) {{
        stream->pack[i].data_num = 0;
        stream->pack[i].data_type.h264_type = 2;
    }}
    if (rc == 0)
        stream->{codec}_info.mean_qp = 77;
    return rc;"""
    run("told_otherwise", codec, shim.install(tmp_path, bodies={"hi_mpi_venc_get_stream": body}))


def test_thread_that_has_no_memory_for_a_frames_packs_looks_again_after_a_pause(tmp_path):
    body = """static int looks;
    hi_s32 rc = real(hi_mpi_venc_query_status)(chn, status);
    if (rc == 0 && status->cur_packs != 0 && looks++ < 60)
        status->cur_packs = 0x7fffffff;
    return rc;"""
    run("more_packs_than_memory", shim.install(tmp_path, bodies={"hi_mpi_venc_query_status": body}))


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_region_is_encoded_with_its_quantiser_and_changes_live(codec):
    run("pictures", codec)


@pytest.mark.parametrize(
    "function", ["hi_mpi_venc_set_scene_mode", "hi_mpi_venc_set_intra_refresh", "hi_mpi_venc_set_roi_attr"]
)
def test_refusal_at_the_opening_leaves_nothing(function):
    run("refused_at_the_opening", function)


@pytest.mark.parametrize(
    "function", ["hi_mpi_venc_set_scene_mode", "hi_mpi_venc_set_intra_refresh", "hi_mpi_venc_set_roi_attr"]
)
def test_call_that_never_returns_costs_the_time_out(function):
    run("hangs_at_the_opening", function)


@pytest.mark.parametrize("nth", [1, 2])
def test_refused_regions_are_written_back(nth):
    run("refused_change", nth)


@pytest.mark.parametrize("program", ["refused_twice", "other_size", "hangs_at_a_change", "limits_with_regions"])
def test_regions(program):
    run(program)


@pytest.mark.parametrize("how", ["reconfigure", "group", "writer"])
def test_regions_of_a_generator_are_not_lost(how):
    one_each = {"ASCEND_VENC_SIM_DEVICES": "2", "ASCEND_VENC_SIM_OPTIONS": "channel_limit=1"}
    run("given_once", how, **(one_each if how == "group" else {}))


@pytest.mark.parametrize("what", ["roi", "refresh"])
def test_library_without_the_function_is_told_before_a_channel_is_made(what, tmp_path):
    function = {"roi": "hi_mpi_venc_set_roi_attr", "refresh": "hi_mpi_venc_set_intra_refresh"}[what]
    run("lacking", what, shim.install(tmp_path, without=[function]))


def test_library_that_cannot_change_a_channel_gets_another_one(tmp_path):
    run("without_changes", shim.install(tmp_path, without=["hi_mpi_venc_set_chn_attr"]))


def test_v1_refuses_them_with_the_nearest_thing_that_works():
    program = """
import ascend_venc as venc
region = venc.RegionOfInterest(0, 0, 16, 16, qp=20)
for options in ({"roi": [region]}, {"scene": "still"}, {"intra_refresh": venc.IntraRefresh(rows=1)}):
    try:
        venc.Encoder(128, 128, backend="sim", interface="v1", **options)
    except venc.InvalidArgumentError as error:
        print(error)
with venc.Encoder(128, 128, backend="sim", interface="v1") as enc:
    try:
        enc.reconfigure(roi=[region])
    except venc.InvalidArgumentError as error:
        print(error)
"""
    lines = processes.run(program).stdout.splitlines()
    for line, name in zip(lines, ["roi", "scene", "intra_refresh", "roi"]):
        assert re.match(rf'{name} .*; DVPP V1 .*leave .*, or interface="v2"', line), line
    assert len(lines) == 4


@pytest.mark.parametrize(("first", "then"), [("v1", "v2"), ("v2", "v1")])
def test_settings_that_are_refused_decide_nothing_for_the_process(first, then):
    """The refusal of the one names the other: that can be taken in the same process."""
    program = f"""
import ascend_venc as venc
wrong = {{"rc": "avbr"}} if {first!r} == "v1" else {{"bitrate": 1}}
try:
    venc.Encoder(128, 128, backend="sim", interface={first!r}, **wrong)
except venc.InvalidArgumentError as error:
    print(error)
with venc.Encoder(128, 128, backend="sim", interface={then!r}) as enc:
    print(enc.interface)
"""
    refusal, interface = processes.run(program).stdout.splitlines()
    assert interface == then and refusal.startswith("rc is" if first == "v1" else "bitrate is")
    if first == "v1":
        assert refusal.endswith('or interface="v2", in a process that has not used V1')
