// SPDX-License-Identifier: Apache-2.0
/*
 * Damaged parameter sets and access units through what reads and changes them. argv: rounds, seed, files to begin with, each
 * an access unit: its first byte says the codec ('4' or '5'). Meant for a build with the address sanitizer: every input
 * lies at the end of a block of its own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitstream/access_unit.h"
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
        free(last);
    }
    puts("ok");
    return 0;
}
