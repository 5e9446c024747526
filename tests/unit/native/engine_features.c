// SPDX-License-Identifier: Apache-2.0
/*
 * Everything at once, from several threads: frames that are copied, borrowed, filled in place, sent in batches or lie in
 * device memory; packets drained, written to a sink or dropped; notifiers; channels closed in the middle. Each accepted
 * frame's token must come back exactly once. argv: simulated device, codec, channels, frames.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "avenc.h"

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
    avenc_channel *channel;
    avenc_notifier *notifier;
    unsigned frames;
    int drop_oldest, closed_early, sink;
    atomic_int submitting;
    atomic_uint accepted, returned;
    atomic_uchar tokens[SUBMITTERS][MAX_FRAMES]; /* 1: given with an accepted frame, 2: came back */
} job;

static uint8_t pixels[SIZE];

static avenc_submission frame_of(job *j, int submitter, unsigned number) {
    return (avenc_submission){.picture = {pixels, WIDTH, pixels + WIDTH * HEIGHT, WIDTH},
                              .number_pts = 1,
                              .force_idr = number % 9 == 4,
                              .token = &j->tokens[submitter][number]};
}

/* A status that may be, given what else goes on. */
static int allowed(const job *j, int rc) {
    return rc == AVENC_OK || rc == AVENC_E_FULL || rc == AVENC_E_TIMEOUT || (rc == AVENC_E_CLOSED && j->closed_early);
}

static int send_one(job *j, int submitter, unsigned number) {
    avenc_submission frame = frame_of(j, submitter, number);
    uint64_t index = 0;
    size_t accepted = 0;
    avenc_frame *held = NULL;
    avenc_frame_memory memory;
    int rc;
    atomic_store(&j->tokens[submitter][number], 1); /* before: it may come back at once */
    switch ((number + (unsigned)submitter) % 7) {
    case 0:
        rc = avenc_channel_submit(j->channel, &frame, 50, &index);
        break;
    case 1:
        rc = avenc_channel_enqueue(j->channel, &frame, 1, j->drop_oldest, &index);
        break;
    case 2:
        rc = avenc_channel_enqueue(j->channel, &frame, 0, j->drop_oldest, &index);
        break;
    case 3:
        rc = avenc_channel_submit_many(j->channel, &frame, 1, 50, &index, &accepted);
        break;
    default:
        rc = avenc_channel_acquire(j->channel, 50, &held, &memory);
        if (rc == AVENC_OK) {
            memset(memory.y, (int)number, memory.stride * HEIGHT);
            int keep = number % 3 == 0;
            if (number % 5 == 0) {
                avenc_frame_release(held); /* not sent after all */
                rc = AVENC_E_FULL;
            } else {
                rc = avenc_frame_submit(held, &frame,
                                        keep         ? AVENC_FRAME_KEEP
                                        : number % 2 ? AVENC_FRAME_QUEUE
                                                     : 0,
                                        &index);
                if (rc != AVENC_OK || keep)
                    avenc_frame_release(held);
            }
        }
        break;
    }
    CHECK(allowed(j, rc));
    if (rc == AVENC_OK)
        atomic_fetch_add(&j->accepted, 1);
    else
        atomic_store(&j->tokens[submitter][number], 0);
    return rc;
}

typedef struct submitter {
    job *j;
    int number;
} submitter;

static void *submit(void *arg) {
    submitter *me = arg;
    job *j = me->j;
    for (unsigned i = 0; i < j->frames;) {
        int rc = send_one(j, me->number, i);
        if (rc == AVENC_E_CLOSED)
            break;
        if (rc == AVENC_E_FULL || rc == AVENC_E_TIMEOUT)
            avenc_channel_wait_room(j->channel, 5);
        i++;
    }
    atomic_fetch_sub(&j->submitting, 1);
    avenc_notifier_signal(j->notifier);
    return NULL;
}

static void give_back(job *j, avenc_packet *packet) {
    atomic_uchar *token = packet->token;
    if (token) {
        CHECK(atomic_exchange(token, 2) == 1);
        atomic_fetch_add(&j->returned, 1);
    }
    packet->token = NULL;
    avenc_packet_release(packet);
}

static void take(job *j, uint64_t *next) {
    avenc_packet *packets[8];
    size_t count;
    CHECK(avenc_channel_drain(j->channel, packets, 8, &count) == AVENC_OK);
    for (size_t i = 0; i < count; i++) {
        CHECK(packets[i]->status == 0 || (packets[i]->status == AVENC_E_CLOSED && j->closed_early));
        if (packets[i]->status == 0) { /* frames that closing took out of the queue come before those in the device */
            CHECK(packets[i]->frame_index >= *next);
            *next = packets[i]->frame_index + 1;
        }
        give_back(j, packets[i]);
    }
    CHECK(avenc_channel_drain_spent(j->channel, packets, 8, &count) == AVENC_OK);
    for (size_t i = 0; i < count; i++)
        give_back(j, packets[i]);
}

static void *receive(void *arg) {
    job *j = arg;
    uint64_t next = 0;
    unsigned round = 0;
    while (atomic_load(&j->submitting) > 0) {
        if (round++ % 2) {
            avenc_notifier_arm(j->notifier);
            take(j, &next);
            avenc_notifier_wait(j->notifier, 20);
        } else {
            int rc = avenc_channel_wait(j->channel, 20, round % 3 ? 0 : 500, AVENC_WAIT_FOR_FRAMES);
            CHECK(allowed(j, rc) || rc == AVENC_E_DRAINED);
        }
        take(j, &next);
    }
    CHECK(avenc_channel_end(j->channel) == AVENC_OK);
    CHECK(avenc_channel_wait_idle(j->channel, 20000) == AVENC_OK);
    for (int i = 0; i < 200; i++)
        take(j, &next);
    return NULL;
}

static void *close_early(void *arg) {
    job *j = arg;
    usleep(4000);
    CHECK(avenc_channel_close(j->channel, 20000) == AVENC_OK);
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
    CHECK(avenc_library_open(&options, &library) == AVENC_OK);
    avenc_device *device;
    CHECK(avenc_device_open(library, 0, &device) == AVENC_OK);
    enum { MAX = 12 };
    unsigned channels = (unsigned)atoi(argv[3]), frames = (unsigned)atoi(argv[4]);
    CHECK(channels <= MAX && frames <= MAX_FRAMES);
    static job jobs[MAX];
    static submitter submitters[MAX][SUBMITTERS];
    static pthread_t threads[MAX][SUBMITTERS + 3];
    static int pipes[MAX][2];
    for (unsigned i = 0; i < channels; i++) {
        job *j = &jobs[i];
        j->frames = frames;
        j->drop_oldest = i % 4 == 1;
        j->closed_early = i % 4 == 2;
        j->sink = i % 4 == 3;
        atomic_store(&j->submitting, SUBMITTERS);
        avenc_channel_config config = {.en_type = 0,
                                       .pic_format = 1,
                                       .width = WIDTH,
                                       .height = HEIGHT,
                                       .key_frame_interval = 60000,
                                       .src_rate = 25,
                                       .max_bit_rate = 1000,
                                       .depth = 1 + i % 3,
                                       .queue = 2 + i % 2,
                                       .max_ready = 6,
                                       .drop_oldest = j->drop_oldest,
                                       .first_index = i};
        CHECK(avenc_channel_create(device, &config, &j->channel) == AVENC_OK);
        CHECK(avenc_notifier_create(&j->notifier) == AVENC_OK);
        CHECK(avenc_channel_attach_notifier(j->channel, j->notifier) == AVENC_OK);
        if (j->sink) {
            CHECK(pipe(pipes[i]) == 0);
            CHECK(avenc_channel_set_sink(j->channel, pipes[i][1], 0) == AVENC_OK);
            pthread_create(&threads[i][SUBMITTERS + 2], NULL, drain_pipe, &pipes[i][0]);
        }
    }
    avenc_device_close(device); /* the channels keep it */
    for (unsigned i = 0; i < channels; i++) {
        for (int k = 0; k < SUBMITTERS; k++) {
            submitters[i][k] = (submitter){&jobs[i], k};
            pthread_create(&threads[i][k], NULL, submit, &submitters[i][k]);
        }
        pthread_create(&threads[i][SUBMITTERS], NULL, receive, &jobs[i]);
        if (jobs[i].closed_early)
            pthread_create(&threads[i][SUBMITTERS + 1], NULL, close_early, &jobs[i]);
    }
    for (unsigned i = 0; i < channels; i++) {
        job *j = &jobs[i];
        for (int k = 0; k < SUBMITTERS + 1 + j->closed_early; k++)
            pthread_join(threads[i][k], NULL);
        CHECK(avenc_channel_close(j->channel, 20000) == AVENC_OK);
        uint64_t next = 0;
        for (int k = 0; k < 200; k++)
            take(j, &next);
        avenc_channel_stats stats;
        avenc_channel_stats_get(j->channel, &stats);
        CHECK(stats.in_flight == 0 && stats.ready == 0 && stats.spent == 0 && stats.held == 0 && stats.queued == 0);
        CHECK(atomic_load(&j->returned) == atomic_load(&j->accepted));
        CHECK(stats.submitted == atomic_load(&j->accepted));
        CHECK(stats.completed + stats.dropped_frames == stats.submitted);
        CHECK(stats.copies_out == stats.completed - stats.failed);
        CHECK(!j->sink || stats.written == stats.completed);
        for (int s = 0; s < SUBMITTERS; s++)
            for (unsigned f = 0; f < frames; f++)
                CHECK(atomic_load(&j->tokens[s][f]) != 1);
        CHECK(avenc_channel_destroy(j->channel, 20000) == AVENC_OK);
        avenc_notifier_release(j->notifier);
        if (j->sink) {
            close(pipes[i][1]);
            pthread_join(threads[i][SUBMITTERS + 2], NULL);
            close(pipes[i][0]);
        }
    }
    for (int kind = 0; kind < AVENC_LIVE_COUNT; kind++)
        CHECK(avenc_live(kind) == 0);
    CHECK(avenc_library_finalize(library) == AVENC_OK);
    puts("ok");
    return 0;
}
