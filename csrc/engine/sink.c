// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "engine/sink.h"
#include "base/status.h"
#include "base/taskq.h"
#include "base/thread.h"
#include "engine/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    BATCH = 32,  /* access units written by one call */
    TURN = 64,   /* calls that the writer makes for one sink before it looks at the others */
    EVENTS = 64, /* sinks that can be written, of one look */
};

static const uint64_t RETRY_NS = 10 * 1000 * 1000;

enum { FILE_SINK, PIPE_SINK, SOCKET_SINK };

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
    avi_pace pace;         /* of finished frames, when it was last woken */
    avi_packet_list taken; /* off the ready list, in the hands of whoever writes */
    size_t offset;         /* that one's: bytes of the first that are written */

    avi_task task;          /* of a file: this and the next one */
    atomic_uint references; /* one until it is over, and one for each posting of the task */

    struct avi_sink *next; /* writer_lock: this and the next two. In the list of those to be looked at */
    bool listed;
    uint64_t due_ns;
} avi_sink;

/* ---- writing: by the sink's task, or the writer ------------------------------------------------- */

/* Bytes written, or -1 with errno; EAGAIN where the reader takes none at present. */
static ssize_t write_some(avi_sink *sink, struct iovec *parts, int count) {
    if (sink->kind == FILE_SINK)
        return writev(sink->fd, parts, count);
    if (sink->kind == SOCKET_SINK) {
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

/* The next packet that is to be written; failed frames stay for the program, which has to learn of them. */
static bool writable_locked(const avi_stream *stream) {
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
    for (avi_packet *packet; (packet = avi_packet_pop(&left));) {
        avi_stream_give_back_locked(stream, packet);
        stream->stats.ready--; /* it was counted all the time */
    }
    stream->writing = sink->taken.count;
}

static void retire_locked(avi_sink *sink, size_t written) {
    avi_stream *stream = sink->stream;
    sink->offset += written;
    while (sink->taken.head && sink->offset >= sink->taken.head->pub.size) {
        avi_packet *packet = avi_packet_pop(&sink->taken);
        sink->offset -= packet->pub.size;
        stream->stats.ready--;
        stream->stats.written++;
        avi_stream_discard_locked(stream, packet);
    }
    stream->writing = sink->taken.count;
    stream->progressed_ns = avi_now_ns();
}

/* What is not written is the program's. */
static void give_up_locked(avi_sink *sink) {
    avi_stream *stream = sink->stream;
    for (avi_packet *packet; (packet = avi_packet_pop(&sink->taken));) {
        avi_stream_give_back_locked(stream, packet);
        stream->stats.ready--;
    }
    if (stream->sink == sink) {
        stream->sink = NULL;
        stream->writing = 0;
    }
    sink->over = true;
    avi_stream_signal_locked(stream, true);
}

enum { NOTHING, MORE, BLOCKED, OVER };

/* One call's worth of writing. OVER: the sink is to be freed. */
static int step(avi_sink *sink) {
    avi_stream *stream = sink->stream;
    struct iovec parts[BATCH];
    int count = 0;
    avi_lock(&stream->lock);
    if (!sink->stop && !sink->over)
        refill_locked(sink);
    bool ends = stream->closed && stream->stats.in_flight == 0;
    if (sink->stop || (!sink->taken.head && ends)) {
        give_up_locked(sink);
        avi_unlock(&stream->lock);
        return OVER;
    }
    size_t offset = sink->offset;
    for (const avi_packet *packet = sink->taken.head; packet; packet = packet->next, offset = 0)
        parts[count++] = (struct iovec){packet->memory + offset, packet->pub.size - offset};
    avi_unlock(&stream->lock);
    if (!count)
        return NOTHING;

    ssize_t written;
    do
        written = write_some(sink, parts, count);
    while (written < 0 && errno == EINTR);
    int error = written < 0 ? errno : 0;
    if (error == EAGAIN || error == EWOULDBLOCK)
        return BLOCKED;

    avi_lock(&stream->lock);
    bool failed = error && !sink->stop;
    if (!error)
        retire_locked(sink, (size_t)written);
    if (failed)
        stream->sink_error = error;
    if (error)
        give_up_locked(sink);
    else
        avi_stream_signal_locked(stream, false);
    avi_unlock(&stream->lock);
    return error ? OVER : MORE;
}

static void free_sink(avi_sink *sink) {
    close(sink->fd);
    avi_stream_drop(sink->stream);
    free(sink);
    avi_live_add(AVENC_LIVE_SINK, -1);
}

/* ---- files: a task each ------------------------------------------------------------------------- */

static void drop_file(avi_sink *sink) {
    if (atomic_fetch_sub(&sink->references, 1) == 1)
        free_sink(sink);
}

static bool file_run(void *arg) {
    avi_sink *sink = arg;
    avi_lock(&sink->stream->lock);
    bool over = sink->over; /* it was posted once more while it ended */
    avi_unlock(&sink->stream->lock);
    if (over)
        return false;
    avi_blocking_begins();
    int outcome = step(sink);
    if (outcome == BLOCKED) { /* the program made its descriptor non-blocking */
        struct pollfd writable = {.fd = sink->fd, .events = POLLOUT};
        poll(&writable, 1, 100);
    }
    avi_blocking_ends();
    if (outcome == OVER) /* it is no stream's, and posted no more */
        drop_file(sink); /* not the last: the queue's is dropped when it is idle */
    return outcome == MORE || outcome == BLOCKED;
}

static void file_idle(void *arg) {
    drop_file(arg);
}

/* ---- pipes and sockets: one writer --------------------------------------------------------------- */

static pthread_mutex_t writer_lock = PTHREAD_MUTEX_INITIALIZER; /* everything below; a stream's lock may be held */
static avi_sink *wanted;                                        /* to be looked at, each when it is due */
static unsigned sinks;                                          /* that the writer serves */
static bool running;
static int poll_set = -1, wake_fd = -1;
static uint64_t sleeps_until;

static void want_locked(avi_sink *sink, uint64_t due_ns) {
    if (!sink->listed) {
        sink->listed = true;
        sink->due_ns = due_ns;
        sink->next = wanted;
        wanted = sink;
    } else if (due_ns < sink->due_ns) {
        sink->due_ns = due_ns;
    }
    if (due_ns < sleeps_until) {
        uint64_t one = 1;
        sleeps_until = due_ns;
        while (write(wake_fd, &one, sizeof one) < 0 && errno == EINTR)
            continue;
    }
}

/* Those that are due, in a list of their own; *until: when the next one is. */
static avi_sink *take_due_locked(uint64_t *until) {
    avi_sink *due = NULL, **link = &wanted;
    uint64_t now = avi_now_ns();
    *until = AVI_FOR_EVER;
    while (*link) {
        avi_sink *sink = *link;
        if (sink->due_ns > now) {
            *until = sink->due_ns < *until ? sink->due_ns : *until;
            link = &sink->next;
            continue;
        }
        *link = sink->next;
        sink->listed = false; /* from now on it may be wanted again */
        sink->due = due;
        due = sink;
    }
    return due;
}

static void serve(avi_sink *sink) {
    int outcome = MORE;
    for (int i = 0; i < TURN && outcome == MORE; i++)
        outcome = step(sink);
    if (outcome == MORE) {
        avi_lock(&writer_lock);
        want_locked(sink, 0);
        avi_unlock(&writer_lock);
    } else if (outcome == BLOCKED) {
        struct epoll_event event = {.events = EPOLLOUT | EPOLLONESHOT, .data.ptr = sink};
        if (epoll_ctl(poll_set, sink->armed ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, sink->fd, &event) == 0) {
            sink->armed = true;
        } else { /* no memory for it: look by and by */
            avi_lock(&writer_lock);
            want_locked(sink, avi_now_ns() + RETRY_NS);
            avi_unlock(&writer_lock);
        }
    } else if (outcome == OVER) {
        if (sink->armed)
            epoll_ctl(poll_set, EPOLL_CTL_DEL, sink->fd, NULL);
        avi_lock(&writer_lock);
        sinks--;
        for (avi_sink **link = &wanted; *link; link = &(*link)->next) {
            if (*link == sink) {
                *link = sink->next;
                break;
            }
        }
        avi_unlock(&writer_lock);
        free_sink(sink);
    }
}

static void *writer_thread(void *unused) {
    (void)unused;
    avi_thread_begins("avenc-writer");
    struct epoll_event events[EVENTS];
    avi_lock(&writer_lock);
    while (sinks > 0) {
        uint64_t until, now = avi_now_ns();
        avi_sink *due = take_due_locked(&until);
        sleeps_until = due ? 0 : until;
        avi_unlock(&writer_lock);
        int timeout = due ? 0 : until == AVI_FOR_EVER ? -1 : until > now ? (int)((until - now) / 1000000u) + 1 : 0;
        int count = epoll_wait(poll_set, events, EVENTS, timeout);
        avi_lock(&writer_lock);
        sleeps_until = 0;
        avi_unlock(&writer_lock);
        for (avi_sink *next; due; due = next) {
            next = due->due;
            /* One that can be written again is in both lists: served once, by its event. */
            bool twice = false;
            for (int i = 0; i < count; i++)
                twice = twice || events[i].data.ptr == due;
            if (!twice)
                serve(due);
        }
        for (int i = 0; i < count; i++) {
            uint64_t woken;
            if (events[i].data.ptr)
                serve(events[i].data.ptr);
            else if (read(wake_fd, &woken, sizeof woken) < 0 && errno != EAGAIN)
                break;
        }
        avi_lock(&writer_lock);
    }
    running = false;
    close(poll_set);
    close(wake_fd);
    poll_set = wake_fd = -1;
    avi_unlock(&writer_lock);
    avi_thread_ends();
    return NULL;
}

static int start_writer_locked(void) {
    if (running)
        return AVENC_OK;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    poll_set = epoll_create1(EPOLL_CLOEXEC);
    wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int rc = poll_set < 0 || wake_fd < 0 || epoll_ctl(poll_set, EPOLL_CTL_ADD, wake_fd, &event) < 0
                 ? avi_fail(AVENC_E_SINK, "epoll_create1", "no file descriptor to be had: errno %d", errno)
                 : avi_thread_start(writer_thread, NULL);
    running = rc == AVENC_OK;
    if (running)
        return AVENC_OK;
    if (poll_set >= 0)
        close(poll_set);
    if (wake_fd >= 0)
        close(wake_fd);
    poll_set = wake_fd = -1;
    return rc;
}

/* ---- for the stream ------------------------------------------------------------------------------ */

static void wake(avi_sink *sink, uint64_t due_ns) {
    if (sink->kind == FILE_SINK) {
        atomic_fetch_add(&sink->references, 1);
        if (!avi_task_post(&sink->task))
            atomic_fetch_sub(&sink->references, 1); /* not the last: it is not over */
        return;
    }
    avi_lock(&writer_lock);
    want_locked(sink, due_ns);
    avi_unlock(&writer_lock);
}

void avi_sink_wake_locked(avi_stream *stream, bool urgent) {
    avi_sink *sink = stream->sink;
    if (!sink || sink->over)
        return;
    bool waits = !urgent && sink->coalesce_us && !stream->closed &&
                 avi_worth_coalescing(&sink->pace, stream->stats.completed, sink->coalesce_us);
    wake(sink, waits ? avi_now_ns() + sink->coalesce_us * 1000ull : 0);
}

bool avi_sink_unfinished_locked(const avi_stream *stream) {
    return stream->sink && !stream->sink_error && (stream->writing || writable_locked(stream));
}

void avi_sink_close_locked(avi_stream *stream) {
    avi_sink_wake_locked(stream, true);
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
        wake(sink, 0);
        avi_stream_signal_locked(stream, true);
    }
    avi_unlock(&stream->lock);
}

static int kind_of(int fd) {
    struct stat status;
    if (fstat(fd, &status) != 0)
        return FILE_SINK; /* the first write says what is wrong */
    return S_ISSOCK(status.st_mode) ? SOCKET_SINK : S_ISFIFO(status.st_mode) ? PIPE_SINK : FILE_SINK;
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
    atomic_store(&sink->references, 1);
    if (sink->kind != FILE_SINK) {
        avi_lock(&writer_lock);
        if ((rc = start_writer_locked()) == AVENC_OK)
            sinks++;
        avi_unlock(&writer_lock);
    }
    if (rc != AVENC_OK) {
        free_sink(sink);
        return rc;
    }
    *out = sink;
    return AVENC_OK;
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
    avi_waiter waiter = avi_waiter_begin(wait);
    int rc = fd < 0 ? AVENC_OK : create_sink(stream, fd, coalesce_us, &sink), verdict;
    if (rc != AVENC_OK)
        return rc;
    avi_lock(&stream->lock);
    while (stream->sink) { /* its write may be under way: its packets come back, and go to the new one */
        stream->sink->stop = true;
        wake(stream->sink, 0);
        if ((verdict = avi_stream_sleep_locked(stream, &waiter, false)) != AVI_WOKEN) {
            rc = avi_stream_give_up_locked(stream, &waiter, verdict, __func__);
            break;
        }
    }
    if (rc == AVENC_OK) {
        stream->sink = sink;
        stream->has_sink = sink != NULL;
        stream->sink_error = 0;
        avi_sink_wake_locked(stream, true); /* for what is ready already */
        avi_stream_signal_locked(stream, true);
    } else if (sink) {
        sink->stop = true;
        wake(sink, 0);
    }
    avi_unlock(&stream->lock);
    return rc;
}

/* The writer stayed in the parent. */
static void after_fork(void) {
    pthread_mutex_init(&writer_lock, NULL);
    if (poll_set >= 0)
        close(poll_set);
    if (wake_fd >= 0)
        close(wake_fd);
    poll_set = wake_fd = -1;
    wanted = NULL;
    sinks = 0;
    running = false;
    sleeps_until = 0;
}

__attribute__((constructor)) static void set_up(void) {
    avi_on_fork(after_fork);
}
