// SPDX-License-Identifier: Apache-2.0
/*
 * Slots: picture buffers of a channel. Descriptor and memory are made once and freed when the channel has ended and
 * nobody holds the slot any more. Slots know the port and the device, never the channel. The stream's lock guards
 * what is not said to be otherwise.
 */
#ifndef ASCEND_VENC_ENGINE_SLOT_H
#define ASCEND_VENC_ENGINE_SLOT_H

#include <stdatomic.h>
#include <stdbool.h>

#include "engine/pool.h"
#include "ports/port.h"

/*
 * UNMADE -> FREE -> FILLING -> SENT -> FREE is the plain way. HELD: a caller fills it (avenc_frame); from there it goes
 * back to FREE, or on. QUEUED: waits to be sent. REFUSED: the device refused it and may read it all the same. LEASED:
 * done, but its frame handle is left. Each but FREE and UNMADE belongs to whoever brought it there.
 */
enum {
    AVI_SLOT_UNMADE,
    AVI_SLOT_FREE,
    AVI_SLOT_FILLING,
    AVI_SLOT_HELD,
    AVI_SLOT_QUEUED,
    AVI_SLOT_SENT,
    AVI_SLOT_REFUSED,
    AVI_SLOT_LEASED,
};

/* Where a slot's pixels are before it is sent. */
enum {
    AVI_IN_MEMORY,  /* where the device reads them */
    AVI_IN_STAGING, /* in pinned host memory: one DMA away */
    AVI_IN_CALLER,  /* in the caller's host memory, `source` */
    AVI_IN_PLACE,   /* in the caller's device memory, which the descriptor names */
};

typedef struct avi_copies {
    uint32_t host, device; /* as avenc_channel_stats counts them */
    uint64_t bytes;
} avi_copies;

/* A handle of a caller's, avenc_frame *, is its address. */
typedef struct avenc_frame {
    avenc_channel *channel; /* whose it is, for who holds a frame handle */
    uint32_t index;
    int state;
    void *picture;               /* the port's */
    void *memory;                /* device memory, of avi_slots.picture_size bytes */
    void *staging;               /* pinned host memory, where the host cannot write `memory`; NULL until needed */
    avi_packet *packet;          /* reserved when the slot is taken, so that a report never has to find one */
    struct avenc_frame *next;    /* free list or queue */
    struct avenc_frame *later;   /* flight: sent after this one */
    atomic_uint_fast64_t number; /* flight.h: under which the device has it; 0: not, or reported */
    bool handle;                 /* a caller has one */
    int pixels;                  /* AVI_IN_* */
    bool foreign;                /* the descriptor names the caller's device memory at the moment */
    bool force_idr;
    bool counted_pts; /* its pts was counted, not given */
    avenc_picture source;
    avi_copies copies; /* of this frame, not counted yet */
} avi_slot;

typedef struct avi_slots {
    avenc_device *device;
    const avi_port *port;
    const avenc_channel_config *config;
    uint32_t stride;         /* bytes of a row in device memory: width rounded up to 16 */
    size_t picture_size;     /* bytes of a picture there */
    bool host_writes_memory; /* on a board; else staging is one DMA away */
    avi_slot *all;
    uint32_t capacity;
    uint32_t begun; /* of `all`, from the first on; the others were never touched */
    uint32_t made;  /* whole ones */
    avi_slot *free; /* last in, first out: its memory is the warmest */
} avi_slots;

/* Of a device that is open. `all` is to be freed when every slot is unmade. */
int avi_slots_create(avi_slots *slots, avenc_device *device, const avenc_channel_config *config, uint32_t capacity,
                     avenc_channel *channel);

/* Allocate what a slot lacks. The device is bound; no lock is held: the slot is the caller's. May block for ever. */
int avi_slot_make(avi_slots *slots, avi_slot *slot, bool staging);

/* Free what it has. Likewise. */
void avi_slot_unmake(avi_slots *slots, avi_slot *slot);

/* A free slot, with staging if it is asked for, off the free list; or NULL. */
avi_slot *avi_slots_pop(avi_slots *slots, bool staging);

static inline void avi_slots_push(avi_slots *slots, avi_slot *slot) {
    slot->state = AVI_SLOT_FREE;
    slot->next = slots->free;
    slots->free = slot;
}

/* ---- pixels: the device is bound, no lock is held, the slot is the caller's; what was copied is noted in it ---- */

/* Whether a picture of the caller's takes staging memory: else each plane is one DMA, or the host writes device memory. */
static inline bool avi_slot_wants_staging(const avi_slots *slots, const avenc_picture *picture) {
    return !slots->host_writes_memory && (picture->y_stride != slots->stride || picture->uv_stride != slots->stride ||
                                          slots->config->width != slots->stride);
}

/* Lay the source out in memory that the host can write. Calls nothing of the vendor's; staging is there. */
void avi_slot_stage(avi_slots *slots, avi_slot *slot);

/* Get the pixels where the device reads them: the slot's own memory, which the descriptor names then. Allocates nothing. */
int avi_slot_prepare(avi_slots *slots, avi_slot *slot);

/* The descriptor names the caller's picture in device memory; copied on the device where it cannot be read there. */
int avi_slot_place(avi_slots *slots, avi_slot *slot, const avenc_device_picture *picture);

#endif
