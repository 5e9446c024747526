# SPDX-License-Identifier: Apache-2.0
"""Every function of pyACL's `acl.himpi` for the encoder, and the members of its dicts: to compare the facade with.

Rows are as in pyacl_names.py; D is a dict among the arguments, and among the results.
"""

from helpers.pyacl_names import Row

_WITHOUT_BANG = (
    "get_scene_mode",
    "h264_vui",
    "h265_vui",
    "intra_refresh",
    "ref_param",
    "roi_attr",
    "slice_split",
    "cu_pred",
    "streamcopy_param",
    "qpmap_stride",
    "qpmap_size",
)


def row(name, args, returns):
    return Row(f"acl.himpi.{name}", args, returns, bang=not name.endswith(_WITHOUT_BANG))


def pair(name):
    return row(f"venc_set_{name}", "iD", "r"), row(f"venc_get_{name}", "i", "Dr")


ROWS = (
    row("sys_init", "", "r"),
    row("sys_exit", "", "r"),
    row("dvpp_malloc", "ik", "nr"),
    row("dvpp_free", "k", "r"),
    row("dvpp_get_version", "", "nnnr"),
    row("sys_create_epoll", "i", "nr"),
    row("sys_ctl_epoll", "iiiD", "r"),
    row("sys_wait_epoll", "iii", "onr"),
    row("sys_close_epoll", "i", "r"),
    row("venc_create_chn", "iD", "r"),
    row("venc_destroy_chn", "i", "r"),
    *pair("chn_attr"),
    row("venc_start_chn", "iD", "r"),
    row("venc_stop_chn", "i", "r"),
    row("venc_query_status", "i", "Dr"),
    row("venc_send_frame", "iDi", "r"),
    row("venc_send_frame_ex", "iDi", "r"),
    row("venc_get_stream", "iDi", "Dr"),
    row("venc_release_stream", "iD", "r"),
    row("venc_get_fd", "i", "n"),
    row("venc_close_fd", "i", "r"),
    row("venc_request_idr", "ii", "r"),
    row("venc_set_mod_param", "D", "r"),
    row("venc_get_mod_param", "D", "Dr"),
    *pair("chn_param"),
    row("venc_set_rc_param", "iD", "r"),
    row("venc_get_rc_param", "ii", "Dr"),
    row("venc_set_scene_mode", "ii", "r"),
    row("venc_get_scene_mode", "i", "nr"),
    *pair("h264_vui"),
    *pair("h265_vui"),
    *pair("intra_refresh"),
    *pair("ref_param"),
    *pair("slice_split"),
    *pair("cu_pred"),
    *pair("streamcopy_param"),
    row("venc_set_roi_attr", "iD", "r"),
    row("venc_get_roi_attr", "iI", "Dr"),
    row("venc_get_qpmap_stride", "I", "n"),
    row("venc_get_qpmap_size", "iII", "n"),
    row("venc_send_jpege_frame", "iDDi", "r"),
    row("venc_get_jpege_predicted_size", "DD", "nr"),
    *pair("jpeg_param"),
    *pair("jpeg_huffman_param"),
    row("venc_compact_jpeg_tables", "iIi", "r"),
)
BY_NAME = {each.name: each for each in ROWS}

# What pyACL's dicts do not have of the C structures.
ABSENT = {
    "hi_venc_attr": {"jpeg_attr"},
    "hi_venc_rc_attr": {"h264_qpmap", "h265_qpmap", "mjpeg_cbr", "mjpeg_vbr", "mjpeg_fixqp"},
    "hi_venc_gop_attr": {"adv_smart_p", "bipred_b"},
    "hi_venc_pack": {"data_type", "pack_info"},
}
# What its setters ignore.
IGNORED = {"hi_venc_chn_param": {"crop_info", "frame_rate"}}

# The text for something that is no dict, by the function and the way to the place.
NOT_DICT = {
    ("venc_create_chn",): "the type of hi_venc_chn_attr argument is not dict",
    ("venc_create_chn", "venc_attr"): "the type of hi_venc_attr argument is not dict",
    ("venc_create_chn", "venc_attr", "h264_attr"): "the type of hi_venc_h264_attr argument is not dict",
    ("venc_set_chn_attr", "gop_attr"): "the type of hi_venc_gop_attr argument is not dict",
    ("venc_create_chn", "rc_attr"): "the type of hi_venc_rc_attr argument is not dict",
    ("venc_create_chn", "rc_attr", "h264_cbr"): "the venc cbr argument is not dict",
    ("venc_create_chn", "gop_attr"): "the type of hi_venc_gop_attr argument is not dict",
    ("venc_set_chn_attr",): "the type of hi_venc_chn_attr argument is not dict",
    ("venc_start_chn",): "the hi_venc_start_param argument is not dict",
    ("venc_send_frame",): "the hi_video_frame_info argument is not dict",
    ("venc_send_frame", "v_frame"): "the hi_video_frame argument is not dict",
    ("venc_send_frame", "v_frame", "supplement"): "the hi_video_supplement argument is not dict",
    ("venc_send_frame_ex",): "the hi_user_frame_info argument is not dict",
    ("venc_send_frame_ex", "user_rc_info"): "the hi_user_rc_info argument is not dict",
    ("venc_get_stream",): "the hi_venc_stream argument is not dict",
    ("venc_release_stream",): "the hi_venc_stream argument is not dict",
    ("venc_set_mod_param",): "the hi_venc_mod_param argument is not dict",
    ("venc_set_chn_param",): "the hi_venc_chn_param argument is not dict",
    ("venc_set_rc_param",): "the hi_venc_rc_param argument is not dict",
    ("venc_set_rc_param", "scene_chg_detect"): "the hi_venc_scene_chg_detect argument is not dict",
    ("venc_set_rc_param", "h264_cbr_param"): "the hi_venc_h264_cbr_param argument is not dict",
    ("venc_set_h264_vui",): "the hi_venc_h264_vui argument is not dict",
    ("venc_set_h264_vui", "vui_time_info"): "the hi_venc_vui_h264_time_info argument is not dict",
    ("venc_set_roi_attr",): "the hi_venc_roi_attr argument is not dict",
    ("venc_set_roi_attr", "rect"): "the hi_rect argument is not dict",
    ("venc_set_slice_split",): "the hi_venc_slice_split argument is not dict",
    ("venc_send_jpege_frame",): "the hi_video_frame_info argument is not dict",
    ("sys_ctl_epoll",): "the hi_dvpp_epoll_event argument is not dict",
}


def plain_arguments(each):
    """Arguments of the right types."""
    values = {"k": 0, "i": 0, "I": 0, "D": {}}
    return [{} if letter == "D" else values[letter] for letter in each.args]
