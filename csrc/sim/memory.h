// SPDX-License-Identifier: Apache-2.0
/* memory.h - allocations, copies, and memory that is not ours. */
#ifndef ASCEND_VENC_SIM_MEMORY_H
#define ASCEND_VENC_SIM_MEMORY_H

#include "sim.h"

/* ---- memory.c -------------------------------------------------------------------------------- */

typedef enum sim_allocator { SIM_BY_RUNTIME, SIM_BY_DVPP, SIM_BY_MPI } sim_allocator;

/* The call that issued a task on a stream, for reports. */
typedef struct sim_issuer {
    const char *function, *place;
} sim_issuer;

/* Strict mode: the last task on a stream that writes, or reads, an allocation. */
typedef struct sim_unwaited {
    uint64_t since; /* by sim_memory_waited; 0: there is none */
    const uint8_t *data;
    size_t size;
    sim_issuer issuer;
} sim_unwaited;

typedef struct sim_memory {
    uintptr_t address; /* what the program sees */
    size_t size;
    uint8_t *data; /* where the simulated device reads and writes it */
    size_t mapped;
    sim_kind kind; /* SIM_DEVICE_MEMORY or SIM_HOST_MEMORY */
    sim_allocator allocator;
    bool hidden; /* the program cannot read it: `data` is another mapping */
    bool output; /* a channel's own output buffer */
    int32_t device;
    atomic_int references;      /* the table's one, and one for each user */
    atomic_int lent;            /* open channels whose output buffer it is */
    atomic_int queued;          /* sides of tasks on streams that have not been done */
    atomic_bool readable;       /* output: its callback is running */
    sim_unwaited written, read; /* copy.c */
    sim_origin origin;
} sim_memory;

/* NULL: exhausted. `output`: a channel's own output buffer. */
sim_memory *sim_memory_create(sim_kind kind, size_t size, int32_t device, bool output, const char *function,
                              void *caller);
/* Strict mode on a board: an output buffer is readable to the program during its callback only. */
void sim_memory_show(sim_memory *memory, bool visible);
void sim_memory_destroy(sim_memory *memory); /* take it out of the table and drop the table's reference */
/* The allocation that holds the address, with a reference; NULL: not ours. */
sim_memory *sim_memory_at(const void *address);
void sim_memory_release(sim_memory *memory);
/* Take the allocation that begins at the address out of the table, with the table's reference (*taken). What else holds
 * the address, with a reference of its own; NULL: nothing. */
sim_memory *sim_memory_take(const void *address, sim_kind kind, bool *taken);
void sim_memory_usage(int32_t device, uint64_t *taken, uint64_t *total); /* bytes */

/* One of the last allocations that were freed. */
typedef struct sim_freed {
    uintptr_t address;
    size_t size;
    sim_origin origin;
} sim_freed;
bool sim_memory_find_freed(const void *address, sim_freed *found);
/* Bytes from the address to the end of its allocation. */
size_t sim_memory_rest(const sim_memory *memory, const void *address);
/* Tells whether bytes have changed. */
uint64_t sim_memory_sum(const uint8_t *data, size_t size);
/* Strict mode: what the device reads for a frame, by addresses in `data`; and how many frames in flight read from there. */
void sim_reading_begin(const uint8_t *from, size_t size);
void sim_reading_end(const uint8_t *from, size_t size);
unsigned sim_readings(const uint8_t *from, size_t size);
void sim_memory_each(void (*visit)(sim_memory *memory, void *arg), void *arg);

/* ---- allocate.c ------------------------------------------------------------------------------ */

/* To the size that a call takes for the one that it is asked for. False: there is none. */
bool sim_round_up(size_t *size);

/* 0; 100000: NULL; 107000: not an allocation of that kind. Strict mode reports the wrong function and frames in flight. */
aclError sim_free(const char *function, void *pointer, sim_kind kind, sim_allocator allocator);

/* ---- foreign.c: memory that was not allocated here ------------------------------------------- */

/* Copy from it without faulting. False: not readable. */
bool sim_read_foreign(void *to, const void *from, size_t size);
/* Whether it is there; what cannot be found out is. Writing costs a look at the list of mappings. */
bool sim_foreign_is_readable(const void *pointer, size_t size);
bool sim_foreign_is_writable(const void *pointer, size_t size);

/* ---- copy.c ---------------------------------------------------------------------------------- */

/* One side of a copy. */
typedef struct sim_side {
    uint8_t *data;
    sim_memory *memory; /* with a reference; NULL: the program's own memory */
    bool inside;        /* the bytes lie within the allocation */
} sim_side;

/* Rows of `width` bytes, each a pitch behind the one before; what is no matrix is one row. */
typedef struct sim_copy {
    void *dst;
    const void *src;
    size_t dpitch, spitch, width, height;
    aclrtMemcpyKind kind;
    sim_side to, from; /* from its check on */
    sim_issuer issuer;
} sim_copy;

/* The same of aclrtMemset. */
typedef struct sim_set {
    void *dst;
    size_t count;
    int value;
    sim_side to;
    sim_issuer issuer;
} sim_set;

/* What the arguments of aclrtMemcpy and aclrtMemcpy2d are refused for by themselves, in the documented order. */
aclError sim_copy_of_bytes(const char *function, void *dst, size_t destMax, const void *src, size_t count,
                           aclrtMemcpyKind kind, sim_copy *copy);
aclError sim_copy_of_rows(const char *function, void *dst, size_t dpitch, const void *src, size_t spitch, size_t width,
                          size_t height, aclrtMemcpyKind kind, sim_copy *copy);
/*
 * A task on a stream: checked now, done later. In between its memory stays, also when the program frees it, which strict
 * mode reports; the program's own memory may vanish, and `waited` says that there was time to.
 */
aclError sim_memory_check_copy(const char *function, sim_copy *copy);
aclError sim_memory_check_set(const char *function, sim_set *set, size_t maxCount);
void sim_memory_do_copy(sim_copy *copy, bool waited);
void sim_memory_do_set(sim_set *set, bool waited);
/*
 * Strict mode: a task is done at once here, and some time on hardware, so what must come behind it is only right behind a
 * wait. `waited`: some thread has waited for some stream or event, or is in a callback of one; which one is not looked at,
 * so that nothing right is reported. `is_unwaited`: no such wait since a task on these bytes.
 */
void sim_memory_waited(void);
bool sim_memory_is_unwaited(const sim_unwaited *task, const uint8_t *from, size_t size, sim_issuer *issuer);
void sim_memory_report_unwaited_picture(const char *function, const sim_memory *memory, const uint8_t *from,
                                        size_t size);
/* It will not be done. */
void sim_memory_forget_copy(sim_copy *copy);
void sim_memory_forget_set(sim_set *set);

#endif /* ASCEND_VENC_SIM_MEMORY_H */
