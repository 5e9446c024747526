// SPDX-License-Identifier: Apache-2.0
/* Which port a device is opened through. */
#include "base/status.h"
#include "engine/device.h"
#include "ports/family.h"

extern const avi_port avi_dvpp_v1, avi_dvpp_v2;

static int check(avenc_library *library, int32_t device_id, int interface, const char *call) {
    const avenc_library_info *info = avenc_library_info_get(library);
    uint32_t count = info->device_count;
    if (interface != AVENC_DVPP_V1 && interface != AVENC_DVPP_V2)
        return avi_fail(AVENC_E_INVALID, call, "interface is %d, allowed are 1 and 2", interface);
    if (count == 0)
        return avi_fail(AVENC_E_NO_DEVICE, "aclrtGetDeviceCount", "%s works, but reports no device%s",
                        info->runtime_path,
                        info->simulated ? ": ASCEND_VENC_SIM_DEVICES says how many there are, 1 to 64"
                                        : ": npu-smi info lists them");
    if (device_id < 0 || (uint32_t)device_id >= count)
        return avi_fail(AVENC_E_INVALID, call, "device is %d, allowed is 0 to %u (%u device%s)", device_id, count - 1,
                        count, count == 1 ? "" : "s");
    if (interface == AVENC_DVPP_V2 && !avenc_library_himpi(library))
        return avi_fail(AVENC_E_INVALID, call,
                        "interface is \"v2\", and this installation has no DVPP V2: choose interface=\"v1\". %s",
                        info->mpi_problem);
    return AVENC_OK;
}

int avenc_device_open(avenc_library *library, int32_t device_id, int interface, avenc_device **out) {
    if (!library || !out)
        return avi_fail(AVENC_E_INVALID, __func__, "library and device must not be NULL");
    int rc = check(library, device_id, interface, __func__);
    if (rc == AVENC_OK)
        rc = avi_family_claim(interface, __func__);
    if (rc != AVENC_OK)
        return rc;
    rc = avi_device_open(interface == AVENC_DVPP_V2 ? &avi_dvpp_v2 : &avi_dvpp_v1, library, avenc_library_api(library),
                         device_id, out);
    /* The port settles a claim of its own when it knows how the opening went. */
    avi_family_settle(interface, false);
    return rc;
}
