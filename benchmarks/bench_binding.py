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
    assert set_width(desc, 640) == 0
    if call == "setter":
        benchmark(lambda: [set_width(desc, 640) for _ in range(CALLS)])
    else:
        benchmark(lambda: [get_width(desc) for _ in range(CALLS)])
    assert get_width(desc) == 640


SMALL, LARGE, TOLD = (128, 128), (1920, 1080), {"vui": True, "color": "bt709"}  # the stream tells colours and rate
WAYS = {  # frames of a batch, size, options
    "encode": (1, SMALL, {}),
    "batches of 8": (8, SMALL, {}),
    "encode, 1080p": (1, LARGE, {}),
    "encode, told": (1, SMALL, TOLD),
    "encode, not told": (1, SMALL, {"vui": False}),
    "encode, told in every frame": (1, SMALL, {**TOLD, "gop": 1}),  # which are all key frames
    "encode, key frames": (1, SMALL, {"vui": False, "gop": 1}),
}


@pytest.mark.parametrize("way", WAYS)
def bench_encoder(benchmark, way):
    batch, size, options = WAYS[way]
    settings = {"gop": 65536, "depth": 16, "interface": "v1", "backend": "sim", **options}
    frame = bytes(size[0] * size[1] * 3 // 2)
    count = (FRAMES if size == SMALL else FRAMES // 10) // batch * batch

    def run(enc):
        keys = []
        for _ in range(count // batch):
            if batch == 1:
                packets = enc.encode(frame)
            else:
                enc.submit_many([frame] * batch)
                packets = enc.receive_many()
            keys += [packet.is_keyframe for packet in packets]
        keys += [packet.is_keyframe for packet in enc.flush()]
        assert len(keys) == count and sum(keys) in ((count,) if settings["gop"] == 1 else (0, 1))

    with venc.Encoder(*size, **settings) as enc:
        benchmark.pedantic(run, args=(enc,), rounds=5, warmup_rounds=1)
        assert enc.stats.undescribed == 0
