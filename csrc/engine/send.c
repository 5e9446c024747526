// SPDX-License-Identifier: Apache-2.0
#include "engine/room.h"
#include "base/status.h"
#include "base/thread.h"

#include <string.h>

/* The frame's SEI waits in the memory of its packet, and goes wherever that goes. The slot is the caller's. */
static int keep_sei(avi_slot *slot, const avenc_submission *submission, const char *call) {
    avi_packet *packet = slot->packet;
    packet->sei_size = 0; /* also of one that was refused before */
    if (submission->sei_size == 0)
        return AVENC_OK;
    if (submission->sei_size > AVENC_MAX_SEI)
        return avi_fail(AVENC_E_INVALID, call, "the SEI of a frame has %zu bytes, allowed is up to %d",
                        submission->sei_size, AVENC_MAX_SEI);
    if (submission->sei == NULL)
        return avi_fail(AVENC_E_INVALID, call, "sei is NULL, and sei_size %zu: give both, or neither",
                        submission->sei_size);
    packet->sei_size = (uint32_t)submission->sei_size;
    memcpy(packet->memory, submission->sei, submission->sei_size);
    return AVENC_OK;
}

static void accept_locked(avenc_channel *channel, avi_slot *slot, const avenc_submission *submission, uint64_t now) {
    avi_stream *stream = channel->stream;
    avenc_packet *packet = &slot->packet->pub;
    stream->stats.submitted++;
    packet->frame_index = stream->next_number++;
    if (!submission->number_pts)
        atomic_store_explicit(&channel->stream->times_given, true, memory_order_relaxed);
    packet->pts = submission->number_pts ? channel->next_pts : submission->pts;
    packet->tag = submission->tag;
    packet->promised = submission->promised;
    packet->epoch = channel->epoch;
    packet->submitted_ns = now;
    channel->next_pts = avi_next_pts(channel->next_pts);
    channel->last_end = (avi_moment){avi_next_pts(packet->pts), channel->settings.time_num, channel->settings.time_den};
    slot->force_idr = submission->force_idr;
    slot->counted_pts = submission->number_pts;
    channel->unfinished++;
    if (stream->stats.in_flight++ == 0)
        stream->progressed_ns = packet->submitted_ns;
    if (submission->converted) {
        stream->stats.host_copies_in++;
        stream->stats.bytes_copied_in += (uint64_t)channel->config.width * channel->config.height * 3 / 2;
    }
}

static void count_copies_locked(avi_stream *stream, avi_slot *slot) {
    stream->stats.host_copies_in += slot->copies.host;
    stream->stats.device_copies_in += slot->copies.device;
    stream->stats.bytes_copied_in += slot->copies.bytes;
    slot->copies = (avi_copies){0};
}

/* An accepted slot, HELD or FILLING, joins the queue. */
static void queue_locked(avenc_channel *channel, avi_slot *slot) {
    if (slot->state == AVI_SLOT_HELD) {
        avi_hold_locked(channel, -1);
        channel->active++;
    } else {
        avi_leave_window_locked(channel);
    }
    slot->state = AVI_SLOT_QUEUED;
    slot->next = NULL;
    *channel->queued_end = slot;
    channel->queued_end = &slot->next;
    channel->stream->stats.queued++;
    avi_channel_send_queued_locked(channel);
}

static avi_slot *unqueue_locked(avenc_channel *channel) {
    avi_slot *slot = channel->queued_head;
    channel->queued_head = slot->next;
    if (!channel->queued_head)
        channel->queued_end = &channel->queued_head;
    slot->next = NULL;
    channel->stream->stats.queued--;
    return slot;
}

/* The device takes no more frames for now: it is the first to be sent when one of the channel has been reported. */
static void requeue_locked(avenc_channel *channel, avi_slot *slot) {
    slot->state = AVI_SLOT_QUEUED;
    slot->next = channel->queued_head;
    channel->queued_head = slot;
    if (!slot->next)
        channel->queued_end = &slot->next;
    channel->stream->stats.queued++;
    avi_leave_window_locked(channel);
}

/*
 * Hand an accepted slot, FILLING, to the device. The caller has the right to send; the lock is given up meanwhile. On
 * failure the slot is FILLING still, or REFUSED: in flight, since the device may read it. AVENC_E_AGAIN: it is FILLING,
 * and the device takes no more for now: requeue_locked.
 */
static int hand_over_locked(avenc_channel *channel, avi_slot *slot, uint64_t since) {
    avi_stream *stream = channel->stream;
    bool owed = stream->idr_owed, idr = slot->force_idr || owed, gone = false;
    stream->idr_owed = false;
    if (stream->idle_since) {
        stream->stats.idle_ns += since - stream->idle_since;
        stream->idle_since = 0;
    }
    channel->sending_since = since;
    uint32_t landed = channel->landed;
    slot->state = AVI_SLOT_SENT;
    uint64_t number = avi_flight_enter(&channel->flight, slot, channel->index, &channel->device->sequence);
    avi_unlock(&stream->lock);
    int rc = channel->port->send(channel->device, channel->hardware, slot->picture, idr, number, &gone);
    uint64_t now = avi_now_ns();
    avi_lock(&stream->lock);
    stream->stats.send_ns += now - since;
    if (rc == AVENC_OK || !avi_flight_refuse(slot, number))
        return AVENC_OK; /* refused and yet reported: the report counts */
    if (rc == AVENC_E_AGAIN && gone) {
        avi_flight_leave(&channel->flight, slot);
        slot->state = AVI_SLOT_FILLING;
        stream->idr_owed = stream->idr_owed || owed;
        channel->crowded = landed == channel->landed; /* else there is room by now */
        if (!channel->crowded || channel->flight.head)
            return AVENC_E_AGAIN;
        channel->crowded = false;
        return avi_fail(AVENC_E_FULL, channel->port->send_call,
                        "%s takes no frame, although it has none of this channel", channel->port->name);
    }
    stream->stats.refused_sends++;
    stream->idr_owed = true;
    if (gone) {
        avi_flight_leave(&channel->flight, slot);
        slot->state = AVI_SLOT_FILLING;
    } else {
        slot->state = AVI_SLOT_REFUSED;
        channel->refused++;
        channel->refused_code = rc;
    }
    return rc;
}

/* After a failed hand-over: the slot is out of the window, and its packet in the caller's hands. */
static avi_packet *take_refused_locked(avenc_channel *channel, avi_slot *slot) {
    avi_stream *stream = channel->stream;
    avi_packet *packet = slot->packet;
    slot->packet = NULL;
    channel->active--;
    avi_leave_window_locked(channel);
    if (stream->window == 0 && stream->stats.completed)
        stream->idle_since = avi_now_ns();
    if (slot->state == AVI_SLOT_FILLING)
        avi_channel_free_slot_locked(channel, slot);
    return packet;
}

/*
 * Wait for the right to send. AVENC_OK with *queue: frames wait in front, or another thread sends and the caller does not
 * wait; this one goes behind them.
 */
static int wait_turn_locked(avenc_channel *channel, avi_waiter *waiter, bool *queue) {
    int rc;
    while ((rc = avi_refused_locked(channel, waiter->call)) == AVENC_OK) {
        *queue =
            channel->queued_head || channel->sending_queued || channel->change || (channel->sending && !waiter->wait);
        if (*queue || !channel->sending)
            return AVENC_OK;
        channel->turns_wanted++;
        rc = avi_stream_sleep_locked(channel->stream, waiter, false);
        channel->turns_wanted--;
        if (rc != AVENC_OK)
            return rc == AVENC_E_TIMEOUT ? avi_fail_full_locked(channel, waiter) : rc;
    }
    return rc;
}

int avi_accept(avenc_channel *channel, avi_slot *slot, const avenc_submission *submission, bool queue,
               avi_waiter *waiter, uint64_t *frame_index, bool *kept) {
    avi_stream *stream = channel->stream;
    *kept = true;
    int rc = keep_sei(slot, submission, waiter->call);
    if (rc != AVENC_OK)
        return rc;
    avi_lock(&stream->lock);
    if (!queue)
        rc = wait_turn_locked(channel, waiter, &queue);
    else
        rc = slot->state == AVI_SLOT_HELD ? avi_wait_pause_locked(channel, waiter)
                                          : avi_refused_locked(channel, waiter->call);
    if (rc != AVENC_OK) {
        avi_unlock(&stream->lock);
        return rc;
    }
    int64_t pts = channel->next_pts;
    avi_moment end = channel->last_end;
    uint64_t now = avi_now_ns();
    *kept = false;
    accept_locked(channel, slot, submission, now);
    count_copies_locked(stream, slot);
    uint64_t index = slot->packet->pub.frame_index;
    if (queue) {
        *frame_index = index;
        queue_locked(channel, slot);
        avi_unlock(&stream->lock);
        return AVENC_OK;
    }
    channel->sending = true;
    rc = hand_over_locked(channel, slot, now);
    if (rc == AVENC_E_AGAIN && (stream->closed || channel->distrusted)) /* what was queued is not any more */
        rc = avi_fail_refused_locked(channel, waiter->call);
    if (rc == AVENC_OK || rc == AVENC_E_AGAIN) {
        *frame_index = index;
        if (rc == AVENC_E_AGAIN)
            requeue_locked(channel, slot);
        rc = AVENC_OK;
    } else {
        channel->unfinished--;
        stream->stats.in_flight--;
        stream->stats.submitted--;
        /* Else later frames, or those behind a change or a successor, are numbered already: this number stays unused. */
        if (stream->next_number == index + 1 && !channel->change && !channel->sealed) {
            stream->next_number--;
            channel->next_pts = pts;
            channel->last_end = end;
        }
        *kept = slot->state == AVI_SLOT_FILLING;
        if (!*kept)
            avi_pool_release(take_refused_locked(channel, slot));
        avi_stream_signal_locked(stream, true);
    }
    avi_channel_leave_sending_locked(channel);
    avi_unlock(&stream->lock);
    return rc;
}

/* A frame that was accepted comes back as a packet that says why it was not encoded. */
static void fail_accepted_locked(avenc_channel *channel, avi_packet *packet, int code) {
    channel->stream->idr_owed = true;
    packet->pub.status = code;
    packet->pub.emitted_ns = avi_now_ns();
    avi_channel_finish_locked(channel, packet);
    avi_stream_signal_locked(channel->stream, true);
}

/* An accepted frame is not to be encoded. */
static void drop_accepted_locked(avenc_channel *channel, avi_packet *packet) {
    channel->unfinished--;
    channel->stream->stats.in_flight--;
    channel->stream->stats.dropped_frames++;
    avi_stream_discard_locked(channel->stream, packet);
    avi_stream_signal_locked(channel->stream, true); /* there is room, and perhaps nothing is in flight any more */
}

/* The first of the queue is not to be sent: its slot is done, and its packet in the caller's hands. */
static avi_packet *take_queued_locked(avenc_channel *channel) {
    avi_slot *slot = unqueue_locked(channel);
    avi_packet *packet = slot->packet;
    slot->packet = NULL;
    channel->active--;
    avi_channel_free_slot_locked(channel, slot);
    return packet;
}

void avi_fail_queued_locked(avenc_channel *channel, int code) {
    while (channel->queued_head)
        fail_accepted_locked(channel, take_queued_locked(channel), code);
    avi_channel_check_over_locked(channel);
}

void avi_drop_queued_locked(avenc_channel *channel) {
    while (channel->queued_head)
        drop_accepted_locked(channel, take_queued_locked(channel));
}

/* Of a frame that is out of the queue, while others there are ended: AVENC_OK, or how. */
static int not_to_be_sent_locked(const avenc_channel *channel) {
    return channel->stream->closed ? AVENC_E_CLOSED : channel->distrusted ? AVENC_E_UNSURE : AVENC_OK;
}

bool avi_send_run(void *arg) {
    avenc_channel *channel = arg;
    avi_stream *stream = channel->stream;
    avi_binding binding;
    avi_lock(&stream->lock);
    if (!avi_channel_can_send_locked(channel) || channel->state != AVI_OPEN || atomic_load(&channel->device->lost)) {
        avi_unlock(&stream->lock);
        return false;
    }
    avi_slot *slot = unqueue_locked(channel);
    channel->sending = channel->sending_queued = true;
    channel->window++;
    stream->window++;
    slot->state = AVI_SLOT_FILLING;
    avi_unlock(&stream->lock);

    avi_blocking_begins();
    int rc = channel->port->bind(channel->device, &binding);
    bool bound = rc == AVENC_OK;
    if (bound)
        rc = avi_slot_prepare(&channel->slots, slot);
    avi_lock(&stream->lock);
    count_copies_locked(stream, slot);
    if (rc == AVENC_OK)
        rc = not_to_be_sent_locked(channel);
    if (rc == AVENC_OK)
        rc = hand_over_locked(channel, slot, avi_now_ns());
    if (rc == AVENC_E_AGAIN && not_to_be_sent_locked(channel))
        rc = not_to_be_sent_locked(channel);
    if (rc == AVENC_E_AGAIN)
        requeue_locked(channel, slot);
    else if (rc == AVENC_E_CLOSED)
        drop_accepted_locked(channel, take_refused_locked(channel, slot));
    else if (rc != AVENC_OK)
        fail_accepted_locked(channel, take_refused_locked(channel, slot), rc);
    avi_channel_leave_sending_locked(channel);
    bool more = avi_channel_can_send_locked(channel);
    avi_unlock(&stream->lock);
    if (bound)
        channel->port->unbind(channel->device, &binding);
    avi_blocking_ends();
    return more;
}

int avenc_channel_drop_oldest(avenc_channel *channel) {
    if (avi_channel_lock(channel, true, __func__) != AVENC_OK)
        return 0;
    avi_stream *stream = channel->stream;
    bool found = channel->queued_head;
    if (found) {
        stream->idr_owed = stream->idr_owed || channel->queued_head->force_idr;
        drop_accepted_locked(channel, take_queued_locked(channel));
        avi_channel_check_change_locked(channel);
        avi_channel_check_over_locked(channel);
    }
    avi_unlock(&stream->lock);
    return found;
}
