// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "engine/sink.h"
#include "base/status.h"
#include "base/thread.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { BATCH = 32 }; /* access units written by one call */

/* Bytes written, or -1 with errno; EAGAIN where the reader takes none at present. */
static ssize_t write_some(avi_sink *sink, struct iovec *parts, int count) {
    if (sink->kind == AVI_FILE_SINK)
        return writev(sink->fd, parts, count);
    if (sink->kind == AVI_SOCKET_SINK) {
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t)count};
        return sendmsg(sink->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    if (sink->nowait) {
        ssize_t written = pwritev2(sink->fd, parts, count, -1, RWF_NOWAIT);
        if (written >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL))
            return written;
        sink->nowait = false;
    }
    /* A pipe that can be written takes at least PIPE_BUF bytes without waiting. */
    struct pollfd writable = {.fd = sink->fd, .events = POLLOUT};
    if (poll(&writable, 1, 0) == 0) {
        errno = EAGAIN;
        return -1;
    }
    size_t size = parts[0].iov_len < PIPE_BUF ? parts[0].iov_len : PIPE_BUF;
    return write(sink->fd, parts[0].iov_base, size);
}

bool avi_writable_locked(const avi_stream *stream) {
    const avi_packet *packet = stream->ready.head;
    while (packet && packet->pub.status != 0)
        packet = packet->next;
    return packet != NULL;
}

static void refill_locked(avi_sink *sink) {
    avi_stream *stream = sink->stream;
    avi_packet_list left = {0};
    while (sink->taken.count < BATCH && stream->ready.head) {
        avi_packet *packet = avi_packet_pop(&stream->ready);
        avi_packet_append(packet->pub.status ? &left : &sink->taken, packet);
    }
    for (avi_packet *packet; (packet = avi_packet_pop(&left));)
        avi_stream_put_locked(stream, packet);
    stream->writing = sink->taken.count;
}

static void retire_locked(avi_sink *sink, size_t written) {
    avi_stream *stream = sink->stream;
    sink->offset += written;
    while (sink->taken.head && sink->offset >= sink->taken.head->pub.size) {
        avi_packet *packet = avi_packet_pop(&sink->taken);
        sink->offset -= packet->pub.size;
        stream->stats.written++;
        avi_stream_discard_locked(stream, packet);
    }
    stream->writing = sink->taken.count;
    stream->progressed_ns = avi_now_ns();
}

/* What is not written is the program's. */
static void give_up_locked(avi_sink *sink) {
    avi_stream *stream = sink->stream;
    for (avi_packet *packet; (packet = avi_packet_pop(&sink->taken));)
        avi_stream_put_locked(stream, packet);
    if (stream->sink == sink) {
        stream->sink = NULL;
        stream->writing = 0;
    }
    sink->over = true;
    avi_stream_signal_locked(stream, true);
}

int avi_writing_step(avi_sink *sink) {
    avi_stream *stream = sink->stream;
    struct iovec parts[BATCH];
    int count = 0;
    avi_lock(&stream->lock);
    if (sink->over) { /* it was wanted once more while it ended */
        avi_unlock(&stream->lock);
        return AVI_NOTHING;
    }
    if (!sink->stop)
        refill_locked(sink);
    bool ends = stream->closed && stream->stats.in_flight == 0;
    if (sink->stop || (!sink->taken.head && ends)) {
        give_up_locked(sink);
        avi_unlock(&stream->lock);
        return AVI_OVER;
    }
    size_t offset = sink->offset;
    for (const avi_packet *packet = sink->taken.head; packet; packet = packet->next, offset = 0)
        parts[count++] = (struct iovec){(uint8_t *)packet->pub.data + offset, packet->pub.size - offset};
    avi_unlock(&stream->lock);
    if (!count)
        return AVI_NOTHING;

    ssize_t written;
    do
        written = write_some(sink, parts, count);
    while (written < 0 && errno == EINTR);
    int error = written < 0 ? errno : 0;
    if (error == EAGAIN || error == EWOULDBLOCK)
        return AVI_BLOCKED;

    avi_lock(&stream->lock);
    int outcome = AVI_OVER;
    if (error) {
        if (!sink->stop)
            stream->sink_error = error;
        give_up_locked(sink);
    } else {
        retire_locked(sink, (size_t)written);
        avi_stream_signal_locked(stream, false);
        /* What comes from now on wakes the sink. */
        outcome = sink->taken.head || stream->ready.head || sink->stop || stream->closed ? AVI_MORE : AVI_NOTHING;
    }
    avi_unlock(&stream->lock);
    return outcome;
}

void avi_sink_post(avi_sink *sink, bool (*post)(avi_task *)) {
    atomic_fetch_add(&sink->references, 1);
    if (!post(&sink->task))
        avi_sink_drop(sink);
}

void avi_sink_drop(avi_sink *sink) {
    if (atomic_fetch_sub(&sink->references, 1) != 1)
        return;
    if (sink->fd >= 0)
        close(sink->fd);
    avi_stream_drop(sink->stream);
    free(sink);
    avi_live_add(AVENC_LIVE_SINK, -1);
}
