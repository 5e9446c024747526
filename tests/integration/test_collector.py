# SPDX-License-Identifier: Apache-2.0
"""The garbage collector and what owns frames' memory: it lives while the device reads, and no longer than that."""

import gc
import weakref

import numpy as np
import pytest

import ascend_venc as venc
from ascend_venc import acl
from ascend_venc._lowlevel import core, stream
from helpers import dlpack, live, simulator
from helpers.waiting import eventually

pytestmark = [pytest.mark.sim_only, pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")]

FRAME = bytes(128 * 192)


def encoder(**options):
    return venc.Encoder(128, 128, **{"codec": "h264", "backend": "sim", "timeout": 10, **options})


@pytest.fixture(scope="module", autouse=True)
def facade():
    """The facade, by which device memory is had here, on the same device as the encoders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASCEND_VENC_BACKEND", "sim")
        assert acl.init() in (0, 100002)
    yield
    assert acl.finalize() in (0, 100037)


class Camera:
    """Has an encoder, and memory that leads back to it. `ends` is told when it is let go of."""

    def __init__(self, ends, **options):
        self.itself, self.ends, self.memory = self, ends, bytearray(FRAME)
        self.enc = encoder(**options)

    @property
    def __array_interface__(self):
        array = np.frombuffer(self.memory, np.uint8)
        return {"shape": (192, 128), "typestr": "|u1", "data": (array.ctypes.data, False), "version": 3}


class Buffer(bytearray):
    """A buffer whose references the collector sees, as it does not of an array of NumPy."""


class CameraWithFinalizer(Camera):
    def __del__(self):
        self.ends.append("__del__")


def owned(camera, memory):
    camera.enc.submit(venc.DeviceFrame(memory.address, 128, 128, owner=camera))


def promised(camera, memory):
    camera.enc.encode_future(venc.DeviceFrame(memory.address, 128, 128, owner=camera)).camera = camera


def borrowed_array(camera, memory):
    array = np.asarray(camera)
    assert array.base is not None
    camera.enc.submit_async(array, copy=False)


def borrowed_buffer(camera, memory):
    buffer = Buffer(FRAME)
    buffer.camera = camera
    camera.enc.submit_async(buffer, copy=False)


def borrowed_pair(camera, memory):
    buffers = Buffer(FRAME[: 128 * 128]), Buffer(FRAME[128 * 128 :])
    for buffer in buffers:
        buffer.camera = camera
    camera.enc.submit_async(buffers, copy=False)


def sent_while_the_collector_runs(camera, memory):
    frame = venc.DeviceFrame(memory.address, 128, 128, owner=camera)
    camera.enc._open_channel().submit(frame, None, False, None, 10, None, None, lambda *_: gc.collect())


WAYS = [owned, promised, sent_while_the_collector_runs, borrowed_array, borrowed_buffer, borrowed_pair]


@pytest.mark.parametrize("kind", [Camera, CameraWithFinalizer])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_owner_that_leads_to_its_encoder_lives_as_long_as_the_device_reads_and_is_collected_then(way, kind):
    ends, before = [], live.settled()
    with dlpack.DeviceMemory(128 * 192, FRAME) as memory:
        with simulator.shared().options(stall=1):
            camera = kind(ends)
            finalizer = weakref.finalize(camera, ends.append, "finalize")
            way(camera, memory)
            assert camera.enc.stats.in_flight == 1
            del camera
            for generation in (0, 1, 2):
                gc.collect(generation)
            assert ends == []
            assert finalizer.alive
        eventually(lambda: gc.collect() is not None and not finalizer.alive)
    assert sorted(ends) == sorted(["finalize"] + ["__del__"] * (kind is CameraWithFinalizer))
    live.assert_unchanged(before)


class Owner:
    pass


def test_owner_of_a_frame_that_the_device_has_given_back_is_let_go_by_the_collector_before_its_packet_is_taken():
    owners = [Owner() for _ in range(3)]
    alive = weakref.WeakSet(owners)
    with dlpack.DeviceMemory(128 * 192, FRAME) as memory, encoder(depth=4) as enc:
        with simulator.shared().options(stall=1):
            for number, owner in enumerate(owners):
                enc.submit(venc.DeviceFrame(memory.address, 128, 128, owner=owner), token=number)
            tensor = dlpack.Tensor(memory.address, (192, 128))
            enc.submit(tensor, token=3)
            del owner, owners
            gc.collect()
            assert (len(alive), tensor.deleted) == (3, [])
        eventually(lambda: enc.stats.in_flight == 0)
        gc.collect()
        assert (len(alive), len(tensor.deleted)) == (0, 1)
        assert [packet.token for packet in enc.flush()] == [0, 1, 2, 3]


def test_owner_whose_end_sends_another_frame_while_the_collector_is_about_to_look():
    class Last:
        def __del__(self):
            enc.submit(venc.DeviceFrame(memory.address, 128, 128, owner=waiting[0]), token="another")

    waiting = [Owner()]
    alive = weakref.ref(waiting[0])
    with dlpack.DeviceMemory(128 * 192, FRAME) as memory, encoder(depth=4) as enc:
        enc.submit(venc.DeviceFrame(memory.address, 128, 128, owner=Last()), token="first")
        eventually(lambda: enc.stats.in_flight == 0)
        with simulator.shared().options(stall=1):
            gc.collect()
            assert enc.stats.in_flight == 1
            waiting.clear()
            gc.collect()
            assert alive() is not None
        assert [packet.token for packet in enc.flush()] == ["first", "another"]
        assert alive() is None


def test_program_that_removes_what_is_called_before_a_collection_loses_no_owner():
    owner = Owner()
    alive = weakref.ref(owner)
    calls, gc.callbacks[:] = gc.callbacks[:], []
    try:
        with dlpack.DeviceMemory(128 * 192, FRAME) as memory, encoder() as enc:
            enc.submit(venc.DeviceFrame(memory.address, 128, 128, owner=owner))
            del owner
            gc.collect()
            enc.flush()
            assert alive() is None
    finally:
        gc.callbacks[:] = calls


def test_encoder_that_is_dropped_keeps_owners_until_its_channel_has_ended():
    ends = []
    with dlpack.DeviceMemory(128 * 192, FRAME) as memory:
        with simulator.shared().options(stall=1):
            enc = encoder()
            owner = Owner()
            weakref.finalize(owner, ends.append, "ended")
            enc.submit(venc.DeviceFrame(memory.address, 128, 128, owner=owner))
            del owner, enc
            gc.collect()
            stream.let_go_of_ended()
            assert ends == []
        eventually(lambda: stream.let_go_of_ended() or ends == ["ended"])
    assert core.live()["TICKET"] == 0


def test_owner_whose_end_closes_the_encoder_while_packets_are_made_costs_no_token():
    class First:
        def __del__(self):
            enc.close()

    with dlpack.DeviceMemory(128 * 192, FRAME) as memory:
        enc = encoder(depth=4)
        for token, owner in enumerate([First(), Owner(), Owner(), Owner()]):
            enc.submit(venc.DeviceFrame(memory.address, 128, 128, owner=owner), token=token)
        del owner
        enc._channel.wait_idle(10)
        assert [packet.token for packet in enc.receive_many()] == [0, 1, 2, 3]
        assert enc.closed
