# SPDX-License-Identifier: Apache-2.0
"""Drop-in for pyACL's `acl`, as far as video encoding goes: the same names, arguments, return shapes and codes.

`acl.rt`, `acl.media` and `acl.util` are the compiled modules themselves. Nothing is loaded before the first call that
needs AscendCL; ASCEND_VENC_BACKEND chooses which one (see docs/pyacl.md). `dir(acl)` shows pyACL's names only,
because programs probe with `hasattr`; `install`, the one function that pyACL does not have, is found but not listed.
"""

from ._lowlevel import media, rt, util
from ._lowlevel.process import finalize, finalize_reference, get_recent_err_msg, get_soc_name, get_version, init

__all__ = [
    "finalize",
    "finalize_reference",
    "get_recent_err_msg",
    "get_soc_name",
    "get_version",
    "init",
    "media",
    "rt",
    "util",
]


def _install():
    """Make `import acl` give this module, and `acl.rt`, `acl.media`, `acl.util` its parts, in this process.

    Takes the place of a pyACL that is importable or was imported already. Idempotent.
    """
    import sys

    sys.modules["acl"] = sys.modules[__name__]
    for name, module in (("rt", rt), ("media", media), ("util", util)):
        sys.modules[f"acl.{name}"] = module


_install.__name__ = _install.__qualname__ = "install"


def __getattr__(name):
    if name == "install":
        return _install
    raise AttributeError(f"module 'acl' has no attribute {name!r}")
