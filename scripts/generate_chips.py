# SPDX-License-Identifier: Apache-2.0
"""What is made of ascend_venc/chips.py.

    sim_chips.h      the simulated device's profiles, for csrc/sim/profile.c, at build
    docs/chips.md    the table for readers: `python scripts/generate_chips.py` writes it

setup.py calls `sources`. Python 3.9 and nothing but the standard library.
"""

import dataclasses
import json
import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CHIPS = runpy.run_path(str(ROOT / "ascend_venc" / "chips.py"))["CHIPS"]
HEADER = "sim_chips.h"
DOCUMENT = ROOT / "docs" / "chips.md"

# A figure of chips.py and the member of sim_profile (csrc/sim/sim.h) that it becomes.
MEMBERS = {
    "run_mode": "run_mode",
    "width": "width",
    "height": "height",
    "h264_area": "h264_area",
    "gop": "gop",
    "fps": "src_rate",
    "bit_rate": "bit_rate",
    "ip_prop": "ip_prop",
    "channels_v1": "max_channels",
    "channels_v2": "max_channels_v2",
    "streams": "max_streams",
    "default_rc": "default_rc_mode",
    "default_fps": "default_src_rate",
    "default_bit_rate": "default_bit_rate",
    "buffer_size": "buffer_size",
    "buffer_min": "buffer_min",
    "ip_prop_settable": "ip_prop_settable",
    "v100": "v100",
    "rc_mode_checked": "checks_rc_mode",
    "picture_size_checked": "checks_picture_size",
    "memory": "memory",
}
RUN_MODES = {"host": "ACL_HOST", "device": "ACL_DEVICE"}

# What docs/chips.md calls them.
ROWS = {
    "width": "width, pixels",
    "height": "height, pixels",
    "h264_area": "width × height in H.264",
    "gop": "frames from one IDR to the next",
    "fps": "frames per second of the rate control",
    "bit_rate": "bit rate, kbit/s",
    "channels_v1": "channels, V1",
    "channels_v2": "channels, V2, with picture encoding",
    "streams": "streams; a V1 channel takes two",
    "default_rc": "rate control by default",
    "default_fps": "frames per second by default",
    "default_bit_rate": "bit rate by default, kbit/s",
    "buffer_size": "output buffer, bytes",
    "buffer_min": "least size of one that the program brings, bytes",
    "ip_prop": "maxIPProp",
    "run_mode": "the program runs on the",
    "memory": "memory, bytes",
}


def figures(chip):
    """The figures of a chip: a dict of (value, mark, note) by name."""
    named = {field.name: getattr(chip, field.name) for field in dataclasses.fields(chip)}
    return {name: figure for name, figure in named.items() if name not in ("family", "simulated", "encoder")}


def description(chip, name):
    """What aclsim_describe_soc tells of a chip: every figure, and its mark."""
    found = figures(chip)
    return {
        "name": name,
        "encoder": chip.encoder,
        **{key: figure.value for key, figure in found.items()},
        "marks": {key: figure.mark for key, figure in found.items()},
    }


def _c(value):
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"{{{value[0]}, {value[1]}}}"
    return RUN_MODES[value] if isinstance(value, str) else f"{value}ull" if value >= 2**32 else str(value)


def _profile(chip, name):
    lines = [f'    .name = "{name}",', f"    .has_venc = {_c(chip.encoder)},"]
    found = figures(chip)
    for key, member in MEMBERS.items():
        if found[key].value is not None:
            lines.append(f"    .{member} = {_c(found[key].value)}, /* {found[key].mark} */")
    lines.append(f"    .description = {json.dumps(json.dumps(description(chip, name)))},")
    return "\n".join(["{", *lines, "},\n"])


def sources():
    """The text of the header, by name: which chips are listed, and which can be chosen besides."""
    listed = "".join(_profile(chip, chip.simulated[0]) for chip in CHIPS if chip.simulated)
    others = "".join(_profile(chip, name) for chip in CHIPS for name in chip.simulated[1:])
    return {
        HEADER: "/* Made by scripts/generate_chips.py at build: change ascend_venc/chips.py instead. */\n"
        f"static const sim_profile profiles[] = {{\n{listed}}};\n"
        f"static const sim_profile members[] = {{\n{others}}};\n"
    }


def _shown(key, value):
    if value is None or value is False:
        return "-"
    if isinstance(value, tuple):
        return f"{value[0]} to {value[1]}"
    return {1: "VBR", 2: "CBR"}[value] if key == "default_rc" else str(value)


def document():
    """The text of docs/chips.md."""
    chips = [chip for chip in CHIPS if chip.encoder]
    lines = [
        "# The chips",
        "",
        "Made of `ascend_venc/chips.py` by `python scripts/generate_chips.py`. What `Encoder` accepts, what the",
        "simulated device does and what `ascend-venc caps` and `sim` tell come from the same file. V1 is the interface",
        "`aclvenc*`, V2 `hi_mpi_venc_*`. Marks: d documented by the vendor, o observed on",
        "hardware, g guessed.",
        "",
        "| | " + " | ".join(chip.family for chip in chips) + " |",
        "|---|" + "---|" * len(chips),
    ]
    notes = []
    for key, label in ROWS.items():
        cells = []
        for chip in chips:
            figure = figures(chip)[key]
            cells.append(f"{_shown(key, figure.value)} ({figure.mark[0]})")
            if figure.note:
                notes.append(f"- {chip.family}, {label}: {figure.note}.")
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    without = ", ".join(chip.family for chip in CHIPS if not chip.encoder)
    lines += ["", *notes, "", f"No video encoder: {without}.", ""]
    lines += [
        "Where the sources of a figure disagree `Encoder` does not refuse by it: how many channels there are is the",
        "device's to say, and its refusal is a `DeviceFullError`.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    DOCUMENT.write_text(document())
