// SPDX-License-Identifier: Apache-2.0
/* Time, and waiting for it. */
#include "sim.h"

#include <errno.h>
#include <time.h>

uint64_t sim_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void sim_cond_init(pthread_cond_t *cond) {
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

bool sim_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t deadline_ns) {
    struct timespec until = {.tv_sec = (time_t)(deadline_ns / 1000000000u),
                             .tv_nsec = (long)(deadline_ns % 1000000000u)};
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    int rc = pthread_cond_timedwait(cond, mutex, &until);
    pthread_setcancelstate(state, NULL);
    return rc != ETIMEDOUT;
}

void sim_take_send_time(void) {
    uint64_t us = atomic_load_explicit(&sim_option.send_time_us, memory_order_relaxed);
    if (us == 0)
        return;
    struct timespec left = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000 * 1000)};
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        continue;
    pthread_setcancelstate(state, NULL);
}
