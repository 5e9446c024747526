# SPDX-License-Identifier: Apache-2.0
"""Values that no parameter takes, as a table: the exact exception, and the words that have to be in it.

A row is a parameter: what it must be, and which of the values below it takes all the same. Each of the others is tried.
"""

import asyncio
import io
import string
import tempfile
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ascend_venc as venc
from ascend_venc import aio
from ascend_venc.config import EncoderConfig
from ascend_venc.media.segments import Split

FRAME = bytes(128 * 192)


class Odd:
    def __repr__(self):
        return "Odd()"


# Of a wrong kind: by the name of its type.
KINDS = [None, "x", b"x", 1.5, [], {}, (), set(), True, Odd(), 3j, np.float64(1.5), np.zeros(3), range(3), int]
NUMBERS = [-1, 0, -(2**31), 2**31, 2**32, 2**63, -(2**63), 2**64, 10**5000, -(10**5000)]
FLOATS = [float("nan"), float("inf"), -float("inf"), -0.5]
TEXTS = ["", "nothing", "\0", "é", "h264 ", "x" * 1000]
RATES = ["1e999999999", "1e-999999999", "1/0", "-3", "9" * 5000]


class Row:
    """`must`: in the TypeError. `fix`: in the InvalidArgumentError. `takes`: types, and `but` values, that it takes."""

    def __init__(self, must, fix, values, takes=(), but=()):
        self.must, self.fix, self.values, self.takes, self.but = must, fix, values, takes, but

    def cases(self):
        """(value, exact type of the exception, words)."""
        for value in KINDS:
            kind = type(value)
            if kind not in self.takes:
                yield value, TypeError, [self.must, kind.__name__]
        for value in self.values:
            if not any(value == other for other in self.but):
                yield value, venc.InvalidArgumentError, [self.fix]


def an_int(fix, takes=(), but=()):
    return Row("must be an int", fix, NUMBERS, takes, but)


def a_name(fix, takes=(), must="must be a str"):
    return Row(must, fix, [*TEXTS, "x"], (str, *takes))


none = type(None)
ROWS = {
    "width": an_int("width is"),
    "height": an_int("height is"),
    "gop": an_int("gop is", [none]),
    "depth": an_int("depth is"),
    "queue": an_int("allowed is 0 to 256", [none], [0]),
    "max_queued": an_int("allowed is 1 to 65536"),
    "device": an_int("this machine has 0 to", (), [0]),
    "codec": a_name('allowed are "h264"'),
    "profile": a_name('allowed are "baseline"', [none]),
    "pixel_format": a_name('allowed are "nv12"'),
    "color_matrix": a_name('allowed are "bt601"', [none], "must be a str or None"),
    "color_range": a_name('allowed are "limited"', [none]),
    "source_range": a_name('allowed are "limited"', [none]),
    "rc": a_name('allowed are "default"'),
    "on_full": a_name('allowed are "block"'),
    "delivery": a_name('allowed are "immediate"'),
    "interface": a_name('allowed are "auto"', [none]),
    "scene": a_name('allowed are "still"', [none]),
    "fps": Row(
        "must be an int, float or Fraction", "fps is", [*NUMBERS, *FLOATS, *RATES, *TEXTS], (str, float, np.float64)
    ),
    "bitrate": Row(
        "must be a number (bit/s)",
        "bitrate is",
        [*NUMBERS, *FLOATS, *RATES, *TEXTS, 1.5, Fraction(10**400), Fraction(-(10**400)), Fraction(1, 10**400)],
        (none, str, float, np.float64),
    ),
    "timeout": Row(
        "must be a number of seconds or None",
        "give seconds >= 0",
        [-1, -(2**31), -(2**63), 10**5000, -(10**5000), *FLOATS],
        (none, float, np.float64),
    ),
    "max_latency": Row(
        "must be a number of seconds", "allowed are seconds above 0", [*NUMBERS, *FLOATS, 1.5], (float, np.float64)
    ),
    "sample_aspect_ratio": Row(
        "must be a Fraction or None",
        "sample_aspect_ratio is",
        [*NUMBERS, *FLOATS, *RATES, *TEXTS, Fraction(1, 10**400)],
        (none, str, float, np.float64),
    ),
    "color": Row("must be a ColorInfo or a name", "allowed are", [*TEXTS, "x"], (none, str)),
    "vui": Row("must be a bool", "", [], (bool,)),
    "aud": Row("must be a bool", "", [], (bool,)),
    "sink": Row("must be a file descriptor", "no open file descriptor", [-1, 2**31, 2**63, 10**5000], (none,)),
    "roi": Row("RegionOfInterest", "", [], (list, dict, tuple, set, str, bytes, np.ndarray, range)),
    "intra_refresh": Row("must be an IntraRefresh", "", [], (none,)),
    "backend": Row("must be a str or a path", 'allowed are "auto"', [*TEXTS[1:], "x"], (none, str)),
}


def make(name, value):
    settings = {"width": 128, "height": 128, "codec": "h264", "backend": "sim", name: value}
    if name == "max_latency":
        settings["delivery"] = "coalesced"
    return venc.Encoder(**settings)


def wrong(call, value, kind, words):
    """What is not as the table has it, of one case; None."""
    shown = f"{type(value).__name__} {str(value)[:30] if not isinstance(value, int) else hex(value)[:30]}"
    try:
        call(value)
    except Exception as error:
        text = str(error)
        if type(error) is not kind:
            return f"{shown}: {type(error).__name__}: {text[:200]}"
        missing = [word for word in words if word not in text]
        return f"{shown}: {missing} not in: {text[:200]}" if missing or len(text) >= 500 else None
    return f"{shown}: taken"


@pytest.mark.parametrize("name", ROWS)
def test_encoder_refuses_it_by_the_name_of_the_parameter(name):
    found = [
        wrong(lambda given: make(name, given), value, kind, [name, *words]) for value, kind, words in ROWS[name].cases()
    ]
    assert list(filter(None, found)) == []


# Calls of an encoder that is open: what is refused leaves it as it was.
CALLS = {
    "submit(pts)": (
        lambda enc, value: enc.submit(FRAME, pts=value),
        Row("pts must be an int", "pts is", [*NUMBERS[5:]], (none,), [-(2**63)]),
    ),
    "encode(pts)": (
        lambda enc, value: enc.encode(FRAME, pts=value),
        Row("pts must be an int", "pts is", [*NUMBERS[5:]], (none,), [-(2**63)]),
    ),
    "submit(sei)": (
        lambda enc, value: enc.submit(FRAME, sei=value),
        Row("sei must be a list", "sei is an empty list", [[], ()], (none, list, tuple, set, np.ndarray, range)),
    ),
    "receive(timeout)": (
        lambda enc, value: enc.receive(value),
        Row("timeout must be", "give seconds >= 0", [-1, 10**5000, *FLOATS], (none, float, np.float64)),
    ),
    "acquire(timeout)": (
        lambda enc, value: enc.acquire(timeout=value),
        Row("timeout must be", "give seconds >= 0", [-1, 10**5000, *FLOATS], (none, float, np.float64)),
    ),
    "receive_many(max)": (lambda enc, value: enc.receive_many(value), Row("max must be an int", "max is", NUMBERS, ())),
    "receive_many(at_least)": (
        lambda enc, value: enc.receive_many(at_least=value),
        Row("at_least must be an int", "at_least is", [*NUMBERS, 65], ()),
    ),
    "submit_many(frames) itself": (
        lambda enc, value: enc.submit_many(value),
        Row("frames must be a list", "", [], (list, tuple, dict, set, str, bytes, range, np.ndarray)),
    ),
    "submit_many(pts)": (
        lambda enc, value: enc.submit_many([FRAME] * 2, pts=value),
        Row(
            "pts must be a list",
            "pts has",
            [[], [1], (1, 2, 3)],
            (none, list, tuple, dict, set, str, bytes, range, np.ndarray),
        ),
    ),
    "submit_many(timeout)": (
        lambda enc, value: enc.submit_many([FRAME], timeout=value),
        Row("timeout must be", "give seconds >= 0", [-1, 10**5000, *FLOATS], (none, float, np.float64)),
    ),
    "Histogram.quantile(q)": (
        lambda enc, value: enc.stats.latency.quantile(value),
        Row("q must be a number", "q is", [-1, 99, 10**5000, *FLOATS], (float, np.float64), []),
    ),
    "submit(frame)": (
        lambda enc, value: enc.submit(value),
        Row(
            "must support the buffer protocol",
            "frame has",
            [b"", b"x", bytes(128 * 191), np.zeros((191, 128), np.uint8), np.zeros((192, 128, 3), np.uint8)],
            (bytes, tuple, np.ndarray, np.float64),
        ),
    ),
    "submit_many(frames)": (
        lambda enc, value: enc.submit_many([value]),
        Row(
            "must support the buffer protocol",
            "frame has",
            [b"", b"x", np.zeros(7, np.uint8)],
            (bytes, tuple, np.ndarray, np.float64),
        ),
    ),
    "submit_async(frame)": (
        lambda enc, value: enc.submit_async(value),
        Row(
            "must support the buffer protocol",
            "frame has",
            [b"", b"x", np.zeros(7, np.uint8)],
            (bytes, tuple, np.ndarray, np.float64),
        ),
    ),
    "DeviceFrame(ptr)": (
        lambda enc, value: venc.DeviceFrame(value, 128, 128),
        Row("ptr must be an int", "ptr is", [-1, 0, 2**64, 10**5000]),
    ),
    "DeviceFrame(stride)": (
        lambda enc, value: venc.DeviceFrame(4096, value, 128),
        Row("stride must be an int", "stride is", NUMBERS),
    ),
    "reconfigure(gop)": (
        lambda enc, value: enc.reconfigure(gop=value),
        Row("gop must be an int", "gop is", NUMBERS, (none,)),
    ),
    "reconfigure(bitrate)": (
        lambda enc, value: enc.reconfigure(bitrate=value),
        Row("must be a number (bit/s)", "bitrate is", [*NUMBERS, *FLOATS, *RATES, 1.5], (none, str, float, np.float64)),
    ),
}


def test_open_encoder_refuses_it_and_goes_on():
    found, count = [], 0
    with venc.Encoder(128, 128, codec="h264", backend="sim") as enc:
        for name, (call, row) in CALLS.items():
            for value, kind, words in row.cases():
                count += 1
                problem = wrong(lambda given, call=call: call(enc, given), value, kind, words)
                if problem:
                    found.append(f"{name}: {problem}")
        assert found == []
        assert enc.stats.submitted == 0
        assert len(enc.encode(FRAME) + enc.flush()) == 1
    assert count + sum(len(list(row.cases())) for row in ROWS.values()) >= 500


# What is said before any frame was sent says so.
@pytest.mark.parametrize(
    "given",
    [{"frames": 5}, {"pts": [1]}, {"pts": 5}, {"key_frames": True}, {"tokens": 7}, {"sei": 1.5}, {"timeout": -1}],
    ids=str,
)
def test_submit_many_tells_that_none_was_accepted(given):
    with venc.Encoder(128, 128, codec="h264", backend="sim") as enc:
        with pytest.raises((TypeError, venc.InvalidArgumentError), match=next(iter(given))) as caught:
            enc.submit_many(**{"frames": [FRAME] * 2, **given})
        assert (caught.value.accepted, enc.stats.submitted) == (0, 0)
        enc.close()
        with pytest.raises(venc.EncoderClosedError) as caught:
            enc.submit_many([FRAME])
        assert caught.value.accepted == 0


def test_asyncio_refuses_numbers_of_packets_as_the_synchronous_call():
    row, found = Row("max must be an int", "max is", NUMBERS), []

    async def main():
        async with aio.Encoder(128, 128, codec="h264", backend="sim") as enc:
            await enc.submit(FRAME)
            for value, kind, words in row.cases():

                def call(given):
                    coroutine = enc.receive_many(given)
                    try:
                        coroutine.send(None)  # refused before it waits for anything
                    finally:
                        coroutine.close()

                found.append(wrong(call, value, kind, words))
            assert len(await enc.flush()) == 1

    asyncio.run(main())
    assert list(filter(None, found)) == []


def test_sink_that_is_no_open_file_is_refused_by_name():
    class Odd:
        fileno = 5

    with tempfile.TemporaryFile() as closed:
        pass
    for sink, error, words in [
        (io.BytesIO(), venc.InvalidArgumentError, ["BytesIO", "fileno", "give an open file"]),
        (closed, venc.InvalidArgumentError, ["closed file", "give an open file"]),
        (Odd(), TypeError, ["sink must be a file descriptor or have fileno()", "Odd"]),
    ]:
        problem = wrong(lambda given: make("sink", given), sink, error, ["sink", *words])
        assert problem is None, problem


def test_group_takes_sizes_of_small_integers():
    with venc.EncoderGroup(backend="sim") as group:
        enc = group.add(np.int16(1280), np.int16(720), codec="h264", fps=25)
        assert group.encoders == [enc] and enc.config.width * enc.config.height == 1280 * 720


RING = {
    "seconds": Row(
        "seconds must be a number", "seconds is", [*FLOATS, 0, -1, 10**400, Fraction(10**400)], (float, np.float64)
    ),
    "max_bytes": Row("bytes must be an int", "bytes is", [0, -1, -(10**5000)], (none,)),
}


@pytest.mark.parametrize("name", RING)
@pytest.mark.parametrize("of", ["ring", "split"])
def test_ring_and_split_refuse_it_by_the_name_of_the_parameter(of, name):
    def make(given):
        if of == "ring":
            return venc.media.PacketRing(**{"seconds": 1, name: given})
        return Split(*((given, None) if name == "seconds" else (None, given)))

    rows = [case for case in RING[name].cases() if of == "ring" or case[0] is not None]
    found = [wrong(make, value, kind, words) for value, kind, words in rows]
    assert list(filter(None, found)) == []


ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.fractions(),
    st.text(string.printable, max_size=20),
    st.binary(max_size=5),
    st.lists(st.integers(), max_size=3),
    st.sampled_from([*KINDS, *NUMBERS, *TEXTS, *RATES]),
)
SETTINGS = [
    name
    for name in ROWS
    if name not in ("queue", "max_queued", "device", "on_full", "delivery", "interface", "timeout", "max_latency")
    and name not in ("aud", "sink", "backend")
]


@given(st.dictionaries(st.sampled_from(SETTINGS), ANYTHING, max_size=4))
def test_any_settings_are_taken_or_refused_by_name(given_settings):
    settings = {"width": 128, "height": 128, **given_settings}
    try:
        made = EncoderConfig.resolve(**settings)
        made.is_supported("Ascend310P3")
    except (TypeError, venc.InvalidArgumentError) as error:
        assert type(error) in (TypeError, venc.InvalidArgumentError)
        assert any(name in str(error) for name in [*given_settings, "profile", "rc", "RegionOfInterest"]), error
