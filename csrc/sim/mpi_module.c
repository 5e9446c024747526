// SPDX-License-Identifier: Apache-2.0
/* Parameters of V2's encoding module. Documented: global, for all processes; guessed: of each device. Here each process
 * has its own. */
#include "mpi.h"

#include <string.h>

enum { KINDS = 5 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* a leaf */
static hi_venc_mod_param params[SIM_MAX_DEVICES][KINDS]; /* by mod_type - 1; zero as at first */

bool sim_mpi_one_stream_buf(int32_t device, hi_payload_type type) {
    pthread_mutex_lock(&lock);
    bool one = type == HI_PT_H265 ? params[device][HI_VENC_MOD_H265 - 1].h265_mod_param.one_stream_buf == 1
                                  : params[device][HI_VENC_MOD_H264 - 1].h264_mod_param.one_stream_buf == 1;
    pthread_mutex_unlock(&lock);
    return one;
}

void sim_mpi_module_after_fork(void) {
    pthread_mutex_init(&lock, NULL);
    memset(params, 0, sizeof params);
}

void sim_mpi_module_reset(void) {
    pthread_mutex_lock(&lock);
    memset(params, 0, sizeof params);
    pthread_mutex_unlock(&lock);
}

static hi_s32 check(const char *function, const hi_venc_mod_param *param, int32_t *device) {
    if (param == NULL)
        return sim_fail_at(function, HI_ERR_VENC_NULL_PTR, "mod_param must not be NULL");
    if (param->mod_type < HI_VENC_MOD_VENC || param->mod_type > KINDS)
        return sim_fail_at(function, HI_ERR_VENC_ILLEGAL_PARAM, "mod_type %d err, should be in [1, %d]",
                           param->mod_type, KINDS);
    hi_s32 rc = sim_mpi_ready_device(function, SIM_VENC_MODULE, device);
    return rc == HI_SUCCESS ? sim_mpi_lost(function, SIM_VENC_MODULE, *device) : rc;
}

hi_s32 hi_mpi_venc_set_mod_param(const hi_venc_mod_param *mod_param) {
    SIM_ENTER(hi_mpi_venc_set_mod_param);
    int32_t device;
    hi_s32 rc = check(__func__, mod_param, &device);
    if (rc != HI_SUCCESS)
        return rc;
    if (sim_mpi_has_channels(device)) /* documented */
        return FAIL(HI_ERR_VENC_NOT_PERM, "module parameters can be set only while the device has no channel");
    bool codec = mod_param->mod_type == HI_VENC_MOD_H264 || mod_param->mod_type == HI_VENC_MOD_H265;
    const hi_venc_h264_mod_param *h264 = &mod_param->h264_mod_param; /* H.265's is the same structure */
    if (codec && h264->one_stream_buf > 1)
        return sim_mpi_stray(__func__, HI_ERR_VENC_ILLEGAL_PARAM, "one_stream_buf", h264->one_stream_buf, "0 or 1");
    if (codec && h264->max_user_data_len > 65536)
        return sim_mpi_stray(__func__, HI_ERR_VENC_ILLEGAL_PARAM, "max_user_data_len", h264->max_user_data_len,
                             "in [0, 65536]");
    pthread_mutex_lock(&lock);
    params[device][mod_param->mod_type - 1] = *mod_param;
    pthread_mutex_unlock(&lock);
    return HI_SUCCESS;
}

hi_s32 hi_mpi_venc_get_mod_param(hi_venc_mod_param *mod_param) {
    SIM_ENTER(hi_mpi_venc_get_mod_param);
    int32_t device;
    hi_s32 rc = check(__func__, mod_param, &device);
    if (rc != HI_SUCCESS)
        return rc;
    hi_venc_mod_type type = mod_param->mod_type; /* documented: it selects */
    pthread_mutex_lock(&lock);
    *mod_param = params[device][type - 1];
    pthread_mutex_unlock(&lock);
    mod_param->mod_type = type;
    return HI_SUCCESS;
}
