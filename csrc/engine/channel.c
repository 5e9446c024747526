// SPDX-License-Identifier: Apache-2.0
#include "engine/channel.h"
#include "base/status.h"
#include "base/thread.h"
#include "engine/sink.h"

#include <stdio.h>
#include <stdlib.h>

static const double STUCK_S = 0.5; /* a call that takes longer is worth a word */

/* ---- references -------------------------------------------------------------------------------- */

void avi_channel_retain(avenc_channel *channel) {
    atomic_fetch_add(&channel->references, 1);
}

void avi_channel_settle(avenc_channel *channel) {
    avi_stream *stream = channel->stream;
    avi_lock(&stream->lock);
    avi_pool *pool = channel->pool;
    bool first = channel->unsettled;
    channel->unsettled = false;
    channel->pool = NULL;
    if (first && pool)
        channel->pool_buffers = atomic_load(&pool->allocations);
    avi_unlock(&stream->lock);
    if (!first)
        return;
    if (pool)
        avi_pool_retire(pool); /* it lives until its last packet is back */
    avenc_device_release(channel->device);
    avi_live_add(AVENC_LIVE_CHANNEL, -1);
}

void avi_channel_drop(avenc_channel *channel) {
    if (atomic_fetch_sub(&channel->references, 1) != 1)
        return;
    avi_channel_settle(channel); /* of one that never began */
    free(channel->slots.all);
    avi_device_let_go(channel->device);
    avi_stream_drop(channel->stream);
    free(channel);
}

void avi_channel_drop_locked(avenc_channel *channel) {
    if (atomic_fetch_sub(&channel->references, 1) != 1)
        return;
    atomic_store(&channel->references, 1); /* the last one is the task's now, which finds nothing to end */
    avi_task_post(&channel->end_task);
}

void avi_channel_post(avenc_channel *channel, avi_task *task) {
    avi_channel_retain(channel);
    if (!avi_task_post(task))
        avi_channel_drop_locked(channel); /* not the last: the caller has one itself */
}

/* ---- slots ------------------------------------------------------------------------------------- */

void avi_channel_free_slot_locked(avenc_channel *channel, avi_slot *slot) {
    if (slot->handle) {
        slot->state = AVI_SLOT_LEASED;
        avi_hold_locked(channel, 1);
    } else {
        avi_slots_push(&channel->slots, slot);
    }
    if (channel->state >= AVI_ENDING)
        avi_channel_post(channel, &channel->end_task); /* its memory is what is left of the channel */
}

void avi_channel_release_refused_locked(avenc_channel *channel, const avi_slot *until) {
    avi_slot *slot = channel->flight.head;
    while (slot && slot != until) {
        avi_slot *later = slot->later;
        if (slot->state == AVI_SLOT_REFUSED) {
            avi_flight_leave(&channel->flight, slot);
            channel->refused--;
            avi_channel_free_slot_locked(channel, slot);
        }
        slot = later;
    }
}

/* Make what is missing of a slot that nobody else has. */
static int make_slot(avenc_channel *channel, avi_slot *slot, bool whole) {
    avi_binding binding;
    avi_blocking_begins();
    int rc = channel->port->bind(channel->device, &binding);
    if (rc == AVENC_OK) {
        rc = avi_slot_make(&channel->slots, slot, true);
        avenc_failure kept = *avenc_last_failure();
        if (rc != AVENC_OK && !whole)
            avi_slot_unmake(&channel->slots, slot);
        channel->port->unbind(channel->device, &binding);
        avi_fail_again(&kept);
    }
    avi_blocking_ends();
    return rc;
}

bool avi_channel_make_run(void *arg) {
    avenc_channel *channel = arg;
    avi_slots *slots = &channel->slots;
    avi_stream *stream = channel->stream;
    avi_lock(&stream->lock);
    avi_slot *slot = avi_slots_pop(slots, false); /* all that are free lack staging memory */
    bool whole = slot != NULL;
    if (!slot && slots->begun < slots->capacity)
        slot = &slots->all[slots->begun++];
    if (slot) {
        avi_unlock(&stream->lock);
        int rc = make_slot(channel, slot, whole);
        avi_lock(&stream->lock);
        slots->made += rc == AVENC_OK && !whole;
        if (rc == AVENC_OK || whole)
            avi_slots_push(slots, slot);
        else
            slots->begun--; /* nobody began another one meanwhile */
        if (rc != AVENC_OK) {
            channel->make_failure = *avenc_last_failure();
            channel->make_failure.code = rc;
        }
    }
    channel->making = false;
    avi_channel_check_over_locked(channel);
    avi_stream_signal_locked(stream, true);
    avi_unlock(&stream->lock);
    return false;
}

/* ---- the right to send ---------------------------------------------------------------------------- */

static bool in_device_locked(const avenc_channel *channel) {
    for (const avi_slot *slot = channel->flight.head; slot; slot = slot->later)
        if (slot->state == AVI_SLOT_SENT)
            return true;
    return false;
}

void avi_channel_check_change_locked(avenc_channel *channel) {
    avenc_change *change = channel->change;
    if (!change || change->state != AVI_CHANGE_WANTED || channel->sending || in_device_locked(channel) ||
        (channel->queued_head && !avi_channel_held_back_locked(channel)))
        return;
    change->state = AVI_CHANGE_RUNNING;
    channel->sending = channel->sending_queued = true;
    avi_channel_post(channel, &channel->change_task);
}

void avi_channel_leave_sending_locked(avenc_channel *channel) {
    channel->sending = channel->sending_queued = false;
    channel->sending_since = 0;
    avi_channel_check_change_locked(channel);
    avi_channel_send_queued_locked(channel);
    avi_channel_check_over_locked(channel);
    if (channel->turns_wanted)
        avi_stream_signal_locked(channel->stream, true);
}

void avi_channel_say_stuck_locked(const avi_stream *stream, char text[AVI_STUCK_TEXT]) {
    const avenc_channel *longest = NULL;
    for (const avenc_channel *channel = stream->channels; channel; channel = channel->next)
        if (channel->sending_since && (!longest || channel->sending_since < longest->sending_since))
            longest = channel;
    double seconds = longest ? (double)(avi_now_ns() - longest->sending_since) * 1e-9 : 0;
    text[0] = '\0';
    if (seconds <= STUCK_S)
        return;
    bool changes = longest->change && longest->change->state == AVI_CHANGE_RUNNING; /* it has the right to send */
    snprintf(text, AVI_STUCK_TEXT, "; %s has not returned for %.3g s",
             changes ? longest->port->change_call : longest->port->send_call, seconds);
}

/* ---- frames that are finished ------------------------------------------------------------------ */

static void finish_in_turn_locked(avenc_channel *channel, avi_packet *packet) {
    channel->stream->stats.in_flight--;
    avi_stream_finish_locked(channel->stream, packet);
}

void avi_channel_finish_locked(avenc_channel *channel, avi_packet *packet) {
    channel->unfinished--;
    channel->stream->progressed_ns = packet->pub.emitted_ns;
    if (channel->predecessor) {
        avi_packet_append(&channel->early, packet);
        channel->stream->early++;
    } else {
        finish_in_turn_locked(channel, packet);
    }
}

/*
 * A sealed channel has finished its last frame: what its successors finished before has its turn. A frame that is not
 * accepted yet goes to them.
 */
static void let_successors_go_locked(avenc_channel *channel) {
    avenc_channel *successor = channel->successor;
    if (!channel->sealed || channel->unfinished || channel->predecessor || !successor)
        return;
    channel->successor = NULL; /* its reference is ours now */
    successor->predecessor = NULL;
    for (avi_packet *packet; (packet = avi_packet_pop(&successor->early)); channel->stream->early--)
        finish_in_turn_locked(successor, packet);
    avi_sink_wake_locked(channel->stream, false);
    avi_stream_signal_locked(channel->stream, false);
    avi_channel_drop_locked(channel); /* the successor's reference; the caller has one itself */
    let_successors_go_locked(successor);
    avi_channel_drop_locked(successor);
}

void avi_channel_no_more_locked(avenc_channel *channel) {
    avi_stream *stream = channel->stream;
    let_successors_go_locked(channel);
    if (stream->closed && stream->stats.in_flight == 0)
        avi_sink_wake_locked(stream, true); /* it ends */
    if (channel->state == AVI_OPEN && channel->active == 0 && !channel->making && !channel->sending)
        avi_channel_post(channel, &channel->end_task);
}

/* ---- ending ------------------------------------------------------------------------------------ */

int avi_channel_free_parts(avenc_channel *channel) {
    avi_stream *stream = channel->stream;
    int rc = AVENC_OK;
    if (channel->hardware) {
        rc = channel->port->destroy(channel->device, channel->hardware);
        channel->hardware = NULL;
    }
    avenc_failure kept = *avenc_last_failure();
    avi_lock(&stream->lock);
    avi_channel_release_refused_locked(channel, NULL); /* one that has a frame handle is its holder's now */
    for (uint32_t i = 0; i < channel->slots.begun; i++) {
        avi_slot *slot = &channel->slots.all[i];
        if (slot->state != AVI_SLOT_FREE)
            continue;
        slot->state = AVI_SLOT_UNMADE; /* and ours */
        avi_unlock(&stream->lock);
        avi_slot_unmake(&channel->slots, slot);
        avi_lock(&stream->lock);
    }
    avi_unlock(&stream->lock);
    avi_fail_again(&kept);
    return rc;
}

void avi_channel_unlink_locked(avenc_channel *channel) {
    avenc_channel **link = &channel->stream->channels;
    while (*link != channel)
        link = &(*link)->next;
    *link = channel->next;
}

bool avi_channel_end_run(void *arg) {
    avenc_channel *channel = arg;
    avi_stream *stream = channel->stream;
    avi_binding binding;
    avi_lock(&stream->lock);
    bool over = channel->state == AVI_OPEN && channel->active == 0 && !channel->making && !channel->sending &&
                !atomic_load(&channel->device->lost);
    bool ended = channel->state == AVI_ENDED && channel->unsettled; /* a slot that somebody held came back */
    if (over)
        channel->state = AVI_ENDING;
    avi_unlock(&stream->lock);
    if (!over && !ended)
        return false;

    avi_blocking_begins();
    int rc = channel->port->bind(channel->device, &binding);
    bool bound = rc == AVENC_OK;
    if (bound) {
        rc = avi_channel_free_parts(channel);
        channel->port->unbind(channel->device, &binding);
    }
    avi_blocking_ends();

    avi_lock(&stream->lock);
    bool again = !bound && ++channel->end_failures < AVI_END_TRIES;
    bool gone = over && bound;
    channel->slots.free = NULL;
    if (rc != AVENC_OK && !again) {
        stream->stats.failed_destroys++;
        stream->end_failure = *avenc_last_failure();
        stream->end_failure.code = rc;
    }
    bool left = !gone && !ended;
    for (uint32_t i = 0; i < channel->slots.begun; i++)
        left = left || channel->slots.all[i].state != AVI_SLOT_UNMADE;
    avi_unlock(&stream->lock);
    if (!left)
        avi_channel_settle(channel);
    avi_lock(&stream->lock); /* who waits for the end finds everything gone that is to go */
    if (over)
        channel->state = gone ? AVI_ENDED : AVI_OPEN; /* not bound: tried again when somebody asks for the end */
    if (gone)
        avi_channel_unlink_locked(channel);
    avi_stream_signal_locked(stream, true);
    avi_unlock(&stream->lock);
    if (gone) {
        avi_device_delist(channel->device, channel->index);
        avi_channel_drop(channel); /* the table's reference; this task has one */
    }
    return again;
}

int avi_fail_lost(const avenc_channel *channel, const char *call) {
    int code = atomic_load(&channel->device->lost);
    return avi_fail(code, channel->port->report_call,
                    "the device stopped reporting (%s found out); frames in flight are lost", call);
}
