// SPDX-License-Identifier: Apache-2.0
/*
 * One frame after the other through the engine, for counting instructions: test_instruction_counts.py runs it
 * under callgrind. argv: library, path (submit, batch, enqueue, acquire), frames.
 *
 * Only one frame (or one batch) is on its way at any time, and this thread sleeps in poll() until the wait set's
 * descriptor is readable, or asks for its counters, which the test leaves out: no loop of the engine that counts goes round a
 * number of times that depends on timing.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "library.h"

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s (last failure: %d %s %s)\n", __FILE__, __LINE__, #condition,                    \
                    avenc_last_failure()->code, avenc_last_failure()->call, avenc_last_failure()->detail);             \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

enum { WIDTH = 128, HEIGHT = 128, TIMEOUT_MS = 20000, BATCH = 8 };

static uint8_t pixels[WIDTH * HEIGHT * 3 / 2];
static avenc_channel *channel;
static avenc_waitset *waitset;
static unsigned received;

#define PATIENT ((avenc_wait[1]){avenc_wait_for(TIMEOUT_MS)})

static void take(unsigned wanted) {
    avenc_packet *packets[BATCH];
    size_t count;
    CHECK(avenc_channel_wait(channel, 1, NULL, 0, 0) == AVENC_OK);
    CHECK(avenc_channel_take(channel, 0, packets, BATCH, &count) == AVENC_OK);
    CHECK(count == wanted);
    for (size_t i = 0; i < count; i++) {
        CHECK(packets[i]->status == 0 && packets[i]->frame_index == received++);
        avenc_packet_release(packets[i]);
    }
}

static void take_when_signalled(void) {
    struct pollfd readable = {.fd = avenc_waitset_fd(waitset), .events = POLLIN};
    uint32_t keys[1], count;
    CHECK(poll(&readable, 1, TIMEOUT_MS) == 1);
    CHECK(avenc_waitset_take(waitset, NULL, 0, keys, 1, &count) == AVENC_OK);
    take(1);
}

static void send(const char *path, const avenc_submission *frame) {
    uint64_t index;
    if (!strcmp(path, "submit")) {
        CHECK(avenc_channel_submit(channel, frame, PATIENT, &index) == AVENC_OK);
    } else if (!strcmp(path, "enqueue")) {
        CHECK(avenc_channel_enqueue(channel, frame, 1, 0, &index) == AVENC_OK);
    } else {
        avenc_frame *acquired;
        avenc_frame_memory memory;
        CHECK(avenc_channel_acquire(channel, PATIENT, &acquired, &memory) == AVENC_OK);
        memset(memory.y, 1, WIDTH);
        CHECK(avenc_frame_submit(acquired, frame, 0, PATIENT, &index) == AVENC_OK);
        avenc_frame_release(acquired);
    }
}

/* Nobody waits in the engine: how often it wakes a waiter during a batch would depend on timing. */
static void batch(const avenc_submission *frame) {
    avenc_submission frames[BATCH];
    uint64_t indices[BATCH];
    size_t accepted;
    for (int i = 0; i < BATCH; i++)
        frames[i] = *frame;
    CHECK(avenc_channel_submit_many(channel, frames, BATCH, PATIENT, indices, &accepted) == AVENC_OK);
    CHECK(accepted == BATCH);
    avenc_channel_stats stats;
    do {
        usleep(100);
        avenc_channel_stats_get(channel, &stats, NULL);
    } while (stats.in_flight != 0);
    take(BATCH);
}

int main(int argc, char **argv) {
    CHECK(argc == 4);
    avenc_library_options options = {.backend = "sim", .sim_path = argv[1]};
    avenc_library *library;
    CHECK(open_library(&options, &library) == AVENC_OK);
    avenc_device *device;
    CHECK(avenc_device_open(library, 0, interface_under_test(), &device) == AVENC_OK);
    CHECK(avenc_device_wait_open(device, PATIENT) == AVENC_OK);
    avenc_channel_config config = {.en_type = H265_MAIN_LEVEL,
                                   .pic_format = PIXEL_FORMAT_YUV_SEMIPLANAR_420,
                                   .width = WIDTH,
                                   .height = HEIGHT,
                                   .key_frame_interval = 60000,
                                   .src_rate = 25,
                                   .max_bit_rate = 1000,
                                   .depth = BATCH,
                                   .queue = 1,
                                   .time_num = 1,
                                   .time_den = 25};
    CHECK(avenc_channel_create(device, &config, NULL, &channel) == AVENC_OK);
    CHECK(avenc_channel_wait_open(channel, PATIENT) == AVENC_OK);
    avenc_device_release(device); /* the channel keeps it */
    CHECK(avenc_waitset_create(&waitset) == AVENC_OK);
    CHECK(avenc_channel_attach(channel, waitset, 0) == AVENC_OK);
    CHECK(avenc_waitset_fd(waitset) >= 0);
    avenc_submission frame = {.picture = {pixels, WIDTH, pixels + WIDTH * HEIGHT, WIDTH, WIDTH, HEIGHT, HEIGHT / 2},
                              .number_pts = 1};
    /* The memory that queued frames need is made now. */
    CHECK(avenc_channel_wait_room(channel, 0, PATIENT) == AVENC_OK);
    unsigned frames = (unsigned)atoi(argv[3]);
    if (!strcmp(argv[2], "batch")) {
        while (received < frames)
            batch(&frame);
    } else {
        while (received < frames) {
            avenc_waitset_arm(waitset);
            send(argv[2], &frame);
            take_when_signalled();
        }
    }
    CHECK(received == frames);
    avenc_channel_detach(channel, waitset);
    avenc_waitset_release(waitset);
    CHECK(avenc_channel_close(channel) == AVENC_OK);
    CHECK(avenc_channel_wait_closed(channel, PATIENT) == AVENC_OK);
    avenc_channel_release(channel);
    for (int kind = 0; kind < AVENC_LIVE_COUNT; kind++)
        for (int i = 0; avenc_live(kind) != 0; i++, usleep(1000)) /* the device ends on native threads */
            CHECK(i < 20000);
    CHECK(avenc_library_finalize(library, PATIENT) == AVENC_OK);
    puts("ok");
    return 0;
}
