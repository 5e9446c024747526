# SPDX-License-Identifier: Apache-2.0
"""Cost of `Encoder.encode` per frame against the same loop in plain C: one call per frame, packets received, dropped.

Target for 20 KB access units at 128 x 128 (docs: performance goals of the project): less than 2 x the C loop.
"""

import pytest

import ascend_venc as venc

FRAMES = 2000


@pytest.mark.parametrize(("width", "height"), [(128, 128), (1920, 1080)])
def bench_encode_one_call_per_frame(benchmark, c_floor, width, height):
    frames = FRAMES if width == 128 else FRAMES // 10
    floor = c_floor(frames, width, height, 4)
    frame = bytes(width * height * 3 // 2)
    received = []

    def run(enc):
        count = 0
        for _ in range(frames):
            count += len(enc.encode(frame))
        received.append(count + len(enc.flush()))

    with venc.Encoder(width, height, gop=65536, depth=4, backend="sim") as enc:
        benchmark.pedantic(run, args=(enc,), rounds=7, warmup_rounds=1)
    assert set(received) == {frames}
    ours = benchmark.stats.stats.median / frames * 1e9
    benchmark.extra_info.update(
        device="simulated, null codec: binding overhead, not encoder speed",
        access_unit_bytes=20_000,
        ns_per_frame=round(ours),
        c_ns_per_frame=round(floor),
        ratio_to_c=round(ours / floor, 2),
    )
    print(f"\n{width}x{height}: {ours:.0f} ns a frame, C loop {floor:.0f} ns, ratio {ours / floor:.2f}")
