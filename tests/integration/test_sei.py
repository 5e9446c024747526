# SPDX-License-Identifier: Apache-2.0
"""SEI and delimiters in the packets of an encoder: read, and written with each frame on every way into it."""

import asyncio
import copy
import io
import os
import pickle
import random
import threading
import uuid

import numpy as np
import pytest

import ascend_venc as venc
import ascend_venc.aio
from ascend_venc import bitstream
from ascend_venc.bitstream import FrameTime, RecoveryPoint, SeiMessage, UserDataUnregistered
from helpers import annexb, decode, interface, sei, simulator, video

W, H = 128, 128
FRAME = bytes(W * H * 3 // 2)
ID = uuid.UUID("086f3693-b7b3-4f2c-9653-21492feee5b8")
DEMUXERS = {"h264": "h264", "h265": "hevc"}


@pytest.fixture(params=["h264", "h265"])
def codec(request):
    return request.param


@pytest.fixture(scope="module")
def frames():
    return video.synthetic(W, H, 12)


def numbered(index):
    """Messages that say which frame they came with."""
    return [UserDataUnregistered(ID, b"\0\0\0" + bytes([index]) + b"\0\0\1"), FrameTime(index)]


def contents(packet):
    return [message.content for message in packet.sei() if message.content is not None]


def is_ours(nal, codec):
    return (nal[0] == 6 if codec == "h264" else nal[0] >> 1 == 39) and ID.bytes in nal


def without_ours(packet, codec):
    return [nal for nal in annexb.nal_units(packet) if not is_ours(nal, codec)]


def in_front_of_slice(packet, codec):
    """Ours stands once, right before the first slice, behind the parameter sets."""
    units = annexb.nal_units(packet)
    slices = [annexb.is_slice(nal, codec) for nal in units]
    first = slices.index(True)
    return first > 0 and is_ours(units[first - 1], codec) and sum(is_ours(nal, codec) for nal in units) == 1


# ---- reading ---------------------------------------------------------------------------------------------------------


def test_packet_knows_its_codec_and_reads_its_sei(codec, backend):
    with venc.Encoder(W, H, codec=codec, backend=backend) as enc:
        (packet,) = enc.encode(FRAME, sei=numbered(1)) + enc.flush()
    assert packet.codec == codec
    for other in (copy.copy(packet), pickle.loads(pickle.dumps(packet))):
        assert other.codec == codec
        assert other.sei() == packet.sei()
    assert [(one.type, one.payload, one.suffix) for one in packet.sei()] == sei.read(packet, codec)
    assert packet.sei() == bitstream.sei_messages(packet) == bitstream.sei_messages(bytes(packet), codec)
    assert [unit.data for unit in bitstream.iter_nal_units(packet)] == packet.nal_units()
    packet.release()
    with pytest.raises(ValueError, match="released"):
        packet.sei()


# ---- every way in ----------------------------------------------------------------------------------------------------


def by_encode(enc, frames, messages):
    return [packet for frame, one in zip(frames, messages) for packet in enc.encode(frame, sei=one)] + enc.flush()


def by_submit(enc, frames, messages):
    for index, (frame, one) in enumerate(zip(frames, messages)):
        assert enc.submit(frame, token=index, sei=one) == index
    return enc.flush()


def by_submit_many(enc, frames, messages):
    enc.submit_many(frames[:5], sei=messages[:5])
    enc.submit_many(frames[5:], sei=iter(messages[5:]), tokens=range(5, len(frames)))
    return enc.flush()


def by_submit_async(enc, frames, messages):
    for index, (frame, one) in enumerate(zip(frames, messages)):
        enc.submit_async(frame, copy=index % 2 == 0, sei=one)
    return enc.flush()


def by_acquire(enc, frames, messages):
    for frame, one in zip(frames, messages):
        held = enc.acquire()
        held.array[:] = frame
        enc.submit(held, sei=one)
    return enc.flush()


def by_tensor(enc, frames, messages):
    for frame, one in zip(frames, messages):
        enc.submit((frame[:H], frame[H:]), sei=one)
    return enc.flush()


def by_future(enc, frames, messages):
    pending = []
    for frame, one in zip(frames, messages):
        pending.append(enc.encode_future(frame, sei=None if one is None else iter(one)))
    return [each.result(30) for each in pending]


WAYS = [by_encode, by_submit, by_submit_many, by_submit_async, by_acquire, by_tensor, by_future]
SOME = [numbered(index) if index % 3 else None for index in range(12)]


@pytest.mark.parametrize("options", [{}, {"vui": False}, {"aud": True, "color": "bt709"}, {"depth": 1, "queue": 2}])
@pytest.mark.parametrize("way", WAYS)
def test_messages_stand_in_the_packet_of_their_frame_and_nothing_else_changes(codec, backend, frames, way, options):
    settings = {"codec": codec, "backend": backend, "gop": 5, **options}
    with venc.Encoder(W, H, **settings) as enc:
        plain = by_encode(enc, frames, [None] * 12)
    with venc.Encoder(W, H, **settings) as enc:
        packets = way(enc, list(frames), SOME)
        assert enc.stats.bytes_out == sum(packet.size for packet in packets)
    assert [packet.frame_index for packet in packets] == list(range(12))
    assert [packet.kind for packet in packets] == [packet.kind for packet in plain]
    for index, (packet, before) in enumerate(zip(packets, plain)):
        assert without_ours(packet, codec) == annexb.nal_units(before)
        ours = [one for one in contents(packet) if one in numbered(index)]
        assert ours == (SOME[index] or [])
        assert in_front_of_slice(packet, codec) == (SOME[index] is not None)
        assert bytes(packet).startswith(b"\0\0\0\1")
    assert len(decode.frames(b"".join(map(bytes, packets)), codec)) == 12


@pytest.mark.parametrize("call", ["submit", "encode"])
def test_messages_that_come_by_asyncio_wait_for_room_with_their_frame(codec, backend, frames, call):
    async def main():
        async with ascend_venc.aio.Encoder(W, H, codec=codec, backend=backend, depth=1, queue=0) as enc:
            packets = []
            for index, frame in enumerate(frames):
                taken = await getattr(enc, call)(frame, sei=iter(numbered(index)))
                packets += taken if call == "encode" else []
            return packets + await enc.flush()

    packets = asyncio.run(main())
    assert [packet.frame_index for packet in packets] == list(range(12))
    for index, packet in enumerate(packets):
        assert [one for one in contents(packet) if one in numbered(index)] == numbered(index)


def test_frames_that_are_converted_or_make_room_bring_theirs(codec, backend):
    picture = np.zeros((H, W, 3), np.uint8)
    with venc.Encoder(W, H, codec=codec, backend=backend, pixel_format="rgb24", aud=True) as enc:
        packets = []
        for index in range(4):
            packets += enc.encode(picture, sei=numbered(index))
        enc.submit_many([picture] * 2, sei=[numbered(4), None])
        enc.submit_async(picture, sei=numbered(6))
        packets += enc.flush()
    assert [numbered(packet.frame_index)[1] in contents(packet) for packet in packets] == [True] * 5 + [False, True]
    with venc.Encoder(W, H, codec=codec, backend=backend, on_full="drop_oldest", queue=4) as enc:
        for index in range(4):
            enc.submit(FRAME, sei=numbered(index))
        packets = enc.flush()
    assert all(contents(packet)[-2:] == numbered(packet.frame_index) for packet in packets) and packets


def test_all_kinds_of_messages_are_written_and_read_by_ffmpeg(codec, backend):
    av = pytest.importorskip("av", reason="PyAV is not installed: FFmpeg is what the stream is compared with")
    user = UserDataUnregistered(ID, random.Random(3).randbytes(3000) + bytes(50))
    point = RecoveryPoint(7, exact_match=False, broken_link=True)
    raw = SeiMessage(144, bytes([3, 232, 1, 144]))  # content light level: 1000 and 400
    with venc.Encoder(W, H, codec=codec, backend=backend) as enc:
        packets = [packet for _ in range(3) for packet in enc.encode(FRAME, sei=[raw, point, user])] + enc.flush()
    for packet in packets:
        assert [one.content for one in packet.sei()][-3:] == [None, point, user]
        assert packet.sei()[-3][:3] == (144, raw.payload, False)
    elements = sei.traced(b"".join(map(bytes, packets)), codec)
    count = "recovery_frame_cnt" if codec == "h264" else "recovery_poc_cnt"
    for name, value in [
        (count, 7),
        ("exact_match_flag", 0),
        ("broken_link_flag", 1),
        ("max_content_light_level", 1000),
    ]:
        assert [found for each, found in elements if each == name] == [value] * 3, name
    with av.open(io.BytesIO(b"".join(map(bytes, packets))), format=DEMUXERS[codec]) as file:
        seen = [
            bytes(side)
            for frame in file.decode(video=0)
            for side in (frame.side_data[place] for place in range(len(frame.side_data)))  # PyAV 19 iterates over kinds
            if side.type.name == "SEI_UNREGISTERED"
        ]
    assert seen.count(ID.bytes + user.data) == 3


# ---- bounds and errors -----------------------------------------------------------------------------------------------


def test_largest_sei_is_written_and_one_byte_more_is_refused(codec, backend):
    head = 4 + (1 if codec == "h264" else 2)
    room = 65536 - head - 1 - 1  # payload type, stop bit
    size = next(size for size in range(room, 0, -1) if size + size // 255 + 1 <= room)
    with venc.Encoder(W, H, codec=codec, backend=backend) as enc:
        packets = enc.encode(FRAME, sei=[SeiMessage(4, b"\xaa" * size)])
        for way in (enc.encode, enc.submit, enc.submit_async, lambda frame, sei: enc.submit_many([frame], sei=[sei])):
            with pytest.raises(venc.InvalidArgumentError, match=r"sei takes \d{5} bytes .* up to 65536 for a frame"):
                way(FRAME, sei=[SeiMessage(4, b"\xaa" * (size + 2))])
        packets += enc.flush()
        assert enc.stats.submitted == 1
    assert packets[0].sei()[-1].payload == b"\xaa" * size
    assert packets[0].size > 65530


@pytest.mark.parametrize(
    ("messages", "error", "words"),
    [
        (FrameTime(0), TypeError, ["sei must be a list of messages", "FrameTime"]),
        ([7], TypeError, ["UserDataUnregistered", "int"]),
        ([], venc.InvalidArgumentError, ["sei is an empty list"]),
        ([RecoveryPoint(70000)], venc.InvalidArgumentError, ["RecoveryPoint.count is 70000"]),
        ([SeiMessage(5, b"", True)], venc.InvalidArgumentError, ["suffix"]),
    ],
)
def test_what_is_no_message_is_refused_and_nothing_is_sent(backend, messages, error, words):
    with venc.Encoder(W, H, backend=backend) as enc:
        for way in (enc.encode, enc.submit, enc.submit_async, lambda frame, sei: enc.submit_many([frame], sei=[sei])):
            with pytest.raises(error) as caught:
                way(FRAME, sei=messages)
            assert all(word in str(caught.value) for word in words)
        with pytest.raises(venc.InvalidArgumentError, match="sei has 1 items for 2 frames"):
            enc.submit_many([FRAME] * 2, sei=[None])
        assert enc.stats.submitted == 0
        assert len(enc.encode(FRAME) + enc.flush()) == 1


def test_asyncio_refuses_what_is_no_message_with_the_same_words(backend):
    async def refused(messages):
        async with ascend_venc.aio.Encoder(W, H, backend=backend) as enc:
            with pytest.raises(TypeError) as caught:
                await enc.submit(FRAME, sei=messages)
            return str(caught.value)

    for messages in (5, "text", object()):
        with venc.Encoder(W, H, backend=backend) as enc, pytest.raises(TypeError) as caught:
            enc.submit(FRAME, sei=messages)
        assert asyncio.run(refused(messages)) == str(caught.value)


def test_messages_may_be_any_iterable_and_may_close_the_encoder(backend):
    with venc.Encoder(W, H, backend=backend) as enc:
        enc.submit(FRAME, sei=(one for one in numbered(0)))
        (packet,) = enc.flush()
        assert contents(packet)[-2:] == numbered(0)

        def closing():
            enc.close()
            yield FrameTime(1)

        with pytest.raises(venc.EncoderClosedError):
            enc.submit(FRAME, sei=closing())


# ---- what becomes of it ----------------------------------------------------------------------------------------------


def test_sink_writes_what_packets_would_have_had(codec, backend, frames, tmp_path):
    with venc.Encoder(W, H, codec=codec, backend=backend, aud=True) as enc:
        wanted = b"".join(map(bytes, by_encode(enc, frames, SOME)))
    path = tmp_path / "out"
    with open(path, "wb") as file, venc.Encoder(W, H, codec=codec, backend=backend, aud=True, sink=file) as enc:
        assert by_submit_many(enc, list(frames), SOME) == []
    assert path.read_bytes() == wanted
    reader, writer = os.pipe()
    received = []

    def read():
        with open(reader, "rb") as stream:
            received.append(stream.read())

    thread = threading.Thread(target=read)
    thread.start()
    with venc.Encoder(W, H, codec=codec, backend=backend, aud=True, sink=writer) as enc:
        os.close(writer)
        by_submit_async(enc, list(frames), SOME)
    thread.join()
    assert received == [wanted]


def test_messages_follow_their_frames_over_a_change(codec, backend):
    with venc.Encoder(W, H, codec=codec, backend=backend, aud=True, queue=12) as enc:
        for index in range(4):
            enc.submit_async(FRAME, sei=numbered(index), token=index)
        first = enc.reconfigure(width=160, height=128)
        enc.reconfigure(bitrate="1M")
        for index in range(4, 8):
            enc.submit_async(bytes(160 * 128 * 3 // 2), sei=numbered(index), token=index)
        packets = enc.flush()
    assert first == 4 and [packet.token for packet in packets] == list(range(8))
    assert all(contents(packet)[-2:] == numbered(packet.token) for packet in packets)
    assert all(next(bitstream.iter_nal_units(packet)).name == "AUD" for packet in packets)


@pytest.mark.sim_only
@pytest.mark.parametrize("after", [False, True])
def test_refused_frame_takes_its_messages_along(frames, after):
    sim = simulator.shared()
    got = []
    with venc.Encoder(W, H, codec="h264", backend="sim", depth=8, timeout=10) as enc:
        failing = sim.failing_call(interface.SEND, nth=3, code=507046, after=after)
        with sim.options(stall=int(after)), failing:
            for index in range(5):
                try:
                    enc.submit(frames[index], sei=numbered(index), token=index)
                except venc.AclError as error:
                    assert error.code == 507046
                    got.append(index)
        packets = enc.flush()
        for index in range(5, 9):
            enc.submit(frames[index], token=index)
        packets += enc.flush()
    assert got == [2]
    assert [packet.token for packet in packets] == [0, 1, 3, 4, 5, 6, 7, 8]
    for packet in packets:
        ours = [one for one in contents(packet) if isinstance(one, FrameTime)]
        assert ours == ([FrameTime(packet.token)] if packet.token < 5 else [])


@pytest.mark.sim_only
def test_dropped_and_closed_frames_take_their_messages_along(frames):
    """Nothing is left of them: the fixture counts live objects, and the next encoder's packets have their own only."""
    sim = simulator.shared()
    with sim.options(stall=1):
        enc = venc.Encoder(W, H, codec="h264", backend="sim", depth=2, queue=3, on_full="drop_oldest", timeout=5)
        for index in range(12):
            enc.submit_async(frames[index], sei=numbered(index), token=index)
        dropped = enc.stats.dropped["frame_replaced"]
        sim.set_options(stall=0)
        packets = enc.flush()
        assert dropped == 12 - len(packets) > 0
        assert [contents(packet)[-2:] for packet in packets] == [numbered(packet.token) for packet in packets]
        sim.set_options(stall=1)
        for index in range(4):
            enc.submit_async(frames[index], sei=numbered(50 + index))
        threading.Timer(0.05, sim.set_options, kwargs={"stall": 0}).start()  # close waits for those in the device
        with pytest.warns(venc.DroppedPacketsWarning):
            enc.close()
    with venc.Encoder(W, H, codec="h264", backend="sim") as enc:
        assert not any(
            isinstance(one, FrameTime) for packet in by_encode(enc, frames, [None] * 12) for one in contents(packet)
        )


# ---- delimiters ------------------------------------------------------------------------------------------------------


def test_delimiters_are_those_of_ffmpegs_filter(codec, backend, frames):
    av = pytest.importorskip("av", reason="PyAV is not installed: FFmpeg is what the stream is compared with")
    from av.bitstream import BitStreamFilterContext

    with venc.Encoder(W, H, codec=codec, backend=backend, gop=4) as enc:
        plain = by_encode(enc, frames, [None] * 12)
    with venc.Encoder(W, H, codec=codec, backend=backend, gop=4, aud=True) as enc:
        packets = by_encode(enc, frames, [None] * 12)
        assert enc.stats.bytes_out == sum(packet.size for packet in packets)
    name = {"h264": "h264_metadata", "h265": "hevc_metadata"}[codec]
    with av.open(io.BytesIO(b"".join(map(bytes, plain))), format=DEMUXERS[codec]) as source:
        one = BitStreamFilterContext(f"{name}=aud=insert", source.streams.video[0])
        theirs = [b"".join(bytes(part) for part in one.filter(av.Packet(bytes(packet)))) for packet in plain]
    assert [annexb.nal_units(packet) for packet in packets] == [annexb.nal_units(packet) for packet in theirs]
    assert all(next(bitstream.iter_nal_units(packet)).name == "AUD" for packet in packets)
    assert len(decode.frames(b"".join(map(bytes, packets)), codec)) == 12


def test_aud_must_be_a_bool(backend):
    with pytest.raises(TypeError, match="aud must be a bool, got int"):
        venc.Encoder(W, H, backend=backend, aud=1)
