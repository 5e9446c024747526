# SPDX-License-Identifier: Apache-2.0
"""`ascend-venc explain`, and how lines are fitted into a terminal."""

import io
import json

import pytest

from ascend_venc import cli, errors
from ascend_venc.cli.explain import codes_of, meaning
from ascend_venc.cli.screen import GREEN, Screen


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("507018", [507018]),
        ("-19", [-19]),
        ("0xA008800D", [0xA008800D]),
        ("0xa008800d", [0xA008800D]),
        (str(0xA008800D - (1 << 32)), [0xA008800D]),
        ("ACL_ERROR_RT_AICPU_EXCEPTION", [507018]),
        ("stream_subscribe", [107011]),
        ("aclvencCreateChannel returned 507018 ACL_ERROR_RT_AICPU_EXCEPTION", [507018]),
        ("device 3: aclrtSetDevice returned 107001", [107001]),  # 3 is no code
        ("599998", [599998]),  # not listed
        ("nonsense", []),
        ("", []),
    ],
)
def test_a_code_is_found_by_number_name_and_message(text, codes):
    assert [row.code for row in codes_of(text)] == codes


def test_the_command_prints_name_kind_cause_and_fix(capsys):
    assert cli.main(["explain", "107002", "-19"]) == 0
    row = errors.lookup(107002)
    assert capsys.readouterr().out.splitlines() == [
        "107002  ACL_ERROR_RT_CONTEXT_NULL",
        "  kind   the caller or the environment; raised as AclStateError",
        f"  cause  {row.cause}",
        f"  fix    {row.fix}",
        "-19  AVENC_E_FULL",
        "  kind   of ascend_venc itself; raised as EncoderFullError",
        f"  fix    {errors.lookup(-19).fix}",
    ]


def test_unknown_names_are_wrong_usage(capsys):
    assert cli.main(["explain", "foo"]) == 2
    assert (
        capsys.readouterr().err
        == "ascend-venc: 'foo' is no number, and no code has it in its name (ascend-venc --help)\n"
    )


def test_json_is_a_list(capsys):
    assert cli.main(["explain", "--json", "NO_BUF"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["code"], told["hex"]) == (0xA008800D, "0xA008800D")


def test_every_code_of_the_table_can_be_explained():
    for row in errors.TABLE:
        told = meaning(row)
        assert told["kind"]
        assert told["cause"] or told["fix"] or told["note"] or row.code <= 0, row
        assert list(codes_of(str(row.code))) == [row]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_lines_are_folded_and_coloured_in_a_terminal_only(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    text = "simulated Ascend310P3, V1 and V2: H.264 and H.265, 13 ms a frame"
    seen = {}
    for name, file in (("pipe", io.StringIO()), ("terminal", Terminal())):
        Screen(file).line(text, "ok    ", GREEN)
        seen[name] = file.getvalue()
    assert seen["pipe"] == f"ok    {text}\n"
    assert seen["terminal"] == (
        "\033[32mok    \033[0msimulated Ascend310P3, V1 and V2:\n      H.264 and H.265, 13 ms a frame\n"
    )
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with monkeypatch.context() as changed:
            changed.setenv(name, value)
            file = Terminal()
            Screen(file).line(text, "ok    ", GREEN)
            assert "\033" not in file.getvalue()


def test_a_word_longer_than_the_terminal_does_not_hang_or_vanish(monkeypatch):
    monkeypatch.setenv("COLUMNS", "5")
    file = Terminal()
    Screen(file).line("/a/very/long/path/of/a/library/libascendcl.so", "FAIL  ")
    assert "".join(file.getvalue().split()) == "FAIL/a/very/long/path/of/a/library/libascendcl.so"
