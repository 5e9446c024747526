# SPDX-License-Identifier: Apache-2.0
"""acl.get_recent_err_msg: what failed, why, and what to do, for each thread."""

import pytest

from ascend_venc import errors
from helpers import processes, pyacl, shim


def test_nothing_failed_is_none(acl):
    assert acl.get_recent_err_msg() is None


def test_message_names_call_arguments_code_and_hint_and_is_taken(acl):
    assert acl.rt.set_context(0x1234567890) == pyacl.INVALID_PARAM
    text = acl.get_recent_err_msg()
    assert text.startswith("acl.rt.set_context(0x1234567890) returned 100000 ACL_ERROR_INVALID_PARAM: ")
    assert "0x1234567890 is not a live context" in text
    assert errors.lookup(100000).hint in text
    assert acl.get_recent_err_msg() is None


def test_message_tells_of_each_int_without_code_of_its_class(acl):
    class Number(int):
        def __repr__(self):
            raise RuntimeError("not to be called")

        __gt__ = __lt__ = __str__ = __repr__

    for number, text in [(-(10**5000), "<int of 16610 bits>"), (Number(5), "5"), (Number(1 << 40), "0x10000000000")]:
        assert acl.rt.destroy_stream(number) == pyacl.INVALID_PARAM
        assert acl.get_recent_err_msg().startswith(f"acl.rt.destroy_stream({text}) returned")


def test_message_is_that_of_the_last_failure_and_outlives_successes(acl, context):
    acl.rt.set_context(1)
    acl.media.dvpp_free(2)
    pyacl.ok(acl.rt.get_context())
    assert "dvpp_free(2)" in acl.get_recent_err_msg()


def test_each_thread_has_its_own_message(acl, context):
    acl.rt.set_context(77)
    assert pyacl.in_thread(acl.get_recent_err_msg) is None
    assert "set_context(77)" in acl.get_recent_err_msg()

    def fail():
        acl.media.dvpp_free(5)
        return acl.get_recent_err_msg()

    assert "dvpp_free(5)" in pyacl.in_thread(fail)
    assert acl.get_recent_err_msg() is None


@pytest.mark.parametrize("code", [pyacl.THREAD_SUBSCRIBE, pyacl.REPORT_TIMEOUT])
def test_what_a_report_loop_meets_all_the_time_is_no_failure(acl, context, handles, code):
    import threading

    if code == pyacl.REPORT_TIMEOUT:
        stream = handles.make("stream")
        pyacl.ok(acl.rt.subscribe_report(threading.get_ident(), stream))
    assert acl.rt.process_report(1) == code
    assert acl.get_recent_err_msg() is None
    if code == pyacl.REPORT_TIMEOUT:
        pyacl.ok(acl.rt.unsubscribe_report(threading.get_ident(), stream))


def test_order_of_calls_that_the_facade_refuses_is_not_blamed_on_an_argument(acl, context):
    media = acl.media
    desc = media.venc_create_channel_desc()
    media.venc_set_channel_desc_callback(desc, print)
    assert media.venc_send_frame(desc, 0, 0, 0, None) == pyacl.INVALID_PARAM
    assert acl.get_recent_err_msg().endswith("the channel does not exist: venc_create_channel first")
    assert media.venc_destroy_channel(desc) == pyacl.INVALID_PARAM
    assert acl.get_recent_err_msg().endswith("the description has no channel")
    assert media.venc_destroy_channel_desc(desc) == 0


@pytest.mark.sim_only
def test_parameter_type_that_is_unknown_is_named_alone(acl, context):
    desc = acl.media.venc_create_channel_desc()
    for call in (
        acl.media.venc_get_channel_desc_param,
        lambda *args: (0, acl.media.venc_set_channel_desc_param(*args, 1)),
    ):
        assert call(desc, 13)[1] == pyacl.INVALID_PARAM
        assert ": type is 13, allowed are 0 to 12" in acl.get_recent_err_msg()
    assert acl.media.venc_destroy_channel_desc(desc) == 0


@pytest.mark.sim_only
def test_message_has_the_runtimes_own_text(acl, context):
    data = bytes(4)
    pointer = acl.util.bytes_to_ptr(data)
    assert acl.rt.memcpy(pointer, 2, pointer, 4, 0) == 107000
    text = acl.get_recent_err_msg()
    assert "returned 107000 ACL_ERROR_RT_PARAM_INVALID" in text
    assert "aclrtMemcpy" in text


def test_creator_that_gives_0_says_why(acl, context):
    def create():
        return acl.media.dvpp_create_pic_desc(), acl.get_recent_err_msg()

    handle, text = pyacl.in_thread(create)
    assert handle == 0
    assert "107002 ACL_ERROR_RT_CONTEXT_NULL" in text


def test_codes_are_explained():
    assert errors.explain(507018).startswith("507018 ACL_ERROR_RT_AICPU_EXCEPTION: ")
    assert errors.explain(pyacl.THREAD_SUBSCRIBE).startswith("107012 ACL_ERROR_RT_THREAD_SUBSCRIBE: ")


SILENT = """
const char *aclGetRecentErrMsg(void) { return 0; }
"""

REFUSED = """
import sys
from ascend_venc import acl
acl.init(), acl.rt.set_device(0)
m = acl.media
desc = m.venc_create_channel_desc()
m.venc_set_channel_desc_callback(desc, print)
numbers = {2: 1, 3: 1, 4: 128, 5: 128, 6: 25}
numbers.update(eval(sys.argv[1]))
assert not any([m.venc_set_channel_desc_param(desc, *number) for number in numbers.items()])
print(m.venc_create_channel(desc), acl.get_recent_err_msg())
"""


@pytest.mark.sim_only
@pytest.mark.parametrize(
    ("chip", "numbers", "code", "text"),
    [
        ("Ascend310", {12: 101}, 507018, "max_ip_prop is 101; Ascend310 takes 1 to 100, or 0 for the default"),
        ("Ascend310B4", {12: 101}, 507018, "max_ip_prop is 101; Ascend310B4 takes 1 to 100, or 0 for the default"),
        ("Ascend310P3", {8: 1 << 23}, 500003, "buf_size is set alone; set both, or none of them"),
        ("Ascend310B4", {7: 4096}, 500003, "buf_addr is set alone; set both, or none of them"),
        ("Ascend310P3", {6: 0}, 507018, "key_frame_interval is 0; Ascend310P3 takes 1 to 65536; it has no default"),
    ],
)
def test_every_attribute_that_a_silent_runtime_refuses_is_named(tmp_path, chip, numbers, code, text):
    """Hardware tells the reason to its log only."""
    path = shim.build(tmp_path, SILENT)
    env = {"ASCEND_VENC_BACKEND": path, "ASCEND_VENC_SIM_SOC": chip, "ASCEND_VENC_SIM_STRICT": "0"}
    done = processes.run(REFUSED, numbers, env=env)
    assert done.stdout.startswith(f"{code} acl.media.venc_create_channel("), done.stderr
    assert f": {text}. " in done.stdout
