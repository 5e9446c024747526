// SPDX-License-Identifier: Apache-2.0
/*
 * Device memory and pinned host memory.
 *
 * Every allocation is a mapping of its own, and a freed one stays reserved for a while, so that a
 * second free or a late access meets an address that nobody else has been given. In strict mode and
 * host run mode the program's address of device memory is mapped without access, as behind PCIe; the
 * simulated device uses another mapping, `data`.
 */
#include "memory.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { QUARANTINE = 128 };

/* A freed allocation whose addresses are still reserved. */
typedef struct freed_range {
    uintptr_t address;
    size_t mapped, size;
    sim_kind kind;
    const char *freed_by;
    sim_origin origin;
} freed_range;

static pthread_rwlock_t table_lock = PTHREAD_RWLOCK_INITIALIZER; /* everything below */
static sim_memory **table;                                       /* sorted by address */
static size_t used, capacity;
static uint64_t device_bytes[SIM_MAX_DEVICES];
static freed_range quarantine[QUARANTINE];
static size_t next_freed;

/* ---- table --------------------------------------------------------------------------------------- */

/* Number of allocations that begin at or below the address. */
static size_t position(uintptr_t address) {
    size_t low = 0, high = used;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (table[middle]->address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static sim_memory *find_locked(const void *pointer) {
    uintptr_t address = (uintptr_t)pointer;
    size_t index = position(address);
    if (index == 0)
        return NULL;
    sim_memory *memory = table[index - 1];
    return address - memory->address < memory->size ? memory : NULL;
}

sim_memory *sim_memory_at(const void *address) {
    pthread_rwlock_rdlock(&table_lock);
    sim_memory *memory = find_locked(address);
    if (memory != NULL)
        atomic_fetch_add_explicit(&memory->references, 1, memory_order_relaxed);
    pthread_rwlock_unlock(&table_lock);
    return memory;
}

size_t sim_memory_rest(const sim_memory *memory, const void *address) {
    return memory->size - ((uintptr_t)address - memory->address);
}

void sim_memory_each(void (*visit)(sim_memory *memory, void *arg), void *arg) {
    pthread_rwlock_rdlock(&table_lock);
    for (size_t i = 0; i < used; i++)
        visit(table[i], arg);
    pthread_rwlock_unlock(&table_lock);
}

static uint64_t device_total(void) {
    uint64_t limit = atomic_load(&sim_option.memory_limit);
    const sim_profile *profile = sim_profile_get();
    return limit != 0 ? limit : profile != NULL ? profile->memory : 0;
}

static bool insert(sim_memory *memory) {
    bool inserted = false;
    pthread_rwlock_wrlock(&table_lock);
    if (used == capacity) {
        size_t larger = capacity == 0 ? 64 : capacity * 2;
        sim_memory **grown = realloc(table, larger * sizeof(sim_memory *));
        if (grown != NULL) {
            table = grown;
            capacity = larger;
        }
    }
    bool fits = memory->kind != SIM_DEVICE_MEMORY ||
                (memory->size <= device_total() && device_bytes[memory->device] <= device_total() - memory->size);
    if (used < capacity && fits) {
        size_t index = position(memory->address);
        memmove(&table[index + 1], &table[index], (used - index) * sizeof(sim_memory *));
        table[index] = memory;
        used++;
        if (memory->kind == SIM_DEVICE_MEMORY)
            device_bytes[memory->device] += memory->size;
        inserted = true;
    }
    pthread_rwlock_unlock(&table_lock);
    return inserted;
}

static void remove_locked(sim_memory *memory) {
    size_t index = position(memory->address) - 1;
    memmove(&table[index], &table[index + 1], (used - index - 1) * sizeof(sim_memory *));
    used--;
    if (memory->kind == SIM_DEVICE_MEMORY)
        device_bytes[memory->device] -= memory->size;
}

static void reserve_freed_locked(const sim_memory *memory, const char *freed_by) {
    freed_range *slot = &quarantine[next_freed++ % QUARANTINE];
    if (slot->mapped != 0)
        munmap((void *)slot->address, slot->mapped);
    *slot = (freed_range){memory->address, memory->mapped, memory->size, memory->kind, freed_by, memory->origin};
}

uint64_t sim_memory_sum(const uint8_t *data, size_t size) {
    uint64_t sum = 0x9e3779b97f4a7c15u ^ size, word;
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        memcpy(&word, data + i, 8);
        sum = (sum ^ word) * 0x9fb21c651e98df25u;
        sum ^= sum >> 32;
    }
    for (; i < size; i++)
        sum = (sum ^ data[i]) * 0x9fb21c651e98df25u;
    return sum;
}

/* ---- what frames in flight read: strict mode ---------------------------------------------------------- */

typedef struct reading {
    const uint8_t *from;
    size_t size;
} reading;

static pthread_mutex_t readings_lock = PTHREAD_MUTEX_INITIALIZER; /* a leaf; the next three */
static reading *readings;                                         /* in no order */
static size_t reading_count, reading_room;

void sim_reading_begin(const uint8_t *from, size_t size) {
    pthread_mutex_lock(&readings_lock);
    if (reading_count == reading_room) {
        reading *grown = realloc(readings, (reading_room + 64) * sizeof *grown);
        if (grown != NULL) {
            readings = grown;
            reading_room += 64;
        }
    }
    if (reading_count < reading_room) /* else misuse of this picture is reported at its end only */
        readings[reading_count++] = (reading){from, size};
    pthread_mutex_unlock(&readings_lock);
}

void sim_reading_end(const uint8_t *from, size_t size) {
    pthread_mutex_lock(&readings_lock);
    for (size_t i = 0; i < reading_count; i++)
        if (readings[i].from == from && readings[i].size == size) {
            readings[i] = readings[--reading_count];
            break;
        }
    pthread_mutex_unlock(&readings_lock);
}

unsigned sim_readings(const uint8_t *from, size_t size) {
    unsigned found = 0;
    pthread_mutex_lock(&readings_lock);
    for (size_t i = 0; i < reading_count; i++)
        found += from < readings[i].from + readings[i].size && readings[i].from < from + size;
    pthread_mutex_unlock(&readings_lock);
    return found;
}

/* ---- stray accesses ---------------------------------------------------------------------------- */

/*
 * The program touched an address that is mapped without access: say what it was, then let the fault
 * happen again under whatever handled it before us. Runs in a signal handler of a program that is
 * about to end: no lock is waited for, nothing is allocated.
 */
static struct sigaction former_action;

static void explain_fault(int signal, siginfo_t *info, void *unused) {
    (void)unused;
    char text[700];
    int length = 0;
    bool sent = info->si_code <= 0; /* by kill or raise: it touched nothing, and does not come again by itself */
    if (!sent && pthread_rwlock_tryrdlock(&table_lock) == 0) {
        const sim_memory *memory = find_locked(info->si_addr);
        /* Beyond PCIe it is not late inside the callback: there it is no memory of the host's. */
        bool late = memory != NULL && memory->output && !(sim_host_mode() && atomic_load(&memory->readable));
        if (memory != NULL && memory->hidden)
            length = snprintf(text, sizeof text,
                              "ascend simulated device, strict mode: [%s] the program touched %p, %zu bytes into %s of "
                              "%zu bytes made by "
                              "%s (object %llu) | fix: %s\n",
                              late ? "late-output" : "device-memory-touched", info->si_addr,
                              (size_t)((uintptr_t)info->si_addr - memory->address),
                              memory->output ? "a channel's output buffer" : "device memory", memory->size,
                              memory->origin.function, (unsigned long long)memory->origin.number,
                              late ? "copy the access unit out inside the callback, and do not write there"
                                   : "the host reaches device memory by aclrtMemcpy only");
        for (size_t i = 0; i < QUARANTINE && memory == NULL; i++)
            if ((uintptr_t)info->si_addr - quarantine[i].address < quarantine[i].mapped)
                length = snprintf(
                    text, sizeof text,
                    "ascend simulated device, strict mode: [freed-memory-touched] the program touched %p, in "
                    "memory made by %s (object %llu) and freed | fix: use memory only until it is freed\n",
                    info->si_addr, quarantine[i].origin.function, (unsigned long long)quarantine[i].origin.number);
        pthread_rwlock_unlock(&table_lock);
    }
    if (length > 0) {
        ssize_t ignored = write(STDERR_FILENO, text, (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
        (void)ignored;
    }
    sigaction(signal, &former_action, NULL);
    if (sent)
        raise(signal);
}

static void watch_faults(void) {
    struct sigaction action = {.sa_sigaction = explain_fault, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, &former_action);
}

/* ---- mapping ------------------------------------------------------------------------------------- */

typedef enum visibility {
    VISIBLE,
    HIDDEN,          /* never accessible to the program */
    HIDDEN_AT_TIMES, /* sim_memory_show and sim_memory_hide */
} visibility;

static bool map_hidden(sim_memory *memory, bool shared) {
    static pthread_once_t watched = PTHREAD_ONCE_INIT;
    pthread_once(&watched, watch_faults);
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, file = -1;
    if (shared) {
        /* not memfd_create(): the oldest C libraries that we run on have no such function */
        file = (int)syscall(SYS_memfd_create, "ascend-simulated-device", 1u /* MFD_CLOEXEC */);
        if (file < 0 || ftruncate(file, (off_t)memory->mapped) != 0) {
            if (file >= 0)
                close(file);
            return false;
        }
        flags = MAP_SHARED;
    }
    void *data = mmap(NULL, memory->mapped, PROT_READ | PROT_WRITE, flags, file, 0);
    void *address = mmap(NULL, memory->mapped, PROT_NONE, flags, file, 0);
    if (file >= 0)
        close(file);
    if (data != MAP_FAILED && address != MAP_FAILED) {
        memory->data = data;
        memory->address = (uintptr_t)address;
        return true;
    }
    if (data != MAP_FAILED)
        munmap(data, memory->mapped);
    if (address != MAP_FAILED)
        munmap(address, memory->mapped);
    return false;
}

static sim_memory *map(size_t size, visibility visible) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (size > SIZE_MAX / 2)
        return NULL;
    sim_memory *memory = calloc(1, sizeof *memory);
    if (memory == NULL)
        return NULL;
    memory->size = size;
    memory->mapped = (size + page - 1) / page * page;
    memory->hidden = visible != VISIBLE;
    if (memory->hidden) {
        if (map_hidden(memory, visible == HIDDEN_AT_TIMES))
            return memory;
    } else {
        void *data =
            mmap(NULL, memory->mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        memory->data = data;
        memory->address = (uintptr_t)data;
        if (data != MAP_FAILED)
            return memory;
    }
    free(memory);
    return NULL;
}

void sim_memory_show(sim_memory *memory, bool visible) {
    if (memory->hidden && !sim_host_mode())
        mprotect((void *)memory->address, memory->mapped, visible ? PROT_READ : PROT_NONE);
}

sim_memory *sim_memory_create(sim_kind kind, size_t size, int32_t device, bool output, const char *function,
                              void *caller) {
    visibility visible = VISIBLE;
    if (kind == SIM_DEVICE_MEMORY && sim_is_strict() && (output || sim_host_mode()))
        visible = sim_host_mode() ? HIDDEN : HIDDEN_AT_TIMES;
    sim_memory *memory = map(size, visible);
    if (memory == NULL)
        return NULL;
    memory->kind = kind;
    memory->output = output;
    memory->device = device;
    atomic_init(&memory->references, 1);
    sim_origin_set(&memory->origin, function, caller);
    if (!insert(memory)) {
        munmap(memory->data, memory->mapped);
        if (memory->hidden)
            munmap((void *)memory->address, memory->mapped);
        free(memory);
        return NULL;
    }
    return memory;
}

/* The last reference is gone: nobody reads it any more. Its addresses stay reserved without access. */
static void unmap(sim_memory *memory) {
    if (memory->hidden)
        munmap(memory->data, memory->mapped);
    if (mmap((void *)memory->address, memory->mapped, PROT_NONE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
        madvise((void *)memory->address, memory->mapped, MADV_DONTNEED);
    pthread_rwlock_wrlock(&table_lock);
    reserve_freed_locked(memory, "free");
    pthread_rwlock_unlock(&table_lock);
    free(memory);
}

void sim_memory_release(sim_memory *memory) {
    if (memory != NULL && atomic_fetch_sub_explicit(&memory->references, 1, memory_order_acq_rel) == 1)
        unmap(memory);
}

void sim_memory_destroy(sim_memory *memory) {
    pthread_rwlock_wrlock(&table_lock);
    remove_locked(memory);
    pthread_rwlock_unlock(&table_lock);
    sim_memory_release(memory);
}

bool sim_memory_find_freed(const void *address, sim_freed *found) {
    pthread_rwlock_rdlock(&table_lock);
    bool known = false;
    for (size_t i = 0; i < QUARANTINE && !known; i++) {
        known = (uintptr_t)address - quarantine[i].address < quarantine[i].mapped;
        if (known)
            *found = (sim_freed){quarantine[i].address, quarantine[i].size, quarantine[i].origin};
    }
    pthread_rwlock_unlock(&table_lock);
    return known;
}

sim_memory *sim_memory_take(const void *address, sim_kind kind, bool *taken) {
    pthread_rwlock_wrlock(&table_lock);
    sim_memory *memory = find_locked(address);
    *taken = memory != NULL && memory->address == (uintptr_t)address && memory->kind == kind && !memory->output;
    if (*taken)
        remove_locked(memory);
    else if (memory != NULL)
        atomic_fetch_add(&memory->references, 1);
    pthread_rwlock_unlock(&table_lock);
    return memory;
}

void sim_memory_usage(int32_t device, uint64_t *taken, uint64_t *total) {
    pthread_rwlock_rdlock(&table_lock);
    *taken = device_bytes[device];
    pthread_rwlock_unlock(&table_lock);
    *total = device_total();
}

void sim_memory_reset(void) {
    for (;;) {
        pthread_rwlock_wrlock(&table_lock);
        sim_memory *memory = used != 0 ? table[used - 1] : NULL;
        if (memory != NULL)
            remove_locked(memory);
        pthread_rwlock_unlock(&table_lock);
        if (memory == NULL)
            return;
        if (!memory->output)
            sim_live_add(memory->kind, -1);
        sim_memory_release(memory);
    }
}

/* In the child of fork() the parent's allocations are forgotten, not freed. */
void sim_memory_after_fork(void) {
    pthread_rwlock_init(&table_lock, NULL);
    pthread_mutex_init(&readings_lock, NULL);
    used = reading_count = 0;
    memset(device_bytes, 0, sizeof device_bytes);
}
