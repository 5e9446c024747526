# SPDX-License-Identifier: Apache-2.0
"""`ascend-venc completion`: the scripts in the shells that they are for."""

import os
import shutil
import subprocess
import sys

import pytest

from ascend_venc.cli import main
from helpers import processes

BASH = """\
source ./script
COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
name=$(complete -p ascend-venc | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
$name
printf '%s\\n' "${COMPREPLY[@]}"
"""
FISH = 'source ./script; complete -C "$argv"'


@pytest.fixture
def here(tmp_path, monkeypatch):
    pytest.importorskip("shtab", reason="shtab is not installed")
    (tmp_path / "film.mp4").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def script(shell, capsys):
    assert main(["completion", shell]) == 0
    text = capsys.readouterr().out
    with open("script", "w") as file:
        file.write(text)
    return text


def answer(*command):
    done = subprocess.run(
        command,
        env={**processes.environment(), "HOME": os.getcwd()},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return [line.split("\t")[0] for line in done.stdout.splitlines() if line]


LINES = [
    (["enc"], ["encode"]),
    (["encode", "--bit"], ["--bitrate"]),
    (["encode", "--rc", ""], ["avbr", "cbr", "cvbr", "qvbr", "vbr"]),
    (["encode", "fi"], ["film.mp4"]),
    (["encode", "-i", "fi"], ["film.mp4"]),
    (["encode", "-stream"], ["-stream_loop"]),
    (["completion", ""], ["bash", "fish", "zsh"]),
    (["plot", "film.mp4", "--asc"], ["--ascii"]),
]


def test_bash_completes_commands_options_values_and_files(here, capsys):
    script("bash", capsys)
    for words, wanted in LINES:
        assert sorted(answer("bash", "-c", BASH, "bash", "ascend-venc", *words)) == wanted, words


def test_fish_completes_commands_options_values_and_files(here, capsys):
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    script("fish", capsys)
    for words, wanted in LINES:
        if words[0] != "encode" or not words[1].startswith("-stream"):  # fish shows these for "-" alone
            assert sorted(answer("fish", "-c", FISH, " ".join(["ascend-venc", *words]))) == wanted, words


def test_zsh_takes_the_script(here, capsys):
    text = script("zsh", capsys)
    assert text.startswith("#compdef ascend-venc") and "--bitrate" in text and "-stream_loop" in text
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed: only what the script holds was looked at")
    assert answer("zsh", "-n", "script") == []


def test_hidden_options_stay_hidden_and_refused_ones_are_not_offered(here, capsys):
    for shell in ("bash", "zsh", "fish"):
        text = script(shell, capsys)
        assert "hide_banner" not in text and "-crf" not in text and "-preset" not in text


def test_completion_without_shtab_says_what_to_install(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 1
    assert "pip install 'ascend-venc[cli]'" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["completion", "encode", "plot", "top"])
def test_help_has_examples(capsys, command):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert "examples:\n" in text and text.count(f"ascend-venc {command}") > 2
