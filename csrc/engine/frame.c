// SPDX-License-Identifier: Apache-2.0
/* Frames that the caller fills. */
#include "base/status.h"
#include "base/thread.h"
#include "engine/room.h"

int avenc_channel_acquire(avenc_channel *channel, const avenc_wait *wait, avenc_frame **frame,
                          avenc_frame_memory *memory) {
    avi_slot *slot = NULL;
    int rc = avi_channel_check(channel, frame && memory, __func__);
    avi_waiter waiter = avi_waiter_begin(wait, __func__);
    if (rc == AVENC_OK)
        rc = avi_take_slot(channel, AVI_TO_KEEP, &waiter, &slot);
    if (rc != AVENC_OK)
        return rc;
    bool direct = channel->slots.host_writes_memory;
    slot->pixels = direct ? AVI_IN_MEMORY : AVI_IN_STAGING;
    slot->handle = true; /* no lock: the slot is HELD for this call */
    avi_channel_retain(channel);
    avi_live_add(AVENC_LIVE_FRAME, 1);
    memory->y = direct ? slot->memory : slot->staging;
    memory->uv = memory->y + (size_t)channel->slots.stride * channel->config.height;
    memory->stride = channel->slots.stride;
    memory->device_memory = direct;
    *frame = slot;
    return AVENC_OK;
}

/* Take the frame for submission: HELD by its handle no longer. It can be done once. */
static int claim_frame(avenc_channel *channel, avi_slot *slot, bool queue, avi_waiter *waiter, bool *queued) {
    int rc = AVENC_OK;
    avi_lock(&channel->stream->lock);
    if (slot->state == AVI_SLOT_HELD)
        rc = avi_wait_pause_locked(channel, waiter);
    if (rc == AVENC_OK && slot->state != AVI_SLOT_HELD)
        rc = avi_fail(AVENC_E_INVALID, waiter->call, "the frame was submitted before");
    if (rc == AVENC_OK) {
        *queued = queue || channel->window >= channel->most_in_device || channel->sending || channel->queued_head;
        slot->state = AVI_SLOT_FILLING;
        avi_hold_locked(channel, -1);
        channel->active++;
        channel->window++;
        channel->stream->window++;
    }
    avi_unlock(&channel->stream->lock);
    return rc;
}

static void unclaim_frame(avenc_channel *channel, avi_slot *slot) {
    avi_lock(&channel->stream->lock);
    if (!slot->handle) { /* given back meanwhile */
        avi_return_slot_locked(channel, slot);
    } else {
        slot->state = AVI_SLOT_HELD;
        avi_hold_locked(channel, 1);
        channel->active--;
        avi_leave_window_locked(channel);
        avi_channel_check_over_locked(channel);
        avi_stream_signal_locked(channel->stream, true);
    }
    avi_unlock(&channel->stream->lock);
}

int avenc_frame_submit(avenc_frame *slot, const avenc_submission *submission, int flags, const avenc_wait *wait,
                       uint64_t *frame_index) {
    if (!slot)
        return avi_fail(AVENC_E_INVALID, __func__, "frame must not be NULL");
    avenc_channel *channel = slot->channel;
    avi_binding binding;
    bool queue = false, kept = true;
    int rc = avi_channel_check(channel, submission && frame_index, __func__);
    avi_waiter waiter = avi_waiter_begin(wait, __func__);
    if (rc == AVENC_OK)
        rc = claim_frame(channel, slot, (flags & AVENC_FRAME_QUEUE) != 0, &waiter, &queue);
    if (rc != AVENC_OK)
        return rc;
    int pixels = slot->pixels;
    bool bound = !queue && (rc = channel->port->bind(channel->device, &binding)) == AVENC_OK;
    if (bound)
        rc = avi_slot_prepare(&channel->slots, slot);
    if (rc == AVENC_OK)
        rc = avi_accept(channel, slot, submission, queue, &waiter, frame_index, &kept);
    if (bound)
        channel->port->unbind(channel->device, &binding);
    if (rc != AVENC_OK && kept) {
        slot->pixels = pixels;
        slot->copies = (avi_copies){0};
        unclaim_frame(channel, slot);
    }
    return rc;
}

void avenc_frame_release(avenc_frame *slot) {
    if (!slot || slot->channel->generation != avi_generation())
        return;
    avenc_channel *channel = slot->channel;
    avi_lock(&channel->stream->lock);
    slot->handle = false;
    if (slot->state == AVI_SLOT_HELD) {
        avi_return_slot_locked(channel, slot);
    } else if (slot->state == AVI_SLOT_LEASED) {
        avi_hold_locked(channel, -1);
        avi_channel_free_slot_locked(channel, slot);
        avi_stream_signal_locked(channel->stream, true);
    }
    avi_unlock(&channel->stream->lock);
    avi_live_add(AVENC_LIVE_FRAME, -1);
    avi_channel_drop(channel);
}
