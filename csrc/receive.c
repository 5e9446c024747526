// SPDX-License-Identifier: Apache-2.0
/*
 * Packets coming out: draining, waiting, and one wait for many channels.
 *
 * Whoever waits is woken by the report thread after aclrtProcessReport has returned, once for all
 * packets of that call. A waiter looks again every 50 ms in any case, so a runtime that stays inside
 * aclrtProcessReport only delays it.
 */
#define _GNU_SOURCE
#include "engine.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static const uint64_t WAIT_SLICE_NS = 50 * 1000 * 1000;

/* ---- waiting ------------------------------------------------------------------------------------- */

uint64_t avi_deadline_after(uint32_t timeout_ms) {
    return avi_now_ns() + (uint64_t)timeout_ms * 1000000u;
}

bool avi_wait_locked(avenc_channel *channel, uint64_t deadline, bool counted) {
    uint64_t now = avi_now_ns();
    if (now >= deadline)
        return false;
    uint64_t slice = now + WAIT_SLICE_NS;
    channel->waiters += counted;
    avi_cond_wait_until(&channel->progress, &channel->lock, slice < deadline ? slice : deadline);
    channel->waiters -= counted;
    return true;
}

static void announce_locked(avenc_channel *channel, bool hurry) {
    pthread_cond_broadcast(&channel->progress);
    for (int i = 0; i < AVENC_MAX_NOTIFIERS; i++)
        if (channel->notifiers[i])
            avenc_notifier_signal(channel->notifiers[i]);
    if (channel->selector)
        avi_selector_mark(channel->selector, channel->selector_key, hurry);
}

bool avi_worth_lingering(avi_pace *pace, uint64_t events, uint64_t linger_ns) {
    uint64_t now = avi_now_ns(), passed = now - pace->time, happened = events - pace->events;
    bool known = pace->time != 0 && passed > 0;
    *pace = (avi_pace){now, events};
    return known && happened * linger_ns >= 2 * passed;
}

void avi_announce_packets_locked(avenc_channel *channel) {
    announce_locked(channel, false);
}

void avi_announce_locked(avenc_channel *channel) {
    announce_locked(channel, true);
}

void avi_channel_broadcast(avenc_channel *channel) {
    pthread_mutex_lock(&channel->lock);
    avi_announce_locked(channel);
    pthread_mutex_unlock(&channel->lock);
}

int avi_fail_lost(avenc_channel *channel, const char *call) {
    int code = atomic_load(&channel->device->lost);
    return avi_fail(code, "aclrtProcessReport",
                    "the device stopped reporting (%s found out); frames in flight are lost", call);
}

int avi_fail_sink_locked(const avenc_channel *channel, const char *call) {
    char text[128];
    return avi_fail(AVENC_E_SINK, call,
                    "the sink, file descriptor %d, cannot be written: %s (errno %d); %u packets are not",
                    channel->sink_fd, strerror_r(channel->sink_error, text, sizeof text), channel->sink_error,
                    channel->stats.ready);
}

/* What the program may take: with a sink that works, only the frames that failed. */
static bool receivable_locked(const avenc_channel *channel) {
    const avi_packet *packet = channel->ready_head;
    if (!packet || packet->pub.status != 0)
        return packet != NULL;
    return (channel->sink_fd < 0 || channel->sink_error) && !channel->sink_busy;
}

/* ---- draining ------------------------------------------------------------------------------------ */

int avenc_channel_drain(avenc_channel *channel, avenc_packet **packets, size_t max, size_t *count) {
    if (!channel || !packets || !count)
        return avi_fail(AVENC_E_INVALID, __func__, "channel, packets and count must not be NULL");
    if (channel->generation != avi_generation())
        return avi_fail_forked(__func__);
    size_t taken = 0;
    pthread_mutex_lock(&channel->lock);
    bool was_full = channel->config.max_ready && channel->stats.ready >= channel->config.max_ready;
    while (taken < max && receivable_locked(channel)) {
        avi_packet *packet = channel->ready_head;
        channel->ready_head = packet->next;
        packet->next = NULL;
        packets[taken++] = &packet->pub;
    }
    if (!channel->ready_head)
        channel->ready_tail = NULL;
    else if (taken && channel->sink_fd >= 0)
        avi_worker_wake(&channel->device->writer, channel, 0); /* a failed frame was in its way */
    channel->stats.ready -= (uint32_t)taken;
    if (taken && was_full)
        avi_announce_locked(channel); /* there is room for frames again */
    else if (taken && channel->selector && (channel->ended || channel->state != AVI_OPEN))
        avi_selector_mark(channel->selector, channel->selector_key, true); /* perhaps these were the last */
    pthread_mutex_unlock(&channel->lock);
    *count = taken;
    return AVENC_OK;
}

int avenc_channel_drain_spent(avenc_channel *channel, avenc_packet **packets, size_t max, size_t *count) {
    if (!channel || !packets || !count)
        return avi_fail(AVENC_E_INVALID, __func__, "channel, packets and count must not be NULL");
    if (channel->generation != avi_generation())
        return avi_fail_forked(__func__);
    size_t taken = 0;
    pthread_mutex_lock(&channel->lock);
    while (taken < max && channel->spent) {
        avi_packet *packet = channel->spent;
        channel->spent = packet->next;
        packet->next = NULL;
        packets[taken++] = &packet->pub;
    }
    channel->stats.spent -= (uint32_t)taken;
    pthread_mutex_unlock(&channel->lock);
    *count = taken;
    return AVENC_OK;
}

static int wait_until(avenc_channel *channel, uint32_t timeout_ms, uint32_t linger_us, int flags, bool idle,
                      const char *call) {
    if (!channel)
        return avi_fail(AVENC_E_INVALID, call, "channel must not be NULL");
    if (channel->generation != avi_generation())
        return avi_fail_forked(call);
    uint64_t deadline = avi_deadline_after(timeout_ms);
    int rc = AVENC_OK;
    pthread_mutex_lock(&channel->lock);
    if (linger_us && channel->state == AVI_OPEN &&
        avi_worth_lingering(&channel->pace, channel->stats.completed, linger_us * 1000ull)) {
        uint64_t until = avi_now_ns() + linger_us * 1000ull;
        until = until < deadline ? until : deadline;
        while (channel->state == AVI_OPEN && !channel->ended && !atomic_load(&channel->device->lost) &&
               (channel->stats.in_flight || (flags & AVENC_WAIT_FOR_FRAMES)) && avi_wait_locked(channel, until, false))
            continue;
    }
    for (;;) {
        bool writing = avi_sink_unfinished_locked(channel);
        if (idle ? channel->stats.in_flight == 0 && !writing : receivable_locked(channel)) {
            if (idle && channel->sink_error)
                rc = avi_fail_sink_locked(channel, call);
            break;
        }
        if (idle && writing)
            avi_worker_hurry(&channel->device->writer);
        if (!idle && channel->stats.in_flight == 0 && !writing &&
            (channel->state != AVI_OPEN || channel->ended || !(flags & AVENC_WAIT_FOR_FRAMES))) {
            rc = channel->state != AVI_OPEN && !channel->ended ? AVENC_E_CLOSED : AVENC_E_DRAINED;
            avi_fail(rc, call, "no frame is in flight");
            break;
        }
        if (atomic_load(&channel->device->lost)) {
            rc = avi_fail_lost(channel, call);
            break;
        }
        if (!avi_wait_locked(channel, deadline, true)) {
            rc = avi_fail(AVENC_E_TIMEOUT, call, "%u frames are still in flight after %u ms", channel->stats.in_flight,
                          timeout_ms);
            break;
        }
    }
    pthread_mutex_unlock(&channel->lock);
    return rc;
}

int avenc_channel_wait(avenc_channel *channel, uint32_t timeout_ms, uint32_t linger_us, int flags) {
    return wait_until(channel, timeout_ms, linger_us, flags, false, __func__);
}

int avenc_channel_wait_idle(avenc_channel *channel, uint32_t timeout_ms) {
    return wait_until(channel, timeout_ms, 0, 0, true, __func__);
}

int avenc_channel_end(avenc_channel *channel) {
    if (!channel)
        return avi_fail(AVENC_E_INVALID, __func__, "channel must not be NULL");
    if (channel->generation != avi_generation())
        return avi_fail_forked(__func__);
    pthread_mutex_lock(&channel->lock);
    channel->ended = true;
    avi_announce_locked(channel);
    pthread_mutex_unlock(&channel->lock);
    return AVENC_OK;
}

/* ---- notifier ------------------------------------------------------------------------------------ */

struct avenc_notifier {
    int fd;
    atomic_bool armed;
    atomic_uint references;
    uint32_t generation;
};

int avenc_notifier_create(avenc_notifier **out) {
    if (!out)
        return avi_fail(AVENC_E_INVALID, __func__, "notifier must not be NULL");
    avenc_notifier *notifier = calloc(1, sizeof *notifier);
    if (!notifier)
        return avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
    notifier->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (notifier->fd < 0) {
        free(notifier);
        return avi_fail(AVENC_E_NOMEM, "eventfd", "no file descriptor to be had: errno %d", errno);
    }
    atomic_store(&notifier->references, 1);
    notifier->generation = avi_generation();
    avi_live_add(AVENC_LIVE_NOTIFIER, 1);
    *out = notifier;
    return AVENC_OK;
}

void avi_notifier_drop(avenc_notifier *notifier) {
    if (atomic_fetch_sub(&notifier->references, 1) == 1) {
        close(notifier->fd);
        free(notifier);
        avi_live_add(AVENC_LIVE_NOTIFIER, -1);
    }
}

void avenc_notifier_release(avenc_notifier *notifier) {
    if (notifier && notifier->generation == avi_generation())
        avi_notifier_drop(notifier);
}

int avenc_notifier_fd(const avenc_notifier *notifier) {
    return notifier->fd;
}

/* Sequentially consistent on both sides: either the signaller sees the arming, or the armer the progress. */
void avenc_notifier_arm(avenc_notifier *notifier) {
    atomic_store(&notifier->armed, true);
}

void avenc_notifier_signal(avenc_notifier *notifier) {
    if (!atomic_load(&notifier->armed) || !atomic_exchange(&notifier->armed, false))
        return;
    uint64_t one = 1;
    while (write(notifier->fd, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

void avenc_notifier_clear(avenc_notifier *notifier) {
    uint64_t count;
    while (read(notifier->fd, &count, sizeof count) < 0 && errno == EINTR)
        continue;
}

int avenc_notifier_wait(avenc_notifier *notifier, uint32_t timeout_ms) {
    if (!notifier)
        return avi_fail(AVENC_E_INVALID, __func__, "notifier must not be NULL");
    if (notifier->generation != avi_generation())
        return avi_fail_forked(__func__);
    struct pollfd poll_fd = {.fd = notifier->fd, .events = POLLIN};
    int found = poll(&poll_fd, 1, timeout_ms > INT32_MAX ? INT32_MAX : (int)timeout_ms);
    if (found <= 0)
        return avi_fail(AVENC_E_TIMEOUT, __func__, "no channel made progress for %u ms", timeout_ms);
    avenc_notifier_clear(notifier);
    return AVENC_OK;
}

int avenc_channel_attach_notifier(avenc_channel *channel, avenc_notifier *notifier) {
    if (!channel || !notifier)
        return avi_fail(AVENC_E_INVALID, __func__, "channel and notifier must not be NULL");
    if (channel->generation != avi_generation())
        return avi_fail_forked(__func__);
    int rc = avi_fail(AVENC_E_FULL, __func__, "the channel has %d notifiers already", AVENC_MAX_NOTIFIERS);
    pthread_mutex_lock(&channel->lock);
    for (int i = 0; i < AVENC_MAX_NOTIFIERS && rc != AVENC_OK; i++) {
        if (!channel->notifiers[i]) {
            atomic_fetch_add(&notifier->references, 1);
            channel->notifiers[i] = notifier;
            rc = AVENC_OK;
        }
    }
    pthread_mutex_unlock(&channel->lock);
    return rc;
}

void avenc_channel_detach_notifier(avenc_channel *channel, avenc_notifier *notifier) {
    if (!channel || !notifier || channel->generation != avi_generation())
        return;
    bool found = false;
    pthread_mutex_lock(&channel->lock);
    for (int i = 0; i < AVENC_MAX_NOTIFIERS && !found; i++) {
        if (channel->notifiers[i] == notifier) {
            channel->notifiers[i] = NULL;
            found = true;
        }
    }
    pthread_mutex_unlock(&channel->lock);
    if (found)
        avi_notifier_drop(notifier);
}

bool avi_notifier_armed_locked(const avenc_channel *channel) {
    for (int i = 0; i < AVENC_MAX_NOTIFIERS; i++)
        if (channel->notifiers[i] && atomic_load(&channel->notifiers[i]->armed))
            return true;
    return false;
}
