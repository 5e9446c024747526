// SPDX-License-Identifier: Apache-2.0
/*
 * Frames going in: a slot is taken, the pixels are brought to where the device reads them, the slot is sent, or queued
 * for a task that sends it. The same steps serve every source of pixels; they differ in who copies and when.
 *
 * Handing over is done by whoever has the right to send, one at a time for each channel, so that the order of the
 * flight is the order of the frames' numbers and of the reports. The right is a state that is waited for like room;
 * no lock is held across a call of the vendor's.
 */
#include "engine/intake.h"
#include "base/status.h"
#include "base/thread.h"

#include <stdio.h>

enum { DIRECT, WAITING }; /* what a slot is taken for: sent by the taker at once, or for any time */

/* ---- taking a slot ----------------------------------------------------------------------------- */

static int refused_locked(const avenc_channel *channel, const char *call) {
    const avi_stream *stream = channel->stream;
    if (stream->closed)
        return avi_fail(AVENC_E_CLOSED, call, "the encoder is closed");
    if (stream->ended)
        return avi_fail(AVENC_E_DRAINED, call, "the end of the stream was declared: no further frames");
    if (channel->sealed)
        return avi_fail(AVENC_E_REPLACED, call, "the channel was replaced: submit to the one that took its place");
    if (channel->state == AVI_OPENING || channel->state == AVI_FAILED || !channel->placed)
        return avi_fail(AVENC_E_INVALID, call, "the channel is not open, or has not its predecessor's place yet");
    if (stream->sink_error)
        return avi_fail_sink_locked(stream, call);
    return atomic_load(&channel->device->lost) ? avi_fail_lost(channel, call) : AVENC_OK;
}

enum { NO_ROOM, ROOM, ROOM_IN_MAKING, WEDGED };

static int room_locked(const avenc_channel *channel, int purpose) {
    const avi_slots *slots = &channel->slots;
    const avenc_channel_config *config = &channel->config;
    if (channel->stream->paused || avi_stream_full_locked(channel->stream))
        return NO_ROOM;
    if (channel->active + channel->held >= config->depth + config->queue)
        return NO_ROOM;
    if (purpose == DIRECT && channel->window >= channel->most_in_device)
        return NO_ROOM;
    bool staging = purpose == WAITING && !slots->host_writes_memory;
    for (const avi_slot *slot = slots->free; slot; slot = slot->next)
        if (!staging || slot->staging)
            return ROOM;
    if (slots->free || slots->begun < slots->capacity)
        return ROOM_IN_MAKING;
    /* Every spare one went to frames that the device refused. Reports of later frames bring them back, if any come. */
    return channel->active || channel->held ? NO_ROOM : WEDGED;
}

/* A wait for room, or for a turn, came to nothing. */
static int fail_full_locked(const avenc_channel *channel, avi_waiter *waiter, int verdict, const char *call) {
    avi_stream *stream = channel->stream;
    const avenc_channel_stats *stats = &stream->stats;
    const avenc_channel_config *config = &channel->config;
    char bound[64];
    if (verdict == AVI_LOOK)
        return avi_fail(AVENC_E_LOOK, call, "the wait goes on");
    avi_stream_bound(waiter, verdict, bound, sizeof bound);
    if (stream->paused)
        return avi_fail(AVENC_E_FULL, call, "no room for another frame %s: reconfigure() waits for the device", bound);
    if (avi_stream_full_locked(stream))
        return avi_fail(AVENC_E_FULL, call,
                        "no room for another frame %s: %u packets wait to be received, of %u that may", bound,
                        stats->ready, stream->max_ready);
    double sending = stream->sending_since ? (double)(avi_now_ns() - stream->sending_since) * 1e-9 : 0;
    char stuck[128] = "";
    if (sending > 0.5)
        snprintf(stuck, sizeof stuck, "; %s has not returned for %.3g s%s", channel->port->send_call, sending,
                 stream->hint);
    return avi_fail(AVENC_E_FULL, call,
                    "no room for another frame %s: %u in flight (depth %u), %u queued (queue %u), %u held by the "
                    "program%s",
                    bound, stats->in_flight - stats->queued, config->depth, stats->queued, config->queue, stats->held,
                    stuck);
}

/* Wait for room; the lock is given up meanwhile. */
static int wait_room_locked(avenc_channel *channel, int purpose, avi_waiter *waiter, const char *call) {
    avi_stream *stream = channel->stream;
    uint64_t start = 0;
    int rc, room;
    while ((rc = refused_locked(channel, call)) == AVENC_OK && (room = room_locked(channel, purpose)) != ROOM) {
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
            avi_channel_want_slot_locked(channel);
        }
        start = start ? start : avi_now_ns();
        int verdict = avi_stream_sleep_locked(stream, waiter, false);
        if (verdict == AVI_WOKEN)
            continue;
        if (room == ROOM_IN_MAKING && verdict != AVI_LOOK)
            rc = avi_fail(AVENC_E_AGAIN, call, "memory for another picture is being allocated");
        else
            rc = fail_full_locked(channel, waiter, verdict, call);
        break;
    }
    if (start)
        stream->stats.full_ns += avi_now_ns() - start;
    return rc;
}

static void hold_locked(avenc_channel *channel, int by) {
    channel->held += (unsigned)by;
    channel->stream->stats.held += (uint32_t)by;
}

static void leave_window_locked(avenc_channel *channel) {
    channel->window--;
    channel->stream->window--;
    avi_intake_go_on_locked(channel);
}

/* Give back a slot that was not accepted. */
static void return_slot_locked(avenc_channel *channel, avi_slot *slot) {
    avi_packet *packet = slot->packet;
    slot->packet = NULL;
    if (packet)
        avi_pool_release(packet);
    if (slot->state == AVI_SLOT_FILLING) {
        channel->active--;
        leave_window_locked(channel);
    } else {
        hold_locked(channel, -1);
    }
    avi_channel_free_slot_locked(channel, slot);
    avi_channel_check_over_locked(channel);
    avi_stream_signal_locked(channel->stream, true);
}

static void return_slot(avenc_channel *channel, avi_slot *slot) {
    avenc_failure kept = *avenc_last_failure();
    avi_lock(&channel->stream->lock);
    return_slot_locked(channel, slot);
    avi_unlock(&channel->stream->lock);
    avi_fail_again(&kept);
}

/* Take a slot and reserve a packet for it. FILLING, counted in the window, if DIRECT; else HELD. */
static int take_slot(avenc_channel *channel, int purpose, avi_waiter *waiter, const char *call, avi_slot **out) {
    avi_slot *slot = NULL;
    avi_lock(&channel->stream->lock);
    int rc = wait_room_locked(channel, purpose, waiter, call);
    if (rc == AVENC_OK) {
        slot = avi_slots_pop(&channel->slots, purpose == WAITING);
        if (purpose == DIRECT) {
            slot->state = AVI_SLOT_FILLING;
            channel->active++;
            channel->window++;
            channel->stream->window++;
        } else {
            slot->state = AVI_SLOT_HELD;
            hold_locked(channel, 1);
        }
    }
    avi_unlock(&channel->stream->lock);
    if (rc != AVENC_OK)
        return rc;
    if (!(slot->packet = avi_pool_acquire(channel->pool))) {
        rc = avi_fail(AVENC_E_NOMEM, "mmap", "no memory for another packet buffer of %zu bytes",
                      avi_pool_capacity(channel->pool));
        return_slot(channel, slot);
        return rc;
    }
    *out = slot;
    return AVENC_OK;
}

/* ---- sending ----------------------------------------------------------------------------------- */

static void accept_locked(avenc_channel *channel, avi_slot *slot, const avenc_submission *submission) {
    avi_stream *stream = channel->stream;
    avenc_packet *packet = &slot->packet->pub;
    stream->stats.submitted++;
    packet->frame_index = stream->next_number++;
    packet->pts = submission->number_pts ? channel->next_pts : submission->pts;
    packet->tag = submission->tag;
    packet->promised = submission->promised;
    packet->epoch = channel->epoch;
    packet->submitted_ns = avi_now_ns();
    channel->next_pts++;
    channel->last_end = packet->pts + (packet->pts < INT64_MAX);
    slot->force_idr = submission->force_idr;
    if (stream->stats.in_flight++ == 0)
        stream->progressed_ns = packet->submitted_ns;
    if (submission->converted) {
        stream->stats.host_copies_in++;
        stream->stats.bytes_copied_in += (uint64_t)channel->config.width * channel->config.height * 3 / 2;
    }
}

static void count_copies_locked(avi_stream *stream, const avenc_channel_stats *delta) {
    stream->stats.host_copies_in += delta->host_copies_in;
    stream->stats.device_copies_in += delta->device_copies_in;
    stream->stats.bytes_copied_in += delta->bytes_copied_in;
}

/* An accepted slot, HELD or FILLING, joins the queue. */
static void queue_locked(avenc_channel *channel, avi_slot *slot) {
    if (slot->state == AVI_SLOT_HELD) {
        hold_locked(channel, -1);
        channel->active++;
    } else {
        channel->window--;
        channel->stream->window--;
    }
    slot->state = AVI_SLOT_QUEUED;
    slot->next = NULL;
    if (channel->queued_tail)
        channel->queued_tail->next = slot;
    else
        channel->queued_head = slot;
    channel->queued_tail = slot;
    channel->stream->stats.queued++;
    avi_intake_go_on_locked(channel);
}

static avi_slot *unqueue_locked(avenc_channel *channel) {
    avi_slot *slot = channel->queued_head;
    channel->queued_head = slot->next;
    if (!channel->queued_head)
        channel->queued_tail = NULL;
    slot->next = NULL;
    channel->stream->stats.queued--;
    return slot;
}

/* Back to where it came from: the device takes no more frames for now. */
static void requeue_locked(avenc_channel *channel, avi_slot *slot) {
    slot->state = AVI_SLOT_QUEUED;
    slot->next = channel->queued_head;
    channel->queued_head = slot;
    if (!channel->queued_tail)
        channel->queued_tail = slot;
    channel->window--;
    channel->stream->window--;
    channel->stream->stats.queued++;
}

void avi_intake_go_on_locked(avenc_channel *channel) {
    if (channel->queued_head && channel->window < channel->most_in_device && !channel->sending && !channel->crowded)
        avi_channel_post(channel, &channel->send_task);
}

static void leave_sending_locked(avenc_channel *channel) {
    channel->sending = channel->sending_queued = false;
    channel->stream->sending_since = 0;
    avi_intake_go_on_locked(channel);
    avi_channel_check_over_locked(channel);
    if (channel->turns_wanted)
        avi_stream_signal_locked(channel->stream, true);
}

/* The device has nothing of this stream any more. */
static void note_idle_locked(avi_stream *stream, uint64_t now) {
    if (stream->window == 0 && stream->stats.completed)
        stream->idle_since = now;
}

/*
 * Hand an accepted slot, FILLING, to the device. The caller has the right to send; the lock is given up meanwhile. On
 * failure the slot is FILLING still, or REFUSED: in flight, since the device may read it.
 */
static int hand_over_locked(avenc_channel *channel, avi_slot *slot) {
    avi_stream *stream = channel->stream;
    bool idr = slot->force_idr || stream->idr_owed, gone = false;
    stream->idr_owed = false;
    uint64_t since = avi_now_ns();
    if (stream->idle_since) {
        stream->stats.idle_ns += since - stream->idle_since;
        stream->idle_since = 0;
    }
    stream->sending_since = since;
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
        stream->idr_owed = stream->idr_owed || idr;
        channel->crowded = landed == channel->landed; /* else there is room by now */
        return AVENC_E_AGAIN;
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

/* The device takes no more: nothing of this channel's is in it that would make room. */
static int fail_crowded_locked(const avenc_channel *channel) {
    return avi_fail(AVENC_E_FULL, channel->port->send_call, "%s takes no frame, although it has none of this channel",
                    channel->port->name);
}

/* As hand_over_locked, but while the device takes no more frames, wait for one to be reported. */
static int hand_over_waiting_locked(avenc_channel *channel, avi_slot *slot, avi_waiter *waiter, const char *call) {
    avi_stream *stream = channel->stream;
    int rc;
    while ((rc = hand_over_locked(channel, slot)) == AVENC_E_AGAIN) {
        stream->sending_since = 0;
        while (rc == AVENC_E_AGAIN && channel->crowded) {
            int verdict;
            if (stream->closed)
                rc = avi_fail(AVENC_E_CLOSED, call, "the encoder is closed");
            else if (atomic_load(&channel->device->lost))
                rc = avi_fail_lost(channel, call);
            else if (!channel->flight.head)
                rc = fail_crowded_locked(channel);
            else if ((verdict = avi_stream_sleep_locked(stream, waiter, false)) != AVI_WOKEN)
                rc = fail_full_locked(channel, waiter, verdict, call);
        }
        channel->crowded = false;
        if (rc != AVENC_E_AGAIN)
            break;
    }
    return rc;
}

/* After a failed hand-over: the slot is out of the window, and its packet in the caller's hands. */
static avi_packet *take_refused_locked(avenc_channel *channel, avi_slot *slot) {
    avi_packet *packet = slot->packet;
    slot->packet = NULL;
    channel->active--;
    leave_window_locked(channel);
    note_idle_locked(channel->stream, avi_now_ns());
    if (slot->state == AVI_SLOT_FILLING)
        avi_channel_free_slot_locked(channel, slot);
    return packet;
}

/* Wait for the right to send. AVENC_OK with *queue: frames wait in front, and this one goes behind them. */
static int wait_turn_locked(avenc_channel *channel, avi_waiter *waiter, bool *queue, const char *call) {
    int rc;
    while ((rc = refused_locked(channel, call)) == AVENC_OK) {
        *queue = channel->queued_head || channel->sending_queued;
        if (*queue || !channel->sending)
            break;
        channel->turns_wanted++;
        int verdict = avi_stream_sleep_locked(channel->stream, waiter, false);
        channel->turns_wanted--;
        if (verdict != AVI_WOKEN) {
            rc = fail_full_locked(channel, waiter, verdict, call);
            break;
        }
    }
    return rc;
}

/*
 * Accept a filled slot of the window and send it, or queue it behind frames that are queued already. On failure it is
 * not the caller's any more, unless *kept.
 */
static int accept_and_send(avenc_channel *channel, avi_slot *slot, const avenc_submission *submission,
                           const avenc_channel_stats *delta, avi_waiter *waiter, uint64_t *frame_index, bool *kept) {
    avi_stream *stream = channel->stream;
    bool queue = false;
    *kept = true;
    avi_lock(&stream->lock);
    int rc = wait_turn_locked(channel, waiter, &queue, "avenc_channel_submit");
    if (rc != AVENC_OK) {
        avi_unlock(&stream->lock);
        return rc;
    }
    int64_t pts = channel->next_pts, end = channel->last_end;
    *kept = false;
    accept_locked(channel, slot, submission);
    count_copies_locked(stream, delta);
    uint64_t index = slot->packet->pub.frame_index;
    if (queue) {
        *frame_index = index;
        queue_locked(channel, slot);
        avi_unlock(&stream->lock);
        return AVENC_OK;
    }
    channel->sending = true;
    rc = hand_over_waiting_locked(channel, slot, waiter, "avenc_channel_submit");
    if (rc == AVENC_OK) {
        *frame_index = index;
    } else {
        stream->stats.in_flight--;
        stream->stats.submitted--;
        if (stream->next_number == index + 1) { /* else later frames are numbered already: this number stays unused */
            stream->next_number--;
            channel->next_pts = pts;
            channel->last_end = end;
        }
        *kept = slot->state == AVI_SLOT_FILLING;
        if (!*kept)
            avi_pool_release(take_refused_locked(channel, slot));
        avi_stream_signal_locked(stream, true);
    }
    leave_sending_locked(channel);
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

bool avi_intake_send_run(void *arg) {
    avenc_channel *channel = arg;
    avi_stream *stream = channel->stream;
    avi_binding binding;
    avenc_channel_stats delta = {0};
    avi_lock(&stream->lock);
    if (!channel->queued_head || channel->window >= channel->most_in_device || channel->sending || channel->crowded ||
        channel->state != AVI_OPEN || atomic_load(&channel->device->lost)) {
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
        rc = avi_slot_prepare(&channel->slots, slot, &delta);
    avi_lock(&stream->lock);
    count_copies_locked(stream, &delta);
    if (rc == AVENC_OK && stream->closed)
        rc = AVENC_E_CLOSED;
    if (rc == AVENC_OK)
        rc = hand_over_locked(channel, slot);
    if (rc == AVENC_E_AGAIN && stream->closed)
        rc = AVENC_E_CLOSED;
    else if (rc == AVENC_E_AGAIN && channel->crowded && !channel->flight.head)
        rc = fail_crowded_locked(channel);
    if (rc == AVENC_E_AGAIN)
        requeue_locked(channel, slot);
    else if (rc == AVENC_E_CLOSED)
        avi_channel_drop_frame_locked(channel, take_refused_locked(channel, slot));
    else if (rc != AVENC_OK)
        fail_accepted_locked(channel, take_refused_locked(channel, slot), rc);
    leave_sending_locked(channel);
    bool more = channel->queued_head && channel->window < channel->most_in_device && !channel->crowded;
    avi_unlock(&stream->lock);
    if (bound)
        channel->port->unbind(channel->device, &binding);
    avi_blocking_ends();
    return more;
}

/* ---- the calls --------------------------------------------------------------------------------- */

static int check_picture(const avenc_channel *channel, const avenc_picture *picture, const char *call) {
    const avenc_channel_config *config = &channel->config;
    if (!picture->y || !picture->uv)
        return avi_fail(AVENC_E_INVALID, call, "the picture's planes must not be NULL");
    if (picture->width != config->width || picture->y_height != config->height ||
        picture->uv_height != config->height / 2)
        return avi_fail(AVENC_E_INVALID, call, "the picture has %u x %u and %u rows of chroma, the channel %u x %u",
                        picture->width, picture->y_height, picture->uv_height, config->width, config->height);
    if (picture->y_stride < config->width || picture->uv_stride < config->width)
        return avi_fail(AVENC_E_INVALID, call, "row strides are %zu and %zu bytes, a row has %u", picture->y_stride,
                        picture->uv_stride, config->width);
    return AVENC_OK;
}

static int check_channel(const avenc_channel *channel, const void *argument, const void *out, const char *call) {
    if (!channel || !argument || !out)
        return avi_fail(AVENC_E_INVALID, call, "no argument may be NULL");
    return channel->generation == avi_generation() ? AVENC_OK : avi_fail_forked(call);
}

/*
 * Fill a slot that was taken, by `place` or from the submission's picture, and send it. The slot keeps the channel, and
 * so the device, from ending: it is bound only then.
 */
static int send_one(avenc_channel *channel, const avenc_device_picture *place, const avenc_submission *submission,
                    avi_waiter *waiter, uint64_t *frame_index, const char *call) {
    avi_slot *slot = NULL;
    avi_binding binding;
    avenc_channel_stats delta = {0};
    bool kept = true;
    int rc = take_slot(channel, DIRECT, waiter, call, &slot);
    if (rc != AVENC_OK)
        return rc;
    bool bound = (rc = channel->port->bind(channel->device, &binding)) == AVENC_OK;
    if (!bound) {
        /* nothing was done */
    } else if (place) {
        rc = avi_slot_place(&channel->slots, slot, place, &delta);
    } else {
        slot->source = submission->picture;
        slot->pixels = AVI_IN_CALLER;
        rc = avi_slot_prepare(&channel->slots, slot, &delta);
    }
    if (rc == AVENC_OK)
        rc = accept_and_send(channel, slot, submission, &delta, waiter, frame_index, &kept);
    if (bound)
        channel->port->unbind(channel->device, &binding);
    if (rc != AVENC_OK && kept)
        return_slot(channel, slot);
    return rc;
}

int avenc_channel_submit(avenc_channel *channel, const avenc_submission *submission, const avenc_wait *wait,
                         uint64_t *frame_index) {
    int rc = check_channel(channel, submission, frame_index, __func__);
    if (rc == AVENC_OK)
        rc = check_picture(channel, &submission->picture, __func__);
    if (rc != AVENC_OK)
        return rc;
    avi_waiter waiter = avi_waiter_begin(wait);
    return send_one(channel, NULL, submission, &waiter, frame_index, __func__);
}

int avenc_channel_submit_device(avenc_channel *channel, const avenc_device_picture *picture,
                                const avenc_submission *submission, const avenc_wait *wait, uint64_t *frame_index) {
    int rc = check_channel(channel, submission, frame_index, __func__);
    if (rc == AVENC_OK && (!picture || !picture->data))
        rc = avi_fail(AVENC_E_INVALID, __func__, "picture and its data must not be NULL");
    if (rc != AVENC_OK)
        return rc;
    if (picture->stride < channel->config.width || picture->height_stride < channel->config.height ||
        (uint64_t)picture->stride * picture->height_stride * 3 / 2 > UINT32_MAX)
        return avi_fail(AVENC_E_INVALID, __func__, "strides are %u bytes and %u rows, the channel has %u x %u",
                        picture->stride, picture->height_stride, channel->config.width, channel->config.height);
    if (picture->wait && (rc = channel->port->wait_stream(channel->device, picture->stream)) != AVENC_OK)
        return rc;
    avi_waiter waiter = avi_waiter_begin(wait);
    return send_one(channel, picture, submission, &waiter, frame_index, __func__);
}

/*
 * What is HELD may be accepted: a pause is waited for, as for room. It is not among the frames that a channel finishes
 * before it is retired.
 */
static int wait_pause_locked(avenc_channel *channel, avi_waiter *waiter, const char *call) {
    int rc;
    while ((rc = refused_locked(channel, call)) == AVENC_OK && channel->stream->paused) {
        int verdict = avi_stream_sleep_locked(channel->stream, waiter, false);
        if (verdict != AVI_WOKEN)
            return fail_full_locked(channel, waiter, verdict, call);
    }
    return rc;
}

/* A slot whose pixels are somewhere, HELD or FILLING, joins the queue. */
static int enqueue_slot(avenc_channel *channel, avi_slot *slot, const avenc_submission *submission,
                        const avenc_channel_stats *delta, avi_waiter *waiter, uint64_t *frame_index) {
    static const char call[] = "avenc_channel_enqueue";
    avi_lock(&channel->stream->lock);
    int rc = slot->state == AVI_SLOT_HELD ? wait_pause_locked(channel, waiter, call) : refused_locked(channel, call);
    if (rc == AVENC_OK) {
        accept_locked(channel, slot, submission);
        count_copies_locked(channel->stream, delta);
        *frame_index = slot->packet->pub.frame_index;
        queue_locked(channel, slot);
    }
    avi_unlock(&channel->stream->lock);
    return rc;
}

/* Queue a picture of the caller's in a slot that was taken. */
static int queue_picture(avenc_channel *channel, avi_slot *slot, const avenc_submission *submission, bool copy_now,
                         avi_waiter *waiter, uint64_t *frame_index) {
    avenc_channel_stats delta = {0};
    slot->source = submission->picture;
    slot->pixels = AVI_IN_CALLER;
    if (copy_now)
        avi_slot_stage(&channel->slots, slot, &delta);
    int rc = enqueue_slot(channel, slot, submission, &delta, waiter, frame_index);
    if (rc != AVENC_OK)
        return_slot(channel, slot);
    return rc;
}

/*
 * Frames beyond what the device takes at once are queued, so that the call returns with work left: a
 * caller that has to win a lock back before its next batch (in Python: the GIL) would else leave the
 * device without frames meanwhile.
 */
static int submit_or_queue(avenc_channel *channel, const avenc_submission *submission, avi_waiter *waiter,
                           uint64_t *frame_index, const char *call) {
    avi_waiter at_once = avi_waiter_begin(NULL);
    avi_slot *slot = NULL;
    bool queue = channel->config.queue > 0;
    int rc = send_one(channel, NULL, submission, queue ? &at_once : waiter, frame_index, call);
    if (!queue || (rc != AVENC_E_FULL && rc != AVENC_E_AGAIN))
        return rc;
    rc = take_slot(channel, WAITING, waiter, call, &slot);
    return rc ? rc : queue_picture(channel, slot, submission, true, waiter, frame_index);
}

int avenc_channel_submit_many(avenc_channel *channel, const avenc_submission *submissions, size_t count,
                              const avenc_wait *wait, uint64_t *indices, size_t *accepted) {
    int rc = check_channel(channel, submissions, indices, __func__);
    if (rc == AVENC_OK && !accepted)
        rc = avi_fail(AVENC_E_INVALID, __func__, "accepted must not be NULL");
    if (rc != AVENC_OK)
        return rc;
    *accepted = 0;
    for (size_t i = 0; i < count; i++)
        if ((rc = check_picture(channel, &submissions[i].picture, __func__)) != AVENC_OK)
            return rc;
    avi_waiter waiter = avi_waiter_begin(wait);
    for (size_t i = 0; i < count && rc == AVENC_OK; i++) {
        rc = submit_or_queue(channel, &submissions[i], &waiter, &indices[i], __func__);
        *accepted += rc == AVENC_OK;
    }
    return rc;
}

/* Take the oldest queued frame out of the queue. */
static bool drop_oldest_queued(avenc_channel *channel) {
    avi_stream *stream = channel->stream;
    avi_lock(&stream->lock);
    bool found = channel->queued_head;
    if (found) {
        avi_slot *slot = unqueue_locked(channel);
        stream->idr_owed = stream->idr_owed || slot->force_idr;
        avi_channel_drop_queued_locked(channel, slot);
        avi_channel_check_over_locked(channel);
    }
    avi_unlock(&stream->lock);
    return found;
}

int avenc_channel_enqueue(avenc_channel *channel, const avenc_submission *submission, int copy_now, int drop_oldest,
                          uint64_t *frame_index) {
    int rc = check_channel(channel, submission, frame_index, __func__);
    if (rc == AVENC_OK)
        rc = check_picture(channel, &submission->picture, __func__);
    if (rc != AVENC_OK)
        return rc;
    avi_slot *slot = NULL;
    avi_waiter waiter = avi_waiter_begin(NULL);
    rc = take_slot(channel, WAITING, &waiter, __func__, &slot);
    if (rc == AVENC_E_FULL && drop_oldest && drop_oldest_queued(channel))
        rc = take_slot(channel, WAITING, &waiter, __func__, &slot);
    return rc ? rc : queue_picture(channel, slot, submission, copy_now != 0, &waiter, frame_index);
}

int avenc_channel_drop_oldest(avenc_channel *channel) {
    return channel && channel->generation == avi_generation() && drop_oldest_queued(channel);
}

int avenc_channel_wait_room(avenc_channel *channel, const avenc_wait *wait) {
    int rc = check_channel(channel, channel, channel, __func__);
    if (rc != AVENC_OK)
        return rc;
    avi_waiter waiter = avi_waiter_begin(wait);
    avi_lock(&channel->stream->lock);
    rc = wait_room_locked(channel, WAITING, &waiter, __func__);
    avi_unlock(&channel->stream->lock);
    return rc;
}

uint32_t avenc_channel_refused_pending(avenc_channel *channel) {
    if (!channel || channel->generation != avi_generation())
        return 0;
    avi_lock(&channel->stream->lock);
    uint32_t count = channel->refused;
    avi_unlock(&channel->stream->lock);
    return count;
}

/* ---- frames that the caller fills -------------------------------------------------------------- */

static avi_slot *slot_of(avenc_frame *frame) {
    return (avi_slot *)frame;
}

int avenc_channel_acquire(avenc_channel *channel, const avenc_wait *wait, avenc_frame **frame,
                          avenc_frame_memory *memory) {
    avi_slot *slot = NULL;
    int rc = check_channel(channel, frame, memory, __func__);
    avi_waiter waiter = avi_waiter_begin(wait);
    if (rc == AVENC_OK)
        rc = take_slot(channel, WAITING, &waiter, __func__, &slot);
    if (rc != AVENC_OK)
        return rc;
    bool direct = channel->slots.host_writes_memory;
    slot->pixels = direct ? AVI_IN_MEMORY : AVI_IN_STAGING;
    avi_lock(&channel->stream->lock);
    slot->handles = 1;
    avi_unlock(&channel->stream->lock);
    avi_channel_retain(channel);
    avi_live_add(AVENC_LIVE_FRAME, 1);
    memory->y = direct ? slot->memory : slot->staging;
    memory->uv = memory->y + (size_t)channel->slots.stride * channel->config.height;
    memory->stride = channel->slots.stride;
    memory->device_memory = direct;
    *frame = (avenc_frame *)slot;
    return AVENC_OK;
}

/* Take the frame for submission: HELD by its handles no longer. It can be done once. */
static int claim_frame(avenc_channel *channel, avi_slot *slot, bool queue, avi_waiter *waiter, bool *queued) {
    static const char call[] = "avenc_frame_submit";
    int rc = AVENC_OK;
    avi_lock(&channel->stream->lock);
    if (slot->state == AVI_SLOT_HELD)
        rc = wait_pause_locked(channel, waiter, call);
    if (rc == AVENC_OK && slot->state != AVI_SLOT_HELD)
        rc = avi_fail(AVENC_E_INVALID, call, "the frame was submitted before");
    if (rc == AVENC_OK) {
        *queued = queue || channel->window >= channel->most_in_device || channel->sending || channel->queued_head;
        slot->state = AVI_SLOT_FILLING;
        hold_locked(channel, -1);
        channel->active++;
        channel->window++;
        channel->stream->window++;
    }
    avi_unlock(&channel->stream->lock);
    return rc;
}

static void unclaim_frame(avenc_channel *channel, avi_slot *slot) {
    avi_lock(&channel->stream->lock);
    if (slot->handles == 0) { /* given back meanwhile */
        return_slot_locked(channel, slot);
    } else {
        slot->state = AVI_SLOT_HELD;
        hold_locked(channel, 1);
        channel->active--;
        leave_window_locked(channel);
        avi_channel_check_over_locked(channel);
        avi_stream_signal_locked(channel->stream, true);
    }
    avi_unlock(&channel->stream->lock);
}

int avenc_frame_submit(avenc_frame *frame, const avenc_submission *submission, int flags, const avenc_wait *wait,
                       uint64_t *frame_index) {
    avi_slot *slot = slot_of(frame);
    if (!frame)
        return avi_fail(AVENC_E_INVALID, __func__, "frame must not be NULL");
    avenc_channel *channel = slot->channel;
    avi_binding binding;
    avenc_channel_stats delta = {0};
    bool queue = false, kept = true;
    int rc = check_channel(channel, submission, frame_index, __func__);
    avi_waiter waiter = avi_waiter_begin(wait);
    if (rc == AVENC_OK)
        rc = claim_frame(channel, slot, (flags & AVENC_FRAME_QUEUE) != 0, &waiter, &queue);
    if (rc != AVENC_OK)
        return rc;
    int pixels = slot->pixels;
    if (queue) {
        rc = enqueue_slot(channel, slot, submission, &delta, &waiter, frame_index);
    } else if ((rc = channel->port->bind(channel->device, &binding)) == AVENC_OK) {
        rc = avi_slot_prepare(&channel->slots, slot, &delta);
        if (rc == AVENC_OK)
            rc = accept_and_send(channel, slot, submission, &delta, &waiter, frame_index, &kept);
        channel->port->unbind(channel->device, &binding);
    }
    if (rc != AVENC_OK && kept) {
        slot->pixels = pixels;
        unclaim_frame(channel, slot);
    }
    return rc;
}

void avenc_frame_retain(avenc_frame *frame) {
    avi_slot *slot = slot_of(frame);
    if (slot->channel->generation != avi_generation())
        return;
    avi_lock(&slot->channel->stream->lock);
    slot->handles++;
    avi_unlock(&slot->channel->stream->lock);
    avi_channel_retain(slot->channel);
    avi_live_add(AVENC_LIVE_FRAME, 1);
}

void avenc_frame_release(avenc_frame *frame) {
    avi_slot *slot = slot_of(frame);
    if (!frame || slot->channel->generation != avi_generation())
        return;
    avenc_channel *channel = slot->channel;
    avi_lock(&channel->stream->lock);
    if (--slot->handles == 0 && slot->state == AVI_SLOT_HELD) {
        return_slot_locked(channel, slot);
    } else if (slot->handles == 0 && slot->state == AVI_SLOT_LEASED) {
        hold_locked(channel, -1);
        avi_channel_free_slot_locked(channel, slot);
        avi_stream_signal_locked(channel->stream, true);
    }
    avi_unlock(&channel->stream->lock);
    avi_live_add(AVENC_LIVE_FRAME, -1);
    avi_channel_drop(channel);
}
