# SPDX-License-Identifier: Apache-2.0
"""acl.himpi on a device: a process for each subject, since V1 and V2 must not be mixed in one."""

import re
import subprocess
import sys

import pytest

from helpers import fake_cann, himpi, himpi_program, memory_faults, processes, shim

ROOT = himpi.ROOT


@pytest.fixture
def run(backend):
    def run(*arguments, **env):
        done = subprocess.run(
            [sys.executable, himpi_program.__file__, *map(str, arguments)],
            env=processes.environment(**{"ASCEND_VENC_BACKEND": backend, "ASCEND_VENC_SIM_STRICT": "1", **env}),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr
        return done.stderr

    return run


SUBJECTS = [
    pytest.param(name, marks=pytest.mark.sim_only if hasattr(function, "is_simulated") else ())
    for name, function in vars(himpi_program).items()
    if hasattr(function, "is_subject")
]


@pytest.mark.parametrize("name", SUBJECTS)
def test_subject(run, name):
    if name == "without_memory":
        memory_faults.need()
    run(name)


# ---- every member of every structure ---------------------------------------------------------------------------------

# What goes in is kept, what comes out is a pattern: bytes 1, 2, 3, ... behind what the structure's choice has to be.
RECORDER = r"""
#include "himpi.h"
static unsigned char kept[4096];
static size_t kept_size;
static unsigned char given[4096];
size_t recorder_take(unsigned char *target) {
    memcpy(target, kept, kept_size);
    return kept_size;
}
void recorder_give(const unsigned char *source, size_t size) {
    memcpy(given, source, size);
}
"""


def recorder():
    """C source: each function that takes a structure keeps it; each that gives one gives what it was told to."""
    text = RECORDER
    for _, result, name, parameters in himpi.FUNCTIONS:
        structures = re.findall(r"(const )?(hi_\w+) \*(\w+)", parameters)
        structures = [
            found
            for found in structures
            if found[1].startswith(("hi_venc", "hi_user", "hi_video", "hi_dvpp", "hi_img"))
        ]
        if not structures or name.endswith(("venc_get_stream", "sys_wait_epoll")):
            continue
        lines = ["kept_size = 0;"]
        for const, kind, word in structures:
            if const or "ctl_epoll" in name:
                lines.append(f"memcpy(kept + kept_size, {word}, sizeof({kind})); kept_size += sizeof({kind});")
            elif "release_stream" in name:
                lines.append(
                    f"memcpy(kept, {word}, sizeof *{word});"
                    f"memcpy(kept + sizeof *{word}, {word}->pack, {word}->pack_cnt * sizeof(hi_venc_pack));"
                    f"kept_size = sizeof *{word} + {word}->pack_cnt * sizeof(hi_venc_pack);"
                )
            else:
                lines.append(f"memcpy({word}, given, sizeof({kind}));")
        text += f"{result} {name}({parameters}) {{ {' '.join(lines)} return 0; }}\n"
    return text + (
        "hi_s32 hi_mpi_venc_get_stream(hi_venc_chn chn, hi_venc_stream *stream, hi_s32 milli_sec) {\n"
        "    memcpy(stream->pack, given, 2 * sizeof(hi_venc_pack)); stream->pack_cnt = 2; stream->seq = 7;\n"
        "    return 0; }\n"
    )


@pytest.mark.sim_only
def test_every_member_goes_to_its_place_and_comes_from_it(run, tmp_path):
    path = shim.build(tmp_path, recorder())
    run("members", path, ASCEND_VENC_BACKEND=path, ASCEND_VENC_SIM_STRICT="0")


# ---- without V2, and with V1 -----------------------------------------------------------------------------------------


@pytest.mark.sim_only
def test_runtime_without_v2_says_so(run, tmp_path):
    lib = fake_cann.install(tmp_path)
    run("without_v2", ASCEND_VENC_BACKEND=lib / "libascendcl.so")


@pytest.mark.sim_only
@pytest.mark.parametrize("chip", ["Ascend310", "Ascend910B1"])
def test_chip_without_v2_says_so_and_the_process_can_still_use_v1(run, chip):
    run("chip_without_v2", chip, ASCEND_VENC_SIM_SOC=chip)
