// SPDX-License-Identifier: Apache-2.0
/* Arithmetic of times: time stamps in units of a time base, histograms of durations, rates of events. */
#ifndef ASCEND_VENC_BASE_TIMES_H
#define ASCEND_VENC_BASE_TIMES_H

#include <stdbool.h>
#include <stdint.h>

/* A time, in units of a time base. */
typedef struct avi_moment {
    int64_t units, num, den;
} avi_moment;

/* Of times that count on to the end of what 64 bits hold: they stay there. */
static inline int64_t avi_next_pts(int64_t pts) {
    return pts + (pts < INT64_MAX);
}

/*
 * Time goes on where the last frame ended, in units of another base, num/den: rounded up, never back; at most what 64
 * bits hold.
 */
int64_t avi_rebased(const avi_moment *end, int64_t num, int64_t den);

/* The bucket of a duration in a histogram of AVENC_BUCKETS: avenc_bucket_ns is the other way. */
int avi_bucket(uint64_t ns);

typedef struct avi_event_rate {
    uint64_t time, events; /* when it was last asked, and how many there had been */
} avi_event_rate;

/* Whether the rate since the last time promises two or more events within coalesce_us. `events`: so many in all. */
bool avi_worth_coalescing(avi_event_rate *rate, uint64_t events, uint32_t coalesce_us);

#endif
