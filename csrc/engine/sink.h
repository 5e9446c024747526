// SPDX-License-Identifier: Apache-2.0
/*
 * Access units written to a file descriptor by native threads. One writer thread has all pipes and sockets in one poll
 * set and never sleeps in a write; a file or a terminal, where a write may, is a task of the queue. So no sink delays
 * another one. With a coalescing delay the writer collects, also for files: one wake-up for all sinks.
 */
#ifndef ASCEND_VENC_ENGINE_SINK_H
#define ASCEND_VENC_ENGINE_SINK_H

#include "engine/stream.h"

/* Packets are ready, or (urgent) somebody waits for them to be written, or the stream is closed: no coalescing. */
void avi_sink_wake_locked(avi_stream *stream, bool urgent);

/* Access units wait to be written, or are being written. */
bool avi_sink_unfinished_locked(const avi_stream *stream);

#endif
