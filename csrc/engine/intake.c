// SPDX-License-Identifier: Apache-2.0
/* The calls that take frames. */
#include "base/status.h"
#include "base/thread.h"
#include "engine/room.h"

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

/*
 * A call's use of the device: bound when it has a slot, which keeps channel and device from ending, until the call is
 * over, or sleeps without one.
 */
typedef struct device_use {
    bool bound;
    avi_binding binding;
} device_use;

static void end_use(avenc_channel *channel, device_use *use) {
    if (use->bound)
        channel->port->unbind(channel->device, &use->binding);
    use->bound = false;
}

/* Fill a slot that was taken, by `place` or from the submission's picture, and send it. */
static int send_one(avenc_channel *channel, device_use *use, const avenc_device_picture *place,
                    const avenc_submission *submission, avi_waiter *waiter, uint64_t *frame_index) {
    avi_slot *slot = NULL;
    bool kept = true, stages = !place && avi_slot_wants_staging(&channel->slots, &submission->picture);
    int rc = avi_take_slot(channel, stages ? AVI_TO_STAGE_AND_SEND : AVI_TO_SEND, waiter, &slot);
    if (rc != AVENC_OK)
        return rc;
    if (!use->bound)
        use->bound = (rc = channel->port->bind(channel->device, &use->binding)) == AVENC_OK;
    if (!use->bound) {
        /* nothing was done */
    } else if (place) {
        rc = avi_slot_place(&channel->slots, slot, place);
    } else {
        slot->source = submission->picture;
        slot->pixels = AVI_IN_CALLER;
        rc = avi_slot_prepare(&channel->slots, slot);
    }
    if (rc == AVENC_OK)
        rc = avi_accept(channel, slot, submission, false, waiter, frame_index, &kept);
    if (rc != AVENC_OK && kept)
        avi_return_slot(channel, slot);
    return rc;
}

static int submit_one(avenc_channel *channel, const avenc_device_picture *place, const avenc_submission *submission,
                      const avenc_wait *wait, uint64_t *frame_index, const char *call) {
    avi_waiter waiter = avi_waiter_begin(wait, call);
    device_use use = {0};
    int rc = send_one(channel, &use, place, submission, &waiter, frame_index);
    end_use(channel, &use);
    return rc;
}

int avenc_channel_submit(avenc_channel *channel, const avenc_submission *submission, const avenc_wait *wait,
                         uint64_t *frame_index) {
    int rc = avi_channel_check(channel, submission && frame_index, __func__);
    if (rc == AVENC_OK)
        rc = check_picture(channel, &submission->picture, __func__);
    return rc ? rc : submit_one(channel, NULL, submission, wait, frame_index, __func__);
}

int avenc_channel_submit_device(avenc_channel *channel, const avenc_device_picture *picture,
                                const avenc_submission *submission, const avenc_wait *wait, uint64_t *frame_index) {
    int rc = avi_channel_check(channel, submission && frame_index, __func__);
    if (rc == AVENC_OK && (!picture || !picture->data))
        rc = avi_fail(AVENC_E_INVALID, __func__, "picture and its data must not be NULL");
    if (rc != AVENC_OK)
        return rc;
    if (picture->stride < channel->config.width || picture->height_stride < channel->config.height ||
        (uint64_t)picture->stride * picture->height_stride * 3 / 2 > UINT32_MAX)
        return avi_fail(AVENC_E_INVALID, __func__, "strides are %u bytes and %u rows, the channel has %u x %u",
                        picture->stride, picture->height_stride, channel->config.width, channel->config.height);
    if (picture->wait)
        rc = channel->port->wait_stream(channel->device, picture->stream);
    return rc ? rc : submit_one(channel, picture, submission, wait, frame_index, __func__);
}

/* Queue a picture of the caller's; the oldest in the queue may be dropped for it. */
static inline int queue_one(avenc_channel *channel, const avenc_submission *submission, bool copy_now, bool drop_oldest,
                            avi_waiter *waiter, uint64_t *frame_index) {
    avi_slot *slot = NULL;
    bool kept;
    int rc = avi_take_slot(channel, AVI_TO_KEEP, waiter, &slot);
    if (rc == AVENC_E_FULL && drop_oldest && avenc_channel_drop_oldest(channel))
        rc = avi_take_slot(channel, AVI_TO_KEEP, waiter, &slot);
    if (rc != AVENC_OK)
        return rc;
    slot->source = submission->picture;
    slot->pixels = AVI_IN_CALLER;
    if (copy_now)
        avi_slot_stage(&channel->slots, slot);
    rc = avi_accept(channel, slot, submission, true, waiter, frame_index, &kept);
    if (rc != AVENC_OK)
        avi_return_slot(channel, slot);
    return rc;
}

/*
 * Frames beyond what the device takes at once are queued, so that the call returns with work left: a
 * caller that has to win a lock back before its next batch (in Python: the GIL) would else leave the
 * device without frames meanwhile.
 */
static int submit_or_queue(avenc_channel *channel, device_use *use, const avenc_submission *submission,
                           avi_waiter *waiter, uint64_t *frame_index) {
    avi_waiter at_once = avi_waiter_begin(NULL, waiter->call);
    int rc = send_one(channel, use, NULL, submission, &at_once, frame_index);
    if (rc != AVENC_E_FULL && rc != AVENC_E_AGAIN)
        return rc;
    end_use(channel, use);
    if (channel->config.queue == 0)
        return send_one(channel, use, NULL, submission, waiter, frame_index);
    return queue_one(channel, submission, true, false, waiter, frame_index);
}

int avenc_channel_submit_many(avenc_channel *channel, const avenc_submission *submissions, size_t count,
                              const avenc_wait *wait, uint64_t *indices, size_t *accepted) {
    int rc = avi_channel_check(channel, submissions && indices && accepted, __func__);
    if (rc != AVENC_OK)
        return rc;
    *accepted = 0;
    for (size_t i = 0; i < count; i++)
        if ((rc = check_picture(channel, &submissions[i].picture, __func__)) != AVENC_OK)
            return rc;
    avi_waiter waiter = avi_waiter_begin(wait, __func__);
    device_use use = {0};
    for (size_t i = 0; i < count && rc == AVENC_OK; i++) {
        rc = submit_or_queue(channel, &use, &submissions[i], &waiter, &indices[i]);
        *accepted += rc == AVENC_OK;
    }
    end_use(channel, &use);
    return rc;
}

int avenc_channel_enqueue(avenc_channel *channel, const avenc_submission *submission, int copy_now, int drop_oldest,
                          uint64_t *frame_index) {
    int rc = avi_channel_check(channel, submission && frame_index, __func__);
    if (rc == AVENC_OK)
        rc = check_picture(channel, &submission->picture, __func__);
    if (rc != AVENC_OK)
        return rc;
    avi_waiter waiter = avi_waiter_begin(NULL, __func__);
    return queue_one(channel, submission, copy_now != 0, drop_oldest != 0, &waiter, frame_index);
}

uint32_t avenc_channel_refused_pending(avenc_channel *channel) {
    return channel && channel->generation == avi_generation() ? atomic_load(&channel->refused) : 0;
}

/* ---- frames that the caller fills ------------------------------------------------------------- */

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
