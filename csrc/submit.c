// SPDX-License-Identifier: Apache-2.0
/*
 * Frames going in: a slot is taken, the pixels are brought to where the device reads them, the slot is
 * sent. The same three steps serve every source of pixels; they differ in who copies and when.
 */
#include "engine.h"

#include <string.h>

enum { NOBODY = 0, DIRECT = 1, WAITING = 2 }; /* what a slot is taken for: see room_locked */

/* ---- taking a slot ----------------------------------------------------------------------------- */

/* Packets that nobody collects stop the intake, unless the oldest give way (see avi_finish_slot_locked). */
static bool packets_full_locked(const avenc_channel *channel) {
    const avenc_channel_config *config = &channel->config;
    return config->max_ready && !config->drop_oldest && channel->stats.ready >= config->max_ready;
}

/* DIRECT: sent by the taker at once, so there must be room in the device. WAITING: for any time. */
static bool room_locked(const avenc_channel *channel, int purpose) {
    bool slot = channel->free_slots || channel->slots_begun < channel->config.depth + channel->config.queue;
    bool window = purpose != DIRECT || channel->window < channel->config.depth;
    return slot && window && !packets_full_locked(channel);
}

static int refused_locked(const avenc_channel *channel, const char *call) {
    if (channel->state != AVI_OPEN)
        return avi_fail(AVENC_E_CLOSED, call, "the channel is closed");
    if (channel->ended)
        return avi_fail(AVENC_E_DRAINED, call, "the end of the stream was declared: no further frames");
    if (channel->sink_error)
        return avi_fail_sink_locked(channel, call);
    int lost = atomic_load(&channel->device->lost);
    return lost ? avi_fail_lost((avenc_channel *)channel, call) : AVENC_OK;
}

static int fail_full_locked(const avenc_channel *channel, const char *call) {
    const avenc_channel_config *config = &channel->config;
    if (packets_full_locked(channel))
        return avi_fail(AVENC_E_FULL, call, "no room for another frame: %u packets wait to be received, of %u that may",
                        channel->stats.ready, config->max_ready);
    return avi_fail(AVENC_E_FULL, call,
                    "no room for another frame: %u in flight (depth %u), %u queued (queue %u), %u held by the program",
                    channel->window, config->depth, channel->stats.queued, config->queue, channel->held);
}

/* Take a slot, making one if all that exist are in use. The lock is given up meanwhile. */
static int pop_slot_locked(avenc_channel *channel, avi_slot **out) {
    avi_slot *slot = channel->free_slots;
    if (slot)
        channel->free_slots = slot->next;
    else
        slot = &channel->slots[channel->slots_begun++];
    if (!slot->made) {
        channel->growing++;
        pthread_mutex_unlock(&channel->lock);
        avi_binding binding;
        int rc = avi_device_bind(channel->device, &binding);
        if (rc == AVENC_OK) {
            rc = avi_channel_make_slot(channel, slot);
            avi_device_unbind(channel->device, &binding);
        }
        pthread_mutex_lock(&channel->lock);
        channel->growing--;
        if (rc != AVENC_OK) { /* the next taker tries again */
            slot->next = channel->free_slots;
            channel->free_slots = slot;
        } else {
            slot->made = true;
            channel->slot_count++;
        }
        avi_announce_locked(channel);
        if (rc != AVENC_OK)
            return rc;
    }
    slot->next = NULL;
    *out = slot;
    return AVENC_OK;
}

/* A slot that was not sent leaves the window. A queued frame that had no room may go now, and no report may come. */
static void leave_window_locked(avenc_channel *channel) {
    channel->window--;
    if (channel->queued_head)
        avi_worker_wake(&channel->device->sender, channel, 0);
}

static void back_to_free_locked(avenc_channel *channel, avi_slot *slot) {
    atomic_store(&slot->state, AVI_SLOT_FREE);
    slot->next = channel->free_slots;
    channel->free_slots = slot;
    channel->active--;
    avi_announce_locked(channel);
}

/* Take a slot and reserve a packet for it. State FILLING, counted in the window if DIRECT; else HELD. */
static int take_slot(avenc_channel *channel, int purpose, uint32_t timeout_ms, const char *call, avi_slot **out) {
    uint64_t start = 0, deadline = 0;
    int rc;
    pthread_mutex_lock(&channel->lock);
    while ((rc = refused_locked(channel, call)) == AVENC_OK && !room_locked(channel, purpose)) {
        if (!start) {
            start = avi_now_ns();
            deadline = start + (uint64_t)timeout_ms * 1000000u;
        }
        if (!avi_wait_locked(channel, deadline, true)) {
            rc = fail_full_locked(channel, call);
            break;
        }
    }
    if (start)
        channel->stats.full_ns += avi_now_ns() - start;
    avi_slot *slot = NULL;
    if (rc == AVENC_OK)
        rc = pop_slot_locked(channel, &slot);
    if (rc == AVENC_OK) {
        channel->active++;
        if (purpose == DIRECT) {
            channel->window++;
            atomic_store(&slot->state, AVI_SLOT_FILLING);
        } else {
            channel->held++;
            atomic_store(&slot->state, AVI_SLOT_HELD);
        }
    }
    pthread_mutex_unlock(&channel->lock);
    if (rc != AVENC_OK)
        return rc;
    if (!(slot->packet = avi_pool_acquire(channel->pool))) {
        rc = avi_fail(AVENC_E_NOMEM, "mmap", "no memory for another packet buffer of %zu bytes",
                      avi_pool_capacity(channel->pool));
        pthread_mutex_lock(&channel->lock);
        if (purpose == DIRECT)
            leave_window_locked(channel);
        else
            channel->held--;
        back_to_free_locked(channel, slot);
        pthread_mutex_unlock(&channel->lock);
        return rc;
    }
    *out = slot;
    return AVENC_OK;
}

/* Give back a slot that was not accepted. */
static void return_slot(avenc_channel *channel, avi_slot *slot) {
    avi_packet *packet = slot->packet;
    slot->packet = NULL;
    if (packet)
        avi_pool_release(packet);
    pthread_mutex_lock(&channel->lock);
    if (atomic_load(&slot->state) == AVI_SLOT_FILLING)
        leave_window_locked(channel);
    else
        channel->held--;
    back_to_free_locked(channel, slot);
    pthread_mutex_unlock(&channel->lock);
}

/* ---- pixels ------------------------------------------------------------------------------------ */

#define TRY(channel, call, ...)                                                                                        \
    do {                                                                                                               \
        int rc_ = (channel)->api->call(__VA_ARGS__);                                                                   \
        if (rc_ != ACL_SUCCESS)                                                                                        \
            return avi_fail_acl((channel)->api, rc_, #call);                                                           \
    } while (0)

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
static void lay_out(const avenc_channel *channel, uint8_t *to, const avenc_picture *picture,
                    avenc_channel_stats *delta) {
    size_t width = channel->config.width, height = channel->config.height, stride = channel->stride;
    copy_rows(to, stride, picture->y, picture->y_stride, width, height);
    copy_rows(to + stride * height, stride, picture->uv, picture->uv_stride, width, height / 2);
    delta->host_copies_in++;
    delta->bytes_copied_in += width * height * 3 / 2;
}

static bool host_writes_device_memory(const avenc_channel *channel) {
    return channel->device->info.run_mode == ACL_DEVICE;
}

static int need_staging(avenc_channel *channel, avi_slot *slot) {
    if (slot->staging)
        return AVENC_OK;
    void *staging = NULL;
    TRY(channel, aclrtMallocHost, &staging, channel->picture_size);
    memset(staging, 0, channel->picture_size); /* the padding of each row goes to the device too */
    slot->staging = staging;
    return AVENC_OK;
}

/* The descriptor names the slot's own memory again, after it named a caller's. */
static int describe_own_memory(avenc_channel *channel, avi_slot *slot) {
    if (!slot->foreign)
        return AVENC_OK;
    TRY(channel, acldvppSetPicDescData, slot->picture, slot->memory);
    TRY(channel, acldvppSetPicDescSize, slot->picture, (uint32_t)channel->picture_size);
    TRY(channel, acldvppSetPicDescWidthStride, slot->picture, channel->stride);
    TRY(channel, acldvppSetPicDescHeightStride, slot->picture, channel->config.height);
    slot->foreign = false;
    return AVENC_OK;
}

static int upload(avenc_channel *channel, void *to, size_t room, const void *from, size_t size,
                  avenc_channel_stats *delta) {
    TRY(channel, aclrtMemcpy, to, room, from, size, ACL_MEMCPY_HOST_TO_DEVICE);
    delta->bytes_copied_in += size;
    return AVENC_OK;
}

/*
 * Board (ACL_DEVICE): device memory is host memory, one copy straight into it. Host (ACL_HOST): one
 * DMA per plane where the rows already lie as the device wants them, else one copy into pinned
 * memory that pads the rows, and one DMA.
 */
static int copy_from_caller(avenc_channel *channel, avi_slot *slot, avenc_channel_stats *delta) {
    const avenc_picture *picture = &slot->source;
    size_t stride = channel->stride, luma = stride * channel->config.height;
    if (host_writes_device_memory(channel)) {
        lay_out(channel, slot->memory, picture, delta);
        return AVENC_OK;
    }
    delta->device_copies_in++;
    if (picture->y_stride == stride && picture->uv_stride == stride && channel->config.width == stride) {
        if (picture->uv == picture->y + luma)
            return upload(channel, slot->memory, channel->picture_size, picture->y, luma * 3 / 2, delta);
        int rc = upload(channel, slot->memory, channel->picture_size, picture->y, luma, delta);
        return rc ? rc : upload(channel, (uint8_t *)slot->memory + luma, luma / 2, picture->uv, luma / 2, delta);
    }
    int rc = need_staging(channel, slot);
    if (rc != AVENC_OK)
        return rc;
    lay_out(channel, slot->staging, picture, delta);
    return upload(channel, slot->memory, channel->picture_size, slot->staging, channel->picture_size, delta);
}

int avi_prepare_slot(avenc_channel *channel, avi_slot *slot, avenc_channel_stats *delta) {
    int rc = AVENC_OK;
    switch (slot->pixels) {
    case AVI_IN_CALLER:
        rc = copy_from_caller(channel, slot, delta);
        break;
    case AVI_IN_STAGING:
        delta->device_copies_in++;
        rc = upload(channel, slot->memory, channel->picture_size, slot->staging, channel->picture_size, delta);
        break;
    default:
        break;
    }
    slot->pixels = AVI_IN_MEMORY;
    return rc;
}

/* ---- sending ----------------------------------------------------------------------------------- */

static void accept_locked(avenc_channel *channel, avi_slot *slot, const avenc_submission *submission) {
    avenc_packet *packet = &slot->packet->pub;
    uint64_t number = channel->stats.submitted++;
    packet->frame_index = channel->config.first_index + number;
    packet->pts = submission->number_pts ? (int64_t)packet->frame_index : submission->pts;
    packet->token = submission->token;
    packet->submitted_ns = avi_now_ns();
    slot->force_idr = submission->force_idr;
    channel->stats.in_flight++;
    if (submission->converted) {
        channel->stats.host_copies_in++;
        channel->stats.bytes_copied_in += (uint64_t)channel->config.width * channel->config.height * 3 / 2;
    }
}

static void count_copies_locked(avenc_channel *channel, const avenc_channel_stats *delta) {
    channel->stats.host_copies_in += delta->host_copies_in;
    channel->stats.device_copies_in += delta->device_copies_in;
    channel->stats.bytes_copied_in += delta->bytes_copied_in;
}

static void join_in_flight_locked(avenc_channel *channel, avi_slot *slot, uint64_t now) {
    slot->next = NULL;
    if (channel->sent_tail)
        channel->sent_tail->next = slot;
    else
        channel->sent_head = slot;
    channel->sent_tail = slot;
    if (channel->idle_since) {
        channel->stats.idle_ns += now - channel->idle_since;
        channel->idle_since = 0;
    }
    atomic_store(&slot->state, AVI_SLOT_SENT);
}

/* The last of the in-flight queue was refused. send_lock is held, so it is still the last. */
static void leave_in_flight_locked(avenc_channel *channel, avi_slot *slot, uint64_t now) {
    avi_slot **link = &channel->sent_head, *before = NULL;
    while (*link != slot) {
        before = *link;
        link = &before->next;
    }
    *link = NULL;
    channel->sent_tail = before;
    slot->next = NULL;
    if (!before && channel->stats.completed)
        channel->idle_since = now;
}

static void queue_locked(avenc_channel *channel, avi_slot *slot) {
    atomic_store(&slot->state, AVI_SLOT_QUEUED);
    slot->next = NULL;
    if (channel->queued_tail)
        channel->queued_tail->next = slot;
    else
        channel->queued_head = slot;
    channel->queued_tail = slot;
    channel->stats.queued++;
}

/*
 * Hand an accepted slot of the in-flight queue to the device. send_lock is held, lock is not. On failure
 * it has left the in-flight queue and is FILLING.
 */
static int hand_over(avenc_channel *channel, avi_slot *slot, bool idr, uint64_t since) {
    int rc =
        channel->api->aclvencSendFrame(channel->desc, slot->picture, NULL, idr ? channel->idr : channel->plain, slot);
    if (rc != ACL_SUCCESS)
        avi_fail_acl(channel->api, rc, "aclvencSendFrame");
    uint64_t now = avi_now_ns();
    pthread_mutex_lock(&channel->lock);
    channel->stats.send_ns += now - since;
    if (rc != ACL_SUCCESS) {
        int expected = AVI_SLOT_SENT;
        if (atomic_compare_exchange_strong(&slot->state, &expected, AVI_SLOT_FILLING)) {
            leave_in_flight_locked(channel, slot, now);
            channel->idr_owed = channel->idr_owed || idr;
        } else {
            rc = AVENC_OK; /* refused and yet reported: the report counts */
        }
    }
    pthread_mutex_unlock(&channel->lock);
    return rc;
}

static bool take_idr_locked(avenc_channel *channel, const avi_slot *slot) {
    bool idr = slot->force_idr || channel->idr_owed;
    channel->idr_owed = false;
    return idr;
}

/* Accept a filled slot of the window and send it, or queue it behind frames that are queued already. */
static int accept_and_send(avenc_channel *channel, avi_slot *slot, const avenc_submission *submission,
                           const avenc_channel_stats *delta, uint64_t *frame_index) {
    pthread_mutex_lock(&channel->send_lock);
    pthread_mutex_lock(&channel->lock);
    int rc = refused_locked(channel, "avenc_channel_submit");
    if (rc != AVENC_OK) {
        pthread_mutex_unlock(&channel->lock);
        pthread_mutex_unlock(&channel->send_lock);
        return rc;
    }
    accept_locked(channel, slot, submission);
    count_copies_locked(channel, delta);
    uint64_t index = slot->packet->pub.frame_index;
    uint64_t since = slot->packet->pub.submitted_ns;
    if (channel->queued_head || channel->sending) {
        channel->window--;
        queue_locked(channel, slot);
        pthread_mutex_unlock(&channel->lock);
        pthread_mutex_unlock(&channel->send_lock);
        avi_worker_wake(&channel->device->sender, channel, 0);
        *frame_index = index;
        return AVENC_OK;
    }
    join_in_flight_locked(channel, slot, since);
    bool idr = take_idr_locked(channel, slot);
    pthread_mutex_unlock(&channel->lock);

    rc = hand_over(channel, slot, idr, since);
    if (rc != AVENC_OK) {
        pthread_mutex_lock(&channel->lock);
        channel->stats.in_flight--;
        if (channel->config.first_index + channel->stats.submitted == index + 1)
            channel->stats.submitted--; /* else later frames are numbered already: this number stays unused */
        pthread_mutex_unlock(&channel->lock);
    }
    pthread_mutex_unlock(&channel->send_lock);
    if (rc == AVENC_OK)
        *frame_index = index;
    return rc;
}

void avi_send_queued(avenc_channel *channel, avi_slot *slot, bool *more) {
    avenc_channel_stats delta = {0};
    int rc = avi_prepare_slot(channel, slot, &delta);
    pthread_mutex_lock(&channel->send_lock);
    pthread_mutex_lock(&channel->lock);
    count_copies_locked(channel, &delta);
    if (rc == AVENC_OK && channel->state != AVI_OPEN)
        rc = AVENC_E_CLOSED;
    if (rc == AVENC_OK)
        rc = atomic_load(&channel->device->lost);
    if (rc == AVENC_OK) {
        uint64_t since = avi_now_ns();
        join_in_flight_locked(channel, slot, since);
        bool idr = take_idr_locked(channel, slot);
        pthread_mutex_unlock(&channel->lock);
        rc = hand_over(channel, slot, idr, since);
        pthread_mutex_lock(&channel->lock);
    }
    channel->sending--;
    if (rc != AVENC_OK) {
        channel->window--;
        channel->idr_owed = channel->idr_owed || slot->force_idr;
        slot->packet->pub.status = rc;
        slot->packet->pub.emitted_ns = avi_now_ns();
        avi_finish_slot_locked(channel, slot);
        avi_announce_locked(channel);
    }
    *more = channel->queued_head && channel->window < channel->config.depth;
    pthread_mutex_unlock(&channel->lock);
    pthread_mutex_unlock(&channel->send_lock);
}

/* ---- the calls ----------------------------------------------------------------------------------- */

static int check_picture(const avenc_channel *channel, const avenc_picture *picture, const char *call) {
    if (!picture->y || !picture->uv)
        return avi_fail(AVENC_E_INVALID, call, "the picture's planes must not be NULL");
    if (picture->y_stride < channel->config.width || picture->uv_stride < channel->config.width)
        return avi_fail(AVENC_E_INVALID, call, "row strides are %zu and %zu bytes, a row has %u", picture->y_stride,
                        picture->uv_stride, channel->config.width);
    return AVENC_OK;
}

/* A context is bound. */
static int submit_one(avenc_channel *channel, const avenc_submission *submission, uint32_t timeout_ms,
                      uint64_t *frame_index) {
    avi_slot *slot = NULL;
    int rc = take_slot(channel, DIRECT, timeout_ms, "avenc_channel_submit", &slot);
    if (rc != AVENC_OK)
        return rc;
    avenc_channel_stats delta = {0};
    slot->source = submission->picture;
    slot->pixels = AVI_IN_CALLER;
    rc = describe_own_memory(channel, slot);
    if (rc == AVENC_OK)
        rc = avi_prepare_slot(channel, slot, &delta);
    if (rc == AVENC_OK)
        rc = accept_and_send(channel, slot, submission, &delta, frame_index);
    if (rc != AVENC_OK)
        return_slot(channel, slot);
    return rc;
}

/* What the hardware can read in place. */
static bool readable_as_it_is(const avenc_channel *channel, const avenc_device_picture *picture) {
    return picture->stride % 16 == 0 && picture->height_stride % 2 == 0 && (uintptr_t)picture->data % 16 == 0 &&
           picture->stride >= channel->stride;
}

/* Copy on the device, row by row: AscendCL V1 has no copy with pitches. */
static int copy_on_device(avenc_channel *channel, avi_slot *slot, const avenc_device_picture *picture,
                          avenc_channel_stats *delta) {
    size_t width = channel->config.width, height = channel->config.height, stride = channel->stride;
    const uint8_t *from = picture->data;
    uint8_t *to = slot->memory;
    for (size_t row = 0; row < height; row++)
        TRY(channel, aclrtMemcpy, to + row * stride, width, from + row * picture->stride, width,
            ACL_MEMCPY_DEVICE_TO_DEVICE);
    from += (size_t)picture->stride * picture->height_stride;
    to += stride * height;
    for (size_t row = 0; row < height / 2; row++)
        TRY(channel, aclrtMemcpy, to + row * stride, width, from + row * picture->stride, width,
            ACL_MEMCPY_DEVICE_TO_DEVICE);
    delta->device_copies_in++;
    delta->bytes_copied_in += width * height * 3 / 2;
    return AVENC_OK;
}

static int take_over(avenc_channel *channel, avi_slot *slot, const avenc_device_picture *picture,
                     avenc_channel_stats *delta) {
    slot->pixels = AVI_IN_MEMORY;
    if (!readable_as_it_is(channel, picture)) {
        int rc = describe_own_memory(channel, slot);
        return rc ? rc : copy_on_device(channel, slot, picture, delta);
    }
    slot->foreign = true;
    uint32_t size = (uint32_t)((size_t)picture->stride * picture->height_stride * 3 / 2);
    TRY(channel, acldvppSetPicDescData, slot->picture, picture->data);
    TRY(channel, acldvppSetPicDescSize, slot->picture, size);
    TRY(channel, acldvppSetPicDescWidthStride, slot->picture, picture->stride);
    TRY(channel, acldvppSetPicDescHeightStride, slot->picture, picture->height_stride);
    return AVENC_OK;
}

/*
 * In the caller's context: a stream belongs to the context in which it was created, and each context has a default
 * stream of its own. A thread that has none created no stream.
 */
static int wait_for_stream(avenc_channel *channel, aclrtStream stream) {
    aclrtContext current = NULL;
    if (channel->api->aclrtGetCurrentContext(&current) != ACL_SUCCESS || !current) {
        if (!stream)
            return AVENC_OK;
        return avi_fail(AVENC_E_INVALID, "aclrtSynchronizeStream",
                        "this thread has no current context: make that of the stream current, or wait for the stream "
                        "before submitting");
    }
    TRY(channel, aclrtSynchronizeStream, stream);
    return AVENC_OK;
}

int avenc_channel_submit_device(avenc_channel *channel, const avenc_device_picture *picture,
                                const avenc_submission *submission, uint32_t timeout_ms, uint64_t *frame_index) {
    if (!channel || !picture || !picture->data || !submission || !frame_index)
        return avi_fail(AVENC_E_INVALID, __func__, "channel, picture, its data, submission and index must not be NULL");
    if (channel->generation != avi_generation())
        return avi_fail_forked(__func__);
    if (picture->stride < channel->config.width || picture->height_stride < channel->config.height ||
        (uint64_t)picture->stride * picture->height_stride * 3 / 2 > UINT32_MAX)
        return avi_fail(AVENC_E_INVALID, __func__, "strides are %u bytes and %u rows, the picture has %u x %u",
                        picture->stride, picture->height_stride, channel->config.width, channel->config.height);
    int rc = picture->wait ? wait_for_stream(channel, picture->stream) : AVENC_OK;
    if (rc != AVENC_OK)
        return rc;
    avi_binding binding;
    if ((rc = avi_device_bind(channel->device, &binding)) != AVENC_OK)
        return rc;
    avi_slot *slot = NULL;
    rc = take_slot(channel, DIRECT, timeout_ms, __func__, &slot);
    if (rc == AVENC_OK) {
        avenc_channel_stats delta = {0};
        rc = take_over(channel, slot, picture, &delta);
        if (rc == AVENC_OK)
            rc = accept_and_send(channel, slot, submission, &delta, frame_index);
        if (rc != AVENC_OK)
            return_slot(channel, slot);
    }
    avi_device_unbind(channel->device, &binding);
    return rc;
}

/* Take the oldest queued frame out of the queue; it comes back as a packet that says so. */
static bool drop_oldest_queued(avenc_channel *channel) {
    pthread_mutex_lock(&channel->lock);
    avi_slot *slot = channel->queued_head;
    if (slot) {
        channel->queued_head = slot->next;
        if (!channel->queued_head)
            channel->queued_tail = NULL;
        channel->stats.queued--;
        channel->stats.dropped_frames++;
        channel->idr_owed = channel->idr_owed || slot->force_idr;
        slot->packet->pub.status = AVENC_E_DROPPED;
        avi_finish_slot_locked(channel, slot);
    }
    pthread_mutex_unlock(&channel->lock);
    return slot != NULL;
}

static int stage(avenc_channel *channel, avi_slot *slot) {
    avenc_channel_stats delta = {0};
    if (host_writes_device_memory(channel)) {
        lay_out(channel, slot->memory, &slot->source, &delta);
        slot->pixels = AVI_IN_MEMORY;
    } else {
        int rc = AVENC_OK;
        if (!slot->staging) {
            avi_binding binding;
            if ((rc = avi_device_bind(channel->device, &binding)) == AVENC_OK) {
                rc = need_staging(channel, slot);
                avi_device_unbind(channel->device, &binding);
            }
        }
        if (rc != AVENC_OK)
            return rc;
        lay_out(channel, slot->staging, &slot->source, &delta);
        slot->pixels = AVI_IN_STAGING;
    }
    pthread_mutex_lock(&channel->lock);
    count_copies_locked(channel, &delta);
    pthread_mutex_unlock(&channel->lock);
    return AVENC_OK;
}

/* A HELD slot whose pixels are somewhere joins the queue. */
static int enqueue_slot(avenc_channel *channel, avi_slot *slot, const avenc_submission *submission,
                        uint64_t *frame_index) {
    pthread_mutex_lock(&channel->lock);
    int rc = refused_locked(channel, "avenc_channel_enqueue");
    if (rc == AVENC_OK) {
        accept_locked(channel, slot, submission);
        channel->held--;
        *frame_index = slot->packet->pub.frame_index;
        queue_locked(channel, slot);
    }
    bool send = rc == AVENC_OK && channel->window < channel->config.depth;
    pthread_mutex_unlock(&channel->lock);
    if (send)
        avi_worker_wake(&channel->device->sender, channel, 0);
    return rc;
}

/* A context is bound. */
static int queue_one(avenc_channel *channel, const avenc_submission *submission, uint32_t timeout_ms,
                     uint64_t *frame_index) {
    avi_slot *slot = NULL;
    int rc = take_slot(channel, WAITING, timeout_ms, "avenc_channel_submit_many", &slot);
    if (rc != AVENC_OK)
        return rc;
    slot->source = submission->picture;
    rc = describe_own_memory(channel, slot);
    if (rc == AVENC_OK)
        rc = stage(channel, slot);
    if (rc == AVENC_OK)
        rc = enqueue_slot(channel, slot, submission, frame_index);
    if (rc != AVENC_OK)
        return_slot(channel, slot);
    return rc;
}

int avenc_channel_submit(avenc_channel *channel, const avenc_submission *submission, uint32_t timeout_ms,
                         uint64_t *frame_index) {
    if (!channel || !submission || !frame_index)
        return avi_fail(AVENC_E_INVALID, __func__, "channel, submission and frame_index must not be NULL");
    if (channel->generation != avi_generation())
        return avi_fail_forked(__func__);
    avi_binding binding;
    int rc = check_picture(channel, &submission->picture, __func__);
    if (rc == AVENC_OK && (rc = avi_device_bind(channel->device, &binding)) == AVENC_OK) {
        rc = submit_one(channel, submission, timeout_ms, frame_index);
        avi_device_unbind(channel->device, &binding);
    }
    return rc;
}

/*
 * Frames beyond what the device takes at once are queued, so that the call returns with work left: a
 * caller that has to win a lock back before its next batch (in Python: the GIL) would else leave the
 * device without frames meanwhile.
 */
static int submit_or_queue(avenc_channel *channel, const avenc_submission *submission, uint64_t deadline,
                           uint64_t *frame_index) {
    bool queue = channel->config.queue > 0;
    int rc = submit_one(channel, submission, 0, frame_index);
    if (rc != AVENC_E_FULL)
        return rc;
    uint64_t now = avi_now_ns();
    uint32_t left = now < deadline ? (uint32_t)((deadline - now) / 1000000u) : 0;
    if (!queue)
        return left ? submit_one(channel, submission, left, frame_index) : rc;
    rc = avi_sender_start(channel->device);
    return rc ? rc : queue_one(channel, submission, left, frame_index);
}

int avenc_channel_submit_many(avenc_channel *channel, const avenc_submission *submissions, size_t count,
                              uint32_t timeout_ms, uint64_t *indices, size_t *accepted) {
    if (!channel || !submissions || !indices || !accepted)
        return avi_fail(AVENC_E_INVALID, __func__, "channel, submissions, indices and accepted must not be NULL");
    *accepted = 0;
    if (channel->generation != avi_generation())
        return avi_fail_forked(__func__);
    for (size_t i = 0; i < count; i++) {
        int rc = check_picture(channel, &submissions[i].picture, __func__);
        if (rc != AVENC_OK)
            return rc;
    }
    avi_binding binding;
    int rc = avi_device_bind(channel->device, &binding);
    if (rc != AVENC_OK)
        return rc;
    uint64_t deadline = avi_deadline_after(timeout_ms);
    for (size_t i = 0; i < count && rc == AVENC_OK; i++) {
        rc = submit_or_queue(channel, &submissions[i], deadline, &indices[i]);
        *accepted += rc == AVENC_OK;
    }
    avi_device_unbind(channel->device, &binding);
    return rc;
}

int avenc_channel_enqueue(avenc_channel *channel, const avenc_submission *submission, int copy_now, int drop_oldest,
                          uint64_t *frame_index) {
    if (!channel || !submission || !frame_index)
        return avi_fail(AVENC_E_INVALID, __func__, "channel, submission and frame_index must not be NULL");
    if (channel->generation != avi_generation())
        return avi_fail_forked(__func__);
    int rc = check_picture(channel, &submission->picture, __func__);
    if (rc == AVENC_OK)
        rc = avi_sender_start(channel->device);
    avi_slot *slot = NULL;
    if (rc == AVENC_OK) {
        rc = take_slot(channel, WAITING, 0, __func__, &slot);
        if (rc == AVENC_E_FULL && drop_oldest && drop_oldest_queued(channel))
            rc = take_slot(channel, WAITING, 0, __func__, &slot);
    }
    if (rc != AVENC_OK)
        return rc;
    slot->source = submission->picture;
    slot->pixels = AVI_IN_CALLER;
    if (slot->foreign) {
        avi_binding binding;
        if ((rc = avi_device_bind(channel->device, &binding)) == AVENC_OK) {
            rc = describe_own_memory(channel, slot);
            avi_device_unbind(channel->device, &binding);
        }
    }
    if (rc == AVENC_OK && copy_now)
        rc = stage(channel, slot);
    if (rc == AVENC_OK)
        rc = enqueue_slot(channel, slot, submission, frame_index);
    if (rc != AVENC_OK)
        return_slot(channel, slot);
    return rc;
}

int avenc_channel_drop_oldest(avenc_channel *channel) {
    return channel && channel->generation == avi_generation() && drop_oldest_queued(channel);
}

int avenc_channel_wait_room(avenc_channel *channel, uint32_t timeout_ms) {
    if (!channel)
        return avi_fail(AVENC_E_INVALID, __func__, "channel must not be NULL");
    if (channel->generation != avi_generation())
        return avi_fail_forked(__func__);
    uint64_t start = avi_now_ns(), deadline = start + (uint64_t)timeout_ms * 1000000u;
    int rc;
    pthread_mutex_lock(&channel->lock);
    while ((rc = refused_locked(channel, __func__)) == AVENC_OK && !room_locked(channel, WAITING)) {
        if (!avi_wait_locked(channel, deadline, true)) {
            rc = fail_full_locked(channel, __func__);
            break;
        }
    }
    channel->stats.full_ns += avi_now_ns() - start;
    pthread_mutex_unlock(&channel->lock);
    return rc;
}

/* ---- frames -------------------------------------------------------------------------------------- */

static avi_slot *slot_of(avenc_frame *frame) {
    return (avi_slot *)frame;
}

int avenc_channel_acquire(avenc_channel *channel, uint32_t timeout_ms, avenc_frame **frame,
                          avenc_frame_memory *memory) {
    if (!channel || !frame || !memory)
        return avi_fail(AVENC_E_INVALID, __func__, "channel, frame and memory must not be NULL");
    if (channel->generation != avi_generation())
        return avi_fail_forked(__func__);
    avi_slot *slot = NULL;
    int rc = take_slot(channel, WAITING, timeout_ms, __func__, &slot);
    if (rc != AVENC_OK)
        return rc;
    bool direct = host_writes_device_memory(channel);
    if (slot->foreign || (!direct && !slot->staging)) {
        avi_binding binding;
        if ((rc = avi_device_bind(channel->device, &binding)) == AVENC_OK) {
            rc = describe_own_memory(channel, slot);
            if (rc == AVENC_OK && !direct)
                rc = need_staging(channel, slot);
            avi_device_unbind(channel->device, &binding);
        }
    }
    if (rc != AVENC_OK) {
        return_slot(channel, slot);
        return rc;
    }
    slot->pixels = direct ? AVI_IN_MEMORY : AVI_IN_STAGING;
    pthread_mutex_lock(&channel->lock);
    slot->leased = true;
    channel->handles++;
    pthread_mutex_unlock(&channel->lock);
    avi_live_add(AVENC_LIVE_FRAME, 1);
    memory->y = direct ? slot->memory : slot->staging;
    memory->uv = memory->y + (size_t)channel->stride * channel->config.height;
    memory->stride = channel->stride;
    memory->device_memory = direct;
    *frame = (avenc_frame *)slot;
    return AVENC_OK;
}

/* True: the channel was destroyed before, and this was what kept it. */
static bool drop_handle_locked(avenc_channel *channel) {
    return --channel->handles == 0 && channel->orphan;
}

static void end_orphan(avenc_channel *channel) {
    avi_device_detach(channel->device, channel);
    avi_channel_end_of_life(channel);
}

int avenc_frame_submit(avenc_frame *frame, const avenc_submission *submission, int flags, uint64_t *frame_index) {
    bool keep = flags & AVENC_FRAME_KEEP;
    if (!frame || !submission || !frame_index)
        return avi_fail(AVENC_E_INVALID, __func__, "frame, submission and frame_index must not be NULL");
    avi_slot *slot = slot_of(frame);
    avenc_channel *channel = slot->channel;
    if (channel->generation != avi_generation())
        return avi_fail_forked(__func__);
    if (atomic_load(&slot->state) != AVI_SLOT_HELD)
        return avi_fail(AVENC_E_INVALID, __func__, "the frame was submitted before");
    pthread_mutex_lock(&channel->lock);
    int rc = refused_locked(channel, __func__);
    bool queue = rc == AVENC_OK && (flags & AVENC_FRAME_QUEUE || channel->window >= channel->config.depth);
    if (rc == AVENC_OK && !queue) {
        channel->window++;
        channel->held--;
        atomic_store(&slot->state, AVI_SLOT_FILLING);
    }
    if (rc == AVENC_OK && !keep)
        slot->leased = false;
    pthread_mutex_unlock(&channel->lock);
    if (rc != AVENC_OK)
        return rc;
    if (queue) {
        rc = avi_sender_start(channel->device);
        if (rc == AVENC_OK)
            rc = enqueue_slot(channel, slot, submission, frame_index);
    } else {
        avi_binding binding;
        rc = avi_device_bind(channel->device, &binding);
        if (rc == AVENC_OK) {
            int pixels = slot->pixels;
            avenc_channel_stats delta = {0};
            rc = avi_prepare_slot(channel, slot, &delta);
            if (rc == AVENC_OK)
                rc = accept_and_send(channel, slot, submission, &delta, frame_index);
            if (rc != AVENC_OK)
                slot->pixels = pixels;
            avi_device_unbind(channel->device, &binding);
        }
    }
    bool last = false;
    pthread_mutex_lock(&channel->lock);
    if (rc != AVENC_OK) {
        if (!queue) { /* the caller has it again */
            leave_window_locked(channel);
            channel->held++;
            atomic_store(&slot->state, AVI_SLOT_HELD);
            avi_announce_locked(channel);
        }
        slot->leased = true;
    } else if (!keep) {
        last = drop_handle_locked(channel);
    }
    pthread_mutex_unlock(&channel->lock);
    if (rc == AVENC_OK && !keep)
        avi_live_add(AVENC_LIVE_FRAME, -1);
    if (last)
        end_orphan(channel);
    return rc;
}

void avenc_frame_release(avenc_frame *frame) {
    if (!frame)
        return;
    avi_slot *slot = slot_of(frame);
    avenc_channel *channel = slot->channel;
    if (channel->generation != avi_generation())
        return;
    avi_packet *packet = NULL;
    pthread_mutex_lock(&channel->lock);
    slot->leased = false;
    int state = atomic_load(&slot->state);
    if (state == AVI_SLOT_HELD || state == AVI_SLOT_LEASED) {
        packet = slot->packet;
        slot->packet = NULL;
        channel->held--;
        back_to_free_locked(channel, slot);
    }
    bool last = drop_handle_locked(channel);
    pthread_mutex_unlock(&channel->lock);
    if (packet)
        avi_pool_release(packet);
    avi_live_add(AVENC_LIVE_FRAME, -1);
    if (last)
        end_orphan(channel);
}
