// SPDX-License-Identifier: Apache-2.0
/*
 * The table of live handles: open addressing on the address. Destroyed objects wait in a ring before their
 * memory is given back, so that a stale handle is found to be stale instead of naming a newer object.
 */
#include "sim.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

typedef struct entry {
    void *handle; /* NULL: never used; TOMBSTONE: removed */
    int kind;
    bool owned;
} entry;

#define TOMBSTONE ((void *)1)
enum { FIRST_CAPACITY = 1024, QUARANTINE = 1024 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static entry *table;
static size_t capacity, used; /* used counts tombstones too */
static void *quarantine[QUARANTINE];
static size_t quarantine_next;
static atomic_llong live[ACLSIM_KIND_COUNT];

static const char *const names[ACLSIM_KIND_COUNT] = {
#define NAME(name, index) [ACLSIM_##name] = #name,
    ACLSIM_LIVE_KINDS(NAME)
#undef NAME
};

static size_t slot_of(const void *handle, size_t size) {
    return (size_t)(((uintptr_t)handle >> 4) * 0x9E3779B97F4A7C15ull >> 32) & (size - 1);
}

static entry *find_locked(const void *handle) {
    if (!table || !handle || handle == TOMBSTONE)
        return NULL;
    for (size_t i = slot_of(handle, capacity);; i = (i + 1) & (capacity - 1)) {
        if (table[i].handle == handle)
            return &table[i];
        if (!table[i].handle)
            return NULL;
    }
}

static void insert_locked(entry *into, size_t size, entry item) {
    size_t i = slot_of(item.handle, size);
    while (into[i].handle && into[i].handle != TOMBSTONE)
        i = (i + 1) & (size - 1);
    into[i] = item;
}

static bool grow_locked(void) {
    if (table && used * 2 < capacity)
        return true;
    size_t alive = 0;
    for (size_t i = 0; i < capacity; i++)
        alive += table[i].handle && table[i].handle != TOMBSTONE;
    size_t size = FIRST_CAPACITY;
    while (size < alive * 4)
        size *= 2;
    entry *fresh = calloc(size, sizeof *fresh);
    if (!fresh)
        return false;
    for (size_t i = 0; i < capacity; i++)
        if (table[i].handle && table[i].handle != TOMBSTONE)
            insert_locked(fresh, size, table[i]);
    free(table);
    table = fresh;
    capacity = size;
    used = alive;
    return true;
}

void *sim_object_create(int kind, size_t size, bool owned) {
    sim_prepare();
    void *handle = calloc(1, size < 16 ? 16 : size);
    if (!handle)
        return NULL;
    pthread_mutex_lock(&lock);
    bool entered = grow_locked();
    if (entered) {
        insert_locked(table, capacity, (entry){handle, kind, owned});
        used++;
    }
    pthread_mutex_unlock(&lock);
    if (!entered) {
        free(handle);
        return NULL;
    }
    if (!owned)
        sim_live_add(kind, 1);
    return handle;
}

bool sim_object_is(const void *handle, int kind) {
    pthread_mutex_lock(&lock);
    const entry *found = find_locked(handle);
    bool is = found && found->kind == kind;
    pthread_mutex_unlock(&lock);
    return is;
}

void sim_object_destroy(void *handle) {
    pthread_mutex_lock(&lock);
    entry *found = find_locked(handle);
    void *evicted = NULL;
    int counted = -1;
    if (found) {
        counted = found->owned ? -1 : found->kind;
        found->handle = TOMBSTONE;
        evicted = quarantine[quarantine_next];
        quarantine[quarantine_next] = handle;
        quarantine_next = (quarantine_next + 1) % QUARANTINE;
    }
    pthread_mutex_unlock(&lock);
    free(evicted);
    if (counted >= 0)
        sim_live_add(counted, -1);
}

void sim_live_add(int kind, int delta) {
    atomic_fetch_add_explicit(&live[kind], delta, memory_order_relaxed);
}

int64_t aclsim_live(int kind) {
    return kind < 0 || kind >= ACLSIM_KIND_COUNT ? -1 : atomic_load_explicit(&live[kind], memory_order_relaxed);
}

const char *aclsim_live_name(int kind) {
    return kind < 0 || kind >= ACLSIM_KIND_COUNT ? NULL : names[kind];
}

/* The parent's objects stay where they are, unreachable: their memory may be in use by threads' stacks. */
void sim_object_after_fork(void) {
    pthread_mutex_init(&lock, NULL);
    table = NULL;
    capacity = used = 0;
    memset(quarantine, 0, sizeof quarantine);
    for (int kind = 0; kind < ACLSIM_KIND_COUNT; kind++)
        atomic_store(&live[kind], 0);
}
