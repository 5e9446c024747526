// SPDX-License-Identifier: Apache-2.0
/* Memory that was not allocated here: whether it is there at all, without touching it. */
#include "memory.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PROBES = 256 };

/* The kernel does not let us look: a filter of system calls, or none such. */
static bool may_not_look(void) {
    return errno != EFAULT && errno != ENOMEM && errno != EINVAL;
}

bool sim_read_foreign(void *to, const void *from, size_t size) {
    struct iovec local = {to, size}, remote = {(void *)from, size};
    ssize_t done = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
    if (done < 0 && may_not_look()) {
        memcpy(to, from, size);
        return true;
    }
    return done >= 0 && (size_t)done == size;
}

/* By the kernel's list of mappings, which is slow. */
static bool is_mapped(uintptr_t from, size_t size, char permission) {
    FILE *maps = fopen("/proc/self/maps", "re");
    if (maps == NULL)
        return true; /* nobody can tell */
    uintptr_t reached = from, end = from + size;
    char line[512], flags[5];
    unsigned long low, high;
    while (reached < end && fgets(line, sizeof line, maps) != NULL) {
        if (sscanf(line, "%lx-%lx %4s", &low, &high, flags) != 3 || high <= reached)
            continue;
        if (low > reached || strchr(flags, permission) == NULL)
            break;
        reached = high;
    }
    fclose(maps);
    return reached >= end;
}

bool sim_foreign_is_readable(const void *pointer, size_t size) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)pointer, end;
    if (__builtin_add_overflow(at, size, &end))
        return false;
    while (at < end) {
        struct iovec remote[PROBES];
        unsigned count = 0;
        for (; at < end && count < PROBES; at = (at / page + 1) * page)
            remote[count++] = (struct iovec){(void *)at, 1};
        char bytes[PROBES];
        struct iovec local = {bytes, count};
        ssize_t done = process_vm_readv(getpid(), &local, 1, remote, count, 0);
        if (done < 0 && may_not_look())
            return is_mapped((uintptr_t)pointer, size, 'r');
        if (done != (ssize_t)count)
            return false;
    }
    return true;
}

bool sim_foreign_is_writable(const void *pointer, size_t size) {
    uintptr_t end;
    return !__builtin_add_overflow((uintptr_t)pointer, size, &end) && is_mapped((uintptr_t)pointer, size, 'w');
}
