// SPDX-License-Identifier: Apache-2.0
/*
 * Frames in flight: those of one channel, in the order in which they were handed to the device, and the numbers under
 * which it reports them.
 *
 * A report carries a number, never an address: index of the channel in its device's table, index of the slot, and a
 * sequence that is never the same for two sends. So a report that comes twice, late, or for a channel that is gone
 * finds nothing, and one of a frame that the device had refused is not taken for the slot's next frame.
 */
#ifndef ASCEND_VENC_ENGINE_FLIGHT_H
#define ASCEND_VENC_ENGINE_FLIGHT_H

#include "engine/slot.h"

typedef struct avi_flight {
    avi_slot *head, **end; /* by `later`; REFUSED ones among them. Where the next one goes */
} avi_flight;

static const uint64_t AVI_REFUSED_MARK = 1u << 31; /* in a slot's number, never in the device's */

static inline uint32_t avi_number_channel(uint64_t number) {
    return (uint32_t)(number >> 48);
}

static inline uint32_t avi_number_slot(uint64_t number) {
    return (uint32_t)(number >> 32) & 0xffff;
}

/* The slot is about to be handed over; *sequence is the device's. Its number. */
static inline uint64_t avi_flight_enter(avi_flight *flight, avi_slot *slot, uint32_t channel_index,
                                        atomic_uint *sequence) {
    uint32_t next = atomic_fetch_add(sequence, 1) & 0x7fffffff;
    uint64_t number = (uint64_t)channel_index << 48 | (uint64_t)slot->index << 32 | next; /* channels count from 1 */
    slot->later = NULL;
    *flight->end = slot;
    flight->end = &slot->later;
    atomic_store(&slot->number, number);
    return number;
}

enum { AVI_REPORT_UNKNOWN, AVI_REPORT_DUE, AVI_REPORT_OF_REFUSED };

/* Whose report this is; the first wins. No lock is needed, and the slot stays in flight until it is taken out. */
static inline int avi_flight_claim(avi_slot *slot, uint64_t number) {
    uint_fast64_t expected = number;
    if (atomic_compare_exchange_strong(&slot->number, &expected, 0))
        return AVI_REPORT_DUE;
    expected = number | AVI_REFUSED_MARK;
    return atomic_compare_exchange_strong(&slot->number, &expected, 0) ? AVI_REPORT_OF_REFUSED : AVI_REPORT_UNKNOWN;
}

/* The device refused it. False: it was reported all the same, and the report counts. */
static inline bool avi_flight_refuse(avi_slot *slot, uint64_t number) {
    uint_fast64_t expected = number;
    return atomic_compare_exchange_strong(&slot->number, &expected, number | AVI_REFUSED_MARK);
}

static inline void avi_flight_leave(avi_flight *flight, avi_slot *slot) {
    avi_slot **link = &flight->head;
    while (*link != slot)
        link = &(*link)->later;
    *link = slot->later;
    if (!*link)
        flight->end = link;
    slot->later = NULL;
    atomic_store(&slot->number, 0);
}

#endif
