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


def _install():
    """Make `import acl` give this module, and `acl.rt`, `acl.media`, ... its parts, in this process.

    Takes the place of a pyACL that is importable or was imported already. Idempotent.
    """
    import sys

    sys.modules["acl"] = sys.modules[_OWN_NAME]
    for module in (rt, media, util, himpi):
        sys.modules[module.__name__] = module


_install.__name__ = _install.__qualname__ = "install"


# What pyACL has for other engines, which a program that is moved here asks for.
_ELSEWHERE = {
    "acl": r"(mdl|op|prof|fv|blas|tdt)$|.*(data_buffer|tensor_desc)",
    "acl.media": r"(dvpp_vpc|dvpp_jpeg|dvpp_png|vdec)_|dvpp_.*(channel|_config|lut_map|hist)",
    "acl.himpi": r"(vpc|vdec|pngd?|vb)_|sys_((un)?bind|.*csc_matrix)$|dvpp_get_image_info$",
}


def _missing(module, name):
    import re

    text = f"module {module!r} has no attribute {name!r}"
    if module in _ELSEWHERE and re.match(_ELSEWHERE[module], name):
        text += ": this package has the video encoder only"
    raise AttributeError(text)


def __getattr__(name):
    return _install if name == "install" else _missing("acl", name)


def __dir__():
    return [name for name in globals() if name in __all__ or name.startswith("__")]


def _tell_missing(module):
    listed = [*dir(module)]
    module.__getattr__ = lambda name: _missing(module.__name__, name)
    module.__dir__ = lambda: [*listed]


for _part in (media, himpi):
    _tell_missing(_part)
