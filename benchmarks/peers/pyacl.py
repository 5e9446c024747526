# SPDX-License-Identifier: Apache-2.0
"""pyACL itself, where the vendor's module `acl` is importable and was asked for with --pyacl."""

import warnings

from peers.pyacl_program import PyaclProgram

LABEL = "pyACL"


def module():
    """The vendor's module, or None."""
    try:
        import acl
    except ImportError:
        return None
    # Ours under the vendor's name is not the vendor's.
    return None if "ascend_venc" in (getattr(acl, "__file__", "") or "") else acl


class Pyacl(PyaclProgram):
    def __init__(self, workload, **options):
        warnings.filterwarnings("ignore", message=".*numpy_to_ptr.*")
        super().__init__(workload, module(), **options)
