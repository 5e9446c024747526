// SPDX-License-Identifier: Apache-2.0
/* Packet buffers. A pool lives until its creator has retired it and its last packet is back. */
#ifndef ASCEND_VENC_ENGINE_POOL_H
#define ASCEND_VENC_ENGINE_POOL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "avenc.h"

struct avi_packet;

typedef struct avi_pool {
    size_t capacity; /* bytes of each buffer */
    size_t keep;
    atomic_uint_fast64_t allocations;
    pthread_mutex_t lock; /* of what follows */
    struct avi_packet *idle;
    size_t idle_count;
    size_t outside; /* packets acquired and not released */
    bool retired;
} avi_pool;

/* A packet and its buffer. The public part comes first: avenc_packet * and avi_packet * convert. */
typedef struct avi_packet {
    avenc_packet pub;
    avi_pool *pool;
    uint8_t *memory;
    uint32_t sei_size; /* of an accepted frame: bytes at the beginning of `memory`, to go in front of its first slice */
    struct avi_packet *next; /* in whichever list holds the packet */
    uint32_t generation;
} avi_packet;

/* Packets of `capacity` bytes each; at most `keep` idle ones are kept. NULL when memory is exhausted. */
avi_pool *avi_pool_create(size_t capacity, size_t keep);

/* The most recently released packet, or a new one; NULL when memory is exhausted. May allocate. */
avi_packet *avi_pool_acquire(avi_pool *pool);
void avi_pool_release(avi_packet *packet);

void avi_pool_retire(avi_pool *pool);

#endif
