// SPDX-License-Identifier: Apache-2.0
/* Settings of a V2 channel: attributes, rate control's parameters, and the others that public headers have. */
#include "mpi.h"

#include <string.h>

/* The channel of a call that sets or gets something, locked. 0, or a code. */
static hi_s32 begin(const char *function, hi_venc_chn chn, const void *argument, sim_mpi_channel **out) {
    if (argument == NULL)
        return sim_fail_at(function, HI_ERR_VENC_NULL_PTR, "the pointer must not be NULL");
    hi_s32 rc = sim_mpi_enter_alive(function, chn, out);
    if (rc == HI_SUCCESS)
        pthread_mutex_lock(&(*out)->lock);
    return rc;
}

static hi_s32 end(sim_mpi_channel *ch, hi_s32 rc) {
    pthread_mutex_unlock(&ch->lock);
    sim_mpi_leave(ch);
    return rc;
}

/* What has been set counts from the next frame that is encoded. */
static void note_change_locked(sim_mpi_channel *ch) {
    ch->changed = true;
    ch->frames_to_apply = atomic_load(&sim_option.v2_change_delay);
    ch->changes++;
}

/* ---- attributes --------------------------------------------------------------------------------------------- */

static hi_s32 set_attr_locked(const char *function, sim_mpi_channel *ch, const hi_venc_chn_attr *attr) {
    hi_s32 rc = sim_mpi_check_attr(function, attr, &ch->settings.attr);
    /* Not known: whether a device takes new attributes while frames wait. */
    if (rc == HI_SUCCESS && atomic_load(&sim_option.v2_change_idle) != 0 && ch->waiting.count != 0)
        rc = sim_fail_at(function, HI_ERR_VENC_BUSY, "%u frames wait in channel %d", ch->waiting.count, ch->id);
    if (rc != HI_SUCCESS)
        return rc;
    /* documented: rate control begins anew, and all its parameters go back to their defaults */
    if (!sim_mpi_same_rate(attr, &ch->settings.attr))
        sim_mpi_default_rc_param(attr, &ch->settings.rc_param);
    ch->settings.attr = *attr; /* documented: at once; guessed: no IDR comes of it but for another size */
    note_change_locked(ch);
    return HI_SUCCESS;
}

static hi_s32 set_attr(const char *function, hi_venc_chn chn, const hi_venc_chn_attr *attr) {
    sim_mpi_channel *ch;
    hi_s32 rc = begin(function, chn, attr, &ch);
    return rc != HI_SUCCESS ? rc : end(ch, set_attr_locked(function, ch, attr));
}

hi_s32 hi_mpi_venc_set_chn_attr(hi_venc_chn chn, const hi_venc_chn_attr *attr) {
    SIM_CALL(hi_mpi_venc_set_chn_attr, set_attr(__func__, chn, attr));
}

hi_s32 hi_mpi_venc_get_chn_attr(hi_venc_chn chn, hi_venc_chn_attr *attr) {
    SIM_ENTER(hi_mpi_venc_get_chn_attr);
    sim_mpi_channel *ch;
    hi_s32 rc = begin(__func__, chn, attr, &ch);
    if (rc != HI_SUCCESS)
        return rc;
    *attr = ch->settings.attr;
    return end(ch, HI_SUCCESS);
}

/* ---- rate control ------------------------------------------------------------------------------------------- */

static hi_s32 set_rc_param(const char *function, hi_venc_chn chn, const hi_venc_rc_param *param) {
    sim_mpi_channel *ch;
    hi_s32 rc = begin(function, chn, param, &ch);
    if (rc != HI_SUCCESS)
        return rc;
    rc = sim_mpi_check_rc_param(function, &ch->settings.attr, param);
    if (rc == HI_SUCCESS) {
        ch->settings.rc_param = *param;
        note_change_locked(ch);
    }
    return end(ch, rc);
}

hi_s32 hi_mpi_venc_set_rc_param(hi_venc_chn chn, const hi_venc_rc_param *rc_param) {
    SIM_CALL(hi_mpi_venc_set_rc_param, set_rc_param(__func__, chn, rc_param));
}

hi_s32 hi_mpi_venc_get_rc_param(hi_venc_chn chn, hi_venc_rc_param *rc_param) {
    SIM_ENTER(hi_mpi_venc_get_rc_param);
    sim_mpi_channel *ch;
    hi_s32 rc = begin(__func__, chn, rc_param, &ch);
    if (rc != HI_SUCCESS)
        return rc;
    *rc_param = ch->settings.rc_param;
    return end(ch, HI_SUCCESS);
}

/* ---- the channel -------------------------------------------------------------------------------------------- */

hi_s32 hi_mpi_venc_set_chn_param(hi_venc_chn chn, const hi_venc_chn_param *chn_param) {
    SIM_ENTER(hi_mpi_venc_set_chn_param);
    sim_mpi_channel *ch;
    hi_s32 rc = begin(__func__, chn, chn_param, &ch);
    if (rc != HI_SUCCESS)
        return rc;
    if (chn_param->priority > 1) /* documented */
        return end(ch, sim_mpi_stray(__func__, HI_ERR_VENC_ILLEGAL_PARAM, "priority", chn_param->priority, "0 or 1"));
    /* Documented: all but the priority, and on a board grey, are reserved; observed: the vendor's sample does not clear
     * them. So they are kept; guessed: neither of the two changes anything here. */
    ch->param = *chn_param;
    ch->changes++;
    return end(ch, HI_SUCCESS);
}

hi_s32 hi_mpi_venc_get_chn_param(hi_venc_chn chn, hi_venc_chn_param *chn_param) {
    SIM_ENTER(hi_mpi_venc_get_chn_param);
    sim_mpi_channel *ch;
    hi_s32 rc = begin(__func__, chn, chn_param, &ch);
    if (rc != HI_SUCCESS)
        return rc;
    *chn_param = ch->param;
    return end(ch, HI_SUCCESS);
}

/* Observed: programs set scene mode and VUI before they start the channel. Not known: whether they may later. */
static hi_s32 check_early_locked(const char *function, const sim_mpi_channel *ch) {
    if (!ch->ever_started || atomic_load(&sim_option.v2_early_settings) == 0)
        return HI_SUCCESS;
    return sim_fail_at(function, HI_ERR_VENC_NOT_PERM, "channel %d has been started", ch->id);
}

hi_s32 hi_mpi_venc_set_scene_mode(hi_venc_chn chn, hi_venc_scene_mode scene_mode) {
    SIM_ENTER(hi_mpi_venc_set_scene_mode);
    sim_mpi_channel *ch;
    if (scene_mode < HI_VENC_SCENE_0 || scene_mode > HI_VENC_SCENE_2) /* documented */
        return FAIL(HI_ERR_VENC_ILLEGAL_PARAM, "scene_mode %d err, should be in [0, 2]", scene_mode);
    hi_s32 rc = begin(__func__, chn, &scene_mode, &ch);
    if (rc != HI_SUCCESS)
        return rc;
    rc = check_early_locked(__func__, ch);
    if (rc == HI_SUCCESS)
        ch->scene_mode = scene_mode;
    return end(ch, rc);
}

hi_s32 hi_mpi_venc_get_scene_mode(hi_venc_chn chn, hi_venc_scene_mode *scene_mode) {
    SIM_ENTER(hi_mpi_venc_get_scene_mode);
    sim_mpi_channel *ch;
    hi_s32 rc = begin(__func__, chn, scene_mode, &ch);
    if (rc != HI_SUCCESS)
        return rc;
    *scene_mode = ch->scene_mode;
    return end(ch, HI_SUCCESS);
}

/* ---- settings whose structures are documented only ------------------------------------------------------------ */

enum { H264, H265, ANY };

static hi_s32 check_codec_locked(const char *function, const sim_mpi_channel *ch, int codec) {
    if (codec == ANY || (codec == H265) == ch->h265)
        return HI_SUCCESS;
    return sim_fail_at(function, HI_ERR_VENC_NOT_SUPPORT, "channel %d encodes H.26%d", ch->id, ch->h265 ? 5 : 4);
}

/* Of a VUI the structure's documented bytes count, not the room behind them. It is kept, and not written to the stream:
 * the software encoder writes a VUI of its own. */
#define VUI(codec, member)                                                                                             \
    hi_s32 hi_mpi_venc_set_##member(hi_venc_chn chn, const hi_venc_##member *member) {                                 \
        SIM_ENTER(hi_mpi_venc_set_##member);                                                                           \
        sim_mpi_channel *ch;                                                                                           \
        hi_s32 rc = begin(__func__, chn, member, &ch);                                                                 \
        if (rc != HI_SUCCESS)                                                                                          \
            return rc;                                                                                                 \
        rc = check_codec_locked(__func__, ch, codec);                                                                  \
        if (rc == HI_SUCCESS)                                                                                          \
            rc = check_early_locked(__func__, ch);                                                                     \
        if (rc == HI_SUCCESS)                                                                                          \
            memcpy(&ch->member, member, offsetof(hi_venc_##member, unknown_tail));                                     \
        return end(ch, rc);                                                                                            \
    }                                                                                                                  \
    hi_s32 hi_mpi_venc_get_##member(hi_venc_chn chn, hi_venc_##member *member) {                                       \
        SIM_ENTER(hi_mpi_venc_get_##member);                                                                           \
        sim_mpi_channel *ch;                                                                                           \
        hi_s32 rc = begin(__func__, chn, member, &ch);                                                                 \
        if (rc != HI_SUCCESS)                                                                                          \
            return rc;                                                                                                 \
        rc = check_codec_locked(__func__, ch, codec);                                                                  \
        if (rc == HI_SUCCESS)                                                                                          \
            memcpy(member, &ch->member, offsetof(hi_venc_##member, unknown_tail));                                     \
        return end(ch, rc);                                                                                            \
    }
VUI(H264, h264_vui)
VUI(H265, h265_vui)
#undef VUI

static hi_s32 check_roi(const char *function, const hi_venc_roi_attr *roi) {
    enum { REGIONS = 8, STEP = 16, MOST_QP = 51 };
    if (roi->idx >= REGIONS) /* documented */
        return sim_fail_at(function, HI_ERR_VENC_ILLEGAL_PARAM, "idx %u err, should be below %d", roi->idx, REGIONS);
    if (roi->enable != HI_FALSE && roi->enable != HI_TRUE)
        return sim_mpi_stray(function, HI_ERR_VENC_ILLEGAL_PARAM, "enable", roi->enable, "0 or 1");
    if (roi->enable == HI_FALSE)
        return HI_SUCCESS;
    if (((uint32_t)roi->rect.x | (uint32_t)roi->rect.y | roi->rect.width | roi->rect.height) % STEP != 0 ||
        roi->rect.x < 0 || roi->rect.y < 0) /* documented */
        return sim_fail_at(function, HI_ERR_VENC_ILLEGAL_PARAM, "the region err, should be in steps of %d", STEP);
    if (roi->qp < (roi->is_abs_qp ? 0 : -MOST_QP) || roi->qp > MOST_QP)
        return sim_fail_at(function, HI_ERR_VENC_ILLEGAL_PARAM, "qp %d err", roi->qp);
    return HI_SUCCESS;
}

hi_s32 hi_mpi_venc_set_roi_attr(hi_venc_chn chn, const hi_venc_roi_attr *roi_attr) {
    SIM_ENTER(hi_mpi_venc_set_roi_attr);
    sim_mpi_channel *ch;
    hi_s32 rc = begin(__func__, chn, roi_attr, &ch);
    if (rc != HI_SUCCESS)
        return rc;
    rc = check_roi(__func__, roi_attr);
    if (rc == HI_SUCCESS) {
        ch->settings.roi[roi_attr->idx] = *roi_attr;
        note_change_locked(ch);
    }
    return end(ch, rc);
}

hi_s32 hi_mpi_venc_get_roi_attr(hi_venc_chn chn, hi_u32 idx, hi_venc_roi_attr *roi_attr) {
    SIM_ENTER(hi_mpi_venc_get_roi_attr);
    sim_mpi_channel *ch;
    hi_s32 rc = begin(__func__, chn, roi_attr, &ch);
    if (rc != HI_SUCCESS)
        return rc;
    if (idx >= sizeof ch->settings.roi / sizeof ch->settings.roi[0])
        return end(ch, FAIL(HI_ERR_VENC_ILLEGAL_PARAM, "idx %u err, should be below 8", idx));
    *roi_attr = ch->settings.roi[idx];
    return end(ch, HI_SUCCESS);
}

/* Documented: by rows or columns. Guessed: that there must be some, the code, and a quantiser's usual range. */
static hi_s32 check_refresh(const char *function, const hi_venc_intra_refresh *refresh) {
    enum { COLUMNS = 1, MOST_QP = 51 };
    if (refresh->refresh_enable == HI_FALSE)
        return HI_SUCCESS;
    if (refresh->intra_refresh_mode < 0 || refresh->intra_refresh_mode > COLUMNS)
        return sim_mpi_stray(function, HI_ERR_VENC_ILLEGAL_PARAM, "intra_refresh_mode", refresh->intra_refresh_mode,
                             "0 (rows) or 1 (columns)");
    if (refresh->refresh_num == 0 || refresh->req_i_qp > MOST_QP)
        return sim_fail_at(function, HI_ERR_VENC_ILLEGAL_PARAM, "refresh_num %u or req_i_qp %u err",
                           refresh->refresh_num, refresh->req_i_qp);
    return HI_SUCCESS;
}

/* Documented: turning it on makes an I frame, here an IDR. Guessed: the software encoder refreshes nothing beyond. */
hi_s32 hi_mpi_venc_set_intra_refresh(hi_venc_chn chn, const hi_venc_intra_refresh *intra_refresh) {
    SIM_ENTER(hi_mpi_venc_set_intra_refresh);
    sim_mpi_channel *ch;
    hi_s32 rc = begin(__func__, chn, intra_refresh, &ch);
    if (rc != HI_SUCCESS)
        return rc;
    if (intra_refresh->refresh_enable != HI_FALSE && intra_refresh->refresh_enable != HI_TRUE)
        return end(ch, sim_mpi_stray(__func__, HI_ERR_VENC_ILLEGAL_PARAM, "refresh_enable",
                                     intra_refresh->refresh_enable, "0 or 1"));
    rc = check_refresh(__func__, intra_refresh);
    if (rc != HI_SUCCESS)
        return end(ch, rc);
    if (intra_refresh->refresh_enable == HI_TRUE && ch->intra_refresh.refresh_enable == HI_FALSE && ch->any_idr)
        ch->idr_wanted = true;
    ch->intra_refresh = *intra_refresh;
    ch->changes++;
    return end(ch, HI_SUCCESS);
}

hi_s32 hi_mpi_venc_get_intra_refresh(hi_venc_chn chn, hi_venc_intra_refresh *intra_refresh) {
    SIM_ENTER(hi_mpi_venc_get_intra_refresh);
    sim_mpi_channel *ch;
    hi_s32 rc = begin(__func__, chn, intra_refresh, &ch);
    if (rc != HI_SUCCESS)
        return rc;
    *intra_refresh = ch->intra_refresh;
    return end(ch, HI_SUCCESS);
}

/* Guessed: kept; the reference structure of the stream does not change. */
hi_s32 hi_mpi_venc_set_ref_param(hi_venc_chn chn, const hi_venc_ref_param *ref_param) {
    SIM_ENTER(hi_mpi_venc_set_ref_param);
    sim_mpi_channel *ch;
    hi_s32 rc = begin(__func__, chn, ref_param, &ch);
    if (rc != HI_SUCCESS)
        return rc;
    memcpy(&ch->ref_param, ref_param, offsetof(hi_venc_ref_param, unknown_tail));
    ch->changes++;
    return end(ch, HI_SUCCESS);
}

hi_s32 hi_mpi_venc_get_ref_param(hi_venc_chn chn, hi_venc_ref_param *ref_param) {
    SIM_ENTER(hi_mpi_venc_get_ref_param);
    sim_mpi_channel *ch;
    hi_s32 rc = begin(__func__, chn, ref_param, &ch);
    if (rc != HI_SUCCESS)
        return rc;
    memcpy(ref_param, &ch->ref_param, offsetof(hi_venc_ref_param, unknown_tail));
    return end(ch, HI_SUCCESS);
}
