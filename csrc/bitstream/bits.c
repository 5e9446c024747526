// SPDX-License-Identifier: Apache-2.0
#include "bitstream/bits.h"

#include <string.h>

uint32_t avi_bits_read(avi_bits *bits, unsigned count) {
    if (bits->over || bits->end - bits->at < count) {
        bits->over = true;
        return 0;
    }
    uint64_t value = 0;
    unsigned left = count;
    while (left) {
        unsigned offset = bits->at & 7, here = 8 - offset < left ? 8 - offset : left;
        unsigned byte = bits->from[bits->at >> 3];
        value = value << here | (byte >> (8 - offset - here) & ((1u << here) - 1));
        bits->at += here;
        left -= here;
    }
    return (uint32_t)value;
}

void avi_bits_write(avi_bits *bits, uint32_t value, unsigned count) {
    if (bits->over || bits->room - bits->put < count) {
        bits->over = true;
        return;
    }
    while (count) {
        unsigned offset = bits->put & 7, here = 8 - offset < count ? 8 - offset : count;
        unsigned part = value >> (count - here) & ((1u << here) - 1);
        bits->to[bits->put >> 3] |= (uint8_t)(part << (8 - offset - here));
        bits->put += here;
        count -= here;
    }
}

uint32_t avi_bits_read_ue(avi_bits *bits) {
    unsigned zeros = 0;
    while (!bits->over && avi_bits_read(bits, 1) == 0)
        if (++zeros > 31) { /* no syntax element of a parameter set is as large */
            bits->over = true;
            return 0;
        }
    return (uint32_t)((1ull << zeros) - 1 + avi_bits_read(bits, zeros));
}

void avi_bits_write_ue(avi_bits *bits, uint32_t value) {
    unsigned zeros = 31 - (unsigned)__builtin_clz(value + 1);
    avi_bits_write(bits, 0, zeros);
    avi_bits_write(bits, value + 1, zeros + 1);
}

uint32_t avi_bits_copy(avi_bits *bits, unsigned count) {
    uint32_t value = avi_bits_read(bits, count);
    avi_bits_write(bits, value, count);
    return value;
}

uint32_t avi_bits_copy_ue(avi_bits *bits) {
    uint32_t value = avi_bits_read_ue(bits);
    if (!bits->over)
        avi_bits_write_ue(bits, value);
    return value;
}

int32_t avi_bits_copy_se(avi_bits *bits) {
    uint32_t code = avi_bits_copy_ue(bits);
    return code & 1 ? (int32_t)(code / 2 + 1) : -(int32_t)(code / 2);
}

void avi_bits_skip_copying(avi_bits *bits, size_t count) {
    for (; count >= 32 && !bits->over; count -= 32)
        avi_bits_copy(bits, 32);
    if (!bits->over)
        avi_bits_copy(bits, (unsigned)count);
}

bool avi_bits_copy_rest(avi_bits *bits) {
    size_t stop = bits->end;
    while (stop > bits->at && !(bits->from[(stop - 1) >> 3] >> (7 - ((stop - 1) & 7)) & 1))
        stop--;
    if (bits->over || stop == bits->at)
        return false;
    avi_bits_skip_copying(bits, stop - bits->at);
    return !bits->over;
}

size_t avi_unescape(const uint8_t *nal, size_t size, uint8_t *rbsp, size_t room) {
    size_t written = 0;
    unsigned zeros = 0;
    for (size_t i = 0; i < size; i++) {
        if (zeros >= 2 && nal[i] == 3) {
            zeros = 0;
            continue;
        }
        if (written == room)
            return 0;
        rbsp[written++] = nal[i];
        zeros = nal[i] ? 0 : zeros + 1;
    }
    return written;
}

size_t avi_escape(const uint8_t *rbsp, size_t size, uint8_t *nal, size_t room) {
    size_t written = 0;
    unsigned zeros = 0;
    for (size_t i = 0; i < size; i++) {
        bool escape = zeros >= 2 && rbsp[i] <= 3;
        if (room - written < 1u + escape)
            return 0;
        if (escape) {
            nal[written++] = 3;
            zeros = 0;
        }
        nal[written++] = rbsp[i];
        zeros = rbsp[i] ? 0 : zeros + 1;
    }
    return written;
}
