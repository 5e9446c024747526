# SPDX-License-Identifier: Apache-2.0
"""The compiled layer: the only code that Python can see which handles pointers. Of the main interpreter only."""

import importlib
import sys


def _refuse_subinterpreters() -> None:
    """Raise ImportError anywhere else, before an extension module is bound to that interpreter, for good and alone."""
    try:
        module = importlib.import_module("_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters")
    except ImportError:  # left out of this build of Python
        return
    if module.get_current() != module.get_main():
        raise ImportError(
            "ascend_venc works in the main interpreter only, and this is a subinterpreter: use threads or processes "
            "(mod_wsgi: WSGIApplicationGroup %{GLOBAL})"
        )


_refuse_subinterpreters()
