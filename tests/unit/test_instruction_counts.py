# SPDX-License-Identifier: Apache-2.0
"""What one frame costs the engine in instructions of its own, against the committed figure: a change of speed that no
timed test could see on a shared machine.

Another compiler makes other code, and each distribution's has defaults of its own (what it hardens), so the figures are
kept by machine, distribution and compiler. After a change that is meant:
    AVENC_RECORD_COUNTS=1 python -m pytest tests/unit/test_instruction_counts.py
"""

import json
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ascend_venc._lowlevel import core
from helpers import c_calls, callgrind

ROOT = Path(__file__).resolve().parents[2]
FIGURES = ROOT / "tests" / "data" / "instruction_counts.json"
TOLERANCE = 0.03
FEW, MANY = 80, 400  # frames; their difference has no start and no end in it
PATHS = ("submit", "batch", "enqueue", "acquire")
# How often these run depends on how threads take turns: the program asks for the counters until a batch is done, the
# report thread goes round once for one callback or for several, who waits is woken once for one packet or for several,
# and a thread of the task queue finds its next task at once or sleeps before.
NOT_COUNTED = {
    "avenc_channel_stats_get", "report_thread",
    "avi_report_batch", "avi_stream_signal_locked", "avi_stream_signal_attached_locked",
    "avi_stream_enough_locked", "avi_waitset_signal", "avi_sink_wake_locked",
    "avi_channel_retain", "avi_channel_drop", "avi_channel_drop_locked",
    "avi_channel_free_slot_locked", "avenc_frame_release",
    "worker", "want_worker_and_unlock", "run_locked", "avi_task_post", "avi_channel_post",
    "pop_sleeper_locked", "sleep_until_locked", "avi_sleep_while", "avi_wake", "avi_now_ns",
}  # fmt: skip

pytestmark = [pytest.mark.project, pytest.mark.sim_only, pytest.mark.v1_only("the committed figures are of its port")]


def engine():
    return Path(core.simulated_device_path()).with_name("libavenc.so")


def build_of(library):
    """Machine and compiler of a library, e.g. "x86_64 Debian gcc 12"; skips where its build is not the ordinary one."""
    code = library.read_bytes()
    for mark, reason in ((b"\0__asan_", "a sanitizer"), (b"\0__tsan_", "a sanitizer"), (b".debug_info", "AVENC_DEBUG")):
        if mark in code:
            pytest.skip(f"{library.name} was built with {reason}")
    gcc = re.search(rb"GCC: \(([^\0 )]+)[^\0)]*\) (\d+)\.", code)
    clang = re.search(rb"\0(?:([^\0 ]+) )?clang version (\d+)\.", code)
    if gcc is None and clang is None:
        pytest.skip(f"{library.name} does not say which compiler made it (section .comment)")
    distribution, version = ((found or b"-").decode() for found in (gcc or clang).groups())
    return f"{platform.machine()} {distribution} {'gcc' if gcc else 'clang'} {version}"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed (apt-get install valgrind)")
    built = tmp_path_factory.mktemp("count") / "engine_frame"
    library = engine()
    source = Path(__file__).resolve().parent / "native" / "engine_frame.c"
    command = ["gcc", "-std=gnu11", "-O1", "-pthread", f"-I{ROOT}/csrc/include", str(source), str(library)]
    subprocess.run([*command, f"-Wl,-rpath,{library.parent}", "-o", str(built)], check=True)
    return built


def count_per_frame(program, path, out):
    """Return {function: instructions per frame}."""
    env = {"ASCEND_VENC_SIM_OPTIONS": "null_codec=2000", "ASCEND_VENC_SIM_STRICT": "0"}
    few, many = (
        callgrind.instructions([program, core.simulated_device_path(), path, frames], engine(), out, env)
        for frames in (FEW, MANY)
    )
    return {name: (many[name] - few[name]) / (MANY - FEW) for name in many if name not in NOT_COUNTED}


@pytest.mark.parametrize("path", PATHS)
def test_a_frame_costs_the_engine_as_many_instructions_as_committed(program, tmp_path, path):
    build = build_of(engine())
    figures = json.loads(FIGURES.read_text())
    counts = count_per_frame(program, path, tmp_path / "callgrind.out")
    total = sum(counts.values())
    assert counts["trampoline"] > 0 and counts["avi_slot_prepare"] > 0, "the count has a frame's whole way in it"
    if os.environ.get("AVENC_RECORD_COUNTS") == "1":
        figures.setdefault(build, {})[path] = round(total)
        FIGURES.write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")
        return
    if build not in figures:
        pytest.skip(f"no figures for {build} (here {path}: {total:.0f}); AVENC_RECORD_COUNTS=1 records them")
    committed = figures[build][path]
    most = ", ".join(f"{name} {count:.0f}" for name, count in sorted(counts.items(), key=lambda item: -item[1])[:12])
    assert abs(total - committed) <= TOLERANCE * committed, f"{path}: {total:.0f}, committed {committed}; {most}"


def test_what_is_not_counted_are_functions_of_the_engine():
    files = [path for path in (ROOT / "csrc").rglob("*.[ch]") if "sim" not in path.parts]
    units = c_calls.read_units(ROOT / "csrc", files).values()
    assert NOT_COUNTED - set().union(*(unit.defined for unit in units)) == set()


def test_callgrind_output_is_summed_by_function_without_callees():
    text = """\
events: Ir

ob=(1) /lib-of-a/a.so
fn=(1) one
10 5
+3 7
cfn=(2) two
calls=4 20
11 900
12 1
ob=(2) /lib-of-b/b.so
fn=(2)
20 900
ob=(1)
fn=(3) three
* 2
"""
    assert callgrind.parse(text.splitlines(), "/lib-of-a/a.so") == {"one": 13, "three": 2}
