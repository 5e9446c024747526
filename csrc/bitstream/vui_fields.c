// SPDX-License-Identifier: Apache-2.0
#include "bitstream/vui_fields.h"

/* A flag of a VUI that may not be there: then it is 0. */
bool avi_vui_read_flag(avi_bits *bits, bool there) {
    return there && avi_bits_read(bits, 1);
}

bool avi_vui_copy_flag(avi_bits *bits, bool there) {
    bool flag = avi_vui_read_flag(bits, there);
    avi_bits_write(bits, flag, 1);
    return flag;
}

void avi_vui_copy_ues(avi_bits *bits, unsigned count) {
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
    bool present = avi_vui_read_flag(bits, there);
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
    bool present = avi_vui_read_flag(bits, there), described = false;
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
void avi_vui_put_common(avi_bits *bits, const avenc_vui *vui, bool there) {
    put_shape(bits, vui, there);
    if (avi_vui_copy_flag(bits, there)) /* overscan_info_present_flag */
        avi_bits_copy(bits, 1);
    put_color(bits, vui, there);
    if (avi_vui_copy_flag(bits, there)) /* chroma_loc_info_present_flag */
        avi_vui_copy_ues(bits, 2);
}

/* num_units_in_tick and time_scale behind their flag. Returns whether they were there before. */
bool avi_vui_put_timing(avi_bits *bits, const avenc_vui *vui, bool there, bool *present) {
    bool had = avi_vui_read_flag(bits, there);
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
