# SPDX-License-Identifier: Apache-2.0
"""Drop-in for pyACL's `acl`, as far as video encoding goes: the same names, arguments, return shapes and codes."""

from ._lowlevel import media as media
from ._lowlevel import rt as rt
from ._lowlevel import util as util
from ._lowlevel.process import finalize as finalize
from ._lowlevel.process import finalize_reference as finalize_reference
from ._lowlevel.process import get_recent_err_msg as get_recent_err_msg
from ._lowlevel.process import get_soc_name as get_soc_name
from ._lowlevel.process import get_version as get_version
from ._lowlevel.process import init as init

def install() -> None:
    """Make `import acl` give this module, and `acl.rt`, `acl.media`, `acl.util` its parts, in this process.

    Takes the place of a pyACL that is importable or was imported already. Idempotent. Not listed by `dir(acl)`.
    """
