# SPDX-License-Identifier: Apache-2.0
"""Which line of a program a warning is about: the one that called into this package, through whatever layers of it."""

from __future__ import annotations

import os
import sys

_PACKAGE = os.path.join(os.path.dirname(__file__), "")


def stack_level() -> int:
    """Return the `stacklevel` by which a `warnings.warn` of the caller names the nearest line outside the package."""
    level = 1
    frame = sys._getframe(1)
    while frame.f_code.co_filename.startswith(_PACKAGE) and frame.f_back is not None:
        frame = frame.f_back
        level += 1
    return level
