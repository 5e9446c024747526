// SPDX-License-Identifier: Apache-2.0
/*
 * The sender thread: one for each device, started by the first frame that is queued for it.
 *
 * aclvencSendFrame blocks while the device takes the frame. A Python thread that gives up the GIL for
 * it has to win the GIL back each time, which under load takes milliseconds per frame; frames that are
 * queued here cost their submitter no wait at all.
 */
#include "engine.h"

/* One frame of this channel, if there is one and room in the device. */
static bool serve(avenc_channel *channel) {
    pthread_mutex_lock(&channel->lock);
    avi_slot *slot = channel->queued_head;
    if (!slot || channel->window >= channel->config.depth || channel->state != AVI_OPEN) {
        pthread_mutex_unlock(&channel->lock);
        return false;
    }
    channel->queued_head = slot->next;
    if (!channel->queued_head)
        channel->queued_tail = NULL;
    slot->next = NULL;
    channel->stats.queued--;
    channel->window++;
    channel->sending++;
    atomic_store(&slot->state, AVI_SLOT_FILLING);
    pthread_mutex_unlock(&channel->lock);
    bool more = false;
    avi_send_queued(channel, slot, &more);
    return more;
}

int avi_sender_start(avenc_device *device) {
    return avi_worker_start(&device->sender, "avenc-sender", serve);
}
