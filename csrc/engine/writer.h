// SPDX-License-Identifier: Apache-2.0
/* The one thread that writes to all pipes and sockets: it never sleeps in a write. */
#ifndef ASCEND_VENC_ENGINE_WRITER_H
#define ASCEND_VENC_ENGINE_WRITER_H

#include "engine/writing.h"

/* One sink more is to be served; starts the thread if need be. The thread frees the sink when it is over. */
int avi_writer_enlist(void);

/* Look at the sink at that moment; 0: now. A stream's lock may be held. */
void avi_writer_want(avi_sink *sink, uint64_t due_ns);

#endif
