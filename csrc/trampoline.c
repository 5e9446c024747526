// SPDX-License-Identifier: Apache-2.0
/*
 * The one function that the runtime calls, and what the report thread does right after.
 *
 * The device keeps a channel's output buffer, and so its next frame, back until the callback has
 * returned. Hence the invariant: the trampoline allocates nothing, waits for nothing but one short
 * mutex, and needs no Python. It copies the access unit once, out of memory that dies when it
 * returns, into the packet that was reserved when the frame was submitted. Were it to wait for the
 * GIL, the encoder would stand still for as long as some Python thread computes.
 *
 * Whoever waits for the packet is woken after aclrtProcessReport has returned (avi_wake_channels),
 * once for all callbacks of that call: waking costs more than the copy of a small access unit. A
 * waiter looks again after some time anyway, so a runtime that stays inside aclrtProcessReport only
 * delays it.
 */
#include "engine.h"

#include <string.h>

/* Copy the access unit into the packet. The packet's status says how that went. */
static void collect(avenc_channel *channel, avi_packet *packet, acldvppStreamDesc *output) {
    const acl_api *api = channel->api;
    avenc_packet *pub = &packet->pub;
    if (!output) {
        pub->status = AVENC_E_FRAME;
        return;
    }
    pub->ret_code = api->acldvppGetStreamDescRetCode(output);
    const void *data = api->acldvppGetStreamDescData(output);
    size_t size = api->acldvppGetStreamDescSize(output);
    if (pub->ret_code != 0 || !data || size == 0) {
        pub->status = AVENC_E_FRAME;
        return;
    }
    if (size > avi_pool_capacity(packet->pool)) {
        pub->status = AVENC_E_TOO_LARGE;
        return;
    }
    if (channel->device->info.run_mode == ACL_DEVICE) {
        memcpy(packet->memory, data, size); /* host memory is device memory there */
    } else {
        pub->status =
            api->aclrtMemcpy(packet->memory, avi_pool_capacity(packet->pool), data, size, ACL_MEMCPY_DEVICE_TO_HOST);
        if (pub->status != ACL_SUCCESS)
            return;
    }
    pub->data = packet->memory;
    pub->size = size;
    pub->kind = avi_access_unit_kind(&channel->stream, channel->config.en_type, pub->data, size);
}

void avi_finish_head_locked(avenc_channel *channel) {
    avi_slot *slot = channel->sent_head;
    avi_packet *packet = slot->packet;
    channel->sent_head = slot->next;
    if (!channel->sent_head)
        channel->sent_tail = NULL;
    channel->stats.in_flight--;

    packet->next = NULL;
    if (channel->ready_tail)
        channel->ready_tail->next = packet;
    else
        channel->ready_head = packet;
    channel->ready_tail = packet;
    channel->stats.ready++;
    channel->stats.completed++;
    if (packet->pub.status != 0) {
        channel->stats.failed++;
    } else {
        channel->stats.copies_out++;
        channel->stats.bytes_out += packet->pub.size;
        channel->stats.key_frames += packet->pub.kind == AVENC_KIND_IDR;
    }

    slot->packet = NULL;
    slot->next = channel->free_slots;
    channel->free_slots = slot;
    channel->active--;
    atomic_store(&slot->state, AVI_SLOT_FREE);
}

void avi_trampoline(acldvppPicDesc *input, acldvppStreamDesc *output, void *userdata) {
    (void)input;
    avi_slot *slot = userdata;
    int expected = AVI_SLOT_SENT;
    if (!slot || !atomic_compare_exchange_strong(&slot->state, &expected, AVI_SLOT_COMPLETING))
        return; /* a second report of the same frame */
    avenc_channel *channel = slot->channel;
    avi_packet *packet = slot->packet;
    collect(channel, packet, output);
    packet->pub.emitted_ns = avi_now_ns();

    pthread_mutex_lock(&channel->lock);
    /* Reports come in send order: a frame that is still ahead of this one will never be reported. */
    while (channel->sent_head != slot) {
        channel->sent_head->packet->pub.status = AVENC_E_LOST;
        channel->sent_head->packet->pub.emitted_ns = packet->pub.emitted_ns;
        avi_finish_head_locked(channel);
    }
    avi_finish_head_locked(channel);
    if (channel->waiters && !channel->wake_pending) {
        channel->wake_pending = true;
        channel->wake_next = channel->device->wake;
        channel->device->wake = channel;
    }
    pthread_mutex_unlock(&channel->lock);
}

void avi_wake_channels(avenc_device *device) {
    avenc_channel *channel = device->wake;
    device->wake = NULL;
    while (channel) {
        /* Once wake_pending is false and the lock is free, a closing thread may free the channel. */
        avenc_channel *next = channel->wake_next;
        pthread_mutex_lock(&channel->lock);
        channel->wake_pending = false;
        pthread_cond_broadcast(&channel->progress);
        pthread_mutex_unlock(&channel->lock);
        channel = next;
    }
}
