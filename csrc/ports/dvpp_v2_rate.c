// SPDX-License-Identifier: Apache-2.0
/* Rate control of DVPP V2: settings as the vendor's structures have them, which differ by codec and mode. */
#include "ports/dvpp_v2_shared.h"

enum { STATS_SECONDS = 1, LONG_TERM_UNITS = 60, LEAST_KBIT = 2 }; /* the unit's length is not documented */

static hi_venc_rc_mode mode_of(uint32_t rc_mode, bool h265) {
    static const hi_venc_rc_mode modes[] = {
        [AVENC_RC_DEFAULT] = HI_VENC_RC_MODE_H264_VBR, [AVENC_RC_VBR] = HI_VENC_RC_MODE_H264_VBR,
        [AVENC_RC_CBR] = HI_VENC_RC_MODE_H264_CBR,     [AVENC_RC_AVBR] = HI_VENC_RC_MODE_H264_AVBR,
        [AVENC_RC_QVBR] = HI_VENC_RC_MODE_H264_QVBR,   [AVENC_RC_CVBR] = HI_VENC_RC_MODE_H264_CVBR,
        [AVENC_RC_FIXQP] = HI_VENC_RC_MODE_H264_FIXQP,
    };
    hi_venc_rc_mode mode = rc_mode <= AVENC_RC_FIXQP ? modes[rc_mode] : HI_VENC_RC_MODE_H264_VBR;
    return h265 ? mode + (HI_VENC_RC_MODE_H265_CBR - HI_VENC_RC_MODE_H264_CBR) : mode; /* in the same order */
}

/* The modes' attributes begin alike, but FIXQP's: himpi_layout.h. H.265 has the same structures. */
void avi_v2_fill_rate(hi_venc_rc_attr *rc, const avenc_channel_config *config, bool h265) {
    rc->rc_mode = mode_of(config->rc_mode, h265);
    if (config->rc_mode == AVENC_RC_FIXQP) {
        rc->h264_fixqp.gop = config->key_frame_interval;
        rc->h264_fixqp.src_frame_rate = rc->h264_fixqp.dst_frame_rate = config->src_rate;
        rc->h264_fixqp.i_qp = config->i_qp;
        rc->h264_fixqp.p_qp = rc->h264_fixqp.b_qp = config->p_qp; /* no B pictures are made */
        return;
    }
    rc->h264_cbr.gop = config->key_frame_interval;
    rc->h264_cbr.stats_time = STATS_SECONDS;
    rc->h264_cbr.src_frame_rate = rc->h264_cbr.dst_frame_rate = config->src_rate;
    rc->h264_cbr.bit_rate = config->max_bit_rate;
    if (config->rc_mode == AVENC_RC_CVBR) {
        rc->h264_cvbr.short_term_stats_time = STATS_SECONDS;
        rc->h264_cvbr.long_term_stats_time = LONG_TERM_UNITS;
        rc->h264_cvbr.long_term_max_bit_rate = config->max_bit_rate;
        rc->h264_cvbr.long_term_min_bit_rate = LEAST_KBIT;
    }
}

/* Where a mode's structure has each limit, in the order of AVENC_LIMIT_*; false: FIXQP has none. */
static bool limits_of(hi_venc_rc_param *param, hi_venc_rc_mode mode, hi_u32 *limits[AVENC_LIMITS]) {
#define LIMITS(MODE, member)                                                                                           \
    case HI_VENC_RC_MODE_##MODE:                                                                                       \
        limits[AVENC_LIMIT_MIN_QP] = &param->member.min_qp;                                                            \
        limits[AVENC_LIMIT_MAX_QP] = &param->member.max_qp;                                                            \
        limits[AVENC_LIMIT_MIN_I_QP] = &param->member.min_i_qp;                                                        \
        limits[AVENC_LIMIT_MAX_I_QP] = &param->member.max_i_qp;                                                        \
        limits[AVENC_LIMIT_MIN_I_PROPORTION] = &param->member.min_i_proportion;                                        \
        limits[AVENC_LIMIT_MAX_I_PROPORTION] = &param->member.max_i_proportion;                                        \
        limits[AVENC_LIMIT_MAX_REENCODE] = (hi_u32 *)&param->member.max_reencode_times;                                \
        return true;
    switch (mode) {
        LIMITS(H264_CBR, h264_cbr_param)
        LIMITS(H264_VBR, h264_vbr_param)
        LIMITS(H264_AVBR, h264_avbr_param)
        LIMITS(H264_QVBR, h264_qvbr_param)
        LIMITS(H264_CVBR, h264_cvbr_param)
        LIMITS(H265_CBR, h265_cbr_param)
        LIMITS(H265_VBR, h265_vbr_param)
        LIMITS(H265_AVBR, h265_avbr_param)
        LIMITS(H265_QVBR, h265_qvbr_param)
        LIMITS(H265_CVBR, h265_cvbr_param)
    default:
        return false;
    }
#undef LIMITS
}

/* The one of a pair that was not given gives way to the one that was. */
static void order(hi_u32 *least, hi_u32 *most, bool least_given) {
    if (*least <= *most)
        return;
    if (least_given)
        *most = *least;
    else
        *least = *most;
}

void avi_v2_limit(hi_venc_rc_param *param, hi_venc_rc_mode mode, const avenc_channel_config *config) {
    hi_u32 *limits[AVENC_LIMITS];
    if (!limits_of(param, mode, limits))
        return;
    for (int i = 0; i < AVENC_LIMITS; i++)
        if (config->limits_given >> i & 1)
            *limits[i] = config->limits[i];
    for (int least = AVENC_LIMIT_MIN_QP; least <= AVENC_LIMIT_MIN_I_PROPORTION; least += 2)
        order(limits[least], limits[least + 1], config->limits_given >> least & 1);
}
