# SPDX-License-Identifier: Apache-2.0
"""Times made continuous, and the choice of a frame rate."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ascend_venc.media.timeline import Timeline, agree, choose_rate

FAR = 10_000
STEP = 40


def place(times, far=FAR, step=STEP):
    """Place frames of these times, each shown for `step`; return (places, number of restarts)."""
    places, timeline = placed(times, far, step)
    return places, timeline.restarts


def placed(times, far=FAR, step=STEP):
    timeline = Timeline(far)
    timeline.begin(times[0])
    places = [0]
    for index in range(1, len(times)):
        following = times[index + 1] if index + 1 < len(times) else None
        places.append(timeline.follow(times[index], step, lambda time=following: time))
    return places, timeline


def even(count, begin=0):
    return [begin + STEP * index for index in range(count)]


@pytest.mark.parametrize(
    ("times", "places", "restarts"),
    [
        (even(5), even(5), 0),
        (even(5, 90_000), even(5), 0),
        (even(5, -200), even(5), 0),
        ([0, 40, 1000, 1040], [0, 40, 1000, 1040], 0),  # a pause
        (even(5) + even(5), even(10), 1),  # two recordings in one
        (even(3) + even(3) + even(3), even(9), 2),
        (even(4, 5000) + even(4, 4990), even(8), 1),  # only a little back, but for good
        (even(4) + even(4, 10**9), even(8), 1),  # far ahead
        ([*even(3), 10**9, *even(4, 120)], even(8), 2),  # one frame with a wild time
        ([*even(3), 40, *even(3, 160)], [0, 40, 80, 120, 160, 200, 240], 0),  # one frame that is behind
        ([*even(3), 2120, *even(3, 160)], even(7), 0),  # one that is far ahead of the next
        ([*even(3), 210, *even(3, 160)], even(7), 0),
        ([0, 40, 40, 80], [0, 40, 60, 80], 0),  # twice the same time
        ([0, None, None, 120], [0, 40, 80, 120], 0),
        ([None, None, 500, 540], [0, 40, 80, 120], 0),  # times that begin late
        ([0, 40, 20], [0, 40, 80], 1),
    ],
)
def test_timeline_places_frames(times, places, restarts):
    assert place(times) == (places, restarts)


def test_frame_of_a_live_source_does_not_wait_for_the_next_one():
    asked = []
    for live in (True, False):
        timeline = Timeline(FAR, live=live)
        timeline.begin(0)
        assert timeline.follow(1000, STEP, lambda live=live: asked.append(live)) == 1000
    assert asked == [False]


@pytest.mark.parametrize(
    ("times", "jumped"),
    [
        (even(5), 0),
        ([0, 40, 1000, 1040], 0),  # a pause that is kept
        (even(5) + even(5), 0),  # anew
        (even(4) + even(4, 20_000), 20_000 - 160),
        (even(2) + even(2, 20_000) + even(2, 40_000), 2 * (20_000 - 80)),
        ([*even(3), 10**9, *even(4, 160)], 0),  # one frame with a wild time
    ],
)
def test_timeline_counts_what_its_clock_jumps_ahead(times, jumped):
    assert placed(times)[1].jumped == jumped


@given(st.lists(st.one_of(st.none(), st.integers(-(10**12), 10**12)), min_size=1, max_size=60))
def test_timeline_always_grows_from_0_and_takes_no_jump(times):
    places, _ = place(times)
    assert places[0] == 0
    assert all(0 < after - before <= FAR for before, after in zip(places, places[1:]))


@given(st.lists(st.integers(1, FAR), max_size=60), st.integers(-(10**9), 10**9))
def test_timeline_keeps_every_distance_of_times_that_grow(steps, begin):
    times = [begin]
    for step in steps:
        times.append(times[-1] + step)
    assert place(times) == ([time - begin for time in times], 0)


NTSC = Fraction(30000, 1001)


@pytest.mark.parametrize(
    ("average", "guessed", "told", "steps", "timeless", "chosen"),
    [
        (25, 50, 50, [], True, 50),  # a bare stream that tells its rate
        (25, NTSC, NTSC, [], True, NTSC),
        (25, 25, None, [], True, 25),
        (None, None, None, [], True, 25),
        (60000, NTSC, NTSC, [Fraction(1001, 30000)] * 7, False, NTSC),  # raw DV
        (60000, 25, 25, [Fraction(1, 25)] * 7, False, 25),
        (60000, None, None, [Fraction(1, 25)] * 7, False, 25),
        (50, 25, 25, [Fraction(1, 25)] * 7, False, 25),  # fields counted as frames
        (30, 30, None, [], False, 30),
        (None, 50, 50, [Fraction(1, 50)] * 7, False, 50),
        (480, 480, 480, [], False, 480),
        (Fraction(1, 2), Fraction(1, 2), None, [Fraction(2)] * 3, False, Fraction(1, 2)),
        (12, 30, None, [Fraction(1, 30), Fraction(1, 10), Fraction(1, 12), Fraction(1, 5)], False, 12),  # uneven
        (90000, 90000, None, [], False, 25),
        (None, None, None, [Fraction(1, 10)] * 3, False, 10),
        (None, None, None, [Fraction(3600)] * 3, False, Fraction(1, 3600)),  # a picture an hour
        (None, None, None, [Fraction(4501, 3)] * 3, False, Fraction(3, 4501)),
    ],
)
def test_rate_is_chosen_by_plausibility(average, guessed, told, steps, timeless, chosen):
    offered = [None if rate is None else Fraction(rate) for rate in (average, guessed, told)]
    assert choose_rate(*offered, steps, timeless) == chosen


def test_rates_agree_when_they_are_plausible_and_near():
    assert agree(Fraction(30), NTSC, None)
    assert not agree(Fraction(25), Fraction(50), None)
    assert not agree(Fraction(60000), None, None)
    assert not agree(None, None, None)
