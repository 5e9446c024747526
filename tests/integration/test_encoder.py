# SPDX-License-Identifier: Apache-2.0
"""`Encoder` as its user sees it: streams are checked by an independent decoder and by a parser of our own."""

import sys
import threading
import time
import types
from fractions import Fraction

import numpy as np
import pytest

import ascend_venc as venc
from helpers import annexb, decode, simulator, video
from helpers.waiting import eventually


def encode_all(enc, frames, key_frames=()):
    packets = []
    for index, frame in enumerate(frames):
        packets += enc.encode(frame, key_frame=index in key_frames)
    return packets + enc.flush()


def stream_of(packets):
    return b"".join(packets)


FORMATS = [("h264", "baseline", 66), ("h264", "main", 77), ("h264", "high", 100), ("h265", "main", 1)]


@pytest.mark.parametrize(("codec", "profile", "profile_idc"), FORMATS)
@pytest.mark.parametrize("pixel_format", ["nv12", "nv21"])
def test_encode_each_format_decodes_to_the_input(backend, codec, profile, profile_idc, pixel_format):
    frames = video.synthetic(320, 240, 24, pixel_format=pixel_format, watermark=True)
    with venc.Encoder(
        320, 240, codec=codec, profile=profile, pixel_format=pixel_format, bitrate="2M", gop=10, backend=backend
    ) as enc:
        packets = encode_all(enc, frames)
    assert [packet.frame_index for packet in packets] == list(range(24))
    assert [packet.is_keyframe for packet in packets] == [i % 10 == 0 for i in range(24)]
    units = annexb.access_units(stream_of(packets), codec)
    assert [unit.data for unit in units] == [bytes(packet) for packet in packets]
    assert [unit.is_idr for unit in units] == [i % 10 == 0 for i in range(24)]
    assert all(unit.has_parameter_sets == unit.is_idr for unit in units)
    assert {unit.slice_types[0] for unit in units if not unit.is_idr} == {"P"}
    assert units[0].sps.profile_idc == profile_idc
    assert (units[0].sps.width, units[0].sps.height) == (320, 240)
    decoded = decode.frames(stream_of(packets), codec)
    assert [video.read_watermark(frame) for frame in decoded] == list(range(24))
    reference = [video.to_nv12(frame, pixel_format) for frame in frames]
    assert min(video.psnr(a, b) for a, b in zip(reference, decoded)) >= 30


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_forced_key_frames_are_exactly_where_asked(backend, codec):
    frames = video.synthetic(160, 128, 30)
    with venc.Encoder(160, 128, codec=codec, gop=12, backend=backend) as enc:
        packets = encode_all(enc, frames, key_frames={5, 6, 20})
    # A forced IDR restarts the count of the GOP.
    assert [packet.frame_index for packet in packets if packet.is_keyframe] == [0, 5, 6, 18, 20]
    units = annexb.access_units(stream_of(packets), codec)
    assert [i for i, unit in enumerate(units) if unit.is_idr] == [0, 5, 6, 18, 20]
    assert {packet.kind for packet in packets} == {"IDR", "P"}


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_real_clip_at_2_mbit_has_30_db_in_every_frame(backend, codec):
    frames = video.clip()
    height, width = frames[0].shape[0] * 2 // 3, frames[0].shape[1]
    with venc.Encoder(width, height, codec=codec, bitrate="2M", backend=backend) as enc:
        packets = encode_all(enc, frames)
    decoded = decode.frames(stream_of(packets), codec)
    assert len(decoded) == len(frames) == 60
    assert min(video.psnr(a, b) for a, b in zip(frames, decoded)) >= 30


@pytest.mark.parametrize("codec", ["h264", "h265"])
@pytest.mark.parametrize("kbit", [300, 1000, 4000])
def test_cbr_is_within_ten_percent_over_five_seconds(backend, codec, kbit):
    clip = video.clip()
    height, width = clip[0].shape[0] * 2 // 3, clip[0].shape[1]
    with venc.Encoder(width, height, codec=codec, bitrate=kbit * 1000, rc="cbr", fps=25, backend=backend) as enc:
        packets = encode_all(enc, (clip[i % len(clip)] for i in range(125)))
    achieved = sum(packet.size for packet in packets) * 8 / 5 / 1000
    assert 0.9 * kbit <= achieved <= 1.1 * kbit


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_vbr_stays_below_the_cap_and_falls_for_easy_content(backend, codec):
    clip = video.clip()
    height, width = clip[0].shape[0] * 2 // 3, clip[0].shape[1]
    with venc.Encoder(width, height, codec=codec, bitrate="1M", rc="vbr", fps=25, backend=backend) as enc:
        packets = encode_all(enc, (clip[i % len(clip)] for i in range(125)))
    assert sum(packet.size for packet in packets) * 8 / 5 <= 1.15e6
    with venc.Encoder(width, height, codec=codec, bitrate="10M", rc="vbr", fps=25, backend=backend) as enc:
        packets = encode_all(enc, [clip[0]] * 25)
    assert sum(packet.size for packet in packets) * 8 <= 5e6


def test_eight_encoders_at_once_each_stream_is_right(backend):
    jobs = [
        (codec, width, height)
        for codec in ("h264", "h265")
        for width, height in ((128, 128), (176, 144), (322, 242), (256, 192))
    ]
    results = {}

    def run(job):
        codec, width, height = job
        frames = video.synthetic(width, height, 20, watermark=True, seed=width)
        with venc.Encoder(width, height, codec=codec, bitrate="2M", gop=8, backend=backend) as enc:
            results[job] = frames, encode_all(enc, frames)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert set(results) == set(jobs)
    for (codec, width, height), (frames, packets) in results.items():
        decoded = decode.frames(stream_of(packets), codec)
        assert decoded[0].shape == (height * 3 // 2, width)
        assert [video.read_watermark(frame) for frame in decoded] == list(range(20))
        assert min(video.psnr(a, b) for a, b in zip(frames, decoded)) >= 30


def test_interleaved_encoders_on_one_thread_keep_their_frames_apart(backend):
    sizes = [(128, 128), (160, 128), (192, 160)]
    frames = {size: video.synthetic(*size, 12, watermark=True) for size in sizes}
    packets = {size: [] for size in sizes}
    encoders = {size: venc.Encoder(*size, codec="h264", backend=backend) for size in sizes}
    for index in range(12):
        for size, enc in encoders.items():
            packets[size] += enc.encode(frames[size][index])
    for size, enc in encoders.items():
        packets[size] += enc.flush()
        enc.close()
        decoded = decode.frames(stream_of(packets[size]), "h264")
        assert [video.read_watermark(frame) for frame in decoded] == list(range(12))


# ---- frames ----------------------------------------------------------------------------------------------------------


def layouts(frame):
    padded = np.zeros((frame.shape[0], frame.shape[1] + 48), np.uint8)
    padded[:, : frame.shape[1]] = frame
    readonly = frame.copy()
    readonly.setflags(write=False)
    return {
        "array": frame,
        "read-only": readonly,
        "flat": frame.reshape(-1),
        "bytes": frame.tobytes(),
        "bytearray": bytearray(frame.tobytes()),
        "memoryview": memoryview(frame),
        "padded rows": padded[:, : frame.shape[1]],
    }


@pytest.mark.parametrize("width", [320, 330])  # 330: rows have to be padded for the device
def test_every_kind_of_frame_gives_the_same_stream(backend, width):
    frame = video.synthetic(width, 240, 1)[0]
    streams = {}
    for name, layout in layouts(frame).items():
        with venc.Encoder(width, 240, codec="h264", backend=backend) as enc:
            streams[name] = stream_of(encode_all(enc, [layout]))
    assert len(set(streams.values())) == 1, {name: len(data) for name, data in streams.items()}
    (decoded,) = decode.frames(streams["array"], "h264")
    assert video.psnr(frame, decoded) >= 30


def test_frame_may_be_overwritten_as_soon_as_encode_returns(backend):
    frames = video.synthetic(320, 240, 12, watermark=True)
    scratch = np.empty_like(frames[0])
    with venc.Encoder(320, 240, codec="h264", bitrate="2M", depth=8, backend=backend) as enc:
        packets = []
        for frame in frames:
            scratch[:] = frame
            packets += enc.encode(scratch)
            scratch[:] = 0
        packets += enc.flush()
    decoded = decode.frames(stream_of(packets), "h264")
    assert [video.read_watermark(frame) for frame in decoded] == list(range(12))


@pytest.mark.parametrize(
    ("frame", "error", "text"),
    [
        (np.zeros((360, 322), np.uint8), ValueError, r"\(360, 322\).*\(360, 320\)"),
        (np.zeros((240, 320, 3), np.uint8), ValueError, r"\(240, 320, 3\)"),
        (np.zeros((360, 320), np.uint16), TypeError, "uint8"),
        (np.zeros((360, 320), np.int16)[:, ::2], TypeError, "uint8"),
        (np.zeros((360, 640), np.uint8)[:, ::2], ValueError, "ascontiguousarray"),
        (np.zeros((360, 320), np.uint8)[::-1], ValueError, "ascontiguousarray"),
        (b"", ValueError, "115200 bytes"),
        (bytes(115199), ValueError, "115200 bytes"),
        ("text", TypeError, "buffer protocol"),
        (None, TypeError, "buffer protocol"),
        (12345, TypeError, "buffer protocol"),
    ],
)
def test_bad_frame_raises_names_what_is_needed_and_loses_nothing(backend, frame, error, text):
    good = video.synthetic(320, 240, 2)
    with venc.Encoder(320, 240, codec="h264", backend=backend) as enc:
        packets = enc.encode(good[0])
        with pytest.raises(error, match=text):
            enc.encode(frame)
        packets += enc.encode(good[1])
        packets += enc.flush()
    assert [packet.frame_index for packet in packets] == [0, 1]


@pytest.mark.sim_only
@pytest.mark.parametrize("failure", ["no room in time", "a bad frame that is converted"])
def test_encode_that_fails_when_it_has_packets_leaves_them_to_be_received(failure):
    full = failure.startswith("no room")
    device, good = simulator.shared(), np.zeros((128, 128, 3), np.uint8)
    with venc.Encoder(128, 128, codec="h264", pixel_format="rgb24", depth=1, queue=0, backend="sim") as enc:
        enc.submit(good, token="first")
        eventually(lambda: enc.stats.ready == 1)
        with device.options(stall=1):
            if full:
                enc.submit(good, token="second")
                enc._timeout = 0.05
            with pytest.raises(venc.AclTimeoutError if full else ValueError):
                enc.encode(good if full else good[1:])
            enc._timeout = 20
        assert [packet.token for packet in enc.flush()] == (["first", "second"] if full else ["first"])


# ---- packets ---------------------------------------------------------------------------------------------------------


def test_packet_is_a_read_only_buffer_with_its_facts(backend):
    frames = video.synthetic(128, 128, 3)
    with venc.Encoder(128, 128, codec="h264", fps=29.97, backend=backend) as enc:
        packets = encode_all(enc, frames)
    packet = packets[0]
    view = memoryview(packet)
    assert view.readonly and view.nbytes == packet.size == len(packet) == len(bytes(packet))
    assert bytes(view) == bytes(packet)
    assert packet.time_base == Fraction(1001, 30000)
    assert [p.pts for p in packets] == [0, 1, 2]
    assert packet.is_keyframe and packet.kind == "IDR"


def test_packet_survives_its_encoder(backend):
    frames = video.synthetic(128, 128, 4)
    enc = venc.Encoder(128, 128, codec="h264", backend=backend)
    packets = encode_all(enc, frames)
    before = [bytes(packet) for packet in packets]
    enc.close()
    del enc
    assert [bytes(packet) for packet in packets] == before


def test_packet_release_refuses_while_a_view_is_alive(backend):
    with venc.Encoder(128, 128, codec="h264", backend=backend) as enc:
        (packet,) = encode_all(enc, video.synthetic(128, 128, 1))
    view = memoryview(packet)
    with pytest.raises(BufferError, match="live view"):
        packet.release()
    view.release()
    packet.release()
    packet.release()
    for read in (bytes, memoryview, len, lambda p: p.pts):
        with pytest.raises(ValueError, match="released"):
            read(packet)
    assert repr(packet) == "<Packet released>"


def test_pts_are_handed_through(backend):
    given = [-5, 0, 90000, 2**62]
    with venc.Encoder(128, 128, codec="h264", backend=backend) as enc:
        packets = []
        for pts, frame in zip(given, video.synthetic(128, 128, 4)):
            packets += enc.encode(frame, pts=pts)
        packets += enc.flush()
    assert [packet.pts for packet in packets] == given


def test_classes_made_by_the_library_cannot_be_made_directly():
    with pytest.raises(TypeError, match="Encoder"):
        venc.Packet()


# ---- life ------------------------------------------------------------------------------------------------------------


@pytest.mark.sim_only
def test_encode_never_waits_for_the_frame_just_sent(backend):
    frames = video.synthetic(128, 128, 40)
    with venc.Encoder(128, 128, codec="h264", depth=4, backend=backend) as enc:
        with simulator.shared().options(stall=1):  # a quick device may be done with it before the call returns
            assert [enc.encode(frame) for frame in frames[:4]] == [[]] * 4
        got = sum(len(enc.encode(frame)) for frame in frames[4:])
        assert got + len(enc.flush()) == 40


def test_flush_can_be_followed_by_more_frames(backend):
    frames = video.synthetic(128, 128, 6, watermark=True)
    with venc.Encoder(128, 128, codec="h264", backend=backend) as enc:
        packets = encode_all(enc, frames[:3]) + encode_all(enc, frames[3:])
        assert enc.flush() == []
    decoded = decode.frames(stream_of(packets), "h264")
    assert [video.read_watermark(frame) for frame in decoded] == list(range(6))


def test_closed_encoder_refuses_and_close_is_idempotent(backend):
    enc = venc.Encoder(128, 128, backend=backend)
    enc.close()
    enc.close()
    assert enc.closed
    for call in (lambda: enc.encode(bytes(128 * 192)), enc.flush):
        with pytest.raises(venc.EncoderClosedError):
            call()


def test_close_with_uncollected_packets_warns(backend):
    enc = venc.Encoder(128, 128, backend=backend)
    enc.submit(bytes(128 * 192))  # `encode` would give the packet of a quick device to this test
    with pytest.warns(venc.DroppedPacketsWarning, match=r"1 packet\(s\) were dropped"):
        enc.close()


def test_exception_inside_with_closes_without_another_warning(backend):
    with pytest.raises(KeyError), venc.Encoder(128, 128, backend=backend) as enc:
        enc.encode(bytes(128 * 192))
        raise KeyError
    assert enc.closed


def test_dropped_encoder_is_closed_with_a_resource_warning(backend):
    enc = venc.Encoder(128, 128, backend=backend)
    enc.encode(bytes(128 * 192))
    with pytest.warns(ResourceWarning, match=r"unclosed <Encoder .* on sim:\w+>$"):
        del enc


def test_close_while_another_thread_encodes_ends_both(backend):
    enc = venc.Encoder(640, 480, codec="h265", depth=2, backend=backend)
    frame = video.synthetic(640, 480, 1)[0]
    ended = []

    def run():
        try:
            while True:
                enc.encode(frame)
        except venc.EncoderClosedError:
            ended.append(True)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    enc._close(warn=False)
    for thread in threads:
        thread.join(20)
    assert ended == [True] * 3


def test_open_and_close_in_a_loop_leaves_nothing(backend):
    for index in range(30):
        with venc.Encoder(128, 128, codec=("h264", "h265")[index % 2], backend=backend) as enc:
            if index % 3:
                encode_all(enc, video.synthetic(128, 128, 2))


def test_encoder_says_what_it_is(backend):
    with venc.Encoder(128, 128, backend=backend) as enc:
        assert enc.backend.partition(":")[0] == ("sim" if enc.simulated else "ascend")
        assert "128x128 h265 main 25 fps" in repr(enc)
        assert enc.time_base == Fraction(1, 25)
    assert repr(enc).endswith("closed>")


HUGE_INT = 10**5000  # beyond every float, and longer than Python writes out


@pytest.mark.parametrize(
    "name",
    ["width", "depth", "queue", "max_queued", "timeout", "max_latency", "sink", "device", "gop", "fps", "bitrate"],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_huge_numbers_are_refused_by_name(backend, name, sign):
    kwargs = {"width": 128, "height": 128, "backend": backend, "delivery": "coalesced", name: sign * HUGE_INT}
    with pytest.raises(venc.InvalidArgumentError) as caught:
        venc.Encoder(**kwargs)
    assert name in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("call", ["submit", "receive", "acquire"])
def test_huge_timeouts_of_calls_are_refused(backend, call):
    with venc.Encoder(128, 128, backend=backend) as enc:
        args = [bytes(128 * 192)] if call == "submit" else []
        with pytest.raises(venc.InvalidArgumentError, match="timeout is an integer of 16610 bits"):
            getattr(enc, call)(*args, timeout=HUGE_INT)
        assert enc.stats.submitted == 0


def test_kinds_that_a_call_does_not_take_are_refused_before_the_device(backend):
    with venc.Encoder(128, 128, backend=backend) as enc:
        frame = enc.acquire()
        for call in (enc.submit_async, lambda given: enc.submit_many([bytes(128 * 192), given])):
            with pytest.raises(TypeError, match=r"Frame of acquire\(\)"):
                call(frame)
        frame.release()
        with pytest.raises(TypeError, match="uint8 items"):
            enc.submit(np.zeros((192, 128), "datetime64[s]"))
        assert enc.stats.submitted == 0
        assert len(enc.encode(bytes(128 * 192)) + enc.flush()) == 1


@pytest.mark.parametrize("use", ["submit", "encode", "encode_future", "receive", "flush", "reconfigure", "acquire"])
def test_encoder_that_was_never_opened_says_so(use):
    enc = venc.Encoder.__new__(venc.Encoder)
    with pytest.raises(venc.EncoderClosedError, match="never opened"):
        getattr(enc, use)(*([bytes(128 * 192)] if use in ("submit", "encode", "encode_future") else []))
    with pytest.raises(venc.EncoderClosedError, match="never opened"):
        enc.stats  # noqa: B018
    enc.close()
    assert enc.closed


@pytest.mark.parametrize("kwargs", [{"width": 127}, {"gop": 0}, {"bitrate": "1"}, {"device": 99}, {"timeout": -1}])
def test_bad_argument_leaves_no_native_object(backend, kwargs):
    arguments = {"width": 128, "height": 128, "backend": backend, **kwargs}
    with pytest.raises(venc.InvalidArgumentError, match=next(iter(kwargs))):
        venc.Encoder(**arguments)


@pytest.mark.sim_only
@pytest.mark.parametrize("name", ["ascend_venc.futures", "logging"])
def test_module_that_another_thread_just_imports_stops_nobody(monkeypatch, name):
    """It is in sys.modules from the beginning of its import on, and empty."""
    monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    enc = venc.Encoder(128, 128, codec="h264", backend="sim")
    enc.close()
    assert enc.closed


def test_bit_rate_that_nobody_has_given_is_within_the_chip_s_range(backend):
    most = venc.capabilities(backend=backend).bitrate[1]
    with venc.Encoder(4096, 2304, codec="h264", fps=1000, depth=1, backend=backend) as enc:
        assert enc.config.bitrate == most
    with pytest.raises(venc.InvalidArgumentError, match=f"bitrate is {most + 1000} bit/s"):
        venc.Encoder(4096, 2304, codec="h264", fps=1000, depth=1, bitrate=most + 1000, backend=backend)


def test_rate_of_long_numbers_is_rounded_when_the_encoder_opens_and_later(backend):
    measured = Fraction(2_997_000_001, 100_000_000)
    with venc.Encoder(128, 128, codec="h264", fps=measured, backend=backend) as enc:
        assert enc.config.fps == Fraction(2997, 100)
        assert enc.reconfigure(fps=Fraction(3 * 10**30 + 1, 10**29)) == 0
        assert enc.config.fps == 30 and enc.time_base == Fraction(1, 30)
