// SPDX-License-Identifier: Apache-2.0
/*
 * Writing a sink's access units, one system call's worth at a time: by the sink's task, or by the writer thread. Whoever
 * writes has the packets off the ready list; what is not written goes back to it.
 */
#ifndef ASCEND_VENC_ENGINE_WRITING_H
#define ASCEND_VENC_ENGINE_WRITING_H

#include "base/taskq.h"
#include "engine/stream.h"

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

    avi_task task;          /* of a file: this and the next one */
    atomic_uint references; /* one until it is over, one for each posting of the task, one in the writer's list */

    struct avi_sink *next; /* writer.c's lock: this and the next two. In the list of those to be looked at */
    bool listed;
    uint64_t due_ns;
} avi_sink;

enum { AVI_NOTHING, AVI_MORE, AVI_BLOCKED, AVI_OVER };

/* One call's worth of writing. AVI_BLOCKED: the reader takes none at present. AVI_OVER: the sink is to be freed. */
int avi_writing_step(avi_sink *sink);

/* The next packet to be written is there; failed frames stay for the program, which has to learn of them. */
bool avi_writable_locked(const avi_stream *stream);

void avi_sink_free(avi_sink *sink);

/* Of a file: let its task run; give a reference back. */
void avi_sink_post(avi_sink *sink);
void avi_sink_drop(avi_sink *sink);

#endif
