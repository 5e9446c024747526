// SPDX-License-Identifier: Apache-2.0
/*
 * Settings that change while a channel lives. A change is pending from avenc_channel_change on: frames that are accepted
 * then wait in the queue behind it. When those in front are out of the device its task takes the right to send, makes it,
 * and gives the right back; frames behind that were stamped before they could be known to have another time base are
 * stamped anew. Only one is pending at a time; cancelled, or made, it is over.
 */
#ifndef ASCEND_VENC_ENGINE_CHANGE_H
#define ASCEND_VENC_ENGINE_CHANGE_H

#include "engine/channel.h"

static inline bool avi_same_time_base(const avenc_channel_config *a, const avenc_channel_config *b) {
    return a->time_num == b->time_num && a->time_den == b->time_den;
}

/* Time goes on where the last frame ended, in units of another base: rounded up, never back; at most what 64 bits hold. */
int64_t avi_rebased(const avi_moment *end, const avenc_channel_config *to);

/* A pending change that has not begun comes to nothing; one that the vendor has sees what became of its channel. */
void avi_change_cancel_locked(avenc_channel *channel, int code, const char *why);

/* The body of change_task. */
bool avi_change_run(void *channel);

#endif
