// SPDX-License-Identifier: Apache-2.0
/*
 * Subscriptions and aclrtProcessReport.
 *
 * A reporter is the queue of one thread, found by pthread_self() (documented: that is the identity).
 * It exists while something is subscribed to the thread or the thread is inside aclrtProcessReport.
 *
 * A thread may be cancelled inside aclrtProcessReport: while it waits and while a callback runs, never
 * with a lock of ours held.
 */
#include "sim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    BATCH = 64,           /* callbacks of one call: with an endless supply it still returns now and then */
    MAX_REPORTERS = 1024, /* documented */
    RETIRED = -1,         /* no code of AscendCL's: the last subscription of a thread that waits has ended */
};

struct sim_reporter {
    struct sim_reporter *next; /* table_lock, as the next three */
    uint64_t thread;
    int32_t device;
    unsigned subscriptions, pumps;

    pthread_mutex_t lock; /* everything below */
    pthread_cond_t ready;
    sim_report *head, *tail;
    unsigned waiting;
    bool retired; /* nothing is subscribed any more */
};

static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t subscribed; /* see sim_report_init */
static sim_reporter *table;
static unsigned reporters;

__attribute__((constructor)) static void init(void) {
    sim_cond_init(&subscribed);
}

/* ---- table ------------------------------------------------------------------------------------------- */

static sim_reporter *find_locked(uint64_t thread) {
    for (sim_reporter *r = table; r != NULL; r = r->next)
        if (r->thread == thread && r->subscriptions != 0)
            return r;
    return NULL;
}

static void drop_if_unused_locked(sim_reporter *reporter) {
    if (reporter->subscriptions != 0 || reporter->pumps != 0)
        return;
    sim_reporter **link = &table;
    while (*link != reporter)
        link = &(*link)->next;
    *link = reporter->next;
    reporters--;
    pthread_cond_destroy(&reporter->ready);
    pthread_mutex_destroy(&reporter->lock);
    free(reporter);
}

static aclError acquire_locked(uint64_t thread, int32_t device, sim_reporter **out) {
    sim_reporter *reporter = find_locked(thread);
    if (reporter != NULL && reporter->device != device) /* documented */
        return ACL_ERROR_RT_THREAD_SUBSCRIBE;
    if (reporter == NULL) {
        if (reporters == MAX_REPORTERS)
            return ACL_ERROR_RT_THREAD_SUBSCRIBE;
        reporter = calloc(1, sizeof *reporter);
        if (reporter == NULL)
            return ACL_ERROR_BAD_ALLOC;
        reporter->thread = thread;
        reporter->device = device;
        pthread_mutex_init(&reporter->lock, NULL);
        sim_cond_init(&reporter->ready);
        reporter->next = table;
        table = reporter;
        reporters++;
    }
    reporter->subscriptions++;
    sim_live_add(SIM_SUBSCRIPTION, 1);
    pthread_cond_broadcast(&subscribed);
    *out = reporter;
    return ACL_SUCCESS;
}

aclError sim_reporter_acquire(uint64_t thread, int32_t device, sim_reporter **reporter) {
    pthread_mutex_lock(&table_lock);
    aclError rc = acquire_locked(thread, device, reporter);
    pthread_mutex_unlock(&table_lock);
    return rc;
}

static void wake(sim_reporter *reporter, bool retire) {
    pthread_mutex_lock(&reporter->lock);
    reporter->retired = reporter->retired || retire;
    pthread_cond_broadcast(&reporter->ready);
    pthread_mutex_unlock(&reporter->lock);
}

void sim_reporter_release(sim_reporter *reporter) {
    pthread_mutex_lock(&table_lock);
    sim_live_add(SIM_SUBSCRIPTION, -1);
    if (--reporter->subscriptions == 0) {
        wake(reporter, true); /* guessed: a thread that waits with nothing subscribed any more leaves */
        drop_if_unused_locked(reporter);
    }
    pthread_mutex_unlock(&table_lock);
}

uint64_t sim_reporter_thread(const sim_reporter *reporter) {
    return reporter->thread;
}

bool sim_reporter_has_pump(sim_reporter *reporter) {
    pthread_mutex_lock(&table_lock);
    bool result = reporter->pumps != 0;
    pthread_mutex_unlock(&table_lock);
    return result;
}

void sim_reporter_wake_all(void) {
    pthread_mutex_lock(&table_lock);
    for (sim_reporter *r = table; r != NULL; r = r->next)
        wake(r, false);
    pthread_mutex_unlock(&table_lock);
}

/* Whatever was subscribed has been released before; threads inside leave by themselves. */
void sim_report_reset(void) {
    sim_reporter_wake_all();
}

void sim_report_after_fork(void) {
    pthread_mutex_init(&table_lock, NULL);
    sim_cond_init(&subscribed);
    table = NULL;
    reporters = 0;
}

/* ---- queue -------------------------------------------------------------------------------------------- */

void sim_reporter_post(sim_reporter *reporter, sim_report *report) {
    pthread_mutex_lock(&reporter->lock);
    report->next = NULL;
    report->posted = true;
    if (reporter->tail != NULL)
        reporter->tail->next = report;
    else
        reporter->head = report;
    reporter->tail = report;
    if (reporter->waiting != 0)
        pthread_cond_signal(&reporter->ready);
    pthread_mutex_unlock(&reporter->lock);
}

static sim_report *take_locked(sim_reporter *reporter) {
    sim_report *report = reporter->head;
    if (report == NULL)
        return NULL;
    reporter->head = report->next;
    if (reporter->head == NULL)
        reporter->tail = NULL;
    report->posted = false;
    return report;
}

bool sim_reporter_withdraw(sim_reporter *reporter, sim_report *report) {
    pthread_mutex_lock(&reporter->lock);
    bool found = report->posted;
    if (found) {
        sim_report **link = &reporter->head, *before = NULL;
        while (*link != report) {
            before = *link;
            link = &before->next;
        }
        *link = report->next;
        if (reporter->tail == report)
            reporter->tail = before;
        report->posted = false;
    }
    pthread_mutex_unlock(&reporter->lock);
    return found;
}

/* ---- callbacks ------------------------------------------------------------------------------------------ */

static _Thread_local int program_cancel_state = PTHREAD_CANCEL_ENABLE;

typedef struct running_callback {
    void (*done)(void *);
    void *arg;
} running_callback;

static void cancelled_in_callback(void *pointer) {
    running_callback *running = pointer;
    sim_self.callbacks--;
    running->done(running->arg);
}

void sim_run_callback(void (*call)(void *), void *arg, void (*done)(void *)) {
    running_callback running = {done, arg};
    int ignored;
    sim_self.callbacks++;
    pthread_cleanup_push(cancelled_in_callback, &running);
    pthread_setcancelstate(program_cancel_state, &ignored);
    call(arg);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &program_cancel_state); /* a callback may change it for good */
    pthread_cleanup_pop(1);
}

/* ---- aclrtProcessReport ----------------------------------------------------------------------------------- */

static void leave_reporter(void *pointer) {
    sim_reporter *reporter = pointer;
    pthread_mutex_lock(&table_lock);
    reporter->pumps--;
    drop_if_unused_locked(reporter);
    pthread_mutex_unlock(&table_lock);
}

static void cancelled_in_wait(void *pointer) {
    sim_reporter *reporter = pointer;
    reporter->waiting--;
    pthread_mutex_unlock(&reporter->lock);
}

static void unlock_table(void *unused) {
    (void)unused;
    pthread_mutex_unlock(&table_lock);
}

/* A wait that may be cancelled, which runs `cleanup`. Deadline 0: none. Not inlined: the cleanup is a longjmp. */
__attribute__((noinline)) static int cancellable_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t deadline,
                                                      void (*cleanup)(void *), void *arg) {
    struct timespec until = {.tv_sec = (time_t)(deadline / 1000000000u), .tv_nsec = (long)(deadline % 1000000000u)};
    int ignored, rc;
    pthread_cleanup_push(cleanup, arg);
    pthread_setcancelstate(program_cancel_state, &ignored);
    rc = deadline != 0 ? pthread_cond_timedwait(cond, mutex, &until) : pthread_cond_wait(cond, mutex);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &ignored);
    pthread_cleanup_pop(0);
    return rc;
}

/* The calling thread's reporter with a pump counted; NULL: nothing is subscribed, or not in time. */
static sim_reporter *enter_reporter(uint64_t deadline, bool wait) {
    sim_reporter *reporter;
    pthread_mutex_lock(&table_lock);
    while ((reporter = find_locked((uint64_t)pthread_self())) == NULL && wait) {
        if (cancellable_wait(&subscribed, &table_lock, deadline, unlock_table, NULL) == ETIMEDOUT)
            break;
    }
    if (reporter != NULL)
        reporter->pumps++;
    pthread_mutex_unlock(&table_lock);
    return reporter;
}

/* Wait for the next report. NULL with *code: none. */
static sim_report *next_report(sim_reporter *reporter, uint64_t deadline, bool wait, aclError *code) {
    sim_report *report = NULL;
    *code = ACL_SUCCESS;
    pthread_mutex_lock(&reporter->lock);
    for (;;) {
        *code = sim_device_lost(reporter->device);
        if (*code != 0 || (report = take_locked(reporter)) != NULL)
            break;
        if (reporter->retired)
            *code = RETIRED;
        if (*code != 0 || !wait)
            break;
        reporter->waiting++;
        int rc = cancellable_wait(&reporter->ready, &reporter->lock, deadline, cancelled_in_wait, reporter);
        reporter->waiting--;
        if (rc == ETIMEDOUT && reporter->head == NULL) {
            *code = ACL_ERROR_RT_REPORT_TIMEOUT; /* documented */
            break;
        }
    }
    pthread_mutex_unlock(&reporter->lock);
    return report;
}

__attribute__((noinline)) static aclError process(sim_reporter *reporter, uint64_t deadline) {
    aclError code;
    sim_report *report = next_report(reporter, deadline, true, &code);
    for (int i = 1; report != NULL; i++) { /* documented: all that are available */
        report->run(report);
        report = i < BATCH ? next_report(reporter, deadline, false, &code) : NULL;
        code = ACL_SUCCESS;
    }
    return code;
}

/* Not inlined: see cancellable_wait. */
__attribute__((noinline)) static aclError process_and_leave(sim_reporter *reporter, uint64_t deadline) {
    aclError code;
    pthread_cleanup_push(leave_reporter, reporter);
    code = process(reporter, deadline);
    pthread_cleanup_pop(1);
    return code;
}

/* Documented: 107012 at once where nothing is subscribed; the option waits instead, also where nothing is any more. */
static aclError process_subscribed(uint64_t deadline) {
    for (;;) {
        bool wait = atomic_load_explicit(&sim_option.wait_unsubscribed, memory_order_relaxed) != 0;
        sim_reporter *reporter = enter_reporter(deadline, wait);
        if (reporter == NULL)
            return wait ? ACL_ERROR_RT_REPORT_TIMEOUT : ACL_ERROR_RT_THREAD_SUBSCRIBE;
        aclError code = process_and_leave(reporter, deadline);
        if (code != RETIRED)
            return code;
    }
}

static aclError process_report(const char *function, int32_t timeout) {
    if (timeout == 0 && sim_is_strict())
        sim_report_at("timeout-zero", function, "give a time in ms, or -1",
                      "a timeout of 0 does nothing: a loop with it only spins");
    if (timeout == 0 || timeout < -1) /* documented */
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM,
                           "timeout is %d, allowed are -1 and positive numbers of ms", timeout);
    uint64_t deadline = timeout < 0 ? 0 : sim_now_ns() + (uint64_t)timeout * 1000000u;
    int outer_state = program_cancel_state, state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    if (sim_self.callbacks == 0)
        program_cancel_state = state;
    aclError code = process_subscribed(deadline);
    state = program_cancel_state;
    if (sim_self.callbacks != 0)
        program_cancel_state = outer_state;
    pthread_setcancelstate(state, NULL);
    if (code == ACL_ERROR_RT_THREAD_SUBSCRIBE)
        return sim_fail_at(function, code, "nothing is subscribed to this thread");
    return code;
}

aclError aclrtProcessReport(int32_t timeout) {
    SIM_CALL(aclrtProcessReport, process_report(__func__, timeout));
}
