// SPDX-License-Identifier: Apache-2.0
/* What settings of a V2 channel may be (ranges documented, in which order they are checked guessed), and what they mean. */
#include "mpi.h"

#include <stddef.h>
#include <string.h>

static const sim_range stats_range = {1, 60};
static const sim_range short_range = {1, 120}, long_range = {1, 1440}, share_range = {1, 100};
enum { MOST_QP = 51, BUFFER_STEP = 64, BUFFER_LEAST = 32 * 1024, BUFFER_MOST = 1 << 30 };

hi_s32 sim_mpi_stray(const char *function, hi_s32 code, const char *name, long long value, const char *should) {
    if (sim_is_strict())
        sim_report_at("uninitialised", function, "clear the structure before you fill it", "%s is %lld, should be %s",
                      name, value, should);
    return sim_fail_at(function, code, "%s %lld err, should be %s", name, value, should);
}

/* ---- rate control modes: the same six for H.264 and H.265 ------------------------------------------------- */

static bool is_h265(hi_venc_rc_mode mode) {
    return mode >= HI_VENC_RC_MODE_H265_CBR && mode <= HI_VENC_RC_MODE_H265_QPMAP;
}

/* 0: a mode that has no place in sim_rc_kind. */
static sim_rc_kind kind_of(hi_venc_rc_mode mode) {
    int kind = is_h265(mode) ? mode - HI_VENC_RC_MODE_H265_CBR + 1 : mode;
    return kind >= SIM_CBR && kind <= SIM_FIXQP ? (sim_rc_kind)kind : (sim_rc_kind)0;
}

/* What the modes' attributes have in common; those of H.265 are the same structures. */
typedef struct rate_attr {
    uint32_t gop, stats_time, src, dst, kbit;
} rate_attr;

static rate_attr common(const hi_venc_rc_attr *rc) {
    if (kind_of(rc->rc_mode) == SIM_FIXQP)
        return (rate_attr){rc->h264_fixqp.gop, stats_range.min, rc->h264_fixqp.src_frame_rate,
                           rc->h264_fixqp.dst_frame_rate, sim_profile_get()->bit_rate.min};
    const hi_venc_h264_cbr *cbr = &rc->h264_cbr; /* the others begin alike: himpi_layout.h */
    return (rate_attr){cbr->gop, cbr->stats_time, cbr->src_frame_rate, cbr->dst_frame_rate, cbr->bit_rate};
}

/* Bytes of the mode's own member: what lies behind it in the union means nothing. */
static size_t size_of_rate(sim_rc_kind kind) {
    return kind == SIM_CVBR    ? sizeof(hi_venc_h264_cvbr)
           : kind == SIM_FIXQP ? sizeof(hi_venc_h264_fixqp)
                               : sizeof(hi_venc_h264_cbr); /* the others are of one size: himpi_layout.h */
}

bool sim_mpi_same_rate(const hi_venc_chn_attr *a, const hi_venc_chn_attr *b) {
    const hi_venc_rc_attr *x = &a->rc_attr, *y = &b->rc_attr;
    return x->rc_mode == y->rc_mode && memcmp(&x->h264_cbr, &y->h264_cbr, size_of_rate(kind_of(x->rc_mode))) == 0 &&
           a->gop_attr.gop_mode == b->gop_attr.gop_mode &&
           memcmp(&a->gop_attr.normal_p, &b->gop_attr.normal_p, sizeof a->gop_attr.normal_p) == 0;
}

/* ---- checks ---------------------------------------------------------------------------------------------------- */

static hi_s32 check_range(const char *function, const char *name, int64_t value, int64_t least, int64_t most) {
    if (value >= least && value <= most)
        return HI_SUCCESS;
    return sim_fail_at(function, HI_ERR_VENC_ILLEGAL_PARAM, "%s %lld err, should be in [%lld, %lld]", name,
                       (long long)value, (long long)least, (long long)most);
}
#define CHECK(name, value, range)                                                                                      \
    do {                                                                                                               \
        hi_s32 rc_ = check_range(function, name, value, (range).min, (range).max);                                     \
        if (rc_ != HI_SUCCESS)                                                                                         \
            return rc_;                                                                                                \
    } while (0)
#define CHECK_QP(name, value)                                                                                          \
    do {                                                                                                               \
        hi_s32 rc_ = check_range(function, name, value, 0, MOST_QP);                                                   \
        if (rc_ != HI_SUCCESS)                                                                                         \
            return rc_;                                                                                                \
    } while (0)

static hi_s32 check_rate(const char *function, const hi_venc_chn_attr *attr) {
    const hi_venc_rc_attr *rc = &attr->rc_attr;
    bool h265 = attr->venc_attr.type == HI_PT_H265;
    sim_rc_kind kind = kind_of(rc->rc_mode);
    if (rc->rc_mode == HI_VENC_RC_MODE_H264_QPMAP ||
        rc->rc_mode == HI_VENC_RC_MODE_H265_QPMAP) /* documented: reserved */
        return sim_fail_at(function, HI_ERR_VENC_NOT_SUPPORT, "rc_mode %d (QPMAP) is reserved", rc->rc_mode);
    if (kind == 0 || is_h265(rc->rc_mode) != h265)
        return sim_fail_at(function, HI_ERR_VENC_ILLEGAL_PARAM, "rc_mode %d err, should be one of %s", rc->rc_mode,
                           h265 ? "H.265, 11 to 16" : "H.264, 1 to 6");
    const sim_profile *profile = sim_profile_get();
    rate_attr values = common(rc);
    CHECK("gop", values.gop, profile->gop);
    CHECK("stats_time", values.stats_time, stats_range);
    CHECK("src_frame_rate", values.src, profile->src_rate);
    CHECK("dst_frame_rate", values.dst, ((sim_range){profile->src_rate.min, values.src}));
    CHECK("bit_rate (kbit/s)", values.kbit, profile->bit_rate);
    if (kind == SIM_CVBR) {
        const hi_venc_h264_cvbr *cvbr = &rc->h264_cvbr;
        CHECK("short_term_stats_time", cvbr->short_term_stats_time, short_range);
        CHECK("long_term_stats_time", cvbr->long_term_stats_time, long_range);
        CHECK("long_term_max_bit_rate", cvbr->long_term_max_bit_rate, profile->bit_rate);
        CHECK("long_term_min_bit_rate", cvbr->long_term_min_bit_rate, ((sim_range){0, cvbr->long_term_max_bit_rate}));
    }
    if (kind == SIM_FIXQP) {
        CHECK_QP("i_qp", rc->h264_fixqp.i_qp);
        CHECK_QP("p_qp", rc->h264_fixqp.p_qp);
        CHECK_QP("b_qp", rc->h264_fixqp.b_qp);
    }
    return HI_SUCCESS;
}

static hi_s32 check_size(const char *function, const hi_venc_attr *attr) {
    const sim_profile *profile = sim_profile_get();
    CHECK("max_pic_width", attr->max_pic_width, profile->width);
    CHECK("max_pic_height", attr->max_pic_height, profile->height);
    CHECK("pic_width", attr->pic_width, ((sim_range){profile->width.min, attr->max_pic_width}));
    CHECK("pic_height", attr->pic_height, ((sim_range){profile->height.min, attr->max_pic_height}));
    if ((attr->pic_width | attr->pic_height) & 1) /* documented */
        return sim_fail_at(function, HI_ERR_VENC_ILLEGAL_PARAM, "size %u x %u err, width and height should be even",
                           attr->pic_width, attr->pic_height);
    uint64_t area = (uint64_t)attr->pic_width * attr->pic_height;
    if (attr->type == HI_PT_H264 && profile->h264_area != 0 && area > profile->h264_area) /* documented */
        return sim_fail_at(function, HI_ERR_VENC_ILLEGAL_PARAM,
                           "size %u x %u err, should be at most %llu pixels for H.264 on %s", attr->pic_width,
                           attr->pic_height, (unsigned long long)profile->h264_area, profile->name);
    return HI_SUCCESS;
}

static hi_s32 check_static(const char *function, const hi_venc_attr *attr) {
    if (attr->type == HI_PT_JPEG || attr->type == HI_PT_MJPEG) /* ours: hardware has it */
        return sim_fail_at(function, HI_ERR_VENC_NOT_SUPPORT, "the simulated device encodes no JPEG");
    if (attr->type != HI_PT_H264 && attr->type != HI_PT_H265)
        return sim_fail_at(function, HI_ERR_VENC_ILLEGAL_PARAM, "type %d err, should be 96 (H.264) or 265 (H.265)",
                           attr->type);
    hi_bool shared = attr->h264_attr.rcn_ref_share_buf_en;          /* of H.265 too */
    if (sim_is_strict() && shared != HI_FALSE && shared != HI_TRUE) /* guessed: it works all the same */
        sim_report_at("uninitialised", function, "clear the structure before you fill it",
                      "rcn_ref_share_buf_en is %d, should be 0 or 1", shared);
    uint32_t profiles = attr->type == HI_PT_H264 ? 3 : 1;
    hi_s32 rc = check_range(function, "profile", attr->profile, 0, profiles);
    if (rc == HI_SUCCESS && attr->profile == profiles) /* SVC-T, main 10 */
        rc = sim_fail_at(function, HI_ERR_VENC_NOT_SUPPORT, "the simulated device has no profile %u of %s",
                         attr->profile, profiles == 3 ? "H.264 (SVC-T)" : "H.265 (main 10)");
    if (rc == HI_SUCCESS)
        rc = check_range(function, "is_by_frame", attr->is_by_frame, HI_FALSE, HI_TRUE);
    if (rc == HI_SUCCESS)
        rc = check_range(function, "buf_size", attr->buf_size, BUFFER_LEAST, BUFFER_MOST);
    if (rc == HI_SUCCESS && attr->buf_size % BUFFER_STEP != 0)
        rc = sim_fail_at(function, HI_ERR_VENC_ILLEGAL_PARAM, "buf_size %u err, should be a multiple of %d",
                         attr->buf_size, BUFFER_STEP);
    return rc;
}

hi_s32 sim_mpi_check_attr(const char *function, const hi_venc_chn_attr *attr, const hi_venc_chn_attr *before) {
    const hi_venc_attr *now = &attr->venc_attr;
    hi_s32 rc = HI_SUCCESS;
    if (before != NULL) { /* documented: an error; guessed: which */
        const hi_venc_attr *was = &before->venc_attr;
        if (now->type != was->type || now->max_pic_width != was->max_pic_width || now->profile != was->profile ||
            now->max_pic_height != was->max_pic_height || now->buf_size != was->buf_size ||
            now->is_by_frame != was->is_by_frame)
            rc = sim_fail_at(function, HI_ERR_VENC_NOT_PERM,
                             "type, max_pic_width, max_pic_height, buf_size, profile and is_by_frame cannot change");
    }
    if (rc == HI_SUCCESS)
        rc = check_static(function, now);
    if (rc == HI_SUCCESS)
        rc = check_size(function, now);
    if (rc == HI_SUCCESS)
        rc = check_rate(function, attr);
    if (rc == HI_SUCCESS)
        rc = check_range(function, "gop_mode", attr->gop_attr.gop_mode, HI_VENC_GOP_MODE_NORMAL_P,
                         HI_VENC_GOP_MODE_LOW_DELAY_B);
    if (rc == HI_SUCCESS && attr->gop_attr.gop_mode != HI_VENC_GOP_MODE_NORMAL_P) /* documented */
        rc = sim_fail_at(function, HI_ERR_VENC_NOT_SUPPORT, "gop_mode %d err, only 0 (NORMAL_P) is supported",
                         attr->gop_attr.gop_mode);
    if (rc == HI_SUCCESS)
        rc = check_range(function, "ip_qp_delta", attr->gop_attr.normal_p.ip_qp_delta, -10, 30);
    return rc;
}

/* ---- parameters of rate control -------------------------------------------------------------------------------- */

/* The limits that all modes but FIXQP have, wherever their structure has them. */
typedef struct limits {
    hi_u32 *most_i, *least_i, *max_qp, *min_qp, *max_i_qp, *min_i_qp;
    hi_s32 *reencode;
    hi_bool *qpmap;
} limits;

static bool limits_of(const hi_venc_chn_attr *attr, hi_venc_rc_param *param, limits *out) {
#define LIMITS(member)                                                                                                 \
    case HI_VENC_RC_MODE_##member:                                                                                     \
        *out = (limits){                                                                                               \
            &FIELD(max_i_proportion), &FIELD(min_i_proportion),   &FIELD(max_qp),  &FIELD(min_qp), &FIELD(max_i_qp),   \
            &FIELD(min_i_qp),         &FIELD(max_reencode_times), &FIELD(qpmap_en)};                                   \
        return true;
    switch (attr->rc_attr.rc_mode) {
#define FIELD(name) param->h264_cbr_param.name
        LIMITS(H264_CBR)
#undef FIELD
#define FIELD(name) param->h264_vbr_param.name
        LIMITS(H264_VBR)
#undef FIELD
#define FIELD(name) param->h264_avbr_param.name
        LIMITS(H264_AVBR)
#undef FIELD
#define FIELD(name) param->h264_qvbr_param.name
        LIMITS(H264_QVBR)
#undef FIELD
#define FIELD(name) param->h264_cvbr_param.name
        LIMITS(H264_CVBR)
#undef FIELD
#define FIELD(name) param->h265_cbr_param.name
        LIMITS(H265_CBR)
#undef FIELD
#define FIELD(name) param->h265_vbr_param.name
        LIMITS(H265_VBR)
#undef FIELD
#define FIELD(name) param->h265_avbr_param.name
        LIMITS(H265_AVBR)
#undef FIELD
#define FIELD(name) param->h265_qvbr_param.name
        LIMITS(H265_QVBR)
#undef FIELD
#define FIELD(name) param->h265_cvbr_param.name
        LIMITS(H265_CVBR)
#undef FIELD
    default:
        return false;
    }
#undef LIMITS
}

/* chg_pos of the modes that have it; NULL: this one has not. */
static hi_s32 *change_position(const hi_venc_chn_attr *attr, hi_venc_rc_param *param) {
    sim_rc_kind kind = kind_of(attr->rc_attr.rc_mode);
    return kind == SIM_VBR || kind == SIM_AVBR ? &param->h264_vbr_param.chg_pos : NULL; /* the first one of all four */
}

/* What only one mode has, with its documented range. 32 bits each, wherever its structure has them. */
typedef struct own_parameter {
    hi_venc_rc_mode mode;
    const char *name;
    size_t at; /* in hi_venc_rc_param */
    hi_s32 least, most, usual;
} own_parameter;

#define OWN(mode, member, name, least, most, usual)                                                                    \
    {HI_VENC_RC_MODE_##mode, #name, offsetof(hi_venc_rc_param, member.name), least, most, usual}
#define OWN_OF_BOTH(mode, member, name, least, most, usual)                                                            \
    OWN(H264_##mode, h264_##member, name, least, most, usual), OWN(H265_##mode, h265_##member, name, least, most, usual)

static const own_parameter own_parameters[] = {
    OWN_OF_BOTH(AVBR, avbr_param, min_still_percent, 5, 100, 25),
    OWN_OF_BOTH(AVBR, avbr_param, max_still_qp, 0, MOST_QP, 35),
    OWN_OF_BOTH(QVBR, qvbr_param, max_bit_percent, 30, 180, 100),
    OWN_OF_BOTH(QVBR, qvbr_param, min_bit_percent, 30, 180, 60),
    OWN_OF_BOTH(QVBR, qvbr_param, max_psnr_fluctuate, 18, 40, 36),
    OWN_OF_BOTH(QVBR, qvbr_param, min_psnr_fluctuate, 18, 40, 32),
    OWN_OF_BOTH(CVBR, cvbr_param, extra_bit_percent, 0, 1000, 100),
    OWN_OF_BOTH(CVBR, cvbr_param, long_term_stats_time_unit, 1, 1800, 60),
};
enum { OWN_PARAMETERS = sizeof own_parameters / sizeof own_parameters[0] };

/* Guessed, all of it: the vendor prints ranges, not defaults. */
void sim_mpi_default_rc_param(const hi_venc_chn_attr *attr, hi_venc_rc_param *param) {
    enum { MOST_I = 100, LEAST_I = 1, LEAST_QP = 10, REENCODE = 2, POSITION = 90, ROW_DELTA = 1 };
    memset(param, 0, sizeof *param);
    param->row_qp_delta = ROW_DELTA;
    param->first_frame_start_qp = -1;
    limits found;
    if (limits_of(attr, param, &found)) {
        *found.most_i = MOST_I;
        *found.least_i = LEAST_I;
        *found.max_qp = *found.max_i_qp = MOST_QP;
        *found.min_qp = *found.min_i_qp = LEAST_QP;
        *found.reencode = REENCODE;
    }
    hi_s32 *position = change_position(attr, param);
    if (position != NULL)
        *position = POSITION;
    for (int i = 0; i < OWN_PARAMETERS; i++)
        if (own_parameters[i].mode == attr->rc_attr.rc_mode)
            memcpy((char *)param + own_parameters[i].at, &own_parameters[i].usual, sizeof own_parameters[i].usual);
}

hi_s32 sim_mpi_check_rc_param(const char *function, const hi_venc_chn_attr *attr, const hi_venc_rc_param *param) {
    hi_venc_rc_param copy = *param;
    CHECK("row_qp_delta", copy.row_qp_delta, ((sim_range){0, 10}));
    CHECK("direction", copy.direction, ((sim_range){0, 16}));
    hi_s32 rc = check_range(function, "first_frame_start_qp", copy.first_frame_start_qp, -1, MOST_QP);
    if (rc != HI_SUCCESS)
        return rc;
    for (int i = 0; i < HI_VENC_TEXTURE_THRESHOLD_SIZE; i++) {
        CHECK("threshold_i", copy.threshold_i[i], ((sim_range){0, 255}));
        CHECK("threshold_p", copy.threshold_p[i], ((sim_range){0, 255}));
        CHECK("threshold_b", copy.threshold_b[i], ((sim_range){0, 255}));
    }
    limits found;
    if (!limits_of(attr, &copy, &found))
        return HI_SUCCESS;
    CHECK("max_i_proportion", *found.most_i, share_range);
    CHECK("min_i_proportion", *found.least_i, ((sim_range){share_range.min, *found.most_i}));
    CHECK_QP("max_qp", *found.max_qp);
    CHECK_QP("max_i_qp", *found.max_i_qp);
    CHECK("min_qp", *found.min_qp, ((sim_range){0, *found.max_qp}));
    CHECK("min_i_qp", *found.min_i_qp, ((sim_range){0, *found.max_i_qp}));
    rc = check_range(function, "max_reencode_times", *found.reencode, 0, 3);
    if (rc == HI_SUCCESS)
        rc = check_range(function, "qpmap_en", *found.qpmap, HI_FALSE, HI_TRUE);
    const hi_s32 *position = change_position(attr, &copy);
    if (rc == HI_SUCCESS && position != NULL)
        rc = check_range(function, "chg_pos", *position, 50, 100);
    for (int i = 0; i < OWN_PARAMETERS && rc == HI_SUCCESS; i++) {
        const own_parameter *own = &own_parameters[i];
        hi_s32 value;
        memcpy(&value, (const char *)param + own->at, sizeof value);
        if (own->mode == attr->rc_attr.rc_mode)
            rc = check_range(function, own->name, value, own->least, own->most);
    }
    return rc;
}

sim_rate_settings sim_mpi_rate_settings(const sim_mpi_settings *settings) {
    const hi_venc_rc_attr *rc = &settings->attr.rc_attr;
    rate_attr values = common(rc);
    sim_rate_settings result = {
        .kind = kind_of(rc->rc_mode),
        .kbit = values.kbit,
        .fps = values.dst, /* guessed: no frame is left out where dst_frame_rate is below src_frame_rate */
        .gop = values.gop,
        .most_qp = {MOST_QP, MOST_QP},
        .most_i_proportion = share_range.max,
        .first_qp = settings->rc_param.first_frame_start_qp,
    };
    hi_venc_rc_param param = settings->rc_param;
    limits found;
    if (limits_of(&settings->attr, &param, &found)) {
        result.least_qp[0] = (int)*found.min_qp;
        result.least_qp[1] = (int)*found.min_i_qp;
        result.most_qp[0] = (int)*found.max_qp;
        result.most_qp[1] = (int)*found.max_i_qp;
        result.most_i_proportion = *found.most_i;
    } else {
        result.fixed_qp[0] = (int)rc->h264_fixqp.p_qp;
        result.fixed_qp[1] = (int)rc->h264_fixqp.i_qp;
    }
    return result;
}
