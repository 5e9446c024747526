// SPDX-License-Identifier: Apache-2.0
/*
 * Everything at once, from several threads: frames that are copied, borrowed, filled in place, sent in batches or
 * promised; packets taken, given back, written to a sink or dropped; wait sets; channels replaced or closed in the middle.
 * Each accepted frame's tag must come back exactly once. argv: simulated device, codec, channels, frames.
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
            fprintf(stderr, "%s:%d: %s\nlast failure: %d %s %s\n", __FILE__, __LINE__, #condition,                     \
                    avenc_last_failure()->code, avenc_last_failure()->call, avenc_last_failure()->detail);             \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

enum { WIDTH = 130, HEIGHT = 128, SIZE = WIDTH * HEIGHT * 3 / 2, SUBMITTERS = 3, MAX_FRAMES = 1024 };

typedef struct job {
    avenc_device *device;
    avenc_channel_config config;
    avenc_channel *_Atomic channel; /* each of them keeps a reference of ours until the end */
    avenc_channel *old;
    avenc_waitset *waitset;
    unsigned frames;
    int drop_oldest, closed_early, sink, replaced;
    atomic_int submitting;
    atomic_uint accepted, returned;
    atomic_uchar tags[SUBMITTERS][MAX_FRAMES]; /* 1: given with an accepted frame, 2: came back */
} job;

static uint8_t pixels[SIZE];

/* 1 + its place in the job's tags. */
static uint64_t tag_of(int submitter, unsigned number) {
    return 1 + (uint64_t)submitter * MAX_FRAMES + number;
}

static avenc_submission frame_of(int submitter, unsigned number) {
    return (avenc_submission){.picture = {pixels, WIDTH, pixels + WIDTH * HEIGHT, WIDTH, WIDTH, HEIGHT, HEIGHT / 2},
                              .number_pts = 1,
                              .force_idr = number % 9 == 4,
                              .promised = number % 11 == 7,
                              .tag = tag_of(submitter, number)};
}

static avenc_wait *within(uint32_t ms, avenc_wait *wait) {
    *wait = avenc_wait_for(ms);
    return wait;
}

/* A status that may be, given what else goes on. */
static int allowed(const job *j, int rc) {
    return rc == AVENC_OK || rc == AVENC_E_FULL || rc == AVENC_E_AGAIN || rc == AVENC_E_TIMEOUT ||
           (rc == AVENC_E_CLOSED && j->closed_early) || (rc == AVENC_E_REPLACED && j->replaced);
}

static int send_one(job *j, int submitter, unsigned number) {
    avenc_submission frame = frame_of(submitter, number);
    avenc_channel *channel = atomic_load(&j->channel);
    uint64_t index = 0;
    size_t accepted = 0;
    avenc_frame *held = NULL;
    avenc_frame_memory memory;
    avenc_wait wait;
    int rc;
    atomic_store(&j->tags[submitter][number], 1); /* before: it may come back at once */
    switch ((number + (unsigned)submitter) % 7) {
    case 0:
        rc = avenc_channel_submit(channel, &frame, within(50, &wait), &index);
        break;
    case 1:
        rc = avenc_channel_enqueue(channel, &frame, 1, j->drop_oldest, &index);
        break;
    case 2:
        rc = avenc_channel_enqueue(channel, &frame, 0, j->drop_oldest, &index);
        break;
    case 3:
        rc = avenc_channel_submit_many(channel, &frame, 1, within(50, &wait), &index, &accepted);
        CHECK(accepted == (rc == AVENC_OK));
        break;
    default:
        rc = avenc_channel_acquire(channel, within(50, &wait), &held, &memory);
        if (rc == AVENC_OK) {
            memset(memory.y, (int)number, memory.stride * HEIGHT);
            if (number % 5 == 0) {
                rc = AVENC_E_FULL; /* not sent after all */
            } else {
                rc = avenc_frame_submit(held, &frame, number % 2 ? AVENC_FRAME_QUEUE : 0, within(50, &wait), &index);
            }
            avenc_frame_release(held);
        }
        break;
    }
    CHECK(allowed(j, rc));
    if (rc == AVENC_OK)
        atomic_fetch_add(&j->accepted, 1);
    else
        atomic_store(&j->tags[submitter][number], 0);
    return rc;
}

typedef struct submitter {
    job *j;
    int number;
} submitter;

static void *submit(void *arg) {
    submitter *me = arg;
    job *j = me->j;
    avenc_wait wait;
    for (unsigned i = 0; i < j->frames; i++) {
        int rc = send_one(j, me->number, i);
        if (rc == AVENC_E_CLOSED)
            break;
        if (rc != AVENC_OK)
            avenc_channel_wait_room(atomic_load(&j->channel), 0, within(5, &wait));
    }
    atomic_fetch_sub(&j->submitting, 1);
    avenc_waitset_signal(j->waitset, 0);
    return NULL;
}

static void came_back(job *j, uint64_t tag) {
    CHECK(tag >= 1 && tag <= SUBMITTERS * MAX_FRAMES);
    CHECK(atomic_exchange(&j->tags[(tag - 1) / MAX_FRAMES][(tag - 1) % MAX_FRAMES], 2) == 1);
    atomic_fetch_add(&j->returned, 1);
}

static void take(job *j, uint64_t *next) {
    avenc_channel *channel = atomic_load(&j->channel);
    avenc_packet *packets[8];
    uint64_t tags[8];
    size_t count;
    CHECK(avenc_channel_take(channel, 0, packets, 8, &count) == AVENC_OK);
    if (count > 1 && *next % 5 == 2) { /* what is put back comes again */
        avenc_channel_give_back(channel, packets + 1, count - 1);
        count = 1;
    }
    for (size_t i = 0; i < count; i++) {
        CHECK(packets[i]->status == AVENC_OK && !packets[i]->promised && packets[i]->frame_index >= *next);
        *next = packets[i]->frame_index + 1;
        came_back(j, packets[i]->tag);
        avenc_packet_release(packets[i]);
    }
    CHECK(avenc_channel_take(channel, 1, packets, 8, &count) == AVENC_OK);
    for (size_t i = 0; i < count; i++) {
        CHECK(packets[i]->status == AVENC_OK && packets[i]->promised);
        came_back(j, packets[i]->tag);
        avenc_packet_release(packets[i]);
    }
    count = avenc_channel_take_dropped(channel, tags, 8);
    for (size_t i = 0; i < count; i++)
        came_back(j, tags[i]);
}

static void *receive(void *arg) {
    job *j = arg;
    uint64_t next = 0;
    unsigned round = 0;
    avenc_wait wait;
    while (atomic_load(&j->submitting) > 0) {
        if (round++ % 2) {
            uint32_t keys[2], count;
            int rc = avenc_waitset_take(j->waitset, within(20, &wait), round % 3 ? 0 : 500, keys, 2, &count);
            CHECK(rc == AVENC_OK || rc == AVENC_E_TIMEOUT);
        } else {
            int rc = avenc_channel_wait(atomic_load(&j->channel), 1, within(20, &wait), round % 3 ? 0 : 500,
                                        AVENC_WAIT_FOR_FRAMES);
            CHECK(allowed(j, rc));
        }
        take(j, &next);
    }
    CHECK(avenc_channel_end(atomic_load(&j->channel)) == AVENC_OK);
    CHECK(avenc_channel_wait_idle(atomic_load(&j->channel), within(20000, &wait)) == AVENC_OK);
    for (int i = 0; i < 200; i++)
        take(j, &next);
    return NULL;
}

/* In mid-stream: another channel takes the place, or the stream is closed. */
static void *interfere(void *arg) {
    job *j = arg;
    avenc_wait wait;
    while (atomic_load(&j->accepted) < 10 && atomic_load(&j->submitting) > 0)
        usleep(200);
    if (j->closed_early) {
        CHECK(avenc_channel_close(atomic_load(&j->channel)) == AVENC_OK);
        CHECK(avenc_channel_wait_closed(atomic_load(&j->channel), within(20000, &wait)) == AVENC_OK);
        return NULL;
    }
    avenc_channel *channel;
    uint64_t first;
    j->config.max_bit_rate = 2000;
    CHECK(avenc_channel_create(j->device, &j->config, j->old, &channel) == AVENC_OK);
    CHECK(avenc_channel_wait_open(channel, within(20000, &wait)) == AVENC_OK);
    CHECK(avenc_channel_succeed(channel, &first) == AVENC_OK);
    atomic_store(&j->channel, channel);
    return NULL;
}

static void *drain_pipe(void *arg) {
    char buffer[5000];
    while (read(*(int *)arg, buffer, sizeof buffer) > 0)
        continue;
    return NULL;
}

int main(int argc, char **argv) {
    CHECK(argc == 5);
    avenc_library_options options = {.backend = "sim", .sim_path = argv[1], .sim_codec = argv[2][0] ? argv[2] : NULL};
    avenc_library *library;
    avenc_wait wait;
    CHECK(open_library(&options, &library) == AVENC_OK);
    avenc_device *device;
    CHECK(avenc_device_open(library, 0, interface_under_test(), &device) == AVENC_OK);
    CHECK(avenc_device_wait_open(device, within(20000, &wait)) == AVENC_OK);
    enum { MAX = 15 };
    unsigned channels = (unsigned)atoi(argv[3]), frames = (unsigned)atoi(argv[4]);
    CHECK(channels <= MAX && frames <= MAX_FRAMES);
    static job jobs[MAX];
    static submitter submitters[MAX][SUBMITTERS];
    static pthread_t threads[MAX][SUBMITTERS + 3];
    static int pipes[MAX][2];
    for (unsigned i = 0; i < channels; i++) {
        job *j = &jobs[i];
        j->device = device;
        j->frames = frames;
        j->drop_oldest = i % 5 == 1;
        j->closed_early = i % 5 == 2;
        j->sink = i % 5 == 3;
        j->replaced = i % 5 == 4;
        atomic_store(&j->submitting, SUBMITTERS);
        j->config = (avenc_channel_config){.en_type = H265_MAIN_LEVEL,
                                           .pic_format = PIXEL_FORMAT_YUV_SEMIPLANAR_420,
                                           .width = WIDTH,
                                           .height = HEIGHT,
                                           .key_frame_interval = 60000,
                                           .src_rate = 25,
                                           .max_bit_rate = 1000,
                                           .depth = 1 + i % 3,
                                           .queue = 2 + i % 2,
                                           .max_ready = 6,
                                           .drop_oldest = j->drop_oldest,
                                           .time_num = 1,
                                           .time_den = 25};
        CHECK(avenc_channel_create(device, &j->config, NULL, &j->old) == AVENC_OK);
        CHECK(avenc_channel_wait_open(j->old, within(20000, &wait)) == AVENC_OK);
        atomic_store(&j->channel, j->old);
        CHECK(avenc_waitset_create(&j->waitset) == AVENC_OK);
        CHECK(avenc_channel_attach(j->old, j->waitset, i) == AVENC_OK);
        if (j->sink) {
            CHECK(pipe(pipes[i]) == 0);
            CHECK(avenc_channel_set_sink(j->old, pipes[i][1], 0, within(20000, &wait)) == AVENC_OK);
            pthread_create(&threads[i][SUBMITTERS + 2], NULL, drain_pipe, &pipes[i][0]);
        }
    }
    for (unsigned i = 0; i < channels; i++) {
        for (int k = 0; k < SUBMITTERS; k++) {
            submitters[i][k] = (submitter){&jobs[i], k};
            pthread_create(&threads[i][k], NULL, submit, &submitters[i][k]);
        }
        pthread_create(&threads[i][SUBMITTERS], NULL, receive, &jobs[i]);
        if (jobs[i].closed_early || jobs[i].replaced)
            pthread_create(&threads[i][SUBMITTERS + 1], NULL, interfere, &jobs[i]);
    }
    for (unsigned i = 0; i < channels; i++) {
        job *j = &jobs[i];
        for (int k = 0; k < SUBMITTERS + 1 + (j->closed_early || j->replaced); k++)
            pthread_join(threads[i][k], NULL);
        avenc_channel *channel = atomic_load(&j->channel);
        CHECK(avenc_channel_close(channel) == AVENC_OK);
        CHECK(avenc_channel_wait_closed(channel, within(20000, &wait)) == AVENC_OK);
        uint64_t next = 0;
        for (int k = 0; k < 200; k++)
            take(j, &next);
        avenc_channel_stats stats;
        avenc_channel_stats_get(channel, &stats, NULL);
        CHECK(stats.in_flight == 0 && stats.ready == 0 && stats.held == 0 && stats.queued == 0);
        CHECK(atomic_load(&j->returned) == atomic_load(&j->accepted));
        CHECK(stats.submitted == atomic_load(&j->accepted));
        CHECK(stats.completed + stats.dropped_frames == stats.submitted);
        CHECK(stats.copies_out == stats.completed - stats.failed);
        CHECK(!j->sink || stats.written + stats.dropped_packets > 0);
        for (int s = 0; s < SUBMITTERS; s++)
            for (unsigned f = 0; f < frames; f++)
                CHECK(atomic_load(&j->tags[s][f]) != 1);
        avenc_channel_detach(j->old, j->waitset);
        avenc_channel_release(j->old);
        if (channel != j->old)
            avenc_channel_release(channel);
        avenc_waitset_release(j->waitset);
        if (j->sink) {
            close(pipes[i][1]);
            pthread_join(threads[i][SUBMITTERS + 2], NULL);
            close(pipes[i][0]);
        }
    }
    avenc_device_release(device);
    for (int kind = 0; kind < AVENC_LIVE_COUNT; kind++)
        for (int i = 0; avenc_live(kind) != 0; i++, usleep(1000)) /* the device ends on native threads */
            CHECK(i < 20000);
    CHECK(avenc_library_finalize(library, within(20000, &wait)) == AVENC_OK);
    puts("ok");
    return 0;
}
