// SPDX-License-Identifier: Apache-2.0
/*
 * One hardware channel: made, sealed, ended; it never changes in between. Its stream's lock guards what is not said to
 * be otherwise.
 *
 * References: each call's caller, each task that is posted, each frame handle, the device's table, the stream (the one
 * that takes frames), a successor and a predecessor hold one on the channel's memory. Those from outside are counted apart (`users`): when a stream has none left it is closed.
 */
#ifndef ASCEND_VENC_ENGINE_CHANNEL_H
#define ASCEND_VENC_ENGINE_CHANNEL_H

#include "base/status.h"
#include "base/taskq.h"
#include "bitstream/access_unit.h"
#include "bitstream/vui.h"
#include "engine/device.h"
#include "engine/flight.h"
#include "engine/slot.h"
#include "engine/stream.h"

/* OPENING -> OPEN -> ENDING -> ENDED, or OPENING -> FAILED. */
enum { AVI_OPENING, AVI_OPEN, AVI_ENDING, AVI_ENDED, AVI_FAILED };

/* Slots beyond depth + queue, for frames that the device refused and may still read. */
enum { AVI_SPARE_SLOTS = 32 };

struct avenc_channel {
    avenc_device *device;
    const avi_port *port;
    avi_stream *stream;
    avenc_channel_config config; /* fixed, and so is everything up to here */
    uint32_t generation;
    uint32_t epoch;         /* how many channels the stream had before */
    uint32_t index;         /* in the device's table */
    atomic_uint references; /* of all kinds */
    avi_pool *pool;
    avi_parameter_sets sets; /* this and the next: the reporting thread only */
    avi_vui_last vui_last;
    void *hardware; /* the port's; set before it is open */

    int state;
    unsigned users;        /* references from outside */
    bool unsettled;        /* counted as live, and by the device as one that needs it open */
    uint64_t pool_buffers; /* of a pool that is gone */
    bool placed;           /* frames come to it, or came: it has no predecessor whose place is not taken yet */
    bool sealed;           /* a successor has its place: no further frames */
    bool retiring;         /* ends without a successor yet: see avenc_channel_retire */
    avenc_failure failure; /* of creating */
    avi_slots slots;
    avi_flight flight;
    unsigned active;            /* slots that the engine or the device works on: not FREE, HELD, LEASED or REFUSED */
    unsigned held;              /* slots HELD or LEASED */
    unsigned window;            /* of the active: FILLING or SENT, at most most_in_device */
    unsigned most_in_device;    /* depth, or what the port says where that is less */
    uint32_t landed;            /* reports that came; wraps */
    bool crowded;               /* the device took no more at the last try, and none has landed since */
    unsigned refused;           /* slots REFUSED */
    int refused_code;           /* of the last of them */
    bool making;                /* a slot is being made */
    avenc_failure make_failure; /* code: why that did not succeed, for the next who needs one */
    unsigned end_failures;      /* how often it could not be ended */
    bool sending;               /* somebody has the right to send */
    bool sending_queued;        /* and it is the task: who comes now queues behind */
    unsigned turns_wanted;      /* threads that wait for the right to send */
    avi_slot *queued_head, *queued_tail;
    int64_t next_pts;      /* of the next frame whose pts is counted */
    int64_t last_end;      /* pts of the last frame that was accepted, and one */
    avi_packet_list early; /* finished before the last frame of the predecessor: not to be taken yet */

    avenc_channel *predecessor; /* counted; until it has finished its frames */
    avenc_channel *successor;   /* likewise: one that is finished itself may be waited for */
    avenc_channel *next;        /* stream->channels */

    avi_task create_task, make_task, send_task, end_task, free_task;

    avenc_channel *reported_next; /* the reporting thread only */
    bool reported;                /* likewise, and the next one: in the device's list of this batch */
    bool heard;                   /* somebody is to hear of it */
};

/* Of a call: `argument` and `out` must not be NULL either, and the channel not a parent process's. */
static inline int avi_channel_check(const avenc_channel *channel, const void *argument, const void *out,
                                    const char *call) {
    if (!channel || !argument || !out)
        return avi_fail(AVENC_E_INVALID, call, "no argument may be NULL");
    return channel->generation == avi_generation() ? AVENC_OK : avi_fail_forked(call);
}

void avi_channel_retain(avenc_channel *channel);
void avi_channel_drop(avenc_channel *channel); /* no lock is held */

/* The stream's lock is held. It goes with the last reference: then a task frees both. */
void avi_channel_drop_locked(avenc_channel *channel);

/* Let a task of the channel run; it holds the channel meanwhile. */
void avi_channel_post(avenc_channel *channel, avi_task *task);

/* No further frame is to come: let what waits for that go on, and the channel end when the last one is out of it. */
void avi_channel_no_more_locked(avenc_channel *channel);

/* To be asked whenever a channel may have come to its end. */
static inline void avi_channel_check_over_locked(avenc_channel *channel) {
    if (channel->stream->closed || channel->sealed || channel->retiring)
        avi_channel_no_more_locked(channel);
}

/* A slot that the engine had is done: free, or its holders'. */
void avi_channel_free_slot_locked(avenc_channel *channel, avi_slot *slot);

/* The slot's frame is finished, and its packet says how: it is counted, and to be taken when its turn has come. */
void avi_channel_finish_locked(avenc_channel *channel, avi_packet *packet);

/* An accepted frame is not to be encoded: its packet, or its slot that is out of the queue. */
void avi_channel_drop_frame_locked(avenc_channel *channel, avi_packet *packet);
void avi_channel_drop_queued_locked(avenc_channel *channel, avi_slot *slot);

/* Slots REFUSED before `until` in flight (NULL: all) cannot be read any more. */
void avi_channel_release_refused_locked(avenc_channel *channel, const avi_slot *until);

/* There may be room for a queued frame: let the task send it. */
static inline void avi_channel_send_queued_locked(avenc_channel *channel) {
    if (channel->queued_head && channel->window < channel->most_in_device && !channel->sending && !channel->crowded)
        avi_channel_post(channel, &channel->send_task);
}

/* A new slot, or staging memory for one, is wanted. */
void avi_channel_want_slot_locked(avenc_channel *channel);

void avi_channel_unlink_locked(avenc_channel *channel);

/* Nothing of the vendor's is left of it: what outlives it is memory. No lock is held. */
void avi_channel_settle(avenc_channel *channel);

/* Bodies of the tasks. end_run ends the hardware channel, and frees slots that come back after that; never on a lost device. */
bool avi_channel_make_run(void *channel);
bool avi_channel_free_run(void *channel);
void avi_channel_free(void *channel);
bool avi_channel_end_run(void *channel);

/* What a lost device means to a call. */
int avi_fail_lost(const avenc_channel *channel, const char *call);

#endif
