// SPDX-License-Identifier: Apache-2.0
/* Streams, their subscriptions, and what is issued on them. */
#include "stream.h"

static atomic_uint stream_count[SIM_MAX_DEVICES];

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

/* ---- finding the stream of a call ---------------------------------------------------------------------- */

/* Whoever goes through all streams holds the lock, and finds whole ones. */
static sim_stream *new_stream(const char *function, void *caller, void *context, int32_t device, bool is_default) {
    pthread_mutex_lock(&sim_stream_lock);
    sim_stream *stream = sim_handle_new(SIM_STREAM, function, caller, is_default);
    if (stream != NULL) {
        stream->context = context;
        stream->device = device;
        stream->is_default = is_default;
    }
    pthread_mutex_unlock(&sim_stream_lock);
    return stream;
}

static sim_stream *default_stream(sim_context *context, void *handle) {
    void *known = atomic_load(&context->default_stream);
    if (known != NULL)
        return sim_handle_get(SIM_STREAM, known);
    sim_stream *stream = new_stream("default stream", NULL, handle, context->device, true);
    if (stream == NULL)
        return NULL;
    void *expected = NULL;
    void *made = sim_handle_of(SIM_STREAM, stream);
    if (!atomic_compare_exchange_strong(&context->default_stream, &expected, made)) {
        sim_handle_end(SIM_STREAM, made, "default stream");
        return sim_handle_get(SIM_STREAM, expected);
    }
    return stream;
}

aclError sim_stream_find(const char *function, aclrtStream handle, sim_stream **out) {
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
    pthread_mutex_lock(&sim_stream_lock);
    sim_handle_each(SIM_STREAM, count_stream, &count);
    pthread_mutex_unlock(&sim_stream_lock);
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
    pthread_mutex_lock(&sim_stream_lock);
    sim_handle_each(SIM_STREAM, count_subscribed, &found);
    pthread_mutex_unlock(&sim_stream_lock);
    return found.count;
}

/* ---- streams --------------------------------------------------------------------------------------------- */

static aclError create_stream(const char *function, void *caller, aclrtStream *stream) {
    if (stream == NULL)
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "stream must not be NULL");
    sim_context *context = sim_current();
    if (context == NULL)
        return sim_fail_at(function, ACL_ERROR_RT_CONTEXT_NULL, "this thread has no current context");
    int lost = sim_device_lost(context->device);
    if (lost != 0)
        return sim_fail_at(function, lost, "device %d is lost", context->device);
    if (!sim_stream_reserve(context->device, 1))
        return sim_fail_at(function, ACL_ERROR_RT_NO_STREAM_RESOURCE, "the device has no more streams");
    sim_stream *created = new_stream(function, caller, sim_self.context, context->device, false);
    if (created == NULL) {
        sim_stream_unreserve(context->device, 1);
        return sim_fail_at(function, ACL_ERROR_BAD_ALLOC, "out of memory");
    }
    *stream = sim_handle_of(SIM_STREAM, created);
    return ACL_SUCCESS;
}

aclError aclrtCreateStream(aclrtStream *stream) {
    SIM_ENTER(aclrtCreateStream);
    return create_stream(__func__, __builtin_return_address(0), stream);
}

/*
 * Documented: priorities 0 to 7; another one is refused (8.0 on the 310P; guessed code) or the nearest is taken (9.1). A
 * flag that is unknown is none; the known ones make launching or waiting faster, which no program sees here.
 */
aclError aclrtCreateStreamWithConfig(aclrtStream *stream, uint32_t priority, uint32_t flag) {
    SIM_ENTER(aclrtCreateStreamWithConfig);
    (void)flag;
    if (priority > 7)
        return FAIL(ACL_ERROR_RT_PARAM_INVALID, "priority is %u, allowed are 0 to 7", priority);
    return create_stream(__func__, __builtin_return_address(0), stream);
}

/* Documented: when all that was launched is done, the thread is unsubscribed, and then the stream destroyed. */
static void report_lost_callbacks(const char *function, unsigned callbacks, const sim_origin *origin) {
    if (callbacks != 0 && sim_is_strict())
        sim_report_at(
            "callback-lost", function,
            "call aclrtSynchronizeStream before it, which does not wait for callbacks of ACL_CALLBACK_NO_BLOCK",
            "%u callback%s that aclrtLaunchCallback launched on the stream will never run; it was %s", callbacks,
            callbacks == 1 ? "" : "s", sim_origin_format(origin).text);
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
    pthread_mutex_lock(&sim_stream_lock);
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
        callbacks = sim_task_discard_locked(stream);
        stream->reporter = NULL;
        if (reporter != NULL)
            sim_reporter_release(reporter);
        sim_handle_end(SIM_STREAM, handle, function);
    }
    pthread_mutex_unlock(&sim_stream_lock);
    if (ended && counted)
        sim_stream_unreserve(device, 1);
    if (ended && by_program)
        report_lost_callbacks(function, callbacks, &origin);
    if (ended && by_program && subscribed)
        report_subscribed(function, thread, &origin);
    return ended;
}

void sim_stream_end_default(const char *function, void *handle) {
    end_stream(handle, function, true);
}

/* Guessed: a lost device keeps nobody. */
static aclError complete(const char *function, sim_stream *stream) {
    return sim_device_lost(stream->device) == 0 ? sim_stream_wait(function, stream, UINT64_MAX) : ACL_SUCCESS;
}

typedef struct context_search {
    const void *context;
    sim_stream *found;
} context_search;

static void find_in_context(void *object, void *arg) {
    sim_stream *stream = object;
    context_search *search = arg;
    if (stream->context == search->context)
        search->found = stream;
}

aclError sim_stream_end_all(const char *function, const void *context) {
    aclError rc = ACL_SUCCESS;
    for (;;) {
        context_search search = {context, NULL};
        pthread_mutex_lock(&sim_stream_lock);
        sim_handle_each(SIM_STREAM, find_in_context, &search);
        pthread_mutex_unlock(&sim_stream_lock);
        if (search.found == NULL)
            return rc;
        if (rc ==
            ACL_SUCCESS) /* guessed: a wait that the option ends is the last one, and all streams end all the same */
            rc = complete(function, search.found);
        end_stream(sim_handle_of(SIM_STREAM, search.found), function, true);
    }
}

static aclError destroy_stream(const char *function, aclrtStream stream, bool force) {
    if (stream == NULL)
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "stream must not be NULL");
    aclError rc = ACL_SUCCESS;
    sim_stream *found = sim_handle_get(SIM_STREAM, stream);
    /* Documented: what is on the stream is done first; by force it is dropped, but on the Ascend310 force is none.
     * Guessed: a wait that the option ends destroys it all the same. */
    if (found != NULL && (!force || sim_profile_get()->v100))
        rc = complete(function, found);
    if (!end_stream(stream, function, true)) {
        if (sim_is_strict())
            sim_report_stale(SIM_STREAM, stream, function);
        return sim_fail_at(function, ACL_ERROR_RT_INVALID_HANDLE, "%p is no live stream", stream);
    }
    return rc;
}

aclError aclrtDestroyStream(aclrtStream stream) {
    SIM_CALL(aclrtDestroyStream, destroy_stream(__func__, stream, false));
}

aclError aclrtDestroyStreamForce(aclrtStream stream) {
    SIM_CALL(aclrtDestroyStreamForce, destroy_stream(__func__, stream, true));
}

static void end_any(void *object, void *unused) {
    (void)unused;
    end_stream(sim_handle_of(SIM_STREAM, object), "aclsim_reset", false);
}

void sim_stream_reset(void) {
    sim_handle_each(SIM_STREAM, end_any, NULL);
}

void sim_stream_after_fork(void) {
    pthread_mutex_init(&sim_stream_lock, NULL);
    sim_cond_init(&sim_stream_progress);
    for (int i = 0; i < SIM_MAX_DEVICES; i++)
        atomic_store(&stream_count[i], 0);
}

/* ---- subscriptions and callbacks ------------------------------------------------------------------------- */

aclError aclrtSubscribeReport(uint64_t threadId, aclrtStream stream) {
    SIM_ENTER(aclrtSubscribeReport);
    sim_stream *found;
    aclError rc = sim_stream_find(__func__, stream, &found);
    if (rc != ACL_SUCCESS)
        return rc;
    pthread_mutex_lock(&sim_stream_lock);
    if (found->reporter != NULL)
        rc = ACL_ERROR_RT_STREAM_SUBSCRIBE; /* documented */
    else
        rc = sim_reporter_acquire(threadId, found->device, &found->reporter);
    pthread_mutex_unlock(&sim_stream_lock);
    if (rc == ACL_ERROR_RT_STREAM_SUBSCRIBE)
        return FAIL(rc, "the stream is subscribed already");
    if (rc != ACL_SUCCESS)
        return FAIL(rc, "thread %#llx serves another device, or there are too many threads",
                    (unsigned long long)threadId);
    return ACL_SUCCESS;
}

static aclError unsubscribe(const char *function, uint64_t threadId, aclrtStream stream) {
    sim_stream *found;
    aclError rc = sim_stream_find(function, stream, &found);
    if (rc != ACL_SUCCESS)
        return rc;
    unsigned callbacks = 0;
    sim_origin origin = found->object.origin;
    pthread_mutex_lock(&sim_stream_lock);
    sim_reporter *reporter = found->reporter;
    if (reporter == NULL) {
        rc = ACL_ERROR_RT_STREAM_SUBSCRIBE; /* documented, as the next */
    } else if (sim_reporter_thread(reporter) != threadId) {
        rc = ACL_ERROR_RT_THREAD_SUBSCRIBE;
    } else {
        callbacks = sim_task_drop_callbacks_locked(found); /* guessed: callbacks that were not run are lost */
        found->reporter = NULL;
        sim_reporter_release(reporter);
    }
    pthread_mutex_unlock(&sim_stream_lock);
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
        pthread_mutex_lock(&sim_stream_lock);
        found->unsubscribe_failed = true;
        pthread_mutex_unlock(&sim_stream_lock);
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
    aclError rc = sim_stream_find(__func__, stream, &found);
    if (rc != ACL_SUCCESS)
        return rc;
    /* Documented: the Ascend310 has ACL_CALLBACK_BLOCK only; guessed: it takes the other all the same. */
    const sim_task task = {
        .type = TASK_CALLBACK, .block = blockType == ACL_CALLBACK_BLOCK, .callback = fn, .user_data = userData};
    return sim_task_issue(__func__, found, &task);
}

/* ---- memory on a stream ------------------------------------------------------------------------------------ */

enum { MOST_ROWS = 5 * 1024 * 1024 }; /* documented, of the asynchronous call only; guessed code */

static aclError issue_copy(const char *function, sim_copy *copy, aclrtStream stream) {
    aclError rc = sim_memory_check_copy(function, copy);
    if (rc != ACL_SUCCESS)
        return rc;
    sim_stream *found;
    if ((rc = sim_stream_find(function, stream, &found)) != ACL_SUCCESS) {
        sim_memory_forget_copy(copy);
        return rc;
    }
    const sim_task task = {.type = TASK_COPY, .copy = *copy};
    return sim_task_issue(function, found, &task);
}

aclError aclrtMemcpyAsync(void *dst, size_t destMax, const void *src, size_t count, aclrtMemcpyKind kind,
                          aclrtStream stream) {
    SIM_ENTER(aclrtMemcpyAsync);
    if (count == 0)
        return ACL_SUCCESS;
    sim_copy copy;
    aclError rc = sim_copy_of_bytes(__func__, dst, destMax, src, count, kind, &copy);
    /* documented since 8.0: refused where the host is not the device; on a board it is done as device to device */
    if (rc == ACL_SUCCESS && kind == ACL_MEMCPY_HOST_TO_HOST && sim_host_mode())
        return FAIL(ACL_ERROR_RT_FEATURE_NOT_SUPPORT,
                    "kind is 0 (host to host), which no stream does: copy with aclrtMemcpy or memcpy");
    return rc == ACL_SUCCESS ? issue_copy(__func__, &copy, stream) : rc;
}

aclError aclrtMemcpy2dAsync(void *dst, size_t dpitch, const void *src, size_t spitch, size_t width, size_t height,
                            aclrtMemcpyKind kind, aclrtStream stream) {
    SIM_ENTER(aclrtMemcpy2dAsync);
    sim_copy copy;
    aclError rc = sim_copy_of_rows(__func__, dst, dpitch, src, spitch, width, height, kind, &copy);
    if (rc != ACL_SUCCESS)
        return rc;
    if (height > MOST_ROWS)
        return FAIL(ACL_ERROR_RT_PARAM_INVALID, "height is %zu, at most %d are allowed", height, MOST_ROWS);
    return issue_copy(__func__, &copy, stream);
}

aclError aclrtMemsetAsync(void *devPtr, size_t maxCount, int32_t value, size_t count, aclrtStream stream) {
    SIM_ENTER(aclrtMemsetAsync);
    if (count == 0)
        return ACL_SUCCESS;
    sim_set set = {.dst = devPtr, .value = value, .count = count};
    aclError rc = sim_memory_check_set(__func__, &set, maxCount);
    if (rc != ACL_SUCCESS)
        return rc;
    sim_stream *found;
    if ((rc = sim_stream_find(__func__, stream, &found)) != ACL_SUCCESS) {
        sim_memory_forget_set(&set);
        return rc;
    }
    const sim_task task = {.type = TASK_SET, .set = set};
    return sim_task_issue(__func__, found, &task);
}
