// SPDX-License-Identifier: Apache-2.0
/*
 * Streams, events, and the report queue of each subscribed thread.
 *
 * A thread is subscribed as long as at least one stream (the program's own, or a channel's internal one)
 * is. Its identity is pthread_self(), as in the open runtime; the thread need not exist when it is
 * subscribed. Callbacks run inside that thread's aclrtProcessReport and nowhere else.
 *
 * A report is taken off its queue under the lock and run without it. pthread_cancel inside the wait or
 * inside the callback leaves no lock held and completes the report (client programs do that).
 */
#include "sim.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

typedef struct subscriber {
    struct subscriber *next;
    uint64_t thread_id;
    int32_t device;
    unsigned streams; /* subscribed streams */
    unsigned waiters; /* calls of aclrtProcessReport that use this object */
    sim_report *head, *tail;
    pthread_cond_t changed;
} subscriber;

typedef struct sim_stream {
    int32_t device;
    uint64_t thread_id;         /* 0: not subscribed */
    uint64_t issued, completed; /* blocking callbacks: what synchronising and events wait for */
} sim_stream;

typedef struct sim_event {
    sim_stream *stream;
    uint64_t target; /* stream->completed that the event waits for */
    struct timespec time;
    bool recorded;
} sim_event;

typedef struct launched {
    sim_report report;
    aclrtCallback fn;
    void *user_data;
    sim_stream *stream; /* of a blocking launch, else NULL */
} launched;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t progress = PTHREAD_COND_INITIALIZER; /* a blocking callback has returned */
static subscriber *subscribers;
static _Thread_local unsigned inside; /* depth of callbacks on this thread */

void sim_report_after_fork(void) {
    pthread_mutex_init(&lock, NULL);
    pthread_cond_init(&progress, NULL);
    subscribers = NULL;
    inside = 0;
}

bool sim_inside_callback(void) {
    return inside > 0;
}

/* ---- subscriptions --------------------------------------------------------------------------- */

static subscriber *find_locked(uint64_t thread_id) {
    for (subscriber *s = subscribers; s; s = s->next)
        if (s->thread_id == thread_id)
            return s;
    return NULL;
}

static int subscribe_locked(uint64_t thread_id, int32_t device) {
    subscriber *s = find_locked(thread_id);
    if (!s) {
        s = calloc(1, sizeof *s);
        if (!s)
            return sim_fail(ACL_ERROR_RT_RESOURCE_ALLOC_FAIL, "subscribe: out of memory");
        pthread_condattr_t attributes;
        pthread_condattr_init(&attributes);
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
        pthread_cond_init(&s->changed, &attributes);
        pthread_condattr_destroy(&attributes);
        s->thread_id = thread_id;
        s->device = device;
        s->next = subscribers;
        subscribers = s;
    } else if (s->streams && s->device != device) { /* documented */
        return sim_fail(ACL_ERROR_RT_THREAD_SUBSCRIBE, "subscribe: thread %llu serves device %d already",
                        (unsigned long long)thread_id, s->device);
    }
    s->device = device;
    s->streams++;
    return ACL_SUCCESS;
}

/* Free a subscriber that nobody needs. Reports that were never run are completed without running. */
static sim_report *retire_locked(subscriber *s) {
    if (s->streams)
        return NULL;
    pthread_cond_broadcast(&s->changed);
    if (s->waiters)
        return NULL;
    subscriber **link = &subscribers;
    while (*link != s)
        link = &(*link)->next;
    *link = s->next;
    sim_report *left = s->head;
    pthread_cond_destroy(&s->changed);
    free(s);
    return left;
}

static void complete_unrun(sim_report *reports) {
    while (reports) {
        sim_report *next = reports->next;
        reports->done(reports);
        reports = next;
    }
}

int sim_subscribe_internal(uint64_t thread_id, int32_t device) {
    pthread_mutex_lock(&lock);
    int rc = subscribe_locked(thread_id, device);
    pthread_mutex_unlock(&lock);
    return rc;
}

void sim_unsubscribe_internal(uint64_t thread_id) {
    sim_report *left = NULL;
    pthread_mutex_lock(&lock);
    subscriber *s = find_locked(thread_id);
    if (s && s->streams) {
        s->streams--;
        left = retire_locked(s);
    }
    pthread_mutex_unlock(&lock);
    complete_unrun(left);
}

static int check_stream(const char *call, aclrtStream stream) {
    if (!stream)
        return sim_fail(ACL_ERROR_INVALID_PARAM, "%s: NULL stream", call);
    if (!sim_object_is(stream, ACLSIM_STREAM))
        return sim_fail(ACL_ERROR_RT_INVALID_HANDLE, "%s: stream %p is not alive", call, stream); /* guessed */
    return ACL_SUCCESS;
}

/* documented: a stream twice gives 107011, a thread of another device 107012. */
aclError aclrtSubscribeReport(uint64_t threadId, aclrtStream stream) {
    int rc = check_stream("aclrtSubscribeReport", stream);
    if (rc != ACL_SUCCESS)
        return rc;
    sim_stream *s = stream;
    pthread_mutex_lock(&lock);
    if (s->thread_id)
        rc = sim_fail(ACL_ERROR_RT_STREAM_SUBSCRIBE, "aclrtSubscribeReport: the stream is subscribed already");
    else
        rc = subscribe_locked(threadId, s->device);
    if (rc == ACL_SUCCESS) {
        s->thread_id = threadId;
        sim_live_add(ACLSIM_SUBSCRIPTION, 1);
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

static int unsubscribe_locked(uint64_t thread_id, sim_stream *stream, sim_report **left) {
    subscriber *s = find_locked(thread_id);
    if (!s || s->streams == 0)
        return sim_fail(ACL_ERROR_RT_THREAD_SUBSCRIBE, "aclrtUnSubscribeReport: thread %llu is not subscribed",
                        (unsigned long long)thread_id);
    if (stream->thread_id != thread_id)
        return sim_fail(ACL_ERROR_RT_STREAM_SUBSCRIBE, "aclrtUnSubscribeReport: the stream is not subscribed to it");
    stream->thread_id = 0;
    s->streams--;
    sim_live_add(ACLSIM_SUBSCRIPTION, -1);
    *left = retire_locked(s);
    return ACL_SUCCESS;
}

aclError aclrtUnSubscribeReport(uint64_t threadId, aclrtStream stream) {
    int rc = check_stream("aclrtUnSubscribeReport", stream);
    if (rc != ACL_SUCCESS)
        return rc;
    sim_report *left = NULL;
    pthread_mutex_lock(&lock);
    rc = unsubscribe_locked(threadId, stream, &left);
    pthread_mutex_unlock(&lock);
    complete_unrun(left);
    return rc;
}

/* ---- the queue ------------------------------------------------------------------------------- */

bool sim_post(uint64_t thread_id, sim_report *report) {
    report->next = NULL;
    pthread_mutex_lock(&lock);
    subscriber *s = find_locked(thread_id);
    bool posted = s && s->streams;
    if (posted) {
        if (s->tail && s->head)
            s->tail->next = report;
        else
            s->head = report;
        s->tail = report;
        pthread_cond_signal(&s->changed);
    }
    pthread_mutex_unlock(&lock);
    return posted;
}

static void leave_callback(void *report) {
    inside--;
    ((sim_report *)report)->done(report);
}

static void run_report(sim_report *report) {
    inside++;
    pthread_cleanup_push(leave_callback, report);
    report->run(report);
    pthread_cleanup_pop(1);
}

/* End of a call that uses `s`; the lock is held on entry and not on return. */
static void stop_waiting(void *arg) {
    subscriber *s = arg;
    s->waiters--;
    sim_report *left = retire_locked(s);
    pthread_mutex_unlock(&lock);
    complete_unrun(left);
}

static void relock(void *unused) {
    (void)unused;
    pthread_mutex_lock(&lock);
}

static int run_all_locked(subscriber *s) {
    volatile int ran = 0; /* changed between the halves of pthread_cleanup_push */
    while (s->head) {
        sim_report *report = s->head;
        s->head = report->next;
        if (!s->head)
            s->tail = NULL;
        pthread_mutex_unlock(&lock);
        pthread_cleanup_push(relock, NULL); /* stop_waiting expects the lock, also when the callback is cancelled */
        run_report(report);
        pthread_cleanup_pop(1);
        ran++;
    }
    return ran;
}

static struct timespec deadline_after(int32_t timeout_ms) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    return until;
}

/* The lock is held on entry and not on return. Number of callbacks run. */
__attribute__((noinline)) static int wait_and_run(subscriber *s, int32_t timeout) {
    const struct timespec until = deadline_after(timeout < 0 ? 0 : timeout);
    int ran = 0;
    s->waiters++;
    pthread_cleanup_push(stop_waiting, s);
    while ((ran = run_all_locked(s)) == 0 && s->streams) {
        if (timeout < 0)
            pthread_cond_wait(&s->changed, &lock);
        else if (pthread_cond_timedwait(&s->changed, &lock, &until) == ETIMEDOUT && !s->head)
            break;
    }
    pthread_cleanup_pop(1);
    return ran;
}

/*
 * documented: 107012 at once for a thread without a subscription, 507012 when nothing came in time, else all
 * available callbacks are run. guessed: a thread that is unsubscribed while it waits times out early.
 */
aclError aclrtProcessReport(int32_t timeout) {
    if (timeout == 0 || timeout < -1)
        return sim_fail(ACL_ERROR_INVALID_PARAM, "aclrtProcessReport: timeout is %d, allowed are -1 and above 0",
                        timeout);
    pthread_mutex_lock(&lock);
    subscriber *s = find_locked((uint64_t)pthread_self());
    if (!s || s->streams == 0) {
        pthread_mutex_unlock(&lock);
        return sim_fail(ACL_ERROR_RT_THREAD_SUBSCRIBE, "aclrtProcessReport: this thread is subscribed to no stream");
    }
    if (wait_and_run(s, timeout))
        return ACL_SUCCESS;
    return sim_fail(ACL_ERROR_RT_REPORT_TIMEOUT, "aclrtProcessReport: nothing within %d ms", timeout);
}

static void run_launched(sim_report *report) {
    launched *item = (launched *)report;
    item->fn(item->user_data);
}

static void finish_launched(sim_report *report) {
    launched *item = (launched *)report;
    if (item->stream) {
        pthread_mutex_lock(&lock);
        item->stream->completed++;
        pthread_cond_broadcast(&progress);
        pthread_mutex_unlock(&lock);
    }
    free(item);
}

/* documented: 107015 for a stream that no thread is subscribed to. */
aclError aclrtLaunchCallback(aclrtCallback fn, void *userData, aclrtCallbackBlockType blockType, aclrtStream stream) {
    if (!fn || (blockType != ACL_CALLBACK_NO_BLOCK && blockType != ACL_CALLBACK_BLOCK))
        return sim_fail(ACL_ERROR_INVALID_PARAM, "aclrtLaunchCallback: NULL function, or block type %d", blockType);
    int rc = check_stream("aclrtLaunchCallback", stream);
    if (rc != ACL_SUCCESS)
        return rc;
    launched *item = malloc(sizeof *item);
    if (!item)
        return sim_fail(ACL_ERROR_RT_RESOURCE_ALLOC_FAIL, "aclrtLaunchCallback: out of memory");
    sim_stream *s = stream;
    *item = (launched){.report = {NULL, run_launched, finish_launched}, .fn = fn, .user_data = userData};
    pthread_mutex_lock(&lock);
    uint64_t thread_id = s->thread_id;
    if (thread_id && blockType == ACL_CALLBACK_BLOCK) {
        item->stream = s;
        s->issued++;
    }
    pthread_mutex_unlock(&lock);
    if (thread_id && sim_post(thread_id, &item->report))
        return ACL_SUCCESS;
    if (item->stream)
        finish_launched(&item->report);
    else
        free(item);
    return sim_fail(ACL_ERROR_RT_STREAM_NO_CB_REG, "aclrtLaunchCallback: no thread is subscribed to the stream");
}

/* ---- streams --------------------------------------------------------------------------------- */

aclError aclrtCreateStream(aclrtStream *stream) {
    sim_context *context = sim_current_context();
    if (!stream)
        return sim_fail(ACL_ERROR_INVALID_PARAM, "aclrtCreateStream: NULL");
    if (!context)
        return sim_fail(ACL_ERROR_RT_CONTEXT_NULL, "aclrtCreateStream: this thread has no current context");
    sim_stream *made = sim_object_create(ACLSIM_STREAM, sizeof *made, false);
    if (!made)
        return sim_fail(ACL_ERROR_RT_RESOURCE_ALLOC_FAIL, "aclrtCreateStream: out of memory");
    made->device = context->device;
    *stream = made;
    return ACL_SUCCESS;
}

static int destroy_stream(const char *call, aclrtStream stream, bool wait) {
    int rc = check_stream(call, stream);
    if (rc != ACL_SUCCESS)
        return rc;
    sim_stream *s = stream;
    sim_report *left = NULL;
    pthread_mutex_lock(&lock);
    while (wait && s->thread_id && s->completed < s->issued)
        pthread_cond_wait(&progress, &lock);
    if (s->thread_id)
        unsubscribe_locked(s->thread_id, s, &left);
    pthread_mutex_unlock(&lock);
    complete_unrun(left);
    sim_object_destroy(stream);
    return ACL_SUCCESS;
}

/* documented: waits for the stream's tasks. guessed: a subscription ends with its stream. */
aclError aclrtDestroyStream(aclrtStream stream) {
    return destroy_stream("aclrtDestroyStream", stream, true);
}

aclError aclrtDestroyStreamForce(aclrtStream stream) {
    return destroy_stream("aclrtDestroyStreamForce", stream, false);
}

static int synchronise(const char *call, aclrtStream stream, int32_t timeout_ms) {
    if (!stream) /* the default stream, which never holds anything here */
        return sim_current_context()
                   ? ACL_SUCCESS
                   : sim_fail(ACL_ERROR_RT_CONTEXT_NULL, "%s: this thread has no current context", call);
    int rc = check_stream(call, stream);
    if (rc != ACL_SUCCESS)
        return rc;
    sim_stream *s = stream;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&lock);
    uint64_t target = s->issued;
    while (s->completed < target && rc == ACL_SUCCESS) {
        if (timeout_ms < 0)
            pthread_cond_wait(&progress, &lock);
        else if (pthread_cond_timedwait(&progress, &lock, &until) == ETIMEDOUT && s->completed < target)
            rc = sim_fail(ACL_ERROR_RT_STREAM_SYNC_TIMEOUT, "%s: not finished within %d ms", call, timeout_ms);
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

aclError aclrtSynchronizeStream(aclrtStream stream) {
    return synchronise("aclrtSynchronizeStream", stream, -1);
}

aclError aclrtSynchronizeStreamWithTimeout(aclrtStream stream, int32_t timeout) {
    if (timeout < -1)
        return sim_fail(ACL_ERROR_INVALID_PARAM, "aclrtSynchronizeStreamWithTimeout: timeout is %d", timeout);
    return synchronise("aclrtSynchronizeStreamWithTimeout", stream, timeout);
}

/* guessed: nothing but launched callbacks is ever outstanding, and those belong to their streams. */
aclError aclrtSynchronizeDevice(void) {
    return sim_current_context()
               ? ACL_SUCCESS
               : sim_fail(ACL_ERROR_RT_CONTEXT_NULL, "aclrtSynchronizeDevice: this thread has no current context");
}

/* ---- events ---------------------------------------------------------------------------------- */

static int check_event(const char *call, aclrtEvent event) {
    if (!event)
        return sim_fail(ACL_ERROR_INVALID_PARAM, "%s: NULL event", call);
    if (!sim_object_is(event, ACLSIM_EVENT))
        return sim_fail(ACL_ERROR_RT_INVALID_HANDLE, "%s: event %p is not alive", call, event); /* guessed */
    return ACL_SUCCESS;
}

static bool reached_locked(const sim_event *event) {
    return !event->recorded || !sim_object_is(event->stream, ACLSIM_STREAM) ||
           event->stream->completed >= event->target;
}

aclError aclrtCreateEvent(aclrtEvent *event) {
    if (!event)
        return sim_fail(ACL_ERROR_INVALID_PARAM, "aclrtCreateEvent: NULL");
    if (!sim_current_context())
        return sim_fail(ACL_ERROR_RT_CONTEXT_NULL, "aclrtCreateEvent: this thread has no current context");
    void *made = sim_object_create(ACLSIM_EVENT, sizeof(sim_event), false);
    if (!made)
        return sim_fail(ACL_ERROR_RT_NO_EVENT_RESOURCE, "aclrtCreateEvent: out of memory");
    *event = made;
    return ACL_SUCCESS;
}

aclError aclrtDestroyEvent(aclrtEvent event) {
    int rc = check_event("aclrtDestroyEvent", event);
    if (rc == ACL_SUCCESS)
        sim_object_destroy(event);
    return rc;
}

aclError aclrtRecordEvent(aclrtEvent event, aclrtStream stream) {
    int rc = check_event("aclrtRecordEvent", event);
    if (rc == ACL_SUCCESS && stream)
        rc = check_stream("aclrtRecordEvent", stream);
    if (rc != ACL_SUCCESS)
        return rc;
    sim_event *e = event;
    pthread_mutex_lock(&lock);
    e->stream = stream;
    e->target = stream ? ((sim_stream *)stream)->issued : 0;
    e->recorded = true;
    clock_gettime(CLOCK_MONOTONIC, &e->time); /* guessed: the time of the call, not of the completion */
    pthread_mutex_unlock(&lock);
    return ACL_SUCCESS;
}

aclError aclrtResetEvent(aclrtEvent event, aclrtStream stream) {
    (void)stream;
    int rc = check_event("aclrtResetEvent", event);
    if (rc == ACL_SUCCESS) {
        pthread_mutex_lock(&lock);
        ((sim_event *)event)->recorded = false;
        pthread_mutex_unlock(&lock);
    }
    return rc;
}

aclError aclrtQueryEvent(aclrtEvent event, aclrtEventStatus *status) {
    int rc = check_event("aclrtQueryEvent", event);
    if (rc != ACL_SUCCESS)
        return rc;
    if (!status)
        return sim_fail(ACL_ERROR_INVALID_PARAM, "aclrtQueryEvent: NULL");
    pthread_mutex_lock(&lock);
    *status = reached_locked(event) ? ACL_EVENT_STATUS_COMPLETE : ACL_EVENT_STATUS_NOT_READY;
    pthread_mutex_unlock(&lock);
    return ACL_SUCCESS;
}

aclError aclrtQueryEventStatus(aclrtEvent event, aclrtEventRecordedStatus *status) {
    int rc = check_event("aclrtQueryEventStatus", event);
    if (rc != ACL_SUCCESS)
        return rc;
    if (!status)
        return sim_fail(ACL_ERROR_INVALID_PARAM, "aclrtQueryEventStatus: NULL");
    pthread_mutex_lock(&lock);
    *status = reached_locked(event) ? ACL_EVENT_RECORDED_STATUS_COMPLETE : ACL_EVENT_RECORDED_STATUS_NOT_READY;
    pthread_mutex_unlock(&lock);
    return ACL_SUCCESS;
}

aclError aclrtSynchronizeEvent(aclrtEvent event) {
    int rc = check_event("aclrtSynchronizeEvent", event);
    if (rc != ACL_SUCCESS)
        return rc;
    pthread_mutex_lock(&lock);
    while (!reached_locked(event))
        pthread_cond_wait(&progress, &lock);
    pthread_mutex_unlock(&lock);
    return ACL_SUCCESS;
}

aclError aclrtEventElapsedTime(float *ms, aclrtEvent startEvent, aclrtEvent endEvent) {
    int rc = check_event("aclrtEventElapsedTime", startEvent);
    if (rc == ACL_SUCCESS)
        rc = check_event("aclrtEventElapsedTime", endEvent);
    if (rc != ACL_SUCCESS)
        return rc;
    const sim_event *from = startEvent, *to = endEvent;
    if (!ms || !from->recorded || !to->recorded)
        return sim_fail(ACL_ERROR_INVALID_PARAM, "aclrtEventElapsedTime: NULL, or an event that was not recorded");
    *ms = (float)(to->time.tv_sec - from->time.tv_sec) * 1e3f + (float)(to->time.tv_nsec - from->time.tv_nsec) * 1e-6f;
    return ACL_SUCCESS;
}

/* guessed: the copies of a stream are done at once, so there is nothing that would have to wait. */
aclError aclrtStreamWaitEvent(aclrtStream stream, aclrtEvent event) {
    int rc = check_event("aclrtStreamWaitEvent", event);
    return rc == ACL_SUCCESS && stream ? check_stream("aclrtStreamWaitEvent", stream) : rc;
}
