// SPDX-License-Identifier: Apache-2.0
/*
 * channel.h - what the files of an encoder channel share.
 *
 *     channel_open.c  creating: checks, parts, the codec
 *     channel_free.c  freeing
 *     picture.c       the picture of a frame: where its planes are, whose memory it is
 *     pipeline.c      from an accepted frame to the end of its callback
 *     channel_list.c  the open channels: which there are, whose they are, who uses them
 *     venc.c          the functions of AscendCL that send and end
 *
 * A frame's way, by three counters of its channel: `sent` (aclvencSendFrame took it), `encoded` (the
 * device finished it), `delivered` (its callback has returned). Frame k lives in ring[k % ring_size].
 *
 *   - sent - encoded  < input_slots, else aclvencSendFrame blocks;
 *   - encoded - delivered <= output_slots: the device starts no frame that it could not put anywhere;
 *   - one report of a channel is outstanding, that of frame `delivered`; the next is posted after its
 *     callback has returned. So callbacks come in send order, one at a time.
 *
 * Encoding is done by a worker thread of the channel. With the null codec and no timing the frame is
 * finished by whoever makes it possible: the sender, or the report thread after a callback.
 *
 * A channel is freed only when its descriptor does not name it any more, nobody uses it (`users`), its
 * worker has ended and its report is neither posted nor running. Where a callback outlasts the wait for it,
 * the report thread frees the channel when that callback has returned.
 */
#ifndef ASCEND_VENC_SIM_CHANNEL_H
#define ASCEND_VENC_SIM_CHANNEL_H

#include "descriptors.h"
#include "codec.h"

typedef struct sim_frame {
    uint64_t index;
    void *picture; /* handle that was sent */
    void *user_data;
    aclvencCallback callback; /* documented: the one at send time */
    bool force_idr;

    /* the picture; all NULL for the null codec */
    const uint8_t *y, *uv;
    size_t stride;
    sim_memory *memory; /* reference; NULL: not our memory */
    uint8_t *copy;      /* of memory that is not ours */
    const void *address;
    size_t bytes;      /* read by the device from `address` */
    uint64_t sum;      /* strict mode: of these bytes at send time */
    bool watched;      /* sum is valid, and the next one */
    const char *place; /* of the call that sent it */

    int fault; /* SIM_FRAME_NONE or ACLSIM_FRAME_* */
    uint32_t fault_value;

    /* the result */
    uint32_t ret_code;
    size_t offset, held; /* in the output buffer */
    uint32_t size;       /* as the descriptor says it */
    bool idr;
} sim_frame;

struct sim_channel {
    sim_channel *next;       /* channels_lock, as the next two */
    unsigned users;          /* calls inside */
    sim_channel_desc *owner; /* NULL: orphan */
    sim_origin origin;

    /* constant */
    int32_t device;
    void *context; /* handle of the one it was created in */
    uint32_t id;
    uint32_t width, height, gop;
    acldvppStreamFormat en_type;
    acldvppPixelFormat pic_format;
    sim_reporter *reporter;
    sim_codec *codec; /* NULL: null codec. Used by the worker */
    uint8_t *canned[2];
    size_t canned_size[2]; /* of a P and of an IDR */
    bool marked;           /* option watermark */
    uint64_t input_slots, output_slots;
    sim_frame *ring;
    size_t ring_size;
    sim_memory *output; /* reference; NULL: the program's own buffer outside of our memory */
    uint8_t *out_data;
    uintptr_t out_address;
    size_t out_size;
    bool own_output;           /* the library's buffer */
    bool borrowed_output;      /* ... that belongs to the descriptor */
    sim_stream_desc *out_desc; /* one for all frames; NULL on the 310 generation: one for each */
    void *out_handle;

    atomic_int senders; /* threads that send a picture */

    pthread_mutex_t lock; /* everything below */
    pthread_cond_t progress, work;
    uint64_t sent, encoded, delivered;
    uint64_t since_idr;
    bool any_idr;
    bool encoding; /* the worker is at frame `encoded` */
    bool placing;  /* ... which is encoded, and waits for a place in the output buffer */
    bool reported; /* the report of frame `delivered` is posted or running */
    bool in_callback;
    bool closing; /* no more frames are taken */
    bool stop;    /* the channel ends: its worker is to leave, and whoever waits inside a call */
    bool has_worker;
    bool busy_destroying;
    bool abandoned; /* stopped, and freed by the callback that still runs */
    pthread_t worker;
    sim_report report;
    uint64_t device_free_ns; /* when the modelled chip is done with its last frame */
    uint64_t progress_ns, idle_since_ns;
    aclsim_channel_stats stats;
};

/* ---- picture.c --------------------------------------------------------------------------------- */

/* Take hold of the picture's memory. A picture that cannot be read makes a failed frame, not a failed call. */
aclError sim_picture_take(const sim_channel *ch, const sim_pic_desc *desc, sim_frame *f, const char *function);

/* The device is done with the picture. `arrived`: as it should be, with a callback to come. */
void sim_picture_release(sim_frame *f, bool arrived);

/* ---- pipeline.c --------------------------------------------------------------------------------- */

/* There may be something to do. */
void sim_channel_kick_locked(sim_channel *ch);
/* 0, or an errno. */
int sim_channel_start_worker(sim_channel *ch);
/* What a report thread does with the channel's report. */
void sim_channel_run_report(sim_report *report);

/* ---- channel_open.c ------------------------------------------------------------------------------- */

/* The descriptor of a call: 0, 500000 or 100000 with a text. */
aclError sim_channel_find_desc(const char *function, const aclvencChannelDesc *handle, sim_channel_desc **out);

/* ---- channel_free.c ------------------------------------------------------------------------------- */

/* Whether the channel's end leaves the address of a freed output buffer in its descriptor. */
bool sim_channel_frees_output(const sim_channel *ch);
/* A channel that is not listed, and that nothing is in any more. */
void sim_channel_free(sim_channel *ch);
/* The same with all that is in it. It is stopped, and its report neither posted nor running. */
void sim_channel_end_stopped(sim_channel *ch);

/* ---- channel_list.c ------------------------------------------------------------------------------------------ */

/* Give it the lowest id that is free, below the limit, and list it. False: there is none. */
bool sim_channel_list(sim_channel *ch, uint64_t limit);
void sim_channel_unlist(sim_channel *ch);
/* Whether a channel may be created on the descriptor, and what is wrong with it. */
typedef enum sim_claim {
    SIM_DESC_FREE,
    SIM_DESC_HAS_FREED_OUTPUT, /* it may, see sim_channel_desc */
    SIM_DESC_IN_USE,           /* it has an open channel, or another thread is creating one */
} sim_claim;
sim_claim sim_channel_claim_desc(sim_channel_desc *desc);
/* The claimed descriptor's channel; NULL: there will be none, it may be tried again. `freed_output`: on the way to that. */
void sim_channel_bind_desc(sim_channel_desc *desc, sim_channel *ch, bool freed_output);
/* The open channel of a descriptor, in use until sim_channel_leave. NULL: none. */
sim_channel *sim_channel_enter(sim_channel_desc *desc);
/* A channel of the device with frames whose callback has not returned, in use too. NULL: none. */
sim_channel *sim_channel_enter_busy(int32_t device);
void sim_channel_leave(sim_channel *ch);
/* Take it off the list and its descriptor. False: it is not that descriptor's any more. */
bool sim_channel_detach(sim_channel *ch, sim_channel_desc *desc);
/* The same with any one that there is, which is in use then. NULL: none is left. */
sim_channel *sim_channel_detach_any(void);
/* Until nobody else uses it. */
void sim_channel_wait_alone(sim_channel *ch);

#endif /* ASCEND_VENC_SIM_CHANNEL_H */
