// SPDX-License-Identifier: Apache-2.0
/* The kind of an access unit, from ITU-T H.264 7.3 and H.265 7.3: just enough syntax to reach slice_type. */
#define _DEFAULT_SOURCE
#include "bitstream/access_unit.h"

#include <endian.h>
#include <string.h>

/*
 * The first 64 bits of a header, the next one on top; beyond its end every bit reads as 0. What is read of slice headers
 * and parameter sets takes 40 at most.
 */
typedef uint64_t bit_reader;

static bit_reader begin(const uint8_t *data, size_t size) {
    bit_reader bits = 0;
    if (size >= sizeof bits)
        memcpy(&bits, data, sizeof bits);
    else
        memcpy(&bits, data, size);
    return be64toh(bits);
}

/* 1 to 31 bits. */
static inline uint32_t read_bits(bit_reader *reader, unsigned count) {
    uint32_t value = (uint32_t)(*reader >> (64 - count));
    *reader <<= count;
    return value;
}

/* ue(v). UINT32_MAX of what is none. */
static inline uint32_t read_ue(bit_reader *reader) {
    unsigned zeros = (unsigned)__builtin_clzll(*reader | 1);
    if (zeros > 31)
        return UINT32_MAX;
    uint32_t value = (uint32_t)(*reader >> (63 - 2 * zeros)) - 1;
    *reader <<= 2 * zeros + 1;
    return value;
}

const uint8_t *avi_next_nal(const uint8_t *from, const uint8_t *end) {
    while (end - from >= 4) {
        const uint8_t *one = memchr(from + 2, 1, (size_t)(end - from) - 3);
        if (!one)
            return end;
        if (one[-1] == 0 && one[-2] == 0)
            return one + 1;
        from = one - 1;
    }
    return end;
}

static int kind_of_slice_type(uint32_t slice_type, uint32_t p, uint32_t b, uint32_t i) {
    if (slice_type == p)
        return AVENC_KIND_P;
    if (slice_type == i)
        return AVENC_KIND_I;
    return slice_type == b ? AVENC_KIND_B : AVENC_KIND_UNKNOWN;
}

static int h264_nal(const uint8_t *nal, size_t size) {
    unsigned type = nal[0] & 0x1f;
    if (type == 5)
        return AVENC_KIND_IDR;
    if (type != 1)
        return -1;
    bit_reader reader = begin(nal + 1, size - 1);
    read_ue(&reader); /* first_mb_in_slice */
    uint32_t slice_type = read_ue(&reader);
    return slice_type > 9 ? AVENC_KIND_UNKNOWN : kind_of_slice_type(slice_type % 5, 0, 1, 2);
}

static int hevc_nal(avi_parameter_sets *sets, const uint8_t *nal, size_t size) {
    unsigned type = (nal[0] >> 1) & 0x3f;
    if (size < 3)
        return -1;
    bit_reader reader = begin(nal + 2, size - 2);
    if (type == 34) {          /* PPS */
        read_ue(&reader);      /* pps_pic_parameter_set_id */
        read_ue(&reader);      /* pps_seq_parameter_set_id */
        read_bits(&reader, 2); /* dependent_slice_segments_enabled_flag, output_flag_present_flag */
        sets->hevc_extra_slice_header_bits = read_bits(&reader, 3);
        return -1;
    }
    if (type > 31)
        return -1;
    if (type == 19 || type == 20)
        return AVENC_KIND_IDR;
    if (read_bits(&reader, 1) == 0) /* first_slice_segment_in_pic_flag: the rest starts with an address */
        return AVENC_KIND_UNKNOWN;
    if (type >= 16 && type <= 23)
        read_bits(&reader, 1); /* no_output_of_prior_pics_flag */
    read_ue(&reader);          /* slice_pic_parameter_set_id */
    if (sets->hevc_extra_slice_header_bits)
        read_bits(&reader, sets->hevc_extra_slice_header_bits);
    return kind_of_slice_type(read_ue(&reader), 1, 0, 2);
}

int avi_access_unit_kind(avi_parameter_sets *sets, int32_t en_type, const uint8_t *data, size_t size) {
    const uint8_t *end = data + size;
    for (const uint8_t *nal = avi_next_nal(data, end); nal < end; nal = avi_next_nal(nal, end)) {
        size_t left = (size_t)(end - nal);
        int kind = en_type == H265_MAIN_LEVEL ? hevc_nal(sets, nal, left) : h264_nal(nal, left);
        if (kind >= 0)
            return kind;
    }
    return AVENC_KIND_UNKNOWN;
}

int avenc_next_nal(const uint8_t *data, size_t size, size_t *position, size_t *start, size_t *length) {
    if (!data || *position >= size)
        return 0;
    const uint8_t *end = data + size, *nal = avi_next_nal(data + *position, end);
    if (nal == end)
        return 0;
    const uint8_t *stop = avi_next_nal(nal, end);
    *position = (size_t)(stop - data) - (stop == end ? 0 : 3);
    const uint8_t *last = data + *position;
    if (stop == end && end - nal >= 3 && end[-1] == 1 && end[-2] == 0 && end[-3] == 0) /* and nothing behind it */
        last -= 3;
    while (last > nal && last[-1] == 0) /* trailing_zero_8bits, or the zero_byte of the next start code */
        last--;
    *start = (size_t)(nal - data);
    *length = (size_t)(last - nal);
    return 1;
}
