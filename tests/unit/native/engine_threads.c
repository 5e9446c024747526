// SPDX-License-Identifier: Apache-2.0
/*
 * The engine from plain C, with threads on every side: built and run by test_engine_native.py, plain and
 * under the sanitizers. argv: library, libavcodec (or ""), channels, frames per channel.
 *
 * Each channel has a submitting thread and a draining thread; one channel in three is closed by a third
 * thread in mid-stream. Checked: every accepted frame comes back once, in order, and nothing stays alive.
 */
#include <pthread.h>
#include <stdatomic.h>
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

typedef struct job {
    avenc_channel *channel;
    uint32_t width, height;
    unsigned frames;
    int closed_early;
    atomic_uint accepted;
    atomic_int submitting;
    unsigned received;
} job;

static void *submit(void *arg) {
    job *j = arg;
    size_t luma = (size_t)j->width * j->height;
    uint8_t *pixels = malloc(luma * 3 / 2);
    for (unsigned i = 0; i < j->frames; i++) {
        memset(pixels, (int)i, luma * 3 / 2);
        avenc_submission frame = {
            .picture = {pixels, j->width, pixels + luma, j->width, j->width, j->height, j->height / 2},
            .pts = 1000 + i,
            .force_idr = i % 7 == 3};
        uint64_t index;
        avenc_wait wait = avenc_wait_for(20000);
        int rc = avenc_channel_submit(j->channel, &frame, &wait, &index);
        if (rc == AVENC_E_CLOSED && j->closed_early)
            break;
        CHECK(rc == AVENC_OK);
        CHECK(index == i);
        atomic_fetch_add(&j->accepted, 1);
    }
    free(pixels);
    atomic_store(&j->submitting, 0);
    return NULL;
}

static void take(job *j) {
    avenc_packet *packets[8];
    size_t count;
    CHECK(avenc_channel_take(j->channel, 0, packets, 8, &count) == AVENC_OK);
    for (size_t i = 0; i < count; i++) {
        CHECK(packets[i]->status == 0);
        CHECK(packets[i]->frame_index == j->received);
        CHECK(packets[i]->pts == 1000 + (int64_t)j->received);
        CHECK(packets[i]->size > 4 && packets[i]->data[3] == 1);
        CHECK((packets[i]->kind == AVENC_KIND_IDR) == (j->received == 0 || j->received % 7 == 3));
        CHECK(packets[i]->emitted_ns >= packets[i]->submitted_ns);
        j->received++;
        avenc_packet_release(packets[i]);
    }
}

/* V2 may queue a frame, for the device's want of room or for an IDR; the one that is queued at the close is dropped. */
static unsigned dropped(const job *j) {
    avenc_channel_stats stats;
    avenc_channel_stats_get(j->channel, &stats, NULL);
    return (unsigned)stats.dropped_frames;
}

static void *drain(void *arg) {
    job *j = arg;
    while (atomic_load(&j->submitting)) {
        avenc_wait soon = avenc_wait_for(20);
        int rc = avenc_channel_wait(j->channel, 1, &soon, 0, 0);
        CHECK(rc == AVENC_OK || rc == AVENC_E_TIMEOUT || rc == AVENC_E_DRAINED || rc == AVENC_E_CLOSED);
        take(j);
    }
    avenc_wait wait = avenc_wait_for(20000);
    CHECK(avenc_channel_wait_idle(j->channel, &wait) == AVENC_OK);
    while (j->received + dropped(j) < atomic_load(&j->accepted))
        take(j);
    return NULL;
}

static void *close_early(void *arg) {
    job *j = arg;
    usleep(3000);
    avenc_wait wait = avenc_wait_for(20000);
    CHECK(avenc_channel_close(j->channel) == AVENC_OK);
    CHECK(avenc_channel_wait_closed(j->channel, &wait) == AVENC_OK);
    return NULL;
}

int main(int argc, char **argv) {
    CHECK(argc == 5);
    avenc_library_options options = {.backend = "sim", .sim_path = argv[1], .sim_codec = argv[2][0] ? argv[2] : NULL};
    avenc_library *library;
    CHECK(open_library(&options, &library) == AVENC_OK);
    avenc_device *device;
    avenc_wait wait = avenc_wait_for(20000);
    CHECK(avenc_device_open(library, 0, interface_under_test(), &device) == AVENC_OK);
    CHECK(avenc_device_wait_open(device, &wait) == AVENC_OK);
    enum { MAX = 64 };
    unsigned channels = (unsigned)atoi(argv[3]);
    static job jobs[MAX];
    static pthread_t threads[MAX][3];
    CHECK(channels <= MAX);
    for (unsigned i = 0; i < channels; i++) {
        job *j = &jobs[i];
        avenc_channel_config config = {.en_type = i % 4,
                                       .pic_format = 1 + i % 2,
                                       .width = 128 + 2 * i,
                                       .height = 128,
                                       .key_frame_interval = 60000,
                                       .src_rate = 25,
                                       .max_bit_rate = 1000,
                                       .depth = 1 + i % 5,
                                       .time_num = 1,
                                       .time_den = 25};
        *j = (job){.width = config.width,
                   .height = config.height,
                   .frames = (unsigned)atoi(argv[4]),
                   .closed_early = i % 3 == 2};
        atomic_store(&j->submitting, 1);
        CHECK(avenc_channel_create(device, &config, NULL, &j->channel) == AVENC_OK);
        CHECK(avenc_channel_wait_open(j->channel, &wait) == AVENC_OK);
    }
    avenc_device_release(device); /* the channels keep it */
    for (unsigned i = 0; i < channels; i++) {
        pthread_create(&threads[i][0], NULL, submit, &jobs[i]);
        pthread_create(&threads[i][1], NULL, drain, &jobs[i]);
        if (jobs[i].closed_early)
            pthread_create(&threads[i][2], NULL, close_early, &jobs[i]);
    }
    for (unsigned i = 0; i < channels; i++) {
        for (int k = 0; k < 2 + jobs[i].closed_early; k++)
            pthread_join(threads[i][k], NULL);
        avenc_channel_stats stats;
        avenc_channel_stats_get(jobs[i].channel, &stats, NULL);
        CHECK(stats.submitted == atomic_load(&jobs[i].accepted));
        CHECK(stats.submitted == jobs[i].received + stats.dropped_frames);
        CHECK(stats.completed == jobs[i].received && stats.failed == 0);
        CHECK(jobs[i].closed_early || stats.dropped_frames == 0);
        CHECK(jobs[i].closed_early || jobs[i].received == jobs[i].frames);
        wait = avenc_wait_for(20000);
        CHECK(avenc_channel_close(jobs[i].channel) == AVENC_OK);
        CHECK(avenc_channel_wait_closed(jobs[i].channel, &wait) == AVENC_OK);
        avenc_channel_release(jobs[i].channel);
    }
    for (int kind = 0; kind < AVENC_LIVE_COUNT; kind++)
        for (int i = 0; avenc_live(kind) != 0; i++, usleep(1000)) /* the device ends on native threads */
            CHECK(i < 20000);
    wait = avenc_wait_for(20000);
    CHECK(avenc_library_finalize(library, &wait) == AVENC_OK);
    puts("ok");
    return 0;
}
