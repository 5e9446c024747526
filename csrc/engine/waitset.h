// SPDX-License-Identifier: Apache-2.0
/* The wait object: every thread that waits for a channel, for many of them, or for an end, waits on one of these. */
#ifndef ASCEND_VENC_ENGINE_WAITSET_H
#define ASCEND_VENC_ENGINE_WAITSET_H

#include <stdbool.h>

#include "avenc.h"

/* One of the engine's own, which is not counted among the live objects. NULL where memory is exhausted. */
avenc_waitset *avi_waitset_create(void);

void avi_waitset_retain(avenc_waitset *waitset);
void avi_waitset_drop(avenc_waitset *waitset);

/* Room for `key`, so that signalling it never allocates. */
int avi_waitset_reserve(avenc_waitset *waitset, uint32_t key);

/* List a key. Not urgent: who collects for its coalescing delay sleeps on. A lock may be held; does not block. */
void avi_waitset_signal(avenc_waitset *waitset, uint32_t key, bool urgent);

/* The same, not urgent, for all but those who sleep patiently. */
void avi_waitset_signal_impatient(avenc_waitset *waitset, uint32_t key);

/* How many signals there have been. Read before a condition is looked at, so that no signal after that is missed. */
uint32_t avi_waitset_signals(avenc_waitset *waitset);

/*
 * Sleep while there have been `seen` signals, up to the deadline. True: a signal of the process interrupted it. Patiently:
 * avi_waitset_signal_impatient wakes others, perhaps, and not this thread.
 */
bool avi_waitset_sleep(avenc_waitset *waitset, uint32_t seen, uint64_t deadline_ns, bool patiently);

/*
 * The one rule of coalescing: collect for coalesce_us, up to the deadline or an urgent signal, if the rate of events
 * since the last time promises two or more of them; a timer that fires more often than events come would cost more
 * wake-ups than it saves. `events`: how many there have been in all.
 */
void avi_waitset_collect(avenc_waitset *waitset, uint64_t events, uint32_t coalesce_us, uint64_t deadline_ns);

typedef struct avi_event_rate {
    uint64_t time, events; /* when it was last asked, and how many there had been */
} avi_event_rate;

bool avi_worth_coalescing(avi_event_rate *rate, uint64_t events, uint32_t coalesce_us);

#endif
