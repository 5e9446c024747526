// SPDX-License-Identifier: Apache-2.0
/*
 * Tables of handles, one for each kind. A handle is a number that looks like an address:
 *
 *     bits 44..46  101         bits 24..39  generation of the place, low 16 bits
 *     bits 40..43  kind        bits  4..23  place in the table        others 0
 *
 * Places are reused oldest first, so a stale handle stays recognisable for 65536 reuses of its place. With the option
 * reuse_handles the last one is reused first, in the same generation.
 */
#include "descriptors.h"
#include "stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 64, MAX_CHUNKS = 1 << 14 };
#define NO_INDEX UINT32_MAX

typedef struct table {
    pthread_mutex_t lock;
    size_t object_size;
    uint32_t used;                  /* places ever taken, lock */
    uint32_t first_free, last_free; /* lock */
    _Atomic(char *) chunks[MAX_CHUNKS];
} table;

static table tables[SIM_KINDS] = {
#define TABLE(kind, type)                                                                                              \
    [kind] = {                                                                                                         \
        .lock = PTHREAD_MUTEX_INITIALIZER, .object_size = sizeof(type), .first_free = NO_INDEX, .last_free = NO_INDEX}
    TABLE(SIM_CONTEXT, sim_context),
    TABLE(SIM_STREAM, sim_stream),
    TABLE(SIM_EVENT, sim_event),
    TABLE(SIM_PIC_DESC, sim_pic_desc),
    TABLE(SIM_BATCH_DESC, char[128]), /* asserted in descriptors.c */
    TABLE(SIM_STREAM_DESC, sim_stream_desc),
    TABLE(SIM_FRAME_CONFIG, sim_frame_config),
    TABLE(SIM_CHANNEL_DESC, sim_channel_desc),
#undef TABLE
};

static const char *const kind_names[SIM_LIVE_KINDS] = {
    [SIM_CONTEXT] = "context",
    [SIM_STREAM] = "stream",
    [SIM_EVENT] = "event",
    [SIM_PIC_DESC] = "picture descriptor",
    [SIM_BATCH_DESC] = "batch of picture descriptors",
    [SIM_STREAM_DESC] = "stream descriptor",
    [SIM_FRAME_CONFIG] = "frame config",
    [SIM_CHANNEL_DESC] = "channel descriptor",
    [SIM_CHANNEL] = "channel",
    [SIM_DEVICE_MEMORY] = "device memory",
    [SIM_HOST_MEMORY] = "host memory",
    [SIM_SUBSCRIPTION] = "subscription",
    [SIM_THREAD] = "thread",
    [SIM_MPI_CHANNEL] = "V2 channel",
    [SIM_MPI_EPOLL] = "V2 epoll",
};

static _Atomic int64_t live[SIM_LIVE_KINDS];

void sim_live_add(sim_kind kind, int delta) {
    atomic_fetch_add_explicit(&live[kind], delta, memory_order_relaxed);
}

int64_t sim_live(sim_kind kind) {
    return atomic_load(&live[kind]);
}

void sim_live_reset(void) {
    for (int kind = 0; kind < SIM_LIVE_KINDS; kind++)
        atomic_store(&live[kind], 0);
}

const char *sim_kind_name(sim_kind kind) {
    return (unsigned)kind < SIM_LIVE_KINDS ? kind_names[kind] : NULL;
}

static sim_object *place(table *t, uint32_t index) {
    if (index / CHUNK >= MAX_CHUNKS)
        return NULL;
    char *chunk = atomic_load_explicit(&t->chunks[index / CHUNK], memory_order_acquire);
    return chunk == NULL ? NULL : (sim_object *)(void *)(chunk + (index % CHUNK) * t->object_size);
}

static bool reuses_handles(void) {
    return atomic_load_explicit(&sim_option.reuse_handles, memory_order_relaxed) != 0;
}

static sim_object *take_place(table *t) {
    if (t->first_free != NO_INDEX) {
        sim_object *object = place(t, t->first_free);
        t->first_free = object->next_free;
        if (t->first_free == NO_INDEX)
            t->last_free = NO_INDEX;
        return object;
    }
    uint32_t index = t->used;
    if (index / CHUNK >= MAX_CHUNKS)
        return NULL;
    if (index % CHUNK == 0 && place(t, index) == NULL) {
        char *chunk = calloc(CHUNK, t->object_size);
        if (chunk == NULL)
            return NULL;
        atomic_store_explicit(&t->chunks[index / CHUNK], chunk, memory_order_release);
    }
    t->used++;
    sim_object *object = place(t, index);
    object->index = index;
    return object;
}

static void free_place(table *t, sim_object *object) {
    bool first = reuses_handles();
    object->next_free = first ? t->first_free : NO_INDEX;
    if (t->first_free == NO_INDEX) {
        t->first_free = t->last_free = object->index;
    } else if (first) {
        t->first_free = object->index;
    } else {
        place(t, t->last_free)->next_free = object->index;
        t->last_free = object->index;
    }
}

void *sim_handle_new(sim_kind kind, const char *function, void *caller, bool uncounted) {
    table *t = &tables[kind];
    pthread_mutex_lock(&t->lock);
    sim_object *object = take_place(t);
    if (object != NULL) {
        memset((char *)object + sizeof *object, 0, t->object_size - sizeof *object);
        object->uncounted = uncounted;
        object->ended_by = NULL;
        sim_origin_set(&object->origin, function, caller);
        unsigned tag = atomic_load_explicit(&object->tag, memory_order_relaxed);
        atomic_store_explicit(&object->tag, reuses_handles() && tag != 0 ? tag - 1 : tag + 1, memory_order_release);
    }
    pthread_mutex_unlock(&t->lock);
    if (object != NULL && !uncounted)
        sim_live_add(kind, 1);
    return object;
}

void *sim_handle_of(sim_kind kind, const void *pointer) {
    const sim_object *object = pointer;
    uintptr_t generation = atomic_load_explicit(&object->tag, memory_order_relaxed) >> 1 & 0xffff;
    return (void *)((uintptr_t)5 << 44 | (uintptr_t)kind << 40 | generation << 24 | (uintptr_t)object->index << 4);
}

/* The object at the place that the handle names, alive or not; *matches: it is the same generation. */
static sim_object *decode(sim_kind kind, const void *handle, bool *alive, bool *matches) {
    uintptr_t value = (uintptr_t)handle;
    if (value >> 40 != ((uintptr_t)5 << 4 | (uintptr_t)kind) || (value & 15) != 0)
        return NULL;
    sim_object *object = place(&tables[kind], value >> 4 & 0xfffff);
    if (object == NULL)
        return NULL;
    unsigned tag = atomic_load_explicit(&object->tag, memory_order_acquire);
    *alive = tag & 1;
    /* A dead place holds the generation after that of its last object. */
    *matches = ((*alive ? tag >> 1 : (tag >> 1) - 1) & 0xffff) == (value >> 24 & 0xffff);
    return object;
}

void *sim_handle_get(sim_kind kind, const void *handle) {
    bool alive, matches;
    sim_object *object = decode(kind, handle, &alive, &matches);
    return object != NULL && alive && matches ? object : NULL;
}

bool sim_handle_end(sim_kind kind, const void *handle, const char *function) {
    table *t = &tables[kind];
    bool alive, matches, ended = false;
    pthread_mutex_lock(&t->lock);
    sim_object *object = decode(kind, handle, &alive, &matches);
    if (object != NULL && alive && matches) {
        ended = true;
        object->ended_by = function;
        atomic_fetch_add_explicit(&object->tag, 1, memory_order_release);
        free_place(t, object);
    }
    bool counted = ended && !object->uncounted;
    pthread_mutex_unlock(&t->lock);
    if (counted)
        sim_live_add(kind, -1);
    return ended;
}

void sim_handle_each(sim_kind kind, void (*visit)(void *object, void *arg), void *arg) {
    table *t = &tables[kind];
    pthread_mutex_lock(&t->lock);
    uint32_t used = t->used;
    pthread_mutex_unlock(&t->lock);
    for (uint32_t i = 0; i < used; i++) {
        sim_object *object = place(t, i);
        if (atomic_load_explicit(&object->tag, memory_order_acquire) & 1)
            visit(object, arg);
    }
}

static void end_object(void *object, void *kind) {
    sim_handle_end(*(sim_kind *)kind, sim_handle_of(*(sim_kind *)kind, object), "aclsim_reset");
}

void sim_handle_reset(void) {
    for (sim_kind kind = 0; kind < SIM_KINDS; kind++)
        sim_handle_each(kind, end_object, &kind);
}

/* The child of fork(): a lock may be held by a thread that does not exist there. */
void sim_handle_after_fork(void) {
    for (int kind = 0; kind < SIM_KINDS; kind++)
        pthread_mutex_init(&tables[kind].lock, NULL);
}

void sim_report_stale(sim_kind kind, const void *handle, const char *function) {
    if (handle == NULL)
        return;
    bool alive, matches;
    sim_object *object = decode(kind, handle, &alive, &matches);
    if (object != NULL && !alive && matches) {
        sim_report_at("stale-handle", function, "use a handle only until it is destroyed",
                      "%s %p was destroyed by %s before; it was %s", kind_names[kind], handle,
                      object->ended_by ? object->ended_by : "?", sim_origin_format(&object->origin).text);
        return;
    }
    for (sim_kind other = 0; other < SIM_KINDS; other++) {
        if (other != kind && sim_handle_get(other, handle) != NULL) {
            sim_report_at("wrong-handle", function, "pass a handle of the right kind", "%p is a %s, not a %s", handle,
                          kind_names[other], kind_names[kind]);
            return;
        }
    }
    sim_report_at("stale-handle", function, "pass a handle that the library has returned",
                  "%p is no %s, or one destroyed long ago", handle, kind_names[kind]);
}

const char *aclsim_live_name(size_t index) {
    return index < SIM_LIVE_KINDS ? kind_names[index] : NULL;
}

int64_t aclsim_live(const char *kind) {
    for (int i = 0; i < SIM_LIVE_KINDS; i++)
        if (kind != NULL && strcmp(kind, kind_names[i]) == 0)
            return sim_live(i);
    return -1;
}
