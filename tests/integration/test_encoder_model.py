# SPDX-License-Identifier: Apache-2.0
"""Any order of calls on an encoder against a plain model of it."""

import gc

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

import ascend_venc as venc
from helpers import interface

SIZE = 128
ROWS = SIZE * 3 // 2


class EncoderModel(RuleBasedStateMachine):
    """What the program has submitted and not received, in order: (number, pts, token, must be a key frame).

    Which frames are dropped depends on the device's pace, so rules that cannot be applied return at once: as
    preconditions they would make Hypothesis draw other data in each run of the same example.
    """

    def __init__(self):
        super().__init__()
        self.enc = None
        self.expected = []
        self.number = 0
        self.key_frame_next = True  # the first frame, and the first after a reconfigure() on V1
        self.held = []
        self.dropped = 0

    @initialize(
        depth=st.integers(1, 4),
        queue=st.integers(1, 4),
        max_queued=st.integers(40, 60),
        on_full=st.sampled_from(["block", "error", "drop_newest"]),
        delivery=st.sampled_from(["immediate", "coalesced"]),
    )
    def open(self, depth, queue, max_queued, on_full, delivery):
        self.enc = venc.Encoder(
            SIZE,
            SIZE,
            codec="h264",
            gop=60000,
            backend="sim",
            depth=depth,
            queue=queue,
            max_queued=max_queued,
            on_full=on_full,
            delivery=delivery,
            max_latency=0.001,
            timeout=20,
        )
        self.max_queued = max_queued

    def room(self, count=1):
        """Whether the bound of packets leaves room for certain: else this one thread would wait for itself."""
        return len(self.expected) + count <= self.max_queued

    def accepted(self, number, pts, token, key_frame):
        if number is None:
            assert self.enc.stats.dropped["no_room"] == self.dropped + 1
            self.dropped += 1
            self.key_frame_next = self.key_frame_next or key_frame
            return
        assert number == self.number
        self.expected.append((number, number if pts is None else pts, token, key_frame or self.key_frame_next))
        self.key_frame_next = False
        self.number += 1

    def send(self, call, frame, pts, key_frame, **options):
        token = object()
        try:
            number = call(frame, pts=pts, key_frame=key_frame, token=token, **options)
        except venc.EncoderFullError:
            return False
        self.accepted(number, pts, token, key_frame)
        return True

    def check(self, packets):
        for packet in packets:
            number, pts, token, key_frame = self.expected.pop(0)
            assert (packet.frame_index, packet.pts) == (number, pts)
            assert packet.token is token
            assert packet.is_keyframe == key_frame

    picture = st.integers(0, 255)
    stamps = st.none() | st.integers(-(2**62), 2**62)

    @rule(value=picture, pts=stamps, key_frame=st.booleans())
    def submit(self, value, pts, key_frame):
        if not self.room():
            return
        self.send(self.enc.submit, np.full((ROWS, SIZE), value, np.uint8), pts, key_frame)

    @rule(value=picture, pts=stamps, key_frame=st.booleans(), copy=st.booleans())
    def submit_async(self, value, pts, key_frame, copy):
        if not self.room():
            return
        self.send(self.enc.submit_async, np.full((ROWS, SIZE), value, np.uint8), pts, key_frame, copy=copy)

    @rule(count=st.integers(0, 6), key_frame=st.booleans())
    def submit_many(self, count, key_frame):
        if not self.room(count):
            return
        frames = [bytes(ROWS * SIZE)] * count
        tokens = [object() for _ in frames]
        key_frames = [key_frame and index == 0 for index in range(count)]
        try:
            numbers = self.enc.submit_many(frames, tokens=tokens, key_frames=key_frames)
        except venc.EncoderFullError as error:
            numbers = list(range(self.number, self.number + error.accepted))
        for index, number in enumerate(numbers):
            if number is None:
                self.dropped += 1
                self.key_frame_next = self.key_frame_next or key_frames[index]
            else:
                assert number == self.number
                self.expected.append((number, number, tokens[index], key_frames[index] or self.key_frame_next))
                self.key_frame_next = False
                self.number += 1
        assert self.enc.stats.dropped["no_room"] == self.dropped

    @rule(value=picture, pts=stamps, key_frame=st.booleans())
    def encode(self, value, pts, key_frame):
        if not self.room():
            return
        token = object()
        before = self.enc.stats
        try:
            packets = self.enc.encode(np.full((ROWS, SIZE), value, np.uint8), pts=pts, key_frame=key_frame, token=token)
        except venc.EncoderFullError:
            return
        taken = self.enc.stats.submitted > before.submitted
        self.accepted(self.number if taken else None, pts, token, key_frame)
        self.check(packets)

    @rule()
    def acquire(self):
        if len(self.held) < self.enc.config.depth:
            try:
                frame = self.enc.acquire(timeout=20)
            except venc.EncoderFullError:
                return
            if frame is None:
                self.dropped += 1
            else:
                frame.array[:] = 99
                self.held.append(frame)

    @rule(pts=stamps, key_frame=st.booleans(), keep_view=st.booleans())
    def submit_acquired(self, pts, key_frame, keep_view):
        if not (self.held and self.room()):
            return
        frame = self.held.pop()
        view = frame.array if keep_view else None
        assert self.send(self.enc.submit, frame, pts, key_frame)
        del view

    @rule()
    def release(self):
        if not (self.held):
            return
        self.held.pop().release()

    @rule()
    def receive(self):
        if not (self.expected):
            return
        self.check([self.enc.receive(timeout=20)])

    @rule(limit=st.integers(1, 10), share=st.floats(0, 1))
    def receive_many(self, limit, share):
        if not (self.expected):
            return
        at_least = 1 + int(share * (limit - 1))
        packets = self.enc.receive_many(limit, timeout=20, at_least=at_least)
        assert min(at_least, len(self.expected)) <= len(packets) <= limit
        self.check(packets)

    @rule()
    def flush(self):
        self.check(self.enc.flush())
        assert self.expected == []

    @rule()
    def nothing_left_to_receive(self):
        if not (not self.expected and self.number):
            return
        try:
            self.enc.receive(timeout=20)
        except venc.EncoderDrained:
            return
        raise AssertionError("a packet out of nothing")

    @rule(bitrate=st.integers(100_000, 5_000_000))
    def reconfigure(self, bitrate):
        assert self.enc.reconfigure(bitrate=bitrate) == self.number
        if not interface.V2:  # which changes the channel that is there
            self.held.clear()
            self.key_frame_next = True

    @rule(width=st.sampled_from([0, 129, 100_000]))
    def reconfigure_refused(self, width):
        try:
            self.enc.reconfigure(width=width)
        except venc.InvalidArgumentError:
            return
        raise AssertionError("accepted")

    def teardown(self):
        if self.enc is None:
            return
        self.held.clear()
        self.check(self.enc.flush())
        stats = self.enc.stats
        assert (stats.submitted, stats.encoded, stats.failed) == (self.number, self.number, 0)
        assert (stats.in_flight, stats.ready, stats.held) == (0, 0, 0)
        self.enc.close()
        self.enc = None
        gc.collect()


TestEncoderModel = EncoderModel.TestCase
TestEncoderModel.settings = settings(
    max_examples=max(1, settings.default.max_examples // 5),  # each of them is 40 calls
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
