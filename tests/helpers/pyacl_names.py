# SPDX-License-Identifier: Apache-2.0
"""Every function of pyACL that a program for the video encoder can touch: the list that the facade is compared with.

A row says how a function is called, in the format characters of PyArg_ParseTuple:

    k, K  int, masked to 64 bits            i  int of 32 bits, range-checked
    I, B  int, masked to 32 or 8 bits       O  any object
    F     callable                          s  str            |  what follows is optional

`returns` has a letter for each element of the result: r the code, n another int (a handle, an address, a count), f
float, s str or None, b bytes, a ndarray, o any object. One letter: the bare value; more: a tuple. A function without
arguments ignores what it is given. `handles` names the kind of handle that each argument is, "" if it is none.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    name: str
    args: str
    returns: str
    handles: tuple = ()
    bang: bool = False  # the text for wrong arguments ends in "!"

    @property
    def namespace(self):
        return self.name.rpartition(".")[0]

    @property
    def formats(self):
        return self.args.replace("|", "")

    @property
    def optional(self):
        return len(self.args.partition("|")[2])

    @property
    def refusal(self):
        return f"{self.name} args parse failed" + ("!" if self.bang else "")


def rt(name, args, returns, *handles):
    return Row(f"acl.rt.{name}", args, returns, handles)


def media(name, args, returns, *handles):
    return Row(f"acl.media.{name}", args, returns, handles, bang=True)


def pair(kind, name, letter):
    """A setter and a getter of a description's field."""
    handle = {"pic": "pic_desc", "stream": "stream_desc"}[kind]
    return (
        media(f"dvpp_set_{kind}_desc_{name}", "k" + letter, "r", handle),
        media(f"dvpp_get_{kind}_desc_{name}", "k", "n", handle),
    )


def channel_pair(name, letter):
    return (
        media(f"venc_set_channel_desc_{name}", "k" + letter, "r", "channel_desc"),
        media(f"venc_get_channel_desc_{name}", "k", "n", "channel_desc"),
    )


ROWS = (
    Row("acl.init", "|s", "r"),
    Row("acl.finalize", "", "r"),
    Row("acl.finalize_reference", "", "nr"),
    Row("acl.get_version", "", "nnnr"),
    Row("acl.get_soc_name", "", "s"),
    Row("acl.get_recent_err_msg", "", "s"),
    Row("acl.app_log", "is", "s"),
    rt("set_device", "i", "r"),
    rt("reset_device", "i", "r"),
    rt("reset_device_force", "i", "r"),
    rt("get_device", "", "nr"),
    rt("get_device_count", "", "nr"),
    rt("get_run_mode", "", "nr"),
    rt("get_mem_info", "i", "nnr"),
    rt("create_context", "i", "nr"),
    rt("destroy_context", "k", "r", "context"),
    rt("set_context", "k", "r", "context"),
    rt("get_context", "", "nr"),
    rt("create_stream", "", "nr"),
    rt("destroy_stream", "k", "r", "stream"),
    rt("destroy_stream_force", "k", "r", "stream"),
    rt("synchronize_stream", "k", "r", "stream"),
    rt("synchronize_stream_with_timeout", "ki", "r", "stream", ""),
    rt("synchronize_device", "", "r"),
    rt("create_event", "", "nr"),
    rt("destroy_event", "k", "r", "event"),
    rt("record_event", "kk", "r", "event", "stream"),
    rt("reset_event", "kk", "r", "event", "stream"),
    rt("stream_wait_event", "kk", "r", "stream", "event"),
    rt("query_event", "k", "nr", "event"),
    rt("query_event_status", "k", "nr", "event"),
    rt("synchronize_event", "k", "r", "event"),
    rt("event_elapsed_time", "kk", "fr", "event", "event"),
    rt("subscribe_report", "Kk", "r", "", "stream"),
    rt("unsubscribe_report", "Kk", "r", "", "stream"),
    rt("launch_callback", "FOik", "r", "", "", "", "stream"),
    rt("process_report", "i", "r"),
    rt("malloc", "ki", "nr"),
    rt("free", "k", "r", "device_memory"),
    rt("malloc_host", "k", "nr"),
    rt("free_host", "k", "r", "host_memory"),
    rt("memcpy", "kkkki", "r"),
    rt("memcpy_async", "kkkkik", "r", "", "", "", "", "", "stream"),
    rt("memcpy2d", "kkkkkki", "r"),
    rt("memcpy2d_async", "kkkkkkik", "r", "", "", "", "", "", "", "", "stream"),
    rt("memset", "kkik", "r"),
    rt("memset_async", "kkikk", "r", "", "", "", "", "stream"),
    Row("acl.util.start_thread", "FO", "nr"),
    Row("acl.util.stop_thread", "K", "r"),
    Row("acl.util.bytes_to_ptr", "O", "n"),
    Row("acl.util.ptr_to_bytes", "kk", "b"),
    Row("acl.util.numpy_to_ptr", "O", "n"),
    Row("acl.util.numpy_contiguous_to_ptr", "O", "na"),
    Row("acl.util.ptr_to_numpy", "kOi", "a"),
    media("dvpp_malloc", "k", "nr"),
    media("dvpp_free", "k", "r", "dvpp_memory"),
    media("dvpp_create_pic_desc", "", "n"),
    media("dvpp_destroy_pic_desc", "k", "r", "pic_desc"),
    *pair("pic", "data", "k"),
    *pair("pic", "size", "I"),
    *pair("pic", "format", "i"),
    *pair("pic", "width", "I"),
    *pair("pic", "height", "I"),
    *pair("pic", "width_stride", "I"),
    *pair("pic", "height_stride", "I"),
    *pair("pic", "ret_code", "I"),
    media("dvpp_create_stream_desc", "", "n"),
    media("dvpp_destroy_stream_desc", "k", "r", "stream_desc"),
    *pair("stream", "data", "k"),
    *pair("stream", "size", "I"),
    *pair("stream", "format", "i"),
    *pair("stream", "timestamp", "K"),
    *pair("stream", "ret_code", "I"),
    *pair("stream", "eos", "B"),
    media("venc_create_channel_desc", "", "n"),
    media("venc_destroy_channel_desc", "k", "r", "channel_desc"),
    *channel_pair("thread_id", "K"),
    media("venc_set_channel_desc_callback", "kF", "r", "channel_desc", ""),
    media("venc_get_channel_desc_callback", "k", "o", "channel_desc"),
    *channel_pair("pic_format", "i"),
    *channel_pair("entype", "i"),
    *channel_pair("pic_width", "I"),
    *channel_pair("pic_height", "I"),
    *channel_pair("key_frame_interval", "I"),
    *channel_pair("buf_addr", "k"),
    *channel_pair("buf_size", "I"),
    *channel_pair("rc_mode", "I"),
    *channel_pair("src_rate", "I"),
    *channel_pair("max_bit_rate", "I"),
    media("venc_get_channel_desc_channel_id", "k", "n", "channel_desc"),
    media("venc_set_channel_desc_param", "kiO", "r", "channel_desc", "", ""),
    media("venc_get_channel_desc_param", "ki", "or", "channel_desc", ""),
    media("venc_create_frame_config", "", "n"),
    media("venc_destroy_frame_config", "k", "r", "frame_config"),
    media("venc_set_frame_config_eos", "kB", "r", "frame_config", ""),
    media("venc_get_frame_config_eos", "k", "n", "frame_config"),
    media("venc_set_frame_config_force_i_frame", "kB", "r", "frame_config", ""),
    media("venc_get_frame_config_force_i_frame", "k", "n", "frame_config"),
    media("venc_create_channel", "k", "r", "channel_desc"),
    media("venc_destroy_channel", "k", "r", "channel_desc"),
    media("venc_send_frame", "kkkkO", "r", "channel_desc", "pic_desc", "", "frame_config", ""),
)

BY_NAME = {row.name: row for row in ROWS}
MODULES = {
    "rt",
    "media",
    "util",
    "himpi",
}  # of what pyACL's `acl` holds, the parts that a program for the encoder can touch


def names_of(namespace):
    """The names that a namespace has: functions, and for `acl` its modules."""
    found = {row.name.rpartition(".")[2] for row in ROWS if row.namespace == namespace}
    return found | MODULES if namespace == "acl" else found


def nothing(*args):
    """A callable to pass."""


def plain_arguments(row):
    """Arguments of the right types. The values matter only if the call gets past its types."""
    if row.name == "acl.media.venc_set_channel_desc_param":
        return [0, 4, 128]  # the width
    values = {"k": 0, "K": 0, "i": 0, "I": 0, "B": 0, "O": None, "F": nothing, "s": ""}
    return [values[letter] for letter in row.formats]


def live_arguments(row, handles):
    """Arguments with a live handle wherever a handle goes, and plausible values elsewhere."""
    arguments = plain_arguments(row)
    for position, kind in enumerate(row.handles):
        if kind:
            arguments[position] = handles.make(kind)
    return arguments


def working_arguments(row, handles):
    """Arguments with which a function that needs nothing but live handles succeeds."""
    arguments = live_arguments(row, handles)
    for position, value in VALUES.get(row.name, {}).items():
        arguments[position] = value
    return arguments


_ENDING = ("destroy_", "free", "dvpp_destroy_", "dvpp_free", "venc_destroy_channel_desc", "venc_destroy_frame_config")
ENDS_ITS_HANDLE = {row.name for row in ROWS if row.name.rpartition(".")[2].startswith(_ENDING)}

# Values with which a call on live handles gives 0; those not listed succeed with zeros.
VALUES = {
    "acl.rt.malloc": {0: 64},
    "acl.rt.malloc_host": {0: 64},
    "acl.media.dvpp_malloc": {0: 64},
    "acl.rt.synchronize_stream_with_timeout": {1: 1000},
    "acl.media.dvpp_set_pic_desc_data": {1: 4096},
    "acl.media.dvpp_set_stream_desc_data": {1: 4096},
    "acl.media.venc_set_channel_desc_pic_format": {1: 2},
    "acl.media.venc_set_channel_desc_buf_addr": {1: 4096},
    "acl.media.venc_set_channel_desc_buf_size": {1: 5 * 1024 * 1024},
}
