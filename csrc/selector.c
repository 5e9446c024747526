// SPDX-License-Identifier: Apache-2.0
/*
 * One wait for any number of channels: which of them have news.
 *
 * A list of keys, each in it once, rather than a signal alone: with 64 channels, asking each of them
 * after each wake-up costs more than the wake-up. Keys, not channels, are listed, so that a channel may
 * end at any time.
 */
#include "engine.h"

#include <stdlib.h>

struct avenc_selector {
    uint32_t generation;
    atomic_uint references;
    pthread_mutex_t lock; /* everything below */
    pthread_cond_t changed;
    unsigned waiting;  /* threads that sleep until a key is listed */
    bool hurry;        /* something other than a packet: who collects stops that */
    bool *listed;      /* by key */
    uint32_t *ring;    /* `count` keys from `first` on; room for each key once */
    uint32_t capacity; /* keys that there is room for */
    uint32_t first, count;
    uint64_t marks; /* in all */
    avi_pace pace;  /* of marks, at the last wait */
};

int avenc_selector_create(avenc_selector **out) {
    if (!out)
        return avi_fail(AVENC_E_INVALID, __func__, "selector must not be NULL");
    avenc_selector *selector = calloc(1, sizeof *selector);
    if (!selector)
        return avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
    selector->generation = avi_generation();
    atomic_store(&selector->references, 1);
    pthread_mutex_init(&selector->lock, NULL);
    avi_cond_init(&selector->changed);
    avi_live_add(AVENC_LIVE_SELECTOR, 1);
    *out = selector;
    return AVENC_OK;
}

void avi_selector_drop(avenc_selector *selector) {
    if (atomic_fetch_sub(&selector->references, 1) != 1)
        return;
    pthread_cond_destroy(&selector->changed);
    pthread_mutex_destroy(&selector->lock);
    free(selector->listed);
    free(selector->ring);
    free(selector);
    avi_live_add(AVENC_LIVE_SELECTOR, -1);
}

void avenc_selector_release(avenc_selector *selector) {
    if (selector && selector->generation == avi_generation())
        avi_selector_drop(selector);
}

/* Room for `key`, so that marking it never allocates. */
static int reserve_locked(avenc_selector *selector, uint32_t key) {
    if (key < selector->capacity)
        return AVENC_OK;
    uint32_t capacity = key < 32 ? 64 : 2 * key;
    bool *listed = calloc(capacity, sizeof *listed);
    uint32_t *ring = calloc(capacity, sizeof *ring);
    if (!listed || !ring) {
        free(listed);
        free(ring);
        return avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
    }
    for (uint32_t i = 0; i < selector->count; i++) {
        ring[i] = selector->ring[(selector->first + i) % selector->capacity];
        listed[ring[i]] = true;
    }
    free(selector->listed);
    free(selector->ring);
    selector->listed = listed;
    selector->ring = ring;
    selector->first = 0;
    selector->capacity = capacity;
    return AVENC_OK;
}

void avi_selector_mark(avenc_selector *selector, uint32_t key, bool hurry) {
    pthread_mutex_lock(&selector->lock);
    selector->marks++;
    if (key < selector->capacity && !selector->listed[key]) {
        selector->listed[key] = true;
        selector->ring[(selector->first + selector->count++) % selector->capacity] = key;
    }
    selector->hurry = selector->hurry || hurry;
    bool wake = selector->waiting > 0 || hurry;
    selector->waiting = 0; /* one wake-up for all marks until they wait again */
    pthread_mutex_unlock(&selector->lock);
    if (wake)
        pthread_cond_broadcast(&selector->changed);
}

void avenc_selector_mark(avenc_selector *selector, uint32_t key) {
    if (selector && selector->generation == avi_generation())
        avi_selector_mark(selector, key, true);
}

static uint32_t take_locked(avenc_selector *selector, uint32_t *keys, uint32_t max) {
    uint32_t taken = 0;
    while (taken < max && selector->count > 0) {
        uint32_t key = selector->ring[selector->first];
        selector->first = (selector->first + 1) % selector->capacity;
        selector->count--;
        selector->listed[key] = false;
        keys[taken++] = key;
    }
    return taken;
}

int avenc_selector_wait(avenc_selector *selector, uint32_t timeout_ms, uint32_t linger_us, uint32_t *keys, uint32_t max,
                        uint32_t *count) {
    if (!selector || !keys || !count || max == 0)
        return avi_fail(AVENC_E_INVALID, __func__, "selector, keys and count must not be NULL, max must not be 0");
    if (selector->generation != avi_generation())
        return avi_fail_forked(__func__);
    uint64_t deadline = avi_deadline_after(timeout_ms), now;
    pthread_mutex_lock(&selector->lock);
    if (linger_us && timeout_ms && avi_worth_lingering(&selector->pace, selector->marks, linger_us * 1000ull)) {
        uint64_t until = avi_now_ns() + linger_us * 1000ull;
        until = until < deadline ? until : deadline;
        while (!selector->hurry && avi_now_ns() < until)
            avi_cond_wait_until(&selector->changed, &selector->lock, until);
    }
    while (selector->count == 0 && (now = avi_now_ns()) < deadline) {
        selector->waiting++;
        avi_cond_wait_until(&selector->changed, &selector->lock, deadline);
    }
    *count = take_locked(selector, keys, max);
    selector->hurry = false;
    pthread_mutex_unlock(&selector->lock);
    if (*count == 0)
        return avi_fail(AVENC_E_TIMEOUT, __func__, "no channel had news for %u ms", timeout_ms);
    return AVENC_OK;
}

int avenc_channel_attach_selector(avenc_channel *channel, avenc_selector *selector, uint32_t key) {
    if (!channel || !selector || key >= AVENC_MAX_KEYS)
        return avi_fail(AVENC_E_INVALID, __func__,
                        "channel and selector must not be NULL, key is %u, allowed is 0 to %d", key,
                        AVENC_MAX_KEYS - 1);
    if (channel->generation != avi_generation())
        return avi_fail_forked(__func__);
    pthread_mutex_lock(&selector->lock);
    int rc = reserve_locked(selector, key);
    pthread_mutex_unlock(&selector->lock);
    if (rc != AVENC_OK)
        return rc;
    pthread_mutex_lock(&channel->lock);
    if (channel->selector) {
        rc = avi_fail(AVENC_E_FULL, __func__, "the channel has a selector already");
    } else {
        atomic_fetch_add(&selector->references, 1);
        channel->selector = selector;
        channel->selector_key = key;
    }
    pthread_mutex_unlock(&channel->lock);
    if (rc == AVENC_OK)
        avi_selector_mark(selector, key, true); /* it may have packets already */
    return rc;
}

void avenc_channel_detach_selector(avenc_channel *channel) {
    if (!channel || channel->generation != avi_generation())
        return;
    pthread_mutex_lock(&channel->lock);
    avenc_selector *selector = channel->selector;
    channel->selector = NULL;
    pthread_mutex_unlock(&channel->lock);
    if (selector)
        avi_selector_drop(selector);
}
