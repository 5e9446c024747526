// SPDX-License-Identifier: Apache-2.0
/* Preloaded: counts the allocations whose caller lies in the address ranges that the program names. */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

enum { MAX_RANGES = 64 };

static struct {
    uintptr_t begin, end;
} ranges[MAX_RANGES];
static atomic_int range_count;
static atomic_ulong allocations;

/* Called before the threads to be watched do anything. */
int count_from(uintptr_t begin, uintptr_t end) {
    int i = atomic_load(&range_count);
    if (i == MAX_RANGES)
        return -1;
    ranges[i].begin = begin;
    ranges[i].end = end;
    atomic_store(&range_count, i + 1);
    return 0;
}

unsigned long counted(void) {
    return atomic_load(&allocations);
}

static void count(const void *caller) {
    uintptr_t address = (uintptr_t)caller;
    for (int i = 0; i < atomic_load(&range_count); i++)
        if (address >= ranges[i].begin && address < ranges[i].end)
            atomic_fetch_add(&allocations, 1);
}

void *malloc(size_t size) {
    count(__builtin_return_address(0));
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size) {
    count(__builtin_return_address(0));
    return __libc_calloc(number, size);
}

void *realloc(void *memory, size_t size) {
    count(__builtin_return_address(0));
    return __libc_realloc(memory, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size) {
    count(__builtin_return_address(0));
    *memory = __libc_memalign(alignment, size);
    return *memory ? 0 : 12; /* ENOMEM */
}

void *aligned_alloc(size_t alignment, size_t size) {
    count(__builtin_return_address(0));
    return __libc_memalign(alignment, size);
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
    count(__builtin_return_address(0));
    return (void *)syscall(SYS_mmap, address, length, protection, flags, fd, offset); /* LP64 */
}
