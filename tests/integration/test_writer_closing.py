# SPDX-License-Identifier: Apache-2.0
"""`VideoWriter` closed by a signal handler or another thread, or interrupted, while it opens."""

import os
import signal
import threading
import time
from fractions import Fraction

import numpy as np
import pytest

import ascend_venc as venc
from ascend_venc import opencv
from ascend_venc.media import LiveOutput, writer
from ascend_venc.media.delivery import Delivery
from helpers import interface, pictures, simulator
from helpers.waiting import eventually, is_inside, outcome, started

av = pytest.importorskip("av", reason="PyAV is not installed")

RGB = pictures.rgb(160, 144)


class Asked:
    """A picture during whose reading something else happens: what a signal's handler does comes at such a moment."""

    def __init__(self, happens):
        self.happens = happens

    def __array__(self, *arguments, **options):
        self.happens()
        return RGB


def film_at(tmp_path, backend, **options):
    return venc.VideoWriter(tmp_path / "film.mkv", backend=backend, **options)


def count(tmp_path):
    return len(pictures.decoded(tmp_path / "film.mkv")[0])


def calling(monkeypatch, moment, function):
    """Let a function be called at a moment of opening, once."""
    left = [function]

    def happen():
        if left:
            left.pop()()

    if moment == "device":
        real = writer.capabilities
        monkeypatch.setattr(writer, "capabilities", lambda *args, **options: (happen(), real(*args, **options))[1])

    class Opening(Delivery):
        def __init__(self, *arguments):
            if moment == "before the thread":
                happen()
            super().__init__(*arguments)
            if moment == "behind the thread":
                happen()

    class Known(type(writer._deliveries)):
        def __setitem__(self, delivery, value):
            if moment == "almost":
                happen()
            super().__setitem__(delivery, value)

    monkeypatch.setattr(writer, "Delivery", Opening)
    monkeypatch.setattr(writer, "_deliveries", Known())
    return Asked(happen) if moment == "picture" else RGB


MOMENTS = ["picture", "device", "before the thread", "behind the thread", "almost"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_writer_closed_during_its_first_write_says_so_and_leaves_nothing(tmp_path, backend, monkeypatch, moment):
    film = film_at(tmp_path, backend)
    picture = calling(monkeypatch, moment, film.close)
    with pytest.raises(venc.MediaError, match="the writer is closed"):
        film.write(picture)
    assert film.closed and (film.frames, film.encoder, film.size) == (0, None, None)
    film.close()
    with pytest.raises(venc.MediaError, match="the writer is closed"):
        film.write(RGB)
    assert list(tmp_path.iterdir()) == []


def test_writer_closed_during_a_later_write_keeps_what_was_written(tmp_path, backend):
    film = film_at(tmp_path, backend)
    film.write(RGB)
    with pytest.raises(venc.MediaError, match="the writer is closed"):
        film.write(Asked(film.close))
    assert film.closed and film.frames == count(tmp_path) == 1


def test_first_write_of_another_thread_finds_a_writer_that_is_being_closed_closed(tmp_path, backend):
    film = film_at(tmp_path, backend)
    (target,) = film._targets
    end, said = target.close, []

    def write():
        try:
            film.write(RGB)
        except venc.MediaError as error:
            said.append(str(error))

    def close():  # a handler's `write`, and one of another thread
        write()
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
        end()

    target.close = close
    film.close()
    assert said == ["the writer is closed"] * 2
    assert film.closed and film.encoder is None and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, KeyboardInterrupt])
@pytest.mark.parametrize("moment", MOMENTS[1:])
def test_failure_while_the_film_is_opened_costs_the_picture_alone(tmp_path, backend, monkeypatch, moment, error):
    def fail():
        raise error("can't start new thread")

    film = film_at(tmp_path, backend)
    picture = calling(monkeypatch, moment, fail)
    with pytest.raises(error):
        film.write(picture)
    assert (film.frames, film.encoder, film.size) == (0, None, None)
    for _ in range(3):
        film.write(RGB)
    film.close()
    assert film.frames == count(tmp_path) == 3


def interrupted(close):
    """Call `close`, and send SIGINT once it sleeps."""
    main = threading.current_thread()
    ended = []

    def interrupt():
        while not ended:
            if is_inside(main, "wait"):
                os.kill(os.getpid(), signal.SIGINT)
                return
            time.sleep(0.005)

    thread = started(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            close()
    finally:
        ended.append(True)
        outcome(thread)


@pytest.mark.sim_only
@pytest.mark.parametrize("end", ["close", "release"])
def test_close_that_is_interrupted_can_be_called_again(tmp_path, backend, end):
    """A real Ctrl-C: CPython 3.11 takes the thread that it was waiting for as ended."""
    path = tmp_path / "film.mkv"
    if end == "close":
        film = film_at(tmp_path, backend)
    else:
        film = opencv.VideoWriter(str(path), 0, 25, (160, 144), backend=backend)
    picture = np.zeros((144, 160, 3), np.uint8)
    with simulator.shared().options(stall=1):
        for _ in range(3):
            film.write(picture)
        inner = film if end == "close" else film._inner
        interrupted(getattr(film, end))
        assert not inner.closed
    getattr(film, end)()
    assert inner.closed and count(tmp_path) == 3


def test_end_of_a_live_output_that_is_interrupted_is_waited_for_when_it_is_called_again(monkeypatch):
    gate = threading.Event()
    monkeypatch.setattr(LiveOutput, "_run", lambda output: gate.wait())
    output = LiveOutput("udp://127.0.0.1:1", timeout=60)
    output.start(Fraction(1, 25))
    interrupted(output.close)
    again = started(output.close)
    eventually(lambda: is_inside(again, "wait"))
    assert not output._cut, "it has its time still"
    gate.set()
    assert outcome(again) is None


@pytest.mark.sim_only
def test_close_beside_a_write_whose_send_never_returns_is_bounded(tmp_path, backend):
    film = film_at(tmp_path, backend, timeout=0.5)
    picture = np.zeros((144, 160, 3), np.uint8)
    film.write(picture)
    with simulator.shared().hanging_call(interface.SEND) as wait_hung:
        writing = started(film.write, picture)
        wait_hung()
        with pytest.raises(venc.AclTimeoutError):
            film.close()
        assert film.closed and writing.is_alive()
    outcome(writing)
    eventually(lambda: film.encoder.stats.in_flight == 0)
    film.encoder._close(warn=False)


@pytest.mark.sim_only
def test_child_of_fork_that_writes_is_told_although_a_thread_of_the_parent_s_is_writing(tmp_path, backend):
    """That one has the writer's lock, which nobody in the child gives back."""
    picture = np.zeros((144, 160, 3), np.uint8)
    with film_at(tmp_path, backend) as film:
        film.write(picture)
        with simulator.shared().hanging_call(interface.SEND) as wait_hung:
            writing = started(film.write, picture)
            wait_hung()
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                try:
                    film.write(picture)
                except venc.ForkedProcessError:
                    os._exit(0)
                finally:
                    os._exit(1)
            assert os.waitpid(child, 0)[1] == 0
        outcome(writing)


@pytest.mark.sim_only
def test_writers_that_are_open_at_the_end_of_the_process_are_waited_for_together(tmp_path, backend, monkeypatch):
    monkeypatch.setattr(writer, "_AT_EXIT", 0.5)
    with simulator.shared().options(stall=1):
        films = [venc.VideoWriter(tmp_path / f"{number}.mkv", backend=backend) for number in range(3)]
        for film in films:
            film.write(np.zeros((144, 160, 3), np.uint8))
        waits, join = [], Delivery.join
        monkeypatch.setattr(Delivery, "join", lambda each, timeout: waits.append(timeout) or join(each, timeout))
        writer._finish_open_writers()
        monkeypatch.setattr(Delivery, "join", join)
        assert len(waits) == 3 and 0 < waits[0] <= 0.5 and waits[1:] == [0.0, 0.0]
    for film in films:
        film.close()


@pytest.mark.parametrize("again", [False, True])
def test_live_output_whose_thread_cannot_start_can_be_closed_and_started(monkeypatch, again):
    def fail(thread):
        raise RuntimeError("can't start new thread")

    output = LiveOutput("udp://127.0.0.1:1")
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError, match="new thread"):
            output.start(Fraction(1))
    if again:
        output.start(Fraction(1))
    output.close()
