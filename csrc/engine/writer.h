// SPDX-License-Identifier: Apache-2.0
/*
 * The one thread that writes to all pipes and sockets: it never sleeps in a write. It is also who collects for the sinks
 * with a coalescing delay, files among them, whose tasks it posts then: one wake-up for all of them.
 */
#ifndef ASCEND_VENC_ENGINE_WRITER_H
#define ASCEND_VENC_ENGINE_WRITER_H

#include "engine/writing.h"

/* One sink more is to be served; starts the thread if need be, which frees a pipe or socket when that is over. */
int avi_writer_enlist(void);

/* A file that was enlisted is over. Its own reference is still there. */
void avi_writer_delist(avi_sink *sink);

/* Look at the sink: now, or after a coalescing delay (0: none) if it is worth it. A stream's lock may be held. */
void avi_writer_want(avi_sink *sink, uint32_t coalesce_us);

#endif
