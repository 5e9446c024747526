// SPDX-License-Identifier: Apache-2.0
/*
 * Every call that allocates, with the 1st, 2nd, ... allocation in it failing, on whichever thread: it says so, and leaves
 * nothing behind. Linked with --wrap for the functions below, so that calls of the engine and of the loop come here.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/thread.h"
#include "channels.h"

static atomic_int until; /* allocations until one fails; 0: none does */
static atomic_int struck;

static bool fails(void) {
    int left = atomic_load(&until);
    while (left > 0 && !atomic_compare_exchange_weak(&until, &left, left - 1))
        continue;
    if (left == 1)
        atomic_fetch_add(&struck, 1);
    return left == 1;
}

void *__real_malloc(size_t);
void *__real_calloc(size_t, size_t);
void *__real_realloc(void *, size_t);
void *__real_mmap(void *, size_t, int, int, int, off_t);
int __real_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
int __real_eventfd(unsigned, int);
int __real_timerfd_create(int, int);
int __real_epoll_create1(int);
int __real_epoll_ctl(int, int, int, struct epoll_event *);

void *__wrap_malloc(size_t size) {
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size) {
    return fails() ? NULL : __real_realloc(memory, size);
}

void *__wrap_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset) {
    if (!fails())
        return __real_mmap(address, size, protection, flags, fd, offset);
    errno = ENOMEM;
    return MAP_FAILED;
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *arg) {
    return fails() ? EAGAIN : __real_pthread_create(thread, attributes, body, arg);
}

int __wrap_eventfd(unsigned count, int flags) {
    errno = EMFILE;
    return fails() ? -1 : __real_eventfd(count, flags);
}

int __wrap_timerfd_create(int clock, int flags) {
    errno = EMFILE;
    return fails() ? -1 : __real_timerfd_create(clock, flags);
}

int __wrap_epoll_create1(int flags) {
    errno = EMFILE;
    return fails() ? -1 : __real_epoll_create1(flags);
}

int __wrap_epoll_ctl(int set, int what, int fd, struct epoll_event *event) {
    errno = ENOMEM;
    return fails() ? -1 : __real_epoll_ctl(set, what, fd, event);
}

/* What a call may say when an allocation in it failed. */
static bool lacks(int rc) {
    return rc == AVENC_E_NOMEM || rc == AVENC_E_THREAD || rc == AVENC_E_SINK;
}

/*
 * Call `attempt` with the nth allocation failing, for n from 1 until none fails any more. It returns a status, and
 * has undone what it did. Failing threads of the queue cost nothing as long as there is one.
 */
static void sweep(int (*attempt)(void)) {
    for (int nth = 1;; nth++) {
        CHECK(nth < 500);
        atomic_store(&struck, 0);
        atomic_store(&until, nth);
        int rc = attempt();
        atomic_store(&until, 0);
        CHECK(rc == AVENC_OK || lacks(rc));
        if (!atomic_load(&struck)) {
            CHECK(rc == AVENC_OK && nth > 1);
            return;
        }
    }
}

static avenc_device *device;
static avenc_channel *channel;

/* ---- the calls --------------------------------------------------------------------------------------- */

static int open_and_close(void) {
    avenc_device *opened;
    int rc = loop_try_open(2, &opened);
    if (rc != AVENC_OK)
        return rc;
    rc = avenc_device_wait_open(opened, PATIENT);
    avenc_device_release(opened);
    return rc;
}

SCENARIO(opening_a_device_without_memory) {
    sweep(open_and_close);
}

static int create_and_close(void) {
    avenc_channel_config config = config_of(2, 1);
    avenc_channel *made;
    int rc = avenc_channel_create(device, &config, channel, &made);
    if (rc != AVENC_OK)
        return rc;
    rc = avenc_channel_wait_open(made, PATIENT);
    if (rc == AVENC_OK) {
        CHECK(avenc_channel_has_ended(made) == 0);
        if (!channel) {
            CHECK(avenc_channel_close(made) == AVENC_OK);
            CHECK(avenc_channel_wait_closed(made, PATIENT) == AVENC_OK);
        }
    }
    avenc_channel_release(made);
    return rc;
}

SCENARIO(creating_a_channel_without_memory) {
    device = loop_open(0);
    channel = NULL;
    sweep(create_and_close);
    avenc_device_release(device);
}

/* The predecessor goes on, whatever becomes of it. */
SCENARIO(creating_a_successor_without_memory) {
    device = loop_open(0);
    channel = open_channel(device, 2, 1);
    sweep(create_and_close);
    CHECK(submit(channel, 1) == AVENC_OK);
    expect(channel, 1);
    end_channel(channel);
    avenc_device_release(device);
}

static int succeed_and_send(void) {
    avenc_channel_config config = config_of(2, 1);
    avenc_channel *made;
    uint64_t first;
    int rc = avenc_channel_create(device, &config, channel, &made);
    if (rc != AVENC_OK)
        return rc;
    if ((rc = avenc_channel_wait_open(made, PATIENT)) != AVENC_OK) {
        avenc_channel_release(made);
        return rc;
    }
    CHECK(avenc_channel_succeed(made, &first) == AVENC_OK); /* allocates nothing */
    avenc_channel_release(channel);
    channel = made;
    if ((rc = submit(channel, 1)) == AVENC_OK)
        expect(channel, 1);
    return rc;
}

SCENARIO(taking_a_place_without_memory) {
    device = loop_open(0);
    channel = open_channel(device, 2, 1);
    sweep(succeed_and_send);
    end_channel(channel);
    avenc_device_release(device);
}

/* Each time a slot and a packet that are not there yet. */
static avenc_frame *frames[64];
static unsigned frame_count;

static int acquire_one_more(void) {
    avenc_frame_memory memory;
    int rc = avenc_channel_acquire(channel, PATIENT, &frames[frame_count], &memory);
    if (rc == AVENC_OK) {
        memset(memory.y, 1, SIZE);
        frame_count++;
    }
    return rc;
}

SCENARIO(acquiring_without_memory) {
    for (int host = 0; host < 2; host++) {
        loop_on_host(0, host);
        device = loop_open(0);
        channel = open_channel(device, 1, 40);
        frame_count = 0;
        sweep(acquire_one_more);
        CHECK(frame_count >= 1 && stats_of(channel).held == frame_count);
        while (frame_count)
            avenc_frame_release(frames[--frame_count]);
        CHECK(enqueue(channel, 1) == AVENC_OK);
        expect(channel, 1);
        end_channel(channel);
        avenc_device_release(device);
        UNTIL(avenc_live(AVENC_LIVE_DEVICE) == 0);
    }
}

static uint64_t stamp;
static avenc_packet *kept[64];
static unsigned kept_count;

/* The packet is kept: each frame needs another one. */
static int submit_and_keep(void) {
    int rc = submit(channel, ++stamp);
    if (rc == AVENC_OK) {
        kept[kept_count] = take_packet(channel);
        CHECK(stamp_of(kept[kept_count++]) == stamp);
    }
    CHECK(stats_of(channel).in_flight == 0 && stats_of(channel).submitted == kept_count);
    return rc;
}

SCENARIO(submitting_without_memory) {
    device = loop_open(0);
    channel = open_channel(device, 2, 1);
    kept_count = 0;
    sweep(submit_and_keep);
    while (kept_count)
        avenc_packet_release(kept[--kept_count]);
    end_channel(channel);
    avenc_device_release(device);
}

static int ends[2];

static int set_and_write(void) {
    uint8_t byte[LOOP_HEAD + LOOP_STAMP];
    int rc = avenc_channel_set_sink(channel, ends[1], 0, PATIENT);
    if (rc == AVENC_OK) {
        if ((rc = submit(channel, 1)) == AVENC_OK) {
            CHECK(avenc_channel_wait_idle(channel, PATIENT) == AVENC_OK);
            CHECK(read(ends[0], byte, sizeof byte) == (ssize_t)sizeof byte);
        }
    } else { /* the sink before, which is none, is there still */
        CHECK(submit(channel, 1) == AVENC_OK);
        expect(channel, 1);
    }
    CHECK(avenc_channel_set_sink(channel, -1, 0, PATIENT) == AVENC_OK);
    UNTIL(avenc_live(AVENC_LIVE_SINK) == 0);
    uint64_t tags[8];
    while (avenc_channel_take_dropped(channel, tags, 8))
        continue;
    return rc;
}

SCENARIO(setting_a_sink_without_memory) {
    device = loop_open(0);
    channel = open_channel(device, 2, 1);
    CHECK(pipe(ends) == 0);
    sweep(set_and_write);
    end_channel(channel);
    avenc_device_release(device);
    close(ends[0]);
    close(ends[1]);
}

/* A pipe that is full, and no memory for the poll set to wait until it is not: it is looked at again. */
SCENARIO(a_full_sink_that_cannot_be_waited_for_is_looked_at_again) {
    enum { BIG = 260000 };
    device = loop_open(0);
    channel = open_channel(device, 2, 1);
    CHECK(pipe(ends) == 0);
    CHECK(avenc_channel_set_sink(channel, ends[1], 0, PATIENT) == AVENC_OK);
    loop_default(0, (loop_plan){.size = BIG});
    atomic_store(&struck, 0);
    CHECK(submit(channel, 1) == AVENC_OK); /* its packet is there, and so is its buffer */
    int there = 0, capacity = fcntl(ends[1], F_GETPIPE_SZ);
    UNTIL(ioctl(ends[0], FIONREAD, &there) == 0 && there == capacity);
    atomic_store(&until, 1);
    static uint8_t room[BIG];
    size_t have = 0;
    while (have < BIG) {
        ssize_t got = read(ends[0], room + have, 8192);
        CHECK(got > 0);
        have += (size_t)got;
        UNTIL(atomic_load(&struck) == 1); /* it is full again, and nothing waits for that to end */
    }
    CHECK(avenc_channel_wait_idle(channel, PATIENT) == AVENC_OK);
    end_channel(channel);
    avenc_device_release(device);
    close(ends[0]);
    close(ends[1]);
}

static avenc_waitset *waitset;

static int attach_far(void) {
    static uint32_t key = 100;
    int rc = avenc_channel_attach(channel, waitset, key *= 2);
    if (rc == AVENC_OK)
        avenc_channel_detach(channel, waitset);
    else
        key /= 2;
    return rc;
}

static int wait_set_and_descriptor(void) {
    avenc_waitset *made;
    int rc = avenc_waitset_create(&made);
    if (rc != AVENC_OK)
        return rc;
    if (avenc_waitset_fd(made) < 0)
        rc = avenc_last_failure()->code;
    avenc_waitset_release(made);
    return rc;
}

SCENARIO(wait_sets_without_memory) {
    device = loop_open(0);
    channel = open_channel(device, 1, 0);
    CHECK(avenc_waitset_create(&waitset) == AVENC_OK);
    sweep(attach_far);
    sweep(wait_set_and_descriptor);
    avenc_waitset_release(waitset);
    end_channel(channel);
    avenc_device_release(device);
}
