// SPDX-License-Identifier: Apache-2.0
/* ITU-T H.264 7.3.2.1 and annex E. */
#include "bitstream/vui_fields.h"

#include <string.h>

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

bool avi_h264_sps(avi_bits *bits, const avenc_vui *vui) {
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
        avi_vui_copy_ues(bits, 2);    /* bit depths */
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
        avi_bits_copy(bits, 1);    /* delta_pic_order_always_zero_flag */
        avi_vui_copy_ues(bits, 2); /* two offsets */
        uint32_t frames = avi_bits_copy_ue(bits);
        if (frames > 255)
            return false;
        avi_vui_copy_ues(bits, frames);
    }
    avi_bits_copy_ue(bits);      /* max_num_ref_frames */
    avi_bits_copy(bits, 1);      /* gaps_in_frame_num_value_allowed_flag */
    avi_vui_copy_ues(bits, 2);   /* size in macroblocks */
    if (!avi_bits_copy(bits, 1)) /* frame_mbs_only_flag */
        avi_bits_copy(bits, 1);  /* mb_adaptive_frame_field_flag */
    avi_bits_copy(bits, 1);      /* direct_8x8_inference_flag */
    if (avi_bits_copy(bits, 1))  /* frame_cropping_flag */
        avi_vui_copy_ues(bits, 4);
    bool there = avi_bits_read(bits, 1), timing, fixed;
    avi_bits_write(bits, 1, 1); /* vui_parameters_present_flag */
    avi_vui_put_common(bits, vui, there);
    bool had = avi_vui_put_timing(bits, vui, there, &timing);
    fixed = avi_vui_read_flag(bits, had);
    if (timing)
        avi_bits_write(bits, vui->tells & AVENC_VUI_FIXED_RATE ? vui->fixed_rate : fixed, 1);
    if (!there)
        avi_bits_write(bits, 0, 4); /* no HRDs, no pic_struct, no restrictions */
    return avi_bits_copy_rest(bits);
}

bool avi_h264_sps_format(avi_bits *bits, avi_format *format) {
    avi_bits_read(bits, 8);
    uint32_t profile_idc = avi_bits_read(bits, 8);
    avi_bits_read(bits, 16);
    avi_bits_read_ue(bits);
    *format = (avi_format){.chroma_format_idc = 1};
    if (has_chroma_format(profile_idc)) {
        format->chroma_format_idc = avi_bits_read_ue(bits);
        if (format->chroma_format_idc == 3)
            avi_bits_read(bits, 1);
        format->luma_minus8 = avi_bits_read_ue(bits);
        format->chroma_minus8 = avi_bits_read_ue(bits);
    }
    return !bits->over && format->chroma_format_idc <= 3;
}
