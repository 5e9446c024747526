// SPDX-License-Identifier: Apache-2.0
/* The tasks of a stream, in order, and waiting until they are done. */
#include "stream.h"

#include <stdlib.h>

pthread_mutex_t sim_stream_lock = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t sim_stream_progress;

__attribute__((constructor)) static void init(void) {
    sim_cond_init(&sim_stream_progress);
}

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
    pthread_mutex_lock(&sim_stream_lock);
    if (task->block && stream != NULL) {
        stream->head = task->next;
        if (stream->head == NULL)
            stream->tail = NULL;
        advance_locked(stream);
    }
    pthread_cond_broadcast(&sim_stream_progress);
    pthread_mutex_unlock(&sim_stream_lock);
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
        sim_memory_copy_unchecked(&task->copy);
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
    pthread_cond_broadcast(&sim_stream_progress);
}

aclError sim_task_issue(const char *function, sim_stream *stream, const sim_task *description) {
    sim_task *task = malloc(sizeof *task);
    if (task == NULL)
        return sim_fail_at(function, ACL_ERROR_BAD_ALLOC, "out of memory");
    *task = *description;
    task->next = NULL;
    task->stream = stream;
    task->report = (sim_report){.run = run_task, .drop = drop_task};
    pthread_mutex_lock(&sim_stream_lock);
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
    pthread_mutex_unlock(&sim_stream_lock);
    return ACL_SUCCESS;
}

unsigned sim_task_discard_locked(sim_stream *stream) {
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
    pthread_cond_broadcast(&sim_stream_progress);
    return lost;
}

/* ---- waiting -------------------------------------------------------------------------------------------------- */

bool sim_wait_bound(uint64_t *deadline) {
    uint64_t limit_ms = atomic_load(&sim_option.wait_limit_ms);
    if (*deadline != UINT64_MAX || limit_ms == 0)
        return false;
    *deadline = sim_now_ns() + limit_ms * 1000000u;
    return true;
}

aclError sim_stream_wait(const char *function, sim_stream *stream, uint64_t deadline) {
    bool own_limit = sim_wait_bound(&deadline);
    uint64_t begin = sim_now_ns();
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
    unsigned long long waited_ms = (sim_now_ns() - begin) / 1000000u;
    if (rc == ACL_ERROR_RT_STREAM_SYNC_TIMEOUT && own_limit && sim_is_strict())
        sim_report_at("no-pump", function, "let the subscribed thread run aclrtProcessReport",
                      "a blocking callback or an event of the stream did not come in %llu ms", waited_ms);
    if (rc != ACL_SUCCESS)
        return sim_fail_at(function, rc, "the stream still has tasks after %llu ms, or its device is lost", waited_ms);
    return ACL_SUCCESS;
}
