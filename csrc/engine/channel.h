// SPDX-License-Identifier: Apache-2.0
/*
 * One hardware channel: made, sealed, ended; in between only rates, GOP and time base may change. Its stream's lock guards what is not said to
 * be otherwise.
 *
 * References: each call's caller, each task that is posted, each frame handle, the device's table, the stream (the one
 * that takes frames), a successor and a predecessor hold one on the channel's memory. Those from outside are counted apart (`users`): when a stream has none left it is closed.
 */
#ifndef ASCEND_VENC_ENGINE_CHANNEL_H
#define ASCEND_VENC_ENGINE_CHANNEL_H

#include "base/status.h"
#include "base/taskq.h"
#include "base/thread.h"
#include "base/times.h"
#include "bitstream/access_unit.h"
#include "bitstream/insertion.h"
#include "bitstream/vui.h"
#include "engine/device.h"
#include "engine/flight.h"
#include "engine/slot.h"
#include "engine/stream.h"

/* OPENING -> OPEN -> ENDING -> ENDED, or OPENING -> FAILED. */
enum { AVI_OPENING, AVI_OPEN, AVI_ENDING, AVI_ENDED, AVI_FAILED };

/* How often a channel is ended whose device cannot be bound; and then when somebody asks for the end again. */
enum { AVI_END_TRIES = 3 };

/* Slots beyond depth + queue, for frames that the device refused and may still read. */
enum { AVI_SPARE_SLOTS = 32 };

/*
 * Room in a packet's memory for what comes in front of the device's access unit: a frame's SEI as it waits, that same
 * SEI in its place, what the parameter sets grow by, a delimiter. Address space; pages that nothing is written to cost none.
 */
enum { AVI_FRONT_ROOM = 2 * AVENC_MAX_SEI + AVI_VUI_ROOM + AVI_AUD_ROOM };

struct avenc_channel {
    avenc_device *device;
    const avi_port *port;
    avi_stream *stream;
    avenc_channel_config config; /* as it was made; fixed, and so is everything up to here */
    uint32_t generation;
    uint32_t index;         /* in the device's table */
    atomic_uint references; /* of all kinds */
    avi_pool *pool;
    avi_parameter_sets sets; /* this and the next: the reporting thread only */
    avi_vui_last vui_last;
    void *hardware; /* the port's; set before it is open */

    atomic_uint epoch;               /* of its settings; changed under the lock, as everything from here on */
    avenc_channel_config settings;   /* as `config`, with what was changed since */
    const avenc_channel *made_after; /* its predecessor, to compare only, and the epoch of that one's settings */
    uint32_t made_after_epoch;
    avenc_change *change; /* the one that is pending; counted */
    bool unsure;          /* which settings the hardware has is not known */
    bool distrusted;      /* and nobody replaces it for that: no further frames */
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
    unsigned unfinished;        /* frames that were accepted: a slot that is being filled is active, and none of them */
    unsigned held;              /* slots HELD or LEASED */
    unsigned window;            /* of the active: FILLING or SENT, at most most_in_device */
    unsigned most_in_device;    /* depth, or what the port says where that is less */
    uint32_t landed;            /* reports that came; wraps */
    bool crowded;               /* the device took no more at the last try, and none has landed since */
    atomic_uint refused;        /* slots REFUSED */
    int refused_code;           /* of the last of them */
    bool making;                /* a slot is being made */
    avenc_failure make_failure; /* code: why that did not succeed, for the next who needs one */
    unsigned end_failures;      /* how often it could not be ended */
    bool sending;               /* somebody has the right to send */
    bool sending_queued;        /* and it is a task: who comes now queues behind */
    uint64_t sending_since;     /* a thread is inside the vendor's call that it is for; 0: none */
    unsigned turns_wanted;      /* threads that wait for the right to send */
    avi_slot *queued_head, **queued_end; /* by `next`; where the next one goes */
    int64_t next_pts;                    /* of the next frame whose pts is counted */
    avi_moment last_end;                 /* of the last frame that was accepted: its pts, and one */
    avi_packet_list early;               /* finished before the last frame of the predecessor: not to be taken yet */

    avenc_channel *predecessor; /* counted; until it has finished its frames */
    avenc_channel *successor;   /* likewise: one that is finished itself may be waited for */
    avenc_channel *next;        /* stream->channels */

    avi_task create_task, make_task, send_task, change_task, end_task;

    avenc_channel *reported_next; /* the reporting thread only */
    bool reported;                /* likewise, and the next one: in the device's list of this batch */
    bool heard;                   /* somebody is to hear of it */
};

/* Of a call: its other arguments must be `given` too, and the channel not be a parent process's. */
static inline int avi_channel_check(const avenc_channel *channel, bool given, const char *call) {
    if (!channel || !given)
        return avi_fail(AVENC_E_INVALID, call, "no argument may be NULL");
    return channel->generation == avi_generation() ? AVENC_OK : avi_fail_forked(call);
}

/* The same; AVENC_OK: the lock is the caller's. */
static inline int avi_channel_lock(avenc_channel *channel, bool given, const char *call) {
    int rc = avi_channel_check(channel, given, call);
    if (rc == AVENC_OK)
        avi_lock(&channel->stream->lock);
    return rc;
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

/* A slot, HELD or LEASED, is held (1), or not any more (-1). */
static inline void avi_hold_locked(avenc_channel *channel, int by) {
    channel->held += (unsigned)by;
    channel->stream->stats.held += (uint32_t)by;
}

/* A slot that the engine had is done: free, or its holder's. */
void avi_channel_free_slot_locked(avenc_channel *channel, avi_slot *slot);

/* The slot's frame is finished, and its packet says how: it is counted, and to be taken when its turn has come. */
void avi_channel_finish_locked(avenc_channel *channel, avi_packet *packet);

/* Slots REFUSED before `until` in flight (NULL: all) cannot be read any more. */
void avi_channel_release_refused_locked(avenc_channel *channel, const avi_slot *until);

/*
 * A change of settings that is pending, from avenc_channel_change on: frames that are accepted then wait in the queue
 * behind it. When those in front are out of the device its task takes the right to send, makes it, and gives the right
 * back; frames behind that were stamped before they could be known to have another time base are stamped anew. Only one
 * is pending at a time; cancelled, or made, it is over.
 */
enum { AVI_CHANGE_WANTED, AVI_CHANGE_RUNNING, AVI_CHANGE_OVER };
struct avenc_change {
    avenc_channel *channel; /* counted */
    unsigned references;    /* the stream's lock: this and the rest. The handle's, and the channel's until it is over */
    int state;
    bool given_up; /* nobody waits for it any more */
    bool told;     /* somebody knows what came of it */
    avenc_channel_config settings;
    uint32_t epoch;
    uint64_t first_index;  /* of the frames behind it */
    avi_moment last_end;   /* of the frames in front of it, as avenc_channel.last_end */
    avenc_failure failure; /* code: what came of it */
};

/* The first of the queue is behind a change that is pending. */
static inline bool avi_channel_held_back_locked(const avenc_channel *channel) {
    return channel->change && channel->queued_head->packet->pub.frame_index >= channel->change->first_index;
}

/* There are queued frames, and the device may take one. */
static inline bool avi_channel_can_send_locked(const avenc_channel *channel) {
    return channel->queued_head && channel->window < channel->most_in_device && !channel->sending &&
           !channel->crowded && !avi_channel_held_back_locked(channel);
}

/* There may be room for a queued frame: let the task send it. */
static inline void avi_channel_send_queued_locked(avenc_channel *channel) {
    if (avi_channel_can_send_locked(channel))
        avi_channel_post(channel, &channel->send_task);
}

/* To be asked whenever the frames in front of a pending change may be out of the device: its task has the right to send. */
void avi_channel_check_change_locked(avenc_channel *channel);

/* Give the right to send back. */
void avi_channel_leave_sending_locked(avenc_channel *channel);

/* "; X has not returned for 1.2 s" of a call that sends a frame, or makes a change, on any of the stream's channels; "". */
enum { AVI_STUCK_TEXT = 128 };
void avi_channel_say_stuck_locked(const avi_stream *stream, char text[AVI_STUCK_TEXT]);

/* It has ended, or could not be made: out of the stream's list. */
void avi_channel_unlink_locked(avenc_channel *channel);

/*
 * End the hardware channel, whose code it returns, and free every slot that nobody holds. The device is bound; nothing
 * else touches these any more.
 */
int avi_channel_free_parts(avenc_channel *channel);

/* Nothing of the vendor's is left of it: what outlives it is memory. No lock is held. */
void avi_channel_settle(avenc_channel *channel);

/* Bodies of the tasks. end_run ends the hardware channel, never on a lost device, and frees slots that come back after that. */
bool avi_channel_make_run(void *channel);
bool avi_channel_end_run(void *channel);

/* What a lost device means to a call. */
int avi_fail_lost(const avenc_channel *channel, const char *call);

/* ---- change.c ---- */

int avi_check_time_base(const avenc_channel_config *config, const char *call);

static inline bool avi_same_time_base(const avenc_channel_config *a, const avenc_channel_config *b) {
    return a->time_num == b->time_num && a->time_den == b->time_den;
}

/* A pending change that has not begun comes to nothing; one that the vendor has sees what became of its channel. */
void avi_change_cancel_locked(avenc_channel *channel, int code, const char *why);

/* The body of change_task. */
bool avi_change_run(void *channel);

#endif
