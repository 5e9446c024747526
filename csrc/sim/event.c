// SPDX-License-Identifier: Apache-2.0
/* Events, and waiting for streams and events. */
#include "stream.h"

/* ---- waiting for streams ----------------------------------------------------------------------------------- */

static uint64_t deadline_of(int32_t timeout) {
    return timeout < 0 ? UINT64_MAX : sim_now_ns() + (uint64_t)timeout * 1000000u;
}

aclError aclrtSynchronizeStream(aclrtStream stream) {
    SIM_ENTER(aclrtSynchronizeStream);
    sim_stream *found;
    aclError rc = sim_stream_find(__func__, stream, &found);
    return rc == ACL_SUCCESS ? sim_stream_wait(__func__, found, UINT64_MAX) : rc;
}

static aclError check_timeout(const char *function, int32_t timeout) {
    if (timeout == 0 || timeout < -1)
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM,
                           "timeout is %d, allowed are -1 and positive numbers of ms", timeout);
    return ACL_SUCCESS;
}

aclError aclrtSynchronizeStreamWithTimeout(aclrtStream stream, int32_t timeout) {
    SIM_ENTER(aclrtSynchronizeStreamWithTimeout);
    sim_stream *found;
    aclError rc = check_timeout(__func__, timeout);
    if (rc == ACL_SUCCESS)
        rc = sim_stream_find(__func__, stream, &found);
    return rc == ACL_SUCCESS ? sim_stream_wait(__func__, found, deadline_of(timeout)) : rc;
}

aclError aclrtStreamQuery(aclrtStream stream, aclrtStreamStatus *status) {
    SIM_ENTER(aclrtStreamQuery);
    if (status == NULL)
        return FAIL(ACL_ERROR_INVALID_PARAM, "status must not be NULL");
    sim_stream *found;
    aclError rc = sim_stream_find(__func__, stream, &found);
    if (rc != ACL_SUCCESS)
        return rc;
    pthread_mutex_lock(&sim_stream_lock);
    *status = found->queue.head == NULL ? ACL_STREAM_STATUS_COMPLETE : ACL_STREAM_STATUS_NOT_READY;
    pthread_mutex_unlock(&sim_stream_lock);
    if (*status == ACL_STREAM_STATUS_COMPLETE)
        sim_memory_waited();
    return ACL_SUCCESS;
}

typedef struct stream_search {
    int32_t device;
    sim_stream *found;
} stream_search;

static void find_busy(void *object, void *arg) {
    stream_search *search = arg;
    sim_stream *stream = object;
    if (stream->device == search->device && stream->queue.head != NULL)
        search->found = stream;
}

aclError sim_stream_wait_device(const char *function, int32_t device, uint64_t deadline) {
    for (;;) {
        stream_search search = {device, NULL};
        pthread_mutex_lock(&sim_stream_lock);
        sim_handle_each(SIM_STREAM, find_busy, &search);
        pthread_mutex_unlock(&sim_stream_lock);
        if (search.found == NULL) {
            sim_memory_waited();
            return ACL_SUCCESS;
        }
        aclError rc = sim_stream_wait(function, search.found, deadline);
        if (rc != ACL_SUCCESS)
            return rc;
    }
}

/* ---- events -------------------------------------------------------------------------------------------------- */

static aclError look_up(const char *function, aclrtEvent handle, sim_event **out) {
    if (handle == NULL)
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "event must not be NULL");
    *out = sim_handle_get(SIM_EVENT, handle);
    if (*out != NULL)
        return ACL_SUCCESS;
    if (sim_is_strict())
        sim_report_stale(SIM_EVENT, handle, function);
    return sim_fail_at(function, ACL_ERROR_RT_INVALID_HANDLE, "%p is no live event", handle); /* guessed code */
}

/* An event that is to be used, not only destroyed. */
static aclError find_event(const char *function, aclrtEvent handle, sim_event **out) {
    aclError rc = look_up(function, handle, out);
    int lost = rc == ACL_SUCCESS ? sim_device_lost((*out)->device) : 0;
    return lost != 0 ? sim_fail_at(function, lost, "device %d is lost", (*out)->device) : rc;
}

enum { EVENT_FLAGS = ACL_EVENT_SYNC | ACL_EVENT_CAPTURE_STREAM_PROGRESS | ACL_EVENT_TIME_LINE };

static aclError create_event(const char *function, void *caller, aclrtEvent *event, uint32_t flag, bool ex) {
    if (event == NULL)
        return sim_fail_at(function, ACL_ERROR_INVALID_PARAM, "event must not be NULL");
    if (flag == 0 || (flag & ~(uint32_t)EVENT_FLAGS) != 0) /* guessed */
        return sim_fail_at(function, ACL_ERROR_RT_PARAM_INVALID,
                           "flag is %#x, allowed are ACL_EVENT_SYNC (1), _CAPTURE_STREAM_PROGRESS (2) and _TIME_LINE "
                           "(8), alone or together",
                           flag);
    sim_context *context = sim_current();
    if (context == NULL)
        return sim_fail_at(function, ACL_ERROR_RT_CONTEXT_NULL, "this thread has no current context");
    int lost = sim_device_lost(context->device);
    if (lost != 0)
        return sim_fail_at(function, lost, "device %d is lost", context->device);
    sim_event *created = sim_handle_new(SIM_EVENT, function, caller, false);
    if (created == NULL)
        return sim_fail_at(function, ACL_ERROR_BAD_ALLOC, "out of memory");
    created->flag = flag;
    created->ex = ex;
    created->device = context->device;
    *event = sim_handle_of(SIM_EVENT, created);
    return ACL_SUCCESS;
}

aclError aclrtCreateEvent(aclrtEvent *event) {
    SIM_ENTER(aclrtCreateEvent); /* documented: for order, time and waiting */
    return create_event(__func__, __builtin_return_address(0), event, EVENT_FLAGS, false);
}

aclError aclrtCreateEventWithFlag(aclrtEvent *event, uint32_t flag) {
    SIM_ENTER(aclrtCreateEventWithFlag);
    return create_event(__func__, __builtin_return_address(0), event, flag, false);
}

aclError aclrtCreateEventExWithFlag(aclrtEvent *event, uint32_t flag) {
    SIM_ENTER(aclrtCreateEventExWithFlag);
    return create_event(__func__, __builtin_return_address(0), event, flag, true);
}

/* Documented: which calls an event can be used in depends on its flag, and on whether ...Ex made it. Guessed code. */
static aclError check_use(const char *function, const sim_event *event, bool takes_ex, bool needs_sync) {
    if (event->ex && !takes_ex)
        return sim_fail_at(function, ACL_ERROR_RT_FEATURE_NOT_SUPPORT,
                           "the event is of aclrtCreateEventExWithFlag, which %s does not take", function);
    if (needs_sync && (event->flag & ACL_EVENT_SYNC) == 0)
        return sim_fail_at(function, ACL_ERROR_RT_FEATURE_NOT_SUPPORT,
                           "the event was created with the flag %#x, and %s needs ACL_EVENT_SYNC (1)", event->flag,
                           function);
    return ACL_SUCCESS;
}

static aclError destroy_event(const char *function, aclrtEvent event) {
    sim_event *found;
    aclError rc = look_up(function, event, &found);
    if (rc == ACL_SUCCESS && !sim_handle_end(SIM_EVENT, event, function))
        rc = sim_fail_at(function, ACL_ERROR_RT_INVALID_HANDLE, "%p is no live event", event);
    sim_stream_kick_all(); /* whoever waits for it leaves */
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
        rc = check_use(function, found, true, type == TASK_WAIT);
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
        rc = check_use(__func__, found, false, true);
    if (rc == ACL_SUCCESS)
        rc = sim_stream_find(__func__, stream, &on);
    if (rc != ACL_SUCCESS)
        return rc;
    pthread_mutex_lock(&sim_stream_lock);
    found->recorded = false; /* documented: a task of the stream, but in 5.0.4; guessed: at once */
    pthread_mutex_unlock(&sim_stream_lock);
    return ACL_SUCCESS;
}

/* Documented for aclrtQueryEventStatus, guessed for the older call: an event that was never recorded is not ready. */
static bool event_is_ready(sim_event *event) {
    pthread_mutex_lock(&sim_stream_lock);
    bool ready = event->recorded && event->done == event->issued;
    pthread_mutex_unlock(&sim_stream_lock);
    if (ready)
        sim_memory_waited();
    return ready;
}

aclError aclrtQueryEvent(aclrtEvent event, aclrtEventStatus *status) {
    SIM_ENTER(aclrtQueryEvent);
    if (status == NULL)
        return FAIL(ACL_ERROR_INVALID_PARAM, "status must not be NULL");
    sim_event *found;
    aclError rc = find_event(__func__, event, &found);
    if (rc == ACL_SUCCESS)
        rc = check_use(__func__, found, false, false);
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

typedef struct wait_search {
    void *event;
    bool found;
} wait_search;

static void find_waiting(void *object, void *arg) {
    wait_search *search = arg;
    for (const sim_task *task = ((sim_stream *)object)->queue.head; task != NULL; task = task->next)
        search->found = search->found || (task->type == TASK_WAIT && task->event == search->event);
}

/* Documented: complete when every stream that aclrtStreamWaitEvent lets wait for it has got it. Guessed: also if none. */
aclError aclrtQueryEventWaitStatus(aclrtEvent event, aclrtEventWaitStatus *status) {
    SIM_ENTER(aclrtQueryEventWaitStatus);
    if (status == NULL)
        return FAIL(ACL_ERROR_INVALID_PARAM, "status must not be NULL");
    sim_event *found;
    aclError rc = find_event(__func__, event, &found);
    if (rc == ACL_SUCCESS)
        rc = check_use(__func__, found, false, true);
    if (rc != ACL_SUCCESS)
        return rc;
    wait_search search = {event, false};
    pthread_mutex_lock(&sim_stream_lock);
    sim_handle_each(SIM_STREAM, find_waiting, &search);
    pthread_mutex_unlock(&sim_stream_lock);
    *status = search.found ? ACL_EVENT_WAIT_STATUS_NOT_READY : ACL_EVENT_WAIT_STATUS_COMPLETE;
    if (!search.found)
        sim_memory_waited();
    return ACL_SUCCESS;
}

static aclError wait_event(const char *function, aclrtEvent event, sim_event *found, uint64_t deadline) {
    uint64_t begin = sim_now_ns();
    aclError rc = ACL_SUCCESS;
    sim_wait_bound(&deadline);
    pthread_mutex_lock(&sim_stream_lock);
    while (found->done < found->issued && sim_handle_get(SIM_EVENT, event) == found &&
           (rc = sim_device_lost(found->device)) == 0) {
        if (sim_now_ns() >= deadline) {
            rc = ACL_ERROR_RT_EVENT_SYNC_TIMEOUT;
            break;
        }
        sim_cond_wait_until(&sim_stream_progress, &sim_stream_lock, deadline);
    }
    pthread_mutex_unlock(&sim_stream_lock);
    if (rc != ACL_SUCCESS)
        return sim_fail_at(function, rc, "the event is not done after %llu ms, or its device is lost",
                           (unsigned long long)(sim_now_ns() - begin) / 1000000u);
    sim_memory_waited();
    return ACL_SUCCESS;
}

aclError aclrtSynchronizeEvent(aclrtEvent event) {
    SIM_ENTER(aclrtSynchronizeEvent);
    sim_event *found;
    aclError rc = find_event(__func__, event, &found);
    return rc == ACL_SUCCESS ? wait_event(__func__, event, found, UINT64_MAX) : rc;
}

aclError aclrtSynchronizeEventWithTimeout(aclrtEvent event, int32_t timeout) {
    SIM_ENTER(aclrtSynchronizeEventWithTimeout);
    sim_event *found;
    aclError rc = check_timeout(__func__, timeout);
    if (rc == ACL_SUCCESS)
        rc = find_event(__func__, event, &found);
    if (rc != ACL_SUCCESS)
        return rc;
    if (timeout > 0 && sim_profile_get()->v100) /* documented; guessed code */
        return FAIL(ACL_ERROR_RT_FEATURE_NOT_SUPPORT, "timeout is %d: this chip takes only -1, for ever", timeout);
    return wait_event(__func__, event, found, deadline_of(timeout));
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
    bool recorded = start->recorded && end->recorded; /* documented: the time only with that flag; guessed code */
    bool timed = (start->flag & end->flag & ACL_EVENT_TIME_LINE) != 0;
    uint64_t from = start->time_ns, to = end->time_ns;
    pthread_mutex_unlock(&sim_stream_lock);
    if (pending)
        return FAIL(ACL_ERROR_RT_EVENT_NOT_COMPLETE, "an event is not done yet");
    if (!timed)
        return FAIL(ACL_ERROR_RT_EVENT_TIMESTAMP_INVALID, "an event was created without ACL_EVENT_TIME_LINE (8)");
    if (!recorded)
        return FAIL(ACL_ERROR_RT_EVENT_TIMESTAMP_INVALID, "an event has not been recorded");
    if (to < from)
        return FAIL(ACL_ERROR_RT_EVENT_TIMESTAMP_REVERSAL, "the end was recorded before the start");
    *ms = (float)((double)(to - from) / 1e6);
    return ACL_SUCCESS;
}
