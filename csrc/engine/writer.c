// SPDX-License-Identifier: Apache-2.0
#include "engine/sink.h"
#include "base/status.h"
#include "base/thread.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum {
    TURN = 64,   /* calls made for one sink before the others are looked at */
    EVENTS = 64, /* sinks that can be written, of one look */
};

static const uint64_t RETRY_NS = 10 * 1000 * 1000;
static const uint64_t LOOK_NS = 100 * 1000 * 1000; /* after files_task; most often other files are due before */

static pthread_mutex_t writer_lock = PTHREAD_MUTEX_INITIALIZER; /* everything below; a stream's lock may be held */
static struct wanted {
    avi_sink *first; /* to be looked at, all of them when the first is due; pipes also when files are */
    uint64_t due_ns;
} pipes = {NULL, AVI_FOR_EVER}, files = {NULL, AVI_FOR_EVER};
static avi_sink *batch;                 /* files that were due: files_task looks at one after the other */
static bool batching;                   /* it has not come to the end of that */
static uint64_t look_ns = AVI_FOR_EVER; /* when it should have */
static unsigned sinks;                  /* that the writer serves */
static int poll_set = -1, timer = -1;   /* -1: no writer runs */
static uint64_t sleeps_until;
static avi_event_rate event_rate; /* of what may be collected, over all sinks */
static uint64_t events;           /* how often there was some */

static void close_descriptors_locked(void) {
    close(poll_set); /* of -1 it is nothing */
    close(timer);
    poll_set = timer = -1;
}

/* Whoever wants it earlier moves the time of the writer's wake-up, and need not wake it for that. */
static void wake_at_locked(uint64_t due_ns) {
    const uint64_t S = 1000 * 1000 * 1000;
    struct itimerspec at = {.it_value = {(time_t)(due_ns / S), (long)(due_ns % S) + (due_ns == 0)}}; /* 0: never */
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL);
    sleeps_until = due_ns;
}

static void want_locked(avi_sink *sink, uint64_t due_ns) {
    struct wanted *list = sink->kind == AVI_FILE_SINK ? &files : &pipes;
    if (!sink->listed) {
        atomic_fetch_add(&sink->references, 1);
        sink->listed = true;
        sink->next = list->first;
        list->first = sink;
    }
    if (due_ns < list->due_ns)
        list->due_ns = due_ns;
    if (due_ns < sleeps_until)
        wake_at_locked(due_ns);
}

/* From now on it may be wanted again. Its reference is the caller's. */
static avi_sink *pop_locked(avi_sink **first) {
    avi_sink *sink = *first;
    if (sink) {
        *first = sink->next;
        sink->listed = false;
    }
    return sink;
}

/* One thread has all files that are due, as long as none of their writes blocks. */
static bool files_run(void *unused) {
    (void)unused;
    avi_sink *sink;
    do {
        avi_lock(&writer_lock);
        sink = pop_locked(&batch);
        batching = sink != NULL;
        avi_unlock(&writer_lock);
        if (sink) {
            avi_sink_post(sink, avi_task_run_here);
            avi_sink_drop(sink);
        }
    } while (sink);
    return false;
}

static avi_task files_task = {.run = files_run};

static avi_sink *take_all_locked(avi_sink **first, avi_sink *due) {
    for (avi_sink *sink; (sink = pop_locked(first)); due = sink)
        sink->due = due;
    return due;
}

/*
 * What is due, in a list that keeps its references; *until: when that is. Files come into it where files_task, which
 * is to be posted where it has got some, is still at those of before: one of them may block it.
 */
static avi_sink *take_due_locked(uint64_t now, uint64_t *until) {
    uint64_t files_ns = batching && look_ns < files.due_ns ? look_ns : files.due_ns;
    *until = pipes.due_ns < files_ns ? pipes.due_ns : files_ns;
    if (*until > now)
        return NULL;
    avi_sink *due = take_all_locked(&pipes.first, NULL);
    pipes.due_ns = AVI_FOR_EVER;
    if (files_ns > now)
        return due;
    if (batching)
        due = take_all_locked(&batch, take_all_locked(&files.first, due));
    else
        batch = files.first;
    files = (struct wanted){NULL, AVI_FOR_EVER};
    batching = batching || batch;
    look_ns = batch ? now + LOOK_NS : AVI_FOR_EVER;
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
        avi_sink_post(sink, avi_task_post);
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
    while (sinks > 0 || pipes.first || files.first) {
        uint64_t until, now = avi_now_ns();
        bool busy = batching;
        avi_sink *due = take_due_locked(now, &until);
        bool files_due = batching && !busy;
        sleeps_until = until;
        if (until > now && until != AVI_FOR_EVER)
            wake_at_locked(until);
        avi_unlock(&writer_lock);
        if (files_due)
            avi_task_post(&files_task);
        int count = epoll_wait(poll_set, events, EVENTS, until > now ? -1 : 0);
        avi_lock(&writer_lock);
        sleeps_until = 0;
        avi_unlock(&writer_lock);
        for (int i = 0; i < count; i++) { /* first: an event keeps no sink, and one that is over has none any more */
            if (events[i].data.ptr)
                serve(events[i].data.ptr);
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
    struct epoll_event event = {.events = EPOLLIN | EPOLLET}; /* which need not be read */
    poll_set = epoll_create1(EPOLL_CLOEXEC);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    int rc = poll_set < 0 || timer < 0 || epoll_ctl(poll_set, EPOLL_CTL_ADD, timer, &event) < 0
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
            want_locked(sink, waits ? event_rate.time + coalesce_us * 1000ull : 0);
        avi_unlock(&writer_lock);
    }
    if (file && !waits)
        avi_sink_post(sink, avi_task_post);
}

void avi_writer_delist(avi_sink *sink) {
    avi_lock(&writer_lock);
    if (sink->listed)
        want_locked(sink, 0); /* so that the list's reference is given back now */
    if (--sinks == 0)
        wake_at_locked(0);
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
    pipes = files = (struct wanted){NULL, AVI_FOR_EVER};
    files_task = (avi_task){.run = files_run};
    batch = NULL;
    batching = false;
    look_ns = AVI_FOR_EVER;
    sinks = 0;
    sleeps_until = 0;
}

__attribute__((constructor)) static void set_up(void) {
    avi_on_fork(after_fork);
}
