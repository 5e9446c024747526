// SPDX-License-Identifier: Apache-2.0
/*
 * A frame's way to the device: room for it is waited for, and a slot taken; then it is accepted and handed over.
 * Whoever has the right to send does that, one at a time for each channel, so that the order of the flight is the order
 * of the frames' numbers and of the reports. The right is a state that is waited for like room; no lock is held across
 * a call of the vendor's.
 */
#ifndef ASCEND_VENC_ENGINE_ROOM_H
#define ASCEND_VENC_ENGINE_ROOM_H

#include "engine/channel.h"

/* ---- room.c ---- */

/* What a slot is taken for: sent by the taker at once, perhaps from staging memory, or for any time. */
enum { AVI_TO_SEND, AVI_TO_STAGE_AND_SEND, AVI_TO_KEEP };

/* Wait for room, take a slot and reserve a packet for it. FILLING, counted in the window, if to be sent; else HELD. */
int avi_take_slot(avenc_channel *channel, int purpose, avi_waiter *waiter, avi_slot **out);

/* Give back a slot, HELD or FILLING, that was not accepted. The thread's failure stays what it was. */
void avi_return_slot(avenc_channel *channel, avi_slot *slot);
void avi_return_slot_locked(avenc_channel *channel, avi_slot *slot);

/* A frame of the window is out of it; it is counted as active by the caller. Threads that wait for its place are told. */
void avi_leave_window_locked(avenc_channel *channel);

/* The channel takes no frame now, however much room there is: why. */
int avi_fail_refused_locked(const avenc_channel *channel, const char *call);

/* AVENC_OK, or that. */
static inline int avi_refused_locked(const avenc_channel *channel, const char *call) {
    const avi_stream *stream = channel->stream;
    bool takes = !stream->closed && !stream->ended && !channel->sealed && !channel->distrusted && channel->placed &&
                 !stream->sink_error && (channel->state == AVI_OPEN || stream->paused) &&
                 !atomic_load(&channel->device->lost);
    return takes ? AVENC_OK : avi_fail_refused_locked(channel, call);
}

/*
 * What is HELD may be accepted: a pause is waited for, as for room. It is not among the frames that a channel finishes
 * before it is retired.
 */
int avi_wait_pause_locked(avenc_channel *channel, avi_waiter *waiter);

/* A wait for room, or for a turn, came to nothing. */
int avi_fail_full_locked(const avenc_channel *channel, const avi_waiter *waiter);

/* ---- send.c ---- */

/*
 * Accept a slot, FILLING, whose pixels are where the device reads them, and send it; the device is bound. It is queued
 * behind frames that are queued already, or, where the waiter does not wait, behind one that another thread sends. With
 * `queue` a slot, HELD or FILLING, whose pixels are somewhere, is queued in any case. On failure the slot is not the
 * caller's any more, unless *kept.
 */
int avi_accept(avenc_channel *channel, avi_slot *slot, const avenc_submission *submission, bool queue,
               avi_waiter *waiter, uint64_t *frame_index, bool *kept);

/* Frames that wait natively are not sent any more. */
void avi_drop_queued_locked(avenc_channel *channel);

/* Queued frames come back as packets that say why they were not encoded: `code`. */
void avi_fail_queued_locked(avenc_channel *channel, int code);

/* The body of send_task: hands one queued frame to the device, if there is one and room. */
bool avi_send_run(void *channel);

#endif
