// SPDX-License-Identifier: Apache-2.0
/* What frames bring along for their access units, and delimiters: in its place, on every way in, and gone with the frame. */
#include <string.h>

#include "channels.h"

static const loop_plan held = {.when = LOOP_HELD};

static avenc_channel *open_with(int32_t en_type, int aud, bool vui, uint32_t depth, uint32_t queue) {
    avenc_device *device = loop_open(0);
    avenc_channel_config config = config_of(depth, queue);
    config.en_type = en_type;
    config.aud = aud;
    if (vui)
        config.vui = (avenc_vui){
            .tells = AVENC_VUI_PRIMARIES | AVENC_VUI_TIMING, .primaries = 9, .units_in_tick = 1, .time_scale = 50};
    avenc_channel *channel = open_configured(device, &config, NULL);
    avenc_device_release(device);
    return channel;
}

/* An SEI NAL unit of `size` bytes that is another one for each stamp. */
static void fill_sei(uint8_t *to, size_t size, uint64_t stamp) {
    static const uint8_t start[] = {0, 0, 0, 1, 6, 201};
    memset(to, (int)(stamp % 100 + 4), size);
    memcpy(to, start, sizeof start);
}

static uint8_t unit_of_sei[AVENC_MAX_SEI + 1];

static avenc_submission with_sei(uint64_t stamp, size_t size) {
    avenc_submission frame = frame_of(stamp);
    fill_sei(unit_of_sei, sizeof unit_of_sei, stamp);
    frame.sei = unit_of_sei;
    frame.sei_size = size;
    return frame;
}

/* Takes the next packet: one of the port's own P pictures, with `size` bytes of SEI of that stamp in front. */
static void expect_sei(avenc_channel *channel, uint64_t stamp, size_t size) {
    static uint8_t wanted[AVENC_MAX_SEI];
    uint64_t found;
    avenc_packet *packet = take_packet(channel);
    CHECK(packet->status == AVENC_OK && packet->tag == stamp && packet->size == size + LOOP_HEAD + LOOP_STAMP);
    fill_sei(wanted, sizeof wanted, stamp);
    CHECK(memcmp(packet->data, wanted, size) == 0);
    memcpy(&found, packet->data + size + LOOP_HEAD, sizeof found);
    CHECK(found == stamp);
    avenc_packet_release(packet);
}

SCENARIO(every_way_in_brings_it_along_and_the_next_frame_has_none) {
    avenc_channel *channel = open_with(H264_MAIN_LEVEL, 0, false, 2, 4);
    uint64_t index, indices[3];
    size_t accepted;
    for (uint64_t stamp = 1; stamp < 60; stamp += 10) {
        size_t size = 6 + 7 * stamp;
        avenc_submission one = with_sei(stamp, size);
        CHECK(avenc_channel_submit(channel, &one, PATIENT, &index) == AVENC_OK);
        memset(unit_of_sei, 0, sizeof unit_of_sei); /* it was copied */
        expect_sei(channel, stamp, size);
        CHECK(submit(channel, stamp + 1) == AVENC_OK);
        expect(channel, stamp + 1);

        one = with_sei(stamp + 2, size);
        while (avenc_channel_enqueue(channel, &one, 1, 0, &index) == AVENC_E_AGAIN)
            CHECK(avenc_channel_wait_room(channel, 1, PATIENT) == AVENC_OK);
        memset(unit_of_sei, 0, sizeof unit_of_sei);
        expect_sei(channel, stamp + 2, size);
        CHECK(enqueue(channel, stamp + 3) == AVENC_OK);
        expect(channel, stamp + 3);

        static uint8_t pixels[SIZE];
        memcpy(pixels, &(uint64_t){stamp + 4}, sizeof stamp);
        avenc_submission many[3] = {with_sei(stamp + 4, size), with_sei(stamp + 4, 0), with_sei(stamp + 4, size)};
        for (int i = 0; i < 3; i++)
            many[i].picture.y = pixels;
        CHECK(avenc_channel_submit_many(channel, many, 3, PATIENT, indices, &accepted) == AVENC_OK && accepted == 3);
        expect_sei(channel, stamp + 4, size);
        expect(channel, stamp + 4);
        expect_sei(channel, stamp + 4, size);

        for (int queued = 0; queued < 2; queued++) {
            avenc_frame *frame = acquire(channel, stamp + 5);
            one = with_sei(stamp + 5, size);
            CHECK(avenc_frame_submit(frame, &one, queued ? AVENC_FRAME_QUEUE : 0, PATIENT, &index) == AVENC_OK);
            avenc_frame_release(frame);
            expect_sei(channel, stamp + 5, size);
        }

        static _Alignas(16) uint8_t memory[SIZE];
        memcpy(memory, &(uint64_t){stamp + 6}, sizeof stamp);
        avenc_device_picture picture = {memory, WIDTH, HEIGHT, NULL, 1};
        one = with_sei(stamp + 6, size);
        CHECK(avenc_channel_submit_device(channel, &picture, &one, PATIENT, &index) == AVENC_OK);
        expect_sei(channel, stamp + 6, size);
        CHECK(submit(channel, stamp + 7) == AVENC_OK);
        expect(channel, stamp + 7);
    }
    end_channel(channel);
}

SCENARIO(the_largest_fits_beside_the_largest_access_unit_and_one_byte_more_is_refused) {
    avenc_channel *channel = open_with(H264_MAIN_LEVEL, 1, true, 1, 1);
    uint64_t index = 77;
    loop_next(0, (loop_plan){.size = 256 * 1024});
    avenc_submission frame = with_sei(1, AVENC_MAX_SEI);
    CHECK(avenc_channel_submit(channel, &frame, PATIENT, &index) == AVENC_OK && index == 0);
    avenc_packet *packet = take_packet(channel);
    CHECK(packet->status == AVENC_OK && packet->size == 6 + 1 + AVENC_MAX_SEI + 256 * 1024 - 1);
    CHECK(memcmp(packet->data, (uint8_t[]){0, 0, 0, 1, 9, 0x30}, 6) == 0); /* P slices */
    CHECK(memcmp(packet->data + 6, unit_of_sei, AVENC_MAX_SEI) == 0);
    CHECK(memcmp(packet->data + 6 + AVENC_MAX_SEI, (uint8_t[]){0, 0, 0, 1, 0x41}, 5) == 0);
    avenc_packet_release(packet);

    frame = with_sei(2, AVENC_MAX_SEI + 1);
    CHECK(avenc_channel_submit(channel, &frame, PATIENT, &index) == AVENC_E_INVALID);
    CHECK(said("65537 bytes, allowed is up to 65536"));
    CHECK(avenc_channel_enqueue(channel, &frame, 1, 0, &index) == AVENC_E_INVALID && said("65537"));
    avenc_submission nothing = with_sei(2, 9);
    nothing.sei = NULL;
    CHECK(avenc_channel_submit(channel, &nothing, PATIENT, &index) == AVENC_E_INVALID);
    CHECK(said("sei is NULL, and sei_size 9"));
    CHECK(avenc_channel_enqueue(channel, &nothing, 1, 0, &index) == AVENC_E_INVALID && said("sei is NULL"));
    avenc_frame *held_frame = acquire(channel, 3);
    CHECK(avenc_frame_submit(held_frame, &nothing, 0, PATIENT, &index) == AVENC_E_INVALID && said("sei is NULL"));
    CHECK(avenc_frame_submit(held_frame, &frame, 0, PATIENT, &index) == AVENC_E_INVALID);
    avenc_submission plain = {.number_pts = 1, .tag = 3};
    CHECK(avenc_frame_submit(held_frame, &plain, 0, PATIENT, &index) == AVENC_OK && index == 1);
    avenc_frame_release(held_frame);
    packet = take_packet(channel);
    CHECK(packet->size == 6 + LOOP_HEAD + LOOP_STAMP && packet->tag == 3);
    avenc_packet_release(packet);
    CHECK(stats_of(channel).submitted == 2 && stats_of(channel).in_flight == 0);
    end_channel(channel);
}

/* ---- its place -------------------------------------------------------------------------------------- */

typedef struct place {
    int32_t en_type;
    bool key;
    uint8_t temporal;    /* nuh_temporal_id_plus1 */
    size_t before, size; /* bytes in front of the first slice */
    uint8_t unit[64];
} place;

/* clang-format off */
static const place places[] = {
    {H264_MAIN_LEVEL, true, 0, 22, 33, /* SPS, PPS, IDR */
     {0, 0, 0, 1, 0x67, 0x42, 0x00, 0x0b, 0xda, 0x08, 0x11, 0x90, 0, 0, 0, 1, 0x68, 0xee, 0x38, 0x80, 0x80, 0x80,
      0, 0, 1, 0x65, 0x88, 0x84, 0xc0, 0xa5, 0xa5, 0xa5, 0xa5}},
    {H264_MAIN_LEVEL, false, 0, 11, 21, /* a delimiter, an SEI of the device's, P with a longer start code */
     {0, 0, 0, 1, 0x09, 0x30, 0, 0, 1, 0x06, 0x80, 0, 0, 0, 1, 0x41, 0x9a, 0xa5, 0xa5, 0xa5, 0xa5}},
    {H264_MAIN_LEVEL, false, 0, 0, 9, {0, 0, 1, 0x41, 0x9a, 0xa5, 0xa5, 0xa5, 0xa5}},
    {H264_MAIN_LEVEL, false, 0, 0, 18, /* a prefix NAL unit belongs to the slice behind it */
     {0, 0, 0, 1, 0x6e, 0x40, 0x80, 0, 0, 1, 0x41, 0x9a, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5}},
    {H265_MAIN_LEVEL, true, 1, 14, 24, /* VPS and the like, IDR_W_RADL, twice: two slices */
     {0, 0, 0, 1, 0x40, 0x01, 0x0c, 0, 0, 1, 0x44, 0x01, 0xc1, 0x73, 0, 0, 1, 0x26, 0x01, 0xaf, 0, 0, 1, 0x26}},
    {H265_MAIN_LEVEL, false, 1, 7, 14, /* a delimiter */
     {0, 0, 0, 1, 0x46, 0x01, 0x30, 0, 0, 0, 1, 0x02, 0x01, 0xd0}},
    {H265_MAIN_LEVEL, false, 5, 0, 7, /* of a higher temporal layer: TSA_R */
     {0, 0, 0, 1, 0x06, 0x05, 0xd0}},
    {H264_MAIN_LEVEL, false, 0, 0, 5, {1, 2, 3, 4, 5}}, /* no NAL unit at all: in front */
};
/* clang-format on */

SCENARIO(it_goes_behind_what_is_in_front_of_the_first_slice) {
    enum { SEI = 50 };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        for (int aud = 0; aud < 2; aud++)
            for (int sei = 0; sei < 2; sei++) {
                const place *at = &places[i];
                bool h265 = at->en_type == H265_MAIN_LEVEL;
                avenc_channel *channel = open_with(at->en_type, aud, false, 1, 0);
                avenc_submission frame = with_sei(1, sei ? SEI : 0);
                uint64_t index;
                if (h265) /* two units */
                    memcpy(unit_of_sei, (uint8_t[]){0, 0, 0, 1, 0x4e, 1, 5, 5, 0, 0, 1, 0x4e, 1}, 13);
                loop_next(0, (loop_plan){.unit = at->unit, .size = at->size});
                CHECK(avenc_channel_submit(channel, &frame, PATIENT, &index) == AVENC_OK);
                avenc_packet *packet = take_packet(channel);
                const uint8_t *data = packet->data;
                CHECK((packet->kind == AVENC_KIND_IDR) == at->key && packet->en_type == at->en_type);
                bool there = at->unit[4] == (h265 ? 0x46 : 0x09);
                size_t delimiter = aud && !there ? (h265 ? 7 : 6) : 0;
                CHECK(packet->size == at->size + delimiter + (sei ? SEI : 0));
                if (delimiter) {
                    uint8_t last = at->key ? 0x10 : at->size == 5 ? 0xf0 : 0x30;
                    const uint8_t wanted[2][7] = {{0, 0, 0, 1, 9, last}, {0, 0, 0, 1, 0x46, at->temporal, last}};
                    CHECK(memcmp(data, wanted[h265], delimiter) == 0);
                }
                data += delimiter;
                CHECK(memcmp(data, at->unit, at->before) == 0);
                data += at->before;
                if (h265)
                    unit_of_sei[5] = unit_of_sei[12] = at->temporal;
                CHECK(!sei || memcmp(data, unit_of_sei, SEI) == 0);
                data += sei ? SEI : 0;
                CHECK(memcmp(data, at->unit + at->before, at->size - at->before) == 0);
                avenc_packet_release(packet);
                end_channel(channel);
            }
}

SCENARIO(it_goes_behind_parameter_sets_that_grow) {
    avenc_channel *channel = open_with(H264_MAIN_LEVEL, 1, true, 1, 0);
    const place *key = &places[0];
    enum { SPS = 8 };
    avenc_vui told = {
        .tells = AVENC_VUI_PRIMARIES | AVENC_VUI_TIMING, .primaries = 9, .units_in_tick = 1, .time_scale = 50};
    uint8_t wanted[128];
    size_t size, grown;
    uint64_t index;
    CHECK(avenc_vui_put(&told, H264_MAIN_LEVEL, key->unit + 4, SPS, wanted, sizeof wanted, &size) == AVENC_OK);
    grown = size - SPS;
    for (size_t sei = 0; sei <= 4000; sei = sei * 3 + 20) {
        loop_next(0, (loop_plan){.unit = key->unit, .size = key->size});
        avenc_submission frame = with_sei(1, sei);
        CHECK(avenc_channel_submit(channel, &frame, PATIENT, &index) == AVENC_OK);
        avenc_packet *packet = take_packet(channel);
        const uint8_t *data = packet->data + 6; /* the delimiter */
        CHECK(packet->kind == AVENC_KIND_IDR && packet->size == 6 + key->size + grown + sei);
        CHECK(memcmp(data + 4, wanted, size) == 0);
        CHECK(memcmp(data + 4 + size, key->unit + 4 + SPS, key->before - 4 - SPS) == 0);
        CHECK(sei == 0 || memcmp(data + key->before + grown, unit_of_sei, sei) == 0);
        CHECK(memcmp(data + key->before + grown + sei, key->unit + key->before, key->size - key->before) == 0);
        avenc_packet_release(packet);
    }
    end_channel(channel);
}

/* ---- what becomes of it ------------------------------------------------------------------------------ */

SCENARIO(a_refused_frame_takes_it_along) {
    avenc_channel *channel = open_with(H264_MAIN_LEVEL, 0, false, 1, 0);
    uint64_t index;
    for (int gone = 0; gone < 2; gone++) {
        avenc_submission frame = with_sei(1, 100);
        loop_next(0, (loop_plan){.code = 507046, .gone = gone});
        int rc = avenc_channel_submit(channel, &frame, PATIENT, &index);
        if (rc == AVENC_OK) /* reported all the same, before `send` returned */
            avenc_packet_release(take_packet(channel));
        for (uint64_t stamp = 2; stamp < 6; stamp++) {
            CHECK(submit(channel, stamp) == AVENC_OK);
            expect(channel, stamp);
        }
    }
    end_channel(channel);
}

SCENARIO(what_is_dropped_or_closed_takes_it_along_and_nobody_else_gets_it) {
    avenc_channel *channel = open_with(H264_MAIN_LEVEL, 0, false, 1, 3);
    uint64_t index, tags[8];
    loop_default(0, held);
    CHECK(submit(channel, 1) == AVENC_OK);
    for (uint64_t stamp = 2; stamp <= 8; stamp++) { /* the oldest gives way */
        avenc_submission frame = with_sei(stamp, 40 + stamp);
        int rc;
        while ((rc = avenc_channel_enqueue(channel, &frame, 1, 1, &index)) == AVENC_E_AGAIN)
            CHECK(avenc_channel_wait_room(channel, 1, PATIENT) == AVENC_OK);
        CHECK(rc == AVENC_OK);
    }
    CHECK(avenc_channel_take_dropped(channel, tags, 8) == 4 && tags[0] == 2 && tags[3] == 5);
    loop_report(0, 1);
    expect(channel, 1);
    UNTIL(loop_held(0) == 1);
    loop_report(0, 1);
    expect_sei(channel, 6, 46);
    UNTIL(loop_held(0) == 1); /* 7; and 8 is queued: dropped by the end */
    avenc_channel_close(channel);
    loop_report(0, 1);
    expect_sei(channel, 7, 47);
    end_channel(channel);
}

SCENARIO(a_lost_device_keeps_it_no_longer_than_its_frame) {
    avenc_channel *channel = open_with(H264_MAIN_LEVEL, 0, false, 2, 2);
    uint64_t index;
    loop_default(0, held);
    avenc_submission frame = with_sei(1, 300);
    CHECK(avenc_channel_submit(channel, &frame, PATIENT, &index) == AVENC_OK);
    loop_lose(0, 507018);
    frame = with_sei(2, 300);
    CHECK(avenc_channel_submit(channel, &frame, PATIENT, &index) == 507018);
    loop_lose(0, 0);
    loop_report(0, 1);
    expect_sei(channel, 1, 300);
    loop_default(0, (loop_plan){0});
    CHECK(submit(channel, 3) == AVENC_OK);
    expect(channel, 3);
    end_channel(channel);
}

SCENARIO(a_failed_frame_takes_it_along) {
    avenc_channel *channel = open_with(H264_MAIN_LEVEL, 1, false, 1, 0);
    uint64_t index;
    avenc_submission frame = with_sei(1, 100);
    loop_next(0, (loop_plan){.ret_code = 5});
    CHECK(avenc_channel_submit(channel, &frame, PATIENT, &index) == AVENC_OK);
    avenc_packet *packet = take_packet(channel);
    CHECK(packet->status == AVENC_E_FRAME && !packet->data && packet->size == 0);
    avenc_packet_release(packet);
    CHECK(submit(channel, 2) == AVENC_OK);
    packet = take_packet(channel);
    CHECK(packet->kind == AVENC_KIND_IDR && packet->size == 6 + LOOP_HEAD + LOOP_STAMP);
    avenc_packet_release(packet);
    end_channel(channel);
}
