# SPDX-License-Identifier: Apache-2.0
"""pyACL shape (stand-in): our C extension with the documented behaviour of the vendor's module."""

import functools
import warnings

import native

from peers.pyacl_program import PyaclProgram

LABEL = "pyACL shape (stand-in), as shipped"
LEAN = "pyACL shape (stand-in), lean"
DOCUMENTED = "pyACL shape (stand-in), as documented"


@functools.lru_cache(maxsize=1)
def module(device):
    """One device library to a process."""
    warnings.filterwarnings("ignore", message="numpy_to_ptr will be deprecated")
    return native.pyacl_shape(device)


class PyaclShape(PyaclProgram):
    """lean: a numpy_to_ptr without the warning and the import that the vendor's makes at each call."""

    def __init__(self, workload, lean=False, **options):
        acl = module(workload.device or native.device_library())
        super().__init__(workload, acl, to_ptr="numpy_to_ptr_lean" if lean else "numpy_to_ptr", **options)
