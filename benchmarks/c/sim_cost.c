// SPDX-License-Identifier: Apache-2.0
/*
 * What the simulated device itself costs: time from the call of aclvencSendFrame to the begin of the callback.
 *
 *   sim_cost one|two|wake <channels> <frames> <access unit bytes>
 *
 * "one": the sending thread processes the reports too, so that no thread has to be woken: the device's own cost.
 * "two": a report thread waits in aclrtProcessReport; the time holds the operating system's wake-up of that thread.
 * "wake": that wake-up alone, of a thread that waits for a condition variable; no device is used.
 * One frame is in flight; frames go round all channels, which exist during the whole run.
 * Prints: median and 99th percentile in ns.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ascendcl.h"
#include "aclsim.h"

enum { MAX_CHANNELS = 64, SIDE = 128, PICTURE = SIDE * SIDE * 3 / 2, WARM_UP = 200, PAUSE_NS = 50000 };

static atomic_uint_least64_t arrived; /* time of the callback; 0: not yet */
static atomic_bool stop;
static aclrtContext context;

#define CHECK(call)                                                                                                    \
    do {                                                                                                               \
        aclError code_ = (call);                                                                                       \
        if (code_ != ACL_SUCCESS) {                                                                                    \
            const char *text_ = aclGetRecentErrMsg();                                                                  \
            fprintf(stderr, "%s -> %d %s\n", #call, code_, text_ != NULL ? text_ : "");                                \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void on_frame(acldvppPicDesc *input, acldvppStreamDesc *output, void *user_data) {
    uint64_t now = now_ns();
    (void)input;
    (void)user_data;
    if (acldvppGetStreamDescRetCode(output) != 0 || acldvppGetStreamDescSize(output) == 0) {
        fprintf(stderr, "a frame failed\n");
        exit(1);
    }
    atomic_store(&arrived, now);
}

static void *report(void *arg) {
    (void)arg;
    CHECK(aclrtSetCurrentContext(context));
    while (!atomic_load(&stop))
        aclrtProcessReport(100);
    return NULL;
}

/* Long enough for a thread that has nothing to do to be really asleep. */
static void pause_for_sleep(void) {
    for (uint64_t until = now_ns() + PAUSE_NS; now_ns() < until;)
        continue;
}

static pthread_mutex_t bell_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t bell = PTHREAD_COND_INITIALIZER;
static bool rung, asleep;

static void *wait_for_the_bell(void *arg) {
    (void)arg;
    pthread_mutex_lock(&bell_lock);
    while (!atomic_load(&stop)) {
        asleep = true;
        while (!rung)
            pthread_cond_wait(&bell, &bell_lock);
        rung = asleep = false;
        atomic_store(&arrived, now_ns());
    }
    pthread_mutex_unlock(&bell_lock);
    return NULL;
}

static void ring(void) {
    pthread_mutex_lock(&bell_lock);
    rung = true;
    pthread_cond_signal(&bell);
    pthread_mutex_unlock(&bell_lock);
}

static void measure_wake_ups(uint64_t *times, long frames) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, wait_for_the_bell, NULL) != 0)
        exit(1);
    for (long i = -WARM_UP; i < frames; i++) {
        uint64_t end;
        for (bool ready = false; !ready;) {
            pthread_mutex_lock(&bell_lock);
            ready = asleep;
            pthread_mutex_unlock(&bell_lock);
        }
        pause_for_sleep();
        atomic_store(&arrived, 0);
        uint64_t begin = now_ns();
        ring();
        while ((end = atomic_load(&arrived)) == 0)
            continue;
        if (i >= 0)
            times[i] = end - begin;
    }
    atomic_store(&stop, true);
    ring();
    pthread_join(thread, NULL);
}

static int by_size(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static aclvencChannelDesc *open_channel(pthread_t thread) {
    aclvencChannelDesc *desc = aclvencCreateChannelDesc();
    CHECK(aclvencSetChannelDescThreadId(desc, (uint64_t)thread));
    CHECK(aclvencSetChannelDescCallback(desc, on_frame));
    CHECK(aclvencSetChannelDescPicFormat(desc, PIXEL_FORMAT_YUV_SEMIPLANAR_420));
    CHECK(aclvencSetChannelDescEnType(desc, H264_MAIN_LEVEL));
    CHECK(aclvencSetChannelDescPicWidth(desc, SIDE));
    CHECK(aclvencSetChannelDescPicHeight(desc, SIDE));
    CHECK(aclvencSetChannelDescKeyFrameInterval(desc, 65536));
    CHECK(aclvencCreateChannel(desc));
    return desc;
}

static void measure_frames(uint64_t *times, long frames, int count, bool two) {
    CHECK(aclInit(NULL));
    CHECK(aclrtSetDevice(0));
    CHECK(aclrtGetCurrentContext(&context));
    pthread_t thread = pthread_self();
    if (two && pthread_create(&thread, NULL, report, NULL) != 0)
        exit(1);
    aclvencChannelDesc *channels[MAX_CHANNELS];
    for (int i = 0; i < count; i++)
        channels[i] = open_channel(thread);
    void *memory;
    CHECK(acldvppMalloc(&memory, PICTURE));
    acldvppPicDesc *picture = acldvppCreatePicDesc();
    CHECK(acldvppSetPicDescData(picture, memory));
    CHECK(acldvppSetPicDescSize(picture, PICTURE));
    aclvencFrameConfig *config = aclvencCreateFrameConfig();

    for (long i = -WARM_UP; i < frames; i++) {
        if (two)
            pause_for_sleep();
        atomic_store(&arrived, 0);
        uint64_t begin = now_ns(), end;
        CHECK(aclvencSendFrame(channels[(i + WARM_UP) % count], picture, NULL, config, NULL));
        if (!two)
            CHECK(aclrtProcessReport(1000));
        while ((end = atomic_load(&arrived)) == 0)
            continue;
        if (i >= 0)
            times[i] = end - begin;
    }

    for (int i = 0; i < count; i++) {
        CHECK(aclvencDestroyChannel(channels[i]));
        CHECK(aclvencDestroyChannelDesc(channels[i]));
    }
    atomic_store(&stop, true);
    if (two)
        pthread_join(thread, NULL);
    CHECK(aclvencDestroyFrameConfig(config));
    CHECK(acldvppDestroyPicDesc(picture));
    CHECK(acldvppFree(memory));
    CHECK(aclrtResetDevice(0));
    CHECK(aclFinalize());
}

int main(int argc, char **argv) {
    const char *mode = argc == 5 ? argv[1] : "";
    int count = argc == 5 ? atoi(argv[2]) : 0;
    long frames = argc == 5 ? atol(argv[3]) : 0;
    bool wake = strcmp(mode, "wake") == 0, two = strcmp(mode, "two") == 0, one = strcmp(mode, "one") == 0;
    if (count < 1 || count > MAX_CHANNELS || frames < 1 || !(one || two || wake) ||
        aclsim_set_option("null_codec", strtoull(argv[4], NULL, 10)) != 0) {
        fprintf(stderr, "usage: sim_cost one|two|wake <1..%d channels> <frames> <access unit bytes>\n", MAX_CHANNELS);
        return 2;
    }
    uint64_t *times = malloc((size_t)frames * sizeof *times);
    if (times == NULL)
        return 1;
    if (wake)
        measure_wake_ups(times, frames);
    else
        measure_frames(times, frames, count, two);
    qsort(times, (size_t)frames, sizeof *times, by_size);
    printf("%" PRIu64 " %" PRIu64 "\n", times[frames / 2], times[frames * 99 / 100]);
    free(times);
    return 0;
}
