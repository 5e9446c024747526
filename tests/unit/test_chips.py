# SPDX-License-Identifier: Apache-2.0
"""There is one table of chips: whoever needs a figure has it from ascend_venc/chips.py."""

import dataclasses
import json
import re
import runpy
from pathlib import Path

import pytest

from ascend_venc import chip_limits, chips, cli, diagnosis, errors
from ascend_venc._lowlevel import core

ROOT = Path(__file__).resolve().parents[2]
GENERATOR = runpy.run_path(str(ROOT / "scripts" / "generate_chips.py"))
ENCODERS = [chip for chip in chips.CHIPS if chip.encoder]


def figures(chip):
    return {
        field.name: getattr(chip, field.name)
        for field in dataclasses.fields(chip)
        if isinstance(getattr(chip, field.name), chips.Figure)
    }


def test_every_figure_has_a_mark_and_every_chip_all_figures():
    assert [chip.family for chip in ENCODERS] == ["Ascend310P", "Ascend310B", "Ascend310"]
    for chip in chips.CHIPS:
        assert {figure.mark for figure in figures(chip).values()} <= {"documented", "observed", "guessed"}
    for chip in ENCODERS:
        missing = [name for name, figure in figures(chip).items() if figure.value is None]
        assert set(missing) <= {"h264_area", "ip_prop", "buffer_min"}, chip.family  # limits that a chip may not have


def test_channels_are_as_the_sources_say():
    found = {chip.family: (chip.channels_v1.value, chip.channels_v1.mark, chip.channels_v2.value) for chip in ENCODERS}
    assert found == {
        "Ascend310": (16, "documented", 0),
        "Ascend310P": (128, "documented", 256),
        "Ascend310B": (128, "guessed", 128),
    }


def test_simulated_device_has_the_figures_of_the_table():
    described = {chip["name"]: chip for chip in core.simulated_chips()}
    assert list(described) == [chip.simulated[0] for chip in chips.CHIPS if chip.simulated]
    for chip in chips.CHIPS:
        if not chip.simulated:
            continue
        seen = described[chip.simulated[0]]
        wanted = json.loads(json.dumps({name: figure.value for name, figure in figures(chip).items()}))
        assert {name: seen[name] for name in wanted} == wanted
        assert seen["marks"] == {name: figure.mark for name, figure in figures(chip).items()}
        assert seen["encoder"] == chip.encoder


def test_profile_in_c_is_made_of_every_figure():
    """The profile itself, not only what it tells: a figure that is left out would be 0 there."""
    text = GENERATOR["sources"]()["sim_chips.h"]
    header = (ROOT / "csrc" / "sim" / "sim.h").read_text()
    members = re.search(r"typedef struct sim_profile \{(.*?)\} sim_profile;", header, re.S).group(1)
    declared = set(re.findall(r"(\w+)[,;]", re.sub(r"/\*.*?\*/", "", members, flags=re.S)))
    assert declared == {"name", "has_venc", "description", *GENERATOR["MEMBERS"].values()}
    assert set(GENERATOR["MEMBERS"]) == set(figures(chips.CHIPS[0]))
    for chip in ENCODERS:
        (profile,) = re.findall(rf'\{{\n    \.name = "{chip.simulated[0]}",.*?\n}},', text, re.S)
        assert f".width = {{{chip.width.value[0]}, {chip.width.value[1]}}}, /* {chip.width.mark} */" in profile
        assert f".max_channels = {chip.channels_v1.value}, /* {chip.channels_v1.mark} */" in profile


def test_encoder_s_limits_are_the_table_s():
    for chip in ENCODERS:
        for soc_name in (chip.family, *chip.simulated, chip.family + "9"):
            limits = chip_limits.limits_of(soc_name)
            assert limits.family == chip.family
            for name in ("width", "height", "fps", "bit_rate", "gop", "h264_area"):
                assert getattr(limits, name) == getattr(chip, name).value
    for chip in chips.CHIPS:
        if not chip.encoder:
            with pytest.raises(errors.UnsupportedDeviceError):
                chip_limits.limits_of(chip.family + "B1")
    unknown = chip_limits.limits_of("Ascend777")
    assert unknown.width == (114, 8192) and unknown.bit_rate == (2, 614400)


def test_facade_s_explanations_have_the_table_s_figures():
    buffers = [chip.buffer_min.value for chip in ENCODERS if chip.buffer_min.value]
    told = diagnosis.of_setter("venc_set_channel_desc_buf_size", [1, 5])
    assert str(min(buffers)) in told and "Ascend310P and Ascend310B" in told
    assert "Ascend310B and Ascend310" in diagnosis.of_setter("venc_set_channel_desc_max_ip_prop", [1, 101])


def test_document_is_made_of_the_table():
    assert (ROOT / "docs" / "chips.md").read_text() == GENERATOR["document"](), "python scripts/generate_chips.py"


def test_info_and_sim_tell_the_table_s_figures(capsys):
    for chip in ENCODERS:
        if chip.simulated[0] == "Ascend310P3":  # the one that this process has
            assert cli.main(["info", "--backend", "sim", "--json"]) == 0
            limits = json.loads(capsys.readouterr().out)["limits"]
            assert limits == [
                f"{name} {value} ({mark})"
                for name, value, mark in (
                    ("width", "128 to 4096", "documented"),
                    ("height", "128 to 4096", "documented"),
                    ("h264_area", "9437184", "documented"),
                    ("gop", "1 to 65536", "documented"),
                    ("fps", "1 to 240", "documented"),
                    ("bit_rate", "2 to 614400", "documented"),
                    ("channels_v1", "128", "documented"),
                    ("channels_v2", "256", "documented"),
                )
            ]
    assert cli.main(["sim"]) == 0
    shown = capsys.readouterr().out
    for chip in ENCODERS:
        (row,) = [line for line in shown.splitlines() if line.split() and line.split()[0] == chip.simulated[0]]
        assert row.endswith(f"{chip.channels_v1.value} ({chip.channels_v1.mark})")


FIGURES = r"\b(614400|9437184|4096 ?\* ?2304|3686400|30000|8388608|5242880)\b"
# Of other things than chips.
OTHERS = {"30000/1001", "30000:1001"}


def _with_figures(files):
    found = []
    for path in files:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if re.search(FIGURES, line) and not any(other in line for other in OTHERS):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    return found


def test_no_other_file_of_the_product_has_figures_of_chips():
    product = [
        path
        for folder, suffixes in (
            ("ascend_venc", {".py", ".pyx", ".pyi", ".txt"}),
            ("csrc", {".c", ".h"}),
            ("docs", {".md"}),
        )
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in suffixes and "benchmarks" not in path.parts
    ]
    allowed = {ROOT / "ascend_venc" / "chips.py", ROOT / "docs" / "chips.md", ROOT / "docs" / "conformance.md"}
    assert _with_figures([path for path in product if path not in allowed]) == []
    assert _with_figures([ROOT / "ascend_venc" / "chips.py"]), "the check finds figures where they are"
