// SPDX-License-Identifier: Apache-2.0
/* The device library of the C peers: one table of functions, loaded from a path as the engine does it. */
#ifndef BENCH_DEVICE_H
#define BENCH_DEVICE_H

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define ACL_NO_PROTOTYPES
#define HI_NO_PROTOTYPES
#include "ascendcl.h"
#include "himpi.h"

typedef struct device_api {
#define FIELD(library, presence, ret, name, params) ret(*name) params;
#define HIMPI_FIELD(presence, ret, name, params)    ret(*name) params;
    ACL_FUNCTIONS(FIELD)
    HIMPI_FUNCTIONS(HIMPI_FIELD)
#undef FIELD
#undef HIMPI_FIELD
} device_api;

/* 0, or -1 with a line on stderr. An empty path: what the process has loaded, as a module finds it that is linked. */
static inline int device_load(const char *path, device_api *api) {
    void *handle = dlopen(path[0] != '\0' ? path : NULL, RTLD_NOW | RTLD_LOCAL), *symbol;
    if (handle == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return -1;
    }
#define HIMPI_LOAD(presence, ret, name, params)                                                                        \
    symbol = dlsym(handle, #name);                                                                                     \
    memcpy(&api->name, &symbol, sizeof symbol);
#define LOAD(library, presence, ret, name, params) HIMPI_LOAD(presence, ret, name, params)
    ACL_FUNCTIONS(LOAD)
    HIMPI_FUNCTIONS(HIMPI_LOAD)
#undef LOAD
#undef HIMPI_LOAD
    if (api->aclInit == NULL || api->aclvencSendFrame == NULL) {
        fprintf(stderr, "%s is no AscendCL library\n", path);
        return -1;
    }
    return 0;
}

static inline uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#endif /* BENCH_DEVICE_H */
