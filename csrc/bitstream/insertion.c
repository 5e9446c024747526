// SPDX-License-Identifier: Apache-2.0
/* ITU-T H.264 7.4.1.2.3, 7.3.2.4 and H.265 7.4.2.4.4, 7.4.2.2, 7.3.2.5: the order of NAL units, and delimiters. */
#include "bitstream/insertion.h"
#include "bitstream/access_unit.h"

#include <stdbool.h>
#include <string.h>

/* Of a slice, or what belongs to the one behind it: H.264's prefix NAL unit. */
static bool is_slice(int32_t en_type, uint8_t header) {
    unsigned type = en_type == H265_MAIN_LEVEL ? header >> 1 & 0x3f : header & 0x1f;
    return en_type == H265_MAIN_LEVEL ? type < 32 : (type >= 1 && type <= 5) || type == 14 || type == 20;
}

/* The header of the first slice, or `end`. */
static const uint8_t *first_slice(int32_t en_type, const uint8_t *data, const uint8_t *end) {
    const uint8_t *nal = avi_next_nal(data, end);
    while (nal < end && !is_slice(en_type, *nal))
        nal = avi_next_nal(nal, end);
    return nal;
}

/* Bytes in front of a slice's start code. */
static size_t before_slice(const uint8_t *data, const uint8_t *slice) {
    slice -= 3;
    while (slice > data && slice[-1] == 0) /* zero_byte, and what trails the unit before */
        slice--;
    return (size_t)(slice - data);
}

/* nuh_temporal_id_plus1 of an access unit, whose first slice's header is at `slice`; 0: not told. H.264 has none. */
static uint8_t temporal_id(int32_t en_type, const uint8_t *slice, const uint8_t *end) {
    return en_type == H265_MAIN_LEVEL && end - slice >= 2 ? slice[1] & 7 : 0;
}

uint8_t *avi_insert_before_slice(int32_t en_type, uint8_t *data, size_t *size, const uint8_t *units,
                                 size_t units_size) {
    const uint8_t *end = data + *size, *slice = first_slice(en_type, data, end);
    size_t before = slice < end ? before_slice(data, slice) : 0;
    uint8_t temporal = temporal_id(en_type, slice, end), *begin = data - units_size, *put = begin + before;
    memmove(begin, data, before);
    memcpy(put, units, units_size);
    *size += units_size;
    if (temporal) { /* what goes with a picture has its id */
        const uint8_t *over = put + units_size, *nal = put;
        while ((nal = avi_next_nal(nal, over)) < over && over - nal >= 2) {
            uint8_t *header = put + (nal - put);
            header[1] = (uint8_t)((header[1] & ~7) | temporal);
        }
    }
    return begin;
}

uint8_t *avi_insert_delimiter(int32_t en_type, int kind, uint8_t *data, size_t *size) {
    bool h265 = en_type == H265_MAIN_LEVEL;
    const uint8_t *end = data + *size, *nal = avi_next_nal(data, end);
    if (nal < end && (h265 ? (*nal >> 1 & 0x3f) == 35 : (*nal & 0x1f) == 9))
        return data;
    /* Which slices may be there: I; P, I; B, P, I. The kind is the first slice's: behind an I slice there may be P. */
    unsigned slices = kind == AVENC_KIND_IDR ? 0 : kind == AVENC_KIND_I || kind == AVENC_KIND_P ? 1 : 2;
    if (!h265 && kind == AVENC_KIND_UNKNOWN)
        slices = 7;
    uint8_t delimiter[AVI_AUD_ROOM] = {0, 0, 0, 1};
    size_t length = 4;
    delimiter[length++] = h265 ? 35 << 1 : 9;
    if (h265) {
        uint8_t temporal = temporal_id(en_type, first_slice(en_type, data, end), end);
        delimiter[length++] = temporal ? temporal : 1;
    }
    delimiter[length++] = (uint8_t)(slices << 5 | 0x10); /* and the stop bit */
    memcpy(data - length, delimiter, length);
    *size += length;
    return data - length;
}
