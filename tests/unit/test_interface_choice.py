# SPDX-License-Identifier: Apache-2.0
"""What `interface="auto"` means, by what a process does, its chip and its library."""

import sys

import pytest

from ascend_venc import chips, interface_choice

MEMBERS = [(chip, name) for chip in chips.CHIPS for name in (chip.simulated or (chip.family,))]


@pytest.fixture(autouse=True)
def no_pyacl_program(monkeypatch):
    monkeypatch.delitem(sys.modules, "acl", raising=False)


@pytest.mark.parametrize(("chip", "name"), MEMBERS, ids=[name for _, name in MEMBERS])
def test_chip_decides_where_the_process_has_used_neither(chip, name):
    has = chip.encoder and bool(chip.channels_v2.value)
    assert has == chip.family.startswith(("Ascend310P", "Ascend310B"))
    found = interface_choice.by_process(0, 0, name)
    if has:
        assert found is None  # its library decides
    else:
        assert found.name == "v1" and name in found.reason and (found.automatic, found.problem) == (False, "")


def test_library_decides_on_a_chip_with_v2():
    found = interface_choice.by_library("Ascend310P3", "/lib/x.so", "", False)
    assert (found.name, found.automatic, found.problem) == ("v2", True, "")
    assert "Ascend310P3" in found.reason and "/lib/x.so" in found.reason
    for broken in (False, True):
        found = interface_choice.by_library("Ascend310P3", "", "it is\nnot usable", broken)
        assert found.name == "v1" and "Ascend310P3 has DVPP V2, but it is not usable" in found.reason
        assert found.problem == ("it is not usable" if broken else "")


@pytest.mark.parametrize("name", ["", "Ascend777"])
def test_unlisted_chip_is_v1(name):
    found = interface_choice.by_process(0, 0, name)
    assert found.name == "v1" and "not known" in found.reason


@pytest.mark.parametrize("expected", [0, 1])
@pytest.mark.parametrize("used", [1, 2])
def test_what_the_process_uses_comes_first(used, expected, monkeypatch):
    monkeypatch.setitem(sys.modules, "acl", sys)
    found = interface_choice.by_process(used, expected, "Ascend310P3")
    assert found.name == f"v{used}" and "in use" in found.reason


def test_acl_media_and_pyacl_programs_are_v1(monkeypatch):
    found = interface_choice.by_process(0, 1, "Ascend310P3")
    assert found.name == "v1" and "acl.media" in found.reason
    monkeypatch.setitem(sys.modules, "acl", sys)
    found = interface_choice.by_process(0, 0, "Ascend310P3")
    assert found.name == "v1" and "pyACL" in found.reason
    monkeypatch.delitem(sys.modules, "acl")
    monkeypatch.setattr(sys, "path", [*sys.path, interface_choice.PYACL_FOLDER])
    assert interface_choice.by_process(0, 0, "Ascend310P3").name == "v1"
