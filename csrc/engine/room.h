// SPDX-License-Identifier: Apache-2.0
/* Room for a frame: slots are waited for, taken, and given back where nothing came of them. */
#ifndef ASCEND_VENC_ENGINE_ROOM_H
#define ASCEND_VENC_ENGINE_ROOM_H

#include "engine/channel.h"

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

static inline void avi_hold_locked(avenc_channel *channel, int by) {
    channel->held += (unsigned)by;
    channel->stream->stats.held += (uint32_t)by;
}

#endif
