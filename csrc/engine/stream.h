// SPDX-License-Identifier: Apache-2.0
/*
 * An elementary stream: what the successive channels of one encoder share. Its lock, its frame numbers, the packets
 * that are ready, counters, and the wait sets of those who wait. It knows nothing of channels, slots or devices.
 *
 * Functions that end in _locked want the stream's lock held; those that sleep give it up meanwhile.
 */
#ifndef ASCEND_VENC_ENGINE_STREAM_H
#define ASCEND_VENC_ENGINE_STREAM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "engine/pool.h"
#include "engine/waitset.h"

typedef struct avi_packet_list {
    avi_packet *head, *tail;
    uint32_t count;
} avi_packet_list;

void avi_packet_append(avi_packet_list *list, avi_packet *packet);
avi_packet *avi_packet_pop(avi_packet_list *list);

typedef struct avi_stream {
    atomic_uint references;
    const char *hint;        /* what to do about a device that makes no progress; "" */
    atomic_bool times_given; /* a frame came with a pts of its own */
    pthread_mutex_t lock;    /* everything below, and what channels say of theirs */
    avenc_waitset *progress; /* threads inside calls on the stream's channels wait here */
    unsigned waiting;        /* so many of them */
    unsigned patient;        /* of these, threads that wait for several packets: avenc_channel_wait_for */
    uint32_t target;         /* the fewest that one of them waits for; means nothing where there is none */
    bool failure_untold;     /* a frame failed since the last signal: that they are told at once */
    unsigned attached_count;
    avenc_waitset *attached[AVENC_MAX_WAITSETS];
    uint32_t keys[AVENC_MAX_WAITSETS];

    uint32_t max_ready;
    bool drop_oldest;
    bool ended;    /* avenc_channel_end: no further frames */
    bool closed;   /* avenc_channel_close */
    bool paused;   /* frames wait for another channel */
    bool idr_owed; /* something was dropped or failed: the next frame must be an IDR */
    uint64_t next_number;
    uint32_t epochs;          /* the last one that was given: channel.h */
    uint64_t idle_since;      /* when the device ran out of frames; 0: it has some, or never had one */
    uint64_t progressed_ns;   /* when a frame was last finished, or written, or the first of several was accepted */
    uint32_t early;           /* finished packets that channels keep until frames in front of them are finished */
    uint32_t window;          /* frames that the device has, or is being given */
    avi_packet_list ready;    /* for avenc_channel_take, or the sink */
    avi_packet_list promised; /* likewise, promised ones */
    avi_packet_list dropped;  /* no data any more, but a tag */
    uint32_t writing;         /* packets that a sink has taken and not yet written */
    int sink_error;           /* errno of the write that failed: the sink writes no more */
    bool has_sink;
    struct avi_sink *sink;     /* sink.h */
    unsigned users;            /* channel.h: this and the next three. References from outside, to all its channels */
    avenc_channel *channels;   /* those that have not ended */
    avenc_channel *current;    /* counted: the one that takes frames; NULL when closed */
    avenc_failure end_failure; /* of a destroy that the device answered with a code; not yet told */
    avenc_channel_stats stats; /* without what follows from other things: avenc_channel_stats_get */
    avenc_channel_histograms histograms;
} avi_stream;

/* One reference is the caller's. NULL, with the failure recorded, where memory is exhausted. */
avi_stream *avi_stream_create(uint32_t max_ready, bool drop_oldest, const char *hint);
void avi_stream_retain(avi_stream *stream);
void avi_stream_drop(avi_stream *stream);

/* Tell everybody who waits for the stream, in whatever way. Not urgent: of packets, which a coalescing delay may hold. */
void avi_stream_signal_locked(avi_stream *stream, bool urgent);

/* Its half that needs the lock: `whom`, or AVI_NOBODY, for avi_waitset_signal(stream->progress, 0, whom) behind it. */
int avi_stream_signal_attached_locked(avi_stream *stream, bool urgent);

/* There may be room for a frame: tell the threads inside calls, but those that wait, or collect, for several packets. */
static inline void avi_stream_tell_room_locked(avi_stream *stream) {
    if (stream->waiting > stream->patient)
        avi_waitset_signal(stream->progress, 0, AVI_IMPATIENT);
}

/*
 * Sleep until progress. AVENC_OK: look again. AVENC_E_TIMEOUT, also where `busy` and nothing has moved for the wait's
 * stall time: the caller says what it waited for. AVENC_E_LOOK is said here.
 */
int avi_stream_sleep_locked(avi_stream *stream, avi_waiter *waiter, bool busy);

/* ---- packets ---- */

/* Packets that wait to be taken, or to be written, also those in the hands of who writes. */
static inline uint32_t avi_stream_ready_locked(const avi_stream *stream) {
    return stream->ready.count + stream->promised.count + stream->writing;
}

/* The packets that nobody takes, or can take yet, are as many as may be, and none gives way. */
static inline bool avi_stream_full_locked(const avi_stream *stream) {
    return stream->max_ready && !stream->drop_oldest &&
           avi_stream_ready_locked(stream) + stream->early >= stream->max_ready;
}

/* An accepted frame is finished: count it and put its packet where it is to be taken, in the frames' order. */
void avi_stream_finish_locked(avi_stream *stream, avi_packet *packet);

/* A packet that nobody gets: its tag still has to go back. */
void avi_stream_discard_locked(avi_stream *stream, avi_packet *packet);

/* One of the packets that are ready is of a frame that failed. */
bool avi_stream_failed_locked(const avi_stream *stream);

/* What a consumer may take: with a sink that works, only the frames that failed. */
bool avi_stream_receivable_locked(const avi_stream *stream);

/* There is no point in waiting for `at_least` packets: they are here, or no more come before some are taken. */
bool avi_stream_enough_locked(const avi_stream *stream, uint32_t at_least);

size_t avi_stream_take_locked(avi_stream *stream, bool promised, avi_packet **packets, size_t max);

/* Put a packet where it is to be taken, in the frames' order. */
void avi_stream_put_locked(avi_stream *stream, avi_packet *packet);

int avi_fail_sink_locked(const avi_stream *stream, const char *call);

#endif
