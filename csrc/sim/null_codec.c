// SPDX-License-Identifier: Apache-2.0
/* Canned access units: parameter sets and slice headers with right syntax, then filling. No picture in them, but its mark. */
#include "sim.h"

#include <stdio.h>
#include <string.h>

typedef struct bit_writer {
    uint8_t *to;
    size_t size, capacity;
    uint32_t cache;
    unsigned bits; /* in the cache */
} bit_writer;

static void put_bits(bit_writer *w, unsigned count, uint32_t value) {
    while (count-- != 0) {
        w->cache = w->cache << 1 | (value >> count & 1);
        if (++w->bits < 8)
            continue;
        /* emulation prevention */
        if ((w->cache & 0xff) <= 3 && w->size >= 2 && w->to[w->size - 1] == 0 && w->to[w->size - 2] == 0 &&
            w->size < w->capacity)
            w->to[w->size++] = 3;
        if (w->size < w->capacity)
            w->to[w->size++] = (uint8_t)w->cache;
        w->cache = 0;
        w->bits = 0;
    }
}

static void put_ue(bit_writer *w, uint32_t value) {
    unsigned length = 32 - (unsigned)__builtin_clz(value + 1);
    put_bits(w, length - 1, 0);
    put_bits(w, length, value + 1);
}

static void put_se(bit_writer *w, int32_t value) {
    put_ue(w, value > 0 ? 2 * (uint32_t)value - 1 : 2 * (uint32_t)-value);
}

static void start_nal(bit_writer *w, unsigned header_bytes, uint32_t header) {
    static const uint8_t start_code[] = {0, 0, 0, 1};
    if (w->size + sizeof start_code <= w->capacity)
        memcpy(w->to + w->size, start_code, sizeof start_code);
    w->size += sizeof start_code;
    put_bits(w, header_bytes * 8, header);
}

static void end_nal(bit_writer *w) {
    put_bits(w, 1, 1);
    while (w->bits != 0)
        put_bits(w, 1, 0);
}

/* ---- H.264 --------------------------------------------------------------------------------------------- */

static void h264_parameter_sets(bit_writer *w, acldvppStreamFormat en_type, uint32_t width, uint32_t height) {
    uint32_t mbs_wide = (width + 15) / 16, mbs_high = (height + 15) / 16;
    uint32_t profile = en_type == H264_BASELINE_LEVEL ? 66 : en_type == H264_MAIN_LEVEL ? 77 : 100;
    start_nal(w, 1, 0x67);
    put_bits(w, 8, profile);
    put_bits(w, 8, profile == 66 ? 0xc0 : 0);
    put_bits(w, 8, 52); /* level 5.2 */
    put_ue(w, 0);       /* sps id */
    if (profile == 100) {
        put_ue(w, 1); /* 4:2:0 */
        put_ue(w, 0);
        put_ue(w, 0);
        put_bits(w, 2, 0);
    }
    put_ue(w, 0); /* log2_max_frame_num - 4 */
    put_ue(w, 2); /* pic_order_cnt_type */
    put_ue(w, 1); /* reference frames */
    put_bits(w, 1, 0);
    put_ue(w, mbs_wide - 1);
    put_ue(w, mbs_high - 1);
    put_bits(w, 1, 1); /* frames only */
    put_bits(w, 1, 1); /* direct 8x8 */
    bool cropped = width % 16 != 0 || height % 16 != 0;
    put_bits(w, 1, cropped);
    if (cropped) {
        put_ue(w, 0);
        put_ue(w, (mbs_wide * 16 - width) / 2);
        put_ue(w, 0);
        put_ue(w, (mbs_high * 16 - height) / 2);
    }
    put_bits(w, 1, 0); /* no vui */
    end_nal(w);

    start_nal(w, 1, 0x68);
    put_ue(w, 0);
    put_ue(w, 0);
    put_bits(w, 1, profile != 66); /* CABAC */
    put_bits(w, 1, 0);
    put_ue(w, 0);
    put_ue(w, 0);
    put_ue(w, 0);
    put_bits(w, 3, 0);
    put_se(w, 0);
    put_se(w, 0);
    put_se(w, 0);
    put_bits(w, 3, 0);
    end_nal(w);
}

static void h264_slice(bit_writer *w, bool idr, bool cabac) {
    start_nal(w, 1, idr ? 0x65 : 0x41);
    put_ue(w, 0);           /* first macroblock */
    put_ue(w, idr ? 7 : 5); /* I or P, all slices alike */
    put_ue(w, 0);           /* pps id */
    put_bits(w, 4, idr ? 0 : 1);
    if (idr) {
        put_ue(w, 0);      /* idr_pic_id */
        put_bits(w, 2, 0); /* dec_ref_pic_marking */
    } else {
        put_bits(w, 1, 0); /* num_ref_idx_active_override */
        put_bits(w, 1, 0); /* ref_pic_list_modification */
        put_bits(w, 1, 0); /* adaptive_ref_pic_marking */
        if (cabac)
            put_ue(w, 0);
    }
    put_se(w, 0); /* slice_qp_delta */
    end_nal(w);
}

/* ---- H.265 ---------------------------------------------------------------------------------------------- */

static void h265_profile_tier_level(bit_writer *w) {
    put_bits(w, 2, 0);
    put_bits(w, 1, 0);
    put_bits(w, 5, 1);            /* Main */
    put_bits(w, 32, 0x60000000u); /* compatible with 1 and 2 */
    put_bits(w, 4, 9);            /* progressive, frames only */
    put_bits(w, 32, 0);
    put_bits(w, 12, 0);
    put_bits(w, 8, 153); /* level 5.1 */
}

static void h265_parameter_sets(bit_writer *w, uint32_t width, uint32_t height) {
    uint32_t wide = (width + 7) / 8 * 8, high = (height + 7) / 8 * 8;
    start_nal(w, 2, 0x4001); /* VPS */
    put_bits(w, 4, 0);
    put_bits(w, 2, 3);
    put_bits(w, 6, 0);
    put_bits(w, 3, 0);
    put_bits(w, 1, 1);
    put_bits(w, 16, 0xffff);
    h265_profile_tier_level(w);
    put_bits(w, 1, 1);
    put_ue(w, 1); /* dec_pic_buffering - 1 */
    put_ue(w, 0);
    put_ue(w, 0);
    put_bits(w, 6, 0);
    put_ue(w, 0);
    put_bits(w, 1, 0);
    put_bits(w, 1, 0);
    end_nal(w);

    start_nal(w, 2, 0x4201); /* SPS */
    put_bits(w, 4, 0);
    put_bits(w, 3, 0);
    put_bits(w, 1, 1);
    h265_profile_tier_level(w);
    put_ue(w, 0);
    put_ue(w, 1); /* 4:2:0 */
    put_ue(w, wide);
    put_ue(w, high);
    bool cropped = wide != width || high != height;
    put_bits(w, 1, cropped);
    if (cropped) {
        put_ue(w, 0);
        put_ue(w, (wide - width) / 2);
        put_ue(w, 0);
        put_ue(w, (high - height) / 2);
    }
    put_ue(w, 0);
    put_ue(w, 0);
    put_ue(w, 4); /* log2_max_poc_lsb - 4 */
    put_bits(w, 1, 1);
    put_ue(w, 1);
    put_ue(w, 0);
    put_ue(w, 0);
    put_ue(w, 0); /* min coding block 8 */
    put_ue(w, 3); /* coding tree block 64 */
    put_ue(w, 0); /* min transform 4 */
    put_ue(w, 3); /* max transform 32 */
    put_ue(w, 0);
    put_ue(w, 0);
    put_bits(w, 4, 0); /* scaling lists, amp, sao, pcm: none */
    put_ue(w, 1);      /* one short-term reference picture set: the picture before */
    put_ue(w, 1);
    put_ue(w, 0);
    put_ue(w, 0);
    put_bits(w, 1, 1);
    put_bits(w, 5, 0); /* long-term, temporal mvp, intra smoothing, vui, extension: none */
    end_nal(w);

    start_nal(w, 2, 0x4401); /* PPS */
    put_ue(w, 0);
    put_ue(w, 0);
    put_bits(w, 7, 0);
    put_ue(w, 0);
    put_ue(w, 0);
    put_se(w, 0);
    put_bits(w, 3, 0);
    put_se(w, 0);
    put_se(w, 0);
    put_bits(w, 10, 0);
    put_ue(w, 0);
    put_bits(w, 2, 0);
    end_nal(w);
}

static void h265_slice(bit_writer *w, bool idr) {
    start_nal(w, 2, idr ? 0x2801 : 0x0201); /* IDR_N_LP or TRAIL_R */
    put_bits(w, 1, 1);                      /* first slice of the picture */
    if (idr)
        put_bits(w, 1, 0);
    put_ue(w, 0);           /* pps id */
    put_ue(w, idr ? 2 : 1); /* I or P */
    if (!idr) {
        put_bits(w, 8, 1); /* picture order count */
        put_bits(w, 1, 1); /* the reference picture set of the SPS */
        put_bits(w, 1, 0);
        put_ue(w, 0);
    }
    put_se(w, 0); /* slice_qp_delta */
    end_nal(w);
}

/* ------------------------------------------------------------------------------------------------------------ */

size_t sim_null_access_unit(uint8_t *to, size_t capacity, size_t size, acldvppStreamFormat en_type, uint32_t width,
                            uint32_t height, bool idr) {
    bit_writer w = {.to = to, .capacity = capacity};
    if (en_type == H265_MAIN_LEVEL) {
        if (idr)
            h265_parameter_sets(&w, width, height);
        h265_slice(&w, idr);
    } else {
        if (idr)
            h264_parameter_sets(&w, en_type, width, height);
        h264_slice(&w, idr, en_type != H264_BASELINE_LEVEL);
    }
    if (size > capacity)
        size = capacity;
    if (w.size < size) {
        memset(to + w.size, 0xa5, size - w.size); /* slice data: no start code in it */
        w.size = size;
    }
    return w.size;
}

static void adler32(uint32_t sums[2], const uint8_t *data, size_t size) {
    enum { PRIME = 65521, MOST = 5552 /* bytes after which the second sum might overflow */ };
    while (size != 0) {
        size_t count = size < MOST ? size : MOST;
        size -= count;
        while (count-- != 0) {
            sums[0] += *data++;
            sums[1] += sums[0];
        }
        sums[0] %= PRIME;
        sums[1] %= PRIME;
    }
}

/* Hexadecimal characters: no start code can come of a picture. */
void sim_mark(uint8_t *to, const uint8_t *y, const uint8_t *uv, size_t stride, uint32_t width, uint32_t height) {
    uint32_t sums[2] = {1, 0};
    char text[SIM_MARK_SIZE + 1];
    for (uint32_t row = 0; row < height; row++)
        adler32(sums, y + row * stride, width);
    for (uint32_t row = 0; row < height / 2; row++)
        adler32(sums, uv + row * stride, width);
    snprintf(text, sizeof text, "AVWM%04x%04x%08x%02x%02x%02x%02x%02x%02x%02x%02x", width & 0xffff, height & 0xffff,
             sums[1] << 16 | sums[0], y[0], y[1], y[2], y[3], y[4], y[5], y[6], y[7]);
    memcpy(to, text, SIM_MARK_SIZE);
}

void sim_filler(uint8_t *to, size_t size, acldvppStreamFormat en_type) {
    static const uint8_t start_code[] = {0, 0, 0, 1};
    size_t used = sizeof start_code;
    memcpy(to, start_code, used);
    to[used++] = en_type == H265_MAIN_LEVEL ? 0x4c : 0x0c;
    if (en_type == H265_MAIN_LEVEL)
        to[used++] = 1;
    if (size > used)
        memset(to + used, 0xff, size - used);
    to[size - 1] = 0x80;
}
