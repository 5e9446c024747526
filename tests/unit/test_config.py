# SPDX-License-Identifier: Apache-2.0
"""Arguments are checked before the device sees them, with name, value, range and fix in the message."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ascend_venc import config, errors
from ascend_venc.chip_limits import CHIPS, limits_of
from ascend_venc.color import parse_shape
from ascend_venc.config import EncoderConfig

P310P = limits_of("Ascend310P3")


def resolve(width=1280, height=720, **kwargs):
    return EncoderConfig.resolve(width, height, **kwargs)


@pytest.mark.parametrize(
    ("soc", "family"),
    [
        ("Ascend310", "Ascend310"),
        ("Ascend310P3", "Ascend310P"),
        ("Ascend310P1", "Ascend310P"),
        ("Ascend310B4", "Ascend310B"),
        ("Ascend999X", "an unlisted chip"),
        ("", "an unlisted chip"),
    ],
)
def test_limits_of_finds_the_family(soc, family):
    assert limits_of(soc).family == family


@pytest.mark.parametrize("soc", ["Ascend910", "Ascend910B1", "Ascend910_9391", "Ascend950PR"])
def test_limits_of_chip_without_encoder_raises_naming_it_and_those_that_work(soc):
    with pytest.raises(errors.UnsupportedDeviceError) as caught:
        limits_of(soc)
    assert soc in str(caught.value)
    for chip in CHIPS:
        assert chip.family in str(caught.value)
    assert caught.value.soc_name == soc


@pytest.mark.parametrize(
    ("value", "bits"),
    [
        (2000000, 2000000),
        ("2M", 2000000),
        ("800k", 800000),
        ("2.5M", 2500000),
        ("300000", 300000),
        ("1m", 1000000),
        (" 4 M ", 4000000),
        ("500kbit/s", 500000),
        ("1.5Mbps", 1500000),
        ("4e6", 4000000),
        (4e6, 4000000),
        (2.5e6, 2500000),
        (Fraction(4000001, 2), 2000000),
        (np.float32(1e6), 1000000),
        (np.int64(7), 7),
    ],
)
def test_parse_bitrate_reads_bits_per_second(value, bits):
    assert config.parse_bitrate(value) == bits


@pytest.mark.parametrize("value", ["", "fast", "2G", "-1M", "M", "1e-6", "1e", "nan", "2 MB"])
def test_parse_bitrate_bad_text_raises_naming_it(value):
    with pytest.raises(errors.InvalidArgumentError, match="bitrate is"):
        config.parse_bitrate(value)


@pytest.mark.parametrize(
    ("value", "fps"),
    [
        (25, 25),
        (29.97, Fraction(30000, 1001)),
        (23.976, Fraction(24000, 1001)),
        (59.94, Fraction(60000, 1001)),
        (12.5, Fraction(25, 2)),
        ("30000/1001", Fraction(30000, 1001)),
        (Fraction(50), 50),
        ("15", 15),
        ("29.97", Fraction(30000, 1001)),
        ("23.976", Fraction(24000, 1001)),
        (" 59.94 ", Fraction(60000, 1001)),
        ("12.5", Fraction(25, 2)),
        ("24.", 24),
        ("0.001", Fraction(1, 1000)),
        (0.0005, Fraction(1, 2000)),
        (".5", Fraction(1, 2)),
        ("-1", -1),
        (480, 480),
        ("23.98", Fraction(24000, 1001)),
        (0.996, Fraction(249, 250)),
        ("1.996", Fraction(499, 250)),
        (119.9, Fraction(1199, 10)),
        (1 / Fraction(0.04), 25),
        (Fraction(3 * 10**30 + 1, 10**29), 30),
        (Fraction(10**29, 3 * 10**30 + 1), Fraction(1, 30)),
        ("123456789012/4115226301", Fraction(30)),
        (Fraction(2**31 - 1, 2**31 - 2), Fraction(2**31 - 1, 2**31 - 2)),
        (Fraction(2**31, 2**31 - 1), 1),
    ],
)
def test_parse_fps_is_exact(value, fps):
    assert config.parse_fps(value) == fps


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        "x",
        "1/0",
        "",
        "1e3",
        "1e999999999",
        "1e-999999999",
        "1" * 5000,
        "1/" + "9" * 5000,
        10**400,
        1e300,
        1e-300,
        Fraction(1, 10**400),
        "1000001",
        "0.0000001",
    ],
    ids=lambda value: str(value)[:12] if isinstance(value, (str, float)) else type(value).__name__,
)
def test_parse_fps_bad_value_raises_naming_it(value):
    with pytest.raises(errors.InvalidArgumentError, match="fps is"):
        config.parse_fps(value)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"width": "1280"},
        {"width": 1280.0},
        {"width": True},
        {"width": None},
        {"codec": 264},
        {"fps": None},
        {"fps": True},
        {"fps": [25]},
        {"bitrate": 1j},
        {"bitrate": [1]},
        {"bitrate": True},
        {"gop": 2.5},
        {"gop": "50"},
        {"depth": None},
        {"rc": 2},
        {"profile": 100},
        {"pixel_format": 1},
    ],
)
def test_resolve_wrong_type_raises_typeerror_naming_the_parameter(kwargs):
    (name,) = kwargs
    with pytest.raises(TypeError, match=name):
        resolve(**kwargs)


@pytest.mark.parametrize(
    ("kwargs", "parts"),
    [
        ({"codec": "h263"}, ("codec", "h263", "h264", "h265")),
        ({"codec": "H265x"}, ("codec", 'did you mean "h265"')),
        ({"codec": "libx264"}, ("codec", "libx264", 'did you mean "h264"')),
        ({"codec": "hevc_nvenc"}, ("codec", 'did you mean "h265"')),
        ({"codec": "x265"}, ("codec", 'did you mean "h265"')),
        ({"pixel_format": "yuvj420p"}, ("pixel_format", 'did you mean "i420"')),
        ({"pixel_format": "greyscale"}, ("pixel_format", 'did you mean "gray8"')),
        ({"bitrate": float("inf")}, ("bitrate", "inf", "finite")),
        ({"profile": "hihg", "codec": "h264"}, ("profile", 'did you mean "high"')),
        ({"profile": "high"}, ("profile", "high", "main")),
        ({"profile": "main10"}, ("profile", "main10", 'H.265 is encoded as "main" only')),
        ({"rc": "abr"}, ("rc", "vbr", "cbr")),
        ({"pixel_format": "yuv422p"}, ("pixel_format", "nv12")),
        ({"fps": 0}, ("fps", "0")),
        ({"fps": -25}, ("fps", "-25")),
    ],
)
def test_resolve_bad_choice_raises_with_the_choices(kwargs, parts):
    with pytest.raises(errors.InvalidArgumentError) as caught:
        resolve(**kwargs)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("soc", "kwargs", "parts"),
    [
        ("Ascend310P3", {"width": 1279}, ("width", "1279", "even")),
        ("Ascend310P3", {"height": 721}, ("height", "721", "even")),
        ("Ascend310P3", {"width": 126}, ("width", "126", "128 to 4096")),
        ("Ascend310P3", {"width": 4098}, ("width", "4098", "128 to 4096")),
        ("Ascend310P3", {"width": 4096, "height": 4096, "codec": "h264"}, ("4096 x 4096", "h265")),
        ("Ascend310", {"width": 2048}, ("width", "2048", "128 to 1920")),
        ("Ascend310", {"bitrate": "40M"}, ("bitrate", "40000000")),
        ("Ascend310B4", {"width": 112}, ("width", "112", "114 to 8192")),
        ("Ascend310P3", {"bitrate": 1999}, ("bitrate", "1999", "kbit/s", "1999k")),
        ("Ascend310P3", {"bitrate": 700_000_000}, ("bitrate", "700000000")),
        ("Ascend310P3", {"gop": 0}, ("gop", "0", "1 to 65536")),
        ("Ascend310P3", {"gop": 65537}, ("gop", "65537")),
        ("Ascend310P3", {"depth": 0}, ("depth", "0", "1 to 256")),
        ("Ascend310P3", {"depth": 257}, ("depth", "257")),
    ],
)
def test_check_out_of_range_raises_with_name_value_and_range(soc, kwargs, parts):
    with pytest.raises(errors.InvalidArgumentError) as caught:
        resolve(**kwargs).check(limits_of(soc))
    for part in parts:
        assert part in str(caught.value)


def test_check_reports_every_problem_together():
    with pytest.raises(errors.InvalidArgumentError) as caught:
        resolve(width=1, height=5001, fps=1000, gop=0).check(P310P)
    text = str(caught.value)
    assert len(caught.value.problems) == 5  # both sizes out of range and odd, gop
    assert all(problem in text for problem in caught.value.problems)


def test_resolve_defaults_are_accepted_by_every_chip():
    for chip in CHIPS:
        for codec in ("h264", "h265"):
            made = resolve(640, 360, codec=codec)
            assert made.problems(chip) == []
            assert made.gop == 50


@pytest.mark.parametrize(
    ("fps", "bitrate", "src_rate", "kbit"),
    [(25, "2M", 25, 2000), (Fraction(30000, 1001), "2M", 30, 2002), (12.5, "1M", 12, 960), (1.5, "300k", 2, 400)],
)
def test_max_bit_rate_keeps_the_true_rate_at_fractional_fps(fps, bitrate, src_rate, kbit):
    made = resolve(fps=fps, bitrate=bitrate)
    assert (made.src_rate, made.max_bit_rate) == (src_rate, kbit)


@pytest.mark.parametrize(
    ("soc", "fps", "src_rate", "kbit"),
    [
        ("Ascend310P3", 480, 240, 1000),
        ("Ascend310P3", 240, 240, 2000),
        ("Ascend310P3", 1000, 240, 480),
        ("Ascend310P3", 0.5, 1, 4000),
        ("Ascend310P3", Fraction(1, 3600), 1, 614400),
        ("Ascend310", 300, 120, 800),
        ("Ascend310", "0.01", 1, 30000),
    ],
)
def test_rate_control_gets_the_nearest_rate_that_the_chip_has_and_the_film_keeps_its_own(soc, fps, src_rate, kbit):
    made = resolve(fps=fps, bitrate="2M")
    made.check(limits_of(soc))
    assert (made.src_rate, made.max_bit_rate) == (src_rate, kbit)
    assert made.fps == config.parse_fps(fps)


@pytest.mark.parametrize(
    ("kwargs", "seen"),
    [
        ({"pixel_format": "yuv420p"}, "i420"),
        ({"pixel_format": "RGB"}, "rgb24"),
        ({"pixel_format": "bgr"}, "bgr24"),
        ({"pixel_format": "Gray"}, "gray8"),
        ({"pixel_format": "YUYV"}, "yuyv422"),
        ({"pixel_format": "NV12"}, "nv12"),
        ({"codec": "HEVC"}, "h265"),
        ({"codec": "avc"}, "h264"),
        ({"codec": "H.264"}, "h264"),
        ({"rc": "CBR"}, "cbr"),
        ({"color_matrix": "BT709"}, "bt709"),
        ({"color_range": "Full"}, "full"),
        ({"profile": "MAIN"}, "main"),
    ],
)
def test_resolve_takes_the_names_that_others_use_in_any_case(kwargs, seen):
    (name,) = kwargs
    assert getattr(resolve(**kwargs), name) == seen


@given(
    st.integers(-10, 9000),
    st.integers(-10, 9000),
    st.integers(-5, 10**9),
    st.integers(-5, 70000),
    st.fractions(Fraction(1, 10), 300),
)
def test_check_accepts_exactly_the_documented_ranges(width, height, bitrate, gop, fps):
    made = resolve(width, height, bitrate=bitrate, gop=gop, fps=fps)
    inside = (
        128 <= width <= 4096
        and 128 <= height <= 4096
        and width % 2 == height % 2 == 0
        and 2000 <= bitrate <= 614400000
        and 1 <= gop <= 65536
    )
    assert (made.problems(P310P) == []) == inside


@pytest.mark.parametrize("turned", [False, True])
def test_shape_of_pixels_that_needs_more_than_16_bits_a_side_is_the_nearest_that_does_not(turned):
    exact = Fraction(1_000_003, 333_331)
    found = parse_shape(1 / exact if turned else exact)
    assert max(found.numerator, found.denominator) <= 65535
    assert abs((1 / found if turned else found) - exact) < Fraction(1, 20000)
