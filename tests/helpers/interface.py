# SPDX-License-Identifier: Apache-2.0
"""Which interface `Encoder` uses in this process (pytest's --interface), and the names of calls that both have.

A test that names none runs on V1: this is said in the environment, which programs that tests start inherit.
"""

import os

from helpers import himpi

NAME = os.environ["ASCEND_VENC_INTERFACE"] = os.environ.get("ASCEND_VENC_INTERFACE") or "v1"
V2 = NAME.lower() == "v2"


def of(v1, v2):
    """What is meant for the interface under test."""
    return v2 if V2 else v1


CREATE = of("aclvencCreateChannel", "hi_mpi_venc_create_chn")
DESTROY = of("aclvencDestroyChannel", "hi_mpi_venc_destroy_chn")
SEND = of("aclvencSendFrame", "hi_mpi_venc_send_frame")
MALLOC = of("acldvppMalloc", "hi_mpi_dvpp_malloc")
FREE = of("acldvppFree", "hi_mpi_dvpp_free")
PICTURE = of("acldvppSetPicDescData", None)  # V2's descriptions are plain memory
REPORT = of("aclrtProcessReport", "hi_mpi_sys_wait_epoll")
GET = of("acldvppGetStreamDescRetCode", "hi_mpi_venc_get_stream")  # made for each finished frame

CHANGE = of(CREATE, "hi_mpi_venc_set_chn_attr")  # what `reconfigure` of rates and GOP calls

INVALID = of(100000, 0xA0088003)  # refused before the device saw it, as `AclError.code`


def fault(code):
    """`AclError.code` as the simulated device's faults take it: what the function returns."""
    return code - (1 << 32) if code >= 1 << 31 else code


def code(v1, v2):
    """`AclError.code` of the interface under test: AscendCL's, or the one of himpi.h of that name."""
    return of(v1, himpi.CONSTANTS[v2])


def opening():
    """Calls of opening that may fail or hang, the interface's own."""
    return of(
        ["aclrtCreateStream", "aclrtSubscribeReport"],
        ["hi_mpi_sys_init", "hi_mpi_sys_create_epoll"],
    )
