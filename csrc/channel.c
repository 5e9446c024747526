// SPDX-License-Identifier: Apache-2.0
/*
 * One encoder channel: its parts, its life, and the end of it. Frames go in in submit.c (and through
 * sender.c where they wait natively), packets come out in receive.c.
 *
 * A frame's way: a free slot is taken and a packet reserved for it (submitting thread), the pixels are
 * brought into the slot's device memory, the slot joins the in-flight queue and is sent; the report
 * thread's trampoline fills the packet, moves it to the ready list and frees the slot; a consumer
 * takes the packet. Slot and packet counts bound everything: at most `depth` frames are in the device.
 *
 * Descriptors are created and bound to memory once per slot. Creating them per frame would cost
 * device allocations each time; setting them per frame would cost calls.
 *
 * Invariants: a slot is in exactly one of: free list, a submitter's or a caller's hands, the queue, the
 * in-flight queue. The order of the in-flight queue is the order of aclvencSendFrame (send_lock), which
 * is the order of frame numbers and of the reports. `active` counts slots that are not free, `held`
 * those among them that only a caller holds; the hardware channel is destroyed at active == held only,
 * so aclvencDestroyChannel finds nothing to wait for.
 */
#include "engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { IDLE_PACKETS = 16 }; /* kept beyond depth + queue for a consumer that takes packets in bursts */

static const size_t MIN_PACKET_CAPACITY = 256 * 1024;
static const size_t MAX_PACKET_CAPACITY = 8 * 1024 * 1024; /* the device's own default output buffer */

/* ---- creating -------------------------------------------------------------------------------- */

#define TRY(channel, call, ...)                                                                                        \
    do {                                                                                                               \
        int rc_ = (channel)->api->call(__VA_ARGS__);                                                                   \
        if (rc_ != ACL_SUCCESS)                                                                                        \
            return avi_fail_acl((channel)->api, rc_, #call);                                                           \
    } while (0)

/* The three attributes that the oldest runtimes lack. */
#define TRY_OPTIONAL(channel, call, ...)                                                                               \
    do {                                                                                                               \
        if (!(channel)->api->call)                                                                                     \
            return avi_fail(AVENC_E_UNSUPPORTED, #call, "the loaded AscendCL is too old: it has no " #call);           \
        TRY(channel, call, __VA_ARGS__);                                                                               \
    } while (0)

static int describe_channel(avenc_channel *channel) {
    const avenc_channel_config *config = &channel->config;
    aclvencChannelDesc *desc = channel->api->aclvencCreateChannelDesc();
    if (!desc)
        return avi_fail_acl(channel->api, ACL_ERROR_FAILURE, "aclvencCreateChannelDesc");
    channel->desc = desc;
    TRY(channel, aclvencSetChannelDescThreadId, desc, (uint64_t)channel->device->report_thread);
    TRY(channel, aclvencSetChannelDescCallback, desc, avi_trampoline);
    TRY(channel, aclvencSetChannelDescEnType, desc, config->en_type);
    TRY(channel, aclvencSetChannelDescPicFormat, desc, config->pic_format);
    TRY(channel, aclvencSetChannelDescPicWidth, desc, config->width);
    TRY(channel, aclvencSetChannelDescPicHeight, desc, config->height);
    TRY(channel, aclvencSetChannelDescKeyFrameInterval, desc, config->key_frame_interval);
    TRY_OPTIONAL(channel, aclvencSetChannelDescRcMode, desc, config->rc_mode);
    TRY_OPTIONAL(channel, aclvencSetChannelDescSrcRate, desc, config->src_rate);
    TRY_OPTIONAL(channel, aclvencSetChannelDescMaxBitRate, desc, config->max_bit_rate);
    return AVENC_OK;
}

static int create_frame_configs(avenc_channel *channel) {
    channel->plain = channel->api->aclvencCreateFrameConfig();
    channel->idr = channel->api->aclvencCreateFrameConfig();
    if (!channel->plain || !channel->idr)
        return avi_fail_acl(channel->api, ACL_ERROR_FAILURE, "aclvencCreateFrameConfig");
    TRY(channel, aclvencSetFrameConfigForceIFrame, channel->idr, 1);
    return AVENC_OK;
}

int avi_channel_make_slot(avenc_channel *channel, avi_slot *slot) {
    const avenc_channel_config *config = &channel->config;
    if (!slot->channel) {
        slot->channel = channel;
        avi_live_add(AVENC_LIVE_SLOT, 1);
    }
    /* A slot whose making failed half-way is completed by the next try. */
    if (!slot->memory)
        TRY(channel, acldvppMalloc, &slot->memory, channel->picture_size);
    if (!slot->picture && !(slot->picture = channel->api->acldvppCreatePicDesc()))
        return avi_fail_acl(channel->api, ACL_ERROR_FAILURE, "acldvppCreatePicDesc");
    TRY(channel, acldvppSetPicDescData, slot->picture, slot->memory);
    TRY(channel, acldvppSetPicDescSize, slot->picture, (uint32_t)channel->picture_size);
    TRY(channel, acldvppSetPicDescFormat, slot->picture, config->pic_format);
    TRY(channel, acldvppSetPicDescWidth, slot->picture, config->width);
    TRY(channel, acldvppSetPicDescHeight, slot->picture, config->height);
    TRY(channel, acldvppSetPicDescWidthStride, slot->picture, channel->stride);
    TRY(channel, acldvppSetPicDescHeightStride, slot->picture, config->height);
    return AVENC_OK;
}

static int create_parts(avenc_channel *channel) {
    size_t capacity = channel->picture_size * 2;
    capacity = capacity < MIN_PACKET_CAPACITY ? MIN_PACKET_CAPACITY : capacity;
    capacity = capacity > MAX_PACKET_CAPACITY ? MAX_PACKET_CAPACITY : capacity;
    uint32_t slots = channel->config.depth + channel->config.queue;
    channel->pool = avi_pool_create(capacity, slots + IDLE_PACKETS);
    channel->slots = calloc(slots, sizeof *channel->slots);
    if (!channel->pool || !channel->slots)
        return avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
    int rc = describe_channel(channel);
    if (rc == AVENC_OK)
        rc = create_frame_configs(channel);
    for (uint32_t i = 0; rc == AVENC_OK && i < channel->config.depth; i++) {
        rc = avi_channel_make_slot(channel, &channel->slots[i]);
        if (rc == AVENC_OK) {
            channel->slots[i].next = channel->free_slots;
            channel->free_slots = &channel->slots[i];
            channel->slots[i].made = true;
            channel->slots_begun = channel->slot_count = i + 1;
        }
    }
    if (rc != AVENC_OK)
        return rc;
    TRY(channel, aclvencCreateChannel, channel->desc);
    channel->created = true;
    return AVENC_OK;
}

/* Free everything but the hardware channel, which does not exist (any more). A context is bound. */
static void destroy_parts(avenc_channel *channel) {
    const acl_api *api = channel->api;
    for (uint32_t i = 0; channel->slots && i < channel->config.depth + channel->config.queue; i++) {
        avi_slot *slot = &channel->slots[i];
        if (!slot->channel)
            continue;
        if (slot->picture)
            AVI_RELEASE(api, acldvppDestroyPicDesc, slot->picture);
        if (slot->memory)
            AVI_RELEASE(api, acldvppFree, slot->memory);
        if (slot->staging)
            AVI_RELEASE(api, aclrtFreeHost, slot->staging);
        avi_live_add(AVENC_LIVE_SLOT, -1);
    }
    free(channel->slots);
    if (channel->plain)
        AVI_RELEASE(api, aclvencDestroyFrameConfig, channel->plain);
    if (channel->idr)
        AVI_RELEASE(api, aclvencDestroyFrameConfig, channel->idr);
    if (channel->desc)
        AVI_RELEASE(api, aclvencDestroyChannelDesc, channel->desc);
    while (channel->ready_head) {
        avi_packet *packet = channel->ready_head;
        channel->ready_head = packet->next;
        avi_pool_release(packet);
    }
    while (channel->spent) {
        avi_packet *packet = channel->spent;
        channel->spent = packet->next;
        avi_pool_release(packet);
    }
    if (channel->pool)
        avi_pool_retire(channel->pool);
    for (int i = 0; i < AVENC_MAX_NOTIFIERS; i++)
        if (channel->notifiers[i])
            avi_notifier_drop(channel->notifiers[i]);
    if (channel->selector)
        avi_selector_drop(channel->selector);
}

void avi_channel_dispose(avenc_channel *channel) {
    destroy_parts(channel);
    pthread_cond_destroy(&channel->progress);
    pthread_mutex_destroy(&channel->lock);
    pthread_mutex_destroy(&channel->send_lock);
    free(channel);
    avi_live_add(AVENC_LIVE_CHANNEL, -1);
}

void avi_channel_end_of_life(avenc_channel *channel) {
    avenc_device *device = channel->device;
    avenc_failure kept = *avenc_last_failure();
    avi_binding binding;
    if (channel->abandoned || avi_device_bind(device, &binding) != AVENC_OK) {
        avi_device_keep_abandoned(device, channel);
    } else {
        avi_channel_dispose(channel);
        avi_device_unbind(device, &binding);
    }
    avenc_device_close(device);
    avi_fail(kept.code, kept.call, "%s", kept.detail);
}

static int check_config(const avenc_channel_config *config) {
    if (config->width == 0 || config->height == 0 || config->width % 2 || config->height % 2 || config->width > 16384 ||
        config->height > 16384)
        return avi_fail(AVENC_E_INVALID, "avenc_channel_create",
                        "size is %u x %u, allowed are even numbers from 2 to 16384", config->width, config->height);
    if (config->depth == 0 || config->depth > AVENC_MAX_DEPTH)
        return avi_fail(AVENC_E_INVALID, "avenc_channel_create", "depth is %u, allowed is 1 to %d", config->depth,
                        AVENC_MAX_DEPTH);
    if (config->queue > AVENC_MAX_DEPTH)
        return avi_fail(AVENC_E_INVALID, "avenc_channel_create", "queue is %u, allowed is 0 to %d", config->queue,
                        AVENC_MAX_DEPTH);
    return AVENC_OK;
}

int avenc_channel_create(avenc_device *device, const avenc_channel_config *config, avenc_channel **out) {
    if (!device || !config || !out)
        return avi_fail(AVENC_E_INVALID, __func__, "device, config and channel must not be NULL");
    if (device->generation != avi_generation())
        return avi_fail_forked(__func__);
    int rc = check_config(config);
    if (rc != AVENC_OK)
        return rc;
    avenc_device *reference = NULL;
    if ((rc = avenc_device_open(device->library, device->info.device_id, &reference)) != AVENC_OK)
        return rc;
    avenc_channel *channel = calloc(1, sizeof *channel);
    if (!channel) {
        avenc_device_close(reference);
        return avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
    }
    avi_live_add(AVENC_LIVE_CHANNEL, 1);
    channel->device = reference;
    channel->api = reference->api;
    channel->generation = avi_generation();
    channel->config = *config;
    channel->sink_fd = -1;
    channel->stride = (config->width + 15) & ~15u;
    channel->picture_size = (size_t)channel->stride * config->height * 3 / 2;
    pthread_mutex_init(&channel->send_lock, NULL);
    pthread_mutex_init(&channel->lock, NULL);
    avi_cond_init(&channel->progress);

    avi_binding binding;
    rc = avi_device_bind(reference, &binding);
    if (rc == AVENC_OK) {
        rc = create_parts(channel);
        avi_device_unbind(reference, &binding);
    }
    if (rc != AVENC_OK) {
        avi_channel_end_of_life(channel);
        return rc;
    }
    avi_device_attach(reference, channel);
    *out = channel;
    return AVENC_OK;
}

/* ---- ending ---------------------------------------------------------------------------------- */

/* The device is lost: its frames become ready packets that say so, and late callbacks find nothing. */
static void abandon_in_flight_locked(avenc_channel *channel) {
    while (channel->sent_head) {
        int expected = AVI_SLOT_SENT;
        if (!atomic_compare_exchange_strong(&channel->sent_head->state, &expected, AVI_SLOT_COMPLETING))
            return; /* its callback is running now and will finish it */
        channel->sent_head->packet->pub.status = AVENC_E_LOST;
        channel->sent_head->packet->pub.emitted_ns = avi_now_ns();
        avi_finish_head_locked(channel);
    }
}

/* Frames that the sender thread has not taken yet come back as packets that say so. */
static void abandon_queued_locked(avenc_channel *channel, int status) {
    while (channel->queued_head) {
        avi_slot *slot = channel->queued_head;
        channel->queued_head = slot->next;
        channel->stats.queued--;
        slot->packet->pub.status = status;
        slot->packet->pub.emitted_ns = avi_now_ns();
        avi_finish_slot_locked(channel, slot);
    }
    channel->queued_tail = NULL;
}

/* The device or a native thread still works for the channel. */
static bool in_engine_locked(const avenc_channel *channel) {
    return channel->active != channel->held || channel->growing || channel->wake_pending;
}

static bool unfinished_locked(const avenc_channel *channel) {
    return in_engine_locked(channel) || avi_sink_unfinished_locked(channel);
}

int avenc_channel_close(avenc_channel *channel, uint32_t timeout_ms) {
    if (!channel)
        return avi_fail(AVENC_E_INVALID, __func__, "channel must not be NULL");
    if (channel->generation != avi_generation())
        return avi_fail_forked(__func__);
    if (pthread_equal(pthread_self(), channel->device->report_thread))
        return avi_fail(AVENC_E_WOULD_DEADLOCK, __func__, "a channel cannot be closed from its own callback");
    uint64_t deadline = avi_deadline_after(timeout_ms);
    int rc = AVENC_OK;
    pthread_mutex_lock(&channel->lock);
    if (channel->state == AVI_OPEN)
        channel->state = AVI_CLOSING;
    abandon_queued_locked(channel, AVENC_E_CLOSED);
    avi_announce_locked(channel);
    while (unfinished_locked(channel)) {
        if (atomic_load(&channel->device->lost)) {
            channel->abandoned = true;
            abandon_in_flight_locked(channel);
        }
        if (avi_sink_unfinished_locked(channel))
            avi_worker_hurry(&channel->device->writer);
        if (unfinished_locked(channel) && !avi_wait_locked(channel, deadline, true)) {
            if (timeout_ms == 0 && !in_engine_locked(channel)) {
                channel->sink_error = channel->sink_error ? channel->sink_error : ETIMEDOUT;
                break; /* only a slow reader is in the way, and the caller waits no longer for it */
            }
            rc = avi_fail(AVENC_E_TIMEOUT, __func__, "%u frames are still in flight after %u ms",
                          channel->stats.in_flight, timeout_ms);
            break;
        }
    }
    pthread_mutex_unlock(&channel->lock);
    if (rc != AVENC_OK)
        return rc;
    avi_worker_forget(&channel->device->sender, channel);
    avi_worker_forget(&channel->device->writer, channel);

    pthread_mutex_lock(&channel->send_lock); /* of two closing threads one destroys */
    if (channel->created) {
        avi_binding binding;
        rc = avi_device_bind(channel->device, &binding);
        if (rc == AVENC_OK) {
            /*
             * Once only: the library frees the channel also when it returns a code, and a second call would end
             * whatever has its number by then. It skips unsubscribing in that case: late callbacks may come.
             */
            rc = channel->api->aclvencDestroyChannel(channel->desc);
            channel->created = false;
            if (rc != ACL_SUCCESS) {
                channel->abandoned = true;
                avi_fail_acl(channel->api, rc, "aclvencDestroyChannel");
            }
            avi_device_unbind(channel->device, &binding);
        }
    }
    bool gone = !channel->created;
    pthread_mutex_unlock(&channel->send_lock);
    if (gone) {
        pthread_mutex_lock(&channel->lock);
        channel->state = AVI_CLOSED;
        avi_announce_locked(channel);
        pthread_mutex_unlock(&channel->lock);
        if (atomic_load(&channel->device->lost))
            rc = AVENC_OK; /* whoever waited was told; ending is all that is left to do */
    }
    return rc;
}

int avenc_channel_destroy(avenc_channel *channel, uint32_t timeout_ms) {
    if (!channel || channel->generation != avi_generation())
        return AVENC_OK;
    int rc = avenc_channel_close(channel, timeout_ms);
    if (rc == AVENC_E_WOULD_DEADLOCK)
        return rc;
    pthread_mutex_lock(&channel->lock);
    bool in_use = channel->active != channel->held || channel->wake_pending || channel->created;
    bool orphan = !in_use && channel->handles > 0;
    channel->orphan = orphan;
    pthread_mutex_unlock(&channel->lock);
    if (in_use)
        return rc; /* the device may still read the pictures: leaked on purpose, and counted as live */
    if (orphan)
        return rc; /* somebody still looks at a frame's memory: avenc_frame_release of the last one frees it */
    avi_device_detach(channel->device, channel);
    avi_channel_end_of_life(channel);
    return rc;
}

void avenc_channel_stats_get(avenc_channel *channel, avenc_channel_stats *stats) {
    if (channel->generation != avi_generation()) {
        memset(stats, 0, sizeof *stats);
        return;
    }
    pthread_mutex_lock(&channel->lock);
    *stats = channel->stats;
    stats->slots = channel->slot_count;
    stats->held = channel->held;
    if (channel->idle_since)
        stats->idle_ns += avi_now_ns() - channel->idle_since;
    pthread_mutex_unlock(&channel->lock);
    stats->pool_buffers = avi_pool_allocations(channel->pool);
}

void avenc_channel_histograms_get(avenc_channel *channel, avenc_channel_histograms *histograms) {
    if (channel->generation != avi_generation()) {
        memset(histograms, 0, sizeof *histograms);
        return;
    }
    pthread_mutex_lock(&channel->lock);
    *histograms = channel->histograms;
    pthread_mutex_unlock(&channel->lock);
}

/* ---- histogram ------------------------------------------------------------------------------- */

int avi_bucket(uint64_t ns) {
    uint64_t us = ns / 1000;
    if (us < 4)
        return (int)us;
    int octave = 63 - __builtin_clzll(us);
    int bucket = 4 * (octave - 1) + (int)(us >> (octave - 2) & 3);
    return bucket < AVENC_BUCKETS ? bucket : AVENC_BUCKETS - 1;
}

uint64_t avenc_bucket_ns(int bucket) {
    if (bucket < 0 || bucket >= AVENC_BUCKETS)
        return 0;
    if (bucket < 4)
        return (uint64_t)(bucket + 1) * 1000;
    int octave = bucket / 4 + 1;
    return ((uint64_t)(4 + bucket % 4 + 1) << (octave - 2)) * 1000;
}
