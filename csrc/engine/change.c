// SPDX-License-Identifier: Apache-2.0
#include "base/status.h"
#include "base/thread.h"
#include "engine/room.h"

#include <stdlib.h>

int avi_check_time_base(const avenc_channel_config *config, const char *call) {
    int64_t num = config->time_num, den = config->time_den;
    if (num >= 1 && den >= 1 && num <= INT32_MAX && den <= INT32_MAX)
        return AVENC_OK;
    return avi_fail(AVENC_E_INVALID, call, "time base is %lld/%lld, allowed are 1 to %d for both", (long long)num,
                    (long long)den, INT32_MAX);
}

/* ---- life --------------------------------------------------------------------------------------------- */

static void drop_locked(avenc_change *change) {
    if (--change->references)
        return;
    avenc_channel *channel = change->channel;
    free(change);
    avi_live_add(AVENC_LIVE_CHANGE, -1);
    avi_channel_drop_locked(channel);
}

/* It is over, with the thread's last failure where `code` is one. */
static void finish_locked(avenc_change *change, int code) {
    avenc_channel *channel = change->channel;
    change->state = AVI_CHANGE_OVER;
    if (code != AVENC_OK) {
        change->failure = *avenc_last_failure();
        change->failure.code = code;
    }
    channel->change = NULL;
    avi_stream_signal_locked(channel->stream, true);
    drop_locked(change);
}

void avi_change_cancel_locked(avenc_channel *channel, int code, const char *why) {
    avenc_change *change = channel->change;
    if (!change || change->state != AVI_CHANGE_WANTED)
        return;
    finish_locked(change, avi_fail(code, "avenc_channel_change", "%s", why));
    avi_channel_send_queued_locked(channel);
}

/* Nobody replaces it: better no frame than one with settings that nobody knows. */
static void distrust_locked(avenc_channel *channel) {
    avi_stream *stream = channel->stream;
    if (!channel->unsure || channel->distrusted || channel->sealed || stream->closed)
        return;
    channel->distrusted = true;
    avi_fail_queued_locked(channel, AVENC_E_UNSURE);
    avi_stream_signal_locked(stream, true);
}

void avenc_channel_distrust(avenc_channel *channel) {
    if (avi_channel_lock(channel, true, __func__) != AVENC_OK)
        return;
    distrust_locked(channel);
    avi_unlock(&channel->stream->lock);
}

/* What a live channel takes; everything else that differs is another channel's. */
static bool is_live(const avenc_channel_config *was, const avenc_channel_config *now) {
    return was->en_type == now->en_type && was->pic_format == now->pic_format && was->width == now->width &&
           was->height == now->height && was->depth == now->depth && was->queue == now->queue &&
           was->scene == now->scene && was->refresh_count == now->refresh_count &&
           was->refresh_columns == now->refresh_columns && was->refresh_i_qp == now->refresh_i_qp;
}

static int check_locked(const avenc_channel *channel, uint32_t epoch, const avenc_channel_config *config) {
    static const char call[] = "avenc_channel_change";
    const avi_stream *stream = channel->stream;
    const avi_port *port = channel->port;
    if (stream->closed)
        return avi_fail(AVENC_E_CLOSED, call, "the encoder is closed");
    if (channel->sealed || channel->epoch != epoch)
        return avi_fail(AVENC_E_REPLACED, call, "the settings were changed meanwhile");
    if (!port->changes || !port->changes(channel->device))
        return avi_fail(AVENC_E_UNSUPPORTED, call, "%s changes no settings of a channel that lives", port->name);
    if (!is_live(&channel->settings, config) || channel->unsure || channel->refused || channel->retiring ||
        stream->paused || !channel->placed || channel->state != AVI_OPEN || atomic_load(&channel->device->lost))
        return avi_fail(AVENC_E_UNSUPPORTED, call, "this change takes another channel");
    if (channel->change)
        return avi_fail(AVENC_E_AGAIN, call, "another change is pending");
    return AVENC_OK;
}

int avenc_channel_change(avenc_channel *channel, uint32_t epoch, const avenc_channel_config *config,
                         avenc_change **out) {
    int rc = avi_channel_check(channel, config && out, __func__);
    if (rc == AVENC_OK)
        rc = avi_check_time_base(config, __func__);
    if (rc != AVENC_OK)
        return rc;
    avenc_change *change = calloc(1, sizeof *change);
    if (!change)
        return avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
    avi_stream *stream = channel->stream;
    avi_lock(&stream->lock);
    rc = check_locked(channel, epoch, config);
    if (rc == AVENC_OK) {
        avi_live_add(AVENC_LIVE_CHANGE, 1);
        avi_channel_retain(channel);
        change->channel = channel;
        change->references = 2;
        change->settings = *config;
        change->epoch = ++stream->epochs;
        change->first_index = stream->next_number;
        change->last_end = channel->last_end;
        channel->change = change;
        avi_channel_check_change_locked(channel);
        *out = change;
    }
    avi_unlock(&stream->lock);
    if (rc != AVENC_OK)
        free(change);
    return rc;
}

void avenc_change_release(avenc_change *change) {
    if (!change || change->channel->generation != avi_generation())
        return;
    avi_stream *stream = change->channel->stream;
    avi_stream_retain(stream);
    avi_lock(&stream->lock);
    change->given_up = true;
    if (change->state == AVI_CHANGE_WANTED)
        avi_change_cancel_locked(change->channel, AVENC_E_TIMEOUT, "nobody waits for the change any more");
    else if (change->state == AVI_CHANGE_OVER && !change->told)
        distrust_locked(change->channel);
    drop_locked(change);
    avi_unlock(&stream->lock);
    avi_stream_drop(stream);
}

/* ---- making it ------------------------------------------------------------------------------------------ */

/* The pts of a frame, counted from that of the change's first one: each takes its time, also one that was dropped. */
static int64_t counted_pts(const avenc_change *change, uint64_t index) {
    int64_t pts;
    bool over =
        __builtin_add_overflow(avi_rebased(&change->last_end, change->settings.time_num, change->settings.time_den),
                               index - change->first_index, &pts);
    return over ? INT64_MAX : pts;
}

/* Frames that were accepted while it was pending: a counted pts goes on in time, one that was given stays what it is. */
static void stamp_locked(avenc_channel *channel, const avenc_change *change) {
    const avenc_channel_config *from = &channel->settings, *to = &change->settings;
    if (avi_same_time_base(from, to))
        return;
    for (avi_slot *slot = channel->queued_head; slot; slot = slot->next) {
        avenc_packet *packet = &slot->packet->pub;
        if (!slot->counted_pts)
            continue;
        packet->pts = counted_pts(change, packet->frame_index);
        packet->epoch = change->epoch;
        if (!slot->next)
            channel->last_end = (avi_moment){avi_next_pts(packet->pts), to->time_num, to->time_den};
    }
    channel->next_pts = counted_pts(change, channel->stream->next_number);
}

/* What becomes of a change that the port has tried: AVENC_OK, it is applied; else why not. */
static int judge_locked(avenc_channel *channel, avenc_change *change, int rc, bool whole) {
    static const char call[] = "avenc_channel_change";
    if (rc != AVENC_OK && !whole)
        channel->unsure = true;
    if (channel->stream->closed)
        return avi_fail(AVENC_E_CLOSED, call, "the encoder is closed");
    if (channel->sealed || channel->retiring)
        return avi_fail(AVENC_E_REPLACED, call, "the channel was replaced");
    if (rc != AVENC_OK && !whole) {
        const avenc_failure why = *avenc_last_failure();
        return avi_fail(AVENC_E_UNSUPPORTED, call,
                        "the device refused the settings, and those before them too: %s returned %d: %s", why.call, rc,
                        why.detail);
    }
    if (rc == AVENC_OK) {
        stamp_locked(channel, change);
        channel->settings = change->settings;
        channel->epoch = change->epoch;
    }
    return rc;
}

bool avi_change_run(void *arg) {
    avenc_channel *channel = arg;
    avi_stream *stream = channel->stream;
    const avi_port *port = channel->port;
    avenc_change *change = channel->change; /* the right to send keeps it */
    avi_binding binding;
    bool whole = true;
    avi_blocking_begins();
    int rc = port->bind(channel->device, &binding);
    bool bound = rc == AVENC_OK;
    avi_lock(&stream->lock);
    bool readable = channel->refused; /* one in front of the change, since it began; with the right to send no other */
    channel->sending_since = bound && !readable ? avi_now_ns() : 0;
    avi_unlock(&stream->lock);
    if (bound && readable)
        rc = avi_fail(AVENC_E_UNSUPPORTED, "avenc_channel_change",
                      "the device may still read a frame that it refused: this change takes another channel");
    else if (bound)
        rc = port->change(channel->device, channel->hardware, &change->settings, &whole);
    avi_lock(&stream->lock);
    bool given_up = change->given_up;
    if (rc == AVENC_OK && given_up && !stream->closed && !channel->sealed && !channel->retiring) {
        avenc_channel_config before = channel->settings; /* the caller was told that nothing changed */
        bool kept = true;
        channel->sending_since = avi_now_ns();
        avi_unlock(&stream->lock);
        int back = port->change(channel->device, channel->hardware, &before, &kept);
        avi_lock(&stream->lock);
        channel->unsure = back != AVENC_OK;
        finish_locked(change,
                      avi_fail(AVENC_E_TIMEOUT, "avenc_channel_change", "nobody waits for the change any more"));
    } else {
        finish_locked(change, judge_locked(channel, change, rc, whole));
    }
    if (given_up)
        distrust_locked(channel);
    avi_channel_leave_sending_locked(channel);
    avi_unlock(&stream->lock);
    if (bound)
        port->unbind(channel->device, &binding);
    avi_blocking_ends();
    return false;
}

/* ---- waiting --------------------------------------------------------------------------------------------- */

static unsigned in_front_locked(const avenc_channel *channel, const avenc_change *change) {
    unsigned behind = 0;
    for (const avi_slot *slot = channel->queued_head; slot; slot = slot->next)
        behind += slot->packet->pub.frame_index >= change->first_index;
    return channel->stream->stats.in_flight - behind;
}

static int fail_to_change_locked(const avenc_channel *channel, const avi_waiter *waiter) {
    const avenc_change *change = channel->change;
    const avi_bound bound = avi_waiter_bound(waiter);
    char stuck[AVI_STUCK_TEXT];
    if (!change || change->state == AVI_CHANGE_RUNNING)
        return avi_fail(AVENC_E_TIMEOUT, waiter->call, "the settings are not changed: %s has not returned %s%s",
                        channel->port->change_call, bound.text, channel->stream->hint);
    avi_channel_say_stuck_locked(channel->stream, stuck);
    return avi_fail(AVENC_E_TIMEOUT, waiter->call,
                    "the settings are not changed: the device has finished no frame %s, and %u are in front of the "
                    "change%s%s",
                    bound.text, in_front_locked(channel, change), stuck, channel->stream->hint);
}

int avenc_change_wait(avenc_change *change, const avenc_wait *wait, uint64_t *first_index) {
    if (!change || !first_index)
        return avi_fail(AVENC_E_INVALID, __func__, "no argument may be NULL");
    avenc_channel *channel = change->channel;
    if (channel->generation != avi_generation())
        return avi_fail_forked(__func__);
    avi_waiter waiter = avi_waiter_begin(wait, __func__);
    avi_stream *stream = channel->stream;
    int rc = AVENC_OK;
    avi_lock(&stream->lock);
    while (change->state != AVI_CHANGE_OVER && !atomic_load(&channel->device->lost) && rc == AVENC_OK)
        rc = avi_stream_sleep_locked(stream, &waiter, true);
    change->told = change->state == AVI_CHANGE_OVER;
    if (change->state == AVI_CHANGE_OVER)
        rc = change->failure.code != AVENC_OK ? avi_fail_again(&change->failure) : AVENC_OK;
    else if (atomic_load(&channel->device->lost))
        rc = avi_fail_lost(channel, __func__);
    else if (rc == AVENC_E_TIMEOUT)
        rc = fail_to_change_locked(channel, &waiter);
    if (rc == AVENC_OK)
        *first_index = change->first_index;
    avi_unlock(&stream->lock);
    return rc;
}

int avenc_channel_wait_changes(avenc_channel *channel, const avenc_wait *wait) {
    int rc = avi_channel_lock(channel, true, __func__);
    if (rc != AVENC_OK)
        return rc;
    avi_waiter waiter = avi_waiter_begin(wait, __func__);
    while (channel->change && rc == AVENC_OK)
        rc = avi_stream_sleep_locked(channel->stream, &waiter, true);
    if (rc == AVENC_E_TIMEOUT)
        rc = fail_to_change_locked(channel, &waiter);
    avi_unlock(&channel->stream->lock);
    return rc;
}

uint32_t avenc_channel_epoch(avenc_channel *channel) {
    return channel ? atomic_load(&channel->epoch) : 0;
}
