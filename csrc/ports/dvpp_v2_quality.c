// SPDX-License-Identifier: Apache-2.0
/* What DVPP V2 takes besides attributes and rate control: the kind of scene, intra refresh, regions of interest. */
#include "base/status.h"
#include "ports/dvpp_v2_shared.h"

#include <string.h>

static int fail_lacking(const char *function) {
    return avi_fail(AVENC_E_UNSUPPORTED, function, "libacl_dvpp_mpi.so has no %s", function);
}

int avi_v2_check_quality(const avenc_device *device, const avenc_channel_config *config) {
    const himpi_api *mpi = avi_v2_of(device)->mpi;
    if (config->refresh_count && !mpi->hi_mpi_venc_set_intra_refresh)
        return fail_lacking("hi_mpi_venc_set_intra_refresh");
    if (config->region_count && !mpi->hi_mpi_venc_set_roi_attr)
        return fail_lacking("hi_mpi_venc_set_roi_attr");
    return AVENC_OK;
}

/* Programs are seen to set the scene before the start; that later counts too is not documented. */
int avi_v2_begin_quality(avenc_device *device, const avi_v2_channel *channel, const avenc_channel_config *config) {
    if (config->scene)
        TRY_MPI(device, hi_mpi_venc_set_scene_mode, channel->id, (hi_venc_scene_mode)(config->scene - 1));
    if (config->refresh_count) {
        const hi_venc_intra_refresh refresh = {
            .refresh_enable = HI_TRUE,
            .intra_refresh_mode = config->refresh_columns ? 1 : 0,
            .refresh_num = config->refresh_count,
            .req_i_qp = config->refresh_i_qp,
        };
        TRY_MPI(device, hi_mpi_venc_set_intra_refresh, channel->id, &refresh);
    }
    return avi_v2_set_regions(device, channel, 0, config);
}

int avi_v2_set_regions(avenc_device *device, const avi_v2_channel *channel, uint32_t before,
                       const avenc_channel_config *config) {
    uint32_t count = config->region_count > before ? config->region_count : before;
    for (uint32_t i = 0; i < count; i++) {
        hi_venc_roi_attr roi;
        memset(&roi, 0, sizeof roi); /* not enabled: what is behind the last one */
        roi.idx = i;
        if (i < config->region_count) {
            const avenc_region *region = &config->regions[i];
            roi.enable = HI_TRUE;
            roi.is_abs_qp = region->relative ? HI_FALSE : HI_TRUE;
            roi.qp = region->qp;
            roi.rect.x = (hi_s32)region->x;
            roi.rect.y = (hi_s32)region->y;
            roi.rect.width = region->width;
            roi.rect.height = region->height;
        }
        TRY_MPI(device, hi_mpi_venc_set_roi_attr, channel->id, &roi);
    }
    return AVENC_OK;
}
