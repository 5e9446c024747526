// SPDX-License-Identifier: Apache-2.0
/*
 * Keys, not channels, are listed, each once: with 64 channels, asking each of them after each wake-up would cost more
 * than the wake-up, and a channel may end at any time.
 */
#define _GNU_SOURCE
#include "engine/waitset.h"
#include "base/status.h"
#include "base/thread.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct avenc_waitset {
    uint32_t generation;
    atomic_uint references;
    atomic_ullong signals; /* in all; written with the lock */
    pthread_mutex_t lock;  /* everything below */
    pthread_cond_t changed;
    bool urgent;         /* there was an urgent signal since somebody last collected */
    unsigned sleeping;   /* threads that any signal wakes; 0 once it was broadcast, until they sleep again */
    unsigned collecting; /* threads that an urgent signal wakes */
    bool *listed;        /* by key */
    uint32_t *ring;      /* `count` keys from `first` on; room for each key once */
    uint32_t capacity;   /* keys that there is room for */
    uint32_t first, count;
    avi_pace pace;
    int fd;     /* eventfd, or -1 */
    bool armed; /* the next signal makes it readable */
};

int avenc_waitset_create(avenc_waitset **out) {
    if (!out)
        return avi_fail(AVENC_E_INVALID, __func__, "waitset must not be NULL");
    avenc_waitset *waitset = calloc(1, sizeof *waitset);
    if (!waitset)
        return avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
    waitset->generation = avi_generation();
    waitset->fd = -1;
    atomic_store(&waitset->references, 1);
    pthread_mutex_init(&waitset->lock, NULL);
    avi_cond_init(&waitset->changed);
    avi_live_add(AVENC_LIVE_WAITSET, 1);
    int rc = avi_waitset_reserve(waitset, 0); /* a key that anybody may signal without having attached a channel */
    if (rc != AVENC_OK) {
        avi_waitset_drop(waitset);
        return rc;
    }
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
    pthread_cond_destroy(&waitset->changed);
    pthread_mutex_destroy(&waitset->lock);
    free(waitset->listed);
    free(waitset->ring);
    free(waitset);
    avi_live_add(AVENC_LIVE_WAITSET, -1);
}

void avenc_waitset_release(avenc_waitset *waitset) {
    if (waitset && waitset->generation == avi_generation())
        avi_waitset_drop(waitset);
}

int avi_waitset_reserve(avenc_waitset *waitset, uint32_t key) {
    int rc = AVENC_OK;
    avi_lock(&waitset->lock);
    if (key >= waitset->capacity) {
        uint32_t capacity = key < 32 ? 64 : 2 * key;
        bool *listed = calloc(capacity, sizeof *listed);
        uint32_t *ring = calloc(capacity, sizeof *ring);
        if (listed && ring) {
            for (uint32_t i = 0; i < waitset->count; i++) {
                ring[i] = waitset->ring[(waitset->first + i) % waitset->capacity];
                listed[ring[i]] = true;
            }
            free(waitset->listed);
            free(waitset->ring);
            waitset->listed = listed;
            waitset->ring = ring;
            waitset->first = 0;
            waitset->capacity = capacity;
        } else {
            free(listed);
            free(ring);
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
    uint64_t one = 1;
    while (write(waitset->fd, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

void avi_waitset_signal(avenc_waitset *waitset, uint32_t key, bool urgent) {
    avi_lock(&waitset->lock);
    atomic_fetch_add(&waitset->signals, 1);
    waitset->urgent = waitset->urgent || urgent;
    if (key < waitset->capacity && !waitset->listed[key]) {
        waitset->listed[key] = true;
        waitset->ring[(waitset->first + waitset->count++) % waitset->capacity] = key;
    }
    make_readable_locked(waitset);
    bool wake = waitset->sleeping > 0 || (urgent && waitset->collecting > 0);
    waitset->sleeping = 0; /* one wake-up for all signals until they sleep again */
    avi_unlock(&waitset->lock);
    if (wake)
        pthread_cond_broadcast(&waitset->changed);
}

void avenc_waitset_signal(avenc_waitset *waitset, uint32_t key) {
    if (waitset && waitset->generation == avi_generation())
        avi_waitset_signal(waitset, key, true);
}

uint64_t avi_waitset_signals(avenc_waitset *waitset) {
    return atomic_load(&waitset->signals);
}

void avi_waitset_sleep(avenc_waitset *waitset, uint64_t seen, uint64_t deadline_ns) {
    avi_lock(&waitset->lock);
    while (atomic_load(&waitset->signals) <= seen && (deadline_ns == AVI_FOR_EVER || avi_now_ns() < deadline_ns)) {
        waitset->sleeping++;
        avi_cond_wait_until(&waitset->changed, &waitset->lock, deadline_ns);
    }
    avi_unlock(&waitset->lock);
}

/* ---- coalescing -------------------------------------------------------------------------------- */

bool avi_worth_coalescing(avi_pace *pace, uint64_t events, uint32_t coalesce_us) {
    uint64_t now = avi_now_ns(), passed = now - pace->time, happened = events - pace->events;
    bool known = pace->time != 0 && passed > 0;
    *pace = (avi_pace){now, events};
    return known && happened * coalesce_us * 1000ull >= 2 * passed;
}

static void collect_locked(avenc_waitset *waitset, uint64_t events, uint32_t coalesce_us, uint64_t deadline_ns) {
    if (!coalesce_us || !avi_worth_coalescing(&waitset->pace, events, coalesce_us))
        return;
    uint64_t until = avi_now_ns() + coalesce_us * 1000ull;
    until = until < deadline_ns ? until : deadline_ns;
    waitset->collecting++;
    while (!waitset->urgent && avi_now_ns() < until)
        avi_cond_wait_until(&waitset->changed, &waitset->lock, until);
    waitset->collecting--;
}

void avi_waitset_collect(avenc_waitset *waitset, uint64_t events, uint32_t coalesce_us, uint64_t deadline_ns) {
    avi_lock(&waitset->lock);
    collect_locked(waitset, events, coalesce_us, deadline_ns);
    waitset->urgent = false;
    avi_unlock(&waitset->lock);
}

/* ---- taking keys ------------------------------------------------------------------------------- */

static uint32_t take_locked(avenc_waitset *waitset, uint32_t *keys, uint32_t max) {
    uint32_t taken = 0;
    while (taken < max && waitset->count > 0) {
        uint32_t key = waitset->ring[waitset->first];
        waitset->first = (waitset->first + 1) % waitset->capacity;
        waitset->count--;
        waitset->listed[key] = false;
        keys[taken++] = key;
    }
    return taken;
}

int avenc_waitset_take(avenc_waitset *waitset, const avenc_wait *wait, uint32_t coalesce_us, uint32_t *keys,
                       uint32_t max, uint32_t *count) {
    if (!waitset || !keys || !count || max == 0)
        return avi_fail(AVENC_E_INVALID, __func__, "waitset, keys and count must not be NULL, max must not be 0");
    *count = 0;
    if (waitset->generation != avi_generation())
        return avi_fail_forked(__func__);
    uint64_t deadline = wait ? wait->deadline_ns : 0;
    uint64_t look = !wait || wait->look_ns == AVI_FOR_EVER ? AVI_FOR_EVER : avi_now_ns() + wait->look_ns;
    uint64_t until = look < deadline ? look : deadline;
    avi_lock(&waitset->lock);
    if (wait)
        collect_locked(waitset, atomic_load(&waitset->signals), coalesce_us, until);
    while (waitset->count == 0 && (until == AVI_FOR_EVER || avi_now_ns() < until)) {
        waitset->sleeping++;
        avi_cond_wait_until(&waitset->changed, &waitset->lock, until);
    }
    *count = take_locked(waitset, keys, max);
    waitset->urgent = false;
    avi_unlock(&waitset->lock);
    if (*count)
        return AVENC_OK;
    return avi_fail(until < deadline ? AVENC_E_LOOK : AVENC_E_TIMEOUT, __func__, "no channel made progress");
}

/* ---- for event loops --------------------------------------------------------------------------- */

int avenc_waitset_fd(avenc_waitset *waitset) {
    int made = -1;
    avi_lock(&waitset->lock);
    if (waitset->fd < 0)
        waitset->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if ((made = waitset->fd) < 0)
        avi_fail(AVENC_E_NOMEM, "eventfd", "no file descriptor to be had: %s", strerror(errno));
    avi_unlock(&waitset->lock);
    return made;
}

void avenc_waitset_arm(avenc_waitset *waitset) {
    avi_lock(&waitset->lock);
    if (!waitset->armed && waitset->fd >= 0) {
        uint64_t count;
        while (read(waitset->fd, &count, sizeof count) < 0 && errno == EINTR)
            continue;
        waitset->armed = true;
    }
    if (waitset->count)
        make_readable_locked(waitset);
    avi_unlock(&waitset->lock);
}
