# SPDX-License-Identifier: Apache-2.0
"""The end of an object of the program's runs code that looks at whatever leads to it: a weak reference's callback here,
which stands for another thread at that moment. Nothing leads to it any more."""

import gc
import sys
import weakref
from types import SimpleNamespace

import pytest

import ascend_venc as venc
from ascend_venc import acl
from ascend_venc._lowlevel import stream
from helpers import dlpack, simulator
from helpers.waiting import eventually

pytestmark = pytest.mark.sim_only

FRAME = bytes(128 * 192)
OURS = {"Ticket", "Channel", "Thread", "Packet", "Stream", "Kept"}


class Object:
    """What a program gives along."""

    def __call__(self, *arguments):
        pass


@pytest.fixture
def ends():
    """Make objects whose ends look; afterwards each has had its one end."""
    ended, references = [], []

    def look(reference):
        ended.append(reference)
        for each in gc.get_objects():
            if type(each).__module__.startswith("ascend_venc._lowlevel") and type(each).__name__ in OURS:
                gc.get_referents(each)  # takes a reference on each, and gives it back

    def make():
        made = Object()
        references.append(weakref.ref(made, look))
        return made

    yield make
    gc.collect()
    assert sorted(map(id, ended)) == sorted(map(id, references))


@pytest.fixture(scope="module")
def facade():
    """Also what device memory is had by, on the same device as the encoders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASCEND_VENC_BACKEND", "sim")
        assert acl.init() in (0, 100002)
    yield acl
    assert acl.finalize() in (0, 100037)


def test_token_of_a_frame_that_close_drops(backend, ends):
    with simulator.shared().options(stall=1):
        enc = venc.Encoder(128, 128, codec="h264", backend=backend, depth=1, queue=4)
        for _ in range(4):
            enc.submit_async(FRAME, token=ends(), copy=False)
        with pytest.warns(venc.DroppedPacketsWarning):
            simulator.shared().set_options(stall=0)
            enc.close()


def test_owner_that_is_let_go_of_before_the_collector_looks(backend, ends, facade):
    with venc.Encoder(128, 128, codec="h264", backend=backend) as enc, dlpack.DeviceMemory(128 * 192) as memory:
        for _ in range(3):
            enc.submit(venc.DeviceFrame(memory.address, 128, 128, owner=ends()))
        eventually(lambda: enc.stats.ready == 3)
        stream.unlist_idle_streams("start", {})
        assert len(enc.flush()) == 3


@pytest.mark.v1_only("acl.media is V1")
def test_callback_of_a_channel_that_gets_another_one_and_ends(facade, ends):
    context, code = facade.rt.create_context(0)
    desc = facade.media.venc_create_channel_desc()
    for _ in range(2):
        assert facade.media.venc_set_channel_desc_callback(desc, ends()) == 0
    assert facade.media.venc_destroy_channel_desc(desc) == 0
    assert facade.rt.destroy_context(context) == code == 0


def test_function_and_argument_of_a_thread(facade, ends):
    thread, code = facade.util.start_thread(ends(), ends())
    assert code == 0 and facade.util.stop_thread(thread) == 0


def test_a_device_frame_is_made_once(ends):
    frame = venc.DeviceFrame(4096, 128, 128, owner=ends())
    with pytest.raises(TypeError, match="made once"):
        frame.__init__(8192, 128, 128, owner=ends())
    assert type(frame.owner) is Object


def test_a_device_frame_is_made_once_though_its_address_is_asked_for(ends):
    """The code of the program's that tells the address makes it, and may have submitted it."""

    class Address:
        def __index__(self):
            frame.__init__(4096, 128, 128, owner=ends())
            return 8192

    frame = venc.DeviceFrame.__new__(venc.DeviceFrame)
    with pytest.raises(TypeError, match="made once"):
        frame.__init__(Address(), 128, 128, owner=ends())
    assert frame.ptr == 4096 and type(frame.owner) is Object


def test_a_packet_that_is_released_while_pyav_makes_one_of_it_is_looked_at_no_more(backend, monkeypatch):
    told = []

    class AvPacket:
        def __init__(self, data):
            packet.release()

        def __setattr__(self, name, value):
            told.append(name)

    with venc.Encoder(128, 128, codec="h264", backend=backend) as enc:
        (packet,) = enc.encode(FRAME) + enc.flush()
        monkeypatch.setitem(sys.modules, "av", SimpleNamespace(Packet=AvPacket))
        with pytest.raises(ValueError, match="the packet was released"):
            packet.to_av()
    assert told == ["time_base"], "which is not in the memory that was given back"
