// SPDX-License-Identifier: Apache-2.0
/* Events, and waiting for streams and events. */
#include "stream.h"

/* ---- waiting for streams ----------------------------------------------------------------------------------- */

/* Wait until a stream has no task left. limit_ms 0: no limit of the caller's. */
static aclError wait_stream(const char *function, sim_stream *stream, uint64_t limit_ms) {
    uint64_t bound = atomic_load(&sim_option.wait_limit_ms);
    bool own_limit = limit_ms == 0;
    if (own_limit)
        limit_ms = bound;
    uint64_t deadline = limit_ms == 0 ? UINT64_MAX : sim_now_ns() + limit_ms * 1000000u;
    aclError rc = ACL_SUCCESS;
    pthread_mutex_lock(&sim_stream_lock);
    while (stream->head != NULL && (rc = sim_device_lost(stream->device)) == 0) {
        uint64_t now = sim_now_ns();
        if (now >= deadline) {
            rc = ACL_ERROR_RT_STREAM_SYNC_TIMEOUT;
            break;
        }
        uint64_t slice = now + 50000000u;
        sim_cond_wait_until(&sim_stream_progress, &sim_stream_lock, slice < deadline ? slice : deadline);
    }
    pthread_mutex_unlock(&sim_stream_lock);
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
    aclError rc = sim_stream_find(__func__, stream, &found);
    return rc == ACL_SUCCESS ? wait_stream(__func__, found, 0) : rc;
}

aclError aclrtSynchronizeStreamWithTimeout(aclrtStream stream, int32_t timeout) {
    SIM_ENTER(aclrtSynchronizeStreamWithTimeout);
    if (timeout == 0 || timeout < -1)
        return FAIL(ACL_ERROR_INVALID_PARAM, "timeout is %d, allowed are -1 and positive numbers of ms", timeout);
    sim_stream *found;
    aclError rc = sim_stream_find(__func__, stream, &found);
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
        pthread_mutex_lock(&sim_stream_lock);
        sim_handle_each(SIM_STREAM, find_busy, &search);
        pthread_mutex_unlock(&sim_stream_lock);
        if (search.found == NULL)
            return ACL_SUCCESS;
        aclError rc = wait_stream(function, search.found, 0);
        if (rc != ACL_SUCCESS)
            return rc;
    }
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
        rc = sim_stream_find(function, stream, &on);
    if (rc != ACL_SUCCESS)
        return rc;
    const sim_task task = {.type = type, .event = event};
    return sim_task_issue(function, on, &task);
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
        rc = sim_stream_find(__func__, stream, &on);
    if (rc != ACL_SUCCESS)
        return rc;
    pthread_mutex_lock(&sim_stream_lock);
    found->recorded = false; /* guessed: at once */
    pthread_mutex_unlock(&sim_stream_lock);
    return ACL_SUCCESS;
}

/* Documented for aclrtQueryEventStatus, guessed for the older call: an event that was never recorded is not ready. */
static bool event_is_ready(sim_event *event) {
    pthread_mutex_lock(&sim_stream_lock);
    bool ready = event->recorded && event->done == event->issued;
    pthread_mutex_unlock(&sim_stream_lock);
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
    pthread_mutex_lock(&sim_stream_lock);
    while (found->done < found->issued && sim_handle_get(SIM_EVENT, event) == found) {
        uint64_t now = sim_now_ns();
        if (now >= deadline) {
            rc = ACL_ERROR_RT_EVENT_SYNC_TIMEOUT;
            break;
        }
        sim_cond_wait_until(&sim_stream_progress, &sim_stream_lock,
                            now + 50000000u < deadline ? now + 50000000u : deadline);
    }
    pthread_mutex_unlock(&sim_stream_lock);
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
    pthread_mutex_lock(&sim_stream_lock);
    bool pending = start->done < start->issued || end->done < end->issued;
    bool recorded = start->recorded && end->recorded;
    uint64_t from = start->time_ns, to = end->time_ns;
    pthread_mutex_unlock(&sim_stream_lock);
    if (pending)
        return FAIL(ACL_ERROR_RT_EVENT_NOT_COMPLETE, "an event is not done yet");
    if (!recorded)
        return FAIL(ACL_ERROR_RT_EVENT_TIMESTAMP_INVALID, "an event has not been recorded");
    if (to < from)
        return FAIL(ACL_ERROR_RT_EVENT_TIMESTAMP_REVERSAL, "the end was recorded before the start");
    *ms = (float)((double)(to - from) / 1e6);
    return ACL_SUCCESS;
}
