// SPDX-License-Identifier: Apache-2.0
#include "base/times.h"
#include "avenc.h"
#include "base/thread.h"

int64_t avi_rebased(const avi_moment *end, int64_t num, int64_t den) {
    __extension__ typedef __int128 wide;
    wide numerator = (wide)end->units * end->num * den, denominator = (wide)end->den * num;
    wide units = numerator / denominator;
    units += units * denominator < numerator;
    return units > INT64_MAX ? INT64_MAX : units < INT64_MIN ? INT64_MIN : (int64_t)units;
}

/* Four buckets for each doubling of microseconds. */
int avi_bucket(uint64_t ns) {
    uint64_t us = ns / 1000;
    if (us < 4)
        return (int)us;
    int octave = 63 - __builtin_clzll(us);
    int found = 4 * (octave - 1) + (int)(us >> (octave - 2) & 3);
    return found < AVENC_BUCKETS ? found : AVENC_BUCKETS - 1;
}

uint64_t avenc_bucket_ns(int index) {
    if (index < 0 || index >= AVENC_BUCKETS)
        return 0;
    if (index < 4)
        return (uint64_t)(index + 1) * 1000;
    int octave = index / 4 + 1;
    return ((uint64_t)(4 + index % 4 + 1) << (octave - 2)) * 1000;
}

bool avi_worth_coalescing(avi_event_rate *rate, uint64_t events, uint32_t coalesce_us) {
    uint64_t now = avi_now_ns(), passed = now - rate->time, happened = events - rate->events;
    bool known = rate->time != 0 && passed > 0;
    *rate = (avi_event_rate){now, events};
    return known && happened * coalesce_us * 1000ull >= 2 * passed;
}
