// SPDX-License-Identifier: Apache-2.0
#include "engine/sink.h"
#include "base/status.h"
#include "base/thread.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    TURN = 64,   /* calls made for one sink before the others are looked at */
    EVENTS = 64, /* sinks that can be written, of one look */
};

static const uint64_t RETRY_NS = 10 * 1000 * 1000;

static pthread_mutex_t writer_lock = PTHREAD_MUTEX_INITIALIZER; /* everything below; a stream's lock may be held */
static avi_sink *wanted;                                        /* to be looked at, each when it is due */
static unsigned sinks;                                          /* that the writer serves */
static int poll_set = -1, wake_fd = -1;                         /* -1: no writer runs */
static uint64_t sleeps_until;
static avi_event_rate event_rate; /* of what may be collected, over all sinks */
static uint64_t events;           /* how often there was some */

static void close_descriptors_locked(void) {
    if (poll_set >= 0)
        close(poll_set);
    if (wake_fd >= 0)
        close(wake_fd);
    poll_set = wake_fd = -1;
}

static void want_locked(avi_sink *sink, uint64_t due_ns) {
    if (!sink->listed) {
        atomic_fetch_add(&sink->references, 1);
        sink->listed = true;
        sink->due_ns = due_ns;
        sink->next = wanted;
        wanted = sink;
    } else if (due_ns < sink->due_ns) {
        sink->due_ns = due_ns;
    }
    if (due_ns < sleeps_until) {
        sleeps_until = due_ns;
        eventfd_write(wake_fd, 1);
    }
}

/*
 * When the first of them is due all are taken, in a list of their own, which keeps their references: one wake-up is
 * enough. *until: when it is.
 */
static avi_sink *take_due_locked(uint64_t *until) {
    avi_sink *due = NULL;
    *until = AVI_FOR_EVER;
    for (const avi_sink *sink = wanted; sink; sink = sink->next)
        *until = sink->due_ns < *until ? sink->due_ns : *until;
    if (!wanted || *until > avi_now_ns())
        return NULL;
    while (wanted) {
        avi_sink *sink = wanted;
        wanted = sink->next;
        sink->listed = false; /* from now on it may be wanted again */
        sink->due = due;
        due = sink;
    }
    return due;
}

/* Hear when it can be written again. False: there was no memory for that. */
static bool arm(avi_sink *sink) {
    struct epoll_event event = {.events = EPOLLOUT | EPOLLONESHOT, .data.ptr = sink};
    bool armed = epoll_ctl(poll_set, sink->armed ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, sink->fd, &event) == 0;
    sink->armed = sink->armed || armed;
    return armed;
}

static void serve(avi_sink *sink) {
    int outcome = AVI_MORE;
    if (sink->kind == AVI_FILE_SINK) {
        avi_sink_post(sink);
        return;
    }
    for (int i = 0; i < TURN && outcome == AVI_MORE; i++)
        outcome = avi_writing_step(sink);
    if (outcome == AVI_OVER) {
        if (sink->armed)
            epoll_ctl(poll_set, EPOLL_CTL_DEL, sink->fd, NULL);
        avi_writer_delist(sink);
        avi_sink_drop(sink);
    } else if (outcome == AVI_MORE || (outcome == AVI_BLOCKED && !arm(sink))) { /* not armed: look by and by */
        avi_lock(&writer_lock);
        want_locked(sink, outcome == AVI_MORE ? 0 : avi_now_ns() + RETRY_NS);
        avi_unlock(&writer_lock);
    }
}

static void *writer_thread(void *unused) {
    (void)unused;
    avi_thread_begins("avenc-writer");
    struct epoll_event events[EVENTS];
    avi_lock(&writer_lock);
    while (sinks > 0 || wanted) {
        uint64_t until, now = avi_now_ns();
        avi_sink *due = take_due_locked(&until);
        sleeps_until = due ? 0 : until;
        avi_unlock(&writer_lock);
        int timeout = due ? 0 : until == AVI_FOR_EVER ? -1 : until > now ? (int)((until - now) / 1000000u) + 1 : 0;
        int count = epoll_wait(poll_set, events, EVENTS, timeout);
        avi_lock(&writer_lock);
        sleeps_until = 0;
        avi_unlock(&writer_lock);
        for (int i = 0; i < count; i++) { /* first: an event keeps no sink, and one that is over has none any more */
            eventfd_t woken;
            if (events[i].data.ptr)
                serve(events[i].data.ptr);
            else
                eventfd_read(wake_fd, &woken);
        }
        for (avi_sink *next; due; due = next) {
            next = due->due;
            serve(due);
            avi_sink_drop(due);
        }
        avi_lock(&writer_lock);
    }
    close_descriptors_locked();
    avi_unlock(&writer_lock);
    avi_thread_ends();
    return NULL;
}

static int start_locked(void) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    poll_set = epoll_create1(EPOLL_CLOEXEC);
    wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int rc = poll_set < 0 || wake_fd < 0 || epoll_ctl(poll_set, EPOLL_CTL_ADD, wake_fd, &event) < 0
                 ? avi_fail(AVENC_E_SINK, "epoll_create1", "no file descriptor to be had: errno %d", errno)
                 : avi_thread_start(writer_thread, NULL);
    if (rc != AVENC_OK)
        close_descriptors_locked();
    return rc;
}

void avi_writer_want(avi_sink *sink, uint32_t coalesce_us) {
    bool file = sink->kind == AVI_FILE_SINK, waits = false;
    if (!file || coalesce_us) {
        avi_lock(&writer_lock);
        waits = coalesce_us && avi_worth_coalescing(&event_rate, ++events, coalesce_us);
        if (!file || waits)
            want_locked(sink, waits ? avi_now_ns() + coalesce_us * 1000ull : 0);
        avi_unlock(&writer_lock);
    }
    if (file && !waits)
        avi_sink_post(sink);
}

void avi_writer_delist(avi_sink *sink) {
    avi_lock(&writer_lock);
    if (sink->listed)
        want_locked(sink, 0); /* so that the list's reference is given back now */
    if (--sinks == 0)
        eventfd_write(wake_fd, 1);
    avi_unlock(&writer_lock);
}

int avi_writer_enlist(void) {
    avi_lock(&writer_lock);
    int rc = poll_set < 0 ? start_locked() : AVENC_OK;
    if (rc == AVENC_OK)
        sinks++;
    avi_unlock(&writer_lock);
    return rc;
}

/* The writer stayed in the parent. */
static void after_fork(void) {
    pthread_mutex_init(&writer_lock, NULL);
    close_descriptors_locked();
    wanted = NULL;
    sinks = 0;
    sleeps_until = 0;
}

__attribute__((constructor)) static void set_up(void) {
    avi_on_fork(after_fork);
}
