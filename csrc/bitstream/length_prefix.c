// SPDX-License-Identifier: Apache-2.0
/* NAL units with start codes (annex B), and with their lengths in front (ISO/IEC 14496-15, 5.3.4.2). */
#include "avenc.h"
#include "base/status.h"

#include <stdbool.h>
#include <string.h>

/* Whether a NAL unit is one that a decoder's configuration record has. */
static bool in_record(int32_t en_type, const uint8_t *nal) {
    unsigned type = en_type == H265_MAIN_LEVEL ? nal[0] >> 1 & 63 : nal[0] & 31;
    return en_type == H265_MAIN_LEVEL ? type >= 32 && type <= 34 : type == 7 || type == 8 || type == 13;
}

int avenc_to_length_prefixed(int32_t en_type, const uint8_t *data, size_t size, uint32_t length_size,
                             int parameter_sets, uint8_t *to, size_t room, size_t *written) {
    size_t position = 0, start = 0, length = 0, put = 0;
    if (length_size != 1 && length_size != 2 && length_size != 4)
        return avi_fail(AVENC_E_INVALID, __func__, "length_size is %u, allowed is 1, 2 or 4", length_size);
    while (avenc_next_nal(data, size, &position, &start, &length)) {
        if (length == 0 || (!parameter_sets && in_record(en_type, data + start)))
            continue;
        if ((uint64_t)length >> 8 * length_size)
            return avi_fail(AVENC_E_INVALID, __func__, "a NAL unit has %zu bytes, which %u bytes of length cannot say",
                            length, length_size);
        if (to && (put > room || room - put < length + length_size))
            return avi_fail(AVENC_E_INVALID, __func__, "there is room for %zu bytes only", room);
        for (uint32_t i = 0; to && i < length_size; i++)
            to[put + i] = (uint8_t)(length >> 8 * (length_size - 1 - i));
        if (to)
            memcpy(to + put + length_size, data + start, length);
        put += length + length_size;
    }
    *written = put;
    return AVENC_OK;
}

int avenc_to_annex_b(const uint8_t *data, size_t size, uint32_t length_size, uint8_t *to, size_t room,
                     size_t *written) {
    static const uint8_t start_code[] = {0, 0, 0, 1};
    size_t at = 0, put = 0;
    if (length_size != 1 && length_size != 2 && length_size != 4)
        return avi_fail(AVENC_E_INVALID, __func__, "length_size is %u, allowed is 1, 2 or 4", length_size);
    while (at < size) {
        size_t length = 0, begin = at;
        for (uint32_t i = 0; i < length_size && at < size; i++)
            length = length << 8 | data[at++];
        if (at - begin < length_size || length > size - at)
            return avi_fail(AVENC_E_INVALID, __func__,
                            "at byte %zu a NAL unit of %zu bytes is announced, and %zu are left: it is damaged, or has "
                            "another length_size",
                            begin, length, size - at);
        if (length == 0)
            continue;
        if (to && (put > room || room - put < length + sizeof start_code))
            return avi_fail(AVENC_E_INVALID, __func__, "there is room for %zu bytes only", room);
        if (to) {
            memcpy(to + put, start_code, sizeof start_code);
            memcpy(to + put + sizeof start_code, data + at, length);
        }
        put += length + sizeof start_code;
        at += length;
    }
    *written = put;
    return AVENC_OK;
}
