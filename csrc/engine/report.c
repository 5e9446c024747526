// SPDX-License-Identifier: Apache-2.0
#include "base/status.h"
#include "base/thread.h"
#include "base/times.h"
#include "bitstream/vui.h"
#include "engine/channel.h"
#include "engine/sink.h"

#include <string.h>

/* A key frame's parameter sets tell what was asked for. A fixed rate is not told where the caller gives the times. */
static uint8_t *describe(avenc_channel *channel, uint8_t *data, size_t *size, uint32_t *left_out) {
    avenc_vui vui = channel->settings.vui; /* it changes while no frame is in the device: no lock */
    if (atomic_load_explicit(&channel->stream->times_given, memory_order_relaxed))
        vui.fixed_rate = 0;
    return avi_vui_put(&channel->vui_last, &vui, channel->config.en_type, data, size, left_out);
}

/* What goes in front of the first slice, and of all. */
__attribute__((noinline)) static uint8_t *put_in_front(const avenc_channel *channel, avi_packet *packet,
                                                       uint8_t *data) {
    avenc_packet *pub = &packet->pub;
    if (packet->sei_size)
        data = avi_insert_before_slice(pub->en_type, data, &pub->size, packet->memory, packet->sei_size);
    if (channel->config.aud)
        data = avi_insert_delimiter(pub->en_type, pub->kind, data, &pub->size);
    return data;
}

/* Copy the access unit into the packet, whose status says how that went. Returns how many parameter sets are not known. */
static uint32_t collect(avenc_channel *channel, avi_packet *packet, const avi_output *output) {
    avenc_packet *pub = &packet->pub;
    const avi_told told = output->told ? *output->told : (avi_told){.kind = AVENC_KIND_UNKNOWN, .mean_qp = -1};
    bool more = packet->sei_size || channel->config.aud;
    size_t front = AVI_VUI_ROOM + (more ? AVI_AUD_ROOM + 2 * (size_t)packet->sei_size : 0);
    size_t room = packet->pool->capacity - AVI_FRONT_ROOM;
    uint8_t *data = packet->memory + front;
    uint32_t left_out = 0;
    pub->en_type = channel->config.en_type;
    pub->ret_code = output->ret_code;
    pub->device_kind = told.kind;
    pub->mean_qp = told.mean_qp;
    pub->picture_bits = told.picture_bits;
    if (output->ret_code != 0 || !output->data || output->size == 0)
        pub->status = AVENC_E_FRAME;
    else if (output->size > room)
        pub->status = AVENC_E_TOO_LARGE;
    else if (output->fetch)
        pub->status = output->fetch(channel->device, data, room, output->data, output->size);
    else
        memcpy(data, output->data, output->size);
    if (pub->status != AVENC_OK)
        return 0;
    pub->size = output->size;
    pub->kind = avi_access_unit_kind(&channel->sets, channel->config.en_type, data, pub->size);
    if (pub->kind == AVENC_KIND_IDR && channel->config.vui.tells)
        data = describe(channel, data, &pub->size, &left_out);
    pub->data = more ? put_in_front(channel, packet, data) : data;
    return left_out;
}

/* The channel that a number names, in the list of this batch, which holds a reference until the batch is over; NULL. */
static avenc_channel *channel_of(avenc_device *device, uint64_t number) {
    uint32_t index = avi_number_channel(number);
    avi_lock(&device->lock);
    avenc_channel *channel = index < device->capacity ? device->channels[index] : NULL;
    if (channel && !channel->reported) {
        avi_channel_retain(channel);
        channel->reported = true;
        channel->reported_next = device->reported;
        device->reported = channel;
    }
    avi_unlock(&device->lock);
    return channel;
}

static int claim(const avenc_channel *channel, uint64_t number) {
    uint32_t slot = avi_number_slot(number);
    if (avi_number_channel(number) != channel->index || slot >= channel->slots.capacity)
        return AVI_REPORT_UNKNOWN;
    return avi_flight_claim(&channel->slots.all[slot], number);
}

/* The frame of a slot in flight is done, whatever its packet says. */
static void land_locked(avenc_channel *channel, avi_slot *slot) {
    avi_stream *stream = channel->stream;
    avi_packet *packet = slot->packet;
    slot->packet = NULL;
    avi_flight_leave(&channel->flight, slot);
    channel->active--;
    channel->window--;
    if (--stream->window == 0)
        stream->idle_since = packet->pub.emitted_ns;
    /* The device may have encoded it all the same: the frames that follow refer to what nobody has. */
    if (packet->pub.status != 0)
        stream->idr_owed = true;
    avi_channel_free_slot_locked(channel, slot);
    avi_channel_finish_locked(channel, packet);
}

/* Reports come in send order: a frame that is still ahead of this one will never be reported. */
static void land_overtaken_locked(avenc_channel *channel, const avi_slot *slot, uint64_t now) {
    if (channel->refused)
        avi_channel_release_refused_locked(channel, slot);
    while (channel->flight.head != slot) {
        avi_slot *lost = channel->flight.head;
        lost->packet->pub.status = AVENC_E_LOST;
        lost->packet->pub.emitted_ns = now;
        land_locked(channel, lost);
    }
}

static void measure_locked(avi_stream *stream, const avenc_packet *packet, uint64_t hold_ns) {
    uint64_t latency_ns = packet->emitted_ns - packet->submitted_ns;
    stream->histograms.latency[avi_bucket(latency_ns)]++;
    stream->histograms.hold[avi_bucket(hold_ns)]++;
    if (latency_ns > stream->stats.max_latency_ns)
        stream->stats.max_latency_ns = latency_ns;
    if (hold_ns > stream->stats.max_hold_ns)
        stream->stats.max_hold_ns = hold_ns;
}

void avi_report(avenc_device *device, uint64_t number, const avi_output *output) {
    uint64_t entered = avi_now_ns();
    avenc_channel *channel = device->reported; /* most often the next report is the same channel's: no lock */
    int whose = channel ? claim(channel, number) : AVI_REPORT_UNKNOWN;
    if (whose == AVI_REPORT_UNKNOWN && (channel = channel_of(device, number)))
        whose = claim(channel, number);
    if (whose == AVI_REPORT_UNKNOWN)
        return;
    avi_slot *slot = &channel->slots.all[avi_number_slot(number)];
    avi_stream *stream = channel->stream;
    uint32_t left_out = 0;
    if (whose == AVI_REPORT_DUE) {
        left_out = collect(channel, slot->packet, output);
        slot->packet->pub.emitted_ns = avi_now_ns();
    }
    avi_lock(&stream->lock);
    channel->landed++;
    channel->crowded = false;
    stream->stats.undescribed += left_out;
    if (whose == AVI_REPORT_DUE) {
        land_overtaken_locked(channel, slot, slot->packet->pub.emitted_ns);
        measure_locked(stream, &slot->packet->pub, slot->packet->pub.emitted_ns - entered);
        land_locked(channel, slot);
    } else if (slot->state == AVI_SLOT_REFUSED) { /* encoded for nobody: the frames that follow must not refer to it */
        land_overtaken_locked(channel, slot, avi_now_ns());
        avi_channel_release_refused_locked(channel, slot->later);
        stream->idr_owed = true;
    }
    channel->heard = channel->heard || stream->waiting || stream->attached_count || channel->queued_head ||
                     channel->change || stream->has_sink || stream->closed || channel->sealed || channel->retiring;
    avi_unlock(&stream->lock);
}

void avi_report_batch(avenc_device *device) {
    avenc_channel *channel = device->reported;
    device->reported = NULL;
    while (channel) {
        avenc_channel *next = channel->reported_next;
        avi_stream *stream = channel->stream;
        if (channel->heard) {
            avi_lock(&stream->lock);
            int whom = avi_stream_signal_attached_locked(stream, false);
            avi_channel_check_change_locked(channel);
            bool sends = avi_channel_can_send_locked(channel);
            avi_sink_wake_locked(stream, false);
            avi_channel_check_over_locked(channel);
            avi_unlock(&stream->lock);
            /* Without the lock: it is the first thing that they want. */
            if (whom != AVI_NOBODY)
                avi_waitset_signal(stream->progress, 0, whom);
            if (sends)
                avi_channel_post(channel, &channel->send_task);
        }
        channel->reported = channel->heard = false;
        avi_channel_drop(channel);
        channel = next;
    }
}

void avi_device_lost(avenc_device *device, int code) {
    atomic_store(&device->lost, code);
    avi_lock(&device->lock);
    for (uint32_t i = 1; i < device->capacity; i++) {
        avenc_channel *channel = device->channels[i];
        if (!channel)
            continue;
        avi_lock(&channel->stream->lock);
        avi_stream_signal_locked(channel->stream, true);
        avi_channel_send_queued_locked(channel);
        avi_channel_check_over_locked(channel);
        avi_unlock(&channel->stream->lock);
    }
    avi_unlock(&device->lock);
}
