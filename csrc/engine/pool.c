// SPDX-License-Identifier: Apache-2.0
/*
 * Packet buffers.
 *
 * Each buffer is address space for the largest access unit that the channel can deliver; the kernel
 * backs it page by page as it is written, so a small access unit costs its own size. Released buffers
 * are reused last in, first out: the warmest pages first. The pool allocates only in acquire, which
 * the submitting thread calls, never in a report.
 */
#define _GNU_SOURCE
#include "engine/pool.h"
#include "base/status.h"
#include "base/thread.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

avi_pool *avi_pool_create(size_t capacity, size_t keep) {
    avi_pool *pool = calloc(1, sizeof *pool);
    if (!pool)
        return NULL;
    pthread_mutex_init(&pool->lock, NULL);
    pool->capacity = capacity;
    pool->keep = keep;
    avi_live_add(AVENC_LIVE_POOL, 1);
    return pool;
}

static avi_packet *packet_create(avi_pool *pool) {
    avi_packet *packet = calloc(1, sizeof *packet);
    if (!packet)
        return NULL;
    void *memory =
        mmap(NULL, pool->capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        free(packet);
        return NULL;
    }
    /* A huge page would back a 2 KB access unit with 2 MB. */
    madvise(memory, pool->capacity, MADV_NOHUGEPAGE);
    packet->memory = memory;
    packet->pool = pool;
    packet->generation = avi_generation();
    return packet;
}

static void packet_destroy(avi_packet *packet, size_t capacity) {
    munmap(packet->memory, capacity);
    free(packet);
}

avi_packet *avi_pool_acquire(avi_pool *pool) {
    avi_lock(&pool->lock);
    avi_packet *packet = pool->idle;
    if (packet) {
        pool->idle = packet->next;
        pool->idle_count--;
    } else if ((packet = packet_create(pool))) {
        atomic_fetch_add(&pool->allocations, 1);
    }
    if (packet)
        pool->outside++;
    avi_unlock(&pool->lock);
    if (packet) {
        memset(&packet->pub, 0, sizeof packet->pub);
        packet->next = NULL;
        avi_live_add(AVENC_LIVE_PACKET, 1);
    }
    return packet;
}

/* Called without the lock, once retired and empty: nobody else can reach the pool. */
static void pool_destroy(avi_pool *pool) {
    while (pool->idle) {
        avi_packet *packet = pool->idle;
        pool->idle = packet->next;
        packet_destroy(packet, pool->capacity);
    }
    pthread_mutex_destroy(&pool->lock);
    free(pool);
    avi_live_add(AVENC_LIVE_POOL, -1);
}

void avi_pool_release(avi_packet *packet) {
    avi_pool *pool = packet->pool;
    size_t capacity = pool->capacity;
    avi_lock(&pool->lock);
    bool keep = !pool->retired && pool->idle_count < pool->keep;
    if (keep) {
        packet->next = pool->idle;
        pool->idle = packet;
        pool->idle_count++;
    }
    pool->outside--;
    bool last = pool->retired && pool->outside == 0;
    avi_unlock(&pool->lock);
    avi_live_add(AVENC_LIVE_PACKET, -1);
    if (!keep)
        packet_destroy(packet, capacity);
    if (last)
        pool_destroy(pool);
}

void avi_pool_retire(avi_pool *pool) {
    avi_lock(&pool->lock);
    pool->retired = true;
    bool last = pool->outside == 0;
    avi_unlock(&pool->lock);
    if (last)
        pool_destroy(pool);
}

void avenc_packet_release(avenc_packet *packet) {
    avi_packet *own = (avi_packet *)packet;
    /* In a forked child the pool's mutex may be held for ever by a thread that does not exist. */
    if (own && own->generation == avi_generation())
        avi_pool_release(own);
}
