// SPDX-License-Identifier: Apache-2.0
/*
 * Many channels on one wait set: a thread for each half of them submits, three threads receive, one of them with a
 * coalescing delay; one channel is closed in the middle, one detached and attached again. Each frame that was accepted comes out
 * once, those of a channel in order, and no thread is left waiting. argv: library, settings of the device (unused),
 * channels, frames of each.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "library.h"

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s (last failure: %d %s %s)\n", __FILE__, __LINE__, #condition,                    \
                    avenc_last_failure()->code, avenc_last_failure()->call, avenc_last_failure()->detail);             \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

enum { WIDTH = 128, HEIGHT = 128, TIMEOUT_MS = 20000, DEPTH = 4, MANY = 64, RECEIVERS = 3, KEY_STEP = 37 };

typedef struct stream {
    avenc_channel *channel;
    pthread_mutex_t taking; /* draining and looking at the order are one step */
    uint64_t next;
    atomic_uint accepted, received;
    atomic_bool over;
} stream;

static stream streams[MANY];
static unsigned channels, frames;
static avenc_waitset *waitset;
static atomic_uint open_streams;

#define PATIENT ((avenc_wait[1]){avenc_wait_for(TIMEOUT_MS)})

/* Keys far apart and in no order: the wait set has to grow. */
static uint32_t key_of(unsigned i) {
    return (channels - i) * KEY_STEP;
}

static void *submit(void *arg) {
    static uint8_t pixels[WIDTH * HEIGHT * 3 / 2];
    avenc_submission frame = {.picture = {pixels, WIDTH, pixels + WIDTH * HEIGHT, WIDTH, WIDTH, HEIGHT, HEIGHT / 2},
                              .number_pts = 1};
    for (unsigned number = 0; number < frames; number++) {
        for (unsigned i = (unsigned)(uintptr_t)arg; i < channels; i += 2) {
            uint64_t index;
            int rc = avenc_channel_submit(streams[i].channel, &frame, PATIENT, &index);
            CHECK(rc == AVENC_OK || (i == 0 && rc == AVENC_E_CLOSED));
            atomic_fetch_add(&streams[i].accepted, rc == AVENC_OK);
        }
    }
    for (unsigned i = (unsigned)(uintptr_t)arg; i < channels; i += 2)
        CHECK(avenc_channel_end(streams[i].channel) == AVENC_OK);
    return NULL;
}

static void look(stream *s) {
    avenc_packet *packets[8];
    size_t count;
    pthread_mutex_lock(&s->taking);
    do {
        CHECK(avenc_channel_take(s->channel, 0, packets, 8, &count) == AVENC_OK);
        for (size_t i = 0; i < count; i++) {
            CHECK(packets[i]->status == 0 && packets[i]->frame_index == s->next);
            s->next++;
            atomic_fetch_add(&s->received, 1);
            avenc_packet_release(packets[i]);
        }
    } while (count == 8);
    int rc = avenc_channel_wait(s->channel, 1, NULL, 0, AVENC_WAIT_FOR_FRAMES);
    CHECK(rc == AVENC_OK || rc == AVENC_E_TIMEOUT || rc == AVENC_E_DRAINED || rc == AVENC_E_CLOSED);
    if (rc == AVENC_E_DRAINED && !atomic_exchange(&s->over, true))
        atomic_fetch_sub(&open_streams, 1);
    pthread_mutex_unlock(&s->taking);
}

static void *receive(void *arg) {
    uint32_t coalesce_us = (uint32_t)(uintptr_t)arg, keys[5], count;
    while (atomic_load(&open_streams) > 0) {
        int rc = avenc_waitset_take(waitset, PATIENT, coalesce_us, keys, 5, &count);
        CHECK(rc == AVENC_OK && count > 0);
        for (uint32_t i = 0; i < count; i++)
            if (keys[i] != 0)
                look(&streams[channels - keys[i] / KEY_STEP]);
    }
    avenc_waitset_signal(waitset, 0); /* the other threads are to see it too */
    return NULL;
}

int main(int argc, char **argv) {
    CHECK(argc == 5);
    channels = (unsigned)atoi(argv[3]);
    frames = (unsigned)atoi(argv[4]);
    CHECK(channels >= 2 && channels <= MANY);
    avenc_library_options options = {.backend = "sim", .sim_path = argv[1]};
    avenc_library *library;
    CHECK(open_library(&options, &library) == AVENC_OK);
    avenc_device *device;
    CHECK(avenc_device_open(library, 0, interface_under_test(), &device) == AVENC_OK);
    CHECK(avenc_device_wait_open(device, PATIENT) == AVENC_OK);
    CHECK(avenc_waitset_create(&waitset) == AVENC_OK);
    uint32_t keys[4], count;
    CHECK(avenc_waitset_take(waitset, NULL, 0, keys, 4, &count) == AVENC_E_TIMEOUT && count == 0);
    for (unsigned i = 0; i < channels; i++) {
        avenc_channel_config config = {.en_type = i % 2 ? H265_MAIN_LEVEL : H264_HIGH_LEVEL,
                                       .pic_format = PIXEL_FORMAT_YUV_SEMIPLANAR_420,
                                       .width = WIDTH,
                                       .height = HEIGHT,
                                       .key_frame_interval = 25,
                                       .src_rate = 25,
                                       .max_bit_rate = 1000,
                                       .depth = DEPTH,
                                       .time_num = 1,
                                       .time_den = 25};
        CHECK(avenc_channel_create(device, &config, NULL, &streams[i].channel) == AVENC_OK);
        CHECK(avenc_channel_wait_open(streams[i].channel, PATIENT) == AVENC_OK);
        pthread_mutex_init(&streams[i].taking, NULL);
        CHECK(avenc_channel_attach(streams[i].channel, waitset, key_of(i)) == AVENC_OK);
    }
    avenc_channel_detach(streams[1].channel, waitset);
    CHECK(avenc_channel_attach(streams[1].channel, waitset, key_of(1)) == AVENC_OK);
    avenc_device_release(device); /* the channels keep it */
    atomic_store(&open_streams, channels);
    pthread_t receivers[RECEIVERS], submitters[2];
    for (int i = 0; i < RECEIVERS; i++)
        pthread_create(&receivers[i], NULL, receive, (void *)(uintptr_t)(i == 0 ? 2000 : 0));
    for (int i = 0; i < 2; i++)
        pthread_create(&submitters[i], NULL, submit, (void *)(uintptr_t)i);
    usleep(3000);
    CHECK(avenc_channel_close(streams[0].channel) == AVENC_OK);
    for (int i = 0; i < 2; i++)
        pthread_join(submitters[i], NULL);
    for (int i = 0; i < RECEIVERS; i++)
        pthread_join(receivers[i], NULL);
    for (unsigned i = 0; i < channels; i++) {
        CHECK(streams[i].received == streams[i].accepted && (i == 0 || streams[i].received == frames));
        avenc_channel_detach(streams[i].channel, waitset);
        CHECK(avenc_channel_close(streams[i].channel) == AVENC_OK);
        CHECK(avenc_channel_wait_closed(streams[i].channel, PATIENT) == AVENC_OK);
        avenc_channel_release(streams[i].channel);
        pthread_mutex_destroy(&streams[i].taking);
    }
    avenc_waitset_release(waitset);
    for (int kind = 0; kind < AVENC_LIVE_COUNT; kind++)
        for (int i = 0; avenc_live(kind) != 0; i++, usleep(1000)) /* the device ends on native threads */
            CHECK(i < 20000);
    CHECK(avenc_library_finalize(library, PATIENT) == AVENC_OK);
    puts("ok");
    return 0;
}
