// SPDX-License-Identifier: Apache-2.0
/* What the C sources share. All are linked with the simulated device, so that a probe that is preloaded goes before it. */
#ifndef BENCH_DEVICE_H
#define BENCH_DEVICE_H

#include <time.h>

#include "ascendcl.h"
#include "himpi.h"

static inline uint64_t clock_ns(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t now_ns(void) {
    return clock_ns(CLOCK_MONOTONIC);
}

#endif /* BENCH_DEVICE_H */
