// SPDX-License-Identifier: Apache-2.0
/* ITU-T H.264 and H.265: 7.3.2.3, 7.3.5 (sei_message) and annex D. */
#include "avenc.h"
#include "base/status.h"
#include "bitstream/bits.h"

#include <string.h>

/* ---- reading ----------------------------------------------------------------------------------- */

size_t avenc_unescape(const uint8_t *nal, size_t size, uint8_t *to) {
    return avi_unescape(nal, size, to, size);
}

/* A number of any size: 255 for each byte ff, and the one behind them. */
static bool read_number(const uint8_t *rbsp, size_t end, size_t *at, uint32_t *number) {
    uint32_t sum = 0;
    while (*at < end && rbsp[*at] == 0xff && sum <= UINT32_MAX - 2 * 255) {
        sum += 255;
        ++*at;
    }
    if (*at >= end || rbsp[*at] == 0xff)
        return false;
    *number = sum + rbsp[(*at)++];
    return true;
}

int avenc_next_sei(const uint8_t *rbsp, size_t size, size_t *position, avenc_sei *message) {
    uint32_t type = 0, length = 0;
    size_t at = *position, end = size;
    if (at > size)
        return avi_fail(AVENC_E_INVALID, __func__, "position is %zu, behind the end", at);
    while (end > at && rbsp[end - 1] == 0)
        end--;
    if (end == at || rbsp[end - 1] != 0x80)
        return avi_fail(AVENC_E_INVALID, __func__, "the SEI has no stop bit: it is damaged, or was cut");
    if (--end == at)
        return 0;
    if (!read_number(rbsp, end, &at, &type) || !read_number(rbsp, end, &at, &length))
        return avi_fail(AVENC_E_INVALID, __func__, "the SEI ends within a message: it is damaged");
    if (length > end - at)
        return avi_fail(AVENC_E_INVALID, __func__,
                        "a message of type %u claims %u bytes, and the SEI has %zu left: it is damaged", type, length,
                        end - at);
    *message = (avenc_sei){.type = type, .payload = rbsp + at, .size = length};
    *position = at + length;
    return 1;
}

int avenc_recovery_point_get(int32_t en_type, const uint8_t *payload, size_t size, avenc_recovery_point *point) {
    avi_bits bits = {.from = payload, .end = 8 * size};
    uint32_t count = avi_bits_read_ue(&bits);
    avenc_recovery_point found = {.count = (int32_t)count};
    if (en_type == H265_MAIN_LEVEL) /* recovery_poc_cnt is signed */
        found.count = count & 1 ? (int32_t)(count / 2 + 1) : -(int32_t)(count / 2);
    found.exact_match = avi_bits_read(&bits, 1) != 0;
    found.broken_link = avi_bits_read(&bits, 1) != 0;
    if (en_type != H265_MAIN_LEVEL)
        avi_bits_read(&bits, 2); /* changing_slice_group_idc */
    if (bits.over || count > INT32_MAX)
        return avi_fail(AVENC_E_INVALID, __func__, "the recovery point has %zu bytes, and ends within a field", size);
    *point = found;
    return AVENC_OK;
}

/* ---- writing ----------------------------------------------------------------------------------- */

int avenc_recovery_point_put(int32_t en_type, const avenc_recovery_point *point, uint8_t to[AVENC_RECOVERY_POINT_SIZE],
                             size_t *size) {
    int32_t count = point->count, least = en_type == H265_MAIN_LEVEL ? -32768 : 0;
    int32_t most = en_type == H265_MAIN_LEVEL ? 32767 : 65535;
    if (count < least || count > most)
        return avi_fail(AVENC_E_INVALID, __func__, "the recovery point's count is %d, allowed is %d to %d", count,
                        least, most);
    memset(to, 0, AVENC_RECOVERY_POINT_SIZE);
    avi_bits bits = {.to = to, .room = 8 * AVENC_RECOVERY_POINT_SIZE};
    uint32_t code = (uint32_t)count;
    if (en_type == H265_MAIN_LEVEL)
        code = count > 0 ? 2 * (uint32_t)count - 1 : 2 * (uint32_t)-count;
    avi_bits_write_ue(&bits, code);
    avi_bits_write(&bits, point->exact_match != 0, 1);
    avi_bits_write(&bits, point->broken_link != 0, 1);
    if (en_type != H265_MAIN_LEVEL)
        avi_bits_write(&bits, 0, 2); /* changing_slice_group_idc */
    if (bits.put % 8)
        avi_bits_write(&bits, 1, 1); /* bit_equal_to_one, and zeros */
    *size = (bits.put + 7) / 8;
    return AVENC_OK;
}

/* Writes with emulation prevention; what there is no room for is counted and not written. */
typedef struct escaping {
    uint8_t *to;
    size_t room, put;
    unsigned zeros;
} escaping;

static inline void put_plain(escaping *out, uint8_t byte) {
    if (out->put < out->room)
        out->to[out->put] = byte;
    out->put++;
}

static void put_bytes(escaping *out, const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (out->zeros >= 2 && bytes[i] <= 3) {
            put_plain(out, 3);
            out->zeros = 0;
        }
        put_plain(out, bytes[i]);
        out->zeros = bytes[i] ? 0 : out->zeros + 1;
    }
}

static void put_number(escaping *out, size_t number) {
    static const uint8_t more = 0xff;
    for (; number >= 255; number -= 255)
        put_bytes(out, &more, 1);
    put_bytes(out, &(uint8_t){(uint8_t)number}, 1);
}

int avenc_sei_put(int32_t en_type, const avenc_sei *messages, size_t count, uint8_t *to, size_t room, size_t *written) {
    static const uint8_t start_h264[] = {0, 0, 0, 1, 6}, start_h265[] = {0, 0, 0, 1, 39 << 1, 1}, stop = 0x80;
    const uint8_t *start = en_type == H265_MAIN_LEVEL ? start_h265 : start_h264;
    size_t start_size = en_type == H265_MAIN_LEVEL ? sizeof start_h265 : sizeof start_h264;
    escaping out = {.to = to, .room = to ? room : 0};
    for (size_t i = 0; i < start_size; i++)
        put_plain(&out, start[i]);
    for (size_t i = 0; i < count; i++) {
        put_number(&out, messages[i].type);
        put_number(&out, messages[i].size);
        put_bytes(&out, messages[i].payload, messages[i].size);
    }
    put_bytes(&out, &stop, 1);
    if (count == 0)
        return avi_fail(AVENC_E_INVALID, __func__, "an SEI has one message at least");
    if (to && out.put > room)
        return avi_fail(AVENC_E_INVALID, __func__, "the SEI takes %zu bytes, there is room for %zu", out.put, room);
    *written = out.put;
    return AVENC_OK;
}
