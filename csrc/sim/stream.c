// SPDX-License-Identifier: Apache-2.0
/*
 * Streams and events: tasks in order.
 *
 * A task is done when it is issued, unless one before it waits: for a blocking callback to return, or
 * for an event. Then it queues up, and whoever ends the wait does it.
 */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

struct sim_event {
    sim_object object;
    /* stream_lock */
    uint64_t issued, done; /* recordings */
    uint64_t time_ns;      /* of the last one done */
    bool recorded;         /* since creation or reset */
};
_Static_assert(sizeof(struct sim_event) <= 128, "see the table in handle.c");

typedef enum task_type { TASK_COPY, TASK_SET, TASK_RECORD, TASK_WAIT, TASK_CALLBACK } task_type;

struct sim_task {
    sim_task *next;
    sim_report report; /* TASK_CALLBACK */
    sim_stream *stream;
    task_type type;
    bool block, posted;
    aclrtCallback callback;
    void *user_data;
    void *dst, *event;
    const void *src;
    size_t count;
    int value;
    uint64_t target; /* TASK_WAIT: recordings of the event */
};

static pthread_mutex_t stream_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t progress; /* some task is done */
static atomic_uint stream_count[SIM_MAX_DEVICES];

__attribute__((constructor)) static void init(void) {
    sim_cond_init(&progress);
}

/* ---- limits ------------------------------------------------------------------------------------------ */

bool sim_stream_reserve(int32_t device, unsigned count) {
    uint64_t limit = atomic_load(&sim_option.stream_limit);
    if (limit == 0)
        limit = sim_profile_get()->max_streams;
    if (atomic_fetch_add(&stream_count[device], count) + count <= limit)
        return true;
    atomic_fetch_sub(&stream_count[device], count);
    return false;
}

void sim_stream_unreserve(int32_t device, unsigned count) {
    atomic_fetch_sub(&stream_count[device], count);
}

/* ---- tasks ------------------------------------------------------------------------------------------- */

static void advance_locked(sim_stream *stream);

static void advance_if_waiting(void *object, void *unused) {
    (void)unused;
    sim_stream *stream = object;
    if (stream->head != NULL && stream->head->type == TASK_WAIT)
        advance_locked(stream);
}

static void record_locked(void *handle) {
    sim_event *event = sim_handle_get(SIM_EVENT, handle);
    if (event == NULL)
        return;
    event->done++;
    event->time_ns = sim_now_ns();
    sim_handle_each(SIM_STREAM, advance_if_waiting, NULL);
}

static void call_program(void *pointer) {
    sim_task *task = pointer;
    task->callback(task->user_data);
}

static void callback_done(void *pointer) {
    sim_task *task = pointer;
    sim_stream *stream = task->stream;
    pthread_mutex_lock(&stream_lock);
    if (task->block && stream != NULL) {
        stream->head = task->next;
        if (stream->head == NULL)
            stream->tail = NULL;
        advance_locked(stream);
    }
    pthread_cond_broadcast(&progress);
    pthread_mutex_unlock(&stream_lock);
    free(task);
}

static void run_task(sim_report *report) {
    sim_task *task = (sim_task *)((char *)report - offsetof(sim_task, report));
    sim_run_callback(call_program, task, callback_done);
}

static void drop_task(sim_report *report) {
    free((char *)report - offsetof(sim_task, report));
}

/* True: the task is over or runs on its own; false: the stream waits for it. */
static bool start_locked(sim_stream *stream, sim_task *task) {
    sim_event *event;
    switch (task->type) {
    case TASK_COPY:
        sim_memory_copy_unchecked(task->dst, task->src, task->count);
        break;
    case TASK_SET:
        sim_memory_set_unchecked(task->dst, task->value, task->count);
        break;
    case TASK_RECORD:
        record_locked(task->event);
        break;
    case TASK_WAIT:
        event = sim_handle_get(SIM_EVENT, task->event);
        if (event != NULL && event->done < task->target)
            return false;
        break;
    case TASK_CALLBACK:
        if (task->posted || stream->reporter == NULL)
            return false;
        task->posted = true;
        sim_reporter_post(stream->reporter, &task->report);
        return !task->block;
    }
    return true;
}

static void advance_locked(sim_stream *stream) {
    while (stream->head != NULL) {
        sim_task *task = stream->head;
        bool on_its_own = task->type == TASK_CALLBACK && !task->block;
        sim_task *next = task->next; /* a posted task that does not block belongs to the report thread */
        if (!start_locked(stream, task))
            break;
        stream->head = next;
        if (next == NULL)
            stream->tail = NULL;
        if (!on_its_own)
            free(task);
    }
    pthread_cond_broadcast(&progress);
}

static aclError issue(const char *function, sim_stream *stream, const sim_task *description) {
    sim_task *task = malloc(sizeof *task);
    if (task == NULL)
        return sim_fail_at(function, ACL_ERROR_BAD_ALLOC, "out of memory");
    *task = *description;
    task->next = NULL;
    task->stream = stream;
    task->report = (sim_report){.run = run_task, .drop = drop_task};
    pthread_mutex_lock(&stream_lock);
    if (task->type == TASK_WAIT || task->type == TASK_RECORD) {
        sim_event *event = sim_handle_get(SIM_EVENT, task->event);
        if (event != NULL && task->type == TASK_RECORD) {
            event->issued++;
            event->recorded = true;
        }
        task->target = event != NULL ? event->issued : 0;
    }
    bool idle = stream->head == NULL;
    if (idle)
        stream->head = task;
    else
        stream->tail->next = task;
    stream->tail = task;
    if (idle)
        advance_locked(stream);
    pthread_mutex_unlock(&stream_lock);
    return ACL_SUCCESS;
}

/* Forget what waits on a stream. A callback that is running now ends without it. How many will never run. */
static unsigned discard_locked(sim_stream *stream) {
    unsigned lost = 0;
    for (sim_task *task = stream->head, *next; task != NULL; task = next) {
        next = task->next;
        bool running =
            task->posted && stream->reporter != NULL && !sim_reporter_withdraw(stream->reporter, &task->report);
        if (running) {
            task->stream = NULL;
        } else {
            lost += task->type == TASK_CALLBACK;
            free(task);
        }
    }
    stream->head = stream->tail = NULL;
    pthread_cond_broadcast(&progress);
    return lost;
}

/* ---- finding the stream of a call ---------------------------------------------------------------------- */

static sim_stream *default_stream(sim_context *context, void *handle) {
    void *known = atomic_load(&context->default_stream);
    if (known != NULL)
        return sim_handle_get(SIM_STREAM, known);
    sim_stream *stream = sim_handle_new(SIM_STREAM, "default stream", NULL, true);
    if (stream == NULL)
        return NULL;
    stream->context = handle;
    stream->device = context->device;
    stream->is_default = true;
    void *expected = NULL;
    void *made = sim_handle_of(SIM_STREAM, stream);
    if (!atomic_compare_exchange_strong(&context->default_stream, &expected, made)) {
        sim_handle_end(SIM_STREAM, made, "default stream");
        return sim_handle_get(SIM_STREAM, expected);
    }
    return stream;
}

/*
 * The stream that a handle names on the calling thread; NULL names the current context's default one.
 * Documented: no current context 107002, a stream of another context 107003. Guessed: a stale one 107017.
 */
static aclError find_stream(const char *function, aclrtStream handle, sim_stream **out) {
    sim_context *context = sim_current();
    if (context == NULL)
        return sim_fail_at(function, ACL_ERROR_RT_CONTEXT_NULL, "this thread has no current context");
    int lost = sim_device_lost(context->device);
    if (lost != 0)
        return sim_fail_at(function, lost, "device %d is lost", context->device);
    sim_stream *stream =
        handle == NULL ? default_stream(context, sim_self.context) : sim_handle_get(SIM_STREAM, handle);
    if (stream == NULL && handle == NULL)
        return sim_fail_at(function, ACL_ERROR_BAD_ALLOC, "out of memory");
    if (stream == NULL) {
        if (sim_is_strict())
            sim_report_stale(SIM_STREAM, handle, function);
        return sim_fail_at(function, ACL_ERROR_RT_INVALID_HANDLE, "%p is no live stream", handle);
    }
    if (stream->context != sim_self.context) {
        if (sim_is_strict())
            sim_report_at("wrong-context", function, "make the context current in which the stream was created",
                          "stream %p belongs to another context of device %d; it was %s", handle, stream->device,
                          sim_origin_format(&stream->object.origin).text);
        return sim_fail_at(function, ACL_ERROR_RT_STREAM_CONTEXT, "the stream belongs to another context");
    }
    *out = stream;
    return ACL_SUCCESS;
}

typedef struct context_count {
    const void *context;
    unsigned streams;
} context_count;

static void count_stream(void *object, void *arg) {
    const sim_stream *stream = object;
    context_count *count = arg;
    count->streams += stream->context == count->context && !stream->is_default;
}

unsigned sim_stream_in_context(const void *context) {
    context_count count = {context, 0};
    sim_handle_each(SIM_STREAM, count_stream, &count);
    return count.streams;
}

typedef struct subscribed_streams {
    unsigned count;
    sim_origin *first;
} subscribed_streams;

static void count_subscribed(void *object, void *arg) {
    const sim_stream *stream = object;
    subscribed_streams *found = arg;
    if (stream->reporter == NULL)
        return;
    if (found->count == 0 || stream->object.origin.number < found->first->number)
        *found->first = stream->object.origin;
    found->count++;
}

unsigned sim_stream_subscribed_count(sim_origin *first) {
    subscribed_streams found = {0, first};
    pthread_mutex_lock(&stream_lock);
    sim_handle_each(SIM_STREAM, count_subscribed, &found);
    pthread_mutex_unlock(&stream_lock);
    return found.count;
}

/* ---- streams --------------------------------------------------------------------------------------------- */

aclError aclrtCreateStream(aclrtStream *stream) {
    SIM_ENTER(aclrtCreateStream);
    if (stream == NULL)
        return FAIL(ACL_ERROR_INVALID_PARAM, "stream must not be NULL");
    sim_context *context = sim_current();
    if (context == NULL)
        return FAIL(ACL_ERROR_RT_CONTEXT_NULL, "this thread has no current context");
    int lost = sim_device_lost(context->device);
    if (lost != 0)
        return FAIL(lost, "device %d is lost", context->device);
    if (!sim_stream_reserve(context->device, 1))
        return FAIL(ACL_ERROR_RT_NO_STREAM_RESOURCE, "the device has no more streams");
    sim_stream *created = HANDLE_NEW(SIM_STREAM);
    if (created == NULL) {
        sim_stream_unreserve(context->device, 1);
        return FAIL(ACL_ERROR_BAD_ALLOC, "out of memory");
    }
    created->context = sim_self.context;
    created->device = context->device;
    *stream = sim_handle_of(SIM_STREAM, created);
    return ACL_SUCCESS;
}

/* Documented: when all that was launched is done, the thread is unsubscribed, and then the stream destroyed. */
static void report_lost_callbacks(const char *function, unsigned callbacks, const sim_origin *origin) {
    if (callbacks != 0 && sim_is_strict())
        sim_report_at("callback-lost", function, "call aclrtSynchronizeStream before it",
                      "%u callback%s that aclrtLaunchCallback launched on the stream will never run; it was %s",
                      callbacks, callbacks == 1 ? "" : "s", sim_origin_format(origin).text);
}

static void report_subscribed(const char *function, uint64_t thread, const sim_origin *origin) {
    if (sim_is_strict())
        sim_report_at("still-subscribed", function, "call aclrtUnSubscribeReport before aclrtDestroyStream",
                      "the stream ends while it is subscribed to thread %#llx; it was %s", (unsigned long long)thread,
                      sim_origin_format(origin).text);
}

static bool end_stream(void *handle, const char *function, bool by_program) {
    sim_stream *stream = sim_handle_get(SIM_STREAM, handle);
    if (stream == NULL)
        return false;
    pthread_mutex_lock(&stream_lock);
    int32_t device = stream->device;
    bool counted = !stream->is_default;
    bool ended = sim_handle_get(SIM_STREAM, handle) == stream;
    unsigned callbacks = 0;
    bool subscribed = false;
    uint64_t thread = 0;
    sim_origin origin = stream->object.origin;
    if (ended) {
        sim_reporter *reporter = stream->reporter;
        subscribed = reporter != NULL && !stream->unsubscribe_failed;
        if (reporter != NULL)
            thread = sim_reporter_thread(reporter);
        callbacks = discard_locked(stream);
        stream->reporter = NULL;
        if (reporter != NULL)
            sim_reporter_release(reporter);
        sim_handle_end(SIM_STREAM, handle, function);
    }
    pthread_mutex_unlock(&stream_lock);
    if (ended && counted)
        sim_stream_unreserve(device, 1);
    if (ended && by_program)
        report_lost_callbacks(function, callbacks, &origin);
    if (ended && by_program && subscribed)
        report_subscribed(function, thread, &origin);
    return ended;
}

void sim_stream_end_default(void *handle) {
    end_stream(handle, "aclrtDestroyContext", true);
}

static aclError destroy_stream(const char *function, aclrtStream stream) {
    if (stream == NULL)
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "stream must not be NULL");
    if (!end_stream(stream, function, true)) {
        if (sim_is_strict())
            sim_report_stale(SIM_STREAM, stream, function);
        return sim_fail_at(function, ACL_ERROR_RT_INVALID_HANDLE, "%p is no live stream", stream);
    }
    return ACL_SUCCESS;
}

aclError aclrtDestroyStream(aclrtStream stream) {
    SIM_CALL(aclrtDestroyStream, destroy_stream(__func__, stream));
}

aclError aclrtDestroyStreamForce(aclrtStream stream) {
    SIM_CALL(aclrtDestroyStreamForce, destroy_stream(__func__, stream));
}

/* Wait until a stream has no task left. limit_ms 0: no limit of the caller's. */
static aclError wait_stream(const char *function, sim_stream *stream, uint64_t limit_ms) {
    uint64_t bound = atomic_load(&sim_option.wait_limit_ms);
    bool own_limit = limit_ms == 0;
    if (own_limit)
        limit_ms = bound;
    uint64_t deadline = limit_ms == 0 ? UINT64_MAX : sim_now_ns() + limit_ms * 1000000u;
    aclError rc = ACL_SUCCESS;
    pthread_mutex_lock(&stream_lock);
    while (stream->head != NULL && (rc = sim_device_lost(stream->device)) == 0) {
        uint64_t now = sim_now_ns();
        if (now >= deadline) {
            rc = ACL_ERROR_RT_STREAM_SYNC_TIMEOUT;
            break;
        }
        uint64_t slice = now + 50000000u;
        sim_cond_wait_until(&progress, &stream_lock, slice < deadline ? slice : deadline);
    }
    pthread_mutex_unlock(&stream_lock);
    if (rc == ACL_ERROR_RT_STREAM_SYNC_TIMEOUT && own_limit && sim_is_strict())
        sim_report_at("no-pump", function, "let the subscribed thread run aclrtProcessReport",
                      "a blocking callback or an event of the stream did not come in %llu ms",
                      (unsigned long long)limit_ms);
    if (rc != ACL_SUCCESS)
        return sim_fail_at(function, rc, "the stream still has tasks after %llu ms, or its device is lost",
                           (unsigned long long)limit_ms);
    return ACL_SUCCESS;
}

aclError aclrtSynchronizeStream(aclrtStream stream) {
    SIM_ENTER(aclrtSynchronizeStream);
    sim_stream *found;
    aclError rc = find_stream(__func__, stream, &found);
    return rc == ACL_SUCCESS ? wait_stream(__func__, found, 0) : rc;
}

aclError aclrtSynchronizeStreamWithTimeout(aclrtStream stream, int32_t timeout) {
    SIM_ENTER(aclrtSynchronizeStreamWithTimeout);
    if (timeout == 0 || timeout < -1)
        return FAIL(ACL_ERROR_INVALID_PARAM, "timeout is %d, allowed are -1 and positive numbers of ms", timeout);
    sim_stream *found;
    aclError rc = find_stream(__func__, stream, &found);
    return rc == ACL_SUCCESS ? wait_stream(__func__, found, timeout < 0 ? 0 : (uint64_t)timeout) : rc;
}

typedef struct stream_search {
    int32_t device;
    sim_stream *found;
} stream_search;

static void find_busy(void *object, void *arg) {
    stream_search *search = arg;
    sim_stream *stream = object;
    if (stream->device == search->device && stream->head != NULL)
        search->found = stream;
}

aclError sim_stream_wait_device(const char *function, int32_t device) {
    for (;;) {
        stream_search search = {device, NULL};
        pthread_mutex_lock(&stream_lock);
        sim_handle_each(SIM_STREAM, find_busy, &search);
        pthread_mutex_unlock(&stream_lock);
        if (search.found == NULL)
            return ACL_SUCCESS;
        aclError rc = wait_stream(function, search.found, 0);
        if (rc != ACL_SUCCESS)
            return rc;
    }
}

static void end_any(void *object, void *unused) {
    (void)unused;
    end_stream(sim_handle_of(SIM_STREAM, object), "aclsim_reset", false);
}

void sim_stream_reset(void) {
    sim_handle_each(SIM_STREAM, end_any, NULL);
}

void sim_stream_after_fork(void) {
    pthread_mutex_init(&stream_lock, NULL);
    sim_cond_init(&progress);
    for (int i = 0; i < SIM_MAX_DEVICES; i++)
        atomic_store(&stream_count[i], 0);
}

/* ---- subscriptions and callbacks ------------------------------------------------------------------------- */

aclError aclrtSubscribeReport(uint64_t threadId, aclrtStream stream) {
    SIM_ENTER(aclrtSubscribeReport);
    sim_stream *found;
    aclError rc = find_stream(__func__, stream, &found);
    if (rc != ACL_SUCCESS)
        return rc;
    pthread_mutex_lock(&stream_lock);
    if (found->reporter != NULL)
        rc = ACL_ERROR_RT_STREAM_SUBSCRIBE; /* documented */
    else
        rc = sim_reporter_acquire(threadId, found->device, &found->reporter);
    pthread_mutex_unlock(&stream_lock);
    if (rc == ACL_ERROR_RT_STREAM_SUBSCRIBE)
        return FAIL(rc, "the stream is subscribed already");
    if (rc != ACL_SUCCESS)
        return FAIL(rc, "thread %#llx serves another device, or there are too many threads",
                    (unsigned long long)threadId);
    return ACL_SUCCESS;
}

static aclError unsubscribe(const char *function, uint64_t threadId, aclrtStream stream) {
    sim_stream *found;
    aclError rc = find_stream(function, stream, &found);
    if (rc != ACL_SUCCESS)
        return rc;
    unsigned callbacks = 0;
    sim_origin origin = found->object.origin;
    pthread_mutex_lock(&stream_lock);
    sim_reporter *reporter = found->reporter;
    if (reporter == NULL) {
        rc = ACL_ERROR_RT_STREAM_SUBSCRIBE; /* documented, as the next */
    } else if (sim_reporter_thread(reporter) != threadId) {
        rc = ACL_ERROR_RT_THREAD_SUBSCRIBE;
    } else {
        callbacks = discard_locked(found); /* guessed: callbacks that were not run are lost */
        found->reporter = NULL;
        sim_reporter_release(reporter);
    }
    pthread_mutex_unlock(&stream_lock);
    if (rc == ACL_ERROR_RT_STREAM_SUBSCRIBE)
        return sim_fail_at(function, rc, "the stream is not subscribed");
    if (rc != ACL_SUCCESS)
        return sim_fail_at(function, rc, "the stream is not subscribed to thread %#llx", (unsigned long long)threadId);
    report_lost_callbacks(function, callbacks, &origin);
    return ACL_SUCCESS;
}

/* Strict mode does not blame the program for a subscription that a fault or a lost device kept. */
static aclError fail_to_unsubscribe(aclrtStream stream, aclError fault) {
    sim_stream *found = sim_handle_get(SIM_STREAM, stream);
    if (found != NULL) {
        pthread_mutex_lock(&stream_lock);
        found->unsubscribe_failed = true;
        pthread_mutex_unlock(&stream_lock);
    }
    return fault;
}

aclError aclrtUnSubscribeReport(uint64_t threadId, aclrtStream stream) {
    SIM_ENTER_VALUE(aclrtUnSubscribeReport,
                    call_.works ? sim_fail_after(&call_, unsubscribe(__func__, threadId, stream), fault_)
                                : fail_to_unsubscribe(stream, fault_));
    aclError rc = unsubscribe(__func__, threadId, stream);
    sim_stream *found = rc != ACL_SUCCESS ? sim_handle_get(SIM_STREAM, stream) : NULL;
    return found != NULL && rc == sim_device_lost(found->device) ? fail_to_unsubscribe(stream, rc) : rc;
}

aclError aclrtLaunchCallback(aclrtCallback fn, void *userData, aclrtCallbackBlockType blockType, aclrtStream stream) {
    SIM_ENTER(aclrtLaunchCallback);
    if (fn == NULL || (blockType != ACL_CALLBACK_NO_BLOCK && blockType != ACL_CALLBACK_BLOCK))
        return FAIL(ACL_ERROR_INVALID_PARAM, "fn is NULL, or block type %d is unknown", blockType);
    sim_stream *found;
    aclError rc = find_stream(__func__, stream, &found);
    if (rc != ACL_SUCCESS)
        return rc;
    pthread_mutex_lock(&stream_lock);
    bool subscribed = found->reporter != NULL;
    pthread_mutex_unlock(&stream_lock);
    if (!subscribed) /* documented */
        return FAIL(ACL_ERROR_RT_STREAM_NO_CB_REG, "no thread is subscribed to the stream");
    const sim_task task = {
        .type = TASK_CALLBACK, .block = blockType == ACL_CALLBACK_BLOCK, .callback = fn, .user_data = userData};
    return issue(__func__, found, &task);
}

/* ---- memory on a stream ------------------------------------------------------------------------------------ */

aclError aclrtMemcpyAsync(void *dst, size_t destMax, const void *src, size_t count, aclrtMemcpyKind kind,
                          aclrtStream stream) {
    SIM_ENTER(aclrtMemcpyAsync);
    if (count == 0)
        return ACL_SUCCESS;
    aclError rc = sim_memory_check_copy(__func__, dst, destMax, src, count, kind);
    if (rc != ACL_SUCCESS)
        return rc;
    sim_stream *found;
    if ((rc = find_stream(__func__, stream, &found)) != ACL_SUCCESS)
        return rc;
    const sim_task task = {.type = TASK_COPY, .dst = dst, .src = src, .count = count};
    return issue(__func__, found, &task);
}

aclError aclrtMemsetAsync(void *devPtr, size_t maxCount, int32_t value, size_t count, aclrtStream stream) {
    SIM_ENTER(aclrtMemsetAsync);
    if (count == 0)
        return ACL_SUCCESS;
    aclError rc = sim_memory_check_set(__func__, devPtr, maxCount, count);
    if (rc != ACL_SUCCESS)
        return rc;
    sim_stream *found;
    if ((rc = find_stream(__func__, stream, &found)) != ACL_SUCCESS)
        return rc;
    const sim_task task = {.type = TASK_SET, .dst = devPtr, .value = value, .count = count};
    return issue(__func__, found, &task);
}

/* ---- events -------------------------------------------------------------------------------------------------- */

static aclError find_event(const char *function, aclrtEvent handle, sim_event **out) {
    if (handle == NULL)
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "event must not be NULL");
    *out = sim_handle_get(SIM_EVENT, handle);
    if (*out != NULL)
        return ACL_SUCCESS;
    if (sim_is_strict())
        sim_report_stale(SIM_EVENT, handle, function);
    return sim_fail_at(function, ACL_ERROR_RT_INVALID_HANDLE, "%p is no live event", handle); /* guessed code */
}

aclError aclrtCreateEvent(aclrtEvent *event) {
    SIM_ENTER(aclrtCreateEvent);
    if (event == NULL)
        return FAIL(ACL_ERROR_INVALID_PARAM, "event must not be NULL");
    if (sim_current() == NULL)
        return FAIL(ACL_ERROR_RT_CONTEXT_NULL, "this thread has no current context");
    sim_event *created = HANDLE_NEW(SIM_EVENT);
    if (created == NULL)
        return FAIL(ACL_ERROR_BAD_ALLOC, "out of memory");
    *event = sim_handle_of(SIM_EVENT, created);
    return ACL_SUCCESS;
}

static aclError destroy_event(const char *function, aclrtEvent event) {
    sim_event *found;
    aclError rc = find_event(function, event, &found);
    if (rc == ACL_SUCCESS && !sim_handle_end(SIM_EVENT, event, function))
        rc = sim_fail_at(function, ACL_ERROR_RT_INVALID_HANDLE, "%p is no live event", event);
    return rc;
}

aclError aclrtDestroyEvent(aclrtEvent event) {
    SIM_CALL(aclrtDestroyEvent, destroy_event(__func__, event));
}

static aclError issue_event(const char *function, aclrtEvent event, aclrtStream stream, task_type type) {
    sim_event *found;
    sim_stream *on;
    aclError rc = find_event(function, event, &found);
    if (rc == ACL_SUCCESS)
        rc = find_stream(function, stream, &on);
    if (rc != ACL_SUCCESS)
        return rc;
    const sim_task task = {.type = type, .event = event};
    return issue(function, on, &task);
}

aclError aclrtRecordEvent(aclrtEvent event, aclrtStream stream) {
    SIM_ENTER(aclrtRecordEvent);
    return issue_event(__func__, event, stream, TASK_RECORD);
}

aclError aclrtStreamWaitEvent(aclrtStream stream, aclrtEvent event) {
    SIM_ENTER(aclrtStreamWaitEvent);
    return issue_event(__func__, event, stream, TASK_WAIT);
}

aclError aclrtResetEvent(aclrtEvent event, aclrtStream stream) {
    SIM_ENTER(aclrtResetEvent);
    sim_event *found;
    sim_stream *on;
    aclError rc = find_event(__func__, event, &found);
    if (rc == ACL_SUCCESS)
        rc = find_stream(__func__, stream, &on);
    if (rc != ACL_SUCCESS)
        return rc;
    pthread_mutex_lock(&stream_lock);
    found->recorded = false; /* guessed: at once */
    pthread_mutex_unlock(&stream_lock);
    return ACL_SUCCESS;
}

/* Documented for aclrtQueryEventStatus, guessed for the older call: an event that was never recorded is not ready. */
static bool event_is_ready(sim_event *event) {
    pthread_mutex_lock(&stream_lock);
    bool ready = event->recorded && event->done == event->issued;
    pthread_mutex_unlock(&stream_lock);
    return ready;
}

aclError aclrtQueryEvent(aclrtEvent event, aclrtEventStatus *status) {
    SIM_ENTER(aclrtQueryEvent);
    if (status == NULL)
        return FAIL(ACL_ERROR_INVALID_PARAM, "status must not be NULL");
    sim_event *found;
    aclError rc = find_event(__func__, event, &found);
    if (rc != ACL_SUCCESS)
        return rc;
    *status = event_is_ready(found) ? ACL_EVENT_STATUS_COMPLETE : ACL_EVENT_STATUS_NOT_READY;
    return ACL_SUCCESS;
}

aclError aclrtQueryEventStatus(aclrtEvent event, aclrtEventRecordedStatus *status) {
    SIM_ENTER(aclrtQueryEventStatus);
    if (status == NULL)
        return FAIL(ACL_ERROR_INVALID_PARAM, "status must not be NULL");
    sim_event *found;
    aclError rc = find_event(__func__, event, &found);
    if (rc != ACL_SUCCESS)
        return rc;
    *status = event_is_ready(found) ? ACL_EVENT_RECORDED_STATUS_COMPLETE : ACL_EVENT_RECORDED_STATUS_NOT_READY;
    return ACL_SUCCESS;
}

aclError aclrtSynchronizeEvent(aclrtEvent event) {
    SIM_ENTER(aclrtSynchronizeEvent);
    sim_event *found;
    aclError rc = find_event(__func__, event, &found);
    if (rc != ACL_SUCCESS)
        return rc;
    uint64_t limit = atomic_load(&sim_option.wait_limit_ms);
    uint64_t deadline = limit == 0 ? UINT64_MAX : sim_now_ns() + limit * 1000000u;
    pthread_mutex_lock(&stream_lock);
    while (found->done < found->issued && sim_handle_get(SIM_EVENT, event) == found) {
        uint64_t now = sim_now_ns();
        if (now >= deadline) {
            rc = ACL_ERROR_RT_EVENT_SYNC_TIMEOUT;
            break;
        }
        sim_cond_wait_until(&progress, &stream_lock, now + 50000000u < deadline ? now + 50000000u : deadline);
    }
    pthread_mutex_unlock(&stream_lock);
    return rc == ACL_SUCCESS ? rc : FAIL(rc, "the event is not done after %llu ms", (unsigned long long)limit);
}

aclError aclrtEventElapsedTime(float *ms, aclrtEvent startEvent, aclrtEvent endEvent) {
    SIM_ENTER(aclrtEventElapsedTime);
    if (ms == NULL)
        return FAIL(ACL_ERROR_INVALID_PARAM, "ms must not be NULL");
    sim_event *start, *end;
    aclError rc = find_event(__func__, startEvent, &start);
    if (rc == ACL_SUCCESS)
        rc = find_event(__func__, endEvent, &end);
    if (rc != ACL_SUCCESS)
        return rc;
    pthread_mutex_lock(&stream_lock);
    bool pending = start->done < start->issued || end->done < end->issued;
    bool recorded = start->recorded && end->recorded;
    uint64_t from = start->time_ns, to = end->time_ns;
    pthread_mutex_unlock(&stream_lock);
    if (pending)
        return FAIL(ACL_ERROR_RT_EVENT_NOT_COMPLETE, "an event is not done yet");
    if (!recorded)
        return FAIL(ACL_ERROR_RT_EVENT_TIMESTAMP_INVALID, "an event has not been recorded");
    if (to < from)
        return FAIL(ACL_ERROR_RT_EVENT_TIMESTAMP_REVERSAL, "the end was recorded before the start");
    *ms = (float)((double)(to - from) / 1e6);
    return ACL_SUCCESS;
}
