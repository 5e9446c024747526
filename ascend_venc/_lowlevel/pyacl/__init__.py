# SPDX-License-Identifier: Apache-2.0
"""pyACL's functions: the modules `acl.rt`, `acl.media`, `acl.util` and `acl.himpi`, and what stands in `acl` itself.

functions.txt lists them, functions.pyx is the compiled module that holds them all.
"""

from .functions import (
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
