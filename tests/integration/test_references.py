# SPDX-License-Identifier: Apache-2.0
"""No call keeps a reference that it does not have to keep, where it succeeds and where it fails.

Each is made again and again. What it was given has as many references as before (`sys.getrefcount`), and Python's
memory as many blocks (`sys.getallocatedblocks`): one that leaks an object leaks a block each time.
"""

import contextlib
import copy
import functools
import gc
import io
import pickle
import sys

import numpy as np
import pytest

import ascend_venc as venc
from ascend_venc import bitstream
from ascend_venc._lowlevel.convert import Converter
from ascend_venc._lowlevel.stream import let_go_of_ended
from helpers import interface, simulator
from helpers.waiting import until_futures_are_served

pytestmark = pytest.mark.sim_only

ROUNDS = 40
FRAME = bytes(128 * 192)
SEI = [bitstream.FrameTime(7)]


class Token:
    pass


class Numpy(np.ndarray):
    """An array that has attributes, so that each is an object of its own."""


@pytest.fixture
def enc():
    with venc.Encoder(128, 128, codec="h264", backend="sim", depth=4, timeout=20, gop=8) as encoder:
        yield encoder


@pytest.fixture
def ended():
    encoder = venc.Encoder(128, 128, codec="h264", backend="sim")
    encoder.close()
    return encoder


def fails(error, call):
    """A call that raises this; its traceback is let go of."""

    @functools.wraps(call)
    def failing(*args):
        with pytest.raises(error):
            call(*args)

    return failing


def size_of_memory(call):
    """Blocks; of calls that open an encoder, objects: they look for files, and the interpreter keeps their names."""
    return len(gc.get_objects()) if call in OPENING else sys.getallocatedblocks()


def growth_of(call, *given):
    """(references to each of what is given, blocks of memory) that so many calls add."""
    for _ in range(5):
        call(*given)
    until_futures_are_served()
    gc.collect()
    references = list(map(sys.getrefcount, given))
    before = size_of_memory(call)
    for _ in range(ROUNDS):
        call(*given)
    until_futures_are_served()
    let_go_of_ended()
    gc.collect()
    blocks = size_of_memory(call) - before
    return [now - many for now, many in zip(map(sys.getrefcount, given), references)], blocks


def assert_nothing_is_kept(call, *given):
    """A cache that fills, or a list that grows, adds blocks until it is full; a leak adds them each time."""
    blocks = ROUNDS
    for _ in range(12):  # Python keeps up to 100 floats, and as many of others, for later
        references, blocks = growth_of(call, *given)
        assert references == [0] * len(given)
        if blocks < ROUNDS // 2:
            return
    raise AssertionError(f"{blocks} blocks more behind {ROUNDS} calls, again and again")


# ---- encoding ----


def encode(enc, frame, token):
    enc.encode(frame, token=token, sei=SEI)
    enc.flush()


def submit(enc, frame, token):
    enc.submit(frame, token=token, pts=5 + enc.stats.submitted)
    enc.receive()


def submit_many(enc, frame, token):
    enc.submit_many([frame, frame], tokens=[token, token])
    enc.flush()


def submit_async(enc, frame, token):
    enc.submit_async(frame, token=token)
    enc.receive()


def submit_borrowed(enc, frame, token):
    enc.submit_async(frame, token=token, copy=False)
    enc.receive()


def future(enc, frame, token):
    enc.encode_future(frame, token=token).result(20)


def acquire(enc, frame, token):
    held = enc.acquire()
    held.array[:] = frame.reshape(192, 128)
    enc.submit(held, token=token)
    enc.receive()


def acquire_and_release(enc, frame, token):
    view = memoryview(enc.acquire())
    view.obj.array  # noqa: B018
    view.release()


def encode_iter(enc, frame, token):
    for _ in enc.encode_iter([frame, frame]):
        pass


def encode_iter_left(enc, frame, token):
    for _ in enc.encode_iter([frame, frame]):
        break
    enc.flush()


def views(enc, frame, token):
    enc.submit(frame, token=token)
    (packet,) = enc.flush()
    found = packet.nal_units()
    with pytest.raises(BufferError):
        packet.release()
    del found
    packet.release()


def stats(enc, frame, token):
    enc.stats  # noqa: B018
    repr(enc)
    enc.config  # noqa: B018


def failed_frame(enc, frame, token):
    with simulator.shared().failing_frame(simulator.FRAME_RET_CODE, value=5):
        enc.submit(frame, token=token)
        with pytest.raises(venc.FrameError):
            enc.flush()


def refused_send(enc, frame, token):
    refusing = {"code": interface.fault(interface.INVALID), "persistent": True}
    with simulator.shared().failing_call(interface.SEND, **refusing):
        with pytest.raises(venc.AclError):
            enc.submit(frame, token=token)
        with pytest.raises(venc.AclError):
            enc.encode(frame, token=token)


def bad_frames(enc, frame, token):
    for call in (enc.encode, enc.submit, enc.submit_async, enc.encode_future):
        for bad in (frame[1:], token, 7, (frame, token)):
            with pytest.raises((TypeError, ValueError)):
                call(bad, token=token)
    with pytest.raises((TypeError, ValueError)):
        enc.submit_many([frame, token], tokens=[token, token])
    enc.flush()


def bad_arguments(enc, frame, token):
    for words in ({"pts": token}, {"pts": 1 << 80}, {"sei": token}, {"sei": [token]}):
        with pytest.raises((TypeError, ValueError)):
            enc.submit(frame, token=token, **words)
    with pytest.raises((TypeError, ValueError)):
        enc.receive(token)
    with pytest.raises(venc.EncoderDrained):
        enc.receive(0)
    with pytest.raises((TypeError, ValueError)):
        enc.reconfigure(bitrate=token)


def ring(enc, frame, token):
    with venc.Encoder(128, 128, codec="h264", backend="sim", queue=1, depth=1, on_full="drop_oldest") as other:
        with simulator.shared().options(stall=1):
            for _ in range(4):
                other.submit(frame, token=token)
        other.flush()


def open_and_leave(enc, frame, token):
    with contextlib.suppress(venc.VencError), venc.Encoder(128, 128, codec="h264", backend="sim") as other:
        other.submit(frame, token=token)
        other._close(warn=False)


def group(enc, frame, token):
    with venc.EncoderGroup(backend="sim") as many:
        other = many.add(128, 128, codec="h264")
        other.submit(frame, token=token)
        many.receive(20)


OPENING = [ring, open_and_leave, group]
CALLS = [
    encode, submit, submit_many, submit_async, submit_borrowed, future, acquire, acquire_and_release, encode_iter,
    encode_iter_left, views, stats, failed_frame, refused_send, bad_frames, bad_arguments, *OPENING,
]  # fmt: skip


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_encoder(enc, call):
    frame = np.frombuffer(FRAME, np.uint8).copy().view(Numpy)
    assert_nothing_is_kept(call, enc, frame, Token())


# ---- what is closed, packets, and what stands alone ----


def use_of_what_is_closed(ended, token):
    for call in (lambda: ended.encode(FRAME, token=token), lambda: ended.submit(FRAME), ended.receive, ended.acquire):
        with pytest.raises(venc.EncoderClosedError):
            call()


def test_closed_encoder(ended):
    assert_nothing_is_kept(use_of_what_is_closed, ended, Token())


def packet_facts(packet):
    for name in ("size", "pts", "time", "time_base", "kind", "codec", "token", "latency", "mean_qp", "device_kind"):
        getattr(packet, name)
    len(packet), bytes(packet), repr(packet)


PACKET_CALLS = {
    "facts": packet_facts,
    "copy": copy.copy,
    "pickle": lambda packet: pickle.loads(pickle.dumps(packet)),
    "write": lambda packet: io.BytesIO().write(packet),
    "sei": lambda packet: packet.sei(),
    "nal units": lambda packet: packet.nal_units(),
    "description": lambda packet: bitstream.nal_units(bytes(packet)),
    "damaged": fails((TypeError, ValueError), lambda packet: bitstream.nal_units(packet.pts)),
    "no attribute": fails(AttributeError, lambda packet: setattr(packet, "pts", packet)),
}


@pytest.mark.parametrize("name", PACKET_CALLS)
def test_packet(enc, name):
    (packet,) = enc.encode(FRAME, key_frame=True, sei=SEI) + enc.flush()
    assert_nothing_is_kept(PACKET_CALLS[name], packet)


def convert(picture, into):
    one = Converter("i420", 128, 128)
    one.convert(picture, into)
    for wrong in ((picture[1:], into), (picture, into[1:]), (into, picture.tobytes()), (7, into)):
        with pytest.raises((TypeError, ValueError, BufferError)):
            one.convert(*wrong)


def test_converter():
    assert_nothing_is_kept(convert, np.zeros((192, 128), np.uint8), np.zeros((192, 128), np.uint8))
