// SPDX-License-Identifier: Apache-2.0
/* Codes of DVPP V2's functions. */
#include "base/status.h"
#include "ports/dvpp_v2_shared.h"

int avi_v2_fail(avenc_device *device, hi_s32 code, const char *call) {
    /* -1 is no code of the vendor's table, and one of the engine's */
    int rc = avi_fail_acl(device->api, code == HI_FAILURE ? ACL_ERROR_FAILURE : code, call);
    if (code != HI_ERR_VENC_SYS_ERROR)
        return rc;
    /* The channel's, or the whole device's: beginning its use once more changes nothing (documented), but on a lost one. */
    hi_s32 again = avi_v2_of(device)->mpi->hi_mpi_sys_init();
    return again == HI_SUCCESS ? rc : avi_fail_acl(device->api, again, "hi_mpi_sys_init");
}
