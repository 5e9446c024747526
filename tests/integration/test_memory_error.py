# SPDX-License-Identifier: Apache-2.0
"""Python's memory runs out at each place in turn: nothing that was taken is lost, and nothing is left."""

import asyncio
import contextlib
import gc
import itertools
import sys
import weakref
from concurrent.futures import Future

import numpy as np
import pytest

import ascend_venc as venc
from ascend_venc import acl, aio, bitstream
from ascend_venc._lowlevel import core
from ascend_venc._lowlevel.stream import let_go_of_ended, orphans
from helpers import dlpack, interface, live, memory_faults, simulator
from helpers.waiting import eventually

_testcapi = pytest.importorskip("_testcapi", reason="this Python has no _testcapi, which makes allocations fail")
pytestmark = [
    pytest.mark.sim_only,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def python_outlives_it():
    memory_faults.need()


@pytest.fixture(scope="module", autouse=True)
def facade():
    """The facade, by which device memory is had here, on the same device as the encoders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASCEND_VENC_BACKEND", "sim")
        assert acl.init() in (0, 100002)
    yield
    assert acl.finalize() in (0, 100037)


@pytest.fixture(autouse=True)
def what_cannot_be_raised_is_not_kept(monkeypatch):
    """pytest keeps it to the end of the test, with the frames that it passed, and so with their tokens."""
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: None)


FRAME = bytes(128 * 192)
BEFORE = 300  # frames: the numbers of what comes with those after them are none that Python has ready
PLACES = 60  # allocations, of the few that each call makes


MESSAGES = [bitstream.FrameTime(1), bitstream.UserDataUnregistered(bytes(16), bytes(2000)), bitstream.RecoveryPoint()]


class Token:
    pass


class Tensor:
    """Host memory that has no buffer protocol."""

    def __init__(self, array):
        self.__dlpack__, self.__dlpack_device__ = array.__dlpack__, array.__dlpack_device__


PAIR = (FRAME[: 128 * 128], FRAME[128 * 128 :])
ARRAY_AS_TENSOR = Tensor(np.zeros((192, 128), np.uint8))


def refused(call, *args, **kwargs):
    with contextlib.suppress(venc.InvalidArgumentError):
        call(*args, **kwargs)


CALLS = {
    "submit": lambda enc, token: enc.submit(FRAME, token=token),
    "submit with sei": lambda enc, token: enc.submit(FRAME, token=token, sei=MESSAGES),
    "submit_async": lambda enc, token: enc.submit_async(FRAME, token=token),
    "submit_async borrowed": lambda enc, token: enc.submit_async(FRAME, token=token, copy=False),
    "submit_many": lambda enc, token: enc.submit_many([FRAME] * 3, tokens=[token] * 3),
    "submit_many with sei": lambda enc, token: enc.submit_many([FRAME] * 2, tokens=[token] * 2, sei=[MESSAGES] * 2),
    "encode": lambda enc, token: enc.encode(FRAME, token=token),
    "acquire": lambda enc, token: enc.acquire(),
    "flush": lambda enc, token: enc.flush(),
    "receive": lambda enc, token: enc.receive(),
    "receive_many": lambda enc, token: enc.receive_many(4),
    "receive_many of several": lambda enc, token: enc.receive_many(4, at_least=2),
    "reconfigure": lambda enc, token: enc.reconfigure(bitrate=500_000),
    "stats": lambda enc, token: enc.stats,
    "encode_iter": lambda enc, token: next(enc.encode_iter([FRAME])),
    "encode_iter of several": lambda enc, token: next(enc.encode_iter([FRAME] * 2)),
    "submit_many of tensors": lambda enc, token: enc.submit_many([ARRAY_AS_TENSOR] * 2, tokens=[token] * 2),
    "submit a pair": lambda enc, token: enc.submit(PAIR, token=token),
    "submit a tensor": lambda enc, token: enc.submit(ARRAY_AS_TENSOR, token=token),
    "submit what is no frame": lambda enc, token: refused(enc.submit, FRAME[1:], token=token),
    "prometheus": lambda enc, token: venc.stats.prometheus(),
    "another encoder": lambda enc, token: venc.Encoder(128, 128, codec="h264", backend="sim").close(),
}


RGB = bytes(128 * 128 * 3)
WITH = {  # what `encode` does not send by its one native call, and what the encoder is made with
    "encode what is converted": (RGB, {"pixel_format": "rgb24"}),
    "encode with on_full error": (FRAME, {"on_full": "error", "depth": 12}),
    "encode with drop_newest": (FRAME, {"on_full": "drop_newest", "depth": 12}),
    "encode with drop_oldest": (FRAME, {"on_full": "drop_oldest", "depth": 12}),
    "encode where there is no room": (FRAME, {"max_queued": 6}),
    "encode_iter of what is converted": (RGB, {"pixel_format": "rgb24"}),
}
CALLS |= {
    name: (lambda enc, token, frame=frame: next(enc.encode_iter([frame])))
    if name.startswith("encode_iter")
    else (lambda enc, token, frame=frame: enc.encode(frame, token=token))
    for name, (frame, _) in WITH.items()
}


def packets_of(result):
    if isinstance(result, venc.Packet):
        return [result]
    return [each for each in result if isinstance(each, venc.Packet)] if isinstance(result, list) else []


def without_memory(call, enc, token, place):
    """(result, MemoryError that it raised or None) of a call whose allocation number `place` fails."""
    _testcapi.set_nomemory(place, place + 1)
    try:
        return call(enc, token), None
    except MemoryError as error:
        return None, error.with_traceback(None)
    finally:
        _testcapi.remove_mem_hooks()


SENT_OR_NOT = (
    "submit", "submit with sei", "submit_async", "submit_async borrowed", "submit a pair", "submit a tensor", "encode",
)  # fmt: skip


def test_there_are_a_thousand_places():
    assert len(CALLS) * PLACES >= 1000


@pytest.mark.parametrize("name", CALLS)
def test_no_packet_token_or_memory_is_lost(name, request):
    call, struck = CALLS[name], 0
    frame, options = WITH.get(name, (FRAME, {}))
    # Of those behind the first twelve, where most are, one of three in the suite; all with --every=1.
    step = min(3, request.config.getoption("--every"))
    places = [place for place in range(PLACES) if place < 12 or place % step == 0]
    before = live.settled()
    with simulator.shared().options(null_codec=500):
        for place in places:
            tokens = [Token() for _ in range(6)]
            late = Token()
            alive = weakref.WeakSet([*tokens, late])
            enc = venc.Encoder(
                128, 128, codec="h264", backend="sim", **{"depth": 4, "queue": 8, "timeout": 10, **options}
            )
            for _ in range(BEFORE // 6):
                enc.submit_many([frame] * 6, tokens=[1] * 6)
                enc.flush()
            for token in tokens:
                enc.submit(frame, token=token)
            eventually(lambda enc=enc: enc.stats.in_flight == 0)
            token = None
            result, error = without_memory(call, enc, late, place)
            failed = error is not None
            struck += failed
            if isinstance(result, venc.Frame):
                result.release()
            received = packets_of(result)
            received += enc.flush()

            stats = enc.stats
            assert len(received) == stats.encoded - BEFORE, (place, failed)
            indices = [packet.frame_index for packet in received]
            assert indices[:6] == list(range(BEFORE, BEFORE + 6)), (place, failed)
            assert [packet.token for packet in received[:6]] == tokens, (place, failed)
            if failed and name in SENT_OR_NOT:
                assert stats.submitted == BEFORE + 6, (place, name)  # an exception means that it was not sent
            if failed and name.startswith("submit_many"):
                assert stats.submitted == BEFORE + 6 + getattr(error, "accepted", 0), (place, name)
            enc.close()
            del enc, result, error, received, tokens, late
            if place % 8 == 0:
                gc.collect()
                eventually(lambda alive=alive: not alive and gc.collect() is not None)
    gc.collect()
    assert struck > 0 or name.startswith("submit"), "no allocation failed at all"
    eventually(lambda: core.live()["TICKET"] == 0)
    live.assert_unchanged(before)


def test_encode_of_asyncio_loses_no_packet_or_token():
    async def encode(place):
        async with aio.Encoder(128, 128, codec="h264", backend="sim", depth=4, queue=8, timeout=10) as enc:
            tokens = [object() for _ in range(7)]
            for token in tokens[:6]:
                await enc.submit(FRAME, token=token)
            eventually(lambda: enc.stats.in_flight == 0)
            packets, failed = [], False
            _testcapi.set_nomemory(place, place + 1)
            try:
                packets = await enc.encode(FRAME, token=tokens[6])  # without the loop: there is room
            except MemoryError:
                failed = True
            finally:
                _testcapi.remove_mem_hooks()
            packets += await enc.flush()
            assert [packet.token for packet in packets] == tokens[: enc.stats.submitted], place
            return failed

    with simulator.shared().options(null_codec=500):
        assert any([asyncio.run(encode(place)) for place in range(3 * PLACES)])


@pytest.mark.parametrize("name", ["submit", "submit_async", "submit_many", "encode"])
def test_exception_for_want_of_memory_means_not_sent_where_the_oldest_frame_makes_room(name):
    struck = 0
    with simulator.shared().options(null_codec=200):
        for place in range(24):
            with venc.Encoder(128, 128, codec="h264", backend="sim", depth=1, queue=1, on_full="drop_oldest") as enc:
                for _ in range(BEFORE):
                    enc.submit(FRAME, token=1)
                    enc.flush()
                with simulator.shared().options(stall=1):
                    for _ in range(4):
                        enc.submit(FRAME, token=Token())
                    before = enc.stats.submitted
                    error = without_memory(CALLS[name], enc, Token(), place)[1]
                    if error is not None:
                        struck += 1
                        assert enc.stats.submitted == before + getattr(error, "accepted", 0), place
                    error = None
                enc.flush()
    assert struck > 0
    eventually(lambda: core.live()["TICKET"] == 0)


def test_what_came_with_frames_that_were_written_is_let_go_though_memory_runs_out(tmp_path):
    def submit(enc, token):  # with messages: from Python 3.14 on nothing else of it asks for memory
        return enc.submit(FRAME, sei=MESSAGES)

    struck = 0
    with (
        simulator.shared().options(null_codec=500),
        open(tmp_path / "film.h264", "wb") as file,
        venc.Encoder(128, 128, codec="h264", backend="sim", sink=file, queue=8, timeout=10) as enc,
    ):
        for _ in range(BEFORE // 12):
            enc.submit_many([FRAME] * 12, tokens=[1] * 12)
        for place in range(40):
            tokens = [Token() for _ in range(4)]
            alive = weakref.WeakSet(tokens)
            enc.submit_many([FRAME] * 4, tokens=tokens)
            del tokens
            eventually(lambda: enc.stats.written == enc.stats.submitted)
            struck += without_memory(submit, enc, None, place)[1] is not None
            enc.submit(FRAME)
            eventually(lambda alive=alive: not alive)
    assert struck > 2


def test_packet_of_a_future_waits_for_who_takes_it_next_where_memory_runs_out():
    struck = 0
    with (
        simulator.shared().options(null_codec=500),
        venc.Encoder(128, 128, codec="h264", backend="sim", depth=4, timeout=10) as enc,
    ):
        channel = enc._open_channel()  # without the thread that serves Futures
        for place in range(12):
            future, token = Future(), Token()
            channel.submit(FRAME, None, False, token, 10, future)
            eventually(lambda: enc.stats.in_flight == 0)
            taken = []
            error = without_memory(lambda enc, token, taken=taken: channel.take_promised(taken), enc, None, place)[1]
            struck += error is not None
            assert bool(taken) is not bool(error), place
            assert bool(error) is channel.take_promised(taken)
            ((packet, failure, whose),) = taken
            assert (packet.token, failure, whose) == (token, None, future)
    assert struck > 0


CLOSING_PLACES = 48  # of Channel.close, on a device that has not given its frames back


def close_at_once(enc, token):
    with contextlib.suppress(venc.AclTimeoutError):
        enc._channel.close(0)


def test_close_without_memory_keeps_owners_for_the_device_and_cancels_each_future():
    struck = 0
    with dlpack.DeviceMemory(128 * 192, FRAME) as memory:
        for place in range(CLOSING_PLACES):
            owners, tokens, futures = ([kind() for _ in range(3)] for kind in (Token, Token, Future))
            alive, seen = weakref.WeakSet(owners), weakref.WeakSet(tokens)
            enc = venc.Encoder(128, 128, codec="h264", backend="sim", depth=8, timeout=10)
            with simulator.shared().options(stall=1):
                channel = enc._open_channel()  # without the thread that serves Futures
                for owner, token, future in zip(owners, tokens, futures):
                    picture = venc.DeviceFrame(memory.address, 128, 128, owner=owner)
                    channel.submit(picture, None, False, token, 10, future)
                    channel.submit(FRAME, None, False, token, 10)
                del owner, owners, token, tokens, picture
                struck += without_memory(close_at_once, enc, None, place)[1] is not None
                gc.collect()
                assert len(alive) == 3, place
                close_at_once(enc, None)
                assert [future.cancelled() for future in futures] == [True] * 3, place
                assert len(seen) == 0, place
            enc.close()
            assert len(alive) == core.live()["TICKET"] == 0, place
    assert struck > 2


@pytest.mark.parametrize("code", [507018, interface.of(507046, 0xA0088012)])
def test_memory_of_a_refused_frame_is_kept_for_the_device_though_memory_runs_out(code):
    sim = simulator.shared()
    struck = 0

    def submit(enc, picture):
        with contextlib.suppress(venc.AclError, SystemError):  # CPython's own, where memory runs out in `re`
            enc.submit(picture)

    with dlpack.DeviceMemory(128 * 192, FRAME) as memory:
        for place in range(CLOSING_PLACES):
            with venc.Encoder(128, 128, codec="h264", backend="sim", depth=2, timeout=10) as enc:
                with sim.options(stall=1), sim.failing_call(interface.SEND, code=interface.fault(code), after=True):
                    owner = Token()
                    alive = weakref.WeakSet([owner])
                    picture = venc.DeviceFrame(memory.address, 128, 128, owner=owner)
                    del owner
                    struck += without_memory(submit, enc, picture, place)[1] is not None
                    del picture
                    gc.collect()
                    let_go_of_ended()
                    sent = enc.stats.refused_sends + enc.stats.in_flight
                    assert len(alive) == sent == core.live()["TICKET"], place
                enc.flush()
            let_go_of_ended()
            assert len(alive) == core.live()["TICKET"] == 0, place
    assert struck > 2


def test_encoder_that_is_dropped_without_memory_keeps_owners_for_the_device_and_leaves_each_future():
    left = set()

    def is_over():
        gc.collect()
        let_go_of_ended()
        while not orphans.empty():
            left.add(orphans.get())
        return not alive and left == futures and core.live()["TICKET"] == 0

    with dlpack.DeviceMemory(128 * 192, FRAME) as memory:
        for place in range(24):
            left.clear()
            owners, futures = [Token() for _ in range(3)], {Future() for _ in range(3)}
            alive = weakref.WeakSet(owners)
            held = [venc.Encoder(128, 128, codec="h264", backend="sim", depth=8, timeout=10)]
            with simulator.shared().options(stall=1):
                for owner, future in zip(owners, futures):
                    held[0].submit(venc.DeviceFrame(memory.address, 128, 128, owner=owner))
                    held[0]._open_channel().submit(FRAME, None, False, None, 10, future)
                del owner, owners
                without_memory(lambda held, token: held.clear(), held, None, place)
                gc.collect()
                assert len(alive) == 3, place
            eventually(is_over)


GROUP_CALLS = {  # of the group, and an iterator over its packets
    "receive_many": lambda group, packets: group.receive_many(9),
    "receive_many of few": lambda group, packets: group.receive_many(3),
    "receive": lambda group, packets: group.receive(),
    "packets": lambda group, packets: next(packets),
    "leave packets": lambda group, packets: packets.close(),
    "add": lambda group, packets: group.add(128, 128, codec="h264").close(),
}


@pytest.mark.parametrize("name", GROUP_CALLS)
def test_group_loses_no_packet_token_key_or_encoder(name, request):
    call, struck = GROUP_CALLS[name], 0
    step = min(3, request.config.getoption("--every"))
    places = [place for place in range(PLACES) if place < 40 or place % step == 0]
    before = live.settled()
    with simulator.shared().options(null_codec=500):
        for place in places:
            with venc.EncoderGroup(backend="sim") as group:
                group._keys = itertools.count(1000)  # numbers that Python has not ready
                cameras = [group.add(128, 128, codec="h264", queue=8, timeout=10) for _ in range(3)]
                tokens = {camera: [Token() for _ in range(2)] for camera in cameras}
                alive = weakref.WeakSet(itertools.chain(*tokens.values()))
                for camera in cameras:
                    for token in tokens[camera]:
                        camera.submit(FRAME, token=token)
                eventually(lambda cameras=cameras: all(camera.stats.ready == 2 for camera in cameras))
                packets = group.packets()
                received = [next(packets)] if name == "leave packets" else []
                result, error = without_memory(call, group, packets, place)
                struck += error is not None
                packets.close()
                assert group.encoders == cameras, place
                received += [result] if isinstance(result, tuple) else result or []
                with contextlib.suppress(venc.AclTimeoutError):  # no `drain`, which would mark each key
                    while True:
                        received += group.receive_many(timeout=0)
                for camera in cameras:
                    found = [packet.token for encoder, packet in received if encoder is camera]
                    assert found == tokens[camera], (place, error)
                assert sorted(group._by_key) + group._free_keys in ([1000, 1001, 1002], [1000, 1001, 1002, 1003])
            del group, cameras, camera, tokens, token, packets, result, error, received, found
            if place % 8 == 0:
                gc.collect()
                eventually(lambda alive=alive: not alive and gc.collect() is not None)
    gc.collect()
    assert struck > 1
    eventually(lambda: core.live()["TICKET"] == 0)
    live.assert_unchanged(before)


def test_wait_set_lists_keys_again_for_whose_list_there_is_no_memory():
    """The thread that serves Futures has no other word of them."""
    struck = 0
    with venc.EncoderGroup(backend="sim") as group:
        group._keys = itertools.count(1000)  # numbers that Python has not ready
        for _ in range(3):
            group.add(128, 128, codec="h264")
        waitset, keys = group._waitset, sorted(group._by_key)
        waitset.take(0)
        for place in range(12):
            for key in keys:
                waitset.signal(key)
            found, error = without_memory(lambda waitset, _: waitset.take(0), waitset, None, place)
            struck += error is not None
            assert sorted(waitset.take(0) if found is None else found) == keys, place
    assert struck > 2


def submit_to_each(group, what):
    pairs, tokens = what
    return group.submit_many(pairs, tokens=tokens)


@pytest.mark.parametrize("kind", ["plain", "two that go by themselves"])
def test_group_says_which_frames_it_has_sent(kind, request):
    struck = 0
    step = min(3, request.config.getoption("--every"))
    before = live.settled()
    with simulator.shared().options(null_codec=500):
        for place in (place for place in range(PLACES) if place < 30 or place % step == 0):
            with venc.EncoderGroup(backend="sim") as group:
                options = (
                    [{}, {}, {}, {}]
                    if kind == "plain"
                    else [{}, {"pixel_format": "rgb24"}, {}, {"on_full": "drop_oldest"}]
                )
                cameras = [group.add(128, 128, codec="h264", queue=8, timeout=10, **more) for more in options]
                frames = [RGB if "pixel_format" in more else FRAME for more in options]
                for camera, frame in zip(cameras, frames):
                    for _ in range(BEFORE // 6):
                        camera.submit_many([frame] * 6)
                        camera.flush()
                tokens = [Token() for _ in cameras]
                alive, pairs = weakref.WeakSet(tokens), list(zip(cameras, frames))
                numbers, error = without_memory(submit_to_each, group, (pairs, tokens), place)
                struck += error is not None
                if error is not None:
                    numbers = getattr(error, "numbers", [None] * 4)
                assert [camera.stats.submitted for camera in cameras] == [
                    BEFORE + (number is not None) for number in numbers
                ], place
                for camera, token, number in zip(cameras, tokens, numbers):
                    expected = [] if number is None else [(number, token)]
                    assert [(packet.frame_index, packet.token) for packet in camera.flush()] == expected, place
            del group, cameras, camera, pairs, tokens, token, error, expected
            if place % 8 == 0:
                gc.collect()
                eventually(lambda alive=alive: not alive and gc.collect() is not None)
    assert struck > 10
    eventually(lambda: core.live()["TICKET"] == 0)
    live.assert_unchanged(before)
