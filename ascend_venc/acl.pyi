# SPDX-License-Identifier: Apache-2.0
"""Drop-in for pyACL's `acl`, as far as video encoding goes: the same names, arguments, return shapes and codes."""

from ._lowlevel.pyacl import himpi, media, rt, util
from ._lowlevel.pyacl.functions import (
    app_log,
    finalize,
    finalize_reference,
    get_recent_err_msg,
    get_soc_name,
    get_version,
    init,
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

def install() -> None:
    """Make `import acl` give this module, and `acl.rt`, `acl.media`, ... its parts, in this process.

    Takes the place of a pyACL that is importable or was imported already. Idempotent. Not listed by `dir(acl)`.
    """
