# SPDX-License-Identifier: Apache-2.0
"""Who owns what: pictures, packets, tokens and buffers, whatever other threads do and whatever fails."""

import copy
import gc
import pickle
import queue
import sys
import threading
import weakref

import numpy as np
import pytest

import ascend_venc as venc
from ascend_venc import aio, media, opencv
from ascend_venc._lowlevel import core, stream
from helpers import interface, simulator, video
from helpers.waiting import eventually, is_inside, outcome, started, until_futures_are_served

pytestmark = pytest.mark.sim_only

FRAME = bytes(128 * 192)
RET_CODE = 0  # ACLSIM_FRAME_RET_CODE


class Token:
    pass


def encoder(width=128, height=128, **options):
    return venc.Encoder(width, height, **{"codec": "h264", "backend": "sim", "timeout": 10, **options})


def close_unread(enc):
    enc._close(warn=False)


# ---- a frame is checked against the channel that gets it ----

SHAPES = {
    "nv12": lambda width, height: (height * 3 // 2, width),
    "i420": lambda width, height: (height * 3 // 2, width),
    "rgb24": lambda width, height: (height, width, 3),
}
WAYS = {
    "submit": lambda enc, frame: enc.submit(frame),
    "submit_async": lambda enc, frame: enc.submit_async(frame),
    "submit_async borrowed": lambda enc, frame: enc.submit_async(frame, copy=False),
    "submit_many": lambda enc, frame: enc.submit_many([frame]),
    "encode": lambda enc, frame: enc.encode(frame),
    "encode_future": lambda enc, frame: enc.encode_future(frame),
}


@pytest.mark.parametrize(("before", "after"), [(128, 256), (512, 128)])
@pytest.mark.parametrize("pixel_format", SHAPES)
@pytest.mark.parametrize("way", WAYS)
def test_frame_that_waits_while_the_size_changes_is_refused(way, pixel_format, before, after):
    """It is neither read beyond its end nor written beyond the new picture buffer."""
    frame = np.zeros(SHAPES[pixel_format](128, before), np.uint8)
    with simulator.shared().options(stall=1, null_codec=100):
        enc = encoder(height=before, pixel_format=pixel_format, depth=1, queue=0, timeout=20)
        assert WAYS[way](enc, frame) is not None  # room for no other
        thread = started(WAYS[way], enc, frame)
        name = "submit" if way == "encode_future" else way.partition(" ")[0]
        eventually(lambda: is_inside(thread, name))
        first = enc.reconfigure(height=after)
        error = outcome(thread)
    assert first == 1
    assert isinstance(error, venc.InvalidArgumentError), error
    shape = ", ".join(map(str, frame.shape))
    assert f"({shape})" in str(error)
    assert f"128 x {after}" in str(error)
    right = np.zeros(SHAPES[pixel_format](128, after), np.uint8)
    assert enc.submit(right) == 1
    enc.flush()
    close_unread(enc)


def test_frame_whose_own_code_changes_the_size_is_refused():
    """DLPack runs Python code between the look at the encoder and the look at the picture."""

    class Tensor:
        array = np.zeros((192, 128), np.uint8)

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

        def __dlpack__(self, **options):
            if enc.config.height == 128:
                enc.reconfigure(height=256)
            return self.array.__dlpack__(**options)

    enc = encoder()
    with pytest.raises(venc.InvalidArgumentError, match=r"\(384, 128\)"):
        enc.submit(Tensor())
    assert enc.stats.submitted == 0
    enc.close()


# ---- frames that are filled in place ----


def produce_and_consume(count):
    """One thread fills frame.array and drops it a frame later, another submits: as documented."""
    with simulator.shared().options(null_codec=200):
        enc = encoder(depth=4, queue=8)
        frames = queue.Queue(2)

        def produce():
            array = None
            for number in range(count):
                frame = enc.acquire()
                array = frame.array  # the view of the frame before is dropped here, perhaps while it is submitted
                array[:] = number & 255
                frames.put(frame)
                frame = None
            frames.put(None)
            return array is not None

        thread = started(produce)
        received = 0
        while (frame := frames.get(timeout=10)) is not None:
            enc.submit(frame)
            frame = None
            received += len(enc._channel.drain())
        assert outcome(thread) is True
        received += len(enc.flush())
        assert received == count
        enc.close()


def test_views_are_dropped_while_another_thread_submits():
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        produce_and_consume(3000)
    finally:
        sys.setswitchinterval(switch)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_views_are_dropped_while_another_thread_submits_long():
    for _ in range(10):
        produce_and_consume(60_000)


def test_frame_that_another_thread_is_submitting_can_neither_be_released_nor_submitted():
    sim = simulator.shared()
    enc = encoder(depth=2)
    frame = enc.acquire()
    view = frame.array
    view[:] = 80
    with sim.hanging_call(interface.SEND) as wait_hung:
        thread = started(enc.submit, frame)
        wait_hung()
        with pytest.raises(ValueError, match="submitted by another thread"):
            frame.release()
        with pytest.raises(ValueError, match="was submitted"):
            enc.submit(frame)
        with pytest.raises(ValueError, match="was submitted"):
            frame.array  # noqa: B018
        del view  # the last view goes while the device takes the frame
    assert outcome(thread) == 0
    frame.release()
    assert [packet.frame_index for packet in enc.flush()] == [0]
    enc.close()


def test_of_two_threads_that_submit_one_frame_one_is_refused():
    sim = simulator.shared()
    enc = encoder(depth=4)
    for _ in range(50):
        frame = enc.acquire()
        together = threading.Barrier(2)

        def submit(frame=frame, together=together):
            together.wait(10)
            return enc.submit(frame)

        results = [outcome(thread) for thread in [started(submit), started(submit)]]
        assert sorted(type(result).__name__ for result in results) == ["InvalidArgumentError", "int"], results
        enc.flush()
    assert enc.stats.submitted == 50
    assert sim.reports() == []
    enc.close()


# ---- tokens and owners ----


def drop_plain(enc, tokens):
    for token in tokens:
        enc.submit(FRAME, token=token)


def drop_after_reconfigure(enc, tokens):
    drop_plain(enc, tokens)
    enc.reconfigure(bitrate=500_000)


def drop_after_a_failed_frame(enc, tokens):
    with simulator.shared().failing_frame(RET_CODE, value=5):
        drop_plain(enc, tokens)
        with pytest.raises(venc.FrameError):
            enc.flush()


def drop_beside_a_future(enc, tokens):
    drop_plain(enc, tokens[:3])
    enc.encode_future(FRAME, token=tokens[3]).result(10)


def drop_queued(enc, tokens):
    for token in tokens:
        enc.submit_async(FRAME, token=token, copy=False)


def drop_batch(enc, tokens):
    enc.submit_many([FRAME] * 4, tokens=tokens)


def drop_futures(enc, tokens):
    with simulator.shared().options(stall=1):
        futures = [enc.encode_future(FRAME, token=token) for token in tokens]
    assert len(futures) == 4


@pytest.mark.parametrize(
    "drop",
    [
        drop_plain,
        drop_after_reconfigure,
        drop_after_a_failed_frame,
        drop_beside_a_future,
        drop_queued,
        drop_batch,
        drop_futures,
    ],
)
def test_tokens_of_packets_that_nobody_took_are_let_go(drop):
    tokens = [Token() for _ in range(4)]
    alive = weakref.WeakSet(tokens)
    enc = encoder(depth=4)
    drop(enc, tokens)
    close_unread(enc)
    del tokens, enc
    stream.let_go_of_ended()  # as each call of any encoder does
    until_futures_are_served()
    gc.collect()
    assert len(alive) == 0
    assert core.live()["TICKET"] == 0


def test_tokens_of_frames_that_were_dropped_are_let_go_while_the_encoder_is_open():
    tokens = [Token() for _ in range(6)]
    alive = weakref.WeakSet(tokens)
    with encoder(depth=1, queue=1, on_full="drop_oldest") as enc:
        with simulator.shared().options(stall=1):
            drop_plain(enc, tokens)
        del tokens
        assert len(enc.flush()) == 2
        assert sum(enc.stats.dropped.values()) == 4
        gc.collect()
        assert len(alive) == 0
        assert core.live()["TICKET"] == 0


def leave_packets(enc):
    loop = enc.packets()
    next(loop)
    close_unread(enc)
    loop.close()


def leave_encode_iter(enc):
    loop = enc.encode_iter([FRAME])
    next(loop)
    close_unread(enc)
    loop.close()


def leave_encode(enc):
    """A signal's handler may close it there; here a frame's own code does."""

    class Picture:
        def __dlpack_device__(self):
            return (1, 0)

        def __dlpack__(self, **options):
            close_unread(enc)
            return np.zeros((192, 128), np.uint8).__dlpack__(**options)

    with pytest.raises(venc.EncoderClosedError):
        enc.encode(Picture())


@pytest.mark.parametrize("leave", [leave_packets, leave_encode_iter, leave_encode])
def test_packets_that_come_back_to_a_closed_encoder_are_dropped(leave):
    tokens = [Token() for _ in range(4)]
    alive = weakref.WeakSet(tokens)
    enc = encoder(depth=4)
    drop_plain(enc, tokens)
    eventually(lambda: enc.stats.ready == 4)
    leave(enc)
    del tokens
    gc.collect()
    assert len(alive) == 0
    assert core.live()["TICKET"] == core.live()["PACKET"] == 0


def test_group_that_is_closed_in_its_loop_drops_what_the_loop_did_not_come_to():
    tokens = [Token() for _ in range(4)]
    alive = weakref.WeakSet(tokens)
    group = venc.EncoderGroup(backend="sim")
    enc = group.add(128, 128, depth=4)
    drop_plain(enc, tokens)
    eventually(lambda: enc.stats.ready == 4)
    loop = group.packets()
    next(loop)
    group._close(warn=False)
    loop.close()
    del tokens
    gc.collect()
    assert len(alive) == 0
    assert core.live()["TICKET"] == core.live()["PACKET"] == 0


def test_token_that_leads_to_its_encoder_is_collected():
    class Camera:
        def __init__(self):
            self.encoder = encoder()
            self.encoder.submit(FRAME, token=self)
            if next(kinds):
                self.encoder.encode_future(FRAME, token=self)

    kinds = iter([False, True] * 4)
    cameras = weakref.WeakSet(Camera() for _ in range(8))
    with pytest.warns(ResourceWarning, match="unclosed"):
        eventually(lambda: gc.collect() is not None and not cameras)  # a Future that is pending is served first


class Memory(bytearray):
    """Picture memory that can be resized only while nobody has a buffer of it, and that is seen to be let go."""

    def is_free(self):
        try:
            self.append(0)
            self.pop()
        except BufferError:
            return False
        return True


REFUSED_SENDS = {
    "submit": lambda enc, frame, token: enc.submit(frame, token=token),
    "encode": lambda enc, frame, token: enc.encode(frame, token=token),
    "submit_many": lambda enc, frame, token: enc.submit_many([frame], tokens=[token]),
    "encode_future": lambda enc, frame, token: enc.encode_future(frame, token=token),
}


@pytest.mark.parametrize("code", [507018, interface.INVALID])
@pytest.mark.parametrize("way", REFUSED_SENDS)
def test_refused_send_lets_token_and_memory_go(way, code):
    enc = encoder(depth=2)
    enc.encode(FRAME)
    enc.flush()
    memory, token = Memory(FRAME), Token()
    seen = weakref.ref(token)
    references = sys.getrefcount(memory)
    with (
        simulator.shared().failing_call(interface.SEND, code=interface.fault(code)),
        pytest.raises(venc.AclError) as caught,
    ):
        REFUSED_SENDS[way](enc, memory, token)
    assert caught.value.code == code
    del caught, token
    gc.collect()
    assert seen() is None
    assert core.live()["TICKET"] == 0
    assert memory.is_free()
    assert sys.getrefcount(memory) == references
    close_unread(enc)


def test_queued_frame_that_is_refused_gives_token_and_memory_back():
    enc = encoder(depth=2)
    memory, token = Memory(FRAME), Token()
    seen = weakref.ref(token)
    with simulator.shared().failing_call(interface.SEND, code=507018):
        enc.submit_async(memory, token=token, copy=False)
        with pytest.raises(venc.FrameError) as caught:
            enc.receive(10)
    assert caught.value.token is token
    del caught, token
    gc.collect()
    assert seen() is None
    assert memory.is_free()
    close_unread(enc)


PLANE, HALF = 128 * 128, 128 * 64
BAD_FRAMES = {
    "size": ("nv12", lambda memory: memory(PLANE)),
    "shape": ("nv12", lambda memory: memoryview(memory(PLANE * 2)).cast("B", (256, 128))),
    "three dimensions": ("nv12", lambda memory: memoryview(memory(192 * 128)).cast("B", (192, 64, 2))),
    "items": ("nv12", lambda memory: memoryview(memory(192 * 128)).cast("H")),
    "strides": ("nv12", lambda memory: np.frombuffer(memory(192 * 256), np.uint8).reshape(192, 256)[:, ::2]),
    "second plane": ("nv12", lambda memory: (memory(PLANE), memory(HALF - 2))),
    "second plane's items": ("nv12", lambda memory: (memory(PLANE), memoryview(memory(HALF)).cast("H"))),
    "second plane is none": ("nv12", lambda memory: (memory(PLANE), 5)),
    "first plane": ("nv12", lambda memory: (memory(PLANE + 2), memory(HALF))),
    "converted size": ("rgb24", lambda memory: memory(PLANE)),
    "third plane": ("i420", lambda memory: (memory(PLANE), memory(PLANE // 4), memory(7))),
    "third plane is none": ("i420", lambda memory: (memory(PLANE), memory(PLANE // 4), None)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", BAD_FRAMES)
def test_refused_frame_is_not_held_on_to(kind, way):
    pixel_format, make = BAD_FRAMES[kind]
    memories = []

    def memory(size):
        memories.append(Memory(size))
        return memories[-1]

    enc = encoder(pixel_format=pixel_format)
    with pytest.raises((TypeError, venc.InvalidArgumentError)):
        WAYS[way](enc, make(memory))
    gc.collect()
    assert [each.is_free() for each in memories] == [True] * len(memories)
    assert enc.stats.submitted == 0
    enc.close()


def test_frames_in_front_of_a_refused_one_are_not_held_on_to():
    memories = [Memory(FRAME), Memory(FRAME), Memory(100)]
    enc = encoder()
    with pytest.raises(venc.InvalidArgumentError):
        enc.submit_many(memories)
    assert [each.is_free() for each in memories] == [True] * 3
    close_unread(enc)


OWNERS = {
    "EncoderGroup": lambda path: venc.EncoderGroup(backend="sim"),
    "aio.Encoder": lambda path: aio.Encoder(128, 128, codec="h264", backend="sim"),
    "Muxer": lambda path: media.Muxer(path / "film.mp4", codec="h264", fps=25),
    "VideoWriter": lambda path: media.VideoWriter(path / "film.mp4", fps=25, backend="sim"),
    "AnnexBWriter": lambda path: media.AnnexBWriter(path / "film.h264"),
    "open_video": lambda path: media.open_video(video.CLIP),
    "opencv.VideoWriter": lambda path: opencv.VideoWriter(str(path / "film.mp4"), "avc1", 25, (128, 128)),
}


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
@pytest.mark.parametrize("name", OWNERS)
def test_what_owns_a_channel_or_a_file_cannot_be_copied(name, duplicate, tmp_path, monkeypatch):
    monkeypatch.setenv("ASCEND_VENC_BACKEND", "sim")
    one = OWNERS[name](tmp_path)
    with pytest.raises(TypeError, match=f"make another {type(one).__name__}$"):
        duplicate(one)
    if name != "aio.Encoder":  # which opens on its loop
        one.release() if name.startswith("opencv") else one.close()


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_encoder_cannot_be_copied(duplicate):
    enc = encoder()
    with pytest.raises(TypeError, match="make another Encoder"):
        duplicate(enc)
    gc.collect()
    assert len(enc.encode(FRAME) + enc.flush()) == 1
    enc.close()
