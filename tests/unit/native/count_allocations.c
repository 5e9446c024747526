// SPDX-License-Identifier: Apache-2.0
/*
 * Preloaded: counts the calls of malloc, calloc, realloc and mmap whose caller lies in libavenc.so.
 * allocation_count() gives the number so far.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

static atomic_ulong count;
static atomic_uintptr_t begin, end; /* of libavenc's text */

unsigned long allocation_count(void) {
    return atomic_load(&count);
}

/* Says which addresses count: two of libavenc's text. */
void allocation_watch(void *first, void *last) {
    atomic_store(&begin, (size_t)first);
    atomic_store(&end, (size_t)last);
}

static void note(void *caller) {
    size_t address = (size_t)caller;
    if (address >= atomic_load(&begin) && address < atomic_load(&end))
        atomic_fetch_add(&count, 1);
}

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);

void *malloc(size_t size) {
    note(__builtin_return_address(0));
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size) {
    note(__builtin_return_address(0));
    return __libc_calloc(number, size);
}

void *realloc(void *memory, size_t size) {
    note(__builtin_return_address(0));
    return __libc_realloc(memory, size);
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
    static void *(*real)(void *, size_t, int, int, int, off_t);
    if (!real)
        real = (void *(*)(void *, size_t, int, int, int, off_t))dlsym(RTLD_NEXT, "mmap");
    note(__builtin_return_address(0));
    return real(address, length, protection, flags, fd, offset);
}
