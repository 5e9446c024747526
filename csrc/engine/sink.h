// SPDX-License-Identifier: Apache-2.0
/*
 * Access units written to a file descriptor by native threads, one system call's worth at a time. The writer, one
 * thread, has all pipes and sockets in one poll set and never sleeps in a write; a file or a terminal, where a write
 * may, is a task of the queue. So no sink delays another one. With a coalescing delay the writer collects, also for
 * files: one wake-up for all sinks. One thread then has all the files that are due; those behind one that blocks, and
 * later ones, get tasks of their own when they are due, or in a tenth of a second. What is not written goes back.
 */
#ifndef ASCEND_VENC_ENGINE_SINK_H
#define ASCEND_VENC_ENGINE_SINK_H

#include "base/taskq.h"
#include "engine/stream.h"

/* ---- for the stream ---- */

/* Packets are ready, or (urgent) somebody waits for them to be written, or the stream is closed: no coalescing. */
void avi_sink_wake_locked(avi_stream *stream, bool urgent);

/* Access units wait to be written, or are being written. */
bool avi_sink_unfinished_locked(const avi_stream *stream);

/* ---- sink.c, writing.c and writer.c ---- */

enum { AVI_FILE_SINK, AVI_PIPE_SINK, AVI_SOCKET_SINK };

typedef struct avi_sink {
    avi_stream *stream; /* counted */
    int fd;             /* our duplicate */
    int kind;
    uint32_t coalesce_us;
    bool nowait;          /* of a pipe: the kernel knows RWF_NOWAIT for it */
    bool armed;           /* the writer only, and the next one: in its poll set */
    struct avi_sink *due; /* in the list of those that are being looked at */

    bool stop;             /* stream.lock: this and the next three. It is to end, whatever is ready */
    bool over;             /* it has ended, or will when it is next looked at: not to be woken */
    avi_packet_list taken; /* off the ready list, in the hands of whoever writes */
    size_t offset;         /* that one's: bytes of the first that are written */

    avi_task task;          /* of a file */
    atomic_uint references; /* one until it is over, one for each posting of the task, one in the writer's list */

    struct avi_sink *next; /* writer.c's lock: this and the next one. In a list of those to be looked at */
    bool listed;
} avi_sink;

enum { AVI_NOTHING, AVI_MORE, AVI_BLOCKED, AVI_OVER };

/*
 * One call's worth of writing. AVI_BLOCKED: the reader takes none at present. AVI_OVER, once: the sink has ended, and
 * its own reference is to be dropped.
 */
int avi_writing_step(avi_sink *sink);

/* The next packet to be written is there; failed frames stay for the program, which has to learn of them. */
bool avi_writable_locked(const avi_stream *stream);

/* Of a file: let its task run, by avi_task_post or avi_task_run_here. */
void avi_sink_post(avi_sink *sink, bool (*post)(avi_task *));
void avi_sink_drop(avi_sink *sink);

/* One sink more is to be served by the writer; starts it if need be. Files with a coalescing delay are. */
int avi_writer_enlist(void);

/* One that was enlisted is over. Its own reference is still there. */
void avi_writer_delist(avi_sink *sink);

/*
 * Look at the sink: now, or after a coalescing delay (0: none) if it is worth it, for which the writer collects over
 * all sinks: one wake-up. A stream's lock may be held.
 */
void avi_writer_want(avi_sink *sink, uint32_t coalesce_us);

#endif
