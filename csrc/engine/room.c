// SPDX-License-Identifier: Apache-2.0
#include "engine/room.h"
#include "base/status.h"
#include "base/thread.h"

int avi_fail_refused_locked(const avenc_channel *channel, const char *call) {
    const avi_stream *stream = channel->stream;
    if (stream->closed)
        return avi_fail(AVENC_E_CLOSED, call, "the encoder is closed");
    if (stream->ended)
        return avi_fail(AVENC_E_DRAINED, call, "the end of the stream was declared: no further frames");
    if (channel->sealed)
        return avi_fail(AVENC_E_REPLACED, call, "the channel was replaced: submit to the one that took its place");
    if (channel->distrusted)
        return avi_fail(AVENC_E_UNSURE, call,
                        "the settings that the device has are not known, and no frame is encoded with them: it refused "
                        "a change, or the change was given up, and it refused the settings of before too");
    if ((channel->state != AVI_OPEN && !stream->paused) || !channel->placed)
        return avi_fail(AVENC_E_INVALID, call, "the channel is not open, or has not its predecessor's place yet");
    if (stream->sink_error)
        return avi_fail_sink_locked(stream, call);
    return avi_fail_lost(channel, call);
}

enum { NO_ROOM, ROOM, ROOM_IN_MAKING, WEDGED };

static int room_locked(const avenc_channel *channel, int purpose) {
    const avi_slots *slots = &channel->slots;
    const avenc_channel_config *config = &channel->config;
    if (channel->stream->paused || avi_stream_full_locked(channel->stream))
        return NO_ROOM;
    if (channel->active + channel->held >= config->depth + config->queue)
        return NO_ROOM;
    if (purpose != AVI_TO_KEEP && channel->window >= channel->most_in_device)
        return NO_ROOM;
    bool staging = purpose != AVI_TO_SEND && !slots->host_writes_memory;
    for (const avi_slot *slot = slots->free; slot; slot = slot->next)
        if (!staging || slot->staging)
            return ROOM;
    if (slots->free || slots->begun < slots->capacity || channel->making)
        return ROOM_IN_MAKING;
    /* Every spare one went to frames that the device refused. Reports of later frames bring them back, if any come. */
    return channel->active || channel->held ? NO_ROOM : WEDGED;
}

int avi_fail_full_locked(const avenc_channel *channel, const avi_waiter *waiter) {
    avi_stream *stream = channel->stream;
    const avenc_channel_stats *stats = &stream->stats;
    const avenc_channel_config *config = &channel->config;
    const char *call = waiter->call;
    const avi_bound bound = avi_waiter_bound(waiter);
    char stuck[AVI_STUCK_TEXT];
    avi_channel_say_stuck_locked(stream, stuck);
    const char *hint = *stuck ? stream->hint : "";
    if (stream->paused)
        return avi_fail(AVENC_E_FULL, call,
                        "no room for another frame %s: reconfigure() is ending the old channel; if it has timed out or "
                        "was interrupted, call it again",
                        bound.text);
    if (avi_stream_full_locked(stream) && stream->early)
        return avi_fail(AVENC_E_FULL, call,
                        "no room for another frame %s: %u packets wait to be received, and %u for frames in front of "
                        "them that the device has not finished, of %u that may%s%s",
                        bound.text, avi_stream_ready_locked(stream), stream->early, stream->max_ready, stuck, hint);
    if (avi_stream_full_locked(stream))
        return avi_fail(AVENC_E_FULL, call,
                        "no room for another frame %s: %u packets wait to be received, of %u that may", bound.text,
                        avi_stream_ready_locked(stream), stream->max_ready);
    bool fewer = channel->most_in_device < config->depth;
    if (!waiter->wait && !channel->change && !*stuck)
        return avi_fail_numbers(AVENC_E_FULL, call,
                                fewer ? "no room for another frame at this moment: %u in flight (the device takes %u), "
                                        "%u queued (queue %u), %u held by the program"
                                      : "no room for another frame at this moment: %u in flight (depth %u), "
                                        "%u queued (queue %u), %u held by the program",
                                stats->in_flight - stats->queued, channel->most_in_device, stats->queued, config->queue,
                                stats->held);
    return avi_fail(AVENC_E_FULL, call,
                    "no room for another frame %s: %u in flight (%s %u), %u queued (queue %u), %u held by the "
                    "program%s%s%s",
                    bound.text, stats->in_flight - stats->queued, fewer ? "the device takes" : "depth",
                    channel->most_in_device, stats->queued, config->queue, stats->held,
                    channel->change ? "; frames wait behind a change of settings" : "", stuck, hint);
}

static int fail_in_making_locked(const avi_stream *stream, const avi_waiter *waiter) {
    return avi_fail(AVENC_E_AGAIN, waiter->call, "memory for another picture is being allocated, and is not there %s%s",
                    avi_waiter_bound(waiter).text, waiter->wait ? stream->hint : "");
}

/* Wait for room, or, `memory`, only while memory is what is missing; the lock is given up meanwhile. */
static int wait_room_locked(avenc_channel *channel, int purpose, bool memory, avi_waiter *waiter) {
    avi_stream *stream = channel->stream;
    uint64_t start = 0;
    int rc, room;
    while ((rc = avi_refused_locked(channel, waiter->call)) == AVENC_OK &&
           (room = room_locked(channel, purpose)) != ROOM) {
        if (memory && (room != ROOM_IN_MAKING || channel->make_failure.code)) /* which the call that follows tells */
            break;
        if (room == WEDGED) {
            rc = avi_fail(channel->refused_code, channel->port->send_call,
                          "the device refused %u frames and has not given their picture buffers back: reconfigure() "
                          "opens the channel anew",
                          channel->refused);
            break;
        }
        if (room == ROOM_IN_MAKING) {
            if (channel->make_failure.code) {
                rc = avi_fail_again(&channel->make_failure);
                channel->make_failure.code = 0;
                break;
            }
            if (!channel->making) {
                channel->making = true;
                avi_channel_post(channel, &channel->make_task);
            }
        }
        start = start ? start : avi_now_ns();
        if ((rc = avi_stream_sleep_locked(stream, waiter, false)) == AVENC_OK)
            continue;
        if (rc == AVENC_E_TIMEOUT)
            rc = room == ROOM_IN_MAKING ? fail_in_making_locked(stream, waiter) : avi_fail_full_locked(channel, waiter);
        break;
    }
    if (start)
        stream->stats.full_ns += avi_now_ns() - start;
    return rc;
}

void avi_leave_window_locked(avenc_channel *channel) {
    channel->window--;
    channel->stream->window--;
    avi_channel_send_queued_locked(channel);
    avi_stream_tell_room_locked(channel->stream);
}

void avi_return_slot_locked(avenc_channel *channel, avi_slot *slot) {
    avi_packet *packet = slot->packet;
    slot->packet = NULL;
    slot->copies = (avi_copies){0};
    if (packet)
        avi_pool_release(packet);
    if (slot->state == AVI_SLOT_FILLING) {
        channel->active--;
        avi_leave_window_locked(channel);
    } else {
        avi_hold_locked(channel, -1);
    }
    avi_channel_free_slot_locked(channel, slot);
    avi_channel_check_over_locked(channel);
    avi_stream_signal_locked(channel->stream, true);
}

void avi_return_slot(avenc_channel *channel, avi_slot *slot) {
    avenc_failure kept = *avenc_last_failure();
    avi_lock(&channel->stream->lock);
    avi_return_slot_locked(channel, slot);
    avi_unlock(&channel->stream->lock);
    avi_fail_again(&kept);
}

int avi_take_slot(avenc_channel *channel, int purpose, avi_waiter *waiter, avi_slot **out) {
    avi_slot *slot = NULL;
    avi_lock(&channel->stream->lock);
    int rc = avi_refused_locked(channel, waiter->call);
    if (rc == AVENC_OK && room_locked(channel, purpose) != ROOM)
        rc = wait_room_locked(channel, purpose, false, waiter);
    if (rc == AVENC_OK) {
        slot = avi_slots_pop(&channel->slots, purpose != AVI_TO_SEND);
        if (purpose != AVI_TO_KEEP) {
            slot->state = AVI_SLOT_FILLING;
            channel->active++;
            channel->window++;
            channel->stream->window++;
        } else {
            slot->state = AVI_SLOT_HELD;
            avi_hold_locked(channel, 1);
        }
    }
    avi_unlock(&channel->stream->lock);
    if (rc != AVENC_OK)
        return rc;
    if (!(slot->packet = avi_pool_acquire(channel->pool))) {
        rc = avi_fail(AVENC_E_NOMEM, "mmap", "no memory for another packet buffer of %zu bytes",
                      channel->pool->capacity);
        avi_return_slot(channel, slot);
        return rc;
    }
    *out = slot;
    return AVENC_OK;
}

int avi_wait_pause_locked(avenc_channel *channel, avi_waiter *waiter) {
    int rc;
    while ((rc = avi_refused_locked(channel, waiter->call)) == AVENC_OK && channel->stream->paused)
        if ((rc = avi_stream_sleep_locked(channel->stream, waiter, false)) != AVENC_OK)
            return rc == AVENC_E_TIMEOUT ? avi_fail_full_locked(channel, waiter) : rc;
    return rc;
}

int avenc_channel_wait_room(avenc_channel *channel, int memory, const avenc_wait *wait) {
    int rc = avi_channel_lock(channel, true, __func__);
    if (rc != AVENC_OK)
        return rc;
    avi_waiter waiter = avi_waiter_begin(wait, __func__);
    rc = wait_room_locked(channel, AVI_TO_KEEP, memory != 0, &waiter);
    avi_unlock(&channel->stream->lock);
    return rc;
}
