// SPDX-License-Identifier: Apache-2.0
/*
 * Parameter sets are read as far as the syntax that is to change, copied bit by bit up to there, and copied as they are
 * behind it. Syntax from ITU-T H.264 7.3.2.1 and annex E, H.265 7.3.2.1, 7.3.2.2, 7.3.3, 7.3.4, 7.3.7 and annex E.
 */
#include "bitstream/vui.h"
#include "bitstream/access_unit.h"
#include "bitstream/bits.h"
#include "base/status.h"

#include <string.h>

enum { PREFIX_SIZE = 4096 }; /* all up to the last parameter set */

/* ---- VUI: what both codecs have ---------------------------------------------------------------- */

/* A flag of a VUI that may not be there: then it is 0. */
static bool read_flag(avi_bits *bits, bool there) {
    return there && avi_bits_read(bits, 1);
}

static bool copy_flag(avi_bits *bits, bool there) {
    bool flag = read_flag(bits, there);
    avi_bits_write(bits, flag, 1);
    return flag;
}

static void copy_ues(avi_bits *bits, unsigned count) {
    while (count--)
        avi_bits_copy_ue(bits);
}

/* Table E-1, the same in both. 255: written out. */
static unsigned shape_idc(uint32_t width, uint32_t height) {
    static const uint16_t shapes[][2] = {{1, 1},    {12, 11}, {10, 11}, {16, 11}, {40, 33}, {24, 11},
                                         {20, 11},  {32, 11}, {80, 33}, {18, 11}, {15, 11}, {64, 33},
                                         {160, 99}, {4, 3},   {3, 2},   {2, 1}};
    for (unsigned i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (shapes[i][0] == width && shapes[i][1] == height)
            return i + 1;
    return 255;
}

static void put_shape(avi_bits *bits, const avenc_vui *vui, bool there) {
    bool present = read_flag(bits, there);
    uint32_t idc = present ? avi_bits_read(bits, 8) : 0, width = 0, height = 0;
    if (idc == 255) {
        width = avi_bits_read(bits, 16);
        height = avi_bits_read(bits, 16);
    }
    if (vui->tells & AVENC_VUI_SHAPE) {
        present = true;
        width = vui->sar_width;
        height = vui->sar_height;
        idc = shape_idc(width, height);
    }
    avi_bits_write(bits, present, 1);
    if (present)
        avi_bits_write(bits, idc, 8);
    if (present && idc == 255) {
        avi_bits_write(bits, width, 16);
        avi_bits_write(bits, height, 16);
    }
}

static void put_color(avi_bits *bits, const avenc_vui *vui, bool there) {
    enum {
        UNSPECIFIED_FORMAT = 5,
        UNSPECIFIED = 2,
        COLOR = AVENC_VUI_PRIMARIES | AVENC_VUI_TRANSFER | AVENC_VUI_MATRIX
    };
    uint32_t format = UNSPECIFIED_FORMAT, full = 0;
    uint32_t color[3] = {UNSPECIFIED, UNSPECIFIED, UNSPECIFIED};
    const uint32_t told[3] = {vui->primaries, vui->transfer, vui->matrix};
    bool present = read_flag(bits, there), described = false;
    if (present) {
        format = avi_bits_read(bits, 3);
        full = avi_bits_read(bits, 1);
        described = avi_bits_read(bits, 1);
        for (int i = 0; i < 3 && described; i++)
            color[i] = avi_bits_read(bits, 8);
    }
    for (int i = 0; i < 3; i++)
        if (vui->tells & (uint32_t)AVENC_VUI_PRIMARIES << i)
            color[i] = told[i];
    if (vui->tells & AVENC_VUI_RANGE)
        full = vui->full_range;
    described = described || vui->tells & COLOR;
    present = present || vui->tells & (COLOR | AVENC_VUI_RANGE);
    avi_bits_write(bits, present, 1);
    if (!present)
        return;
    avi_bits_write(bits, format, 3);
    avi_bits_write(bits, full, 1);
    avi_bits_write(bits, described, 1);
    for (int i = 0; i < 3 && described; i++)
        avi_bits_write(bits, color[i], 8);
}

/* Up to where the codecs differ. */
static void put_common(avi_bits *bits, const avenc_vui *vui, bool there) {
    put_shape(bits, vui, there);
    if (copy_flag(bits, there)) /* overscan_info_present_flag */
        avi_bits_copy(bits, 1);
    put_color(bits, vui, there);
    if (copy_flag(bits, there)) /* chroma_loc_info_present_flag */
        copy_ues(bits, 2);
}

/* num_units_in_tick and time_scale behind their flag. Returns whether they were there before. */
static bool put_timing(avi_bits *bits, const avenc_vui *vui, bool there, bool *present) {
    bool had = read_flag(bits, there);
    uint32_t units = had ? avi_bits_read(bits, 32) : 0, scale = had ? avi_bits_read(bits, 32) : 0;
    *present = had || vui->tells & AVENC_VUI_TIMING;
    if (vui->tells & AVENC_VUI_TIMING) {
        units = vui->units_in_tick;
        scale = vui->time_scale;
    }
    avi_bits_write(bits, *present, 1);
    if (*present) {
        avi_bits_write(bits, units, 32);
        avi_bits_write(bits, scale, 32);
    }
    return had;
}

/* ---- H.264 ------------------------------------------------------------------------------------- */

static void copy_h264_scaling_list(avi_bits *bits, int size) {
    int last = 8, next = 8;
    for (int j = 0; j < size && !bits->over; j++) {
        if (next != 0)
            next = (last + avi_bits_copy_se(bits) % 256 + 256) % 256;
        last = next == 0 ? last : next;
    }
}

static bool has_chroma_format(uint32_t profile_idc) {
    static const uint8_t profiles[] = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135};
    return memchr(profiles, (int)profile_idc, sizeof profiles) != NULL;
}

static bool h264_sps(avi_bits *bits, const avenc_vui *vui) {
    avi_bits_copy(bits, 8); /* NAL header */
    uint32_t profile_idc = avi_bits_copy(bits, 8);
    avi_bits_copy(bits, 16); /* constraint flags, level_idc */
    avi_bits_copy_ue(bits);  /* seq_parameter_set_id */
    if (has_chroma_format(profile_idc)) {
        uint32_t chroma_format_idc = avi_bits_copy_ue(bits);
        if (chroma_format_idc > 3)
            return false;
        if (chroma_format_idc == 3)
            avi_bits_copy(bits, 1);   /* separate_colour_plane_flag */
        copy_ues(bits, 2);            /* bit depths */
        avi_bits_copy(bits, 1);       /* qpprime_y_zero_transform_bypass_flag */
        if (avi_bits_copy(bits, 1)) { /* seq_scaling_matrix_present_flag */
            for (int i = 0; i < (chroma_format_idc == 3 ? 12 : 8); i++)
                if (avi_bits_copy(bits, 1))
                    copy_h264_scaling_list(bits, i < 6 ? 16 : 64);
        }
    }
    avi_bits_copy_ue(bits); /* log2_max_frame_num_minus4 */
    uint32_t pic_order_cnt_type = avi_bits_copy_ue(bits);
    if (pic_order_cnt_type > 2)
        return false;
    if (pic_order_cnt_type == 0)
        avi_bits_copy_ue(bits); /* log2_max_pic_order_cnt_lsb_minus4 */
    if (pic_order_cnt_type == 1) {
        avi_bits_copy(bits, 1); /* delta_pic_order_always_zero_flag */
        copy_ues(bits, 2);      /* two offsets */
        uint32_t frames = avi_bits_copy_ue(bits);
        if (frames > 255)
            return false;
        copy_ues(bits, frames);
    }
    avi_bits_copy_ue(bits);      /* max_num_ref_frames */
    avi_bits_copy(bits, 1);      /* gaps_in_frame_num_value_allowed_flag */
    copy_ues(bits, 2);           /* size in macroblocks */
    if (!avi_bits_copy(bits, 1)) /* frame_mbs_only_flag */
        avi_bits_copy(bits, 1);  /* mb_adaptive_frame_field_flag */
    avi_bits_copy(bits, 1);      /* direct_8x8_inference_flag */
    if (avi_bits_copy(bits, 1))  /* frame_cropping_flag */
        copy_ues(bits, 4);
    bool there = avi_bits_read(bits, 1), timing, fixed;
    avi_bits_write(bits, 1, 1); /* vui_parameters_present_flag */
    put_common(bits, vui, there);
    bool had = put_timing(bits, vui, there, &timing);
    fixed = read_flag(bits, had);
    if (timing)
        avi_bits_write(bits, vui->tells & AVENC_VUI_FIXED_RATE ? vui->fixed_rate : fixed, 1);
    if (!there)
        avi_bits_write(bits, 0, 4); /* no HRDs, no pic_struct, no restrictions */
    return avi_bits_copy_rest(bits);
}

/* ---- H.265 ------------------------------------------------------------------------------------- */

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
    copy_ues(bits, 3 * (each ? max_sub_layers_minus1 + 1 : 1));
}

static void copy_h265_scaling_lists(avi_bits *bits) {
    for (int size = 0; size < 4; size++)
        for (int matrix = 0; matrix < 6; matrix += size == 3 ? 3 : 1) {
            if (!avi_bits_copy(bits, 1)) { /* scaling_list_pred_mode_flag */
                avi_bits_copy_ue(bits);
                continue;
            }
            int coefficients = size == 0 ? 16 : 64;
            copy_ues(bits, (unsigned)(coefficients + (size > 1)));
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

static bool h265_sps(avi_bits *bits, const avenc_vui *vui) {
    avi_bits_copy(bits, 16 + 4); /* NAL header, sps_video_parameter_set_id */
    uint32_t max_sub_layers_minus1 = avi_bits_copy(bits, 3);
    avi_bits_copy(bits, 1); /* sps_temporal_id_nesting_flag */
    copy_profile_tier_level(bits, max_sub_layers_minus1);
    avi_bits_copy_ue(bits); /* sps_seq_parameter_set_id */
    uint32_t chroma_format_idc = avi_bits_copy_ue(bits);
    if (max_sub_layers_minus1 > 6 || chroma_format_idc > 3)
        return false;
    if (chroma_format_idc == 3)
        avi_bits_copy(bits, 1); /* separate_colour_plane_flag */
    copy_ues(bits, 2);          /* size in samples */
    if (avi_bits_copy(bits, 1)) /* conformance_window_flag */
        copy_ues(bits, 4);
    copy_ues(bits, 2); /* bit depths */
    uint32_t log2_max_poc_lsb = avi_bits_copy_ue(bits) + 4;
    if (log2_max_poc_lsb > 16)
        return false;
    copy_sub_layer_ordering(bits, max_sub_layers_minus1);
    copy_ues(bits, 6); /* sizes of coding and transform blocks, depths */
    if (avi_bits_copy(bits, 1) &&
        avi_bits_copy(bits, 1)) /* scaling_list_enabled_flag, sps_scaling_list_data_present_flag */
        copy_h265_scaling_lists(bits);
    avi_bits_copy(bits, 2);       /* amp_enabled_flag, sample_adaptive_offset_enabled_flag */
    if (avi_bits_copy(bits, 1)) { /* pcm_enabled_flag */
        avi_bits_copy(bits, 8);   /* bit depths */
        copy_ues(bits, 2);        /* sizes */
        avi_bits_copy(bits, 1);   /* pcm_loop_filter_disabled_flag */
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
    bool there = avi_bits_read(bits, 1), timing;
    avi_bits_write(bits, 1, 1); /* vui_parameters_present_flag */
    put_common(bits, vui, there);
    for (int i = 0; i < 3; i++)
        copy_flag(bits, there); /* neutral_chroma_indication_flag, field_seq_flag, frame_field_info_present_flag */
    if (copy_flag(bits, there)) /* default_display_window_flag */
        copy_ues(bits, 4);
    bool had = put_timing(bits, vui, there, &timing);
    if (timing && !had)
        avi_bits_write(bits, 0, 2); /* vui_poc_proportional_to_timing_flag, vui_hrd_parameters_present_flag */
    if (!there)
        avi_bits_write(bits, 0, 1); /* bitstream_restriction_flag */
    return avi_bits_copy_rest(bits);
}

static bool h265_vps(avi_bits *bits, const avenc_vui *vui) {
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
    if (!put_timing(bits, vui, true, &timing) && timing) {
        avi_bits_write(bits, 0, 1); /* vps_poc_proportional_to_timing_flag */
        avi_bits_write_ue(bits, 0); /* vps_num_hrd_parameters */
    }
    return avi_bits_copy_rest(bits);
}

/* ---- access units ------------------------------------------------------------------------------ */

typedef bool put_into(avi_bits *bits, const avenc_vui *vui);

/* What changes a NAL unit, or NULL; *slice: the parameter sets are over. */
static put_into *rule_of(const avenc_vui *vui, int32_t en_type, uint8_t header, bool *slice) {
    if (en_type == H265_MAIN_LEVEL) {
        unsigned type = header >> 1 & 0x3f;
        *slice = type < 32;
        return type == 33 ? h265_sps : type == 32 && vui->tells & AVENC_VUI_TIMING ? h265_vps : NULL;
    }
    unsigned type = header & 0x1f;
    *slice = type >= 1 && type <= 5;
    return type == 7 ? h264_sps : NULL;
}

/* Returns the size of the new NAL unit; 0: its syntax is not known, or there is no room. */
static size_t change(put_into *rule, const avenc_vui *vui, const uint8_t *nal, size_t size, uint8_t *to, size_t room) {
    uint8_t before[AVI_PARAMETER_SET_SIZE], after[AVI_PARAMETER_SET_SIZE + AVI_VUI_ROOM];
    size_t length = avi_unescape(nal, size, before, sizeof before);
    if (!length)
        return 0;
    size_t most = length + AVI_VUI_ROOM;
    memset(after, 0, most);
    avi_bits bits = {.from = before, .end = 8 * length, .to = after, .room = 8 * most};
    return rule(&bits, vui) ? avi_escape(after, (bits.put + 7) / 8, to, room) : 0;
}

/*
 * Up to `stop` an access unit becomes `prefix`; returns the size of that. Its first slice begins at
 * `first_slice`, or there is none.
 */
static size_t change_all(const avenc_vui *vui, int32_t en_type, const uint8_t *data, size_t size, uint8_t *prefix,
                         const uint8_t **stop, const uint8_t **first_slice, uint32_t *left_out) {
    const uint8_t *end = data + size, *copied = data, *next, *nal;
    size_t made = 0;
    for (nal = avi_next_nal(data, end); nal < end; nal = next) {
        bool slice;
        put_into *rule = rule_of(vui, en_type, *nal, &slice);
        if (slice)
            break;
        next = avi_next_nal(nal, end);
        if (!rule)
            continue;
        const uint8_t *last = next == end ? end : next - 3;
        while (last > nal && last[-1] == 0)
            last--;
        size_t before = (size_t)(nal - copied), left = PREFIX_SIZE - made, changed = 0;
        if (before < left)
            changed = change(rule, vui, nal, (size_t)(last - nal), prefix + made + before, left - before);
        if (!changed || made + before + changed > (size_t)(last - data) + AVI_VUI_ROOM) {
            ++*left_out;
            continue;
        }
        memcpy(prefix + made, copied, before);
        made += before + changed;
        copied = last;
    }
    *stop = copied;
    *first_slice = nal;
    return made;
}

static bool is_last(const avi_vui_last *last, const avenc_vui *vui, const uint8_t *data, size_t size) {
    return last->begin_size && size >= last->begin_size && memcmp(data, last->begin, last->begin_size) == 0 &&
           memcmp(vui, &last->vui, sizeof *vui) == 0;
}

uint8_t *avi_vui_put(avi_vui_last *last, const avenc_vui *vui, int32_t en_type, uint8_t *data, size_t *size,
                     uint32_t *left_out) {
    uint8_t prefix[PREFIX_SIZE];
    const uint8_t *made_of = last->after, *stop = data + last->before_size, *slice;
    size_t made = last->after_size;
    if (!is_last(last, vui, data, *size)) {
        uint32_t unknown = 0;
        made = change_all(vui, en_type, data, *size, prefix, &stop, &slice, &unknown);
        made_of = prefix;
        *left_out += unknown;
        last->begin_size = 0;
        if (unknown == 0 && slice < data + *size && slice - data < AVI_VUI_KEPT) {
            last->vui = *vui;
            last->begin_size = (size_t)(slice - data) + 1;
            last->before_size = (size_t)(stop - data);
            last->after_size = made;
            memcpy(last->begin, data, last->begin_size);
            memcpy(last->after, prefix, made);
        }
    }
    size_t before = (size_t)(stop - data);
    uint8_t *begin = data + before - made;
    memcpy(begin, made_of, made);
    *size = *size - before + made;
    return begin;
}

int avenc_vui_put(const avenc_vui *vui, int32_t en_type, const uint8_t *nal, size_t size, uint8_t *to, size_t room,
                  size_t *written) {
    bool slice;
    put_into *rule = vui && nal && to && written && size ? rule_of(vui, en_type, *nal, &slice) : NULL;
    if (!rule)
        return avi_fail(
            AVENC_E_INVALID, __func__,
            "the NAL unit is no parameter set that can tell it: give H.264's SPS, H.265's SPS, or its VPS for "
            "the frame rate");
    *written = change(rule, vui, nal, size, to, room);
    if (!*written)
        return avi_fail(AVENC_E_INVALID, __func__,
                        "the syntax of the parameter set is not known: it is damaged, or longer than %d bytes",
                        AVI_PARAMETER_SET_SIZE);
    return AVENC_OK;
}
