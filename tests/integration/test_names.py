# SPDX-License-Identifier: Apache-2.0
"""An encoder's name, wherever a program with many of them has to tell which one is meant; and sums over many."""

import asyncio
import dataclasses
import enum
import logging
import pickle

import numpy as np
import pytest

import ascend_venc as venc
from ascend_venc import aio, stats
from helpers import interface, simulator, video
from helpers.interface import of

FRAME = bytes(128 * 128 * 3 // 2)


def encoder(backend, name=None, **options):
    return venc.Encoder(128, 128, codec="h264", backend=backend, name=name, **options)


def test_name_is_in_repr_stats_log_and_warnings(backend, caplog):
    with caplog.at_level(logging.INFO, "ascend_venc"), encoder(backend, "front door") as enc:
        assert enc.name == enc.stats.name == "front door"
        assert repr(enc).startswith("<Encoder 'front door' 128x128 h264")
    assert [record.getMessage().split(" 128x128")[0] for record in caplog.records] == [
        "opened <Encoder 'front door'",
        "closed after 0 frames: <Encoder 'front door'",
    ]
    enc = encoder(backend, "front door")
    enc.submit(FRAME)
    enc.submit(FRAME)
    with pytest.warns(venc.DroppedPacketsWarning, match=r"^front door: \d packet\(s\) were dropped"):
        enc.close()
    with encoder(backend) as enc:
        assert (enc.name, enc.stats.name) == (None, "") and "'" not in repr(enc)


@pytest.mark.parametrize(
    ("name", "error"), [(7, TypeError), ("", ValueError), ("a\nb", ValueError), ("x" * 129, ValueError)]
)
def test_name_that_is_none_is_refused(backend, name, error):
    with pytest.raises(error, match="name"):
        encoder(backend, name)


class Chosen(str, enum.Enum):
    """Choices of a program's settings. str() shows such a member as another text than it is."""

    DOOR = "door"
    H264 = "H264"
    RGB = "rgb24"
    FULL = "full"
    DROP = "drop_newest"
    COALESCED = "coalesced"
    CBR = "cbr"


def test_choices_and_names_may_be_of_a_class_of_str_and_are_shown_as_their_text(backend):
    options = {"codec": Chosen.H264, "pixel_format": Chosen.RGB, "color_range": Chosen.FULL, "rc": Chosen.CBR}
    options.update(on_full=Chosen.DROP, delivery=Chosen.COALESCED, interface=np.str_(interface.NAME))
    with venc.Encoder(128, 128, backend=np.str_(backend), name=Chosen.DOOR, **options) as enc:
        assert repr(enc).startswith("<Encoder 'door' 128x128 h264 high ")
        settings = (enc.config.codec, enc.config.pixel_format, enc.config.color_range, enc.config.rc, enc.name)
        assert [(text, type(text)) for text in settings] == [
            (text, str) for text in ("h264", "rgb24", "full", "cbr", "door")
        ]
        with pytest.raises(venc.InvalidArgumentError, match=r"^door: frame has"):
            enc.submit(FRAME)
    with venc.EncoderGroup(backend=np.str_(backend), delivery=Chosen.COALESCED) as group:
        group.add(128, 128, on_full=Chosen.DROP)

    async def closed():
        async with aio.Encoder(128, 128, backend=backend, name=Chosen.DOOR) as enc:
            with pytest.raises(venc.InvalidArgumentError, match=r"^door: frame has"):
                await enc.submit(b"")
        with pytest.raises(venc.EncoderClosedError, match=r"^door: the encoder is closed"):
            await enc.submit(FRAME)

    asyncio.run(closed())


CALLS = {
    "encode": lambda enc: enc.encode(FRAME),
    "flush": lambda enc: enc.flush(),
    "submit": lambda enc: enc.submit(FRAME),
    "submit_many": lambda enc: enc.submit_many([FRAME]),
    "submit_async": lambda enc: enc.submit_async(FRAME),
    "acquire": lambda enc: enc.acquire(),
    "receive": lambda enc: enc.receive(),
    "receive_many": lambda enc: enc.receive_many(),
    "encode_future": lambda enc: enc.encode_future(FRAME),
    "reconfigure": lambda enc: enc.reconfigure(bitrate="1M"),
    "drain": lambda enc: enc.drain(),
}


@pytest.mark.parametrize("call", CALLS)
def test_errors_of_each_call_tell_the_name_once(backend, call):
    texts = []
    for name in ("door", None):
        with encoder(backend, name) as enc:
            pass
        with pytest.raises(venc.EncoderClosedError) as caught:
            CALLS[call](enc)
        texts.append(str(caught.value))
        assert getattr(caught.value, "encoder_name", None) == name
    assert texts[0] == f"door: {texts[1]}"


def test_settings_that_are_refused_tell_the_name(backend):
    for wrong in ({"gop": 0}, {"fps": 0}, {"depth": 0}, {"on_full": "wait"}, {"device": 99}, {"backend": "nowhere"}):
        with pytest.raises(venc.VencError, match=r"^door: (?!door)") as caught:
            venc.Encoder(128, 128, **{"codec": "h264", "backend": backend, "name": "door", **wrong})
        assert caught.value.encoder_name == "door"
    with encoder(backend, "door") as enc:
        for wrong in ({"gop": 0}, {"fps": 0}, {"width": 129}):
            with pytest.raises(venc.InvalidArgumentError, match=r"^door: (?!door)"):
                enc.reconfigure(**wrong)
        with pytest.warns(venc.BitRateWarning, match=r"^door: bitrate is 4000 "):
            enc.reconfigure(bitrate=4000, fps=240)


@pytest.mark.sim_only
def test_failed_frame_tells_the_name_and_keeps_its_fields(backend):
    with encoder(backend, "door") as enc, simulator.shared().failing_frame(simulator.FRAME_RET_CODE, nth=2, value=9):
        for _ in range(3):
            enc.submit(FRAME)
        with pytest.raises(venc.FrameError, match=r"^door: frame 1 ") as caught:
            enc.flush()
        assert (caught.value.frame_index, caught.value.ret_code) == (1, of(9, 0))
        assert len(enc.flush()) == 2


AIO_CALLS = {
    "encode": lambda enc: enc.encode(FRAME),
    "flush": lambda enc: enc.flush(),
    "submit": lambda enc: enc.submit(FRAME),
    "receive": lambda enc: enc.receive(),
    "receive_many": lambda enc: enc.receive_many(),
    "reconfigure": lambda enc: enc.reconfigure(bitrate="1M"),
}


@pytest.mark.parametrize("call", AIO_CALLS)
def test_errors_of_each_call_of_asyncio_tell_the_name_once(backend, call):
    async def texts_of(name):
        texts = []
        enc = aio.Encoder(128, 128, codec="h264", backend=backend, name=name)
        with pytest.raises(venc.EncoderClosedError) as caught:  # it is not open yet
            await AIO_CALLS[call](enc)
        texts.append(str(caught.value))
        async with enc:
            pass
        with pytest.raises(venc.EncoderClosedError) as caught:
            await AIO_CALLS[call](enc)
        assert getattr(caught.value, "encoder_name", None) == name
        texts.append(str(caught.value))
        with pytest.raises(venc.EncoderClosedError, match="is opened once") as caught:
            await enc.__aenter__()
        return [*texts, str(caught.value)]

    plain = asyncio.run(texts_of(None))
    named = asyncio.run(texts_of("door"))
    assert named == [f"door: {text}" for text in plain]
    assert plain[0].startswith("the encoder is not open") and plain[1] == "the encoder is closed"


@pytest.mark.sim_only
def test_failed_frame_of_asyncio_and_of_a_future_tells_the_name(backend):
    async def failed():
        async with aio.Encoder(128, 128, codec="h264", backend=backend, name="door") as enc:
            await enc.submit(FRAME)
            with pytest.raises(venc.FrameError, match=r"^door: frame 0 ") as caught:
                await enc.flush()
            return caught.value

    with simulator.shared().failing_frame(simulator.FRAME_RET_CODE, nth=1, value=9):
        error = asyncio.run(failed())
    assert (error.encoder_name, error.frame_index, error.ret_code) == ("door", 0, of(9, 0))
    with encoder(backend, "yard") as enc, simulator.shared().failing_frame(simulator.FRAME_RET_CODE, nth=1, value=9):
        future = enc.encode_future(FRAME)
        with pytest.raises(venc.FrameError, match=r"^yard: frame 0 ") as caught:
            future.result(60)
        assert caught.value.encoder_name == "yard"
    with encoder(backend, "yard", timeout=1) as enc:
        with simulator.shared().options(stall=1):
            future = enc.encode_future(FRAME)
            with pytest.raises(venc.AclTimeoutError, match=r"^yard: (?!yard)"):
                future.result(60)
        enc.flush()


@pytest.mark.sim_only
def test_errors_that_a_group_raises_tell_the_name(backend):
    with venc.EncoderGroup(backend=backend) as group:
        door, yard = (group.add(128, 128, codec="h264", name=name) for name in ("door", "yard"))
        with simulator.shared().failing_frame(simulator.FRAME_RET_CODE, nth=1, value=9):
            door.submit(FRAME)
            with pytest.raises(venc.FrameError, match=r"^door: frame 0 ") as caught:
                group.receive()
        assert caught.value.encoder is door
        yard.submit(FRAME)
        assert group.receive()[0] is yard


def test_errors_that_a_group_raises_go_to_another_process_without_their_encoders(backend):
    with venc.EncoderGroup(backend=backend) as group:
        door, yard = (group.add(128, 128, codec="h264", name=name) for name in ("door", "yard"))
        with pytest.raises(venc.InvalidArgumentError) as caught:
            group.submit_many({door: b"x", yard: b"yy"})
        assert caught.value.encoder is door and caught.value.failures[0][0] is yard
        error = pickle.loads(pickle.dumps(caught.value))
    assert (type(error), str(error)) == (venc.InvalidArgumentError, str(caught.value))
    assert (error.encoder, error.encoder_name, error.numbers) == (None, "door", [None, None])
    ((encoder, other),) = error.failures
    assert (encoder, other.encoder, other.encoder_name) == (None, None, "yard")
    assert str(other) == str(caught.value.failures[0][1])


def test_stats_of_a_group_are_each_ones_and_their_sum(backend):
    frames = video.synthetic(128, 128, 3)
    with venc.EncoderGroup(backend=backend) as group:
        empty = group.stats
        assert (empty.encoders, empty.total.submitted, empty.total.latency.count) == ((), 0, 0)
        assert set(empty.total.dropped) == set(stats.DROPPED)
        members = [group.add(128, 128, codec="h264", name=name) for name in ("door", "yard")]
        for frame in frames:
            members[0].encode(frame)
        members[0].flush()
        members[1].encode(frames[0])
        members[1].flush()
        found = group.stats
        assert [each.name for each in found.encoders] == ["door", "yard"]
        assert [each.submitted for each in found.encoders] == [3, 1]
        for field in dataclasses.fields(stats.EncoderStats):
            each, total = ([getattr(s, field.name) for s in found.encoders], getattr(found.total, field.name))
            if field.name == "name":
                assert total == ""
            elif field.name == "dropped":
                assert total == {reason: 0 for reason in stats.DROPPED}
            elif isinstance(total, stats.Histogram):
                assert total.count == 4 and total.max == max(histogram.max for histogram in each)
            else:
                assert total == sum(each), field.name
        members[0].close()
        assert [each.name for each in group.stats.encoders] == ["yard"]


def test_collector_gives_prometheus_client_what_the_text_has(backend):
    client = pytest.importorskip("prometheus_client", reason="prometheus_client is not installed")
    from prometheus_client.parser import text_string_to_metric_families

    from ascend_venc.prometheus import Collector

    registry = client.CollectorRegistry()
    collector = Collector()
    registry.register(collector)

    def samples(text):
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if "idle" not in sample.name and "blocked" not in sample.name  # which go on
        }

    with encoder(backend, 'front "door"\\') as enc, encoder(backend) as other:
        for _ in range(3):
            enc.encode(FRAME)
        enc.flush()
        found = samples(client.generate_latest(registry).decode())
        assert found == samples(stats.prometheus())
        names = {labels for name, labels in found if name == "ascend_venc_frames_encoded_total"}
        assert {dict(labels)["name"] for labels in names} == {'front "door"\\', ""}
        assert sorted(found[name, labels] for name, labels in found if name == "ascend_venc_frames_encoded_total") == [
            0,
            3,
        ]
        del other
    assert not samples(client.generate_latest(registry).decode())
    assert {family.type for family in collector.collect()} == {"counter", "gauge", "histogram"}


def test_collector_without_prometheus_client_says_what_to_install(monkeypatch):
    import sys

    from ascend_venc.prometheus import Collector

    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ImportError, match=r"pip install 'ascend-venc\[prometheus\]'"):
        Collector()
