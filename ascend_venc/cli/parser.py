# SPDX-License-Identifier: Apache-2.0
"""The command's parser: options by their whole names, files anywhere between them, and one line for what is wrong."""

from __future__ import annotations

import argparse
import difflib
import re
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Parser(argparse.ArgumentParser):
    """An ArgumentParser without abbreviations, whose errors are one line on standard error, exit code 2.

    Attributes
    ----------
    refuse : callable, optional
        Gets each option as it is typed, and raises for those that are known not to be there.
    files_anywhere : bool
        Whether positional arguments may stand between options.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)
        self.refuse: Callable[[str], None] | None = None
        self.files_anywhere = False
        self._in_pass = False
        self._typed: list[str] = []

    def error(self, message: str) -> NoReturn:
        named = re.match(r"argument (-\S+): ", message)
        if named:  # by the name that was typed, of its many
            names = named[1].split("/")
            name = next((name for name in names if name in self._typed), names[-1])
            message = f"{name}: {message[named.end() :]}"
        self.exit(2, f"ascend-venc: {' '.join(message.split())} ({self.prog} --help)\n")

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        if not self.files_anywhere or self._in_pass:
            return super().parse_known_args(args, namespace)
        tokens = self._typed = list(args or ())
        for token in tokens[: tokens.index("--") if "--" in tokens else None]:
            self._check_known(token)
        self._in_pass = True
        try:
            return self.parse_known_intermixed_args(tokens, namespace)
        finally:
            self._in_pass = False

    def _check_known(self, token: str) -> None:
        """Refuse an option that nobody has: argparse would take -foo for -f with the value oo."""
        known = self._option_string_actions
        name = token.partition("=")[0] if token.startswith("--") else token
        if not re.match(r"--?[A-Za-z]", token) or name in known:
            return
        if self.refuse is not None:
            self.refuse(name)
        short = token[:2]
        flags = (known.get(f"-{letter}") for letter in token[1:])
        if short in known and (token[2:3].isdigit() or all(flag is not None and flag.nargs == 0 for flag in flags)):
            return  # -b2M, -yq
        near = difflib.get_close_matches(name, known, 1)
        self.error(f"unknown option {token}" + (f"; did you mean {near[0]}?" if near else ""))
