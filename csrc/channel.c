// SPDX-License-Identifier: Apache-2.0
/*
 * One encoder channel.
 *
 * A frame's way: a free slot is taken and a packet reserved for it (submitting thread), the pixels are
 * copied into the slot's device memory, the slot joins the in-flight queue and is sent; the report
 * thread's trampoline fills the packet, moves it to the ready list and frees the slot; a consumer
 * takes the packet. Slot and packet counts bound everything: at most `depth` frames are in flight.
 *
 * Descriptors are created and bound to memory once per slot. Creating them per frame would cost
 * device allocations each time; setting them per frame would cost calls.
 *
 * Invariants: a slot is in exactly one of: free list, a submitter's hands, in-flight queue. The order of
 * the in-flight queue is the order of aclvencSendFrame (send_lock), which is the order of the reports.
 * `active` counts slots that are not free; the hardware channel is destroyed at active == 0 only, so
 * aclvencDestroyChannel finds nothing to wait for.
 */
#include "engine.h"

#include <stdlib.h>
#include <string.h>

enum {
    WAIT_SLICE_NS = 50 * 1000 * 1000, /* see trampoline.c: the longest a late wake-up can delay a waiter */
    IDLE_PACKETS = 16,                /* kept beyond `depth` for a consumer that takes packets in bursts */
};

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

static int create_slot(avenc_channel *channel, avi_slot *slot) {
    const avenc_channel_config *config = &channel->config;
    slot->channel = channel;
    avi_live_add(AVENC_LIVE_SLOT, 1);
    TRY(channel, acldvppMalloc, &slot->memory, channel->picture_size);
    slot->picture = channel->api->acldvppCreatePicDesc();
    if (!slot->picture)
        return avi_fail_acl(channel->api, ACL_ERROR_FAILURE, "acldvppCreatePicDesc");
    TRY(channel, acldvppSetPicDescData, slot->picture, slot->memory);
    TRY(channel, acldvppSetPicDescSize, slot->picture, (uint32_t)channel->picture_size);
    TRY(channel, acldvppSetPicDescFormat, slot->picture, config->pic_format);
    TRY(channel, acldvppSetPicDescWidth, slot->picture, config->width);
    TRY(channel, acldvppSetPicDescHeight, slot->picture, config->height);
    TRY(channel, acldvppSetPicDescWidthStride, slot->picture, channel->stride);
    TRY(channel, acldvppSetPicDescHeightStride, slot->picture, config->height);
    slot->next = channel->free_slots;
    channel->free_slots = slot;
    return AVENC_OK;
}

static int create_parts(avenc_channel *channel) {
    size_t capacity = channel->picture_size * 2;
    capacity = capacity < MIN_PACKET_CAPACITY ? MIN_PACKET_CAPACITY : capacity;
    capacity = capacity > MAX_PACKET_CAPACITY ? MAX_PACKET_CAPACITY : capacity;
    channel->pool = avi_pool_create(capacity, channel->config.depth + IDLE_PACKETS);
    channel->slots = calloc(channel->config.depth, sizeof *channel->slots);
    if (!channel->pool || !channel->slots)
        return avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
    int rc = describe_channel(channel);
    if (rc == AVENC_OK)
        rc = create_frame_configs(channel);
    for (uint32_t i = 0; rc == AVENC_OK && i < channel->config.depth; i++)
        rc = create_slot(channel, &channel->slots[i]);
    if (rc != AVENC_OK)
        return rc;
    TRY(channel, aclvencCreateChannel, channel->desc);
    channel->created = true;
    return AVENC_OK;
}

/* Free everything but the hardware channel, which does not exist (any more). A context is bound. */
static void destroy_parts(avenc_channel *channel) {
    const acl_api *api = channel->api;
    for (uint32_t i = 0; channel->slots && i < channel->config.depth; i++) {
        avi_slot *slot = &channel->slots[i];
        if (!slot->channel)
            break;
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
    if (channel->pool)
        avi_pool_retire(channel->pool);
}

void avi_channel_dispose(avenc_channel *channel) {
    destroy_parts(channel);
    pthread_cond_destroy(&channel->progress);
    pthread_mutex_destroy(&channel->lock);
    pthread_mutex_destroy(&channel->send_lock);
    free(channel);
    avi_live_add(AVENC_LIVE_CHANNEL, -1);
}

/* Dispose of the channel and drop its device reference; keeps the thread's last failure. */
static void end_channel(avenc_channel *channel) {
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
        end_channel(channel);
        return rc;
    }
    avi_device_attach(reference, channel);
    *out = channel;
    return AVENC_OK;
}

/* ---- waiting --------------------------------------------------------------------------------- */

static uint64_t deadline_after(uint32_t timeout_ms) {
    return avi_now_ns() + (uint64_t)timeout_ms * 1000000u;
}

/* Sleep until progress, a slice, or the deadline. False once the deadline has passed. */
static bool wait_for_progress_locked(avenc_channel *channel, uint64_t deadline) {
    uint64_t now = avi_now_ns();
    if (now >= deadline)
        return false;
    uint64_t slice = now + WAIT_SLICE_NS;
    channel->waiters++;
    avi_cond_wait_until(&channel->progress, &channel->lock, slice < deadline ? slice : deadline);
    channel->waiters--;
    return true;
}

void avi_channel_broadcast(avenc_channel *channel) {
    pthread_mutex_lock(&channel->lock);
    pthread_cond_broadcast(&channel->progress);
    pthread_mutex_unlock(&channel->lock);
}

static int fail_lost(avenc_channel *channel, const char *call) {
    int code = atomic_load(&channel->device->lost);
    return avi_fail(code, "aclrtProcessReport",
                    "the device stopped reporting (%s found out); frames in flight are lost", call);
}

static int fail_closed(const char *call) {
    return avi_fail(AVENC_E_CLOSED, call, "the channel is closed");
}

/* ---- submitting ------------------------------------------------------------------------------ */

static int take_slot(avenc_channel *channel, uint32_t timeout_ms, avi_slot **out) {
    uint64_t deadline = deadline_after(timeout_ms);
    int rc = AVENC_OK;
    pthread_mutex_lock(&channel->lock);
    while (channel->state == AVI_OPEN && !channel->free_slots && rc == AVENC_OK) {
        if (atomic_load(&channel->device->lost))
            rc = fail_lost(channel, "avenc_channel_submit");
        else if (!wait_for_progress_locked(channel, deadline))
            rc = avi_fail(AVENC_E_TIMEOUT, "avenc_channel_submit", "all %u frames are still in flight after %u ms",
                          channel->config.depth, timeout_ms);
    }
    if (channel->state != AVI_OPEN)
        rc = fail_closed("avenc_channel_submit");
    if (rc == AVENC_OK) {
        avi_slot *slot = channel->free_slots;
        channel->free_slots = slot->next;
        slot->next = NULL;
        channel->active++;
        atomic_store(&slot->state, AVI_SLOT_FILLING);
        *out = slot;
    }
    pthread_mutex_unlock(&channel->lock);
    return rc;
}

static void return_slot_locked(avenc_channel *channel, avi_slot *slot) {
    atomic_store(&slot->state, AVI_SLOT_FREE);
    slot->next = channel->free_slots;
    channel->free_slots = slot;
    channel->active--;
    pthread_cond_broadcast(&channel->progress);
}

static void return_slot(avenc_channel *channel, avi_slot *slot) {
    avi_packet *packet = slot->packet;
    slot->packet = NULL;
    if (packet)
        avi_pool_release(packet);
    pthread_mutex_lock(&channel->lock);
    return_slot_locked(channel, slot);
    pthread_mutex_unlock(&channel->lock);
}

static void copy_rows(uint8_t *to, size_t to_stride, const uint8_t *from, size_t from_stride, size_t width,
                      size_t rows) {
    if (to_stride == width && from_stride == width) {
        memcpy(to, from, width * rows);
        return;
    }
    for (size_t row = 0; row < rows; row++)
        memcpy(to + row * to_stride, from + row * from_stride, width);
}

/* Lay the picture out as the device wants it, in memory that the host can write. */
static void lay_out(const avenc_channel *channel, uint8_t *to, const avenc_picture *picture) {
    size_t width = channel->config.width, height = channel->config.height, stride = channel->stride;
    copy_rows(to, stride, picture->y, picture->y_stride, width, height);
    copy_rows(to + stride * height, stride, picture->uv, picture->uv_stride, width, height / 2);
}

/*
 * Board (ACL_DEVICE): device memory is host memory, one copy straight into it. Host (ACL_HOST): one
 * DMA per plane where the rows already lie as the device wants them, else one copy into pinned
 * memory that pads the rows, and one DMA.
 */
static int fill_slot(avenc_channel *channel, avi_slot *slot, const avenc_picture *picture, avenc_channel_stats *delta) {
    size_t luma = (size_t)channel->stride * channel->config.height;
    size_t stride = channel->stride;
    if (channel->device->info.run_mode == ACL_DEVICE) {
        lay_out(channel, slot->memory, picture);
        delta->host_copies_in = 1;
        return AVENC_OK;
    }
    delta->device_copies_in = 1;
    if (picture->y_stride == stride && picture->uv_stride == stride && channel->config.width == stride) {
        if (picture->uv == picture->y + luma) {
            TRY(channel, aclrtMemcpy, slot->memory, channel->picture_size, picture->y, luma * 3 / 2,
                ACL_MEMCPY_HOST_TO_DEVICE);
            return AVENC_OK;
        }
        TRY(channel, aclrtMemcpy, slot->memory, channel->picture_size, picture->y, luma, ACL_MEMCPY_HOST_TO_DEVICE);
        TRY(channel, aclrtMemcpy, (uint8_t *)slot->memory + luma, luma / 2, picture->uv, luma / 2,
            ACL_MEMCPY_HOST_TO_DEVICE);
        return AVENC_OK;
    }
    if (!slot->staging) {
        void *staging = NULL;
        TRY(channel, aclrtMallocHost, &staging, channel->picture_size);
        memset(staging, 0, channel->picture_size); /* the padding of each row goes to the device too */
        slot->staging = staging;
    }
    lay_out(channel, slot->staging, picture);
    delta->host_copies_in = 1;
    TRY(channel, aclrtMemcpy, slot->memory, channel->picture_size, slot->staging, channel->picture_size,
        ACL_MEMCPY_HOST_TO_DEVICE);
    return AVENC_OK;
}

/* Join the in-flight queue before the device can report the frame, leave it again if it was refused. */
static int send_slot(avenc_channel *channel, avi_slot *slot, int number_pts, int force_idr,
                     const avenc_channel_stats *delta, uint64_t *frame_index) {
    avenc_packet *packet = &slot->packet->pub;
    pthread_mutex_lock(&channel->send_lock);
    pthread_mutex_lock(&channel->lock);
    if (channel->state != AVI_OPEN) {
        pthread_mutex_unlock(&channel->lock);
        pthread_mutex_unlock(&channel->send_lock);
        return fail_closed("avenc_channel_submit");
    }
    uint64_t index = channel->stats.submitted++;
    packet->frame_index = index;
    if (number_pts)
        packet->pts = (int64_t)index;
    packet->submitted_ns = avi_now_ns();
    slot->next = NULL;
    if (channel->sent_tail)
        channel->sent_tail->next = slot;
    else
        channel->sent_head = slot;
    channel->sent_tail = slot;
    channel->stats.in_flight++;
    channel->stats.host_copies_in += delta->host_copies_in;
    channel->stats.device_copies_in += delta->device_copies_in;
    atomic_store(&slot->state, AVI_SLOT_SENT);
    pthread_mutex_unlock(&channel->lock);

    int rc = channel->api->aclvencSendFrame(channel->desc, slot->picture, NULL,
                                            force_idr ? channel->idr : channel->plain, slot);
    if (rc != ACL_SUCCESS) {
        avi_fail_acl(channel->api, rc, "aclvencSendFrame");
        pthread_mutex_lock(&channel->lock);
        int expected = AVI_SLOT_SENT;
        if (atomic_compare_exchange_strong(&slot->state, &expected, AVI_SLOT_FILLING)) {
            avi_slot **link = &channel->sent_head, *before = NULL;
            while (*link != slot) {
                before = *link;
                link = &before->next;
            }
            *link = NULL; /* send_lock is held: it is the last one */
            channel->sent_tail = before;
            slot->next = NULL;
            channel->stats.submitted--;
            channel->stats.in_flight--;
        } else {
            rc = AVENC_OK; /* refused and yet reported: the report counts */
        }
        pthread_mutex_unlock(&channel->lock);
    }
    pthread_mutex_unlock(&channel->send_lock);
    if (rc == AVENC_OK)
        *frame_index = index;
    return rc;
}

int avenc_channel_submit(avenc_channel *channel, const avenc_picture *picture, int64_t pts, int number_pts,
                         int force_idr, uint32_t timeout_ms, uint64_t *frame_index) {
    if (!channel || !picture || !picture->y || !picture->uv || !frame_index)
        return avi_fail(AVENC_E_INVALID, __func__, "channel, picture, its planes and frame_index must not be NULL");
    if (channel->generation != avi_generation())
        return avi_fail_forked(__func__);
    if (picture->y_stride < channel->config.width || picture->uv_stride < channel->config.width)
        return avi_fail(AVENC_E_INVALID, __func__, "row strides are %zu and %zu bytes, a row has %u", picture->y_stride,
                        picture->uv_stride, channel->config.width);
    avi_slot *slot = NULL;
    int rc = take_slot(channel, timeout_ms, &slot);
    if (rc != AVENC_OK)
        return rc;
    avi_binding binding;
    if ((rc = avi_device_bind(channel->device, &binding)) != AVENC_OK) {
        return_slot(channel, slot);
        return rc;
    }
    avenc_channel_stats delta = {0};
    slot->packet = avi_pool_acquire(channel->pool);
    if (slot->packet) {
        slot->packet->pub.pts = pts;
        rc = fill_slot(channel, slot, picture, &delta);
        if (rc == AVENC_OK)
            rc = send_slot(channel, slot, number_pts, force_idr, &delta, frame_index);
    } else {
        rc = avi_fail(AVENC_E_NOMEM, "mmap", "no memory for another packet buffer of %zu bytes",
                      avi_pool_capacity(channel->pool));
    }
    avi_device_unbind(channel->device, &binding);
    if (rc != AVENC_OK)
        return_slot(channel, slot);
    return rc;
}

/* ---- receiving ------------------------------------------------------------------------------- */

int avenc_channel_drain(avenc_channel *channel, avenc_packet **packets, size_t max, size_t *count) {
    if (!channel || !packets || !count)
        return avi_fail(AVENC_E_INVALID, __func__, "channel, packets and count must not be NULL");
    if (channel->generation != avi_generation())
        return avi_fail_forked(__func__);
    size_t taken = 0;
    pthread_mutex_lock(&channel->lock);
    while (taken < max && channel->ready_head) {
        avi_packet *packet = channel->ready_head;
        channel->ready_head = packet->next;
        packet->next = NULL;
        packets[taken++] = &packet->pub;
    }
    if (!channel->ready_head)
        channel->ready_tail = NULL;
    channel->stats.ready -= (uint32_t)taken;
    pthread_mutex_unlock(&channel->lock);
    *count = taken;
    return AVENC_OK;
}

static int wait_until(avenc_channel *channel, uint32_t timeout_ms, bool idle, const char *call) {
    if (!channel)
        return avi_fail(AVENC_E_INVALID, call, "channel must not be NULL");
    if (channel->generation != avi_generation())
        return avi_fail_forked(call);
    uint64_t deadline = deadline_after(timeout_ms);
    int rc = AVENC_E_DRAINED;
    pthread_mutex_lock(&channel->lock);
    for (;;) {
        if (idle ? !channel->sent_head : channel->ready_head != NULL) {
            rc = AVENC_OK;
            break;
        }
        if (!idle && !channel->sent_head) {
            rc = channel->state == AVI_CLOSED ? AVENC_E_CLOSED : AVENC_E_DRAINED;
            avi_fail(rc, call, "no frame is in flight");
            break;
        }
        if (atomic_load(&channel->device->lost)) {
            rc = fail_lost(channel, call);
            break;
        }
        if (!wait_for_progress_locked(channel, deadline)) {
            rc = avi_fail(AVENC_E_TIMEOUT, call, "%u frames are still in flight after %u ms", channel->stats.in_flight,
                          timeout_ms);
            break;
        }
    }
    pthread_mutex_unlock(&channel->lock);
    return rc;
}

int avenc_channel_wait(avenc_channel *channel, uint32_t timeout_ms) {
    return wait_until(channel, timeout_ms, false, __func__);
}

int avenc_channel_wait_idle(avenc_channel *channel, uint32_t timeout_ms) {
    return wait_until(channel, timeout_ms, true, __func__);
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

int avenc_channel_close(avenc_channel *channel, uint32_t timeout_ms) {
    if (!channel)
        return avi_fail(AVENC_E_INVALID, __func__, "channel must not be NULL");
    if (channel->generation != avi_generation())
        return avi_fail_forked(__func__);
    if (pthread_equal(pthread_self(), channel->device->report_thread))
        return avi_fail(AVENC_E_WOULD_DEADLOCK, __func__, "a channel cannot be closed from its own callback");
    uint64_t deadline = deadline_after(timeout_ms);
    int rc = AVENC_OK;
    pthread_mutex_lock(&channel->lock);
    if (channel->state == AVI_OPEN)
        channel->state = AVI_CLOSING;
    pthread_cond_broadcast(&channel->progress);
    while (channel->active || channel->wake_pending) {
        if (atomic_load(&channel->device->lost)) {
            channel->abandoned = true;
            abandon_in_flight_locked(channel);
        }
        if ((channel->active || channel->wake_pending) && !wait_for_progress_locked(channel, deadline)) {
            rc = avi_fail(AVENC_E_TIMEOUT, __func__, "%u frames are still in flight after %u ms",
                          channel->stats.in_flight, timeout_ms);
            break;
        }
    }
    pthread_mutex_unlock(&channel->lock);
    if (rc != AVENC_OK)
        return rc;

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
    bool in_use = channel->active || channel->wake_pending || channel->created;
    pthread_mutex_unlock(&channel->lock);
    if (in_use)
        return rc; /* the device may still read the pictures: leaked on purpose, and counted as live */
    avi_device_detach(channel->device, channel);
    end_channel(channel);
    return rc;
}

void avenc_channel_stats_get(avenc_channel *channel, avenc_channel_stats *stats) {
    if (channel->generation != avi_generation()) {
        memset(stats, 0, sizeof *stats);
        return;
    }
    pthread_mutex_lock(&channel->lock);
    *stats = channel->stats;
    pthread_mutex_unlock(&channel->lock);
    stats->pool_buffers = avi_pool_allocations(channel->pool);
}
