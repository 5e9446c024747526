# SPDX-License-Identifier: Apache-2.0
"""Callbacks: where and when they run, what they may do, and what becomes of their exceptions and references."""

import gc
import sys
import threading
import time

import pytest

from ascend_venc import errors
from helpers import pyacl, simulator
from helpers.waiting import eventually, outcome, started

CALLBACK_PTR = 1  # of aclvencChannelDescParamType


class Unraisable:
    """Collects what sys.unraisablehook is given, as texts: the exception holds frames of the test otherwise."""

    def __init__(self, monkeypatch):
        self.reports = []
        monkeypatch.setattr(sys, "unraisablehook", self.hook)

    def hook(self, report):
        self.reports.append((report.exc_type, str(report.exc_value), report.err_msg, report.exc_traceback is not None))


class Spelled(int):
    """A handle of a program's own class."""


@pytest.fixture
def unraisable(monkeypatch):
    return Unraisable(monkeypatch)


@pytest.mark.statement("3.8.1")
def test_callback_runs_inside_process_report_on_the_subscribed_thread(acl, context):
    seen = []
    stacks = []

    def on_frame(picture, stream, user_data):
        seen.append(threading.get_ident())
        stacks.append(sys._getframe(1).f_code.co_name)

    with pyacl.encoding(acl, context, on_frame=on_frame) as made:
        for index in range(5):
            pyacl.ok(made.send(index))
        pyacl.ok(made.end_of_stream())
        assert seen == [made.pump.id] * 5
    assert set(stacks) == {"_loop"}  # the function that called process_report


@pytest.mark.statement("3.8.2")
def test_callback_gets_the_sent_handle_an_output_and_the_very_object(acl, context):
    class Token:
        pass

    got = []
    token = Token()
    with pyacl.encoding(acl, context, on_frame=lambda *args: got.append(args)) as made:
        pyacl.ok(made.send(token))
        pyacl.ok(made.send(None))
        pyacl.ok(made.end_of_stream())
        assert [args[0] for args in got] == [made.picture] * 2
    assert all(type(args[1]) is int and args[1] > 0 for args in got)
    assert got[0][2] is token
    assert got[1][2] is None


@pytest.mark.parametrize("spelled", [lambda handle: handle + 2**64, lambda handle: handle - 2**64, Spelled])
def test_callback_gets_the_handle_itself_however_it_was_spelled(acl, context, spelled):
    """Ints are masked to 64 bits. What a callback gets is the handle, an int like any other."""
    got = []
    with pyacl.encoding(acl, context, on_frame=lambda *args: got.append(args[0])) as made:
        picture = spelled(made.picture)
        count = sys.getrefcount(picture)
        for _ in range(3):
            pyacl.ok(acl.media.venc_send_frame(made.desc, picture, 0, made.config, None))
        pyacl.ok(made.end_of_stream())
        assert [(type(handle), handle) for handle in got] == [(int, made.picture)] * 3
        assert sys.getrefcount(picture) == count


def test_output_is_readable_in_its_callback_and_dead_after_it(acl, context):
    media = acl.media
    inside = []

    def on_frame(picture, stream, user_data):
        inside.append(
            (
                stream,
                media.dvpp_get_stream_desc_ret_code(stream),
                media.dvpp_get_stream_desc_size(stream) > 0,
                media.dvpp_get_stream_desc_data(stream) > 0,
                media.dvpp_get_stream_desc_eos(stream) in (0, 1),
                media.dvpp_get_stream_desc_timestamp(stream) >= 0,
                media.dvpp_get_stream_desc_format(stream) in range(4),
            )
        )

    with pyacl.encoding(acl, context, on_frame=on_frame) as made:
        pyacl.ok(made.send())
        pyacl.ok(made.end_of_stream())
    assert inside[0][1:] == (0, True, True, True, True, True)
    stream = inside[0][0]
    assert media.dvpp_get_stream_desc_size(stream) == 0
    assert media.dvpp_get_stream_desc_data(stream) == 0
    assert media.dvpp_destroy_stream_desc(stream) == pyacl.INVALID_PARAM


def test_one_process_report_delivers_everything_that_is_waiting(acl, context):
    made = pyacl.Encoding(acl, context, thread_id=threading.get_ident())
    try:
        made.create()
        for index in range(4):
            pyacl.ok(made.send(index))
        calls = 0
        while len(made.packets) < 4:
            assert acl.rt.process_report(20_000) == 0
            calls += 1
        assert calls <= 4
        assert acl.rt.process_report(1) == pyacl.REPORT_TIMEOUT
        assert [user_data for user_data, _, _ in made.packets] == [0, 1, 2, 3]
    finally:
        made.close()


@pytest.mark.statement("3.8.5")
def test_callback_replaced_counts_for_frames_sent_from_then_on(acl, context):
    got = []
    with pyacl.encoding(acl, context, on_frame=lambda *args: got.append(("first", args[2]))) as made:
        made.pump.stop()
        made.pump = None
        other = pyacl.Encoding(
            acl, context, thread_id=threading.get_ident(), on_frame=lambda *args: got.append(args[2])
        )
        other.create()
        pyacl.ok(other.send("before"))
        pyacl.ok(acl.media.venc_set_channel_desc_callback(other.desc, lambda *args: got.append(("second", args[2]))))
        pyacl.ok(other.send("after"))
        while len(got) < 2:
            assert acl.rt.process_report(20_000) == 0
        other.close()
    assert got == ["before", ("second", "after")]


def test_callback_reads_back_as_the_same_object_both_ways(acl, handles):
    def callback(*args):
        pass

    media = acl.media
    first, second = handles.make("channel_desc"), handles.make("channel_desc")
    for get in (media.venc_get_channel_desc_callback, lambda desc: media.venc_get_channel_desc_param(desc, 1)):
        with pytest.raises(RuntimeError, match=r"^did not set callback, failed$"):
            get(first)
    pyacl.ok(media.venc_set_channel_desc_callback(first, callback))
    pyacl.ok(media.venc_set_channel_desc_param(second, 1, callback))
    for desc in (first, second):
        assert media.venc_get_channel_desc_callback(desc) is callback
        assert media.venc_get_channel_desc_param(desc, 1) == (callback, 0)
    with pytest.raises(TypeError, match=r"^parameter must be callable$"):
        media.venc_set_channel_desc_param(first, 1, 5)
    assert media.venc_get_channel_desc_callback(first) is callback


def test_bound_methods_partials_and_callable_objects_are_callbacks(acl, context):
    import functools

    class Callable:
        def __init__(self):
            self.got = []

        def __call__(self, picture, stream, user_data):
            self.got.append(user_data)

        def method(self, picture, stream, user_data):
            self.got.append(user_data)

    target = Callable()
    for callback in (target, target.method, functools.partial(target), lambda *args: target.got.append(args[2])):
        with pyacl.encoding(acl, context, on_frame=callback) as made:
            pyacl.ok(made.send(1))
            pyacl.ok(made.end_of_stream())
    assert target.got == [1] * 4


# ---- what a callback may do ------------------------------------------------------------------------------------------


def test_send_from_a_callback_works(acl, context):
    got = []
    one_sends = threading.Lock()  # the first frame's callback may come before its send has returned

    def on_frame(picture, stream, user_data):
        got.append(user_data)
        if user_data < 5:
            with one_sends:
                got.append(-made.send(user_data + 1))

    with pyacl.encoding(acl, context, on_frame=on_frame) as made:
        with one_sends:
            pyacl.ok(made.send(0))
        eventually(lambda: 5 in got)
        pyacl.ok(made.end_of_stream())
    assert got == [0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5]


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("what", ["destroy_channel", "end_of_stream", "stop_thread"])
def test_call_that_would_wait_for_its_own_callback_is_refused(acl, context, handles, what, nested):
    """Also behind another process_report inside the callback: that one is over, this one is not."""
    codes = []
    last = handles.make("frame_config")
    pyacl.ok(acl.media.venc_set_frame_config_eos(last, 1))

    def on_frame(picture, stream, user_data):
        if nested:
            acl.rt.process_report(1)
        codes.append(
            {
                "destroy_channel": lambda: acl.media.venc_destroy_channel(made.desc),
                "end_of_stream": lambda: acl.media.venc_send_frame(made.desc, 0, 0, last, None),
                "stop_thread": lambda: acl.util.stop_thread(made.pump.id),
            }[what]()
        )
        texts.append(acl.get_recent_err_msg())

    texts = []
    with pyacl.encoding(acl, context, on_frame=on_frame) as made:
        for index in range(3):
            pyacl.ok(made.send(index))
        pyacl.ok(made.end_of_stream())
    assert codes == [35 if what == "stop_thread" else pyacl.INVALID_PARAM] * 3
    assert all("would wait for itself" in text or "cannot wait for itself" in text for text in texts)
    assert not any(errors.lookup(100000).hint in text for text in texts), "no argument is wrong"


def test_callback_may_end_another_channel_that_waits_for_nothing(acl, context):
    """Of the same report thread: there is nothing that it would have to deliver first."""
    codes = []

    def on_frame(picture, stream, user_data):
        codes.append(acl.media.venc_destroy_channel(other.desc))

    thread = threading.get_ident()
    made = pyacl.Encoding(acl, context, thread_id=thread, on_frame=on_frame)
    other = pyacl.Encoding(acl, context, thread_id=thread)
    try:
        made.create()
        other.create()
        pyacl.ok(made.send(0))
        assert acl.rt.process_report(20_000) == 0
        assert codes == [0]
        other.created = False
    finally:
        made.close()
        other.close()


def test_end_of_stream_with_undelivered_frames_on_the_report_thread_is_refused(acl, context):
    made = pyacl.Encoding(acl, context, thread_id=threading.get_ident())
    try:
        made.create()
        pyacl.ok(made.send(0))
        assert made.end_of_stream() == pyacl.INVALID_PARAM
        assert "call acl.rt.process_report first" in acl.get_recent_err_msg()
        assert acl.media.venc_destroy_channel(made.desc) == pyacl.INVALID_PARAM
        assert acl.rt.process_report(20_000) == 0
        pyacl.ok(made.end_of_stream())
        assert len(made.packets) == 1
    finally:
        made.close()


@pytest.mark.sim_only
def test_end_of_stream_keeps_the_callback_of_a_frame_whose_send_is_under_way(acl, context):
    """The runtime has not had it: its callback is not one that was left out."""

    def send():
        pyacl.ok(acl.rt.set_context(context))
        return made.send("late")

    sim = simulator.shared()
    with pyacl.encoding(acl, context) as made:
        with sim.hanging_call("aclvencSendFrame"):
            thread = started(send)
            sim.wait_hung("aclvencSendFrame")
            pyacl.ok(made.end_of_stream())
        assert outcome(thread) == 0
        eventually(lambda: made.packets)
        pyacl.ok(made.end_of_stream())
    assert [user_data for user_data, _, _ in made.packets] == ["late"]


@pytest.mark.sim_only
@pytest.mark.parametrize("way", ["aclvencSetChannelDescCallback", "aclvencSetChannelDescParam"])
def test_callback_that_the_runtime_refused_does_not_take_the_place_of_the_one_before(acl, handles, way):
    media, desc = acl.media, handles.make("channel_desc")

    def put(callback):
        if way.endswith("Callback"):
            return media.venc_set_channel_desc_callback(desc, callback)
        return media.venc_set_channel_desc_param(desc, CALLBACK_PTR, callback)

    def first(*args):
        pass

    pyacl.ok(put(first))
    with simulator.shared().failing_call(way, code=507018):
        assert put(print) == 507018
    assert media.venc_get_channel_desc_callback(desc) is first
    pyacl.ok(put(print))
    assert media.venc_get_channel_desc_callback(desc) is print


@pytest.mark.sim_only
def test_channel_is_not_destroyed_under_a_send_that_has_not_returned(acl, context):
    """The frame's callback has come already: nothing but the thread inside the call is there to be waited for."""
    sim, destroy = simulator.shared(), b"aclvencDestroyChannel"

    def with_context(call):
        pyacl.ok(acl.rt.set_context(context))
        return call()

    with pyacl.encoding(acl, context) as made:
        sim.aclsim_count_calls(1)
        before = sim.aclsim_calls(destroy)
        with sim.hanging_call("aclvencSendFrame", after=True) as wait_hung:
            sender = started(with_context, made.send)
            wait_hung()
            made.wait_for(1)
            destroyer = started(with_context, made.destroy)
            # It has begun: nothing is sent to the channel any more.
            eventually(lambda: made.acl.media.venc_send_frame(made.desc, 0, 0, 0, None) and refused_as_gone(acl))
            time.sleep(0.05)  # what does not wait is through by then, as a rule
            assert sim.aclsim_calls(destroy) == before
        assert (outcome(sender), outcome(destroyer)) == (0, None)
        assert sim.aclsim_calls(destroy) == before + 1
        sim.aclsim_count_calls(0)


def refused_as_gone(acl):
    return "the channel does not exist" in acl.get_recent_err_msg()


def test_send_and_pump_on_one_thread_works(acl, context):
    made = pyacl.Encoding(acl, context, thread_id=threading.get_ident())
    try:
        made.create()
        for index in range(20):
            pyacl.ok(made.send(index))
            assert acl.rt.process_report(20_000) == 0
        assert [user_data for user_data, _, _ in made.packets] == list(range(20))
    finally:
        made.close()


def test_report_thread_stopped_before_destroy_with_nothing_pending(encoding):
    pyacl.ok(encoding.send(0))
    pyacl.ok(encoding.end_of_stream())
    encoding.pump.stop()
    encoding.destroy()
    assert len(encoding.packets) == 1


# ---- exceptions ------------------------------------------------------------------------------------------------------


def test_exception_in_frame_5_of_30_is_reported_and_29_frames_are_delivered(acl, context, unraisable):
    got = []

    def on_frame(picture, stream, user_data):
        if user_data == 5:
            raise ValueError("frame five")
        got.append(user_data)

    with pyacl.encoding(acl, context, on_frame=on_frame) as made:
        for index in range(30):
            pyacl.ok(made.send(index))
        pyacl.ok(made.end_of_stream())
        desc = made.desc
    assert got == [index for index in range(30) if index != 5]
    [(kind, text, message, has_traceback)] = unraisable.reports
    assert (kind, text, has_traceback) == (ValueError, "frame five", True)
    assert "frame 5" in message
    assert f"{desc:#x}" in message


def test_frame_that_was_refused_is_not_counted(acl, context, unraisable):
    def on_frame(picture, stream, user_data):
        if user_data == "second":
            raise ValueError("it")

    with pyacl.encoding(acl, context, on_frame=on_frame) as made:
        pyacl.ok(made.send("first"))
        with simulator.shared().failing_call("aclvencSendFrame", code=507018):
            assert made.send("refused") == 507018
        pyacl.ok(made.send("second"))
        pyacl.ok(made.end_of_stream())
    [(kind, _, message, _)] = unraisable.reports
    assert kind is ValueError
    assert "frame 1 " in message


def test_callback_with_a_wrong_signature_is_reported_for_each_frame(acl, context, unraisable):
    with pyacl.encoding(acl, context, on_frame=lambda: None) as made:
        for index in range(3):
            pyacl.ok(made.send(index))
        pyacl.ok(made.end_of_stream())
    assert [kind for kind, _, _, _ in unraisable.reports] == [TypeError] * 3
    assert [f"frame {index} " in report[2] for index, report in enumerate(unraisable.reports)] == [True] * 3


def test_hook_that_raises_does_not_stop_delivery(acl, context, monkeypatch, capfd):
    def hook(report):
        raise RuntimeError("the hook itself")

    monkeypatch.setattr(sys, "unraisablehook", hook)

    def on_frame(picture, stream, user_data):
        raise ValueError("in the callback")

    with pyacl.encoding(acl, context, on_frame=on_frame) as made:
        for index in range(3):
            pyacl.ok(made.send(index))
        pyacl.ok(made.end_of_stream())
    monkeypatch.undo()
    assert "the hook itself" in capfd.readouterr().err


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_interrupt_and_exit_in_a_callback_are_raised_from_process_report(acl, context, kind):
    got = []

    def on_frame(picture, stream, user_data):
        got.append(user_data)
        if user_data == 1:
            raise kind("stop")

    made = pyacl.Encoding(acl, context, thread_id=threading.get_ident(), on_frame=on_frame)
    try:
        made.create()
        for index in range(4):
            pyacl.ok(made.send(index))
        with pytest.raises(kind, match=r"^stop$"):
            while True:
                acl.rt.process_report(2000)
        while len(got) < 4:
            assert acl.rt.process_report(20_000) == 0
        assert got == [0, 1, 2, 3]
    finally:
        made.close()


def test_report_loop_ended_by_exit_in_a_callback_leaves_no_call_hanging(acl, context):
    def on_frame(picture, stream, user_data):
        if user_data == 2:
            raise SystemExit(3)

    made = pyacl.Encoding(acl, context, on_frame=on_frame)
    made.create()
    codes = [made.send(index) for index in range(3)]
    eventually(lambda: made.pump.error is not None)
    assert isinstance(made.pump.error, SystemExit)
    assert codes == [0] * 3
    made.close()  # nothing is pending: no report thread is needed


# ---- references ------------------------------------------------------------------------------------------------------


class Payload:
    pass


def references(*objects):
    gc.collect()
    return [sys.getrefcount(item) for item in objects]


def test_references_return_to_their_start_after_ten_thousand_frames(acl, context):
    payload = Payload()

    def on_frame(picture, stream, user_data):
        count[0] += 1

    count = [0]
    before = references(payload, on_frame)
    with pyacl.encoding(acl, context, width=128, height=128, entype=pyacl.H264_BASELINE, on_frame=on_frame) as made:
        for _ in range(10_000):
            pyacl.ok(acl.media.venc_send_frame(made.desc, made.picture, 0, made.config, payload))
        pyacl.ok(made.end_of_stream())
    assert count == [10_000]
    assert references(payload, on_frame) == before


def failing_send(made):
    return made.acl.media.venc_send_frame(made.desc, 0, 0, made.config, made.payload)


def stale_picture(made):
    picture = made.acl.media.dvpp_create_pic_desc()
    made.acl.media.dvpp_destroy_pic_desc(picture)
    return made.acl.media.venc_send_frame(made.desc, picture, 0, made.config, made.payload)


def stale_config(made):
    return made.acl.media.venc_send_frame(made.desc, made.picture, 0, made.picture, made.payload)


def end_of_stream(made):
    media = made.acl.media
    media.venc_set_frame_config_eos(made.config, 1)
    code = media.venc_send_frame(made.desc, made.picture, 0, made.config, made.payload)
    media.venc_set_frame_config_eos(made.config, 0)
    return code


@pytest.mark.parametrize("path", [failing_send, stale_picture, stale_config, end_of_stream])
def test_user_data_is_released_on_every_path_without_a_callback(encoding, path):
    payload = encoding.payload = Payload()
    before = references(payload)
    codes = {path(encoding) for _ in range(100)}
    assert codes == {0 if path is end_of_stream else pyacl.INVALID_PARAM}
    assert references(payload) == before


def test_user_data_is_released_when_its_callback_raises(acl, context, unraisable):
    payload = Payload()
    before = references(payload)

    def on_frame(picture, stream, user_data):
        raise ValueError

    with pyacl.encoding(acl, context, on_frame=on_frame) as made:
        for _ in range(10):
            pyacl.ok(made.send(payload))
        pyacl.ok(made.end_of_stream())
    unraisable.reports.clear()
    assert references(payload) == before


@pytest.mark.parametrize("how", ["replaced", "channel", "description"])
def test_callback_is_released_when_it_is_replaced_or_its_channel_or_description_goes(acl, context, how):
    def on_frame(picture, stream, user_data):
        pass

    before = references(on_frame)
    made = pyacl.Encoding(acl, context, on_frame=on_frame)
    if how != "description":
        made.create()
        pyacl.ok(made.send())
        pyacl.ok(made.end_of_stream())
    assert references(on_frame)[0] == before[0] + 1
    if how == "replaced":
        pyacl.ok(acl.media.venc_set_channel_desc_callback(made.desc, print))
        assert references(on_frame) == before
    if how == "channel":
        made.destroy()
        assert references(on_frame) == before
    made.close()
    assert references(on_frame) == before


def channels_known():
    """Objects that the facade keeps for channels."""
    gc.collect()
    return sum(type(item).__name__ == "Channel" and "pyacl" in type(item).__module__ for item in gc.get_objects())


def test_nothing_is_kept_of_a_channel_that_was_destroyed(acl, context):
    before = channels_known()
    with pyacl.encoding(acl, context) as made:
        assert channels_known() == before + 1
        for _ in range(3):
            pyacl.ok(made.send(0))
        pyacl.ok(made.end_of_stream())
    assert channels_known() == before


@pytest.mark.sim_only  # on purpose: a callback that comes twice
def test_second_callback_of_a_frame_is_not_taken_for_a_later_frames(acl, context, handles):
    """The later frame, sent by the first callback, has the place in the table that the first frame had."""
    got = []
    later = handles.make("pic_desc")
    one_sends = threading.Lock()  # the first callback may come before its send has returned

    def on_frame(picture, stream, user_data):
        got.append((picture, user_data))
        if user_data == 0:
            with one_sends:
                pyacl.ok(acl.media.venc_send_frame(made.desc, later, 0, made.config, 1))

    device = simulator.shared()
    with pyacl.encoding(acl, context, on_frame=on_frame) as made:
        pyacl.ok(acl.media.dvpp_set_pic_desc_data(later, made.buffer))
        pyacl.ok(acl.media.dvpp_set_pic_desc_size(later, made.size))
        with device.failing_frame(5):  # ACLSIM_FRAME_TWICE
            with one_sends:
                pyacl.ok(made.send(0))
            eventually(lambda: len(got) == 2)
        pyacl.ok(made.end_of_stream())
        expected = [(made.picture, 0), (later, 1)]
    assert got == expected


# ---- launched callbacks ----------------------------------------------------------------------------------------------


def test_launched_callbacks_run_on_the_subscribed_thread_with_their_argument(acl, context, handles):
    got = []
    stream = handles.make("stream")
    pump = pyacl.Pump(acl, context)
    try:
        assert acl.rt.launch_callback(got.append, [1], 1, stream) == 107015
        pyacl.ok(acl.rt.subscribe_report(pump.id, stream))
        for number in range(5):
            pyacl.ok(acl.rt.launch_callback(got.append, [number], (number + 1) % 2, stream))
        pyacl.ok(acl.rt.synchronize_stream(stream))
        assert got == [[number] for number in range(5)]
        pyacl.ok(acl.rt.unsubscribe_report(pump.id, stream))
    finally:
        pump.stop()


def test_launched_callback_that_is_refused_releases_its_references(acl, handles):
    payload, stream = Payload(), handles.make("stream")
    before = references(payload)
    assert acl.rt.launch_callback(print, payload, 1, stream) == 107015
    assert acl.rt.launch_callback(print, payload, 1, 12345) == pyacl.INVALID_PARAM
    assert references(payload) == before


def test_launched_callback_that_raises_is_reported(acl, context, handles, unraisable):
    stream = handles.make("stream")
    pump = pyacl.Pump(acl, context)
    try:
        pyacl.ok(acl.rt.subscribe_report(pump.id, stream))
        pyacl.ok(acl.rt.launch_callback(lambda argument: 1 / 0, None, 1, stream))
        pyacl.ok(acl.rt.synchronize_stream(stream))
        pyacl.ok(acl.rt.unsubscribe_report(pump.id, stream))
    finally:
        pump.stop()
    [(kind, _, message, _)] = unraisable.reports
    assert kind is ZeroDivisionError
    assert "launch_callback" in message
