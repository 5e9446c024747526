# SPDX-License-Identifier: Apache-2.0
"""`reconfigure` on DVPP V2, which changes bit rate, frame rate, GOP and rate control without another channel."""

import subprocess
import sys

import pytest

from helpers import memory_faults, processes, v2_live

pytestmark = pytest.mark.sim_only

GET_PARAM, SET_ATTR, SET_PARAM = v2_live.CHANGES
BOTH = pytest.mark.parametrize("codec", ["h264", "h265"])


def run(*arguments, **env):
    done = subprocess.run(
        [sys.executable, v2_live.__file__, *map(str, arguments)],
        env=processes.environment(ASCEND_VENC_SIM_STRICT="1", **env),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr


@BOTH
def test_hundred_changes_in_a_thousand_frames(codec):
    run("hundred_changes", codec)


@BOTH
def test_rate_of_a_second_follows(codec):
    run("rate_follows", codec)


@BOTH
@pytest.mark.parametrize("idle", [0, 1])
def test_change_applies_from_the_number_that_comes_back(codec, idle):
    run("first_frame", codec, ASCEND_VENC_SIM_OPTIONS=f"v2_change_idle={idle}")


def test_settings_that_are_over_are_let_go_of():
    run("settings_over")


def test_modes_and_gop_change_live_and_a_size_does_not():
    run("modes")


@BOTH
@pytest.mark.parametrize("program", ["rate_controls", "limits", "described"])
def test_rate_control(program, codec):
    run(program, codec)


def test_device_that_refuses_the_limits_refuses_the_encoder():
    run("limits_refused")


@pytest.mark.parametrize("kind", ["counted", "given"])
def test_frames_behind_a_pending_change_are_taken(kind):
    run("frames_behind", kind)


@pytest.mark.parametrize("change", ["rate", "mode"])
@pytest.mark.parametrize(
    ("function", "after"),
    [(GET_PARAM, "before"), (SET_ATTR, "before"), (SET_ATTR, "after"), (SET_PARAM, "before"), (SET_PARAM, "after")],
)
def test_refused_change_is_written_back(function, after, change):
    run("refused", function, after, change)


@pytest.mark.parametrize("function", [SET_ATTR, SET_PARAM])
def test_change_that_cannot_be_written_back_takes_another_channel(function):
    run("refused_twice", function)


@pytest.mark.parametrize("function", [SET_ATTR, SET_PARAM])
def test_change_given_up_that_cannot_be_written_back_stops_the_frames(function):
    run("given_up", function)


def test_channel_that_cannot_be_replaced_stops_the_frames():
    run("cannot_be_replaced")


def test_signal_before_the_channel_is_replaced_stops_the_frames():
    run("interrupted_in_between")


@pytest.mark.parametrize("end", ["go on", "close"])
@pytest.mark.parametrize("function", v2_live.CHANGES)
def test_call_that_never_returns_costs_the_timeout(function, end):
    run("hangs", function, end)


@pytest.mark.parametrize("program", ["interrupted", "stalled", "stalled_together", "lost"])
def test_wait_for_the_device_ends(program):
    run(program)


@pytest.mark.parametrize("what", ["reconfigure", "submit", "close"])
def test_signal_handler_may_use_the_encoder(what):
    run("handler", what)


@pytest.mark.parametrize("what", ["submit", "reconfigure", "size", "close"])
def test_beside_other_threads(what):
    run("beside", what)


def test_no_memory():
    memory_faults.need()
    run("memory", 240)
