# SPDX-License-Identifier: Apache-2.0
"""pyACL itself, where the vendor's module `acl` is importable and was asked for with --pyacl."""

import os
import warnings

import ascend_venc
from peers.pyacl_program import PyaclProgram

LABEL = "pyACL"


def module():
    """The vendor's module, or None."""
    try:
        import acl
    except ImportError:
        return None
    # Ours under the vendor's name is not the vendor's.
    ours = os.path.join(os.path.dirname(os.path.realpath(ascend_venc.__file__)), "")
    return None if os.path.realpath(getattr(acl, "__file__", None) or "").startswith(ours) else acl


class Pyacl(PyaclProgram):
    """It is linked with its device library and knows no path: what is to see its calls has to be preloaded."""

    def __init__(self, workload, **options):
        warnings.filterwarnings("ignore", message=".*numpy_to_ptr.*")
        acl = module()
        if acl is None:
            raise ImportError("no module `acl` of the vendor can be imported here")
        super().__init__(workload, acl, **options)
