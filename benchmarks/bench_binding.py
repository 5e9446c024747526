# SPDX-License-Identifier: Apache-2.0
"""A first look by pytest-benchmark, in a minute: `python -m pytest benchmarks`. run.py compares with C and pyACL.

Simulated device, null codec: binding overhead, not encoder speed. A call's loop and pytest-benchmark's own are in the
figures.
"""

import pytest

import ascend_venc as venc
from ascend_venc import acl

CALLS = 1000
FRAMES = 500
ACCESS_UNIT = 20_000  # bytes


@pytest.fixture(autouse=True)
def null_codec(monkeypatch):
    monkeypatch.setenv("ASCEND_VENC_SIM_OPTIONS", f"null_codec={ACCESS_UNIT}")
    monkeypatch.setenv("ASCEND_VENC_SIM_STRICT", "0")
    monkeypatch.setenv("ASCEND_VENC_BACKEND", "sim")


@pytest.fixture
def desc(null_codec):
    """A picture description of the facade's."""
    assert acl.init() == 0 and acl.rt.set_device(0) == 0
    made = acl.media.dvpp_create_pic_desc()
    assert made
    yield made
    assert acl.media.dvpp_destroy_pic_desc(made) == acl.rt.reset_device(0) == acl.finalize() == 0


@pytest.mark.parametrize("call", ["setter", "getter"])
def bench_facade(benchmark, desc, call):
    set_width, get_width = acl.media.dvpp_set_pic_desc_width, acl.media.dvpp_get_pic_desc_width
    functions = {
        "setter": lambda: [set_width(desc, 640) for _ in range(CALLS)],
        "getter": lambda: [get_width(desc) for _ in range(CALLS)],
    }
    assert set_width(desc, 640) == 0
    benchmark(functions[call])
    assert get_width(desc) == 640


@pytest.mark.parametrize("interface", ["v1"])
@pytest.mark.parametrize(("way", "size"), [("encode", 128), ("batches of 8", 128), ("encode", 1080)])
def bench_encoder(benchmark, way, size, interface):
    width, height = (128, 128) if size == 128 else (1920, 1080)
    frame = bytes(width * height * 3 // 2)
    count = FRAMES if size == 128 else FRAMES // 10
    received = []

    def one_by_one(enc):
        received.append(sum(len(enc.encode(frame)) for _ in range(count)) + len(enc.flush()))

    def in_batches(enc):
        found = 0
        for _ in range(count // 8):
            enc.submit_many([frame] * 8)
            found += len(enc.receive_many())
        received.append(found + len(enc.flush()) + count % 8)

    with venc.Encoder(width, height, gop=65536, depth=16, interface=interface, backend="sim") as enc:
        run = one_by_one if way == "encode" else in_batches
        benchmark.pedantic(run, args=(enc,), rounds=5, warmup_rounds=1)
    assert set(received) == {count}


@pytest.mark.parametrize("gop", [1, 65536])
@pytest.mark.parametrize("vui", [True, False], ids=["told", "not told"])
def bench_parameter_sets(benchmark, gop, vui):
    """What it costs that the stream tells colours and rate: in every frame with `gop` 1, which are all key frames."""
    frame, key_frames = bytes(128 * 128 * 3 // 2), []

    def run(enc):
        packets = [packet for _ in range(FRAMES) for packet in enc.encode(frame)] + enc.flush()
        assert len(packets) == FRAMES
        key_frames.append(sum(packet.is_keyframe for packet in packets))

    color = "bt709" if vui else None
    with venc.Encoder(128, 128, gop=gop, depth=16, vui=vui, color=color, interface="v1", backend="sim") as enc:
        benchmark.pedantic(run, args=(enc,), rounds=5, warmup_rounds=1)
        assert enc.stats.undescribed == 0
    assert set(key_frames) <= ({FRAMES} if gop == 1 else {0, 1})
