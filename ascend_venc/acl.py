# SPDX-License-Identifier: Apache-2.0
"""Drop-in for pyACL's `acl`, as far as video encoding goes: the same names, arguments, return shapes and codes.

Nothing is loaded before the first call that needs AscendCL; ASCEND_VENC_BACKEND chooses which one (see docs/pyacl.md).
The module, its parts and `dir()` of them have pyACL's names only, because programs probe with `hasattr`; `install`, the
one function that pyACL does not have, is found but not listed.
"""

from ._lowlevel.pyacl.functions import (
    app_log,
    finalize,
    finalize_reference,
    get_recent_err_msg,
    get_soc_name,
    get_version,
    himpi,
    init,
    media,
    rt,
    util,
)

__all__ = [
    "app_log",
    "finalize",
    "finalize_reference",
    "get_recent_err_msg",
    "get_soc_name",
    "get_version",
    "himpi",
    "init",
    "media",
    "rt",
    "util",
]

_OWN_NAME, __name__ = __name__, "acl"  # as messages and programs know pyACL's modules


def install():
    """Make `import acl` give this module, and `acl.rt`, `acl.media`, ... its parts, in this process.

    Takes the place of a pyACL that is importable or was imported already. Idempotent.
    """
    import sys

    sys.modules["acl"] = sys.modules[_OWN_NAME]
    for module in (rt, media, util, himpi):
        sys.modules[module.__name__] = module


# No module of these has a __getattr__: from 3.11 on CPython would look each name up anew at each call.
def __dir__():
    return [name for name in globals() if name in __all__ or name.startswith("__")]
