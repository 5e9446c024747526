// SPDX-License-Identifier: Apache-2.0
/*
 * Damaged parameter sets, SEI and access units through what reads, writes and changes them. argv: rounds, seed, files to begin with, each
 * an access unit: its first byte says the codec ('4' or '5'). Meant for a build with the address sanitizer: every input
 * lies at the end of a block of its own.
 */
#define _GNU_SOURCE
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitstream/access_unit.h"
#include "bitstream/insertion.h"
#include "bitstream/vui.h"

enum { MOST_SEEDS = 64, MOST_BYTES = 4096 };

static struct {
    int32_t en_type;
    size_t size;
    uint8_t data[MOST_BYTES];
} seeds[MOST_SEEDS];

static uint64_t state;

static uint32_t random_below(uint32_t limit) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 16) % limit;
}

static void fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    abort();
}

static size_t damage(uint8_t *data, size_t size) {
    for (uint32_t times = random_below(5); times > 0 && size > 1; times--) {
        size_t at = random_below((uint32_t)size);
        switch (random_below(5)) {
        case 0:
            data[at] ^= (uint8_t)(1u << random_below(8));
            break;
        case 1:
            data[at] = (uint8_t)random_below(256);
            break;
        case 2: /* many zeros: long codes */
            memset(data + at, 0, 1 + random_below((uint32_t)(size - at)));
            break;
        case 3:
            size = at + 1;
            break;
        default: /* one byte out */
            memmove(data + at, data + at + 1, --size - at);
        }
    }
    return size;
}

static avenc_vui random_vui(void) {
    return (avenc_vui){.tells = random_below(128),
                       .primaries = (uint8_t)random_below(256),
                       .full_range = random_below(2),
                       .fixed_rate = random_below(2),
                       .sar_width = (uint16_t)(1 + random_below(65535)),
                       .sar_height = (uint16_t)(1 + random_below(65535)),
                       .units_in_tick = random_below(3),
                       .time_scale = random_below(UINT32_MAX)};
}

/* As the engine does it: with room in front, and nothing behind. */
static void access_unit(const avenc_vui *vui, int32_t en_type, const uint8_t *data, size_t size) {
    uint8_t *memory = malloc(AVI_VUI_ROOM + size);
    uint32_t left_out = 0;
    size_t now = size;
    avi_parameter_sets sets = {0};
    memcpy(memory + AVI_VUI_ROOM, data, size);
    int kind = avi_access_unit_kind(&sets, en_type, memory + AVI_VUI_ROOM, size);
    static avi_vui_last last;
    uint8_t *begin = avi_vui_put(&last, vui, en_type, memory + AVI_VUI_ROOM, &now, &left_out);
    if (begin < memory || begin + now != memory + AVI_VUI_ROOM + size)
        fail("the access unit does not end where it ended");
    /* The same again takes the shorter way, to the same bytes. */
    uint8_t *again = malloc(AVI_VUI_ROOM + size);
    size_t size_again = size;
    memcpy(again + AVI_VUI_ROOM, data, size);
    uint8_t *begin_again = avi_vui_put(&last, vui, en_type, again + AVI_VUI_ROOM, &size_again, &left_out);
    if (size_again != now || memcmp(begin_again, begin, now) != 0)
        fail("the second time it became something else");
    free(again);
    memset(&sets, 0, sizeof sets);
    if (avi_access_unit_kind(&sets, en_type, begin, now) != kind)
        fail("the access unit is of another kind now");
    free(memory);
}

static void parameter_sets(const avenc_vui *vui, int32_t en_type, const uint8_t *data, size_t size) {
    size_t position = 0, start, length;
    while (avenc_next_nal(data, size, &position, &start, &length)) {
        size_t room = random_below(4) ? length + 128 : random_below((uint32_t)length + 1), written = 0;
        uint8_t *to = malloc(room ? room : 1);
        int rc = avenc_vui_put(vui, en_type, data + start, length, to, room, &written);
        if (rc == AVENC_OK && (written == 0 || written > room))
            fail("more was written than there is room");
        for (size_t i = 2; rc == AVENC_OK && i < written; i++)
            if (to[i - 2] == 0 && to[i - 1] == 0 && to[i] < 3)
                fail("a start code was written into a NAL unit");
        free(to);
    }
}

enum { MOST_MESSAGES = 32 };

/* Messages that were read are written, and read again: the same. */
static void write_again(int32_t en_type, const avenc_sei *messages, size_t count) {
    size_t size = 0, written = 0, position = 0, again = 0;
    if (avenc_sei_put(en_type, messages, count, NULL, 0, &size) != AVENC_OK)
        fail("the messages cannot be written");
    uint8_t *unit = malloc(size), *rbsp = malloc(size);
    size_t less = random_below((uint32_t)size), header = en_type == H265_MAIN_LEVEL ? 6 : 5;
    if (avenc_sei_put(en_type, messages, count, unit, less, &written) == AVENC_OK)
        fail("more was written than there is room");
    if (avenc_sei_put(en_type, messages, count, unit, size, &written) != AVENC_OK || written != size)
        fail("what was measured is not what is written");
    for (size_t i = 6; i < size; i++)
        if (unit[i - 2] == 0 && unit[i - 1] == 0 && unit[i] < 3)
            fail("a start code was written into an SEI");
    size_t length = avenc_unescape(unit + header, size - header, rbsp);
    avenc_sei message;
    while (avenc_next_sei(rbsp, length, &position, &message) == 1) {
        if (again == count || message.type != messages[again].type || message.size != messages[again].size ||
            memcmp(message.payload, messages[again].payload, message.size) != 0)
            fail("a message became another one");
        again++;
    }
    if (again != count)
        fail("messages were lost");
    free(rbsp);
    free(unit);
}

/* Any NAL unit as if it were an SEI. */
static void sei(int32_t en_type, const uint8_t *data, size_t size) {
    size_t position = 0, start, length;
    while (avenc_next_nal(data, size, &position, &start, &length)) {
        size_t header = en_type == H265_MAIN_LEVEL ? 2 : 1, at = 0, count = 0;
        if (length <= header)
            continue;
        uint8_t *rbsp = malloc(length - header);
        size_t plain = avenc_unescape(data + start + header, length - header, rbsp);
        uint8_t *exact = malloc(plain ? plain : 1);
        memcpy(exact, rbsp, plain);
        avenc_sei messages[MOST_MESSAGES];
        while (count < MOST_MESSAGES && avenc_next_sei(exact, plain, &at, &messages[count]) == 1) {
            avenc_recovery_point point, again;
            uint8_t to[AVENC_RECOVERY_POINT_SIZE];
            size_t written;
            const avenc_sei *message = &messages[count++];
            if (avenc_recovery_point_get(en_type, message->payload, message->size, &point) == AVENC_OK &&
                avenc_recovery_point_put(en_type, &point, to, &written) == AVENC_OK &&
                (avenc_recovery_point_get(en_type, to, written, &again) != AVENC_OK || again.count != point.count ||
                 again.exact_match != point.exact_match || again.broken_link != point.broken_link))
                fail("a recovery point became another one");
        }
        if (count)
            write_again(en_type, messages, count);
        free(exact);
        free(rbsp);
    }
}

static size_t count_units(const uint8_t *data, size_t size) {
    size_t position = 0, start, length, count = 0;
    while (avenc_next_nal(data, size, &position, &start, &length))
        count += length > 0;
    return count;
}

/* Lengths in place of start codes, and back; then damaged, as lengths of any size. */
static void lengths(int32_t en_type, const uint8_t *data, size_t size) {
    static const uint32_t sizes[] = {1, 2, 4};
    uint32_t length_size = sizes[random_below(3)];
    size_t needed, written, back;
    if (avenc_to_length_prefixed(en_type, data, size, length_size, 1, NULL, 0, &needed) != AVENC_OK)
        return;
    uint8_t *prefixed = malloc(needed + 1);
    if (needed &&
        avenc_to_length_prefixed(en_type, data, size, length_size, 1, prefixed, needed - 1, &written) == AVENC_OK)
        fail("more was written than there is room");
    if (avenc_to_length_prefixed(en_type, data, size, length_size, 1, prefixed, needed, &written) != AVENC_OK ||
        written != needed || avenc_to_annex_b(prefixed, written, length_size, NULL, 0, &back) != AVENC_OK)
        fail("lengths cannot be written, or not be read back");
    uint8_t *annex_b = malloc(back + 1);
    if (avenc_to_annex_b(prefixed, written, length_size, annex_b, back, &written) != AVENC_OK || written != back ||
        count_units(annex_b, back) != count_units(data, size))
        fail("NAL units were lost");
    free(annex_b);
    free(prefixed);
    if (avenc_to_annex_b(data, size, length_size, NULL, 0, &needed) == AVENC_OK) {
        annex_b = malloc(needed + 1);
        if (avenc_to_annex_b(data, size, length_size, annex_b, needed, &written) != AVENC_OK || written != needed)
            fail("what was measured is not what is written");
        free(annex_b);
    }
}

static void read_record(int32_t en_type, const uint8_t *record, size_t size, bool whole) {
    uint32_t length_size = 0;
    size_t needed = 0, written = 0;
    if (avenc_description_get(en_type, record, size, NULL, 0, &needed, &length_size) != AVENC_OK) {
        if (whole)
            fail("a record that was written cannot be read");
        return;
    }
    if (length_size < 1 || length_size > 4 || (whole && length_size != 4))
        fail("a record has another length_size");
    uint8_t *annex_b = malloc(needed + 1);
    if (avenc_description_get(en_type, record, size, annex_b, needed, &written, &length_size) != AVENC_OK ||
        written != needed)
        fail("what was measured is not what is written");
    uint8_t *again = malloc(size + 1);
    if (whole && (avenc_description_put(en_type, annex_b, needed, 0, again, size, &written) != AVENC_OK ||
                  written != size || memcmp(again, record, size) != 0))
        fail("a record became another one");
    free(again);
    free(annex_b);
}

/* The record of an access unit; and, damaged, any data as one. */
static void records(int32_t en_type, const uint8_t *data, size_t size) {
    size_t needed, written;
    if (avenc_description_put(en_type, data, size, 0, NULL, 0, &needed) == AVENC_OK) {
        uint8_t *record = malloc(needed);
        if (avenc_description_put(en_type, data, size, 0, record, needed - 1, &written) == AVENC_OK)
            fail("more was written than there is room");
        if (avenc_description_put(en_type, data, size, 0, record, needed, &written) != AVENC_OK || written != needed)
            fail("what was measured is not what is written");
        read_record(en_type, record, needed, true);
        size_t left = damage(record, needed);
        uint8_t *damaged = malloc(left);
        memcpy(damaged, record, left);
        read_record(en_type, damaged, left, false);
        free(damaged);
        free(record);
    }
    read_record(en_type, data, size, false);
}

/* As the engine does it: the units at the beginning, room for them and a delimiter, and nothing behind the access unit. */
static void insertion(int32_t en_type, const uint8_t *data, size_t size) {
    uint8_t units[300] = {0, 0, 0, 1, en_type == H265_MAIN_LEVEL ? 0x4e : 6, 1};
    size_t length = 32 + random_below(sizeof units - 32), now = size;
    for (size_t i = 6; i < length; i++)
        units[i] = (uint8_t)(1 + random_below(255));
    uint8_t *memory = malloc(2 * length + AVI_AUD_ROOM + size), *begin = memory + 2 * length + AVI_AUD_ROOM;
    memcpy(memory, units, length);
    memcpy(begin, data, size);
    begin = avi_insert_before_slice(en_type, begin, &now, memory, length);
    const uint8_t *found = memmem(begin, now, units + 6, length - 6); /* behind the header, which may have changed */
    found = found ? found - 6 : NULL;
    if (memcmp(memory, units, length) != 0 || now != size + length || !found)
        fail("what was to be put into the access unit is not there");
    size_t before = (size_t)(found - begin);
    if (memcmp(begin, data, before) != 0 || memcmp(found + length, data + before, size - before) != 0)
        fail("the access unit is not what it was");
    size_t with = now;
    uint8_t *first = avi_insert_delimiter(en_type, (int)random_below(5), begin, &now);
    if (first < memory + length || first + now != begin + with || now - with > AVI_AUD_ROOM)
        fail("the delimiter is not in front");
    size_t again = now;
    if (avi_insert_delimiter(en_type, AVENC_KIND_P, first, &again) != first || again != now)
        fail("there are two delimiters");
    free(memory);
}

int main(int argc, char **argv) {
    if (argc < 4 || argc - 3 > MOST_SEEDS)
        return 2;
    unsigned long rounds = strtoul(argv[1], NULL, 10);
    state = 88172645463325252u + strtoul(argv[2], NULL, 10);
    uint32_t count = 0;
    for (int i = 3; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        if (!file)
            return 2;
        seeds[count].en_type = fgetc(file) == '5' ? H265_MAIN_LEVEL : H264_MAIN_LEVEL;
        seeds[count].size = fread(seeds[count].data, 1, MOST_BYTES, file);
        count += seeds[count].size > 4;
        fclose(file);
    }
    for (unsigned long round = 0; round < rounds; round++) {
        uint32_t which = random_below(count);
        size_t size = seeds[which].size;
        uint8_t data[MOST_BYTES];
        memcpy(data, seeds[which].data, size);
        size = damage(data, size);
        uint8_t *last = malloc(size); /* a read beyond it is found */
        memcpy(last, data, size);
        avenc_vui vui = random_vui();
        access_unit(&vui, seeds[which].en_type, last, size);
        parameter_sets(&vui, seeds[which].en_type, last, size);
        sei(seeds[which].en_type, last, size);
        insertion(seeds[which].en_type, last, size);
        lengths(seeds[which].en_type, last, size);
        records(seeds[which].en_type, last, size);
        free(last);
    }
    puts("ok");
    return 0;
}
