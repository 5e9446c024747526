// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "engine/sink.h"
#include "base/status.h"
#include "base/thread.h"
#include "engine/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- files: a task each ------------------------------------------------------------------------- */

static bool file_run(void *arg) {
    avi_sink *sink = arg;
    int outcome = avi_writing_step(sink);
    if (outcome == AVI_BLOCKED) { /* the program made its descriptor non-blocking */
        struct pollfd writable = {.fd = sink->fd, .events = POLLOUT};
        poll(&writable, 1, 100);
    }
    if (outcome == AVI_OVER) { /* here: of a file on a network it takes as long as it takes */
        close(sink->fd);
        sink->fd = -1;
        /* It is no stream's, and wanted no more. */
        if (sink->coalesce_us)
            avi_writer_delist(sink);
        avi_sink_drop(sink); /* not the last: the queue's is dropped when it is idle */
    }
    return outcome == AVI_MORE || outcome == AVI_BLOCKED;
}

static void file_idle(void *arg) {
    avi_sink_drop(arg);
}

/* ---- for the stream ------------------------------------------------------------------------------ */

void avi_sink_wake_locked(avi_stream *stream, bool urgent) {
    avi_sink *sink = stream->sink;
    if (sink && !sink->over)
        avi_writer_want(sink, urgent || stream->closed ? 0 : sink->coalesce_us);
}

bool avi_sink_unfinished_locked(const avi_stream *stream) {
    return stream->sink && !stream->sink_error && (stream->writing || avi_writable_locked(stream));
}

void avenc_channel_abandon_sink(avenc_channel *channel) {
    if (!channel || channel->generation != avi_generation())
        return;
    avi_stream *stream = channel->stream;
    avi_lock(&stream->lock);
    avi_sink *sink = stream->sink;
    if (sink) {
        if (avi_sink_unfinished_locked(stream))
            stream->sink_error = ETIMEDOUT;
        sink->stop = true;
        avi_writer_want(sink, 0);
        avi_stream_signal_locked(stream, true);
    }
    avi_unlock(&stream->lock);
}

static int kind_of(int fd) {
    struct stat status;
    if (fstat(fd, &status) != 0)
        return AVI_FILE_SINK; /* the first write says what is wrong */
    return S_ISSOCK(status.st_mode) ? AVI_SOCKET_SINK : S_ISFIFO(status.st_mode) ? AVI_PIPE_SINK : AVI_FILE_SINK;
}

static int create_sink(avi_stream *stream, int fd, uint32_t coalesce_us, avi_sink **out) {
    int rc = AVENC_OK;
    avi_sink *sink = calloc(1, sizeof *sink);
    int duplicate = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (!sink || duplicate < 0) {
        rc = sink ? avi_fail(AVENC_E_SINK, "fcntl", "file descriptor %d cannot be duplicated: errno %d", fd, errno)
                  : avi_fail(AVENC_E_NOMEM, NULL, "out of memory");
        if (duplicate >= 0)
            close(duplicate);
        free(sink);
        return rc;
    }
    avi_live_add(AVENC_LIVE_SINK, 1);
    avi_stream_retain(stream);
    sink->stream = stream;
    sink->fd = duplicate;
    sink->kind = kind_of(duplicate);
    sink->coalesce_us = coalesce_us;
    sink->nowait = true;
    avi_task_init(&sink->task, file_run, file_idle, sink);
    sink->task.blocks = true;
    atomic_store(&sink->references, 1);
    if (sink->kind != AVI_FILE_SINK || coalesce_us)
        rc = avi_writer_enlist();
    if (rc == AVENC_OK)
        *out = sink;
    else
        avi_sink_drop(sink);
    return rc;
}

int avenc_channel_set_sink(avenc_channel *channel, int fd, uint32_t coalesce_us, const avenc_wait *wait) {
    if (!channel)
        return avi_fail(AVENC_E_INVALID, __func__, "channel must not be NULL");
    if (channel->generation != avi_generation())
        return avi_fail_forked(__func__);
    avi_stream *stream = channel->stream;
    if (stream->drop_oldest)
        return avi_fail(AVENC_E_INVALID, __func__, "a sink cannot be had where the oldest packets may be dropped");
    avi_sink *sink = NULL;
    avi_waiter waiter = avi_waiter_begin(wait, __func__);
    int rc = fd < 0 ? AVENC_OK : create_sink(stream, fd, coalesce_us, &sink);
    if (rc != AVENC_OK)
        return rc;
    avi_lock(&stream->lock);
    while (stream->sink && rc == AVENC_OK) {
        stream->sink->stop = true; /* its write may be under way: its packets come back, and go to the new one */
        avi_writer_want(stream->sink, 0);
        if ((rc = avi_stream_sleep_locked(stream, &waiter, false)) == AVENC_E_TIMEOUT)
            rc = avi_fail(AVENC_E_TIMEOUT, __func__,
                          "the sink is not replaced: its write has not returned %s; %u packets wait",
                          avi_waiter_bound(&waiter).text, avi_stream_ready_locked(stream));
    }
    if (rc == AVENC_OK) {
        stream->sink = sink;
        stream->has_sink = sink != NULL;
        stream->sink_error = 0;
        if (stream->closed || avi_writable_locked(stream))
            avi_sink_wake_locked(stream, true); /* for what is ready already; else a late look would coalesce nothing */
        avi_stream_signal_locked(stream, true);
    } else {
        if (stream->sink && !stream->sink_error) { /* its write does not return: it goes on when that does */
            stream->sink->stop = false;
            avi_writer_want(stream->sink, 0);
        }
        if (sink) {
            sink->stop = true;
            avi_writer_want(sink, 0);
        }
    }
    avi_unlock(&stream->lock);
    return rc;
}
