# SPDX-License-Identifier: Apache-2.0
"""Which line of a program a warning is about: the one that called into this package, through whatever layers of it."""

from __future__ import annotations

import os
import sys
import warnings
from contextvars import ContextVar
from typing import Any, NamedTuple

_PACKAGE = os.path.join(os.path.dirname(__file__), "")


class CallSite(NamedTuple):
    file: str
    line: int
    names: dict[str, Any]  # of its module


_on_behalf_of: ContextVar[CallSite | None] = ContextVar("ascend_venc_call_site", default=None)


def nearest() -> CallSite:
    """The nearest line outside the package."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename.startswith(_PACKAGE) and frame.f_back is not None:
        frame = frame.f_back
    return CallSite(frame.f_code.co_filename, frame.f_lineno, frame.f_globals)


def work_on_behalf_of(site: CallSite) -> None:
    """For a thread of the package's: its warnings are about that line, which had it started."""
    _on_behalf_of.set(site)


def warn(message: str, category: type[Warning]) -> None:
    """Warn of the line that called into the package."""
    site = _on_behalf_of.get() or nearest()
    registry = site.names.setdefault("__warningregistry__", {})
    warnings.warn_explicit(message, category, site.file, site.line, site.names.get("__name__"), registry)
