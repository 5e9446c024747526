# SPDX-License-Identifier: Apache-2.0
"""Chunks: arguments and manifests that cannot be are said, executors that never work end, and Ctrl-C ends all."""

import concurrent.futures
import contextlib
import json
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

import ascend_venc as venc
from ascend_venc import chunked
from helpers import clips, processes
from helpers.waiting import eventually

pytest.importorskip("av", reason="PyAV is not installed: the sources are read by it")

pytestmark = pytest.mark.sim_only

NAN = float("nan")


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "film.y4m"
    path.write_bytes(clips.y4m(frames=24))
    return path


def plan_of(path, chunk=8, **settings):
    return chunked.plan(path, codec="h264", gop=4, chunk=chunk, **settings)


class Never(concurrent.futures.Executor):
    """No chunk is to come this far."""

    def submit(self, *arguments, **options):
        raise AssertionError("a chunk was sent to a worker")


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"workers": NAN}, TypeError, "workers must be an int, got float"),
        ({"workers": "2"}, TypeError, "workers must be an int, got str"),
        ({"workers": None}, TypeError, "workers must be an int, got NoneType"),
        ({"workers": 1.5}, TypeError, "workers must be an int, got float"),
        ({"workers": 0}, venc.InvalidArgumentError, "workers is 0; it must be 1 or more"),
        ({"retries": NAN}, TypeError, "retries must be an int, got float"),
        ({"retries": "2"}, TypeError, "retries must be an int, got str"),
        ({"retries": -1}, venc.InvalidArgumentError, "retries is -1; it must be 0 or more"),
        ({"devices": 0}, TypeError, r"devices must be an iterable of ints, such as \[0, 1\], got int"),
        ({"devices": 1}, TypeError, "devices must be an iterable of ints"),
        ({"devices": "0"}, TypeError, "each of devices must be an int, got str"),
        ({"devices": [True]}, TypeError, "each of devices must be an int, got bool"),
        ({"devices": [0, -1]}, venc.InvalidArgumentError, "each of devices is -1; it must be 0 or more"),
        ({"devices": iter(())}, venc.InvalidArgumentError, "devices is empty"),
        ({"executor": None}, TypeError, "executor must be a concurrent.futures.Executor or a function .* NoneType"),
        ({"executor": lambda: None}, TypeError, "executor is a function that must return .* got NoneType"),
    ],
)
def test_what_cannot_be_is_said_before_a_chunk_is_encoded(film, tmp_path, backend, options, error, words):
    with pytest.raises(error, match=words):
        chunked.encode_all(plan_of(film), tmp_path, **{"executor": Never(), "workers": 1, **options}, backend=backend)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"actors": "2"}, TypeError, "actors must be an int, got str"),
        ({"actors": NAN}, TypeError, "actors must be an int, got float"),
        ({"actors": 0}, venc.InvalidArgumentError, "actors is 0; it must be 1 or more"),
        ({"retries": -1}, venc.InvalidArgumentError, "retries is -1; it must be 0 or more"),
        ({"start_timeout": "1"}, TypeError, "start_timeout must be a number of seconds, got str"),
        ({"start_timeout": NAN}, venc.InvalidArgumentError, "start_timeout is nan; give a finite number of seconds"),
        ({"start_timeout": -1}, venc.InvalidArgumentError, "start_timeout is -1; it must be 0 s or more"),
        ({"shared": "no"}, TypeError, "shared must be a bool, got str"),
        ({"resources": "NPU"}, TypeError, "resources must be a mapping"),
    ],
)
def test_what_cannot_be_is_said_before_ray_is_asked(film, tmp_path, monkeypatch, options, error, words):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(error, match=words):
        chunked.encode_on_ray(plan_of(film), tmp_path, **{"actors": 1, **options})


def test_channels_of_a_node_and_processes_of_a_pool_are_whole_numbers(backend):
    with pytest.raises(TypeError, match="channels must be an int, got str"):
        chunked.resources_of_this_node(backend=backend, channels="4")
    with pytest.raises(venc.InvalidArgumentError, match="channels is 0; it must be 1 or more"):
        chunked.resources_of_this_node(backend=backend, channels=0)
    with pytest.raises(TypeError, match="workers must be an int, got float"):
        chunked.process_pool(NAN)


def test_devices_may_be_any_iterable(film, tmp_path, backend):
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        results = chunked.encode_all(
            plan_of(film), tmp_path, executor, workers=2, devices=(number for number in [0]), backend=backend
        )
    assert sum(result.frames for result in results) == 24


class Broken(concurrent.futures.Executor):
    """Takes so many chunks, which it encodes at once, and then none."""

    def __init__(self, takes=0):
        self.takes = takes
        self.shut = 0

    def submit(self, function, *arguments, **options):
        if not self.takes:
            raise concurrent.futures.BrokenExecutor("on purpose")
        self.takes -= 1
        future = concurrent.futures.Future()
        future.set_result(function(*arguments, **options))
        return future

    def shutdown(self, wait=True, **options):
        self.shut += 1


@pytest.mark.parametrize("retries", [0, 2])
@pytest.mark.parametrize("same", [True, False])
def test_executors_that_are_broken_from_the_beginning_are_tried_as_often_as_was_asked_for(
    film, tmp_path, backend, retries, same
):
    made = []

    def make():
        assert len(made) <= retries, "it goes on for ever"
        made.append(made[0] if made and same else Broken())
        return made[-1]

    with pytest.raises(concurrent.futures.BrokenExecutor, match="on purpose"):
        chunked.encode_all(plan_of(film), tmp_path, make, workers=2, retries=retries, backend=backend)
    assert len(made) == retries + 1 and all(executor.shut for executor in made)


def test_executor_that_breaks_behind_a_chunk_costs_the_next_one_no_try(film, tmp_path, backend):
    made = []

    def make():
        made.append(Broken(takes=1))
        return made[-1]

    results = chunked.encode_all(plan_of(film), tmp_path, make, workers=1, retries=0, backend=backend)
    assert sum(result.frames for result in results) == 24 and len(made) == 3


INTERRUPTED = """
import sys
from ascend_venc import chunked
plan = chunked.load_plan(sys.argv[1])
chunked.encode_all(plan, sys.argv[1], lambda: chunked.process_pool(2), workers=2, backend=sys.argv[2])
"""


def test_ctrl_c_ends_the_processes_of_a_pool_and_the_program_with_them(film, tmp_path, backend):
    """A device that takes an hour for a frame."""
    plan_of(film).save(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, tmp_path, backend],
        env=processes.environment(ASCEND_VENC_SIM_OPTIONS="encode_time_us=3600000000"),
        stderr=subprocess.PIPE,
        text=True,
    )
    with contextlib.ExitStack() as stack:
        stack.callback(process.communicate)
        stack.callback(process.kill)
        eventually(lambda: len(list(tmp_path.glob(".ascend-venc-*.part"))) == 2, 60)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)  # the workers have its standard error, too
    assert process.returncode == -signal.SIGINT
    assert errors.splitlines()[-1] == "KeyboardInterrupt", errors


def test_plan_depends_on_what_settings_mean_and_not_on_how_they_are_written(film, tmp_path):
    plan = plan_of(film, rc="cbr")
    assert plan_of(film, rc="CBR") == plan_of(film, rc=venc.RateControl("cbr")) == plan
    raw = tmp_path / "film.nv12"
    raw.write_bytes(b"".join(clips.nv12(128, 128, index) for index in range(4)))
    plan = plan_of(raw, size=(128, 128), fps=25)
    assert plan_of(raw, size=[128, 128], fps=25.0) == plan_of(raw, size=(128, 128), fps=Fraction(25)) == plan


@pytest.mark.parametrize("limits", [{"max_qp": 40, "min_qp": 20}, {"qp": (30, 32)}])
def test_plan_with_limits_of_rate_control_is_read_back_as_it_was(film, tmp_path, limits):
    rc = venc.RateControl("fixqp" if "qp" in limits else "cbr", **limits)
    plan = plan_of(film, rc=rc)
    plan.save(tmp_path)
    assert chunked.load_plan(tmp_path) == plan and dict(plan.chunks[0].settings)["rc"] == rc
    assert plan.chunks[0].name != plan_of(film, rc="cbr").chunks[0].name


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"scenes": 5}, TypeError, "scenes must be an iterable of ints, got int"),
        ({"scenes": [1.5]}, TypeError, "each of scenes must be an int, got float"),
        ({"size": 5}, TypeError, "size must be a pair of ints, width and height, got 5"),
        ({"rc": 5}, TypeError, "rc must be a str or a RateControl, got int"),
    ],
)
def test_plan_says_what_is_no_setting(film, options, error, words):
    with pytest.raises(error, match=words):
        plan_of(film, **options)


def test_what_is_no_manifest_is_said(film, tmp_path):
    manifest = json.loads(plan_of(film).to_json())
    path = tmp_path / "plan.json"
    for damage in (
        Path(clips.CLIP).read_bytes(),
        b"[" * 100_000,
        json.dumps({**manifest, "time_base": "1/0"}).encode(),
        json.dumps({**manifest, "time_base": float("inf")}).encode(),
        json.dumps({**manifest, "time_base": "0"}).encode(),
        json.dumps({**manifest, "fps": "-25"}).encode(),
        json.dumps({**manifest, "settings": {"codec": "h264"}}).encode(),
        json.dumps({**manifest, "settings": {**manifest["settings"], "rc": {"mode": "none"}}}).encode(),
    ):
        path.write_bytes(damage)
        with pytest.raises(chunked.ChunkError, match=r"plan\.json: this is not a manifest of chunks") as raised:
            chunked.load_plan(path)
        assert len(str(raised.value)) < len(str(path)) + 200, "the whole file is in the text"


@pytest.mark.parametrize("damage", [{"time_base": "1/0"}, {"time_base": float("inf")}, {"sizes": ["1", "2"]}])
def test_record_that_is_damaged_is_no_chunk(film, tmp_path, backend, damage):
    chunk = plan_of(film).chunks[0]
    chunked.encode_chunk(chunk, tmp_path, backend=backend)
    path = tmp_path / f"{chunk.name}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **damage}))
    assert chunked.find_result(tmp_path, chunk) is None
    assert chunked.encode_chunk(chunk, tmp_path, backend=backend).frames == 8
