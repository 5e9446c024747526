// SPDX-License-Identifier: Apache-2.0
/* A channel's life as a caller sees it: made, put in its predecessor's place, closed, waited for. */
#include "base/status.h"
#include "base/thread.h"
#include "engine/room.h"
#include "engine/sink.h"

#include <stdlib.h>

enum { IDLE_PACKETS = 16 }; /* kept beyond depth + queue for a consumer that takes packets in bursts */

static const size_t MIN_PACKET_CAPACITY = 256 * 1024;
static const size_t MAX_PACKET_CAPACITY = 8 * 1024 * 1024; /* the device's own default output buffer */

static void task_idle(void *arg) {
    avi_channel_drop(arg);
}

/* ---- creating ---------------------------------------------------------------------------------- */

static int make_parts(avenc_channel *channel) {
    avi_slots *slots = &channel->slots;
    int rc = channel->port->create(channel->device, &channel->config, &channel->hardware);
    for (uint32_t i = 0; rc == AVENC_OK && i < channel->config.depth; i++) {
        avi_slots_push(slots, &slots->all[slots->begun++]); /* nobody takes it before the channel is open */
        rc = avi_slot_make(slots, &slots->all[i], false);
        slots->made += rc == AVENC_OK;
    }
    if (rc == AVENC_OK) {
        avi_channel_retain(channel);
        if (!(channel->index = avi_device_enlist(channel->device, channel))) {
            avi_channel_drop(channel);
            rc = avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
        }
    }
    return rc;
}

static bool create_run(void *arg) {
    avenc_channel *channel = arg;
    avi_stream *stream = channel->stream;
    avi_binding binding;
    avi_blocking_begins();
    int rc = atomic_load(&channel->device->lost) ? avi_fail_lost(channel, __func__)
                                                 : channel->port->bind(channel->device, &binding);
    if (rc == AVENC_OK) {
        rc = make_parts(channel);
        if (rc != AVENC_OK) {
            avenc_failure kept = *avenc_last_failure();
            avi_channel_free_parts(channel);
            avi_fail_again(&kept);
        }
        channel->port->unbind(channel->device, &binding);
    }
    avi_blocking_ends();
    if (rc != AVENC_OK && atomic_load(&channel->device->lost)) /* whatever the call said that noticed it */
        rc = avi_fail_lost(channel, __func__);
    avenc_failure failure = *avenc_last_failure();
    if (rc != AVENC_OK)
        avi_channel_settle(channel);
    avi_lock(&stream->lock);
    channel->failure = failure;
    channel->failure.code = rc;
    channel->state = rc == AVENC_OK ? AVI_OPEN : AVI_FAILED;
    if (rc != AVENC_OK)
        avi_channel_unlink_locked(channel);
    avi_channel_check_over_locked(channel);
    avi_stream_signal_locked(stream, true);
    avi_unlock(&stream->lock);
    return false;
}

static int check_config(const avenc_channel_config *config) {
    const char *call = "avenc_channel_create";
    if (config->width == 0 || config->height == 0 || config->width % 2 || config->height % 2 || config->width > 16384 ||
        config->height > 16384)
        return avi_fail(AVENC_E_INVALID, call, "size is %u x %u, allowed are even numbers from 2 to 16384",
                        config->width, config->height);
    if (config->depth == 0 || config->depth > AVENC_MAX_DEPTH)
        return avi_fail(AVENC_E_INVALID, call, "depth is %u, allowed is 1 to %d", config->depth, AVENC_MAX_DEPTH);
    if (config->queue > AVENC_MAX_DEPTH)
        return avi_fail(AVENC_E_INVALID, call, "queue is %u, allowed is 0 to %d", config->queue, AVENC_MAX_DEPTH);
    return avi_check_time_base(config, call);
}

int avenc_channel_create(avenc_device *device, const avenc_channel_config *config, avenc_channel *predecessor,
                         avenc_channel **out) {
    if (!device || !config || !out)
        return avi_fail(AVENC_E_INVALID, __func__, "device, config and channel must not be NULL");
    if (device->generation != avi_generation())
        return avi_fail_forked(__func__);
    int rc = check_config(config);
    if (rc == AVENC_OK && avenc_device_wait_open(device, NULL) != AVENC_OK) /* which it stays with a reference */
        rc = avi_fail(AVENC_E_INVALID, __func__,
                      "device %d is not open: avenc_device_wait_open tells when, and why not", device->info.device_id);
    if (rc != AVENC_OK)
        return rc;
    avenc_channel *channel = calloc(1, sizeof *channel);
    avi_stream *stream =
        predecessor ? predecessor->stream : avi_stream_create(config->max_ready, config->drop_oldest, device->hint);
    if (predecessor)
        avi_stream_retain(stream);
    if (!channel || !stream) {
        free(channel);
        if (stream)
            avi_stream_drop(stream);
        return avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
    }
    avi_live_add(AVENC_LIVE_CHANNEL, 1);
    atomic_store(&channel->references, 1);
    avi_device_retain(device);
    channel->unsettled = true;
    channel->device = device;
    channel->port = device->port;
    channel->stream = stream;
    channel->generation = avi_generation();
    channel->config = channel->settings = *config;
    channel->last_end = (avi_moment){0, config->time_num, config->time_den};
    channel->users = 1;
    uint32_t most = device->port->most_in_device;
    channel->most_in_device = most && most < config->depth ? most : config->depth;
    channel->placed = !predecessor;
    channel->flight.end = &channel->flight.head;
    channel->queued_end = &channel->queued_head;
    avi_task_init(&channel->create_task, create_run, task_idle, channel);
    avi_task_init(&channel->make_task, avi_channel_make_run, task_idle, channel);
    avi_task_init(&channel->send_task, avi_send_run, task_idle, channel);
    avi_task_init(&channel->change_task, avi_change_run, task_idle, channel);
    avi_task_init(&channel->end_task, avi_channel_end_run, task_idle, channel);
    uint32_t slots = config->depth + config->queue;
    rc = avi_slots_create(&channel->slots, device, &channel->config, slots + AVI_SPARE_SLOTS, channel);
    size_t capacity = channel->slots.picture_size * 2;
    capacity = capacity < MIN_PACKET_CAPACITY ? MIN_PACKET_CAPACITY : capacity;
    capacity = capacity > MAX_PACKET_CAPACITY ? MAX_PACKET_CAPACITY : capacity;
    if (rc == AVENC_OK && !(channel->pool = avi_pool_create(capacity + AVI_FRONT_ROOM, slots + IDLE_PACKETS)))
        rc = avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
    if (rc != AVENC_OK) {
        avi_channel_drop(channel);
        return rc;
    }
    avi_lock(&stream->lock);
    stream->users++;
    channel->next = stream->channels;
    stream->channels = channel;
    if (!predecessor) {
        avi_channel_retain(channel);
        stream->current = channel;
    } else {
        channel->made_after = predecessor;
        channel->made_after_epoch = predecessor->epoch;
    }
    avi_unlock(&stream->lock);
    avi_channel_post(channel, &channel->create_task);
    *out = channel;
    return AVENC_OK;
}

int avenc_channel_wait_open(avenc_channel *channel, const avenc_wait *wait) {
    int rc = avi_channel_lock(channel, true, __func__);
    if (rc != AVENC_OK)
        return rc;
    avi_waiter waiter = avi_waiter_begin(wait, __func__);
    avi_stream *stream = channel->stream;
    while (channel->state == AVI_OPENING && !stream->closed && /* what is of no use any more is not waited for */
           (rc = avi_stream_sleep_locked(stream, &waiter, false)) == AVENC_OK)
        continue;
    if (rc == AVENC_E_TIMEOUT)
        rc = avi_fail(AVENC_E_TIMEOUT, __func__,
                      "the channel is not open %s: a call of the vendor's library has not returned%s",
                      avi_waiter_bound(&waiter).text, stream->hint);
    else if (rc == AVENC_OK && channel->state == AVI_FAILED)
        rc = avi_fail_again(&channel->failure);
    else if (rc == AVENC_OK && (channel->state != AVI_OPEN || stream->closed))
        rc = avi_fail(AVENC_E_CLOSED, __func__, "the channel is closed");
    avi_unlock(&stream->lock);
    return rc;
}

/* ---- taking a predecessor's place -------------------------------------------------------------- */

int avenc_channel_succeed(avenc_channel *channel, uint64_t *first_index) {
    int rc = avi_channel_lock(channel, first_index, __func__);
    if (rc != AVENC_OK)
        return rc;
    avi_stream *stream = channel->stream;
    avenc_channel *old = stream->current;
    if (stream->closed) {
        rc = avi_fail(AVENC_E_CLOSED, __func__, "the encoder is closed");
    } else if (channel->placed || channel->state != AVI_OPEN) {
        rc = avi_fail(AVENC_E_INVALID, __func__, "the channel is not open, or has its place already");
    } else if (channel->made_after != old || channel->made_after_epoch != old->epoch) {
        rc = avi_fail(AVENC_E_REPLACED, __func__, "the settings were changed meanwhile");
    } else {
        bool same = avi_same_time_base(&old->settings, &channel->settings);
        avi_change_cancel_locked(old, AVENC_E_REPLACED, "the channel was replaced");
        channel->next_pts =
            same ? old->next_pts : avi_rebased(&old->last_end, channel->settings.time_num, channel->settings.time_den);
        channel->last_end = old->last_end;
        channel->epoch = ++stream->epochs;
        channel->placed = true;
        channel->predecessor = old;
        avi_channel_retain(old);
        old->successor = channel;
        old->sealed = true;
        stream->current = channel;
        avi_channel_retain(channel); /* the stream's, in place of `old` */
        avi_channel_retain(channel); /* its predecessor's */
        stream->paused = false;
        *first_index = stream->next_number;
        avi_channel_check_over_locked(old);
        avi_channel_drop_locked(old);
        avi_stream_signal_locked(stream, true);
    }
    avi_unlock(&stream->lock);
    return rc;
}

void avenc_channel_pause(avenc_channel *channel, int paused) {
    if (avi_channel_lock(channel, true, __func__) != AVENC_OK)
        return;
    /* What a retirement has begun is not taken back: there is nothing left to send to until a successor is there. */
    channel->stream->paused = paused || (channel->retiring && !channel->sealed);
    avi_stream_signal_locked(channel->stream, true);
    avi_unlock(&channel->stream->lock);
}

void avenc_channel_retire(avenc_channel *channel) {
    if (avi_channel_lock(channel, true, __func__) != AVENC_OK)
        return;
    channel->retiring = channel->stream->paused;
    if (channel->retiring)
        avi_change_cancel_locked(channel, AVENC_E_REPLACED, "the channel is being replaced");
    avi_channel_check_over_locked(channel);
    avi_unlock(&channel->stream->lock);
}

/* Who is in the way of the stream's end. */
static int fail_to_end_locked(avi_stream *stream, const avenc_wait *wait, const char *call) {
    double seconds = wait ? (double)(wait->deadline_ns - wait->since_ns) * 1e-9 : 0; /* the bound that was given */
    unsigned in_device = 0, making = 0, ending = 0;
    const char *send_call = "";
    for (const avenc_channel *channel = stream->channels; channel; channel = channel->next) {
        in_device += channel->active;
        making += channel->making || channel->state == AVI_OPENING;
        ending += channel->state == AVI_ENDING;
        if (channel->sending)
            send_call = channel->change ? channel->port->change_call : channel->port->send_call;
    }
    if (ending)
        return avi_fail(AVENC_E_TIMEOUT, call,
                        "the device has not destroyed the channel after %.3g s: its call has not returned%s", seconds,
                        stream->hint);
    if (*send_call)
        return avi_fail(AVENC_E_TIMEOUT, call, "%s has not returned, and the channel is not closed after %.3g s%s",
                        send_call, seconds, stream->hint);
    if (making)
        return avi_fail(AVENC_E_TIMEOUT, call, "a call that allocates device memory has not returned after %.3g s%s",
                        seconds, stream->hint);
    if (in_device)
        return avi_fail(AVENC_E_TIMEOUT, call, "%u frame(s) are still in the device after %.3g s%s", in_device, seconds,
                        stream->hint);
    if (!avi_sink_unfinished_locked(stream))
        return avi_fail(AVENC_E_TIMEOUT, call, "the channel has not ended after %.3g s%s", seconds, stream->hint);
    return avi_fail(AVENC_E_TIMEOUT, call,
                    "the reader of the sink is slow: %u access units are not written after %.3g s",
                    avi_stream_ready_locked(stream), seconds);
}

int avenc_channel_wait_retired(avenc_channel *channel, const avenc_wait *wait) {
    int rc = avi_channel_lock(channel, true, __func__);
    if (rc != AVENC_OK)
        return rc;
    avi_waiter waiter = avi_waiter_begin(wait, __func__);
    avi_stream *stream = channel->stream;
    bool lost = false; /* then nothing is destroyed */
    while (channel->state != AVI_ENDED && !(lost = atomic_load(&channel->device->lost)) &&
           (rc = avi_stream_sleep_locked(stream, &waiter, false)) == AVENC_OK)
        continue;
    if (channel->state != AVI_ENDED && lost)
        rc = avi_fail_lost(channel, __func__);
    else if (rc == AVENC_E_TIMEOUT)
        rc = fail_to_end_locked(stream, wait, __func__);
    avi_unlock(&stream->lock);
    return rc;
}

/* ---- ending ------------------------------------------------------------------------------------ */

static void close_locked(avi_stream *stream) {
    if (stream->closed)
        return;
    stream->closed = true;
    for (avenc_channel *channel = stream->channels, *next; channel; channel = next) {
        next = channel->next;
        avi_change_cancel_locked(channel, AVENC_E_CLOSED, "the encoder is closed");
        avi_drop_queued_locked(channel);
        avi_channel_check_over_locked(channel);
    }
    if (stream->current) /* nothing takes its place any more */
        avi_channel_drop_locked(stream->current);
    stream->current = NULL;
    avi_sink_wake_locked(stream, true); /* it ends when it has written what is ready */
    avi_stream_signal_locked(stream, true);
}

int avenc_channel_close(avenc_channel *channel) {
    int rc = avi_channel_lock(channel, true, __func__);
    if (rc != AVENC_OK)
        return rc;
    close_locked(channel->stream);
    avi_unlock(&channel->stream->lock);
    return AVENC_OK;
}

/* An end failed, and there is none left to wait for: each channel has ended, or was tried to be ended too often. */
static bool end_failed_locked(const avi_stream *stream) {
    for (const avenc_channel *channel = stream->channels; channel; channel = channel->next)
        if (channel->state != AVI_OPEN || channel->end_failures < AVI_END_TRIES)
            return false;
    return stream->end_failure.code != AVENC_OK;
}

/* No channel of the stream is to be waited for. */
static bool over_locked(const avenc_channel *channel) {
    const avi_stream *stream = channel->stream;
    return !stream->channels || atomic_load(&channel->device->lost) || end_failed_locked(stream);
}

int avenc_channel_wait_closed(avenc_channel *channel, const avenc_wait *wait) {
    int rc = avi_channel_lock(channel, true, __func__);
    if (rc != AVENC_OK)
        return rc;
    avi_waiter waiter = avi_waiter_begin(wait, __func__);
    avi_stream *stream = channel->stream;
    while (rc == AVENC_OK && (avi_sink_unfinished_locked(stream) || !over_locked(channel)))
        rc = avi_stream_sleep_locked(stream, &waiter, false);
    if (rc == AVENC_E_TIMEOUT)
        rc = fail_to_end_locked(stream, wait, __func__);
    if (rc == AVENC_OK && stream->end_failure.code) {
        rc = avi_fail_again(&stream->end_failure);
        stream->end_failure.code = 0;
    }
    avi_unlock(&stream->lock);
    return rc;
}

int avenc_channel_has_ended(avenc_channel *channel) {
    if (avi_channel_lock(channel, true, __func__) != AVENC_OK)
        return 1;
    bool ended = !channel->stream->channels;
    for (avenc_channel *left = channel->stream->channels; left && channel->stream->closed; left = left->next)
        avi_channel_check_over_locked(left); /* of one that could not be bound: once more */
    avi_unlock(&channel->stream->lock);
    return ended;
}

void avenc_channel_retain(avenc_channel *channel) {
    if (channel->generation != avi_generation())
        return;
    avi_lock(&channel->stream->lock);
    channel->users++;
    channel->stream->users++;
    avi_unlock(&channel->stream->lock);
    avi_channel_retain(channel);
}

void avenc_channel_release(avenc_channel *channel) {
    if (!channel || channel->generation != avi_generation())
        return;
    avi_stream *stream = channel->stream;
    avi_lock(&stream->lock);
    channel->users--;
    if (--stream->users == 0) {
        close_locked(stream);
    } else if (channel->users == 0 && !channel->placed) {
        channel->sealed = true; /* nobody will put it in its place */
        avi_channel_check_over_locked(channel);
    }
    avi_unlock(&stream->lock);
    avi_channel_drop(channel);
}
