// SPDX-License-Identifier: Apache-2.0
/*
 * Frames handed to the device. Whoever has the right to send does that, one at a time for each channel, so that the
 * order of the flight is the order of the frames' numbers and of the reports. The right is a state that is waited for
 * like room; no lock is held across a call of the vendor's.
 */
#ifndef ASCEND_VENC_ENGINE_SEND_H
#define ASCEND_VENC_ENGINE_SEND_H

#include "engine/channel.h"

/*
 * Accept a slot, FILLING, whose pixels are where the device reads them, and send it, or queue it behind frames that are
 * queued already, or, where the waiter does not wait, behind one that another thread sends. The device is bound. On failure the slot is not the caller's any more,
 * unless *kept.
 */
int avi_accept_and_send(avenc_channel *channel, avi_slot *slot, const avenc_submission *submission, avi_waiter *waiter,
                        uint64_t *frame_index, bool *kept);

/* Accept a slot, HELD or FILLING, whose pixels are somewhere, and queue it. On failure it stays the caller's. */
int avi_accept_and_queue(avenc_channel *channel, avi_slot *slot, const avenc_submission *submission, avi_waiter *waiter,
                         uint64_t *frame_index);

/* Take the oldest queued frame out of the queue. False: there is none. */
bool avi_drop_oldest_queued(avenc_channel *channel);

/* Queued frames come back as packets that say why they were not encoded: `code`. */
void avi_fail_queued_locked(avenc_channel *channel, int code);

/* The body of send_task: hands one queued frame to the device, if there is one and room. */
bool avi_send_run(void *channel);

#endif
