// SPDX-License-Identifier: Apache-2.0
/* Packets coming out, the waits for them, and numbers. */
#include "base/status.h"
#include "base/thread.h"
#include "engine/channel.h"
#include "engine/sink.h"

#include <stdio.h>
#include <string.h>

/* ---- taking ------------------------------------------------------------------------------------ */

int avenc_channel_take(avenc_channel *channel, int promised, avenc_packet **packets, size_t max, size_t *count) {
    int rc = avi_channel_lock(channel, packets && count, __func__);
    if (rc != AVENC_OK)
        return rc;
    avi_stream *stream = channel->stream;
    bool was_full = avi_stream_full_locked(stream);
    /* The public part of a packet comes first: the arrays are the same. */
    *count = avi_stream_take_locked(stream, promised != 0, (avi_packet **)packets, max);
    if (*count && stream->has_sink)
        avi_sink_wake_locked(stream, true); /* a failed frame was in its way */
    if (*count && (was_full || stream->ended || stream->closed))
        avi_stream_signal_locked(stream, true); /* who waits for room, or for the end, is to look */
    avi_unlock(&stream->lock);
    return AVENC_OK;
}

void avenc_channel_give_back(avenc_channel *channel, avenc_packet **packets, size_t count) {
    if (avi_channel_lock(channel, packets, __func__) != AVENC_OK)
        return;
    for (size_t i = 0; i < count; i++)
        avi_stream_put_locked(channel->stream, (avi_packet *)packets[i]);
    if (count)
        avi_stream_signal_locked(channel->stream, true);
    avi_unlock(&channel->stream->lock);
}

size_t avenc_channel_take_dropped(avenc_channel *channel, uint64_t *tags, size_t max) {
    if (avi_channel_lock(channel, tags, __func__) != AVENC_OK)
        return 0;
    size_t taken = 0;
    for (avi_packet *packet; taken < max && (packet = avi_packet_pop(&channel->stream->dropped));) {
        tags[taken++] = packet->pub.tag;
        avi_pool_release(packet);
    }
    avi_unlock(&channel->stream->lock);
    return taken;
}

/* ---- waiting ----------------------------------------------------------------------------------- */

static bool finished_locked(const avi_stream *stream, int flags) {
    return stream->stats.in_flight == 0 && !avi_sink_unfinished_locked(stream) &&
           (stream->closed || stream->ended || !(flags & AVENC_WAIT_FOR_FRAMES));
}

/* A wait came to nothing: AVENC_E_TIMEOUT with a text that says who is in the way. */
static int fail_to_come_locked(const avi_stream *stream, const avi_waiter *waiter) {
    const avenc_channel_stats *stats = &stream->stats;
    const char *call = waiter->call;
    char stuck[AVI_STUCK_TEXT], early[128] = "";
    if (!waiter->wait && stats->in_flight)
        return avi_fail_numbers(AVENC_E_TIMEOUT, call,
                                "no packet came at this moment: %u frame(s) are in flight, %u of them queued",
                                stats->in_flight, stats->queued, 0, 0, 0);
    const avi_bound bound = avi_waiter_bound(waiter);
    avi_channel_say_stuck_locked(stream, stuck);
    if (stream->early)
        snprintf(early, sizeof early,
                 "; %u of them are finished, and wait for a frame from before reconfigure() that is not",
                 stream->early);
    if (stats->in_flight)
        return avi_fail(AVENC_E_TIMEOUT, call, "%s %s: %u frame(s) are in flight, %u of them queued%s%s%s",
                        waiter->stalled ? "the device has finished no frame" : "no packet came", bound.text,
                        stats->in_flight, stats->queued, early, stuck, *stuck || waiter->stalled ? stream->hint : "");
    if (stream->has_sink && !stream->sink_error && (stream->writing || stream->ready.count))
        return avi_fail(AVENC_E_TIMEOUT, call,
                        "the reader of the sink has taken nothing %s: %u access units wait to be written, no frame is "
                        "in flight",
                        bound.text, avi_stream_ready_locked(stream));
    return avi_fail(AVENC_E_TIMEOUT, call, "no packet came %s, and no frame is in flight", bound.text);
}

static void collect_locked(avi_stream *stream, const avi_waiter *waiter, uint32_t coalesce_us) {
    uint64_t events = stream->stats.completed;
    stream->waiting++; /* urgent signals are for those who collect too */
    avi_unlock(&stream->lock);
    avi_waitset_collect(stream->progress, events, coalesce_us, waiter);
    avi_lock(&stream->lock);
    stream->waiting--;
}

static int wait_for_packets_locked(avenc_channel *channel, avi_waiter *waiter, int flags) {
    avi_stream *stream = channel->stream;
    for (;;) {
        bool lost = atomic_load(&channel->device->lost), some = avi_stream_receivable_locked(stream);
        if (some && (avi_stream_enough_locked(stream, waiter->at_least) || lost || avi_stream_failed_locked(stream)))
            return AVENC_OK;
        if (!some && channel->sealed && flags & AVENC_WAIT_IN_PLACE)
            return avi_fail(AVENC_E_REPLACED, waiter->call, "the channel was replaced");
        if (!some && finished_locked(stream, flags)) {
            bool closed = stream->closed && !stream->ended;
            return avi_fail(closed ? AVENC_E_CLOSED : AVENC_E_DRAINED, waiter->call, "no frame is in flight");
        }
        if (!some && lost)
            return avi_fail_lost(channel, waiter->call);
        int rc = avi_stream_sleep_locked(stream, waiter, stream->stats.in_flight > 0);
        if (rc == AVENC_E_TIMEOUT)
            return some ? AVENC_OK : fail_to_come_locked(stream, waiter);
        if (rc != AVENC_OK)
            return rc;
    }
}

int avenc_channel_wait(avenc_channel *channel, uint32_t at_least, const avenc_wait *wait, uint32_t coalesce_us,
                       int flags) {
    int rc = avi_channel_lock(channel, true, __func__);
    if (rc != AVENC_OK)
        return rc;
    avi_stream *stream = channel->stream;
    if (at_least > 1 || coalesce_us || !avi_stream_receivable_locked(stream)) {
        avi_waiter waiter = avi_waiter_begin(wait, __func__);
        waiter.at_least = at_least;
        if (coalesce_us && wait && !stream->closed && !stream->ended && (stream->stats.in_flight || flags))
            collect_locked(stream, &waiter, coalesce_us);
        rc = wait_for_packets_locked(channel, &waiter, flags);
    }
    avi_unlock(&stream->lock);
    return rc;
}

int avenc_channel_wait_idle(avenc_channel *channel, const avenc_wait *wait) {
    int rc = avi_channel_lock(channel, true, __func__);
    if (rc != AVENC_OK)
        return rc;
    avi_waiter waiter = avi_waiter_begin(wait, __func__);
    avi_stream *stream = channel->stream;
    bool writing;
    while (rc == AVENC_OK && ((writing = avi_sink_unfinished_locked(stream)) || stream->stats.in_flight)) {
        if (writing)
            avi_sink_wake_locked(stream, true);
        if (stream->stats.in_flight && atomic_load(&channel->device->lost))
            rc = avi_fail_lost(channel, __func__);
        else if ((rc = avi_stream_sleep_locked(stream, &waiter, true)) == AVENC_E_TIMEOUT)
            rc = fail_to_come_locked(stream, &waiter);
    }
    if (rc == AVENC_OK && stream->sink_error)
        rc = avi_fail_sink_locked(stream, __func__);
    avi_unlock(&stream->lock);
    return rc;
}

uint64_t avenc_channel_stalled_ns(avenc_channel *channel) {
    if (avi_channel_lock(channel, true, __func__) != AVENC_OK)
        return 0;
    avi_stream *stream = channel->stream;
    uint64_t now = avi_now_ns(), since = stream->progressed_ns;
    uint64_t stalled = stream->stats.in_flight && now > since ? now - since : 0;
    avi_unlock(&stream->lock);
    return stalled;
}

int avenc_channel_end(avenc_channel *channel) {
    int rc = avi_channel_lock(channel, true, __func__);
    if (rc != AVENC_OK)
        return rc;
    channel->stream->ended = true;
    avi_sink_wake_locked(channel->stream, true);
    avi_stream_signal_locked(channel->stream, true);
    avi_unlock(&channel->stream->lock);
    return AVENC_OK;
}

/* ---- wait sets --------------------------------------------------------------------------------- */

int avenc_channel_attach(avenc_channel *channel, avenc_waitset *waitset, uint32_t key) {
    int rc = avi_channel_check(channel, waitset, __func__);
    if (rc == AVENC_OK && key >= AVENC_MAX_KEYS)
        rc = avi_fail(AVENC_E_INVALID, __func__, "key is %u, allowed is 0 to %d", key, AVENC_MAX_KEYS - 1);
    if (rc == AVENC_OK)
        rc = avi_waitset_reserve(waitset, key);
    if (rc != AVENC_OK)
        return rc;
    avi_stream *stream = channel->stream;
    avi_lock(&stream->lock);
    bool room = stream->attached_count < AVENC_MAX_WAITSETS;
    if (room) {
        avi_waitset_retain(waitset);
        stream->attached[stream->attached_count] = waitset;
        stream->keys[stream->attached_count++] = key;
    }
    avi_unlock(&stream->lock);
    if (!room)
        return avi_fail(AVENC_E_FULL, __func__, "the stream has %d wait sets already", AVENC_MAX_WAITSETS);
    avi_waitset_signal(waitset, key, AVI_URGENTLY); /* it may have packets already */
    return AVENC_OK;
}

void avenc_channel_detach(avenc_channel *channel, avenc_waitset *waitset) {
    if (avi_channel_lock(channel, waitset, __func__) != AVENC_OK)
        return;
    avi_stream *stream = channel->stream;
    unsigned i = 0;
    while (i < stream->attached_count && stream->attached[i] != waitset)
        i++;
    if (i < stream->attached_count) {
        unsigned last = --stream->attached_count;
        stream->attached[i] = stream->attached[last];
        stream->keys[i] = stream->keys[last];
        avi_waitset_drop(waitset);
    }
    avi_unlock(&stream->lock);
}

/* ---- numbers ----------------------------------------------------------------------------------- */

void avenc_channel_stats_get(avenc_channel *channel, avenc_channel_stats *stats, avenc_channel_histograms *histograms) {
    memset(stats, 0, sizeof *stats);
    if (histograms)
        memset(histograms, 0, sizeof *histograms);
    if (channel->generation != avi_generation())
        return;
    avi_stream *stream = channel->stream;
    avi_lock(&stream->lock);
    *stats = stream->stats;
    stats->copies_out = stats->completed - stats->failed;
    stats->ready = avi_stream_ready_locked(stream);
    stats->slots = channel->slots.made;
    stats->pool_buffers = channel->pool ? atomic_load(&channel->pool->allocations) : channel->pool_buffers;
    if (stream->idle_since)
        stats->idle_ns += avi_now_ns() - stream->idle_since;
    if (histograms)
        *histograms = stream->histograms;
    avi_unlock(&stream->lock);
}
