# SPDX-License-Identifier: Apache-2.0
"""ascend_venc.acl: our facade of pyACL, running the same program as pyACL."""

import os
import warnings

import native

from peers.pyacl_program import PyaclProgram

LABEL = "ascend_venc.acl"


class Facade(PyaclProgram):
    def __init__(self, workload, **options):
        warnings.filterwarnings("ignore", message=".*numpy_to_ptr.*")
        os.environ["ASCEND_VENC_BACKEND"] = workload.device or native.device_library()
        from ascend_venc import acl

        super().__init__(workload, acl, **options)
