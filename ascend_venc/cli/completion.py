# SPDX-License-Identifier: Apache-2.0
"""`ascend-venc completion`: a script by which a shell completes this command."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import VencError

NAME = "completion"
HELP = "Print the script by which a shell completes this command."
SHELLS = ("bash", "zsh", "fish")
EPILOG = """\
examples:
  ascend-venc completion bash >~/.local/share/bash-completion/completions/ascend-venc
  ascend-venc completion zsh >~/.zfunc/_ascend-venc      # with fpath+=~/.zfunc before compinit in ~/.zshrc
  ascend-venc completion fish >~/.config/fish/completions/ascend-venc.fish

The script is complete in itself: no Python runs while a word is completed.
"""
_FILES = ("INPUT... OUTPUT", "INPUT", "OUTPUT", "FILE", "OUT", "PROGRAM")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("shell", metavar="SHELL", choices=SHELLS, help=", ".join(SHELLS))


def run(args: argparse.Namespace) -> int:
    from . import make_parser

    print(script(make_parser(), args.shell))
    return 0


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return a shell's script for a parser. Raises VencError without shtab, or with one that is too old for it."""
    try:
        import shtab
    except ImportError as error:
        raise VencError(f"this needs shtab: pip install 'ascend-venc[cli]' ({error})") from None
    if shell not in shtab.SUPPORTED_SHELLS:
        raise VencError(f"shtab {shtab.__version__} does not know {shell}: pip install --upgrade shtab")
    _name_files(parser, shtab.FILE)
    return str(shtab.complete(parser, shell))


def _name_files(parser: argparse.ArgumentParser, kind: Any) -> None:
    """Mark the arguments that are names of files."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                _name_files(command, kind)
        elif action.metavar in _FILES:
            action.complete = kind  # type: ignore[attr-defined]
