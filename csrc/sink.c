// SPDX-License-Identifier: Apache-2.0
/*
 * The sink: access units written to a file descriptor by a native thread, one for each device, without
 * Python. Started by the first channel that has a sink.
 *
 * Nothing is written on the report thread, which the device waits for. Channels take turns; a pipe or
 * socket whose reader is slow is left alone until it takes something, so that it delays the other
 * channels by a few milliseconds at most and closing is never stuck behind it. A regular file is
 * written as the kernel takes it.
 */
#define _GNU_SOURCE
#include "engine.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    BATCH = 32,         /* access units written by one call */
    READER_TURN_MS = 5, /* how long one slow reader is waited for before the next channel's turn */
};

enum { SINK_FILE, SINK_PIPE, SINK_SOCKET };

static int kind_of(int fd) {
    struct stat status;
    if (fstat(fd, &status) != 0)
        return SINK_FILE; /* the first write says what is wrong */
    return S_ISSOCK(status.st_mode) ? SINK_SOCKET : S_ISFIFO(status.st_mode) ? SINK_PIPE : SINK_FILE;
}

/* Bytes written, 0 if the reader takes none at present, or -1 with errno. */
static ssize_t write_some(int fd, int kind, struct iovec *parts, int count) {
    if (kind == SINK_FILE)
        return writev(fd, parts, count);
    struct pollfd writable = {.fd = fd, .events = POLLOUT};
    int found = poll(&writable, 1, READER_TURN_MS);
    if (found == 0)
        return 0;
    ssize_t written;
    if (kind == SINK_SOCKET) {
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t)count};
        written = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } else {
        /* A writable pipe takes PIPE_BUF bytes without blocking, whoever else has it open. */
        size_t size = parts[0].iov_len < PIPE_BUF ? parts[0].iov_len : PIPE_BUF;
        written = write(fd, parts[0].iov_base, size);
    }
    if (written < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return 0;
    return written;
}

/* The next packet with an access unit, from `packet` on. Failed frames stay for the program, which has to learn of them. */
static avi_packet *writable_from(avi_packet *packet) {
    while (packet && packet->pub.status != 0)
        packet = packet->next;
    return packet;
}

/* Take what is written off the ready list. */
static void retire_locked(avenc_channel *channel, size_t written) {
    avi_packet **link = &channel->ready_head, *before = NULL, *packet;
    channel->sink_offset += written;
    channel->sink_bytes += written;
    while ((packet = *link) && (packet->pub.status != 0 || channel->sink_offset >= packet->pub.size)) {
        if (packet->pub.status != 0) {
            before = packet;
            link = &packet->next;
            continue;
        }
        channel->sink_offset -= packet->pub.size;
        *link = packet->next;
        if (!packet->next)
            channel->ready_tail = before;
        channel->stats.ready--;
        channel->stats.written++;
        avi_discard_locked(channel, packet);
    }
}

/* One call's worth of writing. True if there is more to do. */
static bool serve(avenc_channel *channel) {
    struct iovec parts[BATCH];
    int count = 0;
    pthread_mutex_lock(&channel->lock);
    if (channel->sink_error || channel->sink_fd < 0) {
        pthread_mutex_unlock(&channel->lock);
        return false;
    }
    size_t offset = channel->sink_offset;
    for (avi_packet *packet = writable_from(channel->ready_head); packet && count < BATCH;
         packet = writable_from(packet->next), offset = 0)
        parts[count++] = (struct iovec){packet->memory + offset, packet->pub.size - offset};
    channel->sink_busy = count > 0;
    int fd = channel->sink_fd, kind = channel->sink_kind;
    pthread_mutex_unlock(&channel->lock);
    if (!count)
        return false;

    ssize_t written;
    do
        written = write_some(fd, kind, parts, count);
    while (written < 0 && errno == EINTR);
    int error = written < 0 ? errno : 0;

    pthread_mutex_lock(&channel->lock);
    channel->sink_busy = false;
    if (error)
        channel->sink_error = error;
    else
        retire_locked(channel, (size_t)written);
    bool more = !error && writable_from(channel->ready_head);
    avi_announce_locked(channel);
    pthread_mutex_unlock(&channel->lock);
    return more;
}

int avi_sink_start(avenc_device *device) {
    return avi_worker_start(&device->writer, "avenc-writer", serve);
}

int avenc_channel_set_sink(avenc_channel *channel, int fd, uint32_t linger_us) {
    if (!channel)
        return avi_fail(AVENC_E_INVALID, __func__, "channel must not be NULL");
    if (channel->generation != avi_generation())
        return avi_fail_forked(__func__);
    if (channel->config.drop_oldest)
        return avi_fail(AVENC_E_INVALID, __func__, "a sink cannot be had where the oldest packets may be dropped");
    int rc = fd < 0 ? AVENC_OK : avi_sink_start(channel->device);
    if (rc != AVENC_OK)
        return rc;
    pthread_mutex_lock(&channel->lock);
    channel->sink_fd = -1; /* no further write begins */
    while (channel->sink_busy)
        avi_wait_locked(channel, UINT64_MAX, true);
    channel->sink_fd = fd;
    channel->sink_kind = fd < 0 ? SINK_FILE : kind_of(fd);
    channel->sink_error = 0;
    channel->sink_offset = 0;
    channel->sink_linger_us = linger_us;
    if (fd >= 0)
        avi_worker_wake(&channel->device->writer, channel, 0); /* for what is ready already */
    avi_announce_locked(channel);
    pthread_mutex_unlock(&channel->lock);
    return AVENC_OK;
}

bool avi_sink_unfinished_locked(const avenc_channel *channel) {
    if (channel->sink_error)
        return false;
    return channel->sink_busy || (channel->sink_fd >= 0 && writable_from(channel->ready_head));
}
