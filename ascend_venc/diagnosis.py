# SPDX-License-Identifier: Apache-2.0
"""Why the device refuses what a pyACL program asks for, in words.

AscendCL gives a number, and the reason, if at all, to the kernel's log. The ranges are documented, so the facade can
name the parameter, its value and what the chip takes.
"""

from __future__ import annotations

from typing import Any

from . import chip_limits, chips
from .errors import UnsupportedDeviceError

_PARAM_NAMES = (
    "thread_id",
    "callback",
    "pic_format",
    "entype",
    "pic_width",
    "pic_height",
    "key_frame_interval",
    "buf_addr",
    "buf_size",
    "rc_mode",
    "src_rate",
    "max_bit_rate",
    "max_ip_prop",
)

_ENCODERS = [chip for chip in chips.CHIPS if chip.encoder]
_WITH_BUFFER = [chip for chip in _ENCODERS if chip.buffer_min.value]
_WITH_IP_PROP = [chip for chip in _ENCODERS if chip.ip_prop_settable.value]
_MIN_BUFFER = min(chip.buffer_min.value for chip in _WITH_BUFFER)  # bytes of an output buffer that the program brings


def _on(found: list[chips.Chip]) -> str:
    return "on " + " and ".join(chip.family for chip in found)


# What a setter refuses whatever the chip. Values outside other ranges are found when the channel is created.
_ALLOWED = {
    "pic_format": "1 (NV12) or 2 (NV21)",
    "rc_mode": "0 (the chip's default), 1 (VBR) or 2 (CBR)",
    "buf_size": f"{_MIN_BUFFER} bytes ({_MIN_BUFFER // chips.MIB} MiB) or more, {_on(_WITH_BUFFER)}",
    "buf_addr": f"an address other than 0, set once, {_on(_WITH_BUFFER)}",
    "max_ip_prop": f"0 to {max(chip.ip_prop.value[1] for chip in _WITH_IP_PROP)}, {_on(_WITH_IP_PROP)}",
}


def of_setter(function: str, arguments: list[Any]) -> str | None:
    """Explain what `venc_set_channel_desc_...` or another setter refused; None if nothing is known.

    `arguments` are those of the call: handle and value, or handle, parameter type and value.
    """
    if not arguments or arguments[0] == 0:
        return "the description is 0"
    name = function.rpartition("desc_")[2]
    if function == "venc_set_channel_desc_param":
        if not 0 <= arguments[1] < len(_PARAM_NAMES):
            return f"param_type is {arguments[1]}; allowed are 0 to {len(_PARAM_NAMES) - 1}"
        name = _PARAM_NAMES[arguments[1]]
    if name in _ALLOWED:
        return f"{name} is {arguments[-1]}; allowed: {_ALLOWED[name]}"
    if name == "data" and arguments[-1] == 0:
        return "the address is 0"
    return None


def has_ip_prop(soc_name: str) -> bool:
    """Whether a chip's channels have an I/P proportion, which others refuse to tell."""
    chip = chips.chip_of(soc_name)
    return chip is not None and bool(chip.ip_prop_settable.value)


def of_channel(
    soc_name: str,
    *,
    entype: int,
    pic_format: int,
    pic_width: int,
    pic_height: int,
    key_frame_interval: int,
    rc_mode: int,
    src_rate: int,
    max_bit_rate: int,
    max_ip_prop: int,
    buf_addr: int,
    buf_size: int,
) -> str | None:
    """Explain why a channel with these attributes was not created; None if they are all within the chip's ranges."""
    try:
        limits = chip_limits.limits_of(soc_name)
    except UnsupportedDeviceError as error:
        return str(error)
    chip = soc_name or limits.family
    found = []

    def check(name: str, value: int, low: int, high: int, note: str = "") -> None:
        if not low <= value <= high:
            found.append(f"{name} is {value}; {chip} takes {low} to {high}{note}")

    check("pic_width", pic_width, *limits.width)
    check("pic_height", pic_height, *limits.height)
    for name, value in (("pic_width", pic_width), ("pic_height", pic_height)):
        if value % 2:
            found.append(f"{name} is {value}; it must be even")
    if entype not in (0, 1, 2, 3):
        found.append(f"entype is {entype}; allowed are 0 (H.265), 1, 2 and 3 (H.264 baseline, main, high)")
    elif entype and limits.h264_area and pic_width * pic_height > limits.h264_area:
        found.append(f"pic_width * pic_height is {pic_width * pic_height}; {chip} takes {limits.h264_area} in H.264")
    if pic_format not in (1, 2):
        found.append(f"pic_format is {pic_format}; allowed are 1 (NV12) and 2 (NV21)")
    check(
        "key_frame_interval",
        key_frame_interval,
        *limits.gop,
        " frames" if key_frame_interval else "; it has no default",
    )
    if rc_mode not in (0, 1, 2):
        found.append(f"rc_mode is {rc_mode}; allowed are 0 (the chip's default), 1 (VBR) and 2 (CBR)")
    row = chips.chip_of(soc_name)
    if src_rate:
        default = f"{row.default_fps.value}" if row else "the default"
        check("src_rate", src_rate, *limits.fps, f" frames per second, or 0 for {default}")
    if max_bit_rate:
        low, high = limits.bit_rate
        note = f" kbit/s: is {max_bit_rate} meant as bit/s?" if max_bit_rate > high else " kbit/s, or 0 for the default"
        check("max_bit_rate", max_bit_rate, low, high, note)
    if max_ip_prop and row and row.ip_prop.value:
        low, high = row.ip_prop.value
        check("max_ip_prop", max_ip_prop, low, high, ", or 0 for the default")
    if bool(buf_addr) != bool(buf_size):
        found.append(f"{'buf_addr' if buf_addr else 'buf_size'} is set alone; set both, or none of them")
    return "; ".join(found) or None


_V2_CODECS = {
    96: ("H.264", "h264", 1, "0 (baseline), 1 (main), 2 (high) and 3 (SVC-T)"),
    265: ("H.265", "h265", 11, "0 (main) and 1 (main 10)"),
}
_V2_MODES = ("cbr", "vbr", "avbr", "qvbr", "cvbr", "fixqp")  # by their numbers, from each codec's first one on
_V2_BUFFER = (32 * 1024, 1 << 30, 64)  # bytes: from, to, multiple of
_V2_SECONDS = {"stats_time": (1, 60), "short_term_stats_time": (1, 120)}
_V2_LONG_TERM = (1, 1440)  # of a unit that rate control's parameters tell
_V2_STATIC = ("type", "max_pic_width", "max_pic_height", "buf_size", "profile", "is_by_frame")
_MOD_TYPES = {2: 96, 3: 265}  # HI_VENC_MOD_H264 and _H265, which the vendor's page has where a type belongs


def of_lost_values(given: Any, name: str = "", depth: int = 8) -> str | None:
    """Explain what of a dict for acl.himpi counts as lacking, as in pyACL: numbers that are no ints, lists that are no
    lists. None if nothing does; deeper than any structure nothing is looked at."""
    kind = type(given)
    if isinstance(given, (dict, list)):
        # A copy, by no code of a class of the program's: another thread may change what was given meanwhile.
        items = list(dict.items(given)) if isinstance(given, dict) else [(name, value) for value in list(given)]
        items = [(key if isinstance(key, str) else name, value) for key, value in items] if depth else []
        found = [of_lost_values(value, key, depth - 1) for key, value in items]
        return "; ".join(dict.fromkeys(text for text in found if text)) or None
    if given is None or isinstance(given, (int, str, bytes)):
        return None
    if hasattr(kind, "__len__"):
        return f"{name} is of type {kind.__name__}, and counts as lacking: give a list"
    if hasattr(kind, "__float__") or hasattr(kind, "__index__"):
        return f"{name} is of type {kind.__name__}, and counts as lacking: give an int"
    return None


def of_v2_channel(soc_name: str, attr: dict[str, Any]) -> str | None:
    """Explain why a DVPP V2 channel with these attributes was refused; None if they are all within the chip's ranges.

    `attr` is what acl.himpi.venc_get_chn_attr gives for them.
    """
    chip = chips.chip_of(soc_name)
    if chip is None:
        return None
    if not chip.channels_v2.value:
        return f"{soc_name} has no DVPP V2"
    found = []

    def check(name: str, value: int, allowed: tuple[int, int], unit: str = "") -> None:
        if not allowed[0] <= value <= allowed[1]:
            found.append(f"{name} is {value}; allowed are {allowed[0]} to {allowed[1]}{unit}")

    venc, rates, gop = attr["venc_attr"], attr["rc_attr"], attr["gop_attr"]
    codec = _V2_CODECS.get(venc["type"])
    if codec is None:
        right = _MOD_TYPES.get(venc["type"])
        meant = f"; {venc['type']} is a mod_type: {right} is meant" if right else ""
        return f"type is {venc['type']}; allowed are 96 (H.264) and 265 (H.265){meant}"
    name, prefix, first, profiles = codec
    if venc["profile"] > (3 if prefix == "h264" else 1):
        found.append(f"profile is {venc['profile']}; {name} has {profiles}")
    for word, limits in (("width", chip.width.value), ("height", chip.height.value)):
        check(f"max_pic_{word}", venc[f"max_pic_{word}"], limits, " pixels")
        check(f"pic_{word}", venc[f"pic_{word}"], (limits[0], venc[f"max_pic_{word}"]), f" (max_pic_{word})")
        if venc[f"pic_{word}"] % 2:
            found.append(f"pic_{word} is {venc[f'pic_{word}']}; it must be even")
    area = venc["pic_width"] * venc["pic_height"]
    if prefix == "h264" and chip.h264_area.value and area > chip.h264_area.value:
        found.append(f"pic_width * pic_height is {area}; {soc_name} takes {chip.h264_area.value} in H.264")
    check("is_by_frame", venc["is_by_frame"], (0, 1))
    low, high, step = _V2_BUFFER
    check("buf_size", venc["buf_size"], (low, high), " bytes")
    if venc["buf_size"] % step:
        found.append(f"buf_size is {venc['buf_size']}; it must be a multiple of {step}")
    mode = rates["rc_mode"]
    if not first <= mode < first + len(_V2_MODES):
        found.append(f"rc_mode is {mode}; {name} has {first} to {first + len(_V2_MODES) - 1}")
    else:
        rate = rates[f"{prefix}_{_V2_MODES[mode - first]}"]
        check("gop", rate["gop"], chip.gop.value)
        check("src_frame_rate", rate["src_frame_rate"], chip.fps.value)
        check(
            "dst_frame_rate", rate["dst_frame_rate"], (chip.fps.value[0], rate["src_frame_rate"]), " (src_frame_rate)"
        )
        for word, value in rate.items():
            if word in _V2_SECONDS:
                check(word, value, _V2_SECONDS[word], " s")
            elif word == "long_term_stats_time":
                check(word, value, _V2_LONG_TERM, " units")
            elif word == "long_term_min_bit_rate":
                most = rate["long_term_max_bit_rate"]
                check(word, value, (0, most), " kbit/s (long_term_max_bit_rate)")
            elif word.endswith("bit_rate"):
                check(word, value, chip.bit_rate.value, " kbit/s")
            elif word in ("i_qp", "p_qp", "b_qp"):
                check(word, value, (0, 51))
    if gop["gop_mode"] != 0:
        found.append(f"gop_mode is {gop['gop_mode']}; 0 (NORMAL_P) works")
    else:
        check("ip_qp_delta", gop["normal_p"]["ip_qp_delta"], (-10, 30))
    return "; ".join(found) or None


def of_v2_change(before: dict[str, Any], attr: dict[str, Any]) -> str | None:
    """Explain why a DVPP V2 channel with the attributes `before` did not take others; None if no static one differs."""
    was, now = before["venc_attr"], attr["venc_attr"]
    found = [f"{name} is {now[name]}; it was {was[name]}" for name in _V2_STATIC if now[name] != was[name]]
    if not found:
        return None
    return "; ".join(found) + ", and cannot change while the channel is there: destroy and create it"
