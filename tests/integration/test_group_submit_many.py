# SPDX-License-Identifier: Apache-2.0
"""A frame of each of several encoders in one call."""

import contextlib
import gc
import signal
import threading
import weakref

import numpy as np
import pytest

import ascend_venc as venc
from ascend_venc._lowlevel.channel import submit_to_each
from helpers import decode, interface, simulator, video
from helpers.waiting import eventually, outcome, started

pytestmark = pytest.mark.sim_only

CAMERAS = 4


@pytest.fixture(scope="module")
def frames():
    return video.synthetic(128, 128, 8, watermark=True)


@pytest.fixture
def group(backend):
    with venc.EncoderGroup(backend=backend) as opened:
        yield opened
        for encoder in opened.encoders:
            encoder.flush()


@pytest.fixture
def alone(monkeypatch):
    """Frames that went through `Encoder.submit`."""
    submitted, submit = [], venc.Encoder.submit

    def noted(encoder, frame, **options):
        submitted.append(encoder)
        return submit(encoder, frame, **options)

    monkeypatch.setattr(venc.Encoder, "submit", noted)
    yield submitted
    submitted.clear()


def cameras_of(group, count=CAMERAS, **options):
    return [group.add(128, 128, codec="h264", **options) for _ in range(count)]


def received(group):
    """Packets by encoder, up to the end."""
    group.drain()
    found = {}
    for encoder, packet in group.packets():
        found.setdefault(encoder, []).append(packet)
    return found


def test_each_encoder_gets_its_own_frame_token_and_time_in_one_native_call(group, frames, alone):
    cameras = cameras_of(group, max_queued=16)
    for number in range(3):
        pairs = [(camera, frames[(number + place) % 8]) for place, camera in enumerate(cameras)]
        tokens = [(number, place) for place in range(CAMERAS)]
        keys = [number == 2 and place == 1 for place in range(CAMERAS)]
        assert group.submit_many(pairs, tokens=tokens, pts=[10 * number] * CAMERAS, key_frames=keys) == [number] * 4
    found = received(group)
    assert alone == []
    for place, camera in enumerate(cameras):
        packets = found[camera]
        assert [(packet.frame_index, packet.token, packet.pts) for packet in packets] == [
            (number, (number, place), 10 * number) for number in range(3)
        ]
        assert [packet.is_keyframe for packet in packets] == [True, False, place == 1]
        shown = decode.frames(b"".join(map(bytes, packets)), "h264")
        assert [video.read_watermark(frame) for frame in shown] == [(number + place) % 8 for number in range(3)]


def test_a_mapping_is_taken_as_pairs_and_nothing_sends_nothing(group, frames):
    first, second = cameras_of(group, 2)
    assert group.submit_many({second: frames[0]}) == [0]
    assert group.submit_many({first: frames[0], second: frames[1]}) == [0, 1]
    assert group.submit_many([]) == group.submit_many({}) == []


def test_other_kinds_of_frames_go_through_submit(group, frames, alone):
    plain, rgb, acquiring, oldest = (
        group.add(128, 128, codec="h264"),
        group.add(128, 128, codec="h264", pixel_format="rgb24"),
        group.add(128, 128, codec="h264"),
        group.add(128, 128, codec="h264", on_full="drop_oldest"),
    )
    picture = acquiring.acquire()
    picture.array[...] = 128
    pairs = [(rgb, np.zeros((128, 128, 3), np.uint8)), (acquiring, picture), (oldest, frames[0]), (plain, frames[0])]
    assert group.submit_many(pairs, tokens="abcd") == [0, 0, 0, 0]
    assert alone == [rgb, acquiring, oldest]
    assert {packets[0].token for packets in received(group).values()} == set("abcd")


def test_frames_that_fail_do_not_keep_others_from_being_sent(group, frames):
    good, small, closed, odd, last = cameras_of(group, 5, name="yard")
    with contextlib.suppress(venc.EncoderClosedError):
        closed.close()
    pairs = [(good, frames[0]), (small, b"x"), (closed, frames[0]), (odd, None), (last, frames[0])]
    with pytest.raises(venc.InvalidArgumentError, match="yard: frame has shape") as caught:
        group.submit_many(pairs, tokens="abcde")
    assert caught.value.numbers == [0, None, None, None, 0]
    assert caught.value.encoder is small
    kinds = [(encoder, type(error)) for encoder, error in caught.value.failures]
    assert kinds == [(closed, venc.EncoderClosedError), (odd, TypeError)]
    assert {encoder: packets[0].token for encoder, packets in received(group).items()} == {good: "a", last: "e"}


class NotExported:
    """A tensor that says no: as torch's do that need a gradient, in one version or another."""

    def __init__(self, error):
        self.error = error

    def __dlpack_device__(self):
        return 1, 0

    def __dlpack__(self, **options):
        raise self.error


def test_used_frames_and_tensors_that_are_not_exported_do_not_keep_others_from_being_sent(group, frames):
    used, released, buffer, old, last = cameras_of(group, 5, name="yard")
    used_frame, released_frame, last_frame = used.acquire(), released.acquire(), last.acquire()
    used.submit(used_frame)
    released_frame.release()
    errors = [BufferError("needs a gradient"), RuntimeError("needs a gradient")]
    pairs = [(used, used_frame), (released, released_frame), *zip((buffer, old), map(NotExported, errors))]
    with pytest.raises(venc.InvalidArgumentError, match=r"^yard: the frame was submitted") as caught:
        group.submit_many([*pairs, (last, last_frame)], tokens="abcde")
    assert caught.value.encoder is used and caught.value.numbers == [None] * 4 + [0]
    assert [encoder for encoder, _ in caught.value.failures] == [released, buffer, old]
    assert isinstance(caught.value.failures[0][1], venc.InvalidArgumentError)
    assert [error for _, error in caught.value.failures[1:]] == errors
    assert {encoder: packets[0].token for encoder, packets in received(group).items()} == {used: None, last: "e"}


def test_frame_that_the_device_refuses_is_not_sent_twice_and_its_token_goes_back(group, frames, alone):
    cameras = cameras_of(group)
    with simulator.shared().failing_call(interface.SEND, 2, 507046), pytest.raises(venc.AclError) as caught:
        group.submit_many([(camera, frames[0]) for camera in cameras], tokens=range(CAMERAS))
    assert caught.value.code == 507046 and caught.value.encoder is cameras[1]
    assert caught.value.numbers == [0, None, 0, 0] and caught.value.failures == [] and alone == []
    assert cameras[1].stats.refused_sends == 1
    assert group.submit_many([(camera, frames[1]) for camera in cameras]) == [1, 0, 1, 1]
    found = received(group)
    assert [[packet.token for packet in found[camera]] for camera in cameras] == [
        [0, None],
        [None],
        [2, None],
        [3, None],
    ]


class Token:
    pass


def test_token_of_a_frame_that_was_refused_is_let_go_of_at_once(group, frames):
    cameras, tokens = cameras_of(group), [Token() for _ in range(CAMERAS)]
    alive = [weakref.ref(token) for token in tokens]
    with simulator.shared().options(stall=1):
        with simulator.shared().failing_call(interface.SEND, 2, 507046), contextlib.suppress(venc.AclError):
            group.submit_many([(camera, frames[0]) for camera in cameras], tokens=tokens)
        tokens.clear()
        gc.collect()
        assert [token() is not None for token in alive] == [True, False, True, True]


def test_who_has_no_room_is_waited_for_behind_all_others(group, frames):
    full, *others = cameras_of(group, depth=1, queue=0, timeout=30)
    with simulator.shared().options(stall=1):
        full.submit(frames[0])
        pairs = [(camera, frames[1]) for camera in (full, *others)]
        sender = started(group.submit_many, pairs)
        eventually(lambda: all(camera.stats.submitted == 1 for camera in others))
        assert sender.is_alive() and full.stats.submitted == 1
    assert outcome(sender) == [1, 0, 0, 0]


def test_timeout_is_for_the_whole_call_and_names_the_first_without_room(group, frames):
    cameras = cameras_of(group, depth=1, queue=0, timeout=30)
    with simulator.shared().options(stall=1):
        for camera in cameras[1:3]:
            camera.submit(frames[0])
        with pytest.raises(venc.AclTimeoutError, match="no room") as caught:
            group.submit_many([(camera, frames[1]) for camera in cameras], timeout=0.05)
        assert caught.value.numbers == [0, None, None, 0]
        assert caught.value.encoder is cameras[1]
        assert [encoder for encoder, _ in caught.value.failures] == [cameras[2]]


@pytest.mark.parametrize(("on_full", "outcome_of"), [("drop_newest", None), ("error", venc.EncoderFullError)])
def test_without_room_each_encoder_does_what_its_on_full_says(group, frames, on_full, outcome_of):
    first, second = cameras_of(group, 2, depth=1, queue=0, on_full=on_full)
    with simulator.shared().options(stall=1):
        first.submit(frames[0])
        pairs = [(first, frames[1]), (second, frames[1])]
        if outcome_of is None:
            assert group.submit_many(pairs, key_frames=[True, False]) == [None, 0]
            assert first.stats.dropped["no_room"] == 1
        else:
            with pytest.raises(outcome_of) as caught:
                group.submit_many(pairs)
            assert caught.value.numbers == [None, 0]
    if outcome_of is None:
        eventually(lambda: first.stats.in_flight == second.stats.in_flight == 0)
        assert group.submit_many({first: frames[2], second: frames[2]}) == [1, 1]
        found = received(group)
        assert [packet.is_keyframe for packet in found[first]] == [True, True], "a key frame that was dropped is owed"
        assert [packet.is_keyframe for packet in found[second]] == [True, False]


def test_a_channel_that_was_replaced_meanwhile_is_left_to_its_successor(group, frames, alone):
    changed, other = cameras_of(group, 2)
    before = changed._open_channel()
    changed.reconfigure(width=192, height=128)
    results = ["left", "left"]
    submit_to_each([before, other._open_channel()], frames[:2], [None] * 2, [False] * 2, ["token", None], results)
    assert results == ["left", 0] and changed.stats.submitted == 0
    with pytest.raises(venc.InvalidArgumentError, match="192"):
        group.submit_many({changed: frames[0], other: frames[1]})
    assert changed in alone


def test_only_what_fits_64_bits_is_a_time(group, frames):
    first, second, third = cameras_of(group, 3)
    with pytest.raises(venc.InvalidArgumentError, match="pts is an integer of 64 bits") as caught:
        group.submit_many(
            [(first, frames[0]), (second, frames[0]), (third, frames[0])], pts=[2**63, -(2**63), np.int64(7)]
        )
    assert caught.value.numbers == [None, 0, 0]
    found = received(group)
    assert [packets[0].pts for packets in (found[second], found[third])] == [-(2**63), 7]


def test_a_handler_that_raises_ends_the_call_and_what_was_sent_is_told(group, frames):
    """Sends of 50 ms: looked for signals between them."""
    cameras = cameras_of(group, 12)

    def handler(number, frame):
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGUSR1, handler)
    main, pairs = threading.main_thread().ident, [(camera, frames[0]) for camera in cameras]
    try:
        with simulator.shared().options(send_time_us=50_000):
            killer = started(
                lambda: (eventually(lambda: cameras[1].stats.submitted), signal.pthread_kill(main, signal.SIGUSR1))
            )
            with pytest.raises(KeyboardInterrupt) as caught:
                group.submit_many(pairs, tokens=range(12))
            outcome(killer)
    finally:
        signal.signal(signal.SIGUSR1, previous)
    sent = [number is not None for number in caught.value.numbers]
    assert sent == sorted(sent, reverse=True) and 2 <= sum(sent) < 12
    found = received(group)
    assert [camera in found for camera in cameras] == sent
    assert [found[camera][0].token for camera in cameras[: sum(sent)]] == list(range(sum(sent)))


def test_bad_arguments_send_nothing(group, frames):
    first, second = cameras_of(group, 2)
    for arguments, options, error, words in (
        (([(first, frames[0]), (first, frames[1])],), {}, venc.InvalidArgumentError, "two for one encoder"),
        (([first, frames[0]],), {}, TypeError, r"pairs \(Encoder, frame\), got Encoder"),
        (([("yard", frames[0])],), {}, TypeError, "pairs"),
        ((7,), {}, TypeError, "frames"),
        (({first: frames[0]},), {"tokens": [1, 2]}, venc.InvalidArgumentError, "tokens has 2 items for 1"),
        (({first: frames[0]},), {"pts": []}, venc.InvalidArgumentError, "pts has 0 items for 1"),
        (({first: frames[0]},), {"timeout": -1}, venc.InvalidArgumentError, "timeout is -1"),
        (({first: frames[0]},), {"timeout": "1"}, TypeError, "timeout"),
    ):
        with pytest.raises(error, match=words):
            group.submit_many(*arguments, **options)
    assert first.stats.submitted == second.stats.submitted == 0


class Undecided:
    def __bool__(self):
        raise RuntimeError("neither")


def test_key_frame_that_is_neither_sends_nothing_and_the_exception_says_so(group, frames):
    encoders = cameras_of(group, 2)
    pairs = list(zip(encoders, frames))
    with pytest.raises(RuntimeError, match="neither") as caught:
        group.submit_many(pairs, key_frames=[True, Undecided()])
    assert caught.value.numbers == [None, None] and caught.value.failures == []
    assert group.submit_many(pairs) == [0, 0]


def test_python_runs_while_the_device_takes_a_frame_and_the_others_wait_behind_it(group, frames):
    cameras = cameras_of(group)
    with simulator.shared().hanging_call(interface.SEND) as wait_hung:
        sender = started(group.submit_many, [(camera, frames[0]) for camera in cameras])
        wait_hung()
        assert [camera.stats.submitted for camera in cameras] == [1, 0, 0, 0]
    assert outcome(sender) == [0] * CAMERAS
