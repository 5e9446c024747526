// SPDX-License-Identifier: Apache-2.0
/* The wait object: every thread that waits for a channel, for many of them, or for an end, waits on one of these. */
#ifndef ASCEND_VENC_ENGINE_WAITSET_H
#define ASCEND_VENC_ENGINE_WAITSET_H

#include <stdbool.h>

#include "avenc.h"
#include "base/times.h"

/* One of the engine's own, which is not counted among the live objects. NULL where memory is exhausted. */
avenc_waitset *avi_waitset_create(void);

void avi_waitset_retain(avenc_waitset *waitset);
void avi_waitset_drop(avenc_waitset *waitset);

/* Room for `key`, so that signalling it never allocates. */
int avi_waitset_reserve(avenc_waitset *waitset, uint32_t key);

/*
 * List a key, and wake all but those who sleep patiently; everybody but those who collect for their coalescing delay;
 * or everybody. A lock may be held; does not block.
 */
enum { AVI_NOBODY, AVI_IMPATIENT, AVI_EVERYBODY, AVI_URGENTLY };
void avi_waitset_signal(avenc_waitset *waitset, uint32_t key, int whom);

/* How many signals there have been. Read before a condition is looked at, so that no signal after that is missed. */
uint32_t avi_waitset_signals(avenc_waitset *waitset);

/* ---- one call's look at its avenc_wait ---- */

typedef struct avi_waiter {
    const avenc_wait *wait; /* NULL: does not wait */
    const char *call;       /* whose wait it is */
    uint64_t look_at;
    uint32_t at_least; /* 0, or the packets that it waits for: fewer do not wake it */
    bool stalled;      /* it was the stall's time that was over */
} avi_waiter;

uint64_t avi_look_at(const avenc_wait *wait);

static inline avi_waiter avi_waiter_begin(const avenc_wait *wait, const char *call) {
    bool looks = wait && wait->look_ns != AVENC_FOR_EVER;
    return (avi_waiter){.wait = wait, .call = call, .look_at = looks ? avi_look_at(wait) : AVENC_FOR_EVER};
}

/*
 * Whether the wait may go on: AVENC_OK, and until when at most. AVENC_E_TIMEOUT: not beyond its deadline, or its
 * stall's time since `moved_ns` (AVENC_FOR_EVER: nothing can stall), which the caller puts into words. AVENC_E_LOOK,
 * with the failure.
 */
int avi_waiter_look(avi_waiter *waiter, uint64_t moved_ns, uint64_t *until_ns);

/*
 * Sleep while there have been `seen` signals, up to that moment. Who waits for several packets sleeps patiently:
 * AVI_IMPATIENT wakes others, perhaps, and not this thread.
 */
void avi_waiter_sleep(avi_waiter *waiter, avenc_waitset *waitset, uint32_t seen, uint64_t until_ns);

/* The bound that was given, in words: "within 0.5 s". */
typedef struct avi_bound {
    char text[64];
} avi_bound;
avi_bound avi_waiter_bound(const avi_waiter *waiter);

/*
 * The one rule of coalescing: collect for coalesce_us, up to the waiter's deadline or look, or an urgent signal, if the
 * rate of events since the last time promises two or more of them; a timer that fires more often than events come would
 * cost more wake-ups than it saves. `events`: how many there have been in all.
 */
void avi_waitset_collect(avenc_waitset *waitset, uint64_t events, uint32_t coalesce_us, const avi_waiter *waiter);

#endif
