// SPDX-License-Identifier: Apache-2.0
/*
 * Streams that lose their subscription, or end, while a blocking callback of theirs returns with tasks queued behind it. A
 * sanitizer may find nothing.
 *
 *     stream_ends rounds
 */
#include "ascendcl.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                                                    \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

enum { COPIES = 20, SIZE = 4096 };

static aclrtContext context;
static pthread_t report_thread;
static atomic_int over, inside, may_return;
static void *device, *host;

/* Relaxed, here and below: these flags put nothing in order, so that the thread sanitizer sees what the device leaves out. */
static int is_set(atomic_int *flag) {
    return atomic_load_explicit(flag, memory_order_relaxed);
}

static void set(atomic_int *flag, int value) {
    atomic_store_explicit(flag, value, memory_order_relaxed);
}

static void *process(void *unused) {
    CHECK(aclrtSetCurrentContext(context) == 0);
    while (!is_set(&over))
        (void)aclrtProcessReport(50); /* 107012 before the first subscription */
    return unused;
}

/* Goes through all streams of the device, which come and go meanwhile. */
static void *look(void *unused) {
    CHECK(aclrtSetCurrentContext(context) == 0);
    while (!is_set(&over))
        (void)aclrtSynchronizeDeviceWithTimeout(1);
    return unused;
}

static void wait_for(void *unused) {
    (void)unused;
    set(&inside, 1);
    while (!is_set(&may_return))
        sched_yield();
    set(&inside, 0);
}

static void return_at_once(void *unused) {
    (void)unused;
}

static aclrtStream subscribed_stream(void) {
    aclrtStream stream;
    CHECK(aclrtCreateStream(&stream) == 0);
    CHECK(aclrtSubscribeReport((uint64_t)report_thread, stream) == 0);
    return stream;
}

static void launch(aclrtStream stream, aclrtCallback callback) {
    CHECK(aclrtLaunchCallback(callback, NULL, ACL_CALLBACK_BLOCK, stream) == 0);
    for (int i = 0; i < COPIES; i++)
        CHECK(aclrtMemcpyAsync(device, SIZE, host, 64, ACL_MEMCPY_HOST_TO_DEVICE, stream) == 0);
    CHECK(aclrtLaunchCallback(return_at_once, NULL, ACL_CALLBACK_NO_BLOCK, stream) == 0);
}

static void end(aclrtStream stream, int unsubscribe) {
    if (unsubscribe)
        CHECK(aclrtUnSubscribeReport((uint64_t)report_thread, stream) == 0);
    CHECK(aclrtDestroyStreamForce(stream) == 0);
}

int main(int argc, char **argv) {
    int rounds = argc > 1 ? atoi(argv[1]) : 100;
    CHECK(aclInit(NULL) == 0 && aclrtSetDevice(0) == 0 && aclrtGetCurrentContext(&context) == 0);
    CHECK(aclrtMalloc(&device, SIZE, ACL_MEM_MALLOC_HUGE_FIRST) == 0 && aclrtMallocHost(&host, SIZE) == 0);
    CHECK(pthread_create(&report_thread, NULL, process, NULL) == 0);
    aclrtStream keeper = subscribed_stream(); /* the thread keeps its queue from now on */
    /* the stream ends first, and its callback returns behind that */
    for (int unsubscribe = 0; unsubscribe < 2; unsubscribe++) {
        set(&may_return, 0);
        aclrtStream stream = subscribed_stream();
        launch(stream, wait_for);
        while (!is_set(&inside))
            sched_yield();
        end(stream, unsubscribe);
        set(&may_return, 1);
        while (is_set(&inside))
            sched_yield();
    }
    /* both at the same time */
    pthread_t looker;
    CHECK(pthread_create(&looker, NULL, look, NULL) == 0);
    for (int i = 0; i < rounds; i++) {
        aclrtStream stream = subscribed_stream();
        launch(stream, return_at_once);
        for (int pause = i % 8; pause > 0; pause--)
            sched_yield();
        end(stream, i % 2);
    }
    set(&over, 1);
    pthread_join(report_thread, NULL);
    pthread_join(looker, NULL);
    CHECK(aclrtUnSubscribeReport((uint64_t)report_thread, keeper) == 0 && aclrtDestroyStream(keeper) == 0);
    CHECK(aclrtFree(device) == 0 && aclrtFreeHost(host) == 0);
    CHECK(aclrtResetDevice(0) == 0 && aclFinalize() == 0);
    puts("ok");
    return 0;
}
