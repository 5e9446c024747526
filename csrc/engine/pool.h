// SPDX-License-Identifier: Apache-2.0
/* Packet buffers. A pool lives until its creator has retired it and its last packet is back. */
#ifndef ASCEND_VENC_ENGINE_POOL_H
#define ASCEND_VENC_ENGINE_POOL_H

#include "avenc.h"

typedef struct avi_pool avi_pool;

/* A packet and its buffer. The public part comes first: avenc_packet * and avi_packet * convert. */
typedef struct avi_packet {
    avenc_packet pub;
    avi_pool *pool;
    uint8_t *memory;
    uint32_t
        sei_size; /* bytes at the beginning of `memory` that go in front of the first slice: of an accepted frame */
    struct avi_packet *next; /* in whichever list holds the packet */
    uint32_t generation;
} avi_packet;

/* Packets of `capacity` bytes each; at most `keep` idle ones are kept. NULL when memory is exhausted. */
avi_pool *avi_pool_create(size_t capacity, size_t keep);
size_t avi_pool_capacity(const avi_pool *pool);
uint64_t avi_pool_allocations(avi_pool *pool);

/* The most recently released packet, or a new one; NULL when memory is exhausted. May allocate. */
avi_packet *avi_pool_acquire(avi_pool *pool);
void avi_pool_release(avi_packet *packet);

void avi_pool_retire(avi_pool *pool);

#endif
