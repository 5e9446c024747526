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
    if src_rate:
        row = chips.chip_of(soc_name)
        default = f"{row.default_fps.value}" if row else "the default"
        check("src_rate", src_rate, *limits.fps, f" frames per second, or 0 for {default}")
    if max_bit_rate:
        low, high = limits.bit_rate
        note = f" kbit/s: is {max_bit_rate} meant as bit/s?" if max_bit_rate > high else " kbit/s, or 0 for the default"
        check("max_bit_rate", max_bit_rate, low, high, note)
    return "; ".join(found) or None
