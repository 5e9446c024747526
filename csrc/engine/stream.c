// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "engine/stream.h"
#include "base/status.h"
#include "base/thread.h"

#include <stdlib.h>
#include <string.h>

/* ---- lists ------------------------------------------------------------------------------------- */

void avi_packet_append(avi_packet_list *list, avi_packet *packet) {
    packet->next = NULL;
    if (list->tail)
        list->tail->next = packet;
    else
        list->head = packet;
    list->tail = packet;
    list->count++;
}

/* Take the packet that comes after `before` (NULL: the first) out of the list; NULL: there is none. */
static inline avi_packet *take_behind(avi_packet_list *list, avi_packet *before) {
    avi_packet **link = before ? &before->next : &list->head, *packet = *link;
    if (packet) {
        *link = packet->next;
        if (!*link)
            list->tail = before;
        packet->next = NULL;
        list->count--;
    }
    return packet;
}

avi_packet *avi_packet_pop(avi_packet_list *list) {
    return take_behind(list, NULL);
}

static void insert_in_order(avi_packet_list *list, avi_packet *packet) {
    uint64_t number = packet->pub.frame_index;
    if (!list->tail || list->tail->pub.frame_index < number) {
        avi_packet_append(list, packet);
        return;
    }
    avi_packet **link = &list->head;
    while ((*link)->pub.frame_index < number)
        link = &(*link)->next;
    packet->next = *link;
    *link = packet;
    list->count++;
}

static void release_all(avi_packet_list *list) {
    for (avi_packet *packet; (packet = avi_packet_pop(list));)
        avi_pool_release(packet);
}

/* ---- life -------------------------------------------------------------------------------------- */

avi_stream *avi_stream_create(uint32_t max_ready, bool drop_oldest, const char *hint) {
    avi_stream *stream = calloc(1, sizeof *stream);
    if (!stream || !(stream->progress = avi_waitset_create())) {
        free(stream);
        avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
        return NULL;
    }
    stream->max_ready = max_ready;
    stream->drop_oldest = drop_oldest;
    stream->hint = hint;
    atomic_store(&stream->references, 1);
    pthread_mutex_init(&stream->lock, NULL);
    return stream;
}

void avi_stream_retain(avi_stream *stream) {
    atomic_fetch_add(&stream->references, 1);
}

void avi_stream_drop(avi_stream *stream) {
    if (atomic_fetch_sub(&stream->references, 1) != 1)
        return;
    release_all(&stream->ready);
    release_all(&stream->promised);
    release_all(&stream->dropped);
    for (unsigned i = 0; i < stream->attached_count; i++)
        avi_waitset_drop(stream->attached[i]);
    avi_waitset_drop(stream->progress);
    pthread_mutex_destroy(&stream->lock);
    free(stream);
}

/* ---- waiting ----------------------------------------------------------------------------------- */

int avi_stream_signal_attached_locked(avi_stream *stream, bool urgent) {
    int whom = urgent ? AVI_URGENTLY : AVI_EVERYBODY;
    bool all = urgent || stream->failure_untold || avi_stream_enough_locked(stream, stream->target);
    stream->failure_untold = false;
    for (unsigned i = 0; i < stream->attached_count; i++)
        avi_waitset_signal(stream->attached[i], stream->keys[i], whom);
    return all && stream->waiting ? whom : stream->waiting > stream->patient ? AVI_IMPATIENT : AVI_NOBODY;
}

void avi_stream_signal_locked(avi_stream *stream, bool urgent) {
    int whom = avi_stream_signal_attached_locked(stream, urgent);
    if (whom != AVI_NOBODY)
        avi_waitset_signal(stream->progress, 0, whom);
}

int avi_stream_sleep_locked(avi_stream *stream, avi_waiter *waiter, bool busy) {
    bool patiently = waiter->at_least > 1;
    uint64_t until;
    /* While nothing is in flight the stall's time begins anew; a frame that is accepted meanwhile wakes nobody. */
    int rc = avi_waiter_look(waiter, busy ? stream->progressed_ns : avi_now_ns(), &until);
    if (rc != AVENC_OK)
        return rc;
    uint32_t seen = avi_waitset_signals(stream->progress);
    stream->waiting++;
    if (patiently && (stream->patient++ == 0 || waiter->at_least < stream->target))
        stream->target = waiter->at_least;
    avi_unlock(&stream->lock);
    avi_waiter_sleep(waiter, stream->progress, seen, until);
    avi_lock(&stream->lock);
    stream->waiting--;
    stream->patient -= patiently;
    return AVENC_OK;
}

/* ---- packets ----------------------------------------------------------------------------------- */

void avi_stream_discard_locked(avi_stream *stream, avi_packet *packet) {
    if (packet->pub.tag)
        avi_packet_append(&stream->dropped, packet);
    else
        avi_pool_release(packet);
}

/* Nobody collects: the oldest packet goes, and since others refer to it, the next frame is an IDR. */
static void drop_oldest_locked(avi_stream *stream) {
    avi_packet *oldest = avi_packet_pop(stream->ready.head ? &stream->ready : &stream->promised);
    stream->stats.dropped_packets++;
    stream->idr_owed = true;
    avi_stream_discard_locked(stream, oldest);
}

void avi_stream_finish_locked(avi_stream *stream, avi_packet *packet) {
    avenc_channel_stats *stats = &stream->stats;
    stats->completed++;
    if (packet->pub.status != 0) {
        stats->failed++;
        stream->failure_untold = true;
    } else {
        stats->bytes_out += packet->pub.size;
        stats->key_frames += packet->pub.kind == AVENC_KIND_IDR;
    }
    if (stream->drop_oldest && stream->max_ready && avi_stream_ready_locked(stream) >= stream->max_ready)
        drop_oldest_locked(stream);
    avi_stream_put_locked(stream, packet);
}

bool avi_stream_failed_locked(const avi_stream *stream) {
    const avi_packet *packet = stream->ready.head;
    while (packet && packet->pub.status == 0)
        packet = packet->next;
    return packet != NULL;
}

bool avi_stream_receivable_locked(const avi_stream *stream) {
    bool writes = stream->has_sink && !stream->sink_error;
    /* What a sink that failed has in hand comes before what is ready. */
    return writes ? avi_stream_failed_locked(stream) : stream->ready.head && !stream->writing;
}

bool avi_stream_enough_locked(const avi_stream *stream, uint32_t at_least) {
    bool full = stream->max_ready && avi_stream_ready_locked(stream) >= stream->max_ready;
    bool no_more = full || stream->stats.in_flight == 0 || stream->closed || stream->has_sink;
    return stream->ready.count >= at_least || no_more;
}

size_t avi_stream_take_locked(avi_stream *stream, bool promised, avi_packet **packets, size_t max) {
    bool writes = stream->has_sink && !stream->sink_error;
    avi_packet *before = NULL, *packet = stream->ready.head;
    size_t seen = 0;
    if (promised) {
        while (seen < max && stream->promised.head)
            packets[seen++] = avi_packet_pop(&stream->promised);
        return seen;
    }
    if (max == 0 || (!writes && stream->writing)) /* those come first */
        return 0;
    for (; packet && (writes || seen < max); before = packet, packet = packet->next, seen++) {
        if (packet->pub.status != 0) {
            packets[0] = take_behind(&stream->ready, before);
            return 1;
        }
        if (!writes)
            packets[seen] = packet;
    }
    if (writes || seen == 0)
        return 0;
    stream->ready.head = packet;
    if (!packet)
        stream->ready.tail = NULL;
    stream->ready.count -= (uint32_t)seen;
    return seen;
}

void avi_stream_put_locked(avi_stream *stream, avi_packet *packet) {
    insert_in_order(packet->pub.promised ? &stream->promised : &stream->ready, packet);
}

int avi_fail_sink_locked(const avi_stream *stream, const char *call) {
    char text[128];
    return avi_fail(AVENC_E_SINK, call, "the sink cannot be written: %s (errno %d); %u packets are not written",
                    strerror_r(stream->sink_error, text, sizeof text), stream->sink_error,
                    avi_stream_ready_locked(stream));
}
