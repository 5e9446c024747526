// SPDX-License-Identifier: Apache-2.0
#include "engine/flight.h"

static const uint64_t REFUSED = 1u << 31; /* in a slot's number, never in the device's */

uint64_t avi_flight_enter(avi_flight *flight, avi_slot *slot, uint32_t channel_index, atomic_uint *sequence) {
    uint32_t next = atomic_fetch_add(sequence, 1) & 0x7fffffff;
    uint64_t number = (uint64_t)channel_index << 48 | (uint64_t)slot->index << 32 | next; /* channels count from 1 */
    slot->later = NULL;
    if (flight->tail)
        flight->tail->later = slot;
    else
        flight->head = slot;
    flight->tail = slot;
    atomic_store(&slot->number, number);
    return number;
}

int avi_flight_claim(avi_slot *slot, uint64_t number) {
    uint_fast64_t expected = number;
    if (atomic_compare_exchange_strong(&slot->number, &expected, 0))
        return AVI_REPORT_DUE;
    expected = number | REFUSED;
    return atomic_compare_exchange_strong(&slot->number, &expected, 0) ? AVI_REPORT_OF_REFUSED : AVI_REPORT_UNKNOWN;
}

bool avi_flight_refuse(avi_slot *slot, uint64_t number) {
    uint_fast64_t expected = number;
    return atomic_compare_exchange_strong(&slot->number, &expected, number | REFUSED);
}

void avi_flight_leave(avi_flight *flight, avi_slot *slot) {
    avi_slot **link = &flight->head, *before = NULL;
    while (*link != slot) {
        before = *link;
        link = &before->later;
    }
    *link = slot->later;
    if (flight->tail == slot)
        flight->tail = before;
    slot->later = NULL;
    atomic_store(&slot->number, 0);
}
