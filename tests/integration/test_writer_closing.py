# SPDX-License-Identifier: Apache-2.0
"""`VideoWriter` closed by a signal handler or another thread, or interrupted, while it opens."""

import threading
from fractions import Fraction

import numpy as np
import pytest

import ascend_venc as venc
from ascend_venc.media import LiveOutput, writer
from ascend_venc.media.delivery import Delivery
from helpers import pictures

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
        def add(self, delivery):
            if moment == "almost":
                happen()
            super().add(delivery)

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


def test_close_that_is_interrupted_can_be_called_again(tmp_path, backend, monkeypatch):
    film = film_at(tmp_path, backend)
    film.write(np.zeros((144, 160, 3), np.uint8))
    with monkeypatch.context() as patched:

        def interrupted(*_):
            raise KeyboardInterrupt

        patched.setattr(Delivery, "join", interrupted)
        with pytest.raises(KeyboardInterrupt):
            film.close()
    assert not film.closed
    film.close()
    assert film.closed and film.frames == count(tmp_path) == 1


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
