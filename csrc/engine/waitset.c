// SPDX-License-Identifier: Apache-2.0
/*
 * Keys, not channels, are listed, each once: with 64 channels, asking each of them after each wake-up would cost more
 * than the wake-up, and a channel may end at any time.
 *
 * Threads sleep on a count of signals, by futex(2) rather than on a condition: that one comes back when a signal of the
 * process interrupts it, so that Ctrl-C is seen at once.
 */
#include "engine/waitset.h"
#include "base/status.h"
#include "base/thread.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static const uint32_t LAST = UINT32_MAX;

struct avenc_waitset {
    uint32_t generation;
    bool counted; /* among the live objects: the caller's */
    atomic_uint references;
    atomic_uint signals;  /* in all, modulo 2^32; written with the lock */
    atomic_uint sleeping; /* threads that any signal wakes */
    atomic_uint patient;  /* threads that sleep patiently */
    pthread_mutex_t lock; /* everything below */
    bool urgent;          /* there was an urgent signal since somebody last collected */
    unsigned collecting;  /* threads that an urgent signal wakes */
    uint32_t *behind;     /* by key: 0, not listed; 1 + the key that was listed after it; LAST */
    uint32_t capacity;    /* keys that there is room for */
    uint32_t count;       /* keys that are listed */
    uint32_t first, last; /* of these */
    avi_event_rate event_rate;
    int fd;     /* eventfd, or -1 */
    bool armed; /* the next signal makes it readable */
    bool readable;
};

avenc_waitset *avi_waitset_create(void) {
    avenc_waitset *waitset = calloc(1, sizeof *waitset);
    if (!waitset)
        return NULL;
    waitset->generation = avi_generation();
    waitset->fd = -1;
    atomic_store(&waitset->references, 1);
    pthread_mutex_init(&waitset->lock, NULL);
    if (avi_waitset_reserve(waitset, 0) == AVENC_OK) /* a key to signal without having attached a channel */
        return waitset;
    avi_waitset_drop(waitset);
    return NULL;
}

int avenc_waitset_create(avenc_waitset **out) {
    if (!out)
        return avi_fail(AVENC_E_INVALID, __func__, "waitset must not be NULL");
    avenc_waitset *waitset = avi_waitset_create();
    if (!waitset)
        return avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
    waitset->counted = true;
    avi_live_add(AVENC_LIVE_WAITSET, 1);
    *out = waitset;
    return AVENC_OK;
}

void avi_waitset_retain(avenc_waitset *waitset) {
    atomic_fetch_add(&waitset->references, 1);
}

void avi_waitset_drop(avenc_waitset *waitset) {
    if (atomic_fetch_sub(&waitset->references, 1) != 1)
        return;
    if (waitset->fd >= 0)
        close(waitset->fd);
    pthread_mutex_destroy(&waitset->lock);
    free(waitset->behind);
    if (waitset->counted)
        avi_live_add(AVENC_LIVE_WAITSET, -1);
    free(waitset);
}

void avenc_waitset_release(avenc_waitset *waitset) {
    if (waitset && waitset->generation == avi_generation())
        avi_waitset_drop(waitset);
}

int avi_waitset_reserve(avenc_waitset *waitset, uint32_t key) {
    int rc = AVENC_OK;
    if (waitset->generation != avi_generation())
        return avi_fail_forked("avenc_channel_attach");
    avi_lock(&waitset->lock);
    if (key >= waitset->capacity) {
        uint32_t capacity = key < 32 ? 64 : 2 * (key + 1);
        uint32_t *behind = realloc(waitset->behind, capacity * sizeof *behind);
        if (behind) {
            memset(behind + waitset->capacity, 0, (capacity - waitset->capacity) * sizeof *behind);
            waitset->behind = behind;
            waitset->capacity = capacity;
        } else {
            rc = avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
        }
    }
    avi_unlock(&waitset->lock);
    return rc;
}

/* Only if armed: a busy event loop pays for no more wake-ups than it asked for. */
static void make_readable_locked(avenc_waitset *waitset) {
    if (!waitset->armed || waitset->fd < 0)
        return;
    waitset->armed = false;
    if (!waitset->readable)
        eventfd_write(waitset->fd, 1);
    waitset->readable = true;
}

enum { SLEEPERS = 1, COLLECTORS = 2, PATIENT = 4 }; /* who sleeps: futex's bits */

void avi_waitset_signal(avenc_waitset *waitset, uint32_t key, int whom) {
    avi_lock(&waitset->lock);
    atomic_fetch_add(&waitset->signals, 1);
    waitset->urgent = waitset->urgent || whom == AVI_URGENTLY;
    if (key < waitset->capacity && !waitset->behind[key]) {
        waitset->behind[key] = LAST;
        if (waitset->count++ == 0)
            waitset->first = key;
        else
            waitset->behind[waitset->last] = key + 1;
        waitset->last = key;
    }
    make_readable_locked(waitset);
    uint32_t sleepers = whom == AVI_URGENTLY && waitset->collecting ? COLLECTORS : 0;
    avi_unlock(&waitset->lock);
    sleepers |= atomic_load(&waitset->sleeping) ? SLEEPERS : 0;
    sleepers |= whom != AVI_IMPATIENT && atomic_load(&waitset->patient) ? PATIENT : 0;
    if (sleepers)
        avi_wake(&waitset->signals, sleepers);
}

void avenc_waitset_signal(avenc_waitset *waitset, uint32_t key) {
    if (waitset && waitset->generation == avi_generation())
        avi_waitset_signal(waitset, key, AVI_URGENTLY);
}

uint32_t avi_waitset_signals(avenc_waitset *waitset) {
    return atomic_load(&waitset->signals);
}

/* ---- one call's look at its avenc_wait ------------------------------------------------------------ */

avenc_wait avenc_wait_for(uint32_t timeout_ms) {
    uint64_t now = avi_now_ns();
    uint64_t deadline = timeout_ms == AVENC_NO_TIMEOUT ? AVI_FOR_EVER : now + (uint64_t)timeout_ms * 1000000u;
    return (avenc_wait){now, deadline, AVI_FOR_EVER, AVI_FOR_EVER};
}

static uint64_t later(uint64_t moment, uint64_t by) {
    return by >= AVI_FOR_EVER - moment ? AVI_FOR_EVER : moment + by;
}

static uint64_t earlier(uint64_t one, uint64_t other) {
    return one < other ? one : other;
}

uint64_t avi_look_at(const avenc_wait *wait) {
    return later(avi_now_ns(), wait->look_ns);
}

int avi_waiter_look(avi_waiter *waiter, uint64_t moved_ns, uint64_t *until_ns) {
    const avenc_wait *wait = waiter->wait;
    if (!wait)
        return AVENC_E_TIMEOUT;
    uint64_t now = avi_now_ns(), moved = wait->since_ns > moved_ns ? wait->since_ns : moved_ns;
    uint64_t stalled = later(moved, wait->stall_ns);
    waiter->stalled = now >= stalled && now < wait->deadline_ns;
    if (waiter->stalled || now >= wait->deadline_ns)
        return AVENC_E_TIMEOUT;
    if (now >= waiter->look_at)
        return avi_fail(AVENC_E_LOOK, waiter->call, "the wait goes on");
    *until_ns = earlier(earlier(wait->deadline_ns, stalled), waiter->look_at);
    return AVENC_OK;
}

void avi_waiter_sleep(avi_waiter *waiter, avenc_waitset *waitset, uint32_t seen, uint64_t until_ns) {
    bool patiently = waiter->at_least > 1, interrupted = false;
    atomic_uint *count = patiently ? &waitset->patient : &waitset->sleeping;
    atomic_fetch_add(count, 1);
    while (!interrupted && atomic_load(&waitset->signals) == seen &&
           (until_ns == AVI_FOR_EVER || avi_now_ns() < until_ns))
        interrupted = avi_sleep_while(&waitset->signals, seen, until_ns, patiently ? PATIENT : SLEEPERS);
    atomic_fetch_sub(count, 1);
    if (interrupted && waiter->look_at != AVI_FOR_EVER)
        waiter->look_at = 0; /* at the next look, unless what it waits for is there by then */
}

avi_bound avi_waiter_bound(const avi_waiter *waiter) {
    const avenc_wait *wait = waiter->wait;
    avi_bound bound = {"at this moment"};
    if (waiter->stalled)
        snprintf(bound.text, sizeof bound.text, "for %.3g s", (double)wait->stall_ns * 1e-9);
    else if (wait && wait->deadline_ns > wait->since_ns)
        snprintf(bound.text, sizeof bound.text, "within %.3g s", (double)(wait->deadline_ns - wait->since_ns) * 1e-9);
    return bound;
}

/* ---- coalescing -------------------------------------------------------------------------------- */

static void collect_locked(avenc_waitset *waitset, uint64_t events, uint32_t coalesce_us, const avi_waiter *waiter) {
    if (!coalesce_us || !avi_worth_coalescing(&waitset->event_rate, events, coalesce_us))
        return;
    uint64_t until = earlier(avi_now_ns() + coalesce_us * 1000ull, earlier(waiter->wait->deadline_ns, waiter->look_at));
    waitset->collecting++;
    while (!waitset->urgent && avi_now_ns() < until) {
        uint32_t seen = atomic_load(&waitset->signals);
        avi_unlock(&waitset->lock);
        bool interrupted = avi_sleep_while(&waitset->signals, seen, until, COLLECTORS);
        avi_lock(&waitset->lock);
        if (interrupted)
            break;
    }
    waitset->collecting--;
}

void avi_waitset_collect(avenc_waitset *waitset, uint64_t events, uint32_t coalesce_us, const avi_waiter *waiter) {
    avi_lock(&waitset->lock);
    collect_locked(waitset, events, coalesce_us, waiter);
    waitset->urgent = false;
    avi_unlock(&waitset->lock);
}

/* ---- taking keys ------------------------------------------------------------------------------- */

/* The key that was listed first; there is one. */
static uint32_t pop_key_locked(avenc_waitset *waitset) {
    uint32_t key = waitset->first;
    waitset->first = waitset->behind[key] - 1;
    waitset->behind[key] = 0;
    waitset->count--;
    return key;
}

int avenc_waitset_take(avenc_waitset *waitset, const avenc_wait *wait, uint32_t coalesce_us, uint32_t *keys,
                       uint32_t max, uint32_t *count) {
    if (!waitset || !keys || !count || max == 0)
        return avi_fail(AVENC_E_INVALID, __func__, "waitset, keys and count must not be NULL, max must not be 0");
    *count = 0;
    if (waitset->generation != avi_generation())
        return avi_fail_forked(__func__);
    avi_waiter waiter = avi_waiter_begin(wait, __func__);
    uint64_t until;
    eventfd_t signalled;
    int rc = AVENC_OK;
    avi_lock(&waitset->lock);
    if (wait)
        collect_locked(waitset, atomic_load(&waitset->signals), coalesce_us, &waiter);
    while (waitset->count == 0 && (rc = avi_waiter_look(&waiter, AVI_FOR_EVER, &until)) == AVENC_OK) {
        uint32_t seen = atomic_load(&waitset->signals);
        avi_unlock(&waitset->lock);
        avi_waiter_sleep(&waiter, waitset, seen, until);
        avi_lock(&waitset->lock);
    }
    if (waitset->readable)
        eventfd_read(waitset->fd, &signalled);
    waitset->readable = false;
    while (*count < max && waitset->count > 0)
        keys[(*count)++] = pop_key_locked(waitset);
    waitset->urgent = false;
    avi_unlock(&waitset->lock);
    if (*count)
        return AVENC_OK;
    return rc == AVENC_E_TIMEOUT ? avi_fail(AVENC_E_TIMEOUT, __func__, "no channel made progress") : rc;
}

/* ---- for event loops --------------------------------------------------------------------------- */

int avenc_waitset_fd(avenc_waitset *waitset) {
    int made = -1;
    if (!waitset) {
        avi_fail(AVENC_E_INVALID, __func__, "waitset must not be NULL");
    } else if (waitset->generation != avi_generation()) {
        avi_fail_forked(__func__);
    } else {
        avi_lock(&waitset->lock);
        if (waitset->fd < 0)
            waitset->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if ((made = waitset->fd) < 0)
            avi_fail(AVENC_E_NOMEM, "eventfd", "no file descriptor to be had: %s", strerror(errno));
        avi_unlock(&waitset->lock);
    }
    return made;
}

/* Does not make it unreadable: another waiter of the same loop may not have seen that yet. */
void avenc_waitset_arm(avenc_waitset *waitset) {
    if (waitset->generation != avi_generation())
        return;
    avi_lock(&waitset->lock);
    while (waitset->count > 0)
        pop_key_locked(waitset);
    waitset->armed = true;
    avi_unlock(&waitset->lock);
}
