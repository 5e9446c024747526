// SPDX-License-Identifier: Apache-2.0
/* ITU-T H.265 7.3.2.1 to 7.3.2.3, 7.3.3, 7.3.4, 7.3.7 and annex E. */
#include "bitstream/vui_fields.h"

static void copy_profile_tier_level(avi_bits *bits, unsigned max_sub_layers_minus1) {
    bool profile[8] = {0}, level[8] = {0};
    avi_bits_skip_copying(bits, 88 + 8);
    for (unsigned i = 0; i < max_sub_layers_minus1; i++) {
        profile[i] = avi_bits_copy(bits, 1);
        level[i] = avi_bits_copy(bits, 1);
    }
    if (max_sub_layers_minus1 > 0)
        avi_bits_skip_copying(bits, 2 * (8 - max_sub_layers_minus1));
    for (unsigned i = 0; i < max_sub_layers_minus1; i++)
        avi_bits_skip_copying(bits, 88 * profile[i] + 8 * level[i]);
}

static void copy_sub_layer_ordering(avi_bits *bits, unsigned max_sub_layers_minus1) {
    bool each = avi_bits_copy(bits, 1);
    avi_vui_copy_ues(bits, 3 * (each ? max_sub_layers_minus1 + 1 : 1));
}

static void copy_h265_scaling_lists(avi_bits *bits) {
    for (int size = 0; size < 4; size++)
        for (int matrix = 0; matrix < 6; matrix += size == 3 ? 3 : 1) {
            if (!avi_bits_copy(bits, 1)) { /* scaling_list_pred_mode_flag */
                avi_bits_copy_ue(bits);
                continue;
            }
            int coefficients = size == 0 ? 16 : 64;
            avi_vui_copy_ues(bits, (unsigned)(coefficients + (size > 1)));
        }
}

/* The distances of a short-term reference picture set, as 7.4.8 derives them. */
typedef struct reference_set {
    unsigned before, after;
    int32_t distance[2][16]; /* negative ones, positive ones */
} reference_set;

static bool add_distance(reference_set *set, int64_t distance) {
    bool after = distance > 0;
    unsigned *count = after ? &set->after : &set->before;
    if (*count == 16 || distance < INT32_MIN || distance > INT32_MAX)
        return false;
    set->distance[after][(*count)++] = (int32_t)distance;
    return true;
}

static bool copy_predicted_set(avi_bits *bits, reference_set *set) {
    reference_set from = *set;
    unsigned count = from.before + from.after;
    bool kept[33] = {0};
    bool negative = avi_bits_copy(bits, 1);
    int64_t delta = (int64_t)avi_bits_copy_ue(bits) + 1;
    if (negative)
        delta = -delta;
    for (unsigned j = 0; j <= count; j++)
        kept[j] = avi_bits_copy(bits, 1) || avi_bits_copy(bits, 1); /* used_by_curr_pic_flag, else use_delta_flag */
    set->before = set->after = 0;
    bool good = true;
    for (int sign = -1; sign <= 1; sign += 2) {
        /* Those of the other side first, far ones before near ones; then the picture itself; then those of this side. */
        const int32_t *same = from.distance[sign > 0], *other = from.distance[sign < 0];
        unsigned same_count = sign > 0 ? from.after : from.before, other_count = sign > 0 ? from.before : from.after;
        unsigned same_at = sign > 0 ? from.before : 0, other_at = sign > 0 ? 0 : from.before;
        for (unsigned j = other_count; j-- > 0;)
            if (kept[other_at + j] && (other[j] + delta) * sign > 0)
                good = good && add_distance(set, other[j] + delta);
        if (kept[count] && delta * sign > 0)
            good = good && add_distance(set, delta);
        for (unsigned j = 0; j < same_count; j++)
            if (kept[same_at + j] && (same[j] + delta) * sign > 0)
                good = good && add_distance(set, same[j] + delta);
    }
    return good && !bits->over;
}

static bool copy_reference_set(avi_bits *bits, reference_set *set, bool first) {
    if (!first && avi_bits_copy(bits, 1)) /* inter_ref_pic_set_prediction_flag */
        return copy_predicted_set(bits, set);
    uint32_t counts[2];
    counts[0] = avi_bits_copy_ue(bits);
    counts[1] = avi_bits_copy_ue(bits);
    set->before = set->after = 0;
    if (counts[0] > 16 || counts[1] > 16)
        return false;
    for (int after = 0; after < 2; after++) {
        int64_t distance = 0;
        for (uint32_t i = 0; i < counts[after]; i++) {
            distance += ((int64_t)avi_bits_copy_ue(bits) + 1) * (after ? 1 : -1);
            avi_bits_copy(bits, 1); /* used_by_curr_pic_flag */
            if (!add_distance(set, distance))
                return false;
        }
    }
    return !bits->over;
}

static bool copy_reference_sets(avi_bits *bits) {
    reference_set set = {0};
    uint32_t count = avi_bits_copy_ue(bits);
    if (count > 64)
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (!copy_reference_set(bits, &set, i == 0))
            return false;
    return true;
}

/* Up to vui_parameters_present_flag. */
static bool copy_sps_up_to_vui(avi_bits *bits, avi_format *format) {
    avi_bits_copy(bits, 16 + 4); /* NAL header, sps_video_parameter_set_id */
    uint32_t max_sub_layers_minus1 = avi_bits_copy(bits, 3);
    format->temporal_nesting = avi_bits_copy(bits, 1); /* sps_temporal_id_nesting_flag */
    copy_profile_tier_level(bits, max_sub_layers_minus1);
    avi_bits_copy_ue(bits); /* sps_seq_parameter_set_id */
    uint32_t chroma_format_idc = avi_bits_copy_ue(bits);
    format->sub_layers = max_sub_layers_minus1 + 1;
    format->chroma_format_idc = chroma_format_idc;
    if (max_sub_layers_minus1 > 6 || chroma_format_idc > 3)
        return false;
    if (chroma_format_idc == 3)
        avi_bits_copy(bits, 1); /* separate_colour_plane_flag */
    avi_vui_copy_ues(bits, 2);  /* size in samples */
    if (avi_bits_copy(bits, 1)) /* conformance_window_flag */
        avi_vui_copy_ues(bits, 4);
    format->luma_minus8 = avi_bits_copy_ue(bits);
    format->chroma_minus8 = avi_bits_copy_ue(bits);
    uint32_t log2_max_poc_lsb = avi_bits_copy_ue(bits) + 4;
    if (log2_max_poc_lsb > 16)
        return false;
    copy_sub_layer_ordering(bits, max_sub_layers_minus1);
    avi_vui_copy_ues(bits, 6); /* sizes of coding and transform blocks, depths */
    if (avi_bits_copy(bits, 1) &&
        avi_bits_copy(bits, 1)) /* scaling_list_enabled_flag, sps_scaling_list_data_present_flag */
        copy_h265_scaling_lists(bits);
    avi_bits_copy(bits, 2);        /* amp_enabled_flag, sample_adaptive_offset_enabled_flag */
    if (avi_bits_copy(bits, 1)) {  /* pcm_enabled_flag */
        avi_bits_copy(bits, 8);    /* bit depths */
        avi_vui_copy_ues(bits, 2); /* sizes */
        avi_bits_copy(bits, 1);    /* pcm_loop_filter_disabled_flag */
    }
    if (!copy_reference_sets(bits))
        return false;
    if (avi_bits_copy(bits, 1)) { /* long_term_ref_pics_present_flag */
        uint32_t count = avi_bits_copy_ue(bits);
        if (count > 32)
            return false;
        avi_bits_skip_copying(bits, count * (log2_max_poc_lsb + 1));
    }
    avi_bits_copy(bits, 2); /* sps_temporal_mvp_enabled_flag, strong_intra_smoothing_enabled_flag */
    return !bits->over;
}

/* Up to the timing, and it; *present: it is there now. Returns whether it was there before. */
static bool put_vui_up_to_timing(avi_bits *bits, const avenc_vui *vui, bool there, bool *present) {
    avi_vui_put_common(bits, vui, there);
    for (int i = 0; i < 3; i++)
        avi_vui_copy_flag(bits,
                          there); /* neutral_chroma_indication_flag, field_seq_flag, frame_field_info_present_flag */
    if (avi_vui_copy_flag(bits, there)) /* default_display_window_flag */
        avi_vui_copy_ues(bits, 4);
    return avi_vui_put_timing(bits, vui, there, present);
}

bool avi_h265_sps(avi_bits *bits, const avenc_vui *vui) {
    avi_format format;
    if (!copy_sps_up_to_vui(bits, &format))
        return false;
    bool there = avi_bits_read(bits, 1), timing;
    avi_bits_write(bits, 1, 1); /* vui_parameters_present_flag */
    bool had = put_vui_up_to_timing(bits, vui, there, &timing);
    if (timing && !had)
        avi_bits_write(bits, 0, 2); /* vui_poc_proportional_to_timing_flag, vui_hrd_parameters_present_flag */
    if (!there)
        avi_bits_write(bits, 0, 1); /* bitstream_restriction_flag */
    return avi_bits_copy_rest(bits);
}

bool avi_h265_vps(avi_bits *bits, const avenc_vui *vui) {
    avi_bits_copy(bits, 16 + 4 + 2); /* NAL header, vps_video_parameter_set_id, base layer flags */
    avi_bits_copy(bits, 6);          /* vps_max_layers_minus1 */
    uint32_t max_sub_layers_minus1 = avi_bits_copy(bits, 3);
    avi_bits_copy(bits, 1 + 16); /* vps_temporal_id_nesting_flag, vps_reserved_0xffff_16bits */
    if (max_sub_layers_minus1 > 6)
        return false;
    copy_profile_tier_level(bits, max_sub_layers_minus1);
    copy_sub_layer_ordering(bits, max_sub_layers_minus1);
    uint32_t max_layer_id = avi_bits_copy(bits, 6), sets_minus1 = avi_bits_copy_ue(bits);
    if (sets_minus1 > 1023)
        return false;
    avi_bits_skip_copying(bits, (size_t)sets_minus1 * (max_layer_id + 1)); /* layer_id_included_flag */
    bool timing;
    if (!avi_vui_put_timing(bits, vui, true, &timing) && timing) {
        avi_bits_write(bits, 0, 1); /* vps_poc_proportional_to_timing_flag */
        avi_bits_write_ue(bits, 0); /* vps_num_hrd_parameters */
    }
    return avi_bits_copy_rest(bits);
}

/* Annex E.2.2, with the information that all sub-layers share. */
static void copy_hrd(avi_bits *bits, unsigned sub_layers) {
    unsigned kinds = avi_bits_copy(bits, 1); /* nal_hrd_parameters_present_flag */
    kinds += avi_bits_copy(bits, 1);         /* vcl_hrd_parameters_present_flag */
    bool sub_pictures = kinds && avi_bits_copy(bits, 1);
    if (sub_pictures)
        avi_bits_copy(bits, 8 + 5 + 1 + 5);
    if (kinds)
        avi_bits_copy(bits, 4 + 4 + (sub_pictures ? 4 : 0) + 5 + 5 + 5);
    for (unsigned i = 0; i < sub_layers && !bits->over; i++) {
        bool fixed = avi_bits_copy(bits, 1) || avi_bits_copy(bits, 1); /* in general, else within the sequence */
        bool low_delay = false;
        if (fixed)
            avi_bits_copy_ue(bits); /* elemental_duration_in_tc_minus1 */
        else
            low_delay = avi_bits_copy(bits, 1);
        uint32_t count = low_delay ? 1 : avi_bits_copy_ue(bits) + 1;
        if (count > 32)
            bits->over = true;
        for (uint32_t j = 0; j < count * kinds && !bits->over; j++) {
            avi_vui_copy_ues(bits, sub_pictures ? 4 : 2);
            avi_bits_copy(bits, 1); /* cbr_flag */
        }
    }
}

bool avi_h265_sps_format(avi_bits *bits, avi_format *format) {
    static const avenc_vui nothing;
    bool timing;
    if (!copy_sps_up_to_vui(bits, format))
        return false;
    format->restricted = false;
    if (!avi_bits_copy(bits, 1))
        return !bits->over;
    if (put_vui_up_to_timing(bits, &nothing, true, &timing)) {
        if (avi_bits_copy(bits, 1)) /* vui_poc_proportional_to_timing_flag */
            avi_bits_copy_ue(bits);
        if (avi_bits_copy(bits, 1)) /* vui_hrd_parameters_present_flag */
            copy_hrd(bits, format->sub_layers);
    }
    format->restricted = avi_bits_copy(bits, 1); /* bitstream_restriction_flag */
    if (format->restricted) {
        avi_bits_copy(bits, 3); /* tiles_fixed_structure_flag, motion_vectors_over_pic_..., restricted_ref_pic_... */
        format->min_spatial_segmentation = avi_bits_copy_ue(bits);
    }
    return !bits->over;
}

bool avi_h265_pps_parallelism(avi_bits *bits, unsigned *parallelism) {
    avi_bits_read(bits, 16); /* NAL header */
    avi_bits_read_ue(bits);  /* pps_pic_parameter_set_id */
    avi_bits_read_ue(bits);  /* pps_seq_parameter_set_id */
    avi_bits_read(bits, 1 + 1 + 3 + 1 + 1);
    avi_bits_read_ue(bits); /* num_ref_idx_l0_default_active_minus1 */
    avi_bits_read_ue(bits);
    avi_bits_read_ue(bits); /* init_qp_minus26 */
    avi_bits_read(bits, 2); /* constrained_intra_pred_flag, transform_skip_enabled_flag */
    if (avi_bits_read(bits, 1))
        avi_bits_read_ue(bits); /* diff_cu_qp_delta_depth */
    avi_bits_read_ue(bits);     /* pps_cb_qp_offset */
    avi_bits_read_ue(bits);
    avi_bits_read(bits, 4); /* slice chroma offsets, weighted prediction, transquant_bypass_enabled_flag */
    bool tiles = avi_bits_read(bits, 1), rows = avi_bits_read(bits, 1);
    *parallelism = tiles && rows ? 0 : rows ? 3 : tiles ? 2 : 1;
    return !bits->over;
}
