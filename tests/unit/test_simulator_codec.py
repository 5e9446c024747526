# SPDX-License-Identifier: Apache-2.0
"""The codec behind the simulated device: structure of its streams, rate, quality, determinism, loading."""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from helpers import acl_program, annexb, simulator, video
from helpers import codec as driver
from helpers.codec import (
    BY_QP,
    CBR,
    COMPILER,
    H264_BASELINE,
    H264_HIGH,
    H264_MAIN,
    H265_MAIN,
    NV12,
    NV21,
    SOURCES,
    VBR,
    Codec,
    CodecError,
    codec_name,
    encode_all,
)
from helpers.decode import unit_frames
from helpers.video import swap_chroma, synthetic
from helpers.waiting import eventually, outcome, started

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler (cc, or $CC) for csrc/sim/codec.c")

ALL = [H265_MAIN, H264_BASELINE, H264_MAIN, H264_HIGH]
PROFILE_IDC = {H265_MAIN: 1, H264_BASELINE: 66, H264_MAIN: 77, H264_HIGH: 100}
NAMES = {H265_MAIN: "h265", H264_BASELINE: "baseline", H264_MAIN: "main", H264_HIGH: "high"}
every_type = pytest.mark.parametrize("en_type", ALL, ids=NAMES.get)
both_codecs = pytest.mark.parametrize("en_type", [H264_HIGH, H265_MAIN], ids=NAMES.get)


@pytest.fixture(scope="module")
def clip() -> list[np.ndarray]:
    return list(video.clip())


def looped(frames: list[np.ndarray], count: int) -> list[np.ndarray]:
    return [frames[number % len(frames)] for number in range(count)]


def parse(units: list[bytes], en_type: int) -> list[annexb.AccessUnit]:
    return annexb.access_units(b"".join(units), codec_name(en_type))


def marks(units: list[bytes], en_type: int) -> list[int]:
    return [video.read_watermark(frame) for frame in unit_frames(units, codec_name(en_type))]


def quality(units: list[bytes], en_type: int, frames: list[np.ndarray]) -> float:
    """The worst PSNR of a frame, over all planes."""
    decoded = unit_frames(units, codec_name(en_type))
    assert len(decoded) == len(frames)
    return min(video.psnr(*pair) for pair in zip(frames, decoded))


def windows(units: list[bytes], bit_rate: int, seconds: int = 5, src_rate: int = 25) -> list[float]:
    """Bits of each stretch of `seconds`, relative to the rate."""
    sums = np.concatenate([[0], np.cumsum([8 * len(unit) for unit in units])])
    span = seconds * src_rate
    return list((sums[span:] - sums[:-span]) / (bit_rate * 1000 * seconds))


# ---- structure ----------------------------------------------------------------------------------


@every_type
@pytest.mark.parametrize("pic_format", [NV12, NV21], ids=["nv12", "nv21"])
def test_stream_has_idr_where_asked_and_nothing_a_device_would_not_send(en_type, pic_format):
    asked = {0, 1, 2, 17, 30, 39}
    frames = synthetic(176, 144, 40, watermark=True)
    units = []
    with Codec(en_type, 176, 144, pic_format=pic_format, bit_rate=500) as codec:
        for number, frame in enumerate(frames):
            units.append(codec.encode(frame if pic_format == NV12 else swap_chroma(frame), number in asked))
    idr_types = ([32, 33, 34, 19], [32, 33, 34, 20]) if en_type == H265_MAIN else ([7, 8, 5],)
    for number, unit in enumerate(parse(units, en_type)):
        assert unit.data == units[number]
        assert unit.data.startswith(b"\0\0\0\1")
        assert unit.slice_types == (["I"] if number in asked else ["P"])
        if number in asked:
            assert unit.types in idr_types
            assert (unit.sps.profile_idc, unit.sps.width, unit.sps.height) == (PROFILE_IDC[en_type], 176, 144)
            assert unit.sps.constrained or en_type != H264_BASELINE
        else:
            assert unit.types == [1]
    assert marks(units, en_type) == list(range(40))
    assert quality(units, en_type, frames) > 30  # of all planes: exchanged chroma would show


@every_type
def test_stream_of_idrs_only_keeps_its_profile(en_type):
    units = encode_all(synthetic(176, 144, 6), en_type, gop=1, bit_rate=2000)
    parsed = parse(units, en_type)
    assert [unit.is_idr for unit in parsed] == [True] * 6
    assert parsed[-1].sps.profile_idc == PROFILE_IDC[en_type]


@both_codecs
def test_stream_without_a_second_idr_request_has_one_idr(en_type):
    units = encode_all(synthetic(128, 128, 330), en_type, gop=65536)
    assert [unit.is_idr for unit in parse(units, en_type)] == [True] + [False] * 329


@both_codecs
@pytest.mark.parametrize("bit_rate", [300, 4000])
def test_still_picture_is_not_filled_up_to_the_rate(en_type, bit_rate):
    ramp = np.add.outer(np.arange(288), np.arange(320)) // 4 + 32
    units = encode_all([ramp.astype(np.uint8)] * 60, en_type, bit_rate=bit_rate)
    parsed = parse(units, en_type)
    filler = 38 if en_type == H265_MAIN else 12
    assert not any(filler in unit.types for unit in parsed)
    if bit_rate == 4000:
        assert windows(units, bit_rate, seconds=2)[0] < 0.5


@pytest.mark.parametrize("size", [(130, 130), (200, 130), (144, 176), (854, 480), (1366, 768), (1920, 1080)])
@both_codecs
def test_sizes_off_the_block_grid_decode_to_the_exact_size(en_type, size):
    frames = synthetic(*size, 2)
    units = encode_all(frames, en_type, bit_rate=4000)
    assert {frame.shape for frame in unit_frames(units, codec_name(en_type))} == {(size[1] * 3 // 2, size[0])}
    assert quality(units, en_type, frames) > 28


SMALLEST, LARGEST = (128, 128), (4096, 4096)
EXTREMES = [
    *[(SMALLEST, rc_mode, bit_rate, rate) for rc_mode in (VBR, CBR) for bit_rate in (2, 614400) for rate in (1, 240)],
    (LARGEST, CBR, 2, 240),
    (LARGEST, VBR, 100000, 30),
]


@pytest.mark.parametrize(("size", "rc_mode", "bit_rate", "src_rate"), EXTREMES)
@both_codecs
def test_extremes_of_size_and_rate_encode(en_type, size, rc_mode, bit_rate, src_rate):
    count = 4 if size == SMALLEST else 2
    # The largest is one colour: what takes long is texture, and that is the smallest's.
    frame = synthetic(*size, 1)[0] if size == SMALLEST else np.full((size[1] * 3 // 2, size[0]), 90, np.uint8)
    units = encode_all([frame] * count, en_type, gop=3, rc_mode=rc_mode, bit_rate=bit_rate, src_rate=src_rate)
    parsed = parse(units, en_type)
    assert [unit.is_idr for unit in parsed] == [True, False, False, True][:count]
    sps = parsed[0].sps
    assert (sps.width, sps.height) == size


# ---- input --------------------------------------------------------------------------------------


@both_codecs
@pytest.mark.parametrize("strides", [(256, 256), (192, 256), (208, 176)])
def test_padded_lines_give_the_same_bytes(en_type, strides):
    width, height = 176, 144
    frames = synthetic(width, height, 5)
    expected = encode_all(frames, en_type)
    y_stride, uv_stride = strides
    with Codec(en_type, width, height) as codec:
        for number, frame in enumerate(frames):
            y = np.full((height, y_stride), 99, np.uint8)
            uv = np.full((height // 2, uv_stride), 77, np.uint8)
            y[:, :width], uv[:, :width] = frame[:height], frame[height:]
            data = codec.encode_planes(y.ctypes.data, y_stride, uv.ctypes.data, uv_stride, number == 0)
            assert data == expected[number]


def test_h265_of_exchanged_chroma_is_the_same_stream():
    frames = synthetic(150, 130, 6)  # 75 pairs: the last ones are outside the blocks of the inner loop
    expected = encode_all(frames, H265_MAIN)
    assert encode_all([swap_chroma(frame) for frame in frames], H265_MAIN, pic_format=NV21) == expected


@both_codecs
def test_input_is_not_read_beyond_its_last_sample(en_type):
    """The last line of a padded plane may end where its memory ends."""
    page = os.sysconf("SC_PAGE_SIZE")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype, libc.mmap.argtypes = ctypes.c_void_p, [ctypes.c_void_p, *[ctypes.c_size_t] * 5]
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    width, height, stride = 160, 128, 192
    pages = (stride * height + page - 1) // page
    base = libc.mmap(None, (pages + 1) * page, 3, 0x22, ctypes.c_size_t(-1).value, 0)
    assert base not in (None, ctypes.c_size_t(-1).value)
    try:
        assert libc.mprotect(base + pages * page, page, 0) == 0
        end = base + pages * page
        with Codec(en_type, width, height) as codec:
            y = end - (stride * (height - 1) + width)
            assert codec.encode_planes(y, stride, y, stride, True)
            uv = end - (stride * (height // 2 - 1) + width)
            assert codec.encode_planes(y, stride, uv, stride, False)
    finally:
        libc.munmap(base, (pages + 1) * page)


# ---- rate and quality ---------------------------------------------------------------------------


@both_codecs
@pytest.mark.parametrize("bit_rate", [300, 1000, 4000])
def test_cbr_of_the_looped_clip_is_within_ten_percent_over_five_seconds(en_type, bit_rate, clip):
    units = encode_all(looped(clip, 125), en_type, bit_rate=bit_rate)
    assert windows(units, bit_rate)[0] == pytest.approx(1, abs=0.10)


@both_codecs
@pytest.mark.parametrize("bit_rate", [1000, 4000])
def test_cbr_does_not_overshoot_in_its_first_second(en_type, bit_rate, clip):
    assert windows(encode_all(clip[:25], en_type, bit_rate=bit_rate), bit_rate, seconds=1)[0] < 1.15


@pytest.mark.parametrize("en_type", [H264_BASELINE, H264_HIGH], ids=NAMES.get)
def test_h264_cbr_is_within_ten_percent_of_any_five_seconds_when_difficulty_changes(en_type, clip):
    rng = np.random.default_rng(1)
    noisy = [np.clip(frame + rng.integers(-12, 13, frame.shape), 0, 255).astype(np.uint8) for frame in clip]
    coarse = [frame.copy() for frame in clip]
    for frame in coarse:
        blocks = frame[:360].reshape(90, 4, 160, 4).mean((1, 3)).astype(np.uint8)
        frame[:360] = np.kron(blocks, np.ones((4, 4), np.uint8))
    scenes = [(noisy, coarse)[part % 2][(7 * part + at) % 60] for part in range(5) for at in range(50)]
    shares = windows(encode_all(scenes, en_type, gop=250, bit_rate=300), 300)
    assert len(shares) == 126
    assert min(shares) > 0.9
    assert max(shares) < 1.1


def test_h264_cbr_after_a_long_still_part_does_not_burst(clip):
    still = np.full((540, 640), 128, np.uint8)
    units = encode_all([still] * 200 + looped(clip, 200), H264_HIGH, bit_rate=2000)
    shares = windows(units, 2000)
    assert max(shares[:75]) < 0.9  # the still part cannot use the rate
    assert max(shares) < 1.15


@both_codecs
@pytest.mark.parametrize("bit_rate", [300, 1000])
def test_vbr_stays_below_its_cap(en_type, bit_rate, clip):
    units = encode_all(looped(clip, 125), en_type, rc_mode=VBR, bit_rate=bit_rate)
    assert windows(units, bit_rate)[0] <= 1.15


@both_codecs
def test_vbr_with_room_spends_what_the_content_needs(en_type, clip):
    units = encode_all(looped(clip, 50), en_type, rc_mode=VBR, bit_rate=10000)
    assert windows(units, 10000, seconds=2)[0] < 0.5
    assert quality(units, en_type, looped(clip, 50)) > 34


@every_type
@pytest.mark.parametrize("rc_mode", [VBR, CBR], ids=["vbr", "cbr"])
def test_clip_at_two_megabit_has_thirty_db_in_every_frame(en_type, rc_mode, clip):
    units = encode_all(clip, en_type, rc_mode=rc_mode, bit_rate=2000)
    assert quality(units, en_type, clip) >= 30


@both_codecs
def test_low_frame_rate_keeps_the_rate(en_type, clip):
    units = encode_all(clip, en_type, src_rate=1, bit_rate=500, gop=8)
    assert windows(units, 500, seconds=60, src_rate=1)[0] == pytest.approx(1, abs=0.08)


# ---- determinism and threads --------------------------------------------------------------------


def digest(units: list[bytes]) -> str:
    return hashlib.sha256(b"".join(units)).hexdigest()


@both_codecs
def test_bytes_are_the_same_with_other_codecs_at_work(en_type):
    frames = synthetic(176, 144, 25)
    alone = digest(encode_all(frames, en_type, gop=10))
    results: dict[int, str] = {}

    def work(number: int) -> None:
        others = [(H264_BASELINE, (128, 128)), (H265_MAIN, (192, 160)), (H264_MAIN, (320, 180))]
        if number % 2:
            other, size = others[number // 2 % 3]
            encode_all(synthetic(*size, 20, seed=number), other, rc_mode=VBR)
        else:
            results[number] = digest(encode_all(frames, en_type, gop=10))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == {0: alone, 2: alone, 4: alone, 6: alone}


@both_codecs
def test_bytes_are_the_same_in_another_process(en_type):
    code = (
        "import hashlib, sys; sys.path.insert(0, sys.argv[1])\n"
        "from helpers.codec import encode_all; from helpers.video import synthetic\n"
        "units = encode_all(synthetic(176, 144, 12), int(sys.argv[2]), gop=5)\n"
        "print(hashlib.sha256(b''.join(units)).hexdigest())"
    )
    tests = str(Path(driver.__file__).parents[1])
    run = subprocess.run(
        [sys.executable, "-c", code, tests, str(en_type)], check=True, capture_output=True, text=True, timeout=60
    )
    assert run.stdout.strip() == digest(encode_all(synthetic(176, 144, 12), en_type, gop=5))
    assert run.stderr == ""


@both_codecs
def test_codec_used_by_one_thread_after_another_goes_on(en_type):
    frames = synthetic(160, 128, 8, watermark=True)
    units: list[bytes] = []
    with Codec(en_type, 160, 128) as codec:
        for number, frame in enumerate(frames):
            thread = threading.Thread(target=lambda f=frame, n=number: units.append(codec.encode(f, n == 0)))
            thread.start()
            thread.join(30)
    assert marks(units, en_type) == list(range(8))


def test_threads_of_a_codec_are_none_for_h264_and_at_most_one_for_h265():
    def threads() -> set[str]:
        return set(os.listdir("/proc/self/task"))

    frame = synthetic(160, 128, 1)[0]
    for en_type, most in ((H264_HIGH, 0), (H265_MAIN, 1)):
        before = threads()  # threads of earlier tests may end at any time: only new ones are counted
        codecs = [Codec(en_type, 160, 128) for _ in range(4)]
        for codec in codecs:
            codec.encode(frame, True)
        assert len(threads() - before) <= 4 * most
        for codec in codecs:
            codec.close()
        # A joined thread may still be listed for a moment.
        eventually(lambda before=before: not threads() - before)


def test_codec_prints_nothing(capfd):
    for en_type in ALL:
        encode_all(synthetic(160, 128, 5), en_type, gop=2, bit_rate=30)
    assert capfd.readouterr() == ("", "")


# ---- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"en_type": 4}, "stream format 4"),
        ({"en_type": -1}, "stream format -1"),
        ({"pic_format": 3}, "pixel format 3"),
        ({"width": 127}, "127x128"),
        ({"height": 0}, "128x0"),
        ({"width": 8194}, "8194x128 is above 8192"),
        ({"src_rate": 0}, "frame rate 0"),
        ({"src_rate": 1001}, "frame rate 1001"),
        ({"bit_rate": 0}, "bit rate 0"),
        ({"bit_rate": 1000001}, "bit rate 1000001"),
    ],
)
def test_open_with_a_bad_value_says_which(changes, words):
    values = {"en_type": H264_HIGH, "width": 128, "height": 128, **changes}
    with pytest.raises(CodecError, match=words):
        Codec(values.pop("en_type"), values.pop("width"), values.pop("height"), **values)


# ---- loading ------------------------------------------------------------------------------------

FAKE = r"""
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
struct frame { uint8_t *data[8]; int linesize[8]; void *extended; int width, height, samples, format; int tail[4];
               int64_t pts; };
struct packet { void *buf; int64_t pts, dts; uint8_t *data; int size, stream, flags; };
static uint8_t pixels[128 * 128 * 3 / 2];
unsigned avcodec_version(void) { return AVCODEC << 16; }
unsigned avutil_version(void) { return AVUTIL << 16; }
void *avcodec_find_encoder_by_name(const char *n) { return strcmp(n, MISSING) ? (void *)n : NULL; }
void *avcodec_alloc_context3(const void *c) { return malloc(1); }
int avcodec_open2(void *c, const void *k, void **o) { return OPEN; }
void avcodec_free_context(void **c) { free(*c); *c = NULL; }
int avcodec_send_frame(void *c, const struct frame *f) { return 0; }
int avcodec_receive_packet(void *c, struct packet *p) { return -11; }
struct frame *av_frame_alloc(void) {
    struct frame *f = calloc(1, 512);
    f->format = FORMAT;
    f->pts = INT64_MIN;
    f->tail[AVUTIL >= 60 ? 2 : 3] = 1;
    return f;
}
void av_frame_free(struct frame **f) { free(*f); *f = NULL; }
int av_frame_get_buffer(struct frame *f, int a) {
    f->data[0] = pixels;
    f->data[1] = pixels + 128 * 128;
    f->linesize[0] = f->linesize[1] = 128;
    return 0;
}
int av_frame_make_writable(struct frame *f) { return 0; }
void *av_frame_new_side_data(struct frame *f, int type, size_t size) { return 0; }
void av_frame_remove_side_data(struct frame *f, int type) {}
const char *av_frame_side_data_name(int type) { return 0; }
struct packet *av_packet_alloc(void) {
    struct packet *p = calloc(1, 256);
    p->pts = p->dts = INT64_MIN;
    return p;
}
void av_packet_free(struct packet **p) { free(*p); *p = NULL; }
void av_packet_unref(struct packet *p) {}
int av_opt_set(void *o, const char *n, const char *v, int f) { return OPTION; }
int av_get_pix_fmt(const char *n) { return 0; }
int av_strerror(int e, char *b, size_t n) { strncpy(b, e == -11 ? "held back" : "bad option", n); return 0; }
"""
GOOD_FAKE = {"AVCODEC": 62, "AVUTIL": 60, "FORMAT": -1, "MISSING": '""', "OPTION": 0, "OPEN": 0}


def compile_fake(target: Path, source: str = FAKE, *flags: str, **macros: object) -> str:
    defines = [f"-D{name}={value}" for name, value in {**GOOD_FAKE, **macros}.items()]
    target.with_suffix(".c").write_text(source)
    target.parent.mkdir(exist_ok=True)
    command = [COMPILER, "-w", "-fPIC", "-shared", *defines, "-o", str(target), str(target.with_suffix(".c")), *flags]
    subprocess.run(command, check=True)
    return str(target)


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """A function that loads libavcodec in a copy of the codec that has loaded none yet."""
    monkeypatch.delenv("ASCEND_VENC_SIM_AVCODEC", raising=False)
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    driver.load_codec()

    def make(place: Path | None = None) -> tuple[ctypes.CDLL, object]:
        place = place or tmp_path / "alone" / "a" / "b" / "codec.so"
        place.parent.mkdir(parents=True)
        shutil.copy(driver.load_codec()._name, place)
        library = driver.bind(place)

        def load(path: str | None = None) -> str:
            why = ctypes.create_string_buffer(4096)
            code = library.sim_codec_load(path.encode() if path else None, why, len(why))
            assert (code == 0) == (library.sim_codec_version() != b"") == (library.sim_codec_path() != b"")
            return "" if code == 0 else why.value.decode()

        return library, load

    return make


needs_wheel = pytest.mark.skipif(
    driver.wheel_libavcodec() is None, reason="PyAV here is not from a wheel: no av.libs/libavcodec-* beside it"
)


def test_load_of_a_missing_path_says_so_and_what_to_install(fresh):
    _, load = fresh()
    why = load("/nonexistent/libavcodec.so.62")
    assert "/nonexistent/libavcodec.so.62: cannot open" in why
    assert "pip install 'ascend-venc[sim]'" in why
    assert "ASCEND_VENC_SIM_AVCODEC" in why


def test_load_of_another_library_names_the_missing_symbol(fresh):
    _, load = fresh()
    assert "has no symbol avcodec_version" in load(driver.load_codec()._name)


@pytest.mark.parametrize(
    ("macros", "words"),
    [
        ({"AVCODEC": 57, "AVUTIL": 55}, "libavcodec 57.0.0 .* is not supported"),
        ({"AVCODEC": 64, "AVUTIL": 62}, "libavcodec 64.0.0 .* is not supported"),
        ({"AVUTIL": 62}, r"libavutil 62.0.0\) is not supported"),
        ({"FORMAT": 0}, "unknown structure layout"),
        ({"MISSING": '"libx265"'}, "lacks libx264 or libx265"),
        ({"MISSING": '"libx264"'}, "lacks libx264 or libx265"),
    ],
)
def test_load_of_an_unsuitable_libavcodec_is_refused_with_path_and_reason(fresh, tmp_path, macros, words):
    _, load = fresh()
    path = compile_fake(tmp_path / "libavcodec.so", **macros)
    why = load(path)
    assert re.search(f"{re.escape(path)}: .*{words}", why)


@pytest.mark.parametrize(("avcodec", "avutil"), [(58, 56), (59, 57), (60, 58), (61, 59), (62, 60), (63, 61)])
def test_load_of_every_supported_major_is_accepted(fresh, tmp_path, avcodec, avutil):
    library, load = fresh()
    path = compile_fake(tmp_path / "libavcodec.so", AVCODEC=avcodec, AVUTIL=avutil)
    assert load(path) == ""
    assert library.sim_codec_path().decode() == path
    assert library.sim_codec_version().decode() == f"libavcodec {avcodec}.0.0 (libavutil {avutil}.0.0)"


@needs_wheel
def test_load_after_a_failure_is_tried_again_and_then_stays(fresh, tmp_path):
    library, load = fresh()
    assert load("/nonexistent/libavcodec.so") != ""
    assert load(driver.wheel_libavcodec()) == ""
    assert load("/nonexistent/libavcodec.so") == ""
    assert library.sim_codec_path().decode() == driver.wheel_libavcodec()


def test_load_reads_the_environment_and_an_explicit_path_goes_first(fresh, tmp_path, monkeypatch):
    library, load = fresh()
    first, second = (compile_fake(tmp_path / name) for name in ("first.so", "second.so"))
    monkeypatch.setenv("ASCEND_VENC_SIM_AVCODEC", "/nonexistent/libavcodec.so")
    assert "/nonexistent/libavcodec.so: cannot open" in load()
    monkeypatch.setenv("ASCEND_VENC_SIM_AVCODEC", first)
    assert load(second) == ""
    assert library.sim_codec_path().decode() == second


def test_load_finds_the_wheel_beside_its_own_library(fresh, tmp_path):
    site = tmp_path / "site-packages"
    (site / "av.libs").mkdir(parents=True)
    path = compile_fake(site / "av.libs" / "libavcodec-0123abcd.so.62.28.102")
    library, load = fresh(site / "ascend_venc" / "_lib" / "codec.so")
    assert load() == ""
    assert library.sim_codec_path().decode() == path


def test_load_finds_the_wheel_of_the_virtual_environment(fresh, tmp_path, monkeypatch):
    libs = tmp_path / "venv" / "lib" / "python3.11" / "site-packages" / "av.libs"
    libs.mkdir(parents=True)
    path = compile_fake(libs / "libavcodec-0123abcd.so.62.28.102")
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "venv"))
    library, load = fresh()
    assert load() == ""
    assert library.sim_codec_path().decode() == path


def test_load_of_a_wheel_without_rpath_takes_its_siblings_along(fresh, tmp_path):
    """PyAV up to 17.1: the libraries find each other only when they are already loaded."""
    libs = tmp_path / "av.libs"
    libs.mkdir()
    # each needs the next one; names in an order in which no single pass over the folder can load them all
    compile_fake(libs / "libc-3.so", "int three(void) { return 62; }", "-Wl,-soname,libc-3.so")
    for name, source, needs in (
        ("liba-2.so", "int three(void); int two(void) { return three(); }", "libc-3.so"),
        ("libb-1.so", "int two(void); int one(void) { return two(); }", "liba-2.so"),
    ):
        flags = [f"-Wl,-soname,{name}", "-Wl,--no-as-needed", str(libs / needs), f"-Wl,-rpath-link,{libs}"]
        compile_fake(libs / name, source, *flags)
    source = FAKE.replace("return AVCODEC << 16", "return one() << 16")
    flags = ["-Wl,--no-as-needed", str(libs / "libb-1.so"), f"-Wl,-rpath-link,{libs}"]
    path = compile_fake(libs / "libavcodec-0.so.62", "int one(void);" + source, *flags)
    needed = subprocess.run(["ldd", path], capture_output=True, text=True, check=False).stdout
    for name in ("libb-1.so", "liba-2.so", "libc-3.so"):  # the linker recorded bare names, as a wheel has them
        if f"{name} => {libs}" in needed or f"\t{libs}" in needed:
            pytest.skip(f"the dynamic linker finds {name} by itself here")
    _, load = fresh()
    assert load(path) == ""


def test_load_by_many_threads_at_once_gives_one_result(fresh, tmp_path):
    library, load = fresh()
    path = driver.wheel_libavcodec() or compile_fake(tmp_path / "libavcodec.so")
    results = []
    threads = [threading.Thread(target=lambda: results.append(load(path))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == [""] * 16
    assert library.sim_codec_path().decode() == path


SLOW = """
#include <fcntl.h>
#include <unistd.h>
__attribute__((constructor)) static void load(void) {
    close(open(STARTED, O_CREAT | O_WRONLY, 0600));
    usleep(300000);
}
"""


def test_child_of_a_fork_beside_the_loading_has_a_whole_library(fresh, tmp_path):
    """A fork waits for it; the child would wait for a thread that it does not have."""
    _, load = fresh()
    begun = tmp_path / "begun"
    path = compile_fake(tmp_path / "libavcodec.so", FAKE + SLOW, STARTED=f'"{begun}"')
    loading = started(load, path)
    eventually(begun.exists)
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(20)
        os._exit(0 if load(path) == "" else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert outcome(loading) == ""


def test_library_that_is_named_anew_while_another_thread_loads_it_stays_named(tmp_path):
    """The loader of the package names it each time that it opens the device, beside channels that are being created."""
    begun = tmp_path / "begun"
    path = compile_fake(tmp_path / "libavcodec.so", SLOW, STARTED=f'"{begun}"')
    sim = simulator.Simulator(shutil.copy(simulator.path(), tmp_path / "own.so"))  # which nobody else asks for a codec
    sim.set_options(quiet=1)
    assert sim.lib.aclsim_set_codec(os.fsencode(path)) == 0
    with acl_program.Program(sim) as program:
        desc, texts = program.channel_desc(), []

        def create():
            assert sim.aclrtSetCurrentContext(program.context) == 0
            assert sim.aclvencCreateChannel(desc) == 507018
            texts.append(sim.error_text())

        loading = started(create)
        eventually(begun.exists)
        for number in range(3):
            assert sim.lib.aclsim_set_codec(str(number).encode() * len(str(path))) == 0
        outcome(loading)
        program.destroy_desc(desc)
    assert f"(tried {path}: has no symbol" in texts[0]


def test_encode_with_a_library_that_holds_pictures_back_is_refused(fresh, tmp_path):
    library, load = fresh()
    assert load(compile_fake(tmp_path / "libavcodec.so")) == ""
    config = driver.Config(H264_HIGH, NV12, 128, 128, CBR, 25, 1000)
    handle, why = ctypes.c_void_p(), ctypes.create_string_buffer(256)
    assert library.sim_codec_open(config, handle, why, len(why)) == 0
    frame = synthetic(128, 128, 1)[0]
    data, size = ctypes.c_void_p(), ctypes.c_size_t(7)
    address = frame.ctypes.data
    code = library.sim_codec_encode(handle, address, 128, address + 16384, 128, 1, data, size, why, len(why))
    assert (code, data.value, size.value) == (-1, None, 0)
    assert why.value == b"the encoder gives no access unit: held back (-11)"
    library.sim_codec_close(handle)


def test_open_with_a_library_that_refuses_an_option_names_it(fresh, tmp_path):
    library, load = fresh()
    assert load(compile_fake(tmp_path / "libavcodec.so", OPTION=-22)) == ""
    config = driver.Config(H264_HIGH, NV12, 128, 128, CBR, 25, 1000)
    handle, why = ctypes.c_void_p(), ctypes.create_string_buffer(256)
    assert library.sim_codec_open(config, handle, why, len(why)) == -1
    assert why.value == b"libavcodec refuses video_size=128x128: bad option (-22)"
    assert handle.value is None


def test_open_for_the_callers_quantiser_needs_regions_of_interest(fresh, tmp_path):
    library, load = fresh()
    assert load(compile_fake(tmp_path / "libavcodec.so")) == ""
    config = driver.Config(H264_HIGH, NV12, 128, 128, BY_QP, 25, 1000)
    handle, why = ctypes.c_void_p(), ctypes.create_string_buffer(256)
    assert library.sim_codec_open(config, handle, why, len(why)) == -1
    assert why.value == b"this libavutil has no regions of interest"


def test_open_that_the_encoder_refuses_gives_settings_and_reason(fresh, tmp_path):
    library, load = fresh()
    assert load(compile_fake(tmp_path / "libavcodec.so", OPEN=-1)) == ""
    config = driver.Config(H265_MAIN, NV12, 128, 130, CBR, 25, 1000)
    handle, why = ctypes.c_void_p(), ctypes.create_string_buffer(256)
    assert library.sim_codec_open(config, handle, why, len(why)) == -1
    assert why.value == b"libx265 does not open at 128x130, 25 fps, 1000 kbit/s: bad option (-1)"
    assert handle.value is None


# ---- the caller's quantiser ----------------------------------------------------------------------


@every_type
def test_quantiser_counts_from_the_picture_on_and_makes_no_idr(en_type, clip):
    steps = [20, 26, 32, 38, 44, 50]
    units = []
    with Codec(en_type, 640, 360, rc_mode=BY_QP) as codec:
        for number, frame in enumerate(clip):
            codec.set_qp(steps[number // 10])
            units.append(codec.encode(frame, number == 0))
    assert [unit.is_idr for unit in parse(units, en_type)] == [True] + [False] * 59
    decoded = unit_frames(units, codec_name(en_type))
    qualities = [video.psnr(clip[10 * step + 1], decoded[10 * step + 1]) for step in range(6)]
    falls = [earlier - later for earlier, later in zip(qualities, qualities[1:])]
    assert all(1 < fall < 5 for fall in falls), qualities  # a step of six halves the precision
    assert sum(map(len, units[51:60])) < sum(map(len, units[11:20])) / 20


@both_codecs
def test_quantiser_of_an_idr_is_its_own(en_type, clip):
    sizes = []
    with Codec(en_type, 640, 360, rc_mode=BY_QP) as codec:
        for qp in (20, 30, 40):
            codec.set_qp(30)
            for number in range(5):
                codec.encode(clip[number], number == 0)
            codec.set_qp(qp)
            sizes.append(len(codec.encode(clip[5], True)))
    assert sizes[0] > 2 * sizes[1] > 4 * sizes[2]


@both_codecs
@pytest.mark.parametrize("opened", [NV12, NV21], ids=["nv12", "nv21"])
def test_pixel_format_may_change_between_pictures(en_type, opened):
    frames = synthetic(176, 144, 8, watermark=True)
    units = []
    with Codec(en_type, 176, 144, rc_mode=BY_QP, pic_format=opened) as codec:
        for number, frame in enumerate(frames):
            pic_format = NV21 if number // 2 % 2 else NV12
            codec.set_format(pic_format)
            units.append(codec.encode(frame if pic_format == NV12 else swap_chroma(frame), number == 0))
    assert marks(units, en_type) == list(range(8))
    assert quality(units, en_type, frames) > 30


# ---- the hand-declared structures ----------------------------------------------------------------

OFFSETS = """
#include "av_api.h"
#include <libavcodec/avcodec.h>
#define SAME(ours, our_field, theirs, field) \\
    _Static_assert(offsetof(ours, our_field) == offsetof(theirs, field), #theirs "." #field)
SAME(frame_prefix, data, AVFrame, data);
SAME(frame_prefix, linesize, AVFrame, linesize);
SAME(frame_prefix, extended_data, AVFrame, extended_data);
SAME(frame_prefix, width, AVFrame, width);
SAME(frame_prefix, height, AVFrame, height);
SAME(frame_prefix, format, AVFrame, format);
SAME(frame_prefix, pts, AVFrame, pts);
SAME(frame_prefix, tail[LIBAVUTIL_VERSION_MAJOR <= LAST_AVUTIL_WITH_KEY_FRAME ? 1 : 0], AVFrame, pict_type);
SAME(frame_prefix, tail[LIBAVUTIL_VERSION_MAJOR <= LAST_AVUTIL_WITH_KEY_FRAME ? 2 : 1], AVFrame, sample_aspect_ratio);
SAME(side_data_prefix, type, AVFrameSideData, type);
SAME(side_data_prefix, data, AVFrameSideData, data);
SAME(region_of_interest, size, AVRegionOfInterest, self_size);
SAME(region_of_interest, top, AVRegionOfInterest, top);
SAME(region_of_interest, bottom, AVRegionOfInterest, bottom);
SAME(region_of_interest, left, AVRegionOfInterest, left);
SAME(region_of_interest, right, AVRegionOfInterest, right);
SAME(region_of_interest, shift, AVRegionOfInterest, qoffset);
SAME(packet_prefix, pts, AVPacket, pts);
SAME(packet_prefix, dts, AVPacket, dts);
SAME(packet_prefix, data, AVPacket, data);
SAME(packet_prefix, size, AVPacket, size);
SAME(packet_prefix, flags, AVPacket, flags);
_Static_assert(PICTURE_TYPE_I == AV_PICTURE_TYPE_I && PICTURE_TYPE_NONE == AV_PICTURE_TYPE_NONE, "picture types");
"""


def libavcodec_cflags() -> list[str] | None:
    pkg_config = shutil.which("pkg-config")
    if pkg_config is None:
        return None
    run = subprocess.run([pkg_config, "--cflags", "libavcodec"], capture_output=True, text=True, check=False)
    return run.stdout.split() if run.returncode == 0 else None


def test_structures_agree_with_real_headers(tmp_path):
    flags = libavcodec_cflags()
    if flags is None:
        pytest.skip("no libavcodec headers: `pkg-config --cflags libavcodec` does not succeed")
    source = tmp_path / "offsets.c"
    source.write_text(OFFSETS)
    subprocess.run([COMPILER, "-std=gnu11", "-fsyntax-only", f"-I{SOURCES}", *flags, str(source)], check=True)
