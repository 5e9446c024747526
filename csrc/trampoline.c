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

void avi_free_slot_locked(avenc_channel *channel, avi_slot *slot) {
    if (slot->leased) {
        channel->held++;
        atomic_store(&slot->state, AVI_SLOT_LEASED);
        return;
    }
    slot->next = channel->free_slots;
    channel->free_slots = slot;
    channel->active--;
    atomic_store(&slot->state, AVI_SLOT_FREE);
}

void avi_discard_locked(avenc_channel *channel, avi_packet *packet) {
    if (!packet->pub.token) {
        avi_pool_release(packet);
        return;
    }
    packet->next = channel->spent;
    channel->spent = packet;
    channel->stats.spent++;
}

/* Nobody collects: the oldest packet goes, and since others refer to it, the next frame is an IDR. */
static void drop_oldest_ready_locked(avenc_channel *channel) {
    avi_packet *oldest = channel->ready_head;
    channel->ready_head = oldest->next;
    if (!channel->ready_head)
        channel->ready_tail = NULL;
    channel->stats.ready--;
    channel->stats.dropped_packets++;
    channel->idr_owed = true;
    avi_discard_locked(channel, oldest);
}

void avi_finish_slot_locked(avenc_channel *channel, avi_slot *slot) {
    avi_packet *packet = slot->packet;
    slot->packet = NULL;
    channel->stats.in_flight--;
    avi_free_slot_locked(channel, slot);
    if (packet->pub.status == AVENC_E_DROPPED) {
        avi_discard_locked(channel, packet);
        return;
    }
    channel->stats.completed++;
    if (packet->pub.status != 0) {
        channel->stats.failed++;
    } else {
        channel->stats.copies_out++;
        channel->stats.bytes_out += packet->pub.size;
        channel->stats.key_frames += packet->pub.kind == AVENC_KIND_IDR;
    }
    if (channel->config.drop_oldest && channel->config.max_ready && channel->stats.ready >= channel->config.max_ready)
        drop_oldest_ready_locked(channel);
    packet->next = NULL;
    if (channel->ready_tail)
        channel->ready_tail->next = packet;
    else
        channel->ready_head = packet;
    channel->ready_tail = packet;
    channel->stats.ready++;
}

void avi_finish_head_locked(avenc_channel *channel) {
    avi_slot *slot = channel->sent_head;
    channel->sent_head = slot->next;
    if (!channel->sent_head) {
        channel->sent_tail = NULL;
        channel->idle_since = slot->packet->pub.emitted_ns;
    }
    channel->window--;
    /* The device may have encoded it all the same: the frames that follow refer to what nobody has. */
    if (slot->packet->pub.status != 0)
        channel->idr_owed = true;
    avi_finish_slot_locked(channel, slot);
}

static void measure_locked(avenc_channel *channel, const avenc_packet *packet, uint64_t hold_ns) {
    uint64_t latency_ns = packet->emitted_ns - packet->submitted_ns;
    channel->histograms.latency[avi_bucket(latency_ns)]++;
    channel->histograms.hold[avi_bucket(hold_ns)]++;
    if (latency_ns > channel->stats.max_latency_ns)
        channel->stats.max_latency_ns = latency_ns;
    if (hold_ns > channel->stats.max_hold_ns)
        channel->stats.max_hold_ns = hold_ns;
}

void avi_trampoline(acldvppPicDesc *input, acldvppStreamDesc *output, void *userdata) {
    (void)input;
    avi_slot *slot = userdata;
    int expected = AVI_SLOT_SENT;
    if (!slot || !atomic_compare_exchange_strong(&slot->state, &expected, AVI_SLOT_COMPLETING))
        return; /* a second report of the same frame */
    uint64_t entered = avi_now_ns();
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
    measure_locked(channel, &packet->pub, packet->pub.emitted_ns - entered);
    avi_finish_head_locked(channel);
    if (!channel->wake_pending && (channel->waiters || channel->queued_head || channel->sink_fd >= 0 ||
                                   channel->selector || avi_notifier_armed_locked(channel))) {
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
        avi_announce_packets_locked(channel);
        if (channel->queued_head && channel->window < channel->config.depth)
            avi_worker_wake(&device->sender, channel, 0);
        if (channel->sink_fd >= 0)
            avi_worker_wake(&device->writer, channel, channel->sink_linger_us);
        pthread_mutex_unlock(&channel->lock);
        channel = next;
    }
}
